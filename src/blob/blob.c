/*
 * The files engine, see blob.h.
 */
#include "blob/blob.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/file.h"
#include "rt/rt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FOLDERS = 256,
	NAME_BYTES = 2 * BLOB_ID_BYTES,
	POOL_THREADS = 4,
	POOL_QUEUE = 4096,
	SWEEP_ARENA_BYTES = 256 << 20
};

#define STORE_MAGIC 0x626c6f62u

struct blob_store {
	uint32_t magic;
	struct rt_pool *pool;
	char *folder;
	bool unsynced;
	uint64_t run;
	_Atomic uint64_t number;
	_Atomic unsigned writers;
};

struct blob_writer {
	struct blob_store *store;
	struct blob_id id;
	int fd; /* -1: closed */
	uint64_t bytes;
	void (*tap)(void *arg, str bytes);
	void *tap_arg;
};

/* ---- names ---- */

static void put_be64(uint8_t *to, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		to[i] = (uint8_t)v;
}

struct blob_id blob_id_new(struct blob_store *store)
{
	struct blob_id id;

	put_be64(id.bytes, store->run);
	put_be64(id.bytes + 8, atomic_fetch_add(&store->number, 1));
	return id;
}

static str folder_path(const struct blob_store *store, struct arena *a, unsigned folder)
{
	return arena_printf(a, "%s/%02x", store->folder, folder);
}

static str path_of(const struct blob_store *store, struct arena *a, struct blob_id id)
{
	char name[NAME_BYTES];

	hex_encode(id.bytes, BLOB_ID_BYTES, name);
	return ARENA_CONCAT(a, folder_path(store, a, id.bytes[BLOB_ID_BYTES - 1]), STR("/"),
		str_of(name, sizeof name));
}

/* ---- opening ---- */

static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return rc_from_errno(errno);
	rc = fsync(fd) < 0 ? rc_from_errno(errno) : 0;
	close(fd);
	return rc;
}

/* The folder, and its name in the one above. */
static int make_top(const struct blob_options *options)
{
	cleanup(arena_done_p) struct arena a;
	str path = str_c(options->folder);
	ptrdiff_t slash = str_find_last(path, '/');

	arena_init(&a, 64 * 1024);
	if (mkdir(options->folder, 0700) < 0)
		return errno == EEXIST ? 0 : rc_from_errno(errno);
	if (options->unsynced || slash <= 0)
		return 0;
	return sync_folder(arena_c(&a, str_sub(path, 0, (size_t)slash)));
}

int blob_open(struct rt *rt, const struct blob_options *options, struct blob_store **ret_store)
{
	struct blob_store *store;
	int rc;

	TRY(make_top(options));
	store = mem_new(struct blob_store);
	rc = rt_pool_new(rt, "blob", POOL_THREADS, POOL_QUEUE, &store->pool);
	if (rc < 0) {
		mem_free(store);
		return rc;
	}
	store->magic = STORE_MAGIC;
	store->folder = mem_alloc(strlen(options->folder) + 1);
	memcpy(store->folder, options->folder, strlen(options->folder) + 1);
	store->unsynced = options->unsynced;
	store->run = options->run;
	atomic_init(&store->number, 1);
	atomic_init(&store->writers, 0);
	*ret_store = store;
	return 0;
}

void blob_close(struct blob_store *store)
{
	if (!store)
		return;
	check(store->magic == STORE_MAGIC && atomic_load(&store->writers) == 0);
	rt_pool_free(store->pool);
	mem_free(store->folder);
	store->magic = 0;
	mem_free(store);
}

/* ---- writing ---- */

/* What the pool does for a writer. */
struct work {
	struct blob_writer *w;
	const char *path, *folder, *above;
	str bytes;
	int rc;
};

static int make_folder(const struct work *job)
{
	if (mkdir(job->folder, 0700) < 0 && errno != EEXIST)
		return rc_from_errno(errno);
	return job->w->store->unsynced ? 0 : sync_folder(job->above);
}

static void do_create(void *arg)
{
	struct work *job = arg;
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;

	job->w->fd = open(job->path, flags, 0600);
	if (job->w->fd < 0 && errno == ENOENT) { /* the first blob of this folder */
		job->rc = make_folder(job);
		if (job->rc < 0)
			return;
		job->w->fd = open(job->path, flags, 0600);
	}
	job->rc = job->w->fd < 0 ? rc_from_errno(errno) : 0;
}

static void do_write(void *arg)
{
	struct work *job = arg;
	struct blob_writer *w = job->w;
	str rest = job->bytes;

	while (rest.n) {
		ssize_t n = pwrite(w->fd, rest.p, rest.n, (off_t)w->bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			job->rc = n < 0 ? rc_from_errno(errno) : ERR_IO;
			return;
		}
		rest = str_from(rest, (size_t)n);
		w->bytes += (uint64_t)n;
	}
	if (w->tap)
		w->tap(w->tap_arg, job->bytes);
	job->rc = 0;
}

static void do_finish(void *arg)
{
	struct work *job = arg;
	struct blob_writer *w = job->w;

	job->rc = 0;
	if (!w->store->unsynced && fdatasync(w->fd) < 0)
		job->rc = rc_from_errno(errno);
	if (close(w->fd) < 0 && job->rc == 0)
		job->rc = rc_from_errno(errno);
	w->fd = -1;
	if (job->rc == 0 && !w->store->unsynced)
		job->rc = sync_folder(job->folder);
}

static int run(struct blob_writer *w, void (*fn)(void *arg), struct work *job)
{
	TRY(rt_pool_run(w->store->pool, fn, job, RT_NEVER));
	return job->rc;
}

int blob_create(struct blob_store *store, void (*tap)(void *arg, str bytes), void *tap_arg,
	struct blob_writer **ret_writer)
{
	cleanup(arena_done_p) struct arena a;
	struct blob_writer *w;
	struct work job = {.above = store->folder};
	int rc;

	check(store->magic == STORE_MAGIC);
	arena_init(&a, 64 * 1024);
	if (atomic_fetch_add(&store->writers, 1) >= BLOB_WRITERS_MAX) {
		atomic_fetch_sub(&store->writers, 1);
		return ERR_BUSY;
	}
	w = mem_new(struct blob_writer);
	*w = (struct blob_writer){
		.store = store, .id = blob_id_new(store), .fd = -1, .tap = tap, .tap_arg = tap_arg};
	job.w = w;
	job.path = arena_c(&a, path_of(store, &a, w->id));
	job.folder = arena_c(&a, folder_path(store, &a, w->id.bytes[BLOB_ID_BYTES - 1]));
	rc = run(w, do_create, &job);
	if (rc < 0) {
		blob_abandon(w);
		return rc;
	}
	*ret_writer = w;
	return 0;
}

int blob_write(struct blob_writer *w, str bytes)
{
	struct work job = {.w = w, .bytes = bytes};

	return bytes.n ? run(w, do_write, &job) : 0;
}

static void writer_free(struct blob_writer *w)
{
	if (w->fd >= 0)
		rt_file_close(w->fd);
	atomic_fetch_sub(&w->store->writers, 1);
	mem_free(w);
}

int blob_finish(struct blob_writer *w, struct blob_id *ret_id)
{
	cleanup(arena_done_p) struct arena a;
	struct work job = {.w = w};
	int rc;

	arena_init(&a, 64 * 1024);
	job.folder = arena_c(&a, folder_path(w->store, &a, w->id.bytes[BLOB_ID_BYTES - 1]));
	rc = run(w, do_finish, &job);
	if (rc < 0) {
		blob_abandon(w);
		return rc;
	}
	*ret_id = w->id;
	writer_free(w);
	return 0;
}

void blob_abandon(struct blob_writer *w)
{
	int rc;

	if (!w)
		return;
	rc = blob_remove(w->store, w->id);
	if (rc < 0)
		log_warn("blob", "a file stays until the next start", "error=%s", rc_name(rc));
	writer_free(w);
}

/* ---- reading and removing ---- */

int blob_read(struct blob_store *store, struct blob_id id)
{
	cleanup(arena_done_p) struct arena a;

	check(store->magic == STORE_MAGIC);
	arena_init(&a, 64 * 1024);
	return rt_file_open(path_of(store, &a, id), O_RDONLY, 0);
}

int blob_remove(struct blob_store *store, struct blob_id id)
{
	cleanup(arena_done_p) struct arena a;
	int rc;

	check(store->magic == STORE_MAGIC);
	arena_init(&a, 64 * 1024);
	rc = rt_file_remove(path_of(store, &a, id));
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

static bool is_of_this_run(const struct blob_store *store, struct blob_id id)
{
	uint8_t run_bytes[8];

	put_be64(run_bytes, store->run);
	return memcmp(run_bytes, id.bytes, sizeof run_bytes) == 0;
}

static int sweep_folder(struct blob_store *store, unsigned folder,
	int (*known)(void *arg, struct blob_id id), void *arg)
{
	cleanup(arena_done_p) struct arena a;
	str *names;
	int count, removed = 0;

	arena_init(&a, SWEEP_ARENA_BYTES);
	count = rt_file_list(folder_path(store, &a, folder), BLOB_FOLDER_FILES_MAX, &a, &names);
	if (count == ERR_NOT_FOUND)
		return 0;
	for (int i = 0; i < TRY(count); i++) {
		struct blob_id id;

		if (names[i].n != NAME_BYTES || hex_decode(names[i], id.bytes) < 0 ||
			is_of_this_run(store, id) || TRY(known(arg, id)) > 0)
			continue;
		TRY(blob_remove(store, id));
		removed++;
	}
	return removed;
}

int blob_sweep(struct blob_store *store, int (*known)(void *arg, struct blob_id id), void *arg)
{
	int removed = 0;

	check(store->magic == STORE_MAGIC);
	for (unsigned folder = 0; folder < FOLDERS; folder++)
		removed += TRY(sweep_folder(store, folder, known, arg));
	return removed;
}
