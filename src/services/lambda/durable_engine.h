/*
 * Durable executions at work: who starts them, invokes them again, and ends them.
 *
 *     durable_engine.c   the dispatcher, steps of executions, waiting callers, recovery
 *     durable_run.c      one invocation; one chained call
 *     durable_api.c      the operations
 *
 * An execution that needs something has a record under the time at which it does. The dispatcher, a
 * fiber of loop 0, finds those that are due and gives each to a step: a transaction that ends what
 * is due, decides whether the function is invoked, and marks it so, before anything begins. After a
 * crash the marks tell what was running; it is invoked once more and replays.
 *
 * Functions are for any fiber of any loop. Private to services/lambda.
 */
#ifndef SERVICES_LAMBDA_DURABLE_ENGINE_H
#define SERVICES_LAMBDA_DURABLE_ENGINE_H

#include "services/lambda/durable_store.h"

struct durables;
struct fault;
struct function_ref;
struct lambda_service;

enum { DURABLE_DEADLINE_MS = 30000 };

struct durables *durables_new(struct lambda_service *s);
void durables_free(struct durables *d);
/* Goes on with what is in the store. */
must_use int durables_start(struct durables *d) mayyield;
/* No new steps; waits for those in progress until the deadline. */
void durables_stop(struct durables *d, int64_t deadline) mayyield;
/* Something may be due earlier than before. */
void durables_wake(struct durables *d);

struct durable_start {
	const struct function_ref *function;      /* its DurableConfig and the version that runs */
	str arn;                                  /* as it was invoked */
	str name;                                 /* STR_NULL: none was given */
	str input, trace, tenant, client_context; /* STR_NULL: none, but for the input */
	bool asynchronous;
	const struct durable_key *parent; /* that invoked it, by its operation of `parent_seq` */
	uint64_t parent_seq;
};
/*
 * Starts an execution, or finds the one that has the name already, with the same input: 0. It is
 * durable then. ERR_FAULT: DurableExecutionAlreadyStartedException, or too many are open.
 */
must_use int durable_start(struct lambda_service *s, struct arena *a,
	const struct durable_start *start, struct durable_execution *ret,
	struct fault *fault) mayyield;
/*
 * Waits until it has ended, and loads it then; *ret_tail is the end of the log of its last
 * invocation, if that was while we waited. ERR_TIMEOUT, ERR_CANCELLED.
 */
must_use int durable_wait(struct lambda_service *s, struct arena *a, const struct durable_key *key,
	int64_t deadline, struct durable_execution *ret, str *ret_tail) mayyield;

/*
 * A transaction has ended it: those who wait are told, and the dispatcher looks at it. `tail`: of
 * the log of the invocation that did, STR_NULL: none did.
 */
void durables_ended(struct durables *d, const struct durable_execution *x, str tail);
/* Ends it as STOPPED: 1; 0: it had ended. *x has its key. ERR_NOT_FOUND. */
must_use int durable_stop(
	struct lambda_service *s, struct arena *a, struct durable_execution *x, str error) mayyield;

/*
 * The function was deleted: its executions that have not ended stop, and what waits for them is
 * told. Trouble is logged: they end at their next invocation at the latest.
 */
void durables_forget(struct lambda_service *s, str account, str region, str function) mayyield;

/* ---- between the engine and durable_run.c ---- */

struct durable_run {
	struct durables *durables;
	struct lambda_service *service;
	struct arena arena;
	struct durable_execution x; /* as the step left it */
	str *updated;               /* ids of operations that changed since the last invocation */
	uint32_t updated_count;
};
/* Invokes the function and records what comes of it. */
void durable_run_invoke(struct durable_run *r) mayyield;
/* Calls what the operation of the number asks for, and ends the operation. */
void durable_run_chained(struct durables *d, struct lambda_service *s,
	const struct durable_key *key, uint64_t seq) mayyield;
/* Identifies this start of the server; never 0. */
uint64_t durables_boot(const struct durables *d);

#endif
