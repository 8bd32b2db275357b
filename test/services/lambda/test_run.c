/*
 * The data plane beyond a plain call: responses that stream.
 */
#include "rt/rt.h"
#include "test/services/lambda/live.h"
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
