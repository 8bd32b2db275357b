/*
 * The forms of platform events.
 */
#include "services/lambda/platform.h"

#include "base/check.h"
#include "base/json.h"
#include "base/time.h"
#include "services/lambda/extension.h"
#include "services/lambda/function.h"
#include "services/lambda/report.h"
#include "services/lambda/trace.h"

enum { RECORD_BYTES_MAX = 65536, STREAM_DIGITS = 32, NS_PER_MS = 1000000 };

static const str names[PLATFORM_KINDS] = {
	[PLATFORM_INIT_START] = STR_INIT("platform.initStart"),
	[PLATFORM_INIT_RUNTIME_DONE] = STR_INIT("platform.initRuntimeDone"),
	[PLATFORM_INIT_REPORT] = STR_INIT("platform.initReport"),
	[PLATFORM_RESTORE_START] = STR_INIT("platform.restoreStart"),
	[PLATFORM_RESTORE_RUNTIME_DONE] = STR_INIT("platform.restoreRuntimeDone"),
	[PLATFORM_RESTORE_REPORT] = STR_INIT("platform.restoreReport"),
	[PLATFORM_START] = STR_INIT("platform.start"),
	[PLATFORM_RUNTIME_DONE] = STR_INIT("platform.runtimeDone"),
	[PLATFORM_END] = STR_INIT("platform.end"),
	[PLATFORM_REPORT] = STR_INIT("platform.report"),
	[PLATFORM_EXTENSION] = STR_INIT("platform.extension"),
	[PLATFORM_TELEMETRY_SUBSCRIPTION] = STR_INIT("platform.telemetrySubscription"),
	[PLATFORM_LOGS_SUBSCRIPTION] = STR_INIT("platform.logsSubscription"),
	[PLATFORM_LOGS_DROPPED] = STR_INIT("platform.logsDropped"),
	[PLATFORM_FAULT] = STR_INIT("platform.fault"),
};

str platform_name(enum platform_kind kind)
{
	check(kind < PLATFORM_KINDS);
	return names[kind];
}

enum platform_level platform_level(const struct platform_event *e)
{
	bool good = str_eq(e->status, STR("success"));

	switch (e->kind) {
	/* With a runtimeVersion it is information. */
	case PLATFORM_INIT_START:
		return function_is_image(e->function) ? PLATFORM_DEBUG : PLATFORM_INFO;
	case PLATFORM_INIT_RUNTIME_DONE:
	case PLATFORM_RESTORE_RUNTIME_DONE:
	case PLATFORM_RUNTIME_DONE: return good ? PLATFORM_DEBUG : PLATFORM_WARN;
	case PLATFORM_INIT_REPORT:
		return !good ? PLATFORM_WARN : e->provisioned ? PLATFORM_INFO : PLATFORM_DEBUG;
	case PLATFORM_RESTORE_REPORT:
	case PLATFORM_REPORT: return good ? PLATFORM_INFO : PLATFORM_WARN;
	case PLATFORM_EXTENSION:
		return e->extension->state == EXTENSION_READY ? PLATFORM_INFO : PLATFORM_WARN;
	case PLATFORM_LOGS_DROPPED:
	case PLATFORM_FAULT: return PLATFORM_WARN;
	default: return PLATFORM_INFO;
	}
}

static str start_text(struct arena *a, const struct platform_event *e)
{
	const struct lambda_runtime *runtime = e->function->runtime;

	if (function_is_image(e->function))
		return STR_NULL;
	return report_begin(a,
		e->kind == PLATFORM_INIT_START ? STR("INIT_START") : STR("RESTORE_START"),
		lambda_runtime_version(a, runtime),
		lambda_runtime_arn(a, runtime, e->function->region));
}

str platform_text(struct arena *a, const struct platform_event *e)
{
	switch (e->kind) {
	case PLATFORM_START: return report_start(a, e->request_id, e->function->version);
	case PLATFORM_END: return report_end(a, e->request_id);
	case PLATFORM_REPORT: return report_line(a, e->report);
	case PLATFORM_INIT_REPORT:
		/* Of one that went well the REPORT line tells, unless runs are not its matter. */
		if (str_eq(e->status, STR("success")) && !e->snapshotting && !e->provisioned)
			return STR_NULL;
		return report_init(a, e->duration_ns, e->in_invoke ? STR("invoke") : STR("init"),
			e->status, e->error_type);
	case PLATFORM_INIT_START:
	case PLATFORM_RESTORE_START: return start_text(a, e);
	case PLATFORM_RESTORE_REPORT:
		return report_restore(a, e->duration_ns, e->status, e->error_type);
	case PLATFORM_EXTENSION: return extension_line(a, e->extension);
	case PLATFORM_FAULT: return e->text;
	default: return STR_NULL;
	}
}

/* ---- records ---- */

str platform_chomp(str line)
{
	while (str_ends(line, STR("\n")) || str_ends(line, STR("\r")))
		line.n--;
	return line;
}

static void put_ms(struct json_writer *w, str key, int64_t ns)
{
	json_put_key(w, key);
	/* Microseconds of three decimals, from an integer. */
	json_put_double(w, (double)(ns / 1000) / 1000);
}

static void put_number(struct json_writer *w, str key, uint64_t n)
{
	json_put_key(w, key);
	json_put_u64(w, n);
}

static void put_status(struct json_writer *w, const struct platform_event *e)
{
	json_put_key_string(w, STR("status"), e->status);
	if (e->error_type.p)
		json_put_key_string(w, STR("errorType"), e->error_type);
}

/* What begins: which function, on which runtime. */
static void put_what(struct json_writer *w, struct arena *a, const struct platform_event *e)
{
	const struct function *f = e->function;

	if (!function_is_image(f)) {
		json_put_key_string(
			w, STR("runtimeVersion"), lambda_runtime_version(a, f->runtime));
		json_put_key_string(
			w, STR("runtimeVersionArn"), lambda_runtime_arn(a, f->runtime, f->region));
	}
	json_put_key_string(w, STR("functionName"), f->name);
	json_put_key_string(w, STR("functionVersion"), f->version);
	if (e->stream.n >= STREAM_DIGITS) {
		str digits = str_from(e->stream, e->stream.n - STREAM_DIGITS);

		json_put_key_string(w, STR("instanceId"),
			ARENA_CONCAT(a, str_sub(digits, 0, 8), STR("-"), str_sub(digits, 8, 4),
				STR("-"), str_sub(digits, 12, 4), STR("-"), str_sub(digits, 16, 4),
				STR("-"), str_from(digits, 20)));
	}
	put_number(w, STR("instanceMaxMemory"), f->memory_mb);
}

static void put_init(struct json_writer *w, struct arena *a, const struct platform_event *e)
{
	json_put_key_string(w, STR("initializationType"),
		e->provisioned                ? STR("provisioned-concurrency")
		: function_snaps(e->function) ? STR("snap-start")
					      : STR("on-demand"));
	json_put_key_string(w, STR("phase"), e->in_invoke ? STR("invoke") : STR("init"));
	if (e->kind == PLATFORM_INIT_START) {
		put_what(w, a, e);
		return;
	}
	put_status(w, e);
	if (e->kind != PLATFORM_INIT_REPORT)
		return;
	json_put_key(w, STR("metrics"));
	json_put_object_begin(w);
	put_ms(w, STR("durationMs"), e->duration_ns);
	json_put_object_end(w);
}

static void put_restore(struct json_writer *w, struct arena *a, const struct platform_event *e)
{
	if (e->kind == PLATFORM_RESTORE_START) {
		put_what(w, a, e);
		return;
	}
	put_status(w, e);
	if (e->kind != PLATFORM_RESTORE_REPORT)
		return;
	json_put_key(w, STR("metrics"));
	json_put_object_begin(w);
	put_ms(w, STR("durationMs"), e->duration_ns);
	json_put_object_end(w);
}

/* Of what is said about a run. */
static void put_run(struct json_writer *w, const struct platform_event *e)
{
	json_put_key_string(w, STR("requestId"), e->request_id);
	if (e->tenant.p)
		json_put_key_string(w, STR("tenantId"), e->tenant);
}

/* At the start the header as the function has it, later of a recorded run what names it. */
static void put_tracing(struct json_writer *w, struct arena *a, const struct platform_event *e)
{
	const struct run_trace *t = e->run_trace;

	if (!e->trace.p && !t)
		return;
	json_put_key(w, STR("tracing"));
	json_put_object_begin(w);
	if (t)
		json_put_key_string(w, STR("spanId"), str_c(t->function));
	json_put_key_string(w, STR("type"), STR("X-Amzn-Trace-Id"));
	json_put_key_string(w, STR("value"),
		e->trace.p ? e->trace
			   : arena_printf(a, "Root=%s;Parent=%s;Sampled=1", t->root, t->function));
	json_put_object_end(w);
}

static void put_start(struct json_writer *w, struct arena *a, const struct platform_event *e)
{
	put_run(w, e);
	json_put_key_string(w, STR("version"), e->function->version);
	put_tracing(w, a, e);
}

static void put_span(
	struct json_writer *w, struct arena *a, str name, int64_t start_ms, int64_t duration_ns)
{
	struct buf start;

	buf_init(&start, a, TIME_TEXT_MAX);
	time_put_iso_ms(&start, start_ms);
	json_put_object_begin(w);
	json_put_key_string(w, STR("name"), name);
	json_put_key_string(w, STR("start"), buf_str(&start));
	put_ms(w, STR("durationMs"), duration_ns);
	json_put_object_end(w);
}

/* Until the response began, and from there to its end. */
static void put_spans(struct json_writer *w, struct arena *a, const struct platform_event *e)
{
	if (e->latency_ns < 0)
		return;
	json_put_key(w, STR("spans"));
	json_put_array_begin(w);
	put_span(w, a, STR("responseLatency"), e->wall_ms - e->duration_ns / NS_PER_MS,
		e->latency_ns);
	put_span(w, a, STR("responseDuration"),
		e->wall_ms - (e->duration_ns - e->latency_ns) / NS_PER_MS,
		e->duration_ns - e->latency_ns);
	json_put_array_end(w);
}

static void put_runtime_done(struct json_writer *w, struct arena *a, const struct platform_event *e)
{
	put_run(w, e);
	put_status(w, e);
	put_tracing(w, a, e);
	put_spans(w, a, e);
	json_put_key(w, STR("metrics"));
	json_put_object_begin(w);
	put_ms(w, STR("durationMs"), e->duration_ns);
	put_number(w, STR("producedBytes"), e->produced_bytes);
	json_put_object_end(w);
}

static void put_report(struct json_writer *w, struct arena *a, const struct platform_event *e)
{
	const struct run_report *r = e->report;
	uint64_t mib = UINT64_C(1024) * 1024;

	put_run(w, e);
	put_status(w, e);
	put_tracing(w, a, e);
	json_put_key(w, STR("metrics"));
	json_put_object_begin(w);
	put_ms(w, STR("durationMs"), r->duration_ns);
	put_number(w, STR("billedDurationMs"), report_billed_ms(r));
	put_number(w, STR("memorySizeMB"), r->memory_mb);
	put_number(w, STR("maxMemoryUsedMB"), (r->memory_peak_bytes + mib - 1) / mib);
	if (r->init_ns >= 0)
		put_ms(w, r->restored ? STR("restoreDurationMs") : STR("initDurationMs"),
			r->init_ns);
	json_put_object_end(w);
}

static void put_extension(struct json_writer *w, const struct platform_event *e)
{
	json_put_key_string(w, STR("name"), extension_name(e->extension));
	json_put_key_string(w, STR("state"), str_c(extension_state_name(e->extension->state)));
	json_put_key(w, STR("events"));
	json_put_array_begin(w);
	if (e->extension->invoke)
		json_put_string(w, STR("INVOKE"));
	if (e->extension->shutdown)
		json_put_string(w, STR("SHUTDOWN"));
	json_put_array_end(w);
	if (e->error_type.p)
		json_put_key_string(w, STR("errorType"), e->error_type);
}

static void put_subscription(struct json_writer *w, const struct platform_event *e)
{
	json_put_key_string(w, STR("name"), e->name);
	json_put_key_string(w, STR("state"), STR("Subscribed"));
	json_put_key(w, STR("types"));
	json_put_raw(w, e->types);
}

static void put_dropped(struct json_writer *w, const struct platform_event *e)
{
	json_put_key_string(w, STR("reason"), e->text);
	put_number(w, STR("droppedRecords"), e->dropped);
	put_number(w, STR("droppedBytes"), e->dropped_bytes);
}

str platform_record(struct arena *a, const struct platform_event *e)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, a, RECORD_BYTES_MAX);
	json_writer_init(&w, &b);
	if (e->kind == PLATFORM_FAULT) {
		json_put_quoted_lossy(&b, platform_chomp(e->text));
		return buf_str(&b);
	}
	json_put_object_begin(&w);
	switch (e->kind) {
	case PLATFORM_INIT_START:
	case PLATFORM_INIT_RUNTIME_DONE:
	case PLATFORM_INIT_REPORT: put_init(&w, a, e); break;
	case PLATFORM_RESTORE_START:
	case PLATFORM_RESTORE_RUNTIME_DONE:
	case PLATFORM_RESTORE_REPORT: put_restore(&w, a, e); break;
	case PLATFORM_START: put_start(&w, a, e); break;
	case PLATFORM_RUNTIME_DONE: put_runtime_done(&w, a, e); break;
	case PLATFORM_END: json_put_key_string(&w, STR("requestId"), e->request_id); break;
	case PLATFORM_REPORT: put_report(&w, a, e); break;
	case PLATFORM_EXTENSION: put_extension(&w, e); break;
	case PLATFORM_TELEMETRY_SUBSCRIPTION:
	case PLATFORM_LOGS_SUBSCRIPTION: put_subscription(&w, e); break;
	case PLATFORM_LOGS_DROPPED: put_dropped(&w, e); break;
	default: check(false);
	}
	json_put_object_end(&w);
	return buf_str(&b);
}

str platform_json(struct arena *a, int64_t wall_ms, str type, str record)
{
	struct buf b;

	buf_init(&b, a, 256 + record.n);
	buf_put(&b, STR("{\"time\":\""));
	time_put_iso_ms(&b, wall_ms);
	buf_put(&b, STR("\",\"type\":\""));
	buf_put(&b, type);
	buf_put(&b, STR("\",\"record\":"));
	buf_put(&b, record);
	buf_put_char(&b, '}');
	return buf_str(&b);
}

/* ---- levels ---- */

enum platform_level platform_level_named(str name)
{
	return str_eq(name, STR("DEBUG"))  ? PLATFORM_DEBUG
	       : str_eq(name, STR("WARN")) ? PLATFORM_WARN
					   : PLATFORM_INFO;
}

unsigned log_level_named(str name)
{
	static const str levels[] = {STR_INIT("TRACE"), STR_INIT("DEBUG"), STR_INIT("INFO"),
		STR_INIT("WARN"), STR_INIT("ERROR"), STR_INIT("FATAL")};

	for (unsigned i = 0; i < ARRAY_SIZE(levels); i++)
		if (str_eq_nocase(name, levels[i]))
			return i;
	return str_eq_nocase(name, STR("WARNING"))    ? 3
	       : str_eq_nocase(name, STR("CRITICAL")) ? 5
						      : 2;
}
