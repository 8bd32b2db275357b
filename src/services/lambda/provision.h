/*
 * Provisioned concurrency: instances of a version that are initialised before anybody calls and are
 * kept until they are not wanted any more. A call takes one like any idle instance; when all are
 * busy it spills over to instances on demand.
 *
 * The books are here; the shards of the scheduler start, keep and replace the instances, each its
 * share. Nothing here is stored: whoever keeps the settings says so at each start of the server.
 *
 * Threading: any loop. The books have a lock, never held over a suspension.
 *
 * Source: Developer Guide, "Configuring provisioned concurrency for a function".
 */
#ifndef SERVICES_LAMBDA_PROVISION_H
#define SERVICES_LAMBDA_PROVISION_H

#include "rt/rt.h"

struct provisions;
struct quota;

/* What is wanted and there, of one version. */
struct provision {
	str key; /* of the scheduler's entry */
	struct quota *quota;
	_Atomic unsigned wanted;
	_Atomic unsigned allocated; /* started */
	_Atomic unsigned available; /* initialised */
	_Atomic unsigned busy;      /* running an invocation */
	_Atomic unsigned failures;  /* of starts in a row; 0 after one that went well */
};

enum provision_status { PROVISION_IN_PROGRESS, PROVISION_READY, PROVISION_FAILED };

struct provision_figures {
	enum provision_status status;
	unsigned requested, allocated, available;
	str reason; /* of PROVISION_FAILED: static */
};

struct provisions *provisions_new(void);
void provisions_free(struct provisions *p);

/* The version's, made when missing. Valid as long as the books. */
struct provision *provision_of(struct provisions *p, str key);
/* The same, or NULL when nothing was ever wanted of it. */
struct provision *provision_find(struct provisions *p, str key);
/* So many are wanted from now on, and counted at the function's quota (referenced: taken over). */
void provision_want(
	struct provisions *p, struct provision *one, struct quota *quota, unsigned count);
/*
 * Calls `fn` with the key behind `prefix` of everything that is wanted below it, in no order, and
 * without the lock. Keys live as long as the books.
 */
void provision_each(struct provisions *p, str prefix, void (*fn)(void *arg, str rest), void *arg);
/* The part of `wanted` that loop `k` of `loops` keeps. */
unsigned provision_share(const struct provision *p, unsigned k, unsigned loops);
void provision_figures(const struct provision *p, struct provision_figures *ret);

#endif
