/*
 * Due seconds and expiry entries' keys.
 */
#include "services/dynamodb/expiry.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "services/dynamodb/key.h"

#define YEARS_SECONDS_MAX INT64_C(157680000) /* five of 365 days */

enum { AREA_BYTES = 1, ID_BYTES = 8 };

static const int64_t second_ns = 1000000000;

/* Towards zero: a number of 38 digits has few steps to go. */
static int whole(struct decimal d, int64_t *ret_number)
{
	while (d.exponent < 0 && d.coefficient) {
		d.coefficient /= 10;
		d.exponent++;
	}
	if (d.exponent < 0) /* nothing is left in front of the point */
		d = decimal_from_i64(0);
	while (d.exponent > 0) {
		if (d.coefficient > INT64_MAX)
			return 0;
		d.coefficient *= 10;
		d.exponent--;
	}
	if (d.coefficient > INT64_MAX)
		return 0;
	*ret_number = (int64_t)d.coefficient;
	return 1;
}

int expiry_second(str item, str attribute, uint64_t *ret_second)
{
	struct decimal number;
	int64_t second;
	str value;

	if (!item_find(item, attribute, &value) || attr_type(value) != ATTR_N)
		return 0;
	number = attr_number(value);
	if (number.negative || !whole(number, &second))
		return 0;
	*ret_second = (uint64_t)second;
	return 1;
}

bool expiry_counts(uint64_t second, int64_t now_ns)
{
	return (int64_t)second >= now_ns / second_ns - YEARS_SECONDS_MAX;
}

static void put_prefix(struct buf *out, uint64_t table_id)
{
	keyspace_area(out, KEYSPACE_DYNAMODB_EXPIRY);
	buf_put_be64(out, table_id);
}

str expiry_prefix(struct arena *a, uint64_t table_id)
{
	struct buf out;

	buf_init(&out, a, KEYSPACE_KEY_MAX);
	put_prefix(&out, table_id);
	return buf_str(&out);
}

str expiry_key(struct arena *a, uint64_t table_id, uint64_t second, str item_key)
{
	struct buf out;

	buf_init(&out, a, KEYSPACE_KEY_MAX);
	put_prefix(&out, table_id);
	buf_put_be64(&out, second);
	buf_put(&out, str_from(item_key, AREA_BYTES + ID_BYTES));
	check(!out.over);
	return buf_str(&out);
}

int expiry_take(str key, struct arena *a, uint64_t *ret_second, str *ret_item_key)
{
	uint64_t table_id, second;
	struct buf out;
	str area;

	if (!str_take(&key, AREA_BYTES, &area) || !str_take_be64(&key, &table_id) ||
		!str_take_be64(&key, &second) || key.n == 0)
		return ERR_CORRUPT;
	buf_init(&out, a, KEY_BYTES_MAX);
	key_put_table(&out, table_id);
	buf_put(&out, key);
	if (out.over)
		return ERR_CORRUPT;
	*ret_second = second;
	*ret_item_key = buf_str(&out);
	return 0;
}
