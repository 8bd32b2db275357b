/*
 * The inputs of ExecuteStatement and BatchExecuteStatement, decoded in one pass over the request's
 * JSON; what is wrong with them is said by the models' decoder and validator (request.h). Private
 * to this folder; never suspends.
 */
#ifndef DYNAMODB_PARTIQL_REQUEST_H
#define DYNAMODB_PARTIQL_REQUEST_H

#include "services/dynamodb/request.h"

enum { PARTIQL_BATCH_MAX = 25 }; /* statements, by the model */

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
	/* ExecuteStatement */
	str token;     /* NextToken; STR_NULL: none */
	int64_t limit; /* 0: none */
};

/* Reads c->body; `batch`: of BatchExecuteStatement. ERR_FAULT: serialization, constraints. */
must_use int partiql_request_read(struct call *c, bool batch, struct partiql_request *ret);

#endif
