/*
 * One server without its process: services, gate, front, HTTP server and pages, on a runtime and a
 * store that are given. The worker runs one on the real runtime and RocksDB (worker.c), the
 * simulation several, one after another, on the simulated runtime and a store that outlives them.
 *
 * Made before rt_run(); started, drained and stopped from a fiber of loop 0. Everything that it
 * builds is read-only for the other loops once they accept requests.
 */
#ifndef SERVER_NODE_H
#define SERVER_NODE_H

#include "aws/gate.h"
#include "rt/stream.h"

struct kv;
struct node;
struct options;
struct rt;
struct services;

struct node_options {
	const struct options *options;      /* outlives the node */
	const char *data_folder;            /* absolute */
	bool strict;                        /* signed requests only */
	bool loopback;                      /* nobody from elsewhere reaches the listeners */
	unsigned crashes;                   /* of servers before this one, for the health page */
	const uint8_t *url_key;             /* 32 bytes, outlive the node */
	void (*random)(void *to, size_t n); /* of requests' ids; any thread */
};

/* Before rt_run(). What was built before an error is freed by node_free(*ret_node). */
must_use int node_new(struct rt *rt, const struct node_options *options, struct node **ret_node);
/* First: begins to connect to the launcher (-1: functions cannot run); node_stop() ends it. */
must_use int node_open_sandbox(struct node *n, int launcher_fd);
/* Starts the services on the store, which outlives the node. */
must_use mayyield int node_start(struct node *n, struct kv *kv);
/* Accepts requests from now on. As http_server_listen(). */
must_use mayyield int node_listen(struct node *n, const struct rt_listen_options *listen);
/* The address that is listened on, as text in the arena; "?" before. */
str node_address(const struct node *n, struct arena *a);
struct services *node_services(struct node *n);
/* Lets requests end until the deadline: how many were cut. Nothing is accepted any more. */
mayyield int node_drain(struct node *n, int64_t deadline);
/* After node_drain(), and also when the start has failed. The store can be closed then. */
mayyield void node_stop(struct node *n, int64_t deadline);
/* After rt_run(). NULL: nothing. */
void node_free(struct node *n);

#endif
