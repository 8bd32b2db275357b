/*
 * The call port (ports/call.h): operations from inside the process, through validation,
 * authorization and the same handlers, without HTTP and signatures.
 */
#include "aws/codec.h"
#include "aws/gate_internal.h"
#include "aws/ports/call.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rc.h"

static const struct gate_service *service_named(const struct gate *g, const char *name)
{
	for (size_t i = 0; i < g->service_count; i++)
		if (strcmp(g->services[i].service->model->name, name) == 0)
			return &g->services[i];
	return NULL;
}

/* The operation's index; an unknown one is our own bug, except a service that does not run. */
static int operation_of(const struct gate_service *s, const char *operation)
{
	int found = model_operation(s->service->model, str_c(operation));

	if (found < 0)
		check_failed(__FILE__, __LINE__, operation, "the model has no such operation");
	return found;
}

static struct value *call_input(
	void *self, struct arena *a, const char *service, const char *operation)
{
	const struct model *m = model_named(str_c(service));
	int found;

	(void)self;
	check(m != NULL);
	found = model_operation(m, str_c(operation));
	check(found >= 0 && m->operations[found].input);
	return value_new_shape(a, m, m->operations[found].input);
}

/* The member that is the whole body: a blob. */
static str payload_of(const struct value *in)
{
	const struct model *m = in->tree->model;
	const struct model_member *member = &m->members[m->shapes[in->shape].first];

	for (unsigned i = 0; i < in->n; i++, member++)
		if (member->flags & MEMBER_PAYLOAD && in->items[i].kind == SHAPE_BLOB)
			return in->items[i].s;
	return STR("");
}

static int run_row(struct gate_pass *p, const struct value *in)
{
	struct call *c = p->call;
	const struct model *m = c->service->model;
	struct buf body;
	str message;

	c->in = in;
	TRY(gate_check_input(c));
	if (c->operation->output)
		c->out = value_new_shape(c->arena, m, c->operation->output);
	if (c->row->flags & ROW_RAW_BODY) {
		buf_init(&body, c->arena, GATE_ANSWER_MAX);
		buf_init(&c->raw_out, c->arena, GATE_ANSWER_MAX);
		if (in)
			codec_json_write(&body, in);
		c->body = buf_str(&body);
		c->in = NULL;
	}
	if (c->row->flags & ROW_STREAM_BODY) {
		c->body = payload_of(in);
		p->stream.length = c->body.n;
	}
	TRY(gate_authorize(p));
	TRY(gate_handler_run(c));
	if ((c->row->flags & ROW_RAW_BODY) && c->out &&
		codec_json_read(c->out, buf_str(&c->raw_out), &message) < 0)
		return ERR_INTERNAL;
	return 0;
}

static int call_call(void *self, struct arena *a, const char *service, const char *operation,
	const struct principal *as, str region, const struct value *in,
	const struct value **ret_out, struct fault *ret_fault)
{
	struct gate *g = self;
	const struct gate_service *s = service_named(g, service);
	struct call c;
	struct gate_pass p = {.gate = g, .call = &c, .service = s, .path = STR("/")};
	int64_t begun = g->options.monotonic_ns();
	int rc;

	gate_begin_call(g, a, &c);
	c.pass = &p;
	c.deadline_ns = begun + g->options.deadline_ms * 1000000;
	c.principal = as;
	c.account = as->account;
	c.region = region;
	if (s) {
		c.service = s->service;
		c.self = s->service->self;
		p.operation = operation_of(s, operation);
		c.operation = &c.service->model->operations[p.operation];
		c.row = s->rows[p.operation];
		c.status = c.operation->status;
	}
	if (!s || !c.row)
		rc = call_refuse(&c, GATE_NOT_IMPLEMENTED, "cirrus does not implement %s %s.",
			service, operation);
	else
		rc = run_row(&p, in);
	if (rc < 0)
		gate_fault_of_rc(&c, rc);
	if (g->options.done)
		g->options.done(g->options.hook_arg, &c, rc < 0 ? c.fault.kind->status : c.status,
			g->options.monotonic_ns() - begun);
	if (rc < 0) {
		*ret_fault = c.fault;
		return ERR_FAULT;
	}
	*ret_out = c.out;
	return 0;
}

static int call_identify(void *self, struct arena *a, const struct service *service,
	const struct gate_request *request, str body, struct call *ret_call)
{
	struct gate *g = self;
	struct gate_pass *p = arena_new(a, struct gate_pass);
	int rc;

	gate_begin_call(g, a, ret_call);
	ret_call->service = service;
	ret_call->self = service->self;
	ret_call->request = request;
	ret_call->body = body;
	ret_call->deadline_ns = g->options.monotonic_ns() + g->options.deadline_ms * 1000000;
	/* The call's principal is in it. */
	*p = (struct gate_pass){.gate = g,
		.call = ret_call,
		.request = request,
		.operation = -1,
		.signed_ = {request->method, request->path, request->query, request->headers,
			request->header_count}};
	rc = sigv4_parse(a, &p->signed_, &p->auth, &p->signature_error);
	if (rc == 0)
		return gate_refuse(p, GATE_MISSING_TOKEN, "Missing Authentication Token");
	if (rc < 0)
		return gate_refuse(
			p, GATE_INCOMPLETE_SIGNATURE, "%.*s", STR_ARG(p->signature_error.message));
	if (!str_eq(p->auth.service, str_c(service->model->signing_name)))
		return gate_refuse(p, GATE_INVALID_SIGNATURE,
			"Credential should be scoped to correct service: '%s'.",
			service->model->signing_name);
	p->is_signed = true;
	return gate_authenticate(p);
}

void gate_provide_calls(struct gate *g)
{
	g->call = mem_new(struct port_call);
	*g->call = (struct port_call){
		.self = g, .input = call_input, .call = call_call, .identify = call_identify};
	g->ports->call = g->call;
}
