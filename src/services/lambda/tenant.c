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
