/*
 * Event patterns: which events a rule or a mapping's filter lets through.
 *
 *     {"source": ["a", {"prefix": "b"}], "detail": {"n": [{"numeric": [">", 0, "<=", 5]}]},
 *      "$or": [{"x": [null]}, {"y": [{"exists": false}]}]}
 *
 * All members of a pattern have to match; of an array's alternatives one. Where the event has an
 * array, one element has to match. Matchers: exact values (strings, numbers, true, false, null),
 * prefix and suffix (with equals-ignore-case inside), equals-ignore-case, wildcard, anything-but
 * (values, a list of them, or one of the matchers of texts), numeric, exists, cidr. Numbers are
 * equal when their texts are: 300, 300.0 and 3.0e2 are three values.
 *
 * A pattern is compiled once and then read-only, for any thread. Pure.
 *
 * Source: EventBridge User Guide, "Creating event patterns", "Comparison operators for use in event
 * patterns"; Lambda Developer Guide, "Control which events Lambda sends to your function".
 */
#ifndef AWS_EVENT_PATTERN_H
#define AWS_EVENT_PATTERN_H

#include "base/arena.h"
#include "base/json.h"

struct event_pattern;

enum {
	EVENT_PATTERN_DEPTH_MAX = 32,  /* objects and arrays inside one another */
	EVENT_PATTERN_ANY_MAX = 1000,  /* AWS: combinations that "$or" makes */
	EVENT_PATTERN_BYTES_MAX = 4096 /* AWS: text of a pattern */
};

/*
 * Compiles a text. The pattern lives in the arena and points into `text`. ERR_INVALID and a reason
 * in *ret_why, as EventBridge words it behind "Event pattern is not valid. Reason: ".
 */
must_use int event_pattern_compile(
	struct arena *a, str text, const struct event_pattern **ret_pattern, str *ret_why);
/* Does the event, an object, match? */
bool event_pattern_matches(const struct event_pattern *pattern, const struct json_value *event);

#endif
