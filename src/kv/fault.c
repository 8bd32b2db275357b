/*
 * The fault twin: an engine around another store that delays each round trip, fails some, and so
 * lets tests see what a distant engine does to a caller. kv_stats() of the twin counts the trips.
 *
 * Latches, limits and the rest are the inner store's. Declared keys are declared there again; the
 * operations of a transaction are handed over at commit.
 *
 * Threading: any loop. Deterministic from its seed in the simulation.
 */
#include "base/mem.h"
#include "kv/engine.h"
#include "rt/rt.h"

static const int64_t DELAY_MIN_DEFAULT = 200 * RT_NS_US, DELAY_MAX_DEFAULT = 5 * RT_NS_MS;

struct fault {
	struct kv kv;
	struct kv *inner;
	_Atomic uint64_t random;
	/* options, one by one, because they may be changed meanwhile */
	_Atomic int64_t delay_min, delay_max;
	_Atomic unsigned conflicts, errors, scan_conflicts;
};

static struct fault *fault_of(const struct kv *kv)
{
	return container_of(kv, struct fault, kv);
}

static uint64_t random_next(struct fault *f)
{
	uint64_t x = atomic_fetch_add(&f->random, 0x9e3779b97f4a7c15u);

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static bool chance(struct fault *f, unsigned per_mille)
{
	return per_mille > 0 && random_next(f) % 1000 < per_mille;
}

static mayyield int delay(struct fault *f)
{
	int64_t low = atomic_load(&f->delay_min), high = atomic_load(&f->delay_max);

	if (high <= 0)
		return 0;
	return rt_sleep_until(
		rt_now() + low + (int64_t)(random_next(f) % (uint64_t)(high - low + 1)));
}

/* One trip: the way there, perhaps lost. */
static mayyield int trip(struct fault *f)
{
	TRY(delay(f));
	return chance(f, atomic_load(&f->errors)) ? ERR_IO : 0;
}

static int fault_get(
	struct kv *kv, struct kv_snapshot *snapshot, str key, struct arena *arena, str *ret_value)
{
	struct fault *f = fault_of(kv);

	TRY(trip(f));
	if (snapshot)
		return kv_snapshot_get(snapshot->state_p, key, arena, ret_value);
	return kv_get(f->inner, key, arena, ret_value);
}

static int fault_txn_begin(struct kv_txn *txn, const str *write_keys, size_t n, int64_t deadline)
{
	struct kv_txn *inner = NULL;

	TRY(kv_txn_begin(fault_of(txn->kv)->inner, write_keys, n, deadline, &inner));
	txn->state_p = inner;
	return 0;
}

static int fault_txn_get(
	struct kv_txn *txn, str key, bool tracked, struct arena *arena, str *ret_value)
{
	(void)tracked;
	TRY(trip(fault_of(txn->kv)));
	return kv_txn_get(txn->state_p, key, arena, ret_value);
}

static void hand_over(const struct kv_txn *txn, struct kv_txn *inner)
{
	for (size_t i = 0; i < txn->n_ops; i++) {
		const struct kv_op *op = &txn->ops[i];

		switch (op->kind) {
		case KV_OP_PUT: kv_txn_put_covered(inner, op->key, op->value); break;
		case KV_OP_DELETE: kv_txn_delete_covered(inner, op->key); break;
		case KV_OP_STAMPED:
			kv_txn_put_stamped(inner, str_sub(op->key, 0, op->stamp_at), op->domain,
				str_from(op->key, op->stamp_at + KV_STAMP_BYTES), op->value,
				op->value_stamp_at);
		}
	}
}

static int fault_txn_commit(struct kv_txn *txn)
{
	struct fault *f = fault_of(txn->kv);
	struct kv_txn *inner = txn->state_p;
	size_t at = 0;

	TRY(trip(f));
	if (chance(f, atomic_load(&f->conflicts)))
		return ERR_CONFLICT;
	hand_over(txn, inner);
	TRY(kv_commit(inner, NULL));
	for (size_t i = 0; i < txn->n_ops; i++)
		if (txn->ops[i].kind == KV_OP_STAMPED)
			kv_op_set_stamp(&txn->ops[i], kv_txn_stamp(inner, at++));
	/* The way back. */
	return chance(f, atomic_load(&f->errors)) ? ERR_IO : 0;
}

static void fault_txn_end(struct kv_txn *txn)
{
	kv_txn_free(txn->state_p);
	txn->state_p = NULL;
}

static int fault_snapshot_open(struct kv_snapshot *snapshot)
{
	struct kv_snapshot *inner = NULL;

	TRY(kv_snapshot_open(fault_of(snapshot->kv)->inner, &inner));
	snapshot->state_p = inner;
	return 0;
}

static void fault_snapshot_close(struct kv_snapshot *snapshot)
{
	kv_snapshot_close(snapshot->state_p);
}

/* The outer scan lays a transaction's writes over; the inner one has none. */
static int fault_scan_open(struct kv_scan *scan)
{
	struct kv_scan *inner = NULL;

	if (scan->snapshot)
		TRY(kv_snapshot_scan(scan->snapshot->state_p, &scan->range, &inner));
	else if (scan->txn)
		TRY(kv_txn_scan(scan->txn->state_p, &scan->range, &inner));
	else
		TRY(kv_scan_open(fault_of(scan->kv)->inner, &scan->range, &inner));
	/* The overlay may hide entries: only the outer scan can count. */
	inner->range.limit = 0;
	scan->state_p = inner;
	return 0;
}

static int fault_scan_fill(struct kv_scan *scan)
{
	str key = STR_NULL, value = STR_NULL;
	int rc;

	TRY(trip(fault_of(scan->kv)));
	if (chance(fault_of(scan->kv), atomic_load(&fault_of(scan->kv)->scan_conflicts)))
		return ERR_CONFLICT;
	while ((rc = kv_scan_next(scan->state_p, &key, &value)) == 1)
		if (kv_scan_add(scan, key, value))
			return 0;
	if (rc == 0)
		scan->end = true;
	return rc;
}

static void fault_scan_close(struct kv_scan *scan)
{
	kv_scan_close(scan->state_p);
}

static int fault_horizon(struct kv *kv, str domain, uint64_t *ret_horizon)
{
	TRY(trip(fault_of(kv)));
	return kv_horizon(fault_of(kv)->inner, domain, ret_horizon);
}

static void fault_stats(const struct kv *kv, struct kv_stats *stats)
{
	struct kv_stats inner;

	kv_stats(fault_of(kv)->inner, &inner);
	stats->gets_cached = inner.gets_cached;
	stats->gets_pooled = inner.gets_pooled;
	stats->commit_groups = inner.commit_groups;
	stats->latch_waits = inner.latch_waits;
	stats->reopened = inner.reopened;
	stats->writable = inner.writable;
	stats->memory_bytes = inner.memory_bytes;
	stats->tables_bytes = inner.tables_bytes;
	stats->blocks_bytes = inner.blocks_bytes;
}

static void fault_close(struct kv *kv)
{
	struct fault *f = fault_of(kv);

	kv_close(f->inner);
	kv_base_done(kv);
	mem_free(f);
}

static const struct kv_engine fault_engine = {
	.name = "fault",
	.commit_reads = true,
	.close = fault_close,
	.get = fault_get,
	.txn_begin = fault_txn_begin,
	.txn_get = fault_txn_get,
	.txn_commit = fault_txn_commit,
	.txn_end = fault_txn_end,
	.snapshot_open = fault_snapshot_open,
	.snapshot_close = fault_snapshot_close,
	.scan_open = fault_scan_open,
	.scan_fill = fault_scan_fill,
	.scan_close = fault_scan_close,
	.horizon = fault_horizon,
	.stats = fault_stats,
};

void kv_fault_set(struct kv *kv, const struct kv_fault_options *options)
{
	struct fault *f = fault_of(kv);
	int64_t low = options->delay_min_ns, high = options->delay_max_ns;

	check(kv->engine == &fault_engine);
	if (low == 0 && high == 0 && !options->no_delay) {
		low = DELAY_MIN_DEFAULT;
		high = DELAY_MAX_DEFAULT;
	}
	check(low >= 0 && high >= low);
	atomic_store(&f->delay_min, low);
	atomic_store(&f->delay_max, high);
	atomic_store(&f->conflicts, options->conflict_per_mille);
	atomic_store(&f->errors, options->error_per_mille);
	atomic_store(&f->scan_conflicts, options->scan_conflict_per_mille);
}

int kv_open_fault(struct kv *inner_take, const struct kv_fault_options *options, struct kv **ret_kv)
{
	struct fault *f = mem_new(struct fault);

	kv_base_init(&f->kv, &fault_engine);
	f->kv.limits = *kv_limits(inner_take);
	f->inner = inner_take;
	atomic_init(&f->random, options->seed);
	kv_fault_set(&f->kv, options);
	*ret_kv = &f->kv;
	return 0;
}
