/*
 * The kinds of lambda's errors (faults.def).
 */
#ifndef SERVICES_LAMBDA_FAULTS_H
#define SERVICES_LAMBDA_FAULTS_H

#include "aws/fault.h"

enum lambda_fault {
#define FAULT(id, ...) LAMBDA_##id,
#include "services/lambda/faults.def"
#undef FAULT
};

extern const struct fault_kind lambda_faults[];

#endif
