/*
 * The RocksDB handle: options, the folder's lock and format stamp, opening, closing, and opening
 * again after a failed write. Committer thread only (opening takes 30 KB of stack, and all of it
 * blocks).
 *
 * Format: the file FORMAT in the folder, made before the first database file, names the format of
 * everything in it. What we do not know is refused before the database is touched.
 *
 * Recovery: the log (wal.h) ends at the first record that is damaged. What a power cut may damage
 * is what was never synced, hence never acknowledged. Each batch carries its number in the log
 * under a key of our own: what of that is in tables says where the replay begins, and which
 * segments are free.
 */
#include "base/log.h"
#include "base/mem.h"
#include "kv/rocksdb.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Format 1 had RocksDB's own log, which is read once more at the first opening. */
static const char format_text[] = "cirrus-kv 2\n", format_1_text[] = "cirrus-kv 1\n";

/* Keys of our own begin with a zero byte, which kv.c keeps for engines. */
static const char ceiling_key[] = "\0stamp";
/* The number of the log's record that a batch was. */
static const char number_key[] = "\0wal";

/* Of a memtable: 12 bits a key for records of 100 bytes with what surrounds them. */
#define MEMTABLE_BLOOM_SHARE 0.015

enum {
	OPENING_THREADS = 2,
	BLOOM_BITS = 10,
	BLOCK_BYTES = 8 * 1024,
	INDEX_RESTART = 16,
	BLOCKS_KEEP = 8, /* one part of so many of their half of the cache */
	DIARIES_KEPT = 1,
	DIARY_NOTHING = 6, /* above the highest level */
	GATE_POLL_NS = 200 * 1000,
	PATH_BYTES = 4096,
	PROBE_MEMTABLES = 4,
	PERSISTED_TIER = 2, /* rocksdb::kPersistedTier: tables, and no memory */
};

static void close_p(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int rocks_rc(const struct rocks *r, char *message)
{
	int rc = ERR_IO;

	if (!message)
		return 0;
	if (strncmp(message, "Corruption", 10) == 0)
		rc = ERR_CORRUPT;
	else if (strstr(message, "No space left") || strstr(message, "quota exceeded"))
		rc = ERR_NO_SPACE;
	log_error("kv", "rocksdb failed", "error=%s", message);
	r->lib.rocksdb_free(message);
	return rc;
}

int rocks_library_load(struct rocksdb_library *ret_lib)
{
	/* Never unloaded: its threads and thread-locals live as long as the process. */
	void *handle = dlopen(ROCKSDB_LIBRARY, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);

	if (!handle) {
		log_error("kv", "rocksdb cannot be loaded", "error=%s", dlerror());
		return ERR_UNSUPPORTED;
	}
#define ROCKSDB(name)                                                    \
	ret_lib->name = (__typeof__(ret_lib->name))dlsym(handle, #name); \
	if (!ret_lib->name)                                              \
		return ERR_UNSUPPORTED;
#include "kv/librocksdb.def"
#undef ROCKSDB
	return 0;
}

void rocks_store_share_cache(struct rocks *r)
{
	size_t half = r->options.cache_bytes / 2, blocks;
	uint64_t tables = 0;

	if (r->lib.rocksdb_property_int(r->db, "rocksdb.estimate-table-readers-mem", &tables) != 0)
		return;
	blocks = half - (size_t)MIN(tables, (uint64_t)(half - half / BLOCKS_KEEP));
	r->lib.rocksdb_cache_set_capacity(r->cache, blocks);
	atomic_store_explicit(&r->tables_bytes, (size_t)tables, memory_order_relaxed);
	atomic_store_explicit(&r->blocks_bytes, blocks, memory_order_relaxed);
}

static void set_table_options(struct rocks *r)
{
	rocksdb_block_based_table_options_t *t = r->lib.rocksdb_block_based_options_create();

	r->cache = r->lib.rocksdb_cache_create_lru(r->options.cache_bytes / 2);
	r->lib.rocksdb_block_based_options_set_block_cache(t, r->cache);
	r->lib.rocksdb_block_based_options_set_block_size(t, BLOCK_BYTES);
	r->lib.rocksdb_block_based_options_set_format_version(t, 5);
	/* Half the memory for indexes, whose keys have long beginnings in common. */
	r->lib.rocksdb_block_based_options_set_index_block_restart_interval(t, INDEX_RESTART);
	r->lib.rocksdb_block_based_options_set_filter_policy(
		t, r->lib.rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
	r->table_options = t;
	r->lib.rocksdb_options_set_block_based_table_factory(r->db_options, t);
}

void rocks_store_init(struct rocks *r)
{
	rocksdb_options_t *o = r->db_options = r->lib.rocksdb_options_create();

	r->lib.rocksdb_options_set_create_if_missing(o, 1);
	r->lib.rocksdb_options_set_write_buffer_size(o, r->options.memtable_bytes);
	/* With one column family these two bound the log that a start has to replay. */
	r->lib.rocksdb_options_set_max_write_buffer_number(o, 3);
	r->lib.rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
	r->lib.rocksdb_options_set_compression(o, rocksdb_lz4_compression);
	/* The first level is merged into the next within seconds. */
	r->lib.rocksdb_options_set_min_level_to_compress(o, 1);
	r->lib.rocksdb_options_set_bytes_per_sync(o, 1024 * 1024);
	/* One thread writes. */
	r->lib.rocksdb_options_set_allow_concurrent_memtable_write(o, 0);
	/* A write reads its key first: most new keys, and those of tables, need no search here. */
	r->lib.rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, MEMTABLE_BLOOM_SHARE);
	r->lib.rocksdb_options_set_memtable_whole_key_filtering(o, 1);
	r->lib.rocksdb_options_set_max_background_jobs(o, 2);
	/* All files stay open, with their indexes and filters in memory: a read touches one block.
	 */
	r->lib.rocksdb_options_set_max_open_files(o, -1);
	/* A quick start: few threads, no statistics. */
	r->lib.rocksdb_options_set_max_file_opening_threads(o, OPENING_THREADS);
	r->lib.rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
	r->lib.rocksdb_options_set_skip_checking_sst_file_sizes_on_db_open(o, 1);
	r->lib.rocksdb_options_set_stats_dump_period_sec(o, 0);
	r->lib.rocksdb_options_set_stats_persist_period_sec(o, 0);
	/*
	 * No diary: on a full disk a failed write of it fails an assertion of Debian's library, and
	 * what matters of it comes back as the error of a call.
	 */
	r->lib.rocksdb_options_set_keep_log_file_num(o, DIARIES_KEPT);
	r->lib.rocksdb_options_set_info_log_level(o, DIARY_NOTHING);
	set_table_options(r);
	r->read_all = r->lib.rocksdb_readoptions_create();
	/* Point reads have the cache of hot records: blocks are kept for scans. */
	r->lib.rocksdb_readoptions_set_fill_cache(r->read_all, 0);
	r->read_persisted = r->lib.rocksdb_readoptions_create();
	r->lib.rocksdb_readoptions_set_read_tier(r->read_persisted, PERSISTED_TIER);
	/* The log is ours (wal.h). */
	r->write_options = r->lib.rocksdb_writeoptions_create();
	r->lib.rocksdb_writeoptions_disable_WAL(r->write_options, 1);
	wal_init(&r->wal);
	r->batch = r->lib.rocksdb_writebatch_create();
	r->lock_fd = -1;
}

void rocks_store_done(struct rocks *r)
{
	r->lib.rocksdb_writebatch_destroy(r->batch);
	r->lib.rocksdb_writeoptions_destroy(r->write_options);
	r->lib.rocksdb_readoptions_destroy(r->read_all);
	r->lib.rocksdb_readoptions_destroy(r->read_persisted);
	r->lib.rocksdb_options_destroy(r->db_options);
	r->lib.rocksdb_block_based_options_destroy(r->table_options);
	r->lib.rocksdb_cache_destroy(r->cache);
	close_p(&r->lock_fd);
}

/* --- the folder ------------------------------------------------------------------------------ */

static int path_of(const struct rocks *r, const char *name, char *ret_path, size_t size)
{
	int n = snprintf(ret_path, size, "%s%s%s", r->path, *name ? "/" : "", name);

	return n < 0 || (size_t)n >= size ? ERR_TOO_LARGE : 0;
}

static int folder_sync(const char *path)
{
	int fd cleanup(close_p) = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? rc_from_errno(errno) : 0;
}

static int folder_make(const struct rocks *r)
{
	char path[PATH_BYTES], *slash;

	TRY(path_of(r, "", path, sizeof path));
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : rc_from_errno(errno);
	slash = strrchr(path, '/');
	if (slash)
		slash[slash == path] = 0;
	return folder_sync(slash ? path : ".");
}

static int folder_lock(struct rocks *r)
{
	char path[PATH_BYTES];

	TRY(path_of(r, "lock", path, sizeof path));
	r->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (r->lock_fd < 0)
		return rc_from_errno(errno);
	if (flock(r->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? ERR_LOCKED : rc_from_errno(errno);
	return 0;
}

static int format_write(const struct rocks *r)
{
	char path[PATH_BYTES], temporary[PATH_BYTES];
	int fd cleanup(close_p) = -1;

	TRY(path_of(r, "FORMAT", path, sizeof path));
	TRY(path_of(r, "FORMAT.new", temporary, sizeof temporary));
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return rc_from_errno(errno);
	if (write(fd, format_text, sizeof format_text - 1) != (ssize_t)sizeof format_text - 1)
		return errno ? rc_from_errno(errno) : ERR_IO;
	if (fsync(fd) < 0 || rename(temporary, path) < 0)
		return rc_from_errno(errno);
	return folder_sync(r->path);
}

/* Known: 0. A folder without a database gets our format. */
static int format_look(const struct rocks *r, bool *ret_older)
{
	char path[PATH_BYTES], current[PATH_BYTES], text[64];
	int fd cleanup(close_p) = -1;
	ssize_t n;

	TRY(path_of(r, "FORMAT", path, sizeof path));
	TRY(path_of(r, "CURRENT", current, sizeof current));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return access(current, F_OK) == 0 ? ERR_VERSION : format_write(r);
	if (fd < 0)
		return rc_from_errno(errno);
	n = read(fd, text, sizeof text);
	if (n < 0)
		return rc_from_errno(errno);
	*ret_older = str_eq(str_of(text, (size_t)n), str_c(format_1_text));
	return *ret_older || str_eq(str_of(text, (size_t)n), str_c(format_text)) ? 0 : ERR_VERSION;
}

/* --- the handle ------------------------------------------------------------------------------ */

/* A number of our own under `key`, 0 when there is none. */
static int load_number(struct rocks *r, rocksdb_readoptions_t *how, const char *key, size_t n_key,
	uint64_t *ret_number)
{
	char *message = NULL;
	size_t n = 0;
	char *value = r->lib.rocksdb_get(r->db, how, key, n_key, &n, &message);

	TRY(rocks_rc(r, message));
	if (value && n == 8)
		*ret_number = kv_take_be64(value);
	else
		*ret_number = 0;
	r->lib.rocksdb_free(value);
	return value && n != 8 ? ERR_CORRUPT : 0;
}

/* Stamps go on behind everything that was ever given. */
static int load_stamps(struct rocks *r)
{
	uint64_t ceiling;

	TRY(load_number(r, r->read_all, ceiling_key, sizeof ceiling_key - 1, &ceiling));
	r->stamp_next = MAX(r->stamp_next, ceiling + 1);
	r->stamp_ceiling = r->stamp_next - 1;
	atomic_store(&r->stamp, r->stamp_next - 1);
	return 0;
}

/* Up to which record of the log the tables have everything. */
static int load_persisted(struct rocks *r, uint64_t *ret_number)
{
	return load_number(r, r->read_persisted, number_key, sizeof number_key - 1, ret_number);
}

static int put_batch(struct rocks *r, rocksdb_writebatch_t *batch)
{
	char *message = NULL;

	r->lib.rocksdb_write(r->db, r->write_options, batch, &message);
	return rocks_rc(r, message);
}

static int apply_again(void *arg, str data)
{
	struct rocks *r = arg;
	rocksdb_writebatch_t *batch;
	int rc;

	/* Its own head, whose sequence number RocksDB gives anew: 12 bytes. */
	if (data.n < 12)
		return ERR_CORRUPT;
	batch = r->lib.rocksdb_writebatch_create_from(data.p, data.n);
	rc = put_batch(r, batch);
	r->lib.rocksdb_writebatch_destroy(batch);
	return rc;
}

/* Everything in memory goes into tables. */
static int flush(struct rocks *r)
{
	rocksdb_flushoptions_t *options = r->lib.rocksdb_flushoptions_create();
	char *message = NULL;

	r->lib.rocksdb_flush(r->db, options, &message);
	r->lib.rocksdb_flushoptions_destroy(options);
	return rocks_rc(r, message);
}

/* Puts back what the log has and the tables do not: whether that is anything. */
static int log_replay(struct rocks *r)
{
	uint64_t persisted;
	int64_t n;

	TRY(wal_open(
		&r->wal, r->path, r->options.memtable_bytes, r->options.durability == KV_SYNCED));
	TRY(load_persisted(r, &persisted));
	n = wal_replay(&r->wal, persisted, apply_again, r);
	return n < 0 ? (int)n : n > 0;
}

/*
 * What was replayed goes into tables before anything new is written: of a record that was read, a
 * failing disk may have no more than the page cache.
 */
static int log_settle(struct rocks *r)
{
	uint64_t persisted;

	TRY(flush(r));
	TRY(load_persisted(r, &persisted));
	wal_persisted(&r->wal, persisted);
	return 0;
}

/* After an error the handle is open for reading if everything acknowledged can be read there. */
static int db_open(struct rocks *r)
{
	char *message = NULL;
	int rc;

	r->db = r->lib.rocksdb_open(r->db_options, r->path, &message);
	TRY(rocks_rc(r, message));
	rocks_store_share_cache(r);
	rc = log_replay(r);
	if (rc < 0) {
		rocks_store_close(r);
		return rc;
	}
	if (rc > 0)
		TRY(log_settle(r));
	return load_stamps(r);
}

int rocks_store_open(struct rocks *r)
{
	bool older = false;
	int rc;

	TRY(folder_make(r));
	TRY(folder_lock(r));
	TRY(format_look(r, &older));
	rc = db_open(r);
	if (rc == 0 && older)
		rc = format_write(r);
	if (rc < 0)
		rocks_store_close(r);
	return rc;
}

void rocks_store_close(struct rocks *r)
{
	wal_close(&r->wal);
	/* Writes what is in memory into tables if it can, so that the next start is quick. */
	if (r->db)
		r->lib.rocksdb_close(r->db);
	r->db = NULL;
}

int rocks_store_sync(struct rocks *r)
{
	return wal_sync(&r->wal);
}

int rocks_store_write(struct rocks *r)
{
	char value[8];
	str data;
	int rc;

	kv_put_be64(value, r->wal.number + 1);
	r->lib.rocksdb_writebatch_put(
		r->batch, number_key, sizeof number_key - 1, value, sizeof value);
	data.p = r->lib.rocksdb_writebatch_data(r->batch, &data.n);
	if (wal_is_full(&r->wal, data.n)) {
		uint64_t persisted;

		rc = load_persisted(r, &persisted);
		r->db_broken |= rc < 0;
		TRY(rc);
		wal_persisted(&r->wal, persisted);
	}
	TRY(wal_append(&r->wal, data));
	rc = put_batch(r, r->batch);
	r->db_broken |= rc < 0;
	return rc;
}

/*
 * The record whose write failed may be on the disk all the same. Before anybody relies on its not
 * being there, least of all the horizon of the stamps, its number is written once more.
 */
static int log_void(struct rocks *r)
{
	int rc;

	/*
	 * What lies in the same block, or was not synced yet, may have gone with it: it goes into
	 * tables, so that no gap is left before the next record.
	 */
	rc = log_settle(r);
	r->db_broken |= rc < 0;
	TRY(rc);
	rc = rocks_store_write(r);
	r->lib.rocksdb_writebatch_clear(r->batch);
	TRY(rc);
	return wal_sync(&r->wal);
}

/* Does the disk take a sync, and what a flush of all memtables (three) and opening need? */
static int probe(const struct rocks *r)
{
	char path[PATH_BYTES];
	int fd cleanup(close_p) = -1;
	int rc = 0;

	TRY(path_of(r, "probe", path, sizeof path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return rc_from_errno(errno);
	/* Now, so that it does not stay should this process end. */
	unlink(path);
	if (fallocate(fd, 0, 0, (off_t)r->options.memtable_bytes * PROBE_MEMTABLES) < 0 &&
		errno != EOPNOTSUPP)
		rc = rc_from_errno(errno);
	if (rc == 0 && (write(fd, "x", 1) != 1 || fdatasync(fd) < 0))
		rc = rc_from_errno(errno);
	return rc;
}

/* Nobody uses the handle when this returns, and nobody will before the gate opens. */
static void gate_close(struct rocks *r)
{
	static const struct timespec pause = {0, GATE_POLL_NS};

	atomic_store(&r->gate_closed, true);
	while (atomic_load(&r->inside) > 0)
		nanosleep(&pause, NULL);
}

static void views_kill(struct rocks *r)
{
	struct list *link;

	pthread_mutex_lock(&r->views_lock);
	while ((link = list_pop_front(&r->views)) != NULL) {
		struct rocks_view *view = list_entry(link, struct rocks_view, link);

		if (view->iterator)
			r->lib.rocksdb_iter_destroy(view->iterator);
		view->iterator = NULL;
		if (view->snapshot && !view->borrowed)
			r->lib.rocksdb_release_snapshot(r->db, view->snapshot);
		view->snapshot = NULL;
		view->dead = true;
	}
	pthread_mutex_unlock(&r->views_lock);
}

int rocks_store_reopen(struct rocks *r)
{
	int rc;

	TRY(probe(r));
	if (r->db && !r->db_broken)
		TRY(log_void(r));
	/* What the failed write had in mind is nobody's business any more, nor who has read it. */
	gate_close(r);
	kv_cache_clear(r->records);
	atomic_fetch_add(&r->epoch, 1);
	if (r->db && !r->db_broken) {
		rc = load_stamps(r);
	} else {
		views_kill(r);
		rocks_store_close(r);
		rc = db_open(r);
		r->db_broken = rc < 0;
	}
	atomic_store(&r->gate_closed, false);
	return rc;
}
