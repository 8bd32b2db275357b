/*
 * The resource-based policy of a function: AddPermission, GetPolicy, RemovePermission, and the
 * question whether a service may call it.
 *
 * Stored as its revision id (36 bytes) and the document. It is written under the function's key, so
 * that it cannot outlive the function.
 *
 * Source: API Reference, AddPermission; Developer Guide, "Resource-based policy statements".
 */
#include "aws/policy.h"

#include "base/check.h"
#include "base/json.h"
#include "kv/kv.h"
#include "rt/rt.h"
#include "services/lambda/service.h"

enum { REVISION_BYTES = 36 };

#define DOCUMENT_HEAD "{\"Version\":\"2012-10-17\",\"Id\":\"default\",\"Statement\":["
#define DOCUMENT_TAIL "]}"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

/* ---- statements ---- */

static void put_principal(struct json_writer *w, struct arena *a, str principal)
{
	json_put_key(w, STR("Principal"));
	if (str_eq(principal, STR("*"))) {
		json_put_string(w, principal);
		return;
	}
	json_put_object_begin(w);
	if (str_starts(principal, STR("arn:")))
		json_put_key_string(w, STR("AWS"), principal);
	else if (str_find(principal, '.') < 0)
		json_put_key_string(w, STR("AWS"),
			ARENA_CONCAT(a, STR("arn:aws:iam::"), principal, STR(":root")));
	else
		json_put_key_string(w, STR("Service"), principal);
	json_put_object_end(w);
}

struct condition {
	str operator_, key, value;
};

/* Rows of one operator stand together in the list. */
static void put_conditions(struct json_writer *w, const struct condition *list, size_t n)
{
	str open = STR_NULL;

	for (size_t i = 0; i < n; i++) {
		if (!list[i].value.p)
			continue;
		if (!open.p) {
			json_put_key(w, STR("Condition"));
			json_put_object_begin(w);
		}
		if (!str_eq(open, list[i].operator_)) {
			if (open.p)
				json_put_object_end(w);
			json_put_key(w, list[i].operator_);
			json_put_object_begin(w);
			open = list[i].operator_;
		}
		json_put_key_string(w, list[i].key, list[i].value);
	}
	if (open.p) {
		json_put_object_end(w);
		json_put_object_end(w);
	}
}

static str render_statement(struct call *c, str resource)
{
	str equals = STR("StringEquals");
	struct condition conditions[] = {
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
	struct json_writer w;
	struct buf b;

	buf_init(&b, c->arena, LAMBDA_POLICY_BYTES_MAX);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("Sid"), value_str(c->in, "StatementId"));
	json_put_key_string(&w, STR("Effect"), STR("Allow"));
	put_principal(&w, c->arena, value_str(c->in, "Principal"));
	json_put_key_string(&w, STR("Action"), value_str(c->in, "Action"));
	json_put_key_string(&w, STR("Resource"), resource);
	put_conditions(&w, conditions, ARRAY_SIZE(conditions));
	json_put_object_end(&w);
	return buf_str(&b);
}

/* ---- changing ---- */

struct policy_change {
	struct call *call;
	struct arena *arena;
	str function_key, policy_key;
	str sid, statement; /* to add; STR_NULL: the sid is removed */
	str revision_id;
};

static int fault_missing(struct call *c)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
		"No policy is associated with the given resource.");
}

/* The statements of a stored document but the one of that sid; *ret_found tells of it. */
static int copy_statements(struct policy_change *p, str document, struct buf *out, bool *ret_found)
{
	struct json_value *tree;
	const struct json_value *list;
	bool any = false;

	*ret_found = false;
	if (!document.n)
		return 0;
	if (json_parse(p->arena, document, JSON_DEPTH_DEFAULT, &tree, NULL) < 0)
		return ERR_CORRUPT;
	list = json_get(tree, STR("Statement"));
	for (size_t i = 0; json_at(list, i); i++) {
		const struct json_value *s = json_at(list, i);
		struct json_writer w;

		if (str_eq(json_text(json_get(s, STR("Sid"))), p->sid)) {
			*ret_found = true;
			continue;
		}
		if (any)
			buf_put_char(out, ',');
		json_writer_init(&w, out);
		json_put_value(&w, s);
		any = true;
	}
	return any;
}

static int change_policy(struct kv_txn *txn, void *arg)
{
	struct policy_change *p = arg;
	struct call *c = p->call;
	str record, old = STR(""), revision = lambda_uuid(p->arena);
	struct buf b;
	bool found;
	int any;

	if (TRY(kv_txn_get(txn, p->function_key, p->arena, &record)) == 0)
		return ERR_NOT_FOUND;
	(void)TRY(kv_txn_get(txn, p->policy_key, p->arena, &old));
	if (!p->statement.p && !old.n)
		return fault_missing(c);
	if (p->revision_id.p && !str_eq(p->revision_id, str_sub(old, 0, REVISION_BYTES)))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_PRECONDITION,
			"The Revision Id provided does not match the latest Revision Id. Call the "
			"GetPolicy API to retrieve the latest Revision Id");
	buf_init(&b, p->arena, (size_t)4 * LAMBDA_POLICY_BYTES_MAX);
	buf_put(&b, revision);
	buf_put(&b, STR(DOCUMENT_HEAD));
	any = TRY(copy_statements(p, str_from(old, REVISION_BYTES), &b, &found));
	if (p->statement.p && found)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"The statement id (%.*s) provided already exists. Please provide a new "
			"statement id, or remove the existing statement.",
			STR_ARG(p->sid));
	if (!p->statement.p && !found)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"Statement %.*s is not found in resource policy.", STR_ARG(p->sid));
	if (p->statement.p && any)
		buf_put_char(&b, ',');
	if (p->statement.p)
		buf_put(&b, p->statement);
	buf_put(&b, STR(DOCUMENT_TAIL));
	if (b.over || b.n - REVISION_BYTES > LAMBDA_POLICY_BYTES_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_POLICY_LENGTH,
			"The final policy size (%zu) is bigger than the limit (%d).",
			b.n - REVISION_BYTES, LAMBDA_POLICY_BYTES_MAX);
	if (!p->statement.p && !any)
		kv_txn_delete_covered(txn, p->policy_key);
	else
		kv_txn_put_covered(txn, p->policy_key, buf_str(&b));
	return 0;
}

static int change(struct call *c, str statement)
{
	struct policy_change p = {
		.call = c,
		.arena = c->arena,
		.sid = value_str(c->in, "StatementId"),
		.statement = statement,
		.revision_id = value_str(c->in, "RevisionId"),
	};
	struct function f;

	TRY(request_function(c, true, &f, NULL));
	p.function_key = store_function_key(c->arena, f.account, f.region, f.name);
	p.policy_key = store_policy_key(c->arena, f.account, f.region, f.name);
	return kv_run(self(c)->kv, &p.function_key, 1, change_policy, &p, c->deadline_ns);
}

int policy_add_permission(struct call *c)
{
	struct policy *parsed;
	struct function f;
	str statement, message;

	TRY(request_function(c, true, &f, NULL));
	statement = render_statement(c, f.arn);
	/* What the evaluator would not take is refused now. */
	if (policy_parse(c->arena,
		    ARENA_CONCAT(c->arena, STR(DOCUMENT_HEAD), statement, STR(DOCUMENT_TAIL)),
		    POLICY_RESOURCE, &parsed, &message) < 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"The provided principal was invalid. Please check the principal and try "
			"again. (%.*s)",
			STR_ARG(message));
	TRY(change(c, statement));
	value_put_str(c->out, "Statement", statement);
	return 0;
}

int policy_remove_permission(struct call *c)
{
	return change(c, STR_NULL);
}

int policy_get_policy(struct call *c)
{
	struct function f;
	str stored;

	TRY(request_function(c, true, &f, NULL));
	if (TRY(store_policy(self(c), c->arena, f.account, f.region, f.name, &stored)) == 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"The resource you requested does not exist.");
	value_put_str(c->out, "Policy", str_from(stored, REVISION_BYTES));
	value_put_str(c->out, "RevisionId", str_sub(stored, 0, REVISION_BYTES));
	return 0;
}

/* ---- judging ---- */

int policy_allowed(void *self_, struct arena *a, str function_arn_, str service, str source_arn,
	str source_account)
{
	struct lambda_service *s = check_object(self_, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	struct policy_context context = {.arena = a};
	struct policy_request request = {
		.action = STR("lambda:InvokeFunction"), .service = service, .context = &context};
	struct function_name name;
	struct policy *policy;
	str stored, message, key;

	if (function_name_parse(function_arn_, &name) < 0 || !name.account.p || !name.region.p)
		return ERR_NOT_FOUND;
	if (TRY(store_policy(s, a, name.account, name.region, name.name, &stored)) == 0) {
		key = store_function_key(a, name.account, name.region, name.name);
		return TRY(kv_get(s->kv, key, a, &stored))
		? 2 : ERR_NOT_FOUND;
	}
	if (policy_parse(a, str_from(stored, REVISION_BYTES), POLICY_RESOURCE, &policy, &message) <
		0)
		return ERR_CORRUPT;
	request.resource = function_arn(a, name.account, name.region, name.name, STR_NULL);
	policy_context_add(&context, STR("aws:SourceArn"), source_arn);
	policy_context_add(&context, STR("aws:SourceAccount"), source_account);
	return policy_evaluate(policy, &request, NULL) == POLICY_ALLOW;
}
