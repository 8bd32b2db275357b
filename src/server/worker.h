/*
 * The worker: the process that serves everything. Started by the supervisor as an unprivileged
 * user.
 */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include "server/supervisor.h"

/* supervisor_roles.worker: the process's exit status. */
int worker_run(const struct supervised *s);
/* supervisor_roles.start_launcher. */
must_use int worker_start_launcher(const struct supervised *s, pid_t *ret_pid, int *ret_fd);

#endif
