/*
 * The cache of hot records against a model of a store, in steps that a seed puts in order: one
 * writer (note, drop, write, publish), many readers (look, take the number, read, keep). Whatever
 * the order, nobody may see an older value than somebody saw before.
 */
#include "kv/cache.h"

#include "base/arena.h"
#include "kv/engine.h"
#include "test/kv/contract.h"
#include "test/test.h"

#include <stdio.h>

enum { KEYS = 40, READERS = 6, STEPS = 20000, PLACES = 64, VALUE_MAX = 900 };

struct reader {
	unsigned step, key;
	uint64_t since, value; /* number of the value read */
};

struct world {
	struct kv_cache *cache;
	struct kv_commit_table commits;
	struct dice dice;
	uint64_t store[KEYS],
		seen[KEYS]; /* numbers of values: what the store shows, what was seen */
	uint64_t seq;
	/* the write under way */
	unsigned step, keys[3], count;
	struct reader readers[READERS];
	unsigned hits;
};

static str key_of(char *room, unsigned i)
{
	return str_of(room, (size_t)snprintf(room, 32, "key/%u", i));
}

/* A value of any length that says its number all over. */
static str value_of(char *room, uint64_t number)
{
	size_t n = 8 + (size_t)(number * 37 % (VALUE_MAX - 8));

	memset(room, (int)(number & 0xff), n);
	kv_put_be64(room, number);
	return str_of(room, n);
}

static void see(struct world *w, unsigned key, uint64_t number)
{
	EXPECT(number >= w->seen[key]);
	w->seen[key] = MAX(w->seen[key], number);
}

static void write_step(struct world *w)
{
	char room[32], text[VALUE_MAX];

	switch (w->step++) {
	case 0:
		w->count = 1 + dice_below(&w->dice, 3);
		for (unsigned i = 0; i < w->count; i++)
			w->keys[i] = dice_below(&w->dice, KEYS);
		break;
	case 1:
		for (unsigned i = 0; i < w->count; i++) {
			uint64_t hash = str_hash(key_of(room, w->keys[i]));

			kv_commit_table_note(&w->commits, hash, w->seq + 1);
			kv_cache_drop(w->cache, hash);
		}
		break;
	case 2: /* it can be seen from here on */
		for (unsigned i = 0; i < w->count; i++)
			w->store[w->keys[i]] = w->seq + 1;
		break;
	case 3: w->seq++; break;
	case 4: /* what was written may come in at once */
		for (unsigned i = 0; i < w->count; i += 2) {
			str key = key_of(room, w->keys[i]);

			kv_cache_add(w->cache, key, str_hash(key), value_of(text, w->seq),
				&w->commits, w->seq);
		}
		break;
	default: /* acknowledged */
		for (unsigned i = 0; i < w->count; i++)
			see(w, w->keys[i], w->store[w->keys[i]]);
		w->step = 0;
	}
}

static void look(struct world *w, struct reader *r)
{
	struct arena a cleanup(arena_done_p) = {0};
	char room[32], expected[VALUE_MAX];
	str key, value = STR_NULL;

	arena_init(&a, SIZE_MAX);
	r->key = dice_below(&w->dice, KEYS);
	key = key_of(room, r->key);
	if (!kv_cache_get(w->cache, key, str_hash(key), &a, &value))
		return;
	w->hits++;
	ASSERT(value.n >= 8);
	see(w, r->key, kv_take_be64(value.p));
	EXPECT_INT(kv_take_be64(value.p), w->store[r->key]);
	EXPECT_STR(value, value_of(expected, kv_take_be64(value.p)));
	r->step = 0;
}

static void read_step(struct world *w, struct reader *r)
{
	char room[32], text[VALUE_MAX];
	str key;

	switch (r->step++) {
	case 0: look(w, r); break;
	case 1: r->since = w->seq; break;
	case 2:
		r->value = w->store[r->key];
		see(w, r->key, r->value);
		break;
	default:
		key = key_of(room, r->key);
		kv_cache_add(w->cache, key, str_hash(key), value_of(text, r->value), &w->commits,
			r->since);
		r->step = 0;
	}
}

static void run_world(size_t bytes_max, uint64_t seed)
{
	struct world w = {.cache = kv_cache_new(bytes_max), .dice = dice_of(seed, bytes_max)};

	kv_commit_table_init(&w.commits, PLACES);
	for (unsigned i = 0; i < STEPS && !test_failures(); i++) {
		unsigned who = dice_below(&w.dice, READERS * 4 + 1);

		if (who == READERS * 4)
			write_step(&w);
		else
			read_step(&w, &w.readers[who % READERS]);
		if (dice_below(&w.dice, 5000) == 0) { /* reopened: nobody is between read and add */
			for (unsigned j = 0; j < READERS; j++)
				w.readers[j].step = 0;
			kv_cache_clear(w.cache);
		}
	}
	EXPECT(w.hits > STEPS / 200);
	kv_commit_table_done(&w.commits);
	kv_cache_free(w.cache);
}

TEST(kv_cache, never_older_than_seen)
{
	unsigned long rounds = test_number("ROUNDS", 20);

	for (uint64_t seed = 1; seed <= rounds && !test_failures(); seed++) {
		run_world(8 * 1024, seed); /* a ring that wraps all the time */
		run_world(40 * 1024, seed);
		run_world(2 * 1024 * 1024, seed); /* several shards, never full */
	}
}

/* Records of a ring that is far too small, and those in use outlive the others. */
TEST(kv_cache, stays_within_its_bytes)
{
	struct kv_cache *c = kv_cache_new(64 * 1024);
	struct kv_commit_table commits;
	struct arena a cleanup(arena_done_p) = {0};
	unsigned hot = 0, cold = 0;
	char room[64], text[500] = {0}, big[20000] = {0};
	str value = STR_NULL;

	arena_init(&a, SIZE_MAX);
	kv_commit_table_init(&commits, PLACES);
	for (unsigned round = 0; round < 20; round++)
		for (unsigned i = 0; i < 2000; i++) {
			str key = key_of(room, i), often = key_of(room + 32, i % 20);

			for (unsigned j = 0; j < 2; j++)
				kv_cache_add(c, key, str_hash(key), str_of(text, sizeof text),
					&commits, 0);
			arena_done(&a);
			if (!kv_cache_get(c, often, str_hash(often), &a, &value))
				kv_cache_add(c, often, str_hash(often), str_of(text, sizeof text),
					&commits, 0);
		}
	for (unsigned i = 0; i < 2000; i++) {
		str key = key_of(room, i);
		bool found = kv_cache_get(c, key, str_hash(key), &a, &value);

		hot += found && i < 20;
		cold += found && i >= 20;
	}
	EXPECT(hot > 12);
	EXPECT(cold > 40 && (hot + cold) * sizeof text < 64 * 1024);
	/* too big for this ring */
	for (unsigned i = 0; i < 2; i++)
		kv_cache_add(c, STR("big"), 1, str_of(big, sizeof big), &commits, 0);
	EXPECT(!kv_cache_get(c, STR("big"), 1, &a, &value));
	kv_cache_free(c);
	EXPECT(kv_cache_new(100) == NULL);
	EXPECT(!kv_cache_get(NULL, STR("k"), 1, &a, &value));
	kv_cache_drop(NULL, 1);
	kv_cache_clear(NULL);
	kv_cache_free(NULL);
	kv_commit_table_done(&commits);
}
