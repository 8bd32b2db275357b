/*
 * Functions in containers, end to end below HTTP: native ones from programs/bootstrap.c, Node.js
 * and Python where their programs are. Needs what containers need; says so and passes where the
 * host forbids them.
 */
#include "aws/keyspace.h"
#include "aws/ports/log.h"
#include "base/check.h"
#include "http/http.h"
#include "kv/kv.h"
#include "rt/rt.h"
#include "sandbox/launcher.h"
#include "server/runtimes.h"
#include "services/lambda/events.h"
#include "test/services/lambda/live.h"
#include "test/services/lambda/zip.h"
#include "test/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the surroundings ---- */

static int log_put(void *self, str account unused_arg, str region unused_arg, str group, str stream,
	bool make_group unused_arg, bool wait unused_arg, const struct port_log_event *events,
	size_t count)
{
	struct live *l = self;

	if (l->log_busy)
		return ERR_BUSY;
	for (size_t i = 0; i < count; i++)
		if (l->log.n < 1000000 && !str_starts(events[i].message, STR("xxxx")))
			buf_printf(&l->log, "%.*s|%.*s|%.*s", STR_ARG(group), STR_ARG(stream),
				STR_ARG(events[i].message));
	return 0;
}

static void front(void *arg, struct http_exchange *x, const struct gate_trust *trust)
{
	struct live *l = arg;

	l->endpoint_arn = arena_str(&l->arena, trust->function->arn);
	(void)!http_respond(x, 200, NULL, 0, l->endpoint_arn);
}

static int64_t wall_ms(void)
{
	return rt_wall() / RT_NS_MS;
}

void live_init(struct live *l)
{
	*l = (struct live){
		.loops = 1,
		.options = {.front = front, .retry_base_ms = 50},
	};
}

/* As in a server, where the launcher takes longer than the rest. */
static void set_sandbox_late(void *arg)
{
	struct live *l = arg;

	(void)!rt_sleep_until(rt_after_ms(5));
	lambda_service_set_sandbox(l->lambda, l->sandbox, NULL);
	rt_event_set(&l->sandbox_set);
}

static void live_fiber(void *arg)
{
	struct live *l = arg;
	struct sandbox_info info;
	struct sandbox_error error = {{0}};
	int rc;

	if (l->no_sandbox) {
		lambda_service_set_sandbox(l->lambda, NULL, "none here");
		if (EXPECT_INT(lambda_service_start(l->lambda, l->kv), 0)) {
			l->test(l);
			lambda_service_stop(l->lambda, rt_after_ms(2000));
		}
		kv_close(l->kv);
		rt_stop(l->rt);
		return;
	}
	rc = sandbox_open(l->launcher_fd, rt_after_ms(10000), &l->sandbox, &info, &error);
	if (rc == ERR_UNSUPPORTED) {
		fprintf(stderr, "        skipped: %s\n", error.text);
	} else if (EXPECT_INT(rc, 0) && EXPECT_INT(lambda_service_start(l->lambda, l->kv), 0)) {
		rt_event_init(&l->sandbox_set);
		if (EXPECT_INT(rt_spawn(set_sandbox_late, l), 0)) {
			l->ran = true;
			l->test(l);
			rt_event_wait_sure(&l->sandbox_set);
		}
		lambda_service_stop(l->lambda, rt_after_ms(2000));
	}
	if (l->sandbox)
		sandbox_close(l->sandbox);
	kv_close(l->kv);
	rt_stop(l->rt);
}

/*
 * Each test runs in a process of its own, made by executing this program again: the launcher has to
 * be forked before a library has set itself up, and here other tests have used libuv already (whose
 * fork handler would close descriptors of the launcher).
 */
static bool in_own_process(const char *name)
{
	char *const argv[] = {(char *)"unit", (char *)name, NULL};
	int status = 0;
	pid_t pid;

	if (getenv("CIRRUS_LIVE_TEST"))
		return true;
	fflush(NULL);
	setenv("CIRRUS_LIVE_TEST", "1", 1);
	if (!EXPECT_INT(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0))
		return false;
	unsetenv("CIRRUS_LIVE_TEST");
	EXPECT_INT(waitpid(pid, &status, 0), pid);
	EXPECT_INT(status, 0);
	return false;
}

void live_run(struct live *l, const char *name, void (*test)(struct live *l))
{
	struct rt_options rt_options = {.loops = l->loops};
	struct kv_memory_options kv_options = {0};
	struct gate_options gate_options = {.auth = GATE_OPEN,
		.region_default = STR("us-east-1"),
		.wall_ms = wall_ms,
		.monotonic_ns = rt_now,
		.random = rt_random_bytes};
	const char *roots[] = {NULL};
	struct launcher_options launcher = {.runtime_roots = roots,
		.listens = {{.port = LAMBDA_PORT_RUNTIME_API}, {.port = LAMBDA_PORT_ENDPOINT},
			{.port = LAMBDA_PORT_RESOLVER, .udp = true}},
		.listen_count = 3};
	const struct port_log log_port = {.self = l, .put = log_put};
	int status = 0;

	if (!in_own_process(name))
		return;
	l->test = test;
	snprintf(l->data, sizeof(l->data), "%s", test_folder());
	chmod(l->data, 0755);
	launcher.data_folder = l->data;
	if (!l->no_sandbox)
		ASSERT_INT(launcher_start(&launcher, &l->launcher, &l->launcher_fd), 0);
	ASSERT_INT(runtimes_install(l->data), 0);
	if (access("/usr/bin/node", X_OK) == 0)
		l->options.node = "/usr/bin/node";
	if (access("/usr/bin/python3", X_OK) == 0)
		l->options.python = "/usr/bin/python3";
	arena_init(&l->arena, SIZE_MAX);
	buf_init(&l->log, NULL, 2000000);
	l->principal = (struct principal){.kind = PRINCIPAL_ROOT,
		.account = STR("000000000000"),
		.arn = STR("arn:aws:iam::000000000000:root"),
		.unrestricted = true};
	l->ports.log = &log_port;
	l->options.data_folder = l->data;
	l->options.front_arg = l;
	ASSERT_INT(rt_new(&rt_options, &l->rt), 0);
	ASSERT_INT(kv_open_memory(&kv_options, &l->kv), 0);
	ASSERT_INT(lambda_service_new(&l->options, l->rt, &l->ports, &l->lambda), 0);
	l->gate = gate_new(&gate_options, &l->ports);
	gate_register(l->gate, lambda_service_rows(l->lambda));
	EXPECT_INT(rt_run(l->rt, live_fiber, l), 0);
	lambda_service_free(l->lambda);
	gate_free(l->gate);
	rt_free(l->rt);
	buf_done(&l->log);
	arena_done(&l->arena);
	if (l->no_sandbox)
		return;
	waitpid(l->launcher, &status, 0);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

struct value *live_input(struct live *l, const char *operation)
{
	return l->ports.call->input(l->ports.call->self, &l->arena, "lambda", operation);
}

int live_call(struct live *l, const char *operation, const struct value *in)
{
	l->fault = (struct fault){0};
	return l->ports.call->call(l->ports.call->self, &l->arena, "lambda", operation,
		&l->principal, STR("us-east-1"), in, &l->out, &l->fault);
}

static str read_file(struct arena *a, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *p;

	if (fd < 0 || fstat(fd, &st) < 0)
		return STR_NULL;
	p = arena_bytes(a, (size_t)st.st_size);
	check(read(fd, p, (size_t)st.st_size) == st.st_size);
	close(fd);
	return str_of(p, (size_t)st.st_size);
}

str live_native_bootstrap(struct live *l)
{
	str program = read_file(&l->arena, "build/test/lambda-bootstrap");

	check(program.p);
	return program;
}

str live_native_zip(struct live *l)
{
	struct zip_entry entry = {STR("bootstrap"), live_native_bootstrap(l), 0755};

	return zip_make(&l->arena, &entry, 1);
}

struct value *live_function_input(
	struct live *l, const char *name, const char *handler, const char *runtime, str zip)
{
	struct value *in = live_input(l, "CreateFunction");

	value_put_str(in, "FunctionName", str_c(name));
	value_put_str(in, "Runtime", str_c(runtime));
	value_put_str(in, "Role", STR("arn:aws:iam::000000000000:role/lambda-role"));
	value_put_str(in, "Handler", str_c(handler));
	value_put_str(value_put_struct(in, "Code"), "ZipFile", zip);
	return in;
}

void live_wait_active(struct live *l, const char *name)
{
	struct value *in = live_input(l, "GetFunctionConfiguration");

	value_put_str(in, "FunctionName", str_c(name));
	for (int i = 0; i < 1000; i++) {
		ASSERT_INT(live_call(l, "GetFunctionConfiguration", in), 0);
		if (str_eq(value_str(l->out, "State"), STR("Active")) &&
			str_eq(value_str(l->out, "LastUpdateStatus"), STR("Successful")))
			return;
		live_sleep(5);
	}
	test_fail(__FILE__, __LINE__, "%s never became active", name);
}

void live_create(
	struct live *l, const char *name, const char *handler, int memory_mb, int timeout_s)
{
	struct value *in =
		live_function_input(l, name, handler, "provided.al2023", live_native_zip(l));

	value_put_int(in, "MemorySize", memory_mb);
	value_put_int(in, "Timeout", timeout_s);
	if (!EXPECT_INT(live_call(l, "CreateFunction", in), 0)) {
		test_fail(__FILE__, __LINE__, "%.*s", STR_ARG(l->fault.message));
		return;
	}
	EXPECT_STR(value_str(l->out, "State"), STR("Pending"));
	live_wait_active(l, name);
}

struct invoke_result live_invoke(struct live *l, const char *name, const char *payload)
{
	struct invoke_request request = {
		.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = str_c(name),
		.payload = str_c(payload),
		.log_tail = true,
		.deadline_ns = rt_after_ms(120000),
	};
	struct invoke_result result;
	int rc = l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &result);

	if (!EXPECT_INT(rc, 0))
		test_fail(__FILE__, __LINE__, "%s: %.*s", name, STR_ARG(result.fault.message));
	live_sleep(20);
	return result;
}

str live_publish_layer(
	struct live *l, const char *name, const struct zip_entry *entries, unsigned n)
{
	struct value *in = live_input(l, "PublishLayerVersion");

	value_put_str(in, "LayerName", str_c(name));
	value_put_str(value_put_struct(in, "Content"), "ZipFile", zip_make(&l->arena, entries, n));
	EXPECT_INT(live_call(l, "PublishLayerVersion", in), 0);
	return arena_str(&l->arena, value_str(l->out, "LayerVersionArn"));
}

void live_create_layered(struct live *l, const char *name, const char *handler, str zip,
	const str *layers, unsigned n)
{
	struct value *in = live_function_input(l, name, handler, "provided.al2023", zip), *list;

	list = value_put_list(in, "Layers");
	for (unsigned i = 0; i < n; i++)
		value_add_str(list, layers[i]);
	if (EXPECT_INT(live_call(l, "CreateFunction", in), 0))
		live_wait_active(l, name);
	else
		test_fail(__FILE__, __LINE__, "%.*s", STR_ARG(l->fault.message));
}

bool live_log_has(const struct live *l, const char *text)
{
	return str_find_str(buf_str(&l->log), str_c(text)) >= 0;
}

unsigned live_log_count(const struct live *l, const char *text)
{
	str rest = buf_str(&l->log);
	unsigned n = 0;
	ptrdiff_t at;

	while ((at = str_find_str(rest, str_c(text))) >= 0) {
		rest = str_from(rest, (size_t)at + 1);
		n++;
	}
	return n;
}

void live_sleep(int ms)
{
	check(rt_sleep_until(rt_after_ms(ms)) == 0);
}

bool live_event(struct live *l, const char *payload, str trace)
{
	struct invoke_request request = {
		.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = STR("f"),
		.type = INVOKE_EVENT,
		.payload = str_c(payload),
		.trace = trace,
		.deadline_ns = rt_after_ms(10000),
	};
	struct lambda_figures figures;
	struct invoke_result r;

	if (!EXPECT_INT(l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &r), 0))
		return false;
	for (int i = 0; i < 1000; i++) {
		lambda_service_figures(l->lambda, &figures);
		if (!figures.events_waiting)
			return true;
		live_sleep(10);
	}
	return EXPECT(!"the event came to no end");
}

unsigned live_files(const struct live *l, const char *folder)
{
	char path[512];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", l->data, folder);
	d = opendir(path);
	check(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static bool contains(str s, const char *text)
{
	return str_find_str(s, str_c(text)) >= 0;
}

/* ---- what works ---- */

static void echo(struct live *l)
{
	struct lambda_figures figures;
	struct invoke_result r;

	live_create(l, "echo", "echo", 128, 3);
	r = live_invoke(l, "echo", "{\"a\":1}");
	EXPECT_STR(r.payload, STR("{\"a\":1}"));
	EXPECT(!r.function_error.p);
	EXPECT_INT(r.status, 200);
	EXPECT(contains(r.log_tail, "START RequestId: "));
	EXPECT(contains(r.log_tail, "Version: $LATEST\n"));
	EXPECT(contains(r.log_tail, "END RequestId: "));
	EXPECT(contains(r.log_tail, "\tInit Duration: "));
	r = live_invoke(l, "echo", "");
	EXPECT_STR(r.payload, STR("{}"));
	EXPECT(!contains(r.log_tail, "Init Duration"));
	EXPECT(live_log_has(
		l, "INIT_START Runtime Version: provided:al2023.v1\tRuntime Version ARN: "));
	EXPECT_INT(live_log_count(l, "/aws/lambda/echo|"), 7);
	lambda_service_figures(l->lambda, &figures);
	EXPECT_INT(figures.invocations, 2);
	EXPECT_INT(figures.instances, 1);
	EXPECT_INT(figures.cold_starts, 1);
}

#define LIVE(name, set) LIVE_TEST(lambda_live, name, set)

LIVE(echo, )

/* The instance is used again, and a changed function gets a new one. */
static void reuse(struct live *l)
{
	struct lambda_figures figures;
	struct value *in;

	live_create(l, "count", "count", 128, 3);
	EXPECT_STR(live_invoke(l, "count", "{}").payload, STR("1"));
	EXPECT_STR(live_invoke(l, "count", "{}").payload, STR("2"));
	live_sleep(60); /* frozen by now */
	EXPECT_STR(live_invoke(l, "count", "{}").payload, STR("3"));
	in = live_input(l, "UpdateFunctionConfiguration");
	value_put_str(in, "FunctionName", STR("count"));
	value_put_int(in, "Timeout", 5);
	EXPECT_INT(live_call(l, "UpdateFunctionConfiguration", in), 0);
	EXPECT_STR(value_str(l->out, "LastUpdateStatus"), STR("InProgress"));
	live_wait_active(l, "count");
	EXPECT_STR(live_invoke(l, "count", "{}").payload, STR("1"));
	lambda_service_figures(l->lambda, &figures);
	EXPECT_INT(figures.cold_starts, 2);
	for (int i = 0; i < 200 && figures.instances != 1; i++) {
		live_sleep(5);
		lambda_service_figures(l->lambda, &figures);
	}
	EXPECT_INT(figures.instances, 1);
}
LIVE(reuse, )

static void output(struct live *l)
{
	live_create(l, "print", "print", 128, 3);
	EXPECT_STR(live_invoke(l, "print", "1").payload, STR("1"));
	EXPECT(live_log_has(l, "|first line\n"));
	EXPECT(live_log_has(l, "|second line\n"));
	EXPECT(live_log_has(l, "|without end"));
	live_create(l, "flood", "flood", 1769, 30);
	EXPECT_STR(live_invoke(l, "flood", "1").payload, STR("\"flooded\""));
	/* The log has no room: nobody waits. */
	l->log_busy = true;
	EXPECT_STR(live_invoke(l, "flood", "1").payload, STR("\"flooded\""));
	l->log_busy = false;
	EXPECT_STR(live_invoke(l, "print", "1").payload, STR("1"));
	live_sleep(50);
	EXPECT(live_log_has(l, "log lines were dropped here.\n"));
}
LIVE(output, )

static void environment(struct live *l)
{
	struct value *in, *variables;
	str text;

	live_create(l, "env", "env", 256, 3);
	in = live_input(l, "UpdateFunctionConfiguration");
	value_put_str(in, "FunctionName", STR("env"));
	variables = value_put_map(value_put_struct(in, "Environment"), "Variables");
	value_map_put_str(variables, STR("COLOUR"), STR("blue"));
	value_map_put_str(variables, STR("TZ"), STR("Europe/Berlin"));
	EXPECT_INT(live_call(l, "UpdateFunctionConfiguration", in), 0);
	live_wait_active(l, "env");
	text = live_invoke(l, "env", "{}").payload;
	EXPECT(contains(text, "COLOUR=blue;"));
	EXPECT(contains(text, "TZ=Europe/Berlin;"));
	EXPECT(!contains(text, "TZ=:UTC;"));
	EXPECT(contains(text, "_HANDLER=env;"));
	EXPECT(contains(text, "AWS_LAMBDA_FUNCTION_NAME=env;"));
	EXPECT(contains(text, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256;"));
	EXPECT(contains(text, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001;"));
	EXPECT(contains(text, "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/env;"));
	EXPECT(contains(text, "AWS_ACCESS_KEY_ID=000000000000;"));
	EXPECT(contains(text, "LAMBDA_TASK_ROOT=/var/task;"));
	/* Its own way to the server. */
	live_create(l, "endpoint", "endpoint", 128, 3);
	EXPECT_STR(live_invoke(l, "endpoint", "{}").payload,
		STR("\"arn:aws:sts::000000000000:assumed-role/lambda-role/endpoint\""));
}
LIVE(environment, )

/* ---- what fails ---- */

static const struct failing {
	const char *handler, *payload; /* the payload contains */
	const char *report;            /* the tail contains */
} failing[] = {
	{"error", "{\"errorType\":\"Odd\",\"errorMessage\":\"it is odd\"}", "REPORT RequestId: "},
	{"hang", "\"errorType\":\"Sandbox.Timedout\"", "Task timed out after 1.00 seconds"},
	{"hang", "Error: Task timed out after 1.00 seconds\"}",
		"\tDuration: 1000.00 ms\tBilled Duration: "},
	{"exit", "Error: Runtime exited with error: exit status 3\"}",
		"Status: error\tError Type: Runtime.ExitError\t\n"},
	{"exit0", "Error: Runtime exited without providing a reason\"}", "Runtime.ExitError\nEND "},
	{"crash", "Error: Runtime exited with error: signal: segmentation fault\"}",
		"Runtime.ExitError"},
	{"memory", "{\"errorType\":\"Runtime.OutOfMemory\"",
		"Memory Size: 128 MB\tMax Memory Used: 128 MB"},
	{"large",
		"{\"errorMessage\":\"Response payload size exceeded maximum allowed payload size "
		"(6291556 bytes).\",\"errorType\":\"Function.ResponseSizeTooLarge\"}",
		"REPORT RequestId: "},
	{"init-error",
		"{\"errorType\":\"Runtime.ImportModuleError\",\"errorMessage\":\"no index\"}",
		"Error Type: Runtime.ImportModuleError"},
	{"init-exit", "Error: Runtime exited with error: exit status 4\"}", "Runtime.ExitError"},
};

static void failures(struct live *l)
{
	struct lambda_figures figures;
	char name[32];

	for (size_t i = 0; i < ARRAY_SIZE(failing); i++) {
		struct invoke_result r;

		snprintf(name, sizeof(name), "f%zu", i);
		live_create(l, name, failing[i].handler, 128,
			strcmp(failing[i].handler, "memory") ? 1 : 30);
		r = live_invoke(l, name, "{}");
		EXPECT_STR(r.function_error, STR("Unhandled"));
		if (!EXPECT(contains(r.payload, failing[i].payload)))
			test_fail(__FILE__, __LINE__, "%s: payload %.*s", failing[i].handler,
				STR_ARG(r.payload));
		if (!EXPECT(contains(r.log_tail, failing[i].report)))
			test_fail(__FILE__, __LINE__, "%s: tail %.*s", failing[i].handler,
				STR_ARG(r.log_tail));
		/* The next one meets the same, in a new instance where the old is gone. */
		r = live_invoke(l, name, "{}");
		EXPECT(contains(r.payload, failing[i].payload));
	}
	EXPECT(live_log_has(l, "INIT_REPORT Init Duration: "));
	lambda_service_figures(l->lambda, &figures);
	EXPECT_INT(figures.instances_busy, 0);
	EXPECT_INT(figures.errors, 2 * ARRAY_SIZE(failing));
}
LIVE(failures, )

/* Runtimes that break the rules of the Runtime API. */
static void hostile(struct live *l)
{
	struct rt_figures figures;

	live_create(l, "wrong", "wrong", 128, 3);
	EXPECT_STR(live_invoke(l, "wrong", "{}").payload, STR("400"));
	live_create(l, "twice", "twice", 128, 3);
	EXPECT_STR(live_invoke(l, "twice", "\"first\"").payload, STR("\"first\""));
	EXPECT(live_log_has(l, "the second was refused"));
	/* Answers, and never asks again: the next call gets another instance. */
	live_create(l, "mute", "mute", 128, 3);
	EXPECT_STR(live_invoke(l, "mute", "1").payload, STR("1"));
	EXPECT_STR(live_invoke(l, "mute", "2").payload, STR("2"));
	/* 900 connections of one container: most are closed, and it goes on. */
	live_create(l, "connections", "connections", 1769, 30);
	EXPECT_STR(live_invoke(l, "connections", "4").payload, STR("4"));
	rt_figures(l->rt, &figures);
	EXPECT(figures.connections_refused >= 600);
	EXPECT(figures.connections_live < 300);
	live_create(l, "none", "init-none", 128, 3);
	EXPECT_STR(live_invoke(l, "none", "3").payload, STR("3"));
}
LIVE(hostile, )

static void no_bootstrap(struct live *l)
{
	struct zip_entry entry = {STR("readme"), STR("nothing"), 0644};
	struct invoke_result r;

	EXPECT_INT(live_call(l, "CreateFunction",
			   live_function_input(l, "empty", "x", "provided.al2023",
				   zip_make(&l->arena, &entry, 1))),
		0);
	live_wait_active(l, "empty");
	r = live_invoke(l, "empty", "{}");
	EXPECT(contains(r.payload, "{\"errorType\":\"Runtime.InvalidEntrypoint\""));
	EXPECT(contains(r.payload, "[/var/task/bootstrap /opt/bootstrap]"));
}
LIVE(no_bootstrap, )

/* ---- many at once ---- */

struct burst {
	struct live *live;
	const char *name;
	unsigned left, wrong;
	struct rt_event done;
};

static void burst_fiber(void *arg)
{
	struct burst *b = arg;
	struct arena a cleanup(arena_done_p) = {0};
	struct invoke_request request = {
		.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = str_c(b->name),
		.payload = STR("7"),
		.deadline_ns = rt_after_ms(30000),
	};
	struct invoke_result r;

	arena_init(&a, SIZE_MAX);
	for (int i = 0; i < 5; i++)
		if (b->live->ports.invoke->invoke(b->live->ports.invoke->self, &a, &request, &r) <
				0 ||
			!str_eq(r.payload, STR("7")))
			b->wrong++;
	if (--b->left == 0)
		rt_event_set(&b->done);
}

static void burst(struct live *l)
{
	struct burst b = {.live = l, .name = "echo", .left = 12};
	struct lambda_figures figures;

	/* As many instances as fibers may be begun: who waits for one takes nothing more. */
	live_create(l, "echo", "echo", 128, 10);
	rt_event_init(&b.done);
	for (unsigned i = b.left; i > 0; i--)
		EXPECT_INT(rt_spawn(burst_fiber, &b), 0);
	EXPECT_INT(rt_event_wait(&b.done, rt_after_ms(60000)), 0);
	EXPECT_INT(b.wrong, 0);
	lambda_service_figures(l->lambda, &figures);
	EXPECT_INT(figures.invocations, 60);
	EXPECT(figures.cold_starts <= 12);
	EXPECT_INT(figures.instances_busy, 0);
}
LIVE(burst, l.options.burst = 12)

/*
 * An init phase of more than 10 s is done again inside the invocation: both instances are counted,
 * so that what comes later finds the room that there is.
 */
static void init_again(struct live *l)
{
	struct lambda_figures figures;
	struct invoke_result r;

	live_create(l, "slow", "init-hang", 128, 1);
	live_create(l, "f", "echo", 128, 3);
	r = live_invoke(l, "slow", "{}");
	EXPECT(contains(r.payload, "\"errorType\":\"Sandbox.Timedout\""));
	for (unsigned i = 0; i < 100; i++) {
		lambda_service_figures(l->lambda, &figures);
		if (!figures.instances)
			break;
		EXPECT_INT(rt_sleep_until(rt_after_ms(50)), 0);
	}
	EXPECT_INT(figures.instances, 0);
	EXPECT_INT(figures.cold_starts, 2);
	EXPECT_STR(live_invoke(l, "f", "1").payload, STR("1"));
}
LIVE(init_again, )

/* Memory for two instances only: idle ones of another function make room. */
static void memory_budget(struct live *l)
{
	struct burst b = {.live = l, .name = "b", .left = 6};
	struct lambda_figures figures;

	live_create(l, "a", "echo", 128, 10);
	live_create(l, "b", "echo", 128, 10);
	EXPECT_STR(live_invoke(l, "a", "1").payload, STR("1"));
	rt_event_init(&b.done);
	for (unsigned i = b.left; i > 0; i--)
		EXPECT_INT(rt_spawn(burst_fiber, &b), 0);
	EXPECT_INT(rt_event_wait(&b.done, rt_after_ms(60000)), 0);
	EXPECT_INT(b.wrong, 0);
	lambda_service_figures(l->lambda, &figures);
	EXPECT(figures.instances <= 2);
}

LIVE(memory_budget, l.options.memory_bytes = (uint64_t)256 * 1024 * 1024)

static void too_many(struct live *l)
{
	struct invoke_request request = {
		.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = STR("hang"),
	};
	struct invoke_result r;

	live_create(l, "hang", "hang", 128, 3);
	request.deadline_ns = rt_after_ms(1500);
	/* The caller leaves; the function runs on and counts. */
	EXPECT_INT(l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &r),
		ERR_TIMEOUT);
	EXPECT_INT(
		l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &r), ERR_FAULT);
	EXPECT_STR(r.fault.message, STR("Rate Exceeded."));
	for (int i = 0; i < 2000 && !live_log_has(l, "Task timed out after 3.00 seconds"); i++)
		live_sleep(5);
	EXPECT(live_log_has(l, "Task timed out after 3.00 seconds"));
	request.deadline_ns = rt_after_ms(10);
	EXPECT_INT(l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &r),
		ERR_TIMEOUT);
}

LIVE(too_many, l.options.concurrency_max = 1)

/* Two loops: calls of either find the instances of both. */
static void loops(struct live *l)
{
	struct burst b = {.live = l, .name = "echo", .left = 1};
	struct lambda_figures figures;

	live_create(l, "echo", "echo", 128, 10);
	EXPECT_STR(live_invoke(l, "echo", "1").payload, STR("1"));
	rt_event_init(&b.done);
	EXPECT_INT(rt_spawn_on(l->rt, 1, burst_fiber, &b), 0);
	EXPECT_INT(rt_event_wait(&b.done, rt_after_ms(60000)), 0);
	EXPECT_INT(b.wrong, 0);
	lambda_service_figures(l->lambda, &figures);
	EXPECT_INT(figures.invocations, 6);
	EXPECT_INT(figures.cold_starts, 1);
}

LIVE(loops, l.loops = 2)

/* ---- asynchronous ---- */

static void invoke_event(struct live *l, const char *name)
{
	struct value *in = live_input(l, "Invoke");

	value_put_str(in, "FunctionName", str_c(name));
	value_put_str(in, "InvocationType", STR("Event"));
	value_put_str(in, "Payload", STR("{}"));
	EXPECT_INT(live_call(l, "Invoke", in), 0);
}

static void wait_events(struct live *l)
{
	struct lambda_figures figures;

	for (int i = 0; i < 2000; i++) {
		lambda_service_figures(l->lambda, &figures);
		if (figures.events_waiting == 0)
			break;
		live_sleep(5);
	}
	EXPECT_INT(figures.events_waiting, 0);
	live_sleep(50);
}

static void events(struct live *l)
{
	live_create(l, "print", "print", 128, 3);
	live_create(l, "error", "error", 128, 3);
	invoke_event(l, "print");
	invoke_event(l, "error");
	wait_events(l);
	EXPECT_INT(live_log_count(l, "|first line\n"), 1);
	/* Once and two retries, under one request id. */
	EXPECT_INT(live_log_count(l, "/aws/lambda/error|"), 10);
}
LIVE(events, )

/*
 * What was running when the server crashed is run again, and put aside when that happens twice. A
 * crash is played by a second dispatcher on the same store, which takes the marks of the first for
 * those of a server that is gone.
 */
static struct events *second, *third;

static unsigned quarantined(struct live *l)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 0};
	struct buf prefix;
	str key, value;
	unsigned n = 0;

	buf_init(&prefix, &l->arena, 64);
	keyspace_area(&prefix, KEYSPACE_LAMBDA_META);
	keyspace_put(&prefix, STR("quarantine"));
	range.from = buf_str(&prefix);
	range.to = keyspace_prefix_end(&l->arena, range.from);
	check(kv_scan_open(l->kv, &range, &scan) == 0);
	while (kv_scan_next(scan, &key, &value) == 1)
		n++;
	return n;
}

static void wait_busy(struct live *l, unsigned busy)
{
	struct lambda_figures figures;

	for (int i = 0; i < 2000; i++) {
		lambda_service_figures(l->lambda, &figures);
		if (figures.instances_busy == busy)
			return;
		live_sleep(5);
	}
	test_fail(__FILE__, __LINE__, "never %u instances busy", busy);
}

static void crashes(struct live *l)
{
	live_create(l, "hang", "hang", 128, 60);
	invoke_event(l, "hang");
	wait_busy(l, 1);
	second = events_new(l->lambda);
	ASSERT_INT(events_start(second), 0);
	wait_busy(l, 2);
	EXPECT_INT(quarantined(l), 0);
	events_stop(second, rt_now());
	third = events_new(l->lambda);
	ASSERT_INT(events_start(third), 0);
	EXPECT_INT(quarantined(l), 1);
	live_sleep(50);
	wait_busy(l, 2); /* it was not run a third time */
	events_stop(third, rt_now());
}

TEST(lambda_live, crashes)
{
	struct live l;

	live_init(&l);
	l.options.after_crash = true;
	live_run(&l, "lambda_live.crashes", crashes);
	events_free(second);
	events_free(third);
}

/* ---- the pool ---- */

static void pooled(struct live *l)
{
	struct lambda_figures figures;
	str from_pool;

	live_create(l, "env", "env", 128, 3);
	for (int i = 0; i < 1000; i++) {
		lambda_service_figures(l->lambda, &figures);
		if (figures.pool_ready == 2)
			break;
		live_sleep(5);
	}
	EXPECT_INT(figures.pool_ready, 2);
	live_sleep(100);
	from_pool = live_invoke(l, "env", "{}").payload;
	lambda_service_figures(l->lambda, &figures);
	EXPECT_INT(figures.pooled_starts, 1);
	EXPECT(contains(from_pool, "_HANDLER=env;"));
	EXPECT(contains(from_pool, "TZ=:UTC;"));
}

LIVE(pooled, l.options.pool = 2)

/* ---- interpreters ---- */

static const char node_code[] = "exports.handler = async (event, context) => {\n"
				"  console.log('got', event.n);\n"
				"  if (event.n === 13) throw new RangeError('unlucky');\n"
				"  return { n: event.n + 1, id: context.awsRequestId.length, node: "
				"process.env.AWS_EXECUTION_ENV };\n"
				"};\n";
static const char python_code[] =
	"import os\n"
	"def handler(event, context):\n"
	"    print('got', event['n'])\n"
	"    if event['n'] == 13:\n"
	"        raise ValueError('unlucky')\n"
	"    return {'n': event['n'] + 1, 'id': len(context.aws_request_id), 'python': "
	"os.environ['AWS_EXECUTION_ENV']}\n";

static void wait_for_pool(struct live *l)
{
	struct lambda_figures figures = {0};

	for (int i = 0; i < 1000 && figures.pool_ready == 0; i++) {
		lambda_service_figures(l->lambda, &figures);
		(void)!rt_sleep_until(rt_after_ms(10));
	}
}

static void interpreter(struct live *l, const char *runtime, const char *file, const char *code,
	const char *expected, const char *error)
{
	struct zip_entry entry = {str_c(file), str_c(code), 0644};
	struct invoke_result r;
	struct value *in = live_function_input(l, runtime[0] == 'n' ? "node" : "python",
		runtime[0] == 'n' ? "index.handler" : "index.handler", runtime,
		zip_make(&l->arena, &entry, 1));
	const char *name = runtime[0] == 'n' ? "node" : "python";

	value_put_int(in, "MemorySize", 1769);
	value_put_int(in, "Timeout", 20);
	if (live_call(l, "CreateFunction", in) < 0) {
		fprintf(stderr, "        skipped: %.*s\n", STR_ARG(l->fault.message));
		return;
	}
	live_wait_active(l, name);
	if (l->options.pool)
		wait_for_pool(l);
	for (int i = 0; i < 2; i++) {
		r = live_invoke(l, name, "{\"n\":41}");
		EXPECT(!r.function_error.p);
		EXPECT_STR(r.payload, str_c(expected));
		EXPECT(contains(r.log_tail, "got 41\n"));
	}
	r = live_invoke(l, name, "{\"n\":13}");
	EXPECT_STR(r.function_error, STR("Unhandled"));
	if (!EXPECT(contains(r.payload, error)))
		test_fail(__FILE__, __LINE__, "%.*s", STR_ARG(r.payload));
	r = live_invoke(l, name, "{\"n\":1}");
	EXPECT(!r.function_error.p);
}

static void interpreters(struct live *l)
{
	struct lambda_figures figures;

	interpreter(l, "nodejs22.x", "index.js", node_code,
		"{\"n\":42,\"id\":36,\"node\":\"AWS_Lambda_nodejs22.x\"}",
		"{\"errorType\":\"RangeError\",\"errorMessage\":\"unlucky\",\"trace\":[");
	interpreter(l, "python3.11", "index.py", python_code,
		"{\"n\": 42, \"id\": 36, \"python\": \"AWS_Lambda_python3.11\"}",
		"\"errorMessage\": \"unlucky\", \"errorType\": \"ValueError\"");
	lambda_service_figures(l->lambda, &figures);
	if (l->options.pool)
		EXPECT(figures.pooled_starts >= 1);
}
LIVE(interpreters, )

static void interpreters_pooled(struct live *l)
{
	interpreters(l);
}
LIVE(interpreters_pooled, l.options.pool = 1)
