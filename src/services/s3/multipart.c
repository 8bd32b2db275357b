/*
 * Multipart uploads: begin, parts, complete, abort.
 *
 * A part is a body of its own. The finished object has its parts' bodies as segments, so completing
 * copies nothing. Whoever writes a part declares the upload's key in its transaction, so that
 * nothing is added while the upload ends.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
 */
#include "services/s3/multipart.h"

#include "base/check.h"
#include "base/mem.h"
#include "services/s3/condition.h"
#include "services/s3/object.h"
#include "services/s3/operations.h"
#include "services/s3/reader.h"

enum { COMMIT_MS = 30000, DROP_BATCH = 100 };

/* ---- names ---- */

str s3_upload_id_text(struct arena *a, str id)
{
	char *hex = arena_bytes(a, 2 * S3_UPLOAD_ID_BYTES);

	check(id.n == S3_UPLOAD_ID_BYTES);
	hex_encode((const uint8_t *)id.p, id.n, hex);
	return str_of(hex, 2 * S3_UPLOAD_ID_BYTES);
}

int s3_no_such_upload(struct call *c)
{
	int rc = s3_fault(c, NO_SUCH_UPLOAD,
		"The specified upload does not exist. The upload ID may be invalid, or the upload "
		"may have been aborted or completed.");

	return s3_detail(c, rc, STR("UploadId"), value_str(c->in, "UploadId"));
}

int s3_upload_find(struct call *c, const struct s3_bucket *bucket, struct s3_upload *ret_upload,
	str *ret_key, str *ret_id)
{
	str text = value_str(c->in, "UploadId"), bytes;
	uint8_t *id = (uint8_t *)arena_bytes(c->arena, S3_UPLOAD_ID_BYTES);

	TRY(s3_key_check(c, s3_key_of(c)));
	if (text.n != 2 * S3_UPLOAD_ID_BYTES || hex_decode(text, id) < 0)
		return s3_no_such_upload(c);
	*ret_id = str_of(id, S3_UPLOAD_ID_BYTES);
	*ret_key = s3_key_upload(c->arena, bucket->id, s3_key_of(c), *ret_id);
	if (TRY(kv_get(s3_self(c)->kv, *ret_key, c->arena, &bytes)) == 0)
		return s3_no_such_upload(c);
	return s3_upload_decode(c->arena, bytes, ret_upload);
}

int s3_part_number_check(struct call *c, int64_t number)
{
	if (number < 1 || number > S3_LIMIT_PARTS)
		return s3_invalid_argument(c,
			"Part number must be an integer between 1 and 10000, inclusive",
			STR("partNumber"), arena_printf(c->arena, "%lld", (long long)number));
	return 0;
}

/* ---- CreateMultipartUpload ---- */

static const char *const create_members[] = {"ACL", "CacheControl", "ContentDisposition",
	"ContentEncoding", "ContentLanguage", "ContentType", "Expires", "Metadata", "StorageClass",
	"ChecksumAlgorithm", "ChecksumType", NULL};

static int read_checksum(struct call *c, struct s3_upload *u)
{
	str named = value_str(c->in, "ChecksumAlgorithm"), type = value_str(c->in, "ChecksumType");
	bool sha, full = str_eq(type, STR("FULL_OBJECT"));

	if (!named.p && type.p)
		return s3_fault(c, INVALID_REQUEST,
			"The x-amz-checksum-type header can only be used with the "
			"x-amz-checksum-algorithm header.");
	if (!named.p)
		return 0;
	u->algorithm = s3_algorithm_named(named);
	if (u->algorithm == S3_SUM_NONE)
		return s3_fault(c, NOT_IMPLEMENTED,
			"A header you provided implies functionality that is not implemented: "
			"x-amz-checksum-algorithm: %.*s",
			STR_ARG(named));
	sha = u->algorithm == S3_SUM_SHA1 || u->algorithm == S3_SUM_SHA256;
	if ((full && sha) || (type.p && !full && u->algorithm == S3_SUM_CRC64NVME))
		return s3_fault(c, INVALID_REQUEST,
			"The %.*s checksum type cannot be used with the %.*s checksum algorithm.",
			STR_ARG(type), STR_ARG(s3_algorithms[u->algorithm].name));
	u->type = full || u->algorithm == S3_SUM_CRC64NVME ? S3_SUM_FULL : S3_SUM_COMPOSITE;
	return 0;
}

struct create {
	struct call *c;
	str bucket_name, key;
	struct s3_bucket bucket;
	struct s3_upload upload;
};

static int create_txn(struct kv_txn *txn, void *arg)
{
	struct create *t = arg;

	TRY(s3_bucket_hold(t->c, txn, t->bucket_name, &t->bucket));
	kv_txn_put(txn, t->key,
		s3_upload_encode(t->c->arena, record_time_next(rt_wall(), 0), &t->upload));
	return 0;
}

static str new_upload_id(struct call *c, int64_t now_ms)
{
	struct buf id;
	uint8_t random[S3_UPLOAD_ID_BYTES - 8];

	rt_random_bytes(random, sizeof random);
	buf_init(&id, c->arena, S3_UPLOAD_ID_BYTES);
	buf_put_be64(&id, (uint64_t)now_ms); /* so that uploads of a key are in order */
	buf_put(&id, str_of(random, sizeof random));
	return buf_str(&id);
}

int s3_create_multipart_upload(struct call *c)
{
	struct create t = {.c = c, .bucket_name = s3_bucket_of(c)};
	str id;

	TRY(s3_members_check(c, create_members));
	TRY(s3_key_check(c, s3_key_of(c)));
	TRY(s3_bucket_find(c, t.bucket_name, value_str(c->in, "ExpectedBucketOwner"), &t.bucket));
	TRY(s3_headers_read(c, &t.upload.headers));
	TRY(read_checksum(c, &t.upload));
	t.upload.initiated_ms = rt_wall() / RT_NS_MS;
	id = new_upload_id(c, t.upload.initiated_ms);
	t.key = s3_key_upload(c->arena, t.bucket.id, s3_key_of(c), id);
	TRY(kv_run(s3_self(c)->kv, &t.key, 1, create_txn, &t, rt_after_ms(COMMIT_MS)));
	value_put_str(c->out, "Bucket", t.bucket_name);
	value_put_str(c->out, "Key", s3_key_of(c));
	value_put_str(c->out, "UploadId", s3_upload_id_text(c->arena, id));
	if (t.upload.algorithm) {
		value_put_str(c->out, "ChecksumAlgorithm", s3_algorithms[t.upload.algorithm].name);
		value_put_str(c->out, "ChecksumType",
			t.upload.type == S3_SUM_FULL ? STR("FULL_OBJECT") : STR("COMPOSITE"));
	}
	return 0;
}

/* ---- UploadPart ---- */

struct part_txn {
	struct call *c;
	str bucket_name, upload_key, part_key, small;
	const struct s3_bucket *bucket;
	struct s3_part part, old;
	bool replaced;
};

static int part_txn(struct kv_txn *txn, void *arg)
{
	struct part_txn *t = arg;
	struct call *c = t->c;
	str bytes;

	TRY(s3_bucket_hold(c, txn, t->bucket_name, t->bucket));
	if (TRY(kv_txn_get(txn, t->upload_key, c->arena, &bytes)) == 0)
		return s3_no_such_upload(c);
	t->replaced = TRY(kv_txn_get(txn, t->part_key, c->arena, &bytes))
	> 0;
	if (t->replaced) {
		TRY(s3_part_decode(bytes, &t->old));
		s3_blobs_forget(txn, c->arena, &t->old.segment, 1);
	}
	s3_blob_put(txn, c->arena, &t->part.segment, t->small);
	kv_txn_put_covered(txn, t->part_key,
		s3_part_encode(c->arena, record_time_next(rt_wall(), 0), &t->part));
	return 0;
}

int s3_part_write(struct call *c, str bucket_name, const struct s3_bucket *bucket, str upload_key,
	str upload_id, unsigned number, const struct s3_body *body, struct s3_part *ret_part)
{
	struct part_txn t = {.c = c,
		.bucket_name = bucket_name,
		.bucket = bucket,
		.upload_key = upload_key,
		.part_key = s3_key_part(c->arena, upload_id, number),
		.small = body->small,
		.part = {.modified_ms = rt_wall() / RT_NS_MS,
			.bytes = body->segment.bytes,
			.etag = s3_body_etag(c->arena, body),
			.checksum = s3_body_checksum(c->arena, body),
			.segment = body->segment}};
	int rc = kv_run(s3_self(c)->kv, &t.upload_key, 1, part_txn, &t, rt_after_ms(COMMIT_MS));

	if (rc < 0) {
		if (s3_write_undone(rc))
			s3_body_drop(s3_self(c), body);
		return rc;
	}
	if (t.replaced)
		s3_segments_remove(s3_self(c), &t.old.segment, 1);
	*ret_part = t.part;
	return 0;
}

static const char *const part_members[] = {"Body", "ContentLength", "ContentMD5",
	"ChecksumAlgorithm", "ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1",
	"ChecksumSHA256", "PartNumber", "UploadId", NULL};

/* A part's checksum is of the kind that the upload was begun with. */
static int fit_checksum(
	struct call *c, const struct s3_upload *upload, struct s3_integrity *integrity)
{
	if (!upload->algorithm)
		return 0;
	if (integrity->given && integrity->algorithm != upload->algorithm)
		return s3_fault(c, INVALID_REQUEST,
			"Checksum Type mismatch occurred, expected checksum Type: %.*s, actual "
			"checksum Type: %.*s",
			STR_ARG(s3_algorithms[upload->algorithm].name),
			STR_ARG(s3_algorithms[integrity->algorithm].name));
	integrity->algorithm = (enum s3_algorithm)upload->algorithm;
	return 0;
}

int s3_upload_part(struct call *c)
{
	int64_t number = value_int(c->in, "PartNumber", 0);
	str name = s3_bucket_of(c), upload_key, upload_id;
	struct s3_integrity integrity;
	struct s3_bucket bucket;
	struct s3_upload upload;
	struct s3_body body;
	struct s3_part part;

	TRY(s3_members_check(c, part_members));
	TRY(s3_part_number_check(c, number));
	TRY(s3_bucket_find(c, name, value_str(c->in, "ExpectedBucketOwner"), &bucket));
	TRY(s3_upload_find(c, &bucket, &upload, &upload_key, &upload_id));
	TRY(s3_integrity_read(c, &integrity));
	TRY(fit_checksum(c, &upload, &integrity));
	TRY(s3_body_receive(c, &integrity, &body));
	TRY(s3_part_write(c, name, &bucket, upload_key, upload_id, (unsigned)number, &body, &part));
	value_put_str(c->out, "ETag", s3_quoted(c->arena, part.etag));
	if (part.checksum.algorithm)
		value_put_str(
			c->out, s3_algorithms[part.checksum.algorithm].member, part.checksum.value);
	return 0;
}

/* ---- CompleteMultipartUpload ---- */

static const char *const complete_members[] = {"MultipartUpload", "UploadId", "ChecksumCRC32",
	"ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256", "ChecksumType",
	"MpuObjectSize", "IfMatch", "IfNoneMatch", NULL};

static int invalid_part(struct call *c, const struct value *named)
{
	int rc = s3_detail(c, s3_fault(c, INVALID_PART, S3_INVALID_PART_TEXT), STR("UploadId"),
		value_str(c->in, "UploadId"));

	rc = s3_detail_int(c, rc, STR("PartNumber"), value_int(named, "PartNumber", 0));
	return s3_detail(c, rc, STR("ETag"), value_str(named, "ETag"));
}

static int too_small(struct call *c, int64_t number, const struct s3_part *part)
{
	int rc = s3_fault(c, ENTITY_TOO_SMALL,
		"Your proposed upload is smaller than the minimum allowed size");

	rc = s3_detail_int(c, rc, STR("ProposedSize"), (int64_t)part->bytes);
	rc = s3_detail_int(c, rc, STR("MinSizeAllowed"), S3_LIMIT_PART_BYTES_MIN);
	rc = s3_detail_int(c, rc, STR("PartNumber"), number);
	return s3_detail(c, rc, STR("ETag"), part->etag);
}

struct assembly {
	struct call *c;
	const struct s3_upload *upload;
	struct s3_object *object;
	struct md5 md5s;
	struct s3_joiner joiner;
	bool joined; /* every part so far has a checksum of the same algorithm */
};

/* The part as it was named fits what was uploaded. */
static int check_named(struct assembly *t, const struct value *named, const struct s3_part *part)
{
	str etag = value_str(named, "ETag");

	if (!etag.p || !s3_etag_is(etag, part->etag))
		return invalid_part(t->c, named);
	for (unsigned i = S3_SUM_NONE + 1; i < S3_SUM_END_; i++) {
		str sum = value_str(named, s3_algorithms[i].member);

		if (sum.p && (part->checksum.algorithm != i || !str_eq(sum, part->checksum.value)))
			return invalid_part(t->c, named);
	}
	return 0;
}

static int add_part(struct assembly *t, const struct value *named, bool last, str upload_id)
{
	struct call *c = t->c;
	int64_t number = value_int(named, "PartNumber", 0);
	struct s3_part part;
	uint8_t md5[MD5_BYTES];
	str bytes;

	if (number < 1 || number > S3_LIMIT_PARTS ||
		TRY(kv_get(s3_self(c)->kv, s3_key_part(c->arena, upload_id, (unsigned)number),
			c->arena, &bytes)) == 0)
		return invalid_part(c, named);
	TRY(s3_part_decode(bytes, &part));
	TRY(check_named(t, named, &part));
	if (!last && part.bytes < S3_LIMIT_PART_BYTES_MIN)
		return too_small(c, number, &part);
	if (hex_decode(part.etag, md5) < 0)
		return ERR_CORRUPT;
	md5_add(&t->md5s, str_of(md5, sizeof md5));
	t->joined = t->joined && part.checksum.algorithm == t->joiner.algorithm;
	if (t->joined)
		TRY(s3_joiner_add(&t->joiner, part.checksum.value, part.bytes));
	t->object->bytes += part.bytes;
	t->object->segments[t->object->segment_count++] = part.segment;
	return 0;
}

static int add_parts(struct assembly *t, str upload_id)
{
	struct call *c = t->c;
	const struct value *parts = value_get(value_get(c->in, "MultipartUpload"), "Parts");
	uint32_t count = value_count(parts);
	int64_t before = 0;

	if (count == 0)
		return s3_fault(c, MALFORMED_XML,
			"The XML you provided was not well-formed or did not validate against our "
			"published schema");
	if (count > S3_LIMIT_PARTS)
		return s3_fault(c, INVALID_ARGUMENT, "More than %d parts", (int)S3_LIMIT_PARTS);
	for (uint32_t i = 0; i < count; i++) {
		int64_t number = value_int(value_at(parts, i), "PartNumber", 0);

		if (number <= before)
			return s3_detail(c,
				s3_fault(c, INVALID_PART_ORDER,
					"The list of parts was not in ascending order. Parts must "
					"be ordered by part number."),
				STR("UploadId"), value_str(c->in, "UploadId"));
		before = number;
	}
	t->object->segments = arena_new_array(c->arena, struct s3_segment, count);
	for (uint32_t i = 0; i < count; i++)
		TRY(add_part(t, value_at(parts, i), i + 1 == count, upload_id));
	t->object->parts = count;
	return 0;
}

static void put_etag(struct assembly *t)
{
	uint8_t md5[MD5_BYTES];
	char hex[2 * MD5_BYTES];

	md5_finish(&t->md5s, md5);
	hex_encode(md5, sizeof md5, hex);
	t->object->etag =
		arena_printf(t->c->arena, "%.*s-%u", (int)sizeof hex, hex, t->object->parts);
}

/* The checksum of the whole, which the client may have said too. */
static int put_checksum(struct assembly *t)
{
	struct call *c = t->c;
	struct s3_checksum sum = {
		.algorithm = (uint8_t)t->joiner.algorithm, .type = (uint8_t)t->joiner.type};
	str type = value_str(c->in, "ChecksumType"), given;

	if (!t->joined)
		return 0;
	if (type.p && str_eq(type, STR("FULL_OBJECT")) != (sum.type == S3_SUM_FULL))
		return s3_fault(c, INVALID_REQUEST,
			"The upload was created using the %s checksum mode. The complete request "
			"must use the same checksum mode.",
			sum.type == S3_SUM_FULL ? "FULL_OBJECT" : "COMPOSITE");
	sum.value = s3_joiner_finish(&t->joiner, c->arena);
	given = value_str(c->in, s3_algorithms[sum.algorithm].member);
	if (given.p && !str_eq(given, sum.value))
		return s3_fault(c, BAD_DIGEST,
			"The %.*s you specified did not match the calculated checksum.",
			STR_ARG(s3_algorithms[sum.algorithm].name));
	t->object->checksum = sum;
	return 0;
}

static int check_size(struct call *c, const struct s3_object *o)
{
	int64_t size = value_int(c->in, "MpuObjectSize", (int64_t)o->bytes);

	if ((uint64_t)size != o->bytes)
		return s3_fault(c, INVALID_REQUEST,
			"The provided 'x-amz-mp-object-size' header value %lld does not match what "
			"was computed: %llu",
			(long long)size, (unsigned long long)o->bytes);
	return 0;
}

static void put_answer(struct call *c, const struct s3_object *o)
{
	value_put_str(c->out, "Location",
		ARENA_CONCAT(c->arena, STR("http://"), call_header_get(c, STR("host")), STR("/"),
			s3_bucket_of(c), STR("/"), s3_key_of(c)));
	value_put_str(c->out, "Bucket", s3_bucket_of(c));
	value_put_str(c->out, "Key", s3_key_of(c));
	value_put_str(c->out, "ETag", s3_quoted(c->arena, o->etag));
	s3_checksum_write(c->out, &o->checksum);
}

int s3_complete_multipart_upload(struct call *c)
{
	struct s3_write w = {.bucket_name = s3_bucket_of(c), .key = s3_key_of(c)};
	struct s3_upload upload;
	struct assembly t = {.c = c, .upload = &upload, .object = &w.object, .joined = true};

	TRY(s3_members_check(c, complete_members));
	TRY(s3_document_check(c));
	TRY(s3_bucket_find(c, w.bucket_name, value_str(c->in, "ExpectedBucketOwner"), &w.bucket));
	TRY(s3_write_conditions_read(c, &w.conditions));
	TRY(s3_upload_find(c, &w.bucket, &upload, &w.upload_key, &w.upload_id));
	md5_init(&t.md5s);
	/* Nothing said at the beginning: CRC64NVME of the whole, as for PutObject. */
	s3_joiner_init(&t.joiner, &s3_self(c)->crc,
		upload.algorithm ? (enum s3_algorithm)upload.algorithm : S3_SUM_CRC64NVME,
		upload.algorithm ? (enum s3_sum_type)upload.type : S3_SUM_FULL);
	TRY(add_parts(&t, w.upload_id));
	TRY(check_size(c, &w.object));
	put_etag(&t);
	TRY(put_checksum(&t));
	w.object.headers = upload.headers;
	w.object.modified_ms = rt_wall() / RT_NS_MS;
	TRY(s3_object_write(c, &w));
	put_answer(c, &w.object);
	return 0;
}

/* ---- AbortMultipartUpload ---- */

struct abort_txn {
	struct call *c;
	str upload_key, upload_id;
	struct s3_segment *gone;
	uint32_t count;
};

static int abort_txn(struct kv_txn *txn, void *arg)
{
	struct abort_txn *t = arg;
	struct arena *a = t->c->arena;
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	str prefix = s3_key_parts(a, t->upload_id), key, value;
	const struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(a, prefix)};

	t->count = 0;
	if (TRY(kv_txn_get(txn, t->upload_key, a, &value)) == 0)
		return s3_no_such_upload(t->c);
	TRY(kv_txn_scan(txn, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value)) > 0) {
		struct s3_part part;

		TRY(s3_part_decode(value, &part));
		check(t->count < S3_LIMIT_PARTS);
		t->gone[t->count++] = part.segment;
		kv_txn_delete_covered(txn, arena_str(a, key));
	}
	s3_blobs_forget(txn, a, t->gone, t->count);
	kv_txn_delete(txn, t->upload_key);
	return 0;
}

static int abort_upload(struct call *c, str key, str id)
{
	/* Not of the request's arena: a bucket may have many uploads. */
	struct s3_segment *gone cleanup(mem_free_p) =
		mem_new_array(struct s3_segment, (size_t)S3_LIMIT_PARTS);
	struct abort_txn t = {.c = c, .upload_key = key, .upload_id = id, .gone = gone};

	TRY(kv_run(s3_self(c)->kv, &t.upload_key, 1, abort_txn, &t, rt_after_ms(COMMIT_MS)));
	for (uint32_t i = 0; i < t.count; i++) /* each is a body of its own: nobody pins it */
		s3_segments_remove(s3_self(c), &t.gone[i], 1);
	return 0;
}

int s3_abort_multipart_upload(struct call *c)
{
	static const char *const members[] = {"UploadId", NULL};
	struct s3_bucket bucket;
	struct s3_upload upload;
	str key, id;

	TRY(s3_members_check(c, members));
	TRY(s3_bucket_find(c, s3_bucket_of(c), value_str(c->in, "ExpectedBucketOwner"), &bucket));
	TRY(s3_upload_find(c, &bucket, &upload, &key, &id));
	return abort_upload(c, key, id);
}

/* The first uploads of a bucket: how many. */
static int some_uploads(struct call *c, const struct s3_bucket *bucket, str *ret_keys)
{
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	str prefix = s3_key_upload(c->arena, bucket->id, STR_NULL, STR("")), key, value;
	const struct kv_range range = {
		.from = prefix, .to = keyspace_prefix_end(c->arena, prefix), .limit = DROP_BATCH};
	int count = 0;

	TRY(kv_scan_open(s3_self(c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value)) > 0)
		ret_keys[count++] = arena_str(c->arena, key);
	return count;
}

int s3_uploads_drop(struct call *c, const struct s3_bucket *bucket)
{
	str keys[DROP_BATCH];
	int count;

	while ((count = TRY(some_uploads(c, bucket, keys))) > 0) {
		for (int i = 0; i < count; i++) {
			str id = str_from(keys[i], keys[i].n - S3_UPLOAD_ID_BYTES);
			int rc = abort_upload(c, keys[i], id);

			if (rc < 0 && rc != ERR_FAULT) /* a fault: somebody else has ended it */
				return rc;
		}
		if (arena_over(c->arena))
			return ERR_BUDGET;
	}
	return 0;
}
