/*
 * Reading and writing the Lineage field.
 */
#include "services/lambda/lineage.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/hash.h"

#include <stdio.h>

enum { NAME_CHARS = 8, TRACE_MAX = 4096, RUNS_SHOWN_MAX = 255 };

struct step {
	str name;
	uint64_t runs;
};

/* "1a2b3c4d:3" into a step. */
static bool read_step(str text, struct step *ret)
{
	return str_split(&text, ':', &ret->name) && ret->name.n == NAME_CHARS &&
	       str_to_u64(text, RUNS_SHOWN_MAX, &ret->runs) == 0;
}

unsigned lineage_step(struct arena *a, str trace, str arn, str *ret_trace)
{
	struct step steps[LINEAGE_FUNCTIONS_MAX + 1], *own = NULL;
	char text[NAME_CHARS + 1];
	unsigned n = 0;
	struct buf out;
	str field, lineage = STR_NULL, part;

	snprintf(text, sizeof(text), "%08x", crc32_add(0, arn));
	buf_init(&out, a, TRACE_MAX);
	trace = str_sub(trace, 0, TRACE_MAX / 2);
	while (str_split(&trace, ';', &field)) {
		if (str_starts(field, STR("Lineage="))) {
			lineage = str_from(field, sizeof("Lineage=") - 1);
		} else if (field.n) {
			buf_put(&out, field);
			buf_put_char(&out, ';');
		}
	}
	while (n < LINEAGE_FUNCTIONS_MAX && str_split(&lineage, '|', &part))
		if (read_step(part, &steps[n])) {
			if (str_eq(steps[n].name, str_of(text, NAME_CHARS)))
				own = &steps[n];
			n++;
		}
	if (!own) {
		if (n == LINEAGE_FUNCTIONS_MAX)
			memmove(steps, steps + 1, --n * sizeof(steps[0]));
		own = &steps[n++];
		*own = (struct step){str_of(text, NAME_CHARS), 0};
	}
	own->runs = MIN(own->runs + 1, (uint64_t)RUNS_SHOWN_MAX);
	buf_put(&out, STR("Lineage="));
	for (unsigned i = 0; i < n; i++) {
		buf_put(&out, i ? STR("|") : STR(""));
		buf_put(&out, steps[i].name);
		buf_put_char(&out, ':');
		buf_put_u64(&out, steps[i].runs);
	}
	check(!out.over);
	*ret_trace = buf_str(&out);
	return (unsigned)own->runs;
}
