/*
 * A hook for the loader of ES modules that makes them follow NODE_PATH, for what the sandbox's two links
 * cannot say (see bootstrap.js, which loads it then alone). A package is looked for in node_modules of the
 * folders above the module that names it, but for the links, and then in the folders of NODE_PATH.
 * Documentation: Node.js, "Modules: node:module API", resolve().
 */
import { existsSync } from 'node:fs';
import Module, { isBuiltin } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const LINKED_FROM = ['/', '/var'];
const folders = (process.env.NODE_PATH ?? '').split(':').filter((folder) => folder);

/* '@scope/name/file.js' -> '@scope/name'; nothing for what is no package. */
function packageOf(specifier) {
	return isBuiltin(specifier) ? null : /^(@[^/]+\/)?[^@./#:][^/:]*(?=\/|$)/.exec(specifier)?.[0];
}

function isAbove(file, name) {
	for (let at = path.dirname(file); !LINKED_FROM.includes(at); at = path.dirname(at)) {
		if (existsSync(path.join(at, 'node_modules', name)))
			return true;
	}
	return false;
}

/* The same answer for the loaders that wait for a promise and for those that do not. */
export function resolve(specifier, context, next) {
	const name = packageOf(specifier);
	/* What is required follows NODE_PATH anyhow. */
	if (!name || context.conditions.includes('require') || !context.parentURL?.startsWith('file:') ||
		isAbove(fileURLToPath(context.parentURL), name))
		return next(specifier, context);
	for (const folder of folders) {
		if (path.basename(folder) === 'node_modules') {
			if (existsSync(path.join(folder, name)))
				return next(specifier, { ...context, parentURL: pathToFileURL(folder).href });
			continue;
		}
		const file = Module._findPath(specifier, [folder]);
		if (file)
			return next(pathToFileURL(file).href, context);
	}
	return next(specifier, context);
}
