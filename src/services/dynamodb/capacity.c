/*
 * Capacity units: arithmetic and rendering.
 */
#include "services/dynamodb/capacity.h"

#include "base/check.h"

enum { WRITE_UNIT_BYTES = 1024, READ_UNIT_BYTES = 4096 };

double capacity_write(size_t item_bytes)
{
	size_t units = (item_bytes + WRITE_UNIT_BYTES - 1) / WRITE_UNIT_BYTES;

	return (double)MAX(units, (size_t)1);
}

double capacity_read(size_t bytes, bool consistent)
{
	size_t units = (bytes + READ_UNIT_BYTES - 1) / READ_UNIT_BYTES;

	return (double)MAX(units, (size_t)1) * (consistent ? 1.0 : 0.5);
}

/* What a sum of units is called besides CapacityUnits; STR_NULL: nothing. */
static void put_sum(struct json_writer *w, double units, str kind)
{
	json_put_key(w, STR("CapacityUnits"));
	json_put_double(w, units);
	if (!kind.p)
		return;
	json_put_key(w, kind);
	json_put_double(w, units);
}

static void put_units(struct json_writer *w, str name, double units, str kind)
{
	json_put_key(w, name);
	json_put_object_begin(w);
	put_sum(w, units, kind);
	json_put_object_end(w);
}

static void put_vector_units(struct json_writer *w, str name, double bytes)
{
	json_put_key(w, name);
	json_put_object_begin(w);
	json_put_key(w, STR("VectorWriteRequestBytes"));
	json_put_double(w, bytes);
	json_put_object_end(w);
}

static bool is_local(const struct table_index *i)
{
	return i->local;
}

static bool is_of_vectors(const struct table_index *i)
{
	return i->vector != NULL;
}

/* The indexes of one kind that have units; nothing when there is none. */
static void put_indexes(struct json_writer *w, str member, const struct table *t,
	bool (*is_kind)(const struct table_index *i), const double *units, str kind)
{
	bool any = false;

	for (size_t i = 0; i < t->index_count; i++) {
		const struct table_index *index = &t->indexes[i];

		if (units[i] == 0 || !is_kind(index))
			continue;
		if (!any) {
			json_put_key(w, member);
			json_put_object_begin(w);
		}
		any = true;
		if (index->vector)
			put_vector_units(w, index->name, units[i]);
		else
			put_units(w, index->name, units[i], kind);
	}
	if (any)
		json_put_object_end(w);
}

static void put_object(struct json_writer *w, enum return_capacity capacity, str name,
	const struct table *t, double table_units, const double *index_units, str kind)
{
	double sum = table_units;

	for (size_t i = 0; index_units && i < t->index_count; i++)
		sum += t->indexes[i].vector ? 0 : index_units[i];
	json_put_object_begin(w);
	json_put_key_string(w, STR("TableName"), name);
	put_sum(w, sum, kind);
	if (capacity == CAPACITY_INDEXES) {
		put_units(w, STR("Table"), table_units, kind);
		if (index_units) {
			put_indexes(
				w, STR("LocalSecondaryIndexes"), t, is_local, index_units, kind);
			put_indexes(w, STR("GlobalSecondaryIndexes"), t, table_index_is_global,
				index_units, kind);
			put_indexes(w, STR("VectorIndexes"), t, is_of_vectors, index_units, kind);
		}
	}
	json_put_object_end(w);
}

void capacity_put_object(struct json_writer *w, enum return_capacity capacity, str name,
	const struct table *t, double table_units, const double *index_units)
{
	put_object(w, capacity, name, t, table_units, index_units, STR_NULL);
}

void capacity_put_transaction(struct json_writer *w, enum return_capacity capacity, str name,
	const struct table *t, double table_units, const double *index_units, bool reads)
{
	put_object(w, capacity, name, t, table_units, index_units,
		reads ? STR("ReadCapacityUnits") : STR("WriteCapacityUnits"));
}

void capacity_put(struct json_writer *w, const struct item_request *q, const struct table *t,
	double table_units, const double *index_units)
{
	if (q->capacity == CAPACITY_NONE)
		return;
	json_put_key(w, STR("ConsumedCapacity"));
	capacity_put_object(w, q->capacity, q->table, t, table_units, index_units);
}

void capacity_put_collection(
	struct json_writer *w, const struct table *t, str attributes, int64_t bytes)
{
	int64_t lower = bytes >> 30;
	str value;

	check(item_find(attributes, t->partition.name, &value));
	json_put_object_begin(w);
	json_put_key(w, STR("ItemCollectionKey"));
	json_put_object_begin(w);
	json_put_key(w, t->partition.name);
	attr_write_json(w, value);
	json_put_object_end(w);
	json_put_key(w, STR("SizeEstimateRangeGB"));
	json_put_array_begin(w);
	json_put_i64(w, lower);
	json_put_i64(w, lower + 1);
	json_put_array_end(w);
	json_put_object_end(w);
}
