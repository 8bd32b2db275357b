/*
 * Typed trees (value.h). Pure.
 */
#include "aws/value.h"

#include "base/check.h"

/* The slot of a member; an unknown name is our own bug. */
static unsigned slot_of(const struct value *v, const char *member)
{
	int i;

	check(v->kind == SHAPE_STRUCTURE);
	i = model_member(v->tree->model, v->shape, str_c(member));
	if (unlikely(i < 0))
		check_failed(__FILE__, __LINE__, member, "the shape has no such member");
	return (unsigned)i;
}

static const struct model_member *member_of(const struct value *v, unsigned slot)
{
	const struct model *m = v->tree->model;

	return &m->members[m->shapes[v->shape].first + slot];
}

/* ---- reading ---- */

const struct value *value_get(const struct value *v, const char *member)
{
	const struct value *found;

	if (!v)
		return NULL;
	found = &v->items[slot_of(v, member)];
	return found->kind ? found : NULL;
}

str value_text(const struct value *v)
{
	check(v->kind == SHAPE_STRING || v->kind == SHAPE_BLOB || v->kind == SHAPE_DOCUMENT);
	return v->s;
}

str value_str(const struct value *v, const char *member)
{
	const struct value *found = value_get(v, member);

	return found ? value_text(found) : STR_NULL;
}

int64_t value_int(const struct value *v, const char *member, int64_t otherwise)
{
	const struct value *found = value_get(v, member);

	if (!found)
		return otherwise;
	check(found->kind == SHAPE_INTEGER || found->kind == SHAPE_LONG);
	return found->i;
}

double value_double(const struct value *v, const char *member, double otherwise)
{
	const struct value *found = value_get(v, member);

	if (!found)
		return otherwise;
	check(found->kind == SHAPE_FLOAT || found->kind == SHAPE_DOUBLE);
	return found->d;
}

bool value_bool(const struct value *v, const char *member, bool otherwise)
{
	const struct value *found = value_get(v, member);

	if (!found)
		return otherwise;
	check(found->kind == SHAPE_BOOLEAN);
	return found->b;
}

int64_t value_time_ms(const struct value *v, const char *member, int64_t otherwise)
{
	const struct value *found = value_get(v, member);

	if (!found)
		return otherwise;
	check(found->kind == SHAPE_TIMESTAMP);
	return found->i;
}

const struct value *value_at(const struct value *list, uint32_t i)
{
	check(list->kind == SHAPE_LIST && i < list->n);
	return &list->items[i];
}

str value_key(const struct value *map, uint32_t i)
{
	check(map->kind == SHAPE_MAP && i < map->n);
	return map->entries[i].key;
}

const struct value *value_of(const struct value *map, uint32_t i)
{
	check(map->kind == SHAPE_MAP && i < map->n);
	return &map->entries[i].value;
}

const struct value *value_find(const struct value *map, str key)
{
	if (!map)
		return NULL;
	check(map->kind == SHAPE_MAP);
	for (uint32_t i = 0; i < map->n; i++)
		if (str_eq(map->entries[i].key, key))
			return &map->entries[i].value;
	return NULL;
}

/* ---- building ---- */

const struct value_tree *value_tree_new(struct arena *a, const struct model *m)
{
	struct value_tree *tree = arena_new(a, struct value_tree);

	*tree = (struct value_tree){.model = m, .arena = a};
	return tree;
}

void value_init_struct(struct value *v, const struct value_tree *tree, unsigned shape)
{
	const struct model_shape *s = &tree->model->shapes[shape];

	check(s->kind == SHAPE_STRUCTURE);
	*v = (struct value){.kind = SHAPE_STRUCTURE, .shape = (uint16_t)shape, .n = s->count};
	v->tree = tree;
	v->items = arena_new_array(tree->arena, struct value, s->count);
}

void value_init_list(struct value *v, const struct value_tree *tree, unsigned shape)
{
	check(tree->model->shapes[shape].kind == SHAPE_LIST);
	*v = (struct value){.kind = SHAPE_LIST, .shape = (uint16_t)shape};
	v->tree = tree;
	v->items = NULL;
}

void value_init_map(struct value *v, const struct value_tree *tree, unsigned shape)
{
	check(tree->model->shapes[shape].kind == SHAPE_MAP);
	*v = (struct value){.kind = SHAPE_MAP, .shape = (uint16_t)shape};
	v->tree = tree;
	v->entries = NULL;
}

/* Room for one more: capacities are 4, 8, 16 ..., so a full one is known by its count. */
static bool is_full(uint32_t n)
{
	return n == 0 || (n >= 4 && (n & (n - 1)) == 0);
}

static void *grown(struct arena *a, const void *old, uint32_t n, size_t size)
{
	void *more = arena_alloc(a, (n ? 2 * (size_t)n : 4) * size);

	if (n)
		memcpy(more, old, n * size);
	return more;
}

struct value *value_grow_list(struct value *list)
{
	struct value *v;

	check(list->kind == SHAPE_LIST);
	if (is_full(list->n))
		list->items = grown(list->tree->arena, list->items, list->n, sizeof(*list->items));
	v = &list->items[list->n++];
	*v = (struct value){.kind = 0};
	return v;
}

struct value *value_grow_map(struct value *map, str key)
{
	struct value_entry *e;

	check(map->kind == SHAPE_MAP);
	if (is_full(map->n))
		map->entries = grown(map->tree->arena, map->entries, map->n, sizeof(*map->entries));
	e = &map->entries[map->n++];
	*e = (struct value_entry){.key = key};
	return &e->value;
}

struct value *value_new_shape(struct arena *a, const struct model *m, unsigned shape)
{
	struct value *v = arena_new(a, struct value);

	value_init_struct(v, value_tree_new(a, m), shape);
	return v;
}

struct value *value_new(struct arena *a, const struct model *m, const char *shape)
{
	int number = model_shape_named(m, str_c(shape));

	if (unlikely(number < 0))
		check_failed(__FILE__, __LINE__, shape, "the model has no such shape");
	return value_new_shape(a, m, (unsigned)number);
}

/* The shape of a list's element or a map's value. */
static unsigned element_shape(const struct value *v)
{
	const struct model *m = v->tree->model;
	const struct model_shape *s = &m->shapes[v->shape];

	return m->members[s->first + (v->kind == SHAPE_MAP ? 1 : 0)].shape;
}

static bool is_textual(unsigned kind)
{
	return kind == SHAPE_STRING || kind == SHAPE_BLOB || kind == SHAPE_DOCUMENT;
}

static void set_str(struct value *to, const struct model *m, unsigned shape, str s)
{
	unsigned kind = m->shapes[shape].kind;

	check(is_textual(kind));
	*to = (struct value){.kind = (uint8_t)kind, .shape = (uint16_t)shape, .s = s};
}

static void set_int(struct value *to, const struct model *m, unsigned shape, int64_t i)
{
	unsigned kind = m->shapes[shape].kind;

	check(kind == SHAPE_LONG || (kind == SHAPE_INTEGER && i >= INT32_MIN && i <= INT32_MAX));
	*to = (struct value){.kind = (uint8_t)kind, .shape = (uint16_t)shape, .i = i};
}

static struct value *set_container(
	struct value *to, const struct value_tree *tree, unsigned shape, unsigned kind)
{
	check(tree->model->shapes[shape].kind == kind);
	if (to->kind) /* filled before: goes on */
		return to;
	if (kind == SHAPE_STRUCTURE)
		value_init_struct(to, tree, shape);
	else if (kind == SHAPE_LIST)
		value_init_list(to, tree, shape);
	else
		value_init_map(to, tree, shape);
	return to;
}

void value_put_str(struct value *v, const char *member, str s)
{
	unsigned slot = slot_of(v, member);

	if (s.p)
		set_str(&v->items[slot], v->tree->model, member_of(v, slot)->shape, s);
}

void value_put_int(struct value *v, const char *member, int64_t i)
{
	unsigned slot = slot_of(v, member);

	set_int(&v->items[slot], v->tree->model, member_of(v, slot)->shape, i);
}

void value_put_double(struct value *v, const char *member, double d)
{
	unsigned slot = slot_of(v, member), shape = member_of(v, slot)->shape;
	unsigned kind = v->tree->model->shapes[shape].kind;

	check(kind == SHAPE_DOUBLE || kind == SHAPE_FLOAT);
	v->items[slot] = (struct value){.kind = (uint8_t)kind, .shape = (uint16_t)shape, .d = d};
}

void value_put_bool(struct value *v, const char *member, bool b)
{
	unsigned slot = slot_of(v, member), shape = member_of(v, slot)->shape;

	check(v->tree->model->shapes[shape].kind == SHAPE_BOOLEAN);
	v->items[slot] = (struct value){.kind = SHAPE_BOOLEAN, .shape = (uint16_t)shape, .b = b};
}

void value_put_time_ms(struct value *v, const char *member, int64_t ms)
{
	unsigned slot = slot_of(v, member), shape = member_of(v, slot)->shape;

	check(v->tree->model->shapes[shape].kind == SHAPE_TIMESTAMP);
	v->items[slot] = (struct value){.kind = SHAPE_TIMESTAMP, .shape = (uint16_t)shape, .i = ms};
}

static struct value *put_container(struct value *v, const char *member, unsigned kind)
{
	unsigned slot = slot_of(v, member);

	return set_container(&v->items[slot], v->tree, member_of(v, slot)->shape, kind);
}

struct value *value_put_struct(struct value *v, const char *member)
{
	return put_container(v, member, SHAPE_STRUCTURE);
}

struct value *value_put_list(struct value *v, const char *member)
{
	return put_container(v, member, SHAPE_LIST);
}

struct value *value_put_map(struct value *v, const char *member)
{
	return put_container(v, member, SHAPE_MAP);
}

void value_add_str(struct value *list, str s)
{
	set_str(value_grow_list(list), list->tree->model, element_shape(list), s);
}

void value_add_int(struct value *list, int64_t i)
{
	set_int(value_grow_list(list), list->tree->model, element_shape(list), i);
}

struct value *value_add_struct(struct value *list)
{
	return set_container(
		value_grow_list(list), list->tree, element_shape(list), SHAPE_STRUCTURE);
}

struct value *value_add_list(struct value *list)
{
	return set_container(value_grow_list(list), list->tree, element_shape(list), SHAPE_LIST);
}

/* The slot of a key, made when missing. */
static struct value *map_slot(struct value *map, str key)
{
	const struct value *found = value_find(map, key);

	return found ? (struct value *)found : value_grow_map(map, key);
}

void value_map_put_str(struct value *map, str key, str s)
{
	set_str(map_slot(map, key), map->tree->model, element_shape(map), s);
}

void value_map_put_int(struct value *map, str key, int64_t i)
{
	set_int(map_slot(map, key), map->tree->model, element_shape(map), i);
}

struct value *value_map_put_struct(struct value *map, str key)
{
	return set_container(map_slot(map, key), map->tree, element_shape(map), SHAPE_STRUCTURE);
}

struct value *value_map_put_list(struct value *map, str key)
{
	return set_container(map_slot(map, key), map->tree, element_shape(map), SHAPE_LIST);
}

/* ---- copying; depth is bounded by the decoders' bound on what they build ---- */

static void copy_into(
	struct value *to, const struct value_tree *tree, unsigned shape, const struct value *from);

static bool same_numbers(unsigned a, unsigned b)
{
	bool whole_a = a == SHAPE_INTEGER || a == SHAPE_LONG;
	bool whole_b = b == SHAPE_INTEGER || b == SHAPE_LONG;

	return (whole_a && whole_b) || (a == SHAPE_FLOAT && b == SHAPE_DOUBLE) ||
	       (a == SHAPE_DOUBLE && b == SHAPE_FLOAT);
}

static void copy_container(struct value *to, const struct value *from)
{
	unsigned shape = element_shape(to);

	for (uint32_t i = 0; i < from->n; i++)
		if (from->kind == SHAPE_LIST)
			copy_into(value_grow_list(to), to->tree, shape, &from->items[i]);
		else
			copy_into(value_grow_map(
					  to, arena_str(to->tree->arena, from->entries[i].key)),
				to->tree, shape, &from->entries[i].value);
}

void value_copy_members(struct value *to, const struct value *from)
{
	check(to->kind == SHAPE_STRUCTURE && from->kind == SHAPE_STRUCTURE);
	for (unsigned i = 0; i < from->n; i++) {
		str name = model_str(from->tree->model, member_of(from, i)->name);
		int slot;

		if (!from->items[i].kind)
			continue;
		slot = model_member(to->tree->model, to->shape, name);
		if (slot >= 0)
			copy_into(&to->items[slot], to->tree, member_of(to, (unsigned)slot)->shape,
				&from->items[i]);
	}
}

static void copy_into(
	struct value *to, const struct value_tree *tree, unsigned shape, const struct value *from)
{
	unsigned kind = tree->model->shapes[shape].kind;

	*to = (struct value){.kind = 0};
	if (!from->kind)
		return;
	check(kind == from->kind || same_numbers(kind, from->kind));
	if (is_textual(kind)) {
		set_str(to, tree->model, shape, arena_str(tree->arena, from->s));
	} else if (kind == SHAPE_STRUCTURE || kind == SHAPE_LIST || kind == SHAPE_MAP) {
		set_container(to, tree, shape, kind);
		if (kind == SHAPE_STRUCTURE)
			value_copy_members(to, from);
		else
			copy_container(to, from);
	} else {
		*to = *from;
		to->kind = (uint8_t)kind;
		to->shape = (uint16_t)shape;
	}
}

void value_put_copy(struct value *v, const char *member, const struct value *from)
{
	unsigned slot = slot_of(v, member);

	if (from)
		copy_into(&v->items[slot], v->tree, member_of(v, slot)->shape, from);
}

void value_add_copy(struct value *list, const struct value *from)
{
	/* `from` may be an element of the same list, which growing moves */
	struct value copy = *from;

	copy_into(value_grow_list(list), list->tree, element_shape(list), &copy);
}
