/*
 * Failing checks: the message, the crash hook, the abort. Uses no lock and no allocation.
 */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef CIRRUS_VERSION
#define CIRRUS_VERSION "unversioned"
#endif

static check_crash_hook *crash_hook; /* set once at start, read only afterwards */

void check_put(const char *text, size_t n)
{
	while (n > 0) {
		ssize_t done = write(STDERR_FILENO, text, n);

		if (done <= 0)
			return;
		text += done;
		n -= (size_t)done;
	}
}

void check_set_crash_hook(check_crash_hook *hook)
{
	crash_hook = hook;
}

void check_failed(const char *file, int line, const char *function, const char *what)
{
	static _Thread_local int failing;
	char text[512];
	int n = snprintf(text, sizeof text,
		"cirrus " CIRRUS_VERSION ": check failed at %s:%d %s(): %s\n", file, line, function,
		what);

	check_put(text, MIN((size_t)n, sizeof text - 1));
	if (!failing++ && crash_hook)
		crash_hook(check_put);
	abort();
}
