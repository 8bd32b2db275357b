/*
 * SearchConditionExpression: the tree of a condition, turned into equalities.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/VectorSearchWorkingWith.html
 */
#include "services/dynamodb/expr_ast.h"
#include "services/dynamodb/vector.h"

enum { EQUALITIES_MAX = 1 + VECTOR_FILTERS_MAX };

struct reading {
	struct parser p; /* for messages */
	struct expr_equality *list;
	size_t n;
};

static int wrong_operator(struct reading *r, enum node_kind kind)
{
	bool compares = kind >= NODE_NOT_EQUAL && kind <= NODE_GREATER_EQUAL;

	return parser_fault(&r->p, "Invalid %s used in SearchConditionExpression",
		compares ? "comparator" : "operator");
}

/* "a = :v", either way round. */
static int read_equality(struct reading *r, const struct expr_node *n)
{
	const struct expr_node *path = n->args[0], *value = n->args[1];

	if (path->kind == NODE_VALUE) {
		path = n->args[1];
		value = n->args[0];
	}
	if (path->kind != NODE_PATH || value->kind != NODE_VALUE)
		return parser_fault(
			&r->p, "An attribute has to be compared with a value of the request");
	if (path->path.count > 1)
		return parser_fault(&r->p, "Nested attributes cannot be used: %.*s",
			STR_ARG(path_text(r->p.e->arena, &path->path)));
	for (size_t i = 0; i < r->n; i++)
		if (str_eq(r->list[i].name, path->path.elements[0].name))
			return parser_fault(&r->p, "Attribute used more than once: %.*s",
				STR_ARG(r->list[i].name));
	if (r->n == EQUALITIES_MAX)
		return parser_fault(
			&r->p, "More than %d attributes cannot be used", EQUALITIES_MAX);
	r->list[r->n++] = (struct expr_equality){path->path.elements[0].name, value->value};
	return 0;
}

/* As deep as parsing was, which is bounded. */
static int read_node(struct reading *r, const struct expr_node *n)
{
	if (n->kind == NODE_EQUAL)
		return read_equality(r, n);
	if (n->kind != NODE_AND)
		return wrong_operator(r, n->kind);
	for (uint32_t i = 0; i < n->count; i++)
		TRY(read_node(r, n->args[i]));
	return 0;
}

int expr_parse_equalities(struct expr *e, str text, struct expr_equalities *ret_equalities)
{
	struct reading r = {.p = {.e = e, .kind = EXPR_SEARCH_CONDITION},
		.list = arena_new_array(e->arena, struct expr_equality, EQUALITIES_MAX)};
	const struct expr_condition *parsed;

	TRY(expr_parse_condition(e, EXPR_SEARCH_CONDITION, text, &parsed));
	TRY(read_node(&r, parsed->root));
	*ret_equalities = (struct expr_equalities){r.list, r.n};
	return 0;
}
