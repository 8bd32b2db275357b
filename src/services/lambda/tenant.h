/*
 * Tenant isolation mode: what a function with TenancyConfig PER_TENANT cannot have.
 *
 * Its calls name a tenant, and each tenant has execution environments of its own (scheduler.c keeps
 * an entry for each): nothing in memory or /tmp is ever seen by another one.
 *
 * Source: Developer Guide, "Tenant isolation".
 */
#ifndef SERVICES_LAMBDA_TENANT_H
#define SERVICES_LAMBDA_TENANT_H

#include "aws/gate.h"

struct fault;
struct function;

/* InvalidParameterValueException when the function isolates its tenants; `what`: "Function URLs".
 */
must_use int tenant_refuse(struct call *c, const struct function *f, const char *what);
/*
 * Does a call name a tenant (STR_NULL: none) exactly when the function isolates them? 0, or
 * ERR_FAULT: InvalidParameterValueException.
 */
must_use int tenant_check(
	struct fault *fault, struct arena *a, const struct function *f, str tenant);

#endif
