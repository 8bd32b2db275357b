/*
 * A gate with iam and sts on the memory store, and requests to it as clients send them: the query
 * protocol, signed. Answers are compared whole; what is random in them is replaced first.
 */
#ifndef TEST_SERVICES_IAM_WIRE_H
#define TEST_SERVICES_IAM_WIRE_H

#include "aws/gate.h"
#include "kv/kv.h"
#include "services/iam/iam.h"
#include "services/sts/sts.h"
#include "test/test.h"

enum { WIRE_KEYS_MAX = 64 };

/* A key that an answer gave out, under the name of its user or session. */
struct wire_key {
	str name, id, secret, token;
};

struct wire {
	struct arena arena; /* of everything that outlives a request */
	struct ports ports;
	struct gate *gate;
	struct kv *kv;
	struct iam *iam;
	struct sts *sts;
	struct wire_key keys[WIRE_KEYS_MAX];
	size_t key_count;
	str marker; /* of the last answer */
};

/* 2026-01-02T03:04:05Z plus what wire_clock_add() added. */
int64_t wire_clock_ms(void);
void wire_clock_add(int64_t ms);

/* Without a runtime, on a memory store of its own. */
void wire_init(struct wire *w, enum gate_auth auth);
/* With one: before rt_run(), and in a fiber with the store. */
void wire_new(struct wire *w, struct rt *rt, enum gate_auth auth);
void wire_start(struct wire *w, struct kv *kv);
/* A store that answers late and makes every third commit run again. */
struct kv *wire_slow_store(uint64_t seed);
void wire_done(struct wire *w);
const struct wire_key *wire_key(const struct wire *w, str name);
void wire_key_add(struct wire *w, str name, str id, str secret, str token);

struct wire_answer {
	unsigned status;
	str raw;  /* the body as it came */
	str text; /* its result alone, or "Code: message", with random parts replaced */
};

/*
 * `as`: "-" is an unknown key (root in open mode), else a name of wire_key(); "unsigned".
 * `parameters`: "Action=CreateRole&RoleName=r": values are plain and are encoded here. $TRUST and
 * the like stand for documents (test_wire.c); $key(name) for a key's id. sts is asked when the
 * parameters begin with "sts:".
 */
void wire_call(struct wire *w, struct arena *a, const char *as, const char *parameters,
	struct wire_answer *ret);
/* As above, and the status has to be that; returns the text, in w->arena. */
str wire_expect(struct wire *w, const char *as, const char *parameters, unsigned status);

#endif
