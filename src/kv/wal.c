/*
 * The write-ahead log (wal.h).
 *
 * Writing: the record goes through one aligned room of memory, in whole blocks, so that writing
 * over a segment that the page cache has lost reads nothing, and so that the page cache can be
 * left out altogether (O_DIRECT), where its pages would be written back again at once. The last,
 * unfinished block is written again with the next record, with the same bytes in front.
 *
 * Reading: records that the tables have already are passed over by their heads alone.
 */
#include "kv/wal.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"
#include "kv/engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BLOCK = 4096,
	ROOM_BYTES = 256 * 1024,
	HEAD_BYTES = 32,
	CRC_AT = 28,
	/* Free segments that are kept: what three full memtables have in the log. */
	SPARE = 4,
	NAME_BYTES = 24,
	READ_BYTES = 256 * 1024,
};

/* "cirrus", and the version. */
static const uint64_t magic = 0x6369727275730001;

/* --- records --------------------------------------------------------------------------------- */

struct head {
	uint64_t serial, number;
	uint32_t bytes, crc;
};

static void head_put(char to[HEAD_BYTES], const struct head *h)
{
	kv_put_be64(to, magic);
	kv_put_be64(to + 8, h->serial);
	kv_put_be64(to + 16, h->number);
	kv_put_be64(to + 24, (uint64_t)h->bytes << 32 | h->crc);
}

static bool head_take(const char from[HEAD_BYTES], struct head *ret_head)
{
	uint64_t last = kv_take_be64(from + 24);

	*ret_head = (struct head){kv_take_be64(from + 8), kv_take_be64(from + 16),
		(uint32_t)(last >> 32), (uint32_t)last};
	return kv_take_be64(from) == magic && ret_head->serial && ret_head->number &&
	       ret_head->bytes <= WAL_RECORD_BYTES_MAX;
}

static uint32_t record_crc(const char head[HEAD_BYTES], str batch)
{
	return crc32_add(crc32_add(0, str_of(head, CRC_AT)), batch);
}

/* --- reading --------------------------------------------------------------------------------- */

/* A window of a segment's file. */
struct reader {
	int fd;
	off_t at;     /* of the window's first byte */
	char *window; /* `n` bytes of the file, room for `capacity` */
	size_t n, capacity;
};

static void reader_done(struct reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	mem_free(r->window);
}

/* The `n` bytes at `at`: 1; 0 when the file ends before. */
static int reader_bytes(struct reader *r, off_t at, size_t n, const char **ret_p)
{
	if (at < r->at || (size_t)(at - r->at) + n > r->n) {
		if (n > r->capacity) {
			r->capacity = MAX(n, (size_t)READ_BYTES);
			r->window = mem_realloc(r->window, r->capacity);
		}
		r->at = at;
		r->n = 0;
		while (r->n < n) {
			ssize_t got = pread(
				r->fd, r->window + r->n, r->capacity - r->n, at + (off_t)r->n);

			if (got < 0 && errno == EINTR)
				continue;
			if (got < 0)
				return rc_from_errno(errno);
			if (got == 0)
				return 0;
			r->n += (size_t)got;
		}
	}
	*ret_p = r->window + (at - r->at);
	return 1;
}

/* The head at `at`, whose record lies whole in a file of `end` bytes: 1, or 0. */
static int reader_head(struct reader *r, off_t at, off_t end, struct head *ret_head)
{
	const char *p;

	if (end - at < HEAD_BYTES)
		return 0;
	TRY(reader_bytes(r, at, HEAD_BYTES, &p));
	return head_take(p, ret_head) && ret_head->bytes <= end - at - HEAD_BYTES;
}

/* The batch of the record with head `h` at `at`: 1; 0: damaged. */
static int reader_batch(struct reader *r, off_t at, const struct head *h, str *ret_batch)
{
	const char *p;
	int rc = reader_bytes(r, at, HEAD_BYTES + (size_t)h->bytes, &p);

	if (rc <= 0)
		return rc;
	*ret_batch = str_of(p + HEAD_BYTES, h->bytes);
	return record_crc(p, *ret_batch) == h->crc;
}

/* --- the folder ------------------------------------------------------------------------------ */

static void name_of(unsigned id, char ret_name[NAME_BYTES])
{
	snprintf(ret_name, NAME_BYTES, "%u.wal", id);
}

static bool id_of(const char *name, unsigned *ret_id)
{
	char again[NAME_BYTES];
	unsigned long id = strtoul(name, NULL, 10);

	if (id == 0 || id > UINT32_MAX)
		return false;
	name_of((unsigned)id, again);
	*ret_id = (unsigned)id;
	return strcmp(name, again) == 0;
}

static int reader_open(struct reader *r, const struct wal *w, const struct wal_segment *s)
{
	char name[NAME_BYTES];

	name_of(s->id, name);
	r->fd = openat(w->folder_fd, name, O_RDONLY | O_CLOEXEC);
	return r->fd < 0 ? rc_from_errno(errno) : 0;
}

/* Looks at its first record. A serial is taken as given even by one that is not whole. */
static int segment_look(struct wal *w, struct wal_segment *s)
{
	struct reader r cleanup(reader_done) = {.fd = -1};
	struct stat st;
	struct head h;
	str batch;
	int rc;

	TRY(reader_open(&r, w, s));
	if (fstat(r.fd, &st) < 0)
		return rc_from_errno(errno);
	s->bytes = st.st_size;
	rc = reader_head(&r, 0, s->bytes, &h);
	if (rc <= 0)
		return rc;
	w->serial = MAX(w->serial, h.serial);
	rc = reader_batch(&r, 0, &h, &batch);
	if (rc <= 0)
		return rc;
	s->serial = h.serial;
	s->first = s->last = h.number;
	return 0;
}

static void closedir_p(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int segments_find(struct wal *w)
{
	int fd = openat(w->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir cleanup(closedir_p) = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		int rc = rc_from_errno(errno);

		if (fd >= 0)
			close(fd);
		return rc;
	}
	while ((errno = 0, e = readdir(dir)) != NULL) {
		unsigned id;

		if (!id_of(e->d_name, &id))
			continue;
		if (w->n_segments == WAL_SEGMENTS_MAX)
			return ERR_CORRUPT;
		w->segments[w->n_segments] = (struct wal_segment){.id = id};
		TRY(segment_look(w, &w->segments[w->n_segments++]));
	}
	return errno ? rc_from_errno(errno) : 0;
}

static int by_serial(const void *a, const void *b)
{
	const struct wal_segment *x = a, *y = b;

	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

void wal_init(struct wal *w)
{
	*w = (struct wal){.folder_fd = -1, .fd = -1};
}

int wal_open(struct wal *w, const char *folder, size_t segment_bytes, bool synced)
{
	int rc;

	wal_init(w);
	w->segment_bytes = segment_bytes;
	w->synced = synced;
	w->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->folder_fd < 0)
		return rc_from_errno(errno);
	rc = segments_find(w);
	if (rc < 0) {
		wal_close(w);
		return rc;
	}
	qsort(w->segments, w->n_segments, sizeof w->segments[0], by_serial);
	return 0;
}

static void segment_leave(struct wal *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	w->at = 0;
}

void wal_close(struct wal *w)
{
	segment_leave(w);
	if (w->folder_fd >= 0)
		close(w->folder_fd);
	mem_free(w->room_taken);
	wal_init(w);
}

/* --- replay ---------------------------------------------------------------------------------- */

/* The records of one segment with numbers below `limit`: how many were applied. */
static int64_t segment_replay(
	struct wal *w, struct wal_segment *s, uint64_t limit, wal_apply_fn *apply, void *arg)
{
	struct reader r cleanup(reader_done) = {.fd = -1};
	uint64_t expected = s->first;
	int64_t applied = 0;
	struct head h;
	off_t at = 0;
	str batch;
	int rc;

	TRY(reader_open(&r, w, s));
	for (; expected < limit; expected++, at += HEAD_BYTES + (off_t)h.bytes) {
		rc = reader_head(&r, at, s->bytes, &h);
		if (rc <= 0 || h.serial != s->serial || h.number != expected)
			return rc < 0 ? rc : applied;
		if (h.number > w->number) {
			rc = reader_batch(&r, at, &h, &batch);
			if (rc <= 0)
				return rc < 0 ? rc : applied;
			if (h.number != w->number + 1)
				return ERR_CORRUPT;
			TRY(apply(arg, batch));
			w->number = h.number;
			applied++;
		}
		s->last = h.number;
	}
	return applied;
}

int64_t wal_replay(struct wal *w, uint64_t persisted, wal_apply_fn *apply, void *arg)
{
	int64_t applied = 0;

	w->number = persisted;
	for (size_t i = 0; i < w->n_segments; i++) {
		struct wal_segment *s = &w->segments[i];
		uint64_t limit = i + 1 < w->n_segments ? s[1].first : UINT64_MAX;
		int64_t n;

		if (!s->serial)
			continue;
		if (limit <= persisted + 1) {
			/* Nothing in it that the tables do not have. */
			s->last = limit - 1;
			continue;
		}
		n = segment_replay(w, s, limit, apply, arg);
		if (n < 0)
			return n;
		applied += n;
	}
	w->persisted = persisted;
	return applied;
}

/* --- segments -------------------------------------------------------------------------------- */

static bool is_free(const struct wal *w, size_t i)
{
	const struct wal_segment *s = &w->segments[i];

	if (w->fd >= 0 && i == w->current)
		return false;
	/* Also one whose first write failed: on a bad disk each attempt would cost another. */
	return !s->serial || s->last < s->first || s->last <= w->persisted;
}

/* Gives back free segments that are more than a burst needs. */
static void segments_trim(struct wal *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n_segments;) {
		char name[NAME_BYTES];

		if (!is_free(w, i) || ++n <= SPARE) {
			i++;
			continue;
		}
		name_of(w->segments[i].id, name);
		/* One that stays for an error is written over some day. */
		if (unlinkat(w->folder_fd, name, 0) < 0) {
			i++;
			continue;
		}
		w->segments[i] = w->segments[--w->n_segments];
		if (w->current == w->n_segments)
			w->current = i;
	}
}

void wal_persisted(struct wal *w, uint64_t number)
{
	if (number <= w->persisted)
		return;
	w->persisted = number;
	segments_trim(w);
}

bool wal_is_full(const struct wal *w, size_t bytes)
{
	return w->fd < 0 || (w->at > 0 && (size_t)w->at + HEAD_BYTES + bytes > w->segment_bytes);
}

static int segment_add(struct wal *w, size_t *ret_i)
{
	struct wal_segment *s = &w->segments[w->n_segments];
	unsigned id = 1;

	if (w->n_segments == WAL_SEGMENTS_MAX)
		return ERR_NO_SPACE;
	for (size_t i = 0; i < w->n_segments; i++)
		if (w->segments[i].id == id) {
			id++;
			i = SIZE_MAX;
		}
	*s = (struct wal_segment){.id = id};
	*ret_i = w->n_segments++;
	return 0;
}

/* The free one that was written first, or a new one. */
static int segment_choose(struct wal *w, size_t *ret_i)
{
	size_t found = SIZE_MAX;

	for (size_t i = 0; i < w->n_segments; i++)
		if (is_free(w, i) &&
			(found == SIZE_MAX || w->segments[i].serial < w->segments[found].serial))
			found = i;
	if (found == SIZE_MAX)
		return segment_add(w, ret_i);
	*ret_i = found;
	return 0;
}

static int segment_open(struct wal *w, struct wal_segment *s)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC;
	char name[NAME_BYTES];

	name_of(s->id, name);
	w->fd = openat(w->folder_fd, name, flags | (w->synced ? O_DIRECT : 0), 0600);
	if (w->fd < 0 && errno == EINVAL)
		w->fd = openat(w->folder_fd, name, flags, 0600);
	if (w->fd < 0)
		return rc_from_errno(errno);
	/* One that held a giant would keep its place for ever. */
	if (s->bytes > 2 * (off_t)w->segment_bytes) {
		if (ftruncate(w->fd, (off_t)w->segment_bytes) < 0)
			return rc_from_errno(errno);
		s->bytes = (off_t)w->segment_bytes;
	}
	return s->bytes == 0 && fsync(w->folder_fd) < 0 ? rc_from_errno(errno) : 0;
}

/* Behind all before, and not to be guessed (wal.h). */
static uint64_t serial_next(const struct wal *w)
{
	uint32_t low;

	random_bytes(&low, sizeof low);
	return ((w->serial >> 32) + 1) << 32 | low;
}

static int segment_begin(struct wal *w)
{
	struct wal_segment *s;
	int rc;

	if (w->serial >> 32 == UINT32_MAX)
		return ERR_CORRUPT;
	/* A later segment on the disk without the end of this one would be a gap. */
	if (!w->synced)
		TRY(wal_sync(w));
	segment_leave(w);
	TRY(segment_choose(w, &w->current));
	s = &w->segments[w->current];
	rc = segment_open(w, s);
	if (rc < 0) {
		segment_leave(w);
		return rc;
	}
	s->serial = w->serial = serial_next(w);
	s->first = w->number + 1;
	s->last = w->number;
	return 0;
}

/* --- writing --------------------------------------------------------------------------------- */

/* Where a file system takes O_DIRECT and then refuses what is written so. */
static bool use_page_cache(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && flags & O_DIRECT && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

static int write_blocks(int fd, const char *p, size_t n, off_t at)
{
	while (n > 0) {
		ssize_t done = pwrite(fd, p, n, at);

		if (done < 0 && (errno == EINTR || (errno == EINVAL && use_page_cache(fd))))
			continue;
		if (done < 0)
			return rc_from_errno(errno);
		/* Not a whole block: the next call says why. */
		done -= done % BLOCK;
		if (done == 0)
			return ERR_NO_SPACE;
		p += done;
		n -= (size_t)done;
		at += done;
	}
	return 0;
}

static int record_write(struct wal *w, const char head[HEAD_BYTES], str batch)
{
	size_t used = (size_t)(w->at % BLOCK), tail;
	off_t at = w->at - (off_t)used;

	memcpy(w->room + used, head, HEAD_BYTES);
	used += HEAD_BYTES;
	for (;;) {
		size_t n = MIN(ROOM_BYTES - used, batch.n), whole;

		memcpy(w->room + used, batch.p, n);
		used += n;
		batch = str_from(batch, n);
		whole = (used + BLOCK - 1) / BLOCK * BLOCK;
		memset(w->room + used, 0, whole - used);
		TRY(write_blocks(w->fd, w->room, whole, at));
		if (!batch.n)
			break;
		at += ROOM_BYTES;
		used = 0;
	}
	if (w->synced)
		TRY(wal_sync(w));
	tail = used % BLOCK;
	memmove(w->room, w->room + (used - tail), tail);
	w->at = at + (off_t)used;
	return 0;
}

static void room_make(struct wal *w)
{
	if (w->room)
		return;
	w->room_taken = mem_alloc(ROOM_BYTES + BLOCK);
	w->room = w->room_taken + (BLOCK - (uintptr_t)w->room_taken % BLOCK);
}

int wal_append(struct wal *w, str batch)
{
	struct wal_segment *s;
	char head[HEAD_BYTES];
	struct head h;
	int rc;

	if (batch.n > WAL_RECORD_BYTES_MAX)
		return ERR_TOO_LARGE;
	room_make(w);
	if (wal_is_full(w, batch.n))
		TRY(segment_begin(w));
	h = (struct head){w->serial, w->number + 1, (uint32_t)batch.n, 0};
	head_put(head, &h);
	h.crc = record_crc(head, batch);
	head_put(head, &h);
	/* Whatever comes of it: this long the file may be. */
	s = &w->segments[w->current];
	s->bytes = MAX(s->bytes, w->at + HEAD_BYTES + (off_t)batch.n);
	rc = record_write(w, head, batch);
	if (rc < 0) {
		segment_leave(w);
		return rc;
	}
	s->last = ++w->number;
	return 0;
}

int wal_sync(struct wal *w)
{
	int rc;

	if (w->fd < 0 || fdatasync(w->fd) == 0)
		return 0;
	rc = rc_from_errno(errno);
	/* The next sync says nothing about what this one was for. */
	segment_leave(w);
	return rc;
}
