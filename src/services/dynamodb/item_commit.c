/*
 * The write of one item as a transaction of its own.
 */
#include "services/dynamodb/item_commit.h"

#include "aws/codec.h"
#include "base/check.h"
#include "kv/kv.h"
#include "services/dynamodb/service.h"

struct commit {
	struct call *c;
	struct item_write *item;
};

/* Adds the item to a ConditionalCheckFailedException. */
static void show_item(struct call *c, str item)
{
	struct json_writer json;
	struct buf text;
	str message;

	c->fault.members =
		value_new(c->arena, c->service->model, "ConditionalCheckFailedException");
	buf_init(&text, c->arena, ITEM_ENCODED_MAX);
	json_writer_init(&json, &text);
	json_put_object_begin(&json);
	json_put_key(&json, STR("Item"));
	item_write_json(&json, item);
	json_put_object_end(&json);
	check(codec_json_read(c->fault.members, buf_str(&text), &message) == 0);
}

/* The transaction. May run again after a conflict, in the same arena. */
static int write_in_store(struct kv_txn *txn, void *arg)
{
	struct commit *t = arg;

	return item_write_run(txn, t->c->arena, t->item, &t->c->fault);
}

int item_commit(struct call *c, struct flight *flight, struct item_write *w, bool show_failed)
{
	struct commit t = {c, w};
	str keys[WRITE_KEYS_MAX];
	size_t n = item_write_keys(w, c->arena, keys);
	int rc = kv_run(dynamodb_of(c)->kv, keys, n, write_in_store, &t, c->deadline_ns);

	flight_leave(flight);
	if (rc == 0)
		stream_notify(&dynamodb_of(c)->stream_waits, w->table);
	if (rc == ERR_CONFLICT) /* until the deadline */
		return call_fault(c, DYNAMODB_FAULT(TRANSACTION_CONFLICT),
			"Transaction is ongoing for the item");
	if (rc == ERR_FAULT && w->condition_failed && show_failed && w->old_item.p)
		show_item(c, w->old_item);
	return rc;
}

str item_returned(const struct item_write *w, enum return_values returns, struct arena *a)
{
	const struct expr_projection *touched = w->update ? expr_update_touched(w->update) : NULL;
	bool old = returns == RETURN_ALL_OLD || returns == RETURN_UPDATED_OLD;
	bool all = returns == RETURN_ALL_OLD || returns == RETURN_ALL_NEW;
	str item = old ? w->old_item : w->new_item;
	struct buf part;

	if (returns == RETURN_NONE || !item.p)
		return STR_NULL;
	if (all)
		return item;
	if (!touched)
		return STR_NULL;
	buf_init(&part, a, ITEM_ENCODED_MAX);
	expr_project(touched, item, &part);
	return item_count(buf_str(&part)) ? buf_str(&part) : STR_NULL;
}
