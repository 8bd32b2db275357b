/*
 * What the gate costs a request: a signed GetItem with the headers that an SDK sends, its handler
 * answering a constant, one thread (`make micro`). Rows with and without a signature to verify and
 * a policy to ask show the parts. Best of five runs, since the machine is shared.
 */
#include "aws/gate.h"
#include "aws/policy.h"
#include "aws/ports/identity.h"
#include "aws/sigv4.h"
#include "base/check.h"

#include <stdio.h>
#include <time.h>

#define NOW_MS INT64_C(1440938160000)
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

static const char body[] =
	"{\"TableName\":\"orders\",\"Key\":{\"customer\":{\"S\":\"c-000123456\"},"
	"\"order\":{\"N\":\"1700000000123\"}},\"ConsistentRead\":true}";

static const struct policy *policy;
static bool restricted, known;

static int by_access_key(void *self, struct arena *a, str access_key, struct identity *ret)
{
	(void)self;
	(void)a;
	(void)access_key;
	if (!known)
		return 0;
	*ret = (struct identity){.secret = STR(SECRET),
		.expires_ms = INT64_MAX,
		.active = true,
		.generation = 1,
		.principal = {.kind = PRINCIPAL_USER,
			.account = STR("123456789012"),
			.arn = STR("arn:aws:iam::123456789012:user/u"),
			.user_id = STR("AIDATEST"),
			.name = STR("u"),
			.policies = &policy,
			.policy_count = 1,
			.unrestricted = !restricted}};
	return 1;
}

static int get_item(struct call *c)
{
	buf_put(&c->raw_out, STR("{\"Item\":{\"customer\":{\"S\":\"c-000123456\"}}}"));
	return 0;
}

static int table_arn(struct call *c, str *ret_arn)
{
	*ret_arn = ARENA_CONCAT(c->arena, STR("arn:aws:dynamodb:"), c->region, STR(":"), c->account,
		STR(":table/orders"));
	return 0;
}

static int describe_limits(struct call *c)
{
	value_put_int(c->out, "AccountMaxReadCapacityUnits", 80000);
	return 0;
}

static const struct operation_row rows[] = {
	{.name = "GetItem", .handle = get_item, .resource = table_arn, .flags = ROW_RAW_BODY},
	{.name = "DescribeLimits", .handle = describe_limits},
};

static int64_t fixed_ms(void)
{
	return NOW_MS;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void fixed_random(void *to, size_t n)
{
	memset(to, 1, n);
}

static int read_body(void *arg, size_t max, str *ret_body)
{
	(void)max;
	*ret_body = *(const str *)arg;
	return 0;
}

struct bench {
	struct gate *gate;
	struct http_header headers[10];
	struct gate_trust trust;
	struct gate_request r;
	str body;
};

static void header(struct bench *b, enum http_name known_name, str name, str value)
{
	b->headers[b->r.header_count++] =
		(struct http_header){.known = known_name, .name = name, .value = value};
}

static void sign(struct bench *b, struct arena *a, str target)
{
	struct sigv4_auth auth = {.date = STR("20150830"),
		.region = STR("us-east-1"),
		.service = STR("dynamodb"),
		.scope = STR("20150830/us-east-1/dynamodb/aws4_request"),
		.signed_headers = STR("content-type;host;x-amz-date;x-amz-target"),
		.timestamp = STR("20150830T123600Z")};
	struct sigv4_request r = {.method = STR("POST"), .path = STR("/"), .headers = b->headers};
	struct sigv4_error error;
	uint8_t digest[SHA256_BYTES];
	struct hmac_key key;
	char hex[64];
	str text;

	header(b, HTTP_NAME_HOST, STR("Host"), STR("localhost:4566"));
	header(b, HTTP_NAME_OTHER, STR("Accept-Encoding"), STR("identity"));
	header(b, HTTP_NAME_X_AMZ_TARGET, STR("X-Amz-Target"), target);
	header(b, HTTP_NAME_CONTENT_TYPE, STR("Content-Type"), STR("application/x-amz-json-1.0"));
	header(b, HTTP_NAME_USER_AGENT, STR("User-Agent"),
		STR("Boto3/1.40.0 md/Botocore#1.40.0 ua/2.1 os/linux lang/python#3.11.7"));
	header(b, HTTP_NAME_X_AMZ_DATE, STR("X-Amz-Date"), STR("20150830T123600Z"));
	header(b, HTTP_NAME_OTHER, STR("amz-sdk-invocation-id"),
		STR("0b6e2c5a-0000-4000-8000-000000000000"));
	header(b, HTTP_NAME_OTHER, STR("amz-sdk-request"), STR("attempt=1"));
	header(b, HTTP_NAME_CONTENT_LENGTH, STR("Content-Length"), STR("126"));
	r.header_count = b->r.header_count;
	sha256_of(b->body, digest);
	hex_encode(digest, sizeof(digest), hex);
	check(sigv4_canonical_request(a, &r, &auth, str_of(hex, sizeof(hex)), &text, &error) >= 0);
	sigv4_derive_key(STR(SECRET), auth.date, auth.region, auth.service, &key);
	hmac_sha256(&key, sigv4_string_to_sign(a, &auth, text), digest);
	hex_encode(digest, sizeof(digest), hex);
	header(b, HTTP_NAME_AUTHORIZATION, STR("Authorization"),
		ARENA_CONCAT(a,
			STR("AWS4-HMAC-SHA256 "
			    "Credential=AKIAIOSFODNN7EXAMPLE/20150830/us-east-1/dynamodb/"
			    "aws4_request, SignedHeaders="),
			auth.signed_headers, STR(", Signature="), str_of(hex, sizeof(hex))));
}

static double measure(struct bench *b)
{
	enum { RUNS = 5, CALLS = 50000 };
	double best = 1e9;

	for (int run = 0; run < RUNS; run++) {
		int64_t begun = now_ns();

		for (int i = 0; i < CALLS; i++) {
			struct gate_response answer;
			struct arena a;

			arena_init(&a, 1 << 20);
			gate_handle(b->gate, &a, &b->r, &answer);
			check(answer.status == 200);
			arena_done(&a);
		}
		best = MIN(best, (double)(now_ns() - begun) / CALLS);
	}
	return best;
}

static void row(
	const char *name, struct gate *g, str target, str text, bool is_known, bool is_restricted)
{
	struct bench b = {.gate = g, .trust = {.loopback = true}, .body = text};
	struct arena a;

	arena_init(&a, SIZE_MAX);
	known = is_known;
	restricted = is_restricted;
	b.r = (struct gate_request){.method = STR("POST"),
		.path = STR("/"),
		.query = STR_NULL,
		.headers = b.headers,
		.peer = STR("127.0.0.1"),
		.trust = &b.trust,
		.body = read_body,
		.body_arg = &b.body,
		.body_length = text.n};
	sign(&b, &a, target);
	printf("%-44s %8.0f ns\n", name, measure(&b));
	arena_done(&a);
}

int main(void)
{
	struct port_identity identity = {.by_access_key = by_access_key};
	struct ports ports = {.identity = &identity};
	struct gate_options o = {
		.wall_ms = fixed_ms, .monotonic_ns = now_ns, .random = fixed_random};
	struct gate *g = gate_new(&o, &ports);
	struct service s = {
		.model = model_named(STR("dynamodb")), .rows = rows, .row_count = ARRAY_SIZE(rows)};
	struct policy *parsed;
	struct arena a;
	str message, text = str_of(body, sizeof(body) - 1);

	gate_register(g, &s);
	arena_init(&a, SIZE_MAX);
	check(policy_parse(&a,
		      STR("{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","
			  "\"Action\":[\"dynamodb:Put*\",\"dynamodb:Get*\"],\"Resource\":"
			  "\"arn:aws:dynamodb:*:*:table/orders\"}]}"),
		      POLICY_IDENTITY, &parsed, &message) >= 0);
	policy = parsed;
	row("gate: GetItem, unknown key (not verified)", g, STR("DynamoDB_20120810.GetItem"), text,
		false, false);
	row("gate: GetItem, signature verified", g, STR("DynamoDB_20120810.GetItem"), text, true,
		false);
	row("gate: GetItem, verified, policy asked", g, STR("DynamoDB_20120810.GetItem"), text,
		true, true);
	row("gate: DescribeLimits, verified, encoded", g, STR("DynamoDB_20120810.DescribeLimits"),
		STR("{}"), true, false);
	arena_done(&a);
	gate_free(g);
	return 0;
}
