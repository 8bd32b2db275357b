/*
 * Versions and aliases, through the gate.
 */
#include "test/services/lambda/control.h"

static void create(struct live *l, const char *name)
{
	CALL("CreateFunction", good(l, name));
	live_wait_active(l, name);
}

static void set_timeout(struct live *l, int seconds)
{
	struct value *in = named(l, "UpdateFunctionConfiguration", "f");

	value_put_int(in, "Timeout", seconds);
	CALL("UpdateFunctionConfiguration", in);
	live_wait_active(l, "f");
}

static void publish(struct live *l, const char *expected)
{
	CALL("PublishVersion", named(l, "PublishVersion", "f"));
	EXPECT_STR(value_str(l->out, "Version"), str_c(expected));
}

static void versions(struct live *l)
{
	struct value *in;
	const struct value *list;
	str marker = STR_NULL, sha;
	unsigned seen = 0;

	create(l, "f");
	sha = value_str(l->out, "CodeSha256");
	in = named(l, "PublishVersion", "f");
	value_put_str(in, "Description", STR("the first"));
	CALL("PublishVersion", in);
	EXPECT_STR(value_str(l->out, "Version"), STR("1"));
	EXPECT_STR(value_str(l->out, "FunctionArn"),
		STR("arn:aws:lambda:us-east-1:000000000000:function:f:1"));
	EXPECT_STR(value_str(l->out, "Description"), STR("the first"));
	EXPECT_STR(value_str(l->out, "State"), STR("Active"));
	/* Nothing new: the same. */
	publish(l, "1");
	set_timeout(l, 9);
	publish(l, "2");
	set_timeout(l, 10);
	in = named(l, "PublishVersion", "f");
	value_put_str(in, "CodeSha256", STR("x"));
	EXPECT_FAULT(live_call(l, "PublishVersion", in), "InvalidParameterValueException", 400,
		"CodeSHA256 (x) is different from current CodeSHA256 in $LATEST");
	value_put_str(in, "CodeSha256", sha);
	value_put_str(in, "RevisionId", STR("00000000-0000-4000-8000-000000000000"));
	EXPECT_FAULT(live_call(l, "PublishVersion", in), "PreconditionFailedException", 412,
		"The Revision Id provided does not match");
	publish(l, "3");

	/* They keep what they were. */
	in = named(l, "GetFunctionConfiguration", "f:1");
	CALL("GetFunctionConfiguration", in);
	EXPECT_INT(value_int(l->out, "Timeout", 0), 3);
	in = named(l, "GetFunctionConfiguration", "f");
	value_put_str(in, "Qualifier", STR("2"));
	CALL("GetFunctionConfiguration", in);
	EXPECT_INT(value_int(l->out, "Timeout", 0), 9);
	EXPECT_FAULT(live_call(l, "GetFunctionConfiguration",
			     named(l, "GetFunctionConfiguration", "f:4")),
		"ResourceNotFoundException", 404,
		"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:4");

	do {
		static const char *const expected[] = {"$LATEST", "1", "2", "3"};

		in = named(l, "ListVersionsByFunction", "f");
		value_put_int(in, "MaxItems", 2);
		value_put_str(in, "Marker", marker);
		CALL("ListVersionsByFunction", in);
		list = value_get(l->out, "Versions");
		for (uint32_t i = 0; i < value_count(list) && seen < 4; i++)
			EXPECT_STR(
				value_str(value_at(list, i), "Version"), str_c(expected[seen++]));
		marker = value_str(l->out, "NextMarker");
	} while (marker.p && seen < 4);
	EXPECT_INT(seen, 4);
	EXPECT(!marker.p);

	CALL("ListFunctions", live_input(l, "ListFunctions"));
	EXPECT_INT(value_count(value_get(l->out, "Functions")), 1);
	in = live_input(l, "ListFunctions");
	value_put_str(in, "FunctionVersion", STR("ALL"));
	value_put_int(in, "MaxItems", 3);
	CALL("ListFunctions", in);
	EXPECT_INT(value_count(value_get(l->out, "Functions")), 3);
	value_put_str(in, "Marker", value_str(l->out, "NextMarker"));
	CALL("ListFunctions", in);
	list = value_get(l->out, "Functions");
	EXPECT_INT(value_count(list), 1);
	EXPECT_STR(value_str(value_at(list, 0), "FunctionArn"),
		STR("arn:aws:lambda:us-east-1:000000000000:function:f:3"));

	/* A number is never given twice. */
	CALL("DeleteFunction", named(l, "DeleteFunction", "f:3"));
	EXPECT_FAULT(live_call(l, "DeleteFunction", named(l, "DeleteFunction", "f:3")),
		"ResourceNotFoundException", 404, "function:f:3");
	publish(l, "4");
	EXPECT_FAULT(live_call(l, "DeleteFunction", named(l, "DeleteFunction", "f:$LATEST")),
		"InvalidParameterValueException", 400, "$LATEST version cannot be deleted");
	CALL("DeleteFunction", named(l, "DeleteFunction", "f"));
	EXPECT_FAULT(live_call(l, "GetFunction", named(l, "GetFunction", "f:1")),
		"ResourceNotFoundException", 404, "function:f:1");
	EXPECT_INT(live_files(l, "lambda/zip"), 0);
}
CONTROL_OF(lambda_versions, versions)

/* Publish on CreateFunction and UpdateFunctionCode; old code stays while a version has it. */
static void publish_with_code(struct live *l)
{
	struct zip_entry entry = {STR("bootstrap"), STR("#!/bin/sh\n"), 0755};
	struct value *in = good(l, "f");
	str old;

	value_put_bool(in, "Publish", true);
	CALL("CreateFunction", in);
	EXPECT_STR(value_str(l->out, "Version"), STR("1"));
	old = value_str(l->out, "CodeSha256");
	live_wait_active(l, "f");
	in = named(l, "UpdateFunctionCode", "f");
	value_put_str(in, "ZipFile", zip_make(&l->arena, &entry, 1));
	value_put_bool(in, "Publish", true);
	CALL("UpdateFunctionCode", in);
	EXPECT_STR(value_str(l->out, "Version"), STR("2"));
	EXPECT(!str_eq(value_str(l->out, "CodeSha256"), old));
	live_wait_active(l, "f");
	EXPECT_INT(live_files(l, "lambda/zip"), 2);
	CALL("GetFunctionConfiguration", named(l, "GetFunctionConfiguration", "f:1"));
	EXPECT_STR(value_str(l->out, "CodeSha256"), old);
	CALL("DeleteFunction", named(l, "DeleteFunction", "f:1"));
	EXPECT_INT(live_files(l, "lambda/zip"), 1);
}
CONTROL_OF(lambda_versions, publish_with_code)

static struct value *alias(struct live *l, const char *operation, const char *name)
{
	struct value *in = named(l, operation, "f");

	value_put_str(in, "Name", str_c(name));
	return in;
}

static void aliases(struct live *l)
{
	struct value *in;
	int64_t before;
	str revision;

	create(l, "f");
	publish(l, "1");
	set_timeout(l, 9);
	publish(l, "2");
	in = alias(l, "CreateAlias", "live");
	value_put_str(in, "FunctionVersion", STR("3"));
	EXPECT_FAULT(live_call(l, "CreateAlias", in), "ResourceNotFoundException", 404,
		"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:3");
	value_put_str(in, "FunctionVersion", STR("1"));
	CALL("CreateAlias", in);
	EXPECT_STR(value_str(l->out, "AliasArn"),
		STR("arn:aws:lambda:us-east-1:000000000000:function:f:live"));
	EXPECT_STR(value_str(l->out, "Description"), STR(""));
	revision = value_str(l->out, "RevisionId");
	EXPECT_FAULT(live_call(l, "CreateAlias", in), "ResourceConflictException", 409,
		"Alias already exists: arn:aws:lambda:us-east-1:000000000000:function:f:live");
	CALL("GetFunctionConfiguration", named(l, "GetFunctionConfiguration", "f:live"));
	EXPECT_STR(value_str(l->out, "Version"), STR("1"));
	EXPECT_STR(value_str(l->out, "FunctionArn"),
		STR("arn:aws:lambda:us-east-1:000000000000:function:f:live"));

	in = alias(l, "UpdateAlias", "live");
	value_put_str(in, "RevisionId", STR("00000000-0000-4000-8000-000000000000"));
	EXPECT_FAULT(live_call(l, "UpdateAlias", in), "PreconditionFailedException", 412,
		"The Revision Id provided does not match");
	value_put_str(in, "RevisionId", revision);
	put_weight(in, "2", 0.25);
	CALL("UpdateAlias", in);
	EXPECT(!str_eq(value_str(l->out, "RevisionId"), revision));
	CALL("GetAlias", alias(l, "GetAlias", "live"));
	EXPECT_INT(value_count(value_get(
			   value_get(l->out, "RoutingConfig"), "AdditionalVersionWeights")),
		1);
	in = alias(l, "UpdateAlias", "live");
	value_put_str(in, "FunctionVersion", STR("$LATEST"));
	EXPECT_FAULT(live_call(l, "UpdateAlias", in), "InvalidParameterValueException", 400,
		"$LATEST is not supported for an alias pointing to more than 1 version");
	value_put_str(in, "FunctionVersion", STR("2"));
	EXPECT_FAULT(live_call(l, "UpdateAlias", in), "InvalidParameterValueException", 400,
		"Function version 2 is already included in routing configuration");

	/* What an alias points to stays, and is not tried again and again. */
	before = rt_now();
	EXPECT_FAULT(live_call(l, "DeleteFunction", named(l, "DeleteFunction", "f:2")),
		"ResourceConflictException", 409,
		"Unable to delete version because the following aliases reference it: [live]");
	EXPECT(rt_now() - before < RT_NS_S);
	EXPECT_FAULT(live_call(l, "DeleteFunction", named(l, "DeleteFunction", "f:live")),
		"InvalidParameterValueException", 400, "Deletion of aliases");

	in = alias(l, "CreateAlias", "dev");
	value_put_str(in, "FunctionVersion", STR("$LATEST"));
	CALL("CreateAlias", in);
	CALL("ListAliases", named(l, "ListAliases", "f"));
	EXPECT_INT(value_count(value_get(l->out, "Aliases")), 2);
	in = named(l, "ListAliases", "f");
	value_put_str(in, "FunctionVersion", STR("2"));
	CALL("ListAliases", in);
	EXPECT_INT(value_count(value_get(l->out, "Aliases")), 1);
	in = named(l, "ListAliases", "f");
	value_put_int(in, "MaxItems", 1);
	CALL("ListAliases", in);
	EXPECT_STR(value_str(value_at(value_get(l->out, "Aliases"), 0), "Name"), STR("dev"));
	value_put_str(in, "Marker", value_str(l->out, "NextMarker"));
	CALL("ListAliases", in);
	EXPECT_STR(value_str(value_at(value_get(l->out, "Aliases"), 0), "Name"), STR("live"));
	EXPECT(!value_has(l->out, "NextMarker"));

	/* An empty routing takes the weights away. */
	in = alias(l, "UpdateAlias", "live");
	value_put_map(value_put_struct(in, "RoutingConfig"), "AdditionalVersionWeights");
	CALL("UpdateAlias", in);
	EXPECT(!value_has(l->out, "RoutingConfig"));
	CALL("DeleteFunction", named(l, "DeleteFunction", "f:2"));

	in = alias(l, "CreateAlias", "12");
	value_put_str(in, "FunctionVersion", STR("1"));
	EXPECT_FAULT(live_call(l, "CreateAlias", in), "ValidationException", 400,
		"Value '12' at 'name' failed to satisfy constraint");
	CALL("DeleteAlias", alias(l, "DeleteAlias", "live"));
	CALL("DeleteAlias", alias(l, "DeleteAlias", "live"));
	EXPECT_FAULT(live_call(l, "GetAlias", alias(l, "GetAlias", "live")),
		"ResourceNotFoundException", 404,
		"Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:f:live");
	EXPECT_FAULT(live_call(l, "UpdateAlias", alias(l, "UpdateAlias", "live")),
		"ResourceNotFoundException", 404,
		"Alias not found: arn:aws:lambda:us-east-1:000000000000:function:f:live");
}
CONTROL_OF(lambda_versions, aliases)

/* Calls name what they run, and are shared as the weights say. */
static void weights(struct live *l)
{
	struct value *in;
	unsigned second = 0;

	create(l, "f");
	publish(l, "1");
	set_timeout(l, 9);
	publish(l, "2");
	in = alias(l, "CreateAlias", "live");
	value_put_str(in, "FunctionVersion", STR("1"));
	put_weight(in, "2", 0.5);
	CALL("CreateAlias", in);
	for (int i = 0; i < 200; i++) {
		struct invoke_request r = {.account = STR("000000000000"),
			.region = STR("us-east-1"),
			.function = STR("f"),
			.qualifier = STR("live"),
			.type = INVOKE_DRY_RUN};
		struct invoke_result result;

		ASSERT_INT(
			l->ports.invoke->invoke(l->ports.invoke->self, &l->arena, &r, &result), 0);
		second += str_eq(result.executed_version, STR("2"));
	}
	EXPECT(second > 40 && second < 160);
	EXPECT_FAULT(live_call(l, "Invoke", named(l, "Invoke", "f:none")),
		"ResourceNotFoundException", 404, "function:f:none");
}
CONTROL_OF(lambda_versions, weights)

/* Each qualifier has a policy of its own, which goes with it. */
static void policies(struct live *l)
{
	const struct port_invoke *port = l->ports.invoke;
	str api = STR("apigateway.amazonaws.com"), account = STR("000000000000");
	str arn = STR("arn:aws:lambda:us-east-1:000000000000:function:f");
	struct value *in;

	create(l, "f");
	publish(l, "1");
	in = alias(l, "CreateAlias", "live");
	value_put_str(in, "FunctionVersion", STR("1"));
	CALL("CreateAlias", in);
	in = named(l, "AddPermission", "f");
	value_put_str(in, "Qualifier", STR("live"));
	value_put_str(in, "StatementId", STR("s"));
	value_put_str(in, "Action", STR("lambda:InvokeFunction"));
	value_put_str(in, "Principal", api);
	CALL("AddPermission", in);
	EXPECT(str_find_str(value_str(l->out, "Statement"),
		       STR("\"Resource\":\"arn:aws:lambda:us-east-1:000000000000:function:f:"
			   "live\"")) > 0);
	EXPECT_INT(port->allowed(port->self, &l->arena, ARENA_CONCAT(&l->arena, arn, STR(":live")),
			   api, STR("arn:aws:execute-api:x"), account),
		1);
	EXPECT_INT(port->allowed(
			   port->self, &l->arena, arn, api, STR("arn:aws:execute-api:x"), account),
		2);
	EXPECT_FAULT(live_call(l, "GetPolicy", named(l, "GetPolicy", "f")),
		"ResourceNotFoundException", 404, "The resource you requested does not exist.");
	CALL("GetPolicy", named(l, "GetPolicy", "f:live"));
	EXPECT_INT((int)value_str(l->out, "RevisionId").n, 36);
	in = named(l, "RemovePermission", "f:live");
	value_put_str(in, "StatementId", STR("s"));
	value_put_str(in, "RevisionId", STR("00000000-0000-4000-8000-000000000000"));
	EXPECT_FAULT(live_call(l, "RemovePermission", in), "PreconditionFailedException", 412,
		"Call the GetPolicy API");
	in = named(l, "AddPermission", "f:$LATEST");
	value_put_str(in, "StatementId", STR("s"));
	value_put_str(in, "Action", STR("lambda:InvokeFunction"));
	value_put_str(in, "Principal", api);
	EXPECT_FAULT(live_call(l, "AddPermission", in), "InvalidParameterValueException", 400,
		"We currently do not support adding policies for $LATEST.");
	CALL("DeleteAlias", alias(l, "DeleteAlias", "live"));
	in = alias(l, "CreateAlias", "live");
	value_put_str(in, "FunctionVersion", STR("1"));
	CALL("CreateAlias", in);
	EXPECT_FAULT(live_call(l, "GetPolicy", named(l, "GetPolicy", "f:live")),
		"ResourceNotFoundException", 404, "The resource you requested does not exist.");
}
CONTROL_OF(lambda_versions, policies)

/* Another account gets in by the policy alone, and only where its own policies let it. */
static void other_account(struct live *l)
{
	const struct principal own = l->principal;
	const struct principal other = {.kind = PRINCIPAL_ROOT,
		.account = STR("111111111111"),
		.arn = STR("arn:aws:iam::111111111111:root"),
		.unrestricted = true};
	const char *arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
	struct value *in;

	create(l, "f");
	l->principal = other;
	in = named(l, "GetFunctionConfiguration", arn);
	EXPECT_FAULT(live_call(l, "GetFunctionConfiguration", in), "AccessDeniedException", 0,
		"because no resource-based policy allows the lambda:GetFunctionConfiguration "
		"action");
	l->principal = own;
	in = named(l, "AddPermission", "f");
	value_put_str(in, "StatementId", STR("s"));
	value_put_str(in, "Action", STR("lambda:GetFunctionConfiguration"));
	value_put_str(in, "Principal", STR("111111111111"));
	CALL("AddPermission", in);
	l->principal = other;
	CALL("GetFunctionConfiguration", named(l, "GetFunctionConfiguration", arn));
	EXPECT_STR(value_str(l->out, "FunctionArn"), str_c(arn));
	EXPECT_FAULT(live_call(l, "DeleteFunction", named(l, "DeleteFunction", arn)),
		"AccessDeniedException", 0, "lambda:DeleteFunction");
	/* By its name it is looked for in the caller's own account. */
	EXPECT_FAULT(live_call(l, "DeleteFunction", named(l, "DeleteFunction", "f")),
		"ResourceNotFoundException", 404, "111111111111:function:f");
	l->principal = own;
}
CONTROL_OF(lambda_versions, other_account)
