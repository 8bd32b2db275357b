/*
 * The server's connections: accepting, waiting for heads without a fiber, time-outs, refusals
 * outside fibers, lingering, draining. What happens within a request is in exchange.c.
 *
 * Each loop has its own part (struct server_loop) and touches no other; draining is by messages.
 */
#include "http/internal.h"
#include "rt/tls.h"

enum {
	REFUSAL_BYTES = 4096,
	/* Most clients read no answer before they have sent the whole of a body that is too large.
	 */
	LINGER_BYTES = 64 * 1024 * 1024,
	LINGER_MAX = 512,
	PIPELINE_TURN = 16
};
#define LINGER_NS  (2 * RT_NS_S)
#define DRAIN_TAIL (2 * RT_NS_S)

/* --- input ---------------------------------------------------------------------------------- */

void input_take(struct input *in)
{
	in->pooled = rt_buffer_take();
	in->p = in->pooled->p;
	in->capacity = sizeof in->pooled->p;
	in->pos = in->n = 0;
}

void input_give(struct input *in)
{
	if (in->pooled)
		rt_buffer_give(in->pooled);
	else
		mem_free(in->p);
	*in = (struct input){0};
}

void input_grow(struct input *in, size_t max)
{
	size_t used = in->n - in->pos;

	if (in->pos) {
		memmove(in->p, in->p + in->pos, used);
	} else if (in->pooled && max > in->capacity) {
		char *p = mem_alloc(max);

		memcpy(p, in->p, in->n);
		input_give(in);
		in->p = p;
		in->capacity = max;
	}
	in->pos = 0;
	in->n = used;
}

/* --- ends ----------------------------------------------------------------------------------- */

static void connection_state_set(struct http_connection *c, enum connection_state state)
{
	if ((state == CONNECTION_IDLE) != (c->state == CONNECTION_IDLE))
		server_count(&c->loop->idle_count, state == CONNECTION_IDLE ? 1 : -1);
	c->state = state;
}

static void connection_close(struct http_connection *c)
{
	struct http_server *server = c->loop->server;

	connection_state_set(c, CONNECTION_IDLE);
	server_count(&c->loop->idle_count, -1);
	server_count(&c->loop->connection_count, -1);
	if (c->linger_bytes)
		c->loop->lingering--;
	rt_timer_stop(&c->timer);
	input_give(&c->in);
	list_remove(&c->link);
	rt_stream_close(c->stream);
	c->magic = 0;
	mem_free(c);
	if (atomic_fetch_sub(&server->live, 1) == 1 && atomic_load(&server->draining))
		rt_event_set(&server->ended);
}

static void on_readable(struct rt_stream *s, void *arg);

/* After the last answer: from a fiber at its end, or outside. */
static void connection_linger(struct http_connection *c)
{
	if (!c->stream || c->loop->lingering >= LINGER_MAX || c->loop->cut ||
		rt_stream_shutdown(c->stream) < 0) {
		connection_close(c);
		return;
	}
	connection_state_set(c, CONNECTION_LINGER);
	c->linger_bytes = LINGER_BYTES;
	c->loop->lingering++;
	input_give(&c->in);
	rt_timer_set(&c->timer, rt_now_coarse() + LINGER_NS);
	rt_stream_watch(c->stream, on_readable, c);
}

void refusal_render(struct server_loop *l, enum http_refusal why, struct buf *b)
{
	static const struct {
		unsigned status;
		str text;
	} rows[] = {
#define HTTP_REFUSAL(name, status, text) [HTTP_REFUSAL_##name] = {status, STR_INIT(text "\n")},
#include "http/refusals.def"
#undef HTTP_REFUSAL
	};
	static const struct http_header plain[] = {
		{STR_INIT("Content-Type"), STR_INIT("text/plain"), HTTP_NAME_CONTENT_TYPE},
		{STR_INIT("Retry-After"), STR_INIT("1"), HTTP_NAME_RETRY_AFTER}};
	struct http_refusal_answer a = {
		rows[why].status, plain, rows[why].status == 503 ? 2 : 1, rows[why].text};

	server_count(&l->refused[why], 1);
	if (l->server->options.on_refusal)
		l->server->options.on_refusal(why, &a, l->server->options.arg);
	buf_printf(b, "HTTP/1.1 %u %.*s\r\nDate: %.*s\r\n", a.status,
		STR_ARG(http_reason(a.status)), STR_ARG(server_date(l)));
	check(http_put_headers(b, a.headers, a.header_count) == 0);
	buf_printf(b, "Content-Length: %zu\r\nConnection: close\r\n\r\n", a.body.n);
	buf_put(b, a.body);
	check(!b->over);
}

/* Says why, outside fibers, and ends the connection. */
static void connection_refuse(struct http_connection *c, enum http_refusal why)
{
	size_t sent = 0;
	struct buf b;
	int rc = 1;

	buf_init(&b, NULL, 1024 * 1024);
	refusal_render(c->loop, why, &b);
	while (sent < b.n && rc > 0) {
		struct iovec part = {b.p + sent, b.n - sent};

		rc = rt_stream_try_write(c->stream, &part, 1);
		sent += rc > 0 ? (size_t)rc : 0;
	}
	/* The first answer on an empty socket buffer fits; if not, the client does not read. */
	if (sent == b.n)
		connection_linger(c);
	else
		connection_close(c);
	buf_done(&b);
}

static void on_timer(struct rt_timer *timer)
{
	struct http_connection *c = container_of(timer, struct http_connection, timer);

	check(c->magic == HTTP_CONNECTION_MAGIC && c->state != CONNECTION_BUSY);
	if (c->state == CONNECTION_HEAD)
		connection_refuse(c, HTTP_REFUSAL_TOO_SLOW);
	else
		connection_close(c);
}

/* --- heads ---------------------------------------------------------------------------------- */

/* > 0: the length of a complete head; 0: wait for more; else -HTTP_REFUSAL_*. */
static int connection_look(struct http_connection *c)
{
	const struct http_limits *limits = &c->loop->server->limits;
	struct input *in = &c->in;
	size_t used;
	int rc;

	/* Empty lines before a request are skipped (RFC 9112 section 2.2). */
	while (!c->scan.lines && !c->scan.line && in->n - in->pos >= 2 &&
		memcmp(in->p + in->pos, "\r\n", 2) == 0)
		in->pos += 2;
	used = in->n - in->pos;
	if (!used)
		return 0;
	if ((unsigned)((in->p[in->pos] | 0x20) - 'a') > 25 && in->p[in->pos] != '\r')
		return -HTTP_REFUSAL_MALFORMED; /* no method: TLS on a plain port, say */
	rc = head_find(in->p + in->pos, used, &c->scan);
	if (rc < 0)
		return rc;
	if (c->scan.lines == 0 && used > limits->target_bytes + 32)
		return -HTTP_REFUSAL_TARGET_TOO_LONG;
	if ((rc ? (size_t)rc : used) > limits->head_bytes || c->scan.lines > limits->headers + 1)
		return -HTTP_REFUSAL_HEAD_TOO_LARGE;
	return rc;
}

static void connection_wait(struct http_connection *c)
{
	const struct http_limits *limits = &c->loop->server->limits;
	bool fresh = c->requests == 0;

	if (c->in.n == c->in.pos) {
		input_give(&c->in);
		connection_state_set(c, CONNECTION_IDLE);
		if (c->loop->draining && !fresh) {
			connection_close(c);
			return;
		}
		rt_timer_set(&c->timer,
			rt_now_coarse() + (fresh ? limits->head_ms : limits->idle_ms) * RT_NS_MS);
	} else {
		if (c->in.n == c->in.capacity || c->in.pos)
			input_grow(&c->in, limits->head_bytes + 1);
		if (c->state != CONNECTION_HEAD)
			rt_timer_set(&c->timer, rt_now_coarse() + limits->head_ms * RT_NS_MS);
		connection_state_set(c, CONNECTION_HEAD);
	}
	rt_stream_watch(c->stream, on_readable, c);
}

/* The fiber of a connection while it has complete requests. */
static void connection_fiber(void *arg)
{
	struct http_connection *c =
		check_object(arg, struct http_connection, HTTP_CONNECTION_MAGIC);
	int rc = connection_look(c);

	for (unsigned turn = 1; rc > 0; turn++) {
		if (!exchange_serve(c, (size_t)rc)) {
			connection_linger(c);
			return;
		}
		if (turn % PIPELINE_TURN == 0 && rt_yield() < 0) {
			connection_close(c);
			return;
		}
		rc = connection_look(c);
	}
	if (rc < 0)
		connection_refuse(c, (enum http_refusal) - rc);
	else
		connection_wait(c);
}

static void connection_start(struct http_connection *c)
{
	int rc;

	rt_stream_unwatch(c->stream);
	rt_timer_set(&c->timer, RT_NEVER);
	connection_state_set(c, CONNECTION_BUSY);
	rc = rt_spawn_now(connection_fiber, c);
	if (rc < 0)
		connection_refuse(c, rc == ERR_BUSY ? HTTP_REFUSAL_FIBERS : HTTP_REFUSAL_STOPPING);
}

static void linger_read(struct http_connection *c)
{
	struct rt_buffer *b = rt_buffer_take();
	int n = rt_stream_try_read(c->stream, b->p, sizeof b->p);

	rt_buffer_give(b);
	if (n > 0 && (size_t)n < c->linger_bytes)
		c->linger_bytes -= (size_t)n;
	else if (n != 0)
		connection_close(c);
}

static void tell_expected(struct http_connection *c)
{
	http_expected *fn = c->expected;

	c->expected = NULL;
	fn(c->expected_arg, c->expected_number);
}

static void on_readable(struct rt_stream *s, void *arg)
{
	struct http_connection *c =
		check_object(arg, struct http_connection, HTTP_CONNECTION_MAGIC);
	int n;

	if (c->state == CONNECTION_LINGER) {
		linger_read(c);
		return;
	}
	if (!c->in.p)
		input_take(&c->in);
	n = rt_stream_try_read(s, c->in.p + c->in.n, c->in.capacity - c->in.n);
	if (n < 0) {
		connection_close(c);
		return;
	}
	if (n > 0 && c->expected)
		tell_expected(c);
	c->in.n += (size_t)n;
	n = connection_look(c);
	if (n > 0)
		connection_start(c);
	else if (n < 0)
		connection_refuse(c, (enum http_refusal) - n);
	else
		connection_wait(c);
}

/* --- accepting ------------------------------------------------------------------------------ */

static struct http_connection *connection_new(
	struct http_server *server, struct rt_stream *stream, struct rt_tls *tls)
{
	struct server_loop *l = &server->loops[rt_loop_index()];
	struct http_connection *c = mem_new(struct http_connection);

	c->magic = HTTP_CONNECTION_MAGIC;
	c->loop = l;
	c->stream = stream;
	c->tls = tls;
	c->state = CONNECTION_HEAD;
	rt_timer_init(&c->timer, on_timer);
	list_push_back(&l->connections, &c->link);
	atomic_fetch_add(&server->live, 1);
	server_count(&l->connection_count, 1);
	return c;
}

static void tls_fiber(void *arg)
{
	struct http_connection *c =
		check_object(arg, struct http_connection, HTTP_CONNECTION_MAGIC);
	int64_t deadline = rt_now() + c->loop->server->limits.head_ms * RT_NS_MS;

	if (rt_tls_accept(c->stream, c->tls, deadline) < 0)
		connection_close(c);
	else
		connection_wait(c);
}

static void on_accept(struct rt_stream *stream, void *arg)
{
	struct server_listener *from = arg;
	struct http_connection *c = connection_new(from->server, stream, from->tls);

	if (!from->tls) {
		connection_wait(c);
		return;
	}
	connection_state_set(c, CONNECTION_BUSY);
	if (rt_spawn(tls_fiber, c) < 0)
		connection_close(c);
}

static void on_refuse(struct rt_stream *stream, void *arg)
{
	struct server_listener *from = arg;
	struct http_connection *c = connection_new(from->server, stream, from->tls);

	if (from->tls) /* nobody to talk to yet */
		connection_close(c);
	else
		connection_refuse(c, rt_stopping(from->server->rt) ? HTTP_REFUSAL_STOPPING
								   : HTTP_REFUSAL_CONNECTIONS);
}

void http_server_take(struct http_server *server, struct rt_stream *stream)
{
	connection_wait(connection_new(server, stream, NULL));
}

int http_server_listen(
	struct http_server *server, const struct rt_listen_options *listen, struct rt_tls *tls)
{
	struct rt_listen_options o = *listen;
	struct server_listener *l;
	int rc;

	if (server->listener_count == SERVER_LISTENERS_MAX)
		return ERR_BUSY;
	l = mem_new(struct server_listener);
	l->server = server;
	l->tls = tls;
	o.on_accept = on_accept;
	o.on_refuse = on_refuse;
	o.arg = l;
	rc = rt_listen(&o, &l->listener);
	if (rc < 0) {
		mem_free(l);
		return rc;
	}
	server->listeners[server->listener_count++] = l;
	return 0;
}

int http_server_address(
	const struct http_server *server, unsigned number, struct rt_address *ret_address)
{
	if (number >= server->listener_count || !server->listeners[number]->listener)
		return ERR_NOT_FOUND;
	rt_listener_address(server->listeners[number]->listener, ret_address);
	return 0;
}

/* --- life ----------------------------------------------------------------------------------- */

#define OR_DEFAULT(field, value)           \
	do {                               \
		if (!(field))              \
			(field) = (value); \
	} while (0)

static void limits_fill(struct http_limits *l)
{
	OR_DEFAULT(l->target_bytes, 16 * 1024);
	OR_DEFAULT(l->head_bytes, 64 * 1024);
	OR_DEFAULT(l->headers, 128);
	OR_DEFAULT(l->body_bytes, UINT64_C(5) << 30);
	OR_DEFAULT(l->arena_bytes, 64 * 1024 * 1024);
	OR_DEFAULT(l->head_ms, 20000);
	OR_DEFAULT(l->body_ms, 30000);
	OR_DEFAULT(l->body_rate, 500);
	OR_DEFAULT(l->idle_ms, 75000);
	OR_DEFAULT(l->write_ms, 30000);
	l->headers = MIN(l->headers, (unsigned)HEAD_HEADERS_MAX);
}

int http_server_new(const struct http_server_options *options, struct http_server **ret_server)
{
	struct rt *rt = rt_self();
	unsigned loops = rt_loop_count(rt);
	struct http_server *server = mem_zero(sizeof *server + loops * sizeof server->loops[0]);

	check(options->handler != NULL);
	if (!http_is_value(options->server_name)) {
		mem_free(server);
		return ERR_INVALID;
	}
	server->magic = HTTP_SERVER_MAGIC;
	server->options = *options;
	server->limits = options->limits;
	limits_fill(&server->limits);
	server->rt = rt;
	server->loop_count = loops;
	rt_event_init(&server->ended);
	for (unsigned i = 0; i < loops; i++) {
		server->loops[i].server = server;
		list_init(&server->loops[i].connections);
	}
	*ret_server = server;
	return 0;
}

str server_date(struct server_loop *l)
{
	int64_t now = rt_now_coarse();

	if (unlikely(now >= l->date_until)) {
		int64_t wall = rt_wall();

		http_date(wall, l->date);
		l->date_until = now + RT_NS_S - wall % RT_NS_S;
	}
	return str_of(l->date, HTTP_DATE_BYTES);
}

struct drain_message {
	struct rt_message message;
	struct server_loop *loop;
	bool cut;
	struct rt_event done;
};

static void drain_arrived(struct rt_message *m)
{
	struct drain_message *d = container_of(m, struct drain_message, message);
	struct server_loop *l = d->loop;

	l->draining = true;
	l->cut |= d->cut;
	list_for_each_safe(at, &l->connections) {
		struct http_connection *c = list_entry(at, struct http_connection, link);

		if (c->state == CONNECTION_IDLE || (d->cut && c->state != CONNECTION_BUSY)) {
			l->cut_count += c->state == CONNECTION_HEAD;
			connection_close(c);
		} else if (d->cut && c->stream) {
			l->cut_count++;
			rt_stream_abort(c->stream);
		}
	}
	rt_event_set(&d->done);
}

static void drain_tell(struct http_server *server, bool cut)
{
	for (unsigned i = 0; i < server->loop_count; i++) {
		struct drain_message d = {
			.message.fn = drain_arrived, .loop = &server->loops[i], .cut = cut};

		rt_event_init(&d.done);
		rt_post(server->rt, i, &d.message);
		rt_event_wait_sure(&d.done);
	}
}

static void drain_wait(struct http_server *server, int64_t deadline)
{
	while (atomic_load(&server->live) && rt_event_wait(&server->ended, deadline) == 0)
		;
}

static void listeners_close(struct http_server *server)
{
	for (unsigned i = 0; i < server->listener_count; i++) {
		rt_listener_close(server->listeners[i]->listener);
		server->listeners[i]->listener = NULL;
	}
}

int http_server_drain(struct http_server *server, int64_t deadline)
{
	unsigned cut = 0;

	listeners_close(server);
	atomic_store(&server->draining, true);
	drain_tell(server, false);
	drain_wait(server, deadline);
	if (atomic_load(&server->live)) {
		drain_tell(server, true);
		drain_wait(server, rt_now() + DRAIN_TAIL);
	}
	for (unsigned i = 0; i < server->loop_count; i++)
		cut += server->loops[i].cut_count;
	return (int)cut;
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	check(server->magic == HTTP_SERVER_MAGIC);
	listeners_close(server);
	atomic_store(&server->draining, true);
	drain_tell(server, true);
	while (atomic_load(&server->live))
		rt_event_wait_sure(&server->ended);
	/* The last connection sets the event behind its count: let it finish. */
	for (unsigned i = 0; i < server->listener_count; i++)
		mem_free(server->listeners[i]);
	drain_tell(server, true);
	server->magic = 0;
	mem_free(server);
}

void http_server_figures(const struct http_server *server, struct http_server_figures *ret_figures)
{
	struct http_server_figures f = {0};

	for (unsigned i = 0; i < server->loop_count; i++) {
		const struct server_loop *l = &server->loops[i];

		f.connections += l->connection_count;
		f.idle += l->idle_count;
		f.requests += l->requests;
		for (unsigned r = 0; r < HTTP_REFUSAL_END_; r++)
			f.refused[r] += l->refused[r];
	}
	*ret_figures = f;
}
