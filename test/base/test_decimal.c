/*
 * Decimals: the tables in test/base/decimal/, and the encoding's order against comparison.
 */
#include "base/decimal.h"

#include "base/random.h"
#include "base/rc.h"
#include "test/test_table.h"

#include <stdio.h>

static str error_text(enum decimal_error error)
{
	static const char *const text[] = {"ok", "syntax", "precision", "overflow", "underflow"};

	return str_c(text[error]);
}

static str text_of(struct arena *arena, const struct decimal *d)
{
	char *text = arena_bytes(arena, DECIMAL_TEXT_MAX);

	return str_of(text, decimal_text(d, text));
}

TEST(decimal, parse_table)
{
	struct test_table t;

	for (test_table_open(&t, "test/base/decimal/parse.txt"); test_table_next(&t);) {
		struct decimal d, again = {0};
		enum decimal_error error;
		int rc = decimal_parse(t.field[0], &d, &error);
		uint8_t bytes[DECIMAL_ENCODED_MAX];
		size_t n;
		str in;

		EXPECT_INT(rc, error == DECIMAL_OK       ? 0
			       : error == DECIMAL_SYNTAX ? ERR_SYNTAX
							 : ERR_RANGE);
		if (rc < 0) {
			TABLE_EXPECT_STR(&t, error_text(error), t.field[1]);
			continue;
		}
		TABLE_EXPECT_STR(&t, text_of(&t.arena, &d), t.field[1]);
		n = decimal_encode(&d, bytes);
		in = str_of(bytes, n);
		EXPECT_INT(decimal_encoded_bytes(in), n);
		EXPECT_INT(decimal_decode(&in, &again), 0);
		EXPECT_INT(in.n, 0);
		TABLE_EXPECT_STR(&t, text_of(&t.arena, &again), t.field[1]);
		EXPECT(again.digits == d.digits && again.exponent == d.exponent &&
			again.coefficient == d.coefficient && again.negative == d.negative);
	}
	test_table_close(&t, 80);
}

static str sum_text(struct arena *arena, int rc, enum decimal_error error, const struct decimal *d)
{
	return rc < 0 ? error_text(error) : text_of(arena, d);
}

TEST(decimal, add_table)
{
	struct test_table t;

	for (test_table_open(&t, "test/base/decimal/add.txt"); test_table_next(&t);) {
		struct decimal a, b, sum;
		enum decimal_error error;
		int rc;

		EXPECT_INT(decimal_parse(t.field[0], &a, NULL), 0);
		EXPECT_INT(decimal_parse(t.field[1], &b, NULL), 0);
		rc = decimal_add(&a, &b, &sum, &error);
		TABLE_EXPECT_STR(&t, sum_text(&t.arena, rc, error, &sum), t.field[2]);
		rc = decimal_add(&b, &a, &sum, &error);
		TABLE_EXPECT_STR(&t, sum_text(&t.arena, rc, error, &sum), t.field[2]);
		rc = decimal_subtract(&a, &b, &sum, &error);
		TABLE_EXPECT_STR(&t, sum_text(&t.arena, rc, error, &sum), t.field[3]);
	}
	test_table_close(&t, 20);
}

/* In ascending order: each pair is compared, and its encodings. */
TEST(decimal, order)
{
	static const char *const ascending[] = {"-9.99e125", "-1e125", "-99999", "-100", "-99.9",
		"-99", "-12", "-11.9", "-11", "-10", "-9.5", "-1", "-0.5", "-0.05", "-1e-130", "0",
		"1e-130", "1.1e-130", "0.05", "0.5", "0.51", "0.512", "0.52", "1", "1.2", "1.23",
		"1.234", "1.3", "9", "9.5", "10", "11", "11.9", "12", "99", "99.9", "100", "99999",
		"12345678901234567890123456789012345677", "12345678901234567890123456789012345678",
		"99999999999999999999999999999999999999", "1e38", "1e125", "9.99e125"};
	enum { N = ARRAY_SIZE(ascending) };
	struct decimal d[N];
	uint8_t bytes[N][DECIMAL_ENCODED_MAX];
	str encoded[N];

	for (int i = 0; i < N; i++) {
		ASSERT_INT(decimal_parse(str_c(ascending[i]), &d[i], NULL), 0);
		encoded[i] = str_of(bytes[i], decimal_encode(&d[i], bytes[i]));
	}
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			int want = (i > j) - (i < j), c = str_cmp(encoded[i], encoded[j]);

			EXPECT_INT(decimal_compare(&d[i], &d[j]), want);
			EXPECT_INT((c > 0) - (c < 0), want);
			/* Self-delimiting: none is a prefix of another. */
			EXPECT(i == j || !str_starts(encoded[i], encoded[j]));
		}
}

static struct decimal any(struct random *r)
{
	char text[80];
	int n = 0, digits = (int)random_below(r, 38) + 1;
	struct decimal d = {0};

	text[n++] = random_below(r, 2) ? '-' : '+';
	for (int i = 0; i < digits; i++)
		text[n++] = (char)('0' + random_below(r, 10));
	n += snprintf(text + n, 20, "e%d", (int)random_below(r, 3) * (int)random_below(r, 20) - 20);
	EXPECT_INT(decimal_parse(str_of(text, (size_t)n), &d, NULL), 0);
	return d;
}

TEST(decimal, random_properties)
{
	struct random r;

	random_seed(&r, test_number("SEED", 11));
	for (int i = 0; i < 20000; i++) {
		struct decimal a = any(&r), b = any(&r), sum, back;
		uint8_t x[DECIMAL_ENCODED_MAX], y[DECIMAL_ENCODED_MAX];
		str ea = str_of(x, decimal_encode(&a, x)), eb = str_of(y, decimal_encode(&b, y));
		char text[DECIMAL_TEXT_MAX];
		int c = str_cmp(ea, eb);

		EXPECT_INT(decimal_compare(&a, &b), (c > 0) - (c < 0));
		EXPECT_INT(decimal_parse(str_of(text, decimal_text(&a, text)), &back, NULL), 0);
		EXPECT_INT(decimal_compare(&a, &back), 0);
		EXPECT_INT(decimal_decode(&ea, &back), 0);
		EXPECT_INT(decimal_compare(&a, &back), 0);
		if (decimal_add(&a, &b, &sum, NULL) < 0)
			continue;
		if (decimal_subtract(&sum, &b, &back, NULL) >= 0)
			EXPECT_INT(decimal_compare(&a, &back), 0);
		EXPECT_INT(decimal_compare(&sum, &a), decimal_compare(&b, &(struct decimal){0}));
	}
}

TEST(decimal, integers)
{
	static const int64_t cases[] = {0, 1, -1, 10, 100, 123456, INT64_MAX, INT64_MIN};
	struct decimal d;
	int64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		d = decimal_from_i64(cases[i]);
		v = 1;
		EXPECT_INT(decimal_to_i64(&d, &v), 0);
		EXPECT(v == cases[i]);
	}
	EXPECT_INT(decimal_parse(STR("9223372036854775808"), &d, NULL), 0);
	EXPECT_INT(decimal_to_i64(&d, &v), ERR_RANGE);
	EXPECT_INT(decimal_parse(STR("1e20"), &d, NULL), 0);
	EXPECT_INT(decimal_to_i64(&d, &v), ERR_RANGE);
	EXPECT_INT(decimal_parse(STR("1.5"), &d, NULL), 0);
	EXPECT_INT(decimal_to_i64(&d, &v), ERR_INVALID);
}

TEST(decimal, corrupt)
{
	static const str cases[] = {STR_INIT(""), STR_INIT("\x81"), STR_INIT("\x81\x82"),
		STR_INIT("\x82\x82\x14"), STR_INIT("\x81\x82\x02"), STR_INIT("\x81\x82\x15"),
		STR_INIT("\x81\x82\x15\x00"), STR_INIT("\x81\x82\xc8"), STR_INIT("\x00\x82\x14"),
		STR_INIT("\x81\x82\x15\x15\x15\x15\x15\x15\x15\x15\x15\x15\x15\x15\x15\x15\x15\x15"
			 "\x15\x15\x15\x14")};
	struct decimal d;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		str in = cases[i];

		if (!EXPECT_INT(decimal_decode(&in, &d), ERR_CORRUPT))
			fprintf(stderr, "case %zu\n", i);
		EXPECT(in.p == cases[i].p);
	}
}
