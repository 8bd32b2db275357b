/*
 * A parsed UpdateExpression: shared by its parser and its application. Private to expr_update*.c.
 */
#ifndef SERVICES_DYNAMODB_EXPR_UPDATE_AST_H
#define SERVICES_DYNAMODB_EXPR_UPDATE_AST_H

#include "services/dynamodb/expr_ast.h"

enum action_kind { ACTION_SET, ACTION_REMOVE, ACTION_ADD, ACTION_DELETE };

struct action {
	enum action_kind kind;
	struct expr_path path;
	struct expr_node *operand; /* ACTION_SET */
	str value;                 /* ACTION_ADD, ACTION_DELETE: encoded */
	bool legacy;               /* of AttributeUpdates */
	struct action *next;       /* in the order of the text */
};

struct expr_update {
	struct action *first;
	uint32_t count;
	const struct expr_projection *touched;
};

/* Behind the last action: paths may not overlap (parser_problem()); makes `touched`. */
void update_finish(struct parser *p, struct expr_update *u);

#endif
