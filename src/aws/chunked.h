/*
 * The aws-chunked form of a body: chunks with their size, and their signature where the request was
 * signed that way, and trailers behind the last one.
 *
 *     10000;chunk-signature=<64 hex>\r\n <65,536 bytes> \r\n ... 0;chunk-signature=<...>\r\n
 *     x-amz-checksum-crc32c:sOO8/Q==\r\n x-amz-trailer-signature:<64 hex>\r\n \r\n
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
 *
 * Pure: a state that takes bytes as they come. A chunk's data is given out before its signature can
 * be verified, so nothing counts before the end. Bounded: a line, and all trailers together, have a
 * maximum. One owner at a time.
 */
#ifndef AWS_CHUNKED_H
#define AWS_CHUNKED_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/rc.h"

enum { CHUNKED_LINE_MAX = 1024, CHUNKED_TRAILERS_MAX = 4096, CHUNKED_SIGNATURE_BYTES = 64 };

struct chunked_options {
	bool is_signed;   /* chunks carry signatures (STREAMING-AWS4-HMAC-SHA256-PAYLOAD...) */
	bool has_trailer; /* ...-TRAILER */
	/* What verifies them; NULL: the signer's secret is not known, and they are not looked at.
	 */
	const struct hmac_key *key;
	str timestamp, scope; /* of the request's signature */
	str seed;             /* the request's signature: 64 hex digits */
};

struct chunked {
	struct chunked_options options;
	enum chunked_state {
		CHUNKED_SIZE, /* in the line with a size */
		CHUNKED_DATA,
		CHUNKED_DATA_CR, /* the line's end behind the data */
		CHUNKED_DATA_LF,
		CHUNKED_TRAILER, /* in a line behind the last chunk */
		CHUNKED_END
	} state;
	uint64_t left; /* of the chunk's data */
	struct sha256 hash;
	char signature[CHUNKED_SIGNATURE_BYTES]; /* of this chunk, as sent */
	char before[CHUNKED_SIGNATURE_BYTES];    /* of the one before it */
	char line[CHUNKED_LINE_MAX];
	size_t line_n;
	char trailers[CHUNKED_TRAILERS_MAX]; /* "name:value\n", in the order sent */
	size_t trailers_n;
	bool trailer_signed;
};

/* The strings of the options are borrowed for the state's life. */
void chunked_init(struct chunked *c, const struct chunked_options *options);
/*
 * Takes bytes from the front of *in and copies data from them to `to` (at most `n` bytes): how
 * many. 0: *in is used up, or the end was reached (chunked_ended()); what stands behind the end
 * stays in *in. ERR_SYNTAX: malformed; ERR_INVALID: a signature is not right.
 */
must_use int chunked_read(struct chunked *c, str *in, void *to, size_t n);
static inline bool chunked_ended(const struct chunked *c)
{
	return c->state == CHUNKED_END;
}
/* The value of a trailer, after the end; STR_NULL. */
str chunked_trailer(const struct chunked *c, str name);

#endif
