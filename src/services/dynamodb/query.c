/*
 * Query and Scan: from a request to the plan of a page (page.h), and its answer.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
 */
#include "services/dynamodb/capacity.h"
#include "services/dynamodb/page.h"
#include "services/dynamodb/request.h"
#include "services/dynamodb/service.h"

#include "base/check.h"

/* A query or scan, from its request to its answer. */
struct query {
	struct call *c;
	struct item_request q;
	struct table *table;
	struct key_condition condition;
	struct page_plan plan;
	struct json_writer json;
};

static void query_done(struct query *q)
{
	table_unref(q->table);
}

static int invalid(struct query *q, const char *text)
{
	return call_fault(q->c, DYNAMODB_FAULT(VALIDATION), "%s", text);
}

/* Select against the other parameters. */
static int check_select(struct query *q)
{
	str select = q->q.select;
	bool old = q->q.attributes.given, projects = q->q.projection.p || old;
	const char *what = old ? "AttributesToGet" : "ProjectionExpression";

	q->plan.count_only = str_eq(select, STR("COUNT"));
	q->plan.whole = str_eq(select, STR("ALL_ATTRIBUTES"));
	if (projects && q->plan.count_only)
		return call_fault(q->c, DYNAMODB_FAULT(VALIDATION),
			"Cannot specify the %s when choosing to get only the Count", what);
	if (projects && select.p && !str_eq(select, STR("SPECIFIC_ATTRIBUTES")))
		return call_fault(q->c, DYNAMODB_FAULT(VALIDATION),
			"Cannot specify the %s when choosing to get %.*s", what, STR_ARG(select));
	if (str_eq(select, STR("ALL_PROJECTED_ATTRIBUTES")) && !q->q.index.p)
		return invalid(q,
			"One or more parameter values were invalid: ALL_PROJECTED_ATTRIBUTES "
			"can be used only when Querying using an IndexName");
	if (str_eq(select, STR("SPECIFIC_ATTRIBUTES")) && !projects)
		return invalid(q, "One or more parameter values were invalid: Must specify the "
				  "AttributesToGet or ProjectionExpression when choosing to get "
				  "SPECIFIC_ATTRIBUTES");
	return 0;
}

/* Finds table and index. */
static int find_place(struct query *q)
{
	TRY(dynamodb_table(q->c, q->q.table, &q->table));
	q->plan.table = q->table;
	if (!q->q.index.p)
		return 0;
	q->plan.index = table_index_named(q->table, q->q.index);
	if (!q->plan.index)
		return call_fault(q->c, DYNAMODB_FAULT(VALIDATION),
			"The table does not have the specified index: %.*s", STR_ARG(q->q.index));
	return page_check_kind(
		&q->plan, q->q.operation == OPERATION_QUERY, q->c->arena, &q->c->fault);
}

static int parse_common(struct query *q)
{
	q->plan.filter = q->q.legacy.filter;
	q->plan.projection = q->q.legacy.projection;
	if (q->q.filter.p)
		TRY(expr_parse_condition(&q->q.expr, EXPR_FILTER, q->q.filter, &q->plan.filter));
	if (q->q.projection.p)
		TRY(expr_parse_projection(&q->q.expr, q->q.projection, &q->plan.projection));
	return 0;
}

static void render_item(void *arg, str item)
{
	struct query *q = arg;

	item_write_json(&q->json, item);
}

/* Reads the page into the answer. */
static int answer(struct query *q)
{
	struct json_writer *json = &q->json;
	struct call *c = q->c;
	str partition = dynamodb_of(c)->throttle ? page_partition(&q->plan, c->arena) : STR_NULL;
	struct page page;

	q->plan.limit = MAX(q->q.limit, (int64_t)0);
	q->plan.start = q->q.start_key;
	TRY(dynamodb_admit_read(c, q->table, q->plan.index, partition));
	json_writer_init(json, &c->raw_out);
	json_put_object_begin(json);
	if (!q->plan.count_only) {
		json_put_key(json, STR("Items"));
		json_put_array_begin(json);
	}
	TRY(page_read(dynamodb_of(c)->kv, &q->plan, c->arena, c->deadline_ns, render_item, q, &page,
		&c->fault));
	dynamodb_pay_read(
		c, q->table, q->plan.index, partition, page.table_units, page.index_units);
	if (!q->plan.count_only)
		json_put_array_end(json);
	json_put_key(json, STR("Count"));
	json_put_i64(json, page.count);
	json_put_key(json, STR("ScannedCount"));
	json_put_i64(json, page.scanned);
	if (page.last.p) {
		json_put_key(json, STR("LastEvaluatedKey"));
		item_write_json(json, page.last);
	}
	capacity_put(json, &q->q, q->table, page.table_units, page.index_units);
	json_put_object_end(json);
	return 0;
}

int dynamodb_query(struct call *c)
{
	struct query q cleanup(query_done) = {.c = c};
	const struct expr_condition *parsed;
	const struct key_schema *keys;

	TRY(item_request_read(c, OPERATION_QUERY, &q.q));
	TRY(check_select(&q));
	if (!q.q.key_condition.p && !q.q.key_conditions.given)
		return invalid(&q,
			"Either the KeyConditions or KeyConditionExpression parameter must "
			"be specified in the request.");
	TRY(expr_check_placeholders(&q.q.expr));
	TRY(parse_common(&q));
	parsed = q.q.legacy.key_terms;
	if (!parsed)
		TRY(expr_parse_key_terms(&q.q.expr, q.q.key_condition, &parsed));
	TRY(expr_check_used(&q.q.expr));
	TRY(find_place(&q));
	keys = q.plan.index ? &q.plan.index->keys : &q.table->keys;
	q.plan.condition = &q.condition;
	q.plan.consistent = q.q.consistent;
	q.plan.reverse = !q.q.forward;
	TRY(expr_match_key_condition(&q.q.expr, parsed, keys, &q.condition));
	if (q.q.filters.given)
		TRY(legacy_check_filter_keys(&q.q.expr, &q.q.filters, keys));
	else if (q.plan.filter)
		TRY(expr_check_filter_keys(&q.q.expr, q.plan.filter, keys));
	TRY(page_check(&q.plan, c->arena, &c->fault));
	return answer(&q);
}

static int check_segments(struct query *q)
{
	const struct item_request *r = &q->q;

	if (r->segment >= 0 && r->segments < 0)
		return invalid(q,
			"The TotalSegments parameter is required but was not present in the "
			"request when Segment parameter is present");
	if (r->segments > 0 && r->segment < 0)
		return invalid(q,
			"The Segment parameter is required but was not present in the request "
			"when parameter TotalSegments is present");
	if (r->segment >= 0 && r->segment >= r->segments)
		return call_fault(q->c, DYNAMODB_FAULT(VALIDATION),
			"The Segment parameter is zero-based and must be less than parameter "
			"TotalSegments: Segment: %lld is not less than TotalSegments: %lld",
			(long long)r->segment, (long long)r->segments);
	return 0;
}

int dynamodb_scan(struct call *c)
{
	struct query q cleanup(query_done) = {.c = c};

	TRY(item_request_read(c, OPERATION_SCAN, &q.q));
	TRY(check_segments(&q));
	TRY(check_select(&q));
	TRY(expr_check_placeholders(&q.q.expr));
	TRY(parse_common(&q));
	TRY(expr_check_used(&q.q.expr));
	TRY(find_place(&q));
	q.plan.segment = (uint32_t)MAX(q.q.segment, (int64_t)0);
	q.plan.segments = (uint32_t)MAX(q.q.segments, (int64_t)1);
	q.plan.consistent = q.q.consistent;
	TRY(page_check(&q.plan, c->arena, &c->fault));
	return answer(&q);
}
