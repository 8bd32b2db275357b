/*
 * The records of HTTP APIs in the key-value store, and the one transaction frame of all changes.
 *
 *     APIGATEWAY_APIS   account region 'A' api            the API
 *                       account region 'C' api kind id    what belongs to it, by enum store_kind
 *     APIGATEWAY_OWNERS api                               account and region, for requests by host
 *
 * A record is the header of kv/record.h and the JSON of a shape of the model. Every change of an
 * API runs with the API's own key declared and writes it again with a later time: so changes of one
 * API exclude one another, routes and stages stay consistent, and the record's time is the
 * generation by which another node could see that its compiled copy is old.
 *
 * A deployment is the API's routes and integrations at one moment ('p' holds them, 'd' describes
 * it). Stages with AutoDeploy get a new one in the same transaction as the change.
 *
 * Everything runs in a request's fiber and suspends.
 */
#ifndef SERVICES_APIGATEWAY_STORE_H
#define SERVICES_APIGATEWAY_STORE_H

#include "aws/gate.h"
#include "kv/kv.h"
#include "services/apigateway/apigateway.h"

enum {
#define LIMIT(name, value, source) APIGATEWAY_MAX_##name = value,
#include "services/apigateway/limits.def"
#undef LIMIT
};

enum apigateway_fault {
#define FAULT(id, ...) APIGATEWAY_##id,
#include "services/apigateway/faults.def"
#undef FAULT
};
extern const struct fault_kind apigateway_faults[];
#define APIGATEWAY_FAULT(c, id, ...) \
	call_fault((c), &apigateway_faults[APIGATEWAY_##id], __VA_ARGS__)

enum store_kind {
	STORE_INTEGRATION = 'i',
	STORE_ROUTE = 'r',
	STORE_STAGE = 's',
	STORE_DEPLOYMENT = 'd',
	STORE_SNAPSHOT = 'p',
};

/* A change in progress. */
struct change {
	struct call *c;
	struct kv_txn *txn;
	str api_id;
	struct value *api;   /* shape Api; may be changed: it is written at the end */
	bool routes_changed; /* set by the change: stages with AutoDeploy get a new deployment */
	bool remove;         /* set by the change: the API's record goes away */
	void *arg;
};
typedef int change_fn(struct change *ch);

/*
 * Runs `fn` on the API of that id: NotFoundException when there is none. It may run several times;
 * what it leaves in c->out must be the same each time. Afterwards the compiled copies are renewed.
 */
must_use mayyield int store_change(struct call *c, str api_id, change_fn *fn, void *arg);
/* The same for an API that does not exist yet; ch->api is a new, empty one with its id. */
must_use mayyield int store_create(struct call *c, change_fn *fn, void *arg);

/* Inside a change: 1 and the record, 0 when absent. */
must_use mayyield int store_change_get(
	struct change *ch, enum store_kind kind, str id, struct value **ret_value);
/* All of a kind, as a Get...Response: its Items. */
must_use mayyield int store_change_list(
	struct change *ch, enum store_kind kind, struct value **ret_response);
void store_change_put(struct change *ch, enum store_kind kind, str id, const struct value *v);
void store_change_delete(struct change *ch, enum store_kind kind, str id);
/* Everything that belongs to the API, and who owns its id. */
must_use mayyield int store_change_delete_all(struct change *ch);
/*
 * Makes a deployment of what the API is now, and the deployment's record in *ret (may be NULL).
 * BadRequestException when there are no routes.
 */
must_use mayyield int store_change_deploy(
	struct change *ch, str description, bool automatic, struct value **ret_deployment);

/* A new deployment for every stage with AutoDeploy, now; the records of the stages are changed. */
must_use mayyield int store_change_auto_deploy(struct change *ch);

/* Outside of changes. NotFoundException for the API, or for what belongs to it. */
must_use mayyield int store_api(struct call *c, str api_id, struct value **ret_api);
must_use mayyield int store_get(
	struct call *c, str api_id, enum store_kind kind, str id, struct value **ret_value);
/*
 * A page of a kind (0: the APIs) into c->out's Items and NextToken; `each` (may be NULL) may add to
 * an item. MaxResults and NextToken are read from c->in.
 */
must_use mayyield int store_page(
	struct call *c, str api_id, char kind, void (*each)(struct call *c, struct value *item));
/* TooManyRequestsException when the account has as many APIs as it may. */
must_use mayyield int store_count_apis(struct call *c);
/* NotFoundException for something of that kind. */
int store_not_found(struct call *c, enum store_kind kind, str id);

/* A new identifier: `n` lower-case letters and digits, beginning with a letter when `letter`. */
str store_new_id(struct arena *arena, size_t n);

/* ---- for the serving side: everything of an API at one moment ---- */

struct stored_api {
	str account, region;
	struct value *api;
	struct value *stages; /* GetStagesResponse */
	/* Per stage: its deployment's GetRoutesResponse and GetIntegrationsResponse, or NULL. */
	struct value **routes, **integrations;
};
/* 1, or 0 when no API has that id. */
must_use mayyield int store_load(
	struct kv *kv, struct arena *arena, str api_id, struct stored_api *ret_api);

/* The service's kv, from c->self. NULL before start. */
struct kv *apigateway_kv(struct apigateway *gateway);
/* Compiled copies of this API are old now. Any loop. */
void apigateway_changed(struct apigateway *gateway, str api_id);
/* ApiEndpoint of an API. */
str apigateway_endpoint(
	const struct apigateway *gateway, struct arena *arena, str api_id, str region);
const struct apigateway_options *apigateway_options(const struct apigateway *gateway);

#endif
