/*
 * The JSON writer.
 */
#include "base/check.h"
#include "base/json.h"
#include "base/json_scan.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The escape of a byte that json_find_special() stops at; returns its length. */
static size_t escape(unsigned char c, char text[6])
{
	static const char hex[] = "0123456789abcdef";
	char letter = 0;

	switch (c) {
	case '"':
	case '\\': letter = (char)c; break;
	case '\b': letter = 'b'; break;
	case '\f': letter = 'f'; break;
	case '\n': letter = 'n'; break;
	case '\r': letter = 'r'; break;
	case '\t': letter = 't'; break;
	default: break;
	}
	text[0] = '\\';
	if (letter) {
		text[1] = letter;
		return 2;
	}
	memcpy(text + 1, "u00", 3);
	text[4] = hex[c >> 4];
	text[5] = hex[c & 15];
	return 6;
}

/* `s` escaped, without the quotes. */
static void put_escaped(struct buf *out, str s)
{
	const char *p = s.p, *end = s.p + s.n;
	unsigned high = 0;

	while (p < end) {
		const char *special = json_find_special(p, end, &high);
		char text[6];

		buf_put(out, str_of(p, (size_t)(special - p)));
		if (special == end)
			return;
		buf_put(out, str_of(text, escape((unsigned char)*special, text)));
		p = special + 1;
	}
}

void json_put_quoted(struct buf *out, str s)
{
	unsigned high = 0;
	char *to = buf_room(out, s.n + 2);

	if (unlikely(!to))
		return;
	if (unlikely(s.n && json_find_special(s.p, s.p + s.n, &high) != s.p + s.n)) {
		buf_put_char(out, '"');
		put_escaped(out, s);
		buf_put_char(out, '"');
		return;
	}
	*to = '"';
	if (s.n)
		memcpy(to + 1, s.p, s.n);
	to[s.n + 1] = '"';
	out->n += s.n + 2;
}

/* Length of the valid UTF-8 character at `p`; 0 when there is none. */
static size_t utf8_character(const char *p, const char *end)
{
	for (size_t n = 1; n <= 4 && n <= (size_t)(end - p); n++)
		if (str_is_utf8(str_of(p, n)))
			return n;
	return 0;
}

void json_put_quoted_lossy(struct buf *out, str s)
{
	const char *p = s.p, *end = s.p + s.n, *good = s.p;

	if (str_is_utf8(s)) {
		json_put_quoted(out, s);
		return;
	}
	buf_put_char(out, '"');
	while (p < end) {
		size_t n = utf8_character(p, end);

		if (n == 0) {
			put_escaped(out, str_of(good, (size_t)(p - good)));
			buf_put(out, STR("\xef\xbf\xbd"));
			good = p + 1;
		}
		p += n ? n : 1;
	}
	put_escaped(out, str_of(good, (size_t)(end - good)));
	buf_put_char(out, '"');
}

void json_put_key(struct json_writer *w, str key)
{
	json_put_comma_(w);
	json_put_quoted(w->out, key);
	buf_put_char(w->out, ':');
	w->comma = false;
}

void json_put_string(struct json_writer *w, str s)
{
	json_put_comma_(w);
	json_put_quoted(w->out, s);
}

void json_put_string_or_null(struct json_writer *w, str s)
{
	if (s.p)
		json_put_string(w, s);
	else
		json_put_null(w);
}

void json_put_i64(struct json_writer *w, int64_t v)
{
	json_put_comma_(w);
	buf_put_i64(w->out, v);
}

void json_put_u64(struct json_writer *w, uint64_t v)
{
	json_put_comma_(w);
	buf_put_u64(w->out, v);
}

/*
 * 15 digits always survive the way through a normal double, so if a text of at most 15 digits reads
 * back as `v`, it is the one that 15 digits give; subnormal ones have fewer.
 */
static void put_shortest(struct buf *out, double v)
{
	int digits = fabs(v) < DBL_MIN ? 1 : DBL_DIG;
	char text[40];
	int n;

	do
		n = snprintf(text, sizeof text, "%.*g", digits, v);
	while (strtod(text, NULL) != v && ++digits <= DBL_DECIMAL_DIG);
	buf_put(out, str_of(text, (size_t)n));
}

void json_put_double(struct json_writer *w, double v)
{
	if (!isfinite(v)) {
		json_put_null(w);
		return;
	}
	json_put_comma_(w);
	put_shortest(w->out, v);
}

void json_put_bool(struct json_writer *w, bool v)
{
	json_put_raw(w, v ? STR("true") : STR("false"));
}

void json_put_null(struct json_writer *w)
{
	json_put_raw(w, STR("null"));
}

void json_put_raw(struct json_writer *w, str text)
{
	json_put_comma_(w);
	buf_put(w->out, text);
}

/* Writes a scalar, or opens a container: true. */
static bool put_open(struct json_writer *w, const struct json_value *v)
{
	switch (v->kind) {
	case JSON_NULL: json_put_null(w); return false;
	case JSON_BOOL: json_put_bool(w, v->boolean); return false;
	case JSON_NUMBER: json_put_raw(w, v->text); return false;
	case JSON_STRING: json_put_string(w, v->text); return false;
	case JSON_ARRAY: json_put_array_begin(w); return true;
	case JSON_OBJECT: json_put_object_begin(w); return true;
	}
	check_unreachable();
}

void json_put_value(struct json_writer *w, const struct json_value *v)
{
	struct {
		const struct json_value *v;
		uint32_t next;
	} open[JSON_DEPTH_MAX];
	unsigned level = 0;

	for (;;) {
		if (put_open(w, v)) {
			check(level < JSON_DEPTH_MAX);
			open[level].v = v;
			open[level++].next = 0;
		}
		for (;;) {
			uint32_t i;

			if (level == 0)
				return;
			v = open[level - 1].v;
			i = open[level - 1].next++;
			if (i < v->count)
				break;
			v->kind == JSON_ARRAY ? json_put_array_end(w) : json_put_object_end(w);
			level--;
		}
		if (v->kind == JSON_ARRAY) {
			v = &v->items[open[level - 1].next - 1];
		} else {
			const struct json_member *m = &v->members[open[level - 1].next - 1];

			json_put_key(w, m->key);
			v = &m->value;
		}
	}
}
