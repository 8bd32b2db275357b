/*
 * Timers of a loop: a binary heap of (time, timer). Setting a queued timer to a later time, or to
 * RT_NEVER, only changes the timer; the entry is looked at again when its old time comes. So the
 * time-outs of a busy connection or fiber, which are set again and again and hardly ever fire, cost
 * a store.
 */
#include "rt/internal.h"

static void place(struct rt_loop *l, size_t i, struct rt_heap_entry e)
{
	l->heap[i] = e;
	e.timer->place = i + 1;
	e.timer->queued_at = e.at;
}

static void sift_up(struct rt_loop *l, size_t i, struct rt_heap_entry e)
{
	while (i && l->heap[(i - 1) / 2].at > e.at) {
		place(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(l, i, e);
}

static void sift_down(struct rt_loop *l, size_t i, struct rt_heap_entry e)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= l->heap_count)
			break;
		if (child + 1 < l->heap_count && l->heap[child + 1].at < l->heap[child].at)
			child++;
		if (l->heap[child].at >= e.at)
			break;
		place(l, i, l->heap[child]);
		i = child;
	}
	place(l, i, e);
}

static void heap_remove(struct rt_loop *l, struct rt_timer *t)
{
	size_t i = t->place - 1;
	struct rt_heap_entry last = l->heap[--l->heap_count];

	t->place = 0;
	if (i == l->heap_count)
		return;
	if (i && l->heap[(i - 1) / 2].at > last.at)
		sift_up(l, i, last);
	else
		sift_down(l, i, last);
}

void timer_set_on(struct rt_loop *l, struct rt_timer *t, int64_t deadline)
{
	t->deadline = deadline;
	if (t->place ? deadline >= t->queued_at : deadline == RT_NEVER)
		return;
	if (!t->place) {
		if (l->heap_count == l->heap_capacity) {
			l->heap_capacity = MAX(l->heap_capacity * 2, (size_t)64);
			l->heap = mem_realloc(l->heap, l->heap_capacity * sizeof *l->heap);
		}
		sift_up(l, l->heap_count++, (struct rt_heap_entry){deadline, t});
	} else {
		sift_up(l, t->place - 1, (struct rt_heap_entry){deadline, t});
	}
}

void timer_stop_on(struct rt_loop *l, struct rt_timer *t)
{
	t->deadline = RT_NEVER;
	if (t->place)
		heap_remove(l, t);
}

size_t timers_run(struct rt_loop *l, int64_t now, size_t max)
{
	size_t n = 0;

	for (; n < max && l->heap_count && l->heap[0].at <= now; n++) {
		struct rt_timer *t = l->heap[0].timer;

		if (t->deadline <= now) {
			heap_remove(l, t);
			t->deadline = RT_NEVER;
			t->fn(t);
		} else if (t->deadline == RT_NEVER) {
			heap_remove(l, t);
		} else {
			sift_down(l, 0, (struct rt_heap_entry){t->deadline, t});
		}
	}
	return n;
}

void rt_timer_init(struct rt_timer *t, void (*fn)(struct rt_timer *timer))
{
	*t = (struct rt_timer){.deadline = RT_NEVER, .fn = fn};
}

void rt_timer_set(struct rt_timer *t, int64_t deadline)
{
	timer_set_on(loop_here(), t, deadline);
}

void rt_timer_stop(struct rt_timer *t)
{
	if (t->place || t->deadline != RT_NEVER)
		timer_stop_on(loop_here(), t);
}
