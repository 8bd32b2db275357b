/*
 * Query and Scan: one page of at most 1 MB of items in the order of the store, filtered and
 * projected.
 *
 * A page ends at Limit items, at 1 MB of items read (before the filter), or at the end of the
 * range; LastEvaluatedKey says where the next one goes on, also when nothing is left behind a page
 * that Limit ended. https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html
 */
#include "services/dynamodb/capacity.h"
#include "services/dynamodb/record.h"
#include "services/dynamodb/request.h"
#include "services/dynamodb/service.h"

#include "base/check.h"
#include "kv/kv.h"

enum {
	PAGE_BYTES_MAX = 1024 * 1024,
	/* After so many bytes of items other requests of the loop get their turn. */
	TURN_BYTES = 64 * 1024,
	FIRST_BATCH = 100
};

/* A page, from its request to its answer. */
struct page {
	struct call *c;
	struct item_request q;
	struct table *table;
	struct kv_range range;
	const struct expr_condition *filter;
	const struct expr_projection *projection;
	bool count_only;
	/* Filled while reading. */
	struct json_writer json;
	struct buf part; /* the projection of one item */
	size_t bytes;    /* of the items read */
	uint32_t count, scanned;
	struct buf last_key; /* store key of the last record read */
	unsigned read;       /* records of the scan that is open */
	bool more;           /* the page ended before the range did */
};

static void page_done(struct page *p)
{
	table_unref(p->table);
}

static int invalid(struct page *p, const char *text)
{
	return call_fault(p->c, DYNAMODB_FAULT(VALIDATION), "%s", text);
}

/* Select against the other parameters. */
static int check_select(struct page *p)
{
	str select = p->q.select;

	p->count_only = str_eq(select, STR("COUNT"));
	if (str_eq(select, STR("ALL_PROJECTED_ATTRIBUTES")) && !p->q.index.p)
		return invalid(p,
			"One or more parameter values were invalid: ALL_PROJECTED_ATTRIBUTES "
			"can be used only when Querying using an IndexName");
	if (str_eq(select, STR("SPECIFIC_ATTRIBUTES")) && !p->q.projection.p)
		return invalid(p, "One or more parameter values were invalid: Must specify the "
				  "AttributesToGet or ProjectionExpression when choosing to get "
				  "SPECIFIC_ATTRIBUTES");
	if (p->q.projection.p && p->count_only)
		return invalid(p, "Cannot specify the ProjectionExpression when choosing to get "
				  "only the Count");
	if (p->q.projection.p && select.p && !str_eq(select, STR("SPECIFIC_ATTRIBUTES")))
		return call_fault(p->c, DYNAMODB_FAULT(VALIDATION),
			"Cannot specify the ProjectionExpression when choosing to get %.*s",
			STR_ARG(select));
	return 0;
}

static int find_table(struct page *p)
{
	TRY(dynamodb_table(p->c, p->q.table, &p->table));
	if (p->q.index.p)
		return call_fault(p->c, DYNAMODB_FAULT(VALIDATION),
			"The table does not have the specified index: %.*s", STR_ARG(p->q.index));
	return 0;
}

static int parse_common(struct page *p)
{
	if (p->q.filter.p)
		TRY(expr_parse_condition(&p->q.expr, EXPR_FILTER, p->q.filter, &p->filter));
	if (p->q.projection.p)
		TRY(expr_parse_projection(&p->q.expr, p->q.projection, &p->projection));
	return 0;
}

/* Moves the range behind (in reverse: before) ExclusiveStartKey. */
static int start_behind(struct page *p, const char *outside)
{
	struct call *c = p->c;
	struct buf key;
	str start;

	if (!p->q.start_key.p)
		return 0;
	buf_init(&key, c->arena, KEY_BYTES_MAX);
	key_put_table(&key, p->table->id);
	if (key_put_exact(&key, &p->table->keys, p->q.start_key, c->arena, &c->fault) < 0)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"The provided starting key is invalid: %.*s", STR_ARG(c->fault.message));
	start = buf_str(&key);
	if (str_cmp(start, p->range.from) < 0 || str_cmp(start, p->range.to) >= 0)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION), "%s", outside);
	if (p->range.reverse)
		p->range.to = start;
	else
		p->range.from = ARENA_CONCAT(c->arena, start, STR("\0"));
	return 0;
}

/* Takes one item into the page; `item` lives until the next one. */
static void take(struct page *p, str item)
{
	p->scanned++;
	if (p->filter && !expr_matches(p->filter, item))
		return;
	p->count++;
	if (p->count_only)
		return;
	if (!p->projection) {
		item_write_json(&p->json, item);
		return;
	}
	buf_reset(&p->part);
	expr_project(p->projection, item, &p->part);
	item_write_json(&p->json, buf_str(&p->part));
}

/* Narrows the range to what lies behind the last record that was read. */
static void go_on_behind(struct page *p)
{
	if (p->last_key.n == 0)
		return;
	if (p->range.reverse)
		p->range.to = arena_str(p->c->arena, buf_str(&p->last_key));
	else
		p->range.from = ARENA_CONCAT(p->c->arena, buf_str(&p->last_key), STR("\0"));
}

/* Other requests of the loop get their turn; not for ever. */
static int give_turn(struct page *p)
{
	if (rt_now() >= p->c->deadline_ns)
		return ERR_TIMEOUT;
	if (arena_over(p->c->arena))
		return ERR_BUDGET;
	return rt_yield();
}

/* Reads until the page is full (0, and p->more), the scan ends (0), or something fails. */
static int read_some(struct page *p)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	size_t turn = 0, bytes;
	uint64_t time;
	str key, value, item;

	TRY(kv_scan_open(dynamodb_of(p->c)->kv, &p->range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		TRY(record_item(value, &item, &time));
		bytes = item.p ? item_size(item) : 0;
		if (p->scanned && p->bytes + bytes > PAGE_BYTES_MAX) {
			p->more = true;
			return 0;
		}
		buf_reset(&p->last_key);
		buf_put(&p->last_key, key);
		p->read++;
		if (!item.p)
			continue;
		p->bytes += bytes;
		take(p, item);
		if (p->scanned == p->q.limit) {
			p->more = true;
			return 0;
		}
		turn += bytes;
		if (turn > TURN_BYTES) {
			turn = 0;
			TRY(give_turn(p));
		}
	}
	return 0;
}

/*
 * Reads items until the page is full. A page need not see one state of the store: a scan that the
 * engine gave up is begun anew behind the last record, and so is one that ended because it had
 * read as many records as were asked for, some of them of deleted items.
 */
static int read_page(struct page *p)
{
	bool limited = p->q.limit > 0 && p->q.limit < FIRST_BATCH && !p->filter;
	int rc;

	buf_init(&p->last_key, p->c->arena, KEY_BYTES_MAX);
	buf_init(&p->part, p->c->arena, ITEM_ENCODED_MAX);
	p->range.limit = limited ? (unsigned)p->q.limit : 0;
	while (str_cmp(p->range.from, p->range.to) < 0) {
		p->read = 0;
		rc = read_some(p);
		if (rc < 0 && rc != ERR_CONFLICT)
			return rc;
		if (rc == 0 && (p->more || !limited || p->read < p->range.limit))
			break;
		TRY(give_turn(p));
		go_on_behind(p);
	}
	return arena_over(p->c->arena) ? ERR_BUDGET : 0;
}

static int render_page(struct page *p)
{
	struct json_writer *json = &p->json;
	struct buf last;

	json_writer_init(json, &p->c->raw_out);
	json_put_object_begin(json);
	if (!p->count_only) {
		json_put_key(json, STR("Items"));
		json_put_array_begin(json);
	}
	TRY(read_page(p));
	if (!p->count_only)
		json_put_array_end(json);
	json_put_key(json, STR("Count"));
	json_put_i64(json, p->count);
	json_put_key(json, STR("ScannedCount"));
	json_put_i64(json, p->scanned);
	if (p->more) {
		buf_init(&last, p->c->arena, ITEM_ENCODED_MAX);
		TRY(key_to_item(buf_str(&p->last_key), &p->table->keys, &last));
		json_put_key(json, STR("LastEvaluatedKey"));
		item_write_json(json, buf_str(&last));
	}
	capacity_put(json, &p->q, p->table, capacity_read(p->bytes, p->q.consistent), NULL);
	json_put_object_end(json);
	return 0;
}

int dynamodb_query(struct call *c)
{
	struct page p cleanup(page_done) = {.c = c};
	const struct expr_condition *parsed;
	struct key_condition condition;
	struct buf low, high;

	TRY(item_request_read(c, OPERATION_QUERY, &p.q));
	TRY(check_select(&p));
	if (!p.q.key_condition.p)
		return invalid(&p,
			"Either the KeyConditions or KeyConditionExpression parameter must "
			"be specified in the request.");
	TRY(expr_check_placeholders(&p.q.expr));
	TRY(parse_common(&p));
	TRY(expr_parse_key_terms(&p.q.expr, p.q.key_condition, &parsed));
	TRY(expr_check_used(&p.q.expr));
	TRY(find_table(&p));
	TRY(expr_match_key_condition(&p.q.expr, parsed, &p.table->keys, &condition));
	if (p.filter)
		TRY(expr_check_filter_keys(&p.q.expr, p.filter, &p.table->keys));
	buf_init(&low, c->arena, KEY_BYTES_MAX);
	buf_init(&high, c->arena, KEY_BYTES_MAX);
	key_range(&condition, &p.table->keys, false, p.table->id, &low, &high);
	p.range = (struct kv_range){
		.from = buf_str(&low), .to = buf_str(&high), .reverse = !p.q.forward};
	TRY(start_behind(&p,
		"The provided starting key is outside query boundaries based on provided "
		"conditions"));
	return render_page(&p);
}

static int check_segments(struct page *p)
{
	const struct item_request *q = &p->q;

	if (q->segment >= 0 && q->segments < 0)
		return invalid(p,
			"The TotalSegments parameter is required but was not present in the "
			"request when Segment parameter is present");
	if (q->segments > 0 && q->segment < 0)
		return invalid(p,
			"The Segment parameter is required but was not present in the request "
			"when parameter TotalSegments is present");
	if (q->segment >= 0 && q->segment >= q->segments)
		return call_fault(p->c, DYNAMODB_FAULT(VALIDATION),
			"The Segment parameter is zero-based and must be less than parameter "
			"TotalSegments: Segment: %lld is not less than TotalSegments: %lld",
			(long long)q->segment, (long long)q->segments);
	return 0;
}

int dynamodb_scan(struct call *c)
{
	struct page p cleanup(page_done) = {.c = c};
	struct buf low, high;

	TRY(item_request_read(c, OPERATION_SCAN, &p.q));
	TRY(check_segments(&p));
	TRY(check_select(&p));
	TRY(expr_check_placeholders(&p.q.expr));
	TRY(parse_common(&p));
	TRY(expr_check_used(&p.q.expr));
	TRY(find_table(&p));
	buf_init(&low, c->arena, KEY_BYTES_MAX);
	buf_init(&high, c->arena, KEY_BYTES_MAX);
	key_segment(false, p.table->id, (uint32_t)MAX(p.q.segment, (int64_t)0),
		(uint32_t)MAX(p.q.segments, (int64_t)1), &low, &high);
	p.range = (struct kv_range){.from = buf_str(&low), .to = buf_str(&high)};
	TRY(start_behind(&p,
		"The provided starting key is invalid: Invalid ExclusiveStartKey. Please "
		"use ExclusiveStartKey with correct Segment."));
	return render_page(&p);
}
