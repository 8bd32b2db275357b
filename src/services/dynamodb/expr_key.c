/*
 * KeyConditionExpression: the tree of a condition, turned into what Query reads.
 *
 * All partition attributes by equality, then sort attributes from the left: by equality but the
 * last, which may be narrowed by one of the sort operators.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.KeyConditionExpressions.html
 */
#include "base/check.h"
#include "services/dynamodb/expr_ast.h"
#include "services/dynamodb/faults.h"

enum { TERMS_MAX = 2 * KEY_ATTRIBUTES_MAX };

/* One comparison of the expression. */
struct term {
	str name;
	enum key_operator op;
	str value, high;
};

struct terms {
	struct term term[TERMS_MAX];
	unsigned count;
};

/* The operator when its operands stand the other way round. */
static enum node_kind turned(enum node_kind kind)
{
	switch (kind) {
	case NODE_LESS: return NODE_GREATER;
	case NODE_LESS_EQUAL: return NODE_GREATER_EQUAL;
	case NODE_GREATER: return NODE_LESS;
	case NODE_GREATER_EQUAL: return NODE_LESS_EQUAL;
	default: return kind;
	}
}

static int operator_of(struct parser *p, enum node_kind kind, enum key_operator *ret_op)
{
	switch (kind) {
	case NODE_EQUAL: *ret_op = KEY_EQUAL; return 0;
	case NODE_LESS: *ret_op = KEY_LESS; return 0;
	case NODE_LESS_EQUAL: *ret_op = KEY_LESS_EQUAL; return 0;
	case NODE_GREATER: *ret_op = KEY_GREATER; return 0;
	case NODE_GREATER_EQUAL: *ret_op = KEY_GREATER_EQUAL; return 0;
	case NODE_BETWEEN: *ret_op = KEY_BETWEEN; return 0;
	case NODE_BEGINS_WITH: *ret_op = KEY_BEGINS_WITH; return 0;
	default:
		return parser_fault(
			p, "Invalid operator used in KeyConditionExpression: %s", node_name(kind));
	}
}

static int check_operands(struct parser *p, const struct expr_node *n)
{
	unsigned paths = 0;

	for (uint32_t i = 0; i < n->count; i++) {
		if (n->args[i]->kind == NODE_PATH) {
			paths++;
			if (n->args[i]->path.count > 1)
				return parser_fault(p,
					"KeyConditionExpressions cannot have conditions on nested "
					"attributes");
		} else if (n->args[i]->kind != NODE_VALUE) {
			return parser_fault(
				p, "KeyConditionExpressions cannot contain nested operations");
		}
	}
	if (paths == 1)
		return 0;
	return validation_fault(p->e->fault, p->e->arena,
		"Invalid condition in KeyConditionExpression: %s",
		paths ? "Multiple attribute names used in one condition"
		      : "No key attribute specified");
}

static int add_term(struct parser *p, const struct expr_node *n, struct terms *terms)
{
	bool value_first;
	struct term t = {.high = STR_NULL};

	TRY(operator_of(p, n->kind, &t.op));
	TRY(check_operands(p, n));
	value_first = n->args[0]->kind == NODE_VALUE;
	if (value_first && (t.op == KEY_BETWEEN || t.op == KEY_BEGINS_WITH))
		return parser_fault(p, "Invalid operator used in KeyConditionExpression: %s",
			node_name(n->kind));
	if (value_first)
		TRY(operator_of(p, turned(n->kind), &t.op));
	t.name = n->args[value_first]->path.elements[0].name;
	t.value = n->args[!value_first]->value;
	if (t.op == KEY_BETWEEN)
		t.high = n->args[2]->value;
	for (unsigned i = 0; i < terms->count; i++)
		if (str_eq(terms->term[i].name, t.name))
			return parser_fault(p,
				"KeyConditionExpressions must only contain one condition per key");
	if (terms->count == TERMS_MAX)
		return validation_fault(
			p->e->fault, p->e->arena, "Conditions can be of length 1 or 2 only");
	terms->term[terms->count++] = t;
	return 0;
}

static int collect(struct parser *p, const struct expr_node *n, struct terms *terms)
{
	if (n->kind != NODE_AND)
		return add_term(p, n, terms);
	for (uint32_t i = 0; i < n->count; i++)
		TRY(collect(p, n->args[i], terms));
	return 0;
}

static const struct term *find(const struct terms *terms, str name)
{
	for (unsigned i = 0; i < terms->count; i++)
		if (str_eq(terms->term[i].name, name))
			return &terms->term[i];
	return NULL;
}

static int missed(struct expr *e, str name)
{
	return validation_fault(e->fault, e->arena,
		"Query condition missed key schema element: %.*s", STR_ARG(name));
}

static int check_value(struct expr *e, const struct key_attribute *a, str value, bool may_be_empty)
{
	if (attr_type(value) != a->type)
		return validation_fault(e->fault, e->arena,
			"One or more parameter values were invalid: Condition parameter type does "
			"not "
			"match schema type");
	if (a->type != ATTR_N && !may_be_empty && attr_bytes_of(value).n == 0)
		return validation_fault(e->fault, e->arena,
			"One or more parameter values are not valid. The AttributeValue for a key "
			"attribute cannot contain an empty %s value. Key: %.*s",
			a->type == ATTR_S ? "string" : "binary", STR_ARG(a->name));
	return 0;
}

static size_t bytes_of(str value)
{
	return attr_type(value) == ATTR_N ? attr_size(value) : attr_bytes_of(value).n;
}

static int too_large_partition(struct expr *e)
{
	return validation_fault(e->fault, e->arena,
		"One or more parameter values were invalid: Size of hashkey has exceeded the "
		"maximum size limit of%d bytes",
		KEY_PARTITION_BYTES_MAX);
}

int expr_check_partition(struct expr *e, const struct key_attribute *a, str value)
{
	TRY(check_value(e, a, value, false));
	return bytes_of(value) > KEY_PARTITION_BYTES_MAX ? too_large_partition(e) : 0;
}

static int take_partition(struct expr *e, const struct terms *terms, const struct key_schema *s,
	struct key_condition *c)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < s->partitions; i++) {
		const struct term *t = find(terms, s->partition[i].name);

		if (!t)
			return missed(e, s->partition[i].name);
		if (t->op != KEY_EQUAL)
			return validation_fault(
				e->fault, e->arena, "Query key condition not supported");
		TRY(check_value(e, &s->partition[i], t->value, false));
		c->partition[i] = t->value;
		bytes += bytes_of(t->value);
	}
	return bytes > KEY_PARTITION_BYTES_MAX ? too_large_partition(e) : 0;
}

static int take_sort(struct expr *e, const struct terms *terms, const struct key_schema *s,
	struct key_condition *c)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < s->sorts; i++) {
		const struct term *t = find(terms, s->sort[i].name);

		if (!t)
			break;
		if (c->sorts > 0 && c->op != KEY_EQUAL) /* only the last may be a range */
			return validation_fault(
				e->fault, e->arena, "Query key condition not supported");
		TRY(check_value(e, &s->sort[i], t->value, t->op == KEY_BEGINS_WITH));
		if (t->op == KEY_BETWEEN)
			TRY(check_value(e, &s->sort[i], t->high, false));
		c->sort[c->sorts++] = t->value;
		c->op = t->op;
		c->high = t->high;
		bytes += bytes_of(t->value);
	}
	if (bytes > KEY_SORT_BYTES_MAX || (c->high.p && bytes_of(c->high) > KEY_SORT_BYTES_MAX))
		return validation_fault(e->fault, e->arena,
			"One or more parameter values were invalid: Aggregated size of all range "
			"keys "
			"has exceeded the size limit of %d bytes",
			KEY_SORT_BYTES_MAX);
	/* A term is left over: of no key attribute, or behind a gap. */
	if (terms->count > (unsigned)s->partitions + c->sorts) {
		if (c->sorts < s->sorts)
			return missed(e, s->sort[c->sorts].name);
		return validation_fault(e->fault, e->arena, "Query key condition not supported");
	}
	return 0;
}

int expr_parse_key_terms(struct expr *e, str text, const struct expr_condition **ret_parsed)
{
	const struct expr_condition *parsed;
	struct parser p = {.e = e, .kind = EXPR_KEY_CONDITION};
	struct terms terms = {.count = 0};

	TRY(expr_parse_condition(e, EXPR_KEY_CONDITION, text, &parsed));
	TRY(collect(&p, parsed->root, &terms));
	*ret_parsed = parsed;
	return 0;
}

int expr_match_key_condition(struct expr *e, const struct expr_condition *parsed,
	const struct key_schema *s, struct key_condition *ret_condition)
{
	struct key_condition c = {.op = KEY_ALL, .high = STR_NULL};
	struct parser p = {.e = e, .kind = EXPR_KEY_CONDITION};
	struct terms terms = {.count = 0};

	TRY(collect(&p, parsed->root, &terms));
	if (terms.count > (unsigned)s->partitions + MAX(s->sorts, (uint8_t)1))
		return validation_fault(
			e->fault, e->arena, "Conditions can be of length 1 or 2 only");
	TRY(take_partition(e, &terms, s, &c));
	TRY(take_sort(e, &terms, s, &c));
	*ret_condition = c;
	return 0;
}

int expr_parse_key_condition(
	struct expr *e, str text, const struct key_schema *s, struct key_condition *ret_condition)
{
	const struct expr_condition *parsed;

	TRY(expr_parse_key_terms(e, text, &parsed));
	return expr_match_key_condition(e, parsed, s, ret_condition);
}
