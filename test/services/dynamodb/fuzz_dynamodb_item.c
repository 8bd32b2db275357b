/*
 * Items: what is read from JSON is a valid item that survives rendering and reading, and any bytes
 * that pass for an item can be walked.
 */
#include "base/check.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/item.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int read_item(struct arena *a, str json, struct buf *out, str *ret_rule)
{
	struct attr_decoder d;
	struct json_reader r;
	struct fault fault = {0};
	int rc;

	attr_decoder_init(&d, a, &fault);
	json_reader_init(&r, json, a, JSON_DEPTH_DEFAULT);
	rc = item_read_json(&d, &r, out);
	check(rc == 0 || (rc == ERR_FAULT && fault.kind && fault.message.n));
	*ret_rule = d.rule;
	return rc;
}

static str render(struct arena *a, str item)
{
	struct json_writer w;
	struct buf out;

	buf_init(&out, a, SIZE_MAX / 4);
	json_writer_init(&w, &out);
	item_write_json(&w, item);
	return buf_str(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	struct buf once, twice;
	str rule, item;

	arena_init(&a, SIZE_MAX);
	if (item_is_valid(str_of(data, n))) {
		check(item_size(str_of(data, n)) <= 64 * n);
		(void)render(&a, str_of(data, n));
	}
	buf_init(&once, &a, ITEM_ENCODED_MAX);
	if (read_item(&a, str_of(data, n), &once, &rule) < 0)
		return 0;
	item = buf_str(&once);
	(void)render(&a, item);
	(void)item_size(item);
	if (rule.p)
		return 0;
	check(item_is_valid(item));
	buf_init(&twice, &a, ITEM_ENCODED_MAX);
	check(read_item(&a, render(&a, item), &twice, &rule) == 0 && !rule.p);
	check(str_eq(item, buf_str(&twice)));
	return 0;
}
