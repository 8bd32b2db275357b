/*
 * Stages, deployments and tags.
 * https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages.html
 * https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-deployments.html
 */
#include "base/rc.h"
#include "base/uri.h"
#include "services/apigateway/control.h"

/* ---- stages ---- */

static const struct refused_member stage_refused[] = {
	{"AccessLogSettings", NULL, "access logs are not there yet"},
	{"ClientCertificateId", NULL, "only for WebSocket APIs"},
};
static const struct refused_member settings_refused[] = {
	{"DataTraceEnabled", "false", "only for WebSocket APIs"},
	{"LoggingLevel", "OFF", "only for WebSocket APIs"},
	{"ThrottlingBurstLimit", "0", "throttling is not there yet"},
	{"ThrottlingRateLimit", "0", "throttling is not there yet"},
};

static bool is_stage_name(str name)
{
	if (str_eq(name, STR("$default")))
		return true;
	for (size_t i = 0; i < name.n; i++) {
		char ch = name.p[i];

		if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
			    (ch >= 'A' && ch <= 'Z') || ch == '-' || ch == '_'))
			return false;
	}
	return name.n > 0 && name.n <= 128;
}

/* Names: letters, digits, '_'; values: what the documentation allows, ours to pass on. */
static int check_variables(struct call *c, const struct value *variables)
{
	if (value_count(variables) > APIGATEWAY_MAX_STAGE_VARIABLES)
		return APIGATEWAY_FAULT(c, BAD_REQUEST, "At most %d stage variables are allowed",
			APIGATEWAY_MAX_STAGE_VARIABLES);
	for (uint32_t i = 0; i < value_count(variables); i++) {
		str name = value_key(variables, i), value = value_text(value_of(variables, i));
		bool good = name.n > 0 && name.n <= APIGATEWAY_MAX_STAGE_VARIABLE_NAME;

		for (size_t k = 0; k < name.n; k++)
			good &= (name.p[k] >= '0' && name.p[k] <= '9') ||
				(name.p[k] >= 'a' && name.p[k] <= 'z') ||
				(name.p[k] >= 'A' && name.p[k] <= 'Z') || name.p[k] == '_';
		if (!good)
			return APIGATEWAY_FAULT(c, BAD_REQUEST,
				"Stage variable names must be alphanumeric characters and "
				"underscores, at most %d: %.*s",
				APIGATEWAY_MAX_STAGE_VARIABLE_NAME, STR_ARG(str_sub(name, 0, 100)));
		if (value.n > APIGATEWAY_MAX_STAGE_VARIABLE_VALUE)
			return APIGATEWAY_FAULT(c, BAD_REQUEST,
				"The value of stage variable %.*s is longer than %d characters",
				STR_ARG(name), APIGATEWAY_MAX_STAGE_VARIABLE_VALUE);
	}
	return 0;
}

static int check_settings(struct change *ch)
{
	struct call *c = ch->c;
	const struct value *all = value_get(c->in, "RouteSettings");
	const struct value *one = value_get(c->in, "DefaultRouteSettings");
	struct value *routes;

	if (one)
		TRY(control_refuse(c, one, settings_refused, ARRAY_SIZE(settings_refused)));
	if (!value_count(all))
		return 0;
	TRY(store_change_list(ch, STORE_ROUTE, &routes));
	const struct value *items = value_get(routes, "Items");
	for (uint32_t i = 0; i < value_count(all); i++) {
		uint32_t k = 0;

		TRY(control_refuse(
			c, value_of(all, i), settings_refused, ARRAY_SIZE(settings_refused)));
		while (k < value_count(items) &&
			!str_eq(value_str(value_at(items, k), "RouteKey"), value_key(all, i)))
			k++;
		if (k == value_count(items))
			return APIGATEWAY_FAULT(c, NOT_FOUND,
				"Unable to find Route by key %.*s within the provided "
				"RouteSettings",
				STR_ARG(value_key(all, i)));
	}
	return 0;
}

/* What create and update have in common, on the merged stage. */
static int check_stage(struct change *ch, struct value *stage)
{
	struct call *c = ch->c;
	str deployment = value_str(c->in, "DeploymentId");
	struct value *d;

	TRY(control_refuse(c, c->in, stage_refused, ARRAY_SIZE(stage_refused)));
	TRY(check_variables(c, value_get(c->in, "StageVariables")));
	TRY(check_settings(ch));
	if (deployment.n) {
		if (value_bool(stage, "AutoDeploy", false))
			return APIGATEWAY_FAULT(c, BAD_REQUEST,
				"Deployment ID cannot be set on stage '%.*s' because AutoDeploy "
				"is enabled.",
				STR_ARG(value_str(stage, "StageName")));
		if (!TRY(store_change_get(ch, STORE_DEPLOYMENT, deployment, &d)))
			return store_not_found(c, STORE_DEPLOYMENT, deployment);
	}
	value_put_time_ms(stage, "LastUpdatedDate", c->wall_ms);
	return 0;
}

/* Stores it; a stage with AutoDeploy gets what the API is now. */
static int put_stage(struct change *ch, struct value *stage, bool deploy)
{
	str name = value_str(stage, "StageName");
	struct value *stored;

	store_change_put(ch, STORE_STAGE, name, stage);
	if (deploy) {
		TRY(store_change_auto_deploy(ch));
		if (TRY(store_change_get(ch, STORE_STAGE, name, &stored)))
			stage = stored;
	}
	value_copy_members(ch->c->out, stage);
	return 0;
}

static int create_stage(struct change *ch)
{
	struct call *c = ch->c;
	str name = value_str(c->in, "StageName");
	struct value *stage = value_new(c->arena, c->service->model, "Stage"), *stages, *other;

	if (TRY(store_change_get(ch, STORE_STAGE, name, &other)))
		return APIGATEWAY_FAULT(c, CONFLICT, "Stage already exists");
	TRY(store_change_list(ch, STORE_STAGE, &stages));
	if (value_count(value_get(stages, "Items")) >= APIGATEWAY_MAX_STAGES)
		return APIGATEWAY_FAULT(c, TOO_MANY_REQUESTS,
			"Maximum number of stages for this API has been reached: %d",
			APIGATEWAY_MAX_STAGES);
	value_copy_members(stage, c->in);
	value_put_bool(stage, "AutoDeploy", value_bool(c->in, "AutoDeploy", false));
	value_put_time_ms(stage, "CreatedDate", c->wall_ms);
	struct value *settings = value_put_struct(stage, "DefaultRouteSettings");
	if (!value_has(settings, "DetailedMetricsEnabled"))
		value_put_bool(settings, "DetailedMetricsEnabled", false);
	value_put_map(stage, "RouteSettings");
	value_put_map(stage, "StageVariables");
	value_put_map(stage, "Tags");
	TRY(check_stage(ch, stage));
	return put_stage(ch, stage, value_bool(stage, "AutoDeploy", false));
}

int apigateway_CreateStage(struct call *c)
{
	if (!is_stage_name(value_str(c->in, "StageName")))
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"Invalid stage name: letters, digits, hyphens and underscores, at most "
			"128, or $default");
	TRY(control_check_tags(c, value_get(c->in, "Tags")));
	return store_change(c, value_str(c->in, "ApiId"), create_stage, NULL);
}

int apigateway_GetStage(struct call *c)
{
	struct value *stage;

	TRY(store_get(
		c, value_str(c->in, "ApiId"), STORE_STAGE, value_str(c->in, "StageName"), &stage));
	value_copy_members(c->out, stage);
	return 0;
}

int apigateway_GetStages(struct call *c)
{
	return store_page(c, value_str(c->in, "ApiId"), STORE_STAGE, NULL);
}

static int update_stage(struct change *ch)
{
	struct call *c = ch->c;
	str name = value_str(c->in, "StageName");
	struct value *stage;

	if (!TRY(store_change_get(ch, STORE_STAGE, name, &stage)))
		return store_not_found(c, STORE_STAGE, name);
	bool automatic = value_bool(stage, "AutoDeploy", false);
	value_copy_members(stage, c->in);
	TRY(check_stage(ch, stage));
	return put_stage(ch, stage, !automatic && value_bool(stage, "AutoDeploy", false));
}

int apigateway_UpdateStage(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), update_stage, NULL);
}

static int delete_stage(struct change *ch)
{
	str name = value_str(ch->c->in, "StageName");
	struct value *stage;

	if (!TRY(store_change_get(ch, STORE_STAGE, name, &stage)))
		return store_not_found(ch->c, STORE_STAGE, name);
	store_change_delete(ch, STORE_STAGE, name);
	return 0;
}

int apigateway_DeleteStage(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), delete_stage, NULL);
}

/* ---- deployments ---- */

static int create_deployment(struct change *ch)
{
	struct call *c = ch->c;
	str name = value_str(c->in, "StageName");
	struct value *stage = NULL, *d, *all;

	if (name.n && !TRY(store_change_get(ch, STORE_STAGE, name, &stage)))
		return store_not_found(c, STORE_STAGE, name);
	if (stage && value_bool(stage, "AutoDeploy", false))
		return APIGATEWAY_FAULT(c, BAD_REQUEST,
			"Deployment ID cannot be set on stage '%.*s' because AutoDeploy is "
			"enabled.",
			STR_ARG(name));
	TRY(store_change_list(ch, STORE_DEPLOYMENT, &all));
	uint32_t by_request = 0;
	const struct value *items = value_get(all, "Items");
	for (uint32_t i = 0; i < value_count(items); i++)
		by_request += !value_bool(value_at(items, i), "AutoDeployed", false);
	if (by_request >= APIGATEWAY_MAX_DEPLOYMENTS)
		return APIGATEWAY_FAULT(c, TOO_MANY_REQUESTS,
			"Maximum number of deployments for this API has been reached: %d",
			APIGATEWAY_MAX_DEPLOYMENTS);
	TRY(store_change_deploy(ch, value_str(c->in, "Description"), false, &d));
	if (stage) {
		value_put_str(stage, "DeploymentId", value_str(d, "DeploymentId"));
		value_put_time_ms(stage, "LastUpdatedDate", c->wall_ms);
		store_change_put(ch, STORE_STAGE, name, stage);
	}
	value_copy_members(c->out, d);
	return 0;
}

int apigateway_CreateDeployment(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), create_deployment, NULL);
}

int apigateway_GetDeployment(struct call *c)
{
	struct value *d;

	TRY(store_get(c, value_str(c->in, "ApiId"), STORE_DEPLOYMENT,
		value_str(c->in, "DeploymentId"), &d));
	value_copy_members(c->out, d);
	return 0;
}

int apigateway_GetDeployments(struct call *c)
{
	return store_page(c, value_str(c->in, "ApiId"), STORE_DEPLOYMENT, NULL);
}

static int update_deployment(struct change *ch)
{
	struct call *c = ch->c;
	str id = value_str(c->in, "DeploymentId");
	struct value *d;

	if (!TRY(store_change_get(ch, STORE_DEPLOYMENT, id, &d)))
		return store_not_found(c, STORE_DEPLOYMENT, id);
	value_copy_members(d, c->in);
	store_change_put(ch, STORE_DEPLOYMENT, id, d);
	value_copy_members(c->out, d);
	return 0;
}

int apigateway_UpdateDeployment(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), update_deployment, NULL);
}

static int delete_deployment(struct change *ch)
{
	struct call *c = ch->c;
	str id = value_str(c->in, "DeploymentId");
	struct value *d, *stages;

	if (!TRY(store_change_get(ch, STORE_DEPLOYMENT, id, &d)))
		return store_not_found(c, STORE_DEPLOYMENT, id);
	TRY(store_change_list(ch, STORE_STAGE, &stages));
	const struct value *items = value_get(stages, "Items");
	for (uint32_t i = 0; i < value_count(items); i++)
		if (str_eq(value_str(value_at(items, i), "DeploymentId"), id))
			return APIGATEWAY_FAULT(c, BAD_REQUEST,
				"Active stages pointing to this deployment must be moved or "
				"deleted");
	store_change_delete(ch, STORE_DEPLOYMENT, id);
	store_change_delete(ch, STORE_SNAPSHOT, id);
	return 0;
}

int apigateway_DeleteDeployment(struct call *c)
{
	return store_change(c, value_str(c->in, "ApiId"), delete_deployment, NULL);
}

/* ---- tags: arn:aws:apigateway:{region}::/apis/{id}[/stages/{name}] ---- */

struct tagged {
	str api_id, stage; /* stage empty: the API itself */
};

static int tagged_of(struct call *c, struct tagged *ret_tagged)
{
	str arn = value_str(c->in, "ResourceArn"), part;
	ptrdiff_t at = str_find_str(arn, STR("::/apis/"));

	if (str_starts(arn, STR("arn:aws:apigateway:")) && at > 0) {
		str rest = str_from(arn, (size_t)at + 8);

		*ret_tagged = (struct tagged){0};
		if (str_split(&rest, '/', &ret_tagged->api_id) && ret_tagged->api_id.n) {
			if (!str_split(&rest, '/', &part))
				return 0;
			if (str_eq(part, STR("stages")) &&
				str_split(&rest, '/', &ret_tagged->stage) && !rest.n)
				return 0;
		}
	}
	return APIGATEWAY_FAULT(
		c, BAD_REQUEST, "Invalid resource ARN for tags: %.*s", STR_ARG(arn));
}

int apigateway_GetTags(struct call *c)
{
	struct tagged of;
	struct value *v;

	TRY(tagged_of(c, &of));
	if (of.stage.n)
		TRY(store_get(c, of.api_id, STORE_STAGE, of.stage, &v));
	else
		TRY(store_api(c, of.api_id, &v));
	value_put_map(c->out, "Tags");
	value_put_copy(c->out, "Tags", value_get(v, "Tags"));
	return 0;
}

static bool is_removed(const struct value *keys, str key)
{
	for (uint32_t i = 0; i < value_count(keys); i++)
		if (str_eq(value_text(value_at(keys, i)), key))
			return true;
	return false;
}

/* Adds `add`, drops the keys of `drop`. */
static int change_tags(
	struct change *ch, const struct value *add, const struct value *drop, str stage)
{
	struct call *c = ch->c;
	struct value *of = ch->api;

	if (stage.n && !TRY(store_change_get(ch, STORE_STAGE, stage, &of)))
		return store_not_found(c, STORE_STAGE, stage);
	/* A map of its own, because maps have no removal. */
	struct value *holder = value_new(c->arena, c->service->model, "TagResourceRequest");
	struct value *tags = value_put_map(holder, "Tags");
	const struct value *old = value_get(of, "Tags");
	for (uint32_t i = 0; i < value_count(old); i++)
		if (!is_removed(drop, value_key(old, i)))
			value_map_put_str(tags, value_key(old, i), value_text(value_of(old, i)));
	for (uint32_t i = 0; i < value_count(add); i++)
		value_map_put_str(tags, value_key(add, i), value_text(value_of(add, i)));
	TRY(control_check_tags(c, tags));
	value_put_copy(of, "Tags", tags);
	if (stage.n)
		store_change_put(ch, STORE_STAGE, stage, of);
	return 0;
}

static int tag_resource(struct change *ch)
{
	struct tagged *of = ch->arg;

	return change_tags(ch, value_get(ch->c->in, "Tags"), NULL, of->stage);
}

static int untag_resource(struct change *ch)
{
	struct tagged *of = ch->arg;

	return change_tags(ch, NULL, value_get(ch->c->in, "TagKeys"), of->stage);
}

int apigateway_TagResource(struct call *c)
{
	struct tagged of;

	TRY(tagged_of(c, &of));
	return store_change(c, of.api_id, tag_resource, &of);
}

int apigateway_UntagResource(struct call *c)
{
	struct tagged of;

	TRY(tagged_of(c, &of));
	return store_change(c, of.api_id, untag_resource, &of);
}
