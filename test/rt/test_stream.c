/*
 * Streams on real sockets: transfer, deadlines, watching, aborts, listeners, descriptors.
 */
#include "rt/stream.h"
#include "test/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* With loops that sleep at once, and with loops that look for work first. */
static void run(unsigned loops, void (*main_fn)(void *arg), void *arg)
{
	for (unsigned us = 0; us <= 200; us += 200) {
		struct rt_options options = {
			.loops = loops, .connections_max = 8, .busy_poll_us = us};
		struct rt *rt;

		ASSERT_INT(rt_new(&options, &rt), 0);
		EXPECT_INT(rt_run(rt, main_fn, arg), 0);
		rt_free(rt);
	}
}

/* --- a pair: bulk, back-pressure, end --------------------------------------------------------- */

enum { BULK = 3 * 1000 * 1000 };

static char pattern(size_t i)
{
	return (char)(i * 7 + (i >> 8) * 13);
}

static void send_bulk(void *arg)
{
	struct rt_stream *s = arg;
	char part[10007];
	size_t at = 0;

	while (at < BULK) {
		size_t n = BULK - at < sizeof part ? BULK - at : sizeof part;
		struct iovec parts[3];

		for (size_t i = 0; i < n; i++)
			part[i] = pattern(at + i);
		parts[0] = (struct iovec){part, n / 3};
		parts[1] = (struct iovec){part + n / 3, 0};
		parts[2] = (struct iovec){part + n / 3, n - n / 3};
		ASSERT_INT(rt_stream_writev(s, parts, 3, rt_after_ms(20000)), 0);
		at += n;
	}
	EXPECT_INT(rt_stream_shutdown(s), 0);
}

static void pairs(void *arg)
{
	struct rt_stream *a, *b;
	char part[7001];
	size_t at = 0;
	int rc;

	(void)arg;
	ASSERT_INT(rt_stream_pair(&a, &b), 0);
	EXPECT_INT(rt_stream_read(b, part, 1, rt_after_ms(5)), ERR_TIMEOUT);
	EXPECT_INT(rt_stream_try_read(b, part, 1), 0);
	EXPECT_INT(rt_spawn(send_bulk, a), 0);
	while ((rc = rt_stream_read(b, part, sizeof part, rt_after_ms(20000))) > 0)
		for (int i = 0; i < rc; i++, at++)
			if (part[i] != pattern(at))
				ASSERT(!"bytes differ");
	EXPECT_INT(rc, ERR_EOF);
	EXPECT_INT(at, BULK);
	/* The other direction is still open. */
	EXPECT_INT(rt_stream_write(b, STR("back"), rt_after_ms(5000)), 0);
	EXPECT_INT(rt_stream_read(a, part, sizeof part, rt_after_ms(5000)), 4);
	rt_stream_close(b);
	EXPECT_INT(rt_stream_read(a, part, sizeof part, rt_after_ms(5000)), ERR_EOF);
	EXPECT_INT(rt_stream_write(a, STR("x"), rt_after_ms(5000)), ERR_CLOSED);
	rt_stream_close(a);
	rt_stop(rt_self());
}

TEST(rt_stream, pair)
{
	run(1, pairs, NULL);
}

/* --- a writer that nobody reads --------------------------------------------------------------- */

static void stuck(void *arg)
{
	struct rt_stream *a, *b;
	char *much = calloc(1, BULK);

	(void)arg;
	ASSERT_INT(rt_stream_pair(&a, &b), 0);
	EXPECT_INT(rt_stream_write(a, str_of(much, BULK), rt_after_ms(20)), ERR_TIMEOUT);
	rt_stream_abort(a);
	EXPECT_INT(rt_stream_write(a, STR("x"), RT_NEVER), ERR_CLOSED);
	EXPECT_INT(rt_stream_read(a, much, 1, RT_NEVER), ERR_CLOSED);
	rt_stream_close(a);
	rt_stream_close(b);
	free(much);
	rt_stop(rt_self());
}

TEST(rt_stream, write_deadline)
{
	run(1, stuck, NULL);
}

/* --- abort wakes a reader -----------------------------------------------------------------------
 */

static void read_one(void *arg)
{
	char c;

	EXPECT_INT(rt_stream_read(arg, &c, 1, RT_NEVER), ERR_CLOSED);
	rt_stream_close(arg);
	rt_stop(rt_self());
}

static void aborts(void *arg)
{
	struct rt_stream *a, *b;

	(void)arg;
	ASSERT_INT(rt_stream_pair(&a, &b), 0);
	EXPECT_INT(rt_spawn(read_one, a), 0);
	EXPECT_INT(rt_yield(), 0);
	rt_stream_abort(a);
	rt_stream_close(b);
}

TEST(rt_stream, abort_wakes_reader)
{
	run(1, aborts, NULL);
}

/* --- listening on every loop; watched echo ------------------------------------------------------
 */

struct echo {
	struct rt_listener *listener;
	_Atomic unsigned accepted, refused, per_loop[4];
	_Atomic int64_t lag_ns[4]; /* of the coarse clock, at the last one accepted */
	int tag;
};

static void echo_readable(struct rt_stream *s, void *arg)
{
	struct rt_buffer *b = rt_buffer_take();
	int n = rt_stream_try_read(s, b->p, sizeof b->p);

	(void)arg;
	if (n < 0) {
		rt_stream_close(s);
	} else if (n > 0) {
		struct iovec part = {b->p, (size_t)n};

		EXPECT_INT(rt_stream_try_write(s, &part, 1), n);
	}
	rt_buffer_give(b);
}

static void echo_accept(struct rt_stream *s, void *arg)
{
	struct echo *e = arg;

	EXPECT(rt_stream_tag(s) == &e->tag);
	e->accepted++;
	e->per_loop[rt_loop_index()]++;
	e->lag_ns[rt_loop_index()] = rt_now() - rt_now_coarse();
	rt_stream_watch(s, echo_readable, e);
}

static void echo_refuse(struct rt_stream *s, void *arg)
{
	struct echo *e = arg;
	struct iovec part = {(void *)"busy", 4};

	e->refused++;
	EXPECT_INT(rt_stream_try_write(s, &part, 1), 4);
	rt_stream_close(s);
}

static void talk(str address, struct echo *e, unsigned count)
{
	struct rt_stream *s[32];
	char answer[64];

	(void)e;
	for (unsigned i = 0; i < count; i++) {
		ASSERT_INT(rt_connect(address, rt_after_ms(5000), &s[i]), 0);
		for (int round = 0; round < 3; round++) {
			ASSERT_INT(rt_stream_write(s[i], STR("hello"), rt_after_ms(5000)), 0);
			ASSERT_INT(
				rt_stream_read(s[i], answer, sizeof answer, rt_after_ms(5000)), 5);
			ASSERT_STR(str_of(answer, 5), STR("hello"));
		}
	}
	for (unsigned i = 0; i < count; i++)
		rt_stream_close(s[i]);
}

/* Until no connection is left; how many there ever were. */
static mayyield uint64_t wait_closed(void)
{
	struct rt_figures f;

	do
		rt_figures(rt_self(), &f);
	while (f.connections_live && rt_sleep_until(rt_after_ms(1)) == 0);
	return f.connections_accepted;
}

static void listens(void *arg)
{
	struct echo e = {0};
	struct rt_listen_options o = {.address = STR("127.0.0.1:0"),
		.tag = &e.tag,
		.on_accept = echo_accept,
		.on_refuse = echo_refuse,
		.arg = &e};
	char text[RT_ADDRESS_TEXT];
	struct rt_address at;
	struct rt_stream *s;
	str address;

	(void)arg;
	ASSERT_INT(rt_listen(&o, &e.listener), 0);
	rt_listener_address(e.listener, &at);
	address = rt_address_text(&at, text);
	EXPECT(at.port > 0);
	/* A few are together, many are spread, whichever loop the kernel gives them to. */
	for (int i = 0; i < 8; i++) {
		talk(address, &e, 4);
		wait_closed();
	}
	EXPECT_INT(e.accepted, 32);
	EXPECT_INT(e.per_loop[0], 32);
	for (unsigned i = 0; i < 8; i++) {
		talk(address, &e, 12);
		wait_closed();
		EXPECT_INT(e.accepted, 32 + 12 * (i + 1));
		EXPECT_INT(e.per_loop[1], 6 * (i + 1));
	}
	rt_listener_close(e.listener);
	EXPECT_INT(rt_connect(address, rt_after_ms(5000), &s), ERR_REFUSED);
	EXPECT_INT(wait_closed(), 32 + 8 * 12);
	rt_stop(rt_self());
}

TEST(rt_stream, listen_two_loops)
{
	run(2, listens, NULL);
}

/* Connections on their way from loop to loop when the listener is closed are served or closed. */
static void closes(void *arg)
{
	enum { CONNECTIONS = 12 };
	struct rt_stream *s[CONNECTIONS];
	char text[RT_ADDRESS_TEXT], answer[8];

	(void)arg;
	for (int round = 0; round < 50; round++) {
		struct echo e = {0};
		struct rt_listen_options o = {.address = STR("127.0.0.1:0"),
			.tag = &e.tag,
			.on_accept = echo_accept,
			.arg = &e};
		struct rt_address at;
		str address;

		ASSERT_INT(rt_listen(&o, &e.listener), 0);
		rt_listener_address(e.listener, &at);
		address = rt_address_text(&at, text);
		for (int i = 0; i < CONNECTIONS; i++)
			ASSERT_INT(rt_connect(address, rt_after_ms(5000), &s[i]), 0);
		rt_listener_close(e.listener);
		for (int i = 0; i < CONNECTIONS; i++) {
			int rc = rt_stream_write(s[i], STR("x"), rt_after_ms(5000));

			if (rc == 0)
				rc = rt_stream_read(s[i], answer, sizeof answer, rt_after_ms(5000));
			EXPECT(rc == 1 || rc == ERR_EOF || rc == ERR_CLOSED);
			rt_stream_close(s[i]);
		}
		wait_closed();
	}
	rt_stop(rt_self());
}

TEST(rt_stream, listener_closed_at_once)
{
	run(2, closes, NULL);
}

/* What wakes a loop that has slept sees the time of the waking: a time-out begins then. */
static void wakes(void *arg)
{
	struct rt_stream *s[4];
	struct echo e = {0};
	struct rt_listen_options o = {.address = STR("127.0.0.1:0"),
		.tag = &e.tag,
		.on_accept = echo_accept,
		.on_refuse = echo_refuse,
		.arg = &e};
	char text[RT_ADDRESS_TEXT];
	struct rt_address at;

	(void)arg;
	ASSERT_INT(rt_listen(&o, &e.listener), 0);
	rt_listener_address(e.listener, &at);
	for (int i = 0; i < 4; i++) /* the first loop takes these */
		ASSERT_INT(rt_connect(rt_address_text(&at, text), rt_after_ms(5000), &s[i]), 0);
	for (int i = 0; i < 50 && !e.per_loop[1]; i++) {
		EXPECT_INT(rt_sleep_until(rt_after_ms(300)), 0);
		talk(rt_address_text(&at, text), &e, 1);
	}
	EXPECT(e.per_loop[1] > 0);
	EXPECT(e.lag_ns[1] < 150 * RT_NS_MS);
	for (int i = 0; i < 4; i++)
		rt_stream_close(s[i]);
	rt_listener_close(e.listener);
	EXPECT_INT(rt_sleep_until(rt_after_ms(20)), 0);
	rt_stop(rt_self());
}

TEST(rt_stream, a_loop_that_slept_knows_the_time)
{
	run(2, wakes, NULL);
}

static void refuses(void *arg)
{
	struct echo e = {0};
	struct rt_listen_options o = {.address = STR("127.0.0.1:0"),
		.tag = &e.tag,
		.on_accept = echo_accept,
		.on_refuse = echo_refuse,
		.arg = &e};
	struct rt_stream *s[9];
	char text[RT_ADDRESS_TEXT], answer[8];
	struct rt_address at;
	str address;

	(void)arg;
	ASSERT_INT(rt_listen(&o, &e.listener), 0);
	rt_listener_address(e.listener, &at);
	address = rt_address_text(&at, text);
	for (int i = 0; i < 9; i++)
		ASSERT_INT(rt_connect(address, rt_after_ms(5000), &s[i]), 0);
	EXPECT_INT(rt_stream_read(s[8], answer, sizeof answer, rt_after_ms(5000)), 4);
	EXPECT_INT(rt_stream_read(s[8], answer, sizeof answer, rt_after_ms(5000)), ERR_EOF);
	EXPECT_INT(e.accepted, 8);
	EXPECT_INT(e.refused, 1);
	for (int i = 0; i < 9; i++)
		rt_stream_close(s[i]);
	rt_listener_close(e.listener);
	EXPECT_INT(rt_sleep_until(rt_after_ms(20)), 0); /* the server's ends close themselves */
	rt_stop(rt_self());
}

TEST(rt_stream, connections_cap)
{
	run(1, refuses, NULL);
}

static void unix_listens(void *arg)
{
	struct echo e = {0};
	struct rt_listen_options o = {.tag = &e.tag, .on_accept = echo_accept, .arg = &e};
	char path[128];
	int n = snprintf(path, sizeof path, "unix:%s/s", (const char *)arg), fd;
	str address = str_of(path, (size_t)n);
	struct rt_stream *s;

	EXPECT_INT(rt_connect(address, rt_after_ms(5000), &s), ERR_REFUSED);
	ASSERT_INT(rt_socket_listen(address, &fd), 0);
	o.fd = &fd;
	ASSERT_INT(rt_listen(&o, &e.listener), 0);
	talk(address, &e, 3);
	EXPECT_INT(e.accepted, 3);
	EXPECT_INT(rt_sleep_until(rt_after_ms(20)), 0);
	rt_listener_close(e.listener);
	EXPECT_INT(unlink(path + 5), 0);
	rt_stop(rt_self());
}

TEST(rt_stream, unix_socket_adopted)
{
	run(1, unix_listens, (void *)test_folder());
}

/* --- names --------------------------------------------------------------------------------------
 */

static void names(void *arg)
{
	struct rt_address a[4];
	struct rt_stream *s;
	int n = rt_resolve(STR("localhost"), 99, rt_after_ms(20000), a, 4);

	(void)arg;
	if (EXPECT(n >= 1))
		EXPECT(rt_address_is_loopback(&a[0]) && a[0].port == 99);
	EXPECT_INT(rt_connect(STR("no port here"), rt_after_ms(1000), &s), ERR_SYNTAX);
	EXPECT(rt_connect(STR("name.invalid:80"), rt_after_ms(20000), &s) < 0);
	rt_stop(rt_self());
}

TEST(rt_stream, names)
{
	run(1, names, NULL);
}

TEST(rt_address, text)
{
	static const char *const good[] = {"127.0.0.1:80", "[::1]:4566", "0.0.0.0:0", "[fe80::1]:1",
		"255.255.255.255:65535", "9.10.99.100:5", "109.200.249.1:1"};
	static const char *const bad[] = {"", ":", "127.0.0.1", "127.0.0.1:65536", "localhost:1",
		"[::1:80", "::1:80", "1.2.3:4", "127.0.0.1:-1", "127.0.0.1: 1"};
	char text[RT_ADDRESS_TEXT];
	struct rt_address a;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		ASSERT_INT(rt_address_parse(str_c(good[i]), &a), 0);
		EXPECT_STR(rt_address_text(&a, text), str_c(good[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_INT(rt_address_parse(str_c(bad[i]), &a), ERR_SYNTAX);
	ASSERT_INT(rt_address_parse(STR("[::ffff:127.0.0.9]:1"), &a), 0);
	EXPECT(rt_address_is_loopback(&a));
	ASSERT_INT(rt_address_parse(STR("128.0.0.1:1"), &a), 0);
	EXPECT(!rt_address_is_loopback(&a));
}

/* --- messages with descriptors; foreign descriptors --------------------------------------- */

static void messages(void *arg)
{
	int pair[2], fds[4], pipe_fds[2];
	struct rt_stream *a, *b;
	unsigned count = 99;
	char text[32];

	(void)arg;
	ASSERT_INT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	ASSERT_INT(rt_stream_adopt(pair[0], &a), 0);
	ASSERT_INT(rt_stream_adopt(pair[1], &b), 0);
	EXPECT_INT(rt_stream_receive_message(b, text, sizeof text, fds, 4, &count, rt_after_ms(5)),
		ERR_TIMEOUT);
	ASSERT_INT(pipe(pipe_fds), 0);
	EXPECT_INT(rt_stream_send_message(a, STR("two"), pipe_fds, 2, RT_NEVER), 0);
	EXPECT_INT(rt_stream_send_message(a, STR("none"), NULL, 0, RT_NEVER), 0);
	EXPECT_INT(rt_stream_send_message(a, STR("two again"), pipe_fds, 2, RT_NEVER), 0);
	EXPECT_INT(rt_stream_receive_message(b, text, sizeof text, fds, 4, &count, RT_NEVER), 3);
	EXPECT_INT(count, 2);
	EXPECT_INT(write(fds[1], "!", 1), 1);
	EXPECT_INT(read(pipe_fds[0], text, 1), 1);
	close(fds[0]);
	close(fds[1]);
	EXPECT_INT(rt_stream_receive_message(b, text, sizeof text, fds, 4, &count, RT_NEVER), 4);
	EXPECT_INT(count, 0);
	EXPECT_INT(rt_stream_receive_message(b, text, sizeof text, fds, 1, &count, RT_NEVER),
		ERR_TOO_LARGE);
	rt_stream_close(a);
	EXPECT_INT(
		rt_stream_receive_message(b, text, sizeof text, fds, 4, &count, RT_NEVER), ERR_EOF);
	rt_stream_close(b);
	/* A pipe as a stream, too. */
	ASSERT_INT(rt_stream_adopt(pipe_fds[0], &a), 0);
	EXPECT_INT(write(pipe_fds[1], "out", 3), 3);
	EXPECT_INT(rt_stream_read(a, text, sizeof text, RT_NEVER), 3);
	close(pipe_fds[1]);
	EXPECT_INT(rt_stream_read(a, text, sizeof text, RT_NEVER), ERR_EOF);
	rt_stream_close(a);
	rt_stop(rt_self());
}

TEST(rt_stream, messages_with_descriptors)
{
	run(1, messages, NULL);
}

static void set_eventfd(void *arg)
{
	uint64_t one = 1;

	EXPECT_INT(write(*(int *)arg, &one, sizeof one), sizeof one);
}

static void fd_waits(void *arg)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	(void)arg;
	EXPECT_INT(rt_fd_wait(fd, RT_READABLE, rt_after_ms(5)), ERR_TIMEOUT);
	EXPECT_INT(rt_fd_wait(fd, RT_READABLE | RT_WRITABLE, RT_NEVER), RT_WRITABLE);
	EXPECT_INT(rt_spawn(set_eventfd, &fd), 0);
	EXPECT_INT(rt_fd_wait(fd, RT_READABLE, RT_NEVER), RT_READABLE);
	EXPECT_INT(read(fd, &(uint64_t){0}, 8), 8);
	rt_stop(rt_self());
	EXPECT_INT(rt_fd_wait(fd, RT_READABLE, RT_NEVER), ERR_CANCELLED);
	close(fd);
}

TEST(rt_stream, foreign_descriptor)
{
	run(1, fd_waits, NULL);
}

/* --- looks for work before a sleep --------------------------------------------------------------
 */

enum { LOOKS_WANTED = 10, LOOKS_ROUNDS_MAX = 20000 };

struct looks {
	struct rt *rt;
	int fd; /* the asking end */
	uint64_t found;
};

/* On a thread of its own, one question at a time. */
static void asks(void *arg)
{
	struct looks *k = arg;
	struct rt_figures f = {0};
	char c = 'q';

	for (int i = 0; i < LOOKS_ROUNDS_MAX && f.polls_found < LOOKS_WANTED; i++) {
		if (write(k->fd, &c, 1) != 1 || read(k->fd, &c, 1) != 1)
			return;
		rt_figures(k->rt, &f);
	}
	k->found = f.polls_found;
}

static void answer_one(void *arg)
{
	char c;

	EXPECT_INT(rt_stream_try_read(arg, &c, 1), 1);
	EXPECT_INT(rt_stream_write(arg, STR("a"), RT_NEVER), 0);
}

static void asked(struct rt_stream *s, void *arg)
{
	(void)arg;
	EXPECT_INT(rt_spawn_now(answer_one, s), 0);
}

/* What is answered at once, by a fiber that nobody ever sees ready, is found, too. */
static void looks(void *arg)
{
	struct looks k = {.rt = rt_self()};
	struct rt_pool *pool;
	struct rt_stream *s;
	int fds[2];

	(void)arg;
	ASSERT_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ASSERT_INT(rt_stream_adopt(fds[0], &s), 0);
	k.fd = fds[1];
	rt_stream_watch(s, asked, NULL);
	ASSERT_INT(rt_pool_new(k.rt, "asks", 1, 1, &pool), 0);
	EXPECT_INT(rt_pool_run(pool, asks, &k, RT_NEVER), 0);
	EXPECT(k.found >= LOOKS_WANTED);
	rt_stream_unwatch(s);
	rt_stream_close(s);
	rt_pool_free(pool);
	close(fds[1]);
	rt_stop(k.rt);
}

TEST(rt_stream, looks_find_what_is_answered_at_once)
{
	struct rt_options options = {.loops = 1, .connections_max = 8, .busy_poll_us = 1000};
	struct rt *rt;

	ASSERT_INT(rt_new(&options, &rt), 0);
	EXPECT_INT(rt_run(rt, looks, NULL), 0);
	rt_free(rt);
}
