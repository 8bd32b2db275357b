/*
 * Tables of variables, and putting them together.
 */
#include "services/lambda/environment.h"

#include "base/check.h"
#include "services/lambda/image.h"

enum { FIXED_MAX = 8, OWN_MAX = 24 };

struct environment {
	struct arena *arena;
	str *items;
	uint32_t n, capacity;
};

/* A later value replaces an earlier one. */
static void set(struct environment *e, str name, str value)
{
	str text = ARENA_CONCAT(e->arena, name, STR("="), value);

	for (uint32_t i = 0; i < e->n; i++)
		if (str_starts(e->items[i], str_sub(text, 0, name.n + 1))) {
			e->items[i] = text;
			return;
		}
	check(e->n < e->capacity);
	e->items[e->n++] = text;
}

static void set_fixed(struct environment *e, const struct lambda_runtime *runtime)
{
	str version = runtime->name; /* nodejs22.x -> node22 */

	set(e, STR("LANG"), STR("en_US.UTF-8"));
	set(e, STR("TZ"), STR(":UTC"));
	set(e, STR("PATH"), STR("/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"));
	set(e, STR("LD_LIBRARY_PATH"),
		STR("/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:"
		    "/var/task/lib:/opt/lib"));
	if (runtime->family == RUNTIME_NODE) {
		ptrdiff_t dot = str_find(version, '.');

		version = str_sub(version, 6, dot < 6 ? 0 : (size_t)dot - 6);
		set(e, STR("NODE_PATH"),
			ARENA_CONCAT(e->arena, STR("/opt/nodejs/node"), version,
				STR("/node_modules:/opt/nodejs/node_modules:/var/runtime/"
				    "node_modules:/var/runtime:/var/task")));
	}
	if (runtime->family == RUNTIME_RUBY) {
		version = str_from(version, 4); /* ruby3.3 -> 3.3 */
		set(e, STR("RUBYLIB"), STR("/var/task:/var/runtime/lib:/opt/ruby/lib"));
		set(e, STR("GEM_PATH"),
			ARENA_CONCAT(e->arena, STR("/var/task/vendor/bundle/ruby/"), version,
				STR(".0:/opt/ruby/gems/"), version, STR(".0")));
	}
	if (runtime->family == RUNTIME_PYTHON)
		set(e, STR("PYTHONPATH"), STR("/var/runtime"));
}

static void set_own(
	struct environment *e, const struct function *f, const struct environment_facts *facts)
{
	set(e, STR("_HANDLER"), f->handler);
	set(e, STR("LAMBDA_TASK_ROOT"), STR("/var/task"));
	set(e, STR("LAMBDA_RUNTIME_DIR"), STR("/var/runtime"));
	set(e, STR("AWS_REGION"), f->region);
	set(e, STR("AWS_DEFAULT_REGION"), f->region);
	set(e, STR("AWS_LAMBDA_FUNCTION_NAME"), f->name);
	set(e, STR("AWS_LAMBDA_FUNCTION_VERSION"), f->version);
	set(e, STR("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), arena_printf(e->arena, "%u", f->memory_mb));
	set(e, STR("AWS_LAMBDA_INITIALIZATION_TYPE"),
		facts->provisioned  ? STR("provisioned-concurrency")
		: function_snaps(f) ? STR("snap-start")
				    : STR("on-demand"));
	if (facts->snapshot)
		set(e, STR("_CIRRUS_SNAPSHOT"), STR("1"));
	set(e, STR("AWS_LAMBDA_LOG_GROUP_NAME"), f->log_group);
	set(e, STR("AWS_LAMBDA_LOG_STREAM_NAME"), facts->log_stream);
	if (function_logs_json(f)) {
		set(e, STR("AWS_LAMBDA_LOG_FORMAT"), STR("JSON"));
		set(e, STR("AWS_LAMBDA_LOG_LEVEL"),
			f->application_level.n ? f->application_level : STR("INFO"));
	} else {
		set(e, STR("AWS_LAMBDA_LOG_FORMAT"), STR("Text"));
	}
	set(e, STR("AWS_LAMBDA_RUNTIME_API"), STR("127.0.0.1:9001"));
	set(e, STR("AWS_ACCESS_KEY_ID"), facts->access_key);
	set(e, STR("AWS_SECRET_ACCESS_KEY"), facts->secret_key);
	if (facts->session_token.p)
		set(e, STR("AWS_SESSION_TOKEN"), facts->session_token);
	/* No daemon listens there: what is sent is lost, as segments are without one. */
	set(e, STR("AWS_XRAY_CONTEXT_MISSING"), STR("LOG_ERROR"));
	set(e, STR("AWS_XRAY_DAEMON_ADDRESS"), STR("127.0.0.1:2000"));
	set(e, STR("AWS_ENDPOINT_URL"), STR("http://127.0.0.1:4566"));
	if (f->runtime->family != RUNTIME_PROVIDED && f->runtime->family != RUNTIME_IMAGE) {
		set(e, STR("AWS_EXECUTION_ENV"),
			ARENA_CONCAT(e->arena, STR("AWS_Lambda_"), f->runtime_name));
		set(e, STR("_LAMBDA_TELEMETRY_LOG_FD"),
			arena_printf(e->arena, "%d", ENVIRONMENT_TELEMETRY_FD));
	}
}

const str *environment_build(struct arena *a, const struct function *f,
	const struct environment_facts *facts, uint32_t *ret_count)
{
	struct environment e = {.arena = a, .capacity = FIXED_MAX + OWN_MAX + f->variable_count};

	e.items = arena_new_array(a, str, e.capacity);
	set_fixed(&e, f->runtime);
	set_own(&e, f, facts);
	for (uint32_t i = 0; i < f->variable_count; i++)
		set(&e, f->variables[i].name, f->variables[i].value);
	*ret_count = e.n;
	return e.items;
}

const str *environment_image(struct arena *a, const struct function *f,
	const struct function_image *image, const struct environment_facts *facts,
	uint32_t *ret_count)
{
	struct environment e = {.arena = a,
		.capacity = FIXED_MAX + OWN_MAX + f->variable_count + image->environment.count};

	e.items = arena_new_array(a, str, e.capacity);
	set(&e, STR("TZ"), STR(":UTC"));
	for (uint32_t i = 0; i < image->environment.count; i++) {
		str variable = image->environment.items[i];
		size_t name = (size_t)str_find(variable, '=');

		set(&e, str_sub(variable, 0, name), str_from(variable, name + 1));
	}
	set_own(&e, f, facts);
	/* What the image's own entry point is called with is the handler. */
	set(&e, STR("_HANDLER"), image->command.count ? image->command.items[0] : STR(""));
	for (uint32_t i = 0; i < f->variable_count; i++)
		set(&e, f->variables[i].name, f->variables[i].value);
	*ret_count = e.n;
	return e.items;
}

const str *environment_of_extensions(
	struct arena *a, const str *environment, uint32_t count, uint32_t *ret_count)
{
	static const str kept_back[] = {STR_INIT("_HANDLER="), STR_INIT("AWS_EXECUTION_ENV="),
		STR_INIT("AWS_LAMBDA_LOG_GROUP_NAME="), STR_INIT("AWS_LAMBDA_LOG_STREAM_NAME="),
		STR_INIT("AWS_LAMBDA_EXEC_WRAPPER="), STR_INIT("LAMBDA_RUNTIME_DIR="),
		STR_INIT("LAMBDA_TASK_ROOT="), STR_INIT("AWS_XRAY_CONTEXT_MISSING="),
		STR_INIT("AWS_XRAY_DAEMON_ADDRESS="), STR_INIT("_LAMBDA_TELEMETRY_LOG_FD=")};
	str *items = arena_new_array(a, str, count);
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++) {
		bool keep = true;

		for (size_t k = 0; k < ARRAY_SIZE(kept_back); k++)
			keep &= !str_starts(environment[i], kept_back[k]);
		if (keep)
			items[n++] = environment[i];
	}
	*ret_count = n;
	return items;
}

const str *environment_boot(
	struct arena *a, const struct lambda_runtime *runtime, uint32_t *ret_count)
{
	struct environment e = {.arena = a, .capacity = FIXED_MAX};

	e.items = arena_new_array(a, str, e.capacity);
	set_fixed(&e, runtime);
	*ret_count = e.n;
	return e.items;
}
