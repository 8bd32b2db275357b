/*
 * PutLogEvents: which events of a batch are taken, and in what words the others are refused.
 * Sequence tokens are not looked at, as AWS has it since 2023.
 *
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
 */
#include "base/rc.h"
#include "services/logs/service.h"

#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)

static int check_batch(struct call *c, const struct batch_event *events, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		size_t size = events[i].message.n + LOGS_MAX_EVENT_OVERHEAD;

		bytes += size;
		if (size > LOGS_MAX_EVENT_BYTES)
			return LOGS_FAULT(c, INVALID_PARAMETER,
				"Log event too large: %zu bytes exceeds limit of %d", size,
				LOGS_MAX_EVENT_BYTES);
		if (i && events[i].time_ms < events[i - 1].time_ms)
			return LOGS_FAULT(c, INVALID_PARAMETER,
				"Log events in a single PutLogEvents request must be in "
				"chronological order.");
	}
	if (bytes > LOGS_MAX_PUT_BYTES)
		return LOGS_FAULT(c, INVALID_PARAMETER,
			"Upload too large: %zu bytes exceeds limit of %d", bytes,
			LOGS_MAX_PUT_BYTES);
	/* In order; as unsigned, because any 64-bit numbers may come. */
	if ((uint64_t)events[n - 1].time_ms - (uint64_t)events[0].time_ms > (uint64_t)DAY_MS)
		return LOGS_FAULT(c, INVALID_PARAMETER,
			"The batch of log events in a single PutLogEvents request cannot span "
			"more than 24 hours.");
	return 0;
}

/*
 * Events are in order, so what is too old is at the front and what is too new at the end. The end
 * indexes are exclusive.
 */
static void choose(struct call *c, const struct log_group *group, const struct batch_event *events,
	size_t n, size_t *ret_first, size_t *ret_end)
{
	int64_t days = value_int(group->about, "retentionInDays", 0);
	size_t old = 0, expired = 0, end = n;

	while (old < n && events[old].time_ms < c->wall_ms - 14 * DAY_MS)
		old++;
	while (days && expired < n && events[expired].time_ms < c->wall_ms - days * DAY_MS)
		expired++;
	while (end > 0 && events[end - 1].time_ms > c->wall_ms + 2 * HOUR_MS)
		end--;
	if (old || expired || end < n) {
		struct value *info = value_put_struct(c->out, "rejectedLogEventsInfo");

		if (old)
			value_put_int(info, "tooOldLogEventEndIndex", (int64_t)old);
		if (expired)
			value_put_int(info, "expiredLogEventEndIndex", (int64_t)expired);
		if (end < n)
			value_put_int(info, "tooNewLogEventStartIndex", (int64_t)end);
	}
	*ret_first = MAX(old, expired);
	*ret_end = end;
}

int logs_PutLogEvents(struct call *c)
{
	const struct value *list = value_get(c->in, "logEvents");
	uint32_t n = value_count(list);
	struct batch_event *events = arena_new_array(c->arena, struct batch_event, n + 1);
	struct log_entry entry = {.scope = call_scope(c),
		.group = value_str(c->in, "logGroupName"),
		.stream = value_str(c->in, "logStreamName")};
	struct log_group group;
	struct log_stream stream;
	struct kv *kv;
	size_t first, end;

	for (uint32_t i = 0; i < n; i++)
		events[i] = (struct batch_event){value_int(value_at(list, i), "timestamp", 0),
			value_str(value_at(list, i), "message")};
	TRY(logs_kv(c, &kv));
	TRY(call_group(c, entry.group, &group));
	TRY(check_batch(c, events, n));
	choose(c, &group, events, n, &first, &end);
	if (value_has(c->in, "entity"))
		value_put_str(value_put_struct(c->out, "rejectedEntityInfo"), "errorType",
			STR("UnsupportedLogGroupType"));
	entry.events = events + first;
	entry.count = end > first ? end - first : 0;
	int written = WRITE_STORED;
	if (entry.count)
		written = TRY(writer_put(c->self, &entry, true));
	else if (!TRY(log_stream_get(kv, c->arena, &entry.scope, group.id, entry.stream, &stream)))
		written = WRITE_NO_STREAM;
	if (written != WRITE_STORED)
		return LOGS_FAULT(c, NOT_FOUND, "The specified log %s does not exist.",
			written == WRITE_NO_GROUP ? "group" : "stream");
	const struct log_position next = {(uint64_t)c->wall_ms, logs_writer(c->self)->sequence, 0};
	value_put_str(c->out, "nextSequenceToken", log_position_text(c->arena, &next));
	return 0;
}
