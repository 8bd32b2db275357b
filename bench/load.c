/*
 * A load generator for one server on loopback: prepared requests from a file, keep-alive
 * connections, one thread on epoll.
 *
 *     load ADDRESS PORT REQUESTS CONNECTIONS SECONDS RATE
 *
 * RATE 0: closed loop, each connection sends its next request when the answer is there. RATE n:
 * open loop, request i is due at i/n seconds whatever the server does; it goes out on the first
 * free connection, and its latency counts from the moment it was due. So a server that stalls is
 * charged for every request that it would have got meanwhile (coordinated omission). SECONDS 0:
 * every request of the file once.
 *
 * REQUESTS is what bench/run.py writes: records of a decimal length, a newline and that many bytes.
 * Every answer but 200 counts as bad. Latencies go into a histogram of 64 steps to the doubling, so
 * they are right to 1.6 %. Prints one line, as bench/replay.lua does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	CONNECTIONS_MAX = 1024,
	REQUESTS_MAX = 1 << 20,
	HEAD_BYTES_MAX = 8192,
	READ_BYTES = 256 * 1024,
	STEPS = 64, /* of a doubling */
	DOUBLINGS = 40,
	TAIL_S = 10, /* for the last answers */
};

struct request {
	const char *p;
	size_t n;
};

struct connection {
	int fd;
	bool busy, writing;
	const struct request *request;
	size_t sent;
	int64_t due;
	/* the answer */
	char head[HEAD_BYTES_MAX];
	size_t head_n;
	bool in_body, closes;
	uint64_t body_left;
	unsigned status;
};

static struct {
	struct request requests[REQUESTS_MAX];
	size_t request_count, at;
	struct connection connections[CONNECTIONS_MAX];
	unsigned connection_count;
	struct connection *idle[CONNECTIONS_MAX];
	unsigned idle_count;
	struct sockaddr_in to;
	int epoll;
	int64_t began, ends;
	double rate;
	bool once;
	uint64_t scheduled, sent, done, bad, recorded;
	uint64_t histogram[DOUBLINGS * STEPS], latency_max;
} load;

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "failed");
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* --- the histogram: microseconds in log-linear steps -------------------------------------------
 */

static unsigned step_of(uint64_t us)
{
	unsigned doubling;

	if (us < STEPS)
		return (unsigned)us;
	doubling = 63 - (unsigned)__builtin_clzll(us) - 6;
	if (doubling + 2 > DOUBLINGS)
		return DOUBLINGS * STEPS - 1;
	return (doubling + 1) * STEPS + (unsigned)(us >> doubling) - STEPS;
}

static uint64_t us_of(unsigned step)
{
	unsigned doubling = step / STEPS;

	return doubling ? (uint64_t)(step % STEPS + STEPS) << (doubling - 1) : step;
}

static uint64_t percentile(double percent)
{
	uint64_t wanted = (uint64_t)((double)load.recorded * percent / 100), seen = 0;

	for (unsigned i = 0; i < DOUBLINGS * STEPS; i++) {
		seen += load.histogram[i];
		if (seen > wanted)
			return us_of(i);
	}
	return load.latency_max;
}

static void record(int64_t ns)
{
	uint64_t us = (uint64_t)(ns > 0 ? ns : 0) / 1000;

	load.histogram[step_of(us)]++;
	load.recorded++;
	if (us > load.latency_max)
		load.latency_max = us;
}

/* --- requests ----------------------------------------------------------------------------------
 */

static void read_requests(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	const char *p, *end;
	char *number_end;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
		fail(path);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED)
		fail(path);
	close(fd);
	end = p + st.st_size;
	while (p < end && load.request_count < REQUESTS_MAX) {
		size_t n = strtoull(p, &number_end, 10);

		p = number_end + 1;
		if (*number_end != '\n' || n > (size_t)(end - p))
			fail("requests: wrong form");
		load.requests[load.request_count++] = (struct request){p, n};
		p += n;
	}
}

/* --- connections --------------------------------------------------------------------------------
 */

static void watch(struct connection *c, bool writing, int operation)
{
	struct epoll_event event = {
		.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data = {.ptr = c}};

	if (epoll_ctl(load.epoll, operation, c->fd, &event) < 0)
		fail("epoll_ctl");
	c->writing = writing;
}

static void connect_one(struct connection *c, int operation)
{
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&load.to, sizeof load.to) < 0)
		fail("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	watch(c, false, operation);
}

static void connect_all(const char *address, const char *port)
{
	load.to.sin_family = AF_INET;
	load.to.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (inet_pton(AF_INET, address, &load.to.sin_addr) != 1)
		fail(address);
	for (unsigned i = 0; i < load.connection_count; i++) {
		connect_one(&load.connections[i], EPOLL_CTL_ADD);
		load.idle[load.idle_count++] = &load.connections[i];
	}
}

static void flush(struct connection *c)
{
	while (c->sent < c->request->n) {
		ssize_t n =
			send(c->fd, c->request->p + c->sent, c->request->n - c->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			if (!c->writing)
				watch(c, true, EPOLL_CTL_MOD);
			return;
		}
		if (n < 0)
			fail("send");
		c->sent += (size_t)n;
	}
	if (c->writing)
		watch(c, false, EPOLL_CTL_MOD);
}

static void start_next(struct connection *c, int64_t due)
{
	c->request = &load.requests[load.at];
	load.at = (load.at + 1) % load.request_count;
	load.sent++;
	c->busy = true;
	c->sent = 0;
	c->due = due;
	c->head_n = 0;
	c->in_body = false;
	flush(c);
}

/* --- answers ------------------------------------------------------------------------------------
 */

static uint64_t content_length(const char *head)
{
	const char *at = strcasestr(head, "\r\ncontent-length:");

	if (!at) {
		errno = 0;
		fail("an answer without Content-Length");
	}
	return strtoull(at + 17, NULL, 10);
}

/* Eats some of it; how much. */
static size_t take(struct connection *c, const char *p, size_t n)
{
	size_t before = c->head_n, room = sizeof c->head - 1 - c->head_n, used;
	char *end;

	if (c->in_body) {
		used = c->body_left < n ? (size_t)c->body_left : n;
		c->body_left -= used;
		return used;
	}
	used = n < room ? n : room;
	memcpy(c->head + before, p, used);
	c->head[before + used] = 0;
	c->head_n += used;
	end = strstr(c->head, "\r\n\r\n");
	if (!end) {
		if (c->head_n == sizeof c->head - 1)
			fail("an answer's head is too long");
		return used;
	}
	end[2] = 0;
	c->status = (unsigned)strtoul(c->head + 9, NULL, 10);
	c->body_left = content_length(c->head);
	c->closes = strcasestr(c->head, "\r\nconnection: close\r\n") != NULL;
	c->in_body = true;
	return (size_t)(end + 4 - c->head) - before;
}

static bool finished(int64_t now)
{
	if (load.once)
		return load.sent >= load.request_count;
	return now >= load.ends;
}

static void answered(struct connection *c)
{
	int64_t now = now_ns();

	record(now - c->due);
	load.done++;
	load.bad += c->status != 200;
	c->busy = false;
	if (c->closes) { /* a server that keeps no connection */
		close(c->fd);
		connect_one(c, EPOLL_CTL_ADD);
	}
	if (load.rate == 0 && !finished(now))
		start_next(c, now);
	else
		load.idle[load.idle_count++] = c;
}

static void receive(struct connection *c)
{
	static char bytes[READ_BYTES];
	ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
	size_t at = 0;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fail("the server closed a connection");
	while (at < (size_t)n && c->busy) {
		at += take(c, bytes + at, (size_t)n - at);
		if (c->in_body && c->body_left == 0)
			answered(c);
	}
}

/* --- the schedule -------------------------------------------------------------------------------
 */

static int64_t due_of(uint64_t number)
{
	return load.began + (int64_t)((double)number * 1e9 / load.rate);
}

/* Sends what is due; until when to sleep then. */
static int64_t send_due(int64_t now)
{
	while (load.idle_count && due_of(load.scheduled) <= now && !finished(now))
		start_next(load.idle[--load.idle_count], due_of(load.scheduled++));
	return load.idle_count ? due_of(load.scheduled) : now + 1000000;
}

static void turn(void)
{
	struct epoll_event events[256];
	int64_t now = now_ns(), wait = 100000000;
	struct timespec timeout;
	int n;

	if (load.rate > 0 && !finished(now)) {
		wait = send_due(now) - now_ns();
		wait = wait < 0 ? 0 : wait;
	}
	timeout = (struct timespec){wait / 1000000000, wait % 1000000000};
	n = epoll_pwait2(load.epoll, events, 256, &timeout, NULL);
	if (n < 0 && errno != EINTR)
		fail("epoll_pwait2");
	for (int i = 0; i < n; i++) {
		struct connection *c = events[i].data.ptr;

		if (events[i].events & EPOLLOUT)
			flush(c);
		if (events[i].events & ~(uint32_t)EPOLLOUT)
			receive(c);
	}
}

static void run(void)
{
	int64_t began = load.began = now_ns(), now;

	while (load.rate == 0 && load.idle_count && !finished(began))
		start_next(load.idle[--load.idle_count], now_ns());
	do {
		turn();
		now = now_ns();
	} while (!finished(now) || (load.idle_count < load.connection_count &&
					   (load.once || now < load.ends + TAIL_S * 1000000000LL)));
	/* Due and never sent, because all connections waited: charged with the time until the end.
	 */
	while (load.rate > 0 && due_of(load.scheduled) < load.ends)
		record(load.ends - due_of(load.scheduled++));
	printf("RESULT requests=%llu duration_us=%lld bad=%llu p50_us=%llu p90_us=%llu p99_us=%llu "
	       "max_us=%llu\n",
		(unsigned long long)load.done, (long long)(now_ns() - began) / 1000,
		(unsigned long long)(load.bad + (load.sent - load.done)),
		(unsigned long long)percentile(50), (unsigned long long)percentile(90),
		(unsigned long long)percentile(99), (unsigned long long)load.latency_max);
}

int main(int argc, char **argv)
{
	double seconds;

	if (argc != 7) {
		fprintf(stderr, "usage: load ADDRESS PORT REQUESTS CONNECTIONS SECONDS RATE\n");
		return 2;
	}
	read_requests(argv[3]);
	load.connection_count = (unsigned)strtoul(argv[4], NULL, 10);
	seconds = strtod(argv[5], NULL);
	load.rate = strtod(argv[6], NULL);
	load.once = seconds == 0;
	if (!load.connection_count || load.connection_count > CONNECTIONS_MAX)
		fail("connections: 1 to 1024");
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load.epoll < 0)
		fail("epoll_create1");
	connect_all(argv[1], argv[2]);
	load.ends = now_ns() + (int64_t)(seconds * 1e9);
	run();
	return 0;
}
