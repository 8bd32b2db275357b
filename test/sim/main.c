/*
 * The simulation's program: sim [FIRST SEED] [HOW MANY] [WORKLOAD] [1: show traces]. Runs every
 * workload, or the one named, for each seed; the same seed gives the same run, which is tried with
 * the first. Prints failures with their seed and ends with "N passed, N failed", where each seed of
 * a workload counts as one.
 */
#include "base/log.h"
#include "test/sim/workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	const struct world_kind *kind;
	world_workload *run;
	unsigned every; /* it runs for each so many-th seed */
} workloads[] = {
	{"chain", &world_service, workload_chain, 1},
	{"tables", &world_service, workload_tables, 1},
	{"store", &world_service, workload_store, 1},
	{"server", &world_server, workload_server, 1},
};

/* Injected faults are logged by the thousand; what counts is what clients see. */
static void be_quiet(enum log_level level, str line)
{
	(void)level, (void)line;
}

static bool run(size_t i, uint64_t seed, bool verbose, bool twice)
{
	uint64_t trace, again;
	unsigned failures = world_run(seed, workloads[i].kind, workloads[i].run, &trace);

	if (verbose)
		printf("%s %llu: %016llx\n", workloads[i].name, (unsigned long long)seed,
			(unsigned long long)trace);
	if (twice) {
		failures += world_run(seed, workloads[i].kind, workloads[i].run, &again);
		if (trace != again) {
			fprintf(stderr, "seed %llu ran in two ways\n", (unsigned long long)seed);
			failures++;
		}
	}
	if (failures)
		fprintf(stderr,
			"workload %s, again with: make sim SEED=%llu ROUNDS=1 WORKLOAD=%s\n",
			workloads[i].name, (unsigned long long)seed, workloads[i].name);
	return failures == 0;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 100;
	unsigned passed = 0, failed = 0;

	const char *only = argc > 3 && *argv[3] ? argv[3] : NULL;
	bool verbose = argc > 4 && strcmp(argv[4], "1") == 0;

	log_set_sink(be_quiet);
	for (uint64_t seed = first; seed < first + count; seed++) {
		for (size_t i = 0; i < ARRAY_SIZE(workloads); i++) {
			if (only ? strcmp(only, workloads[i].name) != 0
				 : seed % workloads[i].every != 0)
				continue;
			/* The first seed runs twice: it must be the same run. */
			if (run(i, seed, verbose, seed == first))
				passed++;
			else
				failed++;
		}
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}
