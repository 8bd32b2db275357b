/*
 * The worker's life: runtime, store, services, gate, front, HTTP server; then waiting for SIGTERM,
 * and the same in reverse. Runs on the supervisor's descriptors as an unprivileged user.
 *
 * worker_main() is a fiber of loop 0. Everything it builds is read-only for the other loops once
 * they accept requests.
 */
#include "server/worker.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/rc.h"
#include "http/http.h"
#include "kv/kv.h"
#include "rt/crash.h"
#include "rt/rt.h"
#include "sandbox/launcher.h"
#include "server/admin.h"
#include "server/confine.h"
#include "server/front.h"
#include "server/metrics.h"
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
	struct ports ports;
	struct metrics *metrics;
	struct services *services;
	struct gate *gate;
	struct front *front;
	struct http_server *http;
	struct admin admin;
	struct gate_trust trust;
	str host_suffixes[OPTION_LIST_MAX], cors_origins[OPTION_LIST_MAX];
	bool strict;
	int status;
};

static int64_t wall_ms(void)
{
	return rt_wall() / RT_NS_MS;
}

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

static void serve(struct http_exchange *x, void *arg)
{
	struct worker *w = arg;

	front_serve(w->front, x, &w->trust);
}

/* A container's endpoint: the same front, another trust. */
static void serve_container(void *arg, struct http_exchange *x, const struct gate_trust *trust)
{
	struct worker *w = arg;

	front_serve(w->front, x, trust);
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

static void make_gate(struct worker *w)
{
	const struct options *o = w->supervised->options;
	struct gate_options options = {
		.auth = w->strict ? GATE_STRICT : GATE_OPEN,
		.host_suffixes = w->host_suffixes,
		.host_suffix_count = o->host_suffix.n,
		.cors_origins = w->cors_origins,
		.cors_origin_count = o->cors_origin.n,
		.region_default = STR("us-east-1"),
		.done = metrics_count,
		.hook_arg = w->metrics,
		.wall_ms = wall_ms,
		.monotonic_ns = rt_now,
		.random = request_random,
		.loops = rt_loop_count(w->rt),
		.loop_index = rt_loop_index,
	};
	struct front_options front = {
		.open = !w->strict,
		.ports = &w->ports,
		.host_suffixes = w->host_suffixes,
		.host_suffix_count = o->host_suffix.n,
		.region_default = STR("us-east-1"),
		.own_page = admin_serve,
		.own_page_arg = &w->admin,
	};
	const struct service *service;

	for (unsigned i = 0; i < o->host_suffix.n; i++)
		w->host_suffixes[i] = str_c(o->host_suffix.item[i]);
	for (unsigned i = 0; i < o->cors_origin.n; i++)
		w->cors_origins[i] = str_c(o->cors_origin.item[i]);
	w->gate = gate_new(&options, &w->ports);
	for (unsigned i = 0; (service = services_rows(w->services, i)); i++) {
		gate_register(w->gate, service);
		metrics_add_service(w->metrics, service);
		check(w->admin.service_count < ADMIN_SERVICES_MAX);
		w->admin.services[w->admin.service_count++] = service;
	}
	front.gate = w->gate;
	w->front = front_new(&front);
}

/* Our limits, said in the words of the APIs. */
static void on_refusal(enum http_refusal why, struct http_refusal_answer *answer, void *arg)
{
	static const struct http_header headers[] = {
		{.name = STR_INIT("Content-Type"), .value = STR_INIT("application/x-amz-json-1.0")},
		{.name = STR_INIT("Retry-After"), .value = STR_INIT("1")}};

	(void)why, (void)arg;
	if (answer->status != 503)
		return;
	answer->headers = headers;
	answer->header_count = ARRAY_SIZE(headers);
	answer->body = STR("{\"__type\":\"ThrottlingException\",\"message\":\"Rate exceeded\"}");
}

static int listen_for_clients(struct worker *w)
{
	const struct supervised *s = w->supervised;
	struct http_server_options options = {.handler = serve, .arg = w, .on_refusal = on_refusal};
	struct rt_listen_options listen = {.fds = s->listen_fd, .fd_count = s->listen_count};

	TRY(http_server_new(&options, &w->http));
	return http_server_listen(w->http, &listen, NULL);
}

static str address_of(struct worker *w)
{
	struct rt_address address;
	char text[RT_ADDRESS_TEXT];

	if (http_server_address(w->http, 0, &address) < 0)
		return STR("?");
	return arena_str(&w->arena, rt_address_text(&address, text));
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

	made = TRY(services_root_key(w->services, &w->arena, &key, &secret));
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
	str address = address_of(w);

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
	int rc = services_open_sandbox(w->services, w->supervised->launcher_fd);

	if (rc == 0)
		rc = open_store(w);

	if (rc < 0) {
		fprintf(stderr, "cirrus: data folder %s/store: %s\n", w->supervised->data_folder,
			rc == ERR_LOCKED    ? "in use by another cirrus"
			: rc == ERR_VERSION ? "written by another version of cirrus"
					    : rc_text(rc));
		w->status = rc == ERR_LOCKED || rc == ERR_VERSION ? SUPERVISOR_EXIT_CONFIG : 1;
		return rc;
	}
	w->admin.kv = w->kv;
	w->admin.functions = w->services;
	make_gate(w);
	rc = services_start(w->services, w->kv);
	if (rc == 0 && w->strict)
		rc = ensure_root_key(w);
	if (rc == 0)
		rc = listen_for_clients(w);
	if (rc < 0) {
		fprintf(stderr, "cirrus: cannot start: %s\n", rc_text(rc));
		w->status = 1;
	}
	return rc;
}

static void worker_main(void *arg)
{
	struct worker *w = arg;

	w->admin.started_ns = rt_now();
	if (start(w) == 0) {
		mem_keep_mapped();
		say_ready(w);
		wait_for_end();
		log_info("server", "stopping: requests in progress are finished");
	}
	if (w->http) {
		int cut = http_server_drain(w->http, rt_after_ms(DRAIN_MS));

		if (cut > 0)
			log_warn("server", "requests were cut at the end", "count=%d", cut);
	}
	services_stop(w->services, rt_after_ms(DRAIN_MS));
	http_server_free(w->http);
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
		.loops = w->supervised->listen_count,
		.fibers_max =
			(unsigned)MAX(o->requests_max / (long)w->supervised->listen_count, 64L),
		.connections_max =
			(unsigned)MAX(o->connections_max / (long)w->supervised->listen_count, 64L),
	};
	struct services_options services = {
		.options = o,
		.data_folder = w->supervised->data_folder,
		.strict = w->strict,
		.ports = &w->ports,
		.front = serve_container,
		.front_arg = w,
		.url_key = random_key(),
	};

	TRY(rt_new(&options, &w->rt));
	w->metrics = metrics_new(w->rt);
	return services_new(w->rt, &services, &w->services);
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
	w->trust.loopback = s->loopback;
	arena_init(&w->arena, 1 << 20);
	check_auth(w);
	w->admin.crashes = s->crashes;
	if (make_runtime(w) < 0) {
		fprintf(stderr, "cirrus: the runtime cannot be made\n");
		return 1;
	}
	w->admin.metrics = w->metrics;
	w->admin.rt = w->rt;
	check(rt_run(w->rt, worker_main, w) == 0);
	front_free(w->front);
	gate_free(w->gate);
	services_free(w->services);
	metrics_free(w->metrics);
	rt_free(w->rt);
	status = w->status;
	arena_done(&w->arena);
	mem_free(w);
	return status;
}

int worker_start_launcher(const struct supervised *s, pid_t *ret_pid, int *ret_fd)
{
	struct launcher_options options = {
		.data_folder = s->data_folder,
		.listens = {{.port = SERVICES_PORT_RUNTIME_API}, {.port = SERVICES_PORT_ENDPOINT}},
		.listen_count = 2,
		.containers_max = services_instances(s->options) + SERVICES_CONTAINERS_SPARE,
	};

	return launcher_start(&options, ret_pid, ret_fd);
}
