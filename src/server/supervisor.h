/*
 * The supervisor: the process that the user starts. It opens the listening sockets, forks the
 * launcher (which may stay root) and the worker (which may not) before any thread exists, passes on
 * signals, and starts both again when the worker crashes. It never reads a byte from a client.
 */
#ifndef SERVER_SUPERVISOR_H
#define SERVER_SUPERVISOR_H

#include "server/options.h"

#include <sys/types.h>

enum { SUPERVISOR_LOOPS_MAX = 64 };

/* What both roles are born with. */
struct supervised {
	const struct options *options;
	const char *data_folder; /* absolute; exists, owned by uid:gid */
	int listen_fd;
	unsigned loops;
	int launcher_fd;  /* the worker's connection to the launcher; -1: there is none */
	unsigned crashes; /* of workers since the start */
	uid_t uid;        /* whom the worker runs as */
	gid_t gid;
	bool loopback; /* the listening address is one of loopback */
};

/* Exit statuses of the worker that starting again would not mend. */
enum { SUPERVISOR_EXIT_CONFIG = 78 };

struct supervisor_roles {
	/* Runs in a process of its own, as s->uid; returns that process's exit status. */
	int (*worker)(const struct supervised *s);
	/* Forks the launcher: its pid and the descriptor for the worker, or a negative rc. */
	int (*start_launcher)(const struct supervised *s, pid_t *ret_pid, int *ret_fd);
};

/*
 * Runs until SIGTERM or SIGINT, or until the worker ends for good. Returns our exit status.
 */
int supervisor_run(const struct options *options, const struct supervisor_roles *roles);

#endif
