/* Answers of functions: whatever they return, what comes out can be sent. */
#include "aws/http_event.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	struct event_answer answer;

	arena_init(&a, SIZE_MAX);
	for (unsigned format = 1; format <= 2; format++) {
		if (event_answer_parse(&a, str_of(data, n), format, &answer) < 0)
			continue;
		check(answer.status >= 200 && answer.status <= 599);
		for (size_t i = 0; i < answer.header_count; i++) {
			const struct http_header *h = &answer.headers[i];

			check(h->name.n > 0 && str_find(h->name, ':') < 0);
			check(!event_header_is_hop(h->name, STR_NULL));
			for (size_t k = 0; k < h->name.n; k++)
				check((unsigned char)h->name.p[k] > ' ' && h->name.p[k] < 0x7f);
			for (size_t k = 0; k < h->value.n; k++)
				check((unsigned char)h->value.p[k] >= ' ' || h->value.p[k] == '\t');
		}
	}
	return 0;
}
