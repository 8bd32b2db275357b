/*
 * The encoder of event-stream messages.
 */
#include "aws/eventstream.h"

#include "base/check.h"
#include "base/hash.h"

enum { TYPE_TEXT = 7, PRELUDE = 12 };

static void put_header(struct buf *out, const struct eventstream_header *h)
{
	check(h->name.n > 0 && h->name.n <= EVENTSTREAM_NAME_MAX);
	check(h->value.n <= EVENTSTREAM_VALUE_MAX);
	buf_put_char(out, (char)h->name.n);
	buf_put(out, h->name);
	buf_put_char(out, TYPE_TEXT);
	buf_put_be16(out, (uint16_t)h->value.n);
	buf_put(out, h->value);
}

void eventstream_put(
	struct buf *out, const struct eventstream_header *headers, unsigned count, str payload)
{
	size_t start = out->n, header_bytes = 0;

	check(payload.n <= EVENTSTREAM_PAYLOAD_MAX);
	for (unsigned i = 0; i < count; i++)
		header_bytes += 4 + headers[i].name.n + headers[i].value.n;
	buf_put_be32(out, (uint32_t)(EVENTSTREAM_OVERHEAD + header_bytes + payload.n));
	buf_put_be32(out, (uint32_t)header_bytes);
	if (out->over)
		return;
	buf_put_be32(out, crc32_add(0, str_of(out->p + start, 8)));
	for (unsigned i = 0; i < count; i++)
		put_header(out, &headers[i]);
	buf_put(out, payload);
	if (out->over)
		return;
	check(out->n - start == PRELUDE + header_bytes + payload.n);
	buf_put_be32(out, crc32_add(0, str_of(out->p + start, out->n - start)));
}

void eventstream_put_event(struct buf *out, str event_type, str content_type, str payload)
{
	const struct eventstream_header headers[] = {
		{STR(":event-type"), event_type},
		{STR(":content-type"), content_type},
		{STR(":message-type"), STR("event")},
	};

	eventstream_put(out, headers, ARRAY_SIZE(headers), payload);
}
