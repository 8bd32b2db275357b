/*
 * gzip with libdeflate; see gzip.h.
 */
#include "base/gzip.h"

#include "base/check.h"
#include "base/rc.h"

#include <libdeflate.h>

enum { HEAD_AND_TAIL_BYTES = 18, LEVEL = 1 };

/* The size that the last four bytes claim. */
static size_t claimed_bytes(str in)
{
	const unsigned char *p = (const unsigned char *)in.p + in.n - 4;

	return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

int gzip_unpack(struct arena *a, str in, size_t max, str *ret_text)
{
	struct libdeflate_decompressor *d;
	enum libdeflate_result result;
	size_t n, taken = 0, given = 0;
	char *text;

	if (in.n < HEAD_AND_TAIL_BYTES || !str_starts(in, STR("\x1f\x8b")))
		return ERR_SYNTAX;
	n = claimed_bytes(in);
	if (n > max)
		return ERR_TOO_LARGE;
	text = arena_bytes(a, n + 1);
	d = libdeflate_alloc_decompressor();
	check(d != NULL);
	result = libdeflate_gzip_decompress_ex(d, in.p, in.n, text, n, &taken, &given);
	libdeflate_free_decompressor(d);
	if (result != LIBDEFLATE_SUCCESS || taken != in.n || given != n)
		return ERR_SYNTAX;
	*ret_text = str_of(text, n);
	return 0;
}

str gzip_pack(struct arena *a, str text)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(LEVEL);
	size_t room, n;
	char *packed;

	check(c != NULL);
	room = libdeflate_gzip_compress_bound(c, text.n);
	packed = arena_bytes(a, room);
	n = libdeflate_gzip_compress(c, text.p, text.n, packed, room);
	libdeflate_free_compressor(c);
	check(n > 0);
	return str_of(packed, n);
}
