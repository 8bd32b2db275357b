/*
 * Configurations of function URLs: see url.h.
 */
#include "aws/codec.h"
#include "base/check.h"
#include "rt/rt.h"
#include "services/lambda/store.h"
#include "services/lambda/tenant.h"
#include "services/lambda/url.h"

enum { ID_BYTES = 32 };

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

static str new_id(struct arena *a)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	char *id = arena_bytes(a, ID_BYTES);

	for (int i = 0; i < ID_BYTES; i++)
		id[i] = digits[rt_random() % (sizeof(digits) - 1)];
	return str_of(id, ID_BYTES);
}

static str url_text(struct call *c, str id)
{
	return ARENA_CONCAT(c->arena, STR("http://"), id, STR(".lambda-url."), c->region, STR("."),
		str_c(self(c)->options.endpoint_suffix), STR("/"));
}

static void render(struct call *c, const struct value *config, struct value *out)
{
	value_copy_members(out, config);
	value_put_str(out, "FunctionUrl", url_text(c, value_str(config, "FunctionUrl")));
}

/* ---- rules ---- */

static bool has_text(const struct value *list, str text)
{
	for (uint32_t i = 0; i < value_count(list); i++)
		if (str_eq(value_text(value_at(list, i)), text))
			return true;
	return false;
}

static int check_cors(struct call *c)
{
	const struct value *cors = value_get(c->in, "Cors");
	const struct value *origins = value_get(cors, "AllowOrigins");

	for (uint32_t i = 0; i < value_count(origins); i++)
		if (!cors_origin_is_valid(value_text(value_at(origins, i))))
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"Cors.AllowOrigins: '%.*s' is not an origin.",
				STR_ARG(value_text(value_at(origins, i))));
	if (value_bool(cors, "AllowCredentials", false) && has_text(origins, STR("*")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"AllowCredentials cannot be true when AllowOrigins contains the wildcard "
			"'*'.");
	return 0;
}

/* What is kept of a Cors: an empty one takes away what was there. */
static const struct value *cors_kept(const struct value *cors)
{
	static const char *const members[] = {"AllowCredentials", "AllowHeaders", "AllowMethods",
		"AllowOrigins", "ExposeHeaders", "MaxAge"};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (value_has(cors, members[i]))
			return cors;
	return NULL;
}

static str store_text(struct arena *a, const struct value *config)
{
	struct buf b;

	buf_init(&b, a, LAMBDA_RECORD_BYTES_MAX);
	codec_json_store(&b, config);
	check(!b.over);
	return buf_str(&b);
}

static int load(struct arena *a, str text, struct value **ret_config)
{
	return codec_json_load(
		a, model_named(STR("lambda")), "FunctionUrlConfig", text, ret_config);
}

/* ---- changing ---- */

struct url_change {
	struct call *call;
	const struct function *function; /* with the qualifier of the request */
	struct value *config;            /* as it is stored now */
};

static int fault_missing(struct call *c)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
		"The resource you requested does not exist.");
}

/* What names the owner: account, region, name and qualifier of a function as its ARN. */
static str owner_arn(struct arena *a, const struct function *f)
{
	return function_arn(a, f->account, f->region, f->name, f->qualifier);
}

static int create(
	void *arg, struct kv_txn *txn, struct arena *a, const struct function *f, str *text)
{
	struct url_change *x = arg;
	struct call *c = x->call;
	str arn = owner_arn(a, x->function), mode = value_str(c->in, "InvokeMode");
	struct value *config = value_new(a, c->service->model, "FunctionUrlConfig");
	str id = new_id(a), now = lambda_time_zulu(a, c->wall_ms);

	TRY(tenant_refuse(c, f, "Function URLs are"));
	if (text->p)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"Failed to create function url config for [functionArn = %.*s]. Error "
			"message:  FunctionUrlConfig exists for this Lambda function",
			STR_ARG(arn));
	if (x->function->qualifier.p &&
		TRY(store_txn_has_qualifier(txn, a, f, x->function->qualifier)) == 0)
		return ERR_NOT_FOUND;
	value_put_str(config, "FunctionUrl", id);
	value_put_str(config, "FunctionArn", arn);
	value_put_str(config, "CreationTime", now);
	value_put_str(config, "LastModifiedTime", now);
	value_put_str(config, "AuthType", value_str(c->in, "AuthType"));
	value_put_str(config, "InvokeMode", mode.n ? mode : STR("BUFFERED"));
	value_put_copy(config, "Cors", cors_kept(value_get(c->in, "Cors")));
	*text = store_text(a, config);
	kv_txn_put_covered(txn, store_url_key(a, id), arn);
	x->config = config;
	return 0;
}

static int update(void *arg, struct kv_txn *txn unused_arg, struct arena *a,
	const struct function *f unused_arg, str *text)
{
	static const char *const kept[] = {
		"FunctionUrl", "FunctionArn", "CreationTime", "AuthType", "InvokeMode", "Cors"};
	struct url_change *x = arg;
	struct call *c = x->call;
	struct value *old, *config = value_new(a, c->service->model, "FunctionUrlConfig");

	if (!text->p)
		return fault_missing(c);
	TRY(load(a, *text, &old));
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		const struct value *given = i < 3 ? NULL : value_get(c->in, kept[i]);
		const struct value *v = given ? given : value_get(old, kept[i]);

		value_put_copy(config, kept[i], strcmp(kept[i], "Cors") == 0 ? cors_kept(v) : v);
	}
	value_put_str(config, "LastModifiedTime", lambda_time_zulu(a, c->wall_ms));
	*text = store_text(a, config);
	x->config = config;
	return 0;
}

static int remove_url(void *arg, struct kv_txn *txn, struct arena *a,
	const struct function *f unused_arg, str *text)
{
	struct url_change *x = arg;
	struct value *old;

	if (!text->p)
		return fault_missing(x->call);
	TRY(load(a, *text, &old));
	kv_txn_delete_covered(txn, store_url_key(a, value_str(old, "FunctionUrl")));
	*text = STR_NULL;
	return 0;
}

/* The function or alias; other qualifiers have no URLs. */
static int find(struct call *c, struct function *ret_function)
{
	TRY(request_function(c, true, ret_function));
	if (ret_function->qualifier.p &&
		function_qualifier_kind(ret_function->qualifier) != QUALIFIER_ALIAS)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_VALIDATION,
			"1 validation error detected: Value '%.*s' at 'qualifier' failed to "
			"satisfy "
			"constraint: Member must satisfy regular expression pattern: "
			"((?!^\\d+$)^[0-9a-zA-Z-_]+$)",
			STR_ARG(ret_function->qualifier));
	return 0;
}

static str part_qualifier(const struct function *f)
{
	return f->qualifier.p ? f->qualifier : STR("");
}

static int change(struct call *c, int (*fn)(void *arg, struct kv_txn *txn, struct arena *a,
					  const struct function *f, str *text))
{
	struct function f;
	struct url_change x = {.call = c, .function = &f};
	struct store_part_change change = {.function = &f,
		.kind = PART_URL,
		.change = fn,
		.arg = &x,
		.deadline = c->deadline_ns};

	TRY(find(c, &f));
	change.qualifier = part_qualifier(&f);
	TRY(request_gone(c, store_part_change(self(c), c->arena, &change)));
	if (x.config)
		render(c, x.config, c->out);
	return 0;
}

int url_create(struct call *c)
{
	TRY(check_cors(c));
	return change(c, create);
}

int url_update(struct call *c)
{
	TRY(check_cors(c));
	return change(c, update);
}

int url_delete(struct call *c)
{
	return change(c, remove_url);
}

/* ---- reading ---- */

int url_get(struct call *c)
{
	struct value *config;
	struct function f;
	str text;

	TRY(find(c, &f));
	if (TRY(store_part(self(c), c->arena, &f, PART_URL, part_qualifier(&f), &text)) == 0)
		return fault_missing(c);
	TRY(load(c->arena, text, &config));
	render(c, config, c->out);
	return 0;
}

int url_list(struct call *c)
{
	struct value *list = value_put_list(c->out, "FunctionUrlConfigs"), *config;
	struct store_entry *entries;
	struct function f;
	int n;

	n = TRY(request_parts(c, PART_URL, &f, &entries));
	for (int i = 0; i < n; i++) {
		TRY(load(c->arena, entries[i].text, &config));
		render(c, config, value_add_struct(list));
	}
	return 0;
}

/* ---- for serving ---- */

static str joined(struct arena *a, const struct value *list)
{
	str text = STR("");

	for (uint32_t i = 0; i < value_count(list); i++)
		text = ARENA_CONCAT(a, text, i ? STR(",") : STR(""), value_text(value_at(list, i)));
	return text;
}

static const struct cors *compile_cors(struct arena *a, const struct value *config)
{
	const struct value *v = value_get(config, "Cors"), *origins;
	struct cors *cors;
	str *list;

	if (!v)
		return NULL;
	origins = value_get(v, "AllowOrigins");
	list = arena_new_array(a, str, value_count(origins) + 1);
	for (uint32_t i = 0; i < value_count(origins); i++)
		list[i] = value_text(value_at(origins, i));
	cors = arena_new(a, struct cors);
	*cors = (struct cors){
		.origins = list,
		.origin_count = value_count(origins),
		.methods = joined(a, value_get(v, "AllowMethods")),
		.headers = joined(a, value_get(v, "AllowHeaders")),
		.expose = joined(a, value_get(v, "ExposeHeaders")),
		.max_age = value_int(v, "MaxAge", CORS_NO_AGE),
		.credentials = value_bool(v, "AllowCredentials", false),
	};
	return cors;
}

int url_find(struct lambda_service *s, struct arena *a, str id, struct url_config *ret_config)
{
	struct url_config url = {.cors = NULL};
	struct function f = {.account = STR_NULL};
	struct value *config;
	str arn, text;

	if (TRY(kv_get(s->kv, store_url_key(a, id), a, &arn)) == 0)
		return 0;
	if (function_name_parse(arn, &url.function) < 0 || !url.function.account.p)
		return ERR_CORRUPT;
	f.account = url.function.account;
	f.region = url.function.region;
	f.name = url.function.name;
	f.qualifier = url.function.qualifier;
	if (TRY(store_part(s, a, &f, PART_URL, part_qualifier(&f), &text)) == 0)
		return 0;
	TRY(load(a, text, &config));
	url.iam = str_eq(value_str(config, "AuthType"), STR("AWS_IAM"));
	url.streams = str_eq(value_str(config, "InvokeMode"), STR("RESPONSE_STREAM"));
	url.cors = compile_cors(a, config);
	*ret_config = url;
	return 1;
}
