/*
 * The log: formatting, ring and sink. The ring's places are claimed by an atomic counter, so that
 * writers never wait for one another; a torn line in a crash report is acceptable.
 */
#include "base/log.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { LINE_BYTES = 1024, RING_LINES = 64 };

static struct {
	_Atomic unsigned next;
	struct {
		char text[LINE_BYTES];
		size_t n;
	} line[RING_LINES];
} ring;

static enum log_level level_min = LOG_INFO; /* these three: set at start, read only afterwards */
static log_sink *sink_set;
static int64_t (*clock_set)(void);

void log_set_level(enum log_level level)
{
	level_min = level;
}

void log_set_sink(log_sink *sink)
{
	sink_set = sink;
}

void log_set_clock(int64_t (*wall_ns)(void))
{
	clock_set = wall_ns;
}

static size_t put_head(char *text, enum log_level level, const char *component, const char *message)
{
	static const char *const name[] = {"debug", "info", "warn", "error"};
	int64_t ns = clock_set ? clock_set() : 0;
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;
	int n;

	gmtime_r(&seconds, &tm);
	n = snprintf(text, LINE_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s %s: %s",
		tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		(int)(ns / 1000000 % 1000), name[level], component, message);
	return MIN((size_t)n, (size_t)LINE_BYTES - 1);
}

void log_line(
	enum log_level level, const char *component, const char *message, const char *fields, ...)
{
	char text[LINE_BYTES];
	unsigned place;
	va_list args;
	size_t n;

	if (level < level_min)
		return;
	n = put_head(text, level, component, message);
	if (fields && *fields && n + 2 < LINE_BYTES) {
		int more;

		text[n++] = ' ';
		va_start(args, fields);
		more = vsnprintf(text + n, LINE_BYTES - n, fields, args);
		va_end(args);
		n = MIN(n + (size_t)MAX(more, 0), (size_t)LINE_BYTES - 1);
	}
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	n = MIN(n, (size_t)LINE_BYTES - 2);
	text[n++] = '\n';
	place = atomic_fetch_add(&ring.next, 1) % RING_LINES;
	memcpy(ring.line[place].text, text, n);
	ring.line[place].n = n;
	if (sink_set)
		sink_set(level, str_of(text, n));
	else
		check_put(text, n);
}

void log_dump(void (*put)(const char *text, size_t n))
{
	unsigned next = atomic_load(&ring.next);

	for (unsigned i = 0; i < RING_LINES; i++) {
		unsigned place = (next + i) % RING_LINES;

		if (ring.line[place].n)
			put(ring.line[place].text, ring.line[place].n);
	}
}
