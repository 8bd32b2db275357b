/*
 * Images in files: an OCI layout (a folder, or a tar archive of one) or what `docker save` writes,
 * below the folder that the server was given for images. Nothing is fetched from anywhere.
 *
 *     HOST/NAME:TAG   ->   FOLDER/NAME/TAG/, FOLDER/NAME/TAG.tar or FOLDER/NAME/TAG
 *
 * Every document and layer is checked against its digest before it is believed. Layers are unpacked
 * once, in the sandboxed helper, into the code store (code.h); the files are not needed afterwards.
 */
#ifndef SERVICES_LAMBDA_IMAGE_FILES_H
#define SERVICES_LAMBDA_IMAGE_FILES_H

#include "services/lambda/code.h"
#include "services/lambda/image.h"

/* A found and unpacked image; its trees are pinned. */
struct image_found {
	struct function_image image;
	str digest; /* 64 digits, of its manifest */
	uint64_t bytes;
	struct code_pin *pins[SANDBOX_LAYERS_MAX];
};
/*
 * `folder`: of the images. `architecture`: "x86_64" or "arm64". All in the arena. ERR_NOT_FOUND (no
 * such image), ERR_INVALID and ERR_TOO_LARGE (the image's fault), with `error` in words;
 * ERR_NO_SPACE, ERR_IO, ERR_BUSY, ERR_TIMEOUT. After an error nothing is pinned.
 */
must_use int image_find(struct code_store *store, struct arena *a, const char *folder, str uri,
	str architecture, int64_t deadline, struct image_found *ret_found,
	struct sandbox_error *error) mayyield;
void image_unpin(struct code_store *store, struct image_found *found);

#endif
