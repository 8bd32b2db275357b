/*
 * Reading and writing the bodies of objects in buckets, in process: a function's code, a bulk put's
 * input and report, destinations, later exports and imports. Provided by s3.
 *
 * An address names a bucket of the caller's account unless the bucket's policy lets the caller in;
 * every call is made as a principal, whose policies are asked ("s3:GetObject" ...) as the same
 * operation over HTTP would. What S3 refuses comes back as ERR_FAULT with S3's own code and
 * message in *ret_fault ("NoSuchBucket", "NoSuchKey", "AccessDenied", "InvalidObjectState"), which
 * the caller words into its own error.
 *
 * A reader holds what it was opened on: the object may be overwritten or deleted meanwhile, and the
 * bytes stay those of `info`. Nothing of a writer is seen before its end: then the object is
 * durable and whole. Readers and writers belong to the loop that opened them; all functions may
 * suspend and are called in a fiber.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
 */
#ifndef AWS_PORTS_OBJECTS_H
#define AWS_PORTS_OBJECTS_H

#include "aws/fault.h"
#include "aws/principal.h"
#include "base/arena.h"

struct object_reader;
struct object_writer;

/* Who asks, and for what. Borrowed for the call. */
struct object_address {
	const struct principal *as; /* whose policies are asked; its account is the caller's */
	str region;                 /* of the caller */
	str expected_owner;         /* account that has to own the bucket; STR_NULL: any */
	str bucket, key;
	str version; /* STR_NULL: the current one */
};

struct object_info {
	uint64_t bytes;
	str etag;         /* without quotation marks */
	str version;      /* STR_NULL: the bucket keeps none */
	str content_type; /* STR_NULL: was not given */
	str content_encoding;
	int64_t modified_ms; /* since 1970 */
};

struct object_entry {
	str key, etag;
	uint64_t bytes;
	int64_t modified_ms;
};

/* What is written beside the body. */
struct object_put {
	str content_type;
	str sse, kms_key_id; /* "AES256", "aws:kms"; STR_NULL: the bucket's default */
};

struct port_objects {
	void *self;
	/* 0; ERR_FAULT with *ret_fault. The strings of *ret_info are in the arena. */
	int (*open)(void *self, struct arena *a, const struct object_address *address,
		struct object_info *ret_info, struct object_reader **ret_reader,
		struct fault *ret_fault) mayyield;
	/*
	 * The next bytes of the body, at most `n`, into `to`: how many; 0 at its end; ERR_IO and
	 * others of the disk.
	 */
	int (*read)(struct object_reader *reader, void *to, size_t n) mayyield;
	/* From there on (at most the object's size). */
	void (*seek)(struct object_reader *reader, uint64_t offset);
	/* NULL is accepted. */
	void (*close)(struct object_reader *reader);
	/*
	 * Objects below a prefix in the order of their keys' bytes, behind `after` (STR_NULL: from
	 * the first), at most `max` of them: how many, fewer only at the end. ERR_FAULT as above.
	 * `address->key` is the prefix. Asks for "s3:ListBucket".
	 */
	int (*list)(void *self, struct arena *a, const struct object_address *address, str after,
		size_t max, struct object_entry **ret_entries, struct fault *ret_fault) mayyield;
	/* Begins an object; asks for "s3:PutObject". 0; ERR_FAULT. */
	int (*create)(void *self, struct arena *a, const struct object_address *address,
		const struct object_put *put, struct object_writer **ret_writer,
		struct fault *ret_fault) mayyield;
	/* 0; ERR_TOO_LARGE (5 GiB), ERR_IO and others of the disk: the writer is then of no use. */
	int (*write)(struct object_writer *writer, str bytes) mayyield;
	/* Makes it the object, durably; ends the writer in any case. */
	int (*finish)(struct object_writer *writer, struct arena *a, struct object_info *ret_info,
		struct fault *ret_fault) mayyield;
	/* Ends a writer without an object. NULL is accepted. */
	void (*abandon)(struct object_writer *writer);
};

#endif
