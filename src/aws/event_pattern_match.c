/*
 * Deciding: see event_pattern.h. An absent leaf is a NULL value.
 */
#include "aws/event_pattern_internal.h"

#include <arpa/inet.h>

unsigned pattern_address(str text, uint8_t address[16])
{
	char c[INET6_ADDRSTRLEN + 1];

	if (text.n >= sizeof(c))
		return 0;
	memcpy(c, text.p, text.n);
	c[text.n] = 0;
	if (strlen(c) != text.n)
		return 0;
	if (inet_pton(AF_INET, c, address) == 1)
		return 4;
	return inet_pton(AF_INET6, c, address) == 1 ? 16 : 0;
}

/* '*' is any text; a backslash takes the next byte as it is. */
static bool wildcard(str pattern, str s)
{
	size_t p = 0, i = 0, star = SIZE_MAX, star_at = 0;

	for (;;) {
		size_t q = p;

		if (p < pattern.n && pattern.p[p] == '*') {
			star = ++p;
			star_at = i;
			continue;
		}
		if (q < pattern.n && pattern.p[q] == '\\')
			q++;
		if (i == s.n && p == pattern.n)
			return true;
		if (i < s.n && q < pattern.n && pattern.p[q] == s.p[i]) {
			p = q + 1;
			i++;
			continue;
		}
		if (star == SIZE_MAX || star_at == s.n)
			return false;
		p = star;
		i = ++star_at;
	}
}

static bool same(str a, str b, bool no_case)
{
	return no_case ? str_eq_nocase(a, b) : str_eq(a, b);
}

static bool in_range(const struct matcher *m, str number)
{
	struct arena a cleanup(arena_done_p) = {0}; /* for numbers of very many digits */
	struct json_reader r;
	double d;

	arena_init(&a, SIZE_MAX);
	json_reader_init(&r, number, &a, 0);
	if (json_double(&r, &d) < 0)
		return false;
	return (m->low_open ? d > m->low : d >= m->low) &&
	       (m->high_open ? d < m->high : d <= m->high);
}

static bool in_network(const struct matcher *m, str text)
{
	uint8_t address[16];
	unsigned whole = m->bits / 8, rest = m->bits % 8;

	if (pattern_address(text, address) != m->address_bytes ||
		memcmp(address, m->address, whole) != 0)
		return false;
	return !rest || (address[whole] ^ m->address[whole]) >> (8 - rest) == 0;
}

/* A matcher of texts on a text. */
static bool text_matches(const struct matcher *m, str text)
{
	switch (m->kind) {
	case MATCH_STRING: return str_eq(text, m->text);
	case MATCH_PREFIX: return same(str_sub(text, 0, m->text.n), m->text, m->no_case);
	case MATCH_SUFFIX:
		return text.n >= m->text.n &&
		       same(str_from(text, text.n - m->text.n), m->text, m->no_case);
	case MATCH_NO_CASE: return str_eq_nocase(text, m->text);
	case MATCH_WILDCARD: return wildcard(m->text, text);
	case MATCH_CIDR: return in_network(m, text);
	default: return false;
	}
}

static bool scalar_matches(const struct matcher *m, const struct json_value *v)
{
	switch (m->kind) {
	case MATCH_EXISTS: return true;
	case MATCH_ABSENT: return false;
	case MATCH_NULL: return v->kind == JSON_NULL;
	case MATCH_TRUE: return v->kind == JSON_BOOL && v->boolean;
	case MATCH_FALSE: return v->kind == JSON_BOOL && !v->boolean;
	case MATCH_NUMBER: return v->kind == JSON_NUMBER && str_eq(v->text, m->text);
	case MATCH_NUMERIC: return v->kind == JSON_NUMBER && in_range(m, v->text);
	case MATCH_ANYTHING_BUT:
		for (uint32_t i = 0; i < m->of_count; i++)
			if (scalar_matches(&m->of[i], v))
				return false;
		return true;
	default: return v->kind == JSON_STRING && text_matches(m, v->text);
	}
}

/* Is there a leaf: a scalar, or an array that has one? */
static bool is_leaf(const struct json_value *v)
{
	if (!v || v->kind == JSON_OBJECT)
		return false;
	if (v->kind != JSON_ARRAY)
		return true;
	for (uint32_t i = 0; i < v->count; i++)
		if (is_leaf(&v->items[i]))
			return true;
	return false;
}

static bool value_matches(const struct matcher *m, const struct json_value *v)
{
	if (m->kind == MATCH_ABSENT)
		return !is_leaf(v);
	if (!v || v->kind == JSON_OBJECT)
		return false;
	if (v->kind != JSON_ARRAY)
		return scalar_matches(m, v);
	for (uint32_t i = 0; i < v->count; i++)
		if (value_matches(m, &v->items[i]))
			return true;
	return false;
}

static bool field_matches(const struct pattern_field *f, const struct json_value *v)
{
	if (f->nested && v && v->kind == JSON_ARRAY) {
		for (uint32_t i = 0; i < v->count; i++)
			if (field_matches(f, &v->items[i]))
				return true;
		return false;
	}
	if (f->nested) /* in what is not there, everything is absent */
		return event_pattern_matches(f->nested, v);
	for (uint32_t i = 0; i < f->matcher_count; i++)
		if (value_matches(&f->matchers[i], v))
			return true;
	return false;
}

bool event_pattern_matches(const struct event_pattern *pattern, const struct json_value *event)
{
	for (uint32_t i = 0; i < pattern->field_count; i++)
		if (!field_matches(&pattern->fields[i], json_get(event, pattern->fields[i].key)))
			return false;
	for (uint32_t i = 0; i < pattern->any_count; i++) {
		const struct pattern_any *any = &pattern->any[i];
		bool found = false;

		for (uint32_t k = 0; k < any->count && !found; k++)
			found = event_pattern_matches(&any->of[k], event);
		if (!found)
			return false;
	}
	return true;
}
