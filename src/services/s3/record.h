/*
 * What S3 keeps about buckets, objects, uploads and their parts, and its stored form.
 *
 * Form: the record header of kv/record.h, a version byte (1), then the fields in their order:
 * numbers as LEB128, texts with their length in front. Another version is refused, not guessed.
 *
 * Pure. Texts of what was decoded point into the bytes.
 */
#ifndef SERVICES_S3_RECORD_H
#define SERVICES_S3_RECORD_H

#include "base/buf.h"
#include "blob/blob.h"
#include "kv/record.h"

enum { S3_RECORD_BYTES_MAX = 1 << 20 };

struct s3_bucket {
	str account, region;
	uint64_t id; /* never used again: keys of its objects begin with it */
	int64_t created_ms;
	/* The run of the server in which it is being deleted; 0, or another one: it is not. */
	uint64_t deleting;
};

struct s3_pair {
	str name, value;
};

/* What is said of an object beside its body. STR_NULL: it was not said. */
struct s3_headers {
	str content_type, cache_control, content_disposition, content_encoding, content_language,
		expires;
	struct s3_pair *metadata; /* names without x-amz-meta- */
	uint32_t metadata_count;
};

enum s3_algorithm {
	S3_SUM_NONE,
	S3_SUM_CRC32,
	S3_SUM_CRC32C,
	S3_SUM_CRC64NVME,
	S3_SUM_SHA1,
	S3_SUM_SHA256,
	S3_SUM_END_
};
enum s3_sum_type { S3_SUM_FULL, S3_SUM_COMPOSITE };

struct s3_checksum {
	uint8_t algorithm, type; /* enum s3_algorithm, enum s3_sum_type */
	str value;               /* base64; of a composite one with "-<parts>" */
};

/* A piece of a body: a file, or bytes in the store under the same id. */
struct s3_segment {
	struct blob_id id;
	uint64_t bytes;
	bool in_store;
};

struct s3_object {
	uint64_t time; /* of the record: rises with each version of a key */
	int64_t modified_ms;
	uint64_t bytes;
	str etag; /* without quotation marks */
	struct s3_headers headers;
	struct s3_checksum checksum;
	uint32_t parts; /* of a multipart upload; 0: it was none */
	struct s3_segment *segments;
	uint32_t segment_count;
};

struct s3_upload {
	int64_t initiated_ms;
	struct s3_headers headers;
	uint8_t algorithm, type; /* S3_SUM_NONE: the client did not say */
};

struct s3_part {
	int64_t modified_ms;
	uint64_t bytes;
	str etag;
	struct s3_checksum checksum;
	struct s3_segment segment;
};

/* The bytes, in the arena. `time` is the record's (record_time_next()). */
str s3_bucket_encode(struct arena *a, uint64_t time, const struct s3_bucket *b);
str s3_object_encode(struct arena *a, const struct s3_object *o);
str s3_upload_encode(struct arena *a, uint64_t time, const struct s3_upload *u);
str s3_part_encode(struct arena *a, uint64_t time, const struct s3_part *p);
/* ERR_CORRUPT, ERR_VERSION. */
must_use int s3_bucket_decode(str bytes, struct s3_bucket *ret);
must_use int s3_object_decode(struct arena *a, str bytes, struct s3_object *ret);
must_use int s3_upload_decode(struct arena *a, str bytes, struct s3_upload *ret);
must_use int s3_part_decode(str bytes, struct s3_part *ret);

#endif
