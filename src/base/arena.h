/*
 * Memory that dies together: one arena per request (STYLE 14), and for anything else with one end.
 *
 * An allocation never fails. What bounds an arena is its budget: going over it sets a mark that the
 * owner asks for with arena_over() at the ends of its stages (after decoding, after each page of a
 * scan, before encoding) and turns into an error to the client. Every single stage is bounded by
 * the size limits of its input, so memory cannot run far past the mark.
 *
 * Chunks are kept in a small per-thread list, so a request costs no malloc in the steady state. In
 * builds with ARENA_DEBUG each allocation is a malloc of its own, freed at reset, so that
 * AddressSanitizer sees overruns and uses after the end.
 *
 * Not thread-safe: one owner at a time.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* newest first */
	char *at, *end;             /* free room in the newest */
	size_t used_bytes, budget_bytes;
};

/* Starts an empty arena; takes no memory yet. */
void arena_init(struct arena *a, size_t budget_bytes);
/* Gives all memory back; the arena may be used again. Accepts an all-zero arena. */
void arena_done(struct arena *a);
/* Was more allocated than the budget allows? */
static inline bool arena_over(const struct arena *a)
{
	return a->used_bytes > a->budget_bytes;
}

void *arena_alloc_slow(struct arena *a, size_t n, size_t align) __attribute__((returns_nonnull));

/* `n` bytes, not initialised, aligned for any type. Never NULL. */
static inline void *arena_alloc(struct arena *a, size_t n)
{
#ifndef ARENA_DEBUG
	char *p = (char *)(((uintptr_t)a->at + 15) & ~(uintptr_t)15);

	if (likely(a->at != NULL && n <= (size_t)(a->end - a->at) && p + n <= a->end)) {
		a->at = p + n;
		a->used_bytes += n;
		return p;
	}
#endif
	return arena_alloc_slow(a, n, 16);
}

/* `n` bytes without alignment, for text. */
static inline char *arena_bytes(struct arena *a, size_t n)
{
#ifndef ARENA_DEBUG
	char *p = a->at;

	if (likely(p != NULL && n <= (size_t)(a->end - p))) {
		a->at = p + n;
		a->used_bytes += n;
		return p;
	}
#endif
	return arena_alloc_slow(a, n, 1);
}

void *arena_zero(struct arena *a, size_t n) __attribute__((returns_nonnull));
#define arena_new(a, type)          ((type *)arena_zero((a), sizeof(type)))
#define arena_new_array(a, type, n) ((type *)arena_zero_array((a), (n), sizeof(type)))
/* n * size is checked: an overflow is our own bug. */
void *arena_zero_array(struct arena *a, size_t n, size_t size) __attribute__((returns_nonnull));

/* A copy; STR_NULL stays STR_NULL. */
str arena_str(struct arena *a, str s);
/* A NUL-terminated copy, for system calls and libraries. */
char *arena_c(struct arena *a, str s) __attribute__((returns_nonnull));
str arena_concat(struct arena *a, const str *parts, size_t n);
#define ARENA_CONCAT(a, ...) \
	arena_concat((a), (const str[]){__VA_ARGS__}, ARRAY_SIZE(((const str[]){__VA_ARGS__})))
str arena_printf(struct arena *a, const char *format, ...) printf_like(2, 3);
/* For `cleanup(arena_done_p)` on a struct arena variable. */
void arena_done_p(struct arena *a);

#endif
