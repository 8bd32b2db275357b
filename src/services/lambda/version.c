/*
 * Published versions: PublishVersion, ListVersionsByFunction, and a version's end.
 *
 * A version is the function's record as it was, under its number. Its code (and layers') stays as
 * long as it refers to it.
 *
 * Source: API Reference, the operation of each handler's name; Developer Guide, "Manage Lambda
 * function versions".
 */
#include "base/check.h"
#include "services/lambda/config.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "services/lambda/snapshot.h"
#include "services/lambda/store.h"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

static int check_publishable(
	void *arg, struct kv_txn *txn unused_arg, struct arena *a, struct function *f)
{
	struct call *c = arg;
	str sha = value_str(c->in, "CodeSha256");

	TRY(config_check_changeable(c, f));
	if (sha.n && !str_eq(sha, function_sha256_text(a, f)))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"CodeSHA256 (%.*s) is different from current CodeSHA256 in $LATEST (%.*s). "
			"Please try again with the CodeSHA256 in $LATEST.",
			STR_ARG(sha), STR_ARG(function_sha256_text(a, f)));
	return 0;
}

int version_publish(struct call *c)
{
	struct function f;
	struct store_change change = {.change = check_publishable,
		.arg = c,
		.publish = true,
		.description = value_str(c->in, "Description"),
		.deadline = c->deadline_ns};

	TRY(request_function(c, false, &f));
	TRY(config_refuse(c));
	change.account = f.account;
	change.region = f.region;
	change.name = f.name;
	TRY(request_gone(c, lambda_store_change(self(c), c->arena, &change, &f)));
	f.qualifier = f.version;
	function_render(c->arena, &f, c->out);
	if (f.state == FUNCTION_PENDING)
		snapshot_begin(self(c), &f);
	return 0;
}

int version_list(struct call *c)
{
	struct function latest,
		*versions = arena_new_array(c->arena, struct function, LAMBDA_LIST_PAGE_MAX);
	struct request_page page;
	struct value *list;
	uint64_t after = 0;
	bool more;
	int n;

	TRY(request_function(c, false, &latest));
	TRY(request_page(c, LAMBDA_LIST_PAGE_MAX, &page));
	if (page.after.p && str_to_u64(page.after, INT64_MAX, &after) < 0)
		return lambda_fault_set(
			&c->fault, c->arena, LAMBDA_INVALID_PARAMETER, "The Marker is not valid.");
	list = value_put_list(c->out, "Versions");
	if (!page.after.p) {
		latest.qualifier = latest.version;
		function_render(c->arena, &latest, value_add_struct(list));
	}
	n = TRY(store_list_versions(self(c), c->arena, &latest, after,
		page.max - (page.after.p ? 0 : 1), versions, &more));
	for (int i = 0; i < n; i++) {
		versions[i].qualifier = versions[i].version;
		function_render(c->arena, &versions[i], value_add_struct(list));
	}
	if (more)
		request_page_more(c, n ? versions[n - 1].version : STR("0"));
	return 0;
}

int version_delete(struct call *c, const struct function_name *name)
{
	struct lambda_service *s = self(c);
	struct store_codes codes = {.arena = c->arena};
	struct function f = {.account = request_owner(c, name),
		.region = c->region,
		.name = name->name,
		.version = name->qualifier};
	str aliases;
	int rc = store_delete_version(s, &f, c->deadline_ns, &codes, &aliases);

	if (rc == ERR_LOCKED && aliases.n)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"Unable to delete version because the following aliases reference it: "
			"[%.*s]",
			STR_ARG(aliases));
	if (TRY(rc) == 0)
		return fault_not_found(&c->fault, c->arena, f.account, c->region, name, false);
	provisioned_apply(s, f.account, f.region, f.name);
	scheduler_forget(s->scheduler, f.account, f.region, f.name, f.version);
	snapshot_forget(
		s->snapshots, function_arn(c->arena, f.account, f.region, f.name, f.version));
	for (size_t i = 0; i < codes.count; i++)
		code_release(s, codes.hex[i]);
	c->status = 204;
	return 0;
}
