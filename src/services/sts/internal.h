/*
 * What the files of sts share.
 */
#ifndef SERVICES_STS_INTERNAL_H
#define SERVICES_STS_INTERNAL_H

#include "aws/ports/identity.h"
#include "base/check.h"
#include "services/sts/sts.h"

#define STS_MAGIC 0x73747331u

enum sts_fault {
#define FAULT(id, ...) STS_##id,
#include "services/sts/faults.def"
#undef FAULT
};
extern const struct fault_kind sts_faults[];

struct sts {
	uint32_t magic;
	const struct ports *ports;
	struct service service;
};

static inline const struct port_identity *sts_identity(struct call *c)
{
	return check_object(c->self, struct sts, STS_MAGIC)->ports->identity;
}

/* 0, or ERR_FAULT: NotImplemented, for the first of these members that the request has. */
must_use int sts_refuse_members(struct call *c, const char *const *members, size_t count);
/* Puts Credentials into the answer. */
void sts_credentials_put(struct call *c, const struct identity *id);

int sts_assume_role(struct call *c) mayyield; /* assume_role.c */

#endif
