/*
 * Keys of the store: who owns which part, and how a key is put together.
 *
 * A key is its area's first byte and parts. A text part is escaped so that it ends itself and keys
 * sort by their parts: 0x00 becomes 0x00 0xff, the end is 0x00 0x01. Integers are big-endian. Most
 * areas begin with account and region: keyspace_begin() writes both. Pure.
 */
#ifndef AWS_KEYSPACE_H
#define AWS_KEYSPACE_H

#include "base/buf.h"

enum keyspace_area {
#define AREA(name, first_byte, text) KEYSPACE_##name = first_byte,
#include "aws/keyspace.def"
#undef AREA
};

enum { KEYSPACE_KEY_MAX = 8 * 1024 };

/* Appends the area's byte alone. */
void keyspace_area(struct buf *key, enum keyspace_area area);
/* Appends area, account and region; `region` may be empty (services without regions). */
void keyspace_begin(struct buf *key, enum keyspace_area area, str account, str region);
/* Appends a text part, escaped and ended. */
void keyspace_put(struct buf *key, str part);
/* Takes one text part off the front; unescaped in the arena only when it has to be. False: damaged.
 */
bool keyspace_take(struct arena *a, str *key, str *ret_part);
/*
 * The first key behind all that begin with `prefix` (which is not empty and not only 0xff): the end
 * of a scan.
 */
str keyspace_prefix_end(struct arena *a, str prefix);

#endif
