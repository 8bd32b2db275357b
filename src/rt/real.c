/*
 * The real backend: a libuv loop per thread, the machine's clocks, threads for pools. Sockets are
 * in socket.c.
 *
 * A turn of a loop: messages, due timers, the fibers that are ready, then libuv until something
 * happens or the next timer is due. Libuv's own timer only ends the sleep; it is set anew only
 * when the next time changed.
 */
#include "rt/real.h"

#include <sched.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

/* Of loops that find nothing to do: after so many vain polls only one of so many sleeps polls. */
enum { POLLS_VAIN = 4, POLLS_SPARED = 16 };
/* Requests at a time that are answered at once, which a loop polls for. */
enum { POLLS_FEW = 4 };
/* Fibers run in a turn, on an average of so much time. */
enum { CROWD_COMES = 6, CROWD_LEAVES = 3 };
#define WEIGH_NS (10 * RT_NS_MS)
enum { LOOP_STACK_BYTES = 2 * 1024 * 1024, POOL_STACK_BYTES = 1024 * 1024 };

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * RT_NS_S + t.tv_nsec;
}

static int64_t real_now(struct rt *rt)
{
	(void)rt;
	return clock_ns(CLOCK_MONOTONIC);
}

static int64_t real_wall(struct rt *rt)
{
	(void)rt;
	return clock_ns(CLOCK_REALTIME);
}

static void real_random_bytes(struct rt *rt, void *to, size_t n)
{
	char *p = to;

	(void)rt;
	while (n) {
		ssize_t got = getrandom(p, n, 0);

		check(got > 0);
		p += got;
		n -= (size_t)got;
	}
}

/* --- loops ---------------------------------------------------------------------------------- */

static void on_async(uv_async_t *async)
{
	(void)async; /* it only ends the sleep */
}

static void on_sleep_end(uv_timer_t *timer)
{
	((struct real_loop *)timer->data)->timer_at = RT_NEVER;
	/* uv_run() also runs timers before it sleeps; without this it would then sleep for ever. */
	uv_stop(timer->loop);
}

static void on_closed(uv_handle_t *handle)
{
	(void)handle;
}

static int real_init(struct rt *rt)
{
	for (unsigned i = 0; i < rt->loop_count; i++) {
		struct real_loop *r = mem_new(struct real_loop);

		rt->loops[i].backend = r;
		r->timer_at = RT_NEVER;
		check(uv_loop_init(&r->uv) == 0);
		check(uv_async_init(&r->uv, &r->async, on_async) == 0);
		check(uv_timer_init(&r->uv, &r->timer) == 0);
		r->timer.data = r;
		r->uv.data = &rt->loops[i];
	}
	return 0;
}

static void real_done(struct rt *rt)
{
	for (unsigned i = 0; i < rt->loop_count; i++) {
		struct real_loop *r = rt->loops[i].backend;

		if (!r)
			continue;
		uv_close((uv_handle_t *)&r->async, on_closed);
		uv_close((uv_handle_t *)&r->timer, on_closed);
		while (uv_run(&r->uv, UV_RUN_NOWAIT) != 0 && uv_loop_alive(&r->uv))
			;
		/* A stream that its owner never closed keeps its handle: said in loop_ended(). */
		(void)uv_loop_close(&r->uv);
		mem_free(r);
	}
}

static void real_wake(struct rt_loop *l)
{
	struct real_loop *r = l->backend;

	check(uv_async_send(&r->async) == 0);
}

static void sleep_until(struct rt_loop *l, struct real_loop *r, int64_t until)
{
	if (until != r->timer_at) {
		if (until == RT_NEVER) {
			uv_timer_stop(&r->timer);
		} else {
			int64_t ms = (until - l->turn_at + RT_NS_MS - 1) / RT_NS_MS;

			uv_update_time(&r->uv);
			uv_timer_start(&r->timer, on_sleep_end, (uint64_t)MAX(ms, (int64_t)0), 0);
		}
		r->timer_at = until;
	}
	atomic_store(&l->sleeping, 1);
	if (atomic_load(&l->inbox) || loops_finished(l->rt)) {
		atomic_store(&l->sleeping, 0);
		uv_run(&r->uv, UV_RUN_NOWAIT);
	} else {
		/* Whatever wakes the loop is run in here, maybe hours behind the turn's beginning.
		 */
		l->slept = true;
		uv_run(&r->uv, UV_RUN_ONCE);
		atomic_store(&l->sleeping, 0);
	}
}

/*
 * Looks for work for a while before the loop sleeps: true when some came. Putting a core to sleep
 * and waking it up takes tens of microseconds, and what runs next finds cold caches; a request and
 * the next one, or an event and a function's answer, are often closer together. Whoever else wants
 * this core has it at once, and a loop whose polls are vain stops polling but for one in a while.
 * A loop with many requests at a time which it answers at once does without: it finds more of them
 * at each look. (Where they wait for the log, looking gains a tenth.)
 */
static bool poll_busily(struct rt_loop *l, struct real_loop *r, int64_t until)
{
	int64_t now, end = l->look_until;

	if (!l->rt->options.busy_poll_us)
		return false;
	if (end <= l->turn_at) {
		if (!l->worked || r->many)
			return false;
		if (r->polls_missed >= POLLS_VAIN && ++r->polls_skipped < POLLS_SPARED)
			return false;
		r->polls_skipped = 0;
		now = clock_ns(CLOCK_MONOTONIC);
		end = now + (int64_t)l->rt->options.busy_poll_us * 1000;
	}
	end = MIN(until, end);
	l->worked = false;
	for (now = l->turn_at; now < end; now = l->turn_at = clock_ns(CLOCK_MONOTONIC)) {
		/* A request's fiber runs in here, and may have ended when it returns. */
		uv_run(&r->uv, UV_RUN_NOWAIT);
		if (l->worked || l->ready_count || atomic_load(&l->inbox) ||
			loops_finished(l->rt)) {
			r->polls_missed = 0;
			rt_count(&l->figures.polls_found, 1);
			return true;
		}
		sched_yield();
	}
	r->polls_missed++;
	return false;
}

/*
 * A loop that finds several fibers' work at each look has more to do than it can: it then gains
 * nothing by taking a core from whoever sends it that work or waits for its answers, and loses two
 * switches each time (1.5 of 12 us of a GetItem). Such a loop is of the class SCHED_BATCH: it waits
 * for its turn. Judged anew for each span of time; leaving takes less than coming did.
 */
static void weigh_load(struct rt_loop *l, struct real_loop *r)
{
	uint64_t turns = l->figures.turns - r->weighed_turns,
		 switches = l->figures.switches - r->weighed_switches;
	bool crowded = turns && switches >= turns * (r->crowded ? CROWD_LEAVES : CROWD_COMES);
	struct sched_param none = {0};

	if (crowded != r->crowded && pthread_setschedparam(pthread_self(),
					     crowded ? SCHED_BATCH : SCHED_OTHER, &none) == 0)
		r->crowded = crowded;
	r->many = r->ran_most > POLLS_FEW && !r->waited;
	r->ran_most = 0;
	r->waited = false;
	r->weighed_at = l->turn_at;
	r->weighed_turns = l->figures.turns;
	r->weighed_switches = l->figures.switches;
}

static void loop_turn(struct rt_loop *l, struct real_loop *r)
{
	struct rt_fiber *f;
	uint64_t ran;
	int64_t next;

	l->turn_at = clock_ns(CLOCK_MONOTONIC);
	l->slept = false;
	if (l->turn_at - r->weighed_at >= WEIGH_NS)
		weigh_load(l, r);
	rt_count(&l->figures.turns, 1);
	if (loop_take_messages(l)) {
		l->worked = true;
		while (l->pending)
			loop_run_message(l);
	}
	timers_run(l, l->turn_at, l->heap_count);
	for (size_t n = l->ready_count; n && (f = fiber_next(l)); n--)
		fiber_run(l, f);
	next = timers_next(l);
	ran = l->figures.switches - r->switches_seen;
	r->switches_seen += ran;
	r->ran_most = MAX(r->ran_most, ran);
	r->waited |= l->urgent_live > 0;
	if (l->ready_count || next <= l->turn_at)
		uv_run(&r->uv, UV_RUN_NOWAIT);
	else if (!poll_busily(l, r, next))
		sleep_until(l, r, next);
}

static void loop_main(struct rt_loop *l)
{
	unsigned left = 0;

	rt_loop_here = l;
	crash_thread_init();
	while (!loops_finished(l->rt) || l->pending || atomic_load(&l->inbox))
		loop_turn(l, l->backend);
	list_for_each(at, &l->streams)
		left++;
	if (left)
		log_warn("rt", "streams were left open", "loop=%u count=%u", l->index, left);
	crash_thread_done();
	rt_loop_here = NULL;
}

static void *loop_thread(void *arg)
{
	loop_main(arg);
	return NULL;
}

static int thread_start(
	pthread_t *thread, const char *name, size_t stack, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attributes;
	int err;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, stack);
	/* Not that of a crowded loop which starts a pool's thread. */
	pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
	err = pthread_create(thread, &attributes, fn, arg);
	pthread_attr_destroy(&attributes);
	if (err)
		return rc_from_errno(err);
	pthread_setname_np(*thread, name);
	return 0;
}

static int real_run(struct rt *rt)
{
	for (unsigned i = 1; i < rt->loop_count; i++) {
		struct rt_loop *l = &rt->loops[i];
		char name[16];

		snprintf(name, sizeof name, "loop-%u", i);
		check(thread_start(&l->thread, name, LOOP_STACK_BYTES, loop_thread, l) == 0);
	}
	loop_main(&rt->loops[0]);
	for (unsigned i = 1; i < rt->loop_count; i++)
		pthread_join(rt->loops[i].thread, NULL);
	return 0;
}

void rt_look_until(int64_t deadline)
{
	loop_here()->look_until = deadline;
}

void rt_step_aside(void)
{
	struct rt_loop *l = loop_here();

	if (l->rt->options.mode == RT_REAL && !l->ready_count && !atomic_load(&l->inbox))
		sched_yield();
}

/* --- pools ---------------------------------------------------------------------------------- */

static void *pool_thread(void *arg)
{
	struct rt_pool *p = arg;

	crash_thread_init();
	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct list *first = list_pop_front(&p->jobs);
		struct pool_job *job;

		if (!first) {
			if (p->ending)
				break;
			p->idle++;
			pthread_cond_wait(&p->more, &p->lock);
			p->idle--;
			continue;
		}
		job = list_entry(first, struct pool_job, link);
		job->queued = false;
		p->queued--;
		p->jobs_done++;
		pthread_mutex_unlock(&p->lock);
		job->fn(job->arg);
		rt_event_set(&job->done); /* the job is gone from here on */
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	crash_thread_done();
	return NULL;
}

static void real_pool_submit(struct rt_pool *p, struct pool_job *job)
{
	list_push_back(&p->jobs, &job->link);
	if (p->idle < p->queued && p->started < p->threads_max) {
		int rc = thread_start(&p->threads[p->started], p->name,
			POOL_STACK_BYTES * (RT_ASAN ? 4 : 1), pool_thread, p);

		check(rc == 0 || p->started > 0);
		p->started += rc == 0;
	}
	if (p->idle)
		pthread_cond_signal(&p->more);
}

static bool real_pool_withdraw(struct rt_pool *p, struct pool_job *job)
{
	(void)p;
	list_remove(&job->link);
	return true;
}

static void real_pool_stop(struct rt_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->started; i++)
		pthread_join(p->threads[i], NULL);
}

const struct rt_backend rt_backend_real = {
	.init = real_init,
	.done = real_done,
	.run = real_run,
	.now = real_now,
	.wall = real_wall,
	.wake = real_wake,
	.random_bytes = real_random_bytes,
	.pool_submit = real_pool_submit,
	.pool_withdraw = real_pool_withdraw,
	.pool_stop = real_pool_stop,
	.listen_open = socket_listen_open,
	.listen_start = socket_listen_start,
	.listen_stop = socket_listen_stop,
	.listen_close = socket_listen_close,
	.connect = socket_connect,
	.resolve = socket_resolve,
	.pair = socket_pair,
};
