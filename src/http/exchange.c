/*
 * One request and its answer, on the connection's fiber: parsing the head, the body as the handler
 * asks for it, and the answer. Connections between requests are in server.c.
 *
 * The receive buffer that holds the head is pinned while the exchange lives, because everything
 * points into it; when a body needs more room, the connection goes on with another buffer.
 */
#include "http/internal.h"

#include <stdio.h>

enum {
	ONE_SEND_BYTES = 8192,    /* bodies up to this are copied behind their head */
	SLICE_BYTES = 256 * 1024, /* of a long body, per write deadline */
	DROP_BYTES = 64 * 1024,   /* of an unread body, to keep the connection */
	BODY_GRACE_S = 30,
	OUT_BYTES = 64 * 1024,
	TRAILER_BYTES = 64 * 1024
};
#define DROP_NS (5 * RT_NS_S)

static const struct http_limits *limits_of(const struct exchange *e)
{
	return &e->c->loop->server->limits;
}

/* --- the head ------------------------------------------------------------------------------- */

str http_header_get(const struct http_exchange *x, enum http_name name)
{
	return head_get(&EXCHANGE_OF(x)->head, name);
}

str http_header_find(const struct http_exchange *x, str name)
{
	for (unsigned i = 0; i < x->header_count; i++)
		if (str_eq_nocase(x->headers[i].name, name))
			return x->headers[i].value;
	return STR_NULL;
}

void http_expect(struct http_exchange *x, http_expected *fn, void *arg, uint64_t number)
{
	struct http_connection *c = EXCHANGE_OF(x)->c;

	c->expected = fn;
	c->expected_arg = arg;
	c->expected_number = number;
}

const struct rt_address *http_peer(const struct http_exchange *x)
{
	return rt_stream_peer(EXCHANGE_OF(x)->c->stream);
}

/* 0, or -HTTP_REFUSAL_*. */
static int exchange_fill(struct exchange *e, const char *p, size_t n, unsigned lines)
{
	const struct http_limits *limits = limits_of(e);
	struct http_exchange *x = &e->x;
	struct head *h = &e->head;
	str expect;
	int rc;

	rc = head_parse_request(p, n, lines, limits->headers, &x->arena, h);
	if (rc < 0)
		return rc;
	if (h->target.n > limits->target_bytes)
		return -HTTP_REFUSAL_TARGET_TOO_LONG;
	rc = head_target(h, head_get(h, HTTP_NAME_HOST), &x->host, &x->path, &x->query);
	if (rc < 0)
		return rc;
	if (h->content_length > 0 && (uint64_t)h->content_length > limits->body_bytes)
		return -HTTP_REFUSAL_BODY_TOO_LARGE;
	x->method = h->method;
	x->method_text = h->method_text;
	x->target = h->target;
	x->headers = h->headers;
	x->header_count = h->header_count;
	x->http_1_0 = h->http_1_0;
	x->keep_alive = h->http_1_0 ? h->keep_alive && !h->close : !h->close;
	if (h->chunked) {
		e->body = BODY_CHUNKED;
		x->body_bytes = -1;
		chunk_init(&e->chunks);
		buf_init(&e->trailers, &x->arena, TRAILER_BYTES);
		e->chunks.trailers = &e->trailers;
	} else if (h->content_length > 0) {
		e->body = BODY_LENGTH;
		x->body_bytes = h->content_length;
		e->body_left = (uint64_t)h->content_length;
	} else {
		e->body_ended = true;
	}
	expect = head_get(h, HTTP_NAME_EXPECT);
	if (expect.p && !h->http_1_0) {
		if (!str_eq_nocase(expect, STR("100-continue")))
			return -HTTP_REFUSAL_EXPECTATION;
		/* Also where no content is to come: botocore waits for it, and else takes the next
		 * answer for this one's. */
		e->continue_wanted = true;
	}
	return 0;
}

/* --- the body ------------------------------------------------------------------------------- */

static size_t buffered(const struct exchange *e)
{
	return e->c->in.n - e->c->in.pos;
}

/* When the next bytes must be there: time without any, and the slowest rate allowed. */
static int64_t body_deadline(const struct exchange *e)
{
	const struct http_limits *l = limits_of(e);
	int64_t silent = rt_now_coarse() + l->body_ms * RT_NS_MS, slow;

	if (l->body_rate < 0)
		return silent;
	slow = e->body_began_at +
	       (BODY_GRACE_S + (int64_t)(e->body_got / (uint64_t)l->body_rate)) * RT_NS_S;
	return MIN(silent, slow);
}

static int body_failed(struct exchange *e, int rc)
{
	if (rc == ERR_EOF)
		rc = ERR_CLOSED; /* the client left in the middle */
	e->body_rc = rc;
	e->close_after = true;
	return rc;
}

static int body_begin(struct exchange *e)
{
	if (e->body_rc < 0)
		return e->body_rc;
	if (!e->body_began_at)
		e->body_began_at = rt_now_coarse();
	if (e->continue_wanted && !buffered(e)) {
		int rc = rt_stream_write(e->c->stream, STR("HTTP/1.1 100 Continue\r\n\r\n"),
			rt_now_coarse() + limits_of(e)->write_ms * RT_NS_MS);

		e->continue_wanted = false;
		if (rc < 0)
			return body_failed(e, rc);
	}
	return 0;
}

/* More bytes behind what is buffered, for which there may be no room left. */
static int body_fill(struct exchange *e)
{
	struct input *in = &e->c->in;
	int rc;

	if (in->n == in->capacity && !e->head_input.p) {
		e->head_input = *in;
		input_take(in);
	} else if (e->head_input.p && in->pos == in->n) {
		in->pos = in->n = 0;
	}
	check(in->n < in->capacity);
	rc = rt_stream_read(e->c->stream, in->p + in->n, in->capacity - in->n, body_deadline(e));
	if (rc < 0)
		return body_failed(e, rc);
	in->n += (size_t)rc;
	return 0;
}

static void body_count(struct exchange *e, size_t n)
{
	e->body_got += n;
	if (e->body == BODY_LENGTH) {
		e->body_left -= n;
		e->body_ended = e->body_left == 0;
	}
}

static int read_length(struct exchange *e, char *to, size_t n)
{
	struct input *in = &e->c->in;
	size_t here;

	n = MIN((uint64_t)n, e->body_left);
	here = MIN(buffered(e), n);
	if (here) {
		memcpy(to, in->p + in->pos, here);
		in->pos += here;
	} else {
		int rc = rt_stream_read(
			e->c->stream, to, MIN((uint64_t)n, e->body_left), body_deadline(e));

		if (rc < 0)
			return body_failed(e, rc);
		here = (size_t)rc;
	}
	body_count(e, here);
	return (int)here;
}

/* Eats framing; then the data available behind in.pos: 0 at the end of the body. */
static int chunk_next(struct exchange *e, bool wait, size_t *ret_data)
{
	struct input *in = &e->c->in;

	for (;;) {
		int rc = chunk_eat(&e->chunks, in->p + in->pos, buffered(e), ret_data);

		if (rc < 0)
			return body_failed(e, rc);
		in->pos += (size_t)rc;
		if (*ret_data || chunk_ended(&e->chunks)) {
			e->body_ended = !*ret_data;
			return 0;
		}
		if (!wait)
			return ERR_BUSY;
		TRY(body_fill(e));
	}
}

static int read_chunked(struct exchange *e, char *to, size_t n)
{
	struct input *in = &e->c->in;
	size_t data;

	TRY(chunk_next(e, true, &data));
	if (!data)
		return ERR_EOF;
	if (e->body_got + data > limits_of(e)->body_bytes)
		return body_failed(e, ERR_TOO_LARGE);
	n = MIN(n, data);
	memcpy(to, in->p + in->pos, n);
	in->pos += n;
	chunk_take(&e->chunks, n);
	body_count(e, n);
	return (int)n;
}

int http_body_read(struct http_exchange *x, void *to, size_t n)
{
	struct exchange *e = EXCHANGE_OF(x);

	check(n > 0);
	TRY(body_begin(e));
	if (e->body_ended)
		return ERR_EOF;
	n = MIN(n, (size_t)INT32_MAX);
	return e->body == BODY_LENGTH ? read_length(e, to, n) : read_chunked(e, to, n);
}

static int too_large(struct exchange *e)
{
	e->body_rc = ERR_TOO_LARGE;
	e->close_after = true;
	return ERR_TOO_LARGE;
}

static int all_length(struct exchange *e, size_t max, str *ret)
{
	struct input *in = &e->c->in;
	size_t n = e->body_left, at = 0;
	char *p;

	if (e->body_left > max)
		return too_large(e);
	if (buffered(e) >= n) { /* the usual case: nothing is copied */
		*ret = str_of(in->p + in->pos, n);
		in->pos += n;
		body_count(e, n);
		return 0;
	}
	p = arena_bytes(&e->x.arena, n);
	while (at < n)
		at += (size_t)TRY(read_length(e, p + at, n - at));
	*ret = str_of(p, n);
	return 0;
}

static int all_chunked(struct exchange *e, size_t max, str *ret)
{
	struct buf b;
	size_t data;

	buf_init(&b, &e->x.arena, max);
	for (;;) {
		TRY(chunk_next(e, true, &data));
		if (!data)
			break;
		buf_put(&b, str_of(e->c->in.p + e->c->in.pos, data));
		if (b.over)
			return too_large(e);
		e->c->in.pos += data;
		chunk_take(&e->chunks, data);
		body_count(e, data);
	}
	*ret = buf_str(&b);
	return 0;
}

int http_body_all(struct http_exchange *x, size_t max, str *ret_body)
{
	struct exchange *e = EXCHANGE_OF(x);
	str body = STR_INIT("");

	if (e->body_all_done) {
		if (e->body_all.n > max)
			return ERR_TOO_LARGE;
		*ret_body = e->body_all;
		return 0;
	}
	if (e->body_ended) {
		if (e->continue_wanted)
			TRY(body_begin(e));
	} else {
		if (e->body == BODY_LENGTH && e->body_left > max)
			return too_large(e); /* before "100 Continue" */
		TRY(body_begin(e));
		if (e->body == BODY_LENGTH)
			TRY(all_length(e, max, &body));
		else
			TRY(all_chunked(e, max, &body));
	}
	e->body_all = body;
	e->body_all_done = true;
	*ret_body = body;
	return 0;
}

str http_trailer_find(const struct http_exchange *x, str name)
{
	const struct exchange *e = EXCHANGE_OF(x);
	str rest = buf_str(&e->trailers), line, key;

	if (!e->body_ended || e->body != BODY_CHUNKED)
		return STR_NULL;
	while (str_split(&rest, '\n', &line))
		if (str_ends(line, STR("\r")) && str_split(&line, ':', &key) &&
			str_eq_nocase(key, name) && line.n > 0)
			return str_trim(str_sub(line, 0, line.n - 1));
	return STR_NULL;
}

bool http_peer_gone(struct http_exchange *x)
{
	struct exchange *e = EXCHANGE_OF(x);
	struct input *in = &e->c->in;
	int rc;

	if (!e->c->stream)
		return false;
	if (!e->body_ended || in->n == in->capacity)
		return e->body_rc == ERR_CLOSED;
	rc = rt_stream_try_read(e->c->stream, in->p + in->n, in->capacity - in->n);
	if (rc > 0)
		in->n += (size_t)rc; /* the next request, early */
	if (rc < 0)
		e->close_after = true;
	return rc < 0;
}

/* --- the end of an unread body -------------------------------------------------------------- */

/* Before the answer's head is written: can the connection live on? Drops what is buffered. */
static void body_decide(struct exchange *e)
{
	size_t data;

	if (e->body_ended || e->close_after)
		return;
	if (e->continue_wanted && !buffered(e)) {
		e->close_after = true; /* whether the body will be sent is up to the client */
		return;
	}
	if (e->body == BODY_LENGTH) {
		data = MIN((uint64_t)buffered(e), e->body_left);
		e->c->in.pos += data;
		body_count(e, data);
		e->close_after |= e->body_left > DROP_BYTES;
		return;
	}
	while (!e->body_ended && chunk_next(e, false, &data) == 0 && data) {
		e->c->in.pos += data;
		chunk_take(&e->chunks, data);
		body_count(e, data);
	}
}

/* Behind the answer: reads the rest of what body_decide() found small enough. */
static void body_drop(struct exchange *e)
{
	int64_t deadline = rt_now_coarse() + DROP_NS;
	size_t left = DROP_BYTES;
	char waste[4096];

	while (!e->body_ended && !e->close_after) {
		int rc = rt_now() < deadline ? http_body_read(&e->x, waste, sizeof waste)
					     : ERR_TIMEOUT;

		if (rc == ERR_EOF)
			break;
		if (rc < 0 || (size_t)rc > left) {
			e->close_after = true;
			break;
		}
		left -= (size_t)rc;
	}
}

/* --- the answer ----------------------------------------------------------------------------- */

static bool no_body_status(unsigned status)
{
	return status < 200 || status == 204 || status == 304;
}

static int send_parts(struct exchange *e, struct iovec *parts, unsigned n)
{
	int rc;

	if (!e->c->stream)
		return ERR_CLOSED;
	rc = rt_stream_writev(
		e->c->stream, parts, n, rt_now_coarse() + limits_of(e)->write_ms * RT_NS_MS);
	if (rc < 0) {
		e->response = RESPONSE_FAILED;
		e->close_after = true;
	}
	return rc;
}

/* A head, and as much of the body as goes with it; the rest in slices with deadlines of their own.
 */
static int send_all(struct exchange *e, str head, str body)
{
	str first = str_sub(body, 0, SLICE_BYTES);
	struct iovec parts[2] = {{(void *)head.p, head.n}, {(void *)first.p, first.n}};

	TRY(send_parts(e, parts, first.n ? 2 : 1));
	for (body = str_from(body, first.n); body.n; body = str_from(body, first.n)) {
		first = str_sub(body, 0, SLICE_BYTES);
		parts[0] = (struct iovec){(void *)first.p, first.n};
		TRY(send_parts(e, parts, 1));
	}
	return 0;
}

/* Framing headers are ours (RFC 9112 section 6); a second one would be a smuggling form. */
static int check_own(const struct http_header *headers, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		enum http_name name =
			headers[i].known ? headers[i].known : head_name(headers[i].name);

		if (name == HTTP_NAME_CONTENT_LENGTH || name == HTTP_NAME_TRANSFER_ENCODING ||
			name == HTTP_NAME_CONNECTION || name == HTTP_NAME_DATE)
			return ERR_INVALID;
	}
	return 0;
}

static void put_status(struct exchange *e, struct buf *b, unsigned status)
{
	str server = e->c->loop->server->options.server_name;

	if (likely(status == 200)) {
		buf_put(b, STR("HTTP/1.1 200 OK\r\nDate: "));
	} else {
		buf_put(b, STR("HTTP/1.1 "));
		buf_put_u64(b, status);
		buf_put_char(b, ' ');
		buf_put(b, http_reason(status));
		buf_put(b, STR("\r\nDate: "));
	}
	buf_put(b, server_date(e->c->loop));
	if (server.n) {
		buf_put(b, STR("\r\nServer: "));
		buf_put(b, server);
	}
	buf_put(b, STR("\r\n"));
}

/* body_bytes < 0: not known. */
static int put_head(struct exchange *e, struct buf *b, unsigned status,
	const struct http_header *headers, unsigned header_count, int64_t body_bytes)
{
	const struct http_limits *l = limits_of(e);
	size_t room = 256 + e->x.always.name.n + e->x.always.value.n + 4;

	check(status >= 200 && status <= 599);
	TRY(check_own(headers, header_count));
	for (unsigned i = 0; i < header_count; i++)
		room += headers[i].name.n + headers[i].value.n + 4;
	(void)buf_room(b,
		room + (body_bytes > 0 && body_bytes <= ONE_SEND_BYTES ? (size_t)body_bytes : 0));
	body_decide(e);
	e->response_no_body = e->x.method == HTTP_METHOD_HEAD || no_body_status(status);
	e->response_chunked = body_bytes < 0 && !e->x.http_1_0 && !no_body_status(status);
	if (body_bytes < 0 && e->x.http_1_0)
		e->x.keep_alive = false; /* the end of the connection ends the body */
	if (e->c->loop->draining || e->close_after ||
		(l->requests && e->c->requests >= l->requests))
		e->x.keep_alive = false;
	put_status(e, b, status);
	TRY(http_put_headers(b, headers, header_count));
	if (e->x.always.name.n)
		TRY(http_put_headers(b, &e->x.always, 1));
	if (e->response_chunked) {
		buf_put(b, STR("Transfer-Encoding: chunked\r\n"));
	} else if (body_bytes >= 0 && !no_body_status(status)) {
		buf_put(b, STR("Content-Length: "));
		buf_put_u64(b, (uint64_t)body_bytes);
		buf_put(b, STR("\r\n"));
	}
	if (!e->x.keep_alive)
		buf_put(b, STR("Connection: close\r\n"));
	else if (e->x.http_1_0)
		buf_put(b, STR("Connection: keep-alive\r\n"));
	buf_put(b, STR("\r\n"));
	return b->over ? ERR_TOO_LARGE : 0;
}

int http_respond(struct http_exchange *x, unsigned status, const struct http_header *headers,
	unsigned header_count, str body)
{
	struct exchange *e = EXCHANGE_OF(x);
	struct buf b;
	int rc;

	check(e->response == RESPONSE_NONE);
	buf_init(&b, &x->arena, OUT_BYTES + ONE_SEND_BYTES);
	TRY(put_head(e, &b, status, headers, header_count, (int64_t)body.n));
	e->status = status;
	e->response = RESPONSE_DONE;
	if (e->response_no_body)
		body.n = 0;
	if (body.n <= ONE_SEND_BYTES) {
		buf_put(&b, body);
		rc = send_all(e, buf_str(&b), STR(""));
	} else {
		rc = send_all(e, buf_str(&b), body);
	}
	e->response_bytes = body.n;
	return rc;
}

int http_respond_begin(struct http_exchange *x, unsigned status, const struct http_header *headers,
	unsigned header_count, int64_t body_bytes)
{
	struct exchange *e = EXCHANGE_OF(x);

	check(e->response == RESPONSE_NONE);
	buf_init(&e->out, &x->arena, OUT_BYTES);
	TRY(put_head(e, &e->out, status, headers, header_count, body_bytes));
	e->status = status;
	e->response = RESPONSE_STREAM;
	e->response_left = e->response_chunked ? -1 : body_bytes;
	return 0;
}

int http_respond_flush(struct http_exchange *x)
{
	struct exchange *e = EXCHANGE_OF(x);
	struct iovec part = {e->out.p, e->out.n};

	if (e->response == RESPONSE_FAILED)
		return ERR_CLOSED;
	check(e->response == RESPONSE_STREAM);
	if (!e->out.n)
		return 0;
	e->out.n = 0;
	return send_parts(e, &part, 1);
}

int http_respond_write(struct http_exchange *x, str bytes)
{
	struct exchange *e = EXCHANGE_OF(x);

	if (e->response == RESPONSE_FAILED)
		return ERR_CLOSED;
	check(e->response == RESPONSE_STREAM);
	if (e->response_left >= 0) {
		if (bytes.n > (uint64_t)e->response_left)
			return ERR_RANGE;
		e->response_left -= (int64_t)bytes.n;
	}
	e->response_bytes += bytes.n;
	if (e->response_no_body || !bytes.n)
		return http_respond_flush(x);
	while (bytes.n) {
		str slice = str_sub(bytes, 0, SLICE_BYTES);
		struct iovec parts[3];

		if (e->response_chunked)
			buf_printf(&e->out, "%zx\r\n", slice.n);
		parts[0] = (struct iovec){e->out.p, e->out.n};
		parts[1] = (struct iovec){(void *)slice.p, slice.n};
		parts[2] = (struct iovec){(void *)"\r\n", 2};
		e->out.n = 0;
		TRY(send_parts(e, parts, e->response_chunked ? 3 : 2));
		bytes = str_from(bytes, slice.n);
	}
	return 0;
}

int http_respond_end(struct http_exchange *x)
{
	struct exchange *e = EXCHANGE_OF(x);

	if (e->response == RESPONSE_FAILED)
		return ERR_CLOSED;
	check(e->response == RESPONSE_STREAM);
	if (e->response_chunked && !e->response_no_body)
		buf_put(&e->out, STR("0\r\n\r\n"));
	TRY(http_respond_flush(x));
	e->response = RESPONSE_DONE;
	if (e->response_left > 0 && !e->response_no_body) {
		http_respond_abort(x);
		return ERR_RANGE;
	}
	return 0;
}

void http_respond_abort(struct http_exchange *x)
{
	struct exchange *e = EXCHANGE_OF(x);

	e->response = RESPONSE_FAILED;
	e->close_after = true;
	if (e->c->stream)
		rt_stream_abort(e->c->stream);
}

unsigned http_responded(const struct http_exchange *x)
{
	return EXCHANGE_OF(x)->status;
}

uint64_t http_response_bytes(const struct http_exchange *x)
{
	return EXCHANGE_OF(x)->response_bytes;
}

int http_upgrade(struct http_exchange *x, struct rt_stream **ret_stream, str *ret_early)
{
	struct exchange *e = EXCHANGE_OF(x);

	check(e->response == RESPONSE_NONE && e->c->stream);
	if (!e->head.upgrade || !e->head.known[HTTP_NAME_UPGRADE] || !e->body_ended || x->http_1_0)
		return ERR_INVALID;
	*ret_early = str_of(e->c->in.p + e->c->in.pos, buffered(e));
	*ret_stream = e->c->stream;
	e->c->in.pos = e->c->in.n;
	e->c->stream = NULL;
	e->status = 101;
	e->response = RESPONSE_DONE;
	e->close_after = true;
	return 0;
}

/* --- one request ---------------------------------------------------------------------------- */

static void exchange_refuse(struct exchange *e, enum http_refusal why)
{
	struct iovec part;
	struct buf b;

	buf_init(&b, &e->x.arena, 1024 * 1024);
	refusal_render(e->c->loop, why, &b);
	part = (struct iovec){b.p, b.n};
	e->close_after = true;
	e->response = RESPONSE_DONE;
	(void)!send_parts(e, &part, 1);
}

bool exchange_serve(struct http_connection *c, size_t head_bytes)
{
	struct http_server *server = c->loop->server;
	struct exchange e = {.c = c};
	const char *head = c->in.p + c->in.pos;
	unsigned lines = c->scan.lines;
	bool keep;
	int rc;

	c->scan = (struct head_scan){0};
	c->in.pos += head_bytes;
	c->requests++;
	arena_init(&e.x.arena, server->limits.arena_bytes);
	e.x.tag = rt_stream_tag(c->stream);
	e.x.secure = c->tls != NULL;
	e.x.received_at = rt_now_coarse();
	e.x.connection = c;
	rc = exchange_fill(&e, head, head_bytes, lines);
	if (unlikely(rc < 0)) {
		exchange_refuse(&e, (enum http_refusal) - rc);
	} else {
		server_count(&c->loop->requests, 1);
		server->options.handler(&e.x, server->options.arg);
		rt_label_set(NULL);
		if (e.response == RESPONSE_NONE)
			exchange_refuse(&e, HTTP_REFUSAL_NO_ANSWER);
		else if (e.response == RESPONSE_STREAM)
			http_respond_abort(&e.x);
		if (unlikely(!e.body_ended))
			body_drop(&e);
	}
	keep = e.x.keep_alive && !e.close_after && c->stream;
	arena_done(&e.x.arena);
	input_give(&e.head_input);
	return keep;
}
