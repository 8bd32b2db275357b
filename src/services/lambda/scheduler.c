/*
 * Shards, entries, and the way of an invocation to an instance.
 */
#include "services/lambda/scheduler_internal.h"

#include "base/check.h"
#include "base/mem.h"
#include "kv/kv.h"
#include "services/lambda/figures.h"
#include "services/lambda/instance.h"
#include "services/lambda/lineage.h"
#include "services/lambda/provision.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

enum {
	SWEEP_MS = 1000,
	RETRY_MS = 10,
	PROVISION_RETRY_MS = 1000,
	STUCK_MS = 10000,
	ENTRY_KEY_MAX = 256
};

#define MIB (UINT64_C(1024) * 1024)

struct lambda_service *shard_service(struct shard *shard)
{
	return shard->scheduler->service;
}

/* ---- functions ---- */

void function_unref(struct function_ref *ref)
{
	if (!ref)
		return;
	check(ref->refs > 0);
	if (--ref->refs > 0)
		return;
	arena_done(&ref->arena);
	mem_free(ref);
}

str scheduler_entry_key(struct arena *a, str account, str region, str name, str version)
{
	bool latest = !version.n || version.p[0] == '$';

	return ARENA_CONCAT(a, account, STR("/"), region, STR("/"), name,
		latest ? STR("") : STR(":"), latest ? STR("") : version);
}

/* Of a function that isolates its tenants each tenant has an entry, and so instances, of its own.
 */
static str tenant_key(struct arena *a, str key, str tenant)
{
	return tenant.p ? ARENA_CONCAT(a, key, STR("\t"), tenant) : key;
}

static str tenant_of_key(str key)
{
	ptrdiff_t tab = str_find(key, '\t');

	return tab < 0 ? STR_NULL : str_from(key, (size_t)tab + 1);
}

void scheduler_retire_idle(struct entry *e, uint64_t deployment)
{
	list_for_each_safe(at, &e->idle) {
		struct instance *i = list_entry(at, struct instance, idle_link);

		if (i->function->function.deployment != deployment)
			instance_kill(i);
	}
}

static void on_provision(struct rt_timer *timer);

/* Is it to keep instances here? Then the entry stays. */
static unsigned wants_kept(const struct entry *e)
{
	return e->provision
		       ? provision_share(e->provision, e->shard->loop, e->shard->scheduler->loops)
		       : 0;
}

static struct entry *entry_new(struct shard *shard, str key, struct function_ref *f)
{
	struct entry *e = mem_new(struct entry);

	e->shard = shard;
	e->key = str_of(mem_alloc(key.n), key.n);
	memcpy((char *)e->key.p, key.p, key.n);
	e->tenant = tenant_of_key(e->key);
	e->function = function_ref(f);
	e->quota = quota_get(shard_service(shard)->quotas, f->function.account, f->function.region,
		f->function.name);
	list_init(&e->idle);
	list_init(&e->waiting);
	/* A loop that keeps none of them still serves what spills over. */
	e->provision = provision_find(shard->scheduler->provisions, e->key);
	rt_timer_init(&e->provision_timer, on_provision);
	e->hint = (uint32_t)(str_hash(key) % HINTS);
	map_put(&shard->entries, e->key, e);
	return e;
}

/* Nothing is left of it but the cached function, which is not worth its memory for long. */
static void entry_free_if_unused(struct entry *e)
{
	if (e->instances || e->users || wants_kept(e))
		return;
	rt_timer_stop(&e->provision_timer);
	check(list_empty(&e->idle) && list_empty(&e->waiting));
	map_remove(&e->shard->entries, e->key);
	function_unref(e->function);
	quota_put(e->quota);
	mem_free((char *)e->key.p);
	mem_free(e);
}

/* The function is this now: instances of what it was end when they are idle. */
static void entry_renew(struct entry *e, struct function_ref *f)
{
	function_unref(e->function);
	e->function = function_ref(f);
	scheduler_retire_idle(e, f->function.deployment);
}

static int load(str account, str region, str record, str latest, struct function_ref **ret_function)
{
	struct function_ref *f = mem_new(struct function_ref);
	struct function whole;
	int rc;

	f->refs = 1;
	arena_init(&f->arena, SIZE_MAX);
	f->record = arena_str(&f->arena, record);
	rc = function_decode(&f->arena, arena_str(&f->arena, account), arena_str(&f->arena, region),
		f->record, &f->function);
	if (rc >= 0 && latest.n) {
		f->latest = arena_str(&f->arena, latest);
		rc = function_decode(&f->arena, account, region, f->latest, &whole);
		if (rc >= 0) {
			f->function.reserved = whole.reserved;
			f->function.recursion_allow = whole.recursion_allow;
		}
	}
	if (rc < 0) {
		function_unref(f);
		return rc;
	}
	*ret_function = f;
	return 1;
}

int scheduler_function(struct scheduler *s, str account, str region, str name, str version,
	struct function_ref **ret_function)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct entry *e;
	str record, latest = STR(""), key, store_key;

	arena_init(&a, SIZE_MAX);
	key = scheduler_entry_key(&a, account, region, name, version);
	store_key = store_version_key(&a, account, region, name, version);
	if (TRY(kv_get(s->service->kv, store_key, &a, &record)) == 0)
		return 0;
	if (function_qualifier_kind(version) == QUALIFIER_VERSION) {
		store_key = store_function_key(&a, account, region, name);
		if (TRY(kv_get(s->service->kv, store_key, &a, &latest)) == 0)
			return 0;
	}
	e = map_get(&my_shard(s)->entries, key);
	if (e && str_eq(e->function->record, record) && str_eq(e->function->latest, latest)) {
		*ret_function = function_ref(e->function);
		return 1;
	}
	TRY(load(account, region, record, latest, ret_function));
	if (e)
		entry_renew(e, *ret_function);
	return 1;
}

/* ---- idle instances ---- */

static void hint_add(struct entry *e, int change)
{
	struct scheduler *s = e->shard->scheduler;

	atomic_fetch_add_explicit(
		&s->hints[e->shard->loop][e->hint], (uint32_t)change, memory_order_relaxed);
}

void scheduler_unlist(struct entry *e, struct instance *i)
{
	if (!i->listed)
		return;
	i->listed = false;
	list_remove(&i->idle_link);
	hint_add(e, -1);
}

struct invocation *scheduler_take_waiting(struct entry *e)
{
	struct list *l = list_pop_front(&e->waiting);

	if (!l)
		return NULL;
	e->waiting_count--;
	return list_entry(l, struct invocation, link);
}

static bool wants_start(const struct entry *e)
{
	return e->starting < e->waiting_count;
}

/* Of those that wait for an instance, the one with the fewest. */
static struct entry *poorest(struct shard *shard)
{
	struct entry *found = NULL;

	map_for_each(slot, &shard->entries) {
		struct entry *e = slot->value;

		if (wants_start(e) && (!found || e->instances < found->instances))
			found = e;
	}
	return found;
}

/* Room is scarce, and another function has less of it than this one would have without the
 * instance.
 */
static bool owes_room(const struct entry *e, const struct instance *i)
{
	const struct entry *other;

	if (!e->shard->scarce || i->provisioned)
		return false;
	other = poorest(e->shard);
	return other && other != e && other->instances + 1 < e->instances;
}

void scheduler_ready(struct entry *e, struct instance *i)
{
	struct invocation *inv;

	check(!i->listed && i->state != INSTANCE_ENDED);
	if (i->function->function.deployment != e->function->function.deployment ||
		owes_room(e, i)) {
		instance_kill(i);
		return;
	}
	inv = scheduler_take_waiting(e);
	if (inv) {
		inv->instance = i;
		instance_ref(i);
		rt_event_set(&inv->event);
		return;
	}
	i->listed = true;
	list_push_front(&e->idle, &i->idle_link);
	hint_add(e, 1);
	if (e->shard->sweep_timer.deadline == RT_NEVER)
		rt_timer_set(&e->shard->sweep_timer, rt_now_coarse() + SWEEP_MS * RT_NS_MS);
}

/* The idle one used last; one that waits for work already rather than one that soon will. */
static struct instance *take_idle(struct entry *e)
{
	struct instance *found = NULL;

	list_for_each(at, &e->idle) {
		struct instance *i = list_entry(at, struct instance, idle_link);

		if (i->state == INSTANCE_IDLE) {
			found = i;
			break;
		}
		if (!found)
			found = i;
	}
	if (found) {
		scheduler_unlist(e, found);
		instance_ref(found);
	}
	return found;
}

/* ---- starting and giving up ---- */

/* The idle instance that was used longest ago, of any function of this loop. */
static struct instance *oldest_idle(struct shard *shard)
{
	struct instance *oldest = NULL;

	list_for_each(at, &shard->instances) {
		struct instance *i = list_entry(at, struct instance, all_link);

		if (i->listed && !i->provisioned && (!oldest || i->idle_ns < oldest->idle_ns))
			oldest = i;
	}
	return oldest;
}

struct reclaim {
	struct rt_message message;
	struct shard *shard;
};

static void on_reclaim(struct rt_message *message)
{
	struct reclaim *r = container_of(message, struct reclaim, message);
	struct instance *i = oldest_idle(r->shard);

	if (i)
		instance_kill(i);
	mem_free(r);
}

/* Gives up one idle instance, here or elsewhere. Its memory is free a little later. */
static void reclaim_one(struct shard *shard)
{
	struct scheduler *s = shard->scheduler;
	struct instance *i = oldest_idle(shard);

	if (i) {
		instance_kill(i);
		return;
	}
	for (unsigned k = 0; k < s->loops; k++) {
		struct reclaim *r;

		if (k == shard->loop)
			continue;
		r = mem_new(struct reclaim);
		r->shard = s->shards[k];
		r->message.fn = on_reclaim;
		rt_post(s->service->rt, k, &r->message);
	}
}

static bool reserve(struct scheduler *s, uint64_t memory)
{
	const struct lambda_options *o = &s->service->options;

	if (atomic_fetch_add(&s->instances, 1) >= o->instances_max) {
		atomic_fetch_sub(&s->instances, 1);
		return false;
	}
	if (atomic_fetch_add(&s->memory, memory) + memory > o->memory_bytes) {
		atomic_fetch_sub(&s->memory, memory);
		atomic_fetch_sub(&s->instances, 1);
		return false;
	}
	return true;
}

static void unreserve(struct scheduler *s, uint64_t memory)
{
	atomic_fetch_sub(&s->memory, memory);
	atomic_fetch_sub(&s->instances, 1);
}

/* Starts one: false when there is no room (and something idle is given up for it). */
static bool start_one(struct entry *e)
{
	struct scheduler *s = e->shard->scheduler;
	uint64_t memory = e->function->function.memory_mb * MIB;

	if (!reserve(s, memory)) {
		reclaim_one(e->shard);
		return false;
	}
	e->starting++;
	if (instance_begin(e, memory, INSTANCE_ON_DEMAND, NULL) >= 0)
		return true;
	e->starting--;
	unreserve(s, memory);
	return false;
}

int scheduler_again(struct entry *e, struct instance *i)
{
	TRY(instance_begin(e, i->memory_reserved, INSTANCE_SECOND, NULL));
	/* There are two until this one is gone. */
	atomic_fetch_add(&e->shard->scheduler->instances, 1);
	i->memory_reserved = 0;
	return 0;
}

static void start_later(struct shard *shard)
{
	shard->scarce = true;
	rt_timer_set(&shard->retry_timer, rt_after_ms(RETRY_MS));
}

/* As many are being started as invocations wait, while there is room. */
static void start_wanted(struct entry *e)
{
	/* Where functions compete for room each gets its share, in on_retry(). */
	while (wants_start(e) && !e->shard->scarce && !shard_service(e->shard)->stopping)
		if (!start_one(e))
			start_later(e->shard);
}

/* ---- provisioned ---- */

/* It is an instance like any other from now on, or is gone. */
static void let_go(struct entry *e, struct instance *i)
{
	if (!i->provisioned)
		return;
	i->provisioned = false;
	e->kept--;
	if (i->starting)
		e->starting++; /* somebody may be served by it after all */
	atomic_fetch_sub(&e->provision->allocated, 1);
	if (i->init_ns != INT64_MIN)
		atomic_fetch_sub(&e->provision->available, 1);
}

/* Starts what is missing of this loop's share; lets go what is too many. */
static void keep_ready(struct entry *e)
{
	struct scheduler *s = e->shard->scheduler;
	unsigned wanted = wants_kept(e), failures;
	uint64_t memory = e->function->function.memory_mb * MIB;

	list_for_each(at, &e->shard->instances) {
		struct instance *i = list_entry(at, struct instance, all_link);

		if (e->kept > wanted && i->entry == e && i->provisioned && !i->ending)
			let_go(e, i);
	}
	if (s->service->stopping || !e->provision)
		return;
	failures = atomic_load(&e->provision->failures);
	while (e->kept < wanted) {
		bool room = reserve(s, memory);

		if (!room || instance_begin(e, memory, INSTANCE_PROVISIONED, NULL) < 0) {
			if (room)
				unreserve(s, memory);
			else
				reclaim_one(e->shard);
			rt_timer_set(&e->provision_timer,
				rt_after_ms((int64_t)PROVISION_RETRY_MS << MIN(failures, 6u)));
			return;
		}
		e->kept++;
		atomic_fetch_add(&e->provision->allocated, 1);
	}
}

static void on_provision(struct rt_timer *timer)
{
	keep_ready(container_of(timer, struct entry, provision_timer));
}

struct provide {
	struct scheduler *scheduler;
	str account, region, name, version;
	struct rt_event done;
	int rc;
};

/* On each loop: the entry is made there when it has a share. */
static void provision_fiber(void *arg)
{
	struct provide *p = arg;
	struct shard *shard = my_shard(p->scheduler);
	struct arena a cleanup(arena_done_p) = {0};
	struct function_ref *f = NULL;
	struct entry *e;
	str key;

	arena_init(&a, SIZE_MAX);
	key = scheduler_entry_key(&a, p->account, p->region, p->name, p->version);
	p->rc = scheduler_function(p->scheduler, p->account, p->region, p->name, p->version, &f);
	e = map_get(&shard->entries, key);
	if (p->rc > 0) {
		struct provision *books = provision_of(p->scheduler->provisions, key);

		if (!e && provision_share(books, shard->loop, p->scheduler->loops))
			e = entry_new(shard, key, f);
		if (e)
			e->provision = books;
		p->rc = 0;
	} else if (p->rc == 0) {
		p->rc = ERR_NOT_FOUND;
	}
	if (e) {
		keep_ready(e);
		entry_free_if_unused(e);
	}
	function_unref(f);
	rt_event_set(&p->done);
}

int scheduler_provision(
	struct scheduler *s, str account, str region, str name, str version, unsigned count)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct provision *books;
	int rc = 0;

	arena_init(&a, SIZE_MAX);
	books = provision_of(
		s->provisions, scheduler_entry_key(&a, account, region, name, version));
	provision_want(
		s->provisions, books, quota_get(s->service->quotas, account, region, name), count);
	for (unsigned k = 0; k < s->loops; k++) {
		struct provide p = {s, account, region, name, version, {0}, 0};

		rt_event_init(&p.done);
		p.rc = rt_spawn_on(s->service->rt, k, provision_fiber, &p);
		if (p.rc >= 0)
			rt_event_wait_sure(&p.done);
		rc = p.rc < 0 ? p.rc : rc;
	}
	return count ? rc : 0;
}

const struct provision *scheduler_provisioned(
	struct scheduler *s, str account, str region, str name, str version)
{
	struct arena a cleanup(arena_done_p) = {0};

	arena_init(&a, SIZE_MAX);
	return provision_of(s->provisions, scheduler_entry_key(&a, account, region, name, version));
}

void scheduler_each_provisioned(struct scheduler *s, str account, str region, str name,
	void (*fn)(void *arg, str version), void *arg)
{
	struct arena a cleanup(arena_done_p) = {0};

	arena_init(&a, SIZE_MAX);
	provision_each(s->provisions,
		ARENA_CONCAT(
			&a, scheduler_entry_key(&a, account, region, name, STR_NULL), STR(":")),
		fn, arg);
}

int scheduler_snapshot(struct scheduler *s, struct function_ref *f, struct snapshot_job *job)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct shard *shard = my_shard(s);
	/* The image is written to /tmp, which counts, too. */
	uint64_t memory = 2 * f->function.memory_mb * MIB;
	struct entry *e;
	int rc = ERR_BUSY;
	str key;

	if (s->service->stopping)
		return ERR_CANCELLED;
	arena_init(&a, SIZE_MAX);
	key = scheduler_entry_key(
		&a, f->function.account, f->function.region, f->function.name, f->function.version);
	e = map_get(&shard->entries, key);
	if (!e)
		e = entry_new(shard, key, f);
	if (!reserve(s, memory)) {
		reclaim_one(shard);
	} else {
		rc = instance_begin(e, memory, INSTANCE_SNAPSHOT, job);
		if (rc < 0)
			unreserve(s, memory);
	}
	entry_free_if_unused(e);
	return rc;
}

void scheduler_started(struct entry *e, struct instance *i, bool good)
{
	if (!i->provisioned) {
		check(e->starting > 0);
		e->starting--;
	} else if (good) {
		atomic_fetch_add(&e->provision->available, 1);
		atomic_store(&e->provision->failures, 0);
	} else {
		atomic_fetch_add(&e->provision->failures, 1);
	}
}

void scheduler_gone(struct entry *e, struct instance *i)
{
	struct shard *shard = e->shard;
	struct scheduler *s = shard->scheduler;

	list_remove(&i->all_link);
	if (i->log_queued) { /* its feed is closed */
		i->log_queued = false;
		list_remove(&i->log_link);
		instance_unref(i);
	}
	atomic_fetch_sub(&s->memory, i->memory_reserved);
	atomic_fetch_sub(&s->instances, 1);
	e->instances--;
	i->entry = NULL;
	if (i->provisioned) {
		let_go(e, i);
		if (e->kept < wants_kept(e))
			rt_timer_set(&e->provision_timer,
				rt_after_ms(atomic_load(&e->provision->failures)
						    ? PROVISION_RETRY_MS
						    : 0));
	}
	start_wanted(e);
	entry_free_if_unused(e);
	/* Somebody may wait for just this room. */
	if (shard->retry_timer.deadline != RT_NEVER)
		rt_timer_set(&shard->retry_timer, rt_now_coarse());
}

static void on_retry(struct rt_timer *timer)
{
	struct shard *shard = container_of(timer, struct shard, retry_timer);
	struct entry *e;

	shard->scarce = false;
	while (!shard->scarce && !shard_service(shard)->stopping && (e = poorest(shard)))
		if (!start_one(e))
			start_later(shard);
}

/* Ends what was idle for too long, is too old, or is stuck between an answer and its next poll. */
static void on_sweep(struct rt_timer *timer)
{
	struct shard *shard = container_of(timer, struct shard, sweep_timer);
	const struct lambda_options *o = &shard->scheduler->service->options;
	int64_t now = rt_now_coarse();
	bool any = false;

	list_for_each_safe(at, &shard->instances) {
		struct instance *i = list_entry(at, struct instance, all_link);
		int64_t idle_ms = (now - i->idle_ns) / RT_NS_MS;

		any = true;
		if (i->ending || i->starting || i->run.active)
			continue;
		if ((i->listed && !i->provisioned && idle_ms > o->idle_ms) ||
			(!i->listed && !i->poll_wanted && idle_ms > STUCK_MS) ||
			(i->listed && now - i->born_ns > LAMBDA_INSTANCE_AGE_MS_MAX * RT_NS_MS))
			instance_kill(i);
	}
	if (any)
		rt_timer_set(timer, now + SWEEP_MS * RT_NS_MS);
}

struct provision *scheduler_entry_provision(const struct entry *e)
{
	return e->provision;
}

/* ---- invoking ---- */

/* TooManyRequestsException with what was reached, as a member that clients look at. */
static int throttle(struct entry *e, struct invocation *inv, str reason, const char *text)
{
	int rc = lambda_fault_set(&inv->fault, inv->arena, LAMBDA_TOO_MANY_REQUESTS, "%s", text);

	lambda_count(&shard_service(e->shard)->counters.throttles);
	lambda_metric(
		shard_service(e->shard), &e->function->function, "Throttles", 1, METRIC_COUNT);
	inv->fault.members =
		value_new(inv->arena, model_named(STR("lambda")), "TooManyRequestsException");
	value_put_str(inv->fault.members, "Reason", reason);
	return rc;
}

/* A chain of requests that runs the function again and again is stopped, unless it may. */
static int check_loop(struct entry *e, struct invocation *inv)
{
	const struct function *f = &e->function->function;
	str trace;

	if (lineage_step(inv->arena, inv->trace, f->arn, &trace) > LINEAGE_RUNS_MAX &&
		!f->recursion_allow) {
		lambda_metric(
			shard_service(e->shard), f, "RecursiveInvocationsDropped", 1, METRIC_COUNT);
		return lambda_fault_set(&inv->fault, inv->arena, LAMBDA_RECURSIVE,
			"Lambda has detected your function being invoked in a recursive loop and "
			"stopped your function's invocation.");
	}
	/* What made no header of its own has none to pass on: then the run gets a new root. */
	inv->lineage = str_from(trace, (size_t)str_find_str(trace, STR("Lineage=")));
	return 0;
}

static int admit(struct scheduler *s, struct entry *e, struct invocation *inv)
{
	if (s->service->stopping)
		return lambda_fault_set(
			&inv->fault, inv->arena, LAMBDA_SERVICE, "The server is stopping.");
	TRY(check_loop(e, inv));
	quota_reserve(e->quota, e->function->function.reserved);
	switch (quota_enter(e->quota, &inv->place)) {
	case QUOTA_ACCOUNT_FULL:
		return throttle(e, inv, STR("ConcurrentInvocationLimitExceeded"), "Rate Exceeded.");
	case QUOTA_FUNCTION_FULL:
		return throttle(e, inv, STR("ReservedFunctionConcurrentInvocationLimitExceeded"),
			"Rate Exceeded.");
	case QUOTA_OK: break;
	}
	figures_admitted(s->service->ports, &e->function->function, e->quota);
	return 0;
}

/*
 * Queues for an instance: 0 with inv->instance or inv->over. The burst counts instances: who will
 * be served by one that is being started already takes nothing of it.
 */
static int wait_instance(struct entry *e, struct invocation *inv)
{
	int64_t queue_end = rt_after_ms(LAMBDA_QUEUE_MS_MAX);

	list_push_back(&e->waiting, &inv->link);
	e->waiting_count++;
	if (wants_start(e) && !e->shard->scarce && !quota_grow(e->quota, rt_now())) {
		list_remove(&inv->link);
		e->waiting_count--;
		return throttle(e, inv, STR("ConcurrentInvocationLimitExceeded"), "Rate Exceeded.");
	}
	start_wanted(e);
	while (!inv->instance && !inv->over) {
		/* While one is being started its own time-outs bound the wait. */
		int64_t deadline =
			e->starting ? inv->deadline_ns : MIN(inv->deadline_ns, queue_end);
		int64_t step = MIN(deadline, rt_after_ms(LAMBDA_QUEUE_MS_MAX));
		int rc = rt_event_wait(&inv->event, step);

		if (rc >= 0 || inv->instance || inv->over)
			continue;
		if (rc == ERR_TIMEOUT && rt_now() < deadline)
			continue;
		list_remove(&inv->link);
		e->waiting_count--;
		if (rc == ERR_TIMEOUT && rt_now() < inv->deadline_ns) {
			return throttle(e, inv, STR("ConcurrentInvocationLimitExceeded"),
				arena_printf(inv->arena,
					"This server has no room for another instance of the "
					"function now: "
					"%llu MiB of memory and %u instances in all are its "
					"limits.",
					(unsigned long long)(e->shard->scheduler->service->options
								     .memory_bytes /
							     MIB),
					e->shard->scheduler->service->options.instances_max)
					.p);
		}
		return rc;
	}
	return 0;
}

/* Runs on instances of this loop until one took the event. */
static int invoke_here(struct entry *e, struct instance *first, struct invocation *inv)
{
	struct instance *i = first;

	for (int offers = 0; offers < LAMBDA_DELIVERIES_MAX; offers++) {
		int rc;

		if (!i)
			i = take_idle(e);
		if (!i) {
			TRY(wait_instance(e, inv));
			if (inv->over)
				return inv->rc;
			i = inv->instance;
			inv->instance = NULL;
		}
		rc = i->state == INSTANCE_ENDED ? ERR_BUSY : instance_run(i, inv);
		instance_unref(i);
		if (rc != ERR_BUSY || inv->over)
			return rc;
		i = NULL;
		rt_event_init(&inv->event);
	}
	return lambda_fault_set(&inv->fault, inv->arena, LAMBDA_SERVICE,
		"None of %d execution environments took the event.", LAMBDA_DELIVERIES_MAX);
}

struct visit {
	struct scheduler *scheduler;
	str key;
	uint64_t deployment;
	struct invocation *inv;
	struct rt_event done;
	int rc;
	bool ran;
};

/* On the other loop: only with an instance that is idle there right now. */
static void visit_fiber(void *arg)
{
	struct visit *v = arg;
	struct shard *shard = my_shard(v->scheduler);
	struct entry *e = map_get(&shard->entries, v->key);
	struct instance *i = NULL;

	if (e && e->function->function.deployment == v->deployment)
		i = take_idle(e);
	if (i) {
		v->rc = i->state == INSTANCE_ENDED ? ERR_BUSY : instance_run(i, v->inv);
		v->ran = v->rc != ERR_BUSY || v->inv->over;
		instance_unref(i);
	}
	rt_event_set(&v->done);
}

/* Tries the loops that may have an idle instance: true when the run took place there. */
static bool invoke_elsewhere(struct entry *e, struct invocation *inv, int *ret_rc)
{
	struct scheduler *s = e->shard->scheduler;

	for (unsigned k = 0; k < s->loops && !inv->write; k++) {
		struct visit v = {s, e->key, e->function->function.deployment, inv, {0}, 0, false};

		if (k == e->shard->loop ||
			atomic_load_explicit(&s->hints[k][e->hint], memory_order_relaxed) == 0)
			continue;
		rt_event_init(&v.done);
		if (rt_spawn_on(s->service->rt, k, visit_fiber, &v) < 0)
			continue;
		rt_event_wait_sure(&v.done);
		if (v.ran) {
			*ret_rc = v.rc;
			return true;
		}
		rt_event_init(&inv->event);
	}
	return false;
}

int scheduler_invoke(struct scheduler *s, struct function_ref *f, struct invocation *inv)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct shard *shard = my_shard(s);
	struct instance *i;
	struct entry *e;
	str key;
	int rc;

	arena_init(&a, SIZE_MAX);
	key = tenant_key(&a,
		scheduler_entry_key(&a, f->function.account, f->function.region, f->function.name,
			f->function.version),
		inv->tenant);
	e = map_get(&shard->entries, key);
	if (!e)
		e = entry_new(shard, key, f);
	else if (inv->tenant.p && !str_eq(e->function->record, f->record))
		entry_renew(e, f); /* scheduler_function() knows no tenants */
	rt_event_init(&inv->event);
	list_init(&inv->link);
	e->users++;
	rc = admit(s, e, inv);
	if (rc >= 0) {
		atomic_fetch_add_explicit(&s->running, 1, memory_order_relaxed);
		i = take_idle(e);
		if (i || !invoke_elsewhere(e, inv, &rc))
			rc = invoke_here(e, i, inv);
		atomic_fetch_sub_explicit(&s->running, 1, memory_order_relaxed);
		/* A run that its caller has left is counted until its own end. */
		if (!inv->left)
			quota_leave(e->quota, inv->place);
	}
	e->users--;
	entry_free_if_unused(e);
	return rc;
}

/* ---- life ---- */

struct scheduler *scheduler_new(struct lambda_service *service)
{
	struct scheduler *s = mem_new(struct scheduler);

	s->service = service;
	s->loops = rt_loop_count(service->rt);
	s->provisions = provisions_new();
	s->hints = mem_zero_array(s->loops, sizeof(*s->hints));
	for (unsigned k = 0; k < s->loops; k++) {
		struct shard *shard = mem_new(struct shard);

		shard->scheduler = s;
		shard->loop = k;
		list_init(&shard->instances);
		list_init(&shard->log_dirty);
		rt_timer_init(&shard->log_timer, shard_log_due);
		rt_timer_init(&shard->sweep_timer, on_sweep);
		rt_timer_init(&shard->retry_timer, on_retry);
		s->shards[k] = shard;
	}
	return s;
}

void scheduler_free(struct scheduler *s)
{
	if (!s)
		return;
	for (unsigned k = 0; k < s->loops; k++) {
		struct shard *shard = s->shards[k];

		map_for_each(slot, &shard->entries) {
			struct entry *e = slot->value;

			function_unref(e->function);
			quota_put(e->quota);
			mem_free((char *)e->key.p);
			mem_free(e);
		}
		map_done(&shard->entries);
		for (unsigned i = 0; i < shard->slot_count; i++)
			mem_free(shard->slots[i].connections);
		mem_free(shard->slots);
		mem_free(shard);
	}
	provisions_free(s->provisions);
	mem_free(s->hints);
	mem_free(s);
}
