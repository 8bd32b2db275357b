/*
 * Who serves a Host: deployed APIs, function URLs, buckets, distributions.
 *
 *     {id}.<label>.<anything on an allowed suffix>      r4nd0m.execute-api.us-east-1.localhost
 *     /_aws/<label>/{id}/<rest>                         for clients that cannot set or resolve
 * hosts
 *
 * The front asks each registered port by its label; such requests do not pass the gate: what they
 * need (signatures, CORS, keys) is the owner's configuration.
 */
#ifndef AWS_PORTS_HOSTS_H
#define AWS_PORTS_HOSTS_H

#include "aws/ports/ports.h"
#include "base/str.h"

struct gate_trust;
struct http_exchange;

struct host_match {
	str id;     /* "r4nd0m" */
	str region; /* named by the host, or the default */
	str path;   /* what is left, raw, beginning with '/' */
	str host;   /* the Host header as it came */
	bool by_path;
	/* Of the listener: who signs with a key that nobody issued acts as it says. */
	const struct gate_trust *trust;
};

struct port_host {
	const char *label; /* "execute-api", "lambda-url" */
	void *self;
	/* Answers the exchange, always. Runs in the request's fiber. */
	void (*serve)(void *self, struct http_exchange *x, const struct host_match *match) mayyield;
};

/* At start. More than PORT_HOSTS_MAX, or a label twice, is our own bug. */
void port_host_add(struct ports *ports, const struct port_host *host);

#endif
