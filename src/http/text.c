/*
 * Small text: reasons, dates, tokens, header lines. Pure.
 */
#include "http/internal.h"

#include <time.h>

str http_reason(unsigned status)
{
	switch (status) {
	case 100: return STR("Continue");
	case 101: return STR("Switching Protocols");
	case 200: return STR("OK");
	case 201: return STR("Created");
	case 202: return STR("Accepted");
	case 203: return STR("Non-Authoritative Information");
	case 204: return STR("No Content");
	case 205: return STR("Reset Content");
	case 206: return STR("Partial Content");
	case 207: return STR("Multi-Status");
	case 300: return STR("Multiple Choices");
	case 301: return STR("Moved Permanently");
	case 302: return STR("Found");
	case 303: return STR("See Other");
	case 304: return STR("Not Modified");
	case 307: return STR("Temporary Redirect");
	case 308: return STR("Permanent Redirect");
	case 400: return STR("Bad Request");
	case 401: return STR("Unauthorized");
	case 402: return STR("Payment Required");
	case 403: return STR("Forbidden");
	case 404: return STR("Not Found");
	case 405: return STR("Method Not Allowed");
	case 406: return STR("Not Acceptable");
	case 408: return STR("Request Timeout");
	case 409: return STR("Conflict");
	case 410: return STR("Gone");
	case 411: return STR("Length Required");
	case 412: return STR("Precondition Failed");
	case 413: return STR("Content Too Large");
	case 414: return STR("URI Too Long");
	case 415: return STR("Unsupported Media Type");
	case 416: return STR("Range Not Satisfiable");
	case 417: return STR("Expectation Failed");
	case 421: return STR("Misdirected Request");
	case 422: return STR("Unprocessable Content");
	case 424: return STR("Failed Dependency");
	case 426: return STR("Upgrade Required");
	case 428: return STR("Precondition Required");
	case 429: return STR("Too Many Requests");
	case 431: return STR("Request Header Fields Too Large");
	case 451: return STR("Unavailable For Legal Reasons");
	case 500: return STR("Internal Server Error");
	case 501: return STR("Not Implemented");
	case 502: return STR("Bad Gateway");
	case 503: return STR("Service Unavailable");
	case 504: return STR("Gateway Timeout");
	case 505: return STR("HTTP Version Not Supported");
	case 507: return STR("Insufficient Storage");
	default: return STR("Unknown");
	}
}

/* RFC 9110 section 5.6.2 */
static bool token_char(unsigned char c)
{
	static const bool mark[128] = {['!'] = 1,
		['#'] = 1,
		['$'] = 1,
		['%'] = 1,
		['&'] = 1,
		['\''] = 1,
		['*'] = 1,
		['+'] = 1,
		['-'] = 1,
		['.'] = 1,
		['^'] = 1,
		['_'] = 1,
		['`'] = 1,
		['|'] = 1,
		['~'] = 1};

	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c < 128 && mark[c]);
}

bool http_is_token(str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!token_char((unsigned char)s.p[i]))
			return false;
	return s.n > 0;
}

/* Has any of the eight bytes a value below 0x20, or 0x7f? (Tabs are for the caller to forgive.) */
static bool has_control(uint64_t bytes)
{
	const uint64_t ones = 0x0101010101010101u, tops = ones << 7;
	uint64_t rubout = bytes ^ ones * 0x7f;

	return ((((bytes - ones * 0x20) & ~bytes) | ((rubout - ones) & ~rubout)) & tops) != 0;
}

bool http_is_value(str s)
{
	size_t i = 0;

	while (i < s.n) {
		size_t end = MIN(i + 8, s.n);
		uint64_t bytes;

		if (end == i + 8) {
			memcpy(&bytes, s.p + i, sizeof bytes);
			if (likely(!has_control(bytes))) {
				i = end;
				continue;
			}
		}
		for (; i < end; i++) {
			unsigned char c = (unsigned char)s.p[i];

			if (c < 0x20 ? c != '\t' : c == 0x7f)
				return false;
		}
	}
	return true;
}

str http_host_without_port(str host)
{
	ptrdiff_t colon = str_find_last(host, ':');

	return colon < 0 || str_ends(host, STR("]")) ? host : str_sub(host, 0, (size_t)colon);
}

bool http_list_has(str list, str token)
{
	str part;

	while (str_split(&list, ',', &part))
		if (str_eq_nocase(str_trim(part), token))
			return true;
	return false;
}

static void two(char *to, int v)
{
	to[0] = (char)('0' + v / 10 % 10);
	to[1] = (char)('0' + v % 10);
}

void http_date(int64_t wall_ns, char text[HTTP_DATE_BYTES + 1])
{
	static const char days[] = "SunMonTueWedThuFriSat",
			  months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t seconds = (time_t)(wall_ns / RT_NS_S);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	memcpy(text, "Sun, 00 Jan 0000 00:00:00 GMT", HTTP_DATE_BYTES + 1);
	memcpy(text, days + tm.tm_wday * 3, 3);
	two(text + 5, tm.tm_mday);
	memcpy(text + 8, months + tm.tm_mon * 3, 3);
	two(text + 12, (tm.tm_year + 1900) / 100);
	two(text + 14, (tm.tm_year + 1900) % 100);
	two(text + 17, tm.tm_hour);
	two(text + 20, tm.tm_min);
	two(text + 23, tm.tm_sec);
}

int http_put_headers(struct buf *b, const struct http_header *headers, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct http_header *h = &headers[i];
		char *to;

		if (unlikely(!http_is_token(h->name) || !http_is_value(h->value)))
			return ERR_INVALID;
		to = buf_room(b, h->name.n + h->value.n + 4);
		if (unlikely(!to))
			return ERR_TOO_LARGE;
		memcpy(to, h->name.p, h->name.n);
		to += h->name.n;
		*to++ = ':';
		*to++ = ' ';
		if (h->value.n)
			memcpy(to, h->value.p, h->value.n);
		to += h->value.n;
		*to++ = '\r';
		*to++ = '\n';
		b->n += h->name.n + h->value.n + 4;
	}
	return 0;
}
