/*
 * CreateTable, DescribeTable, ListTables, DeleteTable.
 *
 * A new table can be used at once: CreateTable answers CREATING, as clients expect, and the record
 * that it has committed says ACTIVE. A deleted table is gone when DeleteTable answers; its items go
 * in the background (sweep.c). Rules and texts:
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
 */
#include "services/dynamodb/resource_policy.h"
#include "services/dynamodb/service.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/random.h"
#include "base/rc.h"
#include "kv/kv.h"
#include "services/dynamodb/count.h"
#include "services/dynamodb/definition.h"
#include "services/dynamodb/ids.h"
#include "services/dynamodb/throughput.h"

enum {
	/* of an account and region: "Default quotas", ServiceQuotas.html */
	TABLES_MAX = 2500,
	LIST_TABLES_MAX = 100,
	NAME_BYTES_MIN = 3,
	NAME_BYTES_MAX = 255
};

#define BAD_NAME \
	"1 validation error detected: Value '%.*s' at 'tableName' failed to satisfy constraint: "

int dynamodb_not_implemented(struct call *c, const char *member)
{
	return call_fault(c, DYNAMODB_FAULT(NOT_IMPLEMENTED),
		"%s is not implemented by this version of cirrus.", member);
}

/* What of CreateTable's input is refused by name until it is built. */
static int refuse_unbuilt(struct call *c)
{
	static const char *const members[] = {
		"GlobalTableSourceArn", "GlobalTableSettingsReplicationMode"};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (value_has(c->in, members[i]))
			return dynamodb_not_implemented(c, members[i]);
	return 0;
}

int dynamodb_too_many_tags(struct call *c)
{
	return DYNAMODB_INVALID(c, "Too many tags: a table has at most 50");
}

int dynamodb_check_tags(struct call *c, const struct value *tags)
{
	if (value_count(tags) > TABLE_TAGS_MAX)
		return dynamodb_too_many_tags(c);
	for (uint32_t i = 0; i < value_count(tags); i++) {
		str key = value_str(value_at(tags, i), "Key");

		if (str_starts(key, STR("aws:")))
			return DYNAMODB_INVALID(c, "Tag keys must not begin with aws:");
		for (uint32_t k = 0; k < i; k++)
			if (str_eq(value_str(value_at(tags, k), "Key"), key))
				return DYNAMODB_INVALID(c, "Tag keys must be unique");
	}
	return 0;
}

static int read_tags(struct call *c, struct table *t)
{
	const struct value *tags = value_get(c->in, "Tags");
	struct table_tag *copy;

	TRY(dynamodb_check_tags(c, tags));
	t->tag_count = value_count(tags);
	copy = arena_new_array(c->arena, struct table_tag, t->tag_count);
	for (uint32_t i = 0; i < t->tag_count; i++) {
		copy[i].key = value_str(value_at(tags, i), "Key");
		copy[i].value = value_str(value_at(tags, i), "Value");
	}
	t->tags = copy;
	return 0;
}

/* ---- CreateTable ---- */

/* Of CreateTable and UpdateTable: the server has no KMS, and claims no key that it does not use. */
int dynamodb_check_encryption(struct call *c)
{
	const struct value *sse = value_get(c->in, "SSESpecification");

	if (value_has(sse, "KMSMasterKeyId"))
		return dynamodb_not_implemented(c, "SSESpecification.KMSMasterKeyId");
	if (value_has(sse, "SSEType"))
		return dynamodb_not_implemented(c, "SSESpecification.SSEType");
	if (value_bool(sse, "Enabled", false))
		return dynamodb_not_implemented(c, "SSESpecification.Enabled");
	return 0;
}

int dynamodb_stream_view(
	struct call *c, const struct value *given, enum table_stream_view *ret_view)
{
	str view = value_str(given, "StreamViewType");
	bool enabled = value_bool(given, "StreamEnabled", false);

	if (enabled && !view.p)
		return DYNAMODB_INVALID(
			c, "StreamViewType must be specified when StreamEnabled is true");
	if (!enabled && view.p && value_has(c->in, "KeySchema"))
		return DYNAMODB_INVALID(c,
			"Table is being created with a stream disabled, UpdateViewType should not "
			"be specified");
	if (!enabled && view.p)
		return DYNAMODB_INVALID(
			c, "StreamViewType can only be specified when StreamEnabled is true");
	return enabled ? stream_view_from_name(view, ret_view) : 0;
}

static int read_table(struct call *c, struct table *t)
{
	struct table_attributes attributes;

	TRY(refuse_unbuilt(c));
	TRY(throughput_of_new_table(c, t));
	TRY(definition_attributes(c, NULL, &attributes));
	TRY(definition_table_keys(c, &attributes, t));
	TRY(definition_indexes(c, &attributes, t));
	TRY(definition_used(c, &attributes, t));
	TRY(dynamodb_check_encryption(c));
	TRY(read_tags(c, t));
	t->deletion_protection = value_bool(c->in, "DeletionProtectionEnabled", false);
	t->table_class = value_str(c->in, "TableClass");
	return 0;
}

enum {
	CREATION_IDS_MAX = 1 + TABLE_INDEXES_MAX + 1, /* table, indexes, stream */
	CREATION_KEYS_MAX = CREATION_IDS_MAX + 2      /* and the record, the number of tables */
};

struct creation {
	struct call *c;
	struct table *table;
	bool streams;
	enum table_stream_view view;
	uint64_t stream_id;
	str keys[CREATION_KEYS_MAX];
	size_t key_count;
	uint64_t ids[CREATION_IDS_MAX];
	size_t id_count;
	str document;
};

/* ---- the number of tables ---- */

static str tables_count_key(struct call *c)
{
	struct buf key;

	buf_init(&key, c->arena, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_DYNAMODB_META);
	keyspace_put(&key, STR("tables"));
	keyspace_put(&key, c->account);
	keyspace_put(&key, c->region);
	return buf_str(&key);
}

static str tables_prefix(struct call *c)
{
	struct buf prefix;

	buf_init(&prefix, c->arena, KEYSPACE_KEY_MAX);
	keyspace_begin(&prefix, KEYSPACE_DYNAMODB_TABLES, c->account, c->region);
	return buf_str(&prefix);
}

/* Of the account and region; counted where it was never kept. */
static int tables_count(struct kv_txn *txn, struct call *c, uint64_t *ret_count)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str prefix = tables_prefix(c), key, value;
	const struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(c->arena, prefix)};
	uint64_t n = 0;

	if (TRY(kv_txn_get(txn, tables_count_key(c), c->arena, &value)))
		return str_take_be64(&value, ret_count) ? 0 : ERR_CORRUPT;
	TRY(kv_txn_scan(txn, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value)))
		n++;
	*ret_count = n;
	return 0;
}

/* One more (1) or less (-1); the key is declared. Before the record comes or goes. */
static int tables_count_add(struct kv_txn *txn, struct call *c, int more)
{
	struct buf value;
	uint64_t n;

	TRY(tables_count(txn, c, &n));
	if (more > 0 && n >= TABLES_MAX)
		return call_fault(c, DYNAMODB_FAULT(LIMIT_EXCEEDED),
			"Subscriber limit exceeded: There is a limit of %d tables per subscriber",
			TABLES_MAX);
	buf_init(&value, c->arena, sizeof n);
	buf_put_be64(&value, n + (uint64_t)more);
	kv_txn_put(txn, tables_count_key(c), buf_str(&value));
	return 0;
}

/* ---- making one ---- */

/* 0, or ERR_EXISTS: the name is taken; 1: an id is, try others. */
static int create_in_store(struct kv_txn *txn, void *arg)
{
	struct creation *creation = arg;
	struct arena *a = creation->c->arena;
	struct table t = *creation->table; /* the stream is of this run */
	str found;

	if (TRY(kv_txn_get(txn, creation->keys[0], a, &found)))
		return ERR_EXISTS;
	for (size_t i = 0; i < creation->id_count; i++)
		if (!TRY(ids_take(txn, a, creation->ids[i], creation->table->name)))
			return 1;
	TRY(tables_count_add(txn, creation->c, 1));
	if (creation->streams)
		TRY(stream_create_txn(
			txn, a, &t, creation->stream_id, creation->view, creation->c->wall_ms));
	creation->document = table_encode(a, &t);
	kv_txn_put(txn, creation->keys[0], creation->document);
	return 0;
}

static uint64_t creation_id(struct creation *creation)
{
	uint64_t id = ids_random();

	creation->ids[creation->id_count++] = id;
	creation->keys[creation->key_count++] = ids_key(creation->c->arena, id);
	return id;
}

/* Gives the table, its indexes and its stream ids, and declares what is written. */
static void creation_prepare(struct creation *creation)
{
	struct arena *a = creation->c->arena;
	struct table *t = creation->table;
	struct table_index *indexes = arena_new_array(a, struct table_index, t->index_count);

	creation->key_count = creation->id_count = 0;
	creation->keys[creation->key_count++] = table_key(a, t->account, t->region, t->name);
	creation->keys[creation->key_count++] = tables_count_key(creation->c);
	t->id = creation_id(creation);
	for (size_t i = 0; i < t->index_count; i++) {
		indexes[i] = t->indexes[i];
		indexes[i].id = creation_id(creation);
	}
	t->indexes = indexes;
	if (creation->streams)
		creation->stream_id = creation_id(creation);
}

static int create(struct creation *creation)
{
	struct call *c = creation->c;
	struct dynamodb *d = dynamodb_of(c);
	int rc;

	do {
		creation_prepare(creation);
		rc = kv_run(d->kv, creation->keys, creation->key_count, create_in_store, creation,
			c->deadline_ns);
	} while (rc == 1 && rt_now() < c->deadline_ns);
	if (rc == ERR_EXISTS)
		return call_fault(c, DYNAMODB_FAULT(RESOURCE_IN_USE), "Table already exists: %.*s",
			STR_ARG(creation->table->name));
	catalog_changed(d->catalog);
	return rc == 1 ? ERR_TIMEOUT : rc;
}

int dynamodb_create_table(struct call *c)
{
	struct table t = {.account = c->account, .region = c->region, .created_ms = c->wall_ms};
	struct creation creation = {.c = c, .table = &t};
	struct table *made cleanup(table_unref_p) = NULL;
	char uuid[UUID_TEXT_BYTES];
	uint8_t random[16];

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &t.name));
	TRY(read_table(c, &t));
	creation.streams = TRY(
		dynamodb_stream_view(c, value_get(c->in, "StreamSpecification"), &creation.view));
	rt_random_bytes(random, sizeof random);
	uuid_v4_text(random, uuid);
	t.uuid = str_of(uuid, sizeof uuid);
	t.arn = table_arn(c->arena, &t);
	TRY(resource_policy_read(c, &t));
	TRY(create(&creation));
	if (creation.streams)
		stream_changed(dynamodb_of(c));
	TRY(table_decode(creation.document, &made));
	table_describe(made, "CREATING", &(struct table_figures){.items = 0}, c->wall_ms,
		value_put_struct(c->out, "TableDescription"));
	return 0;
}

/* ---- names ---- */

bool dynamodb_is_name(str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '_' || c == '.' || c == '-'))
			return false;
	}
	return true;
}

int dynamodb_table_name(struct call *c, str given, str *ret_name)
{
	str arn;

	if (likely(!str_starts(given, STR("arn:")))) {
		if (given.n < NAME_BYTES_MIN || given.n > NAME_BYTES_MAX)
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				BAD_NAME "Member must have length %s than or equal to %d",
				STR_ARG(given), given.n < NAME_BYTES_MIN ? "greater" : "less",
				given.n < NAME_BYTES_MIN ? NAME_BYTES_MIN : NAME_BYTES_MAX);
		if (!dynamodb_is_name(given))
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				BAD_NAME "Member must satisfy regular expression pattern: "
					 "[a-zA-Z0-9_.-]+",
				STR_ARG(given));
		*ret_name = given;
		return 0;
	}
	arn = arena_printf(c->arena, "arn:aws:dynamodb:%.*s:%.*s:table/", STR_ARG(c->region),
		STR_ARG(c->account));
	if (!str_starts(given, arn) || str_find(str_from(given, arn.n), '/') >= 0)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Invalid TableArn: %.*s is not a table of account %.*s in %.*s",
			STR_ARG(given), STR_ARG(c->account), STR_ARG(c->region));
	*ret_name = str_from(given, arn.n);
	return 0;
}

int dynamodb_table_not_found(struct call *c, str name)
{
	return call_fault(c, DYNAMODB_FAULT(RESOURCE_NOT_FOUND),
		"Requested resource not found: Table: %.*s not found", STR_ARG(name));
}

int dynamodb_index_not_found(struct call *c, str name)
{
	return call_fault(c, DYNAMODB_FAULT(RESOURCE_NOT_FOUND),
		"Requested resource not found: Index: %.*s not found", STR_ARG(name));
}

int dynamodb_table(struct call *c, str given, struct table **ret_table)
{
	str name;

	TRY(dynamodb_table_name(c, given, &name));
	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, ret_table)))
		return call_fault(
			c, DYNAMODB_FAULT(RESOURCE_NOT_FOUND), "Requested resource not found");
	return 0;
}

int dynamodb_describe_table(struct call *c)
{
	/* The figures of a count may be written: the sweep has to know. */
	struct flight flight unused_arg cleanup(flight_leave) =
		flight_enter(&dynamodb_of(c)->flights);
	struct table *t cleanup(table_unref_p) = NULL;
	struct table_figures figures;
	str name;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, &t)))
		return dynamodb_table_not_found(c, name);
	TRY(dynamodb_count(dynamodb_of(c), t, true, c->deadline_ns, &figures));
	table_describe(t, table_status(t), &figures, c->wall_ms, value_put_struct(c->out, "Table"));
	return 0;
}

/* ListTables, while it reads. */
struct listing {
	struct call *c;
	struct kv_range range;
	size_t prefix_bytes;
	struct value *names;
	int64_t left; /* how many more the page may have */
	str last;     /* name; STR_NULL: none yet */
	bool more;
};

static str behind_name(struct call *c, str name)
{
	return ARENA_CONCAT(c->arena, table_key(c->arena, c->account, c->region, name), STR("\0"));
}

static int list_some(struct listing *l)
{
	struct call *c = l->c;
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str key, document;

	TRY(kv_scan_open(dynamodb_of(c)->kv, &l->range, &scan));
	while (TRY(kv_scan_next(scan, &key, &document))) {
		str rest = str_from(arena_str(c->arena, key), l->prefix_bytes), name;

		l->more = l->left == 0;
		if (l->more)
			return 0;
		if (!keyspace_take(c->arena, &rest, &name))
			return ERR_CORRUPT;
		value_add_str(l->names, name);
		l->last = name;
		l->left--;
	}
	return 0;
}

int dynamodb_list_tables(struct call *c)
{
	struct listing l = {.c = c,
		.names = value_put_list(c->out, "TableNames"),
		.left = value_int(c->in, "Limit", LIST_TABLES_MAX),
		.last = STR_NULL};
	str start = value_str(c->in, "ExclusiveStartTableName");
	str prefix = tables_prefix(c);
	int rc;

	l.prefix_bytes = prefix.n;
	l.range.to = keyspace_prefix_end(c->arena, prefix);
	l.range.from = start.p ? behind_name(c, start) : prefix;
	for (;;) {
		l.range.limit = (unsigned)l.left + 1;
		rc = list_some(&l);
		if (rc != ERR_CONFLICT)
			break;
		if (rt_now() >= c->deadline_ns)
			return ERR_TIMEOUT;
		if (l.last.p) /* the engine gave the scan up: another one goes on */
			l.range.from = behind_name(c, l.last);
	}
	TRY(rc);
	if (l.more)
		value_put_str(c->out, "LastEvaluatedTableName", l.last);
	return 0;
}

int dynamodb_check_status(struct call *c, const struct table *t)
{
	if (str_eq(str_c(table_status(t)), STR("ACTIVE")))
		return 0;
	return call_fault(c, DYNAMODB_FAULT(RESOURCE_IN_USE),
		"Attempt to change a resource which is still in use: Table is being updated: %.*s",
		STR_ARG(t->name));
}

struct deletion {
	struct call *c;
	str key, sweep_key;
	uint64_t id;
};

static int is_protected(struct call *c)
{
	return call_fault(c, DYNAMODB_FAULT(VALIDATION),
		"Resource cannot be deleted as it is currently protected against deletion. "
		"Disable deletion protection first.");
}

/* 1: removed; 0: there is no such table (any more). */
static int delete_in_store(struct kv_txn *txn, void *arg)
{
	struct deletion *deletion = arg;
	struct arena *a = deletion->c->arena;
	struct table *t cleanup(table_unref_p) = NULL;
	str document;

	if (!TRY(kv_txn_get(txn, deletion->key, a, &document)))
		return 0;
	TRY(table_decode(document, &t));
	if (t->id != deletion->id)
		return 0;
	if (t->deletion_protection)
		return is_protected(deletion->c);
	TRY(dynamodb_check_status(deletion->c, t));
	TRY(stream_end_txn(txn, a, t, deletion->c->wall_ms));
	TRY(tables_count_add(txn, deletion->c, -1));
	kv_txn_delete(txn, deletion->key);
	dynamodb_sweep_add(txn, a, t);
	return 1;
}

int dynamodb_delete_table(struct call *c)
{
	struct dynamodb *d = dynamodb_of(c);
	/* Until the catalog knows: who finds the table before that is among those waited for. */
	struct flight flight unused_arg cleanup(flight_leave) = flight_enter(&d->flights);
	struct table *t cleanup(table_unref_p) = NULL;
	struct deletion deletion = {.c = c};
	struct table_figures figures;
	str name;
	int rc;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	if (!TRY(catalog_find(d->catalog, c->account, c->region, name, &t)))
		return dynamodb_table_not_found(c, name);
	if (t->deletion_protection)
		return is_protected(c);
	/* What cannot be counted, because it is damaged perhaps, can be deleted all the same. */
	if (dynamodb_count(d, t, false, c->deadline_ns, &figures) < 0)
		figures = (struct table_figures){.items = 0};
	deletion.id = t->id;
	deletion.key = table_key(c->arena, c->account, c->region, name);
	deletion.sweep_key = dynamodb_sweep_key(c->arena, t->id);
	rc = kv_run(d->kv, (str[]){deletion.key, deletion.sweep_key, tables_count_key(c)}, 3,
		delete_in_store, &deletion, c->deadline_ns);
	/* After an error too: the commit may have been done all the same. */
	catalog_changed(d->catalog);
	stream_changed(d);
	dynamodb_wake(d, WORKER_SWEEP);
	if (TRY(rc) == 0)
		return dynamodb_table_not_found(c, name);
	table_describe(
		t, "DELETING", &figures, c->wall_ms, value_put_struct(c->out, "TableDescription"));
	return 0;
}
