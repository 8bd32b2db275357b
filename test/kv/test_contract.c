/*
 * The cases of the contract suite that need one fiber: points, conflicts, scans. The tools of all
 * cases are here too.
 */
#include "base/mem.h"
#include "test/kv/contract.h"

#include <stdio.h>

/* --- tools ----------------------------------------------------------------------------------- */

void case_group_leave(struct case_group *g)
{
	if (atomic_fetch_sub(&g->left, 1) == 1)
		rt_event_set(&g->done);
}

mayyield void case_group_run(
	struct case_group *g, rt_fiber_fn *fn, void *args, size_t arg_bytes, unsigned n)
{
	rt_event_init(&g->done);
	atomic_store(&g->left, n);
	for (unsigned i = 0; i < n; i++)
		if (rt_spawn_on(rt_self(), i % rt_loop_count(rt_self()), fn,
			    (char *)args + i * arg_bytes) < 0) {
			EXPECT(!"spawned");
			case_group_leave(g);
		}
	rt_event_wait_sure(&g->done);
}

struct dice dice_of(uint64_t seed, uint64_t which)
{
	return (struct dice){(seed * 0x9e3779b97f4a7c15u ^ (which + 1) * 0xd1342543de82ef95u) | 1};
}

uint64_t dice_next(struct dice *r)
{
	r->x ^= r->x << 13;
	r->x ^= r->x >> 7;
	r->x ^= r->x << 17;
	return r->x * 0x2545f4914f6cdd1du >> 11;
}

unsigned dice_below(struct dice *r, unsigned n)
{
	return (unsigned)(dice_next(r) % n);
}

str case_key(struct arena *a, const char *space, unsigned i)
{
	return arena_printf(a, "%s/%06u", space, i);
}

uint64_t case_be64(const char *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

str case_be64_of(struct arena *a, uint64_t v)
{
	char *p = arena_bytes(a, 8);

	for (unsigned i = 0; i < 8; i++)
		p[i] = (char)(v >> (56 - 8 * i));
	return str_of(p, 8);
}

bool outcome_unknown(int rc)
{
	return rc == ERR_IO || rc == ERR_NETWORK;
}

/* --- points ---------------------------------------------------------------------------------- */

void contract_points(struct contract *c)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_txn *txn = NULL;
	str key = STR("k\0\xff 1"), value = STR_NULL, big;
	str two[] = {STR("k\0\xff 1"), STR("k2")};
	char *p;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(kv_get(c->kv, key, &a, &value), 0);
	EXPECT(value.p == NULL);
	ASSERT_INT(kv_put(c->kv, key, STR("v\0w"), RT_NEVER), 0);
	ASSERT_INT(kv_get(c->kv, key, &a, &value), 1);
	EXPECT_STR(value, STR("v\0w"));
	ASSERT_INT(kv_put(c->kv, key, STR(""), RT_NEVER), 0);
	ASSERT_INT(kv_get(c->kv, key, &a, &value), 1);
	EXPECT_INT(value.n, 0);
	EXPECT(value.p != NULL);
	p = arena_bytes(&a, kv_limits(c->kv)->value_bytes_max);
	big = str_of(memset(p, 'x', kv_limits(c->kv)->value_bytes_max),
		kv_limits(c->kv)->value_bytes_max);
	ASSERT_INT(kv_put(c->kv, key, big, RT_NEVER), 0);
	ASSERT_INT(kv_get(c->kv, key, &a, &value), 1);
	EXPECT(str_eq(value, big));
	EXPECT_INT(kv_put(c->kv, key, str_of(p, big.n + 1), RT_NEVER), ERR_TOO_LARGE);

	/* own writes, and nothing of them outside or after an abort */
	ASSERT_INT(kv_txn_begin(c->kv, two, 2, RT_NEVER, &txn), 0);
	kv_txn_put(txn, two[1], STR("new"));
	kv_txn_delete(txn, two[0]);
	EXPECT_INT(kv_txn_get(txn, two[0], &a, &value), 0);
	EXPECT_INT(kv_txn_get(txn, two[1], &a, &value), 1);
	EXPECT_STR(value, STR("new"));
	EXPECT_INT(kv_get(c->kv, two[1], &a, &value), 0);
	kv_txn_free(txn);
	EXPECT_INT(kv_get(c->kv, two[1], &a, &value), 0);
	EXPECT_INT(kv_get(c->kv, two[0], &a, &value), 1);

	/* the last write to a key wins; both keys together */
	ASSERT_INT(kv_txn_begin(c->kv, two, 2, RT_NEVER, &txn), 0);
	kv_txn_put(txn, two[0], STR("gone"));
	kv_txn_delete(txn, two[0]);
	kv_txn_delete(txn, two[1]);
	kv_txn_put(txn, two[1], STR("kept"));
	kv_txn_put_covered(txn, STR("index"), STR("entry"));
	EXPECT_INT(kv_commit(txn, NULL), 0);
	kv_txn_free(txn);
	EXPECT_INT(kv_get(c->kv, two[0], &a, &value), 0);
	ASSERT_INT(kv_get(c->kv, two[1], &a, &value), 1);
	EXPECT_STR(value, STR("kept"));
	EXPECT_INT(kv_get(c->kv, STR("index"), &a, &value), 1);
	EXPECT_INT(kv_delete(c->kv, two[1], RT_NEVER), 0);
	EXPECT_INT(kv_get(c->kv, two[1], &a, &value), 0);
}

/* Long keys that differ only at their end, in order. */
void contract_long_keys(struct contract *c)
{
	struct arena a cleanup(arena_done_p) = {0};
	size_t n = kv_limits(c->kv)->key_bytes_max;
	struct kv_range range = {.from = STR("l"), .to = STR("m")};
	struct kv_scan *scan = NULL;
	str value = STR_NULL, key = STR_NULL;
	char *p;

	arena_init(&a, SIZE_MAX);
	p = memset(arena_bytes(&a, n + 1), 'l', n + 1);
	EXPECT_INT(kv_put(c->kv, str_of(p, n + 1), STR("v"), RT_NEVER), ERR_TOO_LARGE);
	for (unsigned i = 0; i < 5; i++) {
		p[n - 1] = (char)('a' + (i * 3) % 5);
		ASSERT_INT(kv_put(c->kv, str_of(p, n), str_of(p + n - 1, 1), RT_NEVER), 0);
	}
	ASSERT_INT(kv_scan_open(c->kv, &range, &scan), 0);
	for (unsigned i = 0; i < 5; i++) {
		EXPECT_INT(kv_scan_next(scan, &key, &value), 1);
		EXPECT_INT(key.n, n);
		EXPECT_INT(value.p[0], 'a' + i);
	}
	EXPECT_INT(kv_scan_next(scan, &key, &value), 0);
	EXPECT_INT(kv_scan_next(scan, &key, &value), 0);
	kv_scan_close(scan);
}

/* --- conflicts ------------------------------------------------------------------------------- */

void contract_conflicts(struct contract *c)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_txn *one = NULL, *two = NULL;
	str x = STR("x"), y = STR("y"), value;
	int rc, rc2;

	arena_init(&a, SIZE_MAX);
	ASSERT_INT(kv_put(c->kv, x, STR("1"), RT_NEVER), 0);
	/*
	 * A tracked read that changes, and a tracked absence that ends. The embedded engines refuse
	 * any change; others may find an order in which nothing is wrong: this one came first.
	 */
	ASSERT_INT(kv_txn_begin(c->kv, &y, 1, RT_NEVER, &one), 0);
	EXPECT_INT(kv_txn_get(one, x, &a, &value), 1);
	ASSERT_INT(kv_put(c->kv, x, STR("2"), RT_NEVER), 0);
	kv_txn_put(one, y, STR("from 1"));
	rc = kv_commit(one, NULL);
	EXPECT(rc == ERR_CONFLICT || (rc == 0 && !c->latches));
	kv_txn_free(one);
	EXPECT_INT(kv_get(c->kv, y, &a, &value), rc == 0);
	ASSERT_INT(kv_txn_begin(c->kv, &y, 1, RT_NEVER, &one), 0);
	EXPECT_INT(kv_txn_get(one, STR("z"), &a, &value), 0);
	ASSERT_INT(kv_put(c->kv, STR("z"), STR("2"), RT_NEVER), 0);
	kv_txn_put(one, y, STR("from 1"));
	rc = kv_commit(one, NULL);
	EXPECT(rc == ERR_CONFLICT || (rc == 0 && !c->latches));
	kv_txn_free(one);
	/* what it would write is read by the one that changed its read: no order is left */
	ASSERT_INT(kv_txn_begin(c->kv, &y, 1, RT_NEVER, &one), 0);
	ASSERT_INT(kv_txn_begin(c->kv, &x, 1, RT_NEVER, &two), 0);
	EXPECT(kv_txn_get(one, x, &a, &value) >= 0);
	EXPECT(kv_txn_get(two, y, &a, &value) >= 0);
	kv_txn_put(two, x, STR("3"));
	EXPECT_INT(kv_commit(two, NULL), 0);
	kv_txn_put(one, y, STR("from 1"));
	EXPECT_INT(kv_commit(one, NULL), ERR_CONFLICT);
	kv_txn_free(one);
	kv_txn_free(two);
	/* write skew: each reads what the other writes */
	ASSERT_INT(kv_txn_begin(c->kv, &x, 1, RT_NEVER, &one), 0);
	ASSERT_INT(kv_txn_begin(c->kv, &y, 1, RT_NEVER, &two), 0);
	EXPECT(kv_txn_get(one, y, &a, &value) >= 0);
	EXPECT(kv_txn_get(two, x, &a, &value) >= 0);
	kv_txn_put(one, x, STR("skew"));
	kv_txn_put(two, y, STR("skew"));
	rc = kv_commit(one, NULL);
	rc2 = kv_commit(two, NULL);
	EXPECT((rc == 0) != (rc2 == 0));
	EXPECT(rc == 0 || rc == ERR_CONFLICT);
	EXPECT(rc2 == 0 || rc2 == ERR_CONFLICT);
	kv_txn_free(one);
	kv_txn_free(two);
	/* one that reads two states says so at once or at commit */
	ASSERT_INT(kv_txn_begin(c->kv, NULL, 0, RT_NEVER, &one), 0);
	EXPECT_INT(kv_txn_get(one, STR("z"), &a, &value), 1);
	ASSERT_INT(kv_put(c->kv, STR("z"), STR("3"), RT_NEVER), 0);
	ASSERT_INT(kv_put(c->kv, STR("w"), STR("3"), RT_NEVER), 0);
	rc = kv_txn_get(one, STR("w"), &a, &value);
	EXPECT(rc == 0 || rc == ERR_CONFLICT);
	kv_txn_free(one);
}

void contract_late_key(struct contract *c)
{
	struct kv_txn *one = NULL, *two = NULL;
	str x = STR("x");

	if (!c->latches)
		return;
	ASSERT_INT(kv_txn_begin(c->kv, &x, 1, RT_NEVER, &one), 0);
	EXPECT_INT(kv_txn_begin(c->kv, &x, 1, rt_now() + 5 * RT_NS_MS, &two), ERR_TIMEOUT);
	kv_txn_put(one, x, STR("1"));
	EXPECT_INT(kv_commit(one, NULL), 0);
	kv_txn_free(one);
	ASSERT_INT(kv_txn_begin(c->kv, &x, 1, rt_now() + 5 * RT_NS_S, &two), 0);
	kv_txn_free(two);
}

/* --- scans ----------------------------------------------------------------------------------- */

enum { SCAN_KEYS = 600 };

struct model {
	bool present[SCAN_KEYS];
	unsigned value[SCAN_KEYS];
};

static str model_value(struct arena *a, unsigned i, unsigned v)
{
	/* some big, so that a scan needs many batches */
	char *p = arena_bytes(a, 2000);
	size_t n = i % 7 == 0 ? 2000 : 20;

	memset(p, 'v', n);
	snprintf(p, 20, "%u/%u", i, v);
	return str_of(p, n);
}

/* Walks a scan beside the model. */
static mayyield void scan_check(struct kv_scan *scan, const struct model *m, unsigned from,
	unsigned to, bool reverse, unsigned limit)
{
	struct arena a cleanup(arena_done_p) = {0};
	str key = STR_NULL, value = STR_NULL;
	unsigned given = 0;

	arena_init(&a, SIZE_MAX);
	for (unsigned n = from; n < to; n++) {
		unsigned i = reverse ? to - 1 - (n - from) : n;

		if (!m->present[i] || (limit && given == limit))
			continue;
		given++;
		ASSERT_INT(kv_scan_next(scan, &key, &value), 1);
		ASSERT_STR(key, case_key(&a, "s", i));
		ASSERT_STR(value, model_value(&a, i, m->value[i]));
	}
	EXPECT_INT(kv_scan_next(scan, &key, &value), 0);
}

static void random_range(
	struct dice *r, struct arena *a, struct kv_range *range, unsigned *from, unsigned *to)
{
	*from = dice_below(r, SCAN_KEYS);
	*to = *from + dice_below(r, SCAN_KEYS + 1 - *from);
	*range = (struct kv_range){.reverse = dice_below(r, 2)};
	range->from = case_key(a, "s", *from);
	range->to = case_key(a, "s", *to);
	if (dice_below(r, 4) == 0) {
		*from = 0;
		range->from = STR("");
	}
	if (dice_below(r, 4) == 0) {
		*to = SCAN_KEYS;
		range->to = STR_NULL;
	}
	if (dice_below(r, 3) == 0)
		range->limit = 1 + dice_below(r, 60);
}

static mayyield void scan_write(
	struct contract *c, struct kv_txn *txn, struct dice *r, struct model *m)
{
	struct arena a cleanup(arena_done_p) = {0};
	unsigned i = dice_below(r, SCAN_KEYS), v = (unsigned)dice_next(r) % 1000;
	str key;

	arena_init(&a, SIZE_MAX);
	key = case_key(&a, "s", i);
	m->present[i] = dice_below(r, 4) != 0;
	m->value[i] = v;
	if (txn && m->present[i])
		kv_txn_put_covered(txn, key, model_value(&a, i, v));
	else if (txn)
		kv_txn_delete_covered(txn, key);
	else if (m->present[i])
		ASSERT_INT(kv_put(c->kv, key, model_value(&a, i, v), RT_NEVER), 0);
	else
		ASSERT_INT(kv_delete(c->kv, key, RT_NEVER), 0);
}

void contract_scans(struct contract *c)
{
	struct dice r = dice_of(c->seed, 1);
	struct model *m cleanup(mem_free_p) = mem_new(struct model);
	struct model *then cleanup(mem_free_p) = mem_new(struct model);

	for (unsigned round = 0; round < 4 + c->rounds / 4; round++) {
		struct arena a cleanup(arena_done_p) = {0};
		struct kv_snapshot *snapshot = NULL;
		struct kv_scan *scan = NULL;
		struct kv_txn *txn = NULL;
		struct kv_range range;
		unsigned from, to;
		str value = STR_NULL, key;
		int rc;

		arena_init(&a, SIZE_MAX);
		ASSERT_INT(kv_txn_begin(c->kv, NULL, 0, RT_NEVER, &txn), 0);
		for (unsigned i = 0; i < (round ? 20 : SCAN_KEYS); i++)
			scan_write(c, txn, &r, m);
		ASSERT_INT(kv_commit(txn, NULL), 0);
		kv_txn_free(txn);
		random_range(&r, &a, &range, &from, &to);
		ASSERT_INT(kv_scan_open(c->kv, &range, &scan), 0);
		scan_check(scan, m, from, to, range.reverse, range.limit);
		kv_scan_close(scan);

		/* a snapshot stays as it was */
		ASSERT_INT(kv_snapshot_open(c->kv, &snapshot), 0);
		*then = *m;
		random_range(&r, &a, &range, &from, &to);
		ASSERT_INT(kv_snapshot_scan(snapshot, &range, &scan), 0);
		for (unsigned i = 0; i < 5; i++)
			scan_write(c, NULL, &r, m);
		scan_check(scan, then, from, to, range.reverse, range.limit);
		kv_scan_close(scan);
		from = dice_below(&r, SCAN_KEYS);
		key = case_key(&a, "s", from);
		rc = kv_snapshot_get(snapshot, key, &a, &value);
		EXPECT_INT(rc, then->present[from]);
		if (rc == 1)
			EXPECT_STR(value, model_value(&a, from, then->value[from]));
		kv_snapshot_close(snapshot);

		/* a transaction's writes lie over it */
		*then = *m;
		ASSERT_INT(kv_txn_begin(c->kv, NULL, 0, RT_NEVER, &txn), 0);
		for (unsigned i = 0; i < 40; i++)
			scan_write(c, txn, &r, then);
		random_range(&r, &a, &range, &from, &to);
		ASSERT_INT(kv_txn_scan(txn, &range, &scan), 0);
		scan_check(scan, then, from, to, range.reverse, range.limit);
		kv_scan_close(scan);
		kv_txn_free(txn);
	}
}

/* A scan opened before many writes sees none of them, even batches later. */
void contract_scan_stands(struct contract *c)
{
	struct dice r = dice_of(c->seed, 2);
	struct model *m cleanup(mem_free_p) = mem_new(struct model);
	struct model *then cleanup(mem_free_p) = mem_new(struct model);
	struct kv_range range = {.from = STR("s/"), .to = STR("s0")};
	struct kv_scan *forward = NULL, *back = NULL;
	struct kv_txn *txn = NULL;

	ASSERT_INT(kv_txn_begin(c->kv, NULL, 0, RT_NEVER, &txn), 0);
	for (unsigned i = 0; i < 2 * SCAN_KEYS; i++)
		scan_write(c, txn, &r, m);
	ASSERT_INT(kv_commit(txn, NULL), 0);
	kv_txn_free(txn);
	*then = *m;
	ASSERT_INT(kv_scan_open(c->kv, &range, &forward), 0);
	range.reverse = true;
	ASSERT_INT(kv_scan_open(c->kv, &range, &back), 0);
	for (unsigned round = 0; round < 2; round++) {
		ASSERT_INT(kv_txn_begin(c->kv, NULL, 0, RT_NEVER, &txn), 0);
		for (unsigned i = 0; i < SCAN_KEYS; i++)
			scan_write(c, txn, &r, m);
		ASSERT_INT(kv_commit(txn, NULL), 0);
		kv_txn_free(txn);
		if (round == 0)
			scan_check(forward, then, 0, SCAN_KEYS, false, 0);
	}
	scan_check(back, then, 0, SCAN_KEYS, true, 0);
	kv_scan_close(forward);
	kv_scan_close(back);
}
