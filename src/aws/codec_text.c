/*
 * Scalars as bare text: path labels, query strings, headers, form parameters, XML (codec.h).
 */
#include "aws/codec.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/time.h"

static int read_number(struct value *to, unsigned kind, str text)
{
	struct json_reader r;

	if (kind == SHAPE_INTEGER || kind == SHAPE_LONG) {
		TRY(str_to_i64(text, &to->i));
		return kind == SHAPE_INTEGER && (to->i < INT32_MIN || to->i > INT32_MAX) ? ERR_RANGE
											 : 0;
	}
	json_reader_init(&r, text, NULL, 0);
	TRY(json_double(&r, &to->d));
	return json_end(&r);
}

static int read_time(struct value *to, unsigned flags, unsigned time_default, str text)
{
	const unsigned all = MEMBER_TIME_ISO | MEMBER_TIME_HTTP | MEMBER_TIME_EPOCH;
	unsigned format = flags & all ? flags & all : time_default;

	if (format & MEMBER_TIME_HTTP)
		return time_parse_http(text, &to->i);
	if (format & MEMBER_TIME_EPOCH)
		return time_parse_epoch(text, &to->i);
	return time_parse_iso(text, &to->i);
}

static int read_bytes(struct value *to, struct arena *a, str text)
{
	uint8_t *bytes = (uint8_t *)arena_bytes(a, base64_bytes_max(text.n) + 1);
	size_t n;

	TRY(base64_decode(text, bytes, &n));
	to->s = str_of(bytes, n);
	return 0;
}

int codec_text_read(struct value *to, const struct value_tree *tree, unsigned shape,
	unsigned member_flags, unsigned time_default, str text, str *ret_message)
{
	static const char *const names[] = {
		[SHAPE_INTEGER] = "an Integer",
		[SHAPE_LONG] = "a Long",
		[SHAPE_FLOAT] = "a Float",
		[SHAPE_DOUBLE] = "a Double",
		[SHAPE_BOOLEAN] = "a Boolean",
		[SHAPE_BLOB] = "a Blob",
		[SHAPE_TIMESTAMP] = "a Timestamp",
	};
	unsigned kind = tree->model->shapes[shape].kind;
	int rc = 0;

	*to = (struct value){.kind = (uint8_t)kind, .shape = (uint16_t)shape};
	switch (kind) {
	case SHAPE_STRING:
	case SHAPE_DOCUMENT:
		to->s = text.p ? text : STR("");
		if (str_is_utf8(text))
			return 0;
		*ret_message = STR("A parameter is not UTF-8 text");
		return ERR_FAULT;
	case SHAPE_INTEGER:
	case SHAPE_LONG:
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE: rc = read_number(to, kind, text); break;
	case SHAPE_BOOLEAN:
		to->b = str_eq_nocase(text, STR("true"));
		rc = to->b || str_eq_nocase(text, STR("false")) ? 0 : ERR_SYNTAX;
		break;
	case SHAPE_TIMESTAMP: rc = read_time(to, member_flags, time_default, text); break;
	case SHAPE_BLOB: rc = read_bytes(to, tree->arena, text); break;
	default: check_unreachable();
	}
	if (rc >= 0)
		return 0;
	*ret_message =
		arena_printf(tree->arena, "STRING_VALUE can not be converted to %s", names[kind]);
	return ERR_FAULT;
}

void codec_text_write(
	struct buf *out, const struct value *v, unsigned member_flags, unsigned time_default)
{
	const unsigned all = MEMBER_TIME_ISO | MEMBER_TIME_HTTP | MEMBER_TIME_EPOCH;
	unsigned format = member_flags & all ? member_flags & all : time_default;
	struct json_writer w;

	switch (v->kind) {
	case SHAPE_STRING:
	case SHAPE_DOCUMENT: buf_put(out, v->s); break;
	case SHAPE_BLOB: base64_put(out, v->s); break;
	case SHAPE_INTEGER:
	case SHAPE_LONG: buf_put_i64(out, v->i); break;
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE:
		json_writer_init(&w, out);
		json_put_double(&w, v->d);
		break;
	case SHAPE_BOOLEAN: buf_put(out, v->b ? STR("true") : STR("false")); break;
	case SHAPE_TIMESTAMP:
		if (format & MEMBER_TIME_HTTP)
			time_put_http(out, v->i);
		else if (format & MEMBER_TIME_EPOCH)
			time_put_epoch(out, v->i);
		else if (v->i % 1000)
			time_put_iso_ms(out, v->i);
		else
			time_put_iso(out, v->i);
		break;
	default: check_unreachable();
	}
}
