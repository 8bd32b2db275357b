/*
 * Vector indexes of inputs.
 */
#include "services/dynamodb/vector_definition.h"

#include "services/dynamodb/service.h"

enum { ATTRIBUTE_NAME_MAX = 255 };

static const struct key_attribute *defined(const struct table_attributes *attributes, str name)
{
	for (size_t i = 0; i < attributes->n; i++)
		if (str_eq(attributes->list[i].name, name))
			return &attributes->list[i];
	return NULL;
}

static int read_element(struct call *c, const struct table_attributes *attributes,
	const struct value *given, struct table_search_element *to)
{
	const struct key_attribute *attribute =
		defined(attributes, value_str(given, "AttributeName"));

	if (!attribute)
		return DYNAMODB_INVALID(
			c, "One element in SearchSchema is not defined in attribute definitions");
	to->attribute = *attribute;
	to->hash = str_eq(value_str(given, "SearchSchemaElementType"), STR("HASH"));
	return 0;
}

static int read_schema(struct call *c, const struct table_attributes *attributes,
	const struct value *schema, struct table_index *index, struct table_vector *vector)
{
	uint32_t n = value_count(schema);
	struct table_search_element *elements =
		arena_new_array(c->arena, struct table_search_element, n);
	unsigned filters = 0;

	for (uint32_t i = 0; i < n; i++) {
		TRY(read_element(c, attributes, value_at(schema, i), &elements[i]));
		for (uint32_t k = 0; k < i; k++)
			if (str_eq(elements[k].attribute.name, elements[i].attribute.name))
				return DYNAMODB_INVALID(c,
					"Attribute %.*s appears more than once in SearchSchema of "
					"index: %.*s",
					STR_ARG(elements[i].attribute.name), STR_ARG(index->name));
		filters += !elements[i].hash;
		if (!elements[i].hash)
			continue;
		if (index->keys.partitions)
			return DYNAMODB_INVALID(c,
				"SearchSchema of index %.*s has more than one HASH element",
				STR_ARG(index->name));
		index->keys.partition[index->keys.partitions++] = elements[i].attribute;
	}
	if (filters > VECTOR_FILTERS_MAX)
		return DYNAMODB_INVALID(c,
			"Number of INLINE_FILTER elements in SearchSchema exceeds the limit of %d "
			"for index: %.*s",
			VECTOR_FILTERS_MAX, STR_ARG(index->name));
	vector->schema = elements;
	vector->schema_count = n;
	return 0;
}

static int redefined(struct call *c, const struct table *t, const struct key_attribute *key,
	const struct table_vector *vector)
{
	const char *role = str_eq(key->name, t->sort.name) ? "RANGE" : "HASH";

	return DYNAMODB_INVALID(c,
		"Attributes cannot be redefined. Please check that your attribute has the same "
		"type as previously defined. Existing schema: Schema:[SchemaElement: "
		"key{%.*s:%.*s:%s}] New schema: VectorIndexSchema:[VectorAttribute: "
		"key{%.*s:L:%u}]",
		STR_ARG(key->name), STR_ARG(attr_type_name(key->type)), role,
		STR_ARG(vector->attribute), vector->dimensions);
}

/* A vector is a list, and so no key of anything. */
static int check_attribute(struct call *c, const struct table_attributes *attributes,
	const struct table *t, const struct table_vector *vector)
{
	const struct value *given = value_get(c->in, "AttributeDefinitions");
	const struct key_attribute *known;

	for (uint32_t i = 0; i < value_count(given); i++)
		if (str_eq(value_str(value_at(given, i), "AttributeName"), vector->attribute))
			return DYNAMODB_INVALID(c,
				"Conflicting attribute definition for '%.*s'. An attribute cannot "
				"be defined in AttributeDefinitions when used as a "
				"VectorAttribute.",
				STR_ARG(vector->attribute));
	known = defined(attributes, vector->attribute);
	return known ? redefined(c, t, known, vector) : 0;
}

int vector_definition_read(struct call *c, const struct table_attributes *attributes,
	const struct table *t, const struct value *given, struct table_index *index)
{
	struct table_vector *vector = arena_new(c->arena, struct table_vector);
	int64_t dimensions = value_int(given, "Dimensions", 0);
	str distance = value_str(given, "DistanceFunction");

	if (dimensions > VECTOR_DIMENSIONS_MAX)
		return DYNAMODB_INVALID(c,
			"Dimensions must be between 1 and %d inclusive for index: %.*s",
			VECTOR_DIMENSIONS_MAX, STR_ARG(index->name));
	vector->attribute = value_str(value_get(given, "VectorAttribute"), "AttributeName");
	/* "Naming rules": of a projected attribute; HowItWorks.NamingRulesDataTypes.html */
	if (vector->attribute.n < 1 || vector->attribute.n > ATTRIBUTE_NAME_MAX)
		return DYNAMODB_INVALID(c,
			"The name of the VectorAttribute must have 1 to %d bytes for index: %.*s",
			ATTRIBUTE_NAME_MAX, STR_ARG(index->name));
	vector->dimensions = (uint32_t)dimensions;
	/* The model knows no other than these three. */
	vector->distance = str_eq(distance, STR("COSINE"))      ? VECTOR_COSINE
			   : str_eq(distance, STR("EUCLIDEAN")) ? VECTOR_EUCLIDEAN
								: VECTOR_DOT_PRODUCT;
	TRY(check_attribute(c, attributes, t, vector));
	TRY(read_schema(c, attributes, value_get(given, "SearchSchema"), index, vector));
	index->vector = vector;
	return 0;
}

int vector_definition_check(struct call *c, const struct table_index *indexes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++) {
			const struct table_vector *a = indexes[i].vector, *b = indexes[k].vector;

			if (a && b && str_eq(a->attribute, b->attribute) &&
				a->dimensions != b->dimensions)
				return DYNAMODB_INVALID(c,
					"Vector indexes %.*s and %.*s have the same "
					"VectorAttribute but different Dimensions",
					STR_ARG(indexes[k].name), STR_ARG(indexes[i].name));
		}
	return 0;
}

size_t vector_definition_projected(const struct table_index *i)
{
	return i->vector ? 1 + i->vector->schema_count - i->keys.partitions : 0;
}

int vector_definition_check_mode(struct call *c, const struct table *t)
{
	if (t->on_demand || !table_vector_count(t))
		return 0;
	return DYNAMODB_INVALID(c, "Vector indexes are only supported for PAY_PER_REQUEST tables");
}
