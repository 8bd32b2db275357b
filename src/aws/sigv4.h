/*
 * Signature Version 4 on the server's side, in steps that can be tested one by one:
 *
 *     parse -> times -> (the caller finds the key's secret) -> derived key -> verify
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 * Signatures in the Authorization header and in the query string (presigned). Host and every
 * x-amz-* header present must be signed. Deriving a key costs four HMACs: callers cache it.
 *
 * Pure: no clocks, no storage, no state. SigV4A (ECDSA) is refused by name; the signatures of
 * chunks, which S3 has, are aws/chunked.h's.
 */
#ifndef AWS_SIGV4_H
#define AWS_SIGV4_H

#include "base/arena.h"
#include "base/hash.h"
#include "http/http.h"

/* Why a request is refused; the gate gives each its name in the protocol of the service. */
enum sigv4_problem {
	SIGV4_OK,
	SIGV4_INCOMPLETE, /* parts are missing or malformed */
	SIGV4_MISMATCH,   /* the signature, or what it covers, is not right */
	SIGV4_EXPIRED,
	SIGV4_UNSUPPORTED
};

struct sigv4_error {
	enum sigv4_problem problem;
	bool signature; /* MISMATCH: it is the signature itself */
	str message;
};

enum {
	SIGV4_SKEW_MS = 15 * 60 * 1000,
	SIGV4_EXPIRES_MAX = 604800, /* seconds */
	SIGV4_SIGNED_HEADERS_MAX = 64
};

struct sigv4_request {
	str method, path, query; /* raw, as on the wire */
	const struct http_header *headers;
	unsigned header_count;
};

struct sigv4_auth {
	bool presigned;
	str access_key, date, region, service; /* of the credential; date is YYYYMMDD */
	str scope;                             /* "20150830/us-east-1/iam/aws4_request" */
	str signed_headers;                    /* "content-type;host;x-amz-date" */
	str signature;                         /* 64 hexadecimal digits */
	str timestamp;                         /* YYYYMMDD'T'HHMMSS'Z' */
	int64_t time_ms;
	int64_t expires_s; /* presigned: X-Amz-Expires; else 0 */
	str token;         /* X-Amz-Security-Token, STR_NULL without one */
	str payload_hash;  /* X-Amz-Content-Sha256 as sent, STR_NULL without one */
};

/* 1 and *ret_auth; 0: the request carries no signature; ERR_FAULT and *ret_error. */
must_use int sigv4_parse(struct arena *a, const struct sigv4_request *r,
	struct sigv4_auth *ret_auth, struct sigv4_error *ret_error);
/* Is the signature's time within the skew, and not expired? 0 or ERR_FAULT. */
must_use int sigv4_check_time(struct arena *a, const struct sigv4_auth *auth, int64_t now_ms,
	struct sigv4_error *ret_error);
/* The signing key of a secret for a day, region and service, prepared for HMAC. */
void sigv4_derive_key(str secret, str date, str region, str service, struct hmac_key *ret_key);
/*
 * Is the signature that of the request with this body? 0 or ERR_FAULT. Compares in constant time.
 * The body's hash is computed unless the client signed UNSIGNED-PAYLOAD.
 */
must_use int sigv4_verify(struct arena *a, const struct sigv4_request *r,
	const struct sigv4_auth *auth, str body, const struct hmac_key *key,
	struct sigv4_error *ret_error);

/*
 * As above for S3, whose body is not there yet: with the hash that the client declares (or
 * UNSIGNED-PAYLOAD, or STREAMING-...), which is checked while the body comes (gate_body.c).
 */
must_use int sigv4_verify_declared(struct arena *a, const struct sigv4_request *r,
	const struct sigv4_auth *auth, const struct hmac_key *key, struct sigv4_error *ret_error);

/* The steps inside, for tests. */
int sigv4_canonical_request(struct arena *a, const struct sigv4_request *r,
	const struct sigv4_auth *auth, str payload_hash, str *ret_text,
	struct sigv4_error *ret_error);
str sigv4_string_to_sign(struct arena *a, const struct sigv4_auth *auth, str canonical_request);

#endif
