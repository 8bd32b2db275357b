/*
 * UPDATE's clauses as the actions of an update expression.
 *
 *     SET path = value     value: operand | value + operand | value - operand
 *     REMOVE path          operand: path | literal | list_append(operand, operand) | (value)
 *
 * Each clause stands once for each path, in any order; a comma goes on in the same clause.
 * SET s = set_add(s, <<..>>) and set_delete() are the actions ADD and DELETE.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.update.html
 */
#include "base/check.h"
#include "services/dynamodb/partiql_ast.h"

static int parse_value(struct ql_parser *q, struct expr_node **ret_node);

/* list_append(operand, operand), behind the parenthesis. */
static int parse_append(struct ql_parser *q, struct expr_node **ret_node)
{
	struct expr_node *n = parser_node(&q->p, NODE_LIST_APPEND, 2);

	TRY(parse_value(q, &n->args[0]));
	TRY(ql_expect(q, QL_COMMA));
	TRY(parse_value(q, &n->args[1]));
	node_check(&q->p, n);
	*ret_node = n;
	return ql_expect(q, QL_CLOSE);
}

static int parse_operand(struct ql_parser *q, struct expr_node **ret_node)
{
	if (ql_is_call(q)) {
		if (!ql_is_word(q, "LIST_APPEND"))
			return ql_unsupported(q, "function");
		ql_advance(q);
		ql_advance(q);
		return parse_append(q, ret_node);
	}
	if (!ql_accept(q, QL_OPEN))
		return ql_operand(q, ret_node);
	TRY(parse_value(q, ret_node));
	return ql_expect(q, QL_CLOSE);
}

static int parse_value(struct ql_parser *q, struct expr_node **ret_node)
{
	struct expr_node *left, *n;
	unsigned depth = q->p.depth;

	TRY(parser_enter(&q->p));
	TRY(parse_operand(q, &left));
	while (ql_is(q, QL_PLUS) || ql_is(q, QL_MINUS)) {
		TRY(parser_enter(&q->p)); /* each side is evaluated one frame deeper */
		n = parser_node(&q->p, ql_is(q, QL_PLUS) ? NODE_PLUS : NODE_MINUS, 2);
		ql_advance(q);
		n->args[0] = left;
		TRY(parse_operand(q, &n->args[1]));
		node_check(&q->p, n);
		left = n;
	}
	q->p.depth = depth;
	*ret_node = left;
	return 0;
}

/* set_add(path, <<..>>) and set_delete(), at the name: the action that they are. */
static int parse_set_change(struct ql_parser *q, struct action *a)
{
	struct expr_path path;

	a->kind = ql_is_word(q, "SET_ADD") ? ACTION_ADD : ACTION_DELETE;
	ql_advance(q);
	ql_advance(q);
	TRY(ql_path(q, &path));
	if (!path_equal(&path, &a->path))
		return ql_invalid(q, "The first operand of %s must be the attribute that is set",
			a->kind == ACTION_ADD ? "set_add" : "set_delete");
	TRY(ql_expect(q, QL_COMMA));
	TRY(ql_value(q, &a->value));
	/* A missing parameter is reported at the end. */
	if (!attr_is_set(attr_type(a->value)) && q->parameters_used <= q->parameter_count)
		return ql_invalid(q,
			"Incorrect operand type for operator or function; operator or function: "
			"%s, operand type: %.*s",
			a->kind == ACTION_ADD ? "set_add" : "set_delete",
			STR_ARG(attr_type_name(attr_type(a->value))));
	return ql_expect(q, QL_CLOSE);
}

static int parse_action(struct ql_parser *q, struct action *a)
{
	TRY(ql_path(q, &a->path));
	if (a->kind == ACTION_REMOVE)
		return 0;
	TRY(ql_expect(q, QL_EQUAL));
	if (ql_is_call(q) && (ql_is_word(q, "SET_ADD") || ql_is_word(q, "SET_DELETE")))
		return parse_set_change(q, a);
	return parse_value(q, &a->operand);
}

static int parse_clauses(struct ql_parser *q, struct expr_update *u)
{
	struct action **next = &u->first;

	for (;;) {
		bool set = ql_is_word(q, "SET");

		if (!set && !ql_is_word(q, "REMOVE"))
			return u->count ? 0 : ql_malformed(q, "Expected data manipulation");
		ql_advance(q);
		do {
			struct action *a = arena_new(q->p.e->arena, struct action);

			a->kind = set ? ACTION_SET : ACTION_REMOVE;
			TRY(parse_action(q, a));
			*next = a;
			next = &a->next;
			u->count++;
		} while (ql_accept(q, QL_COMMA));
	}
}

int ql_update(struct ql_parser *q, const struct expr_update **ret_update)
{
	struct expr_update *u = arena_new(q->p.e->arena, struct expr_update);

	TRY(parse_clauses(q, u));
	update_finish(&q->p, u);
	*ret_update = u;
	return 0;
}
