/* Compiled APIs and the loops' caches of them: see compiled.h. */
#include "services/apigateway/compiled.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rc.h"

enum { COMPILED_BYTES_MAX = 16 * 1024 * 1024, LOAD_BYTES_MAX = 64 * 1024 * 1024 };

/* ---- compiling ---- */

static const struct event_variable *compile_variables(
	struct arena *a, const struct value *map, size_t *ret_count)
{
	uint32_t n = value_count(map);
	struct event_variable *variables = arena_new_array(a, struct event_variable, n + 1);

	for (uint32_t i = 0; i < n; i++)
		variables[i] = (struct event_variable){.name = arena_str(a, value_key(map, i)),
			.value = arena_str(a, value_text(value_of(map, i)))};
	*ret_count = n;
	return variables;
}

static void compile_integration(struct arena *a, const struct compiled_stage *stage,
	const struct value *v, struct compiled_integration *to)
{
	str uri = value_str(v, "IntegrationUri");
	bool function = str_eq(value_str(v, "IntegrationType"), STR("AWS_PROXY"));

	*to = (struct compiled_integration){.kind = INTEGRATION_BROKEN,
		.format = str_eq(value_str(v, "PayloadFormatVersion"), STR("2.0")) ? 2 : 1,
		.method = arena_str(a, value_str(v, "IntegrationMethod")),
		.role = arena_str(a, value_str(v, "CredentialsArn")),
		.timeout_ms = value_int(v, "TimeoutInMillis", APIGATEWAY_MAX_TIMEOUT_MS)};
	if (target_substitute(a, arena_str(a, uri), stage->variables, stage->variable_count, &uri) <
		0)
		to->broken = "a stage variable of its URI is not set";
	else if (function && target_function(uri, &to->function) < 0)
		to->broken = "its URI is not that of a function";
	else if (!function && target_url_parse(uri, &to->url) < 0)
		to->broken = "its URI is no URL";
	else
		to->kind = function ? INTEGRATION_FUNCTION : INTEGRATION_URL;
}

static uint32_t integration_number(const struct value *integrations, str target)
{
	str id = str_starts(target, STR("integrations/")) ? str_from(target, 13) : STR_NULL;

	for (uint32_t i = 0; id.n && i < value_count(integrations); i++)
		if (str_eq(value_str(value_at(integrations, i), "IntegrationId"), id))
			return i;
	return UINT32_MAX;
}

static void compile_stage(struct arena *a, const struct stored_api *stored, uint32_t number,
	struct compiled_stage *stage)
{
	const struct value *v = value_at(value_get(stored->stages, "Items"), number);

	*stage = (struct compiled_stage){.name = arena_str(a, value_str(v, "StageName"))};
	stage->variables =
		compile_variables(a, value_get(v, "StageVariables"), &stage->variable_count);
	if (!stored->routes[number])
		return;
	const struct value *routes = value_get(stored->routes[number], "Items");
	const struct value *integrations = value_get(stored->integrations[number], "Items");
	uint32_t n = value_count(routes), m = value_count(integrations);
	struct compiled_integration *compiled =
		arena_new_array(a, struct compiled_integration, m + 1);

	for (uint32_t i = 0; i < m; i++)
		compile_integration(a, stage, value_at(integrations, i), &compiled[i]);
	stage->integrations = compiled;
	stage->integration_count = m;
	struct router_route *list = arena_new_array(a, struct router_route, n + 1);
	for (uint32_t i = 0; i < n; i++)
		list[i] = (struct router_route){.key = value_str(value_at(routes, i), "RouteKey"),
			.integration = integration_number(
				integrations, value_str(value_at(routes, i), "Target"))};
	int rc = router_new(a, list, n, &stage->router);
	if (rc < 0) /* keys were checked when they were made */
		log_line(LOG_ERROR, "apigateway", "stored routes do not compile",
			"stage=%.*s rc=%s", STR_ARG(stage->name), rc_name(rc));
}

static str join(struct arena *a, const struct value *list)
{
	struct buf out;

	buf_init(&out, a, COMPILED_BYTES_MAX);
	for (uint32_t i = 0; i < value_count(list); i++) {
		if (i)
			buf_put_char(&out, ',');
		buf_put(&out, value_text(value_at(list, i)));
	}
	return buf_str(&out);
}

static const struct cors *compile_cors(struct arena *a, const struct value *v)
{
	const struct value *list = value_get(v, "AllowOrigins");
	uint32_t n = value_count(list);

	if (!v)
		return NULL;
	struct cors *cors = arena_new(a, struct cors);
	str *origins = arena_new_array(a, str, n + 1);
	for (uint32_t i = 0; i < n; i++)
		origins[i] = arena_str(a, value_text(value_at(list, i)));
	*cors = (struct cors){.origins = origins,
		.origin_count = n,
		.methods = join(a, value_get(v, "AllowMethods")),
		.headers = join(a, value_get(v, "AllowHeaders")),
		.expose = join(a, value_get(v, "ExposeHeaders")),
		.max_age = value_int(v, "MaxAge", CORS_NO_AGE),
		.credentials = value_bool(v, "AllowCredentials", false)};
	return cors;
}

struct compiled_api *compiled_new(str id, const struct stored_api *stored)
{
	struct compiled_api *api = mem_new(struct compiled_api);
	struct arena *a = &api->arena;

	arena_init(a, COMPILED_BYTES_MAX);
	api->refs = 1;
	api->id = arena_str(a, id);
	api->account = arena_str(a, stored->account);
	api->region = arena_str(a, stored->region);
	api->disabled = value_bool(stored->api, "DisableExecuteApiEndpoint", false);
	api->cors = compile_cors(a, value_get(stored->api, "CorsConfiguration"));
	uint32_t n = value_count(value_get(stored->stages, "Items"));
	struct compiled_stage *stages = arena_new_array(a, struct compiled_stage, n + 1);
	for (uint32_t i = 0; i < n; i++)
		compile_stage(a, stored, i, &stages[i]);
	api->stages = stages;
	api->stage_count = n;
	return api;
}

struct compiled_api *compiled_ref(struct compiled_api *api)
{
	api->refs++;
	return api;
}

void compiled_unref(struct compiled_api *api)
{
	if (!api || --api->refs)
		return;
	arena_done(&api->arena);
	mem_free(api);
}

void compiled_unref_p(struct compiled_api **api)
{
	compiled_unref(*api);
}

const struct compiled_stage *compiled_stage(const struct compiled_api *api, str name)
{
	for (size_t i = 0; i < api->stage_count; i++)
		if (str_eq(api->stages[i].name, name))
			return &api->stages[i];
	return NULL;
}

/* ---- the cache of a loop ---- */

struct cached {
	struct list used;
	str id;                   /* of its own memory, behind the struct */
	struct compiled_api *api; /* NULL while it is loaded for the first time */
	uint64_t generation;      /* that `api` was loaded at */
	bool loading;
	struct rt_waitq waiters; /* for the end of loading */
};

void compiled_cache_init(struct compiled_cache *cache)
{
	*cache = (struct compiled_cache){.count = 0};
	list_init(&cache->used);
}

static void cached_free(struct compiled_cache *cache, struct cached *e)
{
	check(!e->loading);
	map_remove(&cache->apis, e->id);
	list_remove(&e->used);
	cache->count--;
	compiled_unref(e->api);
	mem_free(e);
}

void compiled_cache_done(struct compiled_cache *cache)
{
	list_for_each_safe(at, &cache->used)
		cached_free(cache, list_entry(at, struct cached, used));
	map_done(&cache->apis);
}

static struct cached *cached_new(struct compiled_cache *cache, str id)
{
	struct cached *e = mem_zero(sizeof(*e) + id.n);
	char *text = (char *)(e + 1);

	memcpy(text, id.p, id.n);
	e->id = str_of(text, id.n);
	rt_waitq_init(&e->waiters);
	list_init(&e->used);
	list_push_front(&cache->used, &e->used);
	map_put(&cache->apis, e->id, e);
	cache->count++;
	return e;
}

/* Makes room; what is being loaded stays. */
static void evict(struct compiled_cache *cache)
{
	struct list *at = cache->used.prev;

	while (cache->count > APIGATEWAY_MAX_CACHED_APIS && at != &cache->used) {
		struct cached *e = list_entry(at, struct cached, used);

		at = at->prev;
		if (!e->loading)
			cached_free(cache, e);
	}
}

size_t compiled_generation(str api_id)
{
	return str_hash(api_id) % COMPILED_GENERATIONS;
}

/* Loads the API of an entry that nobody else is loading: 1, or 0 and the entry is gone. */
static int reload(struct compiled_cache *cache, struct kv *kv, const _Atomic uint64_t *generation,
	struct cached *e)
{
	struct arena arena cleanup(arena_done_p);
	struct stored_api stored;
	/* Before the read: a change that it does not see raises it once more. */
	uint64_t at = atomic_load(generation);

	arena_init(&arena, LOAD_BYTES_MAX);
	e->loading = true;
	int rc = store_load(kv, &arena, e->id, &stored);
	e->loading = false;
	rt_waitq_wake_all(&e->waiters);
	if (rc <= 0) {
		cached_free(cache, e);
		return rc;
	}
	compiled_unref(e->api);
	e->api = compiled_new(e->id, &stored);
	e->generation = at;
	list_remove(&e->used);
	list_push_front(&cache->used, &e->used);
	evict(cache);
	return 1;
}

int compiled_find(struct compiled_cache *cache, struct kv *kv,
	const _Atomic uint64_t generations[COMPILED_GENERATIONS], str api_id, int64_t deadline,
	struct compiled_api **ret_api)
{
	const _Atomic uint64_t *generation = &generations[compiled_generation(api_id)];

	for (;;) {
		struct cached *e = map_get(&cache->apis, api_id);

		if (e && e->loading) {
			TRY(rt_waitq_wait(&e->waiters, deadline));
			continue;
		}
		if (!e || e->generation != atomic_load(generation)) {
			if (!e)
				e = cached_new(cache, api_id);
			if (TRY(reload(cache, kv, generation, e)) == 0)
				return 0;
		}
		e = map_get(&cache->apis, api_id);
		check(e != NULL && e->api != NULL);
		list_remove(&e->used);
		list_push_front(&cache->used, &e->used);
		*ret_api = compiled_ref(e->api);
		return 1;
	}
}
