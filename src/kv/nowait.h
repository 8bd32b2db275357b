/*
 * Reads of files that refuse instead of waiting for the disk: what lets a loop ask RocksDB itself.
 *
 * Most of a database larger than its cache still lies in the system's page cache, and a hop to the
 * read pool costs more than reading it from there. RocksDB cannot say "only if it does not wait":
 * its cache tier means its own cache, and iterators limited to that can end early without a word.
 * But it reads with pread(2), found through the dynamic linker; the program's own pread stands
 * before that of the C library, and between nowait_begin() and nowait_end() it is preadv2(2) with
 * RWF_NOWAIT: bytes that are not in memory are an I/O error, which RocksDB hands up like any other.
 *
 * Threading: the state is the calling thread's. Between begin and end nothing may suspend.
 */
#ifndef KV_NOWAIT_H
#define KV_NOWAIT_H

#include "base/attr.h"

#include <stdbool.h>

void nowait_begin(void);
/* True: a read was refused, so whatever came out of it says nothing about the store. */
must_use bool nowait_end(void);

#endif
