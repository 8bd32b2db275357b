/*
 * Arenas: chunks of 16 KiB (bigger allocations get a chunk of their own) from a per-thread list of
 * at most CACHE_MAX spare ones.
 */
#include "base/arena.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

enum { CHUNK_BYTES = 16 * 1024, CACHE_MAX = 256 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t bytes; /* of data[] */
	_Alignas(16) char data[];
};

void arena_init(struct arena *a, size_t budget_bytes)
{
	*a = (struct arena){.budget_bytes = budget_bytes};
}

#ifdef ARENA_DEBUG

void *arena_alloc_slow(struct arena *a, size_t n, size_t align)
{
	struct arena_chunk *c = mem_alloc(sizeof *c + n);

	(void)align;
	c->bytes = n;
	c->next = a->chunks;
	a->chunks = c;
	a->used_bytes += n;
	memset(c->data, 0xa5, n);
	return c->data;
}

void arena_done(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *c = a->chunks;

		a->chunks = c->next;
		memset(c->data, 0x5a, c->bytes);
		mem_free(c);
	}
	a->used_bytes = 0;
}

#else

static _Thread_local struct {
	struct arena_chunk *spare;
	unsigned count;
} cache;

static noinline_fn struct arena_chunk *chunk_take(size_t n)
{
	struct arena_chunk *c = cache.spare;

	if (n <= CHUNK_BYTES && c) {
		cache.spare = c->next;
		cache.count--;
		return c;
	}
	n = MAX(n, (size_t)CHUNK_BYTES);
	c = mem_alloc(sizeof *c + n);
	c->bytes = n;
	return c;
}

static noinline_fn void chunk_give(struct arena_chunk *c)
{
	if (c->bytes != CHUNK_BYTES || cache.count >= CACHE_MAX) {
		mem_free(c);
		return;
	}
	c->next = cache.spare;
	cache.spare = c;
	cache.count++;
}

void *arena_alloc_slow(struct arena *a, size_t n, size_t align)
{
	struct arena_chunk *c;

	check(n < SIZE_MAX / 2);
	c = chunk_take(n);
	a->used_bytes += n;
	/* A chunk made for one large object must not cost the rest of the current one. */
	if (c->bytes > CHUNK_BYTES && a->chunks) {
		c->next = a->chunks->next;
		a->chunks->next = c;
		return c->data;
	}
	(void)align; /* data[] starts aligned for any type */
	c->next = a->chunks;
	a->chunks = c;
	a->at = c->data + n;
	a->end = c->data + c->bytes;
	return c->data;
}

void arena_done(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *c = a->chunks;

		a->chunks = c->next;
		chunk_give(c);
	}
	a->at = a->end = NULL;
	a->used_bytes = 0;
}

#endif

void arena_done_p(struct arena *a)
{
	arena_done(a);
}

void *arena_zero(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

void *arena_zero_array(struct arena *a, size_t n, size_t size)
{
	size_t bytes;

	check(!__builtin_mul_overflow(n, size, &bytes));
	return arena_zero(a, bytes);
}

str arena_str(struct arena *a, str s)
{
	char *p;

	if (!s.p)
		return STR_NULL;
	p = arena_bytes(a, s.n);
	if (s.n)
		memcpy(p, s.p, s.n);
	return (str){p, s.n};
}

char *arena_c(struct arena *a, str s)
{
	char *p = arena_bytes(a, s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return p;
}

str arena_concat(struct arena *a, const str *parts, size_t n)
{
	size_t total = 0;
	char *p, *at;

	for (size_t i = 0; i < n; i++)
		total += parts[i].n;
	at = p = arena_bytes(a, total);
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n)
			memcpy(at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	return (str){p, total};
}

str arena_printf(struct arena *a, const char *format, ...)
{
	va_list args;
	char *p;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	check(n >= 0);
	p = arena_bytes(a, (size_t)n + 1);
	va_start(args, format);
	vsnprintf(p, (size_t)n + 1, format, args);
	va_end(args);
	return (str){p, (size_t)n};
}
