/*
 * Records of bulk operations: keys, the stored form, and how they are shown. Pure but for loading.
 */
#include "services/dynamodb/bulk.h"

#include "aws/codec.h"
#include "aws/keyspace.h"
#include "base/check.h"
#include "base/hash.h"
#include "kv/kv.h"
#include "services/dynamodb/service.h"

enum {
	JOB_VERSION = 1,
	ID_MS_DIGITS = 14,
	ID_RANDOM_DIGITS = 8,
	RECORD_MAX = 1 << 20,
	JOB_TEXTS = 16,
	JOB_NUMBERS = 12
};

#define OPERATION "/bulk-operation/"

/* ---- names ---- */

str bulk_id_text(struct arena *a, struct bulk_id id)
{
	return arena_printf(a, "%0*llu-%0*x", ID_MS_DIGITS, (unsigned long long)id.ms,
		ID_RANDOM_DIGITS, id.random);
}

str bulk_arn(struct arena *a, const struct bulk_job *j)
{
	return ARENA_CONCAT(a, j->table_arn, STR(OPERATION), bulk_id_text(a, j->id));
}

static bool take_id(str text, struct bulk_id *ret_id)
{
	uint8_t random[ID_RANDOM_DIGITS / 2];
	uint64_t ms;

	if (text.n != ID_MS_DIGITS + 1 + ID_RANDOM_DIGITS || text.p[ID_MS_DIGITS] != '-' ||
		str_to_u64(str_sub(text, 0, ID_MS_DIGITS), INT64_MAX, &ms) < 0 ||
		hex_decode(str_from(text, ID_MS_DIGITS + 1), random) < 0)
		return false;
	*ret_id = (struct bulk_id){ms, (uint32_t)random[0] << 24 | (uint32_t)random[1] << 16 |
					       (uint32_t)random[2] << 8 | random[3]};
	return true;
}

bool bulk_arn_parse(str arn, str *ret_account, str *ret_region, struct bulk_id *ret_id)
{
	ptrdiff_t at = str_find_str(arn, STR(OPERATION));
	str head, part;

	if (at < 0 || !str_starts(arn, STR("arn:aws:dynamodb:")) ||
		!take_id(str_from(arn, (size_t)at + sizeof(OPERATION) - 1), ret_id))
		return false;
	head = str_from(arn, sizeof("arn:aws:dynamodb:") - 1);
	return str_split(&head, ':', ret_region) && str_split(&head, ':', ret_account) &&
	       str_split(&head, '/', &part) && str_eq(part, STR("table"));
}

/* ---- keys ---- */

static void begin(struct buf *key, struct arena *a, const char *what)
{
	buf_init(key, a, KEYSPACE_KEY_MAX);
	keyspace_area(key, KEYSPACE_DYNAMODB_META);
	keyspace_put(key, str_c(what));
}

static void put_id(struct buf *key, struct bulk_id id)
{
	buf_put_be64(key, id.ms);
	buf_put_be32(key, id.random);
}

static str id_key(struct arena *a, const char *what, struct bulk_id id)
{
	struct buf key;

	begin(&key, a, what);
	put_id(&key, id);
	return buf_str(&key);
}

str bulk_prefix(struct arena *a, const char *what)
{
	struct buf key;

	begin(&key, a, what);
	return buf_str(&key);
}

str bulk_list_prefix(struct arena *a, str account, str region)
{
	struct buf key;

	begin(&key, a, "bulk");
	keyspace_put(&key, account);
	keyspace_put(&key, region);
	return buf_str(&key);
}

str bulk_key(struct arena *a, str account, str region, struct bulk_id id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	buf_put(&key, bulk_list_prefix(a, account, region));
	put_id(&key, id);
	return buf_str(&key);
}

str bulk_running_key(struct arena *a, struct bulk_id id)
{
	return id_key(a, "bulk running", id);
}

str bulk_due_key(struct arena *a, struct bulk_id id)
{
	return id_key(a, "bulk due", id);
}

str bulk_count_key(struct arena *a, str account, str region)
{
	struct buf key;

	begin(&key, a, "bulk count");
	keyspace_put(&key, account);
	keyspace_put(&key, region);
	return buf_str(&key);
}

str bulk_token_key(struct arena *a, str account, str region, str token)
{
	struct buf key;

	begin(&key, a, "bulk token");
	keyspace_put(&key, account);
	keyspace_put(&key, region);
	keyspace_put(&key, token);
	return buf_str(&key);
}

str bulk_report_key(struct arena *a, struct bulk_id id, enum bulk_output type, uint64_t number)
{
	struct buf key;

	begin(&key, a, "bulk report");
	put_id(&key, id);
	buf_put_char(&key, (char)type);
	buf_put_be64(&key, number);
	return buf_str(&key);
}

/* ---- the stored form ---- */

/* All texts of a job, in the order in which they are stored. */
static void texts_of(struct bulk_job *j, str *ret_texts[JOB_TEXTS])
{
	str *const texts[JOB_TEXTS] = {&j->account, &j->region, &j->table, &j->table_arn,
		&j->table_uuid, &j->request, &j->as.arn, &j->as.role_arn, &j->as.name,
		&j->as.user_id, &j->as.access_key, &j->failure_code, &j->failure_message,
		&j->through, &j->object, &j->etag};

	memcpy(ret_texts, texts, sizeof texts);
}

/* The same of its numbers. */
static void numbers_of(struct bulk_job *j, uint64_t *ret_numbers[JOB_NUMBERS])
{
	uint64_t *const numbers[JOB_NUMBERS] = {&j->table_id, &j->seq, &j->total_bytes, &j->objects,
		&j->offset, &j->line, &j->done_objects, &j->done_bytes, &j->object_bytes,
		&j->processed, &j->failed, &j->unmet};

	memcpy(ret_numbers, numbers, sizeof numbers);
}

str bulk_encode(struct arena *a, const struct bulk_job *job)
{
	struct bulk_job copy = *job, *j = &copy;
	uint64_t *numbers[JOB_NUMBERS];
	str *texts[JOB_TEXTS];
	struct buf out;

	texts_of(j, texts);
	numbers_of(j, numbers);
	buf_init(&out, a, RECORD_MAX);
	buf_put_char(&out, JOB_VERSION);
	put_id(&out, j->id);
	buf_put_char(&out, (char)j->status);
	buf_put_char(&out, (char)j->as.kind);
	buf_put_char(&out, (char)(j->as.unrestricted | j->as.narrowed << 1 | j->counted << 2));
	buf_put_be64(&out, (uint64_t)j->end_ms);
	for (size_t i = 0; i < JOB_TEXTS; i++)
		buf_put_sized(&out, *texts[i]);
	for (size_t i = 0; i < JOB_NUMBERS; i++)
		buf_put_varint(&out, *numbers[i]);
	for (size_t i = 0; i < BULK_OUTPUTS; i++) {
		buf_put_varint(&out, j->spool[i].parts);
		buf_put_varint(&out, j->spool[i].first);
		buf_put_varint(&out, j->spool[i].next);
		buf_put_varint(&out, j->spool[i].bytes);
	}
	buf_put_varint(&out, j->usage_count);
	for (size_t i = 0; i < j->usage_count; i++) {
		buf_put_sized(&out, j->usage[i].name);
		buf_put_char(&out, (char)j->usage[i].kind);
		buf_put_varint(&out, j->usage[i].bytes);
	}
	check(!out.over);
	return buf_str(&out);
}

static bool take_spool(str *in, struct bulk_spool *s)
{
	return str_take_varint(in, &s->parts) && str_take_varint(in, &s->first) &&
	       str_take_varint(in, &s->next) && str_take_varint(in, &s->bytes);
}

static bool take_usage(str *in, struct bulk_job *j)
{
	uint64_t count;

	if (!str_take_varint(in, &count) || count > BULK_USAGES_MAX)
		return false;
	for (uint64_t i = 0; i < count; i++) {
		struct bulk_usage *u = &j->usage[i];

		if (!str_take_sized(in, &u->name) || !str_take_u8(in, &u->kind) ||
			u->kind > BULK_OF_VECTORS || !str_take_varint(in, &u->bytes))
			return false;
	}
	j->usage_count = (size_t)count;
	return true;
}

int bulk_decode(str in, struct bulk_job *j)
{
	uint64_t *numbers[JOB_NUMBERS], end;
	uint8_t version, status, flags;
	str *texts[JOB_TEXTS];

	memset(j, 0, sizeof *j);
	texts_of(j, texts);
	numbers_of(j, numbers);
	if (!str_take_u8(&in, &version) || version != JOB_VERSION ||
		!str_take_be64(&in, &j->id.ms) || !str_take_be32(&in, &j->id.random) ||
		!str_take_u8(&in, &status) || status > BULK_FAILED ||
		!str_take_u8(&in, &j->as.kind) || !str_take_u8(&in, &flags) ||
		!str_take_be64(&in, &end))
		return ERR_CORRUPT;
	j->status = (enum bulk_status)status;
	j->end_ms = (int64_t)end;
	j->as.unrestricted = flags & 1;
	j->as.narrowed = flags >> 1 & 1;
	j->counted = flags >> 2 & 1;
	for (size_t i = 0; i < JOB_TEXTS; i++)
		if (!str_take_sized(&in, texts[i]))
			return ERR_CORRUPT;
	j->as.account = j->account; /* stored once */
	for (size_t i = 0; i < JOB_NUMBERS; i++)
		if (!str_take_varint(&in, numbers[i]))
			return ERR_CORRUPT;
	for (size_t i = 0; i < BULK_OUTPUTS; i++)
		if (!take_spool(&in, &j->spool[i]))
			return ERR_CORRUPT;
	return take_usage(&in, j) && !in.n ? 0 : ERR_CORRUPT;
}

int bulk_load(struct dynamodb *d, struct arena *a, str key, struct bulk_job *ret_job)
{
	str document;

	if (!TRY(kv_get(d->kv, key, a, &document)))
		return 0;
	TRY(bulk_decode(document, ret_job));
	return 1;
}

int bulk_still_ours(
	const struct bulk_run *r, struct kv_txn *txn, struct arena *a, struct bulk_job *ret_now)
{
	struct bulk_job now;
	str document;

	if (!TRY(kv_txn_get(txn, r->key, a, &document)))
		return ERR_NOT_FOUND;
	TRY(bulk_decode(document, &now));
	if (now.seq != r->job.seq)
		return ERR_CANCELLED;
	*ret_now = now;
	return 0;
}

/* ---- how it is shown ---- */

const char *bulk_status_text(enum bulk_status status)
{
	static const char *const texts[] = {[BULK_IN_PROGRESS] = "IN_PROGRESS",
		[BULK_COMPLETED] = "COMPLETED",
		[BULK_COMPLETED_WITH_ERRORS] = "COMPLETED_WITH_ERRORS",
		[BULK_CANCELLING] = "CANCELLING",
		[BULK_CANCELLED] = "CANCELLED",
		[BULK_FAILED] = "FAILED"};

	return texts[status];
}

int bulk_request(struct arena *a, const struct bulk_job *j, const struct value **ret_input)
{
	struct value *input;

	TRY(codec_json_load(
		a, model_named(STR("dynamodb")), "StartBulkPutItemsInput", j->request, &input));
	*ret_input = input;
	return 0;
}

static void put_usage(const struct bulk_job *j, struct value *description)
{
	static const char *const maps[] = {[BULK_OF_LOCAL] = "LocalSecondaryIndexes",
		[BULK_OF_GLOBAL] = "GlobalSecondaryIndexes",
		[BULK_OF_VECTORS] = "VectorIndexes"};
	struct value *v = value_add_struct(value_put_list(description, "BulkOperationUsage"));
	uint64_t sum = 0;

	value_put_str(v, "TableName", j->table_arn);
	for (size_t i = 0; i < j->usage_count; i++) {
		const struct bulk_usage *u = &j->usage[i];
		bool vectors = u->kind == BULK_OF_VECTORS;

		sum += vectors ? 0 : u->bytes;
		if (u->kind == BULK_OF_TABLE)
			value_put_int(
				value_put_struct(v, "Table"), "BulkPutBytes", (int64_t)u->bytes);
		else
			value_put_int(
				value_map_put_struct(value_put_map(v, maps[u->kind]), u->name),
				vectors ? "BulkPutVectorBytes" : "BulkPutBytes", (int64_t)u->bytes);
	}
	value_put_int(v, "BulkPutBytes", (int64_t)sum);
}

int bulk_describe(struct arena *a, const struct bulk_job *j, struct value *v)
{
	const struct value *input;
	struct value *table;

	TRY(bulk_request(a, j, &input));
	value_put_str(v, "BulkOperationArn", bulk_arn(a, j));
	value_put_str(v, "BulkOperationStatus", str_c(bulk_status_text(j->status)));
	table = value_add_struct(value_put_list(v, "TableDetails"));
	value_put_str(table, "TableName", j->table_arn);
	value_put_str(table, "TableId", j->table_uuid);
	value_put_str(v, "ClientToken", value_str(input, "ClientToken"));
	value_put_copy(v, "InputS3Configuration", value_get(input, "InputS3Configuration"));
	value_put_copy(v, "OutputS3Configuration", value_get(input, "OutputS3Configuration"));
	value_put_time_ms(v, "StartTime", (int64_t)j->id.ms);
	if (j->end_ms)
		value_put_time_ms(v, "EndTime", j->end_ms);
	value_put_int(v, "ProcessedItemCount", (int64_t)j->processed);
	value_put_int(v, "ProcessedInputBytes", (int64_t)(j->done_bytes + j->object_bytes));
	if (j->counted)
		value_put_int(v, "TotalInputBytes", (int64_t)j->total_bytes);
	put_usage(j, v);
	value_put_int(v, "FailedItemCount", (int64_t)j->failed);
	if (j->status == BULK_FAILED || j->status == BULK_CANCELLED) {
		value_put_str(v, "FailureCode", j->failure_code);
		value_put_str(v, "FailureMessage", j->failure_message);
	}
	if (value_has(input, "MaxWriteRequestUnits"))
		value_put_int(
			v, "MaxWriteRequestUnits", value_int(input, "MaxWriteRequestUnits", 0));
	value_put_str(v, "PerformanceTier",
		value_has(input, "PerformanceTier") ? value_str(input, "PerformanceTier")
						    : STR("STANDARD"));
	return 0;
}

/* ---- the end ---- */

int bulk_end(struct kv_txn *txn, struct arena *a, struct bulk_job *j, enum bulk_status status)
{
	str count_key = bulk_count_key(a, j->account, j->region), value;
	uint32_t count = 0;
	struct buf left;

	if (TRY(kv_txn_get(txn, count_key, a, &value)) && !str_take_be32(&value, &count))
		return ERR_CORRUPT;
	buf_init(&left, a, sizeof count);
	buf_put_be32(&left, count ? count - 1 : 0);
	j->status = status;
	j->end_ms = rt_wall() / RT_NS_MS;
	kv_txn_put(txn, count_key, buf_str(&left));
	kv_txn_delete(txn, bulk_running_key(a, j->id));
	kv_txn_put(txn, bulk_key(a, j->account, j->region, j->id), bulk_encode(a, j));
	return 0;
}
