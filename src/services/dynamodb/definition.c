/*
 * Attribute definitions, key schemas and projections of inputs.
 */
#include "services/dynamodb/definition.h"

#include "services/dynamodb/service.h"
#include "services/dynamodb/throughput.h"
#include "services/dynamodb/vector_definition.h"

enum { NAMES_BYTES_MAX = 256 * 1024 }; /* of TABLE_ATTRIBUTES_MAX names */

/* ---- attributes ---- */

/* "[a, b]" */
static str names_of(struct arena *a, const struct key_attribute *list, size_t n)
{
	struct buf b;

	buf_init(&b, a, NAMES_BYTES_MAX);
	buf_put_char(&b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_put(&b, STR(", "));
		buf_put(&b, list[i].name);
	}
	buf_put_char(&b, ']');
	return buf_str(&b);
}

static str names_of_schema(struct arena *a, const struct value *schema)
{
	struct key_attribute list[2 * KEY_ATTRIBUTES_MAX];

	for (uint32_t i = 0; i < value_count(schema); i++)
		list[i].name = value_str(value_at(schema, i), "AttributeName");
	return names_of(a, list, value_count(schema));
}

/* Place of the name among the first `n`; `n` when it is none of them. */
static size_t place_of(const struct key_attribute *list, size_t n, str name)
{
	size_t i = 0;

	while (i < n && !str_eq(list[i].name, name))
		i++;
	return i;
}

int definition_attributes(
	struct call *c, const struct table *t, struct table_attributes *ret_attributes)
{
	const struct value *given = value_get(c->in, "AttributeDefinitions");
	struct table_attributes known =
		t ? table_attributes(c->arena, t) : (struct table_attributes){NULL, 0};
	struct key_attribute *list =
		arena_new_array(c->arena, struct key_attribute, known.n + value_count(given));
	size_t n = known.n;

	if (value_count(given) > TABLE_ATTRIBUTES_MAX)
		return DYNAMODB_INVALID(c,
			"Number of AttributeDefinitions exceeds the limit of %d: more cannot be "
			"used",
			TABLE_ATTRIBUTES_MAX);
	if (n)
		memcpy(list, known.list, n * sizeof *list);
	for (uint32_t i = 0; i < value_count(given); i++) {
		const struct value *v = value_at(given, i);
		struct key_attribute one = {.name = value_str(v, "AttributeName")};
		size_t at;

		for (uint32_t k = 0; k < i; k++)
			if (str_eq(value_str(value_at(given, k), "AttributeName"), one.name))
				return DYNAMODB_INVALID(
					c, "Duplicate AttributeName in AttributeDefinitions");
		if (attr_type_from_name(value_str(v, "AttributeType"), &one.type) != 1)
			return DYNAMODB_INVALID(c, "Unknown AttributeType");
		at = place_of(list, n, one.name);
		if (at < n && list[at].type != one.type)
			return DYNAMODB_INVALID(c,
				"The type of attribute %.*s cannot be changed from %.*s to %.*s: "
				"it is a key of the table or of an index",
				STR_ARG(one.name), STR_ARG(attr_type_name(list[at].type)),
				STR_ARG(attr_type_name(one.type)));
		list[at] = one;
		n += at == n;
	}
	*ret_attributes = (struct table_attributes){list, n};
	return 0;
}

/* ---- key schemas ---- */

/* The elements as the constraints' messages print them. */
static str text_of_schema(struct arena *a, const struct value *schema)
{
	struct buf b;

	buf_init(&b, a, NAMES_BYTES_MAX);
	for (uint32_t i = 0; i < value_count(schema); i++)
		buf_printf(&b, "%sKeySchemaElement(attributeName=%.*s, keyType=%.*s)",
			i ? ", " : "", STR_ARG(value_str(value_at(schema, i), "AttributeName")),
			STR_ARG(value_str(value_at(schema, i), "KeyType")));
	return buf_str(&b);
}

/* Of a table or a local index: a HASH and perhaps a RANGE element. `path`: of the schema. */
static int check_roles(struct call *c, const struct value *schema, str path)
{
	static const char *const role[] = {"HASH", "RANGE"};

	if (value_count(schema) > ARRAY_SIZE(role))
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"1 validation error detected: Value '[%.*s]' at '%.*s' failed to satisfy "
			"constraint: Member must have length less than or equal to 2",
			STR_ARG(text_of_schema(c->arena, schema)), STR_ARG(path));
	for (uint32_t i = 0; i < value_count(schema); i++)
		if (!str_eq(value_str(value_at(schema, i), "KeyType"), str_c(role[i])))
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"Invalid KeySchema: The %s KeySchemaElement is not a %s key type",
				i == 0 ? "first" : "second", role[i]);
	return 0;
}

/*
 * Of a global index: up to four HASH elements and then up to four RANGE ones.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.DesignPattern.MultiAttributeKeys.html
 */
static int check_many_roles(struct call *c, const struct value *schema)
{
	unsigned partitions = 0, sorts = 0;

	for (uint32_t i = 0; i < value_count(schema); i++) {
		bool hash = str_eq(value_str(value_at(schema, i), "KeyType"), STR("HASH"));

		if (i == 0 && !hash)
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"Invalid KeySchema: The first KeySchemaElement is not a HASH key "
				"type");
		if (hash && sorts)
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"Invalid KeySchema: All HASH KeySchemaElements must come before "
				"the RANGE ones");
		*(hash ? &partitions : &sorts) += 1;
	}
	if (partitions > KEY_ATTRIBUTES_MAX || sorts > KEY_ATTRIBUTES_MAX)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Invalid KeySchema: The number of %s KeySchemaElements exceeds the limit "
			"of %d",
			partitions > KEY_ATTRIBUTES_MAX ? "HASH" : "RANGE", KEY_ATTRIBUTES_MAX);
	return 0;
}

static int check_repeats(struct call *c, const struct value *schema)
{
	for (uint32_t i = 0; i < value_count(schema); i++)
		for (uint32_t k = 0; k < i; k++) {
			str name = value_str(value_at(schema, i), "AttributeName");

			if (!str_eq(value_str(value_at(schema, k), "AttributeName"), name))
				continue;
			if (value_count(schema) == 2)
				return call_fault(c, DYNAMODB_FAULT(VALIDATION),
					"Both the Hash Key and the Range Key element in the "
					"KeySchema have the same name");
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"Invalid KeySchema: Attribute %.*s appears more than once",
				STR_ARG(name));
		}
	return 0;
}

static int undefined(
	struct call *c, const struct value *schema, const struct key_attribute *list, size_t n)
{
	return DYNAMODB_INVALID(c,
		"Some index key attributes are not defined in AttributeDefinitions. Keys: %.*s, "
		"AttributeDefinitions: %.*s",
		STR_ARG(names_of_schema(c->arena, schema)), STR_ARG(names_of(c->arena, list, n)));
}

/* The roles have been checked. */
static int read_schema(struct call *c, const struct table_attributes *attributes,
	const struct value *schema, struct key_schema *to)
{
	*to = (struct key_schema){.partitions = 0};
	TRY(check_repeats(c, schema));
	for (uint32_t i = 0; i < value_count(schema); i++) {
		const struct value *element = value_at(schema, i);
		size_t at = place_of(
			attributes->list, attributes->n, value_str(element, "AttributeName"));

		if (at == attributes->n)
			return undefined(c, schema, attributes->list, attributes->n);
		if (str_eq(value_str(element, "KeyType"), STR("HASH")))
			to->partition[to->partitions++] = attributes->list[at];
		else
			to->sort[to->sorts++] = attributes->list[at];
	}
	return 0;
}

static struct table_attribute own_key(const struct key_attribute *list, unsigned n)
{
	if (!n)
		return (struct table_attribute){STR_NULL, 0};
	return (struct table_attribute){list->name, attr_type_name(list->type).p[0]};
}

/* Fewer definitions than keys are said before it is known which one is missing. */
static int check_enough(struct call *c, const struct value *schema)
{
	if (value_count(schema) <= value_count(value_get(c->in, "AttributeDefinitions")))
		return 0;
	return call_fault(c, DYNAMODB_FAULT(VALIDATION),
		"Invalid KeySchema: Some index key attribute have no definition");
}

int definition_table_keys(
	struct call *c, const struct table_attributes *attributes, struct table *t)
{
	const struct value *schema = value_get(c->in, "KeySchema");

	if (!schema)
		return DYNAMODB_INVALID(c, "KeySchema must be specified");
	if (!value_has(c->in, "AttributeDefinitions"))
		return DYNAMODB_INVALID(c, "AttributeDefinitions must be specified");
	if (value_count(schema) <= 2)
		TRY(check_enough(c, schema));
	TRY(check_roles(c, schema, STR("keySchema")));
	TRY(read_schema(c, attributes, schema, &t->keys));
	t->partition = own_key(t->keys.partition, t->keys.partitions);
	t->sort = own_key(t->keys.sort, t->keys.sorts);
	return 0;
}

/* ---- indexes ---- */

static int read_projection(
	struct call *c, const struct value *projection, struct table_index *index)
{
	static const str kinds[] = {STR_INIT("ALL"), STR_INIT("KEYS_ONLY"), STR_INIT("INCLUDE")};
	const struct value *names = value_get(projection, "NonKeyAttributes");
	str kind = value_str(projection, "ProjectionType");
	str *include;
	size_t i = 0;

	if (!kind.p)
		return DYNAMODB_INVALID(c, "Unknown ProjectionType: null");
	while (!str_eq(kinds[i], kind)) /* the model knows no other */
		i++;
	index->projection = (enum table_projection)i;
	if (index->projection != PROJECTION_INCLUDE && names)
		return DYNAMODB_INVALID(c,
			"ProjectionType is %.*s, but NonKeyAttributes is specified", STR_ARG(kind));
	if (index->projection == PROJECTION_INCLUDE && !names)
		return DYNAMODB_INVALID(
			c, "ProjectionType is INCLUDE, but NonKeyAttributes is not specified");
	include = arena_new_array(c->arena, str, value_count(names));
	for (uint32_t k = 0; k < value_count(names); k++) {
		include[k] = value_at(names, k)->s;
		for (uint32_t other = 0; other < k; other++)
			if (str_eq(include[other], include[k]))
				return DYNAMODB_INVALID(c,
					"Attribute %.*s appears more than once in "
					"NonKeyAttributes of index: %.*s",
					STR_ARG(include[k]), STR_ARG(index->name));
	}
	index->include = include;
	index->include_count = value_count(names);
	return 0;
}

static int check_local_keys(struct call *c, const struct table *t, const struct table_index *index)
{
	if (!t->keys.sorts)
		return DYNAMODB_INVALID(c,
			"Table KeySchema does not have a range key, which is required when "
			"specifying a LocalSecondaryIndex");
	if (!index->keys.sorts)
		return DYNAMODB_INVALID(c,
			"Index KeySchema does not have a range key for index: %.*s",
			STR_ARG(index->name));
	if (!str_eq(index->keys.partition[0].name, t->partition.name))
		return DYNAMODB_INVALID(c,
			"Index KeySchema does not have the same leading hash key as table "
			"KeySchema for index: %.*s. index hash key: %.*s, table hash key: %.*s",
			STR_ARG(index->name), STR_ARG(index->keys.partition[0].name),
			STR_ARG(t->partition.name));
	return 0;
}

/* Of the key schema of the local index that is being read. */
static str local_path(struct call *c, const struct table *t)
{
	return arena_printf(c->arena, "localSecondaryIndexes.%zu.member.keySchema", t->index_count);
}

static int read_index(struct call *c, const struct table_attributes *attributes,
	const struct table *t, const struct value *given, bool local, struct table_index *index)
{
	const struct value *schema = value_get(given, "KeySchema");

	*index = (struct table_index){.name = value_str(given, "IndexName"), .local = local};
	TRY(local ? check_roles(c, schema, local_path(c, t)) : check_many_roles(c, schema));
	TRY(read_schema(c, attributes, schema, &index->keys));
	if (local)
		TRY(check_local_keys(c, t, index));
	TRY(read_projection(c, value_get(given, "Projection"), index));
	if (!local)
		TRY(throughput_of_new_index(c, given, t, index));
	return 0;
}

static int read_vector_index(struct call *c, const struct table_attributes *attributes,
	const struct table *t, const struct value *given, struct table_index *index)
{
	*index = (struct table_index){.name = value_str(given, "IndexName")};
	TRY(vector_definition_read(c, attributes, t, given, index));
	return read_projection(c, value_get(given, "Projection"), index);
}

/* Rules about all indexes of a table together. */
static int check_together(struct call *c, const struct table_index *indexes, size_t n)
{
	size_t projected = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			if (str_eq(indexes[i].name, indexes[k].name))
				return DYNAMODB_INVALID(
					c, "Duplicate index name: %.*s", STR_ARG(indexes[i].name));
		projected += indexes[i].include_count + vector_definition_projected(&indexes[i]);
	}
	if (projected > TABLE_PROJECTED_MAX)
		return DYNAMODB_INVALID(c,
			"Number of attributes in the projections of all indexes exceeds the limit "
			"of %d",
			TABLE_PROJECTED_MAX);
	return vector_definition_check(c, indexes, n);
}

static int too_many(struct call *c, bool local)
{
	if (local)
		return DYNAMODB_INVALID(c,
			"Number of LocalSecondaryIndexes exceeds per-table limit of %d",
			TABLE_LOCAL_INDEXES_MAX);
	return DYNAMODB_INVALID(c, "GlobalSecondaryIndex count exceeds the per-table limit of %d",
		TABLE_GLOBAL_INDEXES_MAX);
}

static int read_list(struct call *c, const struct table_attributes *attributes, struct table *t,
	bool local, struct table_index *to)
{
	const char *member = local ? "LocalSecondaryIndexes" : "GlobalSecondaryIndexes";
	const struct value *list = value_get(c->in, member);

	if (list && !value_count(list))
		return DYNAMODB_INVALID(c, "List of %s is empty", member);
	if (value_count(list) > (local ? TABLE_LOCAL_INDEXES_MAX : TABLE_GLOBAL_INDEXES_MAX))
		return too_many(c, local);
	for (uint32_t i = 0; i < value_count(list); i++)
		TRY(read_index(c, attributes, t, value_at(list, i), local, &to[t->index_count++]));
	return 0;
}

static int read_vector_list(struct call *c, const struct table_attributes *attributes,
	struct table *t, struct table_index *to)
{
	const struct value *list = value_get(c->in, "VectorIndexes");

	if (list && !value_count(list))
		return DYNAMODB_INVALID(c, "List of VectorIndexes is empty");
	if (value_count(list) > TABLE_VECTOR_INDEXES_MAX)
		return DYNAMODB_INVALID(c, "VectorIndex count exceeds the per-table limit of %d",
			TABLE_VECTOR_INDEXES_MAX);
	for (uint32_t i = 0; i < value_count(list); i++)
		TRY(read_vector_index(c, attributes, t, value_at(list, i), &to[t->index_count++]));
	return 0;
}

int definition_indexes(struct call *c, const struct table_attributes *attributes, struct table *t)
{
	struct table_index *indexes =
		arena_new_array(c->arena, struct table_index, TABLE_INDEXES_MAX);

	TRY(read_list(c, attributes, t, true, indexes));
	t->local_count = t->index_count;
	TRY(read_list(c, attributes, t, false, indexes));
	TRY(read_vector_list(c, attributes, t, indexes));
	t->indexes = indexes;
	TRY(vector_definition_check_mode(c, t));
	return check_together(c, indexes, t->index_count);
}

/*
 * "AttributeDefinitions must include the key element(s) of the new index" (API_UpdateTable.html):
 * that the table knows one already does not do.
 */
static int check_given(struct call *c, const struct value *schema)
{
	const struct value *given = value_get(c->in, "AttributeDefinitions");
	struct key_attribute *list =
		arena_new_array(c->arena, struct key_attribute, value_count(given));

	for (uint32_t i = 0; i < value_count(given); i++)
		list[i].name = value_str(value_at(given, i), "AttributeName");
	TRY(check_enough(c, schema));
	for (uint32_t i = 0; i < value_count(schema); i++)
		if (place_of(list, value_count(given),
			    value_str(value_at(schema, i), "AttributeName")) == value_count(given))
			return undefined(c, schema, list, value_count(given));
	return 0;
}

int definition_new_index(struct call *c, const struct table_attributes *attributes,
	const struct table *t, const struct value *action, bool of_vectors,
	struct table_index *ret_index)
{
	struct table_index *all = arena_new_array(c->arena, struct table_index, t->index_count + 1);
	size_t vectors = table_vector_count(t);

	if (of_vectors) {
		TRY(read_vector_index(c, attributes, t, action, ret_index));
	} else {
		TRY(check_given(c, value_get(action, "KeySchema")));
		TRY(read_index(c, attributes, t, action, false, ret_index));
	}
	if (of_vectors && vectors >= TABLE_VECTOR_INDEXES_MAX)
		return call_fault(c, DYNAMODB_FAULT(LIMIT_EXCEEDED),
			"Subscriber limit exceeded: Number of vector secondary indexes exceeds "
			"per-table limit of %d",
			TABLE_VECTOR_INDEXES_MAX);
	if (!of_vectors && t->index_count - t->local_count - vectors >= TABLE_GLOBAL_INDEXES_MAX)
		return too_many(c, false);
	if (t->index_count)
		memcpy(all, t->indexes, t->index_count * sizeof *all);
	all[t->index_count] = *ret_index;
	return check_together(c, all, t->index_count + 1);
}

int definition_used(
	struct call *c, const struct table_attributes *attributes, const struct table *t)
{
	struct table_attributes used = table_attributes(c->arena, t);

	if (used.n == attributes->n) /* all that are used are defined, so they are the same */
		return 0;
	if (!t->index_count)
		return DYNAMODB_INVALID(c,
			"Number of attributes in KeySchema does not exactly match number of "
			"attributes defined in AttributeDefinitions");
	return DYNAMODB_INVALID(c,
		"Some AttributeDefinitions are not used. AttributeDefinitions: %.*s, keys used: "
		"%.*s",
		STR_ARG(names_of(c->arena, attributes->list, attributes->n)),
		STR_ARG(names_of(c->arena, used.list, used.n)));
}
