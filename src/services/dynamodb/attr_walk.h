/*
 * Stepping over encoded values: private to the codec's files. Bytes are trusted (attr.h).
 */
#ifndef SERVICES_DYNAMODB_ATTR_WALK_H
#define SERVICES_DYNAMODB_ATTR_WALK_H

#include "base/check.h"
#include "services/dynamodb/attr.h"

static inline uint32_t attr_be32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

/* Takes a length and that many bytes. */
static inline str attr_take_sized(str *rest)
{
	uint64_t n;
	str part;

	if (likely(rest->n > 0 && (unsigned char)rest->p[0] < 0x80)) {
		n = (unsigned char)rest->p[0];
		*rest = (str){rest->p + 1, rest->n - 1};
	} else {
		check(str_take_varint(rest, &n));
	}
	check(n <= rest->n);
	part = (str){rest->p, (size_t)n};
	*rest = (str){rest->p + n, rest->n - (size_t)n};
	return part;
}

static inline str attr_take_decimal(str *rest)
{
	int n = decimal_encoded_bytes(*rest);
	str part;

	check(n > 0);
	part = (str){rest->p, (size_t)n};
	*rest = (str){rest->p + n, rest->n - (size_t)n};
	return part;
}

/* The value under a name among entries in the order of their names (a map's, an item's): 1, or 0.
 */
static inline int attr_find_sorted(struct attr_iter it, str name, str *ret_value)
{
	str n, v;

	while (attr_next(&it, &n, &v)) {
		int c = str_cmp(n, name);

		if (c < 0)
			continue;
		if (c > 0)
			return 0;
		*ret_value = v;
		return 1;
	}
	return 0;
}

#endif
