/*
 * The control plane, through the gate: what it answers, what it refuses and in which words. Needs
 * no containers.
 */
#include "base/check.h"
#include "rt/rt.h"
#include "test/services/lambda/control.h"
#include "test/services/lambda/zip.h"
#include "test/test.h"

#include <stdio.h>

/* ---- the way of a function ---- */

static void life(struct live *l)
{
	struct value *in = good(l, "f");
	const struct value *v;
	str revision;

	value_put_str(in, "Description", STR("what it does"));
	value_map_put_str(value_put_map(in, "Tags"), STR("team"), STR("blue"));
	ASSERT_INT(live_call(l, "CreateFunction", in), 0);
	EXPECT_STR(value_str(l->out, "FunctionArn"),
		STR("arn:aws:lambda:us-east-1:000000000000:function:f"));
	EXPECT_STR(value_str(l->out, "State"), STR("Pending"));
	EXPECT_STR(value_str(l->out, "StateReasonCode"), STR("Creating"));
	EXPECT_INT(value_int(l->out, "Timeout", 0), 3);
	EXPECT_INT(value_int(l->out, "MemorySize", 0), 128);
	EXPECT_STR(value_str(l->out, "Version"), STR("$LATEST"));
	EXPECT_STR(value_str(l->out, "PackageType"), STR("Zip"));
	EXPECT_INT((int)value_str(l->out, "CodeSha256").n, 44);
	live_wait_active(l, "f");
	EXPECT(!value_has(l->out, "StateReason"));
	revision = value_str(l->out, "RevisionId");

	EXPECT_INT(live_call(l, "GetFunction", named(l, "GetFunction", "f:$LATEST")), 0);
	v = value_get(l->out, "Configuration");
	EXPECT_STR(value_str(v, "Description"), STR("what it does"));
	EXPECT_STR(value_str(v, "RevisionId"), revision);
	EXPECT_STR(value_text(value_find(value_get(l->out, "Tags"), STR("team"))), STR("blue"));
	EXPECT(str_find_str(value_str(value_get(l->out, "Code"), "Location"),
		       STR("/_aws/lambda-code/")) > 0);

	EXPECT_FAULT(live_call(l, "CreateFunction", good(l, "f")), "ResourceConflictException", 409,
		"Function already exist: f");

	/* Optimistic locking. */
	in = named(l, "UpdateFunctionConfiguration", "f");
	value_put_int(in, "Timeout", 9);
	value_put_str(in, "RevisionId", STR("00000000-0000-4000-8000-000000000000"));
	EXPECT_FAULT(live_call(l, "UpdateFunctionConfiguration", in), "PreconditionFailedException",
		412, "The Revision Id provided does not match");
	value_put_str(in, "RevisionId", revision);
	EXPECT_INT(live_call(l, "UpdateFunctionConfiguration", in), 0);
	EXPECT_STR(value_str(l->out, "LastUpdateStatus"), STR("InProgress"));
	EXPECT_INT(value_int(l->out, "Timeout", 0), 9);
	EXPECT_FAULT(live_call(l, "UpdateFunctionConfiguration",
			     named(l, "UpdateFunctionConfiguration", "f")),
		"ResourceConflictException", 409,
		"An update is in progress for resource: arn:aws:");
	live_wait_active(l, "f");

	EXPECT_INT(live_call(l, "DeleteFunction", named(l, "DeleteFunction", "f")), 0);
	EXPECT_FAULT(live_call(l, "GetFunction", named(l, "GetFunction", "f")),
		"ResourceNotFoundException", 404,
		"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f");
	EXPECT_FAULT(live_call(l, "DeleteFunction", named(l, "DeleteFunction", "f")),
		"ResourceNotFoundException", 404, "Function not found: ");
}
CONTROL(life)

/* The code's files come and go with those who use them. */
static void code(struct live *l)
{
	struct zip_entry entry = {STR("bootstrap"), STR("#!/bin/sh\n"), 0755};
	str old, zip = zip_make(&l->arena, &entry, 1);
	struct value *in;

	ASSERT_INT(live_call(l, "CreateFunction", good(l, "a")), 0);
	ASSERT_INT(live_call(l, "CreateFunction", good(l, "b")), 0);
	live_wait_active(l, "a");
	live_wait_active(l, "b");
	old = value_str(l->out, "CodeSha256");
	in = named(l, "UpdateFunctionCode", "a");
	value_put_str(in, "ZipFile", zip);
	value_put_bool(in, "DryRun", true);
	EXPECT_INT(live_call(l, "UpdateFunctionCode", in), 0);
	EXPECT(!str_eq(value_str(l->out, "CodeSha256"), old));
	live_wait_active(l, "a");
	EXPECT_STR(value_str(l->out, "CodeSha256"), old); /* it was dry */
	in = named(l, "UpdateFunctionCode", "a");
	value_put_str(in, "ZipFile", zip);
	EXPECT_INT(live_call(l, "UpdateFunctionCode", in), 0);
	live_wait_active(l, "a");
	EXPECT(!str_eq(value_str(l->out, "CodeSha256"), old));
	EXPECT_INT(value_int(l->out, "CodeSize", 0), (long long)zip.n);
	EXPECT_INT(live_call(l, "DeleteFunction", named(l, "DeleteFunction", "b")), 0);
	EXPECT_INT(live_call(l, "DeleteFunction", named(l, "DeleteFunction", "a")), 0);
	EXPECT_INT(live_files(l, "lambda/zip"), 0);
	EXPECT_INT(live_files(l, "lambda/tree"), 0);
}
CONTROL(code)

/* ---- lists ---- */

static void lists(struct live *l)
{
	struct value *in;
	unsigned seen = 0;
	str marker = STR_NULL;
	char name[16];

	for (int i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		ASSERT_INT(live_call(l, "CreateFunction", good(l, name)), 0);
	}
	do {
		const struct value *list;

		in = live_input(l, "ListFunctions");
		value_put_int(in, "MaxItems", 3);
		value_put_str(in, "Marker", marker);
		ASSERT_INT(live_call(l, "ListFunctions", in), 0);
		list = value_get(l->out, "Functions");
		for (uint32_t i = 0; i < value_count(list); i++) {
			snprintf(name, sizeof(name), "f%u", seen++);
			EXPECT_STR(value_str(value_at(list, i), "FunctionName"), str_c(name));
		}
		marker = value_str(l->out, "NextMarker");
	} while (marker.p && seen < 100);
	EXPECT_INT(seen, 7);
	in = live_input(l, "ListFunctions");
	value_put_str(in, "Marker", STR("***"));
	EXPECT_FAULT(
		live_call(l, "ListFunctions", in), "InvalidParameterValueException", 400, "Marker");
}
CONTROL(lists)

/* ---- what is refused ---- */

static void refused(struct live *l)
{
	struct zip_entry evil = {STR("../../etc/passwd"), STR("x"), 0644};
	char long_value[5000];
	struct value *in;

	memset(long_value, 'x', sizeof(long_value));
	in = good(l, "f");
	value_put_str(in, "Runtime", STR("nodejs12.x"));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "InvalidParameterValueException", 400,
		"The runtime parameter of nodejs12.x is no longer supported");
	in = good(l, "f");
	value_put_str(in, "Runtime", STR("dotnet8"));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "InvalidParameterValueException", 400,
		"dotnet8 is not available");
	in = good(l, "f");
	value_put_str(in, "KMSKeyArn", STR("arn:aws:kms:us-east-1:000000000000:key/k"));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "InvalidParameterValueException", 400,
		"KMSKeyArn is not implemented by this server");
	in = good(l, "f");
	value_add_str(value_put_list(value_put_struct(in, "VpcConfig"), "SubnetIds"), STR("s-1"));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "InvalidParameterValueException", 400,
		"VpcConfig is not implemented");
	in = good(l, "f");
	value_map_put_str(value_put_map(value_put_struct(in, "Environment"), "Variables"),
		STR("AWS_REGION"), STR("x"));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "InvalidParameterValueException", 400,
		"Reserved keys used in this request: AWS_REGION");
	in = good(l, "f");
	value_map_put_str(value_put_map(value_put_struct(in, "Environment"), "Variables"),
		STR("LONG"), str_of(long_value, sizeof(long_value)));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "InvalidParameterValueException", 400,
		"exceeded the 4KB limit. String measured: {\"LONG\":\"");
	in = good(l, "f");
	value_put_str(in, "FunctionName", str_of(long_value, 65));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "ValidationException", 400,
		"at 'functionName' failed to satisfy constraint: Member must have length less than "
		"or equal to 64");
	in = good(l, "f");
	value_map_put_str(value_put_map(value_put_struct(in, "Environment"), "Variables"),
		STR("AWS_REGION=x"), STR("y"));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "ValidationException", 400,
		"Map keys must satisfy constraint");
	in = good(l, "f");
	value_put_str(in, "Role",
		ARENA_CONCAT(&l->arena, STR("arn:aws:iam::000000000000:role/"),
			str_of(long_value, sizeof(long_value))));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "ValidationException", 400,
		"Value at 'role' failed to satisfy constraint");
	in = good(l, "f");
	value_put_int(in, "Timeout", 901);
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "ValidationException", 400,
		"Value '901' at 'timeout' failed to satisfy constraint: Member must have value "
		"less than or equal to 900");
	in = good(l, "f");
	value_put_str(in, "Runtime", STR("cobol1.x"));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "InvalidParameterValueException", 400,
		"Value cobol1.x at 'runtime' failed to satisfy constraint: Member must satisfy "
		"enum value set: [nodejs26.x, ");
	in = live_function_input(l, "f", "h", "provided.al2023", STR("this is no archive"));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "InvalidParameterValueException", 400,
		"Could not unzip uploaded file");
	in = live_function_input(l, "f", "h", "provided.al2023", zip_make(&l->arena, &evil, 1));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "InvalidParameterValueException", 400,
		"Could not unzip uploaded file");
	EXPECT_INT(live_files(l, "lambda/zip"), 0);
	in = good(l, "arn:aws:lambda:eu-west-1:000000000000:function:f");
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "ResourceNotFoundException", 404,
		"Functions from 'eu-west-1' are not reachable in this region ('us-east-1')");
	in = named(l, "GetFunction", "f:1");
	value_put_str(in, "Qualifier", STR("2"));
	EXPECT_FAULT(live_call(l, "GetFunction", in), "InvalidParameterValueException", 400,
		"The derived qualifier from the function name does not match");
	in = named(l, "Invoke", "nope");
	EXPECT_FAULT(live_call(l, "Invoke", in), "ResourceNotFoundException", 404,
		"Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope:$LATEST");
}
CONTROL(refused)

static void invoking(struct live *l)
{
	static char large[6291457];
	struct value *in;

	ASSERT_INT(live_call(l, "CreateFunction", good(l, "f")), 0);
	live_wait_active(l, "f");
	in = named(l, "Invoke", "f");
	value_put_str(in, "InvocationType", STR("DryRun"));
	EXPECT_INT(live_call(l, "Invoke", in), 0);
	EXPECT_INT(value_int(l->out, "StatusCode", 0), 204);
	in = named(l, "Invoke", "f");
	value_put_str(in, "Payload", STR("{\"a\":"));
	EXPECT_FAULT(live_call(l, "Invoke", in), "InvalidRequestContentException", 400,
		"Could not parse request body into json");
	memset(large, ' ', sizeof(large));
	value_put_str(in, "Payload", str_of(large, sizeof(large)));
	EXPECT_FAULT(live_call(l, "Invoke", in), "RequestTooLargeException", 413,
		"Request must be smaller than 6291456 bytes for the InvokeFunction operation");
	value_put_str(in, "Payload", str_of(large, 1048577));
	value_put_str(in, "InvocationType", STR("Event"));
	EXPECT_FAULT(live_call(l, "Invoke", in), "RequestTooLargeException", 413,
		"1048577 byte payload is too large for the Event invocation type (limit 1048576 "
		"bytes)");
	/* Without a sandbox nothing runs, and says why. */
	in = named(l, "Invoke", "f");
	EXPECT_FAULT(live_call(l, "Invoke", in), "ServiceException", 500,
		"The execution environment could not be started: none here");
}
CONTROL(invoking)

/* ---- permissions ---- */

static struct value *permission(struct live *l, const char *sid, const char *principal)
{
	struct value *in = named(l, "AddPermission", "f");

	value_put_str(in, "StatementId", str_c(sid));
	value_put_str(in, "Action", STR("lambda:InvokeFunction"));
	value_put_str(in, "Principal", str_c(principal));
	return in;
}

static void permissions_refused(struct live *l)
{
	static const char *const good_principals[] = {"*", "123456789012", "s3.amazonaws.com",
		"logs.us-east-1.amazonaws.com", "alexa-appkit.amazon.com",
		"arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:user/a/b",
		"arn:aws:iam::123456789012:role/r", "arn:aws-cn:iam::123456789012:role/r",
		"arn:aws:sts::123456789012:assumed-role/r/s"};
	static const char *const bad_principals[] = {"12345678901", "1234567890123", "someone",
		"amazonaws.com", ".amazonaws.com", "S3.amazonaws.com", "evil.example",
		"arn:aws:s3:::bucket", "arn:aws:iam::12345:role/r",
		"arn:aws:iam:123456789012:role/r", "arn:aws:iam::123456789012:role/",
		"arn:aws:iam::123456789012:role/*", "arn:aws:iam::123456789012:group/g",
		"arn:aws:sts::123456789012:role/r", "arn:"};
	static const char *const good_actions[] = {"*", "lambda:*", "lambda:InvokeFunction",
		"lambda:InvokeFunctionUrl", "lambda:invokefunction", "lambda:GetFunction",
		"lambda:EnableReplication"};
	static const char *const bad_actions[] = {
		"lambda:Invoke", "lambda:InvokeFunctio", "lambda:InvokeFunctions", "lambda:Foo"};
	char sid[16];
	struct value *in;
	int n = 0;

	ASSERT_INT(live_call(l, "CreateFunction", good(l, "f")), 0);
	live_wait_active(l, "f");
	for (size_t i = 0; i < ARRAY_SIZE(bad_principals); i++)
		EXPECT_FAULT(live_call(l, "AddPermission", permission(l, "bad", bad_principals[i])),
			"InvalidParameterValueException", 400,
			"The provided principal was invalid. Please check the principal and try "
			"again.");
	for (size_t i = 0; i < ARRAY_SIZE(bad_actions); i++) {
		in = permission(l, "bad", "*");
		value_put_str(in, "Action", str_c(bad_actions[i]));
		EXPECT_FAULT(live_call(l, "AddPermission", in), "InvalidParameterValueException",
			400, "Lambda has no action lambda:");
	}
	EXPECT_FAULT(live_call(l, "GetPolicy", named(l, "GetPolicy", "f")),
		"ResourceNotFoundException", 404, "The resource you requested does not exist.");
	for (size_t i = 0; i < ARRAY_SIZE(good_principals); i++) {
		snprintf(sid, sizeof(sid), "s%d", n++);
		EXPECT_INT(
			live_call(l, "AddPermission", permission(l, sid, good_principals[i])), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good_actions); i++) {
		snprintf(sid, sizeof(sid), "s%d", n++);
		in = permission(l, sid, "*");
		value_put_str(in, "Action", str_c(good_actions[i]));
		EXPECT_INT(live_call(l, "AddPermission", in), 0);
	}
}
CONTROL(permissions_refused)

/* What belongs to the function is not set by the name of a version. */
static void unqualified(struct live *l)
{
	static const char *const operations[] = {"GetFunctionConcurrency",
		"DeleteFunctionConcurrency", "PublishVersion", "ListVersionsByFunction",
		"ListAliases", "ListFunctionUrlConfigs", "GetFunctionCodeSigningConfig"};

	ASSERT_INT(live_call(l, "CreateFunction", good(l, "f")), 0);
	live_wait_active(l, "f");
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		EXPECT_FAULT(live_call(l, operations[i], named(l, operations[i], "f:1")),
			"InvalidParameterValueException", 400, "without the qualifier '1'");
		EXPECT_INT(live_call(l, operations[i], named(l, operations[i], "f:$LATEST")), 0);
	}
}
CONTROL(unqualified)

static void permissions(struct live *l)
{
	str arn = STR("arn:aws:lambda:us-east-1:000000000000:function:f");
	str api = STR("apigateway.amazonaws.com");
	str mine = STR("arn:aws:execute-api:us-east-1:000000000000:abc/*/GET/x");
	str other = STR("arn:aws:execute-api:us-east-1:000000000000:def/*/GET/x");
	const struct port_invoke *port = l->ports.invoke;
	struct value *in;

#define ALLOWED(service, source) \
	port->allowed(port->self, &l->arena, arn, service, source, STR("000000000000"))
	EXPECT_INT(ALLOWED(api, mine), ERR_NOT_FOUND);
	ASSERT_INT(live_call(l, "CreateFunction", good(l, "f")), 0);
	live_wait_active(l, "f");
	EXPECT_INT(ALLOWED(api, mine), 2);
	EXPECT_FAULT(live_call(l, "GetPolicy", named(l, "GetPolicy", "f")),
		"ResourceNotFoundException", 404, "The resource you requested does not exist.");
	in = permission(l, "one", "apigateway.amazonaws.com");
	value_put_str(in, "SourceArn", STR("arn:aws:execute-api:us-east-1:000000000000:abc/*"));
	ASSERT_INT(live_call(l, "AddPermission", in), 0);
	EXPECT_STR(value_str(l->out, "Statement"),
		STR("{\"Sid\":\"one\",\"Effect\":\"Allow\",\"Principal\":{\"Service\":"
		    "\"apigateway.amazonaws.com\"},\"Action\":\"lambda:InvokeFunction\","
		    "\"Resource\":\"arn:aws:lambda:us-east-1:000000000000:function:f\","
		    "\"Condition\":{\"ArnLike\":{\"AWS:SourceArn\":"
		    "\"arn:aws:execute-api:us-east-1:000000000000:abc/*\"}}}"));
	EXPECT_FAULT(live_call(l, "AddPermission", in), "ResourceConflictException", 409,
		"The statement id (one) provided already exists.");
	EXPECT_FAULT(live_call(l, "AddPermission", permission(l, "bad", "12345678901")),
		"InvalidParameterValueException", 400,
		"The provided principal was invalid. Please check the principal and try again.");
	in = permission(l, "url", "*");
	value_put_str(in, "FunctionUrlAuthType", STR("NONE"));
	EXPECT_FAULT(live_call(l, "AddPermission", in), "InvalidParameterValueException", 400,
		"FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action");
	value_put_str(in, "Action", STR("lambda:InvokeFunctionUrl"));
	ASSERT_INT(live_call(l, "AddPermission", in), 0);
	in = named(l, "RemovePermission", "f");
	value_put_str(in, "StatementId", STR("url"));
	ASSERT_INT(live_call(l, "RemovePermission", in), 0);
	EXPECT_INT(ALLOWED(api, mine), 1);
	EXPECT_INT(ALLOWED(api, other), 0);
	EXPECT_INT(ALLOWED(STR("s3.amazonaws.com"), mine), 0);
	ASSERT_INT(live_call(l, "AddPermission", permission(l, "two", "s3.amazonaws.com")), 0);
	EXPECT_INT(ALLOWED(STR("s3.amazonaws.com"), mine), 1);
	EXPECT_INT(live_call(l, "GetPolicy", named(l, "GetPolicy", "f")), 0);
	EXPECT(str_starts(
		value_str(l->out, "Policy"), STR("{\"Version\":\"2012-10-17\",\"Id\":\"default\","
						 "\"Statement\":[{\"Sid\":\"one\"")));
	in = named(l, "RemovePermission", "f");
	value_put_str(in, "StatementId", STR("three"));
	EXPECT_FAULT(live_call(l, "RemovePermission", in), "ResourceNotFoundException", 404,
		"Statement three is not found in resource policy.");
	value_put_str(in, "StatementId", STR("one"));
	EXPECT_INT(live_call(l, "RemovePermission", in), 0);
	EXPECT_INT(ALLOWED(api, mine), 0);
	value_put_str(in, "StatementId", STR("two"));
	EXPECT_INT(live_call(l, "RemovePermission", in), 0);
	EXPECT_INT(ALLOWED(api, mine), 2);
#undef ALLOWED
}
CONTROL(permissions)

/* The largest that the rules allow is stored. */
static void largest(struct live *l)
{
	struct value *in = good(l, "f"), *map;
	char key[512], value[681]; /* escaped it is 4,086 bytes, with its name 4,095 */

	map = value_put_map(in, "Tags");
	memset(value, 1, 256);
	for (int i = 0; i < 50; i++) {
		memset(key, 1, 128);
		key[0] = (char)('0' + i);
		value_map_put_str(map, arena_str(&l->arena, str_of(key, 128)),
			arena_str(&l->arena, str_of(value, 256)));
	}
	map = value_put_map(value_put_struct(in, "Environment"), "Variables");
	memset(value, 1, sizeof(value));
	value_map_put_str(map, STR("VV"), str_of(value, sizeof(value)));
	ASSERT_INT(live_call(l, "CreateFunction", in), 0);
	live_wait_active(l, "f");
	EXPECT_INT(live_call(l, "GetFunction", named(l, "GetFunction", "f")), 0);
	EXPECT_INT(value_count(value_get(l->out, "Tags")), 50);
}
CONTROL(largest)

static void tags(struct live *l)
{
	str arn = STR("arn:aws:lambda:us-east-1:000000000000:function:f");
	struct value *in;

	ASSERT_INT(live_call(l, "CreateFunction", good(l, "f")), 0);
	in = live_input(l, "TagResource");
	value_put_str(in, "Resource", arn);
	value_map_put_str(value_put_map(in, "Tags"), STR("a"), STR("1"));
	value_map_put_str(value_put_map(in, "Tags"), STR("b"), STR("2"));
	EXPECT_INT(live_call(l, "TagResource", in), 0);
	in = live_input(l, "UntagResource");
	value_put_str(in, "Resource", arn);
	value_add_str(value_put_list(in, "TagKeys"), STR("a"));
	EXPECT_INT(live_call(l, "UntagResource", in), 0);
	in = live_input(l, "ListTags");
	value_put_str(in, "Resource", arn);
	EXPECT_INT(live_call(l, "ListTags", in), 0);
	EXPECT_INT(value_count(value_get(l->out, "Tags")), 1);
	EXPECT_STR(value_text(value_find(value_get(l->out, "Tags"), STR("b"))), STR("2"));
}
CONTROL(tags)

/* ---- settings ---- */

static void settings(struct live *l)
{
	struct value *in;

	ASSERT_INT(live_call(l, "CreateFunction", good(l, "f")), 0);
	live_wait_active(l, "f");
	ASSERT_INT(live_call(l, "CreateFunction", good(l, "g")), 0);
	live_wait_active(l, "g");
	CALL("GetFunctionConcurrency", named(l, "GetFunctionConcurrency", "f"));
	EXPECT(!value_has(l->out, "ReservedConcurrentExecutions"));
	in = named(l, "PutFunctionConcurrency", "f");
	value_put_int(in, "ReservedConcurrentExecutions", 901);
	EXPECT_FAULT(live_call(l, "PutFunctionConcurrency", in), "InvalidParameterValueException",
		400, "below its minimum value of [100].");
	value_put_int(in, "ReservedConcurrentExecutions", 800);
	CALL("PutFunctionConcurrency", in);
	EXPECT_INT(value_int(l->out, "ReservedConcurrentExecutions", 0), 800);
	CALL("PutFunctionConcurrency", in); /* once is as good as twice */
	in = named(l, "PutFunctionConcurrency", "g");
	value_put_int(in, "ReservedConcurrentExecutions", 101);
	EXPECT_FAULT(live_call(l, "PutFunctionConcurrency", in), "InvalidParameterValueException",
		400, "below its minimum value of [100].");
	value_put_int(in, "ReservedConcurrentExecutions", 100);
	CALL("PutFunctionConcurrency", in);
	CALL("GetAccountSettings", live_input(l, "GetAccountSettings"));
	EXPECT_INT(
		value_int(value_get(l->out, "AccountLimit"), "UnreservedConcurrentExecutions", 0),
		100);
	EXPECT_INT(value_int(value_get(l->out, "AccountUsage"), "FunctionCount", 0), 2);
	CALL("GetFunction", named(l, "GetFunction", "f"));
	EXPECT_INT(value_int(value_get(l->out, "Concurrency"), "ReservedConcurrentExecutions", 0),
		800);
	CALL("DeleteFunctionConcurrency", named(l, "DeleteFunctionConcurrency", "f"));
	CALL("DeleteFunction", named(l, "DeleteFunction", "g"));
	CALL("GetAccountSettings", live_input(l, "GetAccountSettings"));
	EXPECT_INT(
		value_int(value_get(l->out, "AccountLimit"), "UnreservedConcurrentExecutions", 0),
		1000);

	CALL("GetFunctionRecursionConfig", named(l, "GetFunctionRecursionConfig", "f"));
	EXPECT_STR(value_str(l->out, "RecursiveLoop"), STR("Terminate"));
	in = named(l, "PutFunctionRecursionConfig", "f");
	value_put_str(in, "RecursiveLoop", STR("Allow"));
	CALL("PutFunctionRecursionConfig", in);
	CALL("GetFunctionRecursionConfig", named(l, "GetFunctionRecursionConfig", "f"));
	EXPECT_STR(value_str(l->out, "RecursiveLoop"), STR("Allow"));

	CALL("GetRuntimeManagementConfig", named(l, "GetRuntimeManagementConfig", "f"));
	EXPECT_STR(value_str(l->out, "UpdateRuntimeOn"), STR("Auto"));
	EXPECT_STR(value_str(l->out, "FunctionArn"),
		STR("arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST"));
	in = named(l, "PutRuntimeManagementConfig", "f");
	value_put_str(in, "UpdateRuntimeOn", STR("Auto"));
	CALL("PutRuntimeManagementConfig", in);
	value_put_str(in, "UpdateRuntimeOn", STR("FunctionUpdate"));
	EXPECT_FAULT(live_call(l, "PutRuntimeManagementConfig", in),
		"InvalidParameterValueException", 400, "only Auto is there");

	in = named(l, "GetFunctionScalingConfig", "f");
	value_put_str(in, "Qualifier", STR("1"));
	EXPECT_FAULT(live_call(l, "GetFunctionScalingConfig", in), "InvalidParameterValueException",
		400, "has no capacity provider");
	in = named(l, "PutFunctionScalingConfig", "f");
	value_put_str(in, "Qualifier", STR("1"));
	EXPECT_FAULT(live_call(l, "PutFunctionScalingConfig", in), "InvalidParameterValueException",
		400, "has no capacity provider");
}
CONTROL(settings)
