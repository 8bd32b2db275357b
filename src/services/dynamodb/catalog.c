/*
 * The catalog: a map per loop, dropped when the shared generation has moved.
 */
#include "services/dynamodb/catalog.h"

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rc.h"
#include "kv/kv.h"
#include "rt/rt.h"

#include <stdatomic.h>

enum {
	NAME_MAX_BYTES = 512,    /* account, region and name, with separators */
	LOOP_TABLES_MAX = 10000, /* a loop forgets all beyond: they are found again */
	DOCUMENT_BYTES = TABLE_DOCUMENT_MAX
};

struct catalog {
	struct kv *kv;
	unsigned slot;
	_Atomic uint64_t generation;
};

/* What one loop knows. */
struct loop_tables {
	struct map by_name; /* the key is `name` of the entry */
	uint64_t generation;
};

struct entry {
	struct table *table;
	size_t n;
	char name[];
};

static void forget_all(struct loop_tables *known)
{
	map_for_each(slot, &known->by_name) {
		struct entry *e = slot->value;

		table_unref(e->table);
		mem_free(e);
	}
	map_done(&known->by_name);
}

static void free_loop_tables(void *value)
{
	struct loop_tables *known = value;

	if (known)
		forget_all(known);
	mem_free(known);
}

struct catalog *catalog_new(struct rt *rt)
{
	struct catalog *c = mem_new(struct catalog);

	c->slot = rt_slot_new(rt, free_loop_tables);
	return c;
}

void catalog_start(struct catalog *c, struct kv *kv)
{
	c->kv = kv;
}

void catalog_free(struct catalog *c)
{
	mem_free(c);
}

void catalog_changed(struct catalog *c)
{
	atomic_fetch_add(&c->generation, 1);
}

/* This loop's tables of the present generation. Not to be kept over a suspension. */
static struct loop_tables *loop_tables(struct catalog *c, uint64_t generation)
{
	void **at = rt_slot(c->slot);
	struct loop_tables *known = *at;

	if (unlikely(!known))
		*at = known = mem_new(struct loop_tables);
	if (unlikely(known->generation != generation || known->by_name.count > LOOP_TABLES_MAX)) {
		forget_all(known);
		known->generation = generation;
	}
	return known;
}

static void remember(struct catalog *c, uint64_t generation, str full, struct table *t)
{
	struct loop_tables *known;
	struct entry *e, *old;

	/* Read before the change, put after it: then it must not be remembered. */
	if (atomic_load(&c->generation) != generation)
		return;
	known = loop_tables(c, generation);
	e = mem_alloc(sizeof *e + full.n);
	e->table = table_ref(t);
	e->n = full.n;
	memcpy(e->name, full.p, full.n);
	old = map_put(&known->by_name, str_of(e->name, e->n), e);
	if (old) {
		table_unref(old->table);
		mem_free(old);
	}
}

static int load(struct catalog *c, str account, str region, str name, struct table **ret_table)
{
	struct arena a cleanup(arena_done_p);
	str document;

	arena_init(&a, DOCUMENT_BYTES * 2);
	if (!TRY(kv_get(c->kv, table_key(&a, account, region, name), &a, &document)))
		return 0;
	TRY(table_decode(document, ret_table));
	return 1;
}

int catalog_find(struct catalog *c, str account, str region, str name, struct table **ret_table)
{
	uint64_t generation = atomic_load_explicit(&c->generation, memory_order_acquire);
	char text[NAME_MAX_BYTES];
	struct entry *e;
	str full;

	if (account.n + region.n + name.n + 2 > sizeof text)
		return 0;
	memcpy(text, account.p, account.n);
	text[account.n] = '\n';
	memcpy(text + account.n + 1, region.p, region.n);
	text[account.n + 1 + region.n] = '\n';
	memcpy(text + account.n + region.n + 2, name.p, name.n);
	full = str_of(text, account.n + region.n + name.n + 2);
	e = map_get(&loop_tables(c, generation)->by_name, full);
	if (likely(e != NULL)) {
		*ret_table = table_ref(e->table);
		return 1;
	}
	if (!TRY(load(c, account, region, name, ret_table)))
		return 0;
	remember(c, generation, full, *ret_table);
	return 1;
}
