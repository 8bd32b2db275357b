/*
 * Code that lies in a bucket, and failures that go to one: through the gate, with the twin of the
 * objects port.
 */
#include "base/hash.h"
#include "test/aws/test_objects.h"
#include "test/services/lambda/control.h"

#include "services/lambda/limits.h"

#define CODE(name) CONTROL_OF(lambda_objects, name)

/* One test runs in each process. */
static struct twin_objects twin;

static struct twin_objects *buckets(struct live *l)
{
	twin_objects_init(&twin);
	l->ports.objects = &twin.port;
	return &twin;
}

/* CreateFunction's input without code, and its Code. */
static struct value *without_code(struct live *l, const char *name, struct value **ret_code)
{
	struct value *in = live_input(l, "CreateFunction");

	value_put_str(in, "FunctionName", str_c(name));
	value_put_str(in, "Handler", STR("index.handler"));
	value_put_str(in, "Runtime", STR("provided.al2023"));
	value_put_str(in, "Role", STR("arn:aws:iam::000000000000:role/r"));
	*ret_code = value_put_struct(in, "Code");
	return in;
}

static void put_object(struct value *code, const char *bucket, const char *key)
{
	value_put_str(code, "S3Bucket", str_c(bucket));
	value_put_str(code, "S3Key", str_c(key));
}

static str sha256_text(struct live *l, str zip)
{
	char *text = arena_bytes(&l->arena, base64_text_bytes(SHA256_BYTES));
	uint8_t digest[SHA256_BYTES];

	sha256_of(zip, digest);
	return str_of(text, base64_encode(str_of(digest, sizeof digest), text));
}

/* The archive of a bootstrap that differs by `mark`. */
static str zip_of(struct live *l, str mark)
{
	const struct zip_entry entries[] = {
		{STR("bootstrap"), live_native_bootstrap(l), 0755}, {STR("mark"), mark, 0644}};

	return zip_make(&l->arena, entries, ARRAY_SIZE(entries));
}

static void create(struct live *l)
{
	struct twin_objects *t = buckets(l);
	str zip = zip_of(l, STR("1"));
	struct value *in, *code;

	twin_objects_put(t, "code", "f/1.zip", zip);
	t->read_max = 10000; /* in many parts */
	in = without_code(l, "f", &code);
	put_object(code, "code", "f/1.zip");
	value_put_str(code, "S3ObjectVersion", STR("v7"));
	value_put_str(code, "S3ObjectStorageMode", STR("COPY"));
	CALL("CreateFunction", in);
	EXPECT_STR(value_str(l->out, "CodeSha256"), sha256_text(l, zip));
	EXPECT_INT(value_int(l->out, "CodeSize", 0), (int64_t)zip.n);
	EXPECT(t->reads > 5);
	EXPECT_STR(t->last_version, STR("v7"));
	EXPECT_STR(t->last_principal, l->principal.arn);
	EXPECT_INT(t->open_readers, 0);
	live_wait_active(l, "f");
	/* It is a copy: the object may go. */
	twin_objects_put(t, "code", "f/1.zip", STR("gone"));
	CALL("GetFunction", named(l, "GetFunction", "f"));
	EXPECT_STR(value_str(value_get(l->out, "Code"), "RepositoryType"), STR("S3"));
	EXPECT(str_find_str(value_str(value_get(l->out, "Code"), "Location"),
		       STR("/_aws/lambda-code/")) > 0);
	EXPECT_INT(live_files(l, "lambda/zip"), 1);
	twin_objects_done(t);
}
CODE(create)

static struct value *update(struct live *l, const char *key)
{
	struct value *in = named(l, "UpdateFunctionCode", "f");

	put_object(in, "code", key);
	return in;
}

static void change(struct live *l)
{
	struct twin_objects *t = buckets(l);
	str one = zip_of(l, STR("1")), two = zip_of(l, STR("2"));
	struct value *in, *code;
	str revision;

	twin_objects_put(t, "code", "1", one);
	twin_objects_put(t, "code", "2", two);
	in = without_code(l, "f", &code);
	put_object(code, "code", "1");
	CALL("CreateFunction", in);
	live_wait_active(l, "f");
	CALL("GetFunctionConfiguration", named(l, "GetFunctionConfiguration", "f"));
	revision = value_str(l->out, "RevisionId");
	/* Of another revision: nothing changes. */
	in = update(l, "2");
	value_put_str(in, "RevisionId", STR("00000000-0000-0000-0000-000000000000"));
	EXPECT_FAULT(live_call(l, "UpdateFunctionCode", in), "PreconditionFailedException", 412,
		"Revision");
	/* Only tried. */
	in = update(l, "2");
	value_put_bool(in, "DryRun", true);
	CALL("UpdateFunctionCode", in);
	EXPECT_STR(value_str(l->out, "CodeSha256"), sha256_text(l, two));
	CALL("GetFunctionConfiguration", named(l, "GetFunctionConfiguration", "f"));
	EXPECT_STR(value_str(l->out, "CodeSha256"), sha256_text(l, one));
	EXPECT_STR(value_str(l->out, "RevisionId"), revision);
	EXPECT_INT(live_files(l, "lambda/zip"), 1);
	/* Changed and published. */
	in = update(l, "2");
	value_put_str(in, "RevisionId", revision);
	value_put_bool(in, "Publish", true);
	CALL("UpdateFunctionCode", in);
	EXPECT_STR(value_str(l->out, "Version"), STR("1"));
	EXPECT_STR(value_str(l->out, "CodeSha256"), sha256_text(l, two));
	EXPECT_INT(live_files(l, "lambda/zip"), 1);
	twin_objects_done(t);
}
CODE(change)

static void layer(struct live *l)
{
	struct twin_objects *t = buckets(l);
	const struct zip_entry entry = {STR("data"), STR("x"), 0644};
	str zip = zip_make(&l->arena, &entry, 1);
	struct value *in = live_input(l, "PublishLayerVersion");

	twin_objects_put(t, "code", "layer.zip", zip);
	value_put_str(in, "LayerName", STR("lay"));
	put_object(value_put_struct(in, "Content"), "code", "layer.zip");
	CALL("PublishLayerVersion", in);
	EXPECT_STR(value_str(value_get(l->out, "Content"), "CodeSha256"), sha256_text(l, zip));
	EXPECT_INT(value_int(l->out, "Version", 0), 1);
	twin_objects_done(t);
}
CODE(layer)

#define EXPECT_INVALID(rc, message) EXPECT_FAULT(rc, "InvalidParameterValueException", 400, message)

static void refused(struct live *l)
{
	struct twin_objects *t = buckets(l);
	struct value *in, *code;

	twin_objects_put(t, "code", "text", STR("no archive"));
	twin_objects_put(t, "code", "empty", STR(""));
	twin_objects_put(t, "code", "secret/1", live_native_zip(l));
	t->denied = STR("secret/");
	in = without_code(l, "f", &code);
	put_object(code, "code", "none");
	EXPECT_INVALID(live_call(l, "CreateFunction", in),
		"Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The "
		"specified key does not exist.");
	put_object(code, "nowhere", "none");
	EXPECT_INVALID(live_call(l, "CreateFunction", in),
		"Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: "
		"The specified bucket does not exist");
	put_object(code, "code", "secret/1");
	EXPECT_FAULT(live_call(l, "CreateFunction", in), "AccessDeniedException", 403,
		"Your access has been denied by S3, please make sure your request credentials "
		"have permission to GetObject for code/secret/1. S3 Error Code: AccessDenied. S3 "
		"Error Message: Access Denied");
	put_object(code, "code", "text");
	EXPECT_INVALID(live_call(l, "CreateFunction", in), "Could not unzip uploaded file.");
	put_object(code, "code", "empty");
	EXPECT_INVALID(live_call(l, "CreateFunction", in), "Uploaded file must be a non-empty zip");
	/* A disk that fails is no fault of the archive, and nothing stays. */
	t->denied = STR_NULL;
	put_object(code, "code", "secret/1");
	t->fail_in = 2;
	EXPECT(live_call(l, "CreateFunction", in) < 0);
	EXPECT_INT(t->open_readers, 0);
	EXPECT_INT(live_files(l, "lambda/zip"), 0);
	EXPECT_INT(live_files(l, "lambda/tree"), 0);
	EXPECT_FAULT(live_call(l, "GetFunction", named(l, "GetFunction", "f")),
		"ResourceNotFoundException", 404, "f");
	twin_objects_done(t);
}
CODE(refused)

/* Of sizes: the object, and what comes out of it. */
static void too_large(struct live *l)
{
	struct twin_objects *t = buckets(l);
	struct value *in, *code;
	char *bytes = arena_zero(&l->arena, LAMBDA_OBJECT_BYTES_MAX + 1);

	twin_objects_put(t, "code", "large", str_of(bytes, LAMBDA_OBJECT_BYTES_MAX + 1));
	in = without_code(l, "f", &code);
	put_object(code, "code", "large");
	EXPECT_INVALID(live_call(l, "CreateFunction", in),
		"Unzipped size must be smaller than 262144000 bytes");
	EXPECT_INT(t->reads, 0);
	/* More than may be sent with the request. */
	{
		const struct zip_entry entries[] = {{STR("bootstrap"), STR("#!"), 0755},
			{STR("data"), str_of(bytes, LAMBDA_ZIP_BYTES_MAX), 0644}};

		twin_objects_put(
			t, "code", "some", zip_make(&l->arena, entries, ARRAY_SIZE(entries)));
	}
	put_object(code, "code", "some");
	CALL("CreateFunction", in);
	EXPECT(value_int(l->out, "CodeSize", 0) > LAMBDA_ZIP_BYTES_MAX);
	twin_objects_done(t);
}
CODE(too_large)

static void members(struct live *l)
{
	struct twin_objects *t = buckets(l);
	struct value *in, *code;

	twin_objects_put(t, "code", "zip", live_native_zip(l));
	in = without_code(l, "f", &code);
	put_object(code, "code", "zip");
	value_put_str(code, "ZipFile", live_native_zip(l));
	EXPECT_INVALID(live_call(l, "CreateFunction", in),
		"Please do not provide other FunctionCode parameters when providing a ZipFile.");
	in = without_code(l, "f", &code);
	value_put_str(code, "S3Key", STR("zip"));
	EXPECT_INVALID(
		live_call(l, "CreateFunction", in), "Please provide both S3Bucket and S3Key.");
	in = without_code(l, "f", &code);
	value_put_str(code, "S3Bucket", STR("code"));
	value_put_str(code, "S3ObjectVersion", STR("1"));
	EXPECT_INVALID(
		live_call(l, "CreateFunction", in), "Please provide both S3Bucket and S3Key.");
	in = without_code(l, "f", &code);
	value_put_str(code, "S3ObjectStorageMode", STR("COPY"));
	EXPECT_INVALID(
		live_call(l, "CreateFunction", in), "Please provide a source for function code.");
	put_object(code, "code", "zip");
	value_put_str(code, "S3ObjectStorageMode", STR("REFERENCE"));
	EXPECT_INVALID(live_call(l, "CreateFunction", in),
		"Code.S3ObjectStorageMode is not implemented by this server: REFERENCE");
	value_put_str(code, "S3ObjectStorageMode", STR("COPY"));
	value_put_str(in, "PackageType", STR("Image"));
	EXPECT_INVALID(live_call(l, "CreateFunction", in),
		"Please don't provide S3Bucket, S3Key, S3ObjectVersion or S3ObjectStorageMode "
		"when the function has packageType Image.");
	/* And without buckets none of them. */
	l->ports.objects = NULL;
	value_put_str(in, "PackageType", STR("Zip"));
	EXPECT_INVALID(live_call(l, "CreateFunction", in),
		"Code.S3Bucket is not implemented by this server: send the archive as ZipFile.");
	twin_objects_done(t);
}
CODE(members)

/* ---- destinations ---- */

static struct value *destinations(struct live *l, const char *when, const char *arn)
{
	struct value *in = named(l, "PutFunctionEventInvokeConfig", "f");

	value_put_int(in, "MaximumRetryAttempts", 0);
	value_put_str(value_put_struct(value_put_struct(in, "DestinationConfig"), when),
		"Destination", str_c(arn));
	return in;
}

static void destination_rules(struct live *l)
{
	struct twin_objects *t = buckets(l);

	CALL("CreateFunction", good(l, "f"));
	live_wait_active(l, "f");
	CALL("PutFunctionEventInvokeConfig", destinations(l, "OnFailure", "arn:aws:s3:::lost"));
	EXPECT_INVALID(live_call(l, "PutFunctionEventInvokeConfig",
			       destinations(l, "OnSuccess", "arn:aws:s3:::lost")),
		"an Amazon S3 bucket can only be the destination of failures");
	EXPECT_INVALID(live_call(l, "PutFunctionEventInvokeConfig",
			       destinations(l, "OnFailure", "arn:aws:s3:::lost/folder")),
		"it is not that of a bucket");
	l->ports.objects = NULL;
	EXPECT_INVALID(live_call(l, "PutFunctionEventInvokeConfig",
			       destinations(l, "OnFailure", "arn:aws:s3:::lost")),
		"is not implemented by this server");
	twin_objects_done(t);
}
CODE(destination_rules)

static void lost_events(struct live *l)
{
	struct twin_objects *t = buckets(l);
	const struct twin_object *o;
	str body;

	twin_objects_put(t, "lost", "", STR(""));
	live_create(l, "f", "error", 128, 3);
	CALL("PutFunctionEventInvokeConfig", destinations(l, "OnFailure", "arn:aws:s3:::lost"));
	if (!live_event(l, "{\"n\":1}", STR_NULL))
		return;
	o = twin_objects_at(t, "lost", "", 0);
	ASSERT(o != NULL);
	/* aws/lambda/async/f/2026/11/28/2026-11-28T11.00.00-UUID */
	EXPECT(str_starts(o->key, STR("aws/lambda/async/f/2")));
	EXPECT_INT(o->key.n, sizeof "aws/lambda/async/f/2026/11/28/2026-11-28T11.00.00-" - 1 + 36);
	EXPECT_STR(str_sub(o->key, 40, 1), STR("T"));
	EXPECT_STR(str_sub(o->key, 43, 1), STR("."));
	EXPECT_STR(o->content_type, STR("application/json"));
	body = twin_object_body(o);
	EXPECT(str_find_str(body, STR("\"condition\":\"RetriesExhausted\"")) > 0);
	EXPECT(str_find_str(body, STR("\"requestPayload\":{\"n\":1}")) > 0);
	EXPECT(str_find_str(body, STR("\"responsePayload\":")) > 0);
	/* A bucket that takes nothing holds nothing up. */
	t->locked_bucket = STR("lost");
	if (!live_event(l, "2", STR_NULL))
		return;
	EXPECT(!twin_objects_at(t, "lost", "", 1));
	t->locked_bucket = STR_NULL;
	if (!live_event(l, "3", STR_NULL))
		return;
	EXPECT(twin_objects_at(t, "lost", "", 1) != NULL);
	twin_objects_done(t);
}
LIVE_TEST(lambda_objects, lost_events, )
