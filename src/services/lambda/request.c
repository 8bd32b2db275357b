/*
 * Names in requests, and the faults that every operation shares.
 */
#include "base/check.h"
#include "base/hash.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

int lambda_fault_set(
	struct fault *fault, struct arena *a, enum lambda_fault kind, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fault_vset(fault, a, &lambda_faults[kind], format, args);
	va_end(args);
	return ERR_FAULT;
}

int fault_not_found(struct fault *fault, struct arena *a, str account, str region,
	const struct function_name *name, bool latest)
{
	str qualifier = name->qualifier;

	if (!qualifier.p && latest)
		qualifier = STR("$LATEST");
	return lambda_fault_set(fault, a, LAMBDA_NOT_FOUND, "Function not found: %.*s",
		STR_ARG(function_arn(a, account, region, name->name, qualifier)));
}

int request_name(struct call *c, bool qualified, struct function_name *ret_name)
{
	str text = value_str(c->in, "FunctionName");
	str qualifier = qualified ? value_str(c->in, "Qualifier") : STR_NULL;
	struct function_name name;

	if (text.n > LAMBDA_NAME_CHARS_MAX && str_find(text, ':') < 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_VALIDATION,
			"1 validation error detected: Value '%.*s' at 'functionName' failed to "
			"satisfy constraint: Member must have length less than or equal to %d",
			STR_ARG(text), LAMBDA_NAME_CHARS_MAX);
	if (function_name_parse(text, &name) < 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_VALIDATION,
			"1 validation error detected: Value '%.*s' at 'functionName' failed to "
			"satisfy constraint: Member must satisfy regular expression pattern: "
			"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)"
			"?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))? and have "
			"length less than or equal to %d",
			STR_ARG(text), LAMBDA_NAME_CHARS_MAX);
	if (name.qualifier.p && qualifier.p && !str_eq(name.qualifier, qualifier))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"The derived qualifier from the function name does not match the specified "
			"qualifier.");
	if (qualifier.p)
		name.qualifier = qualifier;
	if (name.region.p && !str_eq(name.region, c->region))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"Functions from '%.*s' are not reachable in this region ('%.*s')",
			STR_ARG(name.region), STR_ARG(c->region));
	*ret_name = name;
	return 0;
}

str request_owner(const struct call *c, const struct function_name *name)
{
	return name->account.p ? name->account : c->account;
}

int request_resource(struct call *c, str *ret_arn)
{
	struct function_name name;
	bool qualified = model_member(c->service->model, c->in->shape, STR("Qualifier")) >= 0;

	TRY(request_name(c, qualified, &name));
	*ret_arn = function_arn(
		c->arena, request_owner(c, &name), c->region, name.name, name.qualifier);
	return 0;
}

int request_tag_resource(struct call *c, str *ret_arn)
{
	*ret_arn = value_str(c->in, "Resource");
	return 0;
}

int request_function(struct call *c, bool qualified, struct function *ret_function)
{
	struct lambda_service *s =
		check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	struct function_name name;
	str account, version;
	int found;

	TRY(request_name(c, qualified, &name));
	account = request_owner(c, &name);
	/* Not confirmed: AWS's words. */
	if (!qualified && name.qualifier.p &&
		function_qualifier_kind(name.qualifier) != QUALIFIER_LATEST)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"This operation is for functions, not for their versions and aliases: name "
			"the function without the qualifier '%.*s'.",
			STR_ARG(name.qualifier));
	if (!qualified)
		name.qualifier = STR_NULL;
	found = TRY(store_resolve(
		s, c->arena, account, c->region, name.name, name.qualifier, false, &version));
	if (found)
		found = TRY(lambda_store_load(
			s, c->arena, account, c->region, name.name, version, ret_function, NULL));
	if (!found)
		return fault_not_found(&c->fault, c->arena, account, c->region, &name, false);
	ret_function->qualifier = name.qualifier;
	return 0;
}

int request_gone(struct call *c, int rc)
{
	struct function_name name;

	if (rc != ERR_NOT_FOUND)
		return rc;
	TRY(request_name(
		c, model_member(c->service->model, c->in->shape, STR("Qualifier")) >= 0, &name));
	return fault_not_found(
		&c->fault, c->arena, request_owner(c, &name), c->region, &name, false);
}

/* ---- pages of lists ---- */

int request_page(struct call *c, uint32_t most, struct request_page *ret_page)
{
	str marker = value_str(c->in, "Marker");
	struct request_page page = {
		(uint32_t)MIN(value_int(c->in, "MaxItems", most), (int64_t)most), STR_NULL};
	uint8_t *text;
	size_t bytes;

	if (marker.n) {
		text = arena_alloc(c->arena, base64_bytes_max(marker.n));
		if (base64url_decode(marker, text, &bytes) < 0)
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"The Marker is not valid.");
		page.after = str_of(text, bytes);
	}
	*ret_page = page;
	return 0;
}

void request_page_more(struct call *c, str last)
{
	struct buf b;

	buf_init(&b, c->arena, 4096);
	base64url_put(&b, last);
	value_put_str(c->out, "NextMarker", buf_str(&b));
}

int request_parts(struct call *c, const char *kind, struct function *ret_function,
	struct store_entry **ret_entries)
{
	struct lambda_service *service =
		check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	struct store_entry *entries =
		arena_new_array(c->arena, struct store_entry, LAMBDA_LIST_PAGE_MAX);
	struct request_page page;
	bool more;
	int n;

	TRY(request_function(c, false, ret_function));
	TRY(request_page(c, LAMBDA_LIST_PAGE_MAX, &page));
	n = TRY(store_parts(
		service, c->arena, ret_function, kind, page.after, page.max, entries, &more));
	if (more)
		request_page_more(c, entries[n - 1].qualifier);
	*ret_entries = entries;
	return n;
}
