/*
 * Test cases kept as files (STYLE 29): one case a line, fields separated by tabs (several count as
 * one, so that columns can be aligned), "# " starts a comment line. In a field %XX stands for a
 * byte, so cases can hold anything.
 *
 *     struct test_table t;
 *     for (test_table_open(&t, "test/base/json/accept.txt"); test_table_next(&t);)
 *             TABLE_EXPECT_STR(&t, parse(t.field[0]), t.field[1]);
 *     test_table_close(&t, 40);
 */
#ifndef TEST_TEST_TABLE_H
#define TEST_TEST_TABLE_H

#include "base/arena.h"
#include "test/test.h"

enum { TEST_TABLE_FIELDS = 8 };

struct test_table {
	const char *path;
	struct arena arena;
	str rest;
	int line;
	unsigned cases, fields;
	str field[TEST_TABLE_FIELDS]; /* STR_NULL behind the last */
};

/* `path` from the root of the sources. A missing file fails the test. */
void test_table_open(struct test_table *t, const char *path);
bool test_table_next(struct test_table *t);
/* Fails when there were fewer cases than `cases_min`: a table cannot shrink unnoticed. */
void test_table_close(struct test_table *t, unsigned cases_min);

#define TABLE_EXPECT_STR(t, a, b)                                                            \
	({                                                                                   \
		str test_a_ = (a), test_b_ = (b);                                            \
		if (!str_eq(test_a_, test_b_))                                               \
			test_fail((t)->path, (t)->line, "%.*s\n\tis   %.*s\n\twant %.*s",    \
				STR_ARG((t)->field[0]), STR_ARG(test_a_), STR_ARG(test_b_)); \
		str_eq(test_a_, test_b_);                                                    \
	})

#endif
