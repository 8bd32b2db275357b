/*
 * A cell: the process that becomes PID 1 of a container. It is a fork of the janitor and never
 * executes another program itself, which saves half of a start; it allocates nothing and holds no
 * lock.
 *
 * Life: cloned into fresh namespaces -> put into its control groups -> prepares (/proc, loopback,
 * the link that the janitor gave it, listening sockets) -> waits -> WIRE_GO: builds the root, drops
 * everything -> runs the runtime, reaps orphans, forwards signals -> reports the runtime's status
 * and ends, which ends the namespace. At the end of file of its gate, and at the launcher's death,
 * it dies.
 */
#ifndef SANDBOX_CELL_H
#define SANDBOX_CELL_H

#include "sandbox/cgroup.h"
#include "sandbox/filter.h"
#include "sandbox/launcher.h"
#include "sandbox/network.h"

/* What launcher, janitor and cells have in common; built before the first fork, constant after. */
struct cell_context {
	struct launcher_options options;
	struct cgroups cgroups;
	struct filter filter;
	struct network network;
	bool rootless;
	bool user_namespace; /* each container gets one */
};

/* The flags that a cell is cloned with. */
uint64_t cell_clone_flags(void);
/* The whole life. `gate` is its end of a SOCK_SEQPACKET pair. */
noreturn_fn void cell_main(const struct cell_context *context, int gate);

#endif
