/*
 * Calendar arithmetic and the date formats. Days are counted from 0000-03-01, so that the leap day
 * is the last of its year.
 */
#include "base/time.h"

#include "base/decimal.h"
#include "base/rc.h"

enum { DAY_MS = 86400000, DAYS_TO_1970 = 719468, ERA_DAYS = 146097 };

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "SunMonTueWedThuFriSat";

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int month_days(int year, int month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01; the date is valid and its year at least 1. */
static int64_t days_of(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year, m = month > 2 ? month - 3 : month + 9;
	int era = y / 400, of_era = y % 400;
	int of_year = (153 * m + 2) / 5 + day - 1;

	return (int64_t)era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
	       DAYS_TO_1970;
}

struct time_parts time_parts_of(int64_t ms)
{
	struct time_parts t;
	int days, in_day, era, of_era, year, of_year, m;

	ms = MIN(MAX(ms, TIME_MS_MIN), TIME_MS_MAX);
	ms += (int64_t)DAYS_TO_1970 * DAY_MS; /* positive from here on */
	days = (int)(ms / DAY_MS);
	in_day = (int)(ms % DAY_MS);
	era = days / ERA_DAYS;
	of_era = days % ERA_DAYS;
	year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year = of_era - (365 * year + year / 4 - year / 100);
	m = (5 * of_year + 2) / 153;
	t.day = of_year - (153 * m + 2) / 5 + 1;
	t.month = m < 10 ? m + 3 : m - 9;
	t.year = year + era * 400 + (t.month <= 2);
	t.hour = in_day / 3600000;
	t.minute = in_day / 60000 % 60;
	t.second = in_day / 1000 % 60;
	t.ms = in_day % 1000;
	t.weekday = (days + 3) % 7; /* 0000-03-01 was a Wednesday */
	t.year_day = (int)(days - DAYS_TO_1970 - days_of(t.year, 1, 1)) + 1;
	return t;
}

int time_from_parts(const struct time_parts *t, int64_t *ret_ms)
{
	int64_t ms;

	if (t->year < 1 || t->year > 9999 || t->month < 1 || t->month > 12 || t->day < 1 ||
		t->day > month_days(t->year, t->month) || t->hour < 0 || t->hour > 23 ||
		t->minute < 0 || t->minute > 59 || t->second < 0 || t->second > 60 || t->ms < 0 ||
		t->ms > 999)
		return ERR_RANGE;
	ms = days_of(t->year, t->month, t->day) * DAY_MS + t->hour * 3600000 + t->minute * 60000 +
	     t->second * 1000 + t->ms;
	if (ms > TIME_MS_MAX)
		return ERR_RANGE;
	*ret_ms = ms;
	return 0;
}

/* `n` digits of `v`, with leading zeros. */
static char *put_number(char *to, int v, int n)
{
	for (int i = n - 1; i >= 0; i--, v /= 10)
		to[i] = (char)('0' + v % 10);
	return to + n;
}

static char *put_name(char *to, const char *names, int i)
{
	memcpy(to, names + 3 * i, 3);
	return to + 3;
}

static void put_iso(struct buf *out, int64_t ms, bool with_ms)
{
	struct time_parts t = time_parts_of(ms);
	char text[TIME_TEXT_MAX], *at = text;

	at = put_number(at, t.year, 4);
	*at++ = '-';
	at = put_number(at, t.month, 2);
	*at++ = '-';
	at = put_number(at, t.day, 2);
	*at++ = 'T';
	at = put_number(at, t.hour, 2);
	*at++ = ':';
	at = put_number(at, t.minute, 2);
	*at++ = ':';
	at = put_number(at, t.second, 2);
	if (with_ms) {
		*at++ = '.';
		at = put_number(at, t.ms, 3);
	}
	*at++ = 'Z';
	buf_put(out, str_of(text, (size_t)(at - text)));
}

void time_put_iso(struct buf *out, int64_t ms)
{
	put_iso(out, ms, false);
}

void time_put_iso_ms(struct buf *out, int64_t ms)
{
	put_iso(out, ms, true);
}

static void put_amz(struct buf *out, int64_t ms, size_t n)
{
	struct time_parts t = time_parts_of(ms);
	char text[TIME_TEXT_MAX], *at = text;

	at = put_number(at, t.year, 4);
	at = put_number(at, t.month, 2);
	at = put_number(at, t.day, 2);
	*at++ = 'T';
	at = put_number(at, t.hour, 2);
	at = put_number(at, t.minute, 2);
	at = put_number(at, t.second, 2);
	*at++ = 'Z';
	buf_put(out, str_of(text, n));
}

void time_put_amz(struct buf *out, int64_t ms)
{
	put_amz(out, ms, 16);
}

void time_put_amz_day(struct buf *out, int64_t ms)
{
	put_amz(out, ms, 8);
}

static char *put_clock(char *at, const struct time_parts *t)
{
	at = put_number(at, t->hour, 2);
	*at++ = ':';
	at = put_number(at, t->minute, 2);
	*at++ = ':';
	return put_number(at, t->second, 2);
}

void time_put_http(struct buf *out, int64_t ms)
{
	struct time_parts t = time_parts_of(ms);
	char text[TIME_TEXT_MAX], *at = text;

	at = put_name(at, day_names, t.weekday);
	*at++ = ',';
	*at++ = ' ';
	at = put_number(at, t.day, 2);
	*at++ = ' ';
	at = put_name(at, month_names, t.month - 1);
	*at++ = ' ';
	at = put_number(at, t.year, 4);
	*at++ = ' ';
	at = put_clock(at, &t);
	memcpy(at, " GMT", 4);
	buf_put(out, str_of(text, (size_t)(at + 4 - text)));
}

void time_put_clf(struct buf *out, int64_t ms)
{
	struct time_parts t = time_parts_of(ms);
	char text[TIME_TEXT_MAX], *at = text;

	at = put_number(at, t.day, 2);
	*at++ = '/';
	at = put_name(at, month_names, t.month - 1);
	*at++ = '/';
	at = put_number(at, t.year, 4);
	*at++ = ':';
	at = put_clock(at, &t);
	memcpy(at, " +0000", 6);
	buf_put(out, str_of(text, (size_t)(at + 6 - text)));
}

void time_put_epoch(struct buf *out, int64_t ms)
{
	uint64_t v;
	int part, digits = 3;
	char text[4];

	ms = MIN(MAX(ms, TIME_MS_MIN), TIME_MS_MAX);
	v = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
	part = (int)(v % 1000);
	if (ms < 0)
		buf_put_char(out, '-');
	buf_put_u64(out, v / 1000);
	if (part == 0)
		return;
	text[0] = '.';
	put_number(text + 1, part, 3);
	while (text[digits] == '0')
		digits--;
	buf_put(out, str_of(text, (size_t)digits + 1));
}

/* Takes exactly `n` digits from the front. */
static bool take_number(str *in, size_t n, int *ret_value)
{
	int v = 0;

	if (in->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (in->p[i] < '0' || in->p[i] > '9')
			return false;
		v = v * 10 + (in->p[i] - '0');
	}
	*in = str_from(*in, n);
	*ret_value = v;
	return true;
}

static bool take_text(str *in, str text)
{
	if (!str_starts(*in, text))
		return false;
	*in = str_from(*in, text.n);
	return true;
}

/* A three-letter name of a list; ASCII case counts. */
static bool take_name(str *in, const char *names, size_t count, int *ret_index)
{
	for (size_t i = 0; i < count; i++)
		if (take_text(in, str_of(names + 3 * i, 3))) {
			*ret_index = (int)i;
			return true;
		}
	return false;
}

static bool take_clock(str *in, struct time_parts *t)
{
	return take_number(in, 2, &t->hour) && take_text(in, STR(":")) &&
	       take_number(in, 2, &t->minute) && take_text(in, STR(":")) &&
	       take_number(in, 2, &t->second);
}

/* ".123456": digits behind the third are dropped. */
static bool take_fraction(str *in, int *ret_ms)
{
	int ms = 0, scale = 100;
	size_t n = 1;

	for (; n < in->n && in->p[n] >= '0' && in->p[n] <= '9'; n++, scale /= 10)
		ms += (in->p[n] - '0') * scale;
	if (n == 1)
		return false;
	*in = str_from(*in, n);
	*ret_ms = ms;
	return true;
}

/* "Z", "+02:00", "+0200" or "+02", to the end. */
static bool take_zone(str *in, int *ret_minutes)
{
	int hours, minutes = 0, sign;

	if (take_text(in, STR("Z")) || take_text(in, STR("z"))) {
		*ret_minutes = 0;
		return in->n == 0;
	}
	if (in->n == 0 || (in->p[0] != '+' && in->p[0] != '-'))
		return false;
	sign = in->p[0] == '-' ? -1 : 1;
	*in = str_from(*in, 1);
	if (!take_number(in, 2, &hours))
		return false;
	if (in->n > 0) {
		(void)take_text(in, STR(":"));
		if (!take_number(in, 2, &minutes))
			return false;
	}
	if (in->n != 0 || hours > 23 || minutes > 59)
		return false;
	*ret_minutes = sign * (hours * 60 + minutes);
	return true;
}

int time_parse_iso(str text, int64_t *ret_ms)
{
	struct time_parts t = {0};
	int zone = 0;
	int64_t ms;

	if (!take_number(&text, 4, &t.year) || !take_text(&text, STR("-")) ||
		!take_number(&text, 2, &t.month) || !take_text(&text, STR("-")) ||
		!take_number(&text, 2, &t.day))
		return ERR_SYNTAX;
	if (text.n > 0) {
		if (!take_text(&text, STR("T")) && !take_text(&text, STR("t")))
			return ERR_SYNTAX;
		if (!take_number(&text, 2, &t.hour) || !take_text(&text, STR(":")) ||
			!take_number(&text, 2, &t.minute))
			return ERR_SYNTAX;
		if (take_text(&text, STR(":"))) {
			if (!take_number(&text, 2, &t.second))
				return ERR_SYNTAX;
			if (text.n > 0 && text.p[0] == '.' && !take_fraction(&text, &t.ms))
				return ERR_SYNTAX;
		}
		if (!take_zone(&text, &zone))
			return ERR_SYNTAX;
	}
	TRY(time_from_parts(&t, &ms));
	ms -= (int64_t)zone * 60000;
	if (ms < TIME_MS_MIN || ms > TIME_MS_MAX)
		return ERR_RANGE;
	*ret_ms = ms;
	return 0;
}

int time_parse_amz(str text, int64_t *ret_ms)
{
	struct time_parts t = {0};

	if (!take_number(&text, 4, &t.year) || !take_number(&text, 2, &t.month) ||
		!take_number(&text, 2, &t.day) || !take_text(&text, STR("T")) ||
		!take_number(&text, 2, &t.hour) || !take_number(&text, 2, &t.minute) ||
		!take_number(&text, 2, &t.second) || !str_eq(text, STR("Z")))
		return ERR_SYNTAX;
	return time_from_parts(&t, ret_ms);
}

/* Behind "Sun, ": 06 Nov 1994 08:49:37 GMT */
static bool parse_imf(str in, struct time_parts *t)
{
	return take_number(&in, 2, &t->day) && take_text(&in, STR(" ")) &&
	       take_name(&in, month_names, 12, &t->month) && take_text(&in, STR(" ")) &&
	       take_number(&in, 4, &t->year) && take_text(&in, STR(" ")) && take_clock(&in, t) &&
	       str_eq(in, STR(" GMT"));
}

/* Behind "Sunday, ": 06-Nov-94 08:49:37 GMT */
static bool parse_rfc850(str in, struct time_parts *t)
{
	if (!take_number(&in, 2, &t->day) || !take_text(&in, STR("-")) ||
		!take_name(&in, month_names, 12, &t->month) || !take_text(&in, STR("-")) ||
		!take_number(&in, 2, &t->year) || !take_text(&in, STR(" ")) ||
		!take_clock(&in, t) || !str_eq(in, STR(" GMT")))
		return false;
	t->year += t->year < 70 ? 2000 : 1900;
	return true;
}

/* Behind "Sun ": Nov  6 08:49:37 1994 */
static bool parse_asctime(str in, struct time_parts *t)
{
	return take_name(&in, month_names, 12, &t->month) && take_text(&in, STR(" ")) &&
	       (take_text(&in, STR(" ")) ? take_number(&in, 1, &t->day)
					 : take_number(&in, 2, &t->day)) &&
	       take_text(&in, STR(" ")) && take_clock(&in, t) && take_text(&in, STR(" ")) &&
	       take_number(&in, 4, &t->year) && in.n == 0;
}

int time_parse_http(str text, int64_t *ret_ms)
{
	static const str rest_of_day[] = {STR_INIT("day, "), STR_INIT("day, "), STR_INIT("sday, "),
		STR_INIT("nesday, "), STR_INIT("rsday, "), STR_INIT("day, "), STR_INIT("urday, ")};
	struct time_parts t = {0};
	bool ok;

	if (!take_name(&text, day_names, 7, &t.weekday))
		return ERR_SYNTAX;
	if (take_text(&text, STR(", ")))
		ok = parse_imf(text, &t);
	else if (take_text(&text, STR(" ")))
		ok = parse_asctime(text, &t);
	else
		ok = take_text(&text, rest_of_day[t.weekday]) && parse_rfc850(text, &t);
	if (!ok)
		return ERR_SYNTAX;
	t.month++;
	return time_from_parts(&t, ret_ms);
}

int time_parse_epoch(str text, int64_t *ret_ms)
{
	static const struct decimal limit = {2534023008, 2, 10, false}; /* seconds */
	struct decimal d, magnitude;
	enum decimal_error error;
	int64_t ms;

	TRY(decimal_parse(text, &d, &error));
	magnitude = d;
	magnitude.negative = false;
	if (decimal_compare(&magnitude, &limit) >= 0)
		return ERR_RANGE;
	/* Milliseconds, cut towards zero. */
	d.exponent = (int16_t)(d.exponent + 3);
	while (d.exponent < 0 && d.coefficient > 0) {
		d.coefficient /= 10;
		d.exponent++;
		d.digits--;
	}
	if (d.coefficient == 0)
		d = (struct decimal){0};
	TRY(decimal_to_i64(&d, &ms));
	if (ms < TIME_MS_MIN || ms > TIME_MS_MAX)
		return ERR_RANGE;
	*ret_ms = ms;
	return 0;
}
