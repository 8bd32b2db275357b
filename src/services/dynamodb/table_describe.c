/*
 * Tables: what DescribeTable and the answers of changes say. Pure.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
 */
#include "services/dynamodb/table.h"

#include "services/dynamodb/stream.h"

enum { DAY_MS = 24 * 3600 * 1000, NO_MAXIMUM = -1 };

/* The answer is rendered when the table may be gone: nothing in it points into the table. */
static void put_copy(struct value *v, const char *name, str text)
{
	value_put_str(v, name, arena_str(v->tree->arena, text));
}

/* ---- attributes and keys ---- */

static size_t add_attributes(
	const struct key_attribute *from, unsigned count, struct key_attribute *list, size_t n)
{
	for (unsigned i = 0; i < count; i++) {
		size_t at = 0;

		while (at < n && str_cmp(list[at].name, from[i].name) < 0)
			at++;
		if (at < n && str_eq(list[at].name, from[i].name))
			continue;
		memmove(&list[at + 1], &list[at], (n - at) * sizeof *list);
		list[at] = from[i];
		n++;
	}
	return n;
}

static size_t add_keys(const struct key_schema *keys, struct key_attribute *list, size_t n)
{
	n = add_attributes(keys->partition, keys->partitions, list, n);
	return add_attributes(keys->sort, keys->sorts, list, n);
}

struct table_attributes table_attributes(struct arena *a, const struct table *t)
{
	struct key_attribute *list = arena_new_array(a, struct key_attribute,
		(t->index_count + 1) * 2 * KEY_ATTRIBUTES_MAX +
			table_vector_count(t) * VECTOR_FILTERS_MAX);
	size_t n = add_keys(&t->keys, list, 0);

	for (size_t i = 0; i < t->index_count; i++) {
		const struct table_vector *vector = t->indexes[i].vector;

		n = add_keys(&t->indexes[i].keys, list, n);
		for (size_t k = 0; vector && k < vector->schema_count; k++)
			n = add_attributes(&vector->schema[k].attribute, 1, list, n);
	}
	return (struct table_attributes){list, n};
}

static void describe_attributes(const struct table *t, struct value *d)
{
	struct table_attributes attributes = table_attributes(d->tree->arena, t);
	struct value *definitions = value_put_list(d, "AttributeDefinitions");

	for (size_t i = 0; i < attributes.n; i++) {
		struct value *v = value_add_struct(definitions);

		put_copy(v, "AttributeName", attributes.list[i].name);
		put_copy(v, "AttributeType", attr_type_name(attributes.list[i].type));
	}
}

static void describe_elements(
	const struct key_attribute *list, unsigned count, const char *role, struct value *schema)
{
	for (unsigned i = 0; i < count; i++) {
		struct value *v = value_add_struct(schema);

		put_copy(v, "AttributeName", list[i].name);
		put_copy(v, "KeyType", str_c(role));
	}
}

static void describe_keys(const struct key_schema *keys, struct value *d)
{
	struct value *schema = value_put_list(d, "KeySchema");

	describe_elements(keys->partition, keys->partitions, "HASH", schema);
	describe_elements(keys->sort, keys->sorts, "RANGE", schema);
}

/* ---- throughput ---- */

static void describe_units(const struct table_throughput *u, int64_t now_ms, struct value *units)
{
	bool today = now_ms / DAY_MS == u->decreased_ms / DAY_MS;

	if (u->increased_ms)
		value_put_time_ms(units, "LastIncreaseDateTime", u->increased_ms);
	if (u->decreased_ms)
		value_put_time_ms(units, "LastDecreaseDateTime", u->decreased_ms);
	value_put_int(units, "NumberOfDecreasesToday", today ? u->decreases : 0);
	value_put_int(units, "ReadCapacityUnits", u->read_units);
	value_put_int(units, "WriteCapacityUnits", u->write_units);
}

/* Maxima on demand, once one was set; the other one is -1 then. */
static void describe_maxima(const struct table_throughput *u, bool on_demand, struct value *d)
{
	struct value *maxima;

	if (!on_demand || (!u->read_max && !u->write_max))
		return;
	maxima = value_put_struct(d, "OnDemandThroughput");
	value_put_int(maxima, "MaxReadRequestUnits", u->read_max ? u->read_max : NO_MAXIMUM);
	value_put_int(maxima, "MaxWriteRequestUnits", u->write_max ? u->write_max : NO_MAXIMUM);
}

/* Nothing has to be made warm here, so it is ACTIVE as soon as it is set. */
static void describe_warm(const struct table_throughput *u, bool on_demand, struct value *d)
{
	struct value *warm = value_put_struct(d, "WarmThroughput");

	value_put_int(warm, "ReadUnitsPerSecond", table_warm_read(u, on_demand));
	value_put_int(warm, "WriteUnitsPerSecond", table_warm_write(u, on_demand));
	put_copy(warm, "Status", STR("ACTIVE"));
}

static void describe_billing(const struct table *t, struct value *d)
{
	struct value *billing;

	if (!t->on_demand_since_ms)
		return;
	billing = value_put_struct(d, "BillingModeSummary");
	put_copy(
		billing, "BillingMode", t->on_demand ? STR("PAY_PER_REQUEST") : STR("PROVISIONED"));
	value_put_time_ms(billing, "LastUpdateToPayPerRequestDateTime", t->on_demand_since_ms);
}

/* ---- indexes ---- */

static void describe_projection(const struct table_index *i, struct value *projection)
{
	static const char *const kinds[] = {"ALL", "KEYS_ONLY", "INCLUDE"};
	struct value *names;

	put_copy(projection, "ProjectionType", str_c(kinds[i->projection]));
	if (i->projection != PROJECTION_INCLUDE)
		return;
	names = value_put_list(projection, "NonKeyAttributes");
	for (size_t k = 0; k < i->include_count; k++)
		value_add_str(names, arena_str(names->tree->arena, i->include[k]));
}

const char *table_index_status(const struct table_index *i)
{
	static const char *const statuses[] = {"ACTIVE", "CREATING", "UPDATING", "DELETING"};

	return statuses[i->status];
}

static void describe_status(const struct table_index *i, bool creating, struct value *d)
{
	put_copy(d, "IndexStatus", str_c(creating ? "CREATING" : table_index_status(i)));
	/* An index that was made with its table is never CREATING in the record. */
	if (i->status == INDEX_CREATING)
		value_put_bool(d, "Backfilling", i->backfilling);
}

static void describe_global(
	const struct table *t, const struct table_index *i, int64_t now_ms, struct value *d)
{
	describe_units(&i->units, now_ms, value_put_struct(d, "ProvisionedThroughput"));
	describe_maxima(&i->units, t->on_demand, d);
	describe_warm(&i->units, t->on_demand, d);
}

static void describe_vector(const struct table_vector *vector, struct value *d)
{
	static const char *const distances[] = {"COSINE", "DOT_PRODUCT", "EUCLIDEAN"};

	put_copy(value_put_struct(d, "VectorAttribute"), "AttributeName", vector->attribute);
	value_put_int(d, "Dimensions", vector->dimensions);
	put_copy(d, "DistanceFunction", str_c(distances[vector->distance]));
	for (size_t i = 0; i < vector->schema_count; i++) {
		struct value *v = value_add_struct(value_put_list(d, "SearchSchema"));

		put_copy(v, "AttributeName", vector->schema[i].attribute.name);
		put_copy(v, "SearchSchemaElementType",
			vector->schema[i].hash ? STR("HASH") : STR("INLINE_FILTER"));
	}
}

static const char *member_of(const struct table_index *i)
{
	if (i->vector)
		return "VectorIndexes";
	return i->local ? "LocalSecondaryIndexes" : "GlobalSecondaryIndexes";
}

static void describe_indexes(const struct table *t, bool creating,
	const struct table_figures *figures, int64_t now_ms, struct value *d)
{
	for (size_t i = 0; i < t->index_count; i++) {
		const struct table_index *index = &t->indexes[i];
		struct value *v = value_add_struct(value_put_list(d, member_of(index)));

		put_copy(v, "IndexName", index->name);
		if (index->vector)
			describe_vector(index->vector, v);
		else
			describe_keys(&index->keys, v);
		describe_projection(index, value_put_struct(v, "Projection"));
		if (!index->local)
			describe_status(index, creating, v);
		if (table_index_is_global(index))
			describe_global(t, index, now_ms, v);
		value_put_int(v, "IndexSizeBytes", figures->index[i].bytes);
		value_put_int(v, "ItemCount", figures->index[i].items);
		put_copy(v, "IndexArn", index->arn);
	}
}

/* ---- the table ---- */

static void describe_stream(const struct table *t, struct value *d)
{
	if (t->stream.id) {
		struct value *stream = value_put_struct(d, "StreamSpecification");

		value_put_bool(stream, "StreamEnabled", true);
		put_copy(stream, "StreamViewType", stream_view_name(t->stream.view));
	}
	if (!t->last_stream_label.p)
		return;
	put_copy(d, "LatestStreamLabel", t->last_stream_label);
	value_put_str(d, "LatestStreamArn", stream_arn(d->tree->arena, t, t->last_stream_label));
}

static void describe_class(const struct table *t, struct value *d)
{
	struct value *class;

	if (!t->table_class.p)
		return;
	class = value_put_struct(d, "TableClassSummary");
	put_copy(class, "TableClass", t->table_class);
	if (t->class_since_ms)
		value_put_time_ms(class, "LastUpdateDateTime", t->class_since_ms);
}

/* An index that is only filled or removed leaves its table free for other changes. */
const char *table_status(const struct table *t)
{
	for (size_t i = 0; i < t->index_count; i++)
		if (t->indexes[i].status == INDEX_CREATING && !t->indexes[i].backfilling)
			return "UPDATING";
	return "ACTIVE";
}

void table_describe(const struct table *t, const char *status, const struct table_figures *figures,
	int64_t now_ms, struct value *d)
{
	/* DeleteTable's answer does not tell what the table was like. */
	if (!str_eq(str_c(status), STR("DELETING"))) {
		bool creating = str_eq(str_c(status), STR("CREATING"));

		describe_attributes(t, d);
		describe_keys(&t->keys, d);
		describe_indexes(t, creating, figures, now_ms, d);
		value_put_time_ms(d, "CreationDateTime", t->created_ms);
		describe_maxima(&t->units, t->on_demand, d);
		describe_warm(&t->units, t->on_demand, d);
	}
	put_copy(d, "TableName", t->name);
	put_copy(d, "TableStatus", str_c(status));
	describe_units(&t->units, now_ms, value_put_struct(d, "ProvisionedThroughput"));
	value_put_int(d, "TableSizeBytes", figures->bytes);
	value_put_int(d, "ItemCount", figures->items);
	put_copy(d, "TableArn", t->arn);
	put_copy(d, "TableId", t->uuid);
	value_put_bool(d, "DeletionProtectionEnabled", t->deletion_protection);
	describe_stream(t, d);
	describe_billing(t, d);
	describe_class(t, d);
}
