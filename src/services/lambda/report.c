/*
 * Texts of invocations. Milliseconds are printed with two decimals, from integers.
 */
#include "services/lambda/report.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/time.h"

#include <inttypes.h>
#include <signal.h>

#define MS_FORMAT     "%" PRId64 ".%02" PRId64
#define MS_ARG(ns)    ((ns) / 1000000), ((ns) / 10000 % 100)
#define NS_PER_MS     INT64_C(1000000)
#define BYTES_PER_MIB (UINT64_C(1024) * 1024)

str report_start(struct arena *a, str request_id, str version)
{
	return ARENA_CONCAT(
		a, STR("START RequestId: "), request_id, STR(" Version: "), version, STR("\n"));
}

str report_end(struct arena *a, str request_id)
{
	return ARENA_CONCAT(a, STR("END RequestId: "), request_id, STR("\n"));
}

uint64_t report_billed_ms(const struct run_report *r)
{
	int64_t ns = r->duration_ns + (r->init_ns > 0 ? r->init_ns : 0);

	return (uint64_t)((ns + NS_PER_MS - 1) / NS_PER_MS);
}

str report_line(struct arena *a, const struct run_report *r)
{
	struct buf b;

	buf_init(&b, a, 1024);
	buf_printf(&b,
		"REPORT RequestId: %.*s\tDuration: " MS_FORMAT " ms\tBilled Duration: %" PRIu64
		" ms\tMemory Size: %u MB\tMax Memory Used: %" PRIu64 " MB\t",
		STR_ARG(r->request_id), MS_ARG(r->duration_ns), report_billed_ms(r), r->memory_mb,
		(r->memory_peak_bytes + BYTES_PER_MIB - 1) / BYTES_PER_MIB);
	if (r->init_ns >= 0)
		buf_printf(&b, "%s Duration: " MS_FORMAT " ms\t", r->restored ? "Restore" : "Init",
			MS_ARG(r->init_ns));
	if (r->init_ns >= 0 && r->restored)
		buf_printf(&b, "Billed Restore Duration: %" PRId64 " ms\t",
			(r->init_ns + NS_PER_MS - 1) / NS_PER_MS);
	if (r->timed_out)
		buf_put(&b, STR("Status: timeout\t"));
	else if (r->error_type.p)
		buf_printf(&b, "Status: error\tError Type: %.*s\t", STR_ARG(r->error_type));
	if (r->trace_id.p)
		buf_printf(&b, "\nXRAY TraceId: %.*s\tSegmentId: %.*s\tSampled: true\t",
			STR_ARG(r->trace_id), STR_ARG(r->segment_id));
	buf_put_char(&b, '\n');
	return buf_str(&b);
}

str report_init(struct arena *a, int64_t init_ns, str phase, str status, str error_type)
{
	struct buf b;

	buf_init(&b, a, 512);
	buf_printf(&b, "INIT_REPORT Init Duration: " MS_FORMAT " ms\tPhase: %.*s\tStatus: %.*s",
		MS_ARG(init_ns), STR_ARG(phase), STR_ARG(status));
	if (error_type.p)
		buf_printf(&b, "\tError Type: %.*s", STR_ARG(error_type));
	buf_put(&b, STR("\t\n"));
	return buf_str(&b);
}

str report_begin(struct arena *a, str what, str version, str arn)
{
	return ARENA_CONCAT(a, what, STR(" Runtime Version: "), version,
		STR("\tRuntime Version ARN: "), arn, STR("\n"));
}

str report_restore(struct arena *a, int64_t restore_ns, str status, str error_type)
{
	struct buf b;

	buf_init(&b, a, 512);
	buf_printf(&b, "RESTORE_REPORT Restore Duration: " MS_FORMAT " ms", MS_ARG(restore_ns));
	if (!str_eq(status, STR("success")))
		buf_printf(&b, "\tStatus: %.*s", STR_ARG(status));
	if (error_type.p)
		buf_printf(&b, "\tError Type: %.*s", STR_ARG(error_type));
	buf_put(&b, STR("\t\n"));
	return buf_str(&b);
}

str report_timeout_line(struct arena *a, int64_t wall_ms, str request_id, uint32_t timeout_s)
{
	struct buf b;

	buf_init(&b, a, 256);
	time_put_iso_ms(&b, wall_ms);
	buf_printf(
		&b, " %.*s Task timed out after %u.00 seconds\n\n", STR_ARG(request_id), timeout_s);
	return buf_str(&b);
}

struct run_failure failure_timeout(struct arena *a, uint32_t timeout_s)
{
	return (struct run_failure){STR("Sandbox.Timedout"),
		arena_printf(a, "Task timed out after %u.00 seconds", timeout_s), 0};
}

struct run_failure failure_truncated(void)
{
	return (struct run_failure){
		STR("Runtime.TruncatedResponse"), STR("Response was truncated"), 0};
}

/* Names of signals as the service prints them. */
static str signal_text(struct arena *a, int number)
{
	switch (number) {
	case SIGKILL: return STR("killed");
	case SIGSEGV: return STR("segmentation fault");
	case SIGABRT: return STR("aborted");
	case SIGBUS: return STR("bus error");
	case SIGFPE: return STR("floating point exception");
	case SIGILL: return STR("illegal instruction");
	case SIGTERM: return STR("terminated");
	case SIGINT: return STR("interrupt");
	case SIGHUP: return STR("hangup");
	case SIGQUIT: return STR("quit");
	case SIGPIPE: return STR("broken pipe");
	case SIGTRAP: return STR("trace/breakpoint trap");
	case SIGSYS: return STR("bad system call");
	case SIGXCPU: return STR("CPU time limit exceeded");
	default: return arena_printf(a, "signal %d", number);
	}
}

#define CANNOT "cannot execute "

/* "cannot execute PATH: Permission denied" in the words of AWS's init, which is of another
 * language. */
static struct run_failure failure_entry_point(struct arena *a, str text)
{
	str rest = str_from(text, sizeof(CANNOT) - 1);
	ptrdiff_t at = str_find_last(rest, ':');
	struct buf b;

	buf_init(&b, a, 4096);
	buf_put(&b, STR("fork/exec "));
	for (size_t i = 0; i < rest.n; i++)
		buf_put_char(
			&b, at >= 0 && i == (size_t)at + 2 && rest.p[i] >= 'A' && rest.p[i] <= 'Z'
				    ? (char)(rest.p[i] + 32)
				    : rest.p[i]);
	return (struct run_failure){STR("Runtime.InvalidEntrypoint"), buf_str(&b), 0};
}

struct run_failure failure_exit(struct arena *a, const struct sandbox_exit *e)
{
	struct run_failure f = {STR("Runtime.ExitError"), STR_NULL, 0};

	if (e->out_of_memory)
		return (struct run_failure){STR("Runtime.OutOfMemory"),
			STR("Runtime exited with error: signal: killed"), 0};
	if (e->companion) {
		f.type = STR("Extension.Crash");
		f.text = e->end == SANDBOX_EXITED
				 ? arena_printf(a, "exit code %d", e->status)
				 : ARENA_CONCAT(a, STR("signal: "), signal_text(a, e->signal));
		return f;
	}
	switch (e->end) {
	case SANDBOX_EXITED:
		f.text = e->status ? arena_printf(a, "Runtime exited with error: exit status %d",
					     e->status)
				   : STR("Runtime exited without providing a reason");
		break;
	case SANDBOX_SIGNALED:
		f.text = ARENA_CONCAT(
			a, STR("Runtime exited with error: signal: "), signal_text(a, e->signal));
		break;
	case SANDBOX_KILLED: f.text = STR("Runtime exited with error: signal: killed"); break;
	case SANDBOX_FAILED:
		f.text = str_of(e->text, strnlen(e->text, sizeof(e->text)));
		if (str_starts(f.text, STR(CANNOT "/opt/extensions/")))
			f.type = STR("Extension.LaunchError");
		else if (str_starts(f.text, STR(CANNOT)))
			return failure_entry_point(a, f.text);
		else
			f.type = STR("Runtime.Unknown");
		f.text = ARENA_CONCAT(
			a, STR("The execution environment could not be started: "), f.text);
		break;
	}
	return f;
}

struct run_failure failure_no_bootstrap(void)
{
	return (struct run_failure){STR("Runtime.InvalidEntrypoint"),
		STR("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"), 0};
}

struct run_failure failure_response_too_large(unsigned bytes_max)
{
	return (struct run_failure){STR("Function.ResponseSizeTooLarge"), STR_NULL, bytes_max};
}

str failure_line(struct arena *a, const struct run_failure *f, str request_id)
{
	if (!f->text.p)
		return STR_NULL;
	return ARENA_CONCAT(a, STR("RequestId: "), request_id, STR(" Error: "), f->text, STR("\n"),
		f->type, STR("\n"));
}

str failure_payload(struct arena *a, const struct run_failure *f, str request_id)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, a, 4096);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	if (f->text.p) {
		json_put_key_string(&w, STR("errorType"), f->type);
		json_put_key_string(&w, STR("errorMessage"),
			ARENA_CONCAT(a, STR("RequestId: "), request_id, STR(" Error: "), f->text));
	} else {
		json_put_key_string(&w, STR("errorMessage"),
			arena_printf(a,
				"Response payload size exceeded maximum allowed payload size (%u "
				"bytes).",
				f->bytes_max));
		json_put_key_string(&w, STR("errorType"), f->type);
	}
	json_put_object_end(&w);
	return buf_str(&b);
}
