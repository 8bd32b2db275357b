/*
 * Keys: from an item's key attributes to the store's key and back. DESIGN section 5.
 *
 *     table   [area][table id][hash][partition key][sort key]
 *     index   [area][index id][hash][index partition key][index sort key][partition key][sort key]
 *
 * `hash` is 4 bytes of the encoded partition key, so that scans are in hash order and segments of a
 * parallel scan are ranges of it. Store order within a partition is DynamoDB's order of sort keys:
 * numbers by value, strings and binaries by unsigned bytes.
 *
 * Parts: N is the decimal's form. S and B are [length (varint)][bytes] in a partition key, which
 * needs no order, and escaped and ended (0x00 -> 0x00 0xff, end 0x00 0x01) in a sort key; the very
 * last part of a key stands raw. Table and index ids are 8 bytes and never used again. Keys are
 * never changed once written: this format is for ever.
 *
 * An index of up to four partition and four sort attributes is possible throughout. Pure.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
 */
#ifndef SERVICES_DYNAMODB_KEY_H
#define SERVICES_DYNAMODB_KEY_H

#include "services/dynamodb/item.h"

enum {
	KEY_PARTITION_BYTES_MAX = 2048, /* of the values, as DynamoDB counts */
	KEY_SORT_BYTES_MAX = 1024,
	KEY_ATTRIBUTES_MAX = 4, /* each of partition and sort; tables have one */
	KEY_BYTES_MAX = 8 * 1024,
};

struct key_attribute {
	str name;
	enum attr_type type; /* ATTR_S, ATTR_N or ATTR_B */
};

struct key_schema {
	struct key_attribute partition[KEY_ATTRIBUTES_MAX], sort[KEY_ATTRIBUTES_MAX];
	uint8_t partitions, sorts; /* partitions >= 1, but 0 where a vector index has no HASH */
};

/* The key attribute of that name: 1 with its type, or 0. */
int key_schema_find(const struct key_schema *s, str name, enum attr_type *ret_type);

/* First byte, id. Everything of a table or index is below it. */
void key_put_table(struct buf *out, uint64_t table_id);
void key_put_index(struct buf *out, uint64_t index_id);

/*
 * Appends hash and key of `item` behind key_put_table(). Checks presence, type, emptiness and
 * length of its key attributes (not that there are no others). ERR_FAULT with PutItem's messages.
 */
must_use int key_put_item(struct buf *out, const struct key_schema *s, str item,
	struct arena *arena, struct fault *fault);
/* Does the item have each of the key attributes, of the right type? */
bool key_fits(const struct key_schema *s, str item);
/*
 * As above for the Key of GetItem, DeleteItem, UpdateItem, and ExclusiveStartKey: `key` must hold
 * the key attributes and nothing else. ERR_FAULT with "The provided key element does not match the
 * schema".
 */
must_use int key_put_exact(struct buf *out, const struct key_schema *s, str key,
	struct arena *arena, struct fault *fault);
/*
 * Appends an index entry's key behind key_put_index(): 1, or 0 (nothing appended) when the item
 * lacks one of the index's key attributes and so is not in the index. ERR_FAULT for an attribute of
 * another type, empty or too long (`index_name` is for the message).
 */
must_use int key_put_index_item(struct buf *out, const struct key_schema *index,
	const struct key_schema *table, str index_name, str item, struct arena *arena,
	struct fault *fault);

/*
 * The first half of that, for whoever has the item's own key already: hash and index keys, behind
 * which key_values() of the item's key has to come. Results as above.
 */
must_use int key_put_index_values(struct buf *out, const struct key_schema *index, str index_name,
	str item, struct arena *arena, struct fault *fault);
/* What follows the hash in the key of an item (or entry): its key attributes' values. */
str key_values(str key);
/* Hash and partition key of an item's key: what the items of one collection share. */
str key_collection(str key, const struct key_schema *table);

/*
 * Back from a store key (from its first byte on) to an item of the key attributes: for
 * LastEvaluatedKey, and for indexes that project keys only. ERR_CORRUPT.
 */
must_use int key_to_item(str key, const struct key_schema *table, struct buf *out);
must_use int key_index_to_item(
	str key, const struct key_schema *index, const struct key_schema *table, struct buf *out);
/* The table key (as key_put_table() and key_put_item() made it) that an index key points to. */
must_use int key_index_to_table(str key, const struct key_schema *index,
	const struct key_schema *table, uint64_t table_id, struct buf *out);

/* How Query narrows the sort key. */
enum key_operator {
	KEY_ALL,
	KEY_EQUAL,
	KEY_LESS,
	KEY_LESS_EQUAL,
	KEY_GREATER,
	KEY_GREATER_EQUAL,
	KEY_BETWEEN,
	KEY_BEGINS_WITH,
};

/* What expr_parse_key_condition() makes: values are encoded, of the schema's types, checked. */
struct key_condition {
	str partition[KEY_ATTRIBUTES_MAX];
	str sort[KEY_ATTRIBUTES_MAX]; /* the first `sorts`: all by equality but the last, by `op` */
	uint8_t sorts;
	enum key_operator op; /* KEY_ALL when sorts is 0 */
	str high;             /* KEY_BETWEEN: the upper bound; sort[sorts - 1] is the lower */
};

/*
 * The range [low, high) of store keys that it selects. Both bufs get the whole key; key_put_table()
 * or key_put_index() is called here.
 * An empty range (low >= high) is possible: x < "" cannot be said, but BETWEEN may be.
 */
void key_range(const struct key_condition *c, const struct key_schema *s, bool is_index,
	uint64_t id, struct buf *ret_low, struct buf *ret_high);
/* The range of a segment of a parallel scan; 0 of 1 is the whole table or index. */
void key_segment(bool is_index, uint64_t id, uint32_t segment, uint32_t segments,
	struct buf *ret_low, struct buf *ret_high);
/* The segment that a store key lies in: for checking ExclusiveStartKey. */
uint32_t key_segment_of(str key, uint32_t segments);

#endif
