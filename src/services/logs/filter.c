/*
 * Filter patterns: see filter.h. A JSON pattern is compiled into an array of nodes by recursive
 * descent, its depth bounded by FILTER_DEPTH; "||" binds weaker than "&&".
 */
#include "services/logs/filter.h"

#include "base/json.h"
#include "services/logs/batch.h"

#include <stdlib.h>

enum term_kind { TERM_REQUIRED, TERM_OPTIONAL, TERM_EXCLUDED };

struct term {
	enum term_kind kind;
	str text;
};

enum node_kind {
	NODE_AND,
	NODE_OR,
	NODE_EQUAL,
	NODE_NOT_EQUAL,
	NODE_LESS,
	NODE_LESS_EQUAL,
	NODE_GREATER,
	NODE_GREATER_EQUAL,
	NODE_IS_NULL,
	NODE_IS_TRUE,
	NODE_IS_FALSE,
	NODE_EXISTS,
	NODE_NOT_EXISTS,
};

struct node {
	enum node_kind kind;
	uint16_t left, right; /* AND, OR */
	str selector;         /* behind "$" */
	str value;
	bool is_number;
	double number;
};

struct filter {
	struct term terms[LOGS_MAX_FILTER_TERMS];
	size_t term_count;
	bool only_optional;
	struct node *nodes; /* NULL: terms */
	size_t node_count;
	uint16_t root;
};

struct parser {
	struct arena *arena;
	struct filter *filter;
	str rest;
	unsigned depth;
	str *ret_why;
};

static int wrong(struct parser *p, const char *why)
{
	*p->ret_why = arena_printf(p->arena, "Invalid filter pattern: %s%s%.*s%s", why,
		p->rest.n ? ", at '" : "", STR_ARG(str_sub(p->rest, 0, 40)), p->rest.n ? "'" : "");
	return ERR_FAULT;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct parser *p)
{
	while (p->rest.n && is_space(p->rest.p[0]))
		p->rest = str_from(p->rest, 1);
}

/* Text behind an opening quote up to the closing one; \" and \\ stand for themselves. */
static int quoted(struct parser *p, str *ret_text)
{
	char *text = arena_bytes(p->arena, p->rest.n);
	size_t n = 0, i = 1;

	for (; i < p->rest.n && p->rest.p[i] != '"'; i++) {
		if (p->rest.p[i] == '\\' && i + 1 < p->rest.n &&
			(p->rest.p[i + 1] == '"' || p->rest.p[i + 1] == '\\'))
			i++;
		text[n++] = p->rest.p[i];
	}
	if (i == p->rest.n)
		return wrong(p, "a quote is not closed");
	p->rest = str_from(p->rest, i + 1);
	*ret_text = str_of(text, n);
	return 0;
}

/* ---- terms ---- */

static int parse_term(struct parser *p)
{
	struct filter *f = p->filter;
	struct term term = {.kind = TERM_REQUIRED};

	if (f->term_count == LOGS_MAX_FILTER_TERMS)
		return wrong(p, "it has too many terms");
	if (p->rest.p[0] == '?' || p->rest.p[0] == '-') {
		term.kind = p->rest.p[0] == '?' ? TERM_OPTIONAL : TERM_EXCLUDED;
		p->rest = str_from(p->rest, 1);
	}
	if (!p->rest.n || is_space(p->rest.p[0]))
		return wrong(p, "a term is expected behind '?' and '-'");
	if (p->rest.p[0] == '"') {
		TRY(quoted(p, &term.text));
	} else {
		size_t n = 0;

		while (n < p->rest.n && !is_space(p->rest.p[n]) && p->rest.p[n] != '"')
			n++;
		term.text = str_sub(p->rest, 0, n);
		if (term.text.p[0] == '%' || term.text.p[0] == '[')
			return wrong(p, term.text.p[0] == '%'
						? "regular expressions are not there yet"
						: "space-delimited patterns are not "
						  "there yet");
		p->rest = str_from(p->rest, n);
	}
	f->only_optional &= term.kind == TERM_OPTIONAL;
	f->terms[f->term_count++] = term;
	return 0;
}

static bool match_terms(const struct filter *f, str message)
{
	for (size_t i = 0; i < f->term_count; i++) {
		bool found = str_find_str(message, f->terms[i].text) >= 0;

		switch (f->terms[i].kind) {
		case TERM_REQUIRED:
			if (!found)
				return false;
			break;
		case TERM_EXCLUDED:
			if (found)
				return false;
			break;
		case TERM_OPTIONAL:
			if (found && f->only_optional)
				return true;
			break;
		}
	}
	return !f->only_optional || f->term_count == 0;
}

/* ---- JSON patterns ---- */

static int new_node(struct parser *p, struct node node, uint16_t *ret_index)
{
	struct filter *f = p->filter;

	if (f->node_count == LOGS_MAX_FILTER_NODES)
		return wrong(p, "it has too many parts");
	f->nodes[f->node_count] = node;
	*ret_index = (uint16_t)f->node_count++;
	return 0;
}

static bool take(struct parser *p, str token)
{
	skip_space(p);
	if (!str_starts(p->rest, token))
		return false;
	p->rest = str_from(p->rest, token.n);
	return true;
}

static bool is_word_end(char c)
{
	return is_space(c) || c == ')' || c == '}' || c == '(' || c == '&' || c == '|';
}

static bool take_word(struct parser *p, str word)
{
	skip_space(p);
	if (!str_eq_nocase(str_sub(p->rest, 0, word.n), word) ||
		(p->rest.n > word.n && !is_word_end(p->rest.p[word.n])))
		return false;
	p->rest = str_from(p->rest, word.n);
	return true;
}

static int selector(struct parser *p, str *ret_selector)
{
	size_t n = 1;
	bool inside = false; /* of brackets */

	skip_space(p);
	if (!p->rest.n || p->rest.p[0] != '$')
		return wrong(p, "a selector ($.name) is expected");
	for (; n < p->rest.n; n++) {
		char c = p->rest.p[n];

		if (!inside && (is_word_end(c) || strchr("=!<>", c)))
			break;
		inside = c == '[' || (inside && c != ']');
	}
	*ret_selector = str_sub(p->rest, 1, n - 1);
	if (!ret_selector->n || (ret_selector->p[0] != '.' && ret_selector->p[0] != '['))
		return wrong(p, "a selector is $.name or $[number]");
	p->rest = str_from(p->rest, n);
	return 0;
}

/* A number's text is short: what is longer is text. */
static bool to_number(str text, double *ret_number)
{
	char copy[64], *end;

	if (!text.n || text.n >= sizeof(copy) || is_space(text.p[0]))
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (!strchr("0123456789+-.eE", text.p[i]) || !text.p[i])
			return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = 0;
	*ret_number = strtod(copy, &end);
	return end == copy + text.n;
}

static int value(struct parser *p, struct node *node)
{
	size_t n = 0;

	skip_space(p);
	if (p->rest.n && p->rest.p[0] == '"')
		return quoted(p, &node->value);
	if (p->rest.n && p->rest.p[0] == '%')
		return wrong(p, "regular expressions are not there yet");
	while (n < p->rest.n && !is_word_end(p->rest.p[n]))
		n++;
	if (!n)
		return wrong(p, "a value is expected");
	node->value = str_sub(p->rest, 0, n);
	node->is_number = to_number(node->value, &node->number);
	p->rest = str_from(p->rest, n);
	return 0;
}

static int condition(struct parser *p, uint16_t *ret_index)
{
	static const struct {
		str token;
		enum node_kind kind;
	} operators[] = {
		{STR_INIT("!="), NODE_NOT_EQUAL},
		{STR_INIT("<="), NODE_LESS_EQUAL},
		{STR_INIT(">="), NODE_GREATER_EQUAL},
		{STR_INIT("="), NODE_EQUAL},
		{STR_INIT("<"), NODE_LESS},
		{STR_INIT(">"), NODE_GREATER},
	};
	struct node node = {0};

	TRY(selector(p, &node.selector));
	if (take_word(p, STR("IS"))) {
		if (take_word(p, STR("NULL")))
			node.kind = NODE_IS_NULL;
		else if (take_word(p, STR("TRUE")))
			node.kind = NODE_IS_TRUE;
		else if (take_word(p, STR("FALSE")))
			node.kind = NODE_IS_FALSE;
		else
			return wrong(p, "NULL, TRUE or FALSE is expected behind IS");
		return new_node(p, node, ret_index);
	}
	if (take_word(p, STR("NOT"))) {
		node.kind = NODE_NOT_EXISTS;
		if (!take_word(p, STR("EXISTS")))
			return wrong(p, "EXISTS is expected behind NOT");
		return new_node(p, node, ret_index);
	}
	if (take_word(p, STR("EXISTS"))) {
		node.kind = NODE_EXISTS;
		return new_node(p, node, ret_index);
	}
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
		if (!take(p, operators[i].token))
			continue;
		node.kind = operators[i].kind;
		TRY(value(p, &node));
		if (node.kind >= NODE_LESS && !node.is_number)
			return wrong(p, "<, >, <= and >= compare numbers");
		return new_node(p, node, ret_index);
	}
	return wrong(p, "an operator is expected");
}

static int any_of(struct parser *p, uint16_t *ret_index);

static int primary(struct parser *p, uint16_t *ret_index)
{
	if (!take(p, STR("(")))
		return condition(p, ret_index);
	if (++p->depth > LOGS_MAX_FILTER_DEPTH)
		return wrong(p, "it is nested too deeply");
	TRY(any_of(p, ret_index));
	p->depth--;
	return take(p, STR(")")) ? 0 : wrong(p, "')' is expected");
}

static int all_of(struct parser *p, uint16_t *ret_index)
{
	struct node node = {.kind = NODE_AND};

	TRY(primary(p, &node.left));
	while (take(p, STR("&&"))) {
		TRY(primary(p, &node.right));
		TRY(new_node(p, node, &node.left));
	}
	*ret_index = node.left;
	return 0;
}

static int any_of(struct parser *p, uint16_t *ret_index)
{
	struct node node = {.kind = NODE_OR};

	TRY(all_of(p, &node.left));
	while (take(p, STR("||"))) {
		TRY(all_of(p, &node.right));
		TRY(new_node(p, node, &node.left));
	}
	*ret_index = node.left;
	return 0;
}

/* ".a.b[0]['c d']"-like paths; NULL when there is nothing. */
static const struct json_value *look_up(const struct json_value *root, str path)
{
	while (root && path.n) {
		if (path.p[0] == '[') {
			ptrdiff_t end = str_find(path, ']');
			uint64_t index;

			if (end < 0)
				return NULL;
			str inside = str_sub(path, 1, (size_t)end - 1);
			path = str_from(path, (size_t)end + 1);
			if (inside.n >= 2 && (inside.p[0] == '\'' || inside.p[0] == '"'))
				root = json_get(root, str_sub(inside, 1, inside.n - 2));
			else if (str_to_u64(inside, UINT32_MAX, &index) == 0)
				root = json_at(root, index);
			else
				return NULL;
			continue;
		}
		if (path.p[0] == '.')
			path = str_from(path, 1);
		size_t n = 0;
		while (n < path.n && path.p[n] != '.' && path.p[n] != '[')
			n++;
		root = json_get(root, str_sub(path, 0, n));
		path = str_from(path, n);
	}
	return root;
}

static bool glob(str pattern, str text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, back = 0;

	while (t < text.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			back = t;
		} else if (p < pattern.n && pattern.p[p] == text.p[t]) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++back;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

static bool equal(const struct node *node, const struct json_value *v)
{
	double number;

	switch (v->kind) {
	case JSON_STRING: return glob(node->value, v->text);
	case JSON_NUMBER:
		return node->is_number ? to_number(v->text, &number) && number == node->number
				       : glob(node->value, v->text);
	case JSON_BOOL: return str_eq(node->value, v->boolean ? STR("true") : STR("false"));
	default: return false;
	}
}

static bool ordered(const struct node *node, const struct json_value *v)
{
	double number;

	if ((v->kind != JSON_NUMBER && v->kind != JSON_STRING) || !to_number(v->text, &number))
		return false;
	switch (node->kind) {
	case NODE_LESS: return number < node->number;
	case NODE_LESS_EQUAL: return number <= node->number;
	case NODE_GREATER: return number > node->number;
	default: return number >= node->number;
	}
}

static bool match_node(const struct filter *f, uint16_t index, const struct json_value *root)
{
	const struct node *node = &f->nodes[index];

	if (node->kind == NODE_AND)
		return match_node(f, node->left, root) && match_node(f, node->right, root);
	if (node->kind == NODE_OR)
		return match_node(f, node->left, root) || match_node(f, node->right, root);
	const struct json_value *v = look_up(root, node->selector);
	switch (node->kind) {
	case NODE_EXISTS: return v != NULL;
	case NODE_NOT_EXISTS: return v == NULL;
	case NODE_IS_NULL: return v && v->kind == JSON_NULL;
	case NODE_IS_TRUE: return v && v->kind == JSON_BOOL && v->boolean;
	case NODE_IS_FALSE: return v && v->kind == JSON_BOOL && !v->boolean;
	case NODE_EQUAL: return v && equal(node, v);
	case NODE_NOT_EQUAL: return v && !equal(node, v);
	default: return v && ordered(node, v);
	}
}

/* ---- both ---- */

static int compile_json(struct parser *p)
{
	p->filter->nodes = arena_new_array(p->arena, struct node, LOGS_MAX_FILTER_NODES);
	TRY(any_of(p, &p->filter->root));
	if (!take(p, STR("}")))
		return wrong(p, "'}' is expected");
	skip_space(p);
	return p->rest.n ? wrong(p, "nothing may follow '}'") : 0;
}

int filter_compile(struct arena *arena, str pattern, struct filter **ret_filter, str *ret_why)
{
	struct filter *f = arena_new(arena, struct filter);
	struct parser p = {.arena = arena, .filter = f, .rest = pattern, .ret_why = ret_why};

	f->only_optional = true;
	skip_space(&p);
	if (take(&p, STR("{"))) {
		TRY(compile_json(&p));
	} else {
		for (; p.rest.n; skip_space(&p))
			TRY(parse_term(&p));
	}
	*ret_filter = f;
	return 0;
}

bool filter_match(const struct filter *filter, struct arena *scratch, str message)
{
	struct json_value *root;

	if (!filter->nodes)
		return match_terms(filter, message);
	arena_done(scratch);
	if (json_parse(scratch, message, JSON_DEPTH_DEFAULT, &root, NULL) < 0 ||
		(root->kind != JSON_OBJECT && root->kind != JSON_ARRAY))
		return false;
	return match_node(filter, filter->root, root);
}
