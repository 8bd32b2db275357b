/*
 * The worker's life: runtime, store and the server on them (node.h); then waiting for SIGTERM, and
 * the same in reverse. Runs on the supervisor's descriptors as an unprivileged user.
 *
 * worker_main() is a fiber of loop 0.
 */
#include "server/worker.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/rc.h"
#include "kv/kv.h"
#include "rt/crash.h"
#include "rt/rt.h"
#include "sandbox/launcher.h"
#include "server/confine.h"
#include "server/lambda_network.h"
#include "server/node.h"
#include "server/services.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DRAIN_MS = 10000, OPEN_RETRIES = 20, OPEN_RETRY_MS = 100 };

struct worker {
	const struct supervised *supervised;
	struct arena arena;
	struct rt *rt;
	struct kv *kv;
	struct node *node;
	bool strict;
	int status;
};

/* Random bytes are drawn from the kernel by the page: a request's id must not cost a system call.
 */
enum { RANDOM_POOL_BYTES = 4096 };

static _Thread_local struct {
	uint8_t bytes[RANDOM_POOL_BYTES];
	size_t left;
} random_pool;

static noinline_fn void request_random(void *to, size_t n)
{
	check(n <= RANDOM_POOL_BYTES);
	if (random_pool.left < n) {
		random_bytes(random_pool.bytes, RANDOM_POOL_BYTES);
		random_pool.left = RANDOM_POOL_BYTES;
	}
	random_pool.left -= n;
	memcpy(to, random_pool.bytes + random_pool.left, n);
	/* What was given out is not kept. */
	memset(random_pool.bytes + random_pool.left, 0, n);
}

static int open_store(struct worker *w)
{
	const struct options *o = w->supervised->options;
	int rc;

	if (o->ephemeral)
		return kv_open_memory(&(struct kv_memory_options){0}, &w->kv);
	/* A server that was killed a moment ago may still hold the lock. */
	for (int i = 0;; i++) {
		struct kv_rocksdb_options options = {
			.durability = str_eq(str_c(o->durability), STR("relaxed")) ? KV_RELAXED
										   : KV_SYNCED,
			.cache_bytes = (size_t)o->cache_mib << 20,
			.memtable_bytes = (size_t)o->memtable_mib << 20,
		};

		rc = kv_open_rocksdb(
			arena_printf(&w->arena, "%s/store", w->supervised->data_folder).p, &options,
			&w->kv);
		if (rc != ERR_LOCKED || i == OPEN_RETRIES)
			return rc;
		TRY(rt_sleep_until(rt_after_ms(OPEN_RETRY_MS)));
	}
}

/*
 * Strict mode begins with one key. It is written where only the owner can read it, and shown only
 * to somebody who sits at the terminal.
 */
static int ensure_root_key(struct worker *w)
{
	const char *path =
		arena_printf(&w->arena, "%s/root-credentials", w->supervised->data_folder).p;
	str key, secret, text;
	int fd, made;

	made = TRY(services_root_key(node_services(w->node), &w->arena, &key, &secret));
	if (!made && access(path, F_OK) == 0)
		return 0;
	text = arena_printf(&w->arena,
		"[default]\naws_access_key_id = %.*s\naws_secret_access_key = %.*s\n", STR_ARG(key),
		STR_ARG(secret));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n || fsync(fd) < 0) {
		if (fd >= 0)
			close(fd);
		return ERR_IO;
	}
	close(fd);
	if (isatty(STDOUT_FILENO))
		printf("root access key %.*s, secret %.*s (kept in %s)\n", STR_ARG(key),
			STR_ARG(secret), path);
	return 0;
}

static void say_ready(struct worker *w)
{
	str address = node_address(w->node, &w->arena);

	printf("cirrus " CIRRUS_VERSION " is ready on http://%.*s (%s, data in %s)\n",
		STR_ARG(address),
		w->strict ? "strict: signed requests only" : "open to this machine",
		w->supervised->data_folder);
	if (isatty(STDOUT_FILENO) && !w->strict)
		printf("\nTry it in another terminal:\n"
		       "  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test "
		       "AWS_DEFAULT_REGION=us-east-1\n"
		       "  aws --endpoint-url http://%.*s dynamodb list-tables\n"
		       "  examples/todo/deploy.sh node   # a whole application\n",
			STR_ARG(address));
	fflush(stdout);
}

/* Suspends until SIGTERM. */
static void wait_for_end(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	check(fd >= 0);
	while (rt_fd_wait(fd, RT_READABLE, RT_NEVER) < 0)
		if (rt_cancelled())
			break;
	close(fd);
}

static int start(struct worker *w)
{
	const struct supervised *s = w->supervised;
	struct rt_listen_options listen = {.fd = &s->listen_fd};
	int rc = node_open_sandbox(w->node, s->launcher_fd);

	if (rc == 0)
		rc = open_store(w);
	if (rc < 0) {
		fprintf(stderr, "cirrus: data folder %s/store: %s\n", s->data_folder,
			rc == ERR_LOCKED    ? "in use by another cirrus"
			: rc == ERR_VERSION ? "written by another version of cirrus"
					    : rc_text(rc));
		w->status = rc == ERR_LOCKED || rc == ERR_VERSION ? SUPERVISOR_EXIT_CONFIG : 1;
		return rc;
	}
	rc = node_start(w->node, w->kv);
	if (rc == 0 && w->strict)
		rc = ensure_root_key(w);
	if (rc == 0)
		rc = node_listen(w->node, &listen);
	if (rc < 0) {
		fprintf(stderr, "cirrus: cannot start: %s\n", rc_text(rc));
		w->status = 1;
	}
	return rc;
}

static void worker_main(void *arg)
{
	struct worker *w = arg;
	int cut;

	if (start(w) == 0) {
		mem_keep_mapped();
		say_ready(w);
		wait_for_end();
		log_info("server", "stopping: requests in progress are finished");
	}
	cut = node_drain(w->node, rt_after_ms(DRAIN_MS));
	if (cut > 0)
		log_warn("server", "requests were cut at the end", "count=%d", cut);
	node_stop(w->node, rt_after_ms(DRAIN_MS));
	kv_close(w->kv);
	rt_stop(w->rt);
}

static void *random_key(void)
{
	static uint8_t key[32];

	random_bytes(key, sizeof key);
	return key;
}

static int make_runtime(struct worker *w)
{
	const struct options *o = w->supervised->options;
	struct rt_options options = {
		.mode = RT_REAL,
		.loops = w->supervised->loops,
		.busy_poll_us = (unsigned)MIN(MAX(o->busy_poll_us, 0L), 1000L),
		.fibers_max = (unsigned)MAX(o->requests_max / (long)w->supervised->loops, 64L),
		.connections_max =
			(unsigned)MAX(o->connections_max / (long)w->supervised->loops, 64L),
	};
	struct node_options node = {
		.options = o,
		.data_folder = w->supervised->data_folder,
		.strict = w->strict,
		.loopback = w->supervised->loopback,
		.crashes = w->supervised->crashes,
		.url_key = random_key(),
		.random = request_random,
	};

	TRY(rt_new(&options, &w->rt));
	return node_new(w->rt, &node, &w->node);
}

static void check_auth(struct worker *w)
{
	const char *auth = w->supervised->options->auth;

	w->strict = *auth ? str_eq(str_c(auth), STR("strict")) : !w->supervised->loopback;
	if (!w->strict && !w->supervised->loopback)
		log_warn("server", "--auth=open on an address that is not loopback: everybody who "
				   "reaches it is root");
}

int worker_run(const struct supervised *s)
{
	struct worker *w = mem_new(struct worker);
	struct confinement confinement = confine_worker(s->data_folder, s->options->image_folder);
	uint64_t seed;
	int status;

	if (!confinement.files || !confinement.calls)
		log_info("server", "the worker is not confined by all that it could be",
			"landlock=%d seccomp=%d", confinement.files, confinement.calls);
	random_bytes(&seed, sizeof seed);
	str_hash_seed(seed);
	umask(0077);
	rt_crash_install();
	w->supervised = s;
	arena_init(&w->arena, 1 << 20);
	check_auth(w);
	mem_share_heaps();
	if (make_runtime(w) < 0) {
		fprintf(stderr, "cirrus: the runtime cannot be made\n");
		return 1;
	}
	check(rt_run(w->rt, worker_main, w) == 0);
	node_free(w->node);
	rt_free(w->rt);
	status = w->status;
	arena_done(&w->arena);
	mem_free(w);
	return status;
}

int worker_start_launcher(const struct supervised *s, pid_t *ret_pid, int *ret_fd)
{
	const char *const roots[] = {s->options->node_modules, NULL};
	struct launcher_options options = {
		.data_folder = s->data_folder,
		.runtime_roots = *roots[0] ? roots : NULL,
		.listens = {{.port = SERVICES_PORT_RUNTIME_API}, {.port = SERVICES_PORT_ENDPOINT},
			{.port = SERVICES_PORT_RESOLVER, .udp = true},
			{.port = SERVICES_PORT_RESOLVER}},
		.listen_count = 4,
		.containers_max = services_instances(s->options) + SERVICES_CONTAINERS_SPARE,
	};
	struct arena arena cleanup(arena_done_p);
	str message;

	arena_init(&arena, 1 << 12);
	check(lambda_network(s->options, &arena, &options.network, &message) == 0);
	/* Nobody's answers are long enough for TCP there. */
	if (options.network.reach == SANDBOX_REACH_NONE)
		options.listen_count = 3;

	return launcher_start(&options, ret_pid, ret_fd);
}
