/*
 * Exact decimal numbers as DynamoDB has them: up to 38 significant digits, zero or a magnitude of
 * 1E-130 to 9.99...E+125. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/
 * HowItWorks.NamingRulesDataTypes.html (Number), and "Number" under Constraints.
 *
 * A value is kept normalised: no trailing zeros in the coefficient, one zero (-0 is 0), so equal
 * values have equal structs, texts and encodings. Nothing rounds: what does not fit is an error.
 *
 * Pure; any thread.
 */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include "base/buf.h"
#include "base/str.h"

enum {
	DECIMAL_DIGITS_MAX = 38,
	DECIMAL_EXPONENT_MIN = -130, /* of the leading digit */
	DECIMAL_EXPONENT_MAX = 125,
	DECIMAL_TEXT_MAX =
		1 + 2 + 130 + 38,     /* sign, "0.", zeros, digits: bound of decimal_text() */
	DECIMAL_ENCODED_MAX = 2 + 19, /* bound of decimal_encode() */
};

struct decimal {
	unsigned __int128 coefficient; /* below 10^38, not divisible by 10 unless 0 */
	int16_t exponent;              /* value = coefficient * 10^exponent; 0 for zero */
	uint8_t digits;                /* of the coefficient; 0 for zero */
	bool negative;
};

/* Why a text, or a result, is not a decimal: the order of DynamoDB's checks. */
enum decimal_error {
	DECIMAL_OK,
	DECIMAL_SYNTAX,    /* ERR_SYNTAX: not a number */
	DECIMAL_PRECISION, /* ERR_RANGE: more than 38 significant digits */
	DECIMAL_OVERFLOW,  /* ERR_RANGE: magnitude too large */
	DECIMAL_UNDERFLOW, /* ERR_RANGE: magnitude too small and not zero */
};

/*
 * Reads [+-] digits [. digits] [eE [+-] digits]; leading and trailing zeros are free, one side of
 * the point may be empty (".5", "5."). No spaces, no hexadecimal, no names. `*ret_error` (may be
 * NULL) says why it failed.
 */
must_use int decimal_parse(str text, struct decimal *ret_value, enum decimal_error *ret_error);
struct decimal decimal_from_i64(int64_t v);
/* ERR_INVALID when it has a fraction, ERR_RANGE when it does not fit. */
must_use int decimal_to_i64(const struct decimal *d, int64_t *ret_value);

/* Plain digits without exponent, as DynamoDB prints: "-0.5", "1200". `text` has DECIMAL_TEXT_MAX
 * bytes; the length is returned. */
size_t decimal_text(const struct decimal *d, char *text);
void decimal_put(struct buf *out, const struct decimal *d);

/* < 0, 0, > 0. */
int decimal_compare(const struct decimal *a, const struct decimal *b);
/* Exact; ERR_RANGE when the result needs more than 38 digits or leaves the range. */
must_use int decimal_add(const struct decimal *a, const struct decimal *b, struct decimal *ret_sum,
	enum decimal_error *ret_error);
must_use int decimal_subtract(const struct decimal *a, const struct decimal *b,
	struct decimal *ret_difference, enum decimal_error *ret_error);

/*
 * The stored form: memcmp order is numeric order, and no encoding is a prefix of another, so other
 * key parts may follow. Format, for ever:
 *     zero      80
 *     positive  81, exponent of the leading digit + 130, digit pairs
 *     negative  7f, then the bytes of the positive form behind its first, complemented
 * A digit pair P is one byte, 2P + 1 while more follow and 2P for the last; an odd digit count is
 * filled with a 0 on the right. `bytes` has DECIMAL_ENCODED_MAX; the length is returned.
 */
size_t decimal_encode(const struct decimal *d, uint8_t *bytes);
/* Takes one encoded decimal from the front of *in: ERR_CORRUPT, *in untouched, if it is none. */
must_use int decimal_decode(str *in, struct decimal *ret_value);
/* Length of the encoding at the front of `in`, without decoding it; ERR_CORRUPT. */
must_use int decimal_encoded_bytes(str in);

#endif
