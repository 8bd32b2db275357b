/*
 * The write of one item.
 */
#include "services/dynamodb/item_write.h"

#include "base/check.h"
#include "services/dynamodb/capacity.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/record.h"

int item_write_place(struct item_write *w, struct arena *a, struct fault *fault)
{
	const struct table *t = w->table;
	struct buf key;

	buf_init(&key, a, KEY_BYTES_MAX);
	key_put_table(&key, t->id);
	if (w->kind == ITEM_PUT) {
		TRY(key_put_item(&key, &t->keys, w->attributes, a, fault));
		TRY(write_check_item(t, w->attributes, a, fault));
	} else {
		TRY(key_put_exact(&key, &t->keys, w->attributes, a, fault));
	}
	if (w->update)
		TRY(expr_check_update_keys(w->expr, w->update, &t->keys));
	w->key = buf_str(&key);
	return 0;
}

size_t item_write_keys(const struct item_write *w, struct arena *a, str ret_keys[WRITE_KEYS_MAX])
{
	return write_keys(w->table, w->key, a, ret_keys);
}

/* Makes w->new_item. */
static int make_item(struct item_write *w, struct arena *a, struct fault *fault)
{
	struct buf item;

	switch (w->kind) {
	case ITEM_PUT: w->new_item = w->attributes; return 0;
	case ITEM_DELETE: w->new_item = STR_NULL; return 0;
	case ITEM_CHECK: check_unreachable();
	case ITEM_UPDATE: break;
	}
	w->new_item = w->old_item.p ? w->old_item : w->attributes;
	if (w->update) {
		buf_init(&item, a, ITEM_ENCODED_MAX);
		TRY(expr_apply_update(w->expr, w->update, w->new_item, &item));
		w->new_item = buf_str(&item);
		if (!w->old_item.p && expr_update_only_removes(w->update)) {
			/* "DELETE - Nothing happens; there is no attribute to delete" is what
			 * API_AttributeValueUpdate.html says; of UpdateExpression users say it. */
			w->new_item = STR_NULL;
			return 0;
		}
	}
	return write_check_update(w->table, w->old_item, w->new_item, a, fault);
}

static int refuse(struct item_write *w, struct arena *a, struct fault *fault)
{
	w->condition_failed = true;
	if (w->insert)
		return fault_set(fault, a, &dynamodb_faults[DYNAMODB_DUPLICATE_ITEM],
			"Duplicate primary key exists in table");
	return fault_set(fault, a, &dynamodb_faults[DYNAMODB_CONDITION_FAILED],
		"The conditional request failed");
}

static struct throttle_use use_of(const struct item_write *w)
{
	return (struct throttle_use){.table = w->table,
		.kind = THROTTLE_WRITE,
		.partition = key_collection(w->key, &w->table->keys),
		.table_units = w->cost.table,
		.index_units = w->cost.index,
		.parts = w->cost.parts,
		.part_count = w->cost.part_count,
		.factor = w->in_transaction ? 2 : 1};
}

/* Takes what the write has cost, where throughput is limited. */
static int pay(struct item_write *w, struct arena *a, struct fault *fault)
{
	struct throttle_use use;

	if (likely(!w->throttle))
		return 0;
	use = use_of(w);
	w->throttled = !throttle_admits(w->throttle, &use, &w->refusal);
	if (w->throttled)
		return throttle_fault(&w->refusal, w->table, a, fault);
	throttle_pay(w->throttle, &use, 1);
	w->paid = true;
	return 0;
}

/* What a run before this one has paid. */
static void pay_back(struct item_write *w)
{
	struct throttle_use use = use_of(w);

	throttle_pay(w->throttle, &use, -1);
	w->paid = false;
}

/* The cost of looking at the item, for checks and for conditions that fail. */
static void cost_of_check(struct item_write *w)
{
	w->cost = (struct write_cost){.collection_bytes = -1};
	w->cost.table = capacity_write(w->old_item.p ? item_size(w->old_item) : 0);
}

int item_write_run(struct kv_txn *txn, struct arena *a, struct item_write *w, struct fault *fault)
{
	uint64_t replaced;

	if (arena_over(a))
		return ERR_BUDGET;
	if (unlikely(w->paid))
		pay_back(w);
	w->condition_failed = w->throttled = false;
	w->old_item = w->new_item = STR_NULL; /* what a run before found went with its arena */
	TRY(record_read_txn(txn, w->key, a, &w->old_item, &replaced));
	if (w->condition && !expr_matches(w->condition, w->old_item)) {
		cost_of_check(w);
		TRY(pay(w, a, fault));
		return refuse(w, a, fault);
	}
	if (w->kind == ITEM_CHECK) {
		w->new_item = w->old_item;
		cost_of_check(w);
		return pay(w, a, fault);
	}
	TRY(make_item(w, a, fault));
	TRY(write_item(txn, a,
		&(struct item_change){.table = w->table,
			.key = w->key,
			.old_item = w->old_item,
			.new_item = w->new_item,
			.replaced = replaced},
		&w->cost, fault));
	return pay(w, a, fault);
}
