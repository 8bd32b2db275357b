/*
 * aws-chunked, see chunked.h.
 */
#include "aws/chunked.h"

#include "base/check.h"

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

void chunked_init(struct chunked *c, const struct chunked_options *options)
{
	check(!options->is_signed || options->seed.n == CHUNKED_SIGNATURE_BYTES);
	*c = (struct chunked){.options = *options};
	if (options->is_signed)
		memcpy(c->before, options->seed.p, CHUNKED_SIGNATURE_BYTES);
}

/* ---- signatures ---- */

static void sign(const struct chunked *c, str algorithm, str middle, const uint8_t digest[],
	char ret_hex[CHUNKED_SIGNATURE_BYTES])
{
	const struct hmac_key *key = c->options.key;
	uint8_t mac[SHA256_BYTES];
	struct sha256 h = key->inner;
	char hex[2 * SHA256_BYTES];

	sha256_add(&h, algorithm);
	sha256_add(&h, STR("\n"));
	sha256_add(&h, c->options.timestamp);
	sha256_add(&h, STR("\n"));
	sha256_add(&h, c->options.scope);
	sha256_add(&h, STR("\n"));
	sha256_add(&h, str_of(c->before, CHUNKED_SIGNATURE_BYTES));
	sha256_add(&h, STR("\n"));
	sha256_add(&h, middle);
	hex_encode(digest, SHA256_BYTES, hex);
	sha256_add(&h, str_of(hex, sizeof hex));
	hmac_finish(key, &h, mac);
	hex_encode(mac, sizeof mac, ret_hex);
}

static int verify(struct chunked *c, str given, str algorithm, str middle, const uint8_t digest[])
{
	char right[CHUNKED_SIGNATURE_BYTES];

	if (c->options.key) {
		sign(c, algorithm, middle, digest, right);
		if (!str_eq_secret(str_of(right, sizeof right), given))
			return ERR_INVALID;
	}
	memcpy(c->before, given.p, CHUNKED_SIGNATURE_BYTES);
	return 0;
}

static int verify_chunk(struct chunked *c)
{
	uint8_t digest[SHA256_BYTES];

	if (!c->options.is_signed)
		return 0;
	sha256_finish(&c->hash, digest);
	return verify(c, str_of(c->signature, sizeof c->signature), STR("AWS4-HMAC-SHA256-PAYLOAD"),
		STR(EMPTY_HASH "\n"), digest);
}

static int verify_trailer(struct chunked *c, str given)
{
	uint8_t digest[SHA256_BYTES];

	if (given.n != CHUNKED_SIGNATURE_BYTES)
		return ERR_SYNTAX;
	sha256_of(str_of(c->trailers, c->trailers_n), digest);
	c->trailer_signed = true;
	return verify(c, given, STR("AWS4-HMAC-SHA256-TRAILER"), STR(""), digest);
}

/* ---- lines ---- */

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "10000" or "10000;chunk-signature=<64 hex>" */
static int read_size(struct chunked *c, str line)
{
	static const str name = STR_INIT(";chunk-signature=");
	uint64_t size = 0;
	size_t at = 0;

	for (; at < line.n && digit_of(line.p[at]) >= 0; at++) {
		if (at == 15) /* 2^60 bytes */
			return ERR_SYNTAX;
		size = size << 4 | (unsigned)digit_of(line.p[at]);
	}
	if (at == 0)
		return ERR_SYNTAX;
	line = str_from(line, at);
	if (!c->options.is_signed) {
		if (line.n)
			return ERR_SYNTAX;
	} else {
		if (!str_starts(line, name) || line.n != name.n + CHUNKED_SIGNATURE_BYTES)
			return ERR_SYNTAX;
		memcpy(c->signature, line.p + name.n, CHUNKED_SIGNATURE_BYTES);
		sha256_init(&c->hash);
	}
	c->left = size;
	c->state = CHUNKED_DATA;
	if (size)
		return 0;
	TRY(verify_chunk(c));
	c->state = CHUNKED_TRAILER;
	return 0;
}

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static int keep_trailer(struct chunked *c, str name, str value)
{
	if (c->trailers_n + name.n + value.n + 2 > CHUNKED_TRAILERS_MAX || name.n == 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < name.n; i++)
		c->trailers[c->trailers_n++] = lower(name.p[i]);
	c->trailers[c->trailers_n++] = ':';
	memcpy(c->trailers + c->trailers_n, value.p, value.n);
	c->trailers_n += value.n;
	c->trailers[c->trailers_n++] = '\n';
	return 0;
}

static int read_trailer(struct chunked *c, str line)
{
	str name, rest = line;

	/* Some clients end the last trailer before its signature with a line feed of its own. */
	while (rest.n && rest.p[rest.n - 1] == '\n')
		rest.n--;
	if (rest.n == 0) {
		if (c->options.is_signed && c->options.has_trailer && c->trailers_n &&
			!c->trailer_signed)
			return ERR_INVALID;
		c->state = CHUNKED_END;
		return 0;
	}
	if (!c->options.has_trailer || c->trailer_signed || str_find(rest, ':') < 0 ||
		str_find(rest, '\n') >= 0)
		return ERR_SYNTAX;
	str_split(&rest, ':', &name);
	rest = str_trim(rest);
	if (c->options.is_signed && str_eq_nocase(name, STR("x-amz-trailer-signature")))
		return verify_trailer(c, rest);
	return keep_trailer(c, name, rest);
}

/* Moves a line's bytes from *in: 1 when it is whole (without its CRLF, in c->line), 0 for more. */
static int take_line(struct chunked *c, str *in)
{
	while (in->n) {
		char at = *in->p;

		*in = str_from(*in, 1);
		if (at == '\n' && c->line_n && c->line[c->line_n - 1] == '\r') {
			c->line_n--;
			return 1;
		}
		if (c->line_n == CHUNKED_LINE_MAX)
			return ERR_SYNTAX;
		c->line[c->line_n++] = at;
	}
	return 0;
}

static int take_data(struct chunked *c, str *in, void *to, size_t n)
{
	n = MIN(n, in->n);
	n = MIN((uint64_t)n, c->left);
	memcpy(to, in->p, n);
	if (c->options.is_signed)
		sha256_add(&c->hash, str_of(in->p, n));
	*in = str_from(*in, n);
	c->left -= n;
	if (c->left == 0)
		c->state = CHUNKED_DATA_CR;
	return (int)n;
}

static int take_end(struct chunked *c, str *in)
{
	char want = c->state == CHUNKED_DATA_CR ? '\r' : '\n';

	if (*in->p != want)
		return ERR_SYNTAX;
	*in = str_from(*in, 1);
	if (want == '\r') {
		c->state = CHUNKED_DATA_LF;
		return 0;
	}
	c->state = CHUNKED_SIZE;
	return verify_chunk(c);
}

int chunked_read(struct chunked *c, str *in, void *to, size_t n)
{
	check(n > 0);
	while (in->n && c->state != CHUNKED_END) {
		str line;

		if (c->state == CHUNKED_DATA)
			return take_data(c, in, to, MIN(n, (size_t)INT32_MAX));
		if (c->state == CHUNKED_DATA_CR || c->state == CHUNKED_DATA_LF) {
			TRY(take_end(c, in));
			continue;
		}
		if (TRY(take_line(c, in)) == 0)
			break;
		line = str_of(c->line, c->line_n);
		c->line_n = 0;
		TRY(c->state == CHUNKED_SIZE ? read_size(c, line) : read_trailer(c, line));
	}
	return 0;
}

str chunked_trailer(const struct chunked *c, str name)
{
	str rest = str_of(c->trailers, c->trailers_n), line, key;

	if (!chunked_ended(c))
		return STR_NULL;
	while (str_split(&rest, '\n', &line))
		if (str_split(&line, ':', &key) && str_eq_nocase(key, name))
			return line;
	return STR_NULL;
}
