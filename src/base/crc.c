/*
 * Slicing by eight, and the joining of CRCs by powers of the shift operator over GF(2) (as zlib's
 * crc32_combine does it).
 */
#include "base/crc.h"

#define POLY_32     UINT64_C(0xedb88320)
#define POLY_32C    UINT64_C(0x82f63b78)
#define POLY_64NVME UINT64_C(0x9a6c9329ac4bc9b5)

static uint64_t shift_byte(uint64_t crc, uint64_t poly)
{
	for (unsigned bit = 0; bit < 8; bit++)
		crc = crc & 1 ? crc >> 1 ^ poly : crc >> 1;
	return crc;
}

void crc_tables_init(struct crc_tables *t)
{
	for (unsigned i = 0; i < 256; i++) {
		t->nvme[0][i] = shift_byte(i, POLY_64NVME);
		t->c[0][i] = (uint32_t)shift_byte(i, POLY_32C);
	}
	for (unsigned k = 1; k < 8; k++)
		for (unsigned i = 0; i < 256; i++) {
			uint64_t wide = t->nvme[k - 1][i];
			uint32_t narrow = t->c[k - 1][i];

			t->nvme[k][i] = wide >> 8 ^ t->nvme[0][wide & 0xff];
			t->c[k][i] = narrow >> 8 ^ t->c[0][narrow & 0xff];
		}
}

static uint64_t load_le64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

uint32_t crc32c_add(const struct crc_tables *t, uint32_t crc, str data)
{
	crc = ~crc;
	for (; data.n >= 8; data = str_from(data, 8)) {
		uint64_t v = load_le64(data.p) ^ crc;

		crc = t->c[7][v & 0xff] ^ t->c[6][v >> 8 & 0xff] ^ t->c[5][v >> 16 & 0xff] ^
		      t->c[4][v >> 24 & 0xff] ^ t->c[3][v >> 32 & 0xff] ^ t->c[2][v >> 40 & 0xff] ^
		      t->c[1][v >> 48 & 0xff] ^ t->c[0][v >> 56];
	}
	for (size_t i = 0; i < data.n; i++)
		crc = crc >> 8 ^ t->c[0][(crc ^ (unsigned char)data.p[i]) & 0xff];
	return ~crc;
}

uint64_t crc64nvme_add(const struct crc_tables *t, uint64_t crc, str data)
{
	crc = ~crc;
	for (; data.n >= 8; data = str_from(data, 8)) {
		uint64_t v = load_le64(data.p) ^ crc;

		crc = t->nvme[7][v & 0xff] ^ t->nvme[6][v >> 8 & 0xff] ^
		      t->nvme[5][v >> 16 & 0xff] ^ t->nvme[4][v >> 24 & 0xff] ^
		      t->nvme[3][v >> 32 & 0xff] ^ t->nvme[2][v >> 40 & 0xff] ^
		      t->nvme[1][v >> 48 & 0xff] ^ t->nvme[0][v >> 56];
	}
	for (size_t i = 0; i < data.n; i++)
		crc = crc >> 8 ^ t->nvme[0][(crc ^ (unsigned char)data.p[i]) & 0xff];
	return ~crc;
}

/* ---- joining ---- */

/* The product of a matrix (its columns) and a vector over GF(2). */
static uint64_t times(const uint64_t *matrix, uint64_t vector)
{
	uint64_t sum = 0;

	for (; vector; vector >>= 1, matrix++)
		if (vector & 1)
			sum ^= *matrix;
	return sum;
}

static void square(uint64_t *to, const uint64_t *matrix, unsigned bits)
{
	for (unsigned i = 0; i < bits; i++)
		to[i] = times(matrix, matrix[i]);
}

static uint64_t join(uint64_t first, uint64_t second, uint64_t bytes, uint64_t poly, unsigned bits)
{
	uint64_t power[2][64];
	unsigned at = 0;

	/* one zero bit */
	power[0][0] = poly;
	for (unsigned i = 1; i < bits; i++)
		power[0][i] = UINT64_C(1) << (i - 1);
	/* one zero byte: squared three times */
	for (unsigned i = 0; i < 3; i++, at ^= 1)
		square(power[at ^ 1], power[at], bits);
	for (; bytes; bytes >>= 1, at ^= 1) {
		if (bytes & 1)
			first = times(power[at], first);
		square(power[at ^ 1], power[at], bits);
	}
	return first ^ second;
}

uint32_t crc32_join(uint32_t first, uint32_t second, uint64_t second_bytes)
{
	return (uint32_t)join(first, second, second_bytes, POLY_32, 32);
}

uint32_t crc32c_join(uint32_t first, uint32_t second, uint64_t second_bytes)
{
	return (uint32_t)join(first, second, second_bytes, POLY_32C, 32);
}

uint64_t crc64nvme_join(uint64_t first, uint64_t second, uint64_t second_bytes)
{
	return join(first, second, second_bytes, POLY_64NVME, 64);
}
