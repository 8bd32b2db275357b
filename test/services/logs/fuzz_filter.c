/* Filter patterns: a pattern, a newline, a message. Compiling and matching any of them ends. */
#include "base/check.h"
#include "services/logs/batch.h"
#include "services/logs/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0}, scratch = {0};
	str rest = str_of(data, n), pattern, why = STR_NULL;
	struct filter *filter;

	arena_init(&a, SIZE_MAX);
	arena_init(&scratch, SIZE_MAX);
	if (!str_split(&rest, '\n', &pattern))
		return 0;
	if (filter_compile(&a, pattern, &filter, &why) < 0)
		check(why.n > 0);
	else
		(void)filter_match(filter, &scratch, rest);

	/* The same bytes as a stored batch. */
	struct batch_reader reader;
	struct log_event event;
	size_t seen = 0;
	if (batch_open(&reader, str_of(data, n), 1, 1) == 0)
		while (seen <= n && batch_next(&reader, &event) == 1)
			seen += event.message.n + 2;
	check(seen <= n + 2);
	return 0;
}
