/*
 * Many callers at once: fibers of several loops write numbered lines into a few streams of a few
 * groups, through the port and with waiting, while the store makes commits conflict. Afterwards
 * every line that was acknowledged is there once, each caller's lines are in its order, and a whole
 * group reads in order of time; page by page and backward gives the same lines.
 */
#include "aws/ports/log.h"
#include "aws/ports/ports.h"
#include "base/mem.h"
#include "base/rc.h"
#include "kv/kv.h"
#include "rt/rt.h"
#include "services/logs/cursor.h"
#include "services/logs/service.h"
#include "test/test.h"

#include <stdio.h>

enum { LOOPS = 2, CALLERS = 24, PUTS = 20, LINES = 3, GROUPS = 2, STREAMS = 3 };

struct many {
	struct rt *rt;
	struct ports ports;
	struct logs *logs;
	struct kv *kv;
	_Atomic unsigned left;
	_Atomic unsigned stored[GROUPS];
	struct rt_event done;
	struct caller {
		struct many *m;
		unsigned number;
	} callers[CALLERS];
};

static const struct log_scope scope = {STR_INIT("000000000000"), STR_INIT("us-east-1")};
static const char *const group_names[GROUPS] = {"/g/0", "/g/1"};
static const char *const stream_names[STREAMS] = {"a", "b", "c"};

static void caller_run(void *arg)
{
	struct caller *c = arg;
	struct many *m = c->m;
	const struct port_log *port = m->ports.log;
	unsigned group = c->number % GROUPS, stream = c->number % STREAMS;

	for (unsigned i = 0; i < PUTS; i++) {
		struct port_log_event events[LINES];
		char text[LINES][32];

		for (unsigned k = 0; k < LINES; k++) {
			int n = snprintf(
				text[k], sizeof(text[k]), "%u %u", c->number, i * LINES + k);
			events[k] = (struct port_log_event){
				rt_wall() / RT_NS_MS, str_of(text[k], (size_t)n)};
		}
		int rc = port->put(port->self, scope.account, scope.region,
			str_c(group_names[group]), str_c(stream_names[stream]), true,
			rt_random() % 2, events, LINES);
		if (rc == 0)
			atomic_fetch_add(&m->stored[group], LINES);
		else
			EXPECT_INT(rc, ERR_BUSY);
		if (rt_random() % 4 == 0 && rt_yield() < 0)
			break;
	}
	if (atomic_fetch_sub(&m->left, 1) == 1)
		rt_event_set(&m->done);
}

/* All lines of a range; checks order, and each caller's count upwards from 0. */
static unsigned read_all(struct many *m, struct arena *a, const struct cursor_options *options)
{
	unsigned next[CALLERS] = {0}, count = 0, caller, line;
	struct log_position last = {0};
	struct log_event event;
	struct cursor cursor;
	int rc = cursor_open(&cursor, m->kv, a, options);

	while (rc >= 0 && (rc = cursor_next(&cursor, &event)) == 1) {
		char text[32] = {0};

		memcpy(text, event.message.p, MIN(event.message.n, sizeof(text) - 1));
		EXPECT_INT(sscanf(text, "%u %u", &caller, &line), 2);
		if (count)
			EXPECT((log_position_compare(&last, &event.at) < 0) != options->backward);
		last = event.at;
		if (caller < CALLERS && !options->backward && options->from.time_ms == 0)
			EXPECT_INT(line, next[caller]++);
		count++;
	}
	EXPECT_INT(rc, 0);
	cursor_close(&cursor);
	return count;
}

/* The same lines in pages of a few. */
static unsigned read_pages(struct many *m, struct arena *a, struct cursor_options options)
{
	unsigned count = 0, got;

	do {
		struct log_event event;
		struct cursor cursor;

		got = 0;
		EXPECT_INT(cursor_open(&cursor, m->kv, a, &options), 0);
		while (got < 7 && cursor_next(&cursor, &event) == 1) {
			got++;
			if (options.backward)
				options.to = event.at;
			else
				options.from = (struct log_position){
					event.at.time_ms, event.at.sequence, event.at.index + 1};
		}
		cursor_close(&cursor);
		count += got;
	} while (got);
	return count;
}

static void check_group(struct many *m, unsigned number)
{
	struct arena a cleanup(arena_done_p);
	struct log_group group;
	struct log_stream stream;
	unsigned in_streams = 0, expected = atomic_load(&m->stored[number]);

	arena_init(&a, 64 << 20);
	ASSERT_INT(log_group_get(m->kv, &a, &scope, str_c(group_names[number]), &group), 1);
	struct cursor_options options = {.group = group.id, .to = log_position_last};
	EXPECT_INT(read_all(m, &a, &options), expected);
	EXPECT_INT(read_pages(m, &a, options), expected);
	for (unsigned i = 0; i < STREAMS; i++) {
		int rc = log_stream_get(
			m->kv, &a, &scope, group.id, str_c(stream_names[i]), &stream);

		if (!EXPECT(rc >= 0) || rc == 0)
			continue;
		options.stream = stream.id;
		options.backward = false;
		unsigned forward = read_all(m, &a, &options);
		options.backward = true;
		EXPECT_INT(read_all(m, &a, &options), forward);
		EXPECT_INT(read_pages(m, &a, options), forward);
		in_streams += forward;
	}
	EXPECT_INT(in_streams, expected);
}

static void many_main(void *arg)
{
	struct many *m = arg;
	struct kv *inner;
	const struct kv_memory_options memory = {.seed = 7};
	const struct kv_fault_options faults = {
		.seed = 7, .conflict_per_mille = 200, .delay_min_ns = 1000, .delay_max_ns = 100000};

	EXPECT_INT(kv_open_memory(&memory, &inner), 0);
	EXPECT_INT(kv_open_fault(inner, &faults, &m->kv), 0);
	EXPECT_INT(logs_service_start(m->logs, m->kv), 0);
	rt_event_init(&m->done);
	atomic_store(&m->left, CALLERS);
	for (unsigned i = 0; i < CALLERS; i++) {
		m->callers[i] = (struct caller){m, i};
		EXPECT_INT(rt_spawn_on(m->rt, i % LOOPS, caller_run, &m->callers[i]), 0);
	}
	EXPECT_INT(rt_event_wait(&m->done, rt_after_ms(60000)), 0);
	EXPECT_INT(logs_service_drain(m->logs, rt_after_ms(60000)), 0);
	struct logs_figures figures;
	logs_figures(m->logs, &figures);
	unsigned all = atomic_load(&m->stored[0]) + atomic_load(&m->stored[1]);
	EXPECT_INT(figures.events, all);
	EXPECT(all > 0 && figures.commits < all && figures.batches < all);
	for (unsigned i = 0; i < GROUPS; i++)
		check_group(m, i);
	logs_service_stop(m->logs, rt_after_ms(60000));
	kv_close(m->kv);
	rt_stop(m->rt);
}

TEST(logs, many_writers)
{
	struct many *m = mem_new(struct many);
	const struct rt_options options = {.loops = LOOPS};

	ASSERT_INT(rt_new(&options, &m->rt), 0);
	const struct logs_options logs = {
		.rt = m->rt, .ports = &m->ports, .linger_ms = 1, .sweep_ms = INT64_C(1) << 40};
	ASSERT_INT(logs_service_new(&logs, &m->logs), 0);
	EXPECT_INT(rt_run(m->rt, many_main, m), 0);
	logs_service_free(m->logs);
	rt_free(m->rt);
	mem_free(m);
}

/* A queue that is full drops and counts, and never waits. */
static void full_main(void *arg)
{
	struct many *m = arg;
	const struct kv_memory_options memory = {.seed = 7};
	struct port_log_event event = {1, STR("x")};
	unsigned taken = 0, refused = 0;

	EXPECT_INT(kv_open_memory(&memory, &m->kv), 0);
	/* Before the start there is nowhere to put it. */
	EXPECT_INT(m->ports.log->put(m->ports.log->self, scope.account, scope.region, STR("g"),
			   STR("s"), true, false, &event, 1),
		ERR_BUSY);
	EXPECT_INT(logs_service_start(m->logs, m->kv), 0);
	for (unsigned i = 0; i < 100; i++) {
		int rc = m->ports.log->put(m->ports.log->self, scope.account, scope.region,
			STR("g"), STR("s"), true, false, &event, 1);

		taken += rc == 0;
		refused += rc == ERR_BUSY;
	}
	EXPECT_INT(taken + refused, 100);
	EXPECT(taken > 0 && refused > 0);
	EXPECT_INT(logs_service_drain(m->logs, rt_after_ms(60000)), 0);
	struct logs_figures figures;
	logs_figures(m->logs, &figures);
	EXPECT_INT(figures.events, taken);
	EXPECT_INT(figures.dropped, refused);
	/* A group that may not be made. */
	EXPECT_INT(m->ports.log->put(m->ports.log->self, scope.account, scope.region, STR("none"),
			   STR("s"), false, true, &event, 1),
		ERR_NOT_FOUND);
	/* Room again. Bytes that are no text become some; an empty line is none. */
	struct port_log_event odd[] = {{1, STR("a\xff"
					       "b\xc3")},
		{2, STR("")}};
	EXPECT_INT(m->ports.log->put(m->ports.log->self, scope.account, scope.region, STR("odd"),
			   STR("s"), true, true, odd, 2),
		0);
	struct arena a cleanup(arena_done_p);
	struct log_group group;
	struct log_event got;
	struct cursor cursor;
	arena_init(&a, 1 << 20);
	ASSERT_INT(log_group_get(m->kv, &a, &scope, STR("odd"), &group), 1);
	struct cursor_options options = {.group = group.id, .to = log_position_last};
	ASSERT_INT(cursor_open(&cursor, m->kv, &a, &options), 0);
	if (EXPECT_INT(cursor_next(&cursor, &got), 1))
		EXPECT_STR(got.message, STR("a\xef\xbf\xbd"
					    "b\xef\xbf\xbd"));
	EXPECT_INT(cursor_next(&cursor, &got), 0);
	cursor_close(&cursor);
	logs_service_stop(m->logs, rt_after_ms(60000));
	kv_close(m->kv);
	rt_stop(m->rt);
}

TEST(logs, full_queue)
{
	struct many *m = mem_new(struct many);
	const struct rt_options options = {.loops = 1};

	ASSERT_INT(rt_new(&options, &m->rt), 0);
	const struct logs_options logs = {.rt = m->rt,
		.ports = &m->ports,
		.linger_ms = 1,
		.queue_bytes_max = 20000,
		.sweep_ms = INT64_C(1) << 40};
	ASSERT_INT(logs_service_new(&logs, &m->logs), 0);
	EXPECT_INT(rt_run(m->rt, full_main, m), 0);
	logs_service_free(m->logs);
	rt_free(m->rt);
	mem_free(m);
}
