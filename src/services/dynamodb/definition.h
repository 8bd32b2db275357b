/*
 * What CreateTable and UpdateTable say about keys and indexes, read and checked: attribute
 * definitions, key schemas, projections. Pure but for the fault of the call; private to this
 * folder.
 *
 * All return ERR_FAULT with a ValidationException in DynamoDB's words.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
 */
#ifndef DYNAMODB_DEFINITION_H
#define DYNAMODB_DEFINITION_H

#include "services/dynamodb/table.h"

struct call;

/*
 * AttributeDefinitions of the input; each name once. They may repeat those of `t` (NULL: a new
 * table), which are known anyway and come first in the result, with the same type. UpdateTable,
 * unlike CreateTable, says nothing of one that no key uses; a table keeps none.
 */
must_use int definition_attributes(
	struct call *c, const struct table *t, struct table_attributes *ret_attributes);
/* KeySchema of a new table: sets partition, sort, keys. */
must_use int definition_table_keys(
	struct call *c, const struct table_attributes *attributes, struct table *t);
/*
 * LocalSecondaryIndexes, GlobalSecondaryIndexes and VectorIndexes of a new table, whose keys and
 * billing mode are set; sets its indexes, without ids. What they are and need in all: names,
 * projected attributes, their numbers, throughput.
 */
must_use int definition_indexes(
	struct call *c, const struct table_attributes *attributes, struct table *t);
/*
 * A global index or one of vectors that is made later (CreateGlobalSecondaryIndexAction,
 * CreateVectorIndexAction), checked with the others.
 */
must_use int definition_new_index(struct call *c, const struct table_attributes *attributes,
	const struct table *t, const struct value *action, bool of_vectors,
	struct table_index *ret_index);
/* Every attribute is a key of the table or an index. */
must_use int definition_used(
	struct call *c, const struct table_attributes *attributes, const struct table *t);

#endif
