/*
 * Names, records, environments and texts of lambda, by tables.
 */
#include "services/lambda/environment.h"
#include "services/lambda/instance_state.h"
#include "services/lambda/names.h"
#include "services/lambda/report.h"
#include "test/test.h"

#include <signal.h>

static const struct {
	str text, account, region, name, qualifier;
} names[] = {
#define N STR_INIT
#define _               \
	{               \
		NULL, 0 \
	}
	{N("f"), _, _, N("f"), _},
	{N("my-function_2"), _, _, N("my-function_2"), _},
	{N("f:$LATEST"), _, _, N("f"), N("$LATEST")},
	{N("f:7"), _, _, N("f"), N("7")},
	{N("f:live"), _, _, N("f"), N("live")},
	{N("function:f"), _, _, N("f"), _},
	{N("123456789012:function:f"), N("123456789012"), _, N("f"), _},
	{N("123456789012:function:f:1"), N("123456789012"), _, N("f"), N("1")},
	{N("123456789012:f"), N("123456789012"), _, N("f"), _},
	{N("123456789012:f:live"), N("123456789012"), _, N("f"), N("live")},
	{N("us-east-1:123456789012:f"), N("123456789012"), N("us-east-1"), N("f"), _},
	{N("us-east-1:123456789012:function:f"), N("123456789012"), N("us-east-1"), N("f"), _},
	{N("arn:aws:lambda:eu-west-1:123456789012:function:f"), N("123456789012"), N("eu-west-1"),
		N("f"), _},
	{N("arn:aws:lambda:eu-west-1:123456789012:function:f:prod"), N("123456789012"),
		N("eu-west-1"), N("f"), N("prod")},
	{N("arn:aws-cn:lambda:cn-north-1:123456789012:function:f"), N("123456789012"),
		N("cn-north-1"), N("f"), _},
#undef N
#undef _
};

static const char *const no_names[] = {"", ":", "f:", ":f", "f g", "f.g", "f:$OLD", "f:1:2",
	"12345678901:function:f", "12345678901:f:1", "123456789012:f:1:2",
	"123456789012:function:", "arn:aws:lambda:eu-west-1:123456789012:function",
	"arn:aws:lambda:eu-west-1:123456789012:layer:f",
	"arn:aws:s3:eu-west-1:123456789012:function:f", "arn:aws:lambda::123456789012:function:f",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

TEST(lambda_names, parse)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct function_name n = {STR_NULL, STR_NULL, STR_NULL, STR_NULL};

		if (!EXPECT_INT(function_name_parse(names[i].text, &n), 0))
			test_fail(__FILE__, __LINE__, "%.*s", STR_ARG(names[i].text));
		EXPECT_STR(n.account, names[i].account);
		EXPECT_STR(n.region, names[i].region);
		EXPECT_STR(n.name, names[i].name);
		EXPECT_STR(n.qualifier, names[i].qualifier);
		EXPECT_INT(n.qualifier.p != NULL, names[i].qualifier.p != NULL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(no_names); i++) {
		struct function_name n;

		if (!EXPECT(function_name_parse(str_c(no_names[i]), &n) < 0))
			test_fail(__FILE__, __LINE__, "%s was taken", no_names[i]);
	}
}

TEST(lambda_names, layers)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct layer_name n;
	const str bad[] = {STR_INIT(""), STR_INIT("a b"), STR_INIT("a:1"),
		STR_INIT("arn:aws:lambda:us-east-1:123456789012:function:f"),
		STR_INIT("arn:aws:lambda:us-east-1:123456789012:layer:l:0"),
		STR_INIT("arn:aws:lambda:us-east-1:123456789012:layer:l:x"),
		STR_INIT("arn:aws:lambda:us-east-1:123456789012:layer:l:1:2"),
		STR_INIT("arn:aws:lambda:us-east-1:12:layer:l")};

	arena_init(&a, SIZE_MAX);
	ASSERT_INT(layer_name_parse(STR("my_layer-1"), &n), 0);
	EXPECT(!n.account.p && !n.region.p && n.version == 0);
	ASSERT_INT(
		layer_name_parse(STR("arn:aws:lambda:us-east-1:123456789012:layer:l:12"), &n), 0);
	EXPECT_STR(n.account, STR("123456789012"));
	EXPECT_STR(n.name, STR("l"));
	EXPECT_INT(n.version, 12);
	EXPECT_STR(layer_arn(&a, n.account, n.region, n.name, n.version),
		STR("arn:aws:lambda:us-east-1:123456789012:layer:l:12"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_INT(layer_name_parse(bad[i], &n), ERR_SYNTAX);
}

TEST(lambda_names, roles)
{
	str role = STR("arn:aws:iam::123456789012:role/service-role/my-role");

	EXPECT_STR(role_name_of_arn(role), STR("my-role"));
	EXPECT_STR(role_account_of_arn(role), STR("123456789012"));
	EXPECT(!role_account_of_arn(STR("arn:aws:iam")).p);
	EXPECT_INT(function_qualifier_kind(STR_NULL), QUALIFIER_LATEST);
	EXPECT_INT(function_qualifier_kind(STR("12")), QUALIFIER_VERSION);
	EXPECT_INT(function_qualifier_kind(STR("v12")), QUALIFIER_ALIAS);
	EXPECT(function_qualifier_kind(STR("$X")) < 0);
}

/* ---- records ---- */

static const struct function_pair pairs[] = {
	{STR_INIT("A"), STR_INIT("1 \"quoted\" \n\t")}, {STR_INIT("B"), STR_INIT("")}};

static const struct function_layer layers[] = {
	{STR_INIT("arn:aws:lambda:eu-west-1:123456789012:layer:l:3"),
		STR_INIT("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), 22}};

static struct function sample(void)
{
	return (struct function){
		.account = STR("123456789012"),
		.region = STR("eu-west-1"),
		.name = STR("f"),
		.version = STR("7"),
		.layers = layers,
		.layer_count = 1,
		.reserved = FUNCTION_UNRESERVED,
		.role = STR("arn:aws:iam::123456789012:role/r"),
		.runtime_name = STR("nodejs22.x"),
		.runtime = lambda_runtime_find(STR("nodejs22.x")),
		.handler = STR("index.handler"),
		.architecture = STR("x86_64"),
		.timeout_s = 3,
		.memory_mb = 128,
		.ephemeral_mb = 512,
		.has_environment = true,
		.variables = pairs,
		.variable_count = 2,
		.log_group = STR("/aws/lambda/f"),
		.code_hex = STR("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
		.code_bytes = 22,
		.revision_id = STR("5e6b8e2d-5b4a-4f5e-9d4b-0d8a6a0c6a11"),
		.deployment = 77,
		.modified_ms = INT64_C(1763800000123),
		.state = FUNCTION_ACTIVE,
		.update = UPDATE_SUCCESSFUL,
	};
}

TEST(lambda_records, round_trip)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct function f = sample(), g = {0};
	struct buf b;

	arena_init(&a, SIZE_MAX);
	buf_init(&b, &a, 65536);
	function_encode(&a, &f, &b);
	ASSERT_INT(function_decode(&a, f.account, f.region, buf_str(&b), &g), 0);
	EXPECT_STR(g.name, f.name);
	EXPECT_STR(g.arn, STR("arn:aws:lambda:eu-west-1:123456789012:function:f"));
	EXPECT(g.runtime == f.runtime);
	EXPECT_INT(g.variable_count, 2);
	EXPECT_STR(g.variables[0].value, pairs[0].value);
	EXPECT_STR(g.variables[1].name, pairs[1].name);
	EXPECT_INT(g.deployment, 77);
	EXPECT_INT(g.modified_ms, f.modified_ms);
	EXPECT_INT(g.update, UPDATE_SUCCESSFUL);
	EXPECT_INT(g.tag_count, 0);
	EXPECT_STR(g.version, STR("7"));
	EXPECT_INT(g.layer_count, 1);
	EXPECT_STR(g.layers[0].arn, layers[0].arn);
	EXPECT_INT(g.layers[0].code_size, 22);
	EXPECT(g.reserved == FUNCTION_UNRESERVED);
	EXPECT_STR(code_sha256_text(&a, g.code_hex),
		STR("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="));
	/* A damaged or newer record is refused whole. */
	EXPECT_INT(function_decode(&a, f.account, f.region, STR(""), &g), ERR_CORRUPT);
	EXPECT_INT(function_decode(&a, f.account, f.region, str_sub(buf_str(&b), 0, b.n - 1), &g),
		ERR_CORRUPT);
	b.p[0]++;
	EXPECT_INT(function_decode(&a, f.account, f.region, buf_str(&b), &g), ERR_VERSION);
}

/* Revision, state and tags are nothing new to publish; code, configuration and layers are. */
TEST(lambda_records, digest)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct function f = sample();
	str digest;

	arena_init(&a, SIZE_MAX);
	digest = function_digest(&a, &f);
	f.revision_id = STR("other");
	f.update = UPDATE_IN_PROGRESS;
	f.modified_ms++;
	f.deployment++;
	f.tags = pairs;
	f.tag_count = 1;
	EXPECT_STR(function_digest(&a, &f), digest);
	f.timeout_s++;
	EXPECT(!str_eq(function_digest(&a, &f), digest));
	f = sample();
	f.layer_count = 0;
	EXPECT(!str_eq(function_digest(&a, &f), digest));
	f = sample();
	f.variable_count = 1;
	EXPECT(!str_eq(function_digest(&a, &f), digest));
}

TEST(lambda_records, runtime_versions)
{
	static const struct {
		str name, version;
	} cases[] = {{STR_INIT("python3.12"), STR_INIT("python:3.12.v1")},
		{STR_INIT("nodejs22.x"), STR_INIT("nodejs:22.v1")},
		{STR_INIT("provided.al2023"), STR_INIT("provided:al2023.v1")},
		{STR_INIT("java8.al2"), STR_INIT("java:8.al2.v1")}};
	str arn, last = STR("");
	struct arena a;

	arena_init(&a, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct lambda_runtime *r = lambda_runtime_find(cases[i].name);

		EXPECT_STR(lambda_runtime_version(&a, r), cases[i].version);
		arn = lambda_runtime_arn(&a, r, STR("eu-west-1"));
		EXPECT(str_starts(arn, STR("arn:aws:lambda:eu-west-1::runtime:")));
		EXPECT_INT(arn.n, sizeof("arn:aws:lambda:eu-west-1::runtime:") - 1 + 64);
		EXPECT(!str_eq(arn, last));
		last = arn;
	}
	arena_done(&a);
}

TEST(lambda_records, environment_rules)
{
	const struct function_pair reserved[] = {{STR_INIT("A"), STR_INIT("")},
		{STR_INIT("AWS_REGION"), STR_INIT("x")},
		{STR_INIT("AWS_ACCESS_KEY"), STR_INIT("")}};
	const struct function_pair exec[] = {{STR_INIT("NODE_OPTIONS"), STR_INIT("")}};
	const struct function_pair plain[] = {{STR_INIT("NODEX"), STR_INIT("12")}};
	struct arena a;

	arena_init(&a, SIZE_MAX);
	EXPECT_STR(environment_reserved(&a, reserved, 2), STR("AWS_REGION"));
	EXPECT_STR(environment_reserved(&a, reserved, 3), STR("AWS_ACCESS_KEY, AWS_REGION"));
	EXPECT(!environment_reserved(&a, reserved, 1).p);
	EXPECT_STR(environment_text(&a, reserved, 2), STR("{\"A\":\"\",\"AWS_REGION\":\"x\"}"));
	arena_done(&a);
	EXPECT(environment_needs_exec(exec, 1));
	EXPECT(!environment_needs_exec(plain, 1));
}

static bool has(const str *items, uint32_t n, const char *text)
{
	for (uint32_t i = 0; i < n; i++)
		if (str_eq(items[i], str_c(text)))
			return true;
	return false;
}

TEST(lambda_records, environment)
{
	const struct function_pair own[] = {{STR_INIT("TZ"), STR_INIT("UTC")}};
	struct environment_facts facts = {.log_stream = STR("s"),
		.access_key = STR("AK"),
		.secret_key = STR("SK"),
		.session_token = STR_NULL};
	struct arena a cleanup(arena_done_p) = {0};
	struct function f = sample();
	const str *items, *boot;
	uint32_t n, boot_n;

	arena_init(&a, SIZE_MAX);
	items = environment_build(&a, &f, &facts, &n);
	boot = environment_boot(&a, f.runtime, &boot_n);
	for (uint32_t i = 0; i < boot_n; i++)
		EXPECT(str_eq(boot[i], items[i])); /* what a booted container has already */
	EXPECT(has(items, n, "TZ=:UTC"));
	EXPECT(has(items, n, "_HANDLER=index.handler"));
	EXPECT(has(items, n, "AWS_EXECUTION_ENV=AWS_Lambda_nodejs22.x"));
	EXPECT(has(items, n,
		"NODE_PATH=/opt/nodejs/node22/node_modules:/opt/nodejs/node_modules:/var/runtime/"
		"node_modules:/var/runtime:/var/task"));
	EXPECT(has(items, n, "AWS_SECRET_ACCESS_KEY=SK"));
	for (uint32_t i = 0; i < n; i++)
		EXPECT(!str_starts(items[i], STR("AWS_SESSION_TOKEN")));
	f.variables = own;
	f.variable_count = 1;
	f.runtime = lambda_runtime_find(STR("provided.al2023"));
	items = environment_build(&a, &f, &facts, &n);
	EXPECT(has(items, n, "TZ=UTC"));
	EXPECT(!has(items, n, "TZ=:UTC"));
	for (uint32_t i = 0; i < n; i++)
		EXPECT(!str_starts(items[i], STR("AWS_EXECUTION_ENV")));
}

/* ---- texts ---- */

TEST(lambda_report, lines)
{
	struct run_report r = {.request_id = STR("ID"),
		.duration_ns = 2345678,
		.init_ns = -1,
		.memory_mb = 128,
		.memory_peak_bytes = 36 * 1024 * 1024 - 5};
	struct arena a cleanup(arena_done_p) = {0};

	arena_init(&a, SIZE_MAX);
	EXPECT_STR(report_start(&a, STR("ID"), STR("$LATEST")),
		STR("START RequestId: ID Version: $LATEST\n"));
	EXPECT_STR(report_end(&a, STR("ID")), STR("END RequestId: ID\n"));
	EXPECT_STR(report_line(&a, &r),
		STR("REPORT RequestId: ID\tDuration: 2.34 ms\tBilled Duration: 3 ms\tMemory Size: "
		    "128 MB\tMax Memory Used: 36 MB\t\n"));
	r.init_ns = 140140000;
	r.error_type = STR("Runtime.ExitError");
	EXPECT_STR(report_line(&a, &r),
		STR("REPORT RequestId: ID\tDuration: 2.34 ms\tBilled Duration: 143 ms\tMemory "
		    "Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 140.14 ms\tStatus: "
		    "error\tError Type: Runtime.ExitError\t\n"));
	EXPECT_STR(report_timeout_line(&a, 0, STR("ID"), 3),
		STR("1970-01-01T00:00:00.000Z ID Task timed out after 3.00 seconds\n\n"));
	EXPECT_STR(report_init(&a, 9999990000, STR("init"), STR("timeout"), STR_NULL),
		STR("INIT_REPORT Init Duration: 9999.99 ms\tPhase: init\tStatus: timeout\t\n"));
}

static const struct {
	struct sandbox_exit e;
	const char *type, *text;
} ends[] = {
	{{.end = SANDBOX_EXITED, .status = 1}, "Runtime.ExitError",
		"Runtime exited with error: exit status 1"},
	{{.end = SANDBOX_EXITED}, "Runtime.ExitError", "Runtime exited without providing a reason"},
	{{.end = SANDBOX_SIGNALED, .signal = SIGSEGV}, "Runtime.ExitError",
		"Runtime exited with error: signal: segmentation fault"},
	{{.end = SANDBOX_SIGNALED, .signal = SIGKILL, .out_of_memory = true}, "Runtime.OutOfMemory",
		"Runtime exited with error: signal: killed"},
	{{.end = SANDBOX_KILLED}, "Runtime.ExitError", "Runtime exited with error: signal: killed"},
	{{.end = SANDBOX_FAILED, .text = "cannot execute /var/task/bootstrap: Permission denied"},
		"Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: permission denied"},
	{{.end = SANDBOX_FAILED, .text = "cannot execute /a:b"}, "Runtime.InvalidEntrypoint",
		"fork/exec /a:b"},
	{{.end = SANDBOX_FAILED, .text = "cannot execute /opt/extensions/e: No such file"},
		"Extension.LaunchError",
		"The execution environment could not be started: cannot execute "
		"/opt/extensions/e: No such file"},
	{{.end = SANDBOX_FAILED, .text = "no room"}, "Runtime.Unknown",
		"The execution environment could not be started: no room"},
};

TEST(lambda_report, failures)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct run_failure f;

	arena_init(&a, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		f = failure_exit(&a, &ends[i].e);
		EXPECT_STR(f.type, str_c(ends[i].type));
		EXPECT_STR(f.text, str_c(ends[i].text));
	}
	f = failure_timeout(&a, 3);
	EXPECT_STR(failure_payload(&a, &f, STR("ID")),
		STR("{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"RequestId: ID Error: "
		    "Task timed out after 3.00 seconds\"}"));
	f = failure_no_bootstrap();
	EXPECT_STR(failure_line(&a, &f, STR("ID")),
		STR("RequestId: ID Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap "
		    "/opt/bootstrap]\nRuntime.InvalidEntrypoint\n"));
}

/* ---- states ---- */

TEST(lambda_states, table)
{
	/* Legal ways. */
	static const struct {
		int state, event, after;
	} legal[] = {
		{INSTANCE_BOOTING, INSTANCE_STARTED, INSTANCE_INIT},
		{INSTANCE_INIT, INSTANCE_NEXT, INSTANCE_IDLE},
		{INSTANCE_INIT, INSTANCE_INIT_ERROR, INSTANCE_FAILED},
		{INSTANCE_IDLE, INSTANCE_NEXT, INSTANCE_IDLE},
		{INSTANCE_IDLE, INSTANCE_DELIVERED, INSTANCE_BUSY},
		{INSTANCE_BUSY, INSTANCE_RETURNED, INSTANCE_ANSWERED},
		{INSTANCE_BUSY, INSTANCE_RESPONSE, INSTANCE_ANSWERED},
		{INSTANCE_BUSY, INSTANCE_ERROR, INSTANCE_ANSWERED},
		{INSTANCE_ANSWERED, INSTANCE_NEXT, INSTANCE_IDLE},
	};

	for (int s = 0; s < INSTANCE_STATES; s++)
		for (int e = 0; e < INSTANCE_EVENTS; e++) {
			int expected = e == INSTANCE_END ? INSTANCE_ENDED : -1;

			for (size_t i = 0; i < ARRAY_SIZE(legal); i++)
				if (legal[i].state == s && legal[i].event == e)
					expected = legal[i].after;
			EXPECT_INT(instance_state_after(
					   (enum instance_state)s, (enum instance_event)e),
				expected);
			EXPECT(instance_event_name((enum instance_event)e) != NULL);
		}
}
