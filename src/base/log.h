/*
 * Structured log lines: a level, a component, a message and key=value fields, one line each.
 *
 * Lines go to a sink that the server sets (standard error by default) and into a ring of the last
 * lines, which the crash report prints. Whoever decides, logs, once (STYLE 12). Safe from any
 * thread; a line costs one write, so nothing on a hot path logs.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/*
 * log_line(LOG_INFO, "kv", "opened", "path=%s", path); `fields` may be NULL. The line is cut at
 * 1,024 bytes; control characters in it are replaced.
 */
void log_line(enum log_level level, const char *component, const char *message, const char *fields,
	...) printf_like(4, 5);
#define log_debug(component, message, ...) log_line(LOG_DEBUG, component, message, "" __VA_ARGS__)
#define log_info(component, message, ...)  log_line(LOG_INFO, component, message, "" __VA_ARGS__)
#define log_warn(component, message, ...)  log_line(LOG_WARN, component, message, "" __VA_ARGS__)
#define log_error(component, message, ...) log_line(LOG_ERROR, component, message, "" __VA_ARGS__)

/* Lines below `level` are dropped. Default LOG_INFO. Set at start. */
void log_set_level(enum log_level level);
/* Where finished lines (with their newline) go, and what gives their time: set once at start. */
typedef void log_sink(enum log_level level, str line);
void log_set_sink(log_sink *sink);
/* Wall clock for the line's time stamp, in nanoseconds since 1970; the runtime sets it. */
void log_set_clock(int64_t (*wall_ns)(void));
/* Prints the ring, oldest first; used by the crash report. */
void log_dump(void (*put)(const char *text, size_t n));

#endif
