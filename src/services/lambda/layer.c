/*
 * Layers and their versions: see layer.h.
 */
#include "services/lambda/layer.h"

#include "aws/codec.h"
#include "aws/keyspace.h"
#include "aws/policy.h"
#include "base/check.h"
#include "base/hash.h"
#include "rt/rt.h"
#include "services/lambda/config.h"
#include "services/lambda/policy_document.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"
#include "services/lambda/upload.h"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

/* ---- keys and records ---- */

/* `version` 0: of the layer, a prefix of all its versions'; name STR_NULL: of the account. */
static str layer_key(struct arena *a, const char *what, const struct layer_name *n)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_META);
	keyspace_put(&key, str_c(what));
	keyspace_put(&key, n->account);
	keyspace_put(&key, n->region);
	if (n->name.p)
		keyspace_put(&key, n->name);
	if (n->version)
		buf_put_be64(&key, n->version);
	check(!key.over);
	return buf_str(&key);
}

static str code_owner(struct arena *a, const struct layer_name *n)
{
	return arena_printf(a, "layer:%.*s:%llu", STR_ARG(n->name), (unsigned long long)n->version);
}

static int decode(struct arena *a, str record, str *ret_hex, struct value **ret_layer)
{
	if (record.n < CODE_HEX_BYTES)
		return ERR_CORRUPT;
	*ret_hex = str_sub(record, 0, CODE_HEX_BYTES);
	return codec_json_load(a, model_named(STR("lambda")), "GetLayerVersionResponse",
		str_from(record, CODE_HEX_BYTES), ret_layer);
}

/* 1 and the version, 0. */
static int load(struct lambda_service *s, struct arena *a, const struct layer_name *n, str *ret_hex,
	struct value **ret_layer)
{
	str record;

	if (!n->version || TRY(kv_get(s->kv, layer_key(a, "layer-version", n), a, &record)) == 0)
		return 0;
	TRY(decode(a, record, ret_hex, ret_layer));
	return 1;
}

/* ---- names in requests ---- */

static int request_layer(struct call *c, struct layer_name *ret_name)
{
	bool has_version = model_member(c->service->model, c->in->shape, STR("VersionNumber")) >= 0;
	bool by_arn = model_member(c->service->model, c->in->shape, STR("Arn")) >= 0;
	str text = value_str(c->in, by_arn ? "Arn" : "LayerName");
	struct layer_name n;

	if (layer_name_parse(text, &n) < 0 || (by_arn && !n.version) || (!by_arn && n.version))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_VALIDATION,
			"1 validation error detected: Value '%.*s' at '%s' failed to satisfy "
			"constraint: Member must satisfy regular expression pattern: "
			"(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+%s",
			STR_ARG(text), by_arn ? "arn" : "layerName",
			by_arn ? ":[0-9]+)" : ")|[a-zA-Z0-9-_]+");
	if (n.region.p && !str_eq(n.region, c->region))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"Layers from '%.*s' are not reachable in this region ('%.*s')",
			STR_ARG(n.region), STR_ARG(c->region));
	n.region = c->region;
	if (!n.account.p)
		n.account = c->account;
	if (has_version) {
		int64_t version = value_int(c->in, "VersionNumber", 0);

		if (version < 1)
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"Layer Version Cannot be less than 1.");
		n.version = (uint64_t)version;
	}
	*ret_name = n;
	return 0;
}

int layer_resource(struct call *c, str *ret_arn)
{
	struct layer_name n;

	TRY(request_layer(c, &n));
	*ret_arn = layer_arn(c->arena, n.account, n.region, n.name, n.version);
	return 0;
}

static int fault_missing(struct call *c)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
		"The resource you requested does not exist.");
}

/* ---- PublishLayerVersion ---- */

struct publication {
	struct arena *arena;
	struct layer_name name;
	str key, hex;
	struct value *layer;
};

static int publish_txn(struct kv_txn *txn, void *arg)
{
	struct publication *p = arg;
	struct layer_name *n = &p->name;
	uint64_t last = 0;
	struct buf b;
	str text;

	if (TRY(kv_txn_get(txn, p->key, p->arena, &text)) && str_to_u64(text, INT64_MAX, &last) < 0)
		return ERR_CORRUPT;
	n->version = last + 1;
	value_put_str(p->layer, "LayerVersionArn",
		layer_arn(p->arena, n->account, n->region, n->name, n->version));
	value_put_int(p->layer, "Version", (int64_t)n->version);
	buf_init(&b, p->arena, LAMBDA_RECORD_BYTES_MAX);
	buf_put(&b, p->hex);
	codec_json_store(&b, p->layer);
	check(!b.over);
	kv_txn_put(txn, p->key, arena_printf(p->arena, "%llu", (unsigned long long)n->version));
	kv_txn_put_covered(txn, layer_key(p->arena, "layer-version", n), buf_str(&b));
	store_code_use(txn, p->arena, p->hex, n->account, n->region, code_owner(p->arena, n), true);
	return 0;
}

int layer_publish(struct call *c)
{
	struct lambda_service *s = self(c);
	const struct value *content = value_get(c->in, "Content");
	struct publication p = {.arena = c->arena};
	struct uploaded up = {.pin = NULL};
	struct value *v;
	int rc;

	TRY(request_layer(c, &p.name));
	if (!str_eq(p.name.account, c->account))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"A layer is published in the account of its caller.");
	TRY(config_refuse_code(c, content, "Content."));
	TRY(upload_zip(c, content, NULL, &up));
	p.hex = str_of(up.info.hex, CODE_HEX_BYTES);
	p.key = layer_key(c->arena, "layer", &p.name);
	p.layer = value_new(c->arena, c->service->model, "GetLayerVersionResponse");
	v = value_put_struct(p.layer, "Content");
	value_put_str(v, "CodeSha256", code_sha256_text(c->arena, p.hex));
	value_put_int(v, "CodeSize", (int64_t)up.info.bytes);
	value_put_str(v, "SigningProfileVersionArn", up.signature.profile_version_arn);
	value_put_str(v, "SigningJobArn", up.signature.job_arn);
	value_put_str(p.layer, "LayerArn",
		layer_arn(c->arena, p.name.account, p.name.region, p.name.name, 0));
	value_put_str(p.layer, "Description",
		value_has(c->in, "Description") ? value_str(c->in, "Description") : STR(""));
	value_put_str(p.layer, "CreatedDate", lambda_time_text(c->arena, c->wall_ms));
	value_put_copy(p.layer, "CompatibleRuntimes", value_get(c->in, "CompatibleRuntimes"));
	value_put_copy(
		p.layer, "CompatibleArchitectures", value_get(c->in, "CompatibleArchitectures"));
	value_put_str(p.layer, "LicenseInfo", value_str(c->in, "LicenseInfo"));
	rc = kv_run(s->kv, &p.key, 1, publish_txn, &p, c->deadline_ns);
	code_unpin(s->code, up.pin);
	if (rc < 0) {
		code_release(s, p.hex);
		return rc;
	}
	value_copy_members(c->out, p.layer);
	value_put_str(value_put_struct(c->out, "Content"), "Location",
		download_url(c, p.hex, p.name.name));
	return 0;
}

/* ---- reading ---- */

static int get(struct call *c, const struct layer_name *n)
{
	struct value *layer;
	str hex;

	if (TRY(load(self(c), c->arena, n, &hex, &layer)) == 0)
		return fault_missing(c);
	value_copy_members(c->out, layer);
	value_put_str(
		value_put_struct(c->out, "Content"), "Location", download_url(c, hex, n->name));
	return 0;
}

int layer_get(struct call *c)
{
	struct layer_name n;

	TRY(request_layer(c, &n));
	return get(c, &n);
}

int layer_get_by_arn(struct call *c)
{
	return layer_get(c);
}

static bool list_has(const struct value *list, str text)
{
	for (uint32_t i = 0; i < value_count(list); i++)
		if (str_eq(value_text(value_at(list, i)), text))
			return true;
	return false;
}

/* Does it say that it fits what the request asks for? */
static bool matches(struct call *c, const struct value *layer)
{
	str runtime = value_str(c->in, "CompatibleRuntime");
	str architecture = value_str(c->in, "CompatibleArchitecture");

	return (!runtime.p || list_has(value_get(layer, "CompatibleRuntimes"), runtime)) &&
	       (!architecture.p ||
		       list_has(value_get(layer, "CompatibleArchitectures"), architecture));
}

/*
 * The newest matching versions below a number (0: all) into a list of LayerVersionsListItem, at
 * most `max`: how many; *ret_last: the number of the last.
 */
static int add_versions(struct call *c, const struct layer_name *layer, uint64_t below,
	uint32_t max, struct value *list, uint64_t *ret_last, bool *ret_more)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct layer_name n = *layer;
	struct kv_range range = {.reverse = true};
	uint32_t count = 0;
	struct value *v;
	str key, record, hex;

	n.version = 0;
	range.from = layer_key(c->arena, "layer-version", &n);
	n.version = below;
	range.to = below ? layer_key(c->arena, "layer-version", &n)
			 : keyspace_prefix_end(c->arena, range.from);
	*ret_more = false;
	TRY(kv_scan_open(self(c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record))) {
		TRY(decode(c->arena, arena_str(c->arena, record), &hex, &v));
		if (!matches(c, v))
			continue;
		if (count == max) {
			*ret_more = true;
			break;
		}
		value_copy_members(value_add_struct(list), v);
		*ret_last = (uint64_t)value_int(v, "Version", 0);
		count++;
	}
	return (int)count;
}

int layer_list_versions(struct call *c)
{
	struct request_page page;
	uint64_t below = 0, last = 0;
	struct layer_name n;
	bool more;

	TRY(request_layer(c, &n));
	TRY(request_page(c, LAMBDA_LIST_PAGE_MAX, &page));
	if (page.after.p && str_to_u64(page.after, INT64_MAX, &below) < 0)
		return lambda_fault_set(
			&c->fault, c->arena, LAMBDA_INVALID_PARAMETER, "The Marker is not valid.");
	TRY(add_versions(
		c, &n, below, page.max, value_put_list(c->out, "LayerVersions"), &last, &more));
	if (more)
		request_page_more(c, arena_printf(c->arena, "%llu", (unsigned long long)last));
	return 0;
}

/* The layer's newest matching version as an entry of the list: 1, or 0 when it has none. */
static int add_layer(struct call *c, const struct layer_name *n, struct value *list)
{
	struct value *scratch = value_new(c->arena, c->service->model, "ListLayerVersionsResponse");
	struct value *found = value_put_list(scratch, "LayerVersions"), *v;
	uint64_t last;
	bool more;

	if (TRY(add_versions(c, n, 0, 1, found, &last, &more)) == 0)
		return 0;
	v = value_add_struct(list);
	value_put_str(v, "LayerName", n->name);
	value_put_str(v, "LayerArn", layer_arn(c->arena, n->account, n->region, n->name, 0));
	value_put_copy(v, "LatestMatchingVersion", value_at(found, 0));
	return 1;
}

int layer_list(struct call *c)
{
	struct layer_name n = {c->account, c->region, STR_NULL, 0};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 0};
	struct value *list = value_put_list(c->out, "Layers");
	struct request_page page;
	str key, text, part, rest, last = STR_NULL;
	uint32_t count = 0;

	TRY(request_page(c, LAMBDA_LIST_PAGE_MAX, &page));
	range.from = layer_key(c->arena, "layer", &n);
	range.to = keyspace_prefix_end(c->arena, range.from);
	if (page.after.p) {
		n.name = page.after;
		range.from = keyspace_prefix_end(c->arena, layer_key(c->arena, "layer", &n));
	}
	TRY(kv_scan_open(self(c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &text))) {
		rest = str_from(arena_str(c->arena, key), 1);
		for (int i = 0; i < 3; i++)
			if (!keyspace_take(c->arena, &rest, &part))
				return ERR_CORRUPT;
		if (!keyspace_take(c->arena, &rest, &n.name))
			return ERR_CORRUPT;
		if (count == page.max) {
			request_page_more(c, last);
			break;
		}
		count += (uint32_t)TRY(add_layer(c, &n, list));
		last = n.name;
	}
	return 0;
}

int layers_bytes(struct call *c, uint64_t *ret_bytes)
{
	const struct layer_name all = {c->account, c->region, STR_NULL, 0};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.from = layer_key(c->arena, "layer-version", &all)};
	uint64_t sum = 0;
	str key, record, hex;
	struct value *v;

	range.to = keyspace_prefix_end(c->arena, range.from);
	TRY(kv_scan_open(self(c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record))) {
		TRY(decode(c->arena, arena_str(c->arena, record), &hex, &v));
		sum += (uint64_t)value_int(value_get(v, "Content"), "CodeSize", 0);
	}
	*ret_bytes = sum;
	return 0;
}

/* ---- changing a version: its end, its policy ---- */

struct version_change {
	struct call *call;
	struct layer_name name;
	str key, statement; /* STR_NULL: the sid is removed */
	str hex;            /* of what was deleted */
	str policy;
};

static int delete_txn(struct kv_txn *txn, void *arg)
{
	struct version_change *d = arg;
	struct arena *a = d->call->arena;
	str key = layer_key(a, "layer-version", &d->name), record;

	if (TRY(kv_txn_get(txn, key, a, &record)) == 0)
		return 0;
	d->hex = str_sub(record, 0, CODE_HEX_BYTES);
	kv_txn_delete_covered(txn, key);
	kv_txn_delete_covered(txn, layer_key(a, "layer-policy", &d->name));
	store_code_use(
		txn, a, d->hex, d->name.account, d->name.region, code_owner(a, &d->name), false);
	return 1;
}

int layer_delete(struct call *c)
{
	struct version_change d = {.call = c};

	TRY(request_layer(c, &d.name));
	d.key = layer_key(c->arena, "layer",
		&(struct layer_name){d.name.account, d.name.region, d.name.name, 0});
	/* One that is not there is deleted already. */
	if (TRY(kv_run(self(c)->kv, &d.key, 1, delete_txn, &d, c->deadline_ns)))
		code_release(self(c), d.hex);
	return 0;
}

static int policy_txn(struct kv_txn *txn, void *arg)
{
	struct version_change *p = arg;
	struct call *c = p->call;
	str key = layer_key(c->arena, "layer-policy", &p->name), record, text;

	if (TRY(kv_txn_get(
		    txn, layer_key(c->arena, "layer-version", &p->name), c->arena, &record)) == 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"Layer version %.*s does not exist.",
			STR_ARG(layer_arn(c->arena, p->name.account, p->name.region, p->name.name,
				p->name.version)));
	if (TRY(kv_txn_get(txn, key, c->arena, &text)) == 0)
		text = STR_NULL;
	TRY(policy_edit(c, c->arena, p->statement, &text, "GetLayerVersionPolicy"));
	if (text.p)
		kv_txn_put_covered(txn, key, text);
	else
		kv_txn_delete_covered(txn, key);
	p->policy = text;
	return 0;
}

static int change_policy(struct call *c, struct version_change *p)
{
	p->key = layer_key(c->arena, "layer",
		&(struct layer_name){p->name.account, p->name.region, p->name.name, 0});
	return kv_run(self(c)->kv, &p->key, 1, policy_txn, p, c->deadline_ns);
}

int layer_add_permission(struct call *c)
{
	struct version_change p = {.call = c};
	struct policy_condition condition = {
		STR("StringEquals"), STR("aws:PrincipalOrgID"), value_str(c->in, "OrganizationId")};
	str principal = value_str(c->in, "Principal");

	TRY(request_layer(c, &p.name));
	if (condition.value.p && !str_eq(principal, STR("*")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"OrganizationId can be specified only with the principal '*'.");
	p.statement = policy_statement_text(c->arena, value_str(c->in, "StatementId"), principal,
		value_str(c->in, "Action"),
		layer_arn(c->arena, p.name.account, p.name.region, p.name.name, p.name.version),
		&condition, 1);
	TRY(policy_check_statement(c, p.statement));
	TRY(change_policy(c, &p));
	value_put_str(c->out, "Statement", p.statement);
	value_put_str(c->out, "RevisionId", policy_revision(p.policy));
	return 0;
}

int layer_remove_permission(struct call *c)
{
	struct version_change p = {.call = c};

	TRY(request_layer(c, &p.name));
	return change_policy(c, &p);
}

int layer_get_policy(struct call *c)
{
	struct layer_name n;
	str stored;

	TRY(request_layer(c, &n));
	if (TRY(kv_get(self(c)->kv, layer_key(c->arena, "layer-policy", &n), c->arena, &stored)) ==
		0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"No policy is associated with the given resource.");
	value_put_str(c->out, "Policy", policy_document(stored));
	value_put_str(c->out, "RevisionId", policy_revision(stored));
	return 0;
}

int layer_policy(struct lambda_service *s, struct arena *a, const struct layer_name *name,
	struct policy **ret_policy)
{
	str stored, message;

	if (TRY(kv_get(s->kv, layer_key(a, "layer-policy", name), a, &stored)) == 0)
		return 0;
	if (policy_parse(a, policy_document(stored), POLICY_RESOURCE, ret_policy, &message) < 0)
		return ERR_CORRUPT;
	return 1;
}

/* ---- layers of functions ---- */

static int fault_reference(struct call *c, str arn, const char *why)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
		"Layer version %.*s %s.", STR_ARG(arn), why);
}

/* Pins before it looks again, so that what it found stays. */
static int apply_one(struct call *c, str arn, struct function_layer *to, struct code_pin **pin)
{
	struct lambda_service *s = self(c);
	const struct value *content;
	struct layer_name n;
	struct value *layer;
	str hex;

	if (layer_name_parse(arn, &n) < 0 || !n.version)
		return fault_reference(c, arn, "is not the ARN of a layer's version");
	if (!str_eq(n.region, c->region))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Layers are not in the same region as the function. Layers are expected to "
			"be in region %.*s.",
			STR_ARG(c->region));
	TRY(call_authorize(c, STR("lambda:GetLayerVersion"), arn));
	if (TRY(load(s, c->arena, &n, &hex, &layer)) == 0)
		return fault_reference(c, arn, "does not exist");
	TRY(code_pin(s->code, hex, c->deadline_ns, pin));
	if (TRY(load(s, c->arena, &n, &hex, &layer)) == 0)
		return fault_reference(c, arn, "does not exist");
	content = value_get(layer, "Content");
	*to = (struct function_layer){arn, hex, value_int(content, "CodeSize", 0),
		value_str(content, "SigningProfileVersionArn"),
		value_str(content, "SigningJobArn")};
	return 0;
}

/* The ARN without the version. */
static str layer_of(str arn)
{
	return str_sub(arn, 0, (size_t)str_find_last(arn, ':'));
}

int layers_apply(struct call *c, struct function *f, struct code_pin **pins)
{
	const struct value *list = value_get(c->in, "Layers");
	uint32_t n = value_count(list);
	struct function_layer *layers;

	if (!list)
		return 0;
	if (n > FUNCTION_LAYERS_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Cannot reference more than %d layers.", FUNCTION_LAYERS_MAX);
	layers = arena_new_array(c->arena, struct function_layer, n ? n : 1);
	for (uint32_t i = 0; i < n; i++) {
		str arn = value_text(value_at(list, i));

		TRY(apply_one(c, arn, &layers[i], &pins[i]));
		for (uint32_t k = 0; k < i; k++)
			if (str_eq(layer_of(layers[k].arn), layer_of(arn)))
				return lambda_fault_set(&c->fault, c->arena,
					LAMBDA_INVALID_PARAMETER,
					"Two different versions of the same layer are not allowed "
					"to be referenced in the same function. %.*s and %.*s are "
					"versions of the same layer.",
					STR_ARG(layers[k].arn), STR_ARG(arn));
	}
	f->layers = layers;
	f->layer_count = n;
	return 0;
}

void layers_unpin(struct lambda_service *s, struct code_pin **pins, size_t count)
{
	for (size_t i = 0; i < count; i++)
		code_unpin(s->code, pins[i]);
}
