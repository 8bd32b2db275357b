/*
 * The seccomp filter of every container: a deny list over the default of allowing, built once with
 * libseccomp and installed with the plain system call.
 */
#ifndef SANDBOX_FILTER_H
#define SANDBOX_FILTER_H

#include "base/attr.h"

#include <linux/filter.h>
#include <stdbool.h>

enum { FILTER_MAX = 1024 };

struct filter {
	struct sock_filter code[FILTER_MAX];
	unsigned short count;
};

/* The filter of containers. Needs memory for a moment; then none. */
must_use int filter_build(struct filter *ret_filter);
/*
 * The server's worker's: the same, and no program can be started. `may_unshare`: namespaces of
 * users and another root are allowed, for the unpacking of archives.
 */
must_use int filter_build_worker(struct filter *ret_filter, bool may_unshare);
/*
 * The much narrower one of the unpacking helper: an allow list, everything else kills it. With
 * `layer` what layers of images need beside.
 */
must_use int filter_build_unpack(bool layer, struct filter *ret_filter);
/* Installs it on the calling thread, with no_new_privs: 0 or negative errno. Signal-safe. */
must_use int filter_install(const struct filter *filter);

#endif
