/*
 * Reading of the legacy parameters from the request.
 */
#include "base/json.h"
#include "base/rc.h"
#include "services/dynamodb/legacy.h"

enum { VALUE_BYTES_MAX = 16 * 1024 * 1024 };

static int read_value(struct attr_decoder *d, struct json_reader *r, str *ret_value)
{
	struct buf value;

	buf_init(&value, d->arena, VALUE_BYTES_MAX);
	TRY(attr_read_json(d, r, &value));
	if (value.over)
		return ERR_TOO_LARGE;
	*ret_value = buf_str(&value);
	return 0;
}

/* Doubles a full array in the arena. */
static void add_str(struct arena *arena, str **list, uint32_t *count, str s)
{
	if ((*count & (*count - 1)) == 0) {
		str *bigger = arena_new_array(arena, str, *count ? *count * 2 : 1);

		if (*count)
			memcpy(bigger, *list, *count * sizeof *bigger);
		*list = bigger;
	}
	(*list)[(*count)++] = s;
}

static int read_list(struct attr_decoder *d, struct json_reader *r, struct legacy_condition *c)
{
	str value;

	c->has_list = true;
	c->list = NULL;
	c->list_count = 0;
	TRY(json_array_begin(r));
	while (TRY(json_array_next(r))) {
		if (c->list_count == LEGACY_ELEMENTS_MAX)
			return ERR_TOO_LARGE;
		TRY(read_value(d, r, &value));
		add_str(d->arena, &c->list, &c->list_count, value);
	}
	return 0;
}

static int read_condition(struct attr_decoder *d, struct json_reader *r, struct legacy_condition *c)
{
	str name;

	TRY(json_object_begin(r));
	while (TRY(json_object_next(r, &name))) {
		if (TRY(json_peek(r)) == JSON_NULL) {
			TRY(json_skip(r));
		} else if (str_eq(name, STR("ComparisonOperator"))) {
			TRY(json_string(r, &c->op));
		} else if (str_eq(name, STR("AttributeValueList"))) {
			TRY(read_list(d, r, c));
		} else if (str_eq(name, STR("Value"))) {
			TRY(read_value(d, r, &c->value));
		} else if (str_eq(name, STR("Exists"))) {
			c->has_exists = true;
			TRY(json_bool(r, &c->exists));
		} else {
			TRY(json_skip(r));
		}
	}
	return 0;
}

int legacy_read_conditions(
	struct attr_decoder *d, struct json_reader *r, struct legacy_conditions *ret)
{
	struct legacy_condition *c, **at;
	str name;

	*ret = (struct legacy_conditions){.given = true};
	TRY(json_object_begin(r));
	while (TRY(json_object_next(r, &name))) {
		for (at = &ret->first; *at && !str_eq((*at)->name, name);)
			at = &(*at)->next;
		c = *at;
		if (!c) {
			if (ret->count == LEGACY_ELEMENTS_MAX)
				return ERR_TOO_LARGE;
			*at = c = arena_new(d->arena, struct legacy_condition);
			ret->count++;
		}
		*c = (struct legacy_condition){
			.name = name, .op = STR_NULL, .value = STR_NULL, .next = c->next};
		if (TRY(json_peek(r)) == JSON_NULL)
			TRY(json_skip(r));
		else
			TRY(read_condition(d, r, c));
	}
	return 0;
}

static int read_update(struct attr_decoder *d, struct json_reader *r, struct legacy_update *u)
{
	str name;

	TRY(json_object_begin(r));
	while (TRY(json_object_next(r, &name))) {
		if (TRY(json_peek(r)) == JSON_NULL)
			TRY(json_skip(r));
		else if (str_eq(name, STR("Action")))
			TRY(json_string(r, &u->action));
		else if (str_eq(name, STR("Value")))
			TRY(read_value(d, r, &u->value));
		else
			TRY(json_skip(r));
	}
	return 0;
}

int legacy_read_updates(struct attr_decoder *d, struct json_reader *r, struct legacy_updates *ret)
{
	struct legacy_update *u, **at;
	str name;

	*ret = (struct legacy_updates){.given = true};
	TRY(json_object_begin(r));
	while (TRY(json_object_next(r, &name))) {
		for (at = &ret->first; *at && !str_eq((*at)->name, name);)
			at = &(*at)->next;
		u = *at;
		if (!u) {
			if (ret->count == LEGACY_ELEMENTS_MAX)
				return ERR_TOO_LARGE;
			*at = u = arena_new(d->arena, struct legacy_update);
			ret->count++;
		}
		*u = (struct legacy_update){
			.name = name, .action = STR_NULL, .value = STR_NULL, .next = u->next};
		if (TRY(json_peek(r)) == JSON_NULL)
			TRY(json_skip(r));
		else
			TRY(read_update(d, r, u));
	}
	return 0;
}

int legacy_read_names(struct attr_decoder *d, struct json_reader *r, struct legacy_names *ret)
{
	str name;

	*ret = (struct legacy_names){.given = true};
	TRY(json_array_begin(r));
	while (TRY(json_array_next(r))) {
		if (ret->count == LEGACY_ELEMENTS_MAX)
			return ERR_TOO_LARGE;
		TRY(json_string(r, &name));
		add_str(d->arena, &ret->names, &ret->count, name);
	}
	return 0;
}
