/* Serving deployed APIs: see execute.h. */
#include "services/apigateway/execute.h"

#include "aws/ports/metric.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/rc.h"
#include "base/uri.h"

enum { ANSWER_HEADERS_SPARE = CORS_HEADERS_MAX + 2, FIND_MS = 5000 };

static const struct {
	unsigned status;
	str body;
} answers[] = {
	[ANSWER_BAD_REQUEST] = {400, STR_INIT("{\"message\":\"Bad Request\"}")},
	[ANSWER_FORBIDDEN] = {403, STR_INIT("{\"message\":\"Forbidden\"}")},
	[ANSWER_NOT_FOUND] = {404, STR_INIT("{\"message\":\"Not Found\"}")},
	[ANSWER_PAYLOAD_TOO_LARGE] = {413, STR_INIT("{\"message\":\"Request Entity Too Large\"}")},
	[ANSWER_HEAD_TOO_LARGE] = {431,
		STR_INIT("{\"message\":\"Request Header Fields Too Large\"}")},
	[ANSWER_INTERNAL_ERROR] = {500, STR_INIT("{\"message\":\"Internal Server Error\"}")},
	[ANSWER_UNAVAILABLE] = {503, STR_INIT("{\"message\":\"Service Unavailable\"}")},
	[ANSWER_TIMEOUT] = {504, STR_INIT("{\"message\":\"Endpoint request timed out\"}")},
};

/* ---- answers ---- */

static void count(struct execution *e, unsigned status)
{
	const struct port_metric *metric = e->gateway->options.ports->metric;
	const struct metric_dimension dimension = {STR("ApiId"), e->api ? e->api->id : STR("")};
	int64_t taken_ns = rt_now() - e->x->received_at;

	if (!metric || !e->api)
		return;
#define ADD(name, value, unit)                                                            \
	metric->add(metric->self, e->api->account, e->api->region, STR("AWS/ApiGateway"), \
		STR(name), &dimension, 1, (value), (unit), e->wall_ms)
	ADD("Count", 1, METRIC_COUNT);
	ADD("4xx", status >= 400 && status < 500, METRIC_COUNT);
	ADD("5xx", status >= 500, METRIC_COUNT);
	ADD("Latency", (double)taken_ns / 1e6, METRIC_MILLISECONDS);
#undef ADD
}

void execute_answer(
	struct execution *e, unsigned status, const struct http_header *headers, size_t n, str body)
{
	struct http_header *all =
		arena_new_array(&e->x->arena, struct http_header, n + ANSWER_HEADERS_SPARE);
	const struct cors *cors = e->api ? e->api->cors : NULL;
	size_t count_all = 0;

	for (size_t i = 0; i < n; i++)
		if (!cors || !cors_owns_header(headers[i].name))
			all[count_all++] = headers[i];
	if (cors)
		count_all += cors_headers(cors, &e->x->arena, e->origin, false, all + count_all);
	all[count_all++] =
		(struct http_header){.name = STR("Apigw-Requestid"), .value = e->request_id};
	int rc = http_respond(e->x, status, all, (unsigned)count_all, body);
	if (rc == ERR_INVALID && !http_responded(e->x)) { /* a header that HTTP cannot carry */
		status = answers[ANSWER_INTERNAL_ERROR].status;
		rc = http_respond(
			e->x, status, &all[count_all - 1], 1, answers[ANSWER_INTERNAL_ERROR].body);
	}
	(void)rc; /* the client may have left */
	count(e, status);
}

void execute_refuse(struct execution *e, enum gateway_answer answer)
{
	const struct http_header type = {
		.name = STR("Content-Type"), .value = STR("application/json")};

	execute_answer(e, answers[answer].status, &type, 1, answers[answer].body);
}

static void answer_preflight(struct execution *e)
{
	struct http_header headers[ANSWER_HEADERS_SPARE];
	size_t n = cors_headers(e->api->cors, &e->x->arena, e->origin, true, headers);

	headers[n++] = (struct http_header){.name = STR("Apigw-Requestid"), .value = e->request_id};
	if (http_respond(e->x, 204, headers, (unsigned)n, STR("")) >= 0)
		count(e, 204);
}

/* ---- stages ---- */

static str first_segment(str path)
{
	str rest = str_from(path, 1);
	ptrdiff_t slash = str_find(rest, '/');

	return slash < 0 ? rest : str_sub(rest, 0, (size_t)slash);
}

/*
 * The stage named by the first segment, which is taken off the path, or $default. In the path form
 * $default may be named, too, because clients build /_aws/execute-api/{api}/{stage}/...
 */
static const struct compiled_stage *find_stage(struct execution *e)
{
	str segment = first_segment(e->path), name;
	const struct compiled_stage *stage = NULL;

	if (uri_decode(&e->x->arena, segment, URI_PLAIN, &name) == 0 && name.n &&
		(e->match->by_path || !str_eq(name, STR("$default"))))
		stage = compiled_stage(e->api, name);
	if (!stage)
		return compiled_stage(e->api, STR("$default"));
	e->path = str_from(e->path, 1 + segment.n);
	if (!e->path.n)
		e->path = STR("/");
	return stage;
}

/* ---- the request ---- */

static bool head_too_large(const struct http_exchange *x)
{
	size_t n = x->method_text.n + x->target.n + 10;

	for (unsigned i = 0; i < x->header_count; i++)
		n += x->headers[i].name.n + x->headers[i].value.n;
	return n > APIGATEWAY_MAX_HEAD_BYTES;
}

static str new_request_id(struct arena *a)
{
	const uint64_t random[2] = {rt_random(), rt_random()};
	char *text = arena_bytes(a, 16);

	/* 11 bytes are 16 characters of base64, of which the last is '='. */
	return str_of(text, base64_encode(str_of(random, 11), text));
}

static str new_trace(struct arena *a, int64_t wall_ms)
{
	return arena_printf(a, "Root=1-%08llx-%016llx%08llx", (unsigned long long)(wall_ms / 1000),
		(unsigned long long)rt_random(), (unsigned long long)(rt_random() >> 32));
}

static void make_headers(struct execution *e)
{
	struct http_exchange *x = e->x;
	ptrdiff_t colon = str_find_last(e->match->host, ':');
	str port = colon > 0 ? str_from(e->match->host, (size_t)colon + 1) : STR_NULL;
	uint64_t number;
	struct event_origin origin = {.source_ip = e->source_ip,
		.port = port.n && str_to_u64(port, 65535, &number) == 0 ? port
			: x->secure                                     ? STR("443")
									: STR("80"),
		.protocol = x->secure ? STR("https") : STR("http"),
		.trace = new_trace(&x->arena, e->wall_ms),
		.body_bytes = (int64_t)e->body.n};

	event_headers(
		&x->arena, x->headers, x->header_count, &origin, &e->headers, &e->header_count);
}

static int find_api(struct execution *e)
{
	struct gateway_loop *loop = gateway_loop(e->gateway);
	struct kv *kv = atomic_load(&e->gateway->kv);

	if (!kv)
		return ERR_BUSY;
	return compiled_find(&loop->cache, kv, e->gateway->generations, e->match->id,
		rt_after_ms(FIND_MS), &e->api);
}

bool execute_may_log(struct execution *e)
{
	struct gateway_loop *loop = gateway_loop(e->gateway);
	int64_t now = rt_now_coarse();

	if (now < loop->quiet_until)
		return false;
	loop->quiet_until = now + RT_NS_S;
	return true;
}

static void run_integration(struct execution *e)
{
	const struct router_route *route = e->route.route;

	if (route->integration >= e->stage->integration_count) {
		execute_refuse(e, ANSWER_INTERNAL_ERROR); /* a route without a target */
		return;
	}
	e->integration = &e->stage->integrations[route->integration];
	switch (e->integration->kind) {
	case INTEGRATION_FUNCTION: execute_function(e); return;
	case INTEGRATION_URL: execute_proxy(e); return;
	case INTEGRATION_BROKEN: break;
	}
	if (execute_may_log(e))
		log_warn("apigateway", "integration cannot be used", "api=%.*s route=%.*s why=%s",
			STR_ARG(e->api->id), STR_ARG(route->key), e->integration->broken);
	execute_refuse(e, ANSWER_INTERNAL_ERROR);
}

static void execute(struct execution *e)
{
	struct http_exchange *x = e->x;
	int rc;

	if (head_too_large(x)) {
		execute_refuse(e, ANSWER_HEAD_TOO_LARGE);
		return;
	}
	rc = find_api(e);
	if (rc <= 0 || e->api->disabled) {
		execute_refuse(e, rc < 0 ? ANSWER_UNAVAILABLE : ANSWER_NOT_FOUND);
		return;
	}
	if (e->api->cors && cors_is_preflight(x->method_text, e->origin,
				    http_header_find(x, STR("access-control-request-method")))) {
		answer_preflight(e);
		return;
	}
	e->stage = find_stage(e);
	if (!e->stage || !e->stage->router) {
		execute_refuse(e, ANSWER_NOT_FOUND);
		return;
	}
	rc = router_find(e->stage->router, &x->arena, x->method_text, e->path, &e->route);
	if (rc <= 0) {
		execute_refuse(e, rc < 0 ? ANSWER_BAD_REQUEST : ANSWER_NOT_FOUND);
		return;
	}
	rc = http_body_all(x, APIGATEWAY_MAX_PAYLOAD_BYTES, &e->body);
	if (rc < 0) {
		execute_refuse(
			e, rc == ERR_TOO_LARGE ? ANSWER_PAYLOAD_TOO_LARGE : ANSWER_BAD_REQUEST);
		return;
	}
	make_headers(e);
	run_integration(e);
}

void execute_serve(void *self, struct http_exchange *x, const struct host_match *match)
{
	struct compiled_api *api cleanup(compiled_unref_p) = NULL;
	char peer[RT_ADDRESS_TEXT];
	struct execution e = {.gateway = self,
		.x = x,
		.match = match,
		.path = match->path.n ? match->path : STR("/"),
		.request_id = new_request_id(&x->arena),
		.origin = http_header_get(x, HTTP_NAME_ORIGIN),
		.wall_ms = rt_wall() / RT_NS_MS};

	e.source_ip = arena_str(&x->arena, rt_address_ip_text(http_peer(x), peer));
	execute(&e);
	api = e.api;
}
