/*
 * Operations that read durable executions: one, its history, its state, those of a function.
 *
 * Source: API Reference, the operation of each handler's name.
 */
#include "services/lambda/durable_api.h"

#include "aws/codec.h"
#include "base/check.h"
#include "services/lambda/durable_store.h"
#include "services/lambda/service.h"

enum { PAGE_DEFAULT = 100, PAGE_MOST = 1000, PAGE_BYTES = 6 * 1024 * 1024 };

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

#define REFUSE(c, ...) \
	lambda_fault_set(&(c)->fault, (c)->arena, LAMBDA_INVALID_PARAMETER, __VA_ARGS__)

/* MaxItems, where 0 is the default, and Marker. */
static int read_page(struct call *c, struct request_page *ret)
{
	TRY(request_page(c, PAGE_MOST, ret));
	if (!value_int(c->in, "MaxItems", 0))
		ret->max = PAGE_DEFAULT;
	return 0;
}

/* A Marker that is a number; `otherwise` without one. */
static int read_number(struct call *c, str after, uint64_t otherwise, uint64_t *ret)
{
	*ret = otherwise;
	if (after.p && (!str_take_be64(&after, ret) || after.n))
		return REFUSE(c, "The Marker is not valid.");
	return 0;
}

static void put_more(struct call *c, uint64_t last)
{
	value_put_str(c->out, "NextMarker", durable_marker(c->arena, last));
}

/* ---- GetDurableExecution ---- */

static void put_error(struct call *c, const struct durable_execution *x)
{
	struct value *e;

	if (!x->error.n)
		return;
	check(codec_json_load(c->arena, c->service->model, "ErrorObject", x->error, &e) == 0);
	value_put_copy(c->out, "Error", e);
}

int durable_get(struct call *c)
{
	bool data = value_bool(c->in, "IncludeExecutionData", true);
	struct durable_execution x;
	struct value *v;
	str text;

	TRY(durable_of_request(c, &x));
	value_put_str(c->out, "DurableExecutionArn", durable_arn(c->arena, &x));
	value_put_str(c->out, "DurableExecutionName", x.name);
	value_put_str(c->out, "FunctionArn", x.arn);
	value_put_str(c->out, "Status", durable_status_name(x.status));
	value_put_str(c->out, "Version", x.version);
	value_put_time_ms(c->out, "StartTimestamp", x.start_ms);
	if (x.end_ms)
		value_put_time_ms(c->out, "EndTimestamp", x.end_ms);
	if (x.trace.n)
		value_put_str(value_put_struct(c->out, "TraceHeader"), "XAmznTraceId", x.trace);
	v = value_put_struct(c->out, "DurableConfig");
	value_put_int(v, "ExecutionTimeout", x.timeout_s);
	value_put_int(v, "RetentionPeriodInDays", x.retention_days);
	value_put_bool(c->out, "ExecutionDataIncluded", data);
	if (!data)
		return 0;
	TRY(durable_text(self(c), c->arena, &x, DURABLE_INPUT, &text));
	value_put_str(c->out, "InputPayload", text);
	if (x.has_result) {
		TRY(durable_text(self(c), c->arena, &x, DURABLE_RESULT, &text));
		value_put_str(c->out, "Result", text);
	}
	put_error(c, &x);
	return 0;
}

/* ---- GetDurableExecutionHistory ---- */

struct history {
	struct call *call;
	struct value *list;
	str input, result;
	bool data;
	uint32_t count, max;
	size_t bytes;
	uint64_t last;
	bool more;
};

static int add_event(void *arg, uint64_t number, str record)
{
	struct history *h = arg;

	h->bytes += h->data ? record.n : 0;
	if (h->count == h->max || (h->count && h->bytes > PAGE_BYTES)) {
		h->more = true;
		return 0;
	}
	TRY(durable_render_event(
		h->call->arena, record, h->data, h->input, h->result, value_add_struct(h->list)));
	h->last = number;
	h->count++;
	return 1;
}

int durable_history(struct call *c)
{
	bool reverse = value_bool(c->in, "ReverseOrder", false);
	struct history h = {.call = c,
		.data = value_bool(c->in, "IncludeExecutionData", true),
		.input = STR_NULL,
		.result = STR_NULL};
	struct durable_execution x;
	struct request_page page;
	uint64_t last;

	TRY(durable_of_request(c, &x));
	TRY(read_page(c, &page));
	TRY(read_number(c, page.after, reverse ? UINT64_MAX : 0, &last));
	if (h.data) {
		TRY(durable_text(self(c), c->arena, &x, DURABLE_INPUT, &h.input));
		if (x.has_result)
			TRY(durable_text(self(c), c->arena, &x, DURABLE_RESULT, &h.result));
	}
	h.max = page.max;
	h.list = value_put_list(c->out, "Events");
	if (reverse && last <= 1)
		return 0; /* behind the first event */
	TRY(durable_each_event(self(c), c->arena, &x.key,
		!reverse             ? last + 1
		: last == UINT64_MAX ? UINT64_MAX
				     : last - 1,
		reverse, add_event, &h));
	if (h.more)
		put_more(c, h.last);
	return 0;
}

/* ---- GetDurableExecutionState ---- */

struct state {
	struct call *call;
	const struct durable_key *key;
	struct value *list;
	uint32_t count, max;
	size_t bytes;
	uint64_t last;
	bool more;
};

static int add_operation(void *arg, const struct durable_operation *op)
{
	struct state *s = arg;

	s->bytes += op->result.n + op->error.n;
	if (s->count == s->max || (s->count && s->bytes > PAGE_BYTES)) {
		s->more = true;
		return 0;
	}
	durable_render_operation(s->call->arena, s->key, op, value_add_struct(s->list));
	s->last = op->seq;
	s->count++;
	return 1;
}

int durable_state(struct call *c)
{
	struct lambda_service *service = self(c);
	struct state s = {.call = c};
	struct durable_execution x;
	struct request_page page;
	str token = value_str(c->in, "CheckpointToken"), input;

	TRY(durable_of_request(c, &x));
	TRY(read_page(c, &page));
	if (!x.token.n || !str_eq_secret(x.token, token))
		return REFUSE(c, "Invalid Checkpoint Token");
	TRY(read_number(c, page.after, 0, &s.last));
	s.key = &x.key;
	s.max = page.max;
	s.list = value_put_list(c->out, "Operations");
	if (!page.after.p) {
		TRY(durable_text(service, c->arena, &x, DURABLE_INPUT, &input));
		durable_render_execution(&x, input, value_add_struct(s.list));
		s.bytes = input.n;
		s.count = 1;
	}
	TRY(durable_each_operation(service, c->arena, &x.key, s.last, add_operation, &s));
	if (s.more)
		put_more(c, s.last);
	return 0;
}

/* ---- ListDurableExecutionsByFunction ---- */

struct listing {
	struct call *call;
	struct value *list;
	str version, name; /* STR_NULL: any */
	uint32_t statuses; /* bits; 0: any */
	int64_t after_ms, before_ms;
	uint32_t count, max, looked_at;
	str last; /* that was looked at */
	bool more;
};

static bool matches(const struct listing *l, const struct durable_execution *x)
{
	return (!l->version.p || str_eq(l->version, x->version)) &&
	       (!l->name.p || str_eq(l->name, x->name)) &&
	       (!l->statuses || l->statuses >> x->status & 1) && x->start_ms > l->after_ms &&
	       x->start_ms < l->before_ms;
}

static int add_execution(void *arg, const struct durable_execution *x)
{
	struct listing *l = arg;
	struct value *v;

	if (l->count == l->max || l->looked_at == LAMBDA_DURABLE_LOOKED_AT_MAX) {
		l->more = true;
		return 0;
	}
	l->looked_at++;
	l->last = x->key.run;
	if (!matches(l, x))
		return 1;
	v = value_add_struct(l->list);
	value_put_str(v, "DurableExecutionArn", durable_arn(l->call->arena, x));
	value_put_str(v, "DurableExecutionName", x->name);
	value_put_str(v, "FunctionArn", x->arn);
	value_put_str(v, "Status", durable_status_name(x->status));
	value_put_time_ms(v, "StartTimestamp", x->start_ms);
	if (x->end_ms)
		value_put_time_ms(v, "EndTimestamp", x->end_ms);
	l->count++;
	return 1;
}

int durable_list(struct call *c)
{
	struct listing l = {.call = c,
		.version = STR_NULL,
		.name = value_str(c->in, "DurableExecutionName"),
		.after_ms = value_time_ms(c->in, "StartedAfter", INT64_MIN),
		.before_ms = value_time_ms(c->in, "StartedBefore", INT64_MAX)};
	const struct value *statuses = value_get(c->in, "Statuses");
	struct request_page page;
	struct function f;

	TRY(request_function(c, true, &f));
	TRY(read_page(c, &page));
	if (page.after.p && page.after.n != DURABLE_RUN_BYTES)
		return REFUSE(c, "The Marker is not valid.");
	if (f.qualifier.p)
		l.version = f.version;
	for (uint32_t i = 0; i < value_count(statuses); i++)
		l.statuses |= 1u << durable_status_named(value_text(value_at(statuses, i)));
	l.max = page.max;
	l.list = value_put_list(c->out, "DurableExecutions");
	TRY(durable_each(self(c), c->arena, f.account, f.region, f.name, page.after,
		value_bool(c->in, "ReverseOrder", false), add_execution, &l));
	if (l.more)
		request_page_more(c, l.last);
	return 0;
}
