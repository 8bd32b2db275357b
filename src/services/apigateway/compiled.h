/*
 * What is served: an API compiled from its records into immutable tables, and where each loop keeps
 * the ones it has used.
 *
 * A request finds its API in the loop's own map, compares one atomic generation, and takes a
 * reference: no lock and no storage read. A change of an API raises its generation (they are
 * counters by hash of the id, shared by all loops, so a few APIs may share one and be read again
 * in vain); the next request on each loop loads and compiles it anew, and requests that arrive
 * meanwhile wait for that one load. Those in progress go on with what they hold. With several
 * nodes the generation would come from the API's record instead (store.h).
 *
 * An API belongs to the loop that compiled it.
 */
#ifndef SERVICES_APIGATEWAY_COMPILED_H
#define SERVICES_APIGATEWAY_COMPILED_H

#include "aws/cors.h"
#include "base/list.h"
#include "base/map.h"
#include "rt/rt.h"
#include "services/apigateway/store.h"
#include "services/apigateway/target.h"

struct compiled_integration {
	enum { INTEGRATION_FUNCTION, INTEGRATION_URL, INTEGRATION_BROKEN } kind;
	const char *broken; /* why, for the log */
	unsigned format;    /* of the payload: 1 or 2 */
	str function, role; /* ARNs; role empty: none */
	str method;         /* to a URL; "ANY": that of the request */
	struct target_url url;
	int64_t timeout_ms;
};

struct compiled_stage {
	str name;
	const struct event_variable *variables;
	size_t variable_count;
	struct router *router; /* NULL: nothing was deployed */
	const struct compiled_integration *integrations;
	size_t integration_count; /* a route's number beyond it: it has no target */
};

struct compiled_api {
	unsigned refs;
	struct arena arena;
	str id, account, region;
	bool disabled;           /* DisableExecuteApiEndpoint */
	const struct cors *cors; /* NULL: not configured */
	const struct compiled_stage *stages;
	size_t stage_count;
};

/* Compiles; all is copied. Never fails: what is wrong with a deployment answers 500 when used. */
struct compiled_api *compiled_new(str id, const struct stored_api *stored);
struct compiled_api *compiled_ref(struct compiled_api *api);
void compiled_unref(struct compiled_api *api);
void compiled_unref_p(struct compiled_api **api);
/* The stage of that name, NULL when there is none. */
const struct compiled_stage *compiled_stage(const struct compiled_api *api, str name);

enum { COMPILED_GENERATIONS = 1024 };

struct compiled_cache {
	struct map apis;  /* id -> struct cached */
	struct list used; /* most recently used first */
	size_t count;
};

void compiled_cache_init(struct compiled_cache *cache);
void compiled_cache_done(struct compiled_cache *cache);
/* 1 and a reference, or 0: no such API. */
must_use mayyield int compiled_find(struct compiled_cache *cache, struct kv *kv,
	const _Atomic uint64_t generations[COMPILED_GENERATIONS], str api_id, int64_t deadline,
	struct compiled_api **ret_api);
/* Which counter belongs to an API. */
size_t compiled_generation(str api_id);

#endif
