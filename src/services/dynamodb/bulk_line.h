/*
 * One record of a bulk put's input, DynamoDB JSON:
 *
 *     {"Item":{"p":{"S":"x"}}}
 *     {"Item":{...},"ConditionExpression":"attribute_not_exists(p)",
 *      "ExpressionAttributeNames":{...},"ExpressionAttributeValues":{...}}
 *
 * with the rules and the words of PutItem. Whether a record's condition stands in these members is
 * not confirmed. Pure; fuzzed.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/BulkPutItems.Format.html
 */
#ifndef DYNAMODB_BULK_LINE_H
#define DYNAMODB_BULK_LINE_H

#include "services/dynamodb/expr.h"

struct bulk_line {
	str item;
	struct expr expr;
	const struct expr_condition *condition; /* NULL: none */
};

/* In the arena. ERR_FAULT: what is wrong with it. */
must_use int bulk_line_read(
	struct arena *a, str text, struct bulk_line *ret_line, struct fault *fault);

#endif
