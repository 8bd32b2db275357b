/*
 * The objects port: what services inside the server see of S3, with the policies of who asks.
 */
#include "aws/policy.h"
#include "aws/ports/call.h"
#include "aws/ports/objects.h"
#include "base/check.h"
#include "base/hash.h"
#include "kv/kv.h"
#include "services/s3/s3.h"
#include "services/s3/store.h"
#include "test/services/s3/wire.h"

enum { LARGE = 300000, PART = 5 << 20 };

static const struct principal root = {.kind = PRINCIPAL_ROOT,
	.account = STR_INIT("000000000000"),
	.arn = STR_INIT("arn:aws:iam::000000000000:root"),
	.unrestricted = true};

static struct object_address address(const struct principal *as, str key)
{
	return (struct object_address){
		.as = as, .region = STR("us-east-1"), .bucket = STR("abc"), .key = key};
}

static int put(struct s3_world *w, struct arena *a, const struct principal *as, str key, str body,
	struct fault *fault)
{
	const struct port_objects *port = w->ports.objects;
	struct object_address at = address(as, key);
	struct object_put what = {.content_type = STR("x/y")};
	struct object_writer *writer;
	struct object_info info;
	int rc = port->create(port->self, a, &at, &what, &writer, fault);

	if (rc < 0)
		return rc;
	while (body.n) {
		EXPECT_INT(port->write(writer, str_sub(body, 0, 7777)), 0);
		body = str_from(body, 7777);
	}
	return port->finish(writer, a, &info, fault);
}

static str all_of(const struct port_objects *port, struct arena *a, struct object_reader *reader)
{
	struct buf out;
	char part[1000];
	int n;

	buf_init(&out, a, 1 << 20);
	while ((n = port->read(reader, part, sizeof part)) > 0)
		buf_put(&out, str_of(part, (size_t)n));
	EXPECT_INT(n, 0);
	return buf_str(&out);
}

static void objects(struct s3_world *w)
{
	const struct port_objects *port = w->ports.objects;
	struct object_address at = address(&root, STR("dir/large"));
	struct object_reader *reader;
	struct object_entry *entries;
	struct object_info info;
	struct fault fault;
	struct arena a;
	char *bytes;
	str large;

	arena_init(&a, SIZE_MAX);
	bytes = arena_bytes(&a, LARGE);
	for (int i = 0; i < LARGE; i++)
		bytes[i] = (char)(i * 31 + i / 251);
	large = str_of(bytes, LARGE);
	EXPECT_INT(port->open(port->self, &a, &at, &info, &reader, &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("NoSuchBucket"));
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("PUT /abc"), STR_NULL, STR_NULL).status, 200);
	EXPECT_INT(port->open(port->self, &a, &at, &info, &reader, &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("NoSuchKey"));
	EXPECT_INT(put(w, &a, &root, STR("dir/large"), large, &fault), 0);
	EXPECT_INT(put(w, &a, &root, STR("dir/small"), STR("small"), &fault), 0);
	EXPECT_INT(put(w, &a, &root, STR("empty"), STR(""), &fault), 0);
	EXPECT_INT(s3_files(w), 1);
	/* what the port has written is what clients see */
	EXPECT(str_eq(
		s3_send(w, &a, STR("test"), STR("GET /abc/dir/large"), STR_NULL, STR_NULL).body,
		large));
	ASSERT_INT(port->open(port->self, &a, &at, &info, &reader, &fault), 0);
	EXPECT_INT(info.bytes, LARGE);
	EXPECT_STR(info.content_type, STR("x/y"));
	EXPECT_INT(info.etag.n, 32);
	EXPECT(!info.version.p && !info.content_encoding.p && info.modified_ms > 0);
	/* replaced and deleted while it is open */
	EXPECT_INT(put(w, &a, &root, STR("dir/large"), STR("new"), &fault), 0);
	EXPECT_INT(s3_files(w), 0);
	EXPECT(str_eq(all_of(port, &a, reader), large));
	port->seek(reader, LARGE - 5);
	EXPECT_STR(all_of(port, &a, reader), str_from(large, LARGE - 5));
	port->close(reader);
	port->close(NULL);
	at.key = STR("dir/");
	ASSERT_INT(port->list(port->self, &a, &at, STR_NULL, 10, &entries, &fault), 2);
	EXPECT_STR(entries[0].key, STR("dir/large"));
	EXPECT_INT(entries[0].bytes, 3);
	EXPECT_STR(entries[1].key, STR("dir/small"));
	ASSERT_INT(port->list(port->self, &a, &at, STR("dir/large"), 10, &entries, &fault), 1);
	ASSERT_INT(port->list(port->self, &a, &at, STR_NULL, 1, &entries, &fault), 1);
	EXPECT_INT(port->list(port->self, &a, &at, STR_NULL, 0, &entries, &fault), 0);
	arena_done(&a);
}

TEST(s3_port, objects)
{
	s3_run(1, objects);
}

static str upload_id_of(struct s3_world *w, struct arena *a)
{
	str text = s3_send(w, a, STR("test"), STR("POST /abc/k?uploads"), STR_NULL, STR_NULL).body;
	ptrdiff_t at = str_find_str(text, STR("<UploadId>"));

	check(at >= 0);
	text = str_from(text, (size_t)at + sizeof "<UploadId>" - 1);
	return str_sub(text, 0, (size_t)str_find(text, '<'));
}

static void upload_part(
	struct s3_world *w, struct arena *a, str id, unsigned number, str body, unsigned *status)
{
	str line = arena_printf(a, "PUT /abc/k?partNumber=%u&uploadId=%.*s", number, STR_ARG(id));

	*status = s3_send(w, a, STR("test"), line, STR_NULL, body).status;
}

/* Names the first `count` parts, which all have the bodies `large`, the last one `small`. */
static unsigned complete(
	struct s3_world *w, struct arena *a, str id, unsigned count, str large, str small)
{
	str line = arena_printf(a, "POST /abc/k?uploadId=%.*s", STR_ARG(id));
	struct buf body;

	buf_init(&body, a, 1 << 16);
	buf_put(&body, STR("<CompleteMultipartUpload>"));
	for (unsigned i = 1; i <= count; i++) {
		char hex[2 * MD5_BYTES];
		uint8_t md5[MD5_BYTES];

		md5_of(i == count ? small : large, md5);
		hex_encode(md5, sizeof md5, hex);
		buf_printf(&body, "<Part><PartNumber>%u</PartNumber><ETag>%.*s</ETag></Part>", i,
			(int)sizeof hex, hex);
	}
	buf_put(&body, STR("</CompleteMultipartUpload>"));
	return s3_send(w, a, STR("test"), line, STR_NULL, buf_str(&body)).status;
}

/* An object of many files is replaced by an upload that leaves parts out, while it is read. */
static void replaced_by_upload(struct s3_world *w)
{
	const struct port_objects *port = w->ports.objects;
	struct object_address at = address(&root, STR("k"));
	struct object_reader *reader;
	struct object_info info;
	struct fault fault;
	unsigned status;
	struct arena a;
	str large, id;
	char *bytes;

	arena_init(&a, SIZE_MAX);
	bytes = arena_bytes(&a, PART);
	memset(bytes, 'x', PART);
	large = str_of(bytes, PART);
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("PUT /abc"), STR_NULL, STR_NULL).status, 200);
	id = upload_id_of(w, &a);
	upload_part(w, &a, id, 1, large, &status);
	EXPECT_INT(status, 200);
	upload_part(w, &a, id, 2, str_sub(large, 0, LARGE), &status);
	EXPECT_INT(status, 200);
	EXPECT_INT(complete(w, &a, id, 2, large, str_sub(large, 0, LARGE)), 200);
	ASSERT_INT(port->open(port->self, &a, &at, &info, &reader, &fault), 0);
	id = upload_id_of(w, &a);
	upload_part(w, &a, id, 1, STR("new"), &status);
	upload_part(w, &a, id, 2, str_sub(large, 0, LARGE), &status);
	EXPECT_INT(status, 200);
	EXPECT_INT(complete(w, &a, id, 1, large, STR("new")), 200);
	EXPECT_STR(s3_send(w, &a, STR("test"), STR("GET /abc/k"), STR_NULL, STR_NULL).body,
		STR("new"));
	EXPECT_INT(s3_files(w), 2); /* the part left out has gone, what is read has not */
	port->seek(reader, PART + LARGE - 5);
	EXPECT_STR(all_of(port, &a, reader), STR("xxxxx"));
	port->close(reader);
	EXPECT_INT(s3_files(w), 0);
	arena_done(&a);
}

TEST(s3_port, replaced_by_an_upload_while_read)
{
	s3_run(7, replaced_by_upload);
}

static void unfinished(struct s3_world *w)
{
	const struct port_objects *port = w->ports.objects;
	struct object_address at = address(&root, STR("k"));
	struct object_put put_encrypted = {.sse = STR("aws:kms")};
	struct object_writer *writer;
	struct object_info info;
	struct fault fault;
	struct arena a;
	char bytes[100000] = {1};

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("PUT /abc"), STR_NULL, STR_NULL).status, 200);
	ASSERT_INT(port->create(port->self, &a, &at, NULL, &writer, &fault), 0);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(port->write(writer, str_of(bytes, sizeof bytes)), 0);
	EXPECT_INT(s3_files(w), 1);
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("GET /abc/k"), STR_NULL, STR_NULL).status, 404);
	port->abandon(writer);
	port->abandon(NULL);
	EXPECT_INT(s3_files(w), 0);
	/* the bucket goes before the end */
	ASSERT_INT(port->create(port->self, &a, &at, NULL, &writer, &fault), 0);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(port->write(writer, str_of(bytes, sizeof bytes)), 0);
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("DELETE /abc"), STR_NULL, STR_NULL).status, 204);
	EXPECT_INT(port->finish(writer, &a, &info, &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("NoSuchBucket"));
	EXPECT_STR(fault.details[0].text, STR("abc"));
	EXPECT_INT(s3_files(w), 0);
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("PUT /abc"), STR_NULL, STR_NULL).status, 200);
	EXPECT_INT(port->create(port->self, &a, &at, &put_encrypted, &writer, &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("NotImplemented"));
	at.expected_owner = STR("111111111111");
	EXPECT_INT(port->create(port->self, &a, &at, NULL, &writer, &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("AccessDenied"));
	arena_done(&a);
}

TEST(s3_port, unfinished_writes_leave_nothing)
{
	s3_run(2, unfinished);
}

/* Operations from inside, without HTTP: a body is the input's member. */
static void calls(struct s3_world *w)
{
	const struct port_call *port = w->ports.call;
	const struct value *out;
	struct fault fault;
	struct arena a;
	struct value *in;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("PUT /abc"), STR_NULL, STR_NULL).status, 200);
	in = port->input(port->self, &a, "s3", "PutObject");
	value_put_str(in, "Bucket", STR("abc"));
	value_put_str(in, "Key", STR("k"));
	value_put_str(in, "Body", STR("from inside"));
	ASSERT_INT(port->call(port->self, &a, "s3", "PutObject", &root, STR("us-east-1"), in, &out,
			   &fault),
		0);
	EXPECT_STR(s3_send(w, &a, STR("test"), STR("GET /abc/k"), STR_NULL, STR_NULL).body,
		STR("from inside"));
	in = port->input(port->self, &a, "s3", "GetObject");
	value_put_str(in, "Bucket", STR("abc"));
	value_put_str(in, "Key", STR("k"));
	value_put_str(in, "Range", STR("bytes=5-"));
	ASSERT_INT(port->call(port->self, &a, "s3", "GetObject", &root, STR("us-east-1"), in, &out,
			   &fault),
		0);
	EXPECT_STR(value_str(out, "Body"), STR("inside"));
	value_put_str(in, "Key", STR("none"));
	EXPECT_INT(port->call(port->self, &a, "s3", "GetObject", &root, STR("us-east-1"), in, &out,
			   &fault),
		ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("NoSuchKey"));
	arena_done(&a);
}

TEST(s3_port, calls_from_inside)
{
	s3_run(5, calls);
}

/* Listing an object takes no memory for its files, of which it may have 10,000. */
static void listing_of_many_files(struct s3_world *w)
{
	enum { FILES = 10000, OBJECTS = 60, BUDGET = 4 << 20 };
	const struct port_objects *port = w->ports.objects;
	struct s3_object o = {.time = 1, .etag = STR("0-1"), .segment_count = FILES};
	struct object_address at = address(&root, STR_NULL);
	struct object_entry *entries;
	struct s3_bucket bucket;
	struct fault fault;
	struct arena a, small;
	str bytes, record;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("PUT /abc"), STR_NULL, STR_NULL).status, 200);
	ASSERT_INT(kv_get(w->kv, s3_key_bucket(&a, STR("abc")), &a, &bytes), 1);
	ASSERT_INT(s3_bucket_decode(bytes, &bucket), 0);
	o.segments = arena_new_array(&a, struct s3_segment, FILES);
	record = s3_object_encode(&a, &o);
	for (int i = 0; i < OBJECTS; i++)
		ASSERT_INT(kv_put(w->kv, s3_key_object(&a, bucket.id, arena_printf(&a, "%02d", i)),
				   record, RT_NEVER),
			0);
	arena_init(&small, BUDGET);
	EXPECT_INT(s3_send(w, &small, STR("test"), STR("GET /abc?list-type=2"), STR_NULL, STR_NULL)
			   .status,
		200);
	arena_done(&small);
	arena_init(&small, BUDGET);
	ASSERT_INT(
		port->list(port->self, &small, &at, STR_NULL, OBJECTS, &entries, &fault), OBJECTS);
	EXPECT_STR(entries[OBJECTS - 1].etag, STR("0-1"));
	arena_done(&small);
	arena_done(&a);
}

TEST(s3_port, listing_of_many_files)
{
	s3_run(9, listing_of_many_files);
}

/* However many uploads a bucket has, one request deletes it. */
static void bucket_of_many_uploads(struct s3_world *w)
{
	enum { UPLOADS = 120, BUDGET = 16 << 20 };
	struct arena a, small;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("PUT /abc"), STR_NULL, STR_NULL).status, 200);
	for (int i = 0; i < UPLOADS; i++)
		(void)upload_id_of(w, &a);
	arena_init(&small, BUDGET);
	EXPECT_INT(s3_send(w, &small, STR("test"), STR("DELETE /abc"), STR_NULL, STR_NULL).status,
		204);
	arena_done(&small);
	arena_done(&a);
}

TEST(s3_port, bucket_of_many_uploads)
{
	s3_run(10, bucket_of_many_uploads);
}

static str kind_in(const struct policy_context *context)
{
	for (uint32_t i = 0; i < context->count; i++)
		if (str_eq(context->keys[i].name, STR("s3:authType")))
			return context->keys[i].values[0];
	return STR_NULL;
}

/* How a request is signed, whatever its query string looks like. */
static void kinds_of_signature(struct s3_world *w)
{
	static const struct {
		bool header;
		str query, kind;
	} cases[] = {{true, STR_INIT("x=1"), STR_INIT("REST-HEADER")},
		{true, STR_INIT("no-X-Amz-Signature=1"), STR_INIT("REST-HEADER")},
		{false, STR_INIT("X-Amz-Signature=1"), STR_INIT("REST-QUERY-STRING")},
		{false, STR_INIT("X-Amz-%53ignature=1"), STR_INIT("REST-QUERY-STRING")}};
	const struct service *s = s3_service_rows(w->s3);
	const struct http_header header = {
		.name = STR("Authorization"), .value = STR("AWS4-HMAC-SHA256 x")};
	struct arena a;

	arena_init(&a, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_context context = {.arena = &a};
		struct gate_request r = {.query = cases[i].query,
			.headers = &header,
			.header_count = cases[i].header};
		struct call c = {.magic = CALL_MAGIC,
			.service = s,
			.arena = &a,
			.account = root.account,
			.request = &r};

		ASSERT_INT(s->context(&c, STR("s3:GetObject"), STR("*"), &context), 0);
		EXPECT_STR(kind_in(&context), cases[i].kind);
	}
	arena_done(&a);
}

TEST(s3_port, kinds_of_signature)
{
	s3_run(8, kinds_of_signature);
}

static void policies(struct s3_world *w)
{
	const struct port_objects *port = w->ports.objects;
	static const char text[] =
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":["
		"\"s3:GetObject\",\"s3:PutObject\"],\"Resource\":\"arn:aws:s3:::abc/open/*\"}]}";
	const struct policy *list[1];
	struct principal alice = {.kind = PRINCIPAL_USER,
		.account = root.account,
		.arn = STR("arn:aws:iam::000000000000:user/alice"),
		.name = STR("alice"),
		.policies = list,
		.policy_count = 1};
	struct principal other = root;
	struct object_address at = address(&alice, STR("open/k"));
	struct object_entry *entries;
	struct object_reader *reader;
	struct policy *policy;
	struct object_info info;
	struct fault fault;
	struct arena a;
	str message;

	arena_init(&a, SIZE_MAX);
	ASSERT(policy_parse(&a, str_c(text), POLICY_IDENTITY, &policy, &message) >= 0);
	list[0] = policy;
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("PUT /abc"), STR_NULL, STR_NULL).status, 200);
	EXPECT_INT(put(w, &a, &alice, STR("open/k"), STR("1"), &fault), 0);
	EXPECT_INT(put(w, &a, &alice, STR("closed/k"), STR("1"), &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("AccessDenied"));
	EXPECT_INT(put(w, &a, &root, STR("closed/k"), STR("1"), &fault), 0);
	ASSERT_INT(port->open(port->self, &a, &at, &info, &reader, &fault), 0);
	port->close(reader);
	/* who may not list is not told that a key is not there */
	at.key = STR("open/none");
	EXPECT_INT(port->open(port->self, &a, &at, &info, &reader, &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("AccessDenied"));
	at.key = STR("closed/k");
	EXPECT_INT(port->open(port->self, &a, &at, &info, &reader, &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("AccessDenied"));
	at.key = STR("");
	EXPECT_INT(port->list(port->self, &a, &at, STR_NULL, 10, &entries, &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("AccessDenied"));
	/* another account's root has no bucket here */
	other.account = STR("111111111111");
	at = address(&other, STR("open/k"));
	EXPECT_INT(port->open(port->self, &a, &at, &info, &reader, &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("AccessDenied"));
	arena_done(&a);
}

TEST(s3_port, policies_are_asked)
{
	s3_run(3, policies);
}

/* When a commit fails, its body is nobody's and goes, or is found by the sweep of the next run. */
static void failing_store(struct s3_world *w)
{
	struct kv_fault_options faults = {.seed = 5, .no_delay = true, .conflict_per_mille = 500};
	struct arena a;
	char bytes[50000] = {2};

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("PUT /abc"), STR_NULL, STR_NULL).status, 200);
	kv_fault_set(w->kv, &faults);
	for (int i = 0; i < 20; i++) /* conflicts are tried again */
		EXPECT_INT(s3_send(w, &a, STR("test"), STR("PUT /abc/k"), STR_NULL,
				   str_of(bytes, sizeof bytes))
				   .status,
			200);
	EXPECT_INT(s3_files(w), 1);
	faults.conflict_per_mille = 1000;
	kv_fault_set(w->kv, &faults);
	EXPECT_INT(s3_send(w, &a, STR("test"), STR("PUT /abc/other"), STR_NULL,
			   str_of(bytes, sizeof bytes))
			   .status,
		409);
	EXPECT_INT(s3_files(w), 1);
	faults.conflict_per_mille = 0;
	kv_fault_set(w->kv, &faults);
	EXPECT_INT(
		s3_send(w, &a, STR("test"), STR("GET /abc/other"), STR_NULL, STR_NULL).status, 404);
	EXPECT(str_eq(s3_send(w, &a, STR("test"), STR("GET /abc/k"), STR_NULL, STR_NULL).body,
		str_of(bytes, sizeof bytes)));
	arena_done(&a);
}

TEST(s3_port, failing_commits_leave_nothing)
{
	s3_run(4, failing_store);
}
