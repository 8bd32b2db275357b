/*
 * Finding a table by name: every request's first step, so it takes no lock and no storage read once
 * a loop knows the table.
 *
 * Each loop keeps the tables it has used (struct table, immutable). One generation counter is
 * shared: whoever commits a change of any table raises it, and a loop that sees another generation
 * than that of its tables forgets them all. Changes of tables are rare; this is simpler than
 * forgetting one.
 */
#ifndef DYNAMODB_CATALOG_H
#define DYNAMODB_CATALOG_H

#include "services/dynamodb/table.h"

struct catalog;
struct kv;
struct rt;

/* Takes a loop-local slot, so before rt_run(). */
struct catalog *catalog_new(struct rt *rt);
/* Before the first look-up. */
void catalog_start(struct catalog *c, struct kv *kv);
/* After the loops have stopped. */
void catalog_free(struct catalog *c);

/*
 * 1 and the table with a reference for the caller (table_unref), 0 when there is none. One round
 * trip the first time; then none.
 */
must_use mayyield int catalog_find(
	struct catalog *c, str account, str region, str name, struct table **ret_table);

/* After a commit that made, changed or removed a table, before it is acknowledged. Any loop. */
void catalog_changed(struct catalog *c);

#endif
