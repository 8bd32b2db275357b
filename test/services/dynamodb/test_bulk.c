/*
 * Bulk puts: records and lines alone; operations on the twin of the objects port, in virtual time,
 * with what can go wrong and with restarts.
 */
#include "aws/keyspace.h"
#include "aws/ports/identity.h"
#include "base/check.h"
#include "base/gzip.h"
#include "base/json.h"
#include "base/mem.h"
#include "kv/kv.h"
#include "services/dynamodb/bulk.h"
#include "services/dynamodb/bulk_input.h"
#include "services/dynamodb/bulk_line.h"
#include "services/dynamodb/dynamodb.h"
#include "services/dynamodb/service.h"
#include "test/aws/test_objects.h"
#include "test/services/dynamodb/dynamodb_test.h"
#include "test/services/dynamodb/wire.h"

#include <zstd.h>

/* ---- records ---- */

/* What is wrong with a line; empty: nothing. */
static const struct {
	const char *line, *code, *message;
} lines[] = {
	{"{\"Item\":{\"p\":{\"S\":\"x\"}}}", "", ""},
	{"{\"Item\":{\"p\":{\"S\":\"x\"}},\"ConditionExpression\":\"attribute_not_exists(p)\"}", "",
		""},
	{"{\"Item\":{\"p\":{\"S\":\"x\"}},\"ConditionExpression\":\"#a = :a\","
	 "\"ExpressionAttributeNames\":{\"#a\":\"a\"},"
	 "\"ExpressionAttributeValues\":{\":a\":{\"N\":\"1\"}}}",
		"", ""},
	{"", "SerializationException", "at byte 0"},
	{"[]", "SerializationException", "The record could not be read"},
	{"{\"Item\":{\"p\":{\"S\":\"x\"}}", "SerializationException",
		"The record could not be read"},
	{"{\"Item\":{\"p\":{\"S\":\"x\"}}} x", "SerializationException", "at byte 25"},
	{"{}", "ValidationException", "The record has no member Item"},
	{"{\"Item\":{\"p\":{\"S\":\"x\"}},\"Other\":1}", "ValidationException",
		"The record has an unknown member: Other"},
	{"{\"p\":{\"S\":\"x\"}}", "ValidationException", "The record has an unknown member: p"},
	{"{\"Item\":{\"p\":{\"N\":\"x\"}}}", "ValidationException",
		"The parameter cannot be converted to a numeric value: x"},
	{"{\"Item\":{\"p\":{\"S\":\"x\"}},\"ConditionExpression\":\"p\"}", "ValidationException",
		"Invalid ConditionExpression: Syntax error"},
	{"{\"Item\":{\"p\":{\"S\":\"x\"}},\"ConditionExpression\":\"p = :x\"}",
		"ValidationException",
		"Invalid ConditionExpression: An expression attribute value"},
	{"{\"Item\":{\"p\":{\"S\":\"x\"}},\"ExpressionAttributeNames\":{\"#a\":\"a\"}}",
		"ValidationException",
		"ExpressionAttributeNames can only be specified when using expressions"},
	{"{\"Item\":{\"p\":{\"S\":\"x\"}},\"ExpressionAttributeValues\":{\":a\":{\"N\":\"1\"}}}",
		"ValidationException",
		"ExpressionAttributeValues can only be specified when using expressions"},
	{"{\"Item\":{\"p\":{\"S\":\"x\"}},\"ConditionExpression\":\"attribute_exists(p)\","
	 "\"ExpressionAttributeValues\":{\":a\":{\"N\":\"1\"}}}",
		"ValidationException",
		"Value provided in ExpressionAttributeValues unused in expressions: keys: {:a}"},
};

TEST(dynamodb_bulk, lines)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct bulk_line line;
		struct fault fault = {0};
		struct arena a;
		int rc;

		arena_init(&a, SIZE_MAX);
		rc = bulk_line_read(&a, str_c(lines[i].line), &line, &fault);
		EXPECT_INT(rc, *lines[i].code ? ERR_FAULT : 0);
		if (rc == ERR_FAULT &&
			(!str_eq(str_c(fault.kind->code), str_c(lines[i].code)) ||
				str_find_str(fault.message, str_c(lines[i].message)) < 0))
			test_fail(__FILE__, __LINE__, "%s: %s: %.*s", lines[i].line,
				fault.kind->code, STR_ARG(fault.message));
		arena_done(&a);
	}
}

/* ---- the world ---- */

struct job {
	str arn, status, code, message;
	int64_t processed, failed, total_bytes, processed_bytes, end;
	const struct json_value *description;
};

static struct twin_objects *buckets(struct ddb *w)
{
	w->ports.objects = &w->objects->port;
	twin_objects_put(w->objects, "in", "", STR(""));
	twin_objects_put(w->objects, "out", "", STR(""));
	return w->objects;
}

#define TABLE                                                                                \
	"{\"TableName\":\"tab\",\"AttributeDefinitions\":[{\"AttributeName\":\"p\","         \
	"\"AttributeType\":\"S\"},{\"AttributeName\":\"g\",\"AttributeType\":\"S\"}],"       \
	"\"KeySchema\":[{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"}],"                    \
	"\"GlobalSecondaryIndexes\":[{\"IndexName\":\"glob\",\"KeySchema\":[{"               \
	"\"AttributeName\":\"g\",\"KeyType\":\"HASH\"}],\"Projection\":{\"ProjectionType\":" \
	"\"ALL\"}}],"

static void create_table(struct ddb *w, struct arena *a)
{
	ddb_expect(w, a, 200, "CreateTable",
		STR(TABLE "\"StreamSpecification\":{\"StreamEnabled\":true,\"StreamViewType\":"
			  "\"KEYS_ONLY\"},\"BillingMode\":\"PAY_PER_REQUEST\"}"));
}

static str text_of(const struct json_value *v, const char *name)
{
	return json_text(json_get(v, str_c(name)));
}

static int64_t number_of(const struct json_value *v, const char *name)
{
	const struct json_value *n = json_get(v, str_c(name));
	int64_t number = -1;

	if (n && n->kind == JSON_NUMBER)
		(void)!str_to_i64(n->text, &number);
	return number;
}

static struct job job_of(struct arena *a, str answer)
{
	struct json_value *v = NULL;
	const struct json_value *d;

	EXPECT_INT(json_parse(a, answer, JSON_DEPTH_MAX, &v, NULL), 0);
	d = json_get(v, STR("BulkOperationDescription"));
	return (struct job){.arn = text_of(d, "BulkOperationArn"),
		.status = text_of(d, "BulkOperationStatus"),
		.code = text_of(d, "FailureCode"),
		.message = text_of(d, "FailureMessage"),
		.processed = number_of(d, "ProcessedItemCount"),
		.failed = number_of(d, "FailedItemCount"),
		.total_bytes = number_of(d, "TotalInputBytes"),
		.processed_bytes = number_of(d, "ProcessedInputBytes"),
		.end = json_get(d, STR("EndTime")) != NULL,
		.description = d};
}

/* `more`: members beside the table's and the buckets'. */
static struct job start(struct ddb *w, struct arena *a, const char *input, const char *more)
{
	str answer = ddb_expect(w, a, 200, "StartBulkPutItems",
		arena_printf(a,
			"{\"TableName\":\"tab\",\"InputS3Configuration\":{\"S3Bucket\":\"in\","
			"\"InputFormat\":\"DYNAMODB_JSON\"%s},\"OutputS3Configuration\":{"
			"\"S3Bucket\":\"out\",\"S3KeyPrefix\":\"report\",\"OutputType\":["
			"\"ERROR\",\"CONDITION_CHECK_FAILURE\"]}%s}",
			input, more));
	struct job j = job_of(a, answer);

	EXPECT_STR(j.status, STR("IN_PROGRESS"));
	EXPECT(!j.end && !j.code.p);
	return j;
}

static struct job describe(struct ddb *w, struct arena *a, str arn)
{
	return job_of(a, ddb_expect(w, a, 200, "DescribeBulkOperation",
				 arena_printf(a, "{\"BulkOperationArn\":\"%.*s\"}", STR_ARG(arn))));
}

static bool has_ended(const struct job *j)
{
	return !str_eq(j->status, STR("IN_PROGRESS")) && !str_eq(j->status, STR("CANCELLING"));
}

/* Waits for its end, in virtual time. */
static struct job wait_for(struct ddb *w, struct arena *a, str arn, int seconds)
{
	struct job j = describe(w, a, arn);

	for (int i = 0; i < seconds * 10 && !has_ended(&j); i++) {
		check(rt_sleep_until(rt_after_ms(100)) == 0);
		j = describe(w, a, arn);
	}
	EXPECT(has_ended(&j));
	EXPECT(j.end);
	return j;
}

static int64_t count_of(struct ddb *w, struct arena *a, const char *index)
{
	struct json_value *v = NULL;

	str answer = ddb_expect(w, a, 200, "Scan",
		arena_printf(a, "{\"TableName\":\"tab\",\"Select\":\"COUNT\"%s}", index));
	EXPECT_INT(json_parse(a, answer, JSON_DEPTH_MAX, &v, NULL), 0);
	return number_of(v, "Count");
}

/* Lines of all parts of a type together, in the arena. */
static str report(struct ddb *w, struct arena *a, const char *type)
{
	const struct twin_object *o;
	struct buf all;

	buf_init(&all, a, 64 << 20);
	for (size_t i = 0; (o = twin_objects_at(w->objects, "out", "report/AWSDynamoDB/", i)); i++)
		if (str_find_str(o->key, str_c(type)) >= 0)
			buf_put(&all, twin_object_body(o));
	return buf_str(&all);
}

static unsigned lines_of(str text)
{
	unsigned n = 0;
	str line;

	while (str_split(&text, '\n', &line))
		n++;
	return n;
}

#define ITEM(p) "{\"Item\":{\"p\":{\"S\":\"" p "\"},\"g\":{\"S\":\"g\"}}}\n"
#define FRESH(p)                                                                                   \
	"{\"Item\":{\"p\":{\"S\":\"" p "\"}},\"ConditionExpression\":\"attribute_not_exists(p)\"}" \
	"\n"

/* Runs a test in a world of its own. */
#define WORLD(name)                                                  \
	static void name##_in_world(struct ddb *w, struct arena *a); \
	static void name##_begin(struct ddb *w)                      \
	{                                                            \
		struct arena a;                                      \
                                                                     \
		arena_init(&a, SIZE_MAX);                            \
		buckets(w);                                          \
		name##_in_world(w, &a);                              \
		arena_done(&a);                                      \
	}                                                            \
	TEST(dynamodb_bulk, name)                                    \
	{                                                            \
		ddb_run(1, name##_begin, NULL);                      \
	}                                                            \
	static void name##_in_world(struct ddb *w, struct arena *a)

/* Where there are no buckets nothing is started, and that is said by name. */
WORLD(without_buckets)
{
	w->ports.objects = NULL;
	create_table(w, a);
	EXPECT(str_find_str(ddb_expect(w, a, 501, "StartBulkPutItems",
				    STR("{\"TableName\":\"tab\",\"InputS3Configuration\":{"
					"\"S3Bucket\":\"in\",\"InputFormat\":\"DYNAMODB_JSON\"},"
					"\"OutputS3Configuration\":{\"S3Bucket\":\"out\","
					"\"OutputType\":[\"ERROR\"]}}")),
		       STR("InputS3Configuration is not implemented")) > 0);
	EXPECT_STR(ddb_expect(w, a, 200, "ListBulkOperations", STR("{}")),
		STR("{\"BulkOperationsSummaryList\":[]}"));
}

/* ---- what becomes of lines ---- */

WORLD(items)
{
	const struct json_value *usage;
	const struct twin_object *o;
	struct job j;

	create_table(w, a);
	ddb_expect(w, a, 200, "PutItem",
		STR("{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"old\"},\"n\":{\"N\":\"1\"}}"
		    "}"));
	twin_objects_put(
		w->objects, "in", "x/1", STR(ITEM("a") "\n  \r\n" ITEM("b") "no record\n"));
	twin_objects_put(w->objects, "in", "x/2",
		STR(FRESH("old") FRESH("c") "{\"Item\":{\"p\":{\"N\":\"1\"}}}\r\n" ITEM("a")));
	twin_objects_put(w->objects, "in", "x/3", STR(""));
	twin_objects_put(w->objects, "in", "y/1", STR(ITEM("not of the prefix")));
	w->objects->read_max = 7;
	j = start(w, a, ",\"S3KeyPrefix\":\"x/\"", "");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("COMPLETED_WITH_ERRORS"));
	EXPECT_INT(j.processed, 7);
	EXPECT_INT(j.failed, 2);
	EXPECT_INT(j.processed_bytes, j.total_bytes);
	EXPECT_INT(count_of(w, a, ""), 4);
	EXPECT_INT(count_of(w, a, ",\"IndexName\":\"glob\""), 2);
	EXPECT_STR(w->objects->last_owner, STR("000000000000"));
	/* What could not be written is in the report, once, with its place. */
	EXPECT_INT(lines_of(report(w, a, "/ERROR/")), 2);
	EXPECT(str_find_str(report(w, a, "/ERROR/"),
		       STR("{\"S3Bucket\":\"in\",\"S3Key\":\"x/1\",\"Line\":5,\"ErrorCode\":"
			   "\"SerializationException\",\"ErrorMessage\":\"The record could not be "
			   "read, at byte 0: invalid input\",\"Record\":\"no record\"}\n")) >= 0);
	EXPECT(str_find_str(report(w, a, "/ERROR/"),
		       STR("\"Line\":3,\"ErrorCode\":\"ValidationException\",\"ErrorMessage\":"
			   "\"One "
			   "or more parameter values were invalid: Type mismatch for key p")) >= 0);
	EXPECT_STR(report(w, a, "/CONDITION_CHECK_FAILURE/"),
		STR("{\"S3Bucket\":\"in\",\"S3Key\":\"x/2\",\"Line\":1,\"Item\":{\"p\":{\"S\":"
		    "\"old\"}},\"ExistingItem\":{\"n\":{\"N\":\"1\"},\"p\":{\"S\":\"old\"}}}\n"));
	o = twin_objects_at(w->objects, "out", "report/AWSDynamoDB/", 2);
	ASSERT(o != NULL);
	EXPECT(str_ends(o->key, STR("/manifest-summary.json")));
	EXPECT(str_find_str(twin_object_body(o),
		       STR("\"bulkOperationStatus\":\"COMPLETED_WITH_ERRORS\"")) > 0);
	EXPECT(str_find_str(
		       twin_object_body(o), STR("\"processedItemCount\":7,\"failedItemCount\":2,"
						"\"conditionCheckFailureCount\":1")) > 0);
	usage = json_at(json_get(j.description, STR("BulkOperationUsage")), 0);
	EXPECT(number_of(json_get(usage, STR("Table")), "BulkPutBytes") > 0);
	EXPECT_INT(
		number_of(json_get_path(usage, STR("GlobalSecondaryIndexes.glob")), "BulkPutBytes"),
		2 * 1024); /* the third is as it was */
	/* Streams have seen each item that was written and is another one than before. */
	EXPECT_INT(w->objects->open_readers, 0);
}

/* Names of a report that would be too long are found out before anything is written. */
WORLD(long_names_of_the_report)
{
	char prefix[960];
	struct job j;

	create_table(w, a);
	memset(prefix, 'x', sizeof prefix);
	twin_objects_put(w->objects, "in", "1", STR(FRESH("a") FRESH("a")));
	j = job_of(
		a, ddb_expect(w, a, 200, "StartBulkPutItems",
			   arena_printf(a,
				   "{\"TableName\":\"tab\",\"InputS3Configuration\":{\"S3Bucket\":"
				   "\"in\","
				   "\"InputFormat\":\"DYNAMODB_JSON\"},\"OutputS3Configuration\":{"
				   "\"S3Bucket\":\"out\",\"S3KeyPrefix\":\"%.*s\",\"OutputType\":["
				   "\"ERROR\",\"CONDITION_CHECK_FAILURE\"]}}",
				   (int)sizeof prefix, prefix)));
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("FAILED"));
	EXPECT_STR(j.code, STR("S3KeyTooLongError"));
	EXPECT_INT(j.processed, 0);
	EXPECT_INT(count_of(w, a, ""), 0);
}

/* Failures of conditions are no errors. */
WORLD(conditions)
{
	struct job j;

	create_table(w, a);
	twin_objects_put(w->objects, "in", "1", STR(FRESH("a") FRESH("a") FRESH("b") FRESH("a")));
	j = start(w, a, "", "");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("COMPLETED"));
	EXPECT_INT(j.processed, 4);
	EXPECT_INT(j.failed, 0);
	EXPECT_INT(count_of(w, a, ""), 2);
	EXPECT_INT(lines_of(report(w, a, "/CONDITION_CHECK_FAILURE/")), 2);
	EXPECT_INT(lines_of(report(w, a, "/ERROR/")), 0);
}

static str many(struct arena *a, int from, int to)
{
	struct buf b;

	buf_init(&b, a, 64 << 20);
	for (int i = from; i < to; i++)
		buf_printf(&b,
			"{\"Item\":{\"p\":{\"S\":\"%d\"},\"n\":{\"N\":\"%d\"},\"t\":{\"S\":"
			"\"some text that makes it longer than it need be\"}}}\n",
			i, i);
	return buf_str(&b);
}

static str zstd_pack(struct arena *a, str text)
{
	char *to = arena_bytes(a, ZSTD_compressBound(text.n));
	size_t n = ZSTD_compress(to, ZSTD_compressBound(text.n), text.p, text.n, 1);

	check(!ZSTD_isError(n));
	return str_of(to, n);
}

WORLD(packed)
{
	struct job j;

	create_table(w, a);
	twin_objects_put(w->objects, "in", "gzip/1",
		ARENA_CONCAT(a, gzip_pack(a, many(a, 0, 500)), gzip_pack(a, many(a, 500, 600))));
	twin_objects_put(w->objects, "in", "zstd/1", zstd_pack(a, many(a, 600, 1500)));
	j = start(w, a, ",\"S3KeyPrefix\":\"gzip/\",\"InputCompressionType\":\"GZIP\"", "");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("COMPLETED"));
	EXPECT_INT(j.processed, 600);
	EXPECT_INT(j.processed_bytes, j.total_bytes);
	j = start(w, a, ",\"S3KeyPrefix\":\"zstd/\",\"InputCompressionType\":\"ZSTD\"",
		",\"PerformanceTier\":\"ACCELERATED\"");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("COMPLETED"));
	EXPECT_INT(j.processed, 900);
	EXPECT_INT(count_of(w, a, ""), 1500);
	/* Not packed as it is said to be, and cut off: what could be read is in the table. */
	j = start(w, a, ",\"S3KeyPrefix\":\"zstd/\",\"InputCompressionType\":\"GZIP\"", "");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("COMPLETED_WITH_ERRORS"));
	EXPECT_INT(j.failed, 1);
	EXPECT_INT(j.processed, 1);
	twin_objects_put(w->objects, "in", "cut/1",
		str_sub(gzip_pack(a, many(a, 2000, 2600)), 0,
			gzip_pack(a, many(a, 2000, 2600)).n / 2));
	twin_objects_put(w->objects, "in", "cut/2", gzip_pack(a, many(a, 3000, 3001)));
	j = start(w, a, ",\"S3KeyPrefix\":\"cut/\",\"InputCompressionType\":\"GZIP\"", "");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("COMPLETED_WITH_ERRORS"));
	EXPECT_INT(j.failed, 1);
	EXPECT(j.processed > 10);
	EXPECT_INT(count_of(w, a, ""), 1500 + j.processed - 1);
}

/* A line that is too long ends its object. */
WORLD(long_lines)
{
	char *line = arena_bytes(a, (4 << 20) + 10);
	struct job j;

	create_table(w, a);
	memset(line, ' ', (4 << 20) + 10);
	twin_objects_put(w->objects, "in", "1",
		ARENA_CONCAT(a, STR(ITEM("a")), str_of(line, (4 << 20) + 10), STR("\n" ITEM("b"))));
	twin_objects_put(
		w->objects, "in", "2", ARENA_CONCAT(a, str_of(line, 4 << 20), STR("\n" ITEM("c"))));
	j = start(w, a, "", "");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("COMPLETED_WITH_ERRORS"));
	EXPECT_INT(j.processed, 3);
	EXPECT_INT(j.failed, 1);
	EXPECT_INT(count_of(w, a, ""), 2);
	EXPECT(str_find_str(report(w, a, "/ERROR/"), STR("A line is longer than 4 MiB")) > 0);
}

/* ---- ends ---- */

WORLD(cancel)
{
	struct job j;
	str answer;

	create_table(w, a);
	twin_objects_put(w->objects, "in", "1", many(a, 0, 20000));
	j = start(w, a, "", ",\"MaxWriteRequestUnits\":1024");
	check(rt_sleep_until(rt_after_ms(3000)) == 0);
	answer = ddb_expect(w, a, 200, "CancelBulkOperation",
		arena_printf(a, "{\"BulkOperationArn\":\"%.*s\"}", STR_ARG(j.arn)));
	EXPECT(str_find_str(answer, STR("\"BulkOperationStatus\":\"CANCELLING\"")) > 0);
	j = wait_for(w, a, j.arn, 10);
	EXPECT_STR(j.status, STR("CANCELLED"));
	EXPECT_STR(j.code, STR("OperationCancelled"));
	/* What is written stays: at the rate that was asked for. */
	EXPECT(j.processed > 2000 && j.processed < 4500);
	EXPECT_INT(count_of(w, a, ",\"Limit\":20000"), j.processed);
	EXPECT(twin_objects_at(w->objects, "out", "report/AWSDynamoDB/", 0) != NULL);
	answer = ddb_expect(w, a, 400, "CancelBulkOperation",
		arena_printf(a, "{\"BulkOperationArn\":\"%.*s\"}", STR_ARG(j.arn)));
	EXPECT(str_find_str(answer, STR("its status is CANCELLED")) > 0);
}

WORLD(failures)
{
	struct job j;

	create_table(w, a);
	twin_objects_put(w->objects, "in", "1", STR(ITEM("a")));
	/* Nothing to read. */
	j = start(w, a, ",\"S3KeyPrefix\":\"none/\"", "");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("FAILED"));
	EXPECT_STR(j.code, STR("S3NoSuchKey"));
	/* No permission to write the report: nothing is done. */
	w->objects->locked_bucket = STR("out");
	j = start(w, a, "", "");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.code, STR("S3AccessDenied"));
	EXPECT_INT(count_of(w, a, ""), 0);
	w->objects->locked_bucket = STR_NULL;
	/* None to read an object. */
	w->objects->denied = STR("1");
	j = start(w, a, "", "");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("FAILED"));
	EXPECT_STR(j.code, STR("S3AccessDenied"));
	EXPECT_STR(j.message, STR("Access Denied"));
	w->objects->denied = STR_NULL;
	/* The table goes away in the middle, and another one of its name comes. */
	twin_objects_put(w->objects, "in", "1", many(a, 0, 20000));
	j = start(w, a, "", ",\"MaxWriteRequestUnits\":1024");
	check(rt_sleep_until(rt_after_ms(1000)) == 0);
	ddb_expect(w, a, 200, "DeleteTable", STR("{\"TableName\":\"tab\"}"));
	check(rt_sleep_until(rt_after_ms(1)) == 0);
	create_table(w, a);
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("FAILED"));
	EXPECT_STR(j.code, STR("ResourceNotFoundException"));
	EXPECT_INT(count_of(w, a, ""), 0);
}

/* As the one who started it, with what its policies allow while it runs. */
static int alice(void *self unused_arg, struct arena *a unused_arg, str key, struct identity *ret)
{
	*ret = (struct identity){.active = true,
		.expires_ms = INT64_MAX,
		.principal = {.kind = PRINCIPAL_USER,
			.account = STR("000000000000"),
			.arn = STR("arn:aws:iam::000000000000:user/alice"),
			.access_key = key}};
	return 1;
}

WORLD(principals)
{
	struct port_identity port = {.by_access_key = alice};
	const struct principal user = {.kind = PRINCIPAL_USER,
		.account = STR("000000000000"),
		.arn = STR("arn:aws:iam::000000000000:user/alice"),
		.access_key = STR("AKIA")};
	const struct principal_note note = principal_note_of(&user);
	struct principal found;

	EXPECT_INT(principal_of_note(w->ports.identity, a, &note, &found), 0);
	w->ports.identity = &port;
	EXPECT_INT(principal_of_note(w->ports.identity, a, &note, &found), 1);
	EXPECT_STR(found.arn, user.arn);
	EXPECT(!found.unrestricted);
	w->ports.identity = NULL;
	/* Who has no key any more reads nothing. */
	create_table(w, a);
	twin_objects_put(w->objects, "in", "1", STR(ITEM("a")));
	(void)start(w, a, "", "");
}

/* ---- limits ---- */

/* The rate of MaxWriteRequestUnits: 3,000 units take two seconds at 1,024 a second. */
WORLD(rate)
{
	int64_t begun = rt_now();
	struct job j;

	create_table(w, a);
	twin_objects_put(w->objects, "in", "1", many(a, 0, 3000));
	j = start(w, a, "", ",\"MaxWriteRequestUnits\":1024");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("COMPLETED"));
	EXPECT(rt_now() - begun > 2500 * RT_NS_MS);
	EXPECT(rt_now() - begun < 6000 * RT_NS_MS);
}

static void throttled(struct ddb *w)
{
	int64_t begun;
	struct arena a;
	struct job j;

	arena_init(&a, SIZE_MAX);
	buckets(w);
	ddb_expect(w, &a, 200, "CreateTable",
		STR("{\"TableName\":\"tab\",\"AttributeDefinitions\":[{\"AttributeName\":\"p\","
		    "\"AttributeType\":\"S\"}],\"KeySchema\":[{\"AttributeName\":\"p\","
		    "\"KeyType\":\"HASH\"}],\"ProvisionedThroughput\":{\"ReadCapacityUnits\":5,"
		    "\"WriteCapacityUnits\":5}}"));
	twin_objects_put(w->objects, "in", "1", many(&a, 0, 105));
	begun = rt_now();
	j = start(w, &a, "", "");
	j = wait_for(w, &a, j.arn, 60);
	EXPECT_STR(j.status, STR("COMPLETED"));
	EXPECT_INT(j.processed, 105);
	EXPECT_INT(count_of(w, &a, ""), 105);
	/* A new table has a second's units at first, and then five more each second. */
	EXPECT(rt_now() - begun > 19 * RT_NS_S);
	EXPECT(rt_now() - begun < 23 * RT_NS_S);
	arena_done(&a);
}

TEST(dynamodb_bulk, throttled)
{
	ddb_run_throttled(1, throttled, NULL);
}

/* ---- restarts ---- */

enum { ITEMS = 2000, OBJECTS = 7 };

/* Each object has items, conditions that hold, some that do not, and lines that are no records. */
static void put_input(struct ddb *w, struct arena *a, bool packed)
{
	for (int o = 0; o < OBJECTS; o++) {
		struct buf b;

		buf_init(&b, a, 1 << 22);
		for (int i = o; i < ITEMS; i += OBJECTS)
			buf_printf(&b, FRESH("%d") "%s%s", i, i % 10 == 3 ? FRESH("old") : "",
				i % 10 == 7 ? "bad\n" : "");
		twin_objects_put(w->objects, "in", arena_printf(a, "x/%d", o).p,
			packed ? gzip_pack(a, buf_str(&b)) : buf_str(&b));
	}
}

static void restarts_in_world(struct ddb *w)
{
	const struct kv_fault_options faults = {.seed = rt_random(),
		.no_delay = true,
		.conflict_per_mille = 20,
		.scan_conflict_per_mille = 10,
		.error_per_mille = 20};
	bool packed = rt_random() % 2;
	struct kv *failing;
	struct job j;
	struct arena a;

	arena_init(&a, SIZE_MAX);
	buckets(w);
	create_table(w, &a);
	ddb_expect(w, &a, 200, "PutItem",
		STR("{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"old\"}}}"));
	put_input(w, &a, packed);
	w->objects->read_max = 100 + rt_random() % 3000;
	w->objects->delay_ms = (int64_t)(rt_random() % 3);
	w->objects->fail_in = 5 + rt_random() % 50;
	w->objects->fail_every = 20 + rt_random() % 200;
	j = start(w, &a,
		packed ? ",\"S3KeyPrefix\":\"x/\",\"InputCompressionType\":\"GZIP\""
		       : ",\"S3KeyPrefix\":\"x/\"",
		"");
	/* The store fails too; of commits that fail some are done. */
	check(kv_open_fault(w->kv, &faults, &failing) == 0);
	for (int i = 0; i < 20; i++) {
		check(rt_sleep_until(rt_after_ms(1 + (int64_t)(rt_random() % 300))) == 0);
		dynamodb_stop(w->dynamodb);
		check(dynamodb_start(w->dynamodb, failing) == 0);
	}
	dynamodb_stop(w->dynamodb);
	check(dynamodb_start(w->dynamodb, w->kv) == 0);
	w->kv = failing; /* which closes the other one at the end */
	w->objects->fail_in = 0;
	j = wait_for(w, &a, j.arn, 600);
	EXPECT_STR(j.status, STR("COMPLETED_WITH_ERRORS"));
	EXPECT_INT(j.processed, ITEMS + ITEMS / 5);
	EXPECT_INT(j.failed, ITEMS / 10);
	EXPECT_INT(j.processed_bytes, j.total_bytes);
	EXPECT_INT(count_of(w, &a, ",\"Limit\":100000"), ITEMS + 1);
	/* Nothing is reported twice, and no item was in the way of itself. */
	EXPECT_INT(lines_of(report(w, &a, "/ERROR/")), ITEMS / 10);
	EXPECT_INT(lines_of(report(w, &a, "/CONDITION_CHECK_FAILURE/")), ITEMS / 10);
	arena_done(&a);
}

TEST(dynamodb_bulk, restarts)
{
	for (uint64_t seed = 1; seed <= test_number("ROUNDS", 20); seed++)
		ddb_run(seed, restarts_in_world, NULL);
}

/* Another server on the same store has a worker too: each batch is done by one of them. */
struct other {
	struct dynamodb d;
	struct rt_event ended;
};

static void work_too(void *arg)
{
	struct other *o = arg;

	dynamodb_bulk(&o->d);
	rt_event_set(&o->ended);
}

WORLD(two_workers)
{
	struct other *o = mem_new(struct other);
	struct job j;

	create_table(w, a);
	ddb_expect(w, a, 200, "PutItem",
		STR("{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"old\"}}}"));
	put_input(w, a, false);
	w->objects->delay_ms = 3;
	w->objects->read_max = 5000;
	j = start(w, a, ",\"S3KeyPrefix\":\"x/\"", "");
	memcpy(&o->d, w->dynamodb, sizeof o->d);
	rt_event_init(dynamodb_wanted(&o->d, WORKER_BULK));
	rt_event_init(&o->ended);
	check(rt_spawn(work_too, o) == 0);
	j = wait_for(w, a, j.arn, 600);
	EXPECT_STR(j.status, STR("COMPLETED_WITH_ERRORS"));
	EXPECT_INT(j.processed, ITEMS + ITEMS / 5);
	EXPECT_INT(j.failed, ITEMS / 10);
	EXPECT_INT(lines_of(report(w, a, "/ERROR/")), ITEMS / 10);
	EXPECT_INT(lines_of(report(w, a, "/CONDITION_CHECK_FAILURE/")), ITEMS / 10);
	atomic_store(&o->d.stopping, true);
	rt_event_set(dynamodb_wanted(&o->d, WORKER_BULK));
	rt_event_wait_sure(&o->ended);
	mem_free(o);
}

/* A report of more than one object; what waits in the store for it is gone at the end. */
WORLD(large_report)
{
	struct kv_scan *scan = NULL;
	struct kv_range range = {.limit = 10};
	char *text = arena_bytes(a, 300000);
	struct buf b;
	struct job j;
	str key, value;

	create_table(w, a);
	memset(text, 'x', 300000);
	buf_init(&b, a, 64 << 20);
	for (int i = 0; i < 60; i++)
		buf_printf(&b, "%.*s\n", 300000, text);
	twin_objects_put(w->objects, "in", "1", buf_str(&b));
	j = start(w, a, "", "");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_INT(j.failed, 60);
	EXPECT_INT(lines_of(report(w, a, "/ERROR/")), 60);
	EXPECT(twin_objects_at(w->objects, "out", "report/AWSDynamoDB/", 2) != NULL);
	range.from = bulk_prefix(a, "bulk report");
	range.to = ARENA_CONCAT(a, range.from, STR("\xff"));
	EXPECT_INT(kv_scan_open(w->kv, &range, &scan), 0);
	EXPECT_INT(kv_scan_next(scan, &key, &value), 0);
	kv_scan_close(scan);
}

/* An object that is another one after a restart. */
WORLD(modified)
{
	struct job j;

	create_table(w, a);
	twin_objects_put(w->objects, "in", "1", many(a, 0, 20000));
	j = start(w, a, "", ",\"MaxWriteRequestUnits\":1024");
	check(rt_sleep_until(rt_after_ms(1500)) == 0);
	twin_objects_put(w->objects, "in", "1", many(a, 5, 20000));
	dynamodb_stop(w->dynamodb);
	check(dynamodb_start(w->dynamodb, w->kv) == 0);
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("FAILED"));
	EXPECT_STR(j.code, STR("InputObjectModified"));
}

/* Several take turns; a report below the input's prefix is not input. */
WORLD(several)
{
	struct job j[4];

	create_table(w, a);
	for (int o = 0; o < 3; o++)
		twin_objects_put(w->objects, "out", arena_printf(a, "report/in/%d", o).p,
			many(a, o * 1000, o * 1000 + 1000));
	for (int i = 0; i < 4; i++)
		j[i] = job_of(
			a, ddb_expect(w, a, 200, "StartBulkPutItems",
				   STR("{\"TableName\":\"tab\",\"InputS3Configuration\":{"
				       "\"S3Bucket\":\"out\",\"S3KeyPrefix\":\"report/\","
				       "\"InputFormat\":\"DYNAMODB_JSON\"},"
				       "\"OutputS3Configuration\":{\"S3Bucket\":\"out\","
				       "\"S3KeyPrefix\":\"report/\",\"OutputType\":[\"ERROR\"]}"
				       "}")));
	j[0] = wait_for(w, a, j[0].arn, 60);
	EXPECT_INT(j[0].processed, 3000);
	EXPECT_STR(j[0].status, STR("COMPLETED"));
	for (int i = 1; i < 4; i++)
		j[i] = wait_for(w, a, j[i].arn, 60);
	EXPECT_INT(count_of(w, a, ",\"Limit\":10000"), 3000);
}

/* Packed input that is slow to get back into: a turn is worth the way there. */
WORLD(slow_packed_in_turn)
{
	enum { LINES = 3000 };
	struct job one, two;
	struct buf b;

	create_table(w, a);
	buf_init(&b, a, 1 << 20);
	for (int i = 0; i < LINES; i++)
		buf_printf(&b, "{\"Item\":{\"p\":{\"S\":\"%016llx%016llx\"}}}\n",
			(unsigned long long)rt_random(), (unsigned long long)rt_random());
	twin_objects_put(w->objects, "in", "1/", gzip_pack(a, buf_str(&b)));
	twin_objects_put(w->objects, "in", "2/", gzip_pack(a, buf_str(&b)));
	w->objects->read_max = 500;
	w->objects->delay_ms = 2000;
	one = start(w, a, ",\"S3KeyPrefix\":\"1/\",\"InputCompressionType\":\"GZIP\"", "");
	two = start(w, a, ",\"S3KeyPrefix\":\"2/\",\"InputCompressionType\":\"GZIP\"", "");
	w->objects->opens = 0;
	one = wait_for(w, a, one.arn, 4000);
	two = wait_for(w, a, two.arn, 4000);
	EXPECT_STR(one.status, STR("COMPLETED"));
	EXPECT_STR(two.status, STR("COMPLETED"));
	EXPECT_INT(one.processed + two.processed, 2 * LINES);
	EXPECT(w->objects->opens <= 16);
}

/* Two that wait for their rates leave one another's packed objects in the middle. */
WORLD(packed_in_turn)
{
	struct job one, two;

	create_table(w, a);
	twin_objects_put(w->objects, "in", "1/a", gzip_pack(a, many(a, 0, 1500)));
	twin_objects_put(w->objects, "in", "2/a", zstd_pack(a, many(a, 1500, 3000)));
	one = start(w, a, ",\"S3KeyPrefix\":\"1/\",\"InputCompressionType\":\"GZIP\"",
		",\"MaxWriteRequestUnits\":1024");
	two = start(w, a, ",\"S3KeyPrefix\":\"2/\",\"InputCompressionType\":\"ZSTD\"",
		",\"MaxWriteRequestUnits\":1024");
	one = wait_for(w, a, one.arn, 60);
	two = wait_for(w, a, two.arn, 60);
	EXPECT_STR(one.status, STR("COMPLETED"));
	EXPECT_STR(two.status, STR("COMPLETED"));
	EXPECT_INT(one.processed, 1500);
	EXPECT_INT(two.processed_bytes, two.total_bytes);
	EXPECT_INT(count_of(w, a, ",\"Limit\":10000"), 3000);
	EXPECT(w->objects->opens > 20);
}

/* Only what is asked for is reported, and usage is of each kind of index. */
WORLD(outputs)
{
	const struct json_value *usage;
	struct job j;

	ddb_expect(w, a, 200, "CreateTable",
		STR("{\"TableName\":\"tab\",\"AttributeDefinitions\":[{\"AttributeName\":\"p\","
		    "\"AttributeType\":\"S\"},{\"AttributeName\":\"s\",\"AttributeType\":\"S\"},{"
		    "\"AttributeName\":\"l\",\"AttributeType\":\"S\"}],\"KeySchema\":[{"
		    "\"AttributeName\":\"p\",\"KeyType\":\"HASH\"},{\"AttributeName\":\"s\","
		    "\"KeyType\":\"RANGE\"}],\"LocalSecondaryIndexes\":[{\"IndexName\":\"loc\","
		    "\"KeySchema\":[{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"},{"
		    "\"AttributeName\":\"l\",\"KeyType\":\"RANGE\"}],\"Projection\":{"
		    "\"ProjectionType\":\"ALL\"}}],\"VectorIndexes\":[{\"IndexName\":\"vec\","
		    "\"VectorAttribute\":{\"AttributeName\":\"e\"},\"Projection\":{"
		    "\"ProjectionType\":\"ALL\"},\"Dimensions\":1,\"DistanceFunction\":\"COSINE\"}"
		    "],\"BillingMode\":\"PAY_PER_REQUEST\"}"));
	check(rt_sleep_until(rt_after_ms(2000)) == 0);
	twin_objects_put(w->objects, "in", "1",
		STR("{\"Item\":{\"p\":{\"S\":\"p\"},\"s\":{\"S\":\"s\"},\"l\":{\"S\":\"l\"},"
		    "\"e\":{\"L\":[{\"N\":\"1\"}]}}}\nbad\n"
		    "{\"Item\":{\"p\":{\"S\":\"p\"},\"s\":{\"S\":\"t\"},\"l\":{\"N\":\"1\"}}}\n"));
	j = job_of(a, ddb_expect(w, a, 200, "StartBulkPutItems",
			      STR("{\"TableName\":\"tab\",\"InputS3Configuration\":{\"S3Bucket\":"
				  "\"in\",\"InputFormat\":\"DYNAMODB_JSON\"},"
				  "\"OutputS3Configuration\":{\"S3Bucket\":\"out\",\"S3KeyPrefix\":"
				  "\"report\",\"OutputType\":[\"CONDITION_CHECK_FAILURE\"]}}")));
	j = wait_for(w, a, j.arn, 60);
	EXPECT_INT(j.processed, 3);
	EXPECT_INT(j.failed, 2);
	EXPECT_INT(lines_of(report(w, a, "/ERROR/")), 0);
	usage = json_at(json_get(j.description, STR("BulkOperationUsage")), 0);
	EXPECT_INT(
		number_of(json_get_path(usage, STR("LocalSecondaryIndexes.loc")), "BulkPutBytes"),
		1024);
	EXPECT_INT(number_of(json_get_path(usage, STR("VectorIndexes.vec")), "BulkPutVectorBytes"),
		1024);
	EXPECT_INT(number_of(usage, "BulkPutBytes"),
		1024 + number_of(json_get(usage, STR("Table")), "BulkPutBytes"));
}

/* The same key several times in one transaction: as if one after another. */
WORLD(duplicates)
{
	struct json_value *v = NULL;
	struct job j;
	str answer, arn, shard;

	create_table(w, a);
	twin_objects_put(w->objects, "in", "1",
		STR("{\"Item\":{\"p\":{\"S\":\"a\"},\"g\":{\"S\":\"1\"}}}\n"
		    "{\"Item\":{\"p\":{\"S\":\"a\"},\"g\":{\"S\":\"2\"}}}\n"
		    "{\"Item\":{\"p\":{\"S\":\"b\"},\"g\":{\"S\":\"1\"}}}\n"
		    "{\"Item\":{\"p\":{\"S\":\"b\"}}}\n"
		    "{\"Item\":{\"p\":{\"S\":\"a\"},\"g\":{\"S\":\"3\"}}}\n"));
	j = start(w, a, "", "");
	j = wait_for(w, a, j.arn, 60);
	EXPECT_STR(j.status, STR("COMPLETED"));
	EXPECT_INT(j.processed, 5);
	EXPECT_STR(ddb_expect(w, a, 200, "Scan",
			   STR("{\"TableName\":\"tab\",\"IndexName\":\"glob\"}")),
		STR("{\"Items\":[{\"g\":{\"S\":\"3\"},\"p\":{\"S\":\"a\"}}],\"Count\":1,"
		    "\"ScannedCount\":1}"));
	EXPECT_INT(count_of(w, a, ""), 2);
	/* The stream has each of them. */
	answer = ddb_expect(w, a, 200, "Streams.ListStreams", STR("{}"));
	EXPECT_INT(json_parse(a, answer, JSON_DEPTH_MAX, &v, NULL), 0);
	arn = text_of(json_at(json_get(v, STR("Streams")), 0), "StreamArn");
	answer = ddb_expect(w, a, 200, "Streams.DescribeStream",
		arena_printf(a, "{\"StreamArn\":\"%.*s\"}", STR_ARG(arn)));
	EXPECT_INT(json_parse(a, answer, JSON_DEPTH_MAX, &v, NULL), 0);
	{
		const struct json_value *shards = json_get_path(v, STR("StreamDescription.Shards"));
		unsigned modified = 0, inserted = 0;

		for (size_t i = 0; json_at(shards, i); i++) {
			str iterator;

			shard = text_of(json_at(shards, i), "ShardId");
			answer = ddb_expect(w, a, 200, "Streams.GetShardIterator",
				arena_printf(a,
					"{\"StreamArn\":\"%.*s\",\"ShardId\":\"%.*s\","
					"\"ShardIteratorType\":\"TRIM_HORIZON\"}",
					STR_ARG(arn), STR_ARG(shard)));
			EXPECT_INT(json_parse(a, answer, JSON_DEPTH_MAX, &v, NULL), 0);
			iterator = text_of(v, "ShardIterator");
			answer = ddb_expect(w, a, 200, "Streams.GetRecords",
				arena_printf(a, "{\"ShardIterator\":\"%.*s\"}", STR_ARG(iterator)));
			EXPECT_INT(json_parse(a, answer, JSON_DEPTH_MAX, &v, NULL), 0);
			for (size_t k = 0; json_at(json_get(v, STR("Records")), k); k++) {
				str name = text_of(
					json_at(json_get(v, STR("Records")), k), "eventName");

				modified += str_eq(name, STR("MODIFY"));
				inserted += str_eq(name, STR("INSERT"));
			}
		}
		EXPECT_INT(inserted, 2);
		EXPECT_INT(modified, 3);
	}
}

/* What never comes back is given up after some minutes. */
WORLD(given_up)
{
	int64_t begun = rt_now();
	struct job j;

	create_table(w, a);
	twin_objects_put(w->objects, "in", "1", STR(ITEM("a")));
	w->objects->fail_in = w->objects->fail_every = 1;
	j = start(w, a, "", "");
	j = wait_for(w, a, j.arn, 900);
	EXPECT_STR(j.status, STR("FAILED"));
	EXPECT_STR(j.code, STR("InternalServerError"));
	EXPECT(rt_now() - begun > 200 * RT_NS_S);
	EXPECT_INT(count_of(w, a, ""), 0);
}

/* What is 90 days old is forgotten; its token has been used for another one since. */
WORLD(forgotten)
{
	struct job j;
	struct bulk_job old;
	struct buf due;
	struct bulk_id id;
	str account, region, key, token, there;

	create_table(w, a);
	twin_objects_put(w->objects, "in", "1", STR(ITEM("a")));
	j = start(w, a, "", ",\"ClientToken\":\"once\"");
	j = wait_for(w, a, j.arn, 60);
	ASSERT(bulk_arn_parse(j.arn, &account, &region, &id));
	key = bulk_key(a, account, region, id);
	ASSERT_INT(bulk_load(w->dynamodb, a, key, &old), 1);
	old.id.ms -= (uint64_t)(BULK_KEPT_MS + 1000);
	token = bulk_token_key(a, account, region, STR("once"));
	buf_init(&due, a, 4096);
	keyspace_put(&due, bulk_key(a, account, region, old.id));
	keyspace_put(&due, token);
	EXPECT_INT(
		kv_put(w->kv, bulk_key(a, account, region, old.id), bulk_encode(a, &old), RT_NEVER),
		0);
	EXPECT_INT(kv_put(w->kv, bulk_due_key(a, old.id), buf_str(&due), RT_NEVER), 0);
	(void)describe(w, a, bulk_arn(a, &old));
	dynamodb_stop(w->dynamodb);
	check(dynamodb_start(w->dynamodb, w->kv) == 0);
	check(rt_sleep_until(rt_after_ms(1000)) == 0);
	ddb_expect(w, a, 400, "DescribeBulkOperation",
		arena_printf(a, "{\"BulkOperationArn\":\"%.*s\"}", STR_ARG(bulk_arn(a, &old))));
	EXPECT_INT(kv_get(w->kv, bulk_due_key(a, old.id), a, &there), 0);
	(void)describe(w, a, j.arn);
	EXPECT_INT(kv_get(w->kv, token, a, &there), 1);
	EXPECT_INT(kv_get(w->kv, bulk_due_key(a, id), a, &there), 1);
}
