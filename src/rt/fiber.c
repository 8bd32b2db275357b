/*
 * Fibers: control blocks, guarded stacks, starting, suspending, waking, cancelling.
 *
 * Stacks are mapped with a guard page below and kept last-in first-out; spare ones that were not
 * needed for a while are unmapped (fiber_trim), because each costs two mappings and what it
 * touched. A control block is never freed before the runtime, so a stale pointer to one can be told
 * by its id.
 */
#include "rt/internal.h"

#include <sys/mman.h>
#include <unistd.h>

#if RT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

enum { TRIM_KEEP = 32, TRIM_AT_ONCE = 512 };
#define TRIM_PERIOD_NS RT_NS_S

/* --- the switch, with the sanitizer told ---------------------------------------------------- */

static void asan_leave(void **fake, const void *stack, size_t bytes)
{
#if RT_ASAN
	__sanitizer_start_switch_fiber(fake, stack, bytes);
#else
	(void)fake, (void)stack, (void)bytes;
#endif
}

static void asan_arrive(void *fake, const void **stack, size_t *bytes)
{
#if RT_ASAN
	__sanitizer_finish_switch_fiber(fake, stack, bytes);
#else
	(void)fake, (void)stack, (void)bytes;
#endif
}

/* From a fiber to its loop, until fiber_run() comes back to it. */
static void suspend(struct rt_loop *l, struct rt_fiber *f)
{
	asan_leave(&f->asan_fake_stack, l->asan_stack, l->asan_stack_bytes);
	rt_switch(&f->sp, l->sp);
	asan_arrive(f->asan_fake_stack, &l->asan_stack, &l->asan_stack_bytes);
}

static void fiber_entry(void)
{
	struct rt_loop *l = rt_loop_here;
	struct rt_fiber *f = l->current;

	asan_arrive(NULL, &l->asan_stack, &l->asan_stack_bytes);
	f->fn(f->arg);
	f->state = FIBER_ENDED;
	asan_leave(NULL, l->asan_stack, l->asan_stack_bytes);
	rt_switch(&f->sp, l->sp);
	check_unreachable();
}

/* --- stacks --------------------------------------------------------------------------------- */

static bool stack_map(struct rt_fiber *f, size_t bytes)
{
	size_t guard = (size_t)sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, bytes + guard, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (p == MAP_FAILED)
		return false;
	if (mprotect(p, guard, PROT_NONE) != 0) { /* the limit on the number of mappings */
		munmap(p, bytes + guard);
		return false;
	}
	f->stack = p + guard;
	f->stack_bytes = bytes;
	return true;
}

static void stack_unmap(struct rt_fiber *f)
{
	size_t guard = (size_t)sysconf(_SC_PAGESIZE);

	check(munmap(f->stack - guard, f->stack_bytes + guard) == 0);
	f->stack = NULL;
}

static void fiber_trim(struct rt_timer *t)
{
	struct rt_loop *l = container_of(t, struct rt_loop, trim);
	size_t surplus = l->spare_low > TRIM_KEEP ? (l->spare_low - TRIM_KEEP + 1) / 2 : 0;

	/* The back of the list was not used for longest. */
	for (size_t i = 0; i < MIN(surplus, (size_t)TRIM_AT_ONCE); i++) {
		struct rt_fiber *f = list_entry(l->spare.prev, struct rt_fiber, link);

		list_remove(&f->link);
		stack_unmap(f);
		list_push_front(&l->spare_bare, &f->link);
		l->spare_count--;
	}
	l->spare_low = l->spare_count;
	if (l->spare_count > TRIM_KEEP)
		timer_set_on(l, t, rt_now_coarse() + TRIM_PERIOD_NS);
}

static void fiber_give_back(struct rt_loop *l, struct rt_fiber *f)
{
#if RT_ASAN
	__asan_unpoison_memory_region(f->stack, f->stack_bytes);
#endif
	list_push_front(&l->spare, &f->link);
	f->state = FIBER_SPARE;
	l->spare_count++;
	if (unlikely(l->spare_count > TRIM_KEEP) && l->trim.deadline == RT_NEVER) {
		l->spare_low = l->spare_count;
		timer_set_on(l, &l->trim, l->turn_at + TRIM_PERIOD_NS);
	}
}

/* --- life ----------------------------------------------------------------------------------- */

static void fiber_timer(struct rt_timer *t)
{
	struct rt_fiber *f = container_of(t, struct rt_fiber, timer);

	if (f->state == FIBER_WAITING && f->abandon && f->abandon(f))
		fiber_wake(f, ERR_TIMEOUT);
}

static void fiber_wake_message(struct rt_message *m)
{
	fiber_wake(container_of(m, struct rt_fiber, wake), 0);
}

static struct rt_fiber *fiber_take(struct rt_loop *l)
{
	struct list *spare = list_pop_front(&l->spare);
	struct rt_fiber *f;

	if (likely(spare != NULL)) {
		l->spare_count--;
		l->spare_low = MIN(l->spare_low, l->spare_count);
		return list_entry(spare, struct rt_fiber, link);
	}
	spare = list_pop_front(&l->spare_bare);
	if (spare) {
		f = list_entry(spare, struct rt_fiber, link);
	} else {
		f = mem_new(struct rt_fiber);
		f->loop = l;
		rt_timer_init(&f->timer, fiber_timer);
		f->wake.fn = fiber_wake_message;
		list_init(&f->live);
	}
	list_init(&f->link);
	if (!stack_map(f, l->rt->options.stack_bytes)) {
		list_push_front(&l->spare_bare, &f->link);
		return NULL;
	}
	return f;
}

int fiber_new(struct rt_loop *l, rt_fiber_fn *fn, void *arg, bool reserved, struct rt_fiber **ret)
{
	size_t live =
		reserved ? atomic_load(&l->live_count) - 1 : atomic_fetch_add(&l->live_count, 1);
	struct rt_fiber *f = NULL;
	int rc = 0;

	if (unlikely(!reserved && live >= l->rt->options.fibers_max))
		rc = ERR_BUSY;
	else if (unlikely(!reserved && atomic_load(&l->rt->stopping)))
		rc = ERR_CANCELLED;
	else if (unlikely((f = fiber_take(l)) == NULL))
		rc = ERR_BUSY;
	if (unlikely(rc < 0)) {
		/* What was reserved is given back by the caller. */
		if (!reserved)
			loop_fiber_ended(l);
		rt_count(&l->figures.fibers_refused, 1);
		return rc;
	}
	f->id = ++l->fiber_id_last;
	f->cancelled = l->stop_seen;
	f->label = NULL;
	f->urgent = false;
	f->fn = fn;
	f->arg = arg;
	f->sp = switch_prepare(f->stack, f->stack_bytes, fiber_entry);
	f->asan_fake_stack = NULL;
	list_push_back(&l->live, &f->live);
	rt_count(&l->figures.fibers_started, 1);
	if (live + 1 > atomic_load_explicit(&l->figures.fibers_peak, memory_order_relaxed))
		atomic_store_explicit(&l->figures.fibers_peak, live + 1, memory_order_relaxed);
	*ret = f;
	return 0;
}

void fiber_run(struct rt_loop *l, struct rt_fiber *f)
{
	void *fake = NULL;

	check(l->current == NULL);
	l->current = f;
	l->worked = true;
	f->state = FIBER_RUNNING;
	rt_count(&l->figures.switches, 1);
	asan_leave(&fake, f->stack, f->stack_bytes);
	rt_switch(&l->sp, f->sp);
	asan_arrive(fake, NULL, NULL);
	l->current = NULL;
	if (f->state == FIBER_ENDED) {
		l->urgent_live -= f->urgent;
		rt_timer_set(&f->timer, RT_NEVER);
		f->id = 0;
		f->label = NULL;
		list_remove(&f->live);
		fiber_give_back(l, f);
		loop_fiber_ended(l);
	}
}

static void fiber_make_ready(struct rt_loop *l, struct rt_fiber *f)
{
	f->state = FIBER_READY;
	list_push_back(&l->ready, &f->link);
	l->ready_count++;
}

struct rt_fiber *fiber_next(struct rt_loop *l)
{
	struct list *at = l->ready.next;

	if (!l->ready_count)
		return NULL;
	if (l->rt->options.mode == RT_SIMULATED) {
		size_t skip =
			random_next(l->rt->loops[0].random_state) % MIN(l->ready_count, (size_t)8);

		while (skip--)
			at = at->next;
	}
	list_remove(at);
	l->ready_count--;
	return list_entry(at, struct rt_fiber, link);
}

int rt_spawn(rt_fiber_fn *fn, void *arg)
{
	struct rt_loop *l = loop_here();
	struct rt_fiber *f;

	TRY(fiber_new(l, fn, arg, false, &f));
	fiber_make_ready(l, f);
	return 0;
}

int rt_spawn_now(rt_fiber_fn *fn, void *arg)
{
	struct rt_loop *l = loop_here();
	struct rt_fiber *f;

	TRY(fiber_new(l, fn, arg, false, &f));
	f->urgent = true;
	l->urgent_live++;
	if (l->current)
		fiber_make_ready(l, f);
	else
		fiber_run(l, f);
	return 0;
}

struct spawn_message {
	struct rt_message message;
	rt_fiber_fn *fn;
	void *arg;
};

static void spawn_arrived(struct rt_message *m)
{
	struct spawn_message *s = container_of(m, struct spawn_message, message);
	struct rt_loop *l = loop_here();
	struct rt_fiber *f;

	/* The sender was told that it starts, so a shortage of mappings here is fatal. */
	check(fiber_new(l, s->fn, s->arg, true, &f) == 0);
	fiber_make_ready(l, f);
	mem_free(s);
}

int rt_spawn_on(struct rt *rt, unsigned loop, rt_fiber_fn *fn, void *arg)
{
	struct rt_loop *l = &rt->loops[loop];
	struct spawn_message *s;
	int rc = 0;

	check(loop < rt->loop_count);
	if (atomic_fetch_add(&l->live_count, 1) >= rt->options.fibers_max)
		rc = ERR_BUSY;
	else if (atomic_load(&rt->stopping))
		rc = ERR_CANCELLED;
	if (rc < 0) {
		loop_fiber_ended(l);
		return rc;
	}
	s = mem_new(struct spawn_message);
	s->message.fn = spawn_arrived;
	s->fn = fn;
	s->arg = arg;
	rt_post(rt, loop, &s->message);
	return 0;
}

/* --- waiting -------------------------------------------------------------------------------- */

int fiber_wait(struct rt_fiber *f, int64_t deadline, bool (*abandon)(struct rt_fiber *), void *in)
{
	struct rt_loop *l = f->loop;

	f->abandon = abandon;
	f->waits_in = in;
	f->state = FIBER_WAITING;
	if (deadline != RT_NEVER)
		timer_set_on(l, &f->timer, deadline);
	suspend(l, f);
	/* Stays queued in the heap until it expires: setting it again is then often free. */
	f->timer.deadline = RT_NEVER;
	f->waits_in = NULL;
	return f->wait_rc;
}

bool fiber_abandon_always(struct rt_fiber *f)
{
	(void)f;
	return true;
}

void fiber_wake(struct rt_fiber *f, int rc)
{
	check(f->state == FIBER_WAITING && f->loop == rt_loop_here);
	f->wait_rc = rc;
	f->abandon = NULL;
	fiber_make_ready(f->loop, f);
}

void fiber_wake_anywhere(struct rt_fiber *f)
{
	if (f->loop == rt_loop_here)
		fiber_wake(f, 0);
	else
		rt_post(f->loop->rt, f->loop->index, &f->wake);
}

int rt_yield(void)
{
	struct rt_fiber *f = fiber_here();

	if (f->cancelled)
		return ERR_CANCELLED;
	fiber_make_ready(f->loop, f);
	suspend(f->loop, f);
	return f->cancelled ? ERR_CANCELLED : 0;
}

int rt_sleep_until(int64_t deadline)
{
	struct rt_fiber *f = fiber_here();
	int rc;

	if (f->cancelled)
		return ERR_CANCELLED;
	rc = fiber_wait(f, deadline, fiber_abandon_always, NULL);
	return rc == ERR_TIMEOUT ? 0 : rc;
}

/* --- cancelling ----------------------------------------------------------------------------- */

static void fiber_cancel(struct rt_fiber *f)
{
	f->cancelled = true;
	if (f->state == FIBER_WAITING && f->abandon && f->abandon(f))
		fiber_wake(f, ERR_CANCELLED);
}

void rt_fiber_cancel(struct rt_fiber *f, uint64_t id)
{
	check(f->loop == rt_loop_here);
	if (f->id == id && id)
		fiber_cancel(f);
}

void fibers_cancel_all(struct rt_loop *l)
{
	list_for_each(at, &l->live)
		fiber_cancel(list_entry(at, struct rt_fiber, live));
}

bool rt_cancelled(void)
{
	return fiber_here()->cancelled;
}

/* --- who ------------------------------------------------------------------------------------ */

struct rt_fiber *rt_fiber_self(void)
{
	return rt_loop_here ? rt_loop_here->current : NULL;
}

uint64_t rt_fiber_id(const struct rt_fiber *f)
{
	return f->id;
}

void rt_label_set(const struct rt_label *label)
{
	fiber_here()->label = label;
}

const struct rt_label *rt_label(void)
{
	struct rt_fiber *f = rt_fiber_self();

	return f ? f->label : NULL;
}

/* --- a loop's fibers ------------------------------------------------------------------------ */

void fibers_init(struct rt_loop *l)
{
	list_init(&l->ready);
	list_init(&l->live);
	list_init(&l->spare);
	list_init(&l->spare_bare);
	rt_timer_init(&l->trim, fiber_trim);
}

void fibers_done(struct rt_loop *l)
{
	struct list *at;

	/* After a deadlock in the simulation fibers are left: their blocks and stacks go, unwound
	 * or not. */
	while ((at = list_pop_front(&l->live))) {
		struct rt_fiber *f = list_entry(at, struct rt_fiber, live);

		stack_unmap(f);
		mem_free(f);
	}
	while ((at = list_pop_front(&l->spare))) {
		struct rt_fiber *f = list_entry(at, struct rt_fiber, link);

		stack_unmap(f);
		mem_free(f);
	}
	while ((at = list_pop_front(&l->spare_bare)))
		mem_free(list_entry(at, struct rt_fiber, link));
}
