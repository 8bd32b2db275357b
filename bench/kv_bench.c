/*
 * Measures the embedded store: synced puts by many fibers (read, then write, as PutItem does)
 * against as many threads that each call a synced rocksdb_write, point reads, and scans.
 *
 *     make build/release/bench/kv_bench && build/release/bench/kv_bench [folder [seconds [bytes]]]
 *
 * Prints one line a row; with bytes only the threads, with values of that size. The folder has to
 * be on the disk in question; it is emptied.
 */
#include "base/mem.h"
#include "kv/kv.h"
#include "rt/rt.h"

#include <ftw.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ITEMS = 20000, WORKERS = 64 };

struct bench {
	struct kv *kv;
	struct rt *rt;
	const char *folder;
	double seconds;
	unsigned loops;
	size_t value_bytes;
	unsigned fibers;
	int64_t end;
	bool blind;
	_Atomic uint64_t done, ns_total;
	struct rt_event all;
	_Atomic unsigned left;
	_Atomic uint64_t next;
};

static void fail(const char *what, int rc)
{
	fprintf(stderr, "kv_bench: %s: %s\n", what, rc_name(rc));
	exit(1);
}

static str item_key(char *to, uint64_t i)
{
	int n = snprintf(to, 40, "t/0123456789abcdef/%08llu", (unsigned long long)i);

	return str_of(to, (size_t)n);
}

static int put_item(struct kv_txn *txn, void *arg)
{
	str *pair = arg, old;
	struct arena a cleanup(arena_done_p) = {0};

	arena_init(&a, SIZE_MAX);
	TRY(kv_txn_get(txn, pair[0], &a, &old));
	kv_txn_put(txn, pair[0], pair[1]);
	return 0;
}

static void putter(void *arg)
{
	struct bench *b = arg;
	char value[4096], key[40];
	uint64_t n = 0, x = atomic_fetch_add(&b->next, 1) * 0x9e3779b97f4a7c15u + 1;

	memset(value, 'v', sizeof value);
	while (rt_now() < b->end) {
		str pair[2] = {STR_NULL, str_of(value, b->value_bytes)};
		int rc;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		pair[0] = item_key(key, x % ITEMS);
		memcpy(value, &x, sizeof x);
		rc = b->blind ? kv_put(b->kv, pair[0], pair[1], RT_NEVER)
			      : kv_run(b->kv, &pair[0], 1, put_item, pair, RT_NEVER);
		if (rc < 0)
			fail("put", rc);
		n++;
	}
	atomic_fetch_add(&b->done, n);
	if (atomic_fetch_sub(&b->left, 1) == 1)
		rt_event_set(&b->all);
}

static void getter(void *arg)
{
	struct bench *b = arg;
	uint64_t n = 0, x = atomic_fetch_add(&b->next, 1) * 0x9e3779b97f4a7c15u + 1;

	while (rt_now() < b->end) {
		for (unsigned i = 0; i < 64; i++) {
			struct arena a cleanup(arena_done_p) = {0};
			char key[40];
			str value;
			int rc;

			arena_init(&a, SIZE_MAX);
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			rc = kv_get(b->kv, item_key(key, x % ITEMS), &a, &value);
			if (rc != 1)
				fail("get", rc);
			n++;
		}
		if (rt_yield() < 0)
			break;
	}
	atomic_fetch_add(&b->done, n);
	if (atomic_fetch_sub(&b->left, 1) == 1)
		rt_event_set(&b->all);
}

static void scanner(void *arg)
{
	struct bench *b = arg;
	uint64_t n = 0, x = atomic_fetch_add(&b->next, 1) * 0x9e3779b97f4a7c15u + 1;

	while (rt_now() < b->end) {
		struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
		struct kv_range range = {.to = STR("u"), .limit = 10};
		str key, value;
		char from[40];
		int rc;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		range.from = item_key(from, x % (ITEMS - 10));
		rc = kv_scan_open(b->kv, &range, &scan);
		if (rc < 0)
			fail("scan", rc);
		for (unsigned i = 0; i < 10; i++)
			if ((rc = kv_scan_next(scan, &key, &value)) != 1)
				fail("scan", rc);
		if (++n % 64 == 0 && rt_yield() < 0)
			break;
	}
	atomic_fetch_add(&b->done, n);
	if (atomic_fetch_sub(&b->left, 1) == 1)
		rt_event_set(&b->all);
}

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static mayyield double measure(struct bench *b, const char *what, rt_fiber_fn *fn, unsigned fibers)
{
	int64_t begin = rt_now();
	double cpu = cpu_seconds(), took, rate;

	atomic_store(&b->done, 0);
	atomic_store(&b->left, fibers);
	rt_event_init(&b->all);
	b->end = begin + (int64_t)(b->seconds * 1e9);
	for (unsigned i = 0; i < fibers; i++)
		if (rt_spawn_on(rt_self(), i % b->loops, fn, b) < 0)
			fail("spawn", ERR_BUSY);
	rt_event_wait_sure(&b->all);
	took = (double)(rt_now() - begin) / 1e9;
	rate = (double)b->done / took;
	printf("%-34s %2u loop%s %3u fibers  %8.0f/s  %6.2f us CPU each\n", what, b->loops,
		b->loops > 1 ? "s" : " ", fibers, rate,
		(cpu_seconds() - cpu) * 1e6 / (double)b->done);
	fflush(stdout);
	return rate;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void rows(void *arg)
{
	struct bench *b = arg;
	struct kv_rocksdb_options options = {.memtable_bytes = 64 << 20};
	struct kv_stats stats;
	char what[64];
	int64_t begin;
	int rc;

	nftw(b->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	begin = rt_now();
	rc = kv_open_rocksdb(b->folder, &options, &b->kv);
	if (rc < 0)
		fail("open", rc);
	printf("open, empty folder: %.1f ms\n", (double)(rt_now() - begin) / 1e6);
	for (unsigned i = 0; i < ITEMS; i += 1000) {
		struct kv_txn *txn = NULL;
		char key[40], value[4096] = {1};

		if (kv_txn_begin(b->kv, NULL, 0, RT_NEVER, &txn) < 0)
			fail("fill", ERR_IO);
		for (unsigned j = i; j < i + 1000; j++)
			kv_txn_put_covered(txn, item_key(key, j), str_of(value, b->value_bytes));
		if (kv_commit(txn, NULL) < 0)
			fail("fill", ERR_IO);
		kv_txn_free(txn);
	}
	for (unsigned blind = 0; blind < 2; blind++) {
		b->blind = blind;
		snprintf(what, sizeof what, "%s %zu B, synced", blind ? "blind put" : "get + put",
			b->value_bytes);
		measure(b, what, putter, 1);
		measure(b, what, putter, WORKERS);
	}
	kv_stats(b->kv, &stats);
	printf("  %.1f commits a group\n", (double)stats.commits / (double)stats.commit_groups);
	measure(b, "get", getter, WORKERS);
	measure(b, "scan of 10", scanner, WORKERS);
	kv_close(b->kv);
	begin = rt_now();
	rc = kv_open_rocksdb(b->folder, &options, &b->kv);
	if (rc < 0)
		fail("open", rc);
	printf("open, log to replay: %.1f ms\n", (double)(rt_now() - begin) / 1e6);
	measure(b, "get, after reopening", getter, WORKERS);
	kv_close(b->kv);
	rt_stop(b->rt);
}

/* --- the comparison: as many threads, each with its own synced write ------------------------- */

struct threads {
	rocksdb_t *db;
	struct bench *b;
	double end;
};

static double now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *thread_run(void *arg)
{
	struct threads *t = arg;
	struct bench *b = t->b;
	uint64_t n = 0, x = atomic_fetch_add(&b->next, 1) * 0x9e3779b97f4a7c15u + 1;
	rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	char value[4096], key[40];

	memset(value, 'v', sizeof value);
	rocksdb_writeoptions_set_sync(options, 1);
	while (now_seconds() < t->end) {
		char *message = NULL;
		str k;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		k = item_key(key, x % ITEMS);
		memcpy(value, &x, sizeof x);
		rocksdb_writebatch_clear(batch);
		rocksdb_writebatch_put(batch, k.p, k.n, value, b->value_bytes);
		rocksdb_write(t->db, options, batch, &message);
		if (message)
			fail(message, ERR_IO);
		n++;
	}
	atomic_fetch_add(&b->done, n);
	rocksdb_writebatch_destroy(batch);
	rocksdb_writeoptions_destroy(options);
	return NULL;
}

static void compare(struct bench *b)
{
	rocksdb_options_t *options = rocksdb_options_create();
	struct threads t = {.b = b};
	pthread_t threads[WORKERS];
	char *message = NULL;
	double begin, cpu;

	nftw(b->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	rocksdb_options_set_create_if_missing(options, 1);
	rocksdb_options_set_write_buffer_size(options, 64 << 20);
	t.db = rocksdb_open(options, b->folder, &message);
	if (!t.db)
		fail(message, ERR_IO);
	atomic_store(&b->done, 0);
	begin = now_seconds();
	cpu = cpu_seconds();
	t.end = begin + b->seconds;
	for (unsigned i = 0; i < WORKERS; i++)
		if (pthread_create(&threads[i], NULL, thread_run, &t) != 0)
			fail("thread", ERR_BUSY);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	printf("threads, rocksdb_write %4zu B, synced  %3u threads   %8.0f/s  %6.2f us CPU each\n",
		b->value_bytes, WORKERS, (double)b->done / (now_seconds() - begin),
		(cpu_seconds() - cpu) * 1e6 / (double)b->done);
	fflush(stdout);
	rocksdb_close(t.db);
	rocksdb_options_destroy(options);
}

int main(int argc, char **argv)
{
	struct bench b = {.folder = argc > 1 ? argv[1] : "/var/tmp/cirrus-kv-bench",
		.seconds = argc > 2 ? strtod(argv[2], NULL) : 5};
	static const size_t sizes[] = {400, 1000};

	if (argc >
		3) { /* only what the server is compared with: threads, values of argv[3] bytes */
		b.value_bytes = MIN(strtoul(argv[3], NULL, 10), 4000ul);
		compare(&b);
		return nftw(b.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		b.value_bytes = sizes[i];
		compare(&b);
		for (b.loops = 1; b.loops <= 2; b.loops++) {
			struct rt_options options = {.loops = b.loops};

			if (rt_new(&options, &b.rt) < 0 || rt_run(b.rt, rows, &b) < 0)
				fail("rt", ERR_INTERNAL);
			rt_free(b.rt);
		}
		compare(&b);
	}
	nftw(b.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
