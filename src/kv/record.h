/*
 * The header of every stored record (DESIGN section 5): which format, when and where it was
 * written, and whether it stands for a deletion. Pure; whoever stores records puts it in front.
 *
 * Time is a hybrid logical clock in one 64-bit number: wall-clock nanoseconds since 1970, or one
 * more than the version that the record replaces, whichever is greater. So along one key time
 * always rises, whatever the clocks of the servers do, and (time, region) decides between writers.
 *
 * Layout, big-endian, RECORD_HEADER_BYTES in all: format version 8 bits, flags 8, origin region
 * 16, origin server 16, time 64. A format version that is not known is refused, never guessed.
 */
#ifndef KV_RECORD_H
#define KV_RECORD_H

#include "base/buf.h"
#include "base/rc.h"

enum {
	RECORD_VERSION = 1,
	RECORD_HEADER_BYTES = 14,
	/* flags; the others are 0 in this version */
	RECORD_TOMBSTONE = 1, /* deleted; nothing follows but what the owner keeps for merging */
	RECORD_FLAGS_KNOWN = RECORD_TOMBSTONE,
};

struct record_header {
	uint8_t flags;
	uint16_t region, server; /* origin; numbers of the cluster's own tables, 0: this one */
	uint64_t time;           /* > 0 */
};

/* The time of a record written now in place of one of time `replaced` (0: of none). */
uint64_t record_time_next(int64_t wall_ns, uint64_t replaced);
/* Appends the header. Unknown flags or a zero time are our own bug (checked). */
void record_put(struct buf *to, const struct record_header *header);
/*
 * Takes the header off the front of *record, leaving the body: 0; ERR_VERSION for another format
 * version; ERR_CORRUPT for one that is too short, has unknown flags or no time.
 */
must_use int record_take(str *record, struct record_header *ret_header);

#endif
