/*
 * Any text as a pattern, up to the first zero byte, and what follows as an event: a pattern is
 * refused with a reason or decides, and decides the same when it is compiled again.
 */
#include "aws/event_pattern.h"
#include "base/check.h"
#include "base/rc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a cleanup(arena_done_p) = {0};
	const struct event_pattern *pattern, *again;
	str in = str_of(data, n), why = STR_NULL;
	ptrdiff_t cut = str_find(in, 0);
	struct json_value *event;
	int rc;

	arena_init(&a, SIZE_MAX);
	if (cut < 0)
		cut = (ptrdiff_t)n;
	rc = event_pattern_compile(&a, str_sub(in, 0, (size_t)cut), &pattern, &why);
	check(rc == 0 || (rc == ERR_INVALID && why.n));
	if (rc < 0 || json_parse(&a, str_from(in, (size_t)cut + 1), 64, &event, NULL) < 0)
		return 0;
	check(event_pattern_compile(&a, str_sub(in, 0, (size_t)cut), &again, &why) == 0);
	check(event_pattern_matches(pattern, event) == event_pattern_matches(again, event));
	return 0;
}
