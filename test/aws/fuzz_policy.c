/*
 * Policy documents of any form: what parses can be evaluated, and denies win.
 */
#include "aws/policy.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct principal who = {.kind = PRINCIPAL_USER,
		.account = STR("123456789012"),
		.arn = STR("arn:aws:iam::123456789012:user/u"),
		.name = STR("u")};
	struct policy_request r = {.action = STR("s3:GetObject"),
		.resource = STR("arn:aws:s3:::b/k"),
		.principal = &who};
	const str tags[] = {STR_INIT("a"), STR_INIT("b")};
	struct policy_context *context;
	struct arena a;

	arena_init(&a, SIZE_MAX);
	context = arena_new(&a, struct policy_context);
	context->arena = &a;
	policy_context_add(context, STR("aws:username"), STR("u"));
	policy_context_add(context, STR("aws:SourceIp"), STR("10.1.2.3"));
	policy_context_add(context, STR("aws:CurrentTime"), STR("2020-01-01T00:00:00Z"));
	policy_context_add(context, STR("aws:n"), STR("10"));
	policy_context_add_list(context, STR("aws:TagKeys"), tags, 2);
	r.context = context;
	for (int kind = POLICY_IDENTITY; kind <= POLICY_TRUST; kind++) {
		const struct policy_statement *s = NULL;
		const struct policy *document;
		struct policy *p;
		str message;

		if (policy_parse(&a, str_of(data, n), (enum policy_kind)kind, &p, &message) < 0) {
			check(message.n > 0);
			continue;
		}
		document = p;
		who.policies = &document;
		who.policy_count = 1;
		if (policy_evaluate(p, &r, &s) == POLICY_DENY)
			check(!policy_authorize(&r, NULL).allowed);
		(void)policy_refusal(&a, &r, policy_authorize(&r, p));
	}
	arena_done(&a);
	return 0;
}
