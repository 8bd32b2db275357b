/*
 * The launcher's process: one epoll loop, no threads. It keeps the books of cells and containers,
 * from a cell's making to its end; start.c turns requests into containers. See launcher.h for its
 * place.
 *
 * Requests that find no cell ready wait in a queue; containers_max bounds both together.
 */
#include "sandbox/launcher.h"

#include "base/check.h"
#include "base/mem.h"
#include "sandbox/books.h"
#include "sandbox/janitor.h"
#include "sandbox/root.h"
#include "sandbox/sys.h"
#include "sandbox/unpack.h"
#include "sandbox/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum {
	EVENTS = 32,
	HELPERS_MAX = 8,
	END_WAIT_MS = 2000,
	WATCH_MS = 100,
	REFILL_MS = 10,
	SETTLE_MS = 50
};

/* --- to the worker -------------------------------------------------------------------------- */

void launcher_tell(struct launcher *l, struct wire_head head, const void *body, size_t n,
	const int *fds, unsigned fd_count)
{
	char out[sizeof head + 1024];

	check(n <= sizeof out - sizeof head);
	memcpy(out, &head, sizeof head);
	if (n)
		memcpy(out + sizeof head, body, n);
	/* The worker always reads: a full socket only makes us wait. When it is gone, so are we. */
	if (sys_send(l->client, out, sizeof head + n, fds, fd_count, 0) < 0)
		l->ending = true;
}

printf_like(4, 5) void launcher_refuse(
	struct launcher *l, uint64_t id, int rc, const char *format, ...)
{
	char text[SANDBOX_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	launcher_tell(l, (struct wire_head){WIRE_REFUSED, rc, id}, text, strlen(text), NULL, 0);
}

static void greet(struct launcher *l, int rc, const char *text)
{
	const struct cgroups *g = &l->context.cgroups;
	struct wire_hello hello = {.info = {.rootless = l->context.rootless,
					   .memory = g->version[CGROUP_MEMORY],
					   .cpu = g->version[CGROUP_CPU],
					   .pids = g->version[CGROUP_PIDS],
					   .freezer = g->version[CGROUP_FREEZER],
					   .listen_count = l->context.options.listen_count},
		.freezer_version = g->version[CGROUP_FREEZER],
		.cpu_version = g->version[CGROUP_CPU],
		.memory_version = g->version[CGROUP_MEMORY]};

	l->greeted = true;
	snprintf(hello.info.text, sizeof hello.info.text, "%s", text);
	if (rc == 0)
		network_describe(
			&l->context.network, hello.info.network, sizeof hello.info.network);
	launcher_tell(l, (struct wire_head){WIRE_HELLO, rc, 0}, &hello, sizeof hello, NULL, 0);
}

/* --- cells ---------------------------------------------------------------------------------- */

/* The janitor is gone: the supervisor starts all of us anew, unless we never worked here. */
static void lose_janitor(struct launcher *l)
{
	l->broken |= l->greeted && !l->ending;
	l->ending = true;
}

static void ask_janitor(struct launcher *l, enum wire_kind kind, int32_t value, uint64_t id)
{
	struct wire_head head = {kind, value, id};

	if (sys_send(l->janitor, &head, sizeof head, NULL, 0, 0) < 0)
		lose_janitor(l);
}

static void make_cells(struct launcher *l, unsigned wanted)
{
	unsigned have = l->ready_count + l->preparing_count;

	if (have < wanted) {
		ask_janitor(l, WIRE_MAKE, (int32_t)(wanted - have), 0);
		l->preparing_count += wanted - have;
	}
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void launcher_order_cells(struct launcher *l)
{
	make_cells(l, l->waiting_count);
	/* Making one takes the locks and the processor that a container just started needs. */
	if (!l->refill_at_ms)
		l->refill_at_ms = now_ms() + REFILL_MS;
}

static void refill(struct launcher *l)
{
	l->refill_at_ms = 0;
	make_cells(l, l->context.options.cells_ready + l->waiting_count);
}

int launcher_watch(struct launcher *l, int fd, struct source *source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};

	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static void free_cell(struct launcher *l, struct cell_entry *e)
{
	list_remove(&e->link);
	if (e->state == CELL_READY)
		l->ready_count--;
	else if (e->state == CELL_PREPARING)
		l->preparing_count--;
	else {
		l->running_count--;
		l->slots[e->slot] = 0;
	}
	if (e->assignment && !e->told)
		launcher_refuse(l, e->id, ERR_NOT_FOUND, "the container has ended");
	mem_free(e->assignment);
	ask_janitor(l, WIRE_REMOVE, 0, e->cell);
	sys_close_p(&e->pidfd);
	sys_close_p(&e->gate);
	sys_close_p(&e->mount_namespace);
	for (unsigned i = 0; i < e->listener_count; i++)
		sys_close_p(&e->listeners[i]);
	mem_free(e);
}

static void add_cell(struct launcher *l, const struct wire_head *head, const int *fds)
{
	struct cell_entry *e = mem_new(struct cell_entry);

	e->gate_source.kind = SOURCE_GATE;
	e->end_source.kind = SOURCE_END;
	e->cell = head->id;
	e->pid = head->value;
	e->pidfd = fds[0];
	e->gate = fds[1];
	e->status = e->mount_namespace = -1;
	e->state = CELL_PREPARING;
	list_push_back(&l->preparing, &e->link);
	if (launcher_watch(l, e->gate, &e->gate_source) < 0 ||
		launcher_watch(l, e->pidfd, &e->end_source) < 0)
		l->ending = true;
}

/* Kills also what is frozen: v1 delivers the signal only after the thaw, which takes milliseconds
 * when the machine is busy. */
void launcher_kill(struct launcher *l, struct cell_entry *e)
{
	pidfd_send_signal(e->pidfd, SIGKILL, NULL, 0);
	ask_janitor(l, WIRE_THAW, 0, e->cell);
}

struct cell_entry *launcher_find(struct launcher *l, uint64_t id)
{
	list_for_each(at, &l->running) {
		struct cell_entry *e = list_entry(at, struct cell_entry, link);

		if (e->id == id)
			return e;
	}
	return NULL;
}

/* --- unpacking ------------------------------------------------------------------------------ */

/*
 * libarchive, for those who unpack and are forked from us: when the first is asked for, because
 * with what it needs in turn it takes as long as our whole start. It is found in the template,
 * which shows what our own mounts do not. Missing, it is told by whoever unpacks.
 */
static void load_archives(struct launcher *l)
{
	cleanup(sys_close_p) int own = -1;

	if (l->archives_loaded)
		return;
	l->archives_loaded = true;
	own = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (own < 0 || chroot(ROOT_TEMPLATE) != 0)
		return;
	(void)unpack_preload();
	check(fchdir(own) == 0 && chroot(".") == 0);
}

/*
 * A process of its own for each archive: what it does to the folder takes as long as the disk does.
 * It acts as the owner of the data folder, because the folder's descriptor comes from the worker.
 */
noreturn_fn static void unpack_in_helper(const struct launcher *l, int archive, int folder,
	const struct wire_unpack *request, int report_fd)
{
	struct wire_unpacked report = {.rc = ERR_DENIED};
	struct sandbox_error error = {""};
	struct stat st;

	if (fstat(l->data, &st) == 0 &&
		(l->context.rootless || (setgroups(0, NULL) == 0 &&
						setresgid(st.st_gid, st.st_gid, st.st_gid) == 0 &&
						setresuid(st.st_uid, st.st_uid, st.st_uid) == 0)))
		report.rc = unpack_zip(
			archive, folder, request->name, &request->limits, &report.result, &error);
	memcpy(report.text, error.text, sizeof report.text);
	(void)!write(report_fd, &report, sizeof report);
	_exit(0);
}

static int start_helper(
	struct launcher *l, struct helper_entry *h, int archive, int folder, const void *body)
{
	struct wire_unpack request;
	int pipe_fds[2];
	long pid;
	struct clone_args args = {
		.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&h->pidfd, .exit_signal = SIGCHLD};

	load_archives(l);
	memcpy(&request, body, sizeof request);
	request.name[sizeof request.name - 1] = 0;
	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return -errno;
	pid = sys_clone3(&args);
	if (pid == 0) {
		close(l->client); /* its end of file tells that we are gone */
		unpack_in_helper(l, archive, folder, &request, pipe_fds[1]);
	}
	close(pipe_fds[1]);
	h->report_fd = pipe_fds[0];
	return pid < 0 ? -errno : 0;
}

static void drop_helper(struct launcher *l, struct helper_entry *h)
{
	sys_close_p(&h->pidfd);
	sys_close_p(&h->report_fd);
	list_remove(&h->link);
	l->helper_count--;
	mem_free(h);
}

static void unpack(struct launcher *l, size_t n, const int *fds, unsigned fd_count)
{
	const struct wire_head *head = (const struct wire_head *)l->message;
	struct helper_entry *h;
	int rc;

	if (n != sizeof *head + sizeof(struct wire_unpack) || fd_count != 2) {
		launcher_refuse(l, head->id, ERR_INVALID, "malformed request to unpack");
		return;
	}
	if (l->helper_count >= HELPERS_MAX) {
		launcher_refuse(
			l, head->id, ERR_BUSY, "%d archives are being unpacked", HELPERS_MAX);
		return;
	}
	h = mem_new(struct helper_entry);
	h->source.kind = SOURCE_HELPER;
	h->id = head->id;
	h->pidfd = h->report_fd = -1;
	rc = start_helper(l, h, fds[0], fds[1], head + 1);
	if (rc == 0)
		rc = launcher_watch(l, h->pidfd, &h->source);
	list_push_back(&l->helpers, &h->link);
	l->helper_count++;
	if (rc < 0) {
		launcher_refuse(l, head->id, ERR_IO, "cannot start the helper: %s", strerror(-rc));
		drop_helper(l, h);
	}
}

static void helper_ended(struct launcher *l, struct helper_entry *h)
{
	struct wire_unpacked report = {.rc = ERR_INTERNAL, .text = "the helper died"};
	struct wire_unpacked told;
	siginfo_t info;

	if (read(h->report_fd, &told, sizeof told) == sizeof told)
		report = told;
	if (waitid(P_PIDFD, (id_t)h->pidfd, &info, WEXITED) != 0)
		return;
	launcher_tell(l, (struct wire_head){WIRE_UNPACKED, report.rc, h->id}, &report,
		sizeof report, NULL, 0);
	drop_helper(l, h);
}

/* --- events --------------------------------------------------------------------------------- */

static void forward(struct launcher *l, struct cell_entry *e, const struct wire_head *head)
{
	if (!e)
		return; /* it has just ended */
	if (head->kind == WIRE_KILL) {
		e->killed = true;
		launcher_kill(l, e);
	} else if (head->kind != WIRE_SIGNAL || (head->value > 0 && head->value < NSIG)) {
		(void)!sys_send(e->gate, head, sizeof *head, NULL, 0, MSG_DONTWAIT);
	}
}

/* A kill may overtake its own start in the queue. */
static bool drop_waiting(struct launcher *l, uint64_t id)
{
	list_for_each(at, &l->waiting) {
		struct waiting *w = list_entry(at, struct waiting, link);

		if (((struct wire_head *)w->message)->id != id)
			continue;
		list_remove(at);
		mem_free(w);
		l->waiting_count--;
		launcher_refuse(l, id, ERR_CANCELLED, "killed before it started");
		return true;
	}
	return false;
}

static void client_message(struct launcher *l)
{
	const struct wire_head *head = (const struct wire_head *)l->message;
	int fds[2];
	unsigned fd_count;
	ssize_t n = sys_receive(l->client, l->message, WIRE_MAX, fds, 2, &fd_count, MSG_DONTWAIT);

	if (n == -EAGAIN || n == -EMSGSIZE)
		return;
	if (n < (ssize_t)sizeof *head) {
		l->ending = true;
		return;
	}
	switch (head->kind) {
	case WIRE_START: launcher_start_container(l, (size_t)n); break;
	case WIRE_ASSIGN: launcher_assign(l, (size_t)n); break;
	case WIRE_UNPACK: unpack(l, (size_t)n, fds, fd_count); break;
	case WIRE_KILL:
		if (drop_waiting(l, head->id))
			break;
		/* fall through */
	case WIRE_SIGNAL:
	case WIRE_CONNECT:
	case WIRE_FREEZE:
	case WIRE_THAW: forward(l, launcher_find(l, head->id), head); break;
	default: launcher_refuse(l, head->id, ERR_INVALID, "unknown request"); break;
	}
	sys_close_all(fds, fd_count);
}

static const char REMEDY[] =
	"run cirrus as root, or allow user namespaces (sysctl user.max_user_namespaces, "
	"kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)";

/* A cell could not be made or prepared. */
static void trouble(struct launcher *l, const char *step, int err)
{
	char text[SANDBOX_TEXT_MAX];

	snprintf(text, sizeof text, "cannot %.60s: %s; %s", step, strerror(err), REMEDY);
	if (!l->greeted) {
		greet(l, ERR_UNSUPPORTED, text);
		l->ending = true;
		return;
	}
	if (l->waiting_count) {
		struct waiting *w = list_entry(list_pop_front(&l->waiting), struct waiting, link);

		l->waiting_count--;
		launcher_refuse(
			l, ((struct wire_head *)w->message)->id, ERR_UNSUPPORTED, "%s", text);
		mem_free(w);
	}
}

static void janitor_message(struct launcher *l)
{
	struct {
		struct wire_head head;
		char text[SANDBOX_TEXT_MAX + 1];
	} in;
	int fds[2];
	unsigned fd_count;
	ssize_t n = sys_receive(l->janitor, &in, sizeof in - 1, fds, 2, &fd_count, MSG_DONTWAIT);

	if (n == -EAGAIN)
		return;
	if (n < (ssize_t)sizeof in.head) {
		lose_janitor(l);
	} else if (in.head.kind == WIRE_CELL && fd_count == 2) {
		add_cell(l, &in.head, fds);
	} else if (in.head.kind == WIRE_TROUBLE) {
		in.text[(size_t)n - sizeof in.head] = 0;
		l->preparing_count--;
		trouble(l, in.text, in.head.value);
	}
}

static void cell_ready(struct launcher *l, struct cell_entry *e, const int *fds, unsigned fd_count)
{
	e->mount_namespace = fds[0];
	for (unsigned i = 1; i < fd_count; i++)
		e->listeners[i - 1] = fds[i];
	e->listener_count = fd_count - 1;
	list_remove(&e->link);
	e->state = CELL_READY;
	list_push_back(&l->ready, &e->link);
	l->preparing_count--;
	l->ready_count++;
	if (!l->greeted) {
		char groups[128], text[SANDBOX_TEXT_MAX];

		cgroups_describe(&l->context.cgroups, groups, sizeof groups);
		snprintf(text, sizeof text, "as %s; control groups: %s",
			l->context.rootless ? "ordinary user" : "root", groups);
		greet(l, 0, text);
		/* The worker, which starts at the same time, needs the processors more. */
		l->refill_at_ms = now_ms() + SETTLE_MS;
	}
	launcher_start_waiting(l);
}

/* How the process ended whose status came first. */
static void describe_status(const struct cell_entry *e, struct sandbox_exit *out)
{
	out->end = WIFEXITED(e->status) ? SANDBOX_EXITED : SANDBOX_SIGNALED;
	if (WIFEXITED(e->status))
		out->status = WEXITSTATUS(e->status);
	else
		out->signal = WTERMSIG(e->status);
	out->companion = e->ended;
}

/* The first that is told says why the container ends. */
static void process_ended(struct launcher *l, struct cell_entry *e, const struct wire_head *head)
{
	struct sandbox_exit out = {.end = SANDBOX_EXITED};

	if (e->status >= 0)
		return;
	e->status = head->value;
	e->ended = (unsigned)head->id;
	if (!e->companions || e->killed)
		return;
	describe_status(e, &out);
	out.memory_peak_bytes = cgroups_memory_peak(&l->context.cgroups, e->cell);
	out.out_of_memory = cgroups_out_of_memory(&l->context.cgroups, e->cell);
	launcher_tell(l, (struct wire_head){WIRE_EXITED, 0, e->id}, &out, sizeof out, NULL, 0);
}

/* False at the end of file or when there is nothing. */
static bool cell_message(struct launcher *l, struct cell_entry *e)
{
	struct {
		struct wire_head head;
		char text[65];
	} in;
	int fds[1 + SANDBOX_LISTENS_MAX];
	unsigned fd_count;
	ssize_t n = sys_receive(
		e->gate, &in, sizeof in - 1, fds, ARRAY_SIZE(fds), &fd_count, MSG_DONTWAIT);

	if (n < (ssize_t)sizeof in.head) {
		if (n >= 0) /* its end follows; do not spin until then */
			epoll_ctl(l->epoll, EPOLL_CTL_DEL, e->gate, NULL);
		return false;
	}
	if (in.head.kind == WIRE_READY && e->state == CELL_PREPARING && fd_count) {
		cell_ready(l, e, fds, fd_count);
		return true;
	}
	if (in.head.kind == WIRE_CONNECTED && e->state == CELL_RUNNING) {
		in.head.id = e->id;
		launcher_tell(l, in.head, NULL, 0, fds, fd_count);
	}
	sys_close_all(fds, fd_count);
	if (in.head.kind == WIRE_BOOTED) {
		launcher_booted(l, e);
	} else if (in.head.kind == WIRE_STATUS) {
		process_ended(l, e, &in.head);
	} else if (in.head.kind == WIRE_FAILED) {
		in.text[(size_t)n - sizeof in.head] = 0;
		snprintf(e->failure, sizeof e->failure, "cannot %s: %s", in.text,
			strerror(in.head.value));
		if (e->state == CELL_PREPARING)
			trouble(l, in.text, in.head.value);
	}
	return true;
}

static void report_end(struct launcher *l, struct cell_entry *e, const struct rusage *used)
{
	struct sandbox_exit out = {.end = SANDBOX_EXITED};

	out.cpu_ns = (uint64_t)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000000000u +
		     (uint64_t)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) * 1000u;
	out.memory_peak_bytes = cgroups_memory_peak(&l->context.cgroups, e->cell);
	out.out_of_memory = e->out_of_memory || cgroups_out_of_memory(&l->context.cgroups, e->cell);
	if (e->failure[0]) {
		out.end = SANDBOX_FAILED;
		memcpy(out.text, e->failure, sizeof out.text);
	} else if (e->status >= 0) {
		describe_status(e, &out);
	} else if (e->killed) {
		out.end = SANDBOX_KILLED;
	} else {
		out.end = SANDBOX_SIGNALED; /* PID 1 itself: out of memory, or from outside */
		out.signal = SIGKILL;
	}
	launcher_tell(l, (struct wire_head){WIRE_END, 0, e->id}, &out, sizeof out, NULL, 0);
}

static void cell_ended(struct launcher *l, struct cell_entry *e)
{
	struct rusage used = {0};
	siginfo_t info;

	while (cell_message(l, e))
		;
	/* The C library's waitid() leaves the usage out. */
	if (syscall(SYS_waitid, P_PIDFD, e->pidfd, &info, WEXITED, &used) != 0)
		return;
	if (e->state == CELL_RUNNING && !e->told)
		report_end(l, e, &used);
	free_cell(l, e);
	if (!l->ending)
		launcher_order_cells(l);
}

static void handle(struct launcher *l, struct source *source)
{
	switch (source->kind) {
	case SOURCE_CLIENT: client_message(l); break;
	case SOURCE_JANITOR: janitor_message(l); break;
	case SOURCE_GATE:
		cell_message(l, container_of(source, struct cell_entry, gate_source));
		break;
	case SOURCE_END: cell_ended(l, container_of(source, struct cell_entry, end_source)); break;
	case SOURCE_HELPER:
		helper_ended(l, container_of(source, struct helper_entry, source));
		break;
	}
}

/* --- life ----------------------------------------------------------------------------------- */

/* Without control groups: looks at the memory of each container now and then. */
static void watch_memory(struct launcher *l)
{
	list_for_each(at, &l->running) {
		struct cell_entry *e = list_entry(at, struct cell_entry, link);

		if (e->memory_bytes && !e->killed &&
			watch_memory_of(ROOT_PROC, e->pid) > e->memory_bytes) {
			e->out_of_memory = true;
			launcher_kill(l, e);
		}
	}
}

static void end_list(struct launcher *l, struct list *cells)
{
	list_for_each(at, cells)
		launcher_kill(l, list_entry(at, struct cell_entry, link));
}

/* Kills everything, waits for it as long as is decent, and lets the janitor clean up. */
noreturn_fn static void finish(struct launcher *l)
{
	struct pollfd wait = {.fd = l->janitor, .events = 0};

	end_list(l, &l->running);
	end_list(l, &l->ready);
	end_list(l, &l->preparing);
	list_for_each(at, &l->helpers)
		pidfd_send_signal(
			list_entry(at, struct helper_entry, link)->pidfd, SIGKILL, NULL, 0);
	shutdown(l->janitor, SHUT_WR);
	if (poll(&wait, 1, END_WAIT_MS) > 0)
		waitpid(l->janitor_pid, NULL, 0);
	network_close(&l->context.network);
	_exit(l->broken ? LAUNCHER_EXIT_BROKEN : 0);
}

static int timeout(const struct launcher *l, bool watchdog)
{
	int64_t wait = -1;

	if (l->refill_at_ms) {
		wait = l->refill_at_ms - now_ms();
		wait = wait < 0 ? 0 : wait;
	}
	if (watchdog && l->running_count && (wait < 0 || wait > WATCH_MS))
		wait = WATCH_MS;
	return (int)wait;
}

noreturn_fn static void run(struct launcher *l)
{
	bool watchdog = !l->context.cgroups.version[CGROUP_MEMORY];
	struct epoll_event events[EVENTS];

	while (!l->ending) {
		int n = epoll_wait(l->epoll, events, EVENTS, timeout(l, watchdog));

		/* A handler may free what a later event of the same batch points to only at
		 * SOURCE_END, so gates come first. */
		for (int i = 0; i < n; i++)
			if (((struct source *)events[i].data.ptr)->kind == SOURCE_GATE) {
				handle(l, events[i].data.ptr);
				events[i].data.ptr = NULL; /* it may be gone below */
			}
		for (int i = 0; i < n && !l->ending; i++)
			if (events[i].data.ptr)
				handle(l, events[i].data.ptr);
		if (l->refill_at_ms && now_ms() >= l->refill_at_ms)
			refill(l);
		if (watchdog)
			watch_memory(l);
	}
	finish(l);
}

/* As an ordinary user: every privilege below is one of a user namespace of our own. */
static int enter_user_namespace(struct sandbox_error *error)
{
	char text[48];
	unsigned uid = geteuid(), gid = getegid();

	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0 || unshare(CLONE_NEWUSER) != 0) {
		snprintf(error->text, sizeof error->text, "cannot make a user namespace: %s; %s",
			strerror(errno), REMEDY);
		return -1;
	}
	snprintf(text, sizeof text, "%d %u 1", SANDBOX_UID, gid);
	if (sys_write_file(AT_FDCWD, "/proc/self/setgroups", "deny") < 0 ||
		sys_write_file(AT_FDCWD, "/proc/self/gid_map", text) < 0)
		goto out;
	snprintf(text, sizeof text, "%d %u 1", SANDBOX_UID, uid);
	if (sys_write_file(AT_FDCWD, "/proc/self/uid_map", text) == 0)
		return 0;
out:
	snprintf(error->text, sizeof error->text, "cannot map the user: %s", strerror(errno));
	return -1;
}

/* Can a process without capabilities make one? As root only hardening, so it may be missing. */
static bool can_nest_user_namespaces(void)
{
	int status = 1;
	pid_t pid = sys_fork();

	if (pid == 0)
		_exit(setresuid(65534, 65534, 65534) == 0 && unshare(CLONE_NEWUSER) == 0 ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

static int open_folders(struct launcher *l)
{
	char path[32];

	l->data = open(ROOT_DATA, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (l->data < 0)
		return -1;
	for (unsigned i = 0;
		l->context.options.runtime_roots && l->context.options.runtime_roots[i]; i++) {
		snprintf(path, sizeof path, "%s/%u", ROOT_ROOTS, i);
		l->roots[i] = open(path, O_PATH | O_CLOEXEC);
		if (l->roots[i] < 0)
			return -1;
	}
	return 0;
}

static int start_janitor(struct launcher *l)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	l->janitor_pid = sys_fork();
	if (l->janitor_pid == 0) {
		close(l->client);
		close(l->epoll);
		close(pair[0]);
		janitor_main(&l->context, pair[1]);
	}
	close(pair[1]);
	l->janitor = pair[0];
	return l->janitor_pid < 0 ? -1 : 0;
}

/* 0, or negative with what is missing and what would help. */
static int set_up(struct launcher *l, struct sandbox_error *error)
{
	struct rlimit files;
	static struct source client = {SOURCE_CLIENT}, janitor = {SOURCE_JANITOR};

	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (l->context.options.rootless && geteuid() == 0) {
		unsigned uid = l->context.options.uid_first;

		if (setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)
			return -1;
	}
	l->context.rootless = geteuid() != 0;
	cgroups_open(&l->context.cgroups);
	if (filter_build(&l->context.filter) < 0) {
		snprintf(error->text, sizeof error->text, "cannot build the seccomp filter");
		return -1;
	}
	if (l->context.rootless && enter_user_namespace(error) < 0)
		return -1;
	l->context.user_namespace = l->context.rootless || can_nest_user_namespaces();
	if (root_build(&l->context.options, error) < 0 ||
		network_open(&l->context.network, &l->context.options.network, error) < 0)
		return -1;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0 || open_folders(l) < 0 || start_janitor(l) < 0 ||
		launcher_watch(l, l->client, &client) < 0 ||
		launcher_watch(l, l->janitor, &janitor) < 0) {
		snprintf(error->text, sizeof error->text, "cannot start: %s", strerror(errno));
		return -1;
	}
	return 0;
}

/* So that who reads the supervisor's output sees its end when it ends. */
static void use_null(int number, int flags)
{
	cleanup(sys_close_p) int fd = open("/dev/null", flags | O_CLOEXEC);

	if (fd < 0 || dup2(fd, number) < 0)
		_exit(1);
}

noreturn_fn static void launcher_main(const struct launcher_options *options, int client)
{
	struct launcher *l = mem_new(struct launcher);
	struct sandbox_error error = {""};

	prctl(PR_SET_NAME, "cirrus-launcher", 0, 0, 0);
	use_null(0, O_RDONLY);
	use_null(1, O_WRONLY);
	setsid();
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	l->context.options = *options;
	l->context.network.router = -1;
	l->client = client;
	list_init(&l->preparing);
	list_init(&l->ready);
	list_init(&l->running);
	list_init(&l->waiting);
	list_init(&l->helpers);
	if (!l->context.options.cells_ready)
		l->context.options.cells_ready = 4;
	if (!l->context.options.containers_max)
		l->context.options.containers_max = 1000;
	if (!l->context.options.uid_first)
		l->context.options.uid_first = 0x70000000;
	l->slots = mem_zero(l->context.options.containers_max + 1);
	if (set_up(l, &error) < 0) {
		greet(l, ERR_UNSUPPORTED, error.text);
		network_close(&l->context.network);
		_exit(1);
	}
	/* One shows that all is there; the others would only delay it, and with it the server's
	 * start. */
	make_cells(l, 1);
	run(l);
}

int launcher_start(const struct launcher_options *options, pid_t *ret_pid, int *ret_fd)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return rc_from_errno(errno);
	pid = fork();
	if (pid == 0) {
		/* Nothing of the supervisor's stays open but standard error. */
		if (dup3(pair[1], 3, O_CLOEXEC) != 3 && pair[1] != 3)
			_exit(1);
		sys_close_range(4, ~0u);
		launcher_main(options, 3);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return rc_from_errno(errno);
	}
	*ret_pid = pid;
	*ret_fd = pair[0];
	return 0;
}
