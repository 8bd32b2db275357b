/*
 * Booting, running and ending one instance.
 *
 * Fibers: one boots it and ends; the caller of instance_run() gives it work by answering the
 * runtime's parked GET next itself, so that a warm call needs no fiber switch on the way in; one
 * cleans up after the container's end. Time-outs come from a timer, outside fibers: the run is
 * ended there and the container killed; nothing in that path suspends.
 */
#include "services/lambda/instance.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "http/http.h"
#include "rt/datagram.h"
#include "services/lambda/boot.h"
#include "services/lambda/endpoint.h"
#include "services/lambda/figures.h"
#include "services/lambda/freeze.h"
#include "services/lambda/image_boot.h"
#include "services/lambda/log_feed.h"
#include "services/lambda/outcome.h"
#include "services/lambda/platform.h"
#include "services/lambda/report.h"
#include "services/lambda/resolver.h"
#include "services/lambda/runtime_api.h"
#include "services/lambda/service.h"
#include "services/lambda/snapshot.h"
#include "services/lambda/telemetry.h"

#include <signal.h>

enum {
	BOOT_DEADLINE_MS = 30000,
	GRACE_MS = 200, /* between an answer and the next request for work */
	CPU_MIB_PER_CORE = 1769,
	SOCKET_HOLDS_BYTES = 16 * 1024, /* less than any send buffer */
};

#define LOOK_NS_MAX (600 * RT_NS_US)

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
	telemetry_free(i->subscribers);
	extensions_free(i->extensions);
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

/* ---- the end of a run ---- */

/* The kill of an instance that is told why. */
static void end_with(struct instance *i, enum shutdown_reason reason);

/* The instance can be promised to somebody again. */
static void becomes_idle(struct instance *i)
{
	int64_t now = rt_now_coarse();

	i->idle_ns = now;
	freeze_later(i);
	if (i->service->stopping || now - i->born_ns > LAMBDA_INSTANCE_AGE_MS_MAX * RT_NS_MS)
		instance_kill(i);
	else
		scheduler_ready(i->entry, i);
}

static void run_ends(struct instance *i, const struct run_end *end)
{
	rt_timer_stop(&i->timer);
	outcome_run_over(i, end);
	becomes_idle(i);
}

/*
 * The caller first: its answer is what somebody waits for, and the books take a while, more so when
 * the machine has been asleep. The instance may be promised to the next caller meanwhile, and be
 * ended, but gets no event.
 */
static void answer_first(struct instance *i, const struct run_end *end)
{
	rt_timer_stop(&i->timer);
	outcome_release(i, end);
	i->books_open = true;
	instance_ref(i);
	becomes_idle(i);
	(void)!rt_yield();
	rt_step_aside();
	outcome_write_books(i, end);
	i->books_open = false;
	if (i->poll_wanted)
		rt_event_set(&i->poll_event);
	instance_unref(i);
}

void instance_answered(struct instance *i, str function_error, str payload)
{
	struct run_end end = {.function_error = function_error,
		.payload = payload,
		.duration_ns = rt_now() - i->run.start_ns};

	if (!i->extensions && !(i->run.waiter && i->run.waiter->log_tail)) {
		answer_first(i, &end);
		return;
	}
	if (i->extensions)
		outcome_answered(i, function_error, payload);
	else
		run_ends(i, &end);
	(void)!rt_yield();
}

void instance_answered_badly(struct instance *i, const struct run_failure *failure)
{
	struct run_end end = {.failure = failure, .duration_ns = -1};
	struct arena a cleanup(arena_done_p) = {0};
	str id = str_of(i->run.request_id, i->run.request_id_bytes);

	arena_init(&a, SIZE_MAX);
	if (i->extensions) {
		outcome_say(i, (struct platform_event){.kind = PLATFORM_FAULT,
				       .text = failure_line(&a, failure, id)});
		outcome_answered(i, STR("Unhandled"), failure_payload(&a, failure, id));
	} else {
		run_ends(i, &end);
	}
	(void)!rt_yield();
}

/* ---- init ---- */

void instance_init_failed(struct instance *i, str payload, str type)
{
	/* The runtime's own lines say what happened. */
	struct run_failure failure = {type, STR_NULL, 0};

	check(payload.n > 0);
	rt_timer_stop(&i->timer);
	outcome_init_failed(i, &failure, payload, 0, false);
	/* It exits by itself, or not: it is of no use. */
	end_with(i, SHUTDOWN_FAILURE);
}

void instance_snapshot_taken(struct instance *i)
{
	rt_timer_stop(&i->timer);
	outcome_drain(i);
	i->init_ns = -1;
	outcome_init_done(i);
	outcome_started(i, true);
}

static void init_timed_out(struct instance *i)
{
	struct arena a cleanup(arena_done_p) = {0};
	uint32_t timeout_s = function_of(i)->timeout_s;

	arena_init(&a, SIZE_MAX);
	lambda_count(&i->service->counters.timeouts);
	if (i->phase_invoke) {
		struct run_failure failure = failure_timeout(&a, timeout_s);

		outcome_init_failed(i, &failure, STR_NULL, 0, true);
	} else {
		/* As AWS does: once more, inside the invocation, with the function's time. */
		outcome_init_timed_out(i);
		snapshot_failed(i, STR("Sandbox.Timedout"), STR("The init phase took too long."));
		if (i->provisioned || i->snapshotting || scheduler_again(i->entry, i) < 0)
			outcome_started(i, false);
		else /* It goes on with our place among the starting ones. */
			i->starting = false;
	}
	end_with(i, SHUTDOWN_TIMEOUT);
}

static void on_timer(struct rt_timer *timer)
{
	struct instance *i = container_of(timer, struct instance, timer);
	struct arena a cleanup(arena_done_p) = {0};
	struct run_failure failure;
	struct run_end end = {.failure = &failure, .timed_out = true};

	check(i->magic == INSTANCE_MAGIC);
	if (i->state == INSTANCE_ENDED) { /* the shutdown phase is over */
		sandbox_kill(i->container);
		return;
	}
	if (i->init_ns == INT64_MIN) {
		init_timed_out(i);
		return;
	}
	if (!i->run.active)
		return;
	arena_init(&a, SIZE_MAX);
	lambda_count(&i->service->counters.timeouts);
	failure = failure_timeout(&a, function_of(i)->timeout_s);
	end.duration_ns = function_of(i)->timeout_s * RT_NS_S;
	outcome_run_over(i, &end);
	end_with(i, SHUTDOWN_TIMEOUT);
}

/* ---- polls ---- */

/* The runtime and every extension wait for the next event. */
static void at_rest(struct instance *i)
{
	if (i->init_ns == INT64_MIN) {
		rt_timer_stop(&i->timer);
		i->init_ns = rt_now() - i->started_ns;
		(void)!sandbox_set_cpu(i->container,
			(uint32_t)(function_of(i)->memory_mb * 1000 / CPU_MIB_PER_CORE));
		if (i->provisioned)
			i->init_ns = -1; /* paid before the first run */
		outcome_init_done(i);
		outcome_started(i, true);
	}
	if (i->run.active && i->run.answered) {
		struct run_end end = {.duration_ns = -1};

		rt_timer_stop(&i->timer);
		outcome_run_over(i, &end);
	}
	if (i->poll_wanted)
		rt_event_set(&i->poll_event);
	else if (!i->listed && !i->run.active)
		becomes_idle(i);
	else
		freeze_later(i);
}

void instance_polled(struct instance *i, struct instance_poll *poll)
{
	if (i->poll && i->poll != poll)
		rt_event_set(&i->poll->event); /* superseded: its handler sees that */
	i->poll = poll;
	if (extensions_at_rest(i->extensions))
		at_rest(i);
}

void instance_extension_polled(struct instance *i)
{
	if (i->shutdown_wall_ms)
		extensions_shutdown(i->extensions, i->shutdown_reason, i->shutdown_wall_ms);
	else if (i->state == INSTANCE_IDLE && i->poll && extensions_at_rest(i->extensions))
		at_rest(i);
}

void instance_extension_failed(struct instance *i, str type, str reason)
{
	struct run_failure failure = {type, reason, 0};
	struct run_end end = {.failure = &failure, .duration_ns = -1};

	if (i->ending)
		return;
	if (i->run.active)
		outcome_run_over(i, &end);
	else if (i->starting)
		outcome_init_failed(i, &failure, STR_NULL, 0, false);
	end_with(i, SHUTDOWN_FAILURE);
}

/* ---- running ---- */

/* 0, or ERR_BUSY: it could not be, and is ended. */
static int thaw(struct instance *i)
{
	if (freeze_thaw(i) >= 0)
		return 0;
	instance_kill(i);
	return ERR_BUSY;
}

/* Waits until the runtime asks for work: 0, or ERR_BUSY. */
static int wait_poll(struct instance *i)
{
	int64_t deadline = rt_after_ms(GRACE_MS);

	while (i->state == INSTANCE_ANSWERED || i->books_open ||
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

enum { DELIVERY_HEADERS = 7 };

/* Of the run that begins: its header, and what is told of it at its end. */
static str begin_trace(
	struct instance *i, const struct invocation *inv, struct run_trace *ret_trace)
{
	bool active = function_of(i)->tracing_active;
	const struct trace_begin begin = {.header = inv->trace,
		.lineage = inv->lineage,
		.active = active,
		.takes = active && trace_takes(quota_first_of_second(i->quota, rt_now() / RT_NS_S),
					   rt_random()),
		.wall_s = rt_wall() / RT_NS_S,
		.random = rt_random};

	return trace_begin(inv->arena, &begin, ret_trace);
}

static unsigned delivery_headers(struct invocation *inv, struct arena *a,
	const struct extension_invoke *event, struct http_header headers[DELIVERY_HEADERS])
{
	unsigned n = 0;

	headers[n++] = (struct http_header){STR("Content-Type"), STR("application/json"), 0};
	headers[n++] =
		(struct http_header){STR("Lambda-Runtime-Aws-Request-Id"), inv->request_id, 0};
	headers[n++] = (struct http_header){STR("Lambda-Runtime-Deadline-Ms"),
		arena_printf(a, "%lld", (long long)event->deadline_wall_ms), 0};
	headers[n++] =
		(struct http_header){STR("Lambda-Runtime-Invoked-Function-Arn"), event->arn, 0};
	headers[n++] = (struct http_header){STR("Lambda-Runtime-Trace-Id"), event->trace, 0};
	if (inv->client_context.p)
		headers[n++] = (struct http_header){
			STR("Lambda-Runtime-Client-Context"), inv->client_context, 0};
	if (inv->tenant.p)
		headers[n++] =
			(struct http_header){STR("Lambda-Runtime-Aws-Tenant-Id"), inv->tenant, 0};
	return n;
}

/* As if nothing had been given. */
static int take_back(struct instance *i)
{
	rt_timer_stop(&i->timer);
	i->run.active = false;
	i->run.waiter = NULL;
	i->init_ns = i->run.init_ns;
	atomic_fetch_sub_explicit(&i->service->counters.instances_busy, 1, memory_order_relaxed);
	(void)instance_step(i, INSTANCE_RETURNED);
	return ERR_BUSY;
}

/*
 * Answers the parked poll with the event: 0, or ERR_BUSY when it did not arrive, because the
 * runtime hung up.
 */
static int deliver(struct instance *i, struct invocation *inv)
{
	struct instance_poll *poll = i->poll;
	int64_t timeout_ns = function_of(i)->timeout_s * RT_NS_S;
	struct http_header headers[DELIVERY_HEADERS];
	struct run_trace trace;
	struct extension_invoke event = {.request_id = inv->request_id,
		.arn = inv->arn.p ? inv->arn : function_of(i)->arn,
		.trace = begin_trace(i, inv, &trace)};
	unsigned n;
	int rc;

	check(inv->request_id.n < sizeof(i->run.request_id));
	check(instance_step(i, INSTANCE_DELIVERED));
	i->poll = NULL;
	poll->answered = true;
	inv->trace_out = event.trace;
	i->run = (struct instance_run){.active = true,
		.request_id_bytes = inv->request_id.n,
		.start_ns = rt_now(),
		.init_ns = i->init_ns,
		.waiter = inv,
		.place = inv->place,
		.trace = trace};
	memcpy(i->run.request_id, inv->request_id.p, inv->request_id.n);
	i->init_ns = -1;
	lambda_count(&i->service->counters.instances_busy);
	log_feed_tail_begin(i->feed, inv->log_tail);
	rt_timer_set(&i->timer, i->run.start_ns + timeout_ns);
	event.deadline_wall_ms = (rt_wall() + timeout_ns) / RT_NS_MS;
	n = delivery_headers(inv, inv->arena, &event, headers);
	outcome_say(i, (struct platform_event){.kind = PLATFORM_START,
			       .request_id = inv->request_id,
			       .run_trace = trace.sampled ? &i->run.trace : NULL,
			       .trace = event.trace});
	extensions_invoke(i->extensions, &event);
	rc = http_respond(poll->exchange, 200, headers, n, inv->payload);
	rt_event_set(&poll->event);
	return rc >= 0 || inv->over ? 0 : take_back(i);
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

/*
 * A small event lies in the socket before the runtime is thawed: it then wakes up once, and not a
 * second time for the event.
 */
static bool delivered_frozen(const struct instance *i, const struct invocation *inv)
{
	return (i->frozen || i->thawing) && !i->extensions && i->state == INSTANCE_IDLE &&
	       i->poll && !i->poll->answered && inv->payload.n <= SOCKET_HOLDS_BYTES;
}

/*
 * The first run after a sleep mostly takes as long as the one before: a short one is waited for
 * awake, because waking up would take this core a good part of the same time.
 */
static void look_for_answer(const struct instance *i, int64_t now)
{
	if (i->woken_ns && i->woken_ns < LOOK_NS_MAX)
		rt_look_until(now + i->woken_ns + i->woken_ns / 2);
}

static int run(struct instance *i, struct invocation *inv)
{
	bool frozen = delivered_frozen(i, inv), provisioned;
	int64_t begun = 0;
	struct provision *provision;
	int rc;

	if (!frozen)
		TRY(thaw(i));
	TRY(wait_poll(i));
	/* It may lose its place while it runs. */
	provision = i->entry ? scheduler_entry_provision(i->entry) : NULL;
	provisioned = i->provisioned && provision;
	TRY(deliver(i, inv));
	if (frozen && thaw(i) < 0 && !inv->over)
		return take_back(i);
	if (frozen) {
		begun = rt_now();
		look_for_answer(i, begun);
	}
	figures_provisioned_begin(i->service->ports, function_of(i), provision, provisioned);
	rc = wait_over(i, inv);
	if (frozen) {
		i->woken_ns = rt_now() - begun;
		rt_look_until(0);
	}
	figures_provisioned_end(provision, provisioned);
	return rc;
}

int instance_run(struct instance *i, struct invocation *inv)
{
	int rc;

	check(!i->listed && !i->run.active);
	instance_ref(i);
	inv->instance_number = i->number;
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

void instance_hold(struct instance *i)
{
	i->holders++;
}

void instance_let(struct instance *i)
{
	check(i->holders > 0);
	if (--i->holders == 0)
		rt_event_set(&i->unheld);
}

/* The shutdown phase: a signal for the runtime, an event for extensions, and a time for both. */
static void shutdown_fiber(void *arg)
{
	struct instance *i = check_object(arg, struct instance, INSTANCE_MAGIC);
	int64_t ms = extensions_shutdown_ms(i->extensions);

	i->shutdown_wall_ms = rt_wall() / RT_NS_MS + ms;
	rt_timer_set(&i->timer, rt_after_ms((int)ms));
	freeze_no_more(i);
	sandbox_signal(i->container, SIGTERM);
	(void)telemetry_flush(i->subscribers);
	extensions_shutdown(i->extensions, i->shutdown_reason, i->shutdown_wall_ms);
	instance_let(i);
}

static void end_container(struct instance *i)
{
	if (extensions_shutdown_ms(i->extensions) && !sandbox_ended(i->container)) {
		instance_hold(i);
		if (rt_spawn(shutdown_fiber, i) >= 0)
			return;
		instance_let(i);
	}
	sandbox_kill(i->container);
}

static void end_with(struct instance *i, enum shutdown_reason reason)
{
	if (i->ending)
		return;
	i->ending = true;
	i->shutdown_reason = reason;
	check(instance_step(i, INSTANCE_END));
	scheduler_unlist(i->entry, i);
	rt_timer_stop(&i->timer);
	freeze_stop(i);
	if (i->extensions)
		rt_event_set(&i->extensions->registered);
	if (i->container)
		end_container(i);
}

void instance_kill(struct instance *i)
{
	end_with(i, SHUTDOWN_SPINDOWN);
}

static void wake_pollers(struct instance *i)
{
	if (i->poll)
		rt_event_set(&i->poll->event);
	i->poll = NULL;
	if (i->poll_wanted)
		rt_event_set(&i->poll_event);
	extensions_wake(i->extensions);
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
		outcome_run_over(i, &end);
	else if (i->starting)
		outcome_init_failed(i, &failure, STR_NULL, e->memory_peak_bytes, false);
	else
		outcome_drain(i);
}

/* Frees everything but the memory. The container, if any, has ended. */
static void release(struct instance *i)
{
	instance_kill(i);
	wake_pollers(i);
	outcome_started(i, false);
	for (size_t k = 0; k < ARRAY_SIZE(i->listeners); k++)
		if (i->listeners[k])
			rt_listener_close(i->listeners[k]);
	rt_datagrams_close(i->resolver);
	i->resolver = NULL;
	if (i->output)
		rt_stream_close(i->output);
	if (i->telemetry)
		rt_stream_close(i->telemetry);
	if (i->extension_output)
		rt_stream_close(i->extension_output);
	i->output = i->telemetry = i->extension_output = NULL;
	freeze_settle(i);
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
	snapshot_ended(i);
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
	wake_pollers(i);
	if (i->extensions)
		rt_event_set(&i->extensions->registered);
	telemetry_stop(i->subscribers);
	while (i->holders)
		rt_event_wait_sure(&i->unheld);
	rt_timer_stop(&i->timer);
	freeze_stop(i);
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

/* A process has ended by itself, others go on. */
static void on_exit_message(struct rt_message *message)
{
	struct instance *i = container_of(message, struct instance, exit_message);
	struct sandbox_exit e;

	check(i->magic == INSTANCE_MAGIC);
	if (i->ending || !sandbox_first_exit(i->container, &e))
		return;
	report_end_of(i, &e);
	end_with(i, SHUTDOWN_FAILURE);
}

/* On the sandbox's loop. */
static void on_first_exit(void *arg)
{
	struct instance *i = arg;

	rt_post(i->service->rt, (unsigned)(i->number >> 48), &i->exit_message);
}

/* On the sandbox's loop. */
static void on_container_end(void *arg)
{
	struct instance *i = arg;

	rt_post(i->service->rt, (unsigned)(i->number >> 48), &i->end_message);
}

/* ---- booting ---- */

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

static void on_accept_resolver(struct rt_stream *stream, void *arg)
{
	resolver_take(arg, stream);
}

/* Serves one of the container's listening sockets; requests carry the instance's number. */
static int listen_inside(struct instance *i, enum lambda_listen which, rt_accept_fn *fn, void *arg,
	unsigned open_max)
{
	int fd = sandbox_take_listener(i->container, which);
	struct rt_listen_options options = {
		.fd = &fd,
		.one_loop = true,
		.tag = (void *)(uintptr_t)i->number,
		.on_accept = fn,
		.arg = arg,
		.open_count = &i->connections[which],
		.open_max = open_max,
	};

	return rt_listen(&options, &i->listeners[which]);
}

/* Names; what was opened inside depends on the network that there is. */
static int resolve_inside(struct instance *i)
{
	struct resolver *r = i->service->resolver;
	int fd = sandbox_take_listener(i->container, LAMBDA_LISTEN_RESOLVER);

	if (fd < 0)
		return 0;
	TRY(resolver_serve(r, i, fd, &i->resolver));
	if (!i->service->options.resolve_others)
		return 0;
	return listen_inside(i, LAMBDA_LISTEN_RESOLVER_STREAM, on_accept_resolver, r,
		LAMBDA_RESOLVER_CONNECTIONS_MAX);
}

static int connect_container(struct boot *b)
{
	struct instance *i = b->instance;

	TRY(listen_inside(i, LAMBDA_LISTEN_RUNTIME_API, on_accept, i->service->runtime_server,
		LAMBDA_CONNECTIONS_MAX));
	TRY(listen_inside(i, LAMBDA_LISTEN_ENDPOINT, on_accept, i->service->endpoint_server,
		LAMBDA_CONNECTIONS_MAX));
	TRY(resolve_inside(i));
	TRY(adopt_pipe(i, 0, outcome_on_output, &i->output));
	if (b->launch.pipe_count > 1)
		TRY(adopt_pipe(i, 1, outcome_on_frames, &i->telemetry));
	if (b->companion_count)
		TRY(adopt_pipe(i, b->launch.pipe_count, outcome_on_extension_output,
			&i->extension_output));
	return 0;
}

static void log_dirty(void *arg)
{
	struct instance *i = arg;

	shard_log_dirty(i->shard, i);
}

/* It never came to a container: whoever waits hears why. */
static void boot_failed(struct instance *i, int rc, const struct sandbox_error *error)
{
	struct invocation *inv = outcome_first_waiting(i);
	str text = str_of(error->text, strnlen(error->text, sizeof(error->text)));

	log_error("lambda", "an instance could not be started", "function=%.*s error=%s text=%.*s",
		STR_ARG(function_of(i)->arn), rc_text(rc), STR_ARG(text));
	outcome_started(i, false);
	if (!inv)
		return;
	inv->rc = lambda_fault_set(&inv->fault, inv->arena,
		rc == ERR_BUSY ? LAMBDA_TOO_MANY_REQUESTS : LAMBDA_SERVICE,
		"The execution environment could not be started: %.*s",
		STR_ARG(text.n ? text : str_c(rc_text(rc))));
	inv->over = true;
	rt_event_set(&inv->event);
}

/* The second step of a start with external extensions. */
static void start_runtime(struct boot *b)
{
	struct instance *i = b->instance;
	int rc = 0;

	while (rc >= 0 && !i->ending && !sandbox_ended(i->container) &&
		!extensions_registered(i->extensions))
		rc = rt_event_wait(&i->extensions->registered, RT_NEVER);
	if (rc < 0 || i->ending || sandbox_ended(i->container))
		return;
	b->deadline = rt_after_ms(BOOT_DEADLINE_MS);
	i->asking = true;
	rc = boot_runtime(b);
	i->asking = false;
	/* Its end, when it came meanwhile, says more. */
	if (rc >= 0 || i->ending || sandbox_ended(i->container))
		return;
	boot_failed(i, rc, &b->error);
	end_with(i, SHUTDOWN_FAILURE);
}

static void boot_fiber(void *arg)
{
	struct instance *i = check_object(arg, struct instance, INSTANCE_MAGIC);
	struct arena a cleanup(arena_done_p) = {0};
	struct boot b = {.instance = i, .arena = &a, .deadline = rt_after_ms(BOOT_DEADLINE_MS)};
	int64_t timeout_ns = function_of(i)->timeout_s * RT_NS_S;
	int64_t budget = i->phase_invoke   ? timeout_ns
			 : i->snapshotting ? MAX(LAMBDA_SNAPSHOT_MS_MAX * RT_NS_MS, timeout_ns)
					   : LAMBDA_INIT_MS_MAX * RT_NS_MS;
	int rc;

	arena_init(&a, SIZE_MAX);
	rc = boot_container(&b);
	if (rc >= 0)
		rc = connect_container(&b);
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
	outcome_say(i, (struct platform_event){
			       .kind = i->restored ? PLATFORM_RESTORE_START : PLATFORM_INIT_START,
			       .in_invoke = i->phase_invoke});
	if (!i->ending)
		rt_timer_set(&i->timer, i->started_ns + budget);
	/* From here on the container's end frees the instance, when nobody holds it. */
	instance_hold(i);
	if (b.companion_count)
		sandbox_on_first_exit(i->container, on_first_exit, i);
	sandbox_on_end(i->container, on_container_end, i);
	if (b.companion_count)
		start_runtime(&b);
	instance_let(i);
}

int instance_begin(struct entry *e, uint64_t memory_reserved, enum instance_kind kind,
	struct snapshot_job *job)
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
	freeze_init(i);
	rt_event_init(&i->poll_event);
	i->end_message.fn = on_end_message;
	i->exit_message.fn = on_exit_message;
	rt_event_init(&i->unheld);
	i->phase_invoke = kind == INSTANCE_SECOND;
	i->provisioned = kind == INSTANCE_PROVISIONED;
	i->snapshotting = kind == INSTANCE_SNAPSHOT;
	i->job = job;
	i->starting = true;
	i->born_ns = rt_now();
	i->started_ns = i->born_ns;
	i->init_ns = INT64_MIN;
	i->memory_reserved = memory_reserved;
	i->feed = log_feed_new(s, function_of(i)->account, function_of(i)->region,
		function_of(i)->log_group, log_feed_stream_name(&a, function_of(i)), log_dirty, i);
	log_feed_refine(i->feed,
		function_logs_json(function_of(i))
			? log_level_named(function_of(i)->application_level)
			: 0,
		outcome_on_line);
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
