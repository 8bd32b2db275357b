/*
 * The embedded engine, on RocksDB's C interface: reads, snapshots, scans, opening and closing for
 * callers. The write side is in rocksdb_commit.c; threads and locks are described in rocksdb.h.
 *
 * Point reads look at the cache of hot records first, then ask RocksDB on the calling fiber (15 KB
 * of stack), with reads that do not wait (nowait.h); so does the first batch of a scan. What is not
 * in memory is read on the pool "kv-read", and so is the rest of a long scan. (RocksDB's own cache
 * tier is no help: an iterator of 7.8 that may not read files was seen to end early without an
 * error.)
 */
#include "kv/rocksdb.h"

#include "base/log.h"
#include "base/mem.h"
#include "kv/nowait.h"

#include <limits.h>
#include <string.h>

enum {
	READ_THREADS = 4,
	READ_QUEUE_MAX = 16 * 1024,
	COMMIT_PLACES = 1 << 16,
	INLINE_ENTRIES_MAX = 256, /* of a scan's batch that a loop reads itself */
};

static const int64_t GATE_POLL = RT_NS_MS;

/* --- the gate -------------------------------------------------------------------------------- */

static void rocks_leave(struct rocks *r)
{
	atomic_fetch_sub(&r->inside, 1);
}

static mayyield int rocks_enter(struct rocks *r)
{
	for (;;) {
		atomic_fetch_add(&r->inside, 1);
		if (likely(!atomic_load(&r->gate_closed)))
			break;
		rocks_leave(r);
		TRY(rt_sleep_until(rt_now() + GATE_POLL));
	}
	if (r->db)
		return 0;
	rocks_leave(r);
	return ERR_IO;
}

/* --- point reads ----------------------------------------------------------------------------- */

struct get_job {
	struct rocks *r;
	const rocksdb_readoptions_t *options;
	str key;
	rocksdb_pinnableslice_t *value;
	char *message;
};

static void get_run(void *arg)
{
	struct get_job *job = arg;

	job->value = job->r->lib.rocksdb_get_pinned(
		job->r->db, job->options, job->key.p, job->key.n, &job->message);
}

static void get_forget(struct get_job *job)
{
	if (job->message)
		job->r->lib.rocksdb_free(job->message);
	if (job->value)
		job->r->lib.rocksdb_pinnableslice_destroy(job->value);
	job->message = NULL;
	job->value = NULL;
}

static int get_finish(struct get_job *job, struct arena *arena, str *ret_value)
{
	const char *p;
	size_t n;

	TRY(rocks_rc(job->r, job->message));
	if (!job->value)
		return 0;
	p = job->r->lib.rocksdb_pinnableslice_value(job->value, &n);
	*ret_value = arena_str(arena, str_of(p, n));
	job->r->lib.rocksdb_pinnableslice_destroy(job->value);
	return 1;
}

/* Inside the gate. What is in memory, ours or the system's, is read here; else on the pool. */
static mayyield int get_stored(
	struct rocks *r, struct rocks_view *view, str key, struct arena *arena, str *ret_value)
{
	struct get_job job = {.r = r, .options = view ? view->options : r->read_all, .key = key};

	nowait_begin();
	get_run(&job);
	if (!nowait_end())
		return get_finish(&job, arena, ret_value);
	get_forget(&job);
	kv_count(&r->kv.gets_pooled);
	TRY(rt_pool_run(r->read_pool, get_run, &job, RT_NEVER));
	return get_finish(&job, arena, ret_value);
}

/* The newest state. What is found is kept for the next reader, unless it is about to change. */
static mayyield int get_newest(
	struct rocks *r, str key, uint64_t hash, bool keep, struct arena *arena, str *ret_value)
{
	uint64_t since;
	int rc;

	if (kv_cache_get(r->records, key, hash, arena, ret_value)) {
		kv_count(&r->kv.gets_cached);
		return 1;
	}
	TRY(rocks_enter(r));
	since = atomic_load_explicit(&r->seq, memory_order_acquire);
	rc = get_stored(r, NULL, key, arena, ret_value);
	if (rc > 0 && keep)
		kv_cache_add(r->records, key, hash, *ret_value, &r->commits, since);
	rocks_leave(r);
	return rc;
}

static int rocks_get(
	struct kv *kv, struct kv_snapshot *snapshot, str key, struct arena *arena, str *ret_value)
{
	struct rocks *r = rocks_of(kv);
	struct rocks_view *view = snapshot ? snapshot->state_p : NULL;
	int rc;

	if (!view)
		return get_newest(r, key, str_hash(key), true, arena, ret_value);
	TRY(rocks_enter(r));
	rc = view->dead ? ERR_CONFLICT : get_stored(r, view, key, arena, ret_value);
	rocks_leave(r);
	return rc;
}

/* --- transactions ---------------------------------------------------------------------------- */

static int rocks_txn_begin(struct kv_txn *txn, const str *write_keys, size_t n, int64_t deadline)
{
	(void)write_keys, (void)n, (void)deadline;
	txn->state_p = (void *)(uintptr_t)atomic_load(&rocks_of(txn->kv)->epoch);
	txn->begin_seq = atomic_load_explicit(&rocks_of(txn->kv)->seq, memory_order_acquire);
	return 0;
}

/*
 * Everything read is what stood at begin_seq: a declared key is latched since before, and for
 * others a commit since then shows in the table, which the committer notes before it writes.
 */
static int rocks_txn_get(
	struct kv_txn *txn, str key, bool tracked, struct arena *arena, str *ret_value)
{
	struct rocks *r = rocks_of(txn->kv);
	uint64_t hash = str_hash(key);
	int rc = get_newest(r, key, hash, tracked, arena, ret_value);

	if (!tracked || rc < 0)
		return rc;
	if (kv_commit_table_changed(&r->commits, hash, txn->begin_seq))
		return ERR_CONFLICT;
	kv_txn_track(txn, hash);
	return rc;
}

static void rocks_txn_end(struct kv_txn *txn)
{
	(void)txn;
}

static int rocks_horizon(struct kv *kv, str domain, uint64_t *ret_horizon)
{
	(void)domain;
	*ret_horizon = atomic_load_explicit(&rocks_of(kv)->stamp, memory_order_acquire);
	return 0;
}

/* --- snapshots ------------------------------------------------------------------------------- */

static struct rocks_view *view_new(struct rocks *r, const struct rocks_view *of)
{
	struct rocks_view *view = mem_new(struct rocks_view);

	view->borrowed = of != NULL;
	view->snapshot = of ? of->snapshot : r->lib.rocksdb_create_snapshot(r->db);
	view->options = r->lib.rocksdb_readoptions_create();
	r->lib.rocksdb_readoptions_set_snapshot(view->options, view->snapshot);
	pthread_mutex_lock(&r->views_lock);
	list_push_back(&r->views, &view->link);
	pthread_mutex_unlock(&r->views_lock);
	return view;
}

static void view_free(struct rocks *r, struct rocks_view *view)
{
	if (!view)
		return;
	/* The lock holds off a reopening, which would take these away. */
	pthread_mutex_lock(&r->views_lock);
	list_remove(&view->link);
	if (view->iterator)
		r->lib.rocksdb_iter_destroy(view->iterator);
	if (view->snapshot && !view->borrowed)
		r->lib.rocksdb_release_snapshot(r->db, view->snapshot);
	pthread_mutex_unlock(&r->views_lock);
	r->lib.rocksdb_readoptions_destroy(view->options);
	mem_free(view);
}

static int rocks_snapshot_open(struct kv_snapshot *snapshot)
{
	struct rocks *r = rocks_of(snapshot->kv);

	TRY(rocks_enter(r));
	snapshot->state_p = view_new(r, NULL);
	rocks_leave(r);
	return 0;
}

static void rocks_snapshot_close(struct kv_snapshot *snapshot)
{
	view_free(rocks_of(snapshot->kv), snapshot->state_p);
}

/* --- scans ----------------------------------------------------------------------------------- */

static int rocks_scan_open(struct kv_scan *scan)
{
	struct rocks *r = rocks_of(scan->kv);
	struct rocks_view *of = scan->snapshot ? scan->snapshot->state_p : NULL, *view;
	str from;
	int rc = 0;

	TRY(rocks_enter(r));
	if (of && of->dead) {
		rc = ERR_CONFLICT;
	} else {
		scan->state_p = view = view_new(r, of);
		/* Kept by reference. Below are keys of our own. */
		from = scan->range.from.n ? scan->range.from : STR("\1");
		r->lib.rocksdb_readoptions_set_iterate_lower_bound(view->options, from.p, from.n);
		if (scan->range.to.p)
			r->lib.rocksdb_readoptions_set_iterate_upper_bound(
				view->options, scan->range.to.p, scan->range.to.n);
	}
	rocks_leave(r);
	return rc;
}

static void rocks_scan_close(struct kv_scan *scan)
{
	view_free(rocks_of(scan->kv), scan->state_p);
	scan->state_p = NULL;
}

struct fill_job {
	struct rocks *r;
	struct kv_scan *scan;
	int rc;
};

/* To the range's first entry, or behind the last one that was given. */
static void fill_seek(struct rocks *r, const struct kv_scan *scan, rocksdb_iterator_t *it)
{
	str last = scan->has_last ? buf_str(&scan->last) : STR_NULL, key;

	/* The bounds count. */
	if (!scan->has_last && scan->range.reverse)
		r->lib.rocksdb_iter_seek_to_last(it);
	else if (!scan->has_last)
		r->lib.rocksdb_iter_seek_to_first(it);
	else if (scan->range.reverse)
		r->lib.rocksdb_iter_seek_for_prev(it, last.p, last.n);
	else
		r->lib.rocksdb_iter_seek(it, last.p, last.n);
	if (!scan->has_last || !r->lib.rocksdb_iter_valid(it))
		return;
	key.p = r->lib.rocksdb_iter_key(it, &key.n);
	if (!str_eq(key, last))
		return;
	if (scan->range.reverse)
		r->lib.rocksdb_iter_prev(it);
	else
		r->lib.rocksdb_iter_next(it);
}

/* Adds until full, the end, or a failure. While nobody else uses the scan. */
static void fill_add(struct rocks *r, struct kv_scan *scan)
{
	struct rocks_view *view = scan->state_p;
	bool full = false;

	if (!view->iterator) {
		view->iterator = r->lib.rocksdb_create_iterator(r->db, view->options);
		fill_seek(r, scan, view->iterator);
	}
	while (!full && r->lib.rocksdb_iter_valid(view->iterator)) {
		size_t key_n, value_n;
		const char *key = r->lib.rocksdb_iter_key(view->iterator, &key_n);
		const char *value = r->lib.rocksdb_iter_value(view->iterator, &value_n);

		full = kv_scan_add(scan, str_of(key, key_n), str_of(value, value_n));
		if (scan->range.reverse)
			r->lib.rocksdb_iter_prev(view->iterator);
		else
			r->lib.rocksdb_iter_next(view->iterator);
	}
}

/* What ended it. */
static int fill_end(struct rocks *r, struct kv_scan *scan)
{
	struct rocks_view *view = scan->state_p;
	char *message = NULL;

	if (r->lib.rocksdb_iter_valid(view->iterator))
		return 0;
	r->lib.rocksdb_iter_get_error(view->iterator, &message);
	TRY(rocks_rc(r, message));
	scan->end = true;
	return 0;
}

/* On the pool. */
static void fill_run(void *arg)
{
	struct fill_job *job = arg;

	fill_add(job->r, job->scan);
	job->rc = fill_end(job->r, job->scan);
}

/*
 * The first batch of a scan, from memory: most queries need no other. 1: done; 0: it has come to a
 * read that would wait, before the first entry. What came before such a read counts.
 */
static int fill_from_memory(struct rocks *r, struct kv_scan *scan)
{
	struct rocks_view *view = scan->state_p;

	if (scan->has_last || scan->batch_entries_max > INLINE_ENTRIES_MAX)
		return 0;
	nowait_begin();
	fill_add(r, scan);
	if (!nowait_end()) {
		TRY(fill_end(r, scan));
		return 1;
	}
	/* A failed iterator stays where it failed. */
	r->lib.rocksdb_iter_destroy(view->iterator);
	view->iterator = NULL;
	return scan->batch_count > 0;
}

static mayyield int scan_fill(struct rocks *r, struct kv_scan *scan)
{
	struct rocks_view *view = scan->state_p;
	struct fill_job job = {.r = r, .scan = scan};

	if (view->dead)
		return ERR_CONFLICT;
	if (TRY(fill_from_memory(r, scan)))
		return 0;
	TRY(rt_pool_run(r->read_pool, fill_run, &job, RT_NEVER));
	return job.rc;
}

static int rocks_scan_fill(struct kv_scan *scan)
{
	struct rocks *r = rocks_of(scan->kv);
	int rc;

	TRY(rocks_enter(r));
	rc = scan_fill(r, scan);
	rocks_leave(r);
	return rc;
}

/* --- opening and closing --------------------------------------------------------------------- */

static void rocks_stats(const struct kv *kv, struct kv_stats *stats)
{
	struct rocks *r = rocks_of(kv);

	stats->writable = atomic_load(&r->writable);
	stats->tables_bytes = atomic_load_explicit(&r->tables_bytes, memory_order_relaxed);
	stats->blocks_bytes = atomic_load_explicit(&r->blocks_bytes, memory_order_relaxed);
}

static void rocks_free(struct rocks *r)
{
	rt_pool_free(r->read_pool);
	kv_commit_table_done(&r->commits);
	kv_cache_free(r->records);
	pthread_mutex_destroy(&r->queue_lock);
	pthread_mutex_destroy(&r->views_lock);
	pthread_cond_destroy(&r->queue_wake);
	kv_base_done(&r->kv);
	mem_free(r->path);
	mem_free(r);
}

static void rocks_close(struct kv *kv)
{
	struct rocks *r = rocks_of(kv);

	pthread_mutex_lock(&r->queue_lock);
	r->stop = true;
	pthread_cond_signal(&r->queue_wake);
	pthread_mutex_unlock(&r->queue_lock);
	rt_event_wait_sure(&r->closed);
	pthread_join(r->committer, NULL);
	rocks_free(r);
}

static const struct kv_engine rocks_engine = {
	.name = "rocksdb",
	.latches = true,
	.close = rocks_close,
	.get = rocks_get,
	.txn_begin = rocks_txn_begin,
	.txn_get = rocks_txn_get,
	.txn_commit = rocks_txn_commit,
	.txn_end = rocks_txn_end,
	.snapshot_open = rocks_snapshot_open,
	.snapshot_close = rocks_snapshot_close,
	.scan_open = rocks_scan_open,
	.scan_fill = rocks_scan_fill,
	.scan_close = rocks_scan_close,
	.horizon = rocks_horizon,
	.stats = rocks_stats,
};

static struct rocks *rocks_new(const char *path, const struct kv_rocksdb_options *options)
{
	struct rocks *r = mem_new(struct rocks);
	struct kv_rocksdb_options *o = &r->options;
	pthread_condattr_t attr;
	size_t n = strlen(path) + 1;

	kv_base_init(&r->kv, &rocks_engine);
	if (options)
		*o = *options;
	o->cache_bytes = o->cache_bytes ? o->cache_bytes : (size_t)32 << 20;
	o->memtable_bytes = o->memtable_bytes ? o->memtable_bytes : (size_t)16 << 20;
	o->read_threads = o->read_threads ? o->read_threads : READ_THREADS;
	r->path = mem_alloc(n);
	memcpy(r->path, path, n);
	pthread_mutex_init(&r->queue_lock, NULL);
	pthread_mutex_init(&r->views_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->queue_wake, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&r->views);
	r->queue_last = &r->queue_first;
	r->stamp_next = 1;
	atomic_store(&r->writable, true);
	kv_commit_table_init(&r->commits, COMMIT_PLACES);
	r->records = kv_cache_new(o->cache_bytes / 2);
	rt_event_init(&r->opened);
	rt_event_init(&r->closed);
	return r;
}

int kv_open_rocksdb(const char *path, const struct kv_rocksdb_options *options, struct kv **ret_kv)
{
	struct rocks *r;
	int rc;

	if (rt_simulated(rt_self()))
		return ERR_UNSUPPORTED;
	r = rocks_new(path, options);
	rc = rt_pool_new(
		rt_self(), "kv-read", r->options.read_threads, READ_QUEUE_MAX, &r->read_pool);
	if (rc == 0 && pthread_create(&r->committer, NULL, rocks_committer, r) != 0)
		rc = ERR_BUSY;
	else if (rc == 0) {
		rt_event_wait_sure(&r->opened);
		rc = r->open_rc;
		if (rc < 0)
			pthread_join(r->committer, NULL);
	}
	if (rc < 0) {
		rocks_free(r);
		return rc;
	}
	*ret_kv = &r->kv;
	return 0;
}
