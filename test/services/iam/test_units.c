/*
 * IAM's parts alone: stored records, key ids, AWS's policies, the cache.
 */
#include "base/mem.h"
#include "base/random.h"
#include "services/iam/cache.h"
#include "services/iam/internal.h"
#include "test/test.h"

/* ---- records ---- */

static struct iam_entity sample_entity(struct arena *a)
{
	struct iam_entity e = {.name = STR("Name"),
		.path = STR("/p/"),
		.id = STR("AROA"),
		.created_ms = 1767323045000,
		.inline_count = -1,
		.attached_count = INT64_MAX,
		.key_count = INT64_MIN,
		.trust = STR("{}")};

	e.tags.count = 2;
	e.tags.items = arena_new_array(a, struct iam_pair, 2);
	e.tags.items[0] = (struct iam_pair){STR("k"), STR("v\0w")};
	e.tags.items[1] = (struct iam_pair){STR("l"), STR("")};
	return e;
}

TEST(iam, record_round_trip)
{
	cleanup(arena_done_p) struct arena a;
	struct iam_entity e, back;
	struct iam_session s = {.id = STR("ASIA")}, session_back;
	str arns[] = {STR("arn:one"), STR("arn:two")}, bytes;

	arena_init(&a, SIZE_MAX);
	e = sample_entity(&a);
	bytes = record_encode(&a, &iam_entity_record, &e);
	ASSERT_INT(record_decode(&a, &iam_entity_record, bytes, &back), 0);
	EXPECT_STR(back.name, e.name);
	EXPECT_STR(back.path, e.path);
	EXPECT_STR(back.trust, e.trust);
	EXPECT(back.boundary.p == NULL);
	EXPECT_INT(back.created_ms, e.created_ms);
	EXPECT_INT(back.inline_count, e.inline_count);
	EXPECT_INT(back.attached_count, e.attached_count);
	EXPECT_INT(back.key_count, e.key_count);
	EXPECT_INT(back.session_seconds_max, 0);
	ASSERT_INT(back.tags.count, 2);
	EXPECT_STR(back.tags.items[0].value, e.tags.items[0].value);
	EXPECT_STR(back.tags.items[1].key, e.tags.items[1].key);
	s.arns = (struct iam_strs){arns, 2};
	bytes = record_encode(&a, &iam_session_record, &s);
	ASSERT_INT(record_decode(&a, &iam_session_record, bytes, &session_back), 0);
	ASSERT_INT(session_back.arns.count, 2);
	EXPECT_STR(session_back.arns.items[1], arns[1]);
}

TEST(iam, record_damaged)
{
	cleanup(arena_done_p) struct arena a;
	struct iam_entity e, back = {.name = STR("untouched")};
	struct random random;
	unsigned refused = 0;
	str bytes;

	arena_init(&a, SIZE_MAX);
	random_seed(&random, 7);
	e = sample_entity(&a);
	bytes = record_encode(&a, &iam_entity_record, &e);
	/* another type, another format, an unknown field */
	EXPECT_INT(record_decode(&a, &iam_policy_record, bytes, &back), ERR_CORRUPT);
	EXPECT_INT(record_decode(&a, &iam_entity_record, STR(""), &back), ERR_CORRUPT);
	EXPECT_INT(record_decode(&a, &iam_entity_record, STR("\x01\x02"), &back), ERR_VERSION);
	EXPECT_INT(record_decode(&a, &iam_entity_record, STR("\x01\x01\x7f"), &back), ERR_VERSION);
	EXPECT_INT(record_decode(&a, &iam_entity_record, STR("\x01\x01\x01\x05x"), &back),
		ERR_CORRUPT);
	EXPECT_STR(back.name, STR("untouched"));
	/* cut anywhere, or with any byte changed: an error or a record, never a read outside */
	for (size_t n = 0; n < bytes.n; n++) {
		str cut = str_of(arena_c(&a, str_sub(bytes, 0, n)), n);

		refused += record_decode(&a, &iam_entity_record, cut, &back) < 0;
	}
	EXPECT(refused > bytes.n / 2);
	for (unsigned i = 0; i < 2000; i++) {
		char *copy = mem_alloc(bytes.n);

		memcpy(copy, bytes.p, bytes.n);
		copy[random_below(&random, bytes.n)] = (char)random_u64(&random);
		(void)!record_decode(&a, &iam_entity_record, str_of(copy, bytes.n), &back);
		mem_free(copy);
	}
}

/* ---- identifiers ---- */

TEST(iam, key_ids)
{
	cleanup(arena_done_p) struct arena a;
	struct iam iam = {.magic = IAM_MAGIC}, other = iam;
	unsigned passed = 0;

	arena_init(&a, SIZE_MAX);
	hmac_key_init(&iam.id_mac, STR("one secret"));
	hmac_key_init(&other.id_mac, STR("another secret"));
	for (unsigned i = 0; i < 100; i++) {
		str id = iam_access_key_id_new(&iam, &a, i & 1 ? STR("AKIA") : STR("ASIA"));

		EXPECT_INT(id.n, 20);
		EXPECT(iam_access_key_issued(&iam, id));
		EXPECT(!iam_access_key_issued(&other, id));
		for (size_t at = 0; at < id.n; at++) {
			char *wrong = arena_c(&a, id);

			wrong[at] = wrong[at] == 'B' ? 'C' : 'B';
			passed += iam_access_key_issued(&iam, str_of(wrong, id.n));
		}
		EXPECT(!iam_access_key_issued(&iam, str_sub(id, 0, 19)));
		EXPECT(!iam_access_key_issued(&iam, ARENA_CONCAT(&a, id, STR("A"))));
		EXPECT(!iam_access_key_issued(&iam, iam_lower(&a, id)));
	}
	EXPECT_INT(passed, 0);
	EXPECT(!iam_access_key_issued(&iam, STR("test")));
	EXPECT(!iam_access_key_issued(&iam, STR("AKIAIOSFODNN7EXAMPLE")));
	EXPECT(!iam_access_key_issued(&iam, STR("")));
	EXPECT_INT(iam_id_new(&a, STR("AROA")).n, 21);
	EXPECT_INT(iam_secret_new(&a).n, 40);
}

TEST(iam, arns)
{
	cleanup(arena_done_p) struct arena a;
	str account, path, name;
	static const char *const refused[] = {"", "arn:aws:iam::1:role", "arn:aws:iam::1:role/",
		"arn:aws:iam::1:user/x", "arn:aws:sts::1:role/x", "arn:aws:iam::1:role/p/",
		"arn:aws:iam:us-east-1:1:role/x", "arn:aws:iam::1:rolex/y", "arn:aws:iam::1"};

	arena_init(&a, SIZE_MAX);
	ASSERT(iam_arn_split(
		STR("arn:aws:iam::000000000000:role/a/b/c"), IAM_ROLE, &account, &path, &name));
	EXPECT_STR(account, STR("000000000000"));
	EXPECT_STR(path, STR("/a/b/"));
	EXPECT_STR(name, STR("c"));
	EXPECT_STR(iam_arn(&a, account, IAM_ROLE, path, name),
		STR("arn:aws:iam::000000000000:role/a/b/c"));
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (iam_arn_split(str_c(refused[i]), IAM_ROLE, &account, &path, &name))
			test_fail(__FILE__, __LINE__, "taken for a role: %s", refused[i]);
}

/* ---- AWS's policies ---- */

TEST(iam, managed_policies)
{
	cleanup(arena_done_p) struct arena a;

	arena_init(&a, SIZE_MAX);
	EXPECT(iam_managed_count > 30);
	for (size_t i = 0; i < iam_managed_count; i++) {
		const struct iam_managed *m = &iam_managed[i];
		struct policy *policy;
		str message = STR_NULL;

		if (policy_parse(&a, m->document, POLICY_IDENTITY, &policy, &message) < 0)
			test_fail(__FILE__, __LINE__, "%.*s: %.*s", STR_ARG(m->name),
				STR_ARG(message));
		EXPECT(i == 0 || str_cmp(iam_managed[i - 1].name, m->name) < 0);
		EXPECT(iam_managed_find(m->path, m->name) == m);
		EXPECT(iam_managed_find(STR("/other/"), m->name) == NULL);
		EXPECT(iam_managed_version(m) >= 1);
		EXPECT(m->created_ms > 0 && m->updated_ms >= m->created_ms);
	}
	EXPECT(iam_managed_find(STR("/"), STR("NoSuchPolicy")) == NULL);
}

TEST(iam, document_size)
{
	EXPECT_INT(iam_document_chars(STR("")), 0);
	EXPECT_INT(iam_document_chars(STR(" {\t\"a\" :\r\n1 } ")), 7);
	EXPECT_INT(iam_document_chars(STR("\xc3\xa9 \xc3\xbf")), 2);
}

/* ---- the cache ---- */

#define ALLOW_ALL                                                                     \
	"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":" \
	"\"*\",\"Resource\":\"*\"}}"
#define DENY_ALL                                                                     \
	"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Deny\",\"Action\":" \
	"\"*\",\"Resource\":\"*\"}}"

static struct cache_source source_of(str key, str secret, const str *policies, uint32_t count)
{
	return (struct cache_source){.identity = {.secret = secret,
					     .active = true,
					     .expires_ms = INT64_MAX,
					     .principal = {.kind = PRINCIPAL_USER,
						     .account = STR("000000000000"),
						     .access_key = key}},
		.policies = policies,
		.policy_count = count};
}

TEST(iam, cache_keeps_what_is_unchanged)
{
	cleanup(arena_done_p) struct arena a;
	struct iam_cache *cache = cache_new();
	str policies[] = {STR(ALLOW_ALL), STR(DENY_ALL)};
	struct cache_source source = source_of(STR("AKIA1"), STR("s"), policies, 2);
	struct cache_source twin = source_of(STR("AKIA2"), STR("t"), policies, 1);
	struct identity first, again, other;
	struct cache_figures figures;

	arena_init(&a, SIZE_MAX);
	EXPECT(!cache_get(cache, STR("AKIA1"), 1, INT64_MIN, 0, &first));
	ASSERT_INT(cache_put(cache, &a, &source, 1, 1000, &first), 0);
	EXPECT(first.secret.p != source.identity.secret.p);
	EXPECT_INT(first.principal.policy_count, 2);
	EXPECT(cache_get(cache, STR("AKIA1"), 1, INT64_MIN, 0, &again));
	EXPECT(again.secret.p == first.secret.p);
	/* another generation, or too old: not without asking the store */
	EXPECT(!cache_get(cache, STR("AKIA1"), 2, INT64_MIN, 0, &again));
	EXPECT(!cache_get(cache, STR("AKIA1"), 1, 1001, 0, &again));
	/* confirmed: the same memory */
	ASSERT_INT(cache_put(cache, &a, &source, 2, 2000, &again), 0);
	EXPECT(again.secret.p == first.secret.p);
	EXPECT(cache_get(cache, STR("AKIA1"), 2, 2000, 0, &again));
	/* one text is parsed once */
	ASSERT_INT(cache_put(cache, &a, &twin, 2, 2000, &other), 0);
	EXPECT(other.principal.policies[0] == first.principal.policies[0]);
	cache_figures(cache, &figures);
	EXPECT_INT(figures.entries, 2);
	EXPECT_INT(figures.policies, 2);
	EXPECT_INT(figures.lingering, 0);
	cache_free(cache);
}

TEST(iam, cache_lingers)
{
	cleanup(arena_done_p) struct arena a;
	struct iam_cache *cache = cache_new();
	str policies[] = {STR(ALLOW_ALL), STR(DENY_ALL)};
	struct cache_source source = source_of(STR("AKIA1"), STR("s"), policies, 1);
	struct cache_source changed = source_of(STR("AKIA1"), STR("s"), policies + 1, 1);
	struct cache_source later = source_of(STR("AKIA2"), STR("s"), policies + 1, 1);
	struct policy_request r = {.action = STR("a:B"), .resource = STR("*")};
	struct policy_context context = {.arena = &a};
	struct identity old, new;
	struct cache_figures figures;

	arena_init(&a, SIZE_MAX);
	r.context = &context;
	ASSERT_INT(cache_put(cache, &a, &source, 1, 1000, &old), 0);
	ASSERT_INT(cache_put(cache, &a, &changed, 2, 2000, &new), 0);
	r.principal = &new.principal;
	EXPECT(!policy_authorize(&r, NULL).allowed);
	/* a request that got the old one before the change goes on with it */
	r.principal = &old.principal;
	EXPECT(policy_authorize(&r, NULL).allowed);
	EXPECT_STR(old.secret, STR("s"));
	cache_figures(cache, &figures);
	EXPECT_INT(figures.lingering, 1);
	ASSERT_INT(cache_put(cache, &a, &later, 2, 1000 + CACHE_LINGER_MS - 1, &new), 0);
	EXPECT(policy_authorize(&r, NULL).allowed);
	/* long after the last use it goes, and so do entries that nobody asked for */
	ASSERT_INT(cache_put(cache, &a, &later, 3, 3000 + 2 * CACHE_LINGER_MS, &new), 0);
	cache_figures(cache, &figures);
	EXPECT_INT(figures.lingering, 0);
	EXPECT_INT(figures.policies, 1);
	EXPECT_INT(figures.entries, 1);
	cache_free(cache);
}

TEST(iam, cache_is_bounded)
{
	cleanup(arena_done_p) struct arena a, keys;
	struct iam_cache *cache = cache_new();
	str policies[] = {STR(ALLOW_ALL)};
	struct cache_figures figures;
	struct identity id;

	arena_init(&a, SIZE_MAX);
	arena_init(&keys, SIZE_MAX);
	for (unsigned i = 0; i < CACHE_ENTRIES_MAX + 10; i++) {
		str key = arena_printf(&keys, "AKIA%06u", i);
		struct cache_source source = source_of(key, STR("s"), policies, 1);

		ASSERT_INT(cache_put(cache, &a, &source, 1, 1000, &id), 0);
		EXPECT_STR(id.principal.access_key, key);
		EXPECT(id.principal.policies[0] != NULL);
	}
	cache_figures(cache, &figures);
	EXPECT_INT(figures.entries, CACHE_ENTRIES_MAX);
	EXPECT(!cache_get(cache, STR("AKIA010000"), 1, INT64_MIN, 1000, &id));
	EXPECT(cache_get(cache, STR("AKIA000000"), 1, INT64_MIN, 1000, &id));
	/* a key that changes all the time does not grow it without end either */
	for (unsigned i = 0; i < CACHE_ENTRIES_MAX + 10; i++) {
		struct cache_source source =
			source_of(STR("AKIA000000"), arena_printf(&keys, "%u", i), policies, 1);

		ASSERT_INT(cache_put(cache, &a, &source, 2 + i, 1000, &id), 0);
		EXPECT_STR(id.secret, source.identity.secret);
	}
	cache_figures(cache, &figures);
	EXPECT(figures.lingering <= CACHE_ENTRIES_MAX);
	EXPECT(figures.entries <= CACHE_ENTRIES_MAX);
	cache_free(cache);
}

/* A stored policy that does not parse is an error, never a policy less. */
TEST(iam, cache_refuses_damage)
{
	cleanup(arena_done_p) struct arena a;
	struct iam_cache *cache = cache_new();
	str policies[] = {STR(ALLOW_ALL), STR("{")};
	struct cache_source source = source_of(STR("AKIA1"), STR("s"), policies, 2);
	struct cache_figures figures;
	struct identity id;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(cache_put(cache, &a, &source, 1, 1000, &id), ERR_CORRUPT);
	EXPECT_INT(cache_build(&a, &source, &id), ERR_CORRUPT);
	cache_figures(cache, &figures);
	EXPECT_INT(figures.entries, 0);
	EXPECT_INT(figures.policies, 0);
	cache_free(cache);
}
