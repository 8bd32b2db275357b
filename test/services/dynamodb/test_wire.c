/*
 * See wire.h: the world, the runner of case files, and the files.
 */
#include "test/services/dynamodb/wire.h"

#include "aws/policy.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "kv/kv.h"
#include "services/dynamodb/dynamodb.h"
#include "test/aws/test_objects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20, BODY_BYTES_MAX = 20 << 20, KEPT_MAX = 16 };

/* ---- the world ---- */

static int64_t wall_ms(void)
{
	return rt_wall() / RT_NS_MS;
}

struct start {
	struct ddb *w;
	const char *conninfo; /* NULL: the memory store */
	void (*fn)(struct ddb *w);
};

/* Each world has tables of its own there. */
static mayyield int open_postgres(const char *conninfo, struct kv **ret_kv)
{
	static unsigned number;
	char table[32];

	snprintf(table, sizeof table, "w%u", number++);
	return kv_open_postgres(
		conninfo, &(struct kv_postgres_options){.table = table, .connections = 8}, ret_kv);
}

static void run(void *arg)
{
	struct start *start = arg;
	struct ddb *w = start->w;
	const struct gate_options options = {.auth = GATE_OPEN,
		.region_default = STR("us-east-1"),
		.wall_ms = wall_ms,
		.monotonic_ns = rt_now,
		.random = rt_random_bytes};
	struct kv *memory;

	if (start->conninfo)
		check(open_postgres(start->conninfo, &memory) == 0);
	else
		check(kv_open_memory(&(struct kv_memory_options){.seed = 1}, &memory) == 0);
	check(kv_open_fault(memory, &(struct kv_fault_options){.no_delay = true}, &w->kv) == 0);
	check(dynamodb_start(w->dynamodb, w->kv) == 0);
	w->gate = gate_new(&options, &w->ports);
	gate_register(w->gate, dynamodb_service(w->dynamodb));
	gate_register(w->gate, dynamodb_streams_service(w->dynamodb));
	start->fn(w);
	dynamodb_stop(w->dynamodb);
	kv_close(w->kv);
	rt_stop(w->rt);
}

static void run_world(
	uint64_t seed, bool throttles, const char *conninfo, void (*fn)(struct ddb *w), void *arg)
{
	struct ddb w = {.arg = arg};
	struct start start = {&w, conninfo, fn};
	const struct rt_options options = {
		.mode = conninfo ? RT_REAL : RT_SIMULATED, .loops = 1, .seed = seed};

	check(rt_new(&options, &w.rt) == 0);
	w.dynamodb = dynamodb_new(w.rt);
	dynamodb_set_ports(w.dynamodb, &w.ports);
	dynamodb_set_throttle(w.dynamodb, throttles);
	w.objects = mem_new(struct twin_objects);
	twin_objects_init(w.objects);
	EXPECT_INT(rt_run(w.rt, run, &start), 0);
	twin_objects_done(w.objects);
	mem_free(w.objects);
	gate_free(w.gate);
	dynamodb_free(w.dynamodb);
	rt_free(w.rt);
}

void ddb_run(uint64_t seed, void (*fn)(struct ddb *w), void *arg)
{
	run_world(seed, false, NULL, fn, arg);
}

void ddb_run_throttled(uint64_t seed, void (*fn)(struct ddb *w), void *arg)
{
	run_world(seed, true, NULL, fn, arg);
}

static int give_body(void *arg, size_t max, str *ret_body)
{
	const str *body = arg;

	if (body->n > max)
		return ERR_TOO_LARGE;
	*ret_body = *body;
	return 0;
}

static bool crc_is_right(struct arena *a, const struct gate_response *r)
{
	for (uint32_t i = 0; i < r->header_count; i++)
		if (str_eq(r->headers[i].name, STR("x-amz-crc32")))
			return str_eq(
				r->headers[i].value, arena_printf(a, "%u", crc32_add(0, r->body)));
	return false;
}

static bool is_gzip(const struct gate_response *r)
{
	for (uint32_t i = 0; i < r->header_count; i++)
		if (str_eq(r->headers[i].name, STR("Content-Encoding")))
			return str_eq(r->headers[i].value, STR("gzip"));
	return false;
}

struct ddb_answer ddb_send(struct ddb *w, struct arena *a, str operation, str body)
{
	static const struct gate_trust root = {.loopback = true};
	struct gate_response response = {0};
	/* with the names that the HTTP layer recognises, as it gives them */
	struct http_header headers[] = {
		{.name = STR("Host"), .known = HTTP_NAME_HOST, .value = STR("localhost:4566")},
		{.name = STR("X-Amz-Date"),
			.known = HTTP_NAME_X_AMZ_DATE,
			.value = STR("20260101T000000Z")},
		{.name = STR("X-Amz-Target"),
			.known = HTTP_NAME_X_AMZ_TARGET,
			.value = str_starts(operation, STR("Streams."))
					 ? arena_printf(a, "DynamoDB%.*s_20120810.%.*s",
						   (int)(sizeof "Streams" - 1), operation.p,
						   STR_ARG(str_from(operation, sizeof "Streams")))
					 : arena_printf(a, "DynamoDB_20120810.%.*s",
						   STR_ARG(operation))},
		{.name = STR("Authorization"),
			.known = HTTP_NAME_AUTHORIZATION,
			.value = STR("AWS4-HMAC-SHA256 "
				     "Credential=test/20260101/us-east-1/dynamodb/aws4_request, "
				     "SignedHeaders=host;x-amz-date;x-amz-target, Signature="
				     "00000000000000000000000000000000000000000000000000000000000"
				     "00000")},
		{.name = STR("Content-Encoding"),
			.known = HTTP_NAME_CONTENT_ENCODING,
			.value = w->content_encoding},
		{.name = STR("Accept-Encoding"),
			.known = HTTP_NAME_ACCEPT_ENCODING,
			.value = w->accept_encoding}};
	struct gate_request request = {.method = STR("POST"),
		.path = STR("/"),
		.query = STR_NULL,
		.headers = headers,
		.header_count = ARRAY_SIZE(headers),
		.peer = STR("127.0.0.1"),
		.trust = w->trust ? w->trust : &root,
		.body = give_body,
		.body_arg = &body,
		.body_length = body.n};

	gate_handle(w->gate, a, &request, &response);
	return (struct ddb_answer){response.status, arena_str(a, response.body),
		crc_is_right(a, &response), is_gzip(&response)};
}

str ddb_expect(struct ddb *w, struct arena *a, unsigned status, const char *operation, str body)
{
	struct ddb_answer answer = ddb_send(w, a, str_c(operation), body);

	if (answer.status != status)
		test_fail(__FILE__, __LINE__, "%s %.*s\n\tis %u %.*s", operation,
			(int)MIN(body.n, (size_t)300), body.p, answer.status, STR_ARG(answer.body));
	return answer.body;
}

/* ---- case files ---- */

struct file {
	const char *path;
	str rest, title;
	int line;
	bool update;
	unsigned cases;
	struct arena *arena; /* of one request and its answer */
	struct arena *kept_arena;
	struct kept {
		str name, value;
	} kept[KEPT_MAX]; /* by lines of `=` */
	size_t kept_count;
	struct ddb_answer answer;
	str request;
	/* ddb_depends_on(): what is left out where, and how many answers are others then. */
	str member;
	int member_line;
	unsigned differences;
};

#define FAIL(f, ...) \
	((f)->member.p ? (void)(f)->differences++ : test_fail((f)->path, (f)->line, __VA_ARGS__))

static bool same(const struct json_value *want, const struct json_value *got);

static bool same_members(const struct json_value *want, const struct json_value *got)
{
	for (uint32_t i = 0; i < want->count; i++) {
		const struct json_value *v = json_get(got, want->members[i].key);

		if (!v || !same(&want->members[i].value, v))
			return false;
	}
	return want->count == got->count;
}

static bool same(const struct json_value *want, const struct json_value *got)
{
	if (want->kind == JSON_STRING && str_eq(want->text, STR("*")))
		return true;
	if (want->kind != got->kind)
		return false;
	switch (want->kind) {
	case JSON_NULL: return true;
	case JSON_BOOL: return want->boolean == got->boolean;
	case JSON_NUMBER:
	case JSON_STRING: return str_eq(want->text, got->text);
	case JSON_OBJECT: return same_members(want, got);
	case JSON_ARRAY:
		if (want->count != got->count)
			return false;
		for (uint32_t i = 0; i < want->count; i++)
			if (!same(&want->items[i], &got->items[i]))
				return false;
		return true;
	}
	check_unreachable();
}

/* The value that a line of `=` has kept; the last one counts. */
static str kept_value(struct file *f, str name)
{
	for (size_t i = f->kept_count; i > 0; i--)
		if (str_eq(f->kept[i - 1].name, name))
			return f->kept[i - 1].value;
	FAIL(f, "nothing is kept as %.*s", STR_ARG(name));
	return STR("");
}

/* $(x*1000), $i and $I, $<name>. */
static str expanded(struct file *f, str text, int64_t number)
{
	struct buf out;

	buf_init(&out, f->arena, BODY_BYTES_MAX);
	while (text.n) {
		ptrdiff_t end, star;
		uint64_t times;

		if (text.p[0] != '$') {
			size_t n = 1;

			while (n < text.n && text.p[n] != '$')
				n++;
			buf_put(&out, str_sub(text, 0, n));
			text = str_from(text, n);
			continue;
		}
		if (str_starts(text, STR("$i")) || str_starts(text, STR("$I"))) {
			buf_printf(&out, text.p[1] == 'i' ? "%lld" : "%03lld", (long long)number);
			text = str_from(text, 2);
			continue;
		}
		if (str_starts(text, STR("$<"))) {
			end = str_find(text, '>');
			check(end > 2);
			buf_put(&out, kept_value(f, str_sub(text, 2, (size_t)end - 2)));
			text = str_from(text, (size_t)end + 1);
			continue;
		}
		end = str_find(text, ')');
		star = str_find(text, '*');
		check(str_starts(text, STR("$(")) && end > 0 && star > 2 && star < end);
		check(str_to_u64(str_sub(text, (size_t)star + 1, (size_t)(end - star) - 1),
			      BODY_BYTES_MAX, &times) == 0);
		while (times--)
			buf_put(&out, str_sub(text, 2, (size_t)star - 2));
		text = str_from(text, (size_t)end + 1);
	}
	check(!out.over);
	return buf_str(&out);
}

static void check_answer(struct file *f, str status, str want)
{
	struct json_value *w, *g;
	uint64_t code;

	f->cases++;
	if (str_to_u64(status, 999, &code) < 0 ||
		json_parse(f->arena, expanded(f, want, 0), JSON_DEPTH_MAX, &w, NULL) < 0) {
		FAIL(f, "the answer cannot be read");
		return;
	}
	if (json_parse(f->arena, f->answer.body, JSON_DEPTH_MAX, &g, NULL) < 0 ||
		f->answer.status != code || !same(w, g))
		FAIL(f, "%.*s: %.*s\n\tis   %u %.*s\n\twant %.*s %.*s", STR_ARG(f->title),
			(int)MIN(f->request.n, (size_t)1000), f->request.p, f->answer.status,
			(int)MIN(f->answer.body.n, (size_t)3000), f->answer.body.p, STR_ARG(status),
			STR_ARG(want));
	if (!f->answer.crc_is_right)
		FAIL(f, "the checksum of the answer is wrong");
}

/* "1..30", with which line of `>` begins; 0..0 otherwise. */
static bool range_of(str text, int64_t *ret_from, int64_t *ret_to)
{
	ptrdiff_t dots = str_find_str(text, STR(".."));

	*ret_from = *ret_to = 0;
	if (text.n == 0)
		return true;
	return dots > 0 && str_to_i64(str_sub(text, 0, (size_t)dots), ret_from) == 0 &&
	       str_to_i64(str_from(text, (size_t)dots + 2), ret_to) == 0;
}

/* The first in the depth. */
static size_t leave_out_anywhere(struct json_value *v, str member)
{
	size_t n = ddb_leave_out(v, member);

	if (v->kind == JSON_ARRAY || v->kind == JSON_OBJECT)
		for (uint32_t i = 0; i < v->count && n == 0; i++)
			n = leave_out_anywhere(
				v->kind == JSON_ARRAY ? &v->items[i] : &v->members[i].value,
				member);
	return n;
}

/* "[].rest" or "{}.rest" */
static size_t leave_out_each(struct json_value *v, str member)
{
	enum json_kind kind = member.p[0] == '[' ? JSON_ARRAY : JSON_OBJECT;
	str rest = str_from(member, 2);
	size_t n = 0;

	if (rest.n && rest.p[0] == '.')
		rest = str_from(rest, 1);
	for (uint32_t i = 0; v->kind == kind && i < v->count; i++)
		n += ddb_leave_out(kind == JSON_ARRAY ? &v->items[i] : &v->members[i].value, rest);
	return n;
}

size_t ddb_leave_out(struct json_value *v, str member)
{
	size_t n = 0;
	str rest;

	if (str_starts(member, STR("*.")))
		return leave_out_anywhere(v, str_from(member, 2));
	if (member.p[0] == '[' || member.p[0] == '{')
		return leave_out_each(v, member);
	while (n < member.n && !strchr(".[{", member.p[n]))
		n++;
	rest = str_from(member, n);
	if (rest.n && rest.p[0] == '.')
		rest = str_from(rest, 1);
	for (uint32_t i = 0; v->kind == JSON_OBJECT && i < v->count; i++) {
		if (!str_eq(v->members[i].key, str_sub(member, 0, n)))
			continue;
		if (rest.n)
			return ddb_leave_out(&v->members[i].value, rest);
		v->count--;
		memmove(&v->members[i], &v->members[i + 1], (v->count - i) * sizeof *v->members);
		return 1;
	}
	return 0;
}

static str without(struct arena *a, str body, str member)
{
	struct json_value *root;
	struct json_writer w;
	struct buf out;

	buf_init(&out, a, BODY_BYTES_MAX);
	check(json_parse(a, body, JSON_DEPTH_MAX, &root, NULL) == 0);
	ddb_leave_out(root, member);
	json_writer_init(&w, &out);
	json_put_value(&w, root);
	return buf_str(&out);
}

static void send_line(struct ddb *w, struct file *f, str line)
{
	str range, operation, body;
	int64_t from, to;

	if (!str_split(&line, ' ', &range) || !range_of(range, &from, &to) ||
		!str_split(&line, ' ', &operation)) {
		FAIL(f, "the request cannot be read");
		return;
	}
	f->request = line;
	for (int64_t i = from; i <= to; i++) {
		arena_done(f->arena);
		body = expanded(f, line, i);
		if (f->member.p && f->line == f->member_line)
			body = without(f->arena, body, f->member);
		f->answer = ddb_send(w, f->arena, operation, body);
		if (from != to && f->answer.status != 200)
			FAIL(f, "%lld: %u %.*s", (long long)i, f->answer.status,
				STR_ARG(f->answer.body));
	}
	if (f->update && from == to)
		printf("< %u %.*s\n", f->answer.status, STR_ARG(f->answer.body));
}

/* "name A.0.B": keeps a text of the answer. */
static void keep(struct file *f, str line)
{
	struct json_value *root;
	const struct json_value *v;
	str name, part;
	uint64_t index;

	check(str_split(&line, ' ', &name) && f->kept_count < KEPT_MAX);
	check(json_parse(f->arena, f->answer.body, JSON_DEPTH_MAX, &root, NULL) == 0);
	v = root;
	while (str_split(&line, '.', &part))
		v = str_to_u64(part, UINT32_MAX, &index) == 0 ? json_at(v, index)
							      : json_get(v, part);
	if (!json_text(v).p)
		FAIL(f, "there is no such text to keep: %.*s in %.*s", STR_ARG(name),
			STR_ARG(f->answer.body));
	f->kept[f->kept_count++] = (struct kept){
		arena_str(f->kept_arena, name), arena_str(f->kept_arena, json_text(v))};
}

/* "{policy}", or "" for root. */
static void act_as(struct ddb *w, struct file *f, str document)
{
	struct principal *who = arena_new(f->kept_arena, struct principal);
	struct gate_trust *trust = arena_new(f->kept_arena, struct gate_trust);
	const struct policy **policies = arena_new(f->kept_arena, const struct policy *);
	struct policy *policy;
	str message;

	w->trust = NULL;
	if (!document.n)
		return;
	if (policy_parse(f->kept_arena, arena_str(f->kept_arena, expanded(f, document, 0)),
		    POLICY_IDENTITY, &policy, &message) < 0) {
		FAIL(f, "the policy cannot be read: %.*s", STR_ARG(message));
		return;
	}
	policies[0] = policy;
	*who = (struct principal){.kind = PRINCIPAL_USER,
		.account = STR("000000000000"),
		.arn = STR("arn:aws:iam::000000000000:user/alice"),
		.user_id = STR("AIDAALICE"),
		.name = STR("alice"),
		.policies = policies,
		.policy_count = 1};
	*trust = (struct gate_trust){.loopback = true, .function = who};
	w->trust = trust;
}

/* One world: to the next "###". */
/* "bucket/key text" */
static void put_object(struct ddb *w, struct file *f, str line)
{
	str place, bucket, text = STR("");
	struct buf body;

	check(str_split(&line, ' ', &place) && str_split(&place, '/', &bucket));
	buf_init(&body, f->arena, BODY_BYTES_MAX);
	while (line.n) {
		ptrdiff_t at = str_find_str(line, STR("\\n"));

		text = at < 0 ? line : str_sub(line, 0, (size_t)at);
		buf_put(&body, text);
		if (at >= 0)
			buf_put_char(&body, '\n');
		line = str_from(line, at < 0 ? line.n : (size_t)at + 2);
	}
	twin_objects_put(
		w->objects, arena_c(f->arena, bucket), arena_c(f->arena, place), buf_str(&body));
	w->ports.objects = &w->objects->port;
}

static void run_cases(struct ddb *w)
{
	struct file *f = w->arg;
	str before, line;

	while (f->differences == 0) {
		before = f->rest;
		if (!str_split(&f->rest, '\n', &line))
			return;
		if (str_starts(line, STR("### ")) && f->title.p) {
			f->rest = before;
			return;
		}
		f->line++;
		if (f->update && !str_starts(line, STR("<")) && f->rest.p)
			printf("%.*s\n", STR_ARG(line));
		if (str_starts(line, STR("### "))) {
			f->title = str_from(line, 4);
			f->kept_count = 0;
		} else if (str_starts(line, STR(">"))) {
			send_line(w, f, str_from(line, 1));
		} else if (str_starts(line, STR("< "))) {
			str status;

			line = str_from(line, 2);
			if (str_split(&line, ' ', &status))
				check_answer(f, status, line);
		} else if (str_starts(line, STR("~ "))) {
			int64_t ms;

			check(str_to_i64(str_from(line, 2), &ms) == 0);
			check(rt_sleep_until(rt_after_ms(ms)) == 0);
		} else if (str_starts(line, STR("@"))) {
			act_as(w, f, str_from(line, MIN(line.n, (size_t)2)));
		} else if (str_starts(line, STR("! "))) {
			put_object(w, f, str_from(line, 2));
		} else if (str_starts(line, STR("= "))) {
			keep(f, str_from(line, 2));
		} else if (line.n && line.p[0] != '#') {
			FAIL(f, "not understood: %.*s", STR_ARG(line));
		}
	}
}

/* "### ... (throttle=aws)" */
static bool is_throttled(str cases)
{
	str title;

	while (str_split(&cases, '\n', &title))
		if (str_starts(title, STR("### ")))
			return str_find_str(title, STR("(throttle=aws)")) >= 0;
	return false;
}

bool ddb_depends_on(const char *path, str cases, int line_before, int line, str member)
{
	struct arena text, request;
	struct file f = {.path = path,
		.rest = cases,
		.line = line_before,
		.arena = &request,
		.kept_arena = &text,
		.member = member,
		.member_line = line};

	arena_init(&text, SIZE_MAX);
	arena_init(&request, SIZE_MAX);
	run_world(1, is_throttled(cases), NULL, run_cases, &f);
	arena_done(&request);
	arena_done(&text);
	return f.differences > 0;
}

void ddb_file(const char *path, unsigned cases_min)
{
	struct arena text, request;
	struct file f = {.path = path,
		.arena = &request,
		.kept_arena = &text,
		.update = getenv("UPDATE") != NULL};
	FILE *in = fopen(path, "rb");
	char *bytes;

	arena_init(&text, SIZE_MAX);
	arena_init(&request, SIZE_MAX);
	bytes = arena_bytes(&text, FILE_BYTES_MAX);
	f.rest = str_of(bytes, in ? fread(bytes, 1, FILE_BYTES_MAX, in) : 0);
	if (in)
		fclose(in);
	while (f.rest.n) {
		f.title = STR_NULL;
		run_world(1, is_throttled(f.rest), NULL, run_cases, &f);
	}
	if (!f.update && f.cases < cases_min)
		test_fail(path, f.line, "%u cases, expected at least %u", f.cases, cases_min);
	arena_done(&request);
	arena_done(&text);
}

/* To the next "###"; can it run in real time? */
static bool is_quick(const char *path, str cases)
{
	bool begun = false;
	str line;

	if (str_find_str(str_c(path), STR("throttle")) >= 0)
		return false;
	while (str_split(&cases, '\n', &line)) {
		int64_t ms;

		if (str_starts(line, STR("### ")) && begun)
			break;
		begun |= str_starts(line, STR("### "));
		if (str_find_str(line, STR("1767225601")) >= 0)
			return false; /* an answer shows the simulated clock */
		if (str_starts(line, STR("~ ")) && str_to_i64(str_from(line, 2), &ms) == 0 &&
			ms > 2000)
			return false;
	}
	return true;
}

/* Behind the group. */
static void skip_group(struct file *f)
{
	bool begun = false;
	str before, line;

	for (;;) {
		before = f->rest;
		if (!str_split(&f->rest, '\n', &line))
			return;
		if (str_starts(line, STR("### ")) && begun)
			break;
		begun |= str_starts(line, STR("### "));
		f->line++;
	}
	f->rest = before;
}

unsigned ddb_file_on(const char *path, const char *conninfo)
{
	struct arena text, request;
	struct file f = {.path = path, .arena = &request, .kept_arena = &text};
	FILE *in = fopen(path, "rb");
	char *bytes;

	arena_init(&text, SIZE_MAX);
	arena_init(&request, SIZE_MAX);
	bytes = arena_bytes(&text, FILE_BYTES_MAX);
	f.rest = str_of(bytes, in ? fread(bytes, 1, FILE_BYTES_MAX, in) : 0);
	if (in)
		fclose(in);
	while (f.rest.n) {
		f.title = STR_NULL;
		if (is_quick(path, f.rest))
			run_world(1, false, conninfo, run_cases, &f);
		else
			skip_group(&f);
	}
	arena_done(&request);
	arena_done(&text);
	return f.cases;
}
