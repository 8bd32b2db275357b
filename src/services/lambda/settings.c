/*
 * Small settings of functions: what happens to recursive loops, which runtime version is used, how
 * managed instances scale.
 *
 * Source: API Reference, the operation of each handler's name.
 */
#include "base/check.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

/* ---- recursion ---- */

static int set_recursion(
	void *arg, struct kv_txn *txn unused_arg, struct arena *a unused_arg, struct function *f)
{
	const struct call *c = arg;

	f->recursion_allow = str_eq(value_str(c->in, "RecursiveLoop"), STR("Allow"));
	return 1;
}

int settings_put_recursion(struct call *c)
{
	struct store_change change = {
		.change = set_recursion, .arg = c, .deadline = c->deadline_ns};
	struct function f;

	TRY(request_function(c, false, &f));
	change.account = f.account;
	change.region = f.region;
	change.name = f.name;
	TRY(request_gone(c, lambda_store_change(self(c), c->arena, &change, &f)));
	value_put_str(c->out, "RecursiveLoop", value_str(c->in, "RecursiveLoop"));
	return 0;
}

int settings_get_recursion(struct call *c)
{
	struct function f;

	TRY(request_function(c, false, &f));
	value_put_str(c->out, "RecursiveLoop", f.recursion_allow ? STR("Allow") : STR("Terminate"));
	return 0;
}

/* ---- runtime versions ---- */

static void render_runtime(struct call *c, const struct function *f)
{
	value_put_str(c->out, "UpdateRuntimeOn", STR("Auto"));
	value_put_str(c->out, "FunctionArn",
		function_arn(c->arena, f->account, f->region, f->name,
			f->qualifier.p ? f->qualifier : f->version));
}

/*
 * The runtimes are the host's programs: an instance that starts runs the version that is installed
 * then, which is what Auto says. No other version can be held, so nothing is stored.
 */
int settings_put_runtime(struct call *c)
{
	struct function f;

	TRY(request_function(c, true, &f));
	if (!str_eq(value_str(c->in, "UpdateRuntimeOn"), STR("Auto")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"UpdateRuntimeOn %.*s is not implemented by this server: runtimes are the "
			"host's own programs, so only Auto is there.",
			STR_ARG(value_str(c->in, "UpdateRuntimeOn")));
	if (value_has(c->in, "RuntimeVersionArn"))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"RuntimeVersionArn can be given only with UpdateRuntimeOn Manual.");
	render_runtime(c, &f);
	return 0;
}

int settings_get_runtime(struct call *c)
{
	struct function f;

	TRY(request_function(c, true, &f));
	render_runtime(c, &f);
	return 0;
}

/* ---- scaling of managed instances ---- */

static int refuse_scaling(struct call *c)
{
	struct function f;

	TRY(request_function(c, false, &f));
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
		"The function %.*s has no capacity provider. FunctionScalingConfig is supported "
		"only for functions of managed instances, which this server does not have.",
		STR_ARG(f.arn));
}

int settings_put_scaling(struct call *c)
{
	return refuse_scaling(c);
}

int settings_get_scaling(struct call *c)
{
	return refuse_scaling(c);
}
