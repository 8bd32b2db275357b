/*
 * Stored forms of streams: any bytes are refused or understood, and what is understood is encoded
 * to the same bytes again.
 */
#include "base/check.h"
#include "base/rc.h"
#include "services/dynamodb/stream_codec.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	uint64_t stamp;

	arena_init(&a, SIZE_MAX);
	record(&a, str_of(data, n));
	document(&a, str_of(data, n));
	if (stream_sequence_parse(str_of(data, n), &stamp))
		check(str_eq(stream_sequence(&a, stamp), str_of(data, n)));
	return 0;
}
