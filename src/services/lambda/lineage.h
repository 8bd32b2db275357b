/*
 * Detection of loops: which functions a chain of requests has run how often, carried in the trace
 * header that clients in functions pass on.
 *
 *     Root=1-...;Parent=...;Sampled=0;Lineage=1a2b3c4d:3|5e6f7a8b:1
 *
 * Each function is a checksum of its ARN with the number of its runs in this chain. Pure.
 *
 * Source: Developer Guide, "Use Lambda recursive loop detection to prevent infinite loops".
 */
#ifndef SERVICES_LAMBDA_LINEAGE_H
#define SERVICES_LAMBDA_LINEAGE_H

#include "base/arena.h"

enum {
	LINEAGE_RUNS_MAX = 16,     /* AWS: "approximately 16 times" */
	LINEAGE_FUNCTIONS_MAX = 32 /* ours: those that ran first are forgotten */
};

/*
 * One more run of the function (its ARN without a qualifier) in the chain of `trace` (STR_NULL or
 * anything at all: a new chain). *ret_trace: the header that its run gets, in the arena. How often
 * the chain has run it now, this run counted.
 */
unsigned lineage_step(struct arena *a, str trace, str arn, str *ret_trace);

#endif
