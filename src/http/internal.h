/*
 * What the files of src/http/ share: parsed heads, the strict chunk decoder, the text helpers, and
 * a connection of the server with its exchange. Nothing outside includes this.
 */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include "base/buf.h"
#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"
#include "http/http.h"

/* --- heads (head.c): pure ------------------------------------------------------------------- */

/* Where the search for the end of a head stands. */
struct head_scan {
	size_t line; /* start of the line that is not complete yet */
	unsigned lines;
};
/* > 0: the head's length, its empty line included; 0: more is needed; else -HTTP_REFUSAL_*. */
int head_find(const char *p, size_t n, struct head_scan *scan);

struct head {
	str method_text, target, reason;
	enum http_method method;
	unsigned status;
	bool http_1_0, upgrade;
	bool close, keep_alive; /* said by Connection */
	bool chunked;
	int64_t content_length; /* -1: not given */
	struct http_header *headers;
	unsigned header_count;
	uint8_t known[HTTP_NAME_END_]; /* index + 1 of the first of that name, 0: absent */
};
enum { HEAD_HEADERS_MAX = 250 };
/* Parses exactly one head. 0, or -HTTP_REFUSAL_*. `lines` of head_find() sizes the table. */
int head_parse_request(const char *p, size_t n, unsigned lines, unsigned headers_max,
	struct arena *arena, struct head *ret_head);
/* Of a response, for the client. 0 or ERR_SYNTAX. */
int head_parse_response(const char *p, size_t n, unsigned lines, unsigned headers_max,
	struct arena *arena, struct head *ret_head);
/* Splits a request's target: 0, or -HTTP_REFUSAL_AMBIGUOUS / _MALFORMED. */
int head_target(const struct head *head, str host, str *ret_host, str *ret_path, str *ret_query);
enum http_name head_name(str name);

static inline str head_get(const struct head *h, enum http_name name)
{
	return h->known[name] ? h->headers[h->known[name] - 1].value : STR_NULL;
}

/* --- chunks (chunk.c): pure ----------------------------------------------------------------- */

/*
 * Decodes Transfer-Encoding: chunked, strictly (RFC 9112 section 7.1): CRLF only, sizes of at most
 * 15 hexadecimal digits, extensions bounded and dropped, trailers bounded and kept where the owner
 * wants them.
 */
struct chunk_decoder {
	uint8_t state, digits;
	uint32_t extra_bytes; /* extensions so far, trailers when nobody keeps them */
	struct buf *trailers; /* gets "Name: value\r\n" lines up to its maximum; NULL: dropped */
	uint64_t left;        /* of the current chunk's data */
};
void chunk_init(struct chunk_decoder *d);
/*
 * Looks at in[0..n): eats framing, and stops at data. Returns bytes eaten; *ret_data is then the
 * data available behind them (maybe none), which the caller takes with chunk_take(). ERR_SYNTAX.
 */
int chunk_eat(struct chunk_decoder *d, const char *in, size_t n, size_t *ret_data);
void chunk_take(struct chunk_decoder *d, size_t n);
bool chunk_ended(const struct chunk_decoder *d);

/* --- text (text.c) -------------------------------------------------------------------------- */

bool http_is_token(str s);
/* No CR, LF, NUL. */
bool http_is_value(str s);
/* Is `token` one of the comma-separated elements, case ignored? */
bool http_list_has(str list, str token);
/* "Sun, 06 Nov 1994 08:49:37 GMT" */
enum { HTTP_DATE_BYTES = 29 };
void http_date(int64_t wall_ns, char text[HTTP_DATE_BYTES + 1]);
/* "Name: value\r\n" for each; ERR_INVALID when one may not be sent. */
must_use int http_put_headers(struct buf *b, const struct http_header *headers, unsigned n);

/* --- server (server.c, exchange.c) ---------------------------------------------------------- */

/* Received bytes [pos, n); pooled, or of its own memory for large heads. */
struct input {
	char *p;
	size_t pos, n, capacity;
	struct rt_buffer *pooled;
};

struct server_loop {
	struct http_server *server;
	struct list connections;
	int64_t date_until; /* rt_now_coarse() from which on the date is another */
	char date[HTTP_DATE_BYTES + 1];
	struct rt_message message; /* of the drain */
	bool draining, cut;
	unsigned cut_count, lingering;
	_Atomic(uint64_t) connection_count, idle_count, requests, refused[HTTP_REFUSAL_END_];
};

/* What one http_server_listen() adds to the connections it accepts. */
struct server_listener {
	struct http_server *server;
	struct rt_listener *listener;
	struct rt_tls *tls;
};
enum { SERVER_LISTENERS_MAX = 64 };

#define HTTP_SERVER_MAGIC 0x48545053
struct http_server {
	uint32_t magic;
	struct http_server_options options;
	struct http_limits limits; /* filled in */
	struct rt *rt;
	struct server_listener *listeners[SERVER_LISTENERS_MAX];
	unsigned listener_count;
	_Atomic bool draining;
	_Atomic(uint64_t) live; /* connections of all loops */
	struct rt_event ended;  /* one of the last ended while draining */
	unsigned loop_count;
	struct server_loop loops[];
};

/*
 * IDLE: no buffer. HEAD: a head is arriving. BUSY: a fiber has it. LINGER: answered for the last
 * time, what still comes is dropped until the client closes, so that the answer is not lost in a
 * reset.
 */
enum connection_state { CONNECTION_IDLE, CONNECTION_HEAD, CONNECTION_BUSY, CONNECTION_LINGER };

#define HTTP_CONNECTION_MAGIC 0x48545043
struct http_connection {
	uint32_t magic;
	enum connection_state state;
	struct server_loop *loop;
	struct rt_stream *stream; /* NULL: taken by http_upgrade() */
	struct list link;
	struct rt_timer timer;
	struct input in;
	struct head_scan scan; /* offsets from in.p + in.pos */
	size_t linger_bytes;
	unsigned requests;
	/* Of the next request: http_expect(). */
	http_expected *expected;
	void *expected_arg;
	uint64_t expected_number;
	struct rt_tls *tls; /* NULL: plain */
};

enum body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED };
enum response_state { RESPONSE_NONE, RESPONSE_STREAM, RESPONSE_DONE, RESPONSE_FAILED };

/* The exchange with what only the server sees; lives on the request's fiber. */
struct exchange {
	struct http_exchange x;
	struct http_connection *c;
	struct head head;
	struct input head_input; /* pinned until the handler has returned */
	enum body_kind body;
	int body_rc; /* first failure of the body; 0 */
	bool body_ended, continue_wanted;
	uint64_t body_left; /* BODY_LENGTH */
	uint64_t body_got;
	int64_t body_began_at;
	struct chunk_decoder chunks;
	struct buf trailers; /* of a chunked body, as lines */
	bool body_all_done;
	str body_all;
	enum response_state response;
	unsigned status;
	uint64_t response_bytes;
	int64_t response_left; /* streamed with a length */
	bool response_chunked, response_no_body;
	struct buf out; /* streamed: not sent yet */
	bool close_after;
};
#define EXCHANGE_OF(pointer) container_of((pointer), struct exchange, x)

/* One request of a busy connection whose head is `head_bytes` long. May the connection live on? */
mayyield bool exchange_serve(struct http_connection *c, size_t head_bytes);
/* The default answer, changed by the hook, as bytes; closing. */
void refusal_render(struct server_loop *l, enum http_refusal why, struct buf *b);
str server_date(struct server_loop *l);
static inline void server_count(_Atomic(uint64_t) *counter, int64_t by)
{
	atomic_store_explicit(counter,
		atomic_load_explicit(counter, memory_order_relaxed) + (uint64_t)by,
		memory_order_relaxed);
}
/* An empty one from the pool; given back, moved or not. */
void input_take(struct input *in);
void input_give(struct input *in);
/* Makes room behind what is there, for a head of up to `max` bytes. */
void input_grow(struct input *in, size_t max);

#endif
