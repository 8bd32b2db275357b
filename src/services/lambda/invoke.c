/*
 * The operations that invoke, and the invoke port: one path for all.
 *
 *     resolve the name -> the function (cache) -> wait while Pending -> by type:
 *     DryRun 204; Event: into the store, 202 (events.c); RequestResponse: the scheduler
 *
 * InvokeWithResponseStream answers with events, PayloadChunk for each part as the runtime sends it
 * and InvokeComplete at the end; a client that reads slowly holds the function back.
 *
 * Source: API Reference, Invoke, InvokeAsync, InvokeWithResponseStream.
 */
#include "aws/eventstream.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "http/http.h"
#include "rt/rt.h"
#include "services/lambda/durable_api.h"
#include "services/lambda/events.h"
#include "services/lambda/pool.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"
#include "services/lambda/tenant.h"

enum { PENDING_MS = 5000 };

int invoke_find(struct lambda_service *s, struct arena *a, str account, str region, str name,
	str qualifier, struct function_ref **ret_function)
{
	str version;

	if (TRY(store_resolve(s, a, account, region, name, qualifier, true, &version)) == 0)
		return 0;
	return scheduler_function(s->scheduler, account, region, name, version, ret_function);
}

static int fault_pending(struct arena *a, const struct function_ref *f, struct fault *fault)
{
	if (function_snaps(&f->function))
		return lambda_fault_set(fault, a, LAMBDA_SNAP_START_NOT_READY,
			"Lambda is initializing your function. It will be ready to invoke once "
			"your function state becomes ACTIVE.");
	return lambda_fault_set(fault, a, LAMBDA_CONFLICT,
		"The operation cannot be performed at this time. The function is currently in the "
		"following state: Pending");
}

static int fault_failed(struct arena *a, const struct function_ref *f, struct fault *fault)
{
	return lambda_fault_set(fault, a, LAMBDA_CONFLICT,
		"The operation cannot be performed at this time. The function is currently in the "
		"following state: Failed. %.*s",
		STR_ARG(f->function.reason));
}

/* The function to run, and the ARN by which it was called: 0, or ERR_FAULT. */
static int resolve(struct lambda_service *s, struct arena *a, const struct invoke_request *r,
	struct function_ref **ret_function, str *ret_arn, struct fault *fault)
{
	struct function_name name;
	int64_t deadline = rt_after_ms(PENDING_MS);
	str account, region;
	int rc;

	if (function_name_parse(r->function, &name) < 0)
		return lambda_fault_set(fault, a, LAMBDA_INVALID_PARAMETER,
			"%.*s is not the name of a function.",
			STR_ARG(str_sub(r->function, 0, 256)));
	if (r->qualifier.p)
		name.qualifier = r->qualifier;
	account = name.account.p ? name.account : r->account;
	region = name.region.p ? name.region : r->region;
	*ret_arn = function_arn(a, account, region, name.name, name.qualifier);
	for (;;) {
		struct function_ref *f;

		if (TRY(invoke_find(s, a, account, region, name.name, name.qualifier, &f)) == 0)
			return fault_not_found(fault, a, account, region, &name, true);
		if (f->function.state == FUNCTION_ACTIVE ||
			(f->function.state == FUNCTION_FAILED && !function_snaps(&f->function))) {
			*ret_function = f;
			return 0;
		}
		rc = f->function.state == FUNCTION_FAILED ? fault_failed(a, f, fault)
		     : rt_now() >= deadline               ? fault_pending(a, f, fault)
							  : 0;
		function_unref(f);
		/* It is a matter of milliseconds: rather wait than refuse. */
		TRY(rc);
		TRY(rt_sleep_until(rt_after_ms(2)));
	}
}

/* An empty payload is an empty event; anything else is JSON. */
static int check_payload(
	struct arena *a, const struct invoke_request *r, str *ret_payload, struct fault *fault)
{
	size_t max = r->type == INVOKE_EVENT ? LAMBDA_EVENT_BYTES_MAX : LAMBDA_PAYLOAD_BYTES_MAX;
	struct json_reader reader;
	int rc;

	if (r->payload.n > max && r->type == INVOKE_EVENT)
		return lambda_fault_set(fault, a, LAMBDA_REQUEST_TOO_LARGE,
			"%zu byte payload is too large for the Event invocation type (limit %zu "
			"bytes)",
			r->payload.n, max);
	if (r->payload.n > max)
		return lambda_fault_set(fault, a, LAMBDA_REQUEST_TOO_LARGE,
			"Request must be smaller than %zu bytes for the InvokeFunction operation",
			max);
	if (str_trim(r->payload).n == 0) {
		*ret_payload = STR("{}");
		return 0;
	}
	json_reader_init(&reader, r->payload, a, JSON_DEPTH_MAX);
	rc = json_skip(&reader);
	if (rc >= 0)
		rc = json_end(&reader);
	if (rc < 0)
		return lambda_fault_set(fault, a, LAMBDA_INVALID_CONTENT,
			"Could not parse request body into json: Could not parse payload into "
			"json: "
			"%s at offset %zu",
			rc_text(rc), json_error_offset(&reader));
	*ret_payload = r->payload;
	return 0;
}

static int run(struct lambda_service *s, struct arena *a, const struct invoke_request *r,
	struct function_ref *f, str arn, str payload, str request_id, struct invoke_result *ret)
{
	struct invocation inv = {
		.arena = a,
		.request_id = request_id,
		.payload = payload,
		.arn = arn,
		.client_context = r->client_context,
		.trace = r->trace,
		.tenant = r->tenant,
		.log_tail = r->log_tail,
		.deadline_ns = r->deadline_ns ? r->deadline_ns : RT_NEVER,
		.begin = r->begin,
		.write = r->write,
		.write_arg = r->write_arg,
	};
	int rc = scheduler_invoke(s->scheduler, f, &inv);

	ret->instance_number = inv.instance_number;
	ret->fault = inv.fault;
	ret->status = 200;
	ret->function_error = inv.function_error;
	ret->payload = inv.payload_out;
	ret->trace = inv.trace_out;
	ret->log_tail = inv.tail;
	ret->streamed = inv.streamed;
	return rc;
}

static int invoke_function(struct lambda_service *s, struct arena *a,
	const struct invoke_request *r, struct function_ref *f, str arn, str payload,
	str request_id, struct invoke_result *ret)
{
	TRY(tenant_check(&ret->fault, a, &f->function, r->tenant));
	if (r->durable_name.p && !function_is_durable(&f->function))
		return lambda_fault_set(&ret->fault, a, LAMBDA_INVALID_PARAMETER,
			"DurableExecutionName is only valid for a durable function.");
	if (r->type == INVOKE_DRY_RUN) {
		ret->status = 204;
		return 0;
	}
	if (function_is_durable(&f->function))
		return durable_invoke(s, a, r, f, arn, payload, ret);
	if (r->type == INVOKE_WAIT)
		return run(s, a, r, f, arn, payload, request_id, ret);
	/* A client context is for synchronous invocations only. */
	ret->status = 202;
	return events_add(s->events, arn, payload, STR_NULL, r->trace, r->tenant, request_id);
}

static int invoke(struct lambda_service *s, struct arena *a, const struct invoke_request *r,
	str request_id, struct invoke_result *ret)
{
	struct function_ref *f = NULL;
	str payload = STR_NULL, arn = STR_NULL;
	int rc;

	*ret = (struct invoke_result){0};
	TRY(check_payload(a, r, &payload, &ret->fault));
	TRY(resolve(s, a, r, &f, &arn, &ret->fault));
	ret->executed_version = arena_str(a, f->function.version);
	rc = invoke_function(s, a, r, f, arn, payload, request_id, ret);
	function_unref(f);
	return rc;
}

int invoke_by_port(
	void *self, struct arena *a, const struct invoke_request *r, struct invoke_result *ret)
{
	struct lambda_service *s = check_object(self, struct lambda_service, LAMBDA_SERVICE_MAGIC);

	return invoke(s, a, r, lambda_uuid(a), ret);
}

int invoke_deliver(void *self, struct arena *a, const struct deliver_request *request, str *ret_why)
{
	const struct invoke_request invoked = {.account = request->account,
		.region = request->region,
		.function = request->target,
		.type = INVOKE_EVENT,
		.payload = request->body,
		.trace = request->trace};
	struct invoke_result result;
	int rc = invoke_by_port(self, a, &invoked, &result);

	if (rc == ERR_FAULT)
		*ret_why = result.fault.message;
	return rc;
}

/* ---- the operation ---- */

static int client_context(struct call *c, str *ret_context)
{
	str text = value_str(c->in, "ClientContext");
	uint8_t *bytes;
	size_t n;

	if (!text.n)
		return 0;
	bytes = arena_alloc(c->arena, base64_bytes_max(text.n));
	if (text.n > LAMBDA_CONTEXT_BYTES_MAX || base64_decode(text, bytes, &n) < 0 ||
		str_find(str_of(bytes, n), '\n') >= 0 || str_find(str_of(bytes, n), '\r') >= 0 ||
		str_find(str_of(bytes, n), 0) >= 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_CONTENT,
			"Client context must be a valid Base64-encoded JSON object of at most %d "
			"bytes.",
			LAMBDA_CONTEXT_BYTES_MAX);
	*ret_context = str_of(bytes, n);
	return 0;
}

static str tail_text(struct arena *a, str tail)
{
	char *text = arena_bytes(a, base64_text_bytes(tail.n));

	return str_of(text, base64_encode(tail, text));
}

static void render(struct call *c, const struct invoke_result *r)
{
	c->status = r->status;
	value_put_int(c->out, "StatusCode", r->status);
	value_put_str(c->out, "DurableExecutionArn", r->durable_arn);
	if (r->status != 200)
		return;
	value_put_str(c->out, "ExecutedVersion", r->executed_version);
	value_put_str(c->out, "FunctionError", r->function_error);
	value_put_str(c->out, "Payload", r->payload);
	call_header(c, STR("Content-Type"), STR("application/json"));
	if (r->trace.p)
		call_header(c, STR("X-Amzn-Trace-Id"), r->trace);
	if (r->log_tail.p)
		value_put_str(c->out, "LogResult", tail_text(c->arena, r->log_tail));
}

/* Which function, and nothing else yet. */
static int read_target(struct call *c, bool qualified, struct invoke_request *ret)
{
	struct function_name name;

	*ret = (struct invoke_request){
		.account = c->account, .region = c->region, .deadline_ns = RT_NEVER};
	TRY(request_name(c, qualified, &name));
	ret->function = value_str(c->in, "FunctionName");
	ret->qualifier = qualified ? value_str(c->in, "Qualifier") : STR_NULL;
	return 0;
}

/* The input that the two newer operations share. */
static int read_request(struct call *c, struct invoke_request *ret)
{
	str type = value_str(c->in, "InvocationType");

	TRY(read_target(c, true, ret));
	ret->payload = value_str(c->in, "Payload");
	ret->tenant = value_str(c->in, "TenantId");
	ret->trace = call_header_get(c, STR("X-Amzn-Trace-Id"));
	ret->log_tail = str_eq(value_str(c->in, "LogType"), STR("Tail"));
	if (str_eq(type, STR("Event")))
		ret->type = INVOKE_EVENT;
	else if (str_eq(type, STR("DryRun")))
		ret->type = INVOKE_DRY_RUN;
	return client_context(c, &ret->client_context);
}

static void expect_again(void *arg, uint64_t number)
{
	struct lambda_service *s = check_object(arg, struct lambda_service, LAMBDA_SERVICE_MAGIC);

	scheduler_expect(s->scheduler, number);
}

/* Runs it; a fault of the invocation becomes the call's. */
static int invoke_for(struct call *c, const struct invoke_request *r, struct invoke_result *ret)
{
	struct lambda_service *s =
		check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	int rc = invoke(s, c->arena, r, c->request_id, ret);

	if (rc == ERR_FAULT)
		c->fault = ret->fault;
	/* Who called once calls again, and mostly on the same connection. */
	if (ret->instance_number && c->request && c->request->exchange)
		http_expect(c->request->exchange, expect_again, s, ret->instance_number);
	return rc;
}

int invoke_operation(struct call *c)
{
	struct invoke_request r;
	struct invoke_result result;

	TRY(read_request(c, &r));
	r.durable_name = value_str(c->in, "DurableExecutionName");
	TRY(invoke_for(c, &r, &result));
	render(c, &result);
	return 0;
}

/* ---- the old asynchronous operation ---- */

int invoke_async_operation(struct call *c)
{
	struct invoke_request r;
	struct invoke_result result;

	/* As documented the trace is not passed on. */
	TRY(read_target(c, false, &r));
	r.payload = value_str(c->in, "InvokeArgs");
	if (r.payload.n > LAMBDA_OLD_EVENT_BYTES_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_REQUEST_TOO_LARGE,
			"Request must be smaller than %d bytes for the InvokeAsync operation",
			LAMBDA_OLD_EVENT_BYTES_MAX);
	r.type = INVOKE_EVENT;
	TRY(invoke_for(c, &r, &result));
	c->status = result.status;
	value_put_int(c->out, "Status", result.status);
	return 0;
}

/* ---- the operation that streams ---- */

struct response_stream {
	struct call *call;
	const struct invoke_result *result; /* its version is known before it runs */
	struct buf message;                 /* of one event */
};

static int stream_begin(struct response_stream *stream, str version)
{
	struct call *c = stream->call;

	value_put_str(c->out, "ExecutedVersion", version);
	return call_stream_begin(c, STR("application/vnd.amazon.eventstream"));
}

static int stream_event(struct response_stream *stream, str type, str content_type, str payload)
{
	buf_reset(&stream->message);
	eventstream_put_event(&stream->message, type, content_type, payload);
	check(!stream->message.over);
	return call_stream_write(stream->call, buf_str(&stream->message));
}

static int stream_part(void *arg, str part)
{
	struct response_stream *stream = arg;

	if (!stream->call->streaming)
		TRY(stream_begin(stream, stream->result->executed_version));
	return stream_event(stream, STR("PayloadChunk"), STR("application/octet-stream"), part);
}

static str stream_complete(struct arena *a, const struct invoke_result *r)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, a, EVENTSTREAM_PAYLOAD_MAX);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	if (r->function_error.p) {
		json_put_key_string(&w, STR("ErrorCode"), r->function_error);
		json_put_key(&w, STR("ErrorDetails"));
		json_put_comma_(&w);
		json_put_quoted_lossy(&b, r->payload);
	}
	if (r->log_tail.p)
		json_put_key_string(&w, STR("LogResult"), tail_text(a, r->log_tail));
	json_put_object_end(&w);
	return buf_str(&b);
}

int invoke_stream_operation(struct call *c)
{
	struct invoke_request r;
	struct invoke_result result;
	struct response_stream stream = {.call = c, .result = &result};

	if (!c->request || !c->request->exchange)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"InvokeWithResponseStream streams its answer, which only HTTP can do.");
	TRY(read_request(c, &r));
	buf_init(&stream.message, c->arena, LAMBDA_RESPONSE_BYTES_MAX + 1024);
	r.write = stream_part;
	r.write_arg = &stream;
	TRY(invoke_for(c, &r, &result));
	if (result.status != 200) {
		value_put_int(c->out, "StatusCode", result.status);
		return 0;
	}
	if (!c->streaming)
		TRY(stream_begin(&stream, result.executed_version));
	if (!result.function_error.p && result.payload.n)
		TRY(stream_part(&stream, result.payload));
	return stream_event(&stream, STR("InvokeComplete"), STR("application/json"),
		stream_complete(c->arena, &result));
}
