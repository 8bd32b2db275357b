/* The limits of limits.def as constants SIGNER_<name>_MAX. */
#ifndef SERVICES_SIGNER_LIMITS_H
#define SERVICES_SIGNER_LIMITS_H

enum {
#define LIMIT(name, value, source) SIGNER_##name##_MAX = value,
#include "services/signer/limits.def"
#undef LIMIT
};

#endif
