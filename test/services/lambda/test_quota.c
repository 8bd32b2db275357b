/*
 * Counting of concurrency: every rule of quota.h on its own.
 */
#include "services/lambda/quota.h"
#include "test/test.h"

static unsigned enter_all(struct quota *q, enum quota_answer *ret_last)
{
	enum quota_place place;
	unsigned n = 0;

	while ((*ret_last = quota_enter(q, &place)) == QUOTA_OK && n < 10000)
		n++;
	return n;
}

static void leave(struct quota *q, enum quota_place place, unsigned n)
{
	while (n--)
		quota_leave(q, place);
}

TEST(lambda_quota, account_and_reservation)
{
	struct quota_options options = {.account_max = 10};
	struct quota_books *b = quota_books_new(&options);
	struct quota *one = quota_get(b, STR("1"), STR("r"), STR("one"));
	struct quota *two = quota_get(b, STR("1"), STR("r"), STR("two"));
	struct quota *far = quota_get(b, STR("1"), STR("q"), STR("one"));
	enum quota_answer last;

	EXPECT_INT(enter_all(one, &last), 10);
	EXPECT_INT(last, QUOTA_ACCOUNT_FULL);
	EXPECT_INT(enter_all(two, &last), 0);
	EXPECT_INT(enter_all(far, &last), 10); /* another region */
	leave(one, QUOTA_ACCOUNT, 10);
	/* Three for itself, and seven for the others. */
	quota_reserve(two, 3);
	EXPECT_INT(enter_all(one, &last), 7);
	EXPECT_INT(last, QUOTA_ACCOUNT_FULL);
	EXPECT_INT(enter_all(two, &last), 3);
	EXPECT_INT(last, QUOTA_FUNCTION_FULL);
	EXPECT_INT(quota_running(two), 3);
	leave(two, QUOTA_FUNCTION, 3);
	leave(one, QUOTA_ACCOUNT, 7);
	quota_reserve(two, 0);
	EXPECT_INT(enter_all(two, &last), 0);
	EXPECT_INT(last, QUOTA_FUNCTION_FULL);
	EXPECT_INT(enter_all(one, &last), 10);
	/* The reservation goes while runs of its time are in progress. */
	leave(one, QUOTA_ACCOUNT, 10);
	quota_reserve(two, 5);
	EXPECT_INT(enter_all(two, &last), 5);
	quota_reserve(two, QUOTA_UNRESERVED);
	EXPECT_INT(enter_all(one, &last), 10);
	leave(two, QUOTA_FUNCTION, 5);
	leave(one, QUOTA_ACCOUNT, 10);
	EXPECT_INT(enter_all(two, &last), 10);
	leave(two, QUOTA_ACCOUNT, 10);
	EXPECT_INT(quota_running(two), 0);
	quota_put(one);
	quota_put(two);
	quota_put(far);
	quota_books_free(b);
}

/* Provisioned concurrency is taken from the account when it is provisioned, used or not. */
TEST(lambda_quota, provisioned)
{
	struct quota_options options = {.account_max = 10};
	struct quota_books *b = quota_books_new(&options);
	struct quota *one = quota_get(b, STR("1"), STR("r"), STR("one"));
	struct quota *two = quota_get(b, STR("1"), STR("r"), STR("two"));
	enum quota_answer last;

	quota_provision(one, 4);
	EXPECT_INT(enter_all(two, &last), 6);
	EXPECT_INT(enter_all(one, &last), 4);
	leave(two, QUOTA_ACCOUNT, 6);
	EXPECT_INT(enter_all(one, &last), 6); /* beyond what is provisioned: the account's */
	quota_put(two);
	quota_put(one);
	one = quota_get(b, STR("1"), STR("r"), STR("one"));
	EXPECT_INT(quota_running(one), 10); /* what is set apart is not forgotten */
	quota_provision(one, -4);
	quota_put(one);
	quota_books_free(b);
}

TEST(lambda_quota, burst)
{
	struct quota_options options = {.account_max = 10, .burst = 1000};
	struct quota_books *b = quota_books_new(&options);
	struct quota *q = quota_get(b, STR("1"), STR("r"), STR("one"));
	const int64_t second = 1000000000;
	int64_t now = 50 * second;
	unsigned n = 0;

	while (quota_grow(q, now))
		n++;
	EXPECT_INT(n, 1000);
	EXPECT(!quota_grow(q, now + 9999999));
	for (n = 0; quota_grow(q, now + second); n++)
		;
	EXPECT_INT(n, 100);
	for (n = 0; quota_grow(q, now + 1000 * second); n++)
		;
	EXPECT_INT(n, 1000);
	quota_put(q);
	quota_books_free(b);
}
