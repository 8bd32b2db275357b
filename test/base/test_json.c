/*
 * The JSON reader, tree and writer; the conformance tables are in test/base/json/.
 */
#include "base/json.h"

#include "base/random.h"
#include "test/test_table.h"

#include <math.h>
#include <stdlib.h>

static str written(struct arena *arena, const struct json_value *v)
{
	struct json_writer w;
	struct buf out;

	buf_init(&out, arena, 1 << 20);
	json_writer_init(&w, &out);
	json_put_value(&w, v);
	return buf_str(&out);
}

TEST(json, accept_table)
{
	struct test_table t;

	for (test_table_open(&t, "test/base/json/accept.txt"); test_table_next(&t);) {
		struct json_value *v;
		struct json_reader r;
		size_t offset = 0;
		str raw;
		int rc = json_parse(&t.arena, t.field[0], 8, &v, &offset);

		if (rc < 0) {
			test_fail(t.path, t.line, "%.*s: %s at %zu", STR_ARG(t.field[0]),
				rc_name(rc), offset);
			continue;
		}
		TABLE_EXPECT_STR(&t, written(&t.arena, v), t.field[1]);
		json_reader_init(&r, t.field[0], &t.arena, 8);
		EXPECT_INT(json_raw(&r, &raw), 0);
		EXPECT_INT(json_end(&r), 0);
	}
	test_table_close(&t, 64);
}

TEST(json, reject_table)
{
	struct test_table t;

	for (test_table_open(&t, "test/base/json/reject.txt"); test_table_next(&t);) {
		str text = str_eq(t.field[0], STR("%EMPTY")) ? STR("") : t.field[0], raw;
		struct json_value *v = NULL;
		struct json_reader r;
		size_t offset = 0;
		int rc = json_parse(&t.arena, text, 8, &v, &offset);

		TABLE_EXPECT_STR(&t, str_c(rc_name(rc)), t.field[1]);
		TABLE_EXPECT_STR(&t, arena_printf(&t.arena, "%zu", offset), t.field[2]);
		EXPECT(v == NULL);
		/* Skipping finds the same. */
		json_reader_init(&r, text, &t.arena, 8);
		rc = json_raw(&r, &raw);
		if (rc >= 0)
			rc = json_end(&r);
		TABLE_EXPECT_STR(&t, str_c(rc_name(rc)), t.field[1]);
		TABLE_EXPECT_STR(
			&t, arena_printf(&t.arena, "%zu", json_error_offset(&r)), t.field[2]);
	}
	test_table_close(&t, 107);
}

/* Every prefix of a valid text is refused, and nothing behind its end is read. */
TEST(json, prefixes)
{
	static const char text[] = "{\"key one\":[1,-2.5e+7,true,false,null,\"\\u00e9\\n\"],"
				   "\"k\":{\"n\":{}},\"long\":\"0123456789012345678901234567\"}";
	size_t n = sizeof text - 1;

	for (size_t i = 0; i < n; i++) {
		struct arena a;
		struct json_value *v;
		char *copy = malloc(i ? i : 1);

		if (!copy)
			abort();
		memcpy(copy, text, i);
		arena_init(&a, 1 << 20);
		EXPECT(json_parse(&a, str_of(copy, i), 8, &v, NULL) < 0);
		arena_done(&a);
		free(copy);
	}
}

TEST(json, pull)
{
	static const char text[] = " {\"TableName\":\"t\",\"Limit\":10,\"x\":[1,{\"y\":\"]\"}],"
				   "\"On\":true,\"F\":1.5,\"N\":null,\"R\": [ 1 , 2 ] } ";
	struct json_reader r;
	struct arena a;
	str key, name = STR_NULL, raw = STR_NULL;
	int64_t limit = 0;
	double f = 0;
	bool on = false;
	int rc, keys = 0;

	arena_init(&a, 1 << 20);
	json_reader_init(&r, str_c(text), &a, 4);
	ASSERT_INT(json_peek(&r), JSON_OBJECT);
	ASSERT_INT(json_object_begin(&r), 0);
	while ((rc = json_object_next(&r, &key)) > 0) {
		keys++;
		if (str_eq(key, STR("TableName")))
			EXPECT_INT(json_string(&r, &name), 0);
		else if (str_eq(key, STR("Limit")))
			EXPECT_INT(json_i64(&r, &limit), 0);
		else if (str_eq(key, STR("On")))
			EXPECT_INT(json_bool(&r, &on), 0);
		else if (str_eq(key, STR("F")))
			EXPECT_INT(json_double(&r, &f), 0);
		else if (str_eq(key, STR("N")))
			EXPECT_INT(json_null(&r), 0);
		else if (str_eq(key, STR("R")))
			EXPECT_INT(json_raw(&r, &raw), 0);
		else
			EXPECT_INT(json_skip(&r), 0);
	}
	EXPECT_INT(rc, 0);
	EXPECT_INT(json_end(&r), 0);
	EXPECT_INT(keys, 7);
	EXPECT_STR(name, STR("t"));
	EXPECT(name.p > text && name.p < text + sizeof text); /* not copied */
	EXPECT_INT(limit, 10);
	EXPECT(on);
	EXPECT(f == 1.5);
	EXPECT_STR(raw, STR("[ 1 , 2 ]"));
	arena_done(&a);
}

TEST(json, wrong_kind)
{
	struct json_reader r;
	struct arena a;
	int64_t i;
	double d;
	bool b;
	str s;

	arena_init(&a, 1 << 20);
#define READER(text) json_reader_init(&r, STR(text), &a, 4)
	READER(" 1");
	EXPECT_INT(json_string(&r, &s), ERR_INVALID);
	EXPECT_INT(json_error_offset(&r), 1);
	READER("\"1\"");
	EXPECT_INT(json_i64(&r, &i), ERR_INVALID);
	READER("[]");
	EXPECT_INT(json_object_begin(&r), ERR_INVALID);
	READER("{}");
	EXPECT_INT(json_array_begin(&r), ERR_INVALID);
	READER("nul");
	EXPECT_INT(json_null(&r), ERR_SYNTAX);
	READER("0");
	EXPECT_INT(json_bool(&r, &b), ERR_INVALID);
	READER("@");
	EXPECT_INT(json_bool(&r, &b), ERR_SYNTAX);
	READER("1.0");
	EXPECT_INT(json_i64(&r, &i), ERR_INVALID);
	READER("9223372036854775808");
	EXPECT_INT(json_i64(&r, &i), ERR_RANGE);
	READER("1e400");
	EXPECT_INT(json_double(&r, &d), ERR_RANGE);
	READER("0.1000000000000000055511151231257827021181583404541015625000000000000000");
	EXPECT_INT(json_double(&r, &d), 0);
	EXPECT(d == 0.1);
	READER("-9223372036854775808");
	EXPECT_INT(json_i64(&r, &i), 0);
	EXPECT(i == INT64_MIN);
#undef READER
	arena_done(&a);
}

TEST(json, depth)
{
	char text[2 * JSON_DEPTH_MAX + 2];
	struct json_value *v;
	struct json_reader r;
	struct arena a;

	arena_init(&a, 1 << 20);
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	EXPECT_INT(json_parse(&a, str_of(text + 1, 2 * JSON_DEPTH_MAX), 9999, &v, NULL), 0);
	EXPECT_INT(json_parse(&a, str_of(text, sizeof text), 9999, &v, NULL), ERR_DEPTH);
	json_reader_init(&r, str_of(text + 1, 2 * JSON_DEPTH_MAX), &a, 9999);
	EXPECT_INT(json_skip(&r), 0);
	json_reader_init(&r, str_of(text, sizeof text), &a, 9999);
	EXPECT_INT(json_skip(&r), ERR_DEPTH);
	EXPECT_INT(json_parse(&a, STR("1"), 0, &v, NULL), 0);
	EXPECT_INT(json_parse(&a, STR("[]"), 0, &v, NULL), ERR_DEPTH);
	arena_done(&a);
}

TEST(json, tree)
{
	struct json_value *v;
	struct arena a;

	arena_init(&a, 1 << 20);
	ASSERT_INT(json_parse(&a,
			   STR("{\"a\":{\"b\":{\"c\":\"x\"}},\"l\":[1,\"two\",3,4,5],\"d\":1,\"d\":"
			       "2}"),
			   8, &v, NULL),
		0);
	EXPECT_STR(json_text(json_get_path(v, STR("a.b.c"))), STR("x"));
	EXPECT(json_get_path(v, STR("a.x.c")) == NULL);
	EXPECT(json_get(NULL, STR("a")) == NULL);
	EXPECT_STR(json_text(json_at(json_get(v, STR("l")), 1)), STR("two"));
	EXPECT(json_at(json_get(v, STR("l")), 5) == NULL);
	EXPECT_STR(json_get(v, STR("d"))->text, STR("2"));
	EXPECT(!json_text(json_get(v, STR("d"))).p);
	arena_done(&a);
}

TEST(json, write)
{
	struct json_writer w;
	struct arena a;
	struct buf out;

	arena_init(&a, 1 << 20);
	buf_init(&out, &a, 1 << 10);
	json_writer_init(&w, &out);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("s"), STR("a\"b\\c/\n\x01\x7f\xc3\xa9"));
	json_put_key(&w, STR("list"));
	json_put_array_begin(&w);
	json_put_i64(&w, INT64_MIN);
	json_put_u64(&w, UINT64_MAX);
	json_put_array_begin(&w);
	json_put_array_end(&w);
	json_put_bool(&w, true);
	json_put_bool(&w, false);
	json_put_null(&w);
	json_put_string_or_null(&w, STR_NULL);
	json_put_string_or_null(&w, STR(""));
	json_put_array_end(&w);
	json_put_key(&w, STR("raw"));
	json_put_raw(&w, STR("{}"));
	json_put_object_end(&w);
	EXPECT_STR(buf_str(&out),
		STR("{\"s\":\"a\\\"b\\\\c/\\n\\u0001\x7f\xc3\xa9\",\"list\":[-9223372036854775808,"
		    "18446744073709551615,[],true,false,null,null,\"\"],\"raw\":{}}"));
	buf_reset(&out);
	json_put_quoted_lossy(&out, STR("a\xff\xc3\xa9\xe2\x82\"\xf0\x9f"));
	EXPECT_STR(buf_str(&out), STR("\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\\\"\xef\xbf"
				      "\xbd\xef\xbf\xbd\""));
	buf_init(&out, &a, 5);
	json_put_quoted(&out, STR("12345"));
	EXPECT(out.over);
	arena_done(&a);
}

TEST(json, doubles)
{
	static const struct {
		double v;
		const char *text;
	} cases[] = {{0, "0"}, {-0.0, "-0"}, {1, "1"}, {0.1, "0.1"},
		{1.0 / 3, "0.3333333333333333"}, {5e-324, "5e-324"},
		{1.7976931348623157e308, "1.7976931348623157e+308"},
		{123456789012345680.0, "1.2345678901234568e+17"}, {1e21, "1e+21"}, {2.5, "2.5"},
		{NAN, "null"}, {INFINITY, "null"}};
	struct random random;
	struct json_writer w;
	struct arena a;
	struct buf out;

	arena_init(&a, 1 << 20);
	buf_init(&out, &a, 1 << 10);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_reset(&out);
		json_writer_init(&w, &out);
		json_put_double(&w, cases[i].v);
		EXPECT_STR(buf_str(&out), str_c(cases[i].text));
	}
	random_seed(&random, 1);
	for (int i = 0; i < 2000; i++) {
		uint64_t bits = random_u64(&random);
		struct json_reader r;
		double v, back = 0;

		memcpy(&v, &bits, 8);
		if (!isfinite(v))
			continue;
		buf_reset(&out);
		json_writer_init(&w, &out);
		json_put_double(&w, v);
		json_reader_init(&r, buf_str(&out), &a, 1);
		EXPECT_INT(json_double(&r, &back), 0);
		EXPECT(back == v);
	}
	arena_done(&a);
}

/* Strings of every length and content around the vector width survive writing and reading. */
TEST(json, string_round_trip)
{
	struct random random;

	random_seed(&random, test_number("SEED", 7));
	for (int i = 0; i < 3000; i++) {
		static const char *const parts[] = {"a", "\"", "\\", "\n", "\x01", "\xc3\xa9",
			"\xf0\x9f\x98\x80", "0123456789", "/"};
		struct json_reader r;
		struct arena a;
		struct buf s, out;
		str back;

		arena_init(&a, 1 << 20);
		buf_init(&s, &a, 4096);
		buf_init(&out, &a, 32768);
		for (uint64_t n = random_below(&random, 12); n > 0; n--)
			buf_put(&s, str_c(parts[random_below(&random, i % 2 ? 9 : 1)]));
		json_put_quoted(&out, buf_str(&s));
		json_reader_init(&r, buf_str(&out), &a, 1);
		ASSERT_INT(json_string(&r, &back), 0);
		EXPECT_STR(back, buf_str(&s));
		EXPECT_INT(json_end(&r), 0);
		arena_done(&a);
	}
}
