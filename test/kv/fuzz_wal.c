/*
 * The log's files from the input: a replay ends or says damaged, and what is appended behind it is
 * exactly what a later start finds.
 *
 * The input: a byte of choices, the sizes of all files but the last (16 bits each), the files.
 * Choices: bits 0-1 files, 2-4 what the tables have, 5 not synced, 6 heads as they are. Otherwise
 * heads get magic and CRC, and where their first byte is odd the serial and number that follow.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "kv/engine.h"
#include "kv/wal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { FILES_MAX = 3, HEAD = 32, CRC_AT = 28, PATH_BYTES = 64 };

static const char *folder(void)
{
	static char path[PATH_BYTES];

	if (!path[0]) {
		snprintf(path, sizeof path, "%s", "/dev/shm/cirrus-fuzz-wal-XXXXXX");
		check(mkdtemp(path) != NULL);
	}
	return path;
}

static void path_of(char to[PATH_BYTES], unsigned i)
{
	snprintf(to, PATH_BYTES, "%s/%u.wal", folder(), i);
}

static void clear(void)
{
	char path[PATH_BYTES];

	for (unsigned i = 0; i < FILES_MAX + 2; i++) {
		path_of(path, i);
		unlink(path);
	}
}

static void leave(void)
{
	clear();
	rmdir(folder());
}

static void fix(char *p, size_t n)
{
	uint64_t serial = 0, number = 0;

	for (size_t at = 0; n - at >= HEAD;) {
		size_t bytes = kv_take_be64(p + at + 24) >> 32;

		bytes = MIN(bytes, n - at - HEAD);
		if (at > 0 && p[at] % 2) {
			kv_put_be64(p + at + 8, serial);
			kv_put_be64(p + at + 16, number + 1);
		}
		serial = kv_take_be64(p + at + 8);
		number = kv_take_be64(p + at + 16);
		kv_put_be64(p + at, 0x6369727275730001);
		kv_put_be64(p + at + 24, (uint64_t)bytes << 32);
		kv_put_be64(p + at + 24,
			(uint64_t)bytes << 32 | crc32_add(crc32_add(0, str_of(p + at, CRC_AT)),
							str_of(p + at + HEAD, bytes)));
		at += HEAD + bytes;
	}
}

static void file_make(unsigned i, const uint8_t *data, size_t n, bool fixed)
{
	char path[PATH_BYTES], *copy = mem_alloc(n + 1);
	int fd;

	memcpy(copy, data, n);
	if (fixed)
		fix(copy, n);
	path_of(path, i);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check(fd >= 0 && write(fd, copy, n) == (ssize_t)n);
	close(fd);
	mem_free(copy);
}

static void files_make(const uint8_t *data, size_t n)
{
	unsigned files = 1 + (data[0] & 3) % FILES_MAX;
	bool fixed = !(data[0] & 64);

	data++;
	n--;
	for (unsigned i = 1; i < files && n >= 2; i++) {
		size_t part = (size_t)data[0] << 8 | data[1];

		part = MIN(part, n - 2);
		file_make(i, data + 2, part, fixed);
		data += 2 + part;
		n -= 2 + part;
	}
	file_make(files, data, n, fixed);
}

struct seen {
	uint64_t n;
	bool same; /* the last one is what was appended */
};

static const str appended = STR_INIT("what was appended");

static int see(void *arg, str batch)
{
	struct seen *seen = arg;

	seen->n++;
	seen->same = str_eq(batch, appended);
	/* read every byte of it */
	(void)crc32_add(0, batch);
	return 0;
}

static int64_t replay(struct wal *w, uint64_t persisted, bool synced, struct seen *seen)
{
	int64_t n;

	*seen = (struct seen){0};
	check(wal_open(w, folder(), 4096, synced) == 0);
	n = wal_replay(w, persisted, see, seen);
	check(n >= 0 ? (uint64_t)n == seen->n : n == ERR_CORRUPT);
	check(w->number == persisted + seen->n);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static bool begun;
	uint64_t persisted, last;
	struct seen seen;
	struct wal w;
	bool synced;
	int rc;

	if (n == 0)
		return 0;
	if (!begun)
		begun = atexit(leave) == 0;
	clear();
	files_make(data, n);
	persisted = data[0] >> 2 & 7;
	synced = !(data[0] & 32);
	if (replay(&w, persisted, synced, &seen) >= 0) {
		last = w.number;
		wal_persisted(&w, last);
		rc = wal_append(&w, appended);
		/* There is a last serial. */
		check(rc == 0 || (rc == ERR_CORRUPT && w.serial >> 32 == UINT32_MAX));
		wal_close(&w);
		if (rc == 0) {
			check(replay(&w, last, synced, &seen) == 1 && seen.same);
			check(w.number == last + 1);
		}
	}
	wal_close(&w);
	return 0;
}
