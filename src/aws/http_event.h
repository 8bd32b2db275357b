/*
 * The event that a function gets for a request of an HTTP API, payload formats 1.0 and 2.0, or of
 * a function URL (2.0), and what is made of its answer.
 *
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/
 *     http-api-develop-integrations-lambda.html
 *
 * Both formats give the path decoded, as HTTP APIs do (REST APIs and function URLs do not). A body
 * is text for text/..., application/json, application/xml and application/javascript (the types
 * that HTTP APIs were seen to pass as text), and base64 for everything else, or when it is not
 * UTF-8.
 *
 * Pure; any thread.
 */
#ifndef AWS_HTTP_EVENT_H
#define AWS_HTTP_EVENT_H

#include "base/buf.h"
#include "http/http.h"

struct event_variable {
	str name, value;
};

struct event_request {
	str account, api_id, stage; /* "$default" */
	str route_key, route_path;  /* "GET /pets/{id}", "/pets/{id}"; $default has an empty path */
	str method;
	str path;     /* as the format wants it, with the stage in front unless that is $default */
	str query;    /* raw; STR_NULL or empty: none */
	str protocol; /* "HTTP/1.1" */
	str domain_name, domain_prefix;
	str source_ip, user_agent;
	str request_id;
	str authorizer; /* requestContext.authorizer of format 2.0, a JSON object; STR_NULL: none */
	int64_t time_ms;
	/* As event_headers() made them. */
	const struct http_header *headers;
	size_t header_count;
	str body;                                /* STR_NULL: none */
	const struct event_variable *parameters; /* of the path */
	size_t parameter_count;
	const struct event_variable *variables; /* of the stage */
	size_t variable_count;
};

/* What the gateway adds to a request's headers. */
struct event_origin {
	str source_ip;
	str port;           /* "443" */
	str protocol;       /* "https" */
	str trace;          /* X-Amzn-Trace-Id, when the request has none */
	int64_t body_bytes; /* negative: nothing is said of it */
};

/*
 * The headers as an integration sees them: hop-by-hop ones are gone (RFC 9110 section 7.6.1),
 * Content-Length tells the body's length if there is one, and X-Forwarded-For/-Port/-Proto and
 * X-Amzn-Trace-Id are there. Names as sent. In the arena.
 */
void event_headers(struct arena *arena, const struct http_header *headers, size_t n,
	const struct event_origin *origin, const struct http_header **ret_headers,
	size_t *ret_count);
/* Is it one of the headers that end at each hop, or named by `connection` (the header's value)? */
bool event_header_is_hop(str name, str connection);

/* Appends the event: one JSON object. */
void event_render_1(struct buf *out, struct arena *arena, const struct event_request *request);
void event_render_2(struct buf *out, struct arena *arena, const struct event_request *request);

/* ---- the function's answer ---- */

struct event_answer {
	unsigned status;
	const struct http_header *headers; /* in the arena; names in lower case */
	size_t header_count;
	bool type_assumed; /* the last header is a content-type that the function did not send */
	str body;          /* decoded */
};

/*
 * Reads what the function returned. Format 2: a JSON value without statusCode is the body of a 200
 * of type application/json. ERR_INVALID: malformed, which is a 500 to the client: no JSON (or not
 * an object, format 1), a status outside 200..599, members of wrong types, broken
 * base64, header names or values that HTTP cannot carry.
 */
must_use int event_answer_parse(
	struct arena *arena, str payload, unsigned format, struct event_answer *ret_answer);

#endif
