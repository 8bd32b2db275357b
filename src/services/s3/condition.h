/*
 * Conditions of requests (If-Match ...) and ranges of bytes. Pure.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html, RFC 9110 13, 14.
 */
#ifndef SERVICES_S3_CONDITION_H
#define SERVICES_S3_CONDITION_H

#include "base/str.h"

#include <stdbool.h>

struct s3_conditions {
	str if_match, if_none_match; /* STR_NULL: not given */
	int64_t modified_since_ms, unmodified_since_ms;
	bool has_modified_since, has_unmodified_since;
};

enum s3_verdict { S3_GO_ON, S3_FAILED, S3_NOT_MODIFIED };

/* For a read of an object of that ETag (without quotation marks) and time. */
enum s3_verdict s3_conditions_check(
	const struct s3_conditions *conditions, str etag, int64_t modified_ms);
/* Is it that ETag, with quotation marks or without? */
bool s3_etag_is(str given, str etag);
/* Is the ETag one of the list? "*" is any. */
bool s3_etag_matches(str list, str etag);

enum s3_range_kind { S3_RANGE_ALL, S3_RANGE_PART, S3_RANGE_OUTSIDE };
/*
 * "bytes=0-99", "bytes=100-", "bytes=-5" of a body of `bytes`. What is not one range in that form
 * is all of it, as RFC 9110 has it. A part is at least one byte.
 */
enum s3_range_kind s3_range_parse(str range, uint64_t bytes, uint64_t *ret_from, uint64_t *ret_n);

#endif
