/*
 * The environment of a function's processes, complete and from nothing. Pure.
 *
 * Fixed values depend on the runtime only, so that a container booted in advance has them already;
 * a function's own variables replace them by name.
 *
 * Source: Developer Guide, "Defined runtime environment variables".
 */
#ifndef SERVICES_LAMBDA_ENVIRONMENT_H
#define SERVICES_LAMBDA_ENVIRONMENT_H

#include "services/lambda/function.h"

enum { ENVIRONMENT_TELEMETRY_FD = 10 };

struct environment_facts {
	str log_stream;
	str access_key, secret_key, session_token;
	bool provisioned; /* initialised before anybody called */
	bool snapshot;    /* to be kept as a snapshot when it is initialised */
};

/* NAME=VALUE strings in the arena; *ret_count of them. */
const str *environment_build(struct arena *a, const struct function *f,
	const struct environment_facts *facts, uint32_t *ret_count);
/* What external extensions get of it: everything but what concerns the runtime alone. */
const str *environment_of_extensions(
	struct arena *a, const str *environment, uint32_t count, uint32_t *ret_count);
/* The fixed values alone: what a container is booted with in advance. */
const str *environment_boot(
	struct arena *a, const struct lambda_runtime *runtime, uint32_t *ret_count);

struct function_image;
/* The same for a container image: its own variables, beneath the platform's and the function's. */
const str *environment_image(struct arena *a, const struct function *f,
	const struct function_image *image, const struct environment_facts *facts,
	uint32_t *ret_count);

#endif
