/*
 * Batches of event source mappings, apart from everything that waits: the event of an invocation,
 * what its answer means, what becomes of a failed batch, and the record for a destination. Pure.
 *
 * Source: Developer Guide, "Configuring partial batch response with DynamoDB and Lambda",
 * "Implementing stateful DynamoDB stream processing in Lambda", "Retain discarded records for a
 * DynamoDB event source in Lambda".
 */
#ifndef SERVICES_LAMBDA_MAPPING_BATCH_H
#define SERVICES_LAMBDA_MAPPING_BATCH_H

#include "aws/ports/records.h"
#include "base/buf.h"
#include "base/json.h"

/* A tumbling window as the function sees it. */
struct batch_window {
	int64_t start_ms, end_ms; /* start 0: none is open */
	str state;                /* JSON object */
	str shard, source_arn;
	bool final, early;
};

enum {
	/* What an event has beside its records; a window's state comes on top. */
	BATCH_ENVELOPE_BYTES = 4096,
	BATCH_STATE_BYTES_MAX = 1048576, /* AWS: of a window's state; beyond it the window ends */
	/* A larger one fails the batch: it has to be handed over once more, and to be stored. */
	BATCH_STATE_BYTES_KEPT = 3 * BATCH_STATE_BYTES_MAX
};

/* Appends {"Records":[...]}, with a window (NULL: none) its members too. */
void batch_event(struct buf *out, const struct record_of_source *const *records, size_t count,
	const struct batch_window *window);

enum batch_answer { BATCH_DONE, BATCH_PARTIAL, BATCH_FAILED };

/*
 * What a function's answer says of a batch. BATCH_PARTIAL: *ret_failed is the index of the first
 * record that failed; those before it are done. With `item_failures` an answer that is empty, null
 * or names no failures is BATCH_DONE; one that is malformed, or names a record that the batch does
 * not have, is BATCH_FAILED. With `window` it has to have a state, which becomes *ret_state (in the
 * arena); without one it is BATCH_FAILED.
 */
enum batch_answer batch_read_answer(struct arena *a, str payload,
	const struct record_of_source *const *records, size_t count, bool item_failures,
	bool window, size_t *ret_failed, str *ret_state);

/*
 * A batch that is being worked off, in parts from its beginning: halves of what failed wait in a
 * stack. All records before `from` are through.
 */
enum { BATCH_PARTS_MAX = 24 }; /* 10,000 records halve 14 times */

struct batch_part {
	size_t to;
	unsigned failures; /* invocations that count against MaximumRetryAttempts */
	unsigned invocations;
};

struct batch_work {
	size_t from;
	struct batch_part parts[BATCH_PARTS_MAX]; /* the last one is worked on */
	unsigned depth;
};

void batch_work_begin(struct batch_work *w, size_t from, size_t to);
/* The part to work on; NULL: all is through. */
struct batch_part *batch_part_next(struct batch_work *w);

enum batch_step {
	BATCH_GO_ON,  /* with batch_part_next(), at once */
	BATCH_PAUSE,  /* the same after a pause */
	BATCH_DISCARD /* from `from` to the part's end: no attempts are left */
};
/*
 * After an invocation of the part. Those that the answer let through are passed (w->from moves).
 * Halving does not count as an attempt, and neither does going on at a record that was named.
 */
enum batch_step batch_work_after(struct batch_work *w, enum batch_answer answer, size_t failed,
	bool bisect, int64_t retries_max);
/* Passes records up to (not including) `to`. */
void batch_work_pass(struct batch_work *w, size_t to);

struct batch_loss {
	str request_id; /* of this record */
	str function_arn;
	const char *condition; /* "RetryAttemptsExhausted", "RecordAgeExceeded" */
	unsigned invocations;
	/* Of the last invocation; version STR_NULL: there was none. */
	str version, function_error;
	const char *info; /* "DDBStreamBatchInfo" */
	str shard, source_arn;
	const struct record_of_source *first, *last;
	size_t count;
	int64_t now_ms;
	str event; /* the whole batch, for a bucket; STR_NULL: for all others */
};
/* The invocation record for the on-failure destination: where the lost records are. */
void batch_put_loss(struct buf *out, const struct batch_loss *loss);
/* The name of that member for a source; NULL: not known. */
const char *batch_info_name(str source_arn);

#endif
