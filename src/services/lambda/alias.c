/*
 * Aliases: names of versions, with a second version for a share of the invocations.
 *
 * Stored as their AliasConfiguration, one part of the function each.
 *
 * Source: API Reference, the operation of each handler's name; Developer Guide, "Create an alias
 * for a Lambda function", "Implement Lambda canary deployments using a weighted alias".
 */
#include "aws/codec.h"
#include "base/check.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

static str alias_arn(struct call *c, const struct function *f, str name)
{
	return function_arn(c->arena, f->account, f->region, f->name, name);
}

static int fault_missing(struct call *c, const struct function *f, str name)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
		"Cannot find alias arn: %.*s", STR_ARG(alias_arn(c, f, name)));
}

static int load(struct call *c, struct arena *a, str text, struct value **ret_alias)
{
	return codec_json_load(a, c->service->model, "AliasConfiguration", text, ret_alias);
}

/* ---- rules ---- */

static int check_version(
	struct call *c, struct kv_txn *txn, struct arena *a, const struct function *f, str version)
{
	const struct function_name name = {f->account, f->region, f->name, version};
	int kind = function_qualifier_kind(version);

	if ((kind != QUALIFIER_LATEST && kind != QUALIFIER_VERSION) ||
		TRY(store_txn_has_qualifier(txn, a, f, version)) == 0)
		return fault_not_found(&c->fault, c->arena, f->account, f->region, &name, false);
	return 0;
}

/* Of an alias as it shall be. */
static int check_alias(struct call *c, struct kv_txn *txn, struct arena *a,
	const struct function *f, const struct value *alias)
{
	const struct value *weights =
		value_get(value_get(alias, "RoutingConfig"), "AdditionalVersionWeights");
	str version = value_str(alias, "FunctionVersion");

	TRY(check_version(c, txn, a, f, version));
	if (value_count(weights) > 1)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Number of items in AdditionalVersionWeights cannot be greater than 1");
	for (uint32_t i = 0; i < value_count(weights); i++) {
		str second = value_key(weights, i);

		if (version.p[0] == '$' || second.p[0] == '$')
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"$LATEST is not supported for an alias pointing to more than 1 "
				"version");
		if (str_eq(version, second))
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"Invalid function version %.*s. Function version %.*s is already "
				"included in routing configuration.",
				STR_ARG(second), STR_ARG(version));
		TRY(check_version(c, txn, a, f, second));
	}
	return 0;
}

/* Members of the input that are there replace those of the alias. */
static void lay_over(struct call *c, struct value *alias)
{
	value_put_copy(alias, "FunctionVersion", value_get(c->in, "FunctionVersion"));
	value_put_copy(alias, "Description", value_get(c->in, "Description"));
}

static void set_routing(struct call *c, struct value *alias, const struct value *old)
{
	const struct value *routing = value_get(c->in, "RoutingConfig");

	if (!routing)
		routing = value_get(old, "RoutingConfig");
	/* An empty one takes the weights away. */
	if (value_count(value_get(routing, "AdditionalVersionWeights")))
		value_put_copy(alias, "RoutingConfig", routing);
}

static str store_text(struct arena *a, const struct value *alias)
{
	struct buf b;

	buf_init(&b, a, LAMBDA_RECORD_BYTES_MAX);
	codec_json_store(&b, alias);
	check(!b.over);
	return buf_str(&b);
}

/* ---- changing ---- */

struct alias_change {
	struct call *call;
	struct value *alias; /* as it is stored now; NULL: none */
};

static int create(
	void *arg, struct kv_txn *txn, struct arena *a, const struct function *f, str *text)
{
	struct alias_change *x = arg;
	struct call *c = x->call;
	struct value *alias = value_new(a, c->service->model, "AliasConfiguration");
	str name = value_str(c->in, "Name");

	if (text->p)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"Alias already exists: %.*s", STR_ARG(alias_arn(c, f, name)));
	value_put_str(alias, "AliasArn", alias_arn(c, f, name));
	value_put_str(alias, "Name", name);
	value_put_str(alias, "Description", STR(""));
	lay_over(c, alias);
	set_routing(c, alias, NULL);
	TRY(check_alias(c, txn, a, f, alias));
	value_put_str(alias, "RevisionId", lambda_uuid(a));
	*text = store_text(a, alias);
	x->alias = alias;
	return 0;
}

static int update(
	void *arg, struct kv_txn *txn, struct arena *a, const struct function *f, str *text)
{
	struct alias_change *x = arg;
	struct call *c = x->call;
	str name = value_str(c->in, "Name"), revision = value_str(c->in, "RevisionId");
	struct value *old, *alias = value_new(a, c->service->model, "AliasConfiguration");

	/* Other words than GetAlias has: from memory of AWS. */
	if (!text->p)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"Alias not found: %.*s", STR_ARG(alias_arn(c, f, name)));
	TRY(load(c, a, *text, &old));
	if (revision.p && !str_eq(revision, value_str(old, "RevisionId")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_PRECONDITION,
			"The Revision Id provided does not match the latest Revision Id. Call the "
			"GetFunction/GetAlias API to retrieve the latest Revision Id");
	value_put_str(alias, "AliasArn", value_str(old, "AliasArn"));
	value_put_str(alias, "Name", name);
	value_put_str(alias, "FunctionVersion", value_str(old, "FunctionVersion"));
	value_put_str(alias, "Description", value_str(old, "Description"));
	lay_over(c, alias);
	set_routing(c, alias, old);
	TRY(check_alias(c, txn, a, f, alias));
	TRY(provisioned_check_alias(c, txn, a, f, alias));
	value_put_str(alias, "RevisionId", lambda_uuid(a));
	*text = store_text(a, alias);
	x->alias = alias;
	return 0;
}

static int remove_alias(
	void *arg, struct kv_txn *txn, struct arena *a, const struct function *f, str *text)
{
	struct alias_change *x = arg;
	str name = value_str(x->call->in, "Name");

	/* Deleting what is not there is fine. */
	if (text->p) {
		TRY(store_txn_free_provisioned(txn, a, f, name));
		TRY(store_txn_drop_parts(txn, a, f, name));
	}
	*text = STR_NULL;
	return 0;
}

static int change(struct call *c, int (*fn)(void *arg, struct kv_txn *txn, struct arena *a,
					  const struct function *f, str *text))
{
	struct alias_change x = {.call = c};
	struct function f;
	struct store_part_change change = {.function = &f,
		.kind = PART_ALIAS,
		.qualifier = value_str(c->in, "Name"),
		.change = fn,
		.arg = &x,
		.deadline = c->deadline_ns};

	TRY(request_function(c, false, &f));
	change.also = store_reserved_key(c->arena, f.account, f.region);
	TRY(request_gone(c, store_part_change(self(c), c->arena, &change)));
	provisioned_apply(self(c), f.account, f.region, f.name);
	if (x.alias)
		value_copy_members(c->out, x.alias);
	return 0;
}

int alias_create(struct call *c)
{
	str name = value_str(c->in, "Name");

	if (function_qualifier_kind(name) != QUALIFIER_ALIAS)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_VALIDATION,
			"1 validation error detected: Value '%.*s' at 'name' failed to satisfy "
			"constraint: Member must satisfy regular expression pattern: "
			"(?!^[0-9]+$)([a-zA-Z0-9-_]+)",
			STR_ARG(name));
	return change(c, create);
}

int alias_update(struct call *c)
{
	return change(c, update);
}

int alias_delete(struct call *c)
{
	return change(c, remove_alias);
}

/* ---- reading ---- */

int alias_get(struct call *c)
{
	str name = value_str(c->in, "Name"), text;
	struct value *alias;
	struct function f;

	TRY(request_function(c, false, &f));
	if (TRY(store_part(self(c), c->arena, &f, PART_ALIAS, name, &text)) == 0)
		return fault_missing(c, &f, name);
	TRY(load(c, c->arena, text, &alias));
	value_copy_members(c->out, alias);
	return 0;
}

static bool points_to(const struct value *alias, str version)
{
	const struct value *weights =
		value_get(value_get(alias, "RoutingConfig"), "AdditionalVersionWeights");

	return !version.p || str_eq(value_str(alias, "FunctionVersion"), version) ||
	       value_find(weights, version);
}

int alias_list(struct call *c)
{
	struct value *list = value_put_list(c->out, "Aliases"), *alias;
	struct store_entry *entries;
	struct function f;
	int n;

	n = TRY(request_parts(c, PART_ALIAS, &f, &entries));
	for (int i = 0; i < n; i++) {
		TRY(load(c, c->arena, entries[i].text, &alias));
		if (points_to(alias, value_str(c->in, "FunctionVersion")))
			value_copy_members(value_add_struct(list), alias);
	}
	return 0;
}
