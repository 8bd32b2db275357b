/*
 * The kind "server": the whole server of node.h, listening in the simulated network, and clients
 * that reach it with HTTP.
 */
#ifndef TEST_SIM_SERVER_WORLD_H
#define TEST_SIM_SERVER_WORLD_H

#include "test/sim/world.h"

#define SERVER_ADDRESS "127.0.0.1:4566"

struct http_client;

/* One call of an API, or of anything else that the server answers. */
struct server_call {
	struct world_signature by; /* access_key empty: not signed */
	const char *method, *path;
	const char *target;       /* X-Amz-Target; NULL: none */
	const char *content_type; /* NULL: application/x-amz-json-1.0 */
	str body;
};

/* For a loop's fibers. */
struct http_client *server_client(void);
void server_client_free_p(struct http_client **client);
/*
 * The answer; its status is 0 when there was none: the server was down, or the connection broke
 * before or after the request had arrived.
 */
mayyield struct answer server_send(struct world *w, struct http_client *client, struct arena *a,
	const struct server_call *call);

#endif
