/*
 * How long signatures are valid: days, months and years of the calendar. Pure.
 */
#ifndef SERVICES_SIGNER_EXPIRY_H
#define SERVICES_SIGNER_EXPIRY_H

#include "base/rc.h"
#include "base/str.h"

/*
 * When a signature of then expires: whole seconds. ERR_RANGE: less than a day, or more than 135
 * months; ERR_INVALID: `type` is none of DAYS, MONTHS, YEARS.
 */
must_use int signer_expiry_of(int64_t signed_ms, int64_t value, str type, int64_t *ret_ms);

#endif
