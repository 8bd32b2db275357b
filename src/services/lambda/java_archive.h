/*
 * The class-data archive of our Java runtime: what a Java machine has loaded when it asks for the
 * first event, kept in a file that the next ones map, which makes a cold start shorter by a fifth.
 *
 * Made in a container of its own (runtimes/java/Training.java), seconds after the first Java
 * function is there, off everybody's path; once for each Java machine and runtime. It lies beside
 * the runtime's program, read-only inside. The file's name has the key of both, and its own digest:
 * a machine that maps a damaged archive crashes, so one is looked through before its first use
 * after a start and made anew when it is not what was written. A machine that an archive does not
 * fit (its own upgrade, while the server runs) goes on without, and says nothing.
 */
#ifndef SERVICES_LAMBDA_JAVA_ARCHIVE_H
#define SERVICES_LAMBDA_JAVA_ARCHIVE_H

#include "base/arena.h"

struct java_archive;
struct lambda_service;

struct java_archive *java_archive_new(struct lambda_service *s) __attribute__((returns_nonnull));
void java_archive_free(struct java_archive *j);

/* There is a Java function: looks for the archive, once, in a fiber. From a fiber. */
void java_archive_want(struct java_archive *j);
/* Its path inside a container; false while there is none. Any loop. */
bool java_archive_path(struct java_archive *j, struct arena *a, str *ret_path);
/* Before the sandbox goes, with the service stopping: waits for the fiber. */
void java_archive_stop(struct java_archive *j) mayyield;

#endif
