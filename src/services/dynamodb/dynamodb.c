/*
 * The service's table of operations, its start and its end.
 */
#include "services/dynamodb/dynamodb.h"

#include "base/check.h"
#include "base/mem.h"
#include "services/dynamodb/backfill.h"
#include "services/dynamodb/bulk.h"
#include "services/dynamodb/condition_keys.h"
#include "services/dynamodb/resource_policy.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/streams.h"
#include "services/dynamodb/throttle.h"
#include "services/dynamodb/token.h"
#include "services/dynamodb/ttl.h"

enum { BODY_MAX = 16 << 20, TTL_PERIOD_MS = 1000 };

/* The ARN of the table that the input names, for policies. */
static int table_resource(struct call *c, str *ret_arn)
{
	str name;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	*ret_arn = arena_printf(c->arena, "arn:aws:dynamodb:%.*s:%.*s:table/%.*s",
		STR_ARG(c->region), STR_ARG(c->account), STR_ARG(name));
	return 0;
}

/* The input names the ARN itself. */
static int arn_resource(struct call *c, str *ret_arn)
{
	*ret_arn = value_str(c->in, "ResourceArn");
	return 0;
}

static int bulk_resource(struct call *c, str *ret_arn)
{
	*ret_arn = value_str(c->in, "BulkOperationArn");
	return 0;
}

/* The same for operations that decode their own body. */
static int item_resource(struct call *c, str *ret_arn)
{
	str name;

	TRY(dynamodb_table_name(c, dynamodb_peek_table(c), &name));
	*ret_arn = arena_printf(c->arena, "arn:aws:dynamodb:%.*s:%.*s:table/%.*s",
		STR_ARG(c->region), STR_ARG(c->account), STR_ARG(name));
	return 0;
}

/*
 * The ARN of the index that is named, else of the table: to read an index is allowed apart.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
 */
static str index_of(struct call *c, str table, str index)
{
	return index.n ? ARENA_CONCAT(c->arena, table, STR("/index/"), index) : table;
}

/* Of operations that decode their own body: Query, Scan, SearchVectors. */
static int read_resource(struct call *c, str *ret_arn)
{
	str table;

	TRY(item_resource(c, &table));
	*ret_arn = index_of(c, table, dynamodb_peek(c, STR("IndexName")));
	return 0;
}

static int insights_resource(struct call *c, str *ret_arn)
{
	str table;

	TRY(table_resource(c, &table));
	*ret_arn = index_of(c, table, value_str(c->in, "IndexName"));
	return 0;
}

static const struct operation_row rows[] = {
	{.name = "CreateTable", .handle = dynamodb_create_table, .resource = table_resource},
	{.name = "DescribeTable", .handle = dynamodb_describe_table, .resource = table_resource},
	{.name = "DeleteTable", .handle = dynamodb_delete_table, .resource = table_resource},
	{.name = "ListTables", .handle = dynamodb_list_tables},
	{.name = "UpdateTable", .handle = dynamodb_update_table, .resource = table_resource},
	{.name = "UpdateTableReplicaAutoScaling",
		.handle = dynamodb_update_scaling,
		.resource = table_resource},
	{.name = "DescribeTableReplicaAutoScaling",
		.handle = dynamodb_describe_scaling,
		.resource = table_resource},
	{.name = "UpdateContributorInsights",
		.handle = dynamodb_update_insights,
		.resource = insights_resource},
	{.name = "DescribeContributorInsights",
		.handle = dynamodb_describe_insights,
		.resource = insights_resource},
	{.name = "ListContributorInsights", .handle = dynamodb_list_insights},
	{.name = "TagResource", .handle = dynamodb_tag_resource, .resource = arn_resource},
	{.name = "UntagResource", .handle = dynamodb_untag_resource, .resource = arn_resource},
	{.name = "ListTagsOfResource", .handle = dynamodb_list_tags, .resource = arn_resource},
	{.name = "PutResourcePolicy", .handle = dynamodb_put_policy, .resource = arn_resource},
	{.name = "GetResourcePolicy", .handle = dynamodb_get_policy, .resource = arn_resource},
	{.name = "DeleteResourcePolicy",
		.handle = dynamodb_delete_policy,
		.resource = arn_resource},
	{.name = "UpdateTimeToLive", .handle = dynamodb_update_ttl, .resource = table_resource},
	{.name = "DescribeTimeToLive", .handle = dynamodb_describe_ttl, .resource = table_resource},
	{.name = "DescribeContinuousBackups",
		.handle = dynamodb_describe_backups,
		.resource = table_resource},
	{.name = "DescribeLimits", .handle = dynamodb_describe_limits},
	{.name = "DescribeEndpoints", .handle = dynamodb_describe_endpoints},
	{.name = "PutItem",
		.handle = dynamodb_put_item,
		.resource = item_resource,
		.flags = ROW_RAW_BODY},
	{.name = "GetItem",
		.handle = dynamodb_get_item,
		.resource = item_resource,
		.flags = ROW_RAW_BODY},
	{.name = "DeleteItem",
		.handle = dynamodb_delete_item,
		.resource = item_resource,
		.flags = ROW_RAW_BODY},
	{.name = "UpdateItem",
		.handle = dynamodb_update_item,
		.resource = item_resource,
		.flags = ROW_RAW_BODY},
	{.name = "BatchWriteItem",
		.handle = dynamodb_batch_write,
		.flags = ROW_RAW_BODY | ROW_AUTHORIZES},
	{.name = "BatchGetItem",
		.handle = dynamodb_batch_get,
		.flags = ROW_RAW_BODY | ROW_AUTHORIZES},
	{.name = "TransactWriteItems",
		.handle = dynamodb_transact_write,
		.flags = ROW_RAW_BODY | ROW_AUTHORIZES},
	{.name = "TransactGetItems",
		.handle = dynamodb_transact_get,
		.flags = ROW_RAW_BODY | ROW_AUTHORIZES},
	{.name = "Query",
		.handle = dynamodb_query,
		.resource = read_resource,
		.flags = ROW_RAW_BODY},
	{.name = "Scan", .handle = dynamodb_scan, .resource = read_resource, .flags = ROW_RAW_BODY},
	{.name = "SearchVectors",
		.handle = dynamodb_search_vectors,
		.resource = read_resource,
		.flags = ROW_RAW_BODY},
	{.name = "StartBulkPutItems",
		.handle = dynamodb_start_bulk_put,
		.resource = table_resource},
	{.name = "DescribeBulkOperation",
		.handle = dynamodb_describe_bulk,
		.resource = bulk_resource},
	{.name = "ListBulkOperations", .handle = dynamodb_list_bulk},
	{.name = "CancelBulkOperation", .handle = dynamodb_cancel_bulk, .resource = bulk_resource},
	{.name = "ExecuteStatement",
		.handle = dynamodb_execute_statement,
		.flags = ROW_RAW_BODY | ROW_AUTHORIZES},
	{.name = "BatchExecuteStatement",
		.handle = dynamodb_batch_execute,
		.flags = ROW_RAW_BODY | ROW_AUTHORIZES},
	{.name = "ExecuteTransaction",
		.handle = dynamodb_execute_transaction,
		.flags = ROW_RAW_BODY | ROW_AUTHORIZES},
};

/* Streams: the input names one, or an iterator of one. */
static int stream_resource(struct call *c, str *ret_arn)
{
	*ret_arn = value_str(c->in, "StreamArn");
	return 0;
}

static int iterator_resource(struct call *c, str *ret_arn)
{
	/* What it claims: the handler takes it only if it is ours. */
	*ret_arn = stream_iterator_arn(dynamodb_peek(c, STR("ShardIterator")));
	return 0;
}

static const struct operation_row stream_rows[] = {
	{.name = "ListStreams", .handle = dynamodb_list_streams},
	{.name = "DescribeStream", .handle = dynamodb_describe_stream, .resource = stream_resource},
	{.name = "GetShardIterator",
		.handle = dynamodb_get_shard_iterator,
		.resource = stream_resource},
	{.name = "GetRecords",
		.handle = dynamodb_get_records,
		.resource = iterator_resource,
		.flags = ROW_RAW_BODY},
};

static void (*const workers[WORKERS])(void *arg) = {
	[WORKER_SWEEP] = dynamodb_sweep,
	[WORKER_STREAMS] = dynamodb_stream_worker,
	[WORKER_TOKENS] = dynamodb_forget_tokens,
	[WORKER_BACKFILL] = dynamodb_backfill,
	[WORKER_TTL_CHANGE] = dynamodb_ttl_change,
	[WORKER_TTL_EXPIRE] = dynamodb_ttl_expire,
	[WORKER_BULK] = dynamodb_bulk,
};

static void run_worker(void *arg)
{
	struct dynamodb_worker *w = arg;

	w->run(w->d);
	rt_event_set(&w->ended);
}

struct dynamodb *dynamodb_new(struct rt *rt)
{
	struct dynamodb *d = mem_new(struct dynamodb);

	d->rt = rt;
	d->catalog = catalog_new(rt);
	d->service = (struct service){.model = model_named(STR("dynamodb")),
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.body_max = BODY_MAX,
		.context = condition_keys_add,
		.policy = resource_policy_of,
		.self = d};
	d->streams_service = (struct service){.model = model_named(STR("dynamodbstreams")),
		.rows = stream_rows,
		.row_count = ARRAY_SIZE(stream_rows),
		.policy = resource_policy_of,
		.self = d};
	check(d->service.model != NULL && d->streams_service.model != NULL);
	for (size_t i = 0; i < WORKERS; i++) {
		d->workers[i] = (struct dynamodb_worker){.d = d, .run = workers[i]};
		rt_event_init(&d->workers[i].wanted);
		rt_event_init(&d->workers[i].ended);
	}
	rt_event_init(&d->count_ended);
	stream_waits_init(&d->stream_waits);
	d->ttl_period_ms = TTL_PERIOD_MS;
	dynamodb_records_init(d);
	return d;
}

const struct port_records *dynamodb_records(const struct dynamodb *d)
{
	return &d->records;
}

void dynamodb_set_ttl_period_ms(struct dynamodb *d, int64_t period_ms)
{
	d->ttl_period_ms = MAX(period_ms, 1);
}

void dynamodb_set_throttle(struct dynamodb *d, bool on)
{
	d->throttles = on;
}

void dynamodb_set_ports(struct dynamodb *d, const struct ports *ports)
{
	d->ports = ports;
}

int dynamodb_wait_for_writers(struct dynamodb *d)
{
	catalog_changed(d->catalog);
	return flights_wait(&d->flights, &d->stopping);
}

int dynamodb_start(struct dynamodb *d, struct kv *kv)
{
	d->kv = kv;
	if (d->throttles && !d->throttle)
		d->throttle = throttle_new();
	atomic_store(&d->stopping, false);
	catalog_start(d->catalog, kv);
	for (size_t i = 0; i < WORKERS; i++)
		TRY(rt_spawn(run_worker, &d->workers[i]));
	d->started = true;
	return 0;
}

const struct service *dynamodb_service(const struct dynamodb *d)
{
	return &d->service;
}

const struct service *dynamodb_streams_service(const struct dynamodb *d)
{
	return &d->streams_service;
}

void dynamodb_stop(struct dynamodb *d)
{
	if (!d->started)
		return;
	atomic_store(&d->stopping, true);
	for (size_t i = 0; i < WORKERS; i++)
		rt_event_set(&d->workers[i].wanted);
	for (size_t i = 0; i < WORKERS; i++)
		rt_event_wait_sure(&d->workers[i].ended);
	while (atomic_load(&d->counting))
		rt_event_wait_sure(&d->count_ended);
	d->started = false;
}

void dynamodb_free(struct dynamodb *d)
{
	if (!d)
		return;
	stream_waits_done(&d->stream_waits);
	catalog_free(d->catalog);
	throttle_free(d->throttle);
	mem_free(atomic_load(&d->iterator_key));
	mem_free(d);
}
