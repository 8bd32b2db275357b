/*
 * The supervisor: the process that the user starts. It opens the listening sockets, forks the
 * launcher (which may stay root) and the worker (which may not) before any thread exists, passes on
 * signals, and starts both again when the worker crashes. It never reads a byte from a client.
 */
#ifndef SERVER_SUPERVISOR_H
#define SERVER_SUPERVISOR_H

#include "server/options.h"

#include <sys/types.h>

enum { SUPERVISOR_LISTEN_MAX = 64 };

/* What both roles are born with. */
struct supervised {
	const struct options *options;
	const char *data_folder;              /* absolute; exists, owned by uid:gid */
	int listen_fd[SUPERVISOR_LISTEN_MAX]; /* one per loop, same address */
	unsigned listen_count;
	int launcher_fd;  /* this role's end of the SOCK_SEQPACKET pair between the two */
	unsigned crashes; /* of workers since the start */
	uid_t uid;        /* whom the worker runs as */
	gid_t gid;
	bool loopback; /* the listening address is one of loopback */
};

/* Exit statuses of the worker that starting again would not mend. */
enum { SUPERVISOR_EXIT_CONFIG = 78 };

/*
 * Runs until SIGTERM or SIGINT, or until the worker ends for good. `worker` and `launcher` run in
 * their own processes and return that process's exit status. Returns ours.
 */
int supervisor_run(const struct options *options, int (*worker)(const struct supervised *s),
	int (*launcher)(const struct supervised *s));

#endif
