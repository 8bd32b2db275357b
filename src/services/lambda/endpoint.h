/*
 * A function's own way to the server: http://127.0.0.1:4566 inside its container.
 *
 * Requests are served by the server's front with the trust of this listener: what is not signed by
 * a key of cirrus acts as the function's role (DESIGN section 2), found anew for each request so
 * that a changed policy acts at once.
 */
#ifndef SERVICES_LAMBDA_ENDPOINT_H
#define SERVICES_LAMBDA_ENDPOINT_H

#include "base/attr.h"

struct instance;
struct lambda_service;
struct rt_listener;

/* At start, from a fiber. */
must_use int endpoint_open(struct lambda_service *s) mayyield;
/* Takes over the container's listening socket. */
must_use int endpoint_listen(
	struct instance *i, int fd, struct rt_listener **ret_listener) mayyield;

#endif
