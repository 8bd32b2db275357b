/*
 * The statement parser inside: tokens and what its files share. Private to partiql_*.c.
 */
#ifndef SERVICES_DYNAMODB_PARTIQL_AST_H
#define SERVICES_DYNAMODB_PARTIQL_AST_H

#include "services/dynamodb/expr_update_ast.h"
#include "services/dynamodb/partiql.h"

enum ql_kind {
	QL_END,
	QL_WORD,      /* keyword, name or function */
	QL_NAME,      /* "name" */
	QL_STRING,    /* 'text' */
	QL_NUMBER,    /* without a sign */
	QL_PARAMETER, /* ? */
	QL_OPEN,
	QL_CLOSE,
	QL_LIST_OPEN,
	QL_LIST_CLOSE,
	QL_MAP_OPEN,
	QL_MAP_CLOSE,
	QL_SET_OPEN,
	QL_SET_CLOSE,
	QL_COMMA,
	QL_DOT,
	QL_COLON,
	QL_SEMICOLON,
	QL_STAR,
	QL_PLUS,
	QL_MINUS,
	/* In the order of NODE_EQUAL ... */
	QL_EQUAL,
	QL_NOT_EQUAL,
	QL_LESS,
	QL_LESS_EQUAL,
	QL_GREATER,
	QL_GREATER_EQUAL,
	QL_BAD, /* nothing starts like this, or a string without an end */
};

struct ql_token {
	enum ql_kind kind;
	str text; /* as written, quotes included; the end has the empty rest */
};

/* One statement being parsed. */
struct ql_parser {
	struct parser p; /* of the expression language: nodes, depth, the problem that is kept */
	str text, rest;  /* the whole; what is behind `token` */
	struct ql_token token;
	const str *parameters;
	uint32_t parameter_count, parameters_used;
	struct attr_decoder decoder; /* of literals; keeps the first rule that one breaks */
};

/* ---- partiql_lex.c ---- */

/* Cuts the first token off, with the space and comments in front of it. */
struct ql_token ql_take(str *rest);
void ql_advance(struct ql_parser *q);
static inline bool ql_is(const struct ql_parser *q, enum ql_kind kind)
{
	return q->token.kind == kind;
}
static inline bool ql_accept(struct ql_parser *q, enum ql_kind kind)
{
	if (q->token.kind != kind)
		return false;
	ql_advance(q);
	return true;
}
/* Takes the token if it is of the kind; else ERR_FAULT, "Expected RIGHT_PAREN". */
must_use int ql_expect(struct ql_parser *q, enum ql_kind kind);
/* Is the token this keyword (upper case), in any case? */
bool ql_is_word(const struct ql_parser *q, const char *word);
bool ql_accept_word(struct ql_parser *q, const char *word);
must_use int ql_expect_word(struct ql_parser *q, const char *word);
/* A word that the grammar needs, so that it cannot be a name without quotes. */
bool ql_is_keyword(const struct ql_parser *q);
/* What a quoted token says, its doubled quotes undone. */
str ql_unquoted(struct ql_parser *q, struct ql_token t);

/* "Statement wasn't well formed, can't be processed: " and the detail; ERR_FAULT. */
int ql_malformed(struct ql_parser *q, const char *detail);
/* The token cannot begin what should stand here; ERR_FAULT. */
int ql_unexpected(struct ql_parser *q);
/* "Unsupported clause: LIMIT at 1:20:5" (line, column, length) of the token; ERR_FAULT. */
int ql_unsupported(struct ql_parser *q, const char *what);
/* ValidationException; ERR_FAULT. */
int ql_invalid(struct ql_parser *q, const char *format, ...) printf_like(2, 3);

/* ---- partiql_value.c ---- */

/* A name, quoted or not. */
must_use int ql_name(struct ql_parser *q, str *ret_name);
/* A document path: a.b[1]['c']. */
must_use int ql_path(struct ql_parser *q, struct expr_path *ret_path);
/* Can the token begin a literal or be a parameter? */
bool ql_is_value(const struct ql_parser *q);
/* A literal or parameter, encoded. */
must_use int ql_value(struct ql_parser *q, str *ret_value);
/* A map, literal or parameter, as an item. */
must_use int ql_item(struct ql_parser *q, str *ret_item);

/* ---- partiql_condition.c ---- */

/* Behind WHERE. */
must_use int ql_condition(struct ql_parser *q, const struct expr_condition **ret_condition);
/* A path or a value. */
must_use int ql_operand(struct ql_parser *q, struct expr_node **ret_node);
/* Is the token a word with a parenthesis behind it? */
bool ql_is_call(const struct ql_parser *q);

/* ---- partiql_update.c ---- */

/* The SET and REMOVE clauses. */
must_use int ql_update(struct ql_parser *q, const struct expr_update **ret_update);

#endif
