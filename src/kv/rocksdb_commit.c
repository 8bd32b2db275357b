/*
 * The committer: one thread that gathers the transactions of all fibers into one synced write
 * (group commit), gives stamps in commit order and wakes the fibers. While a write is under way the
 * next group gathers by itself; an idle committer writes at once.
 *
 * Validation: a transaction's tracked reads are looked up in the table of last commits. The table
 * is noted when a transaction joins the group, so one that read what an earlier one of the same
 * group writes is refused too.
 *
 * Failure: after a failed write nothing is acknowledged until the store has been closed and opened
 * again; that is tried on its own with growing pauses. Meanwhile writers get the error. The
 * failed batch may come back with the log, so a transaction that began before may have read what
 * does not hold any more: those are refused by the epoch of the handle.
 *
 * Stamps are one counter for all domains. A ceiling is stored with (not before) the first batch
 * that needs it; a start goes on behind the ceiling, so no stamp is ever given twice.
 */
#include "base/log.h"
#include "base/mem.h"
#include "kv/rocksdb.h"

#include <errno.h>
#include <time.h>

enum {
	GROUP_TXNS_MAX = 1024,
	GROUP_BYTES_MAX = 4 * 1024 * 1024,
	BATCH_BYTES_KEPT = 8 * 1024 * 1024,
	STAMPS_AHEAD = 1 << 20,
};

static const size_t QUEUE_BYTES_MAX = (size_t)256 << 20;
static const int64_t REOPEN_PAUSE_FIRST = 50 * RT_NS_MS, REOPEN_PAUSE_MAX = 2 * RT_NS_S,
		     SHARE_PAUSE = RT_NS_S;

/* --- the way in ------------------------------------------------------------------------------ */

int rocks_txn_commit(struct kv_txn *txn)
{
	struct rocks *r = rocks_of(txn->kv);
	struct rocks_commit commit = {.txn = txn};
	bool full;

	rt_event_init(&commit.done);
	pthread_mutex_lock(&r->queue_lock);
	full = r->queue_bytes > QUEUE_BYTES_MAX;
	if (!full) {
		*r->queue_last = &commit;
		r->queue_last = &commit.next;
		r->queue_bytes += txn->bytes;
		if (r->asleep)
			pthread_cond_signal(&r->queue_wake);
		r->asleep = false;
	}
	pthread_mutex_unlock(&r->queue_lock);
	if (full)
		return ERR_BUSY;
	rt_event_wait_sure(&commit.done);
	return commit.rc;
}

static void wait_until(struct rocks *r, int64_t at)
{
	struct timespec ts = {at / RT_NS_S, at % RT_NS_S};

	r->asleep = true;
	if (at == RT_NEVER)
		pthread_cond_wait(&r->queue_wake, &r->queue_lock);
	else
		pthread_cond_timedwait(&r->queue_wake, &r->queue_lock, &ts);
	r->asleep = false;
}

static int64_t monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * RT_NS_S + ts.tv_nsec;
}

/* Cuts the next group off the queue; NULL when it is time to reopen or to stop. */
static struct rocks_commit *take_group(struct rocks *r, bool *ret_stop)
{
	struct rocks_commit *first, *at;
	size_t n = 0, bytes = 0;

	pthread_mutex_lock(&r->queue_lock);
	while (!r->queue_first && !r->stop && !(r->broken_rc && monotonic() >= r->reopen_at))
		wait_until(r, r->broken_rc ? r->reopen_at : RT_NEVER);
	*ret_stop = r->stop && !r->queue_first;
	first = r->queue_first;
	for (at = first; at; at = at->next) {
		bytes += at->txn->bytes;
		if (++n >= GROUP_TXNS_MAX || bytes >= GROUP_BYTES_MAX)
			break;
	}
	r->queue_bytes -= MIN(bytes, r->queue_bytes);
	r->queue_first = at ? at->next : NULL;
	if (!r->queue_first) {
		r->queue_last = &r->queue_first;
		r->queue_bytes = 0;
	}
	if (at)
		at->next = NULL;
	pthread_mutex_unlock(&r->queue_lock);
	return first;
}

/* --- a group --------------------------------------------------------------------------------- */

static void add_ops(struct rocks *r, struct kv_txn *txn, uint64_t seq)
{
	for (size_t i = 0; i < txn->n_ops; i++) {
		struct kv_op *op = &txn->ops[i];

		if (op->kind == KV_OP_STAMPED)
			kv_op_set_stamp(op, r->stamp_next++);
		/* In this order, and before the write can be seen (cache.h). */
		kv_commit_table_note(&r->commits, op->hash, seq);
		if (op->kind != KV_OP_STAMPED)
			kv_cache_drop(r->records, op->hash);
		if (op->kind == KV_OP_DELETE)
			r->lib.rocksdb_writebatch_delete(r->batch, op->key.p, op->key.n);
		else
			r->lib.rocksdb_writebatch_put(
				r->batch, op->key.p, op->key.n, op->value.p, op->value.n);
	}
}

static void add_ceiling(struct rocks *r)
{
	static const char key[] = "\0stamp";
	char value[8];

	if (r->stamp_next - 1 <= r->stamp_ceiling)
		return;
	r->stamp_ceiling = r->stamp_next - 1 + STAMPS_AHEAD;
	kv_put_be64(value, r->stamp_ceiling);
	r->lib.rocksdb_writebatch_put(r->batch, key, sizeof key - 1, value, sizeof value);
}

static bool validates(const struct rocks *r, const struct kv_txn *txn)
{
	return (uint64_t)(uintptr_t)txn->state_p == atomic_load(&r->epoch) &&
	       kv_commit_table_validates(&r->commits, txn);
}

static void empty_batch(struct rocks *r)
{
	size_t n;

	r->lib.rocksdb_writebatch_data(r->batch, &n);
	r->lib.rocksdb_writebatch_clear(r->batch);
	if (n < BATCH_BYTES_KEPT)
		return;
	r->lib.rocksdb_writebatch_destroy(r->batch);
	r->batch = r->lib.rocksdb_writebatch_create();
}

/*
 * What was written is likely to be read or replaced soon, and a replacing write reads it first.
 * Only declared keys: of these no group writes one twice, since their latches are held.
 */
static void cache_group(struct rocks *r, struct rocks_commit *group, uint64_t seq)
{
	for (struct rocks_commit *c = group; c; c = c->next)
		for (size_t i = 0; c->rc == 0 && i < c->txn->n_ops; i++) {
			struct kv_op *op = &c->txn->ops[i];

			if (op->kind == KV_OP_PUT && !op->covered)
				kv_cache_add(
					r->records, op->key, op->hash, op->value, &r->commits, seq);
		}
}

static int write_group(struct rocks *r, struct rocks_commit *group)
{
	uint64_t seq = atomic_load_explicit(&r->seq, memory_order_relaxed) + 1;
	bool any = false;
	int rc;

	for (struct rocks_commit *c = group; c; c = c->next) {
		c->rc = validates(r, c->txn) ? 0 : ERR_CONFLICT;
		if (c->rc < 0)
			continue;
		add_ops(r, c->txn, seq);
		any = true;
	}
	if (!any)
		return 0;
	add_ceiling(r);
	rc = rocks_store_write(r);
	empty_batch(r);
	kv_count(&r->kv.commit_groups);
	if (rc < 0)
		return rc;
	atomic_store_explicit(&r->stamp, r->stamp_next - 1, memory_order_release);
	atomic_store_explicit(&r->seq, seq, memory_order_release);
	cache_group(r, group, seq);
	return 0;
}

static void answer(struct rocks_commit *group, int rc)
{
	while (group) {
		struct rocks_commit *c = group;

		/* It is its fiber's from the moment the event is set. */
		group = c->next;
		if (rc < 0 && c->rc == 0)
			c->rc = rc;
		rt_event_set(&c->done);
	}
}

/* --- failure --------------------------------------------------------------------------------- */

static void set_broken(struct rocks *r, int rc)
{
	log_error("kv", "a write failed; nothing is acknowledged until the store is reopened",
		"path=%s error=%s", r->path, rc_name(rc));
	r->broken_rc = rc;
	atomic_store(&r->writable, false);
	r->reopen_pause = REOPEN_PAUSE_FIRST;
	r->reopen_at = monotonic() + r->reopen_pause;
}

static void try_reopen(struct rocks *r)
{
	int rc = rocks_store_reopen(r);

	if (rc < 0) {
		r->broken_rc = rc == ERR_NO_SPACE ? rc : r->broken_rc;
		r->reopen_pause = MIN(r->reopen_pause * 2, REOPEN_PAUSE_MAX);
		r->reopen_at = monotonic() + r->reopen_pause;
		return;
	}
	r->broken_rc = 0;
	atomic_store(&r->writable, true);
	kv_count(&r->kv.reopened);
	log_warn("kv", "the store was reopened", "path=%s", r->path);
}

/* --- the thread ------------------------------------------------------------------------------ */

static void work(struct rocks *r)
{
	bool stop = false;

	while (!stop) {
		struct rocks_commit *group = take_group(r, &stop);

		if (r->broken_rc && monotonic() >= r->reopen_at)
			try_reopen(r);
		if (!group)
			continue;
		if (r->broken_rc) {
			answer(group, r->broken_rc);
		} else {
			int rc = write_group(r, group);

			if (rc < 0)
				set_broken(r, rc);
			answer(group, rc);
		}
		if (r->db && monotonic() >= r->share_at) {
			rocks_store_share_cache(r);
			r->share_at = monotonic() + SHARE_PAUSE;
		}
	}
}

void *rocks_committer(void *arg)
{
	struct rocks *r = arg;

	r->open_rc = rocks_library_load(&r->lib);
	if (r->open_rc == 0) {
		rocks_store_init(r);
		r->open_rc = rocks_store_open(r);
		if (r->open_rc < 0)
			rocks_store_done(r);
	}
	if (r->open_rc < 0) {
		rt_event_set(&r->opened);
		return NULL;
	}
	rt_event_set(&r->opened);
	work(r);
	if (r->db && r->broken_rc == 0 && r->options.durability == KV_RELAXED &&
		rocks_store_sync(r) < 0)
		log_error("kv", "the last writes could not be synced", "path=%s", r->path);
	rocks_store_close(r);
	rocks_store_done(r);
	rt_event_set(&r->closed);
	return NULL;
}
