/*
 * Nanoseconds of CPU per call of DynamoDB's pure logic, one thread: `make micro`. Each row is the
 * best of five runs, since the machine is shared.
 */
#include "kv/kv.h"
#include "rt/rt.h"
#include "services/dynamodb/expr.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* 0.8 KB: eight attributes, in no order. */
static const char item_json[] = "{\"customer\":{\"S\":\"c-000123456\"},\"order\":{\"N\":"
				"\"1700000000123\"},\"state\":{\"S\":\"open\"},"
				"\"total\":{\"N\":\"129.95\"},\"paid\":{\"BOOL\":true},\"lines\":{"
				"\"L\":[{\"M\":{\"sku\":{\"S\":\"A-1\"},\"n\":{"
				"\"N\":\"2\"}}},{\"M\":{\"sku\":{\"S\":\"B-22\"},\"n\":{\"N\":"
				"\"1\"}}}]},\"tags\":{\"SS\":[\"a\",\"b\",\"c\"]},"
				"\"note\":{\"S\":\"Lorem ipsum dolor sit amet, consectetur "
				"adipiscing elit, sed do eiusmod tempor "
				"incididunt ut labore et dolore magna aliqua. Ut enim ad minim "
				"veniam, quis nostrud exercitation "
				"ullamco laboris nisi ut aliquip ex ea commodo consequat. Duis "
				"aute irure dolor in reprehenderit in "
				"voluptate velit esse cillum dolore eu fugiat nulla pariatur. "
				"Excepteur sint occaecat cupidatat non "
				"proident, sunt in culpa qui officia deserunt mollit anim id est "
				"laborum. Lorem ipsum dolor sit "
				"amet, consectetur adipiscing elit, sed do eiusmod tempor "
				"incididunt ut labore et dolore.\"}}";
/* The same order later: two attributes are others. */
static const char changed_json[] = "{\"customer\":{\"S\":\"c-000123456\"},\"order\":{\"N\":"
				   "\"1700000000123\"},\"state\":{\"S\":\"closed\"},"
				   "\"total\":{\"N\":\"130.95\"},\"paid\":{\"BOOL\":true},"
				   "\"note\":{\"S\":\"Lorem ipsum dolor sit amet, consectetur "
				   "adipiscing elit, sed do eiusmod tempor incididunt ut labore et "
				   "dolore magna aliqua. Ut enim ad minim veniam, quis nostrud "
				   "exercitation.\"}}";
static const char flat_json[] =
	"{\"id\":{\"S\":\"user-1\"},\"count\":{\"N\":\"41\"},\"name\":{\"S\":\"x\"}}";
static const char values_json[] = "{\":one\":{\"N\":\"1\"},\":open\":{\"S\":\"open\"}}";

static const struct key_schema schema = {
	.partition = {{STR_INIT("customer"), ATTR_S}},
	.sort = {{STR_INIT("order"), ATTR_N}},
	.partitions = 1,
	.sorts = 1,
};

static struct arena kept;
static str item, flat;
static unsigned long sink;

static str read_item(struct arena *a, str json)
{
	struct attr_decoder d;
	struct json_reader r;
	struct fault fault;
	struct buf out;

	attr_decoder_init(&d, a, &fault);
	json_reader_init(&r, json, a, JSON_DEPTH_DEFAULT);
	buf_init(&out, a, ITEM_ENCODED_MAX);
	(void)buf_room(&out, json.n);
	if (item_read_json(&d, &r, &out) < 0)
		abort();
	return buf_str(&out);
}

static void item_read(void)
{
	struct arena a;

	arena_init(&a, 1 << 20);
	sink += read_item(&a, str_c(item_json)).n;
	arena_done(&a);
}

static void item_write(void)
{
	struct json_writer w;
	struct arena a;
	struct buf out;

	arena_init(&a, 1 << 20);
	buf_init(&out, &a, 1 << 20);
	(void)buf_room(&out, 2 * item.n);
	json_writer_init(&w, &out);
	item_write_json(&w, item);
	sink += out.n;
	arena_done(&a);
}

static void item_sized(void)
{
	sink += item_size(item);
}

static void item_checked(void)
{
	sink += item_is_valid(item);
}

static void item_found(void)
{
	str value;

	sink += (unsigned long)item_find(item, STR("total"), &value);
}

static void key_put(void)
{
	char room[256];
	struct buf out = {.p = room, .capacity = sizeof room, .max = sizeof room};
	struct fault fault;

	key_put_table(&out, 1);
	sink += (unsigned long)key_put_item(&out, &schema, item, &kept, &fault) + out.n;
}

static void values_read(struct expr *e, struct arena *a, struct fault *fault)
{
	struct attr_decoder d;
	struct json_reader r;

	expr_init(e, a, fault);
	attr_decoder_init(&d, a, fault);
	json_reader_init(&r, str_c(values_json), a, 10);
	if (expr_read_values(e, &d, &r) < 0 || expr_check_placeholders(e) < 0)
		abort();
}

/* Placeholders, parsing and evaluation: what one conditional write costs. */
static void condition_whole(void)
{
	const struct expr_condition *c;
	struct fault fault;
	struct arena a;
	struct expr e;

	arena_init(&a, 1 << 20);
	values_read(&e, &a, &fault);
	if (expr_parse_condition(&e, EXPR_CONDITION,
		    STR("attribute_exists(customer) AND note > :open AND paid <> :one"), &c) < 0 ||
		expr_check_used(&e) < 0)
		abort();
	sink += expr_matches(c, item);
	arena_done(&a);
}

static void update_whole(void)
{
	const struct expr_update *u;
	struct fault fault;
	struct arena a;
	struct expr e;
	struct buf out;

	arena_init(&a, 1 << 20);
	values_read(&e, &a, &fault);
	buf_init(&out, &a, ITEM_ENCODED_MAX);
	if (expr_parse_update(&e,
		    STR("SET visits = if_not_exists(visits, :one) + :one, what = :open"), &u) < 0 ||
		expr_apply_update(&e, u, flat, &out) < 0)
		abort();
	sink += out.n;
	arena_done(&a);
}

/* ---- writes, in a fiber ---- */

static struct kv *kv;
static struct table plain, indexed;
static str item_key, changed;

/* One change in a transaction that is then dropped: what write_item() costs without the commit. */
static void write_change(const struct table *t)
{
	struct kv_txn *txn;
	struct write_cost cost;
	struct fault fault;
	struct arena a;

	arena_init(&a, 1 << 20);
	if (kv_txn_begin(kv, &item_key, 1, RT_NEVER, &txn) < 0 ||
		write_check_item(t, changed, &a, &fault) < 0 ||
		write_item(txn, &a,
			&(struct item_change){
				.table = t, .key = item_key, .old_item = item, .new_item = changed},
			&cost, &fault) < 0)
		abort();
	sink += (unsigned long)cost.table;
	kv_txn_free(txn);
	arena_done(&a);
}

static void put_plain(void)
{
	write_change(&plain);
}

static void put_five_indexes(void)
{
	write_change(&indexed);
}

/* Five global indexes with the item's whole; the keys of three change. */
static void make_tables(void)
{
	static const char *const keys[] = {"state", "note", "total", "customer", "order"};
	static struct table_index indexes[ARRAY_SIZE(keys)];
	struct fault fault;
	struct buf key;
	str value;

	plain = (struct table){.id = 1, .name = STR("t"), .keys = schema};
	indexed = plain;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct key_schema s = {.partitions = 1};

		if (!item_find(item, str_c(keys[i]), &value))
			abort();
		s.partition[0] = (struct key_attribute){str_c(keys[i]), attr_type(value)};
		indexes[i] = (struct table_index){.id = 2 + i, .name = str_c(keys[i]), .keys = s};
	}
	indexed.indexes = indexes;
	indexed.index_count = ARRAY_SIZE(keys);
	buf_init(&key, &kept, KEY_BYTES_MAX);
	key_put_table(&key, 1);
	if (key_put_item(&key, &schema, item, &kept, &fault) < 0)
		abort();
	item_key = buf_str(&key);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void row(const char *name, void (*run)(void))
{
	enum { CALLS = 200000 };
	int64_t best = INT64_MAX;

	for (int i = 0; i < 5; i++) {
		int64_t begin = now_ns();

		for (int n = 0; n < CALLS; n++)
			run();
		best = MIN(best, now_ns() - begin);
	}
	printf("%-28s %8.1f ns\n", name, (double)best / CALLS);
}

static void measure_writes(void *arg)
{
	if (kv_open_memory(&(struct kv_memory_options){.seed = 1}, &kv) < 0)
		abort();
	make_tables();
	row("put_plain", put_plain);
	row("put_five_indexes", put_five_indexes);
	kv_close(kv);
	rt_stop(arg);
}

/* The rows that need a fiber. */
static void in_fiber(void)
{
	const struct rt_options options = {.mode = RT_SIMULATED, .loops = 1, .seed = 1};
	struct rt *rt;

	if (rt_new(&options, &rt) < 0 || rt_run(rt, measure_writes, rt) < 0)
		abort();
	rt_free(rt);
}

int main(void)
{
	arena_init(&kept, 1 << 20);
	item = read_item(&kept, str_c(item_json));
	flat = read_item(&kept, str_c(flat_json));
	changed = read_item(&kept, str_c(changed_json));
	printf("item: %zu B of JSON, %zu B stored, %zu B counted\n", sizeof item_json - 1, item.n,
		item_size(item));
#define ROW(name) row(#name, name)
	ROW(item_read);
	ROW(item_write);
	ROW(item_sized);
	ROW(item_checked);
	ROW(item_found);
	ROW(key_put);
	ROW(condition_whole);
	ROW(update_whole);
	in_fiber();
	arena_done(&kept);
	return sink == 42;
}
