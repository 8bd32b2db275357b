/*
 * Pages of indexes: which may be read, and that fetched items are of the page, each once and in
 * order, while the engine gives scans up.
 */
#include "services/dynamodb/page.h"

#include "base/check.h"
#include "base/json.h"
#include "kv/kv.h"
#include "test/services/dynamodb/dynamodb_test.h"
#include "test/services/dynamodb/wire.h"

static void expect_check(const struct page_plan *plan, str message)
{
	struct arena a cleanup(arena_done_p);
	struct fault fault = {0};
	int rc;

	arena_init(&a, SIZE_MAX);
	rc = page_check(plan, &a, &fault);
	EXPECT_INT(rc, message.p ? ERR_FAULT : 0);
	if (rc < 0)
		EXPECT_STR(fault.message, message);
}

TEST(dynamodb_page, indexes_that_cannot_be_read)
{
	struct table t = {.id = 1, .name = STR("tab"), .keys = test_schema(STR("p:S"))};
	struct table_index index = {.id = 2, .name = STR("idx"), .keys = test_schema(STR("a:S"))};
	struct page_plan plan = {.table = &t, .index = &index};

	expect_check(&plan, STR_NULL);
	index.status = INDEX_UPDATING;
	expect_check(&plan, STR_NULL);
	index.status = INDEX_CREATING;
	expect_check(&plan, STR("Cannot read from backfilling global secondary index: idx"));
	index.status = INDEX_DELETING;
	expect_check(&plan, STR("The table does not have the specified index: idx"));
}

#define ITEMS 600

static void put_items(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable",
		STR("{\"TableName\":\"tab\",\"AttributeDefinitions\":[{\"AttributeName\":\"p\","
		    "\"AttributeType\":\"S\"},{\"AttributeName\":\"s\",\"AttributeType\":\"N\"},{"
		    "\"AttributeName\":\"b\",\"AttributeType\":\"N\"}],\"KeySchema\":[{"
		    "\"AttributeName\":\"p\",\"KeyType\":\"HASH\"},{\"AttributeName\":\"s\","
		    "\"KeyType\":\"RANGE\"}],\"LocalSecondaryIndexes\":[{\"IndexName\":\"local\","
		    "\"KeySchema\":[{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"},{"
		    "\"AttributeName\":\"b\",\"KeyType\":\"RANGE\"}],\"Projection\":{"
		    "\"ProjectionType\":\"KEYS_ONLY\"}}],\"BillingMode\":\"PAY_PER_REQUEST\"}"));
	for (int i = 0; i < ITEMS; i++)
		ddb_expect(w, &a, 200, "PutItem",
			arena_printf(&a,
				"{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"k\"},\"s\":{\"N\":"
				"\"%d\"},\"b\":{\"N\":\"%d\"},\"v\":{\"S\":\"%0*d\"}}}",
				i, ITEMS - 1 - i, 5000, i));
}

/* One page; its number of items, which go on behind the first *at. */
static uint32_t read_page(struct ddb *w, struct arena *a, uint32_t at, str *start)
{
	const struct json_value *items, *last;
	struct json_value *v;
	str body = ddb_expect(w, a, 200, "Query",
		arena_printf(a,
			"{\"TableName\":\"tab\",\"IndexName\":\"local\",\"KeyConditionExpression\":"
			"\"p = :p\",\"ExpressionAttributeValues\":{\":p\":{\"S\":\"k\"}},"
			"\"Select\":\"ALL_ATTRIBUTES\"%.*s}",
			STR_ARG(*start)));

	check(json_parse(a, body, 100, &v, NULL) == 0);
	items = json_get(v, STR("Items"));
	for (uint32_t i = 0; i < items->count; i++) {
		const struct json_value *item = json_at(items, i);

		EXPECT_STR(
			json_text(json_get_path(item, STR("b.N"))), arena_printf(a, "%u", at + i));
		EXPECT_STR(json_text(json_get_path(item, STR("v.S"))),
			arena_printf(a, "%0*u", 5000, ITEMS - 1 - at - i));
	}
	last = json_get(v, STR("LastEvaluatedKey"));
	*start =
		last ? arena_printf(a,
			       ",\"ExclusiveStartKey\":{\"p\":{\"S\":\"k\"},\"s\":{\"N\":\"%.*s\"},"
			       "\"b\":{\"N\":\"%.*s\"}}",
			       STR_ARG(json_text(json_get_path(last, STR("s.N")))),
			       STR_ARG(json_text(json_get_path(last, STR("b.N")))))
		     : STR_NULL;
	return items->count;
}

/* Items of 5,010 bytes or so, entries of 10: a page has as many as 1 MB of items holds. */
static void fetch_over_conflicts(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	uint32_t got = 0, pages = 0;
	str start = STR("");

	arena_init(&a, SIZE_MAX);
	put_items(w);
	kv_fault_set(w->kv,
		&(struct kv_fault_options){.no_delay = true, .scan_conflict_per_mille = 100});
	for (; start.p && pages < 10; pages++) {
		uint32_t n = read_page(w, &a, got, &start);

		EXPECT(n <= 1024 * 1024 / 5010 && (n > 200 || !start.p));
		got += n;
	}
	EXPECT_INT(got, ITEMS);
	EXPECT_INT(pages, 3);
	kv_fault_set(w->kv, &(struct kv_fault_options){.no_delay = true});
}

TEST(dynamodb_page, items_are_fetched_over_given_up_scans)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		ddb_run(seed, fetch_over_conflicts, NULL);
}
