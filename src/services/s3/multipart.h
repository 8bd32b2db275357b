/*
 * What the files of multipart uploads share.
 */
#ifndef SERVICES_S3_MULTIPART_H
#define SERVICES_S3_MULTIPART_H

#include "services/s3/service.h"
#include "services/s3/sink.h"

/* The upload that the request names: 0, with its key and id in the arena; ERR_FAULT NoSuchUpload.
 */
must_use int s3_upload_find(struct call *c, const struct s3_bucket *bucket,
	struct s3_upload *ret_upload, str *ret_key, str *ret_id) mayyield;
must_use int s3_no_such_upload(struct call *c);
#define S3_INVALID_PART_TEXT                                                        \
	"One or more of the specified parts could not be found.  The part may not " \
	"have been uploaded, or the specified entity tag may not match the part's " \
	"entity tag."
/* As clients see it: hexadecimal. */
str s3_upload_id_text(struct arena *a, str id);

/* Commits a part, replacing an earlier one of its number; drops the body when it cannot. */
must_use int s3_part_write(struct call *c, str bucket_name, const struct s3_bucket *bucket,
	str upload_key, str upload_id, unsigned number, const struct s3_body *body,
	struct s3_part *ret_part) mayyield;

must_use int s3_part_number_check(struct call *c, int64_t number);

/* Ends all uploads of a bucket that goes. */
must_use int s3_uploads_drop(struct call *c, const struct s3_bucket *bucket) mayyield;

#endif
