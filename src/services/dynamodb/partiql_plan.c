/*
 * From WHERE to keys: which partitions a SELECT reads and what is left to filter, and which item a
 * write names.
 *
 * WHERE is looked at as the terms that AND joins at its top. A term on the partition key that says
 * which values it can have (=, IN, = OR =) gives the partitions; terms on the sort attributes,
 * from the left, narrow them; they are then what KeyConditionExpression is (expr_key.c), with its
 * checks. All other terms are the filter. Without such a term it is a scan.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.select.html
 */
#include "base/check.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/partiql_ast.h"

#include <stdlib.h>

/* The terms of WHERE, and which of them the keys have taken. */
struct terms {
	const struct expr_node **term;
	bool *taken;
	uint32_t count;
};

static uint32_t count_terms(const struct expr_node *n)
{
	uint32_t count = 0;

	if (n->kind != NODE_AND)
		return 1;
	for (uint32_t i = 0; i < n->count; i++)
		count += count_terms(n->args[i]);
	return count;
}

static void collect(const struct expr_node *n, struct terms *t)
{
	if (n->kind != NODE_AND) {
		t->term[t->count++] = n;
		return;
	}
	for (uint32_t i = 0; i < n->count; i++)
		collect(n->args[i], t);
}

static struct terms terms_of(struct arena *a, const struct expr_condition *where)
{
	struct terms t = {.count = 0};
	uint32_t count = where ? count_terms(where->root) : 0;

	t.term = arena_new_array(a, const struct expr_node *, count);
	t.taken = arena_new_array(a, bool, count);
	if (where)
		collect(where->root, &t);
	return t;
}

static bool is_name(const struct expr_node *n, str name)
{
	return n->kind == NODE_PATH && n->path.count == 1 && str_eq(n->path.elements[0].name, name);
}

/* Does the node compare the attribute with values only? */
static bool compares(const struct expr_node *n, str name)
{
	bool turned = n->count == 2 && n->args[0]->kind == NODE_VALUE && n->kind >= NODE_EQUAL &&
		      n->kind <= NODE_GREATER_EQUAL;

	if (n->count < 2 || !is_name(n->args[turned], name))
		return false;
	for (uint32_t i = 0; i < n->count; i++)
		if (i != turned && n->args[i]->kind != NODE_VALUE)
			return false;
	return true;
}

/* The value of an equality on the attribute; STR_NULL: it is none. */
static str equal_value(const struct expr_node *n, str name)
{
	if (n->kind != NODE_EQUAL || !compares(n, name))
		return STR_NULL;
	return n->args[n->args[0]->kind == NODE_PATH]->value;
}

/* The values that the node allows the attribute: how many; 0: it does not say. */
static uint32_t values_of(struct arena *a, const struct expr_node *n, str name, str **ret_values)
{
	uint32_t first = n->kind == NODE_IN, count = n->count - first;
	str *values;

	if (n->kind == NODE_EQUAL) {
		first = count = 1;
	} else if (n->kind != NODE_OR && (n->kind != NODE_IN || !compares(n, name))) {
		return 0;
	}
	values = arena_new_array(a, str, count);
	for (uint32_t i = 0; i < count; i++) {
		values[i] = n->kind == NODE_IN      ? n->args[first + i]->value
			    : n->kind == NODE_EQUAL ? equal_value(n, name)
						    : equal_value(n->args[i], name);
		if (!values[i].p)
			return 0;
	}
	*ret_values = values;
	return count;
}

/* Key attributes by number: the partition ones, then the sort ones. */
static str key_name(const struct key_schema *keys, unsigned i)
{
	return i < keys->partitions ? keys->partition[i].name
				    : keys->sort[i - keys->partitions].name;
}

/* The item of the key attributes, which have these values. */
static int key_item(struct arena *a, const struct key_schema *keys, const str *values, str *ret_key)
{
	unsigned count = keys->partitions + keys->sorts;
	str before = STR_NULL;
	struct buf key;

	buf_init(&key, a, ITEM_ENCODED_MAX);
	item_put_begin(&key);
	for (unsigned n = 0; n < count; n++) {
		unsigned next = count;

		for (unsigned i = 0; i < count; i++)
			if ((!before.p || str_cmp(key_name(keys, i), before) > 0) &&
				(next == count ||
					str_cmp(key_name(keys, i), key_name(keys, next)) < 0))
				next = i;
		before = key_name(keys, next);
		attr_put_name(&key, before);
		buf_put(&key, values[next]);
	}
	if (key.over)
		return ERR_TOO_LARGE;
	*ret_key = buf_str(&key);
	return 0;
}

/* ---- SELECT ---- */

/* The terms that became key conditions, as the arguments of an AND. */
struct key_terms {
	struct expr_node *arg[2 * KEY_ATTRIBUTES_MAX];
	uint32_t count;
};

static void take(struct terms *t, uint32_t at, struct key_terms *k)
{
	t->taken[at] = true;
	k->arg[k->count++] = (struct expr_node *)t->term[at];
}

/* Terms on all partition attributes but the first, which may have several values. */
static bool take_other_partitions(
	struct terms *t, const struct key_schema *keys, struct key_terms *k)
{
	for (unsigned i = 1; i < keys->partitions; i++) {
		uint32_t at = 0;

		while (at < t->count && !equal_value(t->term[at], keys->partition[i].name).p)
			at++;
		if (at == t->count)
			return false;
		take(t, at, k);
	}
	return true;
}

static bool narrows(const struct expr_node *n, str name)
{
	switch (n->kind) {
	case NODE_EQUAL:
	case NODE_LESS:
	case NODE_LESS_EQUAL:
	case NODE_GREATER:
	case NODE_GREATER_EQUAL:
	case NODE_BETWEEN:
	case NODE_BEGINS_WITH: return compares(n, name);
	default: return false;
	}
}

/* Sort attributes from the left: by equality but the last. */
static void take_sorts(struct terms *t, const struct key_schema *keys, struct key_terms *k)
{
	for (unsigned i = 0; i < keys->sorts; i++) {
		uint32_t equal = 0, other = 0;

		while (equal < t->count && !equal_value(t->term[equal], keys->sort[i].name).p)
			equal++;
		if (equal < t->count) {
			take(t, equal, k);
			continue;
		}
		while (other < t->count && !narrows(t->term[other], keys->sort[i].name))
			other++;
		if (other < t->count)
			take(t, other, k);
		return;
	}
}

/* Scalars of one type by their order, others by type. */
static int by_value(const void *a, const void *b)
{
	str x = *(const str *)a, y = *(const str *)b;
	enum attr_type type = attr_type(x);

	if (type == attr_type(y) && (type == ATTR_S || type == ATTR_N || type == ATTR_B))
		return attr_compare(x, y);
	return str_cmp(x, y);
}

/* Sorted, each once. */
static uint32_t settle(str *values, uint32_t count)
{
	uint32_t kept = 0;

	qsort(values, count, sizeof *values, by_value);
	for (uint32_t i = 0; i < count; i++)
		if (i == 0 || !str_eq(values[i], values[i - 1]))
			values[kept++] = values[i];
	return kept;
}

/* The condition on one partition, checked against the schema. */
static int match(struct partiql *s, const struct key_schema *keys, str partition,
	const struct key_terms *k, struct key_condition *ret)
{
	struct parser p = {.e = &s->expr, .kind = EXPR_STATEMENT};
	struct expr_node *all = parser_node(&p, NODE_AND, k->count + 1),
			 *equal = parser_node(&p, NODE_EQUAL, 2);
	struct expr_condition c = {.root = all};

	equal->args[0] = parser_node(&p, NODE_PATH, 0);
	equal->args[0]->path.count = 1;
	equal->args[0]->path.elements = arena_new(s->expr.arena, struct expr_path_element);
	equal->args[0]->path.elements[0].name = keys->partition[0].name;
	equal->args[1] = parser_node(&p, NODE_VALUE, 0);
	equal->args[1]->value = partition;
	all->args[0] = equal;
	memcpy(all->args + 1, k->arg, k->count * sizeof *k->arg);
	return expr_match_key_condition(&s->expr, &c, keys, ret);
}

/* What no key has taken; NULL: nothing. */
static const struct expr_condition *rest_of(struct partiql *s, const struct terms *t)
{
	struct parser p = {.e = &s->expr, .kind = EXPR_STATEMENT};
	struct expr_condition *c = arena_new(s->expr.arena, struct expr_condition);
	uint32_t count = 0;

	c->root = parser_node(&p, NODE_AND, t->count);
	for (uint32_t i = 0; i < t->count; i++)
		if (!t->taken[i])
			c->root->args[count++] = (struct expr_node *)t->term[i];
	c->root->count = count;
	return count ? c : NULL;
}

/* The one item that the plan can find, if so. */
static int name_item(struct partiql *s, const struct key_schema *keys, struct partiql_plan *plan)
{
	const struct key_condition *c = plan->conditions;
	str values[2 * KEY_ATTRIBUTES_MAX];

	if (plan->count > 1 || c->sorts < keys->sorts || (keys->sorts && c->op != KEY_EQUAL))
		return 0;
	memcpy(values, c->partition, keys->partitions * sizeof *values);
	memcpy(values + keys->partitions, c->sort, keys->sorts * sizeof *values);
	return key_item(s->expr.arena, keys, values, &plan->key);
}

static int plan_query(struct partiql *s, const struct key_schema *keys, struct terms *t,
	str *values, uint32_t count, struct partiql_plan *ret)
{
	struct key_terms k = {.count = 0};

	count = settle(values, count);
	if (count > PARTIQL_PARTITIONS_MAX)
		return validation_fault(s->expr.fault, s->expr.arena,
			"The IN operator is provided with too many operands; number of operands: "
			"%u",
			count);
	(void)take_other_partitions(t, keys, &k);
	take_sorts(t, keys, &k);
	ret->conditions = arena_new_array(s->expr.arena, struct key_condition, count);
	for (; ret->count < count; ret->count++)
		TRY(match(s, keys, values[ret->count], &k, &ret->conditions[ret->count]));
	return name_item(s, keys, ret);
}

static void turn(struct partiql_plan *plan)
{
	for (unsigned i = 0; i < plan->count / 2; i++) {
		struct key_condition c = plan->conditions[i];

		plan->conditions[i] = plan->conditions[plan->count - 1 - i];
		plan->conditions[plan->count - 1 - i] = c;
	}
}

static int plan_orders(struct partiql *s, const struct key_schema *keys, struct partiql_plan *plan)
{
	struct expr *e = &s->expr;
	enum attr_type type;
	bool by_partition = false;

	if (s->orders && !s->where)
		return validation_fault(e->fault, e->arena,
			"Must have WHERE clause in the statement when using ORDER BY clause.");
	if (s->orders && plan->count == 0)
		return validation_fault(e->fault, e->arena,
			"Must have at least one non-optional hash key condition in WHERE clause "
			"when using ORDER BY clause.");
	for (unsigned i = 0; i < s->orders; i++) {
		const struct partiql_order *o = &s->order[i];

		if (!key_schema_find(keys, o->name, &type))
			return validation_fault(e->fault, e->arena,
				"Variable reference %.*s in ORDER BY clause must be part of the "
				"primary key",
				STR_ARG(o->name));
		if (str_eq(o->name, keys->partition[0].name)) {
			by_partition = true;
			if (o->descending)
				turn(plan);
		} else if (keys->sorts && str_eq(o->name, keys->sort[0].name)) {
			if (plan->count > 1 && !by_partition)
				return validation_fault(e->fault, e->arena,
					"ORDER BY %.*s needs one partition key, or the partition "
					"key in front of it",
					STR_ARG(o->name));
			plan->reverse = o->descending;
		}
	}
	return 0;
}

int partiql_plan(struct partiql *s, const struct key_schema *keys, struct partiql_plan *ret)
{
	struct arena *a = s->expr.arena;
	struct terms t = terms_of(a, s->where);
	struct key_terms others = {.count = 0};
	struct partiql_plan plan = {.key = STR_NULL};
	uint32_t at = 0, count = 0;
	str *values;

	while (at < t.count && !count)
		count = values_of(a, t.term[at++], keys->partition[0].name, &values);
	/* An index with several partition attributes is queried when all have a value. */
	if (count && !take_other_partitions(&t, keys, &others))
		count = 0;
	memset(t.taken, 0, t.count * sizeof *t.taken);
	if (count) {
		t.taken[at - 1] = true;
		TRY(plan_query(s, keys, &t, values, count, &plan));
	}
	TRY(plan_orders(s, keys, &plan));
	plan.filter = rest_of(s, &t);
	*ret = plan;
	return 0;
}

/* ---- writes ---- */

int partiql_key(struct partiql *s, const struct key_schema *keys, str *ret_key,
	const struct expr_condition **ret_rest)
{
	struct terms t = terms_of(s->expr.arena, s->where);
	str values[2 * KEY_ATTRIBUTES_MAX];
	unsigned count = keys->partitions + keys->sorts;

	for (unsigned i = 0; i < count; i++) {
		str name = key_name(keys, i);
		uint32_t at = 0;

		while (at < t.count && !equal_value(t.term[at], name).p)
			at++;
		if (at == t.count)
			return validation_fault(s->expr.fault, s->expr.arena,
				"Where clause does not contain a mandatory equality on all key "
				"attributes");
		t.taken[at] = true;
		values[i] = equal_value(t.term[at], name);
	}
	*ret_rest = rest_of(s, &t);
	return key_item(s->expr.arena, keys, values, ret_key);
}

const struct expr_condition *partiql_condition(
	struct partiql *s, const struct key_schema *keys, const struct expr_condition *rest)
{
	struct parser p = {.e = &s->expr, .kind = EXPR_STATEMENT};
	struct expr_condition *c = arena_new(s->expr.arena, struct expr_condition);
	struct expr_node *there =
		parser_node(&p, s->kind == PARTIQL_UPDATE ? NODE_EXISTS : NODE_NOT_EXISTS, 1);

	there->args[0] = parser_node(&p, NODE_PATH, 0);
	there->args[0]->path.count = 1;
	there->args[0]->path.elements = arena_new(s->expr.arena, struct expr_path_element);
	there->args[0]->path.elements[0].name = keys->partition[0].name;
	c->root = there;
	if (rest) {
		c->root = parser_node(&p, s->kind == PARTIQL_UPDATE ? NODE_AND : NODE_OR, 2);
		c->root->args[0] = there;
		c->root->args[1] = rest->root;
	}
	return s->kind == PARTIQL_DELETE && !rest ? NULL : c;
}
