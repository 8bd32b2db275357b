/*
 * Ids of tables, indexes and streams: one kind of number for all, random, never given twice.
 *
 * What has an id has records under it (items, index entries, stream records) that outlive it for a
 * while; nobody may come by the same id later. So a record of each stays for ever. Private to this
 * folder.
 */
#ifndef DYNAMODB_IDS_H
#define DYNAMODB_IDS_H

#include "base/arena.h"

struct kv_txn;

/* Not zero; 63 bits, so that it is a number in JSON too. In a fiber. */
uint64_t ids_random(void);
/* The key that ids_take() writes, to be declared. */
str ids_key(struct arena *a, uint64_t id);
/*
 * Takes the id in the transaction, for what `owner` names: 1, or 0 when it was given before, which
 * calls for another one (and another transaction).
 */
must_use mayyield int ids_take(struct kv_txn *txn, struct arena *a, uint64_t id, str owner);

#endif
