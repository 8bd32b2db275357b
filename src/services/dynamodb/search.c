/*
 * SearchVectors: the items whose vectors are nearest to one.
 *
 * AWS promises the approximately nearest ones; these are exactly the nearest: every entry of the
 * index, or of the partition that the condition names, is read and compared. So a search costs time
 * in proportion to what it compares (4 bytes a dimension of each entry come from the store), other
 * requests of the loop get their turn all the while, and the request's deadline ends it. Memory is
 * that of the TopK items kept, and no more however large the index is. Of equally near items those
 * come first whose keys do.
 *
 * Entries are written with their items (write.h), so a search sees what was written before it.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_SearchVectors.html
 */
#include "services/dynamodb/record.h"
#include "services/dynamodb/request.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/throttle.h"
#include "services/dynamodb/vector.h"

#include "kv/kv.h"

enum {
	/* "SearchVectors responses are limited to 16 MB", VectorSearch.Requirements.html */
	ANSWER_BYTES_MAX = 16 << 20,
	/* After so many bytes of entries other requests of the loop get their turn. */
	TURN_BYTES = 64 * 1024
};

struct search {
	struct call *c;
	struct item_request q;
	struct table *table;
	const struct table_index *index;
	const float *wanted;
	struct expr_equalities condition;
	const struct expr_projection *projection; /* NULL: all but the vector */
	bool with_vector;                         /* the projection asks for it */
	str partition;                            /* STR_NULL: the index has no partition key */
	struct kv_range range;
	struct buf last_key; /* of the last record read */
	struct vector_top top;
	struct buf kept[VECTOR_TOP_MAX]; /* on the heap: entries, by slot */
	size_t examined;                 /* bytes of the vectors compared */
	size_t returned;                 /* bytes of the items of the answer */
};

static void search_free(struct search **p)
{
	struct search *s = *p;

	for (unsigned i = 0; i < VECTOR_TOP_MAX; i++)
		buf_done(&s->kept[i]);
	table_unref(s->table);
}

static struct search *search_new(struct call *c)
{
	struct search *s = arena_new(c->arena, struct search);

	s->c = c;
	for (unsigned i = 0; i < VECTOR_TOP_MAX; i++)
		buf_init(&s->kept[i], NULL, ITEM_ENCODED_MAX);
	buf_init(&s->last_key, c->arena, KEY_BYTES_MAX);
	return s;
}

/* ---- what is asked for ---- */

static int read_vector(struct search *s)
{
	size_t n = attr_count(s->q.vector), element;
	float *wanted = arena_new_array(s->c->arena, float, n);

	if (vector_read(s->q.vector, (uint32_t)n, wanted, &element) != VECTOR_OK)
		return call_fault(s->c, DYNAMODB_FAULT(VALIDATION),
			"Search vector contains invalid values. All values in the search vector "
			"must be a 32-bit floating-point number attribute");
	s->wanted = wanted;
	return 0;
}

static int read_request(struct search *s)
{
	struct item_request *q = &s->q;

	TRY(item_request_read(s->c, OPERATION_SEARCH, q));
	if (q->top > VECTOR_TOP_MAX)
		return call_fault(s->c, DYNAMODB_FAULT(VALIDATION),
			"Provided TopK value '%lld' is out of valid range. The value must be "
			"between 1 and %d inclusive",
			(long long)q->top, VECTOR_TOP_MAX);
	TRY(read_vector(s));
	TRY(expr_check_placeholders(&q->expr));
	if (q->search_condition.p)
		TRY(expr_parse_equalities(&q->expr, q->search_condition, &s->condition));
	if (q->projection.p)
		TRY(expr_parse_projection(&q->expr, q->projection, &s->projection));
	return expr_check_used(&q->expr);
}

static int find_index(struct search *s)
{
	str name = s->q.index;
	size_t n = attr_count(s->q.vector);

	TRY(dynamodb_table(s->c, s->q.table, &s->table));
	s->index = table_index_named(s->table, name);
	if (!s->index || s->index->status == INDEX_DELETING)
		return call_fault(s->c, DYNAMODB_FAULT(VALIDATION),
			"The table does not have the specified index: %.*s", STR_ARG(name));
	if (!s->index->vector)
		return call_fault(s->c, DYNAMODB_FAULT(VALIDATION),
			"SearchVectors operation not supported on this index type.");
	if (s->index->status == INDEX_CREATING)
		return call_fault(s->c, DYNAMODB_FAULT(VALIDATION),
			"Cannot search backfilling vector index: %.*s", STR_ARG(name));
	if (n != s->index->vector->dimensions)
		return call_fault(s->c, DYNAMODB_FAULT(VALIDATION),
			"Input search vector dimension %zu does not match vector index dimension "
			"%u",
			n, s->index->vector->dimensions);
	s->with_vector = s->projection &&
			 expr_projection_touches(s->projection, s->index->vector->attribute);
	return 0;
}

static const struct table_search_element *element_named(const struct table_vector *v, str name)
{
	for (size_t i = 0; i < v->schema_count; i++)
		if (str_eq(v->schema[i].attribute.name, name))
			return &v->schema[i];
	return NULL;
}

/* The condition against the search schema: the part of the index that is read. */
static int bind_condition(struct search *s)
{
	const struct table_index *index = s->index;
	struct key_condition key = {.op = KEY_ALL, .high = STR_NULL, .partition = {STR_NULL}};
	struct buf low, high;

	for (size_t i = 0; i < s->condition.n; i++) {
		const struct expr_equality *e = &s->condition.list[i];
		const struct table_search_element *at = element_named(index->vector, e->name);

		if (!at)
			return call_fault(s->c, DYNAMODB_FAULT(VALIDATION),
				"Invalid SearchConditionExpression: Attribute is not in the "
				"SearchSchema of index %.*s: %.*s",
				STR_ARG(index->name), STR_ARG(e->name));
		if (attr_type(e->value) != at->attribute.type)
			return DYNAMODB_INVALID(
				s->c, "Condition parameter type does not match schema type");
		if (!at->hash)
			continue;
		TRY(expr_check_partition(&s->q.expr, &at->attribute, e->value));
		key.partition[0] = e->value;
	}
	if (index->keys.partitions && !key.partition[0].p)
		return call_fault(s->c, DYNAMODB_FAULT(VALIDATION),
			"SearchConditionExpression must be provided when SearchSchema has a HASH "
			"key");
	s->partition = key.partition[0];
	buf_init(&low, s->c->arena, KEY_BYTES_MAX);
	buf_init(&high, s->c->arena, KEY_BYTES_MAX);
	key_range(&key, &index->keys, true, index->id, &low, &high);
	s->range = (struct kv_range){.from = buf_str(&low), .to = buf_str(&high)};
	return 0;
}

/* ---- reading ---- */

/* What the range does not say already: all equalities but that of the partition key. */
static bool matches(const struct search *s, str entry)
{
	for (size_t i = 0; i < s->condition.n; i++) {
		str value;

		if (!item_find(entry, s->condition.list[i].name, &value) ||
			!str_eq(value, s->condition.list[i].value))
			return false;
	}
	return true;
}

static int take_entry(struct search *s, str entry)
{
	const struct table_vector *v = s->index->vector;
	unsigned slot;
	str floats;

	if (!matches(s, entry))
		return 0;
	if (!vector_find(entry, v->attribute, v->dimensions, &floats))
		return ERR_CORRUPT;
	s->examined += floats.n;
	if (!vector_top_take(
		    &s->top, vector_score(v->distance, s->wanted, floats, v->dimensions), &slot))
		return 0;
	buf_reset(&s->kept[slot]);
	if (s->with_vector)
		buf_put(&s->kept[slot], entry);
	else
		vector_put_shown(&s->kept[slot], entry, v->attribute, false);
	return 0;
}

static int give_turn(const struct search *s)
{
	return rt_now() >= s->c->deadline_ns ? ERR_TIMEOUT : rt_yield();
}

static int read_some(struct search *s)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	size_t turn = 0;
	str key, value, entry;
	uint64_t time;

	TRY(kv_scan_open(dynamodb_of(s->c)->kv, &s->range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		TRY(record_item(value, &entry, &time));
		if (entry.p)
			TRY(take_entry(s, entry));
		buf_reset(&s->last_key);
		buf_put(&s->last_key, key);
		turn += value.n;
		if (turn > TURN_BYTES) {
			turn = 0;
			TRY(give_turn(s));
		}
	}
	return 0;
}

/* A scan that the engine gave up is begun anew behind the last record. */
static int read_all(struct search *s)
{
	int rc;

	vector_top_init(&s->top, s->index->vector->distance, (unsigned)s->q.top);
	while ((rc = read_some(s)) == ERR_CONFLICT) {
		TRY(give_turn(s));
		if (s->last_key.n)
			s->range.from = ARENA_CONCAT(s->c->arena, buf_str(&s->last_key), STR("\0"));
	}
	TRY(rc);
	vector_top_sort(&s->top);
	return 0;
}

/* ---- the answer ---- */

static void put_hit(struct search *s, struct json_writer *json, const struct vector_hit *hit,
	struct buf *shown, struct buf *part)
{
	str item = buf_str(&s->kept[hit->slot]);

	buf_reset(shown);
	buf_reset(part);
	if (s->with_vector) {
		vector_put_shown(shown, item, s->index->vector->attribute, true);
		item = buf_str(shown);
	}
	if (s->projection) {
		expr_project(s->projection, item, part);
		item = buf_str(part);
	}
	s->returned += item_size(item);
	json_put_object_begin(json);
	json_put_key(json, STR("Item"));
	item_write_json(json, item);
	json_put_key(json, STR("Score"));
	json_put_double(json, hit->score);
	json_put_object_end(json);
}

static int answer(struct search *s)
{
	struct call *c = s->c;
	struct json_writer json;
	struct buf shown, part;

	buf_init(&shown, c->arena, ITEM_ENCODED_MAX);
	buf_init(&part, c->arena, ITEM_ENCODED_MAX);
	json_writer_init(&json, &c->raw_out);
	json_put_object_begin(&json);
	json_put_key(&json, STR("SearchResults"));
	json_put_array_begin(&json);
	for (unsigned i = 0; i < s->top.n; i++) {
		put_hit(s, &json, &s->top.hits[i], &shown, &part);
		if (c->raw_out.over || c->raw_out.n > ANSWER_BYTES_MAX)
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"The response exceeds the limit of 16 MB: use a narrower "
				"ProjectionExpression or a smaller TopK");
		TRY(give_turn(s));
	}
	json_put_array_end(&json);
	if (s->q.capacity != CAPACITY_NONE) {
		json_put_key(&json, STR("ConsumedCapacity"));
		json_put_object_begin(&json);
		json_put_key(&json, STR("VectorSearchRequestBytes"));
		json_put_double(&json, (double)(s->examined + s->returned));
		json_put_object_end(&json);
	}
	json_put_object_end(&json);
	return 0;
}

int dynamodb_search_vectors(struct call *c)
{
	struct search *s cleanup(search_free) = search_new(c);
	int rc;

	TRY(read_request(s));
	TRY(find_index(s));
	TRY(bind_condition(s));
	TRY(throttle_admit_search(c, s->table, s->index, s->partition));
	rc = read_all(s);
	if (rc >= 0)
		rc = answer(s);
	throttle_pay_search(c, s->table, s->index, s->partition, s->examined + s->returned);
	return rc;
}
