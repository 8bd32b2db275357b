/*
 * Tables: the stored document and the description. Pure.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
 */
#include "services/dynamodb/table.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rc.h"

enum { DOCUMENT_VERSION = 1, DAY_MS = 24 * 3600 * 1000 };

void table_unref(struct table *t)
{
	if (!t || --t->refs)
		return;
	arena_done(&t->arena);
	mem_free(t);
}

void table_unref_p(struct table **t)
{
	table_unref(*t);
}

str table_key(struct arena *a, str account, str region, str name)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_begin(&key, KEYSPACE_DYNAMODB_TABLES, account, region);
	keyspace_put(&key, name);
	return buf_str(&key);
}

static void put_text(struct json_writer *w, const char *key, str text)
{
	json_put_key(w, str_c(key));
	json_put_string(w, text);
}

static void put_number(struct json_writer *w, const char *key, int64_t number)
{
	json_put_key(w, str_c(key));
	json_put_i64(w, number);
}

static void put_attribute(struct json_writer *w, const char *key, const struct table_attribute *at)
{
	if (!at->name.p)
		return;
	json_put_key(w, str_c(key));
	json_put_object_begin(w);
	put_text(w, "name", at->name);
	put_text(w, "type", str_of(&at->type, 1));
	json_put_object_end(w);
}

str table_encode(struct arena *a, const struct table *t)
{
	struct json_writer w;
	struct buf b;

	check(t->id != 0 && t->partition.name.n && t->name.n);
	buf_init(&b, a, TABLE_DOCUMENT_MAX);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	put_number(&w, "version", DOCUMENT_VERSION);
	put_number(&w, "id", (int64_t)t->id);
	put_text(&w, "account", t->account);
	put_text(&w, "region", t->region);
	put_text(&w, "name", t->name);
	put_text(&w, "uuid", t->uuid);
	put_attribute(&w, "partition", &t->partition);
	put_attribute(&w, "sort", &t->sort);
	json_put_key(&w, STR("on_demand"));
	json_put_bool(&w, t->on_demand);
	put_number(&w, "read_units", t->read_units);
	put_number(&w, "write_units", t->write_units);
	put_number(&w, "created_ms", t->created_ms);
	put_number(&w, "on_demand_since_ms", t->on_demand_since_ms);
	put_number(&w, "increased_ms", t->increased_ms);
	put_number(&w, "decreased_ms", t->decreased_ms);
	put_number(&w, "decreases", t->decreases);
	put_number(&w, "class_since_ms", t->class_since_ms);
	json_put_key(&w, STR("deletion_protection"));
	json_put_bool(&w, t->deletion_protection);
	if (t->table_class.p)
		put_text(&w, "class", t->table_class);
	json_put_key(&w, STR("tags"));
	json_put_array_begin(&w);
	for (size_t i = 0; i < t->tag_count; i++) {
		json_put_object_begin(&w);
		put_text(&w, "key", t->tags[i].key);
		put_text(&w, "value", t->tags[i].value);
		json_put_object_end(&w);
	}
	json_put_array_end(&w);
	json_put_object_end(&w);
	check(!b.over);
	return buf_str(&b);
}

static int64_t number_of(const struct json_value *v)
{
	int64_t number = 0;

	if (v && v->kind == JSON_NUMBER && str_to_i64(v->text, &number) < 0)
		number = 0;
	return number;
}

static bool bool_of(const struct json_value *v)
{
	return v && v->kind == JSON_BOOL && v->boolean;
}

static struct table_attribute attribute_of(const struct json_value *v)
{
	str type = json_text(json_get(v, STR("type")));

	return (struct table_attribute){
		.name = json_text(json_get(v, STR("name"))), .type = type.n == 1 ? type.p[0] : 0};
}

static void decode_tags(struct table *t, const struct json_value *list)
{
	struct table_tag *tags;

	t->tag_count = list && list->kind == JSON_ARRAY ? list->count : 0;
	tags = arena_new_array(&t->arena, struct table_tag, t->tag_count);
	for (size_t i = 0; i < t->tag_count; i++) {
		tags[i].key = json_text(json_get(json_at(list, i), STR("key")));
		tags[i].value = json_text(json_get(json_at(list, i), STR("value")));
	}
	t->tags = tags;
}

static void add_key(const struct table_attribute *at, struct key_attribute *to, uint8_t *count)
{
	if (!at->name.p)
		return;
	to->name = at->name;
	check(attr_type_from_name(str_of(&at->type, 1), &to->type) == 1);
	*count = 1;
}

int table_decode(str document, struct table **ret_table)
{
	struct table *t = mem_new(struct table);
	struct json_value *v;

	arena_init(&t->arena, SIZE_MAX);
	t->refs = 1;
	if (json_parse(&t->arena, arena_str(&t->arena, document), 8, &v, NULL) < 0 ||
		number_of(json_get(v, STR("version"))) != DOCUMENT_VERSION) {
		table_unref(t);
		return ERR_CORRUPT;
	}
	t->id = (uint64_t)number_of(json_get(v, STR("id")));
	t->account = json_text(json_get(v, STR("account")));
	t->region = json_text(json_get(v, STR("region")));
	t->name = json_text(json_get(v, STR("name")));
	t->uuid = json_text(json_get(v, STR("uuid")));
	t->partition = attribute_of(json_get(v, STR("partition")));
	t->sort = attribute_of(json_get(v, STR("sort")));
	t->on_demand = bool_of(json_get(v, STR("on_demand")));
	t->read_units = number_of(json_get(v, STR("read_units")));
	t->write_units = number_of(json_get(v, STR("write_units")));
	t->created_ms = number_of(json_get(v, STR("created_ms")));
	t->on_demand_since_ms = number_of(json_get(v, STR("on_demand_since_ms")));
	t->increased_ms = number_of(json_get(v, STR("increased_ms")));
	t->decreased_ms = number_of(json_get(v, STR("decreased_ms")));
	t->decreases = number_of(json_get(v, STR("decreases")));
	t->class_since_ms = number_of(json_get(v, STR("class_since_ms")));
	t->deletion_protection = bool_of(json_get(v, STR("deletion_protection")));
	t->table_class = json_text(json_get(v, STR("class")));
	decode_tags(t, json_get(v, STR("tags")));
	if (!t->id || !t->partition.name.n || !t->partition.type || !t->name.n) {
		table_unref(t);
		return ERR_CORRUPT;
	}
	add_key(&t->partition, t->keys.partition, &t->keys.partitions);
	add_key(&t->sort, t->keys.sort, &t->keys.sorts);
	t->arn = arena_printf(&t->arena, "arn:aws:dynamodb:%.*s:%.*s:table/%.*s",
		STR_ARG(t->region), STR_ARG(t->account), STR_ARG(t->name));
	*ret_table = t;
	return 0;
}

/* The answer is rendered when the table may be gone: nothing in it points into the table. */
static void put_copy(struct value *v, const char *name, str text)
{
	value_put_str(v, name, arena_str(v->tree->arena, text));
}

static void describe_key(const struct table_attribute *at, const char *role,
	struct value *definitions, struct value *schema)
{
	struct value *v;

	if (!at->name.p)
		return;
	v = value_add_struct(definitions);
	put_copy(v, "AttributeName", at->name);
	put_copy(v, "AttributeType", str_of(&at->type, 1));
	v = value_add_struct(schema);
	put_copy(v, "AttributeName", at->name);
	put_copy(v, "KeyType", str_c(role));
}

static void describe_units(const struct table *t, int64_t now_ms, struct value *units)
{
	bool today = now_ms / DAY_MS == t->decreased_ms / DAY_MS;

	if (t->increased_ms)
		value_put_time_ms(units, "LastIncreaseDateTime", t->increased_ms);
	if (t->decreased_ms)
		value_put_time_ms(units, "LastDecreaseDateTime", t->decreased_ms);
	value_put_int(units, "NumberOfDecreasesToday", today ? t->decreases : 0);
	value_put_int(units, "ReadCapacityUnits", t->read_units);
	value_put_int(units, "WriteCapacityUnits", t->write_units);
}

static void describe_class(const struct table *t, struct value *class)
{
	put_copy(class, "TableClass", t->table_class);
	if (t->class_since_ms)
		value_put_time_ms(class, "LastUpdateDateTime", t->class_since_ms);
}

void table_describe(const struct table *t, const char *status, const struct table_figures *figures,
	int64_t now_ms, struct value *d)
{
	/* DeleteTable's answer does not tell what the table was like. */
	if (!str_eq(str_c(status), STR("DELETING"))) {
		struct value *definitions = value_put_list(d, "AttributeDefinitions");
		struct value *schema = value_put_list(d, "KeySchema");

		describe_key(&t->partition, "HASH", definitions, schema);
		describe_key(&t->sort, "RANGE", definitions, schema);
		value_put_time_ms(d, "CreationDateTime", t->created_ms);
	}
	put_copy(d, "TableName", t->name);
	put_copy(d, "TableStatus", str_c(status));
	describe_units(t, now_ms, value_put_struct(d, "ProvisionedThroughput"));
	value_put_int(d, "TableSizeBytes", figures->bytes);
	value_put_int(d, "ItemCount", figures->items);
	put_copy(d, "TableArn", t->arn);
	put_copy(d, "TableId", t->uuid);
	value_put_bool(d, "DeletionProtectionEnabled", t->deletion_protection);
	if (t->on_demand_since_ms) {
		struct value *billing = value_put_struct(d, "BillingModeSummary");

		put_copy(billing, "BillingMode",
			t->on_demand ? STR("PAY_PER_REQUEST") : STR("PROVISIONED"));
		value_put_time_ms(
			billing, "LastUpdateToPayPerRequestDateTime", t->on_demand_since_ms);
	}
	if (t->table_class.p)
		describe_class(t, value_put_struct(d, "TableClassSummary"));
}
