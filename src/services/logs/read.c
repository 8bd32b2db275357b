/*
 * GetLogEvents and FilterLogEvents.
 *
 * A token is a position between two events, so that it stays good while lines arrive or expire:
 * GetLogEvents has f/{56 digits}/s (events from there on) and b/{56 digits}/s (events before it);
 * at the end of a stream the same token comes back, as documented.
 *
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
 */
#include "aws/keyspace.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/rc.h"
#include "services/logs/cursor.h"
#include "services/logs/filter.h"
#include "services/logs/service.h"

enum { SCRATCH_BYTES = 16 * 1024 * 1024 };

static void cursor_close_p(struct cursor *cursor)
{
	cursor_close(cursor);
}

static struct log_position at_time(int64_t ms)
{
	return (struct log_position){ms > 0 ? (uint64_t)ms : 0, 0, 0};
}

static struct log_position behind(const struct log_event *event)
{
	return (struct log_position){event->at.time_ms, event->at.sequence, event->at.index + 1};
}

/* The narrower of two bounds. */
static struct log_position later(struct log_position a, struct log_position b)
{
	return log_position_compare(&a, &b) > 0 ? a : b;
}

static struct log_position earlier(struct log_position a, struct log_position b)
{
	return log_position_compare(&a, &b) < 0 ? a : b;
}

/* ---- GetLogEvents ---- */

struct page {
	struct log_event *events;
	size_t count;
};

static int read_page(struct call *c, const struct cursor_options *options, struct page *page)
{
	struct cursor cursor cleanup(cursor_close_p) = {.scan = NULL};
	size_t max = (size_t)value_int(c->in, "limit", LOGS_MAX_PAGE_EVENTS), bytes = 0;
	struct log_event event;
	struct kv *kv;

	page->events = arena_new_array(c->arena, struct log_event, max);
	TRY(logs_kv(c, &kv));
	TRY(cursor_open(&cursor, kv, c->arena, options));
	while (page->count < max && TRY(cursor_next(&cursor, &event))) {
		bytes += event.message.n + LOGS_MAX_EVENT_OVERHEAD;
		if (page->count && bytes > LOGS_MAX_PAGE_BYTES)
			break;
		page->events[page->count++] = event;
	}
	for (size_t i = 0; options->backward && i < page->count / 2; i++) {
		struct log_event swap = page->events[i];

		page->events[i] = page->events[page->count - 1 - i];
		page->events[page->count - 1 - i] = swap;
	}
	return 0;
}

static int parse_token(struct call *c, str token, bool *ret_backward, struct log_position *ret_at)
{
	if (token.n == LOG_POSITION_TEXT + 4 && (token.p[0] == 'f' || token.p[0] == 'b') &&
		token.p[1] == '/' && str_ends(token, STR("/s")) &&
		log_position_parse(str_sub(token, 2, LOG_POSITION_TEXT), ret_at) == 0) {
		*ret_backward = token.p[0] == 'b';
		return 0;
	}
	return LOGS_FAULT(c, INVALID_PARAMETER, "The specified nextToken is invalid.");
}

static str token_text(struct call *c, char direction, const struct log_position *at)
{
	return arena_printf(
		c->arena, "%c/%.*s/s", direction, STR_ARG(log_position_text(c->arena, at)));
}

int logs_GetLogEvents(struct call *c)
{
	const struct log_scope scope = call_scope(c);
	str name, token = value_str(c->in, "nextToken");
	struct log_group group;
	struct log_stream stream;
	struct page page = {0};
	struct log_position at;
	struct kv *kv;

	TRY(call_group_name(c, &name));
	TRY(call_group(c, name, &group));
	TRY(logs_kv(c, &kv));
	if (!TRY(log_stream_get(
		    kv, c->arena, &scope, group.id, value_str(c->in, "logStreamName"), &stream)))
		return LOGS_FAULT(c, NOT_FOUND, "The specified log stream does not exist.");
	struct cursor_options options = {.group = group.id,
		.stream = stream.id,
		.backward = !value_bool(c->in, "startFromHead", false),
		.from = at_time(value_int(c->in, "startTime", 0)),
		.to = log_position_last};
	if (value_has(c->in, "endTime"))
		options.to = at_time(value_int(c->in, "endTime", 0));
	at = options.from;
	if (token.n) {
		TRY(parse_token(c, token, &options.backward, &at));
		if (options.backward)
			options.to = earlier(options.to, at);
		else
			options.from = later(options.from, at);
	}
	TRY(read_page(c, &options, &page));

	struct value *events = value_put_list(c->out, "events");
	struct log_position first = at, end = at;
	for (size_t i = 0; i < page.count; i++) {
		struct value *v = value_add_struct(events);

		value_put_int(v, "timestamp", (int64_t)page.events[i].at.time_ms);
		value_put_str(v, "message", page.events[i].message);
		value_put_int(v, "ingestionTime", page.events[i].ingestion_ms);
	}
	if (page.count) {
		first = page.events[0].at;
		end = behind(&page.events[page.count - 1]);
	}
	value_put_str(c->out, "nextForwardToken", token_text(c, 'f', &end));
	value_put_str(c->out, "nextBackwardToken", token_text(c, 'b', &first));
	return 0;
}

/* ---- FilterLogEvents ---- */

struct wanted {
	struct map names; /* of logStreamNames; empty: all */
	str prefix;
	uint64_t stream; /* the only one; 0: several */
};

static void wanted_done(struct wanted *wanted)
{
	map_done(&wanted->names);
}

static bool is_wanted(const struct wanted *wanted, str stream)
{
	if (wanted->names.count)
		return map_get(&wanted->names, stream) != NULL;
	return str_starts(stream, wanted->prefix);
}

static int wanted_streams(struct call *c, const struct log_group *group, struct wanted *wanted)
{
	const struct value *names = value_get(c->in, "logStreamNames");
	const struct log_scope scope = call_scope(c);
	struct log_stream stream;
	struct kv *kv;

	TRY(logs_kv(c, &kv));
	wanted->prefix = value_str(c->in, "logStreamNamePrefix");
	if (wanted->prefix.n && value_count(names))
		return LOGS_FAULT(c, INVALID_PARAMETER,
			"LogStreamNamePrefix and logStreamNames cannot be used together");
	for (uint32_t i = 0; i < value_count(names); i++) {
		str name = value_text(value_at(names, i));

		if (!TRY(log_stream_get(kv, c->arena, &scope, group->id, name, &stream)))
			return LOGS_FAULT(c, NOT_FOUND, "The specified log stream does not exist.");
		map_put(&wanted->names, name, c);
		wanted->stream = value_count(names) == 1 ? stream.id : 0;
	}
	return 0;
}

/* Deleted streams whose events are still there. */
static int hidden_streams(struct call *c, uint64_t group, struct cursor_options *options)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	const struct log_scope scope = call_scope(c);
	str prefix = log_key_gone_stream(c->arena, &scope, group, 0), key, record;
	struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(c->arena, prefix)};
	size_t capacity = 64;
	uint64_t *hidden = arena_new_array(c->arena, uint64_t, capacity);
	struct kv *kv;

	TRY(logs_kv(c, &kv));
	TRY(kv_scan_open(kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record))) {
		str id = str_from(key, prefix.n);

		if (options->hidden_count == capacity) {
			uint64_t *grown = arena_new_array(c->arena, uint64_t, capacity * 2);

			memcpy(grown, hidden, capacity * sizeof(*grown));
			hidden = grown;
			capacity *= 2;
		}

		if (!str_take_be64(&id, &hidden[options->hidden_count++]))
			return ERR_CORRUPT;
	}
	options->hidden = hidden;
	return 0;
}

/* Tokens hold the group, because a group made anew has other positions. */
static str filter_token(struct call *c, uint64_t group, const struct log_position *at)
{
	struct buf bytes, text;

	buf_init(&bytes, c->arena, 64);
	buf_put_be64(&bytes, group);
	buf_put_be64(&bytes, at->time_ms);
	buf_put_be64(&bytes, at->sequence);
	buf_put_be64(&bytes, at->index);
	buf_init(&text, c->arena, 64);
	base64url_put(&text, buf_str(&bytes));
	return buf_str(&text);
}

static int filter_token_parse(
	struct call *c, str token, uint64_t group, struct log_position *ret_at)
{
	uint8_t bytes[64];
	size_t n = 0;
	uint64_t of;

	if (token.n <= 48 && base64url_decode(token, bytes, &n) == 0 && n == 32) {
		str rest = str_of(bytes, n);

		if (str_take_be64(&rest, &of) && str_take_be64(&rest, &ret_at->time_ms) &&
			str_take_be64(&rest, &ret_at->sequence) &&
			str_take_be64(&rest, &ret_at->index) && of == group &&
			ret_at->time_ms <= INT64_MAX)
			return 0;
	}
	return LOGS_FAULT(c, INVALID_PARAMETER, "The specified nextToken is invalid.");
}

static void add_event(struct call *c, struct value *events, const struct log_event *event)
{
	struct value *v = value_add_struct(events);

	value_put_str(v, "logStreamName", event->stream);
	value_put_int(v, "timestamp", (int64_t)event->at.time_ms);
	value_put_str(v, "message", event->message);
	value_put_int(v, "ingestionTime", event->ingestion_ms);
	value_put_str(v, "eventId", log_position_text(c->arena, &event->at));
}

/* A page of events that match; the token when there may be more. */
static int filter_page(struct call *c, const struct cursor_options *options,
	const struct wanted *wanted, const struct filter *filter)
{
	struct cursor cursor cleanup(cursor_close_p) = {.scan = NULL};
	struct arena scratch cleanup(arena_done_p);
	size_t max = (size_t)value_int(c->in, "limit", LOGS_MAX_PAGE_EVENTS), count = 0, bytes = 0;
	struct value *events = value_put_list(c->out, "events");
	struct log_event event;
	struct kv *kv;

	arena_init(&scratch, SCRATCH_BYTES);
	TRY(logs_kv(c, &kv));
	TRY(cursor_open(&cursor, kv, c->arena, options));
	while (TRY(cursor_next(&cursor, &event))) {
		bool match = is_wanted(wanted, event.stream) &&
			     filter_match(filter, &scratch, event.message);

		if (match && count &&
			(count == max || bytes + event.message.n + LOGS_MAX_EVENT_OVERHEAD >
						 LOGS_MAX_PAGE_BYTES)) {
			value_put_str(
				c->out, "nextToken", filter_token(c, options->group, &event.at));
			return 0;
		}
		if (match) {
			add_event(c, events, &event);
			bytes += event.message.n + LOGS_MAX_EVENT_OVERHEAD;
			count++;
		}
		if (cursor.bytes_read > LOGS_MAX_SCAN_BYTES) {
			struct log_position next = behind(&event);

			value_put_str(c->out, "nextToken", filter_token(c, options->group, &next));
			return 0;
		}
	}
	return 0;
}

int logs_FilterLogEvents(struct call *c)
{
	struct wanted wanted cleanup(wanted_done) = {0};
	str name, why, token = value_str(c->in, "nextToken");
	str pattern = value_str(c->in, "filterPattern");
	struct filter *filter;
	struct log_group group;
	struct log_position at;

	TRY(call_group_name(c, &name));
	if (filter_compile(c->arena, pattern, &filter, &why) < 0)
		return LOGS_FAULT(c, INVALID_PARAMETER, "%.*s", STR_ARG(why));
	TRY(call_group(c, name, &group));
	TRY(wanted_streams(c, &group, &wanted));
	struct cursor_options options = {.group = group.id,
		.stream = wanted.stream,
		.from = at_time(value_int(c->in, "startTime", 0)),
		.to = log_position_last};
	/* Events with a timestamp later than endTime are not returned. */
	int64_t end = value_int(c->in, "endTime", INT64_MAX);
	if (end < INT64_MAX)
		options.to = at_time(MAX(end, -1) + 1);
	if (token.n) {
		TRY(filter_token_parse(c, token, group.id, &at));
		options.from = later(options.from, at);
	}
	TRY(hidden_streams(c, group.id, &options));
	value_put_list(c->out, "searchedLogStreams");
	return filter_page(c, &options, &wanted, filter);
}
