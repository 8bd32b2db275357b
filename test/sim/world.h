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

enum { WORLD_LIVES = 4 };

struct world {
	uint64_t seed;
	struct rt *rt;
	struct kv *kv;
	struct ports ports[WORLD_LIVES];
	struct gate *gate;
	/* The service as it is started anew after each crash; all on one store. */
	struct dynamodb *lives[WORLD_LIVES];
	unsigned life;
	/* Crashed: nobody answers. How many requests are inside, and who waits for their end. */
	bool down;
	unsigned inside;
	struct rt_event emptied;
	/* Fibers of clients that still run, and who waits for the last of them. */
	unsigned clients;
	struct rt_event clients_ended;
	unsigned failures; /* of checks, printed as they are found */
	unsigned requests;
	uint64_t trace; /* a hash of all answers, and of every step of the runtime */
};

/* An answer, its status 0 when nobody was there; the body is in the arena that was given. */
struct answer {
	unsigned status;
	str body;
};

/* One workload: runs its clients to their end and checks what they saw. In a fiber. */
typedef void world_workload(struct world *w);

/*
 * Builds a world, runs the workload in it and takes it apart. Returns the number of failures;
 * *ret_trace: the same for the same seed.
 */
unsigned world_run(uint64_t seed, world_workload *workload, uint64_t *ret_trace);

/* Sends one signed DynamoDB request. Suspends. */
mayyield struct answer world_dynamodb(
	struct world *w, struct arena *a, const char *operation, str body);
/* The same for dynamodbstreams. */
mayyield struct answer world_streams(
	struct world *w, struct arena *a, const char *operation, str body);

/*
 * Kills the service and starts it anew on the same store: what had not been committed is lost,
 * some of what had is not acknowledged, nothing that it held in memory is kept. At most
 * WORLD_LIVES - 1 times; one caller at a time.
 */
mayyield void world_crash(struct world *w);

/* Starts `fn(arg)` as a client; world_wait_clients() waits for all of them. */
void world_client(struct world *w, rt_fiber_fn *fn, void *arg);
void world_client_end(struct world *w);
void world_wait_clients(struct world *w);

/* Records a broken promise. */
void world_fail(struct world *w, const char *format, ...) printf_like(2, 3);

/* Switches injected faults off, for the last look. */
void world_calm(struct world *w);

#endif
