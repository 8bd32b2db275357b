/*
 * The programs that run inside containers: embedded in the binary, laid out in the data folder; the
 * host's interpreters that they run on; and the packages that Node.js functions find there.
 */
#ifndef SERVER_RUNTIMES_H
#define SERVER_RUNTIMES_H

#include "server/options.h"

/*
 * Writes the embedded programs below `data_folder`/runtimes, readable for everybody (containers
 * have users of their own). Blocking; before rt_run(). ERR_IO, ERR_NO_SPACE.
 */
must_use int runtimes_install(const char *data_folder);

/*
 * Can containers have the interpreters that were chosen for them (they see the host's /usr)?
 * ERR_INVALID and *ret_message otherwise.
 */
must_use int runtimes_check(const struct options *options, str *ret_message);

/*
 * Fills in options->node_modules: the folder that was named, or else lib/cirrus/node_modules beside
 * that of `program` (a path without links; NULL: of this process); absolute, without links, in
 * `arena`. Empty: there is none. ERR_INVALID and *ret_message when what was named is no such
 * folder. Once, before anything is started, so that launcher and worker know the same.
 */
must_use int runtimes_find_packages(
	struct options *options, struct arena *arena, const char *program, str *ret_message);
/*
 * The version of the AWS SDK in such a folder, in `arena`. ERR_NOT_FOUND: it has none; ERR_DENIED:
 * functions, whose users are others, could not read it.
 */
must_use int runtimes_sdk_version(const char *node_modules, struct arena *arena, str *ret_version);

/* The interpreter for functions: the option's path, or the usual places; NULL: there is none. */
const char *runtimes_node(const struct options *options);
const char *runtimes_python(const struct options *options);
const char *runtimes_ruby(const struct options *options);
/* NULL also when this binary was built without a Java compiler, and so has no program for it. */
const char *runtimes_java(const struct options *options);

#endif
