/*
 * Byte strings: the functions of str.h that are not worth inlining. Pure; any thread.
 */
#include "base/str.h"

#include "base/rc.h"

static uint64_t hash_seed = 0x9e3779b97f4a7c15u; /* set once at start */

static inline char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_eq_nocase(str a, str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

ptrdiff_t str_find(str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? at - s.p : -1;
}

ptrdiff_t str_find_str(str s, str needle)
{
	const char *at;

	if (needle.n == 0)
		return 0;
	at = s.n >= needle.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return at ? at - s.p : -1;
}

ptrdiff_t str_find_last(str s, char c)
{
	const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;

	return at ? at - s.p : -1;
}

str str_trim(str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = str_from(s, 1);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

bool str_split(str *rest, char sep, str *ret_part)
{
	ptrdiff_t at;

	if (!rest->p || (rest->n == 0))
		return false;
	at = str_find(*rest, sep);
	if (at < 0) {
		*ret_part = *rest;
		*rest = STR_NULL;
	} else {
		*ret_part = str_sub(*rest, 0, (size_t)at);
		*rest = str_from(*rest, (size_t)at + 1);
	}
	return true;
}

int str_to_u64(str s, uint64_t max, uint64_t *ret_value)
{
	uint64_t v = 0;

	if (s.n == 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

		if (digit > 9)
			return ERR_SYNTAX;
		if (v > (UINT64_MAX - digit) / 10)
			return ERR_RANGE;
		v = v * 10 + digit;
	}
	if (v > max)
		return ERR_RANGE;
	*ret_value = v;
	return 0;
}

int str_to_i64(str s, int64_t *ret_value)
{
	bool negative = s.n && s.p[0] == '-';
	uint64_t v;

	TRY(str_to_u64(negative ? str_from(s, 1) : s, (uint64_t)INT64_MAX + negative, &v));
	*ret_value = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

void str_hash_seed(uint64_t seed)
{
	hash_seed = seed;
}

/* One 64x64 -> 128 multiplication folded: the mixing step of the wyhash family. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t load(const char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

uint64_t str_hash(str s)
{
	uint64_t h = hash_seed ^ mix(s.n ^ 0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu);
	size_t left = s.n;
	const char *p = s.p;

	for (; left > 16; p += 16, left -= 16)
		h = mix(load(p, 8) ^ 0x8ebc6af09c88c6e3u, load(p + 8, 8) ^ h);
	if (left > 8)
		return mix(load(p, 8) ^ 0x589965cc75374cc3u, load(p + 8, left - 8) ^ h);
	return mix(load(p, left) ^ 0x1d8e4e27c47d124fu, h ^ 0xeb44accab455d165u);
}

/* Number of continuation bytes after `c` and the range of the first of them; 0 when invalid. */
static int utf8_lead(unsigned char c, unsigned char *low, unsigned char *high)
{
	*low = 0x80;
	*high = 0xbf;
	if (c >= 0xc2 && c <= 0xdf)
		return 1;
	if (c >= 0xe0 && c <= 0xef) {
		if (c == 0xe0)
			*low = 0xa0;
		if (c == 0xed)
			*high = 0x9f;
		return 2;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		if (c == 0xf0)
			*low = 0x90;
		if (c == 0xf4)
			*high = 0x8f;
		return 3;
	}
	return 0;
}

bool str_is_utf8(str s)
{
	size_t i = 0;

	while (i < s.n) {
		unsigned char low, high, c;
		int more;

		if (s.n - i >= 8 && !(load(s.p + i, 8) & 0x8080808080808080u)) {
			i += 8;
			continue;
		}
		c = (unsigned char)s.p[i++];
		if (c < 0x80)
			continue;
		more = utf8_lead(c, &low, &high);
		if (!more || s.n - i < (size_t)more)
			return false;
		for (; more > 0; more--, i++) {
			c = (unsigned char)s.p[i];
			if (c < low || c > high)
				return false;
			low = 0x80;
			high = 0xbf;
		}
	}
	return true;
}

bool str_eq_secret(str a, str b)
{
	unsigned char diff = 0;

	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		diff |= (unsigned char)(a.p[i] ^ b.p[i]);
	return diff == 0;
}
