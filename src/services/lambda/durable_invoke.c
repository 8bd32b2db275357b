/*
 * Invoke on a durable function.
 *
 * Source: Developer Guide, "Invoking durable Lambda functions", "Idempotency".
 */
#include "base/check.h"
#include "rt/rt.h"
#include "services/lambda/durable_api.h"
#include "services/lambda/durable_engine.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"

enum { GRACE_MS = 60000 };

static int check_request(struct arena *a, const struct invoke_request *r, const struct function *f,
	str arn, struct fault *fault)
{
	struct function_name name;

	check(function_name_parse(arn, &name) == 0);
	if (!name.qualifier.p)
		return lambda_fault_set(fault, a, LAMBDA_INVALID_PARAMETER, DURABLE_UNQUALIFIED);
	if (r->write)
		return lambda_fault_set(fault, a, LAMBDA_INVALID_PARAMETER,
			"A durable function does not stream its response.");
	if (r->type == INVOKE_WAIT && f->durable_timeout_s > LAMBDA_DURABLE_SYNC_S_MAX)
		return lambda_fault_set(fault, a, LAMBDA_INVALID_PARAMETER,
			"You cannot synchronously invoke a durable function with an "
			"executionTimeout greater than 15 minutes.");
	return 0;
}

/* The end of it as the answer of a synchronous call. */
static int answer(struct lambda_service *s, struct arena *a, const struct durable_execution *x,
	struct invoke_result *ret)
{
	if (x->status != DURABLE_SUCCEEDED) {
		ret->function_error = STR("Unhandled");
		ret->payload = durable_error_payload(a, x);
		return 0;
	}
	ret->payload = STR("null");
	return x->has_result ? durable_text(s, a, x, DURABLE_RESULT, &ret->payload) : 0;
}

int durable_invoke(struct lambda_service *s, struct arena *a, const struct invoke_request *r,
	struct function_ref *f, str arn, str payload, struct invoke_result *ret)
{
	const struct durable_start start = {
		.function = f,
		.arn = arn,
		.name = r->durable_name,
		.input = payload,
		.trace = r->trace.p ? r->trace : STR(""),
		.tenant = r->tenant.p ? r->tenant : STR(""),
		.client_context = r->client_context.p && r->type != INVOKE_EVENT ? r->client_context
										 : STR(""),
		.asynchronous = r->type == INVOKE_EVENT,
	};
	struct durable_execution x, end;
	int64_t deadline;
	str tail;

	TRY(check_request(a, r, &f->function, arn, &ret->fault));
	TRY(durable_start(s, a, &start, &x, &ret->fault));
	ret->durable_arn = durable_arn(a, &x);
	ret->status = r->type == INVOKE_EVENT ? 202 : 200;
	if (r->type == INVOKE_EVENT)
		return 0;
	deadline = rt_after_ms(x.timeout_s * INT64_C(1000) + GRACE_MS);
	TRY(durable_wait(s, a, &x.key, MIN(deadline, r->deadline_ns), &end, &tail));
	if (r->log_tail)
		ret->log_tail = tail;
	return answer(s, a, &end, ret);
}
