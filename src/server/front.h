/*
 * What every HTTP request meets first, on the public port and on containers' endpoint sockets:
 *
 *     /_cirrus/..., /_localstack/health            our own pages (admin.h)
 *     {id}.{label}.<suffix>, /_aws/{label}/{id}/   deployed APIs and the like (aws/ports/hosts.h)
 *     everything else                              the gate: the services' APIs
 *
 * Runs in the request's fiber on any loop; read-only after start.
 */
#ifndef SERVER_FRONT_H
#define SERVER_FRONT_H

#include "aws/gate.h"

struct front;
struct http_exchange;

struct front_options {
	struct gate *gate;
	const struct ports *ports;
	const str *host_suffixes; /* beyond localhost and localhost.localstack.cloud */
	size_t host_suffix_count;
	str region_default;
	/* Open mode: our own pages are only for hosts that a page from elsewhere cannot have. */
	bool open;
	/* Answers our own pages: true when the path was one of them. */
	bool (*own_page)(void *arg, struct http_exchange *x) mayyield;
	void *own_page_arg;
};

struct front *front_new(const struct front_options *options);
void front_free(struct front *f);
/* Answers the exchange, always. */
mayyield void front_serve(struct front *f, struct http_exchange *x, const struct gate_trust *trust);

#endif
