/*
 * Provisioned concurrency as it is set: rules, sums, and what goes with what. How instances are
 * kept is in test_run.c and end to end.
 */
#include "test/services/lambda/control.h"

static struct value *on(struct live *l, const char *operation, const char *qualifier)
{
	struct value *in = named(l, operation, "f");

	value_put_str(in, "Qualifier", str_c(qualifier));
	return in;
}

static int put(struct live *l, const char *qualifier, int count)
{
	struct value *in = on(l, "PutProvisionedConcurrencyConfig", qualifier);

	value_put_int(in, "ProvisionedConcurrentExecutions", count);
	return live_call(l, "PutProvisionedConcurrencyConfig", in);
}

static int get(struct live *l, const char *qualifier)
{
	return live_call(l, "GetProvisionedConcurrencyConfig",
		on(l, "GetProvisionedConcurrencyConfig", qualifier));
}

static int reserve(struct live *l, const char *name, int count)
{
	struct value *in = named(l, "PutFunctionConcurrency", name);

	value_put_int(in, "ReservedConcurrentExecutions", count);
	return live_call(l, "PutFunctionConcurrency", in);
}

static int alias(struct live *l, const char *operation, const char *name, const char *version)
{
	struct value *in = named(l, operation, "f");

	value_put_str(in, "Name", str_c(name));
	value_put_str(in, "FunctionVersion", str_c(version));
	return live_call(l, operation, in);
}

/* "f" with the versions 1 and 2. */
static bool two_versions(struct live *l)
{
	struct value *in;

	if (!EXPECT_INT(live_call(l, "CreateFunction", good(l, "f")), 0))
		return false;
	live_wait_active(l, "f");
	for (int i = 0; i < 2; i++) {
		in = named(l, "UpdateFunctionConfiguration", "f");
		value_put_str(in, "Description", i ? STR("b") : STR("a"));
		EXPECT_INT(live_call(l, "UpdateFunctionConfiguration", in), 0);
		live_wait_active(l, "f");
		EXPECT_INT(live_call(l, "PublishVersion", named(l, "PublishVersion", "f")), 0);
	}
	return EXPECT_STR(value_str(l->out, "Version"), STR("2"));
}

static void rules(struct live *l)
{
	struct value *in;

	if (!two_versions(l))
		return;
	EXPECT_FAULT(put(l, "$LATEST", 1), "InvalidParameterValueException", 400,
		"Provisioned Concurrency Configs cannot be applied to unpublished function "
		"versions.");
	EXPECT_FAULT(get(l, "$LATEST"), "InvalidParameterValueException", 400,
		"must be an alias or a published version");
	EXPECT_FAULT(put(l, "9", 1), "ResourceNotFoundException", 404, "function:f:9");
	EXPECT_FAULT(put(l, "none", 1), "ResourceNotFoundException", 404,
		"Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:f:none");
	EXPECT_FAULT(get(l, "1"), "ProvisionedConcurrencyConfigNotFoundException", 404,
		"No Provisioned Concurrency Config found for this function");
	EXPECT_INT(alias(l, "CreateAlias", "new", "$LATEST"), 0);
	EXPECT_FAULT(put(l, "new", 1), "InvalidParameterValueException", 400, "unpublished");
	/* One setting for a version: its own, or that of one alias. */
	EXPECT_INT(alias(l, "CreateAlias", "a", "1"), 0);
	EXPECT_INT(alias(l, "CreateAlias", "b", "1"), 0);
	EXPECT_INT(put(l, "a", 3), 0);
	EXPECT_FAULT(put(l, "1", 1), "ResourceConflictException", 409,
		"Version is pointed by a Provisioned Concurrency alias");
	EXPECT_FAULT(put(l, "b", 1), "ResourceConflictException", 409, "already Provisioned");
	EXPECT_INT(put(l, "2", 1), 0);
	EXPECT_FAULT(alias(l, "UpdateAlias", "a", "2"), "ResourceConflictException", 409,
		"already Provisioned");
	EXPECT_FAULT(alias(l, "UpdateAlias", "a", "$LATEST"), "InvalidParameterValueException", 400,
		"unpublished");
	/* While it has weights it stays. */
	in = named(l, "UpdateAlias", "f");
	value_put_str(in, "Name", STR("a"));
	put_weight(in, "2", 0.5);
	CALL("UpdateAlias", in);
	EXPECT_FAULT(put(l, "a", 4), "ResourceConflictException", 409, "routing configuration");
	EXPECT_INT(get(l, "a"), 0);
	EXPECT_INT(value_int(l->out, "RequestedProvisionedConcurrentExecutions", 0), 3);
}
CONTROL_OF(lambda_provisioned, rules)

static void figures(struct live *l)
{
	if (!two_versions(l))
		return;
	EXPECT_INT(put(l, "1", 3), 0);
	EXPECT_INT(
		l->out ? value_int(l->out, "RequestedProvisionedConcurrentExecutions", 0) : 0, 3);
	EXPECT_INT(get(l, "1"), 0);
	/* Without a sandbox nothing gets ready, and it says so. */
	EXPECT_STR(value_str(l->out, "Status"), STR("IN_PROGRESS"));
	EXPECT_INT(value_int(l->out, "AvailableProvisionedConcurrentExecutions", -1), 0);
	EXPECT_INT(value_int(l->out, "AllocatedProvisionedConcurrentExecutions", -1), 0);
	EXPECT_INT(value_str(l->out, "LastModified").n, sizeof("2019-12-30T21:00:13+0000") - 1);
}
CONTROL_OF(lambda_provisioned, figures)

/* Of 1,000, 100 stay unreserved, whatever is set apart by whom. */
static void sums(struct live *l)
{
	if (!two_versions(l))
		return;
	EXPECT_FAULT(put(l, "1", 1001), "InvalidParameterValueException", 400,
		"Specified ConcurrentExecutions for function is greater than account's unreserved "
		"concurrency [1000].");
	EXPECT_FAULT(put(l, "1", 901), "InvalidParameterValueException", 400,
		"decreases account's UnreservedConcurrentExecution below its minimum value of "
		"[100].");
	EXPECT_INT(put(l, "1", 900), 0);
	EXPECT_FAULT(put(l, "2", 1), "InvalidParameterValueException", 400, "below its minimum");
	EXPECT_INT(put(l, "1", 899), 0);
	EXPECT_INT(put(l, "2", 1), 0);
	CALL("CreateFunction", good(l, "g"));
	live_wait_active(l, "g");
	EXPECT_FAULT(
		reserve(l, "g", 1), "InvalidParameterValueException", 400, "below its minimum");
	/* What is reserved covers what is provisioned. */
	EXPECT_FAULT(reserve(l, "f", 899), "InvalidParameterValueException", 400,
		"ReservedConcurrentExecutions  899 should not be lower than function's total "
		"provisioned concurrency [900].");
	EXPECT_INT(reserve(l, "f", 900), 0);
	EXPECT_FAULT(put(l, "2", 2), "InvalidParameterValueException", 400,
		"Requested Provisioned Concurrency should not be greater than the "
		"reservedConcurrentExecution for function");
	CALL("DeleteFunctionConcurrency", named(l, "DeleteFunctionConcurrency", "f"));
	EXPECT_FAULT(
		reserve(l, "g", 1), "InvalidParameterValueException", 400, "below its minimum");
	/* It ends with its version, and with its function. */
	CALL("DeleteFunction", on(l, "DeleteFunction", "2"));
	EXPECT_INT(reserve(l, "g", 1), 0);
	EXPECT_FAULT(
		reserve(l, "g", 2), "InvalidParameterValueException", 400, "below its minimum");
	CALL("DeleteFunction", named(l, "DeleteFunction", "f"));
	EXPECT_INT(reserve(l, "g", 900), 0);
	CALL("GetAccountSettings", live_input(l, "GetAccountSettings"));
	EXPECT_INT(
		value_int(value_get(l->out, "AccountLimit"), "UnreservedConcurrentExecutions", 0),
		100);
}
CONTROL_OF(lambda_provisioned, sums)

static void ends(struct live *l)
{
	struct value *in;

	if (!two_versions(l))
		return;
	EXPECT_INT(alias(l, "CreateAlias", "a", "1"), 0);
	EXPECT_INT(put(l, "a", 900), 0);
	EXPECT_INT(put(l, "2", 1), ERR_FAULT);
	in = named(l, "DeleteAlias", "f");
	value_put_str(in, "Name", STR("a"));
	CALL("DeleteAlias", in);
	EXPECT_INT(put(l, "2", 900), 0);
	for (int i = 0; i < 2; i++) /* the second time nothing is there */
		CALL("DeleteProvisionedConcurrencyConfig",
			on(l, "DeleteProvisionedConcurrencyConfig", "2"));
	EXPECT_INT(put(l, "1", 900), 0);
}
CONTROL_OF(lambda_provisioned, ends)

static void list(struct live *l)
{
	const struct value *configs;
	struct value *in;

	if (!two_versions(l))
		return;
	EXPECT_INT(put(l, "1", 1), 0);
	EXPECT_INT(put(l, "2", 2), 0);
	in = named(l, "ListProvisionedConcurrencyConfigs", "f");
	value_put_int(in, "MaxItems", 1);
	CALL("ListProvisionedConcurrencyConfigs", in);
	configs = value_get(l->out, "ProvisionedConcurrencyConfigs");
	EXPECT_INT(value_count(configs), 1);
	EXPECT_STR(value_str(value_at(configs, 0), "FunctionArn"),
		STR("arn:aws:lambda:us-east-1:000000000000:function:f:1"));
	value_put_str(in, "Marker", value_str(l->out, "NextMarker"));
	CALL("ListProvisionedConcurrencyConfigs", in);
	configs = value_get(l->out, "ProvisionedConcurrencyConfigs");
	EXPECT_INT(value_count(configs), 1);
	EXPECT_INT(
		value_int(value_at(configs, 0), "RequestedProvisionedConcurrentExecutions", 0), 2);
	EXPECT(!value_has(l->out, "NextMarker"));
}
CONTROL_OF(lambda_provisioned, list)
