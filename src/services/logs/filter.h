/*
 * Filter patterns: which messages FilterLogEvents returns.
 *
 *     term "a phrase" -excluded -"a phrase"   all of the first, none of the others, anywhere
 *     ?one ?other                             at least one of them; only without other terms
 *     { $.a.b[0] = "x" && ($.n > 1 || $.e IS NULL) }   fields of messages that are JSON objects
 *
 * Comparison is case-sensitive. In JSON patterns a text value may have '*' as a wildcard.
 * Patterns in brackets (space-delimited fields) and regular expressions (%...%) are refused.
 *
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
 * Pure; compiled once, then read-only. Matching takes time linear in the message for each part.
 */
#ifndef SERVICES_LOGS_FILTER_H
#define SERVICES_LOGS_FILTER_H

#include "base/arena.h"

struct filter;

/* An empty pattern matches everything. ERR_FAULT: *ret_why says what is wrong (static or in the
 * arena). `pattern` must live as long as the filter. */
must_use int filter_compile(
	struct arena *arena, str pattern, struct filter **ret_filter, str *ret_why);
/* `scratch` is emptied by each call. */
bool filter_match(const struct filter *filter, struct arena *scratch, str message);

#endif
