/*
 * See archive.h. Numbers are little-endian; what a 32-bit field cannot hold is in the extra field
 * 0x0001 or in the zip64 end.
 */
#include "services/signer/archive.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>

enum {
	SIGN_FILE = 0x04034b50,
	SIGN_LINE = 0x02014b50,
	SIGN_END = 0x06054b50,
	SIGN_END64 = 0x06064b50,
	SIGN_LOCATOR = 0x07064b50,
	FILE_BYTES = 30,
	LINE_BYTES = 46,
	END_BYTES = 22,
	END64_BYTES = 56,
	LOCATOR_BYTES = 20,
	EXTRA_ZIP64 = 1,
	FLAG_ENCRYPTED = 1 << 0,
	FLAG_DESCRIPTOR = 1 << 3,
	FLAG_STRONG = 1 << 6,
	FLAG_MASKED = 1 << 13,
	VERSION_FILE = 10,
	VERSION_64 = 45,
	MADE_BY_UNIX = 3 << 8 | 30,
	DAY_ONE = 0x21, /* 1 January 1980, the earliest there is */
	MODE_FILE = 0100644
};

static uint16_t get16(const char *p)
{
	const uint8_t *b = (const uint8_t *)p;

	return (uint16_t)(b[0] | b[1] << 8);
}

static uint32_t get32(const char *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const char *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

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

static void put64(struct buf *b, uint64_t v)
{
	put32(b, (uint32_t)v);
	put32(b, (uint32_t)(v >> 32));
}

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return ERR_INVALID;
}

/* ---- the end ---- */

/* Where the end begins in the archive's last bytes: the comment reaches to the archive's end. */
static ptrdiff_t find_end(str last)
{
	for (ptrdiff_t i = (ptrdiff_t)last.n - END_BYTES; i >= 0; i--)
		if (get32(last.p + i) == SIGN_END &&
			get16(last.p + i + 20) == last.n - (size_t)i - END_BYTES)
			return i;
	return -1;
}

/* A figure of the short end: that of the long one, or the sign that it is there. */
static bool agrees(uint64_t value, uint64_t brief, uint64_t sign)
{
	return brief == sign || brief == value;
}

static int read_end64(
	str last, size_t at, uint64_t last_at, struct archive_end *e, const char **ret_why)
{
	const char *locator = last.p + at - LOCATOR_BYTES, *end = last.p + at, *long_end;
	uint64_t long_at = last_at + at - LOCATOR_BYTES - END64_BYTES;

	if (at < LOCATOR_BYTES + END64_BYTES || get64(locator + 8) != long_at)
		return refuse(ret_why, "its zip64 end is not where it has to be");
	long_end = locator - END64_BYTES;
	if (get32(long_end) != SIGN_END64 || get64(long_end + 4) != END64_BYTES - 12 ||
		get32(locator + 4) != 0 || get32(locator + 16) > 1 || get32(long_end + 16) != 0 ||
		get32(long_end + 20) != 0 || get64(long_end + 24) != get64(long_end + 32))
		return refuse(ret_why, "its zip64 end is damaged");
	e->entries = get64(long_end + 32);
	e->directory_bytes = get64(long_end + 40);
	e->directory_at = get64(long_end + 48);
	e->zip64 = true;
	if (!agrees(e->entries, get16(end + 10), 0xffff) ||
		!agrees(e->directory_bytes, get32(end + 12), 0xffffffff) ||
		!agrees(e->directory_at, get32(end + 16), 0xffffffff))
		return refuse(ret_why, "its two ends do not agree");
	return 0;
}

/* What stands in `last`, the archive's last bytes. */
static int parse_end(str last, uint64_t last_at, struct archive_end *e, const char **ret_why)
{
	ptrdiff_t found = find_end(last);
	uint64_t directory_end;
	size_t at = (size_t)found;
	const char *end;

	if (found < 0)
		return refuse(ret_why, "it does not end as a zip archive does");
	end = last.p + at;
	if (get16(end + 4) || get16(end + 6) || get16(end + 8) != get16(end + 10))
		return refuse(ret_why, "it is a part of several");
	e->comment_bytes = last.n - at - END_BYTES;
	memcpy(e->comment, end + END_BYTES, e->comment_bytes);
	directory_end = last_at + at;
	if (at >= LOCATOR_BYTES && get32(end - LOCATOR_BYTES) == SIGN_LOCATOR) {
		TRY(read_end64(last, at, last_at, e, ret_why));
		directory_end -= END64_BYTES + LOCATOR_BYTES;
	} else {
		e->entries = get16(end + 10);
		e->directory_bytes = get32(end + 12);
		e->directory_at = get32(end + 16);
	}
	if (e->directory_bytes > directory_end ||
		e->directory_at != directory_end - e->directory_bytes)
		return refuse(ret_why, "its directory is not directly in front of its end");
	if (e->directory_bytes > SIGNER_DIRECTORY_BYTES_MAX)
		return refuse(ret_why, "its directory is too large");
	return 0;
}

int archive_end_read(
	const struct archive_source *s, struct archive_end *ret_end, const char **ret_why)
{
	char last[ARCHIVE_END_MAX];
	size_t n = (size_t)MIN(s->bytes, (uint64_t)sizeof last);
	struct archive_end e = {.zip64 = false};

	TRY(s->read(s->arg, s->bytes - n, last, n));
	TRY(parse_end(str_of(last, n), s->bytes - n, &e, ret_why));
	*ret_end = e;
	return 0;
}

void archive_end_put(struct buf *out, const struct archive_end *e)
{
	uint64_t long_at = e->directory_at + e->directory_bytes;

	if (e->zip64) {
		put32(out, SIGN_END64);
		put64(out, END64_BYTES - 12);
		put16(out, MADE_BY_UNIX);
		put16(out, VERSION_64);
		put32(out, 0);
		put32(out, 0);
		put64(out, e->entries);
		put64(out, e->entries);
		put64(out, e->directory_bytes);
		put64(out, e->directory_at);
		put32(out, SIGN_LOCATOR);
		put32(out, 0);
		put64(out, long_at);
		put32(out, 1);
	}
	put32(out, SIGN_END);
	put32(out, 0);
	put16(out, e->zip64 ? 0xffff : (unsigned)e->entries);
	put16(out, e->zip64 ? 0xffff : (unsigned)e->entries);
	put32(out, e->zip64 ? 0xffffffff : (uint32_t)e->directory_bytes);
	put32(out, e->zip64 ? 0xffffffff : (uint32_t)e->directory_at);
	put16(out, (unsigned)e->comment_bytes);
	buf_put(out, archive_comment(e));
}

/* ---- the directory ---- */

/* The next number of the zip64 extra field, where the short one says that it is there. */
static bool take64(str *extra, uint64_t *value)
{
	if (*value != 0xffffffff)
		return true;
	if (extra->n < 8)
		return false;
	*value = get64(extra->p);
	*extra = str_from(*extra, 8);
	return true;
}

/* Its part with that id; STR_NULL: it has none. False: it is damaged. */
static bool find_extra(str extra, unsigned id, str *ret_part)
{
	*ret_part = STR_NULL;
	while (extra.n) {
		size_t n;

		if (extra.n < 4)
			return false;
		n = get16(extra.p + 2);
		if (extra.n - 4 < n)
			return false;
		if (get16(extra.p) == id) {
			if (ret_part->p)
				return false;
			*ret_part = str_sub(extra, 4, n);
		}
		extra = str_from(extra, 4 + n);
	}
	return true;
}

int archive_entry_take(str *directory, struct archive_entry *ret_entry, const char **ret_why)
{
	struct archive_entry e;
	const char *p = directory->p;
	size_t name, extra, comment;
	str part;

	if (!directory->n)
		return 0;
	if (directory->n < LINE_BYTES || get32(p) != SIGN_LINE)
		return refuse(ret_why, "its directory is damaged");
	name = get16(p + 28);
	extra = get16(p + 30);
	comment = get16(p + 32);
	if (directory->n - LINE_BYTES < name + extra + comment)
		return refuse(ret_why, "its directory is damaged");
	e = (struct archive_entry){.flags = get16(p + 8),
		.method = get16(p + 10),
		.crc = get32(p + 16),
		.packed = get32(p + 20),
		.full = get32(p + 24),
		.attributes = get32(p + 38),
		.at = get32(p + 42),
		.name = str_of(p + LINE_BYTES, name)};
	if (get16(p + 34) != 0 ||
		!find_extra(str_of(p + LINE_BYTES + name, extra), EXTRA_ZIP64, &part) ||
		!take64(&part, &e.full) || !take64(&part, &e.packed) || !take64(&part, &e.at))
		return refuse(ret_why, "its directory is damaged");
	*directory = str_from(*directory, LINE_BYTES + name + extra + comment);
	*ret_entry = e;
	return 1;
}

void archive_put_file(struct buf *file, struct buf *directory, uint64_t at, str name, str content)
{
	struct buf *both[] = {file, directory};

	check(at + content.n < 0xffffffff);
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct buf *b = both[i];

		put32(b, i ? SIGN_LINE : SIGN_FILE);
		if (i)
			put16(b, MADE_BY_UNIX);
		put16(b, VERSION_FILE);
		put16(b, 0);
		put16(b, 0);
		put16(b, 0);
		put16(b, DAY_ONE);
		put32(b, crc32_add(0, content));
		put32(b, (uint32_t)content.n);
		put32(b, (uint32_t)content.n);
		put16(b, (unsigned)name.n);
		put16(b, 0);
		if (i) {
			put16(b, 0);
			put16(b, 0);
			put16(b, 0);
			put32(b, (uint32_t)MODE_FILE << 16);
			put32(b, (uint32_t)at);
		}
		buf_put(b, name);
		if (!i)
			buf_put(b, content);
	}
}

/* ---- a whole archive ---- */

static int by_place(const void *x, const void *y)
{
	const struct archive_place *a = x, *b = y;

	return (a->at > b->at) - (a->at < b->at);
}

static int by_number(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return (a > b) - (a < b);
}

/* Names are compared by their keyed hashes: equal ones are found for certain. */
static bool has_twice(uint64_t *hashes, size_t n)
{
	qsort(hashes, n, sizeof *hashes, by_number);
	for (size_t i = 1; i < n; i++)
		if (hashes[i] == hashes[i - 1])
			return true;
	return false;
}

static int read_places(struct archive_check *c, uint64_t *hashes, const char **ret_why)
{
	str rest = c->directory;
	struct archive_entry e;

	for (size_t i = 0; i < c->count; i++) {
		uint32_t line = (uint32_t)(rest.p - c->directory.p);

		if (TRY(archive_entry_take(&rest, &e, ret_why)) == 0)
			return refuse(ret_why, "it has fewer entries than its end says");
		if (e.flags & (FLAG_ENCRYPTED | FLAG_STRONG | FLAG_MASKED))
			return refuse(ret_why, "it is encrypted");
		if (!e.name.n || e.name.n > SIGNER_NAME_BYTES_MAX)
			return refuse(ret_why, "it has an entry whose name is empty or too long");
		c->places[i] = (struct archive_place){e.at, e.packed, line};
		hashes[i] = str_hash(e.name);
	}
	if (rest.n)
		return refuse(ret_why, "it has more entries than its end says");
	if (has_twice(hashes, c->count))
		return refuse(ret_why, "it has a name twice");
	qsort(c->places, c->count, sizeof *c->places, by_place);
	return 0;
}

int archive_check_init(
	struct archive_check *c, const struct archive_end *e, str directory, const char **ret_why)
{
	uint64_t *hashes;
	int rc;

	*c = (struct archive_check){.directory = directory, .directory_at = e->directory_at};
	if (!e->entries)
		return refuse(ret_why, "it is empty");
	if (e->entries > directory.n / LINE_BYTES)
		return refuse(ret_why, "it has fewer entries than its end says");
	c->count = (size_t)e->entries;
	c->places = mem_new_array(struct archive_place, c->count);
	hashes = mem_new_array(uint64_t, c->count);
	rc = read_places(c, hashes, ret_why);
	mem_free(hashes);
	return rc;
}

/* May there be that many bytes between an entry's content and what follows? */
static bool fits_descriptor(const struct archive_check *c, uint64_t gap)
{
	return gap == 0 ? !c->descriptor
			: c->descriptor && (gap == 12 || gap == 16 || gap == 20 || gap == 24);
}

/* The whole of a header is there: it has to say what the directory says. */
static int compare_header(struct archive_check *c, const char **ret_why)
{
	const struct archive_place *place = &c->places[c->next];
	str rest = str_from(c->directory, place->line), name;
	const char *p = c->head;
	struct archive_entry e;
	bool later = get16(p + 6) & FLAG_DESCRIPTOR;

	check(archive_entry_take(&rest, &e, ret_why) == 1);
	name = str_of(p + FILE_BYTES, get16(p + 26));
	if (!str_eq(name, e.name) || get16(p + 8) != e.method ||
		later != !!(e.flags & FLAG_DESCRIPTOR) || get16(p + 6) & FLAG_ENCRYPTED)
		return refuse(ret_why, "an entry's header is not what the directory says");
	if (!later && (get32(p + 14) != e.crc || !agrees(e.packed, get32(p + 18), 0xffffffff) ||
			      !agrees(e.full, get32(p + 22), 0xffffffff)))
		return refuse(ret_why, "an entry's header is not what the directory says");
	c->descriptor = later;
	c->end = place->at + FILE_BYTES + name.n + get16(p + 28);
	if (e.packed > c->directory_at || c->end > c->directory_at - e.packed)
		return refuse(ret_why, "an entry reaches into the directory");
	c->end += e.packed;
	c->next++;
	c->have = 0;
	if (c->next < c->count && c->places[c->next].at < c->end)
		return refuse(ret_why, "an entry reaches into the next one");
	return 0;
}

/* More of the header that is being read: how many bytes were taken. */
static int add_header(struct archive_check *c, str bytes, const char **ret_why)
{
	size_t want = FILE_BYTES, n;

	if (c->have >= FILE_BYTES)
		want += get16(c->head + 26);
	n = MIN(want - c->have, bytes.n);
	memcpy(c->head + c->have, bytes.p, n);
	c->have += n;
	if (c->have < FILE_BYTES || c->have < want)
		return (int)n;
	if (want == FILE_BYTES) {
		if (get32(c->head) != SIGN_FILE || get16(c->head + 26) == 0 ||
			get16(c->head + 26) > SIGNER_NAME_BYTES_MAX)
			return refuse(ret_why, "an entry is not where the directory says");
		return (int)n;
	}
	TRY(compare_header(c, ret_why));
	return (int)n;
}

int archive_check_add(struct archive_check *c, str bytes, const char **ret_why)
{
	while (bytes.n) {
		uint64_t next = c->next < c->count ? c->places[c->next].at : c->directory_at;
		uint64_t n;

		if (c->have || (c->next < c->count && c->at == next)) {
			if (!c->have && !fits_descriptor(c, c->at - c->end))
				return refuse(ret_why, "there is something between its entries");
			n = (uint64_t)TRY(add_header(c, bytes, ret_why));
		} else if (c->at < next) {
			if (c->next == 0)
				return refuse(
					ret_why, "there is something in front of its entries");
			n = MIN((uint64_t)bytes.n, next - c->at);
		} else {
			return refuse(ret_why, "an entry is not where the directory says");
		}
		c->at += n;
		bytes = str_from(bytes, (size_t)n);
	}
	return 0;
}

int archive_check_end(struct archive_check *c, const char **ret_why)
{
	if (c->at != c->directory_at || c->next != c->count || c->have)
		return refuse(ret_why, "an entry is not where the directory says");
	if (!fits_descriptor(c, c->directory_at - c->end))
		return refuse(ret_why, "there is something between its entries and the directory");
	return 0;
}

void archive_check_done(struct archive_check *c)
{
	mem_free(c->places);
	c->places = NULL;
}
