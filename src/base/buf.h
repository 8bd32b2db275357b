/*
 * A growing byte buffer with a maximum (STYLE 15), in an arena or on the heap.
 *
 * Appending past the maximum appends nothing and sets `over`; the owner asks once at the end. So a
 * renderer is a straight run of appends with one check.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/arena.h"

struct buf {
	char *p;
	size_t n, capacity, max;
	struct arena *arena; /* NULL: heap */
	bool over;           /* something did not fit */
};

/* `arena` may be NULL for the heap; then buf_done() frees. Takes no memory yet. */
void buf_init(struct buf *b, struct arena *arena, size_t max);
void buf_done(struct buf *b);
/* Room for `n` more bytes behind b->p + b->n, or NULL (and `over`). Commit with b->n += used. */
char *buf_room_slow(struct buf *b, size_t n);

static inline char *buf_room(struct buf *b, size_t n)
{
	return likely(n <= b->capacity - b->n) ? b->p + b->n : buf_room_slow(b, n);
}

static inline void buf_put(struct buf *b, str s)
{
	char *to = buf_room(b, s.n);

	if (likely(to && s.n)) {
		memcpy(to, s.p, s.n);
		b->n += s.n;
	}
}

static inline void buf_put_char(struct buf *b, char c)
{
	char *to = buf_room(b, 1);

	if (likely(to != NULL)) {
		*to = c;
		b->n++;
	}
}

void buf_put_u64(struct buf *b, uint64_t v); /* decimal */
void buf_put_i64(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *format, ...) printf_like(2, 3);
/* Big-endian integers, for keys and stored records. */
void buf_put_be16(struct buf *b, uint16_t v);
void buf_put_be32(struct buf *b, uint32_t v);
void buf_put_be64(struct buf *b, uint64_t v);
/* LEB128, at most 10 bytes. */
void buf_put_varint(struct buf *b, uint64_t v);
/* The length as a varint, and the bytes. */
void buf_put_sized(struct buf *b, str bytes);

static inline str buf_str(const struct buf *b)
{
	return (str){b->p ? b->p : "", b->n};
}

/* Empties it and keeps the memory. */
static inline void buf_reset(struct buf *b)
{
	b->n = 0;
	b->over = false;
}

/*
 * Reading side for stored records: a cursor over a str. Each get returns false at a short input and
 * leaves the cursor where it was.
 */
bool str_take(str *in, size_t n, str *ret_part);
bool str_take_u8(str *in, uint8_t *ret_value);
bool str_take_be16(str *in, uint16_t *ret_value);
bool str_take_be32(str *in, uint32_t *ret_value);
bool str_take_be64(str *in, uint64_t *ret_value);
bool str_take_varint(str *in, uint64_t *ret_value);
bool str_take_sized(str *in, str *ret_bytes);

#endif
