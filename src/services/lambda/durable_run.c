/*
 * One invocation of a durable execution's function, and one call of another function for it.
 *
 * The function gets, instead of the caller's event, which execution it is, a token for its first
 * checkpoint, and the operations so far; what does not fit it asks for (GetDurableExecutionState).
 * Its answer says whether the execution has ended or waits. An invocation that fails otherwise (a
 * crash, its time-out, an error that is thrown) is repeated with growing pauses until the execution
 * times out.
 *
 * Source: Developer Guide, "Lambda durable functions", "Retries".
 */
#include "aws/value.h"
#include "base/json.h"
#include "base/log.h"
#include "rt/rt.h"
#include "services/lambda/durable_engine.h"
#include "services/lambda/role.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "services/lambda/tenant.h"

enum {
	EVENT_BYTES = 64 * 1024 * 1024,
	PAGE_BYTES = LAMBDA_PAYLOAD_BYTES_MAX,
	CALL_RETRY_MS = 1000,
	WRITE_RETRY_MS = 1000,
	CALL_SHIFT_MAX = 6 /* about a minute */
};

/*
 * A change that must not be lost while the server runs: nobody else would make it. A try that
 * failed may have been done all the same, so `fn` sees what it did itself.
 */
static int change_surely(struct lambda_service *s, struct arena *a, struct durable_execution *x,
	durable_change_fn *fn, void *arg)
{
	for (;;) {
		int rc = durable_change(
			s, a, x, STR_NULL, fn, arg, rt_after_ms(DURABLE_DEADLINE_MS));

		if (rc >= 0 || rc == ERR_CORRUPT || rc == ERR_VERSION || s->stopping)
			return rc;
		log_error("lambda", "a durable execution could not be written and will be",
			"execution=%.*s error=%s", STR_ARG(x->key.run), rc_text(rc));
		TRY(rt_sleep_until(rt_after_ms(WRITE_RETRY_MS)));
	}
}

/* ---- the event ---- */

struct page {
	struct durable_run *run;
	struct json_writer w;
	struct buf b;
	uint64_t last; /* number of the last operation in it */
	bool more;
};

static int put_operation(void *arg, const struct durable_operation *op)
{
	struct page *p = arg;
	struct arena *a = &p->run->arena;
	struct value *v = value_new(a, model_named(STR("lambda")), "Operation");

	if (p->last && p->b.n + op->result.n + op->error.n > PAGE_BYTES) {
		p->more = true;
		return 0;
	}
	durable_render_operation(a, &p->run->x.key, op, v);
	durable_put_operation(&p->w, v);
	p->last = op->seq;
	return 1;
}

static int write_event(struct durable_run *r, str *ret_payload)
{
	struct page p = {.run = r};
	struct value *v = value_new(&r->arena, model_named(STR("lambda")), "Operation");
	str input;

	TRY(durable_text(r->service, &r->arena, &r->x, DURABLE_INPUT, &input));
	buf_init(&p.b, &r->arena, EVENT_BYTES);
	json_writer_init(&p.w, &p.b);
	json_put_object_begin(&p.w);
	json_put_key_string(&p.w, STR("DurableExecutionArn"), durable_arn(&r->arena, &r->x));
	json_put_key_string(&p.w, STR("CheckpointToken"), r->x.token);
	json_put_key(&p.w, STR("InitialExecutionState"));
	json_put_object_begin(&p.w);
	json_put_key(&p.w, STR("Operations"));
	json_put_array_begin(&p.w);
	durable_render_execution(&r->x, input, v);
	durable_put_operation(&p.w, v);
	TRY(durable_each_operation(r->service, &r->arena, &r->x.key, 0, put_operation, &p));
	json_put_array_end(&p.w);
	json_put_key_string(
		&p.w, STR("NextMarker"), p.more ? durable_marker(&r->arena, p.last) : STR(""));
	json_put_object_end(&p.w);
	json_put_key(&p.w, STR("UpdatedOperationIds"));
	json_put_array_begin(&p.w);
	for (uint32_t i = 0; i < r->updated_count; i++)
		json_put_string(&p.w, r->updated[i]);
	json_put_array_end(&p.w);
	json_put_object_end(&p.w);
	if (p.b.over)
		return ERR_TOO_LARGE;
	*ret_payload = buf_str(&p.b);
	return 0;
}

/* ---- the outcome ---- */

/* What came of it, before the execution as it is now is known. */
struct outcome {
	enum {
		OUTCOME_ANSWER,
		OUTCOME_ERROR,
		OUTCOME_AGAIN,
		OUTCOME_HOPELESS,
		OUTCOME_DELETED /* the function, not only the version: as durables_forget() does */
	} kind;
	struct durable_answer answer;
	str invocation, error;
	bool ended; /* the execution, by it */
};

static int fail(struct durable_txn *t, str error)
{
	durable_txn_event(t, durable_end(t->x, DURABLE_FAILED, error, t->now_ms), NULL);
	return 1;
}

static int fail_text(struct durable_txn *t, const char *message)
{
	return fail(
		t, durable_error(t->arena, STR("InvalidParameterValueException"), str_c(message)));
}

static int take_answer(struct durable_txn *t, const struct durable_answer *answer)
{
	size_t max = t->x->asynchronous ? LAMBDA_EVENT_BYTES_MAX : LAMBDA_PAYLOAD_BYTES_MAX;

	switch (answer->status) {
	case DURABLE_SUCCEEDED:
		if (answer->error.n)
			return fail_text(t, "Cannot provide an Error for SUCCEEDED status.");
		if (answer->result.n > max)
			return fail_text(t, "The result of the execution is too large.");
		if (answer->has_result)
			durable_txn_text(t, DURABLE_RESULT, answer->result);
		durable_txn_event(
			t, durable_end(t->x, DURABLE_SUCCEEDED, STR(""), t->now_ms), NULL);
		return 1;
	case DURABLE_FAILED:
		if (answer->has_result)
			return fail_text(t, "Cannot provide a Result for FAILED status.");
		if (answer->error.n > LAMBDA_DURABLE_TEXT_BYTES_MAX)
			return fail_text(t, "The error of the execution is too large.");
		return fail(t, answer->error);
	default:
		if (!durable_returned(t->x, RETURNED_PENDING, t->now_ms))
			return fail_text(
				t, "Cannot return PENDING status with no pending operations.");
		return 1;
	}
}

static int take_outcome(struct durable_txn *t, void *arg)
{
	struct outcome *o = arg;

	/* It was deleted, or a try that seemed to fail has done it. */
	if (!t->found || !t->x->boot || !str_eq(t->x->invocation, o->invocation))
		return 0;
	if (o->kind != OUTCOME_AGAIN)
		durable_txn_invocation(t, o->error);
	if (t->x->status != DURABLE_RUNNING) {
		/* A checkpoint, a stop or its time ended it meanwhile. */
		o->ended = false;
		t->x->boot = 0;
		t->x->invocation = STR("");
		return 1;
	}
	t->x->bytes += o->error.n;
	switch (o->kind) {
	case OUTCOME_ANSWER: take_answer(t, &o->answer); break;
	case OUTCOME_ERROR: (void)durable_returned(t->x, RETURNED_ERROR, t->now_ms); break;
	case OUTCOME_AGAIN: (void)durable_returned(t->x, RETURNED_THROTTLED, t->now_ms); break;
	case OUTCOME_HOPELESS: fail(t, o->error); break;
	case OUTCOME_DELETED:
		durable_txn_event(t, durable_end(t->x, DURABLE_STOPPED, o->error, t->now_ms), NULL);
		break;
	}
	if (t->x->status != DURABLE_RUNNING) {
		o->ended = true;
		t->x->boot = 0;
		t->x->invocation = STR("");
	}
	return 1;
}

/* Is there no version of the function left? An execution may begin while it is being deleted. */
static mayyield bool is_deleted(struct durable_run *r)
{
	const struct durable_key *key = &r->x.key;
	struct function_ref *f = NULL;
	int rc = scheduler_function(
		r->service->scheduler, key->account, key->region, key->function, STR_NULL, &f);

	function_unref(f);
	return rc == 0;
}

static mayyield struct outcome outcome_of(
	struct durable_run *r, int rc, const struct invocation *inv, str invocation)
{
	struct outcome o = {.kind = OUTCOME_AGAIN, .invocation = invocation, .error = STR("")};
	struct arena *a = &r->arena;

	if (rc == ERR_NOT_FOUND && is_deleted(r)) {
		o.kind = OUTCOME_DELETED;
		o.error = durable_error(a, STR("ResourceNotFoundException"), STR(DURABLE_DELETED));
		return o;
	}
	if (rc == ERR_NOT_FOUND ||
		(rc == ERR_FAULT && inv->fault.kind == &lambda_faults[LAMBDA_RECURSIVE])) {
		o.kind = OUTCOME_HOPELESS;
		o.error =
			rc == ERR_FAULT
				? durable_error(a, str_c(inv->fault.kind->code), inv->fault.message)
				: durable_error(a, STR("ResourceNotFoundException"),
					  STR("The version of the function that runs this "
					      "execution does not exist any more."));
		return o;
	}
	if (rc < 0 || (inv->function_error.p && r->service->stopping))
		return o; /* throttled, no room, the server stops: not the function's fault */
	if (inv->function_error.p) {
		o.kind = OUTCOME_ERROR;
		o.error = durable_error_of(a, inv->payload_out);
		if (o.error.n > LAMBDA_ERROR_BYTES_MAX)
			o.error = durable_error(a, STR("Runtime.Unknown"), STR("Unknown error"));
		return o;
	}
	o.kind = OUTCOME_ANSWER;
	if (durable_answer_parse(a, inv->payload_out, &o.answer) < 0) {
		o.kind = OUTCOME_HOPELESS;
		o.error = durable_error(a, STR("InvalidParameterValueException"),
			STR("Invalid Status in invocation output."));
	}
	return o;
}

static int invoke(struct durable_run *r, struct invocation *inv)
{
	struct lambda_service *s = r->service;
	const struct durable_execution *x = &r->x;
	struct function_ref *f = NULL;
	int rc;

	TRY(write_event(r, &inv->payload));
	if (TRY(scheduler_function(s->scheduler, x->key.account, x->key.region, x->key.function,
		    x->version, &f)) == 0)
		return ERR_NOT_FOUND;
	rc = scheduler_invoke(s->scheduler, f, inv);
	function_unref(f);
	return rc;
}

void durable_run_invoke(struct durable_run *r)
{
	struct lambda_service *s = r->service;
	const struct durable_execution *x = &r->x;
	struct invocation inv = {
		.arena = &r->arena,
		.request_id = x->invocation,
		.arn = x->arn,
		.client_context = x->client_context.n ? x->client_context : STR_NULL,
		.trace = x->trace.n ? x->trace : STR_NULL,
		.tenant = x->tenant.n ? x->tenant : STR_NULL,
		.log_tail = !x->asynchronous, /* somebody may wait who wants it */
		.deadline_ns = RT_NEVER,
	};
	struct durable_execution after = {.key = x->key};
	struct outcome o;
	int rc = invoke(r, &inv);

	o = outcome_of(r, rc, &inv, x->invocation);
	rc = change_surely(s, &r->arena, &after, take_outcome, &o);
	if (rc < 0)
		log_error("lambda", "the end of an invocation could not be written",
			"execution=%.*s error=%s", STR_ARG(x->key.run), rc_text(rc));
	else if (o.ended)
		durables_ended(r->durables, &after, inv.tail);
	durables_wake(r->durables);
}

/* ---- chained calls ---- */

struct chained {
	struct durable_operation op;
	enum durable_state state; /* OPERATION_STARTED: it goes on */
	str result, error, child;
	bool again; /* try later */
};

static int refuse(struct arena *a, struct chained *c, const struct fault *fault)
{
	c->again = fault->kind->retryable;
	c->state = OPERATION_FAILED;
	c->error = durable_error(a, str_c(fault->kind->code), fault->message);
	return 0;
}

static int refuse_text(struct arena *a, struct chained *c, enum lambda_fault kind, str message)
{
	c->state = OPERATION_FAILED;
	c->error = durable_error(a, str_c(lambda_faults[kind].code), message);
	return 0;
}

static int call_durable(struct lambda_service *s, struct arena *a, const struct durable_key *key,
	const struct durable_execution *x, const struct function_ref *f, str arn, struct chained *c)
{
	const struct durable_start start = {
		.function = f,
		.arn = arn,
		/* The same after a crash, so it starts once. */
		.name = arena_printf(
			a, "%.*s-%llu", STR_ARG(key->run), (unsigned long long)c->op.seq),
		.input = c->op.input.n ? c->op.input : STR("{}"),
		.trace = c->op.trace.n ? c->op.trace : x->trace,
		.tenant = c->op.tenant,
		.client_context = STR(""),
		.asynchronous = true,
		.parent = key,
		.parent_seq = c->op.seq,
	};
	struct durable_execution child;
	struct fault fault = {0};
	int rc = tenant_check(&fault, a, &f->function, c->op.tenant.n ? c->op.tenant : STR_NULL);

	if (rc >= 0)
		rc = durable_start(s, a, &start, &child, &fault);
	if (rc == ERR_FAULT)
		return refuse(a, c, &fault);
	TRY(rc);
	c->child = durable_arn(a, &child);
	return 0;
}

static int call_plain(struct lambda_service *s, struct arena *a, const struct durable_execution *x,
	const struct durable_key *key, struct chained *c)
{
	const struct invoke_request request = {
		.account = key->account,
		.region = key->region,
		.function = c->op.function,
		.payload = c->op.input,
		.trace = c->op.trace.n ? c->op.trace
			 : x->trace.n  ? x->trace
				       : STR_NULL,
		.tenant = c->op.tenant.n ? c->op.tenant : STR_NULL,
		.deadline_ns = RT_NEVER,
	};
	struct invoke_result result;
	int rc = invoke_by_port(s, a, &request, &result);

	if (rc == ERR_FAULT)
		return refuse(a, c, &result.fault);
	TRY(rc);
	if (result.function_error.p) {
		c->state = OPERATION_FAILED;
		c->error = durable_error_of(a, result.payload);
	} else if (result.payload.n > LAMBDA_DURABLE_TEXT_BYTES_MAX) {
		return refuse_text(a, c, LAMBDA_INVALID_PARAMETER,
			STR("The result of the invoked function is larger than 1 MB."));
	} else {
		c->state = OPERATION_SUCCEEDED;
		c->result = result.payload;
	}
	return 0;
}

/* May the execution's function call it, and which way? */
static int call(struct lambda_service *s, struct arena *a, const struct durable_key *key,
	const struct durable_execution *x, struct chained *c)
{
	struct function_ref *own = NULL, *f = NULL;
	struct function_name name;
	struct principal role;
	str arn;
	int rc;

	if (function_name_parse(c->op.function, &name) < 0)
		return refuse_text(a, c, LAMBDA_INVALID_PARAMETER,
			STR("The FunctionName is not that of a function."));
	name.account = name.account.p ? name.account : key->account;
	name.region = name.region.p ? name.region : key->region;
	arn = function_arn(a, name.account, name.region, name.name, name.qualifier);
	if (!str_eq(name.account, key->account) || !str_eq(name.region, key->region))
		return refuse_text(a, c, LAMBDA_INVALID_PARAMETER,
			STR("A chained invocation stays in its account and region."));
	if (TRY(scheduler_function(
		    s->scheduler, key->account, key->region, key->function, x->version, &own)) == 0)
		return ERR_NOT_FOUND;
	rc = role_find(s, a, own->function.role, key->function, &role);
	function_unref(own);
	if (rc < 0 || (rc > 0 && !role_may(a, &role, STR("lambda:InvokeFunction"), arn))) {
		c->state = OPERATION_FAILED;
		c->error = durable_error(a, STR("AccessDeniedException"),
			ARENA_CONCAT(a,
				STR("The function's role is not authorized to perform "
				    "lambda:InvokeFunction on "),
				arn));
		return 0;
	}
	if (TRY(invoke_find(s, a, name.account, name.region, name.name, name.qualifier, &f)) == 0)
		return refuse_text(
			a, c, LAMBDA_NOT_FOUND, ARENA_CONCAT(a, STR("Function not found: "), arn));
	if (!function_is_durable(&f->function))
		rc = call_plain(s, a, x, key, c);
	else if (!name.qualifier.p)
		rc = refuse_text(a, c, LAMBDA_INVALID_PARAMETER, STR(DURABLE_UNQUALIFIED));
	else
		rc = call_durable(s, a, key, x, f, arn, c);
	function_unref(f);
	return rc;
}

static int take_call(struct durable_txn *t, void *arg)
{
	struct chained *c = arg;
	struct durable_operation op;
	struct durable_open *open;

	if (!t->found || t->x->status != DURABLE_RUNNING ||
		TRY(durable_txn_operation_at(t, c->op.seq, &op)) == 0 || durable_ended(op.state))
		return 0;
	open = durable_open_find(t->x, op.seq);
	if (c->again && open) {
		open->due_ms =
			t->now_ms + (CALL_RETRY_MS << MIN(op.attempt, (uint32_t)CALL_SHIFT_MAX));
		op.attempt++;
	} else if (c->child.n) {
		op.child = c->child;
	} else {
		durable_txn_event(t,
			durable_finish(
				t->arena, t->x, &op, c->state, c->result, c->error, t->now_ms),
			&op);
	}
	durable_txn_put_operation(t, &op);
	return 1;
}

void durable_run_chained(
	struct durables *d, struct lambda_service *s, const struct durable_key *key, uint64_t seq)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct durable_execution x = {.key = *key};
	struct chained c = {.result = STR_NULL, .error = STR(""), .child = STR("")};
	int rc;

	arena_init(&a, SIZE_MAX);
	rc = durable_load(s, &a, key, &x);
	if (rc > 0)
		rc = durable_operation_load(s, &a, key, seq, &c.op);
	if (rc > 0)
		rc = call(s, &a, key, &x, &c);
	if (rc < 0) {
		log_error("lambda", "a chained invocation of a durable execution failed",
			"execution=%.*s error=%s", STR_ARG(key->run), rc_text(rc));
		c.again = true;
	}
	if (c.error.n > LAMBDA_DURABLE_TEXT_BYTES_MAX)
		c.error = durable_error(
			&a, STR("Runtime.Unknown"), STR("The error is larger than 1 MB."));
	rc = change_surely(s, &a, &x, take_call, &c);
	if (rc < 0)
		log_error("lambda", "the end of a chained invocation could not be written",
			"execution=%.*s error=%s", STR_ARG(key->run), rc_text(rc));
	durables_wake(d);
}
