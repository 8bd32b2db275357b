/*
 * Streams and time to live over time: shards, trimming, ends, readers that wait, expiry; and that a
 * stream is the exact history of its table.
 */
#include "aws/keyspace.h"
#include "base/check.h"
#include "base/json.h"
#include "kv/kv.h"
#include "services/dynamodb/dynamodb.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/stream_iterator.h"
#include "services/dynamodb/ttl.h"
#include "test/services/dynamodb/dynamodb_test.h"
#include "test/services/dynamodb/wire.h"

#include <stdio.h>

#define SCHEMA                                                                           \
	"\"AttributeDefinitions\":[{\"AttributeName\":\"p\",\"AttributeType\":\"S\"}],"  \
	"\"KeySchema\":[{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"}],\"BillingMode\"" \
	":\"PAY_PER_REQUEST\""
#define STREAM ",\"StreamSpecification\":{\"StreamEnabled\":true,\"StreamViewType\":\"%s\"}"

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS };

static const struct json_value *parsed(struct arena *a, str body)
{
	struct json_value *v;

	check(json_parse(a, body, JSON_DEPTH_MAX, &v, NULL) == 0);
	return v;
}

static void create(struct ddb *w, const char *view)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable",
		arena_printf(&a, "{\"TableName\":\"tab\"," SCHEMA STREAM "}", view));
}

static void put(struct ddb *w, const char *key, int number)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "PutItem",
		arena_printf(&a,
			"{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"%s\"},\"n\":{\"N\":"
			"\"%d\"}}}",
			key, number));
}

static void sleep_ms(int64_t ms)
{
	check(rt_sleep_until(rt_after_ms(ms)) == 0);
}

/* The first stream of the table. */
static str stream_of(struct ddb *w, struct arena *a)
{
	str body = ddb_expect(w, a, 200, "Streams.ListStreams", STR("{\"TableName\":\"tab\"}"));
	const struct json_value *list = json_get(parsed(a, body), STR("Streams"));

	return json_text(json_get(json_at(list, 0), STR("StreamArn")));
}

static const struct json_value *describe(struct ddb *w, struct arena *a, str arn)
{
	return json_get(
		parsed(a, ddb_expect(w, a, 200, "Streams.DescribeStream",
				  arena_printf(a, "{\"StreamArn\":\"%.*s\"}", STR_ARG(arn)))),
		STR("StreamDescription"));
}

static str iterator(struct ddb *w, struct arena *a, str arn, str shard, const char *type)
{
	return json_text(
		json_get(parsed(a, ddb_expect(w, a, 200, "Streams.GetShardIterator",
					   arena_printf(a,
						   "{\"StreamArn\":\"%.*s\",\"ShardId\":\"%.*s\","
						   "\"ShardIteratorType\":\"%s\"}",
						   STR_ARG(arn), STR_ARG(shard), type))),
			STR("ShardIterator")));
}

static const struct json_value *records(struct ddb *w, struct arena *a, str it, int limit)
{
	return parsed(a, ddb_expect(w, a, 200, "Streams.GetRecords",
				 arena_printf(a, "{\"ShardIterator\":\"%.*s\",\"Limit\":%d}",
					 STR_ARG(it), limit)));
}

/* ---- codecs ---- */

TEST(dynamodb_stream, sequence_numbers)
{
	static const uint64_t stamps[] = {0, 1, 9, 10, 4294967296, UINT64_MAX - 1, UINT64_MAX};
	struct arena a cleanup(arena_done_p);
	str before = STR_NULL;
	uint64_t back;

	arena_init(&a, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(stamps); i++) {
		str text = stream_sequence(&a, stamps[i]);

		EXPECT_INT(text.n, 21);
		EXPECT_INT(stream_sequence_parse(text, &back), 1);
		EXPECT(back == stamps[i]);
		EXPECT(!before.p || str_cmp(before, text) < 0);
		before = text;
	}
	EXPECT_INT(stream_sequence_parse(STR("100000000000000000001x"), &back), 0);
	EXPECT_INT(stream_sequence_parse(STR("200000000000000000001"), &back), 0);
	EXPECT_INT(stream_sequence_parse(STR("199999999999999999999"), &back), 0);
	EXPECT_INT(stream_sequence_parse(STR(""), &back), 0);
}

TEST(dynamodb_stream, iterators_are_authentic)
{
	struct arena a cleanup(arena_done_p);
	struct stream_iterator
		it = {.arn = STR("arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/l"),
			.shard = STR("shardId-00000001795837737123-4fe6a1b2"),
			.after = 77,
			.trim_horizon = true,
			.issued_ms = 1795837737123},
		back;
	struct hmac_key key, other;
	str text;

	arena_init(&a, SIZE_MAX);
	hmac_key_init(&key, STR("a secret"));
	hmac_key_init(&other, STR("another secret"));
	text = stream_iterator_encode(&a, &key, &it);
	ASSERT(stream_iterator_decode(&a, &key, text, &back) == 1);
	EXPECT_STR(back.arn, it.arn);
	EXPECT_STR(back.shard, it.shard);
	EXPECT(back.after == 77 && back.trim_horizon && back.issued_ms == it.issued_ms);
	EXPECT_STR(stream_iterator_arn(text), it.arn);
	EXPECT_INT(stream_iterator_decode(&a, &other, text, &back), 0);
	/* Each byte counts. */
	for (size_t i = 0; i < text.n; i++) {
		char *forged = arena_bytes(&a, text.n);

		memcpy(forged, text.p, text.n);
		forged[i] = forged[i] == 'A' ? 'B' : 'A';
		EXPECT_INT(stream_iterator_decode(&a, &key, str_of(forged, text.n), &back), 0);
		EXPECT_INT(stream_iterator_decode(&a, &key, str_sub(text, 0, i), &back), 0);
	}
}

/* ---- shards over time ---- */

/* How many keys the area has. */
static unsigned keys_in(struct ddb *w, enum keyspace_area area)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct arena a cleanup(arena_done_p);
	struct kv_range range = {.limit = 0};
	struct buf from;
	str key, value;
	unsigned n = 0;

	arena_init(&a, SIZE_MAX);
	buf_init(&from, &a, 16);
	keyspace_area(&from, area);
	range.from = buf_str(&from);
	range.to = keyspace_prefix_end(&a, range.from);
	check(kv_scan_open(w->kv, &range, &scan) == 0);
	while (kv_scan_next(scan, &key, &value) == 1)
		n++;
	return n;
}

static void age(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	const struct json_value *d, *shards, *first, *second, *page;
	struct ddb_answer answer;
	str arn, old, it;

	arena_init(&a, SIZE_MAX);
	create(w, "NEW_IMAGE");
	arn = stream_of(w, &a);
	/* Without records a shard lives on. */
	sleep_ms(9 * HOUR_MS + HOUR_MS / 2);
	shards = json_get(describe(w, &a, arn), STR("Shards"));
	EXPECT_INT(shards->count, 1);
	old = json_text(json_get(json_at(shards, 0), STR("ShardId")));
	for (int i = 0; i < 5; i++)
		put(w, "k", i);
	sleep_ms(2 * HOUR_MS);
	put(w, "late", 1);
	d = describe(w, &a, arn);
	shards = json_get(d, STR("Shards"));
	EXPECT_INT(shards->count, 2);
	first = json_at(shards, 0);
	second = json_at(shards, 1);
	EXPECT_STR(json_text(json_get(first, STR("ShardId"))), old);
	EXPECT_STR(json_text(json_get(second, STR("ParentShardId"))), old);
	EXPECT(json_get_path(first, STR("SequenceNumberRange.EndingSequenceNumber")) != NULL);
	EXPECT(json_get_path(second, STR("SequenceNumberRange.EndingSequenceNumber")) == NULL);
	EXPECT(str_cmp(json_text(json_get_path(
			       first, STR("SequenceNumberRange.EndingSequenceNumber"))),
		       json_text(json_get_path(
			       second, STR("SequenceNumberRange.StartingSequenceNumber")))) < 0);
	/* The closed one ends, the open one does not. */
	page = records(w, &a, iterator(w, &a, arn, old, "TRIM_HORIZON"), 1000);
	EXPECT_INT(json_get(page, STR("Records"))->count, 5);
	EXPECT(json_get(page, STR("NextShardIterator")) == NULL);
	page = records(w, &a, iterator(w, &a, arn, old, "LATEST"), 1000);
	EXPECT_INT(json_get(page, STR("Records"))->count, 0);
	EXPECT(json_get(page, STR("NextShardIterator")) == NULL);
	sleep_ms(1000); /* the horizon */
	it = json_text(json_get(second, STR("ShardId")));
	page = records(w, &a, iterator(w, &a, arn, it, "TRIM_HORIZON"), 1000);
	EXPECT_INT(json_get(page, STR("Records"))->count, 1);
	EXPECT(json_get(page, STR("NextShardIterator")) != NULL);
	/* CHILD_SHARDS, and paging. */
	d = json_get(parsed(&a, ddb_expect(w, &a, 200, "Streams.DescribeStream",
					arena_printf(&a,
						"{\"StreamArn\":\"%.*s\",\"ShardFilter\":{\"Type\":"
						"\"CHILD_SHARDS\",\"ShardId\":\"%.*s\"}}",
						STR_ARG(arn), STR_ARG(old)))),
		STR("StreamDescription"));
	EXPECT_INT(json_get(d, STR("Shards"))->count, 1);
	EXPECT_STR(json_text(json_get(json_at(json_get(d, STR("Shards")), 0), STR("ShardId"))), it);
	d = json_get(parsed(&a, ddb_expect(w, &a, 200, "Streams.DescribeStream",
					arena_printf(&a, "{\"StreamArn\":\"%.*s\",\"Limit\":1}",
						STR_ARG(arn)))),
		STR("StreamDescription"));
	EXPECT_STR(json_text(json_get(d, STR("LastEvaluatedShardId"))), old);
	/* An iterator is good for 15 minutes. */
	it = iterator(w, &a, arn, it, "TRIM_HORIZON");
	sleep_ms(15 * 60 * 1000 - 1000);
	(void)records(w, &a, it, 1);
	sleep_ms(2000);
	answer = ddb_send(w, &a, STR("Streams.GetRecords"),
		arena_printf(&a, "{\"ShardIterator\":\"%.*s\"}", STR_ARG(it)));
	EXPECT_INT(answer.status, 400);
	EXPECT(str_find_str(answer.body, STR("ExpiredIteratorException")) >= 0);
	/* After a day the records are trimmed, and the closed shard goes. */
	sleep_ms(DAY_MS + 2 * HOUR_MS);
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_STREAM_RECORDS), 0);
	shards = json_get(describe(w, &a, arn), STR("Shards"));
	for (uint32_t i = 0; i < shards->count; i++)
		EXPECT(!str_eq(json_text(json_get(json_at(shards, i), STR("ShardId"))), old));
}

TEST(dynamodb_stream, shards_age)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		ddb_run(seed, age, NULL);
}

/* A position whose record was trimmed. */
static void trimmed(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	const struct json_value *page;
	struct ddb_answer answer;
	str arn, shard, sequence;

	arena_init(&a, SIZE_MAX);
	create(w, "KEYS_ONLY");
	arn = stream_of(w, &a);
	shard = json_text(json_get(
		json_at(json_get(describe(w, &a, arn), STR("Shards")), 0), STR("ShardId")));
	put(w, "a", 1);
	sleep_ms(3 * HOUR_MS);
	put(w, "b", 1);
	sleep_ms(HOUR_MS / 2);
	page = records(w, &a, iterator(w, &a, arn, shard, "TRIM_HORIZON"), 1000);
	EXPECT_INT(json_get(page, STR("Records"))->count, 2);
	sequence = json_text(json_get_path(
		json_at(json_get(page, STR("Records")), 0), STR("dynamodb.SequenceNumber")));
	sleep_ms(DAY_MS - 2 * HOUR_MS); /* `a` is older than a day, `b` is not */
	answer = ddb_send(w, &a, STR("Streams.GetShardIterator"),
		arena_printf(&a,
			"{\"StreamArn\":\"%.*s\",\"ShardId\":\"%.*s\",\"ShardIteratorType\":"
			"\"AT_SEQUENCE_NUMBER\",\"SequenceNumber\":\"%.*s\"}",
			STR_ARG(arn), STR_ARG(shard), STR_ARG(sequence)));
	EXPECT_INT(answer.status, 400);
	EXPECT(str_find_str(answer.body, STR("TrimmedDataAccessException")) >= 0);
	page = records(w, &a, iterator(w, &a, arn, shard, "TRIM_HORIZON"), 1000);
	EXPECT_INT(json_get(page, STR("Records"))->count, 1);
}

TEST(dynamodb_stream, trimmed_positions)
{
	ddb_run(1, trimmed, NULL);
}

/* The stream of a deleted table can be read for a day. */
static void outlive(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	const struct json_value *d, *page;
	struct ddb_answer answer;
	str arn, shard;

	arena_init(&a, SIZE_MAX);
	create(w, "OLD_IMAGE");
	arn = stream_of(w, &a);
	put(w, "a", 1);
	put(w, "a", 2);
	ddb_expect(w, &a, 200, "DeleteTable", STR("{\"TableName\":\"tab\"}"));
	sleep_ms(5000);
	d = describe(w, &a, arn);
	EXPECT_STR(json_text(json_get(d, STR("StreamStatus"))), STR("DISABLED"));
	shard = json_text(json_get(json_at(json_get(d, STR("Shards")), 0), STR("ShardId")));
	/* A table of the same name has another one. */
	create(w, "OLD_IMAGE");
	sleep_ms(20 * HOUR_MS);
	page = records(w, &a, iterator(w, &a, arn, shard, "TRIM_HORIZON"), 1000);
	EXPECT_INT(json_get(page, STR("Records"))->count, 2);
	EXPECT(json_get(page, STR("NextShardIterator")) == NULL);
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_STREAMS), 2);
	sleep_ms(5 * HOUR_MS);
	answer = ddb_send(w, &a, STR("Streams.DescribeStream"),
		arena_printf(&a, "{\"StreamArn\":\"%.*s\"}", STR_ARG(arn)));
	EXPECT(str_find_str(answer.body, STR("ResourceNotFoundException")) >= 0);
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_STREAMS), 1);
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_STREAM_RECORDS), 0);
}

TEST(dynamodb_stream, outlives_its_table)
{
	ddb_run(1, outlive, NULL);
}

/* ---- history ---- */

enum { HISTORY_KEYS = 6, HISTORY_WRITES = 60, HISTORY_WRITERS = 4 };

struct history {
	struct ddb *w;
	unsigned running;
	struct rt_event ended;
};

static void write_at_random(void *arg)
{
	struct history *h = arg;
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	for (int i = 0; i < HISTORY_WRITES; i++) {
		unsigned key = (unsigned)(rt_random() % HISTORY_KEYS);
		unsigned kind = (unsigned)(rt_random() % 4);

		/* Each may fail: then the table says what has become of it. */
		if (kind == 0)
			ddb_send(h->w, &a, STR("DeleteItem"),
				arena_printf(&a,
					"{\"TableName\":\"tab\",\"Key\":{\"p\":{\"S\":\"k%u\"}}}",
					key));
		else if (kind == 1)
			ddb_send(h->w, &a, STR("UpdateItem"),
				arena_printf(&a,
					"{\"TableName\":\"tab\",\"Key\":{\"p\":{\"S\":\"k%u\"}},"
					"\"UpdateExpression\":\"ADD n :one\","
					"\"ExpressionAttributeValues\":{\":one\":{\"N\":\"1\"}}}",
					key));
		else if (kind == 2)
			ddb_send(h->w, &a, STR("PutItem"),
				arena_printf(&a,
					"{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"k%u\"},"
					"\"n\":{\"N\":\"%u\"}}}",
					key, (unsigned)(rt_random() % 3)));
		else
			ddb_send(h->w, &a, STR("BatchWriteItem"),
				arena_printf(&a,
					"{\"RequestItems\":{\"tab\":[{\"DeleteRequest\":{\"Key\":"
					"{\"p\":{\"S\":\"k%u\"}}}},{\"PutRequest\":{\"Item\":{\"p\""
					":{\"S\":\"k%u\"}}}}]}}",
					key, (key + 1) % HISTORY_KEYS));
		check(rt_sleep_until(rt_after_ms((int64_t)(rt_random() % (HOUR_MS / 4)))) == 0);
	}
	if (--h->running == 0)
		rt_event_set(&h->ended);
}

static bool same_json(const struct json_value *a, const struct json_value *b)
{
	if (!a || !b || a->kind != b->kind)
		return a == b;
	if (a->kind == JSON_STRING)
		return str_eq(a->text, b->text);
	if (a->kind != JSON_OBJECT || a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (!same_json(&a->members[i].value, json_get(b, a->members[i].key)))
			return false;
	return true;
}

/* Applies one record to the model of the table, and checks that it fits. */
static void apply(const struct json_value **model, const struct json_value *record)
{
	str name = json_text(json_get(record, STR("eventName")));
	str key = json_text(json_get_path(record, STR("dynamodb.Keys.p.S")));
	const struct json_value *before = json_get_path(record, STR("dynamodb.OldImage"));
	const struct json_value *after = json_get_path(record, STR("dynamodb.NewImage"));
	const struct json_value **slot = &model[key.p[1] - '0'];

	EXPECT(same_json(*slot, before));
	EXPECT(!same_json(before, after));
	EXPECT_STR(name, !before ? STR("INSERT") : !after ? STR("REMOVE") : STR("MODIFY"));
	*slot = after;
}

static void read_shard(
	struct ddb *w, struct arena *a, str it, const struct json_value **model, str *last)
{
	for (int i = 0; it.p && i < 1000; i++) {
		const struct json_value *page = records(w, a, it, 7);
		const struct json_value *list = json_get(page, STR("Records"));

		for (uint32_t k = 0; k < list->count; k++) {
			str sequence = json_text(
				json_get_path(json_at(list, k), STR("dynamodb.SequenceNumber")));

			EXPECT(!last->p || str_cmp(*last, sequence) < 0);
			*last = sequence;
			apply(model, json_at(list, k));
		}
		it = json_text(json_get(page, STR("NextShardIterator")));
		if (!list->count)
			return;
	}
}

/* Reads through the port while the table is written to, from shard to shard. */
struct follower {
	struct ddb *w;
	str arn;
	bool stop; /* once nothing more comes */
	const struct json_value *model[HISTORY_KEYS];
	unsigned count;
	struct arena arena;
	struct rt_event ended;
};

/* The shard whose parent is `parent` (STR_NULL: the first). */
static str next_shard(struct follower *f, str parent)
{
	const struct port_records *port = dynamodb_records(f->w->dynamodb);
	struct records_shard *shards;
	int n;

	while ((n = port->shards(port->self, &f->arena, f->arn, &shards)) < 0)
		sleep_ms(100);
	for (int i = 0; i < n; i++)
		if (str_eq(shards[i].parent, parent))
			return shards[i].id;
	return STR_NULL;
}

static str begin_of(struct follower *f, str shard)
{
	const struct port_records *port = dynamodb_records(f->w->dynamodb);
	str position;

	while (port->start(port->self, &f->arena, f->arn, shard, RECORDS_TRIM_HORIZON, 0,
		       &position) < 0)
		sleep_ms(100);
	return position;
}

static void follow(void *arg)
{
	struct follower *f = arg;
	const struct port_records *port = dynamodb_records(f->w->dynamodb);
	str shard = next_shard(f, STR_NULL), position = begin_of(f, shard), last = STR_NULL;

	for (;;) {
		const struct records_read request = {.arn = f->arn,
			.shard = shard,
			.position = position,
			.records_max = 1 + rt_random() % 5,
			.bytes_max = 1 << 20,
			.deadline = rt_after_ms(3 * 1000)};
		struct records_batch batch;

		if (port->read(port->self, &f->arena, &request, &batch) < 0)
			continue; /* an injected fault: from the same position again */
		EXPECT(!batch.trimmed);
		for (size_t i = 0; i < batch.count; i++) {
			EXPECT(!last.p || str_cmp(last, batch.records[i].sequence) < 0);
			last = batch.records[i].sequence;
			apply(f->model, parsed(&f->arena, batch.records[i].json));
			f->count++;
		}
		position = batch.position;
		if (batch.end) {
			shard = next_shard(f, shard);
			ASSERT(shard.p != NULL);
			position = begin_of(f, shard);
		} else if (f->stop && !batch.count) {
			break;
		} else if (!batch.count) {
			sleep_ms((int64_t)(rt_random() % (HOUR_MS / 20)));
		}
	}
	rt_event_set(&f->ended);
}

static void check_history(struct ddb *w)
{
	struct follower f = {.w = w};
	struct arena a cleanup(arena_done_p);
	struct history h = {.w = w, .running = HISTORY_WRITERS};
	const struct json_value *model[HISTORY_KEYS] = {NULL}, *shards;
	str arn, last = STR_NULL;

	arena_init(&a, SIZE_MAX);
	rt_event_init(&h.ended);
	create(w, "NEW_AND_OLD_IMAGES");
	arn = stream_of(w, &a);
	f.arn = arn;
	arena_init(&f.arena, SIZE_MAX);
	rt_event_init(&f.ended);
	check(rt_spawn(follow, &f) == 0);
	kv_fault_set(w->kv, &(struct kv_fault_options){.seed = rt_random(),
				    .conflict_per_mille = 100,
				    .error_per_mille = 20,
				    .scan_conflict_per_mille = 50});
	for (unsigned i = 0; i < HISTORY_WRITERS; i++)
		check(rt_spawn(write_at_random, &h) == 0);
	rt_event_wait_sure(&h.ended);
	kv_fault_set(w->kv, &(struct kv_fault_options){.no_delay = true});
	sleep_ms(10 * 1000); /* the horizon, and work that had failed */
	f.stop = true;
	rt_event_wait_sure(&f.ended);
	shards = json_get(describe(w, &a, arn), STR("Shards"));
	EXPECT(shards->count >= 2);
	for (uint32_t i = 0; i < shards->count; i++) {
		str id = json_text(json_get(json_at(shards, i), STR("ShardId")));

		read_shard(w, &a, iterator(w, &a, arn, id, "TRIM_HORIZON"), model, &last);
	}
	EXPECT(f.count >= HISTORY_WRITES);
	for (unsigned i = 0; i < HISTORY_KEYS; i++) {
		EXPECT(same_json(model[i], f.model[i]));
		EXPECT(same_json(model[i],
			json_get(parsed(&a, ddb_expect(w, &a, 200, "GetItem",
						    arena_printf(&a,
							    "{\"TableName\":\"tab\",\"Key\":{\"p\""
							    ":{\"S\":\"k%u\"}}}",
							    i))),
				STR("Item"))));
	}
	arena_done(&f.arena);
}

TEST(dynamodb_stream, is_the_history_of_its_table)
{
	for (uint64_t seed = 1; seed <= 10; seed++)
		ddb_run(seed, check_history, NULL);
}

/* ---- the port ---- */

struct reader {
	struct ddb *w;
	str arn, shard, position;
	struct records_batch batch;
	int64_t took_ns;
	int rc;
	struct arena arena;
	struct rt_event ended;
};

static void read_port(void *arg)
{
	struct reader *r = arg;
	const struct port_records *port = dynamodb_records(r->w->dynamodb);
	const struct records_read request = {.arn = r->arn,
		.shard = r->shard,
		.position = r->position,
		.records_max = 100,
		.bytes_max = 1 << 20,
		.deadline = rt_after_ms(60 * 1000)};
	int64_t begun = rt_now();

	r->rc = port->read(port->self, &r->arena, &request, &r->batch);
	r->took_ns = rt_now() - begun;
	rt_event_set(&r->ended);
}

static void port(struct ddb *w)
{
	struct reader r = {.w = w};
	const struct port_records *port = dynamodb_records(w->dynamodb);
	struct arena a cleanup(arena_done_p);
	struct records_shard *shards;
	uint64_t trips;
	struct kv_stats stats;

	arena_init(&a, SIZE_MAX);
	arena_init(&r.arena, SIZE_MAX);
	rt_event_init(&r.ended);
	create(w, "NEW_IMAGE");
	r.arn = stream_of(w, &a);
	ASSERT(port->shards(port->self, &a, r.arn, &shards) == 1);
	EXPECT(!shards[0].closed && !shards[0].parent.p);
	r.shard = shards[0].id;
	EXPECT_INT(
		port->start(port->self, &a, r.arn, r.shard, RECORDS_AT_TIMESTAMP, 0, &r.position),
		ERR_UNSUPPORTED);
	ASSERT(port->start(port->self, &a, r.arn, r.shard, RECORDS_LATEST, 0, &r.position) == 0);
	/* Who waits is woken by the write. */
	check(rt_spawn(read_port, &r) == 0);
	sleep_ms(30 * 1000 + 500);
	kv_stats(w->kv, &stats);
	trips = stats.round_trips;
	sleep_ms(10 * 1000);
	kv_stats(w->kv, &stats);
	EXPECT(stats.round_trips - trips <= 50); /* a look a second */
	put(w, "a", 1);
	rt_event_wait_sure(&r.ended);
	ASSERT(r.rc == 0 && r.batch.count == 1);
	EXPECT(r.took_ns < 41 * RT_NS_S);
	EXPECT(!r.batch.end && !r.batch.trimmed);
	EXPECT(str_find_str(r.batch.records[0].json, STR("\"eventSourceARN\":\"arn:aws")) > 0);
	EXPECT_STR(json_text(json_get_path(
			   parsed(&a, r.batch.records[0].json), STR("dynamodb.NewImage.n.N"))),
		STR("1"));
	/* From its position nothing is read twice; a deadline ends the wait. */
	r.position = arena_str(&a, r.batch.position);
	read_port(&r);
	EXPECT(r.rc == 0 && r.batch.count == 0);
	EXPECT(r.took_ns >= 60 * RT_NS_S && r.took_ns < 62 * RT_NS_S);
	/* Positions outlive a day; what was trimmed is told. */
	put(w, "b", 1);
	put(w, "b", 2);
	sleep_ms(DAY_MS + HOUR_MS);
	put(w, "c", 3);
	sleep_ms(1000);
	ASSERT(port->shards(port->self, &a, r.arn, &shards) >= 1);
	r.position = STR("X1");
	read_port(&r);
	EXPECT_INT(r.rc, ERR_INVALID);
	r.position = STR("T0");
	r.shard = STR("shardId-00000000000000000000-00000000");
	read_port(&r);
	EXPECT_INT(r.rc, ERR_NOT_FOUND);
	arena_done(&r.arena);
}

TEST(dynamodb_stream, source_of_records)
{
	for (uint64_t seed = 1; seed <= 5; seed++)
		ddb_run(seed, port, NULL);
}

/* ---- time to live ---- */

static void put_due(struct ddb *w, const char *key, int64_t second)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "PutItem",
		arena_printf(&a,
			"{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"%s\"},\"t\":{\"N\":"
			"\"%lld\"}}}",
			key, (long long)second));
}

static bool is_there(struct ddb *w, const char *key)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	return json_get(parsed(&a, ddb_expect(w, &a, 200, "GetItem",
					   arena_printf(&a,
						   "{\"TableName\":\"tab\",\"Key\":{\"p\":{\"S\":"
						   "\"%s\"}}}",
						   key))),
		       STR("Item")) != NULL;
}

static void set_ttl(struct ddb *w, bool enabled)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "UpdateTimeToLive",
		arena_printf(&a,
			"{\"TableName\":\"tab\",\"TimeToLiveSpecification\":{\"AttributeName\":"
			"\"t\",\"Enabled\":%s}}",
			enabled ? "true" : "false"));
}

static void expect_status(struct ddb *w, const char *status)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	EXPECT_STR(json_text(json_get_path(parsed(&a, ddb_expect(w, &a, 200, "DescribeTimeToLive",
							      STR("{\"TableName\":\"tab\"}"))),
			   STR("TimeToLiveDescription.TimeToLiveStatus"))),
		str_c(status));
}

static int64_t wall_second(void)
{
	return rt_wall() / RT_NS_S;
}

static void expire(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	const struct json_value *list, *gone;
	int64_t now = wall_second();
	str arn, shard;

	arena_init(&a, SIZE_MAX);
	create(w, "OLD_IMAGE");
	put_due(w, "before", now - 100);
	put_due(w, "ancient", now - INT64_C(6) * 365 * 24 * 3600);
	for (int i = 0; i < 350; i++) {
		char key[16];

		snprintf(key, sizeof key, "many%d", i);
		put_due(w, key, now - 1000 + i);
	}
	expect_status(w, "DISABLED");
	set_ttl(w, true);
	put_due(w, "soon", now + 60);
	put_due(w, "moved", now + 60);
	sleep_ms(5000);
	expect_status(w, "ENABLED");
	EXPECT(!is_there(w, "before") && !is_there(w, "many0") && !is_there(w, "many349"));
	EXPECT(is_there(w, "ancient") && is_there(w, "soon"));
	put_due(w, "moved", now + 3600);
	put_due(w, "past", now - 5);
	sleep_ms(2500);
	EXPECT(!is_there(w, "past"));
	sleep_ms(60 * 1000);
	EXPECT(!is_there(w, "soon") && is_there(w, "moved") && is_there(w, "ancient"));
	/* Who deleted it stands in the stream. */
	arn = stream_of(w, &a);
	shard = json_text(json_get(
		json_at(json_get(describe(w, &a, arn), STR("Shards")), 0), STR("ShardId")));
	list = json_get(
		records(w, &a, iterator(w, &a, arn, shard, "TRIM_HORIZON"), 1000), STR("Records"));
	gone = json_at(list, list->count - 1);
	EXPECT_STR(json_text(json_get_path(gone, STR("dynamodb.Keys.p.S"))), STR("soon"));
	EXPECT_STR(json_text(json_get(gone, STR("eventName"))), STR("REMOVE"));
	EXPECT_STR(json_text(json_get_path(gone, STR("userIdentity.PrincipalId"))),
		STR("dynamodb.amazonaws.com"));
	EXPECT_STR(json_text(json_get_path(gone, STR("userIdentity.Type"))), STR("Service"));
	EXPECT(json_get(json_at(list, 0), STR("userIdentity")) == NULL);
	/* Disabled: nothing expires, no entry stays. */
	sleep_ms(HOUR_MS - 200 * 1000);
	put_due(w, "kept", now + 2 * 3600);
	sleep_ms(200 * 1000);
	set_ttl(w, false);
	sleep_ms(5000);
	expect_status(w, "DISABLED");
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_EXPIRY), 0);
	sleep_ms(2 * HOUR_MS);
	EXPECT(is_there(w, "kept"));
	/* Enabled again, and the table goes. */
	set_ttl(w, true);
	sleep_ms(3000);
	EXPECT(!is_there(w, "kept"));
	put_due(w, "left", wall_second() + 1000000);
	ddb_expect(w, &a, 200, "DeleteTable", STR("{\"TableName\":\"tab\"}"));
	sleep_ms(10 * 1000);
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_EXPIRY), 0);
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_ITEMS), 0);
	{
		str value;
		struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
		struct kv_range range = {.from = ttl_mark_prefix(&a)};
		str key;

		range.to = keyspace_prefix_end(&a, range.from);
		check(kv_scan_open(w->kv, &range, &scan) == 0);
		EXPECT_INT(kv_scan_next(scan, &key, &value), 0);
	}
}

TEST(dynamodb_ttl, expires)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		ddb_run(seed, expire, NULL);
}
