/*
 * The launcher: the only process that keeps privileges, and makes containers for the worker.
 *
 * It is forked by the supervisor before any thread or library state exists, stays single-threaded,
 * and trusts no request: mount sources only below the data folder and the configured roots, never
 * uid 0 inside, never a namespace of the host. Its life is that of its connection: at the end of
 * file it kills every container, removes its control groups and exits.
 *
 * A helper of its own (sandbox/janitor.h) prepares *cells* off the hot path: a process in fresh
 * namespaces and control groups, loopback up, ports listening, waiting to become PID 1 of a
 * container. So a request costs neither a network namespace nor a move between control groups.
 *
 * As an ordinary user everything is made inside a user namespace; control groups then only where
 * they were delegated (v2), else rlimits and a watchdog stand in. Linux 5.14 or newer.
 */
#ifndef SANDBOX_LAUNCHER_H
#define SANDBOX_LAUNCHER_H

#include "sandbox/sandbox.h"

#include <sys/types.h>

struct sandbox_listen {
	uint16_t port; /* on 127.0.0.1 inside */
	bool udp;
};

struct launcher_options {
	const char *data_folder;          /* absolute; what SANDBOX_FROM_DATA is relative to */
	const char *const *runtime_roots; /* absolute folders, NULL at the end; may be NULL */
	struct sandbox_listen listens[SANDBOX_LISTENS_MAX];
	unsigned listen_count;
	unsigned cells_ready;    /* prepared in advance; 0: 4 */
	unsigned containers_max; /* at one time; 0: 1,000 */
	/* root: every container has a host uid (and gid) of its own from this range; 0: 0x70000000
	 */
	uint32_t uid_first;
	bool rootless; /* root: tests the rootless way, as uid_first */
};

/*
 * Forks the launcher. Call while single-threaded. `ret_fd` (close-on-exec) is for sandbox_open(),
 * by this process or a child; every other copy of it must be closed. The pid is a child of the
 * caller.
 */
must_use int launcher_start(const struct launcher_options *options, pid_t *ret_pid, int *ret_fd);

#endif
