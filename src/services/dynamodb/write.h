/*
 * The one way in which items change: whoever writes an item (PutItem, batches, transactions,
 * PartiQL, expiry, imports) comes through here, so an item, its index entries, its stream record,
 * its expiry entry and its collection's size are always of one transaction.
 *
 *     item            [ITEMS][table id][hash][partition key][sort key]
 *                     record header, item
 *     index entry     [INDEX][index id][hash][index keys][item keys]
 *                     record header, what is projected, with all the key attributes; of a
 *                     vector index see vector.h
 *     stream record   [STREAM_RECORDS][stream id][bucket][stamp]
 *                     see stream.h
 *     expiry entry    [EXPIRY][table id][second, 8 bytes][item key behind the table id]
 *                     empty
 *     collection      [META]["collection"][table id][hash][partition key]
 *                     bytes of a partition's items and local index entries; only for tables
 *                     with local indexes
 *
 * All but the item and the collection are covered by the item's key (kv.h): nobody else writes
 * them. Private to this folder; runs in a transaction, in the caller's fiber.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/SecondaryIndexes.html
 */
#ifndef DYNAMODB_WRITE_H
#define DYNAMODB_WRITE_H

#include "services/dynamodb/table.h"

struct fault;
struct kv_txn;

enum {
	WRITE_KEYS_MAX = 2, /* keys that one change declares */
	/* of items with one partition key, where the table has a local index: 10 GB, LSI.html */
	COLLECTION_GIB_MAX = 10
};

/* What a partition key of a vector index has been written: throughput is limited by it. */
struct write_part {
	unsigned index;     /* in table->indexes */
	uint64_t partition; /* str_hash() of the attribute's value */
	double bytes;
};
enum { WRITE_PARTS_MAX = 2 * TABLE_VECTOR_INDEXES_MAX };

/* Capacity units of one change, per index as in table->indexes; of a vector index bytes. */
struct write_cost {
	double table;
	double index[TABLE_INDEXES_MAX];
	int64_t collection_bytes; /* after it; -1: the table has no local index */
	struct write_part parts[WRITE_PARTS_MAX];
	unsigned part_count;
};

struct item_change {
	const struct table *table;
	str key;                /* of the item in the store; declared */
	str old_item, new_item; /* STR_NULL: none */
	uint64_t replaced;      /* time of the old record, 0: none (record.h) */
	bool by_expiry;         /* the stream says who deleted it */
};

/*
 * The keys that a transaction has to declare for a change of the item at `key`: returns how many.
 */
size_t write_keys(const struct table *t, str key, struct arena *a, str ret_keys[WRITE_KEYS_MAX]);

/*
 * May the item stand in the table's indexes? An attribute that is a key of an index has the index's
 * type, is not empty and within the limits of keys, a vector has the index's dimensions, what a
 * vector index filters by the type that was defined, and item and local entries together are not
 * larger than an item may be. Before the table is written to; `item` has been checked against the
 * table's own keys. An index whose status is CREATING or DELETING is passed over: the item is then
 * not in it. ERR_FAULT with PutItem's messages.
 */
must_use int write_check_item(
	const struct table *t, str item, struct arena *a, struct fault *fault);
/*
 * The same of what an update has made of `old_item` (STR_NULL: none), with the words of UpdateItem:
 * only of index keys that it has changed.
 */
must_use int write_check_update(
	const struct table *t, str old_item, str item, struct arena *a, struct fault *fault);
/* Does a write have to fit the index? Not while the index is being made or deleted. */
bool write_is_strict(const struct table_index *i);

/*
 * Makes the change in the transaction: item and everything that hangs on it. A change that changes
 * nothing (equal items, or neither old nor new) touches no entry and writes no stream record.
 * *ret_cost may be NULL. ERR_FAULT: the collection would become too large. Suspends only to read
 * the collection's size.
 */
must_use mayyield int write_item(struct kv_txn *txn, struct arena *a,
	const struct item_change *change, struct write_cost *ret_cost, struct fault *fault);

/*
 * For backfilling: puts only the entry of `index` for an item that is in the table already
 * (nothing when it does not belong into the index). The item's key is declared; `time` is that of
 * the item's record.
 */
void write_index_entry(struct kv_txn *txn, struct arena *a, const struct table_index *index,
	str key, str item, uint64_t time);
/* The same for the expiry entry of a table whose time to live has just been enabled. */
void write_expiry_entry(
	struct kv_txn *txn, struct arena *a, const struct table *t, str key, str item);

/* Below it are the collections of a table: to be swept with its items. */
str write_collection_prefix(struct arena *a, uint64_t table_id);

#endif
