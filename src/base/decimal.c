/*
 * Exact decimals. The coefficient is one 128-bit integer; work is done in 64 bits where it fits,
 * because a division of 128 bits costs ten times as much.
 */
#include "base/decimal.h"

#include "base/check.h"
#include "base/rc.h"

typedef unsigned __int128 u128;

#define E18 UINT64_C(1000000000000000000)
#define E19 UINT64_C(10000000000000000000)

static const uint64_t pow10_u64[20] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000,
	100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000,
	100000000000000, 1000000000000000, 10000000000000000, 100000000000000000, E18, E19};

/* 10^n for n up to 38. */
static inline u128 pow10_of(unsigned n)
{
	return n < 20 ? pow10_u64[n] : (u128)E19 * pow10_u64[n - 19];
}

static unsigned digits_of_u64(uint64_t v)
{
	unsigned n = 0;

	while (n < 20 && v >= pow10_u64[n])
		n++;
	return n;
}

static unsigned digits_of(u128 v)
{
	unsigned n;

	if (v <= UINT64_MAX)
		return digits_of_u64((uint64_t)v);
	for (n = 19; n < 39 && v >= pow10_of(n); n++)
		;
	return n;
}

static int rc_of(enum decimal_error error, enum decimal_error *ret_error)
{
	if (ret_error)
		*ret_error = error;
	return error == DECIMAL_OK ? 0 : error == DECIMAL_SYNTAX ? ERR_SYNTAX : ERR_RANGE;
}

/* Builds the value from a coefficient without trailing zeros; checks the range. */
static enum decimal_error finish(bool negative, u128 coefficient, unsigned digits, int64_t exponent,
	struct decimal *ret_value)
{
	int64_t leading = exponent + (int64_t)digits - 1;

	if (coefficient == 0) {
		*ret_value = (struct decimal){0};
		return DECIMAL_OK;
	}
	if (digits > DECIMAL_DIGITS_MAX)
		return DECIMAL_PRECISION;
	if (leading > DECIMAL_EXPONENT_MAX)
		return DECIMAL_OVERFLOW;
	if (leading < DECIMAL_EXPONENT_MIN)
		return DECIMAL_UNDERFLOW;
	*ret_value = (struct decimal){.coefficient = coefficient,
		.exponent = (int16_t)exponent,
		.digits = (uint8_t)digits,
		.negative = negative};
	return DECIMAL_OK;
}

/* What the first pass over a number's text finds. */
struct scanned {
	const char *first, *last; /* the first and last digit that is not 0; NULL: the value is 0 */
	const char *point;        /* of the '.', else the end of the mantissa */
	int64_t exponent;
	bool negative;
};

/* The digits behind 'e'. Far out of range is as good as exact. */
static bool scan_exponent(const char *p, const char *end, int64_t *ret_exponent)
{
	bool negative = false;
	int64_t v = 0;

	if (p < end && (*p == '+' || *p == '-'))
		negative = *p++ == '-';
	if (p == end)
		return false;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		if (v < INT64_C(1000000000000))
			v = v * 10 + (*p - '0');
	}
	*ret_exponent = negative ? -v : v;
	return true;
}

static bool scan(str text, struct scanned *s)
{
	const char *p = text.p, *end = text.p + text.n;
	size_t digits = 0;

	*s = (struct scanned){0};
	if (p < end && (*p == '+' || *p == '-'))
		s->negative = *p++ == '-';
	for (; p < end; p++) {
		if (*p >= '0' && *p <= '9') {
			digits++;
			if (*p != '0') {
				s->last = p;
				if (!s->first)
					s->first = p;
			}
		} else if (*p == '.' && !s->point) {
			s->point = p;
		} else {
			break;
		}
	}
	if (!s->point)
		s->point = p;
	if (digits == 0)
		return false;
	if (p == end)
		return true;
	return (*p == 'e' || *p == 'E') && scan_exponent(p + 1, end, &s->exponent);
}

int decimal_parse(str text, struct decimal *ret_value, enum decimal_error *ret_error)
{
	uint64_t part[2] = {0, 0};
	int64_t exponent;
	struct scanned s;
	size_t digits;
	u128 value;

	if (!scan(text, &s))
		return rc_of(DECIMAL_SYNTAX, ret_error);
	if (!s.first)
		return rc_of(finish(false, 0, 0, 0, ret_value), ret_error);
	digits = (size_t)(s.last - s.first) + 1 - (s.first < s.point && s.point < s.last);
	if (digits > DECIMAL_DIGITS_MAX)
		return rc_of(DECIMAL_PRECISION, ret_error);
	for (const char *p = s.first, *end = s.first + MIN(digits, (size_t)19) +
					     (s.first < s.point && s.point <= s.first + 18);
		p < end && p <= s.last; p++)
		if (*p != '.')
			part[0] = part[0] * 10 + (unsigned)(*p - '0');
	value = part[0];
	if (digits > 19) {
		const char *p = s.last;
		uint64_t scale = 1;

		for (size_t n = digits - 19; n > 0; p--)
			if (*p != '.') {
				part[1] += (unsigned)(*p - '0') * scale;
				scale *= 10;
				n--;
			}
		value = value * pow10_of((unsigned)digits - 19) + part[1];
	}
	exponent = s.exponent + (s.point > s.last ? s.point - s.last - 1 : s.point - s.last);
	return rc_of(finish(s.negative, value, (unsigned)digits, exponent, ret_value), ret_error);
}

/* Strips trailing zeros and builds the value. */
static enum decimal_error normalise(
	bool negative, u128 v, int64_t exponent, struct decimal *ret_value)
{
	uint64_t small;

	if (v == 0)
		return finish(false, 0, 0, 0, ret_value);
	for (; v > UINT64_MAX && v % 10 == 0; exponent++)
		v /= 10;
	if (v > UINT64_MAX)
		return finish(negative, v, digits_of(v), exponent, ret_value);
	for (small = (uint64_t)v; small % 10 == 0; exponent++)
		small /= 10;
	return finish(negative, small, digits_of_u64(small), exponent, ret_value);
}

struct decimal decimal_from_i64(int64_t v)
{
	struct decimal d;

	check(normalise(v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 0, &d) == DECIMAL_OK);
	return d;
}

int decimal_to_i64(const struct decimal *d, int64_t *ret_value)
{
	u128 v;

	if (d->digits == 0) {
		*ret_value = 0;
		return 0;
	}
	if (d->exponent < 0)
		return ERR_INVALID;
	if (d->exponent + d->digits > 19)
		return ERR_RANGE;
	v = d->coefficient * pow10_of((unsigned)d->exponent);
	if (v > (u128)INT64_MAX + d->negative)
		return ERR_RANGE;
	*ret_value = d->negative ? (int64_t)(0 - (uint64_t)v) : (int64_t)v;
	return 0;
}

/* The coefficient's digits, `d->digits` of them. */
static void put_digits(const struct decimal *d, char *to)
{
	u128 v = d->coefficient;
	unsigned left = d->digits;

	while (left > 0) {
		uint64_t part = v > UINT64_MAX ? (uint64_t)(v % E19) : (uint64_t)v;
		unsigned n = v > UINT64_MAX ? 19 : left;

		v = v > UINT64_MAX ? v / E19 : 0;
		for (; n > 0; n--) {
			to[--left] = (char)('0' + part % 10);
			part /= 10;
		}
	}
}

size_t decimal_text(const struct decimal *d, char *text)
{
	int whole = d->exponent + d->digits; /* digits in front of the point */
	char digits[DECIMAL_DIGITS_MAX];
	char *at = text;

	if (d->digits == 0) {
		*text = '0';
		return 1;
	}
	put_digits(d, digits);
	if (d->negative)
		*at++ = '-';
	if (whole <= 0) {
		*at++ = '0';
		*at++ = '.';
		memset(at, '0', (size_t)-whole);
		at += -whole;
		memcpy(at, digits, d->digits);
		return (size_t)(at + d->digits - text);
	}
	if (whole >= d->digits) {
		memcpy(at, digits, d->digits);
		at += d->digits;
		memset(at, '0', (size_t)(whole - d->digits));
		return (size_t)(at + (whole - d->digits) - text);
	}
	memcpy(at, digits, (size_t)whole);
	at += whole;
	*at++ = '.';
	memcpy(at, digits + whole, (size_t)(d->digits - whole));
	return (size_t)(at + (d->digits - whole) - text);
}

void decimal_put(struct buf *out, const struct decimal *d)
{
	char text[DECIMAL_TEXT_MAX];

	buf_put(out, str_of(text, decimal_text(d, text)));
}

static int sign_of(const struct decimal *d)
{
	return d->digits == 0 ? 0 : d->negative ? -1 : 1;
}

/* Of the absolute values of two that are not zero. */
static int compare_magnitude(const struct decimal *a, const struct decimal *b)
{
	int leading_a = a->exponent + a->digits, leading_b = b->exponent + b->digits;
	u128 x = a->coefficient, y = b->coefficient;

	if (leading_a != leading_b)
		return leading_a < leading_b ? -1 : 1;
	if (a->digits < b->digits)
		x *= pow10_of((unsigned)(b->digits - a->digits));
	else
		y *= pow10_of((unsigned)(a->digits - b->digits));
	return (x > y) - (x < y);
}

int decimal_compare(const struct decimal *a, const struct decimal *b)
{
	int x = sign_of(a), y = sign_of(b);

	if (x != y)
		return x < y ? -1 : 1;
	return x == 0 ? 0 : x * compare_magnitude(a, b);
}

/*
 * a + b, both not zero. The lowest digit of the sum of two normalised numbers of different exponent
 * is the lower one's, so a sum that needs more than 39 digits when aligned cannot get short again;
 * at 39 a borrow still can (1E38 - 1), and then the aligned coefficient fits 128 bits.
 */
static enum decimal_error add(
	const struct decimal *a, const struct decimal *b, struct decimal *ret_sum)
{
	const struct decimal *high = a->exponent >= b->exponent ? a : b, *low = high == a ? b : a;
	int shift = high->exponent - low->exponent;
	u128 x, y = low->coefficient, sum;

	if (high->digits + shift > DECIMAL_DIGITS_MAX + 1)
		return DECIMAL_PRECISION;
	if (__builtin_mul_overflow(high->coefficient, pow10_of((unsigned)shift), &x))
		return DECIMAL_PRECISION;
	if (high->negative != low->negative) {
		bool swap = x < y;

		return normalise(swap ? low->negative : high->negative, swap ? y - x : x - y,
			low->exponent, ret_sum);
	}
	if (__builtin_add_overflow(x, y, &sum))
		return DECIMAL_PRECISION;
	return normalise(high->negative, sum, low->exponent, ret_sum);
}

int decimal_add(const struct decimal *a, const struct decimal *b, struct decimal *ret_sum,
	enum decimal_error *ret_error)
{
	struct decimal sum;
	enum decimal_error error = DECIMAL_OK;

	if (a->digits == 0)
		sum = *b;
	else if (b->digits == 0)
		sum = *a;
	else
		error = add(a, b, &sum);
	if (error == DECIMAL_OK)
		*ret_sum = sum;
	return rc_of(error, ret_error);
}

int decimal_subtract(const struct decimal *a, const struct decimal *b,
	struct decimal *ret_difference, enum decimal_error *ret_error)
{
	struct decimal minus = *b;

	minus.negative = b->digits != 0 && !b->negative;
	return decimal_add(a, &minus, ret_difference, ret_error);
}

enum { ENCODED_NEGATIVE = 0x7f, ENCODED_ZERO = 0x80, ENCODED_POSITIVE = 0x81, PAIRS_MAX = 19 };

size_t decimal_encode(const struct decimal *d, uint8_t *bytes)
{
	unsigned pairs = (d->digits + 1u) / 2, left = pairs;
	u128 v = d->coefficient;
	uint8_t *to = bytes + 2;

	if (d->digits == 0) {
		bytes[0] = ENCODED_ZERO;
		return 1;
	}
	bytes[0] = d->negative ? ENCODED_NEGATIVE : ENCODED_POSITIVE;
	bytes[1] = (uint8_t)(d->exponent + d->digits - 1 - DECIMAL_EXPONENT_MIN);
	if (d->digits % 2)
		v *= 10;
	while (left > 0) {
		uint64_t part = v >= E18 ? (uint64_t)(v % E18) : (uint64_t)v;
		unsigned n = v >= E18 ? 9 : left;

		v = v >= E18 ? v / E18 : 0;
		for (; n > 0; n--) {
			to[--left] = (uint8_t)(part % 100 * 2 + 1);
			part /= 100;
		}
	}
	to[pairs - 1]--; /* the last */
	if (d->negative)
		for (unsigned i = 1; i < pairs + 2; i++)
			bytes[i] = (uint8_t)~bytes[i];
	return pairs + 2;
}

int decimal_encoded_bytes(str in)
{
	const uint8_t *p = (const uint8_t *)in.p;
	uint8_t flip;

	if (in.n >= 1 && p[0] == ENCODED_ZERO)
		return 1;
	if (in.n < 3 || (p[0] != ENCODED_POSITIVE && p[0] != ENCODED_NEGATIVE))
		return ERR_CORRUPT;
	flip = p[0] == ENCODED_NEGATIVE ? 0xff : 0;
	for (size_t i = 2; i < in.n && i < 2 + PAIRS_MAX; i++)
		if (((p[i] ^ flip) & 1) == 0)
			return (int)i + 1;
	return ERR_CORRUPT;
}

int decimal_decode(str *in, struct decimal *ret_value)
{
	int bytes = TRY(decimal_encoded_bytes(*in))
	, pairs = bytes - 2;
	const uint8_t *p = (const uint8_t *)in->p;
	uint64_t head = 0, tail = 0, tail_scale = 1;
	uint8_t flip, last;
	struct decimal d = {0};

	if (bytes == 1) {
		*in = str_from(*in, 1);
		*ret_value = d;
		return 0;
	}
	flip = p[0] == ENCODED_NEGATIVE ? 0xff : 0;
	for (int i = 0; i < pairs; i++) {
		uint8_t pair = (uint8_t)(p[2 + i] ^ flip) / 2;

		if (pair > 99 || (i == 0 && pair < 10))
			return ERR_CORRUPT;
		if (i < 9) {
			head = head * 100 + pair;
		} else if (i < 18) {
			tail = tail * 100 + pair;
			tail_scale *= 100;
		}
	}
	d.coefficient = (u128)head * tail_scale + tail;
	last = (uint8_t)(p[bytes - 1] ^ flip) / 2;
	if (last == 0)
		return ERR_CORRUPT;
	if (pairs == PAIRS_MAX)
		d.coefficient = d.coefficient * 100 + last;
	d.digits = (uint8_t)(2 * pairs);
	if (last % 10 == 0) {
		d.digits--;
		d.coefficient = d.coefficient > UINT64_MAX ? d.coefficient / 10
							   : (uint64_t)d.coefficient / 10;
	}
	d.negative = flip != 0;
	d.exponent = (int16_t)((uint8_t)(p[1] ^ flip) + DECIMAL_EXPONENT_MIN - (d.digits - 1));
	*in = str_from(*in, (size_t)bytes);
	*ret_value = d;
	return 0;
}
