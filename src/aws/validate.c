/*
 * The validator (validate.h): a walk over the input along the model's constraints.
 *
 * Shapes without a constraint below them are passed over, by SHAPE_CONSTRAINED. Depth is bounded by
 * what the decoders build. A value's text in a message is cut at VALUE_TEXT_MAX.
 */
#include "aws/validate.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/rc.h"

enum { VALUE_TEXT_MAX = 2048, MESSAGE_MAX = 128 * 1024 };

/* Where the walk is: "attributeDefinitions.1.member.attributeName", innermost first. */
struct place {
	const struct place *outer;
	str name;       /* a member or a map's key; STR_NULL: an element by number */
	uint32_t index; /* from 1 */
	bool verbatim;  /* a map's key: as it is */
};

struct walk {
	struct buf text;
	unsigned errors;
};

/* A member's name as AWS writes it in these messages: the first letter small. */
static void put_name(struct buf *out, str name)
{
	if (!name.n)
		return;
	buf_put_char(
		out, name.p[0] >= 'A' && name.p[0] <= 'Z' ? (char)(name.p[0] + 32) : name.p[0]);
	buf_put(out, str_from(name, 1));
}

static void put_place(struct buf *out, const struct place *at)
{
	if (at->outer) {
		put_place(out, at->outer);
		buf_put_char(out, '.');
	}
	if (!at->name.p) {
		buf_put_u64(out, at->index);
		buf_put(out, STR(".member"));
	} else if (at->verbatim) {
		buf_put(out, at->name);
		buf_put(out, STR(".member"));
	} else {
		put_name(out, at->name);
	}
}

static void put_value(struct buf *out, const struct value *v, const struct model *m);

static void put_members(struct buf *out, const struct value *v, const struct model *m)
{
	const struct model_shape *shape = &m->shapes[v->shape];
	bool comma = false;

	buf_put(out, model_str(m, shape->name));
	buf_put_char(out, '(');
	for (unsigned i = 0; i < v->n; i++) {
		if (!v->items[i].kind)
			continue;
		if (comma)
			buf_put(out, STR(", "));
		comma = true;
		put_name(out, model_str(m, m->members[shape->first + i].name));
		buf_put_char(out, '=');
		put_value(out, &v->items[i], m);
	}
	buf_put_char(out, ')');
}

/* The text of a value, as Java prints it. Stops early once the text is over its maximum. */
static void put_value(struct buf *out, const struct value *v, const struct model *m)
{
	if (out->over)
		return;
	if (v->kind && (m->shapes[v->shape].flags & SHAPE_SENSITIVE)) {
		buf_put(out, STR("***"));
		return;
	}
	switch (v->kind) {
	case 0: buf_put(out, STR("null")); break;
	case SHAPE_STRING:
	case SHAPE_DOCUMENT: buf_put(out, v->s); break;
	case SHAPE_BLOB:
		buf_printf(out, "java.nio.HeapByteBuffer[pos=0 lim=%zu cap=%zu]", v->s.n, v->s.n);
		break;
	case SHAPE_INTEGER:
	case SHAPE_LONG: buf_put_i64(out, v->i); break;
	case SHAPE_TIMESTAMP: buf_put_i64(out, v->i / 1000); break;
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE: buf_printf(out, "%g", v->d); break;
	case SHAPE_BOOLEAN: buf_put(out, v->b ? STR("true") : STR("false")); break;
	case SHAPE_STRUCTURE: put_members(out, v, m); break;
	case SHAPE_LIST:
	case SHAPE_MAP:
		buf_put_char(out, v->kind == SHAPE_LIST ? '[' : '{');
		for (uint32_t i = 0; i < v->n && !out->over; i++) {
			if (i)
				buf_put(out, STR(", "));
			if (v->kind == SHAPE_MAP) {
				buf_put(out, v->entries[i].key);
				buf_put_char(out, '=');
			}
			put_value(out, v->kind == SHAPE_LIST ? &v->items[i] : &v->entries[i].value,
				m);
		}
		buf_put_char(out, v->kind == SHAPE_LIST ? ']' : '}');
		break;
	default: check_unreachable();
	}
}

/* At most `n` bytes, no character in part. */
static str cut(str s, size_t n)
{
	if (s.n <= n)
		return s;
	while (n && ((uint8_t)s.p[n] & 0xc0) == 0x80)
		n--;
	return str_sub(s, 0, n);
}

/* "Value '...' at '...' failed to satisfy constraint: "; the constraint's text follows. */
static bool begin_error(
	struct walk *w, const struct place *at, const struct value *v, const struct model *m)
{
	struct buf value;

	if (w->errors++ >= VALIDATE_ERRORS_MAX)
		return false;
	if (w->errors > 1)
		buf_put(&w->text, STR("; "));
	buf_put(&w->text, STR("Value "));
	if (!v) {
		buf_put(&w->text, STR("null "));
	} else if (!(m->shapes[v->shape].flags & SHAPE_SENSITIVE)) {
		buf_init(&value, w->text.arena, VALUE_TEXT_MAX);
		put_value(&value, v, m);
		buf_put_char(&w->text, '\'');
		if (value.over && v->kind == SHAPE_STRING)
			buf_put(&w->text, cut(v->s, VALUE_TEXT_MAX));
		else
			buf_put(&w->text, buf_str(&value));
		buf_put(&w->text, value.over ? STR("...' ") : STR("' "));
	}
	buf_put(&w->text, STR("at '"));
	put_place(&w->text, at);
	buf_put(&w->text, STR("' failed to satisfy constraint: "));
	return true;
}

/* ---- one constraint ---- */

static uint64_t length_of(const struct value *v)
{
	uint64_t n = 0;

	if (v->kind == SHAPE_LIST || v->kind == SHAPE_MAP)
		return v->n;
	if (v->kind == SHAPE_BLOB)
		return v->s.n;
	for (size_t i = 0; i < v->s.n; i++)
		n += ((uint8_t)v->s.p[i] & 0xc0) != 0x80;
	return n;
}

static bool is_number(const struct value *v)
{
	return v->kind == SHAPE_INTEGER || v->kind == SHAPE_LONG || v->kind == SHAPE_FLOAT ||
	       v->kind == SHAPE_DOUBLE;
}

static int compare_bound(const struct value *v, int64_t i, double d)
{
	if (v->kind == SHAPE_FLOAT || v->kind == SHAPE_DOUBLE)
		return v->d < d ? -1 : v->d > d;
	if (v->kind == SHAPE_INTEGER || v->kind == SHAPE_LONG)
		return v->i < i ? -1 : v->i > i;
	return (int64_t)length_of(v) < i ? -1 : (int64_t)length_of(v) > i;
}

static bool in_enum(const struct model *m, const struct model_constraint *c, str s)
{
	for (unsigned i = 0; i < c->enum_count; i++)
		if (str_eq(model_str(m, m->enums[c->enum_first + i]), s))
			return true;
	return false;
}

/* Which of the constraint's parts (enum constraint_flag) does the value break? */
static unsigned broken_parts(
	const struct model *m, const struct model_constraint *c, const struct value *v)
{
	unsigned broken = 0;

	if ((c->flags & CONSTRAINT_MIN) && compare_bound(v, c->min.i, c->min.d) < 0)
		broken |= CONSTRAINT_MIN;
	if ((c->flags & CONSTRAINT_MAX) && compare_bound(v, c->max.i, c->max.d) > 0)
		broken |= CONSTRAINT_MAX;
	if (v->kind != SHAPE_STRING)
		return broken;
	if ((c->flags & CONSTRAINT_PATTERN) && !model_pattern_match(m, c->pattern, v->s))
		broken |= CONSTRAINT_PATTERN;
	if ((c->flags & CONSTRAINT_ENUM) && !in_enum(m, c, v->s))
		broken |= CONSTRAINT_ENUM;
	return broken;
}

static void put_bound(struct buf *out, const struct value *v, int64_t i, double d)
{
	if (v->kind == SHAPE_FLOAT || v->kind == SHAPE_DOUBLE)
		buf_printf(out, "%g", d);
	else
		buf_put_i64(out, i);
}

static void put_constraint(struct buf *out, const struct model *m, const struct model_constraint *c,
	const struct value *v, unsigned part)
{
	buf_put(out, STR("Member must "));
	switch (part) {
	case CONSTRAINT_MIN:
		buf_put(out, is_number(v) ? STR("have value greater than or equal to ")
					  : STR("have length greater than or equal to "));
		put_bound(out, v, c->min.i, c->min.d);
		break;
	case CONSTRAINT_MAX:
		buf_put(out, is_number(v) ? STR("have value less than or equal to ")
					  : STR("have length less than or equal to "));
		put_bound(out, v, c->max.i, c->max.d);
		break;
	case CONSTRAINT_PATTERN:
		buf_put(out, STR("satisfy regular expression pattern: "));
		buf_put(out, model_str(m, m->patterns[c->pattern].text));
		break;
	case CONSTRAINT_ENUM:
		buf_put(out, STR("satisfy enum value set: ["));
		for (unsigned i = 0; i < c->enum_count; i++) {
			if (i)
				buf_put(out, STR(", "));
			buf_put(out, model_str(m, m->enums[c->enum_first + i]));
		}
		buf_put_char(out, ']');
		break;
	default: check_unreachable();
	}
}

static const uint8_t part_order[] = {
	CONSTRAINT_PATTERN, CONSTRAINT_ENUM, CONSTRAINT_MAX, CONSTRAINT_MIN};

static void check_own(
	struct walk *w, const struct model *m, const struct place *at, const struct value *v)
{
	const struct model_constraint *c = &m->constraints[m->shapes[v->shape].constraint];
	unsigned broken;

	if (!c->flags || !(broken = broken_parts(m, c, v)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(part_order); i++)
		if ((broken & part_order[i]) && begin_error(w, at, v, m))
			put_constraint(&w->text, m, c, v, part_order[i]);
}

/* ---- elements: a list's or map's scalars, and a map's lists, are reported once, for all ---- */

static bool is_scalar(unsigned kind)
{
	return kind != SHAPE_STRUCTURE && kind != SHAPE_LIST && kind != SHAPE_MAP;
}

static void elements_error(struct walk *w, const struct model *m, const struct place *at,
	const struct value *whole, str what, const struct value *element,
	const struct model_constraint *c)
{
	static const uint8_t order[] = {
		CONSTRAINT_MAX, CONSTRAINT_MIN, CONSTRAINT_PATTERN, CONSTRAINT_ENUM};
	bool comma = false;

	if (!begin_error(w, at, whole, m))
		return;
	buf_put(&w->text, what);
	buf_put(&w->text, STR(" must satisfy constraint: ["));
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if (!(c->flags & order[i]))
			continue;
		if (comma)
			buf_put(&w->text, STR(", "));
		comma = true;
		put_constraint(&w->text, m, c, element, order[i]);
	}
	if (element->kind != SHAPE_LIST || !comma) {
		buf_put(&w->text, comma ? STR(", ") : STR(""));
		buf_put(&w->text, STR("Member must not be null"));
	}
	buf_put_char(&w->text, ']');
}

static void walk_value(
	struct walk *w, const struct model *m, const struct place *at, const struct value *v);

static bool element_broken(
	const struct model *m, const struct model_constraint *c, const struct value *v)
{
	return !v->kind || (c->flags && broken_parts(m, c, v));
}

static void walk_elements(
	struct walk *w, const struct model *m, const struct place *at, const struct value *v)
{
	bool map = v->kind == SHAPE_MAP;
	unsigned shape = m->members[m->shapes[v->shape].first + map].shape;
	const struct model_constraint *c = &m->constraints[m->shapes[shape].constraint];
	bool scalar = is_scalar(m->shapes[shape].kind);

	for (uint32_t i = 0; i < v->n && w->errors <= VALIDATE_ERRORS_MAX; i++) {
		const struct value *element = map ? &v->entries[i].value : &v->items[i];
		struct place here = {.outer = at, .index = i + 1};
		struct value model_value = {
			.kind = m->shapes[shape].kind, .shape = (uint16_t)shape};

		if (map) {
			here.name = v->entries[i].key;
			here.verbatim = true;
		}
		if (!scalar && element->kind &&
			!(map && element->kind == SHAPE_LIST && element_broken(m, c, element))) {
			walk_value(w, m, &here, element);
		} else if (element_broken(m, c, element)) {
			elements_error(w, m, at, v, map ? STR("Map value") : STR("Member"),
				&model_value, c);
			return;
		}
	}
}

static void walk_keys(
	struct walk *w, const struct model *m, const struct place *at, const struct value *v)
{
	unsigned shape = m->members[m->shapes[v->shape].first].shape;
	const struct model_constraint *c = &m->constraints[m->shapes[shape].constraint];

	if (!c->flags)
		return;
	for (uint32_t i = 0; i < v->n; i++) {
		struct value key = {
			.kind = SHAPE_STRING, .shape = (uint16_t)shape, .s = v->entries[i].key};

		if (broken_parts(m, c, &key)) {
			elements_error(w, m, at, v, STR("Map keys"), &key, c);
			return;
		}
	}
}

static void walk_members(
	struct walk *w, const struct model *m, const struct place *at, const struct value *v)
{
	const struct model_member *member = &m->members[m->shapes[v->shape].first];

	for (unsigned i = 0; i < v->n && w->errors <= VALIDATE_ERRORS_MAX; i++, member++) {
		struct place here = {.outer = at, .name = model_str(m, member->name)};

		if (v->items[i].kind)
			walk_value(w, m, &here, &v->items[i]);
		else if ((member->flags & MEMBER_REQUIRED) && begin_error(w, &here, NULL, m))
			buf_put(&w->text, STR("Member must not be null"));
	}
}

static void walk_value(
	struct walk *w, const struct model *m, const struct place *at, const struct value *v)
{
	if (!(m->shapes[v->shape].flags & SHAPE_CONSTRAINED))
		return;
	if (at)
		check_own(w, m, at, v);
	if (v->kind == SHAPE_MAP)
		walk_keys(w, m, at, v);
	if (v->kind == SHAPE_STRUCTURE)
		walk_members(w, m, at, v);
	else if (v->kind == SHAPE_LIST || v->kind == SHAPE_MAP)
		walk_elements(w, m, at, v);
}

int validate(const struct value *input, str *ret_message)
{
	struct walk w = {.errors = 0};
	struct arena *a = input->tree->arena;
	unsigned count;

	buf_init(&w.text, a, MESSAGE_MAX);
	walk_value(&w, input->tree->model, NULL, input);
	if (w.errors == 0)
		return 0;
	count = MIN(w.errors, (unsigned)VALIDATE_ERRORS_MAX);
	*ret_message = arena_printf(a, "%u validation error%s detected: %.*s", count,
		count > 1 ? "s" : "", STR_ARG(buf_str(&w.text)));
	return ERR_FAULT;
}
