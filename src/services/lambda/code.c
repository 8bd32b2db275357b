/*
 * Files of code. Every job runs on a pool thread with plain system calls; results come back in the
 * job structure, which lives on the waiting fiber's stack.
 */
#include "services/lambda/code.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"
#include "rt/rt.h"
#include "sandbox/unpack.h"
#include "services/lambda/function.h"
#include "services/lambda/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CODE_THREADS = 2,
	CODE_QUEUE = 256,
	TREE_DEPTH_MAX = 80,
	TEMPORARY_BYTES = 32,
	LAYER_ENTRIES_MAX = 1000000, /* of one layer of an image */
	LAYER_SECONDS_MAX = 600,
	DROP_MS = 10000
};

#define TREE_PREFIX "lambda/tree/"

struct code_store {
	struct rt_pool *pool;
	int zip_fd, tree_fd;
	pthread_mutex_t lock; /* of pins; never held over a suspension */
	struct map pins;      /* by hex */
};

struct code_pin {
	char path[sizeof(TREE_PREFIX) + CODE_HEX_BYTES];
	char hex[CODE_HEX_BYTES + 1];
	unsigned count;
	bool removing;         /* no new pins until it is gone */
	bool orphan;           /* to be removed with its last pin */
	_Atomic bool unpacked; /* known: then it stays in the map without pins, too */
};

static str pin_hex(const struct code_pin *pin)
{
	return str_of(pin->hex, CODE_HEX_BYTES);
}

static void close_p(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static int open_folder(int at, const char *name, int *ret_fd)
{
	int fd;

	if (mkdirat(at, name, 0755) < 0 && errno != EEXIST)
		return rc_from_errno(errno);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return rc_from_errno(errno);
	*ret_fd = fd;
	return 0;
}

static void sweep_temporary(int folder_fd)
{
	int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		close_p(&fd);
		return;
	}
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "tmp-", 4))
			unlinkat(folder_fd, e->d_name, 0);
	closedir(d);
}

int code_store_open(struct rt *rt, const char *data_folder, struct code_store **ret_store)
{
	int data cleanup(close_p) = open(data_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int top cleanup(close_p) = -1;
	struct code_store *store;
	int rc;

	if (data < 0)
		return rc_from_errno(errno);
	TRY(open_folder(data, "lambda", &top));
	store = mem_new(struct code_store);
	store->zip_fd = store->tree_fd = -1;
	pthread_mutex_init(&store->lock, NULL);
	rc = open_folder(top, "zip", &store->zip_fd);
	if (rc >= 0)
		rc = open_folder(top, "tree", &store->tree_fd);
	if (rc >= 0 && (fsync(data) < 0 || fsync(top) < 0))
		rc = rc_from_errno(errno);
	if (rc >= 0)
		rc = unpack_sweep(store->tree_fd);
	if (rc >= 0)
		rc = rt_pool_new(rt, "lambda-code", CODE_THREADS, CODE_QUEUE, &store->pool);
	if (rc < 0) {
		code_store_close(store);
		return rc;
	}
	sweep_temporary(store->zip_fd);
	*ret_store = store;
	return 0;
}

void code_store_close(struct code_store *store)
{
	if (!store)
		return;
	if (store->pool)
		rt_pool_free(store->pool);
	close_p(&store->zip_fd);
	close_p(&store->tree_fd);
	map_for_each(slot, &store->pins)
		mem_free(slot->value);
	map_done(&store->pins);
	pthread_mutex_destroy(&store->lock);
	mem_free(store);
}

/* ---- pins ---- */

/* A pin of `hex`, or NULL while it is being removed. */
static struct code_pin *try_pin(struct code_store *store, str hex)
{
	struct code_pin *pin;

	check(hex.n == CODE_HEX_BYTES);
	pthread_mutex_lock(&store->lock);
	pin = map_get(&store->pins, hex);
	if (!pin) {
		pin = mem_new(struct code_pin);
		memcpy(pin->hex, hex.p, CODE_HEX_BYTES);
		memcpy(pin->path, TREE_PREFIX, sizeof(TREE_PREFIX) - 1);
		memcpy(pin->path + sizeof(TREE_PREFIX) - 1, hex.p, CODE_HEX_BYTES);
		map_put(&store->pins, pin_hex(pin), pin);
	}
	if (pin->removing)
		pin = NULL;
	else
		pin->count++;
	pthread_mutex_unlock(&store->lock);
	return pin;
}

int code_pin(struct code_store *store, str hex, int64_t deadline, struct code_pin **ret_pin)
{
	struct code_pin *pin;

	while (!(pin = try_pin(store, hex))) {
		if (rt_now() >= deadline)
			return ERR_TIMEOUT;
		TRY(rt_sleep_until(rt_after_ms(1)));
	}
	*ret_pin = pin;
	return 0;
}

bool code_unpin(struct code_store *store, struct code_pin *pin)
{
	bool orphan = false;

	if (!pin)
		return false;
	pthread_mutex_lock(&store->lock);
	check(pin->count > 0);
	if (--pin->count == 0 && !pin->removing) {
		orphan = pin->orphan;
		if (orphan || !pin->unpacked) {
			map_remove(&store->pins, pin_hex(pin));
			mem_free(pin);
		}
	}
	pthread_mutex_unlock(&store->lock);
	return orphan;
}

str code_tree_path(const struct code_pin *pin)
{
	return str_of(pin->path, sizeof(TREE_PREFIX) - 1 + CODE_HEX_BYTES);
}

/* ---- storing and unpacking ---- */

struct code_job {
	struct code_store *store;
	const struct code_pin *pin;
	const char *name;
	struct arena *arena;
	str *names;
	unsigned names_max;
	char hex[CODE_HEX_BYTES + 1];
	struct sandbox_error *error;
	void *to;
	size_t n;
	uint64_t offset, total;
	int rc;
};

static void zip_name(const char *hex, char name[CODE_HEX_BYTES + 8])
{
	memcpy(name, hex, CODE_HEX_BYTES);
	memcpy(name + CODE_HEX_BYTES, ".zip", 5);
}

static int write_all(int fd, str bytes)
{
	while (bytes.n) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return rc_from_errno(errno);
		bytes = str_from(bytes, (size_t)n);
	}
	return 0;
}

static int unpack(struct code_store *store, int fd, const char *hex, struct sandbox_error *error)
{
	struct unpack_limits limits = {.total_bytes = LAMBDA_UNZIPPED_BYTES_MAX};
	struct unpack_result result;

	return unpack_zip(fd, store->tree_fd, hex, &limits, &result, error);
}

/* A file that has all of an archive becomes it. */
static int keep_archive(struct code_job *j, int fd, const char *temporary)
{
	char name[CODE_HEX_BYTES + 8];

	TRY(unpack(j->store, fd, j->hex, j->error));
	if (fsync(fd) < 0)
		return rc_from_errno(errno);
	zip_name(j->hex, name);
	if (renameat(j->store->zip_fd, temporary, j->store->zip_fd, name) < 0 ||
		fsync(j->store->zip_fd) < 0)
		return rc_from_errno(errno);
	return 0;
}

static void temporary_name(char name[TEMPORARY_BYTES])
{
	uint64_t number;

	random_bytes(&number, sizeof(number));
	snprintf(name, TEMPORARY_BYTES, "tmp-%016llx", (unsigned long long)number);
}

/* A new file for an archive: its descriptor. */
static int open_temporary(struct code_store *store, char name[TEMPORARY_BYTES])
{
	int fd;

	temporary_name(name);
	fd = openat(store->zip_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? rc_from_errno(errno) : fd;
}

/* ---- archives that come in parts ---- */

struct code_receiver {
	struct code_store *store;
	int fd;
	char temporary[TEMPORARY_BYTES];
	bool kept; /* the file is the archive now */
	struct sha256 hash;
	uint64_t bytes;
	/* Of the job that is under way. */
	str part;
	struct code_job job;
	int rc;
};

static void receive_begin_job(void *arg)
{
	struct code_receiver *r = arg;

	r->rc = r->fd = open_temporary(r->store, r->temporary);
}

int code_receive_begin(
	struct code_store *store, int64_t deadline, struct code_receiver **ret_receiver)
{
	struct code_receiver *r = mem_new(struct code_receiver);
	int rc;

	r->store = store;
	r->fd = -1;
	sha256_init(&r->hash);
	rc = rt_pool_run(store->pool, receive_begin_job, r, deadline);
	if (rc >= 0)
		rc = r->rc;
	if (rc < 0) {
		mem_free(r);
		return rc;
	}
	*ret_receiver = r;
	return 0;
}

static void receive_part_job(void *arg)
{
	struct code_receiver *r = arg;

	sha256_add(&r->hash, r->part);
	r->rc = write_all(r->fd, r->part);
}

int code_receive_part(struct code_receiver *r, str part, int64_t deadline)
{
	r->part = part;
	TRY(rt_pool_run(r->store->pool, receive_part_job, r, deadline));
	TRY(r->rc);
	r->bytes += part.n;
	return 0;
}

int code_receive_fd(const struct code_receiver *r)
{
	return r->fd;
}

static void receive_end_job(void *arg)
{
	struct code_receiver *r = arg;

	r->rc = keep_archive(&r->job, r->fd, r->temporary);
	r->kept = r->rc >= 0;
}

int code_receive_end(struct code_receiver *r, int64_t deadline, struct code_info *ret_info,
	struct code_pin **ret_pin, struct sandbox_error *error)
{
	struct code_job *j = &r->job;
	uint8_t digest[SHA256_BYTES];
	struct code_pin *pin;
	int rc;

	*j = (struct code_job){.store = r->store, .error = error};
	sha256_finish(&r->hash, digest);
	hex_encode(digest, sizeof(digest), j->hex);
	j->hex[CODE_HEX_BYTES] = 0;
	TRY(code_pin(r->store, str_of(j->hex, CODE_HEX_BYTES), deadline, &pin));
	rc = rt_pool_run(r->store->pool, receive_end_job, r, deadline);
	if (rc >= 0)
		rc = r->rc;
	if (rc < 0) {
		code_unpin(r->store, pin);
		return rc;
	}
	memcpy(ret_info->hex, j->hex, CODE_HEX_BYTES);
	ret_info->bytes = r->bytes;
	*ret_pin = pin;
	return 0;
}

static void receive_drop_job(void *arg)
{
	struct code_receiver *r = arg;

	close(r->fd);
	r->fd = -1;
	if (!r->kept)
		unlinkat(r->store->zip_fd, r->temporary, 0);
}

void code_receive_drop(struct code_receiver *r)
{
	if (!r)
		return;
	/* Where no thread can be had the file stays until the next start. */
	if (rt_pool_run(r->store->pool, receive_drop_job, r, rt_after_ms(DROP_MS)) < 0)
		close_p(&r->fd);
	mem_free(r);
}

void code_receive_drop_p(struct code_receiver **r)
{
	code_receive_drop(*r);
}

/* ---- unpacking again, and looking into trees ---- */

static void ensure_job(void *arg)
{
	struct code_job *j = arg;
	char name[CODE_HEX_BYTES + 8];
	struct stat st;
	int fd;

	if (fstatat(j->store->tree_fd, j->pin->hex, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return;
	zip_name(j->pin->hex, name);
	fd = openat(j->store->zip_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		j->rc = rc_from_errno(errno);
		return;
	}
	j->rc = unpack(j->store, fd, j->pin->hex, j->error);
	close(fd);
}

int code_ensure(struct code_store *store, struct code_pin *pin, int64_t deadline,
	struct sandbox_error *error)
{
	struct code_job j = {.store = store, .pin = pin, .error = error};

	if (pin->unpacked)
		return 0;
	TRY(rt_pool_run(store->pool, ensure_job, &j, deadline));
	if (j.rc >= 0)
		pin->unpacked = true;
	return j.rc;
}

static void has_file_job(void *arg)
{
	struct code_job *j = arg;
	int tree cleanup(close_p) = openat(
		j->store->tree_fd, j->pin->hex, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (tree < 0)
		j->rc = rc_from_errno(errno);
	else
		j->rc = fstatat(tree, j->name, &st, 0) == 0 && S_ISREG(st.st_mode);
}

int code_has_file(
	struct code_store *store, const struct code_pin *pin, const char *name, int64_t deadline)
{
	struct code_job j = {.store = store, .pin = pin, .name = name};

	TRY(rt_pool_run(store->pool, has_file_job, &j, deadline));
	return j.rc;
}

static int compare_names(const void *x, const void *y)
{
	return str_cmp(*(const str *)x, *(const str *)y);
}

static void list_files_job(void *arg)
{
	struct code_job *j = arg;
	int tree cleanup(close_p) = openat(
		j->store->tree_fd, j->pin->hex, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int fd = tree < 0 ? -1
			  : openat(tree, j->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;

	if (!d) {
		j->rc = tree >= 0 && (errno == ENOENT || errno == ENOTDIR) ? 0
									   : rc_from_errno(errno);
		close_p(&fd);
		return;
	}
	while (j->rc >= 0 && (e = readdir(d))) {
		if (fstatat(fd, e->d_name, &st, 0) != 0 || S_ISDIR(st.st_mode))
			continue;
		if ((unsigned)j->rc == j->names_max)
			j->rc = ERR_TOO_LARGE;
		else
			j->names[j->rc++] = arena_str(j->arena, str_c(e->d_name));
	}
	closedir(d);
	if (j->rc > 1)
		qsort(j->names, (size_t)j->rc, sizeof(*j->names), compare_names);
}

int code_list_files(struct code_store *store, const struct code_pin *pin, const char *folder,
	struct arena *a, str *ret_names, unsigned max, int64_t deadline)
{
	struct code_job j = {.store = store,
		.pin = pin,
		.name = folder,
		.arena = a,
		.names = ret_names,
		.names_max = max};

	TRY(rt_pool_run(store->pool, list_files_job, &j, deadline));
	return j.rc;
}

/* The sizes of the files below an open folder, which is closed. */
static int sum_below(int folder_fd, unsigned depth, uint64_t *sum)
{
	DIR *d = fdopendir(folder_fd);
	struct dirent *e;
	struct stat st;
	int rc = 0;

	if (!d || depth > TREE_DEPTH_MAX) {
		rc = depth > TREE_DEPTH_MAX ? ERR_DEPTH : rc_from_errno(errno);
		if (d)
			closedir(d);
		else
			close_p(&folder_fd);
		return rc;
	}
	while (rc >= 0 && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (fstatat(folder_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			rc = rc_from_errno(errno);
		} else if (S_ISDIR(st.st_mode)) {
			int below = openat(folder_fd, e->d_name,
				O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

			rc = below < 0 ? rc_from_errno(errno) : sum_below(below, depth + 1, sum);
		} else {
			*sum += (uint64_t)st.st_size;
		}
	}
	closedir(d);
	return rc;
}

static void tree_bytes_job(void *arg)
{
	struct code_job *j = arg;
	int tree = openat(
		j->store->tree_fd, j->pin->hex, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	j->rc = tree < 0 ? rc_from_errno(errno) : sum_below(tree, 0, &j->total);
}

int code_tree_bytes(
	struct code_store *store, const struct code_pin *pin, int64_t deadline, uint64_t *ret_bytes)
{
	struct code_job j = {.store = store, .pin = pin};

	TRY(rt_pool_run(store->pool, tree_bytes_job, &j, deadline));
	TRY(j.rc);
	*ret_bytes = j.total;
	return 0;
}

/* ---- removing ---- */

/* Removes what is below an open folder; the trees are ours and at most TREE_DEPTH_MAX deep. */
static int remove_below(int folder_fd, unsigned depth)
{
	int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int rc = 0;

	if (!d || depth > TREE_DEPTH_MAX) {
		rc = depth > TREE_DEPTH_MAX ? ERR_DEPTH : rc_from_errno(errno);
		if (d)
			closedir(d);
		else
			close_p(&fd);
		return rc;
	}
	fchmod(folder_fd, 0700);
	while (rc >= 0 && (e = readdir(d))) {
		int below;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(folder_fd, e->d_name, 0) == 0)
			continue;
		below = openat(
			folder_fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (below < 0) {
			rc = rc_from_errno(errno);
			break;
		}
		rc = remove_below(below, depth + 1);
		close(below);
		if (rc >= 0 && unlinkat(folder_fd, e->d_name, AT_REMOVEDIR) < 0)
			rc = rc_from_errno(errno);
	}
	closedir(d);
	return rc;
}

static void remove_job(void *arg)
{
	struct code_job *j = arg;
	char name[CODE_HEX_BYTES + 8];
	int tree;

	zip_name(j->hex, name);
	if (unlinkat(j->store->zip_fd, name, 0) < 0 && errno != ENOENT)
		j->rc = rc_from_errno(errno);
	tree = openat(j->store->tree_fd, j->hex, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (tree < 0)
		return;
	if (remove_below(tree, 0) < 0 || unlinkat(j->store->tree_fd, j->hex, AT_REMOVEDIR) < 0)
		j->rc = ERR_IO;
	close(tree);
}

int code_remove(struct code_store *store, str hex, int64_t deadline)
{
	struct code_job j = {.store = store};
	struct code_pin *pin = try_pin(store, hex);
	int rc;

	if (!pin)
		return 0;
	pthread_mutex_lock(&store->lock);
	pin->removing = pin->count == 1;
	pin->orphan = true;
	pthread_mutex_unlock(&store->lock);
	if (!pin->removing) {
		/* Somebody uses it: gone with the last pin. */
		code_unpin(store, pin);
		return 0;
	}
	memcpy(j.hex, hex.p, CODE_HEX_BYTES);
	rc = rt_pool_run(store->pool, remove_job, &j, deadline);
	pthread_mutex_lock(&store->lock);
	map_remove(&store->pins, pin_hex(pin));
	mem_free(pin);
	pthread_mutex_unlock(&store->lock);
	return rc < 0 ? rc : j.rc;
}

/* ---- looking ---- */

struct list_job {
	struct code_store *store;
	struct arena *arena;
	str *items;
	size_t n, capacity;
	int rc;
};

static void list_folder(struct list_job *j, int folder_fd)
{
	int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		j->rc = rc_from_errno(errno);
		close_p(&fd);
		return;
	}
	while ((e = readdir(d))) {
		str name = str_c(e->d_name);
		uint8_t digest[SHA256_BYTES];

		if (name.n < CODE_HEX_BYTES ||
			hex_decode(str_sub(name, 0, CODE_HEX_BYTES), digest) < 0)
			continue;
		if (j->n == j->capacity) {
			j->capacity = j->capacity ? j->capacity * 2 : 64;
			j->items = mem_realloc(j->items, j->capacity * sizeof(str));
		}
		j->items[j->n++] = arena_str(j->arena, str_sub(name, 0, CODE_HEX_BYTES));
	}
	closedir(d);
}

static void list_job(void *arg)
{
	struct list_job *j = arg;

	list_folder(j, j->store->zip_fd);
	if (j->rc >= 0)
		list_folder(j, j->store->tree_fd);
}

int code_each(struct code_store *store, int (*fn)(void *arg, str hex), void *arg, int64_t deadline)
{
	struct arena arena cleanup(arena_done_p) = {0};
	struct list_job j = {.store = store, .arena = &arena};
	struct map seen = {0};
	int rc;

	arena_init(&arena, SIZE_MAX);
	rc = rt_pool_run(store->pool, list_job, &j, deadline);
	if (rc >= 0)
		rc = j.rc;
	for (size_t i = 0; rc >= 0 && i < j.n; i++)
		if (!map_put(&seen, j.items[i], &j))
			rc = fn(arg, j.items[i]);
	map_done(&seen);
	mem_free(j.items);
	return rc;
}

static int open_archive(struct code_job *j)
{
	char name[CODE_HEX_BYTES + 8];
	int fd;

	zip_name(j->hex, name);
	fd = openat(j->store->zip_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? rc_from_errno(errno) : fd;
}

static void open_job(void *arg)
{
	struct code_job *j = arg;

	j->rc = open_archive(j);
}

int code_open(struct code_store *store, str hex, int64_t deadline)
{
	struct code_job j = {.store = store};

	check(hex.n == CODE_HEX_BYTES);
	memcpy(j.hex, hex.p, CODE_HEX_BYTES);
	TRY(rt_pool_run(store->pool, open_job, &j, deadline));
	return j.rc;
}

static void read_job(void *arg)
{
	struct code_job *j = arg;
	struct stat st;
	ssize_t n;
	int fd = open_archive(j);

	if (fd < 0) {
		j->rc = fd;
	} else if (fstat(fd, &st) < 0) {
		j->rc = rc_from_errno(errno);
	} else {
		n = pread(fd, j->to, j->n, (off_t)j->offset);
		j->rc = n < 0 ? rc_from_errno(errno) : (int)n;
		j->total = (uint64_t)st.st_size;
	}
	close_p(&fd);
}

int code_read(struct code_store *store, str hex, uint64_t offset, void *to, size_t n,
	uint64_t *ret_total, int64_t deadline)
{
	struct code_job j = {.store = store, .offset = offset, .to = to, .n = n};

	check(hex.n == CODE_HEX_BYTES);
	memcpy(j.hex, hex.p, CODE_HEX_BYTES);
	TRY(rt_pool_run(store->pool, read_job, &j, deadline));
	if (j.rc >= 0)
		*ret_total = j.total;
	return j.rc;
}

/* ---- layers of images ---- */

int code_work(struct code_store *store, void (*fn)(void *arg), void *arg, int64_t deadline)
{
	return rt_pool_run(store->pool, fn, arg, deadline);
}

bool code_has_tree(struct code_store *store, const struct code_pin *pin)
{
	return faccessat(store->tree_fd, pin->hex, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int code_temporary(struct code_store *store, int *ret_fd)
{
	char name[TEMPORARY_BYTES];
	int fd;

	temporary_name(name);
	fd = openat(store->zip_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return rc_from_errno(errno);
	unlinkat(store->zip_fd, name, 0);
	*ret_fd = fd;
	return 0;
}

int code_unpack_layer(struct code_store *store, const struct code_pin *pin, int archive_fd,
	struct sandbox_error *error)
{
	struct unpack_limits limits = {.total_bytes = (uint64_t)LAMBDA_IMAGE_MIB_MAX << 20,
		.entries = LAYER_ENTRIES_MAX,
		.seconds = LAYER_SECONDS_MAX};
	struct unpack_result result;

	return unpack_layer(archive_fd, store->tree_fd, pin->hex, &limits, &result, error);
}
