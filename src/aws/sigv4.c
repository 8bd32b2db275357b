/*
 * Signature Version 4, verifying (sigv4.h).
 *
 * The canonical request is built from the raw request: S3 signs its path encoded once, every other
 * service encodes what is on the wire a second time.
 */
#include "aws/sigv4.h"

#include "base/check.h"
#include "base/rc.h"
#include "base/time.h"
#include "base/uri.h"

enum { CANONICAL_MAX = 256 * 1024, QUERY_PARAMETERS_MAX = 512 };

#define ALGORITHM "AWS4-HMAC-SHA256"

static int refuse(struct sigv4_error *ret_error, enum sigv4_problem problem, str message)
{
	*ret_error = (struct sigv4_error){.problem = problem, .message = message};
	return ERR_FAULT;
}

static int mismatch(struct sigv4_error *ret_error)
{
	*ret_error = (struct sigv4_error){.problem = SIGV4_MISMATCH,
		.signature = true,
		.message = STR("The request signature we calculated does not match the signature "
			       "you provided. Check your AWS Secret Access Key and signing method. "
			       "Consult the service documentation for details.")};
	return ERR_FAULT;
}

static str header_of(const struct sigv4_request *r, enum http_name known, str name)
{
	for (unsigned i = 0; i < r->header_count; i++) {
		const struct http_header *h = &r->headers[i];

		if (h->known == known || (h->known == HTTP_NAME_OTHER && h->name.n == name.n &&
						 str_eq_nocase(h->name, name)))
			return h->value;
	}
	return STR_NULL;
}

static bool is_hex64(str s)
{
	unsigned bad = 0;

	if (s.n != 64)
		return false;
	for (size_t i = 0; i < 64; i++) { /* without branches: the compiler makes vectors of it */
		unsigned char c = (unsigned char)s.p[i];

		bad |= ((unsigned char)(c - '0') > 9) & ((unsigned char)(c - 'a') > 5);
	}
	return !bad;
}

/* ---- parsing ---- */

/* "key/20150830/us-east-1/iam/aws4_request"; the key itself may hold slashes. */
static int parse_credential(
	struct arena *a, str credential, struct sigv4_auth *auth, struct sigv4_error *ret_error)
{
	str rest = credential, part[4];

	for (int i = 3; i >= 0; i--) {
		ptrdiff_t slash = str_find_last(rest, '/');

		if (slash < 0)
			return refuse(ret_error, SIGV4_INCOMPLETE,
				arena_printf(a,
					"Credential must have exactly 5 slash-delimited elements, "
					"e.g. keyid/date/region/service/term, got '%.*s'",
					(int)MIN(credential.n, (size_t)256), credential.p));
		part[i] = str_from(rest, (size_t)slash + 1);
		rest = str_sub(rest, 0, (size_t)slash);
	}
	if (!str_eq(part[3], STR("aws4_request")))
		return refuse(ret_error, SIGV4_MISMATCH,
			arena_printf(a,
				"Credential should be scoped with a valid terminator: "
				"'aws4_request', not '%.*s'.",
				(int)MIN(part[3].n, (size_t)64), part[3].p));
	if (rest.n == 0 || part[0].n != 8 || part[1].n == 0 || part[2].n == 0)
		return refuse(ret_error, SIGV4_INCOMPLETE,
			STR("Credential names no key, date, region or service."));
	auth->access_key = rest;
	auth->date = part[0];
	auth->region = part[1];
	auth->service = part[2];
	auth->scope = str_of(part[0].p, (size_t)(credential.p + credential.n - part[0].p));
	return 0;
}

/* What both kinds share, once their parts have been found. */
static int complete(struct arena *a, struct sigv4_auth *auth, struct sigv4_error *ret_error)
{
	if (time_parse_amz(auth->timestamp, &auth->time_ms) < 0)
		return refuse(ret_error, SIGV4_INCOMPLETE,
			arena_printf(a,
				"Date must be in ISO-8601 'basic format'. Got '%.*s'. See "
				"http://en.wikipedia.org/wiki/ISO_8601",
				(int)MIN(auth->timestamp.n, (size_t)64), auth->timestamp.p));
	if (!str_eq(auth->date, str_sub(auth->timestamp, 0, 8)))
		return refuse(ret_error, SIGV4_MISMATCH,
			arena_printf(a,
				"Date in Credential scope does not match YYYYMMDD from ISO-8601 "
				"version of date from HTTP: '%.*s' != '%.*s', from '%.*s'.",
				STR_ARG(auth->date), 8, auth->timestamp.p,
				STR_ARG(auth->timestamp)));
	if (!is_hex64(auth->signature))
		return mismatch(ret_error);
	return 0;
}

static int parse_header(struct arena *a, const struct sigv4_request *r, str header,
	struct sigv4_auth *auth, struct sigv4_error *ret_error)
{
	str rest = str_from(header, sizeof(ALGORITHM) - 1), part;
	str credential = STR_NULL, date = header_of(r, HTTP_NAME_X_AMZ_DATE, STR("x-amz-date"));
	struct buf missing;

	while (str_split(&rest, ',', &part)) {
		ptrdiff_t equals;
		str name, value;

		part = str_trim(part);
		equals = str_find(part, '=');
		if (equals < 0)
			continue;
		name = str_sub(part, 0, (size_t)equals);
		value = str_from(part, (size_t)equals + 1);
		if (str_eq(name, STR("Credential")))
			credential = value;
		else if (str_eq(name, STR("SignedHeaders")))
			auth->signed_headers = value;
		else if (str_eq(name, STR("Signature")))
			auth->signature = value;
	}
	buf_init(&missing, a, 1024);
	if (!credential.p)
		buf_put(&missing, STR("Authorization header requires 'Credential' parameter. "));
	if (!auth->signature.p)
		buf_put(&missing, STR("Authorization header requires 'Signature' parameter. "));
	if (!auth->signed_headers.p)
		buf_put(&missing, STR("Authorization header requires 'SignedHeaders' parameter. "));
	if (date.p) {
		auth->timestamp = date;
	} else {
		int64_t ms;
		struct buf text;

		date = header_of(r, HTTP_NAME_DATE, STR("date"));
		buf_init(&text, a, TIME_TEXT_MAX);
		if (!date.p)
			buf_put(&missing, STR("Authorization header requires existence of either a "
					      "'X-Amz-Date' or a 'Date' header. "));
		else if (time_parse_http(date, &ms) >= 0)
			time_put_amz(&text, ms);
		auth->timestamp = text.n ? buf_str(&text) : date;
	}
	if (missing.n) {
		buf_put(&missing, STR("Authorization=" ALGORITHM));
		return refuse(ret_error, SIGV4_INCOMPLETE, buf_str(&missing));
	}
	TRY(parse_credential(a, credential, auth, ret_error));
	auth->token = header_of(r, HTTP_NAME_X_AMZ_SECURITY_TOKEN, STR("x-amz-security-token"));
	return complete(a, auth, ret_error);
}

/* A parameter of the query string, decoded: 1, 0, or ERR_SYNTAX. A second one is refused. */
static int parameter(struct arena *a, str query, str name, str *ret_value)
{
	struct uri_query q = uri_query_of(query);
	str at, value;
	int found = 0;

	while (uri_query_next(&q, &at, &value)) {
		if (!uri_is(at, name))
			continue;
		if (found++)
			return ERR_SYNTAX;
		TRY(uri_decode(a, value.p ? value : STR(""), URI_PLUS_IS_SPACE, ret_value));
	}
	return found;
}

static int parse_query(struct arena *a, const struct sigv4_request *r, struct sigv4_auth *auth,
	struct sigv4_error *ret_error)
{
	str algorithm = STR_NULL, credential = STR_NULL, expires = STR_NULL, hash = STR_NULL;
	const struct {
		str name;
		str *to;
		bool needed;
	} parts[] = {
		{STR("X-Amz-Algorithm"), &algorithm, true},
		{STR("X-Amz-Credential"), &credential, true},
		{STR("X-Amz-Signature"), &auth->signature, true},
		{STR("X-Amz-SignedHeaders"), &auth->signed_headers, true},
		{STR("X-Amz-Date"), &auth->timestamp, true},
		{STR("X-Amz-Expires"), &expires, false},
		{STR("X-Amz-Security-Token"), &auth->token, false},
		{STR("X-Amz-Content-Sha256"), &hash, false},
	};
	uint64_t seconds;

	auth->presigned = true;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int rc = parameter(a, r->query, parts[i].name, parts[i].to);

		if (rc < 0 || (rc == 0 && parts[i].needed))
			return refuse(ret_error, SIGV4_INCOMPLETE,
				arena_printf(a,
					"AWS query-string parameters must include '%.*s'%s.",
					STR_ARG(parts[i].name),
					rc < 0 ? " once, validly encoded" : ""));
	}
	if (!str_eq(algorithm, STR(ALGORITHM)))
		return refuse(ret_error, SIGV4_UNSUPPORTED,
			arena_printf(a, "Unsupported signature algorithm '%.*s': " ALGORITHM " is.",
				(int)MIN(algorithm.n, (size_t)64), algorithm.p));
	auth->expires_s = SIGV4_SKEW_MS / 1000;
	if (expires.p) {
		if (str_to_u64(expires, SIGV4_EXPIRES_MAX, &seconds) < 0 || seconds < 1)
			return refuse(ret_error, SIGV4_INCOMPLETE,
				STR("X-Amz-Expires must be between 1 and 604800 seconds."));
		auth->expires_s = (int64_t)seconds;
	}
	if (hash.p && !auth->payload_hash.p)
		auth->payload_hash = hash;
	TRY(parse_credential(a, credential, auth, ret_error));
	return complete(a, auth, ret_error);
}

int sigv4_parse(struct arena *a, const struct sigv4_request *r, struct sigv4_auth *ret_auth,
	struct sigv4_error *ret_error)
{
	str header = header_of(r, HTTP_NAME_AUTHORIZATION, STR("authorization")), unused;
	struct sigv4_auth auth = {.presigned = false};
	bool in_query =
		r->query.n && (parameter(a, r->query, STR("X-Amz-Algorithm"), &unused) ||
				      parameter(a, r->query, STR("X-Amz-Signature"), &unused));

	if (!header.p && !in_query)
		return 0;
	if (header.p && in_query)
		return refuse(ret_error, SIGV4_INCOMPLETE,
			STR("A request is signed in its Authorization header or in its query "
			    "string, not in both."));
	auth.payload_hash =
		header_of(r, HTTP_NAME_X_AMZ_CONTENT_SHA256, STR("x-amz-content-sha256"));
	if (header.p) {
		size_t n = sizeof(ALGORITHM) - 1;

		if (!str_starts(header, STR(ALGORITHM)) ||
			(header.n > n && header.p[n] != ' ' && header.p[n] != '\t'))
			return refuse(ret_error,
				str_starts(header, STR("AWS")) ? SIGV4_UNSUPPORTED
							       : SIGV4_INCOMPLETE,
				STR("The Authorization header is not of the kind " ALGORITHM "."));
		TRY(parse_header(a, r, header, &auth, ret_error));
	} else {
		TRY(parse_query(a, r, &auth, ret_error));
	}
	*ret_auth = auth;
	return 1;
}

/* ---- times ---- */

static str amz_time(struct arena *a, int64_t ms)
{
	struct buf text;

	buf_init(&text, a, TIME_TEXT_MAX);
	time_put_amz(&text, ms);
	return buf_str(&text);
}

int sigv4_check_time(struct arena *a, const struct sigv4_auth *auth, int64_t now_ms,
	struct sigv4_error *ret_error)
{
	int64_t valid_ms = auth->presigned ? auth->expires_s * 1000 : SIGV4_SKEW_MS;
	str now;

	if (likely(auth->time_ms <= now_ms + SIGV4_SKEW_MS && now_ms <= auth->time_ms + valid_ms))
		return 0;
	now = amz_time(a, now_ms);
	if (auth->time_ms > now_ms)
		return refuse(ret_error, SIGV4_EXPIRED,
			arena_printf(a,
				"Signature not yet current: %.*s is still later than %.*s (%.*s + "
				"15 min.)",
				STR_ARG(auth->timestamp),
				STR_ARG(amz_time(a, now_ms + SIGV4_SKEW_MS)), STR_ARG(now)));
	return refuse(ret_error, SIGV4_EXPIRED,
		arena_printf(a,
			"Signature expired: %.*s is now earlier than %.*s (%.*s - %lld %s.)",
			STR_ARG(auth->timestamp), STR_ARG(amz_time(a, now_ms - valid_ms)),
			STR_ARG(now),
			(long long)(valid_ms % 60000 ? valid_ms / 1000 : valid_ms / 60000),
			valid_ms % 60000 ? "s" : "min"));
}

/* ---- the canonical request ---- */

static void put_path(struct buf *out, struct arena *a, str path, bool s3)
{
	str decoded;

	if (path.n == 1 && path.p[0] == '/') {
		buf_put_char(out, '/');
	} else if (s3) {
		if (uri_decode(a, path, URI_PLAIN, &decoded) < 0)
			decoded = path;
		uri_put_encoded(out, decoded, URI_KEEP_SLASH);
	} else {
		uri_put_encoded(out, uri_normalize_path(a, path), URI_KEEP_SLASH);
	}
}

struct pair {
	str name, value;
};

static int pair_order(const struct pair *a, const struct pair *b)
{
	int order = str_cmp(a->name, b->name);

	return order ? order : str_cmp(a->value, b->value);
}

/* Decoded and encoded again, because clients differ in what they leave unescaped; '+' is a space,
 * as it is for whoever reads the parameter: "%2B" and '+' are not the same request. */
static str recoded(struct arena *a, str text)
{
	struct buf out;
	str decoded;

	if (uri_decode(a, text, URI_PLUS_IS_SPACE, &decoded) < 0)
		decoded = text;
	buf_init(&out, a, CANONICAL_MAX);
	uri_put_encoded(&out, decoded, URI_COMPONENT);
	return buf_str(&out);
}

static int put_query(
	struct buf *out, struct arena *a, str query, bool presigned, struct sigv4_error *ret_error)
{
	struct uri_query q = uri_query_of(query);
	struct pair *pairs;
	unsigned count = 0;
	str name, value;

	if (query.n == 0)
		return 0;
	pairs = arena_new_array(a, struct pair, QUERY_PARAMETERS_MAX);
	while (uri_query_next(&q, &name, &value)) {
		struct pair p;
		unsigned at;

		if (presigned && uri_is(name, STR("X-Amz-Signature")))
			continue;
		if (count == QUERY_PARAMETERS_MAX)
			return refuse(ret_error, SIGV4_INCOMPLETE,
				STR("The query string has more than 512 parameters."));
		p = (struct pair){recoded(a, name), recoded(a, value.p ? value : STR(""))};
		for (at = count++; at > 0 && pair_order(&p, &pairs[at - 1]) < 0; at--)
			pairs[at] = pairs[at - 1];
		pairs[at] = p;
	}
	for (unsigned i = 0; i < count; i++) {
		if (i)
			buf_put_char(out, '&');
		buf_put(out, pairs[i].name);
		buf_put_char(out, '=');
		buf_put(out, pairs[i].value);
	}
	return 0;
}

/* A header's value with runs of spaces made one. */
static void put_squeezed(struct buf *out, str value)
{
	value = str_trim(value);
	if (likely(str_find(value, ' ') < 0)) {
		buf_put(out, value);
		return;
	}
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] != ' ' || value.p[i - 1] != ' ')
			buf_put_char(out, value.p[i]);
}

static bool is_signed(const struct sigv4_auth *auth, str name)
{
	str rest = auth->signed_headers, part;

	while (str_split(&rest, ';', &part))
		if (part.n == name.n && str_eq_nocase(part, name))
			return true;
	return false;
}

static int check_signed(struct arena *a, const struct sigv4_request *r,
	const struct sigv4_auth *auth, struct sigv4_error *ret_error)
{
	if (!is_signed(auth, STR("host")))
		return refuse(ret_error, SIGV4_MISMATCH,
			STR("'Host' or ':authority' must be a 'SignedHeader' in the AWS "
			    "Authorization."));
	for (unsigned i = 0; i < r->header_count; i++) {
		str name = r->headers[i].name;

		if (name.n > 6 && (name.p[0] | 0x20) == 'x' && name.p[1] == '-' &&
			str_eq_nocase(str_sub(name, 0, 6), STR("x-amz-")) && !is_signed(auth, name))
			return refuse(ret_error, SIGV4_MISMATCH,
				arena_printf(a,
					"'%.*s' must be a 'SignedHeader' in the AWS Authorization.",
					STR_ARG(name)));
	}
	return 0;
}

static int put_headers(struct buf *out, struct arena *a, const struct sigv4_request *r,
	const struct sigv4_auth *auth, struct sigv4_error *ret_error)
{
	str rest = auth->signed_headers, part, before = STR_NULL;
	unsigned count = 0;

	while (str_split(&rest, ';', &part)) {
		unsigned found = 0;

		if (++count > SIGV4_SIGNED_HEADERS_MAX)
			return refuse(ret_error, SIGV4_INCOMPLETE,
				STR("SignedHeaders names more than 64 headers."));
		if (before.p && str_cmp(before, part) >= 0)
			return refuse(ret_error, SIGV4_INCOMPLETE,
				STR("SignedHeaders must be sorted, each header once."));
		before = part;
		buf_put(out, part);
		buf_put_char(out, ':');
		for (unsigned i = 0; i < r->header_count; i++) {
			if (r->headers[i].name.n != part.n ||
				!str_eq_nocase(r->headers[i].name, part))
				continue;
			if (found++)
				buf_put_char(out, ',');
			put_squeezed(out, r->headers[i].value);
		}
		if (!found)
			return refuse(ret_error, SIGV4_MISMATCH,
				arena_printf(a, "The signed header '%.*s' is not in the request.",
					(int)MIN(part.n, (size_t)128), part.p));
		buf_put_char(out, '\n');
	}
	return 0;
}

int sigv4_canonical_request(struct arena *a, const struct sigv4_request *r,
	const struct sigv4_auth *auth, str payload_hash, str *ret_text,
	struct sigv4_error *ret_error)
{
	struct buf out;

	buf_init(&out, a, CANONICAL_MAX);
	(void)buf_room(&out, 1024);
	buf_put(&out, r->method);
	buf_put_char(&out, '\n');
	put_path(&out, a, r->path, str_eq(auth->service, STR("s3")));
	buf_put_char(&out, '\n');
	TRY(put_query(&out, a, r->query, auth->presigned, ret_error));
	buf_put_char(&out, '\n');
	TRY(put_headers(&out, a, r, auth, ret_error));
	buf_put_char(&out, '\n');
	buf_put(&out, auth->signed_headers);
	buf_put_char(&out, '\n');
	buf_put(&out, payload_hash);
	if (out.over)
		return refuse(ret_error, SIGV4_INCOMPLETE, STR("The request's head is too large."));
	*ret_text = buf_str(&out);
	return 0;
}

str sigv4_string_to_sign(struct arena *a, const struct sigv4_auth *auth, str canonical_request)
{
	uint8_t digest[SHA256_BYTES];
	char hex[2 * SHA256_BYTES];

	sha256_of(canonical_request, digest);
	hex_encode(digest, sizeof(digest), hex);
	return ARENA_CONCAT(a, STR(ALGORITHM "\n"), auth->timestamp, STR("\n"), auth->scope,
		STR("\n"), str_of(hex, sizeof(hex)));
}

/* ---- keys and the comparison ---- */

void sigv4_derive_key(str secret, str date, str region, str service, struct hmac_key *ret_key)
{
	uint8_t mac[SHA256_BYTES];
	struct hmac_key key;
	const str steps[] = {date, region, service, STR("aws4_request")};
	struct sha256 h;

	if (secret.n <= 60) { /* every real secret: "AWS4" and the secret are one block */
		char first[64];

		memcpy(first, "AWS4", 4);
		if (secret.n)
			memcpy(first + 4, secret.p, secret.n);
		hmac_key_init(&key, str_of(first, secret.n + 4));
	} else { /* RFC 2104: longer keys are hashed first */
		sha256_init(&h);
		sha256_add(&h, STR("AWS4"));
		sha256_add(&h, secret);
		sha256_finish(&h, mac);
		hmac_key_init(&key, str_of(mac, sizeof(mac)));
	}
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		hmac_sha256(&key, steps[i], mac);
		hmac_key_init(&key, str_of(mac, sizeof(mac)));
	}
	*ret_key = key;
}

/* The hash that stands in the canonical request: of the body, or what the client declared. */
static int payload_hash(const struct sigv4_auth *auth, str body, char hex[2 * SHA256_BYTES],
	str *ret_hash, struct sigv4_error *ret_error)
{
	uint8_t digest[SHA256_BYTES];
	str declared = auth->payload_hash;

	if (str_starts(declared, STR("STREAMING-")))
		return refuse(ret_error, SIGV4_UNSUPPORTED,
			STR("Signatures of chunks (x-amz-content-sha256: STREAMING-...) are not "
			    "supported here."));
	if (str_eq(declared, STR("UNSIGNED-PAYLOAD")) ||
		(auth->presigned && !declared.p && str_eq(auth->service, STR("s3")))) {
		*ret_hash = STR("UNSIGNED-PAYLOAD");
		return 0;
	}
	sha256_of(body, digest);
	hex_encode(digest, sizeof(digest), hex);
	*ret_hash = str_of(hex, 2 * SHA256_BYTES);
	if (declared.p && !str_eq(declared, *ret_hash))
		return refuse(ret_error, SIGV4_MISMATCH,
			STR("The provided 'x-amz-content-sha256' header does not match what was "
			    "computed."));
	return 0;
}

static int verify_hash(struct arena *a, const struct sigv4_request *r,
	const struct sigv4_auth *auth, str hash, const struct hmac_key *key,
	struct sigv4_error *ret_error)
{
	char hex[2 * SHA256_BYTES];
	uint8_t mac[SHA256_BYTES];
	str canonical;

	TRY(sigv4_canonical_request(a, r, auth, hash, &canonical, ret_error));
	hmac_sha256(key, sigv4_string_to_sign(a, auth, canonical), mac);
	hex_encode(mac, sizeof(mac), hex);
	if (!str_eq_secret(str_of(hex, sizeof(hex)), auth->signature))
		return mismatch(ret_error);
	return 0;
}

int sigv4_verify(struct arena *a, const struct sigv4_request *r, const struct sigv4_auth *auth,
	str body, const struct hmac_key *key, struct sigv4_error *ret_error)
{
	char hex[2 * SHA256_BYTES];
	str hash;

	TRY(check_signed(a, r, auth, ret_error));
	TRY(payload_hash(auth, body, hex, &hash, ret_error));
	return verify_hash(a, r, auth, hash, key, ret_error);
}

int sigv4_verify_declared(struct arena *a, const struct sigv4_request *r,
	const struct sigv4_auth *auth, const struct hmac_key *key, struct sigv4_error *ret_error)
{
	str hash = auth->payload_hash.p ? auth->payload_hash : STR("UNSIGNED-PAYLOAD");

	TRY(check_signed(a, r, auth, ret_error));
	return verify_hash(a, r, auth, hash, key, ret_error);
}
