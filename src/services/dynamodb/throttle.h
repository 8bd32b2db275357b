/*
 * Throttling as AWS does it (--throttle=aws): token buckets of read and write units for tables,
 * global indexes and partition keys.
 *
 * A bucket fills at the provisioned rate, or at the on-demand maximum, and holds 300 seconds of it
 * (burst capacity); a new table begins with one second. A partition key has 3,000 read and 1,000
 * write units a second in the table, and 3,000 read units in a global index; it holds one second.
 * In a vector index it has 1 GB of searched and 10 MB of written bytes a second; of a vector index
 * without a partition key AWS states no limit, and it has none here.
 * A request is admitted while its buckets hold the least that one costs (half a read unit, a write
 * unit), and pays what it has cost, also into debt: so none is too large for its table, and the
 * average over time is the rate.
 *
 * There is one set of buckets for all loops: with one per loop a table would get its rate as often
 * as there are loops, or a part of it where one loop has all its clients. A bucket is one word, the
 * time at which it was, or will be, empty; admission is a comparison and payment one
 * compare-and-swap, so loops wait for nothing. Loops that admit at the same instant may all pass;
 * each of them pays. Nothing is stored: after a restart a table begins with what its age gives.
 *
 * Private to this folder. Nothing suspends.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/throttling-diagnosing-workflow.html
 */
#ifndef DYNAMODB_THROTTLE_H
#define DYNAMODB_THROTTLE_H

#include "services/dynamodb/write.h"

struct call;
struct fault;
struct throttle;

enum {
	THROTTLE_BURST_S = 300,
	THROTTLE_PARTITION_READS = 3000,
	THROTTLE_PARTITION_WRITES = 1000,
	THROTTLE_SEARCH_MIB = 1024,
	THROTTLE_VECTOR_MIB = 10,
	/* Tables and global indexes that have buckets, and partition keys at work at a time; what
	 * is beyond is not throttled. 1.5 MiB and 0.5 MiB. */
	THROTTLE_RESOURCES = 1 << 16,
	THROTTLE_PARTITIONS = 1 << 16
};

enum throttle_kind { THROTTLE_READ, THROTTLE_WRITE };

/* What a request takes. */
struct throttle_use {
	const struct table *table;
	enum throttle_kind kind;
	const struct table_index *index; /* a global one that is read; else NULL, as of writes */
	str partition;                   /* of what is read or written; STR_NULL: of many */
	double table_units;
	const double *index_units; /* as in table->indexes; NULL: none */
	double factor;             /* of all units: 2 in transactions */
	/* Of partition keys of vector indexes. */
	const struct write_part *parts;
	unsigned part_count;
};

/* Which buckets are empty; all zero: none. */
struct throttle_refusal {
	enum throttle_kind kind;
	bool table, partition;
	const struct table_index *partition_of; /* NULL: the table */
	uint32_t indexes;                       /* a bit for each */
	uint32_t vectors;                       /* the same, of their partition keys */
};

struct throttle *throttle_new(void);
/* NULL is fine. */
void throttle_free(struct throttle *t);

/* Is there enough in all buckets that the use is of? For indexes: those with units. */
must_use bool throttle_admits(
	struct throttle *t, const struct throttle_use *use, struct throttle_refusal *ret_refusal);
/* Takes the units, from nothing if need be. `sign` -1 gives them back. */
void throttle_pay(struct throttle *t, const struct throttle_use *use, int sign);

/*
 * Before and behind a search of a partition of a vector index: ERR_FAULT with ThrottlingException;
 * what it has read. Nothing where throughput is not limited, or the index has no partition key
 * (STR_NULL).
 */
must_use int throttle_admit_search(
	struct call *c, const struct table *t, const struct table_index *index, str partition);
void throttle_pay_search(struct call *c, const struct table *t, const struct table_index *index,
	str partition, size_t bytes);

/*
 * ERR_FAULT: ProvisionedThroughputExceededException, or ThrottlingException on demand, with the
 * ThrottlingReasons.
 */
int throttle_fault(const struct throttle_refusal *refusal, const struct table *table,
	struct arena *a, struct fault *fault);

#endif
