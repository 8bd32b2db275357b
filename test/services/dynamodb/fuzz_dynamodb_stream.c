/*
 * Stored forms of streams and of time to live, iterators, ARNs: any bytes are refused or
 * understood, and what is understood comes back from its encoding.
 */
#include "base/check.h"
#include "base/rc.h"
#include "services/dynamodb/stream_codec.h"
#include "services/dynamodb/stream_iterator.h"
#include "services/dynamodb/ttl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void record(struct arena *a, str in)
{
	struct stream_record r, again;
	struct buf out;
	int rc = stream_record_decode(in, &r);

	check(rc == 0 || rc == ERR_CORRUPT || rc == ERR_VERSION);
	if (rc < 0)
		return;
	buf_init(&out, a, STREAM_RECORD_MAX);
	stream_record_encode(&out, &r);
	/* A length may have been written with more bytes than it needs. */
	check(out.n <= in.n);
	check(stream_record_decode(buf_str(&out), &again) == 0);
	check(again.event == r.event && again.by_expiry == r.by_expiry && again.view == r.view &&
		again.wall_ms == r.wall_ms && str_eq(again.keys, r.keys) &&
		str_eq(again.old_image, r.old_image) && str_eq(again.new_image, r.new_image));
	if (item_is_valid(r.keys) && (!r.old_image.p || item_is_valid(r.old_image)) &&
		(!r.new_image.p || item_is_valid(r.new_image)))
		check(stream_record_size(&r) <= 64 * in.n);
}

static void document(struct arena *a, str in)
{
	struct stream *s = arena_new(a, struct stream), *again = arena_new(a, struct stream);
	int rc = in.n > STREAM_DOCUMENT_MAX ? ERR_CORRUPT : stream_decode(a, in, s);
	str once;

	check(rc == 0 || rc == ERR_CORRUPT || rc == ERR_VERSION);
	if (rc < 0)
		return;
	once = stream_encode(a, s);
	check(once.n <= in.n && stream_decode(a, once, again) == 0);
	check(str_eq(once, stream_encode(a, again)));
}

static void mark(struct arena *a, str in)
{
	struct ttl_mark m, again;
	struct buf out;

	if (ttl_mark_decode(in, &m) < 0)
		return;
	buf_init(&out, a, SIZE_MAX / 2);
	ttl_mark_encode(&out, &m);
	check(ttl_mark_decode(buf_str(&out), &again) == 0);
	check(again.table_id == m.table_id && again.state == m.state &&
		str_eq(again.table, m.table) && str_eq(again.attribute, m.attribute));
}

static void iterator(struct arena *a, str in)
{
	struct stream_iterator it;
	struct stream_arn_parts parts;
	struct hmac_key key;

	hmac_key_init(&key, STR("not known to the input"));
	check(!stream_iterator_decode(a, &key, in, &it));
	if (stream_arn_parse(in, &parts))
		check(str_eq(
			in, arena_printf(a, "arn:aws:dynamodb:%.*s:%.*s:table/%.*s/stream/%.*s",
				    STR_ARG(parts.region), STR_ARG(parts.account),
				    STR_ARG(parts.table), STR_ARG(parts.label))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	uint64_t stamp;

	arena_init(&a, SIZE_MAX);
	record(&a, str_of(data, n));
	document(&a, str_of(data, n));
	mark(&a, str_of(data, n));
	if (n && !memchr(data, 0, n)) /* printf ends there */
		iterator(&a, str_of(data, n));
	if (stream_sequence_parse(str_of(data, n), &stamp))
		check(str_eq(stream_sequence(&a, stamp), str_of(data, n)));
	return 0;
}
