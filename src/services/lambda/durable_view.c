/*
 * The forms of durable executions on the wire.
 */
#include "aws/codec.h"
#include "aws/value.h"
#include "base/check.h"
#include "base/json.h"
#include "base/time.h"
#include "services/lambda/durable.h"

enum { EVENT_FORMAT = 1, EVENT_BYTES = 65536 };

enum event_data { DATA_NONE, DATA_INPUT, DATA_RESULT, DATA_ERROR };

static const enum event_data event_data[DURABLE_EVENTS] = {
	DATA_NONE,
#define EVENT(id, name, data) DATA_##data,
#include "services/lambda/durable_events.def"
#undef EVENT
};

static void put_text(struct value *v, const char *member, str text)
{
	value_put_str(v, member, text.n ? text : STR_NULL);
}

static void put_error(struct arena *a, struct value *v, const char *member, str error)
{
	struct value *e;

	if (!error.n)
		return;
	check(codec_json_load(a, model_named(STR("lambda")), "ErrorObject", error, &e) == 0);
	value_put_copy(v, member, e);
}

/* ---- operations ---- */

static void put_outcome(struct arena *a, const struct durable_operation *op, struct value *details)
{
	value_put_str(details, "Result", op->has_result ? op->result : STR_NULL);
	put_error(a, details, "Error", op->error);
}

static void put_details(struct arena *a, const struct durable_key *key,
	const struct durable_operation *op, struct value *out)
{
	struct value *v;

	switch (op->kind) {
	case DURABLE_CONTEXT:
		v = value_put_struct(out, "ContextDetails");
		put_outcome(a, op, v);
		if (durable_ended(op->state))
			value_put_bool(v, "ReplayChildren", op->replay_children);
		break;
	case DURABLE_STEP:
		v = value_put_struct(out, "StepDetails");
		value_put_int(v, "Attempt", op->attempt);
		if (op->state == OPERATION_PENDING)
			value_put_time_ms(v, "NextAttemptTimestamp", op->due_ms);
		put_outcome(a, op, v);
		break;
	case DURABLE_WAIT:
		value_put_time_ms(value_put_struct(out, "WaitDetails"), "ScheduledEndTimestamp",
			op->start_ms + op->seconds * INT64_C(1000));
		break;
	case DURABLE_CALLBACK:
		v = value_put_struct(out, "CallbackDetails");
		value_put_str(v, "CallbackId", durable_callback_id(a, key, op));
		put_outcome(a, op, v);
		break;
	default: put_outcome(a, op, value_put_struct(out, "ChainedInvokeDetails")); break;
	}
}

void durable_render_operation(struct arena *a, const struct durable_key *key,
	const struct durable_operation *op, struct value *out)
{
	value_put_str(out, "Id", op->id);
	put_text(out, "ParentId", op->parent);
	put_text(out, "Name", op->name);
	value_put_str(out, "Type", durable_kind_name(op->kind));
	put_text(out, "SubType", op->sub_type);
	value_put_time_ms(out, "StartTimestamp", op->start_ms);
	if (op->end_ms)
		value_put_time_ms(out, "EndTimestamp", op->end_ms);
	value_put_str(out, "Status", durable_state_name(op->state));
	put_details(a, key, op, out);
}

void durable_render_execution(const struct durable_execution *x, str input, struct value *out)
{
	static const enum durable_state states[DURABLE_STATUSES] = {OPERATION_STARTED,
		OPERATION_SUCCEEDED, OPERATION_FAILED, OPERATION_TIMED_OUT, OPERATION_STOPPED};

	value_put_str(out, "Id", x->key.run);
	value_put_str(out, "Name", x->name);
	value_put_str(out, "Type", durable_kind_name(DURABLE_EXECUTION));
	value_put_time_ms(out, "StartTimestamp", x->start_ms);
	if (x->end_ms)
		value_put_time_ms(out, "EndTimestamp", x->end_ms);
	value_put_str(out, "Status", durable_state_name(states[x->status]));
	value_put_str(value_put_struct(out, "ExecutionDetails"), "InputPayload", input);
}

/* ---- events ---- */

static struct value *event_new(struct arena *a, enum durable_event event, uint64_t id,
	int64_t now_ms, struct value **ret_details)
{
	struct value *v = value_new(a, model_named(STR("lambda")), "Event");
	str name = durable_event_name(event);

	value_put_str(v, "EventType", name);
	value_put_int(v, "EventId", (int64_t)id);
	value_put_time_ms(v, "EventTimestamp", now_ms);
	*ret_details = value_put_struct(v, arena_c(a, ARENA_CONCAT(a, name, STR("Details"))));
	return v;
}

static str record_of(struct arena *a, const struct value *v, str data, str error)
{
	struct buf b;

	buf_init(&b, a, EVENT_BYTES + data.n + error.n);
	buf_put_char(&b, EVENT_FORMAT);
	buf_put_char(&b, data.p != NULL);
	buf_put_sized(&b, data);
	buf_put_sized(&b, error);
	codec_json_store(&b, v);
	check(!b.over);
	return buf_str(&b);
}

static void put_event_details(struct arena *a, const struct durable_execution *x,
	enum durable_event event, const struct durable_operation *op, struct value *details)
{
	switch (event) {
	case EVENT_EXECUTION_STARTED:
		value_put_int(details, "ExecutionTimeout", x->timeout_s);
		break;
	case EVENT_WAIT_STARTED:
		value_put_int(details, "Duration", op->seconds);
		value_put_time_ms(details, "ScheduledEndTimestamp", op->due_ms);
		break;
	case EVENT_WAIT_SUCCEEDED: value_put_int(details, "Duration", op->seconds); break;
	case EVENT_STEP_SUCCEEDED:
	case EVENT_STEP_FAILED:
		details = value_put_struct(details, "RetryDetails");
		value_put_int(details, "CurrentAttempt", op->attempt);
		if (op->state == OPERATION_PENDING)
			value_put_int(details, "NextAttemptDelaySeconds", op->seconds);
		break;
	case EVENT_CALLBACK_STARTED:
		value_put_str(details, "CallbackId", durable_callback_id(a, &x->key, op));
		if (op->seconds)
			value_put_int(details, "Timeout", op->seconds);
		if (op->heartbeat_s)
			value_put_int(details, "HeartbeatTimeout", op->heartbeat_s);
		break;
	case EVENT_CHAINED_STARTED:
		value_put_str(details, "FunctionName", op->function);
		put_text(details, "TenantId", op->tenant);
		break;
	default: break;
	}
}

str durable_event_record(struct arena *a, const struct durable_execution *x,
	enum durable_event event, uint64_t event_id, const struct durable_operation *op,
	int64_t now_ms)
{
	str data = STR_NULL, error = op ? op->error : x->error;
	struct value *details, *v = event_new(a, event, event_id, now_ms, &details);

	if (op) {
		value_put_str(v, "Id", op->id);
		put_text(v, "Name", op->name);
		put_text(v, "SubType", op->sub_type);
		put_text(v, "ParentId", op->parent);
		data = event_data[event] == DATA_INPUT ? op->input
		       : op->has_result                ? op->result
						       : STR_NULL;
	} else {
		value_put_str(v, "Id", x->key.run);
		value_put_str(v, "Name", x->name);
	}
	put_event_details(a, x, event, op, details);
	return record_of(a, v, event_data[event] == DATA_ERROR ? STR_NULL : data,
		event_data[event] == DATA_ERROR ? error : STR(""));
}

str durable_invocation_record(struct arena *a, const struct durable_execution *x, uint64_t event_id,
	str error, int64_t now_ms)
{
	struct value *details,
		*v = event_new(a, EVENT_INVOCATION_COMPLETED, event_id, now_ms, &details);

	value_put_time_ms(details, "StartTimestamp", x->invoked_ms);
	value_put_time_ms(details, "EndTimestamp", now_ms);
	value_put_str(details, "RequestId", x->invocation);
	return record_of(a, v, STR_NULL, error);
}

static int event_named(str name)
{
	for (int i = 1; i < DURABLE_EVENTS; i++)
		if (str_eq(durable_event_name((enum durable_event)i), name))
			return i;
	return ERR_CORRUPT;
}

/* An object {Payload, Truncated}. */
static struct value *put_data(struct value *details, const char *member)
{
	struct value *v = value_put_struct(details, member);

	value_put_bool(v, "Truncated", false);
	return v;
}

int durable_render_event(
	struct arena *a, str record, bool data, str input, str result, struct value *out)
{
	str payload, error, name;
	struct value *v, *details;
	uint8_t format, has;
	int event;

	if (!str_take_u8(&record, &format) || format != EVENT_FORMAT ||
		!str_take_u8(&record, &has) || !str_take_sized(&record, &payload) ||
		!str_take_sized(&record, &error))
		return ERR_CORRUPT;
	TRY(codec_json_load(a, model_named(STR("lambda")), "Event", record, &v));
	name = value_str(v, "EventType");
	event = TRY(event_named(name));
	value_copy_members(out, v);
	details = value_put_struct(out, arena_c(a, ARENA_CONCAT(a, name, STR("Details"))));
	if (event == EVENT_EXECUTION_STARTED || event == EVENT_EXECUTION_SUCCEEDED) {
		payload = event == EVENT_EXECUTION_STARTED ? input : result;
		has = payload.p != NULL;
	}
	switch (event_data[event]) {
	case DATA_INPUT:
	case DATA_RESULT:
		v = put_data(details, event_data[event] == DATA_INPUT ? "Input" : "Result");
		value_put_str(v, "Payload", data && has ? payload : STR_NULL);
		break;
	case DATA_ERROR:
		if (!error.n &&
			(event == EVENT_INVOCATION_COMPLETED || event == EVENT_WAIT_CANCELLED))
			break;
		v = put_data(details, "Error");
		if (data)
			put_error(a, v, "Payload", error);
		break;
	case DATA_NONE: break;
	}
	return 0;
}

/* ---- JSON with times as text ---- */

static void put_value(struct json_writer *w, const struct value *v);

static void put_struct(struct json_writer *w, const struct value *v)
{
	const struct model *m = v->tree->model;
	const struct model_shape *shape = model_shape(m, v->shape);

	json_put_object_begin(w);
	for (uint32_t i = 0; i < v->n; i++)
		if (v->items[i].kind) {
			json_put_key(w, model_str(m, m->members[shape->first + i].name));
			put_value(w, &v->items[i]);
		}
	json_put_object_end(w);
}

/* Of the kinds that an Operation has. It is three levels deep. */
static void put_value(struct json_writer *w, const struct value *v)
{
	switch (v->kind) {
	case SHAPE_STRUCTURE: put_struct(w, v); break;
	case SHAPE_LIST:
		json_put_array_begin(w);
		for (uint32_t i = 0; i < v->n; i++)
			put_value(w, &v->items[i]);
		json_put_array_end(w);
		break;
	case SHAPE_BOOLEAN: json_put_bool(w, v->b); break;
	case SHAPE_INTEGER: json_put_i64(w, v->i); break;
	case SHAPE_TIMESTAMP:
		json_put_comma_(w);
		buf_put_char(w->out, '"');
		time_put_iso_ms(w->out, v->i);
		buf_put_char(w->out, '"');
		break;
	default: json_put_string(w, v->s); break;
	}
}

void durable_put_operation(struct json_writer *w, const struct value *operation)
{
	put_value(w, operation);
}

/* ---- synchronous callers ---- */

str durable_error_payload(struct arena *a, const struct durable_execution *x)
{
	struct json_value *v;
	const struct json_value *trace;
	struct json_writer w;
	struct buf b;

	if (!x->error.n || json_parse(a, x->error, JSON_DEPTH_DEFAULT, &v, NULL) < 0)
		v = NULL;
	trace = json_get(v, STR("StackTrace"));
	buf_init(&b, a, 6 * x->error.n + 1024);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	if (json_text(json_get(v, STR("ErrorMessage"))).p)
		json_put_key_string(
			&w, STR("errorMessage"), json_text(json_get(v, STR("ErrorMessage"))));
	if (json_text(json_get(v, STR("ErrorType"))).p)
		json_put_key_string(&w, STR("errorType"), json_text(json_get(v, STR("ErrorType"))));
	if (json_text(json_get(v, STR("ErrorData"))).p)
		json_put_key_string(&w, STR("errorData"), json_text(json_get(v, STR("ErrorData"))));
	if (trace) {
		json_put_key(&w, STR("stackTrace"));
		json_put_value(&w, trace);
	}
	json_put_object_end(&w);
	check(!b.over);
	return buf_str(&b);
}
