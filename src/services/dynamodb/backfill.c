/*
 * The jobs of indexes, and the fiber that works on them.
 */
#include "services/dynamodb/backfill.h"

#include "aws/keyspace.h"
#include "base/log.h"
#include "base/rc.h"
#include "kv/kv.h"
#include "services/dynamodb/count.h"
#include "services/dynamodb/record.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/write.h"

enum {
	JOB_VERSION = 1,
	BATCH_ITEMS = 100,
	BATCH_BYTES = 1 << 20,
	SLICE_MS = 200, /* of one job; then the others get their turn */
	PAUSE_MS = 1,
	RETRY_MS = 1000,
	WRITE_MS = 10 * 1000,
	ARENA_BYTES = 8 << 20
};

/* ---- jobs ---- */

struct job {
	uint64_t id; /* of the index */
	str account, region, name;
	str cursor; /* key of an item; empty: at the beginning */
};

static void jobs_prefix(struct buf *key)
{
	keyspace_area(key, KEYSPACE_DYNAMODB_META);
	keyspace_put(key, STR("index"));
}

str backfill_key(struct arena *a, uint64_t index_id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	jobs_prefix(&key);
	buf_put_be64(&key, index_id);
	return buf_str(&key);
}

static str job_value(struct arena *a, const struct job *job)
{
	struct buf value;

	buf_init(&value, a, 2 * KEYSPACE_KEY_MAX);
	buf_put_char(&value, JOB_VERSION);
	keyspace_put(&value, job->account);
	keyspace_put(&value, job->region);
	keyspace_put(&value, job->name);
	buf_put(&value, job->cursor);
	return buf_str(&value);
}

void backfill_add(struct kv_txn *txn, struct arena *a, const struct table *t, uint64_t index_id)
{
	const struct job job = {
		.account = t->account, .region = t->region, .name = t->name, .cursor = STR("")};

	kv_txn_put(txn, backfill_key(a, index_id), job_value(a, &job));
}

static int take_job(struct arena *a, str key, str value, struct job *ret_job)
{
	struct job job;
	uint8_t version;

	if (!str_take_be64(&key, &job.id) || !str_take_u8(&value, &version) ||
		version != JOB_VERSION || !keyspace_take(a, &value, &job.account) ||
		!keyspace_take(a, &value, &job.region) || !keyspace_take(a, &value, &job.name))
		return ERR_CORRUPT;
	job.cursor = value;
	*ret_job = job;
	return 0;
}

/* The first job with an id above `after`: 1, or 0. Texts are in the arena. */
static int next_job(struct dynamodb *d, struct arena *a, uint64_t after, struct job *ret_job)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 1};
	struct buf prefix;
	str key, value;

	buf_init(&prefix, a, KEYSPACE_KEY_MAX);
	jobs_prefix(&prefix);
	range.from = backfill_key(a, after + 1);
	range.to = keyspace_prefix_end(a, buf_str(&prefix));
	TRY(kv_scan_open(d->kv, &range, &scan));
	if (!TRY(kv_scan_next(scan, &key, &value)))
		return 0;
	TRY(take_job(a, str_from(arena_str(a, key), prefix.n), arena_str(a, value), ret_job));
	return 1;
}

/* ---- changes of the record ---- */

static str job_table_key(struct arena *a, const struct job *job)
{
	return table_key(a, job->account, job->region, job->name);
}

static struct table_index *index_of(struct table *t, uint64_t id)
{
	for (size_t i = 0; i < t->index_count; i++)
		if (t->indexes[i].id == id)
			return (struct table_index *)&t->indexes[i]; /* of a record of our own */
	return NULL;
}

struct transition {
	const struct job *job;
	struct arena *a;
	/* The state that the index has to be in, and whether it is backfilling. */
	enum table_index_status from;
	bool backfilling;
	void (*apply)(struct table *t, struct table_index *index);
	bool ends; /* the job is done */
};

/* 1, or 0: the index is in another state (or gone) meanwhile. */
static int transition_in_store(struct kv_txn *txn, void *arg)
{
	struct transition *tr = arg;
	struct table *t cleanup(table_unref_p) = NULL;
	str key = job_table_key(tr->a, tr->job), document;
	struct table_index *index;

	if (!TRY(kv_txn_get(txn, key, tr->a, &document)))
		return 0;
	TRY(table_decode(document, &t));
	index = index_of(t, tr->job->id);
	if (!index || index->status != tr->from || index->backfilling != tr->backfilling)
		return 0;
	tr->apply(t, index);
	kv_txn_put(txn, key, table_encode(tr->a, t));
	if (tr->ends)
		kv_txn_delete(txn, backfill_key(tr->a, tr->job->id));
	return 1;
}

static int change_index(struct dynamodb *d, struct transition *tr)
{
	str keys[] = {job_table_key(tr->a, tr->job), backfill_key(tr->a, tr->job->id)};
	int rc = kv_run(
		d->kv, keys, ARRAY_SIZE(keys), transition_in_store, tr, rt_after_ms(WRITE_MS));

	catalog_changed(d->catalog);
	return rc;
}

static void begin_backfilling(struct table *t unused_arg, struct table_index *index)
{
	index->backfilling = true;
}

static void activate(struct table *t unused_arg, struct table_index *index)
{
	index->status = INDEX_ACTIVE;
	index->backfilling = false;
}

static void remove_index(struct table *t, struct table_index *index)
{
	size_t behind = (size_t)(&t->indexes[t->index_count] - index) - 1;

	memmove(index, index + 1, behind * sizeof *index);
	t->index_count--;
}

/* ---- backfilling ---- */

struct batch {
	struct dynamodb *d;
	const struct job *job;
	struct arena *a;
	str *keys; /* of items */
	size_t n;
};

/* Reads the next keys behind the cursor. */
static int read_keys(struct batch *b, uint64_t table_id)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = BATCH_ITEMS};
	struct buf prefix;
	size_t bytes = 0;
	str key, value;

	buf_init(&prefix, b->a, KEY_BYTES_MAX);
	key_put_table(&prefix, table_id);
	range.from = b->job->cursor.n ? b->job->cursor : buf_str(&prefix);
	range.to = keyspace_prefix_end(b->a, buf_str(&prefix));
	b->keys = arena_new_array(b->a, str, BATCH_ITEMS);
	TRY(kv_scan_open(b->d->kv, &range, &scan));
	while (b->n < BATCH_ITEMS && bytes < BATCH_BYTES && TRY(kv_scan_next(scan, &key, &value))) {
		b->keys[b->n++] = arena_str(b->a, key);
		bytes += value.n;
	}
	return 0;
}

/*
 * Writes the entries of the items as they are now. 1, or 0: the index is not to be backfilled any
 * more.
 */
static int fill_in_store(struct kv_txn *txn, void *arg)
{
	struct batch *b = arg;
	struct table *t cleanup(table_unref_p) = NULL;
	const struct table_index *index;
	struct arena a cleanup(arena_done_p);
	str document;

	arena_init(&a, ARENA_BYTES);
	/* Not declared: whoever changes the record meanwhile goes first. */
	if (!TRY(kv_txn_get(txn, job_table_key(&a, b->job), &a, &document)))
		return 0;
	TRY(table_decode(document, &t));
	index = index_of(t, b->job->id);
	if (!index || index->status != INDEX_CREATING)
		return 0;
	for (size_t i = 0; i < b->n; i++) {
		uint64_t time;
		str item;

		TRY(record_read_txn(txn, b->keys[i], &a, &item, &time));
		if (item.p)
			write_index_entry(txn, &a, index, b->keys[i], item, time);
	}
	return 1;
}

/* 1: there may be more; 0: at the end. Moves the cursor. */
static int backfill_batch(
	struct dynamodb *d, struct job *job, uint64_t table_id, struct buf *cursor)
{
	struct arena a cleanup(arena_done_p);
	struct batch b = {.d = d, .job = job, .a = &a};

	arena_init(&a, ARENA_BYTES);
	TRY(read_keys(&b, table_id));
	if (!b.n)
		return 0;
	if (!TRY(kv_run(d->kv, b.keys, b.n, fill_in_store, &b, rt_after_ms(WRITE_MS))))
		return 1; /* the next look at the record tells */
	buf_reset(cursor);
	buf_put(cursor, b.keys[b.n - 1]);
	buf_put_char(cursor, 0);
	job->cursor = buf_str(cursor);
	return 1;
}

static int backfill_slice(struct dynamodb *d, struct arena *a, struct job *job, uint64_t table_id)
{
	int64_t end = rt_after_ms(SLICE_MS);
	struct buf cursor;
	int rc;

	if (!job->cursor.n) /* who does not put entries yet */
		TRY(dynamodb_wait_for_writers(d));
	buf_init(&cursor, a, KEY_BYTES_MAX + 1);
	do {
		if (atomic_load(&d->stopping))
			return ERR_CANCELLED;
		TRY(rt_sleep_until(rt_after_ms(PAUSE_MS)));
		rc = TRY(backfill_batch(d, job, table_id, &cursor));
	} while (rc == 1 && rt_now() < end);
	if (rc == 1)
		return kv_put(
			d->kv, backfill_key(a, job->id), job_value(a, job), rt_after_ms(WRITE_MS));
	return change_index(d, &(struct transition){.job = job,
				       .a = a,
				       .from = INDEX_CREATING,
				       .backfilling = true,
				       .apply = activate,
				       .ends = true});
}

/* ---- the work ---- */

/* The index is in no record any more. Who found it there may still have written entries. */
static int forget(struct dynamodb *d, struct arena *a, const struct job *job)
{
	TRY(dynamodb_wait_for_writers(d));
	TRY(dynamodb_sweep_id(d, job->id));
	TRY(kv_delete(d->kv, dynamodb_count_key(a, job->id), rt_after_ms(WRITE_MS)));
	return kv_delete(d->kv, backfill_key(a, job->id), rt_after_ms(WRITE_MS));
}

static int work_on(struct dynamodb *d, struct arena *a, struct job *job,
	const struct table_index *index, uint64_t table_id)
{
	struct transition tr = {
		.job = job, .a = a, .from = index->status, .backfilling = index->backfilling};

	switch (index->status) {
	case INDEX_CREATING:
		if (index->backfilling)
			return backfill_slice(d, a, job, table_id);
		TRY(dynamodb_wait_for_writers(d));
		tr.apply = begin_backfilling;
		return change_index(d, &tr);
	case INDEX_DELETING:
		TRY(dynamodb_sweep_id(d, job->id));
		tr.apply = remove_index;
		return change_index(d, &tr);
	case INDEX_ACTIVE:
	case INDEX_UPDATING: break;
	}
	return kv_delete(d->kv, backfill_key(a, job->id), rt_after_ms(WRITE_MS));
}

/* One slice of the next job behind *id: 1, or 0: there is none. */
static int work(struct dynamodb *d, uint64_t *id)
{
	struct table *t cleanup(table_unref_p) = NULL;
	struct arena a cleanup(arena_done_p);
	const struct table_index *index = NULL;
	struct job job;
	str document;

	arena_init(&a, ARENA_BYTES);
	if (!TRY(next_job(d, &a, *id, &job))) {
		if (*id == 0)
			return 0;
		*id = 0;
		return 1;
	}
	*id = job.id;
	if (TRY(kv_get(d->kv, job_table_key(&a, &job), &a, &document))) {
		TRY(table_decode(document, &t));
		index = index_of(t, job.id);
	}
	TRY(index ? work_on(d, &a, &job, index, t->id) : forget(d, &a, &job));
	return 1;
}

void dynamodb_backfill(void *arg)
{
	struct dynamodb *d = arg;
	uint64_t id = 0;

	while (!atomic_load(&d->stopping) && !rt_cancelled()) {
		int rc = work(d, &id);

		if (rc == 0)
			rc = rt_event_wait(dynamodb_wanted(d, WORKER_BACKFILL), RT_NEVER);
		if (rc >= 0 || rc == ERR_CANCELLED)
			continue;
		if (rc != ERR_CONFLICT) /* somebody else has changed the record: look again */
			log_warn("dynamodb", "an index is still being changed", "rc=%s",
				rc_name(rc));
		if (rt_sleep_until(rt_after_ms(RETRY_MS)) < 0)
			break;
	}
}
