/*
 * Bodies that are checked while they come: S3's. The head is authenticated first, with what the
 * client says of the body (x-amz-content-sha256); then the body is read in parts, freed of its
 * aws-chunked form, and at its end everything that was said of it has to be true.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
#include "aws/gate_internal.h"
#include "base/check.h"
#include "base/uri.h"

enum {
	STREAM_BUFFER_BYTES = 16 * 1024, /* for framing; data goes past it where it can */
	STREAM_READ_MAX = 128 * 1024,    /* hashed at one go on the loop */
	HOISTED_HEADERS_MAX = 64
};

/* ---- headers of signed links ---- */

/* Is it a parameter of the signature itself? */
static bool is_signature_parameter(str name)
{
	static const str names[] = {STR_INIT("X-Amz-Algorithm"), STR_INIT("X-Amz-Credential"),
		STR_INIT("X-Amz-Date"), STR_INIT("X-Amz-Expires"), STR_INIT("X-Amz-SignedHeaders"),
		STR_INIT("X-Amz-Signature"), STR_INIT("X-Amz-Security-Token"),
		STR_INIT("X-Amz-Content-Sha256")};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq_nocase(name, names[i]))
			return true;
	return false;
}

/* Clients move x-amz-... headers into a link's query string; there they mean the same. */
static uint32_t hoist(struct gate_pass *p, struct http_header *to)
{
	struct uri_query q = uri_query_of(p->request->query);
	struct arena *a = p->call->arena;
	uint32_t count = 0;
	str name, value;

	while (count < HOISTED_HEADERS_MAX && uri_query_next(&q, &name, &value)) {
		if (uri_decode(a, name, URI_PLAIN, &name) < 0 || name.n < 7 ||
			!str_eq_nocase(str_sub(name, 0, 6), STR("x-amz-")) ||
			is_signature_parameter(name) ||
			uri_decode(a, value.p ? value : STR(""), URI_PLUS_IS_SPACE, &value) < 0)
			continue;
		to[count++] = (struct http_header){.name = name, .value = value};
	}
	return count;
}

const struct http_header *gate_headers(struct gate_pass *p, uint32_t *ret_count)
{
	const struct gate_request *r = p->request;
	struct http_header *all;

	*ret_count = r->header_count;
	if (!p->is_signed || !p->auth.presigned || !str_eq(p->auth.service, STR("s3")))
		return r->headers;
	if (!p->headers) {
		all = arena_new_array(
			p->call->arena, struct http_header, r->header_count + HOISTED_HEADERS_MAX);
		if (r->header_count)
			memcpy(all, r->headers, r->header_count * sizeof *all);
		p->header_count = r->header_count + hoist(p, all + r->header_count);
		p->headers = all;
	}
	*ret_count = p->header_count;
	return p->headers;
}

/* ---- what the client says of its body ---- */

static bool is_hash(str s)
{
	uint8_t bytes[SHA256_BYTES];

	return s.n == 2 * SHA256_BYTES && hex_decode(s, bytes) >= 0;
}

static int open_chunked(struct gate_pass *p, str declared)
{
	struct arena *a = p->call->arena;
	struct gate_stream *s = &p->stream;
	struct chunked_options options = {
		.is_signed = str_starts(declared, STR("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")),
		.has_trailer = str_ends(declared, STR("-TRAILER")),
		.key = p->key_known ? &p->key : NULL,
		.timestamp = p->auth.timestamp,
		.scope = p->auth.scope,
		.seed = p->auth.signature,
	};
	str length = call_header_get(p->call, STR("x-amz-decoded-content-length"));

	if (str_to_u64(length, INT64_MAX, &s->length) < 0)
		return gate_refuse(p, GATE_NO_LENGTH,
			"You must provide the x-amz-decoded-content-length HTTP header.");
	s->kind = GATE_STREAM_CHUNKED;
	s->chunked = arena_new(a, struct chunked);
	chunked_init(s->chunked, &options);
	return 0;
}

int gate_stream_open(struct gate_pass *p)
{
	struct gate_stream *s = &p->stream;
	str declared = p->is_signed ? p->auth.payload_hash : STR_NULL;

	s->length = p->request->body_length;
	if (!declared.p && p->is_signed && !p->auth.presigned)
		return gate_refuse(p, GATE_NO_HASH,
			"Missing required header for this request: x-amz-content-sha256");
	if (!declared.p || str_eq(declared, STR("UNSIGNED-PAYLOAD"))) {
		s->kind = GATE_STREAM_PLAIN;
		return 0;
	}
	if (is_hash(declared)) {
		s->kind = GATE_STREAM_HASHED;
		sha256_init(&s->hash);
		return 0;
	}
	if (str_eq(declared, STR("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")) ||
		str_eq(declared, STR("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")) ||
		str_eq(declared, STR("STREAMING-UNSIGNED-PAYLOAD-TRAILER")))
		return open_chunked(p, declared);
	if (str_starts(declared, STR("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")))
		return gate_refuse(p, GATE_NOT_IMPLEMENTED,
			"A header you provided implies functionality that is not implemented: "
			"x-amz-content-sha256: %.*s",
			(int)MIN(declared.n, (size_t)64), declared.p);
	return gate_refuse(p, GATE_INVALID,
		"x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "
		"STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.");
}

/* ---- reading ---- */

static int incomplete(struct gate_pass *p)
{
	return gate_refuse(p, GATE_BODY_INCOMPLETE,
		"You did not provide the number of bytes specified by the Content-Length HTTP "
		"header");
}

/* What came over the connection: how many bytes, 0 at the end. */
static int read_raw(struct gate_pass *p, void *to, size_t n)
{
	const struct gate_request *r = p->request;
	int rc;

	n = MIN(n, (size_t)STREAM_READ_MAX);
	if (r && r->body_read) {
		rc = r->body_read(r->body_arg, to, n);
		if (rc == ERR_EOF)
			return 0;
		return rc == ERR_SYNTAX || rc == ERR_TIMEOUT ? incomplete(p) : rc;
	}
	if (r && !p->body_read) {
		TRY(r->body(r->body_arg, GATE_ANSWER_MAX, &p->call->body));
		p->body_read = true;
	}
	n = MIN(n, p->call->body.n - p->stream.given);
	if (n)
		memcpy(to, p->call->body.p + p->stream.given, n);
	p->stream.given += n;
	return (int)n;
}

static int read_chunked(struct gate_pass *p, void *to, size_t n)
{
	struct gate_stream *s = &p->stream;
	int rc;

	if (!s->buffer)
		s->buffer = arena_bytes(p->call->arena, STREAM_BUFFER_BYTES);
	for (;;) {
		rc = chunked_read(s->chunked, &s->in, to, n);
		if (rc == ERR_INVALID)
			return gate_refuse(p, GATE_INVALID_SIGNATURE,
				"The request signature we calculated does not match the signature "
				"you provided. Check your key and signing method.");
		if (rc == ERR_SYNTAX || (chunked_ended(s->chunked) && s->in.n))
			return gate_refuse(p, GATE_BODY_INCOMPLETE,
				"The request body is not validly encoded as aws-chunked.");
		if (rc != 0)
			return rc;
		rc = TRY(read_raw(p, s->buffer, STREAM_BUFFER_BYTES));
		if (rc == 0)
			return chunked_ended(s->chunked) ? 0 : incomplete(p);
		s->in = str_of(s->buffer, (size_t)rc);
	}
}

static int hash_mismatch(struct gate_pass *p, str computed)
{
	int rc = gate_refuse(p, GATE_HASH_MISMATCH,
		"The provided 'x-amz-content-sha256' header does not match what was computed.");

	fault_detail(&p->call->fault, STR("ClientComputedContentSHA256"), p->auth.payload_hash);
	fault_detail(&p->call->fault, STR("S3ComputedContentSHA256"),
		arena_str(p->call->arena, computed));
	return rc;
}

static int check_end(struct gate_pass *p)
{
	struct gate_stream *s = &p->stream;
	uint8_t digest[SHA256_BYTES];
	char hex[2 * SHA256_BYTES];

	s->ended = true;
	if (s->length != UINT64_MAX && s->got != s->length)
		return incomplete(p);
	if (s->kind != GATE_STREAM_HASHED)
		return 0;
	sha256_finish(&s->hash, digest);
	hex_encode(digest, sizeof digest, hex);
	return str_eq_nocase(str_of(hex, sizeof hex), p->auth.payload_hash)
		       ? 0
		       : hash_mismatch(p, str_of(hex, sizeof hex));
}

int call_body_read(struct call *c, void *to, size_t n)
{
	struct gate_pass *p = c->pass;
	struct gate_stream *s;
	int got;

	check(c->magic == CALL_MAGIC && p != NULL);
	s = &p->stream;
	if (s->ended)
		return 0;
	got = TRY(s->kind == GATE_STREAM_CHUNKED ? read_chunked(p, to, n) : read_raw(p, to, n));
	if (got == 0)
		return check_end(p);
	s->got += (uint64_t)got;
	if (s->length != UINT64_MAX && s->got > s->length)
		return incomplete(p);
	if (s->kind == GATE_STREAM_HASHED)
		sha256_add(&s->hash, str_of(to, (size_t)got));
	return got;
}

uint64_t call_body_length(const struct call *c)
{
	return c->pass->stream.length;
}

str call_body_trailer(const struct call *c, str name)
{
	const struct gate_stream *s = &c->pass->stream;

	return s->kind == GATE_STREAM_CHUNKED ? chunked_trailer(s->chunked, name) : STR_NULL;
}

int gate_stream_all(struct gate_pass *p, size_t max)
{
	struct call *c = p->call;
	struct buf body;
	char *to;
	int n;

	if (p->stream.length != UINT64_MAX && p->stream.length > max)
		return gate_refuse(p, GATE_TOO_LARGE, "Your request was too big.");
	buf_init(&body, c->arena, max + STREAM_BUFFER_BYTES);
	do {
		to = buf_room(&body, STREAM_BUFFER_BYTES);
		if (!to)
			return gate_refuse(p, GATE_TOO_LARGE, "Your request was too big.");
		n = TRY(call_body_read(c, to, STREAM_BUFFER_BYTES));
		body.n += (size_t)n;
	} while (n > 0);
	if (body.n > max)
		return gate_refuse(p, GATE_TOO_LARGE, "Your request was too big.");
	c->body = buf_str(&body);
	p->body_read = true;
	return 0;
}
