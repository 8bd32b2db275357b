/*
 * Streams: what a table's writes leave for readers, in the order of their commits.
 *
 *     stream    [STREAMS][account][region][table][label]      a document, see stream_codec.h
 *     record    [STREAM_RECORDS][stream id][bucket][stamp]    a record, see stream_codec.h
 *
 * A stream is made, and ended, in the transaction that changes its table's record: its document is
 * covered by the table's key (kv.h), which everybody declares who writes one. Records are written
 * in the transaction of the item (write.h), so there is one for each acknowledged change.
 * A stream that was disabled, or whose table is gone, can be read for 24 hours more; then the
 * worker (stream_worker.c), which also closes shards and trims, removes it.
 *
 * The operations are in streams.c, the port for event sources in stream_source.c.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
 */
#ifndef DYNAMODB_STREAM_H
#define DYNAMODB_STREAM_H

#include "base/list.h"
#include "rt/rt.h"
#include "services/dynamodb/stream_codec.h"

#include <pthread.h>

struct dynamodb;
struct item_change;
struct kv;
struct kv_txn;

enum { STREAM_HOUR_MS = 3600 * 1000 };
enum {
	STREAM_SHARD_MS = 4 * STREAM_HOUR_MS, /* after which a shard is closed */
	STREAM_KEPT_MS = 24 * STREAM_HOUR_MS, /* records; and a stream after its end */
};

/* ---- in transactions ---- */

/*
 * Puts the record of a change, as the stream of change->table wants it; nothing when the table has
 * no stream, or when nothing has changed. write_item() calls it.
 */
void stream_put(struct kv_txn *txn, struct arena *a, const struct item_change *change);

/*
 * Begins a stream for the table: sets t->stream and t->last_stream_label (texts in the arena), puts
 * its document. The caller has declared table_key(), and puts the table's record afterwards; `id`
 * is new (ids.h). The table has no stream (checked).
 */
must_use mayyield int stream_create_txn(struct kv_txn *txn, struct arena *a, struct table *t,
	uint64_t id, enum table_stream_view view, int64_t now_ms);
/* As stream_create_txn(), for a table that may have writers: after the commit stream_begin(). */
must_use mayyield int stream_enable_txn(struct kv_txn *txn, struct arena *a, struct table *t,
	uint64_t id, enum table_stream_view view, int64_t now_ms);
/*
 * Waits for the writers that do not know the table's stream, and lets it begin then: every write
 * from now on has its record. The caller takes no part in a flight. What fails here, or is cut
 * short by a crash, the worker does (stream_changed()).
 */
must_use mayyield int stream_begin(struct dynamodb *d, struct arena *a, const struct table *t);
/*
 * Ends the table's stream, if there is one: of UpdateTable and DeleteTable. Clears t->stream and
 * keeps t->last_stream_label. As above; after the commit: stream_changed().
 */
must_use mayyield int stream_end_txn(
	struct kv_txn *txn, struct arena *a, struct table *t, int64_t now_ms);
/* After a stream's beginning or end was committed, and after catalog_changed(). Any loop. */
void stream_changed(struct dynamodb *d);

/* "NEW_IMAGE" ..., as on the wire; back: 1, or 0. */
str stream_view_name(enum table_stream_view view);
int stream_view_from_name(str name, enum table_stream_view *ret_view);
/* LatestStreamArn: of a table and a label. */
str stream_arn(struct arena *a, const struct table *t, str label);

/* ---- finding them ---- */

/* A new shard's id; they are in the order of their times. */
str stream_shard_id(struct arena *a, int64_t now_ms);
str stream_key(struct arena *a, str account, str region, str table, str label);
/* 1 and the stream, or 0. Texts are in the arena. One round trip. */
must_use mayyield int stream_find(struct kv *kv, struct arena *a, str account, str region,
	str table, str label, struct stream *ret_stream);
/* Of its records; also the domain of their stamps. */
str stream_bucket_prefix(struct arena *a, uint64_t id, uint8_t bucket);
/*
 * The keys of a shard's records with stamps above `after`, up to the horizon and the shard's end.
 * Sets from and to, in the arena.
 */
struct kv_range;
void stream_shard_range(struct arena *a, uint64_t id, const struct stream_shard *h, uint64_t after,
	uint64_t horizon, struct kv_range *range);
/* The stamp at the end of a record's key; ERR_CORRUPT. */
must_use int stream_key_stamp(str key, uint64_t *ret_stamp);

/* ---- being told of new records ---- */

/* Who waits for records, of any stream. All zero, then stream_waits_init(). */
struct stream_waits {
	_Atomic unsigned count;
	pthread_mutex_t lock; /* of the list; never held over a suspension */
	struct list list;
};
void stream_waits_init(struct stream_waits *all);
void stream_waits_done(struct stream_waits *all);

struct stream_wait {
	struct list link;
	uint64_t stream_id;
	struct rt_event event; /* set after a commit with records of the stream */
};
/* From now on until stream_wait_end(); what was committed before has to be looked for. */
void stream_wait_begin(struct stream_waits *all, struct stream_wait *wait, uint64_t stream_id);
void stream_wait_end(struct stream_waits *all, struct stream_wait *wait);

/*
 * After the commit of a transaction in which items of `t` were written: wakes who waits for its
 * stream. A look at one number when nobody does. Any loop. Who forgets it makes readers wait for
 * their next look, nothing else.
 */
void stream_notify(struct stream_waits *all, const struct table *t);

#endif
