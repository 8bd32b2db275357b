/*
 * What the launcher's files share: its books. Private to the launcher process.
 *   launcher.c   its life, its event loop, the ends of cells
 *   start.c      what turns a request into a container: mounts, descriptors, limits
 */
#ifndef SANDBOX_BOOKS_H
#define SANDBOX_BOOKS_H

#include "base/list.h"
#include "sandbox/cell.h"
#include "sandbox/wire.h"

enum { LAUNCHER_ROOTS_MAX = 16 };

/* What epoll points to. */
struct source {
	enum source_kind {
		SOURCE_CLIENT,
		SOURCE_JANITOR,
		SOURCE_GATE,
		SOURCE_END,
		SOURCE_HELPER
	} kind;
};

enum cell_state { CELL_PREPARING, CELL_READY, CELL_RUNNING };

/* A request that waits: a start for a cell, an assignment for the end of the boot. */
struct waiting {
	struct list link;
	size_t n;
	char message[];
};

struct cell_entry {
	struct source gate_source, end_source;
	struct list link; /* preparing and ready: cells; running: containers */
	enum cell_state state;
	uint64_t cell;
	pid_t pid;
	int pidfd, gate, mount_namespace;
	int listeners[SANDBOX_LISTENS_MAX];
	unsigned listener_count;
	/* running */
	uint64_t id; /* the worker's */
	unsigned slot;
	bool booted, has_runtime, assigned, pooled, killed, out_of_memory, told;
	struct waiting *assignment; /* until it is booted; NULL: none */
	uint64_t memory_bytes;      /* for the watchdog */
	bool companions;            /* it has some */
	int status;                 /* wait status; -1: not told */
	unsigned ended;             /* whose: 0 the runtime's, else a companion's */
	char failure[SANDBOX_TEXT_MAX];
};

/* An unpacking helper at work. */
struct helper_entry {
	struct source source;
	struct list link;
	uint64_t id;
	int pidfd, report_fd;
};

struct launcher {
	struct cell_context context;
	int client, janitor, epoll;
	pid_t janitor_pid;
	int data, roots[LAUNCHER_ROOTS_MAX]; /* O_PATH */
	struct list preparing, ready, running, waiting, helpers;
	unsigned ready_count, preparing_count, running_count, waiting_count, helper_count;
	uint8_t *slots;       /* taken host uids */
	int64_t refill_at_ms; /* 0: not due */
	bool archives_loaded; /* or found to be missing */
	bool greeted, ending, broken;
	struct wire_spec spec;
	char message[WIRE_MAX];
};

/* Sends to the worker; when it is gone, so are we (l->ending). At most 1,024 bytes. */
void launcher_tell(struct launcher *l, struct wire_head head, const void *body, size_t n,
	const int *fds, unsigned fd_count);
printf_like(4, 5) void launcher_refuse(
	struct launcher *l, uint64_t id, int rc, const char *format, ...);
/* A cell for each waiting start at once; a little later as many as are kept ready. */
void launcher_order_cells(struct launcher *l);
struct cell_entry *launcher_find(struct launcher *l, uint64_t id);
void launcher_kill(struct launcher *l, struct cell_entry *e);
int launcher_watch(struct launcher *l, int fd, struct source *source);

/* start.c: requests of `n` bytes in l->message */
void launcher_start_container(struct launcher *l, size_t n);
void launcher_start_waiting(struct launcher *l);
void launcher_assign(struct launcher *l, size_t n);
void launcher_booted(struct launcher *l, struct cell_entry *e);

#endif
