/*
 * What the files of the scheduler share; nobody else includes it.
 *
 *     scheduler.c          functions, invocations, starting and giving up
 *     scheduler_orders.c   changed and deleted functions, the end, on every loop
 *     shard.c              instances by number, lines of logs
 */
#ifndef SERVICES_LAMBDA_SCHEDULER_INTERNAL_H
#define SERVICES_LAMBDA_SCHEDULER_INTERNAL_H

#include "services/lambda/scheduler.h"

enum { HINTS = 1024 };

struct slot {
	struct instance *instance;
	/* Open connections to the two ports; kept, because some may outlive the instance. */
	unsigned *connections;
	uint32_t generation;
};

struct shard {
	struct scheduler *scheduler;
	unsigned loop;
	struct map entries;
	struct list instances; /* all_link */
	struct slot *slots;
	unsigned slot_count;
	struct list log_dirty; /* log_link of instances */
	struct rt_timer log_timer, sweep_timer, retry_timer;
	bool log_flushing;
	bool scarce; /* the last start found no room: on_retry() shares what becomes free */
};

struct scheduler {
	struct lambda_service *service;
	struct shard *shards[RT_LOOPS_MAX];
	unsigned loops;
	/* Idle instances by hash of their function, per loop: where a visit is worth while. */
	_Atomic uint32_t (*hints)[HINTS];
	_Atomic uint64_t memory;
	_Atomic unsigned instances, running;
	struct provisions *provisions;
};

static inline struct shard *my_shard(struct scheduler *s)
{
	return s->shards[rt_loop_index()];
}

/* scheduler.c: the key of the version's entry, which for $LATEST is that of the function. */
str scheduler_entry_key(struct arena *a, str account, str region, str name, str version);
/* Ends idle instances of any other deployment. */
void scheduler_retire_idle(struct entry *e, uint64_t deployment);

/* shard.c: feeds with lines are flushed. */
void shard_log_due(struct rt_timer *timer);

#endif
