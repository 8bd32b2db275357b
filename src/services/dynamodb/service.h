/*
 * What the handlers of DynamoDB share. Private to this folder.
 */
#ifndef DYNAMODB_SERVICE_H
#define DYNAMODB_SERVICE_H

#include "aws/gate.h"
#include "aws/ports/records.h"
#include "rt/rt.h"
#include "services/dynamodb/catalog.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/flight.h"
#include "services/dynamodb/stream.h"

#define DYNAMODB_FAULT(id) (&dynamodb_faults[DYNAMODB_##id])
/* ERR_FAULT: a ValidationException with the beginning that most rules on tables share. */
#define DYNAMODB_INVALID(c, format, ...)            \
	call_fault((c), DYNAMODB_FAULT(VALIDATION), \
		"One or more parameter values were invalid: " format __VA_OPT__(, ) __VA_ARGS__)

/* The background work, a fiber each from the start to the stop; woken when there may be some. */
enum dynamodb_worker_id {
	WORKER_SWEEP,      /* removes what belonged to deleted tables (sweep.c) */
	WORKER_STREAMS,    /* closes shards, trims, removes streams (stream_worker.c) */
	WORKER_TOKENS,     /* removes tokens of old transactions (token.c) */
	WORKER_BACKFILL,   /* fills and empties indexes (backfill.c) */
	WORKER_TTL_CHANGE, /* time to live was enabled or disabled (ttl_worker.c) */
	WORKER_TTL_EXPIRE, /* removes what has expired (ttl_worker.c) */
	WORKER_BULK,       /* works on bulk operations (bulk_worker.c) */
	WORKERS
};

struct dynamodb_worker {
	struct dynamodb *d;
	void (*run)(void *arg); /* of d; returns when d->stopping, after a wake */
	struct rt_event wanted, ended;
};

struct dynamodb {
	struct rt *rt;
	const struct ports *ports; /* objects, identity; NULL: there are none */
	struct kv *kv;
	struct catalog *catalog;
	struct service service, streams_service;
	struct dynamodb_worker workers[WORKERS];
	/* A table is being counted in the background (count.c). */
	_Atomic bool counting;
	struct rt_event count_ended;
	struct flights flights;
	struct throttle *throttle; /* NULL: off */
	bool throttles;            /* is to have one from the start on */
	struct stream_waits stream_waits;
	struct port_records records; /* stream_source.c */
	int64_t ttl_period_ms;
	_Atomic(struct hmac_key *) iterator_key; /* NULL until it is needed (streams.c) */
	_Atomic bool stopping;
	bool started;
};

/* Of a call to one of our handlers. */
static inline struct dynamodb *dynamodb_of(const struct call *c)
{
	return c->self;
}

/* Tells a worker that there may be something to do. Any loop. */
static inline void dynamodb_wake(struct dynamodb *d, enum dynamodb_worker_id id)
{
	rt_event_set(&d->workers[id].wanted);
}

/* What the worker waits for. */
static inline struct rt_event *dynamodb_wanted(struct dynamodb *d, enum dynamodb_worker_id id)
{
	return &d->workers[id].wanted;
}

/*
 * The name of a table as given: a name, or an ARN of this account and region. Sets *ret_name, or
 * the fault.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
 */
must_use int dynamodb_table_name(struct call *c, str given, str *ret_name);

/* Only characters that names of tables and indexes may have. */
bool dynamodb_is_name(str name);

/*
 * The table for an item operation, with a reference; ERR_FAULT with ResourceNotFoundException
 * ("Requested resource not found").
 */
must_use mayyield int dynamodb_table(struct call *c, str given, struct table **ret_table);

/* A text member of an undecoded body, for policies; empty when there is none (the handler will
 * tell). */
str dynamodb_peek(struct call *c, str member);
static inline str dynamodb_peek_table(struct call *c)
{
	return dynamodb_peek(c, STR("TableName"));
}

/* What the models' decoder and validator say of an undecoded body: ERR_FAULT, or 0. */
must_use int dynamodb_check_by_model(struct call *c);
/* The same, and the decoded input. */
must_use int dynamodb_read_by_model(struct call *c, const struct value **ret_in);

/*
 * Throttling of reads (throttle.h), a branch when it is off: before, whether table or index, and
 * the partition key where it is one (STR_NULL: not), have anything left; behind, what was read.
 */
must_use int dynamodb_admit_read(
	struct call *c, const struct table *t, const struct table_index *index, str partition);
void dynamodb_pay_read(struct call *c, const struct table *t, const struct table_index *index,
	str partition, double table_units, const double *index_units);

/* ERR_FAULT with a NotImplemented fault that names the member. */
int dynamodb_not_implemented(struct call *c, const char *member);

/* Removes the items of deleted tables, as a fiber until the service stops. `arg`: struct dynamodb.
 */
void dynamodb_sweep(void *arg);
/*
 * Removes whatever there is under the id of a table or index that nobody uses any more: items,
 * entries, expiry entries, sizes of collections. ERR_CANCELLED when the service stops.
 */
must_use mayyield int dynamodb_sweep_id(struct dynamodb *d, uint64_t id);
/* Looks after streams (stream_worker.c), in the same way. */
void dynamodb_stream_worker(void *arg);
/* Records, in the transaction that removes the table, that all that belonged to it has to go. */
struct kv_txn;
void dynamodb_sweep_add(struct kv_txn *txn, struct arena *a, const struct table *t);
/* The key that dynamodb_sweep_add() writes, to be declared. */
str dynamodb_sweep_key(struct arena *a, uint64_t table_id);

/*
 * Waits until no writer works any more with a table as it was before what the store shows now: for
 * workers that found a change of a table's record there. Whoever committed the change may not have
 * told the catalog yet, so that is done first. ERR_CANCELLED when the service stops.
 */
must_use mayyield int dynamodb_wait_for_writers(struct dynamodb *d);

/* Of both: SSESpecification asks for nothing that is not there. */
must_use int dynamodb_check_encryption(struct call *c);
/* Of UpdateTable and DeleteTable: ResourceInUseException while the table is UPDATING. */
must_use int dynamodb_check_status(struct call *c, const struct table *t);
/* A StreamSpecification (NULL is fine): 1 and the view, or 0: the stream is not to be enabled. */
must_use int dynamodb_stream_view(
	struct call *c, const struct value *given, enum table_stream_view *ret_view);
/* Of CreateTable and TagResource. */
must_use int dynamodb_check_tags(struct call *c, const struct value *tags);
/* ERR_FAULT. */
int dynamodb_too_many_tags(struct call *c);
/* ERR_FAULT, with the words of the operations on tables. */
int dynamodb_table_not_found(struct call *c, str name);
int dynamodb_index_not_found(struct call *c, str name);

/* Handlers. */
int dynamodb_create_table(struct call *c);
int dynamodb_describe_table(struct call *c);
int dynamodb_list_tables(struct call *c);
int dynamodb_delete_table(struct call *c);
int dynamodb_update_table(struct call *c);
int dynamodb_search_vectors(struct call *c);
int dynamodb_start_bulk_put(struct call *c);
int dynamodb_describe_bulk(struct call *c);
int dynamodb_list_bulk(struct call *c);
int dynamodb_cancel_bulk(struct call *c);
int dynamodb_update_scaling(struct call *c);
int dynamodb_describe_scaling(struct call *c);
int dynamodb_update_insights(struct call *c);
int dynamodb_describe_insights(struct call *c);
int dynamodb_list_insights(struct call *c);
int dynamodb_tag_resource(struct call *c);
int dynamodb_untag_resource(struct call *c);
int dynamodb_list_tags(struct call *c);
int dynamodb_update_ttl(struct call *c);
int dynamodb_describe_ttl(struct call *c);
int dynamodb_describe_limits(struct call *c);
int dynamodb_describe_backups(struct call *c);
int dynamodb_describe_endpoints(struct call *c);
int dynamodb_put_item(struct call *c);
int dynamodb_get_item(struct call *c);
int dynamodb_delete_item(struct call *c);
int dynamodb_update_item(struct call *c);
int dynamodb_batch_write(struct call *c);
int dynamodb_batch_get(struct call *c);
int dynamodb_transact_write(struct call *c);
int dynamodb_transact_get(struct call *c);
int dynamodb_query(struct call *c);
int dynamodb_scan(struct call *c);
int dynamodb_execute_statement(struct call *c);
int dynamodb_batch_execute(struct call *c);
int dynamodb_execute_transaction(struct call *c);

#endif
