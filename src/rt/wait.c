/*
 * What fibers wait in: events (set from any thread), wait queues and channels (of one loop).
 */
#include "rt/internal.h"

/* --- events --------------------------------------------------------------------------------- */

enum { EVENT_CLEAR = 0, EVENT_SET = 1 };

void rt_event_set(struct rt_event *e)
{
	uintptr_t old = atomic_exchange(&e->state, EVENT_SET);

	/* From here on the event may be gone; the fiber is there until it was woken. */
	if (old > EVENT_SET)
		fiber_wake_anywhere((struct rt_fiber *)old);
}

static bool event_abandon(struct rt_fiber *f)
{
	struct rt_event *e = f->waits_in;
	uintptr_t expected = (uintptr_t)f;

	return atomic_compare_exchange_strong(&e->state, &expected, EVENT_CLEAR);
}

static bool event_take(struct rt_event *e, struct rt_fiber *f)
{
	uintptr_t expected = EVENT_CLEAR;

	if (atomic_compare_exchange_strong(&e->state, &expected, (uintptr_t)f))
		return false;
	check(expected == EVENT_SET); /* one waiter at a time */
	atomic_exchange(&e->state, EVENT_CLEAR);
	return true;
}

int rt_event_wait(struct rt_event *e, int64_t deadline)
{
	struct rt_fiber *f = fiber_here();
	int rc;

	if (f->cancelled) {
		uintptr_t set = EVENT_SET;

		return atomic_compare_exchange_strong(&e->state, &set, EVENT_CLEAR) ? 0
										    : ERR_CANCELLED;
	}
	if (event_take(e, f))
		return 0;
	rc = fiber_wait(f, deadline, event_abandon, e);
	if (rc == 0)
		atomic_exchange(&e->state, EVENT_CLEAR);
	return rc;
}

void rt_event_wait_sure(struct rt_event *e)
{
	struct rt_fiber *f = fiber_here();

	if (event_take(e, f))
		return;
	check(fiber_wait(f, RT_NEVER, NULL, e) == 0);
	atomic_exchange(&e->state, EVENT_CLEAR);
}

/* --- wait queues ---------------------------------------------------------------------------- */

void rt_waitq_init(struct rt_waitq *q)
{
	list_init(&q->waiters);
}

static bool waitq_abandon(struct rt_fiber *f)
{
	list_remove(&f->link);
	return true;
}

int rt_waitq_wait(struct rt_waitq *q, int64_t deadline)
{
	struct rt_fiber *f = fiber_here();

	if (f->cancelled)
		return ERR_CANCELLED;
	list_push_back(&q->waiters, &f->link);
	return fiber_wait(f, deadline, waitq_abandon, q);
}

unsigned rt_waitq_wake_one(struct rt_waitq *q)
{
	struct list *first = list_pop_front(&q->waiters);

	if (!first)
		return 0;
	fiber_wake(list_entry(first, struct rt_fiber, link), 0);
	return 1;
}

unsigned rt_waitq_wake_all(struct rt_waitq *q)
{
	unsigned n = 0;

	while (rt_waitq_wake_one(q))
		n++;
	return n;
}

/* --- channels ------------------------------------------------------------------------------- */

void rt_channel_init(struct rt_channel *c, size_t capacity)
{
	check(capacity > 0);
	*c = (struct rt_channel){.capacity = capacity, .items = mem_new_array(void *, capacity)};
	rt_waitq_init(&c->senders);
	rt_waitq_init(&c->receivers);
}

void rt_channel_done(struct rt_channel *c)
{
	if (!c->items)
		return;
	check(rt_waitq_empty(&c->senders) && rt_waitq_empty(&c->receivers));
	mem_free(c->items);
	c->items = NULL;
}

bool rt_channel_try_send(struct rt_channel *c, void *item)
{
	if (c->closed || c->count == c->capacity)
		return false;
	c->items[(c->first + c->count++) % c->capacity] = item;
	rt_waitq_wake_one(&c->receivers);
	return true;
}

int rt_channel_send(struct rt_channel *c, void *item, int64_t deadline)
{
	while (!rt_channel_try_send(c, item)) {
		if (c->closed)
			return ERR_CLOSED;
		TRY(rt_waitq_wait(&c->senders, deadline));
	}
	/* One woken for a place that is still free must not swallow the next one's turn. */
	if (c->count < c->capacity)
		rt_waitq_wake_one(&c->senders);
	return 0;
}

int rt_channel_receive(struct rt_channel *c, int64_t deadline, void **ret_item)
{
	while (!c->count) {
		if (c->closed)
			return ERR_CLOSED;
		TRY(rt_waitq_wait(&c->receivers, deadline));
	}
	*ret_item = c->items[c->first];
	c->first = (c->first + 1) % c->capacity;
	c->count--;
	rt_waitq_wake_one(&c->senders);
	if (c->count)
		rt_waitq_wake_one(&c->receivers);
	return 0;
}

void rt_channel_close(struct rt_channel *c)
{
	c->closed = true;
	rt_waitq_wake_all(&c->senders);
	rt_waitq_wake_all(&c->receivers);
}
