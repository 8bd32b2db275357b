/*
 * UpdateTable: throughput and billing mode, global and vector indexes, the stream, table class,
 * deletion protection.
 *
 * A change is one transaction on the table's record. But for indexes it is in force when it is
 * answered; the answer says UPDATING, as clients expect, and the record ACTIVE. Indexes are made
 * and removed in the background (backfill.c). Rules and texts:
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html
 */
#include "services/dynamodb/backfill.h"
#include "services/dynamodb/change.h"
#include "services/dynamodb/count.h"
#include "services/dynamodb/definition.h"
#include "services/dynamodb/ids.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/throughput.h"
#include "services/dynamodb/vector_definition.h"

#include "base/rc.h"
#include "kv/kv.h"

enum { AGAIN = 1 }; /* of apply(): another id is needed */

struct update {
	struct table_change change;
	/* Actions of GlobalSecondaryIndexUpdates or, then `of_vectors`, VectorIndexUpdates. */
	const struct value *create, *delete;
	unsigned online; /* how many of GlobalSecondaryIndexUpdates create or delete */
	bool of_vectors;
	uint64_t index_id; /* of either */
	bool stream;       /* StreamSpecification is given: */
	bool enables;
	enum table_stream_view view;
	uint64_t stream_id;
};

/* ---- what is asked for ---- */

static int refuse_unbuilt(struct call *c)
{
	static const char *const members[] = {"ReplicaUpdates", "MultiRegionConsistency",
		"GlobalTableWitnessUpdates", "GlobalTableSettingsReplicationMode",
		"DisassociationProtectionEnabled"};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (value_has(c->in, members[i]))
			return dynamodb_not_implemented(c, members[i]);
	return dynamodb_check_encryption(c);
}

static int check_something(struct call *c)
{
	static const char *const members[] = {"ProvisionedThroughput", "BillingMode", "TableClass",
		"DeletionProtectionEnabled", "OnDemandThroughput", "WarmThroughput",
		"StreamSpecification", "SSESpecification"};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (value_has(c->in, members[i]))
			return 0;
	if (value_count(value_get(c->in, "GlobalSecondaryIndexUpdates")) ||
		value_count(value_get(c->in, "VectorIndexUpdates")))
		return 0;
	return call_fault(c, DYNAMODB_FAULT(VALIDATION),
		"At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, "
		"GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required");
}

static int only_one_index(struct call *c)
{
	return call_fault(c, DYNAMODB_FAULT(LIMIT_EXCEEDED),
		"Subscriber limit exceeded: Only 1 online index can be created or deleted "
		"simultaneously per table");
}

/* The one action of an element of GlobalSecondaryIndexUpdates. */
static int read_action(struct call *c, const struct value *v, struct update *u, str *ret_name)
{
	const struct value *create = value_get(v, "Create"), *delete = value_get(v, "Delete"),
			   *change = value_get(v, "Update");
	unsigned n = (create != NULL) + (delete != NULL) + (change != NULL);

	if (n != 1)
		return DYNAMODB_INVALID(c,
			"%s GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, "
			"GlobalSecondaryIndexUpdate.Delete must %s",
			n ? "Only one of" : "One of", n ? "be specified" : "not be null");
	*ret_name = value_str(create ? create : delete ? delete : change, "IndexName");
	if (change)
		return 0;
	u->online++;
	u->create = create;
	u->delete = delete;
	return 0;
}

static int read_index_updates(struct call *c, struct update *u)
{
	const struct value *list = value_get(c->in, "GlobalSecondaryIndexUpdates");
	str *names = arena_new_array(c->arena, str, value_count(list));

	if (value_count(list) > TABLE_GLOBAL_INDEXES_MAX + 1) /* all of them, and a new one */
		return DYNAMODB_INVALID(c,
			"Number of GlobalSecondaryIndexUpdates exceeds the limit of %d",
			TABLE_GLOBAL_INDEXES_MAX + 1);
	for (uint32_t i = 0; i < value_count(list); i++) {
		TRY(read_action(c, value_at(list, i), u, &names[i]));
		for (uint32_t k = 0; k < i; k++)
			if (str_eq(names[i], names[k]))
				return DYNAMODB_INVALID(c,
					"Only one global secondary index update per index is "
					"allowed simultaneously. Index: %.*s",
					STR_ARG(names[i]));
	}
	return u->online > 1 ? only_one_index(c) : 0;
}

/* "You can add or remove one vector index for each UpdateTable operation", API_UpdateTable.html */
static int read_vector_updates(struct call *c, struct update *u)
{
	const struct value *list = value_get(c->in, "VectorIndexUpdates");

	for (uint32_t i = 0; i < value_count(list); i++) {
		const struct value *create = value_get(value_at(list, i), "Create"),
				   *delete = value_get(value_at(list, i), "Delete");

		if (!create == !delete)
			return DYNAMODB_INVALID(c,
				"%s VectorIndexUpdate.Create, VectorIndexUpdate.Delete must %sbe "
				"specified",
				create ? "Only one of" : "One of",
				create ? "" : "not be null: one has to ");
		if (u->create || u->delete)
			return only_one_index(c);
		u->create = create;
		u->delete = delete;
		u->of_vectors = true;
	}
	return 0;
}

/* "You can only perform one of the following operations at once", API_UpdateTable.html */
static int check_kinds(struct call *c, const struct update *u)
{
	bool units = value_has(c->in, "ProvisionedThroughput") || value_has(c->in, "BillingMode");

	if (units && u->stream)
		return DYNAMODB_INVALID(
			c, "You cannot modify stream status while updating table IOPS");
	if ((u->create || u->delete) && u->stream)
		return DYNAMODB_INVALID(
			c, "You cannot modify stream status while creating or deleting an index");
	/* With a vector index the table may become one on demand, which it has to be. */
	if ((u->create || u->delete) && units && !(u->create && u->of_vectors))
		return DYNAMODB_INVALID(
			c, "You cannot update table IOPS while creating or deleting an index");
	return 0;
}

static int read_update(struct call *c, struct update *u)
{
	const struct value *stream = value_get(c->in, "StreamSpecification");

	TRY(refuse_unbuilt(c));
	TRY(check_something(c));
	TRY(read_index_updates(c, u));
	TRY(read_vector_updates(c, u));
	u->stream = stream != NULL;
	u->enables = TRY(dynamodb_stream_view(c, stream, &u->view));
	return check_kinds(c, u);
}

/* ---- in the transaction ---- */

static bool is_busy(const struct table *t)
{
	for (size_t i = 0; i < t->index_count; i++)
		if (t->indexes[i].status != INDEX_ACTIVE)
			return true;
	return false;
}

static int create_index(
	struct update *u, struct kv_txn *txn, struct table *t, struct table_index *indexes)
{
	struct call *c = u->change.c;
	struct table_attributes attributes;
	struct table_index *index = &indexes[t->index_count];

	const struct table_index *known = table_index_named(t, value_str(u->create, "IndexName"));

	if (u->of_vectors && known && known->status == INDEX_CREATING)
		return call_fault(c, DYNAMODB_FAULT(RESOURCE_IN_USE),
			"Attempt to change a resource which is still in use: Index is being "
			"created.  Table: %.*s Index: %.*s",
			STR_ARG(t->name), STR_ARG(known->name));
	if (known)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Attempting to create an index which already exists");
	if (is_busy(t))
		return only_one_index(c);
	TRY(definition_attributes(c, t, &attributes));
	TRY(definition_new_index(c, &attributes, t, u->create, u->of_vectors, index));
	index->id = u->index_id;
	index->status = INDEX_CREATING;
	table_index_finish(c->arena, t, index);
	t->index_count++;
	if (!TRY(ids_take(txn, c->arena, u->index_id, t->name)))
		return AGAIN;
	backfill_add(txn, c->arena, t, u->index_id);
	return 0;
}

static int delete_index(
	struct update *u, struct kv_txn *txn, struct table *t, struct table_index *indexes)
{
	struct call *c = u->change.c;
	str name = value_str(u->delete, "IndexName");
	const struct table_index *found = table_index_named(t, name);

	if (!found || found->local || !found->vector == u->of_vectors)
		return dynamodb_index_not_found(c, name);
	if (found->id != u->index_id)
		return AGAIN;
	/* One that is being backfilled may be deleted, and no other one meanwhile. */
	if (is_busy(t) && found->status != INDEX_CREATING)
		return only_one_index(c);
	indexes[found - t->indexes].status = INDEX_DELETING;
	indexes[found - t->indexes].backfilling = false;
	backfill_add(txn, c->arena, t, u->index_id);
	return 0;
}

static int update_stream(struct update *u, struct kv_txn *txn, struct table *t)
{
	struct call *c = u->change.c;

	if (!u->stream)
		return 0;
	if (u->enables && t->stream.id)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Table already has an enabled stream: TableName: %.*s", STR_ARG(t->name));
	if (!u->enables && !t->stream.id)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Table has no stream to disable: TableName: %.*s", STR_ARG(t->name));
	if (!u->enables)
		return stream_end_txn(txn, c->arena, t, c->wall_ms);
	if (!TRY(ids_take(txn, c->arena, u->stream_id, t->name)))
		return AGAIN;
	return stream_enable_txn(txn, c->arena, t, u->stream_id, u->view, c->wall_ms);
}

static void update_class(struct call *c, struct table *t)
{
	str class = value_str(c->in, "TableClass");

	if (!class.p || str_eq(class, t->table_class.p ? t->table_class : STR("STANDARD")))
		return;
	t->table_class = class;
	t->class_since_ms = c->wall_ms;
}

static int apply(struct table_change *change, struct kv_txn *txn, struct table *t)
{
	struct update *u = container_of(change, struct update, change);
	struct call *c = change->c;
	struct table_index *indexes =
		arena_new_array(c->arena, struct table_index, t->index_count + 1);
	struct table_attributes attributes;
	int rc;

	TRY(dynamodb_check_status(c, t));
	if (t->index_count)
		memcpy(indexes, t->indexes, t->index_count * sizeof *indexes);
	t->indexes = indexes;
	if (u->create) {
		rc = TRY(create_index(u, txn, t, indexes));
	} else {
		TRY(definition_attributes(c, t, &attributes));
		rc = u->delete ? TRY(delete_index(u, txn, t, indexes)) : 0;
	}
	if (rc == AGAIN)
		return rc;
	TRY(throughput_update(c, t, indexes, value_get(c->in, "GlobalSecondaryIndexUpdates")));
	TRY(vector_definition_check_mode(c, t));
	rc = TRY(update_stream(u, txn, t));
	update_class(c, t);
	t->deletion_protection =
		value_bool(c->in, "DeletionProtectionEnabled", t->deletion_protection);
	return rc;
}

/* ---- UpdateTable ---- */

/* The id of the index that is to be deleted; 0: there is none. */
static int deleted_id(struct update *u, str table, uint64_t *ret_id)
{
	struct call *c = u->change.c;
	struct table *t cleanup(table_unref_p) = NULL;
	const struct table_index *index;

	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, table, &t)))
		return 0;
	index = table_index_named(t, value_str(u->delete, "IndexName"));
	*ret_id = index ? index->id : 0;
	return 0;
}

/* Ids, and the keys that are written with them. */
static int prepare(struct update *u, str table)
{
	struct table_change *change = &u->change;
	struct arena *a = change->c->arena;

	change->key_count = 0;
	u->index_id = 0;
	if (u->create)
		u->index_id = ids_random();
	else if (u->delete)
		TRY(deleted_id(u, table, &u->index_id));
	if (u->index_id)
		change->keys[change->key_count++] = backfill_key(a, u->index_id);
	if (u->create)
		change->keys[change->key_count++] = ids_key(a, u->index_id);
	if (!u->enables)
		return 0;
	u->stream_id = ids_random();
	change->keys[change->key_count++] = ids_key(a, u->stream_id);
	return 0;
}

static int run(struct update *u, str table)
{
	struct call *c = u->change.c;
	int rc;

	do {
		TRY(prepare(u, table));
		rc = table_change_run(&u->change, table);
	} while (rc == AGAIN && rt_now() < c->deadline_ns);
	if (u->stream && (rc < 0 || !u->enables))
		stream_changed(dynamodb_of(c));
	if (u->create || u->delete)
		dynamodb_wake(dynamodb_of(c), WORKER_BACKFILL);
	if (rc == CHANGE_NO_TABLE)
		return dynamodb_table_not_found(c, table);
	return rc == AGAIN ? ERR_TIMEOUT : rc;
}

/* Nothing is set but what needs no UPDATING. */
static bool settles(struct call *c)
{
	static const char *const members[] = {"ProvisionedThroughput", "BillingMode", "TableClass",
		"OnDemandThroughput", "WarmThroughput", "StreamSpecification",
		"GlobalSecondaryIndexUpdates", "VectorIndexUpdates"};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (value_has(c->in, members[i]))
			return false;
	return true;
}

/* The change is committed whatever comes of this: what is left over is the worker's. */
static mayyield int let_begin(struct call *c, const struct table *t)
{
	int rc = stream_begin(dynamodb_of(c), c->arena, t);

	stream_changed(dynamodb_of(c));
	return rc == ERR_CANCELLED ? rc : 0;
}

static void update_done(struct update *u)
{
	table_change_done(&u->change);
}

int dynamodb_update_table(struct call *c)
{
	/* The figures of a count may be written: the sweep has to know. */
	struct flight flight cleanup(flight_leave) = flight_enter(&dynamodb_of(c)->flights);
	struct update u cleanup(update_done) = {.change = {.c = c, .apply = apply}};
	struct table_figures figures;
	str name;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	TRY(read_update(c, &u));
	TRY(run(&u, name));
	TRY(dynamodb_count(dynamodb_of(c), u.change.table, true, c->deadline_ns, &figures));
	table_describe(u.change.table, settles(c) ? "ACTIVE" : "UPDATING", &figures, c->wall_ms,
		value_put_struct(c->out, "TableDescription"));
	flight_leave(&flight);
	return u.enables ? let_begin(c, u.change.table) : 0;
}
