/*
 * PartiQL for DynamoDB: a statement's text becomes the structures of the expression language, so
 * that reading, conditions and updates have one evaluator (expr.h).
 *
 *     SELECT * | path, ... FROM table["." index] [WHERE condition] [ORDER BY key [ASC | DESC], ...]
 *     INSERT INTO table VALUE {'name': value, ...}
 *     UPDATE table SET path = value ... REMOVE path ... WHERE condition [RETURNING what *]
 *     DELETE FROM table WHERE condition [RETURNING ALL OLD *]
 *     EXISTS(SELECT * FROM table WHERE condition)            in transactions
 *
 * Parsing needs neither table nor item; planning needs the key schema. Everything lives in the
 * request arena. Messages are DynamoDB's, as ValidationException; the details behind "Statement
 * wasn't well formed, can't be processed: " are those of the PartiQL reference parser. Pure; never
 * suspends; recursion is bounded by EXPR_DEPTH_MAX.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html
 */
#ifndef SERVICES_DYNAMODB_PARTIQL_H
#define SERVICES_DYNAMODB_PARTIQL_H

#include "services/dynamodb/request.h"

enum {
	PARTIQL_BYTES_MAX = 8192, /* of a statement, by the model in characters */
	/* of an IN for the partition key; ql-operators.html */
	PARTIQL_PARTITIONS_MAX = 50,
	/* items of a page of such a SELECT; ql-operators.html */
	PARTIQL_PARTITIONS_PAGE = 10,
	PARTIQL_ORDERS_MAX = 2, /* the partition key and the sort key */
};

enum partiql_kind {
	PARTIQL_SELECT,
	PARTIQL_INSERT,
	PARTIQL_UPDATE,
	PARTIQL_DELETE,
	PARTIQL_EXISTS,
};

/* An attribute of what SELECT gives. */
struct partiql_output {
	struct expr_path path;
	str name; /* the path's last name, with the list indexes behind it: "a.b[1]" gives "b[1]" */
};

struct partiql_order {
	str name;
	bool descending;
};

struct partiql {
	enum partiql_kind kind;
	str table, index;                     /* as written, unquoted; index: STR_NULL without */
	struct expr expr;                     /* for what is done with the structures later */
	const struct partiql_output *outputs; /* ascending by name, all different */
	uint32_t output_count;                /* 0: the whole item */
	const struct expr_condition *where;   /* NULL: none */
	struct partiql_order order[PARTIQL_ORDERS_MAX];
	unsigned orders;
	str item;                         /* INSERT: encoded */
	const struct expr_update *update; /* UPDATE */
	enum return_values returns;       /* UPDATE, DELETE */
};

/*
 * Parses the statement; `parameters` are the encoded values for its question marks. ERR_FAULT:
 * syntax, what DynamoDB does not support, rules about values, a wrong number of parameters.
 */
must_use int partiql_parse(struct arena *arena, struct fault *fault, str text,
	const str *parameters, uint32_t parameter_count, struct partiql *ret);

/* Is it one that writes? EXISTS is not. */
static inline bool partiql_is_write(const struct partiql *s)
{
	return s->kind == PARTIQL_INSERT || s->kind == PARTIQL_UPDATE || s->kind == PARTIQL_DELETE;
}

/* How a SELECT reads a table or index. */
struct partiql_plan {
	/* Ascending by partition key, or descending as ORDER BY says; none: a scan. */
	struct key_condition *conditions;
	unsigned count;
	str key;                             /* all of it is given: of one item; else STR_NULL */
	bool reverse;                        /* each partition from its end */
	const struct expr_condition *filter; /* NULL: none */
};

/*
 * Plans a SELECT over the key schema of the table or index. An equality or IN on the partition key
 * makes it a query, everything else a scan. ERR_FAULT: keys of a wrong type, ORDER BY.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.select.html
 */
must_use int partiql_plan(
	struct partiql *s, const struct key_schema *keys, struct partiql_plan *ret);

/*
 * The one item that WHERE names: *ret_key is an item of the key attributes, *ret_rest what else has
 * to hold (NULL: nothing). ERR_FAULT with "Where clause does not contain a mandatory equality on
 * all key attributes"; types of keys are not looked at.
 */
must_use int partiql_key(struct partiql *s, const struct key_schema *keys, str *ret_key,
	const struct expr_condition **ret_rest);

/*
 * The condition of a write, on the item that the key names: INSERT needs that there is none, UPDATE
 * that there is one, and DELETE is content with none. `rest`: of partiql_key(), NULL for INSERT.
 */
const struct expr_condition *partiql_condition(
	struct partiql *s, const struct key_schema *keys, const struct expr_condition *rest);

/* Appends what the SELECT gives of an item: an item. */
void partiql_project(const struct partiql *s, str item, struct buf *out);

#endif
