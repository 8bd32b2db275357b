/*
 * DynamoDB's errors as a table; the rows are in faults.def.
 */
#include "services/dynamodb/faults.h"

const struct fault_kind dynamodb_faults[] = {
#define FAULT(...) FAULT_ROW(__VA_ARGS__)
#include "services/dynamodb/faults.def"
#undef FAULT
};
