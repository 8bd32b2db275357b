/*
 * The simulated backend: scheduler, clock, random numbers, pool jobs. The network is in sim_net.c.
 */
#include "rt/sim_internal.h"

#include "base/log.h"

/* 2026-01-01T00:00:00Z */
#define SIM_WALL_START (INT64_C(1767225600) * RT_NS_S)

_Thread_local struct rt *rt_sim_here;

/* --- random numbers and trace --------------------------------------------------------------- */

uint64_t sim_random(struct sim *sim, uint64_t below)
{
	return random_next(sim->random_state) % below;
}

int64_t sim_between(struct sim *sim, int64_t min, int64_t max)
{
	return min + (int64_t)sim_random(sim, (uint64_t)(max - min) + 1);
}

void sim_trace(struct sim *sim, uint64_t what, uint64_t which)
{
	uint64_t h = sim->trace;

	h = (h ^ what) * 0x9e3779b97f4a7c15;
	h = (h ^ (h >> 29) ^ which) * 0xbf58476d1ce4e5b9;
	h = (h ^ (h >> 32) ^ (uint64_t)sim->now) * 0x94d049bb133111eb;
	sim->trace = h ^ (h >> 31);
}

static void sim_random_bytes(struct rt *rt, void *to, size_t n)
{
	unsigned char *p = to;

	while (n--)
		*p++ = (unsigned char)sim_random(rt->backend_data, 256);
}

uint64_t rt_sim_trace(const struct rt *rt)
{
	return ((const struct sim *)rt->backend_data)->trace;
}

uint64_t rt_sim_steps(const struct rt *rt)
{
	return ((const struct sim *)rt->backend_data)->steps;
}

/* --- clock ---------------------------------------------------------------------------------- */

static int64_t sim_now(struct rt *rt)
{
	return ((struct sim *)rt->backend_data)->now;
}

static int64_t sim_wall(struct rt *rt)
{
	return SIM_WALL_START + sim_now(rt);
}

/* --- scheduler ------------------------------------------------------------------------------ */

enum step_kind { STEP_MESSAGE = 1, STEP_TIMER, STEP_FIBER };

/* What loop l could run now; how many kinds. */
static unsigned loop_choices(struct sim *sim, struct rt_loop *l, enum step_kind kinds[3])
{
	unsigned n = 0;

	if (loop_take_messages(l))
		kinds[n++] = STEP_MESSAGE;
	if (timers_next(l) <= sim->now)
		kinds[n++] = STEP_TIMER;
	if (l->ready_count)
		kinds[n++] = STEP_FIBER;
	return n;
}

static void step(struct sim *sim, struct rt_loop *l, enum step_kind kind)
{
	struct rt_fiber *f;

	rt_loop_here = l;
	l->turn_at = sim->now;
	sim->steps++;
	switch (kind) {
	case STEP_MESSAGE:
		sim_trace(sim, kind, l->index);
		loop_run_message(l);
		break;
	case STEP_TIMER:
		sim_trace(sim, kind, l->index);
		timers_run(l, sim->now, 1);
		break;
	case STEP_FIBER:
		f = fiber_next(l);
		sim_trace(sim, kind, f->id << 8 | l->index);
		fiber_run(l, f);
		break;
	}
	rt_loop_here = NULL;
	/* Computing takes time, too: whoever waits for the clock in a loop gets there. */
	sim->now += sim_between(sim, 100, 2000);
}

static void say_deadlock(struct rt *rt)
{
	for (unsigned i = 0; i < rt->loop_count; i++)
		list_for_each(at, &rt->loops[i].live) {
			struct rt_fiber *f = list_entry(at, struct rt_fiber, live);
			str id = f->label ? f->label->request_id : STR("-"),
			    operation = f->label ? f->label->operation : STR("-");

			log_error("rt", "a fiber can never run again",
				"loop=%u fiber=%llu request=%.*s operation=%.*s", i,
				(unsigned long long)f->id, STR_ARG(id), STR_ARG(operation));
		}
}

/* One step, or a jump of the clock. 1: go on, 0: the end, ERR_TIMEOUT. */
static int sim_turn(struct rt *rt, struct sim *sim)
{
	struct {
		struct rt_loop *loop;
		unsigned n;
		enum step_kind kinds[3];
	} choice[RT_LOOPS_MAX];
	unsigned n = 0, messages = 0;
	int64_t next = RT_NEVER;

	for (unsigned i = 0; i < rt->loop_count; i++) {
		struct rt_loop *l = &rt->loops[i];

		choice[n].loop = l;
		choice[n].n = loop_choices(sim, l, choice[n].kinds);
		n += choice[n].n > 0;
		messages += l->pending != NULL;
		next = MIN(next, timers_next(l));
	}
	if (!messages && loops_finished(rt))
		return 0;
	if (n) {
		unsigned i = (unsigned)sim_random(sim, n);

		step(sim, choice[i].loop, choice[i].kinds[sim_random(sim, choice[i].n)]);
		return 1;
	}
	if (next == RT_NEVER) {
		say_deadlock(rt);
		return ERR_TIMEOUT;
	}
	if (next > sim->options.time_ns_max) {
		log_error("rt", "past the limit of virtual time", "seconds=%lld",
			(long long)(sim->options.time_ns_max / RT_NS_S));
		return ERR_TIMEOUT;
	}
	sim->now = next;
	return 1;
}

static int sim_run(struct rt *rt)
{
	int rc;

	rt_sim_here = rt;
	while ((rc = sim_turn(rt, rt->backend_data)) > 0)
		;
	rt_sim_here = NULL;
	return rc;
}

static void sim_wake(struct rt_loop *l)
{
	(void)l; /* the scheduler looks at every loop */
}

/* --- pool jobs ------------------------------------------------------------------------------ */

static void job_begin(struct rt_pool *p, struct pool_job *job)
{
	struct sim *sim = p->rt->backend_data;

	job->queued = false;
	p->queued--;
	p->running++;
	timer_set_on(job->loop, &job->timer,
		sim->now + sim_between(sim, sim->options.job_ns_min, sim->options.job_ns_max));
}

static void job_fired(struct rt_timer *timer)
{
	struct pool_job *job = container_of(timer, struct pool_job, timer);
	struct rt_pool *p = job->pool;
	struct rt_loop *l = rt_loop_here;
	struct list *next;

	rt_loop_here = NULL; /* as on a pool's thread */
	job->fn(job->arg);
	rt_loop_here = l;
	pthread_mutex_lock(&p->lock);
	p->running--;
	p->jobs_done++;
	next = list_pop_front(&p->jobs);
	if (next)
		job_begin(p, list_entry(next, struct pool_job, link));
	pthread_mutex_unlock(&p->lock);
	rt_event_set(&job->done);
}

static void sim_pool_submit(struct rt_pool *p, struct pool_job *job)
{
	job->loop = loop_here();
	rt_timer_init(&job->timer, job_fired);
	if (p->running < p->threads_max)
		job_begin(p, job);
	else
		list_push_back(&p->jobs, &job->link);
}

static bool sim_pool_withdraw(struct rt_pool *p, struct pool_job *job)
{
	(void)p;
	list_remove(&job->link);
	return true;
}

static void sim_pool_stop(struct rt_pool *p)
{
	(void)p;
}

/* --- life ----------------------------------------------------------------------------------- */

static int sim_init(struct rt *rt)
{
	struct sim *sim = mem_new(struct sim);
	struct rt_sim_options *o = &sim->options;

	rt->backend_data = sim;
	if (rt->options.sim)
		*o = *rt->options.sim;
	if (!o->delay_ns_max) {
		o->delay_ns_min = 20 * RT_NS_US;
		o->delay_ns_max = 2 * RT_NS_MS;
	}
	if (!o->job_ns_max) {
		o->job_ns_min = 10 * RT_NS_US;
		o->job_ns_max = 5 * RT_NS_MS;
	}
	if (!o->window_bytes)
		o->window_bytes = 64 * 1024;
	if (!o->time_ns_max)
		o->time_ns_max = 1000 * 3600 * RT_NS_S;
	if (o->delay_ns_min > o->delay_ns_max || o->job_ns_min > o->job_ns_max)
		return ERR_RANGE;
	sim->now = RT_NS_S;
	random_init(sim->random_state, rt->options.seed ^ 0x51b0);
	list_init(&sim->listeners);
	return 0;
}

static void sim_done(struct rt *rt)
{
	sim_net_done(rt);
	mem_free(rt->backend_data);
}

const struct rt_backend rt_backend_simulated = {
	.init = sim_init,
	.done = sim_done,
	.run = sim_run,
	.now = sim_now,
	.wall = sim_wall,
	.wake = sim_wake,
	.random_bytes = sim_random_bytes,
	.pool_submit = sim_pool_submit,
	.pool_withdraw = sim_pool_withdraw,
	.pool_stop = sim_pool_stop,
	.listen_open = sim_listen_open,
	.listen_start = sim_listen_start,
	.listen_stop = sim_listen_stop,
	.listen_close = sim_listen_close,
	.connect = sim_connect,
	.resolve = sim_resolve,
	.pair = sim_pair,
};
