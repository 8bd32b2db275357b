/*
 * Capacity units: arithmetic and rendering.
 */
#include "services/dynamodb/capacity.h"

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

void capacity_put(struct json_writer *w, const struct item_request *q, double units)
{
	if (q->capacity == CAPACITY_NONE)
		return;
	json_put_key(w, STR("ConsumedCapacity"));
	capacity_put_object(w, q->capacity, q->table, units);
}

void capacity_put_object(
	struct json_writer *w, enum return_capacity capacity, str table, double units)
{
	json_put_object_begin(w);
	json_put_key_string(w, STR("TableName"), table);
	json_put_key(w, STR("CapacityUnits"));
	json_put_double(w, units);
	if (capacity == CAPACITY_INDEXES) {
		json_put_key(w, STR("Table"));
		json_put_object_begin(w);
		json_put_key(w, STR("CapacityUnits"));
		json_put_double(w, units);
		json_put_object_end(w);
	}
	json_put_object_end(w);
}
