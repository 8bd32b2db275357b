/*
 * The stock of booted containers and the fiber that keeps it filled.
 *
 * What a container is started with is the same pooled or not (runtime_launch()), so that a function
 * cannot tell the difference.
 */
#include "services/lambda/pool.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/rt.h"
#include "sandbox/sandbox.h"
#include "services/lambda/environment.h"
#include "services/lambda/java_archive.h"
#include "services/lambda/service.h"
#include "services/lambda/snapshot.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	STOCK_MAX = 16, /* --pool is clipped to it */
	RUNTIMES_MAX = 64,
	FILL_DEADLINE_MS = 10000,
	RETRY_MS = 1000,
	REFILL_MS = 50, /* after a take: the cold start that took it needs the processors first */
	UNUSED_MS = 900000,
	BOOT_MEMORY_MIB = 512,
	ARGUMENTS_MAX = 11
};

struct stock {
	const struct lambda_runtime *runtime;
	struct sandbox_container *ready[STOCK_MAX]; /* the one booted first at 0 */
	unsigned count;
	int64_t wanted_ns;
};

struct pool {
	struct lambda_service *service;
	pthread_mutex_t lock; /* of stocks; never held over a suspension */
	struct stock stocks[RUNTIMES_MAX];
	unsigned stock_count, target;
	_Atomic int64_t taken_ns; /* the last take */
	struct rt_event wake, stopped;
	_Atomic bool stopping;
	bool running;
};

struct runtime_launch runtime_launch(
	const struct lambda_service *s, struct arena *a, const struct lambda_runtime *runtime)
{
	struct runtime_launch l = {.pipes = {1, ENVIRONMENT_TELEMETRY_FD}, .pipe_count = 2};
	str *argv = arena_new_array(a, str, ARGUMENTS_MAX);
	struct sandbox_mount *mount = arena_new_array(a, struct sandbox_mount, RUNTIME_MOUNTS_MAX);
	str folder = str_c(s->options.runtimes_folder);

	l.argv = argv;
	l.mounts = mount;
	l.mount_count = 1;
	mount->source = SANDBOX_FROM_DATA;
	mount->target = STR("/var/runtime");
	switch (runtime->family) {
	case RUNTIME_NODE:
		argv[l.argc++] = str_c(s->options.node);
		/* One thread beside that of JavaScript is what its share of processors can use, and
		 * a thaw wakes them all. */
		argv[l.argc++] = STR("--v8-pool-size=1");
		argv[l.argc++] = STR("--no-memory-reducer");
		argv[l.argc++] = STR("/var/runtime/bootstrap.js");
		mount->path = ARENA_CONCAT(a, folder, STR("/node"));
		if (*s->options.node_modules)
			mount[l.mount_count++] = (struct sandbox_mount){SANDBOX_FROM_RUNTIME,
				str_c(s->options.node_modules), STR("/var/runtime/node_modules")};
		break;
	case RUNTIME_SNAPSHOT:
		argv[l.argc++] = STR(SNAPSHOT_RESTORE);
		argv[l.argc++] = STR(SNAPSHOT_IMAGE);
		/* What it starts when it cannot go on from the image. */
		/* fall through */
	case RUNTIME_PYTHON:
		argv[l.argc++] = str_c(s->options.python);
		argv[l.argc++] = STR("-I");
		argv[l.argc++] = STR("-S");
		argv[l.argc++] = STR("/var/runtime/bootstrap.py");
		mount->path = ARENA_CONCAT(a, folder, STR("/python"));
		break;
	case RUNTIME_RUBY:
		argv[l.argc++] = str_c(s->options.ruby);
		argv[l.argc++] = STR("--disable=did_you_mean");
		argv[l.argc++] = STR("/var/runtime/bootstrap.rb");
		mount->path = ARENA_CONCAT(a, folder, STR("/ruby"));
		break;
	case RUNTIME_JAVA: /* as AWS starts it, for a process of which there are many */
		argv[l.argc++] = str_c(s->options.java);
		argv[l.argc++] = STR("-XX:+UseSerialGC");
		argv[l.argc++] = STR("-XX:TieredStopAtLevel=1");
		argv[l.argc++] = STR("-XX:-UsePerfData");
		argv[l.argc++] = STR("-Xshare:auto");
		/* An archive that does not fit any more is no matter of the function's log. */
		argv[l.argc++] = STR("-Xlog:cds=off");
		argv[l.argc++] = STR("-Xlog:cds+dynamic=off");
		argv[l.argc++] = STR("--add-opens=java.base/java.io=ALL-UNNAMED");
		argv[l.argc++] = STR("-cp");
		argv[l.argc++] = STR("/var/runtime/runtime.jar");
		argv[l.argc++] = STR("cirrus.Runtime");
		mount->path = ARENA_CONCAT(a, folder, STR("/java"));
		break;
	case RUNTIME_PROVIDED:
	case RUNTIME_IMAGE:
	case RUNTIME_OTHER:
		argv[l.argc++] = STR("/var/task/bootstrap");
		l.mount_count = 0;
		l.pipe_count = 1;
		break;
	}
	return l;
}

bool runtime_pools(const struct lambda_runtime *runtime)
{
	return runtime->family != RUNTIME_IMAGE && runtime->family != RUNTIME_JAVA;
}

struct pool *pool_new(struct lambda_service *s)
{
	struct pool *p = mem_new(struct pool);

	p->service = s;
	p->target = MIN(s->options.pool, (unsigned)STOCK_MAX);
	pthread_mutex_init(&p->lock, NULL);
	rt_event_init(&p->wake);
	rt_event_init(&p->stopped);
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	check(!p->running);
	pthread_mutex_destroy(&p->lock);
	mem_free(p);
}

/* Under the lock. */
static struct stock *stock_of(struct pool *p, const struct lambda_runtime *runtime)
{
	for (unsigned i = 0; i < p->stock_count; i++)
		if (p->stocks[i].runtime == runtime)
			return &p->stocks[i];
	check(p->stock_count < RUNTIMES_MAX);
	p->stocks[p->stock_count].runtime = runtime;
	return &p->stocks[p->stock_count++];
}

void pool_want(struct pool *p, const struct lambda_runtime *runtime)
{
	if (runtime->family == RUNTIME_JAVA)
		java_archive_want(p->service->java_archive);
	if (!p->target || !runtime_pools(runtime))
		return;
	pthread_mutex_lock(&p->lock);
	stock_of(p, runtime)->wanted_ns = rt_now();
	pthread_mutex_unlock(&p->lock);
	rt_event_set(&p->wake);
}

/* The first one that lives, out of the stock; the dead before it in `dead`. */
static struct sandbox_container *pop(
	struct stock *k, struct sandbox_container *dead[STOCK_MAX], unsigned *ret_dead)
{
	struct sandbox_container *c = NULL;
	unsigned n = 0;

	*ret_dead = 0;
	while (!c && n < k->count) {
		c = k->ready[n++];
		if (sandbox_ended(c)) {
			dead[(*ret_dead)++] = c;
			c = NULL;
		}
	}
	k->count -= n;
	memmove(k->ready, k->ready + n, k->count * sizeof(k->ready[0]));
	return c;
}

struct sandbox_container *pool_take(struct pool *p, const struct lambda_runtime *runtime)
{
	struct sandbox_container *dead[STOCK_MAX], *c;
	unsigned dead_count;
	struct stock *k;

	if (!p->target)
		return NULL;
	pthread_mutex_lock(&p->lock);
	k = stock_of(p, runtime);
	k->wanted_ns = rt_now();
	c = pop(k, dead, &dead_count);
	pthread_mutex_unlock(&p->lock);
	while (dead_count)
		sandbox_container_free(dead[--dead_count]);
	atomic_store(&p->taken_ns, rt_now());
	rt_event_set(&p->wake);
	return c;
}

unsigned pool_ready(struct pool *p)
{
	unsigned n = 0;

	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->stock_count; i++)
		n += p->stocks[i].count;
	pthread_mutex_unlock(&p->lock);
	return n;
}

/* ---- filling ---- */

static int boot_one(struct pool *p, const struct lambda_runtime *runtime,
	struct sandbox_container **ret_container)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct sandbox_error error = {{0}};
	struct sandbox_spec spec = {
		.limits = {.memory_bytes = (uint64_t)BOOT_MEMORY_MIB * 1024 * 1024},
		.pooled = true,
	};
	struct runtime_launch l;
	int rc;

	arena_init(&a, SIZE_MAX);
	l = runtime_launch(p->service, &a, runtime);
	spec.environment = environment_boot(&a, runtime, &spec.environment_count);
	spec.mounts = l.mounts;
	spec.mount_count = l.mount_count;
	spec.pipe_count = l.pipe_count;
	memcpy(spec.pipes, l.pipes, sizeof(l.pipes));
	if (runtime->family != RUNTIME_PROVIDED) {
		spec.argv = l.argv;
		spec.argc = l.argc;
	}
	rc = sandbox_start(
		p->service->sandbox, &spec, rt_after_ms(FILL_DEADLINE_MS), ret_container, &error);
	if (rc < 0 && rc != ERR_CANCELLED)
		log_warn("lambda", "no container for the pool", "runtime=%.*s error=%s text=%.*s",
			STR_ARG(runtime->name), rc_text(rc),
			(int)strnlen(error.text, sizeof(error.text)), error.text);
	return rc;
}

/* What to do next: a runtime that is short, and stocks nobody wants are emptied. */
static const struct lambda_runtime *next_short(
	struct pool *p, struct sandbox_container *unused[STOCK_MAX], unsigned *ret_unused)
{
	const struct lambda_runtime *found = NULL;
	int64_t now = rt_now();

	*ret_unused = 0;
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->stock_count; i++) {
		struct stock *k = &p->stocks[i];
		bool wanted = k->wanted_ns && now - k->wanted_ns < UNUSED_MS * RT_NS_MS;

		if (wanted && k->count < p->target && !found)
			found = k->runtime;
		while (!wanted && k->count && *ret_unused < STOCK_MAX)
			unused[(*ret_unused)++] = k->ready[--k->count];
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

static void give(struct pool *p, const struct lambda_runtime *runtime, struct sandbox_container *c)
{
	struct stock *k;
	bool kept;

	pthread_mutex_lock(&p->lock);
	k = stock_of(p, runtime);
	kept = k->count < STOCK_MAX && !p->stopping;
	if (kept)
		k->ready[k->count++] = c;
	pthread_mutex_unlock(&p->lock);
	if (!kept)
		sandbox_container_free(c);
}

/* Until no cold start is in its first moments. */
static int wait_quiet(struct pool *p)
{
	for (;;) {
		int64_t until = atomic_load(&p->taken_ns) + REFILL_MS * RT_NS_MS;

		if (rt_now() >= until || p->stopping)
			return 0;
		TRY(rt_sleep_until(until));
	}
}

static void fill_fiber(void *arg)
{
	struct pool *p = arg;
	bool possible = service_await_sandbox(p->service, RT_NEVER) == 0;

	while (possible && !p->stopping) {
		struct sandbox_container *unused[STOCK_MAX], *c;
		unsigned unused_count;
		const struct lambda_runtime *runtime = next_short(p, unused, &unused_count);
		int rc;

		while (unused_count)
			sandbox_container_free(unused[--unused_count]);
		if (!runtime) {
			rc = rt_event_wait(&p->wake, rt_after_ms(UNUSED_MS / 10));
			if (rc < 0 && rc != ERR_TIMEOUT)
				break;
			continue;
		}
		if (wait_quiet(p) < 0)
			break;
		rc = boot_one(p, runtime, &c);
		if (rc >= 0)
			give(p, runtime, c);
		else if (rt_sleep_until(rt_after_ms(RETRY_MS)) < 0)
			break;
	}
	rt_event_set(&p->stopped);
}

void pool_start(struct pool *p)
{
	if (!p->target)
		return;
	p->running = rt_spawn(fill_fiber, p) >= 0;
}

void pool_stop(struct pool *p)
{
	struct sandbox_container *all[STOCK_MAX];
	unsigned n;

	if (p->running) {
		p->stopping = true;
		rt_event_set(&p->wake);
		rt_event_wait_sure(&p->stopped);
		p->running = false;
	}
	for (unsigned i = 0; i < p->stock_count; i++) {
		pthread_mutex_lock(&p->lock);
		n = p->stocks[i].count;
		memcpy(all, p->stocks[i].ready, n * sizeof(all[0]));
		p->stocks[i].count = 0;
		pthread_mutex_unlock(&p->lock);
		while (n)
			sandbox_container_free(all[--n]);
	}
}
