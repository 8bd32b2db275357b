/*
 * Each invocation of a function tells of about ten values, so adding one is a look-up by a key made
 * on the stack; labels are rendered once, when a series is new.
 */
#include "server/metric_sink.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#include <pthread.h>

enum { SERIES_MAX = 4000, LABELS_MAX = 4096, KEY_MAX = 1024 };

struct series {
	struct list link; /* in the order of coming */
	uint64_t count;
	double sum, max;
	str key, labels; /* owned */
};

/* What a series is found by: the parts with their lengths. */
struct key {
	size_t n;
	bool over;
	char bytes[KEY_MAX];
};

/* A value that is told, but for the value. */
struct told {
	str account, region, name_space, name;
	const struct metric_dimension *dimensions;
	size_t dimension_count;
};

struct metric_sink {
	struct port_metric port;
	pthread_mutex_t lock; /* of what follows; never held over a suspension */
	struct map by_key;
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

static str labels_of(struct arena *a, const struct told *told)
{
	struct buf labels;

	buf_init(&labels, a, LABELS_MAX);
	buf_put_char(&labels, '{');
	put_label(&labels, STR("account"), told->account);
	put_label(&labels, STR("region"), told->region);
	put_label(&labels, STR("namespace"), told->name_space);
	put_label(&labels, STR("name"), told->name);
	for (size_t i = 0; i < told->dimension_count; i++)
		put_label(&labels, told->dimensions[i].name, told->dimensions[i].value);
	buf_put_char(&labels, '}');
	return labels.over ? STR_NULL : buf_str(&labels);
}

static void put_part(struct key *k, str part)
{
	uint16_t n = (uint16_t)part.n;

	if (k->over || part.n > KEY_MAX || k->n + sizeof n + part.n > KEY_MAX) {
		k->over = true;
		return;
	}
	memcpy(k->bytes + k->n, &n, sizeof n);
	k->n += sizeof n;
	if (part.n)
		memcpy(k->bytes + k->n, part.p, part.n);
	k->n += part.n;
}

static void make_key(struct key *k, const struct told *told)
{
	k->n = 0;
	k->over = false;
	put_part(k, told->account);
	put_part(k, told->region);
	put_part(k, told->name_space);
	put_part(k, told->name);
	for (size_t i = 0; i < told->dimension_count; i++) {
		put_part(k, told->dimensions[i].name);
		put_part(k, told->dimensions[i].value);
	}
}

static str keep(str s)
{
	char *p = mem_alloc(s.n);

	memcpy(p, s.p, s.n);
	return str_of(p, s.n);
}

/* Under the lock; NULL when there is no room for another one. */
static struct series *find(struct metric_sink *s, const struct key *k, const struct told *told)
{
	struct series *one = map_get(&s->by_key, str_of(k->bytes, k->n));
	struct arena a cleanup(arena_done_p) = {0};
	str labels;

	if (one || s->by_key.count >= SERIES_MAX)
		return one;
	arena_init(&a, SIZE_MAX);
	labels = labels_of(&a, told);
	if (!labels.p)
		return NULL;
	one = mem_new(struct series);
	one->key = keep(str_of(k->bytes, k->n));
	one->labels = keep(labels);
	list_push_back(&s->series, &one->link);
	map_put(&s->by_key, one->key, one);
	return one;
}

static void sink_add(void *self, str account, str region, str name_space, str name,
	const struct metric_dimension *dimensions, size_t dimension_count, double value,
	enum metric_unit unit unused_arg, int64_t time_ms unused_arg)
{
	const struct told told = {account, region, name_space, name, dimensions, dimension_count};
	struct metric_sink *s = self;
	struct series *one;
	struct key k;

	make_key(&k, &told);
	pthread_mutex_lock(&s->lock);
	one = k.over ? NULL : find(s, &k, &told);
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

		mem_free((char *)(uintptr_t)one->key.p);
		mem_free((char *)(uintptr_t)one->labels.p);
		mem_free(one);
	}
	map_done(&s->by_key);
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
