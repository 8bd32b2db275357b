/*
 * Global indexes that are made and removed on a live table: at the end an index is what its table's
 * items say, whatever was written meanwhile and wherever the work was interrupted.
 */
#include "aws/keyspace.h"
#include "base/check.h"
#include "base/json.h"
#include "kv/kv.h"
#include "services/dynamodb/backfill.h"
#include "services/dynamodb/dynamodb.h"
#include "services/dynamodb/record.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/write.h"
#include "test/services/dynamodb/wire.h"

enum { POLLS_MAX = 20000, WRITERS = 12, WRITES = 40, KEYS = 60 };

#define CREATE_TABLE                                                                               \
	"{\"TableName\":\"tab\",\"AttributeDefinitions\":[{\"AttributeName\":\"p\","               \
	"\"AttributeType\":\"S\"}],\"KeySchema\":[{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"}]" \
	","                                                                                        \
	"\"BillingMode\":\"PAY_PER_REQUEST\"}"
#define CREATE_INDEX                                                                           \
	"{\"TableName\":\"tab\",\"AttributeDefinitions\":[{\"AttributeName\":\"g\","           \
	"\"AttributeType\":\"S\"},{\"AttributeName\":\"n\",\"AttributeType\":\"N\"}],"         \
	"\"GlobalSecondaryIndexUpdates\":[{\"Create\":{\"IndexName\":\"glo\",\"KeySchema\":[{" \
	"\"AttributeName\":\"g\",\"KeyType\":\"HASH\"},{\"AttributeName\":\"n\",\"KeyType\":"  \
	"\"RANGE\"}],\"Projection\":{\"ProjectionType\":\"INCLUDE\",\"NonKeyAttributes\":["    \
	"\"v\"]}}}]}"
#define DELETE_INDEX                                              \
	"{\"TableName\":\"tab\",\"GlobalSecondaryIndexUpdates\":" \
	"[{\"Delete\":{\"IndexName\":\"glo\"}}]}"
#define DESCRIBE "{\"TableName\":\"tab\"}"

static const struct kv_fault_options slow = {
	.delay_min_ns = RT_NS_MS, .delay_max_ns = 8 * RT_NS_MS, .conflict_per_mille = 50};
/* Commits end long after others, who began later, have. */
static const struct kv_fault_options uneven = {
	.delay_min_ns = RT_NS_MS / 10, .delay_max_ns = 60 * RT_NS_MS};
static const struct kv_fault_options fast = {.no_delay = true};

/* Item `key` in one of its forms: in the index, without a key of it, or with one of another type.
 */
static str item_body(struct arena *a, uint64_t key, uint64_t form)
{
	static const char *const rest[] = {"\"g\":{\"S\":\"g%d\"},\"n\":{\"N\":\"%d\"},\"v\":{"
					   "\"S\":\"v\"},\"w\":{\"S\":\"w\"}",
		"\"g\":{\"S\":\"g%d\"},\"w\":{\"N\":\"%d\"}",
		"\"g\":{\"S\":\"g%d\"},\"n\":{\"S\":\"%d\"}",
		"\"g\":{\"S\":\"h%d\"},\"n\":{\"N\":\"%d.5\"}"};
	struct buf b;

	buf_init(&b, a, 4096);
	buf_printf(&b, "{\"TableName\":\"tab\",\"Item\":{\"p\":{\"S\":\"k%d\"},", (int)key);
	buf_printf(&b, rest[form % ARRAY_SIZE(rest)], (int)(form % 7), (int)(form % 11));
	buf_put(&b, STR("}}"));
	return buf_str(&b);
}

static void fill(struct ddb *w, unsigned items)
{
	for (unsigned i = 0; i < items; i++) {
		struct arena a cleanup(arena_done_p);

		arena_init(&a, SIZE_MAX);
		ddb_expect(w, &a, 200, "PutItem", item_body(&a, i, i));
	}
}

/* ---- what is in the store ---- */

static struct table *stored_table(struct ddb *w, struct arena *a)
{
	struct table *t;
	str document;

	check(kv_get(w->kv, table_key(a, STR("000000000000"), STR("us-east-1"), STR("tab")), a,
		      &document) == 1);
	check(table_decode(document, &t) == 0);
	return t;
}

/* -1: there is no such index. */
static int stored_status(struct ddb *w, bool *ret_backfilling)
{
	struct arena a cleanup(arena_done_p);
	struct table *t cleanup(table_unref_p) = NULL;
	const struct table_index *index;

	arena_init(&a, SIZE_MAX);
	t = stored_table(w, &a);
	index = table_index_named(t, STR("glo"));
	*ret_backfilling = index && index->backfilling;
	return index ? (int)index->status : -1;
}

static bool wait_for(struct ddb *w, int status, bool backfilling)
{
	for (int i = 0; i < POLLS_MAX; i++) {
		bool now;

		if (stored_status(w, &now) == status && now == backfilling)
			return true;
		check(rt_sleep_until(rt_after_ms(1)) == 0);
	}
	return false;
}

static unsigned keys_below(struct kv *kv, str prefix)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct arena a cleanup(arena_done_p);
	struct kv_range range = {.from = prefix};
	str key, value;
	unsigned n = 0;

	arena_init(&a, SIZE_MAX);
	range.to = keyspace_prefix_end(&a, prefix);
	check(kv_scan_open(kv, &range, &scan) == 0);
	while (kv_scan_next(scan, &key, &value) == 1)
		n++;
	return n;
}

static str jobs_prefix(struct arena *a)
{
	str key = backfill_key(a, 1);

	return str_sub(key, 0, key.n - 8);
}

static str entries_prefix(struct arena *a, uint64_t id)
{
	struct buf b;

	buf_init(&b, a, KEY_BYTES_MAX);
	key_put_index(&b, id);
	return buf_str(&b);
}

/* Puts the entries that the items call for into another store. */
static void expect_entries(
	struct ddb *w, struct arena *a, const struct table *t, struct kv *expected)
{
	const struct table_index *index = table_index_named(t, STR("glo"));
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 0};
	struct buf prefix;
	str key, value;

	buf_init(&prefix, a, KEY_BYTES_MAX);
	key_put_table(&prefix, t->id);
	range.from = buf_str(&prefix);
	range.to = keyspace_prefix_end(a, range.from);
	check(kv_scan_open(w->kv, &range, &scan) == 0);
	while (kv_scan_next(scan, &key, &value) == 1) {
		struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
		uint64_t time;
		str item;

		check(record_item(value, &item, &time) == 0);
		check(kv_txn_begin(expected, &key, 1, RT_NEVER, &txn) == 0);
		if (item.p)
			write_index_entry(txn, a, index, arena_str(a, key), item, time);
		check(kv_commit(txn, NULL) == 0);
	}
}

/* The entries are those of the items: returns how many. */
static unsigned compare_entries(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct table *t cleanup(table_unref_p) = NULL;
	struct kv *expected;
	struct kv_scan *want, *got;
	struct kv_range range = {.limit = 0};
	str want_key, want_value, got_key, got_value, want_item, got_item;
	uint64_t time;
	unsigned n = 0;

	arena_init(&a, SIZE_MAX);
	t = stored_table(w, &a);
	check(kv_open_memory(&(struct kv_memory_options){.seed = 0}, &expected) == 0);
	expect_entries(w, &a, t, expected);
	range.from = entries_prefix(&a, table_index_named(t, STR("glo"))->id);
	range.to = keyspace_prefix_end(&a, range.from);
	check(kv_scan_open(expected, &range, &want) == 0 && kv_scan_open(w->kv, &range, &got) == 0);
	while (kv_scan_next(want, &want_key, &want_value) == 1) {
		if (kv_scan_next(got, &got_key, &got_value) != 1 || !str_eq(want_key, got_key)) {
			test_fail(__FILE__, __LINE__, "entry %u is missing or another one", n);
			break;
		}
		check(record_item(want_value, &want_item, &time) == 0);
		check(record_item(got_value, &got_item, &time) == 0);
		EXPECT(str_eq(want_item, got_item));
		n++;
	}
	EXPECT_INT(kv_scan_next(got, &got_key, &got_value), 0);
	kv_scan_close(want);
	kv_scan_close(got);
	kv_close(expected);
	return n;
}

static bool waits_for_jobs(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	for (int i = 0; i < POLLS_MAX && keys_below(w->kv, jobs_prefix(&a)); i++)
		check(rt_sleep_until(rt_after_ms(1)) == 0);
	return keys_below(w->kv, jobs_prefix(&a)) == 0;
}

/* ---- writers ---- */

struct writers {
	struct ddb *w;
	unsigned running;
	struct rt_event ended;
};

static void write_at_random(void *arg)
{
	struct writers *all = arg;

	for (int i = 0; i < WRITES; i++) {
		struct arena a cleanup(arena_done_p);
		uint64_t key = rt_random() % KEYS, form = rt_random() % 100;

		arena_init(&a, SIZE_MAX);
		/* An item that does not fit is refused once the index is active. */
		if (form < 30)
			ddb_send(all->w, &a, STR("DeleteItem"),
				arena_printf(&a,
					"{\"TableName\":\"tab\",\"Key\":{\"p\":{\"S\":"
					"\"k%d\"}}}",
					(int)key));
		else
			ddb_send(all->w, &a, STR("PutItem"), item_body(&a, key, form));
	}
	if (--all->running == 0)
		rt_event_set(&all->ended);
}

static void writers_start(struct writers *all, struct ddb *w)
{
	*all = (struct writers){.w = w, .running = WRITERS};
	rt_event_init(&all->ended);
	for (int i = 0; i < WRITERS; i++)
		check(rt_spawn(write_at_random, all) == 0);
}

/* ---- making one ---- */

static void make_index(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct json_value *v;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(CREATE_TABLE));
	fill(w, 300);
	ASSERT(json_parse(&a, ddb_expect(w, &a, 200, "UpdateTable", STR(CREATE_INDEX)), 100, &v,
		       NULL) == 0);
	EXPECT_STR(
		json_text(json_get_path(v, STR("TableDescription.TableStatus"))), STR("UPDATING"));
	ASSERT(wait_for(w, INDEX_ACTIVE, false));
	EXPECT_INT(compare_entries(w), 150);
	EXPECT_INT(keys_below(w->kv, jobs_prefix(&a)), 0);
	ASSERT(json_parse(&a, ddb_expect(w, &a, 200, "DescribeTable", STR(DESCRIBE)), 100, &v,
		       NULL) == 0);
	v = (struct json_value *)json_at(json_get_path(v, STR("Table.GlobalSecondaryIndexes")), 0);
	EXPECT_STR(json_text(json_get(v, STR("IndexStatus"))), STR("ACTIVE"));
	EXPECT(json_get(v, STR("Backfilling")) == NULL);
	EXPECT_STR(json_get(v, STR("ItemCount"))->text, STR("150"));
	/* From now on an item has to fit. */
	ddb_expect(w, &a, 400, "PutItem", item_body(&a, 1000, 2));
	/* The definitions of its keys go with it. */
	ddb_expect(w, &a, 200, "UpdateTable", STR(DELETE_INDEX));
	ASSERT(wait_for(w, -1, false));
	ASSERT(json_parse(&a, ddb_expect(w, &a, 200, "DescribeTable", STR(DESCRIBE)), 100, &v,
		       NULL) == 0);
	EXPECT_INT(json_get_path(v, STR("Table.AttributeDefinitions"))->count, 1);
	EXPECT(json_get_path(v, STR("Table.GlobalSecondaryIndexes")) == NULL);
	ddb_expect(w, &a, 200, "PutItem", item_body(&a, 1000, 2));
}

TEST(dynamodb, an_index_is_made_of_the_items)
{
	ddb_run(1, make_index, NULL);
}

static void make_under_writers(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct writers all;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(CREATE_TABLE));
	fill(w, KEYS);
	kv_fault_set(w->kv, &uneven);
	writers_start(&all, w);
	check(rt_sleep_until(rt_after_ms(50)) == 0);
	ddb_expect(w, &a, 200, "UpdateTable", STR(CREATE_INDEX));
	EXPECT(all.running == WRITERS); /* or nothing is shown */
	ASSERT(wait_for(w, INDEX_ACTIVE, false));
	rt_event_wait_sure(&all.ended);
	kv_fault_set(w->kv, &fast);
	EXPECT(compare_entries(w) > 0);
}

TEST(dynamodb, an_index_is_made_under_writers)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		ddb_run(seed, make_under_writers, NULL);
}

/* A writer that may have found the table without the index holds the filling up. */
static void make_after_writers(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct flight early cleanup(flight_leave) = {NULL};
	bool backfilling;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(CREATE_TABLE));
	fill(w, 10);
	early = flight_enter(&w->dynamodb->flights);
	ddb_expect(w, &a, 200, "UpdateTable", STR(CREATE_INDEX));
	check(rt_sleep_until(rt_after_ms(5000)) == 0);
	EXPECT_INT(stored_status(w, &backfilling), INDEX_CREATING);
	EXPECT(!backfilling);
	/* Until then the table is UPDATING. */
	EXPECT(str_find_str(ddb_expect(w, &a, 400, "UpdateTable", STR(DELETE_INDEX)),
		       STR("ResourceInUseException")) > 0);
	EXPECT(str_find_str(ddb_expect(w, &a, 400, "DeleteTable", STR(DESCRIBE)),
		       STR("ResourceInUseException")) > 0);
	flight_leave(&early);
	ASSERT(wait_for(w, INDEX_ACTIVE, false));
	EXPECT_INT(compare_entries(w), 5);
}

TEST(dynamodb, an_index_waits_for_those_who_do_not_know_it)
{
	ddb_run(1, make_after_writers, NULL);
}

/* ---- interrupted ---- */

static void make_interrupted(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct writers all;
	bool backfilling;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(CREATE_TABLE));
	fill(w, 1000);
	kv_fault_set(w->kv, &slow);
	ddb_expect(w, &a, 200, "UpdateTable", STR(CREATE_INDEX));
	for (int64_t after_ms = 0; after_ms < 60; after_ms += 15) {
		check(rt_sleep_until(rt_after_ms(after_ms)) == 0);
		dynamodb_stop(w->dynamodb);
		EXPECT_INT(stored_status(w, &backfilling), INDEX_CREATING);
		check(dynamodb_start(w->dynamodb, w->kv) == 0);
	}
	writers_start(&all, w);
	ASSERT(wait_for(w, INDEX_ACTIVE, false));
	rt_event_wait_sure(&all.ended);
	kv_fault_set(w->kv, &fast);
	EXPECT(compare_entries(w) > 400);
}

TEST(dynamodb, making_an_index_goes_on_after_a_restart)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		ddb_run(seed, make_interrupted, NULL);
}

/* ---- removing one ---- */

static void expect_nothing_left(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct buf area;

	arena_init(&a, SIZE_MAX);
	EXPECT(waits_for_jobs(w));
	buf_init(&area, &a, 8);
	keyspace_area(&area, KEYSPACE_DYNAMODB_INDEX);
	EXPECT_INT(keys_below(w->kv, buf_str(&area)), 0);
}

static void remove_while_backfilling(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct writers all;
	bool backfilling;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(CREATE_TABLE));
	fill(w, 800);
	kv_fault_set(w->kv, &slow);
	writers_start(&all, w);
	ddb_expect(w, &a, 200, "UpdateTable", STR(CREATE_INDEX));
	ASSERT(wait_for(w, INDEX_CREATING, true));
	ddb_expect(w, &a, 400, "UpdateTable",
		STR("{\"TableName\":\"tab\",\"GlobalSecondaryIndexUpdates\":[{\"Create\":{"
		    "\"IndexName\":\"other\",\"KeySchema\":[{\"AttributeName\":\"p\",\"KeyType\":"
		    "\"HASH\"}],\"Projection\":{\"ProjectionType\":\"ALL\"}}}]}"));
	ddb_expect(w, &a, 200, "UpdateTable", STR(DELETE_INDEX));
	EXPECT_INT(stored_status(w, &backfilling), INDEX_DELETING);
	ddb_expect(w, &a, 400, "UpdateTable", STR(DELETE_INDEX));
	ASSERT(wait_for(w, -1, false));
	rt_event_wait_sure(&all.ended);
	expect_nothing_left(w);
}

TEST(dynamodb, an_index_is_removed_while_it_is_filled)
{
	for (uint64_t seed = 1; seed <= 5; seed++)
		ddb_run(seed, remove_while_backfilling, NULL);
}

static void remove_under_writers(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct writers all;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(CREATE_TABLE));
	fill(w, KEYS);
	ddb_expect(w, &a, 200, "UpdateTable", STR(CREATE_INDEX));
	ASSERT(wait_for(w, INDEX_ACTIVE, false));
	kv_fault_set(w->kv, &uneven);
	writers_start(&all, w);
	ddb_expect(w, &a, 200, "UpdateTable", STR(DELETE_INDEX));
	dynamodb_stop(w->dynamodb);
	check(dynamodb_start(w->dynamodb, w->kv) == 0);
	ASSERT(wait_for(w, -1, false));
	/* The name can be given again at once; both indexes are worked on. */
	ddb_expect(w, &a, 200, "UpdateTable", STR(CREATE_INDEX));
	ASSERT(wait_for(w, INDEX_ACTIVE, false));
	rt_event_wait_sure(&all.ended);
	EXPECT(waits_for_jobs(w));
	kv_fault_set(w->kv, &fast);
	compare_entries(w);
	ddb_expect(w, &a, 200, "UpdateTable", STR(DELETE_INDEX));
	expect_nothing_left(w);
}

TEST(dynamodb, an_index_is_removed_under_writers)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		ddb_run(seed, remove_under_writers, NULL);
}

/* A writer that still knows the index puts an entry after all were swept. */
static void remove_before_writers(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct table *t cleanup(table_unref_p) = NULL;
	struct flight early cleanup(flight_leave) = {NULL};
	str entry;

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(CREATE_TABLE));
	fill(w, 10);
	ddb_expect(w, &a, 200, "UpdateTable", STR(CREATE_INDEX));
	ASSERT(wait_for(w, INDEX_ACTIVE, false));
	t = stored_table(w, &a);
	entry = ARENA_CONCAT(&a, entries_prefix(&a, t->indexes[0].id), STR("late"));
	early = flight_enter(&w->dynamodb->flights);
	ddb_expect(w, &a, 200, "UpdateTable", STR(DELETE_INDEX));
	ASSERT(wait_for(w, -1, false));
	check(rt_sleep_until(rt_after_ms(5000)) == 0);
	EXPECT(keys_below(w->kv, jobs_prefix(&a)) == 1);
	check(kv_put(w->kv, entry, STR("x"), RT_NEVER) == 0);
	flight_leave(&early);
	expect_nothing_left(w);
}

TEST(dynamodb, entries_of_those_who_still_know_the_index_go_too)
{
	ddb_run(1, remove_before_writers, NULL);
}

/* The table goes while its index is filled. */
static void delete_table_meanwhile(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	ddb_expect(w, &a, 200, "CreateTable", STR(CREATE_TABLE));
	fill(w, 800);
	kv_fault_set(w->kv, &slow);
	ddb_expect(w, &a, 200, "UpdateTable", STR(CREATE_INDEX));
	ASSERT(wait_for(w, INDEX_CREATING, true));
	ddb_expect(w, &a, 200, "DeleteTable", STR(DESCRIBE));
	expect_nothing_left(w);
}

TEST(dynamodb, a_table_is_deleted_while_its_index_is_filled)
{
	for (uint64_t seed = 1; seed <= 5; seed++)
		ddb_run(seed, delete_table_meanwhile, NULL);
}

/* ---- limits of tables ---- */

/* The name of an attribute that is as long in JSON as one can be. */
static void put_long_name(struct buf *b, unsigned number)
{
	for (int i = 0; i < 252; i++)
		buf_put(b, STR("\\u0001"));
	buf_printf(b, "%03u", number);
}

/* Five, each with a partition key and all the filters it may have: 95 projected attributes. */
static void put_vector_indexes(struct buf *b)
{
	buf_put(b, STR("],\"VectorIndexes\":["));
	for (unsigned i = 0; i < 5; i++) {
		buf_printf(b,
			"%s{\"IndexName\":\"vectors%u\",\"Dimensions\":4096,\"DistanceFunction\":"
			"\"COSINE\",\"Projection\":{\"ProjectionType\":\"KEYS_ONLY\"},"
			"\"VectorAttribute\":{\"AttributeName\":\"",
			i ? "," : "", i);
		put_long_name(b, 900 + i);
		buf_put(b, STR("\"},\"SearchSchema\":["));
		for (unsigned k = 0; k < 19; k++) {
			buf_printf(b, "%s{\"SearchSchemaElementType\":\"%s\",\"AttributeName\":\"",
				k ? "," : "", k ? "INLINE_FILTER" : "HASH");
			put_long_name(b, i * 19 + k);
			buf_put(b, STR("\"}"));
		}
		buf_put(b, STR("]}"));
	}
	buf_put(b, STR("]}"));
}

/* As many indexes as there can be, all with keys of their own: the record holds them. */
static void make_largest(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	struct table *t cleanup(table_unref_p) = NULL;
	struct buf b;

	arena_init(&a, SIZE_MAX);
	buf_init(&b, &a, 4 << 20);
	buf_put(&b,
		STR("{\"TableName\":\"tab\",\"BillingMode\":\"PAY_PER_REQUEST\",\"KeySchema\":"
		    "[{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"}],\"AttributeDefinitions\":[{"
		    "\"AttributeName\":\"p\",\"AttributeType\":\"S\"}"));
	for (unsigned i = 0; i < 160; i++) {
		buf_put(&b, STR(",{\"AttributeType\":\"S\",\"AttributeName\":\""));
		put_long_name(&b, i);
		buf_put(&b, STR("\"}"));
	}
	buf_put(&b, STR("],\"GlobalSecondaryIndexes\":["));
	for (unsigned i = 0; i < 20; i++) {
		buf_printf(&b, "%s{\"IndexName\":\"index%u\",\"KeySchema\":[", i ? "," : "", i);
		for (unsigned k = 0; k < 8; k++) {
			buf_printf(&b, "%s{\"KeyType\":\"%s\",\"AttributeName\":\"", k ? "," : "",
				k < 4 ? "HASH" : "RANGE");
			put_long_name(&b, i * 8 + k);
			buf_put(&b, STR("\"}"));
		}
		if (i) {
			buf_put(&b, STR("],\"Projection\":{\"ProjectionType\":\"KEYS_ONLY\"}}"));
			continue;
		}
		buf_put(&b, STR("],\"Projection\":{\"ProjectionType\":\"INCLUDE\","
				"\"NonKeyAttributes\":["));
		for (unsigned k = 0; k < 5; k++) {
			buf_put(&b, k ? STR(",\"") : STR("\""));
			put_long_name(&b, k);
			buf_put(&b, STR("\""));
		}
		buf_put(&b, STR("]}}"));
	}
	put_vector_indexes(&b);
	ddb_expect(w, &a, 200, "CreateTable", buf_str(&b));
	t = stored_table(w, &a);
	EXPECT_INT(t->index_count, 25);
	EXPECT_INT(t->indexes[24].vector->schema_count, 19);
	EXPECT_INT(table_attributes(&a, t).n, 161);
	ddb_expect(w, &a, 200, "DescribeTable", STR(DESCRIBE));
}

TEST(dynamodb, the_largest_table_can_be_made)
{
	ddb_run(1, make_largest, NULL);
}

static void make_many_tables(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);
	str body = STR("\",\"AttributeDefinitions\":[{\"AttributeName\":\"p\",\"AttributeType\":"
		       "\"S\"}],\"KeySchema\":[{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"}],"
		       "\"BillingMode\":\"PAY_PER_REQUEST\"}");

	arena_init(&a, SIZE_MAX);
	for (int i = 0; i < 2500; i++)
		ddb_expect(w, &a, 200, "CreateTable",
			arena_printf(&a, "{\"TableName\":\"t%04d%.*s", i, STR_ARG(body)));
	EXPECT(str_find_str(ddb_expect(w, &a, 400, "CreateTable", STR(CREATE_TABLE)),
		       STR("LimitExceededException")) > 0);
	ddb_expect(w, &a, 200, "DeleteTable", STR("{\"TableName\":\"t0000\"}"));
	ddb_expect(w, &a, 200, "CreateTable", STR(CREATE_TABLE));
	ddb_expect(w, &a, 400, "CreateTable",
		arena_printf(&a, "{\"TableName\":\"t0000%.*s", STR_ARG(body)));
}

TEST(dynamodb, tables_are_limited)
{
	ddb_run(1, make_many_tables, NULL);
}
