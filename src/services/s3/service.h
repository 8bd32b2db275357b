/*
 * The S3 service inside: its state, its faults, what the operations share.
 *
 *     service.c    rows, actions, condition keys, life
 *     names.c      rules for names (pure)          condition.c  If-Match ..., Range (pure)
 *     bucket.c     buckets                         list.c       listings of objects
 *     put.c        PutObject, DeleteObject(s)      copy.c       CopyObject, UploadPartCopy
 *     get.c        GetObject, HeadObject           multipart.c  uploads and their parts
 *     headers.c    members of requests and answers integrity.c  what a client says of a body
 *     sink.c       a body on its way in            reader.c     and out
 *     port.c       ports/objects.h
 */
#ifndef SERVICES_S3_SERVICE_H
#define SERVICES_S3_SERVICE_H

#include "aws/gate.h"
#include "aws/ports/objects.h"
#include "base/crc.h"
#include "base/hash.h"
#include "base/list.h"
#include "rt/rt.h"
#include "services/s3/s3.h"
#include "services/s3/store.h"

#include <pthread.h>

enum s3_fault {
#define FAULT(id, ...) S3_##id,
#include "services/s3/faults.def"
#undef FAULT
};
extern const struct fault_kind s3_faults[];

enum s3_limit {
#define LIMIT(id, value) S3_LIMIT_##id = (value),
#include "services/s3/limits.def"
#undef LIMIT
};

#define S3_MAGIC 0x73336363u

struct s3 {
	uint32_t magic;
	struct rt *rt;
	struct kv *kv;
	struct blob_store *blobs;
	struct crc_tables crc;
	uint64_t run; /* random, another one at each start */
	struct service service;
	struct port_objects port;
	/* Objects of many files that are being read (reader.h). Held for moments, never over a
	 * suspension; no other lock is taken under it. */
	pthread_mutex_t pins_lock;
	struct list pins;
	/* The sweep; loop 0 only. */
	struct rt_fiber *sweeper;
	uint64_t sweeper_id;
	struct rt_waitq sweeper_ended;
};

static inline struct s3 *s3_self(const struct call *c)
{
	return c->self;
}

#define s3_fault(c, id, ...) call_fault((c), &s3_faults[S3_##id], __VA_ARGS__)

/* An element that the fault has more: `return s3_detail(c, s3_fault(...), STR("Key"), key)`. */
static inline int s3_detail(struct call *c, int rc, str name, str text)
{
	fault_detail(&c->fault, name, text);
	return rc;
}
int s3_detail_int(struct call *c, int rc, str name, int64_t number);
/* InvalidArgument, with the argument's name on the wire and its value. */
int s3_invalid_argument(struct call *c, const char *message, str name, str value);
/* The macro tells the compiler that the result is always ERR_FAULT. */
#define s3_invalid_argument(...) (s3_invalid_argument(__VA_ARGS__), ERR_FAULT)

/* BadDigest of Content-MD5: what the client said, what came. */
int s3_bad_md5(
	struct call *c, const uint8_t expected[MD5_BYTES], const uint8_t calculated[MD5_BYTES]);
/* NoSuchBucket and InvalidBucketName. */
must_use int s3_no_such_bucket(struct call *c, str name);
must_use int s3_bad_bucket_name(struct call *c, str name);

static inline str s3_bucket_of(const struct call *c)
{
	return value_str(c->in, "Bucket");
}

static inline str s3_key_of(const struct call *c)
{
	return value_str(c->in, "Key");
}

/* ---- names.c, pure ---- */

/* https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
bool s3_bucket_name_valid(str name);
/* The canonical user id of an account: 64 hexadecimal digits, in the arena. */
str s3_owner_id(struct arena *a, str account);
str s3_arn(struct arena *a, str bucket, str key);

/* ---- service.c ---- */

/*
 * The bucket of that name, if it is the caller's: 0; ERR_FAULT: NoSuchBucket, AccessDenied (of
 * another account, or not `expected_owner`'s), OperationAborted while it is being deleted.
 */
must_use int s3_bucket_find(
	struct call *c, str name, str expected_owner, struct s3_bucket *ret) mayyield;
/* The same in a transaction, which fails when the bucket has gone or is going by its commit. */
must_use int s3_bucket_hold(
	struct call *c, struct kv_txn *txn, str name, const struct s3_bucket *bucket) mayyield;
must_use int s3_key_check(struct call *c, str key);
/* NoSuchKey, or AccessDenied for who may not list the bucket. */
must_use int s3_no_such_key(struct call *c, str bucket, str key) mayyield;
/* Errors of disks and pools on the way of a body: the fault that fits, or the code as it is. */
must_use int s3_body_error(struct call *c, int rc);

/* ---- headers.c ---- */

/*
 * Refuses every member of the input that is present and not in the list (which ends with NULL);
 * Bucket, Key, ExpectedBucketOwner and RequestPayer need not be in it.
 */
must_use int s3_members_check(struct call *c, const char *const *supported);
/* The members that describe an object; checks what has only one value here (storage class, ACL). */
must_use int s3_headers_read(struct call *c, struct s3_headers *ret);
/* May the value stand in a header of an answer? */
must_use int s3_header_check(struct call *c, str value);
/* The members of GetObject's and HeadObject's answers. */
void s3_headers_write(struct call *c, const struct s3_object *o);
str s3_quoted(struct arena *a, str etag);
/* A checksum and its type as members of `to`, a structure that has them. */
void s3_checksum_write(struct value *to, const struct s3_checksum *sum);

/* ---- integrity.c: what a client says of a body ---- */

struct s3_integrity {
	bool has_md5;
	uint8_t md5[MD5_BYTES];
	enum s3_algorithm algorithm; /* CRC64NVME when nothing is said, as S3 has it */
	bool given;                  /* the client has named it */
	str value;                   /* of the header; STR_NULL: in the trailer, or not given */
	bool in_trailer;
};
/* From the input's members; ERR_FAULT for what is malformed or said twice. */
must_use int s3_integrity_read(struct call *c, struct s3_integrity *ret);
/* The Content-MD5 of a small body that the gate has read, if there is one. */
must_use int s3_document_check(struct call *c);

#endif
