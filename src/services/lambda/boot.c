/*
 * From a function to the container of one instance: code and layers unpacked and pinned, its
 * environment and credentials, a pooled container or a fresh one; and for functions with external
 * extensions the two steps of their start.
 */
#include "services/lambda/boot.h"

#include "base/check.h"
#include "services/lambda/credentials.h"
#include "services/lambda/environment.h"
#include "services/lambda/extension.h"
#include "services/lambda/image_boot.h"
#include "services/lambda/instance.h"
#include "services/lambda/java_archive.h"
#include "services/lambda/log_feed.h"
#include "services/lambda/service.h"
#include "services/lambda/snapshot.h"

#include <stdio.h>

enum {
	MEMORY_OVERHEAD_MIB = 16, /* PID 1 and page tables, beyond the function's own */
	COMPANION_NAME_BYTES_MAX = 128,
	HEAP_PERCENT = 80
};

#define MIB (UINT64_C(1024) * 1024)

static const struct function *boot_function(const struct instance *i)
{
	return &i->function->function;
}

/* Credentials of the function's role, or stand-ins that the endpoint knows the function by. */
static int credentials(struct instance *i, struct arena *a, struct environment_facts *facts,
	struct sandbox_error *error)
{
	const struct function *f = boot_function(i);
	bool strict = i->service->options.auth_strict;
	struct credentials_values v = {f->account, STR("none"), STR("none")};
	int rc = credentials_get(i->service->credentials, a, f, &v);

	if (rc == ERR_NOT_FOUND && strict)
		snprintf(error->text, sizeof(error->text), "the role %.*s does not exist",
			STR_ARG(f->role));
	if (rc < 0 && (rc != ERR_NOT_FOUND || strict))
		return rc;
	facts->access_key = v.access_key;
	facts->secret_key = v.secret_key;
	facts->session_token = v.session_token;
	return 0;
}

static struct sandbox_limits limits_of(const struct instance *i)
{
	const struct function *f = boot_function(i);
	/* A process that becomes a snapshot writes it to /tmp first. */
	uint64_t memory_mb = i->snapshotting ? 2 * (uint64_t)f->memory_mb : f->memory_mb;

	return (struct sandbox_limits){
		.memory_bytes = (memory_mb + MEMORY_OVERHEAD_MIB) * MIB,
		.cpu_millis = 0, /* all there is while it initialises, as at AWS */
		.tmp_bytes = f->ephemeral_mb * MIB,
	};
}

static struct sandbox_assign assignment(const struct boot *b)
{
	return (struct sandbox_assign){
		.mounts = b->mounts, /* without the runtime's, which are there already */
		.mount_count = b->mount_count,
		.limits = limits_of(b->instance),
		.argv = b->launch.argv,
		.argc = b->launch.argc,
		.environment = b->environment,
		.environment_count = b->environment_count,
		.working_folder = STR("/var/task"),
	};
}

static int boot_pooled(struct boot *b, struct sandbox_container *c)
{
	struct instance *i = b->instance;
	struct sandbox_assign assign = assignment(b);
	int rc = sandbox_assign(c, &assign, b->deadline, &b->error);

	if (rc < 0) {
		sandbox_container_free(c);
		return rc;
	}
	lambda_count(&i->service->counters.pooled_starts);
	i->container = c;
	i->pooled = true;
	return 0;
}

static int boot_fresh(struct boot *b)
{
	struct instance *i = b->instance;
	struct sandbox_spec spec = {
		.mounts = b->mounts,
		.mount_count = b->mount_count + b->launch.mount_count,
		.limits = limits_of(i),
		.argv = b->launch.argv,
		.argc = b->launch.argc,
		.environment = b->environment,
		.environment_count = b->environment_count,
		.working_folder = STR("/var/task"),
		.pipe_count = b->launch.pipe_count,
	};

	memcpy(spec.pipes, b->launch.pipes, sizeof(b->launch.pipes));
	if (b->companion_count) {
		/* The runtime comes later: boot_runtime(). */
		spec.pooled = true;
		spec.argc = 0;
		spec.companions = b->companions;
		spec.companion_count = b->companion_count;
		spec.environment = environment_of_extensions(
			b->arena, b->environment, b->environment_count, &spec.environment_count);
		spec.pipes[spec.pipe_count++] = SANDBOX_COMPANION_PIPE;
	}
	return sandbox_start(i->service->sandbox, &spec, b->deadline, &i->container, &b->error);
}

/* Layers of the function, unpacked, as mounts on /opt. */
static int pin_layers(struct boot *b)
{
	struct instance *i = b->instance;
	struct code_store *store = i->service->code;
	const struct function *f = boot_function(i);

	b->needs_exec = environment_needs_exec(f->variables, f->variable_count);
	for (uint32_t k = 0; k < f->layer_count; k++) {
		TRY(code_pin(store, f->layers[k].hex, b->deadline, &i->layers[k]));
		TRY(code_ensure(store, i->layers[k], b->deadline, &b->error));
		b->mounts[1 + k] = (struct sandbox_mount){
			SANDBOX_FROM_DATA, code_tree_path(i->layers[k]), STR("/opt")};
		/* The loader looks once which folders of LD_LIBRARY_PATH there are. */
		b->needs_exec |= TRY(code_has_file(store, i->layers[k], "lib", b->deadline))
		> 0;
		if (f->runtime->family == RUNTIME_PROVIDED && !b->in_layer)
			b->in_layer =
				TRY(code_has_file(store, i->layers[k], "bootstrap", b->deadline))
		> 0 && TRY(code_has_file(store, i->pin, "bootstrap", b->deadline))
		== 0;
	}
	return 0;
}

/* A bootstrap that is in a layer only; a wrapper script before a runtime's own program. */
static void choose_program(struct boot *b)
{
	const struct function *f = boot_function(b->instance);
	str *argv = arena_new_array(b->arena, str, b->launch.argc + 1);

	if (b->in_layer) {
		argv[0] = STR("/opt/bootstrap");
		b->launch.argv = argv;
		return;
	}
	for (uint32_t k = 0; k < f->variable_count && f->runtime->family != RUNTIME_PROVIDED; k++)
		if (str_eq(f->variables[k].name, STR("AWS_LAMBDA_EXEC_WRAPPER")) &&
			f->variables[k].value.n) {
			argv[0] = f->variables[k].value;
			memcpy(argv + 1, b->launch.argv, b->launch.argc * sizeof(str));
			b->launch.argv = argv;
			b->launch.argc++;
			return;
		}
}

/* Does the function choose its machine's class data itself? The command line would win. */
static bool shares_itself(const struct function *f)
{
	for (uint32_t k = 0; k < f->variable_count; k++)
		if (str_eq(f->variables[k].name, STR("JAVA_TOOL_OPTIONS")) &&
			(str_find_str(f->variables[k].value, STR("SharedArchiveFile")) >= 0 ||
				str_find_str(f->variables[k].value, STR("-Xshare")) >= 0))
			return true;
	return false;
}

/* The first arguments of a Java machine: the heap's part of the function's memory, and what our
 * runtime's classes are mapped from. */
static void choose_machine(struct boot *b)
{
	const struct function *f = boot_function(b->instance);
	str *argv = arena_new_array(b->arena, str, b->launch.argc + 2), path;
	unsigned n = 0;

	if (f->runtime->family != RUNTIME_JAVA)
		return;
	argv[n++] = b->launch.argv[0];
	argv[n++] = arena_printf(b->arena, "-Xmx%um", f->memory_mb * HEAP_PERCENT / 100);
	if (!shares_itself(f) &&
		java_archive_path(b->instance->service->java_archive, b->arena, &path))
		argv[n++] = ARENA_CONCAT(b->arena, STR("-XX:SharedArchiveFile="), path);
	memcpy(argv + n, b->launch.argv + 1, (b->launch.argc - 1) * sizeof(str));
	b->launch.argv = argv;
	b->launch.argc += n - 1;
}

/* External extensions: the files of /opt/extensions, where later layers hide earlier ones. */
static int find_companions(struct boot *b)
{
	struct instance *i = b->instance;
	str names[SANDBOX_COMPANIONS_MAX];

	b->companions = arena_new_array(b->arena, str, SANDBOX_COMPANIONS_MAX);
	for (uint32_t k = 0; k < boot_function(i)->layer_count; k++) {
		int n = code_list_files(i->service->code, i->layers[k], "extensions", b->arena,
			names, SANDBOX_COMPANIONS_MAX, b->deadline);

		for (int j = 0; j < n; j++) {
			str path = ARENA_CONCAT(b->arena, STR(EXTENSIONS_FOLDER), names[j]);
			uint32_t at = 0;

			while (at < b->companion_count && !str_eq(b->companions[at], path))
				at++;
			if (at < b->companion_count)
				continue;
			if (at == SANDBOX_COMPANIONS_MAX)
				n = ERR_TOO_LARGE;
			else if (names[j].n > COMPANION_NAME_BYTES_MAX)
				n = ERR_INVALID;
			else
				b->companions[b->companion_count++] = path;
		}
		if (n == ERR_TOO_LARGE || n == ERR_INVALID)
			snprintf(b->error.text, sizeof(b->error.text),
				"the layers have more than %d extensions, or one with a name of "
				"more "
				"than %d bytes",
				SANDBOX_COMPANIONS_MAX, COMPANION_NAME_BYTES_MAX);
		TRY(n);
	}
	if (b->companion_count) {
		b->needs_exec = true;
		i->extensions = extensions_new(b->companions, b->companion_count);
	}
	return 0;
}

/* Does it go on from a snapshot? One that is missing is made beside it. */
static bool find_snapshot(struct boot *b)
{
	struct instance *i = b->instance;
	const struct function *f = boot_function(i);
	str folder;

	if (!function_snaps(f) || i->snapshotting || b->companion_count)
		return false;
	if (!snapshot_folder(i->service->snapshots, b->arena, f, &folder)) {
		if (f->snap_start == SNAP_START_ON)
			snapshot_begin(i->service, f);
		return false;
	}
	b->mounts[b->mount_count++] =
		(struct sandbox_mount){SANDBOX_FROM_DATA, folder, STR("/var/snapshot")};
	i->restored = true;
	return true;
}

int boot_container(struct boot *b)
{
	struct instance *i = b->instance;
	struct lambda_service *s = i->service;
	const struct function *f = boot_function(i);
	struct environment_facts facts = {.log_stream = log_feed_stream(i->feed),
		.provisioned = i->provisioned,
		.snapshot = i->snapshotting};
	struct sandbox_container *pooled = NULL;
	const struct lambda_runtime *runtime = f->runtime;
	int rc = service_await_sandbox(s, b->deadline);

	if (rc == ERR_UNSUPPORTED)
		memcpy(b->error.text, s->sandbox_why, sizeof(b->error.text));
	TRY(rc);
	TRY(credentials(i, b->arena, &facts, &b->error));
	if (function_is_image(f)) {
		struct sandbox_limits limits = limits_of(i);

		b->launch.pipe_count = 1;
		i->started_ns = rt_now();
		return image_start(s, b->arena, f, &facts, &limits, b->deadline, &i->image,
			&i->container, &b->error);
	}
	TRY(code_pin(s->code, f->code_hex, b->deadline, &i->pin));
	TRY(code_ensure(s->code, i->pin, b->deadline, &b->error));
	b->environment = environment_build(b->arena, f, &facts, &b->environment_count);
	b->mounts[0] =
		(struct sandbox_mount){SANDBOX_FROM_DATA, code_tree_path(i->pin), STR("/var/task")};
	TRY(pin_layers(b));
	TRY(find_companions(b));
	b->mount_count = 1 + f->layer_count;
	/* What acts when a program is executed has acted when the snapshot was made. */
	if (find_snapshot(b)) {
		runtime = lambda_runtime_snapshot();
		b->needs_exec = false;
	}
	b->launch = runtime_launch(s, b->arena, runtime);
	choose_machine(b);
	if (!i->restored)
		choose_program(b);
	memcpy(b->mounts + b->mount_count, b->launch.mounts,
		b->launch.mount_count * sizeof(b->mounts[0]));
	if (f->ephemeral_mb == 512 && !b->needs_exec && runtime_pools(runtime))
		pooled = pool_take(s->pool, runtime);
	i->started_ns = rt_now();
	if (!pooled || boot_pooled(b, pooled) < 0)
		TRY(boot_fresh(b));
	return 0;
}

int boot_runtime(struct boot *b)
{
	struct sandbox_assign assign = assignment(b);

	assign.mount_count = 0;
	return sandbox_assign(b->instance->container, &assign, b->deadline, &b->error);
}
