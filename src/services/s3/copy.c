/*
 * CopyObject and UploadPartCopy. The bytes are read and written again: no two objects share a body.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html, API_UploadPartCopy.html
 */
#include "base/uri.h"
#include "services/s3/condition.h"
#include "services/s3/multipart.h"
#include "services/s3/object.h"
#include "services/s3/operations.h"
#include "services/s3/reader.h"
#include "services/s3/sink.h"

struct source {
	str bucket_name, key;
	struct s3_bucket bucket;
	struct s3_object object;
	struct s3_reader *reader;
};

static void source_done_p(struct source *s)
{
	s3_reader_close(s->reader);
}

/* "bucket/key", "/bucket/key", percent-encoded; "?versionId=null" may stand behind it. */
static int parse_source(struct call *c, struct source *s)
{
	str raw = value_str(c->in, "CopySource"), version;
	ptrdiff_t mark = str_find_str(raw, STR("?versionId="));

	if (mark >= 0) {
		version = str_from(raw, (size_t)mark + sizeof "?versionId=" - 1);
		raw = str_sub(raw, 0, (size_t)mark);
		if (!str_eq(version, STR("null")))
			return s3_fault(
				c, NO_SUCH_VERSION, "The specified version does not exist.");
	}
	if (uri_decode(c->arena, raw, URI_PLAIN, &raw) < 0 || !str_is_utf8(raw))
		return s3_fault(
			c, INVALID_ARGUMENT, "Invalid copy source encoding: x-amz-copy-source");
	if (str_starts(raw, STR("/")))
		raw = str_from(raw, 1);
	str_split(&raw, '/', &s->bucket_name);
	s->key = raw;
	if (!s->bucket_name.n || !s->key.n || str_starts(s->bucket_name, STR("arn:")))
		return s3_fault(c, INVALID_ARGUMENT,
			"Invalid copy source object key: x-amz-copy-source has to be bucket/key");
	return s3_key_check(c, s->key);
}

static int check_conditions(struct call *c, const struct s3_object *o)
{
	const struct s3_conditions conditions = {
		.if_match = value_str(c->in, "CopySourceIfMatch"),
		.if_none_match = value_str(c->in, "CopySourceIfNoneMatch"),
		.has_modified_since = value_has(c->in, "CopySourceIfModifiedSince"),
		.modified_since_ms = value_time_ms(c->in, "CopySourceIfModifiedSince", 0),
		.has_unmodified_since = value_has(c->in, "CopySourceIfUnmodifiedSince"),
		.unmodified_since_ms = value_time_ms(c->in, "CopySourceIfUnmodifiedSince", 0),
	};

	/* A copy is no read: what would be 304 there is 412 here. */
	if (s3_conditions_check(&conditions, o->etag, o->modified_ms) == S3_GO_ON)
		return 0;
	return s3_fault(c, PRECONDITION_FAILED,
		"At least one of the pre-conditions you specified did not hold");
}

static int open_source(struct call *c, struct source *s)
{
	int found;

	TRY(parse_source(c, s));
	TRY(call_authorize(c, STR("s3:GetObject"), s3_arn(c->arena, s->bucket_name, s->key)));
	TRY(s3_bucket_find(
		c, s->bucket_name, value_str(c->in, "ExpectedSourceBucketOwner"), &s->bucket));
	found = s3_reader_open(s3_self(c), c->arena, s->bucket.id, s->key, &s->object, &s->reader);
	if (found == 0)
		return s3_no_such_key(c, s->bucket_name, s->key);
	TRY(s3_body_error(c, found));
	return check_conditions(c, &s->object);
}

/* `n` bytes of the source, from where its reader is, as a body. */
static int copy_bytes(struct call *c, struct source *s, uint64_t n, enum s3_algorithm algorithm,
	struct s3_body *ret)
{
	cleanup(s3_sink_done_p) struct s3_sink sink;

	s3_sink_init(&sink, s3_self(c), algorithm);
	if (n > (uint64_t)S3_LIMIT_BODY_BYTES)
		return s3_fault(c, INVALID_REQUEST,
			"The specified copy source is larger than the maximum allowable size for a "
			"copy source: %lld",
			(long long)S3_LIMIT_BODY_BYTES);
	while (n) {
		char *to;
		size_t room;
		int got;

		TRY(s3_body_error(c, s3_sink_room(&sink, &to, &room)));
		got = TRY(s3_reader_read(s->reader, to, (size_t)MIN((uint64_t)room, n)));
		if (got == 0)
			return ERR_CORRUPT;
		s3_sink_added(&sink, (size_t)got);
		n -= (uint64_t)got;
	}
	return s3_body_error(c, s3_sink_finish(&sink, c->arena, ret));
}

/* ---- CopyObject ---- */

static const char *const copy_members[] = {"ACL", "CacheControl", "ChecksumAlgorithm",
	"ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "CopySource",
	"CopySourceIfMatch", "CopySourceIfModifiedSince", "CopySourceIfNoneMatch",
	"CopySourceIfUnmodifiedSince", "Expires", "ExpectedSourceBucketOwner", "IfMatch",
	"IfNoneMatch", "Metadata", "MetadataDirective", "StorageClass", "TaggingDirective", NULL};

/* What the copy is said to be: the source's words, or the request's. */
static int copy_headers(struct call *c, const struct source *s, struct s3_write *w)
{
	bool replace = str_eq(value_str(c->in, "MetadataDirective"), STR("REPLACE"));

	TRY(s3_headers_read(c, &w->object.headers));
	if (!replace && s->bucket.id == w->bucket.id && str_eq(s->key, w->key))
		return s3_fault(c, INVALID_REQUEST,
			"This copy request is illegal because it is trying to copy an object to "
			"itself without changing the object's metadata, storage class, website "
			"redirect location or encryption attributes.");
	if (!replace)
		w->object.headers = s->object.headers;
	return 0;
}

static int copy_algorithm(struct call *c, const struct source *s, enum s3_algorithm *ret)
{
	str named = value_str(c->in, "ChecksumAlgorithm");
	enum s3_algorithm of_source = (enum s3_algorithm)s->object.checksum.algorithm;

	*ret = named.p ? s3_algorithm_named(named) : of_source;
	if (named.p && *ret == S3_SUM_NONE)
		return s3_fault(c, NOT_IMPLEMENTED,
			"A header you provided implies functionality that is not implemented: "
			"x-amz-checksum-algorithm: %.*s",
			STR_ARG(named));
	if (*ret == S3_SUM_NONE)
		*ret = S3_SUM_CRC64NVME;
	return 0;
}

int s3_copy_object(struct call *c)
{
	cleanup(source_done_p) struct source s = {.reader = NULL};
	struct s3_write w = {.bucket_name = s3_bucket_of(c), .key = s3_key_of(c)};
	enum s3_algorithm algorithm;
	struct s3_body body;
	struct value *result;

	TRY(s3_members_check(c, copy_members));
	TRY(s3_key_check(c, w.key));
	TRY(s3_bucket_find(c, w.bucket_name, value_str(c->in, "ExpectedBucketOwner"), &w.bucket));
	TRY(s3_write_conditions_read(c, &w.conditions));
	TRY(open_source(c, &s));
	TRY(copy_headers(c, &s, &w));
	TRY(copy_algorithm(c, &s, &algorithm));
	TRY(copy_bytes(c, &s, s.object.bytes, algorithm, &body));
	TRY(s3_object_write_body(c, &w, &body));
	result = value_put_struct(c->out, "CopyObjectResult");
	value_put_str(result, "ETag", s3_quoted(c->arena, w.object.etag));
	value_put_time_ms(result, "LastModified", w.object.modified_ms);
	s3_checksum_write(result, &w.object.checksum);
	return 0;
}

/* ---- UploadPartCopy ---- */

static const char *const part_members[] = {"CopySource", "CopySourceIfMatch",
	"CopySourceIfModifiedSince", "CopySourceIfNoneMatch", "CopySourceIfUnmodifiedSince",
	"CopySourceRange", "PartNumber", "UploadId", "ExpectedSourceBucketOwner", NULL};

/* x-amz-copy-source-range is stricter than Range: "bytes=first-last", within the object. */
static int source_range(struct call *c, struct source *s, uint64_t *ret_n)
{
	str range = value_str(c->in, "CopySourceRange");
	uint64_t from = 0, n = s->object.bytes, last = 0;
	ptrdiff_t dash = str_find(range, '-');

	if (range.p &&
		(dash < 6 || dash == 6 ||
			str_to_u64(str_from(range, (size_t)dash + 1), INT64_MAX, &last) < 0 ||
			s3_range_parse(range, s->object.bytes, &from, &n) == S3_RANGE_ALL))
		return s3_invalid_argument(c,
			"The x-amz-copy-source-range value must be of the form bytes=first-last "
			"where first and last are the zero-based offsets of the first and last "
			"bytes to copy",
			STR("x-amz-copy-source-range"), range);
	if (range.p && last >= s->object.bytes)
		return s3_invalid_argument(c,
			arena_c(c->arena,
				arena_printf(c->arena,
					"Range specified is not valid for source object of size: "
					"%llu",
					(unsigned long long)s->object.bytes)),
			STR("x-amz-copy-source-range"), range);
	s3_reader_seek(s->reader, from);
	*ret_n = n;
	return 0;
}

int s3_upload_part_copy(struct call *c)
{
	cleanup(source_done_p) struct source s = {.reader = NULL};
	str name = s3_bucket_of(c), upload_key, upload_id;
	int64_t number = value_int(c->in, "PartNumber", 0);
	struct s3_bucket bucket;
	struct s3_upload upload;
	struct s3_body body;
	struct s3_part part;
	struct value *result;
	uint64_t n;

	TRY(s3_members_check(c, part_members));
	TRY(s3_part_number_check(c, number));
	TRY(s3_bucket_find(c, name, value_str(c->in, "ExpectedBucketOwner"), &bucket));
	TRY(s3_upload_find(c, &bucket, &upload, &upload_key, &upload_id));
	TRY(open_source(c, &s));
	TRY(source_range(c, &s, &n));
	TRY(copy_bytes(c, &s, n,
		upload.algorithm ? (enum s3_algorithm)upload.algorithm : S3_SUM_CRC64NVME, &body));
	TRY(s3_part_write(c, name, &bucket, upload_key, upload_id, (unsigned)number, &body, &part));
	result = value_put_struct(c->out, "CopyPartResult");
	value_put_str(result, "ETag", s3_quoted(c->arena, part.etag));
	value_put_time_ms(result, "LastModified", part.modified_ms);
	if (upload.algorithm)
		value_put_str(result, s3_algorithms[upload.algorithm].member, part.checksum.value);
	return 0;
}
