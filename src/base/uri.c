/*
 * Percent encoding, query strings, path normalisation.
 */
#include "base/uri.h"

#include "base/rc.h"

static bool is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

void uri_put_encoded(struct buf *out, str s, enum uri_encoding encoding)
{
	static const char digit[] = "0123456789ABCDEF";
	size_t plain = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char text[3] = {'%', digit[c >> 4], digit[c & 15]};

		if (likely(is_unreserved(c)) || (c == '/' && encoding == URI_KEEP_SLASH))
			continue;
		buf_put(out, str_sub(s, plain, i - plain));
		buf_put(out, str_of(text, 3));
		plain = i + 1;
	}
	buf_put(out, str_from(s, plain));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool uri_is(str encoded, str text)
{
	size_t at = 0;

	for (size_t i = 0; i < encoded.n; i++, at++) {
		char c = encoded.p[i];

		if (c == '%') {
			int high = i + 2 < encoded.n ? hex_digit(encoded.p[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(encoded.p[i + 2]) : -1;

			if (low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (at == text.n || text.p[at] != c)
			return false;
	}
	return at == text.n;
}

int uri_decode(struct arena *arena, str s, enum uri_decoding decoding, str *ret_decoded)
{
	bool plus = decoding == URI_PLUS_IS_SPACE;
	char *p, *to;

	if (str_find(s, '%') < 0 && (!plus || str_find(s, '+') < 0)) {
		*ret_decoded = s;
		return 0;
	}
	to = p = arena_bytes(arena, s.n);
	for (size_t i = 0; i < s.n; i++) {
		int high, low;

		if (s.p[i] != '%') {
			*to++ = plus && s.p[i] == '+' ? ' ' : s.p[i];
			continue;
		}
		if (s.n - i < 3 || (high = hex_digit(s.p[i + 1])) < 0 ||
			(low = hex_digit(s.p[i + 2])) < 0)
			return ERR_SYNTAX;
		*to++ = (char)(high << 4 | low);
		i += 2;
	}
	*ret_decoded = str_of(p, (size_t)(to - p));
	return 0;
}

void uri_split(str target, str *ret_path, str *ret_query)
{
	ptrdiff_t at = str_find(target, '?');

	*ret_path = at < 0 ? target : str_sub(target, 0, (size_t)at);
	*ret_query = at < 0 ? STR_NULL : str_from(target, (size_t)at + 1);
}

bool uri_query_next(struct uri_query *q, str *ret_name, str *ret_value)
{
	str part;

	while (str_split(&q->rest, '&', &part)) {
		ptrdiff_t at = str_find(part, '=');

		if (part.n == 0)
			continue;
		*ret_name = at < 0 ? part : str_sub(part, 0, (size_t)at);
		*ret_value = at < 0 ? STR_NULL : str_from(part, (size_t)at + 1);
		return true;
	}
	return false;
}

int uri_query_find(struct arena *arena, str query, str name, str *ret_value)
{
	struct uri_query q = uri_query_of(query);
	str raw_name, raw_value, decoded;

	while (uri_query_next(&q, &raw_name, &raw_value)) {
		TRY(uri_decode(arena, raw_name, URI_PLUS_IS_SPACE, &decoded));
		if (!str_eq(decoded, name))
			continue;
		if (!raw_value.p)
			raw_value = STR("");
		TRY(uri_decode(arena, raw_value, URI_PLUS_IS_SPACE, ret_value));
		return 1;
	}
	return 0;
}

str uri_normalize_path(struct arena *arena, str path)
{
	char *p = arena_bytes(arena, path.n + 1), *to = p;
	bool slash = true; /* the result ends in a slash that is not written yet */
	str part;

	/* Each part is written as "/part"; a final slash shows in `slash`. */
	for (str rest = path; str_split(&rest, '/', &part);) {
		slash = rest.p != NULL; /* a '/' stood behind this part */
		if (part.n == 0)
			continue;
		if (str_eq(part, STR("."))) {
			slash = true;
			continue;
		}
		if (str_eq(part, STR(".."))) {
			while (to > p && *--to != '/')
				;
			slash = true;
			continue;
		}
		*to++ = '/';
		memcpy(to, part.p, part.n);
		to += part.n;
	}
	if (slash || to == p)
		*to++ = '/';
	return str_of(p, (size_t)(to - p));
}
