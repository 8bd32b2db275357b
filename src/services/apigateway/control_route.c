/*
 * Integrations and routes.
 * https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-integrations.html
 * https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-routes.html
 */
#include "base/rc.h"
#include "services/apigateway/control.h"
#include "services/apigateway/router.h"
#include "services/apigateway/target.h"

/* ---- integrations ---- */

static const struct refused_member integration_refused[] = {
	{"ConnectionId", NULL, "VPC links are not there yet"},
	{"ConnectionType", "INTERNET", "VPC links are not there yet"},
	{"ContentHandlingStrategy", NULL, "only for WebSocket APIs"},
	{"IntegrationSubtype", NULL, "first-class service integrations are not there yet"},
	{"PassthroughBehavior", NULL, "only for WebSocket APIs"},
	{"RequestParameters", NULL, "parameter mapping is not there yet"},
	{"RequestTemplates", NULL, "only for WebSocket APIs"},
	{"ResponseParameters", NULL, "parameter mapping is not there yet"},
	{"TemplateSelectionExpression", NULL, "only for WebSocket APIs"},
	{"TlsConfig", NULL, "it belongs to VPC links, which are not there yet"},
};

static int check_function(struct call *c, str uri)
{
	str arn;

	if (!target_has_variables(uri) && target_function(uri, &arn) < 0)
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"Invalid integrationUri %.*s: the ARN of a function, or "
			"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{ARN}/"
			"invocations, is expected",
			STR_ARG(uri));
	return 0;
}

static int check_url(struct call *c, str uri, str method)
{
	struct target_url url;

	if (!method.n)
		return APIGATEWAY_FAULT(
			c, BAD_REQUEST, "HttpMethod must be specified for HTTP_PROXY integrations");
	if (route_method_of(method) == ROUTE_ANY && !str_eq(method, STR("ANY")))
		return APIGATEWAY_FAULT(
			c, BAD_REQUEST, "Invalid HTTP method specified: %.*s", STR_ARG(method));
	if (target_has_variables(uri))
		return 0;
	if (target_url_parse(uri, &url) < 0)
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"Invalid HTTP endpoint specified for URI: %.*s", STR_ARG(uri));
	if (url.secure && !apigateway_options(c->self)->tls)
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"An https integrationUri is not possible: this server runs without TLS");
	return 0;
}

int control_check_integration(struct call *c, struct value *integration)
{
	str type = value_str(integration, "IntegrationType");
	str uri = value_str(integration, "IntegrationUri");
	str version = value_str(integration, "PayloadFormatVersion");
	str role = value_str(integration, "CredentialsArn");
	bool function = str_eq(type, STR("AWS_PROXY"));

	TRY(control_refuse(c, integration, integration_refused, ARRAY_SIZE(integration_refused)));
	if (!function && !str_eq(type, STR("HTTP_PROXY")))
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"Invalid integration type %.*s: HTTP APIs have AWS_PROXY and HTTP_PROXY",
			STR_ARG(type));
	if (!uri.n)
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"IntegrationUri is required for %.*s integrations", STR_ARG(type));
	if (role.n && (!str_starts(role, STR("arn:aws:iam::")) ||
			      str_find_str(role, STR(":role/")) < 0 || !function))
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"Invalid credentialsArn %.*s: the ARN of a role is expected, for AWS_PROXY",
			STR_ARG(role));
	if (!version.n)
		value_put_str(integration, "PayloadFormatVersion", STR("1.0"));
	else if (!str_eq(version, STR("1.0")) && !(function && str_eq(version, STR("2.0"))))
		return APIGATEWAY_FAULT(c, BAD_REQUEST, "Invalid payloadFormatVersion %.*s: %s",
			STR_ARG(version),
			function ? "1.0 or 2.0 is expected" : "HTTP_PROXY has only 1.0");
	if (!value_has(integration, "ConnectionType"))
		value_put_str(integration, "ConnectionType", STR("INTERNET"));
	if (!value_has(integration, "TimeoutInMillis"))
		value_put_int(integration, "TimeoutInMillis", APIGATEWAY_MAX_TIMEOUT_MS);
	if (!function)
		return check_url(c, uri, value_str(integration, "IntegrationMethod"));
	if (!value_has(integration, "IntegrationMethod"))
		value_put_str(integration, "IntegrationMethod", STR("POST"));
	return check_function(c, uri);
}

static int too_many(struct change *ch, enum store_kind kind, uint32_t max, const char *what)
{
	struct value *response;

	TRY(store_change_list(ch, kind, &response));
	if (value_count(value_get(response, "Items")) >= max)
		return APIGATEWAY_FAULT(ch->c, TOO_MANY_REQUESTS,
			"Maximum number of %s for this API has been reached: %u", what,
			(unsigned)max);
	return 0;
}

static int create_integration(struct change *ch)
{
	struct call *c = ch->c;
	struct value *integration = value_new(c->arena, c->service->model, "Integration");
	str id = store_new_id(c->arena, 7);

	TRY(too_many(ch, STORE_INTEGRATION, APIGATEWAY_MAX_INTEGRATIONS, "integrations"));
	value_copy_members(integration, c->in);
	value_put_str(integration, "IntegrationId", id);
	TRY(control_check_integration(c, integration));
	store_change_put(ch, STORE_INTEGRATION, id, integration);
	value_copy_members(c->out, integration);
	return 0;
}

int apigateway_CreateIntegration(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), create_integration, NULL);
}

int apigateway_GetIntegration(struct call *c)
{
	struct value *integration;

	TRY(store_get(c, value_str(c->in, "ApiId"), STORE_INTEGRATION,
		value_str(c->in, "IntegrationId"), &integration));
	value_copy_members(c->out, integration);
	return 0;
}

int apigateway_GetIntegrations(struct call *c)
{
	return store_page(c, value_str(c->in, "ApiId"), STORE_INTEGRATION, NULL);
}

static int update_integration(struct change *ch)
{
	struct call *c = ch->c;
	str id = value_str(c->in, "IntegrationId");
	struct value *integration;

	if (!TRY(store_change_get(ch, STORE_INTEGRATION, id, &integration)))
		return store_not_found(c, STORE_INTEGRATION, id);
	value_copy_members(integration, c->in);
	TRY(control_check_integration(c, integration));
	store_change_put(ch, STORE_INTEGRATION, id, integration);
	ch->routes_changed = true;
	value_copy_members(c->out, integration);
	return 0;
}

int apigateway_UpdateIntegration(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), update_integration, NULL);
}

static str target_id(const struct value *route)
{
	str target = value_str(route, "Target");

	return str_starts(target, STR("integrations/")) ? str_from(target, 13) : STR_NULL;
}

static int delete_integration(struct change *ch)
{
	struct call *c = ch->c;
	str id = value_str(c->in, "IntegrationId");
	struct value *integration, *routes;

	if (!TRY(store_change_get(ch, STORE_INTEGRATION, id, &integration)))
		return store_not_found(c, STORE_INTEGRATION, id);
	TRY(store_change_list(ch, STORE_ROUTE, &routes));
	const struct value *items = value_get(routes, "Items");
	for (uint32_t i = 0; i < value_count(items); i++)
		if (str_eq(target_id(value_at(items, i)), id))
			return APIGATEWAY_FAULT(c, CONFLICT,
				"Cannot delete Integration '%.*s' that is associated with Route "
				"'%.*s'.",
				STR_ARG(id), STR_ARG(value_str(value_at(items, i), "RouteId")));
	store_change_delete(ch, STORE_INTEGRATION, id);
	return 0;
}

int apigateway_DeleteIntegration(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), delete_integration, NULL);
}

/* ---- routes ---- */

static const struct refused_member route_refused[] = {
	{"ApiKeyRequired", "false", "only for WebSocket APIs"},
	{"AuthorizationScopes", NULL, "JWT authorizers are not there yet"},
	{"AuthorizationType", "NONE", "authorizers (JWT, CUSTOM, AWS_IAM) are not there yet"},
	{"AuthorizerId", NULL, "authorizers are not there yet"},
	{"ModelSelectionExpression", NULL, "only for WebSocket APIs"},
	{"RequestModels", NULL, "only for WebSocket APIs"},
	{"RequestParameters", NULL, "only for WebSocket APIs"},
	{"RouteResponseSelectionExpression", NULL, "only for WebSocket APIs"},
};

static int check_key(struct call *c, str text, struct route_key *ret_key)
{
	switch (route_key_parse(text, ret_key)) {
	case 0: return 0;
	case ERR_INVALID:
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"The route key %.*s is not valid: path parameters are whole segments with "
			"names of their own, and a greedy one ({proxy+}) is the last",
			STR_ARG(text));
	case ERR_TOO_LARGE:
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"The route key is longer than %d characters or has more than %d segments",
			ROUTE_KEY_MAX, ROUTE_SEGMENTS_MAX);
	default:
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"The provided route key is not formatted properly for HTTP protocol. "
			"Format should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"");
	}
}

int control_check_route(struct change *ch, struct value *route)
{
	struct call *c = ch->c;
	str text = value_str(route, "RouteKey"), id = value_str(route, "RouteId");
	struct route_key key, other;
	struct value *routes, *integration;

	TRY(control_refuse(c, route, route_refused, ARRAY_SIZE(route_refused)));
	TRY(check_key(c, text, &key));
	str form = route_key_form(c->arena, &key);
	TRY(store_change_list(ch, STORE_ROUTE, &routes));
	const struct value *items = value_get(routes, "Items");
	for (uint32_t i = 0; i < value_count(items); i++) {
		const struct value *r = value_at(items, i);
		str taken = value_str(r, "RouteKey");

		if (str_eq(value_str(r, "RouteId"), id) || route_key_parse(taken, &other) < 0)
			continue;
		if (str_eq(route_key_form(c->arena, &other), form))
			return APIGATEWAY_FAULT(c, CONFLICT,
				"Route with key %.*s already exists for this API", STR_ARG(taken));
	}
	if (value_has(route, "Target") && value_str(route, "Target").n) {
		str target = target_id(route);

		if (!target.n)
			return APIGATEWAY_FAULT(c, BAD_REQUEST,
				"Invalid target %.*s: integrations/{integrationId} is expected",
				STR_ARG(value_str(route, "Target")));
		if (!TRY(store_change_get(ch, STORE_INTEGRATION, target, &integration)))
			return store_not_found(c, STORE_INTEGRATION, target);
	}
	if (!value_has(route, "ApiKeyRequired"))
		value_put_bool(route, "ApiKeyRequired", false);
	if (!value_has(route, "AuthorizationType"))
		value_put_str(route, "AuthorizationType", STR("NONE"));
	return 0;
}

static int create_route(struct change *ch)
{
	struct call *c = ch->c;
	struct value *route = value_new(c->arena, c->service->model, "Route");
	str id = store_new_id(c->arena, 7);

	TRY(too_many(ch, STORE_ROUTE, APIGATEWAY_MAX_ROUTES, "routes"));
	value_copy_members(route, c->in);
	value_put_str(route, "RouteId", id);
	TRY(control_check_route(ch, route));
	store_change_put(ch, STORE_ROUTE, id, route);
	ch->routes_changed = true;
	value_copy_members(c->out, route);
	return 0;
}

int apigateway_CreateRoute(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), create_route, NULL);
}

int apigateway_GetRoute(struct call *c)
{
	struct value *route;

	TRY(store_get(
		c, value_str(c->in, "ApiId"), STORE_ROUTE, value_str(c->in, "RouteId"), &route));
	value_copy_members(c->out, route);
	return 0;
}

int apigateway_GetRoutes(struct call *c)
{
	return store_page(c, value_str(c->in, "ApiId"), STORE_ROUTE, NULL);
}

static int update_route(struct change *ch)
{
	struct call *c = ch->c;
	str id = value_str(c->in, "RouteId");
	struct value *route;

	if (!TRY(store_change_get(ch, STORE_ROUTE, id, &route)))
		return store_not_found(c, STORE_ROUTE, id);
	value_copy_members(route, c->in);
	TRY(control_check_route(ch, route));
	store_change_put(ch, STORE_ROUTE, id, route);
	ch->routes_changed = true;
	value_copy_members(c->out, route);
	return 0;
}

int apigateway_UpdateRoute(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), update_route, NULL);
}

static int delete_route(struct change *ch)
{
	str id = value_str(ch->c->in, "RouteId");
	struct value *route;

	if (!TRY(store_change_get(ch, STORE_ROUTE, id, &route)))
		return store_not_found(ch->c, STORE_ROUTE, id);
	store_change_delete(ch, STORE_ROUTE, id);
	ch->routes_changed = true;
	return 0;
}

int apigateway_DeleteRoute(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), delete_route, NULL);
}
