/*
 * Pools of threads for blocking work. A job lives on the waiting fiber's stack; its event brings
 * the fiber back. Threads start one by one, when a job finds none idle.
 *
 * Lock: pool->lock, held for queue operations only. rt->lock guards the list of pools and is taken
 * before it.
 */
#include "rt/internal.h"

#include <stdio.h>

int rt_pool_new(struct rt *rt, const char *name, unsigned threads, unsigned queue_max,
	struct rt_pool **ret_pool)
{
	struct rt_pool *p;

	if (!threads || threads > 1024 || !queue_max)
		return ERR_RANGE;
	p = mem_new(struct rt_pool);
	p->rt = rt;
	snprintf(p->name, sizeof p->name, "%s", name);
	p->threads_max = threads;
	p->queue_max = queue_max;
	p->threads = mem_new_array(pthread_t, threads);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	list_init(&p->jobs);
	pthread_mutex_lock(&rt->lock);
	p->next = rt->pools;
	rt->pools = p;
	pthread_mutex_unlock(&rt->lock);
	*ret_pool = p;
	return 0;
}

static void pool_destroy(struct rt_pool *p)
{
	check(p->queued == 0);
	p->rt->backend->pool_stop(p);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	mem_free(p->threads);
	mem_free(p);
}

void rt_pool_free(struct rt_pool *p)
{
	struct rt_pool *list;

	if (!p)
		return;
	pthread_mutex_lock(&p->rt->lock);
	list = p->rt->pools;
	if (list == p) {
		p->rt->pools = p->next;
	} else {
		while (list->next != p)
			list = list->next;
		list->next = p->next;
	}
	pthread_mutex_unlock(&p->rt->lock);
	pool_destroy(p);
}

void pools_free(struct rt *rt)
{
	struct rt_pool *p;

	while ((p = rt->pools)) {
		rt->pools = p->next;
		pool_destroy(p);
	}
}

struct rt_pool *rt_pool_lazy(struct rt *rt, struct rt_pool **place, const char *name,
	unsigned threads, unsigned queue_max)
{
	struct rt_pool *p, *made = NULL;

	pthread_mutex_lock(&rt->lock);
	p = *place;
	pthread_mutex_unlock(&rt->lock);
	if (p)
		return p;
	check(rt_pool_new(rt, name, threads, queue_max, &made) == 0);
	pthread_mutex_lock(&rt->lock);
	if (!*place)
		*place = made;
	p = *place;
	pthread_mutex_unlock(&rt->lock);
	if (p != made)
		rt_pool_free(made);
	return p;
}

int rt_pool_run(struct rt_pool *p, void (*fn)(void *arg), void *arg, int64_t deadline)
{
	struct pool_job job = {.pool = p, .fn = fn, .arg = arg, .queued = true};
	int rc = 0;

	if (rt_cancelled())
		return ERR_CANCELLED;
	list_init(&job.link);
	rt_event_init(&job.done);
	pthread_mutex_lock(&p->lock);
	if (p->queued >= p->queue_max && !p->idle) {
		p->refused++;
		rc = ERR_BUSY;
	} else {
		p->queued++;
		p->rt->backend->pool_submit(p, &job);
	}
	pthread_mutex_unlock(&p->lock);
	TRY(rc);
	rc = rt_event_wait(&job.done, deadline);
	if (rc == 0)
		return 0;
	pthread_mutex_lock(&p->lock);
	if (!job.queued || !p->rt->backend->pool_withdraw(p, &job))
		rc = 0; /* begun: its memory is ours */
	else
		p->queued--;
	pthread_mutex_unlock(&p->lock);
	if (rc == 0)
		rt_event_wait_sure(&job.done);
	return rc;
}
