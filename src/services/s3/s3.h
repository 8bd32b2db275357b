/*
 * S3: buckets and objects. A first part of it: no versions, ACLs, bucket policies, lifecycle,
 * notifications, tags; each answers NotImplemented by its own name.
 *
 *     s3_service_new(&options, &s3);        before rt_run(); sets ports->objects
 *     gate_register(gate, s3_service_rows(s3));
 *     s3_service_start(s3, kv);             in a fiber of loop 0, before the first request
 *     s3_service_stop(s3);                  in a fiber of loop 0
 *     s3_service_free(s3);                  after rt_run()
 *
 * Records are in the key-value store (store.h), bodies larger than 16 KiB in files (blob/blob.h).
 * One endpoint serves the buckets of all regions; a bucket's name is unique in the server.
 *
 * Threading: one object, used by the fibers of every loop; its state is in the store, but for the
 * table of readers (reader.h).
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html
 */
#ifndef SERVICES_S3_S3_H
#define SERVICES_S3_S3_H

#include "base/str.h"

#include <stdbool.h>

struct kv;
struct ports;
struct rt;
struct s3;
struct service;

struct s3_options {
	struct rt *rt;
	struct ports *ports;     /* ports->objects is set */
	const char *data_folder; /* absolute; bodies are in its folder "blob" */
	bool unsynced;           /* bodies need not survive a power cut */
};

must_use int s3_service_new(const struct s3_options *options, struct s3 **ret_s3);
/* The store from now on; begins to remove what a crash has left. */
must_use mayyield int s3_service_start(struct s3 *s3, struct kv *kv);
/* Ends the sweep. Nobody has a reader or writer open any more. NULL is fine. */
mayyield void s3_service_stop(struct s3 *s3);
/* After rt_run(). NULL is fine. */
void s3_service_free(struct s3 *s3);
const struct service *s3_service_rows(const struct s3 *s3);

#endif
