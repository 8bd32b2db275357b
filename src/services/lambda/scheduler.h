/*
 * Who runs what where: finds an idle instance for an invocation, else has one started.
 *
 * Each loop has a shard with the functions that its requests name, their instances and the
 * invocations that wait. The path of a warm call stays on its loop: look up the function, pop an
 * idle instance, give it the event. Only when this loop has none idle and another one has (a table
 * of hints says so without a lock) does the call go there. A new instance belongs to the loop
 * whose request wanted it.
 *
 * Invocations of a function wait first come, first served, for whichever instance is ready first:
 * the one being started for them or one that another invocation gives back. Limits: concurrency
 * and growth (quota.h), instances, and memory by the sum of MemorySize; idle instances are given
 * up, oldest first, when one of the latter two is reached, and what becomes free goes to the
 * function that has the fewest instances.
 *
 * Threading: a shard and everything in it belong to one loop. Shared: the counters (atomic) and
 * the quotas.
 */
#ifndef SERVICES_LAMBDA_SCHEDULER_H
#define SERVICES_LAMBDA_SCHEDULER_H

#include "aws/ports/invoke.h"
#include "base/list.h"
#include "base/map.h"
#include "rt/rt.h"
#include "services/lambda/function.h"
#include "services/lambda/quota.h"

struct instance;
struct lambda_service;
struct provision;
struct scheduler;
struct shard;

/* A function as loaded, shared by its invocations and instances on one loop. */
struct function_ref {
	unsigned refs;
	struct arena arena;
	/* As stored, to see whether it is still the same; `latest`: that of $LATEST where the
	 * function is a version, because some things belong to both. */
	str record, latest;
	struct function function;
};
void function_unref(struct function_ref *ref);
static inline struct function_ref *function_ref(struct function_ref *ref)
{
	ref->refs++;
	return ref;
}

/* Runs and waiting invocations of one function on one loop. */
struct entry {
	struct shard *shard;
	str key;    /* account, region, name, version and tenant, in one text */
	str tenant; /* in it; STR_NULL: the function does not isolate tenants */
	struct function_ref *function;
	struct quota *quota;
	struct list idle;    /* instances, the one used last first */
	struct list waiting; /* invocations */
	unsigned waiting_count, starting, instances;
	unsigned users;                  /* invocations in progress: keep it */
	struct provision *provision;     /* NULL: nothing was ever provisioned */
	unsigned kept;                   /* provisioned instances, starting ones too */
	struct rt_timer provision_timer; /* when to try again */
	uint32_t hint;
};

/* One call of a function. In the caller's fiber, which waits until it is over. */
struct invocation {
	struct list link;
	struct arena *arena; /* of the results */
	str request_id;
	str payload, client_context, trace; /* STR_NULL: none */
	str tenant; /* whose instances may run it, of a function that isolates tenants; STR_NULL */
	str arn;    /* as it was called; STR_NULL: the function's */
	bool log_tail;
	int64_t deadline_ns; /* when the caller gives up; the function runs on */
	int (*begin)(void *arg, str content_type); /* as in ports/invoke.h */
	int (*write)(void *arg, str part);
	void *write_arg;

	struct rt_event event;
	struct instance *instance; /* given, waiting to be used */
	bool over;                 /* the results are there */
	bool left;                 /* the caller gave up while the function runs on */
	enum quota_place place;    /* where it is counted */
	str lineage;               /* the field of the trace header that its run gets */
	bool writing;              /* a part is being written: the caller may not leave */
	bool streamed;             /* parts were written: the payload is empty or an error */
	uint64_t instance_number;  /* who ran it last, or tried; 0: nobody */
	/* Results: a fault (rc ERR_FAULT), or the function's answer. */
	int rc;
	struct fault fault;
	str function_error, payload_out, tail;
	str trace_out; /* the header that the run got; STR_NULL: it did not begin */
};

struct scheduler *scheduler_new(struct lambda_service *s);
void scheduler_free(struct scheduler *s);
/* No new invocations; waits until nothing runs or the deadline, then ends every instance. */
void scheduler_stop(struct scheduler *s, int64_t deadline) mayyield;

/*
 * The function, or a version of it (STR_NULL: $LATEST), from this loop's cache when the stored
 * record is the same: 1, 0. A version's `reserved` and `recursion_allow` are those of its function.
 */
must_use int scheduler_function(struct scheduler *s, str account, str region, str name, str version,
	struct function_ref **ret_function) mayyield;
/*
 * Runs the function once: 0, results in `inv`; ERR_FAULT with inv->fault; ERR_TIMEOUT when the
 * caller's deadline passed; ERR_CANCELLED.
 */
must_use int scheduler_invoke(
	struct scheduler *s, struct function_ref *f, struct invocation *inv) mayyield;
/* A call is probably coming for the instance of this number, if it is one of this loop. */
void scheduler_expect(struct scheduler *s, uint64_t number);
/* The function's reservation is (now) this: the others of its account have so much less. */
void scheduler_reserve(struct scheduler *s, const struct function *f, uint32_t reserved);
/* The function (version STR_NULL: all of it) was deleted: its idle instances end, on every loop. */
void scheduler_forget(struct scheduler *s, str account, str region, str name, str version) mayyield;
/* This is the function now: idle instances of what it was end at once, not in the path of a call.
 */
void scheduler_deployed(struct scheduler *s, const struct function *f) mayyield;
struct snapshot_job;
/* Begins an instance of the version that is to be kept as a snapshot. ERR_BUSY: no room now;
 * ERR_CANCELLED: the server is stopping. */
must_use int scheduler_snapshot(
	struct scheduler *s, struct function_ref *f, struct snapshot_job *job) mayyield;
/*
 * The function's version is to have `count` instances kept ready, 0: none any more. Returns when
 * every loop knows; provision_figures() tells how far it is. ERR_NOT_FOUND, ERR_BUSY.
 */
must_use int scheduler_provision(struct scheduler *s, str account, str region, str name,
	str version, unsigned count) mayyield;
/* The books of it; nothing is wanted where nothing was ever provisioned. */
const struct provision *scheduler_provisioned(
	struct scheduler *s, str account, str region, str name, str version);

/* Versions of the function that are to have instances kept ready. */
void scheduler_each_provisioned(struct scheduler *s, str account, str region, str name,
	void (*fn)(void *arg, str version), void *arg);

/* ---- for instance.c, on the shard's loop, never suspending ---- */

/* An instance is ready for work: a waiting invocation gets it, or it is idle. */
void scheduler_ready(struct entry *e, struct instance *i);
/* It is no longer among the idle ones (it was taken, or ends). Harmless when it is not. */
void scheduler_unlist(struct entry *e, struct instance *i);
/* Starting it has come to an end, good or bad. */
void scheduler_started(struct entry *e, struct instance *i, bool good);
/* Its init phase took too long: another one is started in its place, with its memory. */
must_use int scheduler_again(struct entry *e, struct instance *i);
/* It could not be started or initialised: the first that waits is told so, if any. */
struct invocation *scheduler_take_waiting(struct entry *e);
/* The books of its provisioned concurrency; NULL: it never had any. */
struct provision *scheduler_entry_provision(const struct entry *e);
/* It is gone: its memory can be used again. */
void scheduler_gone(struct entry *e, struct instance *i);

/* Objects of a shard that handlers find by number, because their owner may be gone. */
uint64_t shard_number_new(struct shard *shard, struct instance *i);
void shard_number_free(struct shard *shard, uint64_t number);
/* On the calling loop; NULL when it is gone. */
struct instance *scheduler_find(struct scheduler *s, uint64_t number);
/* The feed has lines: flushed soon, in a fiber. */
void shard_log_dirty(struct shard *shard, struct instance *i);
struct lambda_service *shard_service(struct shard *shard);

#endif
