/*
 * Extensions in real containers: programs/bootstrap.c as a runtime and, from a layer, as an
 * extension.
 */
#include "rt/rt.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "test/services/lambda/live.h"
#include "test/services/lambda/zip.h"
#include "test/test.h"

#include <stdio.h>

#define LIVE(name, set) LIVE_TEST(lambda_extensions, name, set)

/* A layer with one extension of this name. */
static str extension_layer(struct live *l, const char *extension)
{
	struct zip_entry entry = {arena_printf(&l->arena, "extensions/%s", extension),
		live_native_bootstrap(l), 0755};

	return live_publish_layer(l, extension, &entry, 1);
}

/* The function `name` with one extension or two. */
static void create(
	struct live *l, const char *name, const char *handler, const char *one, const char *two)
{
	str layers[2] = {extension_layer(l, one)};

	if (two)
		layers[1] = extension_layer(l, two);
	live_create_layered(l, name, handler, live_native_zip(l), layers, two ? 2 : 1);
}

static void forget(struct live *l, const char *name)
{
	struct value *in = live_input(l, "DeleteFunction");

	value_put_str(in, "FunctionName", str_c(name));
	EXPECT_INT(live_call(l, "DeleteFunction", in), 0);
}

/* Until the log has it, at most 4 s. */
static bool log_comes(struct live *l, const char *text)
{
	for (int i = 0; i < 80 && !live_log_has(l, text); i++)
		live_sleep(50);
	return live_log_has(l, text);
}

static void external(struct live *l)
{
	struct invoke_result r;

	create(l, "f", "count", "watch", "quiet");
	r = live_invoke(l, "f", "{}");
	EXPECT_STR(r.payload, STR("1"));
	EXPECT(live_log_has(l,
		"watch: {\"functionName\":\"f\",\"functionVersion\":\"$LATEST\","
		"\"handler\":\"count\",\"accountId\":\"000000000000\"}, handler unknown"));
	EXPECT(log_comes(l, "EXTENSION\tName: watch\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n"));
	EXPECT(live_log_has(l, "EXTENSION\tName: quiet\tState: Ready\tEvents: []\n"));
	EXPECT(log_comes(l, "watch: {\"eventType\":\"INVOKE\",\"deadlineMs\":"));
	EXPECT(live_log_has(l, "\"invokedFunctionArn\":\"arn:aws:lambda:us-east-1:000000000000:"
			       "function:f\",\"tracing\":{\"type\":\"X-Amzn-Trace-Id\",\"value\":"
			       "\"Root=1-"));
	r = live_invoke(l, "f", "{}");
	EXPECT_STR(r.payload, STR("2"));
	/* Frozen by now. */
	live_sleep(100);
	r = live_invoke(l, "f", "{}");
	EXPECT_STR(r.payload, STR("3"));
	live_sleep(100);
	EXPECT_INT(live_log_count(l, "watch: {\"eventType\":\"INVOKE\""), 3);
	forget(l, "f");
	EXPECT(log_comes(l, "watch: {\"eventType\":\"SHUTDOWN\",\"shutdownReason\":\"spindown\","));
	EXPECT(!live_log_has(l, "quiet: {\"eventType\""));
}
LIVE(external, )

/* The caller has its answer before the extension is done; the next event waits for it. */
static void slow(struct live *l)
{
	struct invoke_result r;
	int64_t begun;

	create(l, "f", "count", "slow", NULL);
	(void)live_invoke(l, "f", "{}");
	EXPECT(log_comes(l, "slow: done"));
	live_sleep(100);
	begun = rt_now();
	{
		struct invoke_request request = {.account = STR("000000000000"),
			.region = STR("us-east-1"),
			.function = STR("f"),
			.payload = STR("{}"),
			.deadline_ns = rt_after_ms(60000)};

		EXPECT_INT(
			l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &r), 0);
		EXPECT_STR(r.payload, STR("2"));
		EXPECT(rt_now() - begun < 250 * RT_NS_MS);
		EXPECT_INT(live_log_count(l, "REPORT"), 1);
	}
	/* With its log the whole is waited for. */
	live_sleep(500);
	EXPECT_INT(live_log_count(l, "REPORT"), 2);
	EXPECT(!live_log_has(l, "\tDuration: 0."));
}
LIVE(slow, )

static void fails(struct live *l)
{
	struct invoke_result r;

	create(l, "a", "echo", "init-crash", NULL);
	r = live_invoke(l, "a", "{}");
	EXPECT_STR(r.function_error, STR("Unhandled"));
	EXPECT(str_starts(r.payload, STR("{\"errorType\":\"Extension.Crash\",\"errorMessage\":")));
	EXPECT(str_ends(r.payload, STR(" Error: exit code 4\"}")));
	create(l, "b", "echo", "init-error", NULL);
	r = live_invoke(l, "b", "{}");
	EXPECT(str_starts(r.payload, STR("{\"errorType\":\"Extension.InitError\",")));
	EXPECT(str_ends(r.payload, STR(" Error: Extension.Odd\"}")));
	EXPECT(log_comes(l, "said so: 202"));
	create(l, "c", "hang", "crash", NULL);
	r = live_invoke(l, "c", "{}");
	EXPECT(str_starts(r.payload, STR("{\"errorType\":\"Extension.Crash\",")));
	create(l, "d", "hang", "exit-error", NULL);
	r = live_invoke(l, "d", "{}");
	EXPECT(str_starts(r.payload, STR("{\"errorType\":\"Extension.ExitError\",")));
	/* A program that is none. */
	{
		struct zip_entry entry = {STR("extensions/text"), STR("no program"), 0644};
		str layer = live_publish_layer(l, "text", &entry, 1);

		live_create_layered(l, "e", "echo", live_native_zip(l), &layer, 1);
		r = live_invoke(l, "e", "{}");
		EXPECT(str_starts(r.payload, STR("{\"errorType\":\"Extension.LaunchError\",")));
	}
}
LIVE(fails, )

/* Why it ends is told to whoever lives. */
static void reasons(struct live *l)
{
	struct invoke_result r;

	create(l, "a", "exit", "watch", NULL);
	r = live_invoke(l, "a", "{}");
	EXPECT(str_starts(r.payload, STR("{\"errorType\":\"Runtime.ExitError\",")));
	EXPECT(log_comes(l, "\"shutdownReason\":\"failure\""));
	create(l, "b", "hang", "watch", NULL);
	r = live_invoke(l, "b", "{}");
	EXPECT(str_starts(r.payload, STR("{\"errorType\":\"Sandbox.Timedout\",")));
	EXPECT(log_comes(l, "\"shutdownReason\":\"timeout\""));
	/* The extension is what takes too long: the caller knows nothing of it. */
	create(l, "c", "echo", "stuck", NULL);
	r = live_invoke(l, "c", "{}");
	EXPECT_STR(r.payload, STR("{}"));
	EXPECT(!r.function_error.p);
	EXPECT_INT(live_log_count(l, "Task timed out after 3.00 seconds"), 2);
}
LIVE(reasons, )

static void internal(struct live *l)
{
	live_create(l, "f", "internal", 128, 3);
	EXPECT_STR(live_invoke(l, "f", "{\"a\":1}").payload, STR("{\"a\":1}"));
	EXPECT(log_comes(l, "within: {\"eventType\":\"INVOKE\""));
	EXPECT(live_log_has(l, "with shutdown: 403"));
	EXPECT(live_log_has(l, "bad event: 403"));
	EXPECT(live_log_has(l, "bad body: 403"));
	EXPECT(live_log_has(l, "no name: 403"));
	EXPECT(live_log_has(l, "within: 200"));
	EXPECT(live_log_has(l, "again: 403"));
	EXPECT(log_comes(l, "EXTENSION\tName: within\tState: Ready\tEvents: [INVOKE]\n"));
	EXPECT_STR(live_invoke(l, "f", "[]").payload, STR("[]"));
}
LIVE(internal, )

static void pooled(struct live *l)
{
	struct lambda_figures figures;

	external(l);
	lambda_service_figures(l->lambda, &figures);
	EXPECT_INT(figures.pooled_starts, 0);
}
LIVE(pooled, l.options.pool = 2)

/* ---- telemetry ---- */

static void telemetry(struct live *l)
{
	create(l, "f", "print", "listen", NULL);
	EXPECT_STR(live_invoke(l, "f", "{}").payload, STR("{}"));
	EXPECT(log_comes(l, "got: POST /a HTTP/1.1\r\n"));
	EXPECT(live_log_has(l, "subscribed: 200"));
	for (int i = 0; i < 8; i++)
		EXPECT(live_log_has(l,
			arena_printf(&l->arena, "subscription %d: 400 {\"errorMessage\":", i).p));
	EXPECT(live_log_has(l, "schemaVersion is required"));
	EXPECT(log_comes(l, "\"type\":\"platform.telemetrySubscription\",\"record\":{\"name\":"
			    "\"listen\",\"state\":\"Subscribed\",\"types\":[\"platform\","
			    "\"function\"]}}"));
	EXPECT(log_comes(l, "\"type\":\"platform.initRuntimeDone\",\"record\":{"
			    "\"initializationType\":\"on-demand\",\"phase\":\"init\","
			    "\"status\":\"success\"}}"));
	EXPECT(live_log_has(l, "\"type\":\"platform.initReport\""));
	EXPECT(log_comes(l, "\"type\":\"platform.start\",\"record\":{\"requestId\":\""));
	EXPECT(log_comes(l, "\"type\":\"function\",\"record\":\"first line\"}"));
	/* The rest at the latest when it ends. */
	live_sleep(100);
	EXPECT_STR(live_invoke(l, "f", "{}").payload, STR("{}"));
	EXPECT(log_comes(l, "\"type\":\"platform.runtimeDone\",\"record\":{\"requestId\":\""));
	EXPECT(log_comes(l, "\"status\":\"success\",\"spans\":[{\"name\":\"responseLatency\","
			    "\"start\":\"2"));
	EXPECT(live_log_has(l, "},{\"name\":\"responseDuration\",\"start\":\"2"));
	EXPECT(log_comes(l, "\"type\":\"platform.report\",\"record\":{\"requestId\":\""));
	EXPECT(!live_log_has(l, "platform.end"));
	EXPECT(!live_log_has(l, "\"type\":\"extension\""));
}
LIVE(telemetry, )

static void logs_api(struct live *l)
{
	create(l, "f", "print", "lines", NULL);
	EXPECT_STR(live_invoke(l, "f", "{}").payload, STR("{}"));
	live_sleep(100);
	EXPECT_STR(live_invoke(l, "f", "{}").payload, STR("{}"));
	EXPECT(log_comes(
		l, "\"type\":\"platform.logsSubscription\",\"record\":{\"name\":\"lines\""));
	EXPECT(log_comes(l, "\"type\":\"function\",\"record\":\"first line\"}"));
	EXPECT(log_comes(l, "\"type\":\"platform.end\",\"record\":{\"requestId\":\""));
	EXPECT(!live_log_has(l, "\"type\":\"platform.init"));
}
LIVE(logs_api, )

/* Nobody listens: nothing comes to harm. */
static void deaf(struct live *l)
{
	create(l, "f", "echo", "deaf", NULL);
	for (int i = 0; i < 5; i++) {
		EXPECT_STR(live_invoke(l, "f", "[1]").payload, STR("[1]"));
		live_sleep(300);
	}
	EXPECT(live_log_has(l, "subscribed: 200"));
}
LIVE(deaf, )

/* ---- formats of logs ---- */

static void json(struct live *l)
{
	struct value *in =
		live_function_input(l, "f", "leveled", "provided.al2023", live_native_zip(l));
	struct value *logging = value_put_struct(in, "LoggingConfig");

	value_put_str(logging, "ApplicationLogLevel", STR("WARN"));
	EXPECT_INT(live_call(l, "CreateFunction", in), ERR_FAULT);
	EXPECT_STR(l->fault.message, STR("To use ApplicationLogLevel or SystemLogLevel in "
					 "LoggingConfig, LogFormat must be set to JSON."));
	value_put_str(logging, "LogFormat", STR("JSON"));
	value_put_str(logging, "SystemLogLevel", STR("DEBUG"));
	value_put_str(logging, "LogGroup", STR("/own/group"));
	EXPECT_INT(live_call(l, "CreateFunction", in), 0);
	live_wait_active(l, "f");
	EXPECT_STR(live_invoke(l, "f", "{}").payload, STR("{}"));
	EXPECT(log_comes(l, "\"type\":\"platform.report\",\"record\":{\"requestId\":\""));
	EXPECT(live_log_has(l, "/own/group|"));
	EXPECT(live_log_has(l, "/f[$LATEST]"));
	EXPECT(live_log_has(l, "\"type\":\"platform.initStart\",\"record\":{\"initializationType\":"
			       "\"on-demand\",\"phase\":\"init\",\"runtimeVersion\":"
			       "\"provided:al2023.v1\",\"runtimeVersionArn\":"
			       "\"arn:aws:lambda:us-east-1::runtime:"));
	EXPECT(live_log_has(l, "\",\"functionName\":\"f\",\"functionVersion\":\"$LATEST\","
			       "\"instanceId\":\""));
	EXPECT(live_log_has(l, "\",\"instanceMaxMemory\":128}}"));
	EXPECT(live_log_has(l, "\"type\":\"platform.runtimeDone\""));
	EXPECT(live_log_has(l, "\"status\":\"success\",\"metrics\":{\"durationMs\":"));
	EXPECT(!live_log_has(l, "START RequestId"));
	EXPECT(!live_log_has(l, "REPORT RequestId"));
	EXPECT(live_log_has(l, "little"));
	EXPECT(!live_log_has(l, "much"));
	EXPECT(!live_log_has(l, "plain"));
	/* Only what went wrong. */
	in = live_input(l, "UpdateFunctionConfiguration");
	value_put_str(in, "FunctionName", STR("f"));
	logging = value_put_struct(in, "LoggingConfig");
	value_put_str(logging, "LogFormat", STR("JSON"));
	value_put_str(logging, "SystemLogLevel", STR("WARN"));
	EXPECT_INT(live_call(l, "UpdateFunctionConfiguration", in), 0);
	live_sleep(300);
	buf_reset(&l->log);
	EXPECT_STR(live_invoke(l, "f", "{}").payload, STR("{}"));
	EXPECT(log_comes(l, "plain"));
	EXPECT(!live_log_has(l, "platform."));
	EXPECT(live_log_has(l, "/aws/lambda/f|"));
}
LIVE(json, )
