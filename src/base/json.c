/*
 * The JSON reader and the tree. The grammar is RFC 8259's; what is inlined for speed is in json.h.
 */
#include "base/json.h"

#include "base/check.h"
#include "base/json_scan.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/* Leaves the cursor at the place of the error. */
static cold_fn int fail_at(struct json_reader *r, const char *at, int rc)
{
	r->at = at;
	return rc;
}

static int kind_of(char c)
{
	switch (c) {
	case '"': return JSON_STRING;
	case '{': return JSON_OBJECT;
	case '[': return JSON_ARRAY;
	case 't':
	case 'f': return JSON_BOOL;
	case 'n': return JSON_NULL;
	case '-': return JSON_NUMBER;
	default: return c >= '0' && c <= '9' ? JSON_NUMBER : ERR_SYNTAX;
	}
}

int json_peek(struct json_reader *r)
{
	json_space_(r);
	return likely(r->at < r->end) ? kind_of(*r->at) : ERR_EOF;
}

cold_fn int json_unexpected_(struct json_reader *r)
{
	int kind = json_peek(r);

	return kind < 0 ? kind : ERR_INVALID;
}

/* The value of four hexadecimal digits, or -1. */
static int hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* Reads the escape whose backslash is at *p, which moves behind it; false when malformed. */
static bool take_escape(const char **p, const char *end, uint32_t *ret_c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at = *p + 1, *found;
	int high, low;

	if (at == end)
		return false;
	if (*at != 'u') {
		found = *at ? strchr(from, *at) : NULL;
		if (!found)
			return false;
		*ret_c = (unsigned char)to[found - from];
		*p = at + 1;
		return true;
	}
	if (end - at < 5 || (high = hex4(at + 1)) < 0 || (high >= 0xdc00 && high <= 0xdfff))
		return false;
	at += 5;
	*ret_c = (uint32_t)high;
	if (high >= 0xd800 && high <= 0xdbff) {
		if (end - at < 6 || at[0] != '\\' || at[1] != 'u' ||
			(low = hex4(at + 2)) < 0xdc00 || low > 0xdfff)
			return false;
		at += 6;
		*ret_c = 0x10000u + (((uint32_t)high - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
	}
	*p = at;
	return true;
}

/*
 * The string that starts at `begin` (behind the quote), known to have a backslash at `p`. Its end
 * is looked for first, so that one allocation does; with `ret_value` NULL it is only validated.
 */
static noinline_fn int escaped_string(
	struct json_reader *r, const char *begin, const char *p, unsigned high, str *ret_value)
{
	const char *close = p, *at;
	char *value = NULL, *to = NULL;

	while (close < r->end && *close == '\\') {
		if (r->end - close < 2)
			return fail_at(r, r->end, ERR_EOF);
		close = json_find_special(close + 2, r->end, &high);
	}
	if (close == r->end)
		return fail_at(r, r->end, ERR_EOF);
	if (*close != '"')
		return fail_at(r, close, ERR_SYNTAX);
	if (high && !str_is_utf8(str_of(begin, (size_t)(close - begin))))
		return fail_at(r, begin, ERR_SYNTAX);
	if (ret_value) /* no escape is shorter than what it stands for */
		to = value = arena_bytes(r->arena, (size_t)(close - begin));
	for (at = begin; at < close;) {
		uint32_t c;

		if (p > at && to) {
			memcpy(to, at, (size_t)(p - at));
			to += p - at;
		}
		if (p == close)
			break;
		at = p;
		if (!take_escape(&at, close, &c))
			return fail_at(r, p, ERR_SYNTAX);
		if (to)
			to = put_utf8(to, c);
		p = json_find_special(at, close, &high);
	}
	if (ret_value)
		*ret_value = str_of(value, (size_t)(to - value));
	r->at = close + 1;
	return 0;
}

/* `ret_value` NULL: only validates. */
static inline int read_string(struct json_reader *r, str *ret_value)
{
	const char *begin, *p;
	unsigned high = 0;

	if (unlikely(r->at == r->end || *r->at != '"'))
		return json_unexpected_(r);
	begin = r->at + 1;
	p = json_find_special(begin, r->end, &high);
	if (unlikely(p == r->end))
		return fail_at(r, p, ERR_EOF);
	if (unlikely(*p != '"'))
		return *p == '\\' ? escaped_string(r, begin, p, high, ret_value)
				  : fail_at(r, p, ERR_SYNTAX);
	if (unlikely(high) && !str_is_utf8(str_of(begin, (size_t)(p - begin))))
		return fail_at(r, begin, ERR_SYNTAX);
	if (ret_value)
		*ret_value = str_of(begin, (size_t)(p - begin));
	r->at = p + 1;
	return 0;
}

int json_string(struct json_reader *r, str *ret_value)
{
	json_space_(r);
	return read_string(r, ret_value);
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Behind the digits at `p`, of which there must be one: NULL without. */
static inline const char *digits(const char *p, const char *end)
{
	if (p == end || !is_digit(*p))
		return NULL;
	while (p < end && is_digit(*p))
		p++;
	return p;
}

/* Behind the number at the cursor; NULL when malformed. */
static const char *number_end(const struct json_reader *r)
{
	const char *p = r->at, *end = r->end;

	if (*p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else
		p = digits(p, end);
	if (p && p < end && *p == '.')
		p = digits(p + 1, end);
	if (p && p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = digits(p, end);
	}
	return p;
}

static int read_number(struct json_reader *r, str *ret_text)
{
	const char *end = number_end(r);

	if (!end)
		return ERR_SYNTAX;
	*ret_text = str_of(r->at, (size_t)(end - r->at));
	r->at = end;
	return 0;
}

int json_number(struct json_reader *r, str *ret_text)
{
	json_space_(r);
	if (unlikely(r->at == r->end || !(is_digit(*r->at) || *r->at == '-')))
		return json_unexpected_(r);
	return read_number(r, ret_text);
}

int json_i64(struct json_reader *r, int64_t *ret_value)
{
	const char *begin;
	str text;
	int rc;

	json_space_(r);
	begin = r->at;
	TRY(json_number(r, &text));
	rc = str_to_i64(text, ret_value);
	if (rc < 0) /* a fraction or an exponent is no syntax error here */
		return fail_at(r, begin, rc == ERR_SYNTAX ? ERR_INVALID : rc);
	return 0;
}

int json_double(struct json_reader *r, double *ret_value)
{
	const char *begin;
	char small[64], *c = small;
	str text;
	double v;

	json_space_(r);
	begin = r->at;
	TRY(json_number(r, &text));
	if (text.n >= sizeof small)
		c = mem_alloc(text.n + 1);
	memcpy(c, text.p, text.n);
	c[text.n] = 0;
	v = strtod(c, NULL);
	if (c != small)
		mem_free(c);
	if (isinf(v))
		return fail_at(r, begin, ERR_RANGE);
	*ret_value = v;
	return 0;
}

static int literal(struct json_reader *r, str word)
{
	if (!str_starts(str_of(r->at, (size_t)(r->end - r->at)), word))
		return ERR_SYNTAX;
	r->at += word.n;
	return 0;
}

int json_bool(struct json_reader *r, bool *ret_value)
{
	bool v;

	json_space_(r);
	if (r->at == r->end || (*r->at != 't' && *r->at != 'f'))
		return json_unexpected_(r);
	v = *r->at == 't';
	TRY(literal(r, v ? STR("true") : STR("false")));
	*ret_value = v;
	return 0;
}

int json_null(struct json_reader *r)
{
	json_space_(r);
	if (r->at == r->end || *r->at != 'n')
		return json_unexpected_(r);
	return literal(r, STR("null"));
}

/* The containers that json_skip() is inside of, one bit each. */
struct skip {
	uint64_t object[JSON_DEPTH_MAX / 64];
	unsigned level;
};

static inline bool skip_in_object(const struct skip *s)
{
	unsigned i = s->level - 1;

	return s->object[i / 64] >> (i % 64) & 1;
}

static inline void skip_push(struct skip *s, bool object)
{
	unsigned i = s->level++;

	s->object[i / 64] = (s->object[i / 64] & ~(UINT64_C(1) << (i % 64))) | (uint64_t)object
										       << (i % 64);
}

static int skip_key(struct json_reader *r)
{
	json_space_(r);
	if (r->at == r->end || *r->at != '"')
		return r->at == r->end ? ERR_EOF : ERR_SYNTAX;
	TRY(read_string(r, NULL));
	json_space_(r);
	if (r->at == r->end || *r->at != ':')
		return r->at == r->end ? ERR_EOF : ERR_SYNTAX;
	r->at++;
	return 0;
}

/* A scalar, or the opening of a container (pushed). 1 when a value must follow, 0 when complete. */
static int skip_open(struct json_reader *r, struct skip *s)
{
	bool object;
	str text;

	json_space_(r);
	if (unlikely(r->at == r->end))
		return ERR_EOF;
	switch (*r->at) {
	case '"': return read_string(r, NULL);
	case 't': return literal(r, STR("true"));
	case 'f': return literal(r, STR("false"));
	case 'n': return literal(r, STR("null"));
	case '{':
	case '[': break;
	default: return is_digit(*r->at) || *r->at == '-' ? read_number(r, &text) : ERR_SYNTAX;
	}
	if (r->depth + s->level == r->depth_max)
		return ERR_DEPTH;
	object = *r->at++ == '{';
	json_space_(r);
	if (r->at < r->end && *r->at == (object ? '}' : ']')) {
		r->at++;
		return 0;
	}
	skip_push(s, object);
	if (object)
		TRY(skip_key(r));
	return 1;
}

int json_skip(struct json_reader *r)
{
	struct skip s;

	s.level = 0;
	for (;;) {
		if (TRY(skip_open(r, &s)))
			continue;
		for (;;) {
			if (s.level == 0)
				return 0;
			json_space_(r);
			if (r->at == r->end)
				return ERR_EOF;
			if (*r->at == ',')
				break;
			if (*r->at != (skip_in_object(&s) ? '}' : ']'))
				return ERR_SYNTAX;
			r->at++;
			s.level--;
		}
		r->at++;
		if (skip_in_object(&s))
			TRY(skip_key(r));
	}
}

int json_raw(struct json_reader *r, str *ret_text)
{
	const char *begin;

	json_space_(r);
	begin = r->at;
	TRY(json_skip(r));
	*ret_text = str_of(begin, (size_t)(r->at - begin));
	return 0;
}

int json_end(struct json_reader *r)
{
	json_space_(r);
	return r->at == r->end ? 0 : ERR_SYNTAX;
}

/* A container that json_parse_value() is inside of. Its value does not move while it is open. */
struct open_value {
	struct json_value *v;
	uint32_t capacity;
};

/* Room for one more child; both kinds of container keep theirs in one array. */
static struct json_value *child_new(struct arena *arena, struct open_value *o, str key)
{
	struct json_value *v = o->v;
	size_t size = v->kind == JSON_ARRAY ? sizeof *v->items : sizeof *v->members;

	if (v->count == o->capacity) {
		uint32_t capacity = o->capacity ? o->capacity * 2 : 4;
		void *bigger = arena_alloc(arena, capacity * size);

		if (v->count)
			memcpy(bigger, v->items, v->count * size);
		v->items = bigger; /* shares its place with `members` */
		o->capacity = capacity;
	}
	if (v->kind == JSON_ARRAY)
		return &v->items[v->count++];
	v->members[v->count].key = key;
	return &v->members[v->count++].value;
}

/* Fills `v` from a scalar, or as an empty container and opens it: 1. */
static int parse_open(struct json_reader *r, struct json_value *v)
{
	int kind = TRY(json_peek(r));

	*v = (struct json_value){.kind = (enum json_kind)kind};
	switch (v->kind) {
	case JSON_NULL: return json_null(r);
	case JSON_BOOL: return json_bool(r, &v->boolean);
	case JSON_NUMBER: return json_number(r, &v->text);
	case JSON_STRING: return json_string(r, &v->text);
	case JSON_ARRAY: TRY(json_array_begin(r)); return 1;
	case JSON_OBJECT: TRY(json_object_begin(r)); return 1;
	}
	check_unreachable();
}

int json_parse_value(struct json_reader *r, struct json_value **ret_value)
{
	struct open_value open[JSON_DEPTH_MAX];
	struct json_value *root = arena_new(r->arena, struct json_value), *v = root;
	unsigned level = 0;

	for (;;) {
		if (TRY(parse_open(r, v)))
			open[level++] = (struct open_value){v, 0};
		for (;;) {
			str key = STR_NULL;
			int more;

			if (level == 0) {
				*ret_value = root;
				return 0;
			}
			more = open[level - 1].v->kind == JSON_ARRAY ? json_array_next(r)
								     : json_object_next(r, &key);
			if (TRY(more)) {
				v = child_new(r->arena, &open[level - 1], key);
				break;
			}
			level--;
		}
	}
}

int json_parse(struct arena *arena, str text, unsigned depth_max, struct json_value **ret_value,
	size_t *ret_offset)
{
	struct json_reader r;
	struct json_value *v;
	int rc;

	json_reader_init(&r, text, arena, depth_max);
	rc = json_parse_value(&r, &v);
	if (rc >= 0)
		rc = json_end(&r);
	if (rc < 0) {
		if (ret_offset)
			*ret_offset = json_error_offset(&r);
		return rc;
	}
	*ret_value = v;
	return 0;
}

const struct json_value *json_get(const struct json_value *v, str key)
{
	if (!v || v->kind != JSON_OBJECT)
		return NULL;
	for (uint32_t i = v->count; i-- > 0;)
		if (str_eq(v->members[i].key, key))
			return &v->members[i].value;
	return NULL;
}

const struct json_value *json_get_path(const struct json_value *v, str dotted)
{
	str part;

	while (v && str_split(&dotted, '.', &part))
		v = json_get(v, part);
	return v;
}

const struct json_value *json_at(const struct json_value *v, size_t index)
{
	return v && v->kind == JSON_ARRAY && index < v->count ? &v->items[index] : NULL;
}
