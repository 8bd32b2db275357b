/*
 * PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy: the policy of a function, version or
 * alias as a whole document. It is the same policy that AddPermission edits statement by statement
 * (policy.c), and is replaced altogether.
 *
 * Source: API Reference, the operation of each handler's name.
 */
#include "aws/policy.h"
#include "base/check.h"
#include "base/json.h"
#include "services/lambda/policy_document.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

int resource_policy_resource(struct call *c, str *ret_arn)
{
	*ret_arn = value_str(c->in, "ResourceArn");
	return 0;
}

static int fault_gone(struct call *c)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
		"The resource you requested does not exist.");
}

/* The function that has it, with its qualifier: a complete ARN, never of $LATEST. */
static int find(struct call *c, struct function *ret)
{
	str arn = value_str(c->in, "ResourceArn");
	struct function_name name;

	if (function_name_parse(arn, &name) < 0 || !name.account.p || !name.region.p)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"%.*s is not the complete ARN of a function, version or alias.",
			STR_ARG(arn));
	if (name.qualifier.p && name.qualifier.p[0] == '$')
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"We currently do not support adding policies for $LATEST.");
	if (!str_eq(name.region, c->region) ||
		TRY(lambda_store_load(self(c), c->arena, name.account, name.region, name.name,
			STR_NULL, ret, NULL)) == 0)
		return fault_gone(c);
	ret->qualifier = name.qualifier;
	return 0;
}

/* A document that the evaluator takes, its statements in a list, which AddPermission adds to. */
static int check_document(struct call *c, str text)
{
	const struct json_value *statements;
	struct json_value *tree;
	struct policy *parsed;
	str message = STR("it is not JSON");

	if (text.n > LAMBDA_POLICY_BYTES_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_POLICY_LENGTH,
			"The final policy size (%zu) is bigger than the limit (%d).", text.n,
			LAMBDA_POLICY_BYTES_MAX);
	if (json_parse(c->arena, text, JSON_DEPTH_DEFAULT, &tree, NULL) >= 0) {
		statements = json_get(tree, STR("Statement"));
		message = STR("its Statement is not a list");
		if (statements && statements->kind == JSON_ARRAY &&
			policy_parse(c->arena, text, POLICY_RESOURCE, &parsed, &message) >= 0)
			return 0;
	}
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
		"The Policy is not valid: %.*s", STR_ARG(message));
}

struct replacement {
	struct call *call;
	str qualifier; /* STR_NULL: of the function itself */
	str next;      /* what will be stored; STR_NULL: nothing */
};

static int replace(
	void *arg, struct kv_txn *txn, struct arena *a, const struct function *f, str *text)
{
	const struct replacement *r = arg;
	struct call *c = r->call;
	str wanted = value_str(c->in, "RevisionId");

	if (r->qualifier.p && TRY(store_txn_has_qualifier(txn, a, f, r->qualifier)) == 0)
		return fault_gone(c);
	if (!text->p && (!r->next.p || wanted.p))
		return fault_gone(c);
	if (wanted.p && !str_eq(wanted, policy_revision(*text)))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_PRECONDITION,
			"The Revision Id provided does not match the latest Revision Id. Call the "
			"GetResourcePolicy API to retrieve the latest Revision Id");
	*text = r->next;
	return 0;
}

static int change(struct call *c, str next)
{
	struct function f;
	struct replacement r = {.call = c, .next = next};
	struct store_part_change change = {.function = &f,
		.kind = PART_POLICY,
		.change = replace,
		.arg = &r,
		.deadline = c->deadline_ns};
	int rc;

	TRY(find(c, &f));
	r.qualifier = f.qualifier;
	change.qualifier = f.qualifier.p ? f.qualifier : STR("");
	rc = store_part_change(self(c), c->arena, &change);
	return rc == ERR_NOT_FOUND ? fault_gone(c) : rc;
}

int resource_policy_put(struct call *c)
{
	str document = value_str(c->in, "Policy"), revision = lambda_uuid(c->arena);

	TRY(check_document(c, document));
	TRY(change(c, ARENA_CONCAT(c->arena, revision, document)));
	value_put_str(c->out, "Policy", document);
	value_put_str(c->out, "RevisionId", revision);
	return 0;
}

int resource_policy_get(struct call *c)
{
	struct function f;
	str stored;

	TRY(find(c, &f));
	if (TRY(store_part(self(c), c->arena, &f, PART_POLICY,
		    f.qualifier.p ? f.qualifier : STR(""), &stored)) == 0)
		return fault_gone(c);
	value_put_str(c->out, "Policy", policy_document(stored));
	value_put_str(c->out, "RevisionId", policy_revision(stored));
	return 0;
}

int resource_policy_delete(struct call *c)
{
	return change(c, STR_NULL);
}
