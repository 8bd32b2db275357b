/*
 * The engine's fiber and runs: see mapping_engine.h.
 */
#include "services/lambda/mapping_engine.h"

#include "aws/keyspace.h"
#include "aws/ports/metric.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "services/lambda/limits.h"
#include "services/lambda/mapping_internal.h"

enum {
	LOOK_MS = 60000,      /* for mappings that another node has written, and new shards */
	LOOK_AGAIN_MS = 1000, /* after trouble, and for readers that found no place */
	STOP_STEP_MS = 5
};

/* ---- what runs and readers say ---- */

void mapping_say(struct mapping_run *run, const char *result)
{
	int rc;

	if (run->result && strcmp(run->result, result) == 0)
		return;
	run->result = result;
	rc = mapping_put_result(run->engine->kv, run->account, run->region, run->uuid,
		str_c(result), rt_after_ms(MAPPING_KV_MS));
	if (rc < 0)
		run->result = NULL; /* the next one will be written */
}

void mapping_count(struct mapping_run *run, const char *name, size_t value)
{
	const struct port_metric *metric = run->engine->options.ports->metric;
	const struct metric_dimension dimension = {STR("EventSourceMappingUUID"), run->uuid};

	if (metric && value && run->settings.counts)
		metric->add(metric->self, run->account, run->region, STR("AWS/Lambda"), str_c(name),
			&dimension, 1, (double)value, METRIC_COUNT, rt_wall() / RT_NS_MS);
}

/* ---- a run ---- */

static void free_reader(struct mapping_reader *r)
{
	list_remove(&r->link);
	buf_done(&r->shard);
	buf_done(&r->position);
	buf_done(&r->state);
	buf_done(&r->aside_last);
	mem_free(r);
}

static void reap_readers(struct mapping_run *run)
{
	list_for_each_safe(l, &run->readers) {
		struct mapping_reader *r = list_entry(l, struct mapping_reader, link);

		if (r->ended)
			free_reader(r);
	}
}

static bool has_reader(const struct mapping_run *run, str shard)
{
	list_for_each(l, &run->readers)
		if (str_eq(buf_str(&list_entry(l, struct mapping_reader, link)->shard), shard))
			return true;
	return false;
}

static const struct mapping_checkpoint *checkpoint_of(
	const struct mapping_checkpoint *all, int n, str shard)
{
	for (int i = 0; i < n; i++)
		if (str_eq(all[i].shard, shard))
			return &all[i];
	return NULL;
}

static int put(struct mapping_run *run, struct arena *a,
	const struct mapping_checkpoint *checkpoints, size_t n, bool remove)
{
	return mapping_put_checkpoints(run->engine->kv, a, run->account, run->region, run->uuid,
		checkpoints, n, remove, rt_after_ms(MAPPING_KV_MS));
}

/*
 * Takes the starting positions, once: LATEST means from now on in what is open now, and all of what
 * opens later; TRIM_HORIZON means the beginning of everything, which needs no note.
 */
static int take_start(struct mapping_run *run, struct arena *a, const struct records_shard *shards,
	int shard_count)
{
	struct mapping_checkpoint *all =
		arena_new_array(a, struct mapping_checkpoint, (size_t)shard_count + 1);
	size_t n = 0;

	all[n++] = (struct mapping_checkpoint){.shard = STR(""), .done = true};
	for (int i = 0; i < shard_count && run->settings.start == RECORDS_LATEST; i++) {
		all[n] = (struct mapping_checkpoint){.shard = shards[i].id, .done = true};
		if (!shards[i].closed) {
			all[n].done = false;
			TRY(run->port->start(run->port->self, a, run->settings.source_arn,
				shards[i].id, RECORDS_LATEST, 0, &all[n].position));
		}
		n++;
	}
	return put(run, a, all, n, false);
}

/* 1 when it runs, 0 when there is no place. */
static int start_reader(struct mapping_run *run, str shard)
{
	struct mapping_engine *e = run->engine;
	struct mapping_reader *r;

	if (atomic_fetch_add(&e->readers, 1) >= LAMBDA_MAPPING_READERS_MAX) {
		atomic_fetch_sub(&e->readers, 1);
		return 0;
	}
	r = mem_new(struct mapping_reader);
	r->run = run;
	r->loop = &e->loops[rt_loop_index()];
	rt_waitq_init(&r->wake);
	buf_init(&r->shard, NULL, KEYSPACE_KEY_MAX);
	buf_init(&r->position, NULL, KEYSPACE_KEY_MAX);
	buf_init(&r->state, NULL, BATCH_STATE_BYTES_KEPT);
	buf_init(&r->aside_last, NULL, KEYSPACE_KEY_MAX);
	buf_put(&r->shard, shard);
	list_push_back(&run->readers, &r->link);
	if (rt_spawn(mapping_reader_fiber, r) < 0) {
		free_reader(r);
		atomic_fetch_sub(&e->readers, 1);
		return 0;
	}
	return 1;
}

static const struct records_shard *shard_named(const struct records_shard *shards, int n, str id)
{
	for (int i = 0; id.p && i < n; i++)
		if (str_eq(shards[i].id, id))
			return &shards[i];
	return NULL;
}

/* Checkpoints of shards that the source has forgotten. */
static int prune(struct mapping_run *run, struct arena *a, const struct records_shard *shards,
	int shard_count, const struct mapping_checkpoint *all, int n)
{
	for (int i = 0; i < n; i++)
		if (all[i].shard.n && !shard_named(shards, shard_count, all[i].shard) &&
			!has_reader(run, all[i].shard))
			TRY(put(run, a, &all[i], 1, true));
	return 0;
}

/* Starts what can be read now: 1, or 0 when some found no place. */
static int supervise(struct mapping_run *run)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct mapping_checkpoint *all;
	struct records_shard *shards;
	int shard_count, n, placed = 1;

	arena_init(&a, SIZE_MAX);
	shard_count =
		TRY(run->port->shards(run->port->self, &a, run->settings.source_arn, &shards));
	n = TRY(mapping_checkpoints(
		run->engine->kv, &a, run->account, run->region, run->uuid, &all));
	if (!checkpoint_of(all, n, STR(""))) {
		TRY(take_start(run, &a, shards, shard_count));
		n = TRY(mapping_checkpoints(
			run->engine->kv, &a, run->account, run->region, run->uuid, &all));
	}
	for (int i = 0; i < shard_count; i++) {
		const struct mapping_checkpoint *own = checkpoint_of(all, n, shards[i].id), *parent;

		parent = checkpoint_of(all, n, shards[i].parent);
		if ((own && own->done) || has_reader(run, shards[i].id))
			continue;
		if (shard_named(shards, shard_count, shards[i].parent) && !(parent && parent->done))
			continue;
		if (!start_reader(run, shards[i].id))
			placed = 0;
	}
	TRY(prune(run, &a, shards, shard_count, all, n));
	return placed;
}

static void end_readers(struct mapping_run *run)
{
	while (!list_empty(&run->readers)) {
		list_for_each(l, &run->readers)
			(void)rt_waitq_wake_all(&list_entry(l, struct mapping_reader, link)->wake);
		rt_event_wait_sure(&run->change);
		reap_readers(run);
	}
}

static void run_fiber(void *arg)
{
	struct mapping_run *run = arg;
	struct mapping_engine *e = run->engine;

	while (!mapping_stopping(run)) {
		int64_t pause_ms = LOOK_MS;
		int rc = supervise(run);

		if (rc == ERR_NOT_FOUND)
			mapping_say(run, "PROBLEM: Stream not found");
		else if (rc < 0)
			log_warn("lambda", "shards of an event source could not be looked at",
				"mapping=%.*s source=%.*s error=%s", STR_ARG(run->uuid),
				STR_ARG(run->settings.source_arn), rc_text(rc));
		if (rc == 0 || (rc < 0 && rc != ERR_NOT_FOUND))
			pause_ms = LOOK_AGAIN_MS;
		if ((rc >= 0 || rc == ERR_NOT_FOUND) && !atomic_exchange(&run->ready, true))
			mapping_engine_wake(e);
		rc = rt_event_wait(&run->change, rt_after_ms(pause_ms));
		if (rc < 0 && rc != ERR_TIMEOUT)
			break;
		reap_readers(run);
	}
	atomic_store(&run->stopping, true);
	end_readers(run);
	atomic_fetch_sub(&e->runs_live, 1);
	atomic_store(&run->ended, true); /* from here on it is the engine's */
	mapping_engine_wake(e);
}

/* ---- the engine ---- */

static struct mapping_run *find_run(struct mapping_engine *e, const struct mapping *m)
{
	list_for_each(l, &e->runs) {
		struct mapping_run *run = list_entry(l, struct mapping_run, link);

		if (str_eq(run->uuid, m->uuid) && str_eq(run->account, m->account) &&
			str_eq(run->region, m->region))
			return run;
	}
	return NULL;
}

static void free_run(struct mapping_run *run)
{
	list_remove(&run->link);
	run->engine->run_count--;
	arena_done(&run->arena);
	mem_free(run);
}

static void ask_to_end(struct mapping_run *run)
{
	if (!atomic_exchange(&run->stopping, true))
		rt_event_set(&run->change);
}

/* 1 when it runs, 0 when there is no place or nobody reads such a source. */
static int start_run(struct mapping_engine *e, const struct mapping *m)
{
	struct mapping_run *run;
	struct mapping own;
	int rc;

	if (e->run_count >= LAMBDA_MAPPING_RUNS_MAX)
		return 0;
	run = mem_new(struct mapping_run);
	run->engine = e;
	arena_init(&run->arena, SIZE_MAX);
	list_init(&run->readers);
	rt_event_init(&run->change);
	list_push_back(&e->runs, &run->link);
	e->run_count++;
	/* In the run's own arena, by way of the record. */
	own = *m;
	rc = mapping_decode(&run->arena, mapping_encode(&run->arena, m), &own);
	if (rc >= 0)
		rc = mapping_settings_of(&run->arena, &own, &run->settings);
	run->account = arena_str(&run->arena, m->account);
	run->region = arena_str(&run->arena, m->region);
	run->uuid = arena_str(&run->arena, m->uuid);
	run->revision = m->revision;
	run->port = port_records_of(e->options.ports, run->settings.source_arn);
	if (rc < 0 || !run->port) {
		free_run(run);
		return rc < 0 ? rc : 0;
	}
	e->next_loop = (e->next_loop + 1) % rt_loop_count(e->options.rt);
	atomic_fetch_add(&e->runs_live, 1);
	rc = rt_spawn_on(e->options.rt, e->next_loop, run_fiber, run);
	if (rc < 0) {
		atomic_fetch_sub(&e->runs_live, 1);
		free_run(run);
		return 0;
	}
	return 1;
}

struct state_change {
	uint64_t revision;
	enum mapping_state state;
};

static int set_state(void *arg, struct arena *a unused_arg, struct mapping *m)
{
	const struct state_change *x = arg;

	if (m->revision != x->revision || m->state == x->state || m->state == MAPPING_DELETING)
		return 0;
	m->state = x->state;
	m->modified_ms = rt_wall() / RT_NS_MS;
	return 1;
}

static int reach(struct mapping_engine *e, struct arena *a, const struct mapping *m,
	enum mapping_state state)
{
	struct state_change x = {m->revision, state};
	const struct mapping_change change = {.account = m->account,
		.region = m->region,
		.uuid = m->uuid,
		.function_arn = STR_NULL,
		.change = set_state,
		.arg = &x,
		.deadline = rt_after_ms(MAPPING_KV_MS)};

	if (m->state == state)
		return 0;
	return mapping_change(e->kv, a, &change, NULL, NULL);
}

/* Takes one mapping a step further: 1, or 0 when it has to be looked at again soon. */
static int step(struct mapping_engine *e, struct arena *a, const struct mapping *m)
{
	bool wanted = m->enabled && m->state != MAPPING_DELETING;
	struct mapping_run *run = find_run(e, m);

	if (run && atomic_load(&run->ended)) {
		free_run(run);
		run = NULL;
	}
	if (run && (!wanted || run->revision != m->revision)) {
		ask_to_end(run);
		return 1; /* its end wakes us */
	}
	if (run)
		return atomic_load(&run->ready) ? reach(e, a, m, MAPPING_ENABLED) < 0 ? 0 : 1 : 1;
	if (m->state == MAPPING_DELETING)
		return mapping_remove(e->kv, a, m, rt_after_ms(MAPPING_KV_MS)) < 0 ? 0 : 1;
	if (!wanted)
		return reach(e, a, m, MAPPING_DISABLED) < 0 ? 0 : 1;
	return start_run(e, m) > 0;
}

struct look {
	struct mapping_engine *engine;
	struct arena *arena;
	struct mapping *mappings;
	size_t count, capacity;
};

static int collect(void *arg, const struct mapping *m)
{
	struct look *look = arg;

	if (look->count == look->capacity) {
		size_t capacity = MAX((size_t)16, 2 * look->capacity);
		struct mapping *more = arena_new_array(look->arena, struct mapping, capacity);

		if (look->count)
			memcpy(more, look->mappings, look->count * sizeof(*more));
		look->mappings = more;
		look->capacity = capacity;
	}
	look->mappings[look->count++] = *m;
	return 0;
}

/* Runs whose mapping is gone from the store (another node has removed it). */
static void end_orphans(struct mapping_engine *e, const struct look *look)
{
	list_for_each_safe(l, &e->runs) {
		struct mapping_run *run = list_entry(l, struct mapping_run, link);
		bool found = false;

		for (size_t i = 0; i < look->count && !found; i++)
			found = find_run(e, &look->mappings[i]) == run;
		if (!found && atomic_load(&run->ended))
			free_run(run);
		else if (!found)
			ask_to_end(run);
	}
}

/* One look at all mappings: 1, or 0 to look again soon. */
static int look_at_all(struct mapping_engine *e)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct look look = {.engine = e, .arena = &a};
	int done = 1;

	arena_init(&a, SIZE_MAX);
	TRY(mapping_each(e->kv, &a, STR_NULL, STR_NULL, STR_NULL, collect, &look));
	end_orphans(e, &look);
	for (size_t i = 0; i < look.count && !atomic_load(&e->stopping); i++)
		if (!step(e, &a, &look.mappings[i]))
			done = 0;
	return done;
}

static void engine_fiber(void *arg)
{
	struct mapping_engine *e = arg;

	while (!atomic_load(&e->stopping)) {
		int rc = look_at_all(e);

		if (rc < 0)
			log_warn("lambda", "event source mappings could not be looked at",
				"error=%s", rc_text(rc));
		rc = rt_event_wait(
			&e->wake, rt_after_ms(rc > 0 ? (int64_t)LOOK_MS : LOOK_AGAIN_MS));
		if (rc < 0 && rc != ERR_TIMEOUT)
			break;
	}
	rt_event_set(&e->stopped);
}

struct mapping_engine *mapping_engine_new(const struct mapping_engine_options *options)
{
	struct mapping_engine *e = mem_new(struct mapping_engine);

	e->options = *options;
	while (!e->boot)
		rt_random_bytes(&e->boot, sizeof(e->boot));
	list_init(&e->runs);
	rt_event_init(&e->wake);
	rt_event_init(&e->stopped);
	for (size_t i = 0; i < RT_LOOPS_MAX; i++)
		rt_waitq_init(&e->loops[i].room);
	return e;
}

int mapping_engine_start(struct mapping_engine *e, struct kv *kv)
{
	e->kv = kv;
	TRY(rt_spawn(engine_fiber, e));
	e->started = true;
	return 0;
}

void mapping_engine_wake(struct mapping_engine *e)
{
	rt_event_set(&e->wake);
}

void mapping_engine_stop(struct mapping_engine *e, int64_t deadline)
{
	if (e->started) {
		atomic_store(&e->stopping, true);
		mapping_engine_wake(e);
		rt_event_wait_sure(&e->stopped);
		e->started = false;
		list_for_each(l, &e->runs)
			ask_to_end(list_entry(l, struct mapping_run, link));
	}
	while (atomic_load(&e->runs_live) && rt_now() < deadline)
		if (rt_sleep_until(rt_after_ms(STOP_STEP_MS)) < 0)
			break;
}

void mapping_engine_free(struct mapping_engine *e)
{
	if (!e)
		return;
	list_for_each_safe(l, &e->runs)
		free_run(list_entry(l, struct mapping_run, link));
	mem_free(e);
}
