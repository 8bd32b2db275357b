/* Records of HTTP APIs and the transaction frame of their changes: see store.h. */
#include "services/apigateway/store.h"

#include "aws/codec.h"
#include "aws/keyspace.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/rc.h"
#include "kv/record.h"
#include "rt/rt.h"

const struct fault_kind apigateway_faults[] = {
#define FAULT(...) FAULT_ROW(__VA_ARGS__)
#include "services/apigateway/faults.def"
#undef FAULT
};

enum { KEY_BYTES = 1024, CHANGE_KEYS = 2 };

static const struct {
	enum store_kind kind;
	const char *shape, *list_shape, *what;
} kinds[] = {
	{STORE_INTEGRATION, "Integration", "GetIntegrationsResponse", "Integration"},
	{STORE_ROUTE, "Route", "GetRoutesResponse", "Route"},
	{STORE_STAGE, "Stage", "GetStagesResponse", "stage"},
	{STORE_DEPLOYMENT, "Deployment", "GetDeploymentsResponse", "Deployment"},
};

static unsigned kind_of(enum store_kind kind)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].kind == kind)
			return i;
	check_unreachable();
}

static const struct model *the_model(void)
{
	const struct model *m = model_named(STR("apigatewayv2"));

	check(m != NULL);
	return m;
}

/* ---- keys and records ---- */

static str key_apis(struct arena *a, str account, str region, char part)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_begin(&key, KEYSPACE_APIGATEWAY_APIS, account, region);
	buf_put_char(&key, part);
	return buf_str(&key);
}

static str key_api(struct arena *a, str account, str region, str api_id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	buf_put(&key, key_apis(a, account, region, 'A'));
	keyspace_put(&key, api_id);
	return buf_str(&key);
}

/* `kind` 0: all that belongs to the API; `id` STR_NULL: all of the kind. */
static str key_child(struct arena *a, str account, str region, str api_id, char kind, str id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	buf_put(&key, key_apis(a, account, region, 'C'));
	keyspace_put(&key, api_id);
	if (kind)
		buf_put_char(&key, kind);
	if (id.p)
		keyspace_put(&key, id);
	return buf_str(&key);
}

static str key_owner(struct arena *a, str api_id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_APIGATEWAY_OWNERS);
	keyspace_put(&key, api_id);
	return buf_str(&key);
}

static void put_header(struct buf *to, uint64_t replaced)
{
	struct record_header header = {.time = record_time_next(rt_wall(), replaced)};

	record_put(to, &header);
}

static str encode(struct arena *a, const struct value *v, uint64_t replaced)
{
	struct buf record;

	buf_init(&record, a, APIGATEWAY_MAX_SNAPSHOT_BYTES);
	put_header(&record, replaced);
	codec_json_store(&record, v);
	check(!record.over);
	return buf_str(&record);
}

static int decode(struct arena *a, const char *shape, str record, struct value **ret_value,
	uint64_t *ret_time)
{
	struct record_header header;

	TRY(record_take(&record, &header));
	TRY(codec_json_load(a, the_model(), shape, record, ret_value));
	if (ret_time)
		*ret_time = header.time;
	return 0;
}

str store_new_id(struct arena *arena, size_t n)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	char *text = arena_bytes(arena, n);
	uint8_t bytes[16];

	check(n <= sizeof(bytes));
	rt_random_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < n; i++)
		text[i] = letters[bytes[i] % (i ? 36 : 26)];
	return str_of(text, n);
}

int store_not_found(struct call *c, enum store_kind kind, str id)
{
	return APIGATEWAY_FAULT(c, NOT_FOUND, "Invalid %s identifier specified %.*s",
		kinds[kind_of(kind)].what, STR_ARG(id));
}

static int api_not_found(struct call *c, str api_id)
{
	return APIGATEWAY_FAULT(c, NOT_FOUND, "Invalid API identifier specified %.*s:%.*s",
		STR_ARG(c->account), STR_ARG(api_id));
}

static int service_kv(struct call *c, struct kv **ret_kv)
{
	*ret_kv = apigateway_kv(c->self);
	return *ret_kv ? 0 : ERR_BUSY;
}

/* ---- changes ---- */

struct frame {
	struct change ch;
	change_fn *fn;
	str key, owner_key;
	uint64_t time; /* of the API's record */
	bool create;
};

static int frame_begin(struct kv_txn *txn, struct frame *f)
{
	struct call *c = f->ch.c;
	str record;

	f->ch.txn = txn;
	f->ch.routes_changed = f->ch.remove = false;
	f->time = 0;
	if (!f->create) {
		if (TRY(kv_txn_get(txn, f->key, c->arena, &record)) == 0)
			return api_not_found(c, f->ch.api_id);
		return decode(c->arena, "Api", record, &f->ch.api, &f->time);
	}
	if (TRY(kv_txn_get(txn, f->owner_key, c->arena, &record)))
		return ERR_EXISTS;
	f->ch.api = value_new(c->arena, the_model(), "Api");
	value_put_str(f->ch.api, "ApiId", f->ch.api_id);
	struct buf owner;
	buf_init(&owner, c->arena, KEY_BYTES);
	put_header(&owner, 0);
	keyspace_put(&owner, c->account);
	keyspace_put(&owner, c->region);
	kv_txn_put(txn, f->owner_key, buf_str(&owner));
	return 0;
}

static int frame_run(struct kv_txn *txn, void *arg)
{
	struct frame *f = arg;

	TRY(frame_begin(txn, f));
	TRY(f->fn(&f->ch));
	if (f->ch.remove) {
		kv_txn_delete(txn, f->key);
		return 0;
	}
	if (f->ch.routes_changed)
		TRY(store_change_auto_deploy(&f->ch));
	kv_txn_put(txn, f->key, encode(f->ch.c->arena, f->ch.api, f->time));
	return 0;
}

int store_change(struct call *c, str api_id, change_fn *fn, void *arg)
{
	struct kv *kv;

	TRY(service_kv(c, &kv));
	struct frame f = {.ch = {.c = c, .api_id = api_id, .arg = arg},
		.fn = fn,
		.key = key_api(c->arena, c->account, c->region, api_id)};
	f.owner_key = key_owner(c->arena, api_id);
	TRY(kv_run(kv, (str[]){f.key, f.owner_key}, CHANGE_KEYS, frame_run, &f, c->deadline_ns));
	apigateway_changed(c->self, api_id);
	return 0;
}

int store_create(struct call *c, change_fn *fn, void *arg)
{
	struct kv *kv;
	int rc;

	TRY(service_kv(c, &kv));
	do {
		str api_id = store_new_id(c->arena, 10);
		struct frame f = {.ch = {.c = c, .api_id = api_id, .arg = arg},
			.fn = fn,
			.create = true,
			.key = key_api(c->arena, c->account, c->region, api_id),
			.owner_key = key_owner(c->arena, api_id)};

		rc = kv_run(kv, (str[]){f.key, f.owner_key}, CHANGE_KEYS, frame_run, &f,
			c->deadline_ns);
		if (rc >= 0)
			apigateway_changed(c->self, api_id);
	} while (rc == ERR_EXISTS); /* 1 in 10^15 */
	return rc;
}

static str change_key(struct change *ch, enum store_kind kind, str id)
{
	return key_child(ch->c->arena, ch->c->account, ch->c->region, ch->api_id, (char)kind, id);
}

int store_change_get(struct change *ch, enum store_kind kind, str id, struct value **ret_value)
{
	str record;

	if (!TRY(kv_txn_get(ch->txn, change_key(ch, kind, id), ch->c->arena, &record)))
		return 0;
	TRY(decode(ch->c->arena, kinds[kind_of(kind)].shape, record, ret_value, NULL));
	return 1;
}

void store_change_put(struct change *ch, enum store_kind kind, str id, const struct value *v)
{
	kv_txn_put_covered(ch->txn, change_key(ch, kind, id), encode(ch->c->arena, v, 0));
}

void store_change_delete(struct change *ch, enum store_kind kind, str id)
{
	kv_txn_delete_covered(ch->txn, change_key(ch, kind, id));
}

/* Items of a scan, appended to the response's Items. */
static int collect(struct kv_scan *scan, struct arena *a, const char *shape, struct value *response,
	uint32_t max, str *ret_last)
{
	struct value *items = value_put_list(response, "Items"), *item;
	str key, record;

	for (uint32_t n = 0; n < max; n++) {
		if (!TRY(kv_scan_next(scan, &key, &record)))
			return 0;
		/* The entry is gone with the next one, and texts point into it. */
		TRY(decode(a, shape, arena_str(a, record), &item, NULL));
		value_add_copy(items, item);
		if (ret_last)
			*ret_last = arena_str(a, key);
	}
	return 1;
}

static struct kv_range prefix_range(struct arena *a, str prefix)
{
	return (struct kv_range){.from = prefix, .to = keyspace_prefix_end(a, prefix)};
}

int store_change_list(struct change *ch, enum store_kind kind, struct value **ret_response)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct arena *a = ch->c->arena;
	struct kv_range range = prefix_range(a, change_key(ch, kind, STR_NULL));
	unsigned k = kind_of(kind);

	*ret_response = value_new(a, the_model(), kinds[k].list_shape);
	TRY(kv_txn_scan(ch->txn, &range, &scan));
	TRY(collect(scan, a, kinds[k].shape, *ret_response, UINT32_MAX, NULL));
	return 0;
}

int store_change_delete_all(struct change *ch)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct call *c = ch->c;
	struct kv_range range = prefix_range(
		c->arena, key_child(c->arena, c->account, c->region, ch->api_id, 0, STR_NULL));
	str key, record;

	TRY(kv_txn_scan(ch->txn, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record)))
		kv_txn_delete_covered(ch->txn, arena_str(c->arena, key));
	kv_txn_delete(ch->txn, key_owner(c->arena, ch->api_id));
	ch->remove = true;
	return 0;
}

/* ---- deployments ---- */

/* Drops the oldest automatic deployments that no stage serves. */
static int prune(struct change *ch, const struct value *stages)
{
	struct value *response;

	TRY(store_change_list(ch, STORE_DEPLOYMENT, &response));
	const struct value *items = value_get(response, "Items");
	for (;;) {
		const struct value *oldest = NULL;
		uint32_t count = 0;

		for (uint32_t i = 0; i < value_count(items); i++) {
			const struct value *d = value_at(items, i);
			str id = value_str(d, "DeploymentId");
			bool served = false;

			if (!value_bool(d, "AutoDeployed", false) || !id.n)
				continue;
			count++;
			for (uint32_t s = 0; s < value_count(stages); s++)
				served |=
					str_eq(value_str(value_at(stages, s), "DeploymentId"), id);
			if (!served && (!oldest || value_time_ms(d, "CreatedDate", 0) <
							   value_time_ms(oldest, "CreatedDate", 0)))
				oldest = d;
		}
		if (count < APIGATEWAY_MAX_AUTO_DEPLOYMENTS || !oldest)
			return 0;
		str id = value_str(oldest, "DeploymentId");
		store_change_delete(ch, STORE_DEPLOYMENT, id);
		store_change_delete(ch, STORE_SNAPSHOT, id);
		value_put_str((struct value *)oldest, "DeploymentId", STR(""));
	}
}

int store_change_deploy(
	struct change *ch, str description, bool automatic, struct value **ret_deployment)
{
	struct arena *a = ch->c->arena;
	struct value *routes, *integrations;
	struct buf snapshot, part;

	TRY(store_change_list(ch, STORE_ROUTE, &routes));
	TRY(store_change_list(ch, STORE_INTEGRATION, &integrations));
	if (!automatic && !value_count(value_get(routes, "Items")))
		return APIGATEWAY_FAULT(ch->c, BAD_REQUEST,
			"Unable to deploy API because no routes exist in this API");
	buf_init(&part, a, APIGATEWAY_MAX_SNAPSHOT_BYTES);
	codec_json_store(&part, routes);
	buf_init(&snapshot, a, APIGATEWAY_MAX_SNAPSHOT_BYTES);
	put_header(&snapshot, 0);
	buf_put_be32(&snapshot, (uint32_t)part.n);
	buf_put(&snapshot, buf_str(&part));
	codec_json_store(&snapshot, integrations);
	if (snapshot.over || part.over)
		return APIGATEWAY_FAULT(ch->c, BAD_REQUEST,
			"The deployment is larger than %d bytes", APIGATEWAY_MAX_SNAPSHOT_BYTES);

	struct value *d = value_new(a, the_model(), "Deployment");
	str id = store_new_id(a, 6);
	value_put_bool(d, "AutoDeployed", automatic);
	value_put_time_ms(d, "CreatedDate", ch->c->wall_ms);
	value_put_str(d, "DeploymentId", id);
	value_put_str(d, "DeploymentStatus", STR("DEPLOYED"));
	value_put_str(d, "Description", description);
	store_change_put(ch, STORE_DEPLOYMENT, id, d);
	kv_txn_put_covered(ch->txn, change_key(ch, STORE_SNAPSHOT, id), buf_str(&snapshot));
	if (ret_deployment)
		*ret_deployment = d;
	return 0;
}

int store_change_auto_deploy(struct change *ch)
{
	struct arena *a = ch->c->arena;
	struct value *response, *routes, *d = NULL;

	TRY(store_change_list(ch, STORE_STAGE, &response));
	TRY(store_change_list(ch, STORE_ROUTE, &routes));
	const struct value *stages = value_get(response, "Items");
	bool any_route = value_count(value_get(routes, "Items")) > 0;
	for (uint32_t i = 0; i < value_count(stages); i++) {
		struct value *stage = (struct value *)value_at(stages, i);

		if (!value_bool(stage, "AutoDeploy", false))
			continue;
		if (!any_route && !value_has(stage, "DeploymentId")) {
			value_put_str(stage, "LastDeploymentStatusMessage",
				STR("Deployment attempt failed: Unable to deploy API because no "
				    "routes exist in this API"));
		} else {
			if (!d) {
				TRY(prune(ch, stages));
				TRY(store_change_deploy(ch,
					STR("Automatic deployment triggered by changes to the Api "
					    "configuration"),
					true, &d));
			}
			str id = value_str(d, "DeploymentId");
			value_put_str(stage, "DeploymentId", id);
			value_put_str(stage, "LastDeploymentStatusMessage",
				arena_printf(a,
					"Successfully deployed stage with deployment ID '%.*s'",
					STR_ARG(id)));
		}
		value_put_time_ms(stage, "LastUpdatedDate", ch->c->wall_ms);
		store_change_put(ch, STORE_STAGE, value_str(stage, "StageName"), stage);
	}
	return 0;
}

/* ---- reading ---- */

int store_api(struct call *c, str api_id, struct value **ret_api)
{
	struct kv *kv;
	str record;

	TRY(service_kv(c, &kv));
	if (!TRY(kv_get(kv, key_api(c->arena, c->account, c->region, api_id), c->arena, &record)))
		return api_not_found(c, api_id);
	return decode(c->arena, "Api", record, ret_api, NULL);
}

int store_get(struct call *c, str api_id, enum store_kind kind, str id, struct value **ret_value)
{
	struct kv *kv;
	struct value *api;
	str record;

	TRY(service_kv(c, &kv));
	if (TRY(kv_get(kv, key_child(c->arena, c->account, c->region, api_id, (char)kind, id),
		    c->arena, &record)))
		return decode(c->arena, kinds[kind_of(kind)].shape, record, ret_value, NULL);
	TRY(store_api(c, api_id, &api));
	return store_not_found(c, kind, id);
}

static int page_size(struct call *c, uint32_t *ret_max)
{
	str text = value_str(c->in, "MaxResults");
	uint64_t max = APIGATEWAY_MAX_PAGE;

	if (text.n && (str_to_u64(text, UINT32_MAX, &max) < 0 || max == 0))
		return APIGATEWAY_FAULT(
			c, BAD_REQUEST, "Invalid value for maxResults: %.*s", STR_ARG(text));
	*ret_max = (uint32_t)MIN(max, (uint64_t)APIGATEWAY_MAX_PAGE);
	return 0;
}

/* A token is the rest of the last key behind the prefix, in base64url. */
static int page_start(struct call *c, str prefix, str *ret_from)
{
	str token = value_str(c->in, "NextToken");
	uint8_t *bytes;
	size_t n;

	if (!token.n) {
		*ret_from = prefix;
		return 0;
	}
	bytes = arena_alloc(c->arena, base64_bytes_max(token.n));
	if (token.n > KEY_BYTES || base64url_decode(token, bytes, &n) < 0)
		return APIGATEWAY_FAULT(c, BAD_REQUEST, "Invalid value for nextToken");
	*ret_from = ARENA_CONCAT(c->arena, prefix, str_of(bytes, n), str_of("", 1));
	return 0;
}

int store_page(
	struct call *c, str api_id, char kind, void (*each)(struct call *c, struct value *item))
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct arena *a = c->arena;
	struct value *api;
	struct kv *kv;
	uint32_t max;
	str prefix, last = STR_NULL, key, record;

	TRY(service_kv(c, &kv));
	TRY(page_size(c, &max));
	if (kind) {
		TRY(store_api(c, api_id, &api));
		prefix = key_child(a, c->account, c->region, api_id, kind, STR_NULL);
	} else {
		prefix = key_apis(a, c->account, c->region, 'A');
	}
	struct kv_range range = prefix_range(a, prefix);
	TRY(page_start(c, prefix, &range.from));
	range.limit = max + 1;
	TRY(kv_scan_open(kv, &range, &scan));
	TRY(collect(scan, a, kind ? kinds[kind_of((enum store_kind)kind)].shape : "Api", c->out,
		max, &last));
	if (last.p && TRY(kv_scan_next(scan, &key, &record))) {
		struct buf token;

		buf_init(&token, a, KEYSPACE_KEY_MAX);
		base64url_put(&token, str_from(last, prefix.n));
		value_put_str(c->out, "NextToken", buf_str(&token));
	}
	const struct value *items = value_get(c->out, "Items");
	for (uint32_t i = 0; each && i < value_count(items); i++)
		each(c, (struct value *)value_at(items, i));
	return 0;
}

int store_count_apis(struct call *c)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range =
		prefix_range(c->arena, key_apis(c->arena, c->account, c->region, 'A'));
	struct kv *kv;
	str key, record;
	unsigned n = 0;

	TRY(service_kv(c, &kv));
	TRY(kv_scan_open(kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record)))
		if (++n == APIGATEWAY_MAX_APIS)
			return APIGATEWAY_FAULT(c, TOO_MANY_REQUESTS,
				"Maximum number of APIs has been reached: %d", APIGATEWAY_MAX_APIS);
	return 0;
}

/* ---- the serving side ---- */

static int load_deployment(
	struct kv_snapshot *s, struct arena *a, struct stored_api *api, str api_id, uint32_t stage)
{
	const struct value *v = value_at(value_get(api->stages, "Items"), stage);
	str id = value_str(v, "DeploymentId"), record, routes;
	struct record_header header;
	uint32_t n;

	if (!id.n)
		return 0;
	if (!TRY(kv_snapshot_get(s,
		    key_child(a, api->account, api->region, api_id, STORE_SNAPSHOT, id), a,
		    &record)))
		return ERR_CORRUPT;
	TRY(record_take(&record, &header));
	if (!str_take_be32(&record, &n) || !str_take(&record, n, &routes))
		return ERR_CORRUPT;
	TRY(codec_json_load(a, the_model(), "GetRoutesResponse", routes, &api->routes[stage]));
	return codec_json_load(
		a, the_model(), "GetIntegrationsResponse", record, &api->integrations[stage]);
}

static int load(struct kv_snapshot *s, struct arena *a, str api_id, struct stored_api *api)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct record_header header;
	str record;

	if (!TRY(kv_snapshot_get(s, key_owner(a, api_id), a, &record)))
		return 0;
	TRY(record_take(&record, &header));
	if (!keyspace_take(a, &record, &api->account) || !keyspace_take(a, &record, &api->region))
		return ERR_CORRUPT;
	if (!TRY(kv_snapshot_get(s, key_api(a, api->account, api->region, api_id), a, &record)))
		return ERR_CORRUPT;
	TRY(decode(a, "Api", record, &api->api, NULL));
	struct kv_range range = prefix_range(
		a, key_child(a, api->account, api->region, api_id, STORE_STAGE, STR_NULL));
	api->stages = value_new(a, the_model(), "GetStagesResponse");
	TRY(kv_snapshot_scan(s, &range, &scan));
	TRY(collect(scan, a, "Stage", api->stages, UINT32_MAX, NULL));
	uint32_t n = value_count(value_get(api->stages, "Items"));
	api->routes = arena_new_array(a, struct value *, n + 1);
	api->integrations = arena_new_array(a, struct value *, n + 1);
	for (uint32_t i = 0; i < n; i++)
		TRY(load_deployment(s, a, api, api_id, i));
	return 1;
}

int store_load(struct kv *kv, struct arena *arena, str api_id, struct stored_api *ret_api)
{
	struct kv_snapshot *snapshot cleanup(kv_snapshot_close_p) = NULL;
	struct stored_api api = {0};

	TRY(kv_snapshot_open(kv, &snapshot));
	int rc = TRY(load(snapshot, arena, api_id, &api));
	if (rc)
		*ret_api = api;
	return rc;
}
