/*
 * aws-chunked in pieces of any size. The first byte chooses the form and the size of the pieces;
 * what comes out never is more than what went in, and the same whatever the pieces are.
 */
#include "aws/chunked.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int run(struct arena *a, const struct chunked_options *options, str in, size_t piece,
	struct buf *out)
{
	struct chunked *c = arena_new(a, struct chunked);
	char to[300];
	int rc;

	chunked_init(c, options);
	while (in.n && !chunked_ended(c)) {
		str now = str_sub(in, 0, piece);
		size_t given = now.n;

		do {
			rc = chunked_read(c, &now, to, sizeof to);
			if (rc < 0)
				return rc;
			buf_put(out, str_of(to, (size_t)rc));
		} while (rc > 0 || (now.n && !chunked_ended(c)));
		in = str_from(in, given - now.n);
	}
	(void)chunked_trailer(c, STR("x-amz-checksum-crc32"));
	return chunked_ended(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct chunked_options options = {.timestamp = STR("20130524T000000Z"),
		.scope = STR("20130524/us-east-1/s3/aws4_request"),
		.seed = STR("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")};
	struct hmac_key key;
	struct buf one, other;
	struct arena a;
	str in;
	int first, second;

	if (n == 0)
		return 0;
	options.is_signed = data[0] & 1;
	options.has_trailer = data[0] & 2;
	hmac_key_init(&key, STR("nobody knows"));
	if (data[0] & 4)
		options.key = &key;
	in = str_of(data + 1, n - 1);
	arena_init(&a, SIZE_MAX);
	buf_init(&one, &a, n);
	buf_init(&other, &a, n);
	first = run(&a, &options, in, 1 + data[0] / 8, &one);
	second = run(&a, &options, in, n, &other);
	check(!one.over && !other.over && first == second);
	check(first < 0 || str_eq(buf_str(&one), buf_str(&other)));
	/* with a key that nobody has, no chunk with a signature is right */
	check(!(options.key && options.is_signed) || first <= 0);
	arena_done(&a);
	return 0;
}
