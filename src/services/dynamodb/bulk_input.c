/*
 * See bulk_input.h.
 */
#include "services/dynamodb/bulk_input.h"

#include "base/check.h"
#include "rt/rt.h"
#include "services/dynamodb/bulk.h"

#include <string.h>

enum { RAW_BYTES = 64 * 1024, TURN_BYTES = 256 * 1024 };

void bulk_input_close(struct bulk_input *in)
{
	if (in->reader)
		in->port->close(in->reader);
	inflate_free(in->inflate);
	buf_done(&in->raw);
	buf_done(&in->text);
	*in = (struct bulk_input){0};
}

/* More of the object into `raw`, which is used up. */
static int read_raw(struct bulk_input *in)
{
	int n;

	buf_reset(&in->raw);
	in->raw_at = 0;
	n = TRY(in->port->read(in->reader, buf_room(&in->raw, RAW_BYTES), RAW_BYTES));
	in->raw.n = (size_t)n;
	in->raw_bytes += (size_t)n;
	in->raw_ended = n == 0;
	return 0;
}

/* Other fibers of the loop get their turn. */
static int give_turn(struct bulk_input *in, size_t bytes)
{
	in->turn -= (int64_t)bytes;
	if (in->turn > 0)
		return 0;
	in->turn = TURN_BYTES;
	return rt_yield();
}

/* Up to `n` more bytes of the text: how many, 0 at its end. */
static int read_text(struct bulk_input *in, char *to, size_t n)
{
	while (!in->ended) {
		str raw = str_from(buf_str(&in->raw), in->raw_at);
		int got = inflate_take(in->inflate, &raw, to, n);

		if (got < 0) /* the port has an ERR_TOO_LARGE of its own */
			return got == ERR_TOO_LARGE ? ERR_RANGE : got;
		in->raw_at = in->raw.n - raw.n;
		TRY(give_turn(in, (size_t)got));
		if (got)
			return got;
		if (in->raw_ended && !inflate_may_end(in->inflate))
			return ERR_SYNTAX;
		in->ended = in->raw_ended;
		if (!in->ended)
			TRY(read_raw(in));
	}
	return 0;
}

static int skip_text(struct bulk_input *in, uint64_t n, const _Atomic bool *stopping)
{
	char *bytes = buf_room(&in->text, RAW_BYTES);

	while (n) {
		int got = TRY(read_text(in, bytes, (size_t)MIN(n, (uint64_t)RAW_BYTES)));

		if (got == 0)
			return ERR_EOF;
		if (atomic_load(stopping))
			return ERR_CANCELLED;
		n -= (uint64_t)got;
	}
	return 0;
}

int bulk_input_open(struct bulk_input *in, const struct port_objects *port,
	struct object_reader *reader, enum inflate_kind kind, uint64_t offset, uint64_t line,
	const _Atomic bool *stopping)
{
	*in = (struct bulk_input){.port = port,
		.reader = reader,
		.inflate = inflate_new(kind),
		.offset = offset,
		.line = line,
		.turn = TURN_BYTES};
	buf_init(&in->raw, NULL, RAW_BYTES);
	buf_init(&in->text, NULL, BULK_LINE_MAX + RAW_BYTES);
	if (kind != INFLATE_NONE)
		return skip_text(in, offset, stopping);
	port->seek(reader, offset);
	in->raw_bytes = offset;
	return 0;
}

/* More of the text behind what is there: 1, or 0 at its end. */
static int fill(struct bulk_input *in)
{
	char *to;
	int got;

	if (in->text_at) {
		memmove(in->text.p, in->text.p + in->text_at, in->text.n - in->text_at);
		in->text.n -= in->text_at;
		in->text_at = 0;
	}
	if (in->text.n > BULK_LINE_MAX)
		return ERR_TOO_LARGE;
	to = buf_room(&in->text, RAW_BYTES);
	got = TRY(read_text(in, to, RAW_BYTES));
	in->text.n += (size_t)got;
	return got > 0;
}

static str give_line(struct bulk_input *in, size_t n, size_t with_end)
{
	str line = str_of(in->text.p + in->text_at, n);

	in->last_bytes = with_end;
	in->text_at += with_end;
	in->offset += with_end;
	in->line++;
	return str_ends(line, STR("\r")) ? str_sub(line, 0, line.n - 1) : line;
}

void bulk_input_back(struct bulk_input *in)
{
	check(in->last_bytes > 0 && in->last_bytes <= in->text_at);
	in->text_at -= in->last_bytes;
	in->offset -= in->last_bytes;
	in->line--;
	in->last_bytes = 0;
}

int bulk_input_line(struct bulk_input *in, str *ret_line)
{
	size_t looked = 0;

	for (;;) {
		str rest = str_from(buf_str(&in->text), in->text_at);
		ptrdiff_t at = str_find(str_from(rest, looked), '\n');

		if (at >= 0) {
			size_t n = looked + (size_t)at;

			if (n > BULK_LINE_MAX)
				return ERR_TOO_LARGE;
			*ret_line = give_line(in, n, n + 1);
			return 1;
		}
		looked = rest.n;
		if (TRY(fill(in)))
			continue;
		if (!looked)
			return 0;
		*ret_line = give_line(in, looked, looked);
		return 1;
	}
}
