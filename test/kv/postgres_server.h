/*
 * A private PostgreSQL server for tests: in a folder, on a socket in it only, as an unprivileged
 * user, without syncing.
 */
#ifndef TEST_KV_POSTGRES_SERVER_H
#define TEST_KV_POSTGRES_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

enum { PG_CONNINFO_MAX = 256 };

/* False, and says so, when there is none on this machine. */
bool pg_installed(void);
/* Its pid when it takes connections, or -1. */
pid_t pg_start(const char *folder);
void pg_conninfo(const char *folder, char ret_conninfo[PG_CONNINFO_MAX]);
/* -1 is fine. */
void pg_stop(pid_t pid);

#endif
