/*
 * JSON (RFC 8259): a strict pull reader, a small tree on top of it, and a writer.
 *
 * The reader is a cursor over a str. It copies nothing but strings with escapes (into an arena),
 * validates UTF-8, keeps the exact text of numbers and refuses what the RFC refuses: a byte order
 * mark, comments, trailing commas, leading zeros, control characters in strings, lone surrogates
 * (they have no UTF-8 form). Duplicate keys are the caller's affair. Depth is bounded; the size of
 * the text is bounded by whoever read it in.
 *
 *     TRY(json_object_begin(&r));
 *     while (TRY(json_object_next(&r, &key)))
 *             if (str_eq(key, STR("TableName")))
 *                     TRY(json_string(&r, &name));
 *             else
 *                     TRY(json_skip(&r));
 *     TRY(json_end(&r));
 *
 * Each value that is announced must be read or skipped before the next _next. Results: ERR_SYNTAX
 * for what is not JSON (ERR_EOF when the text ends too early), ERR_INVALID for JSON of another kind
 * than asked for, ERR_DEPTH, ERR_RANGE. After an error only json_error_offset() is of use.
 *
 * Pure; any thread, one owner at a time. Nothing here recurses.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/rc.h"

enum {
	JSON_DEPTH_MAX = 256,    /* what a reader can be asked to allow */
	JSON_DEPTH_DEFAULT = 100 /* objects and arrays inside one another */
};

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_reader {
	const char *at, *end;
	const char *begin;
	struct arena *arena; /* for strings with escapes */
	uint16_t depth, depth_max;
	bool fresh; /* just behind '{' or '[' */
};

/* `depth_max` is clipped to JSON_DEPTH_MAX; 0 allows scalars only. `text` outlives the reader. */
static inline void json_reader_init(
	struct json_reader *r, str text, struct arena *arena, unsigned depth_max)
{
	*r = (struct json_reader){
		.at = text.p,
		.begin = text.p,
		.end = text.p + text.n,
		.arena = arena,
		.depth_max = (uint16_t)(depth_max < JSON_DEPTH_MAX ? depth_max : JSON_DEPTH_MAX),
	};
}

/* Offset in bytes of the place that the last error is about. */
static inline size_t json_error_offset(const struct json_reader *r)
{
	return (size_t)(r->at - r->begin);
}

/* The kind of the next value, by its first byte: an enum json_kind, ERR_SYNTAX or ERR_EOF. */
must_use int json_peek(struct json_reader *r);

/* Between these two, json_object_next() gives each key and 0 behind the last. */
must_use static inline int json_object_begin(struct json_reader *r);
must_use static inline int json_object_next(struct json_reader *r, str *ret_key);
/* The same for arrays: 1 when an element follows, 0 behind the last. */
must_use static inline int json_array_begin(struct json_reader *r);
must_use static inline int json_array_next(struct json_reader *r);

/* The string's value: a part of the text, or in the arena when it had escapes. */
must_use int json_string(struct json_reader *r, str *ret_value);
/* The number's exact text. */
must_use int json_number(struct json_reader *r, str *ret_text);
/* A number without fraction and exponent, else ERR_INVALID; ERR_RANGE when it does not fit. */
must_use int json_i64(struct json_reader *r, int64_t *ret_value);
/* Any number as the nearest double; ERR_RANGE when it overflows. */
must_use int json_double(struct json_reader *r, double *ret_value);
must_use int json_bool(struct json_reader *r, bool *ret_value);
must_use int json_null(struct json_reader *r);
/* Reads and validates a whole value; strings in it are not copied. */
must_use int json_skip(struct json_reader *r);
/* As json_skip(), and gives the value's exact text. */
must_use int json_raw(struct json_reader *r, str *ret_text);
/* Nothing but white space may be left. */
must_use int json_end(struct json_reader *r);

/*
 * The tree: for documents that are looked at more than once (policies, events, templates). Values
 * live in the arena, strings without escapes in the text. Members keep their order; of equal keys
 * look-ups find the last.
 */
struct json_value {
	enum json_kind kind;
	bool boolean;   /* JSON_BOOL */
	uint32_t count; /* JSON_ARRAY, JSON_OBJECT */
	union {
		str text; /* JSON_STRING: value; JSON_NUMBER: exact text */
		struct json_value *items;
		struct json_member *members;
	};
};

struct json_member {
	str key;
	struct json_value value;
};

/* Parses a whole text. At an error *ret_offset (may be NULL) says where. */
must_use int json_parse(struct arena *arena, str text, unsigned depth_max,
	struct json_value **ret_value, size_t *ret_offset);
/* Parses the reader's next value. */
must_use int json_parse_value(struct json_reader *r, struct json_value **ret_value);
/* The member's value; NULL when absent, when `v` is NULL or not an object. So look-ups chain. */
const struct json_value *json_get(const struct json_value *v, str key);
/* As above for "a.b.c" in nested objects. */
const struct json_value *json_get_path(const struct json_value *v, str dotted);
/* The element; NULL when out of range, when `v` is NULL or not an array. */
const struct json_value *json_at(const struct json_value *v, size_t index);
/* The text when `v` is a string, else STR_NULL. */
static inline str json_text(const struct json_value *v)
{
	return v && v->kind == JSON_STRING ? v->text : STR_NULL;
}

/*
 * The writer: compact text into a buf, which carries the limit (ask `out->over` at the end).
 * Commas are its affair, balance and keys the caller's.
 */
struct json_writer {
	struct buf *out;
	bool comma; /* something stands before on this level */
};

static inline void json_writer_init(struct json_writer *w, struct buf *out)
{
	*w = (struct json_writer){.out = out};
}

static inline void json_put_comma_(struct json_writer *w)
{
	if (w->comma)
		buf_put_char(w->out, ',');
	w->comma = true;
}

static inline void json_put_begin_(struct json_writer *w, char c)
{
	json_put_comma_(w);
	buf_put_char(w->out, c);
	w->comma = false;
}

static inline void json_put_end_(struct json_writer *w, char c)
{
	buf_put_char(w->out, c);
	w->comma = true;
}

static inline void json_put_object_begin(struct json_writer *w)
{
	json_put_begin_(w, '{');
}
static inline void json_put_object_end(struct json_writer *w)
{
	json_put_end_(w, '}');
}
static inline void json_put_array_begin(struct json_writer *w)
{
	json_put_begin_(w, '[');
}
static inline void json_put_array_end(struct json_writer *w)
{
	json_put_end_(w, ']');
}

/* Quotes and escapes `s`, valid UTF-8, at the end of `out`: only '"', '\\' and controls. */
void json_put_quoted(struct buf *out, str s);
/* As above for bytes of any origin: what is not UTF-8 becomes U+FFFD. */
void json_put_quoted_lossy(struct buf *out, str s);

void json_put_key(struct json_writer *w, str key);
void json_put_string(struct json_writer *w, str s);
/* STR_NULL becomes null. */
void json_put_string_or_null(struct json_writer *w, str s);
void json_put_i64(struct json_writer *w, int64_t v);
void json_put_u64(struct json_writer *w, uint64_t v);
/* The shortest text that reads back as `v`; NaN and the infinities become null. */
void json_put_double(struct json_writer *w, double v);
void json_put_bool(struct json_writer *w, bool v);
void json_put_null(struct json_writer *w);
/* `text` is one JSON value already, such as what json_raw() or json_number() gave. */
void json_put_raw(struct json_writer *w, str text);
/* A whole tree. */
void json_put_value(struct json_writer *w, const struct json_value *v);

/* One member of an object: key and value. */
static inline void json_put_key_string(struct json_writer *w, str key, str s)
{
	json_put_key(w, key);
	json_put_string(w, s);
}

/* What follows is only here to be inlined. */

/* The code for a byte that cannot stand here: another kind of value, the end, or no JSON. */
must_use int json_unexpected_(struct json_reader *r);

static inline void json_space_(struct json_reader *r)
{
	while (r->at < r->end && (unsigned char)*r->at <= ' ' &&
		(*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
		r->at++;
}

must_use static inline int json_begin_(struct json_reader *r, char open)
{
	json_space_(r);
	if (unlikely(r->at == r->end || *r->at != open))
		return json_unexpected_(r);
	if (unlikely(r->depth == r->depth_max))
		return ERR_DEPTH;
	r->depth++;
	r->at++;
	r->fresh = true;
	return 0;
}

/* 1 in front of a key or an element, 0 behind the closing bracket. */
must_use static inline int json_next_(struct json_reader *r, char close)
{
	bool fresh = r->fresh;

	json_space_(r);
	r->fresh = false;
	if (unlikely(r->at == r->end))
		return ERR_EOF;
	if (*r->at == close) {
		if (unlikely(r->depth == 0))
			return ERR_SYNTAX;
		r->depth--;
		r->at++;
		return 0;
	}
	if (fresh)
		return 1;
	if (unlikely(*r->at != ','))
		return ERR_SYNTAX;
	r->at++;
	json_space_(r);
	return 1;
}

static inline int json_object_begin(struct json_reader *r)
{
	return json_begin_(r, '{');
}

static inline int json_object_next(struct json_reader *r, str *ret_key)
{
	if (TRY(json_next_(r, '}')) == 0)
		return 0;
	if (unlikely(r->at == r->end || *r->at != '"'))
		return r->at == r->end ? ERR_EOF : ERR_SYNTAX;
	TRY(json_string(r, ret_key));
	json_space_(r);
	if (unlikely(r->at == r->end || *r->at != ':'))
		return r->at == r->end ? ERR_EOF : ERR_SYNTAX;
	r->at++;
	return 1;
}

static inline int json_array_begin(struct json_reader *r)
{
	return json_begin_(r, '[');
}

static inline int json_array_next(struct json_reader *r)
{
	return json_next_(r, ']');
}

#endif
