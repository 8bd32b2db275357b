/*
 * IAM and STS by tables of requests and whole answers: test/services/iam/<table>.txt,
 * test/services/sts/<table>.txt. Each line: who, parameters, status, the result (or "Code:
 * message"); lines build on those before.
 * WIRE_PRINT=1 prints the answers in the tables' form instead of comparing them.
 */
#include "base/check.h"
#include "rt/rt.h"
#include "test/services/iam/wire.h"
#include "test/test_table.h"

#include <stdio.h>
#include <stdlib.h>

static void run_lines(struct wire *w, const char *path, unsigned cases_min)
{
	struct test_table t;

	for (test_table_open(&t, path); test_table_next(&t);) {
		cleanup(arena_done_p) struct arena a;
		struct wire_answer answer;
		uint64_t status = 0;

		arena_init(&a, 8 * 1024 * 1024);
		if (str_eq(t.field[0], STR("clock"))) {
			check(str_to_u64(t.field[1], 1000000, &status) == 0);
			wire_clock_add((int64_t)status * 1000);
			continue;
		}
		if (str_to_u64(t.field[2], 999, &status) < 0) {
			test_fail(path, t.line, "no status");
			continue;
		}
		wire_call(w, &a, arena_c(&a, t.field[0]), arena_c(&a, t.field[1]), &answer);
		if (getenv("WIRE_PRINT")) {
			printf("%.*s\t%.*s\t%u\t%.*s\n", STR_ARG(t.field[0]), STR_ARG(t.field[1]),
				answer.status, STR_ARG(answer.text));
			continue;
		}
		if (answer.status != status)
			test_fail(path, t.line, "%.*s: status is %u, not %u", STR_ARG(t.field[1]),
				answer.status, (unsigned)status);
		if (!str_eq(answer.text, t.field[3].p ? t.field[3] : STR("")))
			test_fail(path, t.line, "%.*s\n\tis   %.*s\n\twant %.*s",
				STR_ARG(t.field[1]), STR_ARG(answer.text), STR_ARG(t.field[3]));
	}
	test_table_close(&t, cases_min);
}

static void run_table(const char *path, unsigned cases_min)
{
	struct wire w;

	wire_init(&w, GATE_OPEN);
	run_lines(&w, path, cases_min);
	wire_done(&w);
}

#define TABLE(module, name, cases_min)                                           \
	TEST(module, table_##name)                                               \
	{                                                                        \
		run_table("test/services/" #module "/" #name ".txt", cases_min); \
	}

TABLE(iam, roles, 20)
TABLE(iam, users, 20)
TABLE(iam, policies, 20)
TABLE(iam, inline, 15)
TABLE(iam, attached, 20)
TABLE(iam, boundaries, 12)
TABLE(iam, tags, 15)
TABLE(iam, pages, 15)
TABLE(iam, access, 20)
TABLE(sts, assume_role, 25)

/* The same answers from a store that is slow and lets commits conflict. */
static void run_slowly(void *arg)
{
	static const char *const paths[] = {"iam/roles", "iam/users", "iam/policies", "iam/inline",
		"iam/attached", "iam/boundaries", "iam/tags", "iam/pages", "iam/access",
		"sts/assume_role"};
	struct wire *w = arg;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		cleanup(arena_done_p) struct arena a;

		arena_init(&a, 4096);
		wire_start(&w[i], wire_slow_store(i + 1));
		run_lines(&w[i],
			arena_c(&a, ARENA_CONCAT(&a, STR("test/services/"), str_c(paths[i]),
					    STR(".txt"))),
			1);
		wire_done(&w[i]);
	}
	rt_stop(rt_self());
}

TEST(iam, tables_on_a_slow_store)
{
	struct rt_options options = {.mode = RT_SIMULATED, .seed = 5};
	struct wire w[10];
	struct rt *rt;

	ASSERT_INT(rt_new(&options, &rt), 0);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++)
		wire_new(&w[i], rt, GATE_OPEN);
	EXPECT_INT(rt_run(rt, run_slowly, w), 0);
	rt_free(rt);
}
