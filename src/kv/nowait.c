/*
 * nowait.h. The Makefile exports `pread` from every program that contains this file. Outside of
 * begin and end it is the next library's (the C library's, a sanitizer's, a test's preloaded one).
 * A file system that has no RWF_NOWAIT refuses with EOPNOTSUPP, which counts as having to wait.
 */
#include "kv/nowait.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/types.h>
#include <sys/uio.h>

static _Thread_local struct {
	bool active, refused;
} state;

/* Not by its own name here: the C library's header may already have an inline one. */
ssize_t nowait_pread(int fd, void *to, size_t n, off_t offset) __asm__("pread");

typedef ssize_t pread_function(int fd, void *to, size_t n, off_t offset);

static pread_function *next_pread(void)
{
	/* Any thread may be the first: all find the same. */
	static pread_function *_Atomic next;
	pread_function *found = next;

	if (!found)
		next = found = (pread_function *)dlsym(RTLD_NEXT, "pread");
	return found;
}

ssize_t nowait_pread(int fd, void *to, size_t n, off_t offset)
{
	struct iovec part = {.iov_base = to, .iov_len = n};
	ssize_t got;

	if (!state.active)
		return next_pread()(fd, to, n, offset);
	got = preadv2(fd, &part, 1, offset, RWF_NOWAIT);
	if (got < 0 && errno != EINTR)
		state.refused = true;
	return got;
}

void nowait_begin(void)
{
	state.active = true;
	state.refused = false;
}

bool nowait_end(void)
{
	state.active = false;
	return state.refused;
}
