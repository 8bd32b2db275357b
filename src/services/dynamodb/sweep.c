/*
 * The items of deleted tables: removed in the background, in small transactions.
 *
 * DeleteTable leaves a record under the table's id in DYNAMODB_META; its id is never used again, so
 * nothing can see the items any more and a crash only means that the sweep goes on after the start.
 * Requests that had found the table before may still write to it: the sweep waits for them
 * (flight.h) and looks once more before it removes the record. One fiber per server; it sleeps
 * until a table is deleted.
 */
#include "services/dynamodb/count.h"
#include "services/dynamodb/service.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/log.h"
#include "base/rc.h"
#include "kv/kv.h"

enum { BATCH_KEYS = 500, BATCH_BYTES = 1 << 20, RETRY_MS = 1000, PAUSE_MS = 5 };

static const enum keyspace_area item_areas[] = {KEYSPACE_DYNAMODB_ITEMS, KEYSPACE_DYNAMODB_INDEX};

static void sweep_prefix(struct buf *key)
{
	keyspace_area(key, KEYSPACE_DYNAMODB_META);
	keyspace_put(key, STR("sweep"));
}

str dynamodb_sweep_key(struct arena *a, uint64_t table_id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	sweep_prefix(&key);
	buf_put_be64(&key, table_id);
	return buf_str(&key);
}

void dynamodb_sweep_add(struct kv_txn *txn, struct arena *a, uint64_t table_id)
{
	kv_txn_put(txn, dynamodb_sweep_key(a, table_id), STR(""));
}

/* Removes up to a batch of keys below `prefix`; returns how many. */
static int sweep_batch(struct dynamodb *d, str prefix)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	struct arena a cleanup(arena_done_p);
	struct kv_range range = {.from = prefix, .limit = BATCH_KEYS};
	str key, value;
	int n = 0;

	arena_init(&a, BATCH_BYTES * 8);
	range.to = keyspace_prefix_end(&a, prefix);
	TRY(kv_scan_open(d->kv, &range, &scan));
	TRY(kv_txn_begin(d->kv, NULL, 0, rt_after_ms(RETRY_MS * 10), &txn));
	while (a.used_bytes < BATCH_BYTES && TRY(kv_scan_next(scan, &key, &value))) {
		/* Nobody can write a dead table's keys: no latches are needed. */
		kv_txn_delete_covered(txn, arena_str(&a, key));
		n++;
	}
	if (n)
		TRY(kv_commit(txn, NULL));
	return n;
}

static int sweep_items(struct dynamodb *d, uint64_t id)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < ARRAY_SIZE(item_areas); i++) {
		struct buf prefix;

		buf_init(&prefix, &a, KEYSPACE_KEY_MAX);
		keyspace_area(&prefix, item_areas[i]);
		buf_put_be64(&prefix, id);
		while (TRY(sweep_batch(d, buf_str(&prefix)))) {
			if (atomic_load(&d->stopping))
				return ERR_CANCELLED;
			TRY(rt_sleep_until(rt_after_ms(PAUSE_MS)));
		}
	}
	return 0;
}

static int sweep_table(struct dynamodb *d, uint64_t id)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, 1 << 16);
	TRY(sweep_items(d, id));
	TRY(flights_wait(&d->flights, &d->stopping));
	TRY(sweep_items(d, id));
	TRY(kv_delete(d->kv, dynamodb_count_key(&a, id), rt_after_ms(RETRY_MS * 10)));
	return kv_delete(d->kv, dynamodb_sweep_key(&a, id), rt_after_ms(RETRY_MS * 10));
}

/* The first deleted table whose items are still there: 1, or 0. */
static int next_table(struct dynamodb *d, uint64_t *ret_id)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct arena a cleanup(arena_done_p);
	struct kv_range range = {.limit = 1};
	struct buf prefix;
	str key, value;

	arena_init(&a, 1 << 16);
	buf_init(&prefix, &a, KEYSPACE_KEY_MAX);
	sweep_prefix(&prefix);
	range.from = buf_str(&prefix);
	range.to = keyspace_prefix_end(&a, range.from);
	TRY(kv_scan_open(d->kv, &range, &scan));
	if (!TRY(kv_scan_next(scan, &key, &value)))
		return 0;
	key = str_from(key, prefix.n);
	return str_take_be64(&key, ret_id) ? 1 : ERR_CORRUPT;
}

void dynamodb_sweep(void *arg)
{
	struct dynamodb *d = arg;

	while (!d->stopping && !rt_cancelled()) {
		uint64_t id;
		int rc = next_table(d, &id);

		if (rc > 0)
			rc = sweep_table(d, id);
		else if (rc == 0)
			rc = rt_event_wait(&d->sweep_wanted, RT_NEVER);
		if (rc < 0 && rc != ERR_CANCELLED && !d->stopping) {
			log_warn("dynamodb", "the items of a deleted table are still there",
				"rc=%s", rc_name(rc));
			if (rt_sleep_until(rt_after_ms(RETRY_MS)) < 0)
				break;
		}
	}
	rt_event_set(&d->sweeper_ended);
}
