/*
 * The Extensions API, version 2020-01-01, on the port of the Runtime API:
 *
 *     POST /2020-01-01/extension/register
 *     GET  /2020-01-01/extension/event/next
 *     POST /2020-01-01/extension/init/error
 *     POST /2020-01-01/extension/exit/error
 */
#include "base/json.h"
#include "http/http.h"
#include "services/lambda/extension.h"
#include "services/lambda/instance.h"
#include "services/lambda/runtime_api.h"
#include "services/lambda/service.h"

enum { REGISTER_BYTES_MAX = 65536 };

static void refuse(struct http_exchange *x, str type, str message)
{
	runtime_api_error(x, 403, type, message);
}

static void refuse_state(struct http_exchange *x, const struct extension *e, const char *event)
{
	refuse(x, STR("Extension.InvalidExtensionState"),
		arena_printf(&x->arena,
			"State transition from %s to %s failed for extension %.*s. Error: State "
			"transition is not allowed",
			extension_state_name(e->state), event, STR_ARG(extension_name(e))));
}

static bool is_uuid(str s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s.p[i] != '-' : str_find(STR("0123456789abcdefABCDEF"), s.p[i]) < 0)
			return false;
	}
	return s.n == UUID_TEXT_BYTES;
}

struct extension *extension_of_request(struct http_exchange *x, struct instance *i)
{
	str id = http_header_find(x, STR("Lambda-Extension-Identifier"));
	struct extension *e = extensions_find(i->extensions, id);

	if (!id.n)
		refuse(x, STR("Extension.MissingExtensionIdentifier"),
			STR("Missing Lambda-Extension-Identifier header"));
	else if (!is_uuid(id))
		refuse(x, STR("Extension.InvalidExtensionIdentifier"),
			STR("Invalid Lambda-Extension-Identifier"));
	else if (!e)
		refuse(x, STR("Extension.UnknownExtensionIdentifier"),
			ARENA_CONCAT(&x->arena, STR("Unknown extension "), id));
	return e;
}

/* ---- register ---- */

struct registration {
	bool invoke, shutdown;
	str bad; /* an event that there is not */
};

static int parse_registration(struct arena *a, str body, struct registration *ret)
{
	struct json_reader r;
	str key, event;

	*ret = (struct registration){0};
	json_reader_init(&r, body, a, JSON_DEPTH_DEFAULT);
	TRY(json_object_begin(&r));
	while (TRY(json_object_next(&r, &key))) {
		if (!str_eq(key, STR("events"))) {
			TRY(json_skip(&r));
			continue;
		}
		TRY(json_array_begin(&r));
		while (TRY(json_array_next(&r))) {
			TRY(json_string(&r, &event));
			if (str_eq(event, STR("INVOKE")))
				ret->invoke = true;
			else if (str_eq(event, STR("SHUTDOWN")))
				ret->shutdown = true;
			else
				ret->bad = event;
		}
	}
	return json_end(&r);
}

/* Does the list of Lambda-Extension-Accept-Feature have the name? */
static bool accepts(const struct http_exchange *x, str feature)
{
	str rest = http_header_find(x, STR("Lambda-Extension-Accept-Feature")), one;

	while (str_split(&rest, ',', &one))
		if (str_eq_nocase(str_trim(one), feature))
			return true;
	return false;
}

static void answer_registered(
	struct http_exchange *x, const struct instance *i, const struct extension *e)
{
	const struct function *f = &i->function->function;
	struct http_header headers[] = {
		{STR("Content-Type"), STR("application/json"), 0},
		{STR("Lambda-Extension-Identifier"), str_c(e->id), 0},
	};
	struct json_writer w;
	struct buf b;

	buf_init(&b, &x->arena, 4096);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("functionName"), f->name);
	json_put_key_string(&w, STR("functionVersion"), f->version);
	json_put_key_string(&w, STR("handler"), f->handler);
	if (accepts(x, STR("accountId")))
		json_put_key_string(&w, STR("accountId"), f->account);
	json_put_object_end(&w);
	(void)!http_respond(x, 200, headers, ARRAY_SIZE(headers), buf_str(&b));
}

/* The entry that the name registers: NULL, answered, when it may not. */
static struct extension *admit(struct http_exchange *x, struct instance *i, str name)
{
	struct extension *e = extensions_named(i->extensions, name);

	if (e && e->state != EXTENSION_LAUNCHED) {
		refuse_state(x, e, "Register");
		return NULL;
	}
	if (e)
		return e;
	/* An internal one: from the runtime's own process, before it asks for work. */
	if (i->state != INSTANCE_INIT || !extensions_registered(i->extensions) ||
		(i->extensions && i->extensions->closed)) {
		refuse(x, STR("Extension.RegistrationClosed"),
			STR("Extension registration closed already"));
		return NULL;
	}
	if (!i->extensions)
		i->extensions = extensions_new(NULL, 0);
	if (i->extensions->count == EXTENSIONS_MAX)
		refuse(x, STR("Extension.TooManyExtensions"),
			arena_printf(&x->arena, "Extension limit (%d) reached", EXTENSIONS_MAX));
	return extensions_add(i->extensions, name);
}

static void handle_register(struct http_exchange *x, struct instance *i)
{
	str name = http_header_find(x, STR("Lambda-Extension-Name")), body;
	struct registration wanted;
	struct extension *e;
	uint8_t bytes[16];

	if (!name.n || name.n > EXTENSION_NAME_BYTES_MAX || !str_is_utf8(name)) {
		refuse(x, STR("Extension.InvalidExtensionName"),
			name.n ? STR("Invalid extension name") : STR("Empty extension name"));
		return;
	}
	if (http_body_all(x, REGISTER_BYTES_MAX, &body) < 0 ||
		parse_registration(&x->arena, body, &wanted) < 0) {
		refuse(x, STR("InvalidRequestFormat"),
			STR("The body is not {\"events\": [...]} in JSON"));
		return;
	}
	if (wanted.bad.p) {
		refuse(x, STR("Extension.InvalidEventType"),
			ARENA_CONCAT(&x->arena, STR("Invalid event type: "),
				str_sub(wanted.bad, 0, 256)));
		return;
	}
	e = extensions_named(i->extensions, name);
	if (wanted.shutdown && !e) {
		refuse(x, STR("ShutdownEventNotSupportedForInternalExtension"),
			STR("Shutdown event is not supported for internal extensions"));
		return;
	}
	e = admit(x, i, name);
	if (!e)
		return;
	rt_random_bytes(bytes, sizeof(bytes));
	uuid_v4_text(bytes, e->id);
	e->invoke = wanted.invoke;
	e->shutdown = wanted.shutdown;
	e->state = EXTENSION_REGISTERED;
	answer_registered(x, i, e);
	if (extensions_registered(i->extensions))
		rt_event_set(&i->extensions->registered);
}

/* ---- event/next ---- */

static void handle_next(struct http_exchange *x, struct instance *i)
{
	struct extension_poll poll = {.exchange = x};
	struct extension *e = extension_of_request(x, i);
	int rc;

	if (!e)
		return;
	if (e->state == EXTENSION_READY || e->state == EXTENSION_FAILED) {
		refuse_state(x, e, "Next");
		return;
	}
	rt_event_init(&poll.event);
	e->poll = &poll;
	e->state = EXTENSION_READY;
	instance_extension_polled(i);
	/* An event comes, or the instance ends. */
	rc = rt_event_wait(&poll.event, RT_NEVER);
	if (poll.answered) {
		/* The answering fiber uses our exchange until it says so. */
		if (rc < 0)
			rt_event_wait_sure(&poll.event);
		return;
	}
	if (e->poll == &poll) {
		/* It hung up: as if it had not asked. */
		e->poll = NULL;
		e->state = EXTENSION_RUNNING;
	}
	runtime_api_error(x, 410, STR("Gone"), STR("This execution environment has ended."));
}

/* ---- errors ---- */

static void handle_failure(struct http_exchange *x, struct instance *i, bool init)
{
	str type = http_header_find(x, STR("Lambda-Extension-Function-Error-Type"));
	struct extension *e = extension_of_request(x, i);
	str body;

	if (!e)
		return;
	if (!type.n) {
		refuse(x, STR("Extension.MissingHeader"),
			STR("Missing Lambda-Extension-Function-Error-Type header"));
		return;
	}
	if (e->state == EXTENSION_FAILED || (init && e->state != EXTENSION_REGISTERED)) {
		refuse_state(x, e, init ? "InitError" : "ExitError");
		return;
	}
	/* What it says beside the type is for the reader of the log. */
	if (http_body_all(x, LAMBDA_ERROR_BYTES_MAX, &body) < 0)
		body = STR("");
	e->state = EXTENSION_FAILED;
	runtime_api_answer(x, 202, STR("{\"status\":\"OK\"}\n"));
	instance_extension_failed(i, init ? STR("Extension.InitError") : STR("Extension.ExitError"),
		str_is_utf8(type) ? str_sub(type, 0, 256) : STR("Extension.UnknownReason"));
}

void extension_api(struct http_exchange *x, struct instance *i, str path)
{
	if (x->method == HTTP_METHOD_POST && str_eq(path, STR("register")))
		handle_register(x, i);
	else if (x->method == HTTP_METHOD_GET && str_eq(path, STR("event/next")))
		handle_next(x, i);
	else if (x->method == HTTP_METHOD_POST && str_eq(path, STR("init/error")))
		handle_failure(x, i, true);
	else if (x->method == HTTP_METHOD_POST && str_eq(path, STR("exit/error")))
		handle_failure(x, i, false);
	else
		runtime_api_error(x, 404, STR("NotFound"),
			STR("The Extensions API has no such resource, or it takes another "
			    "method."));
}
