/*
 * Running one PartiQL statement: what ExecuteStatement, BatchExecuteStatement and
 * ExecuteTransaction have in common. Private to this folder; in the request's fiber.
 *
 *     statement_parse() -> statement_find() -> statement_read() or statement_write()
 */
#ifndef DYNAMODB_PARTIQL_RUN_H
#define DYNAMODB_PARTIQL_RUN_H

#include "services/dynamodb/flight.h"
#include "services/dynamodb/item_write.h"
#include "services/dynamodb/partiql.h"
#include "services/dynamodb/partiql_request.h"
#include "services/dynamodb/table.h"

struct statement {
	struct partiql ql;
	bool consistent, show_failed;
	struct flight flight; /* of a write: from before the table is looked up to its commit */
	struct table *table;
	const struct table_index *index; /* of the table; NULL: the table itself */
	str failed_item; /* that the condition refused, when show_failed; STR_NULL: none */
	/* What it has consumed. */
	double table_units, index_units[TABLE_INDEXES_MAX];
};

/* NULL is not fine; all zero is. */
void statement_done(struct statement *s);

/* ERR_FAULT: values of parameters, the statement. */
must_use int statement_parse(struct call *c, const struct partiql_input *in, struct statement *s);
/* As above; EXISTS, which only transactions have, is refused too. */
must_use int statement_parse_alone(
	struct call *c, const struct partiql_input *in, struct statement *s);

/*
 * May the caller do it, and on which table and index? ERR_FAULT: AccessDenied for PartiQLSelect,
 * PartiQLInsert, PartiQLUpdate or PartiQLDelete, ResourceNotFoundException, no such index.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
 */
must_use mayyield int statement_find(struct call *c, struct statement *s);

/* The key schema of what a SELECT reads. */
const struct key_schema *statement_keys(const struct statement *s);

/*
 * Reads the one item that the key (of the plan) names: 1 with what the SELECT gives of it, 0 when
 * there is none or the filter does not let it pass.
 */
must_use mayyield int statement_read(
	struct call *c, struct statement *s, const struct partiql_plan *plan, str *ret_item);

/*
 * The write that the statement is (EXISTS: the check), not placed yet. ERR_FAULT: its key is not
 * given, the item is too large.
 */
must_use int statement_make_write(struct call *c, struct statement *s, struct item_write *ret);

/*
 * Makes the change and commits it. *ret_item: what RETURNING asks for, STR_NULL for nothing.
 * ERR_FAULT: keys, sizes, DuplicateItemException, ConditionalCheckFailedException and what else
 * writes of items have.
 */
must_use mayyield int statement_write(struct call *c, struct statement *s, str *ret_item);

/* Writes the ConsumedCapacity object of the statement. */
void statement_put_capacity(
	struct json_writer *w, const struct statement *s, enum return_capacity capacity);

#endif
