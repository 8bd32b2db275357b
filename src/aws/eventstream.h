/*
 * Messages of application/vnd.amazon.eventstream: what an operation that streams its answer sends.
 * Pure; written only, because no operation here takes such a stream in.
 *
 *     4 bytes  length of the whole message       4 bytes  length of the headers
 *     4 bytes  CRC-32 of the eight before        headers: 1 byte length, name, 1 byte type (7:
 *                                                text), 2 bytes length, value
 *     payload                                    4 bytes  CRC-32 of everything before
 *
 * All numbers are big-endian. Limits: EVENTSTREAM_*_MAX; what is larger is our own bug.
 *
 * Source: https://smithy.io/2.0/aws/amazon-eventstream.html
 */
#ifndef AWS_EVENTSTREAM_H
#define AWS_EVENTSTREAM_H

#include "base/buf.h"

enum {
	EVENTSTREAM_PAYLOAD_MAX = 16 * 1024 * 1024,
	EVENTSTREAM_NAME_MAX = 255,
	EVENTSTREAM_VALUE_MAX = 32767,
	EVENTSTREAM_OVERHEAD = 16 /* of a message: prelude and final checksum */
};

struct eventstream_header {
	str name, value;
};

/* Appends one message. */
void eventstream_put(
	struct buf *out, const struct eventstream_header *headers, unsigned count, str payload);
/* One event of an operation's stream: ":message-type" event, its name and what its payload is. */
void eventstream_put_event(struct buf *out, str event_type, str content_type, str payload);

#endif
