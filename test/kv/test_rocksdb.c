/*
 * What only the RocksDB engine promises: the folder (lock, format), what holds over a reopening,
 * and the way from memory to the read pool. Crashes and failing disks: test/crash/.
 */
#include "base/mem.h"
#include "kv/kv.h"
#include "rt/rt.h"
#include "test/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
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

static void run_real(mayyield void (*fn)(struct running *run))
{
	struct rt_options options = {.loops = 1};
	char path[128];
	struct running run = {.path = path, .fn = fn};

	snprintf(path, sizeof path, "%s/store", test_folder());
	ASSERT_INT(rt_new(&options, &run.rt), 0);
	EXPECT_INT(rt_run(run.rt, run_main, &run), 0);
	rt_free(run.rt);
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

/* --- the folder ------------------------------------------------------------------------------ */

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
	kv_close(kv);
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
