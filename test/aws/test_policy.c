/*
 * Policies by table: parsing, validation, matching, conditions; then how the layers combine.
 */
#include "aws/policy.h"
#include "base/check.h"
#include "base/rc.h"
#include "test/test_table.h"

/* "key=value;key=a|b" into a context. */
static void add_keys(struct policy_context *c, str text)
{
	str entry, name, value;

	if (str_eq(text, STR("-")))
		return;
	while (str_split(&text, ';', &entry)) {
		str *values = arena_new_array(c->arena, str, 8);
		uint32_t count = 0;

		check(str_split(&entry, '=', &name));
		while (count < 8 && str_split(&entry, '|', &value))
			values[count++] = value;
		policy_context_add_list(c, name, values, count);
	}
}

static str judged(struct arena *a, const struct test_table *t)
{
	const struct policy_statement *s;
	struct policy_context context = {.arena = a};
	bool user = str_starts(t->field[3], STR("arn:"));
	struct principal who = {
		.kind = PRINCIPAL_USER, .account = STR("123456789012"), .arn = t->field[3]};
	struct policy_request r = {.action = t->field[1],
		.resource = t->field[2],
		.principal = user ? &who : NULL,
		.service = user ? STR_NULL : t->field[3],
		.context = &context};
	bool principal = str_find_str(t->field[0], STR("Principal")) >= 0;
	enum policy_kind kind = !principal                                        ? POLICY_IDENTITY
				: str_find_str(t->field[0], STR("Resource")) >= 0 ? POLICY_RESOURCE
										  : POLICY_TRUST;
	struct policy *p;
	str message;

	add_keys(&context, t->field[4]);
	if (policy_parse(a, t->field[0], kind, &p, &message) < 0)
		return message;
	switch (policy_evaluate(p, &r, &s)) {
	case POLICY_ALLOW: return arena_printf(a, "allow %u", policy_statement_number(s));
	case POLICY_DENY: return arena_printf(a, "deny %u", policy_statement_number(s));
	case POLICY_NONE: break;
	}
	EXPECT(s == NULL);
	return STR("none");
}

TEST(aws_policy, table)
{
	struct test_table t;

	for (test_table_open(&t, "test/aws/policy.txt"); test_table_next(&t);) {
		struct arena a;

		arena_init(&a, SIZE_MAX);
		TABLE_EXPECT_STR(&t, judged(&a, &t), t.field[5]);
		arena_done(&a);
	}
	test_table_close(&t, 140);
}

#define ALLOW_GET "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"s3:Get*\",\"Resource\":\"*\"}}"
#define DENY_GET  "{\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"s3:Get*\",\"Resource\":\"*\"}}"
#define ALLOW_PUT "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"s3:Put*\",\"Resource\":\"*\"}}"
#define SESSION   "arn:aws:sts::123456789012:assumed-role/r/s"
#define ROLE      "arn:aws:iam::123456789012:role/r"
#define GRANT(effect, who)                                                        \
	"{\"Statement\":{\"Effect\":\"" effect "\",\"Principal\":{\"AWS\":\"" who \
	"\"},\"Action\":\"s3:Get*\",\"Resource\":\"*\"}}"

static const struct policy *parsed(struct arena *a, const char *text, enum policy_kind kind)
{
	struct policy *p = NULL;
	str message;

	if (!text)
		return NULL;
	if (policy_parse(a, str_c(text), kind, &p, &message) < 0)
		test_fail(__FILE__, __LINE__, "%.*s", STR_ARG(message));
	return p;
}

/* A role session's decision with the four kinds of policies, as text. */
static str decide(struct arena *a, const char *identity, const char *boundary, const char *session,
	const char *resource)
{
	const struct policy *own = parsed(a, identity, POLICY_IDENTITY);
	const struct policy *inner = parsed(a, session, POLICY_IDENTITY);
	struct principal who = {.kind = PRINCIPAL_SESSION,
		.account = STR("123456789012"),
		.arn = STR(SESSION),
		.role_arn = STR(ROLE),
		.policies = &own,
		.policy_count = own ? 1 : 0,
		.boundary = parsed(a, boundary, POLICY_IDENTITY),
		.session_policies = &inner,
		.session_policy_count = inner ? 1 : 0};
	struct policy_request r = {.action = STR("s3:GetObject"),
		.resource = STR("arn:aws:s3:::b/k"),
		.principal = &who};
	struct policy_decision d = policy_authorize(&r, parsed(a, resource, POLICY_RESOURCE));

	return d.allowed ? STR("ok") : policy_refusal(a, &r, d);
}

#define REFUSED          \
	"User: " SESSION \
	" is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/k "

TEST(aws_policy, layers)
{
	static const struct {
		const char *identity, *boundary, *session, *resource, *want;
	} cases[] = {
		{ALLOW_GET, NULL, NULL, NULL, "ok"},
		{ALLOW_PUT, NULL, NULL, NULL,
			REFUSED "because no identity-based policy allows the s3:GetObject action"},
		{NULL, NULL, NULL, NULL,
			REFUSED "because no identity-based policy allows the s3:GetObject action"},
		{DENY_GET, NULL, NULL, GRANT("Allow", SESSION),
			REFUSED "with an explicit deny in an identity-based policy"},
		{ALLOW_GET, ALLOW_GET, ALLOW_GET, NULL, "ok"},
		{ALLOW_GET, ALLOW_PUT, NULL, NULL,
			REFUSED "because no permissions boundary allows the s3:GetObject action"},
		{ALLOW_GET, DENY_GET, NULL, NULL,
			REFUSED "with an explicit deny in a permissions boundary"},
		{ALLOW_GET, NULL, ALLOW_PUT, NULL,
			REFUSED "because no session policy allows the s3:GetObject action"},
		{ALLOW_GET, NULL, DENY_GET, NULL,
			REFUSED "with an explicit deny in a session policy"},
		{ALLOW_GET, NULL, NULL, GRANT("Deny", ROLE),
			REFUSED "with an explicit deny in a resource-based policy"},
		{NULL, NULL, NULL, GRANT("Allow", ROLE), "ok"},
		{NULL, ALLOW_PUT, NULL, GRANT("Allow", ROLE),
			REFUSED "because no permissions boundary allows the s3:GetObject action"},
		{NULL, NULL, ALLOW_PUT, GRANT("Allow", ROLE),
			REFUSED "because no session policy allows the s3:GetObject action"},
		/* a grant to the session itself is not limited by what says nothing */
		{NULL, ALLOW_PUT, ALLOW_PUT, GRANT("Allow", SESSION), "ok"},
		{NULL, NULL, NULL, GRANT("Allow", "arn:aws:iam::999999999999:root"),
			REFUSED "because no identity-based policy allows the s3:GetObject action"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct arena a;

		arena_init(&a, SIZE_MAX);
		EXPECT_STR(decide(&a, cases[i].identity, cases[i].boundary, cases[i].session,
				   cases[i].resource),
			str_c(cases[i].want));
		arena_done(&a);
	}
}

TEST(aws_policy, root_is_limited_by_resource_denies_only)
{
	struct principal root = {.kind = PRINCIPAL_ROOT,
		.account = STR("123456789012"),
		.arn = STR("arn:aws:iam::123456789012:root"),
		.unrestricted = true};
	struct policy_request r = {.action = STR("s3:GetObject"),
		.resource = STR("arn:aws:s3:::b/k"),
		.principal = &root};
	struct arena a;

	arena_init(&a, SIZE_MAX);
	EXPECT(policy_authorize(&r, NULL).allowed);
	EXPECT(!policy_authorize(&r, parsed(&a, GRANT("Deny", "*"), POLICY_RESOURCE)).allowed);
	arena_done(&a);
}

TEST(aws_policy, identity_documents_name_no_principal)
{
	struct policy *p;
	struct arena a;
	str message = STR_NULL;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(policy_parse(&a, STR(GRANT("Allow", ROLE)), POLICY_IDENTITY, &p, &message),
		ERR_FAULT);
	EXPECT_STR(message, STR("Policy document should not specify a principal. (statement 1)"));
	EXPECT_INT(policy_parse(&a, STR(ALLOW_GET), POLICY_RESOURCE, &p, &message), ERR_FAULT);
	EXPECT_STR(message, STR("Missing required field Principal (statement 1)"));
	EXPECT_INT(
		policy_parse(&a, STR(GRANT("Allow", ROLE)), POLICY_TRUST, &p, &message), ERR_FAULT);
	EXPECT_STR(message, STR("Has prohibited field Resource (statement 1)"));
	arena_done(&a);
}

TEST(aws_policy, globs_are_not_quadratic_traps)
{
	struct arena a;
	char *text, *stars;

	arena_init(&a, SIZE_MAX);
	text = arena_bytes(&a, 2000);
	stars = arena_bytes(&a, 1000);
	memset(text, 'a', 2000);
	for (int i = 0; i < 1000; i += 2) {
		stars[i] = '*';
		stars[i + 1] = 'a';
	}
	EXPECT(policy_glob(str_of(stars, 1000), str_of(text, 2000)));
	text[1999] = 'b';
	EXPECT(!policy_glob(str_of(stars, 1000), str_of(text, 2000)));
	EXPECT(policy_glob(STR("*"), STR("")));
	EXPECT(!policy_glob(STR("?"), STR("")));
	EXPECT(policy_glob(STR(""), STR("")));
	arena_done(&a);
}
