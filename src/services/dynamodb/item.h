/*
 * Items: a version byte and the attributes sorted by name, each as in a map (attr.h). An absent
 * item is STR_NULL; one without attributes has the version byte alone.
 *
 * Handlers decode the Item of a request with item_read_json(), store the bytes as they are, and
 * render what they read with item_write_json(). Pure; any thread.
 */
#ifndef SERVICES_DYNAMODB_ITEM_H
#define SERVICES_DYNAMODB_ITEM_H

#include "services/dynamodb/attr.h"

enum {
	ITEM_VERSION = 1,
	ITEM_SIZE_MAX = 400 * 1024,          /* as item_size() counts */
	ITEM_ENCODED_MAX = 16 * 1024 * 1024, /* bound for buffers: no request body is larger */
	ITEM_NAME_MAX = 64 * 1024 - 1,       /* of an attribute that is no key */
};

/* Is it of a version that we read, and well-formed? For whoever reads it from the store. */
bool item_is_valid(str item);

/*
 * Reads {"name": typed value, ...} and appends an item. Rules as in attr.h; of equal names the last
 * value counts. ERR_FAULT.
 */
must_use int item_read_json(struct attr_decoder *d, struct json_reader *r, struct buf *out);
/* Renders {"name":{"S":"x"},...}; STR_NULL renders {}. */
void item_write_json(struct json_writer *w, str item);

/* 1 and the encoded value, or 0. STR_NULL has no attributes. */
int item_find(str item, str name, str *ret_value);

/* The attributes in order of their names: attr_next(). */
struct attr_iter item_iter(str item);
size_t item_count(str item);

/* Size in bytes as DynamoDB counts it, names included. */
size_t item_size(str item);

/* Building: attr_put_name() and one attr_put_..() for each attribute, names ascending. */
static inline void item_put_begin(struct buf *out)
{
	buf_put_char(out, ITEM_VERSION);
}

#endif
