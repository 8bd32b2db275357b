/*
 * Growing buffers and the reading cursor. Pure; any thread, one owner at a time.
 */
#include "base/buf.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

enum { FIRST_BYTES = 256 };

void buf_init(struct buf *b, struct arena *arena, size_t max)
{
	*b = (struct buf){.arena = arena, .max = max};
}

void buf_done(struct buf *b)
{
	if (!b->arena)
		mem_free(b->p);
	*b = (struct buf){.arena = b->arena, .max = b->max};
}

char *buf_room_slow(struct buf *b, size_t n)
{
	size_t want, capacity;
	char *p;

	if (n > b->max - b->n) {
		b->over = true;
		return NULL;
	}
	want = b->n + n;
	if (want <= b->capacity) /* n == 0 and nothing allocated yet */
		return b->p;
	capacity = b->capacity ? b->capacity * 2 : FIRST_BYTES;
	capacity = MIN(MAX(capacity, want), b->max);
	if (b->arena) {
		p = arena_bytes(b->arena, capacity);
		if (b->n)
			memcpy(p, b->p, b->n);
	} else {
		p = mem_realloc(b->p, capacity);
	}
	b->p = p;
	b->capacity = capacity;
	return p + b->n;
}

void buf_put_u64(struct buf *b, uint64_t v)
{
	char text[20];
	size_t at = sizeof text;

	do
		text[--at] = (char)('0' + v % 10);
	while (v /= 10);
	buf_put(b, str_of(text + at, sizeof text - at));
}

void buf_put_i64(struct buf *b, int64_t v)
{
	if (v < 0)
		buf_put_char(b, '-');
	buf_put_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;
	char *to;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	check(n >= 0);
	to = buf_room(b, (size_t)n + 1);
	if (!to)
		return;
	va_start(args, format);
	vsnprintf(to, (size_t)n + 1, format, args);
	va_end(args);
	b->n += (size_t)n;
}

static void put_be(struct buf *b, uint64_t v, unsigned bytes)
{
	char text[8];

	for (unsigned i = 0; i < bytes; i++)
		text[i] = (char)(v >> (8 * (bytes - 1 - i)));
	buf_put(b, str_of(text, bytes));
}

void buf_put_be16(struct buf *b, uint16_t v)
{
	put_be(b, v, 2);
}

void buf_put_be32(struct buf *b, uint32_t v)
{
	put_be(b, v, 4);
}

void buf_put_be64(struct buf *b, uint64_t v)
{
	put_be(b, v, 8);
}

void buf_put_varint(struct buf *b, uint64_t v)
{
	char text[10];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		text[n++] = (char)(v | 0x80);
	text[n++] = (char)v;
	buf_put(b, str_of(text, n));
}

bool str_take(str *in, size_t n, str *ret_part)
{
	if (in->n < n)
		return false;
	*ret_part = (str){in->p, n};
	*in = (str){in->p + n, in->n - n};
	return true;
}

static bool take_be(str *in, unsigned bytes, uint64_t *ret_value)
{
	uint64_t v = 0;

	if (in->n < bytes)
		return false;
	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | (unsigned char)in->p[i];
	*in = (str){in->p + bytes, in->n - bytes};
	*ret_value = v;
	return true;
}

bool str_take_u8(str *in, uint8_t *ret_value)
{
	uint64_t v;

	if (!take_be(in, 1, &v))
		return false;
	*ret_value = (uint8_t)v;
	return true;
}

bool str_take_be16(str *in, uint16_t *ret_value)
{
	uint64_t v;

	if (!take_be(in, 2, &v))
		return false;
	*ret_value = (uint16_t)v;
	return true;
}

bool str_take_be32(str *in, uint32_t *ret_value)
{
	uint64_t v;

	if (!take_be(in, 4, &v))
		return false;
	*ret_value = (uint32_t)v;
	return true;
}

bool str_take_be64(str *in, uint64_t *ret_value)
{
	return take_be(in, 8, ret_value);
}

bool str_take_varint(str *in, uint64_t *ret_value)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 10 && i < in->n; i++) {
		unsigned char c = (unsigned char)in->p[i];

		if (i == 9 && c > 1)
			return false;
		v |= (uint64_t)(c & 0x7f) << (7 * i);
		if (!(c & 0x80)) {
			*in = (str){in->p + i + 1, in->n - i - 1};
			*ret_value = v;
			return true;
		}
	}
	return false;
}

void buf_put_sized(struct buf *b, str bytes)
{
	buf_put_varint(b, bytes.n);
	buf_put(b, bytes);
}

bool str_take_sized(str *in, str *ret_bytes)
{
	str rest = *in;
	uint64_t n;

	if (!str_take_varint(&rest, &n) || n > rest.n || !str_take(&rest, (size_t)n, ret_bytes))
		return false;
	*in = rest;
	return true;
}
