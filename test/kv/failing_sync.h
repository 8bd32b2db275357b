/*
 * Syncs of the store's log that fail: test_wal.c says which, test_blob.c has the calls.
 */
#ifndef TEST_KV_FAILING_SYNC_H
#define TEST_KV_FAILING_SYNC_H

#include <stdbool.h>

/* Of files "*.wal": so many calls were made; so many of the next fail, what was written stays. */
extern _Atomic int wal_syncs, wal_sync_failures;

/* For fdatasync of this whole program: is it the turn of this one to fail? */
bool wal_sync_fails(int fd);

#endif
