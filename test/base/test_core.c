/*
 * str, buf, arena, map, list and rc: the parts that everything stands on.
 */
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rc.h"
#include "test/test.h"

#include <errno.h>
#include <stdio.h>

TEST(str, compare_and_find)
{
	EXPECT(str_cmp(STR("a"), STR("ab")) < 0);
	EXPECT(str_cmp(STR("b"), STR("ab")) > 0);
	EXPECT(str_eq(STR_NULL, STR("")));
	EXPECT_INT(str_find(STR("a/b/c"), '/'), 1);
	EXPECT_INT(str_find_last(STR("a/b/c"), '/'), 3);
	EXPECT_INT(str_find_str(STR("needle in hay"), STR("in")), 7);
	EXPECT_INT(str_find_str(STR("x"), STR("long")), -1);
	EXPECT_STR(str_trim(STR(" \ta b ")), STR("a b"));
	EXPECT(str_eq_nocase(STR("Content-Length"), STR("content-LENGTH")));
	EXPECT(!str_eq_secret(STR("abc"), STR("abd")));
}

TEST(str, split)
{
	str rest = STR("a,,b"), part;

	ASSERT(str_split(&rest, ',', &part));
	EXPECT_STR(part, STR("a"));
	ASSERT(str_split(&rest, ',', &part));
	EXPECT_STR(part, STR(""));
	ASSERT(str_split(&rest, ',', &part));
	EXPECT_STR(part, STR("b"));
	EXPECT(!str_split(&rest, ',', &part));
}

TEST(str, numbers)
{
	uint64_t u;
	int64_t i;

	EXPECT_INT(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &u), 0);
	EXPECT(u == UINT64_MAX);
	EXPECT_INT(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &u), ERR_RANGE);
	EXPECT_INT(str_to_u64(STR("11"), 10, &u), ERR_RANGE);
	EXPECT_INT(str_to_u64(STR(""), 10, &u), ERR_SYNTAX);
	EXPECT_INT(str_to_u64(STR("1 "), 10, &u), ERR_SYNTAX);
	EXPECT_INT(str_to_i64(STR("-9223372036854775808"), &i), 0);
	EXPECT(i == INT64_MIN);
	EXPECT_INT(str_to_i64(STR("9223372036854775808"), &i), ERR_RANGE);
}

TEST(str, utf8)
{
	EXPECT(str_is_utf8(STR(
		"plain text that is longer than a word \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80")));
	EXPECT(!str_is_utf8(STR("\xc0\xaf")));
	EXPECT(!str_is_utf8(STR("\xed\xa0\x80")));
	EXPECT(!str_is_utf8(STR("\xf4\x90\x80\x80")));
	EXPECT(!str_is_utf8(STR("abc\xe2\x82")));
	EXPECT(!str_is_utf8(STR("\x80")));
}

TEST(buf, maximum_is_kept)
{
	struct buf b;

	buf_init(&b, NULL, 10);
	buf_put(&b, STR("12345"));
	buf_put(&b, STR("678901"));
	EXPECT(b.over);
	EXPECT_STR(buf_str(&b), STR("12345"));
	buf_done(&b);
}

TEST(buf, numbers_round_trip)
{
	struct buf b;
	str in;
	uint64_t v;
	uint16_t small;
	static const uint64_t values[] = {0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX};

	buf_init(&b, NULL, 1000);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		buf_put_varint(&b, values[i]);
		buf_put_be64(&b, values[i]);
	}
	buf_put_be16(&b, 0x1234);
	in = buf_str(&b);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		EXPECT(str_take_varint(&in, &v) && v == values[i]);
		EXPECT(str_take_be64(&in, &v) && v == values[i]);
	}
	EXPECT(str_take_be16(&in, &small) && small == 0x1234);
	EXPECT(!str_take_be16(&in, &small));
	buf_reset(&b);
	buf_put_i64(&b, INT64_MIN);
	EXPECT_STR(buf_str(&b), STR("-9223372036854775808"));
	buf_done(&b);
}

TEST(arena, budget_is_a_mark)
{
	struct arena a;

	arena_init(&a, 100 * 1024);
	for (int i = 0; i < 50; i++)
		memset(arena_alloc(&a, 1000), i, 1000);
	EXPECT(!arena_over(&a));
	memset(arena_alloc(&a, 60000), 1, 60000);
	EXPECT(arena_over(&a));
	EXPECT_STR(arena_printf(&a, "%d-%s", 7, "x"), STR("7-x"));
	EXPECT_STR(ARENA_CONCAT(&a, STR("a"), STR(""), STR("bc")), STR("abc"));
	arena_done(&a);
	EXPECT_INT(a.used_bytes, 0);
}

TEST(arena, alignment)
{
	struct arena a;

	arena_init(&a, 1000000);
	for (size_t n = 1; n < 3000; n += 7) {
		arena_bytes(&a, n);
		EXPECT_INT((uintptr_t)arena_alloc(&a, 1) % 16, 0);
	}
	arena_done(&a);
}

TEST(map, random_against_array)
{
	enum { KEYS = 500 };
	static char names[KEYS][16];
	static void *model[KEYS];
	struct map m = {0};
	unsigned seed = 1;

	for (int i = 0; i < KEYS; i++)
		snprintf(names[i], sizeof names[i], "k%d", i);
	for (int round = 0; round < 20000; round++) {
		unsigned k;

		seed = seed * 1103515245 + 12345;
		k = seed / 65536 % KEYS;
		if (seed / 33 % 3) {
			EXPECT(map_put(&m, str_c(names[k]), &names[k]) == model[k]);
			model[k] = &names[k];
		} else {
			EXPECT(map_remove(&m, str_c(names[k])) == model[k]);
			model[k] = NULL;
		}
	}
	for (int i = 0; i < KEYS; i++)
		EXPECT(map_get(&m, str_c(names[i])) == model[i]);
	map_done(&m);
}

TEST(list, order)
{
	struct list head, a, b, c;

	list_init(&head);
	list_init(&a);
	list_push_back(&head, &b);
	list_push_back(&head, &c);
	list_push_front(&head, &a);
	list_remove(&b);
	EXPECT(list_pop_front(&head) == &a);
	EXPECT(list_pop_front(&head) == &c);
	EXPECT(list_pop_front(&head) == NULL);
}

TEST(rc, names)
{
	EXPECT_STR(str_c(rc_name(ERR_CONFLICT)), STR("ERR_CONFLICT"));
	EXPECT_STR(str_c(rc_name(12345678 - 100000000)), STR("ERR_UNKNOWN"));
	EXPECT_INT(rc_from_errno(ENOSPC), ERR_NO_SPACE);
}
