/*
 * Texts of points in time: formatting and parsing only; clocks are rt's.
 *
 * A point in time is an int64_t of milliseconds since 1970-01-01T00:00Z in the proleptic Gregorian
 * calendar, years 1 to 9999; leap seconds do not exist (":60" is read as the next second where a
 * format allows it). Formats: ISO 8601 / RFC 3339, the basic form of X-Amz-Date, HTTP dates (RFC
 * 9110 section 5.6.7) and the epoch seconds of the AWS JSON protocols.
 *
 * Pure; any thread; no locale, no time zone database.
 */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include "base/buf.h"
#include "base/str.h"

#define TIME_MS_MIN INT64_C(-62135596800000) /* 0001-01-01T00:00:00.000Z */
#define TIME_MS_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

struct time_parts {
	int year, month, day; /* month 1..12, day 1..31 */
	int hour, minute, second, ms;
	int weekday;  /* 0 = Sunday */
	int year_day; /* 1..366 */
};

/* `ms` is clipped to TIME_MS_MIN .. TIME_MS_MAX, as in all functions below. */
struct time_parts time_parts_of(int64_t ms);
/* ERR_RANGE for a date or time of day that does not exist; weekday and year_day are not read. */
must_use int time_from_parts(const struct time_parts *parts, int64_t *ret_ms);

enum { TIME_TEXT_MAX = 32 }; /* bound of each text below */

void time_put_iso(struct buf *out, int64_t ms);     /* 2015-08-30T12:36:00Z */
void time_put_iso_ms(struct buf *out, int64_t ms);  /* 2015-08-30T12:36:00.000Z */
void time_put_amz(struct buf *out, int64_t ms);     /* 20150830T123600Z */
void time_put_amz_day(struct buf *out, int64_t ms); /* 20150830 */
void time_put_http(struct buf *out, int64_t ms);    /* Sun, 30 Aug 2015 12:36:00 GMT */
void time_put_epoch(struct buf *out, int64_t ms);   /* 1440938160 or 1440938160.123 */
void time_put_clf(struct buf *out, int64_t ms);     /* 30/Aug/2015:12:36:00 +0000 */

/* All: ERR_SYNTAX, or ERR_RANGE for what does not exist. */
/*
 * RFC 3339 ("2015-08-30T12:36:00.123456789+02:00", digits beyond milliseconds are dropped), and
 * the ISO 8601 forms that AWS takes besides: no seconds, "+0200", a date alone.
 */
must_use int time_parse_iso(str text, int64_t *ret_ms);
/* Exactly YYYYMMDD'T'HHMMSS'Z'. */
must_use int time_parse_amz(str text, int64_t *ret_ms);
/* The three forms of an HTTP date: IMF-fixdate, RFC 850, asctime. A two-digit year means
 * 1970..2069. */
must_use int time_parse_http(str text, int64_t *ret_ms);
/* Decimal seconds with an optional fraction and exponent: "1440938160.123", "1.44E9". */
must_use int time_parse_epoch(str text, int64_t *ret_ms);

#endif
