/*
 * The compiled form of event patterns, between event_pattern.c (text to form) and
 * event_pattern_match.c (form and event to a decision).
 */
#ifndef AWS_EVENT_PATTERN_INTERNAL_H
#define AWS_EVENT_PATTERN_INTERNAL_H

#include "aws/event_pattern.h"

enum matcher_kind {
	MATCH_STRING, /* text */
	MATCH_NUMBER, /* text */
	MATCH_TRUE,
	MATCH_FALSE,
	MATCH_NULL,
	MATCH_PREFIX, /* text, no_case */
	MATCH_SUFFIX, /* text, no_case */
	MATCH_NO_CASE,
	MATCH_WILDCARD, /* text */
	MATCH_NUMERIC,  /* low .. high */
	MATCH_EXISTS,
	MATCH_ABSENT,
	MATCH_CIDR,        /* address, bits */
	MATCH_ANYTHING_BUT /* none of `of` */
};

struct matcher {
	enum matcher_kind kind;
	bool no_case;
	str text;
	double low, high;
	bool low_open, high_open; /* without the bound itself */
	uint8_t address[16];
	unsigned address_bytes, bits;
	const struct matcher *of;
	uint32_t of_count;
};

struct pattern_field {
	str key;
	const struct event_pattern *nested; /* NULL: a leaf */
	const struct matcher *matchers;     /* one of them */
	uint32_t matcher_count;
};

struct pattern_any { /* "$or": one of them */
	const struct event_pattern *of;
	uint32_t count;
};

struct event_pattern {
	const struct pattern_field *fields; /* all of them */
	uint32_t field_count;
	const struct pattern_any *any; /* and all of these */
	uint32_t any_count;
};

/* An IPv4 or IPv6 address: 4 or 16 bytes, or 0. */
unsigned pattern_address(str text, uint8_t address[16]);

#endif
