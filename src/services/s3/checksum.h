/*
 * Checksums of objects: which a request names, computing them beside the MD5, and those of objects
 * made of parts. Pure.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
 */
#ifndef SERVICES_S3_CHECKSUM_H
#define SERVICES_S3_CHECKSUM_H

#include "base/crc.h"
#include "base/hash.h"
#include "services/s3/record.h"

enum { S3_SUM_BYTES_MAX = SHA256_BYTES };

struct s3_algorithm_name {
	str name;           /* "CRC32" */
	const char *member; /* "ChecksumCRC32" */
	str header;         /* "x-amz-checksum-crc32" */
	uint8_t bytes;
};
/* By enum s3_algorithm; the first one is empty. */
extern const struct s3_algorithm_name s3_algorithms[S3_SUM_END_];
/* By its name ("CRC32"), or its header's; S3_SUM_NONE: none of ours. */
enum s3_algorithm s3_algorithm_named(str name);
enum s3_algorithm s3_algorithm_of_header(str header);

/* The MD5 and one checksum of a body, as its bytes come. */
struct s3_hasher {
	const struct crc_tables *tables;
	enum s3_algorithm algorithm;
	struct md5 md5;
	uint64_t crc;
	union {
		struct sha1 sha1;
		struct sha256 sha256;
	};
};
void s3_hasher_init(
	struct s3_hasher *h, const struct crc_tables *tables, enum s3_algorithm algorithm);
void s3_hasher_add(struct s3_hasher *h, str bytes);
/* `ret_sum` has s3_algorithms[].bytes; untouched without an algorithm. */
void s3_hasher_finish(
	struct s3_hasher *h, uint8_t ret_md5[MD5_BYTES], uint8_t ret_sum[S3_SUM_BYTES_MAX]);

/* The checksum of an object from those of its parts, in order. */
struct s3_joiner {
	enum s3_algorithm algorithm;
	enum s3_sum_type type;
	const struct crc_tables *tables;
	struct s3_hasher hasher; /* composite */
	uint64_t crc;            /* full */
	uint32_t parts;
};
void s3_joiner_init(struct s3_joiner *j, const struct crc_tables *tables,
	enum s3_algorithm algorithm, enum s3_sum_type type);
/* ERR_CORRUPT when the value is not a checksum of that algorithm. */
must_use int s3_joiner_add(struct s3_joiner *j, str value, uint64_t bytes);
/* In the arena: base64, and "-<parts>" of a composite one. */
str s3_joiner_finish(struct s3_joiner *j, struct arena *a);

/* Decodes a value: 0, ERR_SYNTAX when it is not `bytes` long in base64. */
must_use int s3_sum_decode(str value, size_t bytes, uint8_t *ret_bytes);

#endif
