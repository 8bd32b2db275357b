/*
 * The work of time to live: entries for the items that a table has when it is enabled, their
 * removal when it is disabled, and the deletion of due items.
 *
 * Expiry looks every d->ttl_period_ms at the tables that have time to live, and sleeps while none
 * has. It reads only what is due. An entry may appear in front of those that are gone (an item that
 * was due when it was written), so it has to look from the oldest second that counts on; because
 * deleted entries cost a scan until the engine has cleared them away, it does so only as often as
 * it takes a twentieth of the time, and otherwise goes on where it was.
 */
#include "services/dynamodb/ttl.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rc.h"
#include "kv/kv.h"
#include "services/dynamodb/expiry.h"
#include "services/dynamodb/record.h"
#include "services/dynamodb/write.h"

enum {
	PAGE_MARKS = 100,
	BATCH_ITEMS = 100,
	BATCH_BYTES = 8 << 20, /* of items, in one transaction */
	EMPTY_KEYS = 1000,
	TXN_MS = 10 * 1000,
	RETRY_MS = 1000,
	PAUSE_MS = 1,
	FULL_LOOK_SHARE = 20,
	SECONDS_BACK = 5 * 366 * 24 * 3600, /* more than expiry_counts() goes back */
};

/* ---- marks ---- */

/* Copies of up to a page of marks' values behind `from`, which moves on; how many. */
static int read_marks(struct dynamodb *d, struct arena *a, struct buf *from, str *values)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.from = buf_str(from), .limit = PAGE_MARKS};
	str key, value;
	int n = 0;

	range.to = keyspace_prefix_end(a, ttl_mark_prefix(a));
	TRY(kv_scan_open(d->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		values[n++] = arena_str(a, value);
		buf_reset(from);
		buf_put(from, key);
		buf_put_char(from, 0);
	}
	return n;
}

/* Calls `fn` for each mark, with `arg`; the first error ends it. How many there are. */
static int each_mark(struct dynamodb *d,
	int (*fn)(struct dynamodb *d, const struct ttl_mark *mark, void *arg), void *arg)
{
	struct arena own cleanup(arena_done_p);
	struct buf from;
	int total = 0;

	arena_init(&own, SIZE_MAX);
	buf_init(&from, &own, KEYSPACE_KEY_MAX);
	buf_put(&from, ttl_mark_prefix(&own));
	for (;;) {
		struct arena a cleanup(arena_done_p);
		str values[PAGE_MARKS];
		struct ttl_mark mark;
		int n;

		arena_init(&a, SIZE_MAX);
		n = TRY(read_marks(d, &a, &from, values));
		for (int i = 0; i < n; i++) {
			TRY(ttl_mark_decode(values[i], &mark));
			TRY(fn(d, &mark, arg));
		}
		total += n;
		if (n < PAGE_MARKS)
			return total;
	}
}

/* The mark's table, with a reference: 1, or 0 when it is gone. */
static int find_table(struct dynamodb *d, const struct ttl_mark *mark, struct table **ret_table)
{
	struct table *t cleanup(table_unref_p) = NULL;

	if (!TRY(catalog_find(d->catalog, mark->account, mark->region, mark->table, &t)) ||
		t->id != mark->table_id)
		return 0;
	*ret_table = table_ref(t);
	return 1;
}

static int remove_mark(struct dynamodb *d, const struct ttl_mark *mark)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	return kv_delete(d->kv, ttl_mark_key(&a, mark->table_id), rt_after_ms(TXN_MS));
}

struct state_change {
	struct arena *arena;
	str key;
	enum ttl_state from, to;
};

static int change_state(struct kv_txn *txn, void *arg)
{
	struct state_change *change = arg;
	struct ttl_mark mark;
	struct buf value;
	str found;

	if (!TRY(kv_txn_get(txn, change->key, change->arena, &found)))
		return 0;
	TRY(ttl_mark_decode(found, &mark));
	if (mark.state != change->from)
		return 0;
	mark.state = change->to;
	buf_init(&value, change->arena, TTL_MARK_MAX);
	ttl_mark_encode(&value, &mark);
	kv_txn_put(txn, change->key, buf_str(&value));
	return 0;
}

/* ---- filling ---- */

/* A batch of items, by their keys. */
struct batch {
	struct dynamodb *d;
	struct table *table;
	struct flight flight; /* of a batch that deletes */
	struct arena arena;   /* keys */
	struct arena items;   /* of one run of the transaction */
	str keys[BATCH_ITEMS];
	uint64_t seconds[BATCH_ITEMS]; /* of the entries, when they are due */
	size_t count;
	size_t done; /* by the transaction, from the first on */
	size_t deleted;
};

static void batch_init(struct batch *b, struct dynamodb *d)
{
	*b = (struct batch){.d = d};
	arena_init(&b->arena, SIZE_MAX);
	arena_init(&b->items, SIZE_MAX);
}

static void batch_done(struct batch *b)
{
	flight_leave(&b->flight);
	table_unref(b->table);
	arena_done(&b->arena);
	arena_done(&b->items);
}

static int fill_in_store(struct kv_txn *txn, void *arg)
{
	struct batch *b = arg;

	arena_done(&b->items);
	for (b->done = 0; b->done < b->count && b->items.used_bytes < BATCH_BYTES; b->done++) {
		uint64_t time;
		str item;

		TRY(record_read_txn(txn, b->keys[b->done], &b->items, &item, &time));
		if (item.p)
			write_expiry_entry(txn, &b->items, b->table, b->keys[b->done], item);
	}
	return 0;
}

/* Keys of items from `from` on. */
static int item_keys(struct batch *b, str from, str to)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	const struct kv_range range = {.from = from, .to = to, .limit = BATCH_ITEMS};
	str key, value;

	TRY(kv_scan_open(b->d->kv, &range, &scan));
	while (b->count < BATCH_ITEMS && TRY(kv_scan_next(scan, &key, &value)))
		b->keys[b->count++] = arena_str(&b->arena, key);
	return 0;
}

/* 1: *next moved on; 0: the table is through; ERR_NOT_FOUND: it is gone, or changed again. */
static int fill_some(struct dynamodb *d, const struct ttl_mark *mark, struct buf *next, str end)
{
	struct batch b cleanup(batch_done);

	batch_init(&b, d);
	if (!TRY(find_table(d, mark, &b.table)) || !b.table->ttl_attribute.p)
		return ERR_NOT_FOUND;
	TRY(item_keys(&b, buf_str(next), end));
	if (!b.count)
		return 0;
	TRY(kv_run(d->kv, b.keys, b.count, fill_in_store, &b, rt_after_ms(TXN_MS)));
	buf_reset(next);
	buf_put(next, b.keys[b.done - 1]);
	buf_put_char(next, 0);
	return 1;
}

/* Entries for the items that were there before; writers since then make theirs themselves. */
static int fill(struct dynamodb *d, const struct ttl_mark *mark)
{
	struct arena a cleanup(arena_done_p);
	struct state_change change = {.arena = &a, .from = TTL_FILLING, .to = TTL_ACTIVE};
	struct buf next;
	str end;
	int rc;

	arena_init(&a, SIZE_MAX);
	TRY(dynamodb_wait_for_writers(d));
	buf_init(&next, &a, KEY_BYTES_MAX);
	key_put_table(&next, mark->table_id);
	end = keyspace_prefix_end(&a, buf_str(&next));
	while (TRY(fill_some(d, mark, &next, end))) {
		if (atomic_load(&d->stopping))
			return ERR_CANCELLED;
		TRY(rt_sleep_until(rt_after_ms(PAUSE_MS)));
	}
	change.key = ttl_mark_key(&a, mark->table_id);
	rc = kv_run(d->kv, &change.key, 1, change_state, &change, rt_after_ms(TXN_MS));
	dynamodb_wake(d, WORKER_TTL_EXPIRE); /* after an error too: it may have been done */
	return rc;
}

/* ---- emptying ---- */

static int empty_some(struct dynamodb *d, str prefix)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	struct arena a cleanup(arena_done_p);
	struct kv_range range = {.from = prefix, .limit = EMPTY_KEYS};
	str key, value;
	int n = 0;

	arena_init(&a, SIZE_MAX);
	range.to = keyspace_prefix_end(&a, prefix);
	TRY(kv_scan_open(d->kv, &range, &scan));
	TRY(kv_txn_begin(d->kv, NULL, 0, rt_after_ms(TXN_MS), &txn));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		/* Nobody writes entries of a table without time to live. */
		kv_txn_delete_covered(txn, arena_str(&a, key));
		n++;
	}
	if (n)
		TRY(kv_commit(txn, NULL));
	return n;
}

static int empty(struct dynamodb *d, const struct ttl_mark *mark)
{
	struct arena a cleanup(arena_done_p);
	str prefix;

	arena_init(&a, SIZE_MAX);
	prefix = expiry_prefix(&a, mark->table_id);
	TRY(dynamodb_wait_for_writers(d));
	while (TRY(empty_some(d, prefix))) {
		if (atomic_load(&d->stopping))
			return ERR_CANCELLED;
		TRY(rt_sleep_until(rt_after_ms(PAUSE_MS)));
	}
	return remove_mark(d, mark);
}

static int change_table(struct dynamodb *d, const struct ttl_mark *mark)
{
	struct table *t cleanup(table_unref_p) = NULL;

	/* The entries of a deleted table are swept with its items. */
	if (!TRY(find_table(d, mark, &t)))
		return remove_mark(d, mark);
	switch (mark->state) {
	case TTL_FILLING: return fill(d, mark);
	case TTL_EMPTYING: return empty(d, mark);
	case TTL_ACTIVE: return 0;
	}
	return ERR_CORRUPT;
}

/* *arg becomes true when something is left to do: one table does not hold up the others. */
static int change_one(struct dynamodb *d, const struct ttl_mark *mark, void *arg)
{
	bool *again = arg;
	int rc = change_table(d, mark);

	if (atomic_load(&d->stopping) || rt_cancelled())
		return ERR_CANCELLED;
	if (rc < 0 && rc != ERR_NOT_FOUND) /* deleted meanwhile: its mark goes */
		log_warn("dynamodb", "time to live of a table is not changed yet", "rc=%s",
			rc_name(rc));
	*again |= rc < 0;
	return 0;
}

void dynamodb_ttl_change(void *arg)
{
	struct dynamodb *d = arg;

	while (!atomic_load(&d->stopping) && !rt_cancelled()) {
		bool again = false;
		int rc = each_mark(d, change_one, &again);

		rc = rt_event_wait(dynamodb_wanted(d, WORKER_TTL_CHANGE),
			rc < 0 || again ? rt_after_ms(RETRY_MS) : RT_NEVER);
		if (rc == ERR_CANCELLED)
			break;
	}
}

/* ---- expiry ---- */

/* What is known of a table with time to live. */
struct known {
	uint64_t id;
	uint64_t from;        /* second to go on with */
	int64_t full_look_at; /* when to look from the oldest second on again */
};

static int delete_in_store(struct kv_txn *txn, void *arg)
{
	struct batch *b = arg;

	arena_done(&b->items);
	b->deleted = 0;
	for (b->done = 0; b->done < b->count && b->items.used_bytes < BATCH_BYTES; b->done++) {
		struct item_change change = {.table = b->table,
			.key = b->keys[b->done],
			.new_item = STR_NULL,
			.by_expiry = true};
		struct fault fault = {0};
		uint64_t second;

		TRY(record_read_txn(
			txn, change.key, &b->items, &change.old_item, &change.replaced));
		if (!change.old_item.p ||
			!expiry_second(change.old_item, b->table->ttl_attribute, &second) ||
			second != b->seconds[b->done]) {
			kv_txn_delete_covered(txn, expiry_key(&b->items, b->table->id,
							   b->seconds[b->done], change.key));
			continue;
		}
		TRY(write_item(txn, &b->items, &change, NULL, &fault));
		b->deleted++;
	}
	return 0;
}

/* Entries from `from` on that are due before `now`. */
static int due_keys(struct batch *b, str from, str to)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	const struct kv_range range = {.from = from, .to = to, .limit = BATCH_ITEMS};
	str key, value;

	TRY(kv_scan_open(b->d->kv, &range, &scan));
	while (b->count < BATCH_ITEMS && TRY(kv_scan_next(scan, &key, &value))) {
		TRY(expiry_take(key, &b->arena, &b->seconds[b->count], &b->keys[b->count]));
		b->count++;
	}
	return 0;
}

/* Deletes a batch and moves *next behind it: 1; 0: nothing more is due. ERR_NOT_FOUND. */
static int expire_some(struct dynamodb *d, const struct ttl_mark *mark, struct buf *next, str end)
{
	str declared[BATCH_ITEMS * WRITE_KEYS_MAX];
	struct batch b cleanup(batch_done);
	size_t n = 0;

	batch_init(&b, d);
	/* Until the commit has ended, so that who disables or deletes waits for it. */
	b.flight = flight_enter(&d->flights);
	if (!TRY(find_table(d, mark, &b.table)))
		return ERR_NOT_FOUND;
	if (!b.table->ttl_attribute.p)
		return 0;
	TRY(due_keys(&b, buf_str(next), end));
	if (!b.count)
		return 0;
	for (size_t i = 0; i < b.count; i++)
		n += write_keys(b.table, b.keys[i], &b.arena, &declared[n]);
	TRY(kv_run(d->kv, declared, n, delete_in_store, &b, rt_after_ms(TXN_MS)));
	if (b.deleted)
		stream_notify(&d->stream_waits, b.table);
	buf_reset(next);
	buf_put(next,
		expiry_key(&b.arena, mark->table_id, b.seconds[b.done - 1], b.keys[b.done - 1]));
	buf_put_char(next, 0);
	return 1;
}

/* Entries of a second, and of those behind it. */
static str second_key(struct arena *a, uint64_t table_id, uint64_t second)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	buf_put(&key, expiry_prefix(a, table_id));
	buf_put_be64(&key, second);
	return buf_str(&key);
}

static int expire_table(struct dynamodb *d, const struct ttl_mark *mark, struct known *k)
{
	uint64_t now = (uint64_t)(rt_wall() / RT_NS_S);
	int64_t begun = rt_now();
	bool full = begun >= k->full_look_at;
	struct arena a cleanup(arena_done_p);
	struct buf next;
	str end;

	arena_init(&a, SIZE_MAX);
	buf_init(&next, &a, KEYSPACE_KEY_MAX);
	buf_put(&next, second_key(&a, mark->table_id,
			       full ? now - MIN(now, (uint64_t)SECONDS_BACK) : k->from));
	end = second_key(&a, mark->table_id, now);
	while (TRY(expire_some(d, mark, &next, end))) {
		if (atomic_load(&d->stopping))
			return ERR_CANCELLED;
		TRY(rt_yield());
	}
	k->from = now;
	if (full)
		k->full_look_at = rt_now() + (rt_now() - begun) * FULL_LOOK_SHARE;
	return 0;
}

/* One look at all tables. */
struct look {
	struct map *known; /* by id */
	bool some;         /* a table has time to live */
};

static int expire_one(struct dynamodb *d, const struct ttl_mark *mark, void *arg)
{
	struct look *look = arg;
	struct known *k;
	int rc;

	if (mark->state != TTL_ACTIVE)
		return 0;
	look->some = true;
	k = map_get(look->known, str_of(&mark->table_id, sizeof mark->table_id));
	if (!k) {
		k = mem_new(struct known);
		k->id = mark->table_id;
		map_put(look->known, str_of(&k->id, sizeof k->id), k);
	}
	rc = expire_table(d, mark, k);
	if (atomic_load(&d->stopping) || rt_cancelled())
		return ERR_CANCELLED;
	if (rc == ERR_NOT_FOUND)
		dynamodb_wake(d, WORKER_TTL_CHANGE); /* the mark of a deleted table */
	else if (rc < 0)                             /* at the next look */
		log_warn("dynamodb", "due items of a table are not deleted yet", "rc=%s",
			rc_name(rc));
	return 0;
}

static void forget(struct map *known)
{
	map_for_each(slot, known)
		mem_free(slot->value);
	map_done(known);
}

void dynamodb_ttl_expire(void *arg)
{
	struct dynamodb *d = arg;
	struct map known = {0};

	while (!atomic_load(&d->stopping) && !rt_cancelled()) {
		struct look look = {.known = &known};
		int rc = each_mark(d, expire_one, &look);

		if (!look.some)
			forget(&known);
		rc = rt_event_wait(dynamodb_wanted(d, WORKER_TTL_EXPIRE),
			look.some || rc < 0 ? rt_after_ms(d->ttl_period_ms) : RT_NEVER);
		if (rc == ERR_CANCELLED)
			break;
	}
	forget(&known);
}
