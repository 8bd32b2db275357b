/*
 * Who signed an archive: what code signing asks before code is deployed. Provided by signer.
 *
 * What is said is about the bytes of the archive as they are: whoever unpacks it sees what was
 * signed, or the state is SIGNATURE_DAMAGED.
 * https://docs.aws.amazon.com/lambda/latest/dg/configuration-codesigning.html
 */
#ifndef AWS_PORTS_SIGNATURES_H
#define AWS_PORTS_SIGNATURES_H

#include "base/arena.h"
#include "base/rc.h"

enum signature_state {
	SIGNATURE_NONE,    /* it has no signature that we know the form of */
	SIGNATURE_UNKNOWN, /* it has one, of a profile or version that is not here */
	SIGNATURE_DAMAGED, /* it has one, and is not what was signed */
	SIGNATURE_REVOKED, /* the job, or the profile from a time before it on */
	SIGNATURE_EXPIRED,
	SIGNATURE_VALID
};

struct signature {
	enum signature_state state;
	/* By whose key it was signed, proven: of the last three states. In the arena. */
	str profile_version_arn, job_arn;
	int64_t expires_ms;
	const char *why; /* for logs: what is wrong with it; NULL: nothing */
};

struct port_signatures {
	void *self;
	/* `fd`: the archive's file, which nobody changes meanwhile. 0; ERR_IO and others. */
	int (*look)(void *self, struct arena *a, int fd, int64_t deadline,
		struct signature *ret_signature) mayyield;
};

#endif
