/*
 * ExpressionAttributeNames and ExpressionAttributeValues, and paths and values that use them.
 *
 * Placeholders are kept sorted, so that thousands of them cost no more than their looking up.
 */
#include "base/check.h"
#include "services/dynamodb/expr_ast.h"
#include "services/dynamodb/faults.h"

#include <stdlib.h>

static const char *const reserved_words[] = {
#define RESERVED(word) word,
#include "services/dynamodb/reserved.def"
#undef RESERVED
};

void expr_init(struct expr *e, struct arena *arena, struct fault *fault)
{
	*e = (struct expr){.arena = arena, .fault = fault};
}

static int by_token(const void *a, const void *b)
{
	const struct expr_placeholder *x = a, *y = b;

	return str_cmp(x->token, y->token);
}

/* Room for one more behind `count`. */
static struct expr_placeholder *grow(
	struct arena *arena, struct expr_placeholder *old, uint32_t count, uint32_t *capacity)
{
	struct expr_placeholder *bigger;

	if (count < *capacity)
		return old;
	*capacity = *capacity ? *capacity * 2 : 8;
	bigger = arena_alloc(arena, *capacity * sizeof *bigger);
	if (count)
		memcpy(bigger, old, count * sizeof *bigger);
	return bigger;
}

/* Sorts; of equal tokens one stays. */
static uint32_t settle(struct expr_placeholder *p, uint32_t count)
{
	uint32_t kept = 0;

	if (count)
		qsort(p, count, sizeof *p, by_token);
	for (uint32_t i = 0; i < count; i++)
		if (i + 1 == count || !str_eq(p[i].token, p[i + 1].token))
			p[kept++] = p[i];
	return kept;
}

static bool token_is_valid(str token, char first)
{
	if (token.n < 2 || token.p[0] != first)
		return false;
	for (size_t i = 1; i < token.n; i++) {
		char c = token.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '_'))
			return false;
	}
	return true;
}

static void broken(struct expr *e, str message)
{
	if (!e->rule.p)
		e->rule = message;
}

static void check_token(struct expr *e, str token, char first)
{
	const char *parameter =
		first == '#' ? "ExpressionAttributeNames" : "ExpressionAttributeValues";

	if (e->rule.p)
		return;
	if (!token_is_valid(token, first))
		broken(e, arena_printf(e->arena,
				  "%s contains invalid key: Syntax error; key: \"%.*s\"", parameter,
				  STR_ARG(token)));
	else if (token.n > EXPR_PLACEHOLDER_BYTES_MAX)
		broken(e, arena_printf(e->arena,
				  "%s contains invalid key: The expression attribute map contains "
				  "a key "
				  "that is too long; key: \"%.*s\"",
				  parameter, STR_ARG(token)));
}

int expr_read_names(struct expr *e, struct json_reader *r)
{
	struct attr_decoder d;
	uint32_t count = 0, capacity = 0;
	size_t bytes = 0;
	int rc = json_object_begin(r);
	str token, name;

	attr_decoder_init(&d, e->arena, e->fault);
	if (rc < 0)
		return attr_wrong_kind(&d, r, NULL, rc);
	while ((rc = json_object_next(r, &token)) > 0) {
		rc = json_string(r, &name);
		if (rc < 0)
			return attr_wrong_kind(&d, r, "String", rc);
		check_token(e, token, '#');
		if (name.n == 0)
			broken(e, arena_printf(e->arena,
					  "ExpressionAttributeNames contains invalid value: "
					  "Attribute "
					  "name must not be empty for key %.*s",
					  STR_ARG(token)));
		if (name.n > ITEM_NAME_MAX)
			broken(e,
				STR("Attribute name is too large, must be less than 65536 bytes"));
		bytes += token.n + name.n;
		e->names = grow(e->arena, e->names, count, &capacity);
		e->names[count++] = (struct expr_placeholder){.token = token, .name = name};
	}
	if (rc < 0)
		return attr_json_fault(&d, rc);
	if (count == 0)
		broken(e, STR("ExpressionAttributeNames must not be empty"));
	if (bytes > EXPR_PLACEHOLDERS_BYTES_MAX)
		broken(e, STR("ExpressionAttributeNames exceeds max size"));
	e->has_names = true;
	e->name_count = settle(e->names, count);
	return 0;
}

static int read_value(
	struct expr *e, struct attr_decoder *d, struct json_reader *r, str token, str *ret_value)
{
	str before = d->rule;
	struct buf out;

	buf_init(&out, e->arena, ITEM_ENCODED_MAX);
	d->rule = STR_NULL;
	TRY(attr_read_json(d, r, &out));
	if (d->rule.p)
		broken(e, ARENA_CONCAT(e->arena,
				  STR("ExpressionAttributeValues contains invalid value: "),
				  d->rule, STR(" for key "), token));
	d->rule = before;
	if (out.over)
		return ERR_TOO_LARGE;
	*ret_value = buf_str(&out);
	return 0;
}

int expr_read_values(struct expr *e, struct attr_decoder *d, struct json_reader *r)
{
	uint32_t count = 0, capacity = 0;
	size_t bytes = 0;
	int rc = json_object_begin(r);
	str token, value;

	if (rc < 0)
		return attr_wrong_kind(d, r, NULL, rc);
	while ((rc = json_object_next(r, &token)) > 0) {
		check_token(e, token, ':');
		TRY(read_value(e, d, r, token, &value));
		bytes += token.n + value.n;
		e->values = grow(e->arena, e->values, count, &capacity);
		e->values[count++] = (struct expr_placeholder){.token = token, .value = value};
	}
	if (rc < 0)
		return attr_json_fault(d, rc);
	if (count == 0)
		broken(e, STR("ExpressionAttributeValues must not be empty"));
	if (bytes > EXPR_PLACEHOLDERS_BYTES_MAX)
		broken(e, STR("ExpressionAttributeValues exceeds max size"));
	e->has_values = true;
	e->value_count = settle(e->values, count);
	return 0;
}

int expr_check_placeholders(struct expr *e)
{
	if (e->rule.p)
		return validation_fault(e->fault, e->arena, "%.*s", STR_ARG(e->rule));
	return 0;
}

/* The tokens that no expression used, as "#a, #b"; empty when there is none. */
static str unused(struct expr *e, const struct expr_placeholder *p, uint32_t count)
{
	struct buf out;

	buf_init(&out, e->arena, SIZE_MAX / 2);
	for (uint32_t i = 0; i < count; i++) {
		if (p[i].used)
			continue;
		if (out.n)
			buf_put(&out, STR(", "));
		buf_put(&out, p[i].token);
	}
	return buf_str(&out);
}

int expr_check_used(struct expr *e)
{
	str tokens = unused(e, e->names, e->name_count);

	if (tokens.n)
		return validation_fault(e->fault, e->arena,
			"Value provided in ExpressionAttributeNames unused in expressions: keys: "
			"{%.*s}",
			STR_ARG(tokens));
	tokens = unused(e, e->values, e->value_count);
	if (tokens.n)
		return validation_fault(e->fault, e->arena,
			"Value provided in ExpressionAttributeValues unused in expressions: keys: "
			"{%.*s}",
			STR_ARG(tokens));
	return 0;
}

static struct expr_placeholder *lookup(struct expr_placeholder *p, uint32_t count, str token)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		int c = str_cmp(p[middle].token, token);

		if (c == 0)
			return &p[middle];
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static bool is_reserved(str word)
{
	size_t low = 0, high = ARRAY_SIZE(reserved_words);
	char upper[32];

	if (word.n >= sizeof upper)
		return false;
	for (size_t i = 0; i < word.n; i++)
		upper[i] =
			word.p[i] >= 'a' && word.p[i] <= 'z' ? (char)(word.p[i] - 32) : word.p[i];
	while (low < high) {
		size_t middle = (low + high) / 2;
		int c = str_cmp(str_c(reserved_words[middle]), str_of(upper, word.n));

		if (c == 0)
			return true;
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* A word or #name as the next element of a path. */
static int path_name(struct parser *p, str *ret_name)
{
	const struct token *t = parser_token(p);
	struct expr_placeholder *found;

	if (t->kind == TOKEN_WORD) {
		if (is_reserved(t->text))
			parser_problem(p,
				"Attribute name is a reserved keyword; reserved keyword: %.*s",
				STR_ARG(t->text));
		*ret_name = t->text;
	} else if (t->kind == TOKEN_NAME) {
		found = lookup(p->e->names, p->e->name_count, t->text);
		if (found)
			found->used = true;
		else
			parser_problem(p,
				"An expression attribute name used in the document path is not "
				"defined; attribute name: %.*s",
				STR_ARG(t->text));
		*ret_name = found ? found->name : t->text;
	} else {
		return parser_syntax_error(p);
	}
	p->at++;
	return 0;
}

static int path_index(struct parser *p, uint32_t *ret_index)
{
	uint64_t index = 0;
	str text;

	TRY(parser_expect(p, TOKEN_INDEX_OPEN));
	text = parser_token(p)->text;
	TRY(parser_expect(p, TOKEN_NUMBER));
	TRY(parser_expect(p, TOKEN_INDEX_CLOSE));
	if (str_to_u64(text, UINT32_MAX - 1, &index) < 0)
		parser_problem(p, "List index is not within the allowable range; index: [%.*s]",
			STR_ARG(text));
	*ret_index = (uint32_t)index;
	return 0;
}

int parser_path(struct parser *p, struct expr_path *ret_path)
{
	struct expr_path_element elements[EXPR_PATH_MAX], element = {0};
	uint32_t count = 0;

	TRY(path_name(p, &element.name));
	for (;;) {
		if (count < EXPR_PATH_MAX)
			elements[count] = element;
		count++;
		element = (struct expr_path_element){.name = STR_NULL};
		if (parser_is(p, TOKEN_DOT)) {
			p->at++;
			TRY(path_name(p, &element.name));
		} else if (parser_is(p, TOKEN_INDEX_OPEN)) {
			TRY(path_index(p, &element.index));
		} else {
			break;
		}
	}
	if (count > EXPR_PATH_MAX) {
		parser_problem(p,
			"The document path has too many nesting elements; nesting levels: %u",
			count);
		count = EXPR_PATH_MAX;
	}
	ret_path->elements = arena_alloc(p->e->arena, count * sizeof *elements);
	memcpy(ret_path->elements, elements, count * sizeof *elements);
	ret_path->count = count;
	return 0;
}

int parser_value(struct parser *p, str *ret_value)
{
	static const char null_value[] = {ATTR_TAG_NULL};
	str token = parser_token(p)->text;
	struct expr_placeholder *found;

	TRY(parser_expect(p, TOKEN_VALUE));
	found = lookup(p->e->values, p->e->value_count, token);
	if (found)
		found->used = true;
	else
		parser_problem(p,
			"An expression attribute value used in expression is not defined; "
			"attribute "
			"value: %.*s",
			STR_ARG(token));
	*ret_value = found ? found->value : str_of(null_value, 1);
	return 0;
}

str path_text(struct arena *arena, const struct expr_path *path)
{
	struct buf out;

	buf_init(&out, arena, SIZE_MAX / 2);
	buf_put_char(&out, '[');
	for (uint32_t i = 0; i < path->count; i++) {
		if (i)
			buf_put(&out, STR(", "));
		if (path->elements[i].name.p)
			buf_put(&out, path->elements[i].name);
		else
			buf_printf(&out, "[%u]", path->elements[i].index);
	}
	buf_put_char(&out, ']');
	return buf_str(&out);
}

int expr_path_get(const struct expr_path *path, str item, str *ret_value)
{
	str value;

	if (!item_find(item, path->elements[0].name, &value))
		return 0;
	for (uint32_t i = 1; i < path->count; i++) {
		const struct expr_path_element *e = &path->elements[i];

		if (attr_type(value) != (e->name.p ? ATTR_M : ATTR_L))
			return 0;
		if (!(e->name.p ? attr_map_find(value, e->name, &value)
				: attr_list_at(value, e->index, &value)))
			return 0;
	}
	*ret_value = value;
	return 1;
}
