/*
 * Streams in transactions, their keys, and waking who waits for records.
 */
#include "services/dynamodb/stream.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/rc.h"
#include "base/time.h"
#include "kv/kv.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/write.h"

enum { STAMP_BYTES = 8 };

static const str view_names[] = {
	[VIEW_KEYS_ONLY] = STR_INIT("KEYS_ONLY"),
	[VIEW_NEW_IMAGE] = STR_INIT("NEW_IMAGE"),
	[VIEW_OLD_IMAGE] = STR_INIT("OLD_IMAGE"),
	[VIEW_NEW_AND_OLD_IMAGES] = STR_INIT("NEW_AND_OLD_IMAGES"),
};

str stream_view_name(enum table_stream_view view)
{
	return view_names[view];
}

int stream_view_from_name(str name, enum table_stream_view *ret_view)
{
	for (size_t i = 0; i < ARRAY_SIZE(view_names); i++)
		if (str_eq(view_names[i], name)) {
			*ret_view = (enum table_stream_view)i;
			return 1;
		}
	return 0;
}

str stream_arn(struct arena *a, const struct table *t, str label)
{
	return ARENA_CONCAT(a, t->arn, STR("/stream/"), label);
}

/* ---- keys ---- */

str stream_key(struct arena *a, str account, str region, str table, str label)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_begin(&key, KEYSPACE_DYNAMODB_STREAMS, account, region);
	keyspace_put(&key, table);
	keyspace_put(&key, label);
	return buf_str(&key);
}

str stream_bucket_prefix(struct arena *a, uint64_t id, uint8_t bucket)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_DYNAMODB_STREAM_RECORDS);
	buf_put_be64(&key, id);
	buf_put_char(&key, (char)bucket);
	return buf_str(&key);
}

/* The key with that stamp: the first record that is not below it. */
static str record_key(struct arena *a, str prefix, uint64_t stamp)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	buf_put(&key, prefix);
	buf_put_be64(&key, stamp);
	return buf_str(&key);
}

void stream_shard_range(struct arena *a, uint64_t id, const struct stream_shard *h, uint64_t after,
	uint64_t horizon, struct kv_range *range)
{
	str prefix = stream_bucket_prefix(a, id, h->bucket);
	uint64_t last = h->state == SHARD_CLOSED ? MIN(h->last, horizon) : horizon;

	range->to = last == UINT64_MAX ? keyspace_prefix_end(a, prefix)
				       : record_key(a, prefix, last + 1);
	range->from = after >= last ? range->to : record_key(a, prefix, after + 1);
}

int stream_key_stamp(str key, uint64_t *ret_stamp)
{
	str end = str_from(key, key.n < STAMP_BYTES ? 0 : key.n - STAMP_BYTES);

	return str_take_be64(&end, ret_stamp) ? 0 : ERR_CORRUPT;
}

int stream_find(struct kv *kv, struct arena *a, str account, str region, str table, str label,
	struct stream *ret_stream)
{
	str document;

	if (!TRY(kv_get(kv, stream_key(a, account, region, table, label), a, &document)))
		return 0;
	TRY(stream_decode(a, document, ret_stream));
	return 1;
}

/* ---- records ---- */

/* The key attributes alone. */
static str keys_of(struct arena *a, const struct item_change *change)
{
	struct buf keys;

	buf_init(&keys, a, KEY_BYTES_MAX);
	check(key_to_item(change->key, &change->table->keys, &keys) == 0);
	return buf_str(&keys);
}

void stream_put(struct kv_txn *txn, struct arena *a, const struct item_change *change)
{
	const struct table_stream *s = &change->table->stream;
	struct stream_record r = {.event = change->old_item.p ? STREAM_MODIFY : STREAM_INSERT,
		.by_expiry = change->by_expiry,
		.view = s->view,
		.wall_ms = rt_wall() / RT_NS_MS,
		.old_image = STR_NULL,
		.new_image = STR_NULL};
	struct buf value;
	str prefix;

	if (!s->id || (!change->old_item.p && !change->new_item.p) ||
		(change->old_item.p && change->new_item.p &&
			str_eq(change->old_item, change->new_item)))
		return;
	if (!change->new_item.p)
		r.event = STREAM_REMOVE;
	r.keys = keys_of(a, change);
	if (s->view == VIEW_OLD_IMAGE || s->view == VIEW_NEW_AND_OLD_IMAGES)
		r.old_image = change->old_item;
	if (s->view == VIEW_NEW_IMAGE || s->view == VIEW_NEW_AND_OLD_IMAGES)
		r.new_image = change->new_item;
	buf_init(&value, a, STREAM_RECORD_MAX);
	stream_record_encode(&value, &r);
	check(!value.over);
	prefix = stream_bucket_prefix(a, s->id, 0);
	kv_txn_put_stamped(txn, prefix, prefix, STR(""), buf_str(&value), KV_NO_STAMP);
}

/* ---- beginning and end ---- */

/* The label of that time, or of the next millisecond in which this table began no stream. */
static int new_label(
	struct kv_txn *txn, struct arena *a, const struct table *t, int64_t now_ms, str *ret_label)
{
	str document;

	for (;; now_ms++) {
		struct buf text;

		buf_init(&text, a, TIME_TEXT_MAX);
		time_put_iso_ms(&text, now_ms);
		*ret_label = str_sub(buf_str(&text), 0, STREAM_LABEL_BYTES); /* without the Z */
		if (!TRY(kv_txn_get(txn, stream_key(a, t->account, t->region, t->name, *ret_label),
			    a, &document)))
			return 0;
	}
}

static int create(struct kv_txn *txn, struct arena *a, struct table *t, uint64_t id,
	enum table_stream_view view, enum stream_phase phase, int64_t now_ms)
{
	struct stream *s = arena_new(a, struct stream);

	check(!t->stream.id && id);
	*s = (struct stream){.id = id,
		.account = t->account,
		.region = t->region,
		.table = t->name,
		.table_id = t->id,
		.view = view,
		.partition = t->partition.name,
		.sort = t->sort.name,
		.created_ms = now_ms,
		.phase = phase,
		.shard_count = STREAM_BUCKETS};
	TRY(new_label(txn, a, t, now_ms, &s->label));
	for (uint8_t i = 0; i < STREAM_BUCKETS; i++)
		s->shards[i] = (struct stream_shard){.id = stream_shard_id(a, now_ms),
			.parent = STR_NULL,
			.bucket = i,
			.created_ms = now_ms};
	kv_txn_put_covered(
		txn, stream_key(a, t->account, t->region, t->name, s->label), stream_encode(a, s));
	t->stream = (struct table_stream){.id = id, .label = s->label, .view = view};
	t->last_stream_label = s->label;
	return 0;
}

int stream_create_txn(struct kv_txn *txn, struct arena *a, struct table *t, uint64_t id,
	enum table_stream_view view, int64_t now_ms)
{
	return create(txn, a, t, id, view, STREAM_RUNNING, now_ms);
}

int stream_enable_txn(struct kv_txn *txn, struct arena *a, struct table *t, uint64_t id,
	enum table_stream_view view, int64_t now_ms)
{
	return create(txn, a, t, id, view, STREAM_ENABLING, now_ms);
}

int stream_end_txn(struct kv_txn *txn, struct arena *a, struct table *t, int64_t now_ms)
{
	struct stream *s = arena_new(a, struct stream);
	str key, document;

	if (!t->stream.id)
		return 0;
	key = stream_key(a, t->account, t->region, t->name, t->stream.label);
	t->stream = (struct table_stream){.id = 0, .label = STR_NULL};
	if (!TRY(kv_txn_get(txn, key, a, &document)))
		return ERR_CORRUPT;
	TRY(stream_decode(a, document, s));
	s->disabled_ms = now_ms;
	kv_txn_put_covered(txn, key, stream_encode(a, s));
	return 0;
}

void stream_changed(struct dynamodb *d)
{
	dynamodb_wake(d, WORKER_STREAMS);
}

str stream_shard_id(struct arena *a, int64_t now_ms)
{
	return arena_printf(
		a, "shardId-%020lld-%08x", (long long)now_ms, (unsigned)(uint32_t)rt_random());
}

/* ---- waiting ---- */

void stream_waits_init(struct stream_waits *all)
{
	pthread_mutex_init(&all->lock, NULL);
	list_init(&all->list);
}

void stream_waits_done(struct stream_waits *all)
{
	check(list_empty(&all->list));
	pthread_mutex_destroy(&all->lock);
}

void stream_wait_begin(struct stream_waits *all, struct stream_wait *wait, uint64_t stream_id)
{
	rt_event_init(&wait->event);
	wait->stream_id = stream_id;
	pthread_mutex_lock(&all->lock);
	list_push_back(&all->list, &wait->link);
	pthread_mutex_unlock(&all->lock);
	atomic_fetch_add(&all->count, 1);
}

void stream_wait_end(struct stream_waits *all, struct stream_wait *wait)
{
	atomic_fetch_sub(&all->count, 1);
	pthread_mutex_lock(&all->lock);
	list_remove(&wait->link);
	pthread_mutex_unlock(&all->lock);
}

void stream_notify(struct stream_waits *all, const struct table *t)
{
	if (!t->stream.id || !atomic_load(&all->count))
		return;
	pthread_mutex_lock(&all->lock);
	list_for_each(at, &all->list) {
		struct stream_wait *wait = list_entry(at, struct stream_wait, link);

		if (wait->stream_id == t->stream.id)
			rt_event_set(&wait->event);
	}
	pthread_mutex_unlock(&all->lock);
}
