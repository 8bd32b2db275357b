/*
 * See statement.h.
 */
#include "services/signer/statement.h"

#include "base/time.h"

static void put_digest(struct buf *out, const char *name, const uint8_t digest[SHA384_BYTES])
{
	buf_put(out, str_c(name));
	base64_put(out, str_of(digest, SHA384_BYTES));
	buf_put_char(out, '\n');
}

void signer_statement_put(struct buf *out, const struct statement *s)
{
	buf_printf(out,
		"Signature-Version: 1\n"
		"Platform: " STATEMENT_PLATFORM "\n"
		"Profile-Version: %.*s\n"
		"Job: %.*s\n"
		"Signed-At: ",
		STR_ARG(s->profile_version), STR_ARG(s->job));
	time_put_iso(out, s->signed_ms);
	buf_put(out, STR("\nExpires-At: "));
	time_put_iso(out, s->expires_ms);
	buf_printf(out, "\nEntries: %llu\nZip64: %s\nContent-Bytes: %llu\n",
		(unsigned long long)s->entries, s->zip64 ? "yes" : "no",
		(unsigned long long)s->content_bytes);
	put_digest(out, "Content-SHA-384: ", s->content);
	buf_printf(out, "Directory-Bytes: %llu\n", (unsigned long long)s->directory_bytes);
	put_digest(out, "Directory-SHA-384: ", s->directory);
}

void signer_statement_put_signature(struct buf *out, str signature)
{
	buf_put(out, STR("Signature: "));
	base64_put(out, signature);
	buf_put_char(out, '\n');
}

/* The value of the next line, which has to have that name. */
static int take(str *text, const char *name, str *ret_value)
{
	ptrdiff_t end = str_find(*text, '\n');
	str line = str_sub(*text, 0, end < 0 ? 0 : (size_t)end), label = str_c(name);

	if (end < 0 || !str_starts(line, label))
		return ERR_INVALID;
	*ret_value = str_from(line, label.n);
	*text = str_from(*text, (size_t)end + 1);
	return 0;
}

static int take_time(str *text, const char *name, int64_t *ret_ms)
{
	str value;

	TRY(take(text, name, &value));
	return time_parse_iso(value, ret_ms) < 0 ? ERR_INVALID : 0;
}

static int take_number(str *text, const char *name, uint64_t *ret_number)
{
	str value;

	TRY(take(text, name, &value));
	return str_to_u64(value, INT64_MAX, ret_number) < 0 ? ERR_INVALID : 0;
}

static int take_digest(str *text, const char *name, uint8_t ret_digest[SHA384_BYTES])
{
	uint8_t digest[SHA384_BYTES + 3];
	str value;
	size_t n;

	TRY(take(text, name, &value));
	if (value.n != base64_text_bytes(SHA384_BYTES) || base64_decode(value, digest, &n) < 0 ||
		n != SHA384_BYTES)
		return ERR_INVALID;
	memcpy(ret_digest, digest, SHA384_BYTES);
	return 0;
}

static int take_lines(struct arena *a, str *rest, str text, struct statement *s)
{
	str value;
	size_t n;

	TRY(take(rest, "Signature-Version: ", &value));
	TRY(take(rest, "Platform: ", &value));
	TRY(take(rest, "Profile-Version: ", &s->profile_version));
	TRY(take(rest, "Job: ", &s->job));
	TRY(take_time(rest, "Signed-At: ", &s->signed_ms));
	TRY(take_time(rest, "Expires-At: ", &s->expires_ms));
	TRY(take_number(rest, "Entries: ", &s->entries));
	TRY(take(rest, "Zip64: ", &value));
	s->zip64 = str_eq(value, STR("yes"));
	TRY(take_number(rest, "Content-Bytes: ", &s->content_bytes));
	TRY(take_digest(rest, "Content-SHA-384: ", s->content));
	TRY(take_number(rest, "Directory-Bytes: ", &s->directory_bytes));
	TRY(take_digest(rest, "Directory-SHA-384: ", s->directory));
	s->signed_text = str_sub(text, 0, text.n - rest->n);
	TRY(take(rest, "Signature: ", &value));
	s->signature.p = arena_bytes(a, base64_bytes_max(value.n) + 1);
	if (base64_decode(value, (uint8_t *)(uintptr_t)s->signature.p, &n) < 0)
		return ERR_INVALID;
	s->signature.n = n;
	return 0;
}

int signer_statement_parse(struct arena *a, str text, struct statement *ret_statement)
{
	struct statement s = {.entries = 0};
	str rest = text;
	struct buf again;

	if (text.n > SIGNER_STATEMENT_BYTES_MAX || take_lines(a, &rest, text, &s) < 0)
		return ERR_INVALID;
	buf_init(&again, a, 2 * SIGNER_STATEMENT_BYTES_MAX);
	signer_statement_put(&again, &s);
	signer_statement_put_signature(&again, s.signature);
	if (again.over || !str_eq(buf_str(&again), text))
		return ERR_INVALID;
	*ret_statement = s;
	return 0;
}
