/*
 * Functions in containers, end to end below HTTP: native ones from programs/bootstrap.c, Node.js
 * and Python where their programs are. Needs what containers need; says so and passes where the
 * host forbids them.
 */
#include "aws/ports/log.h"
#include "base/check.h"
#include "http/http.h"
#include "kv/kv.h"
#include "rt/rt.h"
#include "sandbox/launcher.h"
#include "test/services/lambda/live.h"
#include "test/services/lambda/zip.h"
#include "test/test.h"

#include <fcntl.h>
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
		if (l->log.n < 1000000)
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

static void live_fiber(void *arg)
{
	struct live *l = arg;
	struct sandbox_info info;
	struct sandbox_error error = {{0}};
	int rc;

	rc = sandbox_open(l->launcher_fd, rt_after_ms(10000), &l->sandbox, &info, &error);
	if (rc == ERR_UNSUPPORTED) {
		fprintf(stderr, "        skipped: %s\n", error.text);
	} else if (EXPECT_INT(rc, 0) &&
		   EXPECT_INT(lambda_service_start(l->lambda, l->kv, l->sandbox, NULL), 0)) {
		l->ran = true;
		l->test(l);
		lambda_service_stop(l->lambda, rt_after_ms(2000));
	}
	if (l->sandbox)
		sandbox_close(l->sandbox);
	kv_close(l->kv);
	rt_stop(l->rt);
}

void live_run(struct live *l, void (*test)(struct live *l))
{
	struct rt_options rt_options = {.loops = l->loops};
	struct kv_memory_options kv_options = {0};
	struct gate_options gate_options = {.auth = GATE_OPEN,
		.region_default = STR("us-east-1"),
		.wall_ms = wall_ms,
		.monotonic_ns = rt_now};
	const char *roots[] = {NULL};
	struct launcher_options launcher = {.runtime_roots = roots,
		.listens = {{.port = LAMBDA_PORT_RUNTIME_API}, {.port = LAMBDA_PORT_ENDPOINT}},
		.listen_count = 2};
	const struct port_log log_port = {.self = l, .put = log_put};
	int status = 0;

	l->test = test;
	snprintf(l->data, sizeof(l->data), "%s", test_folder());
	chmod(l->data, 0755);
	launcher.data_folder = l->data;
	ASSERT_INT(launcher_start(&launcher, &l->launcher, &l->launcher_fd), 0);
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

static str native_zip(struct live *l)
{
	struct zip_entry entry = {STR("bootstrap"), STR_NULL, 0755};

	entry.content = read_file(&l->arena, "build/test/lambda-bootstrap");
	check(entry.content.p);
	return zip_make(&l->arena, &entry, 1);
}

static struct value *function_input(
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

static void wait_active(struct live *l, const char *name)
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
	struct value *in = function_input(l, name, handler, "provided.al2023", native_zip(l));

	value_put_int(in, "MemorySize", memory_mb);
	value_put_int(in, "Timeout", timeout_s);
	if (!EXPECT_INT(live_call(l, "CreateFunction", in), 0)) {
		test_fail(__FILE__, __LINE__, "%.*s", STR_ARG(l->fault.message));
		return;
	}
	EXPECT_STR(value_str(l->out, "State"), STR("Pending"));
	wait_active(l, name);
}

struct invoke_result live_invoke(struct live *l, const char *name, const char *payload)
{
	struct invoke_request request = {
		.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = str_c(name),
		.payload = str_c(payload),
		.log_tail = true,
		.deadline_ns = rt_after_ms(30000),
	};
	struct invoke_result result;
	int rc = l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &result);

	if (!EXPECT_INT(rc, 0))
		test_fail(__FILE__, __LINE__, "%s: %.*s", name, STR_ARG(result.fault.message));
	live_sleep(20);
	return result;
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
	EXPECT_INT(live_log_count(l, "/aws/lambda/echo|"), 6);
	lambda_service_figures(l->lambda, &figures);
	EXPECT_INT(figures.invocations, 2);
	EXPECT_INT(figures.instances, 1);
	EXPECT_INT(figures.cold_starts, 1);
}

TEST(lambda_live, echo)
{
	struct live l;

	live_init(&l);
	live_run(&l, echo);
}
