/*
 * Tokens of the expression language, and the parser's common part: errors and limits.
 *
 * The text is split at once; it has at most 4,096 bytes. A syntax error shows the token and, as
 * "near", the text from the token before to the token behind.
 */
#include "base/check.h"
#include "services/dynamodb/expr_ast.h"
#include "services/dynamodb/faults.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const kind_names[] = {
	[EXPR_CONDITION] = "ConditionExpression",
	[EXPR_FILTER] = "FilterExpression",
	[EXPR_KEY_CONDITION] = "KeyConditionExpression",
	[EXPR_SEARCH_CONDITION] = "SearchConditionExpression",
	[EXPR_PROJECTION] = "ProjectionExpression",
	[EXPR_UPDATE] = "UpdateExpression",
};

static inline bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t word_bytes(str s, size_t from)
{
	size_t n = from;

	while (n < s.n && (is_letter(s.p[n]) || is_digit(s.p[n]) || s.p[n] == '_'))
		n++;
	return n;
}

/* Bytes of the UTF-8 character in front, so that a message stays UTF-8. */
static size_t character_bytes(str s)
{
	size_t n = 1;

	while (n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static enum token_kind comparison(str s, size_t *ret_n)
{
	char second = s.n > 1 ? s.p[1] : 0;

	*ret_n = 1;
	if (s.p[0] == '=')
		return TOKEN_EQUAL;
	if (second == '=' || (s.p[0] == '<' && second == '>'))
		*ret_n = 2;
	if (s.p[0] == '>')
		return second == '=' ? TOKEN_GREATER_EQUAL : TOKEN_GREATER;
	return second == '=' ? TOKEN_LESS_EQUAL : second == '>' ? TOKEN_NOT_EQUAL : TOKEN_LESS;
}

/* The token at the front of `s`, which starts with no space. */
static enum token_kind token_at(str s, size_t *ret_n)
{
	char c = s.p[0];

	*ret_n = 1;
	if (is_letter(c)) {
		*ret_n = word_bytes(s, 1);
		return TOKEN_WORD;
	}
	switch (c) {
	case '#':
	case ':':
		*ret_n = word_bytes(s, 1);
		if (*ret_n == 1)
			return TOKEN_BAD;
		return c == '#' ? TOKEN_NAME : TOKEN_VALUE;
	case '(': return TOKEN_OPEN;
	case ')': return TOKEN_CLOSE;
	case '[': return TOKEN_INDEX_OPEN;
	case ']': return TOKEN_INDEX_CLOSE;
	case ',': return TOKEN_COMMA;
	case '.': return TOKEN_DOT;
	case '+': return TOKEN_PLUS;
	case '-': return TOKEN_MINUS;
	case '=':
	case '<':
	case '>': return comparison(s, ret_n);
	default: break;
	}
	if (is_digit(c)) {
		while (*ret_n < s.n && is_digit(s.p[*ret_n]))
			(*ret_n)++;
		return TOKEN_NUMBER;
	}
	*ret_n = character_bytes(s);
	return TOKEN_BAD;
}

static inline bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

int parser_init(struct parser *p, struct expr *e, enum expr_kind kind, str text)
{
	uint32_t n = 0;

	*p = (struct parser){.e = e, .kind = kind};
	e->has_expression = true;
	if (text.n == 0)
		return parser_fault(p, "The expression can not be empty;");
	if (text.n > EXPR_BYTES_MAX)
		return parser_fault(p, "Expression size has exceeded the maximum allowed size;");
	p->tokens = arena_alloc(e->arena, (text.n + 1) * sizeof *p->tokens);
	for (;;) {
		size_t bytes;

		while (text.n > 0 && is_space(text.p[0]))
			text = str_from(text, 1);
		if (text.n == 0)
			break;
		p->tokens[n].kind = token_at(text, &bytes);
		p->tokens[n++].text = str_sub(text, 0, bytes);
		text = str_from(text, bytes);
	}
	p->tokens[n] = (struct token){TOKEN_END, text};
	if (n == 0)
		return parser_fault(p, "The expression can not be empty;");
	return 0;
}

bool parser_is_word(const struct parser *p, const char *word)
{
	return parser_is(p, TOKEN_WORD) && str_eq_nocase(parser_token(p)->text, str_c(word));
}

int parser_expect(struct parser *p, enum token_kind kind)
{
	if (!parser_is(p, kind))
		return parser_syntax_error(p);
	p->at++;
	return 0;
}

int parser_syntax_error(struct parser *p)
{
	const struct token *t = parser_token(p), *first = p->at ? t - 1 : t,
			   *last = t->kind == TOKEN_END || t[1].kind == TOKEN_END ? t : t + 1;
	const char *end =
		t->kind == TOKEN_END ? first->text.p + first->text.n : last->text.p + last->text.n;
	str near = str_of(first->text.p, (size_t)(end - first->text.p));
	str token = t->kind == TOKEN_END ? STR("<EOF>") : t->text;

	return parser_fault(
		p, "Syntax error; token: \"%.*s\", near: \"%.*s\"", STR_ARG(token), STR_ARG(near));
}

static str prefixed(struct parser *p, const char *format, va_list args)
{
	va_list again;
	char *text;
	int n;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	check(n >= 0);
	text = arena_bytes(p->e->arena, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, format, args);
	if (p->kind == EXPR_STATEMENT)
		return str_of(text, (size_t)n);
	return ARENA_CONCAT(p->e->arena, STR("Invalid "), str_c(kind_names[p->kind]), STR(": "),
		str_of(text, (size_t)n));
}

int parser_fault(struct parser *p, const char *format, ...)
{
	va_list args;
	str text;

	va_start(args, format);
	text = prefixed(p, format, args);
	va_end(args);
	return validation_fault(p->e->fault, p->e->arena, "%.*s", STR_ARG(text));
}

void parser_problem(struct parser *p, const char *format, ...)
{
	va_list args;

	if (p->problem.p)
		return;
	va_start(args, format);
	p->problem = prefixed(p, format, args);
	va_end(args);
}

int parser_finish(struct parser *p)
{
	if (!parser_is(p, TOKEN_END))
		return parser_syntax_error(p);
	if (p->operators > EXPR_OPERATORS_MAX)
		return parser_fault(p,
			"The expression contains too many operators; operator count: %u",
			p->operators);
	if (p->problem.p)
		return validation_fault(p->e->fault, p->e->arena, "%.*s", STR_ARG(p->problem));
	return 0;
}

int parser_enter(struct parser *p)
{
	if (p->depth == EXPR_DEPTH_MAX)
		return parser_fault(p,
			"The expression is nested too deeply; maximum number of levels: %d",
			EXPR_DEPTH_MAX);
	p->depth++;
	return 0;
}
