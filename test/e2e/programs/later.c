/*
 * Loaded in front of the C library: the calendar is LATER_SECONDS ahead, so that a test need not
 * wait for a day that has to pass. Monotonic clocks stay as they are.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *to)
{
	static int (*next)(clockid_t, struct timespec *);
	static long seconds;
	int rc;

	if (!next) {
		const char *text = getenv("LATER_SECONDS");

		seconds = text ? strtol(text, NULL, 10) : 0;
		next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	}
	rc = next(clock, to);
	if (rc == 0 && clock == CLOCK_REALTIME)
		to->tv_sec += seconds;
	return rc;
}
