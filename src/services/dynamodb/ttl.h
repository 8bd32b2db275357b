/*
 * Time to live: which tables have it, and the work that it makes.
 *
 *     mark    [META]["ttl"][table id]    version, state, account, region, table, attribute
 *
 * A table's mark stands from the enabling of its time to live to the end of its disabling. It says
 * what is to be done, so that a restart goes on with it: entries of the items that were there
 * before are made (FILLING), due items are deleted (ACTIVE), entries are removed (EMPTYING). Two
 * fibers per server (ttl_worker.c); entries are kept by write.h. Private to this folder.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
 */
#ifndef DYNAMODB_TTL_H
#define DYNAMODB_TTL_H

#include "services/dynamodb/service.h"

enum ttl_state { TTL_FILLING = 1, TTL_ACTIVE, TTL_EMPTYING };

struct ttl_mark {
	uint64_t table_id;
	enum ttl_state state;
	str account, region, table;
	str attribute;
};

enum { TTL_MARK_MAX = 4096 };

/* Pure; texts are borrowed from `value`. ERR_CORRUPT, ERR_VERSION. */
void ttl_mark_encode(struct buf *out, const struct ttl_mark *mark);
must_use int ttl_mark_decode(str value, struct ttl_mark *ret_mark);

/* Below it are all marks; behind it stands the table's id, 8 bytes. */
str ttl_mark_prefix(struct arena *a);
str ttl_mark_key(struct arena *a, uint64_t table_id);

/* Fibers until the service stops; `arg`: struct dynamodb. They end by setting their events. */
void dynamodb_ttl_change(void *arg); /* fills and empties */
void dynamodb_ttl_expire(void *arg); /* deletes what is due */

#endif
