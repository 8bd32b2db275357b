/*
 * Items in the store: the record header (kv/record.h) and the item. Private to this folder.
 */
#ifndef DYNAMODB_RECORD_H
#define DYNAMODB_RECORD_H

#include "services/dynamodb/item.h"

struct kv;
struct kv_txn;

/* *ret_item is STR_NULL when there is none. */
must_use mayyield int record_read(struct kv *kv, str key, struct arena *a, str *ret_item);
/* As above; *ret_time: of the record, 0 without one. `key` is declared. */
must_use mayyield int record_read_txn(
	struct kv_txn *txn, str key, struct arena *a, str *ret_item, uint64_t *ret_time);
/* The record of an item, or of what hangs on one: both have the time of the item's record. */
str record_make(struct arena *a, str item, uint64_t time);
/* The item of a stored value, as scans give them; STR_NULL for a deletion's record. */
must_use int record_item(str value, str *ret_item, uint64_t *ret_time);

#endif
