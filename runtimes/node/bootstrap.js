/*
 * The Node.js runtime: speaks the Lambda Runtime API (2018-06-01) and runs the function's handler.
 *
 * Documentation: Developer Guide, "Building Lambda functions with Node.js" (handler, context,
 * logging, errors, response streaming) and "Using the Lambda runtime API".
 *
 * Two ways in, alike for the function: with _HANDLER in the environment it begins at once; without,
 * it was booted for the pool and reads its whole environment from descriptor 3 (NAME=VALUE, each
 * ended by NUL) before it does anything that depends on it. So nothing of the function may be
 * looked at above main().
 *
 * One keep-alive connection, plain net.Socket: an answer and the next poll are one write. The socket
 * keeps the process alive only while it polls, so that the end of the function's own work is seen.
 */
'use strict';

const fs = require('fs');
const Module = require('module');
const net = require('net');
const os = require('os');
const path = require('path');
const util = require('util');
const { Writable } = require('stream');
const { pathToFileURL } = require('url');

const GATE_FD = 3;
const POOL_ADDRESS = '127.0.0.1:9001';
const PREFIX = '/2018-06-01/runtime/';
const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
const PRELUDE_TYPE = 'application/vnd.awslambda.http-integration-response';
const JSON_TYPE = { 'Content-Type': 'application/json' };
const READ_BYTES = 65536, SMALL_BYTES = 16384;
const TRAILER_MAX = 32768;
const EXIT_UNHANDLED = 128, EXIT_UNCAUGHT = 129;

/* --- the environment of a pooled process ------------------------------------------------------ */

function readGate() {
	const parts = [];
	const part = Buffer.alloc(65536);
	for (;;) {
		let n;
		try {
			n = fs.readSync(GATE_FD, part, 0, part.length, null);
		} catch (e) {
			if (e.code === 'EINTR' || e.code === 'EAGAIN')
				continue;
			throw e;
		}
		if (n === 0)
			break;
		parts.push(Buffer.from(part.subarray(0, n)));
	}
	fs.closeSync(GATE_FD);
	return Buffer.concat(parts).toString('utf8');
}

/*
 * Only what differs is touched: each change of TZ makes V8 look for the time zone again, which takes
 * it milliseconds the first time.
 */
function takeEnvironment(text) {
	const wanted = new Map();
	for (const one of text.split('\0')) {
		const at = one.indexOf('=');
		if (at > 0)
			wanted.set(one.slice(0, at), one.slice(at + 1));
	}
	for (const name of Object.keys(process.env))
		if (!wanted.has(name))
			delete process.env[name];
	for (const [name, value] of wanted)
		if (process.env[name] !== value)
			process.env[name] = value;
}

/*
 * The trace header is another one for each event, and the C library keeps every value that a variable of
 * the environment ever had: 160 bytes an event. So this one variable is not the library's. Children get
 * it, because they are given what process.env shows.
 */
const TRACE_ID = '_X_AMZN_TRACE_ID';
let traceId;

function keepTraceId() {
	delete process.env[TRACE_ID];
	process.env = new Proxy(process.env, {
		get: (env, name) => name === TRACE_ID ? traceId : env[name],
		has: (env, name) => name === TRACE_ID ? traceId !== undefined : name in env,
		set(env, name, value) {
			if (name === TRACE_ID)
				traceId = `${value}`;
			else
				env[name] = value;
			return true;
		},
		deleteProperty(env, name) {
			if (name === TRACE_ID)
				traceId = undefined;
			return delete env[name];
		},
		ownKeys: (env) => traceId === undefined ? Reflect.ownKeys(env) : [...Reflect.ownKeys(env), TRACE_ID],
		getOwnPropertyDescriptor: (env, name) => name !== TRACE_ID ? Reflect.getOwnPropertyDescriptor(env, name) :
			traceId === undefined ? undefined :
				{ value: traceId, writable: true, enumerable: true, configurable: true },
	});
	Module.syncBuiltinESMExports(); /* import { env } from 'process' */
}

/* --- errors ------------------------------------------------------------------------------------ */

/* Of a class whose name is the last part: text logs show the one, JSON logs the other. */
function namedError(name, message) {
	const kind = name.slice(name.lastIndexOf('.') + 1);
	const error = new ({ [kind]: class extends Error {} })[kind](message);

	Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
	Error.captureStackTrace(error, namedError);
	return error;
}

function isError(value) {
	return util.types.isNativeError(value) || value instanceof Error ||
		(value !== null && typeof value === 'object' && typeof value.name === 'string' &&
			typeof value.message === 'string' && typeof value.stack === 'string');
}

/* What the Runtime API is told. */
function errorReport(error) {
	try {
		if (isError(error)) {
			return {
				errorType: String(error.name).replaceAll('\x7F', '%7F'),
				errorMessage: String(error.message).replaceAll('\x7F', '%7F'),
				trace: String(error.stack).replaceAll('\x7F', '%7F').split('\n'),
			};
		}
		return { errorType: typeof error, errorMessage: String(error), trace: [] };
	} catch {
		return {
			errorType: 'handled',
			errorMessage: 'callback called with Error argument, but there was a problem while ' +
				'retrieving one or more of its message, name, and stack',
			trace: [],
		};
	}
}

function errorText(error) {
	try {
		return '\t' + JSON.stringify(error, (key, value) =>
			isError(value) ? Object.assign({ errorType: value.name, errorMessage: value.message,
				code: value.code }, value, { stack: String(value.stack).split('\n') }) : value);
	} catch {
		return '\t' + JSON.stringify(errorReport(error));
	}
}

/* How the log shows what ends an invocation: what is no error is the message of one. */
function logError(text, error) {
	let shown = error;
	if (!isError(error)) {
		try {
			shown = new Error(String(error));
		} catch {
			shown = new Error();
		}
	}
	if (log.json)
		console.error(shown);
	else
		console.error(text, errorText(shown));
}

/* --- the log ------------------------------------------------------------------------------------ */

const LEVELS = { TRACE: 1, DEBUG: 2, INFO: 3, WARN: 4, ERROR: 5, FATAL: 6 };
const log = { fd: -1, requestId: undefined, tenantId: undefined, json: false, level: LEVELS.TRACE };

function writeAll(fd, bytes) {
	for (let at = 0; at < bytes.length;) {
		try {
			at += fs.writeSync(fd, bytes, at);
		} catch (e) {
			if (e.code !== 'EAGAIN' && e.code !== 'EINTR')
				return; /* nobody reads: a log line is not worth an end */
		}
	}
}

/* One record of any content; without the framed descriptor a line on standard output. */
function writeRecord(text) {
	if (log.fd < 0) {
		writeAll(1, Buffer.from((log.json ? text : text.replace(/\n/g, '\r')) + '\n'));
		return;
	}
	const bytes = Buffer.byteLength(text) + 1;
	const frame = Buffer.allocUnsafe(16 + bytes);
	frame.writeUInt32BE(0xa55a0003, 0);
	frame.writeUInt32BE(bytes, 4);
	frame.writeBigUInt64BE(BigInt(Date.now()) * 1000n, 8);
	frame.write(text, 16);
	frame[frame.length - 1] = 10;
	writeAll(log.fd, frame);
}

function errorFields(error) {
	return {
		errorType: error?.constructor?.name ?? 'UnknownError',
		errorMessage: error.message,
		stackTrace: typeof error.stack === 'string' ? error.stack.split('\n') : [],
	};
}

function jsonRecord(timestamp, level, args) {
	const record = { timestamp, level, requestId: log.requestId, tenantId: log.tenantId };
	if (args.length === 1) {
		try {
			record.message = args[0];
			return JSON.stringify(record, (key, value) =>
				value instanceof Error ? { ...errorFields(value), ...value } : value);
		} catch {
			/* A circle: shown as text. */
		}
	}
	record.message = util.format(...args);
	for (const arg of args) {
		if (arg instanceof Error) {
			Object.assign(record, errorFields(arg));
			break;
		}
	}
	return JSON.stringify(record);
}

function logAt(level, args) {
	if (log.json && LEVELS[level] < log.level)
		return;
	const timestamp = new Date().toISOString();
	writeRecord(log.json ? jsonRecord(timestamp, level, args) :
		`${timestamp}\t${log.requestId}\t${level}\t${util.format(...args)}`);
}

/*
 * Node.js writes to a pipe without waiting, and keeps what does not fit: of many lines at once most
 * would come in the next event's time, or never. So writes wait.
 */
function blockOutput() {
	for (const name of ['stdout', 'stderr']) {
		const { get, ...property } = Object.getOwnPropertyDescriptor(process, name);
		/* At its first use, because making a stream takes a start some time. */
		Object.defineProperty(process, name, { ...property, get() {
			const stream = get.call(process);
			stream._handle?.setBlocking?.(true);
			Object.defineProperty(process, name, { ...property, get });
			return stream;
		} });
	}
}

function patchConsole() {
	const fd = parseInt(process.env._LAMBDA_TELEMETRY_LOG_FD, 10);
	log.fd = fd > 2 ? fd : -1;
	delete process.env._LAMBDA_TELEMETRY_LOG_FD;
	log.json = process.env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === 'JSON';
	log.level = LEVELS[process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase()] ?? LEVELS.TRACE;
	console.log = (...args) => logAt('INFO', args);
	console.info = (...args) => logAt('INFO', args);
	console.debug = (...args) => logAt('DEBUG', args);
	console.warn = (...args) => logAt('WARN', args);
	console.error = (...args) => logAt('ERROR', args);
	console.fatal = (...args) => logAt('FATAL', args);
	console.trace = (...args) => logAt('TRACE', args); /* without a stack, as on AWS */
}

/* --- the Runtime API ---------------------------------------------------------------------------- */

const resolved = Promise.resolve();

function ignore() {}

/*
 * A small HTTP/1.1 client for one server that we know: requests in a row on one connection, answers in
 * the same order. The socket reads into one buffer again and again: a view of it is good until take()
 * returns, and what is incomplete by then is copied.
 */
class Api {
	constructor(address) {
		const at = address.lastIndexOf(':');
		this.host = address.slice(0, at);
		this.port = Number(address.slice(at + 1));
		this.address = address;
		this.waiting = []; /* { taken, lost }: functions */
		this.kept = null; /* the beginning of an answer, in the first bytes of a larger buffer */
		this.keptBytes = 0;
		this.socket = null;
		this.holds = false; /* the socket keeps the process alive */
		this.heads = `HTTP/1.1\r\nHost: ${address}\r\nUser-Agent: cirrus-nodejs\r\n`;
		this.poll = this.request('GET', 'invocation/next', {});
		this.lookAgain = () => this.keepAlive();
	}

	connect() {
		const socket = net.connect({
			host: this.host, port: this.port, noDelay: true,
			onread: {
				buffer: Buffer.allocUnsafeSlow(READ_BYTES),
				callback: (n, buffer) => {
					this.take(buffer, n);
					return true;
				},
			},
		});
		socket.on('error', (error) => this.broken(error));
		socket.on('close', () => this.broken(new Error('the Runtime API closed the connection')));
		this.socket = socket;
		this.holds = true;
		this.kept = null;
	}

	broken(error) {
		const waiting = this.waiting;
		this.socket = null;
		this.waiting = [];
		for (const one of waiting)
			one.lost(error);
	}

	/* Its answer, as a promise. */
	ask(request) {
		return new Promise((taken, lost) => this.send([{ ...request, taken, lost }]));
	}

	/* Several requests in one write. Of each its taken(answer) is called, or lost(error). */
	send(requests) {
		if (!this.socket)
			this.connect();
		let text = '';
		for (const request of requests) {
			text += request.text;
			this.waiting.push(request);
		}
		this.socket.write(text, 'utf8');
		this.keepAlive();
	}

	/* Alive while anything but the function decides when we go on. */
	keepAlive() {
		const holds = this.waiting.length > 0;
		if (this.socket && holds !== this.holds) {
			this.holds = holds;
			if (holds)
				this.socket.ref();
			else
				this.socket.unref();
		}
	}

	request(method, name, headers, body) {
		let text = `${method} ${PREFIX}${name} ${this.heads}`;
		for (const key of Object.keys(headers))
			text += `${key}: ${headers[key]}\r\n`;
		text += body === undefined ? '\r\n' : `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
		return { text, taken: ignore, lost: ignore };
	}

	response(id, body) {
		return this.request('POST', `invocation/${id}/response`, JSON_TYPE, body);
	}

	error(name, error) {
		const report = errorReport(error);
		return this.request('POST', name, {
			'Content-Type': 'application/json',
			'Lambda-Runtime-Function-Error-Type': report.errorType.replace(/[^\x20-\x7e]/g, '?'),
		}, JSON.stringify(report));
	}

	/* Behind what was kept; the room doubles, so that a long answer is not copied for each part. */
	join(bytes) {
		const n = this.keptBytes + bytes.length;
		if (n > this.kept.length) {
			const room = Buffer.allocUnsafe(Math.max(n, 2 * this.kept.length));
			this.kept.copy(room, 0, 0, this.keptBytes);
			this.kept = room;
		}
		bytes.copy(this.kept, this.keptBytes);
		return this.kept.subarray(0, n);
	}

	/* The first n bytes of the buffer have come. */
	take(buffer, n) {
		const bytes = this.kept ? this.join(buffer.subarray(0, n)) : buffer;
		const end = this.kept ? bytes.length : n;
		let at = 0, one = null, answer = null;
		while (at < end && this.waiting.length) {
			const next = parseAnswer(bytes, at, end);
			if (!next)
				break;
			one?.taken(answer);
			answer = next;
			at = answer.end;
			one = this.waiting.shift();
		}
		if (at === end)
			this.kept = null;
		else if (at > 0 || !this.kept)
			this.kept = Buffer.from(bytes.subarray(at, end));
		this.keptBytes = end - at;
		one?.taken(answer);
		/* Behind a handler that has its result at once: mostly the next poll is out by then. */
		if (this.waiting.length === 0)
			resolved.then(this.lookAgain);
	}
}

/*
 * The head of an answer, of which each header is looked for: the Runtime API always writes them alike,
 * and a table of them costs more than the few that are wanted.
 */
class Head {
	constructor(text) {
		this.text = text;
	}

	get(name) {
		const at = this.text.indexOf(name);
		if (at < 0)
			return undefined;
		return this.text.slice(at + name.length, this.text.indexOf('\r\n', at + name.length));
	}
}

const HEADER = {
	contentLength: '\r\nContent-Length: ',
	chunked: '\r\nTransfer-Encoding: chunked\r\n',
	requestId: '\r\nLambda-Runtime-Aws-Request-Id: ',
	deadline: '\r\nLambda-Runtime-Deadline-Ms: ',
	arn: '\r\nLambda-Runtime-Invoked-Function-Arn: ',
	trace: '\r\nLambda-Runtime-Trace-Id: ',
	tenantId: '\r\nLambda-Runtime-Aws-Tenant-Id: ',
	clientContext: '\r\nLambda-Runtime-Client-Context: ',
	identity: '\r\nLambda-Runtime-Cognito-Identity: ',
};

/* A small answer, all of it ASCII: one call for the text, which is then cut. */
function parseSmall(input, from, to) {
	const text = input.utf8Slice(from, to);
	if (text.length !== to - from)
		return null;
	const headEnd = text.indexOf('\r\n\r\n');
	if (headEnd < 0 || text.indexOf(HEADER.chunked) >= 0)
		return null;
	const headers = new Head(text.slice(0, headEnd + 2));
	const begin = headEnd + 4, end = begin + Number(headers.get(HEADER.contentLength) ?? 0);
	if (text.length < end)
		return null;
	return { status: Number(text.slice(9, 12)), headers, body: text.slice(begin, end), end: from + end };
}

/* The answer in input[from, to), its body as text; null until all of it is there. */
function parseAnswer(input, from, to) {
	const small = to - from <= SMALL_BYTES ? parseSmall(input, from, to) : null;
	if (small)
		return small;
	const bytes = input.subarray(0, to), headEnd = bytes.indexOf('\r\n\r\n', from, 'latin1');
	if (headEnd < 0)
		return null;
	const text = bytes.latin1Slice(from, headEnd + 2), headers = new Head(text);
	const answer = { status: Number(text.slice(9, 12)), headers, body: '', end: headEnd + 4 };
	if (text.includes(HEADER.chunked))
		return parseChunks(bytes, answer);
	const begin = answer.end;
	answer.end += Number(headers.get(HEADER.contentLength) ?? 0);
	if (to < answer.end)
		return null;
	answer.body = bytes.utf8Slice(begin, answer.end);
	return answer;
}

function parseChunks(input, answer) {
	const parts = [];
	let at = answer.end;
	for (;;) {
		const lineEnd = input.indexOf('\r\n', at);
		if (lineEnd < 0)
			return null;
		const n = parseInt(input.latin1Slice(at, lineEnd), 16);
		at = lineEnd + 2;
		if (input.length < at + n + 2)
			return null;
		if (n === 0)
			break;
		parts.push(input.subarray(at, at + n));
		at += n + 2;
	}
	/* Trailers, up to the empty line. */
	for (;;) {
		const lineEnd = input.indexOf('\r\n', at);
		if (lineEnd < 0)
			return null;
		if (lineEnd === at)
			break;
		at = lineEnd + 2;
	}
	answer.end = at + 2;
	answer.body = Buffer.concat(parts).toString('utf8');
	return answer;
}

/* --- where packages are found ---------------------------------------------------------------------- */

/*
 * The order is the documented one: the code's own packages, then the folders of NODE_PATH, which are
 * layers' and the runtime's. Node.js itself searches NODE_PATH for CommonJS modules only; on AWS ES
 * modules follow it too (Node.js 18 and later). They look into node_modules of every folder above them,
 * and so above /var/task the sandbox has two links, to a layer's packages and to the runtime's: that
 * costs a start nothing. CommonJS modules leave the two out and have NODE_PATH.
 */
const LINKS = ['/var/node_modules', '/node_modules'];
const LINKED = ['/opt/nodejs/node_modules', '/var/runtime/node_modules', '/var/runtime', '/var/task'];

function hideLinks() {
	const above = Module._nodeModulePaths;
	Module._nodeModulePaths = (from) => above(from).filter((folder) => !LINKS.includes(folder));
}

/* They cannot tell a layer's packages for this version of Node.js alone, nor a NODE_PATH of the function's own. */
function linksFallShort() {
	const [versioned, ...others] = (process.env.NODE_PATH ?? '').split(':').filter((folder) => folder);
	return others.join(':') !== LINKED.join(':') || fs.existsSync(versioned);
}

/*
 * Then a hook does. Before Node.js 22.15 (and since 18.19) hooks have a thread of theirs, which takes 30 ms
 * and 13 MB: there only handlers that are ES modules have it.
 */
async function followNodePath() {
	if (Module.registerHooks && linksFallShort())
		Module.registerHooks(await import('./node_path.mjs'));
}

async function importModule(file) {
	if (!Module.registerHooks && linksFallShort())
		Module.register?.('./node_path.mjs', pathToFileURL(__filename));
	return import(pathToFileURL(file).href);
}

/* --- the handler --------------------------------------------------------------------------------- */

function splitHandler(handler) {
	if (handler.includes('..'))
		throw namedError('Runtime.MalformedHandlerName',
			`'${handler}' is not a valid handler name. Use absolute paths when specifying root ` +
			'directories in handler names.');
	const base = path.basename(handler);
	const folder = handler.slice(0, handler.indexOf(base));
	const match = base.match(/^([^.]*)\.(.*)$/);
	if (!match || !match[1] || !match[2])
		throw namedError('Runtime.MalformedHandlerName', 'Bad handler');
	return { folder, module: match[1], name: match[2] };
}

function isModuleFolder(folder, root) {
	for (let at = folder; ; at = path.dirname(at)) {
		const file = path.join(at, 'package.json');
		if (fs.existsSync(file)) {
			try {
				return JSON.parse(fs.readFileSync(file, 'utf8')).type === 'module';
			} catch (e) {
				console.warn(`${file} cannot be read, it will be ignored for ES module detection purposes.`, e);
				return false;
			}
		}
		if (at === root || at === path.dirname(at))
			return false;
	}
}

async function loadModule(root, folder, name) {
	const file = path.resolve(root, folder, name);
	if (fs.existsSync(file) && fs.statSync(file).isFile())
		return require(file);
	if (fs.existsSync(file + '.js'))
		return isModuleFolder(path.dirname(file), root) ?
			importModule(file + '.js') : require(file + '.js');
	if (fs.existsSync(file + '.mjs'))
		return importModule(file + '.mjs');
	if (fs.existsSync(file + '.cjs'))
		return require(file + '.cjs');
	/* As a package, or a folder with an index. */
	return require(require.resolve(name, { paths: [root, path.join(root, folder)] }));
}

function findIn(module, names) {
	return names.split('.').reduce((found, name) => found?.[name], module);
}

async function loadHandler(root, handler) {
	const parts = splitHandler(handler);
	let found;
	try {
		found = await loadModule(root, parts.folder, parts.module);
	} catch (e) {
		if (e instanceof SyntaxError)
			throw Object.assign(namedError('Runtime.UserCodeSyntaxError', e.toString()), { stack: e.stack });
		/* Of an import that finds nothing Node.js' own error is told, as AWS does. */
		if (e?.code === 'MODULE_NOT_FOUND') {
			const error = namedError('Runtime.ImportModuleError', e.toString());
			error.stack = 'Runtime.ImportModuleError: ' + e.stack;
			throw error;
		}
		throw e;
	}
	found = findIn(found, parts.name) ?? (platform.onlyReturns ? findIn(found?.default, parts.name) : undefined);
	if (!found)
		throw namedError('Runtime.HandlerNotFound', `${handler} is undefined or not exported`);
	if (typeof found !== 'function')
		throw namedError('Runtime.HandlerNotFound', `${handler} is not a function`);
	return found;
}

/*
 * What contexts show of the environment, read once: a look at process.env costs a microsecond. From
 * Node.js 24 on AWS knows only handlers that return, and has another client of the Runtime API, whose
 * errors differ in places.
 */
let platform = null;

function readPlatform() {
	const env = process.env;
	const match = /nodejs(\d+)/.exec(env.AWS_EXECUTION_ENV ?? '');
	platform = {
		onlyReturns: match !== null && Number(match[1]) >= 24,
		functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
		functionName: env.AWS_LAMBDA_FUNCTION_NAME,
		memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
		logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
		logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
	};
}

function checkHandler(handler) {
	if (platform.onlyReturns && !handler[STREAMING] && handler.length >= 3)
		throw namedError('Runtime.CallbackHandlerDeprecated',
			'ERROR: AWS Lambda has removed support for callback-based function handlers starting ' +
			'with Node.js 24. You need to modify this function to use a supported handler ' +
			'signature to use Node.js 24 or later.');
}

/* --- response streaming ---------------------------------------------------------------------------- */

const awslambda = {
	streamifyResponse(handler, options) {
		handler[STREAMING] = 'response';
		if (typeof options?.highWaterMark === 'number')
			handler[HIGH_WATER_MARK] = options.highWaterMark;
		return handler;
	},
	HttpResponseStream: class HttpResponseStream {
		/* The answer's status, headers and cookies go first, then eight NUL, then the body. */
		static from(stream, metadata) {
			stream.setContentType(PRELUDE_TYPE);
			stream._onBeforeFirstWrite = (write) => {
				write(JSON.stringify(metadata));
				write(Buffer.alloc(8));
			};
			return stream;
		}
	},
};

/* A chunked request body on the API's connection. Bytes go out as they come. */
class ResponseStream extends Writable {
	constructor(api, id, highWaterMark) {
		super({ highWaterMark: highWaterMark ?? 65536, decodeStrings: true });
		this.api = api;
		this.id = id;
		this.type = 'application/octet-stream';
		this.begun = false;
		this.answer = null;
		this._onBeforeFirstWrite = null;
	}

	setContentType(type) {
		if (this.begun)
			throw namedError('InvalidStreamingOperation', 'Cannot set content-type, too late.');
		this.type = type;
	}

	begin() {
		if (this.begun)
			return;
		this.begun = true;
		const head = this.api.request('POST', `invocation/${this.id}/response`, {
			'Content-Type': this.type,
			'Lambda-Runtime-Function-Response-Mode': 'streaming',
			'Transfer-Encoding': 'chunked',
			'Trailer': 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
		});
		this.answer = this.api.ask(head);
		this.answer.catch(() => {});
		if (this._onBeforeFirstWrite)
			this._onBeforeFirstWrite((bytes) => this.chunk(Buffer.from(bytes)));
	}

	chunk(bytes, done) {
		if (!bytes.length)
			return done?.();
		const socket = this.api.socket;
		if (!socket)
			return done?.(new Error('the Runtime API closed the connection'));
		socket.cork();
		socket.write(bytes.length.toString(16) + '\r\n');
		socket.write(bytes);
		const more = socket.write('\r\n');
		socket.uncork();
		if (done)
			more ? done() : socket.once('drain', done);
	}

	/* Of other values the JSON is written, as on AWS. */
	write(chunk, encoding, done) {
		const bytes = typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);

		return super.write(bytes, encoding, done);
	}

	_write(bytes, encoding, done) {
		this.begin();
		this.chunk(bytes, done);
	}

	_final(done) {
		this.begin();
		this.api.socket?.write('0\r\n\r\n');
		done();
	}

	/* The error travels behind what was sent; of a long one its first part. */
	fail(error) {
		const report = errorReport(error);
		if (JSON.stringify(report).length > TRAILER_MAX) {
			report.errorMessage = report.errorMessage.slice(0, TRAILER_MAX / 8);
			report.trace = [];
		}
		this.api.socket?.write('0\r\n' +
			`Lambda-Runtime-Function-Error-Type: ${report.errorType.replace(/[^\x20-\x7e]/g, '?')}\r\n` +
			`Lambda-Runtime-Function-Error-Body: ${Buffer.from(JSON.stringify(report)).toString('base64')}` +
			'\r\n\r\n');
	}
}

/* --- one invocation --------------------------------------------------------------------------------- */

function parseHeader(text, name) {
	if (!text)
		return undefined;
	try {
		return JSON.parse(text);
	} catch {
		throw namedError('Runtime.InvalidHeader', `Cannot parse ${name}`);
	}
}

function makeContext(headers, control) {
	const deadline = Number(headers.get(HEADER.deadline));
	const context = {
		callbackWaitsForEmptyEventLoop: control.waits,
		functionVersion: platform.functionVersion,
		functionName: platform.functionName,
		memoryLimitInMB: platform.memoryLimitInMB,
		logGroupName: platform.logGroupName,
		logStreamName: platform.logStreamName,
		clientContext: parseHeader(headers.get(HEADER.clientContext), 'ClientContext'),
		identity: parseHeader(headers.get(HEADER.identity), 'CognitoIdentity'),
		invokedFunctionArn: headers.get(HEADER.arn),
		awsRequestId: headers.get(HEADER.requestId),
		tenantId: headers.get(HEADER.tenantId),
		getRemainingTimeInMillis: () => deadline - Date.now(),
	};
	if (!platform.onlyReturns) {
		context.done = (error, result) => control.callback(error, result, true);
		context.fail = (error) => control.callback(error ?? 'handled', undefined, true);
		context.succeed = (result) => control.callback(null, result, true);
	}
	control.context = context;
	return context;
}

/* Called when nothing is left to do in the process; null: nobody waits for that. */
let onIdle = null;

function idle() {
	onIdle?.();
}

/* Once, and again if the function has taken it away. */
function watchIdleness() {
	if (process.listenerCount('beforeExit', idle) === 0)
		process.on('beforeExit', idle);
}

const UNSETTLED = 'The Lambda runtime client detected an unexpected Node.js exit code. This is most ' +
	'commonly caused by a Promise that was never settled. For more information, see ' +
	'https://nodejs.org/docs/latest/api/process.html#exit-codes';

/*
 * Runs the handler to its one outcome: over({ error }) or over({ result }). What comes first counts: a handler that
 * returns a promise ends with it; one that calls back ends when its work is done too, unless it says
 * otherwise; and one that does neither ends when there is nothing left to do, with null, or as an
 * error where it is an async function. From Node.js 24 on the process just ends then.
 */
function runHandler(handler, event, headers, over) {
	let outcome = null;
	const settle = (value) => {
		onIdle = null;
		over(value);
	};
	const finish = (value) => {
		if (!outcome)
			settle(outcome = value);
	};
	onIdle = platform.onlyReturns ? null : () => settle(outcome ??
		(handler.constructor?.name === 'AsyncFunction' ?
			{ error: namedError('Runtime.NodeJsExit', UNSETTLED) } : { result: null }));
	const control = {
		waits: true,
		context: null,
		callback(error, result, now) {
			if (outcome)
				return;
			outcome = error !== undefined && error !== null ? { error } : { result };
			if (now || outcome.error !== undefined || !control.context.callbackWaitsForEmptyEventLoop)
				setImmediate(settle, outcome);
		},
	};
	try {
		const context = makeContext(headers, control);
		const returned = platform.onlyReturns ? handler(event, context) :
			handler(event, context, (error, result) => control.callback(error, result, false));
		if (typeof returned?.then === 'function')
			returned.then((result) => finish({ result }),
				(error) => finish({ error: platform.onlyReturns ? error : error ?? 'handled' }));
		else if (platform.onlyReturns)
			finish({ result: returned });
	} catch (error) {
		if (platform.onlyReturns)
			finish({ error });
		else
			control.callback(error, undefined, false);
	}
}

function serialize(result) {
	try {
		return JSON.stringify(result === undefined ? null : result) ?? 'null';
	} catch {
		throw namedError(platform.onlyReturns ? 'Runtime.JSONStringifyError' : 'Error',
			'Unable to stringify response body');
	}
}

/* The request that answers the invocation. */
function answerOf(api, id, outcome) {
	if (!('error' in outcome)) {
		try {
			return api.response(id, serialize(outcome.result));
		} catch (error) {
			outcome.error = error;
		}
	}
	logError('Invoke Error', outcome.error);
	return api.error(`invocation/${id}/error`, outcome.error);
}

/* Answers by itself; returns nothing more to send, or the error when nothing was sent yet. */
async function invokeStreaming(api, handler, id, event, headers) {
	const stream = new ResponseStream(api, id, handler[HIGH_WATER_MARK]);
	const closed = new Promise((resolve) => {
		for (const end of ['finish', 'error', 'close'])
			stream.once(end, resolve);
	});
	try {
		const context = makeContext(headers, { waits: false, callback() {} });
		const returned = handler(event, stream, context);
		if (typeof returned?.then !== 'function')
			throw new Error('Streaming does not support non-async handlers.');
		if (await returned !== undefined)
			console.warn('Streaming handlers ignore return values.');
		if (!stream.writableEnded && stream.begun === false && !stream.writableLength)
			stream.end();
		await closed;
		if (!stream.writableFinished)
			throw stream.errored ?? namedError('Runtime.TruncatedResponse', 'The response stream was destroyed.');
		await stream.answer;
		return null;
	} catch (error) {
		logError('Invoke Error', error);
		if (!stream.begun) {
			stream.destroy(); /* what the function still writes belongs nowhere */
			return api.error(`invocation/${id}/error`, error);
		}
		stream.fail(error);
		await stream.answer;
		return null;
	}
}

function begin(answer) {
	const headers = answer.headers;
	const id = headers.get(HEADER.requestId);
	log.requestId = id;
	log.tenantId = headers.get(HEADER.tenantId);
	traceId = headers.get(HEADER.trace) || undefined;
	return id;
}

let serving = false; /* init is over */

/*
 * V8 compiles what has run through so many bytes of bytecode, 132 KB of each function, which few
 * functions of Lambda are called often enough for; and compiled code needs less of the caches, which are
 * cold after idleness. Behind the first answer, because a start's own code is not worth it; a pooled
 * process has that behind it with its first rehearsed event.
 */
function compileSooner() {
	require('v8').setFlagsFromString('--interrupt-budget=20000');
}

/* Since V8 12 calls are counted, and a compiler of its own takes what has 400 of them. */
const COMPILES_LATE = parseFloat(process.versions.v8) < 11.5;

/* Event after event; rejects when the connection is lost. */
function serve(api, handler) {
	const ended = new Promise((_, reject) => {
		api.poll.lost = reject;
	});
	let answered = false;
	const next = (request) => {
		log.requestId = log.tenantId = undefined;
		api.send(request ? [request, api.poll] : [api.poll]);
		watchIdleness();
		if (COMPILES_LATE && request && !answered) {
			answered = true;
			setImmediate(compileSooner);
		}
	};
	const failed = (id, error) => {
		logError('Invoke Error', error);
		next(api.error(`invocation/${id}/error`, error));
	};

	api.poll.taken = (answer) => {
		if (answer.status !== 200)
			process.exit(answer.status === 410 ? 0 : 1);
		const id = begin(answer);
		try {
			const event = JSON.parse(answer.body);
			if (handler[STREAMING])
				invokeStreaming(api, handler, id, event, answer.headers).then(next, (error) => failed(id, error));
			else
				runHandler(handler, event, answer.headers, (outcome) => next(answerOf(api, id, outcome)));
		} catch (error) {
			failed(id, error);
		}
	};
	next(null);
	serving = true;
	return ended;
}

/* --- main ------------------------------------------------------------------------------------------- */

/*
 * An error that nobody caught ends the process, after it has been told and logged. Between two events
 * it ends at once: the next one must not come to a process that goes.
 */
function watchErrors(api) {
	const end = (text, error, status) => {
		logError(text, error);
		if (serving && log.requestId === undefined) {
			api.socket?.destroy(); /* takes the poll back; behind the log, which the end may cut off */
			process.exit(status);
		}
		const name = log.requestId === undefined ? 'init/error' : `invocation/${log.requestId}/error`;
		const leave = () => process.exit(status);
		api.ask(api.error(name, error)).then(leave, leave);
		setTimeout(leave, 1000);
	};
	process.on('uncaughtException', (error) => end('Uncaught Exception', error, EXIT_UNCAUGHT));
	process.on('unhandledRejection', (reason, promise) => {
		const error = namedError('Runtime.UnhandledPromiseRejection', String(reason));
		Object.assign(error, { reason, promise });
		if (isError(reason))
			error.stack = `Runtime.UnhandledPromiseRejection: ${String(reason)}\n` +
				error.stack.split('\n').slice(1).join('\n');
		end('Unhandled Promise Rejection', error, EXIT_UNHANDLED);
	});
}

/*
 * In the pool's time: goes once through what the first event needs, because Node.js compiles each function
 * at its first call, and sets up sockets and loaders at their first use. Leaves nothing that a
 * function could see. The connection is made too: inside a container the address is always this one.
 */
async function rehearse() {
	const api = new Api(POOL_ADDRESS);
	blockOutput();
	api.connect();
	await new Promise((resolve) => {
		api.socket.once('connect', resolve);
		api.socket.once('error', resolve);
	});
	api.keepAlive();
	takeEnvironment(Object.entries(process.env).map(([name, value]) => `${name}=${value}\0`).join(''));
	readPlatform();
	await rehearseEvents();
	const handler = await loadHandler(__dirname, 'warm.ready');
	checkHandler(handler);
	delete require.cache[require.resolve('./warm.js')];
	module.children.length = 0;
	await import('./warm.mjs');
	collect();
	return api;
}

/*
 * A thaw wakes the thread of V8's delayed tasks as well as this one, which has an event to work on, and it
 * would mostly get the processor first. It is the first thread that Node.js starts.
 */
function stepBefore() {
	try {
		const threads = fs.readdirSync('/proc/self/task').map(Number).filter((id) => id !== process.pid);
		os.setPriority(Math.min(...threads), os.constants.priority.PRIORITY_LOW);
	} catch {
		/* Then not: it is faster so, nothing else. */
	}
}

/* Or the garbage of the boot would be collected during the first event. The flag is taken back. */
function collect() {
	const v8 = require('v8');
	v8.setFlagsFromString('--expose-gc');
	require('vm').runInNewContext('gc')();
	v8.setFlagsFromString('--no-expose-gc');
}

/* A few events from a server of our own, over the same kind of socket as the real ones. */
async function rehearseEvents() {
	const taken = 'HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}';
	const event = 'HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 0\r\nLambda-Runtime-Deadline-Ms: 0\r\n' +
		'Content-Length: 2\r\n\r\n{}';
	const server = net.createServer((socket) => {
		socket.on('data', (bytes) => socket.write(bytes.includes('POST ') ? taken + event : event));
		socket.on('error', ignore);
	});
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	const api = new Api(`127.0.0.1:${server.address().port}`);
	let count = 0;
	await serve(api, async (value) => {
		if (++count > 3)
			api.socket.destroy();
		return value;
	}).catch(ignore);
	serving = false;
	log.requestId = log.tenantId = undefined;
	await new Promise((resolve) => server.close(resolve));
}

async function main() {
	let pooled = null;
	keepTraceId();
	hideLinks();
	stepBefore();
	if (process.env._HANDLER === undefined) {
		pooled = await rehearse();
		takeEnvironment(readGate());
	} else {
		blockOutput();
	}
	/* Lets go of a connection that was lost meanwhile; and always, so that stacks look alike. */
	await new Promise(setImmediate);
	const root = process.env.LAMBDA_TASK_ROOT ?? '/var/task';
	const api = pooled?.socket && process.env.AWS_LAMBDA_RUNTIME_API === POOL_ADDRESS ?
		pooled : new Api(process.env.AWS_LAMBDA_RUNTIME_API);
	let handler;
	process.chdir(root);
	readPlatform();
	patchConsole();
	globalThis.awslambda = awslambda;
	watchErrors(api);
	if (!api.socket)
		api.connect();
	api.keepAlive();
	try {
		await followNodePath();
		handler = await loadHandler(root, process.env._HANDLER ?? '');
		checkHandler(handler);
	} catch (error) {
		logError('Uncaught Exception', error);
		await api.ask(api.error('init/error', error)).catch(() => {});
		process.exit(1);
	}
	await serve(api, handler);
}

main().catch((error) => {
	logError('Runtime Error', error);
	process.exit(1);
});
