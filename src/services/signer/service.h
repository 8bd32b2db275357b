/*
 * What the files of signer share.
 */
#ifndef SERVICES_SIGNER_SERVICE_H
#define SERVICES_SIGNER_SERVICE_H

#include "aws/gate.h"
#include "aws/ports/signatures.h"
#include "base/check.h"
#include "kv/kv.h"
#include "rt/rt.h"
#include "services/signer/limits.h"
#include "services/signer/signer.h"

#define SIGNER_MAGIC 0x7369676eu

struct signer {
	uint32_t magic;
	struct signer_options options;
	struct service service;
	struct port_signatures port;
	struct kv *kv; /* set by the start */
	struct rt_pool *pool;
	_Atomic bool stopping;
	bool working;
	struct rt_event wanted; /* there is a new job */
	struct rt_event ended;  /* the worker has */
};

static inline struct signer *signer_self(struct call *c)
{
	return check_object(c->self, struct signer, SIGNER_MAGIC);
}

enum signer_fault {
#define FAULT(id, ...) SIGNER_##id,
#include "services/signer/faults.def"
#undef FAULT
};
extern const struct fault_kind signer_faults[];

#define SIGNER_FAULT(c, id, ...) call_fault((c), &signer_faults[SIGNER_##id], __VA_ARGS__)

operation_handler signer_put_profile, signer_get_profile, signer_cancel_profile,
	signer_list_profiles, signer_revoke_profile;                               /* profile.c */
operation_handler signer_list_platforms, signer_get_platform, signer_sign_payload; /* platform.c */
operation_handler signer_add_permission, signer_list_permissions,
	signer_remove_permission;                             /* permission.c */
operation_handler signer_tag, signer_untag, signer_list_tags; /* tags.c */
operation_handler signer_start_job, signer_describe_job, signer_list_jobs, signer_revoke_job,
	signer_revocation_status; /* job.c */

/* worker.c: as a fiber until the service stops. `arg`: struct signer. */
void signer_work(void *arg);
/* verify.c: of the port. */
int signer_look(void *self, struct arena *a, int fd, int64_t deadline,
	struct signature *ret_signature) mayyield;

/* ---- pages of lists: NextToken is the place behind the last entry, as text ---- */

struct signer_page {
	uint32_t max;
	str after; /* STR_NULL: from the first */
};
/* Reads maxResults and nextToken. ERR_FAULT. */
must_use int signer_page(struct call *c, struct signer_page *ret_page);
void signer_page_more(struct call *c, str last);

#endif
