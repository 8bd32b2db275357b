/*
 * The memory engine: a skip list of keys, each with its versions, newest first. For `--ephemeral`
 * and for the simulation, where it is deterministic from its seed.
 *
 * A version is kept until no snapshot can see it. What a newer version replaces, and every
 * tombstone, goes into a queue in commit order; once the oldest snapshot has passed its commit it
 * is freed, so the cost of keeping is paid once for each write.
 *
 * Unfriendly mode (seed != 0): stamps have gaps, and the horizon of a domain follows its commits
 * only after a random while, as it may on a distributed engine.
 *
 * Threading: any loop; one lock, never held over a suspension. Limits: bytes_max.
 */
#include "base/map.h"
#include "base/mem.h"
#include "kv/engine.h"
#include "rt/rt.h"

#include <pthread.h>

enum {
	HEIGHT_MAX = 20,
	COMMIT_PLACES = 1 << 14,
	DOMAIN_PENDING_MAX = 32,
	STAMP_GAP_MAX = 5,
};

static const size_t BYTES_MAX_DEFAULT = (size_t)1 << 30;
static const int64_t HORIZON_LAG_NS_MAX = 20 * RT_NS_MS;

struct version {
	struct version *older;
	uint64_t seq, gone_seq; /* committed; no snapshot at or above gone_seq needs it */
	struct node *node;
	struct version *queue_next;
	bool tombstone;
	size_t n;
	char value[];
};

struct node {
	struct version *newest; /* NULL only in the head */
	struct node *previous;
	uint32_t key_n;
	uint8_t height;
	struct node *next[]; /* height of them, then the key */
};

struct domain {
	str name;
	uint64_t stamp, horizon;
	/* commits that the horizon has not reached: it does at these times, which rise */
	struct {
		uint64_t stamp;
		int64_t at;
	} pending[DOMAIN_PENDING_MAX];
	unsigned n_pending;
};

struct memory {
	struct kv kv;
	pthread_mutex_t lock; /* guards all below */
	struct node *head;
	unsigned height;
	uint64_t seq, random;
	bool unfriendly;
	size_t bytes, bytes_max;
	struct list views; /* open snapshots and scans, by rising seq */
	struct version *queue_first, **queue_last;
	struct map domains;
	struct kv_commit_table commits;
};

static struct memory *memory_of(const struct kv *kv)
{
	return container_of(kv, struct memory, kv);
}

static uint64_t random_next(struct memory *m)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random * 0x2545f4914f6cdd1du;
}

/* --- the skip list --------------------------------------------------------------------------- */

static str node_key(const struct node *node)
{
	return str_of(&node->next[node->height], node->key_n);
}

static struct node *node_new(str key, unsigned height)
{
	struct node *node = mem_zero(sizeof *node + height * sizeof(struct node *) + key.n);

	node->height = (uint8_t)height;
	node->key_n = (uint32_t)key.n;
	if (key.n)
		memcpy(&node->next[height], key.p, key.n);
	return node;
}

/*
 * The first node whose key is >= key, or NULL. `before` (may be NULL) gets the last smaller one of
 * each level.
 */
static struct node *seek(const struct memory *m, str key, struct node **before)
{
	struct node *at = m->head;

	for (unsigned level = m->height; level-- > 0;) {
		while (at->next[level] && str_cmp(node_key(at->next[level]), key) < 0)
			at = at->next[level];
		if (before)
			before[level] = at;
	}
	return at->next[0];
}

static struct node *find(const struct memory *m, str key)
{
	struct node *node = seek(m, key, NULL);

	return node && str_eq(node_key(node), key) ? node : NULL;
}

/* The last node below `key`, or below the end of all; the head when there is none. */
static struct node *seek_below(const struct memory *m, str key, bool no_end)
{
	struct node *at = m->head;

	for (unsigned level = m->height; level-- > 0;)
		while (at->next[level] && (no_end || str_cmp(node_key(at->next[level]), key) < 0))
			at = at->next[level];
	return at;
}

static struct node *find_or_add(struct memory *m, str key)
{
	struct node *before[HEIGHT_MAX], *node = seek(m, key, before);
	unsigned height = 1;

	if (node && str_eq(node_key(node), key))
		return node;
	while (height < HEIGHT_MAX && random_next(m) % 4 == 0)
		height++;
	for (; m->height < height; m->height++)
		before[m->height] = m->head;
	node = node_new(key, height);
	for (unsigned level = 0; level < height; level++) {
		node->next[level] = before[level]->next[level];
		before[level]->next[level] = node;
	}
	node->previous = before[0];
	if (node->next[0])
		node->next[0]->previous = node;
	m->bytes += key.n;
	return node;
}

static void node_remove(struct memory *m, struct node *node)
{
	struct node *before[HEIGHT_MAX];

	check(seek(m, node_key(node), before) == node);
	for (unsigned level = 0; level < node->height; level++)
		before[level]->next[level] = node->next[level];
	if (node->next[0])
		node->next[0]->previous = node->previous;
	m->bytes -= node->key_n;
	mem_free(node);
}

/* --- versions -------------------------------------------------------------------------------- */

/* The value that a reader at `seq` sees: NULL when absent. */
static const struct version *visible(const struct node *node, uint64_t seq)
{
	const struct version *v = node ? node->newest : NULL;

	while (v && v->seq > seq)
		v = v->older;
	return v && !v->tombstone ? v : NULL;
}

static void queue_add(struct memory *m, struct version *v, uint64_t gone_seq)
{
	v->gone_seq = gone_seq;
	v->queue_next = NULL;
	*m->queue_last = v;
	m->queue_last = &v->queue_next;
}

static void version_put(struct memory *m, const struct kv_op *op)
{
	struct node *node;
	struct version *v, *old;
	bool tombstone = op->kind == KV_OP_DELETE;

	node = tombstone ? find(m, op->key) : find_or_add(m, op->key);
	if (!node || (tombstone && node->newest->tombstone))
		return;
	old = node->newest;
	v = mem_alloc(sizeof *v + op->value.n);
	*v = (struct version){.older = old,
		.seq = m->seq,
		.node = node,
		.tombstone = tombstone,
		.n = op->value.n};
	if (op->value.n)
		memcpy(v->value, op->value.p, op->value.n);
	node->newest = v;
	m->bytes += sizeof *v + v->n;
	/* A tombstone is in the queue from its birth. */
	if (old && !old->tombstone)
		queue_add(m, old, m->seq);
	if (tombstone)
		queue_add(m, v, m->seq);
}

/* Frees what no snapshot needs. The queue is in the order of gone_seq, so v ends its chain. */
static void collect(struct memory *m)
{
	uint64_t oldest = m->seq;

	if (!list_empty(&m->views))
		oldest = list_entry(m->views.next, struct kv_view, link)->seq;
	while (m->queue_first && m->queue_first->gone_seq <= oldest) {
		struct version *v = m->queue_first, **at = &v->node->newest;

		m->queue_first = v->queue_next;
		if (!m->queue_first)
			m->queue_last = &m->queue_first;
		check(v->older == NULL);
		while (*at != v)
			at = &(*at)->older;
		*at = NULL;
		if (v->node->newest == NULL)
			node_remove(m, v->node);
		m->bytes -= sizeof *v + v->n;
		mem_free(v);
	}
}

/* --- stamps ---------------------------------------------------------------------------------- */

static struct domain *domain_of(struct memory *m, str name)
{
	struct domain *d = map_get(&m->domains, name);

	if (d)
		return d;
	d = mem_zero(sizeof *d + name.n);
	memcpy(d + 1, name.p, name.n);
	d->name = str_of(d + 1, name.n);
	map_put(&m->domains, d->name, d);
	return d;
}

static void horizon_move(struct domain *d, int64_t now)
{
	unsigned n = 0;

	while (n < d->n_pending && d->pending[n].at <= now)
		d->horizon = d->pending[n++].stamp;
	d->n_pending -= n;
	memmove(d->pending, d->pending + n, d->n_pending * sizeof d->pending[0]);
}

static void stamp_give(struct memory *m, struct kv_op *op)
{
	struct domain *d = domain_of(m, op->domain);
	int64_t at;

	d->stamp += m->unfriendly ? 1 + random_next(m) % STAMP_GAP_MAX : 1;
	kv_op_set_stamp(op, d->stamp);
	if (!m->unfriendly) {
		d->horizon = d->stamp;
		return;
	}
	at = rt_now();
	horizon_move(d, at);
	if (random_next(m) % 2)
		at += (int64_t)(random_next(m) % (uint64_t)HORIZON_LAG_NS_MAX);
	if (d->n_pending && d->pending[d->n_pending - 1].at > at)
		at = d->pending[d->n_pending - 1].at;
	if (d->n_pending == DOMAIN_PENDING_MAX) /* the newest two become one */
		d->n_pending--;
	d->pending[d->n_pending].stamp = d->stamp;
	d->pending[d->n_pending++].at = at;
}

static int memory_horizon(struct kv *kv, str name, uint64_t *ret_horizon)
{
	struct memory *m = memory_of(kv);
	struct domain *d;

	pthread_mutex_lock(&m->lock);
	d = map_get(&m->domains, name);
	if (d && m->unfriendly)
		horizon_move(d, rt_now());
	*ret_horizon = d ? d->horizon : 0;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

/* --- the engine ------------------------------------------------------------------------------ */

static int memory_get(
	struct kv *kv, struct kv_snapshot *snapshot, str key, struct arena *arena, str *ret_value)
{
	struct memory *m = memory_of(kv);
	const struct version *v;

	pthread_mutex_lock(&m->lock);
	v = visible(find(m, key), snapshot ? snapshot->view.seq : m->seq);
	if (v)
		*ret_value = arena_str(arena, str_of(v->value, v->n));
	pthread_mutex_unlock(&m->lock);
	return v != NULL;
}

static int memory_txn_begin(struct kv_txn *txn, const str *write_keys, size_t n, int64_t deadline)
{
	struct memory *m = memory_of(txn->kv);

	(void)write_keys, (void)n, (void)deadline;
	pthread_mutex_lock(&m->lock);
	txn->begin_seq = m->seq;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static int memory_txn_get(
	struct kv_txn *txn, str key, bool tracked, struct arena *arena, str *ret_value)
{
	struct memory *m = memory_of(txn->kv);
	uint64_t hash = str_hash(key);
	int rc = memory_get(txn->kv, NULL, key, arena, ret_value);

	if (!tracked)
		return rc;
	if (kv_commit_table_changed(&m->commits, hash, txn->begin_seq))
		return ERR_CONFLICT;
	kv_txn_track(txn, hash);
	return rc;
}

/* What its puts take; deletions are always let through. */
static size_t put_bytes(const struct kv_txn *txn)
{
	size_t n = 0;

	for (size_t i = 0; i < txn->n_ops; i++)
		if (txn->ops[i].kind != KV_OP_DELETE)
			n += txn->ops[i].key.n + txn->ops[i].value.n + sizeof(struct version);
	return n;
}

static int memory_txn_commit(struct kv_txn *txn)
{
	struct memory *m = memory_of(txn->kv);
	int rc = 0;

	pthread_mutex_lock(&m->lock);
	if (!kv_commit_table_validates(&m->commits, txn))
		rc = ERR_CONFLICT;
	else if (put_bytes(txn) > m->bytes_max - MIN(m->bytes, m->bytes_max))
		rc = ERR_NO_SPACE;
	if (rc == 0) {
		m->seq++;
		for (size_t i = 0; i < txn->n_ops; i++) {
			struct kv_op *op = &txn->ops[i];

			if (op->kind == KV_OP_STAMPED)
				stamp_give(m, op);
			kv_commit_table_note(&m->commits, op->hash, m->seq);
			version_put(m, op);
		}
		collect(m);
	}
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static void memory_txn_end(struct kv_txn *txn)
{
	(void)txn;
}

static void view_add(struct memory *m, struct kv_view *view)
{
	pthread_mutex_lock(&m->lock);
	view->seq = m->seq;
	list_push_back(&m->views, &view->link);
	pthread_mutex_unlock(&m->lock);
}

static void view_remove(struct memory *m, struct kv_view *view)
{
	pthread_mutex_lock(&m->lock);
	list_remove(&view->link);
	collect(m);
	pthread_mutex_unlock(&m->lock);
}

static int memory_snapshot_open(struct kv_snapshot *snapshot)
{
	view_add(memory_of(snapshot->kv), &snapshot->view);
	return 0;
}

static void memory_snapshot_close(struct kv_snapshot *snapshot)
{
	view_remove(memory_of(snapshot->kv), &snapshot->view);
}

static int memory_scan_open(struct kv_scan *scan)
{
	if (scan->snapshot)
		scan->view.seq = scan->snapshot->view.seq;
	else
		view_add(memory_of(scan->kv), &scan->view);
	return 0;
}

static void memory_scan_close(struct kv_scan *scan)
{
	view_remove(memory_of(scan->kv), &scan->view);
}

static struct node *scan_start(const struct memory *m, const struct kv_scan *scan)
{
	str last = buf_str(&scan->last);
	struct node *node;

	if (scan->range.reverse) {
		if (scan->has_last)
			return seek_below(m, last, false);
		return seek_below(m, scan->range.to, !scan->range.to.p);
	}
	if (!scan->has_last)
		return seek(m, scan->range.from, NULL);
	node = seek(m, last, NULL);
	return node && str_eq(node_key(node), last) ? node->next[0] : node;
}

static bool scan_inside(const struct memory *m, const struct kv_scan *scan, const struct node *node)
{
	if (!node || node == m->head)
		return false;
	if (scan->range.reverse)
		return str_cmp(node_key(node), scan->range.from) >= 0;
	return !scan->range.to.p || str_cmp(node_key(node), scan->range.to) < 0;
}

static int memory_scan_fill(struct kv_scan *scan)
{
	struct memory *m = memory_of(scan->kv);
	struct node *node;

	pthread_mutex_lock(&m->lock);
	for (node = scan_start(m, scan); scan_inside(m, scan, node);
		node = scan->range.reverse ? node->previous : node->next[0]) {
		const struct version *v = visible(node, scan->view.seq);

		if (v && kv_scan_add(scan, node_key(node), str_of(v->value, v->n)))
			break;
	}
	if (!scan_inside(m, scan, node))
		scan->end = true;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static void memory_stats(const struct kv *kv, struct kv_stats *stats)
{
	struct memory *m = memory_of(kv);

	pthread_mutex_lock(&m->lock);
	stats->memory_bytes = m->bytes;
	pthread_mutex_unlock(&m->lock);
}

static void memory_close(struct kv *kv)
{
	struct memory *m = memory_of(kv);

	check(list_empty(&m->views));
	collect(m);
	check(m->queue_first == NULL);
	for (struct node *node = m->head, *next; node; node = next) {
		next = node->next[0];
		mem_free(node->newest);
		mem_free(node);
	}
	map_for_each(slot, &m->domains)
		mem_free(slot->value);
	map_done(&m->domains);
	kv_commit_table_done(&m->commits);
	kv_base_done(kv);
	pthread_mutex_destroy(&m->lock);
	mem_free(m);
}

static const struct kv_engine memory_engine = {
	.name = "memory",
	.latches = true,
	.close = memory_close,
	.get = memory_get,
	.txn_begin = memory_txn_begin,
	.txn_get = memory_txn_get,
	.txn_commit = memory_txn_commit,
	.txn_end = memory_txn_end,
	.snapshot_open = memory_snapshot_open,
	.snapshot_close = memory_snapshot_close,
	.scan_open = memory_scan_open,
	.scan_fill = memory_scan_fill,
	.scan_close = memory_scan_close,
	.horizon = memory_horizon,
	.stats = memory_stats,
};

int kv_open_memory(const struct kv_memory_options *options, struct kv **ret_kv)
{
	struct memory *m = mem_new(struct memory);

	kv_base_init(&m->kv, &memory_engine);
	pthread_mutex_init(&m->lock, NULL);
	m->head = node_new(STR(""), HEIGHT_MAX);
	m->height = 1;
	m->unfriendly = options && options->seed != 0;
	m->random = (options ? options->seed : 0) * 0x9e3779b97f4a7c15u | 1;
	m->bytes_max = options && options->bytes_max ? options->bytes_max : BYTES_MAX_DEFAULT;
	list_init(&m->views);
	m->queue_last = &m->queue_first;
	kv_commit_table_init(&m->commits, COMMIT_PLACES);
	*ret_kv = &m->kv;
	return 0;
}
