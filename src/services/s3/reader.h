/*
 * A body on its way out. A reader holds what it was opened on: an open file, the bytes of a small
 * body, or a pin on an object of many files, which keeps whoever overwrites or deletes the object
 * from removing its files before the last reader has gone.
 *
 * A reader belongs to the fiber that opened it.
 */
#ifndef SERVICES_S3_READER_H
#define SERVICES_S3_READER_H

#include "services/s3/service.h"

struct s3_reader;

/*
 * 1, the object in the arena, and a reader at its beginning; 0: there is no such object. Looks
 * again when the object was replaced in between.
 */
must_use int s3_reader_open(struct s3 *s3, struct arena *a, uint64_t bucket, str key,
	struct s3_object *ret_object, struct s3_reader **ret_reader) mayyield;
/* At most n bytes: how many, 0 at the end. ERR_CORRUPT when a file is shorter than it was. */
must_use int s3_reader_read(struct s3_reader *reader, void *to, size_t n) mayyield;
void s3_reader_seek(struct s3_reader *reader, uint64_t offset);
void s3_reader_close(struct s3_reader *reader) mayyield; /* NULL is fine */
void s3_reader_close_p(struct s3_reader **reader) mayyield;

/* Removes the files of an object that no record names any more, now or after its last reader. */
void s3_segments_remove(struct s3 *s3, const struct s3_segment *segments, uint32_t count) mayyield;

#endif
