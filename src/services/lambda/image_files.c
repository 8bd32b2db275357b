/*
 * Reading images with plain system calls, on threads of the code store's pool: first the documents,
 * then, when the trees of its layers are pinned, the layers that are not unpacked yet.
 */
#include "services/lambda/image_files.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "services/lambda/function.h"
#include "services/lambda/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TAR_BLOCK = 512,
	TAR_ENTRIES_MAX = 4096,
	INDEX_DEPTH_MAX = 4,
	COPY_BYTES = 128 * 1024,
	PATH_BYTES = 1024
};

/* One file of an image: a file of the folder, or a piece of the archive. */
struct piece {
	str name;
	uint64_t offset, bytes;
};

struct job {
	struct code_store *store;
	struct arena *arena;
	const char *folder;
	struct image_uri uri;
	str architecture; /* as images call it */
	struct sandbox_error *error;
	int fd; /* the layout's folder, or the archive */
	bool archive;
	struct piece *pieces; /* of the archive */
	uint32_t piece_count;
	struct image_parts parts;
	bool docker; /* its parts are names, else digests */
	struct image_config config;
	struct image_found *found;
	int rc;
};

static void close_p(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static int refuse(struct job *j, int rc, const char *what, str name)
{
	snprintf(j->error->text, sizeof(j->error->text), "%s %.*s", what,
		STR_ARG(str_sub(name, 0, 150)));
	return rc;
}

/* ---- files ---- */

/* The table of an archive's files, which is walked once. */
static int read_table(struct job *j)
{
	struct image_tar_entry entry;
	uint64_t at = 0;
	char head[TAR_BLOCK];

	j->pieces = arena_new_array(j->arena, struct piece, TAR_ENTRIES_MAX);
	for (;;) {
		ssize_t n = pread(j->fd, head, sizeof(head), (off_t)at);
		int found;

		if (n < 0)
			return rc_from_errno(errno);
		if (n == 0)
			return 0;
		found = n == sizeof(head)
				? image_tar_header(j->arena, str_of(head, sizeof(head)), &entry)
				: ERR_INVALID;
		if (found < 0)
			return refuse(j, ERR_INVALID,
				"no tar archive, or a damaged one:", j->uri.repository);
		if (found == 0)
			return 0;
		if (entry.file) {
			if (j->piece_count == TAR_ENTRIES_MAX)
				return refuse(j, ERR_TOO_LARGE, "too many files in the archive of",
					j->uri.repository);
			j->pieces[j->piece_count++] =
				(struct piece){entry.name, at + TAR_BLOCK, entry.bytes};
		}
		at += TAR_BLOCK + (entry.bytes + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	}
}

static int open_image(struct job *j)
{
	static const char *const ends[] = {"", ".tar"};
	int top cleanup(close_p) = open(j->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char path[PATH_BYTES];
	struct stat st;

	if (top < 0)
		return refuse(j, rc_from_errno(errno), "cannot open the folder of images,",
			str_c(j->folder));
	for (size_t i = 0; i < ARRAY_SIZE(ends) && j->fd < 0; i++) {
		snprintf(path, sizeof(path), "%.*s/%.*s%s", STR_ARG(j->uri.repository),
			STR_ARG(j->uri.tag), ends[i]);
		j->fd = openat(top, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (j->fd < 0 && errno != ENOENT && errno != ENOTDIR)
			return refuse(j, rc_from_errno(errno), "cannot open", str_c(path));
	}
	if (j->fd < 0)
		return refuse(j, ERR_NOT_FOUND, "there is no image", str_c(path));
	if (fstat(j->fd, &st) < 0)
		return rc_from_errno(errno);
	j->archive = S_ISREG(st.st_mode);
	if (!j->archive && !S_ISDIR(st.st_mode))
		return refuse(j, ERR_INVALID, "neither a folder nor a file:", str_c(path));
	return j->archive ? read_table(j) : 0;
}

/* 1 and where it is (*ret_fd is the caller's when it is not the archive), 0: no such file. */
static int find_piece(struct job *j, str name, int *ret_fd, struct piece *ret_piece)
{
	char path[PATH_BYTES];
	struct stat st;
	int fd;

	if (j->archive) {
		for (uint32_t i = 0; i < j->piece_count; i++)
			if (str_eq(j->pieces[i].name, name)) {
				*ret_piece = j->pieces[i];
				*ret_fd = j->fd;
				return 1;
			}
		return 0;
	}
	/* Names of docker's are only looked for in archives, so this is one of ours. */
	snprintf(path, sizeof(path), "%.*s", STR_ARG(name));
	fd = openat(j->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : rc_from_errno(errno);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return ERR_INVALID;
	}
	*ret_piece = (struct piece){name, 0, (uint64_t)st.st_size};
	*ret_fd = fd;
	return 1;
}

static str blob_name(struct arena *a, str digest)
{
	return ARENA_CONCAT(a, STR("blobs/sha256/"), digest);
}

static int read_exactly(int fd, void *to, size_t n, uint64_t offset)
{
	char *at = to;

	while (n) {
		ssize_t got = pread(fd, at, n, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? rc_from_errno(errno) : ERR_INVALID;
		at += got;
		n -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

static bool digest_is(const uint8_t digest[SHA256_BYTES], str hex)
{
	char text[IMAGE_DIGEST_HEX];

	hex_encode(digest, SHA256_BYTES, text);
	return str_eq(str_of(text, sizeof(text)), hex);
}

/* A whole document: 1, or 0 when there is none. `digest` STR_NULL: nobody says what it is. */
static int read_document(struct job *j, str name, str digest, str *ret_text)
{
	uint8_t actual[SHA256_BYTES];
	struct piece piece;
	char *text;
	int fd = -1, rc;

	if (TRY(find_piece(j, name, &fd, &piece)) == 0)
		return 0;
	if (piece.bytes > IMAGE_DOCUMENT_BYTES_MAX) {
		rc = refuse(j, ERR_TOO_LARGE, "too large a document:", name);
	} else {
		text = arena_bytes(j->arena, piece.bytes + 1);
		rc = read_exactly(fd, text, piece.bytes, piece.offset);
		*ret_text = str_of(text, piece.bytes);
	}
	if (!j->archive)
		close(fd);
	TRY(rc);
	sha256_of(*ret_text, actual);
	if (digest.p && !digest_is(actual, digest))
		return refuse(j, ERR_INVALID, "the digest is another than that of", name);
	return 1;
}

static int read_blob(struct job *j, str digest, str *ret_text)
{
	if (TRY(read_document(j, blob_name(j->arena, digest), digest, ret_text)) == 0)
		return refuse(j, ERR_INVALID, "the image has no blob", digest);
	return 0;
}

/* ---- documents ---- */

static int read_layout(struct job *j, str index)
{
	str digest, text = index;
	bool again = true;

	for (int depth = 0; again; depth++) {
		if (depth == INDEX_DEPTH_MAX)
			return refuse(j, ERR_INVALID, "indexes of indexes in", j->uri.repository);
		TRY(image_index(j->arena, text, j->architecture, &digest, &again, j->error));
		TRY(read_blob(j, digest, &text));
	}
	j->found->digest = digest;
	TRY(image_manifest(j->arena, text, &j->parts, j->error));
	TRY(read_blob(j, j->parts.config, &text));
	return image_config(j->arena, text, &j->config, j->error);
}

static int read_docker(struct job *j, str manifest)
{
	char *hex = arena_bytes(j->arena, IMAGE_DIGEST_HEX);
	uint8_t digest[SHA256_BYTES];
	str text;

	j->docker = true;
	TRY(image_docker(j->arena, manifest, &j->parts, j->error));
	if (TRY(read_document(j, j->parts.config, STR_NULL, &text)) == 0)
		return refuse(j, ERR_INVALID, "the archive has no", j->parts.config);
	/* It has no manifest of the registry's kind: its configuration names it. */
	sha256_of(text, digest);
	hex_encode(digest, sizeof(digest), hex);
	j->found->digest = str_of(hex, IMAGE_DIGEST_HEX);
	TRY(image_config(j->arena, text, &j->config, j->error));
	if (j->config.layer_count != j->parts.layer_count)
		return refuse(
			j, ERR_INVALID, "rootfs.diff_ids and Layers differ in", j->uri.repository);
	return 0;
}

static int read_documents(struct job *j)
{
	struct function_image *image = &j->found->image;
	str text;

	TRY(open_image(j));
	if (TRY(read_document(j, STR("index.json"), STR_NULL, &text)))
		TRY(read_layout(j, text));
	else if (j->archive && TRY(read_document(j, STR("manifest.json"), STR_NULL, &text)))
		TRY(read_docker(j, text));
	else
		return refuse(j, ERR_INVALID,
			"neither an OCI layout nor an archive of docker save:", j->uri.repository);
	if (!str_eq(j->config.os, STR("linux")) || !str_eq(j->config.architecture, j->architecture))
		return refuse(j, ERR_INVALID, "the image is for", j->config.architecture);
	if (!j->parts.layer_count)
		return refuse(j, ERR_INVALID, "the image has no layers:", j->uri.repository);
	image->entry_point = j->config.entry_point;
	image->command = j->config.command;
	image->environment = j->config.environment;
	image->working_folder = j->config.working_folder;
	image->tree_count = j->parts.layer_count;
	for (uint32_t i = 0; i < j->parts.layer_count; i++)
		image->trees[i] = image_tree_name(
			j->arena, j->docker ? j->config.layers[i] : j->parts.layers[i]);
	return 0;
}

static void documents_job(void *arg)
{
	struct job *j = arg;

	j->rc = read_documents(j);
}

/* ---- layers ---- */

static int write_all(int fd, str bytes)
{
	while (bytes.n) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return rc_from_errno(errno);
		bytes = str_from(bytes, (size_t)n);
	}
	return 0;
}

/* Into a file of our own, so that what is unpacked is what was checked. */
static int copy_layer(int from, const struct piece *piece, int to, str digest)
{
	uint64_t done = 0;
	uint8_t actual[SHA256_BYTES];
	struct sha256 sum;
	char *block = mem_alloc(COPY_BYTES);
	int rc = 0;

	sha256_init(&sum);
	while (rc >= 0 && done < piece->bytes) {
		size_t n = (size_t)MIN(piece->bytes - done, (uint64_t)COPY_BYTES);

		rc = read_exactly(from, block, n, piece->offset + done);
		if (rc >= 0)
			rc = write_all(to, str_of(block, n));
		sha256_add(&sum, str_of(block, n));
		done += n;
	}
	mem_free(block);
	sha256_finish(&sum, actual);
	if (rc >= 0 && !digest_is(actual, digest))
		rc = ERR_INVALID;
	return rc;
}

static int unpack_one(struct job *j, uint32_t i)
{
	str digest = j->docker ? j->config.layers[i] : j->parts.layers[i];
	str name = j->docker ? j->parts.layers[i] : blob_name(j->arena, digest);
	int to cleanup(close_p) = -1;
	struct piece piece;
	int from = -1, rc;

	if (TRY(find_piece(j, name, &from, &piece)) == 0)
		return refuse(j, ERR_INVALID, "the image has no file", name);
	j->found->bytes += piece.bytes;
	rc = code_has_tree(j->store, j->found->pins[i]) ? 0 : 1;
	if (rc > 0)
		rc = piece.bytes > (uint64_t)LAMBDA_IMAGE_MIB_MAX << 20
			     ? refuse(j, ERR_TOO_LARGE, "too large a layer:", name)
			     : code_temporary(j->store, &to);
	if (rc >= 0 && to >= 0) {
		rc = copy_layer(from, &piece, to, digest);
		if (rc == ERR_INVALID)
			rc = refuse(j, rc, "cut off, or of another digest:", name);
		if (rc >= 0)
			rc = code_unpack_layer(j->store, j->found->pins[i], to, j->error);
	}
	if (!j->archive)
		close(from);
	return rc;
}

static void layers_job(void *arg)
{
	struct job *j = arg;

	for (uint32_t i = 0; j->rc >= 0 && i < j->parts.layer_count; i++)
		j->rc = unpack_one(j, i);
}

static int find(struct job *j, int64_t deadline)
{
	TRY(code_work(j->store, documents_job, j, deadline));
	TRY(j->rc);
	for (uint32_t i = 0; i < j->parts.layer_count; i++)
		TRY(code_pin(j->store, j->found->image.trees[i], deadline, &j->found->pins[i]));
	TRY(code_work(j->store, layers_job, j, deadline));
	return j->rc;
}

int image_find(struct code_store *store, struct arena *a, const char *folder, str uri,
	str architecture, int64_t deadline, struct image_found *ret_found,
	struct sandbox_error *error)
{
	struct job j = {.store = store,
		.arena = a,
		.folder = folder,
		.architecture = str_eq(architecture, STR("x86_64")) ? STR("amd64") : architecture,
		.error = error,
		.fd = -1,
		.found = ret_found};
	int rc = image_uri_parse(uri, &j.uri);

	*ret_found = (struct image_found){.bytes = 0};
	if (rc < 0)
		return refuse(&j, rc, "not of the form HOST/NAME:TAG:", uri);
	ret_found->image.uri = uri;
	rc = find(&j, deadline);
	close_p(&j.fd);
	if (rc < 0) {
		image_unpin(store, ret_found);
		return rc;
	}
	ret_found->image.resolved =
		ARENA_CONCAT(a, j.uri.host, j.uri.repository, STR("@sha256:"), ret_found->digest);
	return 0;
}

void image_unpin(struct code_store *store, struct image_found *found)
{
	for (size_t i = 0; i < ARRAY_SIZE(found->pins); i++) {
		code_unpin(store, found->pins[i]);
		found->pins[i] = NULL;
	}
}
