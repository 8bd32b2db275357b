/*
 * System calls that the C library does not wrap, and small helpers around descriptors. For the
 * files of this folder only. Everything here is async-signal-safe: it is used between clone and
 * exec.
 */
#ifndef SANDBOX_SYS_H
#define SANDBOX_SYS_H

#include "base/attr.h"

#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static inline long sys_clone3(struct clone_args *args)
{
	return syscall(SYS_clone3, args, sizeof *args);
}

/*
 * fork() without the handlers that libraries have registered: here they would work on descriptors
 * that were closed long ago, and have other meanings now.
 */
static inline pid_t sys_fork(void)
{
	/* The older call, because filters cannot look into the arguments of clone3. */
	return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static inline int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags, .resolve = resolve};

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

static inline int sys_pivot_root(const char *to, const char *old)
{
	return (int)syscall(SYS_pivot_root, to, old);
}

static inline int sys_close_range(unsigned first, unsigned last)
{
	return (int)syscall(SYS_close_range, first, last, 0);
}

/* For `cleanup(sys_close_p)` on a descriptor; -1 is nothing. */
static inline void sys_close_p(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Closes and marks as closed. */
static inline void sys_close(int *fd)
{
	sys_close_p(fd);
	*fd = -1;
}

static inline void sys_close_all(int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		sys_close(&fds[i]);
}

/* Hands the descriptor over, leaving -1. */
static inline int sys_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Both for files of a few bytes, as control groups have. negative errno. */
int sys_write_file(int dir, const char *path, const char *text);
/* Bytes read; NUL is put behind them, so at most n - 1. */
int sys_read_file(int dir, const char *path, char *to, size_t n);
/* Decimal, NUL-terminated; returns the end. `to` holds 21 bytes. */
char *sys_number(char *to, uint64_t value);

/*
 * One message with descriptors. Sending: 0 or negative errno. Receiving: bytes, 0 at the end of
 * file, negative errno; *ret_fd_count is set, also when 0. Descriptors that do not fit are closed
 * by the kernel and -EMSGSIZE is returned.
 */
int sys_send(int fd, const void *bytes, size_t n, const int *fds, unsigned fd_count, int flags);
ssize_t sys_receive(
	int fd, void *to, size_t n, int *fds, unsigned fd_max, unsigned *ret_fd_count, int flags);

#endif
