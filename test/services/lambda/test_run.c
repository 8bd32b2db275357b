/*
 * The data plane beyond a plain call: responses that stream, provisioned concurrency, room.
 */
#include "rt/rt.h"
#include "services/lambda/provision.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "test/services/lambda/live.h"
#include "test/services/lambda/zip.h"
#include "test/test.h"

#include <stdio.h>

#define LIVE(name, set) LIVE_TEST(lambda_run, name, set)

/* ---- responses that stream ---- */

struct parts {
	char type[64], text[256];
	size_t n;
	uint64_t bytes;
	unsigned count;
	int64_t pause_ms; /* of the reader, per part */
};

static int begin(void *arg, str content_type)
{
	struct parts *p = arg;

	EXPECT_INT(p->count, 0);
	snprintf(p->type, sizeof(p->type), "%.*s", STR_ARG(content_type));
	return 0;
}

static int write_part(void *arg, str part)
{
	struct parts *p = arg;
	size_t n = MIN(part.n, sizeof(p->text) - p->n);

	memcpy(p->text + p->n, part.p, n);
	p->n += n;
	p->bytes += part.n;
	p->count++;
	return p->pause_ms ? rt_sleep_until(rt_after_ms(p->pause_ms)) : 0;
}

static struct invoke_result invoke_streaming(struct live *l, const char *name, struct parts *p)
{
	struct invoke_request request = {
		.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = str_c(name),
		.payload = STR("\"whole\""),
		.log_tail = true,
		.deadline_ns = rt_after_ms(60000),
		.begin = begin,
		.write = write_part,
		.write_arg = p,
	};
	struct invoke_result result;

	EXPECT_INT(l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &result), 0);
	return result;
}

static void streaming(struct live *l)
{
	struct parts p = {.n = 0};
	struct invoke_result r;

	live_create(l, "stream", "stream", 128, 3);
	r = invoke_streaming(l, "stream", &p);
	EXPECT_STR(str_of(p.text, p.n), STR("\"one,two\""));
	EXPECT_STR(str_c(p.type), STR("text/plain"));
	EXPECT_INT(p.count, 2);
	EXPECT(r.streamed && !r.function_error.p && r.payload.n == 0);
	EXPECT(str_find_str(r.log_tail, STR("REPORT RequestId: ")) >= 0);
	/* The same runtime, asked for the whole. */
	EXPECT_STR(live_invoke(l, "stream", "{}").payload, STR("\"one,two\""));
	/* A runtime that does not stream. */
	p = (struct parts){.n = 0};
	live_create(l, "echo", "echo", 128, 3);
	r = invoke_streaming(l, "echo", &p);
	EXPECT_STR(r.payload, STR("\"whole\""));
	EXPECT(!r.streamed && p.count == 0);
}
LIVE(streaming, )

static void streaming_fails(struct live *l)
{
	struct parts p = {.n = 0};
	struct invoke_result r;

	live_create(l, "late", "stream-error", 128, 3);
	r = invoke_streaming(l, "late", &p);
	EXPECT_STR(str_of(p.text, p.n), STR("\"one,two\""));
	EXPECT_STR(r.function_error, STR("Unhandled"));
	EXPECT_STR(r.payload, STR("{\"errorType\":\"Late\"}"));
	r = live_invoke(l, "late", "{}");
	EXPECT_STR(r.function_error, STR("Unhandled"));
	EXPECT_STR(r.payload, STR("{\"errorType\":\"Late\"}"));
	p = (struct parts){.n = 0};
	live_create(l, "error", "error", 128, 3);
	r = invoke_streaming(l, "error", &p);
	EXPECT_STR(r.payload, STR("{\"errorType\":\"Odd\",\"errorMessage\":\"it is odd\"}"));
	EXPECT_INT(p.count, 0);
}
LIVE(streaming_fails, )

/* Without end: cut at the limit, or by the function's time while a slow reader holds it back. */
static void streaming_floods(struct live *l)
{
	struct parts p = {.n = 0};
	struct invoke_result r;

	live_create(l, "flood", "stream-flood", 1769, 60);
	r = invoke_streaming(l, "flood", &p);
	EXPECT_STR(r.function_error, STR("Unhandled"));
	EXPECT_STR(r.payload,
		STR("{\"errorMessage\":\"Response payload size exceeded maximum allowed payload "
		    "size "
		    "(209715200 bytes).\",\"errorType\":\"Function.ResponseSizeTooLarge\"}"));
	EXPECT(p.bytes <= 209715200 && p.bytes > 209715200 - 200000);
	live_create(l, "slow", "stream-flood", 1769, 1);
	p = (struct parts){.pause_ms = 100};
	r = invoke_streaming(l, "slow", &p);
	EXPECT(str_find_str(r.payload, STR("Task timed out after 1.00 seconds")) >= 0);
	EXPECT(p.count <= 13);
}
LIVE(streaming_floods, )

/* ---- provisioned concurrency ---- */

static struct provision_figures provisioned(struct live *l, const char *name)
{
	struct provision_figures f;

	provision_figures(scheduler_provisioned(l->lambda->scheduler, STR("000000000000"),
				  STR("us-east-1"), str_c(name), STR_NULL),
		&f);
	return f;
}

static int provide(struct live *l, const char *name, unsigned count)
{
	return scheduler_provision(l->lambda->scheduler, STR("000000000000"), STR("us-east-1"),
		str_c(name), STR_NULL, count);
}

static void wait_available(struct live *l, const char *name, unsigned n)
{
	for (int i = 0; i < 2000 && provisioned(l, name).available != n; i++)
		live_sleep(5);
	EXPECT_INT(provisioned(l, name).available, n);
}

static void provision(struct live *l)
{
	struct lambda_figures figures;
	str text;

	live_create(l, "env", "env", 128, 3);
	EXPECT_INT(provide(l, "absent", 1), ERR_NOT_FOUND);
	EXPECT_INT(provide(l, "absent", 0), 0);
	EXPECT_INT(provide(l, "env", 3), 0);
	EXPECT_INT(provisioned(l, "env").requested, 3);
	wait_available(l, "env", 3);
	EXPECT_INT(provisioned(l, "env").status, PROVISION_READY);
	EXPECT_INT(provisioned(l, "env").allocated, 3);
	text = live_invoke(l, "env", "{}").payload;
	EXPECT(str_find_str(text, STR("AWS_LAMBDA_INITIALIZATION_TYPE=provisioned-concurrency;")) >=
		0);
	/* Idle ones stay, whatever the time; ordinary ones would be gone. */
	live_sleep(1500);
	lambda_service_figures(l->lambda, &figures);
	EXPECT_INT(figures.instances, 3);
	EXPECT_INT(figures.cold_starts, 3);
	/* Fewer: what is too much becomes ordinary and ends as such. */
	EXPECT_INT(provide(l, "env", 1), 0);
	wait_available(l, "env", 1);
	for (int i = 0; i < 1000; i++) {
		lambda_service_figures(l->lambda, &figures);
		if (figures.instances == 1)
			break;
		live_sleep(5);
	}
	EXPECT_INT(figures.instances, 1);
	EXPECT_INT(provide(l, "env", 0), 0);
	EXPECT_INT(provisioned(l, "env").requested, 0);
}
LIVE(provision, (l.options.idle_ms = 500, l.loops = 2))

/* One that dies is replaced; one that cannot start is said to have failed, and nobody waits. */
static void provision_fails(struct live *l)
{
	struct invoke_result r;

	live_create(l, "exit", "exit", 128, 3);
	EXPECT_INT(provide(l, "exit", 1), 0);
	wait_available(l, "exit", 1);
	r = live_invoke(l, "exit", "{}");
	EXPECT_STR(r.function_error, STR("Unhandled"));
	wait_available(l, "exit", 1);
	live_create(l, "broken", "init-exit", 128, 3);
	EXPECT_INT(provide(l, "broken", 1), 0);
	for (int i = 0; i < 3000 && provisioned(l, "broken").status != PROVISION_FAILED; i++)
		live_sleep(5);
	EXPECT_INT(provisioned(l, "broken").status, PROVISION_FAILED);
	EXPECT_STR(provisioned(l, "broken").reason, STR("FUNCTION_ERROR_INIT_FAILURE"));
	EXPECT_INT(provide(l, "broken", 0), 0);
}
LIVE(provision_fails, )

/* ---- room ---- */

struct calls {
	struct live *live;
	const char *name;
	unsigned left, throttled, ok;
	struct rt_event done;
};

static void call_fiber(void *arg)
{
	struct calls *c = arg;
	struct arena a cleanup(arena_done_p) = {0};
	struct invoke_request request = {
		.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = str_c(c->name),
		.payload = STR("7"),
		.deadline_ns = rt_after_ms(30000),
	};
	struct invoke_result r;
	int rc;

	arena_init(&a, SIZE_MAX);
	rc = c->live->ports.invoke->invoke(c->live->ports.invoke->self, &a, &request, &r);
	if (rc == 0)
		c->ok++;
	else if (rc == ERR_FAULT && r.fault.members &&
		 str_eq(value_str(r.fault.members, "Reason"),
			 STR("ConcurrentInvocationLimitExceeded")))
		c->throttled++;
	if (--c->left == 0)
		rt_event_set(&c->done);
}

static void call_many(struct calls *c)
{
	rt_event_init(&c->done);
	for (unsigned i = c->left; i > 0; i--)
		EXPECT_INT(rt_spawn(call_fiber, c), 0);
}

/* A long queue of one function does not keep another from its share of scarce room. */
static void fair(struct live *l)
{
	struct calls many = {.live = l, .name = "many", .left = 24};
	struct calls few = {.live = l, .name = "few", .left = 2};

	live_create(l, "many", "nap", 128, 10);
	live_create(l, "few", "nap", 128, 10);
	call_many(&many);
	live_sleep(20);
	call_many(&few);
	EXPECT_INT(rt_event_wait(&few.done, rt_after_ms(30000)), 0);
	EXPECT_INT(few.ok, 2);
	EXPECT(many.left >= 6);
	EXPECT_INT(rt_event_wait(&many.done, rt_after_ms(60000)), 0);
	EXPECT_INT(many.ok, 24);
}
LIVE(fair, l.options.memory_bytes = (uint64_t)4 * 128 * 1024 * 1024)

static void burst(struct live *l)
{
	struct calls c = {.live = l, .name = "nap", .left = 8};

	live_create(l, "nap", "nap", 128, 10);
	call_many(&c);
	EXPECT_INT(rt_event_wait(&c.done, rt_after_ms(30000)), 0);
	EXPECT_INT(c.ok, 3);
	EXPECT_INT(c.throttled, 5);
}
LIVE(burst, l.options.burst = 3)

/* Without any reserved it runs; with none at all it is stopped, and says which limit that was. */
static void reserved(struct live *l)
{
	struct invoke_request request = {
		.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = STR("echo"),
		.payload = STR("1"),
		.deadline_ns = rt_after_ms(10000),
	};
	struct value *in = live_input(l, "PutFunctionConcurrency");
	struct invoke_result r;

	live_create(l, "echo", "echo", 128, 3);
	EXPECT_STR(live_invoke(l, "echo", "1").payload, STR("1"));
	value_put_str(in, "FunctionName", STR("echo"));
	value_put_int(in, "ReservedConcurrentExecutions", 0);
	EXPECT_INT(live_call(l, "PutFunctionConcurrency", in), 0);
	EXPECT_INT(
		l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, &r), ERR_FAULT);
	EXPECT_STR(str_c(r.fault.kind->code), STR("TooManyRequestsException"));
	EXPECT_STR(value_str(r.fault.members, "Reason"),
		STR("ReservedFunctionConcurrentInvocationLimitExceeded"));
	value_put_int(in, "ReservedConcurrentExecutions", 5);
	EXPECT_INT(live_call(l, "PutFunctionConcurrency", in), 0);
	EXPECT_STR(live_invoke(l, "echo", "1").payload, STR("1"));
}
LIVE(reserved, )

/* ---- loops ---- */

static int invoke_traced(struct live *l, str trace, struct invoke_result *ret)
{
	struct invoke_request request = {
		.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.function = STR("trace"),
		.payload = STR("1"),
		.trace = trace,
		.deadline_ns = rt_after_ms(10000),
	};

	return l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &request, ret);
}

/* A function that hands its trace on is stopped after 16 runs of one chain, unless it may loop. */
static void loop(struct live *l)
{
	struct value *in = live_input(l, "PutFunctionRecursionConfig");
	struct invoke_result r;
	str trace = STR_NULL;

	live_create(l, "trace", "trace", 128, 3);
	for (int i = 0; i < 16; i++) {
		if (!EXPECT_INT(invoke_traced(l, trace, &r), 0))
			return;
		EXPECT(str_starts(r.payload, STR("\"Root=1-")));
		trace = str_sub(r.payload, 1, r.payload.n - 2);
	}
	EXPECT(str_ends(trace, STR(":16")));
	EXPECT_INT(invoke_traced(l, trace, &r), ERR_FAULT);
	EXPECT_STR(str_c(r.fault.kind->code), STR("RecursiveInvocationException"));
	EXPECT_INT(invoke_traced(l, STR("Root=1-2-3;Lineage=00000000:200"), &r), 0);
	EXPECT(str_starts(r.payload, STR("\"Root=1-2-3;Lineage=00000000:200|")));
	value_put_str(in, "FunctionName", STR("trace"));
	value_put_str(in, "RecursiveLoop", STR("Allow"));
	EXPECT_INT(live_call(l, "PutFunctionRecursionConfig", in), 0);
	EXPECT_INT(invoke_traced(l, trace, &r), 0);
	EXPECT(str_ends(r.payload, STR(":17\"")));
}
LIVE(loop, )

/* ---- layers ---- */

static void layers(struct live *l)
{
	const struct zip_entry first[] = {
		{STR("a"), STR("one"), 0644}, {STR("b"), STR("one"), 0644}};
	const struct zip_entry second[] = {{STR("b"), STR("two"), 0644}};
	struct zip_entry bootstrap = {STR("bootstrap"), STR_NULL, 0755};
	const struct zip_entry empty = {STR("readme"), STR("nothing"), 0644};
	str arns[3];

	arns[0] = live_publish_layer(l, "first", first, 2);
	arns[1] = live_publish_layer(l, "second", second, 1);
	live_create_layered(l, "one", "opt", live_native_zip(l), arns, 1);
	EXPECT_STR(live_invoke(l, "one", "{}").payload, STR("\"one,one,ro\""));
	live_create_layered(l, "both", "opt", live_native_zip(l), arns, 2);
	EXPECT_STR(live_invoke(l, "both", "{}").payload, STR("\"one,two,ro\""));
	arns[2] = arns[0];
	live_create_layered(l, "turned", "opt", live_native_zip(l), arns + 1, 2);
	EXPECT_STR(live_invoke(l, "turned", "{}").payload, STR("\"one,one,ro\""));
	/* The program itself in a layer, beneath another one. */
	bootstrap.content = live_native_bootstrap(l);
	arns[0] = live_publish_layer(l, "program", &bootstrap, 1);
	live_create_layered(l, "program", "opt", zip_make(&l->arena, &empty, 1), arns, 2);
	EXPECT_STR(live_invoke(l, "program", "{}").payload, STR("\"none,two,ro\""));
}
LIVE(layers, )

static void layers_pooled(struct live *l)
{
	struct lambda_figures figures;

	layers(l);
	lambda_service_figures(l->lambda, &figures);
	EXPECT(figures.pooled_starts >= 1);
}
LIVE(layers_pooled, l.options.pool = 2)
