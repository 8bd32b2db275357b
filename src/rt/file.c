/*
 * File calls on the file pool. One job structure for all; its function does plain blocking system
 * calls on a pool thread.
 */
#include "rt/file.h"

#include "rt/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_QUEUE = 4096 };

struct file_job {
	int (*fn)(struct file_job *job); /* the result; on the pool */
	int rc;
	char path[PATH_MAX], other[PATH_MAX];
	int fd, flags;
	unsigned mode;
	void *to;
	size_t n, max;
	uint64_t offset;
	str bytes;
	struct rt_file_info info;
	char *names; /* each with its NUL */
	size_t names_n;
};

static void run_job(void *arg)
{
	struct file_job *j = arg;

	j->rc = j->fn(j);
}

static int submit(struct file_job *j, int (*fn)(struct file_job *job))
{
	struct rt *rt = rt_self();

	j->fn = fn;
	TRY(rt_pool_run(
		rt_pool_lazy(rt, &rt->file_pool, "files", rt->options.file_threads, FILE_QUEUE),
		run_job, j, RT_NEVER));
	return j->rc;
}

/* Jobs hold two paths, too much for a fiber's stack. */
static struct file_job *job_new(void)
{
	return mem_new(struct file_job);
}

static void job_free_p(struct file_job **j)
{
	mem_free((*j)->names);
	mem_free(*j);
}

#define JOB(name) cleanup(job_free_p) struct file_job *name = job_new()

static int path_set(char to[PATH_MAX], str path)
{
	if (!path.n || path.n >= PATH_MAX || str_find(path, '\0') >= 0)
		return ERR_INVALID;
	memcpy(to, path.p, path.n);
	to[path.n] = 0;
	return 0;
}

static int result(int rc)
{
	return rc < 0 ? rc_from_errno(errno) : rc;
}

/* --- what runs on the pool ------------------------------------------------------------------ */

static int do_open(struct file_job *j)
{
	return result(open(j->path, j->flags | O_CLOEXEC, j->mode));
}

static int do_close(struct file_job *j)
{
	(void)close(j->fd); /* gone in any case; who needs the data durable has synced it */
	return 0;
}

static int do_read(struct file_job *j)
{
	size_t got = 0;

	while (got < j->n) {
		ssize_t n = pread(j->fd, (char *)j->to + got, j->n - got, (off_t)(j->offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return rc_from_errno(errno);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (int)got;
}

static int write_all(int fd, str bytes, uint64_t offset)
{
	while (bytes.n) {
		ssize_t n = pwrite(fd, bytes.p, bytes.n, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? rc_from_errno(errno) : ERR_IO;
		bytes = str_from(bytes, (size_t)n);
		offset += (uint64_t)n;
	}
	return 0;
}

static int do_write(struct file_job *j)
{
	return write_all(j->fd, j->bytes, j->offset);
}

static int do_sync(struct file_job *j)
{
	return result(j->flags ? fdatasync(j->fd) : fsync(j->fd));
}

static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return rc_from_errno(errno);
	rc = result(fsync(fd));
	close(fd);
	return rc;
}

static int do_sync_folder(struct file_job *j)
{
	return sync_folder(j->path);
}

static int do_info(struct file_job *j)
{
	struct stat st;

	if (stat(j->path, &st) < 0)
		return rc_from_errno(errno);
	j->info = (struct rt_file_info){.bytes = (uint64_t)st.st_size,
		.modified_ns = st.st_mtim.tv_sec * RT_NS_S + st.st_mtim.tv_nsec,
		.mode = st.st_mode,
		.inode = st.st_ino};
	return 0;
}

static int do_rename(struct file_job *j)
{
	return result(rename(j->path, j->other));
}

static int do_remove(struct file_job *j)
{
	return result(unlink(j->path));
}

static int do_make_folder(struct file_job *j)
{
	return result(mkdir(j->path, j->mode));
}

static int do_remove_folder(struct file_job *j)
{
	return result(rmdir(j->path));
}

static int do_list(struct file_job *j)
{
	DIR *folder = opendir(j->path);
	size_t capacity = 0;
	struct dirent *e;
	int count = 0;

	if (!folder)
		return rc_from_errno(errno);
	while ((errno = 0, e = readdir(folder))) {
		size_t n = strlen(e->d_name) + 1;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if ((size_t)count++ == j->max) {
			closedir(folder);
			return ERR_TOO_LARGE;
		}
		if (j->names_n + n > capacity) {
			capacity = MAX(capacity * 2, (size_t)4096);
			j->names = mem_realloc(j->names, capacity);
		}
		memcpy(j->names + j->names_n, e->d_name, n);
		j->names_n += n;
	}
	if (errno)
		count = rc_from_errno(errno);
	closedir(folder);
	return count;
}

static int do_read_all(struct file_job *j)
{
	struct stat st;
	int rc;

	j->fd = open(j->path, O_RDONLY | O_CLOEXEC);
	if (j->fd < 0)
		return rc_from_errno(errno);
	rc = result(fstat(j->fd, &st));
	if (rc == 0 && (uint64_t)st.st_size > j->max)
		rc = ERR_TOO_LARGE;
	if (rc == 0) {
		j->n = (size_t)st.st_size;
		j->names = j->to = mem_alloc(j->n);
		rc = do_read(j);
	}
	close(j->fd);
	return rc;
}

static int do_replace(struct file_job *j)
{
	char *slash;
	int fd, rc;

	/* "PATH.new" is in j->other. One writer at a time, as for any file. */
	fd = open(j->other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, j->mode);
	if (fd < 0)
		return rc_from_errno(errno);
	rc = result(fchmod(fd, j->mode)); /* whatever the umask took away */
	if (rc == 0)
		rc = write_all(fd, j->bytes, 0);
	if (rc == 0)
		rc = result(fsync(fd));
	if (close(fd) < 0 && rc == 0)
		rc = rc_from_errno(errno);
	if (rc == 0)
		rc = result(rename(j->other, j->path));
	if (rc < 0) {
		unlink(j->other);
		return rc;
	}
	slash = strrchr(j->path, '/');
	if (!slash)
		return sync_folder(".");
	slash[slash == j->path] = 0;
	return sync_folder(j->path);
}

/* --- calls ---------------------------------------------------------------------------------- */

int rt_file_open(str path, int flags, unsigned mode)
{
	JOB(j);

	TRY(path_set(j->path, path));
	j->flags = flags;
	j->mode = mode;
	return submit(j, do_open);
}

void rt_file_close(int fd)
{
	JOB(j);

	j->fd = fd;
	j->rc = ERR_BUSY; /* not begun */
	/* Cancelled or crowded out: a descriptor is never leaked for that. */
	if (submit(j, do_close) < 0 && j->rc == ERR_BUSY)
		close(fd);
}

int rt_file_read(int fd, void *to, size_t n, uint64_t offset)
{
	JOB(j);

	j->fd = fd;
	j->to = to;
	j->n = MIN(n, (size_t)INT_MAX);
	j->offset = offset;
	return submit(j, do_read);
}

int rt_file_write(int fd, str bytes, uint64_t offset)
{
	JOB(j);

	j->fd = fd;
	j->bytes = bytes;
	j->offset = offset;
	return submit(j, do_write);
}

int rt_file_sync(int fd, bool data_only)
{
	JOB(j);

	j->fd = fd;
	j->flags = data_only;
	return submit(j, do_sync);
}

static int on_path(str path, int (*fn)(struct file_job *job))
{
	JOB(j);

	TRY(path_set(j->path, path));
	return submit(j, fn);
}

int rt_file_sync_folder(str path)
{
	return on_path(path, do_sync_folder);
}

int rt_file_remove(str path)
{
	return on_path(path, do_remove);
}

int rt_file_remove_folder(str path)
{
	return on_path(path, do_remove_folder);
}

int rt_file_info(str path, struct rt_file_info *ret_info)
{
	JOB(j);

	TRY(path_set(j->path, path));
	TRY(submit(j, do_info));
	*ret_info = j->info;
	return 0;
}

int rt_file_rename(str from, str to)
{
	JOB(j);

	TRY(path_set(j->path, from));
	TRY(path_set(j->other, to));
	return submit(j, do_rename);
}

int rt_file_make_folder(str path, unsigned mode)
{
	JOB(j);

	TRY(path_set(j->path, path));
	j->mode = mode;
	return submit(j, do_make_folder);
}

static int by_bytes(const void *a, const void *b)
{
	return str_cmp(*(const str *)a, *(const str *)b);
}

int rt_file_list(str path, size_t max, struct arena *arena, str **ret_names)
{
	str *names;
	char *at;
	int count;
	JOB(j);

	TRY(path_set(j->path, path));
	j->max = MIN(max, (size_t)INT_MAX);
	count = TRY(submit(j, do_list));
	names = arena_new_array(arena, str, (size_t)count + 1);
	at = j->names;
	for (int i = 0; i < count; i++) {
		names[i] = arena_str(arena, str_c(at));
		at += names[i].n + 1;
	}
	qsort(names, (size_t)count, sizeof *names, by_bytes);
	*ret_names = names;
	return count;
}

int rt_file_read_all(str path, size_t max, struct arena *arena, str *ret_bytes)
{
	int n;
	JOB(j);

	TRY(path_set(j->path, path));
	j->max = MIN(max, (size_t)INT_MAX);
	n = TRY(submit(j, do_read_all));
	*ret_bytes = arena_str(arena, str_of(j->names, (size_t)n));
	return 0;
}

int rt_file_replace(str path, str bytes, unsigned mode)
{
	JOB(j);

	TRY(path_set(j->path, path));
	if (path.n + 4 >= PATH_MAX)
		return ERR_INVALID;
	memcpy(j->other, j->path, path.n);
	memcpy(j->other + path.n, ".new", 5);
	j->bytes = bytes;
	j->mode = mode;
	return submit(j, do_replace);
}
