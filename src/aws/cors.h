/*
 * Cross-origin answers that an HTTP API or a function URL gives by its configuration. The
 * integration's own access-control headers are dropped then, and preflight requests never reach it.
 *
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html. Pure.
 */
#ifndef AWS_CORS_H
#define AWS_CORS_H

#include "base/arena.h"
#include "http/http.h"

struct cors {
	const str *origins; /* "https://a.example", "*", "https://<star>", "http://<star>" */
	size_t origin_count;
	str methods, headers, expose; /* joined by commas; empty: not configured */
	int64_t max_age;              /* seconds; CORS_NO_AGE: not configured */
	bool credentials;
};

enum { CORS_NO_AGE = -2, CORS_HEADERS_MAX = 7 };

/* Is the entry of AllowOrigins one of the documented forms? */
bool cors_origin_is_valid(str origin);
/* OPTIONS with Origin and Access-Control-Request-Method. */
bool cors_is_preflight(str method, str origin, str request_method);
/*
 * The headers for an answer to a request with that Origin (STR_NULL: none): how many were written;
 * 0 when the origin is not allowed. Values are borrowed from `cors` and `origin`, or in the arena.
 */
size_t cors_headers(const struct cors *cors, struct arena *arena, str origin, bool preflight,
	struct http_header ret_headers[CORS_HEADERS_MAX]);
/* Is it a header that only the configuration sets where there is one? */
bool cors_owns_header(str name);

#endif
