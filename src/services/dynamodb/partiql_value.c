/*
 * Names, document paths and literals of PartiQL.
 *
 *     'text'  1.5  -2e3  TRUE  FALSE  NULL  [value, ...]  {'name': value, ...}  <<element, ...>>  ?
 *
 * A literal that is no parameter is written as the typed JSON of requests and decoded as such, so
 * its rules, their messages and its canonical encoding are those of PutItem. Binary values come as
 * parameters only, as documented.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.data-types.html
 */
#include "base/check.h"
#include "base/hash.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/partiql_ast.h"

int ql_name(struct ql_parser *q, str *ret_name)
{
	struct ql_token t = q->token;

	if (t.kind == QL_BAD || ql_is_keyword(q))
		return ql_unexpected(q);
	if (t.kind != QL_WORD && t.kind != QL_NAME)
		return ql_malformed(q, "Expected identifier for simple path");
	*ret_name = t.kind == QL_WORD ? t.text : ql_unquoted(q, t);
	if (ret_name->n == 0)
		return ql_invalid(q, "Attribute name must not be empty");
	ql_advance(q);
	return 0;
}

/* Behind '[': a list index, or a name as a string; then ']'. */
static int bracketed(struct ql_parser *q, struct expr_path_element *ret)
{
	struct ql_token t = q->token;
	uint64_t index;

	*ret = (struct expr_path_element){.name = STR_NULL};
	if (t.kind == QL_STRING) {
		ret->name = ql_unquoted(q, t);
	} else if (t.kind == QL_NUMBER) {
		if (str_to_u64(t.text, UINT32_MAX - 1, &index) < 0)
			return ql_invalid(q,
				"List index is not within the allowable range; index: [%.*s]",
				STR_ARG(t.text));
		ret->index = (uint32_t)index;
	} else {
		return ql_unexpected(q);
	}
	ql_advance(q);
	return ql_expect(q, QL_LIST_CLOSE);
}

/* Not inlined: its array must not be in a frame that nests. */
noinline_fn int ql_path(struct ql_parser *q, struct expr_path *ret_path)
{
	struct expr_path_element elements[EXPR_PATH_MAX] = {{.name = STR_NULL}};
	uint32_t count = 1;

	if (!ql_is(q, QL_WORD) && !ql_is(q, QL_NAME))
		return ql_unexpected(q);
	TRY(ql_name(q, &elements[0].name));
	for (;;) {
		struct expr_path_element next = {.name = STR_NULL};

		if (ql_accept(q, QL_DOT))
			TRY(ql_name(q, &next.name));
		else if (ql_accept(q, QL_LIST_OPEN))
			TRY(bracketed(q, &next));
		else
			break;
		if (count == EXPR_PATH_MAX)
			return ql_invalid(q,
				"The document path has too many nesting elements; nesting levels: "
				"%u",
				count + 1);
		elements[count++] = next;
	}
	ret_path->elements = arena_alloc(q->p.e->arena, count * sizeof *elements);
	memcpy(ret_path->elements, elements, count * sizeof *elements);
	ret_path->count = count;
	return 0;
}

bool ql_is_value(const struct ql_parser *q)
{
	switch (q->token.kind) {
	case QL_STRING:
	case QL_NUMBER:
	case QL_PARAMETER:
	case QL_MINUS:
	case QL_PLUS:
	case QL_LIST_OPEN:
	case QL_MAP_OPEN:
	case QL_SET_OPEN: return true;
	default: return ql_is_word(q, "TRUE") || ql_is_word(q, "FALSE") || ql_is_word(q, "NULL");
	}
}

/* The next parameter; a stand-in when there is none, which is reported at the end. */
static str parameter(struct ql_parser *q)
{
	static const char null_value[] = {ATTR_TAG_NULL};
	uint32_t n = q->parameters_used++;

	ql_advance(q);
	return n < q->parameter_count ? q->parameters[n] : str_of(null_value, 1);
}

/* A number with its sign, at either. */
static int number_text(struct ql_parser *q, str *ret_text)
{
	bool minus = ql_is(q, QL_MINUS);

	if (minus || ql_is(q, QL_PLUS))
		ql_advance(q);
	*ret_text = q->token.text;
	if (minus)
		*ret_text = ARENA_CONCAT(q->p.e->arena, STR("-"), *ret_text);
	return ql_expect(q, QL_NUMBER);
}

/* An element of a set as its JSON has it, and which set it fits into. */
static int put_element(struct ql_parser *q, struct json_writer *w, enum attr_type *ret_set)
{
	enum attr_type type = ATTR_N;
	struct decimal d;
	struct buf text;
	str value;

	buf_init(&text, q->p.e->arena, ITEM_ENCODED_MAX);
	if (ql_is(q, QL_PARAMETER)) {
		value = parameter(q);
		type = attr_type(value);
		if (type == ATTR_S) {
			buf_put(&text, attr_bytes_of(value));
		} else if (type == ATTR_B) {
			base64_put(&text, attr_bytes_of(value));
		} else if (type == ATTR_N) {
			d = attr_number(value);
			decimal_put(&text, &d);
		} else if (q->parameters_used <= q->parameter_count) {
			return ql_invalid(
				q, "Set elements must be of type Number, String or Binary");
		}
	} else if (ql_is(q, QL_STRING)) {
		type = ATTR_S;
		buf_put(&text, ql_unquoted(q, q->token));
		ql_advance(q);
	} else {
		TRY(number_text(q, &value));
		buf_put(&text, value);
	}
	json_put_string(w, buf_str(&text));
	*ret_set = type == ATTR_B ? ATTR_BS : type == ATTR_S ? ATTR_SS : ATTR_NS;
	return 0;
}

/* {"SS":["a","b"]}, at "<<". */
static int put_set(struct ql_parser *q, struct json_writer *w)
{
	enum attr_type type = ATTR_NULL, other = ATTR_NULL;
	struct json_writer elements;
	struct buf text;

	buf_init(&text, q->p.e->arena, ITEM_ENCODED_MAX);
	json_writer_init(&elements, &text);
	json_put_array_begin(&elements);
	ql_advance(q);
	if (ql_is(q, QL_SET_CLOSE))
		return ql_invalid(q, "One or more parameter values were invalid: An set may not be "
				     "empty");
	do {
		TRY(put_element(q, &elements, &other));
		if (type != ATTR_NULL && type != other)
			return ql_invalid(q, "All elements of a set must be of the same type");
		type = other;
	} while (ql_accept(q, QL_COMMA));
	TRY(ql_expect(q, QL_SET_CLOSE));
	json_put_array_end(&elements);
	json_put_key(w, attr_type_name(type));
	json_put_raw(w, buf_str(&text));
	return 0;
}

static int put_literal(struct ql_parser *q, struct json_writer *w);

static int put_list(struct ql_parser *q, struct json_writer *w)
{
	ql_advance(q);
	json_put_key(w, STR("L"));
	json_put_array_begin(w);
	if (!ql_is(q, QL_LIST_CLOSE))
		do {
			TRY(put_literal(q, w));
		} while (ql_accept(q, QL_COMMA));
	json_put_array_end(w);
	return ql_expect(q, QL_LIST_CLOSE);
}

/* {'name': value, ...}, at its brace. */
static int put_entries(struct ql_parser *q, struct json_writer *w)
{
	ql_advance(q);
	json_put_object_begin(w);
	if (!ql_is(q, QL_MAP_CLOSE))
		do {
			struct ql_token t = q->token;

			TRY(ql_expect(q, QL_STRING));
			json_put_key(w, ql_unquoted(q, t));
			TRY(ql_expect(q, QL_COLON));
			TRY(put_literal(q, w));
		} while (ql_accept(q, QL_COMMA));
	json_put_object_end(w);
	return ql_expect(q, QL_MAP_CLOSE);
}

static int put_scalar(struct ql_parser *q, struct json_writer *w)
{
	str text;

	if (ql_is(q, QL_STRING)) {
		json_put_key_string(w, STR("S"), ql_unquoted(q, q->token));
		ql_advance(q);
	} else if (ql_accept_word(q, "NULL")) {
		json_put_key(w, STR("NULL"));
		json_put_bool(w, true);
	} else if (ql_is_word(q, "TRUE") || ql_is_word(q, "FALSE")) {
		json_put_key(w, STR("BOOL"));
		json_put_bool(w, ql_is_word(q, "TRUE"));
		ql_advance(q);
	} else if (ql_is_value(q)) {
		TRY(number_text(q, &text));
		json_put_key_string(w, STR("N"), text);
	} else {
		return ql_unexpected(q);
	}
	return 0;
}

/* One value in the typed JSON of requests. */
static int put_literal(struct ql_parser *q, struct json_writer *w)
{
	if (ql_is(q, QL_PARAMETER)) {
		attr_write_json(w, parameter(q));
		return 0;
	}
	TRY(parser_enter(&q->p));
	json_put_object_begin(w);
	switch (q->token.kind) {
	case QL_LIST_OPEN: TRY(put_list(q, w)); break;
	case QL_MAP_OPEN:
		json_put_key(w, STR("M"));
		TRY(put_entries(q, w));
		break;
	case QL_SET_OPEN: TRY(put_set(q, w)); break;
	default: TRY(put_scalar(q, w)); break;
	}
	json_put_object_end(w);
	q->p.depth--;
	return 0;
}

/* Decodes what was put: a value, or (`item`) the entries of an item. */
static int decode(struct ql_parser *q, const struct buf *text, bool item, str *ret)
{
	struct json_reader r;
	struct buf out;

	if (text->over)
		return ERR_TOO_LARGE;
	buf_init(&out, q->p.e->arena, ITEM_ENCODED_MAX);
	json_reader_init(&r, buf_str(text), q->p.e->arena, JSON_DEPTH_MAX);
	if (item)
		TRY(item_read_json(&q->decoder, &r, &out));
	else
		TRY(attr_read_json(&q->decoder, &r, &out));
	if (out.over)
		return ERR_TOO_LARGE;
	*ret = buf_str(&out);
	return 0;
}

enum { LITERAL_BYTES_MAX = 2 * ITEM_ENCODED_MAX }; /* as JSON, with the parameters in it */

int ql_value(struct ql_parser *q, str *ret_value)
{
	struct json_writer w;
	struct buf text;

	if (ql_is(q, QL_PARAMETER)) {
		*ret_value = parameter(q);
		return 0;
	}
	buf_init(&text, q->p.e->arena, LITERAL_BYTES_MAX);
	json_writer_init(&w, &text);
	TRY(put_literal(q, &w));
	return decode(q, &text, false, ret_value);
}

/* The attributes of a map, as an item. */
static int item_of(struct ql_parser *q, str map, str *ret_item)
{
	struct buf item;

	buf_init(&item, q->p.e->arena, ITEM_ENCODED_MAX);
	item_put_begin(&item);
	if (attr_type(map) == ATTR_M)
		buf_put(&item, attr_iter_of(map).rest);
	else if (q->parameters_used <= q->parameter_count) /* else reported at the end */
		return ql_invalid(q, "The value of INSERT must be a map of attributes");
	if (item.over)
		return ERR_TOO_LARGE;
	*ret_item = buf_str(&item);
	return 0;
}

int ql_item(struct ql_parser *q, str *ret_item)
{
	struct json_writer w;
	struct buf text;

	if (ql_is(q, QL_PARAMETER))
		return item_of(q, parameter(q), ret_item);
	if (!ql_is(q, QL_MAP_OPEN))
		return ql_unexpected(q);
	buf_init(&text, q->p.e->arena, LITERAL_BYTES_MAX);
	json_writer_init(&w, &text);
	TRY(put_entries(q, &w));
	return decode(q, &text, true, ret_item);
}
