/*
 * A body on its way in: gathered in a buffer, and when it is larger than what the store keeps,
 * written to a file, hashed on the pool that writes it. Never more than one buffer in memory.
 *
 *     s3_sink_init(&sink, s3, algorithm);
 *     s3_sink_room(&sink, &to, &n)      room for the next bytes; flushes when there is none
 *     s3_sink_added(&sink, got)
 *     s3_sink_finish(&sink, a, &body)   durable as a file, known to nobody yet
 *     s3_sink_done_p(&sink)             cleanup(): in any case
 *
 * A body that is not committed is dropped with s3_body_drop().
 */
#ifndef SERVICES_S3_SINK_H
#define SERVICES_S3_SINK_H

#include "services/s3/checksum.h"
#include "services/s3/service.h"

struct s3_sink {
	struct s3 *s3;
	struct s3_hasher hasher;
	struct blob_writer *writer; /* NULL: everything is in the buffer */
	char *p;
	size_t n, capacity;
	uint64_t bytes; /* in all */
};

struct s3_body {
	struct s3_segment segment;
	str small; /* in the arena, when the segment is in the store */
	uint8_t md5[MD5_BYTES], sum[S3_SUM_BYTES_MAX];
	enum s3_algorithm algorithm;
};

void s3_sink_init(struct s3_sink *sink, struct s3 *s3, enum s3_algorithm algorithm);
/* At least one byte of room. ERR_TOO_LARGE beyond 5 GiB, and the errors of blob_write(). */
must_use int s3_sink_room(struct s3_sink *sink, char **ret_to, size_t *ret_n) mayyield;
void s3_sink_added(struct s3_sink *sink, size_t n);
must_use int s3_sink_finish(struct s3_sink *sink, struct arena *a, struct s3_body *ret) mayyield;
void s3_sink_done_p(struct s3_sink *sink) mayyield;

void s3_body_drop(struct s3 *s3, const struct s3_body *body) mayyield;
/* The whole body of a request, checked against what the client says of it. */
must_use int s3_body_receive(
	struct call *c, const struct s3_integrity *integrity, struct s3_body *ret) mayyield;
/* Its MD5 in hexadecimal; its checksum as it is stored. In the arena. */
str s3_body_etag(struct arena *a, const struct s3_body *body);
struct s3_checksum s3_body_checksum(struct arena *a, const struct s3_body *body);

#endif
