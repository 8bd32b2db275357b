/*
 * The service: its operations, its ports, its start and end.
 */
#include "services/lambda/service.h"

#include "aws/ports/ports.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/http.h"
#include "kv/kv.h"
#include "rt/aside.h"
#include "rt/rt.h"
#include "services/lambda/credentials.h"
#include "services/lambda/durable_api.h"
#include "services/lambda/durable_engine.h"
#include "services/lambda/endpoint.h"
#include "services/lambda/events.h"
#include "services/lambda/figures.h"
#include "services/lambda/java_archive.h"
#include "services/lambda/layer.h"
#include "services/lambda/mapping_control.h"
#include "services/lambda/mapping_engine.h"
#include "services/lambda/pool.h"
#include "services/lambda/resolver.h"
#include "services/lambda/runtime_api.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/signing.h"
#include "services/lambda/snapshot.h"
#include "services/lambda/store.h"
#include "services/lambda/url.h"

#include <unistd.h>

enum { SWEEP_MS = 60000, DRAIN_MS = 1000 };

static const struct operation_row rows[] = {
#define OPERATION(name_, handler_, resource_, action_, body_) \
	{.name = #name_,                                      \
		.handle = handler_,                           \
		.resource = resource_,                        \
		.action = action_,                            \
		.body_max = body_},
#include "services/lambda/operations.def"
#undef OPERATION
};

static const char *copy_text(const char *text)
{
	size_t n;
	char *to;

	if (!text)
		return NULL;
	n = strlen(text) + 1;
	to = mem_alloc(n);
	memcpy(to, text, n);
	return to;
}

static uint64_t host_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void fill_options(struct lambda_options *o)
{
	o->data_folder = copy_text(o->data_folder);
	o->runtimes_folder = copy_text(o->runtimes_folder ? o->runtimes_folder : "runtimes");
	o->node = copy_text(o->node);
	o->node_modules = copy_text(o->node_modules ? o->node_modules : "");
	o->python = copy_text(o->python);
	o->image_folder = copy_text(o->image_folder);
	o->ruby = copy_text(o->ruby);
	o->java = copy_text(o->java);
	o->endpoint_suffix = copy_text(o->endpoint_suffix ? o->endpoint_suffix : "localhost");
	/* Hardly any instance uses what it may: twice the memory there is. */
	o->memory_bytes = o->memory_bytes ? o->memory_bytes : 2 * host_memory();
	o->instances_max = o->instances_max ? o->instances_max : 900;
	o->concurrency_max = o->concurrency_max ? o->concurrency_max : 1000;
	o->idle_ms = o->idle_ms ? o->idle_ms : INT64_C(600000);
	o->retry_base_ms = o->retry_base_ms ? o->retry_base_ms : 60000;
}

int lambda_service_new(const struct lambda_options *options, struct rt *rt, struct ports *ports,
	struct lambda_service **ret_service)
{
	struct lambda_service *s = mem_new(struct lambda_service);
	int rc;

	check(options->data_folder && options->front);
	rt_event_init(&s->transition_ended);
	s->magic = LAMBDA_SERVICE_MAGIC;
	s->options = *options;
	fill_options(&s->options);
	s->rt = rt;
	s->ports = ports;
	rc = code_store_open(rt, s->options.data_folder, &s->code);
	if (rc < 0) {
		lambda_service_free(s);
		return rc;
	}
	if (options->url_key)
		memcpy(s->url_key, options->url_key, sizeof(s->url_key));
	else
		rt_random_bytes(s->url_key, sizeof(s->url_key));
	rc = snapshots_open(rt, s->options.data_folder, &s->snapshots);
	if (rc < 0) {
		lambda_service_free(s);
		return rc;
	}
	s->pool = pool_new(s);
	s->java_archive = java_archive_new(s);
	s->quotas = quota_books_new(&(struct quota_options){
		.account_max = s->options.concurrency_max, .burst = s->options.burst});
	s->aside = rt_aside_new(s->rt);
	s->scheduler = scheduler_new(s);
	s->events = events_new(s);
	s->durables = durables_new(s);
	s->mappings = mapping_control_engine(s);
	s->credentials = credentials_new(ports);
	s->resolver = resolver_new(&(struct resolver_options){.suffixes = options->host_suffixes,
		.suffix_count = options->host_suffix_count,
		.forward = options->resolve_others,
		.host_address = options->host_address});
	s->rows = (struct service){
		.model = model_named(STR("lambda")),
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.policy = policy_of_resource,
		.foreign = true,
		.context = url_context,
		.self = s,
	};
	check(s->rows.model);
	s->invoke_port = (struct port_invoke){s, invoke_by_port, policy_allowed};
	s->download_host = (struct port_host){"lambda-code", s, download_serve};
	ports->invoke = &s->invoke_port;
	s->deliver_port = (struct port_deliver){
		s, STR("arn:aws:lambda:"), "lambda:InvokeFunction", invoke_deliver};
	port_deliver_add(ports, &s->deliver_port);
	port_host_add(ports, &s->download_host);
	s->url_host = (struct port_host){"lambda-url", s, url_serve};
	port_host_add(ports, &s->url_host);
	*ret_service = s;
	return 0;
}

const struct service *lambda_service_rows(struct lambda_service *s)
{
	return &s->rows;
}

void lambda_service_free(struct lambda_service *s)
{
	if (!s)
		return;
	resolver_free(s->resolver);
	credentials_free(s->credentials);
	mapping_engine_free(s->mappings);
	durables_free(s->durables);
	events_free(s->events);
	scheduler_free(s->scheduler);
	rt_aside_free(s->aside);
	quota_books_free(s->quotas);
	pool_free(s->pool);
	java_archive_free(s->java_archive);
	snapshots_close(s->snapshots);
	code_store_close(s->code);
	mem_free((char *)s->options.data_folder);
	mem_free((char *)s->options.runtimes_folder);
	mem_free((char *)s->options.node);
	mem_free((char *)s->options.node_modules);
	mem_free((char *)s->options.python);
	mem_free((char *)s->options.image_folder);
	mem_free((char *)s->options.ruby);
	mem_free((char *)s->options.java);
	mem_free((char *)s->options.endpoint_suffix);
	mem_free(s);
}

/* ---- start ---- */

static int remove_unused(void *arg, str hex)
{
	struct lambda_service *s = arg;

	if (TRY(store_code_used(s, hex)))
		return 0;
	return code_remove(s->code, hex, rt_after_ms(SWEEP_MS));
}

static int resume(void *arg, const struct function *f)
{
	struct lambda_service *s = arg;

	pool_want(s->pool, f->runtime);
	if (!function_is_latest(f)) {
		if (f->state == FUNCTION_PENDING)
			snapshot_begin(s, f);
		return 0;
	}
	scheduler_reserve(s->scheduler, f, f->reserved);
	if (f->state == FUNCTION_PENDING || f->update == UPDATE_IN_PROGRESS)
		transition_begin(s, f->account, f->region, f->name);
	return 0;
}

static int keep_provisioned(void *arg, const struct function *f)
{
	if (function_is_latest(f))
		provisioned_apply(arg, f->account, f->region, f->name);
	return 0;
}

void lambda_service_set_sandbox(
	struct lambda_service *s, struct sandbox *sandbox, const char *sandbox_why)
{
	str why = str_c(sandbox_why ? sandbox_why : "this server has no sandbox");

	check(!atomic_load(&s->sandbox_known));
	s->sandbox = sandbox;
	if (!sandbox)
		memcpy(s->sandbox_why, why.p, MIN(why.n, sizeof(s->sandbox_why) - 1));
	atomic_store(&s->sandbox_known, true);
}

int service_await_sandbox(struct lambda_service *s, int64_t deadline)
{
	/* A few milliseconds once in a server's life: not worth a queue of waiters. */
	while (!atomic_load(&s->sandbox_known)) {
		if (atomic_load(&s->stopping))
			return ERR_CANCELLED;
		if (rt_now() >= deadline)
			return ERR_TIMEOUT;
		TRY(rt_sleep_until(MIN(deadline, rt_after_ms(1))));
	}
	return s->sandbox ? 0 : ERR_UNSUPPORTED;
}

int lambda_service_start(struct lambda_service *s, struct kv *kv)
{
	int rc;

	s->kv = kv;
	TRY(runtime_api_open(s));
	TRY(endpoint_open(s));
	rc = code_each(s->code, remove_unused, s, rt_after_ms(SWEEP_MS));
	if (rc < 0)
		log_warn("lambda", "unused code was not swept", "error=%s", rc_text(rc));
	TRY(store_each(s, resume, s));
	pool_start(s->pool);
	TRY(store_each(s, keep_provisioned, s));
	TRY(events_start(s->events));
	TRY(durables_start(s->durables));
	return mapping_engine_start(s->mappings, kv);
}

void lambda_service_stop(struct lambda_service *s, int64_t deadline)
{
	if (!s->kv)
		return;
	atomic_store(&s->stopping, true);
	mapping_engine_stop(s->mappings, deadline);
	events_stop(s->events, deadline);
	durables_stop(s->durables, deadline);
	scheduler_stop(s->scheduler, deadline);
	/* Those whose invocations were cut off just now. */
	durables_stop(s->durables, rt_after_ms(DRAIN_MS));
	mapping_engine_stop(s->mappings, rt_after_ms(DRAIN_MS));
	pool_stop(s->pool);
	transitions_wait(s);
	java_archive_stop(s->java_archive);
	if (s->runtime_server)
		(void)!http_server_drain(s->runtime_server, rt_after_ms(DRAIN_MS));
	if (s->endpoint_server)
		(void)!http_server_drain(s->endpoint_server, rt_after_ms(DRAIN_MS));
	http_server_free(s->runtime_server);
	http_server_free(s->endpoint_server);
	s->runtime_server = s->endpoint_server = NULL;
}

void lambda_service_figures(const struct lambda_service *s, struct lambda_figures *ret_figures)
{
	const struct lambda_counters *c = &s->counters;

	*ret_figures = (struct lambda_figures){
		.invocations = c->invocations,
		.errors = c->errors,
		.throttles = c->throttles,
		.cold_starts = c->cold_starts,
		.pooled_starts = c->pooled_starts,
		.timeouts = c->timeouts,
		.instances = c->instances,
		.instances_busy = c->instances_busy,
		.pool_ready = pool_ready(s->pool),
		.events_waiting = c->events_waiting,
		.log_lines_dropped = c->log_lines_dropped,
		.snapshot_bytes = snapshots_bytes(s->snapshots),
	};
}

void lambda_metric(struct lambda_service *s, const struct function *f, const char *name,
	double value, enum metric_unit unit)
{
	figures_add(s->ports, f->account, f->region, f->name, name, value, unit);
}
