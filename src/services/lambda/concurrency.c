/*
 * Concurrency that a function has reserved for itself, and what the account has and uses.
 * (Provisioned concurrency: provisioned.c.)
 *
 * The sums of all that is set apart in an account and region are a record of their own, written
 * with each change, so that 100 stay unreserved whatever happens at the same time.
 *
 * Source: API Reference, the operation of each handler's name; Developer Guide, "Configuring
 * reserved concurrency for a function".
 */
#include "aws/codec.h"
#include "base/check.h"
#include "base/time.h"
#include "rt/rt.h"
#include "services/lambda/layer.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

/* ---- reserved ---- */

struct reservation {
	struct call *call;
	uint32_t value;
};

static int reserve(void *arg, struct kv_txn *txn, struct arena *a, struct function *f)
{
	const struct reservation *r = arg;
	struct call *c = r->call;
	uint64_t before = f->reserved == FUNCTION_UNRESERVED ? 0 : f->reserved;
	uint64_t wanted = r->value == FUNCTION_UNRESERVED ? 0 : r->value, provisioned;
	uint64_t limit = self(c)->options.concurrency_max;
	struct store_sums sums;

	TRY(store_txn_sums(txn, a, f->account, f->region, &sums));
	TRY(store_txn_provisioned(txn, a, f, STR_NULL, &provisioned));
	if (r->value != FUNCTION_UNRESERVED && wanted < provisioned)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"ReservedConcurrentExecutions  %llu should not be lower than function's "
			"total provisioned concurrency [%llu].",
			(unsigned long long)wanted, (unsigned long long)provisioned);
	/* Instances that are provisioned are part of what is reserved. */
	if (f->reserved == FUNCTION_UNRESERVED)
		sums.provisioned -= MIN(sums.provisioned, provisioned);
	if (r->value == FUNCTION_UNRESERVED)
		sums.provisioned += provisioned;
	sums.reserved = sums.reserved - MIN(sums.reserved, before) + wanted;
	if (wanted > before && sums.reserved + sums.provisioned + LAMBDA_UNRESERVED_MAX > limit)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Specified ReservedConcurrentExecutions for function decreases account's "
			"UnreservedConcurrentExecution below its minimum value of [%d].",
			LAMBDA_UNRESERVED_MAX);
	store_txn_put_sums(txn, a, f->account, f->region, &sums);
	f->reserved = r->value;
	return 1;
}

static int set_reserved(struct call *c, uint32_t value)
{
	struct reservation r = {.call = c, .value = value};
	struct store_change change = {.change = reserve, .arg = &r, .deadline = c->deadline_ns};
	struct function f;

	TRY(request_function(c, false, &f));
	change.also = store_reserved_key(c->arena, f.account, f.region);
	change.account = f.account;
	change.region = f.region;
	change.name = f.name;
	TRY(request_gone(c, lambda_store_change(self(c), c->arena, &change, &f)));
	scheduler_reserve(self(c)->scheduler, &f, value);
	return 0;
}

int concurrency_put(struct call *c)
{
	int64_t value = value_int(c->in, "ReservedConcurrentExecutions", 0);

	/* One that large is above every account's limit, too. */
	TRY(set_reserved(c, (uint32_t)MIN(value, (int64_t)FUNCTION_UNRESERVED - 1)));
	value_put_int(c->out, "ReservedConcurrentExecutions", value);
	return 0;
}

int concurrency_get(struct call *c)
{
	struct function f;

	TRY(request_function(c, false, &f));
	if (f.reserved != FUNCTION_UNRESERVED)
		value_put_int(c->out, "ReservedConcurrentExecutions", f.reserved);
	return 0;
}

int concurrency_delete(struct call *c)
{
	return set_reserved(c, FUNCTION_UNRESERVED);
}

/* ---- the account ---- */

struct usage {
	const struct call *call;
	uint64_t bytes, functions;
};

static int add_usage(void *arg, const struct function *f)
{
	struct usage *u = arg;

	if (str_eq(f->account, u->call->account) && str_eq(f->region, u->call->region)) {
		u->bytes += f->code_bytes;
		u->functions += function_is_latest(f);
	}
	return 0;
}

int control_get_account_settings(struct call *c)
{
	struct lambda_service *s = self(c);
	struct usage usage = {.call = c};
	uint64_t limit = s->options.concurrency_max, layers;
	struct store_sums sums;
	str text = STR("");
	struct value *v;

	TRY(store_each(s, add_usage, &usage));
	TRY(layers_bytes(c, &layers));
	(void)TRY(kv_get(
		s->kv, store_reserved_key(c->arena, c->account, c->region), c->arena, &text));
	if (store_sums_parse(text, &sums) < 0)
		return ERR_CORRUPT;
	v = value_put_struct(c->out, "AccountLimit");
	value_put_int(v, "TotalCodeSize", INT64_C(80530636800)); /* AWS: 75 GB; not enforced */
	value_put_int(v, "CodeSizeUnzipped", LAMBDA_UNZIPPED_BYTES_MAX);
	value_put_int(v, "CodeSizeZipped", LAMBDA_ZIP_BYTES_MAX);
	value_put_int(v, "ConcurrentExecutions", (int64_t)limit);
	value_put_int(
		v, "UnreservedConcurrentExecutions", (int64_t)(limit - MIN(sums.reserved, limit)));
	v = value_put_struct(c->out, "AccountUsage");
	value_put_int(v, "TotalCodeSize", (int64_t)(usage.bytes + layers));
	value_put_int(v, "FunctionCount", (int64_t)usage.functions);
	return 0;
}
