/*
 * The pages of admin.h. They read figures only; nothing here changes state.
 */
#include "server/admin.h"

#include "aws/gate.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/json.h"
#include "http/http.h"
#include "kv/kv.h"
#include "rt/rt.h"
#include "server/metric_sink.h"
#include "server/metrics.h"
#include "server/services.h"

#include <unistd.h>

enum { PAGE_MAX = 4 << 20 };

static void answer(struct http_exchange *x, unsigned status, str type, str body)
{
	struct http_header headers[] = {{.name = STR("Content-Type"), .value = type},
		{.name = STR("Cache-Control"), .value = STR("no-store")}};
	int rc = http_respond(x, status, headers, ARRAY_SIZE(headers), body);

	(void)rc; /* the client has left */
}

static void put_services(struct admin *admin, struct json_writer *w)
{
	json_put_key(w, STR("services"));
	json_put_object_begin(w);
	for (unsigned i = 0; i < admin->service_count; i++)
		json_put_key_string(w, str_c(admin->services[i]->model->name), STR("available"));
	json_put_object_end(w);
}

static void health(struct admin *admin, struct http_exchange *x)
{
	struct json_writer w;
	struct kv_stats stats;
	int functions = services_functions(admin->functions);
	struct buf b;

	kv_stats(admin->kv, &stats);
	buf_init(&b, &x->arena, PAGE_MAX);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("status"), stats.writable ? STR("ok") : STR("read-only"));
	json_put_key_string(&w, STR("version"), STR(CIRRUS_VERSION));
	json_put_key(&w, STR("worker_pid"));
	json_put_i64(&w, getpid());
	json_put_key(&w, STR("uptime_seconds"));
	json_put_double(&w, (double)(rt_now() - admin->started_ns) / 1e9);
	json_put_key(&w, STR("worker_crashes"));
	json_put_i64(&w, admin->crashes);
	json_put_key(&w, STR("functions"));
	if (functions < 0)
		json_put_null(&w);
	else
		json_put_bool(&w, functions);
	put_services(admin, &w);
	json_put_object_end(&w);
	answer(x, 200, STR("application/json"), buf_str(&b));
}

static void localstack_health(struct admin *admin, struct http_exchange *x)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, &x->arena, PAGE_MAX);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	put_services(admin, &w);
	json_put_key_string(&w, STR("edition"), STR("cirrus"));
	json_put_key_string(&w, STR("version"), STR(CIRRUS_VERSION));
	json_put_object_end(&w);
	answer(x, 200, STR("application/json"), buf_str(&b));
}

static void metrics(struct admin *admin, struct http_exchange *x)
{
	struct buf b;

	buf_init(&b, &x->arena, PAGE_MAX);
	metrics_render(admin->metrics, admin->rt, admin->kv, &b);
	if (admin->functions)
		services_render(admin->functions, &b);
	metric_sink_render(admin->sink, &b);
	answer(x, 200, STR("text/plain; version=0.0.4; charset=utf-8"), buf_str(&b));
}

bool admin_serve(void *arg, struct http_exchange *x)
{
	static const struct {
		str path;
		void (*serve)(struct admin *admin, struct http_exchange *x);
	} pages[] = {{STR_INIT("/_cirrus/health"), health}, {STR_INIT("/_cirrus/metrics"), metrics},
		{STR_INIT("/_localstack/health"), localstack_health}};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		if (!str_eq(x->path, pages[i].path))
			continue;
		if (x->method == HTTP_METHOD_GET || x->method == HTTP_METHOD_HEAD)
			pages[i].serve(arg, x);
		else
			answer(x, 405, STR("text/plain"), STR("GET or HEAD only\n"));
		return true;
	}
	if (str_starts(x->path, STR("/_cirrus/"))) {
		answer(x, 404, STR("text/plain"),
			STR("no such page; there are /_cirrus/health and /_cirrus/metrics\n"));
		return true;
	}
	return false;
}
