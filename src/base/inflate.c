/*
 * See inflate.h.
 */
#include "base/inflate.h"

#include "base/check.h"
#include "base/mem.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

/*
 * RFC 8878, 3.1.1: a frame is a magic number, a descriptor and, unless the descriptor says that the
 * content is one segment, the window: 3 bits of eighths under 5 bits of exponent.
 */
enum {
	GZIP_WINDOW = 16 + MAX_WBITS,
	HEAD_MAGIC = 4,
	HEAD_BYTES = 6,
	ONE_SEGMENT = 0x20,
	WINDOW_LOG_MIN = 10,
	WINDOW_LOG_MAX = 27,
};

struct inflate {
	enum inflate_kind kind;
	bool inside;                    /* a member or frame has begun and not ended */
	unsigned char head[HEAD_BYTES]; /* of the frame */
	size_t head_n;
	z_stream gzip;
	ZSTD_DStream *zstd;
};

struct inflate *inflate_new(enum inflate_kind kind)
{
	struct inflate *z = mem_new(struct inflate);

	z->kind = kind;
	if (kind == INFLATE_GZIP)
		check(inflateInit2(&z->gzip, GZIP_WINDOW) == Z_OK);
	if (kind == INFLATE_ZSTD) {
		z->zstd = ZSTD_createDStream();
		check(z->zstd != NULL);
	}
	return z;
}

void inflate_free(struct inflate *z)
{
	if (!z)
		return;
	if (z->kind == INFLATE_GZIP)
		inflateEnd(&z->gzip);
	ZSTD_freeDStream(z->zstd);
	mem_free(z);
}

static int take_plain(str *in, char *to, size_t n)
{
	n = MIN(n, in->n);
	if (n)
		memcpy(to, in->p, n);
	*in = str_from(*in, n);
	return (int)n;
}

static int take_gzip(struct inflate *z, str *in, char *to, size_t n)
{
	z_stream *s = &z->gzip;
	int rc;

	s->next_out = (Bytef *)to;
	s->avail_out = (uInt)n;
	/* With what it has taken already it may have more to give. */
	while (s->avail_out && (in->n || z->inside)) {
		size_t given = MIN(in->n, (size_t)INT_MAX);

		if (!z->inside)
			check(inflateReset(s) == Z_OK);
		z->inside = true;
		s->next_in = (Bytef *)(uintptr_t)in->p;
		s->avail_in = (uInt)given;
		rc = inflate(s, Z_NO_FLUSH);
		*in = str_from(*in, given - s->avail_in);
		if (rc == Z_BUF_ERROR)
			break;
		if (rc == Z_STREAM_END)
			z->inside = false;
		else if (rc != Z_OK)
			return ERR_SYNTAX;
	}
	return (int)(n - s->avail_out);
}

/*
 * Looks at the frame's first bytes before the library does. It takes a frame that lies whole before
 * it in another way than one that comes in parts: whatever its window is, and in formats older than
 * the standard. What is refused must not depend on how the bytes arrive.
 */
static int check_head(struct inflate *z, str in)
{
	if (!z->inside)
		z->head_n = 0;
	if (z->head_n == HEAD_BYTES)
		return 0;
	while (z->head_n < HEAD_BYTES && in.n) {
		z->head[z->head_n++] = (unsigned char)in.p[0];
		in = str_from(in, 1);
	}
	if (z->head_n < HEAD_MAGIC)
		return 0;
	if (memcmp(z->head + 1, "\x2a\x4d\x18", 3) == 0 && (z->head[0] & 0xf0) == 0x50)
		return 0; /* to be skipped */
	if (memcmp(z->head, "\x28\xb5\x2f\xfd", HEAD_MAGIC) != 0)
		return ERR_SYNTAX;
	if (z->head_n < HEAD_BYTES || (z->head[4] & ONE_SEGMENT))
		return 0;
	/* The largest that is taken has no eighths. */
	return z->head[5] > ((WINDOW_LOG_MAX - WINDOW_LOG_MIN) << 3) ? ERR_TOO_LARGE : 0;
}

static int take_zstd(struct inflate *z, str *in, char *to, size_t n)
{
	ZSTD_outBuffer out = {to, n, 0};

	while (out.pos < n && (in->n || z->inside)) {
		ZSTD_inBuffer from = {in->p, in->n, 0};
		size_t before = out.pos, rc;

		TRY(check_head(z, *in));
		rc = ZSTD_decompressStream(z->zstd, &out, &from);

		if (ZSTD_isError(rc))
			return ZSTD_getErrorCode(rc) == ZSTD_error_frameParameter_windowTooLarge
				       ? ERR_TOO_LARGE
				       : ERR_SYNTAX;
		z->inside = rc != 0;
		*in = str_from(*in, from.pos);
		if (from.pos == 0 && out.pos == before)
			break;
	}
	return (int)out.pos;
}

int inflate_take(struct inflate *z, str *in, char *to, size_t n)
{
	check(n > 0 && n <= INT_MAX);
	switch (z->kind) {
	case INFLATE_NONE: return take_plain(in, to, n);
	case INFLATE_GZIP: return take_gzip(z, in, to, n);
	case INFLATE_ZSTD: return take_zstd(z, in, to, n);
	}
	check_unreachable();
}

bool inflate_may_end(const struct inflate *z)
{
	return !z->inside;
}
