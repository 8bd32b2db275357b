/*
 * The one platform that there is here.
 */
#ifndef SERVICES_SIGNER_PLATFORM_H
#define SERVICES_SIGNER_PLATFORM_H

#include "services/signer/statement.h"

#define PLATFORM_ID      STR(STATEMENT_PLATFORM)
#define PLATFORM_DISPLAY STR("AWS Lambda")

/* Is it another one that AWS has? */
bool platform_is_elsewhere(str id);

#endif
