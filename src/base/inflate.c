/*
 * See inflate.h.
 */
#include "base/inflate.h"

#include "base/check.h"
#include "base/mem.h"

#include <limits.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { GZIP_WINDOW = 16 + MAX_WBITS };

struct inflate {
	enum inflate_kind kind;
	bool inside; /* a member or frame has begun and not ended */
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

static int take_zstd(struct inflate *z, str *in, char *to, size_t n)
{
	ZSTD_outBuffer out = {to, n, 0};

	while (out.pos < n && (in->n || z->inside)) {
		ZSTD_inBuffer from = {in->p, in->n, 0};
		size_t before = out.pos, rc = ZSTD_decompressStream(z->zstd, &out, &from);

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
