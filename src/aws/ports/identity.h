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
	/*
	 * False: the key is switched off, or was issued here once and is gone (deleted, swept after
	 * its end, its role deleted); then `secret` is STR_NULL. Such a key is refused, never taken
	 * for an unknown one.
	 */
	bool active;
	/* Rises whenever the secret may have changed: derived signing keys are cached under it. */
	uint64_t generation;
	struct principal principal; /* its access_key is this key */
};

/* What STS asks about a role before it gives a session of it. All in the arena. */
struct identity_role {
	str arn, id;                /* arn:aws:iam::...:role/path/name, AROA... */
	const struct policy *trust; /* who may assume it */
	int64_t session_seconds_max;
};

/* A session to be made: of a role, or (role_arn STR_NULL) of a user or root itself. */
struct identity_session {
	str role_arn, session_name;
	const struct principal *user;
	int64_t expires_ms;
	/* What limits it further: a document (valid; STR_NULL: none), ARNs of managed policies. */
	str policy;
	const str *policy_arns;
	uint32_t policy_arn_count;
};

struct port_identity {
	void *self;
	/*
	 * 1 and *ret, 0 when nobody here ever owned the key, < 0 on failure of storage. What *ret
	 * points to is in the arena or stays at least 30 minutes after the call: enough for any
	 * request; whoever works longer asks again. Suspends only when the key is not in memory.
	 */
	int (*by_access_key)(
		void *self, struct arena *a, str access_key, struct identity *ret) mayyield;
	/*
	 * The principal that a service of ours becomes by assuming a role, for work that has no key
	 * (event source mappings, a function's own endpoint). 1, or 0 when IAM does not know the
	 * role. All in the arena, and as of now: ask again for later work.
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
	/* 1 and the role, or 0. */
	int (*role)(void *self, struct arena *a, str role_arn, struct identity_role *ret) mayyield;
	/*
	 * As session_new(), narrowed, or of a user. ERR_NOT_FOUND: no such role or user;
	 * ERR_INVALID: one of policy_arns does not exist.
	 */
	int (*session_make)(void *self, struct arena *a, const struct identity_session *session,
		struct identity *ret) mayyield;
};

#endif
