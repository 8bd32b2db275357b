/*
 * DynamoDB behind a gate on the memory store, in one simulated thread: requests as clients send
 * them, exact answers.
 */
#ifndef TEST_SERVICES_DYNAMODB_WIRE_H
#define TEST_SERVICES_DYNAMODB_WIRE_H

#include "aws/gate.h"
#include "rt/rt.h"
#include "test/test.h"

struct kv;
struct dynamodb;
struct twin_objects;

struct ddb {
	struct rt *rt;
	struct kv *kv; /* a fault twin without faults around the memory store */
	struct ports ports;
	struct twin_objects *objects; /* to be ports.objects where there are to be buckets */
	struct gate *gate;
	struct dynamodb *dynamodb;
	const struct gate_trust *trust;        /* NULL: everything is allowed */
	str content_encoding, accept_encoding; /* headers of requests; empty: none */
	void *arg;
};

struct ddb_answer {
	unsigned status;
	str body; /* in the arena of the call */
	bool crc_is_right;
	bool packed; /* Content-Encoding: gzip */
};

/* Runs `fn` in a fiber of a new world; `arg` is w->arg. */
void ddb_run(uint64_t seed, void (*fn)(struct ddb *w), void *arg);
/* The same with throughput limited as AWS does it. */
void ddb_run_throttled(uint64_t seed, void (*fn)(struct ddb *w), void *arg);

/* One request of key "test", from account 000000000000 in us-east-1. Suspends. */
struct ddb_answer ddb_send(struct ddb *w, struct arena *a, str operation, str body);
/* As above; the answer has to be `status`. */
str ddb_expect(struct ddb *w, struct arena *a, unsigned status, const char *operation, str body);

/*
 * Runs a file of cases:
 *
 *     ### what it shows             begins with a new, empty server
 *     > PutItem {"TableName":...}   a request
 *     >1..30 PutItem {...}          many of them, each answered with 200; $i is the number, $I has
 *                                   three digits
 *     < 200 {}                      the answer: status and JSON; order of keys does not count
 *     = name Streams.0.StreamArn   keeps a text of the answer, for $<name> in what follows
 *     ~ 1000                        that many milliseconds pass
 *     ! bucket/key text             an object, "\n" in it is a line's end; from the first such
 *                                   line on there are buckets
 *     @ {"Statement":[...]}         from now on as user alice with that policy; "@" alone: as root
 *     # comment
 *
 * "(throttle=aws)" in a title limits throughput (throttle.h). Operations of dynamodbstreams are
 * written Streams.ListStreams.
 *
 * $(x*1000) stands for a thousand x, in requests and answers; the string "*" in an answer for any
 * value. Fails when there are fewer than `cases_min` answers. UPDATE=1 in the environment prints
 * the file with the answers that came.
 */
void ddb_file(const char *path, unsigned cases_min);

/*
 * The same on a PostgreSQL server (test/kv/postgres_server.h), in real time: groups in
 * which more than a few seconds pass, or whose throughput is limited, are left out. Returns how
 * many answers there were.
 */
unsigned ddb_file_on(const char *path, const char *conninfo);

/*
 * Runs one group of cases ("### ..." to the next) with a member left out of the request in `line`;
 * `line_before` is the number of the line before the group. True when an answer is another one.
 * Members are written as paths: "TransactItems[].Put.Item", "RequestItems{}.Keys"; "*.S" is the
 * first S in any depth.
 */
bool ddb_depends_on(const char *path, str cases, int line_before, int line, str member);
/* Removes what the path names; how many there were. */
struct json_value;
size_t ddb_leave_out(struct json_value *v, str member);

#endif
