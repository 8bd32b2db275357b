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
 *
 * Where a network was asked for (sandbox/network.h) the launcher makes it at its start, the janitor
 * gives each cell a link, and the launcher's end takes all of it away.
 */
#ifndef SANDBOX_LAUNCHER_H
#define SANDBOX_LAUNCHER_H

#include "sandbox/sandbox.h"

#include <sys/types.h>

struct sandbox_listen {
	uint16_t port; /* on 127.0.0.1 inside */
	bool udp;
};

/* What an instance reaches beside its own loopback (sandbox/network.h). */
enum sandbox_reach {
	SANDBOX_REACH_NONE,
	SANDBOX_REACH_OUTSIDE, /* what the host reaches, but not the host itself */
	SANDBOX_REACH_HOST,    /* the host, too; its loopback at the range's address 1 */
};

enum {
	SANDBOX_RANGE_PREFIX_MIN = 8,
	SANDBOX_RANGE_PREFIX_MAX = 24,
	SANDBOX_RANGE_HOST = 1,   /* addresses in the range, by number: the host's */
	SANDBOX_RANGE_ROUTER = 2, /* the way out of an instance */
	SANDBOX_RANGE_FIRST = 4,  /* instances have this one and those behind it */
};

struct sandbox_network {
	enum sandbox_reach reach;
	uint32_t range; /* IPv4, in machine order; its last bits are 0 */
	unsigned prefix;
};

/* How many instances have an address in it. */
static inline uint32_t sandbox_range_instances(unsigned prefix)
{
	return (1u << (32 - prefix)) - SANDBOX_RANGE_FIRST - 1;
}

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
	bool rootless;                  /* root: tests the rootless way, as uid_first */
	struct sandbox_network network; /* root only */
};

/* Its exit status when it has lost its janitor, after it had begun to work: it is to be started
 * anew.
 */
enum { LAUNCHER_EXIT_BROKEN = 3 };

/*
 * Forks the launcher. Call while single-threaded. `ret_fd` (close-on-exec) is for sandbox_open(),
 * by this process or a child; every other copy of it must be closed. The pid is a child of the
 * caller.
 */
must_use int launcher_start(const struct launcher_options *options, pid_t *ret_pid, int *ret_fd);

#endif
