/*
 * The policy of a profile: what other accounts may do with it.
 */
#ifndef SERVICES_SIGNER_PERMISSION_H
#define SERVICES_SIGNER_PERMISSION_H

#include "services/signer/store.h"

struct policy;

/* *ret_policy NULL: it has none. ERR_CORRUPT. */
must_use int signer_policy(
	struct arena *a, const struct signer_profile *p, const struct policy **ret_policy);

#endif
