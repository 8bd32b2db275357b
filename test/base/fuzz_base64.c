/*
 * Base64 in both alphabets: each accepted text is the one that its value encodes to.
 */
#include "base/check.h"
#include "base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	str in = str_of(data, n);
	struct buf out;
	uint8_t *bytes;
	size_t got;

	arena_init(&a, SIZE_MAX);
	bytes = arena_alloc(&a, base64_bytes_max(n));
	buf_init(&out, &a, 2 * n + 4);
	if (base64_decode(in, bytes, &got) == 0) {
		base64_put(&out, str_of(bytes, got));
		check(str_eq(in, buf_str(&out)));
	}
	buf_reset(&out);
	if (base64url_decode(in, bytes, &got) == 0) {
		base64url_put(&out, str_of(bytes, got));
		check(str_eq(in, buf_str(&out)));
	}
	buf_reset(&out);
	base64_put(&out, in);
	bytes = arena_alloc(&a, base64_bytes_max(out.n));
	check(!out.over && base64_decode(buf_str(&out), bytes, &got) == 0);
	check(str_eq(in, str_of(bytes, got)));
	return 0;
}
