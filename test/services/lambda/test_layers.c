/*
 * Layers and code signing configurations, through the gate.
 */
#include "test/services/lambda/control.h"

#define LAYER "arn:aws:lambda:us-east-1:000000000000:layer:"

static str layer_zip(struct live *l, const char *content)
{
	struct zip_entry entry = {STR("lib/text"), str_c(content), 0644};

	return zip_make(&l->arena, &entry, 1);
}

static struct value *layer(struct live *l, const char *operation, const char *name)
{
	struct value *in = live_input(l, operation);

	value_put_str(in, "LayerName", str_c(name));
	return in;
}

static void publish(struct live *l, const char *name, const char *content, const char *runtime)
{
	struct value *in = layer(l, "PublishLayerVersion", name);

	value_put_str(value_put_struct(in, "Content"), "ZipFile", layer_zip(l, content));
	if (runtime)
		value_add_str(value_put_list(in, "CompatibleRuntimes"), str_c(runtime));
	CALL("PublishLayerVersion", in);
}

static struct value *version(struct live *l, const char *operation, const char *name, int number)
{
	struct value *in = layer(l, operation, name);

	value_put_int(in, "VersionNumber", number);
	return in;
}

static void life(struct live *l)
{
	const struct value *list;
	struct value *in;

	publish(l, "b", "one", "nodejs22.x");
	EXPECT_STR(value_str(l->out, "LayerArn"), STR(LAYER "b"));
	EXPECT_STR(value_str(l->out, "LayerVersionArn"), STR(LAYER "b:1"));
	EXPECT_INT(value_int(l->out, "Version", 0), 1);
	EXPECT_INT((int)value_str(value_get(l->out, "Content"), "CodeSha256").n, 44);
	publish(l, "b", "two", "python3.12");
	EXPECT_INT(value_int(l->out, "Version", 0), 2);
	publish(l, "a", "one", NULL);
	EXPECT_INT(live_files(l, "lambda/zip"), 2); /* equal content is kept once */

	CALL("GetLayerVersion", version(l, "GetLayerVersion", "b", 1));
	EXPECT_INT(value_count(value_get(l->out, "CompatibleRuntimes")), 1);
	EXPECT(str_find_str(value_str(value_get(l->out, "Content"), "Location"),
		       STR("/b.zip?expires=")) > 0);
	in = live_input(l, "GetLayerVersionByArn");
	value_put_str(in, "Arn", STR(LAYER "b:2"));
	CALL("GetLayerVersionByArn", in);
	EXPECT_INT(value_int(l->out, "Version", 0), 2);
	EXPECT_FAULT(live_call(l, "GetLayerVersion", version(l, "GetLayerVersion", "b", 3)),
		"ResourceNotFoundException", 404, "The resource you requested does not exist.");

	CALL("ListLayers", live_input(l, "ListLayers"));
	list = value_get(l->out, "Layers");
	EXPECT_INT(value_count(list), 2);
	EXPECT_STR(value_str(value_at(list, 0), "LayerName"), STR("a"));
	EXPECT_INT(
		value_int(value_get(value_at(list, 1), "LatestMatchingVersion"), "Version", 0), 2);
	in = live_input(l, "ListLayers");
	value_put_int(in, "MaxItems", 1);
	CALL("ListLayers", in);
	EXPECT_INT(value_count(value_get(l->out, "Layers")), 1);
	value_put_str(in, "Marker", value_str(l->out, "NextMarker"));
	CALL("ListLayers", in);
	EXPECT_STR(value_str(value_at(value_get(l->out, "Layers"), 0), "LayerName"), STR("b"));
	in = live_input(l, "ListLayers");
	value_put_str(in, "CompatibleRuntime", STR("nodejs22.x"));
	CALL("ListLayers", in);
	list = value_get(l->out, "Layers");
	EXPECT_INT(value_count(list), 1);
	EXPECT_INT(
		value_int(value_get(value_at(list, 0), "LatestMatchingVersion"), "Version", 0), 1);

	in = layer(l, "ListLayerVersions", "b");
	value_put_int(in, "MaxItems", 1);
	CALL("ListLayerVersions", in);
	EXPECT_INT(value_int(value_at(value_get(l->out, "LayerVersions"), 0), "Version", 0), 2);
	value_put_str(in, "Marker", value_str(l->out, "NextMarker"));
	CALL("ListLayerVersions", in);
	EXPECT_INT(value_int(value_at(value_get(l->out, "LayerVersions"), 0), "Version", 0), 1);
	EXPECT(!value_has(l->out, "NextMarker"));

	CALL("DeleteLayerVersion", version(l, "DeleteLayerVersion", "b", 2));
	CALL("DeleteLayerVersion", version(l, "DeleteLayerVersion", "b", 2));
	EXPECT_INT(live_files(l, "lambda/zip"), 1);
	publish(l, "b", "three", NULL);
	EXPECT_INT(value_int(l->out, "Version", 0), 3);

	in = layer(l, "PublishLayerVersion", "b");
	value_put_str(value_put_struct(in, "Content"), "ZipFile", STR("no archive"));
	EXPECT_FAULT(live_call(l, "PublishLayerVersion", in), "InvalidParameterValueException", 400,
		"Could not unzip uploaded file");
	in = layer(l, "PublishLayerVersion", "b");
	value_put_str(value_put_struct(in, "Content"), "S3Bucket", STR("bucket"));
	EXPECT_FAULT(live_call(l, "PublishLayerVersion", in), "InvalidParameterValueException", 400,
		"Content.S3Bucket is not implemented by this server");
}
CONTROL_OF(lambda_layers, life)

static struct value *with_layers(
	struct live *l, struct value *in, const char *const *arns, size_t n)
{
	struct value *list = value_put_list(in, "Layers");

	(void)l;
	for (size_t i = 0; i < n; i++)
		value_add_str(list, str_c(arns[i]));
	return in;
}
#define WITH(in, ...)                                          \
	with_layers(l, in, (const char *const[]){__VA_ARGS__}, \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void functions(struct live *l)
{
	const struct value *list;
	struct value *in;

	publish(l, "a", "a", NULL);
	publish(l, "a", "a2", NULL);
	publish(l, "b", "b", NULL);
	CALL("CreateFunction", WITH(good(l, "f"), LAYER "b:1", LAYER "a:1"));
	list = value_get(l->out, "Layers");
	EXPECT_INT(value_count(list), 2);
	EXPECT_STR(value_str(value_at(list, 0), "Arn"), STR(LAYER "b:1"));
	EXPECT(value_int(value_at(list, 0), "CodeSize", 0) > 0);
	live_wait_active(l, "f");
	CALL("PublishVersion", named(l, "PublishVersion", "f"));

	/* A layer that is deleted stays with who has it. */
	CALL("DeleteLayerVersion", version(l, "DeleteLayerVersion", "b", 1));
	EXPECT_INT(live_files(l, "lambda/zip"), 4);
	EXPECT_FAULT(live_call(l, "CreateFunction", WITH(good(l, "g"), LAYER "b:1")),
		"InvalidParameterValueException", 400,
		"Layer version " LAYER "b:1 does not exist.");
	EXPECT_FAULT(live_call(l, "CreateFunction", WITH(good(l, "g"), LAYER "a:1", LAYER "a:2")),
		"InvalidParameterValueException", 400, "Two different versions of the same layer");
	EXPECT_FAULT(live_call(l, "CreateFunction",
			     WITH(good(l, "g"), LAYER "a:1", LAYER "b:1", LAYER "c:1", LAYER "d:1",
				     LAYER "e:1", LAYER "f:1")),
		"InvalidParameterValueException", 400, "Cannot reference more than 5 layers.");
	EXPECT_FAULT(live_call(l, "CreateFunction",
			     WITH(good(l, "g"), "arn:aws:lambda:eu-west-1:000000000000:layer:a:1")),
		"InvalidParameterValueException", 400, "Layers are not in the same region");

	in = WITH(named(l, "UpdateFunctionConfiguration", "f"), LAYER "a:2");
	CALL("UpdateFunctionConfiguration", in);
	live_wait_active(l, "f");
	EXPECT_INT(value_count(value_get(l->out, "Layers")), 1);
	EXPECT_INT(live_files(l, "lambda/zip"), 4); /* version 1 has it still */
	CALL("DeleteFunction", named(l, "DeleteFunction", "f:1"));
	EXPECT_INT(live_files(l, "lambda/zip"), 3);
	in = named(l, "UpdateFunctionConfiguration", "f");
	value_put_list(in, "Layers");
	CALL("UpdateFunctionConfiguration", in);
	live_wait_active(l, "f");
	EXPECT(!value_has(l->out, "Layers"));
	CALL("DeleteFunction", named(l, "DeleteFunction", "f"));
	EXPECT_INT(live_files(l, "lambda/zip"), 2);
}
CONTROL_OF(lambda_layers, functions)

/* Code and layers together are held to the limit. */
static void sizes(struct live *l)
{
	enum { PART = 6 * 1024 * 1024 };
	struct zip_entry entries[16];
	char *zeros = arena_bytes(&l->arena, PART);

	memset(zeros, 0, PART);
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		entries[i] = (struct zip_entry){
			arena_printf(&l->arena, "f%zu", i), str_of(zeros, PART), 0644};
	for (int i = 0; i < 5; i++) {
		struct value *in = layer(l, "PublishLayerVersion", "x");
		char name[2] = {(char)('a' + i), 0};

		value_put_str(in, "LayerName", arena_str(&l->arena, str_c(name)));
		value_put_str(value_put_struct(in, "Content"), "ZipFile",
			zip_make(&l->arena, entries, 8));
		CALL("PublishLayerVersion", in);
	}
	CALL("CreateFunction", WITH(good(l, "f"), LAYER "a:1", LAYER "b:1", LAYER "c:1",
				       LAYER "d:1", LAYER "e:1"));
	EXPECT_FAULT(live_call(l, "CreateFunction", good(l, "f")), "ResourceConflictException", 409,
		"Function already exist: f");
	zeros[0] = 'x';
	{
		struct value *in = live_function_input(
			l, "g", "h", "provided.al2023", zip_make(&l->arena, entries, 3));

		EXPECT_FAULT(live_call(l, "CreateFunction",
				     WITH(in, LAYER "a:1", LAYER "b:1", LAYER "c:1", LAYER "d:1",
					     LAYER "e:1")),
			"InvalidParameterValueException", 400,
			"Function code combined with layers exceeds the maximum allowed size of "
			"262144000 bytes. The actual size is ");
	}
}
CONTROL_OF(lambda_layers, sizes)

static void policies(struct live *l)
{
	const struct principal own = l->principal;
	struct value *in;
	str revision;

	publish(l, "a", "a", NULL);
	EXPECT_FAULT(
		live_call(l, "GetLayerVersionPolicy", version(l, "GetLayerVersionPolicy", "a", 1)),
		"ResourceNotFoundException", 404,
		"No policy is associated with the given resource.");
	l->principal = (struct principal){.kind = PRINCIPAL_ROOT,
		.account = STR("111111111111"),
		.arn = STR("arn:aws:iam::111111111111:root"),
		.unrestricted = true};
	EXPECT_FAULT(live_call(l, "CreateFunction", WITH(good(l, "f"), LAYER "a:1")),
		"AccessDeniedException", 0, "lambda:GetLayerVersion on resource: " LAYER "a:1");
	l->principal = own;
	in = version(l, "AddLayerVersionPermission", "a", 1);
	value_put_str(in, "StatementId", STR("all"));
	value_put_str(in, "Action", STR("lambda:GetLayerVersion"));
	value_put_str(in, "Principal", STR("111111111111"));
	value_put_str(in, "OrganizationId", STR("o-abcdefghij"));
	EXPECT_FAULT(live_call(l, "AddLayerVersionPermission", in),
		"InvalidParameterValueException", 400,
		"OrganizationId can be specified only with the principal '*'.");
	in = version(l, "AddLayerVersionPermission", "a", 1);
	value_put_str(in, "StatementId", STR("all"));
	value_put_str(in, "Action", STR("lambda:GetLayerVersion"));
	value_put_str(in, "Principal", STR("111111111111"));
	CALL("AddLayerVersionPermission", in);
	revision = value_str(l->out, "RevisionId");
	EXPECT_FAULT(live_call(l, "AddLayerVersionPermission", in), "ResourceConflictException",
		409, "The statement id (all) provided already exists.");
	CALL("GetLayerVersionPolicy", version(l, "GetLayerVersionPolicy", "a", 1));
	EXPECT_STR(value_str(l->out, "RevisionId"), revision);
	EXPECT(str_find_str(value_str(l->out, "Policy"), STR("\"Resource\":\"" LAYER "a:1\"")) > 0);
	l->principal.account = STR("111111111111");
	l->principal.arn = STR("arn:aws:iam::111111111111:root");
	CALL("CreateFunction", WITH(good(l, "f"), LAYER "a:1"));
	l->principal = own;
	in = version(l, "RemoveLayerVersionPermission", "a", 1);
	value_put_str(in, "StatementId", STR("all"));
	CALL("RemoveLayerVersionPermission", in);
	in = version(l, "AddLayerVersionPermission", "a", 2);
	value_put_str(in, "StatementId", STR("all"));
	value_put_str(in, "Action", STR("lambda:GetLayerVersion"));
	value_put_str(in, "Principal", STR("*"));
	EXPECT_FAULT(live_call(l, "AddLayerVersionPermission", in), "ResourceNotFoundException",
		404, "Layer version " LAYER "a:2 does not exist.");
}
CONTROL_OF(lambda_layers, policies)

/* ---- code signing ---- */

static struct value *signing(struct live *l, const char *operation, str arn)
{
	struct value *in = live_input(l, operation);

	value_put_str(in, "CodeSigningConfigArn", arn);
	return in;
}

static str new_signing(struct live *l, const char *policy)
{
	struct value *in = live_input(l, "CreateCodeSigningConfig");

	value_add_str(value_put_list(value_put_struct(in, "AllowedPublishers"),
			      "SigningProfileVersionArns"),
		STR("arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/abc"));
	if (policy)
		value_put_str(value_put_struct(in, "CodeSigningPolicies"),
			"UntrustedArtifactOnDeployment", str_c(policy));
	EXPECT_INT(live_call(l, "CreateCodeSigningConfig", in), 0);
	return value_str(value_get(l->out, "CodeSigningConfig"), "CodeSigningConfigArn");
}

static void code_signing(struct live *l)
{
	str enforce = new_signing(l, "Enforce"), warn = new_signing(l, NULL), arn;
	const struct value *v;
	struct value *in;

	CALL("GetCodeSigningConfig", signing(l, "GetCodeSigningConfig", warn));
	v = value_get(l->out, "CodeSigningConfig");
	EXPECT_STR(value_str(value_get(v, "CodeSigningPolicies"), "UntrustedArtifactOnDeployment"),
		STR("Warn"));
	EXPECT(str_starts(value_str(v, "CodeSigningConfigId"), STR("csc-")));
	CALL("ListCodeSigningConfigs", live_input(l, "ListCodeSigningConfigs"));
	EXPECT_INT(value_count(value_get(l->out, "CodeSigningConfigs")), 2);

	in = good(l, "f");
	value_put_str(in, "CodeSigningConfigArn", enforce);
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "CodeVerificationFailedException", 400,
		"Lambda cannot deploy the function.");
	EXPECT_INT(live_files(l, "lambda/zip"), 0);
	value_put_str(in, "CodeSigningConfigArn",
		STR("arn:aws:lambda:us-east-1:000000000000:code-signing-config:"
		    "csc-00000000000000000"));
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "CodeSigningConfigNotFoundException", 404,
		"does not exist");
	value_put_str(in, "CodeSigningConfigArn", warn);
	CALL("CreateFunction", in);
	live_wait_active(l, "f");
	CALL("GetFunctionCodeSigningConfig", named(l, "GetFunctionCodeSigningConfig", "f"));
	EXPECT_STR(value_str(l->out, "CodeSigningConfigArn"), warn);
	EXPECT_FAULT(live_call(l, "DeleteCodeSigningConfig",
			     signing(l, "DeleteCodeSigningConfig", warn)),
		"ResourceConflictException", 409, "still being used by at least one function");

	in = named(l, "PutFunctionCodeSigningConfig", "f");
	value_put_str(in, "CodeSigningConfigArn", enforce);
	CALL("PutFunctionCodeSigningConfig", in);
	CALL("ListFunctionsByCodeSigningConfig",
		signing(l, "ListFunctionsByCodeSigningConfig", enforce));
	EXPECT_INT(value_count(value_get(l->out, "FunctionArns")), 1);
	in = named(l, "UpdateFunctionCode", "f");
	value_put_str(in, "ZipFile", live_native_zip(l));
	EXPECT_FAULT(live_call(l, "UpdateFunctionCode", in), "CodeVerificationFailedException", 400,
		"Lambda cannot deploy the function.");

	/* The policy counts as it is when code is deployed. */
	arn = enforce;
	in = signing(l, "UpdateCodeSigningConfig", arn);
	value_put_str(in, "Description", STR("now lenient"));
	value_put_str(value_put_struct(in, "CodeSigningPolicies"), "UntrustedArtifactOnDeployment",
		STR("Warn"));
	CALL("UpdateCodeSigningConfig", in);
	v = value_get(l->out, "CodeSigningConfig");
	EXPECT_STR(value_str(v, "Description"), STR("now lenient"));
	EXPECT_INT(value_count(value_get(
			   value_get(v, "AllowedPublishers"), "SigningProfileVersionArns")),
		1);
	in = named(l, "UpdateFunctionCode", "f");
	value_put_str(in, "ZipFile", live_native_zip(l));
	CALL("UpdateFunctionCode", in);
	live_wait_active(l, "f");
	CALL("DeleteFunctionCodeSigningConfig", named(l, "DeleteFunctionCodeSigningConfig", "f"));
	CALL("GetFunctionCodeSigningConfig", named(l, "GetFunctionCodeSigningConfig", "f"));
	EXPECT_STR(value_str(l->out, "CodeSigningConfigArn"), STR(""));
	CALL("DeleteCodeSigningConfig", signing(l, "DeleteCodeSigningConfig", enforce));
	EXPECT_FAULT(
		live_call(l, "GetCodeSigningConfig", signing(l, "GetCodeSigningConfig", enforce)),
		"ResourceNotFoundException", 404, "can not be found");

	/* Their tags. */
	in = live_input(l, "TagResource");
	value_put_str(in, "Resource", warn);
	value_map_put_str(value_put_map(in, "Tags"), STR("a"), STR("1"));
	value_map_put_str(value_put_map(in, "Tags"), STR("b"), STR("2"));
	CALL("TagResource", in);
	in = live_input(l, "UntagResource");
	value_put_str(in, "Resource", warn);
	value_add_str(value_put_list(in, "TagKeys"), STR("a"));
	CALL("UntagResource", in);
	in = live_input(l, "ListTags");
	value_put_str(in, "Resource", warn);
	CALL("ListTags", in);
	EXPECT_INT(value_count(value_get(l->out, "Tags")), 1);
	EXPECT_STR(value_text(value_find(value_get(l->out, "Tags"), STR("b"))), STR("2"));
}
CONTROL_OF(lambda_layers, code_signing)
