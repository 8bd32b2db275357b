/*
 * Applying an update: all operands are taken from the item as it was, then the actions change a
 * tree of it that is unfolded only along their paths, and the tree is encoded.
 *
 * List positions in paths are those of the old item: elements that are removed stay as gaps until
 * the end, and what is set behind the end is appended in the order of its indexes.
 */
#include "base/check.h"
#include "services/dynamodb/attr_walk.h"
#include "services/dynamodb/expr_update_ast.h"
#include "services/dynamodb/faults.h"

#include <stdlib.h>

/* A value of the new item: as it was encoded, or unfolded into its children. */
struct part {
	str name; /* in a map */
	str raw;  /* encoded; of an unfolded part its old bytes */
	struct part **children;
	uint32_t count, capacity;
	uint32_t old_count; /* of a list: those behind are appended */
	uint32_t index;     /* of an appended element: as it was asked for */
	enum attr_type type;
	bool unfolded, removed;
};

static int wrong_type(struct expr *e)
{
	return validation_fault(e->fault, e->arena,
		"An operand in the update expression has an incorrect data type");
}

static int invalid_path(struct expr *e)
{
	return validation_fault(e->fault, e->arena,
		"The document path provided in the update expression is invalid for update");
}

/* The attribute is of another type than the action's value; AttributeUpdates has words of its own.
 */
static int mismatched(struct expr *e, const struct action *a)
{
	if (!a->legacy)
		return wrong_type(e);
	return validation_fault(e->fault, e->arena, "Type mismatch for attribute to update");
}

/* ---- operands ---- */

static int put_sum(struct expr *e, str a, str b, bool minus, struct buf *out)
{
	enum decimal_error error;
	struct decimal x, y, sum;

	if (attr_type(a) != ATTR_N || attr_type(b) != ATTR_N)
		return wrong_type(e);
	x = attr_number(a);
	y = attr_number(b);
	if ((minus ? decimal_subtract(&x, &y, &sum, &error) : decimal_add(&x, &y, &sum, &error)) <
		0)
		return validation_fault(e->fault, e->arena, "%s",
			error == DECIMAL_PRECISION
				? "Attempting to store more than 38 significant digits in a Number"
			: error == DECIMAL_OVERFLOW ? "Number overflow. Attempting to store a "
						      "number with magnitude larger "
						      "than supported range"
						    : "Number underflow. Attempting to store a "
						      "number with magnitude smaller "
						      "than supported range");
	attr_put_number(out, &sum);
	return 0;
}

static int append_lists(struct expr *e, str a, str b, struct buf *out)
{
	size_t begin;

	if (attr_type(a) != ATTR_L || attr_type(b) != ATTR_L)
		return wrong_type(e);
	begin = attr_put_begin(out, ATTR_L);
	buf_put(out, attr_iter_of(a).rest);
	buf_put(out, attr_iter_of(b).rest);
	attr_put_end(out, begin);
	return 0;
}

static int evaluate(struct expr *e, const struct expr_node *n, str old, str *ret_value)
{
	struct buf out;
	str a, b;

	switch (n->kind) {
	case NODE_VALUE: *ret_value = n->value; return 0;
	case NODE_PATH:
		if (!expr_path_get(&n->path, old, ret_value))
			return validation_fault(e->fault, e->arena,
				"The provided expression refers to an attribute that does not "
				"exist in "
				"the item");
		return 0;
	case NODE_IF_NOT_EXISTS:
		if (expr_path_get(&n->args[0]->path, old, ret_value))
			return 0;
		return evaluate(e, n->args[1], old, ret_value);
	case NODE_LIST_APPEND:
	case NODE_PLUS:
	case NODE_MINUS:
		TRY(evaluate(e, n->args[0], old, &a));
		TRY(evaluate(e, n->args[1], old, &b));
		buf_init(&out, e->arena, ITEM_ENCODED_MAX);
		if (n->kind == NODE_LIST_APPEND)
			TRY(append_lists(e, a, b, &out));
		else
			TRY(put_sum(e, a, b, n->kind == NODE_MINUS, &out));
		if (out.over)
			return ERR_TOO_LARGE;
		*ret_value = buf_str(&out);
		return 0;
	default: check_unreachable();
	}
}

/* Next element as it stands in a set's encoding, with what orders it; STR_NULL at the end. */
struct set_cursor {
	struct attr_iter it;
	str element;
};

static void set_next(struct set_cursor *c)
{
	if (!attr_next(&c->it, NULL, &c->element))
		c->element = STR_NULL;
}

static void set_put(struct buf *out, enum attr_type type, str element)
{
	if (type == ATTR_NS)
		buf_put(out, element);
	else
		attr_put_element(out, element);
}

/* Union, or what is in `a` only. Both are sorted and of one type. */
static void combine_sets(str a, str b, bool minus, struct buf *out)
{
	struct set_cursor x = {attr_iter_of(a), STR_NULL}, y = {attr_iter_of(b), STR_NULL};
	enum attr_type type = attr_type(a);
	size_t begin = attr_put_begin(out, type);

	set_next(&x);
	set_next(&y);
	while (x.element.p || (!minus && y.element.p)) {
		int order = !y.element.p ? -1 : !x.element.p ? 1 : str_cmp(x.element, y.element);

		if (order < 0 || (order == 0 && !minus))
			set_put(out, type, x.element);
		if (order > 0 && !minus)
			set_put(out, type, y.element);
		if (order <= 0)
			set_next(&x);
		if (order >= 0)
			set_next(&y);
	}
	attr_put_end(out, begin);
}

/* ---- the tree ---- */

static struct part *part_new(struct arena *arena, str name, str raw)
{
	struct part *part = arena_new(arena, struct part);

	part->name = name;
	part->raw = raw;
	return part;
}

static void part_add(struct arena *arena, struct part *parent, uint32_t at, struct part *child)
{
	if (parent->count == parent->capacity) {
		uint32_t capacity = parent->capacity ? parent->capacity * 2 : 8;
		struct part **bigger = arena_alloc(arena, capacity * sizeof *bigger);

		if (parent->count)
			memcpy(bigger, parent->children, parent->count * sizeof *bigger);
		parent->children = bigger;
		parent->capacity = capacity;
	}
	memmove(parent->children + at + 1, parent->children + at,
		(parent->count - at) * sizeof *parent->children);
	parent->children[at] = child;
	parent->count++;
}

static void unfold(struct arena *arena, struct part *part, struct attr_iter it, enum attr_type type)
{
	str name = STR_NULL, value;

	part->unfolded = true;
	part->type = type;
	while (attr_next(&it, &name, &value))
		part_add(arena, part, part->count, part_new(arena, name, value));
	part->old_count = part->count;
}

/* Where the child of that name is, or belongs. */
static uint32_t map_place(const struct part *map, str name)
{
	uint32_t low = 0, high = map->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (str_cmp(map->children[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The child that a path element names, or NULL. */
static struct part *child_of(const struct part *part, const struct expr_path_element *element)
{
	uint32_t at;

	if (!element->name.p)
		return element->index < part->old_count ? part->children[element->index] : NULL;
	at = map_place(part, element->name);
	return at < part->count && str_eq(part->children[at]->name, element->name)
		       ? part->children[at]
		       : NULL;
}

/* The part that holds what the path leads to, unfolded; a fault when it does not exist. */
static int find_parent(
	struct expr *e, struct part *root, const struct expr_path *path, struct part **ret_parent)
{
	struct part *part = root;

	for (uint32_t i = 0; i + 1 < path->count; i++) {
		enum attr_type want = path->elements[i + 1].name.p ? ATTR_M : ATTR_L;

		part = child_of(part, &path->elements[i]);
		if (!part || part->removed || attr_type(part->raw) != want)
			return invalid_path(e);
		if (!part->unfolded)
			unfold(e->arena, part, attr_iter_of(part->raw), want);
	}
	*ret_parent = part;
	return 0;
}

static unsigned depth_of(str value)
{
	enum attr_type type = attr_type(value);
	unsigned deepest = 0;
	struct attr_iter it;
	str v;

	if (type != ATTR_L && type != ATTR_M)
		return 1;
	for (it = attr_iter_of(value); attr_next(&it, NULL, &v);)
		deepest = MAX(deepest, depth_of(v));
	return 1 + deepest;
}

static int place(struct expr *e, struct part *parent, const struct expr_path *path, str value)
{
	const struct expr_path_element *last = &path->elements[path->count - 1];
	struct part *child = child_of(parent, last);

	if (path->count > 1 && path->count - 1 + depth_of(value) > ATTR_DEPTH_MAX)
		return validation_fault(e->fault, e->arena,
			"Nesting Levels have exceeded supported limits: Attributes in the item "
			"have "
			"nested levels beyond supported limit");
	if (child) {
		child->raw = value;
		return 0;
	}
	child = part_new(e->arena, last->name, value);
	if (last->name.p) {
		part_add(e->arena, parent, map_place(parent, last->name), child);
		return 0;
	}
	child->index = last->index;
	part_add(e->arena, parent, parent->count, child);
	return 0;
}

static void remove_part(struct part *parent, const struct expr_path *path)
{
	struct part *child = child_of(parent, &path->elements[path->count - 1]);

	if (child)
		child->removed = true;
}

/* ---- actions ---- */

static int apply_add(struct expr *e, const struct action *a, str old, struct part *parent)
{
	str value = a->value, before;
	struct buf out;

	if (expr_path_get(&a->path, old, &before)) {
		if (attr_type(before) != attr_type(value))
			return mismatched(e, a);
		buf_init(&out, e->arena, ITEM_ENCODED_MAX);
		if (attr_type(value) == ATTR_N)
			TRY(put_sum(e, before, value, false, &out));
		else
			combine_sets(before, value, false, &out);
		if (out.over)
			return ERR_TOO_LARGE;
		value = buf_str(&out);
	}
	return place(e, parent, &a->path, value);
}

static int apply_delete(struct expr *e, const struct action *a, str old, struct part *parent)
{
	struct buf out;
	str before;

	if (!expr_path_get(&a->path, old, &before))
		return 0;
	if (attr_type(before) != attr_type(a->value))
		return mismatched(e, a);
	buf_init(&out, e->arena, ITEM_ENCODED_MAX);
	combine_sets(before, a->value, true, &out);
	if (attr_count(buf_str(&out)) == 0) {
		remove_part(parent, &a->path);
		return 0;
	}
	return place(e, parent, &a->path, buf_str(&out));
}

static int apply(struct expr *e, const struct action *a, str old, struct part *root)
{
	struct part *parent = root;
	str value = STR_NULL;
	int rc = a->kind == ACTION_SET ? evaluate(e, a->operand, old, &value) : 0;

	if (rc == ERR_FAULT && a->legacy) /* a list was to be appended to something else */
		return mismatched(e, a);
	TRY(rc);
	TRY(find_parent(e, root, &a->path, &parent));
	switch (a->kind) {
	case ACTION_SET: return place(e, parent, &a->path, value);
	case ACTION_REMOVE: remove_part(parent, &a->path); return 0;
	case ACTION_ADD: return apply_add(e, a, old, parent);
	case ACTION_DELETE: return apply_delete(e, a, old, parent);
	}
	check_unreachable();
}

static int by_index(const void *a, const void *b)
{
	const struct part *x = *(struct part *const *)a, *y = *(struct part *const *)b;

	return (x->index > y->index) - (x->index < y->index);
}

static void encode(struct part *part, struct buf *out)
{
	size_t begin;

	if (!part->unfolded) {
		buf_put(out, part->raw);
		return;
	}
	begin = attr_put_begin(out, part->type);
	if (part->type == ATTR_L && part->count > part->old_count + 1)
		qsort(part->children + part->old_count, part->count - part->old_count,
			sizeof *part->children, by_index);
	for (uint32_t i = 0; i < part->count; i++) {
		struct part *child = part->children[i];

		if (child->removed)
			continue;
		if (part->type == ATTR_M)
			attr_put_name(out, child->name);
		encode(child, out);
	}
	attr_put_end(out, begin);
}

int expr_apply_update(struct expr *e, const struct expr_update *u, str old, struct buf *out)
{
	struct part root = {.type = ATTR_M};
	size_t begin = out->n;

	unfold(e->arena, &root, item_iter(old), ATTR_M);
	for (const struct action *a = u->first; a; a = a->next)
		TRY(apply(e, a, old, &root));
	item_put_begin(out);
	for (uint32_t i = 0; i < root.count; i++) {
		if (root.children[i]->removed)
			continue;
		attr_put_name(out, root.children[i]->name);
		encode(root.children[i], out);
	}
	if (out->over || item_size(str_of(out->p + begin, out->n - begin)) > ITEM_SIZE_MAX)
		return validation_fault(e->fault, e->arena,
			"Item size to update has exceeded the maximum allowed size");
	return 0;
}
