/*
 * Vectors: numbers as floats, entries and back, distances, the nearest ones.
 */
#include "services/dynamodb/vector.h"

#include "base/check.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/throttle.h"
#include "test/services/dynamodb/dynamodb_test.h"
#include "test/services/dynamodb/wire.h"

#include <float.h>
#include <math.h>

static str list_of(struct arena *a, str numbers)
{
	str value,
		item = test_item(a, ARENA_CONCAT(a, STR("{\"e\":{\"L\":["), numbers, STR("]}}")));

	check(item_find(item, STR("e"), &value) == 1);
	return value;
}

TEST(dynamodb_vector, numbers_as_floats)
{
	static const struct {
		str number;
		float is;
	} cases[] = {
		{STR_INIT("0"), 0},
		{STR_INIT("1"), 1},
		{STR_INIT("-0.5"), -0.5f},
		{STR_INIT("0.1"), 0.1f},
		{STR_INIT("0.1234"), 0.1234f},
		{STR_INIT("16777217"), 16777216},
		{STR_INIT("1234567890123456789"), 1234567890123456789.f},
		{STR_INIT("99999999999999999999999999999999999999"), 1e38f},
		{STR_INIT("3.4028234663852886E38"), FLT_MAX},
		{STR_INIT("1.1754943508222875E-38"), FLT_MIN},
		{STR_INIT("1.4E-45"), FLT_TRUE_MIN},
		{STR_INIT("1E-60"), 0},
		{STR_INIT("-1E-130"), -0.f},
	};
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		str list = list_of(
			&a, ARENA_CONCAT(&a, STR("{\"N\":\""), cases[i].number, STR("\"}")));
		size_t element;
		float f = -1;

		EXPECT_INT(vector_read(list, 1, &f, &element), VECTOR_OK);
		if (f != cases[i].is)
			test_fail(__FILE__, __LINE__, "%.*s is %.9g, not %.9g",
				STR_ARG(cases[i].number), (double)f, (double)cases[i].is);
	}
}

TEST(dynamodb_vector, lists_that_are_none)
{
	struct arena a cleanup(arena_done_p);
	float f[3];
	size_t element = 99;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(vector_read(list_of(&a, STR("{\"N\":\"1\"},{\"N\":\"2\"}")), 3, f, &element),
		VECTOR_SIZE);
	EXPECT_INT(element, 2);
	EXPECT_INT(vector_read(list_of(&a, STR("")), 1, f, &element), VECTOR_SIZE);
	EXPECT_INT(element, 0);
	EXPECT_INT(vector_read(list_of(&a, STR("{\"N\":\"1\"},{\"L\":[]}")), 2, f, &element),
		VECTOR_ELEMENT);
	EXPECT_INT(element, 1);
	EXPECT_INT(
		vector_read(list_of(&a, STR("{\"N\":\"1\"},{\"N\":\"-3.5E38\"}")), 2, f, &element),
		VECTOR_RANGE);
	EXPECT_INT(element, 1);
}

TEST(dynamodb_vector, entries_and_back)
{
	static const float vector[] = {0.1f, -2, 1e-20f};
	struct arena a cleanup(arena_done_p);
	str item, floats;
	struct buf entry, shown;

	arena_init(&a, SIZE_MAX);
	buf_init(&entry, &a, ITEM_ENCODED_MAX);
	buf_init(&shown, &a, ITEM_ENCODED_MAX);
	item = test_item(&a, STR("{\"a\":{\"S\":\"x\"},\"e\":{\"L\":[]},\"f\":{\"N\":\"7\"}}"));
	vector_put_entry(&entry, item, STR("e"), vector, 3);
	EXPECT(item_is_valid(buf_str(&entry)));
	/* Names and values: a and x, e and three floats, f and 7. */
	EXPECT_INT(item_size(buf_str(&entry)), 2 + 1 + 12 + 3);
	EXPECT_INT(vector_find(buf_str(&entry), STR("e"), 3, &floats), 1);
	EXPECT(memcmp(floats.p, vector, sizeof vector) == 0);
	EXPECT_INT(vector_find(buf_str(&entry), STR("e"), 2, &floats), 0);
	EXPECT_INT(vector_find(buf_str(&entry), STR("a"), 3, &floats), 0);
	EXPECT_INT(vector_find(buf_str(&entry), STR("z"), 3, &floats), 0);
	vector_put_shown(&shown, buf_str(&entry), STR("e"), true);
	EXPECT_STR(test_item_text(&a, buf_str(&shown)),
		STR("{\"a\":{\"S\":\"x\"},\"e\":{\"L\":[{\"N\":\"0.1\"},{\"N\":\"-2\"},{\"N\":\"0."
		    "00000000000000000001\"}]},\"f\":{\"N\":\"7\"}}"));
	buf_reset(&shown);
	vector_put_shown(&shown, buf_str(&entry), STR("e"), false);
	EXPECT_STR(test_item_text(&a, buf_str(&shown)),
		STR("{\"a\":{\"S\":\"x\"},\"f\":{\"N\":\"7\"}}"));
}

/* ---- distances ---- */

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* The definitions, one element after another. */
static double plain_score(enum vector_distance distance, const float *a, const float *b, uint32_t n)
{
	double product = 0, a2 = 0, b2 = 0, d2 = 0;

	for (uint32_t i = 0; i < n; i++) {
		product += (double)a[i] * b[i];
		a2 += (double)a[i] * a[i];
		b2 += (double)b[i] * b[i];
		d2 += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
	}
	return distance == VECTOR_COSINE        ? 1 - product / sqrt(a2) / sqrt(b2)
	       : distance == VECTOR_DOT_PRODUCT ? product
						: sqrt(d2);
}

/* All numbers of dimensions around the vector units, stored at any address. */
TEST(dynamodb_vector, distances_are_their_definitions)
{
	float a[40], b[40];
	char stored[sizeof b + 16];
	uint32_t state = 1;

	for (uint32_t n = 1; n <= ARRAY_SIZE(a); n++)
		for (int kind = VECTOR_COSINE; kind <= VECTOR_EUCLIDEAN; kind++) {
			size_t offset = next(&state) % 16;
			double is, plain;

			for (uint32_t i = 0; i < n; i++) {
				a[i] = (float)next(&state) / 4096 - 2048;
				b[i] = (float)next(&state) / 4096 - 2048;
			}
			memcpy(stored + offset, b, n * sizeof *b);
			is = vector_score((enum vector_distance)kind, a,
				str_of(stored + offset, n * sizeof *b), n);
			plain = plain_score((enum vector_distance)kind, a, b, n);
			if (fabs(is - plain) > 1e-9 * fmax(1, fabs(plain)))
				test_fail(__FILE__, __LINE__, "%u dimensions, distance %d: %g, %g",
					n, kind, is, plain);
		}
}

TEST(dynamodb_vector, distances_at_their_ends)
{
	static const float a[] = {3e38f, 3e38f, 3e38f}, b[] = {-3e38f, -3e38f, -3e38f},
			   zero[] = {0, 0, 0}, c[] = {0.1f, 0.7f, 0.3f};
	str bytes = str_of((const char *)b, sizeof b);

	EXPECT(vector_score(VECTOR_COSINE, a, bytes, 3) == 2);
	EXPECT(vector_score(VECTOR_COSINE, b, bytes, 3) == 0);
	EXPECT(vector_score(VECTOR_COSINE, zero, bytes, 3) == 1);
	EXPECT(vector_score(VECTOR_COSINE, c, str_of((const char *)c, sizeof c), 3) == 0);
	EXPECT(isfinite(vector_score(VECTOR_DOT_PRODUCT, a, bytes, 3)));
	EXPECT(isfinite(vector_score(VECTOR_EUCLIDEAN, a, bytes, 3)));
	EXPECT(vector_score(VECTOR_EUCLIDEAN, b, bytes, 3) == 0);
}

/* ---- the nearest ---- */

/* Takes `n` scores (few different ones), and compares with looking at all of them. */
static void expect_nearest(enum vector_distance distance, unsigned k, unsigned n, uint32_t seed)
{
	double scores[300], kept[VECTOR_TOP_MAX];
	unsigned from[VECTOR_TOP_MAX] = {0}; /* what the slots keep */
	bool used[300] = {false};
	struct vector_top top;

	check(n <= ARRAY_SIZE(scores));
	vector_top_init(&top, distance, k);
	for (unsigned i = 0; i < n; i++) {
		unsigned slot;

		scores[i] = (double)(next(&seed) % 50) - 25;
		if (!vector_top_take(&top, scores[i], &slot))
			continue;
		check(slot < k);
		from[slot] = i;
		kept[slot] = scores[i];
	}
	vector_top_sort(&top);
	EXPECT_INT(top.n, MIN(k, n));
	for (unsigned h = 0; h < top.n; h++) {
		unsigned best = n;

		for (unsigned i = 0; i < n; i++) {
			bool nearer = best == n ||
				      (distance == VECTOR_DOT_PRODUCT ? scores[i] > scores[best]
								      : scores[i] < scores[best]);

			if (!used[i] && nearer)
				best = i;
		}
		used[best] = true;
		EXPECT_INT(from[top.hits[h].slot], best);
		EXPECT(top.hits[h].score == scores[best] && kept[top.hits[h].slot] == scores[best]);
	}
}

TEST(dynamodb_vector, the_nearest_are_kept)
{
	static const unsigned ks[] = {1, 2, 3, 10, 99, 100};
	static const unsigned ns[] = {0, 1, 2, 5, 100, 300};

	for (unsigned i = 0; i < ARRAY_SIZE(ks); i++)
		for (unsigned k = 0; k < ARRAY_SIZE(ns); k++)
			for (uint32_t seed = 0; seed < 5; seed++) {
				expect_nearest(VECTOR_COSINE, ks[i], ns[k], seed);
				expect_nearest(VECTOR_DOT_PRODUCT, ks[i], ns[k], seed);
			}
}

/* ---- throughput ---- */

#define SEARCH(c)                                                                        \
	STR("{\"TableName\":\"tab\",\"IndexName\":\"vec\",\"TopK\":1,"                   \
	    "\"SearchVector\":[{\"N\":\"1\"}],\"SearchConditionExpression\":\"c = :c\"," \
	    "\"ExpressionAttributeValues\":{\":c\":{\"S\":\"" c "\"}}}")

static void searches_in_world(struct ddb *w)
{
	struct table *t = NULL;
	struct write_part part = {.bytes = 1 << 29};
	struct throttle_use use = {
		.kind = THROTTLE_READ, .factor = 1, .parts = &part, .part_count = 1};
	struct buf value;
	struct arena a;
	str answer;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable",
		STR("{\"TableName\":\"tab\",\"AttributeDefinitions\":[{\"AttributeName\":\"p\","
		    "\"AttributeType\":\"S\"},{\"AttributeName\":\"c\",\"AttributeType\":\"S\"}],"
		    "\"KeySchema\":[{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"}],"
		    "\"BillingMode\":\"PAY_PER_REQUEST\",\"VectorIndexes\":[{\"IndexName\":\"vec\","
		    "\"VectorAttribute\":{\"AttributeName\":\"e\"},\"SearchSchema\":[{"
		    "\"AttributeName\":\"c\",\"SearchSchemaElementType\":\"HASH\"}],"
		    "\"Projection\":{\"ProjectionType\":\"ALL\"},\"Dimensions\":1,"
		    "\"DistanceFunction\":\"EUCLIDEAN\"}]}"));
	check(rt_sleep_until(rt_after_ms(2000)) == 0);
	check(catalog_find(w->dynamodb->catalog, STR("000000000000"), STR("us-east-1"), STR("tab"),
		      &t) == 1);
	use.table = t;
	buf_init(&value, &a, 64);
	attr_put_bytes(&value, ATTR_S, STR("hot"));
	part.partition = str_hash(buf_str(&value));
	/* Half of what a second has, and all of it. */
	throttle_pay(w->dynamodb->throttle, &use, 1);
	ddb_expect(w, &a, 200, "SearchVectors", SEARCH("hot"));
	throttle_pay(w->dynamodb->throttle, &use, 1);
	answer = ddb_expect(w, &a, 400, "SearchVectors", SEARCH("hot"));
	EXPECT(str_find_str(answer,
		       STR("\"throttlingReasons\":[{\"reason\":"
			   "\"IndexReadKeyRangeThroughputExceeded\","
			   "\"resource\":\"arn:aws:dynamodb:us-east-1:000000000000:table/tab/index/"
			   "vec\"}]")) > 0);
	ddb_expect(w, &a, 200, "SearchVectors", SEARCH("cold"));
	check(rt_sleep_until(rt_after_ms(10)) == 0);
	ddb_expect(w, &a, 200, "SearchVectors", SEARCH("hot"));
	/* A search pays for what it reads: 400 KB each, until a second's bytes are gone. */
	ddb_expect(w, &a, 200, "PutItem",
		arena_printf(&a,
			"{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"1\"},\"c\":{\"S\":"
			"\"hot\"},\"e\":{\"L\":[{\"N\":\"1\"}]},\"t\":{\"S\":\"%0400000d\"}}}",
			1));
	part.bytes = (double)((1 << 30) / 6000 * 50); /* most of what ten ms have given */
	throttle_pay(w->dynamodb->throttle, &use, 1);
	for (int i = 0; i < 10 && str_starts(answer, STR("{")); i++)
		answer = ddb_send(w, &a, STR("SearchVectors"), SEARCH("hot")).body;
	EXPECT(str_find_str(answer, STR("IndexReadKeyRangeThroughputExceeded")) > 0);
	table_unref(t);
	arena_done(&a);
}

TEST(dynamodb_vector, searches_are_throttled)
{
	ddb_run_throttled(1, searches_in_world, NULL);
}
