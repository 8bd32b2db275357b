/*
 * The only callers of malloc (STYLE 15, 27). Allocation never fails: out of memory aborts, because
 * everything that grows by input has its own limit long before that.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/attr.h"

/*
 * Once, when a process begins to serve: memory that is taken and freed again and again (the tables
 * that the store fills) stays mapped, up to 32 MiB of each allocator's heap, for its pages cost
 * more to get anew than what is written into them. Not earlier: big zeroed arrays would then be
 * cleared by hand instead of coming as pages that nobody has touched.
 */
void mem_keep_mapped(void);
/*
 * Once, before the process has threads: one heap for all of them. A heap keeps mapped the most that
 * it ever held, and what wanders from thread to thread, as RocksDB's cached blocks do, would do so
 * in the heap of each: twice the cache was seen.
 */
void mem_share_heaps(void);

void *mem_alloc(size_t n) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *mem_zero(size_t n) __attribute__((malloc, alloc_size(1), returns_nonnull));
/* `p` may be NULL. */
void *mem_realloc(void *p, size_t n) __attribute__((alloc_size(2), returns_nonnull));
void mem_free(void *p);

/* A zeroed object, or array, of a type. */
#define mem_new(type)          ((type *)mem_zero(sizeof(type)))
#define mem_new_array(type, n) ((type *)mem_zero_array((n), sizeof(type)))
void *mem_zero_array(size_t n, size_t size)
	__attribute__((malloc, alloc_size(1, 2), returns_nonnull));

/* For `cleanup(mem_free_p)` on a pointer variable. */
void mem_free_p(void *pp);

#endif
