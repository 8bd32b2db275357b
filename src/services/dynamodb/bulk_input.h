/*
 * The lines of one input object of a bulk operation: read through the objects port, unpacked as a
 * stream, cut at line ends. Memory is two buffers, one as long as the longest line so far.
 *
 * In the worker's fiber. Private to this folder.
 */
#ifndef DYNAMODB_BULK_INPUT_H
#define DYNAMODB_BULK_INPUT_H

#include "aws/ports/objects.h"
#include "base/buf.h"
#include "base/inflate.h"

struct bulk_input {
	const struct port_objects *port;
	struct object_reader *reader; /* NULL: not open */
	struct inflate *inflate;
	struct buf raw, text; /* on the heap */
	size_t raw_at;        /* taken of `raw` */
	size_t text_at;       /* given out of `text` */
	size_t last_bytes;    /* of the last line given, with its end */
	bool raw_ended, ended;
	uint64_t raw_bytes; /* read from the object */
	uint64_t offset;    /* of the text, unpacked: behind the last line that was given */
	uint64_t line;      /* its number, from 1 on */
	int64_t turn;       /* bytes until others get theirs */
};

/* All zero is closed; bulk_input_close for cleanup(). */
void bulk_input_close(struct bulk_input *in);
/*
 * Takes the reader over and goes to `offset` of the text, behind line `line`. What is packed is
 * unpacked up to there, unless `stopping` becomes true: ERR_CANCELLED. ERR_EOF: it does not have so
 * much; others as bulk_input_line().
 */
must_use int bulk_input_open(struct bulk_input *in, const struct port_objects *port,
	struct object_reader *reader, enum inflate_kind kind, uint64_t offset, uint64_t line,
	const _Atomic bool *stopping) mayyield;
/*
 * The next line without its end, valid until the next call: 1, or 0 behind the last.
 * ERR_TOO_LARGE: it is longer than BULK_LINE_MAX; ERR_SYNTAX: the object is not packed as it is
 * said to be, is damaged or cut off; ERR_RANGE: it wants more memory to unpack than is given. Of
 * the port: ERR_IO ...
 */
must_use int bulk_input_line(struct bulk_input *in, str *ret_line) mayyield;
/* The last line that was given comes once more. */
void bulk_input_back(struct bulk_input *in);

#endif
