/*
 * The control plane: creating, reading, changing, deleting and listing functions.
 *
 * Creating and updating code: the archive is on disk and unpacked before its record is written, so
 * a function that is acknowledged has its code. The record is written Pending (or InProgress), and
 * the transition goes on behind the answer.
 *
 * Source: API Reference, the operation of each handler's name.
 */
#include "base/check.h"
#include "rt/rt.h"
#include "services/lambda/config.h"
#include "services/lambda/durable_engine.h"
#include "services/lambda/layer.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "services/lambda/signing.h"
#include "services/lambda/snapshot.h"
#include "services/lambda/store.h"
#include "services/lambda/upload.h"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

/* Code that must not be removed while a record that refers to it is being written. */
struct held {
	struct code_pin *pins[FUNCTION_LAYERS_MAX + 1];
	struct image_found image;
};

static void let_go(struct lambda_service *s, struct held *held)
{
	layers_unpin(s, held->pins, ARRAY_SIZE(held->pins));
	image_unpin(s->code, &held->image);
}

static void release_all(struct call *c, const struct function *f)
{
	struct store_codes codes = {.arena = c->arena};

	store_codes_add_all(&codes, f);
	for (size_t i = 0; i < codes.count; i++)
		code_release(self(c), codes.hex[i]);
}

/* An archive or an image: does what is given fit the function's kind? */
static int check_kind(struct call *c, const struct value *code, bool image)
{
	bool has_image = value_str(code, "ImageUri").n, has_zip = value_str(code, "ZipFile").n;
	bool has_object = value_has(code, "S3Bucket") || value_has(code, "S3Key") ||
			  value_has(code, "S3ObjectVersion") ||
			  value_has(code, "S3ObjectStorageMode");

	if (image && has_zip)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Please don't provide ZipFile when the function has packageType Image.");
	/* Not confirmed: in the form of the one above. */
	if (image && has_object)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Please don't provide S3Bucket, S3Key, S3ObjectVersion or "
			"S3ObjectStorageMode when the function has packageType Image.");
	if (image && !has_image)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Please provide ImageUri when the function has packageType Image.");
	if (!image && has_image)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Please do not provide ImageUri when the function has packageType Zip.");
	return 0;
}

/* Stores the archive in `code`, or finds the image, and points the function at it. */
static int put_code(struct call *c, const struct value *code, struct function *f, struct held *held)
{
	struct uploaded up = {.pin = NULL};

	f->signer_profile = f->signer_job = STR("");
	if (function_is_image(f))
		return upload_image(c, value_str(code, "ImageUri"), f, &held->image);
	TRY(upload_zip(c, code, f, &up));
	held->pins[FUNCTION_LAYERS_MAX] = up.pin;
	f->code_hex = arena_str(c->arena, str_of(up.info.hex, CODE_HEX_BYTES));
	f->code_bytes = up.info.bytes;
	if (up.signature.profile_version_arn.p) {
		f->signer_profile = up.signature.profile_version_arn;
		f->signer_job = up.signature.job_arn;
	}
	return 0;
}

/* ---- CreateFunction ---- */

static int create(struct call *c, struct function *f)
{
	struct lambda_service *s = self(c);
	struct held held = {.pins = {NULL}};
	struct function old;
	int rc;

	/* Before the work of unpacking; the transaction decides. */
	rc = TRY(lambda_store_load(
		s, c->arena, f->account, f->region, f->name, STR_NULL, &old, NULL));
	if (rc == 0) {
		rc = layers_apply(c, f, held.pins);
		if (rc >= 0)
			rc = signing_check_layers(c, f);
		if (rc >= 0)
			rc = put_code(c, value_get(c->in, "Code"), f, &held);
		if (rc >= 0)
			rc = upload_check_size(c, f);
		if (rc >= 0)
			rc = lambda_store_create(s, c->arena, f,
				value_bool(c->in, "Publish", false), c->deadline_ns);
		let_go(s, &held);
		if (rc < 0 && f->code_hex.n)
			release_all(c, f);
	} else {
		rc = ERR_EXISTS;
	}
	if (rc == ERR_EXISTS)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"Function already exist: %.*s", STR_ARG(f->name));
	return rc;
}

int control_create_function(struct call *c)
{
	struct function f = {.account = c->account,
		.region = c->region,
		.version = STR("$LATEST"),
		.reserved = FUNCTION_UNRESERVED,
		.signing_arn = value_str(c->in, "CodeSigningConfigArn")};
	const struct value *code = value_get(c->in, "Code");
	struct function_name name;
	struct tag_set tags = {NULL, 0};

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
	TRY(check_kind(c, code, str_eq(value_str(c->in, "PackageType"), STR("Image"))));
	f.image = value_str(code, "ImageUri"); /* until it is found */
	TRY(config_check_role(c, f.account, f.name));
	TRY(config_apply(c, true, &f));
	TRY(config_architecture(c, &f));
	TRY(tags_lay_over(c, c->arena, value_get(c->in, "Tags"), &tags));
	f.tags = tags.pairs;
	f.tag_count = tags.count;
	f.revision_id = lambda_uuid(c->arena);
	f.deployment = rt_random() >> 1;
	f.modified_ms = rt_wall() / RT_NS_MS;
	f.state = FUNCTION_PENDING;
	TRY(signing_check_config(c, &f));
	TRY(create(c, &f));
	if (!function_is_latest(&f))
		f.qualifier = f.version;
	function_render(c->arena, &f, c->out);
	transition_begin(self(c), f.account, f.region, f.name);
	if (!function_is_latest(&f) && f.state == FUNCTION_PENDING)
		snapshot_begin(self(c), &f);
	return 0;
}

/* ---- reading ---- */

int control_get_function_configuration(struct call *c)
{
	struct function f;

	TRY(request_function(c, true, &f));
	function_render(c->arena, &f, c->out);
	return 0;
}

int control_get_function(struct call *c)
{
	struct function f, latest;
	struct function_image image;
	struct value *v;

	TRY(request_function(c, true, &f));
	function_render(c->arena, &f, value_put_struct(c->out, "Configuration"));
	v = value_put_struct(c->out, "Code");
	if (function_is_image(&f)) {
		TRY(image_decode(c->arena, f.image, &image));
		value_put_str(v, "RepositoryType", STR("ECR"));
		value_put_str(v, "ImageUri", image.uri);
		value_put_str(v, "ResolvedImageUri", image.resolved);
	} else {
		value_put_str(v, "RepositoryType", STR("S3"));
		value_put_str(v, "Location", download_url(c, f.code_hex, f.name));
	}
	/* Of a version or an alias only what is its own is told. */
	if (f.qualifier.p && function_qualifier_kind(f.qualifier) != QUALIFIER_LATEST)
		return 0;
	if (TRY(lambda_store_load(
		    self(c), c->arena, f.account, f.region, f.name, STR_NULL, &latest, NULL)) == 0)
		return request_gone(c, ERR_NOT_FOUND);
	if (latest.tag_count) {
		v = value_put_map(c->out, "Tags");
		for (uint32_t i = 0; i < latest.tag_count; i++)
			value_map_put_str(v, latest.tags[i].name, latest.tags[i].value);
	}
	if (latest.reserved != FUNCTION_UNRESERVED)
		value_put_int(value_put_struct(c->out, "Concurrency"),
			"ReservedConcurrentExecutions", latest.reserved);
	return 0;
}

/* A page's last entry as a marker: "name" or, in lists of versions, "name:7". */
static struct store_position position_of(str marker)
{
	struct store_position at = {marker, STR_NULL};
	ptrdiff_t colon = marker.p ? str_find(marker, ':') : -1;

	if (colon >= 0) {
		at.name = str_sub(marker, 0, (size_t)colon);
		at.version = str_from(marker, (size_t)colon + 1);
	}
	return at;
}

int control_list_functions(struct call *c)
{
	bool all = str_eq(value_str(c->in, "FunctionVersion"), STR("ALL"));
	struct function *functions =
		arena_new_array(c->arena, struct function, LAMBDA_LIST_PAGE_MAX);
	struct store_position after;
	struct request_page page;
	struct value *list;
	bool more;
	int n;

	if (value_has(c->in, "MasterRegion") && !all)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"MasterRegion can only be used with FunctionVersion set to ALL.");
	TRY(request_page(c, LAMBDA_LIST_PAGE_MAX, &page));
	after = position_of(page.after);
	if (after.version.p && function_qualifier_kind(after.version) < 0)
		return lambda_fault_set(
			&c->fault, c->arena, LAMBDA_INVALID_PARAMETER, "The Marker is not valid.");
	list = value_put_list(c->out, "Functions");
	/* It asks for replicas of functions at the edge only, of which there are none. */
	if (value_has(c->in, "MasterRegion"))
		return 0;
	n = TRY(store_list(
		self(c), c->arena, c->account, c->region, after, all, page.max, functions, &more));
	for (int i = 0; i < n; i++) {
		if (all)
			functions[i].qualifier = functions[i].version;
		function_render_listed(c->arena, &functions[i], value_add_struct(list));
	}
	if (more && n) {
		const struct function *last = &functions[n - 1];

		request_page_more(
			c, all ? ARENA_CONCAT(c->arena, last->name, STR(":"), last->version)
			       : last->name);
	}
	return 0;
}

/* ---- changing ---- */

/* Versions are never changed, nor is anything by an alias. */
static int check_unpublished(struct call *c)
{
	struct function_name name;

	TRY(request_name(c, false, &name));
	if (!name.qualifier.p || function_qualifier_kind(name.qualifier) == QUALIFIER_LATEST)
		return 0;
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
		"You can't modify a published version, only the unpublished version ($LATEST): "
		"%.*s:%.*s",
		STR_ARG(name.name), STR_ARG(name.qualifier));
}

struct update {
	struct call *call;
	const struct function *from; /* whose code, or layers, are taken over */
};

/* It was checked under the code signing configuration that the function had then. */
static int check_same_signing(struct update *u, const struct function *f)
{
	struct call *c = u->call;

	if (str_eq(f->signing_arn, u->from->signing_arn))
		return 0;
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
		"The operation cannot be performed at this time. The code signing configuration of "
		"%.*s was changed meanwhile.",
		STR_ARG(f->arn));
}

static void set_changed(struct function *f)
{
	f->state = FUNCTION_ACTIVE;
	f->update = UPDATE_IN_PROGRESS;
	f->reason = f->reason_code = STR("");
	f->deployment = rt_random() >> 1;
}

static int change_configuration(
	void *arg, struct kv_txn *txn unused_arg, struct arena *a unused_arg, struct function *f)
{
	struct update *u = arg;

	TRY(config_check_changeable(u->call, f));
	TRY(config_apply(u->call, false, f));
	if (value_has(u->call->in, "Layers")) {
		TRY(check_same_signing(u, f));
		f->layers = u->from->layers;
		f->layer_count = u->from->layer_count;
	}
	set_changed(f);
	return 1;
}

/* What a change let go, once it is written. */
static void release_layers(
	struct lambda_service *s, const struct function *old, const struct function *f)
{
	for (uint32_t i = 0; i < old->layer_count; i++) {
		bool kept = false;

		for (uint32_t k = 0; k < f->layer_count; k++)
			kept = kept || str_eq(old->layers[i].hex, f->layers[k].hex);
		if (!kept)
			code_release(s, old->layers[i].hex);
	}
}

int control_update_function_configuration(struct call *c)
{
	struct lambda_service *s = self(c);
	struct code_pin *pins[FUNCTION_LAYERS_MAX + 1] = {NULL};
	struct function f, old;
	struct update u = {.call = c, .from = &f};
	struct store_change change = {.change = change_configuration,
		.arg = &u,
		.touch = true,
		.deadline = c->deadline_ns};
	int rc;

	TRY(check_unpublished(c));
	TRY(request_function(c, false, &f));
	TRY(config_refuse(c));
	TRY(config_check_role(c, f.account, f.name));
	old = f;
	change.account = f.account;
	change.region = f.region;
	change.name = f.name;
	rc = layers_apply(c, &f, pins);
	if (rc >= 0 && value_has(c->in, "Layers") && f.layer_count)
		rc = signing_check_layers(c, &f);
	if (rc >= 0 && value_has(c->in, "Layers"))
		rc = upload_check_size(c, &f);
	if (rc >= 0)
		rc = lambda_store_change(s, c->arena, &change, &f);
	layers_unpin(s, pins, ARRAY_SIZE(pins));
	TRY(request_gone(c, rc));
	release_layers(s, &old, &f);
	function_render(c->arena, &f, c->out);
	transition_begin(s, f.account, f.region, f.name);
	return 0;
}

static int change_code(
	void *arg, struct kv_txn *txn unused_arg, struct arena *a unused_arg, struct function *f)
{
	struct update *u = arg;

	TRY(config_check_changeable(u->call, f));
	/* It was deleted meanwhile, and is another one. */
	if (function_is_image(f) != function_is_image(u->from))
		return ERR_NOT_FOUND;
	TRY(check_same_signing(u, f));
	f->code_hex = u->from->code_hex;
	f->signer_profile = u->from->signer_profile;
	f->signer_job = u->from->signer_job;
	f->code_bytes = u->from->code_bytes;
	f->image = u->from->image;
	f->architecture = u->from->architecture;
	set_changed(f);
	return 1;
}

int control_update_function_code(struct call *c)
{
	struct lambda_service *s = self(c);
	struct held held = {.pins = {NULL}};
	bool dry = value_bool(c->in, "DryRun", false);
	struct function f, new, old;
	struct update u = {.call = c, .from = &new};
	struct store_change change = {.change = change_code,
		.arg = &u,
		.touch = true,
		.publish = value_bool(c->in, "Publish", false),
		.deadline = c->deadline_ns};
	int rc;

	TRY(check_unpublished(c));
	TRY(request_function(c, false, &f));
	TRY(config_refuse(c));
	TRY(config_refuse_code(c, c->in, ""));
	TRY(config_check_changeable(c, &f));
	TRY(signing_check_config(c, &f));
	new = f;
	old = f;
	change.account = f.account;
	change.region = f.region;
	change.name = f.name;
	TRY(check_kind(c, c->in, function_is_image(&f)));
	TRY(config_architecture(c, &new));
	rc = put_code(c, c->in, &new, &held);
	if (rc >= 0)
		rc = upload_check_size(c, &new);
	if (rc >= 0 && dry)
		f = new;
	else if (rc >= 0)
		rc = lambda_store_change(s, c->arena, &change, &f);
	let_go(s, &held);
	if (rc < 0 || dry) {
		if (!str_eq(new.code_hex, old.code_hex))
			release_all(c, &new);
		TRY(request_gone(c, rc));
	} else {
		transition_begin(s, f.account, f.region, f.name);
		if (!str_eq(new.code_hex, old.code_hex))
			release_all(c, &old);
	}
	if (!function_is_latest(&f)) {
		f.qualifier = f.version;
		if (f.state == FUNCTION_PENDING && !dry)
			snapshot_begin(s, &f);
	}
	function_render(c->arena, &f, c->out);
	return 0;
}

int control_delete_function(struct call *c)
{
	struct lambda_service *s = self(c);
	struct store_codes codes = {.arena = c->arena};
	struct function_name name;
	str account;

	TRY(request_name(c, true, &name));
	account = request_owner(c, &name);
	switch (name.qualifier.p ? function_qualifier_kind(name.qualifier) : -1) {
	case QUALIFIER_VERSION: return version_delete(c, &name);
	case QUALIFIER_ALIAS:
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Deletion of aliases is not currently supported.");
	case QUALIFIER_LATEST:
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"$LATEST version cannot be deleted without deleting the function.");
	default: break;
	}
	if (name.qualifier.p ||
		TRY(store_delete(s, account, c->region, name.name, c->deadline_ns, &codes)) == 0)
		return fault_not_found(&c->fault, c->arena, account, c->region, &name, false);
	provisioned_apply(s, account, c->region, name.name);
	durables_forget(s, account, c->region, name.name);
	scheduler_forget(s->scheduler, account, c->region, name.name, STR_NULL);
	snapshot_forget(
		s->snapshots, function_arn(c->arena, account, c->region, name.name, STR_NULL));
	for (size_t i = 0; i < codes.count; i++)
		code_release(s, codes.hex[i]);
	c->status = 204;
	return 0;
}
