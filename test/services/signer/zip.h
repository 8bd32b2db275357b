/*
 * Archives for tests of signer, made byte by byte, and a source that reads them from memory.
 */
#ifndef TEST_SERVICES_SIGNER_ZIP_H
#define TEST_SERVICES_SIGNER_ZIP_H

#include "services/signer/seal.h"

/* Of an archive in memory: `str *` is its argument. */
static inline int zip_read(void *arg, uint64_t at, void *to, size_t n)
{
	const str *bytes = arg;

	if (at > bytes->n || n > bytes->n - at)
		return ERR_IO;
	if (n)
		memcpy(to, bytes->p + at, n);
	return 0;
}

/* May it be signed? 0; ERR_INVALID, and why. Parts of `part` bytes. */
static inline int zip_check(
	str bytes, size_t part, struct archive_end *ret_end, const char **ret_why)
{
	struct archive_source source = {zip_read, &bytes, bytes.n};
	struct archive_check check;
	str directory, rest;
	int rc;

	TRY(archive_end_read(&source, ret_end, ret_why));
	directory = str_sub(bytes, ret_end->directory_at, ret_end->directory_bytes);
	rc = archive_check_init(&check, ret_end, directory, ret_why);
	if (rc >= 0)
		rc = seal_check_names(directory, ret_why);
	rest = str_sub(bytes, 0, ret_end->directory_at);
	while (rc >= 0 && rest.n) {
		rc = archive_check_add(&check, str_sub(rest, 0, part), ret_why);
		rest = str_from(rest, part);
	}
	if (rc >= 0)
		rc = archive_check_end(&check, ret_why);
	archive_check_done(&check);
	return rc;
}

/* Signs nothing: the statement of an archive, whose signature is `signature`, sealed into it. */
static inline str zip_seal(struct arena *a, str bytes, const struct archive_end *end, str signature)
{
	struct statement s = {.profile_version = STR("arn:aws:signer:r:0:/signing-profiles/p/v"),
		.job = STR("arn:aws:signer:r:0:/signing-jobs/j"),
		.signed_ms = 1700000000000,
		.expires_ms = 1800000000000,
		.entries = end->entries,
		.zip64 = end->zip64,
		.content_bytes = end->directory_at,
		.directory_bytes = end->directory_bytes};
	struct buf text, behind_entries, behind_directory;
	struct sha384 h;

	sha384_of(str_sub(bytes, 0, end->directory_at), s.content);
	sha384_init(&h);
	sha384_add(&h, str_sub(bytes, end->directory_at, end->directory_bytes));
	sha384_add(&h, archive_comment(end));
	sha384_finish(&h, s.directory);
	buf_init(&text, a, SIGNER_STATEMENT_BYTES_MAX);
	signer_statement_put(&text, &s);
	signer_statement_put_signature(&text, signature);
	buf_init(&behind_entries, a, 1 << 16);
	buf_init(&behind_directory, a, 1 << 16);
	seal_put(end, buf_str(&text), &behind_entries, &behind_directory);
	return ARENA_CONCAT(a, str_sub(bytes, 0, end->directory_at), buf_str(&behind_entries),
		str_sub(bytes, end->directory_at, end->directory_bytes),
		buf_str(&behind_directory));
}

#endif
