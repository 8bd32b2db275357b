/*
 * See role.h.
 */
#include "services/lambda/role.h"

#include "aws/policy.h"
#include "aws/ports/identity.h"
#include "services/lambda/service.h"

int role_find(struct lambda_service *s, struct arena *a, str role, str session,
	struct principal *ret_role)
{
	const struct port_identity *identity = s->ports->identity;

	if (identity && role.n &&
		TRY(identity->by_role(identity->self, a, role, session, ret_role)))
		return 1;
	return s->options.auth_strict ? ERR_DENIED : 0;
}

bool role_may(struct arena *a, const struct principal *role, str action, str resource)
{
	struct policy_context *context = arena_new(a, struct policy_context);
	const struct policy_request request = {
		.action = action, .resource = resource, .principal = role, .context = context};

	if (role->unrestricted)
		return true;
	context->arena = a;
	policy_context_add(context, STR("aws:PrincipalArn"), role->role_arn);
	policy_context_add(context, STR("aws:PrincipalAccount"), role->account);
	return policy_authorize(&request, NULL).allowed;
}
