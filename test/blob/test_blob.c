/*
 * Blobs: what is written is read, what is removed stays readable to who has it open, what nobody
 * knows after a start is swept, and nothing of this run is.
 */
#include "blob/blob.h"

#include "base/hash.h"
#include "rt/file.h"
#include "test/kv/failing_sync.h"
#include "test/test.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what is synced, in this whole program: the calls go on to the real ones, or fail ---- */

enum { SYNCED_MAX = 64 };

static _Atomic unsigned synced_count; /* never falls; the last SYNCED_MAX are kept */
static _Atomic unsigned long synced[SYNCED_MAX];

static void note_sync(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0)
		atomic_store(&synced[atomic_fetch_add(&synced_count, 1) % SYNCED_MAX],
			(unsigned long)st.st_ino);
}

int fsync(int fd)
{
	note_sync(fd);
	return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd)
{
	note_sync(fd);
	if (wal_sync_fails(fd)) {
		errno = EIO;
		return -1;
	}
	return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

/* Was the file or folder synced since there were `since` syncs? */
static bool was_synced(const char *path, unsigned since)
{
	struct stat st;

	if (!EXPECT(stat(path, &st) == 0))
		return false;
	for (unsigned i = since; i < atomic_load(&synced_count); i++)
		if (atomic_load(&synced[i % SYNCED_MAX]) == (unsigned long)st.st_ino)
			return true;
	return false;
}

struct world {
	struct rt *rt;
	struct blob_store *store;
	struct blob_id kept[3];
	const char *folder;
	bool unsynced;
	void (*fn)(struct world *w);
};

static void run_fn(void *arg)
{
	struct world *w = arg;

	w->fn(w);
	rt_stop(w->rt);
}

static void run(struct world *w, const char *folder, uint64_t number, enum rt_mode mode,
	void (*fn)(struct world *w))
{
	const struct rt_options options = {.mode = mode, .seed = number};
	const struct blob_options blobs = {
		.folder = folder, .run = number, .unsynced = w->unsynced};

	w->fn = fn;
	w->folder = folder;
	ASSERT_INT(rt_new(&options, &w->rt), 0);
	ASSERT_INT(blob_open(w->rt, &blobs, &w->store), 0);
	EXPECT_INT(rt_run(w->rt, run_fn, w), 0);
	blob_close(w->store);
	rt_free(w->rt);
}

static void count_bytes(void *arg, str bytes)
{
	*(size_t *)arg += bytes.n;
}

static struct blob_id write_blob(struct world *w, size_t parts)
{
	struct blob_writer *writer;
	struct blob_id id = {{0}};
	size_t tapped = 0;

	if (!EXPECT_INT(blob_create(w->store, count_bytes, &tapped, &writer), 0))
		return id;
	for (size_t i = 0; i < parts; i++)
		EXPECT_INT(blob_write(writer, STR("0123456789")), 0);
	EXPECT_INT(blob_finish(writer, &id), 0);
	EXPECT_INT(tapped, 10 * parts);
	return id;
}

static void lives(struct world *w)
{
	struct blob_id id = write_blob(w, 3), other = write_blob(w, 1);
	struct blob_writer *writer;
	char to[100];
	int fd;

	EXPECT(memcmp(id.bytes, other.bytes, BLOB_ID_BYTES) != 0);
	fd = blob_read(w->store, id);
	ASSERT(fd >= 0);
	EXPECT_INT(blob_remove(w->store, id), 0);
	EXPECT_INT(blob_remove(w->store, id), 0);
	EXPECT_INT(blob_read(w->store, id), ERR_NOT_FOUND);
	EXPECT_INT(rt_file_read(fd, to, sizeof to, 0), 30);
	rt_file_close(fd);
	ASSERT_INT(blob_create(w->store, NULL, NULL, &writer), 0);
	EXPECT_INT(blob_write(writer, STR("half")), 0);
	blob_abandon(writer);
	blob_abandon(NULL);
	w->kept[0] = other;
	w->kept[1] = write_blob(w, 2);
	w->kept[2] = write_blob(w, 0);
}

/* The first is known. */
static int knows_first(void *arg, struct blob_id id)
{
	const struct world *w = arg;

	return memcmp(id.bytes, w->kept[0].bytes, BLOB_ID_BYTES) == 0;
}

static int knows_nothing(void *arg unused_arg, struct blob_id id unused_arg)
{
	return 0;
}

static int fails(void *arg unused_arg, struct blob_id id unused_arg)
{
	return ERR_IO;
}

static void sweeps(struct world *w)
{
	struct blob_id mine = write_blob(w, 1);
	int fd;

	EXPECT_INT(blob_sweep(w->store, fails, w), ERR_IO);
	EXPECT_INT(blob_sweep(w->store, knows_first, w), 2);
	EXPECT_INT(blob_sweep(w->store, knows_first, w), 0);
	fd = blob_read(w->store, w->kept[0]);
	EXPECT(fd >= 0);
	rt_file_close(fd);
	EXPECT_INT(blob_read(w->store, w->kept[1]), ERR_NOT_FOUND);
	/* of this run: somebody may be about to make it known */
	EXPECT_INT(blob_sweep(w->store, knows_nothing, w), 1);
	fd = blob_read(w->store, mine);
	EXPECT(fd >= 0);
	rt_file_close(fd);
}

TEST(blob, written_read_removed_swept)
{
	struct world w = {.rt = NULL};
	const char *folder = test_folder();

	run(&w, folder, 1, RT_REAL, lives);
	run(&w, folder, 2, RT_REAL, sweeps);
}

TEST(blob, the_same_simulated)
{
	struct world w = {.rt = NULL};
	const char *folder = test_folder();

	run(&w, folder, 1, RT_SIMULATED, lives);
	run(&w, folder, 2, RT_SIMULATED, sweeps);
}

static void too_many(struct world *w)
{
	static struct blob_writer *writers[BLOB_WRITERS_MAX];
	struct blob_writer *one_more;

	for (int i = 0; i < BLOB_WRITERS_MAX; i++)
		if (!EXPECT_INT(blob_create(w->store, NULL, NULL, &writers[i]), 0))
			return;
	EXPECT_INT(blob_create(w->store, NULL, NULL, &one_more), ERR_BUSY);
	for (int i = 0; i < BLOB_WRITERS_MAX; i++)
		blob_abandon(writers[i]);
	EXPECT_INT(blob_create(w->store, NULL, NULL, &one_more), 0);
	blob_abandon(one_more);
}

TEST(blob, writers_have_a_maximum)
{
	struct world w = {.rt = NULL};

	run(&w, test_folder(), 1, RT_SIMULATED, too_many);
}

/* When a blob is finished its bytes, its name, and the name of its folder are on the disk. */
static void durable(struct world *w)
{
	char hex[2 * BLOB_ID_BYTES + 1] = "", folder[4096], file[4200];
	unsigned before = atomic_load(&synced_count);
	struct blob_id id = write_blob(w, 5);

	hex_encode(id.bytes, BLOB_ID_BYTES, hex);
	snprintf(folder, sizeof folder, "%s/%s", w->folder, hex + 2 * BLOB_ID_BYTES - 2);
	snprintf(file, sizeof file, "%s/%s", folder, hex);
	EXPECT(was_synced(file, before) == !w->unsynced);
	EXPECT(was_synced(folder, before) == !w->unsynced);
	EXPECT(was_synced(w->folder, before) == !w->unsynced);
}

TEST(blob, finished_is_durable)
{
	struct world w = {.rt = NULL};
	const char *above = test_folder();
	char folder[4096];
	unsigned before = atomic_load(&synced_count);

	snprintf(folder, sizeof folder, "%s/blob", above);
	run(&w, folder, 1, RT_REAL, durable);
	EXPECT(was_synced(above, before)); /* it has been made just now */
	w.unsynced = true;
	run(&w, test_folder(), 1, RT_REAL, durable);
}
