/*
 * The ordered transactional key-value store: all durable state of the server goes through here.
 *
 * Keys and values are byte strings; keys are ordered bytewise. One interface, several engines
 * (DESIGN section 5): RocksDB (embedded, the default), memory (ephemeral and simulation),
 * PostgreSQL (several nodes share one store), and the fault twin around any of them. What the
 * interface promises is what all of them give; test/kv/ runs one contract suite on each.
 *
 * Isolation: transactions are serializable as far as their point reads and writes go. Ranges are
 * not tracked: uniqueness and counts get a key of their own. A snapshot, a scan, and all tracked
 * reads of one transaction each see one state of the store.
 *
 * Durability: when kv_commit() returns 0 the write survives a crash of the process and a power cut
 * (KV_SYNCED, the default), a crash of the process (KV_RELAXED), or neither (memory).
 *
 * Errors that every operation may return besides those named at it:
 *   ERR_IO, ERR_NETWORK  the engine failed; after a commit its outcome is unknown (all or nothing)
 *   ERR_NO_SPACE         the disk (or the memory engine's budget) is full; after a commit as above
 *   ERR_BUSY             too much is queued already; nothing was done
 *   ERR_CORRUPT          stored data is damaged
 *   ERR_CANCELLED        the fiber was cancelled while it waited; nothing was done
 *   ERR_TOO_LARGE        a key, value or transaction is over kv_limits()
 *
 * Keys begin with a byte other than 0: the others are the engines' own. A scan never shows them.
 *
 * Threading: a struct kv is used by the fibers of every loop. A transaction, snapshot or scan
 * belongs to one fiber at a time, on the loop that opened it. Every function that may yield is
 * called in a fiber. Arguments are borrowed for the call, unless their comment says longer.
 * Deadlines are absolute, in ns of rt_now(); RT_NEVER: none.
 */
#ifndef KV_KV_H
#define KV_KV_H

#include "base/arena.h"
#include "base/rc.h"

struct kv;
struct kv_txn;
struct kv_snapshot;
struct kv_scan;
struct rt;

/* --- opening -------------------------------------------------------------------------------- */

enum kv_durability { KV_SYNCED, KV_RELAXED };

/* Zeros are the defaults in brackets; they keep an idle server small. */
struct kv_rocksdb_options {
	enum kv_durability durability;
	size_t cache_bytes;    /* half for hot records, half for tables [32 MiB] */
	size_t memtable_bytes; /* of one memtable; up to three, and as much log to replay at a start
				  [16 MiB] */
	unsigned read_threads; /* for what is not in memory [4] */
};

/*
 * Opens the store in folder `path` (made if absent, 0700). ERR_LOCKED: another process has it open.
 * ERR_VERSION: its format stamp is unknown. ERR_UNSUPPORTED: in the simulation, which has no
 * threads. Suspends while a thread opens it (about 6 ms).
 */
must_use mayyield int kv_open_rocksdb(
	const char *path, const struct kv_rocksdb_options *options, struct kv **ret_kv);

struct kv_memory_options {
	size_t bytes_max; /* keys and values, versions included [1 GiB]; beyond: ERR_NO_SPACE */
	/*
	 * Not 0: be as unfriendly as a distributed engine may be, following this seed: horizons
	 * lag behind commits and stamps have gaps.
	 */
	uint64_t seed;
};
/* Nothing outlives the process. Deterministic from the seed. Never suspends. */
must_use int kv_open_memory(const struct kv_memory_options *options, struct kv **ret_kv);

struct kv_postgres_options {
	unsigned connections; /* at most [16]; each open snapshot, scan, transaction holds one */
	const char *table; /* [cirrus_kv]; letters, digits, _; its counters are in <table>_stamp */
};
/*
 * Connects with a libpq connection string; makes the tables if absent. libpq is loaded now, not at
 * start: ERR_UNSUPPORTED when it is not installed. ERR_VERSION as above. The server's words are
 * logged.
 */
must_use mayyield int kv_open_postgres(
	const char *conninfo, const struct kv_postgres_options *options, struct kv **ret_kv);

struct kv_fault_options {
	uint64_t seed;
	int64_t delay_min_ns, delay_max_ns; /* of each round trip [0.2 ms, 5 ms] */
	bool no_delay;                      /* both 0 then */
	unsigned conflict_per_mille;        /* commits that fail with ERR_CONFLICT */
	unsigned scan_conflict_per_mille;   /* batches of scans that do */
	unsigned error_per_mille; /* calls that fail with ERR_IO; half of the commits among them
				     are done all the same */
};
/* The twin: slows down, fails and counts what goes to `inner`, which it closes at its end. */
must_use int kv_open_fault(
	struct kv *inner_take, const struct kv_fault_options *options, struct kv **ret_kv);
/* Changes the faults (not the seed) of a twin, e.g. to stop them before a last look. */
void kv_fault_set(struct kv *fault, const struct kv_fault_options *options);

/*
 * Closes it: no operation, transaction, snapshot or scan is open any more (checked). Everything
 * acknowledged under KV_RELAXED is on disk afterwards. NULL is fine.
 */
mayyield void kv_close(struct kv *kv);

/* What the engine takes; every engine takes at least these figures. */
struct kv_limits {
	size_t key_bytes_max;   /* 16 KiB */
	size_t value_bytes_max; /* 4 MiB */
	size_t txn_bytes_max;   /* all keys and values of one transaction: 64 MiB */
	size_t txn_keys_max;    /* declared keys, and writes: 100,000 each */
};
const struct kv_limits *kv_limits(const struct kv *kv);

struct kv_stats {
	/* Since opening. A round trip is what costs one on a distributed engine. */
	uint64_t round_trips, gets, gets_cached, gets_pooled, scans_filled, commits, conflicts;
	uint64_t commit_groups, latch_waits, reopened;
	bool writable; /* false: a write failed, the store is being reopened */
	size_t memory_bytes;
	size_t tables_bytes; /* indexes and filters of tables, which stay in memory */
	size_t blocks_bytes; /* that blocks of tables may have beside them */
};
void kv_stats(const struct kv *kv, struct kv_stats *ret_stats);

/* --- reading without a transaction ---------------------------------------------------------- */

/*
 * The committed value of `key`: 1 and a copy in the arena, or 0. One round trip. Linearizable: it
 * sees every commit that was acknowledged before the call.
 */
must_use mayyield int kv_get(struct kv *kv, str key, struct arena *arena, str *ret_value);

/*
 * One state of the whole store, at least as new as every commit acknowledged before the call. Long
 * ones cost space: overwritten data is kept for them.
 */
must_use mayyield int kv_snapshot_open(struct kv *kv, struct kv_snapshot **ret_snapshot);
/* As kv_get(); ERR_CONFLICT as in kv_scan_next(). */
must_use mayyield int kv_snapshot_get(
	struct kv_snapshot *snapshot, str key, struct arena *arena, str *ret_value);
/* After its scans. NULL is fine; kv_snapshot_close_p for cleanup(). */
void kv_snapshot_close(struct kv_snapshot *snapshot);
void kv_snapshot_close_p(struct kv_snapshot **snapshot);

/* --- scanning ------------------------------------------------------------------------------- */

struct kv_range {
	str from;       /* the first key, inclusive; empty: the very first */
	str to;         /* exclusive; STR_NULL: no end */
	bool reverse;   /* from the last key below `to` down to `from` */
	unsigned limit; /* end after this many entries; 0: none. Also sizes the first batch */
};

/*
 * A scan sees one state of the store: that at opening; the snapshot's; in a transaction one that is
 * as new as its begin and not newer than the scan's opening, with the transaction's own plain
 * writes so far laid over it. The range is copied. Each batch costs a round trip, the first one
 * together with opening. A scan is closed before its snapshot or transaction ends.
 */
must_use mayyield int kv_scan_open(
	struct kv *kv, const struct kv_range *range, struct kv_scan **ret_scan);
must_use mayyield int kv_snapshot_scan(
	struct kv_snapshot *snapshot, const struct kv_range *range, struct kv_scan **ret_scan);
must_use mayyield int kv_txn_scan(
	struct kv_txn *txn, const struct kv_range *range, struct kv_scan **ret_scan);
/*
 * 1 and the next entry, which is valid until the next call on this scan; 0 at the end, again and
 * again; < 0 an error, again and again. ERR_CONFLICT: the engine had to give up this scan's state
 * of the store (it was reopened after a failure): start anew.
 */
must_use mayyield int kv_scan_next(struct kv_scan *scan, str *ret_key, str *ret_value);
void kv_scan_close(struct kv_scan *scan);
void kv_scan_close_p(struct kv_scan **scan);

/* --- transactions --------------------------------------------------------------------------- */

/*
 * Begins a transaction that will write at most the declared keys (copied; any order, repeats are
 * fine; n may be 0). The embedded engines queue for latches on them, in one order for everybody,
 * so nothing else can write them until this one ends, and no deadlock is possible; hence one fiber
 * never has two transactions with declared keys open. ERR_TIMEOUT when the deadline passes
 * first. Costs no round trip.
 */
must_use mayyield int kv_txn_begin(
	struct kv *kv, const str *write_keys, size_t n, int64_t deadline, struct kv_txn **ret_txn);

/*
 * 1 and the value (copied to the arena), or 0. Sees this transaction's own plain writes. A key that
 * was not declared is tracked: kv_commit() fails if it has changed (an engine that knows more may
 * let it pass as having come before that change). ERR_CONFLICT when that is clear already: the
 * transaction can only be freed and begun again. One round trip.
 */
must_use mayyield int kv_txn_get(struct kv_txn *txn, str key, struct arena *arena, str *ret_value);

/* Writes are kept until kv_commit(); the last one to a key wins. `key` was declared (checked). */
void kv_txn_put(struct kv_txn *txn, str key, str value);
void kv_txn_delete(struct kv_txn *txn, str key);

/*
 * As above for a key that was not declared because nobody writes it but under one of the declared
 * keys, e.g. an index entry that belongs to a declared item and is known only after reading it.
 * (Tracked readers of it conflict as usual; a declared reader elsewhere would be a bug.)
 */
void kv_txn_put_covered(struct kv_txn *txn, str key, str value);
void kv_txn_delete_covered(struct kv_txn *txn, str key);

#define KV_NO_STAMP SIZE_MAX

/*
 * Puts a record whose key is prefix + stamp (8 bytes, big-endian) + suffix; the stamp is given at
 * commit, is unique in its domain (1..64 bytes) and greater than every stamp of the domain
 * committed before, and than the earlier ones of this transaction. Stamps have gaps. With
 * value_stamp_offset the 8 bytes at that place in the value become the stamp too. Not declared; not
 * seen by own reads. Such keys are written by nobody else, and a prefix belongs to one domain.
 */
void kv_txn_put_stamped(struct kv_txn *txn, str prefix, str domain, str suffix, str value,
	size_t value_stamp_offset);
/* After kv_commit() gave 0: the stamp of the i-th stamped put, counted from 0. */
uint64_t kv_txn_stamp(const struct kv_txn *txn, size_t i);

/*
 * Makes all writes visible and durable together, or none: 0; ERR_CONFLICT: a tracked read has
 * changed (nothing was done; run it again). *ret_stamp (may be NULL): the stamp of the last stamped
 * put, 0 without. Latches are released whatever the result; then only kv_txn_stamp() and
 * kv_txn_free() are left. One round trip; none without writes on engines that validate here.
 */
must_use mayyield int kv_commit(struct kv_txn *txn, uint64_t *ret_stamp);
/* Ends it: without kv_commit() nothing was done. NULL is fine; kv_txn_free_p for cleanup(). */
void kv_txn_free(struct kv_txn *txn);
void kv_txn_free_p(struct kv_txn **txn);

/*
 * begin, fn, commit; again from the start after ERR_CONFLICT, with growing random pauses, until the
 * deadline (then ERR_CONFLICT). When fn returns < 0 its transaction is dropped and that is
 * the result; otherwise fn's result is returned after the commit. fn may run many times, and what
 * it saw in a run that fails may be outdated: it acts on nothing outside the transaction.
 */
typedef int kv_txn_fn(struct kv_txn *txn, void *arg);
must_use mayyield int kv_run(
	struct kv *kv, const str *write_keys, size_t n, kv_txn_fn *fn, void *arg, int64_t deadline);

/* One blind write as a transaction of its own, in one round trip. */
must_use mayyield int kv_put(struct kv *kv, str key, str value, int64_t deadline);
must_use mayyield int kv_delete(struct kv *kv, str key, int64_t deadline);

/*
 * The stamp at and below which no stamped record of this domain can appear any more: whoever
 * follows a domain reads up to the horizon, never past it, and asks for it before the scan. Never
 * falls; reaches each committed stamp, perhaps some milliseconds after its commit. 0 when nothing
 * was ever stamped; may be above the last stamp. One round trip.
 */
must_use mayyield int kv_horizon(struct kv *kv, str domain, uint64_t *ret_horizon);

#endif
