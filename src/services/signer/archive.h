/*
 * The structure of zip archives: where the directory is, what it says, and whether the headers in
 * front of the entries say the same. Nothing is unpacked.
 *
 *     [header, content, descriptor] per entry | directory | zip64 end, locator | end, comment
 *
 * Only the plain form is taken, in which each byte has one meaning: the first entry begins with the
 * first byte, each next one where the last one ends, then the directory, then the end, and nothing
 * behind it. Whoever reads such an archive from its front and whoever reads it from its directory
 * see the same entries. Archives come from strangers; memory is bounded by the directory's maximum.
 * Pure but for the function that reads.
 *
 * APPNOTE.TXT 6.3.10, "ZIP File Format Specification"
 */
#ifndef SERVICES_SIGNER_ARCHIVE_H
#define SERVICES_SIGNER_ARCHIVE_H

#include "base/buf.h"
#include "base/rc.h"
#include "services/signer/limits.h"

/* All of `n` bytes at an offset: 0; < 0, and the offset is never beyond the archive's end. */
typedef int archive_read_fn(void *arg, uint64_t at, void *to, size_t n);

struct archive_source {
	archive_read_fn *read;
	void *arg;
	uint64_t bytes;
};

/* The end of an archive, as one may write it again. */
struct archive_end {
	uint64_t directory_at, directory_bytes, entries;
	bool zip64;
	char comment[SIGNER_COMMENT_BYTES_MAX];
	size_t comment_bytes;
};
static inline str archive_comment(const struct archive_end *e)
{
	return str_of(e->comment, e->comment_bytes);
}

enum { ARCHIVE_END_MAX = 56 + 20 + 22 + SIGNER_COMMENT_BYTES_MAX };

/* Reads and checks the end. ERR_INVALID, and why. */
must_use int archive_end_read(
	const struct archive_source *s, struct archive_end *ret_end, const char **ret_why) mayyield;
/* Appends an end. */
void archive_end_put(struct buf *out, const struct archive_end *e);

/* An entry as the directory has it. */
struct archive_entry {
	uint64_t at;     /* of its header */
	uint64_t packed; /* bytes of its content */
	uint64_t full;
	uint32_t crc, attributes;
	uint16_t flags, method;
	str name;
};

/* Takes an entry off the front of a directory: 1; 0: nothing is left; ERR_INVALID. */
must_use int archive_entry_take(
	str *directory, struct archive_entry *ret_entry, const char **ret_why);

/* The header and content of a stored file, and its line of the directory. */
void archive_put_file(struct buf *file, struct buf *directory, uint64_t at, str name, str content);

/* ---- a whole archive, from its front ---- */

struct archive_place {
	uint64_t at, packed;
	uint32_t line; /* where its line is in the directory */
};

struct archive_check {
	str directory; /* borrowed */
	uint64_t directory_at;
	struct archive_place *places; /* by place */
	size_t count, next;
	uint64_t at;  /* bytes that were added */
	uint64_t end; /* of the entry before `next`, its descriptor left out */
	bool descriptor;
	size_t have;
	char head[30 + SIGNER_NAME_BYTES_MAX];
};

/*
 * Checks a directory: as many entries as the end says, none twice, none encrypted, and starts to
 * check what is in front of it. ERR_INVALID, and why. To be ended by _done() in any case.
 */
must_use int archive_check_init(
	struct archive_check *c, const struct archive_end *e, str directory, const char **ret_why);
/* The next bytes of what is in front of the directory: 0; ERR_INVALID, and why. */
must_use int archive_check_add(struct archive_check *c, str bytes, const char **ret_why);
/* That was all of it. */
must_use int archive_check_end(struct archive_check *c, const char **ret_why);
void archive_check_done(struct archive_check *c);

#endif
