/*
 * See seal.h.
 */
#include "services/signer/seal.h"

#include "base/check.h"
#include "base/mem.h"

enum {
	PART_BYTES = 256 << 10,
	SCAN_BYTES = 1 << 20,
	/* Header, line and end of the seal. */
	ADDED_BYTES_MAX =
		30 + 46 + 2 * sizeof SEAL_NAME + SIGNER_STATEMENT_BYTES_MAX + ARCHIVE_END_MAX
};

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return ERR_INVALID;
}

static bool is_seal(str name)
{
	return str_eq(name, STR(SEAL_NAME));
}

/* The path without "./" and empty parts, as it is unpacked, against `to`. */
static bool is_path(str name, str to)
{
	str part;

	while (str_split(&name, '/', &part)) {
		if (!part.n || str_eq(part, STR(".")))
			continue;
		if (!str_starts(to, part))
			return false;
		to = str_from(to, part.n);
		if (to.n && to.p[0] != '/')
			return false;
		to = str_from(to, 1);
	}
	return !to.n;
}

int seal_check_names(str directory, const char **ret_why)
{
	struct archive_entry e;

	while (TRY(archive_entry_take(&directory, &e, ret_why))) {
		/* AWS names its own so (META_INF, indeed); an archive of theirs has one, too. */
		if (is_path(e.name, STR(SEAL_NAME)) ||
			str_starts(e.name, STR("META_INF/aws_signer_signature")))
			return refuse(ret_why, "it has a signature already");
		if (is_path(e.name, STR("META-INF")) && !str_ends(e.name, STR("/")))
			return refuse(ret_why, "META-INF in it is no folder");
	}
	return 0;
}

void seal_put(const struct archive_end *e, str text, struct buf *behind_entries,
	struct buf *behind_directory)
{
	struct archive_end sealed = *e;

	archive_put_file(behind_entries, behind_directory, e->directory_at, STR(SEAL_NAME), text);
	sealed.directory_at += behind_entries->n;
	sealed.directory_bytes += behind_directory->n;
	sealed.entries++;
	sealed.zip64 = e->zip64 || sealed.entries >= 0xffff;
	archive_end_put(behind_directory, &sealed);
}

/* ---- looking at one ---- */

struct look {
	const struct archive_source *s;
	struct arena *arena;
	const char **ret_why;
	struct archive_end end; /* of the signed archive */
	char *directory;
	struct archive_entry seal;
	size_t line_at; /* of the seal's line in the directory */
	char *part;
};

static void look_done(struct look *l)
{
	mem_free(l->directory);
	mem_free(l->part);
}

/* An archive that is not understood: does it look as if it had a seal? */
static int scan(struct look *l)
{
	str name = STR(SEAL_NAME);
	size_t n = (size_t)MIN(l->s->bytes, (uint64_t)SCAN_BYTES);
	char *last = l->directory = mem_realloc(l->directory, SCAN_BYTES);

	TRY(l->s->read(l->s->arg, l->s->bytes - n, last, n));
	if (str_find_str(str_of(last, n), name) >= 0)
		return refuse(l->ret_why, "its structure was changed");
	return 0;
}

/* Is the last line that of a seal? 1; 0: no line is; ERR_INVALID: another one is, or it seems so.
 */
static int find_seal(struct look *l, str directory)
{
	str rest = directory;
	struct archive_entry e = {.at = 0};
	bool seen = false;
	size_t line = 0, last = 0;

	while (rest.n) {
		last = line;
		if (archive_entry_take(&rest, &e, l->ret_why) < 0)
			return scan(l);
		line = directory.n - rest.n;
		if (rest.n && is_seal(e.name))
			seen = true;
	}
	if (!seen && !is_seal(e.name))
		return 0;
	if (seen || !is_seal(e.name))
		return refuse(l->ret_why, "entries were added behind its signature");
	l->seal = e;
	l->line_at = last;
	return 1;
}

/* Up to and with the seal's line. 1, 0, ERR_INVALID as seal_read(). */
static int find(struct look *l)
{
	int rc = archive_end_read(l->s, &l->end, l->ret_why);

	if (rc == ERR_INVALID)
		return scan(l);
	TRY(rc);
	l->directory = mem_alloc((size_t)l->end.directory_bytes + 1);
	TRY(l->s->read(
		l->s->arg, l->end.directory_at, l->directory, (size_t)l->end.directory_bytes));
	return find_seal(l, str_of(l->directory, (size_t)l->end.directory_bytes));
}

/* The statement, which lies between the seal's header and the directory. */
static int read_statement(struct look *l, struct statement *s)
{
	uint64_t head = 30 + sizeof SEAL_NAME - 1;
	char *text;

	if (l->seal.packed > SIGNER_STATEMENT_BYTES_MAX || l->seal.at > l->end.directory_at ||
		l->end.directory_at - l->seal.at != head + l->seal.packed)
		return refuse(l->ret_why, "its signature is not where it has to be");
	text = arena_bytes(l->arena, (size_t)l->seal.packed + 1);
	TRY(l->s->read(l->s->arg, l->seal.at + head, text, (size_t)l->seal.packed));
	if (signer_statement_parse(l->arena, str_of(text, (size_t)l->seal.packed), s) < 0)
		return refuse(l->ret_why, "the text of its signature was changed");
	if (s->content_bytes != l->seal.at || s->directory_bytes != l->line_at ||
		s->entries != l->end.entries - 1)
		return refuse(l->ret_why, "entries were added or taken away");
	return 0;
}

static int same(struct look *l, uint64_t at, str wanted)
{
	char *found;

	if (at > l->s->bytes || l->s->bytes - at < wanted.n)
		return refuse(l->ret_why, "its end was changed");
	found = arena_bytes(l->arena, wanted.n);
	TRY(l->s->read(l->s->arg, at, found, wanted.n));
	if (!str_eq(str_of(found, wanted.n), wanted))
		return refuse(l->ret_why, "what surrounds its signature was changed");
	return 0;
}

/* What sealing has added has to be there again, and nothing behind it. */
static int compare_added(struct look *l, const struct statement *s)
{
	struct archive_end unsealed = l->end;
	struct buf behind_entries, behind_directory, text;
	uint64_t line = l->end.directory_at + l->line_at;

	unsealed.directory_at = l->seal.at;
	unsealed.directory_bytes = l->line_at;
	unsealed.entries--;
	unsealed.zip64 = s->zip64;
	buf_init(&text, l->arena, SIGNER_STATEMENT_BYTES_MAX);
	buf_put(&text, s->signed_text);
	signer_statement_put_signature(&text, s->signature);
	buf_init(&behind_entries, l->arena, ADDED_BYTES_MAX);
	buf_init(&behind_directory, l->arena, ADDED_BYTES_MAX);
	seal_put(&unsealed, buf_str(&text), &behind_entries, &behind_directory);
	check(!text.over && !behind_entries.over && !behind_directory.over);
	TRY(same(l, l->seal.at, buf_str(&behind_entries)));
	TRY(same(l, line, buf_str(&behind_directory)));
	if (l->s->bytes != line + behind_directory.n)
		return refuse(l->ret_why, "its end was changed");
	return 0;
}

static int compare_digests(struct look *l, const struct statement *s)
{
	uint8_t digest[SHA384_BYTES];
	struct sha384 h;

	sha384_init(&h);
	sha384_add(&h, str_of(l->directory, l->line_at));
	sha384_add(&h, archive_comment(&l->end));
	sha384_finish(&h, digest);
	if (memcmp(digest, s->directory, sizeof digest) != 0)
		return refuse(l->ret_why, "its directory or its comment was changed");
	sha384_init(&h);
	l->part = mem_alloc(PART_BYTES);
	for (uint64_t at = 0; at < l->seal.at;) {
		size_t n = (size_t)MIN(l->seal.at - at, (uint64_t)PART_BYTES);

		TRY(l->s->read(l->s->arg, at, l->part, n));
		sha384_add(&h, str_of(l->part, n));
		at += n;
	}
	sha384_finish(&h, digest);
	if (memcmp(digest, s->content, sizeof digest) != 0)
		return refuse(l->ret_why, "an entry was changed");
	return 0;
}

int seal_read(const struct archive_source *s, struct arena *a, struct statement *ret_statement,
	const char **ret_why)
{
	struct look l cleanup(look_done) = {.s = s, .arena = a, .ret_why = ret_why};
	struct statement found;

	if (TRY(find(&l)) == 0)
		return 0;
	TRY(read_statement(&l, &found));
	TRY(compare_added(&l, &found));
	TRY(compare_digests(&l, &found));
	*ret_statement = found;
	return 1;
}
