/*
 * Base64 and base64url (RFC 4648), declared in hash.h. Strict when decoding: one text per value.
 */
#include "base/hash.h"
#include "base/rc.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Value of a character + 1; 0: not in the alphabet. 62 and 63 differ. */
#define COMMON                                                                                  \
	['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8, \
	['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15,      \
	['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22,     \
	['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29,     \
	['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36,     \
	['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42, ['q'] = 43,     \
	['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50,     \
	['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57,     \
	['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62
static const uint8_t standard_value[256] = {COMMON, ['+'] = 63, ['/'] = 64};
static const uint8_t url_value[256] = {COMMON, ['-'] = 63, ['_'] = 64};

/* Returns the length; `pad` fills the last group with '='. */
static size_t encode(const char *alphabet, bool pad, str bytes, char *to)
{
	const uint8_t *p = (const uint8_t *)bytes.p;
	size_t left = bytes.n;
	char *at = to;

	for (; left >= 3; left -= 3, p += 3) {
		unsigned v = (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];

		*at++ = alphabet[v >> 18];
		*at++ = alphabet[v >> 12 & 63];
		*at++ = alphabet[v >> 6 & 63];
		*at++ = alphabet[v & 63];
	}
	if (left) {
		unsigned v = (unsigned)p[0] << 16 | (left == 2 ? (unsigned)p[1] << 8 : 0);

		*at++ = alphabet[v >> 18];
		*at++ = alphabet[v >> 12 & 63];
		if (left == 2)
			*at++ = alphabet[v >> 6 & 63];
		else if (pad)
			*at++ = '=';
		if (pad)
			*at++ = '=';
	}
	return (size_t)(at - to);
}

size_t base64_encode(str bytes, char *ret_text)
{
	return encode(standard, true, bytes, ret_text);
}

static void put(struct buf *out, const char *alphabet, bool pad, str bytes)
{
	char *to = buf_room(out, base64_text_bytes(bytes.n));

	if (to)
		out->n += encode(alphabet, pad, bytes, to);
}

void base64_put(struct buf *out, str bytes)
{
	put(out, standard, true, bytes);
}

void base64url_put(struct buf *out, str bytes)
{
	put(out, url, false, bytes);
}

/* `text` without padding. */
static int decode(const uint8_t *value, str text, uint8_t *to, size_t *ret_n)
{
	const unsigned char *p = (const unsigned char *)text.p, *end = p + text.n;
	uint8_t *at = to;

	for (; end - p >= 4; p += 4) {
		unsigned a = value[p[0]], b = value[p[1]], c = value[p[2]], d = value[p[3]], v;

		if (!a || !b || !c || !d)
			return ERR_SYNTAX;
		v = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
		*at++ = (uint8_t)(v >> 16);
		*at++ = (uint8_t)(v >> 8);
		*at++ = (uint8_t)v;
	}
	if (p < end) {
		unsigned a = value[p[0]], b = end - p > 1 ? value[p[1]] : 0,
			 c = end - p > 2 ? value[p[2]] : 1, v;

		if (!a || !b || !c)
			return ERR_SYNTAX;
		v = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6;
		*at++ = (uint8_t)(v >> 16);
		if (end - p > 2)
			*at++ = (uint8_t)(v >> 8);
		if (v & (end - p > 2 ? 0xffu : 0xffffu)) /* bits that no byte uses */
			return ERR_SYNTAX;
	}
	*ret_n = (size_t)(at - to);
	return 0;
}

int base64_decode(str text, uint8_t *ret_bytes, size_t *ret_n)
{
	if (text.n % 4)
		return ERR_SYNTAX;
	if (text.n && text.p[text.n - 1] == '=')
		text.n -= text.p[text.n - 2] == '=' ? 2 : 1;
	return decode(standard_value, text, ret_bytes, ret_n);
}

int base64url_decode(str text, uint8_t *ret_bytes, size_t *ret_n)
{
	return decode(url_value, text, ret_bytes, ret_n);
}
