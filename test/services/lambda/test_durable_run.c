/*
 * Durable executions of native functions in real containers: every answer that a function can give,
 * who is told of an end, throttling, and the end of retention.
 */
#include "aws/ports/deliver.h"

#include "rt/rt.h"
#include "services/lambda/durable_store.h"
#include "services/lambda/service.h"
#include "test/services/lambda/control.h"

#define QUEUE  "arn:aws:sqs:us-east-1:000000000000:q"
#define DAY_MS (INT64_C(86400) * 1000)

/* A dead letter queue. */
struct queue {
	struct live *live;
	struct port_deliver port;
	unsigned count;
	str body, message;
};

static int take(void *self, struct arena *a unused_arg, const struct deliver_request *r,
	str *ret_why unused_arg)
{
	struct queue *q = self;

	q->count++;
	q->body = arena_str(&q->live->arena, r->body);
	for (size_t i = 0; i < r->attribute_count; i++)
		if (str_eq(str_c(r->attributes[i].name), STR("ErrorMessage")))
			q->message = arena_str(&q->live->arena, r->attributes[i].value);
	return 0;
}

static void queue_begin(struct live *l, struct queue *q)
{
	*q = (struct queue){.live = l, .port = {q, STR("arn:aws:sqs:"), "sqs:SendMessage", take}};
	port_deliver_add(&l->ports, &q->port);
}

static bool create(struct live *l, const char *name, const char *handler, bool dead_letters)
{
	struct value *in =
		live_function_input(l, name, handler, "provided.al2023", live_native_zip(l));

	value_put_int(value_put_struct(in, "DurableConfig"), "ExecutionTimeout", 60);
	if (dead_letters)
		value_put_str(value_put_struct(in, "DeadLetterConfig"), "TargetArn", STR(QUEUE));
	if (!EXPECT_INT(live_call(l, "CreateFunction", in), 0))
		return false;
	EXPECT_INT(value_int(value_get(l->out, "DurableConfig"), "RetentionPeriodInDays", 0), 14);
	live_wait_active(l, name);
	return true;
}

/* Invokes $LATEST of it; the ARN of the execution, l->out the answer. */
static str start(struct live *l, const char *name, const char *type, str execution)
{
	struct value *in = live_input(l, "Invoke");

	value_put_str(in, "FunctionName", str_c(name));
	value_put_str(in, "Qualifier", STR("$LATEST"));
	value_put_str(in, "InvocationType", str_c(type));
	value_put_str(in, "DurableExecutionName", execution);
	value_put_str(in, "Payload", STR("{\"n\":1}"));
	if (!EXPECT_INT(live_call(l, "Invoke", in), 0))
		return STR_NULL;
	return value_str(l->out, "DurableExecutionArn");
}

static str status_of(struct live *l, str arn)
{
	struct value *in = live_input(l, "GetDurableExecution");

	value_put_str(in, "DurableExecutionArn", arn);
	return live_call(l, "GetDurableExecution", in) < 0 ? STR("gone")
							   : value_str(l->out, "Status");
}

static bool reaches(struct live *l, str arn, const char *status)
{
	for (int i = 0; i < 1000; i++) {
		if (str_eq(status_of(l, arn), str_c(status)))
			return true;
		live_sleep(10);
	}
	return EXPECT(!"the execution does not get there");
}

/* How many events of that kind its history has. */
static unsigned events(struct live *l, str arn, const char *kind)
{
	struct value *in = live_input(l, "GetDurableExecutionHistory");
	const struct value *list;
	unsigned n = 0;

	value_put_str(in, "DurableExecutionArn", arn);
	EXPECT_INT(live_call(l, "GetDurableExecutionHistory", in), 0);
	list = value_get(l->out, "Events");
	for (uint32_t i = 0; i < value_count(list); i++)
		n += str_eq(value_str(value_at(list, i), "EventType"), str_c(kind));
	return n;
}

static void answers(struct live *l)
{
	static const struct {
		const char *name, *handler, *error;
		const char *payload;
	} cases[] = {
		{"good", "answer:{\"Status\":\"SUCCEEDED\",\"Result\":\"[1,2]\"}", NULL, "[1,2]"},
		{"none", "answer:{\"Status\":\"SUCCEEDED\"}", NULL, "null"},
		{"bad",
			"answer:{\"Status\":\"FAILED\",\"Error\":{\"ErrorMessage\":\"m\","
			"\"ErrorType\":\"T\"}}",
			"Unhandled", "{\"errorMessage\":\"m\",\"errorType\":\"T\"}"},
		{"idle", "answer:{\"Status\":\"PENDING\"}", "Unhandled",
			"{\"errorMessage\":\"Cannot return PENDING status with no pending "
			"operations.\",\"errorType\":\"InvalidParameterValueException\"}"},
		{"odd", "answer:7", "Unhandled",
			"{\"errorMessage\":\"Invalid Status in invocation output.\",\"errorType\":"
			"\"InvalidParameterValueException\"}"},
		{"both", "answer:{\"Status\":\"FAILED\",\"Result\":\"1\"}", "Unhandled",
			"{\"errorMessage\":\"Cannot provide a Result for FAILED status.\","
			"\"errorType\":\"InvalidParameterValueException\"}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		str arn;

		if (!create(l, cases[i].name, cases[i].handler, false))
			return;
		arn = start(l, cases[i].name, "RequestResponse", STR_NULL);
		EXPECT_STR(value_str(l->out, "Payload"), str_c(cases[i].payload));
		EXPECT_STR(value_str(l->out, "FunctionError"),
			cases[i].error ? str_c(cases[i].error) : STR_NULL);
		EXPECT_INT(events(l, arn, "InvocationCompleted"), 1);
		EXPECT_STR(status_of(l, arn), cases[i].error ? STR("FAILED") : STR("SUCCEEDED"));
	}
}
LIVE_TEST(lambda_durable_run, answers, )

/* Failures of asynchronous ones are dead letters; a success and a stop are none. */
static void dead_letters(struct live *l)
{
	struct queue q;
	str arn;

	queue_begin(l, &q);
	if (!create(l, "bad", "answer:{\"Status\":\"FAILED\",\"Error\":{\"ErrorMessage\":\"m\"}}",
		    true) ||
		!create(l, "good", "answer:{\"Status\":\"SUCCEEDED\"}", true) ||
		!create(l, "throws", "error", true))
		return;
	arn = start(l, "bad", "Event", STR_NULL);
	EXPECT_INT(value_int(l->out, "StatusCode", 0), 202);
	reaches(l, arn, "FAILED");
	for (int i = 0; i < 500 && !q.count; i++)
		live_sleep(10);
	EXPECT_INT(q.count, 1);
	EXPECT_STR(q.body, STR("{\"n\":1}"));
	EXPECT_STR(q.message, STR("m"));
	reaches(l, start(l, "good", "Event", STR_NULL), "SUCCEEDED");
	/* An error that is thrown is tried again; until then it runs. */
	arn = start(l, "throws", "Event", STR_NULL);
	for (int i = 0; i < 500 && events(l, arn, "InvocationCompleted") < 2; i++)
		live_sleep(10);
	EXPECT_INT(events(l, arn, "InvocationCompleted"), 2);
	EXPECT_STR(status_of(l, arn), STR("RUNNING"));
	{
		struct value *in = live_input(l, "StopDurableExecution");

		value_put_str(in, "DurableExecutionArn", arn);
		EXPECT_INT(live_call(l, "StopDurableExecution", in), 0);
		/* Again: it has stopped. */
		EXPECT_INT(live_call(l, "StopDurableExecution", in), 0);
	}
	EXPECT_STR(status_of(l, arn), STR("STOPPED"));
	live_sleep(50);
	EXPECT_INT(q.count, 1);
}
LIVE_TEST(lambda_durable_run, dead_letters, )

/* No concurrency: the execution waits, and no attempt is counted. */
static void throttled(struct live *l)
{
	struct value *in = live_input(l, "PutFunctionConcurrency");
	str arn;

	if (!create(l, "f", "answer:{\"Status\":\"SUCCEEDED\"}", false))
		return;
	value_put_str(in, "FunctionName", STR("f"));
	value_put_int(in, "ReservedConcurrentExecutions", 0);
	EXPECT_INT(live_call(l, "PutFunctionConcurrency", in), 0);
	arn = start(l, "f", "Event", STR_NULL);
	live_sleep(300);
	EXPECT_STR(status_of(l, arn), STR("RUNNING"));
	EXPECT_INT(events(l, arn, "InvocationCompleted"), 0);
	CALL("DeleteFunctionConcurrency", named(l, "DeleteFunctionConcurrency", "f"));
	reaches(l, arn, "SUCCEEDED");
	EXPECT_INT(events(l, arn, "InvocationCompleted"), 1);
}
LIVE_TEST(lambda_durable_run, throttled, )

/* As if it had ended long ago. */
static int age(struct durable_txn *t, void *arg unused_arg)
{
	if (!t->found || !t->x->told)
		return 0;
	t->x->end_ms -= 15 * DAY_MS;
	return 1;
}

static void retention(struct live *l)
{
	struct durable_execution x;
	str arn, again, version, name;
	int rc = 0;

	if (!create(l, "f", "answer:{\"Status\":\"SUCCEEDED\",\"Result\":\"1\"}", false))
		return;
	arn = start(l, "f", "RequestResponse", STR("named"));
	/* The name is taken as long as the execution is kept. */
	again = start(l, "f", "RequestResponse", STR("named"));
	EXPECT_STR(again, arn);
	EXPECT_STR(value_str(l->out, "Payload"), STR("1"));
	EXPECT_INT(durable_arn_parse(arn, &x.key, &version, &name), 0);
	for (int i = 0; i < 500 && rc == 0; i++) {
		rc = durable_change(
			l->lambda, &l->arena, &x, STR_NULL, age, NULL, rt_after_ms(10000));
		live_sleep(10);
	}
	EXPECT_INT(rc, 1);
	/* The dispatcher is awake for other reasons now and then; this is one. */
	(void)start(l, "f", "RequestResponse", STR_NULL);
	reaches(l, arn, "gone");
	again = start(l, "f", "RequestResponse", STR("named"));
	EXPECT(again.n && !str_eq(again, arn));
}
LIVE_TEST(lambda_durable_run, retention, )
