/*
 * The write-ahead log of the RocksDB engine: every group of commits is one record, and on the disk
 * before RocksDB sees it. RocksDB keeps no log of its own; a start puts into it again what its
 * tables do not have yet.
 *
 * Why not RocksDB's: its files grow, and a sync of a file that grows writes the file's inode
 * through the file system's journal, too: twice the time, and a wait for whatever else the journal
 * carries. This log is a ring of segments, files that are written over once the tables have what
 * they held, so that after the first round a sync writes the blocks of the record and nothing else.
 *
 * Records are numbered without gaps. A segment is written from its beginning under a serial of its
 * own, greater than all before, so what it held earlier never passes for a part of it. Half of the
 * serial is random: nobody can store bytes that pass for a record later, and a serial that a power
 * cut has wiped from the disk, but not all that was written under it, is not given again. Where two
 * segments have the same number, the later one counts: a record whose write failed is void as soon
 * as the next is written, which goes into another segment.
 *
 * Layout of a record, big-endian: magic 64 bits, serial 64, number 64, bytes of the batch 32,
 * CRC-32 of all that and the batch 32; the batch. Records follow one another without padding.
 * Blocks are written whole; behind the last record they are filled up with zeros.
 *
 * Used by the committer thread only; everything here blocks.
 */
#ifndef KV_WAL_H
#define KV_WAL_H

#include "base/rc.h"
#include "base/str.h"

#include <stdbool.h>
#include <sys/types.h>

enum {
	WAL_SEGMENTS_MAX = 256,
	WAL_RECORD_BYTES_MAX = 128 * 1024 * 1024,
};

struct wal_segment {
	unsigned id;          /* its file is "<id>.wal" */
	uint64_t serial;      /* 0: nothing valid in it */
	uint64_t first, last; /* numbers of its records, when it has any */
	off_t bytes;          /* of its file */
};

struct wal {
	int folder_fd, fd; /* fd: of the current segment, -1: none */
	size_t segment_bytes;
	bool synced;
	struct wal_segment segments[WAL_SEGMENTS_MAX];
	size_t n_segments, current;
	uint64_t serial, number; /* the last ones given */
	uint64_t persisted;      /* what RocksDB's tables have */
	off_t at;                /* end of the current segment's records */
	char *room, *room_taken; /* aligned; begins with the unfinished block before `at` */
};

/* Closed, for wal_close(). */
void wal_init(struct wal *w);
/*
 * Finds the segments in `folder`. `synced`: wal_append() returns when the record is on the disk.
 * Segments get about `segment_bytes`. ERR_IO and others of the file system.
 */
must_use int wal_open(struct wal *w, const char *folder, size_t segment_bytes, bool synced);
/* One that is not open is fine. */
void wal_close(struct wal *w);

/* Takes one batch again. Not 0: ends the replay with this. */
typedef int wal_apply_fn(void *arg, str batch);
/*
 * Once, before the first wal_append(): hands out the batches behind number `persisted` in their
 * order, and ends at the first record that was not written whole. Their count, or ERR_CORRUPT:
 * a record is missing before one that is there. When this returns more than 0, the tables have to
 * get all of it before anything is appended, and wal_persisted() be told.
 */
must_use int64_t wal_replay(struct wal *w, uint64_t persisted, wal_apply_fn *apply, void *arg);
/* RocksDB's tables have everything up to `number`: segments without more may be written over. */
void wal_persisted(struct wal *w, uint64_t number);
/* A batch of `bytes` begins another segment: better ask the tables what they have, before. */
bool wal_is_full(const struct wal *w, size_t bytes);
/*
 * Writes the next record. After an error it may or may not be found by a replay, until the next
 * one is written, which makes it void. ERR_NO_SPACE, ERR_IO; ERR_TOO_LARGE: over
 * WAL_RECORD_BYTES_MAX.
 */
must_use int wal_append(struct wal *w, str batch);
/*
 * Makes everything appended durable. After an error what was not durable before is so only once
 * the tables have it: the next record goes into another segment.
 */
must_use int wal_sync(struct wal *w);

#endif
