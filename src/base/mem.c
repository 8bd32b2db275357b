/*
 * Allocation that aborts instead of failing.
 */
#include "base/mem.h"

#include "base/check.h"

#include <stdlib.h>

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
