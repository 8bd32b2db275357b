/*
 * The services of this server: made, started, stopped and freed in the order in which they stand on
 * one another. What they have in common is in the ports; nothing else knows the list.
 */
#ifndef SERVER_SERVICES_H
#define SERVER_SERVICES_H

#include "aws/gate.h"
#include "server/options.h"

struct buf;
struct http_exchange;
struct kv;
struct rt;
struct services;

/* What listens inside every container, in the order of launcher_options.listens. */
enum {
	SERVICES_PORT_RUNTIME_API = 9001,
	SERVICES_PORT_ENDPOINT = 4566,
	SERVICES_PORT_RESOLVER = 53 /* UDP; and TCP where functions have a network */
};

enum { SERVICES_INSTANCES_MAX = 4000, SERVICES_CONTAINERS_SPARE = 100 };

/* The launcher takes this many containers and the spare ones, which are the pools'. */
static inline unsigned services_instances(const struct options *o)
{
	long n = MIN(o->function_instances, (long)SERVICES_INSTANCES_MAX);

	return (unsigned)MAX(n, 1L);
}

struct services_options {
	const struct options *options;
	const char *data_folder; /* absolute */
	bool strict;
	bool after_crash; /* of a worker, in whose place this one is */
	struct ports *ports;
	/* Serves a container's own endpoint (lambda_options.front). */
	void (*front)(void *arg, struct http_exchange *x, const struct gate_trust *trust) mayyield;
	void *front_arg;
	const uint8_t *url_key; /* 32 bytes */
};

/* Before rt_run(). */
must_use int services_new(
	struct rt *rt, const struct services_options *options, struct services **ret_services);
/* The i-th service's operations, NULL behind the last. */
const struct service *services_rows(const struct services *s, unsigned i);
/*
 * From a fiber of loop 0, first: begins to connect to the launcher (-1: there is none, functions
 * cannot run). Nothing but functions waits for it; services_stop() does too.
 */
must_use int services_open_sandbox(struct services *s, int launcher_fd);
/* From a fiber of loop 0. */
must_use mayyield int services_start(struct services *s, struct kv *kv);
/* Can containers run on this machine? 1, 0, or -1 while the launcher has not answered. */
int services_functions(const struct services *s);
/* The figures of functions, for /_cirrus/metrics. */
void services_render(const struct services *s, struct buf *out);
/* The root key of the default account: 1 when it was made now, 0 when there was one. */
must_use mayyield int services_root_key(
	struct services *s, struct arena *a, str *ret_key, str *ret_secret);
mayyield void services_stop(struct services *s, int64_t deadline);
/* After rt_run(). */
void services_free(struct services *s);

#endif
