/*
 * What a function's role may do, for work that lambda does in its name: destinations, event
 * sources.
 */
#ifndef SERVICES_LAMBDA_ROLE_H
#define SERVICES_LAMBDA_ROLE_H

#include "aws/principal.h"
#include "base/arena.h"
#include "base/rc.h"

struct lambda_service;

/*
 * The principal that lambda becomes by assuming the role (ARN) for a session of that name: 1 and
 * *ret_role, in the arena; 0: IAM does not know it, and nothing limits it then; ERR_DENIED: the
 * same in strict mode.
 */
must_use int role_find(struct lambda_service *s, struct arena *a, str role, str session,
	struct principal *ret_role) mayyield;
/* Do its policies allow the action? Pure. */
bool role_may(struct arena *a, const struct principal *role, str action, str resource);

#endif
