/*
 * Store keys: vectors, order, ranges against a model, the way back, messages.
 */
#include "base/random.h"
#include "test/services/dynamodb/dynamodb_test.h"

#include <stdio.h>

static str key_of(struct arena *a, const struct key_schema *s, str item)
{
	struct fault fault = {0};
	struct buf out;
	int rc;

	buf_init(&out, a, KEY_BYTES_MAX);
	key_put_table(&out, 7);
	rc = key_put_item(&out, s, item, a, &fault);
	if (rc < 0)
		return ARENA_CONCAT(a, STR("!"), fault.message);
	return buf_str(&out);
}

static str hex_of(struct arena *a, str bytes)
{
	struct buf out;

	buf_init(&out, a, 1 << 20);
	for (size_t i = 0; i < bytes.n; i++)
		buf_printf(&out, "%02x", (unsigned char)bytes.p[i]);
	return buf_str(&out);
}

TEST(key, table)
{
	struct test_table t;

	for (test_table_open(&t, "test/services/dynamodb/key.txt"); test_table_next(&t);) {
		struct key_schema s = test_schema(t.field[0]);
		str item = test_item(&t.arena, t.field[1]), key = key_of(&t.arena, &s, item);
		struct buf back;

		if (key.n && key.p[0] == '!') {
			TABLE_EXPECT_STR(&t, key, t.field[2]);
			continue;
		}
		TABLE_EXPECT_STR(&t, hex_of(&t.arena, str_from(key, 9)), t.field[2]);
		EXPECT_STR(hex_of(&t.arena, str_sub(key, 0, 9)), STR("110000000000000007"));
		buf_init(&back, &t.arena, ITEM_ENCODED_MAX);
		EXPECT_INT(key_to_item(key, &s, &back), 0);
		EXPECT(item_is_valid(buf_str(&back)));
		TABLE_EXPECT_STR(&t, key_of(&t.arena, &s, buf_str(&back)), key);
	}
	test_table_close(&t, 28);
}

/* In the order in which Query gives them: also the order of the store. */
TEST(key, order)
{
	static const char *const strings[] = {"\\u0000", "\\u0000\\u0000", "\\u0000\\u0001",
		"\\u0001", " ", "A", "a", "a\\u0000", "a\\u0000b", "a\\u0001", "a ", "aa", "ab",
		"b", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
	static const char *const numbers[] = {"-1e125", "-100", "-99", "-2", "-1.5", "-1",
		"-1e-130", "0", "1e-130", "0.5", "1", "1.5", "2", "9", "10", "99", "100", "1e125"};
	struct key_schema text = test_schema(STR("p:S s:S")), number = test_schema(STR("p:S s:N"));
	struct arena a;
	str before = STR_NULL;

	arena_init(&a, 1 << 24);
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		str key = key_of(&a, &text,
			test_item(&a, arena_printf(&a, "{\"p\":{\"S\":\"x\"},\"s\":{\"S\":\"%s\"}}",
					      strings[i])));

		EXPECT(!before.p || str_cmp(before, key) < 0);
		before = key;
	}
	before = STR_NULL;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		str key = key_of(&a, &number,
			test_item(&a, arena_printf(&a, "{\"p\":{\"S\":\"x\"},\"s\":{\"N\":\"%s\"}}",
					      numbers[i])));

		EXPECT(!before.p || str_cmp(before, key) < 0);
		before = key;
	}
	arena_done(&a);
}

/* Short values of few letters, so that they collide and are prefixes of one another. */
static str any_value(struct arena *a, struct random *r, enum attr_type type)
{
	static const char *const letters[] = {"\\u0000", "\\u0001", "a", "b", "\xc3\xbf"};
	struct buf out;

	buf_init(&out, a, 1024);
	if (type == ATTR_N)
		return arena_printf(a, "{\"N\":\"%d\"}", (int)random_below(r, 12) - 6);
	buf_put(&out, STR("{\"S\":\""));
	for (uint64_t n = 1 + random_below(r, 3); n > 0; n--)
		buf_put(&out, str_c(letters[random_below(r, ARRAY_SIZE(letters))]));
	buf_put(&out, STR("\"}"));
	return buf_str(&out);
}

static str value_of(struct arena *a, str json)
{
	struct attr_decoder d;
	struct json_reader r;
	struct fault fault = {0};
	struct buf out;

	attr_decoder_init(&d, a, &fault);
	json_reader_init(&r, json, a, 10);
	buf_init(&out, a, 1024);
	EXPECT_INT(attr_read_json(&d, &r, &out), 0);
	return buf_str(&out);
}

static bool model(const struct key_condition *c, str p, str s)
{
	int order;

	if (!str_eq(c->partition[0], p))
		return false;
	if (c->op == KEY_ALL)
		return true;
	order = attr_compare(s, c->sort[0]);
	switch (c->op) {
	case KEY_EQUAL: return order == 0;
	case KEY_LESS: return order < 0;
	case KEY_LESS_EQUAL: return order <= 0;
	case KEY_GREATER: return order > 0;
	case KEY_GREATER_EQUAL: return order >= 0;
	case KEY_BETWEEN: return order >= 0 && attr_compare(s, c->high) <= 0;
	case KEY_BEGINS_WITH: return str_starts(attr_bytes_of(s), attr_bytes_of(c->sort[0]));
	default: return true;
	}
}

static void range_round(struct arena *a, struct random *r, enum attr_type type, bool is_index)
{
	struct key_schema table = test_schema(is_index ? STR("id:S") : STR("p:S s:S")),
			  index = test_schema(STR("p:S s:S"));
	struct key_condition c = {.high = STR_NULL};
	str p = any_value(a, r, ATTR_S), s = any_value(a, r, type), item, key;
	struct buf out, low, high;
	struct fault fault = {0};
	bool inside;

	index.sort[0].type = type;
	if (!is_index)
		table.sort[0].type = type;
	c.partition[0] = random_below(r, 4) ? value_of(a, p) : value_of(a, any_value(a, r, ATTR_S));
	c.op = (enum key_operator)random_below(
		r, type == ATTR_N ? KEY_BEGINS_WITH : KEY_BEGINS_WITH + 1);
	if (c.op != KEY_ALL) {
		c.sorts = 1;
		c.sort[0] = value_of(a, any_value(a, r, type));
	}
	if (c.op == KEY_BETWEEN)
		c.high = value_of(a, any_value(a, r, type));
	item = test_item(a, arena_printf(a, "{\"p\":%.*s,\"s\":%.*s,\"id\":{\"S\":\"%c\"}}",
				    STR_ARG(p), STR_ARG(s), (char)('a' + random_below(r, 26))));
	buf_init(&out, a, KEY_BYTES_MAX);
	buf_init(&low, a, KEY_BYTES_MAX);
	buf_init(&high, a, KEY_BYTES_MAX);
	if (is_index) {
		key_put_index(&out, 3);
		EXPECT_INT(key_put_index_item(&out, &index, &table, STR("i"), item, a, &fault), 1);
	} else {
		key_put_table(&out, 3);
		EXPECT_INT(key_put_item(&out, &table, item, a, &fault), 0);
	}
	key = buf_str(&out);
	key_range(&c, is_index ? &index : &table, is_index, 3, &low, &high);
	inside = str_cmp(key, buf_str(&low)) >= 0 && str_cmp(key, buf_str(&high)) < 0;
	if (inside != model(&c, value_of(a, p), value_of(a, s)))
		test_fail(__FILE__, __LINE__, "op %d type %d index %d: %.*s %.*s", c.op, type,
			is_index, STR_ARG(p), STR_ARG(s));
}

TEST(key, ranges)
{
	struct random r;

	random_seed(&r, test_number("SEED", 1));
	for (unsigned long i = test_number("ROUNDS", 4000); i > 0; i--) {
		struct arena a;

		arena_init(&a, 1 << 20);
		range_round(&a, &r, i % 3 ? ATTR_S : ATTR_N, i % 2);
		arena_done(&a);
	}
}

TEST(key, index)
{
	struct key_schema table = test_schema(STR("p:S s:N")), index = test_schema(STR("g:N h:S"));
	struct fault fault = {0};
	struct arena a;
	struct buf out, back, primary;
	str item;

	arena_init(&a, 1 << 20);
	item = test_item(
		&a, STR("{\"p\":{\"S\":\"x\"},\"s\":{\"N\":\"5\"},\"g\":{\"N\":\"1\"},\"h\":{\"S\":"
			"\"a\\u0000b\"},\"other\":{\"S\":\"o\"}}"));
	buf_init(&out, &a, KEY_BYTES_MAX);
	buf_init(&back, &a, KEY_BYTES_MAX);
	buf_init(&primary, &a, KEY_BYTES_MAX);
	key_put_index(&out, 9);
	ASSERT_INT(key_put_index_item(&out, &index, &table, STR("i"), item, &a, &fault), 1);
	ASSERT_INT(key_index_to_item(buf_str(&out), &index, &table, &back), 0);
	EXPECT_STR(test_item_text(&a, buf_str(&back)),
		STR("{\"g\":{\"N\":\"1\"},\"h\":{\"S\":\"a\\u0000b\"},\"p\":{\"S\":\"x\"},\"s\":{"
		    "\"N\":\"5\"}}"));
	ASSERT_INT(key_index_to_table(buf_str(&out), &index, &table, 7, &primary), 0);
	EXPECT_STR(buf_str(&primary), key_of(&a, &table, item));
	/* Damage is found. */
	buf_reset(&back);
	EXPECT_INT(key_index_to_item(str_sub(buf_str(&out), 0, 12), &index, &table, &back),
		ERR_CORRUPT);
	/* Not in the index */
	buf_reset(&out);
	item = test_item(&a, STR("{\"p\":{\"S\":\"x\"},\"s\":{\"N\":\"5\"},\"g\":{\"N\":\"1\"}}"));
	EXPECT_INT(key_put_index_item(&out, &index, &table, STR("i"), item, &a, &fault), 0);
	EXPECT_INT(out.n, 0);
	/* Refused */
	item = test_item(&a, STR("{\"p\":{\"S\":\"x\"},\"s\":{\"N\":\"5\"},\"h\":{\"N\":\"1\"}}"));
	EXPECT_INT(key_put_index_item(&out, &index, &table, STR("i"), item, &a, &fault), ERR_FAULT);
	EXPECT_STR(fault.message, STR("One or more parameter values were invalid: Type mismatch "
				      "for Index Key h Expected: "
				      "S Actual: N IndexName: i"));
	item = test_item(&a, STR("{\"p\":{\"S\":\"x\"},\"s\":{\"N\":\"5\"},\"g\":{\"N\":\"1\"},"
				 "\"h\":{\"S\":\"\"}}"));
	EXPECT_INT(key_put_index_item(&out, &index, &table, STR("i"), item, &a, &fault), ERR_FAULT);
	EXPECT_STR(fault.message,
		STR("One or more parameter values are not valid. A value specified for a secondary "
		    "index key is not supported. The AttributeValue for a key attribute cannot "
		    "contain "
		    "an empty string value. IndexName: i, IndexKey: h"));
	arena_done(&a);
}

/* An index may share attributes with the table's key. */
TEST(key, index_shares_attributes)
{
	struct key_schema table = test_schema(STR("p:S s:N")), index = test_schema(STR("p:S h:S"));
	struct fault fault = {0};
	struct arena a;
	struct buf out, back;

	arena_init(&a, 1 << 20);
	buf_init(&out, &a, KEY_BYTES_MAX);
	buf_init(&back, &a, KEY_BYTES_MAX);
	key_put_index(&out, 9);
	ASSERT_INT(key_put_index_item(&out, &index, &table, STR("i"),
			   test_item(&a, STR("{\"p\":{\"S\":\"x\"},\"s\":{\"N\":\"5\"},\"h\":{"
					     "\"S\":\"y\"}}")),
			   &a, &fault),
		1);
	ASSERT_INT(key_index_to_item(buf_str(&out), &index, &table, &back), 0);
	EXPECT_STR(test_item_text(&a, buf_str(&back)),
		STR("{\"h\":{\"S\":\"y\"},\"p\":{\"S\":\"x\"},\"s\":{\"N\":\"5\"}}"));
	arena_done(&a);
}

TEST(key, exact)
{
	static const char *const bad[] = {"{}", "{\"p\":{\"S\":\"x\"}}",
		"{\"p\":{\"S\":\"x\"},\"s\":{\"S\":\"5\"}}",
		"{\"p\":{\"S\":\"x\"},\"s\":{\"N\":\"5\"},\"t\":{\"N\":\"5\"}}",
		"{\"p\":{\"S\":\"x\"},\"t\":{\"N\":\"5\"}}"};
	struct key_schema s = test_schema(STR("p:S s:N"));
	struct fault fault = {0};
	struct arena a;
	struct buf out;
	str item;

	arena_init(&a, 1 << 20);
	buf_init(&out, &a, KEY_BYTES_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fault = (struct fault){.kind = NULL};
		EXPECT_INT(key_put_exact(&out, &s, test_item(&a, str_c(bad[i])), &a, &fault),
			ERR_FAULT);
		EXPECT_STR(
			fault.message, STR("The provided key element does not match the schema"));
	}
	item = test_item(&a, STR("{\"p\":{\"S\":\"x\"},\"s\":{\"N\":\"5\"}}"));
	key_put_table(&out, 7);
	EXPECT_INT(key_put_exact(&out, &s, item, &a, &fault), 0);
	EXPECT_STR(buf_str(&out), key_of(&a, &s, item));
	item = test_item(&a, STR("{\"p\":{\"S\":\"\"},\"s\":{\"N\":\"5\"}}"));
	EXPECT_INT(key_put_exact(&out, &s, item, &a, &fault), ERR_FAULT);
	EXPECT_STR(fault.message, STR("One or more parameter values are not valid. The "
				      "AttributeValue for a key attribute "
				      "cannot contain an empty string value. Key: p"));
	arena_done(&a);
}

static str filled(struct arena *a, size_t n)
{
	char *p = arena_bytes(a, n);

	memset(p, 'k', n);
	return str_of(p, n);
}

TEST(key, sizes)
{
	struct key_schema s = test_schema(STR("p:S s:S"));
	struct arena a;
	str p = STR("{\"p\":{\"S\":\""), q = STR("\"},\"s\":{\"S\":\""), end = STR("\"}}"), key;

	arena_init(&a, 1 << 20);
	key = key_of(&a, &s,
		test_item(&a, ARENA_CONCAT(&a, p, filled(&a, 2048), q, filled(&a, 1024), end)));
	EXPECT_INT(key.n, 9 + 4 + 2 + 2048 + 1024);
	EXPECT_STR(key_of(&a, &s,
			   test_item(&a, ARENA_CONCAT(&a, p, filled(&a, 2049), q, STR("x"), end))),
		STR("!One or more parameter values were invalid: Size of hashkey has exceeded the "
		    "maximum size limit of2048 bytes"));
	EXPECT_STR(key_of(&a, &s,
			   test_item(&a, ARENA_CONCAT(&a, p, STR("x"), q, filled(&a, 1025), end))),
		STR("!One or more parameter values were invalid: Aggregated size of all range keys "
		    "has "
		    "exceeded the size limit of 1024 bytes"));
	arena_done(&a);
}

/* Each key is in exactly one segment, the one that key_segment_of() says. */
TEST(key, segments)
{
	static const uint32_t counts[] = {1, 2, 3, 7, 100, 1000000};
	struct key_schema s = test_schema(STR("p:N"));
	struct random r;

	random_seed(&r, 2);
	for (int i = 0; i < 300; i++) {
		uint32_t segments = counts[random_below(&r, ARRAY_SIZE(counts))], home;
		struct arena a;
		str key;

		arena_init(&a, 1 << 20);
		key = key_of(&a, &s,
			test_item(&a, arena_printf(&a, "{\"p\":{\"N\":\"%d\"}}",
					      (int)random_below(&r, 9999))));
		home = key_segment_of(key, segments);
		for (int offset = -1; offset <= 1; offset++) {
			struct buf low, high;
			int64_t segment = (int64_t)home + offset;

			if (segment < 0 || segment >= segments)
				continue;
			buf_init(&low, &a, 64);
			buf_init(&high, &a, 64);
			key_segment(false, 7, (uint32_t)segment, segments, &low, &high);
			EXPECT_INT(str_cmp(key, buf_str(&low)) >= 0 &&
					   str_cmp(key, buf_str(&high)) < 0,
				offset == 0);
		}
		arena_done(&a);
	}
}
