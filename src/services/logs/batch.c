/* Batches of log events: see batch.h. */
#include "services/logs/batch.h"

#include "base/check.h"
#include "base/rc.h"

enum { POSITION_TIME = 16, POSITION_NUMBER = 20 };

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int log_position_compare(const struct log_position *a, const struct log_position *b)
{
	int c = compare(a->time_ms, b->time_ms);

	c = c ? c : compare(a->sequence, b->sequence);
	return c ? c : compare(a->index, b->index);
}

str log_position_text(struct arena *arena, const struct log_position *p)
{
	return arena_printf(arena, "%016llu%020llu%020llu", (unsigned long long)p->time_ms,
		(unsigned long long)p->sequence, (unsigned long long)p->index);
}

int log_position_parse(str text, struct log_position *ret_position)
{
	struct log_position p;

	if (text.n != LOG_POSITION_TEXT)
		return ERR_SYNTAX;
	TRY(str_to_u64(str_sub(text, 0, POSITION_TIME), INT64_MAX, &p.time_ms));
	TRY(str_to_u64(str_sub(text, POSITION_TIME, POSITION_NUMBER), UINT64_MAX, &p.sequence));
	TRY(str_to_u64(str_from(text, POSITION_TIME + POSITION_NUMBER), UINT64_MAX, &p.index));
	*ret_position = p;
	return 0;
}

size_t batch_fit(const struct batch_event *events, size_t n)
{
	size_t bytes = events[0].message.n, i = 1;

	for (; i < n; i++) {
		bytes += events[i].message.n + LOGS_MAX_EVENT_OVERHEAD;
		if (events[i].time_ms < events[i - 1].time_ms ||
			events[i].time_ms > events[0].time_ms + BATCH_SPAN_MS ||
			bytes > LOGS_MAX_PUT_BYTES)
			break;
	}
	return i;
}

void batch_encode(struct buf *to, uint64_t stream_id, int64_t ingestion_ms, str stream,
	const struct batch_event *events, size_t n)
{
	int64_t time_ms = events[0].time_ms;

	buf_put_be64(to, stream_id);
	buf_put_be64(to, (uint64_t)ingestion_ms);
	buf_put_varint(to, stream.n);
	buf_put(to, stream);
	buf_put_varint(to, n);
	for (size_t i = 0; i < n; i++) {
		check(events[i].time_ms >= time_ms);
		buf_put_varint(to, (uint64_t)(events[i].time_ms - time_ms));
		buf_put_varint(to, events[i].message.n);
		buf_put(to, events[i].message);
		time_ms = events[i].time_ms;
	}
}

int batch_open(struct batch_reader *reader, str body, uint64_t time_ms, uint64_t sequence)
{
	struct batch_reader r = {.at = {time_ms, sequence, 0}};
	uint64_t ingestion, n;

	if (!str_take_be64(&body, &r.stream_id) || !str_take_be64(&body, &ingestion) ||
		!str_take_varint(&body, &n) || n > body.n || !str_take(&body, n, &r.stream) ||
		!str_take_varint(&body, &r.count))
		return ERR_CORRUPT;
	r.ingestion_ms = (int64_t)ingestion;
	r.rest = body;
	*reader = r;
	return 0;
}

int batch_next(struct batch_reader *reader, struct log_event *ret_event)
{
	uint64_t since, n;
	str message;

	if (reader->at.index == reader->count)
		return 0;
	if (!str_take_varint(&reader->rest, &since) || !str_take_varint(&reader->rest, &n) ||
		n > reader->rest.n || !str_take(&reader->rest, n, &message))
		return ERR_CORRUPT;
	reader->at.time_ms += since;
	*ret_event = (struct log_event){.at = reader->at,
		.ingestion_ms = reader->ingestion_ms,
		.stream = reader->stream,
		.message = message};
	reader->at.index++;
	return 1;
}
