/*
 * Extensions of one instance: who they are, what they asked to be told, and what they do now.
 *
 * External ones are programs of the layers (/opt/extensions), started before the runtime, which
 * waits until all of them have registered; internal ones register from within the runtime while it
 * initialises. An instance is ready for work when the runtime and every extension have asked for
 * the next event (instance.c).
 *
 *     LAUNCHED -> REGISTERED -> READY <-> RUNNING       READY: waits in GET event/next
 *
 * Belongs to the loop of the instance. Source: Developer Guide, "Using the Lambda Extensions API to
 * create extensions".
 */
#ifndef SERVICES_LAMBDA_EXTENSION_H
#define SERVICES_LAMBDA_EXTENSION_H

#include "base/arena.h"
#include "base/random.h"
#include "rt/rt.h"

#define EXTENSIONS_FOLDER "/opt/extensions/"

enum { EXTENSIONS_MAX = 10, EXTENSION_NAME_BYTES_MAX = 128 };

struct http_exchange;
struct instance;

enum extension_state {
	EXTENSION_LAUNCHED,
	EXTENSION_REGISTERED,
	EXTENSION_READY,
	EXTENSION_RUNNING,
	EXTENSION_FAILED /* it has said so: init/error, exit/error */
};

enum shutdown_reason { SHUTDOWN_SPINDOWN, SHUTDOWN_TIMEOUT, SHUTDOWN_FAILURE };

/* An extension that waits in GET event/next: on its handler's stack. */
struct extension_poll {
	struct http_exchange *exchange;
	struct rt_event event;
	bool answered; /* somebody answers the exchange */
};

struct extension {
	char name[EXTENSION_NAME_BYTES_MAX];
	size_t name_bytes;
	char id[UUID_TEXT_BYTES + 1]; /* set when it registers */
	bool external, invoke, shutdown;
	bool told; /* of the shutdown */
	enum extension_state state;
	struct extension_poll *poll; /* READY */
};

struct extensions {
	struct extension items[EXTENSIONS_MAX];
	unsigned count;
	bool closed;                /* the first event went out: nobody registers any more */
	struct rt_event registered; /* every external one has, or the instance ends */
};

/* `paths` below EXTENSIONS_FOLDER, one for each external extension. */
struct extensions *extensions_new(const str *paths, unsigned count);
void extensions_free(struct extensions *all);

/* NULL `all`: there are none. Below, too. */
struct extension *extensions_find(struct extensions *all, str id);
struct extension *extensions_named(struct extensions *all, str name);
/* A further, internal one; NULL when there are EXTENSIONS_MAX. */
struct extension *extensions_add(struct extensions *all, str name);
str extension_name(const struct extension *e);
/* "Registered", as the API's errors and the log name states. */
const char *extension_state_name(enum extension_state state);
/* Has every external one registered? */
bool extensions_registered(const struct extensions *all);
/* Do all of them wait for an event? */
bool extensions_at_rest(const struct extensions *all);
/* How long a shutdown may take: 2 s with external ones, 0.5 s with internal ones, else 0. */
int64_t extensions_shutdown_ms(const struct extensions *all);

/* The INVOKE event to each that wants it; those are RUNNING. */
struct extension_invoke {
	str request_id, arn, trace;
	int64_t deadline_wall_ms;
};
void extensions_invoke(struct extensions *all, const struct extension_invoke *event) mayyield;
/* The SHUTDOWN event to each that wants it and waits now; others get it when they ask. */
void extensions_shutdown(
	struct extensions *all, enum shutdown_reason reason, int64_t deadline_wall_ms) mayyield;
/* Whoever waits is woken without an answer: the instance is gone. */
void extensions_wake(struct extensions *all);

/* "EXTENSION\tName: ...\tState: ...\tEvents: [...]\n", the line of one after the init phase. */
str extension_line(struct arena *a, const struct extension *e);

/* ---- extension_api.c ---- */

/* Serves /2020-01-01/extension/...: `path` is what follows. */
void extension_api(struct http_exchange *x, struct instance *i, str path) mayyield;
/* The extension that the request's Lambda-Extension-Identifier names; NULL: answered. */
struct extension *extension_of_request(struct http_exchange *x, struct instance *i) mayyield;

#endif
