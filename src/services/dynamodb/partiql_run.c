/*
 * Running one PartiQL statement. Writes go the way of PutItem, UpdateItem and DeleteItem
 * (item_commit.h): INSERT is a put on the condition that there is no such item, UPDATE has the one
 * that there is, and DELETE is content without.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.statements.html
 */
#include "services/dynamodb/partiql_run.h"

#include "base/check.h"
#include "services/dynamodb/capacity.h"
#include "services/dynamodb/item_commit.h"
#include "services/dynamodb/page.h"
#include "services/dynamodb/record.h"
#include "services/dynamodb/service.h"

void statement_done(struct statement *s)
{
	flight_leave(&s->flight);
	table_unref(s->table);
}

int statement_parse(struct call *c, const struct partiql_input *in, struct statement *s)
{
	s->consistent = in->consistent;
	s->show_failed = in->show_failed;
	if (in->rule.p)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION), "%.*s", STR_ARG(in->rule));
	TRY(partiql_parse(
		c->arena, &c->fault, in->text, in->parameters, in->parameter_count, &s->ql));
	return 0;
}

int statement_parse_alone(struct call *c, const struct partiql_input *in, struct statement *s)
{
	TRY(statement_parse(c, in, s));
	if (s->ql.kind == PARTIQL_EXISTS)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"EXISTS is only supported in ExecuteTransaction");
	return 0;
}

static int authorize(struct call *c, const struct statement *s)
{
	static const str actions[] = {
		[PARTIQL_SELECT] = STR_INIT("dynamodb:PartiQLSelect"),
		[PARTIQL_INSERT] = STR_INIT("dynamodb:PartiQLInsert"),
		[PARTIQL_UPDATE] = STR_INIT("dynamodb:PartiQLUpdate"),
		[PARTIQL_DELETE] = STR_INIT("dynamodb:PartiQLDelete"),
		[PARTIQL_EXISTS] = STR_INIT("dynamodb:PartiQLSelect"),
	};
	str name;

	TRY(dynamodb_table_name(c, s->ql.table, &name));
	return call_authorize(c, actions[s->ql.kind],
		arena_printf(c->arena, "arn:aws:dynamodb:%.*s:%.*s:table/%.*s%s%.*s",
			STR_ARG(c->region), STR_ARG(c->account), STR_ARG(name),
			s->ql.index.p ? "/index/" : "", STR_ARG(s->ql.index)));
}

int statement_find(struct call *c, struct statement *s)
{
	TRY(authorize(c, s));
	if (partiql_is_write(&s->ql))
		s->flight = flight_enter(&dynamodb_of(c)->flights);
	TRY(dynamodb_table(c, s->ql.table, &s->table));
	if (!s->ql.index.p)
		return 0;
	s->index = table_index_named(s->table, s->ql.index);
	if (!s->index)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"The table does not have the specified index: %.*s", STR_ARG(s->ql.index));
	return page_check_kind(&(struct page_plan){.index = s->index}, false, c->arena, &c->fault);
}

const struct key_schema *statement_keys(const struct statement *s)
{
	return s->index ? &s->index->keys : &s->table->keys;
}

int statement_read(
	struct call *c, struct statement *s, const struct partiql_plan *plan, str *ret_item)
{
	struct buf key, part;
	str item, partition;

	check(plan->key.p && !s->index);
	buf_init(&key, c->arena, KEY_BYTES_MAX);
	key_put_table(&key, s->table->id);
	TRY(key_put_exact(&key, &s->table->keys, plan->key, c->arena, &c->fault));
	partition = key_collection(buf_str(&key), &s->table->keys);
	TRY(dynamodb_admit_read(c, s->table, NULL, partition));
	TRY(record_read(dynamodb_of(c)->kv, buf_str(&key), c->arena, &item));
	s->table_units = capacity_read(item.p ? item_size(item) : 0, s->consistent);
	dynamodb_pay_read(c, s->table, NULL, partition, s->table_units, NULL);
	if (!item.p || (plan->filter && !expr_matches(plan->filter, item)))
		return 0;
	buf_init(&part, c->arena, ITEM_ENCODED_MAX);
	partiql_project(&s->ql, item, &part);
	*ret_item = buf_str(&part);
	return 1;
}

int statement_make_write(struct call *c, struct statement *s, struct item_write *ret)
{
	const struct key_schema *keys = &s->table->keys;
	const struct expr_condition *rest = NULL;
	struct item_write w = {.table = s->table,
		.attributes = s->ql.item,
		.insert = s->ql.kind == PARTIQL_INSERT,
		.expr = &s->ql.expr,
		.throttle = dynamodb_of(c)->throttle,
		.update = s->ql.update};

	w.kind = w.insert                       ? ITEM_PUT
		 : s->ql.kind == PARTIQL_UPDATE ? ITEM_UPDATE
		 : s->ql.kind == PARTIQL_DELETE ? ITEM_DELETE
						: ITEM_CHECK;
	if (!w.insert)
		TRY(partiql_key(&s->ql, keys, &w.attributes, &rest));
	else if (item_size(w.attributes) > ITEM_SIZE_MAX)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Item size has exceeded the maximum allowed size");
	w.condition = w.kind == ITEM_CHECK ? rest : partiql_condition(&s->ql, keys, rest);
	*ret = w;
	return 0;
}

int statement_write(struct call *c, struct statement *s, str *ret_item)
{
	struct item_write w;
	int rc;

	TRY(statement_make_write(c, s, &w));
	TRY(item_write_place(&w, c->arena, &c->fault));
	rc = item_commit(c, &s->flight, &w, s->show_failed && !w.insert);
	if (rc == ERR_FAULT && w.condition_failed && s->show_failed)
		s->failed_item = w.old_item;
	TRY(rc);
	s->table_units = w.cost.table;
	memcpy(s->index_units, w.cost.index, sizeof s->index_units);
	*ret_item = item_returned(&w, s->ql.returns, c->arena);
	return 0;
}

void statement_put_capacity(
	struct json_writer *w, const struct statement *s, enum return_capacity capacity)
{
	capacity_put_object(w, capacity, s->ql.table, s->table, s->table_units, s->index_units);
}
