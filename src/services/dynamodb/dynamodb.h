/*
 * DynamoDB: the service as the server starts it.
 *
 * Handlers are in tables.c (CreateTable ...), settings.c (UpdateTable ...), items.c (PutItem,
 * GetItem, UpdateItem, DeleteItem), query.c (Query, Scan), ttl.c (UpdateTimeToLive ...), and
 * streams.c and stream_read.c (dynamodbstreams); what they stand on: table.h, catalog.h, item.h,
 * key.h, expr.h, write.h, stream.h.
 */
#ifndef DYNAMODB_DYNAMODB_H
#define DYNAMODB_DYNAMODB_H

#include "aws/gate.h"

struct dynamodb;
struct kv;
struct port_records;
struct ports;
struct rt;

/* Takes loop-local slots, so before rt_run(). */
struct dynamodb *dynamodb_new(struct rt *rt);
/* Streams as sources of records; to be added to the ports. */
const struct port_records *dynamodb_records(const struct dynamodb *d);
/* Between two looks for items whose time to live has passed; before dynamodb_start() [1000]. */
void dynamodb_set_ttl_period_ms(struct dynamodb *d, int64_t period_ms);
/* Whether throughput is limited as AWS does it (throttle.h); before dynamodb_start() [false]. */
void dynamodb_set_throttle(struct dynamodb *d, bool on);
/* Where bulk operations find objects, and those who started them; before dynamodb_start() [none].
 */
void dynamodb_set_ports(struct dynamodb *d, const struct ports *ports);
/* From a fiber, before the first request. Begins the background work. */
must_use int dynamodb_start(struct dynamodb *d, struct kv *kv);
/* What to register with the gate; lives as long as the service. */
const struct service *dynamodb_service(const struct dynamodb *d);
/* The same for dynamodbstreams. */
const struct service *dynamodb_streams_service(const struct dynamodb *d);
/* Stops the background work. From a fiber, after the last request. */
mayyield void dynamodb_stop(struct dynamodb *d);
/* After the loops have stopped. NULL is fine. */
void dynamodb_free(struct dynamodb *d);

#endif
