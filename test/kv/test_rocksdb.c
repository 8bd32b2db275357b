/*
 * What only the RocksDB engine promises: the folder (lock, format), what holds over a reopening,
 * and the way from memory to the read pool. Crashes and failing disks: test/crash/.
 */
#include "base/mem.h"
#include "kv/kv.h"
#include "kv/rocksdb.h"
#include "rt/rt.h"
#include "test/kv/failing_sync.h"
#include "test/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct running {
	struct rt *rt;
	const char *path;
	mayyield void (*fn)(struct running *run);
};

static void run_main(void *arg)
{
	struct running *run = arg;

	run->fn(run);
	rt_stop(run->rt);
}

static void run_prepared(
	void (*prepare)(const char *path), mayyield void (*fn)(struct running *run))
{
	struct rt_options options = {.loops = 1};
	char path[128];
	struct running run = {.path = path, .fn = fn};

	snprintf(path, sizeof path, "%s/store", test_folder());
	if (prepare)
		prepare(path);
	ASSERT_INT(rt_new(&options, &run.rt), 0);
	EXPECT_INT(rt_run(run.rt, run_main, &run), 0);
	rt_free(run.rt);
}

static void run_real(mayyield void (*fn)(struct running *run))
{
	run_prepared(NULL, fn);
}

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[160];
	int fd;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ASSERT(fd >= 0);
	EXPECT_INT(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static mayyield void expect_value(struct kv *kv, str key, str expected)
{
	struct arena a cleanup(arena_done_p) = {0};
	str value = STR_NULL;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(kv_get(kv, key, &a, &value), 1);
	EXPECT_STR(value, expected);
}

/* --- the folder ------------------------------------------------------------------------------ */

static void expect_format(const char *folder, const char *expected)
{
	char path[160], text[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%s/FORMAT", folder);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof text);
	close(fd);
	ASSERT(n >= 0);
	EXPECT_STR(str_of(text, (size_t)n), str_c(expected));
}

static mayyield void folder(struct running *run)
{
	struct kv *kv = NULL, *second = NULL;

	ASSERT_INT(kv_open_rocksdb(run->path, NULL, &kv), 0);
	EXPECT_INT(kv_open_rocksdb(run->path, NULL, &second), ERR_LOCKED);
	EXPECT(second == NULL);
	EXPECT_INT(kv_put(kv, STR("k"), STR("v"), RT_NEVER), 0);
	kv_close(kv);
	write_file(run->path, "FORMAT", "cirrus-kv 999\n");
	EXPECT_INT(kv_open_rocksdb(run->path, NULL, &kv), ERR_VERSION);
	write_file(run->path, "FORMAT", "cirrus-kv 1\n");
	ASSERT_INT(kv_open_rocksdb(run->path, NULL, &kv), 0);
	expect_value(kv, STR("k"), STR("v"));
	kv_close(kv);
	expect_format(run->path, "cirrus-kv 2\n");
	/* a database that does not say what it is */
	{
		char path[160];

		snprintf(path, sizeof path, "%s/FORMAT", run->path);
		EXPECT_INT(unlink(path), 0);
	}
	EXPECT_INT(kv_open_rocksdb(run->path, NULL, &kv), ERR_VERSION);
	EXPECT_INT(kv_open_rocksdb("/proc/no/such/folder", NULL, &kv), ERR_NOT_FOUND);
}

TEST(rocksdb, folder)
{
	run_real(folder);
}

/* --- over a reopening ------------------------------------------------------------------------ */

static mayyield uint64_t stamp_once(struct kv *kv)
{
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	uint64_t stamp = 0;

	if (!EXPECT_INT(kv_txn_begin(kv, NULL, 0, RT_NEVER, &txn), 0))
		return 0;
	kv_txn_put_stamped(txn, STR("p/"), STR("d"), STR(""), STR("record"), KV_NO_STAMP);
	EXPECT_INT(kv_commit(txn, &stamp), 0);
	return stamp;
}

static mayyield void reopening(struct running *run)
{
	uint64_t last = 0, horizon = 0;

	for (unsigned i = 0; i < 4; i++) {
		struct kv_rocksdb_options options = {.durability = i % 2 ? KV_RELAXED : KV_SYNCED};
		struct arena a cleanup(arena_done_p) = {0};
		struct kv *kv = NULL;
		str value = STR_NULL;

		arena_init(&a, SIZE_MAX);
		ASSERT_INT(kv_open_rocksdb(run->path, &options, &kv), 0);
		EXPECT_INT(kv_horizon(kv, STR("d"), &horizon), 0);
		EXPECT(horizon >= last);
		EXPECT_INT(kv_get(kv, STR("k"), &a, &value), i > 0);
		if (i > 0)
			EXPECT_INT(value.p[0], 'a' + i - 1);
		EXPECT_INT(kv_put(kv, STR("k"), str_of(&(char){(char)('a' + i)}, 1), RT_NEVER), 0);
		for (unsigned j = 0; j < 5; j++) {
			uint64_t stamp = stamp_once(kv);

			EXPECT(stamp > last && stamp > horizon);
			last = stamp;
			EXPECT_INT(kv_horizon(kv, STR("d"), &horizon), 0);
			EXPECT(horizon >= stamp);
		}
		kv_close(kv);
	}
}

TEST(rocksdb, reopening)
{
	run_real(reopening);
}

/* --- the log --------------------------------------------------------------------------------- */

static const char ceiling_key[] = "\0stamp";
enum { CEILING = 5000000, LOG_KEYS = 3000, LOG_VALUE = 1000 };

static str log_key(char *room, unsigned i)
{
	return str_of(room, (size_t)snprintf(room, 32, "log/%06u", i));
}

static str log_value(char room[LOG_VALUE], unsigned i)
{
	for (unsigned j = 0; j < LOG_VALUE; j++)
		room[j] = (char)(i * 31 + j * j * 7);
	return str_of(room, LOG_VALUE);
}

/* As format 1 left it when it was killed: the records are in RocksDB's own log and nowhere else. */
static void format_1_make(const char *path)
{
	char ceiling[8], *message = NULL;
	struct rocksdb_library lib;
	rocksdb_writeoptions_t *how;
	rocksdb_writebatch_t *batch;
	rocksdb_options_t *options;
	rocksdb_t *db;

	ASSERT_INT(rocks_library_load(&lib), 0);
	options = lib.rocksdb_options_create();
	how = lib.rocksdb_writeoptions_create();
	batch = lib.rocksdb_writebatch_create();
	lib.rocksdb_options_set_create_if_missing(options, 1);
	db = lib.rocksdb_open(options, path, &message);
	ASSERT(db && !message);
	lib.rocksdb_writebatch_put(batch, "k", 1, "v", 1);
	kv_put_be64(ceiling, CEILING);
	lib.rocksdb_writebatch_put(batch, ceiling_key, sizeof ceiling_key - 1, ceiling, 8);
	lib.rocksdb_write(db, how, batch, &message);
	EXPECT(!message);
	lib.rocksdb_close(db);
	lib.rocksdb_writebatch_destroy(batch);
	lib.rocksdb_writeoptions_destroy(how);
	lib.rocksdb_options_destroy(options);
	write_file(path, "FORMAT", "cirrus-kv 1\n");
}

static mayyield void upgrade(struct running *run)
{
	for (unsigned i = 0; i < 3; i++) {
		struct kv *kv = NULL;

		ASSERT_INT(kv_open_rocksdb(run->path, NULL, &kv), 0);
		expect_format(run->path, "cirrus-kv 2\n");
		expect_value(kv, STR("k"), i ? STR("w") : STR("v"));
		EXPECT(stamp_once(kv) > CEILING);
		EXPECT_INT(kv_put(kv, STR("k"), STR("w"), RT_NEVER), 0);
		kv_close(kv);
	}
}

TEST(rocksdb, upgrade)
{
	run_prepared(format_1_make, upgrade);
}

static bool is_log(const char *name)
{
	return str_ends(str_c(name), STR(".wal"));
}

/* Calls `fn` with the folder and each of its files. */
static void each_file(
	const char *path, void (*fn)(int folder, const char *name, void *arg), void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	ASSERT(dir != NULL);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			fn(dirfd(dir), e->d_name, arg);
	closedir(dir);
}

static void count_log(int folder, const char *name, void *arg)
{
	(void)folder;
	*(unsigned *)arg += is_log(name);
}

static void drop_log(int folder, const char *name, void *arg)
{
	(void)arg;
	if (is_log(name))
		EXPECT_INT(unlinkat(folder, name, 0), 0);
}

static mayyield void expect_log_keys(struct kv *kv, unsigned n)
{
	char room[32], value[LOG_VALUE];

	for (unsigned i = 0; i < n && !test_failures(); i++)
		expect_value(kv, log_key(room, i), log_value(value, i));
}

/* Segments are written over; an ordinary end leaves nothing to replay. */
static mayyield void log_is_bounded(struct running *run)
{
	struct kv_rocksdb_options options = {.memtable_bytes = 64 * 1024, .durability = KV_RELAXED};
	char room[32], value[LOG_VALUE];
	struct kv *kv = NULL;
	unsigned most = 0;

	ASSERT_INT(kv_open_rocksdb(run->path, &options, &kv), 0);
	for (unsigned i = 0; i < LOG_KEYS; i++) {
		unsigned n = 0;

		ASSERT_INT(kv_put(kv, log_key(room, i), log_value(value, i), RT_NEVER), 0);
		if (i % 50 == 0)
			each_file(run->path, count_log, &n);
		most = MAX(most, n);
	}
	EXPECT(most >= 2 && most <= 10);
	kv_close(kv);
	each_file(run->path, drop_log, NULL);
	ASSERT_INT(kv_open_rocksdb(run->path, &options, &kv), 0);
	expect_log_keys(kv, LOG_KEYS);
	kv_close(kv);
}

TEST(rocksdb, log_is_bounded)
{
	run_real(log_is_bounded);
}

/* --- writes of the log that fail ------------------------------------------------------------- */

struct copy {
	int to;
	const char *whole; /* other segments of the log are lost; NULL: none is */
};

static void copy_file(int folder, const char *name, void *arg)
{
	const struct copy *copy = arg;
	int in = openat(folder, name, O_RDONLY | O_CLOEXEC),
	    out = openat(copy->to, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	char *room = mem_alloc(64 * 1024);
	ssize_t n;

	EXPECT(in >= 0 && out >= 0);
	while ((n = read(in, room, 64 * 1024)) > 0)
		EXPECT_INT(write(out, room, (size_t)n), n);
	if (copy->whole && is_log(name) && strcmp(name, copy->whole) != 0)
		EXPECT_INT(ftruncate(out, 0), 0);
	mem_free(room);
	close(in);
	close(out);
}

/* What a kill now would leave. */
static void copy_folder(const char *path, const char *to, const char *whole)
{
	struct copy copy = {.whole = whole};

	ASSERT_INT(mkdir(to, 0700), 0);
	copy.to = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	each_file(path, copy_file, &copy);
	close(copy.to);
}

static mayyield void wait_writable(struct kv *kv)
{
	struct kv_stats stats = {0};

	for (int64_t end = rt_after_ms(20000); !stats.writable && rt_now() < end;) {
		EXPECT_INT(rt_sleep_until(rt_after_ms(10)), 0);
		kv_stats(kv, &stats);
	}
	EXPECT(stats.writable);
}

struct newest {
	uint64_t serial;
	char name[32];
};

static void find_newest(int folder, const char *name, void *arg)
{
	struct newest *newest = arg;
	char head[16] = {0};
	int fd;

	if (!is_log(name))
		return;
	fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	EXPECT_INT(pread(fd, head, sizeof head, 0), sizeof head);
	close(fd);
	if (kv_take_be64(head + 8) <= newest->serial)
		return;
	newest->serial = kv_take_be64(head + 8);
	snprintf(newest->name, sizeof newest->name, "%s", name);
}

/*
 * What was refused and then not seen does not come back with the log, and what was acknowledged
 * does not need the segment that the disk refused.
 */
static mayyield void failed_is_void(struct running *run)
{
	struct kv *kv = NULL, *copy = NULL;
	struct newest newest = {0};
	uint64_t horizon = 0, later = 0;
	char killed[160];

	ASSERT_INT(kv_open_rocksdb(run->path, NULL, &kv), 0);
	EXPECT_INT(kv_put(kv, STR("k"), STR("old"), RT_NEVER), 0);
	wal_sync_failures = 1;
	EXPECT_INT(kv_put(kv, STR("k"), STR("new"), RT_NEVER), ERR_IO);
	wait_writable(kv);
	expect_value(kv, STR("k"), STR("old"));
	EXPECT_INT(kv_horizon(kv, STR("d"), &horizon), 0);
	each_file(run->path, find_newest, &newest);
	for (unsigned lost = 0; lost < 2; lost++) {
		snprintf(killed, sizeof killed, "%s-%u", run->path, lost);
		copy_folder(run->path, killed, lost ? newest.name : NULL);
		ASSERT_INT(kv_open_rocksdb(killed, NULL, &copy), 0);
		expect_value(copy, STR("k"), STR("old"));
		EXPECT_INT(kv_horizon(copy, STR("d"), &later), 0);
		EXPECT(later >= horizon);
		kv_close(copy);
	}
	kv_close(kv);
}

TEST(rocksdb, failed_is_void)
{
	run_real(failed_is_void);
}

/*
 * Not synced, the sync between two segments fails, and a power cut leaves nothing of the former:
 * its records are in tables, so that there is no gap.
 */
static mayyield void no_gap(struct running *run)
{
	struct kv_rocksdb_options options = {.memtable_bytes = 64 * 1024, .durability = KV_RELAXED};
	struct kv *kv = NULL, *copy = NULL;
	char room[32], value[LOG_VALUE], cut[160];
	struct newest newest = {0};
	unsigned n = 0;
	int rc = 0;

	snprintf(cut, sizeof cut, "%s-cut", run->path);
	ASSERT_INT(kv_open_rocksdb(run->path, &options, &kv), 0);
	wal_sync_failures = 1;
	while (rc == 0 && n < 200) {
		rc = kv_put(kv, log_key(room, n), log_value(value, n), RT_NEVER);
		n += rc == 0;
	}
	EXPECT_INT(rc, ERR_IO);
	EXPECT(n > 40);
	wait_writable(kv);
	for (unsigned end = n + 5; n < end; n++)
		EXPECT_INT(kv_put(kv, log_key(room, n), log_value(value, n), RT_NEVER), 0);
	each_file(run->path, find_newest, &newest);
	copy_folder(run->path, cut, newest.name);
	kv_close(kv);
	ASSERT_INT(kv_open_rocksdb(cut, &options, &copy), 0);
	expect_log_keys(copy, n);
	kv_close(copy);
}

TEST(rocksdb, no_gap)
{
	run_real(no_gap);
}

/* --- tiers ----------------------------------------------------------------------------------- */

enum { TIER_KEYS = 6000 };

static str tier_key(char *room, unsigned i)
{
	return str_of(room, (size_t)snprintf(room, 32, "key/%06u", i));
}

static mayyield void fill(struct kv *kv)
{
	char room[32], value[300];

	for (unsigned i = 0; i < TIER_KEYS;) {
		struct kv_txn *txn = NULL;

		ASSERT_INT(kv_txn_begin(kv, NULL, 0, RT_NEVER, &txn), 0);
		for (unsigned end = i + 500; i < end; i++) {
			/* so that blocks do not shrink to nothing */
			for (unsigned j = 0; j < sizeof value; j++)
				value[j] = (char)(i * 31 + j * j * 7);
			kv_txn_put_covered(txn, tier_key(room, i), str_of(value, sizeof value));
		}
		EXPECT_INT(kv_commit(txn, NULL), 0);
		kv_txn_free(txn);
	}
}

static mayyield void scan_all(struct kv *kv, bool reverse, unsigned limit)
{
	struct kv_range range = {.reverse = reverse, .limit = limit};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	unsigned n = limit ? limit : TIER_KEYS;
	str key = STR_NULL, value = STR_NULL;
	char room[32];

	ASSERT_INT(kv_scan_open(kv, &range, &scan), 0);
	for (unsigned i = 0; i < n; i++) {
		ASSERT_INT(kv_scan_next(scan, &key, &value), 1);
		ASSERT_STR(key, tier_key(room, reverse ? TIER_KEYS - 1 - i : i));
		ASSERT_INT(value.n, 300);
	}
	EXPECT_INT(kv_scan_next(scan, &key, &value), 0);
}

/*
 * Takes every `nth` 16 KiB of the tables out of the system's page cache. True: the file system
 * does that, and reads that may not wait are refused there.
 */
static bool forget(const char *path, unsigned nth)
{
	DIR *dir = opendir(path);
	bool refused = false;
	struct dirent *e;

	if (!dir)
		return false;
	while ((e = readdir(dir))) {
		size_t n = strlen(e->d_name);
		struct iovec part = {&(char){0}, 1};
		int fd;

		if (n < 4 || strcmp(e->d_name + n - 4, ".sst") != 0)
			continue;
		fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC);
		fsync(fd);
		for (off_t at = 0, end = lseek(fd, 0, SEEK_END); at < end;
			at += (off_t)nth * 16 * 1024)
			posix_fadvise(fd, at, 16 * 1024, POSIX_FADV_DONTNEED);
		refused |= preadv2(fd, &part, 1, 0, RWF_NOWAIT) < 0;
		close(fd);
	}
	closedir(dir);
	return refused;
}

static mayyield void scan_cold(struct running *run, unsigned nth)
{
	struct kv_rocksdb_options options = {
		.memtable_bytes = 64 * 1024, .cache_bytes = 1024 * 1024};
	static const unsigned limits[] = {40, 200, 0, 0};

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(limits); i++) {
		struct kv *kv = NULL;

		ASSERT_INT(kv_open_rocksdb(run->path, &options, &kv), 0);
		if (nth)
			forget(run->path, nth);
		scan_all(kv, i % 2, limits[i / 2]);
		kv_close(kv);
	}
}

/*
 * Point reads of what is not in memory go to the pool, others do not; scans find all entries both
 * ways, however much of the store is in memory.
 */
static mayyield void tiers(struct running *run)
{
	struct kv_rocksdb_options options = {
		.memtable_bytes = 64 * 1024, .cache_bytes = 2 * 1024 * 1024};
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_stats cold, warm;
	struct kv *kv = NULL;
	char room[32];
	str value = STR_NULL;
	bool forgets;

	arena_init(&a, SIZE_MAX);
	ASSERT_INT(kv_open_rocksdb(run->path, &options, &kv), 0);
	fill(kv);
	kv_close(kv);
	for (unsigned nth = 0; nth < 4; nth++)
		scan_cold(run, nth);
	ASSERT_INT(kv_open_rocksdb(run->path, &options, &kv), 0);
	forgets = forget(run->path, 1);
	EXPECT_INT(kv_get(kv, tier_key(room, 77), &a, &value), 1);
	kv_stats(kv, &cold);
	EXPECT_INT(cold.gets_pooled, forgets);
	EXPECT_INT(kv_get(kv, tier_key(room, 77), &a, &value), 1);
	EXPECT_INT(value.n, 300);
	kv_stats(kv, &warm);
	EXPECT_INT(warm.gets_pooled, forgets);
	for (unsigned i = 0; i < 2 * TIER_KEYS; i++) {
		ASSERT_INT(kv_get(kv, tier_key(room, i * 7 % TIER_KEYS), &a, &value), 1);
		ASSERT_INT(value.n, 300);
		EXPECT_INT(kv_get(kv, tier_key(room, TIER_KEYS + i), &a, &value), 0);
	}
	kv_close(kv);
}

TEST(rocksdb, tiers)
{
	run_real(tiers);
}

/* --- the cache ------------------------------------------------------------------------------- */

/* What indexes and filters take, blocks may not: while it grows, and after an opening. */
static mayyield void cache_shares(struct running *run)
{
	enum { CACHE = 64 * 1024, HALF = CACHE / 2 };
	struct kv_rocksdb_options options = {.memtable_bytes = 64 * 1024, .cache_bytes = CACHE};
	struct kv_stats stats, again;
	struct kv *kv = NULL;
	char room[32];

	ASSERT_INT(kv_open_rocksdb(run->path, &options, &kv), 0);
	kv_stats(kv, &stats);
	EXPECT_INT(stats.blocks_bytes, HALF);
	fill(kv);
	for (int64_t end = rt_after_ms(20000); stats.blocks_bytes == HALF && rt_now() < end;) {
		EXPECT_INT(kv_put(kv, tier_key(room, 1), STR("v"), RT_NEVER), 0);
		EXPECT_INT(rt_sleep_until(rt_after_ms(20)), 0);
		kv_stats(kv, &stats);
	}
	EXPECT(stats.tables_bytes > 6000);
	EXPECT_INT(stats.blocks_bytes, MAX(HALF - (int)stats.tables_bytes, HALF / 8));
	kv_close(kv);
	ASSERT_INT(kv_open_rocksdb(run->path, &options, &kv), 0);
	kv_stats(kv, &again);
	EXPECT(again.tables_bytes > 6000 && again.blocks_bytes < HALF);
	kv_close(kv);
	/* More than there is: they keep an eighth. */
	options.cache_bytes = 4096;
	ASSERT_INT(kv_open_rocksdb(run->path, &options, &kv), 0);
	kv_stats(kv, &stats);
	EXPECT_INT(stats.blocks_bytes, 256);
	kv_close(kv);
}

TEST(rocksdb, cache_shares)
{
	run_real(cache_shares);
}

/* --- many commits at once are few syncs ------------------------------------------------------ */

struct burst {
	struct kv *kv;
	struct rt_event done;
	unsigned left, number;
};

static void burst_fiber(void *arg)
{
	struct burst *b = arg;
	char room[32];

	EXPECT_INT(kv_put(b->kv, tier_key(room, b->number++), STR("v"), RT_NEVER), 0);
	if (--b->left == 0)
		rt_event_set(&b->done);
}

static mayyield void groups(struct running *run)
{
	struct burst b = {.left = 400};
	struct kv_stats stats;

	ASSERT_INT(kv_open_rocksdb(run->path, NULL, &b.kv), 0);
	rt_event_init(&b.done);
	for (unsigned i = 0; i < 400; i++)
		EXPECT_INT(rt_spawn(burst_fiber, &b), 0);
	rt_event_wait_sure(&b.done);
	kv_stats(b.kv, &stats);
	EXPECT_INT(stats.commits, 400);
	EXPECT(stats.commit_groups < 200);
	EXPECT(stats.writable);
	kv_close(b.kv);
}

TEST(rocksdb, groups)
{
	run_real(groups);
}
