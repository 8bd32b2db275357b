/*
 * ECDSA over P-384 with SHA-384 (FIPS 186-5): keys, signatures, and their verification.
 *
 * A private key is PKCS #8 in DER, which holds the public one too; a signature is DER (RFC 3279).
 * The work is OpenSSL's. A key takes half a millisecond to make, a verification as long: not for a
 * loop's thread. Pure otherwise; any thread.
 */
#ifndef BASE_ECDSA_H
#define BASE_ECDSA_H

#include "base/buf.h"
#include "base/rc.h"

enum {
	ECDSA_KEY_MAX = 256,      /* bytes of a private key; those of P-384 have 185 */
	ECDSA_SIGNATURE_MAX = 104 /* P-384: at most 104 */
};

/* A new private key appended to `out`. ERR_INTERNAL: the library failed. */
must_use int ecdsa_key_new(struct buf *out);
/* The signature of `text` appended to `out`. ERR_CORRUPT: `key` is no such key. */
must_use int ecdsa_sign(str key, str text, struct buf *out);
/* 1: `signature` is one of `text` by `key` (a private key, whose public half is used); 0: it is
 * not. ERR_CORRUPT as above. */
must_use int ecdsa_verify(str key, str text, str signature);

#endif
