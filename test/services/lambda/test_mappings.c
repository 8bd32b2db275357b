/*
 * Operations on event source mappings through the gate, and what is pure behind them.
 */
#include "aws/ports/identity.h"
#include "aws/ports/records.h"
#include "rt/rt.h"
#include "services/lambda/mapping_batch.h"
#include "test/services/lambda/control.h"

#define STREAM "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-11-28T00:00:00.000"
#define ARN    "arn:aws:lambda:us-east-1:000000000000:function:f"

static int one_shard(
	void *self unused_arg, struct arena *a, str arn, struct records_shard **ret_shards)
{
	if (!str_eq(arn, STR(STREAM)) && !str_eq(arn, STR(STREAM "b")))
		return ERR_NOT_FOUND;
	*ret_shards = arena_new_array(a, struct records_shard, 1);
	(*ret_shards)[0].id = STR("s0");
	return 1;
}

static int start_anywhere(void *self unused_arg, struct arena *a unused_arg, str arn unused_arg,
	str shard unused_arg, enum records_start start unused_arg, int64_t time_ms unused_arg,
	str *ret_position)
{
	*ret_position = STR("0");
	return 0;
}

static int read_nothing(void *self unused_arg, struct arena *a unused_arg,
	const struct records_read *read, struct records_batch *ret_batch)
{
	while (rt_now() < read->deadline) {
		if (atomic_load(read->stopping))
			return ERR_CANCELLED;
		TRY(rt_sleep_until(MIN(rt_after_ms(5), read->deadline)));
	}
	*ret_batch = (struct records_batch){.position = STR("0")};
	return 0;
}

static const struct port_records stream = {
	NULL, STR_INIT("arn:aws:dynamodb:"), one_shard, start_anywhere, read_nothing};

static struct value *input(struct live *l)
{
	struct value *in = named(l, "CreateEventSourceMapping", "f");

	value_put_str(in, "EventSourceArn", STR(STREAM));
	value_put_str(in, "StartingPosition", STR("LATEST"));
	return in;
}

static struct value *of(struct live *l, const char *operation, str uuid)
{
	struct value *in = live_input(l, operation);

	value_put_str(in, "UUID", uuid);
	return in;
}

static void prepare(struct live *l)
{
	port_records_add(&l->ports, &stream);
	CALL("CreateFunction", good(l, "f"));
	live_wait_active(l, "f");
}

/* Until the mapping has reached a state; "" for being gone. */
static void wait_state(struct live *l, str uuid, const char *state)
{
	for (int i = 0; i < 500; i++) {
		int rc =
			live_call(l, "GetEventSourceMapping", of(l, "GetEventSourceMapping", uuid));

		if (rc < 0 ? !*state : str_eq(value_str(l->out, "State"), str_c(state)))
			return;
		live_sleep(10);
	}
	test_fail(__FILE__, __LINE__, "the mapping does not become \"%s\"", state);
}

static void life(struct live *l)
{
	struct value *in;
	str uuid, arn;

	prepare(l);
	CALL("CreateEventSourceMapping", input(l));
	uuid = value_str(l->out, "UUID");
	arn = value_str(l->out, "EventSourceMappingArn");
	EXPECT_STR(arn,
		ARENA_CONCAT(&l->arena,
			STR("arn:aws:lambda:us-east-1:000000000000:event-source-mapping:"), uuid));
	EXPECT_STR(value_str(l->out, "State"), STR("Creating"));
	EXPECT_STR(value_str(l->out, "StateTransitionReason"), STR("User action"));
	EXPECT_STR(value_str(l->out, "LastProcessingResult"), STR("No records processed"));
	EXPECT_STR(value_str(l->out, "FunctionArn"), STR(ARN));
	EXPECT_STR(value_str(l->out, "EventSourceArn"), STR(STREAM));
	EXPECT_STR(value_str(l->out, "StartingPosition"), STR("LATEST"));
	EXPECT_INT(value_int(l->out, "BatchSize", 0), 100);
	EXPECT_INT(value_int(l->out, "MaximumBatchingWindowInSeconds", 7), 0);
	EXPECT_INT(value_int(l->out, "ParallelizationFactor", 0), 1);
	EXPECT_INT(value_int(l->out, "MaximumRecordAgeInSeconds", 0), -1);
	EXPECT_INT(value_int(l->out, "MaximumRetryAttempts", 0), -1);
	EXPECT_INT(value_int(l->out, "TumblingWindowInSeconds", 7), 0);
	EXPECT(!value_bool(l->out, "BisectBatchOnFunctionError", true));
	EXPECT(value_has(value_get(l->out, "DestinationConfig"), "OnFailure"));
	EXPECT(value_has(l->out, "FunctionResponseTypes"));
	EXPECT(!value_has(l->out, "FilterCriteria"));
	EXPECT(value_time_ms(l->out, "LastModified", 0) > 0);
	wait_state(l, uuid, "Enabled");
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", input(l)),
		"ResourceConflictException", 409,
		"The event source arn (\" " STREAM " \") and function (\" f \") provided mapping "
		"already exists. Please update or delete the existing mapping with UUID ");

	in = of(l, "UpdateEventSourceMapping", uuid);
	value_put_int(in, "BatchSize", 7);
	value_put_bool(in, "Enabled", false);
	CALL("UpdateEventSourceMapping", in);
	EXPECT_STR(value_str(l->out, "State"), STR("Disabling"));
	EXPECT_FAULT(
		live_call(l, "DeleteEventSourceMapping", of(l, "DeleteEventSourceMapping", uuid)),
		"ResourceInUseException", 400,
		"Cannot delete the event source mapping because it is in use.");
	wait_state(l, uuid, "Disabled");
	EXPECT_INT(value_int(l->out, "BatchSize", 0), 7);
	in = of(l, "UpdateEventSourceMapping", uuid);
	value_put_int(in, "MaximumRetryAttempts", 3);
	CALL("UpdateEventSourceMapping", in);
	EXPECT_STR(value_str(l->out, "State"), STR("Updating"));
	wait_state(l, uuid, "Disabled");
	EXPECT_INT(value_int(l->out, "BatchSize", 0), 7);
	EXPECT_INT(value_int(l->out, "MaximumRetryAttempts", 0), 3);
	value_put_bool(in, "Enabled", true);
	CALL("UpdateEventSourceMapping", in);
	EXPECT_STR(value_str(l->out, "State"), STR("Enabling"));
	wait_state(l, uuid, "Enabled");

	CALL("DeleteEventSourceMapping", of(l, "DeleteEventSourceMapping", uuid));
	EXPECT_STR(value_str(l->out, "State"), STR("Deleting"));
	wait_state(l, uuid, "");
	EXPECT_FAULT(live_call(l, "GetEventSourceMapping", of(l, "GetEventSourceMapping", uuid)),
		"ResourceNotFoundException", 404, "The resource you requested does not exist.");
	CALL("CreateEventSourceMapping", input(l));
}
CONTROL_OF(lambda_mappings, life)

static void refused(struct live *l, const char *member, const char *text)
{
	struct value *in = input(l);

	if (strcmp(member, "Topics") == 0 || strcmp(member, "Queues") == 0)
		value_add_str(value_put_list(in, member), STR("topic"));
	else if (strcmp(member, "KMSKeyArn") == 0)
		value_put_str(in, member, STR("arn:aws:kms:us-east-1:000000000000:key/x"));
	else if (strcmp(member, "StartingPosition") == 0)
		value_put_str(in, member, STR("AT_TIMESTAMP"));
	else if (strcmp(member, "StartingPositionTimestamp") == 0)
		value_put_time_ms(in, member, 1);
	else if (strcmp(member, "MaximumRecordAgeInSeconds") == 0)
		value_put_int(in, member, 59);
	else
		value_put_struct(in, member);
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", in), "InvalidParameterValueException",
		400, text);
}

static void source(struct live *l, const char *arn, const char *text)
{
	struct value *in = input(l);

	value_put_str(in, "EventSourceArn", str_c(arn));
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", in), "InvalidParameterValueException",
		400, text);
}

static void members(struct live *l)
{
	struct value *in, *v;

	prepare(l);
	source(l, "arn:aws:sqs:us-east-1:000000000000:q", "SQS queues are not implemented");
	source(l, "arn:aws:kinesis:us-east-1:000000000000:stream/s",
		"Kinesis streams are not implemented");
	source(l, "arn:aws:s3:::bucket", "Unrecognized event source: arn:aws:s3:::bucket");
	source(l, "arn:aws:dynamodb:us-east-1:000000000000:table/t", "Unrecognized event source");
	source(l, STREAM "x", "Stream not found: " STREAM "x");
	refused(l, "SelfManagedEventSource", "SelfManagedEventSource:");
	refused(l, "Topics", "Unsupported parameter for the event source: Topics");
	refused(l, "Queues", "Unsupported parameter for the event source: Queues");
	refused(l, "ScalingConfig", "Unsupported parameter for the event source: ScalingConfig");
	refused(l, "DocumentDBEventSourceConfig", "source: DocumentDBEventSourceConfig");
	refused(l, "LoggingConfig", "Unsupported parameter for the event source: LoggingConfig");
	refused(l, "ProvisionedPollerConfig", "source: ProvisionedPollerConfig");
	refused(l, "KMSKeyArn", "KMSKeyArn:");
	refused(l, "StartingPosition", "Unsupported starting position for arn type: " STREAM);
	refused(l, "StartingPositionTimestamp", "StartingPositionTimestamp is only allowed");
	refused(l, "MaximumRecordAgeInSeconds", "'maximumRecordAgeInSeconds'");
	in = named(l, "CreateEventSourceMapping", "f");
	value_put_str(in, "EventSourceArn", STR(STREAM));
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", in), "ValidationException", 400,
		"Value null at 'startingPosition'");
	in = input(l);
	value_put_str(in, "FunctionName", STR("nobody"));
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", in), "InvalidParameterValueException",
		400, "Function does not exist");
	in = input(l);
	v = value_put_list(value_put_struct(in, "FilterCriteria"), "Filters");
	value_put_str(value_add_struct(v), "Pattern", STR("{\"a\":1}"));
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", in), "InvalidParameterValueException",
		400, "Invalid filter pattern definition.");
	for (int i = 0; i < 5; i++)
		value_put_str(value_add_struct(v), "Pattern", STR("{\"a\":[1]}"));
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", in), "InvalidParameterValueException",
		400, "The number of filters");
	in = input(l);
	v = value_put_struct(in, "DestinationConfig");
	value_put_str(value_put_struct(v, "OnFailure"), "Destination",
		STR("arn:aws:sqs:us-east-1:000000000000:q"));
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", in), "InvalidParameterValueException",
		400, "no service that runs here takes events for it");
	value_put_str(value_put_struct(v, "OnSuccess"), "Destination", STR(ARN));
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", in), "InvalidParameterValueException",
		400, "OnSuccess");
	in = input(l);
	value_put_int(in, "TumblingWindowInSeconds", 10);
	value_put_int(in, "ParallelizationFactor", 2);
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", in), "InvalidParameterValueException",
		400, "TumblingWindowInSeconds:");
	in = input(l);
	value_add_str(value_put_list(value_put_struct(in, "MetricsConfig"), "Metrics"),
		STR("KafkaMetrics"));
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", in), "InvalidParameterValueException",
		400, "KafkaMetrics");
	/* Nothing of all that has left a trace. */
	CALL("ListEventSourceMappings", live_input(l, "ListEventSourceMappings"));
	EXPECT_INT(value_count(value_get(l->out, "EventSourceMappings")), 0);
}
CONTROL_OF(lambda_mappings, members)

static unsigned listed(struct live *l, const char *function, const char *arn)
{
	struct value *in = live_input(l, "ListEventSourceMappings");

	value_put_str(in, "FunctionName", str_c(function));
	value_put_str(in, "EventSourceArn", str_c(arn));
	if (live_call(l, "ListEventSourceMappings", in) < 0)
		return 99;
	return value_count(value_get(l->out, "EventSourceMappings"));
}

static void lists_and_tags(struct live *l)
{
	struct value *in;
	str arn, uuid;

	prepare(l);
	CALL("PublishVersion", named(l, "PublishVersion", "f"));
	in = input(l);
	value_map_put_str(value_put_map(in, "Tags"), STR("k"), STR("v"));
	CALL("CreateEventSourceMapping", in);
	arn = value_str(l->out, "EventSourceMappingArn");
	uuid = value_str(l->out, "UUID");
	in = input(l);
	value_put_str(in, "FunctionName", STR("f:1"));
	CALL("CreateEventSourceMapping", in);
	EXPECT_STR(value_str(l->out, "FunctionArn"), STR(ARN ":1"));
	in = input(l);
	value_put_str(in, "EventSourceArn", STR(STREAM "b"));
	CALL("CreateEventSourceMapping", in);
	EXPECT_INT(listed(l, NULL, NULL), 3);
	EXPECT_INT(listed(l, "f", NULL), 2);
	EXPECT_INT(listed(l, "f:1", NULL), 1);
	EXPECT_INT(listed(l, ARN, STREAM), 1);
	EXPECT_INT(listed(l, NULL, STREAM), 2);
	EXPECT_INT(listed(l, "g", NULL), 0);
	in = live_input(l, "ListEventSourceMappings");
	value_put_int(in, "MaxItems", 2);
	CALL("ListEventSourceMappings", in);
	EXPECT_INT(value_count(value_get(l->out, "EventSourceMappings")), 2);
	value_put_str(in, "Marker", value_str(l->out, "NextMarker"));
	CALL("ListEventSourceMappings", in);
	EXPECT_INT(value_count(value_get(l->out, "EventSourceMappings")), 1);
	EXPECT(!value_has(l->out, "NextMarker"));

	in = live_input(l, "TagResource");
	value_put_str(in, "Resource", arn);
	value_map_put_str(value_put_map(in, "Tags"), STR("l"), STR("w"));
	CALL("TagResource", in);
	in = live_input(l, "UntagResource");
	value_put_str(in, "Resource", arn);
	value_add_str(value_put_list(in, "TagKeys"), STR("k"));
	CALL("UntagResource", in);
	in = live_input(l, "ListTags");
	value_put_str(in, "Resource", arn);
	CALL("ListTags", in);
	EXPECT_INT(value_count(value_get(l->out, "Tags")), 1);
	EXPECT_STR(value_text(value_find(value_get(l->out, "Tags"), STR("l"))), STR("w"));

	/* Another function, unless that has a mapping for the stream already. */
	wait_state(l, uuid, "Enabled");
	in = of(l, "UpdateEventSourceMapping", uuid);
	value_put_str(in, "FunctionName", STR("f:1"));
	EXPECT_FAULT(live_call(l, "UpdateEventSourceMapping", in), "ResourceConflictException", 409,
		"provided mapping already exists");
	CALL("CreateFunction", good(l, "g"));
	live_wait_active(l, "g");
	value_put_str(in, "FunctionName", STR("g"));
	CALL("UpdateEventSourceMapping", in);
	EXPECT_INT(listed(l, "g", STREAM), 1);
	EXPECT_INT(listed(l, "f", STREAM), 0);
	CALL("CreateEventSourceMapping", input(l)); /* the pair is free */
}
CONTROL_OF(lambda_mappings, lists_and_tags)

/* ---- roles ---- */

static int no_rights(void *self unused_arg, struct arena *a unused_arg, str role_arn,
	str session_name unused_arg, struct principal *ret)
{
	*ret = (struct principal){.kind = PRINCIPAL_SESSION,
		.account = STR("000000000000"),
		.arn = role_arn,
		.role_arn = role_arn};
	return 1;
}

static void roles(struct live *l)
{
	const struct port_identity identity = {.by_role = no_rights};

	prepare(l);
	l->ports.identity = &identity;
	EXPECT_FAULT(live_call(l, "CreateEventSourceMapping", input(l)),
		"InvalidParameterValueException", 400,
		"Cannot access stream " STREAM ". Please ensure the role can perform the "
		"GetRecords, GetShardIterator, DescribeStream, and ListStreams Actions on your "
		"stream in IAM.");
	l->ports.identity = NULL;
}
CONTROL_OF(lambda_mappings, roles)

/* ---- a whole record for a destination ---- */

TEST(lambda_mappings, loss_record)
{
	const struct record_of_source first = {.sequence = STR("11"), .time_ms = 1573690399000},
				      last = {.sequence = STR("12"), .time_ms = 1573690400000};
	const struct batch_loss loss = {.request_id = STR("id"),
		.function_arn = STR(ARN),
		.condition = "RetryAttemptsExhausted",
		.invocations = 1,
		.version = STR("$LATEST"),
		.function_error = STR("Unhandled"),
		.info = batch_info_name(STR(STREAM)),
		.shard = STR("shardId-1"),
		.source_arn = STR(STREAM),
		.first = &first,
		.last = &last,
		.count = 2,
		.now_ms = 1573690429717};
	struct arena a cleanup(arena_done_p) = {0};
	struct buf b;

	arena_init(&a, SIZE_MAX);
	buf_init(&b, &a, 4096);
	batch_put_loss(&b, &loss);
	EXPECT_STR(buf_str(&b),
		STR("{\"requestContext\":{\"requestId\":\"id\",\"functionArn\":\"" ARN "\","
		    "\"condition\":\"RetryAttemptsExhausted\",\"approximateInvokeCount\":1},"
		    "\"responseContext\":{\"statusCode\":200,\"executedVersion\":\"$LATEST\","
		    "\"functionError\":\"Unhandled\"},\"version\":\"1.0\","
		    "\"timestamp\":\"2019-11-14T00:13:49.717Z\",\"DDBStreamBatchInfo\":{"
		    "\"shardId\":\"shardId-1\",\"startSequenceNumber\":\"11\","
		    "\"endSequenceNumber\":\"12\","
		    "\"approximateArrivalOfFirstRecord\":\"2019-11-14T00:13:19Z\","
		    "\"approximateArrivalOfLastRecord\":\"2019-11-14T00:13:20Z\","
		    "\"batchSize\":2,\"streamArn\":\"" STREAM "\"}}"));
}
