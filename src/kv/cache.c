/*
 * The cache of hot records (cache.h). A shard is a ring of records and an index of places: four
 * slots a bucket, each a part of the hash and where the record stands. A record whose slot was
 * taken by another is dead; its room comes back when the ring's tail passes it.
 *
 * The ring: plain, the records are [tail, head); wrapped, they are [tail, end) and [0, head).
 */
#include "kv/cache.h"

#include "base/mem.h"
#include "kv/engine.h"

#include <pthread.h>

enum {
	SHARDS_MAX = 32,
	SHARD_BYTES_MIN = 256 * 1024,
	RING_BYTES_MIN = 4 * 1024,
	RECORD_BYTES_MAX = 64 * 1024,
	SLOTS = 4, /* of a bucket */
	RECORD_BYTES_USUAL = 256,
	KEEPS_MAX = 8, /* records that one insertion moves out of the tail's way */
	MARKS = 1 << 16,
	MARK_SET = 8,
};

struct record {
	uint64_t hash;
	uint32_t bytes; /* all of it: a multiple of 8 */
	uint32_t key_n, value_n;
	bool used;   /* read since it came, or since the tail passed it */
	bool hidden; /* dropped: only its place is left, for the next value */
	char data[];
};

struct slot {
	uint32_t tag;
	uint32_t place; /* of the record, in units of 8 bytes, plus 1; 0: free */
};

struct cache_shard {
	pthread_mutex_t lock;
	char *ring;
	struct slot *slots;
	size_t head, tail, end;
	bool wrapped;
	uint32_t turn; /* whose slot goes when a bucket is full */
} __attribute__((aligned(64)));

struct kv_cache {
	void *memory; /* that this stands in, aligned */
	char *rings;  /* of all shards: pages that nobody has used cost nothing */
	struct slot *slots;
	size_t ring_bytes, bucket_mask;
	unsigned shard_mask;
	_Atomic uint16_t *marks; /* of keys that were read once */
	struct cache_shard shards[];
};

static size_t power_of_two_below(size_t n)
{
	size_t p = 1;

	while (p <= n / 2)
		p *= 2;
	return p;
}

struct kv_cache *kv_cache_new(size_t bytes_max)
{
	size_t shards = power_of_two_below(bytes_max / SHARD_BYTES_MIN + 1), buckets;
	struct kv_cache *c;
	void *memory;

	if (bytes_max < RING_BYTES_MIN)
		return NULL;
	shards = MIN(shards, (size_t)SHARDS_MAX);
	memory = mem_zero(sizeof *c + shards * sizeof c->shards[0] + 64);
	c = (void *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
	c->memory = memory;
	c->shard_mask = (unsigned)shards - 1;
	buckets = power_of_two_below(bytes_max / shards / (RECORD_BYTES_USUAL * SLOTS));
	c->bucket_mask = buckets - 1;
	c->ring_bytes = (bytes_max / shards - buckets * SLOTS * sizeof(struct slot)) & ~(size_t)7;
	c->marks = mem_zero_array(MARKS, sizeof *c->marks);
	c->rings = mem_alloc(shards * c->ring_bytes);
	c->slots = mem_new_array(struct slot, shards * buckets * SLOTS);
	for (size_t i = 0; i < shards; i++) {
		pthread_mutex_init(&c->shards[i].lock, NULL);
		c->shards[i].ring = c->rings + i * c->ring_bytes;
		c->shards[i].slots = c->slots + i * buckets * SLOTS;
	}
	return c;
}

void kv_cache_free(struct kv_cache *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i <= c->shard_mask; i++)
		pthread_mutex_destroy(&c->shards[i].lock);
	mem_free(c->rings);
	mem_free(c->slots);
	mem_free(c->marks);
	mem_free(c->memory);
}

/* --- places: parts of the hash ---------------------------------------------------------------- */

static struct cache_shard *shard_of(struct kv_cache *c, uint64_t hash)
{
	return &c->shards[(hash >> 48) & c->shard_mask];
}

static struct slot *bucket_of(const struct kv_cache *c, struct cache_shard *s, uint64_t hash)
{
	return &s->slots[(hash & c->bucket_mask) * SLOTS];
}

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

static struct record *record_at(const struct cache_shard *s, uint32_t place)
{
	return (struct record *)(s->ring + (size_t)(place - 1) * 8);
}

static uint32_t place_of(const struct cache_shard *s, const struct record *r)
{
	return (uint32_t)(((const char *)r - s->ring) / 8 + 1);
}

/* --- the ring --------------------------------------------------------------------------------- */

static struct slot *slot_of(const struct kv_cache *c, struct cache_shard *s, const struct record *r)
{
	struct slot *bucket = bucket_of(c, s, r->hash);
	uint32_t place = place_of(s, r);

	for (unsigned i = 0; i < SLOTS; i++)
		if (bucket[i].place == place)
			return &bucket[i];
	return NULL; /* dead */
}

/* The oldest record goes, or goes on in front when it is in use and `may_keep`. True: it does. */
static bool ring_advance(const struct kv_cache *c, struct cache_shard *s, bool may_keep)
{
	struct record *r = (struct record *)(s->ring + s->tail);
	struct slot *slot = slot_of(c, s, r);
	size_t bytes = r->bytes;
	bool keep = slot && r->used && !r->hidden && may_keep;

	check(s->wrapped && s->tail + bytes <= s->end);
	if (keep) {
		r->used = false;
		memmove(s->ring + s->head, r, bytes);
		slot->place = place_of(s, (struct record *)(s->ring + s->head));
		s->head += bytes;
	} else if (slot) {
		slot->place = 0;
	}
	s->tail += bytes;
	if (s->tail == s->end) {
		s->tail = 0;
		s->wrapped = false;
	}
	return keep;
}

/* Would something have to go? */
static bool ring_full(const struct kv_cache *c, const struct cache_shard *s, size_t bytes)
{
	return s->wrapped ? s->tail - s->head < bytes : c->ring_bytes - s->head < bytes;
}

static struct record *ring_room(const struct kv_cache *c, struct cache_shard *s, size_t bytes)
{
	struct record *r;
	unsigned keeps = 0;

	while (ring_full(c, s, bytes)) {
		if (s->wrapped) {
			keeps += ring_advance(c, s, keeps < KEEPS_MAX);
			continue;
		}
		s->end = s->head;
		s->head = 0;
		s->wrapped = s->tail < s->end;
		if (!s->wrapped)
			s->tail = 0;
	}
	r = (struct record *)(s->ring + s->head);
	s->head += bytes;
	return r;
}

/* --- the calls -------------------------------------------------------------------------------- */

static bool is_key(const struct record *r, str key, uint64_t hash)
{
	return r->hash == hash && r->key_n == key.n && memcmp(r->data, key.p, key.n) == 0;
}

/* Its own slot, or NULL. */
static struct slot *slot_find(struct cache_shard *s, struct slot *bucket, str key, uint64_t hash)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (bucket[i].place && bucket[i].tag == tag_of(hash) &&
			is_key(record_at(s, bucket[i].place), key, hash))
			return &bucket[i];
	return NULL;
}

/* Its own slot before a free one before somebody else's. */
static struct slot *slot_take(struct cache_shard *s, struct slot *bucket, str key, uint64_t hash)
{
	struct slot *slot = slot_find(s, bucket, key, hash);

	for (unsigned i = 0; i < SLOTS && !slot; i++)
		if (!bucket[i].place)
			slot = &bucket[i];
	return slot ? slot : &bucket[s->turn++ % SLOTS];
}

bool kv_cache_get(struct kv_cache *c, str key, uint64_t hash, struct arena *arena, str *ret_value)
{
	struct cache_shard *s;
	struct record *r = NULL;
	struct slot *slot;

	if (!c)
		return false;
	s = shard_of(c, hash);
	pthread_mutex_lock(&s->lock);
	slot = slot_find(s, bucket_of(c, s, hash), key, hash);
	if (slot)
		r = record_at(s, slot->place);
	if (r && r->hidden)
		r = NULL;
	if (r) {
		r->used = true;
		*ret_value = arena_str(arena, str_of(r->data + r->key_n, r->value_n));
	}
	pthread_mutex_unlock(&s->lock);
	return r != NULL;
}

/* Only marks it the first time. Of a set of marks the first is the newest. */
static bool is_marked(struct kv_cache *c, uint64_t hash)
{
	_Atomic uint16_t *set = &c->marks[(hash >> 24) % (MARKS / MARK_SET) * MARK_SET];
	uint16_t tag = (uint16_t)(hash >> 8 | 1), before = tag;

	for (unsigned i = 0; i < MARK_SET; i++)
		if (atomic_load_explicit(&set[i], memory_order_relaxed) == tag)
			return true;
	for (unsigned i = 0; i < MARK_SET; i++)
		before = atomic_exchange_explicit(&set[i], before, memory_order_relaxed);
	return false;
}

static void record_fill(struct record *r, str key, uint64_t hash, str value, size_t bytes)
{
	*r = (struct record){.hash = hash,
		.bytes = (uint32_t)bytes,
		.key_n = (uint32_t)key.n,
		.value_n = (uint32_t)value.n};
	memcpy(r->data, key.p, key.n);
	memcpy(r->data + key.n, value.p, value.n);
}

/* Under the lock: in its old place when it has the same size there, else in front. */
static void add(struct kv_cache *c, struct cache_shard *s, str key, uint64_t hash, str value)
{
	size_t bytes = (sizeof(struct record) + key.n + value.n + 7) & ~(size_t)7;
	struct slot *bucket = bucket_of(c, s, hash), *slot = slot_find(s, bucket, key, hash);
	struct record *r;

	if (bytes > MIN((size_t)RECORD_BYTES_MAX, c->ring_bytes / 4))
		return;
	if (slot && record_at(s, slot->place)->bytes == bytes) {
		record_fill(record_at(s, slot->place), key, hash, value, bytes);
		return;
	}
	if (!slot && ring_full(c, s, bytes) && !is_marked(c, hash))
		return;
	r = ring_room(c, s, bytes);
	record_fill(r, key, hash, value, bytes);
	slot = slot_take(s, bucket, key, hash); /* making room has moved others, maybe its own */
	*slot = (struct slot){.tag = tag_of(hash), .place = place_of(s, r)};
}

void kv_cache_add(struct kv_cache *c, str key, uint64_t hash, str value,
	const struct kv_commit_table *commits, uint64_t since)
{
	struct cache_shard *s;

	if (!c)
		return;
	s = shard_of(c, hash);
	pthread_mutex_lock(&s->lock);
	if (!kv_commit_table_changed(commits, hash, since))
		add(c, s, key, hash, value);
	pthread_mutex_unlock(&s->lock);
}

void kv_cache_drop(struct kv_cache *c, uint64_t hash)
{
	struct cache_shard *s;
	struct slot *bucket;

	if (!c)
		return;
	s = shard_of(c, hash);
	bucket = bucket_of(c, s, hash);
	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < SLOTS; i++)
		if (bucket[i].place && bucket[i].tag == tag_of(hash))
			record_at(s, bucket[i].place)->hidden = true;
	pthread_mutex_unlock(&s->lock);
}

void kv_cache_clear(struct kv_cache *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i <= c->shard_mask; i++) {
		struct cache_shard *s = &c->shards[i];

		pthread_mutex_lock(&s->lock);
		memset(s->slots, 0, (c->bucket_mask + 1) * SLOTS * sizeof *s->slots);
		s->head = s->tail = s->end = 0;
		s->wrapped = false;
		pthread_mutex_unlock(&s->lock);
	}
}
