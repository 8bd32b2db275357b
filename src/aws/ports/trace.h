/*
 * Segments of traces, as X-Ray takes them: one JSON document for each. Provided by xray; a server
 * without it writes them to its log at level debug. Never suspends.
 *
 * Source: AWS X-Ray Developer Guide, "AWS X-Ray segment documents".
 */
#ifndef AWS_PORTS_TRACE_H
#define AWS_PORTS_TRACE_H

#include "base/str.h"

struct port_trace {
	void *self;
	/* The document of a whole segment, subsegments inside; copied. */
	void (*put)(void *self, str account, str region, str document);
};

#endif
