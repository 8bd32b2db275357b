/*
 * The records of log groups, streams and events in the key-value store.
 *
 *     LOGS_GROUPS   account region 'G' name          a group: its id, description, tags
 *                   account region 'S' id name       a stream: its id, times, bytes
 *                   account region 'X' id            a deleted group whose rest is still there
 *                   account region 'Y' id stream     a deleted stream whose events are still there
 *     LOGS_EVENTS   'T' group time number            a batch of events (batch.h), in time order
 *                   'S' group stream time number     (empty) the same in the order of one stream
 *
 * Group and stream ids are random 64-bit numbers, never used again: deleting a group is deleting
 * one record and leaving a note for the sweeper. Batch numbers rise on each loop. Whoever writes or
 * deletes batches of a stream declares the stream's key, and looks at the group's record in the
 * same transaction, so nothing is written below what is gone.
 *
 * Everything runs in a fiber and suspends.
 */
#ifndef SERVICES_LOGS_STORE_H
#define SERVICES_LOGS_STORE_H

#include "aws/gate.h"
#include "kv/kv.h"
#include "services/logs/batch.h"
#include "services/logs/logs.h"

enum logs_fault {
#define FAULT(id, ...) LOGS_##id,
#include "services/logs/faults.def"
#undef FAULT
};
extern const struct fault_kind logs_faults[];
#define LOGS_FAULT(c, id, ...) call_fault((c), &logs_faults[LOGS_##id], __VA_ARGS__)

struct log_group {
	uint64_t id;
	struct value *about; /* shape LogGroup */
	struct value *tags;  /* shape ListTagsForResourceResponse */
};

struct log_stream {
	uint64_t id;
	int64_t created_ms;
	int64_t first_ms, last_ms; /* of its events; -1: none yet */
	int64_t ingestion_ms;      /* of the last put; -1 */
	uint64_t bytes;
};

/* ---- keys ---- */

struct log_scope {
	str account, region;
};

enum { LOG_KEY_GROUP = 'G', LOG_KEY_STREAM = 'S', LOG_KEY_GONE = 'X', LOG_KEY_GONE_STREAM = 'Y' };

/* All groups of the scope (STR_NULL) or one. */
str log_key_group(struct arena *a, const struct log_scope *scope, str name);
/* All streams of a group (STR_NULL) or one. */
str log_key_stream(struct arena *a, const struct log_scope *scope, uint64_t group, str name);
str log_key_gone(struct arena *a, const struct log_scope *scope, uint64_t group);
/* All deleted streams of a group (stream 0) or one. */
str log_key_gone_stream(
	struct arena *a, const struct log_scope *scope, uint64_t group, uint64_t stream);
/* All keys of one kind in the scope, or all of the scope (kind 0). */
str log_key_scope(struct arena *a, const struct log_scope *scope, char kind);
/* The name behind a prefix made by the functions above. */
must_use int log_key_name(struct arena *a, str key, str prefix, str *ret_name);

/* By time and by stream; `time_ms` < 0: all of the group, or of the stream. */
str log_key_batch(struct arena *a, uint64_t group, int64_t time_ms, uint64_t sequence);
str log_key_batch_of(
	struct arena *a, uint64_t group, uint64_t stream, int64_t time_ms, uint64_t sequence);
/* Time and number at the end of either. */
must_use int log_key_batch_take(str key, uint64_t *ret_time_ms, uint64_t *ret_sequence);

/* ---- records ---- */

str log_group_encode(struct arena *a, const struct log_group *group);
must_use int log_group_decode(struct arena *a, str record, struct log_group *ret_group);
str log_stream_encode(struct arena *a, const struct log_stream *stream);
must_use int log_stream_decode(str record, struct log_stream *ret_stream);
/* Appends a record's header, written now. */
void log_record_begin(struct buf *to);

/* Opens the batch in a whole record. */
must_use int log_batch_open(
	str record, uint64_t time_ms, uint64_t sequence, struct batch_reader *ret_reader);

/* 1, or 0. */
must_use mayyield int log_group_get(struct kv *kv, struct arena *a, const struct log_scope *scope,
	str name, struct log_group *ret_group);
must_use mayyield int log_stream_get(struct kv *kv, struct arena *a, const struct log_scope *scope,
	uint64_t group, str name, struct log_stream *ret_stream);
/* Makes them: ERR_EXISTS; ERR_NOT_FOUND: no such group. `about` may be NULL. */
must_use mayyield int log_group_create(struct kv *kv, struct arena *a,
	const struct log_scope *scope, str name, const struct value *class_and_tags,
	int64_t wall_ms, int64_t deadline);
must_use mayyield int log_stream_create(struct kv *kv, struct arena *a,
	const struct log_scope *scope, str group, str name, int64_t wall_ms, int64_t deadline);

uint64_t log_new_id(void);

/* ---- the service, from handlers ---- */

/* ERR_FAULT before start. */
must_use int logs_kv(struct call *c, struct kv **ret_kv);
static inline struct log_scope call_scope(const struct call *c)
{
	return (struct log_scope){c->account, c->region};
}
/* Faults when missing. */
must_use mayyield int call_group(struct call *c, str name, struct log_group *ret_group);
/* The name from logGroupName or logGroupIdentifier (a name or an ARN of this account and region).
 */
must_use int call_group_name(struct call *c, str *ret_name);

#endif
