/*
 * Stored log events: some consecutive lines of one stream in one record, and the positions of
 * single events.
 *
 * A batch covers at most BATCH_SPAN_MS, counted from its first event, so that readers who merge
 * batches by time look at a bounded window. Within it times do not fall.
 *
 * Value of a batch, behind the header of kv/record.h: stream id 8 bytes, ingestion time 8, varint
 * length and stream name, varint count, then per event varint milliseconds since the one before
 * (the first: since the batch's time, which is in its key), varint length, text.
 *
 * Pure; any thread.
 */
#ifndef SERVICES_LOGS_BATCH_H
#define SERVICES_LOGS_BATCH_H

#include "base/buf.h"

enum {
#define LIMIT(name, value, source) LOGS_MAX_##name = value,
#include "services/logs/limits.def"
#undef LIMIT
	BATCH_SPAN_MS = 100,
	BATCH_BYTES_MAX = 2 * 1024 * 1024,
};

/* Where an event stands: by time, then by the batch's number, then in the batch. */
struct log_position {
	uint64_t time_ms, sequence, index;
};
int log_position_compare(const struct log_position *a, const struct log_position *b);

/* As 56 decimal digits, which sort like the position: the event's id, and what is in tokens. */
enum { LOG_POSITION_TEXT = 56 };
str log_position_text(struct arena *arena, const struct log_position *p);
must_use int log_position_parse(str text, struct log_position *ret_position);

struct log_event {
	struct log_position at;
	int64_t ingestion_ms;
	str stream, message;
};

struct batch_event {
	int64_t time_ms;
	str message;
};

/* How many of the events (at least 1) go into one batch. */
size_t batch_fit(const struct batch_event *events, size_t n);
/* Appends the body of a batch, without the record's header. */
void batch_encode(struct buf *to, uint64_t stream_id, int64_t ingestion_ms, str stream,
	const struct batch_event *events, size_t n);

struct batch_reader {
	uint64_t stream_id;
	int64_t ingestion_ms;
	str stream;
	uint64_t count;
	/* private */
	str rest;
	struct log_position at;
};
/* `time_ms` and `sequence` are those of the batch's key. Texts point into `body`. ERR_CORRUPT. */
must_use int batch_open(struct batch_reader *reader, str body, uint64_t time_ms, uint64_t sequence);
/* 1 and the next event, 0 behind the last, ERR_CORRUPT. */
must_use int batch_next(struct batch_reader *reader, struct log_event *ret_event);

#endif
