/*
 * What a client says of a body (service.h): Content-MD5, one checksum as header or trailer.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
 */
#include "services/s3/checksum.h"
#include "services/s3/service.h"

/* DeleteObjects takes them without having members for them. */
static str header_of(struct call *c, const struct s3_algorithm_name *algorithm)
{
	if (model_member(c->service->model, c->in->shape, str_c(algorithm->member)) >= 0)
		return value_str(c->in, algorithm->member);
	return call_header_get(c, algorithm->header);
}

/* All checksum headers of the request that we know; more than one is refused. */
static int read_headers(struct call *c, struct s3_integrity *i)
{
	uint8_t sum[S3_SUM_BYTES_MAX];

	for (unsigned at = S3_SUM_NONE + 1; at < S3_SUM_END_; at++) {
		const struct s3_algorithm_name *algorithm = &s3_algorithms[at];
		str value = header_of(c, algorithm);

		if (!value.p)
			continue;
		if (i->given)
			return s3_fault(c, INVALID_REQUEST,
				"Expecting a single x-amz-checksum- header. Multiple checksum "
				"Types are not allowed.");
		if (s3_sum_decode(value, algorithm->bytes, sum) < 0)
			return s3_fault(c, INVALID_REQUEST, "Value for %.*s header is invalid.",
				STR_ARG(algorithm->header));
		i->given = true;
		i->algorithm = (enum s3_algorithm)at;
		i->value = value;
	}
	return 0;
}

static int read_trailer(struct call *c, struct s3_integrity *i)
{
	str trailer = call_header_get(c, STR("x-amz-trailer"));

	if (!trailer.p)
		return 0;
	if (i->given)
		return s3_fault(c, INVALID_REQUEST,
			"Expecting a single x-amz-checksum- header. Multiple checksum Types are "
			"not allowed.");
	i->algorithm = s3_algorithm_of_header(trailer);
	if (i->algorithm == S3_SUM_NONE)
		return s3_fault(c, INVALID_REQUEST,
			"The value specified in the x-amz-trailer header is not supported: %.*s",
			(int)MIN(trailer.n, (size_t)128), trailer.p);
	i->given = i->in_trailer = true;
	return 0;
}

static int read_md5(struct call *c, struct s3_integrity *i)
{
	str md5 = call_header_get(c, STR("content-md5"));

	if (!md5.p)
		return 0;
	if (s3_sum_decode(md5, MD5_BYTES, i->md5) < 0)
		return s3_detail(c,
			s3_fault(c, INVALID_DIGEST, "The Content-MD5 you specified was invalid."),
			STR("Content-MD5"), md5);
	i->has_md5 = true;
	return 0;
}

int s3_bad_md5(
	struct call *c, const uint8_t expected[MD5_BYTES], const uint8_t calculated[MD5_BYTES])
{
	char *hex = arena_bytes(c->arena, 2 * MD5_BYTES);
	struct buf base64;
	int rc = s3_fault(
		c, BAD_DIGEST, "The Content-MD5 you specified did not match what we received.");

	hex_encode(expected, MD5_BYTES, hex);
	buf_init(&base64, c->arena, 64);
	base64_put(&base64, str_of(calculated, MD5_BYTES));
	rc = s3_detail(c, rc, STR("ExpectedDigest"), str_of(hex, 2 * MD5_BYTES));
	return s3_detail(c, rc, STR("CalculatedDigest"), buf_str(&base64));
}

int s3_integrity_read(struct call *c, struct s3_integrity *ret)
{
	struct s3_integrity i = {.algorithm = S3_SUM_CRC64NVME, .value = STR_NULL};
	str named = value_str(c->in, "ChecksumAlgorithm");

	TRY(read_md5(c, &i));
	TRY(read_headers(c, &i));
	TRY(read_trailer(c, &i));
	if (named.p && s3_algorithm_named(named) == S3_SUM_NONE)
		return s3_fault(c, NOT_IMPLEMENTED,
			"A header you provided implies functionality that is not implemented: "
			"x-amz-sdk-checksum-algorithm: %.*s",
			STR_ARG(named));
	if (named.p && !i.given && c->request)
		return s3_fault(c, INVALID_REQUEST,
			"x-amz-sdk-checksum-algorithm specified, but no corresponding "
			"x-amz-checksum-* or x-amz-trailer headers were found.");
	if (named.p && i.given && s3_algorithm_named(named) != i.algorithm)
		return s3_fault(c, INVALID_REQUEST,
			"Value for x-amz-sdk-checksum-algorithm header is invalid.");
	*ret = i;
	return 0;
}

int s3_document_check(struct call *c)
{
	struct s3_integrity i = {.has_md5 = false};
	uint8_t md5[MD5_BYTES];

	TRY(read_md5(c, &i));
	md5_of(c->body, md5);
	if (i.has_md5 && memcmp(i.md5, md5, sizeof md5) != 0)
		return s3_bad_md5(c, i.md5, md5);
	return 0;
}
