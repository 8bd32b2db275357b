/*
 * Who works with a container: its loop, and for the length of a thaw that was given away the thread
 * beside it. So whatever needs the container first takes the job back or waits for its end.
 */
#include "services/lambda/freeze.h"

#include "base/check.h"
#include "http/http.h"
#include "rt/rt.h"
#include "sandbox/sandbox.h"
#include "services/lambda/instance.h"
#include "services/lambda/service.h"
#include "services/lambda/telemetry.h"

enum {
	FREEZE_MS = 20,
	LEAVING_MS = 2000, /* for a runtime that hangs up to end */
};

/* Has its runtime hung up? It ends then, which it would do in the next event's time if it was
 * frozen. */
static bool is_leaving(const struct instance *i)
{
	return i->poll && rt_now_coarse() - i->idle_ns < LEAVING_MS * RT_NS_MS &&
	       http_peer_gone(i->poll->exchange);
}

static void thaw_aside(struct rt_aside_job *job)
{
	struct instance *i = container_of(job, struct instance, thaw_job);

	/* An ended container cannot be thawed, and need not. */
	(void)!sandbox_thaw(i->container);
}

/* Does what was given away and has not begun. */
static int thaw_not_begun(struct instance *i)
{
	if (!i->thawing || !rt_aside_take_back(i->service->aside, &i->thaw_job))
		return 0;
	i->thawing = false;
	return sandbox_thaw(i->container);
}

/* What was given away has been done when this returns. */
static int finish_thaw(struct instance *i)
{
	int rc = thaw_not_begun(i);

	rt_aside_wait(&i->thaw_job);
	i->thawing = false;
	return rc;
}

int freeze_thaw(struct instance *i)
{
	int rc = i->frozen ? sandbox_thaw(i->container) : thaw_not_begun(i);

	i->frozen = false;
	return rc;
}

void freeze_no_more(struct instance *i)
{
	if (finish_thaw(i) == 0 && i->frozen)
		(void)!sandbox_thaw(i->container);
	i->frozen = false;
}

void freeze_settle(struct instance *i)
{
	(void)!finish_thaw(i);
}

void instance_expect(struct instance *i)
{
	if (i->state != INSTANCE_IDLE || !i->listed || !i->frozen || !i->poll ||
		!sandbox_freezes_alone(i->container))
		return;
	if (finish_thaw(i) < 0 || !rt_aside_give(i->service->aside, &i->thaw_job))
		return;
	i->thawing = true;
	i->frozen = false;
	i->idle_ns = rt_now();
	freeze_later(i);
}

static void on_freeze(struct rt_timer *timer)
{
	struct instance *i = container_of(timer, struct instance, freeze_timer);
	int64_t due = i->idle_ns + FREEZE_MS * RT_NS_MS;

	check(i->magic == INSTANCE_MAGIC);
	if (i->state != INSTANCE_IDLE || !i->listed || i->frozen)
		return;
	if (telemetry_flush(i->subscribers) || i->holders || is_leaving(i))
		due = MAX(due, rt_now_coarse() + FREEZE_MS * RT_NS_MS);
	if (rt_now_coarse() < due)
		rt_timer_set(&i->freeze_timer, due);
	else
		i->frozen = finish_thaw(i) == 0 && sandbox_freeze(i->container) == 0;
}

void freeze_init(struct instance *i)
{
	rt_timer_init(&i->freeze_timer, on_freeze);
	i->thaw_job.fn = thaw_aside;
}

void freeze_later(struct instance *i)
{
	if (i->freeze_timer.deadline == RT_NEVER)
		rt_timer_set(&i->freeze_timer, rt_now_coarse() + FREEZE_MS * RT_NS_MS);
}

void freeze_stop(struct instance *i)
{
	rt_timer_stop(&i->freeze_timer);
}
