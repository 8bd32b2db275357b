/*
 * Bulk operations: StartBulkPutItems, DescribeBulkOperation, ListBulkOperations,
 * CancelBulkOperation. What is behind them: bulk.h.
 *
 * What can be said about a start is said in AWS's order. Input is read as the caller, and only of
 * the DynamoDB JSON format; nothing is encrypted with KMS, because there are no keys of it here;
 * where there are no buckets nothing is started. Texts about limits, and about an operation that
 * has ended and is to be cancelled, are not confirmed.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/BulkPutItems.html
 */
#include "services/dynamodb/bulk.h"

#include "aws/codec.h"
#include "aws/keyspace.h"
#include "base/hash.h"
#include "kv/kv.h"
#include "services/dynamodb/service.h"

enum {
	LIST_DEFAULT = 10, /* API_ListBulkOperations.html */
	TOKEN_VERSION = 1,
	PAGE_TOKEN_DIGITS = 32,
	REQUEST_MAX = 1 << 16
};

static int check_output(struct call *c)
{
	const struct value *output = value_get(c->in, "OutputS3Configuration");
	bool by_kms = str_eq(value_str(output, "S3SseAlgorithm"), STR("KMS"));

	if (!value_has(output, "S3Bucket"))
		return DYNAMODB_INVALID(c, "OutputS3Configuration.S3Bucket must be specified");
	if (!value_count(value_get(output, "OutputType")))
		return DYNAMODB_INVALID(c, "OutputS3Configuration.OutputType must not be empty");
	if (!by_kms && value_has(output, "S3SseKmsKeyId"))
		return DYNAMODB_INVALID(c,
			"OutputS3Configuration.S3SseKmsKeyId can only be specified when "
			"S3SseAlgorithm is KMS");
	if (by_kms && !value_has(output, "S3SseKmsKeyId"))
		return DYNAMODB_INVALID(c,
			"OutputS3Configuration.S3SseKmsKeyId must be specified when "
			"S3SseAlgorithm is KMS");
	return 0;
}

/* "Table state requirements", BulkPutItems.Considerations.html */
static int check_state(struct call *c, const struct table *t)
{
	for (size_t i = 0; i < t->index_count; i++)
		if (t->indexes[i].status == INDEX_CREATING)
			return call_fault(c, DYNAMODB_FAULT(RESOURCE_IN_USE),
				"Attempt to change a resource which is still in use: Index is "
				"being created: %.*s",
				STR_ARG(t->indexes[i].name));
	return 0;
}

/* Can the output be encrypted as it is asked for? Everything else about it the worker finds out. */
static int check_encryption(struct call *c, const struct value *output)
{
	const struct port_objects *port = c->ports->objects;
	const struct object_put put = {.content_type = STR("application/json"),
		.sse = value_str(output, "S3SseAlgorithm"),
		.kms_key_id = STR_NULL};
	const struct object_address address = {.as = c->principal,
		.region = c->region,
		.expected_owner = STR_NULL,
		.bucket = value_str(output, "S3Bucket"),
		.key = STR("AWSDynamoDB/"),
		.version = STR_NULL};
	struct object_writer *writer;
	struct fault fault = {0};
	int rc = port->create(port->self, c->arena, &address, &put, &writer, &fault);

	if (rc == 0)
		port->abandon(writer);
	if (rc == ERR_FAULT && str_eq(str_c(fault.kind->code), STR("NotImplemented")))
		return dynamodb_not_implemented(c, "OutputS3Configuration.S3SseAlgorithm");
	return 0;
}

/* What is not here, by name. */
static int check_built(struct call *c)
{
	const struct value *input = value_get(c->in, "InputS3Configuration");
	const struct value *output = value_get(c->in, "OutputS3Configuration");

	if (!c->ports->objects)
		return dynamodb_not_implemented(c, "InputS3Configuration");
	if (str_eq(value_str(input, "InputFormat"), STR("ION")))
		return call_fault(c, DYNAMODB_FAULT(NOT_IMPLEMENTED),
			"InputS3Configuration.InputFormat ION is not implemented by this version "
			"of cirrus: give DYNAMODB_JSON.");
	if (str_eq(value_str(output, "S3SseAlgorithm"), STR("KMS")))
		return call_fault(c, DYNAMODB_FAULT(NOT_IMPLEMENTED),
			"OutputS3Configuration.S3SseAlgorithm KMS is not implemented by this "
			"version of cirrus: there are no KMS keys.");
	return value_has(output, "S3SseAlgorithm") ? check_encryption(c, output) : 0;
}

/* ---- StartBulkPutItems ---- */

struct start {
	struct call *c;
	struct bulk_job *job;
	str token; /* empty: none */
	uint8_t digest[SHA256_BYTES];
	bool again; /* the token has started it before: job is that one */
	str keys[5];
	size_t key_count;
};

static str token_value(const struct start *s)
{
	struct buf value;

	buf_init(&value, s->c->arena, 128);
	buf_put_char(&value, TOKEN_VERSION);
	buf_put_be64(&value, s->job->id.ms);
	buf_put_be32(&value, s->job->id.random);
	buf_put_be64(&value, (uint64_t)(s->c->wall_ms + BULK_TOKEN_MS));
	buf_put(&value, str_of(s->digest, SHA256_BYTES));
	return buf_str(&value);
}

static bool take_token(str value, struct bulk_id *id, uint64_t *until, str *digest)
{
	uint8_t version;

	return str_take_u8(&value, &version) && version == TOKEN_VERSION &&
	       str_take_be64(&value, &id->ms) && str_take_be32(&value, &id->random) &&
	       str_take_be64(&value, until) && str_take(&value, SHA256_BYTES, digest);
}

/* 1: the token has started an operation, which is s->job now; 0: it is new, or over. */
static int look_for_token(struct kv_txn *txn, struct start *s, str token_key)
{
	struct call *c = s->c;
	struct bulk_id id;
	uint64_t until;
	str value, digest;

	if (!TRY(kv_txn_get(txn, token_key, c->arena, &value)))
		return 0;
	if (!take_token(value, &id, &until, &digest))
		return ERR_CORRUPT;
	if ((int64_t)until <= c->wall_ms)
		return 0;
	if (!str_eq(digest, str_of(s->digest, SHA256_BYTES)))
		return call_fault(c, DYNAMODB_FAULT(IDEMPOTENT_MISMATCH),
			"The provided client token is already in use with other parameters");
	if (!TRY(kv_txn_get(txn, bulk_key(c->arena, c->account, c->region, id), c->arena, &value)))
		return 0;
	TRY(bulk_decode(value, s->job));
	return 1;
}

static int count_one_more(struct kv_txn *txn, struct call *c, str count_key)
{
	uint32_t count = 0;
	struct buf more;
	str value;

	if (TRY(kv_txn_get(txn, count_key, c->arena, &value)) && !str_take_be32(&value, &count))
		return ERR_CORRUPT;
	if (count >= BULK_RUNNING_MAX)
		return call_fault(c, DYNAMODB_FAULT(LIMIT_EXCEEDED),
			"Too many bulk operations are in progress: at most %d at a time",
			BULK_RUNNING_MAX);
	buf_init(&more, c->arena, sizeof count);
	buf_put_be32(&more, count + 1);
	kv_txn_put(txn, count_key, buf_str(&more));
	return 0;
}

static int start_in_store(struct kv_txn *txn, void *arg)
{
	struct start *s = arg;
	struct arena *a = s->c->arena;
	struct buf due;
	str there;

	if (s->token.n && TRY(look_for_token(txn, s, s->keys[4]))) {
		s->again = true;
		return 0;
	}
	if (TRY(kv_txn_get(txn, s->keys[0], a, &there)))
		return ERR_EXISTS; /* two of one millisecond and one random number */
	TRY(count_one_more(txn, s->c, s->keys[2]));
	kv_txn_put(txn, s->keys[0], bulk_encode(a, s->job));
	kv_txn_put(txn, s->keys[1], s->keys[0]);
	buf_init(&due, a, 2 * KEYSPACE_KEY_MAX);
	keyspace_put(&due, s->keys[0]);
	keyspace_put(&due, s->token.n ? s->keys[4] : STR(""));
	kv_txn_put(txn, s->keys[3], buf_str(&due));
	if (s->token.n)
		kv_txn_put(txn, s->keys[4], token_value(s));
	return 0;
}

static int start(struct start *s)
{
	struct call *c = s->c;
	struct bulk_job *j = s->job;
	int rc;

	j->id = (struct bulk_id){(uint64_t)c->wall_ms, (uint32_t)rt_random()};
	s->keys[0] = bulk_key(c->arena, j->account, j->region, j->id);
	s->keys[1] = bulk_running_key(c->arena, j->id);
	s->keys[2] = bulk_count_key(c->arena, j->account, j->region);
	s->keys[3] = bulk_due_key(c->arena, j->id);
	if (s->token.n)
		s->keys[4] = bulk_token_key(c->arena, j->account, j->region, s->token);
	s->key_count = s->token.n ? 5 : 4;
	rc = kv_run(dynamodb_of(c)->kv, s->keys, s->key_count, start_in_store, s, c->deadline_ns);
	return rc;
}

/* As it is stored, which is also what a token is good for. */
static str request_text(struct call *c)
{
	struct buf text;

	buf_init(&text, c->arena, REQUEST_MAX);
	codec_json_store(&text, c->in);
	return text.over ? STR_NULL : buf_str(&text);
}

int dynamodb_start_bulk_put(struct call *c)
{
	struct table *t cleanup(table_unref_p) = NULL;
	struct bulk_job job = {.status = BULK_IN_PROGRESS};
	struct start s = {.c = c, .job = &job, .token = value_str(c->in, "ClientToken")};
	str name;
	int rc;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	TRY(check_output(c));
	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, &t)))
		return dynamodb_table_not_found(c, name);
	TRY(check_state(c, t));
	TRY(check_built(c));
	job.account = c->account;
	job.region = c->region;
	job.table = arena_str(c->arena, t->name);
	job.table_id = t->id;
	job.table_arn = arena_str(c->arena, t->arn);
	job.table_uuid = arena_str(c->arena, t->uuid);
	job.request = request_text(c);
	if (!job.request.p)
		return ERR_TOO_LARGE;
	job.as = principal_note_of(c->principal);
	sha256_of(job.request, s.digest);
	while ((rc = start(&s)) == ERR_EXISTS && rt_now() < c->deadline_ns)
		;
	TRY(rc);
	dynamodb_wake(dynamodb_of(c), WORKER_BULK);
	return bulk_describe(c->arena, &job, value_put_struct(c->out, "BulkOperationDescription"));
}

/* ---- of one that there is ---- */

static int not_found(struct call *c)
{
	return call_fault(c, DYNAMODB_FAULT(RESOURCE_NOT_FOUND),
		"Requested resource not found: Bulk operation: %.*s not found",
		STR_ARG(value_str(c->in, "BulkOperationArn")));
}

/* The key of the operation that the input names. */
static int find_key(struct call *c, str *ret_key, struct bulk_id *ret_id)
{
	str account, region;

	if (!bulk_arn_parse(value_str(c->in, "BulkOperationArn"), &account, &region, ret_id) ||
		!str_eq(account, c->account) || !str_eq(region, c->region))
		return not_found(c);
	*ret_key = bulk_key(c->arena, account, region, *ret_id);
	return 0;
}

static bool is_named(struct call *c, const struct bulk_job *j)
{
	return str_eq(bulk_arn(c->arena, j), value_str(c->in, "BulkOperationArn"));
}

int dynamodb_describe_bulk(struct call *c)
{
	struct bulk_job job;
	struct bulk_id id;
	str key;

	TRY(find_key(c, &key, &id));
	if (!TRY(bulk_load(dynamodb_of(c), c->arena, key, &job)) || !is_named(c, &job))
		return not_found(c);
	return bulk_describe(c->arena, &job, value_put_struct(c->out, "BulkOperationDescription"));
}

struct cancel {
	struct call *c;
	str key;
};

static int cancel_in_store(struct kv_txn *txn, void *arg)
{
	struct cancel *x = arg;
	struct call *c = x->c;
	struct bulk_job job;
	str document;

	if (!TRY(kv_txn_get(txn, x->key, c->arena, &document)))
		return not_found(c);
	TRY(bulk_decode(document, &job));
	if (!is_named(c, &job))
		return not_found(c);
	if (!bulk_is_running(&job))
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Bulk operation %.*s cannot be cancelled: its status is %s",
			STR_ARG(value_str(c->in, "BulkOperationArn")),
			bulk_status_text(job.status));
	job.status = BULK_CANCELLING;
	kv_txn_put(txn, x->key, bulk_encode(c->arena, &job));
	return 0;
}

int dynamodb_cancel_bulk(struct call *c)
{
	struct cancel x = {.c = c};
	struct bulk_id id;

	TRY(find_key(c, &x.key, &id));
	TRY(kv_run(dynamodb_of(c)->kv, &x.key, 1, cancel_in_store, &x, c->deadline_ns));
	dynamodb_wake(dynamodb_of(c), WORKER_BULK);
	value_put_str(c->out, "BulkOperationArn", value_str(c->in, "BulkOperationArn"));
	value_put_str(c->out, "BulkOperationStatus", str_c(bulk_status_text(BULK_CANCELLING)));
	return 0;
}

/* ---- ListBulkOperations ---- */

/* The id of a page's last operation: two numbers of 16 digits. */
static str page_token(struct arena *a, struct bulk_id id)
{
	return arena_printf(
		a, "%016llx%016llx", (unsigned long long)id.ms, (unsigned long long)id.random);
}

static int take_page_token(str token, struct bulk_id *ret_id)
{
	uint8_t bytes[PAGE_TOKEN_DIGITS / 2];
	str in = str_of(bytes, sizeof bytes);
	uint64_t random;

	if (token.n != PAGE_TOKEN_DIGITS || hex_decode(token, bytes) < 0 ||
		!str_take_be64(&in, &ret_id->ms) || !str_take_be64(&in, &random) ||
		random > UINT32_MAX)
		return ERR_INVALID;
	ret_id->random = (uint32_t)random;
	return 0;
}

static void put_summary(struct call *c, const struct bulk_job *j, struct value *list)
{
	struct value *v = value_add_struct(list);

	value_put_str(v, "BulkOperationArn", bulk_arn(c->arena, j));
	value_put_str(v, "BulkOperationStatus", str_c(bulk_status_text(j->status)));
	value_put_time_ms(v, "StartTime", (int64_t)j->id.ms);
	if (j->end_ms)
		value_put_time_ms(v, "EndTime", j->end_ms);
}

int dynamodb_list_bulk(struct call *c)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	uint32_t max = (uint32_t)value_int(c->in, "MaxResults", LIST_DEFAULT), n = 0;
	struct bulk_id id = {.ms = (uint64_t)MAX(c->wall_ms - BULK_KEPT_MS, INT64_C(0))};
	struct kv_range range = {.reverse = true, .limit = max + 1};
	struct value *list = value_put_list(c->out, "BulkOperationsSummaryList");
	struct bulk_job job;
	str key, value;

	range.from = bulk_key(c->arena, c->account, c->region, id);
	range.to = keyspace_prefix_end(c->arena, bulk_list_prefix(c->arena, c->account, c->region));
	if (value_has(c->in, "NextToken")) {
		if (take_page_token(value_str(c->in, "NextToken"), &id) < 0)
			return DYNAMODB_INVALID(
				c, "NextToken is not of a page of ListBulkOperations");
		range.to = bulk_key(c->arena, c->account, c->region, id);
	}
	TRY(kv_scan_open(dynamodb_of(c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		if (n == max) {
			value_put_str(c->out, "NextToken", page_token(c->arena, job.id));
			break;
		}
		TRY(bulk_decode(arena_str(c->arena, value), &job));
		put_summary(c, &job, list);
		n++;
	}
	return 0;
}
