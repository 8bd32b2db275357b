/*
 * What API Gateway adds to a request, in nanoseconds, one thread: finding the route among 100, the
 * event of a small request, the function's answer. Each row is the best of five runs.
 */
#include "services/apigateway/event.h"
#include "services/apigateway/router.h"

#include <stdio.h>
#include <time.h>

enum { ROUTES = 100, ROUNDS = 20000 };

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static struct arena keep, arena;
static struct router *router;
static struct router_match match;
static size_t sink;

static void find(void)
{
	if (router_find(router, &arena, STR("GET"), STR("/service/77/items/12345"), &match) == 1)
		sink += match.parameter_count;
}

static const struct http_header sent[] = {
	{.name = STR_INIT("Host"),
		.value = STR_INIT("abcdefghij.execute-api.us-east-1.localhost:4566")},
	{.name = STR_INIT("User-Agent"), .value = STR_INIT("curl/8.0")},
	{.name = STR_INIT("Accept"), .value = STR_INIT("*/*")},
	{.name = STR_INIT("Content-Type"), .value = STR_INIT("application/json")},
	{.name = STR_INIT("Cookie"), .value = STR_INIT("session=0123456789abcdef")},
};

static void event(void)
{
	const struct event_origin origin = {STR("127.0.0.1"), STR("4566"), STR("http"),
		STR("Root=1-5e6b67ad-2d4a5560cf6fb7a02780c3a0"), 25};
	struct event_request request = {.account = STR("000000000000"),
		.api_id = STR("abcdefghij"),
		.stage = STR("$default"),
		.route_key = match.route->key,
		.route_path = match.path,
		.method = STR("GET"),
		.path = STR("/service/77/items/12345"),
		.query = STR("page=1&size=50"),
		.protocol = STR("HTTP/1.1"),
		.domain_name = STR("abcdefghij.execute-api.us-east-1.localhost"),
		.domain_prefix = STR("abcdefghij"),
		.source_ip = STR("127.0.0.1"),
		.user_agent = STR("curl/8.0"),
		.request_id = STR("JKJaXmPLvHcESHA="),
		.time_ms = INT64_C(1440938160000),
		.body = STR("{\"title\":\"buy some bread\"}"),
		.parameters = match.parameters,
		.parameter_count = match.parameter_count};
	struct buf out;

	event_headers(
		&arena, sent, ARRAY_SIZE(sent), &origin, &request.headers, &request.header_count);
	buf_init(&out, &arena, 1 << 20);
	event_render_2(&out, &arena, &request);
	sink += out.n;
}

static void answer(void)
{
	struct event_answer a;

	if (event_answer_parse(&arena,
		    STR("{\"statusCode\":200,\"headers\":{\"content-type\":\"application/json\"},"
			"\"body\":\"{\\\"id\\\":\\\"12345\\\",\\\"title\\\":\\\"buy some "
			"bread\\\"}\"}"),
		    2, &a) == 0)
		sink += a.body.n;
}

static void row(const char *name, void (*fn)(void))
{
	int64_t best = INT64_MAX;

	for (int run = 0; run < 5; run++) {
		int64_t begun = now_ns();

		for (int i = 0; i < ROUNDS; i++) {
			fn();
			arena_done(&arena);
		}
		best = MIN(best, now_ns() - begun);
	}
	printf("%-40s %8.0f ns\n", name, (double)best / ROUNDS);
}

int main(void)
{
	struct router_route routes[ROUTES];

	arena_init(&keep, 1 << 24);
	arena_init(&arena, 1 << 24);
	for (int i = 0; i < ROUTES; i++)
		routes[i].key = arena_printf(&keep, "GET /service/%d/items/{id}", i);
	if (router_new(&keep, routes, ROUTES, &router) < 0)
		return 1;
	struct router_match found;
	if (router_find(router, &keep, STR("GET"), STR("/service/77/items/12345"), &found) != 1)
		return 1;
	row("apigateway: a route among 100", find);
	match = found;
	row("apigateway: event of format 2.0", event);
	row("apigateway: answer of format 2.0", answer);
	return sink == 0;
}
