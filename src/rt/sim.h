/*
 * Options of the simulated runtime (RT_SIMULATED) and what tests ask of it.
 *
 * One thread plays all loops. A virtual clock stands still while something can run and jumps to the
 * next timer when nothing can. Which fiber, message or timer runs next, how long pool jobs and the
 * network take, how reads and writes are split, and when connections break, follows from the seed:
 * two runs with one seed are equal (rt_sim_trace()). Addresses are names; nothing leaves the
 * process.
 *
 * Not simulated: descriptors (rt_stream_adopt, rt_fd_wait, messages with descriptors) and files,
 * which are the real ones, used in pool jobs.
 */
#ifndef RT_SIM_H
#define RT_SIM_H

#include "rt/rt.h"

struct rt_sim_options {
	int64_t delay_ns_min, delay_ns_max; /* of the network, one way; 0: 20 us to 2 ms */
	int64_t job_ns_min, job_ns_max;     /* of pool jobs; 0: 10 us to 5 ms */
	unsigned resets_per_million;        /* chance that a segment breaks its connection */
	bool whole;                         /* reads and writes are not split at random */
	size_t window_bytes;                /* on the way and unread, per direction; 0: 64 KiB */
	int64_t time_ns_max;                /* rt_run() gives up after that; 0: 1,000 hours */
};

/* A hash of everything that has run, in order, with its times. */
uint64_t rt_sim_trace(const struct rt *rt);
/* Steps run so far. */
uint64_t rt_sim_steps(const struct rt *rt);

#endif
