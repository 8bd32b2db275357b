/*
 * How many invocations may run at a time: of an account in a region, of a function that has
 * concurrency reserved; and how fast a function may get new instances. Only counting: who waits for
 * what is the scheduler's.
 *
 *     unreserved   a function without a reservation shares what the account has beyond all
 *                  reservations
 *     reserved     a function with one has exactly that, whatever the others do; 0 stops it
 *     provisioned  a run on an instance that is kept ready was counted when it was provisioned
 *
 * A new instance on demand takes a token of its function: the bucket holds as many as may start at
 * once and fills as fast in ten seconds.
 *
 * Threading: any thread. Counters are atomic; the tables have a lock, never held over a suspension.
 *
 * Source: Developer Guide, "Understanding Lambda function scaling", "Lambda scaling behavior".
 */
#ifndef SERVICES_LAMBDA_QUOTA_H
#define SERVICES_LAMBDA_QUOTA_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct quota;       /* of a function, all its versions together */
struct quota_books; /* all of them */

enum { QUOTA_UNRESERVED = UINT32_MAX };

struct quota_options {
	unsigned account_max; /* per account and region */
	unsigned burst;       /* new instances of a function in 10 s; 0: no limit */
};

struct quota_books *quota_books_new(const struct quota_options *options);
void quota_books_free(struct quota_books *b);

/* The function's, referenced. */
struct quota *quota_get(struct quota_books *b, str account, str region, str name);
void quota_put(struct quota *q);
/* The function's reservation is (now) this; harmless when nothing has changed. */
void quota_reserve(struct quota *q, uint32_t reserved);
/* Instances kept ready for the function, in all. */
void quota_provision(struct quota *q, int change);

/* Where a run was counted. */
enum quota_place { QUOTA_NOWHERE, QUOTA_ACCOUNT, QUOTA_FUNCTION };

enum quota_answer {
	QUOTA_OK,
	QUOTA_ACCOUNT_FULL,
	QUOTA_FUNCTION_FULL, /* its reservation is used up */
};

/* Counts a run; given back once with quota_leave(). */
enum quota_answer quota_enter(struct quota *q, enum quota_place *ret_place);
void quota_leave(struct quota *q, enum quota_place place);
/* A token for a new instance, at this time (monotonic ns). False: it grows too fast. */
bool quota_grow(struct quota *q, int64_t now_ns);
/* Is this the first question of the second (any clock)? */
bool quota_first_of_second(struct quota *q, int64_t second);
/* Of the function's account and region. */
struct quota_account {
	unsigned running;    /* in all */
	unsigned unreserved; /* of functions without a reservation, on demand */
	unsigned claimed;    /* what is not to be had on demand: those, and what is set apart */
};
void quota_account(const struct quota *q, struct quota_account *ret);
/* Runs of the function, wherever they were counted. */
unsigned quota_running(const struct quota *q);

#endif
