/*
 * Configurations of asynchronous invocations, and the records for destinations: see
 * event_invoke.h.
 */
#include "services/lambda/event_invoke.h"

#include "aws/codec.h"
#include "base/check.h"
#include "base/json.h"
#include "services/lambda/destination.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

enum { ERROR_TEXT_BYTES = 1024 };

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

static str part_qualifier(str qualifier)
{
	return qualifier.p ? qualifier : STR("$LATEST");
}

static str config_arn(struct arena *a, const struct function *f)
{
	return function_arn(a, f->account, f->region, f->name, part_qualifier(f->qualifier));
}

static int load(struct arena *a, str text, struct value **ret_config)
{
	return codec_json_load(
		a, model_named(STR("lambda")), "FunctionEventInvokeConfig", text, ret_config);
}

static int fault_missing(struct call *c, const struct function *f)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
		"The function %.*s doesn't have an EventInvokeConfig",
		STR_ARG(config_arn(c->arena, f)));
}

/* ---- rules ---- */

static str destination(const struct value *config, const char *when)
{
	return value_str(value_get(value_get(config, "DestinationConfig"), when), "Destination");
}

/* Not confirmed: AWS's words. */
static int check_bucket(struct call *c, const char *when, str arn)
{
	if (!str_eq(str_c(when), STR("OnFailure")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"DestinationConfig.%s: an Amazon S3 bucket can only be the destination of "
			"failures.",
			when);
	if (!destination_bucket_is_valid(arn))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"The destination ARN %.*s is invalid: it is not that of a bucket.",
			STR_ARG(arn));
	return 0;
}

/* One that nobody here takes could never be told: better known now than at the first failure. */
int event_invoke_check_destination(struct call *c, const char *when)
{
	str arn = destination(c->in, when);
	struct function_name name;

	if (!arn.n)
		return 0;
	if (destination_is_bucket(arn) && self(c)->ports->objects)
		return check_bucket(c, when, arn);
	if (!port_deliver_of(self(c)->ports, arn))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"DestinationConfig.%s: the destination %.*s is not implemented by this "
			"server: no service that runs here takes events for it.",
			when, STR_ARG(arn));
	if (str_starts(arn, self(c)->deliver_port.arn_prefix) &&
		(function_name_parse(arn, &name) < 0 || !name.account.p || !name.region.p ||
			!str_eq(name.region, c->region)))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"The destination ARN %.*s is invalid: it is not that of a function in this "
			"region.",
			STR_ARG(arn));
	return 0;
}

/* ---- changing ---- */

struct config_change {
	struct call *call;
	const struct function *function; /* with the qualifier of the request */
	bool merge;                      /* what is not given stays */
	struct value *config;
};

static bool has_destination(const struct value *config)
{
	return value_str(value_get(config, "OnSuccess"), "Destination").n ||
	       value_str(value_get(config, "OnFailure"), "Destination").n;
}

static int put(void *arg, struct kv_txn *txn, struct arena *a, const struct function *f, str *text)
{
	static const char *const members[] = {
		"MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"};
	struct config_change *x = arg;
	struct call *c = x->call;
	struct value *old = NULL,
		     *config = value_new(a, c->service->model, "FunctionEventInvokeConfig");
	struct buf b;

	if (x->merge && !text->p)
		return fault_missing(c, x->function);
	if (function_is_durable(f) && has_destination(value_get(c->in, "DestinationConfig")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Durable functions do not support destinations: configure a dead-letter "
			"queue.");
	if (TRY(store_txn_has_qualifier(txn, a, f, part_qualifier(x->function->qualifier))) == 0)
		return ERR_NOT_FOUND;
	if (x->merge)
		TRY(load(a, *text, &old));
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const struct value *given = value_get(c->in, members[i]);

		value_put_copy(config, members[i], given ? given : value_get(old, members[i]));
	}
	value_put_time_ms(config, "LastModified", c->wall_ms);
	buf_init(&b, a, LAMBDA_RECORD_BYTES_MAX);
	codec_json_store(&b, config);
	check(!b.over);
	*text = buf_str(&b);
	x->config = config;
	return 0;
}

static int remove_config(void *arg, struct kv_txn *txn unused_arg, struct arena *a unused_arg,
	const struct function *f unused_arg, str *text)
{
	const struct config_change *x = arg;

	if (!text->p)
		return fault_missing(x->call, x->function);
	*text = STR_NULL;
	return 0;
}

static void render(const struct value *config, str arn, struct value *out)
{
	struct value *to;

	value_copy_members(out, config);
	value_put_str(out, "FunctionArn", arn);
	to = value_put_struct(out, "DestinationConfig");
	value_put_struct(to, "OnSuccess");
	value_put_struct(to, "OnFailure");
}

static int change(struct call *c, bool merge,
	int (*fn)(void *arg, struct kv_txn *txn, struct arena *a, const struct function *f,
		str *text))
{
	struct function f;
	struct config_change x = {.call = c, .function = &f, .merge = merge};
	struct store_part_change change = {.function = &f,
		.kind = PART_EVENT_INVOKE,
		.change = fn,
		.arg = &x,
		.deadline = c->deadline_ns};

	TRY(request_function(c, true, &f));
	change.qualifier = part_qualifier(f.qualifier);
	TRY(request_gone(c, store_part_change(self(c), c->arena, &change)));
	if (x.config)
		render(x.config, config_arn(c->arena, &f), c->out);
	return 0;
}

static int put_config(struct call *c, bool merge)
{
	TRY(event_invoke_check_destination(c, "OnSuccess"));
	TRY(event_invoke_check_destination(c, "OnFailure"));
	if (!value_has(c->in, "MaximumRetryAttempts") &&
		!value_has(c->in, "MaximumEventAgeInSeconds") &&
		!value_has(c->in, "DestinationConfig"))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"You must specify at least one of error handling or destination setting.");
	return change(c, merge, put);
}

int event_invoke_put(struct call *c)
{
	return put_config(c, false);
}

int event_invoke_update(struct call *c)
{
	return put_config(c, true);
}

int event_invoke_delete(struct call *c)
{
	return change(c, false, remove_config);
}

/* ---- reading ---- */

int event_invoke_get(struct call *c)
{
	struct value *config;
	struct function f;
	str text;

	TRY(request_function(c, true, &f));
	if (TRY(store_part(self(c), c->arena, &f, PART_EVENT_INVOKE, part_qualifier(f.qualifier),
		    &text)) == 0)
		return fault_missing(c, &f);
	TRY(load(c->arena, text, &config));
	render(config, config_arn(c->arena, &f), c->out);
	return 0;
}

int event_invoke_list(struct call *c)
{
	struct value *list = value_put_list(c->out, "FunctionEventInvokeConfigs"), *config;
	struct store_entry *entries;
	struct function f;
	int n;

	n = TRY(request_parts(c, PART_EVENT_INVOKE, &f, &entries));
	for (int i = 0; i < n; i++) {
		TRY(load(c->arena, entries[i].text, &config));
		f.qualifier = entries[i].qualifier;
		render(config, config_arn(c->arena, &f), value_add_struct(list));
	}
	return 0;
}

/* ---- for events.c ---- */

int event_invoke_load(struct lambda_service *s, struct arena *a,
	const struct function_name *function, struct event_invoke *ret_config)
{
	const struct function f = {
		.account = function->account, .region = function->region, .name = function->name};
	struct event_invoke config = {
		LAMBDA_EVENT_RETRIES_MAX, LAMBDA_EVENT_AGE_MS_MAX, STR(""), STR("")};
	struct value *v;
	str text;

	if (TRY(store_part(
		    s, a, &f, PART_EVENT_INVOKE, part_qualifier(function->qualifier), &text))) {
		TRY(load(a, text, &v));
		config.retries = (unsigned)value_int(v, "MaximumRetryAttempts", config.retries);
		config.age_ms =
			value_int(v, "MaximumEventAgeInSeconds", config.age_ms / 1000) * 1000;
		config.on_success = destination(v, "OnSuccess");
		config.on_failure = destination(v, "OnFailure");
	}
	*ret_config = config;
	return 0;
}

/* A payload as JSON; what is none becomes a string. */
static void put_payload(struct json_writer *w, struct arena *a, str key, str text)
{
	struct json_reader r;

	json_put_key(w, key);
	json_reader_init(&r, text, a, JSON_DEPTH_MAX);
	if (json_skip(&r) >= 0 && json_end(&r) >= 0)
		json_put_raw(w, text);
	else if (str_is_utf8(text))
		json_put_string(w, text);
	else
		json_put_null(w);
}

str event_invoke_record(struct arena *a, const struct event_invoke_end *end, size_t max)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, a, max);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("version"), STR("1.0"));
	json_put_key_string(&w, STR("timestamp"), lambda_time_zulu(a, end->time_ms));
	json_put_key(&w, STR("requestContext"));
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("requestId"), end->request_id);
	json_put_key_string(&w, STR("functionArn"), end->function_arn);
	json_put_key_string(&w, STR("condition"), str_c(end->condition));
	json_put_key(&w, STR("approximateInvokeCount"));
	json_put_u64(&w, end->attempts);
	json_put_object_end(&w);
	put_payload(&w, a, STR("requestPayload"), end->payload);
	if (end->version.p) {
		json_put_key(&w, STR("responseContext"));
		json_put_object_begin(&w);
		json_put_key(&w, STR("statusCode"));
		json_put_u64(&w, 200);
		json_put_key_string(&w, STR("executedVersion"), end->version);
		if (end->function_error.n)
			json_put_key_string(&w, STR("functionError"), end->function_error);
		json_put_object_end(&w);
		put_payload(&w, a, STR("responsePayload"), end->response);
	}
	json_put_object_end(&w);
	return b.over ? STR_NULL : buf_str(&b);
}

str event_invoke_error(struct arena *a, str response)
{
	struct json_reader r;
	str key, text = response;

	json_reader_init(&r, response, a, JSON_DEPTH_MAX);
	if (json_object_begin(&r) >= 0)
		while (json_object_next(&r, &key) > 0) {
			if (str_eq(key, STR("errorMessage"))) {
				if (json_string(&r, &text) < 0)
					text = response;
				break;
			}
			if (json_skip(&r) < 0)
				break;
		}
	text = str_sub(text, 0, ERROR_TEXT_BYTES);
	/* Cut between characters. */
	while (text.n && !str_is_utf8(text))
		text.n--;
	return text;
}
