/*
 * The workloads of the simulation; each says in its file what must hold.
 */
#ifndef TEST_SIM_WORKLOADS_H
#define TEST_SIM_WORKLOADS_H

#include "test/sim/world.h"

void workload_chain(struct world *w);
void workload_tables(struct world *w);
void workload_store(struct world *w);
void workload_server(struct world *w);

#endif
