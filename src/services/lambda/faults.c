/*
 * The table of lambda's errors.
 */
#include "services/lambda/faults.h"

const struct fault_kind lambda_faults[] = {
#define FAULT(...) FAULT_ROW(__VA_ARGS__)
#include "services/lambda/faults.def"
#undef FAULT
};
