/*
 * API Gateway, HTTP APIs (apigatewayv2): the control plane, and the serving of deployed APIs.
 *
 * The control plane keeps APIs, routes, integrations, stages and deployments in the key-value
 * store; its operations are rows for the gate. Deployed APIs are reached through the hosts port
 * ("execute-api", by host or by path). What a stage serves is compiled once into an immutable
 * snapshot, kept per loop and found without a storage read (execute.c).
 *
 * Start:   apigateway_service_new() before rt_run(), because it takes a loop slot; gate_register()
 *          with apigateway_service_rows(); apigateway_service_start() in a fiber once the store is
 *          open. End: apigateway_service_stop(), then apigateway_service_free() after rt_run().
 *
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api.html
 */
#ifndef SERVICES_APIGATEWAY_APIGATEWAY_H
#define SERVICES_APIGATEWAY_APIGATEWAY_H

#include "base/str.h"

#include <stddef.h>

struct apigateway;
struct kv;
struct ports;
struct rt;
struct rt_address;
struct rt_tls;
struct service;

struct apigateway_options {
	struct rt *rt;
	struct ports *ports; /* "execute-api" is added to its hosts; invoke, log, metric are used */
	/*
	 * Open mode: a function without any resource policy may be called by the APIs of its own
	 * account, and a role that IAM does not know does not restrict (DESIGN section 2).
	 */
	bool open;
	/* ApiEndpoint is {scheme}://{api-id}.execute-api.{region}.{suffix}: "localhost:4566". */
	str endpoint_suffix;
	bool endpoint_secure; /* https */
	/*
	 * Addresses we listen on (an unspecified one stands for every local address on its port).
	 * An HTTP integration never connects to them: a public API must not reach our own endpoint
	 * as if from loopback. Borrowed for the service's life.
	 */
	const struct rt_address *own;
	size_t own_count;
	struct rt_tls *tls; /* for https integrations; NULL: they are refused when created */
	str server_address; /* our address in the Forwarded header; empty: "cirrus" */
};

must_use int apigateway_service_new(
	const struct apigateway_options *options, struct apigateway **ret_gateway);
/* The store from now on; until then requests answer 503. From a fiber. */
must_use mayyield int apigateway_service_start(struct apigateway *gateway, struct kv *kv);
/* The store is about to be closed: requests answer 503 from now on. NULL is fine. */
void apigateway_service_stop(struct apigateway *gateway);
/* After rt_run(). NULL is fine. */
void apigateway_service_free(struct apigateway *gateway);
/* For gate_register(). Lives as long as the service. */
const struct service *apigateway_service_rows(const struct apigateway *gateway);

#endif
