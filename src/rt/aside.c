/*
 * The thread beside the loops: one place for a job, one futex.
 */
#include "rt/aside.h"

#include "rt/internal.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

struct rt_aside {
	_Atomic(struct rt_aside_job *) place;
	_Atomic unsigned word; /* counts what was given; the thread sleeps on it */
	_Atomic bool ending;
	_Atomic unsigned shunned; /* the processor that it stays away from */
	cpu_set_t processors;     /* all that we may use */
	pthread_t thread;
};

static void futex(struct rt_aside *a, int op, unsigned value)
{
	syscall(SYS_futex, &a->word, op, value, NULL, NULL, 0);
}

static void *aside_thread(void *arg)
{
	struct rt_aside *a = arg;

	crash_thread_init();
	while (!atomic_load(&a->ending)) {
		unsigned seen = atomic_load(&a->word);
		struct rt_aside_job *job = atomic_exchange(&a->place, NULL);

		if (!job) {
			futex(a, FUTEX_WAIT_PRIVATE, seen);
			continue;
		}
		job->fn(job);
		atomic_store(&job->given, false);
	}
	crash_thread_done();
	return NULL;
}

struct rt_aside *rt_aside_new(const struct rt *rt)
{
	struct rt_aside *a = mem_new(struct rt_aside);

	a->shunned = CPU_SETSIZE;
	if (rt_simulated(rt) || sched_getaffinity(0, sizeof a->processors, &a->processors) != 0 ||
		CPU_COUNT(&a->processors) < 2 ||
		pthread_create(&a->thread, NULL, aside_thread, a) != 0) {
		mem_free(a);
		return NULL;
	}
	pthread_setname_np(a->thread, "aside");
	return a;
}

void rt_aside_free(struct rt_aside *a)
{
	if (!a)
		return;
	check(!atomic_load(&a->place));
	atomic_store(&a->ending, true);
	atomic_fetch_add(&a->word, 1);
	futex(a, FUTEX_WAKE_PRIVATE, 1);
	pthread_join(a->thread, NULL);
	mem_free(a);
}

/*
 * A thread that is woken is often put on the core of who wakes it, behind it in the queue: then
 * nothing is gained. Callers are mostly on the same core as last time, so this is seldom a call.
 */
static void stay_away(struct rt_aside *a)
{
	cpu_set_t others = a->processors;
	unsigned here;

	if (getcpu(&here, NULL) != 0 || here == atomic_load(&a->shunned) || here >= CPU_SETSIZE)
		return;
	CPU_CLR(here, &others);
	if (CPU_COUNT(&others) > 0)
		(void)!pthread_setaffinity_np(a->thread, sizeof others, &others);
	atomic_store(&a->shunned, here);
}

bool rt_aside_give(struct rt_aside *a, struct rt_aside_job *job)
{
	struct rt_aside_job *none = NULL;

	if (!a)
		return false;
	check(!atomic_load(&job->given));
	atomic_store(&job->given, true);
	if (!atomic_compare_exchange_strong(&a->place, &none, job)) {
		atomic_store(&job->given, false);
		return false;
	}
	stay_away(a);
	atomic_fetch_add(&a->word, 1);
	futex(a, FUTEX_WAKE_PRIVATE, 1);
	return true;
}

bool rt_aside_take_back(struct rt_aside *a, struct rt_aside_job *job)
{
	struct rt_aside_job *mine = job;

	if (!a || !atomic_load(&job->given) ||
		!atomic_compare_exchange_strong(&a->place, &mine, NULL))
		return false;
	atomic_store(&job->given, false);
	return true;
}

void rt_aside_wait(struct rt_aside_job *job)
{
	while (atomic_load(&job->given))
		sched_yield();
}
