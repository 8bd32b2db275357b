/*
 * Requests to function URLs: cross-origin rules, who may call, the event (payload format 2.0), the
 * answer, whole or streamed.
 *
 *     AuthType NONE     anybody, if the resource policy says so for InvokeFunctionUrl and
 *                       InvokeFunction; in open mode also where there is no policy at all
 *     AuthType AWS_IAM  signed for "lambda", by who may do both
 *
 * Source: Developer Guide, "Invoking Lambda function URLs", "Control access to Lambda function
 * URLs", "Monitoring Lambda function URLs"; payload format: see aws/http_event.h.
 */
#include "aws/http_event.h"
#include "aws/policy.h"
#include "aws/ports/call.h"
#include "base/check.h"
#include "base/json.h"
#include "http/http.h"
#include "rt/rt.h"
#include "services/lambda/figures.h"
#include "services/lambda/store.h"
#include "services/lambda/url.h"

enum { EVENT_BYTES_MAX = 16 * 1024 * 1024, HEADERS_SPARE = CORS_HEADERS_MAX + 2 };

#define STREAM_TYPE "application/vnd.awslambda.http-integration-response"

struct url_request {
	struct lambda_service *service;
	struct http_exchange *x;
	const struct host_match *match;
	struct url_config url;
	str body, origin, source_ip, request_id, trace;
	str account;    /* of the caller: "anonymous", or 12 digits */
	str authorizer; /* STR_NULL: none */
	unsigned status;
	/* Streaming. */
	struct buf head; /* of the answer, while it is not whole */
	bool has_head, begun;
	str content_type;
};

/* ---- answers ---- */

/* The headers of an answer with what the configuration adds; room for `n` + HEADERS_SPARE. */
static unsigned answer_headers(
	struct url_request *r, const struct http_header *headers, size_t n, struct http_header *to)
{
	const struct cors *cors = r->url.cors;
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		if (!cors || !cors_owns_header(headers[i].name))
			to[count++] = headers[i];
	if (cors)
		count += cors_headers(cors, &r->x->arena, r->origin, false, to + count);
	to[count++] = (struct http_header){.name = STR("x-amzn-RequestId"), .value = r->request_id};
	to[count++] = (struct http_header){.name = STR("X-Amzn-Trace-Id"), .value = r->trace};
	return (unsigned)count;
}

static void answer(struct url_request *r, unsigned status, const struct http_header *headers,
	size_t n, str body)
{
	struct http_header *all =
		arena_new_array(&r->x->arena, struct http_header, n + HEADERS_SPARE);
	unsigned count = answer_headers(r, headers, n, all);

	r->status = status;
	/* A header that HTTP cannot carry is refused before anything is sent. */
	if (http_respond(r->x, status, all, count, body) == ERR_INVALID && !http_responded(r->x)) {
		r->status = 502;
		(void)!http_respond(r->x, 502, NULL, 0, STR("Internal Server Error"));
	}
}

/*
 * What the function returned. A body without a type is JSON here, where an HTTP API says text: seen
 * in answers of AWS, not documented.
 */
static void answer_parsed(struct url_request *r, const struct event_answer *a)
{
	struct http_header *headers =
		arena_new_array(&r->x->arena, struct http_header, a->header_count + 1);

	for (size_t i = 0; i < a->header_count; i++)
		headers[i] = a->headers[i];
	if (a->type_assumed)
		headers[a->header_count - 1].value = STR("application/json");
	answer(r, a->status, headers, a->header_count, a->body);
}

/* 502 has no object, but its bare text: the function failed, or what it returned is no answer. */
static void refuse_answer(struct url_request *r)
{
	const struct http_header type = {
		.name = STR("Content-Type"), .value = STR("application/json")};

	answer(r, 502, &type, 1, STR("Internal Server Error"));
}

static void refuse(struct url_request *r, unsigned status, const char *message)
{
	const struct http_header headers[] = {
		{.name = STR("Content-Type"), .value = STR("application/json")},
		{.name = STR("x-amzn-ErrorType"), .value = STR("AccessDeniedException")}};

	answer(r, status, headers, status == 403 ? 2 : 1,
		ARENA_CONCAT(&r->x->arena, STR("{\"Message\":\""), str_c(message), STR("\"}")));
}

/* ---- who may call ---- */

static str resource(const struct url_request *r, struct arena *a)
{
	const struct function_name *f = &r->url.function;

	return function_arn(a, f->account, f->region, f->name, f->qualifier);
}

int url_context(
	struct call *c, str action unused_arg, str arn unused_arg, struct policy_context *context)
{
	/* Only calls by a URL have no operation. */
	if (!c->operation) {
		policy_context_add(context, STR("lambda:FunctionUrlAuthType"), STR("AWS_IAM"));
		policy_context_add(context, STR("lambda:InvokedViaFunctionUrl"), STR("true"));
	}
	return 0;
}

static void put_identity(struct url_request *r, const struct principal *who)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, &r->x->arena, 16384);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key(&w, STR("iam"));
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("accessKey"), who->access_key);
	json_put_key_string(&w, STR("accountId"), who->account);
	json_put_key_string(&w, STR("callerId"), who->user_id);
	json_put_key(&w, STR("cognitoIdentity"));
	json_put_null(&w);
	json_put_key(&w, STR("principalOrgId"));
	json_put_null(&w);
	json_put_key_string(&w, STR("userArn"), who->arn);
	json_put_key_string(&w, STR("userId"), who->user_id);
	json_put_object_end(&w);
	json_put_object_end(&w);
	r->authorizer = b.over ? STR_NULL : buf_str(&b);
	r->account = who->account;
}

static int body_of(void *arg, size_t max unused_arg, str *ret_body)
{
	*ret_body = ((struct url_request *)arg)->body;
	return 0;
}

/* 0, or ERR_FAULT. */
static int may_signer(struct url_request *r)
{
	const struct port_call *port = r->service->ports->call;
	struct http_exchange *x = r->x;
	const struct gate_request request = {.method = x->method_text,
		.path = x->path,
		.query = x->query,
		.headers = x->headers,
		.header_count = x->header_count,
		.peer = r->source_ip,
		.trust = r->match->trust,
		.body = body_of,
		.body_arg = r,
		.body_length = r->body.n,
		.exchange = x};
	struct call call;
	str arn = resource(r, &x->arena);

	TRY(port->identify(port->self, &x->arena, &r->service->rows, &request, r->body, &call));
	call.region = r->url.function.region;
	TRY(call_authorize(&call, STR("lambda:InvokeFunctionUrl"), arn));
	TRY(call_authorize(&call, STR("lambda:InvokeFunction"), arn));
	put_identity(r, call.principal);
	return 0;
}

/* 1 yes, 0 no. */
static int may_anybody(struct url_request *r)
{
	const struct principal anybody = {
		.kind = PRINCIPAL_ANONYMOUS, .account = STR("anonymous"), .arn = STR("*")};
	struct arena *a = &r->x->arena;
	struct policy_context *context = arena_new(a, struct policy_context);
	struct policy_request request = {
		.resource = resource(r, a), .principal = &anybody, .context = context};
	struct policy *policy;

	context->arena = a;
	policy_context_add(context, STR("lambda:FunctionUrlAuthType"), STR("NONE"));
	policy_context_add(context, STR("lambda:InvokedViaFunctionUrl"), STR("true"));
	policy_context_add(context, STR("aws:SourceIp"), r->source_ip);
	r->account = STR("anonymous");
	if (TRY(policy_load(r->service, a, &r->url.function, &policy)) == 0)
		return !r->service->options.auth_strict;
	request.action = STR("lambda:InvokeFunctionUrl");
	if (policy_evaluate(policy, &request, NULL) != POLICY_ALLOW)
		return 0;
	request.action = STR("lambda:InvokeFunction");
	return policy_evaluate(policy, &request, NULL) == POLICY_ALLOW;
}

static int may_call(struct url_request *r)
{
	int rc;

	if (!r->url.iam)
		return may_anybody(r);
	rc = may_signer(r);
	return rc == ERR_FAULT ? 0 : rc < 0 ? rc : 1;
}

/* ---- the event ---- */

static str render_event(struct url_request *r)
{
	struct http_exchange *x = r->x;
	str host = r->match->host;
	ptrdiff_t colon = str_find_last(host, ':');
	struct event_origin origin = {.source_ip = r->source_ip,
		.port = colon > 0   ? str_from(host, (size_t)colon + 1)
			: x->secure ? STR("443")
				    : STR("80"),
		.protocol = x->secure ? STR("https") : STR("http"),
		.trace = r->trace,
		.body_bytes = r->body.n || http_header_get(x, HTTP_NAME_CONTENT_LENGTH).p
				      ? (int64_t)r->body.n
				      : -1};
	struct event_request event = {.account = r->account,
		.api_id = r->match->id,
		.stage = STR("$default"),
		.route_key = STR("$default"),
		.method = x->method_text,
		.path = r->match->path.n ? r->match->path : STR("/"),
		.query = x->query,
		.protocol = x->http_1_0 ? STR("HTTP/1.0") : STR("HTTP/1.1"),
		.domain_name = colon > 0 ? str_sub(host, 0, (size_t)colon) : host,
		.domain_prefix = r->match->id,
		.source_ip = r->source_ip,
		.user_agent = http_header_find(x, STR("User-Agent")),
		.request_id = r->request_id,
		.authorizer = r->authorizer,
		.time_ms = rt_wall() / RT_NS_MS,
		.body = r->body};
	struct buf out;

	event_headers(&x->arena, x->headers, x->header_count, &origin, &event.headers,
		&event.header_count);
	buf_init(&out, &x->arena, EVENT_BYTES_MAX);
	event_render_2(&out, &x->arena, &event);
	return out.over ? STR_NULL : buf_str(&out);
}

/* ---- streamed answers ---- */

static int begin_answer(struct url_request *r, const struct event_answer *a)
{
	struct http_header *all =
		arena_new_array(&r->x->arena, struct http_header, a->header_count + HEADERS_SPARE);
	unsigned n = answer_headers(r, a->headers, a->header_count, all);

	r->begun = true;
	r->status = a->status;
	return http_respond_begin(r->x, a->status, all, n, -1);
}

/* The head that a function writes itself; without a statusCode it is 200. */
static int begin_by_head(struct url_request *r, str head)
{
	struct event_answer a;
	str members = str_trim(head);

	if (!str_starts(members, STR("{")))
		return ERR_INVALID;
	members = str_trim(str_from(members, 1));
	/* Of equal members the last one counts. */
	head = ARENA_CONCAT(&r->x->arena, STR("{\"statusCode\":200"),
		str_starts(members, STR("}")) ? STR("") : STR(","), members);
	TRY(event_answer_parse(&r->x->arena, head, 2, &a));
	return begin_answer(r, &a);
}

static int begin_plain(struct url_request *r)
{
	const struct http_header type = {.name = STR("content-type"),
		.value = r->content_type.n ? r->content_type : STR("application/octet-stream")};
	const struct event_answer a = {.status = 200, .headers = &type, .header_count = 1};

	return begin_answer(r, &a);
}

static int on_begin(void *arg, str content_type)
{
	struct url_request *r = arg;

	r->content_type = arena_str(&r->x->arena, content_type);
	r->has_head = str_starts(r->content_type, STR(STREAM_TYPE));
	return 0;
}

static int on_part(void *arg, str part)
{
	struct url_request *r = arg;
	size_t head_bytes;
	str all;

	if (r->begun)
		return http_respond_write(r->x, part);
	if (!r->has_head) {
		TRY(begin_plain(r));
		return http_respond_write(r->x, part);
	}
	buf_put(&r->head, part);
	if (r->head.over)
		return ERR_TOO_LARGE;
	all = buf_str(&r->head);
	if (TRY(url_prelude_find(all, &head_bytes)) == 0)
		return 0;
	TRY(begin_by_head(r, str_sub(all, 0, head_bytes - 8)));
	return http_respond_write(r->x, str_from(all, head_bytes));
}

/* ---- the call ---- */

static void finish(struct url_request *r, int rc, const struct invoke_result *result)
{
	struct event_answer a;

	if (r->begun) {
		/* What has begun can only be cut short. */
		if (rc < 0 || result->function_error.n)
			http_respond_abort(r->x);
		else
			(void)!http_respond_end(r->x);
		return;
	}
	if (rc == ERR_FAULT && result->fault.kind == &lambda_faults[LAMBDA_TOO_MANY_REQUESTS])
		refuse(r, 429, "Too Many Requests");
	else if (rc == ERR_FAULT && result->fault.kind == &lambda_faults[LAMBDA_REQUEST_TOO_LARGE])
		refuse(r, 413, "Request Entity Too Large");
	else if (rc == ERR_FAULT && result->fault.kind == &lambda_faults[LAMBDA_NOT_FOUND])
		refuse(r, 404, "Not Found");
	else if (rc < 0 || result->function_error.n || result->streamed ||
		 event_answer_parse(&r->x->arena, result->payload, 2, &a) < 0)
		refuse_answer(r);
	else
		answer_parsed(r, &a);
}

static void call(struct url_request *r)
{
	const struct port_invoke *port = &r->service->invoke_port;
	struct invoke_request request = {.account = r->url.function.account,
		.region = r->url.function.region,
		.function = resource(r, &r->x->arena),
		.type = INVOKE_WAIT,
		.payload = render_event(r),
		.trace = r->trace,
		.deadline_ns = RT_NEVER};
	struct invoke_result result = {0};
	int rc;

	if (!request.payload.p) {
		refuse(r, 413, "Request Entity Too Large");
		return;
	}
	if (r->url.streams) {
		request.begin = on_begin;
		request.write = on_part;
		request.write_arg = r;
		buf_init(&r->head, &r->x->arena, 2 * URL_PRELUDE_BYTES_MAX);
	}
	rc = port->invoke(port->self, &r->x->arena, &request, &result);
	finish(r, rc, &result);
}

static void count(struct url_request *r)
{
	const struct function_name *f = &r->url.function;

	if (!f->name.p)
		return;
#define ADD(what, value, unit) \
	figures_add(r->service->ports, f->account, f->region, f->name, (what), (value), (unit))
	ADD("UrlRequestCount", 1, METRIC_COUNT);
	ADD("Url4xxCount", r->status >= 400 && r->status < 500, METRIC_COUNT);
	ADD("Url5xxCount", r->status >= 500, METRIC_COUNT);
	ADD("UrlRequestLatency", (double)(rt_now() - r->x->received_at) / 1e6, METRIC_MILLISECONDS);
#undef ADD
}

static void answer_preflight(struct url_request *r)
{
	struct http_header headers[CORS_HEADERS_MAX];
	size_t n = cors_headers(r->url.cors, &r->x->arena, r->origin, true, headers);

	r->status = 200;
	(void)!http_respond(r->x, 200, headers, (unsigned)n, STR(""));
}

static void serve(struct url_request *r)
{
	struct http_exchange *x = r->x;
	int rc = r->service->kv ? url_find(r->service, &x->arena, r->match->id, &r->url) : ERR_BUSY;

	if (rc <= 0) {
		refuse(r, rc < 0 ? 503 : 404, rc < 0 ? "Service Unavailable" : "Not Found");
		return;
	}
	if (r->url.cors && cors_is_preflight(x->method_text, r->origin,
				   http_header_find(x, STR("access-control-request-method")))) {
		answer_preflight(r);
		return;
	}
	rc = http_body_all(x, LAMBDA_PAYLOAD_BYTES_MAX, &r->body);
	if (rc < 0) {
		refuse(r, rc == ERR_TOO_LARGE ? 413 : 400,
			rc == ERR_TOO_LARGE ? "Request Entity Too Large" : "Bad Request");
		return;
	}
	rc = may_call(r);
	if (rc > 0)
		call(r);
	else
		refuse(r, rc < 0 ? 503 : 403,
			rc < 0 ? "Service Unavailable"
			       : "Forbidden. For troubleshooting Function URL authorization "
				 "issues, see: "
				 "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html");
}

static str new_trace(struct arena *a)
{
	return arena_printf(a, "Root=1-%08llx-%016llx%08llx",
		(unsigned long long)(rt_wall() / RT_NS_S), (unsigned long long)rt_random(),
		(unsigned long long)(rt_random() >> 32));
}

void url_serve(void *self, struct http_exchange *x, const struct host_match *match)
{
	struct lambda_service *s = check_object(self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	str trace = http_header_find(x, STR("X-Amzn-Trace-Id"));
	char peer[RT_ADDRESS_TEXT];
	struct url_request r = {.service = s,
		.x = x,
		.match = match,
		.origin = http_header_get(x, HTTP_NAME_ORIGIN),
		.request_id = lambda_uuid(&x->arena),
		.trace = trace.n ? trace : new_trace(&x->arena)};

	r.source_ip = arena_str(&x->arena, rt_address_ip_text(http_peer(x), peer));
	serve(&r);
	count(&r);
}
