/*
 * Reading and writing of items as records.
 */
#include "services/dynamodb/record.h"

#include "base/check.h"
#include "kv/kv.h"
#include "kv/record.h"

int record_item(str value, str *ret_item, uint64_t *ret_time)
{
	struct record_header header;

	TRY(record_take(&value, &header));
	*ret_time = header.time;
	*ret_item = header.flags & RECORD_TOMBSTONE ? STR_NULL : value;
	/* The engine has compared the checksum; a form that we do not read is another version's. */
	if (ret_item->p && (value.n == 0 || value.p[0] != ITEM_VERSION))
		return ERR_CORRUPT;
	return 0;
}

int record_read(struct kv *kv, str key, struct arena *a, str *ret_item)
{
	uint64_t time;
	str value;

	if (!TRY(kv_get(kv, key, a, &value))) {
		*ret_item = STR_NULL;
		return 0;
	}
	return record_item(value, ret_item, &time);
}

int record_read_txn(struct kv_txn *txn, str key, struct arena *a, str *ret_item, uint64_t *ret_time)
{
	str value;

	if (!TRY(kv_txn_get(txn, key, a, &value))) {
		*ret_item = STR_NULL;
		*ret_time = 0;
		return 0;
	}
	return record_item(value, ret_item, ret_time);
}

str record_make(struct arena *a, str item, uint64_t time)
{
	struct record_header header = {.time = time};
	struct buf value;

	check(item.n && item.p[0] == ITEM_VERSION);
	buf_init(&value, a, ITEM_ENCODED_MAX);
	(void)buf_room(&value, RECORD_HEADER_BYTES + item.n);
	record_put(&value, &header);
	buf_put(&value, item);
	check(!value.over);
	return buf_str(&value);
}
