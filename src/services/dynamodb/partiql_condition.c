/*
 * WHERE: the conditions of PartiQL as trees of the expression language.
 *
 *     condition  = operand comparator operand | operand [NOT] BETWEEN operand AND operand
 *                | operand [NOT] IN (operand, ...) | operand [NOT] IN [operand, ...]
 *                | path IS [NOT] MISSING | path IS [NOT] NULL | function | NOT condition
 *                | condition AND condition | condition OR condition | (condition)
 *     operand    = path | value | size(operand)
 *
 * AND and OR keep all their sides in one node, as in expr_condition.c.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-operators.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-functions.html
 */
#include "base/check.h"
#include "services/dynamodb/partiql_ast.h"

enum precedence { LOWEST, IN_OR, IN_AND, IN_NOT };

struct function {
	const char *name; /* in upper case, for ql_is_word() */
	enum node_kind kind;
	uint8_t operands;
	bool path_first; /* its first operand must be a document path */
};

static const struct function functions[] = {
	{"ATTRIBUTE_TYPE", NODE_TYPE, 2, true},
	{"BEGINS_WITH", NODE_BEGINS_WITH, 2, false},
	{"CONTAINS", NODE_CONTAINS, 2, false},
	{"SIZE", NODE_SIZE, 1, false},
};

enum { FUNCTION_OPERANDS_MAX = 2 };

bool ql_is_call(const struct ql_parser *q)
{
	str rest = q->rest;

	return q->token.kind == QL_WORD && ql_take(&rest).kind == QL_OPEN;
}

int ql_operand(struct ql_parser *q, struct expr_node **ret_node)
{
	struct expr_node *n = parser_node(&q->p, ql_is_value(q) ? NODE_VALUE : NODE_PATH, 0);

	if (n->kind == NODE_VALUE)
		TRY(ql_value(q, &n->value));
	else
		TRY(ql_path(q, &n->path));
	*ret_node = n;
	return 0;
}

static const struct function *function_of(const struct ql_parser *q)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (ql_is_word(q, functions[i].name))
			return &functions[i];
	return NULL;
}

/* name(operand, ...), at the name. */
static int parse_function(struct ql_parser *q, struct expr_node **ret_node)
{
	const struct function *f = function_of(q);
	struct expr_node *n, *args[FUNCTION_OPERANDS_MAX];
	unsigned count = 0;

	if (!f)
		return ql_unsupported(q, "function");
	ql_advance(q);
	ql_advance(q); /* the parenthesis: ql_is_call() */
	do {
		if (count == f->operands)
			return ql_invalid(q,
				"Incorrect number of operands for operator or function; operator "
				"or function: %s, number of operands: %u",
				node_name(f->kind), count + 1);
		TRY(ql_operand(q, &args[count++]));
	} while (ql_accept(q, QL_COMMA));
	TRY(ql_expect(q, QL_CLOSE));
	if (count != f->operands)
		return ql_invalid(q,
			"Incorrect number of operands for operator or function; operator or "
			"function: %s, number of operands: %u",
			node_name(f->kind), count);
	if (f->path_first && args[0]->kind != NODE_PATH)
		return ql_invalid(q,
			"Operator or function requires a document path; operator or function: %s",
			node_name(f->kind));
	n = parser_node(&q->p, f->kind, count);
	memcpy(n->args, args, count * sizeof *args);
	node_check(&q->p, n);
	*ret_node = n;
	return 0;
}

/* An operand, or a function that is a condition. */
static int parse_term(struct ql_parser *q, struct expr_node **ret_node)
{
	if (ql_is_call(q) && !ql_is_keyword(q))
		TRY(parse_function(q, ret_node));
	else
		TRY(ql_operand(q, ret_node));
	if (ql_is(q, QL_PLUS) || ql_is(q, QL_MINUS) || ql_is_word(q, "LIKE"))
		return ql_unsupported(q, "operator");
	return 0;
}

/* Where an operand is needed. */
static int parse_right(struct ql_parser *q, struct expr_node **ret_node)
{
	bool parentheses = ql_accept(q, QL_OPEN);

	TRY(parse_term(q, ret_node));
	if (parentheses)
		TRY(ql_expect(q, QL_CLOSE));
	if (!node_is_operand(*ret_node))
		return ql_invalid(q,
			"The function is not allowed to be used this way in an expression; "
			"function: %s",
			node_name((*ret_node)->kind));
	return 0;
}

static int parse_comparison(
	struct ql_parser *q, struct expr_node *left, struct expr_node **ret_node)
{
	enum node_kind kind = (enum node_kind)(NODE_EQUAL + (q->token.kind - QL_EQUAL));
	struct expr_node *n = parser_node(&q->p, kind, 2);

	ql_advance(q);
	n->args[0] = left;
	TRY(parse_right(q, &n->args[1]));
	node_check(&q->p, n);
	*ret_node = n;
	return 0;
}

static int parse_between(struct ql_parser *q, struct expr_node *left, struct expr_node **ret_node)
{
	struct expr_node *n = parser_node(&q->p, NODE_BETWEEN, 3);

	n->args[0] = left;
	TRY(parse_right(q, &n->args[1]));
	TRY(ql_expect_word(q, "AND"));
	TRY(parse_right(q, &n->args[2]));
	node_check(&q->p, n);
	*ret_node = n;
	return 0;
}

/* The values of a list, a parameter: IN ?. */
static int operands_of(struct ql_parser *q, str list, struct expr_node **args, unsigned *count)
{
	struct attr_iter it;
	str value;

	if (attr_type(list) != ATTR_L)
		return ql_invalid(q, "The IN operator requires a list");
	for (it = attr_iter_of(list); attr_next(&it, NULL, &value); (*count)++) {
		if (*count > EXPR_IN_OPERANDS_MAX)
			continue;
		args[*count] = parser_node(&q->p, NODE_VALUE, 0);
		args[*count]->value = value;
	}
	return 0;
}

/* Not inlined: its array must not be in the frame that nests. */
static noinline_fn int parse_in(
	struct ql_parser *q, struct expr_node *left, struct expr_node **ret_node)
{
	struct expr_node *n, *args[1 + EXPR_IN_OPERANDS_MAX];
	enum ql_kind end = ql_is(q, QL_OPEN) ? QL_CLOSE : QL_LIST_CLOSE;
	unsigned count = 1;
	str list;

	args[0] = left;
	if (ql_is(q, QL_PARAMETER)) {
		TRY(ql_value(q, &list));
		/* A missing parameter is reported at the end. */
		if (q->parameters_used <= q->parameter_count)
			TRY(operands_of(q, list, args, &count));
	} else {
		if (!ql_is(q, QL_OPEN))
			TRY(ql_expect(q, QL_LIST_OPEN));
		else
			ql_advance(q);
		do {
			TRY(ql_operand(q, &n));
			if (count <= EXPR_IN_OPERANDS_MAX)
				args[count] = n;
			count++;
		} while (ql_accept(q, QL_COMMA));
		TRY(ql_expect(q, end));
	}
	if (count > 1 + EXPR_IN_OPERANDS_MAX)
		return ql_invalid(q,
			"The IN operator is provided with too many operands; number of operands: "
			"%u",
			count - 1);
	n = parser_node(&q->p, NODE_IN, count);
	memcpy(n->args, args, count * sizeof *args);
	node_check(&q->p, n);
	*ret_node = n;
	return 0;
}

static struct expr_node *negated(struct ql_parser *q, struct expr_node *n)
{
	struct expr_node *outer = parser_node(&q->p, NODE_NOT, 1);

	outer->args[0] = n;
	return outer;
}

/* Behind IS. */
static int parse_is(struct ql_parser *q, struct expr_node *left, struct expr_node **ret_node)
{
	static const char null_name[] = {ATTR_TAG_S, 4, 'N', 'U', 'L', 'L'};
	bool inverse = ql_accept_word(q, "NOT");
	struct expr_node *n;

	if (left->kind != NODE_PATH)
		return ql_invalid(q, "Operator or function requires a document path; operator or "
				     "function: IS");
	if (ql_accept_word(q, "MISSING")) {
		n = parser_node(&q->p, inverse ? NODE_EXISTS : NODE_NOT_EXISTS, 1);
		n->args[0] = left;
	} else if (ql_accept_word(q, "NULL")) {
		n = parser_node(&q->p, NODE_TYPE, 2);
		n->args[0] = left;
		n->args[1] = parser_node(&q->p, NODE_VALUE, 0);
		n->args[1]->value = str_of(null_name, sizeof null_name);
		if (inverse)
			n = negated(q, n);
	} else {
		return ql_is(q, QL_WORD) ? ql_unsupported(q, "type") : ql_unexpected(q);
	}
	*ret_node = n;
	return 0;
}

/* What may follow an operand; the operand itself when nothing does. */
static int parse_tail(struct ql_parser *q, struct expr_node *left, struct expr_node **ret_node)
{
	bool inverse;

	*ret_node = left;
	if (!node_is_operand(left))
		return 0;
	if (q->token.kind >= QL_EQUAL && q->token.kind <= QL_GREATER_EQUAL)
		return parse_comparison(q, left, ret_node);
	if (ql_accept_word(q, "IS"))
		return parse_is(q, left, ret_node);
	inverse = ql_accept_word(q, "NOT");
	if (ql_accept_word(q, "BETWEEN"))
		TRY(parse_between(q, left, ret_node));
	else if (ql_accept_word(q, "IN"))
		TRY(parse_in(q, left, ret_node));
	else if (inverse)
		return ql_unexpected(q);
	if (inverse)
		*ret_node = negated(q, *ret_node);
	return 0;
}

static int need_condition(struct ql_parser *q, const struct expr_node *n)
{
	return node_is_operand(n) ? ql_unexpected(q) : 0;
}

static int parse_condition(struct ql_parser *q, enum precedence level, struct expr_node **ret_node);

static int parse_parentheses(struct ql_parser *q, struct expr_node **ret_node)
{
	TRY(parser_enter(&q->p));
	ql_advance(q);
	TRY(parse_condition(q, LOWEST, ret_node));
	q->p.depth--;
	return ql_expect(q, QL_CLOSE);
}

static int parse_not(struct ql_parser *q, struct expr_node **ret_node)
{
	struct expr_node *n;

	TRY(parser_enter(&q->p));
	TRY(parse_condition(q, IN_NOT, &n));
	TRY(need_condition(q, n));
	q->p.depth--;
	*ret_node = negated(q, n);
	return 0;
}

/* `left` and all that is joined to it by the same AND or OR. */
static int parse_joined(struct ql_parser *q, enum node_kind kind, struct expr_node *left,
	struct expr_node **ret_node)
{
	uint32_t capacity = 2;
	struct expr_node *n = parser_node(&q->p, kind, capacity), *right;

	TRY(need_condition(q, left));
	n->args[0] = left;
	n->count = 1;
	while (ql_accept_word(q, node_name(kind))) {
		TRY(parse_condition(q, kind == NODE_AND ? IN_AND : IN_OR, &right));
		TRY(need_condition(q, right));
		parser_node_add(&q->p, n, &capacity, right);
	}
	*ret_node = n;
	return 0;
}

/* Everything that binds more tightly than `level`. */
static int parse_condition(struct ql_parser *q, enum precedence level, struct expr_node **ret_node)
{
	struct expr_node *n;

	if (ql_accept_word(q, "NOT")) {
		TRY(parse_not(q, &n));
	} else {
		if (ql_is(q, QL_OPEN))
			TRY(parse_parentheses(q, &n));
		else
			TRY(parse_term(q, &n));
		TRY(parse_tail(q, n, &n));
	}
	if (level < IN_AND && ql_is_word(q, "AND"))
		TRY(parse_joined(q, NODE_AND, n, &n));
	if (level < IN_OR && ql_is_word(q, "OR"))
		TRY(parse_joined(q, NODE_OR, n, &n));
	*ret_node = n;
	return 0;
}

int ql_condition(struct ql_parser *q, const struct expr_condition **ret_condition)
{
	struct expr_condition *c = arena_new(q->p.e->arena, struct expr_condition);

	TRY(parse_condition(q, LOWEST, &c->root));
	TRY(need_condition(q, c->root));
	*ret_condition = c;
	return 0;
}
