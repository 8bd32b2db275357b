/*
 * Code signing configurations: see signing.h.
 */
#include "services/lambda/signing.h"

#include "aws/codec.h"
#include "aws/keyspace.h"
#include "base/check.h"
#include "base/log.h"
#include "rt/file.h"
#include "services/lambda/code.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

enum { ID_BYTES = 21 /* csc- and 17 characters */ };

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

/* ---- names ---- */

/* arn:aws:lambda:REGION:ACCOUNT:code-signing-config:ID; false when it is no such ARN. */
static bool parse_arn(str arn, str *ret_region, str *ret_account, str *ret_id)
{
	str parts[7], rest = arn;
	size_t n = 0;

	while (n < ARRAY_SIZE(parts) && str_split(&rest, ':', &parts[n]))
		n++;
	if (n != ARRAY_SIZE(parts) || rest.n || !str_eq(parts[0], STR("arn")) ||
		!str_eq(parts[2], STR("lambda")) || !str_eq(parts[5], STR("code-signing-config")))
		return false;
	*ret_region = parts[3];
	*ret_account = parts[4];
	*ret_id = parts[6];
	return true;
}

bool signing_is_arn(str arn)
{
	str part;

	return parse_arn(arn, &part, &part, &part);
}

static str make_arn(struct arena *a, str account, str region, str id)
{
	return ARENA_CONCAT(a, STR("arn:aws:lambda:"), region, STR(":"), account,
		STR(":code-signing-config:"), id);
}

/* id STR_NULL: the prefix of all of an account. */
static str config_key(struct arena *a, str account, str region, str id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_META);
	keyspace_put(&key, STR("signing"));
	keyspace_put(&key, account);
	keyspace_put(&key, region);
	if (id.p)
		keyspace_put(&key, id);
	check(!key.over);
	return buf_str(&key);
}

static str key_of(struct arena *a, str arn)
{
	str region, account, id;

	return parse_arn(arn, &region, &account, &id) ? config_key(a, account, region, id)
						      : STR_NULL;
}

int signing_resource(struct call *c, str *ret_arn)
{
	*ret_arn = value_str(c->in, "CodeSigningConfigArn");
	return 0;
}

static int fault_missing(struct call *c, str arn)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
		"The Lambda code signing configuration %.*s can not be found.", STR_ARG(arn));
}

/* ---- records ---- */

static int decode(struct arena *a, str record, int64_t *ret_ms, struct value **ret_config)
{
	uint64_t ms;

	if (!str_take_be64(&record, &ms))
		return ERR_CORRUPT;
	*ret_ms = (int64_t)ms;
	return codec_json_load(a, model_named(STR("lambda")), "CreateCodeSigningConfigRequest",
		record, ret_config);
}

static str encode(struct arena *a, int64_t ms, const struct value *config)
{
	struct buf b;

	buf_init(&b, a, LAMBDA_RECORD_BYTES_MAX);
	buf_put_be64(&b, (uint64_t)ms);
	codec_json_store(&b, config);
	check(!b.over);
	return buf_str(&b);
}

static void render(struct value *out, str arn, int64_t ms, const struct value *config)
{
	const struct value *policies = value_get(config, "CodeSigningPolicies");
	str policy = value_str(policies, "UntrustedArtifactOnDeployment"), region, account, id;

	check(parse_arn(arn, &region, &account, &id));
	value_put_str(out, "CodeSigningConfigId", id);
	value_put_str(out, "CodeSigningConfigArn", arn);
	value_put_str(out, "Description", value_str(config, "Description"));
	value_put_copy(out, "AllowedPublishers", value_get(config, "AllowedPublishers"));
	value_put_str(value_put_struct(out, "CodeSigningPolicies"), "UntrustedArtifactOnDeployment",
		policy.n ? policy : STR("Warn"));
	value_put_str(out, "LastModified", lambda_time_text(out->tree->arena, ms));
}

/* ---- judging ---- */

int signing_look(struct call *c, int fd, struct signature *ret_signature)
{
	const struct port_signatures *port = c->ports ? c->ports->signatures : NULL;

	*ret_signature = (struct signature){.state = SIGNATURE_NONE,
		.profile_version_arn = STR_NULL,
		.job_arn = STR_NULL,
		.why = "it has no signature"};
	return port ? port->look(port->self, c->arena, fd, c->deadline_ns, ret_signature) : 0;
}

static int look_at_stored(struct call *c, str hex, struct signature *ret_signature)
{
	int fd = TRY(code_open(self(c)->code, hex, c->deadline_ns));
	int rc = signing_look(c, fd, ret_signature);

	rt_file_close(fd);
	return rc;
}

static int fault_no_config(struct call *c, str arn)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_SIGNING_NOT_FOUND,
		"The specified code signing configuration %.*s does not exist.", STR_ARG(arn));
}

static int fault_image(struct call *c)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
		"Code signing is not supported for functions created with container images.");
}

static bool is_publisher(const struct value *config, str profile_version_arn)
{
	const struct value *list =
		value_get(value_get(config, "AllowedPublishers"), "SigningProfileVersionArns");

	for (uint32_t i = 0; i < value_count(list); i++)
		if (str_eq(value_text(value_at(list, i)), profile_version_arn))
			return true;
	return false;
}

/* Why an archive cannot be trusted under the configuration; NULL: it can. */
static const char *distrust(const struct value *config, const struct signature *s)
{
	if (s->state != SIGNATURE_VALID)
		return s->why ? s->why : "its signature is not valid";
	return is_publisher(config, s->profile_version_arn)
		       ? NULL
		       : "it was not signed by an allowed publisher";
}

/* `config` NULL: none. `what`: the function, or one of its layers. */
static int judge(struct call *c, const struct function *f, const struct value *config, str what,
	const struct signature *s)
{
	const char *why = config ? distrust(config, s) : NULL;
	bool enforce, refused;

	if (!why)
		return 0;
	enforce = str_eq(value_str(value_get(config, "CodeSigningPolicies"),
				 "UntrustedArtifactOnDeployment"),
		STR("Enforce"));
	refused = enforce || s->state == SIGNATURE_DAMAGED;
	log_warn("lambda",
		refused ? "code without a trusted signature was refused"
			: "code without a trusted signature is deployed",
		"of=%.*s function=%.*s account=%.*s configuration=%.*s why=%s", STR_ARG(what),
		STR_ARG(f->name), STR_ARG(f->account), STR_ARG(f->signing_arn), why);
	lambda_metric(self(c), f, "SignatureValidationErrors", 1, METRIC_COUNT);
	if (s->state == SIGNATURE_DAMAGED)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_SIGNATURE,
			"Lambda cannot deploy the function. The code signature failed the "
			"integrity check. Check the provided signature for %.*s.",
			STR_ARG(what));
	if (enforce)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CODE_VERIFICATION,
			"Lambda cannot deploy the function. The function or layer might be signed "
			"using a signature that the client is not configured to accept. Check the "
			"provided signature for %.*s.",
			STR_ARG(what));
	return 0;
}

static int load_config(struct call *c, const struct function *f, struct value **ret_config)
{
	str key = key_of(c->arena, f->signing_arn), record;
	int64_t ms;

	*ret_config = NULL;
	if (!f->signing_arn.n)
		return 0;
	if (!key.p || TRY(kv_get(self(c)->kv, key, c->arena, &record)) == 0)
		return fault_no_config(c, f->signing_arn);
	TRY(decode(c->arena, record, &ms, ret_config));
	return function_is_image(f) ? fault_image(c) : 0;
}

int signing_check_config(struct call *c, const struct function *f)
{
	struct value *config;

	return load_config(c, f, &config);
}

int signing_check_code(struct call *c, const struct function *f, const struct signature *signature)
{
	struct value *config;

	TRY(load_config(c, f, &config));
	return judge(c, f, config, f->name, signature);
}

int signing_check_layers(struct call *c, const struct function *f)
{
	struct signature s;
	struct value *config;

	TRY(load_config(c, f, &config));
	for (uint32_t i = 0; config && i < f->layer_count; i++) {
		TRY(look_at_stored(c, f->layers[i].hex, &s));
		TRY(judge(c, f, config, f->layers[i].arn, &s));
	}
	return 0;
}

/* ---- configurations ---- */

static str new_id(struct arena *a)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	char *id = arena_bytes(a, ID_BYTES);

	memcpy(id, "csc-", 4);
	for (int i = 4; i < ID_BYTES; i++)
		id[i] = digits[rt_random() % (sizeof(digits) - 1)];
	return str_of(id, ID_BYTES);
}

int signing_create(struct call *c)
{
	struct value *config =
		value_new(c->arena, c->service->model, "CreateCodeSigningConfigRequest");
	str arn = make_arn(c->arena, c->account, c->region, new_id(c->arena));
	struct tag_set tags = {NULL, 0};

	TRY(tags_lay_over(c, c->arena, value_get(c->in, "Tags"), &tags));
	value_copy_members(config, c->in);
	TRY(kv_put(self(c)->kv, key_of(c->arena, arn), encode(c->arena, c->wall_ms, config),
		c->deadline_ns));
	render(value_put_struct(c->out, "CodeSigningConfig"), arn, c->wall_ms, config);
	return 0;
}

int signing_get(struct call *c)
{
	str arn = value_str(c->in, "CodeSigningConfigArn"), key = key_of(c->arena, arn), record;
	struct value *config;
	int64_t ms;

	if (!key.p || TRY(kv_get(self(c)->kv, key, c->arena, &record)) == 0)
		return fault_missing(c, arn);
	TRY(decode(c->arena, record, &ms, &config));
	render(value_put_struct(c->out, "CodeSigningConfig"), arn, ms, config);
	return 0;
}

struct config_change {
	struct call *call;
	str arn, key;
	tags_change_fn *tags; /* NULL: the members are changed */
	int64_t ms;
	struct value *config;
};

static int change_tags(struct config_change *x, const struct value *old)
{
	const struct value *map = value_get(old, "Tags");
	struct function_pair *pairs =
		arena_new_array(x->call->arena, struct function_pair, value_count(map) + 1);
	struct tag_set tags = {pairs, value_count(map)};
	struct value *to;

	for (uint32_t i = 0; i < value_count(map); i++)
		pairs[i] = (struct function_pair){value_key(map, i), value_text(value_of(map, i))};
	TRY(x->tags(x->call, x->call->arena, &tags));
	to = value_put_map(x->config, "Tags");
	for (uint32_t i = 0; i < tags.count; i++)
		value_map_put_str(to, tags.pairs[i].name, tags.pairs[i].value);
	return 0;
}

static int change_txn(struct kv_txn *txn, void *arg)
{
	static const char *const members[] = {
		"Description", "AllowedPublishers", "CodeSigningPolicies"};
	struct config_change *x = arg;
	struct call *c = x->call;
	struct value *old;
	str record;

	if (TRY(kv_txn_get(txn, x->key, c->arena, &record)) == 0)
		return fault_missing(c, x->arn);
	TRY(decode(c->arena, record, &x->ms, &old));
	x->config = value_new(c->arena, c->service->model, "CreateCodeSigningConfigRequest");
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const struct value *given = x->tags ? NULL : value_get(c->in, members[i]);

		value_put_copy(x->config, members[i], given ? given : value_get(old, members[i]));
	}
	if (x->tags) {
		TRY(change_tags(x, old));
	} else {
		value_put_copy(x->config, "Tags", value_get(old, "Tags"));
		x->ms = c->wall_ms;
	}
	kv_txn_put(txn, x->key, encode(c->arena, x->ms, x->config));
	return 0;
}

static int change_config(struct call *c, struct config_change *x)
{
	x->call = c;
	x->key = key_of(c->arena, x->arn);
	if (!x->key.p)
		return fault_missing(c, x->arn);
	return kv_run(self(c)->kv, &x->key, 1, change_txn, x, c->deadline_ns);
}

int signing_update(struct call *c)
{
	struct config_change x = {.arn = value_str(c->in, "CodeSigningConfigArn")};

	TRY(change_config(c, &x));
	render(value_put_struct(c->out, "CodeSigningConfig"), x.arn, x.ms, x.config);
	return 0;
}

int signing_change_tags(struct call *c, tags_change_fn *change)
{
	struct config_change x = {.arn = value_str(c->in, "Resource"), .tags = change};

	return change_config(c, &x);
}

int signing_list_tags(struct call *c)
{
	str arn = value_str(c->in, "Resource"), record;
	struct value *config;
	int64_t ms;

	if (TRY(kv_get(self(c)->kv, key_of(c->arena, arn), c->arena, &record)) == 0)
		return fault_missing(c, arn);
	TRY(decode(c->arena, record, &ms, &config));
	value_put_map(c->out, "Tags");
	value_put_copy(c->out, "Tags", value_get(config, "Tags"));
	return 0;
}

/* ---- the functions that have one ---- */

static int uses(struct kv_txn *txn, struct arena *a, str account, str region, str arn)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 0};
	struct function f;
	struct buf prefix;
	str key, record;

	buf_init(&prefix, a, KEYSPACE_KEY_MAX);
	keyspace_begin(&prefix, KEYSPACE_LAMBDA_FUNCTIONS, account, region);
	range.from = buf_str(&prefix);
	range.to = keyspace_prefix_end(a, range.from);
	TRY(kv_txn_scan(txn, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record))) {
		struct arena entry cleanup(arena_done_p) = {0};

		arena_init(&entry, SIZE_MAX);
		TRY(function_decode(&entry, account, region, record, &f));
		if (str_eq(f.signing_arn, arn))
			return 1;
	}
	return 0;
}

static int delete_txn(struct kv_txn *txn, void *arg)
{
	struct config_change *x = arg;
	struct call *c = x->call;
	str record, region, account, id;

	check(parse_arn(x->arn, &region, &account, &id));
	if (TRY(kv_txn_get(txn, x->key, c->arena, &record)) == 0)
		return fault_missing(c, x->arn);
	/* Whoever makes a function use it writes under this key, too. */
	if (TRY(uses(txn, c->arena, account, region, x->arn)))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"Cannot delete the code signing configuration %.*s because it is still "
			"being used by at least one function.",
			STR_ARG(x->arn));
	kv_txn_delete(txn, x->key);
	return 0;
}

int signing_delete(struct call *c)
{
	struct config_change x = {.call = c, .arn = value_str(c->in, "CodeSigningConfigArn")};

	x.key = key_of(c->arena, x.arn);
	if (!x.key.p)
		return fault_missing(c, x.arn);
	return kv_run(self(c)->kv, &x.key, 1, delete_txn, &x, c->deadline_ns);
}

int signing_list(struct call *c)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 0};
	struct value *list = value_put_list(c->out, "CodeSigningConfigs"), *config;
	struct request_page page;
	str key, record, part, rest, last = STR_NULL;
	uint32_t count = 0;
	int64_t ms;

	TRY(request_page(c, LAMBDA_LIST_PAGE_MAX, &page));
	range.from = config_key(c->arena, c->account, c->region, STR_NULL);
	range.to = keyspace_prefix_end(c->arena, range.from);
	if (page.after.p)
		range.from = keyspace_prefix_end(
			c->arena, config_key(c->arena, c->account, c->region, page.after));
	TRY(kv_scan_open(self(c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record))) {
		if (count++ == page.max) {
			request_page_more(c, last);
			break;
		}
		rest = str_from(arena_str(c->arena, key), 1);
		for (int i = 0; i < 4; i++)
			if (!keyspace_take(c->arena, &rest, &part))
				return ERR_CORRUPT;
		last = part;
		TRY(decode(c->arena, arena_str(c->arena, record), &ms, &config));
		render(value_add_struct(list), make_arn(c->arena, c->account, c->region, last), ms,
			config);
	}
	return 0;
}

int signing_list_functions(struct call *c)
{
	str arn = value_str(c->in, "CodeSigningConfigArn"), key = key_of(c->arena, arn), record;
	struct function *f = arena_new_array(c->arena, struct function, LAMBDA_LIST_PAGE_MAX);
	struct value *list = value_put_list(c->out, "FunctionArns");
	struct store_position after = {STR_NULL, STR_NULL};
	struct request_page page;
	uint32_t count = 0;
	bool more = true;

	if (!key.p || TRY(kv_get(self(c)->kv, key, c->arena, &record)) == 0)
		return fault_missing(c, arn);
	TRY(request_page(c, LAMBDA_LIST_PAGE_MAX, &page));
	after.name = page.after;
	while (more) {
		int n = TRY(store_list(self(c), c->arena, c->account, c->region, after, false,
			LAMBDA_LIST_PAGE_MAX, f, &more));

		for (int i = 0; i < n; i++) {
			if (!str_eq(f[i].signing_arn, arn))
				continue;
			if (count++ == page.max) {
				request_page_more(c, after.name);
				return 0;
			}
			value_add_str(list, f[i].arn);
			after.name = f[i].name;
		}
		if (n)
			after.name = f[n - 1].name;
	}
	return 0;
}

static int set_function(void *arg, struct kv_txn *txn, struct arena *a, struct function *f)
{
	const struct config_change *x = arg;
	struct call *c = x->call;
	str record;

	if (x->key.p && TRY(kv_txn_get(txn, x->key, a, &record)) == 0)
		return fault_no_config(c, x->arn);
	f->signing_arn = x->arn;
	return 1;
}

/* Empty: none. */
static int change_function(struct call *c, str arn, struct function *ret_function)
{
	struct config_change x = {.call = c, .arn = arn, .key = key_of(c->arena, arn)};
	struct store_change change = {
		.change = set_function, .arg = &x, .also = x.key, .deadline = c->deadline_ns};
	struct function f;

	TRY(request_function(c, false, &f));
	if (function_is_image(&f))
		return fault_image(c);
	change.account = f.account;
	change.region = f.region;
	change.name = f.name;
	return request_gone(c, lambda_store_change(self(c), c->arena, &change, ret_function));
}

static void render_function(struct call *c, const struct function *f)
{
	value_put_str(c->out, "CodeSigningConfigArn", f->signing_arn);
	value_put_str(c->out, "FunctionName", f->name);
}

int signing_put_function(struct call *c)
{
	str arn = value_str(c->in, "CodeSigningConfigArn");
	struct function f;

	if (!signing_is_arn(arn))
		return fault_no_config(c, arn);
	TRY(change_function(c, arn, &f));
	render_function(c, &f);
	return 0;
}

int signing_get_function(struct call *c)
{
	struct function f;

	TRY(request_function(c, false, &f));
	if (function_is_image(&f))
		return fault_image(c);
	render_function(c, &f);
	return 0;
}

int signing_delete_function(struct call *c)
{
	struct function f;

	return change_function(c, STR(""), &f);
}
