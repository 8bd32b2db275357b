/*
 * The one inner loop of JSON: finding the next byte of a string that needs care. Private to json.c
 * and json_write.c. SSE2 where the machine has it, else eight bytes at a time; never reads past
 * `end`.
 */
#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline bool json_byte_is_special(unsigned char c)
{
	return c == '"' || c == '\\' || c < 0x20;
}

/* Eight bytes at a time, then single ones; also the tail of the vector loop. */
static inline const char *json_find_special_words(const char *p, const char *end, unsigned *high)
{
	const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;

	while (end - p >= 8) {
		uint64_t v, quote, slash, control;

		memcpy(&v, p, 8);
		quote = v ^ (ones * '"');
		slash = v ^ (ones * '\\');
		quote = (quote - ones) & ~quote;
		slash = (slash - ones) & ~slash;
		control = (v - ones * 0x20) & ~v;
		/* May also mark a byte behind a true one (the borrow): the loop below is exact. */
		if ((quote | slash | control) & tops)
			break;
		*high |= (v & tops) != 0;
		p += 8;
	}
	for (; p < end && !json_byte_is_special((unsigned char)*p); p++)
		*high |= (unsigned char)*p >> 7;
	return p;
}

/*
 * The first '"', '\\' or control character at or behind `p`, or `end`. *high becomes non-zero when
 * a byte above 0x7f may stand before it (never zero when one does).
 */
static inline const char *json_find_special(const char *p, const char *end, unsigned *high)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'),
		      last_control = _mm_set1_epi8(0x1f);

	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)p);
		__m128i special = _mm_or_si128(
			_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)),
			_mm_cmpeq_epi8(_mm_min_epu8(v, last_control), v));
		unsigned mask = (unsigned)_mm_movemask_epi8(special);
		unsigned tops = (unsigned)_mm_movemask_epi8(v);

		if (mask) {
			unsigned n = (unsigned)__builtin_ctz(mask);

			*high |= tops & ((1u << n) - 1);
			return p + n;
		}
		*high |= tops;
		p += 16;
	}
#endif
	return json_find_special_words(p, end, high);
}

#endif
