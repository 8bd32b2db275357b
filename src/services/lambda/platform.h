/*
 * What the platform says about an instance: one event, shown as a line of text, as a JSON record in
 * the log (LogFormat JSON), or as a record of the Telemetry and Logs APIs. Pure.
 *
 * Source: Developer Guide, "Lambda Telemetry API Event schema reference" (schema 2022-12-13), "Log-
 * level filtering" (levels of system logs).
 */
#ifndef SERVICES_LAMBDA_PLATFORM_H
#define SERVICES_LAMBDA_PLATFORM_H

#include "base/arena.h"

struct extension;
struct function;
struct run_report;
struct run_trace;

enum platform_kind {
	PLATFORM_INIT_START,
	PLATFORM_INIT_RUNTIME_DONE,
	PLATFORM_INIT_REPORT,
	PLATFORM_RESTORE_START, /* instead of INIT_* in what goes on from a snapshot */
	PLATFORM_RESTORE_RUNTIME_DONE,
	PLATFORM_RESTORE_REPORT,
	PLATFORM_START,
	PLATFORM_RUNTIME_DONE,
	PLATFORM_END, /* of the Logs API and the text alone */
	PLATFORM_REPORT,
	PLATFORM_EXTENSION,
	PLATFORM_TELEMETRY_SUBSCRIPTION,
	PLATFORM_LOGS_SUBSCRIPTION,
	PLATFORM_LOGS_DROPPED,
	PLATFORM_FAULT,
	PLATFORM_KINDS
};

/* Ordered: a lower one says more. */
enum platform_level { PLATFORM_DEBUG, PLATFORM_INFO, PLATFORM_WARN };

struct platform_event {
	enum platform_kind kind;
	int64_t wall_ms;
	const struct function *function;
	bool provisioned;
	bool snapshotting;                 /* init for a snapshot */
	bool in_invoke;                    /* INIT_*: phase "invoke" */
	str status;                        /* "success", "failure", "error", "timeout" */
	str error_type;                    /* STR_NULL: none */
	int64_t duration_ns;               /* INIT_REPORT, RUNTIME_DONE */
	uint64_t produced_bytes;           /* RUNTIME_DONE */
	str request_id;                    /* of a run */
	str tenant;                        /* it is of; STR_NULL: none */
	str trace;                         /* START; STR_NULL: none */
	const struct run_trace *run_trace; /* of a run that is recorded; NULL: it is not */
	int64_t latency_ns;                /* RUNTIME_DONE: the response began; < 0: none did */
	str stream;                      /* the instance's log stream, which ends with 32 digits */
	const struct run_report *report; /* REPORT */
	const struct extension *extension; /* EXTENSION */
	str name;                          /* *_SUBSCRIPTION: of the extension */
	str types;                         /* ... a JSON array */
	str text;                          /* FAULT: the line(s); LOGS_DROPPED: the reason */
	uint64_t dropped, dropped_bytes;
};

/* "platform.start" */
str platform_name(enum platform_kind kind);
enum platform_level platform_level(const struct platform_event *e);
/* The line, with its newline; STR_NULL when the text form has none for it. */
str platform_text(struct arena *a, const struct platform_event *e);
/* The record alone, in JSON. */
str platform_record(struct arena *a, const struct platform_event *e);
/* A line without what ends it. */
str platform_chomp(str line);
/* {"time":...,"type":"...","record":...}, without a newline. */
str platform_json(struct arena *a, int64_t wall_ms, str type, str record);

/* DEBUG, INFO, WARN; absent: INFO. */
enum platform_level platform_level_named(str name);
/* TRACE 0 ... FATAL 5 of an application's lines, without regard to case; INFO for any other. */
unsigned log_level_named(str name);

#endif
