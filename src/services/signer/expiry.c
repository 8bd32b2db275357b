/*
 * See expiry.h. A month later is the same day, or the last one of a month that is too short.
 */
#include "services/signer/expiry.h"

#include "base/time.h"
#include "services/signer/limits.h"

#define DAY_MS INT64_C(86400000)

static int add_months(int64_t ms, int64_t months, int64_t *ret_ms)
{
	struct time_parts t = time_parts_of(ms);
	int64_t month = t.month - 1 + months;

	t.year += (int)(month / 12);
	t.month = (int)(month % 12) + 1;
	while (time_from_parts(&t, ret_ms) < 0)
		if (--t.day < 28)
			return ERR_RANGE;
	return 0;
}

int signer_expiry_of(int64_t signed_ms, int64_t value, str type, int64_t *ret_ms)
{
	int64_t from = signed_ms - signed_ms % 1000, until, latest;
	int64_t months = str_eq(type, STR("YEARS")) ? 12 : 1;

	TRY(add_months(from, SIGNER_VALIDITY_MONTHS_MAX, &latest));
	if (value < 1 || value > (latest - from) / DAY_MS)
		return ERR_RANGE;
	if (str_eq(type, STR("DAYS"))) {
		until = from + value * DAY_MS;
	} else if (str_eq(type, STR("MONTHS")) || str_eq(type, STR("YEARS"))) {
		if (value * months > SIGNER_VALIDITY_MONTHS_MAX)
			return ERR_RANGE;
		TRY(add_months(from, value * months, &until));
	} else {
		return ERR_INVALID;
	}
	*ret_ms = until;
	return 0;
}
