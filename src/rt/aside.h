/*
 * Threads beside the loops, on another core than the caller's, for small things that take the
 * kernel long and that a loop knows it will need in a moment: the thaw of a frozen container, say,
 * while the request for it is read. Waking that core up is part of what is gained.
 *
 * A job is the caller's memory. It is given, and then either taken back before it has begun or
 * waited for. Any thread may call; the simulation has none, and jobs are not taken.
 */
#ifndef RT_ASIDE_H
#define RT_ASIDE_H

#include "base/attr.h"

#include <stdatomic.h>
#include <stdbool.h>

struct rt;
struct rt_aside;

struct rt_aside_job {
	void (*fn)(struct rt_aside_job *job); /* microseconds; must not wait for a loop */
	_Atomic bool given;
};

/* NULL where there is one processor, or no thread to be had. */
struct rt_aside *rt_aside_new(const struct rt *rt);
void rt_aside_free(struct rt_aside *a);
/* Begins it soon. false: not taken (another job waits, or `a` is NULL), and the job is as before.
 */
must_use bool rt_aside_give(struct rt_aside *a, struct rt_aside_job *job);
/* true: it has not begun, and never will. false: it has begun or is over. */
must_use bool rt_aside_take_back(struct rt_aside *a, struct rt_aside_job *job);
/* Blocks until it is over, which is soon; at once when it was not given. The job's memory is the
 * caller's. */
void rt_aside_wait(struct rt_aside_job *job);

#endif
