/*
 * The blocking client: see client.h.
 */
#include "base/mem.h"
#include "sandbox/sys.h"
#include "test/sandbox/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static int now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int)(t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

/* One message; keeps ends. Returns its kind, 0 at the time-out, -1 at the end of file. */
static int receive(struct client *c, int timeout_ms, struct wire_head *head, char *body, size_t max,
	int *fds, unsigned *fd_count)
{
	char in[sizeof *head + 2048];
	struct pollfd wait = {.fd = c->fd, .events = POLLIN};
	ssize_t n;

	if (poll(&wait, 1, timeout_ms) <= 0)
		return 0;
	n = sys_receive(c->fd, in, sizeof in, fds, 16, fd_count, 0);
	if (n < (ssize_t)sizeof *head)
		return -1;
	memcpy(head, in, sizeof *head);
	n -= (ssize_t)sizeof *head;
	if ((size_t)n >= max)
		return -1;
	memcpy(body, in + sizeof *head, (size_t)n);
	body[n] = 0;
	if (head->kind == WIRE_END && c->end_count < ARRAY_SIZE(c->ends)) {
		c->ends[c->end_count].id = head->id;
		memcpy(&c->ends[c->end_count++].end, body, sizeof(struct sandbox_exit));
	}
	return (int)head->kind;
}

int client_open(struct client *c, const struct launcher_options *options)
{
	struct wire_head head;
	char body[2048];
	int fds[16], kind;
	unsigned fd_count;

	memset(c, 0, sizeof *c);
	c->next_id = 1;
	if (launcher_start(options, &c->launcher, &c->fd) < 0)
		return -1;
	kind = receive(c, 10000, &head, body, sizeof body, fds, &fd_count);
	if (kind != WIRE_HELLO)
		return -1;
	memcpy(&c->hello, body, sizeof c->hello);
	c->hello_rc = head.value;
	return head.value;
}

int client_close(struct client *c)
{
	int status = -1;

	close(c->fd);
	waitpid(c->launcher, &status, 0);
	return status;
}

static int request(struct client *c, enum wire_kind kind, uint64_t id,
	const struct sandbox_spec *spec, char *body, size_t max, int *fds, unsigned *fd_count)
{
	struct wire_head head = {.kind = kind, .id = id};
	struct buf out;
	int rc, got;

	buf_init(&out, NULL, WIRE_MAX);
	buf_put(&out, str_of(&head, sizeof head));
	rc = wire_put_spec(&out, spec, &c->error);
	if (rc == 0)
		rc = sys_send(c->fd, out.p, out.n, NULL, 0, 0);
	buf_done(&out);
	if (rc < 0)
		return rc;
	do
		got = receive(c, 10000, &head, body, max, fds, fd_count);
	while (got > 0 && (got == WIRE_END || head.id != id));
	if (got == WIRE_REFUSED) {
		snprintf(c->error.text, sizeof c->error.text, "%s", body);
		if (getenv("SANDBOX_VERBOSE"))
			fprintf(stderr, "refused: %s\n", body);
		return head.value;
	}
	return got > 0 ? 0 : ERR_CLOSED;
}

int client_start(
	struct client *c, const struct sandbox_spec *spec, struct client_container *ret_container)
{
	char body[2048];
	int fds[16];
	unsigned fd_count = 0, n = 0;
	struct wire_started started;
	int rc;

	*ret_container = (struct client_container){
		.id = c->next_id++, .freezer = -1, .cpu = -1, .memory = -1};
	rc = request(c, WIRE_START, ret_container->id, spec, body, sizeof body, fds, &fd_count);
	if (rc < 0)
		return rc;
	memcpy(&started, body, sizeof started);
	if (started.freezer)
		ret_container->freezer = fds[n++];
	if (started.cpu)
		ret_container->cpu = fds[n++];
	if (started.memory)
		ret_container->memory = fds[n++];
	for (unsigned i = 0; i < started.listeners; i++)
		ret_container->listeners[i] = fds[n++];
	for (unsigned i = 0; i < started.pipes; i++)
		ret_container->pipes[i] = fds[n++];
	ret_container->listener_count = started.listeners;
	ret_container->pipe_count = started.pipes;
	return n == fd_count ? 0 : ERR_INTERNAL;
}

int client_assign(struct client *c, uint64_t id, const struct sandbox_spec *spec)
{
	char body[2048];
	int fds[16];
	unsigned fd_count;

	return request(c, WIRE_ASSIGN, id, spec, body, sizeof body, fds, &fd_count);
}

int client_send(struct client *c, enum wire_kind kind, uint64_t id, int value)
{
	struct wire_head head = {kind, value, id};

	return sys_send(c->fd, &head, sizeof head, NULL, 0, 0);
}

int client_wait(struct client *c, uint64_t id, int timeout_ms, struct sandbox_exit *ret_exit)
{
	int until = now_ms() + timeout_ms;

	for (;;) {
		struct wire_head head;
		char body[2048];
		int fds[16];
		unsigned fd_count;

		for (unsigned i = 0; i < c->end_count; i++)
			if (c->ends[i].id == id) {
				*ret_exit = c->ends[i].end;
				c->ends[i] = c->ends[--c->end_count];
				return 0;
			}
		if (now_ms() >= until)
			return ERR_TIMEOUT;
		if (receive(c, until - now_ms(), &head, body, sizeof body, fds, &fd_count) < 0)
			return ERR_CLOSED;
	}
}

size_t client_read(int fd, int timeout_ms, char *to, size_t n)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	size_t at = 0;
	ssize_t got;

	while (at < n - 1 && poll(&wait, 1, timeout_ms) > 0) {
		got = read(fd, to + at, n - 1 - at);
		if (got <= 0)
			break;
		at += (size_t)got;
	}
	to[at] = 0;
	return at;
}

void client_release(struct client_container *c)
{
	sys_close(&c->freezer);
	sys_close(&c->cpu);
	sys_close(&c->memory);
	for (unsigned i = 0; i < c->listener_count; i++)
		sys_close(&c->listeners[i]);
	for (unsigned i = 0; i < c->pipe_count; i++)
		sys_close(&c->pipes[i]);
}
