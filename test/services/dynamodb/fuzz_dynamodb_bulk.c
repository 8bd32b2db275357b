/*
 * Input of bulk puts: any bytes are cut into lines the same way however they arrive, and each line
 * is a record or an error. The first byte says how it is packed.
 */
#include "base/check.h"
#include "services/dynamodb/bulk_input.h"
#include "services/dynamodb/bulk_line.h"
#include "services/dynamodb/item.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* An object that is read a few bytes at a time. */
struct object_reader {
	str rest;
	size_t step;
};

static int read_some(struct object_reader *r, void *to, size_t n)
{
	str part = str_sub(r->rest, 0, MIN(n, r->step));

	if (part.n)
		memcpy(to, part.p, part.n);
	r->rest = str_from(r->rest, part.n);
	return (int)part.n;
}

static void seek(struct object_reader *r unused_arg, uint64_t offset)
{
	check(offset == 0);
}

static void close_reader(struct object_reader *r unused_arg)
{
}

static const struct port_objects port = {.read = read_some, .seek = seek, .close = close_reader};

static void read_record(str line)
{
	cleanup(arena_done_p) struct arena a = {0};
	struct fault fault = {0};
	struct bulk_line record;
	int rc;

	arena_init(&a, SIZE_MAX);
	rc = bulk_line_read(&a, line, &record, &fault);
	check(rc == 0 || (rc == ERR_FAULT && fault.kind && fault.message.n));
	if (rc == 0)
		check(item_is_valid(record.item) && item_size(record.item) <= ITEM_SIZE_MAX);
}

/* The lines, each behind its length; the last rc. */
static int read_lines(enum inflate_kind kind, str bytes, size_t step, struct buf *out)
{
	struct object_reader reader = {bytes, step};
	struct bulk_input in;
	str line;
	_Atomic bool stopping = false;
	int rc = bulk_input_open(&in, &port, &reader, kind, 0, 0, &stopping);

	check(rc == 0);
	in.turn = INT64_MAX; /* there is no fiber that could give its turn to others */
	while ((rc = bulk_input_line(&in, &line)) == 1) {
		buf_put_sized(out, line);
		if (step == 1)
			read_record(line);
	}
	bulk_input_close(&in);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf slow, fast;
	enum inflate_kind kind;
	str bytes;
	int rc;

	if (n == 0)
		return 0;
	kind = (enum inflate_kind)(data[0] % 3);
	bytes = str_of(data + 1, n - 1);
	buf_init(&slow, NULL, SIZE_MAX / 4);
	buf_init(&fast, NULL, SIZE_MAX / 4);
	rc = read_lines(kind, bytes, 1, &slow);
	check(rc == read_lines(kind, bytes, 65536, &fast));
	if (rc == 0)
		check(str_eq(buf_str(&slow), buf_str(&fast)));
	buf_done(&slow);
	buf_done(&fast);
	return 0;
}
