/*
 * DynamoDB's errors by name: dynamodb_faults[DYNAMODB_VALIDATION].
 */
#ifndef SERVICES_DYNAMODB_FAULTS_H
#define SERVICES_DYNAMODB_FAULTS_H

#include "aws/fault.h"
#include "base/rc.h"

enum dynamodb_fault {
#define FAULT(id, ...) DYNAMODB_##id,
#include "services/dynamodb/faults.def"
#undef FAULT
};

extern const struct fault_kind dynamodb_faults[];

/* Sets a ValidationException; ERR_FAULT. `f` is a struct fault *, `a` a struct arena *. */
#define validation_fault(f, a, ...) \
	fault_set((f), (a), &dynamodb_faults[DYNAMODB_VALIDATION], __VA_ARGS__)
#define serialization_fault(f, a, ...) \
	fault_set((f), (a), &dynamodb_faults[DYNAMODB_SERIALIZATION], __VA_ARGS__)

#endif
