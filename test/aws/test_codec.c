/*
 * Codecs and the validator by tables: input on the wire -> what was read, written back as JSON, or
 * the message of the refusal. The shapes are those of real services.
 */
#include "aws/codec.h"
#include "aws/validate.h"
#include "base/check.h"
#include "base/rc.h"
#include "test/test_table.h"

#include <stdio.h>

static const struct model *model_for(const struct test_table *t, unsigned field)
{
	const struct model *m = model_named(t->field[field]);

	if (!m)
		test_fail(t->path, t->line, "no such service");
	check(m != NULL);
	return m;
}

static struct value *new_named(struct arena *a, const struct model *m, str shape)
{
	return value_new(a, m, arena_c(a, shape));
}

static str stored(struct arena *a, const struct value *v)
{
	struct buf out;

	buf_init(&out, a, 1 << 20);
	codec_json_store(&out, v);
	return buf_str(&out);
}

/* What validation says of `v`, or what was read. */
static str judged(struct arena *a, const struct value *v)
{
	str message;

	return validate(v, &message) < 0 ? message : stored(a, v);
}

TEST(aws_codec, json_table)
{
	struct test_table t;

	for (test_table_open(&t, "test/aws/json.txt"); test_table_next(&t);) {
		struct arena a;
		struct value *v;
		str message, result;

		arena_init(&a, SIZE_MAX);
		v = new_named(&a, model_for(&t, 0), t.field[1]);
		result = codec_json_read(v, t.field[2], &message) < 0 ? message : judged(&a, v);
		TABLE_EXPECT_STR(&t, result, t.field[3]);
		arena_done(&a);
	}
	test_table_close(&t, 60);
}

TEST(aws_codec, query_table)
{
	struct test_table t;

	for (test_table_open(&t, "test/aws/query.txt"); test_table_next(&t);) {
		struct arena a;
		struct value *v;
		struct form *form;
		str message, result;

		arena_init(&a, SIZE_MAX);
		v = new_named(&a, model_for(&t, 0), t.field[1]);
		if (form_parse(&a, STR_NULL, t.field[2], &form, &message) < 0 ||
			codec_query_read(v, form, &message) < 0)
			result = message;
		else
			result = judged(&a, v);
		TABLE_EXPECT_STR(&t, result, t.field[3]);
		arena_done(&a);
	}
	test_table_close(&t, 15);
}

/* The best match as the gate does it, here for one service: the first that fits. */
static int find_operation(
	const struct model *m, str method, str path, struct rest_labels *ret_labels)
{
	for (int i = 0; i < m->operation_count; i++)
		if (str_eq(model_str(m, m->operations[i].method), method) &&
			rest_match(model_str(m, m->operations[i].uri), path, ret_labels))
			return i;
	return -1;
}

TEST(aws_codec, rest_table)
{
	struct test_table t;

	for (test_table_open(&t, "test/aws/rest.txt"); test_table_next(&t);) {
		const struct model *m;
		struct rest_labels labels;
		struct http_header header = {.name = STR_NULL};
		struct arena a;
		struct value *v;
		str message, result, target, query = STR_NULL, rest;
		ptrdiff_t mark;
		int operation;

		arena_init(&a, SIZE_MAX);
		m = model_for(&t, 0);
		target = t.field[2];
		mark = str_find(target, '?');
		if (mark >= 0) {
			query = str_from(target, (size_t)mark + 1);
			target = str_sub(target, 0, (size_t)mark);
		}
		rest = t.field[3];
		if (str_split(&rest, ':', &header.name))
			header.value = str_trim(rest);
		operation = find_operation(m, t.field[1], target, &labels);
		if (operation < 0) {
			result = STR("none");
		} else {
			v = value_new_shape(&a, m, m->operations[operation].input);
			result = codec_rest_read(v, &labels, query, &header, header.value.n > 0,
					 str_eq(t.field[4], STR("-")) ? STR_NULL : t.field[4],
					 &message) < 0
					 ? message
					 : judged(&a, v);
			result = ARENA_CONCAT(
				&a, model_str(m, m->operations[operation].name), STR(" "), result);
		}
		TABLE_EXPECT_STR(&t, result, t.field[5]);
		arena_done(&a);
	}
	test_table_close(&t, 15);
}

TEST(aws_codec, query_answer)
{
	const struct model *m = model_named(STR("iam"));
	struct arena a;
	struct value *out, *role, *tags, *tag;
	struct buf body;

	arena_init(&a, SIZE_MAX);
	out = value_new(&a, m, "GetRoleResponse");
	role = value_put_struct(out, "Role");
	value_put_str(role, "RoleName", STR("a<b"));
	value_put_time_ms(role, "CreateDate", 1440938160000);
	value_put_int(role, "MaxSessionDuration", 3600);
	tags = value_put_list(role, "Tags");
	tag = value_add_struct(tags);
	value_put_str(tag, "Key", STR("k"));
	value_put_str(tag, "Value", STR(""));
	buf_init(&body, &a, 1 << 20);
	codec_query_write(&body, m, STR("GetRole"), out, STR("id-1"));
	EXPECT_STR(buf_str(&body),
		STR("<GetRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">"
		    "<GetRoleResult><Role><RoleName>a&lt;b</RoleName>"
		    "<CreateDate>2015-08-30T12:36:00Z</CreateDate>"
		    "<MaxSessionDuration>3600</MaxSessionDuration>"
		    "<Tags><member><Key>k</Key><Value></Value></member></Tags></Role></"
		    "GetRoleResult>"
		    "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>"
		    "</GetRoleResponse>\n"));
	buf_reset(&body);
	codec_query_write(&body, m, STR("DeleteRole"), NULL, STR("id-2"));
	EXPECT_STR(buf_str(&body),
		STR("<DeleteRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">"
		    "<ResponseMetadata><RequestId>id-2</RequestId></ResponseMetadata>"
		    "</DeleteRoleResponse>\n"));
	arena_done(&a);
}

TEST(aws_codec, rest_answer)
{
	const struct model *m = model_named(STR("lambda"));
	struct rest_answer answer;
	struct arena a;
	struct value *out;
	struct buf body;

	arena_init(&a, SIZE_MAX);
	out = value_new(&a, m, "InvocationResponse");
	value_put_int(out, "StatusCode", 202);
	value_put_str(out, "FunctionError", STR("Unhandled"));
	value_put_str(out, "Payload", STR("{\"a\":1}"));
	buf_init(&body, &a, 1 << 20);
	codec_rest_write(&body, &a, out, &answer);
	EXPECT_INT(answer.status, 202);
	EXPECT_STR(buf_str(&body), STR("{\"a\":1}"));
	ASSERT_INT(answer.header_count, 1);
	EXPECT_STR(answer.headers[0].name, STR("X-Amz-Function-Error"));
	EXPECT_STR(answer.headers[0].value, STR("Unhandled"));
	arena_done(&a);
}

TEST(aws_codec, records_survive)
{
	const struct model *m = model_named(STR("lambda"));
	struct arena a;
	struct value *v, *again;
	struct buf text, second;

	arena_init(&a, SIZE_MAX);
	v = value_new(&a, m, "InvocationRequest");
	value_put_str(v, "FunctionName", STR("f"));
	value_put_str(v, "Payload", STR("\x01\xff"));
	value_put_str(v, "InvocationType", STR("Event"));
	buf_init(&text, &a, 1 << 20);
	codec_json_store(&text, v);
	ASSERT_INT(codec_json_load(&a, m, "InvocationRequest", buf_str(&text), &again), 0);
	EXPECT_STR(value_str(again, "Payload"), STR("\x01\xff"));
	buf_init(&second, &a, 1 << 20);
	codec_json_store(&second, again);
	EXPECT_STR(buf_str(&second), buf_str(&text));
	EXPECT_INT(codec_json_load(&a, m, "InvocationRequest", STR("{\"FunctionName\":"), &again),
		ERR_CORRUPT);
	arena_done(&a);
}

TEST(aws_value, copies_match_by_name)
{
	const struct model *m = model_named(STR("lambda"));
	struct arena a;
	struct value *in, *out, *variables;
	const struct value *copy;

	arena_init(&a, SIZE_MAX);
	in = value_new(&a, m, "CreateFunctionRequest");
	variables = value_put_map(value_put_struct(in, "Environment"), "Variables");
	value_map_put_str(variables, STR("A"), STR("1"));
	value_map_put_str(variables, STR("B"), STR("2"));
	value_map_put_str(variables, STR("A"), STR("3"));
	value_put_int(in, "Timeout", 7);
	out = value_new(&a, m, "FunctionConfiguration");
	value_copy_members(out, in);
	EXPECT_INT(value_int(out, "Timeout", 0), 7);
	copy = value_get(value_get(out, "Environment"), "Variables");
	ASSERT_INT(value_count(copy), 2);
	EXPECT_STR(value_text(value_find(copy, STR("A"))), STR("3"));
	EXPECT(value_get(out, "Role") == NULL);
	EXPECT_INT(value_int(out, "MemorySize", 128), 128);
	arena_done(&a);
}

TEST(aws_value, lists_grow)
{
	const struct model *m = model_named(STR("dynamodb"));
	struct arena a;
	struct value *out, *names;
	char text[8];

	arena_init(&a, SIZE_MAX);
	out = value_new(&a, m, "ListTablesOutput");
	names = value_put_list(out, "TableNames");
	for (int i = 0; i < 100; i++)
		value_add_str(names, arena_printf(&a, "t%d", i));
	EXPECT(value_put_list(out, "TableNames") == names);
	for (int i = 0; i < 100; i++) {
		int n = snprintf(text, sizeof(text), "t%d", i);

		EXPECT_STR(value_text(value_at(names, (uint32_t)i)), str_of(text, (size_t)n));
	}
	arena_done(&a);
}

TEST(aws_model, patterns_by_table)
{
	struct test_table t;

	for (test_table_open(&t, "test/aws/pattern.txt"); test_table_next(&t);) {
		const struct model *m = model_for(&t, 0);
		int shape = model_shape_named(m, t.field[1]);
		unsigned pattern;
		str text = str_eq(t.field[2], STR("(empty)")) ? STR("") : t.field[2];

		if (shape < 0) {
			test_fail(t.path, t.line, "no such shape");
			continue;
		}
		pattern = m->constraints[m->shapes[shape].constraint].pattern;
		if (!pattern) {
			test_fail(t.path, t.line, "the shape has no pattern");
			continue;
		}
		if (model_pattern_match(m, pattern, text) != str_eq(t.field[3], STR("yes")))
			test_fail(t.path, t.line, "'%.*s' must%s match '%.*s'", STR_ARG(text),
				str_eq(t.field[3], STR("yes")) ? "" : " not",
				STR_ARG(model_str(m, m->patterns[pattern].text)));
	}
	test_table_close(&t, 60);
}

TEST(aws_model, tables_are_in_order)
{
	for (size_t i = 0; i < models_count; i++) {
		const struct model *m = models_all[i];

		for (unsigned k = 1; k < m->operation_count; k++)
			EXPECT(str_cmp(model_str(m, m->operations[k - 1].name),
				       model_str(m, m->operations[k].name)) < 0);
		for (unsigned k = 2; k < m->shape_count; k++)
			EXPECT(str_cmp(model_shape_name(m, k - 1), model_shape_name(m, k)) < 0);
		for (unsigned k = 0; k < m->operation_count; k++) {
			const struct model_operation *o = &m->operations[k];

			EXPECT(o->input < m->shape_count && o->output < m->shape_count);
			EXPECT(o->status >= 200 && o->status < 300);
		}
		EXPECT(model_named(str_c(m->name)) == m);
	}
}

/* `levels` lists inside one another as an item's attribute. */
static str nested(struct arena *a, unsigned levels)
{
	struct buf b;

	buf_init(&b, a, 1 << 20);
	buf_put(&b, STR("{\"TableName\":\"abc\",\"Item\":{\"k\":"));
	for (unsigned i = 0; i < levels; i++)
		buf_put(&b, STR("{\"L\":["));
	buf_put(&b, STR("{\"NULL\":true}"));
	for (unsigned i = 0; i < levels; i++)
		buf_put(&b, STR("]}"));
	buf_put(&b, STR("}}"));
	return buf_str(&b);
}

TEST(aws_codec, depth_is_bounded)
{
	const struct model *m = model_named(STR("dynamodb"));
	struct arena a;
	struct value *v;
	str message = STR_NULL;

	arena_init(&a, SIZE_MAX);
	v = value_new(&a, m, "PutItemInput");
	EXPECT_INT(codec_json_read(v, nested(&a, 34), &message), 0);
	EXPECT_INT(validate(v, &message), 0);
	v = value_new(&a, m, "PutItemInput");
	EXPECT(codec_json_read(v, nested(&a, 35), &message) < 0);
	EXPECT(str_starts(message, STR("The body is not valid JSON: nested too deeply at byte ")));
	v = value_new(&a, m, "PutItemInput");
	EXPECT(codec_json_read(v, nested(&a, 20000), &message) < 0);
	arena_done(&a);
}

/* Many errors, and long values, make one message of bounded size. */
TEST(aws_codec, messages_are_bounded)
{
	const struct model *m = model_named(STR("dynamodb"));
	struct arena a;
	struct value *v, *names;
	struct buf text;
	str message = STR_NULL;

	arena_init(&a, SIZE_MAX);
	buf_init(&text, &a, 1 << 20);
	for (int i = 0; i < 2000; i++)
		buf_put(&text, STR("\xe2\x82\xac"));
	v = value_new(&a, m, "CreateTableInput");
	value_put_str(v, "TableName", buf_str(&text));
	names = value_put_list(v, "AttributeDefinitions");
	for (int i = 0; i < 100; i++)
		(void)value_add_struct(names);
	EXPECT_INT(validate(v, &message), ERR_FAULT);
	EXPECT(str_starts(message, STR("10 validation errors detected: ")));
	EXPECT(message.n < 20000);
	v = value_new(&a, m, "DescribeTableInput");
	value_put_str(v, "TableName", buf_str(&text));
	EXPECT_INT(validate(v, &message), ERR_FAULT);
	EXPECT(str_is_utf8(message));
	EXPECT(message.n < 2300);
	EXPECT(str_find_str(message, STR("\xac...' at 'tableName'")) > 0);
	arena_done(&a);
}
