/*
 * One signing job's work: an archive is read from a bucket and written, sealed, into another.
 */
#ifndef SERVICES_SIGNER_SIGN_H
#define SERVICES_SIGNER_SIGN_H

#include "aws/ports/objects.h"
#include "services/signer/store.h"

struct sign_request {
	struct signer *signer;
	struct arena *arena;
	const struct signer_job *job;
	const struct signer_profile *profile;
	const struct principal *as;
	/* Why it failed, after ERR_FAULT; in the arena. */
	str why;
};

/* Key of the object that a job writes. */
str sign_object_key(struct arena *a, const struct signer_job *job);
/*
 * Reads the source once, in parts, and writes what it makes of it: 0 when the object is durable.
 * ERR_FAULT: the job fails, r->why says why. Others may pass: tried again, it does all of it anew.
 */
must_use int signer_sign(struct sign_request *r) mayyield;

#endif
