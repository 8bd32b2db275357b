/*
 * Changes of a table's record.
 */
#include "services/dynamodb/change.h"

#include "base/rc.h"
#include "kv/kv.h"
#include "services/dynamodb/service.h"

struct run {
	struct table_change *change;
	str key;
};

static int run_in_store(struct kv_txn *txn, void *arg)
{
	struct run *run = arg;
	struct table_change *change = run->change;
	struct arena *a = change->c->arena;
	str document;
	int rc;

	table_change_done(change);
	if (!TRY(kv_txn_get(txn, run->key, a, &document)))
		return CHANGE_NO_TABLE;
	TRY(table_decode(document, &change->table));
	rc = change->apply(change, txn, change->table);
	if (rc == 0)
		kv_txn_put(txn, run->key, table_encode(a, change->table));
	return rc;
}

int table_change_run(struct table_change *change, str name)
{
	struct call *c = change->c;
	struct run run = {change, table_key(c->arena, c->account, c->region, name)};
	str keys[CHANGE_KEYS_MAX] = {run.key};
	int rc;

	for (size_t i = 0; i < change->key_count; i++)
		keys[i + 1] = change->keys[i];
	rc = kv_run(dynamodb_of(c)->kv, keys, change->key_count + 1, run_in_store, &run,
		c->deadline_ns);
	if (rc <= 0) /* after an error the commit may have been done all the same */
		catalog_changed(dynamodb_of(c)->catalog);
	return rc;
}

void table_change_done(struct table_change *change)
{
	table_unref(change->table);
	change->table = NULL;
}
