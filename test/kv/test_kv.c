/*
 * Runs the contract suite on the engines, and what belongs to one engine only.
 */
#include "base/mem.h"
#include "kv/record.h"
#include "test/kv/contract.h"
#include "test/kv/postgres_server.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the runner ------------------------------------------------------------------------------ */

static const struct contract_case {
	const char *name;
	mayyield void (*run)(struct contract *c);
	bool tame;
} cases[] = {
#define CONTRACT_CASE(name, tame) {#name, contract_##name, tame},
#include "test/kv/contract.def"
#undef CONTRACT_CASE
};

struct running {
	struct contract_engine *engine;
	const struct contract_case *at;
	uint64_t seed;
	struct rt *rt;
};

static void stop_faults(struct contract *c)
{
	kv_fault_set(c->kv, &(struct kv_fault_options){.no_delay = true});
}

static void run_case(void *arg)
{
	struct running *run = arg;
	struct contract_engine *e = run->engine;
	struct contract c = {.seed = run->seed,
		.fibers = e->fibers,
		.rounds = e->rounds,
		.wild = e->wild,
		.latches = e->latches,
		.calm = e->wild ? stop_faults : NULL};

	if (EXPECT_INT(e->open_kv(e->arg, run->seed, &c.kv), 0)) {
		run->at->run(&c);
		kv_close(c.kv);
	}
	rt_stop(run->rt);
}

void contract_run(struct contract_engine *e, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rt_options options = {.mode = e->simulated ? RT_SIMULATED : RT_REAL,
			.loops = e->loops,
			.seed = seed};
		struct running run = {e, &cases[i], seed, NULL};
		unsigned before = test_failures();

		if (e->wild && cases[i].tame)
			continue;
		ASSERT_INT(rt_new(&options, &run.rt), 0);
		EXPECT_INT(rt_run(run.rt, run_case, &run), 0);
		rt_free(run.rt);
		if (test_failures() != before)
			fprintf(stderr, "  in case %s on %s, SEED=%llu\n", cases[i].name, e->name,
				(unsigned long long)seed);
	}
}

/* --- memory ---------------------------------------------------------------------------------- */

static mayyield int open_memory(void *arg, uint64_t seed, struct kv **ret_kv)
{
	struct kv_memory_options options = {.seed = arg ? seed : 0};

	return kv_open_memory(&options, ret_kv);
}

TEST(kv, memory)
{
	struct contract_engine e = {.name = "memory",
		.latches = true,
		.loops = 2,
		.open_kv = open_memory,
		.fibers = 16,
		.rounds = 200};

	contract_run(&e, test_number("SEED", 1));
}

/* --- the record header ----------------------------------------------------------------------- */

TEST(kv, record)
{
	struct record_header h = {.flags = RECORD_TOMBSTONE,
				     .region = 258,
				     .server = 772,
				     .time = 5},
			     got;
	struct buf b;
	str in;
	char *p;

	buf_init(&b, NULL, 1024);
	record_put(&b, &h);
	buf_put(&b, STR("body"));
	in = buf_str(&b);
	EXPECT_INT(in.n, RECORD_HEADER_BYTES + 4);
	EXPECT_STR(str_sub(in, 0, RECORD_HEADER_BYTES), STR("\1\1\1\2\3\4\0\0\0\0\0\0\0\5"));
	ASSERT_INT(record_take(&in, &got), 0);
	EXPECT_STR(in, STR("body"));
	EXPECT(got.flags == h.flags && got.region == 258 && got.server == 772 && got.time == 5);
	for (size_t n = 0; n < RECORD_HEADER_BYTES; n++) {
		in = str_of(b.p, n);
		EXPECT_INT(record_take(&in, &got), ERR_CORRUPT);
	}
	p = b.p;
	in = buf_str(&b);
	p[1] = 2;
	EXPECT_INT(record_take(&in, &got), ERR_CORRUPT);
	p[1] = 0;
	p[13] = 0;
	EXPECT_INT(record_take(&in, &got), ERR_CORRUPT);
	p[13] = 5;
	EXPECT_INT(record_take(&in, &got), 0);
	in = buf_str(&b);
	p[0] = 2;
	EXPECT_INT(record_take(&in, &got), ERR_VERSION);
	buf_done(&b);
	EXPECT_INT(record_time_next(1000, 0), 1000);
	EXPECT_INT(record_time_next(1000, 999), 1000);
	EXPECT_INT(record_time_next(1000, 1000), 1001);
	EXPECT_INT(record_time_next(-5, 0), 1);
	EXPECT_INT(record_time_next(1000, 5000), 5001);
}

/* --- simulation ------------------------------------------------------------------------------ */

/* SEED=n replays one seed; SEEDS=n runs more of them. */
static void simulate(struct contract_engine *e, unsigned long seeds)
{
	unsigned long first = test_number("SEED", 0);

	e->simulated = true;
	e->loops = 1;
	if (first) {
		contract_run(e, first);
		return;
	}
	seeds = test_number("SEEDS", seeds);
	for (unsigned long seed = 1; seed <= seeds && test_failures() == 0; seed++)
		contract_run(e, seed);
}

static mayyield int open_fault(void *arg, uint64_t seed, struct kv **ret_kv)
{
	const struct kv_fault_options *given = arg;
	struct kv_fault_options options = given ? *given : (struct kv_fault_options){0};
	struct kv *inner = NULL;
	int rc = open_memory(arg, seed, &inner);

	if (rc < 0)
		return rc;
	options.seed = seed;
	return kv_open_fault(inner, &options, ret_kv);
}

/* --- round trips ----------------------------------------------------------------------------- */

static mayyield uint64_t trips(const struct kv *kv)
{
	struct kv_stats stats;

	kv_stats(kv, &stats);
	return stats.round_trips;
}

static mayyield int put_over(struct kv_txn *txn, void *arg)
{
	struct arena a cleanup(arena_done_p) = {0};
	str old, *key = arg;

	arena_init(&a, SIZE_MAX);
	TRY(kv_txn_get(txn, *key, &a, &old));
	kv_txn_put(txn, *key, STR("new"));
	kv_txn_put_covered(txn, STR("index/entry"), STR(""));
	kv_txn_put_stamped(txn, STR("stream/"), STR("stream"), STR(""), STR("image"), KV_NO_STAMP);
	return 0;
}

/* What a read, a write and a page cost on a distant engine (DESIGN section 5). */
static void count_trips(void *arg)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_range range = {.limit = 10};
	struct kv_scan *scan = NULL;
	struct kv *kv = NULL;
	str key = STR("item"), value;
	uint64_t before;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(open_fault(NULL, 1, &kv), 0);
	EXPECT_INT(kv_run(kv, &key, 1, put_over, &key, RT_NEVER), 0);
	EXPECT_INT(trips(kv), 2);
	before = trips(kv);
	EXPECT_INT(kv_get(kv, key, &a, &value), 1);
	EXPECT_INT(trips(kv) - before, 1);
	before = trips(kv);
	EXPECT_INT(kv_put(kv, key, STR("blind"), RT_NEVER), 0);
	EXPECT_INT(trips(kv) - before, 1);
	before = trips(kv);
	EXPECT_INT(kv_scan_open(kv, &range, &scan), 0);
	while (kv_scan_next(scan, &key, &value) == 1)
		;
	kv_scan_close(scan);
	EXPECT_INT(trips(kv) - before, 1);
	kv_close(kv);
	rt_stop(arg);
}

TEST(kv, round_trips)
{
	struct rt_options options = {.mode = RT_SIMULATED, .seed = 1};
	struct rt *rt = NULL;

	ASSERT_INT(rt_new(&options, &rt), 0);
	EXPECT_INT(rt_run(rt, count_trips, rt), 0);
	rt_free(rt);
}

TEST(kv, simulated)
{
	struct kv_fault_options options = {0};
	struct contract_engine e = {.name = "memory behind a slow line",
		.latches = true,
		.open_kv = open_fault,
		.arg = &options,
		.fibers = 8,
		.rounds = 12};

	simulate(&e, 40);
}

TEST(kv, simulated_wild)
{
	struct kv_fault_options options = {.error_per_mille = 40, .conflict_per_mille = 60};
	struct contract_engine e = {.name = "memory behind a bad line",
		.latches = true,
		.wild = true,
		.open_kv = open_fault,
		.arg = &options,
		.fibers = 8,
		.rounds = 16};

	simulate(&e, 60);
}

/* --- rocksdb --------------------------------------------------------------------------------- */

static mayyield int open_rocksdb(void *arg, uint64_t seed, struct kv **ret_kv)
{
	struct kv_rocksdb_options options = {
		.memtable_bytes = 256 * 1024, .cache_bytes = 64 * 1024};
	static unsigned number;
	char path[128];

	(void)seed;
	snprintf(path, sizeof path, "%s/%u", (const char *)arg, number++);
	return kv_open_rocksdb(path, &options, ret_kv);
}

TEST(kv, rocksdb)
{
	struct contract_engine e = {.name = "rocksdb",
		.latches = true,
		.loops = 2,
		.open_kv = open_rocksdb,
		.arg = (void *)test_folder(),
		.fibers = 16,
		.rounds = 100};

	contract_run(&e, test_number("SEED", 1));
}

/* --- postgres -------------------------------------------------------------------------------- */

static mayyield int open_postgres(void *arg, uint64_t seed, struct kv **ret_kv)
{
	static unsigned number;
	struct kv_postgres_options options = {0};
	char conninfo[PG_CONNINFO_MAX], table[32];

	(void)seed;
	pg_conninfo(arg, conninfo);
	snprintf(table, sizeof table, "t%u", number++);
	options.table = table;
	return kv_open_postgres(conninfo, &options, ret_kv);
}

TEST(kv, postgres)
{
	const char *folder = test_folder();
	struct contract_engine e = {.name = "postgres",
		.loops = 2,
		.open_kv = open_postgres,
		.arg = (void *)folder,
		.fibers = 6,
		.rounds = 12};
	pid_t pid;

	if (!pg_installed())
		return;
	pid = pg_start(folder);
	if (EXPECT(pid > 0))
		contract_run(&e, test_number("SEED", 1));
	pg_stop(pid);
}
