/*
 * Durable executions in the key-value store.
 *
 *     LAMBDA_DURABLE execution   account region function run            the execution (durable.h)
 *                    name        account region function name           -> run that has the name
 *                    operation   account region function run seq        in the order of their start
 *                    id          account region function run id         -> seq
 *                    event       account region function run number     the history
 *                    text        account region function run kind part  its input, its result
 *                    due         ms account region function run         who is looked at next
 *                    open        account region function run            those that have not ended
 *
 * An execution's key is declared by every transaction that changes anything of it, and so puts them
 * one after another; all but the name is covered by it.
 *
 * Functions here suspend where they take a service or a transaction. Private to services/lambda.
 */
#ifndef SERVICES_LAMBDA_DURABLE_STORE_H
#define SERVICES_LAMBDA_DURABLE_STORE_H

#include "kv/kv.h"
#include "services/lambda/durable.h"

struct lambda_service;

enum durable_text { DURABLE_INPUT, DURABLE_RESULT };

/* 1 and the execution, in the arena; 0. */
must_use int durable_load(struct lambda_service *s, struct arena *a, const struct durable_key *key,
	struct durable_execution *ret) mayyield;
/* The text of which the execution tells the length. ERR_CORRUPT. */
must_use int durable_text(struct lambda_service *s, struct arena *a,
	const struct durable_execution *x, enum durable_text which, str *ret_text) mayyield;
/* The operation of that number: 1, 0. */
must_use int durable_operation_load(struct lambda_service *s, struct arena *a,
	const struct durable_key *key, uint64_t seq, struct durable_operation *ret) mayyield;
/*
 * Operations behind `after`, without those inside a completed context that replays without them,
 * until `fn` returns 0 (it saw the operation) or < 0.
 */
must_use int durable_each_operation(struct lambda_service *s, struct arena *a,
	const struct durable_key *key, uint64_t after,
	int (*fn)(void *arg, const struct durable_operation *op), void *arg) mayyield;
/* Records of events from a number on (`reverse`: down), until `fn` returns 0 or < 0. */
must_use int durable_each_event(struct lambda_service *s, struct arena *a,
	const struct durable_key *key, uint64_t from, bool reverse,
	int (*fn)(void *arg, uint64_t number, str record), void *arg) mayyield;
/*
 * Executions of a function behind a run (STR_NULL: from an end), newest first or (`reverse`) oldest
 * first, until `fn` returns 0 or < 0.
 */
must_use int durable_each(struct lambda_service *s, struct arena *a, str account, str region,
	str function, str after, bool reverse,
	int (*fn)(void *arg, const struct durable_execution *x), void *arg) mayyield;
/* Every one that has not ended. */
must_use int durable_each_open(struct lambda_service *s,
	int (*fn)(void *arg, const struct durable_key *key), void *arg) mayyield;
/*
 * Those due, in order, until `fn` returns 0 (it saw the entry) or < 0. `key` lives in the arena.
 */
must_use int durable_each_due(struct lambda_service *s, struct arena *a,
	int (*fn)(void *arg, int64_t due_ms, const struct durable_key *key), void *arg) mayyield;

/* ---- changes ---- */

struct durable_txn {
	struct lambda_service *service;
	struct arena *arena;
	struct kv_txn *txn;
	struct durable_execution *x; /* as stored; written back after the change */
	bool found;                  /* false: only its key is set */
	int64_t now_ms;
};
/*
 * > 0 to have all written, 0 to leave everything, < 0 to end: the result either way. Runs again
 * after a conflict, so it acts on nothing outside the transaction and the arena.
 */
typedef int durable_change_fn(struct durable_txn *t, void *arg);
/*
 * `name`: an execution name that is written too (STR_NULL: none). *x has its key, and is the
 * execution as it is afterwards.
 */
must_use int durable_change(struct lambda_service *s, struct arena *a, struct durable_execution *x,
	str name, durable_change_fn *fn, void *arg, int64_t deadline) mayyield;

/* The operation of that id, or number: 1, 0. */
must_use int durable_txn_operation(
	struct durable_txn *t, str id, struct durable_operation *ret) mayyield;
must_use int durable_txn_operation_at(
	struct durable_txn *t, uint64_t seq, struct durable_operation *ret) mayyield;
void durable_txn_put_operation(struct durable_txn *t, const struct durable_operation *op);
/* Adds to the history; EVENT_NONE: nothing. `op` NULL: of the execution itself. */
void durable_txn_event(
	struct durable_txn *t, enum durable_event event, const struct durable_operation *op);
/* Of the invocation in progress. */
void durable_txn_invocation(struct durable_txn *t, str error);
/* Sets the execution's figures as well. */
void durable_txn_text(struct durable_txn *t, enum durable_text which, str text);
/* Who has the name: 1 and the run, 0. The name was given to durable_change(). */
must_use int durable_txn_name(struct durable_txn *t, str name, str *ret_run) mayyield;
void durable_txn_put_name(struct durable_txn *t, str name);
/* Another execution, as it is. 1, 0. */
must_use int durable_txn_other(struct durable_txn *t, const struct durable_key *key,
	struct durable_execution *ret) mayyield;

/* Removes an execution that has ended and all that belongs to it. */
must_use int durable_delete(struct lambda_service *s, struct arena *a,
	const struct durable_key *key, int64_t deadline) mayyield;

/* A new checkpoint token of DURABLE_TOKEN_BYTES, random. */
str durable_token_new(struct arena *a);
/* A new run's name: a UUID (version 7) of the time. */
str durable_run_new(struct arena *a, int64_t now_ms);

#endif
