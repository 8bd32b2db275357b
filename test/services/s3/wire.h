/*
 * S3 behind a gate on the memory store and files of a test's folder, in one simulated thread.
 */
#ifndef TEST_SERVICES_S3_WIRE_H
#define TEST_SERVICES_S3_WIRE_H

#include "aws/gate.h"
#include "rt/rt.h"
#include "test/test.h"

struct kv;
struct s3;

struct s3_world {
	struct rt *rt;
	struct kv *kv; /* a fault twin around the memory store */
	struct ports ports;
	struct gate *gate;
	struct s3 *s3;
	const char *folder; /* bodies are in <folder>/blob */
	void (*fn)(struct s3_world *w);
	const char *path; /* of a file of cases */
};

/* Runs `fn` in a fiber of a new world. */
void s3_run(uint64_t seed, void (*fn)(struct s3_world *w));

struct s3_answer {
	unsigned status;
	str body;
	const struct http_header *headers;
	unsigned header_count;
};

/*
 * One request of key "test" (or another 12-digit account's): `line` is "PUT /bucket/key?x", more
 * headers as "name: value" separated by '|'. Suspends.
 */
struct s3_answer s3_send(
	struct s3_world *w, struct arena *a, str key, str line, str headers, str body);
/* Files below <folder>/blob. */
unsigned s3_files(const struct s3_world *w);

/*
 * A file of cases:
 *
 *     ### what it shows                       begins with a new, empty server
 *     > PUT /bucket/key?x | name: value       a request
 *     . body                                  its body (several lines are joined by line feeds)
 *     < 200 | name: value | name: %*          status, and headers that the answer has ("-": not)
 *     . body                                  exactly; "%*" matches anything up to what follows
 *     ~ 1000                                  that many milliseconds pass
 *     = name <UploadId>                       keeps what stands behind the tag, for $<name>
 *     @ 111111111111                          the key of the requests that follow
 *
 * $(x*1000) in a request stands for a thousand x. Fails when there are fewer than `min` answers.
 * UPDATE=1 in the environment prints the answers that came.
 */
void s3_cases(const char *path, unsigned min);

#endif
