/*
 * Unpacks an archive that a stranger sent: in a helper process without privileges, into a folder
 * named by the archive's content hash, once.
 *
 * The helper is forked for one archive, sees it only through a descriptor, writes only below a
 * descriptor of the temporary folder, and runs under a seccomp filter and rlimits; libarchive runs
 * nowhere else. Refused with a text that names the entry: absolute paths, "..", links that lead
 * outside, hard links, devices, pipes, sockets, names that are no UTF-8 or hold NUL, entries below
 * a link or a file, duplicates of another kind, encrypted entries, and everything past the limits.
 *
 * The folder appears by rename when all of it is on disk, with files 0644/0755 and folders 0755, so
 * a crash leaves nothing half-made but a temporary folder that the next start sweeps.
 */
#ifndef SANDBOX_UNPACK_H
#define SANDBOX_UNPACK_H

#include "sandbox/sandbox.h"

struct unpack_limits {
	uint64_t total_bytes; /* unpacked; 0: 250 MiB (the quota of a function's code) */
	uint32_t ratio;       /* unpacked to packed, above 1 MiB; 0: 1,100 (deflate's own bound) */
	uint32_t entries;     /* 0: 100,000 */
	uint32_t depth;       /* folders below the top; 0: 64 */
	uint32_t seconds;     /* of processor time; 0: 60 */
};

struct unpack_result {
	uint64_t total_bytes; /* unpacked; 0 when the folder was there already */
	uint32_t entries;
	bool existed;
};

/*
 * Unpacks the zip archive in `archive_fd` (a file; read from offset 0) to `folder_fd`/`name`, where
 * `name` is one path component. Blocking: call it on a pool thread. Returns 0, ERR_INVALID (the
 * archive's fault: see `error`), ERR_TOO_LARGE (a limit: see `error`), ERR_NO_SPACE, ERR_IO.
 */
must_use int unpack_zip(int archive_fd, int folder_fd, const char *name,
	const struct unpack_limits *limits, struct unpack_result *ret_result,
	struct sandbox_error *error);
/*
 * The same for a layer of a container image: a tar archive, packed by gzip or zstd or not at all,
 * as the image specification (OCI, "Filesystem Layer") has it. Owners and times are dropped, of
 * permissions only those to execute are kept (so set-user-id is gone), devices, pipes and sockets
 * are refused. Links may name anything: they are followed only inside a container. Whiteouts become
 * what an overlay mounted with "userxattr" reads: a character device 0/0, and on opaque folders the
 * attribute user.overlay.opaque.
 */
must_use int unpack_layer(int archive_fd, int folder_fd, const char *name,
	const struct unpack_limits *limits, struct unpack_result *ret_result,
	struct sandbox_error *error);
/*
 * The same as unpack_zip() for a fiber: the launcher runs it, as the owner of its data folder, so
 * the calling process needs neither a thread nor the right to fork. The descriptors stay the
 * caller's. The name has at most 95 bytes. ERR_BUSY when eight archives are at work.
 */
must_use mayyield int sandbox_unpack(struct sandbox *s, int archive_fd, int folder_fd,
	const char *name, const struct unpack_limits *limits, int64_t deadline,
	struct unpack_result *ret_result, struct sandbox_error *error);
/*
 * Loads libarchive into this process, so that unpacking processes forked from it have it: for the
 * launcher, whose own mounts do not show the library. False when it is not installed.
 */
bool unpack_preload(void);
/* Removes what a crash left behind in `folder_fd`; at start, before the first unpack_zip(). */
must_use int unpack_sweep(int folder_fd);

#endif
