/*
 * See mapping_batch.h.
 */
#include "services/lambda/mapping_batch.h"

#include "base/check.h"
#include "base/rc.h"
#include "base/time.h"

/* ---- events ---- */

static void put_time(struct json_writer *w, str key, int64_t ms)
{
	char room[TIME_TEXT_MAX];
	struct buf text = {.p = room, .capacity = sizeof(room), .max = sizeof(room)};

	time_put_iso(&text, ms);
	json_put_key_string(w, key, buf_str(&text));
}

static void put_flag(struct json_writer *w, str key, bool value)
{
	json_put_key(w, key);
	json_put_bool(w, value);
}

static void put_window(struct json_writer *w, const struct batch_window *window)
{
	json_put_key(w, STR("window"));
	json_put_object_begin(w);
	put_time(w, STR("start"), window->start_ms);
	put_time(w, STR("end"), window->end_ms);
	json_put_object_end(w);
	json_put_key(w, STR("state"));
	json_put_raw(w, window->state);
	json_put_key_string(w, STR("shardId"), window->shard);
	json_put_key_string(w, STR("eventSourceARN"), window->source_arn);
	put_flag(w, STR("isFinalInvokeForWindow"), window->final);
	put_flag(w, STR("isWindowTerminatedEarly"), window->early);
}

void batch_event(struct buf *out, const struct record_of_source *const *records, size_t count,
	const struct batch_window *window)
{
	struct json_writer w;

	json_writer_init(&w, out);
	json_put_object_begin(&w);
	json_put_key(&w, STR("Records"));
	json_put_array_begin(&w);
	for (size_t i = 0; i < count; i++)
		json_put_raw(&w, records[i]->json);
	json_put_array_end(&w);
	if (window)
		put_window(&w, window);
	json_put_object_end(&w);
}

/* ---- answers ---- */

/* The index of the first of the records that an answer names: 1; 0: none; < 0: malformed. */
static int first_failure(const struct json_value *answer,
	const struct record_of_source *const *records, size_t count, size_t *ret_failed)
{
	const struct json_value *list = json_get(answer, STR("batchItemFailures"));
	size_t first = count;

	if (!list || list->kind == JSON_NULL)
		return 0;
	if (list->kind != JSON_ARRAY)
		return ERR_INVALID;
	for (uint32_t i = 0; i < list->count; i++) {
		str id = json_text(json_get(&list->items[i], STR("itemIdentifier")));
		size_t k = 0;

		while (id.n && k < count && !str_eq(records[k]->sequence, id))
			k++;
		if (!id.n || k == count)
			return ERR_INVALID;
		first = MIN(first, k);
	}
	if (first == count)
		return 0;
	*ret_failed = first;
	return 1;
}

/* The window's state: 0, or < 0 when there is none. */
static int take_state(struct arena *a, const struct json_value *answer, str *ret_state)
{
	const struct json_value *state = json_get(answer, STR("state"));
	struct json_writer w;
	struct buf b;

	if (!state || state->kind != JSON_OBJECT)
		return ERR_INVALID;
	buf_init(&b, a, BATCH_STATE_BYTES_KEPT);
	json_writer_init(&w, &b);
	json_put_value(&w, state);
	if (b.over)
		return ERR_TOO_LARGE;
	*ret_state = buf_str(&b);
	return 0;
}

enum batch_answer batch_read_answer(struct arena *a, str payload,
	const struct record_of_source *const *records, size_t count, bool item_failures,
	bool window, size_t *ret_failed, str *ret_state)
{
	struct json_value *answer = NULL;
	int rc = 0;

	if (!item_failures && !window)
		return BATCH_DONE;
	if (payload.n && json_parse(a, payload, JSON_DEPTH_MAX, &answer, NULL) < 0)
		return BATCH_FAILED;
	if (answer && answer->kind != JSON_OBJECT && answer->kind != JSON_NULL)
		return BATCH_FAILED;
	if (item_failures)
		rc = first_failure(answer, records, count, ret_failed);
	if (rc < 0 || (window && take_state(a, answer, ret_state) < 0))
		return BATCH_FAILED;
	return rc ? BATCH_PARTIAL : BATCH_DONE;
}

/* ---- working off ---- */

void batch_work_begin(struct batch_work *w, size_t from, size_t to)
{
	*w = (struct batch_work){.from = from, .depth = 1};
	w->parts[0] = (struct batch_part){.to = to};
}

struct batch_part *batch_part_next(struct batch_work *w)
{
	while (w->depth && w->parts[w->depth - 1].to <= w->from)
		w->depth--;
	return w->depth ? &w->parts[w->depth - 1] : NULL;
}

void batch_work_pass(struct batch_work *w, size_t to)
{
	w->from = to;
}

/* The first half becomes a part of its own, with the history of the whole. */
static void halve(struct batch_work *w, const struct batch_part *part)
{
	struct batch_part half = *part;

	half.to = w->from + (part->to - w->from) / 2;
	check(w->depth < BATCH_PARTS_MAX);
	w->parts[w->depth++] = half;
}

enum batch_step batch_work_after(struct batch_work *w, enum batch_answer answer, size_t failed,
	bool bisect, int64_t retries_max)
{
	struct batch_part *part = batch_part_next(w);
	bool progress = answer == BATCH_PARTIAL && failed > 0;

	check(part);
	part->invocations++;
	if (answer == BATCH_DONE) {
		w->from = part->to;
		return BATCH_GO_ON;
	}
	if (progress) {
		w->from += failed;
		check(w->from < part->to);
		/* The record that stands first now has failed once. */
		part->failures = 0;
	}
	if (bisect && (progress || part->to - w->from > 1)) {
		if (!progress)
			halve(w, part);
		return BATCH_GO_ON;
	}
	part->failures++;
	if (retries_max >= 0 && part->failures > (uint64_t)retries_max)
		return BATCH_DISCARD;
	return BATCH_PAUSE;
}

/* ---- losses ---- */

const char *batch_info_name(str source_arn)
{
	return str_starts(source_arn, STR("arn:aws:dynamodb:"))  ? "DDBStreamBatchInfo"
	       : str_starts(source_arn, STR("arn:aws:kinesis:")) ? "KinesisBatchInfo"
								 : NULL;
}

static void put_number(struct json_writer *w, str key, uint64_t value)
{
	json_put_key(w, key);
	json_put_u64(w, value);
}

static void put_context(struct json_writer *w, const struct batch_loss *loss)
{
	json_put_key(w, STR("requestContext"));
	json_put_object_begin(w);
	json_put_key_string(w, STR("requestId"), loss->request_id);
	json_put_key_string(w, STR("functionArn"), loss->function_arn);
	json_put_key_string(w, STR("condition"), str_c(loss->condition));
	put_number(w, STR("approximateInvokeCount"), loss->invocations);
	json_put_object_end(w);
	if (!loss->version.p)
		return;
	json_put_key(w, STR("responseContext"));
	json_put_object_begin(w);
	put_number(w, STR("statusCode"), 200);
	json_put_key_string(w, STR("executedVersion"), loss->version);
	if (loss->function_error.p)
		json_put_key_string(w, STR("functionError"), loss->function_error);
	json_put_object_end(w);
}

void batch_put_loss(struct buf *out, const struct batch_loss *loss)
{
	char room[TIME_TEXT_MAX];
	struct buf now = {.p = room, .capacity = sizeof(room), .max = sizeof(room)};
	struct json_writer w;

	time_put_iso_ms(&now, loss->now_ms);
	json_writer_init(&w, out);
	json_put_object_begin(&w);
	put_context(&w, loss);
	json_put_key_string(&w, STR("version"), STR("1.0"));
	json_put_key_string(&w, STR("timestamp"), buf_str(&now));
	json_put_key(&w, str_c(loss->info));
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("shardId"), loss->shard);
	json_put_key_string(&w, STR("startSequenceNumber"), loss->first->sequence);
	json_put_key_string(&w, STR("endSequenceNumber"), loss->last->sequence);
	put_time(&w, STR("approximateArrivalOfFirstRecord"), loss->first->time_ms);
	put_time(&w, STR("approximateArrivalOfLastRecord"), loss->last->time_ms);
	put_number(&w, STR("batchSize"), loss->count);
	json_put_key_string(&w, STR("streamArn"), loss->source_arn);
	json_put_object_end(&w);
	if (loss->event.p)
		json_put_key_string(&w, STR("payload"), loss->event);
	json_put_object_end(&w);
}
