/*
 * The gate by wire cases: raw requests against a small test service on real models, exact answers.
 *
 * test/aws/wire/NAME.txt holds cases:
 *
 *     ### what it shows
 *     ! sign KEY SERVICE | key KEY SERVICE | strict | container | cors ORIGIN | later MS
 *     > POST / HTTP/1.1
 *     > Host: localhost
 *     >
 *     > body
 *     < 200
 *     < Header: value
 *     <
 *     < body
 *
 * "sign" signs with the key's secret, "key" only names the key. Time stands at
 * 2015-08-30T12:36:00Z, request ids are 01010101-0101-4101-8101-010101010101. UPDATE=1 in the
 * environment prints the answers that were given.
 */
#include "aws/gate.h"
#include "aws/policy.h"
#include "aws/ports/call.h"
#include "aws/ports/identity.h"
#include "aws/sigv4.h"
#include "base/check.h"
#include "base/rc.h"
#include "test/test_table.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW_MS INT64_C(1440938160000)

/* ---- the test service ---- */

enum test_fault { TEST_NOT_FOUND, TEST_CONDITION, TEST_SERVICE };

static const struct fault_kind test_faults[] = {
	[TEST_NOT_FOUND] = {"ResourceNotFoundException", 404, FAULT_CLIENT, FAULT_FINAL},
	[TEST_CONDITION] = {"ConditionalCheckFailedException", 400, FAULT_CLIENT, FAULT_FINAL},
	[TEST_SERVICE] = {"ServiceException", 500, FAULT_SERVER, FAULT_RETRYABLE},
};

static int get_caller_identity(struct call *c)
{
	value_put_str(c->out, "Account", c->account);
	value_put_str(c->out, "Arn", c->principal->arn);
	value_put_str(c->out, "UserId", c->principal->user_id);
	return 0;
}

static int assume_with_web_identity(struct call *c)
{
	value_put_str(c->out, "SubjectFromWebIdentityToken", value_str(c->in, "WebIdentityToken"));
	return 0;
}

/* Echoes the table's name as a list. */
static int list_tables(struct call *c)
{
	struct value *names = value_put_list(c->out, "TableNames");

	value_add_str(names, c->account);
	value_add_str(names, c->region);
	if (value_has(c->in, "ExclusiveStartTableName"))
		value_add_str(names, value_str(c->in, "ExclusiveStartTableName"));
	value_put_str(c->out, "LastEvaluatedTableName", STR("quote\" and \n"));
	return 0;
}

static int get_item(struct call *c)
{
	buf_put(&c->raw_out, STR("{\"Item\":"));
	buf_put(&c->raw_out, c->body);
	buf_put(&c->raw_out, STR("}"));
	return 0;
}

static int get_item_resource(struct call *c, str *ret_arn)
{
	*ret_arn = ARENA_CONCAT(c->arena, STR("arn:aws:dynamodb:"), c->region, STR(":"), c->account,
		STR(":table/t"));
	return 0;
}

static int put_item(struct call *c)
{
	struct value *item;

	c->fault.members = NULL;
	(void)call_fault(c, &test_faults[TEST_CONDITION], "The conditional request failed");
	c->fault.members =
		value_new(c->arena, c->service->model, "ConditionalCheckFailedException");
	item = value_put_map(c->fault.members, "Item");
	value_put_str(value_map_put_struct(item, STR("k")), "S", STR("old"));
	return ERR_FAULT;
}

static int invoke(struct call *c)
{
	str payload = value_str(c->in, "Payload");

	if (str_eq(value_str(c->in, "FunctionName"), STR("missing")))
		return call_fault(c, &test_faults[TEST_NOT_FOUND], "Function not found: %.*s",
			STR_ARG(value_str(c->in, "FunctionName")));
	call_header(c, STR("X-Extra"), STR("yes"));
	call_header(c, STR("Content-Type"), STR("application/json"));
	value_put_str(c->out, "Payload", payload);
	value_put_str(c->out, "ExecutedVersion", STR("$LATEST"));
	if (str_eq(value_str(c->in, "InvocationType"), STR("Event")))
		value_put_int(c->out, "StatusCode", 202);
	return 0;
}

/* Fails as the marker says. */
static int list_functions(struct call *c)
{
	str marker = value_str(c->in, "Marker");

	if (str_eq(marker, STR("busy")))
		return ERR_BUSY;
	if (str_eq(marker, STR("timeout")))
		return ERR_TIMEOUT;
	if (str_eq(marker, STR("bug")))
		return ERR_CORRUPT;
	if (str_eq(marker, STR("service")))
		return call_fault(c, &test_faults[TEST_SERVICE],
			"bad\xff"
			"byte");
	(void)value_put_list(c->out, "Functions");
	return 0;
}

static int no_output(struct call *c)
{
	(void)c;
	return 0;
}

static const struct operation_row sts_rows[] = {
	{.name = "GetCallerIdentity", .handle = get_caller_identity, .flags = ROW_ALWAYS_ALLOWED},
	{.name = "AssumeRoleWithWebIdentity",
		.handle = assume_with_web_identity,
		.flags = ROW_UNSIGNED},
};
static const struct operation_row dynamodb_rows[] = {
	{.name = "ListTables", .handle = list_tables},
	{.name = "GetItem",
		.handle = get_item,
		.resource = get_item_resource,
		.flags = ROW_RAW_BODY,
		.body_max = 200},
	{.name = "PutItem", .handle = put_item},
};
static const struct operation_row lambda_rows[] = {
	{.name = "Invoke", .handle = invoke, .action = "lambda:InvokeFunction"},
	{.name = "ListFunctions", .handle = list_functions},
	{.name = "DeleteFunction", .handle = no_output},
};
static const struct operation_row iam_rows[] = {
	{.name = "DeleteRole", .handle = no_output},
};

/* ---- identities ---- */

struct test_identity {
	const char *key, *secret, *token, *policy;
	int64_t expires_ms;
	bool active;
};

#define ALLOW(action, resource)                                            \
	"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\"," \
	"\"Action\":\"" action "\",\"Resource\":\"" resource "\"}}"

static const struct test_identity test_identities[] = {
	{"AKIDADMIN", "adminsecret", NULL, ALLOW("*", "*"), INT64_MAX, true},
	{"AKIDREADER", "readersecret", NULL,
		ALLOW("dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:123456789012:table/t"),
		INT64_MAX, true},
	{"AKIDOFF", "offsecret", NULL, ALLOW("*", "*"), INT64_MAX, false},
	{"ASIDSESSION", "sessionsecret", "token", ALLOW("*", "*"), NOW_MS + 3600000, true},
	{"ASIDEXPIRED", "expiredsecret", "token", ALLOW("*", "*"), NOW_MS, true},
};

static const struct test_identity *identity_named(str key)
{
	for (size_t i = 0; i < ARRAY_SIZE(test_identities); i++)
		if (str_eq(str_c(test_identities[i].key), key))
			return &test_identities[i];
	return NULL;
}

static int by_access_key(void *self, struct arena *a, str access_key, struct identity *ret)
{
	const struct test_identity *t = identity_named(access_key);
	const struct policy **policies = arena_new_array(a, const struct policy *, 1);
	struct policy *policy;
	str message;

	(void)self;
	if (!t)
		return 0;
	check(policy_parse(a, str_c(t->policy), POLICY_IDENTITY, &policy, &message) >= 0);
	policies[0] = policy;
	*ret = (struct identity){
		.secret = str_c(t->secret),
		.session_token = str_c(t->token),
		.expires_ms = t->expires_ms,
		.active = t->active,
		.generation = 1,
		.principal = {.kind = PRINCIPAL_USER,
			.account = STR("123456789012"),
			.arn = ARENA_CONCAT(a, STR("arn:aws:iam::123456789012:user/"), access_key),
			.user_id = STR("AIDATEST"),
			.name = access_key,
			.policies = policies,
			.policy_count = 1},
	};
	return 1;
}

/* ---- a gate ---- */

struct bench {
	struct ports ports;
	struct port_identity identity;
	struct service services[4];
	struct gate *gate;
	int64_t later_ms;
};

static int64_t bench_later_ms;

static int64_t wall_ms(void)
{
	return NOW_MS + bench_later_ms;
}

static int64_t monotonic_ns(void)
{
	return 1;
}

static void fixed_random(void *to, size_t n)
{
	memset(to, 1, n);
}

static void bench_init(struct bench *b, struct gate_options *o)
{
	const struct {
		const char *name;
		const struct operation_row *rows;
		size_t count;
	} all[] = {
		{"sts", sts_rows, ARRAY_SIZE(sts_rows)},
		{"dynamodb", dynamodb_rows, ARRAY_SIZE(dynamodb_rows)},
		{"lambda", lambda_rows, ARRAY_SIZE(lambda_rows)},
		{"iam", iam_rows, ARRAY_SIZE(iam_rows)},
	};

	*b = (struct bench){.identity = {.by_access_key = by_access_key}};
	b->ports.identity = &b->identity;
	o->wall_ms = wall_ms;
	o->monotonic_ns = monotonic_ns;
	o->random = fixed_random;
	b->gate = gate_new(o, &b->ports);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		b->services[i] = (struct service){.model = model_named(str_c(all[i].name)),
			.rows = all[i].rows,
			.row_count = all[i].count};
		gate_register(b->gate, &b->services[i]);
	}
}

static void bench_done(struct bench *b)
{
	gate_free(b->gate);
}

/* ---- wire cases ---- */

enum { HEADERS_MAX = 32 };

struct wire {
	struct arena *a;
	struct gate_request r;
	struct http_header headers[HEADERS_MAX];
	struct gate_trust trust;
	struct principal function;
	str body;
	str sign_key, sign_service; /* to be signed */
	bool only_name;
	struct gate_options options;
	str cors[1];
};

static int wire_body(void *arg, size_t max, str *ret_body)
{
	struct wire *w = arg;

	if (w->body.n > max)
		return ERR_TOO_LARGE;
	*ret_body = w->body;
	return 0;
}

static void wire_header(struct wire *w, str name, str value)
{
	check(w->r.header_count < HEADERS_MAX);
	w->headers[w->r.header_count++] = (struct http_header){.name = name, .value = value};
}

static void wire_sign(struct wire *w)
{
	const struct test_identity *id = identity_named(w->sign_key);
	struct sigv4_auth auth = {.date = STR("20150830"),
		.region = STR("us-east-1"),
		.service = w->sign_service,
		.signed_headers = STR("host;x-amz-date"),
		.timestamp = STR("20150830T123600Z")};
	struct sigv4_request r = {.method = w->r.method,
		.path = w->r.path,
		.query = w->r.query,
		.headers = w->headers,
		.header_count = w->r.header_count};
	struct sigv4_error error;
	struct hmac_key key;
	uint8_t digest[SHA256_BYTES];
	char hash[64], signature[64];
	str canonical;

	wire_header(w, STR("X-Amz-Date"), auth.timestamp);
	if (id && id->token) {
		wire_header(w, STR("X-Amz-Security-Token"), str_c(id->token));
		auth.signed_headers = STR("host;x-amz-date;x-amz-security-token");
	}
	for (uint32_t i = 0; i < w->r.header_count; i++)
		if (str_eq_nocase(w->headers[i].name, STR("x-amz-target")))
			auth.signed_headers =
				ARENA_CONCAT(w->a, auth.signed_headers, STR(";x-amz-target"));
	r.header_count = w->r.header_count;
	auth.scope = ARENA_CONCAT(
		w->a, auth.date, STR("/us-east-1/"), w->sign_service, STR("/aws4_request"));
	memset(signature, '0', sizeof(signature));
	if (!w->only_name) {
		check(id != NULL);
		sha256_of(w->body, digest);
		hex_encode(digest, sizeof(digest), hash);
		check(sigv4_canonical_request(w->a, &r, &auth, str_of(hash, sizeof(hash)),
			      &canonical, &error) >= 0);
		sigv4_derive_key(str_c(id->secret), auth.date, auth.region, auth.service, &key);
		hmac_sha256(&key, sigv4_string_to_sign(w->a, &auth, canonical), digest);
		hex_encode(digest, sizeof(digest), signature);
	}
	wire_header(w, STR("Authorization"),
		ARENA_CONCAT(w->a, STR("AWS4-HMAC-SHA256 Credential="), w->sign_key, STR("/"),
			auth.scope, STR(", SignedHeaders="), auth.signed_headers,
			STR(", Signature="),
			arena_str(w->a, str_of(signature, sizeof(signature)))));
}

static void wire_directive(struct wire *w, str line)
{
	str word, value;

	check(str_split(&line, ' ', &word));
	if (str_eq(word, STR("sign")) || str_eq(word, STR("key"))) {
		w->only_name = word.p[0] == 'k';
		check(str_split(&line, ' ', &w->sign_key));
		w->sign_service = line;
	} else if (str_eq(word, STR("strict"))) {
		w->options.auth = GATE_STRICT;
	} else if (str_eq(word, STR("container"))) {
		w->function = (struct principal){.kind = PRINCIPAL_SESSION,
			.account = STR("123456789012"),
			.arn = STR("arn:aws:sts::123456789012:assumed-role/role/f"),
			.role_arn = STR("arn:aws:iam::123456789012:role/role"),
			.user_id = STR("AROATEST:f")};
		w->trust.function = &w->function;
	} else if (str_eq(word, STR("cors"))) {
		w->cors[0] = line;
		w->options.cors_origins = w->cors;
		w->options.cors_origin_count = 1;
	} else if (str_eq(word, STR("later"))) {
		check(str_to_i64(line, &bench_later_ms) >= 0);
	} else {
		check(str_split(&line, ' ', &value));
		test_fail(__FILE__, __LINE__, "unknown directive %.*s", STR_ARG(word));
	}
}

/* Request lines ("> " stripped): head, empty line, body. */
static void wire_request(struct wire *w, str text)
{
	str line, name, target;
	ptrdiff_t mark;

	check(str_split(&text, '\n', &line));
	check(str_split(&line, ' ', &w->r.method) && str_split(&line, ' ', &target));
	mark = str_find(target, '?');
	w->r.path = mark < 0 ? target : str_sub(target, 0, (size_t)mark);
	w->r.query = mark < 0 ? STR_NULL : str_from(target, (size_t)mark + 1);
	while (str_split(&text, '\n', &line) && line.n) {
		check(str_split(&line, ':', &name));
		wire_header(w, name, str_trim(line));
	}
	w->body = text.n && text.p[text.n - 1] == '\n' ? str_sub(text, 0, text.n - 1) : text;
	if (w->sign_key.p)
		wire_sign(w);
	w->r.headers = w->headers;
	w->r.peer = STR("127.0.0.1");
	w->r.trust = &w->trust;
	w->r.body = wire_body;
	w->r.body_arg = w;
	w->r.body_length = UINT64_MAX;
}

static str wire_answer(struct wire *w)
{
	struct bench b;
	struct gate_response answer;
	struct buf out;

	bench_init(&b, &w->options);
	gate_handle(b.gate, w->a, &w->r, &answer);
	buf_init(&out, w->a, 1 << 20);
	buf_printf(&out, "%u\n", answer.status);
	for (uint32_t i = 0; i < answer.header_count; i++)
		buf_printf(&out, "%.*s: %.*s\n", STR_ARG(answer.headers[i].name),
			STR_ARG(answer.headers[i].value));
	buf_put_char(&out, '\n');
	buf_put(&out, answer.body);
	if (answer.body.n && answer.body.p[answer.body.n - 1] != '\n')
		buf_put_char(&out, '\n');
	bench_done(&b);
	return buf_str(&out);
}

static void print_case(str head, str answer)
{
	str line;

	printf("%.*s", STR_ARG(head));
	while (str_split(&answer, '\n', &line))
		printf("<%s%.*s\n", line.n ? " " : "", STR_ARG(line));
	printf("\n");
}

static unsigned run_cases(const char *path)
{
	struct test_table file;
	struct buf request, answer, head;
	str line, name = STR_NULL, rest;
	unsigned cases = 0;
	int number = 0, begun = 0;
	struct arena a;
	struct wire w;
	bool more = true;

	test_table_open(&file, path);
	rest = file.rest;
	arena_init(&a, SIZE_MAX);
	buf_init(&request, NULL, 1 << 20);
	buf_init(&answer, NULL, 1 << 20);
	buf_init(&head, NULL, 1 << 20);
	while (more) {
		more = str_split(&rest, '\n', &line);
		number++;
		if (!more || str_starts(line, STR("### "))) {
			if (name.p) {
				str got;

				wire_request(&w, buf_str(&request));
				got = wire_answer(&w);
				if (getenv("UPDATE"))
					print_case(buf_str(&head), got);
				else if (!str_eq(got, buf_str(&answer)))
					test_fail(path, begun, "%.*s\n--- is\n%.*s--- want\n%.*s",
						STR_ARG(name), STR_ARG(got),
						STR_ARG(buf_str(&answer)));
				cases++;
				arena_done(&a);
			}
			name = line;
			begun = number;
			bench_later_ms = 0;
			w = (struct wire){.a = &a, .trust = {.loopback = true}};
			buf_reset(&request);
			buf_reset(&answer);
			buf_reset(&head);
		}
		if (more && line.n && line.p[0] != '<') {
			buf_put(&head, line);
			buf_put_char(&head, '\n');
		}
		if (str_starts(line, STR("! "))) {
			wire_directive(&w, str_from(line, 2));
		} else if (str_starts(line, STR(">"))) {
			buf_put(&request, str_from(line, line.n > 1 ? 2 : 1));
			buf_put_char(&request, '\n');
		} else if (str_starts(line, STR("<"))) {
			buf_put(&answer, str_from(line, line.n > 1 ? 2 : 1));
			buf_put_char(&answer, '\n');
		}
	}
	buf_done(&request);
	buf_done(&answer);
	buf_done(&head);
	arena_done(&a);
	test_table_close(&file, 0);
	return cases;
}

TEST(aws_gate, wire_protocols)
{
	EXPECT(run_cases("test/aws/wire/protocols.txt") >= 25);
}

TEST(aws_gate, wire_auth)
{
	EXPECT(run_cases("test/aws/wire/auth.txt") >= 20);
}

TEST(aws_gate, wire_browser)
{
	EXPECT(run_cases("test/aws/wire/browser.txt") >= 15);
}

TEST(aws_gate, wire_routing)
{
	EXPECT(run_cases("test/aws/wire/routing.txt") >= 15);
}

/* ---- in-process calls ---- */

TEST(aws_gate, calls_inside)
{
	struct gate_options o = {.auth = GATE_OPEN};
	struct principal root = {.kind = PRINCIPAL_ROOT,
		.account = STR("123456789012"),
		.arn = STR("arn:aws:iam::123456789012:root"),
		.unrestricted = true};
	struct principal nobody = {.kind = PRINCIPAL_USER,
		.account = STR("123456789012"),
		.arn = STR("arn:aws:iam::123456789012:user/n")};
	const struct port_call *port;
	const struct value *out = NULL;
	struct fault fault;
	struct value *in, *key;
	struct arena a;
	struct bench b;

	arena_init(&a, SIZE_MAX);
	bench_init(&b, &o);
	port = b.ports.call;
	in = port->input(port->self, &a, "lambda", "Invoke");
	value_put_str(in, "FunctionName", STR("f"));
	value_put_str(in, "Payload", STR("[1]"));
	ASSERT_INT(port->call(port->self, &a, "lambda", "Invoke", &root, STR("us-east-1"), in, &out,
			   &fault),
		0);
	EXPECT_STR(value_str(out, "Payload"), STR("[1]"));

	EXPECT_INT(port->call(port->self, &a, "lambda", "Invoke", &nobody, STR("us-east-1"), in,
			   &out, &fault),
		ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("AccessDeniedException"));

	in = port->input(port->self, &a, "lambda", "Invoke");
	EXPECT_INT(port->call(port->self, &a, "lambda", "Invoke", &root, STR("us-east-1"), in, &out,
			   &fault),
		ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("ValidationException"));

	in = port->input(port->self, &a, "dynamodb", "GetItem");
	value_put_str(in, "TableName", STR("tab"));
	key = value_put_map(in, "Key");
	value_put_str(value_map_put_struct(key, STR("k")), "S", STR("v"));
	(void)key;
	EXPECT_INT(port->call(port->self, &a, "logs", "CreateLogGroup", &root, STR("us-east-1"),
			   port->input(port->self, &a, "logs", "CreateLogGroup"), &out, &fault),
		ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("NotImplemented"));
	arena_done(&a);
	bench_done(&b);
}

TEST(aws_gate, buckets_in_hosts)
{
	static const struct {
		const char *host, *bucket; /* NULL: none */
	} cases[] = {
		{"photos.s3.localhost", "photos"},
		{"photos.s3.localhost:4566", "photos"},
		{"photos.S3.LocalHost.localstack.cloud", "photos"},
		{"a.b.c.s3.eu-west-1.localhost", "a.b.c"},
		{"photos.s3.cloud.example:80", "photos"},
		{"photos.s3.us-east-1.cloud.example", "photos"},
		{"s3.s3.localhost", "s3"},
		{"s3.localhost", NULL},
		{"s3.eu-west-1.localhost", NULL},
		{"localhost", NULL},
		{"photos.localhost", NULL},
		{"photos.s3.a.b.localhost", NULL},
		{"photos.s3.example", NULL},
		{"photos.s3.amazonaws.com", NULL},
		{"id.lambda-url.us-east-1.localhost", NULL},
		{"127.0.0.1:4566", NULL},
		{"[::1]:4566", NULL},
		{"", NULL},
	};
	const str suffixes[] = {STR("cloud.example")};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		str found = gate_bucket_of_host(str_c(cases[i].host), suffixes, 1);

		EXPECT_STR(found, str_c(cases[i].bucket));
		EXPECT((found.p != NULL) == (cases[i].bucket != NULL));
	}
}
