/*
 * Events in the store, the dispatcher, and runs.
 *
 * An event that finds a free place is written as running already and starts at once, on the loop of
 * its caller: two commits in its life. Others wait in the store, where the dispatcher finds them by
 * due time; memory holds only what runs.
 */
#include "services/lambda/events.h"

#include "aws/keyspace.h"
#include "aws/ports/deliver.h"
#include "aws/principal.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "kv/kv.h"
#include "rt/rt.h"
#include "services/lambda/destination.h"
#include "services/lambda/event_invoke.h"
#include "services/lambda/figures.h"
#include "services/lambda/role.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

enum {
	STATE_FORMAT = 3, /* 1 had no qualifier, 2 no tenant */
	KEY_STATE = 1,
	KEY_PAYLOAD = 2,
	ID_BYTES = 36,
	CRASHES_MAX = 2,
	THROTTLE_MS = 1000,
	THROTTLE_MS_MAX = 300000,
	IDLE_MS = 60000,
	KV_MS = 30000,
	/* Of a record in a bucket: event and answer as texts in JSON. */
	OBJECT_BYTES_MAX = 2 * (LAMBDA_EVENT_BYTES_MAX + LAMBDA_RESPONSE_BYTES_MAX) + 65536,
	STOP_STEP_MS = 5,
	KEY_MAX = 256
};

struct events {
	struct lambda_service *service;
	uint64_t boot; /* of this start; never 0 */
	_Atomic unsigned running;
	_Atomic bool starved; /* something due waits for a place */
	_Atomic bool stopping;
	struct rt_event wake, stopped;
	bool started;
	unsigned next_loop;
};

struct event {
	str id; /* the request id */
	int64_t due_ms, created_ms;
	uint32_t attempts, throttles, crashes;
	uint64_t boot;                        /* that runs it; 0: it waits */
	str account, region, name, qualifier; /* qualifier STR_NULL: none */
	str tenant;                           /* empty: none */
};

/* ---- records ---- */

static str state_key(struct arena *a, int64_t due_ms, str id)
{
	struct buf key;

	buf_init(&key, a, KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_EVENTS);
	buf_put_char(&key, KEY_STATE);
	buf_put_be64(&key, (uint64_t)due_ms);
	buf_put(&key, id);
	return buf_str(&key);
}

static str payload_key(struct arena *a, str id)
{
	struct buf key;

	buf_init(&key, a, KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_EVENTS);
	buf_put_char(&key, KEY_PAYLOAD);
	buf_put(&key, id);
	return buf_str(&key);
}

static str quarantine_key(struct arena *a, str id)
{
	struct buf key;

	buf_init(&key, a, KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_META);
	keyspace_put(&key, STR("quarantine"));
	buf_put(&key, id);
	return buf_str(&key);
}

static void put_text(struct buf *b, str s)
{
	buf_put_varint(b, s.n);
	buf_put(b, s);
}

static bool take_text(str *in, str *ret)
{
	uint64_t n;

	return str_take_varint(in, &n) && n <= in->n && str_take(in, n, ret);
}

static bool decode_state(str key, str value, struct event *ret)
{
	struct event e = {.tenant = STR("")};
	uint64_t due, created;
	uint8_t format;

	key = str_from(key, 2);
	if (!str_take_be64(&key, &due) || key.n != ID_BYTES || !str_take_u8(&value, &format) ||
		format < 1 || format > STATE_FORMAT || !str_take_be64(&value, &created) ||
		!str_take_be64(&value, &e.boot) || !str_take_be32(&value, &e.attempts) ||
		!str_take_be32(&value, &e.throttles) || !str_take_be32(&value, &e.crashes) ||
		!take_text(&value, &e.account) || !take_text(&value, &e.region) ||
		!take_text(&value, &e.name) || (format > 1 && !take_text(&value, &e.qualifier)) ||
		(format > 2 && !take_text(&value, &e.tenant)) || value.n)
		return false;
	if (!e.qualifier.n)
		e.qualifier = STR_NULL;
	e.id = key;
	e.due_ms = (int64_t)due;
	e.created_ms = (int64_t)created;
	*ret = e;
	return true;
}

static str encode_state(struct arena *a, const struct event *e)
{
	struct event back;
	struct buf b;

	buf_init(&b, a, 1024);
	buf_put_char(&b, STATE_FORMAT);
	buf_put_be64(&b, (uint64_t)e->created_ms);
	buf_put_be64(&b, e->boot);
	buf_put_be32(&b, e->attempts);
	buf_put_be32(&b, e->throttles);
	buf_put_be32(&b, e->crashes);
	put_text(&b, e->account);
	put_text(&b, e->region);
	put_text(&b, e->name);
	put_text(&b, e->qualifier);
	put_text(&b, e->tenant);
	check(!b.over && decode_state(state_key(a, e->due_ms, e->id), buf_str(&b), &back));
	return buf_str(&b);
}

/* Copies the texts. */
static struct event event_copy(struct arena *a, const struct event *from)
{
	struct event e = *from;

	e.id = arena_str(a, e.id);
	e.account = arena_str(a, e.account);
	e.region = arena_str(a, e.region);
	e.name = arena_str(a, e.name);
	e.tenant = arena_str(a, e.tenant);
	if (e.qualifier.p)
		e.qualifier = arena_str(a, e.qualifier);
	return e;
}

/* Replaces the state `from` (NULL: none) by `to` (NULL: none, and the payload goes too). */
static int move(struct events *ev, const struct event *from, const struct event *to)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	str keys[3];
	size_t n = 0;

	arena_init(&a, SIZE_MAX);
	keys[n++] = state_key(&a, from->due_ms, from->id);
	if (to)
		keys[n++] = state_key(&a, to->due_ms, to->id);
	else
		keys[n++] = payload_key(&a, from->id);
	TRY(kv_txn_begin(ev->service->kv, keys, n, rt_after_ms(KV_MS), &txn));
	kv_txn_delete(txn, keys[0]);
	if (to)
		kv_txn_put(txn, keys[1], encode_state(&a, to));
	else
		kv_txn_delete(txn, keys[1]);
	return kv_commit(txn, NULL);
}

/* ---- running ---- */

struct event_run {
	struct events *events;
	struct arena arena;
	struct event event;
	struct event_invoke config;
	/* Of the function that ran; STR_NULL: none did. */
	str role, version, dead_letters;
	bool stopped;          /* by a reserved concurrency of 0 */
	const char *condition; /* how it ended; NULL: it has not */
};

static void place_free(struct events *ev)
{
	atomic_fetch_sub(&ev->running, 1);
	if (atomic_load(&ev->starved))
		rt_event_set(&ev->wake);
}

static bool place_take(struct events *ev)
{
	if (atomic_load(&ev->stopping))
		return false;
	if (atomic_fetch_add(&ev->running, 1) < LAMBDA_EVENTS_RUNNING_MAX)
		return true;
	atomic_fetch_sub(&ev->running, 1);
	return false;
}

static void add_metric(struct events *ev, const struct event *e, const char *name, double value,
	enum metric_unit unit)
{
	figures_add(ev->service->ports, e->account, e->region, e->name, name, value, unit);
}

static void drop(struct event_run *r, const char *why)
{
	r->condition = why;
	add_metric(r->events, &r->event, "AsyncEventsDropped", 1, METRIC_COUNT);
	log_warn("lambda", "an asynchronous event was given up",
		"request=%.*s function=%.*s account=%.*s attempts=%u reason=%s",
		STR_ARG(r->event.id), STR_ARG(r->event.name), STR_ARG(r->event.account),
		r->event.attempts, why);
}

/* What becomes of it: true and the next state, false: nothing is left to do. */
static bool next_state(
	struct event_run *r, int rc, const struct invocation *inv, struct event *next)
{
	struct events *ev = r->events;
	int64_t base = ev->service->options.retry_base_ms, now = rt_wall() / RT_NS_MS, pause;

	*next = r->event;
	next->boot = 0;
	if (rc >= 0 && !inv->function_error.p) {
		r->condition = "Success";
		next->attempts++;
		return false;
	}
	if (rc == ERR_FAULT && inv->fault.kind == &lambda_faults[LAMBDA_RECURSIVE]) {
		/* As documented: not tried again, and who is told of failures is told. */
		drop(r, "RetriesExhausted");
		return false;
	}
	/* As documented: "without any retries". */
	if (rc == ERR_FAULT && r->stopped) {
		drop(r, "ZeroReservedConcurrency");
		return false;
	}
	if (ev->service->stopping) {
		next->due_ms = now;
		return true;
	}
	if (rc >= 0) {
		next->attempts++;
		if (next->attempts > r->config.retries) {
			drop(r, "RetriesExhausted");
			return false;
		}
		pause = base << (next->attempts - 1);
	} else {
		/* Not the function's fault: throttled, no room, storage trouble. */
		pause = (int64_t)THROTTLE_MS << MIN(next->throttles, 10u);
		pause = MIN(pause, (int64_t)THROTTLE_MS_MAX / 2);
		/* Those turned away at the same time do not come back at the same time. */
		pause += (int64_t)(rt_random() % (uint64_t)pause);
		next->throttles++;
	}
	next->due_ms = now + pause;
	if (next->due_ms - next->created_ms > r->config.age_ms) {
		drop(r, "EventAgeExceeded");
		return false;
	}
	return true;
}

static int run_once(struct event_run *r, struct invocation *inv)
{
	struct lambda_service *s = r->events->service;
	struct function_ref *f = NULL;
	str record, client_context, trace;
	int rc;

	if (TRY(kv_get(s->kv, payload_key(&r->arena, r->event.id), &r->arena, &record)) == 0 ||
		!take_text(&record, &client_context) || !take_text(&record, &trace))
		return ERR_CORRUPT;
	*inv = (struct invocation){
		.arena = &r->arena,
		.request_id = r->event.id,
		.payload = record,
		.arn = function_arn(&r->arena, r->event.account, r->event.region, r->event.name,
			r->event.qualifier),
		.client_context = client_context.n ? client_context : STR_NULL,
		.trace = trace.n ? trace : STR_NULL,
		.tenant = r->event.tenant.n ? r->event.tenant : STR_NULL,
		.deadline_ns = RT_NEVER,
	};
	if (TRY(invoke_find(s, &r->arena, r->event.account, r->event.region, r->event.name,
		    r->event.qualifier, &f)) == 0)
		return ERR_NOT_FOUND;
	r->role = arena_str(&r->arena, f->function.role);
	r->version = arena_str(&r->arena, f->function.version);
	r->dead_letters = arena_str(&r->arena, f->function.dead_letters);
	add_metric(r->events, &r->event, "AsyncEventAge",
		(double)MAX(rt_wall() / RT_NS_MS - r->event.created_ms, INT64_C(0)),
		METRIC_MILLISECONDS);
	r->stopped = f->function.reserved == 0;
	rc = scheduler_invoke(s->scheduler, f, inv);
	function_unref(f);
	return rc;
}

/* ---- destinations ---- */

/* To a bucket as an object of its own, to others through the port. */
static int deliver(struct event_run *r, const struct deliver_request *request, str *ret_why)
{
	struct arena *a = &r->arena;

	if (!destination_is_bucket(request->target))
		return port_deliver(r->events->service->ports, a, request, ret_why);
	return destination_put(r->events->service->ports, a,
		&(struct destination_record){.bucket_arn = request->target,
			.account = request->account,
			.region = request->region,
			.as = request->as,
			.folder = ARENA_CONCAT(a, STR("aws/lambda/async/"), r->event.name),
			.body = request->body,
			.time_ms = rt_wall() / RT_NS_MS},
		ret_why);
}

/* What is handed on, and what is counted and logged when it cannot be. */
static void hand_on(struct event_run *r, struct deliver_request *request, const char *metric)
{
	struct principal role;
	str why = STR("the role is not known");
	int rc = role_find(r->events->service, &r->arena, r->role, r->event.name, &role);

	request->account = r->event.account;
	request->region = r->event.region;
	request->deadline_ns = rt_after_ms(KV_MS);
	request->as = rc > 0 ? &role : NULL;
	if (rc >= 0)
		rc = deliver(r, request, &why);
	if (rc >= 0)
		return;
	log_error("lambda", "the end of an asynchronous event could not be handed on",
		"request=%.*s function=%.*s account=%.*s target=%.*s error=%s reason=%.*s",
		STR_ARG(r->event.id), STR_ARG(r->event.name), STR_ARG(r->event.account),
		STR_ARG(request->target), rc_text(rc), STR_ARG(why));
	add_metric(r->events, &r->event, metric, 1, METRIC_COUNT);
}

static void tell_destination(
	struct event_run *r, str arn, unsigned attempts, const struct invocation *inv)
{
	const struct event_invoke_end end = {
		.request_id = r->event.id,
		.function_arn = function_arn(&r->arena, r->event.account, r->event.region,
			r->event.name, r->event.qualifier.p ? r->event.qualifier : STR("$LATEST")),
		.condition = r->condition,
		.attempts = attempts,
		.payload = inv->payload,
		.version = inv->over ? r->version : STR_NULL,
		.function_error = inv->function_error,
		.response = inv->payload_out,
		.time_ms = rt_wall() / RT_NS_MS,
	};
	size_t max = destination_is_bucket(arn) ? (size_t)OBJECT_BYTES_MAX
						: (size_t)LAMBDA_EVENT_BYTES_MAX;
	struct deliver_request request = {.target = arn,
		.body = event_invoke_record(&r->arena, &end, max),
		.trace = inv->trace};

	if (request.body.p) {
		hand_on(r, &request, "DestinationDeliveryFailures");
		return;
	}
	log_error("lambda", "the record for a destination is larger than an event may be",
		"request=%.*s function=%.*s account=%.*s destination=%.*s", STR_ARG(r->event.id),
		STR_ARG(r->event.name), STR_ARG(r->event.account), STR_ARG(arn));
	add_metric(r->events, &r->event, "DestinationDeliveryFailures", 1, METRIC_COUNT);
}

/* The event itself, with what went wrong beside it. */
static void tell_dead_letters(struct event_run *r, const struct invocation *inv)
{
	const struct deliver_attribute attributes[] = {
		{"RequestID", "String", r->event.id},
		{"ErrorCode", "Number", STR("200")},
		{"ErrorMessage", "String",
			inv->payload_out.n ? event_invoke_error(&r->arena, inv->payload_out)
					   : str_c(r->condition)},
	};
	struct deliver_request request = {.target = r->dead_letters,
		.body = inv->payload,
		.trace = inv->trace,
		.attributes = attributes,
		.attribute_count = ARRAY_SIZE(attributes)};

	hand_on(r, &request, "DeadLetterErrors");
}

/* The end is told before the event is gone: a crash in between tells it twice. */
static void tell_end(struct event_run *r, const struct event *last, const struct invocation *inv)
{
	bool success = r->condition && str_eq(str_c(r->condition), STR("Success"));
	str arn = success ? r->config.on_success : r->config.on_failure;

	if (!r->condition)
		return;
	if (arn.n)
		tell_destination(r, arn, last->attempts, inv);
	if (!success && r->dead_letters.n)
		tell_dead_letters(r, inv);
}

static void run_fiber(void *arg)
{
	struct event_run *r = arg;
	struct events *ev = r->events;
	struct invocation inv = {0};
	const struct function_name name = {
		r->event.account, r->event.region, r->event.name, r->event.qualifier};
	struct event next;
	bool again;
	int rc;

	rc = event_invoke_load(ev->service, &r->arena, &name, &r->config);
	if (rc < 0) /* AWS's own */
		r->config = (struct event_invoke){
			LAMBDA_EVENT_RETRIES_MAX, LAMBDA_EVENT_AGE_MS_MAX, STR(""), STR("")};
	rc = run_once(r, &inv);
	if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT) {
		drop(r, rc == ERR_CORRUPT ? "its payload is damaged" : "the function is gone");
		again = false;
	} else {
		again = next_state(r, rc, &inv, &next);
		tell_end(r, &next, &inv);
	}
	rc = move(ev, &r->event, again ? &next : NULL);
	if (rc < 0)
		log_error("lambda", "an asynchronous event's end could not be written",
			"request=%.*s error=%s", STR_ARG(r->event.id), rc_text(rc));
	if (!again)
		atomic_fetch_sub(&ev->service->counters.events_waiting, 1);
	else
		rt_event_set(&ev->wake);
	arena_done(&r->arena);
	mem_free(r);
	place_free(ev);
}

static struct event_run *run_new(struct events *ev, const struct event *e)
{
	struct event_run *r = mem_new(struct event_run);

	r->events = ev;
	arena_init(&r->arena, SIZE_MAX);
	r->event = event_copy(&r->arena, e);
	return r;
}

/* ---- adding ---- */

static int write_new(struct events *ev, const struct event *e, str payload, str client_context,
	str trace, int64_t deadline)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	struct buf record;
	str keys[2];

	arena_init(&a, SIZE_MAX);
	keys[0] = state_key(&a, e->due_ms, e->id);
	keys[1] = payload_key(&a, e->id);
	buf_init(&record, &a, LAMBDA_EVENT_BYTES_MAX + (size_t)LAMBDA_RECORD_BYTES_MAX);
	put_text(&record, client_context);
	put_text(&record, str_sub(trace, 0, 1024));
	buf_put(&record, payload);
	check(!record.over);
	TRY(kv_txn_begin(ev->service->kv, keys, 2, deadline, &txn));
	kv_txn_put(txn, keys[0], encode_state(&a, e));
	kv_txn_put(txn, keys[1], buf_str(&record));
	return kv_commit(txn, NULL);
}

int events_add(struct events *ev, str arn, str payload, str client_context, str trace, str tenant,
	str request_id)
{
	int64_t now = rt_wall() / RT_NS_MS;
	bool place = place_take(ev);
	struct function_name name;
	struct event e = {
		.id = request_id,
		.due_ms = now,
		.created_ms = now,
		.boot = place ? ev->boot : 0,
		.tenant = tenant.p ? tenant : STR(""),
	};
	struct event_run *r;
	int rc;

	check(request_id.n == ID_BYTES && function_name_parse(arn, &name) == 0 && name.account.n);
	e.account = name.account;
	e.region = name.region;
	e.name = name.name;
	e.qualifier = name.qualifier;
	rc = write_new(ev, &e, payload, client_context, trace, rt_after_ms(KV_MS));
	if (rc < 0) {
		if (place)
			place_free(ev);
		return rc;
	}
	atomic_fetch_add(&ev->service->counters.events_waiting, 1);
	add_metric(ev, &e, "AsyncEventsReceived", 1, METRIC_COUNT);
	if (!place) {
		rt_event_set(&ev->wake);
		return 0;
	}
	r = run_new(ev, &e);
	if (rt_spawn(run_fiber, r) < 0)
		run_fiber(r); /* no fiber to be had: in ours, before the answer */
	return 0;
}

/* ---- the dispatcher ---- */

/* Marks it as running and starts it. */
static int start_run(struct events *ev, const struct event *e)
{
	struct event marked = *e;
	struct event_run *r;

	marked.boot = ev->boot;
	TRY(move(ev, e, &marked));
	r = run_new(ev, &marked);
	ev->next_loop = (ev->next_loop + 1) % rt_loop_count(ev->service->rt);
	if (rt_spawn_on(ev->service->rt, ev->next_loop, run_fiber, r) < 0)
		run_fiber(r);
	return 0;
}

/* Starts what is due while there are places; *ret_due: when to look again, ms since 1970. */
static int dispatch(struct events *ev, int64_t *ret_due)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 0};
	int64_t now = rt_wall() / RT_NS_MS;
	struct event e;
	str key, value;

	arena_init(&a, SIZE_MAX);
	range.from = str_of((const char[]){KEYSPACE_LAMBDA_EVENTS, KEY_STATE}, 2);
	range.to = keyspace_prefix_end(&a, range.from);
	*ret_due = now + IDLE_MS;
	atomic_store(&ev->starved, false);
	TRY(kv_scan_open(ev->service->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		if (!decode_state(key, value, &e)) {
			log_error("lambda", "an asynchronous event's record is damaged",
				"key=%zu bytes", key.n);
			continue;
		}
		if (e.boot == ev->boot)
			continue;
		if (e.due_ms > now) {
			*ret_due = MIN(*ret_due, e.due_ms);
			break;
		}
		if (!place_take(ev)) {
			atomic_store(&ev->starved, true);
			/* One may have become free just before: look once more soon. */
			*ret_due = now + THROTTLE_MS;
			break;
		}
		e = event_copy(&a, &e);
		if (start_run(ev, &e) < 0) {
			place_free(ev);
			*ret_due = now + THROTTLE_MS;
			break;
		}
	}
	return 0;
}

static void dispatch_fiber(void *arg)
{
	struct events *ev = arg;

	while (!atomic_load(&ev->stopping)) {
		int64_t due;
		int rc = dispatch(ev, &due);

		if (rc < 0)
			due = rt_wall() / RT_NS_MS + THROTTLE_MS;
		rc = rt_event_wait(
			&ev->wake, rt_after_ms(MAX(due - rt_wall() / RT_NS_MS, INT64_C(0))));
		if (rc < 0 && rc != ERR_TIMEOUT)
			break;
	}
	rt_event_set(&ev->stopped);
}

/* ---- start and end ---- */

static int put_aside(struct events *ev, const struct event *e)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	str keys[2];

	arena_init(&a, SIZE_MAX);
	keys[0] = state_key(&a, e->due_ms, e->id);
	keys[1] = quarantine_key(&a, e->id);
	TRY(kv_txn_begin(ev->service->kv, keys, 2, rt_after_ms(KV_MS), &txn));
	kv_txn_delete(txn, keys[0]);
	kv_txn_put(txn, keys[1], encode_state(&a, e));
	log_error("lambda", "an asynchronous event was running at two crashes and is put aside",
		"request=%.*s function=%.*s account=%.*s region=%.*s", STR_ARG(e->id),
		STR_ARG(e->name), STR_ARG(e->account), STR_ARG(e->region));
	return kv_commit(txn, NULL);
}

/* What was running when the server ended without saying so; only a worker's crash blames it. */
static int recover(struct events *ev)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 0};
	struct event e, next;
	str key, value;

	arena_init(&a, SIZE_MAX);
	range.from = str_of((const char[]){KEYSPACE_LAMBDA_EVENTS, KEY_STATE}, 2);
	range.to = keyspace_prefix_end(&a, range.from);
	TRY(kv_scan_open(ev->service->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		if (!decode_state(key, value, &e))
			continue;
		atomic_fetch_add(&ev->service->counters.events_waiting, 1);
		if (!e.boot)
			continue;
		e = event_copy(&a, &e);
		next = e;
		next.boot = 0;
		next.crashes += ev->service->options.after_crash;
		if (next.crashes >= CRASHES_MAX) {
			TRY(put_aside(ev, &next));
			atomic_fetch_sub(&ev->service->counters.events_waiting, 1);
		} else {
			TRY(move(ev, &e, &next));
		}
	}
	return 0;
}

struct events *events_new(struct lambda_service *s)
{
	struct events *ev = mem_new(struct events);

	ev->service = s;
	rt_event_init(&ev->wake);
	rt_event_init(&ev->stopped);
	return ev;
}

int events_start(struct events *ev)
{
	while (!ev->boot)
		rt_random_bytes(&ev->boot, sizeof(ev->boot));
	TRY(recover(ev));
	TRY(rt_spawn(dispatch_fiber, ev));
	ev->started = true;
	return 0;
}

void events_stop(struct events *ev, int64_t deadline)
{
	if (!ev->started)
		return;
	atomic_store(&ev->stopping, true);
	rt_event_set(&ev->wake);
	rt_event_wait_sure(&ev->stopped);
	ev->started = false;
	while (atomic_load(&ev->running) && rt_now() < deadline)
		if (rt_sleep_until(rt_after_ms(STOP_STEP_MS)) < 0)
			break;
}

void events_free(struct events *ev)
{
	mem_free(ev);
}
