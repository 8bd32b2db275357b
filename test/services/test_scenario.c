/* The runner of scenario files: see test_scenario.h. */
#include "test/services/test_scenario.h"

#include "aws/ports/hosts.h"
#include "aws/ports/identity.h"
#include "aws/ports/invoke.h"
#include "aws/ports/log.h"
#include "base/json.h"
#include "base/map.h"
#include "base/rc.h"
#include "http/http.h"
#include "kv/kv.h"
#include "rt/rt.h"
#include "server/front.h"
#include "services/apigateway/apigateway.h"
#include "services/logs/logs.h"
#include "services/logs/service.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 1 << 20, NAMES_MAX = 32, DEADLINE_MS = 20000, LOOPS = 2 };

struct fake {
	str mode, payload, event;
};

struct world {
	const char *path;
	int line;
	struct arena arena;
	struct rt *rt;
	struct kv *kv;
	struct ports ports;
	struct port_invoke invoke;
	struct port_identity identity;
	struct fake fake;
	struct gate *gate;
	struct gate_trust trust;
	struct front *front;
	struct apigateway *apigateway;
	struct logs *logs;
	struct rt_address own, upstream;
	int64_t begun_ms;
	struct http_server *server, *echo;
	str text; /* of the scenario */
	bool strict;
	enum { STYLE_RAW, STYLE_API, STYLE_LOGS } style;
	str names[NAMES_MAX], values[NAMES_MAX];
	size_t name_count;
	unsigned status; /* of the last answer */
	str head, body;
};

/* ---- the function ---- */

static int fake_invoke(void *self, struct arena *a, const struct invoke_request *request,
	struct invoke_result *ret)
{
	static const struct fault_kind throttled = {
		"TooManyRequestsException", 429, FAULT_CLIENT, FAULT_RETRYABLE};
	static const struct fault_kind missing = {
		"ResourceNotFoundException", 404, FAULT_CLIENT, FAULT_FINAL};
	struct world *w = self;

	w->fake.event = arena_str(&w->arena, request->payload);
	if (str_eq(w->fake.mode, STR("throttled")))
		return fault_set(&ret->fault, a, &throttled, "Rate Exceeded.");
	if (str_eq(w->fake.mode, STR("missing")))
		return fault_set(&ret->fault, a, &missing, "Function not found");
	if (str_eq(w->fake.mode, STR("slow"))) {
		TRY(rt_sleep_until(request->deadline_ns));
		return ERR_TIMEOUT;
	}
	*ret = (struct invoke_result){
		.status = 200, .payload = w->fake.payload, .executed_version = STR("$LATEST")};
	if (str_eq(w->fake.mode, STR("error")))
		ret->function_error = STR("Unhandled");
	return 0;
}

static int fake_allowed(void *self, struct arena *a, str function_arn, str service, str source_arn,
	str source_account)
{
	struct world *w = self;

	(void)a;
	(void)function_arn;
	(void)source_account;
	if (str_eq(w->fake.mode, STR("nopolicy")))
		return 2;
	if (str_eq(w->fake.mode, STR("missing")))
		return ERR_NOT_FOUND;
	if (str_eq(w->fake.mode, STR("denied")) ||
		!str_eq(service, STR("apigateway.amazonaws.com")))
		return 0;
	/* A policy for one source only. */
	if (str_starts(w->fake.mode, STR("source ")))
		return str_ends(source_arn, str_from(w->fake.mode, 7));
	return 1;
}

/* Only the role "known" exists, and its policies allow nothing. */
static int fake_role(
	void *self, struct arena *a, str role_arn, str session_name, struct principal *ret)
{
	(void)self;
	(void)a;
	(void)session_name;
	if (!str_ends(role_arn, STR(":role/known")))
		return 0;
	*ret = (struct principal){.kind = PRINCIPAL_SESSION,
		.account = STR("000000000000"),
		.arn = role_arn,
		.role_arn = role_arn};
	return 1;
}

static int fake_key(void *self, struct arena *a, str access_key, struct identity *ret)
{
	(void)self;
	(void)a;
	(void)access_key;
	(void)ret;
	return 0;
}

/* ---- the upstream: says what it got ---- */

static void echo(struct http_exchange *x, void *arg)
{
	struct world *w = arg;
	struct http_header headers[] = {{.name = STR("Content-Type"), .value = STR("text/x")},
		{.name = STR("X-Up"), .value = STR("1")},
		{.name = STR("Access-Control-Allow-Origin"), .value = STR("evil")},
		{.name = STR("Keep-Alive"), .value = STR("timeout=5")},
		{.name = STR("Set-Cookie"), .value = STR("a=1")},
		{.name = STR("Set-Cookie"), .value = STR("b=2")}};
	struct buf out;
	str body = STR("");

	(void)w;
	if (str_starts(x->path, STR("/slow")) && rt_sleep_until(rt_after_ms(DEADLINE_MS)) < 0)
		return;
	if (http_body_all(x, 16 << 20, &body) < 0)
		return;
	buf_init(&out, &x->arena, 16 << 20);
	buf_put(&out, x->method_text);
	buf_put(&out, STR(" "));
	buf_put(&out, x->target);
	for (unsigned i = 0; i < x->header_count; i++) {
		buf_put(&out, STR("|"));
		buf_put(&out, x->headers[i].name);
		buf_put(&out, STR("="));
		buf_put(&out, x->headers[i].value);
	}
	buf_put(&out, STR("|"));
	buf_put(&out, body);
	if (str_starts(x->path, STR("/big")))
		for (int i = 0; i < 11 << 10; i++)
			buf_put(&out,
				str_of(memset(arena_bytes(&x->arena, 1024), 'x', 1024), 1024));
	int rc = http_respond(x, str_starts(x->path, STR("/teapot")) ? 418 : 200, headers,
		ARRAY_SIZE(headers), buf_str(&out));
	(void)rc;
}

/* ---- the server ---- */

static bool no_page(void *arg, struct http_exchange *x)
{
	(void)arg;
	(void)x;
	return false;
}

static void serve(struct http_exchange *x, void *arg)
{
	struct world *w = arg;

	front_serve(w->front, x, &w->trust);
}

static int64_t wall_ms(void)
{
	return rt_wall() / RT_NS_MS;
}

static int listen_on(struct world *w, http_handler *handler, struct http_server **ret_server,
	struct rt_address *ret_address)
{
	const struct http_server_options options = {.handler = handler, .arg = w};
	const struct rt_listen_options listen = {.address = STR("127.0.0.1:0")};

	TRY(http_server_new(&options, ret_server));
	TRY(http_server_listen(*ret_server, &listen, NULL));
	return http_server_address(*ret_server, 0, ret_address);
}

/* Before the runtime runs. */
static void world_begin(struct world *w)
{
	const struct rt_options rt_options = {.loops = LOOPS};
	const struct gate_options gate_options = {.region_default = STR("us-east-1"),
		.wall_ms = wall_ms,
		.monotonic_ns = rt_now,
		.random = rt_random_bytes,
		.loops = LOOPS,
		.loop_index = rt_loop_index};

	arena_init(&w->arena, 256 << 20);
	EXPECT_INT(rt_new(&rt_options, &w->rt), 0);
	w->invoke = (struct port_invoke){.self = w, .invoke = fake_invoke, .allowed = fake_allowed};
	w->identity =
		(struct port_identity){.self = w, .by_role = fake_role, .by_access_key = fake_key};
	w->ports.invoke = &w->invoke;
	w->ports.identity = &w->identity;
	w->fake.mode = STR("ok");
	w->fake.payload = STR("{\"statusCode\":200,\"body\":\"fine\"}");
	const struct logs_options logs_options = {
		.rt = w->rt, .ports = &w->ports, .sweep_ms = INT64_C(1) << 40, .linger_ms = 1};
	EXPECT_INT(logs_service_new(&logs_options, &w->logs), 0);
	const struct apigateway_options api_options = {.rt = w->rt,
		.ports = &w->ports,
		.open = !w->strict,
		.endpoint_suffix = STR("localhost:4566"),
		.own = &w->own,
		.own_count = 1};
	EXPECT_INT(apigateway_service_new(&api_options, &w->apigateway), 0);
	w->gate = gate_new(&gate_options, &w->ports);
	gate_register(w->gate, logs_service_rows(w->logs));
	gate_register(w->gate, apigateway_service_rows(w->apigateway));
	const struct front_options front_options = {.gate = w->gate,
		.ports = &w->ports,
		.region_default = STR("us-east-1"),
		.own_page = no_page};
	w->front = front_new(&front_options);
	w->trust = (struct gate_trust){.loopback = true};
}

static void name_set(struct world *w, str name, str value)
{
	for (size_t i = 0; i < w->name_count; i++)
		if (str_eq(w->names[i], name)) {
			w->values[i] = value;
			return;
		}
	if (EXPECT(w->name_count < NAMES_MAX)) {
		w->names[w->name_count] = name;
		w->values[w->name_count++] = value;
	}
}

static void world_start(struct world *w)
{
	const struct kv_memory_options options = {.seed = 1};
	char text[RT_ADDRESS_TEXT];

	w->begun_ms = wall_ms();
	EXPECT_INT(kv_open_memory(&options, &w->kv), 0);
	EXPECT_INT(logs_service_start(w->logs, w->kv), 0);
	EXPECT_INT(apigateway_service_start(w->apigateway, w->kv), 0);
	EXPECT_INT(listen_on(w, serve, &w->server, &w->own), 0);
	EXPECT_INT(listen_on(w, echo, &w->echo, &w->upstream), 0);
	name_set(w, STR("server"), arena_str(&w->arena, rt_address_text(&w->own, text)));
	name_set(w, STR("upstream"), arena_str(&w->arena, rt_address_text(&w->upstream, text)));
}

static void world_stop(struct world *w)
{
	EXPECT(http_server_drain(w->server, rt_after_ms(100)) >= 0);
	EXPECT(http_server_drain(w->echo, rt_after_ms(100)) >= 0);
	logs_service_stop(w->logs, rt_after_ms(DEADLINE_MS));
	apigateway_service_stop(w->apigateway);
	http_server_free(w->server);
	http_server_free(w->echo);
	kv_close(w->kv);
	rt_stop(w->rt);
}

static void world_end(struct world *w)
{
	front_free(w->front);
	gate_free(w->gate);
	apigateway_service_free(w->apigateway);
	logs_service_free(w->logs);
	rt_free(w->rt);
	arena_done(&w->arena);
}

/* ---- texts ---- */

static str name_value(struct world *w, str name)
{
	for (size_t i = 0; i < w->name_count; i++)
		if (str_eq(w->names[i], name))
			return w->values[i];
	if (str_starts(name, STR("now"))) {
		int64_t offset = 0;

		if (name.n > 3 && str_to_i64(str_from(name, name.p[3] == '+' ? 4 : 3), &offset) < 0)
			return STR_NULL;
		return arena_printf(&w->arena, "%lld", (long long)(w->begun_ms + offset));
	}
	return STR_NULL;
}

static str substituted(struct world *w, str text)
{
	struct buf out;

	buf_init(&out, &w->arena, TEXT_MAX);
	for (size_t i = 0; i < text.n; i++) {
		ptrdiff_t end = text.p[i] == '<' ? str_find(str_from(text, i), '>') : -1;
		str value =
			end > 1 ? name_value(w, str_sub(text, i + 1, (size_t)end - 1)) : STR_NULL;

		if (value.p) {
			buf_put(&out, value);
			i += (size_t)end;
		} else {
			buf_put_char(&out, text.p[i]);
		}
	}
	return buf_str(&out);
}

/* "%*" matches anything. */
static bool matches(str pattern, str text)
{
	ptrdiff_t star = str_find_str(pattern, STR("%*"));

	if (star < 0)
		return str_eq(pattern, text);
	if (!str_starts(text, str_sub(pattern, 0, (size_t)star)))
		return false;
	text = str_from(text, (size_t)star);
	pattern = str_from(pattern, (size_t)star + 2);
	for (size_t i = 0; i <= text.n; i++)
		if (matches(pattern, str_from(text, i)))
			return true;
	return false;
}

static void expect_match(struct world *w, const char *what, str got, str want)
{
	want = substituted(w, want);
	if (!matches(want, got))
		test_fail(w->path, w->line, "%s\n\tis   %.*s\n\twant %.*s", what, STR_ARG(got),
			STR_ARG(want));
}

/* ---- requests ---- */

static bool has_header(str request, str name)
{
	str line;

	while (str_split(&request, '\n', &line) && line.n)
		if (line.n > name.n && line.p[name.n] == ':' &&
			str_eq_nocase(str_sub(line, 0, name.n), name))
			return true;
	return false;
}

/* The bytes to send, from lines; what the style leaves to us is added. */
static str request_bytes(struct world *w, str lines)
{
	static const char *const scopes[] = {NULL, "apigateway", "logs"};
	ptrdiff_t empty = str_find_str(lines, STR("\n\n"));
	str head = empty < 0 ? lines : str_sub(lines, 0, (size_t)empty), line;
	str body = empty < 0 ? STR("") : str_from(lines, (size_t)empty + 2);
	struct buf out;

	buf_init(&out, &w->arena, TEXT_MAX * 16);
	if (w->style == STYLE_LOGS) {
		str operation;

		body = lines;
		EXPECT(str_split(&body, '\n', &operation));
		buf_printf(&out,
			"POST / HTTP/1.1\r\nX-Amz-Target: Logs_20140328.%.*s\r\n"
			"Content-Type: application/x-amz-json-1.1\r\n",
			STR_ARG(operation));
		head = STR("");
	}
	while (str_split(&head, '\n', &line)) {
		buf_put(&out, line);
		buf_put(&out, STR("\r\n"));
	}
	if (w->style != STYLE_RAW)
		buf_printf(&out,
			"Authorization: AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/%s/"
			"aws4_request, SignedHeaders=host;x-amz-date%s, Signature="
			"0000000000000000000000000000000000000000000000000000000000000000\r\n"
			"X-Amz-Date: 20250101T000000Z\r\n",
			scopes[w->style], w->style == STYLE_LOGS ? ";x-amz-target" : "");
	if (!has_header(lines, STR("Host")))
		buf_put(&out, STR("Host: localhost\r\n"));
	if (body.n && !has_header(lines, STR("Content-Length")))
		buf_printf(&out, "Content-Length: %zu\r\n", body.n);
	buf_put(&out, STR("Connection: close\r\n\r\n"));
	buf_put(&out, body);
	return buf_str(&out);
}

/* Takes chunks apart; bodies of known length stay. */
static str plain_body(struct world *w, str head, str body)
{
	struct buf out;
	str line;

	if (str_find_str(head, STR("ransfer-")) < 0)
		return body;
	buf_init(&out, &w->arena, TEXT_MAX * 16);
	while (str_split(&body, '\n', &line)) {
		char text[16] = {0};

		memcpy(text, line.p, MIN(line.n, sizeof(text) - 1));
		size_t n = strtoul(text, NULL, 16);
		buf_put(&out, str_sub(body, 0, n));
		body = str_from(body, n + 2);
	}
	return buf_str(&out);
}

static void send_request(struct world *w, str lines)
{
	struct rt_stream *stream = NULL;
	struct buf in;
	char part[4096];
	int n;

	str bytes = request_bytes(w, substituted(w, lines));
	buf_init(&in, &w->arena, TEXT_MAX * 32);
	int rc = rt_connect(name_value(w, STR("server")), rt_after_ms(DEADLINE_MS), &stream);
	if (rc >= 0)
		rc = rt_stream_write(stream, bytes, rt_after_ms(DEADLINE_MS));
	while (rc >= 0 &&
		(n = rt_stream_read(stream, part, sizeof(part), rt_after_ms(DEADLINE_MS))) > 0)
		buf_put(&in, str_of(part, (size_t)n));
	rt_stream_close(stream);
	str all = buf_str(&in);
	ptrdiff_t end = str_find_str(all, STR("\r\n\r\n"));
	w->status = 0;
	w->head = w->body = STR("");
	if (end < 12) {
		test_fail(w->path, w->line, "no answer: %.*s", STR_ARG(all));
		return;
	}
	for (int i = 9; i < 12; i++)
		w->status = w->status * 10 + (unsigned)(all.p[i] - '0');
	w->head = str_sub(all, 0, (size_t)end);
	w->body = plain_body(w, w->head, str_from(all, (size_t)end + 4));
	if (getenv("UPDATE"))
		printf("%s:%d\n< %u\n<\n< %.*s\n", w->path, w->line, w->status, STR_ARG(w->body));
}

static str head_value(const struct world *w, str name)
{
	str rest = w->head, line;

	while (str_split(&rest, '\n', &line))
		if (line.n > name.n && line.p[name.n] == ':' &&
			str_eq_nocase(str_sub(line, 0, name.n), name)) {
			line = str_from(line, name.n + 1);
			if (line.n && line.p[line.n - 1] == '\r')
				line.n--;
			return str_trim(line);
		}
	return STR("(absent)");
}

static void check_answer(struct world *w, str lines)
{
	uint64_t status = 0;
	str line;
	bool first = true;

	while (str_split(&lines, '\n', &line)) {
		if (first) {
			EXPECT_INT(str_to_u64(line, 999, &status), 0);
			if (w->status != status)
				test_fail(w->path, w->line, "status is %u, not %.*s: %.*s",
					w->status, STR_ARG(line), STR_ARG(w->body));
			first = false;
			continue;
		}
		if (!line.n)
			break;
		ptrdiff_t colon = str_find(line, ':');
		if (!EXPECT(colon > 0))
			continue;
		str name = str_sub(line, 0, (size_t)colon);
		expect_match(w, "header", head_value(w, name),
			str_trim(str_from(line, (size_t)colon + 1)));
	}
	if (lines.n)
		expect_match(w, "body", w->body, lines);
}

static void keep(struct world *w, str line)
{
	struct json_value *root;
	str name;

	EXPECT(str_split(&line, ' ', &name));
	if (json_parse(&w->arena, w->body, JSON_DEPTH_DEFAULT, &root, NULL) < 0) {
		test_fail(w->path, w->line, "the body is no JSON: %.*s", STR_ARG(w->body));
		return;
	}
	const struct json_value *v = root;
	str part;
	while (v && str_split(&line, '.', &part)) {
		uint64_t index;

		v = str_to_u64(part, 1000, &index) == 0 ? json_at(v, index) : json_get(v, part);
	}
	if (!json_text(v).p)
		test_fail(w->path, w->line, "no such text in the body: %.*s", STR_ARG(w->body));
	else
		name_set(w, name, json_text(v));
}

static void command(struct world *w, str line)
{
	str word = STR_NULL, rest = line, group = STR_NULL, stream = STR_NULL;

	EXPECT(str_split(&rest, ' ', &word));
	if (str_eq(word, STR("api")))
		w->style = STYLE_API;
	else if (str_eq(word, STR("logs")))
		w->style = STYLE_LOGS;
	else if (str_eq(word, STR("raw")))
		w->style = STYLE_RAW;
	else if (str_eq(word, STR("answer")))
		w->fake.payload = substituted(w, rest);
	else if (str_eq(word, STR("function")))
		w->fake.mode = substituted(w, rest);
	else if (str_eq(word, STR("sweep"))) {
		uint64_t days = 0;

		EXPECT_INT(str_to_u64(rest, 100000, &days), 0);
		EXPECT_INT(logs_sweep(w->logs, wall_ms() + (int64_t)days * 86400000), 0);
	} else if (str_eq(word, STR("lines"))) {
		EXPECT(str_split(&rest, ' ', &group) && str_split(&rest, ' ', &stream));
		const struct port_log_event event = {wall_ms(), substituted(w, rest)};
		EXPECT_INT(w->ports.log->put(w->ports.log->self, STR("000000000000"),
				   STR("us-east-1"), group, stream, true, false, &event, 1),
			0);
		EXPECT_INT(logs_service_drain(w->logs, rt_after_ms(DEADLINE_MS)), 0);
	} else if (!str_eq(word, STR("strict")))
		test_fail(w->path, w->line, "unknown command: %.*s", STR_ARG(line));
}

/* ---- files ---- */

/* Lines that begin with the same mark, without it, joined by newlines. */
static str block(struct world *w, char mark, int *line_number)
{
	struct buf out;
	str peek = w->text, line;

	buf_init(&out, &w->arena, TEXT_MAX);
	while (str_split(&peek, '\n', &line) && line.n && line.p[0] == mark) {
		if (out.n || *line_number)
			buf_put_char(&out, '\n');
		buf_put(&out, str_from(line, line.n > 1 && line.p[1] == ' ' ? 2 : 1));
		w->text = peek;
		(*line_number)++;
	}
	return buf_str(&out);
}

static void run_lines(struct world *w)
{
	str line;

	while (w->text.n) {
		str before = w->text;
		int lines = 0;

		if (before.p[0] == '>') {
			send_request(w, block(w, '>', &lines));
			w->line += lines;
			continue;
		}
		if (before.p[0] == '<') {
			check_answer(w, block(w, '<', &lines));
			w->line += lines;
			continue;
		}
		if (!str_split(&w->text, '\n', &line))
			break;
		char mark = line.n ? line.p[0] : '#';
		line = str_from(line, line.n > 1 && line.p[1] == ' ' ? 2 : 1);
		if (mark == '!')
			command(w, line);
		else if (mark == '=')
			keep(w, line);
		else if (mark == '@')
			expect_match(w, "event", w->fake.event, line);
		else if (mark != '#')
			test_fail(w->path, w->line, "not understood: %.*s", STR_ARG(line));
		w->line++;
	}
}

static void world_main(void *arg)
{
	struct world *w = arg;

	world_start(w);
	run_lines(w);
	world_stop(w);
}

static str read_file(struct arena *a, const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = arena_bytes(a, TEXT_MAX);
	size_t n = f ? fread(text, 1, TEXT_MAX, f) : 0;

	if (f)
		fclose(f);
	return str_of(text, n);
}

void scenario_run(const char *path, unsigned scenarios_min)
{
	struct arena arena cleanup(arena_done_p);
	unsigned scenarios = 0;
	int line = 1;

	arena_init(&arena, 64 << 20);
	str rest = read_file(&arena, path);
	EXPECT(rest.n > 0);
	while (rest.n) {
		ptrdiff_t next = str_find_str(str_from(rest, 1), STR("\n### "));
		struct world w = {.path = path, .line = line};

		w.text = next < 0 ? rest : str_sub(rest, 0, (size_t)next + 2);
		rest = str_from(rest, w.text.n);
		for (size_t i = 0; i < w.text.n; i++)
			line += w.text.p[i] == '\n';
		if (!str_starts(w.text, STR("### ")))
			continue;
		w.strict = str_find_str(w.text, STR("\n! strict")) >= 0;
		world_begin(&w);
		EXPECT_INT(rt_run(w.rt, world_main, &w), 0);
		world_end(&w);
		scenarios++;
	}
	if (scenarios < scenarios_min)
		test_fail(
			path, line, "%u scenarios, expected at least %u", scenarios, scenarios_min);
}
