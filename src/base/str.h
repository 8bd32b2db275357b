/*
 * Borrowed byte strings by value (STYLE 13). A str owns nothing; NUL ends nothing; an absent string
 * is STR_NULL (p == NULL), which is distinct from an empty one.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct str {
	const char *p;
	size_t n;
} str;

#define STR(literal) ((str){"" literal, sizeof(literal) - 1})
/* As STR(), for static initialisers. */
#define STR_INIT(literal)                       \
	{                                       \
		"" literal, sizeof(literal) - 1 \
	}
#define STR_NULL   ((str){NULL, 0})
/* For printf("%.*s"). */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline str str_of(const void *p, size_t n)
{
	return (str){(const char *)p, n};
}

/* A NUL-terminated string of our own (never input). NULL gives STR_NULL. */
static inline str str_c(const char *c)
{
	return c ? (str){c, strlen(c)} : STR_NULL;
}

static inline bool str_eq(str a, str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Bytewise order, the shorter first when one is a prefix of the other: < 0, 0, > 0. */
static inline int str_cmp(str a, str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

static inline bool str_starts(str s, str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool str_ends(str s, str suffix)
{
	return s.n >= suffix.n &&
	       (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

/* The part from `from` on, or up to `n` bytes of it; bounds are clipped. */
static inline str str_from(str s, size_t from)
{
	return from >= s.n ? (str){s.p + s.n, 0} : (str){s.p + from, s.n - from};
}

static inline str str_sub(str s, size_t from, size_t n)
{
	s = str_from(s, from);
	return n < s.n ? (str){s.p, n} : s;
}

/* ASCII case is ignored. */
bool str_eq_nocase(str a, str b);
/* Index of the first `c` / `needle`, or -1. */
ptrdiff_t str_find(str s, char c);
ptrdiff_t str_find_str(str s, str needle);
ptrdiff_t str_find_last(str s, char c);
/* Without leading and trailing spaces and tabs. */
str str_trim(str s);
/*
 * Cuts *rest at the first `sep`: 1 and the part before it in *ret_part (the whole of a rest without
 * `sep`), *rest behind it; 0 once nothing is left. "a,,b" has an empty part; "" has none.
 */
bool str_split(str *rest, char sep, str *ret_part);
/* Base 10, digits only, no sign, no spaces: ERR_SYNTAX, or ERR_RANGE above `max`. */
must_use int str_to_u64(str s, uint64_t max, uint64_t *ret_value);
/* As above with an optional '-'. */
must_use int str_to_i64(str s, int64_t *ret_value);
/* 64-bit hash for tables in memory, keyed per process against crafted collisions. */
uint64_t str_hash(str s);
/* The key of str_hash(): set once at start (0 in the simulation). */
void str_hash_seed(uint64_t seed);
/* RFC 3629: no overlong forms, no surrogates. */
bool str_is_utf8(str s);
/* True when equal; takes the same time wherever the first difference is. */
bool str_eq_secret(str a, str b);

#endif
