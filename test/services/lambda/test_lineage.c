/*
 * The Lineage field: counted per function, whatever else the header holds.
 */
#include "base/buf.h"
#include "services/lambda/lineage.h"
#include "test/test.h"

#define F "arn:aws:lambda:us-east-1:000000000000:function:f"
#define G "arn:aws:lambda:us-east-1:000000000000:function:g"

TEST(lambda_lineage, counts)
{
	struct arena a cleanup(arena_done_p) = {0};
	str trace = STR_NULL, root = STR("Root=1-2-3;Parent=4;Sampled=1");
	unsigned n;

	arena_init(&a, SIZE_MAX);
	for (unsigned i = 1; i <= 20; i++) {
		EXPECT_INT(lineage_step(&a, trace, STR(F), &trace), i);
		EXPECT_INT(lineage_step(&a, trace, STR(G), &trace), i);
	}
	EXPECT_INT(lineage_step(&a, root, STR(F), &trace), 1);
	EXPECT(str_starts(trace, STR("Root=1-2-3;Parent=4;Sampled=1;Lineage=")));
	EXPECT(str_ends(trace, STR(":1")));
	/* The field may stand anywhere; the rest stays. */
	trace = ARENA_CONCAT(&a, str_from(trace, root.n + 1), STR(";Root=1-2-3"));
	EXPECT_INT(lineage_step(&a, trace, STR(F), &trace), 2);
	EXPECT(str_starts(trace, STR("Root=1-2-3;Lineage=")));
	for (n = 0; n < 300; n++)
		(void)lineage_step(&a, trace, STR(F), &trace);
	EXPECT_INT(lineage_step(&a, trace, STR(F), &trace), 255);
}

TEST(lambda_lineage, hostile)
{
	static const char *const odd[] = {"", ";", ";;;", "Lineage=", "Lineage=|||",
		"Lineage=:", "Lineage=12345678", "Lineage=12345678:", "Lineage=12345678:-1",
		"Lineage=12345678:99999999999999999999", "Lineage=1:fc3b4ff1:0", "=;=;Lineage",
		"Lineage=a|Lineage=b"};
	struct arena a cleanup(arena_done_p) = {0};
	struct buf b;
	str trace;

	arena_init(&a, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		EXPECT_INT(lineage_step(&a, str_c(odd[i]), STR(F), &trace), 1);
		EXPECT(str_ends(trace, STR(":1")));
	}
	/* Long ones are cut; of many functions the first are forgotten. */
	buf_init(&b, &a, 100000);
	buf_put(&b, STR("Lineage="));
	for (int i = 0; i < 5000; i++)
		buf_printf(&b, "%08x:7|", i);
	EXPECT_INT(lineage_step(&a, buf_str(&b), STR(F), &trace), 1);
	EXPECT(trace.n < 4096);
	EXPECT(str_find_str(trace, STR("00000000:7")) < 0);
	EXPECT(str_find_str(trace, STR("0000001f:7")) > 0);
}
