/*
 * Lines of one instance. Waiting events stand one behind the other in one buffer: time, length,
 * text; a flush takes the whole buffer away, so that lines can come while the log port works.
 */
#include "services/lambda/log_feed.h"

#include "aws/ports/log.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/time.h"
#include "rt/rt.h"
#include "services/lambda/function.h"
#include "services/lambda/platform.h"
#include "services/lambda/service.h"

enum { FRAME_HEADER = 16, FRAME_HEADER_SHORT = 8, FLUSH_EVENTS = 128 };

#define FRAME_PLAIN 0xa55a0001u
#define FRAME_TIMED 0xa55a0003u

struct partial {
	struct buf text; /* a line without its newline, or a frame without its end */
	size_t frame_left;
	bool plain; /* a framed pipe that does not frame */
};

struct log_feed {
	struct lambda_service *service;
	struct arena arena;
	str account, region, group, stream;
	void (*on_dirty)(void *arg);
	void *arg;
	struct buf pending;
	uint64_t dropped; /* since the last line that said so */
	struct partial partial[LOG_FEED_SOURCES];
	struct buf tail;
	bool tailing, flushing, closed;
	unsigned level_min;
	void (*on_line)(void *arg, enum log_feed_source source, str text);
};

str log_feed_stream_name(struct arena *a, const struct function *f)
{
	bool own = !str_eq(f->log_group, ARENA_CONCAT(a, STR("/aws/lambda/"), f->name));
	struct time_parts t = time_parts_of(rt_wall() / RT_NS_MS);
	uint8_t bytes[16];
	char hex[2 * sizeof(bytes)];

	rt_random_bytes(bytes, sizeof(bytes));
	hex_encode(bytes, sizeof(bytes), hex);
	return arena_printf(a, "%04d/%02d/%02d/%.*s[%.*s]%.*s", t.year, t.month, t.day,
		STR_ARG(own ? f->name : STR("")), STR_ARG(f->version), (int)sizeof(hex), hex);
}

struct log_feed *log_feed_new(struct lambda_service *s, str account, str region, str group,
	str stream, void (*on_dirty)(void *arg), void *arg)
{
	struct log_feed *feed = mem_new(struct log_feed);

	feed->service = s;
	arena_init(&feed->arena, SIZE_MAX);
	feed->account = arena_str(&feed->arena, account);
	feed->region = arena_str(&feed->arena, region);
	feed->group = arena_str(&feed->arena, group);
	feed->stream = arena_str(&feed->arena, stream);
	feed->on_dirty = on_dirty;
	feed->arg = arg;
	buf_init(&feed->pending, NULL, LAMBDA_LOG_PENDING_BYTES_MAX);
	buf_init(&feed->tail, NULL, (size_t)2 * LAMBDA_TAIL_BYTES_MAX);
	feed->tailing = true;
	for (int i = 0; i < LOG_FEED_SOURCES; i++)
		buf_init(&feed->partial[i].text, NULL, LAMBDA_LOG_LINE_BYTES_MAX + FRAME_HEADER);
	return feed;
}

void log_feed_free(struct log_feed *feed)
{
	if (!feed)
		return;
	check(!feed->flushing);
	buf_done(&feed->pending);
	buf_done(&feed->tail);
	for (int i = 0; i < LOG_FEED_SOURCES; i++)
		buf_done(&feed->partial[i].text);
	arena_done(&feed->arena);
	mem_free(feed);
}

str log_feed_stream(const struct log_feed *feed)
{
	return feed->stream;
}

bool log_feed_dirty(const struct log_feed *feed)
{
	return feed->pending.n > 0 || feed->dropped > 0;
}

/* ---- events ---- */

static void keep_tail(struct log_feed *feed, str text)
{
	size_t over;

	text = text.n > LAMBDA_TAIL_BYTES_MAX ? str_from(text, text.n - LAMBDA_TAIL_BYTES_MAX)
					      : text;
	if (feed->tail.n + text.n > feed->tail.max) {
		over = feed->tail.n - MIN(feed->tail.n, (size_t)LAMBDA_TAIL_BYTES_MAX);
		memmove(feed->tail.p, feed->tail.p + over, feed->tail.n - over);
		feed->tail.n -= over;
	}
	buf_put(&feed->tail, text);
}

static void add_event(struct log_feed *feed, str text)
{
	size_t before = feed->pending.n;

	if (text.n == 0)
		return;
	if (feed->tailing)
		keep_tail(feed, text);
	if (before + text.n + 12 > LAMBDA_LOG_PENDING_BYTES_MAX) {
		feed->dropped++;
		lambda_count(&feed->service->counters.log_lines_dropped);
		return;
	}
	buf_put_be64(&feed->pending, (uint64_t)(rt_wall() / RT_NS_MS));
	buf_put_be32(&feed->pending, (uint32_t)text.n);
	buf_put(&feed->pending, text);
	if (before == 0 && !feed->closed)
		feed->on_dirty(feed->arg);
}

void log_feed_line(struct log_feed *feed, str message)
{
	add_event(feed, message);
}

void log_feed_refine(struct log_feed *feed, unsigned level_min,
	void (*on_line)(void *arg, enum log_feed_source source, str text))
{
	feed->level_min = level_min;
	feed->on_line = on_line;
}

/* The level of a line that is a JSON object with one; INFO. */
static unsigned level_of(str line)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct json_value *v;

	line = str_trim(line);
	arena_init(&a, SIZE_MAX);
	if (!str_starts(line, STR("{")) || json_parse(&a, line, JSON_DEPTH_DEFAULT, &v, NULL) < 0)
		return log_level_named(STR("INFO"));
	return log_level_named(json_text(json_get(v, STR("level"))));
}

/* A line of the function or of an extension. */
static void add_line(struct log_feed *feed, struct partial *p, str text)
{
	enum log_feed_source source = (enum log_feed_source)(p - feed->partial);

	if (text.n == 0)
		return;
	if (feed->on_line)
		feed->on_line(feed->arg, source, text);
	if (feed->level_min && source == LOG_FEED_PLAIN && level_of(text) < feed->level_min)
		return;
	add_event(feed, text);
}

static void end_line(struct log_feed *feed, struct partial *p)
{
	add_line(feed, p, buf_str(&p->text));
	buf_reset(&p->text);
}

static void plain_output(struct log_feed *feed, struct partial *p, str bytes)
{
	while (bytes.n) {
		ptrdiff_t at = str_find(bytes, '\n');
		size_t n = at < 0 ? bytes.n : (size_t)at + 1;
		size_t room = LAMBDA_LOG_LINE_BYTES_MAX - p->text.n;

		if (n > room) {
			n = room;
			at = -1;
		}
		if (at >= 0 && p->text.n == 0) {
			add_line(feed, p, str_sub(bytes, 0, n));
		} else {
			buf_put(&p->text, str_sub(bytes, 0, n));
			if (at >= 0 || p->text.n >= LAMBDA_LOG_LINE_BYTES_MAX)
				end_line(feed, p);
		}
		bytes = str_from(bytes, n);
	}
}

/* Takes the header off the buffered bytes: false when more are needed. */
static bool frame_begin(struct partial *p)
{
	str in = buf_str(&p->text);
	uint32_t magic = 0, length = 0;
	size_t header;

	if (in.n < FRAME_HEADER_SHORT)
		return false;
	(void)str_take_be32(&in, &magic);
	(void)str_take_be32(&in, &length);
	p->plain = magic != FRAME_PLAIN && magic != FRAME_TIMED;
	header = magic == FRAME_TIMED ? FRAME_HEADER : FRAME_HEADER_SHORT;
	if (p->plain)
		return true;
	if (p->text.n < header)
		return false;
	check(p->text.n == header);
	buf_reset(&p->text);
	p->frame_left = length;
	return true;
}

static void framed_output(struct log_feed *feed, struct partial *p, str bytes)
{
	while (bytes.n && !p->plain) {
		size_t n;

		if (p->frame_left == 0) {
			buf_put_char(&p->text, bytes.p[0]);
			bytes = str_from(bytes, 1);
			if (frame_begin(p) && p->plain) {
				/* No frames: what was taken for a header is text. */
				struct buf text = p->text;

				buf_init(&p->text, NULL, text.max);
				plain_output(feed, p, buf_str(&text));
				buf_done(&text);
			}
			continue;
		}
		n = MIN(bytes.n, LAMBDA_LOG_LINE_BYTES_MAX - p->text.n);
		n = MIN(n, p->frame_left);
		buf_put(&p->text, str_sub(bytes, 0, n));
		bytes = str_from(bytes, n);
		p->frame_left -= n;
		if (p->frame_left == 0 || p->text.n >= LAMBDA_LOG_LINE_BYTES_MAX)
			end_line(feed, p);
	}
	if (bytes.n)
		plain_output(feed, p, bytes);
}

void log_feed_output(struct log_feed *feed, enum log_feed_source source, str bytes)
{
	struct partial *p = &feed->partial[source];

	if (source == LOG_FEED_FRAMED && !p->plain)
		framed_output(feed, p, bytes);
	else
		plain_output(feed, p, bytes);
}

void log_feed_end_lines(struct log_feed *feed)
{
	end_line(feed, &feed->partial[LOG_FEED_PLAIN]);
	end_line(feed, &feed->partial[LOG_FEED_EXTENSION]);
	if (feed->partial[LOG_FEED_FRAMED].plain)
		end_line(feed, &feed->partial[LOG_FEED_FRAMED]);
}

/* ---- the tail ---- */

static void drop_tail(struct log_feed *feed)
{
	buf_done(&feed->tail);
	buf_init(&feed->tail, NULL, (size_t)2 * LAMBDA_TAIL_BYTES_MAX);
}

void log_feed_tail_begin(struct log_feed *feed, bool wanted)
{
	if (feed->tail.n)
		drop_tail(feed);
	feed->tailing = wanted;
}

void log_feed_tail_keep(struct log_feed *feed, bool wanted)
{
	if (!wanted)
		log_feed_tail_begin(feed, false);
}

str log_feed_tail_take(struct log_feed *feed, struct arena *a)
{
	str all = buf_str(&feed->tail);

	if (!feed->tailing)
		return STR_NULL;
	feed->tailing = false;
	all = arena_str(a, str_from(all, all.n - MIN(all.n, (size_t)LAMBDA_TAIL_BYTES_MAX)));
	drop_tail(feed);
	return all;
}

/* ---- handing over ---- */

/* The next events of `in`, at most `max`. */
static size_t take_events(str *in, struct port_log_event *events, size_t max)
{
	size_t n = 0;

	while (n < max && in->n) {
		uint64_t time;
		uint32_t length;

		check(str_take_be64(in, &time) && str_take_be32(in, &length) &&
			str_take(in, length, &events[n].message));
		events[n++].time_ms = (int64_t)time;
	}
	return n;
}

/* Says first what was dropped before; false: the port has no room, all of `in` is dropped too. */
static bool put_batch(struct log_feed *feed, struct port_log_event *events, str in)
{
	const struct port_log *port = feed->service->ports->log;
	struct arena a cleanup(arena_done_p) = {0};
	uint64_t said = feed->dropped, lost = 0;
	bool room = true;
	size_t n, own;

	arena_init(&a, SIZE_MAX);
	for (;;) {
		own = room && said ? 1 : 0;
		if (own)
			events[0] = (struct port_log_event){rt_wall() / RT_NS_MS,
				arena_printf(&a, "%llu log lines were dropped here.\n",
					(unsigned long long)said)};
		n = take_events(&in, events + own, FLUSH_EVENTS - own);
		if (n + own == 0)
			break;
		room = room && port->put(port->self, feed->account, feed->region, feed->group,
				       feed->stream, true, false, events, n + own) >= 0;
		if (room)
			feed->dropped -= own ? said : 0;
		else
			lost += n;
		said = 0;
	}
	feed->dropped += lost;
	atomic_fetch_add_explicit(
		&feed->service->counters.log_lines_dropped, lost, memory_order_relaxed);
	return room;
}

void log_feed_flush(struct log_feed *feed)
{
	struct port_log_event *events;
	bool room = true;

	if (feed->flushing)
		return;
	if (!feed->service->ports->log) {
		buf_reset(&feed->pending);
		feed->dropped = 0;
		return;
	}
	feed->flushing = true;
	events = mem_new_array(struct port_log_event, FLUSH_EVENTS);
	while (room && log_feed_dirty(feed)) {
		struct buf batch = feed->pending;

		buf_init(&feed->pending, NULL, batch.max);
		room = put_batch(feed, events, buf_str(&batch));
		buf_done(&batch);
	}
	mem_free(events);
	feed->flushing = false;
	if (log_feed_dirty(feed) && !feed->closed)
		feed->on_dirty(feed->arg);
}

void log_feed_close(struct log_feed *feed)
{
	feed->closed = true;
	log_feed_flush(feed);
}
