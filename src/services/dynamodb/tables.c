/*
 * CreateTable, DescribeTable, ListTables, DeleteTable.
 *
 * A new table can be used at once: CreateTable answers CREATING, as clients expect, and the record
 * that it has committed says ACTIVE. A deleted table is gone when DeleteTable answers; its items go
 * in the background (sweep.c). Rules and texts:
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
 */
#include "services/dynamodb/service.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/random.h"
#include "base/rc.h"
#include "kv/kv.h"
#include "services/dynamodb/count.h"

enum { KEY_PARTS_MAX = 2, LIST_TABLES_MAX = 100, NAME_BYTES_MIN = 3, NAME_BYTES_MAX = 255 };

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
	static const char *const members[] = {"LocalSecondaryIndexes", "GlobalSecondaryIndexes",
		"WarmThroughput", "ResourcePolicy", "OnDemandThroughput", "GlobalTableSourceArn",
		"GlobalTableSettingsReplicationMode"};
	const struct value *stream = value_get(c->in, "StreamSpecification");
	const struct value *sse = value_get(c->in, "SSESpecification");

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (value_has(c->in, members[i]))
			return dynamodb_not_implemented(c, members[i]);
	if (stream && value_bool(stream, "StreamEnabled", false))
		return dynamodb_not_implemented(c, "StreamSpecification");
	if (sse && value_bool(sse, "Enabled", false))
		return dynamodb_not_implemented(c, "SSESpecification");
	return 0;
}

static int invalid(struct call *c, const char *what)
{
	return call_fault(c, DYNAMODB_FAULT(VALIDATION),
		"One or more parameter values were invalid: %s", what);
}

int dynamodb_check_billing(struct call *c, bool on_demand, bool needs_units)
{
	bool units = value_has(c->in, "ProvisionedThroughput");

	if (on_demand && units)
		return invalid(c,
			"Neither ReadCapacityUnits nor WriteCapacityUnits can be specified "
			"when BillingMode is PAY_PER_REQUEST");
	if (!on_demand && needs_units && !units)
		return invalid(c, "ReadCapacityUnits and WriteCapacityUnits must both be specified "
				  "when BillingMode is PROVISIONED");
	return 0;
}

static int read_billing(struct call *c, struct table *t)
{
	const struct value *units = value_get(c->in, "ProvisionedThroughput");

	t->on_demand = str_eq(value_str(c->in, "BillingMode"), STR("PAY_PER_REQUEST"));
	TRY(dynamodb_check_billing(c, t->on_demand, true));
	if (t->on_demand) {
		t->on_demand_since_ms = c->wall_ms;
		return 0;
	}
	t->units.read_units = value_int(units, "ReadCapacityUnits", 0);
	t->units.write_units = value_int(units, "WriteCapacityUnits", 0);
	return 0;
}

/* "[a, b]" of a member of each element. */
static str names_of(struct arena *a, const struct value *list, const char *member)
{
	struct buf b;

	buf_init(&b, a, 64 * 1024);
	buf_put_char(&b, '[');
	for (uint32_t i = 0; i < value_count(list); i++) {
		if (i)
			buf_put(&b, STR(", "));
		buf_put(&b, value_str(value_at(list, i), member));
	}
	buf_put_char(&b, ']');
	return buf_str(&b);
}

/* The type that AttributeDefinitions gives a name; 0 when it is not among them. */
static char defined_type(const struct value *definitions, str name)
{
	for (uint32_t i = 0; i < value_count(definitions); i++)
		if (str_eq(value_str(value_at(definitions, i), "AttributeName"), name))
			return value_str(value_at(definitions, i), "AttributeType").p[0];
	return 0;
}

static int check_definitions(
	struct call *c, const struct value *schema, const struct value *definitions)
{
	for (uint32_t i = 0; i < value_count(schema); i++) {
		str name = value_str(value_at(schema, i), "AttributeName");

		if (!defined_type(definitions, name))
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"One or more parameter values were invalid: Some index key "
				"attributes "
				"are not defined in AttributeDefinitions. Keys: %.*s, "
				"AttributeDefinitions: %.*s",
				STR_ARG(names_of(c->arena, schema, "AttributeName")),
				STR_ARG(names_of(c->arena, definitions, "AttributeName")));
	}
	for (uint32_t i = 0; i < value_count(definitions); i++)
		for (uint32_t j = 0; j < i; j++)
			if (str_eq(value_str(value_at(definitions, i), "AttributeName"),
				    value_str(value_at(definitions, j), "AttributeName")))
				return invalid(
					c, "Duplicate AttributeName in AttributeDefinitions");
	if (value_count(definitions) != value_count(schema))
		return invalid(c,
			"Number of attributes in KeySchema does not exactly match number of "
			"attributes defined in AttributeDefinitions");
	return 0;
}

static int read_keys(struct call *c, struct table *t)
{
	const struct value *schema = value_get(c->in, "KeySchema");
	const struct value *definitions = value_get(c->in, "AttributeDefinitions");
	struct table_attribute *const part[KEY_PARTS_MAX] = {&t->partition, &t->sort};
	static const char *const role[KEY_PARTS_MAX] = {"HASH", "RANGE"};

	if (!schema)
		return invalid(c, "KeySchema must be specified");
	if (!definitions)
		return invalid(c, "AttributeDefinitions must be specified");
	if (value_count(schema) > KEY_PARTS_MAX)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"1 validation error detected: Value at 'keySchema' failed to satisfy "
			"constraint: Member must have length less than or equal to 2");
	for (uint32_t i = 0; i < value_count(schema); i++) {
		const struct value *element = value_at(schema, i);

		if (!str_eq(value_str(element, "KeyType"), str_c(role[i])))
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"Invalid KeySchema: The %s KeySchemaElement is not a %s key type",
				i == 0 ? "first" : "second", role[i]);
		part[i]->name = value_str(element, "AttributeName");
	}
	if (t->sort.name.p && str_eq(t->partition.name, t->sort.name))
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Both the Hash Key and the Range Key element in the KeySchema have the "
			"same name");
	TRY(check_definitions(c, schema, definitions));
	for (uint32_t i = 0; i < value_count(schema); i++)
		part[i]->type = defined_type(definitions, part[i]->name);
	return 0;
}

int dynamodb_too_many_tags(struct call *c)
{
	return invalid(c, "Too many tags: a table has at most 50");
}

int dynamodb_check_tags(struct call *c, const struct value *tags)
{
	if (value_count(tags) > TABLE_TAGS_MAX)
		return dynamodb_too_many_tags(c);
	for (uint32_t i = 0; i < value_count(tags); i++) {
		str key = value_str(value_at(tags, i), "Key");

		if (str_starts(key, STR("aws:")))
			return invalid(c, "Tag keys must not begin with aws:");
		for (uint32_t k = 0; k < i; k++)
			if (str_eq(value_str(value_at(tags, k), "Key"), key))
				return invalid(c, "Tag keys must be unique");
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

/* A new id: 63 bits, so that it is a number in JSON too. */
static uint64_t new_table_id(void)
{
	uint64_t id = 0;

	while (id == 0) {
		rt_random_bytes(&id, sizeof id);
		id &= INT64_MAX;
	}
	return id;
}

static str id_key(struct arena *a, uint64_t id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_DYNAMODB_META);
	keyspace_put(&key, STR("id"));
	buf_put_be64(&key, id);
	return buf_str(&key);
}

struct creation {
	struct call *c;
	struct table *table;
	str key, id_key, document;
};

/* 0, or ERR_EXISTS: the name is taken; 1: the id is, try another. */
static int create_in_store(struct kv_txn *txn, void *arg)
{
	struct creation *creation = arg;
	struct arena *a = creation->c->arena;
	str found;

	if (TRY(kv_txn_get(txn, creation->key, a, &found)))
		return ERR_EXISTS;
	if (TRY(kv_txn_get(txn, creation->id_key, a, &found)))
		return 1;
	kv_txn_put(txn, creation->key, creation->document);
	/* Stays for ever: an id names one table only. */
	kv_txn_put(txn, creation->id_key, creation->table->name);
	return 0;
}

static int create(struct call *c, struct table *t)
{
	struct dynamodb *d = dynamodb_of(c);
	struct creation creation = {.c = c, .table = t};
	int rc;

	creation.key = table_key(c->arena, t->account, t->region, t->name);
	do {
		t->id = new_table_id();
		creation.id_key = id_key(c->arena, t->id);
		creation.document = table_encode(c->arena, t);
		rc = kv_run(d->kv, (str[]){creation.key, creation.id_key}, 2, create_in_store,
			&creation, c->deadline_ns);
	} while (rc == 1 && rt_now() < c->deadline_ns);
	if (rc == ERR_EXISTS)
		return call_fault(c, DYNAMODB_FAULT(RESOURCE_IN_USE), "Table already exists: %.*s",
			STR_ARG(t->name));
	catalog_changed(d->catalog);
	return rc == 1 ? ERR_TIMEOUT : rc;
}

int dynamodb_create_table(struct call *c)
{
	struct table t = {.account = c->account, .region = c->region, .created_ms = c->wall_ms};
	char uuid[UUID_TEXT_BYTES];
	uint8_t random[16];

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &t.name));
	TRY(refuse_unbuilt(c));
	TRY(read_billing(c, &t));
	TRY(read_keys(c, &t));
	TRY(read_tags(c, &t));
	t.deletion_protection = value_bool(c->in, "DeletionProtectionEnabled", false);
	t.table_class = value_str(c->in, "TableClass");
	rt_random_bytes(random, sizeof random);
	uuid_v4_text(random, uuid);
	t.uuid = arena_str(c->arena, str_of(uuid, sizeof uuid)); /* the answer outlives us */
	t.arn = arena_printf(c->arena, "arn:aws:dynamodb:%.*s:%.*s:table/%.*s", STR_ARG(t.region),
		STR_ARG(t.account), STR_ARG(t.name));
	TRY(create(c, &t));
	table_describe(&t, "CREATING", &(struct table_figures){0, 0}, c->wall_ms,
		value_put_struct(c->out, "TableDescription"));
	return 0;
}

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
	table_describe(t, "ACTIVE", &figures, c->wall_ms, value_put_struct(c->out, "Table"));
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
	struct buf prefix;
	int rc;

	buf_init(&prefix, c->arena, KEYSPACE_KEY_MAX);
	keyspace_begin(&prefix, KEYSPACE_DYNAMODB_TABLES, c->account, c->region);
	l.prefix_bytes = prefix.n;
	l.range.to = keyspace_prefix_end(c->arena, buf_str(&prefix));
	l.range.from = start.p ? behind_name(c, start) : buf_str(&prefix);
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
	kv_txn_delete(txn, deletion->key);
	dynamodb_sweep_add(txn, a, t->id);
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
		figures = (struct table_figures){0, 0};
	deletion.id = t->id;
	deletion.key = table_key(c->arena, c->account, c->region, name);
	deletion.sweep_key = dynamodb_sweep_key(c->arena, t->id);
	rc = kv_run(d->kv, (str[]){deletion.key, deletion.sweep_key}, 2, delete_in_store, &deletion,
		c->deadline_ns);
	/* After an error too: the commit may have been done all the same. */
	catalog_changed(d->catalog);
	rt_event_set(&d->sweep_wanted);
	if (TRY(rc) == 0)
		return dynamodb_table_not_found(c, name);
	table_describe(
		t, "DELETING", &figures, c->wall_ms, value_put_struct(c->out, "TableDescription"));
	return 0;
}
