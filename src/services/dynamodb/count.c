/*
 * Counting of items: in the request, or in one background fiber of the server.
 */
#include "services/dynamodb/count.h"

#include "aws/keyspace.h"
#include "base/log.h"
#include "base/mem.h"
#include "kv/kv.h"
#include "services/dynamodb/record.h"
#include "services/dynamodb/service.h"

enum {
	FIGURES_VERSION = 1,
	BATCH_ITEMS = 2000, /* then others get their turn */
	PAUSE_MS = 1,
	FRESH_MS = 10 * 1000,
	COST_FACTOR = 200,
	OLD_MS = 6 * 3600 * 1000,
	WRITE_MS = 10 * 1000
};

struct figures {
	int64_t items, bytes;
};

struct stored_figures {
	struct figures figures;
	int64_t at_ms, took_ms;
};

str dynamodb_count_key(struct arena *a, uint64_t id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_DYNAMODB_META);
	keyspace_put(&key, STR("count"));
	buf_put_be64(&key, id);
	return buf_str(&key);
}

static void put_figures(struct buf *out, const struct stored_figures *s)
{
	buf_put_char(out, FIGURES_VERSION);
	buf_put_be64(out, (uint64_t)s->figures.items);
	buf_put_be64(out, (uint64_t)s->figures.bytes);
	buf_put_be64(out, (uint64_t)s->at_ms);
	buf_put_be64(out, (uint64_t)s->took_ms);
}

static int take_figures(str in, struct stored_figures *ret)
{
	uint64_t v[4];
	uint8_t version;

	if (!str_take_u8(&in, &version) || version != FIGURES_VERSION)
		return ERR_CORRUPT;
	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		if (!str_take_be64(&in, &v[i]))
			return ERR_CORRUPT;
	*ret = (struct stored_figures){
		{(int64_t)v[0], (int64_t)v[1]}, (int64_t)v[2], (int64_t)v[3]};
	return 0;
}

static int read_figures(struct dynamodb *d, uint64_t id, struct stored_figures *ret)
{
	struct arena a cleanup(arena_done_p);
	str value;

	arena_init(&a, 1 << 16);
	if (!TRY(kv_get(d->kv, dynamodb_count_key(&a, id), &a, &value)))
		return 0;
	TRY(take_figures(value, ret));
	return 1;
}

/* What is counted: a table's items, or an index's entries. */
struct target {
	uint64_t id;
	bool index;
};

enum { TARGETS_MAX = 1 + TABLE_INDEXES_MAX };

/* Where a count stands. */
struct count {
	struct figures figures;
	struct arena arena;
	struct buf next; /* the key to go on with */
	str end;
};

static void count_init(struct count *c, struct target target)
{
	*c = (struct count){.figures = {0, 0}};
	arena_init(&c->arena, 1 << 20);
	buf_init(&c->next, &c->arena, KEY_BYTES_MAX);
	if (target.index)
		key_put_index(&c->next, target.id);
	else
		key_put_table(&c->next, target.id);
	c->end = keyspace_prefix_end(&c->arena, buf_str(&c->next));
}

static void count_done(struct count *c)
{
	arena_done(&c->arena);
}

/*
 * Goes on with at most `items` and about `bytes`: 1 when there may be more, 0 at the end.
 * ERR_CONFLICT: may be called again, and goes on from where it was.
 */
static int count_some(struct dynamodb *d, struct count *c, unsigned items, int64_t bytes)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	const struct kv_range range = {.from = buf_str(&c->next), .to = c->end, .limit = items};
	int64_t until = c->figures.bytes + bytes;
	str key, value, item;
	uint64_t time;
	unsigned n = 0;

	TRY(kv_scan_open(d->kv, &range, &scan));
	while (n < items && c->figures.bytes < until) {
		if (!TRY(kv_scan_next(scan, &key, &value)))
			return 0;
		TRY(record_item(value, &item, &time));
		n++;
		buf_reset(&c->next);
		buf_put(&c->next, key);
		buf_put_char(&c->next, 0);
		if (!item.p)
			continue;
		c->figures.items++;
		c->figures.bytes += (int64_t)item_size(item);
	}
	return 1;
}

static int count_all(struct dynamodb *d, struct count *c)
{
	int rc;

	while ((rc = count_some(d, c, BATCH_ITEMS, COUNT_NOW_BYTES)) != 0) {
		if (rc < 0 && rc != ERR_CONFLICT)
			return rc;
		if (atomic_load(&d->stopping))
			return ERR_CANCELLED;
		TRY(rt_sleep_until(rt_after_ms(PAUSE_MS)));
	}
	return 0;
}

struct background_count {
	struct dynamodb *d;
	struct flight flight; /* so that the sweep does not miss the figures */
	struct target targets[TARGETS_MAX];
	size_t n;
};

static int count_and_keep(struct dynamodb *d, struct target target)
{
	struct count count cleanup(count_done);
	int64_t begun = rt_now();
	struct stored_figures s;
	struct buf value;

	count_init(&count, target);
	TRY(count_all(d, &count));
	s = (struct stored_figures){.figures = count.figures,
		.at_ms = rt_wall() / RT_NS_MS,
		.took_ms = (rt_now() - begun) / RT_NS_MS};
	buf_init(&value, &count.arena, 64);
	put_figures(&value, &s);
	return kv_put(d->kv, dynamodb_count_key(&count.arena, target.id), buf_str(&value),
		rt_after_ms(WRITE_MS));
}

static void background_end(struct background_count *b)
{
	struct dynamodb *d = b->d;

	flight_leave(&b->flight);
	mem_free(b);
	atomic_store(&d->counting, false);
	rt_event_set(&d->count_ended);
}

static void count_in_background(void *arg)
{
	struct background_count *b = arg;
	int rc = 0;

	for (size_t i = 0; i < b->n && rc >= 0; i++)
		rc = count_and_keep(b->d, b->targets[i]);
	if (rc < 0 && rc != ERR_CANCELLED)
		log_warn("dynamodb", "a table could not be counted", "rc=%s", rc_name(rc));
	background_end(b);
}

/* One at a time: the next DescribeTable asks again. The caller has the table, in a flight. */
static void begin_count(struct dynamodb *d, const struct target *targets, size_t n)
{
	struct background_count *b;

	if (atomic_exchange(&d->counting, true))
		return;
	rt_event_init(&d->count_ended);
	b = mem_new(struct background_count);
	b->d = d;
	b->flight = flight_enter(&d->flights);
	memcpy(b->targets, targets, n * sizeof *targets);
	b->n = n;
	if (rt_spawn(count_in_background, b) < 0)
		background_end(b);
}

/* 1: all of it is counted; 0: it is too large for that, these are the last figures. */
static int count_now(struct dynamodb *d, struct target target, int64_t deadline,
	struct figures *ret_figures, bool *ret_old)
{
	struct count now cleanup(count_done);
	struct stored_figures last = {.at_ms = 0};
	int64_t age_max;
	int rc;

	count_init(&now, target);
	do {
		if (rt_now() >= deadline)
			return ERR_TIMEOUT;
		/* One more than it may hold: a table of just that size is then at its end. */
		rc = count_some(d, &now, COUNT_NOW_ITEMS + 1, COUNT_NOW_BYTES);
	} while (rc == ERR_CONFLICT && now.figures.items <= COUNT_NOW_ITEMS);
	if (rc < 0 && rc != ERR_CONFLICT)
		return rc;
	if (rc == 0) {
		*ret_figures = now.figures;
		return 1;
	}
	TRY(read_figures(d, target.id, &last));
	age_max = MIN(MAX((int64_t)FRESH_MS, last.took_ms * COST_FACTOR), (int64_t)OLD_MS);
	*ret_old = rt_wall() / RT_NS_MS - last.at_ms >= age_max;
	*ret_figures = last.figures;
	return 0;
}

int dynamodb_count(struct dynamodb *d, const struct table *t, bool renew, int64_t deadline,
	struct table_figures *ret_figures)
{
	struct target old[TARGETS_MAX];
	size_t olds = 0;
	struct table_figures all = {.items = 0};

	for (size_t i = 0; i <= t->index_count; i++) {
		/* The table itself, then its indexes. */
		struct target target = i ? (struct target){t->indexes[i - 1].id, true}
					 : (struct target){t->id, false};
		struct figures f;
		bool is_old = false;

		TRY(count_now(d, target, deadline, &f, &is_old));
		if (i) {
			all.index[i - 1].items = f.items;
			all.index[i - 1].bytes = f.bytes;
		} else {
			all.items = f.items;
			all.bytes = f.bytes;
		}
		if (is_old)
			old[olds++] = target;
	}
	if (renew && olds)
		begin_count(d, old, olds);
	*ret_figures = all;
	return 0;
}
