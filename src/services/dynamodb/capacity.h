/*
 * Capacity units, as DynamoDB counts and reports them. Pure.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
 */
#ifndef DYNAMODB_CAPACITY_H
#define DYNAMODB_CAPACITY_H

#include "services/dynamodb/request.h"

/* A write of an item of this size (the larger of old and new): one unit for each started KB. */
double capacity_write(size_t item_bytes);
/* A read of this many bytes: one unit for each started 4 KB, half of it when not consistent. */
double capacity_read(size_t bytes, bool consistent);

/* Writes the ConsumedCapacity member when the request asks for it. */
void capacity_put(struct json_writer *w, const struct item_request *q, double units);
/* Writes one such object; `capacity` is not CAPACITY_NONE, `table` is as it was given. */
void capacity_put_object(
	struct json_writer *w, enum return_capacity capacity, str table, double units);

#endif
