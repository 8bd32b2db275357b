/*
 * From an instance's pipes to its log stream: lines are cut, stamped, kept for the log tail, and
 * handed to the log port in batches. A flood is dropped beyond a bound, and counted in the stream;
 * it never makes the function or the server wait.
 *
 * Plain output (standard output and error) is split at newlines. Framed output (the runtimes'
 * console and logging) comes as records of any content: a header of big-endian numbers (4 bytes
 * 0xa55a0001 or 0xa55a0003, 4 bytes length, 8 bytes microseconds since 1970 for the latter), then
 * the text.
 *
 * Threading: one loop's. Only log_feed_flush() suspends.
 */
#ifndef SERVICES_LAMBDA_LOG_FEED_H
#define SERVICES_LAMBDA_LOG_FEED_H

#include "base/buf.h"

struct function;
struct lambda_service;
struct log_feed;

enum log_feed_source { LOG_FEED_PLAIN, LOG_FEED_FRAMED, LOG_FEED_EXTENSION, LOG_FEED_SOURCES };

/* In a group of its own choice a function names itself, because others may write there, too. */
str log_feed_stream_name(struct arena *a, const struct function *f);
/* The strings are copied. `on_dirty` is called when lines wait that did not before. */
struct log_feed *log_feed_new(struct lambda_service *s, str account, str region, str group,
	str stream, void (*on_dirty)(void *arg), void *arg);
void log_feed_free(struct log_feed *feed);
str log_feed_stream(const struct log_feed *feed);

/*
 * Lines of the function below a level (log_level_named()) are left out, as their member "level"
 * says, INFO without; framed ones were chosen by the runtime. `on_line`, called with the arg of
 * log_feed_new(), hears every line of the function and its extensions.
 */
void log_feed_refine(struct log_feed *feed, unsigned level_min,
	void (*on_line)(void *arg, enum log_feed_source source, str text));
/* A whole line of the platform's own, with its newline; STR_NULL: none. */
void log_feed_line(struct log_feed *feed, str message);
/* What came out of a pipe, in parts of any size. */
void log_feed_output(struct log_feed *feed, enum log_feed_source source, str bytes);
/* Lines that never got their newline become events: at the end of a run. */
void log_feed_end_lines(struct log_feed *feed);
/* A run begins: the last 4 KiB of its lines are kept, when they are wanted. */
void log_feed_tail_begin(struct log_feed *feed, bool wanted);
/* The same, with what there was since it began or, of a new feed, ever: an init phase's output. */
void log_feed_tail_keep(struct log_feed *feed, bool wanted);
/* They, in the arena; STR_NULL when they were not. */
str log_feed_tail_take(struct log_feed *feed, struct arena *a);
/*
 * Hands over what waits. One fiber at a time; a second caller returns at once. When the port has no
 * room it is dropped, and on_dirty is called so that this is said later.
 */
void log_feed_flush(struct log_feed *feed) mayyield;
/* The last flush: on_dirty is not called any more. */
void log_feed_close(struct log_feed *feed) mayyield;
bool log_feed_dirty(const struct log_feed *feed);

#endif
