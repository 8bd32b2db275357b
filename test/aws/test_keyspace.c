/*
 * Keys sort by their parts, come back whole, and prefixes end where they should.
 */
#include "aws/keyspace.h"
#include "test/test.h"

static str key_of(struct arena *a, str first, str second)
{
	struct buf b;

	buf_init(&b, a, KEYSPACE_KEY_MAX);
	keyspace_begin(&b, KEYSPACE_IAM, first, second);
	return buf_str(&b);
}

TEST(keyspace, order_and_round_trip)
{
	static const str parts[] = {STR_INIT(""), STR_INIT("\0"), STR_INIT("\0\0"),
		STR_INIT("\0\1"), STR_INIT("\0\xff"), STR_INIT("\1"), STR_INIT("a"),
		STR_INIT("a\0b"), STR_INIT("a\1"), STR_INIT("ab"), STR_INIT("b"), STR_INIT("\xff"),
		STR_INIT("\xff\0")};
	struct arena a;

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(parts); j++) {
			str x = key_of(&a, parts[i], STR("z")), y = key_of(&a, parts[j], STR("a"));

			if (i != j)
				EXPECT((str_cmp(x, y) < 0) == (i < j));
		}
		str key = str_from(key_of(&a, parts[i], STR("r")), 1), part;

		ASSERT(keyspace_take(&a, &key, &part));
		EXPECT_STR(part, parts[i]);
		ASSERT(keyspace_take(&a, &key, &part));
		EXPECT_STR(part, STR("r"));
		EXPECT(!keyspace_take(&a, &key, &part));
	}
	EXPECT_STR(keyspace_prefix_end(&a, STR("ab\xff")), STR("ac"));
	arena_done(&a);
}
