/*
 * Traces: the header that a run gets, whether it is recorded, and the segments that are told of.
 */
#include "services/lambda/trace.h"

#include "aws/ports/trace.h"
#include "base/json.h"
#include "services/lambda/quota.h"
#include "test/services/lambda/live.h"
#include "test/test.h"

#define ROOT    "1-5759e988-bd862e3fe1be46a994272793"
#define PARENT  "53995c3f42cd8ad8"
#define LINEAGE "Lineage=1a2b3c4d:1"

/* ---- headers ---- */

static uint64_t last_random;

static uint64_t counted(void)
{
	return ++last_random;
}

/* What is drawn is 1, 2 ...: 0 for the root's first half, 2 its second, then the two segments. */
#define NEW_ROOT     "1-00000064-000000000000000000000002"
#define FUNCTION     "0000000000000002" /* with a root that came */
#define FUNCTION_NEW "0000000000000004"

static const struct header_case {
	const char *header;
	bool active, takes;
	const char *wanted; /* the lineage follows */
	bool recorded;
} header_cases[] = {
	/* PassThrough: passed on as it is, never recorded. */
	{"Root=" ROOT ";Parent=" PARENT ";Sampled=1;Lineage=z", false, true,
		"Root=" ROOT ";Parent=" PARENT ";Sampled=1;", false},
	{"Root=1-2-3", false, true, "Root=1-2-3;", false},
	{NULL, false, true, "Root=" NEW_ROOT ";Parent=" FUNCTION_NEW ";Sampled=0;", false},
	{";Lineage=z;", false, true, "Root=" NEW_ROOT ";Parent=" FUNCTION_NEW ";Sampled=0;", false},
	/* Active: who came decided, or we do. Recorded: what follows hangs below our segment. */
	{"Root=" ROOT ";Parent=" PARENT ";Sampled=1", true, false,
		"Root=" ROOT ";Parent=" FUNCTION ";Sampled=1;", true},
	{"Root=" ROOT ";Parent=" PARENT ";Sampled=0", true, true,
		"Root=" ROOT ";Parent=" PARENT ";Sampled=0;", false},
	{"Root=" ROOT ";Sampled=?", true, true, "Root=" ROOT ";Parent=" FUNCTION ";Sampled=1;",
		true},
	{"Root=" ROOT ";Sampled=?", true, false, "Root=" ROOT ";Parent=" FUNCTION ";Sampled=0;",
		false},
	{NULL, true, true, "Root=" NEW_ROOT ";Parent=" FUNCTION_NEW ";Sampled=1;", true},
	{NULL, true, false, "Root=" NEW_ROOT ";Parent=" FUNCTION_NEW ";Sampled=0;", false},
	/* What others say is kept, what does not fit is not. */
	{"Self=1-x;Root=" ROOT "; Parent=" PARENT " ;Sampled=0;CalledFrom=app;Lineage=z", true,
		false, "Root=" ROOT ";Parent=" PARENT ";Sampled=0;CalledFrom=app;", false},
	{"Root=1-2;Parent=53995C3F42CD8AD8;Sampled=2;;;", true, false,
		"Root=" NEW_ROOT ";Parent=" FUNCTION_NEW ";Sampled=0;", false},
	{"Root=1-5759e988-bd862e3fe1be46a99427279G", true, false,
		"Root=" NEW_ROOT ";Parent=" FUNCTION_NEW ";Sampled=0;", false},
};

static str begin(struct arena *a, str header, bool active, bool takes, struct run_trace *ret_trace)
{
	const struct trace_begin b = {.header = header,
		.lineage = STR(LINEAGE),
		.active = active,
		.takes = takes,
		.wall_s = 100,
		.random = counted};

	last_random = 0;
	return trace_begin(a, &b, ret_trace);
}

TEST(lambda_trace, headers)
{
	for (size_t i = 0; i < ARRAY_SIZE(header_cases); i++) {
		const struct header_case *c = &header_cases[i];
		struct arena a cleanup(arena_done_p) = {0};
		struct run_trace t;

		arena_init(&a, SIZE_MAX);
		EXPECT_STR(
			begin(&a, c->header ? str_c(c->header) : STR_NULL, c->active, c->takes, &t),
			ARENA_CONCAT(&a, str_c(c->wanted), STR(LINEAGE)));
		EXPECT_INT(t.sampled, c->recorded);
	}
}

TEST(lambda_trace, hostile_headers)
{
	for (int active = 0; active < 2; active++) {
		struct arena a cleanup(arena_done_p) = {0};
		char *text;
		struct run_trace t;
		str got;

		arena_init(&a, SIZE_MAX);
		text = arena_bytes(&a, 100000);
		memset(text, 'x', 100000);
		got = begin(&a, str_of(text, 100000), active, true, &t);
		EXPECT(got.n < 10000 && str_ends(got, STR(LINEAGE)));
		memset(text, ';', 100000);
		got = begin(&a, str_of(text, 100000), active, true, &t);
		EXPECT(str_starts(got, STR("Root=" NEW_ROOT ";Parent=" FUNCTION_NEW)));
	}
}

/* One a second and one in twenty of the others. */
TEST(lambda_trace, share)
{
	struct quota_books *b = quota_books_new(&(struct quota_options){.account_max = 10});
	struct quota *q = quota_get(b, STR("0"), STR("r"), STR("f"));
	unsigned taken = 0;

	for (uint64_t i = 0; i < 20000; i++)
		taken += trace_takes(false, i * 7);
	EXPECT_INT(taken, 1000);
	EXPECT(trace_takes(true, 7));
	EXPECT(quota_first_of_second(q, 5));
	EXPECT(!quota_first_of_second(q, 5));
	EXPECT(quota_first_of_second(q, 6));
	quota_put(q);
	quota_books_free(b);
}

/* ---- runs ---- */

static struct buf told;

static void put(void *self unused_arg, str account, str region, str document)
{
	EXPECT_STR(account, STR("000000000000"));
	EXPECT_STR(region, STR("us-east-1"));
	buf_put(&told, document);
	buf_put_char(&told, '\n');
}

static const struct port_trace port = {.put = put};

static void set_mode(struct live *l, const char *name, const char *mode)
{
	struct value *in = live_input(l, "UpdateFunctionConfiguration");

	value_put_str(in, "FunctionName", str_c(name));
	value_put_str(value_put_struct(in, "TracingConfig"), "Mode", str_c(mode));
	EXPECT_INT(live_call(l, "UpdateFunctionConfiguration", in), 0);
	EXPECT_STR(value_str(value_get(l->out, "TracingConfig"), "Mode"), str_c(mode));
	live_wait_active(l, name);
}

static struct invoke_result invoke(struct live *l, const char *name, const char *trace)
{
	struct invoke_request request = {.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = str_c(name),
		.payload = STR("{}"),
		.trace = trace ? str_c(trace) : STR_NULL,
		.log_tail = true,
		.deadline_ns = rt_after_ms(30000)};
	struct invoke_result result;

	buf_reset(&told);
	EXPECT_INT(l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &result), 0);
	live_sleep(20);
	return result;
}

/* The n-th document that was told. */
static struct json_value *document(struct live *l, unsigned n)
{
	str rest = buf_str(&told), line = STR("{}");
	struct json_value *v = NULL;

	for (unsigned i = 0; i <= n; i++)
		if (!str_split(&rest, '\n', &line))
			line = STR("{}");
	EXPECT_INT(json_parse(&l->arena, line, JSON_DEPTH_DEFAULT, &v, NULL), 0);
	return v;
}

static str text(const struct json_value *v, const char *path)
{
	return json_text(json_get_path(v, str_c(path)));
}

static str names_of(struct live *l, const struct json_value *function)
{
	const struct json_value *parts = json_get(function, STR("subsegments"));
	struct buf b;

	buf_init(&b, &l->arena, 1000);
	for (uint32_t i = 0; parts && i < parts->count; i++)
		buf_printf(&b, "%.*s ", STR_ARG(text(&parts->items[i], "name")));
	return buf_str(&b);
}

static void segments(struct live *l)
{
	struct json_value *service, *function;
	struct invoke_result r;

	l->ports.trace = &port;
	buf_init(&told, &l->arena, 1 << 20);
	live_create(l, "trace", "trace", 128, 3);
	r = invoke(l, "trace", "Root=" ROOT ";Parent=" PARENT ";Sampled=1");
	EXPECT(str_starts(r.payload, STR("\"Root=" ROOT ";Parent=" PARENT ";Sampled=1;")));
	EXPECT_INT(told.n, 0);
	EXPECT(str_find_str(r.log_tail, STR("XRAY")) < 0);
	set_mode(l, "trace", "Active");
	r = invoke(l, "trace", "Root=" ROOT ";Parent=" PARENT ";Sampled=0");
	EXPECT_INT(told.n, 0);
	set_mode(l, "trace", "PassThrough"); /* the next start is cold again */
	set_mode(l, "trace", "Active");
	r = invoke(l, "trace", "Root=" ROOT ";Parent=" PARENT ";Sampled=1");
	service = document(l, 0);
	function = document(l, 1);
	EXPECT_STR(text(service, "origin"), STR("AWS::Lambda"));
	EXPECT_STR(text(function, "origin"), STR("AWS::Lambda::Function"));
	EXPECT_STR(text(service, "name"), STR("trace"));
	EXPECT_STR(text(service, "trace_id"), STR(ROOT));
	EXPECT_STR(text(function, "trace_id"), STR(ROOT));
	EXPECT_STR(text(service, "parent_id"), STR(PARENT));
	EXPECT_STR(text(function, "parent_id"), text(service, "id"));
	EXPECT_STR(names_of(l, function), STR("Initialization Invocation Overhead "));
	EXPECT(!json_get(function, STR("fault")));
	EXPECT(str_starts(r.payload, ARENA_CONCAT(&l->arena, STR("\"Root=" ROOT ";Parent="),
					     text(function, "id"), STR(";Sampled=1;"))));
	EXPECT(str_find_str(r.log_tail,
		       ARENA_CONCAT(&l->arena, STR("\nXRAY TraceId: " ROOT "\tSegmentId: "),
			       text(function, "id"), STR("\tSampled: true"))) > 0);
	r = invoke(l, "trace", "Root=" ROOT ";Sampled=1");
	EXPECT_STR(names_of(l, document(l, 1)), STR("Invocation Overhead "));
	EXPECT(!json_get(document(l, 0), STR("parent_id")));
	/* A decision of our own: the first that comes without one. */
	live_sleep(1000);
	r = invoke(l, "trace", NULL);
	EXPECT(str_find_str(r.payload, STR(";Sampled=1;")) > 0);
	EXPECT(told.n > 0);
	live_create(l, "error", "error", 128, 3);
	set_mode(l, "error", "Active");
	(void)invoke(l, "error", "Root=" ROOT ";Sampled=1");
	EXPECT(json_get(document(l, 1), STR("fault")) != NULL);
}

LIVE_TEST(lambda_trace, segments, )

/* How often the text is in what was logged. */
static unsigned logged(struct live *l, str text)
{
	str rest = buf_str(&l->log);
	unsigned n = 0;

	for (ptrdiff_t at; (at = str_find_str(rest, text)) >= 0; n++)
		rest = str_from(rest, (size_t)at + text.n);
	return n;
}

/* What platform events say of a run that is recorded, and of one that is not. */
static void events(struct live *l)
{
	struct value *in, *logging;
	str span;

	l->ports.trace = &port;
	buf_init(&told, &l->arena, 1 << 20);
	live_create(l, "f", "echo", 128, 3);
	in = live_input(l, "UpdateFunctionConfiguration");
	value_put_str(in, "FunctionName", STR("f"));
	logging = value_put_struct(in, "LoggingConfig");
	value_put_str(logging, "LogFormat", STR("JSON"));
	value_put_str(logging, "SystemLogLevel", STR("DEBUG"));
	EXPECT_INT(live_call(l, "UpdateFunctionConfiguration", in), 0);
	live_wait_active(l, "f");
	set_mode(l, "f", "Active");
	(void)invoke(l, "f", "Root=" ROOT ";Parent=" PARENT ";Sampled=1");
	span = text(document(l, 1), "id");
	EXPECT_INT(logged(l, ARENA_CONCAT(&l->arena, STR("\"tracing\":{\"spanId\":\""), span,
				     STR("\",\"type\":\"X-Amzn-Trace-Id\",\"value\":\"Root=" ROOT
					 ";Parent="),
				     span, STR(";Sampled=1"))),
		3); /* start, runtimeDone, report */
	buf_reset(&l->log);
	(void)invoke(l, "f", "Root=" ROOT ";Parent=" PARENT ";Sampled=0");
	EXPECT_INT(logged(l, STR("\"tracing\":{\"type\":")), 1);
	EXPECT_INT(logged(l, STR("\"spanId\"")), 0);
	EXPECT_INT(logged(l, STR("\"spans\":[{\"name\":\"responseLatency\",\"start\":\"")), 1);
}
LIVE_TEST(lambda_trace, events, )
