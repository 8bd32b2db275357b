/*
 * A preloaded library that remembers what of one folder is durable, so that a test can cut the
 * power: everything not covered by fsync/fdatasync of file and directory is lost.
 *
 *   SHIM_FOLDER   the folder (flat), absolute; must exist
 *   SHIM_SHADOW   an empty folder for the durable image: `<id>` is the durable content of a file,
 *                 `names` the durable directory, lines "id name"
 *   SHIM_FAIL     "call,errno,skip,count,suffix": after `skip` calls of `call` (write, sync) on
 *                 files whose names end in suffix, `count` of them fail with that errno. What a
 *                 failed sync covered never becomes durable by a later one (the kernel marks such
 *                 pages clean)
 *
 * At load everything in the folder counts as durable. Syncs are recorded and not passed on: the
 * page cache survives the death of a process, and only that happens really.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES_MAX = 65536, PATH_BYTES = 512, COPY_BYTES = 65536 };

static const off_t OFF_MAX = INT64_MAX;

static struct {
	pthread_mutex_t lock;
	const char *folder, *shadow;
	ino_t folder_inode;
	struct {
		ino_t inode; /* 0: free */
		unsigned id;
		off_t dirty, end; /* unsynced from here to there; -1: clean */
	} files[FILES_MAX];
	unsigned n_files, next_id;
	struct {
		char call[16], suffix[32];
		int error;
		long skip, count;
	} fail;
} shim = {.lock = PTHREAD_MUTEX_INITIALIZER};

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void die(const char *what)
{
	fprintf(stderr, "shim: %s: %s\n", what, strerror(errno));
	abort();
}

static long find(ino_t inode)
{
	for (unsigned i = 0; i < shim.n_files; i++)
		if (shim.files[i].inode == inode)
			return i;
	return -1;
}

static long add(ino_t inode)
{
	long at = find(0);

	if (at < 0) {
		if (shim.n_files == FILES_MAX)
			die("too many files");
		at = shim.n_files++;
	}
	shim.files[at].inode = inode;
	shim.files[at].id = ++shim.next_id;
	shim.files[at].dirty = 0;
	shim.files[at].end = OFF_MAX;
	return at;
}

static bool inside(const char *path)
{
	size_t n;

	if (!shim.folder)
		return false;
	n = strlen(shim.folder);
	return strncmp(path, shim.folder, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* Copies what is dirty of the file to its durable content. */
static void make_durable(int fd, long at)
{
	char path[PATH_BYTES], link[64], *room;
	off_t from = shim.files[at].dirty, end = shim.files[at].end;
	struct stat st;
	int in, out;
	ssize_t n;

	if (from < 0)
		return;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	snprintf(path, sizeof path, "%s/%u", shim.shadow, shim.files[at].id);
	in = REAL(open)(link, O_RDONLY | O_CLOEXEC);
	out = REAL(open)(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	room = malloc(COPY_BYTES);
	if (in < 0 || out < 0 || !room || fstat(in, &st) < 0 ||
		REAL(ftruncate)(out, st.st_size) < 0)
		die("copying");
	while (from < end && (n = pread(in, room, COPY_BYTES, from)) > 0) {
		if (REAL(pwrite)(out, room, (size_t)n, from) != n)
			die("copying");
		from += n;
	}
	shim.files[at].dirty = -1;
	free(room);
	close(in);
	close(out);
}

static void make_names_durable(void)
{
	char temporary[PATH_BYTES], path[PATH_BYTES];
	DIR *dir = opendir(shim.folder);
	struct dirent *e;
	FILE *out;

	snprintf(temporary, sizeof temporary, "%s/names.new", shim.shadow);
	snprintf(path, sizeof path, "%s/names", shim.shadow);
	out = fopen(temporary, "w");
	if (!dir || !out)
		die("names");
	while ((e = readdir(dir)) != NULL) {
		long at;

		if (e->d_type == DT_DIR)
			continue;
		at = find(e->d_ino);
		if (at < 0)
			at = add(e->d_ino);
		fprintf(out, "%u %s\n", shim.files[at].id, e->d_name);
	}
	closedir(dir);
	if (fclose(out) != 0 || REAL(rename)(temporary, path) < 0)
		die("names");
}

static void load_fail(const char *text)
{
	char copy[128], *at = copy, *part[5];

	snprintf(copy, sizeof copy, "%s", text);
	for (unsigned i = 0; i < 5; i++) {
		part[i] = strsep(&at, ",");
		if (!part[i])
			die("SHIM_FAIL");
	}
	snprintf(shim.fail.call, sizeof shim.fail.call, "%s", part[0]);
	shim.fail.error = (int)strtol(part[1], NULL, 10);
	shim.fail.skip = strtol(part[2], NULL, 10);
	shim.fail.count = strtol(part[3], NULL, 10);
	snprintf(shim.fail.suffix, sizeof shim.fail.suffix, "%s", part[4]);
}

__attribute__((constructor)) static void load(void)
{
	const char *fail = getenv("SHIM_FAIL");
	struct stat st;
	struct dirent *e;
	DIR *dir;

	shim.shadow = getenv("SHIM_SHADOW");
	shim.folder = getenv("SHIM_FOLDER");
	if (!shim.folder || !shim.shadow || stat(shim.folder, &st) < 0)
		die("SHIM_FOLDER, SHIM_SHADOW");
	shim.folder_inode = st.st_ino;
	if (fail)
		load_fail(fail);
	dir = opendir(shim.folder);
	if (!dir)
		die("folder");
	while ((e = readdir(dir)) != NULL) {
		char path[2 * PATH_BYTES];
		int fd;

		if (e->d_type == DT_DIR)
			continue;
		snprintf(path, sizeof path, "%s/%s", shim.folder, e->d_name);
		fd = REAL(open)(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die(path);
		make_durable(fd, add(e->d_ino));
		close(fd);
	}
	closedir(dir);
	make_names_durable();
}

/* Is it the turn of this call to fail? Under the lock. */
static bool fails(const char *call, int fd)
{
	char link[64], path[PATH_BYTES];
	size_t suffix = strlen(shim.fail.suffix);
	ssize_t n;

	if (shim.fail.count == 0 || strcmp(call, shim.fail.call) != 0)
		return false;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	if (n < 0)
		return false;
	path[n] = 0;
	if (!inside(path) || (size_t)n < suffix || strcmp(path + n - suffix, shim.fail.suffix) != 0)
		return false;
	if (shim.fail.skip > 0) {
		shim.fail.skip--;
		return false;
	}
	shim.fail.count--;
	return true;
}

static void note_write(int fd, off_t from, off_t end)
{
	struct stat st;
	long at;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	at = find(st.st_ino);
	if (at < 0)
		return;
	if (shim.files[at].dirty < 0 || end > shim.files[at].end)
		shim.files[at].end = end;
	if (shim.files[at].dirty < 0 || from < shim.files[at].dirty)
		shim.files[at].dirty = from;
}

static int sync_file(int fd)
{
	struct stat st;
	int rc = 0;
	long at;

	pthread_mutex_lock(&shim.lock);
	if (fstat(fd, &st) < 0) {
		rc = -1;
	} else if (S_ISDIR(st.st_mode)) {
		if (st.st_ino == shim.folder_inode)
			make_names_durable();
	} else {
		at = find(st.st_ino);
		/* Also of a file that has no name any more. */
		if (fails("sync", fd)) {
			if (at >= 0)
				shim.files[at].dirty = -1;
			errno = shim.fail.error;
			rc = -1;
		} else if (at >= 0) {
			make_durable(fd, at);
		}
	}
	pthread_mutex_unlock(&shim.lock);
	return rc;
}

/* --- the calls ------------------------------------------------------------------------------- */

int fsync(int fd)
{
	return sync_file(fd);
}

int fdatasync(int fd)
{
	return sync_file(fd);
}

static int open_file(const char *path, int flags, mode_t mode)
{
	struct stat st;
	bool fresh;
	int fd;

	if (!inside(path) || !(flags & (O_CREAT | O_TRUNC)))
		return REAL(open)(path, flags, mode);
	pthread_mutex_lock(&shim.lock);
	fresh = stat(path, &st) < 0;
	fd = REAL(open)(path, flags, mode);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		if (fresh) {
			long at = find(st.st_ino);

			if (at >= 0)
				shim.files[at].inode = 0;
			add(st.st_ino);
		} else if (flags & O_TRUNC) {
			note_write(fd, 0, OFF_MAX);
		}
	}
	pthread_mutex_unlock(&shim.lock);
	return fd;
}

static mode_t mode_of(int flags, va_list args)
{
	return flags & O_CREAT ? va_arg(args, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return open_file(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return open_file(path, flags, mode);
}

/* The path of a name in the open folder `fd`; 0 when it is another folder or not a plain name. */
static bool path_at(int fd, const char *name, char ret_path[PATH_BYTES])
{
	struct stat st;

	return name[0] != '/' && fd != AT_FDCWD && fstat(fd, &st) == 0 &&
	       st.st_ino == shim.folder_inode &&
	       snprintf(ret_path, PATH_BYTES, "%s/%s", shim.folder, name) < PATH_BYTES;
}

int openat(int folder, const char *name, int flags, ...)
{
	char path[PATH_BYTES];
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return path_at(folder, name, path) ? open_file(path, flags, mode)
					   : REAL(openat)(folder, name, flags, mode);
}

static bool write_fails(int fd)
{
	bool failing;

	pthread_mutex_lock(&shim.lock);
	failing = fails("write", fd);
	pthread_mutex_unlock(&shim.lock);
	if (failing)
		errno = shim.fail.error;
	return failing;
}

ssize_t write(int fd, const void *p, size_t n)
{
	ssize_t done;

	if (write_fails(fd))
		return -1;
	done = REAL(write)(fd, p, n);
	if (done > 0) {
		off_t end = lseek(fd, 0, SEEK_CUR);

		pthread_mutex_lock(&shim.lock);
		if (end >= done)
			note_write(fd, end - done, end);
		pthread_mutex_unlock(&shim.lock);
	}
	return done;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t done;

	if (write_fails(fd))
		return -1;
	done = REAL(pwrite)(fd, p, n, at);
	pthread_mutex_lock(&shim.lock);
	if (done > 0)
		note_write(fd, at, at + done);
	pthread_mutex_unlock(&shim.lock);
	return done;
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return pwrite(fd, p, n, at);
}

int ftruncate(int fd, off_t size)
{
	int rc = REAL(ftruncate)(fd, size);

	pthread_mutex_lock(&shim.lock);
	if (rc == 0)
		note_write(fd, size, OFF_MAX);
	pthread_mutex_unlock(&shim.lock);
	return rc;
}

int ftruncate64(int fd, off_t size)
{
	return ftruncate(fd, size);
}

/* Forgets the file behind a name that goes away: its inode may be used again. */
static void forget(const char *path)
{
	struct stat st;
	long at;

	if (stat(path, &st) < 0 || st.st_nlink > 1)
		return;
	at = find(st.st_ino);
	if (at >= 0)
		shim.files[at].inode = 0;
}

int rename(const char *from, const char *to)
{
	int rc;

	pthread_mutex_lock(&shim.lock);
	if (inside(to))
		forget(to);
	rc = REAL(rename)(from, to);
	pthread_mutex_unlock(&shim.lock);
	return rc;
}

int unlink(const char *path)
{
	int rc;

	pthread_mutex_lock(&shim.lock);
	if (inside(path))
		forget(path);
	rc = REAL(unlink)(path);
	pthread_mutex_unlock(&shim.lock);
	return rc;
}

int unlinkat(int folder, const char *name, int flags)
{
	char path[PATH_BYTES];

	return path_at(folder, name, path) ? unlink(path) : REAL(unlinkat)(folder, name, flags);
}
