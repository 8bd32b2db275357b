/*
 * AWS_PROXY integrations: may the API call the function, the event, the call, the answer.
 *
 * An API calls a function by the function's resource policy (principal apigateway.amazonaws.com,
 * source arn:aws:execute-api:{region}:{account}:{api}/{stage}/{METHOD}/{route path}), or as the
 * role in CredentialsArn. In open mode a function that has no policy at all may be called by the
 * APIs of its own account, and a role that IAM does not know does not restrict.
 *
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
 */
#include "aws/policy.h"
#include "aws/ports/identity.h"
#include "aws/ports/invoke.h"
#include "base/log.h"
#include "base/rc.h"
#include "base/uri.h"
#include "services/apigateway/execute.h"

enum {
	EVENT_BYTES_MAX = 32 * 1024 * 1024,
	ALLOWED_NO_POLICY = 2, /* the port's answer for a function without any resource policy */
};

static str account_of(str arn)
{
	str part = STR_NULL, rest = arn;

	for (unsigned i = 0; i < 5; i++)
		if (!str_split(&rest, ':', &part))
			return STR_NULL;
	return part;
}

static str source_arn(const struct execution *e)
{
	const struct compiled_api *api = e->api;

	/* "$default" has neither method nor path. */
	if (!e->route.path.n)
		return ARENA_CONCAT(&e->x->arena, STR("arn:aws:execute-api:"), api->region,
			STR(":"), api->account, STR(":"), api->id, STR("/"), e->stage->name,
			STR("/$default"));
	return ARENA_CONCAT(&e->x->arena, STR("arn:aws:execute-api:"), api->region, STR(":"),
		api->account, STR(":"), api->id, STR("/"), e->stage->name, STR("/"),
		e->x->method_text, e->route.path);
}

static int role_allows(struct execution *e)
{
	const struct port_identity *identity = e->gateway->options.ports->identity;
	struct arena *a = &e->x->arena;
	struct principal role;

	if (!identity)
		return e->gateway->options.open;
	int found = TRY(identity->by_role(
		identity->self, a, e->integration->role, STR("BackplaneAssumeRoleSession"), &role));
	if (!found)
		return e->gateway->options.open;
	if (role.unrestricted)
		return 1;
	struct policy_context *context = arena_new(a, struct policy_context);
	context->arena = a;
	policy_context_add(context, STR("aws:PrincipalArn"), e->integration->role);
	policy_context_add(context, STR("aws:PrincipalAccount"), role.account);
	policy_context_add(context, STR("aws:SourceArn"), source_arn(e));
	policy_context_add(context, STR("aws:SourceAccount"), e->api->account);
	struct policy_request request = {.action = STR("lambda:InvokeFunction"),
		.resource = e->integration->function,
		.principal = &role,
		.context = context};
	return policy_authorize(&request, NULL).allowed;
}

/* 1 yes, 0 no. */
static int may_call(struct execution *e)
{
	const struct port_invoke *invoke = e->gateway->options.ports->invoke;

	if (e->integration->role.n)
		return role_allows(e);
	int rc = invoke->allowed(invoke->self, &e->x->arena, e->integration->function,
		STR("apigateway.amazonaws.com"), source_arn(e), e->api->account);
	if (rc != ALLOWED_NO_POLICY)
		return rc;
	return e->gateway->options.open &&
	       str_eq(account_of(e->integration->function), e->api->account);
}

static str header_of(const struct execution *e, str name)
{
	for (size_t i = 0; i < e->header_count; i++)
		if (str_eq_nocase(e->headers[i].name, name))
			return e->headers[i].value;
	return STR_NULL;
}

static str event_path(struct execution *e)
{
	str path = e->path;

	if (!str_eq(e->stage->name, STR("$default")))
		path = ARENA_CONCAT(&e->x->arena, STR("/"), e->stage->name,
			str_eq(path, STR("/")) ? STR("/") : path);
	if (uri_decode(&e->x->arena, path, URI_PLAIN, &path) < 0)
		return e->path; /* cannot be: the route was found */
	return path;
}

static str render(struct execution *e)
{
	struct http_exchange *x = e->x;
	struct event_variable *parameters =
		arena_new_array(&x->arena, struct event_variable, e->route.parameter_count + 1);
	str host = e->match->host;
	ptrdiff_t colon = str_find_last(host, ':');
	struct buf out;

	for (size_t i = 0; i < e->route.parameter_count; i++)
		parameters[i] = (struct event_variable){
			e->route.parameters[i].name, e->route.parameters[i].value};
	/* Without the port; the id stands before the first dot. */
	if (colon > 0 && str_find(str_from(host, (size_t)colon), ']') < 0)
		host = str_sub(host, 0, (size_t)colon);
	ptrdiff_t dot = str_find(host, '.');
	struct event_request request = {.account = e->api->account,
		.api_id = e->api->id,
		.stage = e->stage->name,
		.route_key = e->route.route->key,
		.route_path = e->route.path,
		.method = x->method_text,
		.path = event_path(e),
		.query = x->query,
		.protocol = x->http_1_0 ? STR("HTTP/1.0") : STR("HTTP/1.1"),
		.domain_name = host,
		.domain_prefix = dot < 0 ? host : str_sub(host, 0, (size_t)dot),
		.source_ip = e->source_ip,
		.user_agent = http_header_get(x, HTTP_NAME_USER_AGENT),
		.request_id = e->request_id,
		.time_ms = e->wall_ms,
		.headers = e->headers,
		.header_count = e->header_count,
		.body = e->body,
		.parameters = parameters,
		.parameter_count = e->route.parameter_count,
		.variables = e->stage->variables,
		.variable_count = e->stage->variable_count};
	buf_init(&out, &x->arena, EVENT_BYTES_MAX);
	if (e->integration->format == 2)
		event_render_2(&out, &x->arena, &request);
	else
		event_render_1(&out, &x->arena, &request);
	return out.over ? STR_NULL : buf_str(&out);
}

static void refuse_call(struct execution *e, int rc, const struct invoke_result *result)
{
	if (rc == ERR_TIMEOUT || rc == ERR_BUSY || rc == ERR_CANCELLED ||
		(rc == ERR_FAULT && result->fault.kind && result->fault.kind->status == 429)) {
		execute_refuse(e, ANSWER_UNAVAILABLE);
		return;
	}
	if (execute_may_log(e))
		log_warn("apigateway", "function could not be called",
			"api=%.*s function=%.*s rc=%s message=%.*s", STR_ARG(e->api->id),
			STR_ARG(e->integration->function), rc_name(rc),
			STR_ARG(rc == ERR_FAULT ? result->fault.message : STR("")));
	execute_refuse(e, ANSWER_INTERNAL_ERROR);
}

void execute_function(struct execution *e)
{
	const struct port_invoke *invoke = e->gateway->options.ports->invoke;
	struct invoke_result result = {0};
	struct event_answer answer;

	if (!invoke) {
		execute_refuse(e, ANSWER_UNAVAILABLE);
		return;
	}
	int allowed = may_call(e);
	if (allowed <= 0) {
		if (execute_may_log(e))
			log_warn("apigateway", "the API may not call the function",
				"api=%.*s function=%.*s source=%.*s rc=%s", STR_ARG(e->api->id),
				STR_ARG(e->integration->function), STR_ARG(source_arn(e)),
				allowed < 0 ? rc_name(allowed) : "denied");
		execute_refuse(e, ANSWER_INTERNAL_ERROR);
		return;
	}
	str event = render(e);
	if (!event.p) {
		execute_refuse(e, ANSWER_PAYLOAD_TOO_LARGE);
		return;
	}
	struct invoke_request request = {.account = account_of(e->integration->function),
		.region = e->api->region,
		.function = e->integration->function,
		.type = INVOKE_WAIT,
		.payload = event,
		.trace = header_of(e, STR("x-amzn-trace-id")),
		.deadline_ns = rt_after_ms(e->integration->timeout_ms)};
	int rc = invoke->invoke(invoke->self, &e->x->arena, &request, &result);
	if (rc < 0) {
		refuse_call(e, rc, &result);
		return;
	}
	if (result.function_error.n || event_answer_parse(&e->x->arena, result.payload,
					       e->integration->format, &answer) < 0) {
		execute_refuse(e, ANSWER_INTERNAL_ERROR);
		return;
	}
	execute_answer(e, answer.status, answer.headers, answer.header_count, answer.body);
}
