/*
 * Records and keys of signer.
 *
 *     SIGNER account region "profile" name      struct signer_profile
 *     SIGNER account region "job" id            struct signer_job, of its owner
 *     SIGNER account region "jobs" ~ms id       its owner: in the lists of owner and invoker
 *     SIGNER account region "owner" id          the owner of a job that the account has started
 *     SIGNER account region "token" token       owner and id of the job it has started
 *     SIGNER account region "count"             how many jobs there are, and how many are open
 *     SIGNER "open" ms id                       the job's key: jobs that are not through, in order
 *
 * What clients see of a profile or job is stored as the output of GetSigningProfile and
 * DescribeSigningJob; what they do not see stands in front of it. A profile has one version, made
 * with it. Private to this folder.
 */
#ifndef SERVICES_SIGNER_STORE_H
#define SERVICES_SIGNER_STORE_H

#include "aws/principal_note.h"
#include "services/signer/service.h"

struct signer_profile {
	str account, region, name; /* of its key */
	str key;                   /* private, PKCS #8 */
	int64_t created_ms;
	struct value *shown;       /* GetSigningProfileResponse */
	struct value *permissions; /* ListProfilePermissionsResponse */
};

struct signer_job {
	str account, region, id; /* of its key; the account is the owner's */
	struct principal_note as;
	uint32_t attempts;
	str etag;              /* of the source, when it was started */
	struct value *request; /* StartSigningJobRequest */
	struct value *shown;   /* DescribeSigningJobResponse */
};

struct signer_count {
	uint64_t jobs, open;
};

/* ---- ARNs ---- */

str signer_profile_arn(struct arena *a, str account, str region, str name);
str signer_version_arn(struct arena *a, const struct signer_profile *p);
str signer_job_arn(struct arena *a, str account, str region, str id);
struct signer_arn {
	str account, region;
	str profile, version; /* of a profile, and of its version; STR_NULL: none */
	str job;              /* of a job; STR_NULL */
};
/* False: it is none of signer's. */
bool signer_arn_parse(str arn, struct signer_arn *ret_arn);

/* ---- keys ---- */

str signer_key(struct arena *a, str account, str region, const char *what, str name);
/* All that begin so, for scans. */
str signer_prefix(struct arena *a, str account, str region, const char *what);
str signer_list_key(struct arena *a, str account, str region, int64_t ms, str id);
str signer_open_key(struct arena *a, int64_t ms, str id);
str signer_open_prefix(struct arena *a);

/* ---- records ---- */

str signer_profile_encode(struct arena *a, const struct signer_profile *p);
must_use int signer_profile_decode(
	struct arena *a, str account, str region, str record, struct signer_profile *ret_profile);
str signer_job_encode(struct arena *a, const struct signer_job *j);
must_use int signer_job_decode(
	struct arena *a, str account, str region, str record, struct signer_job *ret_job);

/* 1 and the profile or job, or 0. In `txn`, or NULL: as it is now. */
must_use int signer_profile_load(struct signer *s, struct kv_txn *txn, struct arena *a, str account,
	str region, str name, struct signer_profile *ret_profile) mayyield;
must_use int signer_job_load(struct signer *s, struct kv_txn *txn, struct arena *a, str account,
	str region, str id, struct signer_job *ret_job) mayyield;
must_use int signer_count_load(
	struct kv_txn *txn, struct arena *a, str key, struct signer_count *ret_count) mayyield;
str signer_count_encode(struct arena *a, const struct signer_count *count);

bool signer_profile_is_active(const struct signer_profile *p);
/* Is a signature of then revoked with its profile? */
bool signer_profile_revoked_at(const struct signer_profile *p, int64_t signed_ms);
bool signer_job_is_revoked(const struct signer_job *j);
str signer_uuid(struct arena *a);

/*
 * Changes a profile of the call's account: `change` is called in the transaction, on the profile
 * as it is; 0: it is written, < 0. ERR_FAULT (ResourceNotFoundException) without it.
 */
typedef int signer_profile_change_fn(struct call *c, struct signer_profile *p, void *arg);
must_use int signer_profile_change(struct call *c, str account, str name,
	signer_profile_change_fn *change, void *arg) mayyield;
/* ERR_FAULT, that there is none. */
int signer_profile_missing(struct call *c, str account, str name);

#endif
