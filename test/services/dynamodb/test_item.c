/*
 * Items: the table item.txt, depth and size limits, what comes from the store.
 */
#include "base/mem.h"
#include "base/random.h"
#include "test/services/dynamodb/dynamodb_test.h"

TEST(item, table)
{
	struct test_table t;

	for (test_table_open(&t, "test/services/dynamodb/item.txt"); test_table_next(&t);) {
		struct attr_decoder d;
		struct json_reader r;
		struct fault fault = {0};
		struct buf out;
		str got;
		int rc;

		attr_decoder_init(&d, &t.arena, &fault);
		json_reader_init(&r, t.field[0], &t.arena, JSON_DEPTH_DEFAULT);
		buf_init(&out, &t.arena, ITEM_ENCODED_MAX);
		rc = item_read_json(&d, &r, &out);
		if (rc < 0) {
			EXPECT_INT(rc, ERR_FAULT);
			EXPECT(fault.kind == &dynamodb_faults[DYNAMODB_SERIALIZATION]);
			got = ARENA_CONCAT(&t.arena, STR("!!"), fault.message);
		} else if (d.rule.p) {
			got = ARENA_CONCAT(&t.arena, STR("!"), d.rule);
		} else {
			EXPECT(item_is_valid(buf_str(&out)));
			got = test_item_text(&t.arena, buf_str(&out));
			TABLE_EXPECT_STR(&t,
				arena_printf(&t.arena, "%zu", item_size(buf_str(&out))),
				t.field[2]);
		}
		TABLE_EXPECT_STR(&t, got, t.field[1]);
	}
	test_table_close(&t, 76);
}

/* {"a":{"M":{"a":...}}} with the last value at `levels`. */
static str nested(struct arena *arena, unsigned levels, str open, str close)
{
	struct buf out;

	buf_init(&out, arena, 1 << 20);
	buf_put(&out, STR("{\"a\":"));
	for (unsigned i = 1; i < levels; i++)
		buf_put(&out, open);
	buf_put(&out, STR("{\"S\":\"x\"}"));
	for (unsigned i = 1; i < levels; i++)
		buf_put(&out, close);
	buf_put_char(&out, '}');
	return buf_str(&out);
}

static str rule_of(struct arena *arena, str json)
{
	struct attr_decoder d;
	struct json_reader r;
	struct fault fault = {0};
	struct buf out;

	attr_decoder_init(&d, arena, &fault);
	json_reader_init(&r, json, arena, JSON_DEPTH_DEFAULT);
	buf_init(&out, arena, ITEM_ENCODED_MAX);
	EXPECT_INT(item_read_json(&d, &r, &out), 0);
	EXPECT_INT(json_end(&r), 0);
	EXPECT(d.rule.p || item_is_valid(buf_str(&out)));
	return d.rule;
}

TEST(item, depth)
{
	static const char message[] =
		"Nesting Levels have exceeded supported limits: Attributes in the "
		"item have nested levels beyond supported limit";
	str map = STR("{\"M\":{\"a\":"), map_end = STR("}}"), list = STR("{\"L\":["),
	    list_end = STR("]}");
	struct arena a;

	arena_init(&a, 1 << 24);
	EXPECT(!rule_of(&a, nested(&a, 32, map, map_end)).p);
	EXPECT(!rule_of(&a, nested(&a, 32, list, list_end)).p);
	EXPECT_STR(rule_of(&a, nested(&a, 33, map, map_end)), str_c(message));
	EXPECT_STR(rule_of(&a, nested(&a, 33, list, list_end)), str_c(message));
	EXPECT_STR(rule_of(&a, nested(&a, 45, list, list_end)), str_c(message));
	arena_done(&a);
}

TEST(item, long_names)
{
	char *name = mem_alloc(ITEM_NAME_MAX + 1);
	struct arena a;
	str json, sent;

	arena_init(&a, 1 << 24);
	memset(name, 'n', ITEM_NAME_MAX + 1);
	sent = str_of(name, ITEM_NAME_MAX);
	json = ARENA_CONCAT(&a, STR("{\""), sent, STR("\":{\"S\":\"x\"}}"));
	EXPECT(!rule_of(&a, json).p);
	EXPECT_INT(item_size(test_item(&a, json)), ITEM_NAME_MAX + 1);
	sent = str_of(name, ITEM_NAME_MAX + 1);
	json = ARENA_CONCAT(&a, STR("{\""), sent, STR("\":{\"S\":\"x\"}}"));
	EXPECT_STR(rule_of(&a, json),
		STR("Attribute name is too large, must be less than 65536 bytes"));
	arena_done(&a);
	mem_free(name);
}

TEST(item, find)
{
	struct arena a;
	str item, value;

	arena_init(&a, 1 << 20);
	item = test_item(&a,
		STR("{\"m\":{\"S\":\"1\"},\"z\":{\"L\":[{\"N\":\"2\"}]},\"b\":{\"BOOL\":true}}"));
	EXPECT_INT(item_find(item, STR("m"), &value), 1);
	EXPECT_STR(attr_bytes_of(value), STR("1"));
	EXPECT_INT(item_find(item, STR("z"), &value), 1);
	EXPECT_INT(attr_count(value), 1);
	EXPECT_INT(attr_list_at(value, 0, &value), 1);
	EXPECT_INT(attr_type(value), ATTR_N);
	EXPECT_INT(item_find(item, STR("a"), &value), 0);
	EXPECT_INT(item_find(item, STR("n"), &value), 0);
	EXPECT_INT(item_find(item, STR("zz"), &value), 0);
	EXPECT_INT(item_find(STR_NULL, STR("a"), &value), 0);
	EXPECT_INT(item_count(item), 3);
	EXPECT_STR(test_item_text(&a, STR_NULL), STR("{}"));
	arena_done(&a);
}

/* Equal values have equal bytes, however they were sent. */
TEST(item, canonical)
{
	static const char *const pairs[][2] = {
		{"{\"a\":{\"N\":\"1\"},\"b\":{\"S\":\"x\"}}",
			"{\"b\":{\"S\":\"x\"},\"a\":{\"N\":\"1.0\"}}"},
		{"{\"a\":{\"SS\":[\"x\",\"y\"]}}", "{\"a\":{\"SS\":[\"y\",\"x\"]}}"},
		{"{\"a\":{\"M\":{\"p\":{\"NULL\":true},\"q\":{\"NS\":[\"1\",\"2\"]}}}}",
			"{\"a\":{\"M\":{\"q\":{\"NS\":[\"2e0\",\"01\"]},\"p\":{\"NULL\":true}}}}"},
	};
	struct arena a;

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		EXPECT_STR(test_item(&a, str_c(pairs[i][0])), test_item(&a, str_c(pairs[i][1])));
	arena_done(&a);
}

/* The stored form, byte by byte: version 1 is for ever. */
TEST(item, stored_form)
{
	struct arena a;
	struct buf hex;
	str item;

	arena_init(&a, 1 << 20);
	item = test_item(&a, STR("{\"b\":{\"N\":\"-1.5\"},\"s\":{\"S\":\"hi\"},\"B\":{\"B\":\"AP8="
				 "\"},\"t\":{\"BOOL\":true},"
				 "\"f\":{\"BOOL\":false},\"z\":{\"NULL\":true},\"l\":{\"L\":[{"
				 "\"S\":\"\"}]},\"m\":{\"M\":{"
				 "\"k\":{\"N\":\"0\"}}},\"ss\":{\"SS\":[\"a\",\"b\"]},\"ns\":{"
				 "\"NS\":[\"7\"]},\"bs\":{\"BS\":["
				 "\"AQ==\"]}}"));
	buf_init(&hex, &a, 4096);
	for (size_t i = 0; i < item.n; i++)
		buf_printf(&hex, "%02x", (unsigned char)item.p[i]);
	EXPECT_STR(buf_str(&hex), STR("01"
				      "0142030200ff"
				      "0162027f7de1"
				      "0262730600000002"
				      "0101"
				      "016609"
				      "016c0700000002"
				      "0100"
				      "016d0800000004"
				      "016b0280"
				      "026e730500000003"
				      "81828c"
				      "017301026869"
				      "0273730400000004"
				      "01610162"
				      "01740a"
				      "017a0b"));
	arena_done(&a);
}

/* Damaged items are told apart, and nothing behind them is read. */
TEST(item, damaged)
{
	struct random random;
	struct arena a;
	str item;

	arena_init(&a, 1 << 20);
	item = test_item(&a, STR("{\"b\":{\"N\":\"-1.5\"},\"s\":{\"S\":\"hi\"},\"l\":{\"L\":[{"
				 "\"S\":\"\"},{\"M\":{\"k\":{\"SS\":["
				 "\"a\",\"b\"]}}}]},\"ns\":{\"NS\":[\"7\",\"8\"]}}"));
	for (size_t n = 0; n < item.n; n++) {
		str cut = arena_str(&a, str_sub(item, 0, n));

		/* Whole attributes may be cut off at the end: that is an item, too. */
		if (item_is_valid(cut))
			EXPECT(item_count(cut) < item_count(item));
	}
	random_seed(&random, test_number("SEED", 5));
	for (int i = 0; i < 5000; i++) {
		char *copy = arena_bytes(&a, item.n);

		memcpy(copy, item.p, item.n);
		copy[random_below(&random, item.n)] ^= (char)(1u << random_below(&random, 8));
		if (item_is_valid(str_of(copy, item.n)))
			(void)test_item_text(&a, str_of(copy, item.n));
	}
	EXPECT(!item_is_valid(STR("")));
	EXPECT(!item_is_valid(STR("\x02")));
	EXPECT(item_is_valid(STR("\x01")));
	arena_done(&a);
}
