/*
 * What the tests of DynamoDB's pure logic share.
 */
#include "test/services/dynamodb/dynamodb_test.h"

str test_item(struct arena *arena, str json)
{
	struct attr_decoder d;
	struct json_reader r;
	struct fault fault = {0};
	struct buf out;

	attr_decoder_init(&d, arena, &fault);
	json_reader_init(&r, json, arena, JSON_DEPTH_DEFAULT);
	buf_init(&out, arena, ITEM_ENCODED_MAX);
	if (item_read_json(&d, &r, &out) < 0 || d.rule.p || json_end(&r) < 0)
		test_fail(__FILE__, __LINE__, "not an item: %.*s", STR_ARG(json));
	EXPECT(item_is_valid(buf_str(&out)));
	return buf_str(&out);
}

str test_item_text(struct arena *arena, str item)
{
	struct json_writer w;
	struct buf out;

	buf_init(&out, arena, 2u * ITEM_ENCODED_MAX);
	json_writer_init(&w, &out);
	item_write_json(&w, item);
	return buf_str(&out);
}

str test_value_text(struct arena *arena, str value)
{
	struct json_writer w;
	struct buf out;

	buf_init(&out, arena, 2u * ITEM_ENCODED_MAX);
	json_writer_init(&w, &out);
	attr_write_json(&w, value);
	return buf_str(&out);
}

static uint8_t attributes(str text, struct key_attribute *to)
{
	uint8_t n = 0;
	str part;

	while (str_split(&text, ',', &part)) {
		ptrdiff_t at = str_find(part, ':');

		to[n].name = str_sub(part, 0, (size_t)at);
		EXPECT_INT(attr_type_from_name(str_from(part, (size_t)at + 1), &to[n].type), 1);
		n++;
	}
	return n;
}

struct key_schema test_schema(str text)
{
	struct key_schema s = {.sorts = 0};
	str part;

	if (str_split(&text, ' ', &part))
		s.partitions = attributes(part, s.partition);
	if (str_split(&text, ' ', &part))
		s.sorts = attributes(part, s.sort);
	return s;
}
