/*
 * IAM policy documents: parsing with validation, and evaluation. Pure.
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 *
 * One evaluator serves identity policies, boundaries, session policies, resource policies and trust
 * policies. It returns the statement that decided, so that messages can say why. A parsed policy is
 * read-only and lives in the arena it was parsed into (with the text it points into).
 */
#ifndef AWS_POLICY_H
#define AWS_POLICY_H

#include "aws/principal.h"
#include "base/arena.h"

enum {
	POLICY_STATEMENTS_MAX = 1024,
	POLICY_VALUES_MAX = 4096, /* of one element */
	POLICY_CONTEXT_MAX = 64   /* keys of a request */
};

/* What a document may hold: identity and session policies name no principal, trust policies no
 * resource, resource policies both. */
enum policy_kind { POLICY_IDENTITY, POLICY_RESOURCE, POLICY_TRUST };

struct policy;
struct policy_statement;

/*
 * Parses and validates. ERR_FAULT and *ret_message: what is wrong, in the words of IAM's
 * MalformedPolicyDocument where it has any. `text` must live as long as the policy.
 */
must_use int policy_parse(struct arena *a, str text, enum policy_kind kind,
	struct policy **ret_policy, str *ret_message);

/* ---- the request that is judged ---- */

struct policy_key {
	str name; /* "aws:SourceIp"; case does not matter */
	const str *values;
	uint32_t count;
};

struct policy_context {
	struct arena *arena;
	struct policy_key keys[POLICY_CONTEXT_MAX];
	uint32_t count;
};

/* Adds a key with one value, or several; STR_NULL adds nothing. Beyond the maximum is our own bug.
 */
void policy_context_add(struct policy_context *c, str name, str value);
void policy_context_add_list(struct policy_context *c, str name, const str *values, uint32_t count);

struct policy_request {
	str action;   /* "dynamodb:GetItem" */
	str resource; /* an ARN, or "*" */
	/* Who asks, for Principal elements: a principal, or a service ("apigateway.amazonaws.com").
	 */
	const struct principal *principal;
	str service;
	const struct policy_context *context;
};

enum policy_effect { POLICY_NONE, POLICY_ALLOW, POLICY_DENY };

/* What one policy says. *ret_deciding (may be NULL): the statement, NULL for POLICY_NONE. */
enum policy_effect policy_evaluate(const struct policy *p, const struct policy_request *r,
	const struct policy_statement **ret_deciding);
/*
 * Does the policy look at a key that begins so ("dynamodb:"), in a condition or as a variable? NULL
 * does not. So that keys that cost something are made only for those who want them.
 */
bool policy_uses_keys(const struct policy *p, str prefix);
/* The Sid of a statement (STR_NULL: none) and its number in its document, from 1. */
str policy_statement_sid(const struct policy_statement *s);
unsigned policy_statement_number(const struct policy_statement *s);

/* ---- the whole decision ---- */

enum policy_layer {
	POLICY_LAYER_IDENTITY,
	POLICY_LAYER_BOUNDARY,
	POLICY_LAYER_SESSION,
	POLICY_LAYER_RESOURCE
};

struct policy_decision {
	bool allowed;
	bool explicit_deny;
	enum policy_layer layer;                  /* that denied, explicitly or by not allowing */
	const struct policy_statement *statement; /* NULL: none matched */
};

/*
 * Identity policies, boundary and session policies of the principal and the resource's policy
 * (NULL: it has none), within one account: explicit deny first; a resource policy that names the
 * session itself grants alone, one that names anything else grants instead of the identity
 * policies, and boundary and session policies still limit.
 */
struct policy_decision policy_authorize(
	const struct policy_request *r, const struct policy *resource_policy);
/*
 * AWS's words for a refusal: "User: arn is not authorized to perform: action on resource: arn
 * because no identity-based policy allows the action action".
 */
str policy_refusal(struct arena *a, const struct policy_request *r, struct policy_decision d);

/* Does `s` match the pattern with '*' and '?'? For ARNs in policies and filters elsewhere. */
bool policy_glob(str pattern, str s);

#endif
