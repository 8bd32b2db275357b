/*
 * The expression language inside: tokens, the tree, and what the parsers share. Private to
 * expr_*.c.
 */
#ifndef SERVICES_DYNAMODB_EXPR_AST_H
#define SERVICES_DYNAMODB_EXPR_AST_H

#include "services/dynamodb/expr.h"

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,   /* attribute name, keyword or function */
	TOKEN_NAME,   /* #name */
	TOKEN_VALUE,  /* :value */
	TOKEN_NUMBER, /* digits: a list index */
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_INDEX_OPEN,
	TOKEN_INDEX_CLOSE,
	TOKEN_COMMA,
	TOKEN_DOT,
	TOKEN_PLUS,
	TOKEN_MINUS,
	TOKEN_EQUAL,
	TOKEN_NOT_EQUAL,
	TOKEN_LESS,
	TOKEN_LESS_EQUAL,
	TOKEN_GREATER,
	TOKEN_GREATER_EQUAL,
	TOKEN_BAD, /* a character that nothing starts with */
};

struct token {
	enum token_kind kind;
	str text; /* the part of the expression; the end has the empty rest */
};

enum node_kind {
	/* operands */
	NODE_PATH,
	NODE_VALUE,
	NODE_SIZE,
	NODE_IF_NOT_EXISTS,
	NODE_LIST_APPEND,
	NODE_PLUS,
	NODE_MINUS,
	/* conditions */
	NODE_AND,
	NODE_OR,
	NODE_NOT,
	NODE_EQUAL,
	NODE_NOT_EQUAL,
	NODE_LESS,
	NODE_LESS_EQUAL,
	NODE_GREATER,
	NODE_GREATER_EQUAL,
	NODE_BETWEEN,
	NODE_IN,
	NODE_EXISTS,
	NODE_NOT_EXISTS,
	NODE_TYPE,
	NODE_BEGINS_WITH,
	NODE_CONTAINS,
};

struct expr_node {
	enum node_kind kind;
	bool parentheses; /* was written in its own */
	uint32_t count;   /* of args */
	struct expr_node **args;
	str value;             /* NODE_VALUE: encoded */
	struct expr_path path; /* NODE_PATH */
};

static inline bool node_is_operand(const struct expr_node *n)
{
	return n->kind <= NODE_MINUS;
}

struct expr_condition {
	struct expr_node *root;
};

/* One text being parsed. */
struct parser {
	struct expr *e;
	enum expr_kind kind;
	struct token *tokens; /* the last is TOKEN_END */
	uint32_t at;
	unsigned depth, operators;
	str problem; /* the first that is not about syntax: reported when the syntax is right */
};

/* Splits the text; limits of size and emptiness. ERR_FAULT. */
must_use int parser_init(struct parser *p, struct expr *e, enum expr_kind kind, str text);

static inline const struct token *parser_token(const struct parser *p)
{
	return &p->tokens[p->at];
}
static inline bool parser_is(const struct parser *p, enum token_kind kind)
{
	return p->tokens[p->at].kind == kind;
}
/* Is the current token this keyword (upper case), in any case? */
bool parser_is_word(const struct parser *p, const char *word);
static inline bool parser_take(struct parser *p, enum token_kind kind)
{
	if (!parser_is(p, kind))
		return false;
	p->at++;
	return true;
}
/* Takes the token if it is of the kind, else a syntax error. */
must_use int parser_expect(struct parser *p, enum token_kind kind);
/* "Syntax error; token: ..." at the current token; ERR_FAULT. */
int parser_syntax_error(struct parser *p);
/* "Invalid UpdateExpression: " and the text; ERR_FAULT. */
int parser_fault(struct parser *p, const char *format, ...) printf_like(2, 3);
/* Keeps a problem that is reported behind all syntax errors. */
void parser_problem(struct parser *p, const char *format, ...) printf_like(2, 3);
/* At the end: the kept problem, too many operators. ERR_FAULT. */
must_use int parser_finish(struct parser *p);
must_use int parser_enter(struct parser *p); /* one level deeper; undone by p->depth-- */

/* A document path; names are resolved and checked. */
must_use int parser_path(struct parser *p, struct expr_path *ret_path);
/* A path, a value or a function. */
must_use int parser_operand(struct parser *p, struct expr_node **ret_node);
struct expr_node *parser_node(struct parser *p, enum node_kind kind, uint32_t arg_count);
/* One more argument; `capacity` is that of n->args, at least 1. */
void parser_node_add(
	struct parser *p, struct expr_node *n, uint32_t *capacity, struct expr_node *arg);
/* The value of a TOKEN_VALUE, which is taken. */
must_use int parser_value(struct parser *p, str *ret_value);

/* Name of the operator or function as in expressions: "<", "begins_with". */
const char *node_name(enum node_kind kind);
/* "[a, b, [1]]" */
str path_text(struct arena *arena, const struct expr_path *path);
bool path_equal(const struct expr_path *a, const struct expr_path *b);
/* Paths of one expression may not overlap nor conflict. Sorts a copy; reports through
 * parser_problem(). */
void paths_check(struct parser *p, const struct expr_path *const *paths, uint32_t count);
/* A projection of the paths, which do not overlap. */
const struct expr_projection *projection_new(
	struct arena *arena, const struct expr_path *const *paths, uint32_t count);

/* What can be said of an operator's or function's operands without an item, as parser_problem().
 */
void node_check(struct parser *p, const struct expr_node *n);
/* A literal has a type that the operator or function never takes. */
void operand_type_problem(struct parser *p, const char *operator, str value);

#endif
