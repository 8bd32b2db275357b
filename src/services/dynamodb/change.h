/*
 * A change of a table's record: one transaction, in force on all loops when it is answered.
 * Private to this folder.
 */
#ifndef DYNAMODB_CHANGE_H
#define DYNAMODB_CHANGE_H

#include "services/dynamodb/table.h"

struct call;
struct kv_txn;

enum { CHANGE_KEYS_MAX = 4 };

struct table_change {
	struct call *c;
	/*
	 * Changes the table in the transaction, maybe more than once, each time a fresh one; memory
	 * of the call's arena. 0: its record is put; > 0: it is not, and that is the result.
	 */
	int (*apply)(struct table_change *change, struct kv_txn *txn, struct table *t);
	/* What apply() writes besides the record. */
	str keys[CHANGE_KEYS_MAX - 1];
	size_t key_count;
	struct table *table; /* as the last run left it */
};

/*
 * Within the call's deadline: 0; CHANGE_NO_TABLE; > 0 of apply(); ERR_FAULT of apply(). For
 * cleanup(): table_change_done.
 */
enum { CHANGE_NO_TABLE = 1000 };
must_use mayyield int table_change_run(struct table_change *change, str name);
void table_change_done(struct table_change *change);

#endif
