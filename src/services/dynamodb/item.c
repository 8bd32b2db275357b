/*
 * Items: look-up, size, and the check of what comes from the store.
 */
#include "services/dynamodb/item.h"

#include "services/dynamodb/attr_walk.h"

struct attr_iter item_iter(str item)
{
	if (!item.p)
		return (struct attr_iter){STR_NULL, ATTR_TAG_M};
	check(item.n >= 1 && item.p[0] == ITEM_VERSION);
	return (struct attr_iter){{item.p + 1, item.n - 1}, ATTR_TAG_M};
}

int item_find(str item, str name, str *ret_value)
{
	return attr_find_sorted(item_iter(item), name, ret_value);
}

size_t item_count(str item)
{
	struct attr_iter it = item_iter(item);
	size_t n = 0;
	str v;

	while (attr_next(&it, NULL, &v))
		n++;
	return n;
}

size_t item_size(str item)
{
	struct attr_iter it = item_iter(item);
	size_t size = 0;
	str name, v;

	while (attr_next(&it, &name, &v))
		size += name.n + attr_size(v);
	return size;
}

static bool take_decimal(str *rest, str *ret_part)
{
	str before = *rest;
	struct decimal d;

	if (decimal_decode(rest, &d) < 0)
		return false;
	*ret_part = str_of(before.p, before.n - rest->n);
	return true;
}

static bool set_is_valid(uint8_t tag, str rest)
{
	str before = STR_NULL, v;

	if (rest.n == 0)
		return false;
	while (rest.n > 0) {
		if (tag == ATTR_TAG_NS ? !take_decimal(&rest, &v) : !str_take_sized(&rest, &v))
			return false;
		if (before.p && str_cmp(before, v) >= 0)
			return false;
		before = v;
	}
	return true;
}

static bool take_value(str *rest, unsigned depth);

static bool entries_are_valid(str rest, unsigned depth)
{
	str before = STR_NULL, name;

	while (rest.n > 0) {
		if (!str_take_sized(&rest, &name) || !take_value(&rest, depth))
			return false;
		if (before.p && str_cmp(before, name) >= 0)
			return false;
		before = name;
	}
	return true;
}

static bool take_value(str *rest, unsigned depth)
{
	uint32_t n;
	uint8_t tag;
	str part;

	if (depth > ATTR_DEPTH_MAX || !str_take_u8(rest, &tag))
		return false;
	switch ((enum attr_tag)tag) {
	case ATTR_TAG_S:
	case ATTR_TAG_B: return str_take_sized(rest, &part);
	case ATTR_TAG_N: return take_decimal(rest, &part);
	case ATTR_TAG_FALSE:
	case ATTR_TAG_TRUE:
	case ATTR_TAG_NULL: return true;
	case ATTR_TAG_SS:
	case ATTR_TAG_NS:
	case ATTR_TAG_BS:
	case ATTR_TAG_L:
	case ATTR_TAG_M: break;
	default: return false;
	}
	if (!str_take_be32(rest, &n) || !str_take(rest, n, &part))
		return false;
	if (tag == ATTR_TAG_M)
		return entries_are_valid(part, depth + 1);
	if (tag != ATTR_TAG_L)
		return set_is_valid(tag, part);
	while (part.n > 0)
		if (!take_value(&part, depth + 1))
			return false;
	return true;
}

bool item_is_valid(str item)
{
	return item.n >= 1 && item.p[0] == ITEM_VERSION && entries_are_valid(str_from(item, 1), 1);
}
