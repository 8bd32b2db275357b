/*
 * What people and clients read about an invocation: log lines and error payloads, in the exact
 * forms of AWS Lambda. Pure.
 *
 * Source: Developer Guide, "Lambda log formats", "Custom runtimes", "Troubleshoot invocation
 * issues"; forms of platform failures as the service prints them.
 */
#ifndef SERVICES_LAMBDA_REPORT_H
#define SERVICES_LAMBDA_REPORT_H

#include "base/arena.h"
#include "sandbox/sandbox.h"

struct run_report {
	str request_id;
	int64_t duration_ns;
	int64_t init_ns;    /* of the cold start that this run paid; < 0: none */
	bool restored;      /* ... which went on from a snapshot */
	uint32_t memory_mb; /* configured */
	uint64_t memory_peak_bytes;
	bool timed_out;
	str error_type; /* of a platform error ("Runtime.ExitError"); STR_NULL: none */
	str trace_id;   /* X-Ray root, printed when sampled; STR_NULL: not */
	str segment_id; /* of the function's segment; where trace_id is */
};

/* "START RequestId: ... Version: $LATEST\n" */
str report_start(struct arena *a, str request_id, str version);
/* "END RequestId: ...\n" */
str report_end(struct arena *a, str request_id);
/* "REPORT RequestId: ...\tDuration: ... ms\t..." */
str report_line(struct arena *a, const struct run_report *r);
/* "INIT_REPORT Init Duration: 12.34 ms\tPhase: init\tStatus: error\tError Type: ...\n" */
str report_init(struct arena *a, int64_t init_ns, str phase, str status, str error_type);
/* "INIT_START Runtime Version: python:3.12.v1\tRuntime Version ARN: ...\n", or RESTORE_START. */
str report_begin(struct arena *a, str what, str version, str arn);
/* "RESTORE_REPORT Restore Duration: 1.23 ms\t\n", with what went wrong where it did. */
str report_restore(struct arena *a, int64_t restore_ns, str status, str error_type);
/* The line of a timed-out run, with its time stamp. */
str report_timeout_line(struct arena *a, int64_t wall_ms, str request_id, uint32_t timeout_s);

/* A failure of the platform's: its errorType and the text behind "Error: ". */
struct run_failure {
	str type;
	str text;
	unsigned bytes_max; /* of a response that was larger; 0: another failure */
};
struct run_failure failure_timeout(struct arena *a, uint32_t timeout_s);
/* The runtime ended in the middle of a run or of the init phase. */
struct run_failure failure_exit(struct arena *a, const struct sandbox_exit *e);
struct run_failure failure_no_bootstrap(void);
struct run_failure failure_response_too_large(unsigned bytes_max);
/* The runtime hung up in the middle of a response that streams. */
struct run_failure failure_truncated(void);
/* "RequestId: ... Error: TEXT\nTYPE\n", the log line beside the payload. */
str failure_line(struct arena *a, const struct run_failure *f, str request_id);
/* {"errorType":"TYPE","errorMessage":"RequestId: ... Error: TEXT"}. */
str failure_payload(struct arena *a, const struct run_failure *f, str request_id);

/* The billed milliseconds: duration, and init where it was paid, rounded up. */
uint64_t report_billed_ms(const struct run_report *r);

#endif
