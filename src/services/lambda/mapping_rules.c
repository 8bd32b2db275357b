/*
 * What a mapping's members may be, for each kind of source: see mapping_control.h.
 */
#include "aws/event_pattern.h"
#include "aws/ports/records.h"
#include "base/check.h"
#include "services/lambda/event_invoke.h"
#include "services/lambda/mapping_control.h"
#include "services/lambda/service.h"

#define REFUSE(c, ...) \
	lambda_fault_set(&(c)->fault, (c)->arena, LAMBDA_INVALID_PARAMETER, __VA_ARGS__)

/* Sources of other kinds, none of which is here. */
static const struct {
	str prefix;
	const char *name;
} others[] = {
	{STR_INIT("arn:aws:sqs:"), "SQS queues"},
	{STR_INIT("arn:aws:kinesis:"), "Kinesis streams"},
	{STR_INIT("arn:aws:kafka:"), "Amazon MSK clusters"},
	{STR_INIT("arn:aws:mq:"), "Amazon MQ brokers"},
	{STR_INIT("arn:aws:rds:"), "DocumentDB clusters"},
};

static int check_source(struct call *c, str arn)
{
	if (value_has(c->in, "SelfManagedEventSource"))
		return REFUSE(c, "SelfManagedEventSource: self-managed Apache Kafka is not "
				 "implemented by this server as an event source.");
	if (!arn.n)
		return REFUSE(c, "Unrecognized event source, must be the ARN of a stream.");
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (str_starts(arn, others[i].prefix) && !port_records_of(c->ports, arn))
			return REFUSE(c,
				"EventSourceArn: %s are not implemented by this server as event "
				"sources: %.*s",
				others[i].name, STR_ARG(arn));
	if (!port_records_of(c->ports, arn) || str_find_str(arn, STR("/stream/")) < 0)
		return REFUSE(c, "Unrecognized event source: %.*s", STR_ARG(arn));
	return 0;
}

/* Members of other kinds of sources, and those behind which there is nothing here. */
static int check_foreign(struct call *c)
{
	static const char *const foreign[] = {"Topics", "Queues", "SourceAccessConfigurations",
		"AmazonManagedKafkaEventSourceConfig", "SelfManagedKafkaEventSourceConfig",
		"ScalingConfig", "DocumentDBEventSourceConfig", "LoggingConfig",
		"ProvisionedPollerConfig"};

	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		/* An update is asked with members that the source does not have, empty. */
		if (model_member(c->service->model, c->in->shape, str_c(foreign[i])) >= 0 &&
			value_has(c->in, foreign[i]))
			return REFUSE(
				c, "Unsupported parameter for the event source: %s", foreign[i]);
	}
	if (value_str(c->in, "KMSKeyArn").n)
		return REFUSE(c, "KMSKeyArn: encryption of filter criteria with a customer "
				 "managed key is not implemented by this server.");
	return 0;
}

static int check_start(struct call *c, str arn)
{
	str start = value_str(c->in, "StartingPosition");

	if (!start.n)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_VALIDATION,
			"1 validation error detected: Value null at 'startingPosition' failed to "
			"satisfy constraint: Member must not be null.");
	if (str_eq(start, STR("AT_TIMESTAMP")))
		return REFUSE(c, "Unsupported starting position for arn type: %.*s", STR_ARG(arn));
	if (value_has(c->in, "StartingPositionTimestamp"))
		return REFUSE(c, "StartingPositionTimestamp is only allowed with the starting "
				 "position AT_TIMESTAMP.");
	return 0;
}

static int check_filters(struct call *c)
{
	const struct value *filters = value_get(value_get(c->in, "FilterCriteria"), "Filters");
	const struct event_pattern *pattern;
	str why;

	if (value_count(filters) > LAMBDA_MAPPING_FILTERS_MAX)
		return REFUSE(c, "The number of filters in FilterCriteria exceeds the limit of %d.",
			LAMBDA_MAPPING_FILTERS_MAX);
	for (uint32_t i = 0; i < value_count(filters); i++)
		if (event_pattern_compile(c->arena, value_str(value_at(filters, i), "Pattern"),
			    &pattern, &why) < 0)
			return REFUSE(c, "Invalid filter pattern definition. %.*s", STR_ARG(why));
	return 0;
}

/* Streams tell of failures only. */
static int check_destination(struct call *c)
{
	const struct value *config = value_get(c->in, "DestinationConfig");

	if (value_str(value_get(config, "OnSuccess"), "Destination").n)
		return REFUSE(c, "Unsupported DestinationConfig parameter for given event source "
				 "mapping type: OnSuccess");
	return event_invoke_check_destination(c, "OnFailure");
}

static int check_metrics(struct call *c)
{
	const struct value *list = value_get(value_get(c->in, "MetricsConfig"), "Metrics");

	for (uint32_t i = 0; i < value_count(list); i++) {
		str metric = value_text(value_at(list, i));

		if (!str_eq(metric, STR("EventCount")))
			return REFUSE(c,
				"MetricsConfig: the metrics %.*s are not those of a stream.",
				STR_ARG(metric));
	}
	return 0;
}

int mapping_check(struct call *c, str source_arn)
{
	bool creates = model_member(c->service->model, c->in->shape, STR("StartingPosition")) >= 0;
	int64_t age = value_int(c->in, "MaximumRecordAgeInSeconds", -1);

	if (creates) {
		TRY(check_source(c, source_arn));
		TRY(check_start(c, source_arn));
	}
	TRY(check_foreign(c));
	if (age >= 0 && age < 60)
		return REFUSE(c,
			"1 validation error detected: Value '%lld' at "
			"'maximumRecordAgeInSeconds' failed to satisfy constraint: Member "
			"must be -1 or have value greater than or equal to 60",
			(long long)age);
	TRY(check_filters(c));
	TRY(check_destination(c));
	return check_metrics(c);
}

/* ---- laying over ---- */

static const char *const members[] = {"BatchSize", "MaximumBatchingWindowInSeconds",
	"ParallelizationFactor", "DestinationConfig", "MaximumRecordAgeInSeconds",
	"BisectBatchOnFunctionError", "MaximumRetryAttempts", "TumblingWindowInSeconds",
	"FunctionResponseTypes", "FilterCriteria", "MetricsConfig"};

void mapping_lay_over(struct call *c, struct value *config)
{
	struct value *all =
		value_new(c->arena, c->service->model, "EventSourceMappingConfiguration");

	/* Into a fresh one: what is given replaces a structure as a whole. */
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const struct value *given = value_get(c->in, members[i]);
		const struct value *v = given ? given : value_get(config, members[i]);

		if (strcmp(members[i], "FilterCriteria") == 0 &&
			!value_count(value_get(v, "Filters")))
			continue;
		value_put_copy(all, members[i], v);
	}
	value_put_copy(all, "EventSourceArn", value_get(config, "EventSourceArn"));
	value_put_copy(all, "FunctionArn", value_get(config, "FunctionArn"));
	value_put_copy(all, "StartingPosition", value_get(config, "StartingPosition"));
	*config = *all;
}
