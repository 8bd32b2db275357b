/*
 * The control plane: creating, reading, changing, deleting and listing functions, and their tags.
 *
 * Creating and updating code: the archive is on disk and unpacked before its record is written, so
 * a function that is acknowledged has its code. The record is written Pending (or InProgress), and
 * the transition goes on behind the answer.
 *
 * Source: API Reference, the operation of each handler's name.
 */
#include "base/check.h"
#include "base/hash.h"
#include "rt/rt.h"
#include "services/lambda/config.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

static int put_fault(struct call *c, int rc, const struct sandbox_error *error)
{
	if (rc == ERR_INVALID)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Could not unzip uploaded file. Please check your file, then try to upload "
			"again. (%.*s)",
			(int)strnlen(error->text, sizeof(error->text)), error->text);
	if (rc == ERR_TOO_LARGE)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Unzipped size must be smaller than %d bytes (%.*s)",
			LAMBDA_UNZIPPED_BYTES_MAX, (int)strnlen(error->text, sizeof(error->text)),
			error->text);
	return rc;
}

/* Stores the archive in `code` and points the function at it. The pin is the caller's. */
static int put_code(
	struct call *c, const struct value *code, struct function *f, struct code_pin **ret_pin)
{
	struct sandbox_error error = {{0}};
	struct code_info info;
	str zip = value_str(code, "ZipFile");
	int rc;

	if (zip.n == 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			zip.p ? "Uploaded file must be a non-empty zip"
			      : "Please provide a source for function code.");
	if (zip.n > LAMBDA_ZIP_BYTES_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_ENTITY_TOO_LARGE,
			"Request must be smaller than %d bytes for the %.*s operation",
			LAMBDA_REQUEST_BYTES_MAX,
			STR_ARG(model_str(c->service->model, c->operation->name)));
	rc = code_put(self(c)->code, zip, c->deadline_ns, &info, ret_pin, &error);
	if (rc < 0)
		return put_fault(c, rc, &error);
	f->code_hex = arena_str(c->arena, str_of(info.hex, CODE_HEX_BYTES));
	f->code_bytes = info.bytes;
	return 0;
}

/* ---- CreateFunction ---- */

static int create(struct call *c, struct function *f)
{
	struct lambda_service *s = self(c);
	struct code_pin *pin = NULL;
	struct function old;
	int rc;

	/* Before the work of unpacking; the transaction decides. */
	rc = TRY(lambda_store_load(s, c->arena, f->account, f->region, f->name, &old, NULL));
	if (rc == 0) {
		TRY(put_code(c, value_get(c->in, "Code"), f, &pin));
		rc = lambda_store_create(s, f, c->deadline_ns);
		code_unpin(s->code, pin);
		if (rc < 0 && rc != ERR_EXISTS)
			return rc;
		if (rc == ERR_EXISTS)
			code_release(s, f->code_hex);
	} else {
		rc = ERR_EXISTS;
	}
	if (rc == ERR_EXISTS)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"Function already exist: %.*s", STR_ARG(f->name));
	return 0;
}

int control_create_function(struct call *c)
{
	struct function f = {.account = c->account, .region = c->region};
	const struct value *code = value_get(c->in, "Code");
	struct function_name name;

	TRY(request_name(c, false, &name));
	if (name.qualifier.p || (name.account.p && !str_eq(name.account, c->account)))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			name.qualifier.p
				? "A function is created without a version or alias in its name."
				: "A function is created in the account of its caller.");
	f.name = name.name;
	f.arn = function_arn(c->arena, f.account, f.region, f.name, STR_NULL);
	TRY(config_refuse(c));
	TRY(config_refuse_code(c, code, "Code."));
	TRY(config_check_role(c, f.account, f.name));
	TRY(config_apply(c, true, &f));
	TRY(config_architecture(c, &f));
	TRY(config_tags(c, &f));
	f.revision_id = lambda_uuid(c->arena);
	f.deployment = rt_random() >> 1;
	f.modified_ms = rt_wall() / RT_NS_MS;
	f.state = FUNCTION_PENDING;
	TRY(create(c, &f));
	function_render(c->arena, &f, c->out);
	transition_begin(self(c), f.account, f.region, f.name);
	return 0;
}

/* ---- reading ---- */

int control_get_function_configuration(struct call *c)
{
	struct function f;

	TRY(request_function(c, true, &f, NULL));
	function_render(c->arena, &f, c->out);
	return 0;
}

int control_get_function(struct call *c)
{
	struct function f;
	struct value *v;
	str host = call_header_get(c, STR("Host"));
	str base = ARENA_CONCAT(c->arena,
		c->request && c->request->trust->tls ? STR("https://") : STR("http://"),
		host.n ? host : STR("localhost:4566"));

	TRY(request_function(c, true, &f, NULL));
	function_render(c->arena, &f, value_put_struct(c->out, "Configuration"));
	v = value_put_struct(c->out, "Code");
	value_put_str(v, "RepositoryType", STR("S3"));
	value_put_str(v, "Location", download_url(self(c), c->arena, base, &f, c->wall_ms));
	if (f.tag_count) {
		v = value_put_map(c->out, "Tags");
		for (uint32_t i = 0; i < f.tag_count; i++)
			value_map_put_str(v, f.tags[i].name, f.tags[i].value);
	}
	return 0;
}

int control_list_functions(struct call *c)
{
	struct lambda_service *s = self(c);
	str marker = value_str(c->in, "Marker"), after = STR("");
	int64_t max = value_int(c->in, "MaxItems", LAMBDA_LIST_PAGE_MAX);
	struct function *functions =
		arena_new_array(c->arena, struct function, LAMBDA_LIST_PAGE_MAX);
	struct value *list;
	bool more;
	int n;

	if (value_has(c->in, "MasterRegion"))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"MasterRegion is not implemented by this server: there are no replicas of "
			"Lambda@Edge functions.");
	if (marker.n) {
		uint8_t *text = arena_alloc(c->arena, base64_bytes_max(marker.n));
		size_t bytes;

		if (base64url_decode(marker, text, &bytes) < 0)
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"The Marker is not valid.");
		after = str_of(text, bytes);
	}
	max = MIN(max, LAMBDA_LIST_PAGE_MAX);
	n = TRY(store_list(
		s, c->arena, c->account, c->region, after, (unsigned)max, functions, &more));
	list = value_put_list(c->out, "Functions");
	for (int i = 0; i < n; i++)
		function_render(c->arena, &functions[i], value_add_struct(list));
	if (more && n) {
		struct buf b;

		buf_init(&b, c->arena, 256);
		base64url_put(&b, functions[n - 1].name);
		value_put_str(c->out, "NextMarker", buf_str(&b));
	}
	return 0;
}

/* There is one version; clients (Terraform) ask for the list all the same. */
int control_list_versions(struct call *c)
{
	struct function f;
	struct value *v;

	TRY(request_function(c, false, &f, NULL));
	v = value_add_struct(value_put_list(c->out, "Versions"));
	function_render(c->arena, &f, v);
	value_put_str(v, "FunctionArn",
		function_arn(c->arena, f.account, f.region, f.name, STR("$LATEST")));
	return 0;
}

struct usage {
	const struct call *call;
	uint64_t bytes, functions;
};

static int add_usage(void *arg, const struct function *f)
{
	struct usage *u = arg;

	if (str_eq(f->account, u->call->account) && str_eq(f->region, u->call->region)) {
		u->bytes += f->code_bytes;
		u->functions++;
	}
	return 0;
}

int control_get_account_settings(struct call *c)
{
	struct lambda_service *s = self(c);
	struct usage usage = {.call = c};
	struct value *v;

	TRY(store_each(s, add_usage, &usage));
	v = value_put_struct(c->out, "AccountLimit");
	value_put_int(v, "TotalCodeSize", INT64_C(80530636800)); /* AWS: 75 GB; not enforced */
	value_put_int(v, "CodeSizeUnzipped", LAMBDA_UNZIPPED_BYTES_MAX);
	value_put_int(v, "CodeSizeZipped", LAMBDA_ZIP_BYTES_MAX);
	value_put_int(v, "ConcurrentExecutions", s->options.concurrency_max);
	value_put_int(v, "UnreservedConcurrentExecutions", s->options.concurrency_max);
	v = value_put_struct(c->out, "AccountUsage");
	value_put_int(v, "TotalCodeSize", (int64_t)usage.bytes);
	value_put_int(v, "FunctionCount", (int64_t)usage.functions);
	return 0;
}

/* ---- changing ---- */

struct update {
	struct call *call;
	const struct function *code; /* UpdateFunctionCode: whose code is taken over */
	str revision_id;             /* that must be the stored one; STR_NULL: any */
};

/* May it be changed now? The same for code and configuration. */
static int check_changeable(const struct update *u, const struct function *f)
{
	struct call *c = u->call;

	if (u->revision_id.p && !str_eq(u->revision_id, f->revision_id))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_PRECONDITION,
			"The Revision Id provided does not match the latest Revision Id. Call the "
			"GetFunction/GetAlias API to retrieve the latest Revision Id");
	if (f->state == FUNCTION_PENDING)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"The operation cannot be performed at this time. The function is currently "
			"in the following state: Pending");
	if (f->update == UPDATE_IN_PROGRESS)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"The operation cannot be performed at this time. An update is in progress "
			"for resource: %.*s",
			STR_ARG(f->arn));
	return 0;
}

static void set_changed(struct function *f)
{
	f->state = FUNCTION_ACTIVE;
	f->update = UPDATE_IN_PROGRESS;
	f->reason = f->reason_code = STR("");
	f->deployment = rt_random() >> 1;
}

static int change_configuration(void *arg, struct arena *a unused_arg, struct function *f)
{
	struct update *u = arg;

	TRY(check_changeable(u, f));
	TRY(config_apply(u->call, false, f));
	set_changed(f);
	return 0;
}

int control_update_function_configuration(struct call *c)
{
	struct lambda_service *s = self(c);
	struct update u = {.call = c, .revision_id = value_str(c->in, "RevisionId")};
	struct function f;

	TRY(request_function(c, false, &f, NULL));
	TRY(config_refuse(c));
	TRY(config_check_role(c, f.account, f.name));
	TRY(lambda_store_change(s, c->arena, f.account, f.region, f.name, true,
		change_configuration, &u, c->deadline_ns, &f));
	function_render(c->arena, &f, c->out);
	transition_begin(s, f.account, f.region, f.name);
	return 0;
}

static int change_code(void *arg, struct arena *a unused_arg, struct function *f)
{
	struct update *u = arg;

	TRY(check_changeable(u, f));
	f->code_hex = u->code->code_hex;
	f->code_bytes = u->code->code_bytes;
	f->architecture = u->code->architecture;
	set_changed(f);
	return 0;
}

int control_update_function_code(struct call *c)
{
	struct lambda_service *s = self(c);
	struct update u = {.call = c, .revision_id = value_str(c->in, "RevisionId")};
	struct code_pin *pin = NULL;
	struct function f, new;
	str old_code;
	int rc;

	TRY(request_function(c, false, &f, NULL));
	TRY(config_refuse(c));
	TRY(config_refuse_code(c, c->in, ""));
	TRY(check_changeable(&u, &f));
	new = f;
	old_code = f.code_hex;
	TRY(config_architecture(c, &new));
	TRY(put_code(c, c->in, &new, &pin));
	u.code = &new;
	if (value_bool(c->in, "DryRun", false)) {
		rc = 0;
		f = new;
	} else {
		rc = lambda_store_change(s, c->arena, f.account, f.region, f.name, true,
			change_code, &u, c->deadline_ns, &f);
	}
	code_unpin(s->code, pin);
	if (rc < 0 || value_bool(c->in, "DryRun", false)) {
		if (!str_eq(new.code_hex, old_code))
			code_release(s, new.code_hex);
		TRY(rc);
	} else {
		transition_begin(s, f.account, f.region, f.name);
		if (!str_eq(f.code_hex, old_code))
			code_release(s, old_code);
	}
	function_render(c->arena, &f, c->out);
	return 0;
}

int control_delete_function(struct call *c)
{
	struct lambda_service *s = self(c);
	struct function_name name;
	char hex[CODE_HEX_BYTES];

	TRY(request_name(c, true, &name));
	if (name.qualifier.p && !str_eq(name.qualifier, STR("$LATEST"))) {
		if (function_qualifier_kind(name.qualifier) != QUALIFIER_VERSION)
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"Deletion of aliases is not currently supported.");
		return fault_not_found(&c->fault, c->arena, c->account, c->region, &name, false);
	}
	if (name.qualifier.p)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"$LATEST version cannot be deleted without deleting the function.");
	if ((name.account.p && !str_eq(name.account, c->account)) ||
		TRY(store_delete(s, c->account, c->region, name.name, c->deadline_ns, hex)) == 0)
		return fault_not_found(&c->fault, c->arena, c->account, c->region, &name, false);
	scheduler_forget(s->scheduler, c->account, c->region, name.name);
	code_release(s, str_of(hex, CODE_HEX_BYTES));
	c->status = 204;
	return 0;
}

/* ---- tags ---- */

static int tagged_function(struct call *c, struct function *ret_function)
{
	struct lambda_service *s = self(c);
	str arn = value_str(c->in, "Resource");
	struct function_name name;

	if (function_name_parse(arn, &name) < 0 || !name.region.p || !name.account.p ||
		name.qualifier.p)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"%.*s is not the ARN of a function (tags of other resources are not "
			"implemented by this server).",
			STR_ARG(arn));
	if (!str_eq(name.account, c->account) || !str_eq(name.region, c->region) ||
		TRY(lambda_store_load(
			s, c->arena, c->account, c->region, name.name, ret_function, NULL)) == 0)
		return fault_not_found(
			&c->fault, c->arena, name.account, name.region, &name, false);
	return 0;
}

static int add_tags(void *arg, struct arena *a unused_arg, struct function *f)
{
	return config_tags(arg, f);
}

int control_tag_resource(struct call *c)
{
	struct function f;

	TRY(tagged_function(c, &f));
	return lambda_store_change(self(c), c->arena, f.account, f.region, f.name, false, add_tags,
		c, c->deadline_ns, &f);
}

static int remove_tags(void *arg, struct arena *a, struct function *f)
{
	struct call *c = arg;
	const struct value *keys = value_get(c->in, "TagKeys");
	struct function_pair *left = arena_new_array(a, struct function_pair, f->tag_count + 1);
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->tag_count; i++) {
		bool remove = false;

		for (uint32_t k = 0; k < value_count(keys); k++)
			remove = remove || str_eq(value_text(value_at(keys, k)), f->tags[i].name);
		if (!remove)
			left[n++] = f->tags[i];
	}
	f->tags = left;
	f->tag_count = n;
	return 0;
}

int control_untag_resource(struct call *c)
{
	struct function f;

	TRY(tagged_function(c, &f));
	return lambda_store_change(self(c), c->arena, f.account, f.region, f.name, false,
		remove_tags, c, c->deadline_ns, &f);
}

int control_list_tags(struct call *c)
{
	struct function f;
	struct value *v;

	TRY(tagged_function(c, &f));
	v = value_put_map(c->out, "Tags");
	for (uint32_t i = 0; i < f.tag_count; i++)
		value_map_put_str(v, f.tags[i].name, f.tags[i].value);
	return 0;
}
