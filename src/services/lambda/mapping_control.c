/*
 * Operations on event source mappings: see mapping_control.h.
 */
#include "services/lambda/mapping_control.h"
#include "services/lambda/destination.h"

#include "base/check.h"
#include "rt/rt.h"
#include "services/lambda/mapping_engine.h"
#include "services/lambda/role.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"
#include "services/lambda/tenant.h"

enum { DELIVER_MS = 30000 };

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

static int refuse(struct call *c, const char *text)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER, "%s", text);
}

static int fault_missing(struct call *c)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
		"The resource you requested does not exist.");
}

int mapping_control_resource(struct call *c, str *ret_arn)
{
	*ret_arn = mapping_arn(c->arena, c->account, c->region, value_str(c->in, "UUID"));
	return 0;
}

/* ---- answers ---- */

static int render(struct call *c, const struct mapping *m, struct value *out)
{
	const struct value *lists = m->config;
	str result;

	TRY(mapping_result(self(c)->kv, c->arena, m, &result));
	value_copy_members(out, m->config);
	value_put_str(out, "UUID", m->uuid);
	value_put_str(out, "EventSourceMappingArn",
		mapping_arn(c->arena, m->account, m->region, m->uuid));
	value_put_str(out, "State", mapping_state_text(m->state));
	value_put_str(out, "StateTransitionReason", STR("User action"));
	value_put_str(out, "LastProcessingResult", result.p ? result : STR("No records processed"));
	value_put_time_ms(out, "LastModified", m->modified_ms);
	value_put_struct(value_put_struct(out, "DestinationConfig"), "OnFailure");
	if (!value_has(lists, "FunctionResponseTypes"))
		value_put_list(out, "FunctionResponseTypes");
	return 0;
}

/* ---- the function and the source ---- */

/* Its ARN, as the request names it: with a qualifier or without. */
static int find_function(struct call *c, struct function *ret_function, str *ret_arn)
{
	struct lambda_service *s = self(c);
	struct function_name name;
	str version;
	int found;

	TRY(request_name(c, false, &name));
	found = TRY(store_resolve(s, c->arena, request_owner(c, &name), c->region, name.name,
		name.qualifier, false, &version));
	if (found)
		found = TRY(lambda_store_load(s, c->arena, request_owner(c, &name), c->region,
			name.name, version, ret_function, NULL));
	if (!found)
		return refuse(c, "Function does not exist");
	*ret_arn = function_arn(
		c->arena, request_owner(c, &name), c->region, name.name, name.qualifier);
	return 0;
}

/* May the role read the stream? ListStreams is of no resource, but may be granted on one. */
static bool may_read(struct arena *a, const struct principal *role, str source_arn)
{
	return role_may(a, role, STR("dynamodb:GetRecords"), source_arn) &&
	       role_may(a, role, STR("dynamodb:GetShardIterator"), source_arn) &&
	       role_may(a, role, STR("dynamodb:DescribeStream"), source_arn) &&
	       (role_may(a, role, STR("dynamodb:ListStreams"), STR("*")) ||
		       role_may(a, role, STR("dynamodb:ListStreams"), source_arn));
}

static int check_access(struct call *c, const struct function *f, str source_arn)
{
	struct principal role;
	int rc = role_find(self(c), c->arena, f->role, f->name, &role);

	if (rc == 0 || (rc > 0 && may_read(c->arena, &role, source_arn)))
		return 0;
	if (rc < 0 && rc != ERR_DENIED)
		return rc;
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
		"Cannot access stream %.*s. Please ensure the role can perform the GetRecords, "
		"GetShardIterator, DescribeStream, and ListStreams Actions on your stream in IAM.",
		STR_ARG(source_arn));
}

static int check_stream(struct call *c, str source_arn)
{
	const struct port_records *port = port_records_of(c->ports, source_arn);
	struct records_shard *shards;
	int rc = port->shards(port->self, c->arena, source_arn, &shards);

	if (rc == ERR_NOT_FOUND)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Stream not found: %.*s", STR_ARG(source_arn));
	return rc;
}

static int fault_exists(struct call *c, str source_arn, str function_arn, str uuid)
{
	struct function_name name;

	check(function_name_parse(function_arn, &name) == 0);
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
		"The event source arn (\" %.*s \") and function (\" %.*s \") provided mapping "
		"already exists. Please update or delete the existing mapping with UUID %.*s",
		STR_ARG(source_arn), STR_ARG(name.name), STR_ARG(uuid));
}

/* A tumbling window has one state for its shard, which lanes cannot share. */
static int check_lanes(struct call *c, const struct value *config)
{
	if (value_int(config, "TumblingWindowInSeconds", 0) > 0 &&
		value_int(config, "ParallelizationFactor", 1) > 1)
		return refuse(c, "TumblingWindowInSeconds: windows with a ParallelizationFactor "
				 "above 1 are not implemented by this server.");
	return 0;
}

/* ---- CreateEventSourceMapping ---- */

static void put_defaults(struct call *c, struct value *config)
{
	static const struct {
		const char *member;
		int64_t value;
	} numbers[] = {{"BatchSize", 100}, {"MaximumBatchingWindowInSeconds", 0},
		{"ParallelizationFactor", 1}, {"MaximumRecordAgeInSeconds", -1},
		{"MaximumRetryAttempts", -1}, {"TumblingWindowInSeconds", 0}};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		value_put_int(config, numbers[i].member, numbers[i].value);
	value_put_bool(config, "BisectBatchOnFunctionError", false);
	value_put_str(config, "EventSourceArn", value_str(c->in, "EventSourceArn"));
	value_put_str(config, "StartingPosition", value_str(c->in, "StartingPosition"));
}

static void set_tags(struct mapping *m, const struct tag_set *tags)
{
	struct value *map = value_put_map(m->tags, "Tags");

	for (uint32_t i = 0; i < tags->count; i++)
		value_map_put_str(map, tags->pairs[i].name, tags->pairs[i].value);
}

int mapping_control_create(struct call *c)
{
	const struct model *model = c->service->model;
	str source = value_str(c->in, "EventSourceArn"), arn, other;
	struct tag_set tags = {NULL, 0};
	struct mapping m = {
		.account = c->account,
		.region = c->region,
		.revision = 1,
		.state = MAPPING_CREATING,
		.enabled = value_bool(c->in, "Enabled", true),
		.modified_ms = c->wall_ms,
		.config = value_new(c->arena, model, "EventSourceMappingConfiguration"),
		.tags = value_new(c->arena, model, "CreateEventSourceMappingRequest"),
	};
	struct function f;
	int rc;

	TRY(mapping_check(c, source));
	TRY(tags_lay_over(c, c->arena, value_get(c->in, "Tags"), &tags));
	TRY(find_function(c, &f, &arn));
	TRY(tenant_refuse(c, &f, "Event source mappings are"));
	TRY(check_access(c, &f, source));
	TRY(check_stream(c, source));
	m.uuid = lambda_uuid(c->arena);
	set_tags(&m, &tags);
	put_defaults(c, m.config);
	value_put_str(m.config, "FunctionArn", arn);
	mapping_lay_over(c, m.config);
	TRY(check_lanes(c, m.config));
	rc = mapping_create(self(c)->kv, c->arena, &m, c->deadline_ns, &other);
	if (rc == ERR_EXISTS)
		return fault_exists(c, source, arn, other);
	TRY(rc);
	mapping_engine_wake(self(c)->mappings);
	return render(c, &m, c->out);
}

/* ---- Get, List ---- */

int mapping_control_get(struct call *c)
{
	struct mapping m;

	if (TRY(mapping_load(self(c)->kv, c->arena, c->account, c->region, value_str(c->in, "UUID"),
		    &m)) == 0)
		return fault_missing(c);
	return render(c, &m, c->out);
}

struct listing {
	struct call *call;
	struct function_name function; /* name STR_NULL: any */
	str source;                    /* STR_NULL: any */
	struct mapping mappings[LAMBDA_MAPPINGS_PAGE_MAX];
	uint32_t count, max;
};

static bool is_listed(const struct listing *l, const struct mapping *m)
{
	struct function_name name;

	if (l->source.p && !str_eq(l->source, value_str(m->config, "EventSourceArn")))
		return false;
	if (!l->function.name.p)
		return true;
	check(function_name_parse(value_str(m->config, "FunctionArn"), &name) == 0);
	return str_eq(name.name, l->function.name) && name.qualifier.n == l->function.qualifier.n &&
	       str_eq(name.qualifier, l->function.qualifier);
}

/* 1: there is more than the page takes. */
static int list_one(void *arg, const struct mapping *m)
{
	struct listing *l = arg;

	if (!is_listed(l, m))
		return 0;
	if (l->count == l->max)
		return 1;
	l->mappings[l->count++] = *m;
	return 0;
}

int mapping_control_list(struct call *c)
{
	struct listing *l = arena_new(c->arena, struct listing);
	struct value *list = value_put_list(c->out, "EventSourceMappings");
	struct request_page page;
	int more;

	TRY(request_page(c, LAMBDA_MAPPINGS_PAGE_MAX, &page));
	l->max = page.max;
	l->source = value_str(c->in, "EventSourceArn");
	l->function.name = STR_NULL;
	if (value_has(c->in, "FunctionName"))
		TRY(request_name(c, false, &l->function));
	more = TRY(mapping_each(
		self(c)->kv, c->arena, c->account, c->region, page.after, list_one, l));
	for (uint32_t i = 0; i < l->count; i++)
		TRY(render(c, &l->mappings[i], value_add_struct(list)));
	if (more)
		request_page_more(c, l->mappings[l->count - 1].uuid);
	return 0;
}

/* ---- Update, Delete ---- */

struct updating {
	struct call *call;
	str function_arn; /* STR_NULL: the same */
};

static int fault_in_use(struct call *c, const char *verb)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_IN_USE,
		"Cannot %s the event source mapping because it is in use.", verb);
}

static int update(void *arg, struct arena *a unused_arg, struct mapping *m)
{
	const struct updating *x = arg;
	struct call *c = x->call;
	bool enabled = value_bool(c->in, "Enabled", m->enabled);

	if (mapping_is_changing(m))
		return fault_in_use(c, "update");
	mapping_lay_over(c, m->config);
	TRY(check_lanes(c, m->config));
	if (x->function_arn.p)
		value_put_str(m->config, "FunctionArn", x->function_arn);
	m->state = enabled == m->enabled ? MAPPING_UPDATING
		   : enabled             ? MAPPING_ENABLING
					 : MAPPING_DISABLING;
	m->enabled = enabled;
	m->modified_ms = c->wall_ms;
	m->revision++;
	return 1;
}

static int change(struct call *c, str function_arn,
	int (*fn)(void *arg, struct arena *a, struct mapping *m), void *arg, struct mapping *ret)
{
	const struct mapping_change x = {.account = c->account,
		.region = c->region,
		.uuid = value_str(c->in, "UUID"),
		.function_arn = function_arn,
		.change = fn,
		.arg = arg,
		.deadline = c->deadline_ns};
	str other;
	int rc = mapping_change(self(c)->kv, c->arena, &x, ret, &other);

	if (rc == ERR_NOT_FOUND)
		return fault_missing(c);
	if (rc == ERR_EXISTS)
		return fault_exists(
			c, value_str(ret->config, "EventSourceArn"), function_arn, other);
	TRY(rc);
	mapping_engine_wake(self(c)->mappings);
	return 0;
}

int mapping_control_update(struct call *c)
{
	struct updating x = {c, STR_NULL};
	struct function f;
	struct mapping m;

	if (TRY(mapping_load(self(c)->kv, c->arena, c->account, c->region, value_str(c->in, "UUID"),
		    &m)) == 0)
		return fault_missing(c);
	TRY(mapping_check(c, value_str(m.config, "EventSourceArn")));
	if (value_has(c->in, "FunctionName")) {
		TRY(find_function(c, &f, &x.function_arn));
		TRY(check_access(c, &f, value_str(m.config, "EventSourceArn")));
	}
	TRY(change(c, x.function_arn, update, &x, &m));
	return render(c, &m, c->out);
}

static int begin_delete(void *arg, struct arena *a unused_arg, struct mapping *m)
{
	struct call *c = arg;

	if (mapping_is_changing(m))
		return fault_in_use(c, "delete");
	m->state = MAPPING_DELETING;
	m->modified_ms = c->wall_ms;
	m->revision++;
	return 1;
}

int mapping_control_delete(struct call *c)
{
	struct mapping m;

	TRY(change(c, STR_NULL, begin_delete, c, &m));
	return render(c, &m, c->out);
}

/* ---- tags ---- */

struct tagging {
	struct call *call;
	tags_change_fn *change;
};

static int change_tags(void *arg, struct arena *a, struct mapping *m)
{
	const struct tagging *x = arg;
	const struct value *map = value_get(m->tags, "Tags");
	struct function_pair *pairs =
		arena_new_array(a, struct function_pair, value_count(map) + 1);
	struct tag_set tags = {pairs, value_count(map)};

	for (uint32_t i = 0; i < value_count(map); i++)
		pairs[i] = (struct function_pair){value_key(map, i), value_text(value_of(map, i))};
	TRY(x->change(x->call, a, &tags));
	m->tags = value_new(a, x->call->service->model, "CreateEventSourceMappingRequest");
	set_tags(m, &tags);
	return 1;
}

int mapping_change_tags(struct call *c, tags_change_fn *fn)
{
	struct tagging x = {c, fn};
	struct mapping_change change = {.function_arn = STR_NULL,
		.change = change_tags,
		.arg = &x,
		.deadline = c->deadline_ns};
	int rc;

	check(mapping_arn_parse(
		value_str(c->in, "Resource"), &change.account, &change.region, &change.uuid));
	rc = mapping_change(self(c)->kv, c->arena, &change, NULL, NULL);
	return rc == ERR_NOT_FOUND ? fault_missing(c) : MIN(rc, 0);
}

int mapping_list_tags(struct call *c)
{
	str account, region, uuid;
	struct mapping m;

	check(mapping_arn_parse(value_str(c->in, "Resource"), &account, &region, &uuid));
	if (TRY(mapping_load(self(c)->kv, c->arena, account, region, uuid, &m)) == 0)
		return fault_missing(c);
	value_put_map(c->out, "Tags");
	value_put_copy(c->out, "Tags", value_get(m.tags, "Tags"));
	return 0;
}

/* ---- the engine ---- */

/* In the name of the function's role. */
static int deliver(void *arg, struct arena *a, const struct mapping_loss *loss, str *ret_why)
{
	struct lambda_service *s = arg;
	struct deliver_request request = {.target = loss->destination_arn,
		.body = loss->record,
		.trace = STR_NULL,
		.deadline_ns = rt_after_ms(DELIVER_MS)};
	struct function_name name;
	struct principal role;
	struct function f;
	int rc;

	*ret_why = STR("the function or its role is not known");
	check(function_name_parse(loss->function_arn, &name) == 0);
	if (TRY(lambda_store_load(
		    s, a, name.account, name.region, name.name, STR_NULL, &f, NULL)) == 0)
		return ERR_NOT_FOUND;
	rc = TRY(role_find(s, a, f.role, f.name, &role));
	request.as = rc ? &role : NULL;
	request.account = name.account;
	request.region = name.region;
	if (destination_is_bucket(request.target))
		return destination_put(s->ports, a,
			&(struct destination_record){.bucket_arn = request.target,
				.account = request.account,
				.region = request.region,
				.as = request.as,
				.folder = ARENA_CONCAT(a, STR("aws/lambda/"), loss->mapping,
					STR("/"), loss->shard),
				.body = request.body,
				.time_ms = rt_wall() / RT_NS_MS},
			ret_why);
	return port_deliver(s->ports, a, &request, ret_why);
}

struct mapping_engine *mapping_control_engine(struct lambda_service *s)
{
	return mapping_engine_new(&(struct mapping_engine_options){.rt = s->rt,
		.ports = s->ports,
		.after_crash = s->options.after_crash,
		.deliver = deliver,
		.arg = s});
}
