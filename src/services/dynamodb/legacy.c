/*
 * The rules of the legacy parameters, and their translation into the expression language's trees.
 */
#include "services/dynamodb/legacy.h"

#include "base/check.h"
#include "services/dynamodb/expr_update_ast.h"
#include "services/dynamodb/faults.h"

#define INVALID "One or more parameter values were invalid: "

/* Sets of types, for what an operator takes. */
#define TYPE(t) (1u << ATTR_##t)
enum {
	TYPES_ORDERED = TYPE(S) | TYPE(N) | TYPE(B),
	TYPES_TEXT = TYPE(S) | TYPE(B),
	TYPES_ANY = (1u << ATTR_TYPES) - 1
};
enum { VALUES_ANY = 255 };

/* ComparisonOperator: how many values, of which types, and what it becomes. */
static const struct operator
{
	str name;
	uint8_t values; /* VALUES_ANY: one or more */
	uint32_t types;
	enum node_kind kind;
	bool negated;
}
operators[] = {
	{STR_INIT("EQ"), 1, TYPES_ANY, NODE_EQUAL, false},
	{STR_INIT("NE"), 1, TYPES_ANY, NODE_NOT_EQUAL, false},
	{STR_INIT("LE"), 1, TYPES_ORDERED, NODE_LESS_EQUAL, false},
	{STR_INIT("LT"), 1, TYPES_ORDERED, NODE_LESS, false},
	{STR_INIT("GE"), 1, TYPES_ORDERED, NODE_GREATER_EQUAL, false},
	{STR_INIT("GT"), 1, TYPES_ORDERED, NODE_GREATER, false},
	{STR_INIT("NOT_NULL"), 0, TYPES_ANY, NODE_EXISTS, false},
	{STR_INIT("NULL"), 0, TYPES_ANY, NODE_NOT_EXISTS, false},
	{STR_INIT("CONTAINS"), 1, TYPES_ORDERED, NODE_CONTAINS, false},
	{STR_INIT("NOT_CONTAINS"), 1, TYPES_ORDERED, NODE_CONTAINS, true},
	{STR_INIT("BEGINS_WITH"), 1, TYPES_TEXT, NODE_BEGINS_WITH, false},
	{STR_INIT("IN"), VALUES_ANY, TYPES_ORDERED, NODE_IN, false},
	{STR_INIT("BETWEEN"), 2, TYPES_ORDERED, NODE_BETWEEN, false},
};

static const struct operator* operator_named(str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
		if (str_eq(operators[i].name, name))
			return &operators[i];
	return NULL;
}

static bool is_action(str action)
{
	return str_eq(action, STR("PUT")) || str_eq(action, STR("ADD")) ||
	       str_eq(action, STR("DELETE"));
}

static bool is_attribute_name(str name)
{
	return name.n <= ITEM_NAME_MAX;
}

bool legacy_conditions_plausible(const struct legacy_conditions *c, bool operator_required)
{
	for (const struct legacy_condition *x = c->first; x; x = x->next)
		if (!is_attribute_name(x->name) || (operator_required && !x->op.p) ||
			(x->op.p && !operator_named(x->op)))
			return false;
	return true;
}

bool legacy_updates_plausible(const struct legacy_updates *u)
{
	for (const struct legacy_update *x = u->first; x; x = x->next)
		if (!is_attribute_name(x->name) || (x->action.p && !is_action(x->action)))
			return false;
	return true;
}

bool legacy_names_plausible(const struct legacy_names *n)
{
	for (uint32_t i = 0; i < n->count; i++)
		if (!is_attribute_name(n->names[i]))
			return false;
	return !n->given || n->count > 0;
}

/* ---- rules ---- */

/* Number and types of an operator's values. */
static int check_values(
	struct expr *e, const struct operator* op, const str *values, uint32_t count)
{
	if (op->values == VALUES_ANY ? count == 0 : count != op->values)
		return validation_fault(e->fault, e->arena,
			INVALID "Invalid number of argument(s) for the %.*s ComparisonOperator",
			STR_ARG(op->name));
	for (uint32_t i = 0; i < count; i++) {
		enum attr_type type = attr_type(values[i]);

		if (!(op->types & 1u << type))
			return validation_fault(e->fault, e->arena,
				INVALID "ComparisonOperator %.*s is not valid for %.*s "
					"AttributeValue type",
				STR_ARG(op->name), STR_ARG(attr_type_name(type)));
		if (type != attr_type(values[0]))
			return validation_fault(e->fault, e->arena,
				INVALID "AttributeValues inside AttributeValueList must be of same "
					"type");
	}
	if (op->kind == NODE_BETWEEN && attr_compare(values[0], values[1]) > 0)
		return validation_fault(e->fault, e->arena,
			"The BETWEEN condition was provided a range where the lower bound is "
			"greater than the upper bound");
	return 0;
}

static int element_fault(struct expr *e, const struct legacy_condition *c, const char *text)
{
	return validation_fault(
		e->fault, e->arena, INVALID "%s for Attribute: %.*s", text, STR_ARG(c->name));
}

/* An element of Expected; afterwards its values are in the list. */
static int check_expected(struct expr *e, struct legacy_condition *c)
{
	const struct operator* op = c->op.p ? operator_named(c->op) : NULL;
	bool exists = !c->has_exists || c->exists;

	if (c->has_list && c->value.p)
		return element_fault(e, c, "Value and AttributeValueList cannot be used together");
	if (op) {
		if (c->has_exists)
			return element_fault(
				e, c, "Exists and ComparisonOperator cannot be used together");
		if (op->values && !c->has_list && !c->value.p)
			return validation_fault(e->fault, e->arena,
				INVALID "Value or AttributeValueList must be used with "
					"ComparisonOperator: %.*s for Attribute: %.*s",
				STR_ARG(op->name), STR_ARG(c->name));
		if (c->value.p) {
			c->list = &c->value;
			c->list_count = 1;
		}
		return check_values(e, op, c->list, c->list_count);
	}
	if (c->has_list)
		return element_fault(
			e, c, "AttributeValueList can only be used with a ComparisonOperator");
	if (exists && !c->value.p)
		return validation_fault(e->fault, e->arena,
			INVALID "Value must be provided when Exists is %s for Attribute: %.*s",
			c->has_exists ? "true" : "null", STR_ARG(c->name));
	if (!exists && c->value.p)
		return element_fault(e, c, "Value cannot be used when Exists is false");
	return 0;
}

/* ---- trees ---- */

static struct expr_node *node_new(struct arena *a, enum node_kind kind, uint32_t args)
{
	struct expr_node *n = arena_new(a, struct expr_node);

	n->kind = kind;
	n->count = args;
	n->args = arena_new_array(a, struct expr_node *, args);
	return n;
}

/* A whole attribute: dots in its name are part of it. */
static struct expr_path path_of(struct arena *a, str name)
{
	struct expr_path path = {.elements = arena_new(a, struct expr_path_element), .count = 1};

	path.elements[0].name = name;
	return path;
}

static struct expr_node *operand_path(struct arena *a, str name)
{
	struct expr_node *n = node_new(a, NODE_PATH, 0);

	n->path = path_of(a, name);
	return n;
}

static struct expr_node *operand_value(struct arena *a, str value)
{
	struct expr_node *n = node_new(a, NODE_VALUE, 0);

	n->value = value;
	return n;
}

static struct expr_node *comparison(
	struct arena *a, enum node_kind kind, str name, const str *values, uint32_t count)
{
	struct expr_node *n = node_new(a, kind, 1 + count);

	n->args[0] = operand_path(a, name);
	for (uint32_t i = 0; i < count; i++)
		n->args[1 + i] = operand_value(a, values[i]);
	return n;
}

static struct expr_node *element_node(struct arena *a, const struct legacy_condition *c)
{
	const struct operator* op = c->op.p ? operator_named(c->op) : NULL;
	struct expr_node *n, *not ;

	if (!op)
		return c->value.p ? comparison(a, NODE_EQUAL, c->name, &c->value, 1)
				  : comparison(a, NODE_NOT_EXISTS, c->name, NULL, 0);
	n = comparison(a, op->kind, c->name, c->list, c->list_count);
	if (!op->negated)
		return n;
	not = node_new(a, NODE_NOT, 1);
	not ->args[0] = n;
	return not ;
}

static const struct expr_condition *tree_of(
	struct expr *e, const struct legacy_conditions *c, bool any)
{
	struct expr_condition *condition = arena_new(e->arena, struct expr_condition);
	struct expr_node *root = node_new(e->arena, any ? NODE_OR : NODE_AND, c->count);
	uint32_t i = 0;

	if (c->count == 0)
		return NULL;
	for (const struct legacy_condition *x = c->first; x; x = x->next)
		root->args[i++] = element_node(e->arena, x);
	condition->root = c->count == 1 ? root->args[0] : root;
	return condition;
}

int legacy_expected(struct expr *e, const struct legacy_conditions *c, bool any,
	const struct expr_condition **ret_condition)
{
	for (struct legacy_condition *x = c->first; x; x = x->next)
		TRY(check_expected(e, x));
	*ret_condition = tree_of(e, c, any);
	return 0;
}

int legacy_filter(struct expr *e, const struct legacy_conditions *c, bool any,
	const struct expr_condition **ret_condition)
{
	for (const struct legacy_condition *x = c->first; x; x = x->next)
		TRY(check_values(e, operator_named(x->op), x->list, x->list_count));
	*ret_condition = tree_of(e, c, any);
	return 0;
}

/* Operators that a range of keys can answer. */
static bool is_indexable(enum node_kind kind)
{
	return kind == NODE_EQUAL || kind == NODE_LESS || kind == NODE_LESS_EQUAL ||
	       kind == NODE_GREATER || kind == NODE_GREATER_EQUAL || kind == NODE_BETWEEN ||
	       kind == NODE_BEGINS_WITH;
}

int legacy_key_conditions(struct expr *e, const struct legacy_conditions *c,
	const struct expr_condition **ret_condition)
{
	for (const struct legacy_condition *x = c->first; x; x = x->next) {
		const struct operator* op = operator_named(x->op);

		TRY(check_values(e, op, x->list, x->list_count));
		if (!is_indexable(op->kind) || op->negated)
			return validation_fault(e->fault, e->arena,
				"Attempted conditional constraint is not an indexable operation");
	}
	if (c->count == 0 || c->count > 2 * KEY_ATTRIBUTES_MAX)
		return validation_fault(
			e->fault, e->arena, "Conditions can be of length 1 or 2 only");
	*ret_condition = tree_of(e, c, false);
	return 0;
}

int legacy_check_filter_keys(
	struct expr *e, const struct legacy_conditions *c, const struct key_schema *s)
{
	enum attr_type type;

	for (const struct legacy_condition *x = c->first; x; x = x->next)
		if (key_schema_find(s, x->name, &type))
			return validation_fault(e->fault, e->arena,
				"QueryFilter can only contain non-primary key attributes: Primary "
				"key attribute: %.*s",
				STR_ARG(x->name));
	return 0;
}

/* ---- updates ---- */

static int check_update(struct expr *e, const struct legacy_update *u)
{
	enum attr_type type;

	if (u->name.n == 0)
		return validation_fault(e->fault, e->arena, "Attribute name must not be empty");
	if (!u->value.p)
		return u->action.p && str_eq(u->action, STR("DELETE"))
			       ? 0
			       : validation_fault(e->fault, e->arena,
					 INVALID
					 "Only DELETE action is allowed when no attribute value is "
					 "specified");
	type = attr_type(u->value);
	if (u->action.p && str_eq(u->action, STR("ADD")) && type != ATTR_N && type != ATTR_L &&
		!attr_is_set(type))
		return validation_fault(e->fault, e->arena,
			INVALID "ADD action is not supported for the type %.*s",
			STR_ARG(attr_type_name(type)));
	if (u->action.p && str_eq(u->action, STR("DELETE")) && !attr_is_set(type))
		return validation_fault(e->fault, e->arena,
			INVALID "DELETE action with value is not supported for the type %.*s",
			STR_ARG(attr_type_name(type)));
	return 0;
}

/* ADD of a list appends it: what SET a = list_append(if_not_exists(a, []), value) says. */
static struct expr_node *appended(struct arena *a, const struct legacy_update *u)
{
	struct expr_node *n = node_new(a, NODE_LIST_APPEND, 2);
	struct expr_node *old = node_new(a, NODE_IF_NOT_EXISTS, 2);
	struct buf empty;

	buf_init(&empty, a, 64);
	attr_put_end(&empty, attr_put_begin(&empty, ATTR_L));
	old->args[0] = operand_path(a, u->name);
	old->args[1] = operand_value(a, buf_str(&empty));
	n->args[0] = old;
	n->args[1] = operand_value(a, u->value);
	return n;
}

static void fill_action(struct arena *a, const struct legacy_update *u, struct action *to)
{
	bool add = u->action.p && str_eq(u->action, STR("ADD"));
	bool delete = u->action.p && str_eq(u->action, STR("DELETE"));

	to->path = path_of(a, u->name);
	to->value = u->value;
	to->legacy = true;
	if (delete)
		to->kind = u->value.p ? ACTION_DELETE : ACTION_REMOVE;
	else if (add && attr_type(u->value) != ATTR_L)
		to->kind = ACTION_ADD;
	else
		to->kind = ACTION_SET;
	if (to->kind == ACTION_SET)
		to->operand = add ? appended(a, u) : operand_value(a, u->value);
}

int legacy_update(
	struct expr *e, const struct legacy_updates *u, const struct expr_update **ret_update)
{
	struct expr_update *update = arena_new(e->arena, struct expr_update);
	const struct expr_path **paths =
		arena_new_array(e->arena, const struct expr_path *, u->count);
	struct action **next = &update->first;

	for (const struct legacy_update *x = u->first; x; x = x->next)
		TRY(check_update(e, x));
	for (const struct legacy_update *x = u->first; x; x = x->next) {
		struct action *a = arena_new(e->arena, struct action);

		fill_action(e->arena, x, a);
		paths[update->count++] = &a->path;
		*next = a;
		next = &a->next;
	}
	update->touched = projection_new(e->arena, paths, update->count);
	*ret_update = update->count ? update : NULL;
	return 0;
}

int legacy_projection(
	struct expr *e, const struct legacy_names *n, const struct expr_projection **ret)
{
	for (uint32_t i = 0; i < n->count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (str_eq(n->names[i], n->names[k]))
				return validation_fault(e->fault, e->arena,
					INVALID "Duplicate value in attribute name: %.*s",
					STR_ARG(n->names[i]));
	*ret = expr_projection_of(e->arena, n->names, n->count);
	return 0;
}
