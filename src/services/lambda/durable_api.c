/*
 * Operations that change a durable execution: checkpoints, callbacks, stopping.
 *
 * A checkpoint is one transaction: its updates are checked and carried out in their order, each
 * against what the earlier ones left, or none of them is. Its token is used up by it; the answer
 * has the next one, and besides what it changed all that changed without the function.
 *
 * Source: API Reference, the operation of each handler's name.
 */
#include "services/lambda/durable_api.h"

#include "aws/codec.h"
#include "base/check.h"
#include "base/hash.h"
#include "rt/rt.h"
#include "services/lambda/durable_engine.h"
#include "services/lambda/service.h"

enum { NONCE_BYTES = 16, ANSWER_BYTES = 6 * 1024 * 1024 };

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

#define REFUSE(c, ...) \
	lambda_fault_set(&(c)->fault, (c)->arena, LAMBDA_INVALID_PARAMETER, __VA_ARGS__)

/* ---- which execution ---- */

int durable_resource(struct call *c, str *ret_arn)
{
	*ret_arn = value_str(c->in, "DurableExecutionArn");
	return 0;
}

static int request_key(struct call *c, struct durable_key *ret_key, str *ret_version, str *ret_name)
{
	str arn = value_str(c->in, "DurableExecutionArn");

	if (durable_arn_parse(arn, ret_key, ret_version, ret_name) < 0)
		return REFUSE(c, "%.*s is not the ARN of a durable execution.", STR_ARG(arn));
	return 0;
}

int durable_of_request(struct call *c, struct durable_execution *ret)
{
	struct durable_key key;
	str version, name;

	TRY(request_key(c, &key, &version, &name));
	if (!str_eq(key.region, c->region) ||
		TRY(durable_load(self(c), c->arena, &key, ret)) == 0 ||
		!str_eq(ret->version, version) || !str_eq(ret->name, name))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"Durable execution not found: %.*s",
			STR_ARG(value_str(c->in, "DurableExecutionArn")));
	return 0;
}

/* JSON of an ErrorObject, STR_NULL when the member is absent. */
static int error_text(struct call *c, const struct value *v, str *ret)
{
	struct buf b;

	*ret = STR_NULL;
	if (!v)
		return 0;
	buf_init(&b, c->arena, LAMBDA_DURABLE_TEXT_BYTES_MAX);
	codec_json_store(&b, v);
	if (b.over)
		return REFUSE(c, "Error object size must be less than %d bytes.",
			LAMBDA_DURABLE_TEXT_BYTES_MAX);
	*ret = buf_str(&b);
	return 0;
}

/* ---- reading updates ---- */

static int read_update(struct call *c, const struct value *v, struct durable_update *ret)
{
	const struct value *step = value_get(v, "StepOptions"), *wait = value_get(v, "WaitOptions"),
			   *callback = value_get(v, "CallbackOptions"),
			   *chained = value_get(v, "ChainedInvokeOptions");
	struct durable_update u = {
		.id = value_str(v, "Id"),
		.parent = value_str(v, "ParentId"),
		.name = value_str(v, "Name"),
		.sub_type = value_str(v, "SubType"),
		.kind = (enum durable_kind)durable_kind_named(value_str(v, "Type")),
		.action = (enum durable_action)durable_action_named(value_str(v, "Action")),
		.payload = value_str(v, "Payload"),
		.has_step = value_has(step, "NextAttemptDelaySeconds"),
		.has_wait = value_has(wait, "WaitSeconds"),
		.has_chained = chained != NULL,
		.delay_s = (uint32_t)value_int(step, "NextAttemptDelaySeconds", 0),
		.wait_s = (uint32_t)value_int(wait, "WaitSeconds", 0),
		.timeout_s = (uint32_t)value_int(callback, "TimeoutSeconds", 0),
		.heartbeat_s = (uint32_t)value_int(callback, "HeartbeatTimeoutSeconds", 0),
		.replay_children =
			value_bool(value_get(v, "ContextOptions"), "ReplayChildren", false),
		.function = value_str(chained, "FunctionName"),
		.tenant = value_str(chained, "TenantId"),
		.trace = value_str(chained, "XAmznTraceId"),
	};

	TRY(error_text(c, value_get(v, "Error"), &u.error));
	if (u.kind != DURABLE_EXECUTION && u.payload.n > LAMBDA_DURABLE_TEXT_BYTES_MAX)
		return REFUSE(c, "The payload of the operation %.*s is larger than %d bytes.",
			STR_ARG(u.id), LAMBDA_DURABLE_TEXT_BYTES_MAX);
	*ret = u;
	return 0;
}

struct checkpoint {
	struct call *call;
	struct durable_update *updates;
	uint32_t count;
	str token, client, next_token;
	/* Results. */
	struct durable_operation *changed; /* by the updates, in their order */
	uint32_t changed_count;
	bool ended;
};

/* Of the whole request: one end of the execution, as the last. */
static int check_batch(struct call *c, const struct checkpoint *cp)
{
	uint32_t ends = 0;

	for (uint32_t i = 0; i < cp->count; i++)
		ends += cp->updates[i].kind == DURABLE_EXECUTION;
	if (ends > 1)
		return REFUSE(c, "Cannot checkpoint multiple EXECUTION updates.");
	if (ends && cp->updates[cp->count - 1].kind != DURABLE_EXECUTION)
		return REFUSE(c, "EXECUTION checkpoint must be the last update.");
	return 0;
}

/* ---- a checkpoint's transaction ---- */

static struct durable_operation *find_changed(struct checkpoint *cp, str id)
{
	for (uint32_t i = 0; i < cp->changed_count; i++)
		if (str_eq(cp->changed[i].id, id))
			return &cp->changed[i];
	return NULL;
}

static int check_parent(struct durable_txn *t, struct checkpoint *cp, str id)
{
	const struct durable_operation *parent;
	struct durable_operation stored;

	if (!id.p)
		return 0;
	parent = find_changed(cp, id);
	if (!parent && TRY(durable_txn_operation(t, id, &stored)))
		parent = &stored;
	if (!parent || parent->kind != DURABLE_CONTEXT)
		return REFUSE(cp->call, "Invalid parent operation id.");
	return 0;
}

/* An operation may be started and closed in one request, and otherwise has one update. */
static bool may_follow(const struct checkpoint *cp, uint32_t index)
{
	const struct durable_update *u = &cp->updates[index];

	for (uint32_t i = 0; i < index; i++)
		if (str_eq(cp->updates[i].id, u->id) &&
			(cp->updates[i].action != DURABLE_START || u->action == DURABLE_START ||
				(u->kind != DURABLE_STEP && u->kind != DURABLE_CONTEXT)))
			return false;
	return true;
}

static int end_execution(
	struct durable_txn *t, struct checkpoint *cp, const struct durable_update *u)
{
	size_t max = t->x->asynchronous ? LAMBDA_EVENT_BYTES_MAX : LAMBDA_PAYLOAD_BYTES_MAX;
	const char *why = durable_check(u, NULL);

	if (why)
		return REFUSE(cp->call, "%s", why);
	if (u->payload.n > max)
		return REFUSE(
			cp->call, "The result of the execution is larger than %zu bytes.", max);
	if (u->payload.p)
		durable_txn_text(t, DURABLE_RESULT, u->payload);
	durable_txn_event(t,
		durable_end(t->x, u->action == DURABLE_SUCCEED ? DURABLE_SUCCEEDED : DURABLE_FAILED,
			u->error.p ? u->error : STR(""), t->now_ms),
		NULL);
	cp->ended = true;
	return 0;
}

static str nonce_new(struct arena *a)
{
	uint8_t bytes[NONCE_BYTES];
	struct buf b;

	rt_random_bytes(bytes, sizeof(bytes));
	buf_init(&b, a, 64);
	base64url_put(&b, str_of(bytes, sizeof(bytes)));
	return str_sub(buf_str(&b), 0, DURABLE_NONCE_BYTES);
}

static int apply(struct durable_txn *t, struct checkpoint *cp, uint32_t index)
{
	const struct durable_update *u = &cp->updates[index];
	struct durable_operation *op = find_changed(cp, u->id), stored;
	const char *why;
	bool fresh;

	if (!may_follow(cp, index))
		return REFUSE(
			cp->call, "Cannot update the same operation twice in a single request.");
	TRY(check_parent(t, cp, u->parent));
	t->x->bytes += durable_update_bytes(u);
	if (u->kind == DURABLE_EXECUTION)
		return end_execution(t, cp, u);
	if (!op && TRY(durable_txn_operation(t, u->id, &stored))) {
		op = &cp->changed[cp->changed_count];
		*op = stored;
	}
	why = durable_check(u, op);
	if (why)
		return REFUSE(cp->call, "%s", why);
	fresh = !op;
	if (fresh) {
		op = &cp->changed[cp->changed_count];
		*op = (struct durable_operation){.seq = t->x->next_seq++,
			.result = STR(""),
			.error = STR(""),
			.nonce = u->kind == DURABLE_CALLBACK ? nonce_new(t->arena) : STR(""),
			.function = STR(""),
			.tenant = STR(""),
			.trace = STR(""),
			.input = STR(""),
			.child = STR("")};
	}
	if (op == &cp->changed[cp->changed_count])
		cp->changed_count++;
	t->x->operations += fresh || u->action == DURABLE_RETRY;
	durable_txn_event(t, durable_apply(t->arena, t->x, op, u, t->now_ms), op);
	return 0;
}

static int check_limits(struct checkpoint *cp, const struct durable_execution *x)
{
	if (x->operations > LAMBDA_DURABLE_OPERATIONS_MAX)
		return REFUSE(cp->call,
			"The durable execution has reached the limit of %d operations.",
			LAMBDA_DURABLE_OPERATIONS_MAX);
	if (x->bytes > LAMBDA_DURABLE_BYTES_MAX)
		return REFUSE(cp->call, "The durable execution has written more than %d bytes.",
			LAMBDA_DURABLE_BYTES_MAX);
	return 0;
}

/* What changed without the function, as far as the answer has room: then it is told. */
static int add_dirty(struct durable_txn *t, struct checkpoint *cp)
{
	struct durable_execution *x = t->x;
	struct durable_operation *all =
		arena_new_array(t->arena, struct durable_operation, cp->count + x->dirty_count + 1);
	uint32_t kept = 0;
	size_t bytes = 0;

	memcpy(all, cp->changed, cp->changed_count * sizeof(*all));
	cp->changed = all;
	for (uint32_t i = 0; i < cp->changed_count; i++)
		bytes += cp->changed[i].result.n + cp->changed[i].error.n;
	for (uint32_t i = 0; i < x->dirty_count; i++) {
		struct durable_operation op;

		if (TRY(durable_txn_operation_at(t, x->dirty[i], &op)) == 0 ||
			find_changed(cp, op.id))
			continue;
		bytes += op.result.n + op.error.n;
		if (bytes > ANSWER_BYTES && cp->changed_count)
			x->dirty[kept++] = x->dirty[i];
		else
			cp->changed[cp->changed_count++] = op;
	}
	x->dirty_count = kept;
	return 0;
}

static int checkpoint(struct durable_txn *t, void *arg)
{
	struct checkpoint *cp = arg;
	struct durable_execution *x = t->x;
	uint32_t own;

	cp->changed_count = 0;
	cp->ended = false;
	if (t->found && cp->client.n && str_eq_secret(x->last_token, cp->token) &&
		str_eq(x->last_client, cp->client)) {
		/* Done already: the same answer, nothing more. */
		for (uint32_t i = 0; i < cp->count; i++)
			if (!find_changed(cp, cp->updates[i].id) &&
				TRY(durable_txn_operation(
					t, cp->updates[i].id, &cp->changed[cp->changed_count])))
				cp->changed_count++;
		cp->next_token = x->token;
		return 0;
	}
	if (!t->found || !x->token.n || !str_eq_secret(x->token, cp->token))
		return REFUSE(cp->call, "Invalid Checkpoint Token");
	for (uint32_t i = 0; i < cp->count; i++)
		TRY(apply(t, cp, i));
	TRY(check_limits(cp, x));
	own = cp->changed_count;
	for (uint32_t i = 0; i < own; i++)
		durable_txn_put_operation(t, &cp->changed[i]);
	if (cp->ended)
		return 1;
	if (cp->count)
		x->crashes = 0;
	x->last_token = x->token;
	x->last_client = cp->client.p ? cp->client : STR("");
	x->token = cp->next_token;
	TRY(add_dirty(t, cp));
	return 1;
}

static int read_checkpoint(struct call *c, struct checkpoint *cp)
{
	const struct value *updates = value_get(c->in, "Updates");
	uint32_t n = value_count(updates);

	if (n > LAMBDA_DURABLE_OPERATIONS_MAX)
		return REFUSE(
			c, "A checkpoint has at most %d updates.", LAMBDA_DURABLE_OPERATIONS_MAX);
	cp->updates = arena_new_array(c->arena, struct durable_update, n + 1);
	cp->changed = arena_new_array(c->arena, struct durable_operation, n + 1);
	cp->count = n;
	for (uint32_t i = 0; i < n; i++)
		TRY(read_update(c, value_at(updates, i), &cp->updates[i]));
	return check_batch(c, cp);
}

int durable_checkpoint(struct call *c)
{
	struct lambda_service *s = self(c);
	struct checkpoint cp = {.call = c,
		.token = value_str(c->in, "CheckpointToken"),
		.client = value_str(c->in, "ClientToken"),
		.next_token = durable_token_new(c->arena)};
	struct durable_execution x = {{STR_NULL, STR_NULL, STR_NULL, STR_NULL}};
	struct value *state, *list;
	str version, name;
	int rc;

	TRY(request_key(c, &x.key, &version, &name));
	TRY(read_checkpoint(c, &cp));
	rc = TRY(durable_change(s, c->arena, &x, STR_NULL, checkpoint, &cp, c->deadline_ns));
	if (cp.ended)
		durables_ended(s->durables, &x, STR_NULL);
	else if (rc > 0 && x.open_count)
		durables_wake(s->durables);
	if (!cp.ended)
		value_put_str(c->out, "CheckpointToken", cp.next_token);
	state = value_put_struct(c->out, "NewExecutionState");
	list = value_put_list(state, "Operations");
	for (uint32_t i = 0; i < cp.changed_count; i++)
		durable_render_operation(c->arena, &x.key, &cp.changed[i], value_add_struct(list));
	return 0;
}

/* ---- callbacks ---- */

struct callback {
	struct call *call;
	struct durable_callback id;
	enum durable_state state; /* OPERATION_STARTED: a heartbeat */
	str result, error;
};

static int callback_id(struct call *c, struct durable_callback *ret)
{
	if (durable_callback_parse(c->arena, value_str(c->in, "CallbackId"), ret) < 0 ||
		!str_eq(ret->key.region, c->region))
		return REFUSE(c, "Invalid CallbackId");
	return 0;
}

int durable_callback_resource(struct call *c, str *ret_arn)
{
	struct durable_execution x;
	struct durable_callback id;

	TRY(callback_id(c, &id));
	if (TRY(durable_load(self(c), c->arena, &id.key, &x)) == 0)
		return REFUSE(c, "Invalid CallbackId");
	*ret_arn = durable_arn(c->arena, &x);
	return 0;
}

static int change_callback(struct durable_txn *t, void *arg)
{
	struct callback *cb = arg;
	struct durable_operation op;

	if (!t->found || TRY(durable_txn_operation_at(t, cb->id.seq, &op)) == 0 ||
		op.kind != DURABLE_CALLBACK || !str_eq_secret(op.nonce, cb->id.nonce))
		return REFUSE(cb->call, "Invalid CallbackId");
	if (op.state == OPERATION_TIMED_OUT || (!durable_ended(op.state) && op.due_ms <= t->now_ms))
		return lambda_fault_set(&cb->call->fault, cb->call->arena, LAMBDA_CALLBACK_TIMEOUT,
			"The callback has timed out.");
	if (durable_ended(op.state) || t->x->status != DURABLE_RUNNING)
		return REFUSE(cb->call, "The callback has already been completed.");
	if (cb->state == OPERATION_STARTED)
		durable_beat(t->x, &op, t->now_ms);
	else
		durable_txn_event(t,
			durable_finish(
				t->arena, t->x, &op, cb->state, cb->result, cb->error, t->now_ms),
			&op);
	if (t->x->bytes > LAMBDA_DURABLE_BYTES_MAX)
		return REFUSE(cb->call, "The durable execution has written more than %d bytes.",
			LAMBDA_DURABLE_BYTES_MAX);
	durable_txn_put_operation(t, &op);
	return 1;
}

static int finish_callback(struct call *c, struct callback *cb)
{
	struct durable_execution x;

	cb->call = c;
	TRY(callback_id(c, &cb->id));
	x.key = cb->id.key;
	TRY(durable_change(self(c), c->arena, &x, STR_NULL, change_callback, cb, c->deadline_ns));
	durables_wake(self(c)->durables);
	return 0;
}

int durable_callback_success(struct call *c)
{
	struct callback cb = {.state = OPERATION_SUCCEEDED, .error = STR("")};

	cb.result = value_str(c->in, "Result");
	if (!str_is_utf8(cb.result))
		return REFUSE(c, "The Result of a callback is text in UTF-8.");
	return finish_callback(c, &cb);
}

int durable_callback_failure(struct call *c)
{
	struct callback cb = {.state = OPERATION_FAILED, .result = STR_NULL};

	TRY(error_text(c, value_get(c->in, "Error"), &cb.error));
	if (!cb.error.p)
		cb.error = STR("{}");
	return finish_callback(c, &cb);
}

int durable_callback_heartbeat(struct call *c)
{
	struct callback cb = {.state = OPERATION_STARTED};

	return finish_callback(c, &cb);
}

/* ---- stopping ---- */

int durable_stop_operation(struct call *c)
{
	struct durable_execution x;
	str error;

	TRY(durable_of_request(c, &x));
	TRY(error_text(c, value_get(c->in, "Error"), &error));
	TRY(durable_stop(self(c), c->arena, &x, error.p ? error : STR("")));
	value_put_time_ms(c->out, "StopTimestamp", x.end_ms);
	return 0;
}
