/*
 * Where S3's records are.
 *
 *     [S3_BUCKETS] name                          a bucket
 *     [S3_OWNED] account name                    nothing: whose it is
 *     [S3_OBJECTS] bucket-id key                 an object; the key's bytes as they are, last
 *     [S3_BLOBS] blob-id                         0: the file of that id is known; 1 and a small
 *                                                body's bytes
 *     [S3_UPLOADS] bucket-id key upload-id       an upload
 *     [S3_PARTS] upload-id number                a part of it
 *
 * An object's blobs are written and removed only in transactions that declare the object's key,
 * an upload's parts and their blobs in those that declare the upload's ("covered" writes).
 */
#ifndef SERVICES_S3_STORE_H
#define SERVICES_S3_STORE_H

#include "aws/keyspace.h"
#include "kv/kv.h"
#include "services/s3/record.h"

enum { S3_UPLOAD_ID_BYTES = 24 }; /* the time in ms, and 16 random bytes */

/* All in the arena. */
str s3_key_bucket(struct arena *a, str name);
str s3_key_owned(struct arena *a, str account, str name); /* name STR_NULL: the prefix */
str s3_key_object(struct arena *a, uint64_t bucket, str key);
str s3_key_blob(struct arena *a, struct blob_id id);
/* key STR_NULL: the prefix of all of the bucket; id STR_NULL: of all of the key. */
str s3_key_upload(struct arena *a, uint64_t bucket, str key, str id);
str s3_key_part(struct arena *a, str upload, unsigned number);
str s3_key_parts(struct arena *a, str upload);

/* 1 and the record, 0, or an error. */
must_use int s3_object_load(
	struct kv *kv, struct arena *a, uint64_t bucket, str key, struct s3_object *ret) mayyield;
must_use int s3_object_load_txn(
	struct kv_txn *txn, struct arena *a, str at, struct s3_object *ret) mayyield;

/* ---- bodies in a transaction ---- */

/* Makes a body known; `small` are its bytes when the segment is in the store. */
void s3_blob_put(struct kv_txn *txn, struct arena *a, const struct s3_segment *s, str small);
void s3_blobs_forget(
	struct kv_txn *txn, struct arena *a, const struct s3_segment *segments, uint32_t count);

#endif
