/* The pure parts of logs: filter patterns, batches, positions. */
#include "base/rc.h"
#include "services/logs/batch.h"
#include "services/logs/filter.h"
#include "test/test_table.h"

TEST(logs, filters)
{
	struct arena scratch cleanup(arena_done_p);
	struct test_table t;

	arena_init(&scratch, 1 << 20);
	for (test_table_open(&t, "test/services/logs/filter.txt"); test_table_next(&t);) {
		bool whole = t.fields == 3;
		str pattern = whole ? t.field[0] : STR("");
		str message = t.field[whole], want = t.field[whole + 1], why;
		struct filter *filter;

		if (filter_compile(&t.arena, pattern, &filter, &why) < 0)
			TABLE_EXPECT_STR(&t, STR("wrong"), want);
		else
			TABLE_EXPECT_STR(&t,
				filter_match(filter, &scratch, message) ? STR("yes") : STR("no"),
				want);
	}
	test_table_close(&t, 60);
}

TEST(logs, positions)
{
	struct arena a cleanup(arena_done_p);
	const struct log_position p = {1440938160000, UINT64_MAX, 3};
	struct log_position q;

	arena_init(&a, 1 << 20);
	str text = log_position_text(&a, &p);
	EXPECT_STR(text, STR("00014409381600001844674407370955161500000000000000000003"));
	ASSERT_INT(log_position_parse(text, &q), 0);
	EXPECT_INT(log_position_compare(&p, &q), 0);
	EXPECT_INT(log_position_parse(str_sub(text, 0, 55), &q), ERR_SYNTAX);
	EXPECT(log_position_parse(
		       STR("x0014409381600001844674407370955161500000000000000000003"), &q) < 0);
	EXPECT(log_position_compare(
		       &(struct log_position){1, 9, 9}, &(struct log_position){2, 0, 0}) < 0);
	EXPECT(log_position_compare(
		       &(struct log_position){1, 2, 0}, &(struct log_position){1, 1, 9}) > 0);
}

TEST(logs, batches)
{
	struct arena a cleanup(arena_done_p);
	const struct batch_event events[] = {{1000, STR("a")}, {1000, STR("b")},
		{1000 + BATCH_SPAN_MS, STR("c")}, {1001 + BATCH_SPAN_MS, STR("d")},
		{1000, STR("e")}};
	struct batch_reader reader;
	struct log_event event;
	struct buf body;

	arena_init(&a, 1 << 20);
	ASSERT_INT(batch_fit(events, 5), 3);
	EXPECT_INT(batch_fit(events + 3, 2), 1); /* time falls */
	EXPECT_INT(batch_fit(events + 4, 1), 1);
	buf_init(&body, &a, 65536);
	batch_encode(&body, 7, 2000, STR("stream"), events, 3);
	ASSERT_INT(batch_open(&reader, buf_str(&body), 1000, 42), 0);
	EXPECT_STR(reader.stream, STR("stream"));
	EXPECT_INT(reader.stream_id, 7);
	for (uint64_t i = 0; i < 3; i++) {
		ASSERT_INT(batch_next(&reader, &event), 1);
		EXPECT_INT(event.at.time_ms, events[i].time_ms);
		EXPECT_INT(event.at.sequence, 42);
		EXPECT_INT(event.at.index, i);
		EXPECT_INT(event.ingestion_ms, 2000);
		EXPECT_STR(event.message, events[i].message);
	}
	EXPECT_INT(batch_next(&reader, &event), 0);
	/* Every truncation is noticed. */
	for (size_t n = 0; n < body.n; n++) {
		int rc = batch_open(&reader, str_sub(buf_str(&body), 0, n), 1000, 42);

		while (rc >= 0 && (rc = batch_next(&reader, &event)) > 0)
			;
		EXPECT_INT(rc, ERR_CORRUPT);
	}
}
