/*
 * Hot records in memory, in front of an engine's own structures: a look-up by hash instead of a
 * search through memtables and tables. Used inside src/kv/ only.
 *
 * What it may hold: at every moment the value that the store shows. So
 *   - the writer notes a key in the commit table and drops it here before its write can be seen,
 *   - a reader that missed takes the number of the last commit before it reads the store, and what
 *     it read is kept only if the key was not noted since (kv_cache_add), both under one lock,
 *   - the writer, once its write is seen, may keep what it wrote in the same way.
 * While a write is under way its keys are read from the store; a cached value is never older than
 * one that anybody has seen, so reads stay linearizable.
 *
 * Once full, a key comes in when it is read the second time, so that one pass over everything
 * pushes nothing out. Memory is given at the start, used as it fills, and never grows: rings of
 * bytes, in which the oldest record makes room unless it was read meanwhile.
 *
 * Threading: any thread. One lock a shard, held for the copy of a record (at most 64 KiB).
 */
#ifndef KV_CACHE_H
#define KV_CACHE_H

#include "base/arena.h"

struct kv_cache;
struct kv_commit_table;

/* bytes_max covers everything but 128 KiB of marks; less than 4 KiB: NULL, which caches nothing. */
struct kv_cache *kv_cache_new(size_t bytes_max);
void kv_cache_free(struct kv_cache *c);
/* `hash` is str_hash(key) in all of these. True: a copy of the value is in the arena. */
bool kv_cache_get(struct kv_cache *c, str key, uint64_t hash, struct arena *arena, str *ret_value);
/* Keeps what was read from the store after `since` was taken, if that still is its value. */
void kv_cache_add(struct kv_cache *c, str key, uint64_t hash, str value,
	const struct kv_commit_table *commits, uint64_t since);
void kv_cache_drop(struct kv_cache *c, uint64_t hash);
/* Forgets everything. Nobody is between a read of the store and kv_cache_add(). */
void kv_cache_clear(struct kv_cache *c);

#endif
