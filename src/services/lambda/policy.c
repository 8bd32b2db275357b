/*
 * The resource-based policies of functions, versions and aliases: AddPermission, GetPolicy,
 * RemovePermission, and the question whether somebody may call a function.
 *
 * Each qualifier has a policy of its own; that of the function is for calls without one. A policy
 * is a part of its function, so that it cannot outlive it.
 *
 * Source: API Reference, AddPermission; Developer Guide, "Resource-based policy statements".
 */
#include "aws/policy.h"
#include "aws/principal.h"

#include "base/check.h"
#include "rt/rt.h"
#include "services/lambda/layer.h"
#include "services/lambda/policy_document.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

static str render_statement(struct call *c, str resource)
{
	str equals = STR("StringEquals");
	const struct policy_condition conditions[] = {
		{equals, STR("AWS:SourceAccount"), value_str(c->in, "SourceAccount")},
		{equals, STR("aws:PrincipalOrgID"), value_str(c->in, "PrincipalOrgID")},
		{equals, STR("lambda:EventSourceToken"), value_str(c->in, "EventSourceToken")},
		{equals, STR("lambda:FunctionUrlAuthType"),
			value_str(c->in, "FunctionUrlAuthType")},
		{STR("Bool"), STR("lambda:InvokedViaFunctionUrl"),
			!value_has(c->in, "InvokedViaFunctionUrl")          ? STR_NULL
			: value_bool(c->in, "InvokedViaFunctionUrl", false) ? STR("true")
									    : STR("false")},
		{STR("ArnLike"), STR("AWS:SourceArn"), value_str(c->in, "SourceArn")},
	};

	return policy_statement_text(c->arena, value_str(c->in, "StatementId"),
		value_str(c->in, "Principal"), value_str(c->in, "Action"), resource, conditions,
		ARRAY_SIZE(conditions));
}

static int policy_fault(struct call *c, int rc, str sid, str text)
{
	switch (rc) {
	case ERR_EXISTS:
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"The statement id (%.*s) provided already exists. Please provide a new "
			"statement id, or remove the existing statement.",
			STR_ARG(sid));
	case ERR_NOT_FOUND:
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"Statement %.*s is not found in resource policy.", STR_ARG(sid));
	case ERR_TOO_LARGE:
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_POLICY_LENGTH,
			"The final policy size (%zu) is bigger than the limit (%d).",
			text.n - POLICY_REVISION_BYTES, LAMBDA_POLICY_BYTES_MAX);
	default: return rc;
	}
}

int policy_edit(struct call *c, struct arena *a, str statement, str *text, const char *of)
{
	str sid = value_str(c->in, "StatementId"), wanted = value_str(c->in, "RevisionId"), next;
	int rc;

	if (!statement.p && !text->p)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"No policy is associated with the given resource.");
	if (wanted.p && !str_eq(wanted, policy_revision(*text)))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_PRECONDITION,
			"The Revision Id provided does not match the latest Revision Id. Call the "
			"%s API to retrieve the latest Revision Id",
			of);
	rc = policy_document_edit(a, *text, sid, statement, lambda_uuid(a), &next);
	if (rc < 0)
		return policy_fault(c, rc, sid, next);
	*text = rc ? next : STR_NULL;
	return 0;
}

/* arn:aws:iam::ACCOUNT:user/..., :role/..., :root; arn:aws:sts::ACCOUNT:assumed-role/... */
static bool is_principal_arn(str s)
{
	static const str of_iam[] = {STR_INIT("user/"), STR_INIT("role/")};
	static const str of_sts[] = {STR_INIT("assumed-role/"), STR_INIT("federated-user/")};
	str parts[5], rest = s;
	const str *kinds = of_iam;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (!str_split(&rest, ':', &parts[i]))
			return false;
	if (parts[3].n || !account_is_valid(parts[4]) || str_find(rest, '*') >= 0 ||
		str_find(rest, '?') >= 0)
		return false;
	if (str_eq(parts[2], STR("sts")))
		kinds = of_sts;
	else if (!str_eq(parts[2], STR("iam")))
		return false;
	else if (str_eq(rest, STR("root")))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(of_iam); i++)
		if (str_starts(rest, kinds[i]) && rest.n > kinds[i].n)
			return true;
	return false;
}

/* A name below one of those that AWS' services have: "amazonaws.com" alone is none. */
static bool is_service(str s)
{
	static const str suffixes[] = {STR_INIT(".amazonaws.com"), STR_INIT(".amazonaws.com.cn"),
		STR_INIT(".amazon.com"), STR_INIT(".aws.internal")};

	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
			    s.p[i] == '-' || s.p[i] == '.'))
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (s.n > suffixes[i].n && s.p[0] != '.' && str_ends(s, suffixes[i]))
			return true;
	return false;
}

static bool is_principal(str s)
{
	return str_eq(s, STR("*")) || account_is_valid(s) || is_service(s) ||
	       (str_starts(s, STR("arn:")) && is_principal_arn(s));
}

/*
 * Is it an action that Lambda has? Others fit the documented pattern, too, and would allow nothing
 * for ever. Source: Service Authorization Reference, "Actions defined by AWS Lambda".
 */
static bool is_action(const struct model *model, str action)
{
	static const str more[] = {STR_INIT("InvokeFunction"), STR_INIT("InvokeFunctionUrl"),
		STR_INIT("EnableReplication"), STR_INIT("DisableReplication")};
	/* Operations whose action has another name. */
	static const str none[] = {STR_INIT("Invoke"), STR_INIT("InvokeWithResponseStream"),
		STR_INIT("GetLayerVersionByArn")};
	str name = str_from(action, MIN(action.n, sizeof("lambda:") - 1));

	if (str_eq(action, STR("*")) || str_eq(name, STR("*")))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (str_eq_nocase(name, none[i]))
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		if (str_eq_nocase(name, more[i]))
			return true;
	for (size_t i = 0; i < model->operation_count; i++)
		if (str_eq_nocase(name, model_str(model, model->operations[i].name)))
			return true;
	return false;
}

int policy_check_statement(struct call *c, str statement)
{
	struct policy *parsed;
	bool good = is_principal(value_str(c->in, "Principal"));
	str message = good ? STR("it is too long")
			   : STR("it is neither an account, the ARN of a user, role or root, a "
				 "service nor '*'");

	if (good && statement.p &&
		policy_parse(c->arena, policy_document_of(c->arena, statement), POLICY_RESOURCE,
			&parsed, &message) >= 0)
		return 0;
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
		"The provided principal was invalid. Please check the principal and try again. "
		"(%.*s)",
		STR_ARG(message));
}

/* ---- changing ---- */

struct policy_change {
	struct call *call;
	str qualifier; /* STR_NULL: the function */
	str statement; /* to add; STR_NULL: the input's sid is removed */
};

static int change_policy(
	void *arg, struct kv_txn *txn, struct arena *a, const struct function *f, str *text)
{
	const struct policy_change *p = arg;
	struct call *c = p->call;

	if (p->qualifier.p && TRY(store_txn_has_qualifier(txn, a, f, p->qualifier)) == 0)
		return ERR_NOT_FOUND;
	return policy_edit(c, a, p->statement, text, "GetPolicy");
}

static str policy_qualifier(const struct function *f)
{
	return f->qualifier.p ? f->qualifier : STR("");
}

static int change(struct call *c, const struct function *f, str statement)
{
	struct policy_change p = {c, f->qualifier, statement};
	struct store_part_change change = {.function = f,
		.kind = PART_POLICY,
		.qualifier = policy_qualifier(f),
		.change = change_policy,
		.arg = &p,
		.deadline = c->deadline_ns};

	return request_gone(c, store_part_change(self(c), c->arena, &change));
}

/* The function, version or alias that has the policy: $LATEST has none of its own. */
static int find(struct call *c, struct function *ret_function)
{
	TRY(request_function(c, true, ret_function));
	if (ret_function->qualifier.p && ret_function->qualifier.p[0] == '$')
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"We currently do not support adding policies for $LATEST.");
	return 0;
}

int policy_add_permission(struct call *c)
{
	struct function f;
	str statement;

	TRY(find(c, &f));
	/* Not confirmed: AWS's words. */
	if (!is_action(c->service->model, value_str(c->in, "Action")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"The provided action was invalid. Please check the action and try again. "
			"(Lambda has no action %.*s)",
			STR_ARG(value_str(c->in, "Action")));
	if (value_has(c->in, "FunctionUrlAuthType") &&
		!str_eq(value_str(c->in, "Action"), STR("lambda:InvokeFunctionUrl")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl "
			"action");
	statement = render_statement(
		c, function_arn(c->arena, f.account, f.region, f.name, f.qualifier));
	/* What the evaluator would not take is refused now. */
	TRY(policy_check_statement(c, statement));
	TRY(change(c, &f, statement));
	value_put_str(c->out, "Statement", statement);
	return 0;
}

int policy_remove_permission(struct call *c)
{
	struct function f;

	TRY(find(c, &f));
	return change(c, &f, STR_NULL);
}

int policy_get_policy(struct call *c)
{
	struct function f;
	str stored;

	TRY(request_function(c, true, &f));
	if (TRY(store_part(self(c), c->arena, &f, PART_POLICY, policy_qualifier(&f), &stored)) == 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"The resource you requested does not exist.");
	value_put_str(c->out, "Policy", policy_document(stored));
	value_put_str(c->out, "RevisionId", policy_revision(stored));
	return 0;
}

/* ---- judging ---- */

int policy_load(struct lambda_service *s, struct arena *a, const struct function_name *name,
	struct policy **ret_policy)
{
	const struct function f = {
		.account = name->account, .region = name->region, .name = name->name};
	str stored, message, qualifier = name->qualifier;

	/* $LATEST is called by the function's own. */
	if (!qualifier.p || qualifier.p[0] == '$')
		qualifier = STR("");
	if (TRY(store_part(s, a, &f, PART_POLICY, qualifier, &stored)) == 0)
		return 0;
	if (policy_parse(a, policy_document(stored), POLICY_RESOURCE, ret_policy, &message) < 0)
		return ERR_CORRUPT;
	return 1;
}

int policy_of_resource(struct call *c, str arn, const struct policy **ret_policy)
{
	struct lambda_service *s = self(c);
	struct function_name name;
	struct layer_name layer;
	struct policy *policy;
	int found = 0;

	if (function_name_parse(arn, &name) == 0 && name.account.p && name.region.p)
		found = TRY(policy_load(s, c->arena, &name, &policy));
	else if (layer_name_parse(arn, &layer) == 0 && layer.version)
		found = TRY(layer_policy(s, c->arena, &layer, &policy));
	*ret_policy = found ? policy : NULL;
	return 0;
}

int policy_allowed(void *self_, struct arena *a, str function_arn_, str service, str source_arn,
	str source_account)
{
	struct lambda_service *s = check_object(self_, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	struct policy_context context = {.arena = a};
	struct policy_request request = {
		.action = STR("lambda:InvokeFunction"), .service = service, .context = &context};
	struct function_name name;
	struct policy *policy;
	str key, record;

	if (function_name_parse(function_arn_, &name) < 0 || !name.account.p || !name.region.p)
		return ERR_NOT_FOUND;
	if (TRY(policy_load(s, a, &name, &policy)) == 0) {
		key = store_function_key(a, name.account, name.region, name.name);
		return TRY(kv_get(s->kv, key, a, &record))
		? 2 : ERR_NOT_FOUND;
	}
	request.resource = function_arn(a, name.account, name.region, name.name, name.qualifier);
	policy_context_add(&context, STR("aws:SourceArn"), source_arn);
	policy_context_add(&context, STR("aws:SourceAccount"), source_account);
	return policy_evaluate(policy, &request, NULL) == POLICY_ALLOW;
}
