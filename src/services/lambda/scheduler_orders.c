/*
 * What concerns entries of every loop: functions that were changed or deleted, and the server's
 * end.
 */
#include "services/lambda/scheduler_internal.h"

#include "base/mem.h"
#include "services/lambda/instance.h"
#include "services/lambda/service.h"

enum { STOP_STEP_MS = 5, END_MS = 10000 };

struct order {
	struct rt_message message;
	struct shard *shard;
	str key; /* in `text`; empty: every function */
	/* 0: the function is gone, with its versions. Else: this one remains of just this entry. */
	uint64_t deployment;
	char text[];
};

static void fail_waiting(struct entry *e)
{
	struct invocation *inv;

	while ((inv = scheduler_take_waiting(e))) {
		inv->rc = lambda_fault_set(
			&inv->fault, inv->arena, LAMBDA_SERVICE, "The server is stopping.");
		inv->over = true;
		rt_event_set(&inv->event);
	}
}

/* Is the key the entry's, or that of a function whose version the entry is? */
static bool is_function_of(const struct entry *e, str key)
{
	return str_starts(e->key, key) &&
	       (e->key.n == key.n || e->key.p[key.n] == ':' || e->key.p[key.n] == '\t');
}

static void on_order(struct rt_message *message)
{
	struct order *o = container_of(message, struct order, message);
	struct shard *shard = o->shard;

	if (o->deployment) {
		struct entry *e = map_get(&shard->entries, o->key);

		if (e)
			scheduler_retire_idle(e, o->deployment);
	} else if (o->key.n) {
		map_for_each(slot, &shard->entries)
			if (is_function_of(slot->value, o->key))
				scheduler_retire_idle(slot->value, 0);
	} else {
		map_for_each(slot, &shard->entries)
			fail_waiting(slot->value);
		list_for_each_safe(at, &shard->instances)
			instance_kill(list_entry(at, struct instance, all_link));
	}
	mem_free(o);
}

static void order_all(struct scheduler *s, str key, uint64_t deployment)
{
	for (unsigned k = 0; k < s->loops; k++) {
		struct order *o = mem_zero(sizeof(*o) + key.n);

		o->message.fn = on_order;
		o->shard = s->shards[k];
		o->deployment = deployment;
		if (key.n)
			memcpy(o->text, key.p, key.n);
		o->key = str_of(o->text, key.n);
		rt_post(s->service->rt, k, &o->message);
	}
}

void scheduler_reserve(struct scheduler *s, const struct function *f, uint32_t reserved)
{
	struct quota *q = quota_get(s->service->quotas, f->account, f->region, f->name);

	quota_reserve(q, reserved);
	quota_put(q);
}

void scheduler_forget(struct scheduler *s, str account, str region, str name, str version)
{
	struct arena a cleanup(arena_done_p) = {0};

	arena_init(&a, SIZE_MAX);
	if (!version.p)
		scheduler_reserve(s,
			&(struct function){.account = account, .region = region, .name = name},
			FUNCTION_UNRESERVED);
	order_all(s, scheduler_entry_key(&a, account, region, name, version), 0);
}

void scheduler_deployed(struct scheduler *s, const struct function *f)
{
	struct arena a cleanup(arena_done_p) = {0};

	arena_init(&a, SIZE_MAX);
	order_all(s, scheduler_entry_key(&a, f->account, f->region, f->name, f->version),
		f->deployment);
}

void scheduler_stop(struct scheduler *s, int64_t deadline)
{
	int64_t end;

	while (atomic_load(&s->running) && rt_now() < deadline)
		if (rt_sleep_until(rt_after_ms(STOP_STEP_MS)) < 0)
			break;
	order_all(s, STR_NULL, 0);
	end = rt_after_ms(END_MS);
	while (atomic_load(&s->instances) && rt_now() < end)
		if (rt_sleep_until(rt_after_ms(STOP_STEP_MS)) < 0)
			break;
}
