/*
 * Reading, comparing and building encoded attribute values.
 */
#include "services/dynamodb/attr.h"

#include "services/dynamodb/attr_walk.h"

static const str type_names[ATTR_TYPES] = {
	[ATTR_S] = STR_INIT("S"),
	[ATTR_N] = STR_INIT("N"),
	[ATTR_B] = STR_INIT("B"),
	[ATTR_SS] = STR_INIT("SS"),
	[ATTR_NS] = STR_INIT("NS"),
	[ATTR_BS] = STR_INIT("BS"),
	[ATTR_L] = STR_INIT("L"),
	[ATTR_M] = STR_INIT("M"),
	[ATTR_BOOL] = STR_INIT("BOOL"),
	[ATTR_NULL] = STR_INIT("NULL"),
};

/* By type; BOOL has two and is not looked up here. */
static const uint8_t tags[ATTR_TYPES] = {
	[ATTR_S] = ATTR_TAG_S,
	[ATTR_N] = ATTR_TAG_N,
	[ATTR_B] = ATTR_TAG_B,
	[ATTR_SS] = ATTR_TAG_SS,
	[ATTR_NS] = ATTR_TAG_NS,
	[ATTR_BS] = ATTR_TAG_BS,
	[ATTR_L] = ATTR_TAG_L,
	[ATTR_M] = ATTR_TAG_M,
	[ATTR_NULL] = ATTR_TAG_NULL,
};

enum attr_type attr_type(str value)
{
	check(value.n > 0);
	switch ((enum attr_tag)value.p[0]) {
	case ATTR_TAG_S: return ATTR_S;
	case ATTR_TAG_N: return ATTR_N;
	case ATTR_TAG_B: return ATTR_B;
	case ATTR_TAG_SS: return ATTR_SS;
	case ATTR_TAG_NS: return ATTR_NS;
	case ATTR_TAG_BS: return ATTR_BS;
	case ATTR_TAG_L: return ATTR_L;
	case ATTR_TAG_M: return ATTR_M;
	case ATTR_TAG_FALSE:
	case ATTR_TAG_TRUE: return ATTR_BOOL;
	case ATTR_TAG_NULL: return ATTR_NULL;
	}
	check_unreachable();
}

str attr_type_name(enum attr_type type)
{
	return type_names[type];
}

int attr_type_from_name(str name, enum attr_type *ret_type)
{
	for (int i = 0; i < ATTR_TYPES; i++)
		if (str_eq(type_names[i], name)) {
			*ret_type = (enum attr_type)i;
			return 1;
		}
	return 0;
}

str attr_take(str *rest)
{
	const char *begin = rest->p;
	uint8_t tag;
	str part;

	check(rest->n > 0);
	tag = (uint8_t)rest->p[0];
	*rest = (str){rest->p + 1, rest->n - 1};
	switch ((enum attr_tag)tag) {
	case ATTR_TAG_S:
	case ATTR_TAG_B: (void)attr_take_sized(rest); break;
	case ATTR_TAG_N: (void)attr_take_decimal(rest); break;
	case ATTR_TAG_SS:
	case ATTR_TAG_NS:
	case ATTR_TAG_BS:
	case ATTR_TAG_L:
	case ATTR_TAG_M:
		check(rest->n >= 4 && attr_be32(rest->p) <= rest->n - 4);
		check(str_take(rest, 4 + (size_t)attr_be32(rest->p), &part));
		break;
	case ATTR_TAG_FALSE:
	case ATTR_TAG_TRUE:
	case ATTR_TAG_NULL: break;
	default: check_unreachable();
	}
	return str_of(begin, (size_t)(rest->p - begin));
}

str attr_bytes_of(str value)
{
	str rest = str_from(value, 1);

	check(value.n > 0 && (value.p[0] == ATTR_TAG_S || value.p[0] == ATTR_TAG_B));
	return attr_take_sized(&rest);
}

struct decimal attr_number(str value)
{
	str rest = str_from(value, 1);
	struct decimal d;

	check(value.n > 0 && value.p[0] == ATTR_TAG_N);
	check(decimal_decode(&rest, &d) == 0);
	return d;
}

struct attr_iter attr_iter_of(str value)
{
	check(value.n >= 5 && value.p[0] >= ATTR_TAG_SS && value.p[0] <= ATTR_TAG_M);
	return (struct attr_iter){str_from(value, 5), (uint8_t)value.p[0]};
}

bool attr_next(struct attr_iter *it, str *ret_name, str *ret_value)
{
	if (it->rest.n == 0)
		return false;
	switch ((enum attr_tag)it->tag) {
	case ATTR_TAG_SS:
	case ATTR_TAG_BS: *ret_value = attr_take_sized(&it->rest); return true;
	case ATTR_TAG_NS: *ret_value = attr_take_decimal(&it->rest); return true;
	case ATTR_TAG_L: *ret_value = attr_take(&it->rest); return true;
	case ATTR_TAG_M: {
		str name = attr_take_sized(&it->rest);

		if (ret_name)
			*ret_name = name;
		*ret_value = attr_take(&it->rest);
		return true;
	}
	default: check_unreachable();
	}
}

size_t attr_count(str value)
{
	struct attr_iter it = attr_iter_of(value);
	size_t n = 0;
	str v;

	while (attr_next(&it, NULL, &v))
		n++;
	return n;
}

bool attr_set_has(str set, str element)
{
	struct attr_iter it = attr_iter_of(set);
	str v;

	while (attr_next(&it, NULL, &v)) {
		int c = str_cmp(v, element);

		if (c >= 0)
			return c == 0;
	}
	return false;
}

int attr_list_at(str list, uint64_t index, str *ret_value)
{
	struct attr_iter it = attr_iter_of(list);
	str v;

	check(it.tag == ATTR_TAG_L);
	while (attr_next(&it, NULL, &v))
		if (index-- == 0) {
			*ret_value = v;
			return 1;
		}
	return 0;
}

int attr_map_find(str map, str name, str *ret_value)
{
	struct attr_iter it = attr_iter_of(map);

	check(it.tag == ATTR_TAG_M);
	return attr_find_sorted(it, name, ret_value);
}

/* One byte for two digits, of which the encoding has a byte each, and one more. */
static size_t number_size(str encoded)
{
	return encoded.n == 1 ? 1 : encoded.n - 2 + 1; /* zero; sign and exponent */
}

size_t attr_size(str value)
{
	enum attr_type type = attr_type(value);
	struct attr_iter it;
	size_t size = 0;
	str name, v;

	switch (type) {
	case ATTR_S:
	case ATTR_B: return attr_bytes_of(value).n;
	case ATTR_N: return number_size(str_from(value, 1));
	case ATTR_BOOL:
	case ATTR_NULL: return 1;
	case ATTR_SS:
	case ATTR_BS:
		for (it = attr_iter_of(value); attr_next(&it, NULL, &v);)
			size += v.n;
		return size;
	case ATTR_NS:
		for (it = attr_iter_of(value); attr_next(&it, NULL, &v);)
			size += number_size(v);
		return size;
	case ATTR_L:
		size = 3;
		for (it = attr_iter_of(value); attr_next(&it, NULL, &v);)
			size += 1 + attr_size(v);
		return size;
	case ATTR_M:
		size = 3;
		for (it = attr_iter_of(value); attr_next(&it, &name, &v);)
			size += 1 + name.n + attr_size(v);
		return size;
	}
	check_unreachable();
}

int attr_compare(str a, str b)
{
	check(attr_type(a) == attr_type(b));
	if (attr_type(a) == ATTR_N) /* the encoding keeps the order */
		return str_cmp(a, b);
	return str_cmp(attr_bytes_of(a), attr_bytes_of(b));
}

void attr_put_element(struct buf *out, str bytes)
{
	if (likely(bytes.n < 0x80))
		buf_put_char(out, (char)bytes.n);
	else
		buf_put_varint(out, bytes.n);
	buf_put(out, bytes);
}

void attr_put_name(struct buf *out, str name)
{
	attr_put_element(out, name);
}

void attr_put_bytes(struct buf *out, enum attr_type s_or_b, str bytes)
{
	check(s_or_b == ATTR_S || s_or_b == ATTR_B);
	buf_put_char(out, (char)tags[s_or_b]);
	attr_put_element(out, bytes);
}

void attr_put_number(struct buf *out, const struct decimal *d)
{
	uint8_t bytes[1 + DECIMAL_ENCODED_MAX];

	bytes[0] = ATTR_TAG_N;
	buf_put(out, str_of(bytes, 1 + decimal_encode(d, bytes + 1)));
}

void attr_put_bool(struct buf *out, bool v)
{
	buf_put_char(out, v ? ATTR_TAG_TRUE : ATTR_TAG_FALSE);
}

void attr_put_null(struct buf *out)
{
	buf_put_char(out, ATTR_TAG_NULL);
}

size_t attr_put_begin(struct buf *out, enum attr_type type)
{
	check(type >= ATTR_SS && type <= ATTR_M);
	buf_put_char(out, (char)tags[type]);
	buf_put_be32(out, 0);
	return out->n;
}

void attr_put_end(struct buf *out, size_t begin)
{
	uint32_t n;

	if (out->over) /* the head may be missing */
		return;
	n = __builtin_bswap32((uint32_t)(out->n - begin));
	memcpy(out->p + begin - 4, &n, 4);
}
