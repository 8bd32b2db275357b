/*
 * See checksum.h.
 */
#include "services/s3/checksum.h"

#include "base/check.h"

const struct s3_algorithm_name s3_algorithms[S3_SUM_END_] = {
	[S3_SUM_NONE] = {STR_INIT(""), "", STR_INIT(""), 0},
	[S3_SUM_CRC32] = {STR_INIT("CRC32"), "ChecksumCRC32", STR_INIT("x-amz-checksum-crc32"), 4},
	[S3_SUM_CRC32C] = {STR_INIT("CRC32C"), "ChecksumCRC32C", STR_INIT("x-amz-checksum-crc32c"),
		4},
	[S3_SUM_CRC64NVME] = {STR_INIT("CRC64NVME"), "ChecksumCRC64NVME",
		STR_INIT("x-amz-checksum-crc64nvme"), 8},
	[S3_SUM_SHA1] = {STR_INIT("SHA1"), "ChecksumSHA1", STR_INIT("x-amz-checksum-sha1"),
		SHA1_BYTES},
	[S3_SUM_SHA256] = {STR_INIT("SHA256"), "ChecksumSHA256", STR_INIT("x-amz-checksum-sha256"),
		SHA256_BYTES},
};

enum s3_algorithm s3_algorithm_named(str name)
{
	for (unsigned i = S3_SUM_NONE + 1; i < S3_SUM_END_; i++)
		if (str_eq_nocase(s3_algorithms[i].name, name))
			return (enum s3_algorithm)i;
	return S3_SUM_NONE;
}

enum s3_algorithm s3_algorithm_of_header(str header)
{
	for (unsigned i = S3_SUM_NONE + 1; i < S3_SUM_END_; i++)
		if (str_eq_nocase(s3_algorithms[i].header, header))
			return (enum s3_algorithm)i;
	return S3_SUM_NONE;
}

/* ---- of a body ---- */

void s3_hasher_init(
	struct s3_hasher *h, const struct crc_tables *tables, enum s3_algorithm algorithm)
{
	*h = (struct s3_hasher){.tables = tables, .algorithm = algorithm};
	md5_init(&h->md5);
	if (algorithm == S3_SUM_SHA1)
		sha1_init(&h->sha1);
	if (algorithm == S3_SUM_SHA256)
		sha256_init(&h->sha256);
}

static void add_sum(struct s3_hasher *h, str bytes)
{
	switch (h->algorithm) {
	case S3_SUM_CRC32: h->crc = crc32_add((uint32_t)h->crc, bytes); break;
	case S3_SUM_CRC32C: h->crc = crc32c_add(h->tables, (uint32_t)h->crc, bytes); break;
	case S3_SUM_CRC64NVME: h->crc = crc64nvme_add(h->tables, h->crc, bytes); break;
	case S3_SUM_SHA1: sha1_add(&h->sha1, bytes); break;
	case S3_SUM_SHA256: sha256_add(&h->sha256, bytes); break;
	case S3_SUM_NONE:
	case S3_SUM_END_: break;
	}
}

void s3_hasher_add(struct s3_hasher *h, str bytes)
{
	md5_add(&h->md5, bytes);
	add_sum(h, bytes);
}

static void put_be(uint8_t *to, uint64_t v, size_t bytes)
{
	while (bytes-- > 0) {
		to[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

static void finish_sum(struct s3_hasher *h, uint8_t *ret_sum)
{
	if (h->algorithm == S3_SUM_SHA1)
		sha1_finish(&h->sha1, ret_sum);
	else if (h->algorithm == S3_SUM_SHA256)
		sha256_finish(&h->sha256, ret_sum);
	else
		put_be(ret_sum, h->crc, s3_algorithms[h->algorithm].bytes);
}

void s3_hasher_finish(
	struct s3_hasher *h, uint8_t ret_md5[MD5_BYTES], uint8_t ret_sum[S3_SUM_BYTES_MAX])
{
	md5_finish(&h->md5, ret_md5);
	finish_sum(h, ret_sum);
}

/* ---- of parts ---- */

void s3_joiner_init(struct s3_joiner *j, const struct crc_tables *tables,
	enum s3_algorithm algorithm, enum s3_sum_type type)
{
	*j = (struct s3_joiner){.algorithm = algorithm, .type = type, .tables = tables};
	s3_hasher_init(&j->hasher, tables, algorithm);
}

int s3_sum_decode(str value, size_t bytes, uint8_t *ret_bytes)
{
	uint8_t decoded[(S3_SUM_BYTES_MAX + 4) / 3 * 3 + 3];
	size_t n;

	if (value.n != base64_text_bytes(bytes) || base64_decode(value, decoded, &n) < 0 ||
		n != bytes)
		return ERR_SYNTAX;
	memcpy(ret_bytes, decoded, n);
	return 0;
}

static uint64_t get_be(const uint8_t *from, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | from[i];
	return v;
}

static uint64_t join(enum s3_algorithm algorithm, uint64_t a, uint64_t b, uint64_t bytes)
{
	switch (algorithm) {
	case S3_SUM_CRC32: return crc32_join((uint32_t)a, (uint32_t)b, bytes);
	case S3_SUM_CRC32C: return crc32c_join((uint32_t)a, (uint32_t)b, bytes);
	case S3_SUM_CRC64NVME: return crc64nvme_join(a, b, bytes);
	default: check_unreachable(); /* refused when the upload began */
	}
}

int s3_joiner_add(struct s3_joiner *j, str value, uint64_t bytes)
{
	uint8_t sum[S3_SUM_BYTES_MAX];
	size_t n = s3_algorithms[j->algorithm].bytes;

	if (s3_sum_decode(value, n, sum) < 0)
		return ERR_CORRUPT;
	j->parts++;
	if (j->type == S3_SUM_COMPOSITE)
		add_sum(&j->hasher, str_of(sum, n));
	else
		j->crc = join(j->algorithm, j->crc, get_be(sum, n), bytes);
	return 0;
}

str s3_joiner_finish(struct s3_joiner *j, struct arena *a)
{
	uint8_t sum[S3_SUM_BYTES_MAX];
	size_t n = s3_algorithms[j->algorithm].bytes;
	struct buf out;

	buf_init(&out, a, 128);
	if (j->type == S3_SUM_COMPOSITE)
		finish_sum(&j->hasher, sum);
	else
		put_be(sum, j->crc, n);
	base64_put(&out, str_of(sum, n));
	if (j->type == S3_SUM_COMPOSITE)
		buf_printf(&out, "-%u", j->parts);
	return buf_str(&out);
}
