/*
 * What becomes of a batch that is being processed when the worker ends. A crash is an engine that
 * is abandoned in the middle of a call, and another one that begins on the same store; the source
 * has five records, and the function never answers the third.
 */
#include "aws/codec.h"
#include "aws/ports/invoke.h"
#include "aws/ports/ports.h"
#include "base/check.h"
#include "base/mem.h"
#include "rt/rt.h"
#include "services/lambda/mapping_engine.h"
#include "test/test.h"

#define SOURCE   "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/1"
#define FUNCTION "arn:aws:lambda:us-east-1:000000000000:function:f"
#define UUID     "00000000-0000-4000-8000-000000000001"
#define ACCOUNT  STR("000000000000")
#define REGION   STR("us-east-1")

enum { RECORDS = 5, ENGINES_MAX = 4 };

struct bench {
	struct arena arena;
	struct rt *rt;
	struct kv *kv;
	struct ports ports;
	struct port_records records;
	struct port_invoke invoke;
	struct mapping_engine *engines[ENGINES_MAX];
	unsigned engine_count;
	const char *config;
	void (*test)(struct bench *b);
	bool ended; /* the calls that hang give up */
	bool answers_poison;
	struct buf calls, losses;
};

static int shards(void *self unused_arg, struct arena *a, str arn unused_arg,
	struct records_shard **ret_shards)
{
	*ret_shards = arena_new(a, struct records_shard);
	**ret_shards = (struct records_shard){STR("s0"), STR_NULL, false};
	return 1;
}

static int start(void *self unused_arg, struct arena *a, str arn unused_arg, str shard unused_arg,
	enum records_start from unused_arg, int64_t time_ms unused_arg, str *ret_position)
{
	*ret_position = arena_str(a, STR("0"));
	return 0;
}

static int read(void *self unused_arg, struct arena *a, const struct records_read *read,
	struct records_batch *ret_batch)
{
	uint64_t at;

	check(str_to_u64(read->position, RECORDS, &at) == 0);
	*ret_batch = (struct records_batch){
		.records = arena_new_array(a, struct record_of_source, RECORDS)};
	for (; at < RECORDS && ret_batch->count < read->records_max; at++) {
		unsigned number = (unsigned)at + 1;

		ret_batch->records[ret_batch->count++] = (struct record_of_source){.key = STR("k"),
			.sequence = arena_printf(a, "%u", number),
			.position = arena_printf(a, "%u", number),
			.time_ms = rt_wall() / RT_NS_MS,
			.json = arena_printf(a, "{\"seq\":%u}", number)};
	}
	ret_batch->position = arena_printf(a, "%u", (unsigned)at);
	if (!ret_batch->count && rt_now() < read->deadline) {
		while (rt_now() < read->deadline &&
			!(read->stopping && atomic_load(read->stopping)))
			TRY(rt_sleep_until(rt_after_ms(50)));
	}
	return 0;
}

static int invoke(void *self, struct arena *a unused_arg, const struct invoke_request *request,
	struct invoke_result *ret)
{
	struct bench *b = self;
	bool poison = str_find_str(request->payload, STR("\"seq\":3}")) >= 0;

	buf_put(&b->calls, b->calls.n ? STR("|") : STR(""));
	for (unsigned i = 1; i <= RECORDS; i++)
		if (str_find_str(request->payload, arena_printf(&b->arena, "\"seq\":%u}", i)) >= 0)
			buf_printf(&b->calls, "%u", i);
	if (poison && !b->answers_poison) {
		while (!b->ended)
			TRY(rt_sleep_until(rt_after_ms(50)));
		return ERR_CANCELLED;
	}
	*ret = (struct invoke_result){
		.status = 200, .payload = STR("null"), .executed_version = STR("$LATEST")};
	return 0;
}

static int deliver(void *arg, struct arena *a unused_arg, const struct mapping_loss *loss,
	str *ret_why unused_arg)
{
	struct bench *b = arg;

	buf_put(&b->losses, loss->record);
	return 0;
}

/* Another engine takes over from those that there are, who are stuck. */
static void begin(struct bench *b, bool after_crash)
{
	struct mapping_engine *e = mapping_engine_new(&(struct mapping_engine_options){.rt = b->rt,
		.ports = &b->ports,
		.after_crash = after_crash,
		.deliver = deliver,
		.arg = b});

	check(b->engine_count < ENGINES_MAX);
	b->engines[b->engine_count++] = e;
	buf_reset(&b->calls);
	EXPECT_INT(mapping_engine_start(e, b->kv), 0);
	EXPECT_INT(rt_sleep_until(rt_after_ms(5000)), 0);
}

static void create(struct bench *b)
{
	const struct model *model = model_named(STR("lambda"));
	struct mapping m = {.account = ACCOUNT,
		.region = REGION,
		.uuid = STR(UUID),
		.revision = 1,
		.enabled = true,
		.tags = value_new(&b->arena, model, "CreateEventSourceMappingRequest")};
	str other, text = arena_printf(&b->arena,
			   "{\"EventSourceArn\":\"" SOURCE "\",\"FunctionArn\":\"" FUNCTION
			   "\",\"DestinationConfig\":{\"OnFailure\":{\"Destination\":\"" FUNCTION
			   "\"}},%s}",
			   b->config);

	ASSERT_INT(codec_json_load(
			   &b->arena, model, "EventSourceMappingConfiguration", text, &m.config),
		0);
	ASSERT_INT(mapping_create(b->kv, &b->arena, &m, rt_after_ms(1000), &other), 0);
}

static void bench_fiber(void *arg)
{
	struct bench *b = arg;

	create(b);
	b->test(b);
	b->ended = true;
	for (unsigned i = 0; i < b->engine_count; i++)
		mapping_engine_stop(b->engines[i], rt_after_ms(60000));
	for (unsigned i = 0; i < b->engine_count; i++)
		mapping_engine_free(b->engines[i]);
	kv_close(b->kv);
	rt_stop(b->rt);
}

static void run(void (*test)(struct bench *b), const char *config)
{
	struct rt_options options = {.mode = RT_SIMULATED, .loops = 1, .seed = 1};
	struct bench *b = mem_new(struct bench);

	b->test = test;
	b->config = config;
	arena_init(&b->arena, SIZE_MAX);
	buf_init(&b->calls, &b->arena, 1 << 16);
	buf_init(&b->losses, &b->arena, 1 << 16);
	b->records = (struct port_records){b, STR("arn:aws:dynamodb:"), shards, start, read};
	b->invoke = (struct port_invoke){b, invoke, NULL};
	b->ports = (struct ports){.invoke = &b->invoke};
	port_records_add(&b->ports, &b->records);
	EXPECT_INT(kv_open_memory(&(struct kv_memory_options){0}, &b->kv), 0);
	EXPECT_INT(rt_new(&options, &b->rt), 0);
	EXPECT_INT(rt_run(b->rt, bench_fiber, b), 0);
	rt_free(b->rt);
	arena_done(&b->arena);
	mem_free(b);
}

#define EXPECT_CALLS(text) EXPECT_STR(buf_str(&b->calls), STR(text))

static str result(struct bench *b)
{
	struct mapping m;
	str text = STR_NULL;

	EXPECT_INT(mapping_load(b->kv, &b->arena, ACCOUNT, REGION, STR(UUID), &m), 1);
	EXPECT_INT(mapping_result(b->kv, &b->arena, &m, &text), 0);
	return text;
}

/* One crash: it is tried again. Two: it is put aside, and what is behind it comes. */
static void two_crashes(struct bench *b)
{
	begin(b, false);
	EXPECT_CALLS("12|34");
	begin(b, true);
	EXPECT_CALLS("34");
	EXPECT_INT(b->losses.n, 0);
	begin(b, true);
	EXPECT_CALLS("5");
	EXPECT(str_find_str(buf_str(&b->losses), STR("RetryAttemptsExhausted")) >= 0);
	EXPECT(str_find_str(buf_str(&b->losses), STR("\"startSequenceNumber\":\"3\"")) >= 0);
	EXPECT(str_find_str(buf_str(&b->losses), STR("\"endSequenceNumber\":\"4\"")) >= 0);
	EXPECT(str_find_str(buf_str(&b->losses), STR("\"batchSize\":2")) >= 0);
	EXPECT_STR(result(b), STR("OK")); /* of the last batch */
}

TEST(lambda_mapping_mark, two_crashes)
{
	run(two_crashes, "\"BatchSize\":2");
}

/* The server as a whole was killed, as often as may be: the batch is not to blame. */
static void killed(struct bench *b)
{
	for (unsigned i = 0; i < 3; i++) {
		begin(b, false);
		EXPECT(str_ends(buf_str(&b->calls), STR("34")));
	}
	EXPECT_INT(b->losses.n, 0);
	b->answers_poison = true;
	begin(b, false);
	EXPECT_CALLS("34|5");
}

TEST(lambda_mapping_mark, kills_do_not_count)
{
	run(killed, "\"BatchSize\":2");
}

/* After one crash it comes through, and the next batch begins with nothing against it. */
static void recovers(struct bench *b)
{
	begin(b, false);
	b->answers_poison = true;
	begin(b, true);
	EXPECT_CALLS("3|4|5");
	begin(b, true);
	EXPECT_CALLS("");
	EXPECT_INT(b->losses.n, 0);
}

TEST(lambda_mapping_mark, recovers)
{
	run(recovers, "\"BatchSize\":1");
}
