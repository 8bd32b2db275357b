/*
 * The worker's files and calls.
 */
#include "server/confine.h"

#include "base/check.h"
#include "base/rc.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"

#include <sys/prctl.h>

struct confinement confine_worker(const char *data_folder, const char *image_folder)
{
	const struct landlock_place places[] = {
		{data_folder, LANDLOCK_KEEP},
		{image_folder, LANDLOCK_READ},
		/* libraries, certificates, names, time zones */
		{"/usr", LANDLOCK_READ},
		{"/lib", LANDLOCK_READ},
		{"/lib64", LANDLOCK_READ},
		{"/etc", LANDLOCK_READ},
		{"/run", LANDLOCK_READ}, /* where resolv.conf may lead to */
		/* memory, processes of instances, processors and disks; names of threads */
		{"/proc", LANDLOCK_READ},
		{"/proc/self", LANDLOCK_READ_WRITE},
		{"/sys", LANDLOCK_READ},
		{"/dev/urandom", LANDLOCK_READ},
		{"/dev/random", LANDLOCK_READ},
		{"/dev/null", LANDLOCK_READ_WRITE},
	};
	struct confinement c = {0};
	struct filter filter;

	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	c.files = landlock_confine(places, ARRAY_SIZE(places)) == 0;
	/* Without Landlock the unpacking of archives hides files in a namespace of its own. */
	c.calls = filter_build_worker(&filter, !c.files) == 0 && filter_install(&filter) == 0;
	return c;
}
