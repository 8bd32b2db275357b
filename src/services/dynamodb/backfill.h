/*
 * Global indexes that are made or removed while their table lives.
 *
 * UpdateTable changes the table's record and leaves a job, in one transaction:
 *
 *     [META]["index"][index id]    version, account, region, table; the item key to go on with
 *
 * One fiber per server works on the jobs, a slice of time each in turn. An index goes
 *
 *     CREATING                 writers that do not know it yet are waited for (flight.h); those who
 *                              know it delete entries and put none (write.c)
 *     CREATING, backfilling    once all writers put entries, items are read in key order, and
 *                              theirs are written
 *     ACTIVE                   the job is gone
 *     DELETING                 entries are swept, then it goes from the record, then once more
 *
 * What a slice has done is kept in the job, so after a crash the work goes on where it was; doing
 * something twice does no harm. Private to this folder.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.OnlineOps.html
 */
#ifndef DYNAMODB_BACKFILL_H
#define DYNAMODB_BACKFILL_H

#include "services/dynamodb/table.h"

struct dynamodb;
struct kv_txn;

/* The key that backfill_add() writes, to be declared. */
str backfill_key(struct arena *a, uint64_t index_id);
/* With the change of the record; after the commit: WORKER_BACKFILL is woken. */
void backfill_add(struct kv_txn *txn, struct arena *a, const struct table *t, uint64_t index_id);

/* Works on jobs, as a fiber until the service stops. `arg`: struct dynamodb. */
void dynamodb_backfill(void *arg);

#endif
