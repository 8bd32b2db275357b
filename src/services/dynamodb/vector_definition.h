/*
 * What CreateTable and UpdateTable say about vector indexes, read and checked. Pure but for the
 * fault of the call; private to this folder.
 *
 * All return ERR_FAULT with a ValidationException.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_VectorIndex.html
 */
#ifndef DYNAMODB_VECTOR_DEFINITION_H
#define DYNAMODB_VECTOR_DEFINITION_H

#include "services/dynamodb/table.h"

struct call;

/*
 * One VectorIndex, whose name and projection have been read into `index`; sets what makes it one of
 * vectors. `attributes` are those that are defined for the table.
 */
must_use int vector_definition_read(struct call *c, const struct table_attributes *attributes,
	const struct table *t, const struct value *given, struct table_index *index);

/* Vector indexes among all of a table: of one attribute all have the same dimensions. */
must_use int vector_definition_check(struct call *c, const struct table_index *indexes, size_t n);

/* Non-key attributes that a vector index projects besides `include`: the vector and its filters. */
size_t vector_definition_projected(const struct table_index *i);

/* Vector indexes are of tables on demand only. */
must_use int vector_definition_check_mode(struct call *c, const struct table *t);

#endif
