/*
 * Signed archives: an archive, byte for byte as it was, with one more entry at the end of its
 * entries and of its directory.
 *
 *     [the archive's entries] [META-INF/CIRRUS-SIGNATURE: the statement]
 *     [the archive's directory, one line more] [the end, its figures raised] [the comment]
 *
 * All bytes of a signed archive follow from the archive's own, which the statement has the digests
 * of, and the statement. A verifier makes the added bytes again and compares: nothing else than
 * what was signed passes, wherever a byte was changed, added, or left out. Archives come from
 * strangers; memory is bounded by the directory's maximum.
 */
#ifndef SERVICES_SIGNER_SEAL_H
#define SERVICES_SIGNER_SEAL_H

#include "services/signer/archive.h"
#include "services/signer/statement.h"

#define SEAL_NAME "META-INF/CIRRUS-SIGNATURE"

/* May the archive with this directory be sealed? ERR_INVALID, and why: it has a signature, or a
 * name that would meet the seal's. */
must_use int seal_check_names(str directory, const char **ret_why);

/*
 * What has to be written behind an archive's entries, and behind its directory: `text` is the
 * statement with its signature.
 */
void seal_put(const struct archive_end *e, str text, struct buf *behind_entries,
	struct buf *behind_directory);

/*
 * Looks for a seal, and whether the archive is what was signed. 1 and the statement, whose
 * signature the caller has to verify; 0: it has none; ERR_INVALID, and why: it has one and was
 * changed since; others of the source.
 */
must_use int seal_read(const struct archive_source *s, struct arena *a,
	struct statement *ret_statement, const char **ret_why);

#endif
