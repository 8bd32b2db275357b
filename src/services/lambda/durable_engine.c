/*
 * The dispatcher and the steps.
 *
 * What a step decides it writes first; invocations and chained calls then run in fibers of their
 * own. Steps are short and have places of their own, so that timers come whatever runs; so do
 * invocations. A chained call needs no place: an invocation that it waits for could lack it then.
 * The function's concurrency bounds it, and what is throttled comes again.
 */
#include "services/lambda/durable_engine.h"

#include "aws/ports/deliver.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "rt/rt.h"
#include "services/lambda/event_invoke.h"
#include "services/lambda/role.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

#include <pthread.h>

enum {
	IDLE_MS = 60000,
	TROUBLE_MS = 1000,
	STOP_STEP_MS = 5,
	CALLS_OF_A_STEP = 64,
	FORGET_PAGE = 500
};

struct waiter {
	struct list link;
	str run;
	struct rt_event event;
	char tail[LAMBDA_TAIL_BYTES_MAX];
	size_t tail_bytes;
};

struct durables {
	struct lambda_service *service;
	uint64_t boot;            /* of this start; never 0 */
	_Atomic unsigned running; /* steps, invocations and calls */
	_Atomic unsigned steps, invocations;
	_Atomic uint64_t open; /* executions that have not ended */
	_Atomic bool stopping;
	bool started;
	struct rt_event wake, stopped;
	_Atomic unsigned next_loop;
	/* Of the two below; never held over a suspension. */
	pthread_mutex_t lock;
	struct map stepping; /* keys of executions that a step works on */
	struct list waiters;
};

uint64_t durables_boot(const struct durables *d)
{
	return d->boot;
}

void durables_wake(struct durables *d)
{
	rt_event_set(&d->wake);
}

/* ---- places ---- */

static bool place_take(struct durables *d, _Atomic unsigned *places, unsigned max)
{
	if (atomic_load(&d->stopping))
		return false;
	if (atomic_fetch_add(places, 1) < max) {
		atomic_fetch_add(&d->running, 1);
		return true;
	}
	atomic_fetch_sub(places, 1);
	return false;
}

static void place_free(struct durables *d, _Atomic unsigned *places)
{
	atomic_fetch_sub(places, 1);
	atomic_fetch_sub(&d->running, 1);
}

static void spawn(struct durables *d, rt_fiber_fn *fn, void *arg)
{
	unsigned loop = atomic_fetch_add(&d->next_loop, 1);

	if (rt_spawn_on(d->service->rt, loop % rt_loop_count(d->service->rt), fn, arg) < 0)
		fn(arg); /* no fiber to be had: in ours */
}

/* ---- figures ---- */

static void count(struct lambda_service *s, const struct durable_key *key, const char *metric,
	double value, enum metric_unit unit)
{
	const struct function f = {
		.account = key->account, .region = key->region, .name = key->function};

	lambda_metric(s, &f, metric, value, unit);
}

static void count_end(struct lambda_service *s, const struct durable_execution *x)
{
	static const char *const metrics[DURABLE_STATUSES] = {NULL, "DurableExecutionSucceeded",
		"DurableExecutionFailed", "DurableExecutionTimedOut", "DurableExecutionStopped"};

	count(s, &x->key, metrics[x->status], 1, METRIC_COUNT);
	count(s, &x->key, "DurableExecutionDuration", (double)(x->end_ms - x->start_ms),
		METRIC_MILLISECONDS);
}

/* ---- waiting callers ---- */

int durable_wait(struct lambda_service *s, struct arena *a, const struct durable_key *key,
	int64_t deadline, struct durable_execution *ret, str *ret_tail)
{
	struct durables *d = s->durables;
	struct waiter *w = arena_new(a, struct waiter);
	int rc;

	w->run = key->run;
	rt_event_init(&w->event);
	pthread_mutex_lock(&d->lock);
	list_push_back(&d->waiters, &w->link);
	pthread_mutex_unlock(&d->lock);
	/* It may have ended before we were on the list. */
	rc = durable_load(s, a, key, ret);
	if (rc > 0 && ret->status == DURABLE_RUNNING) {
		rc = rt_event_wait(&w->event, deadline);
		if (rc >= 0)
			rc = durable_load(s, a, key, ret);
		if (rc > 0 && ret->status == DURABLE_RUNNING)
			rc = ERR_CANCELLED; /* the server stops */
	}
	pthread_mutex_lock(&d->lock);
	list_remove(&w->link);
	pthread_mutex_unlock(&d->lock);
	*ret_tail = str_of(w->tail, w->tail_bytes);
	return rc == 0 ? ERR_NOT_FOUND : rc < 0 ? rc : 0;
}

/* ---- starting ---- */

struct creation {
	const struct durable_start *start;
	const struct function *function;
	str name, digest;
	struct durable_execution *existing;
	bool exists;
};

static int create(struct durable_txn *t, void *arg)
{
	struct creation *c = arg;
	const struct durable_start *start = c->start;
	struct durable_execution *x = t->x;
	struct durable_key other = x->key;
	str run;
	int found;

	c->exists = false;
	if (start->name.p && TRY(durable_txn_name(t, c->name, &run))) {
		other.run = run;
		found = TRY(durable_txn_other(t, &other, c->existing));
		c->exists = found;
		if (found)
			return 0;
	}
	check(!t->found);
	*x = (struct durable_execution){
		.key = x->key,
		.name = c->name,
		.version = c->function->version,
		.arn = start->arn,
		.input_digest = c->digest,
		.error = STR(""),
		.asynchronous = start->asynchronous,
		.start_ms = t->now_ms,
		.timeout_s = c->function->durable_timeout_s,
		.retention_days = c->function->durable_retention_days,
		.trace = start->trace,
		.tenant = start->tenant,
		.client_context = start->client_context,
		.parent_function = start->parent ? start->parent->function : STR(""),
		.parent_run = start->parent ? start->parent->run : STR(""),
		.parent_seq = start->parent_seq,
		.next_seq = 1,
		.next_event = 1,
		.run_ms = t->now_ms,
		.token = STR(""),
		.last_token = STR(""),
		.last_client = STR(""),
		.invocation = STR(""),
	};
	durable_txn_text(t, DURABLE_INPUT, start->input);
	durable_txn_put_name(t, c->name);
	durable_txn_event(t, EVENT_EXECUTION_STARTED, NULL);
	return 1;
}

int durable_start(struct lambda_service *s, struct arena *a, const struct durable_start *start,
	struct durable_execution *ret, struct fault *fault)
{
	const struct function *f = &start->function->function;
	struct durables *d = s->durables;
	struct durable_execution existing;
	struct creation c = {.start = start, .function = f, .existing = &existing};
	char *digest = arena_bytes(a, 2 * SHA256_BYTES);
	uint8_t hash[SHA256_BYTES];

	if (atomic_load(&d->open) >= LAMBDA_DURABLE_OPEN_MAX)
		return lambda_fault_set(fault, a, LAMBDA_TOO_MANY_REQUESTS,
			"The limit of %d running durable executions is reached.",
			LAMBDA_DURABLE_OPEN_MAX);
	ret->key = (struct durable_key){
		f->account, f->region, f->name, durable_run_new(a, rt_wall() / RT_NS_MS)};
	sha256_of(start->input, hash);
	hex_encode(hash, sizeof(hash), digest);
	c.digest = str_of(digest, 2 * SHA256_BYTES);
	c.name = start->name.p ? start->name : ret->key.run;
	TRY(durable_change(s, a, ret, c.name, create, &c, rt_after_ms(DURABLE_DEADLINE_MS)));
	if (!c.exists) {
		atomic_fetch_add(&d->open, 1);
		count(s, &ret->key, "DurableExecutionStarted", 1, METRIC_COUNT);
		durables_wake(d);
		return 0;
	}
	if (!str_eq(existing.input_digest, c.digest))
		return lambda_fault_set(fault, a, LAMBDA_DURABLE_STARTED,
			"The durable execution with the name %.*s has already been started with "
			"another payload: %.*s",
			STR_ARG(c.name), STR_ARG(durable_arn(a, &existing)));
	*ret = existing;
	return 0;
}

/* ---- ends ---- */

void durables_ended(struct durables *d, const struct durable_execution *x, str tail)
{
	atomic_fetch_sub(&d->open, 1);
	count_end(d->service, x);
	pthread_mutex_lock(&d->lock);
	list_for_each(at, &d->waiters) {
		struct waiter *w = list_entry(at, struct waiter, link);

		if (!str_eq(w->run, x->key.run))
			continue;
		w->tail_bytes = MIN(tail.n, sizeof(w->tail));
		if (w->tail_bytes)
			memcpy(w->tail, tail.p, w->tail_bytes);
		rt_event_set(&w->event);
	}
	pthread_mutex_unlock(&d->lock);
	durables_wake(d);
}

/* Runs of chained calls that are under way: what ends with their execution. In an arena. */
struct children {
	struct durable_key *keys;
	uint32_t count, capacity;
};

/* Those of the execution become the ones behind the first `from`. */
static int collect_children(struct durable_txn *t, struct children *c, uint32_t from)
{
	struct durable_operation op;
	struct durable_key key;
	str version, name;

	c->count = from;
	for (uint32_t i = 0; i < t->x->open_count; i++) {
		if (t->x->open[i].kind != DURABLE_CHAINED_INVOKE ||
			TRY(durable_txn_operation_at(t, t->x->open[i].seq, &op)) == 0 ||
			!op.child.n || durable_arn_parse(op.child, &key, &version, &name) < 0)
			continue;
		if (c->count == c->capacity) {
			struct durable_key *more;

			c->capacity = c->capacity ? 2 * c->capacity : 16;
			more = arena_new_array(t->arena, struct durable_key, c->capacity);
			if (c->count)
				memcpy(more, c->keys, c->count * sizeof(*more));
			c->keys = more;
		}
		c->keys[c->count++] = key;
	}
	return 0;
}

struct stop {
	str error;
	struct children children;
	uint32_t from; /* of the children: those before are others' */
};

static int stop(struct durable_txn *t, void *arg)
{
	struct stop *st = arg;

	if (!t->found)
		return ERR_NOT_FOUND;
	if (t->x->status != DURABLE_RUNNING)
		return 0;
	TRY(collect_children(t, &st->children, st->from));
	durable_txn_event(t, durable_end(t->x, DURABLE_STOPPED, st->error, t->now_ms), NULL);
	return 1;
}

/* And their children, one after another: chains may be deep. */
static void stop_children(struct lambda_service *s, struct arena *a, struct children *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct durable_execution child = {.key = c->keys[i]};
		struct stop st = {STR(""), *c, c->count};

		if (durable_change(s, a, &child, STR_NULL, stop, &st,
			    rt_after_ms(DURABLE_DEADLINE_MS)) <= 0)
			continue;
		durables_ended(s->durables, &child, STR_NULL);
		*c = st.children;
	}
}

int durable_stop(struct lambda_service *s, struct arena *a, struct durable_execution *x, str error)
{
	struct stop st = {.error = error};
	int rc =
		TRY(durable_change(s, a, x, STR_NULL, stop, &st, rt_after_ms(DURABLE_DEADLINE_MS)));

	if (rc == 0)
		return 0;
	durables_ended(s->durables, x, STR_NULL);
	stop_children(s, a, &st.children);
	return 1;
}

struct forgetting {
	struct lambda_service *service;
	struct arena *arena;
	str error;
	unsigned seen;
	char last[DURABLE_RUN_BYTES];
};

static int forget_one(void *arg, const struct durable_execution *x)
{
	struct forgetting *f = arg;
	struct durable_execution stopped = {.key = x->key};

	if (x->status == DURABLE_RUNNING)
		TRY(durable_stop(f->service, f->arena, &stopped, f->error));
	memcpy(f->last, x->key.run.p, sizeof(f->last));
	return ++f->seen < FORGET_PAGE;
}

void durables_forget(struct lambda_service *s, str account, str region, str function)
{
	struct forgetting f = {.service = s, .seen = FORGET_PAGE};
	int rc = 0;

	/* In pages, because a function may have run for years. */
	for (bool first = true; rc >= 0 && f.seen == FORGET_PAGE; first = false) {
		struct arena a cleanup(arena_done_p) = {0};
		str after = STR_NULL;

		arena_init(&a, SIZE_MAX);
		f.arena = &a;
		f.seen = 0;
		f.error = durable_error(&a, STR("ResourceNotFoundException"), STR(DURABLE_DELETED));
		if (!first)
			after = arena_str(&a, str_of(f.last, sizeof(f.last)));
		rc = durable_each(s, &a, account, region, function, after, false, forget_one, &f);
	}
	if (rc < 0)
		log_error("lambda", "executions of a deleted function were not stopped",
			"function=%.*s error=%s", STR_ARG(function), rc_text(rc));
}

/* ---- who is told ---- */

static enum durable_state state_of(enum durable_status status)
{
	static const enum durable_state states[DURABLE_STATUSES] = {OPERATION_STARTED,
		OPERATION_SUCCEEDED, OPERATION_FAILED, OPERATION_TIMED_OUT, OPERATION_STOPPED};

	return states[status];
}

struct parent_end {
	uint64_t seq;
	enum durable_state state;
	str result, error;
};

static int finish_parent(struct durable_txn *t, void *arg)
{
	const struct parent_end *end = arg;
	struct durable_operation op;

	if (!t->found || t->x->status != DURABLE_RUNNING ||
		TRY(durable_txn_operation_at(t, end->seq, &op)) == 0 || durable_ended(op.state))
		return 0;
	durable_txn_event(t,
		durable_finish(t->arena, t->x, &op, end->state, end->result, end->error, t->now_ms),
		&op);
	durable_txn_put_operation(t, &op);
	return 1;
}

static int tell_parent(struct lambda_service *s, struct arena *a, const struct durable_execution *x)
{
	struct durable_execution parent = {.key = x->key};
	struct parent_end end = {x->parent_seq, state_of(x->status), STR_NULL, x->error};

	parent.key.function = x->parent_function;
	parent.key.run = x->parent_run;
	if (x->has_result)
		TRY(durable_text(s, a, x, DURABLE_RESULT, &end.result));
	TRY(durable_change(
		s, a, &parent, STR_NULL, finish_parent, &end, rt_after_ms(DURABLE_DEADLINE_MS)));
	durables_wake(s->durables);
	return 0;
}

/* The event that began it, to the function's dead letters. */
static int tell_dead_letters(
	struct lambda_service *s, struct arena *a, const struct durable_execution *x)
{
	struct function_ref *f = NULL;
	struct principal role;
	str why = STR("the role is not known"), input;
	int rc;

	rc = TRY(scheduler_function(
		s->scheduler, x->key.account, x->key.region, x->key.function, x->version, &f));
	if (rc == 0)
		return 0; /* the function is gone, and its configuration with it */
	if (f->function.dead_letters.n) {
		struct deliver_request request = {
			.target = arena_str(a, f->function.dead_letters),
			.account = x->key.account,
			.region = x->key.region,
			.deadline_ns = rt_after_ms(DURABLE_DEADLINE_MS),
		};
		const struct deliver_attribute attributes[] = {
			{"RequestID", "String", x->key.run},
			{"ErrorCode", "Number", STR("200")},
			{"ErrorMessage", "String",
				x->error.n ? event_invoke_error(a, durable_error_payload(a, x))
					   : durable_status_name(x->status)},
		};

		rc = durable_text(s, a, x, DURABLE_INPUT, &input);
		if (rc >= 0)
			rc = role_find(s, a, f->function.role, f->function.name, &role);
		request.as = rc > 0 ? &role : NULL;
		request.body = input;
		request.attributes = attributes;
		request.attribute_count = ARRAY_SIZE(attributes);
		if (rc >= 0)
			rc = port_deliver(s->ports, a, &request, &why);
		if (rc < 0)
			log_error("lambda", "the end of a durable execution could not be handed on",
				"execution=%.*s target=%.*s error=%s reason=%.*s",
				STR_ARG(x->key.run), STR_ARG(request.target), rc_text(rc),
				STR_ARG(why));
	}
	function_unref(f);
	return 0;
}

static int set_told(struct durable_txn *t, void *arg unused_arg)
{
	t->x->told = true;
	return t->found;
}

/* A crash in between tells them twice; the parent's operation ends once. */
static int tell(struct lambda_service *s, struct arena *a, struct durable_execution *x)
{
	if (x->parent_run.n)
		TRY(tell_parent(s, a, x));
	else if (x->asynchronous && x->status != DURABLE_SUCCEEDED && x->status != DURABLE_STOPPED)
		TRY(tell_dead_letters(s, a, x));
	return durable_change(s, a, x, STR_NULL, set_told, NULL, rt_after_ms(DURABLE_DEADLINE_MS));
}

/* ---- steps ---- */

struct step {
	struct durables *durables;
	struct arena arena;
	struct durable_key key;
	str label;    /* in the map */
	bool may_run; /* it has a place for an invocation */
	/* What the transaction decided. */
	bool run, over;
	struct children children;
	uint64_t calls[CALLS_OF_A_STEP];
	unsigned call_count;
	str *updated;
	uint32_t updated_count;
};

/* Ends what is due; chained calls that are to be made are noted. */
static int expire(struct durable_txn *t, struct step *st)
{
	struct durable_execution *x = t->x;
	/* Ending one takes it off the list: look at a copy. */
	struct durable_open *open =
		arena_new_array(t->arena, struct durable_open, x->open_count + 1);
	uint32_t n = x->open_count;

	if (n)
		memcpy(open, x->open, n * sizeof(*open));
	for (uint32_t i = 0; i < n; i++) {
		struct durable_operation op;
		enum durable_event event;
		bool changed;

		if (open[i].due_ms > t->now_ms)
			continue;
		if (TRY(durable_txn_operation_at(t, open[i].seq, &op)) == 0)
			return ERR_CORRUPT;
		if (op.kind == DURABLE_CHAINED_INVOKE) {
			if (st->call_count == CALLS_OF_A_STEP)
				continue;
			st->calls[st->call_count++] = op.seq;
			durable_open_find(x, op.seq)->due_ms = DURABLE_NO_TIME;
			continue;
		}
		event = durable_expire(t->arena, x, &op, t->now_ms, &changed);
		if (!changed)
			continue;
		durable_txn_event(t, event, &op);
		durable_txn_put_operation(t, &op);
	}
	return 0;
}

/* What the function will be told has changed. */
static int note_updated(struct durable_txn *t, struct step *st)
{
	struct durable_operation op;

	st->updated = arena_new_array(t->arena, str, t->x->dirty_count + 1);
	st->updated_count = 0;
	for (uint32_t i = 0; i < t->x->dirty_count; i++)
		if (TRY(durable_txn_operation_at(t, t->x->dirty[i], &op)))
			st->updated[st->updated_count++] = op.id;
	return 0;
}

static int step(struct durable_txn *t, void *arg)
{
	struct step *st = arg;
	struct durable_execution *x = t->x;

	st->run = st->over = false;
	st->call_count = 0;
	if (!t->found || x->status != DURABLE_RUNNING)
		return 0;
	if (durable_timeout_ms(x) <= t->now_ms) {
		st->over = true;
		TRY(collect_children(t, &st->children, 0));
		durable_txn_event(t,
			durable_end(x, DURABLE_TIMED_OUT,
				durable_error(t->arena, STR("Execution.Timeout"),
					STR("Execution timed out")),
				t->now_ms),
			NULL);
		return 1;
	}
	TRY(expire(t, st));
	if (durable_wants_run(x, t->now_ms) && !st->may_run) {
		x->run_ms = t->now_ms + TROUBLE_MS;
	} else if (durable_wants_run(x, t->now_ms)) {
		st->run = true;
		TRY(note_updated(t, st));
		durable_invoked(x, st->durables->boot, lambda_uuid(t->arena),
			durable_token_new(t->arena), t->now_ms);
	}
	return 1;
}

static void invoke_fiber(void *arg)
{
	struct durable_run *r = arg;
	struct durables *d = r->durables;

	durable_run_invoke(r);
	arena_done(&r->arena);
	mem_free(r);
	place_free(d, &d->invocations);
}

struct chained_call {
	struct durables *durables;
	struct arena arena;
	struct durable_key key;
	uint64_t seq;
};

static struct durable_key key_copy(struct arena *a, const struct durable_key *key)
{
	return (struct durable_key){arena_str(a, key->account), arena_str(a, key->region),
		arena_str(a, key->function), arena_str(a, key->run)};
}

static void call_fiber(void *arg)
{
	struct chained_call *c = arg;
	struct durables *d = c->durables;

	durable_run_chained(d, d->service, &c->key, c->seq);
	arena_done(&c->arena);
	mem_free(c);
	atomic_fetch_sub(&d->running, 1);
}

/* Begins what the step decided, and has marked as begun. */
static void begin(struct step *st, struct durable_execution *x)
{
	struct durables *d = st->durables;

	for (unsigned i = 0; i < st->call_count; i++) {
		struct chained_call *c = mem_new(struct chained_call);

		c->durables = d;
		arena_init(&c->arena, SIZE_MAX);
		c->key = key_copy(&c->arena, &st->key);
		c->seq = st->calls[i];
		atomic_fetch_add(&d->running, 1);
		spawn(d, call_fiber, c);
	}
	if (st->run) {
		struct durable_run *r = mem_new(struct durable_run);

		r->durables = d;
		r->service = d->service;
		r->arena = st->arena; /* what x and the ids point into */
		arena_init(&st->arena, SIZE_MAX);
		r->x = *x;
		r->updated = st->updated;
		r->updated_count = st->updated_count;
		spawn(d, invoke_fiber, r);
	}
}

/* It has ended, or is gone. */
static int take_end(struct step *st)
{
	struct lambda_service *s = st->durables->service;
	struct durable_execution x;

	if (TRY(durable_load(s, &st->arena, &st->key, &x)) == 0 || x.status == DURABLE_RUNNING)
		return 0;
	if (!x.told)
		return tell(s, &st->arena, &x);
	if (durable_delete_ms(&x) <= rt_wall() / RT_NS_MS)
		return durable_delete(s, &st->arena, &st->key, rt_after_ms(DURABLE_DEADLINE_MS));
	return 0;
}

static int take_step(struct step *st)
{
	struct durables *d = st->durables;
	struct durable_execution x = {.key = st->key};
	int rc;

	st->may_run = place_take(d, &d->invocations, LAMBDA_DURABLE_RUNNING_MAX);
	rc = durable_change(
		d->service, &st->arena, &x, STR_NULL, step, st, rt_after_ms(DURABLE_DEADLINE_MS));
	if (st->may_run && (rc <= 0 || !st->run))
		place_free(d, &d->invocations);
	if (rc <= 0)
		return rc < 0 ? rc : take_end(st);
	if (st->over) {
		durables_ended(d, &x, STR_NULL);
		stop_children(d->service, &st->arena, &st->children);
	}
	begin(st, &x);
	return 0;
}

static void step_end(struct step *st)
{
	struct durables *d = st->durables;

	pthread_mutex_lock(&d->lock);
	map_remove(&d->stepping, st->label);
	pthread_mutex_unlock(&d->lock);
	mem_free((char *)st->label.p);
	arena_done(&st->arena);
	mem_free(st);
	place_free(d, &d->steps);
	durables_wake(d);
}

static void step_fiber(void *arg)
{
	struct step *st = arg;
	struct durable_key key = st->key;
	int rc = take_step(st);

	if (rc < 0) {
		log_error("lambda", "a durable execution could not go on",
			"execution=%.*s function=%.*s account=%.*s error=%s", STR_ARG(key.run),
			STR_ARG(key.function), STR_ARG(key.account), rc_text(rc));
		(void)!rt_sleep_until(rt_after_ms(TROUBLE_MS));
	}
	step_end(st);
}

/* ---- the dispatcher ---- */

struct pass {
	struct durables *durables;
	int64_t now_ms, due_ms;
};

/* False: a step works on it already. */
static bool stepping_add(struct durables *d, struct step *st)
{
	bool added;

	pthread_mutex_lock(&d->lock);
	added = !map_get(&d->stepping, st->label);
	if (added)
		map_put(&d->stepping, st->label, st);
	pthread_mutex_unlock(&d->lock);
	return added;
}

static int dispatch_one(void *arg, int64_t due_ms, const struct durable_key *key)
{
	struct pass *p = arg;
	struct durables *d = p->durables;
	struct step *st;
	str label;

	if (due_ms > p->now_ms) {
		p->due_ms = MIN(p->due_ms, due_ms);
		return 0;
	}
	if (!place_take(d, &d->steps, LAMBDA_DURABLE_STEPS_MAX)) {
		p->due_ms = p->now_ms + TROUBLE_MS; /* or when a place becomes free */
		return 0;
	}
	st = mem_new(struct step);
	st->durables = d;
	arena_init(&st->arena, SIZE_MAX);
	st->key = key_copy(&st->arena, key);
	label = ARENA_CONCAT(
		&st->arena, key->account, key->region, STR("/"), key->function, key->run);
	st->label = str_of(mem_alloc(label.n), label.n);
	memcpy((char *)st->label.p, label.p, label.n);
	if (stepping_add(d, st)) {
		spawn(d, step_fiber, st);
		return 1;
	}
	mem_free((char *)st->label.p);
	arena_done(&st->arena);
	mem_free(st);
	place_free(d, &d->steps); /* its end wakes us */
	return 1;
}

static void dispatch_fiber(void *arg)
{
	struct durables *d = arg;

	while (!atomic_load(&d->stopping)) {
		struct arena a cleanup(arena_done_p) = {0};
		int64_t now = rt_wall() / RT_NS_MS;
		struct pass p = {d, now, now + IDLE_MS};
		int rc;

		arena_init(&a, SIZE_MAX);
		rc = durable_each_due(d->service, &a, dispatch_one, &p);
		if (rc < 0)
			p.due_ms = now + TROUBLE_MS;
		rc = rt_event_wait(
			&d->wake, rt_after_ms(MAX(p.due_ms - rt_wall() / RT_NS_MS, INT64_C(0))));
		if (rc < 0 && rc != ERR_TIMEOUT)
			break;
	}
	rt_event_set(&d->stopped);
}

/* ---- start and end ---- */

/* What the server's end cut off: an invocation, chained calls. */
static int recover(struct durable_txn *t, void *arg unused_arg)
{
	struct durable_execution *x = t->x;
	bool changed = false;

	if (!t->found || x->status != DURABLE_RUNNING)
		return 0;
	for (uint32_t i = 0; i < x->open_count; i++)
		if (x->open[i].kind == DURABLE_CHAINED_INVOKE &&
			x->open[i].due_ms == DURABLE_NO_TIME) {
			x->open[i].due_ms = t->now_ms;
			changed = true;
		}
	if (!x->boot)
		return changed;
	log_warn("lambda", "the server ended during an invocation of a durable execution",
		"execution=%.*s function=%.*s", STR_ARG(x->key.run), STR_ARG(x->key.function));
	if (!durable_returned(x, RETURNED_CRASHED, t->now_ms))
		durable_txn_event(t,
			durable_end(x, DURABLE_FAILED,
				durable_error(t->arena, STR("ServiceException"),
					STR("The server ended twice during an invocation of "
					    "this execution.")),
				t->now_ms),
			NULL);
	return 1;
}

static int recover_one(void *arg, const struct durable_key *key)
{
	struct durables *d = arg;
	struct arena a cleanup(arena_done_p) = {0};
	struct durable_execution x = {.key = *key};

	arena_init(&a, SIZE_MAX);
	TRY(durable_change(
		d->service, &a, &x, STR_NULL, recover, NULL, rt_after_ms(DURABLE_DEADLINE_MS)));
	if (x.status == DURABLE_RUNNING)
		atomic_fetch_add(&d->open, 1);
	return 0;
}

struct durables *durables_new(struct lambda_service *s)
{
	struct durables *d = mem_new(struct durables);

	d->service = s;
	pthread_mutex_init(&d->lock, NULL);
	list_init(&d->waiters);
	rt_event_init(&d->wake);
	rt_event_init(&d->stopped);
	return d;
}

int durables_start(struct durables *d)
{
	while (!d->boot) {
		rt_random_bytes(&d->boot, sizeof(d->boot));
		d->boot >>= 1; /* records hold positive numbers */
	}
	TRY(durable_each_open(d->service, recover_one, d));
	TRY(rt_spawn(dispatch_fiber, d));
	d->started = true;
	return 0;
}

void durables_stop(struct durables *d, int64_t deadline)
{
	if (d->started) {
		atomic_store(&d->stopping, true);
		durables_wake(d);
		rt_event_wait_sure(&d->stopped);
		d->started = false;
	}
	while (atomic_load(&d->running) && rt_now() < deadline)
		if (rt_sleep_until(rt_after_ms(STOP_STEP_MS)) < 0)
			break;
	pthread_mutex_lock(&d->lock);
	list_for_each(at, &d->waiters)
		rt_event_set(&list_entry(at, struct waiter, link)->event);
	pthread_mutex_unlock(&d->lock);
}

void durables_free(struct durables *d)
{
	if (!d)
		return;
	map_done(&d->stepping);
	pthread_mutex_destroy(&d->lock);
	mem_free(d);
}
