/* The API Gateway service: its table of operations, its start and its end. See apigateway.h. */
#include "services/apigateway/apigateway.h"

#include "base/mem.h"
#include "base/rc.h"
#include "http/client.h"
#include "services/apigateway/control.h"
#include "services/apigateway/execute.h"

/* arn:aws:apigateway:{region}::/apis/{id}/...: the path of the request behind its version. */
static int resource_arn(struct call *c, str *ret_arn)
{
	str path = c->request->path;

	if (str_starts(path, STR("/v2/")))
		path = str_from(path, 3);
	*ret_arn = ARENA_CONCAT(c->arena, STR("arn:aws:apigateway:"), c->region, STR("::"), path);
	return 0;
}

static const struct operation_row rows[] = {
#define OPERATION(name_, action_)                 \
	{.name = #name_,                          \
		.handle = apigateway_##name_,     \
		.action = "apigateway:" #action_, \
		.resource = resource_arn},
	APIGATEWAY_OPERATIONS
#undef OPERATION
};

struct kv *apigateway_kv(struct apigateway *gateway)
{
	return atomic_load(&gateway->kv);
}

void apigateway_changed(struct apigateway *gateway, str api_id)
{
	atomic_fetch_add(&gateway->generations[compiled_generation(api_id)], 1);
}

const struct apigateway_options *apigateway_options(const struct apigateway *gateway)
{
	return &gateway->options;
}

str apigateway_endpoint(
	const struct apigateway *gateway, struct arena *arena, str api_id, str region)
{
	return ARENA_CONCAT(arena,
		gateway->options.endpoint_secure ? STR("https://") : STR("http://"), api_id,
		STR(".execute-api."), region, STR("."), gateway->options.endpoint_suffix);
}

static void loop_free(void *value)
{
	struct gateway_loop *loop = value;

	compiled_cache_done(&loop->cache);
	http_client_free(loop->client);
	mem_free(loop);
}

struct gateway_loop *gateway_loop(struct apigateway *gateway)
{
	void **slot = rt_slot(gateway->slot);

	if (!*slot) {
		struct gateway_loop *loop = mem_new(struct gateway_loop);

		compiled_cache_init(&loop->cache);
		*slot = loop;
	}
	return *slot;
}

int apigateway_service_new(
	const struct apigateway_options *options, struct apigateway **ret_gateway)
{
	struct apigateway *gateway = mem_new(struct apigateway);

	gateway->options = *options;
	gateway->slot = rt_slot_new(options->rt, loop_free);
	gateway->service = mem_new(struct service);
	*gateway->service = (struct service){.model = model_named(STR("apigatewayv2")),
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.self = gateway};
	gateway->host =
		(struct port_host){.label = "execute-api", .self = gateway, .serve = execute_serve};
	port_host_add(options->ports, &gateway->host);
	*ret_gateway = gateway;
	return 0;
}

int apigateway_service_start(struct apigateway *gateway, struct kv *kv)
{
	atomic_store(&gateway->kv, kv);
	return 0;
}

void apigateway_service_stop(struct apigateway *gateway)
{
	if (gateway)
		atomic_store(&gateway->kv, NULL);
}

void apigateway_service_free(struct apigateway *gateway)
{
	if (!gateway)
		return;
	mem_free(gateway->service);
	mem_free(gateway);
}

const struct service *apigateway_service_rows(const struct apigateway *gateway)
{
	return gateway->service;
}
