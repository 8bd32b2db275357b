/*
 * The simulation's program: sim [FIRST SEED] [HOW MANY]. Runs every workload for each seed; the
 * same seed gives the same run. Prints failures with their seed and ends with "N passed, N failed",
 * where each seed of a workload counts as one.
 */
#include "base/log.h"
#include "test/sim/workloads.h"

#include <stdio.h>
#include <stdlib.h>

/* Injected faults are logged by the thousand; what counts is what clients see. */
static void be_quiet(enum log_level level, str line)
{
	(void)level, (void)line;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		world_workload *run;
	} workloads[] = {{"chain", workload_chain}, {"tables", workload_tables}};
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 100;
	unsigned passed = 0, failed = 0;

	log_set_sink(be_quiet);
	for (uint64_t seed = first; seed < first + count; seed++) {
		for (size_t i = 0; i < ARRAY_SIZE(workloads); i++) {
			if (world_run(seed, workloads[i].run)) {
				fprintf(stderr,
					"workload %s, again with: make sim SEED=%llu ROUNDS=1\n",
					workloads[i].name, (unsigned long long)seed);
				failed++;
			} else {
				passed++;
			}
		}
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}
