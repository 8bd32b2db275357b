/*
 * Sets of document paths: that they do not overlap, and the part of an item that they select.
 *
 * A projection is a tree of the paths, the children of a node sorted, so that an item (whose names
 * are sorted too) is walked once. Selected list elements are given in list order, without gaps.
 */
#include "base/check.h"
#include "services/dynamodb/attr_walk.h"
#include "services/dynamodb/expr_ast.h"

#include <stdlib.h>

/* A path and its place in the expression. */
struct ranked {
	const struct expr_path *path;
	uint32_t rank;
};

/* Names before indexes. */
static int compare_elements(const struct expr_path_element *a, const struct expr_path_element *b)
{
	if (!a->name.p != !b->name.p)
		return a->name.p ? -1 : 1;
	return a->name.p ? str_cmp(a->name, b->name)
			 : (a->index > b->index) - (a->index < b->index);
}

/* Number of leading elements that both share. */
static uint32_t shared_elements(const struct expr_path *a, const struct expr_path *b)
{
	uint32_t n = 0;

	while (n < a->count && n < b->count &&
		compare_elements(&a->elements[n], &b->elements[n]) == 0)
		n++;
	return n;
}

static int by_path(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	uint32_t n = shared_elements(x->path, y->path);

	if (n == x->path->count || n == y->path->count) {
		if (x->path->count != y->path->count)
			return x->path->count < y->path->count ? -1 : 1;
		return (x->rank > y->rank) - (x->rank < y->rank);
	}
	return compare_elements(&x->path->elements[n], &y->path->elements[n]);
}

static struct ranked *sorted(
	struct arena *arena, const struct expr_path *const *paths, uint32_t count)
{
	struct ranked *r = arena_alloc(arena, count * sizeof *r);

	for (uint32_t i = 0; i < count; i++)
		r[i] = (struct ranked){paths[i], i};
	qsort(r, count, sizeof *r, by_path);
	return r;
}

/*
 * Two paths overlap when one is the beginning of the other: sorted, it then stands right before one
 * that it begins. They conflict when they part at a name and an index: sorted, the last of the
 * names stands right before the first of the indexes.
 */
void paths_check(struct parser *p, const struct expr_path *const *paths, uint32_t count)
{
	uint32_t worst = UINT32_MAX;
	const struct ranked *r = sorted(p->e->arena, paths, count), *one = NULL, *two = NULL;
	bool overlap = false;
	str a, b;

	for (uint32_t i = 1; i < count; i++) {
		const struct expr_path *x = r[i - 1].path, *y = r[i].path;
		uint32_t n = shared_elements(x, y);
		bool begins = n == x->count;

		if (!begins && !x->elements[n].name.p == !y->elements[n].name.p)
			continue;
		if (MAX(r[i - 1].rank, r[i].rank) >= worst)
			continue;
		worst = MAX(r[i - 1].rank, r[i].rank);
		overlap = begins;
		one = r[i - 1].rank < r[i].rank ? &r[i - 1] : &r[i];
		two = one == &r[i] ? &r[i - 1] : &r[i];
	}
	if (!one)
		return;
	a = path_text(p->e->arena, one->path);
	b = path_text(p->e->arena, two->path);
	parser_problem(p,
		"Two document paths %s with each other; must remove or rewrite one of these paths; "
		"path "
		"one: %.*s, path two: %.*s",
		overlap ? "overlap" : "conflict", STR_ARG(a), STR_ARG(b));
}

/* An element of the tree; without children it selects all that is below it. */
struct selected {
	struct expr_path_element element;
	struct selected *children;
	uint32_t count;
};

struct expr_projection {
	struct selected root;
};

/* The children for r[0..count), which share their first `depth` elements. */
static void build(struct arena *arena, const struct ranked *r, uint32_t count, uint32_t depth,
	struct selected *parent)
{
	uint32_t groups = 0;

	for (uint32_t i = 0; i < count; i++)
		groups += i == 0 || shared_elements(r[i - 1].path, r[i].path) <= depth;
	parent->children = arena_new_array(arena, struct selected, groups);
	for (uint32_t i = 0, next; i < count; i = next) {
		struct selected *child = &parent->children[parent->count++];

		for (next = i + 1; next < count; next++)
			if (shared_elements(r[next - 1].path, r[next].path) <= depth)
				break;
		child->element = r[i].path->elements[depth];
		if (r[i].path->count > depth + 1)
			build(arena, r + i, next - i, depth + 1, child);
	}
}

const struct expr_projection *projection_new(
	struct arena *arena, const struct expr_path *const *paths, uint32_t count)
{
	struct expr_projection *p = arena_new(arena, struct expr_projection);

	if (count)
		build(arena, sorted(arena, paths, count), count, 0, &p->root);
	return p;
}

const struct expr_projection *expr_projection_of(
	struct arena *arena, const str *names, size_t count)
{
	struct expr_path *path = arena_new_array(arena, struct expr_path, count);
	const struct expr_path **paths = arena_new_array(arena, const struct expr_path *, count);
	uint32_t distinct = 0;
	struct ranked *r;

	for (size_t i = 0; i < count; i++) {
		path[i].elements = arena_new(arena, struct expr_path_element);
		path[i].elements[0].name = names[i];
		path[i].count = 1;
		paths[i] = &path[i];
	}
	r = sorted(arena, paths, (uint32_t)count);
	for (uint32_t i = 0; i < count; i++)
		if (i == 0 || shared_elements(r[i - 1].path, r[i].path) == 0)
			paths[distinct++] = r[i].path;
	return projection_new(arena, paths, distinct);
}

bool expr_projection_has(const struct expr_projection *p, str name)
{
	for (uint32_t i = 0; i < p->root.count; i++) {
		const struct selected *child = &p->root.children[i];

		if (str_eq(child->element.name, name))
			return child->count == 0;
	}
	return false;
}

bool expr_projection_touches(const struct expr_projection *p, str name)
{
	for (uint32_t i = 0; i < p->root.count; i++)
		if (str_eq(p->root.children[i].element.name, name))
			return true;
	return false;
}

str expr_projection_beyond(
	const struct expr_projection *q, const struct expr_projection *p, struct arena *a)
{
	str all = STR_NULL;

	for (uint32_t i = 0; i < q->root.count; i++) {
		str name = q->root.children[i].element.name;

		if (!expr_projection_has(p, name))
			all = all.p ? ARENA_CONCAT(a, all, STR(", "), name) : name;
	}
	return all;
}

static void add_paths(const struct expr_node *n, const struct expr_path **paths, uint32_t *count)
{
	if (n->kind == NODE_PATH)
		paths[(*count)++] = &n->path;
	for (uint32_t i = 0; i < n->count; i++)
		add_paths(n->args[i], paths, count);
}

static uint32_t count_paths(const struct expr_node *n)
{
	uint32_t count = n->kind == NODE_PATH;

	for (uint32_t i = 0; i < n->count; i++)
		count += count_paths(n->args[i]);
	return count;
}

str expr_condition_beyond(
	const struct expr_condition *c, const struct expr_projection *p, struct arena *a)
{
	uint32_t max = count_paths(c->root), count = 0;
	const struct expr_path **paths = arena_new_array(a, const struct expr_path *, max);
	str *names = arena_new_array(a, str, max);

	add_paths(c->root, paths, &count);
	for (uint32_t i = 0; i < count; i++)
		names[i] = paths[i]->elements[0].name;
	return expr_projection_beyond(expr_projection_of(a, names, count), p, a);
}

static bool project_value(const struct selected *s, str value, struct buf *out);

/* The entries of a map or item: both sides are sorted. True when one was there. */
static bool project_entries(const struct selected *s, struct attr_iter it, struct buf *out)
{
	bool any = false;
	uint32_t i = 0;
	str name, value;

	while (i < s->count && attr_next(&it, &name, &value)) {
		size_t begin = out->n;

		while (i < s->count && s->children[i].element.name.p &&
			str_cmp(s->children[i].element.name, name) < 0)
			i++;
		if (i == s->count || !s->children[i].element.name.p)
			return any;
		if (!str_eq(s->children[i].element.name, name))
			continue;
		attr_put_name(out, name);
		if (project_value(&s->children[i], value, out))
			any = true;
		else if (!out->over)
			out->n = begin;
	}
	return any;
}

static bool project_list(const struct selected *s, str list, struct buf *out)
{
	struct attr_iter it = attr_iter_of(list);
	uint32_t i = 0, index = 0;
	bool any = false;
	str value;

	for (; i < s->count && attr_next(&it, NULL, &value); index++) {
		size_t begin = out->n;

		while (i < s->count && s->children[i].element.index < index)
			i++;
		if (i == s->count || s->children[i].element.index != index)
			continue;
		if (project_value(&s->children[i], value, out))
			any = true;
		else if (!out->over)
			out->n = begin;
	}
	return any;
}

/* Appends what is selected of a value; false, with nothing of use appended, when there is none. */
static bool project_value(const struct selected *s, str value, struct buf *out)
{
	bool of_names = s->count && s->children[0].element.name.p;
	size_t begin;
	bool any;

	if (s->count == 0) {
		buf_put(out, value);
		return true;
	}
	if (attr_type(value) != (of_names ? ATTR_M : ATTR_L))
		return false;
	begin = attr_put_begin(out, of_names ? ATTR_M : ATTR_L);
	any = of_names ? project_entries(s, attr_iter_of(value), out) : project_list(s, value, out);
	attr_put_end(out, begin);
	return any;
}

void expr_project(const struct expr_projection *p, str item, struct buf *out)
{
	item_put_begin(out);
	project_entries(&p->root, item_iter(item), out);
}

int expr_parse_projection(struct expr *e, str text, const struct expr_projection **ret_projection)
{
	const struct expr_path **paths;
	uint32_t count = 0;
	struct parser p;

	TRY(parser_init(&p, e, EXPR_PROJECTION, text));
	paths = arena_alloc(e->arena, (text.n / 2 + 1) * sizeof *paths); /* "a,b": two bytes each */
	do {
		struct expr_path *path = arena_new(e->arena, struct expr_path);

		TRY(parser_path(&p, path));
		paths[count++] = path;
	} while (parser_take(&p, TOKEN_COMMA));
	if (parser_is(&p, TOKEN_END))
		paths_check(&p, paths, count);
	TRY(parser_finish(&p));
	*ret_projection = projection_new(e->arena, paths, count);
	return 0;
}
