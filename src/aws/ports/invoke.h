/*
 * Calling a function in process: API Gateway, event sources, function URLs and the Invoke operation
 * itself. Provided by lambda. What the caller may do is checked by the caller (a resource policy or
 * its own role), not here.
 */
#ifndef AWS_PORTS_INVOKE_H
#define AWS_PORTS_INVOKE_H

#include "aws/fault.h"
#include "base/arena.h"

enum invoke_type { INVOKE_WAIT, INVOKE_EVENT, INVOKE_DRY_RUN };

struct invoke_request {
	str account, region; /* of the function, where `function` is not an ARN */
	str function;        /* name, partial ARN or ARN, with or without a qualifier */
	str qualifier;       /* version or alias; STR_NULL: from the ARN, else $LATEST */
	enum invoke_type type;
	str payload;         /* JSON; borrowed until the call returns (copied for INVOKE_EVENT) */
	str client_context;  /* JSON (not base64), or STR_NULL */
	str trace;           /* X-Amzn-Trace-Id value, or STR_NULL: a new root */
	bool log_tail;       /* ret->log_tail wanted */
	str durable_name;    /* of the execution of a durable function; STR_NULL: none */
	str tenant;          /* of a function that isolates its tenants; STR_NULL: none */
	int64_t deadline_ns; /* monotonic: when the caller gives up (the function runs on) */
	/*
	 * Streaming: parts of the response as they come, before the call returns; then ret->payload
	 * is empty, or the error object of a function that failed in the middle. A negative result
	 * stops it. NULL: buffered. May suspend, and holds the function back meanwhile. A runtime
	 * that does not stream writes nothing: the whole is in ret->payload.
	 * `begin` (may be NULL) is told the content type before the first part.
	 */
	int (*begin)(void *arg, str content_type);
	int (*write)(void *arg, str part);
	void *write_arg;
};

struct invoke_result {
	uint64_t instance_number; /* for the service itself */
	uint16_t status;          /* 200, 202, 204 */
	str function_error;       /* "Unhandled", "Handled"; STR_NULL: the function succeeded */
	str payload;              /* in the arena */
	bool streamed;            /* parts were written */
	str log_tail;             /* the last 4 KiB, not base64; STR_NULL unless asked for */
	str trace;                /* the trace header of the run; STR_NULL: there was none */
	str executed_version;     /* "$LATEST", "7" */
	str durable_arn;          /* of the execution of a durable function; STR_NULL: it is none */
	struct fault fault;       /* kind set when the call returns ERR_FAULT: lambda's own error */
};

struct port_invoke {
	void *self;
	/* 0 when the function ran (even if it failed: function_error), ERR_FAULT with ret->fault,
	 * or another rc. The result is in `a`. */
	int (*invoke)(void *self, struct arena *a, const struct invoke_request *request,
		struct invoke_result *ret) mayyield;
	/*
	 * May `service` ("apigateway.amazonaws.com"), acting for `source_arn` in `source_account`,
	 * call the function by its resource policy? 1 yes, 0 no, ERR_NOT_FOUND no such function.
	 */
	int (*allowed)(void *self, struct arena *a, str function_arn, str service, str source_arn,
		str source_account) mayyield;
};

#endif
