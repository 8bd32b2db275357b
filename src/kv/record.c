/*
 * Encoding and decoding of the record header; checked at both ends (STYLE 18). Pure.
 */
#include "kv/record.h"

#include "base/check.h"

uint64_t record_time_next(int64_t wall_ns, uint64_t replaced)
{
	uint64_t wall = wall_ns > 0 ? (uint64_t)wall_ns : 1;

	check(replaced < UINT64_MAX);
	return wall > replaced ? wall : replaced + 1;
}

void record_put(struct buf *to, const struct record_header *header)
{
	char *p = buf_room(to, RECORD_HEADER_BYTES);

	check((header->flags & ~RECORD_FLAGS_KNOWN) == 0 && header->time > 0);
	if (!p)
		return;
	buf_put_char(to, RECORD_VERSION);
	buf_put_char(to, (char)header->flags);
	buf_put_be16(to, header->region);
	buf_put_be16(to, header->server);
	buf_put_be64(to, header->time);
}

int record_take(str *record, struct record_header *ret_header)
{
	struct record_header h = {0};
	uint8_t version;
	str in = *record;

	if (!str_take_u8(&in, &version))
		return ERR_CORRUPT;
	if (version != RECORD_VERSION)
		return ERR_VERSION;
	if (!str_take_u8(&in, &h.flags) || !str_take_be16(&in, &h.region) ||
		!str_take_be16(&in, &h.server) || !str_take_be64(&in, &h.time))
		return ERR_CORRUPT;
	if ((h.flags & ~RECORD_FLAGS_KNOWN) || h.time == 0)
		return ERR_CORRUPT;
	*record = in;
	*ret_header = h;
	return 0;
}
