/*
 * Streams above their byte channel: waiting with deadlines, watching, whole writes, buffers. The
 * channel (a socket, or memory in the simulation) never blocks and reports readiness by
 * rt_stream_ready().
 *
 * Readiness for reading stays wanted once asked for: a connection that is watched, then read by a
 * fiber, then watched again costs no system call. Only when bytes come that nobody asks for it is
 * switched off until somebody does.
 */
#include "rt/internal.h"
#include "rt/tls_internal.h"

enum { BUFFERS_SPARE_MAX = 1024 };

/* --- buffers -------------------------------------------------------------------------------- */

struct rt_buffer *rt_buffer_take(void)
{
	struct rt_loop *l = loop_here();
	struct rt_buffer *b = l->buffers;

	if (b) {
		l->buffers = b->next;
		l->buffers_spare--;
	} else {
		b = mem_alloc(sizeof *b);
	}
	b->next = NULL;
	b->n = 0;
	rt_count(&l->figures.buffers_live, 1);
	return b;
}

void rt_buffer_give(struct rt_buffer *b)
{
	struct rt_loop *l;

	if (!b)
		return;
	l = loop_here();
	rt_count(&l->figures.buffers_live, -1);
	if (RT_ASAN || l->buffers_spare >= BUFFERS_SPARE_MAX) {
		mem_free(b); /* under the sanitizer: so that a use after the end shows */
		return;
	}
	b->next = l->buffers;
	l->buffers = b;
	l->buffers_spare++;
}

/* --- life ----------------------------------------------------------------------------------- */

void stream_init(struct rt_stream *s, const struct rt_stream_ops *ops, struct rt_loop *l)
{
	s->ops = ops;
	s->loop = l;
	list_push_back(&l->streams, &s->link);
}

void stream_done(struct rt_stream *s)
{
	list_remove(&s->link);
	if (s->accepted)
		rt_count(&s->loop->figures.connections_live, -1);
	if (s->shared)
		atomic_fetch_sub_explicit(&s->loop->shared_live, 1, memory_order_relaxed);
	if (s->open_count)
		--*s->open_count;
}

void stream_accepted(struct rt_stream *s, const struct rt_listen_options *o)
{
	struct rt_loop *l = s->loop;

	s->tag = o->tag;
	if (o->open_count && *o->open_count >= o->open_max) {
		rt_count(&l->figures.connections_refused, 1);
		rt_stream_close(s);
		return;
	}
	if (l->figures.connections_live >= l->rt->options.connections_max || rt_stopping(l->rt)) {
		rt_count(&l->figures.connections_refused, 1);
		if (o->on_refuse)
			o->on_refuse(s, o->arg);
		else
			rt_stream_close(s);
		return;
	}
	s->accepted = true;
	s->open_count = o->open_count;
	if (s->open_count)
		++*s->open_count;
	rt_count(&l->figures.connections_live, 1);
	rt_count(&l->figures.connections_accepted, 1);
	o->on_accept(s, o->arg);
}

void rt_stream_close(struct rt_stream *s)
{
	if (!s)
		return;
	check(!s->reader && !s->writer && s->loop == rt_loop_here);
	if (s->tls)
		tls_session_free(s);
	s->ops->close(s);
}

void rt_stream_abort(struct rt_stream *s)
{
	check(s->loop == rt_loop_here);
	if (s->aborted)
		return;
	s->aborted = true;
	s->ops->abort(s);
	rt_stream_ready(s, RT_READABLE | RT_WRITABLE);
}

/* --- readiness ------------------------------------------------------------------------------ */

static void want(struct rt_stream *s, unsigned events)
{
	if (s->wanted == events)
		return;
	s->wanted = (uint8_t)events;
	s->ops->want(s, events);
}

static void wake(struct rt_fiber **place)
{
	struct rt_fiber *f = *place;

	*place = NULL;
	if (f)
		fiber_wake(f, 0);
}

void rt_stream_ready(struct rt_stream *s, unsigned events)
{
	if (events & RT_WRITABLE) {
		wake(&s->writer);
		want(s, s->wanted & ~RT_WRITABLE);
	}
	if (!(events & RT_READABLE))
		return;
	s->drained = false;
	if (s->reader)
		wake(&s->reader);
	else if (s->on_readable)
		s->on_readable(s, s->readable_arg); /* may close the stream */
	else
		want(s, s->wanted & ~RT_READABLE);
}

static bool abandon_read(struct rt_fiber *f)
{
	((struct rt_stream *)f->waits_in)->reader = NULL;
	return true;
}

static bool abandon_write(struct rt_fiber *f)
{
	((struct rt_stream *)f->waits_in)->writer = NULL;
	return true;
}

int stream_wait(struct rt_stream *s, unsigned event, int64_t deadline)
{
	struct rt_fiber *f = fiber_here();
	bool reading = event == RT_READABLE;
	struct rt_fiber **place = reading ? &s->reader : &s->writer;

	check(!*place && s->loop == f->loop && !(reading && s->on_readable));
	if (f->cancelled)
		return ERR_CANCELLED;
	if (s->aborted)
		return ERR_CLOSED;
	want(s, s->wanted | event);
	*place = f;
	return fiber_wait(f, deadline, reading ? abandon_read : abandon_write, s);
}

void rt_stream_watch(struct rt_stream *s, rt_readable_fn *on_readable, void *arg)
{
	check(!s->reader && s->loop == rt_loop_here);
	s->on_readable = on_readable;
	s->readable_arg = arg;
	want(s, s->wanted | RT_READABLE);
	if (s->tls)
		tls_watch(s);
}

void rt_stream_unwatch(struct rt_stream *s)
{
	s->on_readable = NULL;
}

int rt_stream_wait_readable(struct rt_stream *s, int64_t deadline)
{
	if (s->tls && tls_pending(s))
		return 0;
	return stream_wait(s, RT_READABLE, deadline);
}

/* --- bytes ---------------------------------------------------------------------------------- */

int rt_stream_try_read(struct rt_stream *s, void *to, size_t n)
{
	int rc;

	if (s->aborted)
		return ERR_CLOSED;
	if (s->tls)
		return tls_try_read(s, to, n);
	rc = s->ops->try_read(s, to, MIN(n, (size_t)INT32_MAX));
	s->drained = rc >= 0 && (size_t)rc < n;
	return rc;
}

int rt_stream_try_write(struct rt_stream *s, const struct iovec *parts, unsigned n)
{
	if (s->aborted)
		return ERR_CLOSED;
	if (s->tls)
		return tls_try_write(s, parts, n);
	return s->ops->try_write(s, parts, n);
}

int rt_stream_read(struct rt_stream *s, void *to, size_t n, int64_t deadline)
{
	check(n > 0);
	for (;;) {
		if (!s->drained) {
			int rc = rt_stream_try_read(s, to, n);

			if (rc != 0)
				return rc;
		}
		if (s->tls && tls_wants_write(s))
			TRY(stream_wait(s, RT_WRITABLE, deadline));
		else
			TRY(stream_wait(s, RT_READABLE, deadline));
		s->drained = false;
	}
}

/* Cuts what was sent off the front. */
static unsigned parts_skip(struct iovec **parts, unsigned n, size_t sent)
{
	while (n && sent >= (*parts)->iov_len) {
		sent -= (*parts)->iov_len;
		(*parts)++;
		n--;
	}
	if (n) {
		(*parts)->iov_base = (char *)(*parts)->iov_base + sent;
		(*parts)->iov_len -= sent;
	}
	return n;
}

int rt_stream_writev(struct rt_stream *s, struct iovec *parts, unsigned n, int64_t deadline)
{
	n = parts_skip(&parts, n, 0);
	while (n) {
		int rc = TRY(rt_stream_try_write(s, parts, n));

		n = parts_skip(&parts, n, (size_t)rc);
		if (!n)
			break;
		if (rc > 0)
			continue;
		if (s->tls && tls_wants_read(s))
			TRY(stream_wait(s, RT_READABLE, deadline));
		else
			TRY(stream_wait(s, RT_WRITABLE, deadline));
	}
	return 0;
}

int rt_stream_write(struct rt_stream *s, str bytes, int64_t deadline)
{
	struct iovec part = {(void *)bytes.p, bytes.n};

	return rt_stream_writev(s, &part, 1, deadline);
}

int rt_stream_shutdown(struct rt_stream *s)
{
	if (s->aborted)
		return ERR_CLOSED;
	if (s->tls)
		tls_shutdown(s);
	return s->ops->shutdown(s);
}

void *rt_stream_tag(const struct rt_stream *s)
{
	return s->tag;
}

const struct rt_address *rt_stream_peer(const struct rt_stream *s)
{
	return &s->peer;
}

/* --- listeners ------------------------------------------------------------------------------ */

struct part_message {
	struct rt_message message;
	struct rt_listener_part *part;
	bool stop;
	int rc;
	struct rt_event done;
};

static void part_arrived(struct rt_message *m)
{
	struct part_message *p = container_of(m, struct part_message, message);
	const struct rt_backend *backend = p->part->listener->rt->backend;

	if (p->stop)
		backend->listen_stop(p->part);
	else
		p->rc = backend->listen_start(p->part);
	p->part->serves = !p->stop && p->rc == 0;
	rt_event_set(&p->done);
}

static int parts_tell(struct rt_listener *l, unsigned count, bool stop)
{
	int rc = 0;

	for (unsigned i = 0; i < count; i++) {
		struct part_message m = {
			.message.fn = part_arrived, .part = &l->parts[i], .stop = stop};

		rt_event_init(&m.done);
		rt_post(l->rt, l->parts[i].loop->index, &m.message);
		rt_event_wait_sure(&m.done);
		rc = MIN(rc, m.rc);
	}
	return rc;
}

int rt_listen(const struct rt_listen_options *o, struct rt_listener **ret_listener)
{
	struct rt *rt = loop_here()->rt;
	unsigned count = o->one_loop ? 1 : rt->loop_count;
	struct rt_listener *l;
	int rc;

	check(o->on_accept != NULL);
	l = mem_zero(sizeof *l + count * sizeof l->parts[0]);
	l->rt = rt;
	l->options = *o;
	l->part_count = count;
	l->fd = -1;
	for (unsigned i = 0; i < count; i++) {
		l->parts[i].listener = l;
		l->parts[i].loop = o->one_loop ? loop_here() : &rt->loops[i];
	}
	rc = rt->backend->listen_open(o, l);
	l->options.fd = NULL;
	l->options.address = STR_NULL;
	if (rc == 0)
		rc = parts_tell(l, count, false);
	if (rc < 0) {
		rt_listener_close(l);
		return rc;
	}
	*ret_listener = l;
	return 0;
}

void rt_listener_close(struct rt_listener *l)
{
	if (!l)
		return;
	/* The second time nothing is left that a loop had handed to another before it stopped. */
	parts_tell(l, l->part_count, true);
	parts_tell(l, l->part_count, true);
	l->rt->backend->listen_close(l);
	mem_free(l);
}

void rt_listener_address(const struct rt_listener *l, struct rt_address *ret_address)
{
	*ret_address = l->address;
}

/* --- connecting ----------------------------------------------------------------------------- */

int rt_connect(str address, int64_t deadline, struct rt_stream **ret_stream)
{
	return loop_here()->rt->backend->connect(address, deadline, ret_stream);
}

int rt_resolve(
	str host, uint16_t port, int64_t deadline, struct rt_address *ret_addresses, unsigned max)
{
	return loop_here()->rt->backend->resolve(host, port, deadline, ret_addresses, max);
}

int rt_stream_pair(struct rt_stream **ret_a, struct rt_stream **ret_b)
{
	return loop_here()->rt->backend->pair(ret_a, ret_b);
}
