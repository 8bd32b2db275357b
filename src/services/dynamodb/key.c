/*
 * Store keys. The format is described in key.h and is for ever; its test vectors are in
 * test/services/dynamodb/key.txt.
 */
#include "services/dynamodb/key.h"

#include "aws/keyspace.h"
#include "services/dynamodb/attr_walk.h"
#include "services/dynamodb/faults.h"

#define INVALID     "One or more parameter values were invalid: "
#define NOT_VALID   "One or more parameter values are not valid. "
#define NOT_MATCHED "The provided key element does not match the schema"

enum { HEAD_BYTES = 1 + 8, HASH_BYTES = 4 };

int key_schema_find(const struct key_schema *s, str name, enum attr_type *ret_type)
{
	for (unsigned i = 0; i < s->partitions; i++)
		if (str_eq(s->partition[i].name, name)) {
			*ret_type = s->partition[i].type;
			return 1;
		}
	for (unsigned i = 0; i < s->sorts; i++)
		if (str_eq(s->sort[i].name, name)) {
			*ret_type = s->sort[i].type;
			return 1;
		}
	return 0;
}

void key_put_table(struct buf *out, uint64_t table_id)
{
	keyspace_area(out, KEYSPACE_DYNAMODB_ITEMS);
	buf_put_be64(out, table_id);
}

void key_put_index(struct buf *out, uint64_t index_id)
{
	keyspace_area(out, KEYSPACE_DYNAMODB_INDEX);
	buf_put_be64(out, index_id);
}

/*
 * The hash of an encoded partition key: part of the stored format, so never to be changed. FNV-1a
 * of 64 bits with a final mixing, of which the upper half is kept.
 */
static uint32_t hash_of(str s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
	return (uint32_t)(h >> 32);
}

/* 0x00 becomes 0x00 0xff, so that the end 0x00 0x01 sorts below all that goes on. */
static void put_escaped(struct buf *out, str s)
{
	ptrdiff_t at;

	while ((at = str_find(s, 0)) >= 0) {
		buf_put(out, str_sub(s, 0, (size_t)at + 1));
		buf_put_char(out, (char)0xff);
		s = str_from(s, (size_t)at + 1);
	}
	buf_put(out, s);
}

static void put_partition_part(struct buf *out, str value)
{
	if (attr_type(value) == ATTR_N)
		buf_put(out, str_from(value, 1));
	else
		attr_put_element(out, attr_bytes_of(value));
}

/* `raw`: nothing follows. */
static void put_sort_part(struct buf *out, str value, bool raw)
{
	if (attr_type(value) == ATTR_N) {
		buf_put(out, str_from(value, 1));
	} else if (raw) {
		buf_put(out, attr_bytes_of(value));
	} else {
		put_escaped(out, attr_bytes_of(value));
		buf_put(out, STR("\x00\x01"));
	}
}

/* Hash and partition key. */
static void put_partition(struct buf *out, unsigned count, const str *values)
{
	size_t begin;
	uint32_t hash;

	buf_put_be32(out, 0);
	begin = out->n;
	for (unsigned i = 0; i < count; i++)
		put_partition_part(out, values[i]);
	if (out->over)
		return;
	hash = __builtin_bswap32(hash_of(str_of(out->p + begin, out->n - begin)));
	memcpy(out->p + begin - HASH_BYTES, &hash, HASH_BYTES);
}

/* The key attributes' values, found and of the right type. */
struct key_values {
	str partition[KEY_ATTRIBUTES_MAX], sort[KEY_ATTRIBUTES_MAX];
};

static size_t value_bytes(str value)
{
	return attr_type(value) == ATTR_N ? attr_size(value) : attr_bytes_of(value).n;
}

static bool is_empty(str value)
{
	return attr_type(value) != ATTR_N && attr_bytes_of(value).n == 0;
}

static const char *empty_kind(str value)
{
	return attr_type(value) == ATTR_S ? "string" : "binary";
}

static int check_part(
	const struct key_attribute *a, str value, struct arena *arena, struct fault *fault)
{
	if (!is_empty(value))
		return 0;
	return validation_fault(fault, arena,
		NOT_VALID
		"The AttributeValue for a key attribute cannot contain an empty %s value. "
		"Key: %.*s",
		empty_kind(value), STR_ARG(a->name));
}

static int check_sizes(const struct key_schema *s, const struct key_values *v, struct arena *arena,
	struct fault *fault)
{
	size_t partition = 0, sort = 0;

	for (unsigned i = 0; i < s->partitions; i++)
		partition += value_bytes(v->partition[i]);
	for (unsigned i = 0; i < s->sorts; i++)
		sort += value_bytes(v->sort[i]);
	if (partition > KEY_PARTITION_BYTES_MAX)
		return validation_fault(fault, arena,
			INVALID "Size of hashkey has exceeded the maximum size limit of%d bytes",
			KEY_PARTITION_BYTES_MAX);
	if (sort > KEY_SORT_BYTES_MAX)
		return validation_fault(fault, arena,
			INVALID
			"Aggregated size of all range keys has exceeded the size limit of %d "
			"bytes",
			KEY_SORT_BYTES_MAX);
	return 0;
}

static int find_part(const struct key_attribute *a, str item, struct arena *arena,
	struct fault *fault, str *ret_value)
{
	str value, expected = attr_type_name(a->type), actual;

	if (!item_find(item, a->name, &value))
		return validation_fault(
			fault, arena, INVALID "Missing the key %.*s in the item", STR_ARG(a->name));
	actual = attr_type_name(attr_type(value));
	if (attr_type(value) != a->type)
		return validation_fault(fault, arena,
			INVALID "Type mismatch for key %.*s expected: %.*s actual: %.*s",
			STR_ARG(a->name), STR_ARG(expected), STR_ARG(actual));
	TRY(check_part(a, value, arena, fault));
	*ret_value = value;
	return 0;
}

static void put_values(
	struct buf *out, const struct key_schema *s, const struct key_values *v, bool raw_end)
{
	put_partition(out, s->partitions, v->partition);
	for (unsigned i = 0; i < s->sorts; i++)
		put_sort_part(out, v->sort[i], raw_end && i + 1 == s->sorts);
}

int key_put_item(struct buf *out, const struct key_schema *s, str item, struct arena *arena,
	struct fault *fault)
{
	struct key_values v;

	for (unsigned i = 0; i < s->partitions; i++)
		TRY(find_part(&s->partition[i], item, arena, fault, &v.partition[i]));
	for (unsigned i = 0; i < s->sorts; i++)
		TRY(find_part(&s->sort[i], item, arena, fault, &v.sort[i]));
	TRY(check_sizes(s, &v, arena, fault));
	put_values(out, s, &v, true);
	return 0;
}

bool key_fits(const struct key_schema *s, str item)
{
	str value;

	for (unsigned i = 0; i < s->partitions; i++)
		if (!item_find(item, s->partition[i].name, &value) ||
			attr_type(value) != s->partition[i].type)
			return false;
	for (unsigned i = 0; i < s->sorts; i++)
		if (!item_find(item, s->sort[i].name, &value) ||
			attr_type(value) != s->sort[i].type)
			return false;
	return true;
}

int key_put_exact(struct buf *out, const struct key_schema *s, str key, struct arena *arena,
	struct fault *fault)
{
	struct attr_iter it = item_iter(key);
	unsigned count = 0;
	str name, value;

	while (attr_next(&it, &name, &value)) {
		enum attr_type type;

		if (!key_schema_find(s, name, &type) || type != attr_type(value))
			return validation_fault(fault, arena, NOT_MATCHED);
		count++;
	}
	if (count != (unsigned)s->partitions + s->sorts)
		return validation_fault(fault, arena, NOT_MATCHED);
	return key_put_item(out, s, key, arena, fault);
}

/* 1 when present and of the type, 0 when absent. */
static int find_index_part(const struct key_attribute *a, str index_name, str item,
	struct arena *arena, struct fault *fault, str *ret_value)
{
	str value, expected = attr_type_name(a->type), actual;

	if (!item_find(item, a->name, &value))
		return 0;
	actual = attr_type_name(attr_type(value));
	if (attr_type(value) != a->type)
		return validation_fault(fault, arena,
			INVALID "Type mismatch for Index Key %.*s Expected: %.*s Actual: %.*s "
				"IndexName: %.*s",
			STR_ARG(a->name), STR_ARG(expected), STR_ARG(actual), STR_ARG(index_name));
	if (is_empty(value))
		return validation_fault(fault, arena,
			NOT_VALID
			"A value specified for a secondary index key is not supported. The "
			"AttributeValue for a key attribute cannot contain an empty %s value. "
			"IndexName: %.*s, IndexKey: %.*s",
			empty_kind(value), STR_ARG(index_name), STR_ARG(a->name));
	*ret_value = value;
	return 1;
}

int key_put_index_values(struct buf *out, const struct key_schema *index, str index_name, str item,
	struct arena *arena, struct fault *fault)
{
	struct key_values v;
	bool present = true;

	/* All are looked at: a wrong type is refused even when another attribute is absent. */
	for (unsigned i = 0; i < index->partitions; i++)
		present &= TRY(find_index_part(
			&index->partition[i], index_name, item, arena, fault, &v.partition[i]))
	> 0;
	for (unsigned i = 0; i < index->sorts; i++)
		present &= TRY(find_index_part(
			&index->sort[i], index_name, item, arena, fault, &v.sort[i]))
	> 0;
	if (!present)
		return 0;
	TRY(check_sizes(index, &v, arena, fault));
	put_values(out, index, &v, false);
	return 1;
}

int key_put_index_item(struct buf *out, const struct key_schema *index,
	const struct key_schema *table, str index_name, str item, struct arena *arena,
	struct fault *fault)
{
	struct key_values primary;

	for (unsigned i = 0; i < table->partitions; i++)
		TRY(find_part(&table->partition[i], item, arena, fault, &primary.partition[i]));
	for (unsigned i = 0; i < table->sorts; i++)
		TRY(find_part(&table->sort[i], item, arena, fault, &primary.sort[i]));
	if (!TRY(key_put_index_values(out, index, index_name, item, arena, fault)))
		return 0;
	for (unsigned i = 0; i < table->partitions; i++)
		put_partition_part(out, primary.partition[i]);
	for (unsigned i = 0; i < table->sorts; i++)
		put_sort_part(out, primary.sort[i], i + 1 == table->sorts);
	return 1;
}

str key_values(str key)
{
	return str_from(key, HEAD_BYTES + HASH_BYTES);
}

/* ---- back ---- */

/* A key attribute taken from a key: its value's bytes, or the encoded number. */
struct key_part {
	const struct key_attribute *attribute;
	str bytes;
	bool escaped;
};

static int take_number(str *rest, str *ret_part)
{
	int n = decimal_encoded_bytes(*rest);

	if (n < 0)
		return ERR_CORRUPT;
	*ret_part = str_sub(*rest, 0, (size_t)n);
	*rest = str_from(*rest, (size_t)n);
	return 0;
}

static int take_partition_part(str *rest, struct key_part *part)
{
	uint64_t n;

	part->escaped = false;
	if (part->attribute->type == ATTR_N)
		return take_number(rest, &part->bytes);
	if (!str_take_varint(rest, &n) || n > rest->n || !str_take(rest, (size_t)n, &part->bytes))
		return ERR_CORRUPT;
	return 0;
}

static int take_sort_part(str *rest, bool raw, struct key_part *part)
{
	part->escaped = false;
	if (part->attribute->type == ATTR_N)
		return take_number(rest, &part->bytes);
	if (raw) {
		part->bytes = *rest;
		*rest = str_from(*rest, rest->n);
		return 0;
	}
	for (size_t i = 0; i + 1 < rest->n; i++) {
		if (rest->p[i] != 0)
			continue;
		if (rest->p[i + 1] == 1) {
			part->bytes = str_sub(*rest, 0, i);
			*rest = str_from(*rest, i + 2);
			return 0;
		}
		if ((unsigned char)rest->p[i + 1] != 0xff)
			return ERR_CORRUPT;
		part->escaped = true;
		i++;
	}
	return ERR_CORRUPT;
}

enum { PARTS_MAX = 4 * KEY_ATTRIBUTES_MAX };

/* Adds the parts of one schema's key to `parts`. */
static int take_parts(str *rest, const struct key_schema *s, bool raw_end, struct key_part *parts,
	unsigned *count)
{
	for (unsigned i = 0; i < s->partitions; i++) {
		parts[*count].attribute = &s->partition[i];
		TRY(take_partition_part(rest, &parts[(*count)++]));
	}
	for (unsigned i = 0; i < s->sorts; i++) {
		parts[*count].attribute = &s->sort[i];
		TRY(take_sort_part(rest, raw_end && i + 1 == s->sorts, &parts[(*count)++]));
	}
	return 0;
}

static void put_part(struct buf *out, const struct key_part *part)
{
	size_t n = part->bytes.n;

	buf_put_char(out, part->attribute->type == ATTR_N   ? ATTR_TAG_N
			  : part->attribute->type == ATTR_S ? ATTR_TAG_S
							    : ATTR_TAG_B);
	if (part->attribute->type == ATTR_N) {
		buf_put(out, part->bytes);
		return;
	}
	if (!part->escaped) {
		attr_put_element(out, part->bytes);
		return;
	}
	for (size_t i = 0; i < part->bytes.n; i++)
		n -= part->bytes.p[i] == 0; /* each has an 0xff behind it */
	buf_put_varint(out, n);
	for (size_t i = 0; i < part->bytes.n; i++) {
		buf_put_char(out, part->bytes.p[i]);
		i += part->bytes.p[i] == 0;
	}
}

/* An item of the parts, by name; an attribute that is in both keys once. */
static void put_parts(struct buf *out, const struct key_part *parts, unsigned count)
{
	str before = STR_NULL;

	item_put_begin(out);
	for (;;) {
		const struct key_part *next = NULL;

		for (unsigned i = 0; i < count; i++) {
			str name = parts[i].attribute->name;

			if (before.p && str_cmp(name, before) <= 0)
				continue;
			if (!next || str_cmp(name, next->attribute->name) < 0)
				next = &parts[i];
		}
		if (!next)
			return;
		before = next->attribute->name;
		attr_put_name(out, before);
		put_part(out, next);
	}
}

int key_to_item(str key, const struct key_schema *table, struct buf *out)
{
	struct key_part parts[PARTS_MAX];
	unsigned count = 0;
	str rest = key, head;

	if (!str_take(&rest, HEAD_BYTES + HASH_BYTES, &head))
		return ERR_CORRUPT;
	TRY(take_parts(&rest, table, true, parts, &count));
	if (rest.n != 0)
		return ERR_CORRUPT;
	put_parts(out, parts, count);
	return 0;
}

int key_index_to_item(
	str key, const struct key_schema *index, const struct key_schema *table, struct buf *out)
{
	struct key_part parts[PARTS_MAX];
	unsigned count = 0;
	str rest = key, head;

	if (!str_take(&rest, HEAD_BYTES + HASH_BYTES, &head))
		return ERR_CORRUPT;
	TRY(take_parts(&rest, index, false, parts, &count));
	TRY(take_parts(&rest, table, true, parts, &count));
	if (rest.n != 0)
		return ERR_CORRUPT;
	put_parts(out, parts, count);
	return 0;
}

int key_index_to_table(str key, const struct key_schema *index, const struct key_schema *table,
	uint64_t table_id, struct buf *out)
{
	struct key_part parts[PARTS_MAX];
	unsigned count = 0;
	str rest = key, head, primary, partition;

	if (!str_take(&rest, HEAD_BYTES + HASH_BYTES, &head))
		return ERR_CORRUPT;
	TRY(take_parts(&rest, index, false, parts, &count));
	primary = rest;
	count = 0;
	for (unsigned i = 0; i < table->partitions; i++) {
		parts[count].attribute = &table->partition[i];
		TRY(take_partition_part(&rest, &parts[count]));
	}
	partition = str_sub(primary, 0, primary.n - rest.n);
	key_put_table(out, table_id);
	buf_put_be32(out, hash_of(partition));
	buf_put(out, primary);
	return 0;
}

str key_collection(str key, const struct key_schema *table)
{
	str rest = key_values(key);
	struct key_part part;

	for (unsigned i = 0; i < table->partitions; i++) {
		part.attribute = &table->partition[i];
		check(take_partition_part(&rest, &part) == 0);
	}
	return str_sub(key, HEAD_BYTES, key.n - HEAD_BYTES - rest.n);
}

/* ---- ranges ---- */

static void put_head(struct buf *out, bool is_index, uint64_t id)
{
	is_index ? key_put_index(out, id) : key_put_table(out, id);
}

/* The first key behind all that begin with what `out` holds: increments its last byte. */
static void to_prefix_end(struct buf *out)
{
	while (out->n > 0 && (unsigned char)out->p[out->n - 1] == 0xff)
		out->n--;
	check(out->n > 0); /* the area's byte is not 0xff */
	out->p[out->n - 1]++;
}

/* How one bound stands to the keys with exactly its value. */
enum bound { BEFORE, BEHIND };

struct range {
	const struct key_condition *c;
	const struct key_schema *s;
	bool is_index;
	uint64_t id;
};

/* Everything in front of the last sort part that is narrowed. */
static void put_fixed(struct buf *out, const struct range *r, unsigned sorts)
{
	put_head(out, r->is_index, r->id);
	put_partition(out, r->s->partitions, r->c->partition);
	for (unsigned i = 0; i < sorts; i++)
		put_sort_part(out, r->c->sort[i], !r->is_index && i + 1 == r->s->sorts);
}

static void put_bound(struct buf *out, const struct range *r, str value, enum bound bound)
{
	unsigned last = r->c->sorts - 1u;
	bool raw = !r->is_index && last + 1u == r->s->sorts && attr_type(value) != ATTR_N;

	put_fixed(out, r, last);
	put_sort_part(out, value, raw);
	if (out->over || bound == BEFORE)
		return;
	if (raw)
		buf_put_char(out, 0); /* the next string */
	else
		to_prefix_end(out);
}

static void put_begins_with(struct buf *out, const struct range *r, str value, enum bound bound)
{
	unsigned last = r->c->sorts - 1u;
	bool raw = !r->is_index && last + 1u == r->s->sorts;

	put_fixed(out, r, last);
	if (raw)
		buf_put(out, attr_bytes_of(value));
	else
		put_escaped(out, attr_bytes_of(value));
	if (bound == BEHIND && !out->over)
		to_prefix_end(out);
}

static void put_partition_bound(struct buf *out, const struct range *r, enum bound bound)
{
	put_fixed(out, r, r->c->sorts ? r->c->sorts - 1u : 0);
	if (bound == BEHIND && !out->over)
		to_prefix_end(out);
}

void key_range(const struct key_condition *c, const struct key_schema *s, bool is_index,
	uint64_t id, struct buf *ret_low, struct buf *ret_high)
{
	const struct range r = {c, s, is_index, id};
	str value = c->sorts ? c->sort[c->sorts - 1] : STR_NULL;

	switch (c->op) {
	case KEY_ALL:
		put_partition_bound(ret_low, &r, BEFORE);
		put_partition_bound(ret_high, &r, BEHIND);
		return;
	case KEY_EQUAL:
		put_bound(ret_low, &r, value, BEFORE);
		put_bound(ret_high, &r, value, BEHIND);
		return;
	case KEY_LESS:
		put_partition_bound(ret_low, &r, BEFORE);
		put_bound(ret_high, &r, value, BEFORE);
		return;
	case KEY_LESS_EQUAL:
		put_partition_bound(ret_low, &r, BEFORE);
		put_bound(ret_high, &r, value, BEHIND);
		return;
	case KEY_GREATER:
		put_bound(ret_low, &r, value, BEHIND);
		put_partition_bound(ret_high, &r, BEHIND);
		return;
	case KEY_GREATER_EQUAL:
		put_bound(ret_low, &r, value, BEFORE);
		put_partition_bound(ret_high, &r, BEHIND);
		return;
	case KEY_BETWEEN:
		put_bound(ret_low, &r, value, BEFORE);
		put_bound(ret_high, &r, c->high, BEHIND);
		return;
	case KEY_BEGINS_WITH:
		put_begins_with(ret_low, &r, value, BEFORE);
		put_begins_with(ret_high, &r, value, BEHIND);
		return;
	}
	check_unreachable();
}

/* First hash of a segment; segments of 2^32 hashes as equal as can be. */
static uint64_t segment_begin(uint32_t segment, uint32_t segments)
{
	return (((uint64_t)segment << 32) + segments - 1) / segments;
}

void key_segment(bool is_index, uint64_t id, uint32_t segment, uint32_t segments,
	struct buf *ret_low, struct buf *ret_high)
{
	check(segment < segments);
	put_head(ret_low, is_index, id);
	put_head(ret_high, is_index, id);
	if (segment > 0)
		buf_put_be32(ret_low, (uint32_t)segment_begin(segment, segments));
	if (segment + 1 < segments)
		buf_put_be32(ret_high, (uint32_t)segment_begin(segment + 1, segments));
	else
		to_prefix_end(ret_high);
}

uint32_t key_segment_of(str key, uint32_t segments)
{
	uint32_t hash;
	str head;

	check(str_take(&key, HEAD_BYTES, &head) && str_take_be32(&key, &hash));
	return (uint32_t)(((uint64_t)hash * segments) >> 32);
}
