/*
 * Vectors: an item as JSON, whose attribute "e" is read as a vector of as many dimensions as it has
 * elements. What is one becomes an entry that is a valid item, has a distance of 0 to itself, and
 * is the same vector when it was shown and read again.
 */
#include "base/check.h"
#include "services/dynamodb/vector.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int read_item(struct arena *a, str json, str *ret_item)
{
	struct fault fault = {0};
	struct attr_decoder d;
	struct json_reader r;
	struct buf out;

	buf_init(&out, a, ITEM_ENCODED_MAX);
	attr_decoder_init(&d, a, &fault);
	json_reader_init(&r, json, a, JSON_DEPTH_DEFAULT);
	TRY(item_read_json(&d, &r, &out));
	*ret_item = buf_str(&out);
	return d.rule.p ? ERR_INVALID : 0;
}

static void check_entry(struct arena *a, str item, const float *vector, uint32_t n)
{
	float *again = arena_new_array(a, float, n);
	struct buf entry, shown;
	str floats, list;
	size_t element;

	buf_init(&entry, a, ITEM_ENCODED_MAX);
	buf_init(&shown, a, ITEM_ENCODED_MAX);
	vector_put_entry(&entry, item, STR("e"), vector, n);
	check(item_is_valid(buf_str(&entry)));
	check(vector_find(buf_str(&entry), STR("e"), n, &floats) == 1);
	check(vector_score(VECTOR_EUCLIDEAN, vector, floats, n) == 0);
	check(isfinite(vector_score(VECTOR_DOT_PRODUCT, vector, floats, n)));
	check(vector_score(VECTOR_COSINE, vector, floats, n) >= 0);
	vector_put_shown(&shown, buf_str(&entry), STR("e"), true);
	check(item_is_valid(buf_str(&shown)) && item_find(buf_str(&shown), STR("e"), &list) == 1);
	check(vector_read(list, n, again, &element) == VECTOR_OK);
	for (uint32_t i = 0; i < n; i++)
		check(again[i] == vector[i]);
	buf_reset(&shown);
	vector_put_shown(&shown, buf_str(&entry), STR("e"), false);
	check(item_count(buf_str(&shown)) + 1 == item_count(item));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	size_t count, element;
	float *vector;
	str item, list;

	arena_init(&a, SIZE_MAX);
	if (read_item(&a, str_of((const char *)data, n), &item) < 0 ||
		!item_find(item, STR("e"), &list) || attr_type(list) != ATTR_L)
		return 0;
	count = attr_count(list);
	if (count == 0 || count > VECTOR_DIMENSIONS_MAX)
		return 0;
	vector = arena_new_array(&a, float, count);
	if (vector_read(list, (uint32_t)count, vector, &element) == VECTOR_OK)
		check_entry(&a, item, vector, (uint32_t)count);
	else
		check(element < count);
	return 0;
}
