/*
 * The code of functions in files: archives and their unpacked trees, both named by the SHA-256 of
 * the archive, below <data>/lambda/.
 *
 *     lambda/zip/<hex>.zip     as uploaded; on disk (file and folder synced) before it is stored
 *     lambda/tree/<hex>/       unpacked once by the sandboxed helper; mounted at /var/task
 *
 * A tree can always be made again from its archive. Who works with code holds a pin on it: pinned
 * code is never removed. What nobody refers to in the store goes when its last pin goes, or at the
 * next start.
 *
 * Threading: any loop; file work runs on a pool of its own, everything that suspends is marked. The
 * table of pins has a lock of its own, never held over a suspension.
 */
#ifndef SERVICES_LAMBDA_CODE_H
#define SERVICES_LAMBDA_CODE_H

#include "base/arena.h"
#include "base/rc.h"
#include "sandbox/sandbox.h"

struct code_store;
struct code_pin;
struct rt;

/* Makes the folders and removes what a crash left half-made. Blocking, at start. */
must_use int code_store_open(struct rt *rt, const char *data_folder, struct code_store **ret_store);
void code_store_close(struct code_store *store);

struct code_info {
	char hex[64];
	uint64_t bytes;
};
/*
 * An archive comes in parts, of which none is kept in memory: begin, parts, end. Nothing can be
 * seen of it before its end, and what is dropped (in any state, NULL too) is gone.
 */
struct code_receiver;
must_use int code_receive_begin(
	struct code_store *store, int64_t deadline, struct code_receiver **ret_receiver) mayyield;
must_use int code_receive_part(struct code_receiver *r, str part, int64_t deadline) mayyield;
/* Its file so far, to be read; it is the receiver's. */
int code_receive_fd(const struct code_receiver *r);
/*
 * Stores the archive and unpacks it, pinned; afterwards there is only code_receive_drop().
 * ERR_INVALID and ERR_TOO_LARGE: the archive's fault, see `error`, and nothing stays. ERR_NO_SPACE,
 * ERR_IO, ERR_BUSY, ERR_TIMEOUT.
 */
must_use int code_receive_end(struct code_receiver *r, int64_t deadline, struct code_info *ret_info,
	struct code_pin **ret_pin, struct sandbox_error *error) mayyield;
void code_receive_drop(struct code_receiver *r) mayyield;
void code_receive_drop_p(struct code_receiver **r) mayyield;
/* Keeps code from being removed. Suspends only while it is just being removed. */
must_use int code_pin(
	struct code_store *store, str hex, int64_t deadline, struct code_pin **ret_pin) mayyield;
/* NULL: nothing. True when it was the last pin of code that code_remove() wanted to remove: the
 * caller calls it again when a fiber is at hand, or leaves it to the next start. */
bool code_unpin(struct code_store *store, struct code_pin *pin);
/* The tree is there: pinned code is unpacked again if need be. Looks once in the life of the store,
 * so that a cold start need not wait for a thread. Errors as code_receive_end(). */
must_use int code_ensure(struct code_store *store, struct code_pin *pin, int64_t deadline,
	struct sandbox_error *error) mayyield;
/* Does the tree have this file at its top (the bootstrap of provided runtimes)? 1, 0. */
must_use int code_has_file(struct code_store *store, const struct code_pin *pin, const char *name,
	int64_t deadline) mayyield;
/*
 * Names of the files (not folders) in a folder of the tree, in the arena, sorted: how many, 0 when
 * there is no such folder. ERR_TOO_LARGE: more than `max`.
 */
must_use int code_list_files(struct code_store *store, const struct code_pin *pin,
	const char *folder, struct arena *a, str *ret_names, unsigned max,
	int64_t deadline) mayyield;
/* Bytes of all files of an unpacked tree together. */
must_use int code_tree_bytes(struct code_store *store, const struct code_pin *pin, int64_t deadline,
	uint64_t *ret_bytes) mayyield;
/* "lambda/tree/<hex>", for SANDBOX_FROM_DATA; lives as long as the pin. */
str code_tree_path(const struct code_pin *pin);
/* Removes both unless pinned. The caller has seen that nothing in the store refers to it. */
must_use int code_remove(struct code_store *store, str hex, int64_t deadline) mayyield;

/* For each archive or tree that there is, once: hex digits. Stops at < 0. */
must_use int code_each(struct code_store *store, int (*fn)(void *arg, str hex), void *arg,
	int64_t deadline) mayyield;

/* The archive's file, opened for reading: a descriptor, which is the caller's; ERR_NOT_FOUND. */
must_use int code_open(struct code_store *store, str hex, int64_t deadline) mayyield;
/* A read of the archive at an offset: bytes, 0 at its end; ERR_NOT_FOUND. */
must_use int code_read(struct code_store *store, str hex, uint64_t offset, void *to, size_t n,
	uint64_t *ret_total, int64_t deadline) mayyield;

/* ---- layers of images: trees without an archive (image_files.h) ---- */

/* Runs `fn` on a thread of the store's pool. */
must_use int code_work(
	struct code_store *store, void (*fn)(void *arg), void *arg, int64_t deadline) mayyield;
/* On such a thread: is the pinned tree there? */
bool code_has_tree(struct code_store *store, const struct code_pin *pin);
/* On such a thread: a file without a name, on the same file system. */
must_use int code_temporary(struct code_store *store, int *ret_fd);
/* On such a thread: unpacks a layer into the pinned tree. Errors as code_receive_end(). */
must_use int code_unpack_layer(struct code_store *store, const struct code_pin *pin, int archive_fd,
	struct sandbox_error *error);

#endif
