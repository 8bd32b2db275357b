/*
 * HTTP/1.1, both sides (RFC 9110, RFC 9112). Parsing is llhttp's; this layer adds limits, time-outs
 * and the refusal of everything that two parsers could read in two ways.
 *
 * Server: an idle connection is a small structure without fiber or buffer. When the head of a
 * request has arrived, handler(x, arg) runs in a fiber of the connection's loop. When the body
 * came with the head in the first read, nothing is copied: method, path, headers and body point
 * into the receive buffer, which lives until the handler has returned.
 *
 * The handler answers exactly once: http_respond() (one send), or http_respond_begin / _write /
 * _end. If it returns without, the server answers 500. What it does not read of the body is
 * read and dropped up to a limit, or the connection is closed.
 *
 * Everything here belongs to one loop; nothing is thread-safe. Limits: struct http_limits.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/arena.h"
#include "rt/stream.h"

struct http_server;
struct http_connection;
struct http_exchange;
struct rt_tls;

/* --- headers -------------------------------------------------------------------------------- */

/* The names that have a place of their own. */
enum http_name {
	HTTP_NAME_OTHER = 0,
#define HTTP_NAME(name, first, last, text) HTTP_NAME_##name,
#include "http/names.def"
#undef HTTP_NAME
	HTTP_NAME_END_
};

struct http_header {
	str name, value; /* as sent; the value without surrounding spaces */
	enum http_name
		known; /* HTTP_NAME_OTHER when not in names.def; may stay 0 in what is sent */
};

/* A status line's reason; "Unknown" for none. */
str http_reason(unsigned status);

/* --- a request and its answer --------------------------------------------------------------- */

enum http_method {
	HTTP_METHOD_OTHER,
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_PATCH,
	HTTP_METHOD_OPTIONS,
};

struct http_exchange {
	struct arena arena; /* dies with the exchange; budget from the limits */
	void *user;         /* the handler's */
	void *tag;          /* the listener's: rt_stream_tag() */

	enum http_method method;
	str method_text;
	str target; /* path and query as sent */
	str path;   /* raw, still escaped; starts with '/', or is "*" */
	str query;  /* raw, without '?'; STR_NULL when there is no '?' */
	str host;   /* of the Host header, or of an absolute-form target; with port, as sent */
	const struct http_header *headers; /* in the order sent, duplicates kept */
	unsigned header_count;
	bool secure; /* came over TLS */
	bool http_1_0;
	bool keep_alive; /* may be cleared by the handler before it answers */
	/* Sent with every answer, whatever its own headers are; no name: nothing. The handler's. */
	struct http_header always;

	int64_t received_at;                /* rt_now_coarse() when the head was complete */
	int64_t body_bytes;                 /* Content-Length; 0 without a body; -1 when chunked */
	struct http_connection *connection; /* private */
};

typedef void http_handler(struct http_exchange *x, void *arg);

/* The first header of that name; STR_NULL when absent. */
str http_header_get(const struct http_exchange *x, enum http_name name);
/* By text, without regard to case. */
str http_header_find(const struct http_exchange *x, str name);
/* Who is at the other end. */
const struct rt_address *http_peer(const struct http_exchange *x);
/*
 * Once, when the first bytes of this connection's next request are there: fn(arg, number), outside
 * fibers, not to suspend. For what a client that called once will probably need again. The last
 * call counts; `arg` outlives the server. Does not suspend.
 */
typedef void http_expected(void *arg, uint64_t number);
void http_expect(struct http_exchange *x, http_expected *fn, void *arg, uint64_t number);
/* Peer is gone (reset, or its end of input while we work)? Costs one system call. */
bool http_peer_gone(struct http_exchange *x);

/*
 * The whole body. ERR_TOO_LARGE above `max` (nothing more is read, the connection will close),
 * ERR_TIMEOUT of the body's time, ERR_CLOSED when the peer left, ERR_SYNTAX for broken chunks.
 * Sends "100 Continue" first when the client asked for it. Lives as long as the exchange. May be
 * called again: the same answer.
 */
must_use mayyield int http_body_all(struct http_exchange *x, size_t max, str *ret_body);
/* The next part of the body, at least one byte, into `to`: how many; ERR_EOF at the end. */
must_use mayyield int http_body_read(struct http_exchange *x, void *to, size_t n);

/* A trailer of a chunked body that was read to its end; STR_NULL when absent. 64 KiB of them are
 * the limit; a body with more is malformed. */
str http_trailer_find(const struct http_exchange *x, str name);

/*
 * Answers with a whole body: one send. Content-Length, Date, Connection are added; so they must not
 * be in `headers`. For HEAD, 204 and 304 the body is not sent (HEAD: its length is). Header names
 * and values from elsewhere are checked: ERR_INVALID for CR, LF or NUL, nothing sent. ERR_CLOSED
 * when the client left. The send has the limits' write deadline.
 */
must_use mayyield int http_respond(struct http_exchange *x, unsigned status,
	const struct http_header *headers, unsigned header_count, str body);
/*
 * A streamed answer: begin, any number of writes, end. body_bytes < 0: chunked (HTTP/1.0: until
 * close). Writes suspend while the client reads slowly. Nothing is sent before the first write, the
 * end, or http_respond_flush(). An end before body_bytes were written closes the connection.
 */
must_use mayyield int http_respond_begin(struct http_exchange *x, unsigned status,
	const struct http_header *headers, unsigned header_count, int64_t body_bytes);
must_use mayyield int http_respond_write(struct http_exchange *x, str bytes);
must_use mayyield int http_respond_flush(struct http_exchange *x);
must_use mayyield int http_respond_end(struct http_exchange *x);
/* Gives up a streamed answer so that the client notices: the connection is cut. */
void http_respond_abort(struct http_exchange *x);
/* 0 while nothing was answered; else the status. */
unsigned http_responded(const struct http_exchange *x);
/* Bytes of the answer's body so far, for the access log. */
uint64_t http_response_bytes(const struct http_exchange *x);

/*
 * Takes the stream out of HTTP after a request with `Upgrade` (or CONNECT): the handler answers 101
 * itself through rt_stream_write(). Bytes already received behind the head are in *ret_early,
 * alive until the handler returns. The stream is the caller's, to be closed by it.
 */
must_use int http_upgrade(struct http_exchange *x, struct rt_stream **ret_stream, str *ret_early);

/* --- server --------------------------------------------------------------------------------- */

struct http_limits {         /* 0: the default */
	size_t target_bytes; /* 16 KiB */
	size_t head_bytes;   /* 64 KiB, request line and headers */
	unsigned headers;    /* 128 */
	uint64_t body_bytes; /* 5 GiB; http_body_all() has its own below it */
	size_t arena_bytes;  /* budget of the exchange's arena: 64 MiB */
	int64_t head_ms;     /* first byte to complete head: 20 s */
	int64_t body_ms;     /* without a byte of body: 30 s */
	int64_t body_rate;   /* bytes/s that a body must reach after 30 s: 500; -1: none */
	int64_t idle_ms;     /* keep-alive: 75 s */
	int64_t write_ms;    /* without progress of a send: 30 s */
	unsigned requests;   /* per connection: 0 no limit */
};

/* Why the server itself answers: HTTP_REFUSAL_* of refusals.def. */
enum http_refusal {
	HTTP_REFUSAL_NONE_,
#define HTTP_REFUSAL(name, status, text) HTTP_REFUSAL_##name,
#include "http/refusals.def"
#undef HTTP_REFUSAL
	HTTP_REFUSAL_END_
};
struct http_refusal_answer {
	unsigned status;
	const struct http_header *headers;
	unsigned header_count;
	str body; /* static, or of the hook's loop until the next call */
};

struct http_server_options {
	http_handler *handler;
	void *arg;
	struct http_limits limits;
	/*
	 * Chooses the answer for what never reaches the handler (malformed requests, limits, caps
	 * of fibers and connections). `ret_answer` comes filled with the default; NULL hook:
	 * default. Outside fibers; does not suspend.
	 */
	void (*on_refusal)(
		enum http_refusal why, struct http_refusal_answer *ret_answer, void *arg);
	str server_name; /* value of the Server header; empty: none */
};

/* From a fiber, before rt_listen(). */
must_use int http_server_new(
	const struct http_server_options *options, struct http_server **ret_server);
/*
 * Listens with this server's connections: as rt_listen(), whose options on_accept, on_refuse and
 * arg are filled in here. `tls` may be NULL. May be called for several addresses with different
 * tags.
 */
must_use mayyield int http_server_listen(
	struct http_server *server, const struct rt_listen_options *listen, struct rt_tls *tls);
/* The address bound by the number-th http_server_listen(). */
must_use int http_server_address(
	const struct http_server *server, unsigned number, struct rt_address *ret_address);
/* Serves one stream made elsewhere (a socket pair, a container's socket), on its loop. Taken over.
 */
void http_server_take(struct http_server *server, struct rt_stream *stream);
/*
 * Stops listening, closes idle connections, lets requests end (answers say Connection: close) until
 * the deadline, then cuts the rest. Returns the number cut. From a fiber.
 */
must_use mayyield int http_server_drain(struct http_server *server, int64_t deadline);
/* After the drain. NULL: nothing. */
void http_server_free(struct http_server *server);

struct http_server_figures {
	uint64_t connections, idle, requests, refused[HTTP_REFUSAL_END_];
};
void http_server_figures(const struct http_server *server, struct http_server_figures *ret_figures);

/* A Host without ":port"; a bracketed IPv6 address stays as it is. Pure. RFC 9110, 7.2. */
str http_host_without_port(str host);

#endif
