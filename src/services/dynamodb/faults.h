/*
 * DynamoDB's fault kinds, from faults.def.
 */
#ifndef DYNAMODB_FAULTS_H
#define DYNAMODB_FAULTS_H

#include "aws/fault.h"

enum dynamodb_fault {
#define FAULT(id, ...) DYNAMODB_##id,
#include "services/dynamodb/faults.def"
#undef FAULT
};

extern const struct fault_kind dynamodb_faults[];

#define DYNAMODB_FAULT(id) (&dynamodb_faults[DYNAMODB_##id])

#endif
