/*
 * Changes of items, with all that hangs on them.
 *
 * What an index holds of an item follows from the item alone (entry_of), so what has to be done is
 * the difference between the entries of the old item and of the new one; nothing is read for it.
 */
#include "services/dynamodb/write.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "kv/kv.h"
#include "kv/record.h"
#include "rt/rt.h"
#include "services/dynamodb/capacity.h"
#include "services/dynamodb/expiry.h"
#include "services/dynamodb/expr.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/record.h"
#include "services/dynamodb/stream.h"
#include "services/dynamodb/vector_index.h"

#define UPDATED "The update expression attempted to update "

enum { COLLECTION_VERSION = 1 };
#define COLLECTION_BYTES_MAX ((int64_t)COLLECTION_GIB_MAX << 30)

/* ---- collections ---- */

static void put_collection_prefix(struct buf *key, uint64_t table_id)
{
	keyspace_area(key, KEYSPACE_DYNAMODB_META);
	keyspace_put(key, STR("collection"));
	buf_put_be64(key, table_id);
}

str write_collection_prefix(struct arena *a, uint64_t table_id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	put_collection_prefix(&key, table_id);
	return buf_str(&key);
}

/* Of the collection that the item at `item_key` is in. */
static str collection_key(const struct table *t, str item_key, struct arena *a)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	put_collection_prefix(&key, t->id);
	buf_put(&key, key_collection(item_key, &t->keys));
	check(!key.over);
	return buf_str(&key);
}

size_t write_keys(const struct table *t, str key, struct arena *a, str ret_keys[WRITE_KEYS_MAX])
{
	ret_keys[0] = key;
	if (t->local_count == 0)
		return 1;
	ret_keys[1] = collection_key(t, key, a);
	return 2;
}

static int take_collection(str value, int64_t *ret_bytes)
{
	uint8_t version;
	uint64_t bytes;

	if (!str_take_u8(&value, &version) || version != COLLECTION_VERSION ||
		!str_take_be64(&value, &bytes) || value.n || bytes > INT64_MAX)
		return ERR_CORRUPT;
	*ret_bytes = (int64_t)bytes;
	return 0;
}

static void put_collection(struct kv_txn *txn, struct arena *a, str key, int64_t bytes)
{
	struct buf value;

	if (bytes == 0) {
		kv_txn_delete(txn, key);
		return;
	}
	buf_init(&value, a, 16);
	buf_put_char(&value, COLLECTION_VERSION);
	buf_put_be64(&value, (uint64_t)bytes);
	kv_txn_put(txn, key, buf_str(&value));
}

/* Adds `grown` bytes to the collection; *ret_bytes: what it has then. */
static int write_collection(struct kv_txn *txn, struct arena *a, const struct item_change *c,
	int64_t grown, int64_t *ret_bytes, struct fault *fault)
{
	str key = collection_key(c->table, c->key, a), value;
	int64_t bytes = 0;

	if (TRY(kv_txn_get(txn, key, a, &value)))
		TRY(take_collection(value, &bytes));
	bytes += grown;
	if (bytes < 0)
		return ERR_CORRUPT;
	if (grown > 0 && bytes > COLLECTION_BYTES_MAX)
		return fault_set(fault, a, &dynamodb_faults[DYNAMODB_ITEM_COLLECTION_SIZE],
			"Collection size exceeded.");
	if (grown != 0)
		put_collection(txn, a, key, bytes);
	*ret_bytes = bytes;
	return 0;
}

/* ---- may the item stand in the indexes? ---- */

bool write_is_strict(const struct table_index *i)
{
	/* Attributes of a wrong type keep an item out of an index that is still being made. */
	return i->status == INDEX_ACTIVE || i->status == INDEX_UPDATING;
}

/* What the index holds of the item. */
static str projected(const struct table_index *i, str item, struct arena *a)
{
	struct buf part;

	if (!i->stored)
		return item;
	buf_init(&part, a, ITEM_ENCODED_MAX);
	expr_project(i->stored, item, &part);
	return buf_str(&part);
}

/* "Item sizes", ServiceQuotas.html: 400 KB for an item and its entries in all local indexes. */
static bool is_too_large(const struct table *t, str item, struct arena *a)
{
	size_t bytes = t->local_count ? item_size(item) : 0;
	struct buf key;

	for (size_t i = 0; i < t->local_count; i++) {
		const struct table_index *index = &t->indexes[i];
		struct fault ignored;

		buf_init(&key, a, KEY_BYTES_MAX);
		if (key_put_index_values(&key, &index->keys, index->name, item, a, &ignored) == 1)
			bytes += item_size(projected(index, item, a));
	}
	return bytes > ITEM_SIZE_MAX;
}

int write_check_item(const struct table *t, str item, struct arena *a, struct fault *fault)
{
	for (size_t i = 0; i < t->index_count; i++) {
		const struct table_index *index = &t->indexes[i];
		struct buf key;

		if (!write_is_strict(index))
			continue;
		buf_init(&key, a, KEY_BYTES_MAX);
		TRY(key_put_index_values(&key, &index->keys, index->name, item, a, fault));
		if (index->vector)
			TRY(vector_index_check(index, item, a, fault));
	}
	if (is_too_large(t, item, a))
		return validation_fault(
			fault, a, "Item size has exceeded the maximum allowed size");
	return 0;
}

/* What an update did to one attribute of an index's key. */
struct updated {
	bool changed, sound; /* sound: of the type and not empty, or absent */
};

static int check_updated(const struct key_attribute *at, str old_item, str item,
	struct updated *all, struct arena *a, struct fault *fault)
{
	str value, old;
	bool typed, empty;

	if (!item_find(item, at->name, &value))
		value = STR_NULL;
	typed = !value.p || attr_type(value) == at->type;
	empty = value.p && typed && at->type != ATTR_N && attr_bytes_of(value).n == 0;
	if (old_item.p && item_find(old_item, at->name, &old) && value.p && str_eq(old, value)) {
		all->sound &= typed && !empty;
		return 0;
	}
	all->changed = true;
	if (!typed)
		return validation_fault(
			fault, a, UPDATED "the secondary index key to unsupported type");
	if (!empty)
		return 0;
	return validation_fault(fault, a,
		"One or more parameter values are not valid. " UPDATED
		"a secondary index key to a value that is not supported. The AttributeValue for a "
		"key attribute cannot contain an empty %s value.",
		at->type == ATTR_S ? "string" : "binary");
}

/* What was wrong before the index was made, and stays as it is, hinders no update. */
static int check_index_update(const struct table_index *index, str old_item, str item,
	struct arena *a, struct fault *fault)
{
	struct updated all = {.sound = true};
	struct buf key;

	for (unsigned k = 0; k < index->keys.partitions; k++)
		TRY(check_updated(&index->keys.partition[k], old_item, item, &all, a, fault));
	for (unsigned k = 0; k < index->keys.sorts; k++)
		TRY(check_updated(&index->keys.sort[k], old_item, item, &all, a, fault));
	buf_init(&key, a, KEY_BYTES_MAX);
	/* Types are right and nothing is empty: it is too long. */
	if (all.changed && all.sound &&
		key_put_index_values(&key, &index->keys, index->name, item, a, fault) < 0)
		return validation_fault(
			fault, a, UPDATED "the secondary index key beyond allowed size limits");
	return 0;
}

int write_check_update(
	const struct table *t, str old_item, str item, struct arena *a, struct fault *fault)
{
	for (size_t i = 0; i < t->index_count; i++) {
		const struct table_index *index = &t->indexes[i];

		if (!write_is_strict(index))
			continue;
		TRY(check_index_update(index, old_item, item, a, fault));
		if (index->vector)
			TRY(vector_index_check(index, item, a, fault));
	}
	if (is_too_large(t, item, a))
		return validation_fault(
			fault, a, "Item size to update has exceeded the maximum allowed size");
	return 0;
}

/* ---- index entries ---- */

struct entry {
	str key; /* STR_NULL: the item is not in the index */
	str item;
	size_t bytes;
};

/* Has the entry bytes of its own, or is it the item? */
static bool is_made(const struct table_index *i)
{
	return i->stored || i->vector;
}

/* The entry of an item, whose key is `key` and size `bytes`; `item` may be STR_NULL. */
static struct entry entry_of(
	const struct table_index *i, str key, str item, size_t bytes, struct arena *a)
{
	struct entry e = {.key = STR_NULL};
	struct fault ignored; /* of an item from before the index */
	struct buf out;

	if (!item.p)
		return e;
	buf_init(&out, a, KEY_BYTES_MAX);
	key_put_index(&out, i->id);
	if (key_put_index_values(&out, &i->keys, i->name, item, a, &ignored) != 1)
		return e;
	buf_put(&out, key_values(key));
	check(!out.over);
	e.item = projected(i, item, a);
	if (i->vector && !vector_index_entry(i, e.item, a, &e.item))
		return e;
	e.key = buf_str(&out);
	e.bytes = is_made(i) ? item_size(e.item) : bytes;
	return e;
}

/* A change on its way, with what all its entries need. */
struct writing {
	struct kv_txn *txn;
	struct arena *a;
	const struct item_change *change;
	size_t old_bytes, new_bytes; /* 0: none */
	uint64_t time;               /* of the new record */
	str record;                  /* of the new item: also of entries that hold it whole */
	int64_t grown;               /* of the collection */
};

/* Of one write of an entry: units, or of a vector index bytes. */
static double cost_of_entry(const struct table_index *i, size_t bytes)
{
	if (i->vector)
		return (double)MAX(bytes, (size_t)VECTOR_WRITE_BYTES_MIN);
	return capacity_write(bytes);
}

/*
 * Before an index is backfilling there are still writers that do not know it and would leave an
 * entry behind that somebody else had put: so nobody puts one, and those who know it only delete.
 */
static bool takes_entries(const struct table_index *i)
{
	return i->status != INDEX_CREATING || i->backfilling;
}

/* Of an index of vectors that has a partition key: whose bytes they are. */
static void note_part(struct write_cost *cost, const struct writing *w, const struct table_index *i,
	str item, double bytes)
{
	str value;

	if (!i->vector || !i->keys.partitions || bytes == 0 ||
		!item_find(item, i->keys.partition[0].name, &value))
		return;
	check(cost->part_count < WRITE_PARTS_MAX);
	cost->parts[cost->part_count++] =
		(struct write_part){.index = (unsigned)(i - w->change->table->indexes),
			.partition = str_hash(value),
			.bytes = bytes};
}

/*
 * Makes the index follow the item; returns what it costs: one write where an entry comes, goes or
 * changes, two (delete and put) where its key changes, none where it stays as it is.
 */
static double write_entry(struct writing *w, const struct table_index *i, struct write_cost *cost)
{
	const struct item_change *c = w->change;
	struct entry before = entry_of(i, c->key, c->old_item, w->old_bytes, w->a);
	struct entry after = entry_of(i, c->key, c->new_item, w->new_bytes, w->a);
	bool moved = before.key.p && after.key.p && !str_eq(before.key, after.key);
	double units = 0;

	if (!takes_entries(i)) {
		if (before.key.p)
			kv_txn_delete_covered(w->txn, before.key);
		return 0;
	}
	if (i->local)
		w->grown += (int64_t)after.bytes - (int64_t)before.bytes;
	if (before.key.p && after.key.p && !moved) {
		if (str_eq(before.item, after.item))
			return 0;
		units = cost_of_entry(i, MAX(before.bytes, after.bytes));
		note_part(cost, w, i, c->new_item, units);
	} else {
		double gone = before.key.p ? cost_of_entry(i, before.bytes) : 0;
		double come = after.key.p ? cost_of_entry(i, after.bytes) : 0;

		units = gone + come;
		note_part(cost, w, i, c->old_item, gone);
		note_part(cost, w, i, c->new_item, come);
	}
	if (before.key.p && (moved || !after.key.p))
		kv_txn_delete_covered(w->txn, before.key);
	if (after.key.p)
		kv_txn_put_covered(w->txn, after.key,
			is_made(i) ? record_make(w->a, after.item, w->time) : w->record);
	return units;
}

void write_index_entry(struct kv_txn *txn, struct arena *a, const struct table_index *index,
	str key, str item, uint64_t time)
{
	struct entry e = entry_of(index, key, item, 0, a);

	if (e.key.p)
		kv_txn_put_covered(txn, e.key, record_make(a, e.item, time));
}

/* ---- expiry entries ---- */

void write_expiry_entry(
	struct kv_txn *txn, struct arena *a, const struct table *t, str key, str item)
{
	uint64_t second;

	if (expiry_second(item, t->ttl_attribute, &second) && expiry_counts(second, rt_wall()))
		kv_txn_put_covered(txn, expiry_key(a, t->id, second, key), STR(""));
}

static void write_expiry(struct writing *w)
{
	const struct item_change *c = w->change;
	str attribute = c->table->ttl_attribute;
	uint64_t before = 0, after = 0;
	int had = c->old_item.p ? expiry_second(c->old_item, attribute, &before) : 0;
	int has = c->new_item.p ? expiry_second(c->new_item, attribute, &after) : 0;

	if (had && has && before == after)
		return;
	if (had) /* also where it does not count any more: it may have, when it was put */
		kv_txn_delete_covered(w->txn, expiry_key(w->a, c->table->id, before, c->key));
	if (has)
		write_expiry_entry(w->txn, w->a, c->table, c->key, c->new_item);
}

/* ---- the change ---- */

static bool changes_nothing(const struct item_change *c)
{
	return !c->old_item.p == !c->new_item.p &&
	       (!c->old_item.p || str_eq(c->old_item, c->new_item));
}

/* Everything but the item itself and its collection. */
static void write_hanging(struct writing *w, struct write_cost *cost)
{
	const struct table *t = w->change->table;

	for (size_t i = 0; i < t->index_count; i++)
		if (t->indexes[i].status != INDEX_DELETING)
			cost->index[i] = write_entry(w, &t->indexes[i], cost);
	if (t->ttl_attribute.p)
		write_expiry(w);
	stream_put(w->txn, w->a, w->change);
}

/* Nothing but items is kept of the table. */
static bool is_plain(const struct table *t)
{
	return !t->index_count && !t->stream.id && !t->ttl_attribute.p;
}

int write_item(struct kv_txn *txn, struct arena *a, const struct item_change *change,
	struct write_cost *ret_cost, struct fault *fault)
{
	const struct table *t = change->table;
	struct writing w = {.txn = txn, .a = a, .change = change};
	struct write_cost cost = {.collection_bytes = -1};

	if (change->new_item.p) {
		w.time = record_time_next(rt_wall(), change->replaced);
		w.record = record_make(a, change->new_item, w.time);
		kv_txn_put(txn, change->key, w.record);
	} else if (change->old_item.p) {
		kv_txn_delete(txn, change->key);
	}
	if (is_plain(t) && !ret_cost)
		return 0;
	w.old_bytes = change->old_item.p ? item_size(change->old_item) : 0;
	w.new_bytes = change->new_item.p ? item_size(change->new_item) : 0;
	w.grown = (int64_t)w.new_bytes - (int64_t)w.old_bytes;
	cost.table = capacity_write(MAX(w.old_bytes, w.new_bytes));
	if (!is_plain(t) && !changes_nothing(change))
		write_hanging(&w, &cost);
	if (t->local_count)
		TRY(write_collection(txn, a, change, w.grown, &cost.collection_bytes, fault));
	if (ret_cost)
		*ret_cost = cost;
	return 0;
}
