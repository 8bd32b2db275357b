/*
 * The rules of durable executions. Times are ms since 1970 and come from the caller.
 *
 * Which actions an operation takes, by its kind and state (- : there is none yet):
 *
 *     STEP            -        START SUCCEED FAIL RETRY    READY    START SUCCEED FAIL RETRY
 *                     STARTED  SUCCEED FAIL RETRY          PENDING  nothing, until its time
 *     CONTEXT         -        START SUCCEED FAIL          STARTED  SUCCEED FAIL
 *     WAIT            -        START                       STARTED  CANCEL
 *     CALLBACK        -        START                       STARTED  CANCEL
 *     CHAINED_INVOKE  -        START                       STARTED  CANCEL
 *     EXECUTION       SUCCEED FAIL, once, as the last update of a request
 */
#include "services/lambda/durable.h"

#include "base/check.h"
#include "services/lambda/limits.h"

#include <string.h>

enum {
	BACKOFF_SHIFT_MAX = 8, /* of a second: about 4 minutes */
	CRASHES_MAX = 2,
	DAY_S = 86400
};

/* ---- names ---- */

static const str statuses[DURABLE_STATUSES] = {STR_INIT("RUNNING"), STR_INIT("SUCCEEDED"),
	STR_INIT("FAILED"), STR_INIT("TIMED_OUT"), STR_INIT("STOPPED")};
static const str kinds[DURABLE_KINDS] = {STR_INIT("EXECUTION"), STR_INIT("CONTEXT"),
	STR_INIT("STEP"), STR_INIT("WAIT"), STR_INIT("CALLBACK"), STR_INIT("CHAINED_INVOKE")};
static const str actions[DURABLE_ACTIONS] = {STR_INIT("START"), STR_INIT("SUCCEED"),
	STR_INIT("FAIL"), STR_INIT("RETRY"), STR_INIT("CANCEL")};
static const str states[OPERATION_STATES] = {STR_INIT("STARTED"), STR_INIT("PENDING"),
	STR_INIT("READY"), STR_INIT("SUCCEEDED"), STR_INIT("FAILED"), STR_INIT("CANCELLED"),
	STR_INIT("TIMED_OUT"), STR_INIT("STOPPED")};
static const str event_names[DURABLE_EVENTS] = {
	STR_INIT(""),
#define EVENT(id, name, data) STR_INIT(name),
#include "services/lambda/durable_events.def"
#undef EVENT
};

static int find(const str *names, int n, str name)
{
	for (int i = 0; i < n; i++)
		if (str_eq(names[i], name))
			return i;
	return -1;
}

str durable_status_name(enum durable_status status)
{
	return statuses[status];
}
str durable_kind_name(enum durable_kind kind)
{
	return kinds[kind];
}
str durable_action_name(enum durable_action action)
{
	return actions[action];
}
str durable_state_name(enum durable_state state)
{
	return states[state];
}
str durable_event_name(enum durable_event event)
{
	return event_names[event];
}
int durable_status_named(str name)
{
	return find(statuses, DURABLE_STATUSES, name);
}
int durable_kind_named(str name)
{
	return find(kinds, DURABLE_KINDS, name);
}
int durable_action_named(str name)
{
	return find(actions, DURABLE_ACTIONS, name);
}

/* ---- what is legal ---- */

static bool takes(enum durable_kind kind, enum durable_action action)
{
	static const uint8_t bits[DURABLE_KINDS] = {
		[DURABLE_EXECUTION] = 1 << DURABLE_SUCCEED | 1 << DURABLE_FAIL,
		[DURABLE_CONTEXT] = 1 << DURABLE_START | 1 << DURABLE_SUCCEED | 1 << DURABLE_FAIL,
		[DURABLE_STEP] = 1 << DURABLE_START | 1 << DURABLE_SUCCEED | 1 << DURABLE_FAIL |
				 1 << DURABLE_RETRY,
		[DURABLE_WAIT] = 1 << DURABLE_START | 1 << DURABLE_CANCEL,
		[DURABLE_CALLBACK] = 1 << DURABLE_START | 1 << DURABLE_CANCEL,
		[DURABLE_CHAINED_INVOKE] = 1 << DURABLE_START | 1 << DURABLE_CANCEL,
	};

	return bits[kind] >> action & 1;
}

/* Options of another kind, or where the action takes none. */
static const char *check_options(const struct durable_update *u)
{
	if (u->has_step != (u->kind == DURABLE_STEP && u->action == DURABLE_RETRY))
		return "Invalid StepOptions for the given action.";
	if (u->has_wait != (u->kind == DURABLE_WAIT && u->action == DURABLE_START))
		return "Invalid WaitOptions for the given action.";
	if (u->has_chained != (u->kind == DURABLE_CHAINED_INVOKE && u->action == DURABLE_START))
		return "Invalid ChainedInvokeOptions for the given action.";
	if ((u->timeout_s || u->heartbeat_s) &&
		(u->kind != DURABLE_CALLBACK || u->action != DURABLE_START))
		return "Invalid CallbackOptions for the given action.";
	if (u->replay_children && (u->kind != DURABLE_CONTEXT || u->action == DURABLE_START))
		return "Invalid ContextOptions for the given action.";
	return NULL;
}

static const char *check_texts(const struct durable_update *u)
{
	bool input = u->kind == DURABLE_CHAINED_INVOKE;

	switch (u->action) {
	case DURABLE_START:
		if (u->error.p)
			return "Cannot provide an Error for START action.";
		return u->payload.p && !input ? "Cannot provide a Payload for START action." : NULL;
	case DURABLE_SUCCEED:
		return u->error.p ? "Cannot provide an Error for SUCCEED action." : NULL;
	case DURABLE_FAIL: return u->payload.p ? "Cannot provide a Payload for FAIL action." : NULL;
	case DURABLE_RETRY:
		return u->error.p && u->payload.p
			       ? "Cannot provide both error and payload to RETRY a STEP."
			       : NULL;
	default: return u->payload.p ? "Cannot provide a Payload for CANCEL action." : NULL;
	}
}

static const char *check_step(const struct durable_update *u, enum durable_state state)
{
	bool ready = state == OPERATION_READY, open = ready || state == OPERATION_STARTED;

	if (u->action == DURABLE_START)
		return ready ? NULL : "Invalid current STEP state to start.";
	if (u->action == DURABLE_RETRY)
		return open ? NULL : "Invalid current STEP state to re-attempt.";
	return open ? NULL : "Invalid current STEP state to close.";
}

/* Kinds that are started once and then end by themselves, from outside, or are cancelled. */
static const char *check_started(const struct durable_update *u, const struct durable_operation *op)
{
	static const char *const exists[DURABLE_KINDS] = {
		[DURABLE_WAIT] = "Cannot start a WAIT that already exist.",
		[DURABLE_CALLBACK] = "Cannot start a CALLBACK that already exist.",
		[DURABLE_CHAINED_INVOKE] = "Cannot start an INVOKE that already exist.",
	};
	static const char *const over[DURABLE_KINDS] = {
		[DURABLE_WAIT] = "Cannot cancel a WAIT that does not exist or has already "
				 "completed.",
		[DURABLE_CALLBACK] = "Cannot cancel a CALLBACK that does not exist or has already "
				     "completed.",
		[DURABLE_CHAINED_INVOKE] = "Cannot cancel an INVOKE that does not exist or has "
					   "already completed.",
	};

	if (u->action == DURABLE_START)
		return op ? exists[u->kind] : NULL;
	return !op || op->state != OPERATION_STARTED ? over[u->kind] : NULL;
}

const char *durable_check(const struct durable_update *u, const struct durable_operation *op)
{
	const char *why;

	if (!takes(u->kind, u->action))
		return "Invalid action for the given operation type.";
	if (op && op->kind != u->kind)
		return "Inconsistent operation type.";
	if (op && !str_eq(op->parent, u->parent))
		return "Inconsistent parent operation id.";
	why = check_options(u);
	if (!why)
		why = check_texts(u);
	if (why)
		return why;
	switch (u->kind) {
	case DURABLE_EXECUTION: return NULL;
	case DURABLE_STEP: return op ? check_step(u, op->state) : NULL;
	case DURABLE_CONTEXT:
		if (!op)
			return NULL;
		if (u->action == DURABLE_START)
			return "Cannot start a CONTEXT that already exist.";
		return op->state == OPERATION_STARTED ? NULL
						      : "Invalid current CONTEXT state to close.";
	default: return check_started(u, op);
	}
}

size_t durable_update_bytes(const struct durable_update *u)
{
	return u->payload.n + u->error.n;
}

/* ---- lists ---- */

struct durable_open *durable_open_find(const struct durable_execution *x, uint64_t seq)
{
	for (uint32_t i = 0; i < x->open_count; i++)
		if (x->open[i].seq == seq)
			return &x->open[i];
	return NULL;
}

static void open_put(
	struct arena *a, struct durable_execution *x, const struct durable_operation *op)
{
	struct durable_open *at = durable_open_find(x, op->seq);

	if (!at) {
		if (x->open_count == x->open_capacity) {
			uint32_t capacity = x->open_capacity ? 2 * x->open_capacity : 16;
			struct durable_open *more =
				arena_new_array(a, struct durable_open, capacity);

			if (x->open_count)
				memcpy(more, x->open, x->open_count * sizeof(*more));
			x->open = more;
			x->open_capacity = capacity;
		}
		at = &x->open[x->open_count++];
	}
	*at = (struct durable_open){op->seq, op->kind, op->due_ms};
}

static void open_remove(struct durable_execution *x, uint64_t seq)
{
	struct durable_open *at = durable_open_find(x, seq);

	if (at)
		*at = x->open[--x->open_count];
}

void durable_mark(struct arena *a, struct durable_execution *x, uint64_t seq)
{
	for (uint32_t i = 0; i < x->dirty_count; i++)
		if (x->dirty[i] == seq)
			return;
	if (x->dirty_count == x->dirty_capacity) {
		uint32_t capacity = x->dirty_capacity ? 2 * x->dirty_capacity : 16;
		uint64_t *more = arena_new_array(a, uint64_t, capacity);

		if (x->dirty_count)
			memcpy(more, x->dirty, x->dirty_count * sizeof(*more));
		x->dirty = more;
		x->dirty_capacity = capacity;
	}
	x->dirty[x->dirty_count++] = seq;
}

/* ---- updates ---- */

static void set_texts(struct durable_operation *op, const struct durable_update *u)
{
	op->has_result = u->payload.p != NULL;
	op->result = u->payload.p ? u->payload : STR("");
	op->error = u->error.p ? u->error : STR("");
}

static void close(struct durable_execution *x, struct durable_operation *op,
	enum durable_state state, int64_t now_ms)
{
	op->state = state;
	op->end_ms = now_ms;
	op->due_ms = DURABLE_NO_TIME;
	open_remove(x, op->seq);
}

static int64_t callback_due(const struct durable_operation *op)
{
	int64_t end = op->seconds ? op->start_ms + op->seconds * INT64_C(1000) : DURABLE_NO_TIME;
	int64_t beat =
		op->heartbeat_s ? op->beat_ms + op->heartbeat_s * INT64_C(1000) : DURABLE_NO_TIME;

	return MIN(end, beat);
}

static enum durable_event start(struct arena *a, struct durable_execution *x,
	struct durable_operation *op, const struct durable_update *u, int64_t now_ms)
{
	op->state = OPERATION_STARTED;
	switch (op->kind) {
	case DURABLE_CONTEXT: return EVENT_CONTEXT_STARTED;
	case DURABLE_STEP: return EVENT_STEP_STARTED;
	case DURABLE_WAIT:
		op->seconds = u->wait_s;
		op->due_ms = now_ms + u->wait_s * INT64_C(1000);
		open_put(a, x, op);
		return EVENT_WAIT_STARTED;
	case DURABLE_CALLBACK:
		op->seconds = u->timeout_s;
		op->heartbeat_s = u->heartbeat_s;
		op->beat_ms = now_ms;
		op->due_ms = callback_due(op);
		open_put(a, x, op);
		return EVENT_CALLBACK_STARTED;
	default:
		op->function = u->function;
		op->tenant = u->tenant.p ? u->tenant : STR("");
		op->trace = u->trace.p ? u->trace : STR("");
		op->input = u->payload.p ? u->payload : STR("");
		op->due_ms = now_ms; /* to be called */
		open_put(a, x, op);
		return EVENT_CHAINED_STARTED;
	}
}

static void init(struct durable_operation *op, const struct durable_update *u, int64_t now_ms)
{
	op->id = u->id;
	op->kind = u->kind;
	op->parent = u->parent.p ? u->parent : STR("");
	op->name = u->name.p ? u->name : STR("");
	op->sub_type = u->sub_type.p ? u->sub_type : STR("");
	op->start_ms = now_ms;
	op->due_ms = DURABLE_NO_TIME;
}

enum durable_event durable_apply(struct arena *a, struct durable_execution *x,
	struct durable_operation *op, const struct durable_update *u, int64_t now_ms)
{
	bool step = u->kind == DURABLE_STEP;

	check(u->kind != DURABLE_EXECUTION);
	if (!op->id.n)
		init(op, u, now_ms);
	switch (u->action) {
	case DURABLE_START: return start(a, x, op, u, now_ms);
	case DURABLE_SUCCEED:
		set_texts(op, u);
		op->replay_children = u->replay_children;
		op->attempt += step;
		close(x, op, OPERATION_SUCCEEDED, now_ms);
		return step ? EVENT_STEP_SUCCEEDED : EVENT_CONTEXT_SUCCEEDED;
	case DURABLE_FAIL:
		set_texts(op, u);
		op->replay_children = u->replay_children;
		op->attempt += step;
		close(x, op, OPERATION_FAILED, now_ms);
		return step ? EVENT_STEP_FAILED : EVENT_CONTEXT_FAILED;
	case DURABLE_RETRY:
		set_texts(op, u);
		op->attempt++;
		op->state = OPERATION_PENDING;
		op->seconds = u->delay_s;
		op->due_ms = now_ms + u->delay_s * INT64_C(1000);
		open_put(a, x, op);
		return u->error.p ? EVENT_STEP_FAILED : EVENT_STEP_SUCCEEDED;
	default:
		op->error = u->error.p ? u->error : STR("");
		close(x, op, OPERATION_CANCELLED, now_ms);
		/* The history knows no other cancelled operations. */
		return op->kind == DURABLE_WAIT ? EVENT_WAIT_CANCELLED : EVENT_NONE;
	}
}

enum durable_event durable_expire(struct arena *a, struct durable_execution *x,
	struct durable_operation *op, int64_t now_ms, bool *ret_changed)
{
	*ret_changed = false;
	if (durable_ended(op->state) || op->due_ms > now_ms)
		return EVENT_NONE;
	*ret_changed = true;
	switch (op->kind) {
	case DURABLE_WAIT:
		close(x, op, OPERATION_SUCCEEDED, now_ms);
		durable_mark(a, x, op->seq);
		return EVENT_WAIT_SUCCEEDED;
	case DURABLE_STEP:
		op->state = OPERATION_READY;
		op->due_ms = DURABLE_NO_TIME;
		open_remove(x, op->seq);
		durable_mark(a, x, op->seq);
		return EVENT_NONE;
	case DURABLE_CALLBACK:
		op->error = op->seconds && op->start_ms + op->seconds * INT64_C(1000) <= now_ms
				    ? durable_error(
					      a, STR("Callback.Timeout"), STR("Callback timed out"))
				    : durable_error(a, STR("Callback.Heartbeat"),
					      STR("Callback timed out on heartbeat"));
		close(x, op, OPERATION_TIMED_OUT, now_ms);
		durable_mark(a, x, op->seq);
		return EVENT_CALLBACK_TIMED_OUT;
	default: *ret_changed = false; return EVENT_NONE;
	}
}

enum durable_event durable_finish(struct arena *a, struct durable_execution *x,
	struct durable_operation *op, enum durable_state state, str result, str error,
	int64_t now_ms)
{
	static const enum durable_event chained[OPERATION_STATES] = {
		[OPERATION_SUCCEEDED] = EVENT_CHAINED_SUCCEEDED,
		[OPERATION_FAILED] = EVENT_CHAINED_FAILED,
		[OPERATION_TIMED_OUT] = EVENT_CHAINED_TIMED_OUT,
		[OPERATION_STOPPED] = EVENT_CHAINED_STOPPED,
	};

	check(durable_ended(state) && !durable_ended(op->state));
	op->has_result = result.p != NULL;
	op->result = result.p ? result : STR("");
	op->error = error.p ? error : STR("");
	x->bytes += op->result.n + op->error.n;
	close(x, op, state, now_ms);
	durable_mark(a, x, op->seq);
	if (op->kind == DURABLE_CHAINED_INVOKE)
		return chained[state];
	return state == OPERATION_SUCCEEDED ? EVENT_CALLBACK_SUCCEEDED : EVENT_CALLBACK_FAILED;
}

void durable_beat(struct durable_execution *x, struct durable_operation *op, int64_t now_ms)
{
	struct durable_open *open = durable_open_find(x, op->seq);

	op->beat_ms = now_ms;
	op->due_ms = callback_due(op);
	if (open)
		open->due_ms = op->due_ms;
}

/* ---- the execution ---- */

enum durable_event durable_end(
	struct durable_execution *x, enum durable_status status, str error, int64_t now_ms)
{
	static const enum durable_event ends[DURABLE_STATUSES] = {EVENT_NONE,
		EVENT_EXECUTION_SUCCEEDED, EVENT_EXECUTION_FAILED, EVENT_EXECUTION_TIMED_OUT,
		EVENT_EXECUTION_STOPPED};

	check(x->status == DURABLE_RUNNING && status != DURABLE_RUNNING);
	x->status = status;
	x->error = error;
	x->end_ms = now_ms;
	x->open_count = x->dirty_count = 0;
	x->token = x->last_token = x->last_client = STR("");
	x->run_ms = DURABLE_NO_TIME;
	return ends[status];
}

void durable_invoked(
	struct durable_execution *x, uint64_t boot, str invocation, str token, int64_t now_ms)
{
	check(x->status == DURABLE_RUNNING && !x->boot);
	x->boot = boot;
	x->invocation = invocation;
	x->invoked_ms = now_ms;
	x->token = token;
	x->last_token = x->last_client = STR("");
	x->run_ms = DURABLE_NO_TIME;
	x->dirty_count = 0; /* its event has everything */
}

static int64_t backoff(uint32_t failures)
{
	uint32_t shift = MIN(failures, (uint32_t)BACKOFF_SHIFT_MAX);

	return INT64_C(1000) << shift;
}

bool durable_returned(struct durable_execution *x, enum durable_returned how, int64_t now_ms)
{
	check(x->status == DURABLE_RUNNING && x->boot);
	x->boot = 0;
	x->invocation = x->token = x->last_token = x->last_client = STR("");
	switch (how) {
	case RETURNED_PENDING:
		x->failures = x->crashes = 0;
		x->run_ms = x->dirty_count ? now_ms : DURABLE_NO_TIME;
		return x->open_count || x->dirty_count;
	case RETURNED_CRASHED: x->run_ms = now_ms; return ++x->crashes < CRASHES_MAX;
	default: x->run_ms = now_ms + backoff(x->failures++); return true;
	}
}

int64_t durable_timeout_ms(const struct durable_execution *x)
{
	return x->start_ms + x->timeout_s * INT64_C(1000);
}

int64_t durable_delete_ms(const struct durable_execution *x)
{
	return x->end_ms + x->retention_days * (DAY_S * INT64_C(1000));
}

bool durable_wants_run(const struct durable_execution *x, int64_t now_ms)
{
	return x->status == DURABLE_RUNNING && !x->boot &&
	       (x->run_ms <= now_ms || (x->dirty_count && x->run_ms == DURABLE_NO_TIME));
}

int64_t durable_due(const struct durable_execution *x)
{
	int64_t due;

	if (x->status != DURABLE_RUNNING)
		return x->told ? durable_delete_ms(x) : x->end_ms;
	due = MIN(durable_timeout_ms(x), x->boot ? DURABLE_NO_TIME : x->run_ms);
	for (uint32_t i = 0; i < x->open_count; i++)
		due = MIN(due, x->open[i].due_ms);
	if (durable_wants_run(x, x->start_ms))
		due = MIN(due, x->start_ms);
	return due;
}
