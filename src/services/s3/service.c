/*
 * The service object: operations and their actions, condition keys, its life, the sweep.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
 */
#include "services/s3/service.h"

#include "aws/policy.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "services/s3/operations.h"
#include "services/s3/port.h"

enum { BODY_MAX = 4 * 1024 * 1024, STOP_MS = 10000 };

const struct fault_kind s3_faults[] = {
#define FAULT(...) FAULT_ROW(__VA_ARGS__)
#include "services/s3/faults.def"
#undef FAULT
};

/* ---- what an operation acts on ---- */

static int bucket_resource(struct call *c, str *ret_arn)
{
	*ret_arn = s3_arn(c->arena, s3_bucket_of(c), STR_NULL);
	return 0;
}

static int object_resource(struct call *c, str *ret_arn)
{
	*ret_arn = s3_arn(c->arena, s3_bucket_of(c), s3_key_of(c));
	return 0;
}

/* Condition keys from members of the request, where the operation has them. */
static int context_add(
	struct call *c, str action unused_arg, str arn unused_arg, struct policy_context *context)
{
	static const struct {
		const char *member;
		str key;
	} keys[] = {
		{"Prefix", STR_INIT("s3:prefix")},
		{"Delimiter", STR_INIT("s3:delimiter")},
		{"CopySource", STR_INIT("s3:x-amz-copy-source")},
		{"MetadataDirective", STR_INIT("s3:x-amz-metadata-directive")},
		{"StorageClass", STR_INIT("s3:x-amz-storage-class")},
		{"ACL", STR_INIT("s3:x-amz-acl")},
		{"VersionId", STR_INIT("s3:VersionId")},
		{"IfMatch", STR_INIT("s3:if-match")},
		{"IfNoneMatch", STR_INIT("s3:if-none-match")},
		{"ObjectOwnership", STR_INIT("s3:x-amz-object-ownership")},
	};
	const struct model *m = c->service->model;

	policy_context_add(context, STR("s3:ResourceAccount"), c->account);
	if (c->request) {
		/* Signed in one of the two (sigv4.h), and the query's names may be encoded. */
		bool presigned = !call_header_get(c, STR("authorization")).p;

		policy_context_add(context, STR("s3:authType"),
			presigned ? STR("REST-QUERY-STRING") : STR("REST-HEADER"));
		policy_context_add(context, STR("s3:signatureversion"), STR("AWS4-HMAC-SHA256"));
		policy_context_add(context, STR("s3:x-amz-content-sha256"),
			call_header_get(c, STR("x-amz-content-sha256")));
	}
	for (size_t i = 0; c->in && i < ARRAY_SIZE(keys); i++)
		if (model_member(m, c->in->shape, str_c(keys[i].member)) >= 0)
			policy_context_add(context, keys[i].key, value_str(c->in, keys[i].member));
	if (c->in && model_member(m, c->in->shape, STR("MaxKeys")) >= 0 &&
		value_has(c->in, "MaxKeys"))
		policy_context_add(context, STR("s3:max-keys"),
			arena_printf(c->arena, "%lld", (long long)value_int(c->in, "MaxKeys", 0)));
	if (c->in && model_member(m, c->in->shape, STR("CreateBucketConfiguration")) >= 0)
		policy_context_add(context, STR("s3:locationconstraint"),
			value_str(value_get(c->in, "CreateBucketConfiguration"),
				"LocationConstraint"));
	return 0;
}

static const struct operation_row rows[] = {
#define ROW(operation, function, action_, resource_, flags_)                   \
	{                                                                      \
		.name = operation, .handle = s3_##function, .action = action_, \
		.resource = resource_, .flags = flags_                         \
	}
	ROW("AbortMultipartUpload", abort_multipart_upload, NULL, object_resource, 0),
	ROW("CompleteMultipartUpload", complete_multipart_upload, "s3:PutObject", object_resource,
		0),
	ROW("CopyObject", copy_object, "s3:PutObject", object_resource, 0),
	ROW("CreateBucket", create_bucket, NULL, bucket_resource, 0),
	ROW("CreateMultipartUpload", create_multipart_upload, "s3:PutObject", object_resource, 0),
	ROW("DeleteBucket", delete_bucket, NULL, bucket_resource, 0),
	ROW("DeleteObject", delete_object, NULL, object_resource, 0),
	ROW("DeleteObjects", delete_objects, NULL, NULL, ROW_AUTHORIZES),
	ROW("GetBucketLocation", get_bucket_location, NULL, bucket_resource, 0),
	ROW("GetObject", get_object, NULL, object_resource, 0),
	ROW("HeadBucket", head_bucket, "s3:ListBucket", bucket_resource, 0),
	ROW("HeadObject", head_object, "s3:GetObject", object_resource, 0),
	ROW("ListBuckets", list_buckets, "s3:ListAllMyBuckets", NULL, 0),
	ROW("ListMultipartUploads", list_multipart_uploads, "s3:ListBucketMultipartUploads",
		bucket_resource, 0),
	ROW("ListObjects", list_objects, "s3:ListBucket", bucket_resource, 0),
	ROW("ListObjectsV2", list_objects_v2, "s3:ListBucket", bucket_resource, 0),
	ROW("ListParts", list_parts, "s3:ListMultipartUploadParts", object_resource, 0),
	ROW("PutObject", put_object, NULL, object_resource, ROW_STREAM_BODY),
	ROW("UploadPart", upload_part, "s3:PutObject", object_resource, ROW_STREAM_BODY),
	ROW("UploadPartCopy", upload_part_copy, "s3:PutObject", object_resource, 0),
#undef ROW
};

/* ---- what the operations share ---- */

int s3_detail_int(struct call *c, int rc, str name, int64_t number)
{
	return s3_detail(c, rc, name, arena_printf(c->arena, "%lld", (long long)number));
}

int(s3_invalid_argument)(struct call *c, const char *message, str name, str value)
{
	int rc = s3_detail(
		c, s3_fault(c, INVALID_ARGUMENT, "%s", message), STR("ArgumentName"), name);

	return s3_detail(c, rc, STR("ArgumentValue"), value.p ? value : STR(""));
}

int s3_no_such_bucket(struct call *c, str name)
{
	return s3_detail(c, s3_fault(c, NO_SUCH_BUCKET, "The specified bucket does not exist"),
		STR("BucketName"), name);
}

int s3_bad_bucket_name(struct call *c, str name)
{
	return s3_detail(c, s3_fault(c, INVALID_BUCKET_NAME, "The specified bucket is not valid."),
		STR("BucketName"), name);
}

static bool is_going(const struct s3 *s3, const struct s3_bucket *b)
{
	return b->deleting == s3->run;
}

static int aborted(struct call *c)
{
	return s3_fault(c, OPERATION_ABORTED,
		"A conflicting conditional operation is currently in progress against this "
		"resource. Please try again.");
}

int s3_bucket_find(struct call *c, str name, str expected_owner, struct s3_bucket *ret)
{
	struct s3 *s3 = s3_self(c);
	str bytes;

	if (!s3_bucket_name_valid(name))
		return s3_bad_bucket_name(c, name);
	if (TRY(kv_get(s3->kv, s3_key_bucket(c->arena, name), c->arena, &bytes)) == 0)
		return s3_no_such_bucket(c, name);
	TRY(s3_bucket_decode(bytes, ret));
	if (!str_eq(ret->account, c->account) ||
		(expected_owner.p && !str_eq(expected_owner, ret->account)))
		return s3_fault(c, ACCESS_DENIED, "Access Denied");
	return is_going(s3, ret) ? aborted(c) : 0;
}

int s3_bucket_hold(struct call *c, struct kv_txn *txn, str name, const struct s3_bucket *bucket)
{
	struct s3_bucket now;
	str bytes;

	if (TRY(kv_txn_get(txn, s3_key_bucket(c->arena, name), c->arena, &bytes)) == 0)
		return s3_no_such_bucket(c, name);
	TRY(s3_bucket_decode(bytes, &now));
	if (now.id != bucket->id)
		return s3_no_such_bucket(c, name);
	return is_going(s3_self(c), &now) ? aborted(c) : 0;
}

int s3_key_check(struct call *c, str key)
{
	int rc;

	if (key.n <= S3_LIMIT_KEY_BYTES)
		return 0;
	rc = s3_fault(c, KEY_TOO_LONG, "Your key is too long");
	rc = s3_detail_int(c, rc, STR("Size"), (int64_t)key.n);
	return s3_detail_int(c, rc, STR("MaxSizeAllowed"), S3_LIMIT_KEY_BYTES);
}

int s3_no_such_key(struct call *c, str bucket, str key)
{
	TRY(call_authorize(c, STR("s3:ListBucket"), s3_arn(c->arena, bucket, STR_NULL)));
	return s3_detail(
		c, s3_fault(c, NO_SUCH_KEY, "The specified key does not exist."), STR("Key"), key);
}

int s3_body_error(struct call *c, int rc)
{
	switch (rc) {
	case ERR_TOO_LARGE:
		return s3_detail_int(c,
			s3_fault(c, ENTITY_TOO_LARGE,
				"Your proposed upload exceeds the maximum allowed size"),
			STR("MaxSizeAllowed"), (int64_t)S3_LIMIT_BODY_BYTES);
	case ERR_BUSY: return s3_fault(c, SLOW_DOWN, "Please reduce your request rate.");
	default: return rc;
	}
}

/* ---- its life ---- */

int s3_service_new(const struct s3_options *options, struct s3 **ret_s3)
{
	cleanup(arena_done_p) struct arena a;
	struct s3 *s3 = mem_new(struct s3);
	struct blob_options blobs = {.unsynced = options->unsynced};
	int rc;

	arena_init(&a, 64 * 1024);
	s3->magic = S3_MAGIC;
	s3->rt = options->rt;
	do
		random_bytes(&s3->run, sizeof s3->run);
	while (!s3->run);
	blobs.folder = arena_c(&a, ARENA_CONCAT(&a, str_c(options->data_folder), STR("/blob")));
	blobs.run = s3->run;
	rc = blob_open(options->rt, &blobs, &s3->blobs);
	if (rc < 0) {
		mem_free(s3);
		return rc;
	}
	crc_tables_init(&s3->crc);
	check(pthread_mutex_init(&s3->pins_lock, NULL) == 0);
	list_init(&s3->pins);
	rt_waitq_init(&s3->sweeper_ended);
	s3->service = (struct service){.model = model_named(STR("s3")),
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.body_max = BODY_MAX,
		.self = s3,
		.context = context_add};
	check(s3->service.model != NULL);
	s3_port_init(s3);
	options->ports->objects = &s3->port;
	*ret_s3 = s3;
	return 0;
}

void s3_service_free(struct s3 *s3)
{
	if (!s3)
		return;
	check(s3->magic == S3_MAGIC && list_empty(&s3->pins));
	blob_close(s3->blobs);
	pthread_mutex_destroy(&s3->pins_lock);
	s3->magic = 0;
	mem_free(s3);
}

const struct service *s3_service_rows(const struct s3 *s3)
{
	return &s3->service;
}

/* ---- the sweep of files that a crash has left ---- */

static int is_known(void *arg, struct blob_id id)
{
	cleanup(arena_done_p) struct arena a;
	struct s3 *s3 = arg;
	str value;

	arena_init(&a, 64 * 1024);
	return kv_get(s3->kv, s3_key_blob(&a, id), &a, &value);
}

static void sweep(void *arg)
{
	struct s3 *s3 = check_object(arg, struct s3, S3_MAGIC);
	int rc;

	s3->sweeper = rt_fiber_self();
	s3->sweeper_id = rt_fiber_id(s3->sweeper);
	rc = blob_sweep(s3->blobs, is_known, s3);
	if (rc > 0)
		log_info("s3", "files that no object has were removed", "count=%d", rc);
	if (rc < 0 && rc != ERR_CANCELLED)
		log_warn("s3", "the sweep of files ended early", "error=%s", rc_name(rc));
	s3->sweeper = NULL;
	rt_waitq_wake_all(&s3->sweeper_ended);
}

int s3_service_start(struct s3 *s3, struct kv *kv)
{
	check(s3->magic == S3_MAGIC && !s3->kv);
	s3->kv = kv;
	return rt_spawn(sweep, s3);
}

void s3_service_stop(struct s3 *s3)
{
	int64_t deadline = rt_after_ms(STOP_MS);

	if (!s3)
		return;
	if (s3->sweeper)
		rt_fiber_cancel(s3->sweeper, s3->sweeper_id);
	while (s3->sweeper && rt_waitq_wait(&s3->sweeper_ended, deadline) == 0)
		continue;
}
