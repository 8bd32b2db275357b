/*
 * Log lines, platform events and figures of runs and starts, and the answers to their callers.
 */
#include "services/lambda/outcome.h"

#include "aws/ports/metric.h"
#include "base/check.h"
#include "base/json.h"
#include "services/lambda/instance.h"
#include "services/lambda/log_feed.h"
#include "services/lambda/platform.h"
#include "services/lambda/report.h"
#include "services/lambda/service.h"
#include "services/lambda/snapshot.h"
#include "services/lambda/telemetry.h"

enum { READS_PER_TURN = 8, DRAIN_READS = 64 };

#define MIB (UINT64_C(1024) * 1024)

static const struct function *function_of(const struct instance *i)
{
	return &i->function->function;
}

/* ---- output ---- */

/* Reads what is there, at most `reads` buffers. */
static void read_output(
	struct instance *i, struct rt_stream **stream, enum log_feed_source source, unsigned reads)
{
	struct rt_buffer *buffer;
	int n = 0;

	if (!*stream)
		return;
	buffer = rt_buffer_take();
	while (reads--) {
		n = rt_stream_try_read(*stream, buffer->p, sizeof(buffer->p));
		if (n <= 0)
			break;
		log_feed_output(i->feed, source, str_of(buffer->p, (size_t)n));
	}
	rt_buffer_give(buffer);
	if (n < 0) {
		rt_stream_close(*stream);
		*stream = NULL;
	}
}

void outcome_on_output(struct rt_stream *stream unused_arg, void *arg)
{
	struct instance *i = check_object(arg, struct instance, INSTANCE_MAGIC);

	read_output(i, &i->output, LOG_FEED_PLAIN, READS_PER_TURN);
}

void outcome_on_frames(struct rt_stream *stream unused_arg, void *arg)
{
	struct instance *i = check_object(arg, struct instance, INSTANCE_MAGIC);

	read_output(i, &i->telemetry, LOG_FEED_FRAMED, READS_PER_TURN);
}

void outcome_on_extension_output(struct rt_stream *stream unused_arg, void *arg)
{
	struct instance *i = check_object(arg, struct instance, INSTANCE_MAGIC);

	read_output(i, &i->extension_output, LOG_FEED_EXTENSION, READS_PER_TURN);
}

/* A record of the Telemetry API: the text, or the object that a JSON line is. */
void outcome_on_line(void *arg, enum log_feed_source source, str text)
{
	struct instance *i = check_object(arg, struct instance, INSTANCE_MAGIC);
	bool extension = source == LOG_FEED_EXTENSION;
	struct arena a cleanup(arena_done_p) = {0};
	struct json_reader r;
	struct buf b;
	str record;

	if (!i->subscribers)
		return;
	arena_init(&a, SIZE_MAX);
	text = platform_chomp(text);
	json_reader_init(&r, text, &a, JSON_DEPTH_DEFAULT);
	if (!extension && function_logs_json(function_of(i)) && str_starts(text, STR("{")) &&
		json_skip(&r) == 0 && json_end(&r) == 0) {
		record = text;
	} else {
		buf_init(&b, &a, 6 * text.n + 2);
		json_put_quoted_lossy(&b, text);
		record = buf_str(&b);
	}
	telemetry_add(i->subscribers, extension ? TELEMETRY_EXTENSION : TELEMETRY_FUNCTION,
		rt_wall() / RT_NS_MS, extension ? STR("extension") : STR("function"), record);
}

void outcome_drain(struct instance *i)
{
	read_output(i, &i->extension_output, LOG_FEED_EXTENSION, DRAIN_READS);
	read_output(i, &i->output, LOG_FEED_PLAIN, DRAIN_READS);
	read_output(i, &i->telemetry, LOG_FEED_FRAMED, DRAIN_READS);
	log_feed_end_lines(i->feed);
}

/* ---- events ---- */

void outcome_say(struct instance *i, struct platform_event e)
{
	const struct function *f = function_of(i);
	struct arena a cleanup(arena_done_p) = {0};
	str record;

	arena_init(&a, SIZE_MAX);
	e.wall_ms = rt_wall() / RT_NS_MS;
	e.function = f;
	e.provisioned = i->provisioned;
	e.tenant = i->entry ? i->entry->tenant : STR_NULL;
	e.snapshotting = i->snapshotting;
	e.stream = log_feed_stream(i->feed);
	if (!function_logs_json(f)) {
		log_feed_line(i->feed, platform_text(&a, &e));
		if (!i->subscribers)
			return;
	}
	record = platform_record(&a, &e);
	if (function_logs_json(f) && e.kind != PLATFORM_END &&
		platform_level(&e) >= platform_level_named(f->system_level))
		log_feed_line(i->feed,
			ARENA_CONCAT(&a,
				platform_json(&a, e.wall_ms, platform_name(e.kind), record),
				STR("\n")));
	telemetry_add(i->subscribers,
		e.kind == PLATFORM_END ? TELEMETRY_PLATFORM_OLD : TELEMETRY_PLATFORM, e.wall_ms,
		platform_name(e.kind), record);
}

static void say_fault(struct instance *i, str text)
{
	if (text.p)
		outcome_say(i, (struct platform_event){.kind = PLATFORM_FAULT, .text = text});
}

/* The status of a run, as events name it. */
static str status_of(bool timed_out, bool failure, bool function_error)
{
	return timed_out        ? STR("timeout")
	       : failure        ? STR("failure")
	       : function_error ? STR("error")
				: STR("success");
}

/* ---- figures ---- */

static void count_run(struct instance *i, bool error)
{
	lambda_count(&i->service->counters.invocations);
	if (error)
		lambda_count(&i->service->counters.errors);
}

static void tell_metrics(struct instance *i, bool error, int64_t duration_ns, int64_t after_ns)
{
	const struct function *f = function_of(i);

	if (!i->service->ports->metric)
		return;
	lambda_metric(i->service, f, "Invocations", 1, METRIC_COUNT);
	lambda_metric(i->service, f, "Errors", error, METRIC_COUNT);
	lambda_metric(i->service, f, "Duration", (double)duration_ns / 1e6, METRIC_MILLISECONDS);
	if (i->extensions)
		lambda_metric(i->service, f, "PostRuntimeExtensionsDuration",
			(double)after_ns / 1e6, METRIC_MILLISECONDS);
}

static void tell_trace(struct instance *i, const struct run_report *report, bool error)
{
	const struct trace_end end = {.function = function_of(i),
		.request_id = report->request_id,
		.log_stream = log_feed_stream(i->feed),
		.start_ns = i->run.start_ns,
		.done_ns = i->run.done_ns,
		.end_ns = rt_now(),
		.init_ns = report->init_ns,
		.error = error};

	trace_tell(i->service->ports, &i->run.trace, &end);
}

static uint64_t memory_peak(struct instance *i, uint64_t known)
{
	struct sandbox_usage usage = {0};
	uint64_t limit = function_of(i)->memory_mb * MIB;

	if (!known && i->container && sandbox_usage(i->container, &usage) == 0)
		known = usage.memory_peak_bytes;
	return MIN(known, limit);
}

/* ---- runs ---- */

static void fill_waiter(struct invocation *inv, str function_error, str payload)
{
	inv->function_error = function_error;
	/* What was streamed is with the caller already; an error behind it is not. */
	inv->payload_out =
		inv->streamed && !function_error.p ? STR("") : arena_str(inv->arena, payload);
}

static void answer_waiter(struct instance *i, struct invocation *inv)
{
	inv->tail = log_feed_tail_take(i->feed, inv->arena);
	inv->over = true;
	rt_event_set(&inv->event);
}

static const struct run_trace *trace_of(const struct instance *i)
{
	return i->run.trace.sampled ? &i->run.trace : NULL;
}

static void say_end(struct instance *i, const struct run_report *report, str status)
{
	outcome_say(
		i, (struct platform_event){.kind = PLATFORM_END, .request_id = report->request_id});
	outcome_say(i, (struct platform_event){.kind = PLATFORM_REPORT,
			       .request_id = report->request_id,
			       .status = status,
			       .error_type = report->error_type,
			       .run_trace = report->trace_id.p ? trace_of(i) : NULL,
			       .report = report});
}

void outcome_runtime_done(struct instance *i, str status, str error_type, size_t produced)
{
	if (i->run.done_ns)
		return;
	i->run.done_ns = rt_now();
	outcome_say(
		i, (struct platform_event){.kind = PLATFORM_RUNTIME_DONE,
			   .request_id = str_of(i->run.request_id, i->run.request_id_bytes),
			   .status = status,
			   .error_type = error_type,
			   .run_trace = trace_of(i),
			   .duration_ns = i->run.done_ns - i->run.start_ns,
			   .latency_ns = i->run.first_ns ? i->run.first_ns - i->run.start_ns : -1,
			   .produced_bytes = produced});
}

static void say_failure(struct instance *i, struct arena *a, const struct run_failure *failure,
	bool timed_out, str request_id)
{
	say_fault(i, timed_out ? report_timeout_line(a, rt_wall() / RT_NS_MS, request_id,
					 function_of(i)->timeout_s)
			       : failure_line(a, failure, request_id));
}

/* The error that a caller sees; what the payload is then. */
static str error_seen(const struct instance *i, const struct run_end *end)
{
	return end->failure || (i->run.answered && i->run.failed) ? STR("Unhandled")
								  : end->function_error;
}

static str payload_of(const struct instance *i, struct arena *a, const struct run_end *end)
{
	return end->failure ? failure_payload(a, end->failure,
				      str_of(i->run.request_id, i->run.request_id_bytes))
			    : end->payload;
}

void outcome_write_books(struct instance *i, const struct run_end *end)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct run_report report = {
		.request_id = str_of(i->run.request_id, i->run.request_id_bytes),
		.duration_ns = end->duration_ns,
		.init_ns = i->run.init_ns,
		.restored = i->restored,
		.memory_mb = function_of(i)->memory_mb,
		.timed_out = end->timed_out,
		.trace_id = i->run.trace.sampled ? str_c(i->run.trace.root) : STR_NULL,
		.segment_id = str_c(i->run.trace.function),
	};
	bool error = error_seen(i, end).p != NULL;
	str status;

	arena_init(&a, SIZE_MAX);
	if (end->duration_ns < 0)
		report.duration_ns = rt_now() - i->run.start_ns;
	outcome_drain(i);
	report.memory_peak_bytes = memory_peak(i, end->memory_peak_bytes);
	status = status_of(end->timed_out, end->failure != NULL, error);
	if (end->failure) {
		report.error_type = end->timed_out ? STR_NULL : end->failure->type;
		say_failure(i, &a, end->failure, end->timed_out, report.request_id);
	}
	outcome_runtime_done(i, status, report.error_type, payload_of(i, &a, end).n);
	say_end(i, &report, status);
	tell_trace(i, &report, error);
	tell_metrics(i, error, report.duration_ns, rt_now() - i->run.done_ns);
}

void outcome_release(struct instance *i, const struct run_end *end)
{
	struct invocation *inv = i->run.waiter;
	struct arena a cleanup(arena_done_p) = {0};
	str function_error = error_seen(i, end);

	check(i->run.active);
	arena_init(&a, SIZE_MAX);
	if (inv && !i->run.answered)
		fill_waiter(inv, function_error, payload_of(i, &a, end));
	count_run(i, function_error.p != NULL);
	i->run.active = i->run.answered = false;
	i->run.waiter = NULL;
	atomic_fetch_sub_explicit(&i->service->counters.instances_busy, 1, memory_order_relaxed);
	if (inv)
		answer_waiter(i, inv);
	else
		quota_leave(i->quota, i->run.place);
}

void outcome_run_over(struct instance *i, const struct run_end *end)
{
	check(i->run.active);
	outcome_write_books(i, end);
	outcome_release(i, end);
}

void outcome_answered(struct instance *i, str function_error, str payload)
{
	struct invocation *inv = i->run.waiter;

	outcome_drain(i);
	outcome_runtime_done(
		i, function_error.p ? STR("error") : STR("success"), STR_NULL, payload.n);
	i->run.answered = true;
	i->run.failed = function_error.p != NULL;
	if (!inv)
		return;
	fill_waiter(inv, function_error, payload);
	if (inv->log_tail)
		return;
	i->run.waiter = NULL;
	inv->left = true; /* it is counted until the end */
	inv->over = true;
	rt_event_set(&inv->event);
}

/* ---- starts ---- */

void outcome_started(struct instance *i, bool good)
{
	bool was = i->starting;

	i->starting = false;
	if (was && !i->snapshotting)
		scheduler_started(i->entry, i, good);
}

struct invocation *outcome_first_waiting(struct instance *i)
{
	return i->provisioned || i->snapshotting ? NULL : scheduler_take_waiting(i->entry);
}

static void say_init(struct instance *i, str status, str error_type)
{
	struct platform_event e = {
		.kind = i->restored ? PLATFORM_RESTORE_RUNTIME_DONE : PLATFORM_INIT_RUNTIME_DONE,
		.in_invoke = i->phase_invoke,
		.status = status,
		.error_type = error_type,
		.duration_ns = rt_now() - i->started_ns};

	outcome_say(i, e);
	for (unsigned k = 0; i->extensions && k < i->extensions->count; k++)
		outcome_say(i, (struct platform_event){.kind = PLATFORM_EXTENSION,
				       .extension = &i->extensions->items[k]});
	e.kind = i->restored ? PLATFORM_RESTORE_REPORT : PLATFORM_INIT_REPORT;
	outcome_say(i, e);
}

void outcome_init_done(struct instance *i)
{
	say_init(i, STR("success"), STR_NULL);
}

void outcome_init_timed_out(struct instance *i)
{
	outcome_drain(i);
	say_init(i, STR("timeout"), STR_NULL);
}

void outcome_init_failed(struct instance *i, const struct run_failure *failure, str payload,
	uint64_t memory_peak_bytes, bool timed_out)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct invocation *inv = outcome_first_waiting(i);
	int64_t init_ns = rt_now() - i->started_ns;
	struct run_report report = {
		.init_ns = -1,
		.memory_mb = function_of(i)->memory_mb,
		.timed_out = timed_out,
		.error_type = timed_out ? STR_NULL : failure->type,
	};
	str status = timed_out ? STR("timeout") : STR("error");

	arena_init(&a, SIZE_MAX);
	outcome_drain(i);
	report.memory_peak_bytes = memory_peak(i, memory_peak_bytes);
	say_init(i, status, report.error_type);
	if (i->snapshotting && !payload.n)
		say_failure(i, &a, failure, timed_out, STR(""));
	snapshot_failed(i, failure->type, payload.n ? payload : failure->text);
	outcome_started(i, false);
	if (!inv)
		return;
	report.request_id = inv->request_id;
	report.duration_ns = init_ns;
	/* Why it failed is what the init phase has said. */
	log_feed_tail_keep(i->feed, inv->log_tail);
	outcome_say(
		i, (struct platform_event){.kind = PLATFORM_START, .request_id = inv->request_id});
	say_failure(i, &a, failure, timed_out, inv->request_id);
	say_end(i, &report, status);
	count_run(i, true);
	tell_metrics(i, true, init_ns, 0);
	fill_waiter(inv, STR("Unhandled"),
		payload.n ? payload : failure_payload(&a, failure, inv->request_id));
	answer_waiter(i, inv);
}
