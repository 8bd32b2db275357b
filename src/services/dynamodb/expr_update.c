/*
 * Parsing of update expressions.
 *
 *     SET path = value, ...     value: operand | operand + operand | operand - operand
 *     REMOVE path, ...          operand: path | :value | function | (value)
 *     ADD path :value, ...
 *     DELETE path :value, ...
 *
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
 */
#include "base/check.h"
#include "services/dynamodb/expr_update_ast.h"
#include "services/dynamodb/faults.h"

static const char *const section_names[] = {
	[ACTION_SET] = "SET",
	[ACTION_REMOVE] = "REMOVE",
	[ACTION_ADD] = "ADD",
	[ACTION_DELETE] = "DELETE",
};

/* Types as messages about ADD and DELETE call them. */
static const char *const long_type_names[ATTR_TYPES] = {
	[ATTR_S] = "STRING",
	[ATTR_N] = "NUMBER",
	[ATTR_B] = "BINARY",
	[ATTR_SS] = "STRING_SET",
	[ATTR_NS] = "NUMBER_SET",
	[ATTR_BS] = "BINARY_SET",
	[ATTR_L] = "LIST",
	[ATTR_M] = "MAP",
	[ATTR_BOOL] = "BOOLEAN",
	[ATTR_NULL] = "NULL",
};

static int parse_set_value(struct parser *p, struct expr_node **ret_node);

static int parse_set_operand(struct parser *p, struct expr_node **ret_node)
{
	struct expr_node *n;

	if (!parser_is(p, TOKEN_OPEN))
		return parser_operand(p, ret_node);
	TRY(parser_enter(p));
	p->at++;
	TRY(parse_set_value(p, &n));
	TRY(parser_expect(p, TOKEN_CLOSE));
	p->depth--;
	if (n->parentheses)
		parser_problem(p, "The expression has redundant parentheses;");
	n->parentheses = true;
	*ret_node = n;
	return 0;
}

static int parse_set_value(struct parser *p, struct expr_node **ret_node)
{
	struct expr_node *left, *n;

	TRY(parse_set_operand(p, &left));
	if (!parser_is(p, TOKEN_PLUS) && !parser_is(p, TOKEN_MINUS)) {
		*ret_node = left;
		return 0;
	}
	n = parser_node(p, parser_is(p, TOKEN_PLUS) ? NODE_PLUS : NODE_MINUS, 2);
	p->operators++;
	p->at++;
	n->args[0] = left;
	TRY(parse_set_operand(p, &n->args[1]));
	node_check(p, n);
	*ret_node = n;
	return 0;
}

static void check_value_type(struct parser *p, const struct action *a)
{
	enum attr_type type;

	if (p->problem.p) /* the value may be a stand-in */
		return;
	type = attr_type(a->value);
	if (attr_is_set(type) || (a->kind == ACTION_ADD && type == ATTR_N))
		return;
	parser_problem(p,
		"Incorrect operand type for operator or function; operator: %s, operand type: %s, "
		"typeSet: ALLOWED_FOR_%s_OPERAND",
		section_names[a->kind], long_type_names[type], section_names[a->kind]);
}

static int parse_action(struct parser *p, struct action *a)
{
	TRY(parser_path(p, &a->path));
	switch (a->kind) {
	case ACTION_SET: TRY(parser_expect(p, TOKEN_EQUAL)); return parse_set_value(p, &a->operand);
	case ACTION_REMOVE: return 0;
	case ACTION_ADD:
	case ACTION_DELETE:
		TRY(parser_value(p, &a->value));
		check_value_type(p, a);
		return 0;
	}
	check_unreachable();
}

static int section_of(const struct parser *p)
{
	for (int i = ACTION_SET; i <= ACTION_DELETE; i++)
		if (parser_is_word(p, section_names[i]))
			return i;
	return -1;
}

static int parse_sections(struct parser *p, struct expr_update *u)
{
	struct action **next = &u->first;
	unsigned seen = 0;

	do {
		int section = section_of(p);

		if (section < 0)
			return parser_syntax_error(p);
		if (seen & 1u << section)
			parser_problem(p,
				"The \"%s\" section can only be used once in an update expression;",
				section_names[section]);
		seen |= 1u << section;
		p->at++;
		do {
			struct action *a = arena_new(p->e->arena, struct action);

			a->kind = (enum action_kind)section;
			TRY(parse_action(p, a));
			*next = a;
			next = &a->next;
			u->count++;
		} while (parser_take(p, TOKEN_COMMA));
	} while (!parser_is(p, TOKEN_END));
	return 0;
}

void update_finish(struct parser *p, struct expr_update *u)
{
	const struct expr_path **paths = arena_alloc(p->e->arena, u->count * sizeof *paths);
	uint32_t i = 0;

	for (const struct action *a = u->first; a; a = a->next)
		paths[i++] = &a->path;
	paths_check(p, paths, u->count);
	if (!p->problem.p)
		u->touched = projection_new(p->e->arena, paths, u->count);
}

int expr_parse_update(struct expr *e, str text, const struct expr_update **ret_update)
{
	struct expr_update *u = arena_new(e->arena, struct expr_update);
	struct parser p;

	TRY(parser_init(&p, e, EXPR_UPDATE, text));
	TRY(parse_sections(&p, u));
	update_finish(&p, u);
	TRY(parser_finish(&p));
	*ret_update = u;
	return 0;
}

int expr_check_update_keys(struct expr *e, const struct expr_update *u, const struct key_schema *s)
{
	enum attr_type type;

	for (const struct action *a = u->first; a; a = a->next)
		if (key_schema_find(s, a->path.elements[0].name, &type))
			return validation_fault(e->fault, e->arena,
				"One or more parameter values were invalid: Cannot update "
				"attribute "
				"%.*s. This attribute is part of the key",
				STR_ARG(a->path.elements[0].name));
	return 0;
}

bool expr_update_only_removes(const struct expr_update *u)
{
	for (const struct action *a = u->first; a; a = a->next)
		if (a->kind == ACTION_SET || a->kind == ACTION_ADD)
			return false;
	return u->first != NULL;
}

const struct expr_projection *expr_update_touched(const struct expr_update *u)
{
	return u->touched;
}
