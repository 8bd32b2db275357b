/*
 * Provisioned concurrency as clients set it: on a published version, or on an alias, where it
 * follows the alias to its versions (by weight where there are two).
 *
 * Stored as a part of the function (its count and the time), so it goes with its version, alias or
 * function. The scheduler keeps the instances and knows how far it is (provision.h);
 * provisioned_apply() tells it what is stored, after each change and at the start of the server.
 *
 * Source: API Reference, the operation of each handler's name; Developer Guide, "Configuring
 * provisioned concurrency for a function".
 */
#include "aws/codec.h"
#include "base/check.h"
#include "base/log.h"
#include "rt/rt.h"
#include "services/lambda/provision.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"
#include "services/lambda/tenant.h"

enum { BUSY_MS = 20, BUSY_TRIES = 100 };

#define SHAPE "GetProvisionedConcurrencyConfigResponse"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

static int load(struct arena *a, str text, struct value **ret_config)
{
	return codec_json_load(a, model_named(STR("lambda")), SHAPE, text, ret_config);
}

static int load_alias(struct arena *a, str text, struct value **ret_alias)
{
	return codec_json_load(
		a, model_named(STR("lambda")), "AliasConfiguration", text, ret_alias);
}

static unsigned count_of(const struct value *config)
{
	return (unsigned)value_int(config, "RequestedProvisionedConcurrentExecutions", 0);
}

/* ---- where it is kept ---- */

/* The versions that a qualifier's instances are of; the second has 0 where there is only one. */
struct placement {
	str version[2];
	unsigned count[2];
};

static struct placement place_alias(const struct value *alias, unsigned count)
{
	const struct value *weights =
		value_get(value_get(alias, "RoutingConfig"), "AdditionalVersionWeights");
	struct placement p = {{value_str(alias, "FunctionVersion"), STR_NULL}, {count, 0}};

	if (value_count(weights)) {
		p.version[1] = value_key(weights, 0);
		p.count[1] = (unsigned)(count * value_of(weights, 0)->d + 0.5);
		p.count[1] = MIN(p.count[1], count);
		p.count[0] -= p.count[1];
	}
	return p;
}

/* Of a version or an alias as it is now; all zero when the alias has gone meanwhile. */
static int place(struct lambda_service *s, struct arena *a, const struct function *f, str qualifier,
	unsigned count, struct placement *ret)
{
	struct value *alias;
	str text;

	*ret = (struct placement){{qualifier, STR_NULL}, {count, 0}};
	if (function_qualifier_kind(qualifier) == QUALIFIER_VERSION)
		return 0;
	if (TRY(store_part(s, a, f, PART_ALIAS, qualifier, &text)) == 0) {
		*ret = (struct placement){.count = {0, 0}};
		return 0;
	}
	TRY(load_alias(a, text, &alias));
	*ret = place_alias(alias, count);
	return 0;
}

/* ---- the scheduler's part ---- */

struct plan_row {
	str version;
	unsigned count;
};

struct plan {
	struct arena *arena;
	struct plan_row *rows;
	uint32_t count, capacity;
};

/* The version's row, new with 0. */
static struct plan_row *plan_row(struct plan *p, str version)
{
	for (uint32_t i = 0; i < p->count; i++)
		if (str_eq(p->rows[i].version, version))
			return &p->rows[i];
	if (p->count == p->capacity) {
		struct plan_row *old = p->rows;

		p->capacity = p->capacity ? 2 * p->capacity : 8;
		p->rows = arena_new_array(p->arena, struct plan_row, p->capacity);
		if (p->count)
			memcpy(p->rows, old, p->count * sizeof(*old));
	}
	p->rows[p->count] = (struct plan_row){.version = version};
	return &p->rows[p->count++];
}

static void plan_known(void *arg, str version)
{
	(void)plan_row(arg, version);
}

/* What the store says is to be kept, and with 0 what is kept and should not be. */
static int plan_read(struct lambda_service *s, const struct function *f, struct plan *p)
{
	struct store_entry entries[LAMBDA_LIST_PAGE_MAX];
	struct placement at;
	struct value *config;
	str after = STR_NULL;
	bool more = true;
	int n;

	p->count = 0;
	while (more) {
		n = TRY(store_parts(s, p->arena, f, PART_PROVISIONED, after, ARRAY_SIZE(entries),
			entries, &more));
		for (int i = 0; i < n; i++) {
			TRY(load(p->arena, entries[i].text, &config));
			TRY(place(s, p->arena, f, entries[i].qualifier, count_of(config), &at));
			for (int k = 0; k < 2; k++)
				if (at.count[k])
					plan_row(p, at.version[k])->count += at.count[k];
			after = entries[i].qualifier;
		}
	}
	scheduler_each_provisioned(s->scheduler, f->account, f->region, f->name, plan_known, p);
	return 0;
}

static int keep(struct lambda_service *s, const struct function *f, const struct plan_row *row)
{
	int rc = ERR_BUSY;

	/* A loop may be short of fibers for a moment. */
	for (int i = 0; i < BUSY_TRIES && rc == ERR_BUSY; i++) {
		if (i && rt_sleep_until(rt_after_ms(BUSY_MS)) < 0)
			return ERR_CANCELLED;
		rc = scheduler_provision(
			s->scheduler, f->account, f->region, f->name, row->version, row->count);
	}
	/* Deleted since it was read: what is read next says so. */
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

/*
 * Until what was read is what is kept: of two that do this at a time, the one that comes last reads
 * again after it has set, so that nothing old stays.
 */
static int apply(struct lambda_service *s, const struct function *f)
{
	bool changed = true;

	while (changed) {
		struct arena a cleanup(arena_done_p) = {0};
		struct plan plan = {.arena = &a};

		arena_init(&a, SIZE_MAX);
		TRY(plan_read(s, f, &plan));
		changed = false;
		for (uint32_t i = 0; i < plan.count; i++) {
			const struct plan_row *row = &plan.rows[i];
			const struct provision *now = scheduler_provisioned(
				s->scheduler, f->account, f->region, f->name, row->version);

			if (atomic_load(&now->wanted) == row->count)
				continue;
			TRY(keep(s, f, row));
			changed = true;
		}
	}
	return 0;
}

void provisioned_apply(struct lambda_service *s, str account, str region, str name)
{
	const struct function f = {.account = account, .region = region, .name = name};
	int rc;

	/* Not while it is only on its way: instances wait for it as they boot. */
	if (atomic_load(&s->sandbox_known) && !s->sandbox)
		return;
	rc = apply(s, &f);
	if (rc < 0)
		log_error("lambda", "provisioned concurrency could not be set up",
			"function=%.*s account=%.*s error=%s", STR_ARG(name), STR_ARG(account),
			rc_text(rc));
}

/* ---- rules ---- */

static int fault_unpublished(struct call *c)
{
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
		"Provisioned Concurrency Configs cannot be applied to unpublished function "
		"versions.");
}

struct rivals {
	struct call *call;
	struct kv_txn *txn;
	struct arena *arena;
	const struct function *function;
	str qualifier, version; /* which wants to have instances of which version */
};

/* A version's instances are provisioned by itself or by one alias. */
static int check_rival(void *arg, str qualifier, str text unused_arg)
{
	struct rivals *r = arg;
	struct call *c = r->call;
	bool alias = function_qualifier_kind(qualifier) == QUALIFIER_ALIAS;
	str version = qualifier, record;
	struct value *v;

	if (str_eq(qualifier, r->qualifier))
		return 0;
	if (alias) {
		if (TRY(store_txn_part(
			    r->txn, r->arena, r->function, PART_ALIAS, qualifier, &record)) == 0)
			return 0;
		TRY(load_alias(r->arena, record, &v));
		version = value_str(v, "FunctionVersion");
	}
	if (!str_eq(version, r->version))
		return 0;
	if (alias && function_qualifier_kind(r->qualifier) == QUALIFIER_VERSION)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"Version is pointed by a Provisioned Concurrency alias");
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
		"Alias can't be used for Provisioned Concurrency configuration on an already "
		"Provisioned version");
}

static int check_rivals(struct call *c, struct kv_txn *txn, struct arena *a,
	const struct function *f, str qualifier, str version)
{
	struct rivals r = {c, txn, a, f, qualifier, version};

	return store_txn_each_part(txn, a, f, PART_PROVISIONED, check_rival, &r);
}

/* The two exclude each other. */
static int check_snap_start(
	struct call *c, struct kv_txn *txn, struct arena *a, const struct function *f, str version)
{
	struct function v;

	if (TRY(store_txn_load(txn, a, f->account, f->region, f->name, version, &v)) == 0 ||
		!v.snap_start)
		return 0;
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
		"Provisioned Concurrency is not supported for SnapStart enabled functions.");
}

int provisioned_check_alias(struct call *c, struct kv_txn *txn, struct arena *a,
	const struct function *f, const struct value *alias)
{
	str name = value_str(alias, "Name"), version = value_str(alias, "FunctionVersion"), text;

	if (TRY(store_txn_part(txn, a, f, PART_PROVISIONED, name, &text)) == 0)
		return 0;
	if (function_qualifier_kind(version) != QUALIFIER_VERSION)
		return fault_unpublished(c);
	TRY(check_snap_start(c, txn, a, f, version));
	return check_rivals(c, txn, a, f, name, version);
}

/* The version that the qualifier names, in the transaction. ERR_NOT_FOUND. */
static int check_qualifier(struct call *c, struct kv_txn *txn, struct arena *a,
	const struct function *f, str qualifier)
{
	struct value *alias;
	str version = qualifier, text;

	if (TRY(store_txn_has_qualifier(txn, a, f, qualifier)) == 0)
		return ERR_NOT_FOUND;
	if (function_qualifier_kind(qualifier) == QUALIFIER_ALIAS) {
		if (TRY(store_txn_part(txn, a, f, PART_ALIAS, qualifier, &text)) == 0)
			return ERR_NOT_FOUND;
		TRY(load_alias(a, text, &alias));
		version = value_str(alias, "FunctionVersion");
		if (function_qualifier_kind(version) != QUALIFIER_VERSION)
			return fault_unpublished(c);
		if (value_has(alias, "RoutingConfig"))
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
				"Provisioned concurrency of the alias %.*s cannot be changed while "
				"it has a routing configuration.",
				STR_ARG(qualifier));
	}
	TRY(check_snap_start(c, txn, a, f, version));
	return check_rivals(c, txn, a, f, qualifier, version);
}

/* Fits it into what the function has reserved, or else what the account leaves. */
static int check_room(struct call *c, const struct function *f, struct store_sums *sums,
	uint64_t before, uint64_t others, uint64_t wanted)
{
	uint64_t limit = self(c)->options.concurrency_max, apart;

	if (f->reserved != FUNCTION_UNRESERVED) {
		if (others + wanted > f->reserved)
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"Requested Provisioned Concurrency should not be greater than the "
				"reservedConcurrentExecution for function");
		return 0;
	}
	sums->provisioned -= MIN(sums->provisioned, before);
	apart = MIN(sums->provisioned + sums->reserved, limit);
	if (wanted > limit - apart)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Specified ConcurrentExecutions for function is greater than account's "
			"unreserved concurrency [%llu].",
			(unsigned long long)(limit - apart));
	if (wanted > before && apart + wanted + LAMBDA_UNRESERVED_MAX > limit)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Specified ConcurrentExecutions for function decreases account's "
			"UnreservedConcurrentExecution below its minimum value of [%d].",
			LAMBDA_UNRESERVED_MAX);
	sums->provisioned += wanted;
	return 0;
}

/* ---- changing ---- */

struct config_change {
	struct call *call;
	str qualifier;
	struct value *config; /* as it is stored now */
};

static int put(void *arg, struct kv_txn *txn, struct arena *a, const struct function *f, str *text)
{
	struct config_change *x = arg;
	struct call *c = x->call;
	struct value *config = value_new(a, c->service->model, SHAPE);
	int64_t wanted = value_int(c->in, "ProvisionedConcurrentExecutions", 0);
	uint64_t before, all;
	struct store_sums sums;
	struct buf b;
	str now = str_sub(lambda_time_text(a, c->wall_ms), 0, sizeof("2019-12-30T21:00:13") - 1);

	TRY(tenant_refuse(c, f, "Provisioned concurrency is"));
	TRY(check_qualifier(c, txn, a, f, x->qualifier));
	TRY(store_txn_provisioned(txn, a, f, x->qualifier, &before));
	TRY(store_txn_provisioned(txn, a, f, STR_NULL, &all));
	TRY(store_txn_sums(txn, a, f->account, f->region, &sums));
	TRY(check_room(c, f, &sums, before, all - before, (uint64_t)wanted));
	store_txn_put_sums(txn, a, f->account, f->region, &sums);
	value_put_int(config, "RequestedProvisionedConcurrentExecutions", wanted);
	value_put_str(config, "LastModified", ARENA_CONCAT(a, now, STR("+0000")));
	buf_init(&b, a, LAMBDA_RECORD_BYTES_MAX);
	codec_json_store(&b, config);
	check(!b.over);
	*text = buf_str(&b);
	x->config = config;
	return 0;
}

static int remove_config(
	void *arg, struct kv_txn *txn, struct arena *a, const struct function *f, str *text)
{
	const struct config_change *x = arg;

	/* Deleting what is not there is fine. */
	if (text->p)
		TRY(store_txn_free_provisioned(txn, a, f, x->qualifier));
	*text = STR_NULL;
	return 0;
}

/* ---- operations ---- */

/* Of the request: a version or an alias that is there. */
static int find(struct call *c, struct function *ret_function)
{
	struct function_name name;
	struct function f;
	str text;

	TRY(request_name(c, true, &name));
	f = (struct function){
		.account = request_owner(c, &name), .region = c->region, .name = name.name};
	if (function_qualifier_kind(name.qualifier) == QUALIFIER_LATEST)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"The function resource provided must be an alias or a published version.");
	if (function_qualifier_kind(name.qualifier) == QUALIFIER_ALIAS &&
		TRY(store_part(self(c), c->arena, &f, PART_ALIAS, name.qualifier, &text)) == 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_NOT_FOUND,
			"Cannot find alias arn: %.*s",
			STR_ARG(function_arn(
				c->arena, f.account, f.region, f.name, name.qualifier)));
	return request_function(c, true, ret_function);
}

static const char *const status_names[] = {
	[PROVISION_IN_PROGRESS] = "IN_PROGRESS",
	[PROVISION_READY] = "READY",
	[PROVISION_FAILED] = "FAILED",
};

/* How far it is: each of its versions' instances, up to its own share of them. */
static int render(struct call *c, const struct function *f, str qualifier,
	const struct value *config, struct value *out)
{
	unsigned count = count_of(config), allocated = 0, available = 0;
	enum provision_status status = PROVISION_READY;
	struct placement at;
	str reason = STR_NULL;

	TRY(place(self(c), c->arena, f, qualifier, count, &at));
	for (int k = 0; k < 2; k++) {
		struct provision_figures now;

		if (!at.count[k])
			continue;
		provision_figures(scheduler_provisioned(self(c)->scheduler, f->account, f->region,
					  f->name, at.version[k]),
			&now);
		allocated += MIN(now.allocated, at.count[k]);
		available += MIN(now.available, at.count[k]);
		if (now.status == PROVISION_FAILED)
			reason = now.reason;
	}
	if (available < count)
		status = reason.p ? PROVISION_FAILED : PROVISION_IN_PROGRESS;
	value_put_int(out, "RequestedProvisionedConcurrentExecutions", count);
	value_put_int(out, "AllocatedProvisionedConcurrentExecutions", allocated);
	value_put_int(out, "AvailableProvisionedConcurrentExecutions", available);
	value_put_str(out, "Status", str_c(status_names[status]));
	if (status == PROVISION_FAILED)
		value_put_str(out, "StatusReason", reason);
	value_put_str(out, "LastModified", value_str(config, "LastModified"));
	return 0;
}

static int change(struct call *c, struct config_change *x,
	int (*fn)(void *arg, struct kv_txn *txn, struct arena *a, const struct function *f,
		str *text),
	struct function *f)
{
	struct store_part_change change = {.function = f,
		.kind = PART_PROVISIONED,
		.change = fn,
		.arg = x,
		.deadline = c->deadline_ns};

	TRY(find(c, f));
	change.qualifier = x->qualifier = f->qualifier;
	change.also = store_reserved_key(c->arena, f->account, f->region);
	TRY(request_gone(c, store_part_change(self(c), c->arena, &change)));
	provisioned_apply(self(c), f->account, f->region, f->name);
	return 0;
}

int provisioned_put(struct call *c)
{
	struct config_change x = {.call = c};
	struct function_name name;
	struct function f;

	TRY(request_name(c, true, &name));
	if (function_qualifier_kind(name.qualifier) == QUALIFIER_LATEST)
		return fault_unpublished(c);
	TRY(change(c, &x, put, &f));
	return render(c, &f, f.qualifier, x.config, c->out);
}

int provisioned_delete(struct call *c)
{
	struct config_change x = {.call = c};
	struct function f;

	return change(c, &x, remove_config, &f);
}

int provisioned_get(struct call *c)
{
	struct value *config;
	struct function f;
	str text;

	TRY(find(c, &f));
	if (TRY(store_part(self(c), c->arena, &f, PART_PROVISIONED, f.qualifier, &text)) == 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_PROVISIONED_NOT_FOUND,
			"No Provisioned Concurrency Config found for this function");
	TRY(load(c->arena, text, &config));
	return render(c, &f, f.qualifier, config, c->out);
}

int provisioned_list(struct call *c)
{
	struct value *list = value_put_list(c->out, "ProvisionedConcurrencyConfigs"), *config;
	struct store_entry *entries;
	struct function f;
	int n;

	n = TRY(request_parts(c, PART_PROVISIONED, &f, &entries));
	for (int i = 0; i < n; i++) {
		struct value *item = value_add_struct(list);

		TRY(load(c->arena, entries[i].text, &config));
		value_put_str(item, "FunctionArn",
			function_arn(c->arena, f.account, f.region, f.name, entries[i].qualifier));
		TRY(render(c, &f, entries[i].qualifier, config, item));
	}
	return 0;
}
