/*
 * Headers and segment documents.
 */
#include "services/lambda/trace.h"

#include "aws/ports/ports.h"
#include "aws/ports/trace.h"
#include "base/check.h"
#include "base/json.h"
#include "rt/rt.h"
#include "services/lambda/function.h"

#include <stdio.h>

enum { HEADER_BYTES_MAX = 8192, DOCUMENT_BYTES_MAX = 65536, SHARE = 20 /* one of so many: 5 % */ };

bool trace_takes(bool first_of_second, uint64_t random)
{
	return first_of_second || random % SHARE == 0;
}

/* ---- the header ---- */

static bool is_hex(str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return true;
}

/* "1-5759e988-bd862e3fe1be46a994272793" */
static bool is_root(str s)
{
	return s.n == TRACE_ROOT_CHARS && str_starts(s, STR("1-")) && s.p[10] == '-' &&
	       is_hex(str_sub(s, 2, 8)) && is_hex(str_from(s, 11));
}

static void copy_id(char *to, str id)
{
	memcpy(to, id.p, id.n);
	to[id.n] = 0;
}

static void put_id(char to[TRACE_ID_CHARS + 1], uint64_t id)
{
	snprintf(to, TRACE_ID_CHARS + 1, "%016llx", (unsigned long long)id);
}

static void put_root(char to[TRACE_ROOT_CHARS + 1], const struct trace_begin *b)
{
	uint64_t first = b->random(), second = b->random();

	snprintf(to, TRACE_ROOT_CHARS + 1, "1-%08llx-%08llx%016llx",
		(unsigned long long)b->wall_s & 0xffffffff, (unsigned long long)first >> 32,
		(unsigned long long)second);
}

/* Fields that are ours to write, whether or not what came in them was understood. */
static bool is_ours(str field)
{
	static const str names[] = {STR_INIT("Root="), STR_INIT("Parent="), STR_INIT("Sampled="),
		STR_INIT("Self="), STR_INIT("Lineage=")};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_starts(field, names[i]))
			return true;
	return false;
}

/* Takes what we know out of the header; the rest goes into `others`. -1: not decided. */
static int read_header(str header, struct run_trace *t, struct buf *others)
{
	int sampled = -1;
	str field;

	header = str_sub(header, 0, HEADER_BYTES_MAX / 2);
	while (str_split(&header, ';', &field)) {
		field = str_trim(field);
		if (str_starts(field, STR("Root=")) && is_root(str_from(field, 5))) {
			copy_id(t->root, str_from(field, 5));
		} else if (str_starts(field, STR("Parent=")) && field.n == 7 + TRACE_ID_CHARS &&
			   is_hex(str_from(field, 7))) {
			copy_id(t->upstream, str_from(field, 7));
		} else if (str_eq(field, STR("Sampled=1"))) {
			sampled = 1;
		} else if (str_eq(field, STR("Sampled=0"))) {
			sampled = 0;
		} else if (field.n && !is_ours(field)) {
			buf_put(others, field);
			buf_put_char(others, ';');
		}
	}
	return sampled;
}

/* All of it but the lineage, as it came; empty when nothing came. */
static str pass_on(struct arena *a, str header)
{
	struct buf out;
	str field;

	buf_init(&out, a, HEADER_BYTES_MAX);
	header = str_sub(header, 0, HEADER_BYTES_MAX / 2);
	while (str_split(&header, ';', &field))
		if (field.n && !str_starts(field, STR("Lineage="))) {
			buf_put(&out, field);
			buf_put_char(&out, ';');
		}
	return buf_str(&out);
}

str trace_begin(struct arena *a, const struct trace_begin *b, struct run_trace *ret_trace)
{
	struct run_trace t = {.sampled = false};
	str others = b->active ? STR("") : pass_on(a, b->header);
	struct buf kept, out;
	int sampled;

	buf_init(&kept, a, HEADER_BYTES_MAX);
	buf_init(&out, a, 2 * HEADER_BYTES_MAX);
	if (!others.n) {
		sampled = read_header(b->header, &t, &kept);
		if (!t.root[0])
			put_root(t.root, b);
		if (sampled < 0)
			sampled = b->active && b->takes;
		t.sampled = b->active && sampled;
		put_id(t.service, b->random());
		put_id(t.function, b->random());
		/* A run that is not recorded has no segment to hang below. */
		buf_printf(&out, "Root=%s;Parent=%s;Sampled=%d;", t.root,
			t.sampled || !t.upstream[0] ? t.function : t.upstream, sampled);
		others = buf_str(&kept);
	}
	buf_put(&out, others);
	buf_put(&out, b->lineage);
	check(!out.over);
	*ret_trace = t;
	return buf_str(&out);
}

/* ---- segments ---- */

struct clock {
	int64_t wall_ns, now_ns;
};

/* Seconds since 1970, with a fraction. */
static void put_time(struct json_writer *w, str key, const struct clock *clock, int64_t at_ns)
{
	json_put_key(w, key);
	json_put_double(w, (double)((clock->wall_ns - (clock->now_ns - at_ns)) / 1000) / 1e6);
}

static void begin_segment(struct json_writer *w, str name, const char *id,
	const struct clock *clock, int64_t from_ns, int64_t to_ns)
{
	json_put_object_begin(w);
	json_put_key_string(w, STR("name"), name);
	json_put_key_string(w, STR("id"), str_c(id));
	put_time(w, STR("start_time"), clock, from_ns);
	put_time(w, STR("end_time"), clock, to_ns);
}

static void put_place(
	struct json_writer *w, const struct run_trace *t, const char *parent, str origin)
{
	json_put_key_string(w, STR("trace_id"), str_c(t->root));
	if (parent[0])
		json_put_key_string(w, STR("parent_id"), str_c(parent));
	json_put_key_string(w, STR("origin"), origin);
}

static void put_part(
	struct json_writer *w, str name, const struct clock *clock, int64_t from_ns, int64_t to_ns)
{
	char id[TRACE_ID_CHARS + 1];

	put_id(id, rt_random());
	begin_segment(w, name, id, clock, from_ns, to_ns);
	json_put_object_end(w);
}

static void put_fault(struct json_writer *w, bool fault)
{
	if (!fault)
		return;
	json_put_key(w, STR("fault"));
	json_put_bool(w, true);
}

static void put_service(struct json_writer *w, const struct run_trace *t, const struct trace_end *e,
	const struct clock *clock, int64_t from_ns)
{
	begin_segment(w, e->function->name, t->service, clock, from_ns, e->end_ns);
	put_place(w, t, t->upstream, STR("AWS::Lambda"));
	json_put_key_string(w, STR("resource_arn"), e->function->arn);
	json_put_key(w, STR("http"));
	json_put_object_begin(w);
	json_put_key(w, STR("response"));
	json_put_object_begin(w);
	json_put_key(w, STR("status"));
	json_put_i64(w, 200);
	json_put_object_end(w);
	json_put_object_end(w);
	json_put_key(w, STR("aws"));
	json_put_object_begin(w);
	json_put_key_string(w, STR("request_id"), e->request_id);
	json_put_object_end(w);
	put_fault(w, e->error);
	json_put_object_end(w);
}

static void put_function(struct json_writer *w, const struct run_trace *t,
	const struct trace_end *e, const struct clock *clock, int64_t from_ns)
{
	const struct function *f = e->function;

	begin_segment(w, f->name, t->function, clock, from_ns, e->end_ns);
	put_place(w, t, t->service, STR("AWS::Lambda::Function"));
	json_put_key(w, STR("aws"));
	json_put_object_begin(w);
	json_put_key_string(w, STR("function_arn"), f->arn);
	json_put_key_string(w, STR("request_id"), e->request_id);
	json_put_key(w, STR("cloudwatch_logs"));
	json_put_array_begin(w);
	json_put_object_begin(w);
	json_put_key_string(w, STR("log_group"), f->log_group);
	json_put_key_string(w, STR("log_stream"), e->log_stream);
	json_put_object_end(w);
	json_put_array_end(w);
	json_put_object_end(w);
	put_fault(w, e->error);
	json_put_key(w, STR("subsegments"));
	json_put_array_begin(w);
	if (e->init_ns >= 0)
		put_part(w, STR("Initialization"), clock, from_ns, e->start_ns);
	put_part(w, STR("Invocation"), clock, e->start_ns, e->done_ns);
	put_part(w, STR("Overhead"), clock, e->done_ns, e->end_ns);
	json_put_array_end(w);
	json_put_object_end(w);
}

void trace_tell(const struct ports *ports, const struct run_trace *trace, const struct trace_end *e)
{
	const struct port_trace *port = ports->trace;
	const struct clock clock = {rt_wall(), rt_now()};
	int64_t from_ns = e->start_ns - MAX(e->init_ns, INT64_C(0));
	struct arena a cleanup(arena_done_p) = {0};

	if (!port || !trace->sampled)
		return;
	arena_init(&a, SIZE_MAX);
	for (int i = 0; i < 2; i++) {
		struct json_writer w;
		struct buf document;

		buf_init(&document, &a, DOCUMENT_BYTES_MAX);
		json_writer_init(&w, &document);
		(i ? put_function : put_service)(&w, trace, e, &clock, from_ns);
		check(!document.over);
		port->put(
			port->self, e->function->account, e->function->region, buf_str(&document));
	}
}
