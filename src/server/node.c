/*
 * Putting a server together, and taking it apart in the reverse order.
 */
#include "server/node.h"

#include "aws/ports/trace.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rc.h"
#include "http/http.h"
#include "rt/rt.h"
#include "server/admin.h"
#include "server/front.h"
#include "server/metric_sink.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/services.h"

struct node {
	struct node_options options;
	struct rt *rt;
	struct ports ports;
	struct metrics *metrics;
	struct metric_sink *sink;
	struct services *services;
	struct gate *gate;
	struct front *front;
	struct http_server *http;
	struct admin admin;
	struct gate_trust trust;
	str host_suffixes[OPTION_LIST_MAX], cors_origins[OPTION_LIST_MAX];
};

static int64_t wall_ms(void)
{
	return rt_wall() / RT_NS_MS;
}

static void serve(struct http_exchange *x, void *arg)
{
	struct node *n = arg;

	front_serve(n->front, x, &n->trust);
}

/* A container's endpoint: the same front, another trust. */
static void serve_container(void *arg, struct http_exchange *x, const struct gate_trust *trust)
{
	struct node *n = arg;

	front_serve(n->front, x, trust);
}

static void log_segment(void *self unused_arg, str account, str region, str document)
{
	log_debug("trace", "a segment", "account=%.*s region=%.*s document=%.*s", STR_ARG(account),
		STR_ARG(region), STR_ARG(document));
}

/* Until a service takes them. */
static const struct port_trace segments_to_log = {.put = log_segment};

static void make_gate(struct node *n)
{
	const struct options *o = n->options.options;
	struct gate_options options = {
		.auth = n->options.strict ? GATE_STRICT : GATE_OPEN,
		.host_suffixes = n->host_suffixes,
		.host_suffix_count = o->host_suffix.n,
		.cors_origins = n->cors_origins,
		.cors_origin_count = o->cors_origin.n,
		.region_default = STR("us-east-1"),
		.done = metrics_count,
		.hook_arg = n->metrics,
		.wall_ms = wall_ms,
		.monotonic_ns = rt_now,
		.random = n->options.random,
		.loops = rt_loop_count(n->rt),
		.loop_index = rt_loop_index,
	};
	struct front_options front = {
		.open = !n->options.strict,
		.ports = &n->ports,
		.host_suffixes = n->host_suffixes,
		.host_suffix_count = o->host_suffix.n,
		.region_default = STR("us-east-1"),
		.own_page = admin_serve,
		.own_page_arg = &n->admin,
	};
	const struct service *service;

	for (unsigned i = 0; i < o->host_suffix.n; i++)
		n->host_suffixes[i] = str_c(o->host_suffix.item[i]);
	for (unsigned i = 0; i < o->cors_origin.n; i++)
		n->cors_origins[i] = str_c(o->cors_origin.item[i]);
	n->gate = gate_new(&options, &n->ports);
	for (unsigned i = 0; (service = services_rows(n->services, i)); i++) {
		gate_register(n->gate, service);
		metrics_add_service(n->metrics, service);
		check(n->admin.service_count < ADMIN_SERVICES_MAX);
		n->admin.services[n->admin.service_count++] = service;
	}
	front.gate = n->gate;
	n->front = front_new(&front);
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

int node_new(struct rt *rt, const struct node_options *options, struct node **ret_node)
{
	struct node *n = mem_new(struct node);
	struct services_options services = {
		.options = options->options,
		.data_folder = options->data_folder,
		.strict = options->strict,
		.after_crash = options->crashes > 0,
		.ports = &n->ports,
		.front = serve_container,
		.front_arg = n,
		.url_key = options->url_key,
	};

	n->options = *options;
	n->rt = rt;
	n->trust.loopback = options->loopback;
	*ret_node = n;
	n->metrics = metrics_new(rt);
	n->admin.metrics = n->metrics;
	n->sink = metric_sink_new();
	n->ports.metric = metric_sink_port(n->sink);
	n->admin.sink = n->sink;
	n->ports.trace = &segments_to_log;
	n->admin.rt = rt;
	n->admin.crashes = options->crashes;
	return services_new(rt, &services, &n->services);
}

int node_open_sandbox(struct node *n, int launcher_fd)
{
	n->admin.started_ns = rt_now();
	return services_open_sandbox(n->services, launcher_fd);
}

int node_start(struct node *n, struct kv *kv)
{
	n->admin.kv = kv;
	n->admin.functions = n->services;
	make_gate(n);
	return services_start(n->services, kv);
}

int node_listen(struct node *n, const struct rt_listen_options *listen)
{
	struct http_server_options options = {.handler = serve,
		.arg = n,
		.on_refusal = on_refusal,
		/* S3's largest body, 5 GiB, and room for the framing of its chunks. */
		.limits = {.body_bytes = (UINT64_C(5) << 30) + (UINT64_C(512) << 20)}};

	TRY(http_server_new(&options, &n->http));
	return http_server_listen(n->http, listen, NULL);
}

str node_address(const struct node *n, struct arena *a)
{
	struct rt_address address;
	char text[RT_ADDRESS_TEXT];

	if (!n->http || http_server_address(n->http, 0, &address) < 0)
		return STR("?");
	return arena_str(a, rt_address_text(&address, text));
}

struct services *node_services(struct node *n)
{
	return n->services;
}

int node_drain(struct node *n, int64_t deadline)
{
	return n->http ? http_server_drain(n->http, deadline) : 0;
}

void node_stop(struct node *n, int64_t deadline)
{
	services_stop(n->services, deadline);
	http_server_free(n->http);
	n->http = NULL;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	front_free(n->front);
	gate_free(n->gate);
	services_free(n->services);
	metrics_free(n->metrics);
	metric_sink_free(n->sink);
	mem_free(n);
}
