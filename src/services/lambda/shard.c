/*
 * A shard's instances by number, and the flushing of their lines.
 */
#include "base/check.h"
#include "base/mem.h"
#include "services/lambda/instance.h"
#include "services/lambda/log_feed.h"
#include "services/lambda/scheduler_internal.h"
#include "services/lambda/service.h"

enum {
	SLOTS_MAX = 4096, /* instances of a loop, far above instances_max */
	LOG_FLUSH_MS = 5
};

/* ---- numbers of instances ---- */

uint64_t shard_number_new(struct shard *shard, struct instance *i)
{
	unsigned k = 0;

	while (k < shard->slot_count && shard->slots[k].instance)
		k++;
	if (k == shard->slot_count) {
		check(k < SLOTS_MAX);
		shard->slot_count = k ? 2 * k : 16;
		shard->slots = mem_realloc(shard->slots, shard->slot_count * sizeof(struct slot));
		memset(shard->slots + k, 0, (shard->slot_count - k) * sizeof(struct slot));
	}
	shard->slots[k].instance = i;
	if (!shard->slots[k].connections)
		shard->slots[k].connections = mem_new_array(unsigned, LAMBDA_LISTENS);
	i->connections = shard->slots[k].connections;
	shard->slots[k].generation++;
	list_push_back(&shard->instances, &i->all_link);
	return (uint64_t)shard->loop << 48 | (uint64_t)k << 32 | shard->slots[k].generation;
}

void shard_number_free(struct shard *shard, uint64_t number)
{
	shard->slots[number >> 32 & 0xffff].instance = NULL;
}

struct instance *scheduler_find(struct scheduler *s, uint64_t number)
{
	struct shard *shard = my_shard(s);
	unsigned k = number >> 32 & 0xffff;

	check(number >> 48 == shard->loop);
	if (k >= shard->slot_count || shard->slots[k].generation != (uint32_t)number)
		return NULL;
	return shard->slots[k].instance;
}

void scheduler_expect(struct scheduler *s, uint64_t number)
{
	struct instance *i = number >> 48 == rt_loop_index() ? scheduler_find(s, number) : NULL;

	if (i)
		instance_expect(i);
}

/* ---- lines of logs ---- */

static void log_timer_set(struct shard *shard)
{
	if (shard->log_timer.deadline == RT_NEVER && !list_empty(&shard->log_dirty))
		rt_timer_set(&shard->log_timer, rt_now_coarse() + LOG_FLUSH_MS * RT_NS_MS);
}

static void log_fiber(void *arg)
{
	struct shard *shard = arg;
	struct list now, *l;

	/* Those of now only: one whose port has no room comes again, later. */
	list_init(&now);
	while ((l = list_pop_front(&shard->log_dirty)))
		list_push_back(&now, l);
	while ((l = list_pop_front(&now))) {
		struct instance *i = list_entry(l, struct instance, log_link);

		i->log_queued = false;
		log_feed_flush(i->feed);
		instance_unref(i);
	}
	shard->log_flushing = false;
	log_timer_set(shard);
}

void shard_log_due(struct rt_timer *timer)
{
	struct shard *shard = container_of(timer, struct shard, log_timer);

	if (shard->log_flushing)
		return;
	shard->log_flushing = rt_spawn(log_fiber, shard) >= 0;
	if (!shard->log_flushing)
		rt_timer_set(timer, rt_after_ms(LOG_FLUSH_MS));
}

void shard_log_dirty(struct shard *shard, struct instance *i)
{
	if (i->log_queued)
		return;
	i->log_queued = true;
	instance_ref(i);
	list_push_back(&shard->log_dirty, &i->log_link);
	if (!shard->log_flushing)
		log_timer_set(shard);
}
