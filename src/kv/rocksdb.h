/*
 * Shared by the files of the RocksDB engine: rocksdb.c (reads, scans, opening for callers),
 * rocksdb_commit.c (the committer thread) and rocksdb_store.c (the handle: options, open, close,
 * reopen). Used by them only.
 *
 * Threads and locks. The committer thread alone writes, opens and closes. Loops and the read pool
 * read. Locks, none held over a suspension or together with another:
 *   queue_lock  the queue of commits, stop
 *   views_lock  the open snapshots and scans, and whether theirs are alive
 *   a shard's   of the cache of records (cache.h)
 * The gate keeps the handle alive: every use of `db` outside the committer is between rocks_enter()
 * and rocks_leave(), and reopening waits until nobody is inside.
 */
#ifndef KV_ROCKSDB_H
#define KV_ROCKSDB_H

#include "kv/cache.h"
#include "kv/engine.h"
#include "kv/wal.h"
#include "rt/rt.h"

#include <pthread.h>
#include <rocksdb/c.h>

/* The library, loaded by the committer at its start. */
struct rocksdb_library {
#define ROCKSDB(name) __typeof__(&name) name;
#include "kv/librocksdb.def"
#undef ROCKSDB
};

struct rocks_commit {
	struct rocks_commit *next;
	struct kv_txn *txn;
	int rc;
	struct rt_event done;
};

/* The state that a snapshot or scan looks at. */
struct rocks_view {
	struct list link; /* in rocks->views while alive */
	bool dead;        /* the store was reopened; under views_lock or inside the gate */
	const rocksdb_snapshot_t *snapshot;
	bool borrowed; /* of a kv_snapshot */
	rocksdb_readoptions_t *options;
	rocksdb_iterator_t *iterator; /* scans */
};

struct rocks {
	struct kv kv;
	char *path;
	struct kv_rocksdb_options options;
	struct rocksdb_library lib;
	struct rt_pool *read_pool;
	int lock_fd;
	/* the handle and what it was opened with */
	rocksdb_t *db; /* NULL: could not be opened again */
	rocksdb_options_t *db_options;
	rocksdb_block_based_table_options_t *table_options;
	rocksdb_cache_t *cache;
	rocksdb_readoptions_t *read_all, *read_persisted;
	rocksdb_writeoptions_t *write_options;
	_Atomic unsigned inside;
	_Atomic bool gate_closed;
	pthread_mutex_t views_lock;
	struct list views;
	/* committed and visible */
	_Atomic uint64_t seq, stamp;
	_Atomic uint64_t epoch; /* of the handle: a transaction lives in one */
	struct kv_commit_table commits;
	struct kv_cache *records; /* the hot ones; half of the configured cache */
	_Atomic bool writable;
	_Atomic size_t tables_bytes, blocks_bytes; /* shares of the other half of it */
	/* the queue of the committer */
	pthread_mutex_t queue_lock;
	pthread_cond_t queue_wake;
	struct rocks_commit *queue_first, **queue_last;
	size_t queue_bytes;
	bool stop, asleep;
	pthread_t committer;
	/* the committer's own */
	struct wal wal;
	rocksdb_writebatch_t *batch;
	uint64_t stamp_next, stamp_ceiling;
	int broken_rc;  /* not 0: nothing is written until the store has been reopened */
	bool db_broken; /* and it is RocksDB that refuses, not the log */
	int64_t reopen_at, reopen_pause;
	int64_t share_at; /* when the cache is shared out again */
	int open_rc;
	struct rt_event opened, closed;
};

static inline struct rocks *rocks_of(const struct kv *kv)
{
	return container_of(kv, struct rocks, kv);
}

/* Takes a message of the library (freed): its rc, 0 for none. */
int rocks_rc(const struct rocks *r, char *message);

/* rocksdb_store.c: committer thread only. */
/* Before everything else. ERR_UNSUPPORTED: the library is not installed. */
must_use int rocks_library_load(struct rocksdb_library *ret_lib);
void rocks_store_init(struct rocks *r);
void rocks_store_done(struct rocks *r);
/* Locks the folder, looks at its format stamp, opens. */
must_use int rocks_store_open(struct rocks *r);
void rocks_store_close(struct rocks *r);
/*
 * After a failed write, when the disk takes writes again; else an error. Where only the log failed,
 * an empty record makes the failed one void, in another segment; what RocksDB has in memory and all
 * views stay. Otherwise the handle is closed and opened again.
 */
must_use int rocks_store_reopen(struct rocks *r);
/*
 * Writes the batch, numbered, to the log and then to RocksDB: 0 when it is durable (under
 * KV_SYNCED) and can be seen. After an error nothing may be written until rocks_store_reopen().
 */
must_use int rocks_store_write(struct rocks *r);
/*
 * Takes the memory of the tables' indexes and filters, which stay loaded, from the blocks' half of
 * the configured cache, so that much data costs no more memory than was granted. While they need
 * more than that (some 10,000,000 records to 32 MiB) the blocks keep a little.
 */
void rocks_store_share_cache(struct rocks *r);
/* Makes everything written durable. */
must_use int rocks_store_sync(struct rocks *r);

/* rocksdb_commit.c: the thread, and the way to it. */
void *rocks_committer(void *arg);
mayyield int rocks_txn_commit(struct kv_txn *txn);

#endif
