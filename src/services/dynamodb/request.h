/*
 * The inputs of the item operations, decoded in one pass over the request's JSON without a generic
 * tree: attributes go straight into their stored form.
 *
 * What is wrong with a request beyond that (a member of another type, a broken constraint of the
 * model) is left to the generic decoder and validator, which know AWS's texts: the fast path only
 * has to notice. Private to this folder; runs in the request's fiber, never suspends.
 */
#ifndef DYNAMODB_REQUEST_H
#define DYNAMODB_REQUEST_H

#include "aws/gate.h"
#include "services/dynamodb/expr.h"
#include "services/dynamodb/legacy.h"

enum item_operation {
	OPERATION_PUT = 1,
	OPERATION_GET = 2,
	OPERATION_DELETE = 4,
	OPERATION_UPDATE = 8,
	OPERATION_QUERY = 16,
	OPERATION_SCAN = 32,
	/* of TransactWriteItems and TransactGetItems (transact.c) */
	ACTION_OF_PUT = 64,
	ACTION_OF_UPDATE = 128,
	ACTION_OF_DELETE = 256,
	ACTION_OF_CHECK = 512,
	ACTION_OF_GET = 1024,
	OPERATION_SEARCH = 2048
};

enum { REQUEST_DEPTH_MAX = 100 }; /* of a body's JSON */

enum return_values {
	RETURN_NONE,
	RETURN_ALL_OLD,
	RETURN_UPDATED_OLD,
	RETURN_ALL_NEW,
	RETURN_UPDATED_NEW
};

#define COUNT_ABSENT INT64_MIN

enum return_capacity { CAPACITY_NONE, CAPACITY_TOTAL, CAPACITY_INDEXES };

struct item_request {
	enum item_operation operation;
	/* As given; STR_NULL: absent. */
	str table, projection, condition, update, key_condition, filter, index, select;
	str search_condition;
	str return_values, return_on_failure, return_capacity, return_metrics;
	/* Stored form; STR_NULL: absent. */
	str item, key, start_key;
	str vector;               /* a list value (attr.h); STR_NULL: absent */
	bool consistent, forward; /* forward: true unless the request says otherwise */
	/* COUNT_ABSENT, or within the model's bounds. */
	int64_t limit, segment, segments, top;
	bool names, values;
	str rule; /* the first rule that an attribute value breaks; STR_NULL: none */
	struct expr expr;
	/* Parameters from before expressions; never together with expressions. */
	struct legacy_conditions expected, key_conditions, filters;
	struct legacy_updates updates;
	struct legacy_names attributes;
	str conditional_operator;
	/* The same, understood. */
	enum return_values returns;
	enum return_capacity capacity;
	bool metrics; /* ReturnItemCollectionMetrics SIZE */
	/* The legacy parameters as trees; NULL: absent, or nothing in them. */
	struct {
		const struct expr_condition *condition, *key_terms, *filter;
		const struct expr_update *update;
		const struct expr_projection *projection;
	} legacy;
};

/*
 * Reads c->body. ERR_FAULT: serialization, constraints of the model, members that are not built
 * yet, combinations of parameters, broken rules of attribute values, in AWS's order. What stands in
 * expressions is not looked at.
 */
must_use int item_request_read(
	struct call *c, enum item_operation operation, struct item_request *ret);

/*
 * The same in steps, for an object in the middle of a body. First nothing is given; reading returns
 * what the JSON reader does (ERR_FAULT: serialization); when that, or what is read, is not
 * plausible under the model, dynamodb_unreadable() has the words; then the rules.
 */
void item_request_init(struct call *c, enum item_operation operation, struct item_request *q);
must_use int item_request_read_object(
	struct call *c, struct json_reader *json, struct item_request *q);
/* Do the model's constraints hold for what was read? Understands its words. */
bool item_request_plausible(struct item_request *q);
must_use int item_request_check(struct call *c, struct item_request *q);
/* What the model says of the body, or, should it have nothing to say, that it could not be read:
 * ERR_FAULT, or ERR_TOO_LARGE. `rc`: of the reader. */
int dynamodb_unreadable(struct call *c, int rc);

#endif
