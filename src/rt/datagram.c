/*
 * Datagrams on the loop's poll handles: see datagram.h.
 */
#include "rt/datagram.h"

#include "base/mem.h"
#include "rt/real.h"

#include <errno.h>
#include <unistd.h>

struct rt_datagrams {
	struct rt_stream *stream;
	rt_datagram_fn *fn;
	void *arg;
};

static void on_readable(struct rt_stream *stream, void *arg)
{
	struct rt_datagrams *d = arg;

	(void)stream;
	d->fn(d, d->arg);
}

int rt_datagrams_adopt(int fd, rt_datagram_fn *fn, void *arg, struct rt_datagrams **ret_datagrams)
{
	struct rt_datagrams *d = mem_new(struct rt_datagrams);
	int rc = rt_stream_adopt(fd, &d->stream);

	if (rc < 0) {
		close(fd);
		mem_free(d);
		return rc;
	}
	d->fn = fn;
	d->arg = arg;
	rt_stream_watch(d->stream, on_readable, d);
	*ret_datagrams = d;
	return 0;
}

void rt_datagrams_close(struct rt_datagrams *d)
{
	if (!d)
		return;
	rt_stream_close(d->stream);
	mem_free(d);
}

size_t rt_datagram_take(struct rt_datagrams *d, void *to, size_t n, struct rt_address *ret_from)
{
	union sockaddr_any from;
	socklen_t from_bytes;
	ssize_t got;

	/* Empty ones say nothing, and errors are those of what was sent before. */
	for (unsigned tries = 0; tries < 64; tries++) {
		from_bytes = sizeof from;
		got = recvfrom(
			rt_stream_fd(d->stream), to, n, MSG_DONTWAIT, &from.any, &from_bytes);
		if (got > 0) {
			address_from(&from, ret_from);
			return (size_t)got;
		}
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
	}
	return 0;
}

void rt_datagram_give(struct rt_datagrams *d, str bytes, const struct rt_address *to)
{
	union sockaddr_any address;
	socklen_t n = address_to(to, &address);

	(void)!sendto(rt_stream_fd(d->stream), bytes.p, bytes.n, MSG_DONTWAIT | MSG_NOSIGNAL,
		&address.any, n);
}

/* Waits on an open socket that is connected to the peer. */
static mayyield int await(int fd, bool (*fits)(void *arg, str answer), void *arg, void *to,
	size_t n, int64_t deadline)
{
	for (;;) {
		ssize_t got;

		TRY(rt_fd_wait(fd, RT_READABLE, deadline));
		got = recv(fd, to, n, MSG_DONTWAIT | MSG_TRUNC);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got < 0)
			return rc_from_errno(errno);
		if (fits(arg, str_of(to, MIN((size_t)got, n))))
			return (size_t)got > n ? ERR_TOO_LARGE : (int)got;
	}
}

int rt_datagram_ask(const struct rt_address *peer, str question,
	bool (*fits)(void *arg, str answer), void *arg, void *to, size_t n, int64_t deadline)
{
	union sockaddr_any address;
	socklen_t bytes = address_to(peer, &address);
	int fd = socket(address.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
	    rc = 0;

	if (fd < 0)
		return rc_from_errno(errno);
	/* Connected: the kernel drops what others send, and tells that nobody listens. */
	if (connect(fd, &address.any, bytes) != 0 ||
		send(fd, question.p, question.n, MSG_NOSIGNAL) != (ssize_t)question.n)
		rc = rc_from_errno(errno);
	if (rc == 0)
		rc = await(fd, fits, arg, to, n, deadline);
	close(fd);
	return rc;
}
