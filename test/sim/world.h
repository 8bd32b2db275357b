/*
 * The server in one thread from one seed: simulated runtime, and a memory store behind the fault
 * twin that outlives servers. What runs on it is one of two kinds: DynamoDB behind the gate, called
 * in process with real signatures, which is the fast way to many steps (service.c); or the whole
 * server of node.h, reached over the simulated network (server_world.h). What happened is kept by
 * the workloads and checked at the end of each seed. Used by `make sim`.
 */
#ifndef TEST_SIM_WORLD_H
#define TEST_SIM_WORLD_H

#include "base/arena.h"
#include "rt/rt.h"

struct http_header;
struct kv_fault_options;
struct sigv4_request;

struct kv;
struct world;

enum { WORLD_LIVES = 4 };

/* What runs on the store, and is started anew after each crash. */
struct world_kind {
	unsigned loops;
	unsigned resets_per_million; /* of the network, for every other seed */
	/* Before rt_run(): as many as there are lives. */
	void *(*make)(struct world *w);
	/* From now on requests are answered. */
	void (*live)(struct world *w, void *life) mayyield;
	/* No commit succeeds any more. Nobody is answered after it. */
	void (*die)(struct world *w, void *life) mayyield;
	void (*free)(void *life);
	void (*end)(struct world *w); /* after all lives; NULL: nothing is left over */
};
extern const struct world_kind world_service, world_server;

struct world {
	uint64_t seed;
	const struct world_kind *kind;
	struct rt *rt;
	struct kv *kv;
	void *lives[WORLD_LIVES];
	unsigned life;
	bool down;               /* crashed: nobody answers */
	unsigned inside;         /* requests that are being answered, of the kind "service" */
	struct rt_event emptied; /* none is left */
	char folder[64];         /* of the kind "server": for files */
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

/* One of 0 .. below-1. */
static inline unsigned any(unsigned below)
{
	return (unsigned)(rt_random() % below);
}

/* A pause, cut short at the end of the world. */
static inline mayyield void nap(int64_t ms)
{
	int rc = rt_sleep_until(rt_after_ms(ms));

	(void)rc;
}

/* One workload: runs its clients to their end and checks what they saw. In a fiber. */
typedef void world_workload(struct world *w);

/*
 * Builds a world, runs the workload in it and takes it apart. Returns the number of failures;
 * *ret_trace: the same for the same seed.
 */
unsigned world_run(uint64_t seed, const struct world_kind *kind, world_workload *workload,
	uint64_t *ret_trace);

/* Of the kind "service": sends one signed DynamoDB request. Suspends. */
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

/*
 * Signs for us-east-1 at the time that it is: appends X-Amz-Date and Authorization to the headers,
 * which have room for them. Host, and X-Amz-Target where it is there, are the only others signed.
 */
struct world_signature {
	str access_key, secret, service;
};
void world_sign(struct arena *a, const struct world_signature *by, struct sigv4_request *request,
	struct http_header *headers, str body);

/* Records a broken promise. */
void world_fail(struct world *w, const char *format, ...) printf_like(2, 3);

/* What the seed injects. */
struct kv_fault_options world_faults(const struct world *w);
/* Switches injected faults off, for the last look. */
void world_calm(struct world *w);

#endif
