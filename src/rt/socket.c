/*
 * Descriptors of the real backend: streams on libuv's poll handles, listening, connecting,
 * resolving names, messages with descriptors, waiting for foreign descriptors.
 *
 * The handle only reports readiness; reading and writing are plain system calls made by whoever is
 * told. uv_close() ends later than the stream, so the block is freed by its callback, while the
 * descriptor is closed at once (allowed once the handle is closing).
 */
#include "rt/real.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, ACCEPTS_PER_TURN = 64, ADDRESSES_MAX = 8, PARTS_MAX = 64 };
enum { TOGETHER_MAX = 4 }; /* so many connections are served by one loop */
#define ACCEPT_PAUSE_NS (100 * RT_NS_MS)

struct socket_stream {
	struct rt_stream s;
	uv_poll_t poll;
	int fd;
	bool is_socket;
};

#define SOCKET_OF(stream) container_of(stream, struct socket_stream, s)

static int network_error(int err)
{
	switch (err) {
	case ECONNREFUSED:
	case ENOENT: return ERR_REFUSED;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EADDRNOTAVAIL: return ERR_NETWORK;
	case ENOTCONN:
	case ECONNABORTED: return ERR_CLOSED;
	default: return rc_from_errno(err);
	}
}

/* --- streams -------------------------------------------------------------------------------- */

static int socket_try_read(struct rt_stream *s, void *to, size_t n)
{
	const struct socket_stream *k = SOCKET_OF(s);
	ssize_t got;

	do /* recv() spares a socket what read() asks of files */
		got = k->is_socket ? recv(k->fd, to, n, 0) : read(k->fd, to, n);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		return (int)got;
	if (got == 0)
		return ERR_EOF;
	return errno == EAGAIN ? 0 : network_error(errno);
}

static int socket_try_write(struct rt_stream *s, const struct iovec *parts, unsigned n)
{
	struct socket_stream *k = SOCKET_OF(s);
	ssize_t sent;

	do {
		if (k->is_socket && n == 1) {
			sent = send(k->fd, parts->iov_base, parts->iov_len, MSG_NOSIGNAL);
		} else if (k->is_socket) {
			struct msghdr m = {.msg_iov = (struct iovec *)parts,
				.msg_iovlen = MIN(n, (unsigned)PARTS_MAX)};

			sent = sendmsg(k->fd, &m, MSG_NOSIGNAL);
		} else {
			sent = writev(k->fd, parts, (int)MIN(n, (unsigned)PARTS_MAX));
		}
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return (int)sent;
	return errno == EAGAIN ? 0 : network_error(errno);
}

static int socket_shutdown(struct rt_stream *s)
{
	if (shutdown(SOCKET_OF(s)->fd, SHUT_WR) == 0 || errno == ENOTCONN)
		return 0;
	return network_error(errno);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct socket_stream *k = poll->data;
	unsigned ready =
		(events & UV_READABLE ? RT_READABLE : 0) | (events & UV_WRITABLE ? RT_WRITABLE : 0);

	if (status < 0) { /* libuv has stopped the handle; the next call on it tells the error */
		k->s.wanted = 0;
		ready = RT_READABLE | RT_WRITABLE;
	}
	rt_stream_ready(&k->s, ready);
}

static void socket_want(struct rt_stream *s, unsigned events)
{
	struct socket_stream *k = SOCKET_OF(s);
	int uv =
		(events & RT_READABLE ? UV_READABLE : 0) | (events & RT_WRITABLE ? UV_WRITABLE : 0);

	if (uv)
		check(uv_poll_start(&k->poll, uv, on_poll) == 0);
	else
		check(uv_poll_stop(&k->poll) == 0);
}

static void socket_abort(struct rt_stream *s)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};
	struct socket_stream *k = SOCKET_OF(s);

	if (k->is_socket) {
		(void)setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		(void)shutdown(k->fd, SHUT_RDWR);
	}
}

static void on_closed(uv_handle_t *handle)
{
	mem_free(handle->data);
}

static void socket_close(struct rt_stream *s)
{
	struct socket_stream *k = SOCKET_OF(s);

	stream_done(s);
	uv_close((uv_handle_t *)&k->poll, on_closed);
	close(k->fd);
}

static const struct rt_stream_ops socket_ops = {
	.try_read = socket_try_read,
	.try_write = socket_try_write,
	.shutdown = socket_shutdown,
	.want = socket_want,
	.abort = socket_abort,
	.close = socket_close,
};

/* Takes the descriptor, also when it fails. */
static int socket_new(int fd, bool is_socket, struct rt_stream **ret_stream)
{
	struct rt_loop *l = loop_here();
	struct socket_stream *k = mem_new(struct socket_stream);
	int rc = uv_poll_init(uv_of(l), &k->poll, fd);

	if (rc != 0) {
		close(fd);
		mem_free(k);
		return rc_from_errno(-rc);
	}
	k->poll.data = k;
	k->fd = fd;
	k->is_socket = is_socket;
	stream_init(&k->s, &socket_ops, l);
	*ret_stream = &k->s;
	return 0;
}

int rt_stream_adopt(int fd, struct rt_stream **ret_stream)
{
	struct stat st;
	bool is_socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);

	if (loop_here()->rt->options.mode != RT_REAL) {
		close(fd);
		return ERR_UNSUPPORTED;
	}
	return socket_new(fd, is_socket, ret_stream);
}

int socket_pair(struct rt_stream **ret_a, struct rt_stream **ret_b)
{
	struct rt_stream *a;
	int fds[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
		return rc_from_errno(errno);
	rc = socket_new(fds[0], true, &a);
	if (rc < 0) {
		close(fds[1]);
		return rc;
	}
	rc = socket_new(fds[1], true, ret_b);
	if (rc < 0) {
		rt_stream_close(a);
		return rc;
	}
	*ret_a = a;
	return 0;
}

int rt_stream_fd(const struct rt_stream *s)
{
	return s->ops == &socket_ops ? SOCKET_OF(s)->fd : -1;
}

/* --- addresses ------------------------------------------------------------------------------ */

void address_from(const union sockaddr_any *from, struct rt_address *ret)
{
	*ret = (struct rt_address){0};
	switch (from->any.sa_family) {
	case AF_INET:
		ret->family = RT_IPV4;
		ret->port = ntohs(from->v4.sin_port);
		memcpy(ret->ip, &from->v4.sin_addr, 4);
		break;
	case AF_INET6:
		ret->family = RT_IPV6;
		ret->port = ntohs(from->v6.sin6_port);
		memcpy(ret->ip, &from->v6.sin6_addr, 16);
		break;
	case AF_UNIX: ret->family = RT_UNIX; break;
	default: break;
	}
}

socklen_t address_to(const struct rt_address *a, union sockaddr_any *ret)
{
	memset(ret, 0, sizeof *ret);
	if (a->family == RT_IPV4) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons(a->port);
		memcpy(&ret->v4.sin_addr, a->ip, 4);
		return sizeof ret->v4;
	}
	ret->v6.sin6_family = AF_INET6;
	ret->v6.sin6_port = htons(a->port);
	memcpy(&ret->v6.sin6_addr, a->ip, 16);
	return sizeof ret->v6;
}

/* "unix:PATH" or "IP:PORT". */
static int address_any(str text, union sockaddr_any *ret, socklen_t *ret_n)
{
	struct rt_address a;

	if (str_starts(text, STR("unix:"))) {
		str path = str_from(text, 5);

		if (!path.n || path.n >= sizeof ret->un.sun_path)
			return ERR_RANGE;
		memset(ret, 0, sizeof *ret);
		ret->un.sun_family = AF_UNIX;
		memcpy(ret->un.sun_path, path.p, path.n);
		*ret_n = sizeof ret->un;
		return 0;
	}
	TRY(rt_address_parse(text, &a));
	*ret_n = address_to(&a, ret);
	return 0;
}

const struct rt_address *rt_stream_local(const struct rt_stream *stream)
{
	struct rt_stream *s = (struct rt_stream *)stream;
	union sockaddr_any local = {0};
	socklen_t n = sizeof local;

	if (!s->local_known && s->ops == &socket_ops && SOCKET_OF(s)->is_socket &&
		getsockname(SOCKET_OF(s)->fd, &local.any, &n) == 0)
		address_from(&local, &s->local);
	s->local_known = true;
	return &s->local;
}

/* --- listening ------------------------------------------------------------------------------ */

int rt_socket_listen(str address, int *ret_fd)
{
	union sockaddr_any to;
	int fd, rc = 0, on = 1;
	socklen_t n;

	TRY(address_any(address, &to, &n));
	fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return rc_from_errno(errno);
	if (to.any.sa_family != AF_UNIX &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
		rc = rc_from_errno(errno);
	if (rc == 0 && (bind(fd, &to.any, n) != 0 || listen(fd, BACKLOG) != 0))
		rc = errno == EADDRINUSE ? ERR_EXISTS : network_error(errno);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

struct socket_listener {
	uv_poll_t poll;
	struct rt_timer pause;
	struct rt_listener_part *part;
};

static int bound_address(int fd, struct rt_address *ret)
{
	union sockaddr_any bound = {0};
	socklen_t n = sizeof bound;

	if (getsockname(fd, &bound.any, &n) != 0)
		return rc_from_errno(errno);
	address_from(&bound, ret);
	return 0;
}

/*
 * What stays in this machine meets no congestion. Where BBR is the system's choice each answer sets
 * a timer that paces the next one; Reno, which every kernel has, does the least. Accepted sockets
 * have it from the one that listens.
 */
static void skip_pacing(int fd, const struct rt_address *address)
{
	static const char algorithm[] = "reno";

	if (rt_address_is_loopback(address))
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, algorithm, sizeof algorithm - 1);
}

int socket_listen_open(const struct rt_listen_options *o, struct rt_listener *l)
{
	int on = 1;

	if (o->fd)
		l->fd = *o->fd;
	else
		TRY(rt_socket_listen(o->address, &l->fd));
	/* Accepted sockets have it from this one. Not for those of RT_UNIX. */
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	TRY(bound_address(l->fd, &l->address));
	skip_pacing(l->fd, &l->address);
	return 0;
}

/* On the part's loop. The connection is counted there already if it could have been another's. */
static void accept_one(struct rt_listener_part *part, int fd, const union sockaddr_any *peer)
{
	bool shared = part->listener->part_count > 1;
	struct rt_stream *s;

	if (socket_new(fd, true, &s) < 0) {
		if (shared)
			atomic_fetch_sub(&part->loop->shared_live, 1);
		return;
	}
	s->shared = shared;
	address_from(peer, &s->peer);
	stream_accepted(s, &part->listener->options);
}

/* A connection on its way to the loop that serves it. */
struct handed {
	struct rt_message message;
	struct rt_listener_part *part;
	int fd;
	union sockaddr_any peer;
};

static void handed_arrived(struct rt_message *m)
{
	struct handed *h = container_of(m, struct handed, message);

	if (h->part->serves) {
		accept_one(h->part, h->fd, &h->peer);
	} else { /* it does not listen any more */
		atomic_fetch_sub(&h->part->loop->shared_live, 1);
		close(h->fd);
	}
	mem_free(h);
}

/*
 * A few connections are better on one loop: what they call one after the other is found where it
 * was left (an idle instance of a function, say) without waking another loop. Many are better
 * spread evenly, which a socket per loop (SO_REUSEPORT) leaves to chance.
 */
static struct rt_listener_part *serving_part(struct rt_listener *l)
{
	struct rt_listener_part *best = &l->parts[0];
	unsigned total = 0, least = UINT_MAX;

	for (unsigned i = 0; i < l->part_count; i++) {
		unsigned n = atomic_load(&l->parts[i].loop->shared_live);

		total += n;
		if (n < least) {
			least = n;
			best = &l->parts[i];
		}
	}
	return total < TOGETHER_MAX ? &l->parts[0] : best;
}

static void accept_or_hand(struct rt_listener_part *part, int fd, const union sockaddr_any *peer)
{
	struct rt_listener_part *serves = serving_part(part->listener);
	struct handed *h;

	if (part->listener->part_count > 1)
		atomic_fetch_add(&serves->loop->shared_live, 1);
	if (serves->loop == part->loop)
		return accept_one(serves, fd, peer);
	h = mem_new(struct handed);
	h->message.fn = handed_arrived;
	h->part = serves;
	h->fd = fd;
	h->peer = *peer;
	rt_post(part->listener->rt, serves->loop->index, &h->message);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct socket_listener *k = poll->data;
	struct rt_listener_part *part = k->part;

	(void)status, (void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		union sockaddr_any peer = {0};
		socklen_t n = sizeof peer;
		int fd = accept4(part->listener->fd, &peer.any, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			accept_or_hand(part, fd, &peer);
			if (part->backend != k) /* closed by the callback */
				return;
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* Would be reported again at once: take a breath instead of spinning. */
			uv_poll_stop(&k->poll);
			rt_timer_set(&k->pause, rt_now_coarse() + ACCEPT_PAUSE_NS);
			log_warn("rt", "cannot accept", "errno=%d", errno);
			return;
		}
	}
}

static void accept_again(struct rt_timer *t)
{
	struct socket_listener *k = container_of(t, struct socket_listener, pause);

	check(uv_poll_start(&k->poll, UV_READABLE, on_connection) == 0);
}

int socket_listen_start(struct rt_listener_part *part)
{
	struct socket_listener *k;
	int rc;

	if (part != part->listener->parts) /* the first accepts for all */
		return 0;
	k = mem_new(struct socket_listener);
	rc = uv_poll_init(uv_of(part->loop), &k->poll, part->listener->fd);
	if (rc != 0) {
		mem_free(k);
		return rc_from_errno(-rc);
	}
	k->poll.data = k;
	k->part = part;
	rt_timer_init(&k->pause, accept_again);
	part->backend = k;
	check(uv_poll_start(&k->poll, UV_READABLE, on_connection) == 0);
	return 0;
}

void socket_listen_stop(struct rt_listener_part *part)
{
	struct socket_listener *k = part->backend;

	if (!k)
		return;
	part->backend = NULL;
	rt_timer_stop(&k->pause);
	uv_close((uv_handle_t *)&k->poll, on_closed);
}

void socket_listen_close(struct rt_listener *l)
{
	if (l->fd >= 0)
		close(l->fd);
}

/* --- resolving and connecting --------------------------------------------------------------- */

struct name_job {
	char host[256], port[8];
	struct rt_address *addresses;
	unsigned max;
	int rc;
};

static void name_look_up(void *arg)
{
	struct name_job *j = arg;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG},
			*found = NULL;
	int err = getaddrinfo(j->host, j->port, &hints, &found);
	unsigned n = 0;

	if (err) {
		j->rc = err == EAI_NONAME || err == EAI_NODATA ? ERR_NOT_FOUND : ERR_NETWORK;
		return;
	}
	for (struct addrinfo *at = found; at && n < j->max; at = at->ai_next) {
		union sockaddr_any any = {0};

		if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
			continue;
		memcpy(&any, at->ai_addr, at->ai_addrlen);
		address_from(&any, &j->addresses[n++]);
	}
	freeaddrinfo(found);
	j->rc = n ? (int)n : ERR_NOT_FOUND;
}

int socket_resolve(
	str host, uint16_t port, int64_t deadline, struct rt_address *ret_addresses, unsigned max)
{
	struct rt *rt = rt_self();
	struct name_job j = {.addresses = ret_addresses, .max = max};

	if (!host.n || host.n >= sizeof j.host || str_find(host, '\0') >= 0)
		return ERR_NOT_FOUND;
	memcpy(j.host, host.p, host.n);
	snprintf(j.port, sizeof j.port, "%u", port);
	TRY(rt_pool_run(
		rt_pool_lazy(rt, &rt->name_pool, "names", 4, 1024), name_look_up, &j, deadline));
	return j.rc;
}

static int connect_one(
	const union sockaddr_any *to, socklen_t n, int64_t deadline, struct rt_stream **ret_stream)
{
	int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc = 0, on = 1, err = 0;
	socklen_t err_n = sizeof err;
	struct rt_stream *s;

	if (fd < 0)
		return rc_from_errno(errno);
	if (to->any.sa_family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(fd, &to->any, n) != 0)
		err = errno;
	TRY(socket_new(fd, true, &s));
	address_from(to, &s->peer);
	if (err == EINPROGRESS) {
		rc = stream_wait(s, RT_WRITABLE, deadline);
		err = 0;
		if (rc == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &err_n) != 0)
			err = errno;
	}
	if (rc == 0 && err)
		rc = network_error(err);
	if (rc < 0) {
		rt_stream_close(s);
		return rc;
	}
	*ret_stream = s;
	return 0;
}

static int connect_name(str address, int64_t deadline, struct rt_stream **ret_stream)
{
	struct rt_address found[ADDRESSES_MAX];
	ptrdiff_t colon = str_find_last(address, ':');
	union sockaddr_any to;
	uint64_t port;
	int n, rc = ERR_NOT_FOUND;

	if (colon <= 0 || str_to_u64(str_from(address, (size_t)colon + 1), 65535, &port) < 0)
		return ERR_SYNTAX;
	n = TRY(rt_resolve(str_sub(address, 0, (size_t)colon), (uint16_t)port, deadline, found,
		ADDRESSES_MAX));
	for (int i = 0; i < n; i++) {
		socklen_t to_n = address_to(&found[i], &to);

		rc = connect_one(&to, to_n, deadline, ret_stream);
		if (rc == 0 || rc == ERR_TIMEOUT || rc == ERR_CANCELLED)
			break;
	}
	return rc;
}

int socket_connect(str address, int64_t deadline, struct rt_stream **ret_stream)
{
	union sockaddr_any to;
	socklen_t n;
	int rc = address_any(address, &to, &n);

	if (rc == ERR_SYNTAX)
		return connect_name(address, deadline, ret_stream);
	TRY(rc);
	return connect_one(&to, n, deadline, ret_stream);
}

/* --- messages with descriptors -------------------------------------------------------------- */

union fd_space {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(RT_MESSAGE_FDS_MAX * sizeof(int))];
};

int rt_stream_send_message(
	struct rt_stream *s, str bytes, const int *fds, unsigned fd_count, int64_t deadline)
{
	union fd_space space = {0};
	struct iovec part = {(void *)bytes.p, bytes.n};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};

	if (s->ops != &socket_ops)
		return ERR_UNSUPPORTED;
	check(fd_count <= RT_MESSAGE_FDS_MAX);
	if (fd_count) {
		m.msg_control = space.bytes;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, fd_count * sizeof(int));
	}
	for (;;) {
		if (s->aborted)
			return ERR_CLOSED;
		if (sendmsg(SOCKET_OF(s)->fd, &m, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EMSGSIZE)
			return ERR_TOO_LARGE;
		if (errno != EAGAIN && errno != EINTR)
			return network_error(errno);
		if (errno == EAGAIN)
			TRY(stream_wait(s, RT_WRITABLE, deadline));
	}
}

/* Moves what fits to fds; closes all when something did not. */
static int take_fds(struct msghdr *m, int *fds, unsigned fd_max, unsigned *ret_fd_count)
{
	bool fits = !(m->msg_flags & (MSG_TRUNC | MSG_CTRUNC));
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (n < fd_max) {
				fds[n++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	if (!fits) {
		while (n)
			close(fds[--n]);
		return ERR_TOO_LARGE;
	}
	*ret_fd_count = n;
	return 0;
}

int rt_stream_receive_message(struct rt_stream *s, void *to, size_t n, int *fds, unsigned fd_max,
	unsigned *ret_fd_count, int64_t deadline)
{
	if (s->ops != &socket_ops)
		return ERR_UNSUPPORTED;
	for (;;) {
		union fd_space space = {0};
		struct iovec part = {to, n};
		struct msghdr m = {.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = space.bytes,
			.msg_controllen = sizeof space};
		ssize_t got;

		if (s->aborted)
			return ERR_CLOSED;
		got = recvmsg(SOCKET_OF(s)->fd, &m, MSG_CMSG_CLOEXEC);
		if (got < 0 && errno == EAGAIN) {
			TRY(stream_wait(s, RT_READABLE, deadline));
			continue;
		}
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return network_error(errno);
		TRY(take_fds(&m, fds, fd_max, ret_fd_count));
		return got == 0 && !*ret_fd_count ? ERR_EOF : (int)got;
	}
}

/* --- foreign descriptors -------------------------------------------------------------------- */

struct fd_watch {
	uv_poll_t poll;
	struct rt_fiber *waiter;
	unsigned events;
};

static void on_fd(uv_poll_t *poll, int status, int events)
{
	struct fd_watch *w = poll->data;
	struct rt_fiber *f = w->waiter;

	w->events =
		(events & UV_READABLE ? RT_READABLE : 0) | (events & UV_WRITABLE ? RT_WRITABLE : 0);
	if (status < 0)
		w->events = RT_READABLE | RT_WRITABLE;
	uv_poll_stop(poll);
	w->waiter = NULL;
	if (f)
		fiber_wake(f, 0);
}

static bool abandon_fd(struct rt_fiber *f)
{
	((struct fd_watch *)f->waits_in)->waiter = NULL;
	return true;
}

int rt_fd_wait(int fd, unsigned wanted, int64_t deadline)
{
	struct rt_fiber *f = fiber_here();
	struct fd_watch *w;
	unsigned events;
	int rc;

	if (f->loop->rt->options.mode != RT_REAL)
		return ERR_UNSUPPORTED;
	if (f->cancelled)
		return ERR_CANCELLED;
	w = mem_new(struct fd_watch);
	rc = uv_poll_init(uv_of(f->loop), &w->poll, fd);
	if (rc != 0) {
		mem_free(w);
		return rc_from_errno(-rc);
	}
	w->poll.data = w;
	w->waiter = f;
	check(uv_poll_start(&w->poll,
		      (wanted & RT_READABLE ? UV_READABLE : 0) |
			      (wanted & RT_WRITABLE ? UV_WRITABLE : 0),
		      on_fd) == 0);
	rc = fiber_wait(f, deadline, abandon_fd, w);
	events = w->events;
	uv_close((uv_handle_t *)&w->poll, on_closed);
	return rc < 0 ? rc : (int)(events & wanted ? events & wanted : wanted);
}
