/*
 * The ends of asynchronous invocations: dead letters and destinations through the deliver port, to
 * a queue that is made here, and loops of events.
 */
#include "aws/ports/deliver.h"

#include "aws/policy.h"
#include "aws/ports/identity.h"
#include "aws/ports/metric.h"
#include "rt/rt.h"
#include "services/lambda/event_invoke.h"
#include "test/services/lambda/control.h"

#define QUEUE "arn:aws:sqs:us-east-1:000000000000:q"

/* A queue, and what is counted. */
struct queue {
	struct live *live;
	struct port_deliver port;
	struct port_metric metric;
	int rc; /* of each delivery */
	unsigned count;
	str body, request_id, error_code, error_message;
	unsigned dead_letter_errors, destination_failures, other_functions;
};

static int take(
	void *self, struct arena *a unused_arg, const struct deliver_request *r, str *ret_why)
{
	struct queue *q = self;
	struct arena *mine = &q->live->arena;

	q->count++;
	q->body = arena_str(mine, r->body);
	for (size_t i = 0; i < r->attribute_count; i++) {
		str name = str_c(r->attributes[i].name), value = r->attributes[i].value;

		if (str_eq(name, STR("RequestID")))
			q->request_id = arena_str(mine, value);
		else if (str_eq(name, STR("ErrorCode")))
			q->error_code = arena_str(mine, value);
		else if (str_eq(name, STR("ErrorMessage")))
			q->error_message = arena_str(mine, value);
	}
	if (q->rc < 0)
		*ret_why = STR("the queue is full");
	return q->rc;
}

static void count(void *self, str account, str region, str name_space, str name,
	const struct metric_dimension *dimensions, size_t dimension_count, double value unused_arg,
	enum metric_unit unit unused_arg, int64_t time_ms unused_arg)
{
	struct queue *q = self;

	EXPECT_STR(account, STR("000000000000"));
	EXPECT_STR(region, STR("us-east-1"));
	EXPECT_STR(name_space, STR("AWS/Lambda"));
	if (!dimension_count) /* of the account */
		return;
	EXPECT_INT(dimension_count, 1);
	if (!str_eq(dimensions[0].value, STR("f")))
		q->other_functions++;
	q->dead_letter_errors += str_eq(name, STR("DeadLetterErrors"));
	q->destination_failures += str_eq(name, STR("DestinationDeliveryFailures"));
}

static void queue_begin(struct live *l, struct queue *q)
{
	*q = (struct queue){.live = l,
		.port = {q, STR("arn:aws:sqs:"), "sqs:SendMessage", take},
		.metric = {q, count}};
	port_deliver_add(&l->ports, &q->port);
	l->ports.metric = &q->metric;
}

/* "f" of the handler, with a dead letter queue, tried once. */
static bool create(struct live *l, const char *handler)
{
	struct value *in =
		live_function_input(l, "f", handler, "provided.al2023", live_native_zip(l));

	value_put_str(value_put_struct(in, "DeadLetterConfig"), "TargetArn", STR(QUEUE));
	if (!EXPECT_INT(live_call(l, "CreateFunction", in), 0))
		return false;
	EXPECT_STR(value_str(value_get(l->out, "DeadLetterConfig"), "TargetArn"), STR(QUEUE));
	live_wait_active(l, "f");
	in = live_input(l, "PutFunctionEventInvokeConfig");
	value_put_str(in, "FunctionName", STR("f"));
	value_put_int(in, "MaximumRetryAttempts", 0);
	return EXPECT_INT(live_call(l, "PutFunctionEventInvokeConfig", in), 0);
}

static void dead_letters(struct live *l)
{
	struct queue q;

	queue_begin(l, &q);
	if (!create(l, "error") || !live_event(l, "{\"n\":1}", STR_NULL))
		return;
	EXPECT_INT(q.count, 1);
	EXPECT_STR(q.body, STR("{\"n\":1}"));
	EXPECT_INT(q.request_id.n, 36);
	EXPECT_STR(q.error_code, STR("200"));
	EXPECT(q.error_message.n && q.error_message.p[0] != '{');
	EXPECT_INT(q.dead_letter_errors, 0);
	/* A delivery that fails is counted, and the event is gone all the same. */
	q.rc = ERR_NO_SPACE;
	if (!live_event(l, "2", STR_NULL))
		return;
	EXPECT_INT(q.count, 2);
	EXPECT_INT(q.dead_letter_errors, 1);
	EXPECT_INT(q.other_functions, 0);
}
LIVE_TEST(lambda_deliver, dead_letters, )

static void success(struct live *l)
{
	struct queue q;
	struct value *in;

	queue_begin(l, &q);
	if (!create(l, "echo") || !live_event(l, "1", STR_NULL))
		return;
	EXPECT_INT(q.count, 0);
	/* A destination of the same kind gets a record instead. */
	in = live_input(l, "PutFunctionEventInvokeConfig");
	value_put_str(in, "FunctionName", STR("f"));
	value_put_str(value_put_struct(value_put_struct(in, "DestinationConfig"), "OnSuccess"),
		"Destination", STR(QUEUE));
	EXPECT_INT(live_call(l, "PutFunctionEventInvokeConfig", in), 0);
	if (!live_event(l, "1", STR_NULL))
		return;
	EXPECT_INT(q.count, 1);
	EXPECT(str_find_str(q.body, STR("\"condition\":\"Success\"")) > 0);
	q.rc = ERR_DENIED;
	if (!live_event(l, "1", STR_NULL))
		return;
	EXPECT_INT(q.destination_failures, 1);
	EXPECT_INT(q.dead_letter_errors, 0);
	/* Taken away again. */
	in = live_input(l, "UpdateFunctionConfiguration");
	value_put_str(in, "FunctionName", STR("f"));
	value_put_str(value_put_struct(in, "DeadLetterConfig"), "TargetArn", STR(""));
	EXPECT_INT(live_call(l, "UpdateFunctionConfiguration", in), 0);
	EXPECT(!value_has(l->out, "DeadLetterConfig"));
}
LIVE_TEST(lambda_deliver, success, )

/* A function that is stopped gets no events: they are told of at once, and not tried again. */
static void stopped(struct live *l)
{
	struct lambda_figures before, after;
	struct queue q;
	struct value *in;

	queue_begin(l, &q);
	if (!create(l, "echo"))
		return;
	in = live_input(l, "PutFunctionConcurrency");
	value_put_str(in, "FunctionName", STR("f"));
	value_put_int(in, "ReservedConcurrentExecutions", 0);
	EXPECT_INT(live_call(l, "PutFunctionConcurrency", in), 0);
	lambda_service_figures(l->lambda, &before);
	if (!live_event(l, "{\"n\":1}", STR_NULL))
		return;
	EXPECT_INT(q.count, 1);
	EXPECT_STR(q.body, STR("{\"n\":1}"));
	in = live_input(l, "PutFunctionEventInvokeConfig");
	value_put_str(in, "FunctionName", STR("f"));
	value_put_str(value_put_struct(value_put_struct(in, "DestinationConfig"), "OnFailure"),
		"Destination", STR(QUEUE));
	EXPECT_INT(live_call(l, "PutFunctionEventInvokeConfig", in), 0);
	in = live_input(l, "UpdateFunctionConfiguration");
	value_put_str(in, "FunctionName", STR("f"));
	value_put_str(value_put_struct(in, "DeadLetterConfig"), "TargetArn", STR(""));
	EXPECT_INT(live_call(l, "UpdateFunctionConfiguration", in), 0);
	live_wait_active(l, "f");
	if (!live_event(l, "{\"n\":2}", STR_NULL))
		return;
	EXPECT_INT(q.count, 2);
	EXPECT(str_find_str(q.body, STR("\"condition\":\"ZeroReservedConcurrency\","
					"\"approximateInvokeCount\":0},"
					"\"requestPayload\":{\"n\":2}}")) > 0);
	lambda_service_figures(l->lambda, &after);
	EXPECT_INT(after.invocations, before.invocations);
}
LIVE_TEST(lambda_deliver, stopped, )

/* Events that one place turned away together do not all come back for it together. */
static void place(struct live *l)
{
	struct invoke_request request = {
		.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = STR("f"),
		.type = INVOKE_EVENT,
		.payload = STR("1"),
		.deadline_ns = rt_after_ms(10000),
	};
	struct lambda_figures figures;
	struct invoke_result r;
	struct queue q;
	struct value *in;

	queue_begin(l, &q);
	if (!create(l, "nap"))
		return;
	in = live_input(l, "PutFunctionConcurrency");
	value_put_str(in, "FunctionName", STR("f"));
	value_put_int(in, "ReservedConcurrentExecutions", 1);
	EXPECT_INT(live_call(l, "PutFunctionConcurrency", in), 0);
	for (int i = 0; i < 8; i++)
		EXPECT_INT(
			l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &r), 0);
	for (int i = 0; i < 400; i++) {
		lambda_service_figures(l->lambda, &figures);
		if (!figures.events_waiting)
			break;
		live_sleep(100);
	}
	EXPECT_INT(figures.events_waiting, 0);
	EXPECT_INT(figures.errors, 0);
}
LIVE_TEST(lambda_deliver, place, )

/* An event of a chain that has run the function 16 times is not run, and not tried again. */
static void loop(struct live *l)
{
	struct invoke_request request = {
		.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = STR("f"),
		.payload = STR("1"),
		.deadline_ns = rt_after_ms(10000),
	};
	struct lambda_figures before, after;
	struct invoke_result r;
	struct queue q;
	str trace = STR_NULL;

	queue_begin(l, &q);
	if (!create(l, "trace"))
		return;
	for (int i = 0; i < 16; i++) {
		request.trace = trace;
		if (!EXPECT_INT(
			    l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &r),
			    0))
			return;
		trace = str_sub(r.payload, 1, r.payload.n - 2);
	}
	lambda_service_figures(l->lambda, &before);
	if (!live_event(l, "{\"deep\":1}", trace))
		return;
	lambda_service_figures(l->lambda, &after);
	EXPECT_INT(after.invocations, before.invocations);
	EXPECT_INT(q.count, 1);
	EXPECT_STR(q.body, STR("{\"deep\":1}"));
	/* One less deep runs. */
	if (!live_event(l, "1", STR_NULL))
		return;
	lambda_service_figures(l->lambda, &after);
	EXPECT_INT(after.invocations, before.invocations + 1);
	EXPECT_INT(q.count, 1);
}
LIVE_TEST(lambda_deliver, loop, )

/* Where no service takes it, or never will, the configuration is refused. */
static void refused(struct live *l)
{
	struct value *in = good(l, "f"), *config = value_put_struct(in, "DeadLetterConfig");

	value_put_str(config, "TargetArn", STR(QUEUE));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "InvalidParameterValueException", 400,
		"DeadLetterConfig: the target " QUEUE " is not implemented by this server");
	value_put_str(config, "TargetArn", STR("arn:aws:lambda:us-east-1:000000000000:function:g"));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "InvalidParameterValueException", 400,
		"is not that of an Amazon SQS queue or an Amazon SNS topic");
	value_put_str(config, "TargetArn", STR(""));
	EXPECT_INT(live_call(l, "CreateFunction", in), 0);
}
CONTROL_OF(lambda_deliver, refused)

/* ---- without functions ---- */

static int never(void *self, struct arena *a unused_arg, const struct deliver_request *r unused_arg,
	str *ret_why unused_arg)
{
	unsigned *calls = self;

	(*calls)++;
	return 0;
}

TEST(deliver, decides)
{
	unsigned calls = 0;
	const struct port_deliver port = {&calls, STR("arn:aws:sqs:"), "sqs:SendMessage", never};
	struct ports ports = {0};
	struct arena a cleanup(arena_done_p) = {0};
	struct policy *policy;
	struct principal role = {.kind = PRINCIPAL_SESSION,
		.account = STR("000000000000"),
		.arn = STR("arn:aws:sts::000000000000:assumed-role/r/s"),
		.role_arn = STR("arn:aws:iam::000000000000:role/r")};
	struct deliver_request request = {.target = STR(QUEUE), .as = &role, .body = STR("1")};
	str why, message;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(port_deliver(&ports, &a, &request, &why), ERR_UNSUPPORTED);
	port_deliver_add(&ports, &port);
	EXPECT(port_deliver_of(&ports, STR(QUEUE)) == &port);
	EXPECT(!port_deliver_of(&ports, STR("arn:aws:sns:us-east-1:000000000000:t")));
	/* A role without any policy may do nothing. */
	EXPECT_INT(port_deliver(&ports, &a, &request, &why), ERR_DENIED);
	EXPECT(str_ends(why, STR("sqs:SendMessage")));
	EXPECT_INT(calls, 0);
	ASSERT_INT(policy_parse(&a,
			   STR("{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","
			       "\"Action\":\"sqs:SendMessage\",\"Resource\":\"" QUEUE "\"}]}"),
			   POLICY_IDENTITY, &policy, &message),
		0);
	role.policies = (const struct policy *const[]){policy};
	role.policy_count = 1;
	EXPECT_INT(port_deliver(&ports, &a, &request, &why), 0);
	request.target = STR("arn:aws:sqs:us-east-1:000000000000:other");
	EXPECT_INT(port_deliver(&ports, &a, &request, &why), ERR_DENIED);
	request.as = NULL;
	EXPECT_INT(port_deliver(&ports, &a, &request, &why), 0);
	EXPECT_INT(calls, 2);
}

TEST(deliver, error_messages)
{
	struct arena a cleanup(arena_done_p) = {0};
	char long_text[3000];

	arena_init(&a, SIZE_MAX);
	EXPECT_STR(event_invoke_error(&a, STR("{\"errorMessage\":\"no\",\"errorType\":\"E\"}")),
		STR("no"));
	EXPECT_STR(
		event_invoke_error(&a, STR("{\"a\":{\"errorMessage\":1},\"errorMessage\":\"x\"}")),
		STR("x"));
	EXPECT_STR(
		event_invoke_error(&a, STR("{\"errorMessage\":3}")), STR("{\"errorMessage\":3}"));
	EXPECT_STR(event_invoke_error(&a, STR("{")), STR("{"));
	/* 1 KB, and no half of a character. */
	for (size_t i = 0; i < sizeof(long_text); i += 2)
		memcpy(long_text + i, "\xc3\xa4", 2);
	EXPECT_INT(event_invoke_error(&a, str_of(long_text, sizeof(long_text))).n, 1024);
	EXPECT_INT(event_invoke_error(&a, str_of(long_text + 1, 1)).n, 0);
}
