/*
 * The twin of the objects port: buckets in memory, for tests of whoever reads and writes objects.
 *
 * It keeps the contract of aws/ports/objects.h (a reader holds what it was opened on, nothing of a
 * writer is seen before its end) and does what a test wants to go wrong: calls take time, one in so
 * many of them fails, keys are denied, a reader gives a few bytes at a time.
 */
#ifndef TEST_AWS_OBJECTS_H
#define TEST_AWS_OBJECTS_H

#include "aws/ports/objects.h"

enum { TWIN_OBJECTS_MAX = 4096 };

struct twin_body; /* counted */

struct twin_object {
	str bucket, key;
	struct twin_body *body;
	uint64_t number; /* of the write that made it */
	str sse, kms_key_id, content_type;
};

struct twin_objects {
	struct port_objects port;
	struct twin_object objects[TWIN_OBJECTS_MAX]; /* by bucket and key */
	size_t count;
	uint64_t written;
	/* What is to go wrong. */
	int64_t delay_ms;    /* of each call, at most; 0: none suspends */
	unsigned fail_in;    /* this many calls of read, write and finish from now one is ERR_IO */
	unsigned fail_every; /* after that, one in so many again; 0: not */
	size_t read_max;     /* bytes of a read at most; 0: any */
	str denied;          /* keys that begin so are AccessDenied; STR_NULL: none */
	str locked_bucket;   /* takes no objects: AccessDenied */
	/* What was asked for. */
	unsigned opens, reads, lists, finishes, open_readers, open_writers;
	str last_principal, last_owner, last_version; /* of the last address; copies */
};

void twin_objects_init(struct twin_objects *t);
void twin_objects_done(struct twin_objects *t);
/* A bucket is there when it has an object; one without a key only makes the bucket. */
void twin_objects_put(struct twin_objects *t, const char *bucket, const char *key, str body);
/* STR_NULL: no such object. */
str twin_objects_get(const struct twin_objects *t, str bucket, str key);
/* The n-th object of the bucket whose key begins so, in the order of keys; NULL: fewer. */
const struct twin_object *twin_objects_at(
	const struct twin_objects *t, const char *bucket, const char *prefix, size_t n);
str twin_object_body(const struct twin_object *o);

#endif
