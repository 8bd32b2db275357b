/*
 * The service through the gate: the case files, and what a file cannot say: deleted tables, scans
 * that the engine gives up, members of the model.
 */
#include "aws/keyspace.h"
#include "base/check.h"
#include "base/gzip.h"
#include "base/json.h"
#include "kv/kv.h"
#include "services/dynamodb/request.h"
#include "services/dynamodb/service.h"
#include "test/services/dynamodb/wire.h"

#define FOLDER "test/services/dynamodb/wire/"

TEST(dynamodb, wire_tables)
{
	ddb_file(FOLDER "tables.txt", 60);
}

TEST(dynamodb, wire_vectors)
{
	ddb_file(FOLDER "vectors.txt", 150);
}

TEST(dynamodb, wire_bulk)
{
	ddb_file(FOLDER "bulk.txt", 30);
}

TEST(dynamodb, wire_auto_scaling)
{
	ddb_file(FOLDER "auto_scaling.txt", 28);
}

TEST(dynamodb, wire_index_tables)
{
	ddb_file(FOLDER "index_tables.txt", 130);
}

TEST(dynamodb, wire_items)
{
	ddb_file(FOLDER "items.txt", 180);
}

TEST(dynamodb, wire_update)
{
	ddb_file(FOLDER "update.txt", 60);
}

TEST(dynamodb, wire_query)
{
	ddb_file(FOLDER "query.txt", 75);
}

TEST(dynamodb, wire_scan)
{
	ddb_file(FOLDER "scan.txt", 40);
}

TEST(dynamodb, wire_settings)
{
	ddb_file(FOLDER "settings.txt", 55);
}

TEST(dynamodb, wire_indexes)
{
	ddb_file(FOLDER "indexes.txt", 130);
}

TEST(dynamodb, wire_batch)
{
	ddb_file(FOLDER "batch.txt", 50);
}

TEST(dynamodb, wire_transactions)
{
	ddb_file(FOLDER "transactions.txt", 60);
}

TEST(dynamodb, wire_legacy)
{
	ddb_file(FOLDER "legacy.txt", 100);
}

TEST(dynamodb, wire_partiql)
{
	ddb_file(FOLDER "partiql.txt", 240);
}

TEST(dynamodb, wire_streams)
{
	ddb_file(FOLDER "streams.txt", 70);
}

TEST(dynamodb, wire_ttl)
{
	ddb_file(FOLDER "ttl.txt", 14);
}

TEST(dynamodb, wire_policies)
{
	ddb_file(FOLDER "policies.txt", 130);
}

TEST(dynamodb, wire_throttle)
{
	ddb_file(FOLDER "throttle.txt", 70);
}

TEST(dynamodb, wire_members)
{
	ddb_file(FOLDER "members.txt", 50);
}

/* ---- packed bodies ---- */

static void send_packed(struct ddb *w)
{
	static const char put[] = "{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"packed\"}}}";
	static const char get[] = "{\"TableName\":\"tab\",\"Key\":{\"p\":{\"S\":\"packed\"}}}";
	struct ddb_answer answer;
	struct arena a cleanup(arena_done_p);
	str packed;
	char *damaged;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable",
		STR("{\"TableName\":\"tab\",\"KeySchema\":[{\"AttributeName\":\"p\",\"KeyType\":"
		    "\"HASH\"}],\"AttributeDefinitions\":[{\"AttributeName\":\"p\","
		    "\"AttributeType\":\"S\"}],\"BillingMode\":\"PAY_PER_REQUEST\"}"));
	packed = gzip_pack(&a, str_c(put));
	w->content_encoding = STR("GZIP");
	ddb_expect(w, &a, 200, "PutItem", packed);
	ddb_expect(w, &a, 400, "PutItem", str_c(put));
	ddb_expect(w, &a, 400, "PutItem", str_sub(packed, 0, packed.n - 1));
	/* what stands in the place of the size is a large one */
	ddb_expect(w, &a, 413, "PutItem", ARENA_CONCAT(&a, packed, STR("x")));
	ddb_expect(w, &a, 400, "PutItem",
		ARENA_CONCAT(&a, packed, gzip_pack(&a, str_c(get)))); /* another member */
	damaged = arena_bytes(&a, packed.n);
	memcpy(damaged, packed.p, packed.n);
	damaged[packed.n - 1] = 0x7f; /* says that it is 2 GB */
	ddb_expect(w, &a, 413, "PutItem", str_of(damaged, packed.n));
	memcpy(damaged, packed.p, packed.n);
	damaged[packed.n - 8] ^= 1; /* the checksum */
	ddb_expect(w, &a, 400, "PutItem", str_of(damaged, packed.n));
	w->content_encoding = STR("br");
	ddb_expect(w, &a, 415, "PutItem", str_c(put));
	w->content_encoding = STR("identity");
	EXPECT_STR(ddb_expect(w, &a, 200, "GetItem", str_c(get)),
		STR("{\"Item\":{\"p\":{\"S\":\"packed\"}}}"));
	w->accept_encoding = STR("gzip");
	answer = ddb_send(w, &a, STR("GetItem"), str_c(get)); /* too small to be packed */
	EXPECT(answer.status == 200 && !answer.packed && answer.crc_is_right);
}

static void receive_packed(struct ddb *w)
{
	static const struct {
		const char *accepted;
		bool packed;
	} headers[] = {{"gzip", true}, {"deflate, GZIP;q=0.5", true}, {"gzip;q=0", false},
		{"br", false}, {"gzipped", false}, {"identity, gzip ; q=1", true}};
	static const str scan = STR_INIT("{\"TableName\":\"tab\"}");
	struct arena a cleanup(arena_done_p);
	str text = STR_NULL, plain;

	arena_init(&a, SIZE_MAX);
	send_packed(w);
	w->content_encoding = STR("");
	ddb_expect(w, &a, 200, "PutItem",
		arena_printf(&a,
			"{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"long\"},\"t\":{\"S\":"
			"\"%03000d\"}}}",
			7));
	w->accept_encoding = STR("");
	plain = ddb_expect(w, &a, 200, "Scan", scan);
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		struct ddb_answer answer;

		w->accept_encoding = str_c(headers[i].accepted);
		answer = ddb_send(w, &a, STR("Scan"), scan);
		EXPECT_INT(answer.packed, headers[i].packed);
		EXPECT(answer.status == 200 && answer.crc_is_right);
		if (answer.packed)
			ASSERT_INT(gzip_unpack(&a, answer.body, 1 << 20, &text), 0);
		EXPECT_STR(answer.packed ? text : answer.body, plain);
	}
}

TEST(dynamodb, packed_bodies)
{
	ddb_run(1, receive_packed, NULL);
}

/* ---- members ---- */

static const struct {
	const char *input;
	unsigned operation;
} inputs[] = {
	{"PutItemInput", OPERATION_PUT},
	{"GetItemInput", OPERATION_GET},
	{"DeleteItemInput", OPERATION_DELETE},
	{"UpdateItemInput", OPERATION_UPDATE},
	{"QueryInput", OPERATION_QUERY},
	{"ScanInput", OPERATION_SCAN},
	{"SearchVectorsInput", OPERATION_SEARCH},
	{"Put", ACTION_OF_PUT},
	{"Update", ACTION_OF_UPDATE},
	{"Delete", ACTION_OF_DELETE},
	{"ConditionCheck", ACTION_OF_CHECK},
	{"Get", ACTION_OF_GET},
};

static const struct {
	str name;
	unsigned operations;
} known[] = {
#define PUT                                   OPERATION_PUT
#define GET                                   OPERATION_GET
#define DELETE                                OPERATION_DELETE
#define UPDATE                                OPERATION_UPDATE
#define QUERY                                 OPERATION_QUERY
#define SCAN                                  OPERATION_SCAN
#define SEARCH                                OPERATION_SEARCH
#define ACTION_PUT                            ACTION_OF_PUT
#define ACTION_UPDATE                         ACTION_OF_UPDATE
#define ACTION_DELETE                         ACTION_OF_DELETE
#define ACTION_CHECK                          ACTION_OF_CHECK
#define ACTION_GET                            ACTION_OF_GET
#define MEMBER(name, kind, field, operations) {STR_INIT(name), operations},
#include "services/dynamodb/request.def"
#undef MEMBER
#undef ACTION_PUT
#undef ACTION_UPDATE
#undef ACTION_DELETE
#undef ACTION_CHECK
#undef ACTION_GET
#undef PUT
#undef GET
#undef DELETE
#undef UPDATE
#undef QUERY
#undef SCAN
#undef SEARCH
};

static bool is_known(str name, unsigned operation)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if ((known[i].operations & operation) && str_eq(known[i].name, name))
			return true;
	return false;
}

/* The fast decoder knows each member of the model, and none that the model has not. */
TEST(dynamodb, request_members)
{
	const struct model *m = model_named(STR("dynamodb"));

	ASSERT(m != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		int shape = model_shape_named(m, str_c(inputs[i].input));
		unsigned count = 0;

		ASSERT(shape >= 0);
		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			count += (known[k].operations & inputs[i].operation) != 0;
		EXPECT_INT(count, m->shapes[shape].count);
		for (unsigned k = 0; k < m->shapes[shape].count; k++) {
			str name = model_str(m, m->members[m->shapes[shape].first + k].name);

			if (!is_known(name, inputs[i].operation))
				test_fail(__FILE__, __LINE__, "%s.%.*s has no row in request.def",
					inputs[i].input, STR_ARG(name));
		}
	}
}

/* ---- helpers ---- */

#define TABLE_BODY                                                                                \
	"{\"TableName\":\"tab\",\"AttributeDefinitions\":[{\"AttributeName\":\"p\","              \
	"\"AttributeType\":\"S\"},{\"AttributeName\":\"s\",\"AttributeType\":\"N\"}],"            \
	"\"KeySchema\":[{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"},{\"AttributeName\":\"s\"," \
	"\"KeyType\":\"RANGE\"}],\"BillingMode\":\"PAY_PER_REQUEST\"}"

static void put(struct ddb *w, const char *partition, int sort, size_t bytes)
{
	struct arena a cleanup(arena_done_p);
	char *text;

	arena_init(&a, SIZE_MAX);
	text = arena_bytes(&a, bytes);
	memset(text, 'x', bytes);
	ddb_expect(w, &a, 200, "PutItem",
		arena_printf(&a,
			"{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"%s\"},\"s\":{\"N\":\"%d\"}"
			",\"v\":{\"S\":\"%.*s\"}}}",
			partition, sort, (int)bytes, text));
}

static int64_t number_at(struct arena *a, str body, const char *path)
{
	struct json_value *v;
	const struct json_value *n;
	int64_t number = -1;

	if (json_parse(a, body, 100, &v, NULL) < 0)
		return -1;
	n = json_get_path(v, str_c(path));
	return n && n->kind == JSON_NUMBER && str_to_i64(n->text, &number) == 0 ? number : -1;
}

/* How many keys the area holds. */
static unsigned keys_in(struct ddb *w, enum keyspace_area area, str begin)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct arena a cleanup(arena_done_p);
	struct buf from;
	struct kv_range range = {.limit = 0};
	str key, value;
	unsigned n = 0;

	arena_init(&a, SIZE_MAX);
	buf_init(&from, &a, 4096);
	keyspace_area(&from, area);
	if (begin.n)
		keyspace_put(&from, begin);
	range.from = buf_str(&from);
	range.to = keyspace_prefix_end(&a, range.from);
	check(kv_scan_open(w->kv, &range, &scan) == 0);
	while (kv_scan_next(scan, &key, &value) == 1)
		n++;
	return n;
}

/* ---- scans that the engine gives up ---- */

static void query_over_conflicts(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	str forward, backward;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(TABLE_BODY));
	for (int i = 0; i < 150; i++)
		put(w, "k", i, 5000);
	for (int i = 0; i < 40; i++)
		ddb_expect(w, &a, 200, "CreateTable",
			arena_printf(&a, "{\"TableName\":\"%0*d\",%s", 200, i,
				&TABLE_BODY[sizeof("{\"TableName\":\"tab\",") - 1]));
	kv_fault_set(w->kv,
		&(struct kv_fault_options){.no_delay = true, .scan_conflict_per_mille = 400});
	forward = ddb_expect(w, &a, 200, "Query",
		STR("{\"TableName\":\"tab\",\"KeyConditionExpression\":\"p = "
		    ":p\",\"ExpressionAttributeValues\":{\":p\":{\"S\":\"k\"}},"
		    "\"ProjectionExpression\":\"s\"}"));
	backward = ddb_expect(w, &a, 200, "Query",
		STR("{\"TableName\":\"tab\",\"KeyConditionExpression\":\"p = "
		    ":p\",\"ExpressionAttributeValues\":{\":p\":{\"S\":\"k\"}},"
		    "\"ProjectionExpression\":\"s\",\"ScanIndexForward\":false}"));
	EXPECT_INT(
		number_at(&a,
			ddb_expect(w, &a, 200, "Scan",
				STR("{\"TableName\":\"tab\",\"Limit\":99,\"Select\":\"COUNT\"}")),
			"Count"),
		99);
	EXPECT_INT(number_at(&a,
			   ddb_expect(w, &a, 200, "DescribeTable", STR("{\"TableName\":\"tab\"}")),
			   "Table.ItemCount"),
		150);
	for (int i = 0; i < 10; i++) {
		struct json_value *v;

		ASSERT(json_parse(&a, ddb_expect(w, &a, 200, "ListTables", STR("{\"Limit\":39}")),
			       100, &v, NULL) == 0);
		EXPECT_INT(json_get(v, STR("TableNames"))->count, 39);
		for (uint32_t k = 0; k < 39; k++)
			EXPECT_STR(json_text(json_at(json_get(v, STR("TableNames")), k)),
				arena_printf(&a, "%0*u", 200, k));
	}
	kv_fault_set(w->kv, &(struct kv_fault_options){.no_delay = true});
	EXPECT_INT(number_at(&a, forward, "Count"), 150);
	EXPECT_INT(number_at(&a, backward, "Count"), 150);
	/* Each once and in order. */
	for (int i = 0; i < 150; i++) {
		struct json_value *f, *b;

		ASSERT(json_parse(&a, forward, 100, &f, NULL) == 0);
		ASSERT(json_parse(&a, backward, 100, &b, NULL) == 0);
		EXPECT_STR(json_text(json_get_path(
				   json_at(json_get(f, STR("Items")), (size_t)i), STR("s.N"))),
			arena_printf(&a, "%d", i));
		EXPECT_STR(json_text(json_get_path(
				   json_at(json_get(b, STR("Items")), (size_t)i), STR("s.N"))),
			arena_printf(&a, "%d", 149 - i));
	}
}

TEST(dynamodb, pages_outlive_given_up_scans)
{
	ddb_run(7, query_over_conflicts, NULL);
}

/* ---- deleted tables ---- */

struct late {
	struct ddb *w;
	unsigned running;
	struct rt_event ended;
};

static void put_late(void *arg)
{
	struct late *late = arg;
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	for (int i = 0; i < 30; i++)
		ddb_send(late->w, &a, STR("PutItem"),
			arena_printf(&a,
				"{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"k%d\"},\"s\":{"
				"\"N\":\"1\"}}}",
				i));
	if (--late->running == 0)
		rt_event_set(&late->ended);
}

/* Writers go on while the table is deleted and made again; nothing stays under a dead id. */
static void delete_under_writers(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct late late = {.w = w, .running = 8};

	arena_init(&a, SIZE_MAX);
	rt_event_init(&late.ended);
	ddb_expect(w, &a, 200, "CreateTable", STR(TABLE_BODY));
	/* Commits take up to 50 ms, so that they end long after the first sweep. */
	kv_fault_set(w->kv, &(struct kv_fault_options){
				    .delay_min_ns = RT_NS_MS, .delay_max_ns = 50 * RT_NS_MS});
	for (unsigned i = 0; i < 8; i++)
		check(rt_spawn(put_late, &late) == 0);
	for (int i = 0; i < 5; i++) {
		check(rt_sleep_until(rt_after_ms(100)) == 0);
		ddb_expect(w, &a, 200, "DeleteTable", STR("{\"TableName\":\"tab\"}"));
		ddb_expect(w, &a, 200, "CreateTable", STR(TABLE_BODY));
	}
	ddb_expect(w, &a, 200, "DeleteTable", STR("{\"TableName\":\"tab\"}"));
	rt_event_wait_sure(&late.ended);
	for (int i = 0; i < 1000 && keys_in(w, KEYSPACE_DYNAMODB_META, STR("sweep")); i++)
		check(rt_sleep_until(rt_after_ms(100)) == 0);
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_META, STR("sweep")), 0);
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_ITEMS, STR_NULL), 0);
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_META, STR("count")), 0);
}

TEST(dynamodb, late_writes_to_deleted_tables_are_swept)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		ddb_run(seed, delete_under_writers, NULL);
}

/* The service stops while a sweep and a count are under way. */
static void stop_early(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(TABLE_BODY));
	for (int i = 0; i < 1200; i++)
		put(w, "k", i, 10);
	kv_fault_set(w->kv, &(struct kv_fault_options){
				    .delay_min_ns = RT_NS_MS, .delay_max_ns = 50 * RT_NS_MS});
	EXPECT_INT(number_at(&a,
			   ddb_expect(w, &a, 200, "DescribeTable", STR("{\"TableName\":\"tab\"}")),
			   "Table.ItemCount"),
		0);
	ddb_expect(w, &a, 200, "DeleteTable", STR("{\"TableName\":\"tab\"}"));
}

TEST(dynamodb, stops_under_background_work)
{
	for (uint64_t seed = 1; seed <= 5; seed++)
		ddb_run(seed, stop_early, NULL);
}

/* ---- figures ---- */

static int64_t described(struct ddb *w, const char *path)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	return number_at(
		&a, ddb_expect(w, &a, 200, "DescribeTable", STR("{\"TableName\":\"tab\"}")), path);
}

static void count_large(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(TABLE_BODY));
	for (int i = 0; i < 1000; i++)
		put(w, "k", i, 10);
	EXPECT_INT(described(w, "Table.ItemCount"), 1000); /* at once */
	for (int i = 1000; i < 5000; i++)
		put(w, "k", i, 10);
	EXPECT_INT(described(w, "Table.ItemCount"), 0); /* begins the count */
	check(rt_sleep_until(rt_after_ms(5000)) == 0);
	EXPECT_INT(described(w, "Table.ItemCount"), 5000);
	/* "p" 1, "k" 1, "s" 1, "v" 1, 10; numbers of 1 and 2 digits have 2 bytes, of 3 and 4 3. */
	EXPECT(described(w, "Table.TableSizeBytes") >= 5000 * (14 + 2));
	put(w, "k", 5000, 10);
	EXPECT_INT(described(w, "Table.ItemCount"), 5000); /* too early for another */
	check(rt_sleep_until(rt_after_ms(3600 * 1000)) == 0);
	EXPECT_INT(described(w, "Table.ItemCount"), 5000);
	check(rt_sleep_until(rt_after_ms(5000)) == 0);
	EXPECT_INT(described(w, "Table.ItemCount"), 5001);
}

TEST(dynamodb, large_tables_are_counted_in_the_background)
{
	ddb_run(3, count_large, NULL);
}

/* ---- answers that are too large for one ---- */

/* 100 items of 390 KB: what does not fit is given back, and asking for that gets the rest. */
static void get_large(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	unsigned got = 0, calls = 0;
	struct buf body;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(TABLE_BODY));
	for (int i = 0; i < 100; i++)
		put(w, "k", i, 390 * 1024);
	buf_init(&body, &a, 1 << 20);
	buf_put(&body, STR("{\"tab\":{\"ConsistentRead\":true,\"ProjectionExpression\":\"#s\","
			   "\"ExpressionAttributeNames\":{\"#s\":\"s\"},\"Keys\":["));
	for (int i = 0; i < 100; i++)
		buf_printf(&body, "%s{\"p\":{\"S\":\"k\"},\"s\":{\"N\":\"%d\"}}", i ? "," : "", i);
	buf_put(&body, STR("]}}"));
	for (str items = buf_str(&body); items.n > 2 && calls < 10; calls++) {
		const struct json_value *list, *rest;
		struct json_value *v;
		struct json_writer json;
		struct buf text;
		str answer = ddb_expect(w, &a, 200, "BatchGetItem",
			arena_printf(&a, "{\"RequestItems\":%.*s}", STR_ARG(items)));

		ASSERT(json_parse(&a, answer, 100, &v, NULL) == 0);
		list = json_get_path(v, STR("Responses.tab"));
		ASSERT(list != NULL);
		for (uint32_t i = 0; i < list->count; i++)
			EXPECT_STR(json_text(json_get_path(json_at(list, i), STR("s.N"))),
				arena_printf(&a, "%u", got + i));
		got += list->count;
		rest = json_get(v, STR("UnprocessedKeys"));
		buf_init(&text, &a, 1 << 20);
		json_writer_init(&json, &text);
		json_put_value(&json, rest);
		items = buf_str(&text);
	}
	EXPECT_INT(got, 100);
	EXPECT_INT(calls, 3); /* 16 MB are 42 of them, less the room for one of 400 KB */
}

TEST(dynamodb, batches_of_large_items_come_in_parts)
{
	ddb_run(5, get_large, NULL);
}

/* The largest batches fit into the memory of a request, again when each item is replaced. */
static void write_large(struct ddb *w)
{
	struct arena a cleanup(arena_done_p), text cleanup(arena_done_p);
	struct buf body;

	arena_init(&text, SIZE_MAX);
	arena_init(&a, 64 << 20); /* as an HTTP exchange has */
	ddb_expect(w, &text, 200, "CreateTable", STR(TABLE_BODY));
	buf_init(&body, &text, 16 << 20);
	buf_put(&body, STR("{\"RequestItems\":{\"tab\":["));
	for (int i = 0; i < 25; i++)
		buf_printf(&body,
			"%s{\"PutRequest\":{\"Item\":{\"p\":{\"S\":\"k\"},\"s\":{\"N\":\"%d\"},"
			"\"v\":{\"S\":"
			"\"%0*d\"}}}}",
			i ? "," : "", i, 390 * 1024, 0);
	buf_put(&body, STR("]},\"ReturnConsumedCapacity\":\"TOTAL\"}"));
	for (int i = 0; i < 2; i++) {
		ddb_expect(w, &a, 200, "BatchWriteItem", buf_str(&body));
		EXPECT(!arena_over(&a));
		arena_done(&a);
	}
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_ITEMS, STR_NULL), 25);
}

TEST(dynamodb, largest_batch_fits)
{
	ddb_run(5, write_large, NULL);
}

/* 25 items of 300 KB that are six times as long in JSON. */
static void get_escaped(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct json_value *v;
	struct buf body;
	char *text;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(TABLE_BODY));
	text = arena_bytes(&a, 300 * 1024 * 6);
	for (int i = 0; i < 300 * 1024; i++)
		memcpy(text + i * 6, "\\u0001", 6);
	for (int i = 0; i < 25; i++)
		ddb_expect(w, &a, 200, "PutItem",
			ARENA_CONCAT(&a,
				STR("{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"k\"},"),
				arena_printf(&a, "\"s\":{\"N\":\"%d\"},\"v\":{\"S\":\"", i),
				str_of(text, 300 * 1024 * 6), STR("\"}}}")));
	buf_init(&body, &a, 1 << 20);
	buf_put(&body, STR("{\"RequestItems\":{\"tab\":{\"Keys\":["));
	for (int i = 0; i < 25; i++)
		buf_printf(&body, "%s{\"p\":{\"S\":\"k\"},\"s\":{\"N\":\"%d\"}}", i ? "," : "", i);
	buf_put(&body, STR("]}}}"));
	ASSERT(json_parse(&a, ddb_expect(w, &a, 200, "BatchGetItem", buf_str(&body)), 100, &v,
		       NULL) == 0);
	EXPECT_INT(json_get_path(v, STR("Responses.tab"))->count +
			   json_get_path(v, STR("UnprocessedKeys.tab.Keys"))->count,
		25);
	EXPECT(json_get_path(v, STR("Responses.tab"))->count >= 10);
}

TEST(dynamodb, batches_of_long_json_come_in_parts)
{
	ddb_run(5, get_escaped, NULL);
}

/* ---- policies look at the table that the handler uses ---- */

TEST(dynamodb, peeked_table_is_the_one_that_counts)
{
	static const struct {
		str body, table;
	} cases[] = {
		{STR_INIT("{\"TableName\":\"a\"}"), STR_INIT("a")},
		{STR_INIT("{\"TableName\":\"a\",\"TableName\":\"b\"}"), STR_INIT("b")},
		{STR_INIT("{\"TableName\":\"a\",\"TableName\":null}"), STR_INIT("a")},
		{STR_INIT("{\"TableName\":\"a\",\"Table\\u004eame\":\"b\"}"), STR_INIT("b")},
		{STR_INIT("{\"Item\":{\"TableName\":\"b\"},\"TableName\":\"a\"}"), STR_INIT("a")},
		{STR_INIT("{}"), STR_INIT("")},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct arena a cleanup(arena_done_p);
		struct call c = {.magic = CALL_MAGIC, .arena = &a, .body = cases[i].body};

		arena_init(&a, SIZE_MAX);
		EXPECT_STR(dynamodb_peek_table(&c), cases[i].table);
	}
}

/* ---- batches that are too large for one transaction ---- */

/* 20 items of 390 KB in 12 indexes: 100 MB to write. */
static void write_in_spans(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	char *text;
	struct buf body;
	str answer;

	arena_init(&a, SIZE_MAX);
	buf_init(&body, &a, 16 << 20);
	buf_put(&body, STR("{\"TableName\":\"tab\",\"BillingMode\":\"PAY_PER_REQUEST\","
			   "\"AttributeDefinitions\":[{\"AttributeName\":\"p\","
			   "\"AttributeType\":\"S\"}],\"KeySchema\":[{\"AttributeName\":\"p\","
			   "\"KeyType\":\"HASH\"}],\"GlobalSecondaryIndexes\":["));
	for (int i = 0; i < 12; i++)
		buf_printf(&body,
			"%s{\"IndexName\":\"idx%d\",\"KeySchema\":[{\"AttributeName\":\"p\","
			"\"KeyType\":\"HASH\"}],\"Projection\":{\"ProjectionType\":\"ALL\"}}",
			i ? "," : "", i);
	buf_put(&body, STR("]}"));
	ddb_expect(w, &a, 200, "CreateTable", buf_str(&body));
	text = arena_bytes(&a, 390 * 1024);
	memset(text, 'x', 390 * 1024);
	buf_reset(&body);
	buf_put(&body, STR("{\"ReturnConsumedCapacity\":\"TOTAL\",\"RequestItems\":{\"tab\":["));
	for (int i = 0; i < 20; i++)
		buf_printf(&body,
			"%s{\"PutRequest\":{\"Item\":{\"p\":{\"S\":\"%d\"},\"v\":{\"S\":\"%.*s\"}}}"
			"}",
			i ? "," : "", i, 390 * 1024, text);
	buf_put(&body, STR("]}}"));
	answer = ddb_expect(w, &a, 200, "BatchWriteItem", buf_str(&body));
	EXPECT_STR(answer, STR("{\"UnprocessedItems\":{},\"ConsumedCapacity\":[{\"TableName\":"
			       "\"tab\",\"CapacityUnits\":101660}]}")); /* 20 * 13 * 391 */
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_ITEMS, STR_NULL), 20);
	EXPECT_INT(keys_in(w, KEYSPACE_DYNAMODB_INDEX, STR_NULL), 20 * 12);
}

TEST(dynamodb, large_batches_are_several_transactions)
{
	ddb_run(3, write_in_spans, NULL);
}
