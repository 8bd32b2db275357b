/*
 * Requests of runtimes. A handler finds its instance by the number in the connection's tag, because
 * a connection may outlive its instance for a moment; it holds a reference while it works.
 */
#include "services/lambda/runtime_api.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "http/http.h"
#include "services/lambda/instance.h"
#include "services/lambda/report.h"
#include "services/lambda/service.h"
#include "services/lambda/snapshot.h"
#include "services/lambda/telemetry.h"

enum { RUN_MS_MAX = 16 * 60000 }; /* longer than any function */

#define PREFIX           "/2018-06-01/runtime/"
#define EXTENSION_PREFIX "/2020-01-01/extension/"

static const struct http_header json_type = {
	.name = STR_INIT("Content-Type"), .value = STR_INIT("application/json")};

void runtime_api_answer(struct http_exchange *x, unsigned status, str body)
{
	/* The runtime may be gone: nobody is left to tell. */
	(void)!http_respond(x, status, &json_type, 1, body);
}

void runtime_api_error(struct http_exchange *x, unsigned status, str type, str message)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, &x->arena, 4096);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("errorMessage"), message);
	json_put_key_string(&w, STR("errorType"), type);
	json_put_object_end(&w);
	runtime_api_answer(x, status, buf_str(&b));
}

static void answer_state(
	struct http_exchange *x, const struct instance *i, enum instance_event event)
{
	runtime_api_error(x, 403, STR("InvalidStateTransition"),
		arena_printf(&x->arena,
			"State transition from %s to %s failed for runtime. Error: State "
			"transition is not allowed",
			instance_state_name(i->state), instance_event_name(event)));
}

/* ---- GET next ---- */

static void handle_next(struct http_exchange *x, struct instance *i)
{
	struct instance_poll poll = {.exchange = x};
	int rc;

	/* One that is to become a snapshot serves nobody. */
	if (i->snapshotting || !instance_step(i, INSTANCE_NEXT)) {
		answer_state(x, i, INSTANCE_NEXT);
		return;
	}
	rt_event_init(&poll.event);
	instance_polled(i, &poll);
	/* Somebody answers, a later request takes its place, or the instance ends. */
	rc = rt_event_wait(&poll.event, RT_NEVER);
	if (i->poll == &poll)
		i->poll = NULL;
	if (poll.answered) {
		/* The answering fiber uses our exchange until it says so. */
		if (rc < 0)
			rt_event_wait_sure(&poll.event);
		return;
	}
	runtime_api_error(x, 410, STR("Gone"), STR("The request was replaced by a later one."));
}

/* ---- errors ---- */

/* The report itself, or one made of its type when there is none that can be shown. */
static str error_object(struct http_exchange *x, str type, str body)
{
	struct json_reader r;
	struct json_writer w;
	struct buf b;

	json_reader_init(&r, body, &x->arena, JSON_DEPTH_DEFAULT);
	if (json_skip(&r) == 0 && json_end(&r) == 0)
		return body;
	buf_init(&b, &x->arena, 4096);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key_string(
		&w, STR("errorType"), str_is_utf8(type) ? type : STR("Runtime.Unknown"));
	json_put_object_end(&w);
	return buf_str(&b);
}

static int error_body(struct http_exchange *x, str *ret_type, str *ret_body)
{
	str type = http_header_find(x, STR("Lambda-Runtime-Function-Error-Type"));
	str body;

	TRY(http_body_all(x, LAMBDA_ERROR_BYTES_MAX, &body));
	*ret_type = type.n ? str_sub(type, 0, 256) : STR("Runtime.Unknown");
	*ret_body = error_object(x, *ret_type, body);
	return 0;
}

/* ---- POST response ---- */

static bool streams(const struct http_exchange *x)
{
	return str_eq_nocase(http_header_find(x, STR("Lambda-Runtime-Function-Response-Mode")),
		STR("streaming"));
}

/* The run that the request names is still the one in progress. */
static bool current(const struct instance *i, str id)
{
	return i->run.active && str_eq(id, str_of(i->run.request_id, i->run.request_id_bytes));
}

/* Its answer begins: of interest to telemetry alone. */
static void note_first(struct instance *i)
{
	if (i->subscribers || function_logs_json(&i->function->function))
		i->run.first_ns = rt_now();
}

/* One part to the caller, who may not leave meanwhile. False: it wants no more. */
static bool pass_part(struct invocation *inv, const struct http_exchange *x, str part)
{
	int rc = 0;

	inv->writing = true;
	if (!inv->streamed && inv->begin)
		rc = inv->begin(inv->write_arg, http_header_find(x, STR("Content-Type")));
	inv->streamed = true;
	if (rc >= 0)
		rc = inv->write(inv->write_arg, part);
	inv->writing = false;
	rt_event_set(&inv->event);
	return rc >= 0;
}

/* Passes parts on to the waiting caller as they come. ERR_TOO_LARGE past the limit. */
static int pass_parts(struct http_exchange *x, struct instance *i, str id)
{
	struct rt_buffer *buffer = rt_buffer_take();
	uint64_t total = 0;
	bool wanted = true;
	int n, rc = 0;

	while (rc >= 0 && (n = http_body_read(x, buffer->p, sizeof(buffer->p))) != ERR_EOF) {
		struct invocation *inv = current(i, id) ? i->run.waiter : NULL;

		if (n < 0) {
			rc = n;
			break;
		}
		total += (uint64_t)n;
		if (total > LAMBDA_STREAM_BYTES_MAX)
			rc = ERR_TOO_LARGE;
		else if (inv && wanted)
			wanted = pass_part(inv, x, str_of(buffer->p, (size_t)n));
	}
	rt_buffer_give(buffer);
	return rc;
}

/* A function that failed behind a part of its response says so in trailers: its error object. */
static bool trailing_error(struct http_exchange *x, str *ret_body)
{
	str type = http_trailer_find(x, STR("Lambda-Runtime-Function-Error-Type"));
	str text = http_trailer_find(x, STR("Lambda-Runtime-Function-Error-Body"));
	uint8_t *bytes;
	size_t n;

	if (!type.n)
		return false;
	bytes = arena_alloc(&x->arena, base64_bytes_max(text.n));
	if (base64_decode(text, bytes, &n) < 0)
		n = 0;
	*ret_body = error_object(x, type, str_of(bytes, n));
	return true;
}

static void answer_too_large(struct http_exchange *x, struct instance *i, bool streamed)
{
	unsigned max = streamed ? LAMBDA_STREAM_BYTES_MAX : LAMBDA_RESPONSE_BYTES_MAX;
	struct run_failure failure = failure_response_too_large(max);

	instance_answered_badly(i, &failure);
	runtime_api_error(x, 413, STR("RequestEntityTooLarge"),
		arena_printf(&x->arena, "Exceeded maximum allowed payload size (%u bytes).", max));
}

/* `rc` of the body's arrival. `streamed`: parts of it are with the caller. */
static void finish_response(
	struct http_exchange *x, struct instance *i, int rc, str body, bool streamed)
{
	struct run_failure truncated = failure_truncated();
	str error;

	if (rc == ERR_TOO_LARGE) {
		answer_too_large(x, i, streamed);
		return;
	}
	if (rc < 0)
		instance_answered_badly(i, &truncated);
	else if (streams(x) && trailing_error(x, &error))
		instance_answered(i, STR("Unhandled"), error);
	else
		instance_answered(i, STR_NULL, body);
	runtime_api_answer(x, 202, STR("{\"status\":\"OK\"}\n"));
}

static void handle_response(struct http_exchange *x, struct instance *i, str id)
{
	bool streamed;
	str body = STR("");
	int rc;

	if (i->state != INSTANCE_BUSY) {
		answer_state(x, i, INSTANCE_RESPONSE);
		return;
	}
	if (!current(i, id)) {
		runtime_api_error(x, 400, STR("InvalidRequestID"), STR("Invalid request ID"));
		return;
	}
	note_first(i);
	streamed = streams(x) && i->run.waiter && i->run.waiter->write;
	rc = streamed ? pass_parts(x, i, id) : http_body_all(x, LAMBDA_RESPONSE_BYTES_MAX, &body);
	if (rc < 0 && rc != ERR_TOO_LARGE && !streamed) {
		/* Cut short: no answer. The runtime may try again, or ends. */
		runtime_api_error(x, 400, STR("InvalidRequest"), STR("The body did not arrive."));
		return;
	}
	/* While the body came, the run may have timed out. */
	if (!current(i, id) || !instance_step(i, INSTANCE_RESPONSE)) {
		answer_state(x, i, INSTANCE_RESPONSE);
		return;
	}
	finish_response(x, i, rc, body, streamed);
}

/* ---- POST error ---- */

static void handle_error(struct http_exchange *x, struct instance *i, str id)
{
	str type, body;
	int rc;

	if (i->state != INSTANCE_BUSY) {
		answer_state(x, i, INSTANCE_ERROR);
		return;
	}
	if (!current(i, id)) {
		runtime_api_error(x, 400, STR("InvalidRequestID"), STR("Invalid request ID"));
		return;
	}
	note_first(i);
	rc = error_body(x, &type, &body);
	if (rc < 0) {
		runtime_api_error(x, rc == ERR_TOO_LARGE ? 413 : 400, STR("InvalidRequest"),
			STR("The error report is too large or did not arrive."));
		return;
	}
	if (!current(i, id) || !instance_step(i, INSTANCE_ERROR)) {
		answer_state(x, i, INSTANCE_ERROR);
		return;
	}
	instance_answered(i, STR("Unhandled"), body);
	runtime_api_answer(x, 202, STR("{\"status\":\"OK\"}\n"));
}

static void handle_init_error(struct http_exchange *x, struct instance *i)
{
	str type, body;

	if (i->state == INSTANCE_INIT && error_body(x, &type, &body) >= 0 &&
		instance_step(i, INSTANCE_INIT_ERROR)) {
		runtime_api_answer(x, 202, STR("{\"status\":\"OK\"}\n"));
		instance_init_failed(i, body, type);
	} else {
		answer_state(x, i, INSTANCE_INIT_ERROR);
	}
}

/* ---- routing ---- */

static void route(struct http_exchange *x, struct instance *i)
{
	str path = x->path, id, verb;

	if (str_eq(path, STR("/2022-07-01/telemetry")) ||
		str_eq(path, STR("/2022-07-01/telemetry/"))) {
		telemetry_api(x, i, false);
		return;
	}
	if (str_eq(path, STR("/2020-08-15/logs")) || str_eq(path, STR("/2020-08-15/logs/"))) {
		telemetry_api(x, i, true);
		return;
	}
	if (str_starts(path, STR(EXTENSION_PREFIX))) {
		extension_api(x, i, str_from(path, sizeof(EXTENSION_PREFIX) - 1));
		return;
	}
	if (!str_starts(path, STR(PREFIX))) {
		runtime_api_error(x, 404, STR("NotFound"),
			STR("This is the Runtime API, version 2018-06-01."));
		return;
	}
	path = str_from(path, sizeof(PREFIX) - 1);
	if (x->method == HTTP_METHOD_GET && str_eq(path, STR("invocation/next"))) {
		handle_next(x, i);
	} else if (x->method == HTTP_METHOD_POST && str_eq(path, STR("init/error"))) {
		handle_init_error(x, i);
	} else if (x->method == HTTP_METHOD_POST && str_eq(path, STR("restore/image"))) {
		snapshot_receive(x, i);
	} else if (x->method == HTTP_METHOD_POST && str_starts(path, STR("invocation/"))) {
		verb = str_from(path, sizeof("invocation/") - 1);
		if (str_split(&verb, '/', &id) && str_eq(verb, STR("response")))
			handle_response(x, i, id);
		else if (str_eq(verb, STR("error")))
			handle_error(x, i, id);
		else
			runtime_api_error(x, 404, STR("NotFound"), STR("No such resource."));
	} else {
		runtime_api_error(x, 404, STR("NotFound"),
			STR("The Runtime API has no such resource, or it takes another method."));
	}
}

static void handle(struct http_exchange *x, void *arg)
{
	struct lambda_service *s = check_object(arg, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	struct instance *i = scheduler_find(s->scheduler, (uint64_t)(uintptr_t)x->tag);

	if (!i) {
		runtime_api_error(
			x, 410, STR("Gone"), STR("This execution environment has ended."));
		return;
	}
	instance_ref(i);
	route(x, i);
	instance_unref(i);
}

int runtime_api_open(struct lambda_service *s)
{
	struct http_server_options options = {
		.handler = handle,
		.arg = s,
		/* A function works as long as it may between its event and its answer, and between
		 * the parts of one; its time-out and its end bound that. */
		.limits = {.idle_ms = RUN_MS_MAX,
			.body_ms = RUN_MS_MAX,
			.body_rate = -1,
			.body_bytes = LAMBDA_STREAM_BYTES_MAX + 1,
			.arena_bytes = (size_t)LAMBDA_RESPONSE_BYTES_MAX + 1024 * 1024},
	};

	return http_server_new(&options, &s->runtime_server);
}
