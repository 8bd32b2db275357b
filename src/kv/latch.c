/*
 * Latches on keys, by hash: the one thing that may be held over a suspension (DESIGN section 5).
 *
 * A latch is a link in a bucket; the first one of its hash there holds it, later ones wait in the
 * order of arrival. Every transaction takes its latches in the order of their hashes, so waiting
 * forms no circle. The links live in the transactions: nothing here grows.
 *
 * Threading: any loop. A shard's lock is held for a few instructions and never over a suspension;
 * the events are set under it, because a waiter whose time is over frees its event after having
 * taken it.
 */
#include "base/mem.h"
#include "kv/engine.h"
#include "rt/rt.h"

#include <pthread.h>

enum { SHARDS = 16, BUCKETS = 128 };

struct shard {
	pthread_mutex_t lock;
	struct list buckets[BUCKETS];
};

struct kv_latch_table {
	struct shard shards[SHARDS];
};

struct kv_latch_table *kv_latch_table_new(void)
{
	struct kv_latch_table *table = mem_new(struct kv_latch_table);

	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&table->shards[i].lock, NULL);
		for (size_t j = 0; j < BUCKETS; j++)
			list_init(&table->shards[i].buckets[j]);
	}
	return table;
}

void kv_latch_table_free(struct kv_latch_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		for (size_t j = 0; j < BUCKETS; j++)
			check(list_empty(&table->shards[i].buckets[j]));
		pthread_mutex_destroy(&table->shards[i].lock);
	}
	mem_free(table);
}

static struct shard *shard_of(struct kv_latch_table *table, uint64_t hash)
{
	return &table->shards[hash >> 60];
}

static struct list *bucket_of(struct shard *shard, uint64_t hash)
{
	return &shard->buckets[(hash >> 32) % BUCKETS];
}

/* Under the shard's lock: takes it out and hands it on to the next of the same hash. */
static void pass_on(struct list *bucket, struct kv_latch *latch)
{
	bool held = latch->held;

	latch->held = false;
	list_remove(&latch->link);
	if (!held)
		return;
	list_for_each(at, bucket) {
		struct kv_latch *next = list_entry(at, struct kv_latch, link);

		if (next->hash == latch->hash) {
			next->held = true;
			rt_event_set(next->event);
			return;
		}
	}
}

static void release_one(struct kv_latch_table *table, struct kv_latch *latch)
{
	struct shard *shard = shard_of(table, latch->hash);

	pthread_mutex_lock(&shard->lock);
	pass_on(bucket_of(shard, latch->hash), latch);
	pthread_mutex_unlock(&shard->lock);
}

static mayyield int take_one(struct kv *kv, struct kv_latch *latch, int64_t deadline)
{
	struct shard *shard = shard_of(kv->latches, latch->hash);
	struct list *bucket = bucket_of(shard, latch->hash);
	struct rt_event event;
	int rc;

	rt_event_init(&event);
	latch->event = &event;
	latch->held = true;
	pthread_mutex_lock(&shard->lock);
	list_for_each(at, bucket)
		if (list_entry(at, struct kv_latch, link)->hash == latch->hash)
			latch->held = false;
	list_push_back(bucket, &latch->link);
	rc = latch->held;
	pthread_mutex_unlock(&shard->lock);
	if (rc)
		return 0;
	kv_count(&kv->latch_waits);
	rc = rt_event_wait(&event, deadline);
	if (rc < 0)
		release_one(kv->latches, latch);
	return rc;
}

int kv_latches_take(struct kv *kv, struct kv_latch *latches, size_t n, int64_t deadline)
{
	for (size_t i = 0; i < n; i++) {
		int rc = take_one(kv, &latches[i], deadline);

		if (rc < 0) {
			kv_latches_release(kv->latches, latches, i);
			return rc;
		}
	}
	return 0;
}

void kv_latches_release(struct kv_latch_table *table, struct kv_latch *latches, size_t n)
{
	while (n-- > 0)
		release_one(table, &latches[n]);
}
