/*
 * Look-ups in the compiled models, and the automata of their patterns. Pure.
 */
#include "aws/model.h"

#include "base/check.h"

const struct model *model_named(str name)
{
	for (size_t i = 0; i < models_count; i++)
		if (str_eq(str_c(models_all[i]->name), name))
			return models_all[i];
	return NULL;
}

/*
 * Binary search in a table that is sorted by name: `name_at` points to the name (an offset of the
 * pool) of entry 0, `stride` is the size of an entry. The index, or -1.
 */
static int named(
	const struct model *m, const void *name_at, size_t stride, int low, int high, str name)
{
	while (low < high) {
		int middle = (low + high) / 2;
		const uint32_t *at =
			(const uint32_t *)((const char *)name_at + (size_t)middle * stride);
		int order = str_cmp(name, model_str(m, *at));

		if (order == 0)
			return middle;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return -1;
}

int model_operation(const struct model *m, str name)
{
	return named(m, &m->operations->name, sizeof *m->operations, 0, m->operation_count, name);
}

int model_shape_named(const struct model *m, str name)
{
	/* Shape 0 means "none". */
	return named(m, &m->shapes->name, sizeof *m->shapes, 1, m->shape_count, name);
}

int model_member(const struct model *m, unsigned shape, str name)
{
	const struct model_shape *s = &m->shapes[shape];

	for (int i = 0; i < s->count; i++)
		if (str_eq(model_str(m, m->members[s->first + i].name), name))
			return i;
	return -1;
}

int model_member_wire(const struct model *m, unsigned shape, str wire)
{
	const struct model_shape *s = &m->shapes[shape];

	for (int i = 0; i < s->count; i++) {
		const struct model_member *member = &m->members[s->first + i];

		if (member->location == LOCATION_BODY && str_eq(model_str(m, member->wire), wire))
			return i;
	}
	return -1;
}

int model_error(const struct model *m, str code)
{
	for (int i = 0; i < m->error_count; i++)
		if (str_eq(model_str(m, m->errors[i].code), code) ||
			str_eq(model_shape_name(m, m->errors[i].shape), code))
			return i;
	return -1;
}

/* The next code point of UTF-8 at *at, or -1; moves *at behind it. */
static int32_t next_code_point(const char **at, const char *end)
{
	const uint8_t *p = (const uint8_t *)*at;
	size_t left = (size_t)(end - *at), n = p[0] < 0x80   ? 1
					       : p[0] < 0xe0 ? 2
					       : p[0] < 0xf0 ? 3
							     : 4;
	uint32_t code = n == 1 ? p[0] : n == 2 ? p[0] & 0x1fu : n == 3 ? p[0] & 0xfu : p[0] & 7u;

	if (n > left || (n > 1 && p[0] < 0xc2))
		return -1;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return -1;
		code = code << 6 | (p[i] & 0x3fu);
	}
	*at += n;
	return (int32_t)code;
}

static unsigned class_of(const struct model *m, const struct model_alphabet *a, uint32_t code)
{
	const struct model_range *ranges = m->ranges + a->range_first;
	unsigned low = 0, high = a->range_count;

	/* the last range that begins at or before the code point */
	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (ranges[middle].first <= code)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? ranges[low - 1].number : a->low;
}

bool model_pattern_match(const struct model *m, unsigned pattern, str s)
{
	const struct model_pattern *p = &m->patterns[pattern];
	const struct model_alphabet *a = &m->alphabets[p->alphabet];
	const uint8_t *ascii = m->classes + a->ascii;
	const uint16_t *next = m->transitions + p->transitions;
	const char *at = s.p, *end = s.p + s.n;
	unsigned state = 0;

	check(pattern != 0);
	while (at < end) {
		unsigned class_;

		if ((uint8_t)*at < 0x80) {
			class_ = ascii[(uint8_t)*at++];
		} else {
			int32_t code = next_code_point(&at, end);

			if (code < 0)
				return false;
			class_ = class_of(m, a, (uint32_t)code);
		}
		state = next[state * p->class_count + class_];
		if (state == PATTERN_DEAD)
			return false;
	}
	return m->accepting[p->accepting + state / 8] >> state % 8 & 1;
}
