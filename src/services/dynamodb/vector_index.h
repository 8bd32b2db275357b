/*
 * What vector indexes take of items, and what is asked of items for it. Private to this folder;
 * pure but for faults.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/VectorSearchWorkingWith.html
 */
#ifndef DYNAMODB_VECTOR_INDEX_H
#define DYNAMODB_VECTOR_INDEX_H

#include "services/dynamodb/table.h"

struct fault;

/*
 * May an item of a table with this index have these attributes? The vector attribute, where it is
 * there, is a list of the index's dimensions of numbers within 32-bit floats; what the index
 * filters by has the type that was defined. (The partition key is looked at as other indexes' keys
 * are.) ERR_FAULT with PutItem's messages.
 */
must_use int vector_index_check(
	const struct table_index *i, str item, struct arena *a, struct fault *fault);

/*
 * The entry of an item, of which `projected` is what the index projects: true, or false when it
 * has no vector, or what vector_index_check() would not take (an item from before the index).
 */
bool vector_index_entry(
	const struct table_index *i, str projected, struct arena *a, str *ret_entry);

#endif
