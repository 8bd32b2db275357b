/*
 * What an engine gives, and what kv.c does for all of them: buffering of writes, latches, the
 * declared set, overlay scans, reruns, counting. Used inside src/kv/ only.
 *
 * An engine embeds `struct kv` as its first member. It sees a transaction as declared hashes, a
 * list of operations to be applied together, and a word or two of its own.
 */
#ifndef KV_ENGINE_H
#define KV_ENGINE_H

#include "base/buf.h"
#include "base/check.h"
#include "base/list.h"
#include "kv/kv.h"

#include <stdatomic.h>

struct kv_latch_table;

enum kv_op_kind { KV_OP_PUT, KV_OP_DELETE, KV_OP_STAMPED };

struct kv_op {
	enum kv_op_kind kind;
	bool covered;
	uint64_t hash;  /* of key; stamped: unused */
	str key, value; /* stamped: the key has 8 bytes of room at stamp_at */
	str domain;     /* stamped only, as the rest */
	size_t stamp_at, value_stamp_at;
	uint64_t stamp;
};

struct kv_latch {
	struct list link;
	uint64_t hash;
	struct rt_event *event; /* of the fiber that waits for it */
	bool held;
};

enum kv_txn_state { KV_TXN_OPEN, KV_TXN_COMMITTED, KV_TXN_ENDED };

struct kv_txn {
	uint32_t magic;
	enum kv_txn_state state;
	unsigned scans; /* open on it */
	struct kv *kv;
	struct arena arena;        /* holds this too */
	int rc;                    /* an error kept for kv_commit() */
	struct kv_latch *declared; /* sorted by hash, no repeats */
	size_t n_declared;
	struct kv_op *ops;
	size_t n_ops, ops_capacity, n_stamped, bytes;
	uint32_t *index; /* of plain operations by hash, place + 1; NULL while there are few */
	size_t index_mask;
	uint64_t *reads; /* hashes of tracked reads */
	size_t n_reads, reads_capacity;
	/* the engine's */
	uint64_t begin_seq;
	void *state_p;
};

/* Somebody who looks at one state of the store: for engines that keep old versions themselves. */
struct kv_view {
	struct list link;
	uint64_t seq;
};

struct kv_snapshot {
	uint32_t magic;
	struct kv *kv;
	unsigned scans; /* open on it */
	/* the engine's */
	struct kv_view view;
	void *state_p;
};

struct kv_scan {
	uint32_t magic;
	struct kv *kv;
	struct kv_snapshot *snapshot; /* NULL: of its own */
	struct kv_txn *txn;           /* NULL: none */
	struct buf range_keys;        /* from, to */
	struct kv_range range;
	struct buf batch;   /* entries: key bytes, value bytes (32 bits each), key, value */
	size_t batch_at;    /* of the next entry in it */
	size_t batch_count; /* entries put so far by this fill */
	size_t batch_entries_max, batch_bytes_max;
	struct buf last; /* key of the last entry of the batch before; valid when has_last */
	bool has_last, end;
	int rc; /* an error, for ever */
	uint64_t given;
	/* the laid-over writes of a transaction, in scan order */
	struct arena arena;
	struct kv_op **overlay;
	size_t overlay_n, overlay_at;
	/* an entry of the engine that waits for the overlay */
	str next_key, next_value;
	bool has_next;
	/* the engine's */
	struct kv_view view;
	void *state_p;
};

struct kv_engine {
	const char *name;
	bool latches;      /* kv.c takes latches for declared keys */
	bool commit_reads; /* txn_commit is called without writes too */
	mayyield void (*close)(struct kv *kv);
	/* snapshot: NULL for the newest state. */
	mayyield int (*get)(struct kv *kv, struct kv_snapshot *snapshot, str key,
		struct arena *arena, str *ret_value);
	/* Latches are held. The keys are those declared, for an engine that passes them on. */
	mayyield int (*txn_begin)(
		struct kv_txn *txn, const str *write_keys, size_t n, int64_t deadline);
	/* Never a key with an own write. Tracking is the engine's: kv_txn_track(). */
	mayyield int (*txn_get)(
		struct kv_txn *txn, str key, bool tracked, struct arena *arena, str *ret_value);
	/* Sets the stamp of each stamped operation. */
	mayyield int (*txn_commit)(struct kv_txn *txn);
	/* Once for each begun one, whatever happened. Does not suspend. */
	void (*txn_end)(struct kv_txn *txn);
	mayyield int (*snapshot_open)(struct kv_snapshot *snapshot);
	void (*snapshot_close)(struct kv_snapshot *snapshot);
	mayyield int (*scan_open)(struct kv_scan *scan);
	/*
	 * Appends the entries behind scan->last (or from the range's start) with kv_scan_add()
	 * until that says full, or sets scan->end. May run on another thread meanwhile.
	 */
	mayyield int (*scan_fill)(struct kv_scan *scan);
	void (*scan_close)(struct kv_scan *scan);
	mayyield int (*horizon)(struct kv *kv, str domain, uint64_t *ret_horizon);
	/* Adds what only it knows. May be NULL. */
	void (*stats)(const struct kv *kv, struct kv_stats *stats);
};

struct kv {
	uint32_t magic;
	const struct kv_engine *engine;
	struct kv_limits limits;
	struct kv_latch_table *latches;
	_Atomic size_t open_objects; /* transactions, snapshots, scans */
	_Atomic uint64_t horizons, gets, gets_cached, gets_pooled, scans_filled, commits;
	_Atomic uint64_t conflicts, commit_groups, latch_waits, reopened;
};

#define KV_MAGIC          0x6b760001u
#define KV_TXN_MAGIC      0x6b760002u
#define KV_SNAPSHOT_MAGIC 0x6b760003u
#define KV_SCAN_MAGIC     0x6b760004u

enum { KV_STAMP_BYTES = 8, KV_DOMAIN_BYTES_MAX = 64 };

/* Embedded part of an engine: init once, done before the memory goes. */
void kv_base_init(struct kv *kv, const struct kv_engine *engine);
void kv_base_done(struct kv *kv);

void kv_txn_track(struct kv_txn *txn, uint64_t hash);
/* Writes the stamp into the operation's key and value. */
void kv_op_set_stamp(struct kv_op *op, uint64_t stamp);

/* Appends an entry to the batch; true when the batch is full now. */
bool kv_scan_add(struct kv_scan *scan, str key, str value);

static inline void kv_count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static inline void kv_put_be64(char *to, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(to, &v, 8);
}

static inline uint64_t kv_take_be64(const char *from)
{
	uint64_t v;

	memcpy(&v, from, 8);
	return __builtin_bswap64(v);
}

/*
 * When a key was last committed, by hash: validates tracked reads without versions. Keys that share
 * a place share the answer: a false conflict now and then, never a missed one. The committer notes
 * before it makes the write visible, readers look after they have read.
 */
struct kv_commit_table {
	_Atomic uint64_t *seq;
	size_t mask;
};
void kv_commit_table_init(struct kv_commit_table *t, size_t places);
void kv_commit_table_done(struct kv_commit_table *t);
static inline void kv_commit_table_note(struct kv_commit_table *t, uint64_t hash, uint64_t seq)
{
	atomic_store_explicit(&t->seq[hash & t->mask], seq, memory_order_release);
}
static inline bool kv_commit_table_changed(
	const struct kv_commit_table *t, uint64_t hash, uint64_t since)
{
	return atomic_load_explicit(&t->seq[hash & t->mask], memory_order_acquire) > since;
}
/* True when no tracked read of the transaction was overwritten since its begin_seq. */
bool kv_commit_table_validates(const struct kv_commit_table *t, const struct kv_txn *txn);

/* Latches: kv/latch.c. */
struct kv_latch_table *kv_latch_table_new(void);
void kv_latch_table_free(struct kv_latch_table *table);
/* `latches` sorted by hash, no repeats. On an error none is held. */
must_use mayyield int kv_latches_take(
	struct kv *kv, struct kv_latch *latches, size_t n, int64_t deadline);
void kv_latches_release(struct kv_latch_table *table, struct kv_latch *latches, size_t n);

#endif
