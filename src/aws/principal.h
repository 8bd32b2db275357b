/*
 * Who makes a request, and what its key is.
 */
#ifndef AWS_PRINCIPAL_H
#define AWS_PRINCIPAL_H

#include "base/str.h"

struct policy;

/* 12 digits, as every account has. (AWS Account Management Reference, "View AWS account
 * identifiers") */
static inline bool account_is_valid(str s)
{
	uint64_t number;

	return s.n == 12 && str_to_u64(s, UINT64_MAX, &number) >= 0;
}

enum principal_kind {
	PRINCIPAL_ANONYMOUS,
	PRINCIPAL_ROOT, /* of its account: every action is allowed */
	PRINCIPAL_USER,
	PRINCIPAL_SESSION, /* an assumed role */
	PRINCIPAL_SERVICE  /* a service of ours that acts for itself */
};

/* An account's root, a user, or a role session. The strings and policies are borrowed. */
struct principal {
	enum principal_kind kind;
	str account;    /* 12 digits */
	str arn;        /* arn:aws:iam::000000000000:root, arn:aws:sts::...:assumed-role/r/s */
	str role_arn;   /* of a session: the role's own ARN */
	str user_id;    /* aws:userid: account, AIDA..., AROA...:session */
	str name;       /* aws:username for users; the session's name for sessions */
	str access_key; /* that signed; empty when none did */
	/*
	 * The identity's policies, each parsed: all are looked at. `unrestricted` leaves them out
	 * (root; a role that IAM does not know, in open mode). A boundary and session policies
	 * limit further.
	 */
	const struct policy *const *policies;
	uint32_t policy_count;
	const struct policy *boundary;                /* NULL: none */
	const struct policy *const *session_policies; /* role session made with inline policies */
	uint32_t session_policy_count;
	bool unrestricted;
};

#endif
