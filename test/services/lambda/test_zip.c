/*
 * Writing zip archives (APPNOTE.TXT 4.3): local headers with stored data, the central directory.
 */
#include "base/buf.h"
#include "base/hash.h"
#include "test/services/lambda/zip.h"

static void put16(struct buf *b, unsigned v)
{
	buf_put_char(b, (char)v);
	buf_put_char(b, (char)(v >> 8));
}

static void put32(struct buf *b, uint32_t v)
{
	put16(b, v & 0xffff);
	put16(b, v >> 16);
}

/* What the local and the central header share. */
static void put_common(struct buf *b, const struct zip_entry *e)
{
	put16(b, 20); /* version needed */
	put16(b, 0);  /* flags */
	put16(b, 0);  /* stored */
	put32(b, 0x58210000);
	put32(b, crc32_add(0, e->content));
	put32(b, (uint32_t)e->content.n);
	put32(b, (uint32_t)e->content.n);
	put16(b, (unsigned)e->name.n);
	put16(b, 0);
}

str zip_make(struct arena *a, const struct zip_entry *entries, size_t n)
{
	uint32_t *offsets = arena_new_array(a, uint32_t, n + 1);
	struct buf b;
	size_t directory;
	uint32_t size;

	buf_init(&b, a, (size_t)1 << 30);
	for (size_t i = 0; i < n; i++) {
		offsets[i] = (uint32_t)b.n;
		put32(&b, 0x04034b50);
		put_common(&b, &entries[i]);
		buf_put(&b, entries[i].name);
		buf_put(&b, entries[i].content);
	}
	directory = b.n;
	for (size_t i = 0; i < n; i++) {
		put32(&b, 0x02014b50);
		put16(&b, 0x031e); /* made on Unix */
		put_common(&b, &entries[i]);
		put16(&b, 0);
		put16(&b, 0);
		put16(&b, 0);
		put32(&b, (0100000u | entries[i].mode) << 16);
		put32(&b, offsets[i]);
		buf_put(&b, entries[i].name);
	}
	size = (uint32_t)(b.n - directory);
	n = n > 0xffff ? 0xffff : n;
	put32(&b, 0x06054b50);
	put32(&b, 0);
	put16(&b, (unsigned)n);
	put16(&b, (unsigned)n);
	put32(&b, size);
	put32(&b, (uint32_t)directory);
	put16(&b, 0);
	return buf_str(&b);
}
