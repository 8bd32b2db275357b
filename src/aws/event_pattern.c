/*
 * Compiling: see event_pattern.h.
 */
#include "aws/event_pattern_internal.h"

#include "base/rc.h"

#include <math.h>

#define NUMBER_MAX 5e9 /* AWS: bounds of numeric matching */

struct compiler {
	struct arena *arena;
	str why;
	uint32_t combinations; /* of the alternatives of "$or" */
};

#define FAIL(c, ...) ((c)->why = arena_printf((c)->arena, __VA_ARGS__), ERR_INVALID)

static int compile_object(
	struct compiler *c, const struct json_value *v, struct event_pattern *ret);

static int number_of(struct compiler *c, const struct json_value *v, double *ret)
{
	struct json_reader r;

	if (!v || v->kind != JSON_NUMBER)
		return FAIL(c, "Value of numeric must be numeric");
	json_reader_init(&r, v->text, c->arena, 0);
	if (json_double(&r, ret) < 0 || fabs(*ret) > NUMBER_MAX)
		return FAIL(c, "Value must be between -5.0E9 and 5.0E9, inclusive");
	return 0;
}

/* ["=", 1], [">", 0], [">", 0, "<=", 5]. */
static int numeric(struct compiler *c, const struct json_value *v, struct matcher *m)
{
	bool has_low = false, has_high = false;

	m->kind = MATCH_NUMERIC;
	m->low = -INFINITY;
	m->high = INFINITY;
	if (v->kind != JSON_ARRAY || v->count < 2 || v->count > 4 || v->count % 2)
		return FAIL(c, "Value of numeric must be an array of operators and numbers.");
	for (uint32_t i = 0; i < v->count; i += 2) {
		str op = json_text(&v->items[i]);
		double d = 0;

		TRY(number_of(c, &v->items[i + 1], &d));
		if (str_eq(op, STR("=")) && v->count == 2) {
			m->low = m->high = d;
		} else if (op.n && op.p[0] == '>' && op.n <= 2 && !has_low && !has_high) {
			has_low = true;
			m->low = d;
			m->low_open = op.n == 1;
		} else if (op.n && op.p[0] == '<' && op.n <= 2 && !has_high) {
			has_high = true;
			m->high = d;
			m->high_open = op.n == 1;
		} else {
			return FAIL(c, "Unrecognized numeric range operator: %.*s", STR_ARG(op));
		}
		if (op.n == 2 && op.p[1] != '=')
			return FAIL(c, "Unrecognized numeric range operator: %.*s", STR_ARG(op));
	}
	if (m->low > m->high || (has_low && has_high && m->low == m->high))
		return FAIL(c, "Bottom must be less than top");
	return 0;
}

/* A text, or {"equals-ignore-case": text}. */
static int text_or_no_case(
	struct compiler *c, str name, const struct json_value *v, bool nested, struct matcher *m)
{
	if (nested && v->kind == JSON_OBJECT && v->count == 1 &&
		str_eq(v->members[0].key, STR("equals-ignore-case"))) {
		m->no_case = true;
		v = &v->members[0].value;
	}
	if (v->kind != JSON_STRING)
		return FAIL(c, "%.*s match pattern must be a string", STR_ARG(name));
	m->text = v->text;
	return 0;
}

static int check_wildcard(struct compiler *c, str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '*' && i + 1 < text.n && text.p[i + 1] == '*')
			return FAIL(c, "Consecutive wildcard characters at pos %zu", i);
		if (text.p[i] != '\\')
			continue;
		if (++i == text.n || (text.p[i] != '*' && text.p[i] != '\\'))
			return FAIL(c, "Invalid escape character at pos %zu", i - 1);
	}
	return 0;
}

/* A matcher of texts by its name: 1, or 0 when the name is none. */
static int text_matcher(struct compiler *c, str name, const struct json_value *v, struct matcher *m)
{
	bool affix = false;

	if (str_eq(name, STR("prefix")) || str_eq(name, STR("suffix"))) {
		m->kind = name.p[0] == 'p' ? MATCH_PREFIX : MATCH_SUFFIX;
		affix = true;
	} else if (str_eq(name, STR("equals-ignore-case"))) {
		m->kind = MATCH_NO_CASE;
	} else if (str_eq(name, STR("wildcard"))) {
		m->kind = MATCH_WILDCARD;
	} else {
		return 0;
	}
	TRY(text_or_no_case(c, name, v, affix, m));
	if (m->kind == MATCH_WILDCARD)
		TRY(check_wildcard(c, m->text));
	return 1;
}

static int cidr(struct compiler *c, const struct json_value *v, struct matcher *m)
{
	str text = json_text(v);
	ptrdiff_t slash = text.p ? str_find(text, '/') : -1;
	uint64_t bits;

	m->kind = MATCH_CIDR;
	if (slash < 0)
		return FAIL(c, "Malformed CIDR, one '/' required");
	m->address_bytes = pattern_address(str_sub(text, 0, (size_t)slash), m->address);
	if (!m->address_bytes)
		return FAIL(c, "Malformed CIDR, IP address required before '/'");
	if (str_to_u64(str_from(text, (size_t)slash + 1), 8 * (uint64_t)m->address_bytes, &bits) <
		0)
		return FAIL(c, "Malformed CIDR, mask bits must be an integer up to %u",
			8 * m->address_bytes);
	m->bits = (unsigned)bits;
	return 0;
}

static int exact(struct compiler *c, const struct json_value *v, struct matcher *m)
{
	switch (v->kind) {
	case JSON_STRING: *m = (struct matcher){.kind = MATCH_STRING, .text = v->text}; return 0;
	case JSON_NUMBER: *m = (struct matcher){.kind = MATCH_NUMBER, .text = v->text}; return 0;
	case JSON_BOOL:
		*m = (struct matcher){.kind = v->boolean ? MATCH_TRUE : MATCH_FALSE};
		return 0;
	case JSON_NULL: *m = (struct matcher){.kind = MATCH_NULL}; return 0;
	default: return FAIL(c, "Match value must be String, number, true, false, or null");
	}
}

/* A value, a list of strings or numbers, or a matcher of texts with a text or a list of them. */
static int anything_but(struct compiler *c, const struct json_value *v, struct matcher *m)
{
	const struct json_value *list = v;
	str name = STR_NULL;
	struct matcher *of;

	if (v->kind == JSON_OBJECT) {
		if (v->count != 1)
			return FAIL(c, "Only one key allowed in match expression");
		name = v->members[0].key;
		list = &v->members[0].value;
	}
	m->kind = MATCH_ANYTHING_BUT;
	m->of_count = list->kind == JSON_ARRAY ? list->count : 1;
	if (!m->of_count)
		return FAIL(c, "Empty arrays are not allowed");
	of = arena_new_array(c->arena, struct matcher, m->of_count);
	m->of = of;
	for (uint32_t i = 0; i < m->of_count; i++) {
		const struct json_value *item = list->kind == JSON_ARRAY ? &list->items[i] : list;

		if (name.p) {
			if (TRY(text_matcher(c, name, item, &of[i])) == 0)
				return FAIL(
					c, "Unsupported anything-but pattern: %.*s", STR_ARG(name));
			continue;
		}
		if (item->kind != JSON_STRING && item->kind != JSON_NUMBER)
			return FAIL(c, "Inside anything-but list, either all values are number or "
				       "string, mixed type is not supported");
		if (list->kind == JSON_ARRAY && item->kind != list->items[0].kind)
			return FAIL(c, "Inside anything-but list, either all values are number or "
				       "string, mixed type is not supported");
		TRY(exact(c, item, &of[i]));
	}
	return 0;
}

static int compile_matcher(struct compiler *c, const struct json_value *v, struct matcher *m)
{
	const struct json_value *of;
	str name;

	if (v->kind != JSON_OBJECT)
		return exact(c, v, m);
	if (v->count != 1)
		return FAIL(c, "Only one key allowed in match expression");
	name = v->members[0].key;
	of = &v->members[0].value;
	*m = (struct matcher){.kind = MATCH_NULL};
	if (TRY(text_matcher(c, name, of, m)))
		return 0;
	if (str_eq(name, STR("exists"))) {
		if (of->kind != JSON_BOOL)
			return FAIL(c, "exists match pattern must be either true or false.");
		m->kind = of->boolean ? MATCH_EXISTS : MATCH_ABSENT;
		return 0;
	}
	if (str_eq(name, STR("numeric")))
		return numeric(c, of, m);
	if (str_eq(name, STR("cidr")))
		return cidr(c, of, m);
	if (str_eq(name, STR("anything-but")))
		return anything_but(c, of, m);
	return FAIL(c, "Unrecognized match type %.*s", STR_ARG(name));
}

static int compile_leaf(
	struct compiler *c, const struct json_value *v, struct pattern_field *ret_field)
{
	struct matcher *matchers;

	if (!v->count)
		return FAIL(c, "Empty arrays are not allowed");
	matchers = arena_new_array(c->arena, struct matcher, v->count);
	for (uint32_t i = 0; i < v->count; i++)
		TRY(compile_matcher(c, &v->items[i], &matchers[i]));
	ret_field->matchers = matchers;
	ret_field->matcher_count = v->count;
	return 0;
}

/* "$or" is one where its value is a list of two objects or more; else it is a name like others. */
static bool is_any(const struct json_member *m)
{
	if (!str_eq(m->key, STR("$or")) || m->value.kind != JSON_ARRAY || m->value.count < 2)
		return false;
	for (uint32_t i = 0; i < m->value.count; i++)
		if (m->value.items[i].kind != JSON_OBJECT)
			return false;
	return true;
}

static int compile_any(struct compiler *c, const struct json_value *v, struct pattern_any *ret_any)
{
	struct event_pattern *of = arena_new_array(c->arena, struct event_pattern, v->count);

	if (v->count > EVENT_PATTERN_ANY_MAX / c->combinations)
		return FAIL(c, "Rule is too complex - try using fewer $or combinations");
	c->combinations *= v->count;
	for (uint32_t i = 0; i < v->count; i++)
		TRY(compile_object(c, &v->items[i], &of[i]));
	*ret_any = (struct pattern_any){of, v->count};
	return 0;
}

static bool is_repeated(const struct json_value *v, uint32_t i)
{
	for (uint32_t k = i + 1; k < v->count; k++)
		if (str_eq(v->members[k].key, v->members[i].key))
			return true;
	return false;
}

static int compile_object(struct compiler *c, const struct json_value *v, struct event_pattern *ret)
{
	struct pattern_field *fields = arena_new_array(c->arena, struct pattern_field, v->count);
	struct pattern_any *any = arena_new_array(c->arena, struct pattern_any, v->count);

	if (!v->count)
		return FAIL(c, "Empty objects are not allowed");
	*ret = (struct event_pattern){.fields = fields, .any = any};
	for (uint32_t i = 0; i < v->count; i++) {
		const struct json_member *m = &v->members[i];
		struct event_pattern *nested;

		if (is_repeated(v, i)) /* the last one counts */
			continue;
		if (is_any(m)) {
			TRY(compile_any(c, &m->value, &any[ret->any_count++]));
			continue;
		}
		fields[ret->field_count] = (struct pattern_field){.key = m->key};
		if (m->value.kind == JSON_OBJECT) {
			nested = arena_new(c->arena, struct event_pattern);
			TRY(compile_object(c, &m->value, nested));
			fields[ret->field_count++].nested = nested;
		} else if (m->value.kind == JSON_ARRAY) {
			TRY(compile_leaf(c, &m->value, &fields[ret->field_count++]));
		} else {
			return FAIL(c, "\"%.*s\" must be an object or an array", STR_ARG(m->key));
		}
	}
	return 0;
}

int event_pattern_compile(
	struct arena *a, str text, const struct event_pattern **ret_pattern, str *ret_why)
{
	struct compiler c = {.arena = a, .combinations = 1};
	struct event_pattern *pattern = arena_new(a, struct event_pattern);
	struct json_value *v;
	int rc = 0;

	if (text.n > EVENT_PATTERN_BYTES_MAX)
		rc = FAIL(&c, "The pattern is longer than %d bytes", EVENT_PATTERN_BYTES_MAX);
	else if (json_parse(a, text, EVENT_PATTERN_DEPTH_MAX, &v, NULL) < 0)
		rc = FAIL(&c, "Event pattern is not valid JSON");
	else if (v->kind != JSON_OBJECT)
		rc = FAIL(&c, "Filter is not an object");
	else
		rc = compile_object(&c, v, pattern);
	if (rc < 0) {
		*ret_why = c.why;
		return rc;
	}
	*ret_pattern = pattern;
	return 0;
}
