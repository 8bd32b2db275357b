/*
 * Allocation that aborts instead of failing.
 */
#include "base/mem.h"

#include "base/check.h"

#include <malloc.h>
#include <stdlib.h>

enum {
	OWN_MAPPING_FROM = 4 * 1024 * 1024, /* above what RocksDB takes at once, 1 MiB */
	KEPT_BYTES = 32 * 1024 * 1024,
	GROWN_BYTES = 1024 * 1024,
	HEAP_ARENAS_MAX = 1,
};

void mem_share_heaps(void)
{
#ifdef __GLIBC__
	(void)mallopt(M_ARENA_MAX, HEAP_ARENAS_MAX);
#endif
}

void mem_keep_mapped(void)
{
#ifdef __GLIBC__
	(void)mallopt(M_MMAP_THRESHOLD, OWN_MAPPING_FROM);
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
	(void)mallopt(M_TOP_PAD, GROWN_BYTES);
#endif
}

void *mem_alloc(size_t n)
{
	void *p = malloc(n ? n : 1);

	check(p != NULL);
	return p;
}

void *mem_zero(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	check(p != NULL);
	return p;
}

void *mem_zero_array(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	check(p != NULL);
	return p;
}

void *mem_realloc(void *p, size_t n)
{
	p = realloc(p, n ? n : 1);
	check(p != NULL);
	return p;
}

void mem_free(void *p)
{
	free(p);
}

void mem_free_p(void *pp)
{
	free(*(void **)pp);
}
