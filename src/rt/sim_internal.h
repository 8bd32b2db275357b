/*
 * What the files of the simulated backend share: sim.c (scheduler) and sim_net.c (network).
 */
#ifndef RT_SIM_INTERNAL_H
#define RT_SIM_INTERNAL_H

#include "rt/internal.h"
#include "rt/sim.h"

struct sim {
	int64_t now;
	uint64_t random_state[4];
	uint64_t trace, steps;
	struct rt_sim_options options;
	struct list listeners;
	uint16_t port_last;
	uint64_t streams; /* made so far */
};

uint64_t sim_random(struct sim *sim, uint64_t below);
int64_t sim_between(struct sim *sim, int64_t min, int64_t max);
void sim_trace(struct sim *sim, uint64_t what, uint64_t which);

int sim_listen_open(const struct rt_listen_options *o, struct rt_listener *listener);
int sim_listen_start(struct rt_listener_part *part);
void sim_listen_stop(struct rt_listener_part *part);
void sim_listen_close(struct rt_listener *listener);
int sim_connect(str address, int64_t deadline, struct rt_stream **ret_stream);
int sim_resolve(
	str host, uint16_t port, int64_t deadline, struct rt_address *ret_addresses, unsigned max);
/* Frees what was still on its way when the run ended. */
void sim_net_done(struct rt *rt);
int sim_pair(struct rt_stream **ret_a, struct rt_stream **ret_b);

#endif
