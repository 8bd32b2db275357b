/*
 * A batch of a bulk put: lines are read, each becomes an item or an error, and all of them are one
 * transaction with the operation's own record.
 *
 * An item whose condition is not met, or that cannot stand in the table, holds the others up as
 * little as a line that is no record: it is counted and reported. What the transaction itself finds
 * out about an item (its collection would become too large) lets it run once more without that
 * item. Where throughput is limited (throttle.h) a batch is one item, which waits until there is
 * some.
 */
#include "services/dynamodb/bulk.h"
#include "services/dynamodb/bulk_input.h"
#include "services/dynamodb/bulk_line.h"
#include "services/dynamodb/item_write.h"
#include "services/dynamodb/service.h"

#include "base/check.h"
#include "kv/kv.h"

enum {
	BATCH_LINES = 100,
	BATCH_BYTES = 512 * 1024,
	REPORT_BYTES = 8 << 20,      /* of one transaction; then there is another one */
	REPORT_BYTES_MAX = 64 << 20, /* with what the last item may add */
	LINES_A_TURN = 16,
	WRITE_MS = 10 * 1000
};

struct entry {
	struct bulk_line line;
	str text; /* of the line, as far as it is reported */
	str key;  /* of the item in the store */
	/* Behind it. */
	uint64_t offset, number, raw;
	bool bad; /* not to be written, for this reason: */
	str code, message;
	struct write_cost cost;
	bool paid;
};

struct batch {
	struct bulk_run *run;
	struct arena arena;
	struct entry *entries; /* BATCH_LINES and one for the object itself */
	unsigned count, done;
	bool object_ended;
	/* Behind all of the batch: of the text, and what was read of the object. */
	uint64_t offset, line, object_bytes;
	struct flight flight;
	struct table *table;
	/* Of the last run of the transaction. */
	struct bulk_job next;
	unsigned to;
	struct buf report[BULK_OUTPUTS];
	bool stopped, throttled, again;
	double units;
};

static void batch_done(struct batch *b)
{
	flight_leave(&b->flight);
	table_unref(b->table);
	arena_done(&b->arena);
}

/* ---- reading ---- */

static void set_bad(struct batch *b, struct entry *e, const struct fault *fault)
{
	e->bad = true;
	e->code = str_c(fault->kind->code);
	e->message = arena_str(&b->arena, fault->message);
}

static struct entry *add_entry(struct batch *b, const struct bulk_input *in)
{
	struct entry *e = &b->entries[b->count++];

	e->offset = in->offset;
	e->number = in->line;
	e->raw = in->raw_bytes;
	return e;
}

static void read_entry(struct batch *b, const struct bulk_input *in, str line)
{
	struct entry *e = add_entry(b, in);
	struct fault fault = {0};

	/* Strings of the item are of the line, which the next one overwrites. */
	line = arena_str(&b->arena, line);
	e->text = str_sub(line, 0, BULK_REPORTED_MAX);
	if (bulk_line_read(&b->arena, line, &e->line, &fault) < 0)
		set_bad(b, e, &fault);
}

/* The rest of an object that cannot be read counts as one record. */
static void end_object(struct batch *b, const struct bulk_input *in, int rc)
{
	struct entry *e = add_entry(b, in);
	struct fault fault = {0};

	e->number++;
	e->text = STR("");
	(void)fault_set(&fault, &b->arena, DYNAMODB_FAULT(VALIDATION),
		"%s: the rest of the object was not read",
		rc == ERR_TOO_LARGE ? "A line is longer than 4 MiB"
		: rc == ERR_RANGE   ? "The object needs more than 128 MiB to be decompressed"
				    : "The object is not compressed as InputCompressionType says, "
				      "or damaged");
	set_bad(b, e, &fault);
	b->object_ended = true;
}

static int read_batch(struct batch *b, struct bulk_input *in)
{
	unsigned max = b->run->d->throttle ? 1 : BATCH_LINES;
	size_t bytes = 0;
	str line;
	int rc;

	while (b->count < max && bytes < BATCH_BYTES) {
		rc = bulk_input_line(in, &line);
		if (rc == ERR_SYNTAX || rc == ERR_TOO_LARGE || rc == ERR_RANGE) {
			end_object(b, in, rc);
			break;
		}
		TRY(rc);
		if (rc == 0) {
			b->object_ended = true;
			break;
		}
		bytes += line.n + 1;
		if (str_trim(line).n)
			read_entry(b, in, line);
		if (b->count % LINES_A_TURN == 0)
			TRY(rt_yield());
	}
	b->offset = in->offset;
	b->line = in->line;
	b->object_bytes = in->raw_bytes;
	return 0;
}

/* ---- places ---- */

static struct item_write item_of(const struct batch *b, const struct entry *e)
{
	return (struct item_write){.kind = ITEM_PUT,
		.table = b->table,
		.attributes = e->line.item,
		.condition = e->line.condition,
		.throttle = b->run->d->throttle,
		.key = e->key,
		.cost = e->cost,
		.paid = e->paid};
}

static int find_table(struct batch *b)
{
	const struct bulk_job *j = &b->run->job;

	b->flight = flight_enter(&b->run->d->flights);
	if (TRY(catalog_find(b->run->d->catalog, j->account, j->region, j->table, &b->table)) &&
		b->table->id == j->table_id)
		return 0;
	return bulk_fail(b->run, STR("ResourceNotFoundException"),
		ARENA_CONCAT(b->run->arena, STR("Requested resource not found: Table: "), j->table,
			STR(" not found")));
}

static void find_places(struct batch *b)
{
	for (unsigned i = 0; i < b->count; i++) {
		struct entry *e = &b->entries[i];
		struct fault fault = {0};
		struct item_write w;

		if (e->bad)
			continue;
		w = item_of(b, e);
		if (item_write_place(&w, &b->arena, &fault) < 0)
			set_bad(b, e, &fault);
		e->key = w.key;
	}
}

/* ---- the report ---- */

static void put_place(struct json_writer *w, const struct batch *b, const struct entry *e)
{
	json_put_key_string(w, STR("S3Bucket"), b->run->input.bucket);
	json_put_key(w, STR("S3Key"));
	json_put_quoted_lossy(w->out, b->run->job.object);
	w->comma = true;
	json_put_key(w, STR("Line"));
	json_put_u64(w, e->number);
}

static void report_bad(struct batch *b, const struct entry *e)
{
	struct json_writer w;

	if (!b->run->wants[BULK_ERROR])
		return;
	json_writer_init(&w, &b->report[BULK_ERROR]);
	json_put_object_begin(&w);
	put_place(&w, b, e);
	json_put_key_string(&w, STR("ErrorCode"), e->code);
	json_put_key_string(&w, STR("ErrorMessage"), e->message);
	json_put_key(&w, STR("Record"));
	json_put_quoted_lossy(w.out, e->text);
	w.comma = true;
	json_put_object_end(&w);
	buf_put_char(w.out, '\n');
}

static void report_unmet(struct batch *b, const struct entry *e, str old_item)
{
	struct json_writer w;

	if (!b->run->wants[BULK_CONDITION])
		return;
	json_writer_init(&w, &b->report[BULK_CONDITION]);
	json_put_object_begin(&w);
	put_place(&w, b, e);
	json_put_key(&w, STR("Item"));
	item_write_json(&w, e->line.item);
	if (old_item.p) {
		json_put_key(&w, STR("ExistingItem"));
		item_write_json(&w, old_item);
	}
	json_put_object_end(&w);
	buf_put_char(w.out, '\n');
}

/* ---- the transaction ---- */

static void add_usage(struct batch *b, str name, enum bulk_usage_kind kind, double bytes)
{
	struct bulk_job *j = &b->next;
	size_t i = 0;

	if (bytes <= 0)
		return;
	while (i < j->usage_count && (j->usage[i].kind != kind || !str_eq(j->usage[i].name, name)))
		i++;
	if (i == BULK_USAGES_MAX) /* indexes that came and went meanwhile */
		return;
	if (i == j->usage_count)
		j->usage[j->usage_count++] =
			(struct bulk_usage){.name = arena_str(b->run->arena, name), .kind = kind};
	j->usage[i].bytes += (uint64_t)bytes;
}

/* Of the table what its items have, of an index what its entries are metered as. */
static void add_cost(struct batch *b, const struct entry *e)
{
	enum { UNIT_BYTES = 1024 };

	add_usage(b, STR(""), BULK_OF_TABLE, (double)item_size(e->line.item));
	b->units += e->cost.table;
	for (size_t i = 0; i < b->table->index_count; i++) {
		const struct table_index *index = &b->table->indexes[i];
		double units = e->cost.index[i];

		if (index->vector) {
			add_usage(b, index->name, BULK_OF_VECTORS, units);
			continue;
		}
		add_usage(b, index->name, index->local ? BULK_OF_LOCAL : BULK_OF_GLOBAL,
			units * UNIT_BYTES);
		b->units += units;
	}
}

/* 1: written; 0: its condition is not met. */
static int write_one(struct kv_txn *txn, struct batch *b, struct entry *e)
{
	struct arena a cleanup(arena_done_p);
	struct item_write w = item_of(b, e);
	struct fault fault = {0};
	int rc;

	arena_init(&a, SIZE_MAX);
	rc = item_write_run(txn, &a, &w, &fault);
	e->paid = w.paid;
	e->cost = w.cost;
	if (rc == ERR_FAULT && w.throttled) {
		b->throttled = true;
	} else if (rc == ERR_FAULT && w.condition_failed) {
		report_unmet(b, e, w.old_item);
		return 0;
	} else if (rc == ERR_FAULT) {
		set_bad(b, e, &fault);
		b->again = true;
	}
	TRY(rc);
	return 1;
}

static int put_entry(struct kv_txn *txn, struct batch *b, struct entry *e)
{
	if (e->bad) {
		report_bad(b, e);
		b->next.failed++;
	} else if (TRY(write_one(txn, b, e))) {
		add_cost(b, e);
	} else {
		b->next.unmet++;
	}
	b->next.processed++;
	b->next.offset = e->offset;
	b->next.line = e->number;
	b->next.object_bytes = e->raw;
	return 0;
}

/* All lines of the batch are done, empty ones behind the last record too. */
static void pass_lines(struct batch *b)
{
	struct bulk_job *j = &b->next;

	j->offset = b->offset;
	j->line = b->line;
	j->object_bytes = b->object_bytes;
	if (!b->object_ended)
		return;
	j->through = j->object;
	j->object = j->etag = STR("");
	j->offset = j->line = j->object_bytes = 0;
	j->done_objects++;
	j->done_bytes += b->object_bytes;
}

/* Does the operation stand as we know it? 1; 0: it is not to go on. */
static int look(struct kv_txn *txn, struct batch *b)
{
	struct bulk_job now;

	TRY(bulk_still_ours(b->run, txn, &b->arena, &now));
	b->next.status = now.status;
	return now.status == BULK_IN_PROGRESS;
}

static int put_in_store(struct kv_txn *txn, void *arg)
{
	struct batch *b = arg;

	b->next = b->run->job;
	b->stopped = b->throttled = b->again = false;
	b->units = 0;
	for (int i = 0; i < BULK_OUTPUTS; i++)
		buf_reset(&b->report[i]);
	if (!TRY(look(txn, b))) {
		b->stopped = true;
		return 0;
	}
	for (b->to = b->done; b->to < b->count; b->to++) {
		if (b->report[BULK_ERROR].n + b->report[BULK_CONDITION].n > REPORT_BYTES)
			break;
		TRY(put_entry(txn, b, &b->entries[b->to]));
	}
	if (b->to == b->count)
		pass_lines(b);
	b->next.seq++;
	for (int i = 0; i < BULK_OUTPUTS; i++)
		bulk_report_add(txn, &b->arena, &b->next, i, buf_str(&b->report[i]));
	kv_txn_put(txn, b->run->key, bulk_encode(&b->arena, &b->next));
	return 0;
}

/* One transaction from b->done on. */
static int commit(struct batch *b)
{
	str keys[BATCH_LINES * WRITE_KEYS_MAX + 1];
	size_t n = 0;
	int rc;

	keys[n++] = b->run->key;
	for (unsigned i = b->done; i < b->count; i++) {
		struct item_write w = item_of(b, &b->entries[i]);

		if (!b->entries[i].bad)
			n += item_write_keys(&w, &b->arena, &keys[n]);
	}
	do
		rc = kv_run(b->run->d->kv, keys, n, put_in_store, b, rt_after_ms(WRITE_MS));
	while (rc == ERR_FAULT && b->again);
	if (b->throttled)
		return 0;
	TRY(rc);
	b->run->job = b->next;
	if (b->stopped)
		return 0;
	b->run->units += b->units;
	b->done = b->to;
	return 0;
}

static int put_batch(struct batch *b, bool *ret_throttled)
{
	do {
		if (atomic_load(&b->run->d->stopping))
			return ERR_CANCELLED;
		TRY(commit(b));
		*ret_throttled = b->throttled;
		if (b->stopped || b->throttled)
			return 0;
	} while (b->done < b->count);
	return 1;
}

int bulk_batch(struct bulk_run *r, struct bulk_input *in, bool *ret_throttled)
{
	struct batch b cleanup(batch_done) = {.run = r};
	int rc;

	*ret_throttled = false;
	arena_init(&b.arena, SIZE_MAX);
	b.entries = arena_new_array(&b.arena, struct entry, BATCH_LINES + 1);
	for (int i = 0; i < BULK_OUTPUTS; i++)
		buf_init(&b.report[i], &b.arena, REPORT_BYTES_MAX);
	TRY(read_batch(&b, in));
	TRY(find_table(&b));
	find_places(&b);
	rc = TRY(put_batch(&b, ret_throttled));
	flight_leave(&b.flight);
	if (*ret_throttled) {
		bulk_input_back(in);
		return 1;
	}
	if (rc == 1)
		stream_notify(&r->d->stream_waits, b.table);
	return rc == 1 && !b.object_ended;
}
