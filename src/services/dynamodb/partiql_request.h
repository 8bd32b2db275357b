/*
 * The inputs of ExecuteStatement, BatchExecuteStatement and ExecuteTransaction, decoded in one pass
 * over the request's JSON; what is wrong with them is said by the models' decoder and validator
 * (request.h). Private to this folder; never suspends.
 */
#ifndef DYNAMODB_PARTIQL_REQUEST_H
#define DYNAMODB_PARTIQL_REQUEST_H

#include "base/hash.h"
#include "services/dynamodb/request.h"

/* Statements, by the model. */
enum { PARTIQL_BATCH_MAX = 25, PARTIQL_TRANSACTION_MAX = 100 };

enum partiql_operation {
	PARTIQL_ONE,        /* ExecuteStatement */
	PARTIQL_BATCH,      /* BatchExecuteStatement */
	PARTIQL_TRANSACTION /* ExecuteTransaction */
};

/* A statement with its parameters, as given. */
struct partiql_input {
	str text;
	const str *parameters; /* encoded */
	uint32_t parameter_count;
	bool consistent;
	bool show_failed; /* ReturnValuesOnConditionCheckFailure ALL_OLD */
	str rule;         /* what a parameter's value breaks; STR_NULL: nothing */
};

struct partiql_request {
	struct partiql_input *statements; /* at least 1 */
	unsigned count;
	enum return_capacity capacity;
	str token;     /* NextToken or ClientRequestToken; STR_NULL: none */
	int64_t limit; /* of ExecuteStatement; 0: none */
};

/* Reads c->body. ERR_FAULT: serialization, constraints of the model. */
must_use int partiql_request_read(
	struct call *c, enum partiql_operation operation, struct partiql_request *ret);

/* Adds all that makes the statement another one. */
void partiql_input_digest(struct sha256 *h, const struct partiql_input *in);

#endif
