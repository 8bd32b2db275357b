/*
 * HTTP/1.1 client: a pool of kept-alive connections per target, streamed bodies both ways,
 * deadlines, limits of size. It follows no redirects, keeps no cookies, decodes no content coding.
 *
 * A client belongs to one loop; make one per loop (rt_slot_new()). All calls suspend the fiber.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "http/http.h"

struct http_client;
struct http_call;

struct http_client_options {
	unsigned idle_max;        /* kept-alive connections in all; 0: 64 */
	unsigned idle_per_target; /* 0: 16 */
	unsigned per_target;      /* open ones at once; more wait for their turn; 0: 256 */
	int64_t idle_ms;          /* 0: 30 s */
	size_t head_bytes;        /* of a response; 0: 64 KiB */
	unsigned headers;         /* 0: 128 */
	struct rt_tls *tls;       /* for https; NULL: refused (ERR_UNSUPPORTED) */
};
must_use int http_client_new(
	const struct http_client_options *options, struct http_client **ret_client);
/* No call is open. */
void http_client_free(struct http_client *client);

struct http_request {
	str address; /* "HOST:PORT" or "unix:PATH": where to connect */
	bool secure; /* https; the certificate must be for the name in `address` */
	str host;    /* the Host header; empty: the address */
	str method;  /* "GET" ... */
	str target;  /* path and query, escaped */
	const struct http_header
		*headers; /* without Host, Content-Length, Connection, Transfer-Encoding */
	unsigned header_count;
	str body;           /* when body_stream is not set */
	bool body_stream;   /* http_call_write() follows */
	int64_t body_bytes; /* body_stream: length, or < 0 for chunked */
};

struct http_response {
	unsigned status;
	const struct http_header *headers; /* these live until http_call_close() */
	unsigned header_count;
	int64_t body_bytes; /* -1: not known beforehand */
};

/*
 * Sends the request (its head, and the body when not streamed), on a kept-alive connection when
 * there is one; one that turns out closed before any answer is replaced once, when the request can
 * be repeated (no streamed body) and is idempotent. The deadline covers the whole call.
 */
must_use mayyield int http_call_open(struct http_client *client, const struct http_request *request,
	int64_t deadline, struct http_call **ret_call);
/* body_stream only. ERR_RANGE past body_bytes. */
must_use mayyield int http_call_write(struct http_call *call, str bytes);
/* Ends the request's body and waits for the head of the answer; 1xx answers are skipped. */
must_use mayyield int http_call_response(
	struct http_call *call, const struct http_response **ret_response);
/* The next part of the answer's body: bytes, ERR_EOF at its end, ERR_CLOSED when it was cut. */
must_use mayyield int http_call_read(struct http_call *call, void *to, size_t n);
/* The rest of the body, at most `max`: ERR_TOO_LARGE. In the arena given. */
must_use mayyield int http_call_body(
	struct http_call *call, struct arena *arena, size_t max, str *ret_body);
/* The connection is kept when the answer was read to its end. NULL: nothing. */
void http_call_close(struct http_call *call);
void http_call_close_p(struct http_call **call);

#endif
