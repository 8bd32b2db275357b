/*
 * Reading streams: what the operations of dynamodbstreams and the port for event sources share.
 * Private to this folder.
 */
#ifndef DYNAMODB_STREAMS_H
#define DYNAMODB_STREAMS_H

#include "services/dynamodb/service.h"
#include "services/dynamodb/stream_iterator.h"

struct json_writer;

/* "Limit" of GetRecords, and what an answer holds in bytes. */
enum { STREAM_READ_RECORDS_MAX = 1000, STREAM_READ_BYTES_MAX = 1 << 20 };

/* A look at one shard. */
struct stream_look {
	/* what is asked for */
	struct stream_arn_parts at;
	str shard;
	uint64_t after;
	bool trim_horizon;             /* trimmed records before the first one do not matter */
	size_t records_max, bytes_max; /* the first record is given whatever its size */
	/*
	 * Each record in turn: 0; 1 ends the look before this record; < 0 ends it with that. Must
	 * not suspend.
	 */
	int (*each)(void *arg, const struct stream *s, const struct stream_shard *h, uint64_t stamp,
		const struct stream_record *record);
	void *arg;
	/* what is found */
	struct stream *stream;
	size_t count;
	uint64_t next; /* to go on after */
	bool all;      /* nothing more is there now */
	bool ended;    /* the shard is closed, and this was all of it */
};
enum stream_look_result { LOOK_DONE, LOOK_NO_STREAM, LOOK_NO_SHARD, LOOK_TRIMMED };

/*
 * An enum stream_look_result. Reads up to the horizon, never beyond. ERR_CONFLICT: the engine gave
 * the scan up, after `count` records; go on after `next`. Texts of look->stream are in the arena.
 */
must_use mayyield int stream_look(struct kv *kv, struct arena *a, struct stream_look *look);

/* The record as GetRecords gives it; `arn` (eventSourceARN) only in events of functions. */
void stream_record_render(struct json_writer *w, const struct stream *s,
	const struct stream_shard *h, uint64_t stamp, const struct stream_record *record, str arn);
const struct stream_shard *stream_shard_named(const struct stream *s, str id);
/* The stamp behind all records that the shard has now. */
must_use mayyield int stream_latest(struct kv *kv, struct arena *a, const struct stream *s,
	const struct stream_shard *h, uint64_t *ret_after);

/* What authenticates iterators. */
must_use mayyield int stream_iterator_key(struct call *c, const struct hmac_key **ret_key);
/* ERR_FAULT with "Requested resource not found: Stream: ... not found". */
int stream_not_found(struct call *c, str arn);
/* ERR_FAULT with TrimmedDataAccessException. */
int stream_trimmed(struct call *c);

/* Fills d->records. */
void dynamodb_records_init(struct dynamodb *d);

int dynamodb_list_streams(struct call *c);
int dynamodb_describe_stream(struct call *c);
int dynamodb_get_shard_iterator(struct call *c);
int dynamodb_get_records(struct call *c);

#endif
