/* Merging batches of events: see cursor.h. */
#include "services/logs/cursor.h"

#include "aws/keyspace.h"
#include "base/rc.h"

const struct log_position log_position_last = {INT64_MAX, UINT64_MAX, UINT64_MAX};

/* ---- the heap: its top is the next event in the cursor's direction ---- */

static bool before(const struct cursor *c, const struct log_event *a, const struct log_event *b)
{
	int order = log_position_compare(&a->at, &b->at);

	return c->options.backward ? order > 0 : order < 0;
}

static void heap_push(struct cursor *c, const struct log_event *event)
{
	if (c->count == c->capacity) {
		size_t capacity = c->capacity ? c->capacity * 2 : 64;
		struct log_event *grown = arena_new_array(c->arena, struct log_event, capacity);

		for (size_t i = 0; i < c->count; i++)
			grown[i] = c->heap[i];
		c->heap = grown;
		c->capacity = capacity;
	}
	size_t at = c->count++;
	while (at && before(c, event, &c->heap[(at - 1) / 2])) {
		c->heap[at] = c->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	c->heap[at] = *event;
}

static struct log_event heap_pop(struct cursor *c)
{
	struct log_event top = c->heap[0], last = c->heap[--c->count];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < c->count) {
		if (child + 1 < c->count && before(c, &c->heap[child + 1], &c->heap[child]))
			child++;
		if (!before(c, &c->heap[child], &last))
			break;
		c->heap[at] = c->heap[child];
		at = child;
	}
	if (c->count)
		c->heap[at] = last;
	return top;
}

/* ---- batches ---- */

int cursor_open(struct cursor *cursor, struct kv *kv, struct arena *arena,
	const struct cursor_options *options)
{
	uint64_t from = options->from.time_ms;
	uint64_t to = options->to.time_ms;
	struct kv_range range = {.reverse = options->backward};

	*cursor = (struct cursor){.kv = kv, .arena = arena, .options = *options};
	/* A batch may begin before its events that are wanted. */
	from = from > BATCH_SPAN_MS ? from - BATCH_SPAN_MS : 0;
	to = to < INT64_MAX ? to + 1 : INT64_MAX;
	if (options->stream) {
		range.from =
			log_key_batch_of(arena, options->group, options->stream, (int64_t)from, 0);
		range.to = log_key_batch_of(arena, options->group, options->stream, (int64_t)to, 0);
	} else {
		range.from = log_key_batch(arena, options->group, (int64_t)from, 0);
		range.to = log_key_batch(arena, options->group, (int64_t)to, 0);
	}
	return kv_scan_open(kv, &range, &cursor->scan);
}

void cursor_close(struct cursor *cursor)
{
	kv_scan_close(cursor->scan);
	cursor->scan = NULL;
}

/* Reads the next batch, if it is not there yet. */
static int read_next(struct cursor *c)
{
	str key, record;

	while (!c->pending && !c->ended) {
		if (!TRY(kv_scan_next(c->scan, &key, &record))) {
			c->ended = true;
			return 0;
		}
		TRY(log_key_batch_take(key, &c->next_time_ms, &c->next_sequence));
		if (!c->options.stream)
			record = arena_str(c->arena, record);
		else if (!TRY(kv_get(c->kv,
				 log_key_batch(c->arena, c->options.group, (int64_t)c->next_time_ms,
					 c->next_sequence),
				 c->arena, &record)))
			continue; /* dropped since the scan began */
		c->bytes_read += record.n;
		c->next = record;
		c->pending = true;
	}
	return 0;
}

static bool is_hidden(const struct cursor *c, uint64_t stream)
{
	size_t low = 0, high = c->options.hidden_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (c->options.hidden[middle] == stream)
			return true;
		if (c->options.hidden[middle] < stream)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static int take_next(struct cursor *c)
{
	struct batch_reader reader;
	struct log_event event;

	c->pending = false;
	TRY(log_batch_open(c->next, c->next_time_ms, c->next_sequence, &reader));
	if (is_hidden(c, reader.stream_id))
		return 0;
	while (TRY(batch_next(&reader, &event)))
		if (log_position_compare(&event.at, &c->options.from) >= 0 &&
			log_position_compare(&event.at, &c->options.to) < 0)
			heap_push(c, &event);
	return 0;
}

/* May the batch that was read hold an event that comes before the top of the heap? */
static bool may_precede(const struct cursor *c)
{
	uint64_t time_ms = c->heap[0].at.time_ms;

	if (c->options.backward)
		return c->next_time_ms + BATCH_SPAN_MS >= time_ms;
	return c->next_time_ms <= time_ms;
}

int cursor_next(struct cursor *cursor, struct log_event *ret_event)
{
	for (;;) {
		TRY(read_next(cursor));
		if (!cursor->pending || (cursor->count && !may_precede(cursor)))
			break;
		TRY(take_next(cursor));
	}
	if (!cursor->count)
		return 0;
	*ret_event = heap_pop(cursor);
	return 1;
}
