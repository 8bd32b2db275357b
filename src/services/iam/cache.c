/*
 * The table of identities of one loop (cache.h).
 */
#include "services/iam/cache.h"

#include "base/check.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rc.h"

enum {
	CACHE_SWEEP_MS = 60000,
	ENTRY_ARENA_BYTES = 256 * 1024,
	POLICY_ARENA_BYTES = 4 * 1024 * 1024
};

/* A parsed policy, shared by the entries that use its text. */
struct cached_policy {
	uint8_t digest[SHA256_BYTES]; /* of the text */
	struct arena arena;
	struct policy *policy;
	uint32_t uses;
};

struct entry {
	struct list link; /* in table or lingering */
	uint8_t digest[SHA256_BYTES];
	struct arena arena;
	uint64_t generation;
	int64_t made_ms, used_ms;
	struct identity identity;
	struct cached_policy **policies; /* all that are pointed to */
	uint32_t policy_count;
};

struct iam_cache {
	struct map entries;  /* by access key */
	struct map policies; /* by digest */
	struct list table, lingering;
	size_t lingering_count;
	int64_t swept_ms;
};

struct iam_cache *cache_new(void)
{
	struct iam_cache *cache = mem_new(struct iam_cache);

	list_init(&cache->table);
	list_init(&cache->lingering);
	return cache;
}

/* ---- policies ---- */

static void policy_unref(struct iam_cache *cache, struct cached_policy *p)
{
	check(p->uses > 0);
	if (--p->uses > 0)
		return;
	check(map_remove(&cache->policies, str_of(p->digest, SHA256_BYTES)) == p);
	arena_done(&p->arena);
	mem_free(p);
}

static int parse(struct arena *a, str text, struct policy **ret)
{
	str message;

	/* It was valid when it was stored. Leaving it out could widen what the key may do. */
	return policy_parse(a, text, POLICY_IDENTITY, ret, &message) < 0 ? ERR_CORRUPT : 0;
}

/* 1 and a use of it; 0: there is no room. */
static int policy_ref(struct iam_cache *cache, str text, struct cached_policy **ret)
{
	uint8_t digest[SHA256_BYTES];
	struct cached_policy *p;

	sha256_of(text, digest);
	p = map_get(&cache->policies, str_of(digest, SHA256_BYTES));
	if (!p) {
		int rc;

		if (cache->policies.count >= CACHE_POLICIES_MAX)
			return 0;
		p = mem_new(struct cached_policy);
		memcpy(p->digest, digest, SHA256_BYTES);
		arena_init(&p->arena, POLICY_ARENA_BYTES);
		rc = parse(&p->arena, arena_str(&p->arena, text), &p->policy);
		if (rc < 0) {
			arena_done(&p->arena);
			mem_free(p);
			return rc;
		}
		map_put(&cache->policies, str_of(p->digest, SHA256_BYTES), p);
	}
	p->uses++;
	*ret = p;
	return 1;
}

/* ---- entries ---- */

static void entry_free(struct iam_cache *cache, struct entry *e)
{
	list_remove(&e->link);
	for (uint32_t i = 0; i < e->policy_count; i++)
		policy_unref(cache, e->policies[i]);
	arena_done(&e->arena);
	mem_free(e);
}

void cache_free(struct iam_cache *cache)
{
	if (!cache)
		return;
	list_for_each_safe(at, &cache->table)
		entry_free(cache, list_entry(at, struct entry, link));
	list_for_each_safe(at, &cache->lingering)
		entry_free(cache, list_entry(at, struct entry, link));
	check(cache->policies.count == 0);
	map_done(&cache->entries);
	map_done(&cache->policies);
	mem_free(cache);
}

/* Out of the table; its memory lingers for those who still look at it. */
static void entry_retire(struct iam_cache *cache, struct entry *e)
{
	check(map_remove(&cache->entries, e->identity.principal.access_key) == e);
	list_remove(&e->link);
	list_push_back(&cache->lingering, &e->link);
	cache->lingering_count++;
}

/* Once a minute: frees what nobody can look at any more. */
static void sweep(struct iam_cache *cache, int64_t now_ms)
{
	if (now_ms - cache->swept_ms < CACHE_SWEEP_MS)
		return;
	cache->swept_ms = now_ms;
	list_for_each_safe(at, &cache->lingering) {
		struct entry *e = list_entry(at, struct entry, link);

		if (now_ms - e->used_ms < CACHE_LINGER_MS)
			continue;
		cache->lingering_count--;
		entry_free(cache, e);
	}
	list_for_each_safe(at, &cache->table) {
		struct entry *e = list_entry(at, struct entry, link);

		if (now_ms - e->used_ms < CACHE_LINGER_MS)
			continue;
		map_remove(&cache->entries, e->identity.principal.access_key);
		entry_free(cache, e);
	}
}

bool cache_get(struct iam_cache *cache, str access_key, uint64_t generation, int64_t not_before_ms,
	int64_t now_ms, struct identity *ret)
{
	struct entry *e = map_get(&cache->entries, access_key);

	if (!e || e->generation != generation || e->made_ms < not_before_ms)
		return false;
	e->used_ms = now_ms;
	*ret = e->identity;
	return true;
}

/* ---- from a source ---- */

static void add_u64(struct sha256 *h, uint64_t v)
{
	sha256_add(h, str_of(&v, sizeof(v)));
}

static void add_str(struct sha256 *h, str s)
{
	add_u64(h, s.p ? s.n : UINT64_MAX);
	if (s.n)
		sha256_add(h, s);
}

static void source_digest(const struct cache_source *source, uint8_t ret[SHA256_BYTES])
{
	const struct identity *id = &source->identity;
	const struct principal *p = &id->principal;
	struct sha256 h;

	sha256_init(&h);
	add_str(&h, id->secret);
	add_str(&h, id->session_token);
	add_u64(&h, (uint64_t)id->expires_ms);
	add_u64(&h, (uint64_t)id->active << 1 | p->unrestricted);
	add_u64(&h, p->kind);
	add_str(&h, p->account);
	add_str(&h, p->arn);
	add_str(&h, p->role_arn);
	add_str(&h, p->user_id);
	add_str(&h, p->name);
	add_u64(&h, source->policy_count);
	for (uint32_t i = 0; i < source->policy_count; i++)
		add_str(&h, source->policies[i]);
	add_str(&h, source->boundary);
	add_u64(&h, source->session_policy_count);
	for (uint32_t i = 0; i < source->session_policy_count; i++)
		add_str(&h, source->session_policies[i]);
	sha256_finish(&h, ret);
}

static void identity_copy(struct arena *a, const struct identity *from, struct identity *to)
{
	struct principal *p = &to->principal;

	*to = *from;
	to->secret = arena_str(a, from->secret);
	to->session_token = arena_str(a, from->session_token);
	p->account = arena_str(a, p->account);
	p->arn = arena_str(a, p->arn);
	p->role_arn = arena_str(a, p->role_arn);
	p->user_id = arena_str(a, p->user_id);
	p->name = arena_str(a, p->name);
	p->access_key = arena_str(a, p->access_key);
}

/* Points the principal into `all`: its policies, the boundary, the session's. */
static void principal_fill(
	const struct cache_source *source, const struct policy *const *all, struct principal *p)
{
	uint32_t n = source->policy_count;

	p->policies = all;
	p->policy_count = n;
	if (source->boundary.p)
		p->boundary = all[n++];
	p->session_policies = all + n;
	p->session_policy_count = source->session_policy_count;
}

static uint32_t text_count(const struct cache_source *s)
{
	return s->policy_count + (s->boundary.p != NULL) + s->session_policy_count;
}

static str text_at(const struct cache_source *s, uint32_t i)
{
	if (i < s->policy_count)
		return s->policies[i];
	i -= s->policy_count;
	if (s->boundary.p && i-- == 0)
		return s->boundary;
	return s->session_policies[i];
}

int cache_build(struct arena *a, const struct cache_source *source, struct identity *ret)
{
	uint32_t n = text_count(source);
	struct policy **all = arena_new_array(a, struct policy *, n);
	struct identity id;

	identity_copy(a, &source->identity, &id);
	for (uint32_t i = 0; i < n; i++)
		TRY(parse(a, arena_str(a, text_at(source, i)), &all[i]));
	principal_fill(source, (const struct policy *const *)all, &id.principal);
	*ret = id;
	return 0;
}

/* 1 and a new entry outside the table; 0: no room for its policies. */
static int entry_make(
	struct iam_cache *cache, const struct cache_source *source, struct entry **ret_entry)
{
	uint32_t n = text_count(source);
	struct entry *e = mem_new(struct entry);
	const struct policy **all;
	int rc = 1;

	list_init(&e->link);
	arena_init(&e->arena, ENTRY_ARENA_BYTES);
	identity_copy(&e->arena, &source->identity, &e->identity);
	e->policies = arena_new_array(&e->arena, struct cached_policy *, n);
	all = arena_new_array(&e->arena, const struct policy *, n);
	for (uint32_t i = 0; i < n && rc > 0; i++) {
		rc = policy_ref(cache, text_at(source, i), &e->policies[i]);
		if (rc > 0) {
			all[i] = e->policies[i]->policy;
			e->policy_count++;
		}
	}
	if (rc <= 0) {
		entry_free(cache, e);
		return rc;
	}
	principal_fill(source, all, &e->identity.principal);
	*ret_entry = e;
	return 1;
}

int cache_put(struct iam_cache *cache, struct arena *a, const struct cache_source *source,
	uint64_t generation, int64_t now_ms, struct identity *ret)
{
	str key = source->identity.principal.access_key;
	uint8_t digest[SHA256_BYTES];
	struct entry *e;

	sweep(cache, now_ms);
	source_digest(source, digest);
	e = map_get(&cache->entries, key);
	if (e && memcmp(e->digest, digest, SHA256_BYTES) == 0) {
		e->generation = generation;
		e->made_ms = e->used_ms = now_ms;
		*ret = e->identity;
		return 0;
	}
	if (e && cache->lingering_count < CACHE_ENTRIES_MAX) {
		entry_retire(cache, e);
		e = NULL;
	}
	if (e || cache->entries.count >= CACHE_ENTRIES_MAX ||
		TRY(entry_make(cache, source, &e)) == 0)
		return cache_build(a, source, ret);
	memcpy(e->digest, digest, SHA256_BYTES);
	e->generation = generation;
	e->made_ms = e->used_ms = now_ms;
	map_put(&cache->entries, e->identity.principal.access_key, e);
	list_push_back(&cache->table, &e->link);
	*ret = e->identity;
	return 0;
}

void cache_figures(const struct iam_cache *cache, struct cache_figures *ret)
{
	*ret = (struct cache_figures){.entries = cache->entries.count,
		.lingering = cache->lingering_count,
		.policies = cache->policies.count};
}
