/*
 * What a loop keeps in memory about access keys, so that a signed request costs no read.
 *
 * An entry is the finished identity of one key, immutable from the moment it is in the table. It
 * holds as long as the service's generation is the one it was made under; then it is made again
 * from the store, and kept if nothing of it has changed (compared by digest). Parsed policies are
 * shared between entries and are known by the digest of their text, so a change elsewhere parses
 * nothing again.
 *
 * What was handed out stays where it is for CACHE_LINGER_MS after it was last handed out, which is
 * longer than any request; so hits need neither copies nor counts, and suspending while holding an
 * identity is safe. When the table is full of entries in use, new ones live in the request's arena
 * and are not kept.
 *
 * Times are of a monotonic clock.
 *
 * Threading: one cache per loop, used only there; no locks. Nothing here suspends.
 */
#ifndef SERVICES_IAM_CACHE_H
#define SERVICES_IAM_CACHE_H

#include "aws/policy.h"
#include "aws/ports/identity.h"
#include "base/hash.h"

#define CACHE_LINGER_MS INT64_C(1800000)

enum {
	CACHE_ENTRIES_MAX = 10000, /* in the table; as many again may linger */
	CACHE_POLICIES_MAX = 10000
};

/*
 * An identity as the store has it, before parsing: what identity.c reads and the cache compares.
 * `principal` has no policies yet.
 */
struct cache_source {
	struct identity identity;
	const str *policies; /* texts */
	uint32_t policy_count;
	str boundary; /* STR_NULL: none */
	const str *session_policies;
	uint32_t session_policy_count;
};

struct iam_cache;

struct iam_cache *cache_new(void);
void cache_free(struct iam_cache *cache);
/*
 * The entry of the key, if it was made or confirmed under `generation` and not before
 * `not_before_ms`: true and *ret, borrowed as said above.
 */
bool cache_get(struct iam_cache *cache, str access_key, uint64_t generation, int64_t not_before_ms,
	int64_t now_ms, struct identity *ret);
/*
 * The identity of `source`, from the cache if it is there unchanged, else put into it, else in the
 * arena. 0, or ERR_CORRUPT when a stored policy does not parse.
 */
must_use int cache_put(struct iam_cache *cache, struct arena *a, const struct cache_source *source,
	uint64_t generation, int64_t now_ms, struct identity *ret);
/* As above without a cache: all of it in the arena, the source's texts included. */
must_use int cache_build(struct arena *a, const struct cache_source *source, struct identity *ret);

struct cache_figures {
	size_t entries, lingering, policies;
};
void cache_figures(const struct iam_cache *cache, struct cache_figures *ret);

#endif
