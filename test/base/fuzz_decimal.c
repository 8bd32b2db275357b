/*
 * Decimals: text and encoding round trips, two numbers' order and sum, and decoding of any bytes.
 */
#include "base/check.h"
#include "base/decimal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void decode_any(str in)
{
	uint8_t bytes[DECIMAL_ENCODED_MAX];
	struct decimal d;
	str at = in;

	if (decimal_decode(&at, &d) < 0)
		return;
	check(decimal_encode(&d, bytes) == in.n - at.n);
	check(memcmp(bytes, in.p, in.n - at.n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t x[DECIMAL_ENCODED_MAX], y[DECIMAL_ENCODED_MAX];
	str in = str_of(data, n), left;
	struct decimal a, b, sum, back;
	char text[DECIMAL_TEXT_MAX];
	int c;

	decode_any(in);
	if (!str_split(&in, ' ', &left) || decimal_parse(left, &a, NULL) < 0)
		return 0;
	check(decimal_parse(str_of(text, decimal_text(&a, text)), &back, NULL) == 0);
	check(decimal_compare(&a, &back) == 0);
	decode_any(str_of(x, decimal_encode(&a, x)));
	if (decimal_parse(in, &b, NULL) < 0)
		return 0;
	c = str_cmp(str_of(x, decimal_encode(&a, x)), str_of(y, decimal_encode(&b, y)));
	check(decimal_compare(&a, &b) == (c > 0) - (c < 0));
	if (decimal_add(&a, &b, &sum, NULL) < 0)
		return 0;
	check(sum.digits <= DECIMAL_DIGITS_MAX);
	if (decimal_subtract(&sum, &b, &back, NULL) >= 0)
		check(decimal_compare(&a, &back) == 0);
	return 0;
}
