/*
 * What the tests of DynamoDB's pure logic share: items and schemas from text.
 */
#ifndef TEST_SERVICES_DYNAMODB_TEST_H
#define TEST_SERVICES_DYNAMODB_TEST_H

#include "services/dynamodb/expr.h"
#include "services/dynamodb/faults.h"
#include "test/test_table.h"

/* The encoded item of a JSON text that must be right. */
str test_item(struct arena *arena, str json);
str test_item_text(struct arena *arena, str item);
str test_value_text(struct arena *arena, str value);
/* "pk:S,qk:N sk:S": partition attributes, then sort attributes. */
struct key_schema test_schema(str text);

#endif
