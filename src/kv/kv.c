/*
 * The part of the store that is the same for every engine: opening and closing, transactions with
 * their buffered writes and declared keys, reruns, figures. Scans are in kv/scan.c.
 *
 * Threading: see kv.h. A transaction belongs to one fiber; nothing here is shared but counters.
 */
#include "base/mem.h"
#include "kv/engine.h"
#include "rt/rt.h"

#include <stdlib.h>

enum {
	OPS_FIRST = 8,
	INDEX_FROM = 16, /* operations; below, a linear look is faster */
	READS_FIRST = 8,
	PAUSE_FIRST_US = 200,
	PAUSE_MAX_US = 50 * 1000,
};

void kv_base_init(struct kv *kv, const struct kv_engine *engine)
{
	kv->magic = KV_MAGIC;
	kv->engine = engine;
	kv->limits = (struct kv_limits){
		.key_bytes_max = 16 * 1024,
		.value_bytes_max = 4 * 1024 * 1024,
		.txn_bytes_max = 64 * 1024 * 1024,
		.txn_keys_max = 100 * 1000,
	};
	if (engine->latches)
		kv->latches = kv_latch_table_new();
}

void kv_base_done(struct kv *kv)
{
	kv_latch_table_free(kv->latches);
	kv->magic = 0;
}

void kv_close(struct kv *kv)
{
	if (!kv)
		return;
	check(kv->magic == KV_MAGIC);
	check(atomic_load(&kv->open_objects) == 0);
	kv->engine->close(kv);
}

const struct kv_limits *kv_limits(const struct kv *kv)
{
	return &kv->limits;
}

static uint64_t figure(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void kv_stats(const struct kv *kv, struct kv_stats *ret_stats)
{
	*ret_stats = (struct kv_stats){
		.gets = figure(&kv->gets),
		.gets_cached = figure(&kv->gets_cached),
		.gets_pooled = figure(&kv->gets_pooled),
		.scans_filled = figure(&kv->scans_filled),
		.commits = figure(&kv->commits),
		.conflicts = figure(&kv->conflicts),
		.commit_groups = figure(&kv->commit_groups),
		.latch_waits = figure(&kv->latch_waits),
		.reopened = figure(&kv->reopened),
		.writable = true,
	};
	/* One number fewer to count on the way. */
	ret_stats->round_trips = ret_stats->gets + ret_stats->scans_filled + ret_stats->commits +
				 figure(&kv->horizons);
	if (kv->engine->stats)
		kv->engine->stats(kv, ret_stats);
}

/* --- reading --------------------------------------------------------------------------------- */

int kv_get(struct kv *kv, str key, struct arena *arena, str *ret_value)
{
	check(kv->magic == KV_MAGIC);
	if (key.n > kv->limits.key_bytes_max)
		return ERR_TOO_LARGE;
	kv_count(&kv->gets);
	return kv->engine->get(kv, NULL, key, arena, ret_value);
}

int kv_snapshot_open(struct kv *kv, struct kv_snapshot **ret_snapshot)
{
	struct kv_snapshot *snapshot = mem_new(struct kv_snapshot);
	int rc;

	check(kv->magic == KV_MAGIC);
	snapshot->magic = KV_SNAPSHOT_MAGIC;
	snapshot->kv = kv;
	list_init(&snapshot->view.link);
	rc = kv->engine->snapshot_open(snapshot);
	if (rc < 0) {
		mem_free(snapshot);
		return rc;
	}
	atomic_fetch_add(&kv->open_objects, 1);
	*ret_snapshot = snapshot;
	return 0;
}

int kv_snapshot_get(struct kv_snapshot *snapshot, str key, struct arena *arena, str *ret_value)
{
	struct kv *kv = snapshot->kv;

	check(snapshot->magic == KV_SNAPSHOT_MAGIC);
	if (key.n > kv->limits.key_bytes_max)
		return ERR_TOO_LARGE;
	kv_count(&kv->gets);
	return kv->engine->get(kv, snapshot, key, arena, ret_value);
}

void kv_snapshot_close(struct kv_snapshot *snapshot)
{
	if (!snapshot)
		return;
	check(snapshot->magic == KV_SNAPSHOT_MAGIC && snapshot->scans == 0);
	snapshot->kv->engine->snapshot_close(snapshot);
	atomic_fetch_sub(&snapshot->kv->open_objects, 1);
	snapshot->magic = 0;
	mem_free(snapshot);
}

void kv_snapshot_close_p(struct kv_snapshot **snapshot)
{
	kv_snapshot_close(*snapshot);
}

int kv_horizon(struct kv *kv, str domain, uint64_t *ret_horizon)
{
	check(kv->magic == KV_MAGIC && domain.n >= 1 && domain.n <= KV_DOMAIN_BYTES_MAX);
	kv_count(&kv->horizons);
	return kv->engine->horizon(kv, domain, ret_horizon);
}

/* --- the latches of a transaction ------------------------------------------------------------ */

static int by_hash(const void *a, const void *b)
{
	uint64_t x = ((const struct kv_latch *)a)->hash, y = ((const struct kv_latch *)b)->hash;

	return (x > y) - (x < y);
}

/* Sorts and drops repeats, before the links are in any list. */
static void declare(struct kv_txn *txn, const str *keys, size_t n)
{
	size_t kept = 0;

	if (n == 0)
		return;
	txn->declared = arena_new_array(&txn->arena, struct kv_latch, n);
	for (size_t i = 0; i < n; i++)
		txn->declared[i].hash = str_hash(keys[i]);
	if (n > 1)
		qsort(txn->declared, n, sizeof *txn->declared, by_hash);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || txn->declared[i].hash != txn->declared[kept - 1].hash)
			txn->declared[kept++].hash = txn->declared[i].hash;
	txn->n_declared = kept;
}

static bool is_declared(const struct kv_txn *txn, uint64_t hash)
{
	size_t low = 0, high = txn->n_declared;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (txn->declared[middle].hash == hash)
			return true;
		if (txn->declared[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static void txn_drop(struct kv_txn *txn)
{
	struct arena arena = txn->arena;

	txn->magic = 0;
	atomic_fetch_sub(&txn->kv->open_objects, 1);
	arena_done(&arena);
}

int kv_txn_begin(
	struct kv *kv, const str *write_keys, size_t n, int64_t deadline, struct kv_txn **ret_txn)
{
	struct kv_txn *txn;
	struct arena arena;
	int rc = 0;

	check(kv->magic == KV_MAGIC);
	if (n > kv->limits.txn_keys_max)
		return ERR_TOO_LARGE;
	for (size_t i = 0; i < n; i++)
		if (write_keys[i].n > kv->limits.key_bytes_max)
			return ERR_TOO_LARGE;
	arena_init(&arena, SIZE_MAX);
	txn = arena_new(&arena, struct kv_txn);
	txn->magic = KV_TXN_MAGIC;
	txn->kv = kv;
	txn->arena = arena;
	atomic_fetch_add(&kv->open_objects, 1);
	declare(txn, write_keys, n);
	if (kv->latches)
		rc = kv_latches_take(kv, txn->declared, txn->n_declared, deadline);
	if (rc < 0) {
		txn_drop(txn);
		return rc;
	}
	rc = kv->engine->txn_begin(txn, write_keys, n, deadline);
	if (rc < 0) {
		if (kv->latches)
			kv_latches_release(kv->latches, txn->declared, txn->n_declared);
		txn_drop(txn);
		return rc;
	}
	*ret_txn = txn;
	return 0;
}

static void txn_end(struct kv_txn *txn, enum kv_txn_state state)
{
	struct kv *kv = txn->kv;

	check(txn->scans == 0);
	kv->engine->txn_end(txn);
	if (kv->latches)
		kv_latches_release(kv->latches, txn->declared, txn->n_declared);
	txn->state = state;
}

void kv_txn_free(struct kv_txn *txn)
{
	if (!txn)
		return;
	check(txn->magic == KV_TXN_MAGIC);
	if (txn->state == KV_TXN_OPEN)
		txn_end(txn, KV_TXN_ENDED);
	txn_drop(txn);
}

void kv_txn_free_p(struct kv_txn **txn)
{
	kv_txn_free(*txn);
}

/* --- the operations of a transaction --------------------------------------------------------- */

/* A bigger copy of an array in the arena; the old one dies with it. */
static void *grow(
	struct kv_txn *txn, void *old, size_t n, size_t *capacity, size_t first, size_t size)
{
	void *bigger;

	*capacity = *capacity ? *capacity * 2 : first;
	bigger = arena_alloc(&txn->arena, *capacity * size);
	if (n)
		memcpy(bigger, old, n * size);
	return bigger;
}

static void index_put(struct kv_txn *txn, size_t place)
{
	size_t i = txn->ops[place].hash & txn->index_mask;

	while (txn->index[i])
		i = (i + 1) & txn->index_mask;
	txn->index[i] = (uint32_t)place + 1;
}

/* Keeps the index at most half full. */
static void index_add(struct kv_txn *txn, size_t place)
{
	if (txn->n_ops < INDEX_FROM)
		return;
	if (!txn->index || txn->n_ops * 2 > txn->index_mask) {
		txn->index_mask = txn->index ? txn->index_mask * 2 + 1 : INDEX_FROM * 4 - 1;
		txn->index = arena_new_array(&txn->arena, uint32_t, txn->index_mask + 1);
		for (size_t i = 0; i < place; i++)
			if (txn->ops[i].kind != KV_OP_STAMPED)
				index_put(txn, i);
	}
	if (txn->ops[place].kind != KV_OP_STAMPED)
		index_put(txn, place);
}

/* The plain operation on this key, or NULL. */
static struct kv_op *find_op(const struct kv_txn *txn, str key, uint64_t hash)
{
	if (!txn->index) {
		for (size_t i = 0; i < txn->n_ops; i++) {
			struct kv_op *op = &txn->ops[i];

			if (op->hash == hash && op->kind != KV_OP_STAMPED && str_eq(op->key, key))
				return op;
		}
		return NULL;
	}
	for (size_t i = hash & txn->index_mask; txn->index[i]; i = (i + 1) & txn->index_mask) {
		struct kv_op *op = &txn->ops[txn->index[i] - 1];

		if (op->hash == hash && str_eq(op->key, key))
			return op;
	}
	return NULL;
}

/* NULL when the transaction is over its limits; kv_commit() then says so. */
static struct kv_op *add_op(struct kv_txn *txn, enum kv_op_kind kind, size_t key_n, size_t value_n)
{
	const struct kv_limits *limits = &txn->kv->limits;

	check(txn->magic == KV_TXN_MAGIC && txn->state == KV_TXN_OPEN);
	txn->bytes += key_n + value_n;
	if (key_n > limits->key_bytes_max || value_n > limits->value_bytes_max ||
		txn->bytes > limits->txn_bytes_max || txn->n_ops >= limits->txn_keys_max) {
		txn->rc = ERR_TOO_LARGE;
		return NULL;
	}
	if (txn->n_ops == txn->ops_capacity)
		txn->ops = grow(
			txn, txn->ops, txn->n_ops, &txn->ops_capacity, OPS_FIRST, sizeof *txn->ops);
	txn->ops[txn->n_ops] = (struct kv_op){.kind = kind};
	return &txn->ops[txn->n_ops++];
}

static void write_op(struct kv_txn *txn, enum kv_op_kind kind, bool covered, str key, str value)
{
	uint64_t hash = str_hash(key);
	struct kv_op *op = find_op(txn, key, hash);

	check(key.n > 0 && key.p[0] != 0);
	check(covered || is_declared(txn, hash));
	if (op && value.n <= txn->kv->limits.value_bytes_max) {
		check(txn->state == KV_TXN_OPEN);
		txn->bytes += value.n;
		if (txn->bytes > txn->kv->limits.txn_bytes_max)
			txn->rc = ERR_TOO_LARGE;
		op->kind = kind;
		op->value = arena_str(&txn->arena, value);
		return;
	}
	op = add_op(txn, kind, key.n, value.n);
	if (!op)
		return;
	op->covered = covered;
	op->hash = hash;
	op->key = arena_str(&txn->arena, key.p ? key : STR(""));
	op->value = arena_str(&txn->arena, value.p ? value : STR(""));
	index_add(txn, txn->n_ops - 1);
}

void kv_txn_put(struct kv_txn *txn, str key, str value)
{
	write_op(txn, KV_OP_PUT, false, key, value.p ? value : STR(""));
}

void kv_txn_delete(struct kv_txn *txn, str key)
{
	write_op(txn, KV_OP_DELETE, false, key, STR(""));
}

void kv_txn_put_covered(struct kv_txn *txn, str key, str value)
{
	write_op(txn, KV_OP_PUT, true, key, value.p ? value : STR(""));
}

void kv_txn_delete_covered(struct kv_txn *txn, str key)
{
	write_op(txn, KV_OP_DELETE, true, key, STR(""));
}

void kv_txn_put_stamped(struct kv_txn *txn, str prefix, str domain, str suffix, str value,
	size_t value_stamp_offset)
{
	static const char room[KV_STAMP_BYTES];
	struct kv_op *op;

	check(domain.n >= 1 && domain.n <= KV_DOMAIN_BYTES_MAX);
	check(prefix.n > 0 && prefix.p[0] != 0);
	check(value_stamp_offset == KV_NO_STAMP ||
		(value.n >= KV_STAMP_BYTES && value_stamp_offset <= value.n - KV_STAMP_BYTES));
	op = add_op(txn, KV_OP_STAMPED, prefix.n + KV_STAMP_BYTES + suffix.n, value.n);
	if (!op)
		return;
	op->key = ARENA_CONCAT(&txn->arena, prefix, str_of(room, sizeof room), suffix);
	op->stamp_at = prefix.n;
	op->value = arena_str(&txn->arena, value.p ? value : STR(""));
	op->value_stamp_at = value_stamp_offset;
	op->domain = arena_str(&txn->arena, domain);
	txn->n_stamped++;
	index_add(txn, txn->n_ops - 1);
}

void kv_op_set_stamp(struct kv_op *op, uint64_t stamp)
{
	/* The copies are the transaction's own. */
	op->stamp = stamp;
	kv_put_be64((char *)op->key.p + op->stamp_at, stamp);
	op->hash = str_hash(op->key);
	if (op->value_stamp_at != KV_NO_STAMP)
		kv_put_be64((char *)op->value.p + op->value_stamp_at, stamp);
}

uint64_t kv_txn_stamp(const struct kv_txn *txn, size_t i)
{
	check(txn->magic == KV_TXN_MAGIC && txn->state == KV_TXN_COMMITTED && i < txn->n_stamped);
	for (size_t at = 0;; at++) {
		check(at < txn->n_ops);
		if (txn->ops[at].kind == KV_OP_STAMPED && i-- == 0)
			return txn->ops[at].stamp;
	}
}

void kv_txn_track(struct kv_txn *txn, uint64_t hash)
{
	if (txn->n_reads >= txn->kv->limits.txn_keys_max) {
		txn->rc = ERR_TOO_LARGE;
		return;
	}
	if (txn->n_reads == txn->reads_capacity)
		txn->reads = grow(txn, txn->reads, txn->n_reads, &txn->reads_capacity, READS_FIRST,
			sizeof *txn->reads);
	txn->reads[txn->n_reads++] = hash;
}

int kv_txn_get(struct kv_txn *txn, str key, struct arena *arena, str *ret_value)
{
	struct kv *kv = txn->kv;
	uint64_t hash = str_hash(key);
	const struct kv_op *op;
	str value = STR_NULL;
	int rc;

	check(txn->magic == KV_TXN_MAGIC && txn->state == KV_TXN_OPEN);
	if (key.n > kv->limits.key_bytes_max)
		return ERR_TOO_LARGE;
	op = find_op(txn, key, hash);
	if (op && op->kind == KV_OP_DELETE)
		return 0;
	if (op) {
		*ret_value = arena_str(arena, op->value);
		return 1;
	}
	kv_count(&kv->gets);
	rc = kv->engine->txn_get(txn, key, !is_declared(txn, hash), arena, &value);
	if (rc == ERR_CONFLICT) {
		kv_count(&kv->conflicts);
		txn->rc = rc;
	}
	if (rc > 0)
		*ret_value = value;
	return rc;
}

/* --- committing ------------------------------------------------------------------------------ */

int kv_commit(struct kv_txn *txn, uint64_t *ret_stamp)
{
	struct kv *kv = txn->kv;
	int rc = txn->rc;

	check(txn->magic == KV_TXN_MAGIC && txn->state == KV_TXN_OPEN);
	check(txn->scans == 0);
	if (rc == 0 && (txn->n_ops > 0 || kv->engine->commit_reads)) {
		kv_count(&kv->commits);
		rc = kv->engine->txn_commit(txn);
		if (rc == ERR_CONFLICT)
			kv_count(&kv->conflicts);
	}
	txn_end(txn, rc == 0 ? KV_TXN_COMMITTED : KV_TXN_ENDED);
	if (rc < 0)
		return rc;
	if (ret_stamp)
		*ret_stamp = txn->n_stamped ? kv_txn_stamp(txn, txn->n_stamped - 1) : 0;
	return 0;
}

static mayyield int run_once(
	struct kv *kv, const str *write_keys, size_t n, kv_txn_fn *fn, void *arg, int64_t deadline)
{
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	int rc;

	TRY(kv_txn_begin(kv, write_keys, n, deadline, &txn));
	rc = TRY(fn(txn, arg));
	TRY(kv_commit(txn, NULL));
	return rc;
}

int kv_run(
	struct kv *kv, const str *write_keys, size_t n, kv_txn_fn *fn, void *arg, int64_t deadline)
{
	int64_t pause_us = PAUSE_FIRST_US;

	for (;;) {
		int rc = run_once(kv, write_keys, n, fn, arg, deadline);
		int64_t until;

		if (rc != ERR_CONFLICT)
			return rc;
		until = rt_now() + (int64_t)(rt_random() % (uint64_t)pause_us) * RT_NS_US;
		if (until >= deadline)
			return ERR_CONFLICT;
		TRY(rt_sleep_until(until));
		pause_us = MIN(pause_us * 2, (int64_t)PAUSE_MAX_US);
	}
}

int kv_put(struct kv *kv, str key, str value, int64_t deadline)
{
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;

	TRY(kv_txn_begin(kv, &key, 1, deadline, &txn));
	kv_txn_put(txn, key, value);
	return kv_commit(txn, NULL);
}

int kv_delete(struct kv *kv, str key, int64_t deadline)
{
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;

	TRY(kv_txn_begin(kv, &key, 1, deadline, &txn));
	kv_txn_delete(txn, key);
	return kv_commit(txn, NULL);
}

/* --- the commit table ------------------------------------------------------------------------ */

void kv_commit_table_init(struct kv_commit_table *t, size_t places)
{
	check(places && (places & (places - 1)) == 0);
	t->seq = mem_zero_array(places, sizeof *t->seq);
	t->mask = places - 1;
}

void kv_commit_table_done(struct kv_commit_table *t)
{
	mem_free(t->seq);
	t->seq = NULL;
}

bool kv_commit_table_validates(const struct kv_commit_table *t, const struct kv_txn *txn)
{
	for (size_t i = 0; i < txn->n_reads; i++)
		if (kv_commit_table_changed(t, txn->reads[i], txn->begin_seq))
			return false;
	return true;
}
