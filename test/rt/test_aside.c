/*
 * The thread beside the loops.
 */
#include "rt/aside.h"

#include "rt/rt.h"
#include "test/test.h"

#include <sched.h>

struct gate {
	struct rt_aside_job job;
	_Atomic bool begun, open;
	_Atomic unsigned runs;
};

static void pass_gate(struct rt_aside_job *job)
{
	struct gate *g = container_of(job, struct gate, job);

	atomic_store(&g->begun, true);
	while (!atomic_load(&g->open))
		sched_yield();
	atomic_fetch_add(&g->runs, 1);
}

static struct rt *runtime(enum rt_mode mode)
{
	struct rt_options options = {.mode = mode, .loops = 1};
	struct rt *rt = NULL;

	EXPECT_INT(rt_new(&options, &rt), 0);
	return rt;
}

TEST(aside, one_runs_and_one_waits)
{
	struct rt *rt = runtime(RT_REAL);
	struct rt_aside *a = rt_aside_new(rt);
	struct gate first = {.job.fn = pass_gate}, second = {.job.fn = pass_gate},
		    third = {.job.fn = pass_gate, .open = true};
	cpu_set_t all, one;

	if (!a) { /* a machine with one processor */
		rt_free(rt);
		return;
	}
	/* From one processor, and so to one of the threads. */
	ASSERT_INT(sched_getaffinity(0, sizeof all, &all), 0);
	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	ASSERT_INT(sched_setaffinity(0, sizeof one, &one), 0);
	ASSERT(rt_aside_give(a, &first.job));
	while (!atomic_load(&first.begun))
		sched_yield();
	EXPECT(!rt_aside_take_back(a, &first.job));
	ASSERT(rt_aside_give(a, &second.job));
	EXPECT(!rt_aside_give(a, &third.job)); /* the place is taken */
	EXPECT(!rt_aside_take_back(a, &third.job));
	EXPECT(rt_aside_take_back(a, &second.job));
	EXPECT(rt_aside_give(a, &third.job)); /* and free again */
	atomic_store(&first.open, true);
	rt_aside_wait(&first.job);
	rt_aside_wait(&third.job);
	rt_aside_wait(&second.job); /* nothing to wait for */
	EXPECT_INT(atomic_load(&first.runs), 1);
	EXPECT_INT(atomic_load(&second.runs), 0);
	EXPECT_INT(atomic_load(&third.runs), 1);
	ASSERT_INT(sched_setaffinity(0, sizeof all, &all), 0);
	rt_aside_free(a);
	rt_free(rt);
}

/* Given again and again, and now and then taken back: each runs once or not at all. */
TEST(aside, many)
{
	struct rt *rt = runtime(RT_REAL);
	struct rt_aside *a = rt_aside_new(rt);
	struct gate g = {.job.fn = pass_gate, .open = true};
	unsigned given = 0, taken = 0;

	for (int i = 0; a && i < 20000; i++) {
		ASSERT(rt_aside_give(a, &g.job));
		given++;
		if (i % 3 == 0 && rt_aside_take_back(a, &g.job))
			taken++;
		else
			rt_aside_wait(&g.job);
	}
	EXPECT_INT(atomic_load(&g.runs), given - taken);
	rt_aside_free(a);
	rt_free(rt);
}

TEST(aside, none_where_time_is_simulated)
{
	struct rt *rt = runtime(RT_SIMULATED);
	struct gate g = {.job.fn = pass_gate, .open = true};

	EXPECT(rt_aside_new(rt) == NULL);
	EXPECT(!rt_aside_give(NULL, &g.job));
	EXPECT(!rt_aside_take_back(NULL, &g.job));
	rt_aside_free(NULL);
	rt_free(rt);
}
