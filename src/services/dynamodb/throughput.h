/*
 * Billing mode and throughput of tables and global indexes, as inputs give them: provisioned
 * units, maxima on demand, warm throughput. Pure but for the fault of the call; private to this
 * folder.
 *
 * All return ERR_FAULT with a ValidationException in DynamoDB's words.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/capacity-mode.html
 */
#ifndef DYNAMODB_THROUGHPUT_H
#define DYNAMODB_THROUGHPUT_H

#include "services/dynamodb/table.h"

struct call;

/* Of CreateTable: billing mode and units. */
must_use int throughput_of_new_table(struct call *c, struct table *t);
/* Of an index in CreateTable, or in a Create action; the table's billing mode is known. */
must_use int throughput_of_new_index(struct call *c, const struct value *given,
	const struct table *t, struct table_index *index);

/*
 * Of UpdateTable: BillingMode, ProvisionedThroughput, OnDemandThroughput, WarmThroughput as far as
 * they are given. The indexes are changed with it: `indexes` are those of the table, writable, and
 * `updates` the GlobalSecondaryIndexUpdates (may be NULL), whose Update actions are made. An index
 * that does not exist is a ResourceNotFoundException.
 */
must_use int throughput_update(
	struct call *c, struct table *t, struct table_index *indexes, const struct value *updates);

#endif
