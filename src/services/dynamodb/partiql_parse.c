/*
 * The statements of PartiQL.
 */
#include "base/check.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/partiql_ast.h"

#include <stdlib.h>

/* ---- SELECT ---- */

/* The name that a path's value gets. */
static str output_name(struct ql_parser *q, const struct expr_path *path)
{
	uint32_t last = path->count - 1;
	struct buf name;

	while (!path->elements[last].name.p)
		last--;
	if (last == path->count - 1)
		return path->elements[last].name;
	buf_init(&name, q->p.e->arena, SIZE_MAX / 2);
	buf_put(&name, path->elements[last].name);
	while (++last < path->count)
		buf_printf(&name, "[%u]", path->elements[last].index);
	return buf_str(&name);
}

static int by_name(const void *a, const void *b)
{
	const struct partiql_output *x = a, *y = b;

	return str_cmp(x->name, y->name);
}

static int parse_outputs(struct ql_parser *q, struct partiql *s)
{
	/* "a,b": two bytes each */
	struct partiql_output *out = arena_alloc(q->p.e->arena, (q->rest.n / 2 + 2) * sizeof *out);

	if (ql_accept(q, QL_STAR)) {
		if (ql_is(q, QL_COMMA))
			return ql_invalid(q, "Other attributes should not be present in the "
					     "projection when '*' is used.");
		return 0;
	}
	if (ql_is_word(q, "DISTINCT"))
		return ql_unsupported(q, "clause");
	do {
		struct partiql_output *o = &out[s->output_count++];

		if (ql_is_call(q))
			return ql_unsupported(q, "function");
		TRY(ql_path(q, &o->path));
		o->name = output_name(q, &o->path);
		if (ql_is_word(q, "AS"))
			return ql_unsupported(q, "clause");
		if (ql_is(q, QL_PLUS) || ql_is(q, QL_MINUS))
			return ql_unsupported(q, "operator");
	} while (ql_accept(q, QL_COMMA));
	qsort(out, s->output_count, sizeof *out, by_name);
	for (uint32_t i = 1; i < s->output_count; i++)
		if (str_eq(out[i - 1].name, out[i].name))
			return ql_invalid(q,
				"The projection gives the attribute more than once: "
				"%.*s",
				STR_ARG(out[i].name));
	s->outputs = out;
	return 0;
}

/* A table, and where it may be (`index`) an index: table, table.index. */
static int parse_table(struct ql_parser *q, struct partiql *s, bool index)
{
	if (ql_is(q, QL_END))
		return ql_malformed(q, "Unexpected term");
	TRY(ql_name(q, &s->table));
	if (!ql_is(q, QL_DOT))
		return 0;
	if (!index)
		return ql_invalid(
			q, "Operations on an index are not supported in a statement that writes.");
	ql_advance(q);
	TRY(ql_name(q, &s->index));
	if (ql_is(q, QL_DOT))
		return ql_malformed(q, "Unexpected path component");
	return 0;
}

static int parse_where(struct ql_parser *q, struct partiql *s)
{
	return ql_accept_word(q, "WHERE") ? ql_condition(q, &s->where) : 0;
}

static int parse_orders(struct ql_parser *q, struct partiql *s)
{
	if (!ql_accept_word(q, "ORDER"))
		return 0;
	TRY(ql_expect_word(q, "BY"));
	do {
		struct partiql_order *o = &s->order[s->orders];

		if (s->orders == PARTIQL_ORDERS_MAX)
			return ql_invalid(q, "ORDER BY clause has more attributes than the "
					     "primary key");
		TRY(ql_name(q, &o->name));
		o->descending = ql_accept_word(q, "DESC");
		if (!o->descending)
			(void)ql_accept_word(q, "ASC");
		s->orders++;
	} while (ql_accept(q, QL_COMMA));
	return 0;
}

/* Clauses of SQL that DynamoDB does not have. */
static int refuse_clause(struct ql_parser *q)
{
	static const char *const clauses[] = {"GROUP", "HAVING", "LIMIT", "OFFSET", "UNION", "AS"};

	for (size_t i = 0; i < ARRAY_SIZE(clauses); i++)
		if (ql_is_word(q, clauses[i]))
			return ql_unsupported(q, "clause");
	if (ql_is(q, QL_COMMA) || ql_is_word(q, "JOIN"))
		return ql_invalid(q, "Only select from a single table or index is supported.");
	return 0;
}

static int parse_select(struct ql_parser *q, struct partiql *s)
{
	TRY(parse_outputs(q, s));
	TRY(ql_expect_word(q, "FROM"));
	TRY(parse_table(q, s, true));
	TRY(refuse_clause(q));
	TRY(parse_where(q, s));
	TRY(parse_orders(q, s));
	return refuse_clause(q);
}

/* EXISTS(SELECT ...), behind the word. */
static int parse_exists(struct ql_parser *q, struct partiql *s)
{
	TRY(ql_expect(q, QL_OPEN));
	TRY(ql_expect_word(q, "SELECT"));
	TRY(parse_select(q, s));
	return ql_expect(q, QL_CLOSE);
}

/* ---- writes ---- */

static int parse_insert(struct ql_parser *q, struct partiql *s)
{
	TRY(ql_expect_word(q, "INTO"));
	TRY(parse_table(q, s, false));
	TRY(ql_expect_word(q, "VALUE"));
	TRY(ql_item(q, &s->item));
	if (ql_is_word(q, "ON") || ql_is_word(q, "RETURNING"))
		return ql_unsupported(q, "clause");
	return 0;
}

static int parse_returning(struct ql_parser *q, struct partiql *s)
{
	bool all, old;

	if (!ql_accept_word(q, "RETURNING"))
		return 0;
	all = ql_accept_word(q, "ALL");
	if (!all)
		TRY(ql_expect_word(q, "MODIFIED"));
	old = ql_accept_word(q, "OLD");
	if (!old)
		TRY(ql_expect_word(q, "NEW"));
	TRY(ql_expect(q, QL_STAR));
	if (s->kind == PARTIQL_DELETE && (!all || !old))
		return ql_invalid(q, "RETURNING of a DELETE can only be ALL OLD *");
	s->returns = all ? (old ? RETURN_ALL_OLD : RETURN_ALL_NEW)
			 : (old ? RETURN_UPDATED_OLD : RETURN_UPDATED_NEW);
	return 0;
}

static int parse_update(struct ql_parser *q, struct partiql *s)
{
	TRY(parse_table(q, s, false));
	TRY(ql_update(q, &s->update));
	TRY(parse_where(q, s));
	return parse_returning(q, s);
}

static int parse_delete(struct ql_parser *q, struct partiql *s)
{
	TRY(ql_expect_word(q, "FROM"));
	TRY(parse_table(q, s, false));
	TRY(parse_where(q, s));
	return parse_returning(q, s);
}

/* ---- all ---- */

static const struct statement {
	const char *word;
	enum partiql_kind kind;
	int (*parse)(struct ql_parser *q, struct partiql *s);
} statements[] = {
	{"SELECT", PARTIQL_SELECT, parse_select},
	{"INSERT", PARTIQL_INSERT, parse_insert},
	{"UPDATE", PARTIQL_UPDATE, parse_update},
	{"DELETE", PARTIQL_DELETE, parse_delete},
	{"EXISTS", PARTIQL_EXISTS, parse_exists},
};

static int parse_statement(struct ql_parser *q, struct partiql *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
		if (ql_accept_word(q, statements[i].word)) {
			s->kind = statements[i].kind;
			return statements[i].parse(q, s);
		}
	return ql_is(q, QL_BAD) ? ql_unexpected(q) : ql_malformed(q, "Expected data manipulation");
}

/* What was kept until the whole statement was seen to be well formed. */
static int report_kept(struct ql_parser *q)
{
	str rule = q->decoder.rule;

	if (q->parameters_used != q->parameter_count)
		return ql_invalid(q, "Number of parameters in request and statement don't match.");
	if (rule.p)
		return ql_invalid(q, "%.*s", STR_ARG(rule));
	if (q->p.problem.p)
		return ql_invalid(q, "%.*s", STR_ARG(q->p.problem));
	return 0;
}

int partiql_parse(struct arena *arena, struct fault *fault, str text, const str *parameters,
	uint32_t parameter_count, struct partiql *ret)
{
	struct ql_parser q = {.text = text,
		.rest = text,
		.parameters = parameters,
		.parameter_count = parameter_count};

	*ret = (struct partiql){.index = STR_NULL, .item = STR_NULL};
	expr_init(&ret->expr, arena, fault);
	q.p = (struct parser){.e = &ret->expr, .kind = EXPR_STATEMENT};
	attr_decoder_init(&q.decoder, arena, fault);
	ql_advance(&q);
	TRY(parse_statement(&q, ret));
	(void)ql_accept(&q, QL_SEMICOLON);
	if (ql_is(&q, QL_BAD))
		return ql_unexpected(&q);
	if (!ql_is(&q, QL_END))
		return ql_malformed(&q, "Unexpected token after expression");
	return report_kept(&q);
}

void partiql_project(const struct partiql *s, str item, struct buf *out)
{
	str value;

	if (s->output_count == 0) {
		buf_put(out, item);
		return;
	}
	item_put_begin(out);
	for (uint32_t i = 0; i < s->output_count; i++)
		if (expr_path_get(&s->outputs[i].path, item, &value)) {
			attr_put_name(out, s->outputs[i].name);
			buf_put(out, value);
		}
}
