/*
 * Reading of pages.
 */
#include "services/dynamodb/page.h"

#include "base/check.h"
#include "kv/kv.h"
#include "rt/rt.h"
#include "services/dynamodb/capacity.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/record.h"

#define INVALID "One or more parameter values were invalid: "

enum {
	PAGE_BYTES_MAX = 1024 * 1024,
	/* After so many bytes of items other requests of the loop get their turn. */
	TURN_BYTES = 64 * 1024,
	FIRST_BATCH = 100
};

/* Is something asked for that the index does not hold? */
static bool needs_table(const struct page_plan *plan, struct arena *a)
{
	const struct table_index *index = plan->index;

	if (!index || !index->stored || plan->count_only)
		return false;
	if (plan->projection)
		return expr_projection_beyond(plan->projection, index->stored, a).p != NULL;
	return plan->whole;
}

static int check_projected(const struct page_plan *plan, struct arena *a, struct fault *fault)
{
	const struct table_index *index = plan->index;
	str beyond;

	if (!index->stored)
		return 0;
	/* A scan finds nothing where a query refuses. */
	if (plan->filter && plan->condition) {
		beyond = expr_condition_beyond(plan->filter, index->stored, a);
		if (beyond.p)
			return validation_fault(fault, a,
				INVALID "Secondary index %.*s does not project one or more filter "
					"attributes: [%.*s]",
				STR_ARG(index->name), STR_ARG(beyond));
	}
	if (index->local || !plan->projection)
		return 0;
	beyond = expr_projection_beyond(plan->projection, index->stored, a);
	if (!beyond.p)
		return 0;
	return validation_fault(fault, a,
		INVALID "Global secondary index %.*s does not project [%.*s]", STR_ARG(index->name),
		STR_ARG(beyond));
}

int page_check_kind(const struct page_plan *plan, bool query, struct arena *a, struct fault *fault)
{
	if (!plan->index || !plan->index->vector)
		return 0;
	/* One has a full stop, as users have seen them. */
	return validation_fault(fault, a, "%s",
		query ? "Query operation not supported on this index type."
		      : "Scan operation not supported on this index type");
}

int page_check(const struct page_plan *plan, struct arena *a, struct fault *fault)
{
	const struct table_index *index = plan->index;

	if (!index)
		return 0;
	TRY(page_check_kind(plan, plan->condition != NULL, a, fault));
	if (index->status == INDEX_CREATING)
		return validation_fault(fault, a,
			"Cannot read from backfilling global secondary index: %.*s",
			STR_ARG(index->name));
	if (index->status == INDEX_DELETING)
		return validation_fault(fault, a,
			"The table does not have the specified index: %.*s", STR_ARG(index->name));
	if (plan->consistent && !index->local)
		return validation_fault(
			fault, a, "Consistent reads are not supported on global secondary indexes");
	if (plan->whole && !index->local && index->stored)
		return validation_fault(fault, a,
			INVALID "Select type ALL_ATTRIBUTES is not supported for global secondary "
				"index %.*s because its projection type is not ALL",
			STR_ARG(index->name));
	return check_projected(plan, a, fault);
}

/* A page on its way. */
struct reading {
	struct kv *kv;
	const struct page_plan *plan;
	struct arena *arena;
	int64_t deadline_ns;
	page_take *take;
	void *arg;
	struct page *page;
	struct kv_range range;
	bool fetches;        /* items from the table */
	struct buf part;     /* the projection of one item */
	struct buf last_key; /* store key of the last record read */
	size_t bytes;        /* of the items read, as the table or index holds them */
	size_t page_bytes;   /* of the same, or of what was fetched for them */
	double fetch_units;
	unsigned records; /* of the scan that is open */
	bool more;        /* the page ended before the range did */
};

static const struct key_schema *keys_of(const struct page_plan *plan)
{
	return plan->index ? &plan->index->keys : &plan->table->keys;
}

static void find_range(struct reading *r)
{
	const struct page_plan *plan = r->plan;
	uint64_t id = plan->index ? plan->index->id : plan->table->id;
	struct buf low, high;

	buf_init(&low, r->arena, KEY_BYTES_MAX);
	buf_init(&high, r->arena, KEY_BYTES_MAX);
	if (plan->condition)
		key_range(plan->condition, keys_of(plan), plan->index != NULL, id, &low, &high);
	else
		key_segment(plan->index != NULL, id, plan->segment, MAX(plan->segments, 1u), &low,
			&high);
	r->range = (struct kv_range){
		.from = buf_str(&low), .to = buf_str(&high), .reverse = plan->reverse};
}

str page_partition(const struct page_plan *plan, struct arena *a)
{
	struct reading r = {.plan = plan, .arena = a};

	if (!plan->condition)
		return STR_NULL;
	find_range(&r);
	return key_collection(r.range.from, keys_of(plan));
}

/* The attributes of the keys and no others? */
static bool is_key_of(const struct key_schema *s, str key)
{
	struct attr_iter it = item_iter(key);
	unsigned count = 0;
	str name, value;

	while (attr_next(&it, &name, &value))
		count++;
	return count == (unsigned)s->partitions + s->sorts && key_fits(s, key);
}

/* The start key of a page of the table. */
static int put_table_start(
	struct buf *out, const struct page_plan *plan, struct arena *a, struct fault *fault)
{
	key_put_table(out, plan->table->id);
	if (key_put_exact(out, &plan->table->keys, plan->start, a, fault) == 0)
		return 0;
	/* A query says no more of a key that is not one of the table. */
	if (plan->condition && !is_key_of(&plan->table->keys, plan->start))
		return validation_fault(fault, a, "The provided starting key is invalid");
	return validation_fault(
		fault, a, "The provided starting key is invalid: %.*s", STR_ARG(fault->message));
}

/* Of an index: its keys and the item's, nothing else. */
static int put_index_start(
	struct buf *out, const struct page_plan *plan, struct arena *a, struct fault *fault)
{
	const struct key_schema *keys[] = {&plan->index->keys, &plan->table->keys};
	struct attr_iter it = item_iter(plan->start);
	enum attr_type type;
	bool good = true;
	str name, value;

	while (attr_next(&it, &name, &value))
		good &= key_schema_find(keys[0], name, &type) ||
			key_schema_find(keys[1], name, &type);
	key_put_index(out, plan->index->id);
	if (good && key_put_index_item(
			    out, keys[0], keys[1], plan->index->name, plan->start, a, fault) == 1)
		return 0;
	return validation_fault(fault, a, "The provided starting key is invalid");
}

/* Is the start key in the partition of the query, so that only its sort key is out of range? */
static bool is_in_partition(const struct page_plan *plan)
{
	const struct key_schema *s = keys_of(plan);
	str value;

	for (unsigned i = 0; i < s->partitions; i++)
		if (!item_find(plan->start, s->partition[i].name, &value) ||
			!str_eq(value, plan->condition->partition[i]))
			return false;
	return true;
}

static int start_is_outside(const struct reading *r, struct fault *fault)
{
	const struct page_plan *plan = r->plan;

	if (!plan->condition)
		return validation_fault(fault, r->arena,
			"The provided starting key is invalid: Invalid ExclusiveStartKey. Please "
			"use ExclusiveStartKey with correct Segment. TotalSegments: %u Segment: %u",
			plan->segments, plan->segment);
	if (plan->condition->sorts && is_in_partition(plan))
		return validation_fault(fault, r->arena,
			"The provided starting key does not match the range key predicate");
	return validation_fault(fault, r->arena,
		"The provided starting key is outside query boundaries based on provided "
		"conditions");
}

/* Moves the range behind (in reverse: before) ExclusiveStartKey. */
static int start_behind(struct reading *r, struct fault *fault)
{
	const struct page_plan *plan = r->plan;
	struct buf key;
	str start;

	if (!plan->start.p)
		return 0;
	buf_init(&key, r->arena, KEY_BYTES_MAX);
	if (plan->index)
		TRY(put_index_start(&key, plan, r->arena, fault));
	else
		TRY(put_table_start(&key, plan, r->arena, fault));
	start = buf_str(&key);
	if (str_cmp(start, r->range.from) < 0 || str_cmp(start, r->range.to) >= 0)
		return start_is_outside(r, fault);
	if (r->range.reverse)
		r->range.to = start;
	else
		r->range.from = ARENA_CONCAT(r->arena, start, STR("\0"));
	return 0;
}

/* Narrows the range to what lies behind the last record that was read. */
static void go_on_behind(struct reading *r)
{
	if (r->last_key.n == 0)
		return;
	if (r->range.reverse)
		r->range.to = arena_str(r->arena, buf_str(&r->last_key));
	else
		r->range.from = ARENA_CONCAT(r->arena, buf_str(&r->last_key), STR("\0"));
}

/* Other requests of the loop get their turn; not for ever. */
static int give_turn(const struct reading *r)
{
	if (rt_now() >= r->deadline_ns)
		return ERR_TIMEOUT;
	if (arena_over(r->arena))
		return ERR_BUDGET;
	return rt_yield();
}

/* The item of the table that the entry at `key` stands for. */
static int fetch(struct reading *r, struct kv_snapshot *snapshot, str key, str *ret_item)
{
	const struct table *t = r->plan->table;
	struct buf table_key;
	uint64_t time;
	str value;

	buf_init(&table_key, r->arena, KEY_BYTES_MAX);
	TRY(key_index_to_table(key, &r->plan->index->keys, &t->keys, t->id, &table_key));
	if (!TRY(kv_snapshot_get(snapshot, buf_str(&table_key), r->arena, &value)))
		return ERR_CORRUPT;
	TRY(record_item(value, ret_item, &time));
	return ret_item->p ? 0 : ERR_CORRUPT;
}

static void give(struct reading *r, str item)
{
	const struct page_plan *plan = r->plan;

	r->page->count++;
	if (plan->count_only)
		return;
	if (plan->projection) {
		buf_reset(&r->part);
		expr_project(plan->projection, item, &r->part);
		item = buf_str(&r->part);
	}
	r->take(r->arg, item);
}

/*
 * Takes the record of one item or entry into the page: its bytes, or 0 (r->more) when it does not
 * fit any more.
 */
static int take_record(struct reading *r, struct kv_snapshot *snapshot, str key, str item)
{
	bool matches = !r->plan->filter || expr_matches(r->plan->filter, item);
	size_t bytes = item_size(item), page_bytes = bytes, fetched = 0;

	if (matches && r->fetches) {
		TRY(fetch(r, snapshot, key, &item));
		fetched = item_size(item);
		page_bytes = MAX(bytes, fetched);
	}
	if (r->page->scanned && r->page_bytes + page_bytes > PAGE_BYTES_MAX) {
		r->more = true;
		return 0;
	}
	r->bytes += bytes;
	r->page_bytes += page_bytes;
	if (fetched)
		r->fetch_units += capacity_read(fetched, r->plan->consistent);
	r->page->scanned++;
	if (matches)
		give(r, item);
	return (int)page_bytes;
}

/* Reads until the page is full (0, and r->more), the scan ends (0), or something fails. */
static int read_some(struct reading *r)
{
	struct kv_snapshot *snapshot cleanup(kv_snapshot_close_p) = NULL;
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	size_t turn = 0;
	uint64_t time;
	str key, value, item;

	if (r->fetches) {
		TRY(kv_snapshot_open(r->kv, &snapshot));
		TRY(kv_snapshot_scan(snapshot, &r->range, &scan));
	} else {
		TRY(kv_scan_open(r->kv, &r->range, &scan));
	}
	while (TRY(kv_scan_next(scan, &key, &value))) {
		TRY(record_item(value, &item, &time));
		turn += item.p ? (size_t)TRY(take_record(r, snapshot, key, item)) : 0;
		if (r->more)
			return 0;
		buf_reset(&r->last_key);
		buf_put(&r->last_key, key);
		r->records++;
		if (item.p && r->page->scanned == r->plan->limit) {
			r->more = true;
			return 0;
		}
		if (turn > TURN_BYTES) {
			turn = 0;
			TRY(give_turn(r));
		}
	}
	return 0;
}

/*
 * Reads items until the page is full. A page need not see one state of the store: a scan that the
 * engine gave up is begun anew behind the last record, and so is one that ended because it had
 * read as many records as were asked for, some of them of deleted items.
 */
static int read_all(struct reading *r)
{
	int64_t limit = r->plan->limit;
	bool limited = limit > 0 && limit < FIRST_BATCH && !r->plan->filter;
	int rc;

	r->range.limit = limited ? (unsigned)limit : 0;
	while (str_cmp(r->range.from, r->range.to) < 0) {
		r->records = 0;
		rc = read_some(r);
		if (rc < 0 && rc != ERR_CONFLICT)
			return rc;
		if (rc == 0 && (r->more || !limited || r->records < r->range.limit))
			break;
		TRY(give_turn(r));
		go_on_behind(r);
	}
	return arena_over(r->arena) ? ERR_BUDGET : 0;
}

/* What was read, and where the next page goes on. */
static int end_page(struct reading *r)
{
	const struct page_plan *plan = r->plan;
	const struct table *t = plan->table;
	double units = capacity_read(r->bytes, plan->consistent);
	struct buf last;

	if (plan->index) {
		r->page->index_units[plan->index - t->indexes] = units;
		r->page->table_units = r->fetch_units;
	} else {
		r->page->table_units = units;
	}
	if (!r->more)
		return 0;
	buf_init(&last, r->arena, ITEM_ENCODED_MAX);
	if (plan->index)
		TRY(key_index_to_item(buf_str(&r->last_key), &plan->index->keys, &t->keys, &last));
	else
		TRY(key_to_item(buf_str(&r->last_key), &t->keys, &last));
	r->page->last = buf_str(&last);
	return 0;
}

int page_read(struct kv *kv, const struct page_plan *plan, struct arena *a, int64_t deadline_ns,
	page_take *take, void *arg, struct page *ret_page, struct fault *fault)
{
	struct page page = {.last = STR_NULL};
	struct reading r = {.kv = kv,
		.plan = plan,
		.arena = a,
		.deadline_ns = deadline_ns,
		.take = take,
		.arg = arg,
		.page = &page,
		.fetches = needs_table(plan, a)};

	buf_init(&r.last_key, a, KEY_BYTES_MAX);
	buf_init(&r.part, a, ITEM_ENCODED_MAX);
	find_range(&r);
	TRY(start_behind(&r, fault));
	TRY(read_all(&r));
	TRY(end_page(&r));
	*ret_page = page;
	return 0;
}
