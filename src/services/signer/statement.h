/*
 * What is signed of an archive, and the signature, as a text in the archive itself.
 *
 * AWS does not publish the form of its own; this one is of cirrus, after the manifest and signature
 * files of signed JAR archives: lines "Name: value", in this order, each ended by one LF.
 *
 *     Signature-Version: 1
 *     Platform: AWSLambda-SHA384-ECDSA
 *     Profile-Version: arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/abcdefghij
 *     Job: arn:aws:signer:us-east-1:000000000000:/signing-jobs/...
 *     Signed-At: 2026-11-28T14:30:00Z
 *     Expires-At: 2038-02-28T14:30:00Z
 *     Entries: 12
 *     Zip64: no
 *     Content-Bytes: 81920
 *     Content-SHA-384: base64 of the digest of all bytes in front of this entry
 *     Directory-Bytes: 734
 *     Directory-SHA-384: base64 of that of the directory's other lines and the archive's comment
 *     Signature: base64 of an ECDSA signature (P-384, SHA-384, DER) of all lines above
 *
 * A statement has one text: what is parsed and written again has to be the same. Pure.
 */
#ifndef SERVICES_SIGNER_STATEMENT_H
#define SERVICES_SIGNER_STATEMENT_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/rc.h"
#include "services/signer/limits.h"

#define STATEMENT_PLATFORM "AWSLambda-SHA384-ECDSA"

struct statement {
	str profile_version, job;      /* ARNs */
	int64_t signed_ms, expires_ms; /* whole seconds */
	uint64_t entries;
	bool zip64;
	uint64_t content_bytes, directory_bytes;
	uint8_t content[SHA384_BYTES], directory[SHA384_BYTES];
	/* Of a text that was parsed. */
	str signed_text, signature; /* signature: DER, in the arena */
};

/* The lines that are signed. */
void signer_statement_put(struct buf *out, const struct statement *s);
/* The last line. */
void signer_statement_put_signature(struct buf *out, str signature);
/* A whole text, into which ARNs and signed_text point. ERR_INVALID. */
must_use int signer_statement_parse(struct arena *a, str text, struct statement *ret_statement);

#endif
