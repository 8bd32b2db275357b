/*
 * Who owns an access key. Provided by iam (users, roles) and what it keeps for sts (sessions) and
 * lambda (execution roles' sessions); asked by the gate for every signed request, so look-ups come
 * from memory.
 */
#ifndef AWS_PORTS_IDENTITY_H
#define AWS_PORTS_IDENTITY_H

#include "aws/principal.h"
#include "base/arena.h"

struct identity {
	str secret;
	str session_token;  /* that must come with the key; STR_NULL: a long-lived key */
	int64_t expires_ms; /* wall clock; INT64_MAX: never */
	bool active;        /* false: the key is switched off */
	/* Rises whenever the secret may have changed: derived signing keys are cached under it. */
	uint64_t generation;
	struct principal principal;
};

struct port_identity {
	void *self;
	/*
	 * 1 and *ret (borrowed from the arena or from immutable state that outlives the request), 0
	 * when nobody owns the key, < 0 on failure of storage. Suspends only when the key is not in
	 * memory.
	 */
	int (*by_access_key)(
		void *self, struct arena *a, str access_key, struct identity *ret) mayyield;
	/*
	 * The principal that a service of ours becomes by assuming a role, for work that has no key
	 * (event source mappings, a function's own endpoint). 1, or 0 when IAM does not know the
	 * role.
	 */
	int (*by_role)(void *self, struct arena *a, str role_arn, str session_name,
		struct principal *ret) mayyield;
	/*
	 * Temporary credentials for a role session, as STS would give them (lambda's
	 * AWS_ACCESS_KEY_ID ... for a function). They stay valid until `expires_ms`. 0, or
	 * ERR_NOT_FOUND: no such role.
	 */
	int (*session_new)(void *self, struct arena *a, str role_arn, str session_name,
		int64_t expires_ms, struct identity *ret) mayyield;
};

#endif
