/*
 * Counting what users expect to be counted (AWS/Lambda Invocations ...). Provided by cloudwatch;
 * absent, nothing is counted. Never suspends.
 */
#ifndef AWS_PORTS_METRIC_H
#define AWS_PORTS_METRIC_H

#include "base/str.h"

enum metric_unit { METRIC_COUNT, METRIC_MILLISECONDS, METRIC_BYTES, METRIC_NONE };

struct metric_dimension {
	str name, value;
};

struct port_metric {
	void *self;
	/* All strings are copied. "AWS/Lambda", "Duration", {FunctionName=f}. */
	void (*add)(void *self, str account, str region, str name_space, str name,
		const struct metric_dimension *dimensions, size_t dimension_count, double value,
		enum metric_unit unit, int64_t time_ms);
};

#endif
