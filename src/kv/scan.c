/*
 * Scans, the same for every engine: batches of entries in one buffer, filled by the engine, with
 * the writes of a transaction merged in. See kv.h for the contract.
 *
 * Limits: a batch is at most BATCH_BYTES_MAX and one entry more.
 */
#include "base/mem.h"
#include "kv/engine.h"

#include <stdlib.h>

enum {
	BATCH_ENTRIES_FIRST = 32,
	BATCH_ENTRIES_MAX = 4096,
	BATCH_BYTES_FIRST = 16 * 1024,
	BATCH_BYTES_MAX = 128 * 1024,
};

bool kv_scan_add(struct kv_scan *scan, str key, str value)
{
	uint32_t n[2] = {(uint32_t)key.n, (uint32_t)value.n};

	buf_put(&scan->batch, str_of(n, sizeof n));
	buf_put(&scan->batch, key);
	buf_put(&scan->batch, value);
	check(!scan->batch.over);
	scan->batch_count++;
	return scan->batch_count >= scan->batch_entries_max ||
	       scan->batch.n >= scan->batch_bytes_max;
}

static void take_entry(struct kv_scan *scan, str *ret_key, str *ret_value)
{
	const char *p = scan->batch.p + scan->batch_at;
	uint32_t n[2];

	memcpy(n, p, sizeof n);
	*ret_key = str_of(p + sizeof n, n[0]);
	*ret_value = str_of(p + sizeof n + n[0], n[1]);
	scan->batch_at += sizeof n + n[0] + n[1];
	check(scan->batch_at <= scan->batch.n);
}

static void set_range(struct kv_scan *scan, const struct kv_range *range)
{
	buf_init(&scan->range_keys, NULL, SIZE_MAX);
	buf_put(&scan->range_keys, range->from);
	buf_put(&scan->range_keys, range->to);
	scan->range = *range;
	scan->range.from = str_of(buf_str(&scan->range_keys).p, range->from.n);
	if (range->to.p)
		scan->range.to = str_of(buf_str(&scan->range_keys).p + range->from.n, range->to.n);
	if (range->to.p && str_cmp(range->from, range->to) >= 0)
		scan->end = true;
}

static int by_key(const void *a, const void *b)
{
	const struct kv_op *x = *(struct kv_op *const *)a, *y = *(struct kv_op *const *)b;

	return str_cmp(x->key, y->key);
}

static int by_key_reverse(const void *a, const void *b)
{
	return by_key(b, a);
}

/* Copies the transaction's writes within the range: its own may be changed while we scan. */
static void set_overlay(struct kv_scan *scan, const struct kv_txn *txn)
{
	size_t n = 0;

	if (txn->n_ops == txn->n_stamped)
		return;
	scan->overlay = arena_new_array(&scan->arena, struct kv_op *, txn->n_ops);
	for (size_t i = 0; i < txn->n_ops; i++) {
		const struct kv_op *op = &txn->ops[i];
		struct kv_op *copy;

		if (op->kind == KV_OP_STAMPED || str_cmp(op->key, scan->range.from) < 0 ||
			(scan->range.to.p && str_cmp(op->key, scan->range.to) >= 0))
			continue;
		copy = arena_new(&scan->arena, struct kv_op);
		copy->kind = op->kind;
		copy->key = arena_str(&scan->arena, op->key);
		copy->value = arena_str(&scan->arena, op->value);
		scan->overlay[n++] = copy;
	}
	scan->overlay_n = n;
	if (n > 1)
		qsort(scan->overlay, n, sizeof *scan->overlay,
			scan->range.reverse ? by_key_reverse : by_key);
}

static mayyield int scan_open(struct kv *kv, struct kv_snapshot *snapshot, struct kv_txn *txn,
	const struct kv_range *range, struct kv_scan **ret_scan)
{
	struct kv_scan *scan;
	int rc;

	check(kv->magic == KV_MAGIC);
	if (range->from.n > kv->limits.key_bytes_max || range->to.n > kv->limits.key_bytes_max)
		return ERR_TOO_LARGE;
	scan = mem_new(struct kv_scan);
	scan->magic = KV_SCAN_MAGIC;
	scan->kv = kv;
	scan->snapshot = snapshot;
	scan->txn = txn;
	list_init(&scan->view.link);
	buf_init(&scan->batch, NULL, SIZE_MAX);
	buf_init(&scan->last, NULL, SIZE_MAX);
	arena_init(&scan->arena, SIZE_MAX);
	set_range(scan, range);
	if (txn)
		set_overlay(scan, txn);
	scan->batch_entries_max = range->limit ? MIN(range->limit, (unsigned)BATCH_ENTRIES_MAX)
					       : (unsigned)BATCH_ENTRIES_FIRST;
	scan->batch_bytes_max = range->limit ? BATCH_BYTES_MAX : BATCH_BYTES_FIRST;
	atomic_fetch_add(&kv->open_objects, 1);
	if (snapshot)
		snapshot->scans++;
	if (txn)
		txn->scans++;
	rc = kv->engine->scan_open(scan);
	if (rc < 0) {
		scan->rc = rc;
		scan->kv = kv;
		kv_scan_close(scan);
		return rc;
	}
	*ret_scan = scan;
	return 0;
}

int kv_scan_open(struct kv *kv, const struct kv_range *range, struct kv_scan **ret_scan)
{
	return scan_open(kv, NULL, NULL, range, ret_scan);
}

int kv_snapshot_scan(
	struct kv_snapshot *snapshot, const struct kv_range *range, struct kv_scan **ret_scan)
{
	check(snapshot->magic == KV_SNAPSHOT_MAGIC);
	return scan_open(snapshot->kv, snapshot, NULL, range, ret_scan);
}

int kv_txn_scan(struct kv_txn *txn, const struct kv_range *range, struct kv_scan **ret_scan)
{
	check(txn->magic == KV_TXN_MAGIC && txn->state == KV_TXN_OPEN);
	return scan_open(txn->kv, NULL, txn, range, ret_scan);
}

/* The engine's next entry into scan->next_*: 1, 0 at the end. */
static mayyield int fetch(struct kv_scan *scan)
{
	if (scan->has_next)
		return 1;
	if (scan->batch_at == scan->batch.n) {
		if (scan->end)
			return 0;
		if (scan->batch_count > 0) {
			buf_reset(&scan->last);
			buf_put(&scan->last, scan->next_key);
			scan->has_last = true;
			scan->batch_entries_max = BATCH_ENTRIES_MAX;
			scan->batch_bytes_max = BATCH_BYTES_MAX;
		}
		buf_reset(&scan->batch);
		scan->batch_at = 0;
		scan->batch_count = 0;
		kv_count(&scan->kv->scans_filled);
		TRY(scan->kv->engine->scan_fill(scan));
		check(scan->end || scan->batch_count > 0);
		if (scan->batch_count == 0)
			return 0;
	}
	take_entry(scan, &scan->next_key, &scan->next_value);
	scan->has_next = true;
	return 1;
}

/* Engine and overlay merged; the overlay wins. */
static mayyield int merged(struct kv_scan *scan, str *ret_key, str *ret_value)
{
	for (;;) {
		int found = TRY(fetch(scan))
		, c = 1;
		const struct kv_op *op = NULL;

		if (scan->overlay_at < scan->overlay_n) {
			op = scan->overlay[scan->overlay_at];
			c = found ? str_cmp(scan->next_key, op->key) : 1;
			if (found && scan->range.reverse)
				c = -c;
		}
		if (!op && !found)
			return 0;
		if (!op || c < 0) {
			scan->has_next = false;
			*ret_key = scan->next_key;
			*ret_value = scan->next_value;
			return 1;
		}
		scan->overlay_at++;
		if (c == 0)
			scan->has_next = false;
		if (op->kind == KV_OP_DELETE)
			continue;
		*ret_key = op->key;
		*ret_value = op->value;
		return 1;
	}
}

int kv_scan_next(struct kv_scan *scan, str *ret_key, str *ret_value)
{
	int rc;

	check(scan->magic == KV_SCAN_MAGIC);
	if (scan->rc < 0)
		return scan->rc;
	if (scan->range.limit && scan->given >= scan->range.limit)
		return 0;
	rc = merged(scan, ret_key, ret_value);
	if (rc < 0)
		scan->rc = rc;
	else if (rc > 0)
		scan->given++;
	return rc;
}

void kv_scan_close(struct kv_scan *scan)
{
	if (!scan)
		return;
	check(scan->magic == KV_SCAN_MAGIC);
	scan->kv->engine->scan_close(scan);
	if (scan->snapshot)
		scan->snapshot->scans--;
	if (scan->txn)
		scan->txn->scans--;
	atomic_fetch_sub(&scan->kv->open_objects, 1);
	buf_done(&scan->range_keys);
	buf_done(&scan->batch);
	buf_done(&scan->last);
	arena_done(&scan->arena);
	scan->magic = 0;
	mem_free(scan);
}

void kv_scan_close_p(struct kv_scan **scan)
{
	kv_scan_close(*scan);
}
