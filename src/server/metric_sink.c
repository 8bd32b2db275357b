/*
 * Series are found by their labels as they are rendered, so that rendering only copies.
 */
#include "server/metric_sink.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#include <pthread.h>

enum { SERIES_MAX = 4000, LABELS_MAX = 2048 };

struct series {
	struct list link; /* in the order of coming */
	uint64_t count;
	double sum, max;
	str labels; /* its key, owned */
};

struct metric_sink {
	struct port_metric port;
	pthread_mutex_t lock; /* of what follows; never held over a suspension */
	struct map by_labels;
	struct list series;
	uint64_t dropped;
};

static void put_label(struct buf *to, str name, str value)
{
	buf_put(to, to->n > 1 ? STR(",") : STR(""));
	buf_put(to, name);
	buf_put(to, STR("=\""));
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '"' || value.p[i] == '\\')
			buf_put_char(to, '\\');
		buf_put_char(to, value.p[i] == '\n' ? ' ' : value.p[i]);
	}
	buf_put_char(to, '"');
}

/* Under the lock; NULL when there is no room for another one. */
static struct series *find(struct metric_sink *s, str labels)
{
	struct series *one = map_get(&s->by_labels, labels);
	char *copy;

	if (one || s->by_labels.count >= SERIES_MAX)
		return one;
	one = mem_new(struct series);
	copy = mem_alloc(labels.n);
	memcpy(copy, labels.p, labels.n);
	one->labels = str_of(copy, labels.n);
	list_push_back(&s->series, &one->link);
	map_put(&s->by_labels, one->labels, one);
	return one;
}

static void sink_add(void *self, str account, str region, str name_space, str name,
	const struct metric_dimension *dimensions, size_t dimension_count, double value,
	enum metric_unit unit unused_arg, int64_t time_ms unused_arg)
{
	struct metric_sink *s = self;
	struct arena a cleanup(arena_done_p) = {0};
	struct series *one;
	struct buf labels;

	arena_init(&a, SIZE_MAX);
	buf_init(&labels, &a, LABELS_MAX);
	buf_put_char(&labels, '{');
	put_label(&labels, STR("account"), account);
	put_label(&labels, STR("region"), region);
	put_label(&labels, STR("namespace"), name_space);
	put_label(&labels, STR("name"), name);
	for (size_t i = 0; i < dimension_count; i++)
		put_label(&labels, dimensions[i].name, dimensions[i].value);
	buf_put_char(&labels, '}');
	pthread_mutex_lock(&s->lock);
	one = labels.over ? NULL : find(s, buf_str(&labels));
	if (one) {
		one->max = one->count ? MAX(one->max, value) : value;
		one->sum += value;
		one->count++;
	} else {
		s->dropped++;
	}
	pthread_mutex_unlock(&s->lock);
}

struct metric_sink *metric_sink_new(void)
{
	struct metric_sink *s = mem_new(struct metric_sink);

	s->port = (struct port_metric){s, sink_add};
	pthread_mutex_init(&s->lock, NULL);
	list_init(&s->series);
	return s;
}

void metric_sink_free(struct metric_sink *s)
{
	if (!s)
		return;
	list_for_each_safe(l, &s->series) {
		struct series *one = list_entry(l, struct series, link);

		mem_free((char *)(uintptr_t)one->labels.p);
		mem_free(one);
	}
	map_done(&s->by_labels);
	pthread_mutex_destroy(&s->lock);
	mem_free(s);
}

const struct port_metric *metric_sink_port(const struct metric_sink *s)
{
	return &s->port;
}

enum figure { FIGURE_SUM, FIGURE_COUNT, FIGURE_MAX, FIGURES };

void metric_sink_render(struct metric_sink *s, struct buf *out)
{
	static const struct {
		const char *name, *type, *help;
	} figures[FIGURES] = {
		[FIGURE_SUM] = {"cirrus_metric_sum", "counter", "Sum of what services counted."},
		[FIGURE_COUNT] = {"cirrus_metric_count", "counter", "How often they did."},
		[FIGURE_MAX] = {"cirrus_metric_max", "gauge", "The largest value since the start."},
	};

	pthread_mutex_lock(&s->lock);
	for (size_t f = 0; f < FIGURES; f++) {
		buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", figures[f].name, figures[f].help,
			figures[f].name, figures[f].type);
		list_for_each(l, &s->series) {
			const struct series *one = list_entry(l, struct series, link);

			buf_printf(out, "%s%.*s %.17g\n", figures[f].name, STR_ARG(one->labels),
				f == FIGURE_SUM     ? one->sum
				: f == FIGURE_COUNT ? (double)one->count
						    : one->max);
		}
	}
	buf_printf(out,
		"# HELP cirrus_metrics_dropped_total Values of series for which there was no "
		"room.\n"
		"# TYPE cirrus_metrics_dropped_total counter\n"
		"cirrus_metrics_dropped_total %llu\n",
		(unsigned long long)s->dropped);
	pthread_mutex_unlock(&s->lock);
}
