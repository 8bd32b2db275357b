/*
 * The Invoke operation and the invoke port: one path for both.
 *
 *     resolve the name -> the function (cache) -> wait while Pending -> by type:
 *     DryRun 204; Event: into the store, 202 (events.c); RequestResponse: the scheduler
 *
 * Source: API Reference, Invoke.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "rt/rt.h"
#include "services/lambda/events.h"
#include "services/lambda/pool.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

enum { PENDING_MS = 5000 };

int invoke_find(struct lambda_service *s, struct arena *a, str account, str region, str name,
	str qualifier, struct function_ref **ret_function)
{
	str version;

	if (TRY(store_resolve(s, a, account, region, name, qualifier, true, &version)) == 0)
		return 0;
	return scheduler_function(s->scheduler, account, region, name, version, ret_function);
}

/* The function to run, and the ARN by which it was called: 0, or ERR_FAULT. */
static int resolve(struct lambda_service *s, struct arena *a, const struct invoke_request *r,
	struct function_ref **ret_function, str *ret_arn, struct fault *fault)
{
	struct function_name name;
	int64_t deadline = rt_after_ms(PENDING_MS);
	str account, region;

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
		if (f->function.state != FUNCTION_PENDING) {
			*ret_function = f;
			return 0;
		}
		function_unref(f);
		/* It is a matter of milliseconds: rather wait than refuse. */
		if (rt_now() >= deadline)
			return lambda_fault_set(fault, a, LAMBDA_CONFLICT,
				"The operation cannot be performed at this time. The function is "
				"currently in the following state: Pending");
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
		.log_tail = r->log_tail,
		.deadline_ns = r->deadline_ns ? r->deadline_ns : RT_NEVER,
		.write = r->write,
		.write_arg = r->write_arg,
	};
	int rc = scheduler_invoke(s->scheduler, f, &inv);

	ret->fault = inv.fault;
	ret->status = 200;
	ret->function_error = inv.function_error;
	ret->payload = inv.payload_out;
	ret->log_tail = inv.tail;
	return rc;
}

static int invoke(struct lambda_service *s, struct arena *a, const struct invoke_request *r,
	str request_id, struct invoke_result *ret)
{
	struct function_ref *f = NULL;
	str payload, arn;
	int rc;

	*ret = (struct invoke_result){0};
	TRY(check_payload(a, r, &payload, &ret->fault));
	TRY(resolve(s, a, r, &f, &arn, &ret->fault));
	ret->executed_version = arena_str(a, f->function.version);
	switch (r->type) {
	case INVOKE_DRY_RUN:
		ret->status = 204;
		rc = 0;
		break;
	case INVOKE_EVENT:
		ret->status = 202;
		rc = events_add(s->events, arn, payload, r->client_context, r->trace, request_id);
		break;
	default: rc = run(s, a, r, f, arn, payload, request_id, ret); break;
	}
	function_unref(f);
	return rc;
}

int invoke_by_port(
	void *self, struct arena *a, const struct invoke_request *r, struct invoke_result *ret)
{
	struct lambda_service *s = check_object(self, struct lambda_service, LAMBDA_SERVICE_MAGIC);

	return invoke(s, a, r, lambda_uuid(a), ret);
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

static int refuse_members(struct call *c)
{
	static const char *const members[] = {"DurableExecutionName", "TenantId"};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (value_has(c->in, members[i]))
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"%s is not implemented by this server.", members[i]);
	return 0;
}

static void render(struct call *c, const struct invoke_result *r)
{
	c->status = r->status;
	value_put_int(c->out, "StatusCode", r->status);
	if (r->status == 204)
		return;
	if (r->status == 202)
		return;
	value_put_str(c->out, "ExecutedVersion", r->executed_version);
	value_put_str(c->out, "FunctionError", r->function_error);
	value_put_str(c->out, "Payload", r->payload);
	if (r->log_tail.p) {
		char *text = arena_bytes(c->arena, base64_text_bytes(r->log_tail.n));

		value_put_str(c->out, "LogResult", str_of(text, base64_encode(r->log_tail, text)));
	}
}

int invoke_operation(struct call *c)
{
	struct lambda_service *s =
		check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	str type = value_str(c->in, "InvocationType");
	struct invoke_request r = {
		.account = c->account,
		.region = c->region,
		.payload = value_str(c->in, "Payload"),
		.client_context = STR_NULL,
		.trace = call_header_get(c, STR("X-Amzn-Trace-Id")),
		.log_tail = str_eq(value_str(c->in, "LogType"), STR("Tail")),
		.deadline_ns = RT_NEVER,
	};
	struct function_name name;
	struct invoke_result result;
	int rc;

	TRY(refuse_members(c));
	TRY(request_name(c, true, &name));
	r.function = value_str(c->in, "FunctionName");
	r.qualifier = value_str(c->in, "Qualifier");
	if (str_eq(type, STR("Event")))
		r.type = INVOKE_EVENT;
	else if (str_eq(type, STR("DryRun")))
		r.type = INVOKE_DRY_RUN;
	TRY(client_context(c, &r.client_context));
	rc = invoke(s, c->arena, &r, c->request_id, &result);
	if (rc == ERR_FAULT) {
		c->fault = result.fault;
		if (result.fault.kind == &lambda_faults[LAMBDA_TOO_MANY_REQUESTS]) {
			c->fault.members =
				value_new(c->arena, c->service->model, "TooManyRequestsException");
			value_put_str(c->fault.members, "Reason",
				STR("ConcurrentInvocationLimitExceeded"));
		}
	}
	TRY(rc);
	render(c, &result);
	return 0;
}
