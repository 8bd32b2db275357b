/*
 * Reading events in the exact order of their positions, from a whole group or one stream, forward
 * or (one stream) backward.
 *
 * Batches come from the store ordered by their first event and overlap by at most BATCH_SPAN_MS;
 * a heap holds the events of those that may still be preceded by others. So memory is a window of
 * the log, not the log.
 */
#ifndef SERVICES_LOGS_CURSOR_H
#define SERVICES_LOGS_CURSOR_H

#include "services/logs/store.h"

struct cursor_options {
	uint64_t group, stream; /* stream 0: the whole group */
	bool backward;          /* one stream only */
	/* Events at or behind `from` and before `to`, whatever the direction. */
	struct log_position from, to;
	/* Ids of streams to pass over (deleted ones), rising; may be NULL. */
	const uint64_t *hidden;
	size_t hidden_count;
};

extern const struct log_position log_position_last; /* behind every event */

struct cursor {
	struct kv *kv;
	struct arena *arena;
	struct cursor_options options;
	struct kv_scan *scan;
	bool ended;   /* no more batches */
	bool pending; /* `next` is read, but not in the heap */
	uint64_t next_time_ms, next_sequence;
	str next;
	struct log_event *heap;
	size_t count, capacity;
	size_t bytes_read; /* of batches so far */
};

/* Events live in the arena. */
must_use mayyield int cursor_open(struct cursor *cursor, struct kv *kv, struct arena *arena,
	const struct cursor_options *options);
/* 1 and the next event, or 0 at the end. */
must_use mayyield int cursor_next(struct cursor *cursor, struct log_event *ret_event);
void cursor_close(struct cursor *cursor);

#endif
