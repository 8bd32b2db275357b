/*
 * Reading a shard: gathers rounds of records, and keeps the position. See mapping_engine.h.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/rc.h"
#include "services/lambda/limits.h"
#include "services/lambda/mapping_internal.h"

enum {
	WAIT_MS = 60000,      /* at the port, for the first record */
	WRITE_LAZY_MS = 1000, /* positions that only passed what was filtered out */
	ROOM_STEP_MS = 1000,
	ROUND_BATCHES_MAX = 4 /* so many events' bytes in a round of several lanes */
};

int mapping_pause(struct mapping_reader *r, unsigned times)
{
	int64_t ms = (int64_t)MAPPING_PAUSE_MS << MIN(times - 1, 10u);
	int rc;

	if (mapping_stopping(r->run))
		return ERR_CANCELLED;
	rc = rt_waitq_wait(&r->wake, rt_after_ms(MIN(ms, (int64_t)MAPPING_PAUSE_MS_MAX)));
	if (rc < 0 && rc != ERR_TIMEOUT)
		return rc;
	return mapping_stopping(r->run) ? ERR_CANCELLED : 0;
}

/* ---- the position ---- */

static int write_once(struct mapping_reader *r)
{
	struct arena a cleanup(arena_done_p) = {0};
	const struct mapping_run *run = r->run;
	const struct mapping_checkpoint c = {.shard = buf_str(&r->shard),
		.done = r->done,
		.position = r->done ? STR("") : buf_str(&r->position),
		.window_ms = r->window_ms,
		.state = r->window_ms ? buf_str(&r->state) : STR("")};

	arena_init(&a, SIZE_MAX);
	return mapping_put_checkpoints(run->engine->kv, &a, run->account, run->region, run->uuid,
		&c, 1, false, rt_after_ms(MAPPING_KV_MS));
}

static void set_position(struct mapping_reader *r, str position)
{
	if (!str_eq(position, buf_str(&r->position)))
		r->crashes = 0; /* they were those of what has been passed */
	buf_reset(&r->position);
	buf_put(&r->position, position);
	check(!r->position.over);
}

int mapping_write_position(struct mapping_reader *r, str position)
{
	unsigned tries = 0;
	int rc;

	if (position.p)
		set_position(r, position);
	r->unwritten = false;
	r->written_at = rt_now();
	while ((rc = write_once(r)) < 0) {
		log_warn("lambda", "the position of an event source mapping was not written",
			"mapping=%.*s shard=%.*s error=%s", STR_ARG(r->run->uuid),
			STR_ARG(buf_str(&r->shard)), rc_text(rc));
		TRY(mapping_pause(r, ++tries));
	}
	return 0;
}

static int load_position(struct mapping_reader *r)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct mapping_run *run = r->run;
	struct mapping_checkpoint c = {.window_ms = 0};
	str position;

	arena_init(&a, SIZE_MAX);
	if (TRY(mapping_checkpoint(run->engine->kv, &a, run->account, run->region, run->uuid,
		    buf_str(&r->shard), &c))) {
		set_position(r, c.position);
		r->window_ms = c.window_ms;
		buf_put(&r->state, c.state);
		return 0;
	}
	TRY(run->port->start(run->port->self, &a, run->settings.source_arn, buf_str(&r->shard),
		RECORDS_TRIM_HORIZON, 0, &position));
	set_position(r, position);
	return 0;
}

/* Processes all of it, marked, or puts aside what must not be tried again. */
static int work(struct mapping_reader *r, struct mapping_round *round)
{
	int rc;

	if (r->aside)
		return mapping_put_aside(r, round);
	TRY(mapping_begin(r, round));
	rc = mapping_process(r, round);
	mapping_end(r, rc);
	return rc;
}

/* ---- room ---- */

/* In the order of asking, however much: what is larger than all there is waits for an empty loop.
 */
static int take_room(struct mapping_reader *r, struct mapping_round *round, size_t bytes)
{
	struct mapping_loop *loop = r->loop;
	bool first = rt_waitq_empty(&loop->room);

	while (!first ||
		(loop->used_bytes && loop->used_bytes + bytes > LAMBDA_MAPPING_BYTES_MAX)) {
		int rc = rt_waitq_wait(&loop->room, rt_after_ms(ROOM_STEP_MS));

		if (mapping_stopping(r->run) || (rc < 0 && rc != ERR_TIMEOUT)) {
			(void)rt_waitq_wake_one(&loop->room);
			return ERR_CANCELLED;
		}
		first = true;
	}
	loop->used_bytes += bytes;
	round->room += bytes;
	if (loop->used_bytes < LAMBDA_MAPPING_BYTES_MAX)
		(void)rt_waitq_wake_one(&loop->room);
	return 0;
}

/* What the round has of the loop's from now on. */
static void set_room(struct mapping_reader *r, struct mapping_round *round, size_t bytes)
{
	check(r->loop->used_bytes >= round->room);
	r->loop->used_bytes += bytes - round->room;
	round->room = bytes;
	(void)rt_waitq_wake_one(&r->loop->room);
}

/* ---- gathering ---- */

static size_t records_max(const struct mapping_reader *r)
{
	return (size_t)r->run->settings.batch_records * r->run->settings.lanes;
}

static size_t bytes_max(const struct mapping_reader *r)
{
	return mapping_event_room(r) * MIN(r->run->settings.lanes, (uint32_t)ROUND_BATCHES_MAX);
}

/* False: it does not fit any more. */
static bool add(struct mapping_reader *r, struct mapping_round *round,
	const struct record_of_source *record)
{
	if (round->count && (round->count == records_max(r) ||
				    round->bytes + record->json.n + 1 > bytes_max(r)))
		return false;
	if (round->count == round->capacity) {
		size_t capacity = MAX((size_t)16, 2 * round->capacity);
		struct record_of_source *more =
			arena_new_array(&round->arena, struct record_of_source, capacity);

		if (round->count)
			memcpy(more, round->records, round->count * sizeof(*more));
		round->records = more;
		round->capacity = capacity;
	}
	round->records[round->count++] = *record;
	round->bytes += record->json.n + 1;
	return true;
}

/* Adds what passes the filters: 1, or 0 when the round is full. */
static int add_all(
	struct mapping_reader *r, struct mapping_round *round, const struct records_batch *batch)
{
	size_t passed = 0;

	for (size_t i = 0; i < batch->count; i++) {
		const struct record_of_source *record = &batch->records[i];

		if (mapping_passes(&r->run->settings, record->json)) {
			if (!add(r, round, record))
				return 0;
			passed++;
		}
		round->position = record->position;
		mapping_count(r->run, "PolledEventCount", 1);
	}
	mapping_count(r->run, "FilteredOutEventCount", batch->count - passed);
	round->position = batch->position;
	round->end = batch->end;
	return 1;
}

/*
 * Reads once, without waiting. 1: something came; 0: nothing is there; ERR_NOT_FOUND: the shard
 * (or its source) is gone.
 */
static int fetch(struct mapping_reader *r, struct mapping_round *round, bool *ret_full)
{
	const struct mapping_run *run = r->run;
	size_t before = round->bytes, bytes = bytes_max(r) - MIN(before, bytes_max(r));
	const struct records_read read = {
		.arn = run->settings.source_arn,
		.shard = buf_str(&r->shard),
		.position = round->position.p ? round->position : buf_str(&r->position),
		.records_max = records_max(r) - round->count,
		.bytes_max = bytes,
	};
	struct records_batch batch;
	int rc;

	TRY(take_room(r, round, bytes));
	rc = run->port->read(run->port->self, &round->arena, &read, &batch);
	if (rc >= 0) {
		if (batch.trimmed)
			log_warn("lambda",
				"records of an event source were gone before they "
				"could be processed",
				"mapping=%.*s shard=%.*s", STR_ARG(run->uuid),
				STR_ARG(buf_str(&r->shard)));
		if (!add_all(r, round, &batch) || round->count == records_max(r))
			*ret_full = true;
		rc = batch.count || batch.end;
	}
	set_room(r, round, round->bytes);
	return rc;
}

/* Waits at the port for a record to come. */
static int await(struct mapping_reader *r, struct mapping_round *round, int64_t deadline)
{
	struct arena a cleanup(arena_done_p) = {0};
	const struct mapping_run *run = r->run;
	const struct records_read read = {
		.arn = run->settings.source_arn,
		.shard = buf_str(&r->shard),
		.position = round->position.p ? round->position : buf_str(&r->position),
		.records_max = 1,
		.bytes_max = 1,
		.deadline = deadline,
		.stopping = &run->stopping,
	};
	struct records_batch batch;

	arena_init(&a, SIZE_MAX);
	return run->port->read(run->port->self, &a, &read, &batch);
}

static int64_t window_end(const struct mapping_reader *r)
{
	return r->window_ms + r->run->settings.tumbling_ms;
}

/* Until an open tumbling window is over though nothing comes any more; INT64_MAX: none is open. */
static int64_t window_left_ms(const struct mapping_reader *r)
{
	return r->window_ms ? window_end(r) + MAPPING_WINDOW_GRACE_MS - rt_wall() / RT_NS_MS
			    : INT64_MAX;
}

/* Records that only passed by need not be written at once. */
static int write_passed(struct mapping_reader *r, struct mapping_round *round)
{
	if (!round->count && round->position.p && !str_eq(round->position, buf_str(&r->position))) {
		set_position(r, round->position);
		r->unwritten = true;
	}
	if (r->unwritten && rt_now() - r->written_at >= WRITE_LAZY_MS * RT_NS_MS)
		return mapping_write_position(r, STR_NULL);
	return 0;
}

/*
 * A round: until it is full, its batching window has passed, the shard has ended, or an open
 * tumbling window is over. 0; ERR_NOT_FOUND; ERR_CANCELLED; or another trouble of the source.
 */
static int gather(struct mapping_reader *r, struct mapping_round *round)
{
	int64_t batch_window_ms = r->run->settings.batch_window_ms, close = RT_NEVER;
	int64_t left_ms;
	bool full = false;
	int rc;

	for (;;) {
		if (mapping_stopping(r->run))
			return ERR_CANCELLED;
		rc = TRY(fetch(r, round, &full));
		if (round->end || full || (round->count && !batch_window_ms))
			return 0;
		if (round->count && close == RT_NEVER)
			close = rt_after_ms(batch_window_ms);
		TRY(write_passed(r, round));
		left_ms = window_left_ms(r);
		if (rt_now() >= close || left_ms <= 0)
			return 0;
		if (rc) { /* perhaps there is more */
			TRY(rt_yield());
			continue;
		}
		left_ms = MIN(left_ms, r->unwritten ? (int64_t)WRITE_LAZY_MS : WAIT_MS);
		TRY(await(r, round, MIN(close, rt_after_ms(left_ms))));
	}
}

/* ---- rounds ---- */

/*
 * Cuts what belongs to a later tumbling window off, and opens one for the first record. True: the
 * open one is over and has to be closed first.
 */
static bool fit_window(struct mapping_reader *r, struct mapping_round *round)
{
	int64_t length = r->run->settings.tumbling_ms;
	size_t n = 0;

	if (!length)
		return false;
	if (!r->window_ms && round->count) {
		r->window_ms = round->records[0].time_ms / length * length;
		buf_reset(&r->state);
		buf_put(&r->state, STR("{}"));
	}
	if (!r->window_ms)
		return false;
	while (n < round->count && round->records[n].time_ms < window_end(r))
		n++;
	if (n == round->count)
		return !n && window_left_ms(r) <= 0;
	round->count = n;
	round->end = false;
	if (n)
		round->position = round->records[n - 1].position;
	else
		round->position = STR_NULL; /* nothing of it: it is read again behind the window */
	return !n;
}

static int end_shard(struct mapping_reader *r)
{
	if (r->window_ms)
		TRY(mapping_close_window(r));
	r->done = true;
	return mapping_write_position(r, STR_NULL);
}

static int process(struct mapping_reader *r, struct mapping_round *round)
{
	bool over = fit_window(r, round);

	if (over)
		TRY(mapping_close_window(r));
	if (round->count)
		TRY(work(r, round));
	if (!round->count)
		TRY(write_passed(r, round));
	return round->end ? end_shard(r) : 0;
}

/* Is the source still there? A shard that is gone with it is not through. */
static bool source_is_gone(struct mapping_reader *r)
{
	struct arena a cleanup(arena_done_p) = {0};
	const struct mapping_run *run = r->run;
	struct records_shard *shards;

	arena_init(&a, SIZE_MAX);
	return run->port->shards(run->port->self, &a, run->settings.source_arn, &shards) < 0;
}

static int one_round(struct mapping_reader *r)
{
	struct mapping_round round = {.count = 0};
	int rc;

	arena_init(&round.arena, SIZE_MAX);
	rc = gather(r, &round);
	if (rc == ERR_NOT_FOUND && !source_is_gone(r))
		rc = end_shard(r); /* it is too old, and its children follow */
	else if (rc == 0)
		rc = process(r, &round);
	set_room(r, &round, 0);
	arena_done(&round.arena);
	return rc;
}

void mapping_reader_fiber(void *arg)
{
	struct mapping_reader *r = arg;
	unsigned troubles = 0;
	int rc;

	rc = load_position(r);
	if (rc >= 0)
		rc = mapping_take_mark(r);
	if (rc < 0) /* the run starts another one at once */
		(void)!mapping_pause(r, 2);
	while (rc >= 0 && !r->done && !mapping_stopping(r->run)) {
		rc = one_round(r);
		if (rc >= 0) {
			troubles = 0;
			continue;
		}
		if (rc == ERR_CANCELLED || rc == ERR_NOT_FOUND || mapping_stopping(r->run))
			break;
		log_warn("lambda", "a shard of an event source could not be read",
			"mapping=%.*s shard=%.*s error=%s", STR_ARG(r->run->uuid),
			STR_ARG(buf_str(&r->shard)), rc_text(rc));
		rc = mapping_pause(r, ++troubles);
	}
	if (r->unwritten)
		(void)!write_once(r);
	atomic_fetch_sub(&r->run->engine->readers, 1);
	r->ended = true;
	rt_event_set(&r->run->change);
}
