/*
 * Time to live: when an item is due, and the keys of expiry entries.
 *
 *     [EXPIRY][table id][second, 8 bytes, big-endian][item key behind the table id]
 *
 * Entries of a table are in the order in which its items are due, so whoever deletes them reads
 * only what is. The format is for ever. Pure.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html
 */
#ifndef DYNAMODB_EXPIRY_H
#define DYNAMODB_EXPIRY_H

#include "services/dynamodb/item.h"

/*
 * The second (since 1970) that the attribute names: 1, or 0 when it is absent, no number, negative
 * or beyond what 63 bits hold. A fraction is cut off.
 */
int expiry_second(str item, str attribute, uint64_t *ret_second);
/* Does an item that is due then expire? Not when that is more than five years ago. */
bool expiry_counts(uint64_t second, int64_t now_ns);

/* Everything of a table is below it. */
str expiry_prefix(struct arena *a, uint64_t table_id);
/* `item_key`: of the item in the store. */
str expiry_key(struct arena *a, uint64_t table_id, uint64_t second, str item_key);
/* Back from an entry's key: the second and the item's key. ERR_CORRUPT. */
must_use int expiry_take(str key, struct arena *a, uint64_t *ret_second, str *ret_item_key);

#endif
