/*
 * The programs that run inside containers: embedded in the binary, laid out in the data folder, and
 * the host's interpreters that they run on.
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

/* The interpreter for functions: the option's path, or the usual places; NULL: there is none. */
const char *runtimes_node(const struct options *options);
const char *runtimes_python(const struct options *options);
const char *runtimes_ruby(const struct options *options);
/* NULL also when this binary was built without a Java compiler, and so has no program for it. */
const char *runtimes_java(const struct options *options);

#endif
