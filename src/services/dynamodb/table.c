/*
 * Tables: the stored document. Pure.
 */
#include "services/dynamodb/table.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rc.h"
#include "services/dynamodb/expr.h"

enum { DOCUMENT_VERSION = 1 };

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

str table_arn(struct arena *a, const struct table *t)
{
	return arena_printf(a, "arn:aws:dynamodb:%.*s:%.*s:table/%.*s", STR_ARG(t->region),
		STR_ARG(t->account), STR_ARG(t->name));
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

/* A member that may be absent. */
static void put_given(struct json_writer *w, const char *key, str text)
{
	if (text.p)
		put_text(w, key, text);
}

static void put_attribute(struct json_writer *w, str name, str type)
{
	json_put_object_begin(w);
	put_text(w, "name", name);
	put_text(w, "type", type);
	json_put_object_end(w);
}

static void put_key_attribute(
	struct json_writer *w, const char *key, const struct table_attribute *at)
{
	if (!at->name.p)
		return;
	json_put_key(w, str_c(key));
	put_attribute(w, at->name, str_of(&at->type, 1));
}

static void put_key_attributes(
	struct json_writer *w, const char *key, const struct key_attribute *list, unsigned count)
{
	json_put_key(w, str_c(key));
	json_put_array_begin(w);
	for (unsigned i = 0; i < count; i++)
		put_attribute(w, list[i].name, attr_type_name(list[i].type));
	json_put_array_end(w);
}

static void put_units(struct json_writer *w, const struct table_throughput *units)
{
	put_number(w, "read_units", units->read_units);
	put_number(w, "write_units", units->write_units);
	put_number(w, "increased_ms", units->increased_ms);
	put_number(w, "decreased_ms", units->decreased_ms);
	put_number(w, "decreases", units->decreases);
	put_number(w, "read_max", units->read_max);
	put_number(w, "write_max", units->write_max);
	put_number(w, "warm_read", units->warm_read);
	put_number(w, "warm_write", units->warm_write);
}

static void put_scaling(struct json_writer *w, const char *key, const struct table_scaling *s)
{
	if (!s->enabled)
		return;
	json_put_key(w, str_c(key));
	json_put_object_begin(w);
	put_number(w, "minimum", s->minimum);
	put_number(w, "maximum", s->maximum);
	put_given(w, "role", s->role);
	put_given(w, "policy", s->policy);
	json_put_key(w, STR("disable_scale_in"));
	json_put_bool(w, s->disable_scale_in);
	put_number(w, "in_cooldown", s->in_cooldown);
	put_number(w, "out_cooldown", s->out_cooldown);
	json_put_key(w, STR("target"));
	json_put_double(w, s->target);
	json_put_object_end(w);
}

static void put_insights(struct json_writer *w, const struct table_insights *insights)
{
	put_number(w, "insights", insights->mode);
	put_number(w, "insights_ms", insights->changed_ms);
}

static void put_vector(struct json_writer *w, const struct table_vector *v)
{
	json_put_key(w, STR("vector"));
	json_put_object_begin(w);
	put_text(w, "attribute", v->attribute);
	put_number(w, "dimensions", v->dimensions);
	put_number(w, "distance", v->distance);
	json_put_key(w, STR("schema"));
	json_put_array_begin(w);
	for (size_t i = 0; i < v->schema_count; i++) {
		json_put_object_begin(w);
		put_text(w, "name", v->schema[i].attribute.name);
		put_text(w, "type", attr_type_name(v->schema[i].attribute.type));
		json_put_key(w, STR("hash"));
		json_put_bool(w, v->schema[i].hash);
		json_put_object_end(w);
	}
	json_put_array_end(w);
	json_put_object_end(w);
}

static void put_index(struct json_writer *w, const struct table_index *i)
{
	json_put_object_begin(w);
	put_number(w, "id", (int64_t)i->id);
	put_text(w, "name", i->name);
	json_put_key(w, STR("local"));
	json_put_bool(w, i->local);
	put_key_attributes(w, "partition", i->keys.partition, i->keys.partitions);
	put_key_attributes(w, "sort", i->keys.sort, i->keys.sorts);
	put_number(w, "projection", i->projection);
	json_put_key(w, STR("include"));
	json_put_array_begin(w);
	for (size_t k = 0; k < i->include_count; k++)
		json_put_string(w, i->include[k]);
	json_put_array_end(w);
	put_number(w, "status", i->status);
	json_put_key(w, STR("backfilling"));
	json_put_bool(w, i->backfilling);
	if (i->vector)
		put_vector(w, i->vector);
	put_units(w, &i->units);
	put_scaling(w, "read_scaling", &i->read_scaling);
	put_scaling(w, "write_scaling", &i->write_scaling);
	put_insights(w, &i->insights);
	json_put_object_end(w);
}

static void put_stream(struct json_writer *w, const struct table_stream *stream)
{
	if (!stream->id)
		return;
	json_put_key(w, STR("stream"));
	json_put_object_begin(w);
	put_number(w, "id", (int64_t)stream->id);
	put_text(w, "label", stream->label);
	put_number(w, "view", stream->view);
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
	put_key_attribute(&w, "partition", &t->partition);
	put_key_attribute(&w, "sort", &t->sort);
	json_put_key(&w, STR("indexes"));
	json_put_array_begin(&w);
	for (size_t i = 0; i < t->index_count; i++)
		put_index(&w, &t->indexes[i]);
	json_put_array_end(&w);
	put_stream(&w, &t->stream);
	put_given(&w, "last_stream_label", t->last_stream_label);
	put_given(&w, "ttl_attribute", t->ttl_attribute);
	put_number(&w, "ttl_changed_ms", t->ttl_changed_ms);
	json_put_key(&w, STR("on_demand"));
	json_put_bool(&w, t->on_demand);
	put_units(&w, &t->units);
	put_scaling(&w, "read_scaling", &t->read_scaling);
	put_scaling(&w, "write_scaling", &t->write_scaling);
	put_insights(&w, &t->insights);
	put_number(&w, "created_ms", t->created_ms);
	put_number(&w, "on_demand_since_ms", t->on_demand_since_ms);
	put_number(&w, "class_since_ms", t->class_since_ms);
	json_put_key(&w, STR("deletion_protection"));
	json_put_bool(&w, t->deletion_protection);
	put_given(&w, "class", t->table_class);
	put_given(&w, "sse_key", t->sse_key);
	put_given(&w, "policy", t->policy);
	put_given(&w, "policy_revision", t->policy_revision);
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

/* Elements of a list; 0 when it is none. */
static size_t count_of(const struct json_value *list)
{
	return list && list->kind == JSON_ARRAY ? list->count : 0;
}

static void decode_tags(struct table *t, const struct json_value *list)
{
	struct table_tag *tags;

	t->tag_count = count_of(list);
	tags = arena_new_array(&t->arena, struct table_tag, t->tag_count);
	for (size_t i = 0; i < t->tag_count; i++) {
		tags[i].key = json_text(json_get(json_at(list, i), STR("key")));
		tags[i].value = json_text(json_get(json_at(list, i), STR("value")));
	}
	t->tags = tags;
}

static struct table_throughput units_of(const struct json_value *v)
{
	return (struct table_throughput){.read_units = number_of(json_get(v, STR("read_units"))),
		.write_units = number_of(json_get(v, STR("write_units"))),
		.increased_ms = number_of(json_get(v, STR("increased_ms"))),
		.decreased_ms = number_of(json_get(v, STR("decreased_ms"))),
		.decreases = number_of(json_get(v, STR("decreases"))),
		.read_max = number_of(json_get(v, STR("read_max"))),
		.write_max = number_of(json_get(v, STR("write_max"))),
		.warm_read = number_of(json_get(v, STR("warm_read"))),
		.warm_write = number_of(json_get(v, STR("warm_write")))};
}

static int decode_scaling(struct table *t, const struct json_value *v, struct table_scaling *s)
{
	const struct json_value *target = json_get(v, STR("target"));
	struct json_reader r;

	if (!v)
		return 0;
	*s = (struct table_scaling){.enabled = true,
		.minimum = number_of(json_get(v, STR("minimum"))),
		.maximum = number_of(json_get(v, STR("maximum"))),
		.role = json_text(json_get(v, STR("role"))),
		.policy = json_text(json_get(v, STR("policy"))),
		.disable_scale_in = bool_of(json_get(v, STR("disable_scale_in"))),
		.in_cooldown = number_of(json_get(v, STR("in_cooldown"))),
		.out_cooldown = number_of(json_get(v, STR("out_cooldown")))};
	if (!target || target->kind != JSON_NUMBER)
		return ERR_CORRUPT;
	json_reader_init(&r, target->text, &t->arena, 1);
	return json_double(&r, &s->target);
}

static struct table_insights insights_of(const struct json_value *v)
{
	return (struct table_insights){
		.mode = (enum table_insights_mode)number_of(json_get(v, STR("insights"))),
		.changed_ms = number_of(json_get(v, STR("insights_ms")))};
}

static int decode_key_attributes(
	const struct json_value *list, struct key_attribute *to, uint8_t *ret_count)
{
	size_t n = count_of(list);

	if (n > KEY_ATTRIBUTES_MAX)
		return ERR_CORRUPT;
	for (size_t i = 0; i < n; i++) {
		to[i].name = json_text(json_get(json_at(list, i), STR("name")));
		if (attr_type_from_name(
			    json_text(json_get(json_at(list, i), STR("type"))), &to[i].type) != 1)
			return ERR_CORRUPT;
	}
	*ret_count = (uint8_t)n;
	return 0;
}

static size_t add_names(const struct key_attribute *list, unsigned count, str *names, size_t n)
{
	for (unsigned i = 0; i < count; i++) {
		size_t at = 0;

		while (at < n && !str_eq(names[at], list[i].name))
			at++;
		names[at] = list[i].name;
		n += at == n;
	}
	return n;
}

void table_index_finish(struct arena *a, const struct table *t, struct table_index *i)
{
	size_t searched = i->vector ? 1 + i->vector->schema_count : 0;
	str *names;
	size_t n = 0;

	i->arn = arena_printf(a, "%.*s/index/%.*s", STR_ARG(t->arn), STR_ARG(i->name));
	if (i->projection == PROJECTION_ALL)
		return;
	names = arena_new_array(a, str, 4 * KEY_ATTRIBUTES_MAX + i->include_count + searched);
	n = add_names(i->keys.partition, i->keys.partitions, names, n);
	n = add_names(i->keys.sort, i->keys.sorts, names, n);
	n = add_names(t->keys.partition, t->keys.partitions, names, n);
	n = add_names(t->keys.sort, t->keys.sorts, names, n);
	for (size_t k = 0; k < i->include_count; k++)
		n = add_names(&(struct key_attribute){.name = i->include[k]}, 1, names, n);
	if (i->vector)
		n = add_names(&(struct key_attribute){.name = i->vector->attribute}, 1, names, n);
	for (size_t k = 0; i->vector && k < i->vector->schema_count; k++)
		n = add_names(&i->vector->schema[k].attribute, 1, names, n);
	i->stored = expr_projection_of(a, names, n);
}

static int decode_vector(
	struct table *t, const struct json_value *v, const struct table_vector **ret_vector)
{
	struct table_vector *vector = arena_new(&t->arena, struct table_vector);
	const struct json_value *schema = json_get(v, STR("schema"));
	struct table_search_element *elements;

	vector->attribute = json_text(json_get(v, STR("attribute")));
	vector->dimensions = (uint32_t)number_of(json_get(v, STR("dimensions")));
	vector->distance = (enum vector_distance)number_of(json_get(v, STR("distance")));
	vector->schema_count = count_of(schema);
	if (!vector->attribute.n || !vector->dimensions ||
		vector->dimensions > VECTOR_DIMENSIONS_MAX ||
		(unsigned)vector->distance > VECTOR_EUCLIDEAN ||
		vector->schema_count > 1 + VECTOR_FILTERS_MAX)
		return ERR_CORRUPT;
	elements = arena_new_array(&t->arena, struct table_search_element, vector->schema_count);
	for (size_t i = 0; i < vector->schema_count; i++) {
		const struct json_value *element = json_at(schema, i);

		elements[i].attribute.name = json_text(json_get(element, STR("name")));
		elements[i].hash = bool_of(json_get(element, STR("hash")));
		if (attr_type_from_name(json_text(json_get(element, STR("type"))),
			    &elements[i].attribute.type) != 1)
			return ERR_CORRUPT;
	}
	vector->schema = elements;
	*ret_vector = vector;
	return 0;
}

/* After the table's own keys and name. */
static int decode_index(struct table *t, const struct json_value *v, struct table_index *i)
{
	const struct json_value *include = json_get(v, STR("include"));
	const struct json_value *vector = json_get(v, STR("vector"));
	str *names;

	i->id = (uint64_t)number_of(json_get(v, STR("id")));
	i->name = json_text(json_get(v, STR("name")));
	i->local = bool_of(json_get(v, STR("local")));
	TRY(decode_key_attributes(
		json_get(v, STR("partition")), i->keys.partition, &i->keys.partitions));
	TRY(decode_key_attributes(json_get(v, STR("sort")), i->keys.sort, &i->keys.sorts));
	i->projection = (enum table_projection)number_of(json_get(v, STR("projection")));
	i->include_count = count_of(include);
	names = arena_new_array(&t->arena, str, i->include_count);
	for (size_t k = 0; k < i->include_count; k++)
		names[k] = json_text(json_at(include, k));
	i->include = names;
	i->status = (enum table_index_status)number_of(json_get(v, STR("status")));
	i->backfilling = bool_of(json_get(v, STR("backfilling")));
	i->units = units_of(v);
	TRY(decode_scaling(t, json_get(v, STR("read_scaling")), &i->read_scaling));
	TRY(decode_scaling(t, json_get(v, STR("write_scaling")), &i->write_scaling));
	i->insights = insights_of(v);
	if (vector)
		TRY(decode_vector(t, vector, &i->vector));
	if (!i->id || !i->name.n || (!i->keys.partitions && !i->vector) ||
		(unsigned)i->projection > PROJECTION_INCLUDE ||
		(unsigned)i->status > INDEX_DELETING ||
		(unsigned)i->insights.mode > INSIGHTS_THROTTLED_KEYS)
		return ERR_CORRUPT;
	table_index_finish(&t->arena, t, i);
	return 0;
}

static int decode_indexes(struct table *t, const struct json_value *list)
{
	struct table_index *indexes;

	t->index_count = count_of(list);
	if (t->index_count > TABLE_INDEXES_MAX)
		return ERR_CORRUPT;
	indexes = arena_new_array(&t->arena, struct table_index, t->index_count);
	for (size_t i = 0; i < t->index_count; i++) {
		TRY(decode_index(t, json_at(list, i), &indexes[i]));
		if (indexes[i].local && t->local_count++ != i) /* local ones come first */
			return ERR_CORRUPT;
	}
	t->indexes = indexes;
	return 0;
}

static struct table_stream stream_of(const struct json_value *v)
{
	return (struct table_stream){.id = (uint64_t)number_of(json_get(v, STR("id"))),
		.label = json_text(json_get(v, STR("label"))),
		.view = (enum table_stream_view)number_of(json_get(v, STR("view")))};
}

static void add_key(const struct table_attribute *at, struct key_attribute *to, uint8_t *count)
{
	if (!at->name.p)
		return;
	to->name = at->name;
	check(attr_type_from_name(str_of(&at->type, 1), &to->type) == 1);
	*count = 1;
}

static int decode(struct table *t, str document)
{
	struct json_value *v;

	if (json_parse(&t->arena, arena_str(&t->arena, document), 8, &v, NULL) < 0 ||
		number_of(json_get(v, STR("version"))) != DOCUMENT_VERSION)
		return ERR_CORRUPT;
	t->id = (uint64_t)number_of(json_get(v, STR("id")));
	t->account = json_text(json_get(v, STR("account")));
	t->region = json_text(json_get(v, STR("region")));
	t->name = json_text(json_get(v, STR("name")));
	t->uuid = json_text(json_get(v, STR("uuid")));
	t->partition = attribute_of(json_get(v, STR("partition")));
	t->sort = attribute_of(json_get(v, STR("sort")));
	t->on_demand = bool_of(json_get(v, STR("on_demand")));
	t->units = units_of(v);
	TRY(decode_scaling(t, json_get(v, STR("read_scaling")), &t->read_scaling));
	TRY(decode_scaling(t, json_get(v, STR("write_scaling")), &t->write_scaling));
	t->insights = insights_of(v);
	t->created_ms = number_of(json_get(v, STR("created_ms")));
	t->on_demand_since_ms = number_of(json_get(v, STR("on_demand_since_ms")));
	t->class_since_ms = number_of(json_get(v, STR("class_since_ms")));
	t->deletion_protection = bool_of(json_get(v, STR("deletion_protection")));
	t->table_class = json_text(json_get(v, STR("class")));
	t->sse_key = json_text(json_get(v, STR("sse_key")));
	t->policy = json_text(json_get(v, STR("policy")));
	t->policy_revision = json_text(json_get(v, STR("policy_revision")));
	t->stream = stream_of(json_get(v, STR("stream")));
	t->last_stream_label = json_text(json_get(v, STR("last_stream_label")));
	t->ttl_attribute = json_text(json_get(v, STR("ttl_attribute")));
	t->ttl_changed_ms = number_of(json_get(v, STR("ttl_changed_ms")));
	decode_tags(t, json_get(v, STR("tags")));
	if (!t->id || !t->partition.name.n || !t->partition.type || !t->name.n ||
		(unsigned)t->insights.mode > INSIGHTS_THROTTLED_KEYS)
		return ERR_CORRUPT;
	add_key(&t->partition, t->keys.partition, &t->keys.partitions);
	add_key(&t->sort, t->keys.sort, &t->keys.sorts);
	t->arn = table_arn(&t->arena, t);
	return decode_indexes(t, json_get(v, STR("indexes")));
}

int table_decode(str document, struct table **ret_table)
{
	struct table *t = mem_new(struct table);
	int rc;

	arena_init(&t->arena, SIZE_MAX);
	t->refs = 1;
	rc = decode(t, document);
	if (rc < 0) {
		table_unref(t);
		return rc;
	}
	*ret_table = t;
	return 0;
}

size_t table_vector_count(const struct table *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->index_count; i++)
		n += t->indexes[i].vector != NULL;
	return n;
}

const struct table_index *table_index_named(const struct table *t, str name)
{
	for (size_t i = 0; i < t->index_count; i++)
		if (str_eq(t->indexes[i].name, name))
			return &t->indexes[i];
	return NULL;
}
