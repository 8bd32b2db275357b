/*
 * BatchWriteItem and BatchGetItem.
 *
 * The writes of a batch are one transaction and one commit, where they go into one with their index
 * entries, else several: each write is atomic, which is all that AWS promises. The gets are single
 * look-ups. What does not fit into one answer (16 MB of items) is given back as UnprocessedKeys;
 * writes are refused as a whole when the server is busy. Where throughput is limited (throttle.h)
 * each write is a transaction of its own, and what finds its buckets empty is given back as
 * UnprocessedItems or UnprocessedKeys; it is an error when nothing could be done.
 *
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
 */
#include "services/dynamodb/capacity.h"
#include "services/dynamodb/item_write.h"
#include "services/dynamodb/record.h"
#include "services/dynamodb/request.h"
#include "services/dynamodb/service.h"

#include "base/check.h"
#include "kv/kv.h"

#include <stdlib.h>

enum {
	WRITES_MAX = 25,
	GETS_MAX = 100,
	ANSWER_ITEM_BYTES_MAX = 16 * 1024 * 1024,
	ANSWER_BYTES_MAX = 24 * 1024 * 1024, /* JSON can be several times as long as the items */
	BATCH_DEPTH_MAX = 100,
	/* Of an item of 400 KB that is replaced: numbers of one digit count half of what they take
	 */
	ITEM_ENCODED_OLD_MAX = 2 * ITEM_SIZE_MAX
};

/* One table of the request. */
struct part {
	str given; /* name or ARN */
	struct table *table;
	unsigned first, count; /* its entries */
	/* BatchGetItem */
	double units;
	bool consistent, has_keys;
	str projection_text, names_text; /* names: as JSON */
	struct legacy_names attributes;
	struct expr expr;
	const struct expr_projection *projection;
};

/* One write or get. */
struct entry {
	struct part *part;
	str attributes; /* the Item or the Key */
	bool is_put;
	str key;                 /* of the store */
	struct write_cost *cost; /* of a write that was done */
	bool paid, throttled;    /* see item_write.h */
	struct throttle_refusal refusal;
};

struct batch {
	struct call *c;
	struct flight flight;
	struct part *parts; /* WRITES_MAX or GETS_MAX */
	struct entry *entries;
	unsigned part_count, entry_count, entries_max;
	str return_capacity, return_metrics;
	enum return_capacity capacity;
	struct attr_decoder decoder;
	struct json_reader json;
	bool odd;                   /* the model has to say what is wrong */
	const struct part *crowded; /* has too many keys of its own; NULL: none */
	bool too_many, has_items;
};

static void batch_done(struct batch *b)
{
	flight_leave(&b->flight);
	for (unsigned i = 0; i < b->part_count; i++)
		table_unref(b->parts[i].table);
}

static int invalid(struct batch *b, const char *text)
{
	return call_fault(b->c, DYNAMODB_FAULT(VALIDATION), "%s", text);
}

/* ---- reading ---- */

/* Policies are asked about what the member holds: two of it would be two things. */
static int twice(struct batch *b, const char *member)
{
	return call_fault(b->c, DYNAMODB_FAULT(SERIALIZATION), "%s is given twice", member);
}

/* An entry whose attributes come next. */
static int read_entry(struct batch *b, struct part *part, bool is_put)
{
	struct buf item;

	buf_init(&item, b->c->arena, ITEM_ENCODED_MAX);
	TRY(item_read_json(&b->decoder, &b->json, &item));
	if (item.over)
		return ERR_TOO_LARGE;
	if (b->entry_count == b->entries_max) {
		b->too_many = true;
		return 0;
	}
	b->entries[b->entry_count++] =
		(struct entry){.part = part, .attributes = buf_str(&item), .is_put = is_put};
	part->count++;
	return 0;
}

/* {"Item": ...} or {"Key": ...}; true in *ret_found when the member is there. */
static int read_request(struct batch *b, struct part *part, bool is_put, unsigned *found)
{
	str name;

	TRY(json_object_begin(&b->json));
	while (TRY(json_object_next(&b->json, &name))) {
		if (!str_eq(name, is_put ? STR("Item") : STR("Key")) ||
			TRY(json_peek(&b->json)) == JSON_NULL) {
			TRY(json_skip(&b->json));
			continue;
		}
		TRY(read_entry(b, part, is_put));
		(*found)++;
	}
	return 0;
}

static int read_write(struct batch *b, struct part *part)
{
	unsigned requests = 0, found = 0;
	str name;

	TRY(json_object_begin(&b->json));
	while (TRY(json_object_next(&b->json, &name))) {
		bool is_put = str_eq(name, STR("PutRequest"));

		if ((!is_put && !str_eq(name, STR("DeleteRequest"))) ||
			TRY(json_peek(&b->json)) == JSON_NULL) {
			TRY(json_skip(&b->json));
			continue;
		}
		TRY(read_request(b, part, is_put, &found));
		requests++;
	}
	b->odd |= requests != 1 || found != 1;
	return 0;
}

static int read_writes(struct batch *b, struct part *part)
{
	TRY(json_array_begin(&b->json));
	while (TRY(json_array_next(&b->json)))
		TRY(read_write(b, part));
	b->odd |= part->count < 1;
	return 0;
}

static int read_keys(struct batch *b, struct part *part)
{
	unsigned keys = 0;

	if (part->has_keys)
		return twice(b, "Keys");
	part->has_keys = true;
	TRY(json_array_begin(&b->json));
	for (; TRY(json_array_next(&b->json)); keys++)
		TRY(read_entry(b, part, false));
	if (keys > GETS_MAX)
		b->crowded = part;
	return 0;
}

static int read_names(struct batch *b, struct part *part)
{
	struct json_reader names;

	TRY(json_raw(&b->json, &part->names_text));
	json_reader_init(&names, part->names_text, b->c->arena, BATCH_DEPTH_MAX);
	return expr_read_names(&part->expr, &names);
}

static int read_gets(struct batch *b, struct part *part)
{
	str name;

	TRY(json_object_begin(&b->json));
	while (TRY(json_object_next(&b->json, &name))) {
		if (TRY(json_peek(&b->json)) == JSON_NULL)
			TRY(json_skip(&b->json));
		else if (str_eq(name, STR("Keys")))
			TRY(read_keys(b, part));
		else if (str_eq(name, STR("ConsistentRead")))
			TRY(json_bool(&b->json, &part->consistent));
		else if (str_eq(name, STR("ProjectionExpression")))
			TRY(json_string(&b->json, &part->projection_text));
		else if (str_eq(name, STR("ExpressionAttributeNames")))
			TRY(read_names(b, part));
		else if (str_eq(name, STR("AttributesToGet")))
			TRY(legacy_read_names(&b->decoder, &b->json, &part->attributes));
		else
			TRY(json_skip(&b->json));
	}
	b->odd |= part->count < 1 || !legacy_names_plausible(&part->attributes);
	return 0;
}

typedef int read_part(struct batch *b, struct part *part);

static int read_items(struct batch *b, read_part *read)
{
	str name;

	if (b->has_items)
		return twice(b, "RequestItems");
	b->has_items = true;
	TRY(json_object_begin(&b->json));
	while (TRY(json_object_next(&b->json, &name))) {
		struct part *part;

		if (b->part_count == b->entries_max) {
			b->odd = true;
			TRY(json_skip(&b->json));
			continue;
		}
		for (unsigned i = 0; i < b->part_count; i++)
			if (str_eq(b->parts[i].given, name))
				return call_fault(b->c, DYNAMODB_FAULT(SERIALIZATION),
					"RequestItems names a table twice");
		part = &b->parts[b->part_count++];
		part->given = name;
		part->first = b->entry_count;
		expr_init(&part->expr, b->c->arena, &b->c->fault);
		b->odd |= name.n < 1 || name.n > 1024;
		TRY(read(b, part));
	}
	b->odd |= b->part_count == 0;
	return 0;
}

static int read_body(struct batch *b, read_part *read)
{
	str name;

	json_reader_init(&b->json, b->c->body, b->c->arena, BATCH_DEPTH_MAX);
	TRY(json_object_begin(&b->json));
	while (TRY(json_object_next(&b->json, &name))) {
		if (TRY(json_peek(&b->json)) == JSON_NULL)
			TRY(json_skip(&b->json));
		else if (str_eq(name, STR("RequestItems")))
			TRY(read_items(b, read));
		else if (str_eq(name, STR("ReturnConsumedCapacity")))
			TRY(json_string(&b->json, &b->return_capacity));
		else if (str_eq(name, STR("ReturnItemCollectionMetrics")))
			TRY(json_string(&b->json, &b->return_metrics));
		else
			TRY(json_skip(&b->json));
	}
	return json_end(&b->json);
}

static bool one_of(str text, str a, str b, str c)
{
	return !text.p || str_eq(text, a) || str_eq(text, b) || str_eq(text, c);
}

/* Two of the model's constraints have words of their own, as users have seen them in 2026. */
static int check_counts(struct batch *b)
{
	if (b->has_items && !b->part_count && b->entries_max == WRITES_MAX)
		return invalid(b, "The requestItems parameter is required for BatchWriteItem");
	if (b->has_items && !b->part_count)
		return invalid(b, "1 validation error detected: Value at 'RequestItems' failed to "
				  "satisfy constraint: Member must have length greater than or "
				  "equal to 1");
	if (b->crowded)
		return call_fault(b->c, DYNAMODB_FAULT(VALIDATION),
			"1 validation error detected: Value at 'RequestItems.%.*s.member.Keys' "
			"failed to satisfy constraint: Member must have length less than or equal "
			"to %d",
			STR_ARG(b->crowded->given), GETS_MAX);
	return 0;
}

static int batch_read(struct batch *b, unsigned max, read_part *read)
{
	struct call *c = b->c;
	int rc;

	b->entries_max = max;
	b->parts = arena_new_array(c->arena, struct part, max);
	b->entries = arena_new_array(c->arena, struct entry, max);
	attr_decoder_init(&b->decoder, c->arena, &c->fault);
	rc = read_body(b, read);
	if (rc == ERR_FAULT || rc == ERR_TOO_LARGE)
		return rc;
	if (rc < 0 || b->odd || b->too_many || !b->has_items ||
		!one_of(b->return_capacity, STR("NONE"), STR("TOTAL"), STR("INDEXES")) ||
		!one_of(b->return_metrics, STR("NONE"), STR("SIZE"), STR("SIZE"))) {
		if (rc == 0)
			TRY(check_counts(b));
		TRY(dynamodb_check_by_model(c));
		if (rc < 0)
			return call_fault(c, DYNAMODB_FAULT(SERIALIZATION),
				"The request body could not be read: %s", rc_text(rc));
		if (b->too_many)
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"Too many items requested for the %.*s call",
				STR_ARG(model_str(c->service->model, c->operation->name)));
		return invalid(b, "Supplied WriteRequest is not valid, must contain exactly one of "
				  "PutRequest and DeleteRequest");
	}
	if (b->decoder.rule.p)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION), "%.*s", STR_ARG(b->decoder.rule));
	b->capacity = str_eq(b->return_capacity, STR("TOTAL"))     ? CAPACITY_TOTAL
		      : str_eq(b->return_capacity, STR("INDEXES")) ? CAPACITY_INDEXES
								   : CAPACITY_NONE;
	return 0;
}

/* ---- places ---- */

static int authorize(struct call *c, str name)
{
	return call_authorize(c,
		ARENA_CONCAT(c->arena, STR("dynamodb:"),
			model_str(c->service->model, c->operation->name)),
		arena_printf(c->arena, "arn:aws:dynamodb:%.*s:%.*s:table/%.*s", STR_ARG(c->region),
			STR_ARG(c->account), STR_ARG(name)));
}

/* May the caller touch all the tables? Before anything is said of them. */
static int authorize_all(struct batch *b)
{
	for (unsigned i = 0; i < b->part_count; i++) {
		str name;

		TRY(dynamodb_table_name(b->c, b->parts[i].given, &name));
		TRY(authorize(b->c, name));
	}
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return str_cmp((*(struct entry *const *)a)->key, (*(struct entry *const *)b)->key);
}

static int check_distinct(struct batch *b)
{
	struct entry *sorted[GETS_MAX];

	for (unsigned i = 0; i < b->entry_count; i++)
		sorted[i] = &b->entries[i];
	qsort(sorted, b->entry_count, sizeof *sorted, by_key);
	for (unsigned i = 1; i < b->entry_count; i++)
		if (str_eq(sorted[i - 1]->key, sorted[i]->key))
			return invalid(b, "Provided list of item keys contains duplicates");
	return 0;
}

/* The write of an entry; of a get, as far as its place goes. */
static struct item_write item_of(const struct entry *e)
{
	return (struct item_write){.kind = e->is_put ? ITEM_PUT : ITEM_DELETE,
		.table = e->part->table,
		.attributes = e->attributes,
		.key = e->key,
		.paid = e->paid};
}

/* In a batch an item without its key attributes is told what a Key is told, other than in PutItem.
 */
static int find_place(struct batch *b, struct entry *e)
{
	struct item_write w = item_of(e);
	struct call *c = b->c;
	int rc = item_write_place(&w, c->arena, &c->fault);

	if (rc == ERR_FAULT && !key_fits(&w.table->keys, e->attributes))
		return invalid(b, "The provided key element does not match the schema");
	e->key = w.key;
	return rc;
}

/* That a key to get is given twice is said before that there is no such table. */
static int check_repeats(struct batch *b)
{
	for (unsigned i = 0; i < b->entry_count; i++)
		b->entries[i].key = ARENA_CONCAT(b->c->arena, b->entries[i].part->given, STR("\0"),
			b->entries[i].attributes);
	return check_distinct(b);
}

/* The tables, and each entry's key in the store. */
static int find_places(struct batch *b)
{
	struct call *c = b->c;
	int rc;

	for (unsigned i = 0; i < b->part_count; i++) {
		rc = dynamodb_table(c, b->parts[i].given, &b->parts[i].table);
		if (rc == ERR_FAULT && b->entries_max == GETS_MAX)
			TRY(check_repeats(b));
		TRY(rc);
	}
	for (unsigned i = 0; i < b->entry_count; i++)
		TRY(find_place(b, &b->entries[i]));
	return check_distinct(b);
}

static void put_capacity(struct json_writer *w, const struct batch *b, const struct part *part)
{
	struct write_cost sum = {.table = part->units};

	for (unsigned i = part->first; i < part->first + part->count; i++) {
		const struct write_cost *cost = b->entries[i].cost;

		if (!cost)
			continue;
		sum.table += cost->table;
		for (size_t k = 0; k < part->table->index_count; k++)
			sum.index[k] += cost->index[k];
	}
	capacity_put_object(w, b->capacity, part->given, part->table, sum.table, sum.index);
}

static void put_capacities(struct json_writer *w, const struct batch *b)
{
	if (b->capacity == CAPACITY_NONE)
		return;
	json_put_key(w, STR("ConsumedCapacity"));
	json_put_array_begin(w);
	for (unsigned i = 0; i < b->part_count; i++)
		put_capacity(w, b, &b->parts[i]);
	json_put_array_end(w);
}

/* ---- BatchWriteItem ---- */

/* With memory of its own: old and new records of a whole batch are more than a request may have. */
static int write_one(struct kv_txn *txn, struct batch *b, struct entry *e)
{
	struct arena a cleanup(arena_done_p);
	struct item_write w = item_of(e);
	int rc;

	w.throttle = dynamodb_of(b->c)->throttle;
	w.cost = *e->cost;
	arena_init(&a, SIZE_MAX);
	rc = item_write_run(txn, &a, &w, &b->c->fault);
	e->paid = w.paid;
	e->throttled = w.throttled;
	e->refusal = w.refusal;
	if (rc == ERR_FAULT) /* its text goes with the arena */
		b->c->fault.message = arena_str(b->c->arena, b->c->fault.message);
	TRY(rc);
	*e->cost = w.cost;
	return 0;
}

/* Some of the writes: one transaction. */
struct span {
	struct batch *b;
	unsigned from, to;
};

static int write_in_store(struct kv_txn *txn, void *arg)
{
	struct span *span = arg;

	for (unsigned i = span->from; i < span->to; i++)
		TRY(write_one(txn, span->b, &span->b->entries[i]));
	return 0;
}

/* What a write puts into its transaction at most: item, entries, both images of a stream. */
static size_t txn_bytes_of(const struct entry *e)
{
	const struct table *t = e->part->table;
	size_t images = t->stream.id ? e->attributes.n + ITEM_ENCODED_OLD_MAX : 0;

	return (1 + t->index_count) * (e->attributes.n + 2 * KEY_BYTES_MAX) + images;
}

/* The end of the span that begins at `from`: as much as goes into one transaction. */
static unsigned span_end(const struct batch *b, unsigned from, size_t bytes_max)
{
	size_t bytes = txn_bytes_of(&b->entries[from]);
	unsigned to = from + 1;

	if (dynamodb_of(b->c)->throttle)
		return to;
	for (; to < b->entry_count; to++) {
		bytes += txn_bytes_of(&b->entries[to]);
		if (bytes > bytes_max)
			break;
	}
	return to;
}

static int write_span(struct span *span)
{
	struct call *c = span->b->c;
	str keys[WRITES_MAX * WRITE_KEYS_MAX];
	size_t n = 0;

	for (unsigned i = span->from; i < span->to; i++) {
		struct entry *e = &span->b->entries[i];

		e->cost = arena_new(c->arena, struct write_cost);
		n += write_keys(e->part->table, e->key, c->arena, &keys[n]);
	}
	return kv_run(dynamodb_of(c)->kv, keys, n, write_in_store, span, c->deadline_ns);
}

/* A write that found its buckets empty was not done, and hinders no other. */
static int pass_over(struct batch *b, struct entry *e, int rc)
{
	if (rc != ERR_FAULT || !e->throttled)
		return rc;
	b->c->fault = (struct fault){.kind = NULL};
	e->cost = NULL;
	return 0;
}

static bool all_throttled(const struct batch *b)
{
	for (unsigned i = 0; i < b->entry_count; i++)
		if (!b->entries[i].throttled)
			return false;
	return true;
}

static int check_throttled(struct batch *b)
{
	const struct entry *first = &b->entries[0];

	if (!all_throttled(b))
		return 0;
	return throttle_fault(&first->refusal, first->part->table, b->c->arena, &b->c->fault);
}

static int commit(struct batch *b)
{
	struct call *c = b->c;
	size_t bytes_max = kv_limits(dynamodb_of(c)->kv)->txn_bytes_max;
	int rc = 0;

	for (struct span span = {.b = b}; rc >= 0 && span.from < b->entry_count;
		span.from = span.to) {
		span.to = span_end(b, span.from, bytes_max);
		rc = pass_over(b, &b->entries[span.from], write_span(&span));
	}
	flight_leave(&b->flight);
	for (unsigned i = 0; i < b->part_count; i++)
		stream_notify(&dynamodb_of(c)->stream_waits, b->parts[i].table);
	if (rc == ERR_CONFLICT) /* until the deadline */
		return call_fault(c, DYNAMODB_FAULT(THROTTLING),
			"The items are being written by other requests.");
	return rc < 0 ? rc : check_throttled(b);
}

/* Is there a later write to the same collection, which knows its size better? */
static bool is_followed(const struct batch *b, const struct part *part, unsigned at)
{
	const struct key_schema *keys = &part->table->keys;
	str collection = key_collection(b->entries[at].key, keys);

	for (unsigned i = at + 1; i < part->first + part->count; i++)
		if (b->entries[i].cost &&
			str_eq(key_collection(b->entries[i].key, keys), collection))
			return true;
	return false;
}

static void put_metrics(struct json_writer *w, const struct batch *b)
{
	bool any = false;

	for (unsigned i = 0; i < b->part_count; i++) {
		const struct part *part = &b->parts[i];

		if (part->table->local_count == 0 || !str_eq(b->return_metrics, STR("SIZE")))
			continue;
		if (!any) {
			json_put_key(w, STR("ItemCollectionMetrics"));
			json_put_object_begin(w);
		}
		any = true;
		json_put_key(w, part->given);
		json_put_array_begin(w);
		for (unsigned k = part->first; k < part->first + part->count; k++)
			if (b->entries[k].cost && !is_followed(b, part, k))
				capacity_put_collection(w, part->table, b->entries[k].attributes,
					b->entries[k].cost->collection_bytes);
		json_put_array_end(w);
	}
	if (any)
		json_put_object_end(w);
}

/* Does the part have entries that were not done: those from `from` on, and throttled ones? */
static bool is_unprocessed(const struct batch *b, const struct part *part, unsigned from)
{
	for (unsigned i = part->first; i < part->first + part->count; i++)
		if (i >= from || b->entries[i].throttled)
			return true;
	return false;
}

static void put_unprocessed_writes(struct json_writer *w, const struct batch *b)
{
	for (unsigned i = 0; i < b->part_count; i++) {
		const struct part *part = &b->parts[i];

		if (!is_unprocessed(b, part, b->entry_count))
			continue;
		json_put_key(w, part->given);
		json_put_array_begin(w);
		for (unsigned k = part->first; k < part->first + part->count; k++) {
			const struct entry *e = &b->entries[k];

			if (!e->throttled)
				continue;
			json_put_object_begin(w);
			json_put_key(w, e->is_put ? STR("PutRequest") : STR("DeleteRequest"));
			json_put_object_begin(w);
			json_put_key(w, e->is_put ? STR("Item") : STR("Key"));
			item_write_json(w, e->attributes);
			json_put_object_end(w);
			json_put_object_end(w);
		}
		json_put_array_end(w);
	}
}

int dynamodb_batch_write(struct call *c)
{
	struct batch b cleanup(batch_done) = {.c = c};
	struct json_writer json;

	TRY(batch_read(&b, WRITES_MAX, read_writes));
	TRY(authorize_all(&b));
	for (unsigned i = 0; i < b.entry_count; i++)
		if (b.entries[i].is_put && item_size(b.entries[i].attributes) > ITEM_SIZE_MAX)
			return invalid(&b, "Item size has exceeded the maximum allowed size");
	b.flight = flight_enter(&dynamodb_of(c)->flights);
	TRY(find_places(&b));
	TRY(commit(&b));
	json_writer_init(&json, &c->raw_out);
	json_put_object_begin(&json);
	json_put_key(&json, STR("UnprocessedItems"));
	json_put_object_begin(&json);
	put_unprocessed_writes(&json, &b);
	json_put_object_end(&json);
	put_metrics(&json, &b);
	put_capacities(&json, &b);
	json_put_object_end(&json);
	return 0;
}

/* ---- BatchGetItem ---- */

static int parse_projections(struct batch *b)
{
	for (unsigned i = 0; i < b->part_count; i++) {
		struct part *part = &b->parts[i];

		if (part->attributes.given && part->projection_text.p)
			return invalid(b,
				"Can not use both expression and non-expression parameters in the "
				"same request: Non-expression parameters: {AttributesToGet} "
				"Expression parameters: {ProjectionExpression}");
		if (part->attributes.given)
			TRY(legacy_projection(&part->expr, &part->attributes, &part->projection));
		if (part->names_text.p && !part->projection_text.p)
			return invalid(b,
				"ExpressionAttributeNames can only be specified when using "
				"expressions");
		TRY(expr_check_placeholders(&part->expr));
		if (part->projection_text.p)
			TRY(expr_parse_projection(
				&part->expr, part->projection_text, &part->projection));
		TRY(expr_check_used(&part->expr));
	}
	return 0;
}

/* Reads one item and renders it; *bytes counts what was read. */
static int get_one(struct batch *b, struct entry *e, struct json_writer *json, size_t *bytes)
{
	struct arena a cleanup(arena_done_p);
	struct part *part = e->part;
	str partition = key_collection(e->key, &part->table->keys);
	struct buf projected;
	double units;
	size_t size;
	str item;

	arena_init(&a, SIZE_MAX);
	if (dynamodb_admit_read(b->c, part->table, NULL, partition) < 0) {
		e->throttled = true;
		return 0;
	}
	TRY(record_read(dynamodb_of(b->c)->kv, e->key, &a, &item));
	size = item.p ? item_size(item) : 0;
	units = capacity_read(size, part->consistent);
	part->units += units;
	dynamodb_pay_read(b->c, part->table, NULL, partition, units, NULL);
	*bytes += size;
	if (!item.p)
		return 0;
	if (part->projection) {
		buf_init(&projected, &a, ITEM_ENCODED_MAX);
		expr_project(part->projection, item, &projected);
		item = buf_str(&projected);
	}
	item_write_json(json, item);
	return 0;
}

/* What was not read of a part, as it was asked for. */
static void put_unprocessed(
	struct json_writer *w, const struct batch *b, const struct part *part, unsigned from)
{
	json_put_key(w, part->given);
	json_put_object_begin(w);
	json_put_key(w, STR("Keys"));
	json_put_array_begin(w);
	for (unsigned i = part->first; i < part->first + part->count; i++)
		if (i >= from || b->entries[i].throttled)
			item_write_json(w, b->entries[i].attributes);
	json_put_array_end(w);
	if (part->consistent) {
		json_put_key(w, STR("ConsistentRead"));
		json_put_bool(w, true);
	}
	if (part->projection_text.p)
		json_put_key_string(w, STR("ProjectionExpression"), part->projection_text);
	if (part->attributes.given) {
		json_put_key(w, STR("AttributesToGet"));
		json_put_array_begin(w);
		for (uint32_t i = 0; i < part->attributes.count; i++)
			json_put_string(w, part->attributes.names[i]);
		json_put_array_end(w);
	}
	if (part->names_text.p) {
		json_put_key(w, STR("ExpressionAttributeNames"));
		json_put_raw(w, part->names_text);
	}
	json_put_object_end(w);
}

int dynamodb_batch_get(struct call *c)
{
	struct batch b cleanup(batch_done) = {.c = c};
	struct json_writer json;
	unsigned next = 0;
	size_t bytes = 0;

	TRY(batch_read(&b, GETS_MAX, read_gets));
	TRY(authorize_all(&b));
	TRY(parse_projections(&b));
	TRY(find_places(&b));
	json_writer_init(&json, &c->raw_out);
	json_put_object_begin(&json);
	json_put_key(&json, STR("Responses"));
	json_put_object_begin(&json);
	for (unsigned i = 0; i < b.part_count; i++) {
		const struct part *part = &b.parts[i];

		json_put_key(&json, part->given);
		json_put_array_begin(&json);
		/* Items of 400 KB at most: the next one always fits into what is left. */
		for (; next < part->first + part->count &&
			bytes + ITEM_SIZE_MAX <= ANSWER_ITEM_BYTES_MAX &&
			c->raw_out.n <= ANSWER_BYTES_MAX;
			next++)
			TRY(get_one(&b, &b.entries[next], &json, &bytes));
		json_put_array_end(&json);
	}
	json_put_object_end(&json);
	if (all_throttled(&b)) /* the last one's fault is there */
		return ERR_FAULT;
	c->fault = (struct fault){.kind = NULL};
	json_put_key(&json, STR("UnprocessedKeys"));
	json_put_object_begin(&json);
	for (unsigned i = 0; i < b.part_count; i++)
		if (is_unprocessed(&b, &b.parts[i], next))
			put_unprocessed(&json, &b, &b.parts[i], next);
	json_put_object_end(&json);
	put_capacities(&json, &b);
	json_put_object_end(&json);
	return 0;
}
