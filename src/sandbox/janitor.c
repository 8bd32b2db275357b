/*
 * Lives in the network namespace of the router, where there is one: links of cells begin there.
 *
 * Prepares and destroys, one thing at a time: the launcher asks for cells (WIRE_MAKE) before it
 * needs them, names groups to be removed (WIRE_REMOVE), and those whose processes were killed and
 * may be frozen (WIRE_THAW). A group whose last process is not quite gone is tried again each
 * RETRY_MS.
 */
#include "sandbox/janitor.h"

#include "base/list.h"
#include "base/mem.h"
#include "sandbox/sys.h"
#include "sandbox/wire.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum { RETRY_MS = 10, LAST_TRIES = 300 };

struct removal {
	struct list link;
	uint64_t cell;
};

struct janitor {
	const struct cell_context *context;
	int fd;
	uint64_t next_cell;
	uint32_t next_address; /* network_attach() */
	unsigned wanted;
	struct list removals;
};

static void report_trouble(const struct janitor *j, const char *step, int err)
{
	struct {
		struct wire_head head;
		char text[SANDBOX_TEXT_MAX];
	} out = {.head = {.kind = WIRE_TROUBLE, .value = err}};
	size_t n = MIN(strlen(step), sizeof out.text);

	memcpy(out.text, step, n);
	(void)!sys_send(j->fd, &out, sizeof out.head + n, NULL, 0, 0);
}

static int attach(struct janitor *j, uint64_t cell, pid_t pid, int gate, const char **ret_step)
{
	struct wire_head go = {.kind = WIRE_ATTACHED};
	uint32_t address = 0;
	int rc;

	*ret_step = "move into a control group";
	rc = cgroups_attach(&j->context->cgroups, cell, pid);
	if (rc < 0)
		return rc;
	*ret_step = "make a network link";
	rc = network_attach(&j->context->network, pid, &j->next_address, &address);
	go.id = address;
	return rc < 0 ? rc : sys_send(gate, &go, sizeof go, NULL, 0, 0);
}

/* 0, or a negative errno with the step. */
static int make_cell(struct janitor *j, uint64_t cell, const char **ret_step)
{
	int pair[2] = {-1, -1}, pidfd = -1, rc;
	struct clone_args args = {.flags = cell_clone_flags(), .pidfd = (uintptr_t)&pidfd};
	struct wire_head head = {.kind = WIRE_CELL, .id = cell};
	long pid;

	*ret_step = "make a control group";
	rc = cgroups_make(&j->context->cgroups, cell);
	if (rc < 0)
		return rc;
	*ret_step = "make a socket pair";
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -errno;
	*ret_step = "clone into new namespaces";
	pid = sys_clone3(&args);
	if (pid == 0) {
		close(pair[0]);
		cell_main(j->context, pair[1]);
	}
	rc = pid < 0 ? -errno : 0;
	close(pair[1]);
	if (rc == 0) {
		rc = attach(j, cell, (pid_t)pid, pair[0], ret_step);
		if (rc < 0)
			kill((pid_t)pid, SIGKILL); /* the launcher reaps it */
	}
	if (rc == 0) {
		int fds[2] = {pidfd, pair[0]};

		*ret_step = "hand a cell over";
		head.value = (int32_t)pid;
		rc = sys_send(j->fd, &head, sizeof head, fds, 2, 0);
	}
	sys_close_p(&pidfd);
	close(pair[0]);
	return rc;
}

static void make_one(struct janitor *j)
{
	uint64_t cell = j->next_cell++;
	const char *step;
	int rc = make_cell(j, cell, &step);

	j->wanted--;
	if (rc < 0) {
		cgroups_remove(&j->context->cgroups, cell);
		report_trouble(j, step, -rc);
	}
}

static void try_removals(struct janitor *j)
{
	list_for_each_safe(at, &j->removals) {
		struct removal *r = list_entry(at, struct removal, link);

		if (cgroups_remove(&j->context->cgroups, r->cell) == 0) {
			list_remove(at);
			mem_free(r);
		}
	}
}

/* False at the end of file. */
static bool read_request(struct janitor *j)
{
	struct wire_head head;
	unsigned none;
	ssize_t n = sys_receive(j->fd, &head, sizeof head, NULL, 0, &none, 0);

	if (n != sizeof head)
		return false;
	if (head.kind == WIRE_MAKE) {
		j->wanted += (unsigned)head.value;
	} else if (head.kind == WIRE_THAW) {
		cgroups_thaw(&j->context->cgroups, head.id);
	} else if (head.kind == WIRE_REMOVE) {
		struct removal *r = mem_new(struct removal);

		r->cell = head.id;
		list_push_back(&j->removals, &r->link);
	}
	return true;
}

/* Everything is being killed: our groups go as their last processes do. */
noreturn_fn static void finish(struct janitor *j)
{
	struct cgroups groups = j->context->cgroups;
	struct timespec pause = {.tv_nsec = RETRY_MS * 1000000};

	for (int i = 0; i < LAST_TRIES && cgroups_clear(&groups) != 0; i++)
		nanosleep(&pause, NULL);
	cgroups_close(&groups);
	_exit(0);
}

void janitor_main(const struct cell_context *context, int fd)
{
	struct janitor j = {.context = context, .fd = fd, .next_cell = 1};
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	prctl(PR_SET_NAME, "cirrus-janitor", 0, 0, 0);
	/* The launcher sees the end of our connection. */
	if (network_enter(&context->network) < 0)
		_exit(1);
	list_init(&j.removals);
	for (;;) {
		int timeout = j.wanted ? 0 : list_empty(&j.removals) ? -1 : RETRY_MS;
		int ready = poll(&wait, 1, timeout);

		if (ready > 0) {
			if (!read_request(&j))
				finish(&j);
			continue; /* requests first, work between them */
		}
		if (j.wanted)
			make_one(&j);
		else
			try_removals(&j);
	}
}
