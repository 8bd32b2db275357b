/*
 * Streams of packed text: in pieces of all sizes, behind one another, cut off, damaged.
 */
#include "base/inflate.h"

#include "base/arena.h"
#include "base/gzip.h"
#include "test/test.h"

#include <zstd.h>

enum { TEXT_BYTES = 300000 };

static str pack(struct arena *a, enum inflate_kind kind, str text)
{
	size_t room = ZSTD_compressBound(text.n), n;
	char *to;

	if (kind == INFLATE_NONE)
		return text;
	if (kind == INFLATE_GZIP)
		return gzip_pack(a, text);
	to = arena_bytes(a, room);
	n = ZSTD_compress(to, room, text.p, text.n, 1);
	EXPECT(!ZSTD_isError(n));
	return str_of(to, n);
}

/* What comes out when so many bytes go in and out at a time; rc in *ret_rc. */
static str unpack(struct arena *a, enum inflate_kind kind, str packed, size_t in_max,
	size_t out_max, int *ret_rc)
{
	struct inflate *z = inflate_new(kind);
	char *to = arena_bytes(a, 4 * TEXT_BYTES);
	size_t n = 0;
	int rc = 0;

	while (packed.n && rc >= 0) {
		str in = str_sub(packed, 0, in_max);

		packed = str_from(packed, in.n);
		while ((rc = inflate_take(z, &in, to + n, out_max)) > 0)
			n += (size_t)rc;
		if (rc == 0)
			EXPECT_INT(in.n, 0);
	}
	*ret_rc = rc < 0 ? rc : inflate_may_end(z) ? 0 : ERR_EOF;
	inflate_free(z);
	return str_of(to, n);
}

static void round_trip(enum inflate_kind kind)
{
	static const size_t sizes[] = {1, 7, 4096, TEXT_BYTES};
	char *text;
	struct arena a;
	str packed, damaged;
	int rc;

	arena_init(&a, SIZE_MAX);
	text = arena_bytes(&a, TEXT_BYTES);
	for (size_t i = 0; i < TEXT_BYTES; i++)
		text[i] = (char)('a' + (i * i / 97) % 23);
	packed = pack(&a, kind, str_of(text, TEXT_BYTES));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (size_t k = 1; k < ARRAY_SIZE(sizes); k++) {
			EXPECT_STR(unpack(&a, kind, packed, sizes[i], sizes[k], &rc),
				str_of(text, TEXT_BYTES));
			EXPECT_INT(rc, 0);
		}
	/* Two behind one another are one text. */
	EXPECT_INT(unpack(&a, kind, ARENA_CONCAT(&a, packed, packed), 1000, 1000, &rc).n,
		2 * TEXT_BYTES);
	EXPECT_INT(rc, 0);
	EXPECT_INT(unpack(&a, kind, STR(""), 1, 1, &rc).n, 0);
	EXPECT_INT(rc, 0);
	if (kind == INFLATE_NONE)
		return arena_done(&a);
	(void)unpack(&a, kind, str_sub(packed, 0, packed.n / 2), 1000, 1000, &rc);
	EXPECT_INT(rc, ERR_EOF);
	damaged = arena_str(&a, packed);
	((char *)damaged.p)[0] ^= 1;
	(void)unpack(&a, kind, damaged, 1000, 1000, &rc);
	EXPECT_INT(rc, ERR_SYNTAX);
	arena_done(&a);
}

TEST(inflate, none)
{
	round_trip(INFLATE_NONE);
}

TEST(inflate, gzip)
{
	round_trip(INFLATE_GZIP);
}

TEST(inflate, zstd)
{
	round_trip(INFLATE_ZSTD);
}

/* What may come must not depend on how it arrives: the library alone takes what lies whole before
 * it. */
static void expect_refused(struct arena *a, str packed, int want)
{
	for (size_t step = 1; step <= packed.n; step++) {
		int rc;

		(void)unpack(a, INFLATE_ZSTD, packed, step, TEXT_BYTES, &rc);
		EXPECT_INT(rc, want);
	}
}

TEST(inflate, zstd_heads)
{
	str skipped = STR("\x5f\x2a\x4d\x18\x03\0\0\0abc");
	struct arena a;
	str frame, out;
	char *of;
	int rc;

	arena_init(&a, SIZE_MAX);
	/* One raw block "a": descriptor 0, a window of 128 MiB, an eighth more, 2 GiB. */
	frame = STR("\x28\xb5\x2f\xfd\0\x88\x09\0\0a");
	for (size_t step = 1; step <= frame.n; step++) {
		EXPECT_STR(unpack(&a, INFLATE_ZSTD, frame, step, TEXT_BYTES, &rc), STR("a"));
		EXPECT_INT(rc, 0);
	}
	of = (char *)arena_str(&a, frame).p;
	of[5] = '\x89';
	expect_refused(&a, str_of(of, frame.n), ERR_TOO_LARGE);
	of[5] = '\xa8';
	expect_refused(&a, str_of(of, frame.n), ERR_TOO_LARGE);
	/* A frame whose content's size is told lets the library take it whole. */
	expect_refused(&a, STR("\x28\xb5\x2f\xfd\x40\xa8\0\0\x09\0\0a"), ERR_TOO_LARGE);
	/* Version 0.7's magic. */
	of[0] = '\x27';
	expect_refused(&a, str_of(of, frame.n), ERR_SYNTAX);
	/* Between two frames, one to be skipped. */
	out = ARENA_CONCAT(&a, frame, skipped, frame);
	for (size_t step = 1; step <= out.n; step++) {
		EXPECT_STR(unpack(&a, INFLATE_ZSTD, out, step, TEXT_BYTES, &rc), STR("aa"));
		EXPECT_INT(rc, 0);
	}
	arena_done(&a);
}
