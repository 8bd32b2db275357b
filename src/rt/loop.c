/*
 * The runtime and its loops: making, running, stopping, messages between loops, loop-local slots,
 * time, random numbers and figures.
 *
 * A message is pushed on the target's inbox (a lock-free stack); the first pusher after the loop
 * went to sleep wakes it, so a burst costs one wake. Stopping: every loop cancels its fibers, and
 * all end together when no loop has a fiber left, because a fiber that unwinds may still need
 * another loop.
 */
#include "rt/internal.h"

#include <signal.h>

_Thread_local struct rt_loop *rt_loop_here;

/* --- making --------------------------------------------------------------------------------- */

static void stop_arrived(struct rt_message *m)
{
	struct rt_loop *l = container_of(m, struct rt_loop, stop_message);

	l->stop_seen = true;
	fibers_cancel_all(l);
}

static void loop_init(struct rt *rt, unsigned index)
{
	struct rt_loop *l = &rt->loops[index];

	l->rt = rt;
	l->index = index;
	fibers_init(l);
	list_init(&l->streams);
	l->pending_end = &l->pending;
	l->stop_message.fn = stop_arrived;
}

int rt_new(const struct rt_options *options, struct rt **ret_rt)
{
	struct rt *rt = mem_new(struct rt);
	int rc;

	rt->options = *options;
	rt->loop_count = options->loops ? options->loops : 1;
	if (rt->loop_count > RT_LOOPS_MAX) {
		mem_free(rt);
		return ERR_RANGE;
	}
	if (!rt->options.fibers_max)
		rt->options.fibers_max = 10000;
	if (!rt->options.connections_max)
		rt->options.connections_max = 10000;
	if (!rt->options.file_threads)
		rt->options.file_threads = 4;
	if (!rt->options.stack_bytes)
		rt->options.stack_bytes = (RT_ASAN ? 512 : 64) * 1024;
	rt->options.stack_bytes = (rt->options.stack_bytes + 4095) & ~(size_t)4095;
	pthread_mutex_init(&rt->lock, NULL);
	rt->loops_memory = mem_zero((rt->loop_count + 1) * sizeof *rt->loops);
	rt->loops = (void *)(((uintptr_t)rt->loops_memory + 63) & ~(uintptr_t)63);
	for (unsigned i = 0; i < rt->loop_count; i++)
		loop_init(rt, i);
	rt->backend = options->mode == RT_SIMULATED ? &rt_backend_simulated : &rt_backend_real;
	rc = rt->backend->init(rt);
	if (rc < 0) {
		rt_free(rt);
		return rc;
	}
	for (unsigned i = 0; i < rt->loop_count; i++) {
		uint64_t seed = options->seed + i;

		if (options->mode != RT_SIMULATED)
			rt->backend->random_bytes(rt, &seed, sizeof seed);
		random_init(rt->loops[i].random_state, seed);
	}
	*ret_rt = rt;
	return 0;
}

void rt_free(struct rt *rt)
{
	if (!rt)
		return;
	pools_free(rt);
	for (unsigned i = 0; i < rt->loop_count; i++) {
		struct rt_loop *l = &rt->loops[i];

		rt_loop_here = l; /* so that values may give buffers back */
		for (unsigned s = 0; s < rt->slot_count; s++)
			if (rt->slot_free[s] && l->slots[s])
				rt->slot_free[s](l->slots[s]);
		list_for_each_safe(at, &l->streams)
			list_entry(at, struct rt_stream, link)
				->ops->close(list_entry(at, struct rt_stream, link));
		rt_loop_here = NULL;
	}
	if (rt->backend)
		rt->backend->done(rt);
	for (unsigned i = 0; i < rt->loop_count; i++) {
		struct rt_loop *l = &rt->loops[i];

		fibers_done(l);
		while (l->buffers) {
			struct rt_buffer *b = l->buffers;

			l->buffers = b->next;
			mem_free(b);
		}
		mem_free(l->heap);
	}
	pthread_mutex_destroy(&rt->lock);
	mem_free(rt->loops_memory);
	mem_free(rt);
}

/* --- running -------------------------------------------------------------------------------- */

static void main_entry(void *arg)
{
	struct rt *rt = arg;

	rt->main_fn(rt->main_arg);
}

int rt_run(struct rt *rt, void (*main_fn)(void *arg), void *arg)
{
	check(!rt->ran);
	rt->ran = true;
	rt->main_fn = main_fn;
	rt->main_arg = arg;
	signal(SIGPIPE, SIG_IGN);
	TRY(rt_spawn_on(rt, 0, main_entry, rt));
	return rt->backend->run(rt);
}

void rt_stop(struct rt *rt)
{
	if (atomic_exchange(&rt->stopping, true))
		return;
	for (unsigned i = 0; i < rt->loop_count; i++)
		rt_post(rt, i, &rt->loops[i].stop_message);
}

bool rt_stopping(const struct rt *rt)
{
	return atomic_load(&((struct rt *)rt)->stopping);
}

bool loops_finished(const struct rt *rt)
{
	if (!rt_stopping(rt))
		return false;
	for (unsigned i = 0; i < rt->loop_count; i++)
		if (atomic_load(&rt->loops[i].live_count))
			return false;
	return true;
}

void loop_fiber_ended(struct rt_loop *l)
{
	if (atomic_fetch_sub(&l->live_count, 1) == 1 && unlikely(rt_stopping(l->rt)))
		for (unsigned i = 0; i < l->rt->loop_count; i++)
			l->rt->backend->wake(&l->rt->loops[i]);
}

struct rt *rt_self(void)
{
	return rt_loop_here ? rt_loop_here->rt : NULL;
}

unsigned rt_loop_index(void)
{
	return loop_here()->index;
}

unsigned rt_loop_count(const struct rt *rt)
{
	return rt->loop_count;
}

bool rt_simulated(const struct rt *rt)
{
	return rt->options.mode == RT_SIMULATED;
}

unsigned rt_slot_new(struct rt *rt, void (*free_value)(void *value))
{
	check(rt->slot_count < RT_SLOTS_MAX && !rt->ran);
	rt->slot_free[rt->slot_count] = free_value;
	return rt->slot_count++;
}

void **rt_slot(unsigned slot)
{
	check(slot < RT_SLOTS_MAX);
	return &loop_here()->slots[slot];
}

/* --- messages ------------------------------------------------------------------------------- */

void rt_post(struct rt *rt, unsigned loop, struct rt_message *m)
{
	struct rt_loop *l = &rt->loops[loop];
	struct rt_message *head = atomic_load_explicit(&l->inbox, memory_order_relaxed);

	check(loop < rt->loop_count);
	do {
		m->next = head;
	} while (!atomic_compare_exchange_weak(&l->inbox, &head, m));
	if (atomic_load(&l->sleeping) && atomic_exchange(&l->sleeping, 0))
		rt->backend->wake(l);
}

bool loop_take_messages(struct rt_loop *l)
{
	struct rt_message *newest, *oldest = NULL, *last;

	if (atomic_load_explicit(&l->inbox, memory_order_relaxed)) {
		newest = last = atomic_exchange(&l->inbox, NULL);
		while (newest) {
			struct rt_message *next = newest->next;

			newest->next = oldest;
			oldest = newest;
			newest = next;
		}
		*l->pending_end = oldest;
		l->pending_end = &last->next;
	}
	return l->pending != NULL;
}

void loop_run_message(struct rt_loop *l)
{
	struct rt_message *m = l->pending;

	l->pending = m->next;
	if (!l->pending)
		l->pending_end = &l->pending;
	rt_count(&l->figures.messages, 1);
	m->fn(m);
}

/* --- time and random numbers ---------------------------------------------------------------- */

int64_t rt_now(void)
{
	if (unlikely(rt_sim_here != NULL))
		return rt_backend_simulated.now(rt_sim_here);
	return rt_backend_real.now(NULL);
}

int64_t rt_now_coarse(void)
{
	struct rt_loop *l = loop_here();

	if (unlikely(l->slept)) {
		l->turn_at = rt_now();
		l->slept = false;
	}
	return l->turn_at;
}

int64_t rt_wall(void)
{
	if (unlikely(rt_sim_here != NULL))
		return rt_backend_simulated.wall(rt_sim_here);
	return rt_backend_real.wall(NULL);
}

void random_init(uint64_t state[4], uint64_t seed)
{
	/* SplitMix64 fills the state, as the authors of xoshiro recommend. */
	for (int i = 0; i < 4; i++) {
		uint64_t z = (seed += 0x9e3779b97f4a7c15);

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
		z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
		state[i] = z ^ (z >> 31);
	}
}

static uint64_t rotate_left(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

/* xoshiro256** (Blackman, Vigna). */
uint64_t random_next(uint64_t s[4])
{
	uint64_t result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

uint64_t rt_random(void)
{
	return random_next(loop_here()->random_state);
}

void rt_random_bytes(void *to, size_t n)
{
	if (rt_sim_here)
		rt_backend_simulated.random_bytes(rt_sim_here, to, n);
	else
		rt_backend_real.random_bytes(NULL, to, n);
}

/* --- figures -------------------------------------------------------------------------------- */

void rt_figures(const struct rt *rt, struct rt_figures *ret)
{
	struct rt_figures f = {0};

	for (unsigned i = 0; i < rt->loop_count; i++) {
		struct rt_loop *l = &rt->loops[i];

		f.fibers_live += atomic_load(&l->live_count);
		f.fibers_started += l->figures.fibers_started;
		f.fibers_refused += l->figures.fibers_refused;
		f.fibers_peak += l->figures.fibers_peak;
		f.stacks_spare += l->spare_count;
		f.connections_live += l->figures.connections_live;
		f.connections_accepted += l->figures.connections_accepted;
		f.connections_refused += l->figures.connections_refused;
		f.buffers_live += l->figures.buffers_live;
		f.switches += l->figures.switches;
		f.turns += l->figures.turns;
		f.messages += l->figures.messages;
		f.polls_found += l->figures.polls_found;
		f.timers_live += l->heap_count;
	}
	pthread_mutex_lock(&((struct rt *)rt)->lock);
	for (struct rt_pool *p = rt->pools; p; p = p->next) {
		pthread_mutex_lock(&p->lock);
		f.pool_jobs += p->jobs_done;
		f.pool_refused += p->refused;
		f.pool_waiting += p->queued;
		pthread_mutex_unlock(&p->lock);
	}
	pthread_mutex_unlock(&((struct rt *)rt)->lock);
	*ret = f;
}
