/*
 * Files for fibers: each call runs on the runtime's file pool (rt_options.file_threads) and
 * suspends the fiber until it is done. Paths are byte strings without NUL (ERR_INVALID). Errors as
 * rc_from_errno(): ERR_NOT_FOUND, ERR_EXISTS, ERR_DENIED, ERR_NO_SPACE, ERR_IO ..., and ERR_BUSY
 * when the pool's queue is full. A call that has begun is waited for whatever happens to the fiber.
 *
 * Simulated: the same calls on the real file system, at random later virtual times.
 */
#ifndef RT_FILE_H
#define RT_FILE_H

#include "base/arena.h"
#include "rt/rt.h"

struct rt_file_info {
	uint64_t bytes;
	int64_t modified_ns; /* since 1970 */
	uint32_t mode;       /* st_mode */
	uint64_t inode;
};

/* open(2) with O_CLOEXEC added: a descriptor. */
must_use mayyield int rt_file_open(str path, int flags, unsigned mode);
mayyield void rt_file_close(int fd);
/* Up to n bytes at `offset`; fewer only at the end of the file: how many. */
must_use mayyield int rt_file_read(int fd, void *to, size_t n, uint64_t offset);
/* All of it: 0. */
must_use mayyield int rt_file_write(int fd, str bytes, uint64_t offset);
/* data_only: fdatasync. */
must_use mayyield int rt_file_sync(int fd, bool data_only);
/* Makes names in the folder durable (created, renamed or removed files). */
must_use mayyield int rt_file_sync_folder(str path);
must_use mayyield int rt_file_info(str path, struct rt_file_info *ret_info);
must_use mayyield int rt_file_rename(str from, str to);
must_use mayyield int rt_file_remove(str path);
must_use mayyield int rt_file_make_folder(str path, unsigned mode);
must_use mayyield int rt_file_remove_folder(str path);
/* Names in a folder without "." and "..", sorted; at most `max` (ERR_TOO_LARGE). In the arena: how
 * many. */
must_use mayyield int rt_file_list(str path, size_t max, struct arena *arena, str **ret_names);
/* A whole file of at most `max` bytes (ERR_TOO_LARGE), in the arena. */
must_use mayyield int rt_file_read_all(str path, size_t max, struct arena *arena, str *ret_bytes);
/* Replaces a file at once: written beside it, synced, renamed, the folder synced. It has exactly
 * this mode. */
must_use mayyield int rt_file_replace(str path, str bytes, unsigned mode);

#endif
