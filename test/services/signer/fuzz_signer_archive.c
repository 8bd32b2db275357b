/*
 * Archives from strangers, to the signer and to the verifier. What may be signed and is signed is
 * verified; with any one bit changed it is not what was signed. What a verifier takes has the
 * digests that its statement says.
 */
#include "base/check.h"
#include "test/services/signer/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int look(struct arena *a, str bytes, struct statement *ret_statement)
{
	struct archive_source source = {zip_read, &bytes, bytes.n};
	const char *why = NULL;
	int rc = seal_read(&source, a, ret_statement, &why);

	check(rc >= 0 || (rc == ERR_INVALID && why));
	return rc;
}

static void check_taken(str bytes, const struct statement *s)
{
	uint8_t digest[SHA384_BYTES];

	check(s->content_bytes < bytes.n);
	sha384_of(str_sub(bytes, 0, s->content_bytes), digest);
	check(memcmp(digest, s->content, sizeof digest) == 0);
}

/* Which bit, the input decides. */
static void change(str sealed, str input)
{
	uint32_t crc = crc32_add(0, input);

	((char *)(uintptr_t)sealed.p)[(crc >> 3) % sealed.n] ^= (char)(1 << (crc & 7));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	str bytes = str_of(data, n), sealed;
	struct statement s, again;
	struct archive_end end;
	const char *why = NULL;
	int rc;

	arena_init(&a, SIZE_MAX);
	if (look(&a, bytes, &s) == 1)
		check_taken(bytes, &s);
	rc = zip_check(bytes, 1 + n % 61, &end, &why);
	if (rc < 0) {
		check(rc == ERR_INVALID && why);
		return 0;
	}
	sealed = zip_seal(&a, bytes, &end, STR("signature"));
	check(look(&a, sealed, &s) == 1);
	check_taken(sealed, &s);
	check(str_eq(s.signature, STR("signature")));
	check(zip_check(sealed, 4096, &end, &why) == ERR_INVALID);
	s.signed_text = arena_str(&a, s.signed_text);
	change(sealed, bytes);
	if (look(&a, sealed, &again) == 1)
		check(!str_eq(again.signed_text, s.signed_text) ||
			!str_eq(again.signature, STR("signature")));
	return 0;
}
