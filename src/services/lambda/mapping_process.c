/*
 * Processing rounds: lanes, invocations, retries, losses. See mapping_engine.h.
 */
#include "aws/ports/invoke.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "services/lambda/destination.h"
#include "services/lambda/faults.h"
#include "services/lambda/figures.h"
#include "services/lambda/limits.h"
#include "services/lambda/mapping_internal.h"
#include "services/lambda/store.h"

enum {
	INVOKE_MS = 16 * 60000, /* longer than any function */
	EVENT_BYTES_MAX = LAMBDA_PAYLOAD_BYTES_MAX
};

/* What a function said to a batch. */
enum outcome {
	OUTCOME_ANSWERED, /* see the answer */
	OUTCOME_AGAIN     /* it did not run, which counts as nothing */
};

struct reply {
	enum batch_answer answer;
	size_t failed;
	str request_id, version, function_error, state;
};

struct lane {
	struct mapping_reader *reader;
	struct mapping_round *round;
	const struct record_of_source **records;
	size_t count;
	int rc;
};

size_t mapping_event_room(const struct mapping_reader *r)
{
	/* Of a window: what its state may have grown to when the records are sent. */
	size_t state = r->run->settings.tumbling_ms ? BATCH_STATE_BYTES_MAX : 0;

	return EVENT_BYTES_MAX - BATCH_ENVELOPE_BYTES - state;
}

/* ---- one invocation ---- */

/* To a metric of the function. */
static void add_metric(
	struct mapping_run *run, const char *name, double value, enum metric_unit unit)
{
	figures_add(run->engine->options.ports, run->account, run->region,
		run->settings.function_name, name, value, unit);
}

static void count_age(struct mapping_run *run, const struct record_of_source *last)
{
	int64_t age_ms = rt_wall() / RT_NS_MS - last->time_ms;

	add_metric(run, "IteratorAge", (double)MAX(age_ms, INT64_C(0)), METRIC_MILLISECONDS);
}

/* Is it the event or the function that is at fault, and not the moment? */
static bool fault_counts(const struct fault *fault)
{
	return fault->kind == &lambda_faults[LAMBDA_REQUEST_TOO_LARGE] ||
	       fault->kind == &lambda_faults[LAMBDA_INVALID_CONTENT] ||
	       fault->kind == &lambda_faults[LAMBDA_RECURSIVE];
}

static const char *words_of(int rc, const struct fault *fault)
{
	if (rc == ERR_FAULT && fault->kind == &lambda_faults[LAMBDA_NOT_FOUND])
		return "PROBLEM: Function not found";
	if (rc == ERR_FAULT && fault->kind == &lambda_faults[LAMBDA_TOO_MANY_REQUESTS])
		return "PROBLEM: Function call throttled";
	return "PROBLEM: Function call failed";
}

static enum outcome call(struct mapping_reader *r, struct arena *a,
	const struct record_of_source *const *records, size_t count,
	const struct batch_window *window, struct reply *ret)
{
	struct mapping_run *run = r->run;
	const struct port_invoke *port = run->engine->options.ports->invoke;
	struct invoke_result result = {.status = 0};
	struct invoke_request request = {
		.account = run->account,
		.region = run->region,
		.function = run->settings.function_arn,
		.type = INVOKE_WAIT,
		.deadline_ns = rt_after_ms(INVOKE_MS),
	};
	struct buf event;
	int rc;

	buf_init(&event, a, 2 * (size_t)EVENT_BYTES_MAX);
	batch_event(&event, records, count, window);
	request.payload = buf_str(&event);
	*ret = (struct reply){
		.answer = BATCH_FAILED, .version = STR_NULL, .request_id = lambda_uuid(a)};
	if (count)
		count_age(run, records[count - 1]);
	rc = port ? port->invoke(port->self, a, &request, &result) : ERR_UNSUPPORTED;
	if (rc < 0) {
		mapping_say(run, words_of(rc, &result.fault));
		return rc == ERR_FAULT && fault_counts(&result.fault) ? OUTCOME_ANSWERED
								      : OUTCOME_AGAIN;
	}
	ret->version = result.executed_version;
	ret->function_error = result.function_error;
	if (!result.function_error.p)
		ret->answer = batch_read_answer(a, result.payload, records, count,
			run->settings.item_failures, window != NULL, &ret->failed, &ret->state);
	mapping_count(run,
		ret->answer == BATCH_DONE ? "InvokedEventCount" : "FailedInvokeEventCount", count);
	mapping_say(run, ret->answer == BATCH_FAILED ? "PROBLEM: Function call failed" : "OK");
	return OUTCOME_ANSWERED;
}

/* ---- tumbling windows ---- */

static const struct batch_window *window_of(struct mapping_reader *r, struct batch_window *room)
{
	if (!r->run->settings.tumbling_ms)
		return NULL;
	*room = (struct batch_window){
		.start_ms = r->window_ms,
		.end_ms = r->window_ms + r->run->settings.tumbling_ms,
		.state = buf_str(&r->state),
		.shard = buf_str(&r->shard),
		.source_arn = r->run->settings.source_arn,
	};
	return room;
}

static void keep_state(struct mapping_reader *r, str state)
{
	buf_reset(&r->state);
	buf_put(&r->state, state);
	check(!r->state.over);
	r->early = state.n > BATCH_STATE_BYTES_MAX;
}

/* The final call, until it succeeds. */
static int call_final(struct mapping_reader *r)
{
	unsigned tries = 0;

	for (;;) {
		struct arena a cleanup(arena_done_p) = {0};
		struct batch_window window;
		struct reply reply;
		enum outcome outcome;

		arena_init(&a, SIZE_MAX);
		(void)window_of(r, &window);
		window.final = true;
		window.early = r->early;
		outcome = call(r, &a, NULL, 0, &window, &reply);
		/* The state is dropped anyhow, so one that is missing here is no failure. */
		if (outcome == OUTCOME_ANSWERED && reply.version.p && !reply.function_error.p)
			return 0;
		TRY(mapping_pause(r, ++tries));
	}
}

int mapping_close_window(struct mapping_reader *r)
{
	if (r->aside_window) {
		log_error("lambda",
			"the end of a window was being processed at two crashes and is "
			"put aside",
			"mapping=%.*s shard=%.*s window_ms=%lld", STR_ARG(r->run->uuid),
			STR_ARG(buf_str(&r->shard)), (long long)r->window_ms);
		r->aside_window = false;
	} else {
		int rc;

		TRY(mapping_begin(r, NULL));
		rc = call_final(r);
		mapping_end(r, rc);
		TRY(rc);
	}
	r->window_ms = 0;
	r->early = false;
	buf_reset(&r->state);
	return mapping_write_position(r, STR_NULL);
}

/* ---- progress ---- */

static bool next_through(const struct mapping_round *round, size_t *at)
{
	size_t before = *at;

	while (*at < round->count && round->through[*at])
		(*at)++;
	return *at != before;
}

/*
 * Records of a lane are through: writes the position behind all that are so without a gap. One lane
 * writes at a time, and goes on while others have made progress.
 */
static int progress(struct mapping_reader *r, struct mapping_round *round,
	const struct record_of_source *const *records, size_t count)
{
	size_t at;
	int rc = 0;

	for (size_t i = 0; i < count; i++)
		round->through[records[i] - round->records] = true;
	if (round->writing)
		return 0;
	round->writing = true;
	at = round->written;
	while (rc >= 0 && next_through(round, &at)) {
		rc = mapping_write_position(
			r, at == round->count ? round->position : round->records[at - 1].position);
		round->written = at;
	}
	round->writing = false;
	return rc;
}

/* ---- losses ---- */

static int tell(struct mapping_reader *r, const struct record_of_source *const *records,
	size_t count, const char *condition, unsigned invocations, const struct reply *reply,
	struct arena *a, str *ret_why)
{
	struct mapping_run *run = r->run;
	const struct mapping_engine_options *options = &run->engine->options;
	struct batch_loss loss = {
		.function_arn = run->settings.function_arn,
		.condition = condition,
		.invocations = invocations,
		.version = reply->version,
		.function_error = reply->function_error,
		.info = batch_info_name(run->settings.source_arn),
		.shard = buf_str(&r->shard),
		.source_arn = run->settings.source_arn,
		.first = records[0],
		.last = records[count - 1],
		.count = count,
		.now_ms = rt_wall() / RT_NS_MS,
		.event = STR_NULL,
	};
	struct mapping_loss told = {.function_arn = run->settings.function_arn,
		.destination_arn = run->settings.on_failure,
		.mapping = run->uuid,
		.shard = loss.shard};
	struct batch_window window;
	struct buf event, record;

	loss.request_id = reply->request_id.p ? reply->request_id : lambda_uuid(a);
	buf_init(&event, a, 2 * (size_t)EVENT_BYTES_MAX);
	if (destination_is_bucket(told.destination_arn)) {
		batch_event(&event, records, count, window_of(r, &window));
		loss.event = buf_str(&event);
	}
	/* As a text in JSON each byte of it may take two. */
	buf_init(&record, a, LAMBDA_EVENT_BYTES_MAX + 2 * event.n);
	batch_put_loss(&record, &loss);
	if (event.over || record.over) {
		*ret_why = STR("the record is too large");
		return ERR_TOO_LARGE;
	}
	told.record = buf_str(&record);
	return options->deliver(options->arg, a, &told, ret_why);
}

/* Told before the position moves: after a crash in between it is told twice. */
static void lose(struct mapping_reader *r, const struct record_of_source *const *records,
	size_t count, const char *condition, unsigned invocations, const struct reply *reply)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct mapping_run *run = r->run;
	str why = STR_NULL;
	int rc;

	log_warn("lambda", "records of an event source were given up",
		"mapping=%.*s shard=%.*s first=%.*s records=%zu reason=%s", STR_ARG(run->uuid),
		STR_ARG(buf_str(&r->shard)), STR_ARG(records[0]->sequence), count, condition);
	mapping_count(run, "DroppedEventCount", count);
	if (!run->settings.on_failure.n)
		return;
	arena_init(&a, SIZE_MAX);
	rc = tell(r, records, count, condition, invocations, reply, &a, &why);
	if (rc >= 0) {
		mapping_count(run, "OnFailureDestinationDeliveredEventCount", count);
		return;
	}
	log_error("lambda", "a destination was not told of lost records",
		"mapping=%.*s destination=%.*s error=%s reason=%.*s", STR_ARG(run->uuid),
		STR_ARG(run->settings.on_failure), rc_text(rc), STR_ARG(why));
	add_metric(run, "DestinationDeliveryFailures", 1, METRIC_COUNT);
}

void mapping_lose(struct mapping_reader *r, const struct record_of_source *const *records,
	size_t count, const char *condition, unsigned invocations)
{
	const struct reply none = {.version = STR_NULL};

	lose(r, records, count, condition, invocations, &none);
}

/* How many of the first records are too old. */
static size_t too_old(
	const struct mapping_reader *r, const struct record_of_source *const *records, size_t count)
{
	int64_t max = r->run->settings.age_ms_max, now = rt_wall() / RT_NS_MS;
	size_t n = 0;

	while (max >= 0 && n < count && now - records[n]->time_ms > max)
		n++;
	return n;
}

/* ---- lanes ---- */

/* After an invocation: what comes next. *ret_pause: how long to wait before, 0: not. */
static int settle(
	struct lane *lane, struct batch_work *w, const struct reply *reply, unsigned *ret_pause)
{
	struct mapping_reader *r = lane->reader;
	const struct mapping_settings *settings = &r->run->settings;
	size_t from = w->from;
	enum batch_step step = batch_work_after(
		w, reply->answer, reply->failed, settings->bisect, settings->retries_max);
	struct batch_part *part = batch_part_next(w);

	*ret_pause = step == BATCH_PAUSE ? part->failures : 0;
	if (reply->answer != BATCH_FAILED && reply->state.p)
		keep_state(r, reply->state);
	if (step == BATCH_DISCARD) {
		lose(r, lane->records + w->from, part->to - w->from, "RetryAttemptsExhausted",
			part->invocations, reply);
		batch_work_pass(w, part->to);
	}
	if (w->from == from)
		return 0;
	return progress(r, lane->round, lane->records + from, w->from - from);
}

static int drop_old(struct lane *lane, struct batch_work *w, const struct batch_part *part)
{
	struct mapping_reader *r = lane->reader;
	size_t from = w->from, n = too_old(r, lane->records + from, part->to - from);

	if (!n)
		return 0;
	mapping_lose(r, lane->records + from, n, "RecordAgeExceeded", part->invocations);
	batch_work_pass(w, from + n);
	return progress(r, lane->round, lane->records + from, n);
}

static int run_batch(struct lane *lane, size_t from, size_t to)
{
	struct mapping_reader *r = lane->reader;
	struct batch_part *part;
	struct batch_work w;
	unsigned again = 0;

	batch_work_begin(&w, from, to);
	while ((part = batch_part_next(&w))) {
		struct arena a cleanup(arena_done_p) = {0};
		struct batch_window window;
		struct reply reply;
		unsigned pause = 0;

		if (mapping_stopping(r->run))
			return ERR_CANCELLED;
		TRY(drop_old(lane, &w, part));
		part = batch_part_next(&w);
		if (!part)
			break;
		arena_init(&a, SIZE_MAX);
		if (call(r, &a, lane->records + w.from, part->to - w.from, window_of(r, &window),
			    &reply) == OUTCOME_AGAIN) {
			pause = ++again;
		} else {
			again = 0;
			TRY(settle(lane, &w, &reply, &pause));
		}
		arena_done(&a);
		if (pause)
			TRY(mapping_pause(r, pause));
	}
	return 0;
}

/* The window's state is too large: it ends now, and what follows of it is a window again. */
static int end_early(struct mapping_reader *r, bool more)
{
	int64_t start = r->window_ms;

	TRY(mapping_close_window(r));
	if (!more)
		return 0;
	r->window_ms = start;
	keep_state(r, STR("{}"));
	return 0;
}

/* Batches of the lane, one after another. */
static int run_lane(struct lane *lane)
{
	size_t from = 0;

	while (from < lane->count) {
		size_t to = from, bytes = 0, room = mapping_event_room(lane->reader);

		while (to < lane->count && to - from < lane->reader->run->settings.batch_records &&
			(to == from || bytes + lane->records[to]->json.n + 1 <= room))
			bytes += lane->records[to++]->json.n + 1;
		TRY(run_batch(lane, from, to));
		from = to;
		if (lane->reader->early)
			TRY(end_early(lane->reader, from < lane->count));
	}
	return 0;
}

static void lane_fiber(void *arg)
{
	struct lane *lane = arg;

	lane->rc = run_lane(lane);
	if (--lane->round->lanes_left == 0)
		rt_event_set(&lane->round->lanes_done);
}

/* A key's records all go to one lane, in their order. */
static void deal(struct mapping_round *round, struct lane *lanes, uint32_t n)
{
	for (size_t i = 0; i < round->count; i++) {
		const struct record_of_source *record = &round->records[i];
		struct lane *lane = &lanes[n > 1 ? str_hash(record->key) % n : 0];

		if (!lane->records)
			lane->records = arena_new_array(
				&round->arena, const struct record_of_source *, round->count);
		lane->records[lane->count++] = record;
	}
}

int mapping_process(struct mapping_reader *r, struct mapping_round *round)
{
	uint32_t n = r->run->settings.lanes;
	struct lane *lanes = arena_new_array(&round->arena, struct lane, n);

	round->through = arena_new_array(&round->arena, bool, round->count);
	for (uint32_t i = 0; i < n; i++)
		lanes[i] = (struct lane){.reader = r, .round = round};
	deal(round, lanes, n);
	if (n == 1)
		return run_lane(&lanes[0]);
	rt_event_init(&round->lanes_done);
	round->lanes_left = n;
	for (uint32_t i = 0; i < n; i++)
		if (!lanes[i].count || rt_spawn(lane_fiber, &lanes[i]) < 0)
			lane_fiber(&lanes[i]);
	rt_event_wait_sure(&round->lanes_done);
	for (uint32_t i = 0; i < n; i++)
		TRY(lanes[i].rc);
	return 0;
}
