/*
 * Randomness of the kernel and the seeded generator.
 */
#include "base/random.h"

#include "base/check.h"

#include <errno.h>
#include <sys/random.h>

void random_bytes(void *to, size_t n)
{
	char *at = to;

	while (n > 0) {
		ssize_t got = getrandom(at, MIN(n, (size_t)256), 0);

		if (got < 0 && errno == EINTR)
			continue;
		check(got > 0);
		at += got;
		n -= (size_t)got;
	}
}

void random_seed(struct random *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t v = seed += 0x9e3779b97f4a7c15u;

		v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
		v = (v ^ v >> 27) * 0x94d049bb133111ebu;
		r->s[i] = v ^ v >> 31;
	}
}

static inline uint64_t rotate(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

uint64_t random_u64(struct random *r)
{
	uint64_t *s = r->s, result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t random_below(struct random *r, uint64_t n)
{
	uint64_t skip, v;

	check(n > 0);
	skip = (0 - n) % n; /* 2^64 mod n: these few would come once too often */
	do
		v = random_u64(r);
	while (v < skip);
	return v % n;
}

void random_fill(struct random *r, void *to, size_t n)
{
	char *at = to;

	while (n > 0) {
		uint64_t v = random_u64(r);
		size_t part = MIN(n, sizeof v);

		memcpy(at, &v, part);
		at += part;
		n -= part;
	}
}

void uuid_v4_text(const uint8_t bytes[16], char ret_text[UUID_TEXT_BYTES])
{
	static const char digit[] = "0123456789abcdef";
	char *at = ret_text;

	for (int i = 0; i < 16; i++) {
		uint8_t b = bytes[i];

		if (i == 6)
			b = (b & 0x0f) | 0x40;
		if (i == 8)
			b = (b & 0x3f) | 0x80;
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = digit[b >> 4];
		*at++ = digit[b & 15];
	}
}
