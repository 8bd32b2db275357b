/*
 * Items and entries of vector indexes.
 */
#include "services/dynamodb/vector_index.h"

#include "base/check.h"
#include "services/dynamodb/faults.h"

#define INVALID "One or more parameter values were invalid: "

static int wrong_vector(const struct table_index *i, enum vector_error error, size_t element,
	str value, struct arena *a, struct fault *fault)
{
	const struct table_vector *v = i->vector;
	str actual = STR("");

	switch (error) {
	case VECTOR_NOT_A_LIST:
		return validation_fault(fault, a,
			INVALID "Invalid type for parameter %.*s, Expected: L, Actual: %.*s. "
				"IndexName: %.*s",
			STR_ARG(v->attribute), STR_ARG(attr_type_name(attr_type(value))),
			STR_ARG(i->name));
	case VECTOR_SIZE:
		return validation_fault(fault, a,
			INVALID "Invalid size for parameter %.*s, Expected: %u, Actual: %zu. "
				"IndexName: %.*s",
			STR_ARG(v->attribute), v->dimensions, element, STR_ARG(i->name));
	case VECTOR_ELEMENT:
		check(attr_list_at(value, element, &actual) == 1);
		return validation_fault(fault, a,
			INVALID "Invalid type for parameter %.*s[%zu], Expected: N, Actual: %.*s. "
				"IndexName: %.*s",
			STR_ARG(v->attribute), element, STR_ARG(attr_type_name(attr_type(actual))),
			STR_ARG(i->name));
	case VECTOR_RANGE:
		return validation_fault(fault, a,
			INVALID "Invalid value for parameter %.*s[%zu], Expected: a 32-bit "
				"floating point number. IndexName: %.*s",
			STR_ARG(v->attribute), element, STR_ARG(i->name));
	case VECTOR_OK: break;
	}
	check_unreachable();
}

static int check_filter(const struct table_index *i, const struct key_attribute *filter, str item,
	struct arena *a, struct fault *fault)
{
	str value;

	if (!item_find(item, filter->name, &value) || attr_type(value) == filter->type)
		return 0;
	return validation_fault(fault, a,
		INVALID "Type mismatch for Index Key %.*s Expected: %.*s Actual: %.*s "
			"IndexName: %.*s",
		STR_ARG(filter->name), STR_ARG(attr_type_name(filter->type)),
		STR_ARG(attr_type_name(attr_type(value))), STR_ARG(i->name));
}

int vector_index_check(const struct table_index *i, str item, struct arena *a, struct fault *fault)
{
	const struct table_vector *v = i->vector;
	enum vector_error error;
	size_t element = 0;
	str value;

	for (size_t k = 0; k < v->schema_count; k++)
		if (!v->schema[k].hash)
			TRY(check_filter(i, &v->schema[k].attribute, item, a, fault));
	if (!item_find(item, v->attribute, &value))
		return 0;
	error = vector_read(
		value, v->dimensions, arena_new_array(a, float, v->dimensions), &element);
	return error == VECTOR_OK ? 0 : wrong_vector(i, error, element, value, a, fault);
}

bool vector_index_entry(const struct table_index *i, str projected, struct arena *a, str *ret_entry)
{
	const struct table_vector *v = i->vector;
	float *elements = arena_new_array(a, float, v->dimensions);
	struct fault ignored;
	size_t element;
	struct buf out;
	str value;

	for (size_t k = 0; k < v->schema_count; k++)
		if (!v->schema[k].hash &&
			check_filter(i, &v->schema[k].attribute, projected, a, &ignored) < 0)
			return false;
	if (!item_find(projected, v->attribute, &value) ||
		vector_read(value, v->dimensions, elements, &element) != VECTOR_OK)
		return false;
	buf_init(&out, a, ITEM_ENCODED_MAX);
	vector_put_entry(&out, projected, v->attribute, elements, v->dimensions);
	check(!out.over);
	*ret_entry = buf_str(&out);
	return true;
}
