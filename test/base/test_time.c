/*
 * Times: the table test/base/time/parse.txt, the printed forms, and every day of the calendar.
 */
#include "base/time.h"

#include "base/random.h"
#include "base/rc.h"
#include "test/test_table.h"

#include <time.h>

static int parse(str format, str text, int64_t *ret_ms)
{
	if (str_eq(format, STR("iso")))
		return time_parse_iso(text, ret_ms);
	if (str_eq(format, STR("amz")))
		return time_parse_amz(text, ret_ms);
	if (str_eq(format, STR("http")))
		return time_parse_http(text, ret_ms);
	return time_parse_epoch(text, ret_ms);
}

TEST(time, parse_table)
{
	struct test_table t;

	for (test_table_open(&t, "test/base/time/parse.txt"); test_table_next(&t);) {
		int64_t ms = 0;
		int rc = parse(t.field[0], t.field[1], &ms);
		str got =
			rc < 0 ? str_c(rc_name(rc)) : arena_printf(&t.arena, "%lld", (long long)ms);

		TABLE_EXPECT_STR(&t, got, t.field[2]);
	}
	test_table_close(&t, 75);
}

static str put(struct buf *out, void (*how)(struct buf *, int64_t), int64_t ms)
{
	buf_reset(out);
	how(out, ms);
	return buf_str(out);
}

TEST(time, put)
{
	struct buf out;

	buf_init(&out, NULL, TIME_TEXT_MAX);
	EXPECT_STR(put(&out, time_put_iso, 1440938160123), STR("2015-08-30T12:36:00Z"));
	EXPECT_STR(put(&out, time_put_iso_ms, 1440938160123), STR("2015-08-30T12:36:00.123Z"));
	EXPECT_STR(put(&out, time_put_iso_ms, -1), STR("1969-12-31T23:59:59.999Z"));
	EXPECT_STR(put(&out, time_put_amz, 1440938160123), STR("20150830T123600Z"));
	EXPECT_STR(put(&out, time_put_amz_day, 1440938160123), STR("20150830"));
	EXPECT_STR(put(&out, time_put_http, 784111777000), STR("Sun, 06 Nov 1994 08:49:37 GMT"));
	EXPECT_STR(put(&out, time_put_clf, 784111777000), STR("06/Nov/1994:08:49:37 +0000"));
	EXPECT_STR(put(&out, time_put_epoch, 1440938160000), STR("1440938160"));
	EXPECT_STR(put(&out, time_put_epoch, 1440938160120), STR("1440938160.12"));
	EXPECT_STR(put(&out, time_put_epoch, 1440938160001), STR("1440938160.001"));
	EXPECT_STR(put(&out, time_put_epoch, -1500), STR("-1.5"));
	EXPECT_STR(put(&out, time_put_iso_ms, INT64_MAX), STR("9999-12-31T23:59:59.999Z"));
	EXPECT_STR(put(&out, time_put_iso_ms, INT64_MIN), STR("0001-01-01T00:00:00.000Z"));
	EXPECT(!out.over);
	buf_done(&out);
}

/* Against the C library, every 11 hours and some from year 1 to 9999. */
TEST(time, calendar)
{
	for (int64_t ms = TIME_MS_MIN; ms <= TIME_MS_MAX; ms += INT64_C(977777777)) {
		struct time_parts t = time_parts_of(ms);
		int64_t floor_ms = ms >= 0 ? ms : ms - 999, back = 0;
		time_t seconds = (time_t)(floor_ms / 1000);
		struct tm tm;

		gmtime_r(&seconds, &tm);
		if (t.year != tm.tm_year + 1900 || t.month != tm.tm_mon + 1 ||
			t.day != tm.tm_mday || t.hour != tm.tm_hour || t.minute != tm.tm_min ||
			t.second != tm.tm_sec || t.weekday != tm.tm_wday ||
			t.year_day != tm.tm_yday + 1) {
			test_fail(__FILE__, __LINE__, "at %lld", (long long)ms);
			return;
		}
		ASSERT_INT(time_from_parts(&t, &back), 0);
		ASSERT_INT(back, ms);
	}
}

TEST(time, round_trip)
{
	struct random r;
	struct buf out;

	buf_init(&out, NULL, TIME_TEXT_MAX);
	random_seed(&r, 3);
	for (int i = 0; i < 2000; i++) {
		int64_t ms = TIME_MS_MIN +
			     (int64_t)random_below(&r, (uint64_t)(TIME_MS_MAX - TIME_MS_MIN)),
			back = 0;

		EXPECT_INT(time_parse_iso(put(&out, time_put_iso_ms, ms), &back), 0);
		EXPECT_INT(back, ms);
		EXPECT_INT(time_parse_epoch(put(&out, time_put_epoch, ms), &back), 0);
		EXPECT_INT(back, ms);
		ms -= ((ms % 1000) + 1000) % 1000;
		EXPECT_INT(time_parse_http(put(&out, time_put_http, ms), &back), 0);
		EXPECT_INT(back, ms);
		EXPECT_INT(time_parse_amz(put(&out, time_put_amz, ms), &back), 0);
		EXPECT_INT(back, ms);
	}
	buf_done(&out);
}
