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
#include "services/dynamodb/record.h"
#include "services/dynamodb/request.h"
#include "services/dynamodb/service.h"

#include "aws/codec.h"
#include "base/check.h"
#include "kv/kv.h"

/* A write, from its request to its answer. */
struct write {
	struct call *c;
	struct item_request q;
	struct flight flight; /* from before the table is looked up to the end of the commit */
	struct table *table;
	str key;  /* of the store */
	str base; /* the key attributes as an item: what an update of nothing starts from */
	const struct expr_condition *condition;
	const struct expr_update *update;
	/* Filled by the transaction. */
	str old_item, new_item; /* STR_NULL: none */
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

	TRY(expr_check_placeholders(&q->expr));
	if (q->update.p)
		TRY(expr_parse_update(&q->expr, q->update, &w->update));
	if (q->condition.p)
		TRY(expr_parse_condition(&q->expr, EXPR_CONDITION, q->condition, &w->condition));
	return expr_check_used(&q->expr);
}

static int too_large(struct call *c)
{
	return call_fault(
		c, DYNAMODB_FAULT(VALIDATION), "Item size has exceeded the maximum allowed size");
}

/* Finds the table and makes the item's key in the store. `exact`: from a Key, else from an Item. */
static int find_place(struct write *w, str attributes, bool exact)
{
	struct call *c = w->c;
	struct buf key;

	w->flight = flight_enter(&dynamodb_of(c)->flights);
	TRY(dynamodb_table(c, w->q.table, &w->table));
	buf_init(&key, c->arena, KEY_BYTES_MAX);
	key_put_table(&key, w->table->id);
	if (exact)
		TRY(key_put_exact(&key, &w->table->keys, attributes, c->arena, &c->fault));
	else
		TRY(key_put_item(&key, &w->table->keys, attributes, c->arena, &c->fault));
	if (w->update)
		TRY(expr_check_update_keys(&w->q.expr, w->update, &w->table->keys));
	w->key = buf_str(&key);
	return 0;
}

/* ConditionalCheckFailedException, with the item where the request asks for it. */
static int condition_failed(struct write *w)
{
	struct call *c = w->c;
	struct json_writer json;
	struct buf text;
	str message;
	int rc = call_fault(c, DYNAMODB_FAULT(CONDITION_FAILED), "The conditional request failed");

	if (!w->old_item.p || !str_eq(w->q.return_on_failure, STR("ALL_OLD")))
		return rc;
	c->fault.members =
		value_new(c->arena, c->service->model, "ConditionalCheckFailedException");
	buf_init(&text, c->arena, ITEM_ENCODED_MAX);
	json_writer_init(&json, &text);
	json_put_object_begin(&json);
	json_put_key(&json, STR("Item"));
	item_write_json(&json, w->old_item);
	json_put_object_end(&json);
	check(codec_json_read(c->fault.members, buf_str(&text), &message) == 0);
	return rc;
}

/* The transaction of every write. May run again after a conflict, in the same arena. */
static int write_in_store(struct kv_txn *txn, void *arg)
{
	struct write *w = arg;
	struct call *c = w->c;
	uint64_t replaced;
	struct buf item;

	if (arena_over(c->arena))
		return ERR_BUDGET;
	TRY(record_read_txn(txn, w->key, c->arena, &w->old_item, &replaced));
	if (w->condition && !expr_matches(w->condition, w->old_item))
		return condition_failed(w);
	switch (w->q.operation) {
	case OPERATION_PUT: w->new_item = w->q.item; break;
	case OPERATION_DELETE: w->new_item = STR_NULL; break;
	default:
		w->new_item = w->old_item.p ? w->old_item : w->base;
		if (w->update) {
			buf_init(&item, c->arena, ITEM_ENCODED_MAX);
			TRY(expr_apply_update(&w->q.expr, w->update, w->new_item, &item));
			w->new_item = buf_str(&item);
		}
	}
	if (w->new_item.p)
		record_put_txn(txn, w->key, c->arena, w->new_item, replaced);
	else if (w->old_item.p)
		kv_txn_delete(txn, w->key);
	return 0;
}

static int commit(struct write *w)
{
	struct call *c = w->c;
	int rc = kv_run(dynamodb_of(c)->kv, &w->key, 1, write_in_store, w, c->deadline_ns);

	flight_leave(&w->flight);
	if (rc == ERR_CONFLICT) /* until the deadline */
		return call_fault(c, DYNAMODB_FAULT(TRANSACTION_CONFLICT),
			"Transaction is ongoing for the item");
	return rc;
}

/* What ReturnValues asks for; STR_NULL: no Attributes member. */
static str returned(struct write *w)
{
	const struct expr_projection *touched = w->update ? expr_update_touched(w->update) : NULL;
	bool old = w->q.returns == RETURN_ALL_OLD || w->q.returns == RETURN_UPDATED_OLD;
	bool all = w->q.returns == RETURN_ALL_OLD || w->q.returns == RETURN_ALL_NEW;
	str item = old ? w->old_item : w->new_item;
	struct buf part;

	if (w->q.returns == RETURN_NONE || !item.p)
		return STR_NULL;
	if (all)
		return item;
	if (!touched)
		return STR_NULL;
	buf_init(&part, w->c->arena, ITEM_ENCODED_MAX);
	expr_project(touched, item, &part);
	return item_count(buf_str(&part)) ? buf_str(&part) : STR_NULL;
}

static void render_write(struct write *w)
{
	size_t old_bytes = w->old_item.p ? item_size(w->old_item) : 0;
	size_t new_bytes = w->new_item.p ? item_size(w->new_item) : 0;
	str attributes = returned(w);
	struct json_writer json;

	json_writer_init(&json, &w->c->raw_out);
	json_put_object_begin(&json);
	if (attributes.p) {
		json_put_key(&json, STR("Attributes"));
		item_write_json(&json, attributes);
	}
	if (w->q.capacity != CAPACITY_NONE)
		capacity_put(&json, &w->q, capacity_write(MAX(old_bytes, new_bytes)));
	json_put_object_end(&json);
}

int dynamodb_put_item(struct call *c)
{
	struct write w cleanup(write_done) = {.c = c};

	TRY(item_request_read(c, OPERATION_PUT, &w.q));
	if (item_size(w.q.item) > ITEM_SIZE_MAX)
		return too_large(c);
	TRY(parse_write(&w));
	TRY(find_place(&w, w.q.item, false));
	TRY(commit(&w));
	render_write(&w);
	return 0;
}

int dynamodb_delete_item(struct call *c)
{
	struct write w cleanup(write_done) = {.c = c};

	TRY(item_request_read(c, OPERATION_DELETE, &w.q));
	TRY(parse_write(&w));
	TRY(find_place(&w, w.q.key, true));
	TRY(commit(&w));
	render_write(&w);
	return 0;
}

int dynamodb_update_item(struct call *c)
{
	struct write w cleanup(write_done) = {.c = c};

	TRY(item_request_read(c, OPERATION_UPDATE, &w.q));
	TRY(parse_write(&w));
	TRY(find_place(&w, w.q.key, true));
	w.base = w.q.key;
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
	str item;

	buf_init(&key, c->arena, KEY_BYTES_MAX);
	key_put_table(&key, t->id);
	TRY(key_put_exact(&key, &t->keys, q->key, c->arena, &c->fault));
	TRY(record_read(dynamodb_of(c)->kv, buf_str(&key), c->arena, &item));
	json_writer_init(&json, &c->raw_out);
	json_put_object_begin(&json);
	if (item.p) {
		size_t bytes = item_size(item);

		if (projection) {
			buf_init(&part, c->arena, ITEM_ENCODED_MAX);
			expr_project(projection, item, &part);
			item = buf_str(&part);
		}
		json_put_key(&json, STR("Item"));
		item_write_json(&json, item);
		capacity_put(&json, q, capacity_read(bytes, q->consistent));
	} else {
		capacity_put(&json, q, capacity_read(0, q->consistent));
	}
	json_put_object_end(&json);
	return 0;
}

int dynamodb_get_item(struct call *c)
{
	const struct expr_projection *projection = NULL;
	struct table *t cleanup(table_unref_p) = NULL;
	struct item_request q;

	TRY(item_request_read(c, OPERATION_GET, &q));
	TRY(expr_check_placeholders(&q.expr));
	if (q.projection.p)
		TRY(expr_parse_projection(&q.expr, q.projection, &projection));
	TRY(expr_check_used(&q.expr));
	TRY(dynamodb_table(c, q.table, &t));
	return get(c, &q, t, projection);
}
