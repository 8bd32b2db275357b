/*
 * The worker's side: requests out, answers and ends back, over one connection to the launcher.
 *
 * Any thread sends: one datagram is one system call. One fiber, on the loop that opened the
 * sandbox, receives and wakes whoever waits. The table of what is under way, and the state in it,
 * is under one mutex that is never held over a suspension. An entry leaves the table when the
 * launcher has said the last word on it; whoever gave up before leaves it to the reader
 * (`abandoned`).
 */
#include "sandbox/sandbox.h"

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"
#include "rt/rt.h"
#include "rt/stream.h"
#include "sandbox/cgroup.h"
#include "sandbox/sys.h"
#include "sandbox/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
	SANDBOX_MAGIC = 0x73626f78,
	ENTRY_MAGIC = 0x73626565,
	REPLY_MAX = 2048,
	FDS_MAX = 3 + SANDBOX_LISTENS_MAX + SANDBOX_PIPES_MAX,
	RETRY_NS = 500 * 1000,
};

struct sandbox {
	uint32_t magic;
	struct rt_stream *stream;
	int fd; /* the stream's */
	struct wire_hello hello;
	_Atomic(uint64_t) next_id;
	_Atomic(bool) broken;
	_Atomic(bool) unsent; /* a kill found the socket full */
	pthread_mutex_t mutex;
	struct map entries; /* by id */
	struct rt_fiber *reader;
	uint64_t reader_id;
	struct rt_event opened, reader_ended;
};

enum entry_kind { ENTRY_CONTAINER, ENTRY_UNPACK };

/* What the table holds: a container, or an archive that is being unpacked. */
struct sandbox_container {
	uint32_t magic;
	enum entry_kind kind;
	struct sandbox *sandbox;
	uint64_t id;
	/* the answer to the request under way; the reader's while `asking` */
	struct rt_event answered;
	int rc;
	struct sandbox_error error;
	/* under the mutex */
	bool asking;
	bool started;   /* the reader's */
	bool abandoned; /* the reader frees it */
	bool ended;     /* out of the table */
	bool kill_unsent;
	struct rt_event end_event;
	void (*on_end)(void *arg);
	void *on_end_arg;
	struct sandbox_exit end;
	bool exited; /* of its processes one has ended: `first` */
	struct sandbox_exit first;
	void (*on_exit)(void *arg);
	void *on_exit_arg;
	/* container */
	int connection; /* what was asked for came: the asker's */
	int freezer, cpu, memory;
	int listeners[SANDBOX_LISTENS_MAX], pipes[SANDBOX_PIPES_MAX];
	unsigned listener_count, pipe_count;
	/* unpack */
	struct unpack_result unpacked;
};

/* --- the table ------------------------------------------------------------------------------ */

static str key_of(const uint64_t *id)
{
	return str_of(id, sizeof *id);
}

static struct sandbox_container *entry_new(struct sandbox *s, enum entry_kind kind)
{
	struct sandbox_container *c = mem_new(struct sandbox_container);

	c->magic = ENTRY_MAGIC;
	c->kind = kind;
	c->sandbox = s;
	c->id = atomic_fetch_add(&s->next_id, 1);
	c->freezer = c->cpu = c->memory = c->connection = -1;
	rt_event_init(&c->answered);
	rt_event_init(&c->end_event);
	return c;
}

static void entry_done(struct sandbox_container *c)
{
	sys_close(&c->freezer);
	sys_close(&c->cpu);
	sys_close(&c->memory);
	sys_close(&c->connection);
	sys_close_all(c->listeners, c->listener_count);
	sys_close_all(c->pipes, c->pipe_count);
	mem_free(c);
}

/* False when the launcher is gone: then nobody would take it out again. */
static bool entry_add(struct sandbox *s, struct sandbox_container *c)
{
	bool added;

	pthread_mutex_lock(&s->mutex);
	added = !atomic_load(&s->broken);
	if (added)
		map_put(&s->entries, key_of(&c->id), c);
	pthread_mutex_unlock(&s->mutex);
	return added;
}

/* The last word on it. Wakes its owner, or frees it when there is none any more. */
static void entry_end(
	struct sandbox *s, struct sandbox_container *c, const struct sandbox_exit *end)
{
	void (*fn)(void *arg);
	void *arg;
	bool abandoned;

	pthread_mutex_lock(&s->mutex);
	map_remove(&s->entries, key_of(&c->id));
	c->end = *end;
	c->ended = true;
	abandoned = c->abandoned;
	fn = c->on_end;
	arg = c->on_end_arg;
	/* Inside, because outside its owner may free it. */
	rt_event_set(&c->end_event);
	pthread_mutex_unlock(&s->mutex);
	if (abandoned)
		entry_done(c);
	else if (fn)
		fn(arg);
}

/* --- sending -------------------------------------------------------------------------------- */

static int send_now(
	struct sandbox *s, const void *bytes, size_t n, const int *fds, unsigned fd_count)
{
	int rc = sys_send(s->fd, bytes, n, fds, fd_count, MSG_DONTWAIT);

	if (rc == -EAGAIN)
		return ERR_BUSY;
	return rc < 0 ? ERR_CLOSED : 0;
}

/* The launcher takes requests in tens of microseconds, so a full socket is rare and short. */
static mayyield int send_all(
	struct sandbox *s, str message, const int *fds, unsigned fd_count, int64_t deadline)
{
	for (;;) {
		int64_t next = rt_now() + RETRY_NS;
		int rc = send_now(s, message.p, message.n, fds, fd_count);

		if (rc != ERR_BUSY)
			return rc;
		if (next > deadline)
			return ERR_TIMEOUT;
		TRY(rt_sleep_until(next));
	}
}

static void send_kill(struct sandbox *s, struct sandbox_container *c)
{
	struct wire_head head = {.kind = WIRE_KILL, .id = c->id};

	if (send_now(s, &head, sizeof head, NULL, 0) == ERR_BUSY) {
		c->kill_unsent = true;
		atomic_store(&s->unsent, true);
	}
}

/* The socket was full because the launcher had much to answer: so this comes soon. */
static void send_unsent(struct sandbox *s)
{
	if (!atomic_exchange(&s->unsent, false))
		return;
	pthread_mutex_lock(&s->mutex);
	map_for_each(slot, &s->entries) {
		struct sandbox_container *c = slot->value;

		if (c->kill_unsent) {
			c->kill_unsent = false;
			send_kill(s, c);
		}
	}
	pthread_mutex_unlock(&s->mutex);
}

/* --- the reader ----------------------------------------------------------------------------- */

static int keep_started(struct sandbox_container *c, str body, int *fds, unsigned fd_count)
{
	struct wire_started started;
	int *controls[] = {&c->freezer, &c->cpu, &c->memory};
	uint8_t has[3];
	unsigned at = 0;

	if (body.n != sizeof started)
		return ERR_INTERNAL;
	memcpy(&started, body.p, sizeof started);
	memcpy(has, (uint8_t[]){started.freezer, started.cpu, started.memory}, sizeof has);
	if ((unsigned)has[0] + has[1] + has[2] + started.listeners + started.pipes != fd_count ||
		started.listeners > SANDBOX_LISTENS_MAX || started.pipes > SANDBOX_PIPES_MAX)
		return ERR_INTERNAL;
	for (int i = 0; i < 3; i++)
		if (has[i])
			*controls[i] = sys_take(&fds[at++]);
	for (unsigned i = 0; i < started.listeners; i++)
		c->listeners[i] = sys_take(&fds[at++]);
	for (unsigned i = 0; i < started.pipes; i++)
		c->pipes[i] = sys_take(&fds[at++]);
	c->listener_count = started.listeners;
	c->pipe_count = started.pipes;
	return 0;
}

/* Is its owner gone? Then what it asked for is undone. */
static bool is_abandoned(struct sandbox *s, const struct sandbox_container *c)
{
	bool abandoned;

	pthread_mutex_lock(&s->mutex);
	abandoned = c->abandoned;
	pthread_mutex_unlock(&s->mutex);
	return abandoned;
}

/* When nobody asks (any more), there is nothing to answer. */
static void answer(struct sandbox_container *c, int rc, str text)
{
	pthread_mutex_lock(&c->sandbox->mutex);
	if (c->asking) {
		c->asking = false;
		c->rc = rc;
		snprintf(c->error.text, sizeof c->error.text, "%.*s", STR_ARG(text));
		rt_event_set(&c->answered);
	}
	pthread_mutex_unlock(&c->sandbox->mutex);
}

static void handle_unpacked(struct sandbox *s, struct sandbox_container *c, int rc, str body)
{
	struct wire_unpacked report;
	struct sandbox_exit end = {.end = SANDBOX_EXITED};

	if (body.n == sizeof report) {
		memcpy(&report, body.p, sizeof report);
		c->unpacked = report.result;
		answer(c, rc, str_of(report.text, strnlen(report.text, sizeof report.text)));
	} else {
		answer(c, rc < 0 ? rc : ERR_INTERNAL, body);
	}
	entry_end(s, c, &end);
}

static void handle_exited(struct sandbox *s, struct sandbox_container *c, str body)
{
	void (*fn)(void *arg) = NULL;

	pthread_mutex_lock(&s->mutex);
	if (!c->exited && !c->abandoned && body.n == sizeof c->first) {
		memcpy(&c->first, body.p, sizeof c->first);
		c->exited = true;
		fn = c->on_exit;
	}
	pthread_mutex_unlock(&s->mutex);
	if (fn)
		fn(c->on_exit_arg);
}

/* A connection for a caller that has left meanwhile is closed with all other descriptors. */
static void handle_connected(struct sandbox_container *c, int err, int *fds, unsigned n)
{
	pthread_mutex_lock(&c->sandbox->mutex);
	if (c->asking && !err && n == 1)
		c->connection = sys_take(&fds[0]);
	pthread_mutex_unlock(&c->sandbox->mutex);
	answer(c, err ? (err == ECONNREFUSED ? ERR_NOT_FOUND : ERR_IO) : 0, STR_NULL);
}

static void handle(struct sandbox *s, const struct wire_head *head, str body, int *fds, unsigned n)
{
	struct sandbox_container *c;
	struct sandbox_exit end = {.end = SANDBOX_FAILED};

	pthread_mutex_lock(&s->mutex);
	c = map_get(&s->entries, key_of(&head->id));
	pthread_mutex_unlock(&s->mutex);
	if (!c)
		return;
	switch (head->kind) {
	case WIRE_STARTED:
		c->started = true;
		answer(c, keep_started(c, body, fds, n), STR_NULL);
		if (is_abandoned(s, c))
			send_kill(s, c);
		break;
	case WIRE_ASSIGNED: answer(c, 0, STR_NULL); break;
	case WIRE_UNPACKED: handle_unpacked(s, c, head->value, body); break;
	case WIRE_EXITED: handle_exited(s, c, body); break;
	case WIRE_CONNECTED: handle_connected(c, head->value, fds, n); break;
	case WIRE_REFUSED:
		answer(c, head->value < 0 ? head->value : ERR_INTERNAL, body);
		/* A refused assignment leaves a container behind, whose end still comes. */
		if (c->kind == ENTRY_UNPACK || !c->started) {
			snprintf(end.text, sizeof end.text, "%.*s", STR_ARG(body));
			entry_end(s, c, &end);
		}
		break;
	case WIRE_END:
		if (body.n == sizeof end)
			memcpy(&end, body.p, sizeof end);
		answer(c, ERR_CLOSED, STR("the container has ended"));
		entry_end(s, c, &end);
		break;
	default: break;
	}
}

/* The launcher is gone, and with it every container. */
static void break_all(struct sandbox *s)
{
	struct sandbox_exit end = {.end = SANDBOX_KILLED, .text = "the launcher has ended"};

	atomic_store(&s->broken, true);
	for (;;) {
		struct sandbox_container *c = NULL;

		pthread_mutex_lock(&s->mutex);
		map_for_each(slot, &s->entries)
			c = slot->value;
		pthread_mutex_unlock(&s->mutex);
		if (!c)
			break;
		answer(c, ERR_CLOSED, STR("the launcher has ended"));
		entry_end(s, c, &end);
	}
}

static void read_messages(void *arg)
{
	struct sandbox *s = check_object(arg, struct sandbox, SANDBOX_MAGIC);
	char in[sizeof(struct wire_head) + REPLY_MAX];

	s->reader = rt_fiber_self();
	s->reader_id = rt_fiber_id(s->reader);
	rt_event_set(&s->opened);
	for (;;) {
		struct wire_head head;
		int fds[FDS_MAX];
		unsigned fd_count = 0;
		int n = rt_stream_receive_message(
			s->stream, in, sizeof in, fds, FDS_MAX, &fd_count, RT_NEVER);

		if (n < (int)sizeof head)
			break;
		memcpy(&head, in, sizeof head);
		handle(s, &head, str_of(in + sizeof head, (size_t)n - sizeof head), fds, fd_count);
		sys_close_all(fds, fd_count);
		send_unsent(s);
	}
	break_all(s);
	rt_event_set(&s->reader_ended);
}

/* --- opening -------------------------------------------------------------------------------- */

static mayyield int receive_hello(struct sandbox *s, int64_t deadline,
	struct sandbox_info *ret_info, struct sandbox_error *error)
{
	char in[sizeof(struct wire_head) + REPLY_MAX];
	struct wire_head head;
	unsigned none;
	int n = TRY(rt_stream_receive_message(s->stream, in, sizeof in, NULL, 0, &none, deadline));

	if (n != (int)(sizeof head + sizeof s->hello))
		return ERR_CLOSED;
	memcpy(&head, in, sizeof head);
	memcpy(&s->hello, in + sizeof head, sizeof s->hello);
	if (head.kind != WIRE_HELLO)
		return ERR_INTERNAL;
	if (head.value < 0) {
		memcpy(error->text, s->hello.info.text, sizeof error->text);
		return head.value;
	}
	*ret_info = s->hello.info;
	return 0;
}

int sandbox_open(int fd, int64_t deadline, struct sandbox **ret_sandbox,
	struct sandbox_info *ret_info, struct sandbox_error *error)
{
	struct sandbox *s = mem_new(struct sandbox);
	int rc;

	s->magic = SANDBOX_MAGIC;
	atomic_init(&s->next_id, 1);
	pthread_mutex_init(&s->mutex, NULL);
	rt_event_init(&s->opened);
	rt_event_init(&s->reader_ended);
	*error = (struct sandbox_error){"the launcher has ended"};
	rc = rt_stream_adopt(fd, &s->stream);
	if (rc < 0) {
		close(fd);
		mem_free(s);
		return rc;
	}
	s->fd = fd;
	rc = receive_hello(s, deadline, ret_info, error);
	if (rc >= 0)
		rc = rt_spawn(read_messages, s);
	if (rc < 0) {
		rt_stream_close(s->stream);
		pthread_mutex_destroy(&s->mutex);
		mem_free(s);
		return rc;
	}
	rt_event_wait_sure(&s->opened);
	*ret_sandbox = s;
	return 0;
}

void sandbox_close(struct sandbox *s)
{
	if (!s)
		return;
	if (!atomic_load(&s->broken))
		rt_fiber_cancel(s->reader, s->reader_id);
	rt_event_wait_sure(&s->reader_ended);
	check(s->entries.count == 0);
	rt_stream_close(s->stream);
	map_done(&s->entries);
	pthread_mutex_destroy(&s->mutex);
	mem_free(s);
}

bool sandbox_broken(const struct sandbox *s)
{
	return atomic_load(&s->broken);
}

/* --- requests ------------------------------------------------------------------------------- */

/* Gives the entry up: the reader frees it at its last word, or we do when that was said. */
static void abandon(struct sandbox_container *c)
{
	struct sandbox *s = c->sandbox;
	bool ended;

	pthread_mutex_lock(&s->mutex);
	ended = c->ended;
	c->abandoned = true;
	if (!ended && c->kind == ENTRY_CONTAINER)
		send_kill(s, c);
	pthread_mutex_unlock(&s->mutex);
	if (ended)
		entry_done(c);
}

static mayyield int send_spec(struct sandbox_container *c, enum wire_kind kind,
	const struct sandbox_spec *spec, int64_t deadline, struct sandbox_error *error)
{
	struct wire_head head = {.kind = kind, .id = c->id};
	struct buf message;
	int rc;

	buf_init(&message, NULL, WIRE_MAX);
	buf_put(&message, str_of(&head, sizeof head));
	rc = wire_put_spec(&message, spec, error);
	if (rc == 0)
		rc = send_all(c->sandbox, buf_str(&message), NULL, 0, deadline);
	buf_done(&message);
	return rc;
}

static void set_asking(struct sandbox_container *c, bool asking)
{
	pthread_mutex_lock(&c->sandbox->mutex);
	c->asking = asking;
	pthread_mutex_unlock(&c->sandbox->mutex);
}

/* Waits for the answer to what was sent with `rc`. */
static mayyield int wait_answer(
	struct sandbox_container *c, int rc, int64_t deadline, struct sandbox_error *error)
{
	if (rc == 0)
		rc = rt_event_wait(&c->answered, deadline);
	if (rc < 0) {
		set_asking(c, false);
		return rc;
	}
	*error = c->error;
	return c->rc;
}

/* Sends and waits for the answer. */
static mayyield int ask(struct sandbox_container *c, enum wire_kind kind,
	const struct sandbox_spec *spec, int64_t deadline, struct sandbox_error *error)
{
	set_asking(c, true);
	return wait_answer(c, send_spec(c, kind, spec, deadline, error), deadline, error);
}

int sandbox_start(struct sandbox *s, const struct sandbox_spec *spec, int64_t deadline,
	struct sandbox_container **ret_container, struct sandbox_error *error)
{
	struct sandbox_container *c = entry_new(s, ENTRY_CONTAINER);
	struct sandbox_error ignored;
	int rc;

	error = error ? error : &ignored;
	*error = (struct sandbox_error){""};
	if (!entry_add(s, c)) {
		entry_done(c);
		return ERR_CLOSED;
	}
	rc = ask(c, WIRE_START, spec, deadline, error);
	if (rc < 0) {
		sandbox_container_free(c);
		return rc;
	}
	*ret_container = c;
	return 0;
}

int sandbox_assign(struct sandbox_container *c, const struct sandbox_assign *assign,
	int64_t deadline, struct sandbox_error *error)
{
	struct sandbox_error ignored;
	struct sandbox_spec spec = {.mounts = assign->mounts,
		.mount_count = assign->mount_count,
		.limits = assign->limits,
		.argv = assign->argv,
		.argc = assign->argc,
		.environment = assign->environment,
		.environment_count = assign->environment_count,
		.working_folder = assign->working_folder,
		.pooled = true};

	error = error ? error : &ignored;
	*error = (struct sandbox_error){""};
	if (sandbox_ended(c))
		return ERR_CLOSED;
	return ask(c, WIRE_ASSIGN, &spec, deadline, error);
}

int sandbox_unpack(struct sandbox *s, int archive_fd, int folder_fd, const char *name,
	const struct unpack_limits *limits, int64_t deadline, struct unpack_result *ret_result,
	struct sandbox_error *error)
{
	struct {
		struct wire_head head;
		struct wire_unpack body;
	} out = {.head = {.kind = WIRE_UNPACK}};
	struct sandbox_container *c;
	size_t n = strnlen(name, sizeof out.body.name);
	int rc, fds[2] = {archive_fd, folder_fd};

	*error = (struct sandbox_error){""};
	if (n == sizeof out.body.name)
		return ERR_TOO_LARGE;
	memcpy(out.body.name, name, n);
	if (limits)
		out.body.limits = *limits;
	c = entry_new(s, ENTRY_UNPACK);
	out.head.id = c->id;
	if (!entry_add(s, c)) {
		entry_done(c);
		return ERR_CLOSED;
	}
	set_asking(c, true);
	rc = send_all(s, str_of(&out, sizeof out), fds, 2, deadline);
	rc = wait_answer(c, rc, deadline, error);
	if (rc == 0)
		*ret_result = c->unpacked;
	abandon(c);
	return rc;
}

void sandbox_container_free(struct sandbox_container *c)
{
	if (c)
		abandon(check_object(c, struct sandbox_container, ENTRY_MAGIC));
}

/* --- one container -------------------------------------------------------------------------- */

uint64_t sandbox_id(const struct sandbox_container *c)
{
	return c->id;
}

int sandbox_take_pipe(struct sandbox_container *c, unsigned i)
{
	return i < c->pipe_count ? sys_take(&c->pipes[i]) : -1;
}

int sandbox_take_listener(struct sandbox_container *c, unsigned i)
{
	return i < c->listener_count ? sys_take(&c->listeners[i]) : -1;
}

bool sandbox_ended(const struct sandbox_container *c)
{
	bool ended;

	pthread_mutex_lock(&c->sandbox->mutex);
	ended = c->ended;
	pthread_mutex_unlock(&c->sandbox->mutex);
	return ended;
}

int sandbox_wait(struct sandbox_container *c, int64_t deadline, struct sandbox_exit *ret_exit)
{
	if (!sandbox_ended(c))
		TRY(rt_event_wait(&c->end_event, deadline));
	*ret_exit = c->end;
	return 0;
}

void sandbox_on_end(struct sandbox_container *c, void (*fn)(void *arg), void *arg)
{
	bool ended;

	pthread_mutex_lock(&c->sandbox->mutex);
	ended = c->ended;
	c->on_end = fn;
	c->on_end_arg = arg;
	pthread_mutex_unlock(&c->sandbox->mutex);
	if (ended)
		fn(arg);
}

static int send_small(struct sandbox_container *c, enum wire_kind kind, int value)
{
	struct wire_head head = {.kind = kind, .value = value, .id = c->id};

	return send_now(c->sandbox, &head, sizeof head, NULL, 0);
}

int sandbox_connect(struct sandbox_container *c, uint16_t port, int64_t deadline, int *ret_fd)
{
	struct sandbox_error ignored;
	int rc;

	if (sandbox_ended(c))
		return ERR_CLOSED;
	set_asking(c, true);
	rc = wait_answer(c, send_small(c, WIRE_CONNECT, port), deadline, &ignored);
	if (rc >= 0)
		*ret_fd = sys_take(&c->connection);
	return rc;
}

void sandbox_on_first_exit(struct sandbox_container *c, void (*fn)(void *arg), void *arg)
{
	bool exited;

	pthread_mutex_lock(&c->sandbox->mutex);
	exited = c->exited;
	c->on_exit = fn;
	c->on_exit_arg = arg;
	pthread_mutex_unlock(&c->sandbox->mutex);
	if (exited)
		fn(arg);
}

bool sandbox_first_exit(struct sandbox_container *c, struct sandbox_exit *ret_exit)
{
	bool exited;

	pthread_mutex_lock(&c->sandbox->mutex);
	exited = c->exited;
	if (exited)
		*ret_exit = c->first;
	pthread_mutex_unlock(&c->sandbox->mutex);
	return exited;
}

void sandbox_kill(struct sandbox_container *c)
{
	pthread_mutex_lock(&c->sandbox->mutex);
	if (!c->ended)
		send_kill(c->sandbox, c);
	pthread_mutex_unlock(&c->sandbox->mutex);
}

void sandbox_signal(struct sandbox_container *c, int signal)
{
	(void)!send_small(c, WIRE_SIGNAL, signal);
}

static int write_control(int fd, const char *text, size_t n)
{
	/* A control file of an ended container answers ENODEV. */
	return pwrite(fd, text, n, 0) == (ssize_t)n ? 0 : errno == ENODEV ? ERR_CLOSED : ERR_IO;
}

static int set_frozen(struct sandbox_container *c, bool freeze)
{
	char text[48];
	size_t n;

	if (c->freezer < 0)
		return send_small(c, freeze ? WIRE_FREEZE : WIRE_THAW, 0);
	n = cgroup_freezer_text(c->sandbox->hello.freezer_version, freeze, text);
	return write_control(c->freezer, text, n);
}

int sandbox_freeze(struct sandbox_container *c)
{
	return set_frozen(c, true);
}

int sandbox_thaw(struct sandbox_container *c)
{
	return set_frozen(c, false);
}

bool sandbox_freezes_alone(const struct sandbox_container *c)
{
	return c->freezer >= 0;
}

int sandbox_set_cpu(struct sandbox_container *c, uint32_t cpu_millis)
{
	char text[48];
	size_t n;

	if (c->cpu < 0)
		return ERR_UNSUPPORTED;
	n = cgroup_cpu_text(c->sandbox->hello.cpu_version, cpu_millis, text);
	return write_control(c->cpu, text, n);
}

int sandbox_usage(struct sandbox_container *c, struct sandbox_usage *ret_usage)
{
	char text[32];
	ssize_t n;

	*ret_usage = (struct sandbox_usage){0};
	if (c->memory < 0)
		return 0;
	n = pread(c->memory, text, sizeof text - 1, 0);
	if (n <= 0)
		return n < 0 && errno == ENODEV ? ERR_CLOSED : ERR_IO;
	text[n] = 0;
	ret_usage->memory_peak_bytes = strtoull(text, NULL, 10);
	return 0;
}
