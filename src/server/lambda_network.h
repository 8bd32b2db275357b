/*
 * --lambda-network and --lambda-network-range: what functions reach beside cirrus, and whether this
 * machine and these options may have it.
 */
#ifndef SERVER_LAMBDA_NETWORK_H
#define SERVER_LAMBDA_NETWORK_H

#include "sandbox/launcher.h"
#include "server/options.h"

/* The options as the launcher takes them. ERR_INVALID and *ret_message: the range is none. Pure. */
must_use int lambda_network(const struct options *options, struct arena *arena,
	struct sandbox_network *ret_network, str *ret_message);
/*
 * Before the start, as the process that will start the launcher: is it allowed (root; strict mode
 * where the host is in reach), can the kernel do it, is the range free? Errors as above, and
 * ERR_UNSUPPORTED, ERR_EXISTS, ERR_DENIED.
 */
must_use int lambda_network_check(
	const struct options *options, struct arena *arena, str *ret_message);

#endif
