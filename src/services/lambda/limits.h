/*
 * The quotas of limits.def as constants: LAMBDA_PAYLOAD_BYTES_MAX ...
 */
#ifndef SERVICES_LAMBDA_LIMITS_H
#define SERVICES_LAMBDA_LIMITS_H

enum lambda_limit {
#define LIMIT(name, value, source) LAMBDA_##name##_MAX = (value),
#include "services/lambda/limits.def"
#undef LIMIT
};

#endif
