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

struct lambda_service;

/* At start, from a fiber. */
must_use int endpoint_open(struct lambda_service *s) mayyield;

#endif
