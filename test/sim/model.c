/*
 * Conditions, updates and texts of the model's items.
 */
#include "test/sim/model.h"

static const struct {
	const char *name;
	bool text;
} attributes[MODEL_ATTRIBUTES] = {[MODEL_W] = {"w", false},
	[MODEL_N] = {"n", false},
	[MODEL_G] = {"g", true},
	[MODEL_L] = {"l", false},
	[MODEL_T] = {"t", false},
	[MODEL_P] = {"p", true},
	[MODEL_V] = {"v", false}};

/* --- what operations mean ------------------------------------------------------------------- */

static bool term_holds(const struct model_term *t, const struct model_item *item)
{
	bool has = item->exists && item->has[t->attribute];

	switch (t->test) {
	case MODEL_EXISTS: return has;
	case MODEL_NOT_EXISTS: return !has;
	case MODEL_EQUAL: return has && item->value[t->attribute] == t->value;
	case MODEL_LESS: return has && item->value[t->attribute] < t->value;
	}
	return false;
}

bool model_holds(const struct model_condition *c, const struct model_item *item)
{
	bool holds = !c->any;

	if (!c->count)
		return true;
	for (unsigned i = 0; i < c->count; i++) {
		bool term = term_holds(&c->terms[i], item);

		holds = c->any ? holds || term : holds && term;
	}
	return holds != c->negated;
}

static void set(struct model_item *item, enum model_attribute attribute, int64_t value)
{
	item->has[attribute] = true;
	item->value[attribute] = value;
}

static struct model_item update(const struct model_op *op, const struct model_item *old)
{
	struct model_item item = *old;

	item.exists = true;
	for (unsigned i = 0; i < MODEL_ATTRIBUTES; i++) {
		if (op->item.has[i] && !(i == MODEL_L && op->keep_l && old->has[i]))
			set(&item, i, op->item.value[i]);
		if (op->remove[i]) {
			item.has[i] = false;
			item.value[i] = 0;
		}
	}
	if (op->add)
		set(&item, MODEL_N, item.value[MODEL_N] + op->add);
	return item;
}

struct model_item model_apply(const struct model_op *op, const struct model_item *old)
{
	switch (op->kind) {
	case MODEL_PUT: return op->item;
	case MODEL_UPDATE: return update(op, old);
	case MODEL_DELETE: return (struct model_item){0};
	case MODEL_CHECK: break;
	}
	return *old;
}

bool model_equal(const struct model_item *a, const struct model_item *b)
{
	if (a->exists != b->exists)
		return false;
	for (unsigned i = 0; i < MODEL_ATTRIBUTES; i++)
		if (a->has[i] != b->has[i] || a->value[i] != b->value[i])
			return false;
	return true;
}

/* --- texts ---------------------------------------------------------------------------------- */

static void put_letters(struct buf *out, int64_t n)
{
	while (n-- > 0)
		buf_put_char(out, 'x');
}

/* The text between the quotes of a value. */
static void put_plain(struct buf *out, enum model_attribute attribute, int64_t value)
{
	if (attribute == MODEL_P) {
		put_letters(out, value);
	} else {
		if (attribute == MODEL_G)
			buf_put_char(out, 'g');
		buf_put_i64(out, value);
	}
}

static void put_value(struct buf *out, enum model_attribute attribute, int64_t value)
{
	if (attribute == MODEL_V) {
		buf_printf(out, "{\"L\":[{\"N\":\"%lld\"},{\"N\":\"1\"}]}", (long long)value);
		return;
	}
	buf_put(out, attributes[attribute].text ? STR("{\"S\":\"") : STR("{\"N\":\""));
	put_plain(out, attribute, value);
	buf_put(out, STR("\"}"));
}

static void put_key_members(struct buf *out, unsigned key)
{
	buf_printf(out, "\"pk\":{\"S\":\"k%u\"},\"sk\":{\"N\":\"%u\"}", key / MODEL_SORTS,
		key % MODEL_SORTS);
}

void model_put_key(struct buf *out, unsigned key)
{
	buf_put_char(out, '{');
	put_key_members(out, key);
	buf_put_char(out, '}');
}

void model_put_item(struct buf *out, unsigned key, const struct model_item *item)
{
	buf_put_char(out, '{');
	put_key_members(out, key);
	for (unsigned i = 0; i < MODEL_ATTRIBUTES; i++) {
		if (!item->has[i])
			continue;
		buf_printf(out, ",\"%s\":", attributes[i].name);
		put_value(out, i, item->value[i]);
	}
	buf_put_char(out, '}');
}

static void put_condition(struct buf *out, const struct model_condition *c)
{
	buf_put(out, c->negated ? STR(",\"ConditionExpression\":\"NOT (")
				: STR(",\"ConditionExpression\":\"("));
	for (unsigned i = 0; i < c->count; i++) {
		const struct model_term *t = &c->terms[i];
		const char *name = attributes[t->attribute].name;

		if (i)
			buf_put(out, c->any ? STR(" OR ") : STR(" AND "));
		switch (t->test) {
		case MODEL_EXISTS: buf_printf(out, "attribute_exists(%s)", name); break;
		case MODEL_NOT_EXISTS: buf_printf(out, "attribute_not_exists(%s)", name); break;
		case MODEL_EQUAL: buf_printf(out, "%s = :c%u", name, i); break;
		case MODEL_LESS: buf_printf(out, "%s < :c%u", name, i); break;
		}
	}
	buf_put(out, STR(")\""));
}

static void put_update(struct buf *out, const struct model_op *op)
{
	const char *between = ",\"UpdateExpression\":\"SET ";
	unsigned removed = 0;

	for (unsigned i = 0; i < MODEL_ATTRIBUTES; i++) {
		const char *name = attributes[i].name;

		if (!op->item.has[i])
			continue;
		if (i == MODEL_L && op->keep_l)
			buf_printf(out, "%s%s = if_not_exists(%s, :%s)", between, name, name, name);
		else
			buf_printf(out, "%s%s = :%s", between, name, name);
		between = ", ";
	}
	for (unsigned i = 0; i < MODEL_ATTRIBUTES; i++)
		if (op->remove[i])
			buf_printf(out, "%s%s", removed++ ? ", " : " REMOVE ", attributes[i].name);
	if (op->add)
		buf_put(out, STR(" ADD n :add"));
	buf_put_char(out, '"');
}

static void put_values(struct buf *out, const struct model_op *op)
{
	const struct model_condition *c = &op->condition;
	str between = STR(",\"ExpressionAttributeValues\":{"), behind = STR("");

	for (unsigned i = 0; op->kind == MODEL_UPDATE && i < MODEL_ATTRIBUTES; i++) {
		if (!op->item.has[i])
			continue;
		buf_put(out, between);
		buf_printf(out, "\":%s\":", attributes[i].name);
		put_value(out, i, op->item.value[i]);
		between = STR(",");
		behind = STR("}");
	}
	if (op->kind == MODEL_UPDATE && op->add) {
		buf_put(out, between);
		buf_put(out, STR("\":add\":"));
		put_value(out, MODEL_N, op->add);
		between = STR(",");
		behind = STR("}");
	}
	for (unsigned i = 0; i < c->count; i++) {
		if (c->terms[i].test != MODEL_EQUAL && c->terms[i].test != MODEL_LESS)
			continue;
		buf_put(out, between);
		buf_printf(out, "\":c%u\":", i);
		put_value(out, c->terms[i].attribute, c->terms[i].value);
		between = STR(",");
		behind = STR("}");
	}
	buf_put(out, behind);
}

void model_put_expressions(struct buf *out, const struct model_op *op)
{
	if (op->kind == MODEL_UPDATE)
		put_update(out, op);
	if (op->condition.count)
		put_condition(out, &op->condition);
	put_values(out, op);
}

static void put_literal(struct buf *out, enum model_attribute attribute, int64_t value)
{
	str quote = attributes[attribute].text ? STR("'") : STR("");

	if (attribute == MODEL_V) {
		buf_printf(out, "[%lld,1]", (long long)value);
		return;
	}
	buf_put(out, quote);
	put_plain(out, attribute, value);
	buf_put(out, quote);
}

void model_put_statement(struct buf *out, const char *table, const struct model_op *op)
{
	unsigned pk = op->key / MODEL_SORTS, sk = op->key % MODEL_SORTS;

	switch (op->kind) {
	case MODEL_PUT:
		buf_printf(out, "INSERT INTO \\\"%s\\\" VALUE {'pk':'k%u','sk':%u", table, pk, sk);
		for (unsigned i = 0; i < MODEL_ATTRIBUTES; i++) {
			if (!op->item.has[i])
				continue;
			buf_printf(out, ",'%s':", attributes[i].name);
			put_literal(out, i, op->item.value[i]);
		}
		buf_put_char(out, '}');
		return;
	case MODEL_UPDATE:
		buf_printf(out, "UPDATE \\\"%s\\\"", table);
		for (unsigned i = 0; i < MODEL_ATTRIBUTES; i++) {
			if (op->item.has[i]) {
				buf_printf(out, " SET %s=", attributes[i].name);
				put_literal(out, i, op->item.value[i]);
			}
			if (op->remove[i])
				buf_printf(out, " REMOVE %s", attributes[i].name);
		}
		break;
	case MODEL_DELETE: buf_printf(out, "DELETE FROM \\\"%s\\\"", table); break;
	case MODEL_CHECK: buf_printf(out, "SELECT * FROM \\\"%s\\\"", table); break;
	}
	buf_printf(out, " WHERE pk='k%u' AND sk=%u", pk, sk);
}

void model_put_text(struct buf *out, const struct model_item *item)
{
	if (!item->exists)
		buf_put(out, STR("nothing"));
	for (unsigned i = 0; i < MODEL_ATTRIBUTES; i++)
		if (item->has[i])
			buf_printf(out, "%s%s=%lld", i ? " " : "", attributes[i].name,
				(long long)item->value[i]);
}

/* --- reading -------------------------------------------------------------------------------- */

static bool read_vector(const struct json_value *v, int64_t *ret_value)
{
	const struct json_value *list = json_get(v, STR("L"));

	return list && list->kind == JSON_ARRAY && list->count == 2 &&
	       str_eq(json_text(json_get(json_at(list, 1), STR("N"))), STR("1")) &&
	       str_to_i64(json_text(json_get(json_at(list, 0), STR("N"))), ret_value) == 0;
}

static bool read_value(const struct json_member *m, unsigned i, int64_t *ret_value)
{
	str text = json_text(json_get(&m->value, attributes[i].text ? STR("S") : STR("N")));

	if (i == MODEL_V)
		return read_vector(&m->value, ret_value);
	if (!text.p || m->value.count != 1)
		return false;
	if (i == MODEL_P) {
		for (size_t at = 0; at < text.n; at++)
			if (text.p[at] != 'x')
				return false;
		*ret_value = (int64_t)text.n;
		return true;
	}
	if (i == MODEL_G && !str_starts(text, STR("g")))
		return false;
	return str_to_i64(i == MODEL_G ? str_from(text, 1) : text, ret_value) == 0;
}

bool model_read(const struct json_value *v, unsigned *ret_key, struct model_item *ret_item)
{
	struct model_item item = {.exists = v != NULL};
	str pk = json_text(json_get_path(v, STR("pk.S")));
	uint64_t partition = 0, sort = 0;
	unsigned known = 2;

	if (v) {
		if (!str_starts(pk, STR("k")) ||
			str_to_u64(str_from(pk, 1), MODEL_PARTITIONS - 1, &partition) < 0 ||
			str_to_u64(json_text(json_get_path(v, STR("sk.N"))), MODEL_SORTS - 1,
				&sort) < 0)
			return false;
		*ret_key = (unsigned)(partition * MODEL_SORTS + sort);
	}
	for (uint32_t m = 0; v && m < v->count; m++)
		for (unsigned i = 0; i < MODEL_ATTRIBUTES; i++)
			if (str_eq(v->members[m].key, str_c(attributes[i].name))) {
				if (!read_value(&v->members[m], i, &item.value[i]))
					return false;
				item.has[i] = true;
				known++;
			}
	*ret_item = item;
	return !v || known == v->count;
}
