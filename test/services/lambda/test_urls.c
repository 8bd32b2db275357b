/*
 * Function URLs and settings of asynchronous invocations: their configurations through the gate,
 * and what is made of them.
 */
#include "services/lambda/event_invoke.h"
#include "services/lambda/url.h"
#include "test/services/lambda/control.h"

#define ARN "arn:aws:lambda:us-east-1:000000000000:function:f"

static void create(struct live *l)
{
	struct value *in;

	CALL("CreateFunction", good(l, "f"));
	live_wait_active(l, "f");
	CALL("PublishVersion", named(l, "PublishVersion", "f"));
	in = named(l, "CreateAlias", "f");
	value_put_str(in, "Name", STR("live"));
	value_put_str(in, "FunctionVersion", STR("1"));
	CALL("CreateAlias", in);
}

static struct value *url(struct live *l, const char *operation, const char *auth)
{
	struct value *in = named(l, operation, "f");

	value_put_str(in, "AuthType", str_c(auth));
	return in;
}

/* The id in "http://ID.lambda-url.us-east-1.localhost/". */
static str id_of(str address)
{
	return str_sub(str_from(address, 7), 0, 32);
}

static void urls(struct live *l)
{
	struct url_config config;
	struct value *in, *cors;
	str address, id;

	create(l);
	EXPECT_FAULT(live_call(l, "GetFunctionUrlConfig", named(l, "GetFunctionUrlConfig", "f")),
		"ResourceNotFoundException", 404, "The resource you requested does not exist.");
	CALL("CreateFunctionUrlConfig", url(l, "CreateFunctionUrlConfig", "NONE"));
	address = value_str(l->out, "FunctionUrl");
	id = id_of(address);
	EXPECT(str_ends(address, STR(".lambda-url.us-east-1.localhost/")));
	EXPECT_STR(value_str(l->out, "FunctionArn"), STR(ARN));
	EXPECT_STR(value_str(l->out, "InvokeMode"), STR("BUFFERED"));
	EXPECT_FAULT(
		live_call(l, "CreateFunctionUrlConfig", url(l, "CreateFunctionUrlConfig", "NONE")),
		"ResourceConflictException", 409,
		"FunctionUrlConfig exists for this Lambda function");
	in = url(l, "CreateFunctionUrlConfig", "AWS_IAM");
	value_put_str(in, "Qualifier", STR("live"));
	CALL("CreateFunctionUrlConfig", in);
	EXPECT_STR(value_str(l->out, "FunctionArn"), STR(ARN ":live"));
	value_put_str(in, "Qualifier", STR("none"));
	EXPECT_FAULT(live_call(l, "CreateFunctionUrlConfig", in), "ResourceNotFoundException", 404,
		"Function not found: " ARN ":none");
	CALL("ListFunctionUrlConfigs", named(l, "ListFunctionUrlConfigs", "f"));
	EXPECT_INT(value_count(value_get(l->out, "FunctionUrlConfigs")), 2);

	in = named(l, "UpdateFunctionUrlConfig", "f");
	value_put_str(in, "InvokeMode", STR("RESPONSE_STREAM"));
	cors = value_put_struct(in, "Cors");
	value_add_str(value_put_list(cors, "AllowOrigins"), STR("https://a.example"));
	value_add_str(value_put_list(cors, "AllowMethods"), STR("GET"));
	value_add_str(value_put_list(cors, "AllowMethods"), STR("PUT"));
	value_put_int(cors, "MaxAge", 60);
	CALL("UpdateFunctionUrlConfig", in);
	EXPECT_STR(value_str(l->out, "FunctionUrl"), address);
	EXPECT_STR(value_str(l->out, "AuthType"), STR("NONE"));
	ASSERT_INT(url_find(l->lambda, &l->arena, id, &config), 1);
	EXPECT(config.streams && !config.iam);
	EXPECT_STR(config.function.name, STR("f"));
	EXPECT_STR(config.cors->methods, STR("GET,PUT"));
	EXPECT_INT(config.cors->max_age, 60);
	in = named(l, "UpdateFunctionUrlConfig", "f");
	cors = value_put_struct(in, "Cors");
	value_add_str(value_put_list(cors, "AllowOrigins"), STR("*"));
	value_put_bool(cors, "AllowCredentials", true);
	EXPECT_FAULT(live_call(l, "UpdateFunctionUrlConfig", in), "InvalidParameterValueException",
		400, "AllowCredentials cannot be true");
	/* An empty one takes away what was there; one that is not given leaves it. */
	CALL("UpdateFunctionUrlConfig", named(l, "UpdateFunctionUrlConfig", "f"));
	EXPECT(value_has(l->out, "Cors"));
	in = named(l, "UpdateFunctionUrlConfig", "f");
	value_put_struct(in, "Cors");
	CALL("UpdateFunctionUrlConfig", in);
	EXPECT(!value_has(l->out, "Cors"));
	ASSERT_INT(url_find(l->lambda, &l->arena, id, &config), 1);
	EXPECT(!config.cors && config.streams);

	CALL("DeleteFunctionUrlConfig", named(l, "DeleteFunctionUrlConfig", "f"));
	EXPECT_INT(url_find(l->lambda, &l->arena, id, &config), 0);
	EXPECT_FAULT(
		live_call(l, "DeleteFunctionUrlConfig", named(l, "DeleteFunctionUrlConfig", "f")),
		"ResourceNotFoundException", 404, "The resource you requested does not exist.");
	/* The others go with the function. */
	in = named(l, "GetFunctionUrlConfig", "f");
	value_put_str(in, "Qualifier", STR("live"));
	CALL("GetFunctionUrlConfig", in);
	id = id_of(value_str(l->out, "FunctionUrl"));
	EXPECT_INT(url_find(l->lambda, &l->arena, id, &config), 1);
	EXPECT(config.iam);
	CALL("DeleteFunction", named(l, "DeleteFunction", "f"));
	EXPECT_INT(url_find(l->lambda, &l->arena, id, &config), 0);
}
CONTROL_OF(lambda_urls, urls)

static void put_destination(struct value *in, const char *when, const char *arn)
{
	value_put_str(value_put_struct(value_put_struct(in, "DestinationConfig"), when),
		"Destination", str_c(arn));
}

static void event_invoke(struct live *l)
{
	const struct function_name name = {
		STR("000000000000"), STR("us-east-1"), STR("f"), STR_NULL};
	struct event_invoke config;
	struct value *in;

	create(l);
	ASSERT_INT(event_invoke_load(l->lambda, &l->arena, &name, &config), 0);
	EXPECT_INT(config.retries, 2);
	EXPECT_INT(config.age_ms, 21600000);
	EXPECT_FAULT(live_call(l, "GetFunctionEventInvokeConfig",
			     named(l, "GetFunctionEventInvokeConfig", "f")),
		"ResourceNotFoundException", 404,
		"The function " ARN ":$LATEST doesn't have an EventInvokeConfig");
	in = named(l, "UpdateFunctionEventInvokeConfig", "f");
	value_put_int(in, "MaximumRetryAttempts", 1);
	EXPECT_FAULT(live_call(l, "UpdateFunctionEventInvokeConfig", in),
		"ResourceNotFoundException", 404, "doesn't have an EventInvokeConfig");
	CALL("PutFunctionEventInvokeConfig", in);
	EXPECT_STR(value_str(l->out, "FunctionArn"), STR(ARN ":$LATEST"));
	EXPECT(!value_has(l->out, "MaximumEventAgeInSeconds"));
	in = named(l, "UpdateFunctionEventInvokeConfig", "f");
	value_put_int(in, "MaximumEventAgeInSeconds", 60);
	put_destination(in, "OnFailure", ARN);
	CALL("UpdateFunctionEventInvokeConfig", in);
	EXPECT_INT(value_int(l->out, "MaximumRetryAttempts", 9), 1);
	ASSERT_INT(event_invoke_load(l->lambda, &l->arena, &name, &config), 0);
	EXPECT_INT(config.retries, 1);
	EXPECT_INT(config.age_ms, 60000);
	EXPECT_STR(config.on_failure, STR(ARN));
	EXPECT_STR(config.on_success, STR(""));
	put_destination(in, "OnSuccess", "arn:aws:sqs:us-east-1:000000000000:q");
	EXPECT_FAULT(live_call(l, "PutFunctionEventInvokeConfig", in),
		"InvalidParameterValueException", 400,
		"DestinationConfig.OnSuccess: the destination "
		"arn:aws:sqs:us-east-1:000000000000:q is not implemented by this server");
	EXPECT_FAULT(live_call(l, "PutFunctionEventInvokeConfig",
			     named(l, "PutFunctionEventInvokeConfig", "f")),
		"InvalidParameterValueException", 400, "You must specify at least one");
	in = named(l, "PutFunctionEventInvokeConfig", "f:live");
	value_put_int(in, "MaximumRetryAttempts", 0);
	CALL("PutFunctionEventInvokeConfig", in);
	CALL("ListFunctionEventInvokeConfigs", named(l, "ListFunctionEventInvokeConfigs", "f"));
	EXPECT_INT(value_count(value_get(l->out, "FunctionEventInvokeConfigs")), 2);
	CALL("DeleteFunctionEventInvokeConfig", named(l, "DeleteFunctionEventInvokeConfig", "f"));
	EXPECT_FAULT(live_call(l, "DeleteFunctionEventInvokeConfig",
			     named(l, "DeleteFunctionEventInvokeConfig", "f")),
		"ResourceNotFoundException", 404, "doesn't have an EventInvokeConfig");
	in = named(l, "GetFunctionEventInvokeConfig", "f:live");
	CALL("GetFunctionEventInvokeConfig", in);
	EXPECT_INT(value_int(l->out, "MaximumRetryAttempts", 9), 0);
}
CONTROL_OF(lambda_urls, event_invoke)

TEST(lambda_events_pure, record)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct event_invoke_end end = {
		.request_id = STR("id"),
		.function_arn = STR(ARN ":$LATEST"),
		.condition = "RetriesExhausted",
		.attempts = 3,
		.payload = STR("{\"a\":1}"),
		.version = STR("$LATEST"),
		.function_error = STR("Unhandled"),
		.response = STR("not json"),
		.time_ms = 1763800000123,
	};

	arena_init(&a, SIZE_MAX);
	EXPECT_STR(event_invoke_record(&a, &end, LAMBDA_EVENT_BYTES_MAX),
		STR("{\"version\":\"1.0\",\"timestamp\":\"2025-11-22T08:26:40.123Z\","
		    "\"requestContext\":{\"requestId\":\"id\",\"functionArn\":\"" ARN
		    ":$LATEST\",\"condition\":\"RetriesExhausted\",\"approximateInvokeCount\":3},"
		    "\"requestPayload\":{\"a\":1},\"responseContext\":{\"statusCode\":200,"
		    "\"executedVersion\":\"$LATEST\",\"functionError\":\"Unhandled\"},"
		    "\"responsePayload\":\"not json\"}"));
	end.version = STR_NULL;
	EXPECT(str_find_str(event_invoke_record(&a, &end, LAMBDA_EVENT_BYTES_MAX),
		       STR("responseContext")) < 0);
	end.payload = str_of(arena_bytes(&a, 1048577), 1048577);
	memset((char *)end.payload.p, ' ', end.payload.n - 1);
	((char *)end.payload.p)[end.payload.n - 1] = '1';
	EXPECT(!event_invoke_record(&a, &end, LAMBDA_EVENT_BYTES_MAX).p); /* larger than an event */
}

TEST(lambda_urls_pure, prelude)
{
	static char large[URL_PRELUDE_BYTES_MAX];
	size_t n = 0;

	EXPECT_INT(url_prelude_find(str_of("{}\0\0\0\0\0\0\0\0body", 14), &n), 1);
	EXPECT_INT(n, 10);
	EXPECT_INT(url_prelude_find(str_of("{}\0\0\0\0\0\0\0", 9), &n), 0);
	EXPECT_INT(url_prelude_find(STR(""), &n), 0);
	memset(large, 'x', sizeof(large));
	EXPECT_INT(url_prelude_find(str_of(large, sizeof(large)), &n), ERR_TOO_LARGE);
}
