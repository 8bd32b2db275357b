/*
 * The engine of event source mappings against a source, a function and a clock that the test owns:
 * each test is a mapping's configuration, records, how the function behaves, and what it has to
 * have been called with ("1 2|3": records 1 and 2 together, then 3).
 */
#include "aws/codec.h"
#include "aws/ports/invoke.h"
#include "aws/ports/metric.h"
#include "base/check.h"
#include "base/mem.h"
#include "rt/rt.h"
#include "services/lambda/faults.h"
#include "services/lambda/limits.h"
#include "services/lambda/mapping_engine.h"
#include "test/test.h"

#include <stdio.h>

#define SOURCE   "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/1"
#define BUCKET   "arn:aws:s3:::lost-records"
#define FUNCTION "arn:aws:lambda:us-east-1:000000000000:function:f"
#define UUID     "00000000-0000-4000-8000-000000000001"

enum { SHARDS = 3, RECORDS_MAX = 600, POLL_MS = 100 };

struct fake_shard {
	const char *id, *parent;
	bool closed, gone;
	unsigned count;
	struct record_of_source records[RECORDS_MAX];
};

struct bench {
	struct arena arena;
	struct rt *rt;
	struct kv *kv;
	struct mapping_engine *engine;
	struct ports ports;
	struct port_records records;
	struct port_invoke invoke;
	struct port_metric metric;
	struct fake_shard shards[SHARDS];
	unsigned shard_count, sequence;
	bool source_gone;
	size_t record_bytes; /* of padding in records to come */
	const char *config;
	void (*test)(struct bench *b);
	/* The function: */
	const char *poison; /* a batch with this record fails */
	unsigned failing;   /* so many calls fail */
	bool no_function, undeliverable;
	unsigned throttled; /* so many are throttled */
	const char *answer; /* of the others, */
	unsigned answers;   /* so many times (then "null"); 0: always */
	unsigned slow_ms;   /* a call takes up to */
	unsigned running, running_most, called;
	unsigned qualifier; /* of the function of mappings to come; 0: none */
	unsigned last_of_key[10];
	bool disorder;
	struct buf calls, windows, losses, metrics;
};

/* ---- the source ---- */

static struct fake_shard *shard_of(struct bench *b, str id)
{
	for (unsigned i = 0; i < b->shard_count; i++)
		if (str_eq(str_c(b->shards[i].id), id) && !b->shards[i].gone)
			return &b->shards[i];
	return NULL;
}

static int fake_shards(void *self, struct arena *a, str arn, struct records_shard **ret_shards)
{
	struct bench *b = self;
	struct records_shard *all = arena_new_array(a, struct records_shard, SHARDS);
	int n = 0;

	EXPECT_STR(arn, STR(SOURCE));
	if (b->source_gone)
		return ERR_NOT_FOUND;
	for (unsigned i = 0; i < b->shard_count; i++)
		if (!b->shards[i].gone)
			all[n++] = (struct records_shard){str_c(b->shards[i].id),
				str_c(b->shards[i].parent), b->shards[i].closed};
	*ret_shards = all;
	return n;
}

static int fake_start(void *self, struct arena *a, str arn unused_arg, str shard,
	enum records_start start, int64_t time_ms unused_arg, str *ret_position)
{
	struct bench *b = self;
	struct fake_shard *s = shard_of(b, shard);

	if (!s || b->source_gone)
		return ERR_NOT_FOUND;
	*ret_position = arena_printf(a, "%u", start == RECORDS_LATEST ? s->count : 0);
	return 0;
}

static int fake_look(struct bench *b, struct arena *a, const struct records_read *read,
	struct records_batch *batch)
{
	struct fake_shard *s = shard_of(b, read->shard);
	uint64_t at;
	size_t bytes = 0;

	if (!s || b->source_gone)
		return ERR_NOT_FOUND;
	check(str_to_u64(read->position, RECORDS_MAX, &at) == 0);
	*batch = (struct records_batch){.records = s->records + at};
	while (at + batch->count < s->count && batch->count < read->records_max &&
		(!batch->count || bytes + s->records[at + batch->count].json.n <= read->bytes_max))
		bytes += s->records[at + batch->count++].json.n;
	batch->position = arena_printf(a, "%u", (unsigned)(at + batch->count));
	batch->end = s->closed && at + batch->count == s->count;
	return batch->count || batch->end;
}

static int fake_read(void *self, struct arena *a, const struct records_read *read,
	struct records_batch *ret_batch)
{
	for (;;) {
		int rc = TRY(fake_look(self, a, read, ret_batch));

		if (rc || rt_now() >= read->deadline)
			return 0;
		if (read->stopping && atomic_load(read->stopping))
			return ERR_CANCELLED;
		TRY(rt_sleep_until(MIN(rt_after_ms(POLL_MS), read->deadline)));
	}
}

/* A record now, of a key 0..9. */
static void write_to(struct bench *b, unsigned shard, unsigned key)
{
	struct fake_shard *s = &b->shards[shard];
	struct record_of_source *r = &s->records[s->count];
	char *padding = arena_bytes(&b->arena, b->record_bytes + 1);

	memset(padding, 'x', b->record_bytes);
	*r = (struct record_of_source){
		.key = arena_printf(&b->arena, "%u", key),
		.sequence = arena_printf(&b->arena, "%u", ++b->sequence),
		.position = arena_printf(&b->arena, "%u", s->count + 1),
		.time_ms = rt_wall() / RT_NS_MS,
	};
	r->json = arena_printf(&b->arena, "{\"seq\":%u,\"key\":%u,\"pad\":\"%.*s\"}", b->sequence,
		key, (int)b->record_bytes, padding);
	s->count++;
}

static void write_some(struct bench *b, unsigned n)
{
	while (n--)
		write_to(b, 0, 1);
}

/* ---- the function ---- */

static void note_window(struct bench *b, const struct json_value *event)
{
	struct json_writer w;
	str start = json_text(json_get_path(event, STR("window.start")));

	if (!start.p)
		return;
	buf_printf(&b->windows, "%s%.*s ", b->windows.n ? "|" : "", STR_ARG(str_from(start, 11)));
	json_writer_init(&w, &b->windows);
	json_put_value(&w, json_get(event, STR("state")));
	if (json_get(event, STR("isFinalInvokeForWindow"))->boolean)
		buf_put(&b->windows, STR(" final"));
	if (json_get(event, STR("isWindowTerminatedEarly"))->boolean)
		buf_put(&b->windows, STR(" early"));
}

/* Notes the call; true when it has the poison. */
static bool note_call(struct bench *b, const struct json_value *event)
{
	const struct json_value *records = json_get(event, STR("Records"));
	bool poisoned = false;

	buf_put(&b->calls, b->calls.n ? STR("|") : STR(""));
	for (uint32_t i = 0; i < records->count; i++) {
		str seq = json_get(&records->items[i], STR("seq"))->text;

		buf_printf(&b->calls, "%s%.*s", i ? " " : "", STR_ARG(seq));
		poisoned = poisoned || (b->poison && str_eq(seq, str_c(b->poison)));
	}
	note_window(b, event);
	return poisoned;
}

/* Records of one key have to come in their order. */
static void check_order(struct bench *b, const struct json_value *event)
{
	const struct json_value *records = json_get(event, STR("Records"));

	for (uint32_t i = 0; i < records->count; i++) {
		uint64_t key, seq;

		check(str_to_u64(json_get(&records->items[i], STR("key"))->text, 9, &key) == 0);
		check(str_to_u64(json_get(&records->items[i], STR("seq"))->text, 10000, &seq) == 0);
		if (seq < b->last_of_key[key])
			b->disorder = true;
		b->last_of_key[key] = (unsigned)seq;
	}
}

static int fake_invoke(void *self, struct arena *a, const struct invoke_request *request,
	struct invoke_result *ret)
{
	struct bench *b = self;
	struct json_value *event;
	bool poisoned;

	EXPECT(str_starts(request->function, STR(FUNCTION)));
	EXPECT_INT(request->type, INVOKE_WAIT);
	EXPECT(request->payload.n <= LAMBDA_PAYLOAD_BYTES_MAX);
	if (b->throttled) {
		b->throttled--;
		ret->fault = (struct fault){.kind = &lambda_faults[LAMBDA_TOO_MANY_REQUESTS]};
		return ERR_FAULT;
	}
	if (b->no_function) {
		ret->fault = (struct fault){.kind = &lambda_faults[LAMBDA_NOT_FOUND]};
		return ERR_FAULT;
	}
	check(json_parse(a, request->payload, JSON_DEPTH_MAX, &event, NULL) == 0);
	poisoned = note_call(b, event);
	check_order(b, event);
	b->called++;
	b->running++;
	b->running_most = MAX(b->running_most, b->running);
	if (b->slow_ms)
		(void)!rt_sleep_until(rt_after_ms(1 + (int64_t)(rt_random() % b->slow_ms)));
	b->running--;
	*ret = (struct invoke_result){
		.status = 200, .payload = STR("null"), .executed_version = STR("$LATEST")};
	if (poisoned || b->failing) {
		b->failing -= b->failing > 0;
		ret->function_error = STR("Unhandled");
		ret->payload = STR("{}");
	} else if (b->answer) {
		ret->payload = str_c(b->answer);
		if (b->answers && --b->answers == 0)
			b->answer = NULL;
	}
	return 0;
}

static int fake_deliver(void *arg, struct arena *a unused_arg, const struct mapping_loss *loss,
	str *ret_why unused_arg)
{
	struct bench *b = arg;

	EXPECT_STR(loss->function_arn, STR(FUNCTION));
	if (!str_eq(loss->destination_arn, STR(BUCKET)))
		EXPECT_STR(loss->destination_arn, STR(FUNCTION "-lost"));
	EXPECT(loss->mapping.n != 0 && loss->shard.n != 0);
	buf_put(&b->losses, loss->record);
	return b->undeliverable ? ERR_DENIED : 0;
}

static void fake_metric(void *self, str account unused_arg, str region unused_arg, str name_space,
	str name, const struct metric_dimension *dimensions, size_t n, double value,
	enum metric_unit unit unused_arg, int64_t time_ms unused_arg)
{
	struct bench *b = self;

	EXPECT_STR(name_space, STR("AWS/Lambda"));
	EXPECT_INT(n, 1);
	buf_printf(&b->metrics, "%.*s %.*s %d\n", STR_ARG(name), STR_ARG(dimensions[0].value),
		(int)value);
}

/* ---- the bench ---- */

static void engine_start(struct bench *b)
{
	b->engine = mapping_engine_new(&(struct mapping_engine_options){
		.rt = b->rt, .ports = &b->ports, .deliver = fake_deliver, .arg = b});
	EXPECT_INT(mapping_engine_start(b->engine, b->kv), 0);
}

static void engine_stop(struct bench *b)
{
	mapping_engine_stop(b->engine, rt_after_ms(60000));
	mapping_engine_free(b->engine);
}

static void create(struct bench *b, const char *uuid, const char *config)
{
	const struct model *model = model_named(STR("lambda"));
	struct mapping m = {.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.uuid = str_c(uuid),
		.revision = 1,
		.enabled = true,
		.tags = value_new(&b->arena, model, "CreateEventSourceMappingRequest")};
	str qualifier = b->qualifier ? arena_printf(&b->arena, ":q%u", b->qualifier) : STR("");
	str text = arena_printf(&b->arena,
		"{\"EventSourceArn\":\"" SOURCE "\",\"FunctionArn\":\"" FUNCTION "%.*s\"%s%s}",
		STR_ARG(qualifier), *config ? "," : "", config);
	str other;

	ASSERT_INT(codec_json_load(
			   &b->arena, model, "EventSourceMappingConfiguration", text, &m.config),
		0);
	ASSERT_INT(mapping_create(b->kv, &b->arena, &m, rt_after_ms(1000), &other), 0);
	mapping_engine_wake(b->engine);
}

static void pass(int64_t ms)
{
	EXPECT_INT(rt_sleep_until(rt_after_ms(ms)), 0);
}

static struct mapping stored(struct bench *b)
{
	struct mapping m = {.state = MAPPING_STATES};

	EXPECT(mapping_load(b->kv, &b->arena, STR("000000000000"), STR("us-east-1"), STR(UUID),
		       &m) >= 0);
	return m;
}

static void bench_fiber(void *arg)
{
	struct bench *b = arg;

	engine_start(b);
	/* So that windows begin at round times. */
	pass(600000 - rt_wall() / RT_NS_MS % 600000);
	b->test(b);
	engine_stop(b);
	kv_close(b->kv);
	rt_stop(b->rt);
}

static void bench_run(void (*test)(struct bench *b), const char *config)
{
	struct rt_options options = {.mode = RT_SIMULATED, .loops = 2, .seed = 1};
	struct bench *b = mem_new(struct bench);

	b->test = test;
	b->config = config;
	arena_init(&b->arena, SIZE_MAX);
	buf_init(&b->calls, &b->arena, 1 << 20);
	buf_init(&b->windows, &b->arena, 1 << 23);
	buf_init(&b->losses, &b->arena, 1 << 20);
	buf_init(&b->metrics, &b->arena, 1 << 20);
	b->shards[0].id = "s0";
	b->shard_count = 1;
	b->records = (struct port_records){
		b, STR("arn:aws:dynamodb:"), fake_shards, fake_start, fake_read};
	b->invoke = (struct port_invoke){b, fake_invoke, NULL};
	b->metric = (struct port_metric){b, fake_metric};
	b->ports = (struct ports){.invoke = &b->invoke, .metric = &b->metric};
	port_records_add(&b->ports, &b->records);
	EXPECT_INT(kv_open_memory(&(struct kv_memory_options){0}, &b->kv), 0);
	EXPECT_INT(rt_new(&options, &b->rt), 0);
	EXPECT_INT(rt_run(b->rt, bench_fiber, b), 0);
	rt_free(b->rt);
	arena_done(&b->arena);
	mem_free(b);
}

#define ENGINE(name, config)                      \
	static void name##_test(struct bench *b); \
	TEST(lambda_mapping, name)                \
	{                                         \
		bench_run(name##_test, config);   \
	}                                         \
	static void name##_test(struct bench *b)

#define EXPECT_CALLS(text) EXPECT_STR(buf_str(&b->calls), STR(text))

static bool has(const struct buf *b, const char *text)
{
	return str_find_str(buf_str(b), str_c(text)) >= 0;
}

/* ---- batches ---- */

ENGINE(batch_size, "\"BatchSize\":2")
{
	write_some(b, 5);
	create(b, UUID, b->config);
	pass(5000);
	EXPECT_CALLS("1 2|3 4|5");
	EXPECT_INT(stored(b).state, MAPPING_ENABLED);
	EXPECT(has(&b->metrics, "IteratorAge f "));
	EXPECT(!has(&b->metrics, "EventCount"));
	write_some(b, 1);
	pass(1000);
	EXPECT_CALLS("1 2|3 4|5|6");
}

ENGINE(batch_window, "\"MaximumBatchingWindowInSeconds\":5,\"BatchSize\":4")
{
	create(b, UUID, b->config);
	pass(1000);
	write_some(b, 1);
	pass(2000);
	write_some(b, 1);
	pass(2000);
	EXPECT_CALLS("");
	pass(1500);
	EXPECT_CALLS("1 2");
	write_some(b, 4); /* full: does not wait */
	pass(500);
	EXPECT_CALLS("1 2|3 4 5 6");
}

ENGINE(no_batch_window, "")
{
	create(b, UUID, b->config);
	for (int i = 0; i < 3; i++) {
		write_some(b, 1);
		pass(1000);
	}
	EXPECT_CALLS("1|2|3");
}

ENGINE(six_megabytes, "")
{
	b->record_bytes = 2500000;
	write_some(b, 3);
	create(b, UUID, b->config);
	pass(5000);
	EXPECT_CALLS("1 2|3");
}

/* Many mappings with large batches, all at once. */
ENGINE(memory_is_bounded, "")
{
	unsigned most = 2 * LAMBDA_MAPPING_BYTES_MAX / 5000000;
	char uuid[64];

	b->record_bytes = 2500000;
	b->slow_ms = 5000;
	write_some(b, 2);
	for (unsigned i = 1; i <= 40; i++) {
		b->qualifier = i;
		snprintf(uuid, sizeof(uuid), "00000000-0000-4000-8000-%012u", i);
		create(b, uuid, b->config);
	}
	pass(60000);
	EXPECT(b->running_most > 10 && b->running_most <= most);
	EXPECT_INT(b->called, 40);
}

/* ---- positions ---- */

ENGINE(latest, "\"StartingPosition\":\"LATEST\"")
{
	write_some(b, 2);
	create(b, UUID, b->config);
	pass(2000);
	EXPECT_CALLS("");
	write_some(b, 1);
	pass(2000);
	EXPECT_CALLS("3");
	/* What opens later is read from its beginning. */
	b->shards[1] = (struct fake_shard){.id = "s1", .parent = "s0"};
	write_to(b, 1, 1);
	b->shard_count = 2;
	b->shards[0].closed = true;
	pass(2000);
	EXPECT_CALLS("3|4");
}

ENGINE(parents_first, "\"StartingPosition\":\"TRIM_HORIZON\",\"MaximumRetryAttempts\":4")
{
	b->shards[1] = (struct fake_shard){.id = "s1", .parent = "s0"};
	b->shards[2] = (struct fake_shard){.id = "s2", .parent = "older"};
	b->shard_count = 3;
	write_some(b, 2);
	write_to(b, 1, 1);
	b->poison = "2";
	create(b, UUID, b->config);
	pass(5000);
	EXPECT_CALLS("1 2|1 2|1 2|1 2"); /* the child waits, though there are records in it */
	b->poison = NULL;
	b->shards[0].closed = true;
	pass(10000);
	EXPECT_CALLS("1 2|1 2|1 2|1 2|1 2|3");
	write_to(b, 2, 1);
	pass(1000);
	EXPECT_CALLS("1 2|1 2|1 2|1 2|1 2|3|4");
}

ENGINE(shard_gone, "")
{
	b->shards[1] = (struct fake_shard){.id = "s1", .parent = "s0"};
	create(b, UUID, b->config);
	pass(2000);
	write_to(b, 1, 1);
	b->shard_count = 2;
	b->shards[0].gone = true;
	pass(2000);
	EXPECT_CALLS("1");
}

ENGINE(source_gone, "")
{
	str result;
	struct mapping m;

	write_some(b, 1);
	create(b, UUID, b->config);
	pass(2000);
	b->source_gone = true;
	pass(120000);
	m = stored(b);
	EXPECT_INT(m.state, MAPPING_ENABLED);
	EXPECT_INT(mapping_result(b->kv, &b->arena, &m, &result), 0);
	EXPECT_STR(result, STR("PROBLEM: Stream not found"));
	b->source_gone = false; /* nothing was taken for read */
	write_some(b, 1);
	pass(120000);
	EXPECT_CALLS("1|2");
}

ENGINE(restart, "\"BatchSize\":2")
{
	write_some(b, 7);
	b->poison = "5";
	create(b, UUID, b->config);
	pass(10000);
	engine_stop(b);
	EXPECT(str_starts(buf_str(&b->calls), STR("1 2|3 4|5 6|5 6|5 6")));
	buf_reset(&b->calls);
	b->poison = NULL;
	engine_start(b);
	pass(5000);
	EXPECT_CALLS("5 6|7");
	engine_stop(b);
	engine_start(b);
	pass(5000);
	EXPECT_CALLS("5 6|7");
}

#define FILTER(pattern) "\"FilterCriteria\":{\"Filters\":[{\"Pattern\":\"" pattern "\"}]}"

ENGINE(filters, FILTER("{\\\"key\\\":[3]}") ",\"MetricsConfig\":{\"Metrics\":[\"EventCount\"]}")
{
	write_some(b, 3);
	write_to(b, 0, 3);
	write_some(b, 2);
	write_to(b, 0, 3);
	write_some(b, 1);
	create(b, UUID, b->config);
	pass(5000);
	EXPECT_CALLS("4 7");
	EXPECT(has(&b->metrics, "FilteredOutEventCount " UUID " 6\n"));
	EXPECT(has(&b->metrics, "InvokedEventCount " UUID " 2\n"));
	/* What is filtered out is progress, also when nothing else comes. */
	write_some(b, 4);
	pass(5000);
	{
		struct mapping_checkpoint c;

		ASSERT_INT(mapping_checkpoint(b->kv, &b->arena, STR("000000000000"),
				   STR("us-east-1"), STR(UUID), STR("s0"), &c),
			1);
		EXPECT_STR(c.position, STR("12"));
	}
}

/* ---- failures ---- */

#define LOST "\"DestinationConfig\":{\"OnFailure\":{\"Destination\":\"" FUNCTION "-lost\"}}"

ENGINE(retries, "\"BatchSize\":3,\"MaximumRetryAttempts\":2," LOST)
{
	write_some(b, 4);
	b->poison = "2";
	create(b, UUID, b->config);
	pass(60000);
	EXPECT_CALLS("1 2 3|1 2 3|1 2 3|4");
	EXPECT(has(&b->losses,
		"\"condition\":\"RetryAttemptsExhausted\",\"approximateInvokeCount\":3"));
	EXPECT(has(&b->losses, "\"responseContext\":{\"statusCode\":200,\"executedVersion\":"
			       "\"$LATEST\",\"functionError\":\"Unhandled\"}"));
	EXPECT(has(&b->losses, "\"DDBStreamBatchInfo\":{\"shardId\":\"s0\","
			       "\"startSequenceNumber\":\"1\",\"endSequenceNumber\":\"3\""));
	EXPECT(has(&b->losses, "\"batchSize\":3,\"streamArn\":\"" SOURCE "\"}}"));
}

/* A bucket gets the batch as well, as the function saw it. */
ENGINE(lost_to_a_bucket, "\"BatchSize\":2,\"MaximumRetryAttempts\":0,"
			 "\"DestinationConfig\":{\"OnFailure\":{\"Destination\":\"" BUCKET "\"}}")
{
	write_some(b, 2);
	b->poison = "2";
	create(b, UUID, b->config);
	pass(60000);
	EXPECT_CALLS("1 2");
	EXPECT(has(&b->losses,
		"\"batchSize\":2,\"streamArn\":\"" SOURCE "\"},\"payload\":\"{\\\"Records\\\":["));
	EXPECT(has(&b->losses, "]}\"}"));
}

/* A destination that cannot be told holds nothing up. */
ENGINE(undeliverable, "\"BatchSize\":1,\"MaximumRetryAttempts\":0," LOST)
{
	write_some(b, 2);
	b->poison = "1";
	b->undeliverable = true;
	create(b, UUID, b->config);
	pass(60000);
	EXPECT_CALLS("1|2");
	EXPECT(has(&b->metrics, "DestinationDeliveryFailures f 1\n"));
}

ENGINE(no_end_of_retries, "")
{
	write_some(b, 1);
	b->failing = 8;
	create(b, UUID, b->config);
	pass(600000);
	EXPECT_CALLS("1|1|1|1|1|1|1|1|1");
}

ENGINE(bisect, "\"BisectBatchOnFunctionError\":true,\"MaximumRetryAttempts\":0," LOST)
{
	write_some(b, 4);
	b->poison = "2";
	create(b, UUID, b->config);
	pass(60000);
	EXPECT_CALLS("1 2 3 4|1 2|1|2|3 4");
	EXPECT(has(&b->losses, "\"startSequenceNumber\":\"2\",\"endSequenceNumber\":\"2\""));
}

ENGINE(bisect_counts_single_attempts,
	"\"BisectBatchOnFunctionError\":true,\"MaximumRetryAttempts\":1," LOST)
{
	write_some(b, 2);
	b->poison = "1";
	create(b, UUID, b->config);
	pass(60000);
	EXPECT_CALLS("1 2|1|1|2");
	EXPECT(has(&b->losses, "\"approximateInvokeCount\":3")); /* with that of the whole batch */
}

ENGINE(throttled, "\"MaximumRetryAttempts\":0")
{
	write_some(b, 2);
	b->throttled = 5;
	create(b, UUID, b->config);
	pass(600000);
	EXPECT_CALLS("1 2");
}

ENGINE(function_gone, "\"MaximumRetryAttempts\":0")
{
	struct mapping m;
	str result;

	write_some(b, 2);
	b->no_function = true;
	create(b, UUID, b->config);
	pass(600000);
	m = stored(b);
	EXPECT_INT(mapping_result(b->kv, &b->arena, &m, &result), 0);
	EXPECT_STR(result, STR("PROBLEM: Function not found"));
	b->no_function = false; /* created again */
	pass(120000);
	EXPECT_CALLS("1 2");
	EXPECT_INT(mapping_result(b->kv, &b->arena, &m, &result), 0);
	EXPECT_STR(result, STR("OK"));
}

ENGINE(age, "\"MaximumRecordAgeInSeconds\":60,\"MaximumRetryAttempts\":-1," LOST)
{
	write_some(b, 2);
	pass(61000);
	write_some(b, 1);
	create(b, UUID, b->config);
	pass(5000);
	EXPECT_CALLS("3");
	EXPECT(has(&b->losses, "\"condition\":\"RecordAgeExceeded\",\"approximateInvokeCount\":0"));
	EXPECT(has(&b->losses, "\"startSequenceNumber\":\"1\",\"endSequenceNumber\":\"2\""));
	EXPECT(!has(&b->losses, "responseContext"));
	/* What grows old while it is tried. */
	buf_reset(&b->losses);
	b->poison = "4";
	write_some(b, 1);
	pass(200000);
	EXPECT(has(&b->losses, "RecordAgeExceeded"));
}

#define ITEMS      "\"FunctionResponseTypes\":[\"ReportBatchItemFailures\"]"
#define FAILED(id) "{\"batchItemFailures\":[{\"itemIdentifier\":\"" id "\"}]}"

ENGINE(item_failures, ITEMS)
{
	write_some(b, 5);
	b->answer =
		"{\"batchItemFailures\":[{\"itemIdentifier\":\"4\"},{\"itemIdentifier\":\"3\"}]}";
	b->answers = 1;
	create(b, UUID, b->config);
	pass(10000);
	EXPECT_CALLS("1 2 3 4 5|3 4 5");
}

ENGINE(item_failures_off, "")
{
	write_some(b, 2);
	b->answer = FAILED("2");
	create(b, UUID, b->config);
	pass(10000);
	EXPECT_CALLS("1 2");
}

ENGINE(item_failures_bisect,
	ITEMS ",\"BisectBatchOnFunctionError\":true,\"MaximumRetryAttempts\":0")
{
	write_some(b, 5);
	b->answer = FAILED("3");
	b->answers = 2;
	create(b, UUID, b->config);
	pass(10000);
	/* Split at the record that failed; that it failed again halves what is left. */
	EXPECT_CALLS("1 2 3 4 5|3 4 5|3|4 5");
}

/* An attempt counts for the record that stands first. */
ENGINE(item_failures_progress, ITEMS ",\"MaximumRetryAttempts\":1")
{
	write_some(b, 3);
	b->answer = FAILED("2");
	b->answers = 1;
	create(b, UUID, b->config);
	pass(200);
	b->answer = FAILED("3");
	b->answers = 1;
	pass(10000);
	EXPECT_CALLS("1 2 3|2 3|3");
}

static void answers_twice(struct bench *b, const char *answer, bool fails)
{
	buf_reset(&b->calls);
	b->answer = answer;
	b->answers = 1;
	b->sequence = 0;
	write_some(b, 1);
	pass(5000);
	if (!str_eq(buf_str(&b->calls), fails ? STR("1|1") : STR("1")))
		test_fail(__FILE__, __LINE__, "%s gave %.*s", answer, STR_ARG(buf_str(&b->calls)));
}

ENGINE(item_failures_forms, ITEMS)
{
	create(b, UUID, b->config);
	answers_twice(b, "null", false);
	answers_twice(b, "", false);
	answers_twice(b, "{}", false);
	answers_twice(b, "{\"batchItemFailures\":null}", false);
	answers_twice(b, "{\"batchItemFailures\":[]}", false);
	answers_twice(b, "\"text\"", true);
	answers_twice(b, "[]", true);
	answers_twice(b, "{\"batchItemFailures\":{}}", true);
	answers_twice(b, "{\"batchItemFailures\":[{}]}", true);
	answers_twice(b, FAILED(""), true);
	answers_twice(b, "{\"batchItemFailures\":[{\"itemIdentifier\":null}]}", true);
	answers_twice(b, "{\"batchItemFailures\":[{\"other\":\"1\"}]}", true);
	answers_twice(b, FAILED("77"), true);
	answers_twice(b, FAILED("1"), true);
}

/* ---- lanes ---- */

ENGINE(lanes, "\"ParallelizationFactor\":4,\"BatchSize\":5")
{
	b->slow_ms = 300;
	for (unsigned i = 0; i < 300; i++)
		write_to(b, 0, (unsigned)(rt_random() % 10));
	create(b, UUID, b->config);
	pass(60000);
	EXPECT(!b->disorder);
	EXPECT(b->running_most > 1 && b->running_most <= 4);
	for (unsigned i = 0, last = 0; i < 10; i++) {
		last = MAX(last, b->last_of_key[i]);
		if (i == 9)
			EXPECT_INT(last, 300);
	}
}

/* The position waits for the slowest: a lane that cannot go on keeps its records, others go on. */
ENGINE(lanes_checkpoint, "\"ParallelizationFactor\":10,\"BatchSize\":1")
{
	b->poison = "1";
	for (unsigned i = 0; i < 10; i++)
		write_to(b, 0, i);
	create(b, UUID, b->config);
	pass(5000);
	EXPECT(has(&b->calls, "10"));
	engine_stop(b);
	buf_reset(&b->calls);
	b->poison = NULL;
	memset(b->last_of_key, 0, sizeof(b->last_of_key));
	engine_start(b);
	pass(5000);
	EXPECT_INT(b->last_of_key[0], 1);
}

/* ---- tumbling windows ---- */

ENGINE(tumbling, "\"TumblingWindowInSeconds\":60")
{
	b->answer = "{\"state\":{\"n\":1}}";
	create(b, UUID, b->config);
	pass(10000);
	write_some(b, 1);
	pass(10000);
	write_some(b, 1);
	pass(39000);
	EXPECT_CALLS("1|2");
	pass(3000); /* over, though nothing came */
	EXPECT_CALLS("1|2|");
	write_some(b, 1);
	pass(60000);
	EXPECT_CALLS("1|2||3|");
	EXPECT_STR(buf_str(&b->windows),
		STR("00:10:00Z {}|00:10:00Z {\"n\":1}|00:10:00Z {\"n\":1} final|"
		    "00:11:00Z {}|00:11:00Z {\"n\":1} final"));
}

ENGINE(tumbling_backlog, "\"TumblingWindowInSeconds\":60")
{
	b->answer = "{\"state\":{}}";
	write_some(b, 2);
	pass(70000);
	write_some(b, 1);
	b->shards[0].closed = true;
	create(b, UUID, b->config);
	pass(5000);
	/* Cut at the window's end; the end of the shard closes the last one. */
	EXPECT_CALLS("1 2||3|");
}

ENGINE(tumbling_failures, "\"TumblingWindowInSeconds\":60,\"MaximumRetryAttempts\":0")
{
	b->answer = "{\"no\":\"state\"}";
	b->answers = 1;
	write_some(b, 1);
	create(b, UUID, b->config);
	pass(5000);
	EXPECT_CALLS("1"); /* failed and given up: an answer needs a state */
	b->answer = "{\"state\":{\"a\":1}}";
	b->answers = 0;
	write_some(b, 1);
	pass(5000);
	b->failing = 3; /* the end is tried until it works */
	pass(120000);
	EXPECT_CALLS("1|2||||");
	EXPECT(str_ends(buf_str(&b->windows), STR("{\"a\":1} final")));
}

ENGINE(tumbling_restart, "\"TumblingWindowInSeconds\":600")
{
	b->answer = "{\"state\":{\"a\":1}}";
	write_some(b, 1);
	create(b, UUID, b->config);
	pass(5000);
	engine_stop(b);
	engine_start(b);
	write_some(b, 1);
	pass(5000);
	EXPECT_CALLS("1|2");
	EXPECT(str_ends(buf_str(&b->windows), STR("|00:10:00Z {\"a\":1}")));
}

ENGINE(tumbling_early, "\"TumblingWindowInSeconds\":600,\"BatchSize\":1")
{
	char *answer = arena_bytes(&b->arena, 1200100);
	int n = snprintf(answer, 100, "{\"state\":{\"a\":\"");

	memset(answer + n, 'x', 1200000);
	memcpy(answer + n + 1200000, "\"}}", 4);
	b->answer = answer;
	b->answers = 1;
	write_some(b, 1);
	create(b, UUID, b->config);
	pass(300);
	EXPECT_CALLS("1|");
	EXPECT(str_ends(buf_str(&b->windows), STR(" final early")));
	b->answer = "{\"state\":{}}";
	write_some(b, 1);
	pass(5000);
	EXPECT_CALLS("1||2");
	EXPECT(str_ends(buf_str(&b->windows), STR("|00:10:00Z {}")));
}

/* ---- states ---- */

static int set_enabled(void *arg, struct arena *a unused_arg, struct mapping *m)
{
	m->enabled = *(const bool *)arg;
	m->state = m->enabled ? MAPPING_ENABLING : MAPPING_DISABLING;
	m->revision++;
	return 1;
}

static int set_deleting(void *arg unused_arg, struct arena *a unused_arg, struct mapping *m)
{
	m->state = MAPPING_DELETING;
	m->revision++;
	return 1;
}

static int change(struct bench *b, int (*fn)(void *, struct arena *, struct mapping *), void *arg)
{
	const struct mapping_change x = {.account = STR("000000000000"),
		.region = STR("us-east-1"),
		.uuid = STR(UUID),
		.function_arn = STR_NULL,
		.change = fn,
		.arg = arg,
		.deadline = rt_after_ms(1000)};
	int rc = mapping_change(b->kv, &b->arena, &x, NULL, NULL);

	mapping_engine_wake(b->engine);
	return rc;
}

ENGINE(states, "")
{
	struct mapping_checkpoint *checkpoints;
	bool on = true, off = false;

	write_some(b, 1);
	create(b, UUID, b->config);
	pass(2000);
	EXPECT_CALLS("1");
	EXPECT_INT(change(b, set_enabled, &off), 1);
	pass(2000);
	EXPECT_INT(stored(b).state, MAPPING_DISABLED);
	write_some(b, 1);
	pass(2000);
	EXPECT_CALLS("1");
	EXPECT_INT(change(b, set_enabled, &on), 1);
	pass(2000);
	EXPECT_INT(stored(b).state, MAPPING_ENABLED);
	EXPECT_CALLS("1|2");
	EXPECT_INT(change(b, set_deleting, NULL), 1);
	pass(2000);
	EXPECT_INT(stored(b).state, MAPPING_STATES); /* gone */
	EXPECT_INT(mapping_checkpoints(b->kv, &b->arena, STR("000000000000"), STR("us-east-1"),
			   STR(UUID), &checkpoints),
		0);
	write_some(b, 1);
	pass(2000);
	EXPECT_CALLS("1|2");
	create(b, UUID, b->config); /* the pair is free again */
	pass(2000);
	EXPECT_CALLS("1|2|1 2 3");
}

/* A function that never succeeds does not hold the end up. */
ENGINE(stop_while_failing, "")
{
	bool off = false;

	b->poison = "1";
	write_some(b, 1);
	create(b, UUID, b->config);
	pass(300000);
	EXPECT_INT(change(b, set_enabled, &off), 1);
	pass(2000);
	EXPECT_INT(stored(b).state, MAPPING_DISABLED);
}
