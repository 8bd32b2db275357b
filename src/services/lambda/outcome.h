/*
 * What an instance tells of its work: its output, the platform's events, figures, and the answer of
 * whoever waits. On the instance's loop; nothing here suspends.
 */
#ifndef SERVICES_LAMBDA_OUTCOME_H
#define SERVICES_LAMBDA_OUTCOME_H

#include "services/lambda/log_feed.h"

struct instance;
struct invocation;
struct platform_event;
struct rt_stream;
struct run_failure;

/* For rt_stream_watch(), with the instance: standard output, framed records, extensions' output. */
void outcome_on_output(struct rt_stream *stream, void *arg);
void outcome_on_frames(struct rt_stream *stream, void *arg);
void outcome_on_extension_output(struct rt_stream *stream, void *arg);
/* For log_feed_refine(). */
void outcome_on_line(void *arg, enum log_feed_source source, str text);
/* What was written before an answer belongs before its last lines. Bounded: a flood goes on. */
void outcome_drain(struct instance *i);

/* Fills in the time and the function, and says it: in the log, and to those who have subscribed. */
void outcome_say(struct instance *i, struct platform_event e);

struct run_end {
	const struct run_failure *failure; /* of the platform's; NULL: the function's own answer */
	str function_error, payload;       /* without a failure */
	bool timed_out;
	uint64_t memory_peak_bytes; /* 0: ask the container */
	int64_t duration_ns;        /* < 0: until now */
};
/* Ends the active run: log lines, figures, the waiting caller. */
void outcome_run_over(struct instance *i, const struct run_end *end);
/*
 * The same in two steps, for an answer of the function: the caller, who does not want the log, has
 * it at once; then what is written down about the run, before another begins.
 */
void outcome_release(struct instance *i, const struct run_end *end);
void outcome_write_books(struct instance *i, const struct run_end *end);
/*
 * The runtime has answered; the run goes on until its extensions have done their work, within its
 * time. The caller has the answer at once, unless it wants the log of all of it.
 */
void outcome_answered(struct instance *i, str function_error, str payload);
/* The runtime is done with the event, or will not be: `failure` NULL when it answered. */
void outcome_runtime_done(struct instance *i, str status, str error_type, size_t produced);

/* Starting has come to an end. Harmless when it had. */
void outcome_started(struct instance *i, bool good);
/* Who is told that it could not start: nobody waits for one that is kept ready. */
struct invocation *outcome_first_waiting(struct instance *i);
/* The init phase went well. */
void outcome_init_done(struct instance *i);
/* It ends for now without telling anybody: it is to be repeated inside the invocation. */
void outcome_init_timed_out(struct instance *i);
/*
 * The instance will never work: log its init, and let the first invocation that waits fail with it.
 * `payload` is the runtime's own report, or empty: then it is made of the failure.
 */
void outcome_init_failed(struct instance *i, const struct run_failure *failure, str payload,
	uint64_t memory_peak_bytes, bool timed_out);

#endif
