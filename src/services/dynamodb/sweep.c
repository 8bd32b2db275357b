/*
 * The items of deleted tables: removed in the background, in small transactions.
 *
 * DeleteTable leaves a record under the table's id in DYNAMODB_META, with the ids of its indexes
 * as its value; ids are never used again, so
 * nothing can see the items any more and a crash only means that the sweep goes on after the start.
 * Requests that had found the table before may still write to it: the sweep waits for them
 * (flight.h) and looks once more before it removes the record. One fiber per server; it sleeps
 * until a table is deleted.
 */
#include "services/dynamodb/count.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/write.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/log.h"
#include "base/rc.h"
#include "kv/kv.h"

enum { BATCH_KEYS = 500, BATCH_BYTES = 1 << 20, RETRY_MS = 1000, PAUSE_MS = 5 };

/* What hangs on an id, of a table or of an index: all below it in these areas. */
static const enum keyspace_area areas[] = {
	KEYSPACE_DYNAMODB_ITEMS, KEYSPACE_DYNAMODB_INDEX, KEYSPACE_DYNAMODB_EXPIRY};

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

void dynamodb_sweep_add(struct kv_txn *txn, struct arena *a, const struct table *t)
{
	struct buf ids;

	buf_init(&ids, a, TABLE_INDEXES_MAX * sizeof t->id);
	for (size_t i = 0; i < t->index_count; i++)
		buf_put_be64(&ids, t->indexes[i].id);
	kv_txn_put(txn, dynamodb_sweep_key(a, t->id), buf_str(&ids));
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

static int sweep_prefix_of(struct dynamodb *d, str prefix)
{
	while (TRY(sweep_batch(d, prefix))) {
		if (atomic_load(&d->stopping))
			return ERR_CANCELLED;
		TRY(rt_sleep_until(rt_after_ms(PAUSE_MS)));
	}
	return 0;
}

int dynamodb_sweep_id(struct dynamodb *d, uint64_t id)
{
	struct arena a cleanup(arena_done_p);
	struct buf prefix;

	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		buf_init(&prefix, &a, KEYSPACE_KEY_MAX);
		keyspace_area(&prefix, areas[i]);
		buf_put_be64(&prefix, id);
		TRY(sweep_prefix_of(d, buf_str(&prefix)));
	}
	return sweep_prefix_of(d, write_collection_prefix(&a, id));
}

/* The table, and then its indexes: `indexes` is the record's value. */
static int sweep_ids(struct dynamodb *d, uint64_t id, str indexes)
{
	TRY(dynamodb_sweep_id(d, id));
	while (str_take_be64(&indexes, &id))
		TRY(dynamodb_sweep_id(d, id));
	return 0;
}

static int sweep_table(struct dynamodb *d, uint64_t id, str indexes)
{
	struct arena a cleanup(arena_done_p);
	uint64_t index;

	arena_init(&a, 1 << 16);
	TRY(sweep_ids(d, id, indexes));
	TRY(dynamodb_wait_for_writers(d));
	TRY(sweep_ids(d, id, indexes));
	TRY(kv_delete(d->kv, dynamodb_count_key(&a, id), rt_after_ms(RETRY_MS * 10)));
	while (str_take_be64(&indexes, &index))
		TRY(kv_delete(d->kv, dynamodb_count_key(&a, index), rt_after_ms(RETRY_MS * 10)));
	return kv_delete(d->kv, dynamodb_sweep_key(&a, id), rt_after_ms(RETRY_MS * 10));
}

/* The first deleted table whose items are still there: 1, or 0. */
static int next_table(struct dynamodb *d, struct arena *a, uint64_t *ret_id, str *ret_indexes)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 1};
	struct buf prefix;
	str key, value;

	buf_init(&prefix, a, KEYSPACE_KEY_MAX);
	sweep_prefix(&prefix);
	range.from = buf_str(&prefix);
	range.to = keyspace_prefix_end(a, range.from);
	TRY(kv_scan_open(d->kv, &range, &scan));
	if (!TRY(kv_scan_next(scan, &key, &value)))
		return 0;
	*ret_indexes = arena_str(a, value);
	key = str_from(key, prefix.n);
	return str_take_be64(&key, ret_id) ? 1 : ERR_CORRUPT;
}

static int sweep_one(struct dynamodb *d)
{
	struct arena a cleanup(arena_done_p);
	uint64_t id;
	str indexes;

	arena_init(&a, 1 << 16);
	if (!TRY(next_table(d, &a, &id, &indexes)))
		return 0;
	TRY(sweep_table(d, id, indexes));
	return 1;
}

void dynamodb_sweep(void *arg)
{
	struct dynamodb *d = arg;

	while (!d->stopping && !rt_cancelled()) {
		int rc = sweep_one(d);

		if (rc == 0)
			rc = rt_event_wait(dynamodb_wanted(d, WORKER_SWEEP), RT_NEVER);
		if (rc < 0 && rc != ERR_CANCELLED && !d->stopping) {
			if (rc != ERR_CONFLICT) /* the engine gave a scan up: it goes on */
				log_warn("dynamodb", "the items of a deleted table are still there",
					"rc=%s", rc_name(rc));
			if (rt_sleep_until(rt_after_ms(RETRY_MS)) < 0)
				break;
		}
	}
}
