/*
 * The client: connections per target, one call at a time on each, kept alive between calls.
 *
 * An idle connection is watched, so that one that the server closes goes away by itself. A call
 * that meets a connection closed under it, before a byte of the answer, is sent once more on a new
 * one when that does no harm (RFC 9110 section 9.2.2) and its body is small enough to have been
 * kept.
 */
#include "http/client.h"

#include "base/map.h"
#include "http/internal.h"
#include "rt/tls.h"

enum { KEPT_BODY_BYTES = 64 * 1024, CALL_ARENA_BYTES = 256 * 1024, TARGETS_MAX = 4096 };

struct client_target {
	struct http_client *client;
	str key; /* 's' or 'p', then the address */
	struct list idle;
	unsigned open; /* idle and busy */
	struct rt_waitq waiters;
	unsigned waiting;
};

struct client_connection {
	struct client_target *target;
	struct rt_stream *stream;
	struct list link, age; /* target->idle, client->ages (oldest first) */
	struct rt_timer timer;
};

struct http_client {
	struct http_client_options options;
	struct map targets;
	struct list ages;
	unsigned idle, calls;
};

struct http_call {
	struct http_client *client;
	struct client_target *target;
	struct client_connection *connection; /* NULL: given up */
	struct arena arena;
	int64_t deadline;
	str address, sent_head, sent_body;
	bool secure, reused, may_repeat, head_request;
	bool streaming, chunked_request, request_done;
	int64_t request_left;
	struct input in;
	struct head_scan scan;
	struct head head;
	bool have_response, body_ended, until_close, keep;
	uint64_t body_left;
	struct chunk_decoder chunks;
	struct http_response response;
};

/* --- connections ---------------------------------------------------------------------------- */

static void target_release(struct client_target *t)
{
	if (t->open || t->waiting)
		return;
	map_remove(&t->client->targets, t->key);
	mem_free(t);
}

static void connection_free(struct client_connection *c)
{
	struct client_target *t = c->target;

	if (!list_empty(&c->link))
		t->client->idle--;
	list_remove(&c->link);
	list_remove(&c->age);
	rt_timer_stop(&c->timer);
	rt_stream_close(c->stream);
	mem_free(c);
	t->open--;
	rt_waitq_wake_one(&t->waiters);
	target_release(t);
}

static void on_idle_timer(struct rt_timer *timer)
{
	connection_free(container_of(timer, struct client_connection, timer));
}

/* Nothing may come between calls: the end, or a server that talks out of turn. */
static void on_idle_readable(struct rt_stream *stream, void *arg)
{
	(void)stream;
	connection_free(arg);
}

static unsigned list_count(const struct list *head)
{
	unsigned n = 0;

	for (const struct list *at = head->next; at != head; at = at->next)
		n++;
	return n;
}

static void connection_keep(struct client_connection *c)
{
	struct http_client *client = c->target->client;

	list_push_front(&c->target->idle, &c->link);
	list_push_back(&client->ages, &c->age);
	client->idle++;
	rt_timer_set(&c->timer, rt_now_coarse() + client->options.idle_ms * RT_NS_MS);
	rt_stream_watch(c->stream, on_idle_readable, c);
	if (rt_waitq_wake_one(&c->target->waiters))
		return;
	if (client->idle > client->options.idle_max)
		connection_free(list_entry(client->ages.next, struct client_connection, age));
	else if (list_count(&c->target->idle) > client->options.idle_per_target)
		connection_free(list_entry(c->target->idle.prev, struct client_connection, link));
}

static int target_of(
	struct http_client *client, str address, bool secure, struct client_target **ret)
{
	struct client_target *t;
	char key[512];

	if (address.n + 1 > sizeof key)
		return ERR_RANGE;
	key[0] = secure ? 's' : 'p';
	memcpy(key + 1, address.p, address.n);
	t = map_get(&client->targets, str_of(key, address.n + 1));
	if (!t) {
		if (client->targets.count >= TARGETS_MAX)
			return ERR_BUSY;
		t = mem_zero(sizeof *t + address.n + 1);
		t->client = client;
		t->key = str_of(t + 1, address.n + 1);
		memcpy(t + 1, key, address.n + 1);
		list_init(&t->idle);
		rt_waitq_init(&t->waiters);
		map_put(&client->targets, t->key, t);
	}
	*ret = t;
	return 0;
}

/* The name in "NAME:PORT" or "[IP]:PORT". */
static str name_of(str address)
{
	ptrdiff_t colon = str_find_last(address, ':');
	str name = colon < 0 ? address : str_sub(address, 0, (size_t)colon);

	if (name.n > 2 && name.p[0] == '[')
		name = str_sub(name, 1, name.n - 2);
	return name;
}

static int connection_open(struct http_call *call)
{
	struct client_target *t = call->target;
	struct client_connection *c;
	struct rt_stream *stream;
	int rc;

	t->open++;
	rc = rt_connect(call->address, call->deadline, &stream);
	if (rc == 0 && call->secure) {
		rc = rt_tls_connect(
			stream, t->client->options.tls, name_of(call->address), call->deadline);
		if (rc < 0)
			rt_stream_close(stream);
	}
	if (rc < 0) {
		t->open--;
		rt_waitq_wake_one(&t->waiters);
		target_release(t);
		call->target = NULL;
		return rc;
	}
	c = mem_new(struct client_connection);
	c->target = t;
	c->stream = stream;
	list_init(&c->link);
	list_init(&c->age);
	rt_timer_init(&c->timer, on_idle_timer);
	call->connection = c;
	return 0;
}

static int connection_acquire(struct http_call *call, bool fresh)
{
	struct client_target *t = NULL;
	int rc;

	for (;;) {
		struct list *first;

		TRY(target_of(call->client, call->address, call->secure, &t));
		first = fresh ? NULL : list_pop_front(&t->idle);
		if (first) {
			struct client_connection *c =
				list_entry(first, struct client_connection, link);

			call->client->idle--;
			list_remove(&c->age);
			rt_timer_set(&c->timer, RT_NEVER);
			rt_stream_unwatch(c->stream);
			call->target = t;
			call->connection = c;
			call->reused = true;
			return 0;
		}
		if (t->open < call->client->options.per_target) {
			call->target = t;
			call->reused = false;
			return connection_open(call);
		}
		t->waiting++;
		rc = rt_waitq_wait(&t->waiters, call->deadline);
		t->waiting--;
		if (rc < 0) {
			target_release(t);
			return rc;
		}
	}
}

/* --- requests ------------------------------------------------------------------------------- */

static bool idempotent(str method)
{
	static const str names[] = {STR_INIT("GET"), STR_INIT("HEAD"), STR_INIT("PUT"),
		STR_INIT("DELETE"), STR_INIT("OPTIONS")};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(method, names[i]))
			return true;
	return false;
}

static bool target_ok(str target)
{
	for (size_t i = 0; i < target.n; i++)
		if ((unsigned char)target.p[i] <= ' ' || (unsigned char)target.p[i] >= 0x7f)
			return false;
	return target.n > 0;
}

static int render(struct http_call *call, const struct http_request *r)
{
	str host = r->host.n ? r->host : r->address;
	struct buf b;

	if (!http_is_token(r->method) || !target_ok(r->target) || !host.n || !http_is_value(host))
		return ERR_INVALID;
	for (unsigned i = 0; i < r->header_count; i++)
		switch (head_name(r->headers[i].name)) {
		case HTTP_NAME_HOST:
		case HTTP_NAME_CONTENT_LENGTH:
		case HTTP_NAME_TRANSFER_ENCODING:
		case HTTP_NAME_CONNECTION: return ERR_INVALID;
		default: break;
		}
	buf_init(&b, &call->arena, CALL_ARENA_BYTES);
	buf_put(&b, r->method);
	buf_put_char(&b, ' ');
	buf_put(&b, r->target);
	buf_put(&b, STR(" HTTP/1.1\r\nHost: "));
	buf_put(&b, host);
	buf_put(&b, STR("\r\n"));
	TRY(http_put_headers(&b, r->headers, r->header_count));
	call->chunked_request = r->body_stream && r->body_bytes < 0;
	if (call->chunked_request)
		buf_put(&b, STR("Transfer-Encoding: chunked\r\n"));
	else if (r->body_stream || r->body.n || str_eq(r->method, STR("POST")) ||
		 str_eq(r->method, STR("PUT")))
		buf_printf(&b, "Content-Length: %llu\r\n",
			(unsigned long long)(r->body_stream ? (uint64_t)r->body_bytes : r->body.n));
	buf_put(&b, STR("\r\n"));
	if (b.over)
		return ERR_TOO_LARGE;
	call->sent_head = buf_str(&b);
	return 0;
}

static int send_request(struct http_call *call, str body)
{
	struct iovec parts[2] = {
		{(void *)call->sent_head.p, call->sent_head.n}, {(void *)body.p, body.n}};
	int rc = rt_stream_writev(call->connection->stream, parts, body.n ? 2 : 1, call->deadline);

	/* A server may answer and close before it has read all: look for the answer first. */
	if (rc == ERR_CLOSED) {
		call->keep = false;
		return 0;
	}
	return rc;
}

int http_call_open(struct http_client *client, const struct http_request *r, int64_t deadline,
	struct http_call **ret_call)
{
	struct http_call *call;
	int rc;

	if (r->secure && !client->options.tls)
		return ERR_UNSUPPORTED;
	call = mem_new(struct http_call);
	client->calls++;
	call->client = client;
	call->deadline = deadline;
	call->secure = r->secure;
	call->streaming = r->body_stream;
	call->request_done = !r->body_stream;
	call->request_left = r->body_stream ? r->body_bytes : 0;
	call->head_request = str_eq(r->method, STR("HEAD"));
	call->keep = true;
	arena_init(&call->arena, CALL_ARENA_BYTES);
	call->address = arena_str(&call->arena, r->address);
	call->may_repeat = !r->body_stream && r->body.n <= KEPT_BODY_BYTES && idempotent(r->method);
	if (call->may_repeat)
		call->sent_body = arena_str(&call->arena, r->body);
	rc = render(call, r);
	if (rc == 0)
		rc = connection_acquire(call, false);
	if (rc == 0)
		rc = send_request(call, r->body);
	if (rc < 0) {
		call->keep = false;
		http_call_close(call);
		return rc;
	}
	*ret_call = call;
	return 0;
}

int http_call_write(struct http_call *call, str bytes)
{
	struct iovec parts[3];
	char size[20];
	struct buf b;

	check(call->streaming && !call->request_done);
	if (!call->connection)
		return ERR_CLOSED;
	if (!bytes.n)
		return 0;
	if (!call->chunked_request) {
		if (bytes.n > (uint64_t)call->request_left)
			return ERR_RANGE;
		call->request_left -= (int64_t)bytes.n;
		return rt_stream_write(call->connection->stream, bytes, call->deadline);
	}
	b = (struct buf){.p = size, .capacity = sizeof size, .max = sizeof size};
	buf_printf(&b, "%zx\r\n", bytes.n);
	parts[0] = (struct iovec){b.p, b.n};
	parts[1] = (struct iovec){(void *)bytes.p, bytes.n};
	parts[2] = (struct iovec){(void *)"\r\n", 2};
	return rt_stream_writev(call->connection->stream, parts, 3, call->deadline);
}

/* --- responses ------------------------------------------------------------------------------ */

static int fill(struct http_call *call)
{
	struct input *in = &call->in;
	int rc;

	if (!call->connection)
		return ERR_CLOSED;
	if (!in->p)
		input_take(in);
	if (in->pos == in->n)
		in->pos = in->n = 0;
	else if (in->n == in->capacity)
		input_grow(in, call->client->options.head_bytes);
	if (in->n == in->capacity)
		return ERR_TOO_LARGE;
	rc = rt_stream_read(
		call->connection->stream, in->p + in->n, in->capacity - in->n, call->deadline);
	if (rc < 0)
		return rc;
	in->n += (size_t)rc;
	return 0;
}

/* The next head, copied to the arena, because the input moves on. */
static int read_head(struct http_call *call)
{
	const struct http_client_options *o = &call->client->options;
	struct input *in = &call->in;
	str head;
	int rc;

	call->scan = (struct head_scan){0};
	for (;;) {
		rc = head_find(in->p + in->pos, in->n - in->pos, &call->scan);
		if (rc < 0)
			return ERR_SYNTAX;
		if (rc > 0)
			break;
		if (in->n - in->pos > o->head_bytes || call->scan.lines > o->headers + 1)
			return ERR_TOO_LARGE;
		TRY(fill(call));
	}
	if ((size_t)rc > o->head_bytes)
		return ERR_TOO_LARGE;
	head = arena_str(&call->arena, str_of(in->p + in->pos, (size_t)rc));
	in->pos += (size_t)rc;
	return head_parse_response(
		head.p, head.n, call->scan.lines, o->headers, &call->arena, &call->head);
}

static int repeat(struct http_call *call)
{
	struct client_connection *c = call->connection;

	/* The target must outlive its last connection here. */
	call->target->waiting++;
	call->connection = NULL;
	connection_free(c);
	call->target->waiting--;
	input_give(&call->in);
	call->may_repeat = false;
	call->keep = true;
	TRY(connection_acquire(call, true));
	return send_request(call, call->sent_body);
}

static void frame_body(struct http_call *call)
{
	struct head *h = &call->head;
	struct http_response *r = &call->response;

	r->status = h->status;
	r->headers = h->headers;
	r->header_count = h->header_count;
	r->body_bytes = h->content_length;
	if (call->head_request || h->status == 204 || h->status == 304) {
		call->body_ended = true;
	} else if (h->chunked) {
		chunk_init(&call->chunks);
		r->body_bytes = -1;
	} else if (h->content_length >= 0) {
		call->body_left = (uint64_t)h->content_length;
		call->body_ended = call->body_left == 0;
	} else {
		call->until_close = true;
	}
	if (h->close || (h->http_1_0 && !h->keep_alive) || call->until_close)
		call->keep = false;
	call->have_response = true;
}

int http_call_response(struct http_call *call, const struct http_response **ret_response)
{
	int rc = 0;

	if (!call->request_done) {
		call->request_done = true;
		if (call->chunked_request && call->connection)
			rc = rt_stream_write(
				call->connection->stream, STR("0\r\n\r\n"), call->deadline);
		else if (call->request_left)
			call->keep = false;
		if (rc < 0 && rc != ERR_CLOSED)
			return rc;
		call->keep &= rc == 0;
	}
	while (!call->have_response) {
		if (!call->in.p && call->connection)
			input_take(&call->in);
		rc = read_head(call);
		if (rc < 0) {
			bool nothing = call->in.n == 0 && (rc == ERR_EOF || rc == ERR_CLOSED);

			if (nothing && call->reused && call->may_repeat) {
				TRY(repeat(call));
				continue;
			}
			call->keep = false;
			return rc == ERR_EOF ? ERR_CLOSED : rc;
		}
		call->may_repeat = false;
		if (call->head.status == 101) {
			call->keep = false;
			return ERR_UNSUPPORTED;
		}
		if (call->head.status >= 200)
			frame_body(call);
	}
	*ret_response = &call->response;
	return 0;
}

static int body_failed(struct http_call *call, int rc)
{
	call->keep = false;
	return rc == ERR_EOF ? ERR_CLOSED : rc;
}

/* What is at hand behind in.pos: at least a byte, or 0 at the body's end. */
static int body_next(struct http_call *call, size_t *ret_n)
{
	struct input *in = &call->in;
	int rc;

	for (;;) {
		size_t here = in->n - in->pos;

		if (call->body_ended) {
			*ret_n = 0;
			return 0;
		}
		if (call->head.chunked) {
			rc = chunk_eat(&call->chunks, in->p + in->pos, here, ret_n);
			if (rc < 0)
				return body_failed(call, rc);
			in->pos += (size_t)rc;
			call->body_ended = chunk_ended(&call->chunks);
			if (*ret_n)
				return 0;
			if (call->body_ended)
				continue;
		} else if (here) {
			*ret_n = call->until_close ? here : MIN((uint64_t)here, call->body_left);
			return 0;
		}
		rc = fill(call);
		if (rc == ERR_EOF && call->until_close)
			call->body_ended = true;
		else if (rc < 0)
			return body_failed(call, rc);
	}
}

static void body_taken(struct http_call *call, size_t n)
{
	call->in.pos += n;
	if (call->head.chunked) {
		chunk_take(&call->chunks, n);
	} else if (!call->until_close) {
		call->body_left -= n;
		call->body_ended = call->body_left == 0;
	}
}

int http_call_read(struct http_call *call, void *to, size_t n)
{
	size_t here = 0;

	check(n > 0 && call->have_response);
	TRY(body_next(call, &here));
	if (!here)
		return ERR_EOF;
	n = MIN(n, here);
	memcpy(to, call->in.p + call->in.pos, n);
	body_taken(call, n);
	return (int)n;
}

int http_call_body(struct http_call *call, struct arena *arena, size_t max, str *ret_body)
{
	struct buf b;

	check(call->have_response);
	if (call->response.body_bytes > 0 && (uint64_t)call->response.body_bytes > max)
		return ERR_TOO_LARGE;
	buf_init(&b, arena, max);
	for (;;) {
		size_t here = 0;

		TRY(body_next(call, &here));
		if (!here)
			break;
		buf_put(&b, str_of(call->in.p + call->in.pos, here));
		if (b.over)
			return ERR_TOO_LARGE;
		body_taken(call, here);
	}
	*ret_body = buf_str(&b);
	return 0;
}

/* --- life ----------------------------------------------------------------------------------- */

void http_call_close(struct http_call *call)
{
	if (!call)
		return;
	if (call->connection) {
		bool clean = call->keep && call->have_response && call->body_ended &&
			     call->request_done && call->in.pos == call->in.n && !rt_cancelled();

		if (clean)
			connection_keep(call->connection);
		else
			connection_free(call->connection);
	}
	input_give(&call->in);
	arena_done(&call->arena);
	call->client->calls--;
	mem_free(call);
}

void http_call_close_p(struct http_call **call)
{
	http_call_close(*call);
}

int http_client_new(const struct http_client_options *options, struct http_client **ret_client)
{
	struct http_client *client = mem_new(struct http_client);
	struct http_client_options *o = &client->options;

	*o = *options;
	o->idle_max = o->idle_max ? o->idle_max : 64;
	o->idle_per_target = o->idle_per_target ? o->idle_per_target : 16;
	o->per_target = o->per_target ? o->per_target : 256;
	o->idle_ms = o->idle_ms ? o->idle_ms : 30000;
	o->head_bytes = o->head_bytes ? o->head_bytes : 64 * 1024;
	o->headers = o->headers ? MIN(o->headers, (unsigned)HEAD_HEADERS_MAX) : 128;
	list_init(&client->ages);
	*ret_client = client;
	return 0;
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	check(client->calls == 0);
	while (!list_empty(&client->ages))
		connection_free(list_entry(client->ages.next, struct client_connection, age));
	map_done(&client->targets);
	mem_free(client);
}
