/*
 * The server in one thread from one seed: simulated runtime, memory store behind the fault twin,
 * the gate and the services, called in process with real signatures. What happened is kept by the
 * workloads and checked at the end of each seed. Used by `make sim`.
 */
#ifndef TEST_SIM_WORLD_H
#define TEST_SIM_WORLD_H

#include "aws/gate.h"
#include "rt/rt.h"

struct kv;
struct dynamodb;

struct world {
	uint64_t seed;
	struct rt *rt;
	struct kv *kv;
	struct ports ports;
	struct gate *gate;
	struct dynamodb *dynamodb;
	/* Fibers of clients that still run, and who waits for the last of them. */
	unsigned clients;
	struct rt_event clients_ended;
	unsigned failures; /* of checks, printed as they are found */
	unsigned requests;
};

/* An answer; the body is in the arena that was given. */
struct answer {
	unsigned status;
	str body;
};

/* One workload: runs its clients to their end and checks what they saw. In a fiber. */
typedef void world_workload(struct world *w);

/* Builds a world, runs the workload in it and takes it apart. Returns the number of failures. */
unsigned world_run(uint64_t seed, world_workload *workload);

/* Sends one signed DynamoDB request. Suspends. */
struct answer world_dynamodb(struct world *w, struct arena *a, const char *operation, str body);

/* Starts `fn(arg)` as a client; world_wait_clients() waits for all of them. */
void world_client(struct world *w, rt_fiber_fn *fn, void *arg);
void world_client_end(struct world *w);
void world_wait_clients(struct world *w);

/* Records a broken promise. */
void world_fail(struct world *w, const char *format, ...) printf_like(2, 3);

/* Switches injected faults off, for the last look. */
void world_calm(struct world *w);

#endif
