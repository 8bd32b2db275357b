/*
 * The gate (gate.h): registration, and the order of the stages. What each stage does is in
 * gate_route.c, gate_auth.c, gate_render.c, codec_*.c and validate.c.
 */
#include "aws/gate_internal.h"
#include "aws/ports/call.h"
#include "aws/validate.h"
#include "base/check.h"
#include "base/gzip.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/rc.h"

/* ---- faults ---- */

#define GATE_FAULT(id, json, query, status, rest, side, retry) \
	{json, status, FAULT_##side, FAULT_##retry},
static const struct fault_kind json_faults[] = {
#include "aws/faults.def"
};
#undef GATE_FAULT
#define GATE_FAULT(id, json, query, status, rest, side, retry) \
	{json, rest, FAULT_##side, FAULT_##retry},
static const struct fault_kind rest_faults[] = {
#include "aws/faults.def"
};
#undef GATE_FAULT
#define GATE_FAULT(id, json, query, status, rest, side, retry) \
	{query, status, FAULT_##side, FAULT_##retry},
static const struct fault_kind query_faults[] = {
#include "aws/faults.def"
};
#undef GATE_FAULT

#define XML_FAULT(id, code, status, side, retry) \
	[GATE_##id] = {code, status, FAULT_##side, FAULT_##retry},
static const struct fault_kind xml_faults[] = {
#include "aws/faults_xml.def"
};
#undef XML_FAULT

const struct fault_kind *gate_fault_kind(enum gate_fault fault, const struct model *m)
{
	if (m && m->protocol == PROTOCOL_REST_XML)
		return &xml_faults[fault];
	if (!m || m->protocol == PROTOCOL_REST_JSON)
		return &rest_faults[fault];
	return m->protocol == PROTOCOL_QUERY ? &query_faults[fault] : &json_faults[fault];
}

bool gate_fault_is_own(const struct fault_kind *kind)
{
	return (kind >= json_faults && kind < json_faults + ARRAY_SIZE(json_faults)) ||
	       (kind >= rest_faults && kind < rest_faults + ARRAY_SIZE(rest_faults)) ||
	       (kind >= query_faults && kind < query_faults + ARRAY_SIZE(query_faults)) ||
	       (kind >= xml_faults && kind < xml_faults + ARRAY_SIZE(xml_faults));
}

static int refuse_v(struct call *c, enum gate_fault fault, const char *format, va_list args)
{
	return fault_vset(&c->fault, c->arena,
		gate_fault_kind(fault, c->service ? c->service->model : NULL), format, args);
}

int(call_refuse)(struct call *c, enum gate_fault fault, const char *format, ...)
{
	va_list args;
	int rc;

	va_start(args, format);
	rc = refuse_v(c, fault, format, args);
	va_end(args);
	return rc;
}

int(gate_refuse)(struct gate_pass *p, enum gate_fault fault, const char *format, ...)
{
	va_list args;
	int rc;

	va_start(args, format);
	rc = refuse_v(p->call, fault, format, args);
	va_end(args);
	return rc;
}

int(call_fault)(struct call *c, const struct fault_kind *kind, const char *format, ...)
{
	va_list args;
	int rc;

	check(c->magic == CALL_MAGIC);
	va_start(args, format);
	rc = fault_vset(&c->fault, c->arena, kind, format, args);
	va_end(args);
	return rc;
}

/* A broken constraint or a body of a wrong form has the name that the service gives it. */
static int refuse_input(struct call *c, enum gate_fault fault, const char *code, str message)
{
	struct fault_kind *kind = arena_new(c->arena, struct fault_kind);

	*kind = *gate_fault_kind(fault, c->service->model);
	kind->code = code;
	c->fault = (struct fault){.kind = kind, .message = message};
	return ERR_FAULT;
}

/* ---- the parts of a request ---- */

/* Those that the HTTP layer does not recognise by itself, or whose caller did not ask it to. */
static str *head_named(struct gate_heads *h, str name)
{
	const struct {
		str name;
		str *to;
	} wanted[] = {
		{STR("x-amz-target"), &h->target},
		{STR("host"), &h->host},
		{STR("origin"), &h->origin},
		{STR("referer"), &h->referer},
		{STR("sec-fetch-site"), &h->fetch_site},
		{STR("content-type"), &h->content_type},
		{STR("content-encoding"), &h->content_encoding},
		{STR("accept-encoding"), &h->accept_encoding},
		{STR("access-control-request-method"), &h->request_method},
		{STR("access-control-request-headers"), &h->request_headers},
	};

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (name.n == wanted[i].name.n && str_eq_nocase(name, wanted[i].name))
			return wanted[i].to;
	return NULL;
}

void gate_heads_read(const struct gate_request *request, struct gate_heads *ret_heads)
{
	struct gate_heads h = {.target = STR_NULL};

	for (uint32_t i = 0; i < request->header_count; i++) {
		const struct http_header *at = &request->headers[i];
		str *to = NULL;

		switch (at->known) {
		case HTTP_NAME_X_AMZ_TARGET: to = &h.target; break;
		case HTTP_NAME_HOST: to = &h.host; break;
		case HTTP_NAME_ORIGIN: to = &h.origin; break;
		case HTTP_NAME_REFERER: to = &h.referer; break;
		case HTTP_NAME_SEC_FETCH_SITE: to = &h.fetch_site; break;
		case HTTP_NAME_CONTENT_TYPE: to = &h.content_type; break;
		case HTTP_NAME_CONTENT_ENCODING: to = &h.content_encoding; break;
		case HTTP_NAME_ACCEPT_ENCODING: to = &h.accept_encoding; break;
		case HTTP_NAME_OTHER: to = head_named(&h, at->name); break;
		default: break;
		}
		if (to && !to->p)
			*to = at->value;
	}
	*ret_heads = h;
}

str call_header_get(const struct call *c, str name)
{
	for (uint32_t i = 0; c->request && i < c->request->header_count; i++)
		if (str_eq_nocase(c->request->headers[i].name, name))
			return c->request->headers[i].value;
	return STR_NULL;
}

enum { EXTRA_HEADERS_MAX = 16 };

void call_header(struct call *c, str name, str value)
{
	check(c->extra_header_count < EXTRA_HEADERS_MAX);
	if (!c->extra_headers)
		c->extra_headers =
			arena_alloc(c->arena, EXTRA_HEADERS_MAX * sizeof(*c->extra_headers));
	c->extra_headers[c->extra_header_count++] =
		(struct http_header){.name = name, .value = value};
}

/* Of the services here only DynamoDB takes packed bodies. */
static bool is_packed(const struct gate_pass *p)
{
	const struct service *s = p->call->service;

	return s && s->model->crc32 && str_eq_nocase(p->heads.content_encoding, STR("gzip"));
}

/* Behind the signature, which is over the body as it was sent. */
static int unpack(struct gate_pass *p, size_t max)
{
	struct call *c = p->call;
	int rc;

	if (likely(!p->heads.content_encoding.n) || !is_packed(p))
		return 0;
	rc = gzip_unpack(c->arena, c->body, max, &c->body);
	if (rc == ERR_TOO_LARGE)
		return gate_refuse(p, GATE_TOO_LARGE,
			"Request must be smaller than %zu bytes for this operation", max);
	if (rc < 0)
		return gate_refuse(
			p, GATE_MALFORMED, "The request's body is not gzip as it should be.");
	return 0;
}

static void budget_add(struct arena *a, size_t bytes)
{
	a->budget_bytes += MIN(bytes, SIZE_MAX - a->budget_bytes); /* one without end stays so */
}

int gate_body(struct gate_pass *p, size_t max)
{
	const struct gate_request *r = p->request;
	int rc;

	if (p->body_read)
		return p->call->body.n <= max ? 0 : ERR_TOO_LARGE;
	if (p->heads.content_encoding.n && !is_packed(p) &&
		!str_eq_nocase(p->heads.content_encoding, STR("identity")))
		return gate_refuse(p, GATE_MEDIA_TYPE,
			"Bodies with Content-Encoding '%.*s' are not supported; send it plain.",
			(int)MIN(p->heads.content_encoding.n, (size_t)64),
			p->heads.content_encoding.p);
	if (r->body_length != UINT64_MAX && r->body_length > max)
		rc = ERR_TOO_LARGE;
	else
		rc = r->body(r->body_arg, max, &p->call->body);
	if (rc == ERR_TOO_LARGE)
		return gate_refuse(p, GATE_TOO_LARGE,
			"Request must be smaller than %zu bytes for this operation", max);
	if (rc == ERR_SYNTAX)
		return gate_refuse(
			p, GATE_MALFORMED, "The request's body is not chunked as it should be.");
	if (rc < 0)
		return gate_refuse(p, GATE_BODY_INCOMPLETE,
			"The request's body did not arrive: %s.", rc_text(rc));
	p->body_read = true;
	/* What an operation with large bodies is sent does not count as what it makes of it: the
	 * body, its growth when it came in chunks, and its binary values once more. */
	if (p->call->body.n > GATE_BODY_DEFAULT)
		budget_add(p->call->arena, 3 * p->call->body.n);
	return 0;
}

/* ---- the stages ---- */

static size_t body_max(const struct gate_pass *p)
{
	if (p->call->row->body_max)
		return p->call->row->body_max;
	return p->service->service->body_max ? p->service->service->body_max : GATE_BODY_DEFAULT;
}

static int decode(struct gate_pass *p)
{
	struct call *c = p->call;
	const struct model *m = c->service->model;
	struct value *in;
	str message = STR_NULL;
	int rc = 0;

	if (c->operation->output)
		c->out = value_new_shape(c->arena, m, c->operation->output);
	if (!c->operation->input)
		return 0;
	in = value_new_shape(c->arena, m, c->operation->input);
	if (m->protocol == PROTOCOL_QUERY) {
		rc = codec_query_read(in, p->form, &message);
	} else if (model_is_rest(m)) {
		uint32_t count;
		const struct http_header *headers = gate_headers(p, &count);

		rc = codec_rest_read(in, &p->labels, p->request->query, headers, count,
			c->row->flags & ROW_STREAM_BODY ? STR("") : c->body, &message);
	} else {
		rc = codec_json_read(in, c->body, &message);
	}
	if (rc < 0)
		return m->protocol == PROTOCOL_REST_XML && rc != ERR_SYNTAX
			       ? refuse_input(c, GATE_INVALID, m->validation_code, message)
			       : refuse_input(c, GATE_MALFORMED, m->serialization_code, message);
	c->in = in;
	return 0;
}

int gate_check_input(struct call *c)
{
	str message;

	if (c->in && validate(c->in, &message) < 0)
		return refuse_input(c, GATE_INVALID, c->service->model->validation_code, message);
	if (arena_over(c->arena))
		return ERR_BUDGET;
	return 0;
}

static int find(struct gate_pass *p)
{
	struct call *c = p->call;
	int rc = sigv4_parse(c->arena, &p->signed_, &p->auth, &p->signature_error);

	p->is_signed = rc > 0; /* malformed: refused below, in the service's own protocol */
	TRY(gate_find_service(p));
	c->service = p->service->service;
	c->self = c->service->self;
	return gate_find_operation(p);
}

int gate_handler_run(struct call *c)
{
	const struct gate_options *o = &c->gate->options;

	if (o->throttle && o->throttle(o->hook_arg, c) < 0)
		return call_refuse(c, GATE_THROTTLED, "Rate exceeded");
	TRY(c->row->handle(c));
	return c->raw_out.over ? ERR_TOO_LARGE : 0;
}

/* S3: who asks is known before the body, which may be large and is checked while it comes. */
static int authenticate_first(struct gate_pass *p)
{
	struct call *c = p->call;

	TRY(gate_authenticate(p));
	/* A body may take longer than what identities say of themselves is kept. */
	c->account = arena_str(c->arena, c->account);
	TRY(gate_stream_open(p));
	return c->row->flags & ROW_STREAM_BODY ? 0 : gate_stream_all(p, body_max(p));
}

static int authenticate(struct gate_pass *p)
{
	TRY(gate_check_signed(p));
	if (gate_is_s3(p))
		return authenticate_first(p);
	TRY(gate_body(p, body_max(p)));
	TRY(gate_authenticate(p));
	return unpack(p, body_max(p));
}

static int run(struct gate_pass *p)
{
	struct call *c = p->call;

	TRY(gate_check_browser(p));
	TRY(find(p));
	p->label.operation = model_str(c->service->model, c->operation->name);
	TRY(authenticate(p));
	p->label.account = c->account;
	if (c->row->flags & ROW_RAW_BODY) {
		buf_init(&c->raw_out, c->arena, GATE_ANSWER_MAX);
	} else {
		TRY(decode(p));
		TRY(gate_check_input(c));
	}
	TRY(gate_authorize(p));
	return gate_handler_run(c);
}

/* A negative rc that reached the top: what the client is told. */
void gate_fault_of_rc(struct call *c, int rc)
{
	str id = c->request_id;

	if (rc == ERR_FAULT && c->fault.kind)
		return;
	switch (rc) {
	case ERR_BUSY: (void)call_refuse(c, GATE_THROTTLED, "Rate exceeded"); return;
	case ERR_BUDGET:
		(void)call_refuse(c, GATE_BUDGET, "The request needs more memory than one may.");
		return;
	case ERR_TOO_LARGE:
		(void)call_refuse(c, GATE_TOO_LARGE, "The request or its answer is too large.");
		return;
	case ERR_TIMEOUT:
	case ERR_CANCELLED:
	case ERR_CLOSED:
	case ERR_NO_SPACE:
		(void)call_refuse(
			c, GATE_UNAVAILABLE, "%s (request %.*s)", rc_text(rc), STR_ARG(id));
		break;
	default:
		(void)call_refuse(c, GATE_INTERNAL,
			"The request %.*s failed because of an internal error.", STR_ARG(id));
		break;
	}
	log_error("gate", "operation failed", "rc=%s service=%s operation=%.*s request=%.*s",
		rc_name(rc), c->service ? c->service->model->name : "-",
		STR_ARG(c->operation ? model_str(c->service->model, c->operation->name) : STR("-")),
		STR_ARG(id));
}

void gate_begin_call(struct gate *g, struct arena *a, struct call *c)
{
	uint8_t bytes[16];
	char *id = arena_bytes(a, UUID_TEXT_BYTES);

	g->options.random(bytes, sizeof(bytes));
	uuid_v4_text(bytes, id);
	*c = (struct call){
		.magic = CALL_MAGIC,
		.gate = g,
		.ports = g->ports,
		.arena = a,
		.request_id = str_of(id, UUID_TEXT_BYTES),
		.region = g->options.region_default,
		.wall_ms = g->options.wall_ms(),
	};
}

void gate_handle(struct gate *g, struct arena *a, const struct gate_request *request,
	struct gate_response *ret_response)
{
	struct call c;
	struct gate_pass p = {
		.gate = g,
		.call = &c,
		.request = request,
		.signed_ = {.method = request->method,
			.path = request->path,
			.query = request->query,
			.headers = request->headers,
			.header_count = request->header_count},
		.operation = -1,
		.path = request->path,
	};
	int64_t begun = g->options.monotonic_ns();
	int rc;

	check(request->trust != NULL && request->body != NULL);
	gate_begin_call(g, a, &c);
	c.request = request;
	c.pass = &p;
	c.deadline_ns = begun + g->options.deadline_ms * 1000000;
	gate_heads_read(request, &p.heads);
	if (p.heads.request_method.p && str_eq(request->method, STR("OPTIONS"))) {
		rc = gate_check_browser(&p);
		if (rc >= 0 && p.cors) {
			gate_render_preflight(&p, ret_response);
			return;
		}
	}
	p.label.request_id = c.request_id;
	if (rt_fiber_self()) /* not in tests */
		rt_label_set(&p.label);
	rc = run(&p);
	if (rt_fiber_self())
		rt_label_set(NULL);
	if (rc < 0)
		gate_fault_of_rc(&c, rc);
	if (c.streaming)
		gate_stream_end(&p, rc, ret_response);
	else if (rc < 0)
		gate_render_fault(&p, ret_response);
	else
		gate_render_success(&p, ret_response);
	if (g->options.done)
		g->options.done(g->options.hook_arg, &c, ret_response->status,
			g->options.monotonic_ns() - begun);
}

/* ---- registration ---- */

struct gate *gate_new(const struct gate_options *options, struct ports *ports)
{
	struct gate *g = mem_new(struct gate);

	check(options->wall_ms && options->monotonic_ns && options->random && ports);
	g->options = *options;
	if (!g->options.deadline_ms)
		g->options.deadline_ms = 60 * 1000;
	if (!g->options.loops)
		g->options.loops = 1;
	if (!g->options.region_default.p)
		g->options.region_default = STR("us-east-1");
	g->ports = ports;
	g->loops = mem_new_array(struct gate_loop, g->options.loops);
	gate_provide_calls(g);
	return g;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->service_count; i++)
		mem_free(g->services[i].rows);
	if (g->ports->call == g->call)
		g->ports->call = NULL;
	mem_free(g->call);
	mem_free(g->loops);
	mem_free(g);
}

void gate_register(struct gate *g, const struct service *s)
{
	struct gate_service *to;

	check(g->service_count < GATE_SERVICES_MAX);
	to = &g->services[g->service_count++];
	*to = (struct gate_service){.service = s,
		.rows = mem_new_array(const struct operation_row *, s->model->operation_count)};
	for (size_t i = 0; i < s->row_count; i++) {
		int operation = model_operation(s->model, str_c(s->rows[i].name));

		if (operation < 0 || to->rows[operation])
			check_failed(__FILE__, __LINE__, s->rows[i].name,
				"the model has no such operation, or two rows have");
		to->rows[operation] = &s->rows[i];
	}
}
