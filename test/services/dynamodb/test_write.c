/*
 * The one write path: after many random writes through a store that fails, index entries, expiry
 * entries and collections are what the items say, computed here in the plainest way.
 */
#include "services/dynamodb/write.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/random.h"
#include "kv/kv.h"
#include "kv/record.h"
#include "rt/rt.h"
#include "services/dynamodb/expiry.h"
#include "services/dynamodb/item_write.h"
#include "services/dynamodb/record.h"
#include "test/services/dynamodb/dynamodb_test.h"

enum { FIBERS = 4, INDEXES = 7 };

struct world {
	struct rt *rt;
	struct kv *kv;
	struct arena arena;
	struct table table;
	struct table_index indexes[INDEXES];
	struct random random;
	unsigned running, done, failed, refused;
	struct rt_event ended;
};

static void add_index(struct world *w, bool local, const char *keys,
	enum table_projection projection, enum table_index_status status)
{
	static const str include[] = {STR_INIT("v")};
	struct table *t = &w->table;
	struct table_index *i = &w->indexes[t->index_count];

	*i = (struct table_index){.id = 100 + t->index_count,
		.name = arena_printf(&w->arena, "i%zu", t->index_count),
		.local = local,
		.keys = test_schema(str_c(keys)),
		.projection = projection,
		.status = status};
	if (projection == PROJECTION_INCLUDE) {
		i->include = include;
		i->include_count = ARRAY_SIZE(include);
	}
	table_index_finish(&w->arena, t, i);
	t->indexes = w->indexes;
	t->index_count++;
	t->local_count += local;
}

static void make_table(struct world *w)
{
	w->table = (struct table){.id = 7,
		.name = STR("tab"),
		.arn = STR("arn"),
		.partition = {STR("p"), 'S'},
		.sort = {STR("s"), 'N'},
		.keys = test_schema(STR("p:S s:N")),
		.ttl_attribute = STR("e")};
	add_index(w, true, "p:S b:N", PROJECTION_KEYS_ONLY, INDEX_ACTIVE);
	add_index(w, true, "p:S a:S", PROJECTION_ALL, INDEX_ACTIVE);
	add_index(w, false, "a:S b:N", PROJECTION_ALL, INDEX_ACTIVE);
	add_index(w, false, "a:S,b:N s:N,v:S", PROJECTION_INCLUDE, INDEX_UPDATING);
	/* The one that attributes of a wrong type keep away from, and the one that is no more. */
	add_index(w, false, "c:S", PROJECTION_INCLUDE, INDEX_CREATING);
	w->indexes[w->table.index_count - 1].backfilling = true;
	/* Not yet; and no more. */
	add_index(w, false, "b:N", PROJECTION_ALL, INDEX_CREATING);
	add_index(w, false, "a:S", PROJECTION_ALL, INDEX_DELETING);
}

static bool chance(struct world *w, unsigned of)
{
	return random_below(&w->random, of) == 0;
}

static unsigned below(struct world *w, unsigned n)
{
	return (unsigned)random_below(&w->random, n);
}

static str key_json(struct world *w, struct arena *a)
{
	return arena_printf(
		a, "\"p\":{\"S\":\"p%u\"},\"s\":{\"N\":\"%u\"}", below(w, 3), below(w, 4));
}

/* Attributes of all kinds; one in thirty cannot stand in an index. */
static str item_json(struct world *w, struct arena *a)
{
	static const char *const due[] = {"1893456000", "1893456001.9", "2051222400", "1000000000",
		"-5", "0", "99999999999999999999"};
	struct buf out;

	buf_init(&out, a, 4096);
	buf_put_char(&out, '{');
	buf_put(&out, key_json(w, a));
	if (!chance(w, 3))
		buf_printf(&out, ",\"a\":{\"S\":\"a%u\"}", below(w, 3));
	if (!chance(w, 3))
		buf_printf(&out, ",\"b\":{\"%s\":\"%u\"}", chance(w, 30) ? "S" : "N", below(w, 3));
	if (!chance(w, 3))
		buf_printf(&out, ",\"c\":{\"%s\":\"%u\"}", chance(w, 2) ? "S" : "N", below(w, 3));
	if (!chance(w, 3))
		buf_printf(&out, ",\"v\":{\"S\":\"%0*u\"}", 1 + (int)below(w, 40), below(w, 2));
	if (chance(w, 2))
		buf_printf(&out, ",\"w\":{\"S\":\"w%u\"}", below(w, 5));
	if (!chance(w, 3))
		buf_printf(&out, ",\"e\":{\"%s\":\"%s\"}", chance(w, 6) ? "S" : "N",
			due[below(w, ARRAY_SIZE(due))]);
	buf_put_char(&out, '}');
	return test_item(a, buf_str(&out));
}

static const char *const updates[] = {"SET b = b + :one", "SET a = v", "REMOVE a", "REMOVE b, e",
	"SET w = :one", "SET c = :text, e = :due", "SET b = :text", "REMOVE v"};

static void parse_update(struct world *w, struct arena *a, struct expr *e, struct fault *fault,
	struct item_write *write)
{
	static const char values[] = "{\":one\":{\"N\":\"1\"},\":text\":{\"S\":\"t\"},"
				     "\":due\":{\"N\":\"1900000000\"}}";
	struct attr_decoder d;
	struct json_reader r;

	expr_init(e, a, fault);
	attr_decoder_init(&d, a, fault);
	json_reader_init(&r, str_c(values), a, 10);
	check(expr_read_values(e, &d, &r) == 0);
	check(expr_parse_update(e, str_c(updates[below(w, ARRAY_SIZE(updates))]), &write->update) ==
		0);
	write->expr = e;
}

struct attempt {
	struct arena *arena;
	struct item_write write;
	struct fault *fault;
};

static int run_attempt(struct kv_txn *txn, void *arg)
{
	struct attempt *t = arg;

	return item_write_run(txn, t->arena, &t->write, t->fault);
}

static void write_once(struct world *w)
{
	struct arena a cleanup(arena_done_p);
	struct fault fault = {0};
	struct attempt t = {.arena = &a, .fault = &fault};
	str keys[WRITE_KEYS_MAX];
	struct expr e;
	int rc;

	arena_init(&a, SIZE_MAX);
	t.write.table = &w->table;
	t.write.kind = (enum item_write_kind)below(w, 4);
	if (t.write.kind == ITEM_PUT)
		t.write.attributes = item_json(w, &a);
	else
		t.write.attributes =
			test_item(&a, arena_printf(&a, "{%.*s}", STR_ARG(key_json(w, &a))));
	if (t.write.kind == ITEM_UPDATE)
		parse_update(w, &a, &e, &fault, &t.write);
	rc = item_write_place(&t.write, &a, &fault);
	if (rc == 0)
		rc = kv_run(w->kv, keys, item_write_keys(&t.write, &a, keys), run_attempt, &t,
			RT_NEVER);
	w->done += rc == 0;
	w->refused += rc == ERR_FAULT;
	w->failed += rc == ERR_IO;
	if (rc < 0 && rc != ERR_FAULT && rc != ERR_IO)
		test_fail(__FILE__, __LINE__, "a write: %s", rc_text(rc));
}

static void write_many(void *arg)
{
	struct world *w = arg;

	for (int i = 0; i < 150; i++)
		write_once(w);
	if (--w->running == 0)
		rt_event_set(&w->ended);
}

/* ---- what has to be there ---- */

static bool stands_in(const struct key_attribute *list, unsigned count, str item)
{
	str value;

	for (unsigned i = 0; i < count; i++)
		if (!item_find(item, list[i].name, &value) || attr_type(value) != list[i].type)
			return false;
	return true;
}

static bool has(const struct key_schema *s, str name)
{
	enum attr_type type;

	return key_schema_find(s, name, &type) == 1;
}

/* The attributes that the index holds, one after another. */
static str entry_item(const struct world *w, const struct table_index *i, str item, struct arena *a)
{
	struct attr_iter it = item_iter(item);
	struct buf out;
	str name, value;

	buf_init(&out, a, ITEM_ENCODED_MAX);
	item_put_begin(&out);
	while (attr_next(&it, &name, &value)) {
		bool included = i->projection == PROJECTION_INCLUDE && str_eq(name, STR("v"));

		if (i->projection != PROJECTION_ALL && !included && !has(&i->keys, name) &&
			!has(&w->table.keys, name))
			continue;
		attr_put_name(&out, name);
		buf_put(&out, value);
	}
	return buf_str(&out);
}

/* The entry's bytes; 0: the item is not in the index. */
static size_t expect_entry(
	struct world *w, const struct table_index *i, str item, uint64_t item_time, struct arena *a)
{
	struct fault fault;
	uint64_t time;
	struct buf key;
	str value, entry;

	if (i->status == INDEX_DELETING || (i->status == INDEX_CREATING && !i->backfilling) ||
		!stands_in(i->keys.partition, i->keys.partitions, item) ||
		!stands_in(i->keys.sort, i->keys.sorts, item))
		return 0;
	buf_init(&key, a, KEY_BYTES_MAX);
	key_put_index(&key, i->id);
	check(key_put_index_item(&key, &i->keys, &w->table.keys, i->name, item, a, &fault) == 1);
	if (!EXPECT_INT(kv_get(w->kv, buf_str(&key), a, &value), 1))
		return 0;
	EXPECT_INT(record_item(value, &entry, &time), 0);
	EXPECT(time > 0 && time <= item_time);
	EXPECT_STR(test_item_text(a, entry), test_item_text(a, entry_item(w, i, item, a)));
	return item_size(entry);
}

static bool expect_expiry(struct world *w, str item, str key, struct arena *a)
{
	uint64_t second, back;
	str value, item_key;

	if (!expiry_second(item, STR("e"), &second) || second < 1500000000)
		return false;
	EXPECT_INT(kv_get(w->kv, expiry_key(a, w->table.id, second, key), a, &value), 1);
	EXPECT_INT(expiry_take(expiry_key(a, w->table.id, second, key), a, &back, &item_key), 0);
	EXPECT_INT(back, second);
	EXPECT_STR(item_key, key);
	return true;
}

static unsigned count_keys(struct world *w, str prefix)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct arena a cleanup(arena_done_p);
	unsigned n = 0;
	str key, value;

	arena_init(&a, SIZE_MAX);
	check(kv_scan_open(w->kv,
		      &(struct kv_range){.from = prefix, .to = keyspace_prefix_end(&a, prefix)},
		      &scan) == 0);
	while (kv_scan_next(scan, &key, &value) == 1)
		n++;
	return n;
}

static void check_collections(struct world *w, const int64_t *bytes, struct arena *a)
{
	unsigned expected = 0;

	for (unsigned p = 0; p < 3; p++) {
		struct fault fault;
		struct buf key;
		str keys[WRITE_KEYS_MAX], value;

		buf_init(&key, a, KEY_BYTES_MAX);
		key_put_table(&key, w->table.id);
		check(key_put_item(&key, &w->table.keys,
			      test_item(
				      a, arena_printf(a,
						 "{\"p\":{\"S\":\"p%u\"},\"s\":{\"N\":\"0\"}}", p)),
			      a, &fault) == 0);
		ASSERT_INT(write_keys(&w->table, buf_str(&key), a, keys), 2);
		expected += bytes[p] > 0;
		ASSERT_INT(kv_get(w->kv, keys[1], a, &value), bytes[p] > 0);
		if (bytes[p] > 0) {
			uint64_t stored;

			value = str_from(value, 1);
			ASSERT(str_take_be64(&value, &stored));
			EXPECT_INT(stored, bytes[p]);
		}
	}
	EXPECT_INT(count_keys(w, write_collection_prefix(a, w->table.id)), expected);
}

static void check_all(struct world *w)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct arena a cleanup(arena_done_p);
	unsigned items = 0, expiries = 0, entries[INDEXES] = {0};
	int64_t bytes[3] = {0};
	struct buf prefix;
	str key, value;

	arena_init(&a, SIZE_MAX);
	buf_init(&prefix, &a, 64);
	key_put_table(&prefix, w->table.id);
	check(kv_scan_open(w->kv,
		      &(struct kv_range){.from = buf_str(&prefix),
			      .to = keyspace_prefix_end(&a, buf_str(&prefix))},
		      &scan) == 0);
	while (kv_scan_next(scan, &key, &value) == 1) {
		str item, p, copy = arena_str(&a, key);
		uint64_t time;

		ASSERT_INT(record_item(arena_str(&a, value), &item, &time), 0);
		ASSERT_INT(item_find(item, STR("p"), &p), 1);
		items++;
		for (size_t i = 0; i < INDEXES; i++) {
			size_t n = expect_entry(w, &w->indexes[i], item, time, &a);

			entries[i] += n > 0;
			if (w->indexes[i].local)
				bytes[attr_bytes_of(p).p[1] - '0'] += (int64_t)n;
		}
		bytes[attr_bytes_of(p).p[1] - '0'] += (int64_t)item_size(item);
		expiries += expect_expiry(w, item, copy, &a);
	}
	EXPECT(items > 0);
	for (size_t i = 0; i < INDEXES; i++) {
		buf_reset(&prefix);
		key_put_index(&prefix, w->indexes[i].id);
		EXPECT_INT(count_keys(w, buf_str(&prefix)), entries[i]);
	}
	EXPECT_INT(count_keys(w, expiry_prefix(&a, w->table.id)), expiries);
	check_collections(w, bytes, &a);
}

static void random_writes(void *arg)
{
	struct world *w = arg;
	struct kv *memory;

	check(kv_open_memory(&(struct kv_memory_options){.seed = 1}, &memory) == 0);
	check(kv_open_fault(memory,
		      &(struct kv_fault_options){.seed = random_u64(&w->random),
			      .conflict_per_mille = 100,
			      .error_per_mille = 30},
		      &w->kv) == 0);
	make_table(w);
	rt_event_init(&w->ended);
	w->running = FIBERS;
	for (int i = 0; i < FIBERS; i++)
		check(rt_spawn(write_many, w) == 0);
	rt_event_wait_sure(&w->ended);
	kv_fault_set(w->kv, &(struct kv_fault_options){.no_delay = true});
	check_all(w);
	kv_close(w->kv);
	rt_stop(w->rt);
}

TEST(dynamodb_write, what_hangs_on_items_follows_from_them)
{
	for (unsigned long seed = 1; seed <= test_number("ROUNDS", 12); seed++) {
		struct world w = {.running = 0};
		const struct rt_options options = {.mode = RT_SIMULATED, .loops = 1, .seed = seed};

		arena_init(&w.arena, SIZE_MAX);
		random_seed(&w.random, seed);
		check(rt_new(&options, &w.rt) == 0);
		EXPECT_INT(rt_run(w.rt, random_writes, &w), 0);
		EXPECT(w.done > 300 && w.failed > 0 && w.refused > 0);
		rt_free(w.rt);
		arena_done(&w.arena);
	}
}

/* ---- backfilling, collections that are full ---- */

static int fill_one(struct kv_txn *txn, void *arg)
{
	struct world *w = arg;
	struct arena a cleanup(arena_done_p);
	struct fault fault;
	struct buf key;
	str item;

	arena_init(&a, SIZE_MAX);
	item = test_item(&a, STR("{\"p\":{\"S\":\"p\"},\"s\":{\"N\":\"1\"},\"c\":{\"S\":\"c\"},"
				 "\"e\":{\"N\":\"1893456000\"},\"w\":{\"S\":\"w\"}}"));
	buf_init(&key, &a, KEY_BYTES_MAX);
	key_put_table(&key, w->table.id);
	check(key_put_item(&key, &w->table.keys, item, &a, &fault) == 0);
	for (size_t i = 0; i < INDEXES; i++)
		write_index_entry(txn, &a, &w->indexes[i], buf_str(&key), item, 5);
	write_expiry_entry(txn, &a, &w->table, buf_str(&key), item);
	return 0;
}

static const char put_json[] = "{\"p\":{\"S\":\"p\"},\"s\":{\"N\":\"1\"},\"v\":{\"S\":\"v\"}}";

static int put_into(struct world *w, struct fault *fault, struct arena *a, struct item_write *ret)
{
	struct attempt t = {.arena = a, .fault = fault};
	str keys[WRITE_KEYS_MAX];
	int rc;

	t.write.table = &w->table;
	t.write.kind = ITEM_PUT;
	t.write.attributes = test_item(a, str_c(put_json));
	TRY(item_write_place(&t.write, a, fault));
	rc = kv_run(w->kv, keys, item_write_keys(&t.write, a, keys), run_attempt, &t, RT_NEVER);
	*ret = t.write;
	return rc;
}

/* The collection of the item above has so many bytes. */
static void set_collection(struct world *w, const struct item_write *write, int64_t bytes)
{
	struct arena a cleanup(arena_done_p);
	str keys[WRITE_KEYS_MAX];
	struct buf value;

	arena_init(&a, SIZE_MAX);
	check(item_write_keys(write, &a, keys) == 2);
	buf_init(&value, &a, 16);
	buf_put_char(&value, 1);
	buf_put_be64(&value, (uint64_t)bytes);
	check(kv_put(w->kv, keys[1], buf_str(&value), RT_NEVER) == 0);
}

static void single_writes(void *arg)
{
	struct world *w = arg;
	struct arena a cleanup(arena_done_p);
	struct item_write write = {.kind = ITEM_PUT};
	struct fault fault = {0};
	struct buf prefix;

	arena_init(&a, SIZE_MAX);
	check(kv_open_memory(&(struct kv_memory_options){.seed = 1}, &w->kv) == 0);
	make_table(w);
	EXPECT_INT(kv_run(w->kv, NULL, 0, fill_one, w, RT_NEVER), 0);
	for (size_t i = 0; i < INDEXES; i++) {
		buf_init(&prefix, &a, 64);
		key_put_index(&prefix, w->indexes[i].id);
		EXPECT_INT(count_keys(w, buf_str(&prefix)), i == 4); /* the one on c */
	}
	EXPECT_INT(count_keys(w, expiry_prefix(&a, w->table.id)), 1);

	/* p 1 + 1, s 1 + 2, v 1 + 1: 7 bytes, no local entry. */
	EXPECT_INT(put_into(w, &fault, &a, &write), 0);
	EXPECT_INT(write.cost.collection_bytes, 7);
	set_collection(w, &write, INT64_C(10) << 30);
	EXPECT_INT(put_into(w, &fault, &a, &write), 0); /* does not grow */
	EXPECT_INT(write.cost.collection_bytes, INT64_C(10) << 30);
	write.kind = ITEM_DELETE;
	check(kv_delete(w->kv, write.key, RT_NEVER) == 0);
	set_collection(w, &write, (INT64_C(10) << 30) - 6);
	EXPECT_INT(put_into(w, &fault, &a, &write), ERR_FAULT);
	EXPECT(fault.kind == &dynamodb_faults[DYNAMODB_ITEM_COLLECTION_SIZE]);
	set_collection(w, &write, (INT64_C(10) << 30) - 7);
	EXPECT_INT(put_into(w, &fault, &a, &write), 0);
	kv_close(w->kv);
	rt_stop(w->rt);
}

TEST(dynamodb_write, backfilled_entries_and_full_collections)
{
	struct world w = {.running = 0};
	const struct rt_options options = {.mode = RT_SIMULATED, .loops = 1, .seed = 1};

	arena_init(&w.arena, SIZE_MAX);
	check(rt_new(&options, &w.rt) == 0);
	EXPECT_INT(rt_run(w.rt, single_writes, &w), 0);
	rt_free(w.rt);
	arena_done(&w.arena);
}

/* ---- due seconds ---- */

TEST(dynamodb_write, due_seconds)
{
	static const struct {
		const char *number;
		int64_t second; /* -1: none */
	} cases[] = {{"0", 0}, {"1", 1}, {"1.9", 1}, {"0.5", 0}, {"-1", -1}, {"-0.5", -1},
		{"1764300000", 1764300000}, {"1764300000.999", 1764300000},
		{"9223372036854775807", INT64_MAX}, {"9223372036854775807.5", INT64_MAX},
		{"9223372036854775808", -1}, {"1e18", 1000000000000000000}, {"1e19", -1},
		{"1e125", -1}, {"1e-130", 0}, {"12345678901234567890123456789012345678", -1},
		{"1234567.8901234567890123456789012345678", 1234567}};
	struct arena a cleanup(arena_done_p);
	uint64_t second;

	arena_init(&a, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		str item =
			test_item(&a, arena_printf(&a, "{\"e\":{\"N\":\"%s\"}}", cases[i].number));

		EXPECT_INT(expiry_second(item, STR("e"), &second), cases[i].second >= 0);
		if (cases[i].second >= 0)
			EXPECT_INT(second, cases[i].second);
	}
	EXPECT_INT(
		expiry_second(test_item(&a, STR("{\"e\":{\"S\":\"1\"}}")), STR("e"), &second), 0);
	EXPECT_INT(
		expiry_second(test_item(&a, STR("{\"e\":{\"N\":\"1\"}}")), STR("f"), &second), 0);
	/* Five years of 365 days, to the second. */
	EXPECT(expiry_counts(1000000000, INT64_C(1157680000) * 1000000000));
	EXPECT(!expiry_counts(1000000000, INT64_C(1157680001) * 1000000000));
	EXPECT(expiry_counts(INT64_MAX, 0));
}
