/*
 * The write of one item inside a transaction: read the old item, evaluate the condition, make the
 * new one, write it with all that hangs on it (write.h). What PutItem, UpdateItem, DeleteItem and
 * whoever writes several items at once have in common. Private to this folder.
 *
 *     item_write_place() -> declare item_write_keys() -> item_write_run() in the transaction
 *
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html
 */
#ifndef DYNAMODB_ITEM_WRITE_H
#define DYNAMODB_ITEM_WRITE_H

#include "services/dynamodb/expr.h"
#include "services/dynamodb/throttle.h"
#include "services/dynamodb/write.h"

enum item_write_kind {
	ITEM_PUT,
	ITEM_UPDATE,
	ITEM_DELETE,
	ITEM_CHECK, /* only the condition: nothing is written */
};

struct item_write {
	/* By the caller. The table is borrowed until the end of the transaction. */
	enum item_write_kind kind;
	const struct table *table;
	str attributes;                         /* the item to put, or the key attributes */
	const struct expr_condition *condition; /* NULL: none */
	bool insert;       /* the condition is that there is no such item: DuplicateItemException */
	struct expr *expr; /* of the update */
	const struct expr_update *update; /* NULL: an update that changes nothing */
	struct throttle *throttle;        /* NULL: throughput is not limited */
	bool in_transaction;              /* costs twice */
	/* By item_write_place(). */
	str key; /* in the store */
	/* By item_write_run(), of its last run; in the arena of that run. */
	str old_item, new_item; /* STR_NULL: none */
	bool condition_failed;
	struct write_cost cost;
	bool paid, throttled; /* throttled: why, in `refusal` */
	struct throttle_refusal refusal;
};

/*
 * Checks the attributes against the keys of table and indexes and makes the item's key in the
 * store. ERR_FAULT with the messages of PutItem, or of a Key.
 */
must_use int item_write_place(struct item_write *w, struct arena *a, struct fault *fault);

/* What the transaction has to declare: returns how many. */
size_t item_write_keys(const struct item_write *w, struct arena *a, str ret_keys[WRITE_KEYS_MAX]);

/*
 * In the transaction; may run again after a conflict. ERR_FAULT: the condition
 * (ConditionalCheckFailedException or DuplicateItemException, w->condition_failed, w->old_item
 * set), the update, keys of indexes, a collection that is too large, throughput (w->throttled);
 * then the transaction is to be dropped. ERR_BUDGET: the arena is over its budget.
 */
must_use mayyield int item_write_run(
	struct kv_txn *txn, struct arena *a, struct item_write *w, struct fault *fault);

#endif
