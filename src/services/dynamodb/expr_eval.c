/*
 * Evaluation of conditions. It cannot fail: an operand that is absent, or of a type that does not
 * fit, makes its comparison false (and "<>" true).
 */
#include "base/check.h"
#include "services/dynamodb/expr_ast.h"

/* An operand's value for one item. */
struct operand {
	bool present;
	str value; /* encoded; maybe in `room` */
	uint8_t room[1 + DECIMAL_ENCODED_MAX];
};

/* Length of a string in characters as Java counts them: UTF-16 units. */
static size_t text_length(str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		n += (c & 0xc0) != 0x80;
		n += c >= 0xf0;
	}
	return n;
}

/* size(): 1, or 0 when the type has none. */
static int size_of(str value, uint64_t *ret_size)
{
	switch (attr_type(value)) {
	case ATTR_S: *ret_size = text_length(attr_bytes_of(value)); return 1;
	case ATTR_B: *ret_size = attr_bytes_of(value).n; return 1;
	case ATTR_SS:
	case ATTR_NS:
	case ATTR_BS:
	case ATTR_L:
	case ATTR_M: *ret_size = attr_count(value); return 1;
	case ATTR_N:
	case ATTR_BOOL:
	case ATTR_NULL: return 0;
	}
	check_unreachable();
}

static void resolve(const struct expr_node *n, str item, struct operand *ret)
{
	struct decimal d;
	uint64_t size;
	str value;

	switch (n->kind) {
	case NODE_VALUE:
		ret->present = true;
		ret->value = n->value;
		return;
	case NODE_PATH: ret->present = expr_path_get(&n->path, item, &ret->value) > 0; return;
	case NODE_SIZE:
		ret->present = false;
		if (n->args[0]->kind == NODE_VALUE)
			value = n->args[0]->value;
		else if (!expr_path_get(&n->args[0]->path, item, &value))
			return;
		if (!size_of(value, &size))
			return;
		d = decimal_from_i64((int64_t)size);
		ret->present = true;
		ret->room[0] = ATTR_TAG_N;
		ret->value = str_of(ret->room, 1 + decimal_encode(&d, ret->room + 1));
		return;
	default: check_unreachable();
	}
}

static bool equal(const struct operand *a, const struct operand *b)
{
	return a->present && b->present && str_eq(a->value, b->value);
}

/* Have both an order, the same one? Then how a stands to b. */
static bool ordered(const struct operand *a, const struct operand *b, int *ret_order)
{
	enum attr_type type;

	if (!a->present || !b->present)
		return false;
	type = attr_type(a->value);
	if (type != attr_type(b->value) || (type != ATTR_S && type != ATTR_N && type != ATTR_B))
		return false;
	*ret_order = attr_compare(a->value, b->value);
	return true;
}

static bool compares(enum node_kind kind, const struct operand *a, const struct operand *b)
{
	int order;

	if (kind == NODE_EQUAL)
		return equal(a, b);
	if (kind == NODE_NOT_EQUAL)
		return !equal(a, b);
	if (!ordered(a, b, &order))
		return false;
	switch (kind) {
	case NODE_LESS: return order < 0;
	case NODE_LESS_EQUAL: return order <= 0;
	case NODE_GREATER: return order > 0;
	case NODE_GREATER_EQUAL: return order >= 0;
	default: check_unreachable();
	}
}

static bool begins_with(const struct operand *a, const struct operand *b)
{
	enum attr_type type;

	if (!a->present || !b->present)
		return false;
	type = attr_type(a->value);
	if (type != attr_type(b->value) || (type != ATTR_S && type != ATTR_B))
		return false;
	return str_starts(attr_bytes_of(a->value), attr_bytes_of(b->value));
}

/* The set type whose elements are of this type; ATTR_NULL: none. */
static enum attr_type set_type_of(enum attr_type element)
{
	return element == ATTR_S   ? ATTR_SS
	       : element == ATTR_N ? ATTR_NS
	       : element == ATTR_B ? ATTR_BS
				   : ATTR_NULL;
}

static bool contains(const struct operand *a, const struct operand *b)
{
	enum attr_type type, element;
	struct attr_iter it;
	str v;

	if (!a->present || !b->present)
		return false;
	type = attr_type(a->value);
	element = attr_type(b->value);
	if (type == ATTR_L) {
		for (it = attr_iter_of(a->value); attr_next(&it, NULL, &v);)
			if (str_eq(v, b->value))
				return true;
		return false;
	}
	if (attr_is_set(type)) {
		if (set_type_of(element) != type)
			return false;
		return attr_set_has(a->value,
			element == ATTR_N ? str_from(b->value, 1) : attr_bytes_of(b->value));
	}
	return type == element && (type == ATTR_S || type == ATTR_B) &&
	       str_find_str(attr_bytes_of(a->value), attr_bytes_of(b->value)) >= 0;
}

/* All of up to two operands of a node. */
static void resolve_both(const struct expr_node *n, str item, struct operand ret[2])
{
	resolve(n->args[0], item, &ret[0]);
	resolve(n->args[1], item, &ret[1]);
}

static bool between(const struct expr_node *n, str item)
{
	struct operand value, low, high;

	resolve(n->args[0], item, &value);
	resolve(n->args[1], item, &low);
	resolve(n->args[2], item, &high);
	return compares(NODE_GREATER_EQUAL, &value, &low) &&
	       compares(NODE_LESS_EQUAL, &value, &high);
}

static bool is_in(const struct expr_node *n, str item)
{
	struct operand value, other;

	resolve(n->args[0], item, &value);
	for (uint32_t i = 1; i < n->count; i++) {
		resolve(n->args[i], item, &other);
		if (equal(&value, &other))
			return true;
	}
	return false;
}

static bool has_type(const struct expr_node *n, str item)
{
	enum attr_type type;
	str value;

	return expr_path_get(&n->args[0]->path, item, &value) &&
	       attr_type_from_name(attr_bytes_of(n->args[1]->value), &type) &&
	       attr_type(value) == type;
}

/* Everything that has no conditions below it; kept out of the frame that nests. */
static noinline_fn bool leaf_matches(const struct expr_node *n, str item)
{
	struct operand o[2];
	str value;

	switch (n->kind) {
	case NODE_BETWEEN: return between(n, item);
	case NODE_IN: return is_in(n, item);
	case NODE_EXISTS: return expr_path_get(&n->args[0]->path, item, &value) > 0;
	case NODE_NOT_EXISTS: return expr_path_get(&n->args[0]->path, item, &value) == 0;
	case NODE_TYPE: return has_type(n, item);
	case NODE_BEGINS_WITH: resolve_both(n, item, o); return begins_with(&o[0], &o[1]);
	case NODE_CONTAINS: resolve_both(n, item, o); return contains(&o[0], &o[1]);
	default: resolve_both(n, item, o); return compares(n->kind, &o[0], &o[1]);
	}
}

static bool matches(const struct expr_node *n, str item)
{
	bool is_or = n->kind == NODE_OR;

	if (n->kind == NODE_NOT)
		return !matches(n->args[0], item);
	if (n->kind != NODE_AND && !is_or)
		return leaf_matches(n, item);
	for (uint32_t i = 0; i < n->count; i++)
		if (matches(n->args[i], item) == is_or)
			return is_or;
	return !is_or;
}

bool expr_matches(const struct expr_condition *c, str item)
{
	return matches(c->root, item);
}
