/*
 * JSON: reading and skipping agree, and what was read survives writing and reading.
 */
#include "base/check.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static str written(struct arena *arena, const struct json_value *v, size_t max)
{
	struct json_writer w;
	struct buf out;

	buf_init(&out, arena, max);
	json_writer_init(&w, &out);
	json_put_value(&w, v);
	check(!out.over);
	return buf_str(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	str text = str_of(data, n), once, twice;
	struct json_reader r;
	struct json_value *v;
	size_t offset = 0;
	int rc, skip;

	arena_init(&a, SIZE_MAX);
	rc = json_parse(&a, text, 20, &v, &offset);
	json_reader_init(&r, text, &a, 20);
	skip = json_skip(&r);
	if (skip >= 0)
		skip = json_end(&r);
	check(rc == skip);
	check(rc >= 0 || offset == json_error_offset(&r));
	if (rc < 0) {
		struct buf out;

		check(offset <= n);
		buf_init(&out, &a, 6 * n + 16);
		json_put_quoted_lossy(&out, text);
		check(!out.over && json_parse(&a, buf_str(&out), 1, &v, NULL) == 0);
		return 0;
	}
	once = written(&a, v, 6 * n + 16);
	check(json_parse(&a, once, 20, &v, NULL) == 0);
	twice = written(&a, v, 6 * n + 16);
	check(str_eq(once, twice));
	return 0;
}
