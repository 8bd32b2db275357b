/*
 * The event pattern language by a table, and the bound on "$or".
 */
#include "aws/event_pattern.h"
#include "base/rc.h"
#include "test/test_table.h"

TEST(event_pattern, table)
{
	struct test_table t;

	for (test_table_open(&t, "test/aws/event_pattern.txt"); test_table_next(&t);) {
		struct arena a cleanup(arena_done_p) = {0};
		const struct event_pattern *pattern;
		struct json_value *event;
		str why = STR_NULL;
		int rc;

		arena_init(&a, SIZE_MAX);
		rc = event_pattern_compile(&a, t.field[0], &pattern, &why);
		if (rc < 0) {
			EXPECT_INT(rc, ERR_INVALID);
			TABLE_EXPECT_STR(&t, why, t.field[2]);
			continue;
		}
		if (json_parse(&a, t.field[1], 32, &event, NULL) < 0) {
			test_fail(t.path, t.line, "the event is no JSON, or the pattern was taken");
			continue;
		}
		TABLE_EXPECT_STR(&t, event_pattern_matches(pattern, event) ? STR("yes") : STR("no"),
			t.field[2]);
	}
	test_table_close(&t, 125);
}

TEST(event_pattern, combinations)
{
	struct arena a cleanup(arena_done_p) = {0};
	const struct event_pattern *pattern;
	struct buf text;
	str why;

	arena_init(&a, SIZE_MAX);
	buf_init(&text, &a, EVENT_PATTERN_BYTES_MAX);
	for (int i = 0; i < 10; i++)
		buf_printf(
			&text, "%s\"k%d\":{\"$or\":[{\"a\":[1]},{\"b\":[1]}]}", i ? "," : "{", i);
	buf_put(&text, STR("}"));
	EXPECT_INT(event_pattern_compile(&a, buf_str(&text), &pattern, &why), ERR_INVALID);
	EXPECT_STR(why, STR("Rule is too complex - try using fewer $or combinations"));
}
