/*
 * Metrics: one array of counters per loop, indexed by service and operation.
 */
#include "server/metrics.h"

#include "base/check.h"
#include "base/mem.h"
#include "kv/kv.h"
#include "rt/rt.h"

#include <stdatomic.h>

enum {
	SERVICES_MAX = 32,
	/* Latency buckets: 1 << i microseconds, the last one is open. */
	BUCKETS = 16,
	STATUS_CLASSES = 3 /* ok, client error, server error */
};

/* Written by one loop, read by whoever renders: relaxed atomics without a locked instruction. */
struct counter {
	_Atomic uint64_t count[STATUS_CLASSES];
	_Atomic uint64_t bucket[BUCKETS];
	_Atomic uint64_t ns;
};

struct loop_counters {
	struct counter *of[SERVICES_MAX];
};

struct metrics {
	unsigned slot;
	const struct service *services[SERVICES_MAX];
	unsigned service_count;
	/* Every loop's counters, to add them up. */
	_Atomic(struct loop_counters *) loops[RT_LOOPS_MAX];
};

struct metrics *metrics_new(struct rt *rt)
{
	struct metrics *m = mem_new(struct metrics);

	m->slot = rt_slot_new(rt, NULL);
	return m;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < RT_LOOPS_MAX; i++) {
		struct loop_counters *c = atomic_load(&m->loops[i]);

		for (unsigned j = 0; c && j < SERVICES_MAX; j++)
			mem_free(c->of[j]);
		mem_free(c);
	}
	mem_free(m);
}

void metrics_add_service(struct metrics *m, const struct service *s)
{
	check(m->service_count < SERVICES_MAX);
	m->services[m->service_count++] = s;
}

static struct loop_counters *counters_of_loop(struct metrics *m)
{
	void **at = rt_slot(m->slot);
	struct loop_counters *c = *at;

	if (likely(c != NULL))
		return c;
	*at = c = mem_new(struct loop_counters);
	for (unsigned i = 0; i < m->service_count; i++)
		c->of[i] = mem_new_array(struct counter, m->services[i]->model->operation_count);
	atomic_store(&m->loops[rt_loop_index()], c);
	return c;
}

static void add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_store_explicit(
		to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}

void metrics_count(void *arg, const struct call *c, uint16_t status, int64_t taken_ns)
{
	struct metrics *m = arg;
	struct counter *counter;
	uint64_t us = (uint64_t)(taken_ns > 0 ? taken_ns : 0) / 1000;
	unsigned i = 0;

	while (i < m->service_count && m->services[i] != c->service)
		i++;
	if (i == m->service_count || !c->operation)
		return;
	counter = &counters_of_loop(m)->of[i][c->operation - c->service->model->operations];
	add(&counter->count[status < 400 ? 0 : status < 500 ? 1 : 2], 1);
	add(&counter->ns, (uint64_t)MAX(taken_ns, (int64_t)0));
	add(&counter->bucket[us ? MIN(64 - __builtin_clzll(us), BUCKETS - 1) : 0], 1);
}

/* The sum over all loops. */
static void sum(struct metrics *m, unsigned service, unsigned operation, uint64_t *count,
	uint64_t *bucket, uint64_t *ns)
{
	for (unsigned l = 0; l < RT_LOOPS_MAX; l++) {
		struct loop_counters *of_loop = atomic_load(&m->loops[l]);
		struct counter *c;

		if (!of_loop)
			continue;
		c = &of_loop->of[service][operation];
		for (unsigned i = 0; i < STATUS_CLASSES; i++)
			count[i] += atomic_load_explicit(&c->count[i], memory_order_relaxed);
		for (unsigned i = 0; i < BUCKETS; i++)
			bucket[i] += atomic_load_explicit(&c->bucket[i], memory_order_relaxed);
		*ns += atomic_load_explicit(&c->ns, memory_order_relaxed);
	}
}

static void render_operation(
	struct metrics *m, unsigned service, unsigned operation, struct buf *out)
{
	static const char *const class_name[STATUS_CLASSES] = {
		"ok", "client_error", "server_error"};
	const struct model *model = m->services[service]->model;
	str name = model_str(model, model->operations[operation].name);
	uint64_t count[STATUS_CLASSES] = {0}, bucket[BUCKETS] = {0}, ns = 0, below = 0;

	sum(m, service, operation, count, bucket, &ns);
	for (unsigned i = 0; i < STATUS_CLASSES; i++) {
		below += count[i];
		if (count[i])
			buf_printf(out,
				"cirrus_requests_total{service=\"%s\",operation=\"%.*s\","
				"result=\"%s\"} %llu\n",
				model->name, STR_ARG(name), class_name[i],
				(unsigned long long)count[i]);
	}
	if (below == 0)
		return;
	below = 0;
	for (unsigned i = 0; i < BUCKETS; i++) {
		below += bucket[i];
		buf_printf(out,
			"cirrus_request_seconds_bucket{service=\"%s\",operation=\"%.*s\",le=\"",
			model->name, STR_ARG(name));
		if (i < BUCKETS - 1)
			buf_printf(out, "%g", (double)(1u << i) / 1e6);
		else
			buf_put(out, STR("+Inf"));
		buf_printf(out, "\"} %llu\n", (unsigned long long)below);
	}
	buf_printf(out, "cirrus_request_seconds_sum{service=\"%s\",operation=\"%.*s\"} %.9f\n",
		model->name, STR_ARG(name), (double)ns / 1e9);
	buf_printf(out, "cirrus_request_seconds_count{service=\"%s\",operation=\"%.*s\"} %llu\n",
		model->name, STR_ARG(name), (unsigned long long)below);
}

void metrics_put(struct buf *out, const char *name, const char *type, const char *help, uint64_t v)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
		(unsigned long long)v);
}

static void render_runtime(struct rt *rt, struct buf *out)
{
	struct rt_figures f;

	rt_figures(rt, &f);
	metrics_put(out, "cirrus_connections", "gauge", "Open connections.", f.connections_live);
	metrics_put(out, "cirrus_connections_accepted_total", "counter", "Connections accepted.",
		f.connections_accepted);
	metrics_put(out, "cirrus_connections_refused_total", "counter",
		"Connections refused at the limit.", f.connections_refused);
	metrics_put(out, "cirrus_fibers", "gauge", "Requests and background work in progress.",
		f.fibers_live);
	metrics_put(out, "cirrus_fibers_refused_total", "counter", "Requests refused at the limit.",
		f.fibers_refused);
	metrics_put(out, "cirrus_loop_polls_found_total", "counter",
		"Times that a loop found work before it slept (--busy-poll-us).", f.polls_found);
	metrics_put(out, "cirrus_pool_jobs_total", "counter",
		"Blocking jobs given to thread pools.", f.pool_jobs);
	metrics_put(out, "cirrus_pool_waiting", "gauge", "Blocking jobs that wait for a thread.",
		f.pool_waiting);
}

static void render_storage(const struct kv *kv, struct buf *out)
{
	struct kv_stats s;

	kv_stats(kv, &s);
	metrics_put(out, "cirrus_storage_gets_total", "counter", "Point reads.", s.gets);
	metrics_put(out, "cirrus_storage_gets_cached_total", "counter",
		"Point reads answered by the cache of hot records.", s.gets_cached);
	metrics_put(out, "cirrus_storage_gets_pooled_total", "counter",
		"Point reads that were not in memory.", s.gets_pooled);
	metrics_put(out, "cirrus_storage_commits_total", "counter", "Transactions committed.",
		s.commits);
	metrics_put(out, "cirrus_storage_commit_groups_total", "counter",
		"Synced writes that carried them.", s.commit_groups);
	metrics_put(out, "cirrus_storage_conflicts_total", "counter",
		"Transactions run again after a conflict.", s.conflicts);
	metrics_put(out, "cirrus_storage_reopened_total", "counter",
		"Times the store was reopened after a failed write.", s.reopened);
	metrics_put(out, "cirrus_storage_writable", "gauge", "1 while writes are possible.",
		s.writable);
	metrics_put(out, "cirrus_storage_memory_bytes", "gauge", "Memory of the storage engine.",
		s.memory_bytes);
	metrics_put(out, "cirrus_storage_tables_bytes", "gauge",
		"Indexes and filters of the storage engine's tables.", s.tables_bytes);
	metrics_put(out, "cirrus_storage_blocks_bytes", "gauge",
		"What its cache of blocks may hold beside them.", s.blocks_bytes);
}

void metrics_render(struct metrics *m, struct rt *rt, const struct kv *kv, struct buf *out)
{
	buf_put(out, STR("# HELP cirrus_requests_total Requests by operation and result.\n"
			 "# TYPE cirrus_requests_total counter\n"
			 "# HELP cirrus_request_seconds Time from match to answer.\n"
			 "# TYPE cirrus_request_seconds histogram\n"));
	for (unsigned i = 0; i < m->service_count; i++)
		for (unsigned j = 0; j < m->services[i]->model->operation_count; j++)
			render_operation(m, i, j, out);
	render_runtime(rt, out);
	if (kv)
		render_storage(kv, out);
}
