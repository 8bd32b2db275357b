/*
 * The threads beside the loops: two, each for every other processor, so that one of them always is
 * on another core than the caller without being told. A thread that is woken is else often put on
 * the core of who wakes it, behind it in the queue, and nothing would be gained.
 */
#include "rt/internal.h"

#include "rt/aside.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LANES = 2 };

struct lane {
	_Atomic(struct rt_aside_job *) place;
	_Atomic unsigned word; /* counts what was given; the thread sleeps on it */
	_Atomic bool ending;
	cpu_set_t processors;
	pthread_t thread;
	bool started;
};

struct rt_aside {
	struct lane lanes[LANES];
};

static void futex(struct lane *l, int op, unsigned value)
{
	syscall(SYS_futex, &l->word, op, value, NULL, NULL, 0);
}

static void *aside_thread(void *arg)
{
	struct lane *l = arg;

	crash_thread_init();
	while (!atomic_load(&l->ending)) {
		unsigned seen = atomic_load(&l->word);
		struct rt_aside_job *job = atomic_exchange(&l->place, NULL);

		if (!job) {
			futex(l, FUTEX_WAIT_PRIVATE, seen);
			continue;
		}
		job->fn(job);
		atomic_store(&job->given, false);
	}
	crash_thread_done();
	return NULL;
}

static bool lane_start(struct lane *l)
{
	l->started = pthread_create(&l->thread, NULL, aside_thread, l) == 0;
	if (!l->started)
		return false;
	pthread_setname_np(l->thread, "aside");
	return pthread_setaffinity_np(l->thread, sizeof l->processors, &l->processors) == 0;
}

struct rt_aside *rt_aside_new(const struct rt *rt)
{
	struct rt_aside *a = mem_new(struct rt_aside);
	cpu_set_t all;
	unsigned n = 0;

	if (rt_simulated(rt) || sched_getaffinity(0, sizeof all, &all) != 0)
		CPU_ZERO(&all);
	for (unsigned i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &a->lanes[n++ % LANES].processors);
	if (n < LANES || !lane_start(&a->lanes[0]) || !lane_start(&a->lanes[1])) {
		rt_aside_free(a);
		return NULL;
	}
	return a;
}

void rt_aside_free(struct rt_aside *a)
{
	if (!a)
		return;
	for (struct lane *l = a->lanes; l < a->lanes + LANES; l++) {
		check(!atomic_load(&l->place));
		atomic_store(&l->ending, true);
		atomic_fetch_add(&l->word, 1);
		futex(l, FUTEX_WAKE_PRIVATE, 1);
		if (l->started)
			pthread_join(l->thread, NULL);
	}
	mem_free(a);
}

bool rt_aside_give(struct rt_aside *a, struct rt_aside_job *job)
{
	struct rt_aside_job *none = NULL;
	struct lane *l;
	int here;

	if (!a)
		return false;
	here = sched_getcpu();
	l = &a->lanes[here >= 0 && CPU_ISSET(here, &a->lanes[0].processors)];
	check(!atomic_load(&job->given));
	atomic_store(&job->given, true);
	if (!atomic_compare_exchange_strong(&l->place, &none, job)) {
		atomic_store(&job->given, false);
		return false;
	}
	atomic_fetch_add(&l->word, 1);
	futex(l, FUTEX_WAKE_PRIVATE, 1);
	return true;
}

bool rt_aside_take_back(struct rt_aside *a, struct rt_aside_job *job)
{
	for (unsigned i = 0; a && i < LANES && atomic_load(&job->given); i++) {
		struct rt_aside_job *mine = job;

		if (atomic_compare_exchange_strong(&a->lanes[i].place, &mine, NULL)) {
			atomic_store(&job->given, false);
			return true;
		}
	}
	return false;
}

void rt_aside_wait(struct rt_aside_job *job)
{
	while (atomic_load(&job->given))
		sched_yield();
}
