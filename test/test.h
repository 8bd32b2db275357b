/*
 * The unit-test harness: TEST(module, name) { ... } registers itself; EXPECT* record a failure and
 * go on, ASSERT* return from the test. One program (build/<kind>/unit) runs all, or those whose
 * "module.name" starts with one of its arguments.
 */
#ifndef TEST_TEST_H
#define TEST_TEST_H

#include "base/str.h"

#include <stdbool.h>

struct test_case {
	const char *module, *name;
	void (*run)(void);
	struct test_case *next;
};

void test_register(struct test_case *t);
void test_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Failures of the running test so far. */
unsigned test_failures(void);
/* A fresh, empty folder for this test; removed at the end of the run. Never NULL. */
const char *test_folder(void);
/* Number from the environment, e.g. rounds of a random test: test_number("ROUNDS", 100). */
unsigned long test_number(const char *name, unsigned long otherwise);

#define TEST(module_, name_)                                                                    \
	static void test_##module_##_##name_(void);                                             \
	__attribute__((constructor)) static void test_reg_##module_##_##name_(void)             \
	{                                                                                       \
		static struct test_case t = {#module_, #name_, test_##module_##_##name_, NULL}; \
		test_register(&t);                                                              \
	}                                                                                       \
	static void test_##module_##_##name_(void)

#define EXPECT(cond)                                                \
	({                                                          \
		bool test_ok_ = (cond);                             \
		if (!test_ok_)                                      \
			test_fail(__FILE__, __LINE__, "%s", #cond); \
		test_ok_;                                           \
	})
#define EXPECT_INT(a, b)                                                                           \
	({                                                                                         \
		long long test_a_ = (long long)(a), test_b_ = (long long)(b);                      \
		if (test_a_ != test_b_)                                                            \
			test_fail(                                                                 \
				__FILE__, __LINE__, "%s is %lld, not %lld", #a, test_a_, test_b_); \
		test_a_ == test_b_;                                                                \
	})
#define EXPECT_STR(a, b)                                                                  \
	({                                                                                \
		str test_a_ = (a), test_b_ = (b);                                         \
		if (!str_eq(test_a_, test_b_))                                            \
			test_fail(__FILE__, __LINE__, "%s is \"%.*s\", not \"%.*s\"", #a, \
				STR_ARG(test_a_), STR_ARG(test_b_));                      \
		str_eq(test_a_, test_b_);                                                 \
	})
#define ASSERT(cond)               \
	do {                       \
		if (!EXPECT(cond)) \
			return;    \
	} while (0)
#define ASSERT_INT(a, b)               \
	do {                           \
		if (!EXPECT_INT(a, b)) \
			return;        \
	} while (0)
#define ASSERT_STR(a, b)               \
	do {                           \
		if (!EXPECT_STR(a, b)) \
			return;        \
	} while (0)

#endif
