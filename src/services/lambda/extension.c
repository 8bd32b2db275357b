/*
 * The registry and the events. Events are small: they go to the socket's buffer, and a poll is
 * taken off its extension before anything is sent, so that nothing is answered twice.
 */
#include "services/lambda/extension.h"

#include "base/check.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/http.h"

enum { SHUTDOWN_EXTERNAL_MS = 2000, SHUTDOWN_INTERNAL_MS = 500, EVENT_BYTES_MAX = 16384 };

struct extensions *extensions_new(const str *paths, unsigned count)
{
	struct extensions *all = mem_new(struct extensions);
	size_t folder = sizeof(EXTENSIONS_FOLDER) - 1;

	rt_event_init(&all->registered);
	for (unsigned i = 0; i < count; i++) {
		struct extension *e = extensions_add(all, str_from(paths[i], folder));

		check(e);
		e->external = true;
		e->state = EXTENSION_LAUNCHED;
	}
	return all;
}

void extensions_free(struct extensions *all)
{
	mem_free(all);
}

struct extension *extensions_find(struct extensions *all, str id)
{
	for (unsigned i = 0; all && i < all->count; i++)
		if (all->items[i].state != EXTENSION_LAUNCHED &&
			str_eq(str_c(all->items[i].id), id))
			return &all->items[i];
	return NULL;
}

struct extension *extensions_named(struct extensions *all, str name)
{
	for (unsigned i = 0; all && i < all->count; i++)
		if (str_eq(extension_name(&all->items[i]), name))
			return &all->items[i];
	return NULL;
}

struct extension *extensions_add(struct extensions *all, str name)
{
	struct extension *e;

	if (all->count == EXTENSIONS_MAX)
		return NULL;
	check(name.n <= EXTENSION_NAME_BYTES_MAX);
	e = &all->items[all->count++];
	memcpy(e->name, name.p, name.n);
	e->name_bytes = name.n;
	return e;
}

str extension_name(const struct extension *e)
{
	return str_of(e->name, e->name_bytes);
}

const char *extension_state_name(enum extension_state state)
{
	static const char *const names[] = {"Started", "Registered", "Ready", "Running", "Failed"};

	check(state < ARRAY_SIZE(names));
	return names[state];
}

bool extensions_registered(const struct extensions *all)
{
	for (unsigned i = 0; all && i < all->count; i++)
		if (all->items[i].state == EXTENSION_LAUNCHED)
			return false;
	return true;
}

bool extensions_at_rest(const struct extensions *all)
{
	for (unsigned i = 0; all && i < all->count; i++)
		if (all->items[i].state != EXTENSION_READY)
			return false;
	return true;
}

int64_t extensions_shutdown_ms(const struct extensions *all)
{
	for (unsigned i = 0; all && i < all->count; i++)
		if (all->items[i].external)
			return SHUTDOWN_EXTERNAL_MS;
	return all && all->count ? SHUTDOWN_INTERNAL_MS : 0;
}

/* ---- events ---- */

/* To one that waits in `poll`, which was taken off it. */
static void send_event(struct extension_poll *poll, const char *id, str body)
{
	struct http_header headers[] = {
		{STR("Content-Type"), STR("application/json"), 0},
		{STR("Lambda-Extension-Event-Identifier"), str_c(id), 0},
	};

	/* One that hung up asks again, or does not. */
	(void)!http_respond(poll->exchange, 200, headers, ARRAY_SIZE(headers), body);
	rt_event_set(&poll->event);
}

static void new_id(char id[UUID_TEXT_BYTES + 1])
{
	uint8_t bytes[16];

	rt_random_bytes(bytes, sizeof(bytes));
	uuid_v4_text(bytes, id);
	id[UUID_TEXT_BYTES] = 0;
}

static str invoke_text(struct arena *a, const struct extension_invoke *event)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, a, EVENT_BYTES_MAX);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("eventType"), STR("INVOKE"));
	json_put_key(&w, STR("deadlineMs"));
	json_put_i64(&w, event->deadline_wall_ms);
	json_put_key_string(&w, STR("requestId"), event->request_id);
	json_put_key_string(&w, STR("invokedFunctionArn"), event->arn);
	json_put_key(&w, STR("tracing"));
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("type"), STR("X-Amzn-Trace-Id"));
	json_put_key_string(&w, STR("value"), event->trace);
	json_put_object_end(&w);
	json_put_object_end(&w);
	return buf_str(&b);
}

static str shutdown_text(struct arena *a, enum shutdown_reason reason, int64_t deadline_wall_ms)
{
	static const str names[] = {STR_INIT("spindown"), STR_INIT("timeout"), STR_INIT("failure")};

	return arena_printf(a,
		"{\"eventType\":\"SHUTDOWN\",\"shutdownReason\":\"%.*s\",\"deadlineMs\":%lld}",
		STR_ARG(names[reason]), (long long)deadline_wall_ms);
}

/* Takes the polls off all that wait and want the event; afterwards nothing is shared with them. */
static unsigned take_polls(
	struct extensions *all, bool shutdown, struct extension_poll *polls[EXTENSIONS_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < all->count; i++) {
		struct extension *e = &all->items[i];

		if (!e->poll || !(shutdown ? e->shutdown && !e->told : e->invoke))
			continue;
		e->told |= shutdown;
		e->state = EXTENSION_RUNNING;
		polls[n] = e->poll;
		polls[n++]->answered = true;
		e->poll = NULL;
	}
	return n;
}

static void send_all(struct extension_poll *polls[EXTENSIONS_MAX], unsigned n, str body)
{
	char id[UUID_TEXT_BYTES + 1];

	new_id(id);
	for (unsigned i = 0; i < n; i++)
		send_event(polls[i], id, body);
}

void extensions_invoke(struct extensions *all, const struct extension_invoke *event)
{
	struct extension_poll *polls[EXTENSIONS_MAX];
	struct arena a cleanup(arena_done_p) = {0};

	if (!all)
		return;
	all->closed = true;
	arena_init(&a, SIZE_MAX);
	send_all(polls, take_polls(all, false, polls), invoke_text(&a, event));
}

void extensions_shutdown(
	struct extensions *all, enum shutdown_reason reason, int64_t deadline_wall_ms)
{
	struct extension_poll *polls[EXTENSIONS_MAX];
	struct arena a cleanup(arena_done_p) = {0};

	arena_init(&a, SIZE_MAX);
	send_all(polls, take_polls(all, true, polls), shutdown_text(&a, reason, deadline_wall_ms));
}

void extensions_wake(struct extensions *all)
{
	for (unsigned i = 0; all && i < all->count; i++) {
		if (all->items[i].poll)
			rt_event_set(&all->items[i].poll->event);
		all->items[i].poll = NULL;
	}
}

str extension_line(struct arena *a, const struct extension *e)
{
	return arena_printf(a, "EXTENSION\tName: %.*s\tState: %s\tEvents: [%s%s%s]\n",
		STR_ARG(extension_name(e)), extension_state_name(e->state),
		e->invoke ? "INVOKE" : "", e->invoke && e->shutdown ? ", " : "",
		e->shutdown ? "SHUTDOWN" : "");
}
