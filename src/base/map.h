/*
 * A hash table from byte strings to pointers. Keys are borrowed: they usually live in the object
 * that the value points to. Open addressing with linear probing; not thread-safe.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct map_slot {
	uint64_t hash;
	str key;
	void *value; /* NULL: free */
};

struct map {
	struct map_slot *slots;
	size_t count, capacity; /* capacity is 0 or a power of two */
};

/* An all-zero map is empty and ready. */
void map_done(struct map *m);
/* NULL when absent. */
void *map_get(const struct map *m, str key);
/* Adds or replaces (the key too); `value` is not NULL. Returns the value replaced, or NULL. */
void *map_put(struct map *m, str key, void *value);
/* Returns the value taken out, or NULL. */
void *map_remove(struct map *m, str key);

/* No adding or removing inside the body. The order is that of the hashes. */
#define map_for_each(slot, m)                                                               \
	for (struct map_slot *slot = (m)->slots; slot < (m)->slots + (m)->capacity; slot++) \
		if (slot->value)

#endif
