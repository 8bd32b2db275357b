/*
 * The write of one item as a transaction of its own, and what ReturnValues shows of it: what
 * PutItem, UpdateItem, DeleteItem and the writes of PartiQL have in common. Private to this folder.
 */
#ifndef DYNAMODB_ITEM_COMMIT_H
#define DYNAMODB_ITEM_COMMIT_H

#include "services/dynamodb/item_write.h"
#include "services/dynamodb/request.h"

struct flight;

/*
 * Writes the item, whose place is known (item_write_place()), in the request's arena, and leaves
 * the flight. ERR_FAULT: as item_write_run(), with the Item of a ConditionalCheckFailedException
 * when `show_failed`; TransactionConflictException when others are at it until the deadline.
 */
must_use mayyield int item_commit(
	struct call *c, struct flight *flight, struct item_write *w, bool show_failed);

/* What ReturnValues asks for of a committed write: an item; STR_NULL: nothing to show. */
str item_returned(const struct item_write *w, enum return_values returns, struct arena *a);

#endif
