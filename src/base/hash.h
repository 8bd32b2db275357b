/*
 * Digests, HMAC, CRC32, hexadecimal and base64.
 *
 * SHA-256 and SHA-384 (FIPS 180-4), SHA-1, MD5 (RFC 1321, for ETags), HMAC-SHA256 (RFC 2104), CRC32
 * (of zlib), base64 and base64url (RFC 4648). The states are plain structs: copying one by
 * assignment forks it, nothing is to be freed. The work is OpenSSL's and libdeflate's.
 *
 * Pure; any thread, one owner of a state at a time.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/buf.h"
#include "base/str.h"

enum {
	SHA384_BYTES = 48,
	SHA256_BYTES = 32,
	SHA1_BYTES = 20,
	MD5_BYTES = 16,
	HASH_HEX_MAX = 2 * SHA256_BYTES
};

/* Opaque states: room for the library's contexts, checked at compile time. */
struct sha256 {
	uint64_t state[14];
};
struct sha384 {
	uint64_t state[27];
};
struct sha1 {
	uint64_t state[12];
};
struct md5 {
	uint64_t state[12];
};

void sha256_init(struct sha256 *h);
void sha256_add(struct sha256 *h, str data);
/* The state is used up afterwards. */
void sha256_finish(struct sha256 *h, uint8_t ret_digest[SHA256_BYTES]);
void sha256_of(str data, uint8_t ret_digest[SHA256_BYTES]);

void sha384_init(struct sha384 *h);
void sha384_add(struct sha384 *h, str data);
void sha384_finish(struct sha384 *h, uint8_t ret_digest[SHA384_BYTES]);
void sha384_of(str data, uint8_t ret_digest[SHA384_BYTES]);

void sha1_init(struct sha1 *h);
void sha1_add(struct sha1 *h, str data);
void sha1_finish(struct sha1 *h, uint8_t ret_digest[SHA1_BYTES]);
void sha1_of(str data, uint8_t ret_digest[SHA1_BYTES]);

void md5_init(struct md5 *h);
void md5_add(struct md5 *h, str data);
void md5_finish(struct md5 *h, uint8_t ret_digest[MD5_BYTES]);
void md5_of(str data, uint8_t ret_digest[MD5_BYTES]);

/*
 * HMAC-SHA256. A key is prepared once (two compressions saved per message) and then used any number
 * of times, from any thread.
 */
struct hmac_key {
	struct sha256 inner, outer;
};
void hmac_key_init(struct hmac_key *k, str secret);
void hmac_sha256(const struct hmac_key *k, str data, uint8_t ret_mac[SHA256_BYTES]);
/* For data in parts: start with `h` = k->inner, sha256_add(), then this. */
void hmac_finish(const struct hmac_key *k, struct sha256 *h, uint8_t ret_mac[SHA256_BYTES]);
/* Key used once. */
void hmac_sha256_of(str secret, str data, uint8_t ret_mac[SHA256_BYTES]);

/* CRC-32 of zlib, continued from `crc` (0 at the start). */
uint32_t crc32_add(uint32_t crc, str data);

/* Lower-case; `ret_text` has 2 * n bytes, no NUL is written. */
void hex_encode(const uint8_t *bytes, size_t n, char *ret_text);
/* Either case; `ret_bytes` has text.n / 2 bytes. ERR_SYNTAX. */
must_use int hex_decode(str text, uint8_t *ret_bytes);

/* Length of the padded base64 text of `n` bytes. */
static inline size_t base64_text_bytes(size_t n)
{
	return (n + 2) / 3 * 4;
}
/* Padded text of the standard alphabet; returns its length, base64_text_bytes(n). */
size_t base64_encode(str bytes, char *ret_text);
void base64_put(struct buf *out, str bytes);
/* The url alphabet without padding. */
void base64url_put(struct buf *out, str bytes);
/* Upper bound for the decoded length of `n` characters. */
static inline size_t base64_bytes_max(size_t n)
{
	return (n + 3) / 4 * 3;
}
/*
 * Strict: padding is required, nothing else than the alphabet, unused bits are zero (so each value
 * has one text). `ret_bytes` has base64_bytes_max(text.n); it is scratch at an error. ERR_SYNTAX.
 */
must_use int base64_decode(str text, uint8_t *ret_bytes, size_t *ret_n);
/* Url alphabet, padding refused; strict otherwise. */
must_use int base64url_decode(str text, uint8_t *ret_bytes, size_t *ret_n);

#endif
