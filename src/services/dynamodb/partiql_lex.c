/*
 * Tokens of PartiQL, and the faults of its parser. Keywords are in any case; names in double
 * quotes, strings in single ones, a quote inside is doubled; "--" begins a comment to the end of
 * the line, and there are those of C. Ion literals are not part of DynamoDB's PartiQL.
 */
#include "base/check.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/partiql_ast.h"

#include <stdarg.h>

static const char *const token_names[] = {
	[QL_END] = "EOF",
	[QL_OPEN] = "LEFT_PAREN",
	[QL_CLOSE] = "RIGHT_PAREN",
	[QL_LIST_OPEN] = "LEFT_BRACKET",
	[QL_LIST_CLOSE] = "RIGHT_BRACKET",
	[QL_MAP_OPEN] = "LEFT_CURLY",
	[QL_MAP_CLOSE] = "RIGHT_CURLY",
	[QL_SET_CLOSE] = "RIGHT_DOUBLE_ANGLE_BRACKET",
	[QL_COMMA] = "COMMA",
	[QL_COLON] = "COLON",
	[QL_STAR] = "STAR",
	[QL_EQUAL] = "OPERATOR",
	[QL_NUMBER] = "LITERAL",
	[QL_STRING] = "LITERAL",
};

/* Sorted: what cannot be a name without quotes. */
static const char *const keywords[] = {
	"AND",
	"AS",
	"BETWEEN",
	"DELETE",
	"DISTINCT",
	"EXISTS",
	"FALSE",
	"FROM",
	"GROUP",
	"HAVING",
	"IN",
	"INSERT",
	"INTO",
	"IS",
	"JOIN",
	"LIKE",
	"LIMIT",
	"MISSING",
	"NOT",
	"NULL",
	"OFFSET",
	"OR",
	"ORDER",
	"REMOVE",
	"RETURNING",
	"SELECT",
	"SET",
	"TRUE",
	"UNION",
	"UPDATE",
	"WHERE",
};

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_word_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}

/* Bytes of space and comments in front; SIZE_MAX when a comment does not end. */
static size_t blank_bytes(str s)
{
	size_t n = 0;

	for (;;) {
		str rest = str_from(s, n);
		ptrdiff_t end;

		if (rest.n == 0)
			return n;
		if (str_starts(rest, STR("--"))) {
			end = str_find(rest, '\n');
			n = end < 0 ? s.n : n + (size_t)end + 1;
		} else if (str_starts(rest, STR("/*"))) {
			end = str_find_str(str_from(rest, 2), STR("*/"));
			if (end < 0)
				return SIZE_MAX;
			n += (size_t)end + 4;
		} else if (rest.p[0] == ' ' || (rest.p[0] >= '\t' && rest.p[0] <= '\r')) {
			n++;
		} else {
			return n;
		}
	}
}

/* Bytes of a quoted text with its quotes; 0 when it does not end. */
static size_t quoted_bytes(str s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] != s.p[0])
			continue;
		if (i + 1 == s.n || s.p[i + 1] != s.p[0])
			return i + 1;
		i++;
	}
	return 0;
}

static size_t digits_from(str s, size_t n)
{
	while (n < s.n && is_digit(s.p[n]))
		n++;
	return n;
}

/* 1, 1.0, 1e0 */
static size_t number_bytes(str s)
{
	size_t n = digits_from(s, 0), exponent;

	if (n < s.n && s.p[n] == '.')
		n = digits_from(s, n + 1);
	if (n < s.n && (s.p[n] == 'e' || s.p[n] == 'E')) {
		exponent = n + 1;
		if (exponent < s.n && (s.p[exponent] == '+' || s.p[exponent] == '-'))
			exponent++;
		if (exponent < s.n && is_digit(s.p[exponent]))
			n = digits_from(s, exponent);
	}
	return n;
}

static enum ql_kind operator_at(str s, size_t *ret_n)
{
	char second = s.n > 1 ? s.p[1] : 0;

	*ret_n = 2;
	switch (s.p[0]) {
	case '<':
		if (second == '<')
			return QL_SET_OPEN;
		if (second == '=')
			return QL_LESS_EQUAL;
		if (second == '>')
			return QL_NOT_EQUAL;
		break;
	case '>':
		if (second == '>')
			return QL_SET_CLOSE;
		if (second == '=')
			return QL_GREATER_EQUAL;
		break;
	case '!': return second == '=' ? QL_NOT_EQUAL : QL_BAD;
	default: break;
	}
	*ret_n = 1;
	switch (s.p[0]) {
	case '<': return QL_LESS;
	case '>': return QL_GREATER;
	case '=': return QL_EQUAL;
	case '(': return QL_OPEN;
	case ')': return QL_CLOSE;
	case '[': return QL_LIST_OPEN;
	case ']': return QL_LIST_CLOSE;
	case '{': return QL_MAP_OPEN;
	case '}': return QL_MAP_CLOSE;
	case ',': return QL_COMMA;
	case '.': return QL_DOT;
	case ':': return QL_COLON;
	case ';': return QL_SEMICOLON;
	case '*': return QL_STAR;
	case '+': return QL_PLUS;
	case '-': return QL_MINUS;
	case '?': return QL_PARAMETER;
	default: return QL_BAD;
	}
}

static enum ql_kind kind_at(str s, size_t *ret_n)
{
	size_t n = 1;

	if (is_word_start(s.p[0])) {
		while (n < s.n && (is_word_start(s.p[n]) || is_digit(s.p[n])))
			n++;
		*ret_n = n;
		return QL_WORD;
	}
	if (is_digit(s.p[0])) {
		*ret_n = number_bytes(s);
		return QL_NUMBER;
	}
	if (s.p[0] == '\'' || s.p[0] == '"') {
		*ret_n = quoted_bytes(s);
		if (*ret_n == 0)
			return QL_BAD;
		return s.p[0] == '"' ? QL_NAME : QL_STRING;
	}
	return operator_at(s, ret_n);
}

struct ql_token ql_take(str *rest)
{
	size_t blank = blank_bytes(*rest), n;
	struct ql_token t;

	if (blank == SIZE_MAX)
		return (struct ql_token){QL_BAD, str_sub(*rest, 0, 0)};
	*rest = str_from(*rest, blank);
	if (rest->n == 0)
		return (struct ql_token){QL_END, *rest};
	t.kind = kind_at(*rest, &n);
	t.text = str_sub(*rest, 0, t.kind == QL_BAD ? 0 : n);
	*rest = str_from(*rest, t.text.n); /* it ends at a bad token */
	return t;
}

void ql_advance(struct ql_parser *q)
{
	q->token = ql_take(&q->rest);
}

bool ql_is_word(const struct ql_parser *q, const char *word)
{
	return q->token.kind == QL_WORD && str_eq_nocase(q->token.text, str_c(word));
}

bool ql_accept_word(struct ql_parser *q, const char *word)
{
	if (!ql_is_word(q, word))
		return false;
	ql_advance(q);
	return true;
}

int ql_expect_word(struct ql_parser *q, const char *word)
{
	if (ql_is(q, QL_BAD))
		return ql_unexpected(q);
	if (!ql_accept_word(q, word))
		return ql_invalid(
			q, "Statement wasn't well formed, can't be processed: Expected %s", word);
	return 0;
}

int ql_expect(struct ql_parser *q, enum ql_kind kind)
{
	if (ql_accept(q, kind))
		return 0;
	if (ql_is(q, QL_BAD))
		return ql_unexpected(q);
	return ql_invalid(q, "Statement wasn't well formed, can't be processed: Expected %s",
		token_names[kind]);
}

bool ql_is_keyword(const struct ql_parser *q)
{
	for (size_t i = 0; i < ARRAY_SIZE(keywords); i++)
		if (ql_is_word(q, keywords[i]))
			return true;
	return false;
}

str ql_unquoted(struct ql_parser *q, struct ql_token t)
{
	str inner = str_sub(t.text, 1, t.text.n - 2);
	char quote = t.text.p[0], *to;
	size_t n = 0;

	check(t.kind == QL_STRING || t.kind == QL_NAME);
	if (str_find(inner, quote) < 0)
		return inner;
	to = arena_bytes(q->p.e->arena, inner.n);
	for (size_t i = 0; i < inner.n; i++) {
		to[n++] = inner.p[i];
		i += inner.p[i] == quote; /* the other of two */
	}
	return str_of(to, n);
}

int ql_invalid(struct ql_parser *q, const char *format, ...)
{
	va_list args;
	int rc;

	va_start(args, format);
	rc = fault_vset(
		q->p.e->fault, q->p.e->arena, &dynamodb_faults[DYNAMODB_VALIDATION], format, args);
	va_end(args);
	return rc;
}

int ql_malformed(struct ql_parser *q, const char *detail)
{
	return ql_invalid(q, "Statement wasn't well formed, can't be processed: %s", detail);
}

/* " at line:column:length" of the token. */
static str place_of(struct ql_parser *q)
{
	unsigned line = 1, column = 1;

	for (const char *p = q->text.p; p < q->token.text.p; p++) {
		bool continues = ((unsigned char)*p & 0xc0) == 0x80; /* of a UTF-8 character */

		column = *p == '\n' ? 1 : column + !continues;
		line += *p == '\n';
	}
	return arena_printf(
		q->p.e->arena, " at %u:%u:%zu", line, column, MAX(q->token.text.n, (size_t)1));
}

int ql_unexpected(struct ql_parser *q)
{
	str place;

	if (ql_is_keyword(q))
		return ql_malformed(q, "Unexpected keyword");
	if (!ql_is(q, QL_BAD))
		return ql_malformed(q, "Unexpected term");
	place = place_of(q);
	return ql_invalid(q,
		"Statement wasn't well formed, can't be processed: Invalid character%.*s",
		STR_ARG(place));
}

int ql_unsupported(struct ql_parser *q, const char *what)
{
	str place = place_of(q), text = q->token.text;

	return ql_invalid(q, "Unsupported %s: %.*s%.*s", what, STR_ARG(text), STR_ARG(place));
}
