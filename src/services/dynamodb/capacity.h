/*
 * Capacity units, as DynamoDB counts and reports them. Pure.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
 */
#ifndef DYNAMODB_CAPACITY_H
#define DYNAMODB_CAPACITY_H

#include "services/dynamodb/request.h"
#include "services/dynamodb/table.h"

/* A write of an item of this size (the larger of old and new): one unit for each started KB. */
double capacity_write(size_t item_bytes);
/* A read of this many bytes: one unit for each started 4 KB, half of it when not consistent. */
double capacity_read(size_t bytes, bool consistent);

/*
 * Writes the object of a table: its units and, where it was read or written through indexes, theirs
 * (as in t->indexes, of vector indexes bytes; NULL: none). `capacity` is not CAPACITY_NONE, `name`
 * is as it was given.
 */
void capacity_put_object(struct json_writer *w, enum return_capacity capacity, str name,
	const struct table *t, double table_units, const double *index_units);
/* Writes the ConsumedCapacity member, an object as above, when the request asks for it. */
void capacity_put(struct json_writer *w, const struct item_request *q, const struct table *t,
	double table_units, const double *index_units);
/*
 * The same of a transaction, which says besides whether the units are of reads or of writes.
 */
void capacity_put_transaction(struct json_writer *w, enum return_capacity capacity, str name,
	const struct table *t, double table_units, const double *index_units, bool reads);

/*
 * Writes one object of ItemCollectionMetrics: of the collection that an item with these attributes
 * is in, and that has so many bytes.
 */
void capacity_put_collection(
	struct json_writer *w, const struct table *t, str attributes, int64_t bytes);

#endif
