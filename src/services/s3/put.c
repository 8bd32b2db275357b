/*
 * PutObject, DeleteObject, DeleteObjects.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html, API_DeleteObject.html,
 * API_DeleteObjects.html
 */
#include "services/s3/object.h"
#include "services/s3/operations.h"
#include "services/s3/sink.h"

static const char *const put_members[] = {"ACL", "Body", "CacheControl", "ContentDisposition",
	"ContentEncoding", "ContentLanguage", "ContentLength", "ContentMD5", "ContentType",
	"ChecksumAlgorithm", "ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1",
	"ChecksumSHA256", "Expires", "IfMatch", "IfNoneMatch", "Metadata", "StorageClass", NULL};

int s3_put_object(struct call *c)
{
	struct s3_write w = {.bucket_name = s3_bucket_of(c), .key = s3_key_of(c)};
	struct s3_integrity integrity;
	struct s3_body body;

	TRY(s3_members_check(c, put_members));
	TRY(s3_key_check(c, w.key));
	TRY(s3_bucket_find(c, w.bucket_name, value_str(c->in, "ExpectedBucketOwner"), &w.bucket));
	TRY(s3_headers_read(c, &w.object.headers));
	TRY(s3_write_conditions_read(c, &w.conditions));
	TRY(s3_integrity_read(c, &integrity));
	TRY(s3_body_receive(c, &integrity, &body));
	TRY(s3_object_write_body(c, &w, &body));
	value_put_str(c->out, "ETag", s3_quoted(c->arena, w.object.etag));
	s3_checksum_write(c->out, &w.object.checksum);
	return 0;
}

int s3_delete_object(struct call *c)
{
	static const char *const members[] = {"IfMatch", NULL};
	str name = s3_bucket_of(c), key = s3_key_of(c);
	struct s3_bucket bucket;

	TRY(s3_members_check(c, members));
	TRY(s3_key_check(c, key));
	TRY(s3_bucket_find(c, name, value_str(c->in, "ExpectedBucketOwner"), &bucket));
	return s3_object_delete(c, name, &bucket, key, value_str(c->in, "IfMatch"));
}

/* ---- many at once ---- */

/* The body's digest: one is required, so that no other keys are deleted than were meant. */
static int check_digest(struct call *c)
{
	struct s3_integrity integrity;
	struct s3_hasher hasher;
	uint8_t md5[MD5_BYTES], sum[S3_SUM_BYTES_MAX], wanted[S3_SUM_BYTES_MAX];

	if (!c->request)
		return 0;
	TRY(s3_integrity_read(c, &integrity));
	if (!integrity.has_md5 && !integrity.given)
		return s3_fault(c, INVALID_REQUEST,
			"Missing required header for this request: Content-MD5 OR "
			"x-amz-checksum-*");
	s3_hasher_init(&hasher, &s3_self(c)->crc, integrity.algorithm);
	s3_hasher_add(&hasher, c->body);
	s3_hasher_finish(&hasher, md5, sum);
	if (integrity.has_md5 && memcmp(integrity.md5, md5, sizeof md5) != 0)
		return s3_bad_md5(c, integrity.md5, md5);
	if (integrity.in_trailer)
		integrity.value = call_body_trailer(c, s3_algorithms[integrity.algorithm].header);
	if (integrity.given &&
		(s3_sum_decode(integrity.value, s3_algorithms[integrity.algorithm].bytes, wanted) <
				0 ||
			memcmp(wanted, sum, s3_algorithms[integrity.algorithm].bytes) != 0))
		return s3_fault(c, BAD_DIGEST,
			"The %.*s you specified did not match the calculated checksum.",
			STR_ARG(s3_algorithms[integrity.algorithm].name));
	return 0;
}

static int delete_one(
	struct call *c, str name, const struct s3_bucket *bucket, const struct value *object)
{
	str key = value_str(object, "Key"), version = value_str(object, "VersionId");

	TRY(s3_key_check(c, key));
	if (version.p && !str_eq(version, STR("null")))
		return s3_fault(c, NO_SUCH_VERSION, "The specified version does not exist.");
	if (value_has(object, "LastModifiedTime") || value_has(object, "Size"))
		return s3_fault(c, NOT_IMPLEMENTED,
			"An element you provided implies functionality that is not implemented: "
			"%s",
			value_has(object, "Size") ? "Size" : "LastModifiedTime");
	TRY(call_authorize(c, STR("s3:DeleteObject"), s3_arn(c->arena, name, key)));
	return s3_object_delete(c, name, bucket, key, value_str(object, "ETag"));
}

/* Each key stands for itself: what fails is an entry of the answer. */
int s3_delete_objects(struct call *c)
{
	static const char *const members[] = {"Delete", "ChecksumAlgorithm", NULL};
	const struct value *wanted = value_get(c->in, "Delete");
	const struct value *objects = value_get(wanted, "Objects");
	struct value *list;
	struct s3_bucket bucket;
	str name = s3_bucket_of(c);

	TRY(s3_members_check(c, members));
	TRY(check_digest(c));
	if (value_count(objects) == 0 || value_count(objects) > S3_LIMIT_DELETE_KEYS)
		return s3_fault(c, MALFORMED_XML,
			"The XML you provided was not well-formed or did not validate against our "
			"published schema");
	TRY(s3_bucket_find(c, name, value_str(c->in, "ExpectedBucketOwner"), &bucket));
	for (uint32_t i = 0; i < value_count(objects); i++) {
		const struct value *object = value_at(objects, i);
		int rc = delete_one(c, name, &bucket, object);

		if (rc < 0 && rc != ERR_FAULT)
			return rc;
		if (rc >= 0 && value_bool(wanted, "Quiet", false))
			continue;
		list = value_put_list(c->out, rc < 0 ? "Errors" : "Deleted");
		list = value_add_struct(list);
		value_put_str(list, "Key", value_str(object, "Key"));
		if (rc < 0) {
			value_put_str(list, "Code", str_c(c->fault.kind->code));
			value_put_str(list, "Message", c->fault.message);
			c->fault = (struct fault){.kind = NULL};
		}
	}
	return 0;
}
