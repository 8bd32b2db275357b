/*
 * Large bodies in files: the embedded engine ("files"). A blob is written once, is named by an id
 * that is never used again, and stays as it is until it is removed.
 *
 *     <folder>/<xx>/<32 hex>      xx: the last byte of the id
 *
 * The store knows no owner. Whoever writes a blob makes it known by committing a record with its id
 * (and a key for the id) in the key-value store after blob_finish(), which has put file and name on
 * the disk; and removes it after the commit that has dropped that record. So a crash leaves at most
 * a file that nobody knows, which blob_sweep() removes after the next start. An open descriptor
 * outlives the removal.
 *
 * Threading: any loop. A writer belongs to the loop that made it. Everything marked may suspend;
 * files are touched on a pool of the store's own. Limits: BLOB_WRITERS_MAX at one time.
 */
#ifndef BLOB_BLOB_H
#define BLOB_BLOB_H

#include "base/arena.h"
#include "base/rc.h"

struct blob_store;
struct blob_writer;
struct rt;

enum { BLOB_ID_BYTES = 16, BLOB_WRITERS_MAX = 1024, BLOB_FOLDER_FILES_MAX = 1000000 };

struct blob_id {
	uint8_t bytes[BLOB_ID_BYTES]; /* which run of the server made it, and its number there */
};

struct blob_options {
	const char *folder; /* absolute; made if absent, the folder above it exists */
	bool unsynced;      /* leaves syncing to the system (--durability=relaxed, --ephemeral) */
	uint64_t run;       /* random, another one at each start */
};

/* Before rt_run(), blocking. */
must_use int blob_open(
	struct rt *rt, const struct blob_options *options, struct blob_store **ret_store);
/* After rt_run(). NULL is fine. */
void blob_close(struct blob_store *store);

/* A new id, for bodies that are kept elsewhere too. */
struct blob_id blob_id_new(struct blob_store *store);

/*
 * Begins a blob. `tap` (may be NULL) gets all bytes in order on the pool's threads, one call at a
 * time, to hash them. ERR_BUSY: too many are written at once.
 */
must_use int blob_create(struct blob_store *store, void (*tap)(void *arg, str bytes), void *tap_arg,
	struct blob_writer **ret_writer) mayyield;
/* Appends. After an error the writer can only be abandoned. ERR_NO_SPACE, ERR_IO, ERR_BUSY ... */
must_use int blob_write(struct blob_writer *writer, str bytes) mayyield;
/* It is on the disk, and nobody knows it yet. Ends the writer, whatever the result. */
must_use int blob_finish(struct blob_writer *writer, struct blob_id *ret_id) mayyield;
/* Ends it and removes the file. NULL is fine. */
void blob_abandon(struct blob_writer *writer) mayyield;

/* A descriptor to read from (rt_file_read(), rt_file_close()). ERR_NOT_FOUND. */
must_use int blob_read(struct blob_store *store, struct blob_id id) mayyield;
/* Of a blob that no record names any more. ERR_NOT_FOUND is no error here. */
must_use int blob_remove(struct blob_store *store, struct blob_id id) mayyield;

/*
 * Removes what earlier runs of the server have left and `known` (1, 0, < 0: stops the sweep) does
 * not know: how many files. Blobs of this run are not looked at.
 */
must_use int blob_sweep(struct blob_store *store,
	int (*known)(void *arg, struct blob_id id) mayyield, void *arg) mayyield;

#endif
