/*
 * Heads of requests and responses (RFC 9112 sections 2 to 6): finding the end, parsing by llhttp,
 * and then everything that could be read in two ways, refused: several or malformed Content-Length,
 * Content-Length beside Transfer-Encoding, codings other than chunked, several Host, a target whose
 * authority is not the Host, bare LF, folded lines, white space before the colon.
 *
 * Pure: bytes in, tables in the arena out. A head is parsed once, when it is complete.
 */
#include "http/internal.h"

#include <llhttp/llhttp.h>

/* --- the end of a head ---------------------------------------------------------------------- */

int head_find(const char *p, size_t n, struct head_scan *scan)
{
	const char *end;

	while (scan->line < n && (end = memchr(p + scan->line, '\n', n - scan->line))) {
		size_t at = (size_t)(end - p), length = at - scan->line;

		if (length == 0 || end[-1] != '\r')
			return -HTTP_REFUSAL_MALFORMED; /* a bare LF */
		if (length == 1)
			return at + 1 > INT32_MAX ? -HTTP_REFUSAL_HEAD_TOO_LARGE : (int)at + 1;
		if (scan->lines && (p[scan->line] == ' ' || p[scan->line] == '\t'))
			return -HTTP_REFUSAL_MALFORMED; /* a folded line */
		scan->line = at + 1;
		scan->lines++;
	}
	return 0;
}

/* --- names ---------------------------------------------------------------------------------- */

/* `lower` has no characters that differ from others in bit 5 only, for valid tokens. */
static bool same_name(const char *p, const char *lower, size_t n)
{
	unsigned differs = 0;

	for (size_t i = 0; i < n; i++)
		differs |= (unsigned)((unsigned char)(p[i] | 0x20) ^ (unsigned char)lower[i]);
	return differs == 0;
}

enum http_name head_name(str name)
{
	if (name.n < 2 || name.n > 64)
		return HTTP_NAME_OTHER;
	switch (name.n << 16 | (unsigned)(name.p[0] | 0x20) << 8 |
		(unsigned)(name.p[name.n - 1] | 0x20)) {
#define HTTP_NAME(constant, first, last, text)                           \
	case (sizeof(text) - 1) << 16 | (unsigned)(first) << 8 | (last): \
		return same_name(name.p, text, sizeof(text) - 1) ? HTTP_NAME_##constant : 0;
#include "http/names.def"
#undef HTTP_NAME
	default: return HTTP_NAME_OTHER;
	}
}

/* --- llhttp --------------------------------------------------------------------------------- */

struct collector {
	llhttp_t parser;
	struct head *head;
	unsigned headers_max;
	bool too_many;
};

static int on_url(llhttp_t *parser, const char *at, size_t n)
{
	((struct collector *)parser->data)->head->target = str_of(at, n);
	return 0;
}

static int on_status(llhttp_t *parser, const char *at, size_t n)
{
	((struct collector *)parser->data)->head->reason = str_of(at, n);
	return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t n)
{
	struct collector *c = parser->data;

	if (c->head->header_count == c->headers_max) {
		c->too_many = true;
		return -1;
	}
	c->head->headers[c->head->header_count] = (struct http_header){
		.name = {at, n}, .value = STR_INIT(""), .known = head_name(str_of(at, n))};
	c->head->header_count++;
	return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t n)
{
	struct collector *c = parser->data;

	c->head->headers[c->head->header_count - 1].value = str_trim(str_of(at, n));
	return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
	(void)parser;
	return HPE_PAUSED; /* the body is framed here, not by llhttp */
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_status = on_status,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
};

static int refusal_of(llhttp_errno_t error, bool too_many)
{
	if (too_many)
		return -HTTP_REFUSAL_HEAD_TOO_LARGE;
	switch (error) {
	case HPE_INVALID_METHOD: return -HTTP_REFUSAL_METHOD;
	case HPE_PAUSED_H2_UPGRADE:
	case HPE_INVALID_VERSION: return -HTTP_REFUSAL_VERSION;
	case HPE_UNEXPECTED_CONTENT_LENGTH:
	case HPE_INVALID_CONTENT_LENGTH:
	case HPE_INVALID_TRANSFER_ENCODING: return -HTTP_REFUSAL_AMBIGUOUS;
	default: return -HTTP_REFUSAL_MALFORMED;
	}
}

static int run(llhttp_type_t type, const char *p, size_t n, unsigned lines, unsigned headers_max,
	struct arena *arena, struct head *ret)
{
	struct collector c = {.head = ret, .headers_max = headers_max};
	llhttp_errno_t error;

	memset(ret, 0, sizeof *ret);
	headers_max = MIN(headers_max, (unsigned)HEAD_HEADERS_MAX);
	if (lines > headers_max + 1)
		return -HTTP_REFUSAL_HEAD_TOO_LARGE;
	ret->content_length = -1;
	ret->headers = arena_alloc(arena, (lines + 1) * sizeof *ret->headers);
	c.headers_max = MIN(lines, headers_max);
	llhttp_init(&c.parser, type, &settings);
	c.parser.data = &c;
	error = llhttp_execute(&c.parser, p, n);
	/* Paused at the last byte: exactly one head. */
	if (error != HPE_PAUSED && error != HPE_PAUSED_UPGRADE)
		return refusal_of(error, c.too_many);
	ret->http_1_0 = c.parser.http_minor == 0;
	if (c.parser.http_major != 1 || c.parser.http_minor > 1)
		return -HTTP_REFUSAL_VERSION;
	ret->status = c.parser.status_code;
	if (type == HTTP_REQUEST) {
		static const uint8_t methods[64] = {
			[HTTP_GET] = HTTP_METHOD_GET,
			[HTTP_HEAD] = HTTP_METHOD_HEAD,
			[HTTP_POST] = HTTP_METHOD_POST,
			[HTTP_PUT] = HTTP_METHOD_PUT,
			[HTTP_DELETE] = HTTP_METHOD_DELETE,
			[HTTP_PATCH] = HTTP_METHOD_PATCH,
			[HTTP_OPTIONS] = HTTP_METHOD_OPTIONS,
		};
		const char *space = memchr(p, ' ', n);

		if (c.parser.method == HTTP_CONNECT)
			return -HTTP_REFUSAL_METHOD;
		ret->method = methods[c.parser.method & 63];
		ret->method_text = str_of(p, (size_t)(space - p));
	}
	return 0;
}

/* --- what llhttp leaves open ---------------------------------------------------------------- */

static int length_of(str value, int64_t *ret)
{
	uint64_t v;

	if (str_to_u64(value, INT64_MAX, &v) < 0)
		return -HTTP_REFUSAL_AMBIGUOUS;
	*ret = (int64_t)v;
	return 0;
}

static int coding_of(struct head *h, str value)
{
	if (h->http_1_0)
		return -HTTP_REFUSAL_AMBIGUOUS;
	if (!str_eq_nocase(value, STR("chunked")))
		return -HTTP_REFUSAL_ENCODING;
	h->chunked = true;
	return 0;
}

/* One pass: the index of known names, and the framing. */
static int look_at_headers(struct head *h)
{
	for (unsigned i = 0; i < h->header_count; i++) {
		const struct http_header *at = &h->headers[i];
		bool again = at->known && h->known[at->known];

		if (unlikely(!http_is_token(at->name) || !http_is_value(at->value)))
			return -HTTP_REFUSAL_MALFORMED;
		if (!at->known)
			continue;
		if (!again)
			h->known[at->known] = (uint8_t)(i + 1);
		switch (at->known) {
		case HTTP_NAME_CONTENT_LENGTH:
			if (again)
				return -HTTP_REFUSAL_AMBIGUOUS;
			TRY(length_of(at->value, &h->content_length));
			break;
		case HTTP_NAME_TRANSFER_ENCODING:
			if (again)
				return -HTTP_REFUSAL_AMBIGUOUS;
			TRY(coding_of(h, at->value));
			break;
		case HTTP_NAME_CONNECTION:
			h->close |= http_list_has(at->value, STR("close"));
			h->keep_alive |= http_list_has(at->value, STR("keep-alive"));
			h->upgrade |= http_list_has(at->value, STR("upgrade"));
			break;
		case HTTP_NAME_HOST:
			if (again)
				return -HTTP_REFUSAL_AMBIGUOUS;
			break;
		default: break;
		}
	}
	if (h->chunked && h->content_length >= 0)
		return -HTTP_REFUSAL_AMBIGUOUS;
	return 0;
}

int head_parse_request(const char *p, size_t n, unsigned lines, unsigned headers_max,
	struct arena *arena, struct head *ret)
{
	int rc;

	if (str_starts(str_of(p, n), STR("PRI * HTTP/2.0\r\n")))
		return -HTTP_REFUSAL_VERSION; /* HTTP/2 with prior knowledge */
	rc = run(HTTP_REQUEST, p, n, lines, headers_max, arena, ret);
	if (rc < 0)
		return rc;
	/* "METHOD target HTTP/1.x" with single spaces and nothing else. */
	if (ret->target.p != p + ret->method_text.n + 1 ||
		!str_eq(str_of(ret->target.p + ret->target.n, 8), STR(" HTTP/1.")) ||
		ret->target.p[ret->target.n + 9] != '\r')
		return -HTTP_REFUSAL_MALFORMED;
	TRY(look_at_headers(ret));
	if (!ret->http_1_0 && !ret->known[HTTP_NAME_HOST])
		return -HTTP_REFUSAL_MALFORMED;
	return 0;
}

int head_parse_response(const char *p, size_t n, unsigned lines, unsigned headers_max,
	struct arena *arena, struct head *ret)
{
	if (run(HTTP_RESPONSE, p, n, lines, headers_max, arena, ret) < 0 ||
		look_at_headers(ret) < 0 || ret->status < 100 || ret->status > 599)
		return ERR_SYNTAX;
	return 0;
}

/* --- targets -------------------------------------------------------------------------------- */

/* A host name, IPv4 address or [IPv6 address], with or without a port (RFC 3986 section 3.2). */
static bool host_ok(str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    memchr("-._~!$&'()*+;=%:[]", c, 18)))
			return false;
	}
	return true;
}

int head_target(const struct head *h, str host, str *ret_host, str *ret_path, str *ret_query)
{
	str path = h->target, authority;
	ptrdiff_t mark;

	if (!host_ok(host))
		return -HTTP_REFUSAL_MALFORMED;
	for (size_t i = 0; i < path.n; i++)
		if ((unsigned char)path.p[i] <= ' ' || (unsigned char)path.p[i] >= 0x7f ||
			path.p[i] == '#')
			return -HTTP_REFUSAL_MALFORMED;
	*ret_host = host;
	if (path.n && path.p[0] != '/' && !str_eq(path, STR("*"))) { /* absolute-form */
		if (str_eq_nocase(str_sub(path, 0, 7), STR("http://")))
			path = str_from(path, 7);
		else if (str_eq_nocase(str_sub(path, 0, 8), STR("https://")))
			path = str_from(path, 8);
		else
			return -HTTP_REFUSAL_MALFORMED;
		for (mark = 0; (size_t)mark < path.n && path.p[mark] != '/' && path.p[mark] != '?';)
			mark++;
		authority = str_sub(path, 0, (size_t)mark);
		if (!authority.n || !host_ok(authority))
			return -HTTP_REFUSAL_MALFORMED;
		if (h->known[HTTP_NAME_HOST] && !str_eq_nocase(authority, host))
			return -HTTP_REFUSAL_AMBIGUOUS;
		*ret_host = authority;
		path = str_from(path, (size_t)mark);
	}
	mark = str_find(path, '?');
	*ret_query = mark < 0 ? STR_NULL : str_from(path, (size_t)mark + 1);
	path = mark < 0 ? path : str_sub(path, 0, (size_t)mark);
	*ret_path = path.n ? path : STR("/");
	if (str_eq(path, STR("*")) && !str_eq(h->method_text, STR("OPTIONS")))
		return -HTTP_REFUSAL_MALFORMED;
	return 0;
}
