/*
 * Who takes events, and whether the sender may hand them on: see deliver.h.
 */
#include "aws/ports/deliver.h"

#include "aws/policy.h"
#include "base/check.h"

void port_deliver_add(struct ports *ports, const struct port_deliver *deliver)
{
	check(ports->deliver_count < PORT_DELIVER_MAX);
	check(!port_deliver_of(ports, deliver->arn_prefix));
	ports->deliver[ports->deliver_count++] = deliver;
}

const struct port_deliver *port_deliver_of(const struct ports *ports, str arn)
{
	for (size_t i = 0; i < ports->deliver_count; i++)
		if (str_starts(arn, ports->deliver[i]->arn_prefix))
			return ports->deliver[i];
	return NULL;
}

static bool allowed(
	struct arena *a, const struct port_deliver *to, const struct deliver_request *request)
{
	struct policy_context *context = arena_new(a, struct policy_context);
	struct policy_request asked = {.action = str_c(to->action),
		.resource = request->target,
		.principal = request->as,
		.context = context};

	if (!request->as || request->as->unrestricted)
		return true;
	context->arena = a;
	policy_context_add(context, STR("aws:PrincipalArn"), request->as->role_arn);
	policy_context_add(context, STR("aws:PrincipalAccount"), request->as->account);
	return policy_authorize(&asked, NULL).allowed;
}

int port_deliver(const struct ports *ports, struct arena *a, const struct deliver_request *request,
	str *ret_why)
{
	const struct port_deliver *to = port_deliver_of(ports, request->target);
	int rc;

	if (!to) {
		*ret_why = STR("no service here takes events for it");
		return ERR_UNSUPPORTED;
	}
	if (!allowed(a, to, request)) {
		*ret_why =
			ARENA_CONCAT(a, STR("the role has no permission for "), str_c(to->action));
		return ERR_DENIED;
	}
	*ret_why = STR_NULL;
	rc = to->deliver(to->self, a, request, ret_why);
	if (rc < 0 && !ret_why->p)
		*ret_why = str_c(rc_text(rc));
	return rc;
}
