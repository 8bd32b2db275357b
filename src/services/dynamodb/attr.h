/*
 * Attribute values in their stored form, which is also the form in memory: a value is a str of
 * encoded bytes, decoded straight from a request's typed JSON ({"S":"x"}) and rendered back.
 *
 * The encoding is canonical: equal values have equal bytes (sets are sorted and without duplicates,
 * maps are sorted by name, numbers normalised), so equality, and "nothing changed", are memcmp.
 * Format version 1, for ever (the version stands once in front of each item, see item.h):
 *
 *     S, B       tag, length (varint), bytes
 *     N          tag, the decimal's order-preserving form (base/decimal.h)
 *     BOOL, NULL tag (TRUE and FALSE have a tag each)
 *     SS, BS     tag, length of the rest (4 bytes, big-endian), then elements: length (varint),
 * bytes NS         tag, length of the rest (4 bytes), then decimals L          tag, length of the
 * rest (4 bytes), then values M          tag, length of the rest (4 bytes), then entries: name
 * length (varint), name, value
 *
 * Values are trusted once decoded: readers check() the form, because a bad one is our own bug or
 * damage that the engine's checksum must have caught. Pure; any thread.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
 */
#ifndef SERVICES_DYNAMODB_ATTR_H
#define SERVICES_DYNAMODB_ATTR_H

#include "aws/fault.h"
#include "base/decimal.h"
#include "base/json.h"

enum attr_type {
	ATTR_S,
	ATTR_N,
	ATTR_B,
	ATTR_SS,
	ATTR_NS,
	ATTR_BS,
	ATTR_L,
	ATTR_M,
	ATTR_BOOL,
	ATTR_NULL
};
enum { ATTR_TYPES = ATTR_NULL + 1 };

/* The first byte of a value. */
enum attr_tag {
	ATTR_TAG_S = 0x01,
	ATTR_TAG_N = 0x02,
	ATTR_TAG_B = 0x03,
	ATTR_TAG_SS = 0x04,
	ATTR_TAG_NS = 0x05,
	ATTR_TAG_BS = 0x06,
	ATTR_TAG_L = 0x07,
	ATTR_TAG_M = 0x08,
	ATTR_TAG_FALSE = 0x09,
	ATTR_TAG_TRUE = 0x0a,
	ATTR_TAG_NULL = 0x0b,
};

enum { ATTR_DEPTH_MAX = 32 }; /* lists and maps inside one another, "Limits" in the guide */

enum attr_type attr_type(str value);
/* "S", "NS", "BOOL" ... as on the wire. */
str attr_type_name(enum attr_type type);
/* From its wire name: 1, or 0 when there is no such type. */
int attr_type_from_name(str name, enum attr_type *ret_type);

/* The bytes of an S or a B. */
str attr_bytes_of(str value);
/* The number of an N. */
struct decimal attr_number(str value);
/* Of a BOOL. */
static inline bool attr_is_true(str value)
{
	return value.p[0] == ATTR_TAG_TRUE;
}
static inline bool attr_is_set(enum attr_type type)
{
	return type == ATTR_SS || type == ATTR_NS || type == ATTR_BS;
}

/* Elements of a set, list or map, in stored order. */
struct attr_iter {
	str rest;
	uint8_t tag;
};
struct attr_iter attr_iter_of(str value);
/*
 * 1 and the next element, 0 behind the last. SS, BS: *ret_value is the element's bytes; NS: its
 * encoded decimal; L, M: the encoded value. *ret_name is set for M, may be NULL otherwise.
 */
bool attr_next(struct attr_iter *it, str *ret_name, str *ret_value);
/* How many; walks them. */
size_t attr_count(str value);
/* Is it in the set? `element` as attr_next() gives them. */
bool attr_set_has(str set, str element);
/* The element of a list, or the entry of a map: 1, or 0 when absent. */
int attr_list_at(str list, uint64_t index, str *ret_value);
int attr_map_find(str map, str name, str *ret_value);
/* Cuts the first value off a concatenation of values. */
str attr_take(str *rest);

/*
 * Size in bytes as DynamoDB counts it, without the name: strings and binaries their bytes, numbers
 * one byte for two digits and one more, booleans and nulls 1, sets their elements, lists and maps
 * 3 and 1 for each element besides (names of map entries counted).
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
 */
size_t attr_size(str value);

/*
 * Order of two values of the same type among S, N and B, as conditions compare: < 0, 0, > 0.
 */
int attr_compare(str a, str b);

/*
 * Decoding of one request. What is not JSON or has the wrong JSON type is a SerializationException
 * at once (in *fault). What breaks a rule about values is kept as `rule`, the first one only, and
 * reading goes on, because DynamoDB reports it behind the serialization of the whole body and
 * behind the checks of parameters; callers turn it into a fault in their order and may wrap it. The
 * bytes put for a value that broke a rule are valid, but not what was asked.
 */
struct attr_decoder {
	struct arena *arena;
	struct fault *fault;
	str rule;       /* message of the first broken rule; STR_NULL: none */
	unsigned depth; /* of the value being read */
	/* What is being sorted: the entries of the open maps and the elements of a set. */
	struct attr_entry *entries;
	uint32_t entry_count, entry_capacity;
};

static inline void attr_decoder_init(
	struct attr_decoder *d, struct arena *arena, struct fault *fault)
{
	*d = (struct attr_decoder){.arena = arena, .fault = fault};
}

/* Reads one typed value and appends its encoding. ERR_FAULT. */
must_use int attr_read_json(struct attr_decoder *d, struct json_reader *r, struct buf *out);
/* Turns an error of the JSON reader into a SerializationException; returns ERR_FAULT. */
int attr_json_fault(struct attr_decoder *d, int rc);
/*
 * For a JSON value of another kind than `type` ("String", "Boolean"; NULL: a structure, map or
 * list): the message that AWS has for it. `rc` is what reading it returned. ERR_FAULT.
 */
int attr_wrong_kind(struct attr_decoder *d, struct json_reader *r, const char *type, int rc);
/* Renders {"S":"x"}. */
void attr_write_json(struct json_writer *w, str value);

/* Building values: each appends a whole value. */
void attr_put_bytes(struct buf *out, enum attr_type s_or_b, str bytes);
void attr_put_number(struct buf *out, const struct decimal *d);
void attr_put_bool(struct buf *out, bool v);
void attr_put_null(struct buf *out);
/*
 * A container: attr_put_begin() before, attr_put_end() behind its elements; returns what the
 * latter needs. Elements must be put in order.
 */
size_t attr_put_begin(struct buf *out, enum attr_type type);
void attr_put_end(struct buf *out, size_t begin);
/* Name in front of a map's or item's value. */
void attr_put_name(struct buf *out, str name);
/* Element of an SS or BS. */
void attr_put_element(struct buf *out, str bytes);

#endif
