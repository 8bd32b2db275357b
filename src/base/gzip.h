/*
 * gzip (RFC 1952) of whole texts in memory, for bodies of requests and answers. The work is
 * libdeflate's, in the caller's thread: some milliseconds per MiB. Pure; any thread.
 */
#ifndef BASE_GZIP_H
#define BASE_GZIP_H

#include "base/arena.h"

/*
 * Unpacks one gzip member, which must be all of `in`, to at most `max` bytes. ERR_SYNTAX: not gzip,
 * or damaged; ERR_TOO_LARGE: it says that it has more bytes.
 */
must_use int gzip_unpack(struct arena *a, str in, size_t max, str *ret_text);
/* Packs, quickly rather than tightly. */
str gzip_pack(struct arena *a, str text);

#endif
