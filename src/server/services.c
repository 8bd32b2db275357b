/*
 * The list of services. Order of start: the store's users first (iam, whom the gate asks), then
 * what functions need (logs, s3, signer), lambda, and API Gateway, which calls functions.
 */
#include "server/services.h"

#include "aws/ports/records.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rc.h"
#include "rt/rt.h"
#include "rt/stream.h"
#include "sandbox/launcher.h"
#include "sandbox/sandbox.h"
#include "server/lambda_network.h"
#include "server/metrics.h"
#include "server/runtimes.h"
#include "server/worker.h"
#include "services/apigateway/apigateway.h"
#include "services/dynamodb/dynamodb.h"
#include "services/iam/iam.h"
#include "services/lambda/lambda.h"
#include "services/logs/logs.h"
#include "services/s3/s3.h"
#include "services/signer/signer.h"
#include "services/sts/sts.h"

#include <unistd.h>

enum { SERVICES = 9, SANDBOX_OPEN_MS = 10000 };

struct services {
	const struct services_options options; /* borrowed parts outlive us */
	struct rt *rt;
	struct arena arena;
	struct iam *iam;
	struct sts *sts;
	struct dynamodb *dynamodb;
	struct logs *logs;
	struct s3 *s3;
	struct signer *signer;
	struct lambda_service *lambda;
	struct apigateway *apigateway;
	struct sandbox *sandbox;
	struct sandbox_error sandbox_error;
	struct rt_event sandbox_opened;
	_Atomic int functions; /* they can run: 1, 0, or -1 for not known yet */
	bool started;
	bool sandbox_opening; /* its fiber has not been waited for */
	int launcher_fd;
	struct rt_address own[1];
	const struct service *rows[SERVICES];
};

/* The end of hosts ({id}.execute-api.{region}.SUFFIX), with our port: the first --host-suffix, else
 * localhost. */
static str endpoint_suffix(struct services *s)
{
	const struct options *o = s->options.options;
	str listen = str_c(o->listen);
	ptrdiff_t colon = str_find_last(listen, ':');

	return ARENA_CONCAT(&s->arena,
		str_c(o->host_suffix.n ? o->host_suffix.item[0] : "localhost"),
		colon < 0 ? STR("") : str_from(listen, (size_t)colon));
}

static int new_lambda(struct services *s)
{
	const struct services_options *o = &s->options;
	str suffix = endpoint_suffix(s), message;
	struct sandbox_network network;
	struct lambda_options options = {
		.data_folder = o->data_folder,
		.node = runtimes_node(o->options),
		.python = runtimes_python(o->options),
		.node_modules = o->options->node_modules,
		.image_folder = o->options->image_folder,
		.ruby = runtimes_ruby(o->options),
		.java = runtimes_java(o->options),
		.pool = (unsigned)o->options->pool,
		.burst = (unsigned)o->options->burst,
		.instances_max = services_instances(o->options),
		.memory_bytes = (uint64_t)o->options->function_memory_mib << 20,
		.auth_strict = o->strict,
		.after_crash = o->after_crash,
		.endpoint_suffix = ARENA_CONCAT(&s->arena, suffix, str_of("", 1)).p,
		.url_key = o->url_key,
		.front = o->front,
		.front_arg = o->front_arg,
		.host_suffixes = o->options->host_suffix.item,
		.host_suffix_count = o->options->host_suffix.n,
	};

	TRY(lambda_network(o->options, &s->arena, &network, &message));
	options.resolve_others = network.reach != SANDBOX_REACH_NONE;
	if (network.reach == SANDBOX_REACH_HOST)
		options.host_address = network.range + SANDBOX_RANGE_HOST;
	return lambda_service_new(&options, s->rt, o->ports, &s->lambda);
}

static int new_s3(struct services *s)
{
	const struct options *o = s->options.options;

	return s3_service_new(
		&(struct s3_options){.rt = s->rt,
			.ports = s->options.ports,
			.data_folder = s->options.data_folder,
			.unsynced = o->ephemeral || str_eq(str_c(o->durability), STR("relaxed"))},
		&s->s3);
}

static int new_apigateway(struct services *s)
{
	const struct services_options *o = &s->options;
	struct apigateway_options options = {
		.rt = s->rt,
		.ports = o->ports,
		.open = !o->strict,
		.endpoint_suffix = endpoint_suffix(s),
		.own = s->own,
	};

	options.own_count = rt_address_parse(str_c(o->options->listen), &s->own[0]) == 0;
	return apigateway_service_new(&options, &s->apigateway);
}

int services_new(
	struct rt *rt, const struct services_options *options, struct services **ret_services)
{
	struct services init = {.options = *options, .rt = rt};
	struct services *s = mem_new(struct services);

	memcpy(s, &init, sizeof init);
	arena_init(&s->arena, 1 << 16);
	atomic_init(&s->functions, -1);
	*ret_services = s;
	TRY(runtimes_install(options->data_folder));
	s->iam = iam_service_new(rt, NULL, options->ports);
	s->sts = sts_service_new(options->ports);
	s->dynamodb = dynamodb_new(rt);
	dynamodb_set_ports(s->dynamodb, options->ports);
	dynamodb_set_ttl_period_ms(s->dynamodb, options->options->ttl_period_ms);
	dynamodb_set_throttle(s->dynamodb, str_eq(str_c(options->options->throttle), STR("aws")));
	port_records_add(options->ports, dynamodb_records(s->dynamodb));
	TRY(logs_service_new(&(struct logs_options){.rt = rt, .ports = options->ports}, &s->logs));
	TRY(new_s3(s));
	TRY(signer_service_new(
		&(struct signer_options){.rt = rt, .ports = options->ports}, &s->signer));
	TRY(new_lambda(s));
	TRY(new_apigateway(s));
	s->rows[0] = dynamodb_service(s->dynamodb);
	s->rows[1] = lambda_service_rows(s->lambda);
	s->rows[2] = apigateway_service_rows(s->apigateway);
	s->rows[3] = logs_service_rows(s->logs);
	s->rows[4] = iam_service(s->iam);
	s->rows[5] = sts_service(s->sts);
	s->rows[6] = dynamodb_streams_service(s->dynamodb);
	s->rows[7] = s3_service_rows(s->s3);
	s->rows[8] = signer_service_rows(s->signer);
	return 0;
}

const struct service *services_rows(const struct services *s, unsigned i)
{
	return i < SERVICES ? s->rows[i] : NULL;
}

/* What Node.js functions find without bringing it. */
static void log_packages(const struct options *options)
{
	if (!runtimes_node(options))
		return;
	if (*options->node_modules)
		log_info("lambda", "Node.js functions find packages of the runtime", "folder=%s",
			options->node_modules);
	else
		log_info("lambda", "Node.js functions find no AWS SDK but their own: make sdk, and "
				   "--node-modules=build/sdk/node_modules (or make install)");
}

/*
 * Containers may be impossible here: then everything else works, and Invoke says why. A fiber,
 * because the launcher still looks at the machine when the rest of the server is ready.
 */
static void open_sandbox(void *arg)
{
	struct services *s = arg;
	struct sandbox_info info;
	int rc = ERR_UNSUPPORTED;

	if (s->launcher_fd < 0)
		memcpy(s->sandbox_error.text, "the launcher could not be started", 34);
	else
		rc = sandbox_open(s->launcher_fd, rt_after_ms(SANDBOX_OPEN_MS), &s->sandbox, &info,
			&s->sandbox_error);
	if (rc == 0) {
		log_info(
			"sandbox", "functions can run", "%s; network: %s", info.text, info.network);
		log_packages(s->options.options);
	} else
		log_warn("sandbox", "functions cannot run on this machine", "why=%s",
			s->sandbox_error.text);
	lambda_service_set_sandbox(s->lambda, s->sandbox, s->sandbox_error.text);
	atomic_store(&s->functions, rc == 0);
	rt_event_set(&s->sandbox_opened);
}

static void wait_for_sandbox(struct services *s)
{
	if (s->sandbox_opening)
		rt_event_wait_sure(&s->sandbox_opened);
	s->sandbox_opening = false;
}

int services_open_sandbox(struct services *s, int launcher_fd)
{
	s->launcher_fd = launcher_fd;
	rt_event_init(&s->sandbox_opened);
	TRY(rt_spawn(open_sandbox, s));
	s->sandbox_opening = true;
	return 0;
}

int services_functions(const struct services *s)
{
	return atomic_load(&s->functions);
}

int services_start(struct services *s, struct kv *kv)
{
	TRY(iam_service_start(s->iam, kv));
	TRY(rt_spawn(iam_sweep_run, s->iam));
	TRY(s3_service_start(s->s3, kv));
	/* Its bulk operations go on at once, and read objects. */
	TRY(dynamodb_start(s->dynamodb, kv));
	TRY(logs_service_start(s->logs, kv));
	s->started = true;
	TRY(signer_service_start(s->signer, kv));
	TRY(lambda_service_start(s->lambda, kv));
	return apigateway_service_start(s->apigateway, kv);
}

void services_render(const struct services *s, struct buf *out)
{
	struct lambda_figures f;

	lambda_service_figures(s->lambda, &f);
#define GAUGE(name, help, value)   metrics_put(out, "cirrus_lambda_" name, "gauge", help, value)
#define COUNTER(name, help, value) metrics_put(out, "cirrus_lambda_" name, "counter", help, value)
	GAUGE("instances", "Instances of functions.", f.instances);
	GAUGE("instances_busy", "Instances that run an invocation.", f.instances_busy);
	GAUGE("pool_ready", "Pre-booted containers that wait for a function.", f.pool_ready);
	GAUGE("events_waiting", "Asynchronous events that are not through.", f.events_waiting);
	GAUGE("snapshot_bytes", "Size of all snapshots, which has a maximum.", f.snapshot_bytes);
	COUNTER("invocations_total", "Invocations.", f.invocations);
	COUNTER("errors_total", "Invocations that ended in an error.", f.errors);
	COUNTER("throttles_total", "Invocations that were throttled.", f.throttles);
	COUNTER("timeouts_total", "Invocations that timed out.", f.timeouts);
	COUNTER("cold_starts_total", "Instances started for an invocation.", f.cold_starts);
	COUNTER("pooled_starts_total", "Of those, from a pre-booted container.", f.pooled_starts);
	COUNTER("log_lines_dropped_total", "Lines of functions that no log took.",
		f.log_lines_dropped);
#undef GAUGE
#undef COUNTER
}

int services_root_key(struct services *s, struct arena *a, str *ret_key, str *ret_secret)
{
	struct iam_root_key key;
	int made = TRY(iam_root_key_ensure(s->iam, a, STR("000000000000"), &key));

	*ret_key = key.access_key;
	*ret_secret = key.secret;
	return made;
}

void services_stop(struct services *s, int64_t deadline)
{
	wait_for_sandbox(s);
	if (s->started) {
		apigateway_service_stop(s->apigateway);
		lambda_service_stop(s->lambda, deadline);
	}
	sandbox_close(s->sandbox);
	s->sandbox = NULL;
	if (!s->started)
		return;
	/* Last: what stops still has lines to write. */
	logs_service_stop(s->logs, deadline);
	/* Its bulk operations read and write objects. */
	dynamodb_stop(s->dynamodb);
	signer_service_stop(s->signer); /* and its jobs */
	s3_service_stop(s->s3);
}

void services_free(struct services *s)
{
	if (!s)
		return;
	apigateway_service_free(s->apigateway);
	lambda_service_free(s->lambda);
	signer_service_free(s->signer);
	s3_service_free(s->s3);
	logs_service_free(s->logs);
	dynamodb_free(s->dynamodb);
	sts_service_free(s->sts);
	iam_service_free(s->iam);
	arena_done(&s->arena);
	mem_free(s);
}
