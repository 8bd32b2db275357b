/*
 * Booting, running and ending one instance.
 *
 * Fibers: one boots it and ends; the caller of instance_run() gives it work by answering the
 * runtime's parked GET next itself, so that a warm call needs no fiber switch on the way in; one
 * cleans up after the container's end. Time-outs come from a timer, outside fibers: the run is
 * ended there and the container killed; nothing in that path suspends.
 */
#include "services/lambda/instance.h"

#include "aws/ports/metric.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "http/http.h"
#include "services/lambda/credentials.h"
#include "services/lambda/endpoint.h"
#include "services/lambda/environment.h"
#include "services/lambda/image_boot.h"
#include "services/lambda/log_feed.h"
#include "services/lambda/pool.h"
#include "services/lambda/report.h"
#include "services/lambda/runtime_api.h"
#include "services/lambda/service.h"

#include <stdio.h>

enum {
	BOOT_DEADLINE_MS = 30000,
	FREEZE_MS = 20,
	GRACE_MS = 200, /* between an answer and the next request for work */
	READS_PER_TURN = 8,
	DRAIN_READS = 64,
	MEMORY_OVERHEAD_MIB = 16, /* PID 1 and page tables, beyond the function's own */
	CPU_MIB_PER_CORE = 1769
};

#define MIB (UINT64_C(1024) * 1024)

static const struct function *function_of(const struct instance *i)
{
	return &i->function->function;
}

void instance_unref(struct instance *i)
{
	check(i->refs > 0);
	if (--i->refs > 0)
		return;
	check(!i->listed && !i->poll && !i->run.active && !i->log_queued);
	log_feed_free(i->feed);
	function_unref(i->function);
	quota_put(i->quota);
	i->magic = 0;
	mem_free(i);
}

bool instance_step(struct instance *i, enum instance_event event)
{
	int state = instance_state_after(i->state, event);

	if (state < 0)
		return false;
	i->state = (enum instance_state)state;
	return true;
}

/* ---- output ---- */

/* Reads what is there, at most `reads` buffers: true when more may be. */
static bool read_output(
	struct instance *i, struct rt_stream **stream, enum log_feed_source source, unsigned reads)
{
	struct rt_buffer *buffer;
	int n = 0;

	if (!*stream)
		return false;
	buffer = rt_buffer_take();
	while (reads--) {
		n = rt_stream_try_read(*stream, buffer->p, sizeof(buffer->p));
		if (n <= 0)
			break;
		log_feed_output(i->feed, source, str_of(buffer->p, (size_t)n));
	}
	rt_buffer_give(buffer);
	if (n < 0) {
		rt_stream_close(*stream);
		*stream = NULL;
	}
	return n > 0;
}

static void on_output(struct rt_stream *stream unused_arg, void *arg)
{
	struct instance *i = check_object(arg, struct instance, INSTANCE_MAGIC);

	(void)read_output(i, &i->output, LOG_FEED_PLAIN, READS_PER_TURN);
}

static void on_telemetry(struct rt_stream *stream unused_arg, void *arg)
{
	struct instance *i = check_object(arg, struct instance, INSTANCE_MAGIC);

	(void)read_output(i, &i->telemetry, LOG_FEED_FRAMED, READS_PER_TURN);
}

/* What was written before an answer belongs before its END line. Bounded: a flood goes on. */
static void drain_output(struct instance *i)
{
	(void)read_output(i, &i->output, LOG_FEED_PLAIN, DRAIN_READS);
	(void)read_output(i, &i->telemetry, LOG_FEED_FRAMED, DRAIN_READS);
	log_feed_end_lines(i->feed);
}

/* ---- the end of a run ---- */

static void count_run(struct instance *i, bool error, int64_t duration_ns)
{
	const struct function *f = function_of(i);
	const struct port_metric *port = i->service->ports->metric;
	struct metric_dimension name = {STR("FunctionName"), f->name};
	int64_t wall_ms = rt_wall() / RT_NS_MS;

	lambda_count(&i->service->counters.invocations);
	if (error)
		lambda_count(&i->service->counters.errors);
	if (!port)
		return;
	port->add(port->self, f->account, f->region, STR("AWS/Lambda"), STR("Invocations"), &name,
		1, 1, METRIC_COUNT, wall_ms);
	port->add(port->self, f->account, f->region, STR("AWS/Lambda"), STR("Errors"), &name, 1,
		error, METRIC_COUNT, wall_ms);
	port->add(port->self, f->account, f->region, STR("AWS/Lambda"), STR("Duration"), &name, 1,
		(double)duration_ns / 1e6, METRIC_MILLISECONDS, wall_ms);
}

static uint64_t memory_peak(struct instance *i, uint64_t known)
{
	struct sandbox_usage usage = {0};
	uint64_t limit = function_of(i)->memory_mb * MIB;

	if (!known && i->container && sandbox_usage(i->container, &usage) == 0)
		known = usage.memory_peak_bytes;
	return MIN(known, limit);
}

struct run_end {
	const struct run_failure *failure; /* of the platform's; NULL: the function's own answer */
	str function_error, payload;       /* without a failure */
	bool timed_out;
	uint64_t memory_peak_bytes; /* 0: ask the container */
	int64_t duration_ns;        /* < 0: until now */
};

static void fill_waiter(struct invocation *inv, str function_error, str payload)
{
	inv->function_error = function_error;
	/* What was streamed is with the caller already; an error behind it is not. */
	inv->payload_out =
		inv->streamed && !function_error.p ? STR("") : arena_str(inv->arena, payload);
}

/* Ends the active run: log lines, figures, the waiting caller. */
static void run_over(struct instance *i, const struct run_end *end)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct invocation *inv = i->run.waiter;
	struct run_report report = {
		.request_id = str_of(i->run.request_id, i->run.request_id_bytes),
		.duration_ns = end->duration_ns,
		.init_ns = i->run.init_ns,
		.memory_mb = function_of(i)->memory_mb,
		.timed_out = end->timed_out,
	};
	str payload = end->payload, function_error = end->function_error;

	arena_init(&a, SIZE_MAX);
	check(i->run.active);
	if (end->duration_ns < 0)
		report.duration_ns = rt_now() - i->run.start_ns;
	drain_output(i);
	report.memory_peak_bytes = memory_peak(i, end->memory_peak_bytes);
	if (end->failure) {
		report.error_type = end->timed_out ? STR_NULL : end->failure->type;
		log_feed_line(i->feed,
			end->timed_out ? report_timeout_line(&a, rt_wall() / RT_NS_MS,
						 report.request_id, function_of(i)->timeout_s)
				       : failure_line(&a, end->failure, report.request_id));
		payload = failure_payload(&a, end->failure, report.request_id);
		function_error = STR("Unhandled");
	}
	log_feed_line(i->feed, report_end(&a, report.request_id));
	log_feed_line(i->feed, report_line(&a, &report));
	count_run(i, function_error.p != NULL, report.duration_ns);
	i->run.active = false;
	i->run.waiter = NULL;
	atomic_fetch_sub_explicit(&i->service->counters.instances_busy, 1, memory_order_relaxed);
	if (!inv) {
		quota_leave(i->quota, i->run.place);
		return;
	}
	fill_waiter(inv, function_error, payload);
	inv->tail = log_feed_tail_take(i->feed, inv->arena);
	inv->over = true;
	rt_event_set(&inv->event);
}

/* The instance can be promised to somebody again. */
static void becomes_idle(struct instance *i)
{
	int64_t now = rt_now_coarse();

	i->idle_ns = now;
	if (i->freeze_timer.deadline == RT_NEVER)
		rt_timer_set(&i->freeze_timer, now + FREEZE_MS * RT_NS_MS);
	if (i->service->stopping || now - i->born_ns > LAMBDA_INSTANCE_AGE_MS_MAX * RT_NS_MS)
		instance_kill(i);
	else
		scheduler_ready(i->entry, i);
}

void instance_answered(struct instance *i, str function_error, str payload)
{
	struct run_end end = {
		.function_error = function_error, .payload = payload, .duration_ns = -1};

	rt_timer_stop(&i->timer);
	run_over(i, &end);
	becomes_idle(i);
}

void instance_answered_badly(struct instance *i, const struct run_failure *failure)
{
	struct run_end end = {.failure = failure, .duration_ns = -1};

	rt_timer_stop(&i->timer);
	run_over(i, &end);
	becomes_idle(i);
}

/* ---- init ---- */

static void starting_over(struct instance *i, bool good)
{
	bool was = i->starting;

	i->starting = false;
	if (was)
		scheduler_started(i->entry, i, good);
}

/* Who is told that it could not start: nobody waits for one that is kept ready. */
static struct invocation *first_waiting(struct instance *i)
{
	return i->provisioned ? NULL : scheduler_take_waiting(i->entry);
}

/*
 * The instance will never work: log its init, and let the first invocation that waits fail with it.
 * `payload` is the runtime's own report, or empty: then it is made of the failure.
 */
static void init_over(struct instance *i, const struct run_failure *failure, str payload,
	uint64_t memory_peak_bytes, bool timed_out)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct invocation *inv = first_waiting(i);
	int64_t init_ns = rt_now() - i->started_ns;
	struct run_report report = {
		.init_ns = -1,
		.memory_mb = function_of(i)->memory_mb,
		.timed_out = timed_out,
		.error_type = timed_out ? STR_NULL : failure->type,
	};

	arena_init(&a, SIZE_MAX);
	drain_output(i);
	report.memory_peak_bytes = memory_peak(i, memory_peak_bytes);
	log_feed_line(
		i->feed, report_init(&a, init_ns, i->phase_invoke ? STR("invoke") : STR("init"),
				 timed_out ? STR("timeout") : STR("error"), report.error_type));
	starting_over(i, false);
	if (!inv)
		return;
	report.request_id = inv->request_id;
	report.duration_ns = init_ns;
	log_feed_tail_begin(i->feed, inv->log_tail);
	log_feed_line(i->feed, report_start(&a, inv->request_id, function_of(i)->version));
	log_feed_line(i->feed, timed_out ? report_timeout_line(&a, rt_wall() / RT_NS_MS,
						   inv->request_id, function_of(i)->timeout_s)
					 : failure_line(&a, failure, inv->request_id));
	log_feed_line(i->feed, report_end(&a, inv->request_id));
	log_feed_line(i->feed, report_line(&a, &report));
	count_run(i, true, init_ns);
	fill_waiter(inv, STR("Unhandled"),
		payload.n ? payload : failure_payload(&a, failure, inv->request_id));
	inv->tail = log_feed_tail_take(i->feed, inv->arena);
	inv->over = true;
	rt_event_set(&inv->event);
}

void instance_init_failed(struct instance *i, str payload, str type)
{
	/* The runtime's own lines say what happened. */
	struct run_failure failure = {type, STR_NULL, 0};

	check(payload.n > 0);
	rt_timer_stop(&i->timer);
	init_over(i, &failure, payload, 0, false);
	/* It exits by itself, or not: it is of no use. */
	instance_kill(i);
}

static void init_timed_out(struct instance *i)
{
	struct arena a cleanup(arena_done_p) = {0};
	uint32_t timeout_s = function_of(i)->timeout_s;

	arena_init(&a, SIZE_MAX);
	lambda_count(&i->service->counters.timeouts);
	if (i->phase_invoke) {
		struct run_failure failure = failure_timeout(&a, timeout_s);

		init_over(i, &failure, STR_NULL, 0, true);
	} else {
		/* As AWS does: once more, inside the invocation, with the function's time. */
		log_feed_line(i->feed, report_init(&a, rt_now() - i->started_ns, STR("init"),
					       STR("timeout"), STR_NULL));
		if (i->provisioned ||
			instance_begin(i->entry, i->memory_reserved, INSTANCE_SECOND) < 0) {
			starting_over(i, false);
		} else {
			/* It goes on with our place among the starting ones. */
			i->memory_reserved = 0;
			i->starting = false;
		}
	}
	instance_kill(i);
}

static void on_timer(struct rt_timer *timer)
{
	struct instance *i = container_of(timer, struct instance, timer);
	struct arena a cleanup(arena_done_p) = {0};
	struct run_failure failure;
	struct run_end end = {.failure = &failure, .timed_out = true};

	check(i->magic == INSTANCE_MAGIC);
	if (i->state == INSTANCE_INIT) {
		init_timed_out(i);
		return;
	}
	if (!i->run.active)
		return;
	arena_init(&a, SIZE_MAX);
	lambda_count(&i->service->counters.timeouts);
	failure = failure_timeout(&a, function_of(i)->timeout_s);
	end.duration_ns = function_of(i)->timeout_s * RT_NS_S;
	run_over(i, &end);
	instance_kill(i);
}

static void on_freeze(struct rt_timer *timer)
{
	struct instance *i = container_of(timer, struct instance, freeze_timer);
	int64_t due = i->idle_ns + FREEZE_MS * RT_NS_MS;

	check(i->magic == INSTANCE_MAGIC);
	if (i->state != INSTANCE_IDLE || !i->listed || i->frozen)
		return;
	if (rt_now_coarse() < due)
		rt_timer_set(&i->freeze_timer, due);
	else
		i->frozen = sandbox_freeze(i->container) == 0;
}

/* ---- polls ---- */

void instance_polled(struct instance *i, struct instance_poll *poll)
{
	if (i->poll && i->poll != poll)
		rt_event_set(&i->poll->event); /* superseded: its handler sees that */
	i->poll = poll;
	if (i->init_ns == INT64_MIN) {
		rt_timer_stop(&i->timer);
		i->init_ns = rt_now() - i->started_ns;
		(void)!sandbox_set_cpu(i->container,
			(uint32_t)(function_of(i)->memory_mb * 1000 / CPU_MIB_PER_CORE));
		if (i->provisioned)
			i->init_ns = -1; /* paid before the first run */
		starting_over(i, true);
	}
	if (i->poll_wanted)
		rt_event_set(&i->poll_event);
	else if (!i->listed && !i->run.active)
		becomes_idle(i);
	else if (i->freeze_timer.deadline == RT_NEVER)
		rt_timer_set(&i->freeze_timer, rt_now_coarse() + FREEZE_MS * RT_NS_MS);
}

/* ---- running ---- */

/* Waits until the runtime asks for work: 0, or ERR_BUSY. */
static int wait_poll(struct instance *i)
{
	int64_t deadline = rt_after_ms(GRACE_MS);

	while (i->state == INSTANCE_ANSWERED ||
		(i->state == INSTANCE_IDLE && (!i->poll || i->poll->answered))) {
		int rc;

		i->poll_wanted = true;
		rc = rt_event_wait(&i->poll_event, deadline);
		i->poll_wanted = false;
		if (rc < 0)
			return rc == ERR_CANCELLED ? rc : ERR_BUSY;
	}
	return i->state == INSTANCE_IDLE ? 0 : ERR_BUSY;
}

enum { DELIVERY_HEADERS = 6 };

/* The caller's trace, or a new root; with the functions that this chain of requests has run. */
static str trace_of(struct invocation *inv, struct arena *a)
{
	str rest = inv->trace, field;
	struct buf b;

	buf_init(&b, a, 4096 + inv->trace.n);
	while (str_split(&rest, ';', &field))
		if (field.n && !str_starts(field, STR("Lineage="))) {
			buf_put(&b, field);
			buf_put_char(&b, ';');
		}
	if (!b.n)
		buf_printf(&b, "Root=1-%08llx-%016llx%08llx;Parent=%016llx;Sampled=0;",
			(unsigned long long)(rt_wall() / RT_NS_S), (unsigned long long)rt_random(),
			(unsigned long long)(rt_random() >> 32), (unsigned long long)rt_random());
	buf_put(&b, inv->lineage);
	return buf_str(&b);
}

static unsigned delivery_headers(struct instance *i, struct invocation *inv, struct arena *a,
	int64_t deadline_wall_ms, struct http_header headers[DELIVERY_HEADERS])
{
	unsigned n = 0;
	str trace = trace_of(inv, a);

	headers[n++] = (struct http_header){STR("Content-Type"), STR("application/json"), 0};
	headers[n++] =
		(struct http_header){STR("Lambda-Runtime-Aws-Request-Id"), inv->request_id, 0};
	headers[n++] = (struct http_header){STR("Lambda-Runtime-Deadline-Ms"),
		arena_printf(a, "%lld", (long long)deadline_wall_ms), 0};
	headers[n++] = (struct http_header){STR("Lambda-Runtime-Invoked-Function-Arn"),
		inv->arn.p ? inv->arn : function_of(i)->arn, 0};
	headers[n++] = (struct http_header){STR("Lambda-Runtime-Trace-Id"), trace, 0};
	if (inv->client_context.p)
		headers[n++] = (struct http_header){
			STR("Lambda-Runtime-Client-Context"), inv->client_context, 0};
	return n;
}

/* Answers the parked poll with the event: 0, or ERR_BUSY when it did not arrive. */
static int deliver(struct instance *i, struct invocation *inv)
{
	struct instance_poll *poll = i->poll;
	int64_t timeout_ns = function_of(i)->timeout_s * RT_NS_S;
	struct http_header headers[DELIVERY_HEADERS];
	unsigned n;
	int rc;

	check(inv->request_id.n < sizeof(i->run.request_id));
	check(instance_step(i, INSTANCE_DELIVERED));
	i->poll = NULL;
	poll->answered = true;
	i->run = (struct instance_run){.active = true,
		.request_id_bytes = inv->request_id.n,
		.start_ns = rt_now(),
		.init_ns = i->init_ns,
		.waiter = inv,
		.place = inv->place};
	memcpy(i->run.request_id, inv->request_id.p, inv->request_id.n);
	i->init_ns = -1;
	lambda_count(&i->service->counters.instances_busy);
	log_feed_tail_begin(i->feed, inv->log_tail);
	rt_timer_set(&i->timer, i->run.start_ns + timeout_ns);
	n = delivery_headers(i, inv, inv->arena, (rt_wall() + timeout_ns) / RT_NS_MS, headers);
	log_feed_line(i->feed, report_start(inv->arena, inv->request_id, function_of(i)->version));
	rc = http_respond(poll->exchange, 200, headers, n, inv->payload);
	rt_event_set(&poll->event);
	if (rc >= 0 || inv->over)
		return 0;
	/* The runtime hung up: as if nothing had been given, unless it is gone altogether. */
	rt_timer_stop(&i->timer);
	i->run.active = false;
	i->run.waiter = NULL;
	i->init_ns = i->run.init_ns;
	atomic_fetch_sub_explicit(&i->service->counters.instances_busy, 1, memory_order_relaxed);
	(void)instance_step(i, INSTANCE_RETURNED);
	return ERR_BUSY;
}

/* Waits for the end of the run, as long as the caller wants to. */
static int wait_over(struct instance *i, struct invocation *inv)
{
	while (!inv->over || inv->writing) {
		int rc;

		if (inv->writing) { /* somebody else's fiber uses our caller's memory */
			rt_event_wait_sure(&inv->event);
			continue;
		}
		rc = rt_event_wait(&inv->event, inv->deadline_ns);
		if (rc >= 0 || inv->over || inv->writing)
			continue;
		check(i->run.active && i->run.waiter == inv);
		i->run.waiter = NULL;
		inv->left = true;
		if (rc == ERR_CANCELLED)
			instance_kill(i);
		return rc;
	}
	return inv->rc;
}

static int run(struct instance *i, struct invocation *inv)
{
	if (i->frozen && sandbox_thaw(i->container) < 0) {
		instance_kill(i);
		return ERR_BUSY;
	}
	i->frozen = false;
	TRY(wait_poll(i));
	TRY(deliver(i, inv));
	return wait_over(i, inv);
}

int instance_run(struct instance *i, struct invocation *inv)
{
	int rc;

	check(!i->listed && !i->run.active);
	instance_ref(i);
	rc = run(i, inv);
	if (rc == ERR_BUSY && !inv->over && i->state != INSTANCE_ENDED) {
		/* It does not ask for work; as soon as it does it is listed again. One that said it
		 * does, and is not there, never will be. */
		if (i->state == INSTANCE_IDLE && i->poll)
			becomes_idle(i);
		else if (i->state == INSTANCE_IDLE)
			instance_kill(i);
	}
	instance_unref(i);
	return rc;
}

/* ---- the end ---- */

void instance_kill(struct instance *i)
{
	if (i->ending)
		return;
	i->ending = true;
	check(instance_step(i, INSTANCE_END));
	scheduler_unlist(i->entry, i);
	rt_timer_stop(&i->timer);
	rt_timer_stop(&i->freeze_timer);
	if (i->container)
		sandbox_kill(i->container);
}

static void wake_pollers(struct instance *i)
{
	if (i->poll)
		rt_event_set(&i->poll->event);
	i->poll = NULL;
	if (i->poll_wanted)
		rt_event_set(&i->poll_event);
}

/* What the container's end means for whoever waits for it. */
static void report_end_of(struct instance *i, const struct sandbox_exit *e)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct run_failure failure;
	struct run_end end = {
		.failure = &failure, .duration_ns = -1, .memory_peak_bytes = e->memory_peak_bytes};

	arena_init(&a, SIZE_MAX);
	failure = failure_exit(&a, e);
	if (e->end == SANDBOX_FAILED && function_of(i)->runtime->family == RUNTIME_PROVIDED &&
		code_has_file(i->service->code, i->pin, "bootstrap", rt_after_ms(5000)) == 0)
		failure = failure_no_bootstrap();
	if (i->run.active)
		run_over(i, &end);
	else if (i->starting)
		init_over(i, &failure, STR_NULL, e->memory_peak_bytes, false);
	else
		drain_output(i);
}

/* Frees everything but the memory. The container, if any, has ended. */
static void release(struct instance *i)
{
	instance_kill(i);
	wake_pollers(i);
	starting_over(i, false);
	for (size_t k = 0; k < ARRAY_SIZE(i->listeners); k++)
		if (i->listeners[k])
			rt_listener_close(i->listeners[k]);
	if (i->output)
		rt_stream_close(i->output);
	if (i->telemetry)
		rt_stream_close(i->telemetry);
	i->output = i->telemetry = NULL;
	sandbox_container_free(i->container);
	i->container = NULL;
	if (code_unpin(i->service->code, i->pin))
		code_release(i->service, function_of(i)->code_hex);
	i->pin = NULL;
	image_let_go(i->service, function_of(i), i->image);
	i->image = NULL;
	for (uint32_t k = 0; k < function_of(i)->layer_count; k++)
		if (code_unpin(i->service->code, i->layers[k]))
			code_release(i->service, function_of(i)->layers[k].hex);
	log_feed_close(i->feed);
	shard_number_free(i->shard, i->number);
	scheduler_gone(i->entry, i);
	atomic_fetch_sub_explicit(&i->service->counters.instances, 1, memory_order_relaxed);
	instance_unref(i);
}

static void end_fiber(void *arg)
{
	struct instance *i = check_object(arg, struct instance, INSTANCE_MAGIC);
	struct sandbox_exit e = {.end = SANDBOX_KILLED};

	if (sandbox_wait(i->container, RT_NEVER, &e) < 0)
		e = (struct sandbox_exit){.end = SANDBOX_KILLED};
	rt_timer_stop(&i->timer);
	rt_timer_stop(&i->freeze_timer);
	scheduler_unlist(i->entry, i);
	report_end_of(i, &e);
	release(i);
}

static void on_end_message(struct rt_message *message)
{
	struct instance *i = container_of(message, struct instance, end_message);

	check(i->magic == INSTANCE_MAGIC);
	/* Without a fiber nothing could be freed; the caps leave room for this one. */
	if (rt_spawn(end_fiber, i) < 0)
		rt_post(i->service->rt, rt_loop_index(), message);
}

/* On the sandbox's loop. */
static void on_container_end(void *arg)
{
	struct instance *i = arg;

	rt_post(i->service->rt, (unsigned)(i->number >> 48), &i->end_message);
}

/* ---- booting ---- */

static str stream_name(struct arena *a, const struct function *f)
{
	struct time_parts t = time_parts_of(rt_wall() / RT_NS_MS);
	uint8_t bytes[16];
	char hex[2 * sizeof(bytes)];

	rt_random_bytes(bytes, sizeof(bytes));
	hex_encode(bytes, sizeof(bytes), hex);
	return arena_printf(a, "%04d/%02d/%02d/[%.*s]%.*s", t.year, t.month, t.day,
		STR_ARG(f->version), (int)sizeof(hex), hex);
}

/* Credentials of the function's role, or stand-ins that the endpoint knows the function by. */
static int credentials(struct instance *i, struct arena *a, struct environment_facts *facts,
	struct sandbox_error *error)
{
	const struct function *f = function_of(i);
	bool strict = i->service->options.auth_strict;
	struct credentials_values v = {f->account, STR("none"), STR_NULL};
	int rc = credentials_get(i->service->credentials, a, f, &v);

	if (rc == ERR_NOT_FOUND && strict)
		snprintf(error->text, sizeof(error->text), "the role %.*s does not exist",
			STR_ARG(f->role));
	if (rc < 0 && (rc != ERR_NOT_FOUND || strict))
		return rc;
	facts->access_key = v.access_key;
	facts->secret_key = v.secret_key;
	facts->session_token = v.session_token;
	return 0;
}

static struct sandbox_limits limits_of(const struct function *f)
{
	return (struct sandbox_limits){
		.memory_bytes = (f->memory_mb + MEMORY_OVERHEAD_MIB) * MIB,
		.cpu_millis = 0, /* all there is while it initialises, as at AWS */
		.tmp_bytes = f->ephemeral_mb * MIB,
	};
}

struct boot {
	struct instance *instance;
	struct arena *arena;
	struct runtime_launch launch;
	struct sandbox_mount mounts[2 + FUNCTION_LAYERS_MAX]; /* code, layers, runtime */
	const str *environment;
	uint32_t environment_count;
	int64_t deadline;
	struct sandbox_error error;
	bool in_layer;   /* the bootstrap is at /opt/bootstrap */
	bool needs_exec; /* something of the function acts when its program is executed */
};

static int boot_pooled(struct boot *b, struct sandbox_container *c)
{
	struct instance *i = b->instance;
	struct sandbox_assign assign = {
		.mounts = b->mounts, /* all but the last: the runtime is there already */
		.mount_count = 1 + function_of(i)->layer_count,
		.limits = limits_of(function_of(i)),
		.argv = b->launch.argv,
		.argc = b->launch.argc,
		.environment = b->environment,
		.environment_count = b->environment_count,
		.working_folder = STR("/var/task"),
	};
	int rc = sandbox_assign(c, &assign, b->deadline, &b->error);

	if (rc < 0) {
		sandbox_container_free(c);
		return rc;
	}
	lambda_count(&i->service->counters.pooled_starts);
	i->container = c;
	i->pooled = true;
	return 0;
}

static int boot_fresh(struct boot *b)
{
	struct instance *i = b->instance;
	struct sandbox_spec spec = {
		.mounts = b->mounts,
		.mount_count = 1 + function_of(i)->layer_count + (b->launch.mount ? 1 : 0),
		.limits = limits_of(function_of(i)),
		.argv = b->launch.argv,
		.argc = b->launch.argc,
		.environment = b->environment,
		.environment_count = b->environment_count,
		.working_folder = STR("/var/task"),
		.pipe_count = b->launch.pipe_count,
	};

	memcpy(spec.pipes, b->launch.pipes, sizeof(b->launch.pipes));
	return sandbox_start(i->service->sandbox, &spec, b->deadline, &i->container, &b->error);
}

static int adopt_pipe(
	struct instance *i, unsigned number, rt_readable_fn *fn, struct rt_stream **ret_stream)
{
	int fd = sandbox_take_pipe(i->container, number);

	check(fd >= 0);
	TRY(rt_stream_adopt(fd, ret_stream));
	rt_stream_watch(*ret_stream, fn, i);
	return 0;
}

static void on_accept(struct rt_stream *stream, void *arg)
{
	http_server_take(arg, stream);
}

/* Serves one of the container's listening sockets; requests carry the instance's number. */
static int listen_inside(struct instance *i, enum lambda_listen which, struct http_server *server)
{
	int fd = sandbox_take_listener(i->container, which);
	struct rt_listen_options options = {
		.fds = &fd,
		.fd_count = 1,
		.one_loop = true,
		.tag = (void *)(uintptr_t)i->number,
		.on_accept = on_accept,
		.arg = server,
		.open_count = &i->connections[which],
		.open_max = LAMBDA_CONNECTIONS_MAX,
	};

	return rt_listen(&options, &i->listeners[which]);
}

static int connect_container(struct boot *b)
{
	struct instance *i = b->instance;

	TRY(listen_inside(i, LAMBDA_LISTEN_RUNTIME_API, i->service->runtime_server));
	TRY(listen_inside(i, LAMBDA_LISTEN_ENDPOINT, i->service->endpoint_server));
	TRY(adopt_pipe(i, 0, on_output, &i->output));
	if (b->launch.pipe_count > 1)
		TRY(adopt_pipe(i, 1, on_telemetry, &i->telemetry));
	return 0;
}

static void log_dirty(void *arg)
{
	struct instance *i = arg;

	shard_log_dirty(i->shard, i);
}

/* Layers of the function, unpacked, as mounts on /opt. */
static int pin_layers(struct boot *b)
{
	struct instance *i = b->instance;
	struct code_store *store = i->service->code;
	const struct function *f = function_of(i);

	b->needs_exec = environment_needs_exec(f->variables, f->variable_count);
	for (uint32_t k = 0; k < f->layer_count; k++) {
		TRY(code_pin(store, f->layers[k].hex, b->deadline, &i->layers[k]));
		TRY(code_ensure(store, i->layers[k], b->deadline, &b->error));
		b->mounts[1 + k] = (struct sandbox_mount){
			SANDBOX_FROM_DATA, code_tree_path(i->layers[k]), STR("/opt")};
		/* The loader looks once which folders of LD_LIBRARY_PATH there are. */
		b->needs_exec |= TRY(code_has_file(store, i->layers[k], "lib", b->deadline))
		> 0;
		if (f->runtime->family == RUNTIME_PROVIDED && !b->in_layer)
			b->in_layer =
				TRY(code_has_file(store, i->layers[k], "bootstrap", b->deadline))
		> 0 && TRY(code_has_file(store, i->pin, "bootstrap", b->deadline))
		== 0;
	}
	return 0;
}

/* A bootstrap that is in a layer only; a wrapper script before a runtime's own program. */
static void choose_program(struct boot *b)
{
	const struct function *f = function_of(b->instance);
	str *argv = arena_new_array(b->arena, str, b->launch.argc + 1);

	if (b->in_layer) {
		argv[0] = STR("/opt/bootstrap");
		b->launch.argv = argv;
		return;
	}
	for (uint32_t k = 0; k < f->variable_count && f->runtime->family != RUNTIME_PROVIDED; k++)
		if (str_eq(f->variables[k].name, STR("AWS_LAMBDA_EXEC_WRAPPER")) &&
			f->variables[k].value.n) {
			argv[0] = f->variables[k].value;
			memcpy(argv + 1, b->launch.argv, b->launch.argc * sizeof(str));
			b->launch.argv = argv;
			b->launch.argc++;
			return;
		}
}

/* Everything until the container is on its way. */
static int boot(struct boot *b)
{
	struct instance *i = b->instance;
	struct lambda_service *s = i->service;
	const struct function *f = function_of(i);
	struct environment_facts facts = {
		.log_stream = log_feed_stream(i->feed), .provisioned = i->provisioned};
	struct sandbox_container *pooled = NULL;

	int rc = service_await_sandbox(s, b->deadline);

	if (rc == ERR_UNSUPPORTED)
		memcpy(b->error.text, s->sandbox_why, sizeof(b->error.text));
	TRY(rc);
	TRY(credentials(i, b->arena, &facts, &b->error));
	if (function_is_image(f)) {
		struct sandbox_limits limits = limits_of(f);

		b->launch.pipe_count = 1;
		i->started_ns = rt_now();
		TRY(image_start(s, b->arena, f, &facts, &limits, b->deadline, &i->image,
			&i->container, &b->error));
		return connect_container(b);
	}
	TRY(code_pin(s->code, f->code_hex, b->deadline, &i->pin));
	TRY(code_ensure(s->code, i->pin, b->deadline, &b->error));
	b->environment = environment_build(b->arena, f, &facts, &b->environment_count);
	b->launch = runtime_launch(s, b->arena, f->runtime);
	b->mounts[0] =
		(struct sandbox_mount){SANDBOX_FROM_DATA, code_tree_path(i->pin), STR("/var/task")};
	TRY(pin_layers(b));
	choose_program(b);
	if (b->launch.mount)
		b->mounts[1 + f->layer_count] = *b->launch.mount;
	if (f->ephemeral_mb == 512 && !b->needs_exec)
		pooled = pool_take(s->pool, f->runtime);
	i->started_ns = rt_now();
	if (!pooled || boot_pooled(b, pooled) < 0)
		TRY(boot_fresh(b));
	return connect_container(b);
}

/* It never came to a container: whoever waits hears why. */
static void boot_failed(struct instance *i, int rc, const struct sandbox_error *error)
{
	struct invocation *inv = first_waiting(i);
	str text = str_of(error->text, strnlen(error->text, sizeof(error->text)));

	log_error("lambda", "an instance could not be started", "function=%.*s error=%s text=%.*s",
		STR_ARG(function_of(i)->arn), rc_text(rc), STR_ARG(text));
	starting_over(i, false);
	if (!inv)
		return;
	inv->rc = lambda_fault_set(&inv->fault, inv->arena,
		rc == ERR_BUSY ? LAMBDA_TOO_MANY_REQUESTS : LAMBDA_SERVICE,
		"The execution environment could not be started: %.*s",
		STR_ARG(text.n ? text : str_c(rc_text(rc))));
	inv->over = true;
	rt_event_set(&inv->event);
}

static void boot_fiber(void *arg)
{
	struct instance *i = check_object(arg, struct instance, INSTANCE_MAGIC);
	struct arena a cleanup(arena_done_p) = {0};
	struct boot b = {.instance = i, .arena = &a, .deadline = rt_after_ms(BOOT_DEADLINE_MS)};
	int64_t budget = i->phase_invoke ? function_of(i)->timeout_s * RT_NS_S
					 : LAMBDA_INIT_MS_MAX * RT_NS_MS;
	int rc;

	arena_init(&a, SIZE_MAX);
	rc = boot(&b);
	if (rc < 0) {
		boot_failed(i, rc, &b.error);
		if (!i->container) {
			release(i);
			return;
		}
		instance_kill(i);
	}
	if (i->ending)
		sandbox_kill(i->container);
	else
		check(instance_step(i, INSTANCE_STARTED));
	if (!i->ending)
		rt_timer_set(&i->timer, i->started_ns + budget);
	/* From here on the container's end frees the instance. */
	sandbox_on_end(i->container, on_container_end, i);
}

int instance_begin(struct entry *e, uint64_t memory_reserved, enum instance_kind kind)
{
	struct lambda_service *s = shard_service(e->shard);
	struct instance *i = mem_new(struct instance);
	struct arena a cleanup(arena_done_p) = {0};

	arena_init(&a, SIZE_MAX);
	i->magic = INSTANCE_MAGIC;
	i->refs = 1;
	i->service = s;
	i->entry = e;
	i->shard = e->shard;
	i->function = function_ref(e->function);
	i->quota = quota_get(
		s->quotas, function_of(i)->account, function_of(i)->region, function_of(i)->name);
	list_init(&i->idle_link);
	list_init(&i->all_link);
	list_init(&i->log_link);
	rt_timer_init(&i->timer, on_timer);
	rt_timer_init(&i->freeze_timer, on_freeze);
	rt_event_init(&i->poll_event);
	i->end_message.fn = on_end_message;
	i->phase_invoke = kind == INSTANCE_SECOND;
	i->provisioned = kind == INSTANCE_PROVISIONED;
	i->starting = true;
	i->born_ns = rt_now();
	i->started_ns = i->born_ns;
	i->init_ns = INT64_MIN;
	i->memory_reserved = memory_reserved;
	i->feed = log_feed_new(s, function_of(i)->account, function_of(i)->region,
		function_of(i)->log_group, stream_name(&a, function_of(i)), log_dirty, i);
	if (rt_spawn(boot_fiber, i) < 0) {
		i->starting = false;
		instance_unref(i);
		return ERR_BUSY;
	}
	i->number = shard_number_new(e->shard, i);
	e->instances++;
	lambda_count(&s->counters.cold_starts);
	lambda_count(&s->counters.instances);
	return 0;
}
