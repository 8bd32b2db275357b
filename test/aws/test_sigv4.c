/*
 * SigV4: the documentation's worked examples, requests signed by an AWS SDK, and every refusal; by
 * table. Then what tables cannot say: times, and that each signed part matters.
 */
#include "aws/sigv4.h"
#include "base/check.h"
#include "base/rc.h"
#include "test/test_table.h"

struct signed_case {
	struct sigv4_request r;
	struct http_header headers[16];
	str body;
};

/* "Name: value|Name: value" and "/path?query" into a request. */
static void build(struct signed_case *c, str method, str target, str headers, str body)
{
	ptrdiff_t mark = str_find(target, '?');
	str part, name;

	*c = (struct signed_case){.body = str_eq(body, STR("(empty)")) ? STR("") : body};
	c->r.method = method;
	c->r.path = mark < 0 ? target : str_sub(target, 0, (size_t)mark);
	c->r.query = mark < 0 ? STR_NULL : str_from(target, (size_t)mark + 1);
	c->r.headers = c->headers;
	while (str_split(&headers, '|', &part)) {
		check(c->r.header_count < ARRAY_SIZE(c->headers));
		check(str_split(&part, ':', &name));
		c->headers[c->r.header_count++] =
			(struct http_header){.name = name, .value = str_trim(part)};
	}
}

static str secret_of(str access_key)
{
	return str_eq(access_key, STR("AKIAIOSFODNN7EXAMPLE"))
		       ? STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
		       : STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
}

static int judge(struct arena *a, const struct signed_case *c, struct sigv4_error *ret_error)
{
	struct sigv4_auth auth;
	struct hmac_key key;

	*ret_error = (struct sigv4_error){.problem = SIGV4_OK};
	if (TRY(sigv4_parse(a, &c->r, &auth, ret_error)) == 0)
		return 0;
	TRY(sigv4_check_time(a, &auth, auth.time_ms, ret_error));
	sigv4_derive_key(secret_of(auth.access_key), auth.date, auth.region, auth.service, &key);
	TRY(sigv4_verify(a, &c->r, &auth, c->body, &key, ret_error));
	return 1;
}

static str judged(struct arena *a, const struct signed_case *c)
{
	static const char *const problems[] = {
		[SIGV4_OK] = "",
		[SIGV4_INCOMPLETE] = "incomplete",
		[SIGV4_MISMATCH] = "mismatch",
		[SIGV4_EXPIRED] = "expired",
		[SIGV4_UNSUPPORTED] = "unsupported",
	};
	struct sigv4_error error;
	int rc = judge(a, c, &error);

	if (rc < 0)
		return arena_printf(a, "%s %.*s", problems[error.problem], STR_ARG(error.message));
	return rc ? STR("ok") : STR("unsigned");
}

TEST(aws_sigv4, table)
{
	struct test_table t;

	for (test_table_open(&t, "test/aws/sigv4.txt"); test_table_next(&t);) {
		struct signed_case c;
		struct arena a;

		arena_init(&a, SIZE_MAX);
		build(&c, t.field[1], t.field[2], t.field[3], t.field[4]);
		TABLE_EXPECT_STR(&t, judged(&a, &c), t.field[5]);
		arena_done(&a);
	}
	test_table_close(&t, 45);
}

/* Whatever a valid request signs: change one byte of it, and it is refused. */
TEST(aws_sigv4, every_signed_part_matters)
{
	struct test_table t;
	unsigned changed = 0;

	for (test_table_open(&t, "test/aws/sigv4.txt"); test_table_next(&t);) {
		struct signed_case c;
		struct arena a;
		char *path, *body;

		if (!str_eq(t.field[5], STR("ok")) || str_find_str(t.field[0], STR("s3")) >= 0)
			continue;
		arena_init(&a, SIZE_MAX);
		build(&c, t.field[1], t.field[2], t.field[3], t.field[4]);
		path = arena_c(&a, ARENA_CONCAT(&a, c.r.path, STR("x")));
		c.r.path = str_of(path, c.r.path.n + 1);
		EXPECT(!str_eq(judged(&a, &c), STR("ok")));

		build(&c, STR("PATCH"), t.field[2], t.field[3], t.field[4]);
		EXPECT(!str_eq(judged(&a, &c), STR("ok")));

		build(&c, t.field[1], t.field[2], t.field[3], t.field[4]);
		c.r.query = c.r.query.n ? ARENA_CONCAT(&a, c.r.query, STR("&x=y")) : STR("x=y");
		EXPECT(!str_eq(judged(&a, &c), STR("ok")));

		build(&c, t.field[1], t.field[2], t.field[3], t.field[4]);
		body = arena_c(&a, ARENA_CONCAT(&a, c.body, STR(" ")));
		c.body = str_of(body, c.body.n + 1);
		EXPECT(!str_eq(judged(&a, &c), STR("ok")));
		changed++;
		arena_done(&a);
	}
	test_table_close(&t, 45);
	EXPECT(changed >= 10);
}

static str time_judged(struct arena *a, bool presigned, int64_t expires_s, int64_t late_ms)
{
	struct sigv4_auth auth = {.presigned = presigned,
		.expires_s = expires_s,
		.timestamp = STR("20150830T123600Z"),
		.time_ms = INT64_C(1440938160000)};
	struct sigv4_error error;

	return sigv4_check_time(a, &auth, auth.time_ms + late_ms, &error) < 0 ? error.message
									      : STR("ok");
}

TEST(aws_sigv4, times)
{
	struct arena a;

	arena_init(&a, SIZE_MAX);
	EXPECT_STR(time_judged(&a, false, 0, 0), STR("ok"));
	EXPECT_STR(time_judged(&a, false, 0, 900000), STR("ok"));
	EXPECT_STR(time_judged(&a, false, 0, -900000), STR("ok"));
	EXPECT_STR(time_judged(&a, false, 0, 901000),
		STR("Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z "
		    "(20150830T125101Z - 15 min.)"));
	EXPECT_STR(time_judged(&a, false, 0, -901000),
		STR("Signature not yet current: 20150830T123600Z is still later than "
		    "20150830T123559Z (20150830T122059Z + 15 min.)"));
	EXPECT_STR(time_judged(&a, true, 60, 60000), STR("ok"));
	EXPECT_STR(time_judged(&a, true, 60, 61000),
		STR("Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z "
		    "(20150830T123701Z - 1 min.)"));
	EXPECT_STR(time_judged(&a, true, 604800, 604800000), STR("ok"));
	EXPECT(!str_eq(time_judged(&a, true, 604800, 604801000), STR("ok")));
	arena_done(&a);
}

/* Signatures do not tell the forms of a name apart, so nothing else may: here a link's end. */
TEST(aws_sigv4, encoded_names_of_parameters)
{
	static const char *const forms[] = {
		"X-Amz-Expires", "X-Amz-%45xpires", "%58-Amz-Expires", "X-Amz-Expire%73"};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct sigv4_error error;
		struct sigv4_auth auth;
		struct signed_case c;
		struct arena a;

		arena_init(&a, SIZE_MAX);
		build(&c, STR("GET"),
			arena_printf(&a,
				"/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm="
				"AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%%2F20150830%%2F"
				"us-east-1%%2Fsts%%2Faws4_request&X-Amz-Date=20150830T123600Z&%s=60"
				"&X-Amz-SignedHeaders=host&X-Amz-Signature=212c098c1dc1e00e3afe061d"
				"2a9b666867a3284d88cf9f0020bc8e59e040ae9b",
				forms[i]),
			STR("Host: localhost:4566"), STR("(empty)"));
		EXPECT_STR(judged(&a, &c), STR("ok"));
		ASSERT_INT(sigv4_parse(&a, &c.r, &auth, &error), 1);
		EXPECT_INT(auth.expires_s, 60);
		arena_done(&a);
	}
}

/* The derivation's worked example of the documentation. */
TEST(aws_sigv4, derived_key)
{
	struct hmac_key key, same;
	uint8_t mac[SHA256_BYTES], expected[SHA256_BYTES], last[SHA256_BYTES];
	char zeros[100] = {0};

	sigv4_derive_key(STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), STR("20150830"),
		STR("us-east-1"), STR("iam"), &key);
	ASSERT_INT(
		hex_decode(STR("c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"),
			last),
		0);
	hmac_key_init(&same, str_of(last, sizeof(last)));
	hmac_sha256(&key, STR("text"), mac);
	hmac_sha256(&same, STR("text"), expected);
	EXPECT(memcmp(mac, expected, sizeof(mac)) == 0);

	/* a secret longer than a block is hashed first */
	sigv4_derive_key(str_of(zeros, sizeof(zeros)), STR("d"), STR("r"), STR("s"), &key);
	{
		char first[104] = "AWS4";
		uint8_t step[SHA256_BYTES];

		hmac_sha256_of(str_of(first, sizeof(first)), STR("d"), step);
		hmac_sha256_of(str_of(step, sizeof(step)), STR("r"), step);
		hmac_sha256_of(str_of(step, sizeof(step)), STR("s"), step);
		hmac_sha256_of(str_of(step, sizeof(step)), STR("aws4_request"), step);
		hmac_sha256_of(str_of(step, sizeof(step)), STR("text"), expected);
	}
	hmac_sha256(&key, STR("text"), mac);
	EXPECT(memcmp(mac, expected, sizeof(mac)) == 0);
}
