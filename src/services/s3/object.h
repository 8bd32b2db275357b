/*
 * Writing and deleting objects: what PutObject, CopyObject, CompleteMultipartUpload and the objects
 * port have in common.
 */
#ifndef SERVICES_S3_OBJECT_H
#define SERVICES_S3_OBJECT_H

#include "services/s3/service.h"

struct s3_body;

/* Of a write: STR_NULL members are not asked. */
struct s3_write_conditions {
	str if_match, if_none_match;
};
/* From the input; ERR_FAULT for what S3 does not take (If-None-Match other than "*"). */
must_use int s3_write_conditions_read(struct call *c, struct s3_write_conditions *ret);

struct s3_write {
	str bucket_name, key;
	struct s3_bucket bucket;
	struct s3_write_conditions conditions;
	struct s3_object object; /* `time` is filled in */
	str small;               /* of its segment, when that is in the store */
	/* Of CompleteMultipartUpload, else STR_NULL: ends this upload in the same transaction. Its
	 * parts' blobs become the object's; those that are not used are forgotten. */
	str upload_key, upload_id;
};

/*
 * Makes it the object, durably: 0. ERR_FAULT: a condition failed, the bucket or the upload has
 * gone; the body is then nobody's, the caller drops it. Other errors: it may have been written.
 */
must_use int s3_object_write(struct call *c, struct s3_write *w) mayyield;
/* After s3_object_write() failed with rc: is the body surely not an object? */
static inline bool s3_write_undone(int rc)
{
	return rc == ERR_FAULT || rc == ERR_CONFLICT || rc == ERR_BUSY || rc == ERR_TIMEOUT;
}

/*
 * An object of one body: fills in what follows from it and writes. Of a body that surely is no
 * object nothing is left.
 */
must_use int s3_object_write_body(
	struct call *c, struct s3_write *w, struct s3_body *body) mayyield;

/* Deletes it if it is there. `if_match` STR_NULL: whatever it is. */
must_use int s3_object_delete(struct call *c, str bucket_name, const struct s3_bucket *bucket,
	str key, str if_match) mayyield;

#endif
