/*
 * PutItem, GetItem, DeleteItem, UpdateItem.
 *
 * Every write is one transaction on the item's key: it is latched, the old record read, the
 * condition evaluated, the new record put in its place and committed, which makes it durable. So
 * conditions and updates of one item are serial, in the order of their commits. A read is one
 * look-up.
 *
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
 */
#include "services/dynamodb/capacity.h"
#include "services/dynamodb/item_commit.h"
#include "services/dynamodb/record.h"
#include "services/dynamodb/request.h"
#include "services/dynamodb/service.h"

#include "base/check.h"
#include "kv/kv.h"

/* A write, from its request to its answer. */
struct write {
	struct call *c;
	struct item_request q;
	struct flight flight; /* from before the table is looked up to the end of the commit */
	struct table *table;
	struct item_write item;
};

static void write_done(struct write *w)
{
	flight_leave(&w->flight);
	table_unref(w->table);
}

/* Expressions of a write, in the order in which DynamoDB complains of them. */
static int parse_write(struct write *w)
{
	struct item_request *q = &w->q;

	w->item.update = q->legacy.update;
	w->item.condition = q->legacy.condition;
	TRY(expr_check_placeholders(&q->expr));
	if (q->update.p)
		TRY(expr_parse_update(&q->expr, q->update, &w->item.update));
	if (q->condition.p)
		TRY(expr_parse_condition(
			&q->expr, EXPR_CONDITION, q->condition, &w->item.condition));
	return expr_check_used(&q->expr);
}

static int too_large(struct call *c)
{
	return call_fault(
		c, DYNAMODB_FAULT(VALIDATION), "Item size has exceeded the maximum allowed size");
}

/* Finds the table and makes the item's key in the store. */
static int find_place(struct write *w, enum item_write_kind kind, str attributes)
{
	struct call *c = w->c;

	w->flight = flight_enter(&dynamodb_of(c)->flights);
	TRY(dynamodb_table(c, w->q.table, &w->table));
	w->item.kind = kind;
	w->item.table = w->table;
	w->item.attributes = attributes;
	w->item.expr = &w->q.expr;
	w->item.throttle = dynamodb_of(c)->throttle;
	return item_write_place(&w->item, c->arena, &c->fault);
}

static int commit(struct write *w)
{
	bool show = str_eq(w->q.return_on_failure, STR("ALL_OLD"));

	return item_commit(w->c, &w->flight, &w->item, show);
}

static void render_write(struct write *w)
{
	const struct write_cost *cost = &w->item.cost;
	str attributes = item_returned(&w->item, w->q.returns, w->c->arena);
	struct json_writer json;

	json_writer_init(&json, &w->c->raw_out);
	json_put_object_begin(&json);
	if (attributes.p) {
		json_put_key(&json, STR("Attributes"));
		item_write_json(&json, attributes);
	}
	capacity_put(&json, &w->q, w->table, cost->table, cost->index);
	if (w->q.metrics && cost->collection_bytes >= 0) {
		json_put_key(&json, STR("ItemCollectionMetrics"));
		capacity_put_collection(
			&json, w->table, w->item.attributes, cost->collection_bytes);
	}
	json_put_object_end(&json);
}

int dynamodb_put_item(struct call *c)
{
	struct write w cleanup(write_done) = {.c = c};

	TRY(item_request_read(c, OPERATION_PUT, &w.q));
	if (item_size(w.q.item) > ITEM_SIZE_MAX)
		return too_large(c);
	TRY(parse_write(&w));
	TRY(find_place(&w, ITEM_PUT, w.q.item));
	TRY(commit(&w));
	render_write(&w);
	return 0;
}

int dynamodb_delete_item(struct call *c)
{
	struct write w cleanup(write_done) = {.c = c};

	TRY(item_request_read(c, OPERATION_DELETE, &w.q));
	TRY(parse_write(&w));
	TRY(find_place(&w, ITEM_DELETE, w.q.key));
	TRY(commit(&w));
	render_write(&w);
	return 0;
}

int dynamodb_update_item(struct call *c)
{
	struct write w cleanup(write_done) = {.c = c};

	TRY(item_request_read(c, OPERATION_UPDATE, &w.q));
	TRY(parse_write(&w));
	TRY(find_place(&w, ITEM_UPDATE, w.q.key));
	TRY(commit(&w));
	render_write(&w);
	return 0;
}

/* Reads one item and renders it, projected where the request asks for it. */
static int get(struct call *c, struct item_request *q, struct table *t,
	const struct expr_projection *projection)
{
	struct json_writer json;
	struct buf key, part;
	str item, partition;
	double units;

	buf_init(&key, c->arena, KEY_BYTES_MAX);
	key_put_table(&key, t->id);
	TRY(key_put_exact(&key, &t->keys, q->key, c->arena, &c->fault));
	partition = key_collection(buf_str(&key), &t->keys);
	TRY(dynamodb_admit_read(c, t, NULL, partition));
	TRY(record_read(dynamodb_of(c)->kv, buf_str(&key), c->arena, &item));
	units = capacity_read(item.p ? item_size(item) : 0, q->consistent);
	dynamodb_pay_read(c, t, NULL, partition, units, NULL);
	json_writer_init(&json, &c->raw_out);
	json_put_object_begin(&json);
	if (item.p) {
		if (projection) {
			buf_init(&part, c->arena, ITEM_ENCODED_MAX);
			expr_project(projection, item, &part);
			item = buf_str(&part);
		}
		json_put_key(&json, STR("Item"));
		item_write_json(&json, item);
	}
	capacity_put(&json, q, t, units, NULL);
	json_put_object_end(&json);
	return 0;
}

int dynamodb_get_item(struct call *c)
{
	const struct expr_projection *projection = NULL;
	struct table *t cleanup(table_unref_p) = NULL;
	struct item_request q;

	TRY(item_request_read(c, OPERATION_GET, &q));
	projection = q.legacy.projection;
	TRY(expr_check_placeholders(&q.expr));
	if (q.projection.p)
		TRY(expr_parse_projection(&q.expr, q.projection, &projection));
	TRY(expr_check_used(&q.expr));
	TRY(dynamodb_table(c, q.table, &t));
	return get(c, &q, t, projection);
}
