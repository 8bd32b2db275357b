/*
 * The codec of stored structures (record.h). Pure.
 */
#include "services/iam/record.h"

#include "base/check.h"

enum { RECORD_FORMAT = 1 };

static const void *field_of(const void *record, const struct record_field *f)
{
	return (const char *)record + f->offset;
}

static uint64_t zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static void put_str(struct buf *out, str s)
{
	buf_put_varint(out, s.n);
	buf_put(out, s);
}

static bool is_zero(const struct record_field *f, const void *at)
{
	switch ((enum record_kind)f->kind) {
	case RECORD_STR: return ((const str *)at)->n == 0;
	case RECORD_INT: return *(const int64_t *)at == 0;
	case RECORD_PAIRS: return ((const struct iam_pairs *)at)->count == 0;
	case RECORD_STRS: return ((const struct iam_strs *)at)->count == 0;
	}
	check_unreachable();
}

static void put_field(struct buf *out, const struct record_field *f, const void *at)
{
	const struct iam_pairs *pairs = at;
	const struct iam_strs *strs = at;

	buf_put_char(out, (char)f->tag);
	switch ((enum record_kind)f->kind) {
	case RECORD_STR: put_str(out, *(const str *)at); break;
	case RECORD_INT: buf_put_varint(out, zigzag(*(const int64_t *)at)); break;
	case RECORD_PAIRS:
		buf_put_varint(out, pairs->count);
		for (uint32_t i = 0; i < pairs->count; i++) {
			put_str(out, pairs->items[i].key);
			put_str(out, pairs->items[i].value);
		}
		break;
	case RECORD_STRS:
		buf_put_varint(out, strs->count);
		for (uint32_t i = 0; i < strs->count; i++)
			put_str(out, strs->items[i]);
		break;
	}
}

str record_encode(struct arena *a, const struct record_type *type, const void *record)
{
	struct buf out;

	buf_init(&out, a, RECORD_BYTES_MAX);
	buf_put_char(&out, (char)type->type);
	buf_put_char(&out, RECORD_FORMAT);
	for (unsigned i = 0; i < type->field_count; i++) {
		const struct record_field *f = &type->fields[i];
		const void *at = field_of(record, f);

		if (!is_zero(f, at))
			put_field(&out, f, at);
	}
	check(!out.over);
	return buf_str(&out);
}

static bool take_str(str *in, str *ret)
{
	uint64_t n;

	return str_take_varint(in, &n) && n <= in->n && str_take(in, (size_t)n, ret);
}

static int take_field(struct arena *a, str *in, const struct record_field *f, void *at)
{
	struct iam_pairs *pairs = at;
	struct iam_strs *strs = at;
	uint64_t n;

	if (f->kind == RECORD_STR)
		return take_str(in, at) ? 0 : ERR_CORRUPT;
	if (!str_take_varint(in, &n))
		return ERR_CORRUPT;
	if (f->kind == RECORD_INT) {
		*(int64_t *)at = unzigzag(n);
		return 0;
	}
	if (n > RECORD_LIST_MAX)
		return ERR_CORRUPT;
	if (f->kind == RECORD_PAIRS) {
		pairs->items = arena_new_array(a, struct iam_pair, n);
		pairs->count = (uint32_t)n;
		for (uint32_t i = 0; i < n; i++)
			if (!take_str(in, &pairs->items[i].key) ||
				!take_str(in, &pairs->items[i].value))
				return ERR_CORRUPT;
		return 0;
	}
	strs->items = arena_new_array(a, str, n);
	strs->count = (uint32_t)n;
	for (uint32_t i = 0; i < n; i++)
		if (!take_str(in, &strs->items[i]))
			return ERR_CORRUPT;
	return 0;
}

static const struct record_field *field_tagged(const struct record_type *type, uint8_t tag)
{
	for (unsigned i = 0; i < type->field_count; i++)
		if (type->fields[i].tag == tag)
			return &type->fields[i];
	return NULL;
}

int record_decode(struct arena *a, const struct record_type *type, str bytes, void *ret_record)
{
	void *record = arena_zero(a, type->size);
	uint8_t kind, format, tag;

	if (!str_take_u8(&bytes, &kind) || !str_take_u8(&bytes, &format) || kind != type->type)
		return ERR_CORRUPT;
	if (format != RECORD_FORMAT)
		return ERR_VERSION;
	while (str_take_u8(&bytes, &tag)) {
		const struct record_field *f = field_tagged(type, tag);

		if (!f)
			return ERR_VERSION;
		TRY(take_field(a, &bytes, f, (char *)record + f->offset));
	}
	memcpy(ret_record, record, type->size);
	return 0;
}
