/*
 * Counters of accounts and functions.
 */
#include "services/lambda/quota.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>

#define BURST_NS (INT64_C(10) * 1000000000)

struct account {
	_Atomic unsigned all;      /* runs, wherever they were counted */
	_Atomic unsigned running;  /* of functions without a reservation */
	_Atomic int64_t set_apart; /* reservations, and provisioned beyond them */
	unsigned refs;             /* under the lock */
	str key;
};

struct quota {
	struct quota_books *books;
	struct account *account;
	str key;
	unsigned refs; /* under the lock */
	_Atomic uint32_t reserved;
	_Atomic int provisioned;
	_Atomic unsigned running;
	_Atomic int64_t second; /* the last that was asked about */
	int64_t set_apart;      /* its part of the account's; under the lock */
	/* The time at which its bucket was or will be empty; under the lock. */
	int64_t empty_ns;
};

struct quota_books {
	struct quota_options options;
	pthread_mutex_t lock; /* never held over a suspension */
	struct map functions, accounts;
};

static str key_new(str account, str region, str name)
{
	const str parts[] = {account, STR("/"), region, STR("/"), name};
	size_t n = account.n + region.n + name.n + 2;
	char *text = mem_alloc(n), *at = text;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (parts[i].n)
			memcpy(at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	return str_of(text, n);
}

struct quota_books *quota_books_new(const struct quota_options *options)
{
	struct quota_books *b = mem_new(struct quota_books);

	b->options = *options;
	pthread_mutex_init(&b->lock, NULL);
	return b;
}

/* Under the lock. */
static struct account *account_get(struct quota_books *b, str account, str region)
{
	str key = key_new(account, region, STR(""));
	struct account *a = map_get(&b->accounts, key);

	if (a) {
		mem_free((char *)key.p);
	} else {
		a = mem_new(struct account);
		a->key = key;
		map_put(&b->accounts, a->key, a);
	}
	a->refs++;
	return a;
}

static void account_put(struct quota_books *b, struct account *a)
{
	if (--a->refs > 0)
		return;
	map_remove(&b->accounts, a->key);
	mem_free((char *)a->key.p);
	mem_free(a);
}

struct quota *quota_get(struct quota_books *b, str account, str region, str name)
{
	str key = key_new(account, region, name);
	struct quota *q;

	pthread_mutex_lock(&b->lock);
	q = map_get(&b->functions, key);
	if (q) {
		mem_free((char *)key.p);
	} else {
		q = mem_new(struct quota);
		q->books = b;
		q->key = key;
		q->reserved = QUOTA_UNRESERVED;
		q->account = account_get(b, account, region);
		map_put(&b->functions, q->key, q);
	}
	q->refs++;
	pthread_mutex_unlock(&b->lock);
	return q;
}

static void quota_free(struct quota *q)
{
	struct quota_books *b = q->books;

	map_remove(&b->functions, q->key);
	account_put(b, q->account);
	mem_free((char *)q->key.p);
	mem_free(q);
}

void quota_put(struct quota *q)
{
	struct quota_books *b;

	if (!q)
		return;
	b = q->books;
	pthread_mutex_lock(&b->lock);
	check(q->refs > 0);
	/* One that holds something back from the others is kept. */
	if (--q->refs == 0 && q->set_apart == 0)
		quota_free(q);
	pthread_mutex_unlock(&b->lock);
}

void quota_books_free(struct quota_books *b)
{
	if (!b)
		return;
	map_for_each(slot, &b->functions) {
		struct quota *q = slot->value;

		mem_free((char *)q->key.p);
		mem_free(q);
	}
	map_for_each(slot, &b->accounts) {
		struct account *a = slot->value;

		mem_free((char *)a->key.p);
		mem_free(a);
	}
	map_done(&b->functions);
	map_done(&b->accounts);
	pthread_mutex_destroy(&b->lock);
	mem_free(b);
}

/* What the function keeps from the account's others, after a change. Under the lock. */
static void set_apart(struct quota *q)
{
	int64_t reserved = q->reserved == QUOTA_UNRESERVED ? 0 : (int64_t)q->reserved;
	int64_t now = MAX(reserved, (int64_t)q->provisioned);

	atomic_fetch_add(&q->account->set_apart, now - q->set_apart);
	q->set_apart = now;
}

void quota_reserve(struct quota *q, uint32_t reserved)
{
	if (atomic_load_explicit(&q->reserved, memory_order_relaxed) == reserved)
		return;
	pthread_mutex_lock(&q->books->lock);
	q->reserved = reserved;
	set_apart(q);
	pthread_mutex_unlock(&q->books->lock);
}

void quota_provision(struct quota *q, int change)
{
	pthread_mutex_lock(&q->books->lock);
	q->provisioned += change;
	check(q->provisioned >= 0);
	set_apart(q);
	pthread_mutex_unlock(&q->books->lock);
}

enum quota_answer quota_enter(struct quota *q, enum quota_place *ret_place)
{
	uint32_t reserved = atomic_load_explicit(&q->reserved, memory_order_relaxed);
	unsigned before = atomic_fetch_add_explicit(&q->running, 1, memory_order_relaxed);
	int64_t max;

	atomic_fetch_add_explicit(&q->account->all, 1, memory_order_relaxed);
	if (reserved != QUOTA_UNRESERVED) {
		*ret_place = QUOTA_FUNCTION;
		if (before < reserved)
			return QUOTA_OK;
		quota_leave(q, QUOTA_FUNCTION);
		return QUOTA_FUNCTION_FULL;
	}
	/* What it has provisioned was set apart for it already. */
	if (before < (unsigned)atomic_load_explicit(&q->provisioned, memory_order_relaxed)) {
		*ret_place = QUOTA_FUNCTION;
		return QUOTA_OK;
	}
	max = (int64_t)q->books->options.account_max -
	      atomic_load_explicit(&q->account->set_apart, memory_order_relaxed);
	*ret_place = QUOTA_ACCOUNT;
	if ((int64_t)atomic_fetch_add_explicit(&q->account->running, 1, memory_order_relaxed) < max)
		return QUOTA_OK;
	quota_leave(q, QUOTA_ACCOUNT);
	return QUOTA_ACCOUNT_FULL;
}

void quota_leave(struct quota *q, enum quota_place place)
{
	if (place == QUOTA_NOWHERE)
		return;
	if (place == QUOTA_ACCOUNT)
		atomic_fetch_sub_explicit(&q->account->running, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&q->account->all, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&q->running, 1, memory_order_relaxed);
}

bool quota_grow(struct quota *q, int64_t now_ns)
{
	unsigned burst = q->books->options.burst;
	int64_t each;
	bool ok;

	if (!burst)
		return true;
	each = BURST_NS / burst;
	pthread_mutex_lock(&q->books->lock);
	/* Kept as the time at which the bucket was empty: a full one was 10 s ago. */
	if (q->empty_ns < now_ns - BURST_NS)
		q->empty_ns = now_ns - BURST_NS;
	ok = q->empty_ns + each <= now_ns;
	if (ok)
		q->empty_ns += each;
	pthread_mutex_unlock(&q->books->lock);
	return ok;
}

unsigned quota_running(const struct quota *q)
{
	return atomic_load_explicit(&q->running, memory_order_relaxed);
}

void quota_account(const struct quota *q, struct quota_account *ret)
{
	const struct account *a = q->account;
	int64_t apart = atomic_load_explicit(&a->set_apart, memory_order_relaxed);

	ret->running = atomic_load_explicit(&a->all, memory_order_relaxed);
	ret->unreserved = atomic_load_explicit(&a->running, memory_order_relaxed);
	ret->claimed = ret->unreserved + (unsigned)MAX(apart, INT64_C(0));
}

bool quota_first_of_second(struct quota *q, int64_t second)
{
	return atomic_exchange_explicit(&q->second, second, memory_order_relaxed) != second;
}
