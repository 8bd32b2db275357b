/*
 * Reading sources of records in order: what event source mappings stand on. Provided by dynamodb
 * (streams); kinesis and others provide it later. A queue, whose messages have no order and are
 * deleted one by one, is another port.
 *
 * A source has shards; a shard is a sequence of records that is read from a position to its end. A
 * closed shard ends, and then its children are to be read: a reader that begins a child only at the
 * end of its parent sees all records of one `key` in the order in which they were written. Within a
 * shard a reader may work on several keys at once (ParallelizationFactor), if it keeps the order of
 * each `key`.
 *
 * Positions are texts that only the source understands; they stay valid for as long as the source
 * exists, so a reader keeps the position behind what it is done with (its checkpoint), and goes on
 * from there after a restart. Any loop; functions suspend and are called in a fiber.
 * https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
 */
#ifndef AWS_PORTS_RECORDS_H
#define AWS_PORTS_RECORDS_H

#include "aws/ports/ports.h"
#include "base/arena.h"

enum records_start {
	RECORDS_TRIM_HORIZON, /* the oldest that is there */
	RECORDS_LATEST,       /* what comes from now on */
	RECORDS_AT_TIMESTAMP, /* from a time on; not every source has it */
};

struct records_shard {
	str id, parent; /* parent STR_NULL: none is known */
	bool closed;    /* it gets no more records */
};

struct record_of_source {
	str key;         /* equal for records whose order matters */
	str sequence;    /* its number, as the event shows it and batchItemFailures name it */
	str position;    /* behind this record */
	int64_t time_ms; /* when it was written: for the maximum age of records */
	str json;        /* its element of the event's "Records", complete */
};

struct records_read {
	str arn, shard, position;
	size_t records_max, bytes_max; /* of json together; the first record comes in any case */
	/*
	 * Monotonic ns: waits until then for the first record; 0: does not wait. A batch window is
	 * the caller's: it reads again, with what is left of it.
	 */
	int64_t deadline;
	/* NULL, or becomes true when the caller has to stop: looked at once a second. */
	const _Atomic bool *stopping;
};

struct records_batch {
	struct record_of_source *records; /* oldest first */
	size_t count;
	str position;      /* to read on from; the same as the last record's, or further */
	bool end;          /* the shard is closed and this was all of it: its children follow */
	bool trimmed;      /* records behind the position that was given are gone by age */
	int64_t behind_ms; /* age of the last record read; 0: all is read */
};

struct port_records {
	void *self;
	str arn_prefix; /* "arn:aws:dynamodb:": whose records it reads */
	/*
	 * All shards, parents before their children: how many, or ERR_NOT_FOUND: no such source.
	 * In the arena.
	 */
	int (*shards)(
		void *self, struct arena *a, str arn, struct records_shard **ret_shards) mayyield;
	/*
	 * Where to begin in a shard. ERR_NOT_FOUND: no such source or shard; ERR_UNSUPPORTED: the
	 * source has no RECORDS_AT_TIMESTAMP (`time_ms` is its time).
	 */
	int (*start)(void *self, struct arena *a, str arn, str shard, enum records_start start,
		int64_t time_ms, str *ret_position) mayyield;
	/*
	 * The next records, or none by the deadline: 0. Who waits is woken by writes of this
	 * process at once, by those of others within a second. ERR_NOT_FOUND: source or shard is
	 * gone (a shard that is too old: go on with its children); ERR_INVALID: no position of this
	 * source; ERR_CANCELLED. All in the arena.
	 */
	int (*read)(void *self, struct arena *a, const struct records_read *request,
		struct records_batch *ret_batch) mayyield;
};

/* At start. More than PORT_RECORDS_MAX is our own bug. */
void port_records_add(struct ports *ports, const struct port_records *records);
/* Who reads that source; NULL: nobody here. */
const struct port_records *port_records_of(const struct ports *ports, str arn);

#endif
