/*
 * What the worker may still do once it is an unprivileged user (DESIGN section 1): write below the
 * data folder only, read what a program of this machine needs (libraries, certificates, resolver,
 * /proc), start no program at all, and reach none of the kernel's calls that it has no use for. So
 * whoever takes the worker over by a fault in it has a process that can serve, and little else.
 *
 * Landlock (since Linux 5.13) for the files, seccomp for the calls. Both hold for all threads that
 * are started later and can never be taken back.
 */
#ifndef SERVER_CONFINE_H
#define SERVER_CONFINE_H

#include <stdbool.h>

struct confinement {
	bool files, calls; /* what holds; the kernel may lack either */
};

/*
 * On the only thread of the process, after the change of user. `data_folder` exists;
 * `image_folder`, which is only read, is empty where there is none. What this machine cannot give
 * is left out and told.
 */
struct confinement confine_worker(const char *data_folder, const char *image_folder);

#endif
