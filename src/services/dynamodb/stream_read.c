/*
 * GetRecords, and the look at a shard that it shares with the port for event sources.
 *
 * The answer is rendered straight from the stored items.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
 */
#include "services/dynamodb/streams.h"

#include "base/check.h"
#include "base/json.h"
#include "base/rc.h"
#include "kv/kv.h"
#include "services/dynamodb/request.h"

enum { EVENT_ID_BYTES = 2 * MD5_BYTES };

/* ---- a record's text ---- */

static const str event_names[] = {
	[STREAM_INSERT] = STR_INIT("INSERT"),
	[STREAM_MODIFY] = STR_INIT("MODIFY"),
	[STREAM_REMOVE] = STR_INIT("REMOVE"),
};

static void put_text(struct json_writer *w, str key, str text)
{
	json_put_key(w, key);
	json_put_string(w, text);
}

/* The same each time that the record is read. */
static void put_event_id(struct json_writer *w, uint64_t id, uint8_t bucket, uint64_t stamp)
{
	char bytes[8 + 1 + 8], text[EVENT_ID_BYTES];
	uint8_t digest[MD5_BYTES];

	memcpy(bytes, &(uint64_t){__builtin_bswap64(id)}, 8);
	bytes[8] = (char)bucket;
	memcpy(bytes + 9, &(uint64_t){__builtin_bswap64(stamp)}, 8);
	md5_of(str_of(bytes, sizeof bytes), digest);
	hex_encode(digest, sizeof digest, text);
	put_text(w, STR("eventID"), str_of(text, sizeof text));
}

static void put_image(struct json_writer *w, str key, str item)
{
	if (!item.p)
		return;
	json_put_key(w, key);
	item_write_json(w, item);
}

static void put_change(struct json_writer *w, uint64_t stamp, const struct stream_record *r)
{
	char sequence[STREAM_SEQUENCE_BYTES];

	stream_sequence_text(stamp, sequence);
	json_put_key(w, STR("dynamodb"));
	json_put_object_begin(w);
	json_put_key(w, STR("ApproximateCreationDateTime"));
	json_put_i64(w, r->wall_ms / 1000);
	put_image(w, STR("Keys"), r->keys);
	put_image(w, STR("NewImage"), r->new_image);
	put_image(w, STR("OldImage"), r->old_image);
	put_text(w, STR("SequenceNumber"), str_of(sequence, sizeof sequence));
	json_put_key(w, STR("SizeBytes"));
	json_put_i64(w, (int64_t)stream_record_size(r));
	put_text(w, STR("StreamViewType"), stream_view_name(r->view));
	json_put_object_end(w);
}

void stream_record_render(struct json_writer *w, const struct stream *s,
	const struct stream_shard *h, uint64_t stamp, const struct stream_record *r, str arn)
{
	json_put_object_begin(w);
	put_event_id(w, s->id, h->bucket, stamp);
	put_text(w, STR("eventName"), event_names[r->event]);
	put_text(w, STR("eventVersion"), STR("1.1"));
	put_text(w, STR("eventSource"), STR("aws:dynamodb"));
	put_text(w, STR("awsRegion"), s->region);
	put_change(w, stamp, r);
	if (r->by_expiry) {
		/* https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
		 */
		json_put_key(w, STR("userIdentity"));
		json_put_object_begin(w);
		put_text(w, STR("PrincipalId"), STR("dynamodb.amazonaws.com"));
		put_text(w, STR("Type"), STR("Service"));
		json_put_object_end(w);
	}
	if (arn.p)
		put_text(w, STR("eventSourceARN"), arn);
	json_put_object_end(w);
}

/* ---- the look at a shard ---- */

static int read_records(struct kv *kv, struct arena *a, struct stream_look *look,
	const struct stream_shard *h, uint64_t horizon)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	uint64_t last = h->state == SHARD_CLOSED ? MIN(h->last, horizon) : horizon;
	struct kv_range range = {.limit = (unsigned)look->records_max};
	size_t bytes = 0;
	str key, value;

	stream_shard_range(a, look->stream->id, h, MAX(look->after, h->trimmed), horizon, &range);
	TRY(kv_scan_open(kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		struct stream_record record;
		uint64_t stamp;

		if (look->count && bytes + value.n > look->bytes_max)
			return LOOK_DONE;
		TRY(stream_key_stamp(key, &stamp));
		TRY(stream_record_decode(value, &record));
		if (TRY(look->each(look->arg, look->stream, h, stamp, &record)))
			return LOOK_DONE;
		bytes += value.n;
		look->next = stamp;
		if (++look->count == look->records_max)
			return LOOK_DONE;
	}
	look->next = MAX(look->next, last);
	look->all = true;
	look->ended = h->state == SHARD_CLOSED && last == h->last;
	return LOOK_DONE;
}

int stream_look(struct kv *kv, struct arena *a, struct stream_look *look)
{
	const struct stream_arn_parts *at = &look->at;
	const struct stream_shard *h;
	uint64_t horizon;

	look->stream = arena_new(a, struct stream);
	look->count = 0;
	look->next = look->after;
	look->all = look->ended = false;
	if (!TRY(stream_find(kv, a, at->account, at->region, at->table, at->label, look->stream)))
		return LOOK_NO_STREAM;
	h = stream_shard_named(look->stream, look->shard);
	if (!h)
		return LOOK_NO_SHARD;
	TRY(kv_horizon(kv, stream_bucket_prefix(a, look->stream->id, h->bucket), &horizon));
	/* Again: whether the shard is open has to be known later than the horizon is. */
	if (!TRY(stream_find(kv, a, at->account, at->region, at->table, at->label, look->stream)))
		return LOOK_NO_STREAM;
	h = stream_shard_named(look->stream, look->shard);
	if (!h)
		return LOOK_NO_SHARD;
	if (!look->trim_horizon && look->after < h->trimmed && h->trimmed > h->after)
		return LOOK_TRIMMED;
	/* Its end, or its beginning, will be known in a moment. */
	if (h->state == SHARD_CLOSING || look->stream->phase == STREAM_ENABLING)
		return LOOK_DONE;
	return read_records(kv, a, look, h, horizon);
}

int stream_latest(struct kv *kv, struct arena *a, const struct stream *s,
	const struct stream_shard *h, uint64_t *ret_after)
{
	if (h->state == SHARD_CLOSED) {
		*ret_after = h->last;
		return 0;
	}
	return kv_horizon(kv, stream_bucket_prefix(a, s->id, h->bucket), ret_after);
}

/* ---- GetRecords ---- */

static int render_each(void *arg, const struct stream *s, const struct stream_shard *h,
	uint64_t stamp, const struct stream_record *record)
{
	stream_record_render(arg, s, h, stamp, record, STR_NULL);
	return 0;
}

/* Looks, and once more from the start when the engine gave a scan up. */
static int look_and_render(struct call *c, struct stream_look *look)
{
	struct json_writer w;
	int rc;

	do {
		if (rt_now() >= c->deadline_ns)
			return ERR_TIMEOUT;
		buf_reset(&c->raw_out);
		json_writer_init(&w, &c->raw_out);
		json_put_object_begin(&w);
		json_put_key(&w, STR("Records"));
		json_put_array_begin(&w);
		look->each = render_each;
		look->arg = &w;
		rc = stream_look(dynamodb_of(c)->kv, c->arena, look);
	} while (rc == ERR_CONFLICT);
	json_put_array_end(&w);
	return rc;
}

static int get(
	struct call *c, const struct stream_iterator *it, const struct hmac_key *key, int64_t limit)
{
	struct stream_look look = {.shard = it->shard,
		.after = it->after,
		.trim_horizon = it->trim_horizon,
		.records_max = (size_t)limit,
		.bytes_max = STREAM_READ_BYTES_MAX};
	struct stream_iterator next = *it;

	check(stream_arn_parse(it->arn, &look.at));
	if (!str_eq(look.at.account, c->account) || !str_eq(look.at.region, c->region))
		return stream_not_found(c, it->arn);
	switch (TRY(look_and_render(c, &look))) {
	case LOOK_NO_STREAM: return stream_not_found(c, it->arn);
	case LOOK_NO_SHARD:
	case LOOK_TRIMMED: return stream_trimmed(c);
	default: break;
	}
	if (!look.ended) {
		next.issued_ms = c->wall_ms;
		next.after = look.next;
		next.trim_horizon = it->trim_horizon && look.next == it->after;
		buf_put(&c->raw_out, STR(",\"NextShardIterator\":"));
		json_put_quoted(&c->raw_out, stream_iterator_encode(c->arena, key, &next));
	}
	buf_put_char(&c->raw_out, '}');
	return 0;
}

int dynamodb_get_records(struct call *c)
{
	const struct value *in;
	struct stream_iterator it;
	const struct hmac_key *key;

	TRY(dynamodb_read_by_model(c, &in));
	TRY(stream_iterator_key(c, &key));
	if (!stream_iterator_decode(c->arena, key, value_str(in, "ShardIterator"), &it))
		return call_fault(c, DYNAMODB_FAULT(VALIDATION), "Invalid ShardIterator");
	if (c->wall_ms - it.issued_ms > ITERATOR_VALID_MS)
		return call_fault(c, DYNAMODB_FAULT(EXPIRED_ITERATOR),
			"The shard iterator has expired. An iterator is valid for 15 minutes after "
			"it was retrieved.");
	return get(c, &it, key, value_int(in, "Limit", STREAM_READ_RECORDS_MAX));
}
