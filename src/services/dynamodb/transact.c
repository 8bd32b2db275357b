/*
 * Transactions on items.
 *
 * A write is one transaction of the store that has declared all the items' keys: they are latched
 * in one order, so two transactions on the same items follow one another instead of cancelling each
 * other, and TransactionConflict is only the end of a wait that lasted until the deadline. A read
 * is one snapshot.
 */
#include "services/dynamodb/transact.h"

#include "aws/codec.h"
#include "base/check.h"
#include "kv/kv.h"
#include "services/dynamodb/capacity.h"
#include "services/dynamodb/record.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/token.h"

#include <stdlib.h>

enum { CAPACITY_FACTOR = 2 }; /* transactions cost twice: prepare and commit */

void transaction_done(struct transaction *t)
{
	flight_leave(&t->flight);
	for (unsigned i = 0; i < t->count; i++)
		table_unref(t->actions[i].table);
	arena_done(&t->memory);
}

static int invalid(struct transaction *t, const char *text)
{
	return call_fault(t->c, DYNAMODB_FAULT(VALIDATION), "%s", text);
}

/* ---- the reasons ---- */

/* Code of a CancellationReason for a fault. */
static str reason_code(const struct fault *f)
{
	static const struct {
		enum dynamodb_fault fault;
		str code;
	} codes[] = {
		{DYNAMODB_CONDITION_FAILED, STR_INIT("ConditionalCheckFailed")},
		{DYNAMODB_DUPLICATE_ITEM, STR_INIT("DuplicateItem")},
		{DYNAMODB_ITEM_COLLECTION_SIZE, STR_INIT("ItemCollectionSizeLimitExceeded")},
		{DYNAMODB_TRANSACTION_CONFLICT, STR_INIT("TransactionConflict")},
		{DYNAMODB_THROUGHPUT_EXCEEDED, STR_INIT("ProvisionedThroughputExceeded")},
		{DYNAMODB_THROTTLING, STR_INIT("ThrottlingError")},
	};

	if (!f->kind)
		return STR("None");
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (f->kind == &dynamodb_faults[codes[i].fault])
			return codes[i].code;
	return STR("ValidationError");
}

static void put_reason(struct json_writer *w, const struct transact_action *a)
{
	bool shows = a->write.condition_failed && a->show_failed && a->write.old_item.p;

	json_put_object_begin(w);
	json_put_key_string(w, STR("Code"), reason_code(&a->fault));
	if (a->fault.kind)
		json_put_key_string(w, STR("Message"), a->fault.message);
	if (shows) {
		json_put_key(w, STR("Item"));
		item_write_json(w, a->write.old_item);
	}
	json_put_object_end(w);
}

/* TransactionCanceledException when any action has a fault; else 0. */
static int cancelled(struct transaction *t)
{
	struct call *c = t->c;
	struct json_writer json;
	struct buf codes, text;
	bool any = false;
	str message;
	int rc;

	buf_init(&codes, c->arena, 64 * 1024);
	for (unsigned i = 0; i < t->count; i++) {
		any |= t->actions[i].fault.kind != NULL;
		buf_put(&codes, i ? STR(", ") : STR(""));
		buf_put(&codes, reason_code(&t->actions[i].fault));
	}
	if (!any)
		return 0;
	buf_init(&text, c->arena, TRANSACT_ACTIONS_MAX * ITEM_ENCODED_MAX);
	json_writer_init(&json, &text);
	json_put_object_begin(&json);
	json_put_key(&json, STR("CancellationReasons"));
	json_put_array_begin(&json);
	for (unsigned i = 0; i < t->count; i++)
		put_reason(&json, &t->actions[i]);
	json_put_array_end(&json);
	json_put_object_end(&json);
	rc = call_fault(c, DYNAMODB_FAULT(TRANSACTION_CANCELED),
		"Transaction cancelled, please refer cancellation reasons for specific reasons "
		"[%.*s]",
		STR_ARG(buf_str(&codes)));
	c->fault.members = value_new(c->arena, c->service->model, "TransactionCanceledException");
	check(codec_json_read(c->fault.members, buf_str(&text), &message) == 0);
	return rc;
}

/* ---- places ---- */

static bool is_empty_key(str item, const struct key_attribute *at)
{
	str value;

	return at->type != ATTR_N && item_find(item, at->name, &value) &&
	       attr_type(value) == at->type && attr_bytes_of(value).n == 0;
}

static bool has_empty(const struct key_schema *s, str item)
{
	for (unsigned i = 0; i < s->partitions; i++)
		if (is_empty_key(item, &s->partition[i]))
			return true;
	for (unsigned i = 0; i < s->sorts; i++)
		if (is_empty_key(item, &s->sort[i]))
			return true;
	return false;
}

/*
 * An empty key, of the table or of an index, is a matter of the request; one of another type is a
 * reason of its action.
 */
static bool has_empty_key(const struct table *t, str item)
{
	for (size_t i = 0; i < t->index_count; i++)
		if (write_is_strict(&t->indexes[i]) && has_empty(&t->indexes[i].keys, item))
			return true;
	return has_empty(&t->keys, item);
}

static int by_key(const void *a, const void *b)
{
	return str_cmp((*(struct transact_action *const *)a)->write.key,
		(*(struct transact_action *const *)b)->write.key);
}

static int check_distinct(struct transaction *t)
{
	struct transact_action *sorted[TRANSACT_ACTIONS_MAX];

	for (unsigned i = 0; i < t->count; i++)
		sorted[i] = &t->actions[i];
	qsort(sorted, t->count, sizeof *sorted, by_key);
	for (unsigned i = 1; i < t->count; i++)
		if (str_eq(sorted[i - 1]->write.key, sorted[i]->write.key))
			return invalid(t, "Transaction request cannot include multiple operations "
					  "on one item");
	return 0;
}

static int find_places(struct transaction *t)
{
	struct call *c = t->c;
	bool all = true;

	t->flight = flight_enter(&dynamodb_of(c)->flights);
	for (unsigned i = 0; i < t->count; i++)
		TRY(dynamodb_table(c, t->actions[i].given, &t->actions[i].table));
	for (unsigned i = 0; i < t->count; i++) {
		struct transact_action *a = &t->actions[i];
		int rc;

		a->write.table = a->table;
		a->write.throttle = dynamodb_of(c)->throttle;
		a->write.in_transaction = true;
		a->write.attributes = a->attributes;
		if (a->write.expr)
			a->write.expr->fault = &a->fault; /* from here on it is the action's */
		rc = item_write_place(&a->write, c->arena, &a->fault);
		if (rc == ERR_FAULT && has_empty_key(a->table, a->attributes)) {
			c->fault = a->fault;
			return rc;
		}
		if (rc < 0 && rc != ERR_FAULT)
			return rc;
		all &= rc == 0;
	}
	return all ? check_distinct(t) : cancelled(t);
}

/* ---- writing ---- */

/* Looks whether the token has been used: 1 when all is done already. */
static int check_token(struct transaction *t, struct kv_txn *txn)
{
	enum token_state state;

	TRY(token_look(txn, t->c->arena, t->token_key, t->digest, t->c->wall_ms, &state));
	if (state == TOKEN_OTHER)
		return call_fault(t->c, DYNAMODB_FAULT(IDEMPOTENT_MISMATCH),
			"DynamoDB rejected the request because you retried a request with a "
			"different payload but with an idempotent token that was already used.");
	t->repeated = state == TOKEN_SAME;
	return t->repeated;
}

static size_t bytes_of(const struct item_write *w)
{
	size_t before = w->old_item.p ? item_size(w->old_item) : 0;
	size_t after = w->new_item.p ? item_size(w->new_item) : 0;

	return MAX(before, after);
}

static int too_large(struct transaction *t)
{
	return invalid(t, "One or more parameter values were invalid: The aggregate size of the "
			  "items in the transaction exceeds 4 MB");
}

/* Index entries and images for streams are more than the store takes at once. */
static int too_many_entries(struct transaction *t)
{
	return invalid(t, "One or more parameter values were invalid: The aggregate size of the "
			  "items in the transaction together with their entries in secondary "
			  "indexes and streams exceeds 64 MB");
}

/* A repeated request reads what it wrote, for the units that it is to tell. */
static int read_again(struct transaction *t, struct kv_txn *txn)
{
	for (unsigned i = 0; i < t->count; i++) {
		struct item_write *w = &t->actions[i].write;
		uint64_t time;

		TRY(record_read_txn(txn, w->key, t->c->arena, &w->old_item, &time));
		w->new_item = w->old_item;
	}
	return 0;
}

/* Did the update make the key of an index empty? That has failed for nothing else. */
static bool made_empty_key(const struct transact_action *a)
{
	const struct item_write *w = &a->write;

	return w->kind == ITEM_UPDATE && !w->condition_failed && !w->throttled && w->new_item.p &&
	       has_empty_key(w->table, w->new_item);
}

static int write_in_store(struct kv_txn *txn, void *arg)
{
	struct transaction *t = arg;
	struct arena *a = &t->memory;
	size_t bytes = 0;

	arena_done(a); /* of a run before this one */

	for (unsigned i = 0; i < t->count; i++)
		t->actions[i].fault = (struct fault){.kind = NULL};
	if (t->token.p && TRY(check_token(t, txn)))
		return read_again(t, txn);
	for (unsigned i = 0; i < t->count; i++) {
		struct transact_action *action = &t->actions[i];
		int rc = item_write_run(txn, a, &action->write, &action->fault);

		if (rc < 0 && rc != ERR_FAULT)
			return rc;
		if (rc == ERR_FAULT && made_empty_key(action)) {
			t->c->fault = action->fault;
			t->c->fault.message = arena_str(t->c->arena, action->fault.message);
			return rc;
		}
		bytes += bytes_of(&action->write);
		if (bytes > TRANSACT_BYTES_MAX)
			return too_large(t);
	}
	TRY(cancelled(t));
	if (t->token.p)
		token_put(txn, a, t->token_key, t->digest, t->c->wall_ms);
	return 0;
}

/* The wait for the items ended with the deadline: each might be the one. */
static int conflict(struct transaction *t)
{
	for (unsigned i = 0; i < t->count; i++)
		if (fault_set(&t->actions[i].fault, t->c->arena,
			    DYNAMODB_FAULT(TRANSACTION_CONFLICT),
			    "Transaction is ongoing for the item") != ERR_FAULT)
			check_unreachable();
	return cancelled(t);
}

int transaction_write(struct transaction *t)
{
	str keys[TRANSACT_ACTIONS_MAX * WRITE_KEYS_MAX + 1];
	struct call *c = t->c;
	size_t n = 0;
	int rc;

	/* Twice what the store takes: the records, and the items that they are made of. */
	arena_init(&t->memory, 2 * kv_limits(dynamodb_of(c)->kv)->txn_bytes_max);
	TRY(find_places(t));
	for (unsigned i = 0; i < t->count; i++)
		n += item_write_keys(&t->actions[i].write, c->arena, &keys[n]);
	if (t->token.p) {
		t->token_key = token_key(c, t->token);
		keys[n++] = t->token_key;
	}
	rc = kv_run(dynamodb_of(c)->kv, keys, n, write_in_store, t, c->deadline_ns);
	flight_leave(&t->flight);
	for (unsigned i = 0; rc == 0 && i < t->count; i++)
		stream_notify(&dynamodb_of(c)->stream_waits, t->actions[i].write.table);
	if (rc == ERR_TOO_LARGE || rc == ERR_BUDGET)
		return too_many_entries(t);
	return rc == ERR_CONFLICT || rc == ERR_TIMEOUT ? conflict(t) : rc;
}

/* ---- reading ---- */

/* Before the snapshot: does each action find something in its buckets? */
static int admit_reads(struct transaction *t)
{
	struct call *c = t->c;

	for (unsigned i = 0; i < t->count; i++) {
		struct item_write *w = &t->actions[i].write;
		int rc = dynamodb_admit_read(
			c, w->table, NULL, key_collection(w->key, &w->table->keys));

		if (rc == 0)
			continue;
		t->actions[i].fault = c->fault;
		c->fault = (struct fault){.kind = NULL};
	}
	return cancelled(t);
}

static void pay_reads(struct transaction *t)
{
	for (unsigned i = 0; i < t->count; i++) {
		const struct item_write *w = &t->actions[i].write;
		double units = capacity_read(w->old_item.p ? item_size(w->old_item) : 0, true);

		dynamodb_pay_read(t->c, w->table, NULL, key_collection(w->key, &w->table->keys),
			CAPACITY_FACTOR * units, NULL);
	}
}

static int read_all(struct transaction *t, struct kv_snapshot *snapshot)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < t->count; i++) {
		struct item_write *w = &t->actions[i].write;
		uint64_t time;
		str value;

		w->old_item = STR_NULL;
		if (TRY(kv_snapshot_get(snapshot, w->key, t->c->arena, &value)))
			TRY(record_item(value, &w->old_item, &time));
		bytes += w->old_item.p ? item_size(w->old_item) : 0;
		if (bytes > TRANSACT_BYTES_MAX)
			return too_large(t);
	}
	return 0;
}

int transaction_read(struct transaction *t)
{
	int rc;

	TRY(find_places(t));
	if (dynamodb_of(t->c)->throttle)
		TRY(admit_reads(t));
	do {
		struct kv_snapshot *snapshot cleanup(kv_snapshot_close_p) = NULL;

		if (rt_now() >= t->c->deadline_ns)
			return conflict(t);
		TRY(kv_snapshot_open(dynamodb_of(t->c)->kv, &snapshot));
		rc = read_all(t, snapshot);
	} while (rc == ERR_CONFLICT); /* the engine has given the snapshot up */
	flight_leave(&t->flight);
	if (rc == 0 && dynamodb_of(t->c)->throttle)
		pay_reads(t);
	return rc;
}

/* ---- figures ---- */

/* The units of all actions on the table of the first of them. */
static void sum_units(
	const struct transaction *t, unsigned first, bool is_read, struct write_cost *ret)
{
	*ret = (struct write_cost){.table = 0};
	for (unsigned i = first; i < t->count; i++) {
		const struct item_write *w = &t->actions[i].write;

		if (w->table->id != t->actions[first].table->id)
			continue;
		if (is_read || t->repeated) {
			ret->table +=
				capacity_read(w->old_item.p ? item_size(w->old_item) : 0, true);
			continue;
		}
		ret->table += w->cost.table;
		for (size_t k = 0; k < w->table->index_count; k++)
			ret->index[k] += w->cost.index[k];
	}
	ret->table *= CAPACITY_FACTOR;
	for (size_t k = 0; k < t->actions[first].table->index_count; k++)
		if (!t->actions[first].table->indexes[k].vector) /* bytes, no units */
			ret->index[k] *= CAPACITY_FACTOR;
}

/* Is it the first action on its table? */
static bool leads(const struct transaction *t, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (t->actions[k].table->id == t->actions[i].table->id)
			return false;
	return true;
}

static void put_units(
	struct json_writer *w, const struct transaction *t, unsigned first, bool is_read)
{
	const struct transact_action *a = &t->actions[first];
	bool reads = is_read || t->repeated;
	struct write_cost sum;

	sum_units(t, first, is_read, &sum);
	capacity_put_transaction(w, t->capacity, a->given, a->table, sum.table, sum.index, reads);
}

static void put_metrics(struct json_writer *w, const struct transaction *t, unsigned first)
{
	const struct table *table = t->actions[first].table;

	json_put_key(w, t->actions[first].given);
	json_put_array_begin(w);
	for (unsigned i = first; i < t->count; i++) {
		const struct transact_action *a = &t->actions[i];

		if (a->table->id == table->id && a->write.cost.collection_bytes >= 0)
			capacity_put_collection(
				w, table, a->attributes, a->write.cost.collection_bytes);
	}
	json_put_array_end(w);
}

void transaction_put_figures(struct json_writer *w, const struct transaction *t, bool is_read)
{
	if (t->capacity != CAPACITY_NONE) {
		json_put_key(w, STR("ConsumedCapacity"));
		json_put_array_begin(w);
		for (unsigned i = 0; i < t->count; i++)
			if (leads(t, i))
				put_units(w, t, i, is_read);
		json_put_array_end(w);
	}
	if (t->metrics && !t->repeated) {
		json_put_key(w, STR("ItemCollectionMetrics"));
		json_put_object_begin(w);
		for (unsigned i = 0; i < t->count; i++)
			if (leads(t, i) && t->actions[i].table->local_count)
				put_metrics(w, t, i);
		json_put_object_end(w);
	}
}
