/*
 * Unpacking of gzip (RFC 1952) and Zstandard (RFC 8878) as a stream: any amount of input, a bounded
 * amount of memory. Several members or frames behind one another are one text, as `gzip -d` and
 * `zstd -d` take them. The work is zlib's and libzstd's, in the caller's thread.
 *
 * Any thread, one owner at a time; nothing suspends.
 */
#ifndef BASE_INFLATE_H
#define BASE_INFLATE_H

#include "base/rc.h"
#include "base/str.h"

enum inflate_kind { INFLATE_NONE, INFLATE_GZIP, INFLATE_ZSTD };

struct inflate;

/* INFLATE_NONE passes bytes through. */
struct inflate *inflate_new(enum inflate_kind kind);
/* NULL is fine. */
void inflate_free(struct inflate *z);
/*
 * Takes bytes off the front of *in and gives up to `n` bytes of text: how many. 0: more input is
 * needed (*in is empty). ERR_SYNTAX: not of the kind, or damaged; ERR_TOO_LARGE: it needs more than
 * the 128 MiB of window that decoders grant by default.
 */
must_use int inflate_take(struct inflate *z, str *in, char *to, size_t n);
/* May the input end here? Not in the middle of a member. */
bool inflate_may_end(const struct inflate *z);

#endif
