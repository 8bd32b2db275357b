/*
 * IAM: roles, users, managed and inline policies, access keys; who owns a key and what it may
 * (the identity port); temporary credentials for STS and for functions.
 *
 * The server owns it:
 *
 *     iam_service_new(rt, &options, ports, &iam);      before rt_run()
 *     gate_register(gate, iam_service(iam));
 *     iam_service_start(iam, kv);                      in a fiber, before the first request
 *     iam_root_key_ensure(iam, a, account, &key);      strict mode
 *     iam_service_free(iam);                           after rt_run()
 *
 * Threading: one object, used by the fibers of every loop. All state is in the store; what a loop
 * keeps in memory is immutable and checked against one counter, which every change raises (see
 * cache.h).
 *
 * Source: https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html
 */
#ifndef SERVICES_IAM_IAM_H
#define SERVICES_IAM_IAM_H

#include "aws/gate.h"

struct iam;
struct kv;
struct rt;

struct iam_options {
	/*
	 * How long a loop may go on using what it has in memory although another server on the same
	 * store may have changed it. 0: for ever, right when this is the store's only server.
	 */
	int64_t cache_ms_max;
	/* Milliseconds since 1970, so that tests own time. NULL: rt's clock. */
	int64_t (*wall_ms)(void);
};

/*
 * Makes the service and sets ports->identity. No I/O. `rt` NULL: no loops (tests without a
 * runtime); then one thread uses it. `options` NULL: defaults. Never fails.
 */
struct iam *iam_service_new(struct rt *rt, const struct iam_options *options, struct ports *ports);
/* After rt_run() has returned; also frees what loops keep. NULL is fine. */
void iam_service_free(struct iam *iam);
const struct service *iam_service(const struct iam *iam);
/*
 * Reads, or makes at the first start, the secret that access key ids are marked with. 0 or an error
 * of the store. Until then every look-up of the port answers ERR_CLOSED.
 */
must_use int iam_service_start(struct iam *iam, struct kv *kv) mayyield;

struct iam_root_key {
	str access_key, secret; /* in the arena */
};
/*
 * The root key of an account: 1 when it was made now, 0 when there was one. Never two at a time,
 * whoever asks at the same time.
 */
must_use int iam_root_key_ensure(
	struct iam *iam, struct arena *a, str account, struct iam_root_key *ret_key) mayyield;

/*
 * Deletes temporary credentials that ended more than an hour before `now_ms`, at most a thousand:
 * the number deleted, or an error. iam_sweep_run() does it every minute until it is cancelled: the
 * body of a fiber (arg: the struct iam), for rt_spawn() after the start.
 */
must_use int iam_sweep(struct iam *iam, int64_t now_ms) mayyield;
void iam_sweep_run(void *arg) mayyield;

#endif
