/*
 * The hash table: linear probing, at most three quarters full, deletion by moving entries back.
 */
#include "base/map.h"

#include "base/check.h"
#include "base/mem.h"

void map_done(struct map *m)
{
	mem_free(m->slots);
	*m = (struct map){0};
}

/* The slot that holds `key`, or the free one where it belongs. */
static struct map_slot *find(const struct map *m, str key, uint64_t hash)
{
	size_t i = hash & (m->capacity - 1);

	while (m->slots[i].value && (m->slots[i].hash != hash || !str_eq(m->slots[i].key, key)))
		i = (i + 1) & (m->capacity - 1);
	return &m->slots[i];
}

static void grow(struct map *m)
{
	struct map bigger = {.capacity = m->capacity ? m->capacity * 2 : 16};

	bigger.slots = mem_new_array(struct map_slot, bigger.capacity);
	for (size_t i = 0; i < m->capacity; i++)
		if (m->slots[i].value)
			*find(&bigger, m->slots[i].key, m->slots[i].hash) = m->slots[i];
	bigger.count = m->count;
	mem_free(m->slots);
	*m = bigger;
}

void *map_get(const struct map *m, str key)
{
	return m->count ? find(m, key, str_hash(key))->value : NULL;
}

void *map_put(struct map *m, str key, void *value)
{
	uint64_t hash = str_hash(key);
	struct map_slot *slot;
	void *old;

	check(value != NULL);
	if ((m->count + 1) * 4 > m->capacity * 3)
		grow(m);
	slot = find(m, key, hash);
	old = slot->value;
	*slot = (struct map_slot){hash, key, value};
	m->count += old == NULL;
	return old;
}

void *map_remove(struct map *m, str key)
{
	struct map_slot *slot;
	void *old;
	size_t hole, i;

	if (m->count == 0)
		return NULL;
	slot = find(m, key, str_hash(key));
	old = slot->value;
	if (!old)
		return NULL;
	/* Moves later entries of the probe run back, so that no marker of deletion is needed. */
	hole = (size_t)(slot - m->slots);
	for (i = hole;;) {
		size_t home;

		i = (i + 1) & (m->capacity - 1);
		if (!m->slots[i].value)
			break;
		home = m->slots[i].hash & (m->capacity - 1);
		if (((i - home) & (m->capacity - 1)) >= ((i - hole) & (m->capacity - 1))) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){0};
	m->count--;
	return old;
}
