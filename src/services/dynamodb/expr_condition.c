/*
 * Parsing of conditions: precedence climbing over OR < AND < NOT < comparisons, one C frame a
 * level.
 *
 *     condition  = operand comparator operand | operand BETWEEN operand AND operand
 *                | operand IN (operand, ...) | function | condition AND condition
 *                | condition OR condition | NOT condition | (condition)
 *
 * AND and OR keep all their sides in one node, so that the tree is no deeper than its parentheses.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
 */
#include "base/check.h"
#include "services/dynamodb/expr_ast.h"
#include "services/dynamodb/faults.h"

enum precedence { LOWEST, IN_OR, IN_AND, IN_NOT };

struct function {
	const char *name;
	enum node_kind kind;
	uint8_t operands;
	bool path_first; /* its first operand must be a document path */
};

static const struct function functions[] = {
	{"attribute_exists", NODE_EXISTS, 1, true},
	{"attribute_not_exists", NODE_NOT_EXISTS, 1, true},
	{"attribute_type", NODE_TYPE, 2, true},
	{"begins_with", NODE_BEGINS_WITH, 2, false},
	{"contains", NODE_CONTAINS, 2, false},
	{"size", NODE_SIZE, 1, false},
	{"if_not_exists", NODE_IF_NOT_EXISTS, 2, true},
	{"list_append", NODE_LIST_APPEND, 2, false},
};

const char *node_name(enum node_kind kind)
{
	switch (kind) {
	case NODE_PATH: return "path";
	case NODE_VALUE: return "value";
	case NODE_SIZE: return "size";
	case NODE_IF_NOT_EXISTS: return "if_not_exists";
	case NODE_LIST_APPEND: return "list_append";
	case NODE_PLUS: return "+";
	case NODE_MINUS: return "-";
	case NODE_AND: return "AND";
	case NODE_OR: return "OR";
	case NODE_NOT: return "NOT";
	case NODE_EQUAL: return "=";
	case NODE_NOT_EQUAL: return "<>";
	case NODE_LESS: return "<";
	case NODE_LESS_EQUAL: return "<=";
	case NODE_GREATER: return ">";
	case NODE_GREATER_EQUAL: return ">=";
	case NODE_BETWEEN: return "BETWEEN";
	case NODE_IN: return "IN";
	case NODE_EXISTS: return "attribute_exists";
	case NODE_NOT_EXISTS: return "attribute_not_exists";
	case NODE_TYPE: return "attribute_type";
	case NODE_BEGINS_WITH: return "begins_with";
	case NODE_CONTAINS: return "contains";
	}
	check_unreachable();
}

struct expr_node *parser_node(struct parser *p, enum node_kind kind, uint32_t arg_count)
{
	struct expr_node *n = arena_new(p->e->arena, struct expr_node);

	n->kind = kind;
	n->count = arg_count;
	if (arg_count)
		n->args = arena_new_array(p->e->arena, struct expr_node *, arg_count);
	return n;
}

void parser_node_add(
	struct parser *p, struct expr_node *n, uint32_t *capacity, struct expr_node *arg)
{
	struct expr_node **bigger;

	if (n->count == *capacity) {
		*capacity *= 2;
		bigger = arena_new_array(p->e->arena, struct expr_node *, *capacity);
		memcpy(bigger, n->args, n->count * sizeof *bigger);
		n->args = bigger;
	}
	n->args[n->count++] = arg;
}

static void misused(struct parser *p, enum node_kind kind)
{
	parser_problem(p,
		"The function is not allowed to be used this way in an expression; function: %s",
		node_name(kind));
}

void operand_type_problem(struct parser *p, const char *operator, str value)
{
	str type = attr_type_name(attr_type(value));

	parser_problem(p,
		"Incorrect operand type for operator or function; operator or function: %s, "
		"operand "
		"type: %.*s",
		operator, STR_ARG(type));
}

/* "AttributeValue: {N:5}" of a scalar, for messages. */
static str value_text(struct arena *arena, str value)
{
	str type = attr_type_name(attr_type(value)), text;
	struct decimal d;
	struct buf out;

	buf_init(&out, arena, SIZE_MAX / 2);
	if (attr_type(value) == ATTR_N) {
		d = attr_number(value);
		decimal_put(&out, &d);
	} else if (attr_type(value) == ATTR_S) {
		buf_put(&out, attr_bytes_of(value));
	} else {
		buf_printf(&out, "java.nio.HeapByteBuffer[pos=0 lim=%zu cap=%zu]",
			attr_bytes_of(value).n, attr_bytes_of(value).n);
	}
	text = buf_str(&out);
	return ARENA_CONCAT(arena, STR("AttributeValue: {"), type, STR(":"), text, STR("}"));
}

static bool is_orderable(str value)
{
	enum attr_type type = attr_type(value);

	return type == ATTR_S || type == ATTR_N || type == ATTR_B;
}

bool path_equal(const struct expr_path *a, const struct expr_path *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		const struct expr_path_element *x = &a->elements[i], *y = &b->elements[i];

		if (!x->name.p != !y->name.p || x->index != y->index || !str_eq(x->name, y->name))
			return false;
	}
	return true;
}

/* The first operand may not stand among the others. */
static void check_distinct(struct parser *p, const struct expr_node *n)
{
	if (n->args[0]->kind != NODE_PATH)
		return;
	for (uint32_t i = 1; i < n->count; i++)
		if (n->args[i]->kind == NODE_PATH &&
			path_equal(&n->args[0]->path, &n->args[i]->path)) {
			str text = path_text(p->e->arena, &n->args[0]->path);

			parser_problem(p,
				"The first operand must be distinct from the remaining operands "
				"for "
				"this operator or function; operator: %s, first operand: %.*s",
				node_name(n->kind), STR_ARG(text));
		}
}

/* Literals that are compared by order must have one. */
static void check_order(struct parser *p, const struct expr_node *n)
{
	for (uint32_t i = 0; i < n->count; i++)
		if (n->args[i]->kind == NODE_VALUE && !is_orderable(n->args[i]->value))
			operand_type_problem(p, node_name(n->kind), n->args[i]->value);
}

static void check_between(struct parser *p, const struct expr_node *n)
{
	str low = n->args[1]->value, high = n->args[2]->value, low_text, high_text;
	const char *what;

	check_order(p, n);
	if (p->problem.p || n->args[1]->kind != NODE_VALUE || n->args[2]->kind != NODE_VALUE)
		return;
	if (attr_type(low) != attr_type(high))
		what = "requires same data type for lower and upper bounds";
	else if (attr_compare(low, high) > 0)
		what = "requires upper bound to be greater than or equal to lower bound";
	else
		return;
	low_text = value_text(p->e->arena, low);
	high_text = value_text(p->e->arena, high);
	parser_problem(p,
		"The BETWEEN operator %s; lower bound operand: %.*s, upper bound operand: %.*s",
		what, STR_ARG(low_text), STR_ARG(high_text));
}

static void check_type_name(struct parser *p, const struct expr_node *n)
{
	enum attr_type type;
	str name;

	if (n->kind != NODE_VALUE) {
		parser_problem(p,
			"Operator or function requires an expression attribute value as its second "
			"operand; operator or function: attribute_type");
		return;
	}
	if (attr_type(n->value) != ATTR_S) {
		operand_type_problem(p, "attribute_type", n->value);
		return;
	}
	name = attr_bytes_of(n->value);
	if (!attr_type_from_name(name, &type))
		parser_problem(p,
			"Invalid attribute type name found; type: %.*s, valid types: "
			"{B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
			STR_ARG(name));
}

static void check_begins_with(struct parser *p, const struct expr_node *n)
{
	for (uint32_t i = 0; i < n->count; i++)
		if (n->args[i]->kind == NODE_VALUE && attr_type(n->args[i]->value) != ATTR_S &&
			attr_type(n->args[i]->value) != ATTR_B)
			operand_type_problem(p, "begins_with", n->args[i]->value);
	check_distinct(p, n);
}

static void check_size(struct parser *p, const struct expr_node *n)
{
	enum attr_type type;

	if (n->args[0]->kind != NODE_VALUE)
		return;
	type = attr_type(n->args[0]->value);
	if (type == ATTR_N || type == ATTR_BOOL || type == ATTR_NULL)
		operand_type_problem(p, "size", n->args[0]->value);
}

static void check_lists(struct parser *p, const struct expr_node *n)
{
	for (uint32_t i = 0; i < n->count; i++)
		if (n->args[i]->kind == NODE_VALUE && attr_type(n->args[i]->value) != ATTR_L)
			operand_type_problem(p, "list_append", n->args[i]->value);
}

static void check_numbers(struct parser *p, const struct expr_node *n)
{
	for (uint32_t i = 0; i < n->count && !p->problem.p; i++)
		if (n->args[i]->kind == NODE_VALUE && attr_type(n->args[i]->value) != ATTR_N)
			operand_type_problem(p, node_name(n->kind), n->args[i]->value);
}

void node_check(struct parser *p, const struct expr_node *n)
{
	switch (n->kind) {
	case NODE_LESS:
	case NODE_LESS_EQUAL:
	case NODE_GREATER:
	case NODE_GREATER_EQUAL:
		check_order(p, n);
		check_distinct(p, n);
		break;
	case NODE_BETWEEN:
		check_between(p, n);
		check_distinct(p, n);
		break;
	case NODE_EQUAL:
	case NODE_NOT_EQUAL:
	case NODE_IN:
	case NODE_CONTAINS: check_distinct(p, n); break;
	case NODE_TYPE: check_type_name(p, n->args[1]); break;
	case NODE_BEGINS_WITH: check_begins_with(p, n); break;
	case NODE_SIZE: check_size(p, n); break;
	case NODE_LIST_APPEND: check_lists(p, n); break;
	case NODE_PLUS:
	case NODE_MINUS: check_numbers(p, n); break;
	default: break;
	}
}

/* Is the function one that this kind of expression can have at all? */
static bool is_allowed(const struct parser *p, enum node_kind kind)
{
	bool of_update = kind == NODE_IF_NOT_EXISTS || kind == NODE_LIST_APPEND;

	return of_update == (p->kind == EXPR_UPDATE);
}

static const struct function *function_of(str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (str_eq(str_c(functions[i].name), name))
			return &functions[i];
	return NULL;
}

enum { ARGUMENTS_KEPT = 2 };

/* name(operand, ...), at the name. Problems are kept; the node is of the right shape always. */
static int parse_function(struct parser *p, struct expr_node **ret_node)
{
	str name = parser_token(p)->text;
	const struct function *f = function_of(name);
	struct expr_node *n, *arg, *args[ARGUMENTS_KEPT] = {NULL};
	unsigned count = 0;

	if (!f)
		parser_problem(p, "Invalid function name; function: %.*s", STR_ARG(name));
	else if (!is_allowed(p, f->kind))
		parser_problem(p, "The function is not allowed in %s expression; function: %s",
			p->kind == EXPR_UPDATE ? "an update" : "a condition", f->name);
	p->operators++;
	p->at++;
	TRY(parser_enter(p));
	TRY(parser_expect(p, TOKEN_OPEN));
	do {
		TRY(parser_operand(p, &arg));
		if (arg->kind > NODE_VALUE && p->kind != EXPR_UPDATE)
			misused(p, arg->kind);
		if (count < ARGUMENTS_KEPT)
			args[count] = arg;
		count++;
	} while (parser_take(p, TOKEN_COMMA));
	TRY(parser_expect(p, TOKEN_CLOSE));
	p->depth--;
	if (f && count != f->operands)
		parser_problem(p,
			"Incorrect number of operands for operator or function; operator or "
			"function: "
			"%s, number of operands: %u",
			f->name, count);
	if (f && f->path_first && args[0]->kind != NODE_PATH)
		parser_problem(p,
			"Operator or function requires a document path; operator or function: %s",
			f->name);
	n = parser_node(p, f ? f->kind : NODE_SIZE, f ? f->operands : 1);
	for (unsigned i = 0; i < n->count; i++)
		n->args[i] = args[i] ? args[i] : args[0];
	if (f && count == f->operands && !p->problem.p)
		node_check(p, n);
	*ret_node = n;
	return 0;
}

int parser_operand(struct parser *p, struct expr_node **ret_node)
{
	struct expr_node *n;

	if (parser_is(p, TOKEN_WORD) && parser_token(p)[1].kind == TOKEN_OPEN)
		return parse_function(p, ret_node);
	if (parser_is(p, TOKEN_VALUE)) {
		n = parser_node(p, NODE_VALUE, 0);
		TRY(parser_value(p, &n->value));
	} else {
		n = parser_node(p, NODE_PATH, 0);
		TRY(parser_path(p, &n->path));
	}
	*ret_node = n;
	return 0;
}

/* Where an operand is needed: a function that yields none is misused. */
static int need_operand(struct parser *p, const struct expr_node *n)
{
	if (node_is_operand(n))
		return 0;
	if (n->parentheses || n->kind < NODE_EXISTS) /* not a bare function: (a = b) = c */
		return parser_syntax_error(p);
	misused(p, n->kind);
	return 0;
}

/* Where a condition is needed: an operand is a syntax error at the token behind it. */
static int need_condition(struct parser *p, const struct expr_node *n)
{
	if (!node_is_operand(n))
		return 0;
	if (n->kind == NODE_PATH || n->kind == NODE_VALUE)
		return parser_syntax_error(p);
	misused(p, n->kind);
	return 0;
}

static int parse_condition(struct parser *p, enum precedence level, struct expr_node **ret_node);

/* The right side of a comparison: an operand, maybe in parentheses. */
static int parse_right(struct parser *p, struct expr_node **ret_node)
{
	struct expr_node *n;

	if (parser_is(p, TOKEN_OPEN)) {
		p->at++;
		TRY(parser_operand(p, &n));
		TRY(parser_expect(p, TOKEN_CLOSE));
	} else {
		TRY(parser_operand(p, &n));
	}
	TRY(need_operand(p, n));
	*ret_node = n;
	return 0;
}

static int parse_comparison(struct parser *p, struct expr_node *left, struct expr_node **ret_node)
{
	enum node_kind kind = (enum node_kind)(NODE_EQUAL + (parser_token(p)->kind - TOKEN_EQUAL));
	struct expr_node *n = parser_node(p, kind, 2);

	n->args[0] = left;
	p->operators++;
	p->at++;
	TRY(parse_right(p, &n->args[1]));
	node_check(p, n);
	*ret_node = n;
	return 0;
}

static int parse_between(struct parser *p, struct expr_node *left, struct expr_node **ret_node)
{
	struct expr_node *n = parser_node(p, NODE_BETWEEN, 3);

	n->args[0] = left;
	p->operators++;
	p->at++;
	TRY(parse_right(p, &n->args[1]));
	if (!parser_is_word(p, "AND"))
		return parser_syntax_error(p);
	p->at++;
	TRY(parse_right(p, &n->args[2]));
	node_check(p, n);
	*ret_node = n;
	return 0;
}

/* Not inlined: its array must not be in the frame that nests. */
static noinline_fn int parse_in(
	struct parser *p, struct expr_node *left, struct expr_node **ret_node)
{
	struct expr_node *n, *args[1 + EXPR_IN_OPERANDS_MAX];
	unsigned count = 1;

	args[0] = left;
	p->operators++;
	p->at++;
	TRY(parser_expect(p, TOKEN_OPEN));
	do {
		TRY(parser_operand(p, &n));
		TRY(need_operand(p, n));
		if (count <= EXPR_IN_OPERANDS_MAX)
			args[count] = n;
		count++;
	} while (parser_take(p, TOKEN_COMMA));
	TRY(parser_expect(p, TOKEN_CLOSE));
	if (count > 1 + EXPR_IN_OPERANDS_MAX) {
		parser_problem(p,
			"The IN operator is provided with too many operands; number of operands: "
			"%u",
			count - 1);
		count = 1 + EXPR_IN_OPERANDS_MAX;
	}
	n = parser_node(p, NODE_IN, count);
	memcpy(n->args, args, count * sizeof *args);
	node_check(p, n);
	*ret_node = n;
	return 0;
}

/* What may follow an operand; the operand itself when nothing does. */
static int parse_tail(struct parser *p, struct expr_node *left, struct expr_node **ret_node)
{
	bool compares = parser_token(p)->kind >= TOKEN_EQUAL &&
			parser_token(p)->kind <= TOKEN_GREATER_EQUAL,
	     between = !compares && parser_is_word(p, "BETWEEN"),
	     in = !compares && !between && parser_is_word(p, "IN");

	if (!compares && !between && !in) {
		*ret_node = left;
		return 0;
	}
	TRY(need_operand(p, left));
	if (compares)
		return parse_comparison(p, left, ret_node);
	return between ? parse_between(p, left, ret_node) : parse_in(p, left, ret_node);
}

static int parse_parentheses(struct parser *p, struct expr_node **ret_node)
{
	struct expr_node *n;

	TRY(parser_enter(p));
	p->at++;
	TRY(parse_condition(p, LOWEST, &n));
	TRY(parser_expect(p, TOKEN_CLOSE));
	p->depth--;
	if (n->parentheses)
		parser_problem(p, "The expression has redundant parentheses;");
	n->parentheses = true;
	*ret_node = n;
	return 0;
}

static int parse_not(struct parser *p, struct expr_node **ret_node)
{
	struct expr_node *n = parser_node(p, NODE_NOT, 1);

	TRY(parser_enter(p));
	p->operators++;
	p->at++;
	TRY(parse_condition(p, IN_NOT, &n->args[0]));
	TRY(need_condition(p, n->args[0]));
	p->depth--;
	*ret_node = n;
	return 0;
}

/* `left` and all that is joined to it by the same AND or OR. */
static int parse_joined(
	struct parser *p, enum node_kind kind, struct expr_node *left, struct expr_node **ret_node)
{
	uint32_t capacity = 2;
	struct expr_node *n = parser_node(p, kind, capacity);

	TRY(need_condition(p, left));
	n->args[0] = left;
	n->count = 1;
	while (parser_is_word(p, node_name(kind))) {
		struct expr_node *right;

		p->operators++;
		p->at++;
		TRY(parse_condition(p, kind == NODE_AND ? IN_AND : IN_OR, &right));
		TRY(need_condition(p, right));
		parser_node_add(p, n, &capacity, right);
	}
	*ret_node = n;
	return 0;
}

/* Everything that binds more tightly than `level`. */
static int parse_condition(struct parser *p, enum precedence level, struct expr_node **ret_node)
{
	struct expr_node *n;

	if (parser_is_word(p, "NOT") && parser_token(p)[1].kind != TOKEN_END) {
		TRY(parse_not(p, &n));
	} else {
		if (parser_is(p, TOKEN_OPEN))
			TRY(parse_parentheses(p, &n));
		else
			TRY(parser_operand(p, &n));
		TRY(parse_tail(p, n, &n));
	}
	if (level < IN_AND && parser_is_word(p, "AND"))
		TRY(parse_joined(p, NODE_AND, n, &n));
	if (level < IN_OR && parser_is_word(p, "OR"))
		TRY(parse_joined(p, NODE_OR, n, &n));
	*ret_node = n;
	return 0;
}

int expr_parse_condition(
	struct expr *e, enum expr_kind kind, str text, const struct expr_condition **ret_condition)
{
	struct expr_condition *c = arena_new(e->arena, struct expr_condition);
	struct parser p;

	TRY(parser_init(&p, e, kind, text));
	TRY(parse_condition(&p, LOWEST, &c->root));
	if (parser_is(&p, TOKEN_END))
		TRY(need_condition(&p, c->root));
	TRY(parser_finish(&p));
	*ret_condition = c;
	return 0;
}

/* The first path element that is a key attribute, in the order of the text. */
static int find_key(const struct expr_node *n, const struct key_schema *s, str *ret_name)
{
	enum attr_type type;

	if (n->kind == NODE_PATH && key_schema_find(s, n->path.elements[0].name, &type)) {
		*ret_name = n->path.elements[0].name;
		return 1;
	}
	for (uint32_t i = 0; i < n->count; i++)
		if (find_key(n->args[i], s, ret_name))
			return 1;
	return 0;
}

int expr_check_filter_keys(
	struct expr *e, const struct expr_condition *c, const struct key_schema *s)
{
	str name;

	if (!find_key(c->root, s, &name))
		return 0;
	return validation_fault(e->fault, e->arena,
		"Filter Expression can only contain non-primary key attributes: Primary key "
		"attribute: "
		"%.*s",
		STR_ARG(name));
}
