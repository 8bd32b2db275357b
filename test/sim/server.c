/*
 * The whole server over the simulated network: connections break, the store fails, the server is
 * cut off and started anew, and what it has acknowledged holds.
 *
 *     items   each writer owns a key and counts it up: a read shows at least the last acknowledged
 *             version, at most the last one sent; a write that was refused is never seen
 *     keys    a key that IAM has issued is accepted at once, does what its user's policy allows and
 *             nothing else, and is refused once its deletion is acknowledged
 *     lines   acknowledged log lines are there, once, in order, and otherwise only what was sent
 *     routes  a deployed HTTP API answers from the backend that was set last
 *     wire    pipelined requests are answered in order; garbage and half requests harm nobody
 *
 * An answer that did not come, or says 5xx, leaves open whether the request was done.
 */
#include "test/sim/server_world.h"
#include "test/sim/workloads.h"

#include "base/check.h"
#include "base/json.h"
#include "base/rc.h"
#include "http/client.h"

#include <string.h>

enum { WRITERS = 2, STEPS = 14, TRIES_MAX = 200, LINES_MAX = STEPS, PIPELINE_MAX = 5, CRASHES = 2 };

static const struct world_signature root_dynamodb = {
	STR_INIT("test"), STR_INIT("test"), STR_INIT("dynamodb")};
static const struct world_signature root_iam = {
	STR_INIT("test"), STR_INIT("test"), STR_INIT("iam")};
static const struct world_signature root_logs = {
	STR_INIT("test"), STR_INIT("test"), STR_INIT("logs")};
static const struct world_signature root_api = {
	STR_INIT("test"), STR_INIT("test"), STR_INIT("apigateway")};

/* What the last acknowledged and the last sent request leave possible. */
struct writer {
	struct server *server;
	unsigned number;
	uint64_t done, sent;
};

struct server {
	struct world *w;
	struct writer writers[WRITERS];
	unsigned working;
	/* lines: lines[i] is whether line i was acknowledged */
	bool lines[LINES_MAX];
	unsigned line_count;
	/* routes */
	str api, integration;
	struct arena arena; /* of the texts above */
	unsigned backends;  /* a bit for each backend that may be the one that is set */
	int64_t late_ns[2]; /* until then a change to it may be made whose answer did not come */
};

/* ---- calls ---- */

static bool is_known(const struct answer *answer)
{
	return answer->status && answer->status < 500;
}

static mayyield struct answer json_call(struct server *s, struct http_client *client,
	struct arena *a, const struct world_signature *by, const char *target, str body)
{
	return server_send(s->w, client, a,
		&(struct server_call){
			.by = *by, .method = "POST", .path = "/", .target = target, .body = body});
}

static mayyield struct answer iam_call(
	struct server *s, struct http_client *client, struct arena *a, str form)
{
	return server_send(s->w, client, a,
		&(struct server_call){.by = root_iam,
			.method = "POST",
			.path = "/",
			.content_type = "application/x-www-form-urlencoded",
			.body = ARENA_CONCAT(a, form, STR("&Version=2010-05-08"))});
}

static mayyield struct answer api_call(struct server *s, struct http_client *client,
	struct arena *a, const char *method, str path, str body)
{
	return server_send(s->w, client, a,
		&(struct server_call){.by = root_api,
			.method = method,
			.path = ARENA_CONCAT(a, path, str_of("", 1)).p,
			.content_type = "application/json",
			.body = body});
}

static str member(struct arena *a, str body, const char *name)
{
	struct json_value *v;

	return json_parse(a, body, 16, &v, NULL) < 0 ? STR("")
						     : json_text(json_get(v, str_c(name)));
}

/* Repeats a call of the set-up until it is answered. */
#define INSIST(answer, call, what)                                                      \
	do {                                                                            \
		unsigned tries_ = 0;                                                    \
		while ((answer) = (call), !is_known(&(answer)) && tries_++ < TRIES_MAX) \
			nap(20);                                                        \
		if (!is_known(&(answer)))                                               \
			world_fail(s->w, "%s is never answered", (what));               \
	} while (0)

/* ---- items ---- */

static mayyield struct answer put_version(struct server *s, struct http_client *client,
	struct arena *a, const struct world_signature *by, const char *table, unsigned key,
	uint64_t n)
{
	return json_call(s, client, a, by, "DynamoDB_20120810.PutItem",
		arena_printf(a,
			"{\"TableName\":\"%s\",\"Item\":{\"pk\":{\"S\":\"k%u\"},\"n\":{\"N\":"
			"\"%llu\"}}}",
			table, key, (unsigned long long)n));
}

static void check_version(
	struct server *s, struct http_client *client, struct arena *a, const struct writer *me)
{
	struct answer answer = json_call(s, client, a, &root_dynamodb, "DynamoDB_20120810.GetItem",
		arena_printf(a,
			"{\"TableName\":\"items\",\"Key\":{\"pk\":{\"S\":\"k%u\"}},"
			"\"ConsistentRead\":true}",
			me->number));
	struct json_value *v;
	uint64_t n = 0;

	if (!is_known(&answer))
		return;
	if (answer.status != 200 || json_parse(a, answer.body, 16, &v, NULL) < 0) {
		world_fail(s->w, "GetItem answered %u %.*s", answer.status, STR_ARG(answer.body));
		return;
	}
	if (str_to_u64(json_text(json_get_path(v, STR("Item.n.N"))), UINT64_MAX, &n) < 0)
		n = 0;
	if (n < me->done || n > me->sent)
		world_fail(s->w, "k%u is %llu: %llu were acknowledged, %llu sent", me->number,
			(unsigned long long)n, (unsigned long long)me->done,
			(unsigned long long)me->sent);
}

/* With a number that nobody sends otherwise. */
static void write_unsigned(
	struct server *s, struct http_client *client, struct arena *a, const struct writer *me)
{
	static const struct world_signature nobody = {STR_NULL, STR_NULL, STR_INIT("dynamodb")};
	struct answer answer = put_version(s, client, a, &nobody, "items", me->number, 1000000);

	if (is_known(&answer) && answer.status < 400)
		world_fail(s->w, "a PutItem without a signature answered %u %.*s", answer.status,
			STR_ARG(answer.body));
}

static void writer(void *arg)
{
	struct writer *me = arg;
	struct server *s = me->server;
	struct http_client *client cleanup(server_client_free_p) = server_client();

	for (unsigned step = 0; step < STEPS && !rt_cancelled(); step++) {
		struct arena a cleanup(arena_done_p);
		struct answer answer;

		arena_init(&a, 16 << 20);
		switch (any(4)) {
		case 0: check_version(s, client, &a, me); break;
		case 1: write_unsigned(s, client, &a, me); break;
		default:
			answer = put_version(
				s, client, &a, &root_dynamodb, "items", me->number, ++me->sent);
			if (answer.status == 200)
				me->done = me->sent;
			else if (is_known(&answer))
				world_fail(s->w, "PutItem answered %u %.*s", answer.status,
					STR_ARG(answer.body));
		}
		nap(any(40));
	}
	s->working--;
	world_client_end(s->w);
}

/* ---- keys ---- */

static str between(str text, const char *open, const char *close)
{
	ptrdiff_t from = str_find_str(text, str_c(open)), to;

	if (from < 0)
		return STR("");
	text = str_from(text, (size_t)from + strlen(open));
	to = str_find_str(text, str_c(close));
	return to < 0 ? STR("") : str_sub(text, 0, (size_t)to);
}

/* A user who may write the table "items" and nothing else. */
static bool make_user(struct server *s, struct http_client *client, struct arena *a, unsigned n)
{
	struct answer answer;

	INSIST(answer, iam_call(s, client, a, arena_printf(a, "Action=CreateUser&UserName=u%u", n)),
		"CreateUser");
	INSIST(answer,
		iam_call(s, client, a,
			arena_printf(a,
				"Action=PutUserPolicy&UserName=u%u&PolicyName=p&PolicyDocument="
				"%%7B%%22Version%%22%%3A%%222012-10-17%%22%%2C%%22Statement%%22%%3A"
				"%%7B%%22Effect%%22%%3A%%22Allow%%22%%2C%%22Action%%22%%3A"
				"%%22dynamodb%%3APutItem%%22%%2C%%22Resource%%22%%3A"
				"%%22arn%%3Aaws%%3Adynamodb%%3A%%2A%%3A%%2A%%3Atable%%2Fitems%%22"
				"%%7D%%7D",
				n)),
		"PutUserPolicy");
	if (answer.status != 200)
		world_fail(s->w, "PutUserPolicy answered %u %.*s", answer.status,
			STR_ARG(answer.body));
	return answer.status == 200;
}

static void expect(struct server *s, const struct answer *answer, bool allowed, const char *what)
{
	if (is_known(answer) && (answer->status == 200) != allowed)
		world_fail(
			s->w, "%s answered %u %.*s", what, answer->status, STR_ARG(answer->body));
}

static void use_key(struct server *s, struct http_client *client, struct arena *a,
	const struct world_signature *key, unsigned n)
{
	struct world_signature wrong = *key;
	struct answer answer;

	wrong.secret = STR("wrong");
	answer = put_version(s, client, a, key, "items", 1000 + n, 1);
	expect(s, &answer, true, "what a policy allows");
	answer = put_version(s, client, a, key, "other", n, 1);
	expect(s, &answer, false, "what no policy allows");
	answer = put_version(s, client, a, &wrong, "other", n, 1);
	expect(s, &answer, false, "a wrong secret");
}

static void rotate_key(struct server *s, struct http_client *client, struct arena *a, unsigned n)
{
	struct world_signature key = {.service = STR("dynamodb")};
	struct answer answer;

	if (!make_user(s, client, a, n))
		return;
	answer = iam_call(s, client, a, arena_printf(a, "Action=CreateAccessKey&UserName=u%u", n));
	if (!is_known(&answer))
		return;
	key.access_key = between(answer.body, "<AccessKeyId>", "<");
	key.secret = between(answer.body, "<SecretAccessKey>", "<");
	if (!key.access_key.n || !key.secret.n) {
		world_fail(s->w, "CreateAccessKey answered %u %.*s", answer.status,
			STR_ARG(answer.body));
		return;
	}
	use_key(s, client, a, &key, n);
	INSIST(answer,
		iam_call(s, client, a,
			arena_printf(a, "Action=DeleteAccessKey&UserName=u%u&AccessKeyId=%.*s", n,
				STR_ARG(key.access_key))),
		"DeleteAccessKey");
	answer = put_version(s, client, a, &key, "items", 1000 + n, 2);
	expect(s, &answer, false, "a key that was deleted");
}

static void key_client(void *arg)
{
	struct server *s = arg;
	struct http_client *client cleanup(server_client_free_p) = server_client();

	for (unsigned i = 0; i < STEPS / 3 && !rt_cancelled(); i++) {
		struct arena a cleanup(arena_done_p);

		arena_init(&a, 16 << 20);
		rotate_key(s, client, &a, i);
		nap(any(60));
	}
	s->working--;
	world_client_end(s->w);
}

/* ---- lines ---- */

static void put_line(struct server *s, struct http_client *client, struct arena *a)
{
	unsigned i = s->line_count++;
	struct answer answer = json_call(s, client, a, &root_logs, "Logs_20140328.PutLogEvents",
		arena_printf(a,
			"{\"logGroupName\":\"g\",\"logStreamName\":\"s\",\"logEvents\":[{"
			"\"timestamp\":%lld,\"message\":\"line %u\"}]}",
			(long long)(rt_wall() / RT_NS_MS), i));

	s->lines[i] = answer.status == 200;
	if (is_known(&answer) && answer.status != 200)
		world_fail(
			s->w, "PutLogEvents answered %u %.*s", answer.status, STR_ARG(answer.body));
}

/* Acknowledged lines up to `i`, that is not among them. */
static void check_missing(struct server *s, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		if (s->lines[i])
			world_fail(s->w, "line %u was acknowledged and is not there", i);
}

static void check_lines(struct server *s, struct http_client *client, struct arena *a)
{
	struct answer answer = json_call(s, client, a, &root_logs, "Logs_20140328.GetLogEvents",
		STR("{\"logGroupName\":\"g\",\"logStreamName\":\"s\",\"startFromHead\":true}"));
	const struct json_value *events;
	struct json_value *v;
	unsigned next = 0;

	if (!is_known(&answer))
		return;
	if (answer.status != 200 || json_parse(a, answer.body, 16, &v, NULL) < 0) {
		world_fail(
			s->w, "GetLogEvents answered %u %.*s", answer.status, STR_ARG(answer.body));
		return;
	}
	events = json_get(v, STR("events"));
	for (uint32_t i = 0; events && i < events->count; i++) {
		str text = json_text(json_get(json_at(events, i), STR("message")));
		uint64_t n = UINT64_MAX;

		if (!str_starts(text, STR("line ")) ||
			str_to_u64(str_from(text, 5), LINES_MAX - 1, &n) < 0 || n < next) {
			world_fail(s->w, "\"%.*s\" is the line behind %u", STR_ARG(text), next);
			return;
		}
		check_missing(s, next, (unsigned)n);
		next = (unsigned)n + 1;
	}
	check_missing(s, next, s->line_count);
}

static void line_client(void *arg)
{
	struct server *s = arg;
	struct http_client *client cleanup(server_client_free_p) = server_client();

	while (s->line_count < LINES_MAX && !rt_cancelled()) {
		struct arena a cleanup(arena_done_p);

		arena_init(&a, 16 << 20);
		if (any(4))
			put_line(s, client, &a);
		else
			check_lines(s, client, &a);
		nap(1 + any(40));
	}
	s->working--;
	world_client_end(s->w);
}

/* ---- routes ---- */

#define LATE_NS RT_NS_S

static const char *const backend_addresses[] = {"10.0.0.1:80", "10.0.0.2:80"};

struct backend {
	struct http_server *http;
	unsigned number;
};

/* "NUMBER TARGET" */
static void serve_backend(struct http_exchange *x, void *arg)
{
	const struct backend *b = arg;
	int rc = http_respond(
		x, 200, NULL, 0, arena_printf(&x->arena, "%u %.*s", b->number, STR_ARG(x->target)));

	(void)rc;
}

static void backend_start(struct backend *b, unsigned number)
{
	struct http_server_options options = {.handler = serve_backend, .arg = b};
	struct rt_listen_options listen = {.address = str_c(backend_addresses[number])};

	b->number = number;
	check(http_server_new(&options, &b->http) == 0);
	check(http_server_listen(b->http, &listen, NULL) == 0);
}

static void backend_end(struct backend *b)
{
	int cut = http_server_drain(b->http, rt_now());

	check(cut >= 0);
	http_server_free(b->http);
}

static str integration_body(struct arena *a, unsigned backend)
{
	return arena_printf(a,
		"{\"integrationType\":\"HTTP_PROXY\",\"integrationMethod\":\"ANY\","
		"\"payloadFormatVersion\":\"1.0\",\"integrationUri\":\"http://%s/b/{rest}\"}",
		backend_addresses[backend]);
}

static void make_api(struct server *s, struct http_client *client, struct arena *a)
{
	struct answer answer;

	INSIST(answer,
		api_call(s, client, a, "POST", STR("/v2/apis"),
			STR("{\"name\":\"a\",\"protocolType\":\"HTTP\"}")),
		"CreateApi");
	s->api = arena_str(&s->arena, member(a, answer.body, "apiId"));
	INSIST(answer,
		api_call(s, client, a, "POST",
			arena_printf(a, "/v2/apis/%.*s/integrations", STR_ARG(s->api)),
			integration_body(a, 0)),
		"CreateIntegration");
	s->integration = arena_str(&s->arena, member(a, answer.body, "integrationId"));
	s->backends = 1;
	INSIST(answer,
		api_call(s, client, a, "POST",
			arena_printf(a, "/v2/apis/%.*s/routes", STR_ARG(s->api)),
			arena_printf(a,
				"{\"routeKey\":\"ANY /{rest+}\",\"target\":\"integrations/%.*s\"}",
				STR_ARG(s->integration))),
		"CreateRoute");
	INSIST(answer,
		api_call(s, client, a, "POST",
			arena_printf(a, "/v2/apis/%.*s/stages", STR_ARG(s->api)),
			STR("{\"stageName\":\"$default\",\"autoDeploy\":true}")),
		"CreateStage");
	if (answer.status != 201 && answer.status != 409)
		world_fail(
			s->w, "CreateStage answered %u %.*s", answer.status, STR_ARG(answer.body));
}

static void set_backend(struct server *s, struct http_client *client, struct arena *a)
{
	unsigned to = any(2);
	struct answer answer;

	s->backends |= 1U << to;
	answer = api_call(s, client, a, "PATCH",
		arena_printf(a, "/v2/apis/%.*s/integrations/%.*s", STR_ARG(s->api),
			STR_ARG(s->integration)),
		integration_body(a, to));
	/* A server goes on with a request whose client was cut off, and may come to it behind the
	 * next one. */
	if (!is_known(&answer))
		s->late_ns[to] = rt_now() + LATE_NS;
	else if (answer.status == 200)
		s->backends = 1U << to | (rt_now() < s->late_ns[!to] ? 1U << !to : 0);
	else
		world_fail(s->w, "UpdateIntegration answered %u %.*s", answer.status,
			STR_ARG(answer.body));
}

static void ask_backend(struct server *s, struct http_client *client, struct arena *a, unsigned n)
{
	struct answer answer = server_send(s->w, client, a,
		&(struct server_call){.method = "GET",
			.path = arena_printf(
				a, "/_aws/execute-api/%.*s/x/%u%c", STR_ARG(s->api), n, 0)
					.p,
			.content_type = "text/plain"});
	unsigned said;

	if (!is_known(&answer))
		return;
	said = answer.body.n ? (unsigned)(answer.body.p[0] - '0') : 9;
	if (answer.status != 200 || said > 1 || !(s->backends & 1U << said) ||
		!str_eq(str_from(answer.body, 1), arena_printf(a, " /b/x/%u", n)))
		world_fail(s->w, "x/%u of backends %x answered %u %.*s", n, s->backends,
			answer.status, STR_ARG(answer.body));
}

static void route_client(void *arg)
{
	struct server *s = arg;
	struct http_client *client cleanup(server_client_free_p) = server_client();

	for (unsigned i = 0; i < STEPS && !rt_cancelled(); i++) {
		struct arena a cleanup(arena_done_p);

		arena_init(&a, 16 << 20);
		if (any(4))
			ask_backend(s, client, &a, i);
		else
			set_backend(s, client, &a);
		nap(any(40));
	}
	s->working--;
	world_client_end(s->w);
}

/* ---- wire ---- */

static unsigned count_answers(str text, const char *status)
{
	unsigned n = 0;
	ptrdiff_t at;

	while ((at = str_find_str(text, str_c(status))) >= 0) {
		n++;
		text = str_from(text, (size_t)at + 1);
	}
	return n;
}

/* Sends it in one piece; what came back until the other side closed, or nothing more came. */
static mayyield str raw_exchange(struct arena *a, str bytes, bool leave)
{
	struct rt_stream *stream;
	struct buf got;
	char piece[2048];
	int n;

	buf_init(&got, a, 1 << 20);
	if (rt_connect(STR(SERVER_ADDRESS), rt_after_ms(1000), &stream) < 0)
		return STR("");
	if (rt_stream_write(stream, bytes, rt_after_ms(1000)) == 0 && !leave)
		while ((n = rt_stream_read(stream, piece, sizeof piece, rt_after_ms(3000))) > 0)
			buf_put(&got, str_of(piece, (size_t)n));
	rt_stream_close(stream);
	return buf_str(&got);
}

static void pipeline(struct server *s, struct arena *a)
{
	unsigned n = 1 + any(PIPELINE_MAX);
	struct buf out;
	str got;

	buf_init(&out, a, 1 << 16);
	for (unsigned i = 0; i < n; i++)
		buf_put(&out,
			STR("GET /_cirrus/health HTTP/1.1\r\nHost: " SERVER_ADDRESS "\r\n\r\n"));
	buf_put(&out, STR("GET /nothing/here HTTP/1.1\r\nHost: " SERVER_ADDRESS
			  "\r\nConnection: close\r\n\r\n"));
	got = raw_exchange(a, buf_str(&out), false);
	/* All answers, or the connection was cut: then no more than were asked for. */
	if (count_answers(got, "HTTP/1.1 200") > n || count_answers(got, "HTTP/1.1 ") > n + 1)
		world_fail(s->w, "%u pipelined requests got %.*s", n, STR_ARG(got));
}

static void wire_client(void *arg)
{
	static const str garbage[] = {STR_INIT("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
		STR_INIT("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
		STR_INIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
			 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")};
	static const str halves[] = {STR_INIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
					      "\r\nabc"),
		STR_INIT("GET /_cirrus/hea")};
	struct server *s = arg;

	for (unsigned i = 0; i < STEPS / 2 && !rt_cancelled(); i++) {
		struct arena a cleanup(arena_done_p);
		str got;

		arena_init(&a, 16 << 20);
		switch (any(3)) {
		case 0: pipeline(s, &a); break;
		case 1:
			got = raw_exchange(&a, garbage[any(ARRAY_SIZE(garbage))], false);
			if (got.n && !str_starts(got, STR("HTTP/1.1 400")))
				world_fail(s->w, "garbage got %.*s", STR_ARG(got));
			break;
		default: got = raw_exchange(&a, halves[any(ARRAY_SIZE(halves))], true); break;
		}
		nap(any(60));
	}
	s->working--;
	world_client_end(s->w);
}

/* ---- all of it ---- */

static void make_tables(struct server *s, struct http_client *client, struct arena *a)
{
	static const char *const names[] = {"items", "other"};
	struct answer answer;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		INSIST(answer,
			json_call(s, client, a, &root_dynamodb, "DynamoDB_20120810.CreateTable",
				arena_printf(a,
					"{\"TableName\":\"%s\",\"BillingMode\":"
					"\"PAY_PER_REQUEST\",\"AttributeDefinitions\":[{"
					"\"AttributeName\":\"pk\",\"AttributeType\":\"S\"}],"
					"\"KeySchema\":[{\"AttributeName\":\"pk\",\"KeyType\":"
					"\"HASH\"}]}",
					names[i])),
			"CreateTable");
		if (answer.status != 200 &&
			str_find_str(answer.body, STR("ResourceInUseException")) < 0)
			world_fail(s->w, "CreateTable answered %u %.*s", answer.status,
				STR_ARG(answer.body));
	}
}

static void set_up(struct server *s, struct http_client *client)
{
	struct arena a cleanup(arena_done_p);
	struct answer answer;

	arena_init(&a, 16 << 20);
	make_tables(s, client, &a);
	INSIST(answer,
		json_call(s, client, &a, &root_logs, "Logs_20140328.CreateLogGroup",
			STR("{\"logGroupName\":\"g\"}")),
		"CreateLogGroup");
	INSIST(answer,
		json_call(s, client, &a, &root_logs, "Logs_20140328.CreateLogStream",
			STR("{\"logGroupName\":\"g\",\"logStreamName\":\"s\"}")),
		"CreateLogStream");
	make_api(s, client, &a);
}

static void start_clients(struct server *s)
{
	static rt_fiber_fn *const others[] = {key_client, line_client, route_client, wire_client};

	for (unsigned i = 0; i < WRITERS; i++) {
		s->writers[i] = (struct writer){.server = s, .number = i};
		s->working++;
		world_client(s->w, writer, &s->writers[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		s->working++;
		world_client(s->w, others[i], s);
	}
}

/* With no faults any more, on a server that was started anew. */
static void check_all(struct server *s)
{
	struct http_client *client cleanup(server_client_free_p) = server_client();
	struct arena a cleanup(arena_done_p);
	struct answer answer;

	arena_init(&a, 16 << 20);
	for (unsigned i = 0; i < WRITERS; i++)
		check_version(s, client, &a, &s->writers[i]);
	check_lines(s, client, &a);
	ask_backend(s, client, &a, 99);
	INSIST(answer,
		json_call(s, client, &a, &root_dynamodb, "DynamoDB_20120810.Scan",
			STR("{\"TableName\":\"other\"}")),
		"Scan");
	if (str_find_str(answer.body, STR("\"Count\":0,")) < 0)
		world_fail(s->w, "what was refused has happened: %.*s", STR_ARG(answer.body));
}

static void run(struct server *s)
{
	struct http_client *client cleanup(server_client_free_p) = server_client();
	unsigned crashes = any(CRASHES + 1);

	set_up(s, client);
	start_clients(s);
	for (unsigned i = 0; i < crashes && s->working; i++) {
		nap(50 + any(300));
		world_crash(s->w);
	}
	world_wait_clients(s->w);
	world_calm(s->w);
	world_crash(s->w);
	world_calm(s->w);
	check_all(s);
}

void workload_server(struct world *w)
{
	struct backend backends[ARRAY_SIZE(backend_addresses)];
	struct server s = {.w = w};

	arena_init(&s.arena, 1 << 16);
	for (unsigned i = 0; i < ARRAY_SIZE(backends); i++)
		backend_start(&backends[i], i);
	run(&s);
	for (unsigned i = 0; i < ARRAY_SIZE(backends); i++)
		backend_end(&backends[i]);
	arena_done(&s.arena);
}
