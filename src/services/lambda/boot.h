/*
 * Making the container of an instance (instance.c). In the fiber that boots it.
 */
#ifndef SERVICES_LAMBDA_BOOT_H
#define SERVICES_LAMBDA_BOOT_H

#include "sandbox/sandbox.h"
#include "services/lambda/function.h"
#include "services/lambda/pool.h"

struct instance;

struct boot {
	struct instance *instance;
	struct arena *arena;
	int64_t deadline;
	struct sandbox_error error;
	/* private */
	struct runtime_launch launch;
	/* code, layers, snapshot, runtime */
	struct sandbox_mount mounts[2 + FUNCTION_LAYERS_MAX + RUNTIME_MOUNTS_MAX];
	unsigned mount_count; /* without the runtime's, which are last */
	const str *environment;
	uint32_t environment_count;
	str *companions; /* paths of the external extensions */
	uint32_t companion_count;
	bool in_layer;   /* the bootstrap is at /opt/bootstrap */
	bool needs_exec; /* something of the function acts when its program is executed */
};

/*
 * Everything until the container is on its way: instance->container, with its pipes and listeners
 * still to be taken. With external extensions these alone are started: instance->extensions, and
 * boot_runtime() follows when they have registered. Errors of code_ensure() and sandbox_start();
 * `error` says more.
 */
must_use int boot_container(struct boot *b) mayyield;
must_use int boot_runtime(struct boot *b) mayyield;

#endif
