/*
 * APIs: create (quick create too), get, list, update, delete; and what the handlers share.
 * https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html
 */
#include "aws/cors.h"
#include "base/rc.h"
#include "services/apigateway/control.h"
#include "services/apigateway/target.h"

static bool asks_nothing(const struct value *v, const char *fine)
{
	if (v->kind == SHAPE_LIST || v->kind == SHAPE_MAP)
		return value_count(v) == 0;
	if (!fine)
		return false;
	switch (v->kind) {
	case SHAPE_STRING: return str_eq(v->s, str_c(fine));
	case SHAPE_BOOLEAN: return str_eq(v->b ? STR("true") : STR("false"), str_c(fine));
	case SHAPE_INTEGER:
	case SHAPE_LONG: return v->i == 0;
	case SHAPE_DOUBLE:
	case SHAPE_FLOAT: return v->d == 0;
	default: return false;
	}
}

int control_refuse(
	struct call *c, const struct value *in, const struct refused_member *members, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct value *v = value_get(in, members[i].name);

		if (v && !asks_nothing(v, members[i].fine))
			return APIGATEWAY_FAULT(c, BAD_REQUEST, "%s is not implemented: %s",
				members[i].name, members[i].why);
	}
	return 0;
}

int control_check_tags(struct call *c, const struct value *tags)
{
	if (value_count(tags) > APIGATEWAY_MAX_TAGS)
		return APIGATEWAY_FAULT(
			c, BAD_REQUEST, "At most %d tags are allowed", APIGATEWAY_MAX_TAGS);
	for (uint32_t i = 0; i < value_count(tags); i++) {
		str key = value_key(tags, i);

		if (!key.n || key.n > 128 || str_starts(key, STR("aws:")))
			return APIGATEWAY_FAULT(c, BAD_REQUEST, "Invalid tag key: %.*s",
				STR_ARG(str_sub(key, 0, 128)));
		if (value_text(value_of(tags, i)).n > 256)
			return APIGATEWAY_FAULT(c, BAD_REQUEST,
				"The value of tag %.*s is longer than 256 characters",
				STR_ARG(key));
	}
	return 0;
}

/* ---- CORS ---- */

static int check_names(struct call *c, const struct value *list, const char *what)
{
	if (value_count(list) > APIGATEWAY_MAX_CORS_ITEMS)
		return APIGATEWAY_FAULT(c, BAD_REQUEST, "%s has more than %d items", what,
			APIGATEWAY_MAX_CORS_ITEMS);
	for (uint32_t i = 0; i < value_count(list); i++) {
		str text = value_text(value_at(list, i));

		for (size_t k = 0; k < text.n; k++)
			if ((unsigned char)text.p[k] <= ' ' || (unsigned char)text.p[k] >= 0x7f ||
				text.p[k] == ',')
				text.n = 0;
		if (!text.n)
			return APIGATEWAY_FAULT(c, BAD_REQUEST,
				"Invalid value in %s: a name without spaces and commas is expected",
				what);
	}
	return 0;
}

static int check_cors(struct call *c, const struct value *cors)
{
	const struct value *origins = value_get(cors, "AllowOrigins");

	if (!cors)
		return 0;
	TRY(check_names(c, value_get(cors, "AllowHeaders"), "allowHeaders"));
	TRY(check_names(c, value_get(cors, "AllowMethods"), "allowMethods"));
	TRY(check_names(c, value_get(cors, "ExposeHeaders"), "exposeHeaders"));
	if (value_count(origins) > APIGATEWAY_MAX_CORS_ITEMS)
		return APIGATEWAY_FAULT(c, BAD_REQUEST, "allowOrigins has more than %d items",
			APIGATEWAY_MAX_CORS_ITEMS);
	for (uint32_t i = 0; i < value_count(origins); i++) {
		str origin = value_text(value_at(origins, i));

		if (!cors_origin_is_valid(origin))
			return APIGATEWAY_FAULT(c, BAD_REQUEST,
				"Invalid format for origin %.*s: expected *, scheme://host[:port], "
				"http://* or https://*",
				STR_ARG(origin));
		if (value_bool(cors, "AllowCredentials", false) && str_eq(origin, STR("*")))
			return APIGATEWAY_FAULT(c, BAD_REQUEST,
				"allowCredentials is not supported if allowOrigins is *");
	}
	return 0;
}

/* ---- create ---- */

static const struct refused_member api_refused[] = {
	{"ApiKeySelectionExpression", "$request.header.x-api-key", "only for WebSocket APIs"},
	{"DisableSchemaValidation", "false", "only for WebSocket APIs"},
	{"IpAddressType", "ipv4", "ipv4 is what APIs have"},
};

static int check_api(struct call *c)
{
	str expression = value_str(c->in, "RouteSelectionExpression");
	str role = value_str(c->in, "CredentialsArn");

	TRY(control_refuse(c, c->in, api_refused, ARRAY_SIZE(api_refused)));
	if (expression.n && !str_eq(expression, STR("$request.method $request.path")) &&
		!str_eq(expression, STR("${request.method} ${request.path}")))
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"Invalid routeSelectionExpression for an HTTP API: "
			"\"$request.method $request.path\" is expected");
	if (role.n &&
		(!str_starts(role, STR("arn:aws:iam::")) || str_find_str(role, STR(":role/")) < 0))
		return APIGATEWAY_FAULT(
			c, BAD_REQUEST, "Invalid role ARN in credentialsArn: %.*s", STR_ARG(role));
	return check_cors(c, value_get(c->in, "CorsConfiguration"));
}

static void put_managed_integration(struct call *c, struct value *integration)
{
	str target = value_str(c->in, "Target"), role = value_str(c->in, "CredentialsArn");
	bool url = str_starts(target, STR("http://")) || str_starts(target, STR("https://"));

	value_put_str(integration, "IntegrationType", url ? STR("HTTP_PROXY") : STR("AWS_PROXY"));
	value_put_str(integration, "IntegrationMethod", url ? STR("ANY") : STR("POST"));
	value_put_str(integration, "PayloadFormatVersion", url ? STR("1.0") : STR("2.0"));
	value_put_str(integration, "IntegrationUri", target);
	value_put_str(integration, "CredentialsArn", role);
	value_put_bool(integration, "ApiGatewayManaged", true);
}

static str target_of(struct arena *a, str integration_id)
{
	return ARENA_CONCAT(a, STR("integrations/"), integration_id);
}

/* Integration, route and $default stage of a quick create. */
static int quick_create(struct change *ch)
{
	struct call *c = ch->c;
	const struct model *m = c->service->model;
	struct value *integration = value_new(c->arena, m, "Integration");
	struct value *route = value_new(c->arena, m, "Route");
	struct value *stage = value_new(c->arena, m, "Stage");
	str key = value_str(c->in, "RouteKey");
	str integration_id = store_new_id(c->arena, 7), route_id = store_new_id(c->arena, 7);

	put_managed_integration(c, integration);
	value_put_str(integration, "IntegrationId", integration_id);
	TRY(control_check_integration(c, integration));
	store_change_put(ch, STORE_INTEGRATION, integration_id, integration);

	value_put_bool(route, "ApiGatewayManaged", true);
	value_put_str(route, "RouteId", route_id);
	value_put_str(route, "RouteKey", key.n ? key : STR("$default"));
	value_put_str(route, "Target", target_of(c->arena, integration_id));
	TRY(control_check_route(ch, route));
	store_change_put(ch, STORE_ROUTE, route_id, route);

	value_put_str(stage, "StageName", STR("$default"));
	value_put_bool(stage, "ApiGatewayManaged", true);
	value_put_bool(stage, "AutoDeploy", true);
	value_put_time_ms(stage, "CreatedDate", c->wall_ms);
	value_put_time_ms(stage, "LastUpdatedDate", c->wall_ms);
	value_put_bool(
		value_put_struct(stage, "DefaultRouteSettings"), "DetailedMetricsEnabled", false);
	value_put_map(stage, "RouteSettings");
	value_put_map(stage, "StageVariables");
	value_put_map(stage, "Tags");
	store_change_put(ch, STORE_STAGE, STR("$default"), stage);
	ch->routes_changed = true;
	return 0;
}

static void show_api(struct call *c, struct value *out)
{
	value_put_str(out, "ApiEndpoint",
		apigateway_endpoint(c->self, c->arena, value_str(out, "ApiId"), c->region));
}

static int create_api(struct change *ch)
{
	struct call *c = ch->c;
	struct value *api = ch->api;

	value_copy_members(api, c->in);
	value_put_str(api, "ApiKeySelectionExpression", STR("$request.header.x-api-key"));
	value_put_time_ms(api, "CreatedDate", c->wall_ms);
	value_put_bool(api, "DisableExecuteApiEndpoint",
		value_bool(c->in, "DisableExecuteApiEndpoint", false));
	value_put_str(api, "IpAddressType", STR("ipv4"));
	if (!value_has(api, "RouteSelectionExpression"))
		value_put_str(
			api, "RouteSelectionExpression", STR("$request.method $request.path"));
	value_put_map(api, "Tags");
	if (value_has(c->in, "Target"))
		TRY(quick_create(ch));
	value_copy_members(c->out, api);
	return 0;
}

int apigateway_CreateApi(struct call *c)
{
	if (!str_eq(value_str(c->in, "ProtocolType"), STR("HTTP")))
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"ProtocolType WEBSOCKET is not implemented: only HTTP APIs are");
	TRY(check_api(c));
	TRY(control_check_tags(c, value_get(c->in, "Tags")));
	if (!value_has(c->in, "Target") &&
		(value_has(c->in, "RouteKey") || value_has(c->in, "CredentialsArn")))
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"routeKey and credentialsArn need a target: they are part of quick create");
	TRY(store_count_apis(c));
	TRY(store_create(c, create_api, NULL));
	show_api(c, c->out);
	return 0;
}

/* ---- get, list, update, delete ---- */

int apigateway_GetApi(struct call *c)
{
	struct value *api;

	TRY(store_api(c, value_str(c->in, "ApiId"), &api));
	value_copy_members(c->out, api);
	show_api(c, c->out);
	return 0;
}

int apigateway_GetApis(struct call *c)
{
	return store_page(c, STR_NULL, 0, show_api);
}

static int managed_of(struct change *ch, enum store_kind kind, struct value **ret_value)
{
	struct value *response;

	TRY(store_change_list(ch, kind, &response));
	const struct value *items = value_get(response, "Items");
	for (uint32_t i = 0; i < value_count(items); i++)
		if (value_bool(value_at(items, i), "ApiGatewayManaged", false)) {
			*ret_value = (struct value *)value_at(items, i);
			return 0;
		}
	return APIGATEWAY_FAULT(ch->c, BAD_REQUEST,
		"target, routeKey and credentialsArn apply only to APIs made by quick create");
}

static int update_managed(struct change *ch)
{
	struct call *c = ch->c;
	struct value *integration, *route;

	if (value_has(c->in, "Target") || value_has(c->in, "CredentialsArn")) {
		TRY(managed_of(ch, STORE_INTEGRATION, &integration));
		if (value_has(c->in, "Target"))
			put_managed_integration(c, integration);
		else
			value_put_str(
				integration, "CredentialsArn", value_str(c->in, "CredentialsArn"));
		TRY(control_check_integration(c, integration));
		store_change_put(ch, STORE_INTEGRATION, value_str(integration, "IntegrationId"),
			integration);
		ch->routes_changed = true;
	}
	if (value_has(c->in, "RouteKey")) {
		TRY(managed_of(ch, STORE_ROUTE, &route));
		value_put_str(route, "RouteKey", value_str(c->in, "RouteKey"));
		TRY(control_check_route(ch, route));
		store_change_put(ch, STORE_ROUTE, value_str(route, "RouteId"), route);
		ch->routes_changed = true;
	}
	return 0;
}

static int update_api(struct change *ch)
{
	value_copy_members(ch->api, ch->c->in);
	TRY(update_managed(ch));
	value_copy_members(ch->c->out, ch->api);
	return 0;
}

int apigateway_UpdateApi(struct call *c)
{
	TRY(check_api(c));
	TRY(store_change(c, value_str(c->in, "ApiId"), update_api, NULL));
	show_api(c, c->out);
	return 0;
}

int apigateway_DeleteApi(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), store_change_delete_all, NULL);
}

/* value.h has no removal: the API is copied without the member. */
static int delete_cors(struct change *ch)
{
	struct call *c = ch->c;
	struct value *api = value_new(c->arena, c->service->model, "Api");
	const struct model *m = c->service->model;
	const struct model_shape *shape = model_shape(m, api->shape);

	for (uint32_t i = 0; i < shape->count; i++) {
		const char *name =
			arena_c(c->arena, model_str(m, m->members[shape->first + i].name));

		if (!str_eq(str_c(name), STR("CorsConfiguration")))
			value_put_copy(api, name, value_get(ch->api, name));
	}
	ch->api = api;
	return 0;
}

int apigateway_DeleteCorsConfiguration(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), delete_cors, NULL);
}
