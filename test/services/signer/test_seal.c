/*
 * Signed archives: each way in which one can be changed is found out, whatever it is made of.
 */
#include "base/ecdsa.h"
#include "services/signer/expiry.h"
#include "test/services/signer/zip.h"
#include "test/test.h"

/* ---- making archives ---- */

static void put16(struct buf *b, unsigned v)
{
	buf_put_char(b, (char)v);
	buf_put_char(b, (char)(v >> 8));
}

static void put32(struct buf *b, uint32_t v)
{
	put16(b, v & 0xffff);
	put16(b, v >> 16);
}

struct entry {
	str name, content;
	uint32_t mode;
	bool descriptor; /* sizes stand behind the content */
	bool long_sizes; /* in the extra field */
	str extra;
};

static void put_entry(struct buf *files, struct buf *directory, const struct entry *e)
{
	uint32_t crc = crc32_add(0, e->content), n = (uint32_t)e->content.n,
		 at = (uint32_t)files->n;

	put32(files, 0x04034b50);
	put16(files, 20);
	put16(files, e->descriptor ? 8 : 0);
	put16(files, 0);
	put32(files, 0x5a210000);
	put32(files, e->descriptor ? 0 : crc);
	put32(files, e->descriptor ? 0 : e->long_sizes ? 0xffffffff : n);
	put32(files, e->descriptor ? 0 : e->long_sizes ? 0xffffffff : n);
	put16(files, (unsigned)e->name.n);
	put16(files, e->long_sizes ? 20 : (unsigned)e->extra.n);
	buf_put(files, e->name);
	if (e->long_sizes) {
		put32(files, 1 | 16 << 16);
		put32(files, n);
		put32(files, 0);
		put32(files, n);
		put32(files, 0);
	} else {
		buf_put(files, e->extra);
	}
	buf_put(files, e->content);
	if (e->descriptor) {
		put32(files, 0x08074b50);
		put32(files, crc);
		put32(files, n);
		put32(files, n);
	}
	put32(directory, 0x02014b50);
	put16(directory, 3 << 8 | 20);
	put16(directory, 20);
	put16(directory, e->descriptor ? 8 : 0);
	put16(directory, 0);
	put32(directory, 0x5a210000);
	put32(directory, crc);
	put32(directory, e->long_sizes ? 0xffffffff : n);
	put32(directory, e->long_sizes ? 0xffffffff : n);
	put16(directory, (unsigned)e->name.n);
	put16(directory, e->long_sizes ? 20 : 0);
	put16(directory, 0);
	put16(directory, 0);
	put16(directory, 0);
	put32(directory, e->mode << 16);
	put32(directory, at);
	buf_put(directory, e->name);
	if (e->long_sizes) {
		put32(directory, 1 | 16 << 16);
		put32(directory, n);
		put32(directory, 0);
		put32(directory, n);
		put32(directory, 0);
	}
}

struct made {
	str comment;
	bool zip64;
};

static str make(struct arena *a, const struct entry *entries, size_t n, const struct made *made)
{
	struct buf files, directory;
	struct archive_end end = {.entries = n, .zip64 = made && made->zip64};

	buf_init(&files, a, 1 << 24);
	buf_init(&directory, a, 1 << 24);
	for (size_t i = 0; i < n; i++)
		put_entry(&files, &directory, &entries[i]);
	end.directory_at = files.n;
	end.directory_bytes = directory.n;
	if (made && made->comment.n) {
		memcpy(end.comment, made->comment.p, made->comment.n);
		end.comment_bytes = made->comment.n;
	}
	buf_put(&files, buf_str(&directory));
	archive_end_put(&files, &end);
	return buf_str(&files);
}

static const struct entry plain[] = {
	{.name = STR_INIT("index.py"),
		.content = STR_INIT("def handler(e, c): return 1\n"),
		.mode = 0100644},
	{.name = STR_INIT("bin/"), .content = STR_INIT(""), .mode = 040755},
	{.name = STR_INIT("bin/run"), .content = STR_INIT("#!/bin/sh\necho\n"), .mode = 0100755},
	{.name = STR_INIT("link"), .content = STR_INIT("bin/run"), .mode = 0120777},
};

static const struct entry streamed[] = {
	{.name = STR_INIT("a"), .content = STR_INIT("first"), .mode = 0100644, .descriptor = true},
	{.name = STR_INIT("b"),
		.content = STR_INIT("second"),
		.mode = 0100644,
		.extra = STR_INIT("\1\2\0\0")},
	{.name = STR_INIT("c"), .content = STR_INIT("third"), .mode = 0100644, .descriptor = true},
};

static const struct entry large[] = {
	{.name = STR_INIT("a"), .content = STR_INIT("first"), .mode = 0100644, .long_sizes = true},
	{.name = STR_INIT("b"), .content = STR_INIT("second"), .mode = 0100644},
};

static const struct made forms[] = {{STR_INIT(""), false}, {STR_INIT("a comment"), false},
	{STR_INIT(""), true}, {STR_INIT("PK\5\6 in it"), true}};

/* ---- signing and looking ---- */

struct key {
	char bytes[ECDSA_KEY_MAX];
	size_t n;
};

static str key_str(const struct key *k)
{
	return str_of(k->bytes, k->n);
}

static void new_key(struct key *k)
{
	struct buf b;

	buf_init(&b, NULL, ECDSA_KEY_MAX);
	EXPECT_INT(ecdsa_key_new(&b), 0);
	memcpy(k->bytes, b.p, b.n);
	k->n = b.n;
	buf_done(&b);
}

static str sign(struct arena *a, str bytes, const struct key *k)
{
	struct archive_end end;
	struct statement s;
	struct buf signature;
	const char *why = NULL;
	str draft;

	if (!EXPECT_INT(zip_check(bytes, 7, &end, &why), 0))
		return STR("");
	draft = zip_seal(a, bytes, &end, STR(""));
	buf_init(&signature, a, ECDSA_SIGNATURE_MAX);
	EXPECT_INT(seal_read(&(struct archive_source){zip_read, &draft, draft.n}, a, &s, &why), 1);
	EXPECT_INT(ecdsa_sign(key_str(k), s.signed_text, &signature), 0);
	return zip_seal(a, bytes, &end, buf_str(&signature));
}

enum seen { SEEN_NONE, SEEN_DAMAGED, SEEN_VALID };

static enum seen look(struct arena *a, str bytes, const struct key *k)
{
	struct archive_source source = {zip_read, &bytes, bytes.n};
	struct statement s;
	const char *why = NULL;
	int rc = seal_read(&source, a, &s, &why);

	if (rc == ERR_INVALID) {
		EXPECT(why != NULL);
		return SEEN_DAMAGED;
	}
	if (!EXPECT(rc >= 0) || rc == 0)
		return SEEN_NONE;
	rc = ecdsa_verify(key_str(k), s.signed_text, s.signature);
	EXPECT(rc >= 0);
	return rc ? SEEN_VALID : SEEN_DAMAGED;
}

static void each_form(void (*fn)(struct arena *a, str archive, const struct key *k))
{
	static const struct {
		const struct entry *entries;
		size_t n;
	} kinds[] = {{plain, ARRAY_SIZE(plain)}, {streamed, ARRAY_SIZE(streamed)},
		{large, ARRAY_SIZE(large)}};
	struct key k;

	new_key(&k);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		for (size_t j = 0; j < ARRAY_SIZE(forms); j++) {
			struct arena a;

			arena_init(&a, SIZE_MAX);
			fn(&a, make(&a, kinds[i].entries, kinds[i].n, &forms[j]), &k);
			arena_done(&a);
		}
}

static void keeps(struct arena *a, str archive, const struct key *k)
{
	str sealed = sign(a, archive, k);
	struct archive_end before, after;
	const char *why = NULL;
	struct key other;

	EXPECT_INT(look(a, archive, k), SEEN_NONE);
	EXPECT_INT(look(a, sealed, k), SEEN_VALID);
	new_key(&other);
	EXPECT_INT(look(a, sealed, &other), SEEN_DAMAGED);
	/* What was there is there, byte for byte. */
	EXPECT_INT(zip_check(archive, 1000, &before, &why), 0);
	EXPECT_INT(archive_end_read(
			   &(struct archive_source){zip_read, &sealed, sealed.n}, &after, &why),
		0);
	EXPECT_INT(after.entries, before.entries + 1);
	EXPECT_INT(after.zip64, before.zip64);
	EXPECT_STR(
		str_sub(sealed, 0, before.directory_at), str_sub(archive, 0, before.directory_at));
	EXPECT_STR(str_sub(sealed, after.directory_at, before.directory_bytes),
		str_sub(archive, before.directory_at, before.directory_bytes));
	EXPECT_STR(archive_comment(&after), archive_comment(&before));
	/* And is not signed twice. */
	EXPECT_INT(zip_check(sealed, 1000, &after, &why), ERR_INVALID);
	EXPECT_STR(str_c(why), STR("it has a signature already"));
}

TEST(signer_seal, keeps_the_archive)
{
	each_form(keeps);
}

/* ---- changing them ---- */

static void flip(struct arena *a, str archive, const struct key *k)
{
	str sealed = sign(a, archive, k);
	char *p = (char *)(uintptr_t)sealed.p;

	for (size_t i = 0; i < sealed.n; i++) {
		struct arena own;

		arena_init(&own, SIZE_MAX);
		p[i] ^= (char)(1 << (i % 8));
		if (!EXPECT(look(&own, sealed, k) != SEEN_VALID))
			test_fail(__FILE__, __LINE__, "byte %zu of %zu", i, sealed.n);
		p[i] ^= (char)(1 << (i % 8));
		arena_done(&own);
	}
	EXPECT_INT(look(a, sealed, k), SEEN_VALID);
}

TEST(signer_seal, no_byte_can_be_changed)
{
	each_form(flip);
}

static void cut_and_add(struct arena *a, str archive, const struct key *k)
{
	str sealed = sign(a, archive, k), extra = STR("PK\5\6");

	for (size_t i = 0; i <= sealed.n; i++) {
		str front = str_sub(sealed, 0, i), back = str_from(sealed, i);

		if (i) {
			EXPECT(look(a, ARENA_CONCAT(a, str_sub(front, 0, i - 1), back), k) !=
				SEEN_VALID);
			EXPECT(look(a, str_sub(sealed, 0, i - 1), k) != SEEN_VALID);
			EXPECT(look(a, back, k) != SEEN_VALID);
		}
		EXPECT(look(a, ARENA_CONCAT(a, front, STR("\0"), back), k) != SEEN_VALID);
		EXPECT(look(a, ARENA_CONCAT(a, front, extra, back), k) != SEEN_VALID);
	}
	/* At both ends it is seen to have been signed. */
	EXPECT_INT(look(a, ARENA_CONCAT(a, sealed, STR("x")), k), SEEN_DAMAGED);
	EXPECT_INT(look(a, ARENA_CONCAT(a, STR("x"), sealed), k), SEEN_DAMAGED);
	EXPECT_INT(look(a, ARENA_CONCAT(a, sealed, sealed), k), SEEN_DAMAGED);
	EXPECT_INT(look(a, ARENA_CONCAT(a, sealed, archive), k), SEEN_DAMAGED);
	EXPECT_INT(look(a, ARENA_CONCAT(a, archive, sealed), k), SEEN_DAMAGED);
}

TEST(signer_seal, nothing_can_be_added_or_cut)
{
	each_form(cut_and_add);
}

/* As a tool would do it: the archive's own parts put together anew around a true seal. */
static void rebuild(struct arena *a, str archive, const struct key *k)
{
	str sealed = sign(a, archive, k);
	struct archive_source source = {zip_read, &sealed, sealed.n};
	struct buf files, directory, behind;
	struct archive_end end, old;
	const char *why = NULL;
	struct statement s;
	str text, line;

	EXPECT_INT(seal_read(&source, a, &s, &why), 1);
	EXPECT_INT(archive_end_read(&source, &end, &why), 0);
	EXPECT_INT(zip_check(archive, 99, &old, &why), 0);
	text = str_sub(sealed, s.content_bytes, end.directory_at - s.content_bytes);
	line = str_from(str_sub(sealed, end.directory_at, end.directory_bytes), s.directory_bytes);
	/* An entry behind the seal, and one in front of it. */
	for (int first = 0; first < 2; first++) {
		struct archive_end more = end;

		buf_init(&files, a, 1 << 20);
		buf_init(&directory, a, 1 << 20);
		buf_init(&behind, a, 1 << 20);
		buf_put(&files, str_sub(sealed, 0, s.content_bytes));
		buf_put(&directory, str_sub(sealed, end.directory_at, s.directory_bytes));
		if (!first) {
			buf_put(&files, text);
			buf_put(&directory, line);
		}
		archive_put_file(&behind, &directory, files.n, STR("evil"), STR("rm -rf"));
		buf_put(&files, buf_str(&behind));
		if (first) {
			buf_put(&files, text);
			buf_put(&directory, line);
		}
		more.directory_at = files.n;
		more.directory_bytes = directory.n;
		more.entries++;
		buf_put(&files, buf_str(&directory));
		archive_end_put(&files, &more);
		EXPECT_INT(look(a, buf_str(&files), k), SEEN_DAMAGED);
	}
	/* The same file, its end written in the other form. */
	end.zip64 = !end.zip64;
	buf_init(&files, a, 1 << 20);
	buf_put(&files, str_sub(sealed, 0, end.directory_at + end.directory_bytes));
	archive_end_put(&files, &end);
	EXPECT_INT(look(a, buf_str(&files), k), SEEN_DAMAGED);
	/* A line of the directory less: the entry would not be unpacked. */
	end.zip64 = !end.zip64;
	buf_init(&files, a, 1 << 20);
	buf_put(&files, str_sub(sealed, 0, end.directory_at));
	buf_put(&files, line);
	end.entries = 1;
	end.directory_bytes = line.n;
	archive_end_put(&files, &end);
	EXPECT_INT(look(a, buf_str(&files), k), SEEN_DAMAGED);
	/* Another comment. */
	end = old;
	EXPECT_INT(archive_end_read(&source, &end, &why), 0);
	memcpy(end.comment, "another", 7);
	end.comment_bytes = 7;
	buf_init(&files, a, 1 << 20);
	buf_put(&files, str_sub(sealed, 0, end.directory_at + end.directory_bytes));
	archive_end_put(&files, &end);
	EXPECT_INT(look(a, buf_str(&files), k), SEEN_DAMAGED);
}

TEST(signer_seal, tools_cannot_change_it)
{
	each_form(rebuild);
}

/* The seal of one archive in another. */
TEST(signer_seal, is_of_one_archive)
{
	struct arena a;
	struct key k;
	str x, y;
	struct archive_end end;
	struct statement s;
	const char *why = NULL;

	arena_init(&a, SIZE_MAX);
	new_key(&k);
	x = sign(&a, make(&a, plain, 1, NULL), &k);
	y = make(&a, plain, 2, NULL);
	EXPECT_INT(seal_read(&(struct archive_source){zip_read, &x, x.n}, &a, &s, &why), 1);
	EXPECT_INT(zip_check(y, 100, &end, &why), 0);
	/* With digests and figures of the other, and the true signature of the first. */
	EXPECT_INT(look(&a, zip_seal(&a, y, &end, s.signature), &k), SEEN_DAMAGED);
	arena_done(&a);
}

/* ---- what is not signed ---- */

static void expect_why(struct arena *a, const struct entry *entries, size_t n, const char *wanted)
{
	struct archive_end end;
	const char *why = "nothing";

	EXPECT_INT(zip_check(make(a, entries, n, NULL), 5, &end, &why), ERR_INVALID);
	EXPECT_STR(str_c(why), str_c(wanted));
}

#define ENTRY(name_)                                                     \
	(struct entry)                                                   \
	{                                                                \
		.name = STR(name_), .content = STR("x"), .mode = 0100644 \
	}

TEST(signer_archive, names)
{
	struct arena a;
	struct entry twice[] = {ENTRY("a"), ENTRY("b"), ENTRY("a")};
	char name[SIGNER_NAME_BYTES_MAX + 1];
	struct entry long_name = {.name = {name, sizeof name}};

	arena_init(&a, SIZE_MAX);
	memset(name, 'n', sizeof name);
	expect_why(&a, twice, 3, "it has a name twice");
	expect_why(&a, &long_name, 1, "it has an entry whose name is empty or too long");
	expect_why(&a, &ENTRY(""), 1, "it has an entry whose name is empty or too long");
	expect_why(&a, &ENTRY("META-INF/CIRRUS-SIGNATURE"), 1, "it has a signature already");
	expect_why(&a, &ENTRY("./META-INF//CIRRUS-SIGNATURE"), 1, "it has a signature already");
	expect_why(&a, &ENTRY("META_INF/aws_signer_signature_v1.0.SF"), 1,
		"it has a signature already");
	expect_why(&a, &ENTRY("META-INF"), 1, "META-INF in it is no folder");
	expect_why(&a, &ENTRY("./META-INF"), 1, "META-INF in it is no folder");
	expect_why(&a, plain, 0, "it is empty");
	{
		struct entry fine[] = {ENTRY("META-INF/"), ENTRY("META-INF/MANIFEST.MF"),
			ENTRY("META-INFO"), ENTRY("a/META-INF/CIRRUS-SIGNATURE")};
		struct archive_end end;
		const char *why;

		EXPECT_INT(zip_check(make(&a, fine, 4, NULL), 5, &end, &why), 0);
	}
	arena_done(&a);
}

/* One byte of a plain archive changed: refused, and why; whatever the parts. */
TEST(signer_archive, headers_and_directory_agree)
{
	static const struct {
		const char *what;
		size_t at;
		const char *why;
	} rows[] = {
		{"signature of a header", 0, "an entry is not where the directory says"},
		{"encrypted", 6, "an entry's header is not what the directory says"},
		{"method", 8, "an entry's header is not what the directory says"},
		{"crc", 14, "an entry's header is not what the directory says"},
		{"packed size", 18, "an entry's header is not what the directory says"},
		{"size", 22, "an entry's header is not what the directory says"},
		{"length of the name", 26, "an entry's header is not what the directory says"},
		{"length of extra", 28, "an entry reaches into the next one"},
		{"name", 30, "an entry's header is not what the directory says"},
	};
	struct arena a;
	str archive;

	arena_init(&a, SIZE_MAX);
	archive = make(&a, plain, ARRAY_SIZE(plain), NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t part = 1; part < 64; part += 31) {
			char *p = (char *)(uintptr_t)archive.p + rows[i].at;
			struct archive_end end;
			const char *why = "nothing";

			*p ^= 1;
			if (!EXPECT_INT(zip_check(archive, part, &end, &why), ERR_INVALID) ||
				!EXPECT_STR(str_c(why), str_c(rows[i].why)))
				test_fail(__FILE__, __LINE__, "%s", rows[i].what);
			*p ^= 1;
		}
	arena_done(&a);
}

TEST(signer_archive, nothing_lies_between)
{
	struct archive_end end;
	const char *why;
	struct arena a;
	struct buf files, directory;

	arena_init(&a, SIZE_MAX);
	for (int where = 0; where < 4; where++) {
		buf_init(&files, &a, 1 << 16);
		buf_init(&directory, &a, 1 << 16);
		if (where == 1)
			buf_put(&files, STR("in front"));
		put_entry(&files, &directory, &plain[0]);
		if (where == 2)
			buf_put(&files, STR("between them"));
		put_entry(&files, &directory, &plain[2]);
		if (where == 3)
			buf_put(&files, STR("behind them."));
		end = (struct archive_end){
			.directory_at = files.n, .directory_bytes = directory.n, .entries = 2};
		buf_put(&files, buf_str(&directory));
		archive_end_put(&files, &end);
		EXPECT_INT(zip_check(buf_str(&files), 9, &end, &why), where ? ERR_INVALID : 0);
	}
	arena_done(&a);
}

/* More entries than the short end can count. */
TEST(signer_archive, many_entries)
{
	enum { MANY = 0xfffe };
	struct entry *entries;
	struct arena a;
	struct key k;
	str sealed;

	arena_init(&a, SIZE_MAX);
	entries = arena_new_array(&a, struct entry, MANY);
	for (size_t i = 0; i < MANY; i++)
		entries[i] = (struct entry){
			.name = arena_printf(&a, "%zu", i), .content = STR(""), .mode = 0100644};
	new_key(&k);
	sealed = sign(&a, make(&a, entries, MANY, NULL), &k);
	EXPECT_INT(look(&a, sealed, &k), SEEN_VALID);
	EXPECT(str_find_str(sealed, STR("PK\6\7")) >= 0); /* it has a zip64 end now */
	arena_done(&a);
}

/* ---- statements, keys, times ---- */

TEST(signer_statement, has_one_text)
{
	static const char *const bad[] = {"", "Signature-Version: 1\n", "\n"};
	struct archive_end end;
	struct statement s;
	const char *why;
	struct arena a;
	str archive, sealed, text;

	arena_init(&a, SIZE_MAX);
	archive = make(&a, plain, 2, NULL);
	EXPECT_INT(zip_check(archive, 100, &end, &why), 0);
	sealed = zip_seal(&a, archive, &end, STR("sig"));
	EXPECT_INT(
		seal_read(&(struct archive_source){zip_read, &sealed, sealed.n}, &a, &s, &why), 1);
	text = ARENA_CONCAT(&a, s.signed_text, STR("Signature: c2ln\n"));
	EXPECT_INT(signer_statement_parse(&a, text, &s), 0);
	EXPECT_INT(signer_statement_parse(&a, ARENA_CONCAT(&a, text, STR("\n")), &s), ERR_INVALID);
	EXPECT_INT(signer_statement_parse(&a, str_sub(text, 0, text.n - 1), &s), ERR_INVALID);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_INT(signer_statement_parse(&a, str_c(bad[i]), &s), ERR_INVALID);
	arena_done(&a);
}

TEST(ecdsa, signs)
{
	struct buf signature;
	struct key k, other;

	new_key(&k);
	new_key(&other);
	buf_init(&signature, NULL, ECDSA_SIGNATURE_MAX);
	EXPECT_INT(ecdsa_sign(key_str(&k), STR("text"), &signature), 0);
	EXPECT_INT(ecdsa_verify(key_str(&k), STR("text"), buf_str(&signature)), 1);
	EXPECT_INT(ecdsa_verify(key_str(&k), STR("texts"), buf_str(&signature)), 0);
	EXPECT_INT(ecdsa_verify(key_str(&other), STR("text"), buf_str(&signature)), 0);
	EXPECT_INT(ecdsa_verify(key_str(&k), STR("text"), STR("")), 0);
	EXPECT_INT(ecdsa_verify(key_str(&k), STR("text"), str_sub(buf_str(&signature), 0, 20)), 0);
	EXPECT_INT(ecdsa_verify(STR("key"), STR("text"), buf_str(&signature)), ERR_CORRUPT);
	EXPECT_INT(ecdsa_sign(STR(""), STR("text"), &signature), ERR_CORRUPT);
	buf_done(&signature);
}

TEST(signer_expiry, calendar)
{
	static const struct {
		int64_t value;
		const char *type;
		int rc;
		int64_t until; /* of 2024-01-31T10:00:00Z */
	} rows[] = {
		{1, "DAYS", 0, 1706781600},
		{4110, "DAYS", ERR_RANGE, 0},
		{0, "DAYS", ERR_RANGE, 0},
		{-1, "MONTHS", ERR_RANGE, 0},
		{1, "MONTHS", 0, 1709200800},
		{12, "MONTHS", 0, 1738317600},
		{135, "MONTHS", 0, 2061540000},
		{136, "MONTHS", ERR_RANGE, 0},
		{11, "YEARS", 0, 2053850400},
		{12, "YEARS", ERR_RANGE, 0},
		{1, "WEEKS", ERR_INVALID, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t until = 0;

		EXPECT_INT(
			signer_expiry_of(1706695200999, rows[i].value, str_c(rows[i].type), &until),
			rows[i].rc);
		EXPECT_INT(until / 1000, rows[i].until);
	}
}
