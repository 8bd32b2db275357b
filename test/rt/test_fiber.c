/*
 * Fibers, waiting, messages and pools, on real loops.
 */
#include "rt/rt.h"
#include "test/test.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

/* Runs `main_fn` on a fresh runtime with that many loops. */
static void run(unsigned loops, unsigned fibers_max, void (*main_fn)(void *arg), void *arg)
{
	struct rt_options options = {.loops = loops, .fibers_max = fibers_max};
	struct rt *rt;

	ASSERT_INT(rt_new(&options, &rt), 0);
	EXPECT_INT(rt_run(rt, main_fn, arg), 0);
	rt_free(rt);
}

struct tally {
	struct rt_event done;
	unsigned left, sum;
	int rc;
};

static void tally_end(struct tally *t)
{
	if (--t->left == 0)
		rt_event_set(&t->done);
}

/* --- order and arithmetic ------------------------------------------------------------------- */

static void add_slowly(void *arg)
{
	struct tally *t = arg;
	volatile double third = 1.0 / 3;

	for (int i = 0; i < 10; i++) {
		t->sum++;
		EXPECT_INT(rt_yield(), 0);
		EXPECT(third == 1.0 / 3);
	}
	tally_end(t);
}

static void yields(void *arg)
{
	struct tally t = {.left = 1000};

	(void)arg;
	rt_event_init(&t.done);
	for (unsigned i = 0; i < t.left; i++)
		ASSERT_INT(rt_spawn(add_slowly, &t), 0);
	EXPECT_INT(t.sum, 0);
	EXPECT_INT(rt_event_wait(&t.done, rt_after_ms(10000)), 0);
	EXPECT_INT(t.sum, 10000);
	rt_stop(rt_self());
}

TEST(rt_fiber, many_yield)
{
	run(1, 0, yields, NULL);
}

/* --- manners -------------------------------------------------------------------------------- */

enum { CROWD = 10 };

struct crowd {
	struct tally tally;
	unsigned here; /* fibers that are left in it */
	int policy[2]; /* in a crowd; behind it */
};

/* The class of this loop's thread, when it is `wanted` before two seconds are over. */
static int policy_becomes(int wanted)
{
	int64_t deadline = rt_after_ms(2000);

	while (sched_getscheduler(0) != wanted && rt_now() < deadline)
		if (rt_yield() < 0)
			break;
	return sched_getscheduler(0);
}

static void crowd_one(void *arg)
{
	struct crowd *c = arg;
	bool first = c->here++ == 0;

	if (first) {
		c->policy[0] = policy_becomes(SCHED_BATCH);
		c->here = 0;
		c->policy[1] = policy_becomes(SCHED_OTHER);
	} else {
		while (c->here)
			EXPECT_INT(rt_yield(), 0);
	}
	tally_end(&c->tally);
}

static void crowds(void *arg)
{
	struct crowd *c = arg;

	rt_event_init(&c->tally.done);
	for (unsigned i = 0; i < CROWD; i++)
		ASSERT_INT(rt_spawn(crowd_one, c), 0);
	EXPECT_INT(rt_event_wait(&c->tally.done, rt_after_ms(10000)), 0);
	rt_stop(rt_self());
}

/* A loop that has more to do than it can lets others end their turns first. */
TEST(rt_fiber, crowded_loop_waits_for_its_turn)
{
	struct crowd c = {.tally = {.left = CROWD}, .policy = {-1, -1}};

	run(1, 0, crowds, &c);
	EXPECT_INT(c.policy[0], SCHED_BATCH);
	EXPECT_INT(c.policy[1], SCHED_OTHER);
}

/* --- deep stacks ---------------------------------------------------------------------------- */

static noinline_fn unsigned dig(unsigned depth, volatile char *above)
{
	volatile char here[512];

	here[0] = (char)depth;
	here[511] = above ? above[0] : 0;
	return depth ? dig(depth - 1, here) + 1 : (unsigned)(here[511] != 0);
}

static void digs(void *arg)
{
	EXPECT(dig(60, NULL) >= 60); /* over 30 KiB */
	(void)arg;
	rt_stop(rt_self());
}

TEST(rt_fiber, deep_stack)
{
	run(1, 0, digs, NULL);
}

/* --- the cap, and reuse after a burst ------------------------------------------------------- */

static void hold(void *arg)
{
	struct rt_waitq *q = arg;

	EXPECT_INT(rt_waitq_wait(q, RT_NEVER), 0);
}

static void caps(void *arg)
{
	struct rt_waitq q;
	struct rt_figures f;

	(void)arg;
	rt_waitq_init(&q);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 99; i++) /* the main fiber is the hundredth */
			EXPECT_INT(rt_spawn(hold, &q), 0);
		EXPECT_INT(rt_spawn(hold, &q), ERR_BUSY);
		EXPECT_INT(rt_spawn_on(rt_self(), 0, hold, &q), ERR_BUSY);
		EXPECT_INT(rt_yield(), 0);
		EXPECT_INT(rt_waitq_wake_all(&q), 99);
		EXPECT_INT(rt_yield(), 0);
	}
	rt_figures(rt_self(), &f);
	EXPECT_INT(f.fibers_live, 1);
	EXPECT_INT(f.fibers_peak, 100);
	EXPECT(f.fibers_refused >= 3);
	/* Stacks of the burst are given back while nothing needs them. */
	for (int i = 0; i < 200 && f.stacks_spare > 40; i++) {
		EXPECT_INT(rt_sleep_until(rt_after_ms(100)), 0);
		rt_figures(rt_self(), &f);
	}
	EXPECT(f.stacks_spare <= 40);
	rt_stop(rt_self());
}

TEST(rt_fiber, cap_and_trim)
{
	run(1, 100, caps, NULL);
}

/* --- deadlines and cancelling --------------------------------------------------------------- */

static void deadlines(void *arg)
{
	struct rt_event e;
	struct rt_waitq q;
	int64_t start = rt_now();

	(void)arg;
	rt_event_init(&e);
	rt_waitq_init(&q);
	EXPECT_INT(rt_event_wait(&e, start + 5 * RT_NS_MS), ERR_TIMEOUT);
	EXPECT(rt_now() >= start + 5 * RT_NS_MS);
	EXPECT_INT(rt_event_wait(&e, 0), ERR_TIMEOUT);
	EXPECT_INT(rt_waitq_wait(&q, start), ERR_TIMEOUT);
	EXPECT(rt_waitq_empty(&q));
	rt_event_set(&e);
	rt_event_set(&e);
	EXPECT_INT(rt_event_wait(&e, RT_NEVER), 0);
	EXPECT_INT(rt_event_wait(&e, 0), ERR_TIMEOUT); /* set twice is like once */
	rt_stop(rt_self());
	EXPECT_INT(rt_event_wait(&e, RT_NEVER), ERR_CANCELLED);
	EXPECT_INT(rt_sleep_until(RT_NEVER), ERR_CANCELLED);
	EXPECT_INT(rt_spawn(hold, &q), ERR_CANCELLED);
}

TEST(rt_fiber, deadlines_and_stop)
{
	run(1, 0, deadlines, NULL);
}

struct victim {
	struct rt_fiber *fiber;
	uint64_t id;
	int rc;
	struct rt_event ended;
};

static void wait_long(void *arg)
{
	struct victim *v = arg;

	v->fiber = rt_fiber_self();
	v->id = rt_fiber_id(v->fiber);
	v->rc = rt_sleep_until(RT_NEVER);
	EXPECT(rt_cancelled());
	rt_event_set(&v->ended);
}

static void cancels(void *arg)
{
	struct victim v = {0};

	(void)arg;
	rt_event_init(&v.ended);
	EXPECT_INT(rt_spawn(wait_long, &v), 0);
	EXPECT_INT(rt_yield(), 0);
	rt_fiber_cancel(v.fiber, v.id + 1); /* another fiber's number: nothing */
	EXPECT_INT(rt_event_wait(&v.ended, rt_after_ms(5)), ERR_TIMEOUT);
	rt_fiber_cancel(v.fiber, v.id);
	EXPECT_INT(rt_event_wait(&v.ended, rt_after_ms(10000)), 0);
	EXPECT_INT(v.rc, ERR_CANCELLED);
	EXPECT_INT(rt_yield(), 0);
	rt_fiber_cancel(v.fiber, v.id); /* has ended */
	rt_stop(rt_self());
}

TEST(rt_fiber, cancel_one)
{
	run(1, 0, cancels, NULL);
}

/* --- channels ------------------------------------------------------------------------------- */

struct pipe_case {
	struct rt_channel channel;
	struct tally t;
	unsigned got;
};

static void send_hundred(void *arg)
{
	struct pipe_case *p = arg;

	for (uintptr_t i = 1; i <= 100; i++)
		EXPECT_INT(rt_channel_send(&p->channel, (void *)i, RT_NEVER), 0);
	tally_end(&p->t);
}

static void receive_all(void *arg)
{
	struct pipe_case *p = arg;
	void *item;

	while (rt_channel_receive(&p->channel, RT_NEVER, &item) == 0) {
		p->t.sum += (unsigned)(uintptr_t)item;
		p->got++;
	}
	tally_end(&p->t);
}

static void channels(void *arg)
{
	struct pipe_case p = {.t.left = 5};
	void *item;

	(void)arg;
	rt_event_init(&p.t.done);
	rt_channel_init(&p.channel, 3);
	EXPECT_INT(rt_channel_receive(&p.channel, 0, &item), ERR_TIMEOUT);
	for (int i = 0; i < 5; i++)
		EXPECT_INT(rt_spawn(send_hundred, &p), 0);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(rt_spawn(receive_all, &p), 0);
	EXPECT_INT(rt_event_wait(&p.t.done, rt_after_ms(10000)), 0);
	p.t.left = 3;
	rt_channel_close(&p.channel);
	EXPECT_INT(rt_event_wait(&p.t.done, rt_after_ms(10000)), 0);
	EXPECT_INT(p.got, 500);
	EXPECT_INT(p.t.sum, 5 * 5050);
	EXPECT_INT(rt_channel_send(&p.channel, &p, 0), ERR_CLOSED);
	rt_channel_done(&p.channel);
	rt_stop(rt_self());
}

TEST(rt_fiber, channel)
{
	run(1, 0, channels, NULL);
}

/* --- timers --------------------------------------------------------------------------------- */

struct timer_case {
	struct rt_timer timer;
	int64_t fired_at;
	struct rt_event *done;
};

static void timer_fired(struct rt_timer *timer)
{
	struct timer_case *c = container_of(timer, struct timer_case, timer);

	c->fired_at = rt_now();
	if (c->done)
		rt_event_set(c->done);
}

static void timers(void *arg)
{
	struct timer_case c[100] = {0};
	struct rt_event done;
	int64_t start = rt_now();

	(void)arg;
	rt_event_init(&done);
	for (int i = 0; i < 100; i++) {
		rt_timer_init(&c[i].timer, timer_fired);
		rt_timer_set(&c[i].timer, start + (int64_t)(rt_random() % 5000) * RT_NS_US);
		if (i % 3 == 0) /* later: lazily moved */
			rt_timer_set(&c[i].timer, start + 10 * RT_NS_MS);
		if (i % 3 == 1) /* earlier */
			rt_timer_set(&c[i].timer, start);
		if (i % 10 == 9)
			rt_timer_set(&c[i].timer, RT_NEVER);
		if (i % 10 == 8)
			rt_timer_stop(&c[i].timer);
	}
	rt_timer_set(&c[0].timer, start + 30 * RT_NS_MS);
	c[0].done = &done;
	EXPECT_INT(rt_event_wait(&done, rt_after_ms(10000)), 0);
	for (int i = 0; i < 100; i++) {
		if (i && i % 10 >= 8)
			EXPECT_INT(c[i].fired_at, 0);
		else
			EXPECT(c[i].fired_at > 0);
		if (i % 3 == 0 && c[i].fired_at)
			EXPECT(c[i].fired_at >= start + 10 * RT_NS_MS);
	}
	for (int i = 0; i < 100; i++)
		rt_timer_stop(&c[i].timer);
	rt_stop(rt_self());
}

TEST(rt_fiber, timers)
{
	run(1, 0, timers, NULL);
}

/* --- across threads ------------------------------------------------------------------------- */

enum { ROUNDS = 2000 };

struct ping {
	struct rt *rt;
	struct rt_event to[2];
	unsigned turns[2];
	struct rt_event done;
	_Atomic unsigned left;
};

static void play(struct ping *p, unsigned side)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (side == 0)
			rt_event_set(&p->to[1]);
		EXPECT_INT(rt_event_wait(&p->to[side], rt_after_ms(20000)), 0);
		p->turns[side]++;
		if (side == 1)
			rt_event_set(&p->to[0]);
	}
	if (atomic_fetch_sub(&p->left, 1) == 1)
		rt_event_set(&p->done);
}

static void play_first(void *arg)
{
	EXPECT_INT(rt_loop_index(), 0);
	play(arg, 0);
}

static void play_second(void *arg)
{
	EXPECT_INT(rt_loop_index(), 1);
	play(arg, 1);
}

static void pings(void *arg)
{
	struct ping p = {.rt = rt_self(), .left = 2};

	(void)arg;
	for (int i = 0; i < 2; i++)
		rt_event_init(&p.to[i]);
	rt_event_init(&p.done);
	EXPECT_INT(rt_spawn(play_first, &p), 0);
	EXPECT_INT(rt_spawn_on(p.rt, 1, play_second, &p), 0);
	rt_event_wait_sure(&p.done);
	EXPECT_INT(p.turns[0], ROUNDS);
	EXPECT_INT(p.turns[1], ROUNDS);
	rt_stop(p.rt);
}

TEST(rt_fiber, events_between_loops)
{
	run(2, 0, pings, NULL);
}

/* A thread sets events while their waiters time out: every wait ends exactly once. */
struct race {
	struct rt_event event;
	_Atomic bool stop;
};

static void *set_often(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->stop)) {
		rt_event_set(&r->event);
		for (volatile int i = 0; i < 2000; i = i + 1)
			;
	}
	return NULL;
}

static void races(void *arg)
{
	struct race r = {0};
	unsigned set = 0, late = 0;
	pthread_t thread;

	(void)arg;
	rt_event_init(&r.event);
	ASSERT_INT(pthread_create(&thread, NULL, set_often, &r), 0);
	for (int i = 0; i < 20000; i++) {
		int rc = rt_event_wait(&r.event, i % 2 ? 0 : rt_now() + 20 * RT_NS_US);

		set += rc == 0;
		late += rc == ERR_TIMEOUT;
	}
	EXPECT_INT(set + late, 20000);
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	rt_stop(rt_self());
}

TEST(rt_fiber, event_set_against_timeout)
{
	run(1, 0, races, NULL);
}

/* --- pools ---------------------------------------------------------------------------------- */

enum { POOL_THREADS = 3, POOL_QUEUE = 50, POOL_FIBERS = 100 };

struct pool_case {
	struct rt_pool *pool;
	struct tally t;
	_Atomic unsigned running, most, done, asked;
	unsigned busy;
};

static void job(void *arg)
{
	struct pool_case *p = arg;
	unsigned now = atomic_fetch_add(&p->running, 1) + 1, most = atomic_load(&p->most);

	EXPECT(rt_self() == NULL);
	/* So that the pool is full once, however the threads are scheduled. */
	while (atomic_load(&p->asked) < POOL_FIBERS)
		sched_yield();
	while (now > most && !atomic_compare_exchange_weak(&p->most, &most, now))
		;
	for (volatile int i = 0; i < 10000; i = i + 1)
		;
	atomic_fetch_sub(&p->running, 1);
	atomic_fetch_add(&p->done, 1);
}

static void use_pool(void *arg)
{
	struct pool_case *p = arg;

	atomic_fetch_add(&p->asked, 1);
	for (int i = 0; i < 20; i++) {
		int rc = rt_pool_run(p->pool, job, p, RT_NEVER);

		EXPECT(rc == 0 || rc == ERR_BUSY);
		if (rc == ERR_BUSY) {
			p->busy++;
			EXPECT_INT(rt_sleep_until(rt_after_ms(1)), 0);
		}
	}
	tally_end(&p->t);
}

static void pools(void *arg)
{
	struct pool_case p = {.t.left = POOL_FIBERS};

	(void)arg;
	rt_event_init(&p.t.done);
	ASSERT_INT(rt_pool_new(rt_self(), "test", POOL_THREADS, POOL_QUEUE, &p.pool), 0);
	for (int i = 0; i < POOL_FIBERS; i++)
		EXPECT_INT(rt_spawn(use_pool, &p), 0);
	EXPECT_INT(rt_event_wait(&p.t.done, RT_NEVER), 0);
	EXPECT_INT(p.done + p.busy, 20 * POOL_FIBERS);
	/* All but the last have asked before the first job ended. */
	EXPECT(p.busy >= POOL_FIBERS - 1 - POOL_THREADS - POOL_QUEUE);
	EXPECT(p.most <= POOL_THREADS);
	rt_pool_free(p.pool);
	rt_stop(rt_self());
}

TEST(rt_fiber, pool_bounds)
{
	run(1, 0, pools, NULL);
}

struct blocked {
	int fds[2];
	struct rt_event begun;
	struct rt_pool *pool;
	struct rt_event ended;
};

static void block(void *arg)
{
	struct blocked *b = arg;
	char c;

	rt_event_set(&b->begun);
	EXPECT_INT(read(b->fds[0], &c, 1), 1);
}

static void never(void *arg)
{
	(void)arg;
	EXPECT(!"a withdrawn job must not run");
}

/* Past its deadline once begun, and waited for all the same. */
static void occupy(void *arg)
{
	struct blocked *b = arg;

	while (rt_pool_run(b->pool, block, b, rt_after_ms(20)) == ERR_TIMEOUT)
		; /* the thread was slow to start */
	rt_event_set(&b->ended);
}

static void withdrawals(void *arg)
{
	struct blocked b;

	(void)arg;
	rt_event_init(&b.begun);
	rt_event_init(&b.ended);
	ASSERT_INT(pipe(b.fds), 0);
	ASSERT_INT(rt_pool_new(rt_self(), "test", 1, 10, &b.pool), 0);
	EXPECT_INT(rt_spawn(occupy, &b), 0);
	EXPECT_INT(rt_event_wait(&b.begun, RT_NEVER), 0);
	EXPECT_INT(rt_pool_run(b.pool, never, NULL, rt_after_ms(20)), ERR_TIMEOUT);
	EXPECT_INT(rt_event_wait(&b.ended, rt_after_ms(5)), ERR_TIMEOUT);
	EXPECT_INT(write(b.fds[1], "x", 1), 1);
	EXPECT_INT(rt_event_wait(&b.ended, RT_NEVER), 0);
	close(b.fds[0]);
	close(b.fds[1]);
	rt_stop(rt_self());
}

TEST(rt_fiber, pool_deadline_is_for_the_queue)
{
	run(1, 0, withdrawals, NULL);
}

/* --- slots and spawn_now -------------------------------------------------------------------- */

static unsigned freed;

static void count_freed(void *value)
{
	(void)value;
	freed++;
}

struct slot_case {
	unsigned slot;
	struct rt_event done;
};

static void fill_slot(void *arg)
{
	struct slot_case *c = arg;

	EXPECT(*rt_slot(c->slot) == NULL);
	*rt_slot(c->slot) = c;
	rt_event_set(&c->done);
}

static void slots(void *arg)
{
	struct slot_case *c = arg;

	for (unsigned i = 0; i < 3; i++) {
		EXPECT_INT(rt_spawn_on(rt_self(), i, fill_slot, c), 0);
		EXPECT_INT(rt_event_wait(&c->done, RT_NEVER), 0);
	}
	rt_stop(rt_self());
}

TEST(rt_fiber, slots)
{
	struct rt_options options = {.loops = 3};
	struct slot_case c = {0};
	struct rt *rt;

	freed = 0;
	rt_event_init(&c.done);
	ASSERT_INT(rt_new(&options, &rt), 0);
	c.slot = rt_slot_new(rt, count_freed);
	EXPECT_INT(rt_run(rt, slots, &c), 0);
	rt_free(rt);
	EXPECT_INT(freed, 3);
}
