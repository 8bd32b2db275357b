/*
 * Archives that come with a request or lie in a bucket: functions' code and layers' content.
 */
#ifndef SERVICES_LAMBDA_UPLOAD_H
#define SERVICES_LAMBDA_UPLOAD_H

#include "aws/gate.h"
#include "aws/ports/signatures.h"
#include "services/lambda/code.h"
#include "services/lambda/function.h"
#include "services/lambda/image_files.h"

/* An archive that was stored. */
struct uploaded {
	struct code_info info;
	struct code_pin *pin; /* the caller's */
	struct signature signature;
};
/*
 * Stores and unpacks the ZipFile of a structure (the input itself, its Code or Content), or the
 * object that its S3Bucket, S3Key and S3ObjectVersion name, which is read as the caller. As the
 * code of a function (NULL: of a layer) it is held to the function's code signing configuration
 * before it is unpacked. 0, or ERR_FAULT for what is wrong with it.
 */
must_use int upload_zip(struct call *c, const struct value *from, const struct function *f,
	struct uploaded *ret_uploaded) mayyield;
/*
 * Finds a container image and makes it the function's code; f->architecture is set. Its layers are
 * pinned by *ret_found, which is the caller's, whatever the result, if it was all zero. 0, or
 * ERR_FAULT.
 */
must_use int upload_image(
	struct call *c, str uri, struct function *f, struct image_found *ret_found) mayyield;
/* Code and layers unpacked: not more than AWS allows together. 0 or ERR_FAULT. */
must_use int upload_check_size(struct call *c, const struct function *f) mayyield;

#endif
