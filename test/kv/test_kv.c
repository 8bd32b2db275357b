/*
 * Runs the contract suite on the engines, and what belongs to one engine only.
 */
#include "base/mem.h"
#include "kv/record.h"
#include "test/kv/contract.h"

#include <stdio.h>
#include <stdlib.h>

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

/* --- simulation ------------------------------------------------------------------------------ */

/* SEED=n replays one seed; SEEDS=n runs more of them. */
static void simulate(struct contract_engine *e, unsigned long seeds)
{
	unsigned long first = test_number("SEED", 0);

	e->simulated = test_number("SIMULATED", 1);
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
