/*
 * Landlock (since Linux 5.13): which files the calling thread, and all that it starts, can still
 * reach. What is not named is out of reach, programs are not run, and it can never be taken back.
 * Signal-safe: no memory is asked for. https://docs.kernel.org/userspace-api/landlock.html
 */
#ifndef SANDBOX_LANDLOCK_H
#define SANDBOX_LANDLOCK_H

#include "base/attr.h"

#include <stddef.h>

enum landlock_access {
	LANDLOCK_READ,       /* files and folders */
	LANDLOCK_READ_WRITE, /* also writes to files that are there */
	/*
	 * Also makes and removes files, folders, links, sockets. Of devices an ordinary user can
	 * make overlay's whiteouts alone.
	 */
	LANDLOCK_KEEP
};

struct landlock_place {
	const char *path; /* passed over when there is none */
	enum landlock_access access;
};

/* With no_new_privs set: 0; ERR_UNSUPPORTED: the kernel has none; ERR_DENIED. */
must_use int landlock_confine(const struct landlock_place *places, size_t count);

#endif
