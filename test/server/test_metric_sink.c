/*
 * Values that services tell of, as /_cirrus/metrics shows them.
 */
#include "server/metric_sink.h"

#include "base/buf.h"
#include "test/test.h"

#include <stdio.h>

static void add(const struct port_metric *port, const char *name, str function, double value)
{
	const struct metric_dimension dimension = {STR("FunctionName"), function};

	port->add(port->self, STR("0"), STR("r"), STR("AWS/Lambda"), str_c(name), &dimension,
		function.p ? 1 : 0, value, METRIC_COUNT, 0);
}

TEST(metric_sink, adds_up)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct metric_sink *s = metric_sink_new();
	const struct port_metric *port = metric_sink_port(s);
	struct buf page;

	arena_init(&a, SIZE_MAX);
	buf_init(&page, &a, 1 << 20);
	add(port, "Errors", STR("f"), -1);
	add(port, "Errors", STR("f"), -2.5);
	add(port, "Errors", STR_NULL, 7);
	add(port, "Errors", STR("a\"b\\c\nd"), 1);
	metric_sink_render(s, &page);
#define HAS(text) EXPECT(str_find_str(buf_str(&page), STR(text "\n")) >= 0)
#define ERRORS    "{account=\"0\",region=\"r\",namespace=\"AWS/Lambda\",name=\"Errors\""
	HAS("cirrus_metric_sum" ERRORS ",FunctionName=\"f\"} -3.5");
	HAS("cirrus_metric_count" ERRORS ",FunctionName=\"f\"} 2");
	HAS("cirrus_metric_max" ERRORS ",FunctionName=\"f\"} -1");
	HAS("cirrus_metric_sum" ERRORS "} 7");
	HAS("cirrus_metric_sum" ERRORS ",FunctionName=\"a\\\"b\\\\c d\"} 1");
	HAS("cirrus_metrics_dropped_total 0");
	metric_sink_free(s);
}

/* Names that never end, and more of them than there is room for, cost nothing but a count. */
TEST(metric_sink, is_bounded)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct metric_sink *s = metric_sink_new();
	const struct port_metric *port = metric_sink_port(s);
	char name[5000];
	struct buf page;

	arena_init(&a, SIZE_MAX);
	buf_init(&page, &a, 4 << 20);
	memset(name, 'x', sizeof name);
	add(port, "Errors", str_of(name, sizeof name), 1);
	for (unsigned i = 0; i < 4100; i++) {
		int n = snprintf(name, sizeof name, "f%u", i);

		add(port, "Errors", str_of(name, (size_t)n), 1);
		add(port, "Errors", STR("f0"), 1);
	}
	metric_sink_render(s, &page);
	HAS("cirrus_metrics_dropped_total 101");
	HAS("cirrus_metric_sum" ERRORS ",FunctionName=\"f0\"} 4101");
	EXPECT(!page.over);
	metric_sink_free(s);
}
