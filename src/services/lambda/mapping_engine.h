/*
 * The engine behind event source mappings: reads sources of records and calls functions with them.
 *
 *     engine      one fiber: compares the mappings in the store with those that run, and takes each
 *                 from Creating, Enabling, Updating, Disabling, Deleting to its end
 *     run         a mapping that is enabled: one fiber that lists the source's shards, and starts a
 *                 reader for each whose parent is through
 *     reader      a shard: one fiber that gathers a batch, has it processed, writes how far it is
 *     lanes       ParallelizationFactor: fibers of a reader for the time of one batch each; a key
 *                 has always the same lane
 *
 * At least once: a position is written only when all records before it succeeded, were filtered out
 * or were given up; after a crash processing goes on from there. An idle mapping waits in the
 * source's port, and reads the store no more than the port does.
 *
 * Bounds (limits.def): runs, readers, and the bytes of batches in memory of each loop, which
 * readers take in the order of asking.
 *
 * Threading: all of a run is on one loop; the engine's fiber is on loop 0. Apart from lambda's
 * service: what it needs comes in struct mapping_engine_options, so tests give it fakes.
 */
#ifndef SERVICES_LAMBDA_MAPPING_ENGINE_H
#define SERVICES_LAMBDA_MAPPING_ENGINE_H

#include "services/lambda/mapping.h"

struct mapping_engine;
struct rt;

/* Records that were given up, for an on-failure destination. */
struct mapping_loss {
	str function_arn, destination_arn;
	str mapping, shard; /* a bucket's object is named after them */
	str record;         /* JSON */
};

struct mapping_engine_options {
	struct rt *rt;
	const struct ports *ports; /* invoke, records, metric */
	bool after_crash;          /* of a worker, in whose place this one is */
	/*
	 * Hands a record to the on-failure destination of a function's mapping; durable when it
	 * returns 0. *ret_why: of a failure in words, for the log.
	 */
	int (*deliver)(
		void *arg, struct arena *a, const struct mapping_loss *loss, str *ret_why) mayyield;
	void *arg;
};

struct mapping_engine *mapping_engine_new(const struct mapping_engine_options *options);
/* In a fiber of loop 0. */
must_use int mapping_engine_start(struct mapping_engine *e, struct kv *kv);
/* Any thread: a mapping was written. */
void mapping_engine_wake(struct mapping_engine *e);
/* No new invocations; waits for the readers until the deadline. May be called again. */
void mapping_engine_stop(struct mapping_engine *e, int64_t deadline) mayyield;
/* After rt_run(). NULL is fine. */
void mapping_engine_free(struct mapping_engine *e);

#endif
