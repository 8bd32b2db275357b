/*
 * Signer: profiles, whose keys sign, and jobs, which sign zip archives in buckets; for Lambda's
 * code signing (platform AWSLambda-SHA384-ECDSA). Provides the signatures port, through which
 * Lambda asks who signed an archive.
 *
 *     signer_service_new() before rt_run(); gate_register() with signer_service_rows();
 *     signer_service_start() in a fiber of loop 0 once store and ports->objects are there;
 *     signer_service_stop() in a fiber of loop 0, before the store and s3 end;
 *     signer_service_free() after rt_run().
 *
 * Threading: operations run on every loop. One fiber on loop 0 works on jobs, one after another;
 * digests, keys and signatures are made on a pool of its own.
 * https://docs.aws.amazon.com/signer/latest/api/Welcome.html
 */
#ifndef SERVICES_SIGNER_SIGNER_H
#define SERVICES_SIGNER_SIGNER_H

#include "base/rc.h"

struct kv;
struct ports;
struct rt;
struct service;
struct signer;

struct signer_options {
	struct rt *rt;
	struct ports *ports; /* ports->signatures is set */
};

must_use int signer_service_new(const struct signer_options *options, struct signer **ret_signer);
/* Goes on with jobs that are not through. */
must_use mayyield int signer_service_start(struct signer *signer, struct kv *kv);
/* Ends the worker; what it was at is done at the next start. NULL is fine. */
mayyield void signer_service_stop(struct signer *signer);
void signer_service_free(struct signer *signer);
/* For gate_register(). Lives as long as the service. */
const struct service *signer_service_rows(const struct signer *signer);

#endif
