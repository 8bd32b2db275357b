/*
 * Lines for a log stream: functions, API access logs. Provided by logs.
 */
#ifndef AWS_PORTS_LOG_H
#define AWS_PORTS_LOG_H

#include "base/str.h"

struct port_log_event {
	int64_t time_ms; /* wall clock */
	str message;     /* UTF-8; what is not is replaced */
};

struct port_log {
	void *self;
	/*
	 * Adds events to a stream, in order; group and stream are made when missing (make_group
	 * false: a missing group is ERR_NOT_FOUND). Copied before it returns. Durable when it
	 * returns, unless the caller does not wait: `wait` false queues at most a bounded amount
	 * and drops with a count beyond it (ERR_BUSY), for output that must never hold a function
	 * back.
	 */
	int (*put)(void *self, str account, str region, str group, str stream, bool make_group,
		bool wait, const struct port_log_event *events, size_t count) mayyield;
};

#endif
