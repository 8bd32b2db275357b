/*
 * See tenant.h.
 */
#include "services/lambda/tenant.h"

#include "services/lambda/service.h"

int tenant_refuse(struct call *c, const struct function *f, const char *what)
{
	if (!f->per_tenant)
		return 0;
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
		"%s not supported for functions that are enabled with tenancy configuration.",
		what);
}

int tenant_check(struct fault *fault, struct arena *a, const struct function *f, str tenant)
{
	if (f->per_tenant && !tenant.p)
		return lambda_fault_set(fault, a, LAMBDA_INVALID_PARAMETER,
			"The invoked function is enabled with tenancy configuration. Add a valid "
			"tenant ID in your request and try again.");
	if (!f->per_tenant && tenant.p)
		return lambda_fault_set(fault, a, LAMBDA_INVALID_PARAMETER,
			"The invoked function is not enabled with tenancy configuration. Remove "
			"the tenant ID from your request and try again.");
	return 0;
}
