/*
 * Byte streams and descriptors: TCP, unix sockets, pipes and whatever else has a descriptor.
 *
 * A stream belongs to the loop that accepted, connected or adopted it. From a fiber it reads and
 * writes with deadlines (at most one reading and one writing fiber at a time). Without a fiber it
 * is watched: the callback runs when bytes are there, so that an idle connection is a small
 * structure and no buffer; buffers come from a per-loop pool when bytes arrive.
 *
 * Calls try at once and suspend only when the kernel would block. Real descriptors are on libuv's
 * poll handles; simulated streams are in memory (rt/sim.h). Limits: connections_max of rt_options.
 */
#ifndef RT_STREAM_H
#define RT_STREAM_H

#include "rt/rt.h"

#include <sys/uio.h>

struct rt_stream;
struct rt_listener;

/* --- buffers -------------------------------------------------------------------------------- */

enum { RT_BUFFER_BYTES = 16 * 1024 - 64 };

/* From the loop's pool; belongs to that loop. */
struct rt_buffer {
	struct rt_buffer *next; /* free for the owner's use */
	uint32_t n;             /* bytes filled */
	char p[RT_BUFFER_BYTES];
};
struct rt_buffer *rt_buffer_take(void) __attribute__((returns_nonnull));
void rt_buffer_give(struct rt_buffer *buffer); /* NULL: nothing */

/* --- addresses ------------------------------------------------------------------------------ */

enum rt_family { RT_UNSPEC, RT_IPV4, RT_IPV6, RT_UNIX };

struct rt_address {
	enum rt_family family;
	uint16_t port;
	uint8_t ip[16]; /* IPv4: the first four */
};
/* "127.0.0.1:80", "[::1]:80", "unix" for RT_UNIX. At most RT_ADDRESS_TEXT bytes, no NUL. */
enum { RT_ADDRESS_TEXT = 64 };
str rt_address_text(const struct rt_address *address, char text[RT_ADDRESS_TEXT]);
/* The same without the port and brackets. */
str rt_address_ip_text(const struct rt_address *address, char text[RT_ADDRESS_TEXT]);
/* "127.0.0.1:80" or "[::1]:80"; ERR_SYNTAX otherwise (a name, too). */
must_use int rt_address_parse(str text, struct rt_address *ret_address);
bool rt_address_is_loopback(const struct rt_address *address);

/* --- listening ------------------------------------------------------------------------------ */

/*
 * Opens a listening socket: "ADDRESS:PORT" (port 0: any free one) or "unix:PATH". For the
 * supervisor too: needs no runtime. ERR_EXISTS when the address is in use.
 */
must_use int rt_socket_listen(str address, int *ret_fd);

/* On the loop that serves it, outside fibers. The stream is the callee's, to be closed by it. */
typedef void rt_accept_fn(struct rt_stream *stream, void *arg);

struct rt_listen_options {
	str address;   /* when fd is NULL; simulated: any name */
	const int *fd; /* an open listening descriptor, taken over */
	bool one_loop; /* only the calling loop serves what comes, instead of all */
	void *tag;     /* rt_stream_tag() of what it accepts: whose listener this is */
	rt_accept_fn *on_accept;
	/*
	 * Called instead at the connections cap or while stopping, may be NULL (closed at once):
	 * may say why, and closes the stream soon. Such streams are not counted.
	 */
	rt_accept_fn *on_refuse;
	void *arg;
	/*
	 * A cap of this listener's own: open streams are counted in *open_count, which outlives
	 * them and belongs to the one loop that accepts; at open_max more are closed at once.
	 * NULL: no cap but connections_max.
	 */
	unsigned *open_count, open_max;
};
/* From a fiber. Returns when every loop listens. */
must_use mayyield int rt_listen(
	const struct rt_listen_options *options, struct rt_listener **ret_listener);
/* Stops accepting on every loop, then frees. From a fiber. Accepted streams live on. */
mayyield void rt_listener_close(struct rt_listener *listener);
/* The address bound, with the real port. */
void rt_listener_address(const struct rt_listener *listener, struct rt_address *ret_address);

/* --- streams -------------------------------------------------------------------------------- */

/*
 * "ADDRESS:PORT", "NAME:PORT" (resolved on a pool) or "unix:PATH". ERR_REFUSED, ERR_NOT_FOUND (no
 * such name), ERR_NETWORK, ERR_TIMEOUT.
 */
must_use mayyield int rt_connect(str address, int64_t deadline, struct rt_stream **ret_stream);
/* Resolves a host name on a pool; up to `max` addresses with the port given. Returns how many. */
must_use mayyield int rt_resolve(
	str host, uint16_t port, int64_t deadline, struct rt_address *ret_addresses, unsigned max);
/* Takes over an open descriptor (socket, pipe, eventfd ...), made non-blocking. Not simulated. */
must_use int rt_stream_adopt(int fd, struct rt_stream **ret_stream);
/* Two connected streams on this loop: socketpair; simulated: in memory. */
must_use int rt_stream_pair(struct rt_stream **ret_a, struct rt_stream **ret_b);
/* No fiber waits in it. Pending output of the kernel is still sent. NULL: nothing. */
void rt_stream_close(struct rt_stream *stream);
/* As a reset: pending and later calls return ERR_CLOSED. The owner still closes. */
void rt_stream_abort(struct rt_stream *stream);

/* At least one byte: how many; ERR_EOF at the end; ERR_CLOSED after a reset. */
must_use mayyield int rt_stream_read(
	struct rt_stream *stream, void *to, size_t n, int64_t deadline);
/* All of it: 0. ERR_CLOSED when the peer is gone. After a time-out an unknown part was sent. */
must_use mayyield int rt_stream_write(struct rt_stream *stream, str bytes, int64_t deadline);
/* The vectors are changed while it works. */
must_use mayyield int rt_stream_writev(
	struct rt_stream *stream, struct iovec *parts, unsigned n, int64_t deadline);
/* Without waiting: bytes, 0 when none now, ERR_EOF, ERR_CLOSED. Also outside fibers. */
must_use int rt_stream_try_read(struct rt_stream *stream, void *to, size_t n);
/* Without waiting: bytes taken, 0 when it would block. Also outside fibers. */
must_use int rt_stream_try_write(struct rt_stream *stream, const struct iovec *parts, unsigned n);
/* Ends our direction; the peer reads ERR_EOF. */
must_use int rt_stream_shutdown(struct rt_stream *stream);

/*
 * Watching: on_readable is called, outside fibers, each time there is something to read (bytes, the
 * end, a reset: rt_stream_try_read() tells), until rt_stream_unwatch(). While a fiber reads, the
 * stream must not be watched. The callback may close the stream.
 */
typedef void rt_readable_fn(struct rt_stream *stream, void *arg);
void rt_stream_watch(struct rt_stream *stream, rt_readable_fn *on_readable, void *arg);
void rt_stream_unwatch(struct rt_stream *stream);
/* Suspends until there is something to read. */
must_use mayyield int rt_stream_wait_readable(struct rt_stream *stream, int64_t deadline);

void *rt_stream_tag(const struct rt_stream *stream);
/* RT_UNSPEC when it has no address (a pipe, a pair). */
const struct rt_address *rt_stream_peer(const struct rt_stream *stream);
const struct rt_address *rt_stream_local(const struct rt_stream *stream);
/* The descriptor, still owned by the stream; -1 when simulated. */
int rt_stream_fd(const struct rt_stream *stream);

/* --- messages with descriptors (SOCK_SEQPACKET), and any other descriptor --------------------- */

enum { RT_MESSAGE_FDS_MAX = 32 };

/* One message, whole or not at all. The descriptors stay the caller's. Not simulated. */
must_use mayyield int rt_stream_send_message(
	struct rt_stream *stream, str bytes, const int *fds, unsigned fd_count, int64_t deadline);
/*
 * One message: its bytes, and the descriptors (close-on-exec) that came with it, now the caller's.
 * ERR_EOF at the end. ERR_TOO_LARGE when bytes or descriptors did not fit: nothing is kept open.
 */
must_use mayyield int rt_stream_receive_message(struct rt_stream *stream, void *to, size_t n,
	int *fds, unsigned fd_max, unsigned *ret_fd_count, int64_t deadline);

enum { RT_READABLE = 1, RT_WRITABLE = 2 };
/*
 * Suspends until a descriptor that no stream owns (pidfd, eventfd, signalfd, a library's socket) is
 * ready: the RT_* bits that hold. Not simulated.
 */
must_use mayyield int rt_fd_wait(int fd, unsigned wanted, int64_t deadline);

#endif
