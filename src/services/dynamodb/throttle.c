/*
 * Token buckets, each an atomic word; see throttle.h.
 */
#include "services/dynamodb/throttle.h"

#include "base/mem.h"
#include "rt/rt.h"
#include "services/dynamodb/service.h"

#include <stdatomic.h>

#define BURST_NS ((int64_t)THROTTLE_BURST_S * RT_NS_S)
#define EXCEEDED "The level of configured provisioned throughput for "

enum {
	WAYS = 16, /* places where a bucket may be, from that of its hash on */
	/* Time of partitions' buckets: 1/6000 s, so that half a read unit is one of them. */
	TICKS_S = 2 * THROTTLE_PARTITION_READS,
	TICKS_READ = TICKS_S / THROTTLE_PARTITION_READS,
	TICKS_WRITE = TICKS_S / THROTTLE_PARTITION_WRITES,
	TICK_BITS = 44 /* of a partition's word; above them is a part of its hash */
};

#define TICK_MASK (((uint64_t)1 << TICK_BITS) - 1)

/* A table or global index. Ids are never used again, so a place once taken stays taken. */
struct resource {
	_Atomic uint64_t id; /* 0: free */
	/* When the bucket was empty, or will be: of enum throttle_kind. 0: never used. */
	_Atomic int64_t empty_ns[2];
};

struct throttle {
	int64_t start_ns;
	struct resource resources[THROTTLE_RESOURCES];
	/* Hash and time of a partition key's bucket; a full bucket is as good as none, so its place
	 * is anybody's. */
	_Atomic uint64_t partitions[THROTTLE_PARTITIONS];
};

struct throttle *throttle_new(void)
{
	struct throttle *t = mem_new(struct throttle);

	t->start_ns = rt_now();
	return t;
}

void throttle_free(struct throttle *t)
{
	mem_free(t);
}

/* ---- tables and indexes ---- */

/* Units a second; 0: no limit. */
static int64_t rate_of(
	const struct table *t, const struct table_throughput *u, enum throttle_kind k)
{
	if (t->on_demand)
		return MAX(k == THROTTLE_READ ? u->read_max : u->write_max, (int64_t)0);
	return k == THROTTLE_READ ? u->read_units : u->write_units;
}

static size_t place_of(uint64_t id)
{
	return str_hash(str_of((const char *)&id, sizeof id)) % THROTTLE_RESOURCES;
}

/* NULL: all its places are taken. */
static _Atomic int64_t *resource_of(struct throttle *t, uint64_t id, enum throttle_kind kind)
{
	size_t place = place_of(id);

	for (size_t i = 0; i < WAYS; i++) {
		struct resource *r = &t->resources[(place + i) % THROTTLE_RESOURCES];
		uint64_t there = atomic_load_explicit(&r->id, memory_order_relaxed);

		if (there == 0 && atomic_compare_exchange_strong(&r->id, &there, id))
			there = id;
		if (there == id)
			return &r->empty_ns[kind];
	}
	return NULL;
}

/* The time of a bucket that was never used: a second, and what the table's age gives. */
static int64_t first_empty(const struct table *t, int64_t now)
{
	int64_t age = rt_wall() - t->created_ms * RT_NS_MS;

	return now - MIN(MAX(age, (int64_t)0) + RT_NS_S, BURST_NS);
}

static int64_t empty_at(const _Atomic int64_t *bucket, const struct table *t, int64_t now)
{
	int64_t empty = atomic_load_explicit(bucket, memory_order_relaxed);

	return empty ? MAX(empty, now - BURST_NS) : first_empty(t, now);
}

/* The bucket that units of the index, or of the table (NULL), come out of: NULL when none does. */
static _Atomic int64_t *bucket_of(struct throttle *t, const struct table *table,
	const struct table_index *index, enum throttle_kind kind, int64_t *ret_rate)
{
	bool own = index && !index->local;

	*ret_rate = rate_of(table, own ? &index->units : &table->units, kind);
	return *ret_rate ? resource_of(t, own ? index->id : table->id, kind) : NULL;
}

/* The time in which the least that any read or write costs comes together. */
static int64_t least_ns(enum throttle_kind kind, int64_t rate)
{
	return kind == THROTTLE_READ ? RT_NS_S / (2 * rate) : RT_NS_S / rate;
}

static bool is_empty(struct throttle *t, const struct table *table, const struct table_index *index,
	enum throttle_kind kind, int64_t now)
{
	int64_t rate;
	const _Atomic int64_t *bucket = bucket_of(t, table, index, kind, &rate);

	return bucket && empty_at(bucket, table, now) + least_ns(kind, rate) > now;
}

static void pay(struct throttle *t, const struct table *table, const struct table_index *index,
	enum throttle_kind kind, double units)
{
	int64_t now = rt_now(), rate, old, new;
	_Atomic int64_t *bucket = bucket_of(t, table, index, kind, &rate);

	if (!bucket || units == 0)
		return;
	do {
		old = atomic_load_explicit(bucket, memory_order_relaxed);
		new = (old ? MAX(old, now - BURST_NS) : first_empty(table, now)) +
		      (int64_t)(units * (double)RT_NS_S / (double)rate);
	} while (!atomic_compare_exchange_weak(bucket, &old, new ? new : 1));
}

/* ---- partition keys ---- */

/* Now, for partitions: never 0. */
static uint64_t ticks_now(const struct throttle *t)
{
	int64_t ns = rt_now() - t->start_ns;

	return (uint64_t)ns / (RT_NS_S / TICKS_S) + 2 * TICKS_S;
}

static uint64_t partition_hash(const struct throttle_use *use)
{
	uint64_t hash = str_hash(use->partition);
	uint64_t words[] = {
		use->index ? use->index->id : use->table->id, (uint64_t)use->kind, hash};

	return str_hash(str_of((const char *)words, sizeof words));
}

/* The word of a partition's bucket, or one that can be had for it; NULL: all are at work. */
static _Atomic uint64_t *partition_of(struct throttle *t, uint64_t hash, uint64_t now)
{
	_Atomic uint64_t *idle = NULL;

	for (size_t i = 0; i < WAYS; i++) {
		_Atomic uint64_t *word = &t->partitions[(hash + i) % THROTTLE_PARTITIONS];
		uint64_t there = atomic_load_explicit(word, memory_order_relaxed);

		if ((there & ~TICK_MASK) == (hash & ~TICK_MASK) && there)
			return word;
		if (!idle && (there & TICK_MASK) + TICKS_S <= now)
			idle = word;
	}
	return idle;
}

/* When the bucket in `word` was empty, for the partition of that hash. */
static uint64_t partition_empty_at(uint64_t word, uint64_t hash, uint64_t now)
{
	bool own = (word & ~TICK_MASK) == (hash & ~TICK_MASK);

	return own ? MAX(word & TICK_MASK, now - TICKS_S) : now - TICKS_S;
}

/* Has the partition of that hash less than `least` ticks? */
static bool hash_is_empty(struct throttle *t, uint64_t hash, uint64_t least)
{
	uint64_t now = ticks_now(t);
	const _Atomic uint64_t *word = partition_of(t, hash, now);

	return word && partition_empty_at(atomic_load(word), hash, now) + least > now;
}

static void hash_pay(struct throttle *t, uint64_t hash, int64_t ticks)
{
	uint64_t now = ticks_now(t), old, new;
	_Atomic uint64_t *word = partition_of(t, hash, now);

	if (!word || ticks == 0)
		return;
	do {
		old = atomic_load_explicit(word, memory_order_relaxed);
		new = partition_empty_at(old, hash, now) + (uint64_t)ticks;
	} while (!atomic_compare_exchange_weak(word, &old, (hash & ~TICK_MASK) | (new &TICK_MASK)));
}

static bool partition_is_empty(struct throttle *t, const struct throttle_use *use)
{
	return hash_is_empty(
		t, partition_hash(use), use->kind == THROTTLE_READ ? TICKS_READ / 2 : TICKS_WRITE);
}

static void partition_pay(struct throttle *t, const struct throttle_use *use, double units)
{
	hash_pay(t, partition_hash(use),
		(int64_t)(units * (use->kind == THROTTLE_READ ? TICKS_READ : TICKS_WRITE)));
}

/* ---- partition keys of vector indexes ---- */

static uint64_t part_hash(const struct throttle_use *use, const struct write_part *part)
{
	uint64_t words[] = {
		use->table->indexes[part->index].id, (uint64_t)use->kind, part->partition};

	return str_hash(str_of((const char *)words, sizeof words));
}

/*
 * A write of 1 KB is less than a tick, so what is left of one is paid as often as it is large: on
 * average that is right.
 */
static int64_t part_ticks(const struct throttle_use *use, const struct write_part *part)
{
	double mib = use->kind == THROTTLE_READ ? THROTTLE_SEARCH_MIB : THROTTLE_VECTOR_MIB;
	double ticks = part->bytes * use->factor * TICKS_S / (mib * (1 << 20));
	double left = ticks - (double)(int64_t)ticks;

	return (int64_t)ticks + ((double)(rt_random() >> 11) / (double)(UINT64_C(1) << 53) < left);
}

/* ---- uses ---- */

/* Units that come out of the table's own bucket: of its local indexes too. */
static double table_units(const struct throttle_use *use)
{
	double units = use->table_units;

	for (size_t i = 0; use->index_units && i < use->table->local_count; i++)
		units += use->index_units[i];
	return units;
}

/* Units of the partition key that the use names: of the index that is read, or of the item. */
static double partition_units(const struct throttle_use *use)
{
	if (use->index)
		return use->index_units ? use->index_units[use->index - use->table->indexes] : 0;
	return table_units(use);
}

bool throttle_admits(
	struct throttle *t, const struct throttle_use *use, struct throttle_refusal *ret_refusal)
{
	const struct table *table = use->table;
	struct throttle_refusal r = {.kind = use->kind, .partition_of = use->index};
	int64_t now = rt_now();

	if (!use->index)
		r.table = is_empty(t, table, NULL, use->kind, now);
	for (size_t i = table->local_count; i < table->index_count; i++)
		if (use->index == &table->indexes[i] ||
			(use->index_units && use->index_units[i] > 0 && !table->indexes[i].vector))
			r.indexes |=
				(uint32_t)is_empty(t, table, &table->indexes[i], use->kind, now)
				<< i;
	r.partition = use->partition.p && partition_is_empty(t, use);
	for (unsigned i = 0; i < use->part_count; i++)
		r.vectors |= (uint32_t)hash_is_empty(t, part_hash(use, &use->parts[i]), 1)
			     << use->parts[i].index;
	*ret_refusal = r;
	return !r.table && !r.indexes && !r.partition && !r.vectors;
}

void throttle_pay(struct throttle *t, const struct throttle_use *use, int sign)
{
	const struct table *table = use->table;
	double factor = use->factor * sign;

	pay(t, table, NULL, use->kind, table_units(use) * factor);
	for (size_t i = table->local_count; use->index_units && i < table->index_count; i++)
		if (!table->indexes[i].vector)
			pay(t, table, &table->indexes[i], use->kind, use->index_units[i] * factor);
	if (use->partition.p)
		partition_pay(t, use, partition_units(use) * factor);
	for (unsigned i = 0; i < use->part_count; i++)
		hash_pay(t, part_hash(use, &use->parts[i]), part_ticks(use, &use->parts[i]) * sign);
}

/* ---- of requests ---- */

static struct throttle_use read_of(
	const struct table *t, const struct table_index *index, str partition)
{
	return (struct throttle_use){.table = t,
		.kind = THROTTLE_READ,
		.index = index && !index->local ? index : NULL,
		.partition = partition,
		.factor = 1};
}

int dynamodb_admit_read(
	struct call *c, const struct table *t, const struct table_index *index, str partition)
{
	struct throttle *throttle = dynamodb_of(c)->throttle;
	struct throttle_refusal refusal;
	struct throttle_use use;

	if (likely(!throttle))
		return 0;
	use = read_of(t, index, partition);
	if (throttle_admits(throttle, &use, &refusal))
		return 0;
	return throttle_fault(&refusal, t, c->arena, &c->fault);
}

void dynamodb_pay_read(struct call *c, const struct table *t, const struct table_index *index,
	str partition, double table_units, const double *index_units)
{
	struct throttle *throttle = dynamodb_of(c)->throttle;
	struct throttle_use use;

	if (likely(!throttle))
		return;
	use = read_of(t, index, partition);
	use.table_units = table_units;
	use.index_units = index_units;
	throttle_pay(throttle, &use, 1);
}

static struct write_part search_part(
	const struct table *t, const struct table_index *index, str partition, size_t bytes)
{
	return (struct write_part){.index = (unsigned)(index - t->indexes),
		.partition = str_hash(partition),
		.bytes = (double)bytes};
}

int throttle_admit_search(
	struct call *c, const struct table *t, const struct table_index *index, str partition)
{
	struct throttle *throttle = dynamodb_of(c)->throttle;
	struct throttle_refusal refusal = {.kind = THROTTLE_READ};
	struct write_part part;
	const struct throttle_use use = {.table = t, .kind = THROTTLE_READ};

	if (likely(!throttle) || !partition.p)
		return 0;
	part = search_part(t, index, partition, 0);
	if (!hash_is_empty(throttle, part_hash(&use, &part), 1))
		return 0;
	refusal.vectors = (uint32_t)1 << part.index;
	return throttle_fault(&refusal, t, c->arena, &c->fault);
}

void throttle_pay_search(struct call *c, const struct table *t, const struct table_index *index,
	str partition, size_t bytes)
{
	struct throttle *throttle = dynamodb_of(c)->throttle;
	struct write_part part;
	const struct throttle_use use = {.table = t, .kind = THROTTLE_READ, .factor = 1};

	if (likely(!throttle) || !partition.p)
		return;
	part = search_part(t, index, partition, bytes);
	hash_pay(throttle, part_hash(&use, &part), part_ticks(&use, &part));
}

/* ---- what a client is told ---- */

static void add_reason(struct value *list, struct arena *a, const struct throttle_refusal *r,
	bool index, const char *limit, str arn)
{
	struct value *reason = value_add_struct(list);

	value_put_str(reason, "reason",
		arena_printf(a, "%s%s%sExceeded", index ? "Index" : "Table",
			r->kind == THROTTLE_READ ? "Read" : "Write", limit));
	value_put_str(reason, "resource", arn);
}

static void add_reasons(struct value *list, const struct throttle_refusal *r, const struct table *t,
	struct arena *a)
{
	const char *limit = t->on_demand ? "MaxOnDemandThroughput" : "ProvisionedThroughput";

	if (r->table)
		add_reason(list, a, r, false, limit, t->arn);
	for (size_t i = 0; i < t->index_count; i++)
		if (r->indexes >> i & 1)
			add_reason(list, a, r, true, limit, t->indexes[i].arn);
	if (r->partition)
		add_reason(list, a, r, r->partition_of != NULL, "KeyRangeThroughput",
			r->partition_of ? r->partition_of->arn : t->arn);
	for (size_t i = 0; i < t->index_count; i++)
		if (r->vectors >> i & 1)
			add_reason(list, a, r, true, "KeyRangeThroughput", t->indexes[i].arn);
}

int throttle_fault(const struct throttle_refusal *r, const struct table *t, struct arena *a,
	struct fault *fault)
{
	const struct fault_kind *kind =
		&dynamodb_faults[t->on_demand ? DYNAMODB_THROTTLING : DYNAMODB_THROUGHPUT_EXCEEDED];
	const char *text = EXCEEDED
		"the table was exceeded. Consider increasing your provisioning level with the "
		"UpdateTable API.";
	int rc;

	if (t->on_demand)
		text = r->table || r->indexes
			       ? "Throughput exceeds the maximum OnDemandThroughput configured on "
				 "table or index"
			       : "Throughput exceeds the current capacity of your table or index. "
				 "DynamoDB is automatically scaling your table or index so please "
				 "try again shortly. If exceptions persist, check if you have a "
				 "hot key: https://docs.aws.amazon.com/amazondynamodb/latest/"
				 "developerguide/bp-partition-key-design.html";
	else if (r->indexes && !r->table)
		text = EXCEEDED
			"one or more global secondary indexes of the table was exceeded. Consider "
			"increasing your provisioning level for the under-provisioned global "
			"secondary indexes with the UpdateTable API";
	rc = fault_set(fault, a, kind, "%s", text);
	fault->members = value_new(a, model_named(STR("dynamodb")), kind->code);
	add_reasons(value_put_list(fault->members,
			    t->on_demand ? "throttlingReasons" : "ThrottlingReasons"),
		r, t, a);
	return rc;
}
