/*
 * Container images as documents: what the files of an OCI layout and of `docker save` say, and the
 * form in which a function keeps what it needs of them. Pure; the files themselves are
 * image_files.c's.
 *
 * Source: OCI Image Format Specification 1.1 (image-layout, image-index, manifest, config);
 * Developer Guide, "Create a Lambda function using a container image"; API Reference, ImageConfig.
 */
#ifndef SERVICES_LAMBDA_IMAGE_H
#define SERVICES_LAMBDA_IMAGE_H

#include "aws/value.h"
#include "base/arena.h"
#include "base/rc.h"
#include "sandbox/sandbox.h"

enum {
	IMAGE_DIGEST_HEX = 64,
	IMAGE_STRINGS_MAX = 256,           /* arguments, or variables, of an image */
	IMAGE_DOCUMENT_BYTES_MAX = 1 << 20 /* an index, manifest or configuration */
};

/* Text that a URI names: 0, or ERR_INVALID. "123456789012.dkr.ecr.us-east-1.amazonaws.com/a/b:t".
 */
struct image_uri {
	str repository; /* "a/b": where it is below the folder of images */
	str tag;        /* "latest" when there is none */
	str host;       /* with the slash behind it */
};
must_use int image_uri_parse(str uri, struct image_uri *ret_uri);

/*
 * The manifest that an index (index.json, or one that it names) has for an architecture in the
 * terms of images ("amd64"): its digest, 64 digits. *ret_index: it is an index again. ERR_INVALID,
 * ERR_NOT_FOUND: none for this machine; `error` says more.
 */
must_use int image_index(struct arena *a, str text, str architecture, str *ret_digest,
	bool *ret_index, struct sandbox_error *error);

struct image_parts {
	/* Digests, or names of files where `docker save` made the archive. */
	str config, layers[SANDBOX_LAYERS_MAX];
	uint32_t layer_count; /* the lowest first */
};
must_use int image_manifest(
	struct arena *a, str text, struct image_parts *ret_parts, struct sandbox_error *error);
/* manifest.json of `docker save`: that of its one image. */
must_use int image_docker(
	struct arena *a, str text, struct image_parts *ret_parts, struct sandbox_error *error);

struct image_strings {
	str *items;
	uint32_t count;
};
struct image_config {
	str architecture, os, working_folder;
	struct image_strings entry_point, command, environment;
	str layers[SANDBOX_LAYERS_MAX]; /* digests of the unpacked layers */
	uint32_t layer_count;
};
must_use int image_config(
	struct arena *a, str text, struct image_config *ret_config, struct sandbox_error *error);

/* One header of a tar archive, 512 bytes. 1, 0 for the end, ERR_INVALID. */
struct image_tar_entry {
	str name; /* in the arena */
	uint64_t bytes;
	bool file;
};
must_use int image_tar_header(struct arena *a, str head, struct image_tar_entry *ret_entry);

/* What a function keeps: its record's member. */
struct function_image {
	str uri, resolved;             /* as given; with the digest in place of the tag */
	str trees[SANDBOX_LAYERS_MAX]; /* names in the code store, the lowest first */
	uint32_t tree_count;
	struct image_strings entry_point, command, environment;
	str working_folder;
};
str image_encode(struct arena *a, const struct function_image *image);
must_use int image_decode(struct arena *a, str text, struct function_image *ret_image);
/* Name of a layer's tree, made of its digest so that no uploaded archive can have it. */
str image_tree_name(struct arena *a, str digest);

/* Lays an ImageConfig (NULL: nothing) over it: what it gives replaces the image's own. */
void image_override(struct arena *a, const struct value *config, struct function_image *image);

#endif
