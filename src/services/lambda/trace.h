/*
 * Tracing of runs: the header that a function is given, and the segments that are told of.
 *
 *     PassThrough   what comes is passed on; nothing is told
 *     Active        a run whose header says Sampled is recorded, one whose header says it is not is
 *                   not, and of those without a decision the first of a function in each second and
 *                   5 % of the rest
 *
 * A recorded run has two segments, AWS::Lambda (the service's part) and below it
 * AWS::Lambda::Function with the subsegments Initialization (of a cold start), Invocation and
 * Overhead. What the function calls hangs below the latter: its header names it as Parent.
 *
 * Source: Developer Guide, "Visualize Lambda function invocations using AWS X-Ray"; X-Ray Developer
 * Guide, "Tracing header", "AWS X-Ray segment documents".
 */
#ifndef SERVICES_LAMBDA_TRACE_H
#define SERVICES_LAMBDA_TRACE_H

#include "base/arena.h"

struct function;
struct ports;
struct quota;

enum { TRACE_ROOT_CHARS = 35, TRACE_ID_CHARS = 16 };

/* Of one run. */
struct run_trace {
	bool sampled;
	char root[TRACE_ROOT_CHARS + 1];
	char upstream[TRACE_ID_CHARS + 1]; /* empty: there is none */
	char service[TRACE_ID_CHARS + 1], function[TRACE_ID_CHARS + 1];
};

/* Of those without a decision, is this one recorded? `random` is evenly distributed. Pure. */
bool trace_takes(bool first_of_second, uint64_t random);
struct trace_begin {
	str header;  /* that the run came with: STR_NULL or anything at all */
	str lineage; /* the field Lineage=... that goes with it */
	bool active;
	bool takes; /* trace_takes(), for what comes without a decision */
	int64_t wall_s;
	uint64_t (*random)(void);
};
/*
 * The header that the run gets, in the arena. As it came in PassThrough, or a new root that is not
 * recorded; in Active with Root (a new one for one that is none), Parent and Sampled first. Pure.
 */
str trace_begin(struct arena *a, const struct trace_begin *b, struct run_trace *ret_trace);

struct trace_end {
	const struct function *function;
	str request_id, log_stream;
	int64_t start_ns, done_ns, end_ns; /* monotonic */
	int64_t init_ns;                   /* of the cold start before it; < 0: none */
	bool error;
};
/* Tells the port, if there is one, of a recorded run. */
void trace_tell(
	const struct ports *ports, const struct run_trace *trace, const struct trace_end *e);

#endif
