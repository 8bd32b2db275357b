/*
 * Condition keys; see condition_keys.h.
 */
#include "services/dynamodb/condition_keys.h"

#include "aws/policy.h"
#include "base/check.h"
#include "services/dynamodb/expr_ast.h"
#include "services/dynamodb/partiql.h"
#include "services/dynamodb/partiql_request.h"
#include "services/dynamodb/service.h"

enum {
	NAMES_MAX = 4096,
	LEADING_MAX = 512,
	OPERATIONS_READING = OPERATION_GET | OPERATION_QUERY | OPERATION_SCAN | OPERATION_SEARCH
};

struct gathering {
	struct call *c;
	str action;          /* without "dynamodb:" */
	str name;            /* of the table that is asked about */
	struct table *table; /* NULL: there is none */
	str names[NAMES_MAX], leading[LEADING_MAX];
	uint32_t name_count, leading_count;
	str select;  /* STR_NULL: nothing is read */
	str returns; /* of PartiQL's RETURNING */
	bool over;   /* more than there is room for: the keys would lie */
};

static void gathering_done(struct gathering **g)
{
	table_unref((*g)->table);
}

static void add_once(struct gathering *g, str *list, uint32_t *count, uint32_t max, str text)
{
	for (uint32_t i = 0; i < *count; i++)
		if (str_eq(list[i], text))
			return;
	if (*count == max)
		g->over = true;
	else
		list[(*count)++] = text;
}

static void add_name(struct gathering *g, str name)
{
	add_once(g, g->names, &g->name_count, NAMES_MAX, name);
}

/* The text of a key's value: as JSON has it. */
static void add_leading(struct gathering *g, str value)
{
	enum attr_type type = attr_type(value);
	struct json_value *v;
	struct json_writer w;
	struct buf text;

	if (type != ATTR_S && type != ATTR_N && type != ATTR_B)
		return; /* will be refused */
	buf_init(&text, g->c->arena, 2 * ITEM_SIZE_MAX);
	json_writer_init(&w, &text);
	attr_write_json(&w, value);
	check(json_parse(g->c->arena, buf_str(&text), 2, &v, NULL) == 0 && v->count == 1);
	add_once(g, g->leading, &g->leading_count, LEADING_MAX, v->members[0].value.text);
}

/* The attributes of an item or key, and the partition key's value. */
static void add_item(struct gathering *g, str item)
{
	struct attr_iter it;
	str name, value;

	if (!item.p)
		return;
	it = item_iter(item);
	while (attr_next(&it, &name, &value))
		add_name(g, name);
	if (g->table && item_find(item, g->table->partition.name, &value))
		add_leading(g, value);
}

/* ---- expressions ---- */

static bool is_keyword(str word)
{
	static const str words[] = {STR_INIT("AND"), STR_INIT("OR"), STR_INIT("NOT"),
		STR_INIT("IN"), STR_INIT("BETWEEN"), STR_INIT("SET"), STR_INIT("REMOVE"),
		STR_INIT("ADD"), STR_INIT("DELETE")};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (str_eq_nocase(words[i], word))
			return true;
	return false;
}

/* Words that begin a path. */
static int add_expression(struct gathering *g, struct expr *e, enum expr_kind kind, str text)
{
	struct parser p;

	if (!text.p)
		return 0;
	TRY(parser_init(&p, e, kind, text));
	for (uint32_t i = 0; p.tokens[i].kind != TOKEN_END; i++) {
		const struct token *t = &p.tokens[i];

		if ((i && p.tokens[i - 1].kind == TOKEN_DOT) || p.tokens[i + 1].kind == TOKEN_OPEN)
			continue;
		if (t->kind == TOKEN_WORD && !is_keyword(t->text))
			add_name(g, t->text);
		for (uint32_t k = 0; t->kind == TOKEN_NAME && k < e->name_count; k++)
			if (str_eq(e->names[k].token, t->text))
				add_name(g, e->names[k].name);
	}
	return 0;
}

/* ---- requests on one item, Query, Scan ---- */

static void add_legacy(struct gathering *g, const struct item_request *q)
{
	const struct legacy_conditions *all[] = {&q->expected, &q->key_conditions, &q->filters};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (const struct legacy_condition *l = all[i]->first; l; l = l->next)
			add_name(g, l->name);
	for (const struct legacy_update *u = q->updates.first; u; u = u->next)
		add_name(g, u->name);
	for (uint32_t i = 0; i < q->attributes.count; i++)
		add_name(g, q->attributes.names[i]);
}

/* The partition of a Query: of the index that it reads. */
static int add_query_keys(struct gathering *g, struct item_request *q)
{
	const struct expr_condition *parsed = q->legacy.key_terms;
	const struct table_index *index =
		g->table && q->index.p ? table_index_named(g->table, q->index) : NULL;
	const struct key_schema *keys;
	struct key_condition condition;

	if (!g->table || (q->index.p && (!index || index->vector)) ||
		(!parsed && !q->key_condition.p))
		return 0;
	keys = index ? &index->keys : &g->table->keys;
	if (!parsed)
		TRY(expr_parse_key_terms(&q->expr, q->key_condition, &parsed));
	TRY(expr_match_key_condition(&q->expr, parsed, keys, &condition));
	for (unsigned i = 0; i < keys->partitions; i++)
		add_leading(g, condition.partition[i]);
	return 0;
}

/* Of several reads the one that gives more than named attributes counts. */
static void add_select(struct gathering *g, str select)
{
	if (!g->select.p || !str_eq(select, STR("SPECIFIC_ATTRIBUTES")))
		g->select = select;
}

/*
 * What a read gives, whether the request says so or not: "If neither Select nor
 * ProjectionExpression are specified, DynamoDB defaults to ALL_ATTRIBUTES when accessing a table,
 * and ALL_PROJECTED_ATTRIBUTES when accessing an index" (API_Query.html). So a policy can demand
 * that attributes are named:
 * IAM/latest/UserGuide/reference_policies_examples_dynamodb_attributes.html
 */
static void add_selected(struct gathering *g, const struct item_request *q)
{
	if (q->select.p)
		add_select(g, q->select);
	else if (q->projection.p || q->attributes.given)
		add_select(g, STR("SPECIFIC_ATTRIBUTES"));
	else
		add_select(g, q->index.p ? STR("ALL_PROJECTED_ATTRIBUTES") : STR("ALL_ATTRIBUTES"));
}

/* The partition of a vector index that is searched. */
static int add_search_keys(struct gathering *g, struct item_request *q)
{
	const struct table_index *index =
		g->table && q->index.p ? table_index_named(g->table, q->index) : NULL;
	struct expr_equalities equal;

	TRY(add_expression(g, &q->expr, EXPR_SEARCH_CONDITION, q->search_condition));
	if (!index || !index->vector || !index->keys.partitions || !q->search_condition.p)
		return 0;
	TRY(expr_parse_equalities(&q->expr, q->search_condition, &equal));
	for (size_t i = 0; i < equal.n; i++)
		if (str_eq(equal.list[i].name, index->keys.partition[0].name))
			add_leading(g, equal.list[i].value);
	return 0;
}

static int add_request(struct gathering *g, struct item_request *q)
{
	add_item(g, q->item);
	add_item(g, q->key);
	TRY(add_expression(g, &q->expr, EXPR_CONDITION, q->condition));
	TRY(add_expression(g, &q->expr, EXPR_UPDATE, q->update));
	TRY(add_expression(g, &q->expr, EXPR_FILTER, q->filter));
	TRY(add_expression(g, &q->expr, EXPR_KEY_CONDITION, q->key_condition));
	TRY(add_expression(g, &q->expr, EXPR_PROJECTION, q->projection));
	add_legacy(g, q);
	if (q->operation == OPERATION_SEARCH)
		return add_search_keys(g, q);
	return q->operation == OPERATION_QUERY ? add_query_keys(g, q) : 0;
}

static int add_single(
	struct gathering *g, enum item_operation operation, struct policy_context *context)
{
	struct item_request *q = arena_new(g->c->arena, struct item_request);

	TRY(item_request_read(g->c, operation, q));
	if (operation & OPERATIONS_READING)
		add_selected(g, q);
	policy_context_add(context, STR("dynamodb:ReturnValues"), q->return_values);
	policy_context_add(context, STR("dynamodb:ReturnConsumedCapacity"), q->return_capacity);
	return add_request(g, q);
}

/* ---- batches and transactions ---- */

static bool is_ours(const struct gathering *g, str given)
{
	ptrdiff_t slash = str_starts(given, STR("arn:")) ? str_find(given, '/') : -1;

	return str_eq(str_from(given, (size_t)(slash + 1)), g->name);
}

/* A part of the body as one of an operation's inputs; `reads`: it says what is read. */
static int add_part(struct gathering *g, const struct json_value *part,
	enum item_operation operation, bool reads)
{
	struct item_request *q = arena_new(g->c->arena, struct item_request);
	struct json_reader json;
	struct json_writer w;
	struct buf text;

	buf_init(&text, g->c->arena, ITEM_ENCODED_MAX);
	json_writer_init(&w, &text);
	json_put_value(&w, part);
	item_request_init(g->c, operation, q);
	json_reader_init(&json, buf_str(&text), g->c->arena, REQUEST_DEPTH_MAX);
	TRY(item_request_read_object(g->c, &json, q));
	if (reads)
		add_selected(g, q);
	return add_request(g, q);
}

/*
 * The member as the operations read it: of equal ones the last, and null is none. What is looked at
 * here has to be what is done.
 */
static const struct json_value *member(const struct json_value *v, str key)
{
	if (!v || v->kind != JSON_OBJECT)
		return NULL;
	for (uint32_t i = v->count; i-- > 0;)
		if (v->members[i].value.kind != JSON_NULL && str_eq(v->members[i].key, key))
			return &v->members[i].value;
	return NULL;
}

static int add_batch_write(struct gathering *g, const struct json_value *writes)
{
	for (uint32_t i = 0; writes->kind == JSON_ARRAY && i < writes->count; i++) {
		const struct json_value *put = member(&writes->items[i], STR("PutRequest"));
		const struct json_value *delete = member(&writes->items[i], STR("DeleteRequest"));

		if (put)
			TRY(add_part(g, put, OPERATION_PUT, false));
		if (delete)
			TRY(add_part(g, delete, OPERATION_DELETE, false));
	}
	return 0;
}

static int add_batch_get(struct gathering *g, const struct json_value *gets)
{
	const struct json_value *keys = member(gets, STR("Keys"));

	for (uint32_t i = 0; keys && keys->kind == JSON_ARRAY && i < keys->count; i++) {
		struct json_member key = {STR("Key"), keys->items[i]};
		struct json_value one = {.kind = JSON_OBJECT, .count = 1, .members = &key};

		TRY(add_part(g, &one, OPERATION_GET, false));
	}
	return add_part(g, gets, OPERATION_GET, true); /* projection and names */
}

static int add_batch(struct gathering *g, const struct json_value *body, bool writes)
{
	const struct json_value *parts = member(body, STR("RequestItems"));

	for (uint32_t i = 0; parts && parts->kind == JSON_OBJECT && i < parts->count; i++)
		if (is_ours(g, parts->members[i].key))
			TRY(writes ? add_batch_write(g, &parts->members[i].value)
				   : add_batch_get(g, &parts->members[i].value));
	return 0;
}

static int add_transaction(struct gathering *g, const struct json_value *body)
{
	static const struct {
		str action, member;
		enum item_operation operation;
	} kinds[] = {
		{STR_INIT("PutItem"), STR_INIT("Put"), ACTION_OF_PUT},
		{STR_INIT("UpdateItem"), STR_INIT("Update"), ACTION_OF_UPDATE},
		{STR_INIT("DeleteItem"), STR_INIT("Delete"), ACTION_OF_DELETE},
		{STR_INIT("ConditionCheckItem"), STR_INIT("ConditionCheck"), ACTION_OF_CHECK},
		{STR_INIT("GetItem"), STR_INIT("Get"), ACTION_OF_GET},
	};
	const struct json_value *items = member(body, STR("TransactItems"));

	for (uint32_t i = 0; items && items->kind == JSON_ARRAY && i < items->count; i++)
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			const struct json_value *part = member(&items->items[i], kinds[k].member);

			if (part && str_eq(kinds[k].action, g->action) &&
				is_ours(g, json_text(member(part, STR("TableName")))))
				TRY(add_part(g, part, kinds[k].operation,
					kinds[k].operation == ACTION_OF_GET));
		}
	return 0;
}

/* ---- PartiQL ---- */

/* RETURNING in the words of ReturnValues; of several ones that which tells most. */
static void add_returns(struct gathering *g, enum return_values returns)
{
	static const str names[] = {
		[RETURN_ALL_OLD] = STR_INIT("ALL_OLD"),
		[RETURN_UPDATED_OLD] = STR_INIT("UPDATED_OLD"),
		[RETURN_ALL_NEW] = STR_INIT("ALL_NEW"),
		[RETURN_UPDATED_NEW] = STR_INIT("UPDATED_NEW"),
	};
	bool all = returns == RETURN_ALL_OLD || returns == RETURN_ALL_NEW;

	if (returns != RETURN_NONE && (all || !g->returns.p))
		g->returns = names[returns];
}

/* "a, b" of expr_..._beyond(). */
static void add_listed(struct gathering *g, str names)
{
	while (names.n) {
		ptrdiff_t at = str_find_str(names, STR(", "));

		add_name(g, at < 0 ? names : str_sub(names, 0, (size_t)at));
		names = at < 0 ? STR("") : str_from(names, (size_t)at + 2);
	}
}

static int add_statement_keys(struct gathering *g, struct partiql *ql, bool *full_scan)
{
	const struct table_index *index =
		ql->index.p ? table_index_named(g->table, ql->index) : NULL;
	const struct key_schema *keys = index ? &index->keys : &g->table->keys;
	const struct expr_condition *rest;
	struct partiql_plan plan;
	str key;

	if (ql->kind == PARTIQL_SELECT) {
		TRY(partiql_plan(ql, keys, &plan));
		*full_scan |= plan.count == 0;
		for (unsigned i = 0; i < plan.count; i++)
			for (unsigned k = 0; k < keys->partitions; k++)
				add_leading(g, plan.conditions[i].partition[k]);
	} else if (ql->kind != PARTIQL_INSERT) {
		TRY(partiql_key(ql, keys, &key, &rest));
		add_item(g, key);
	}
	return 0;
}

static int add_statement(struct gathering *g, struct partiql *ql, bool *full_scan)
{
	const struct expr_projection *nothing = expr_projection_of(g->c->arena, NULL, 0);

	add_item(g, ql->item);
	add_returns(g, ql->returns);
	if (ql->kind == PARTIQL_SELECT)
		add_select(g, ql->output_count ? STR("SPECIFIC_ATTRIBUTES")
			      : ql->index.p    ? STR("ALL_PROJECTED_ATTRIBUTES")
					       : STR("ALL_ATTRIBUTES"));
	for (uint32_t i = 0; i < ql->output_count; i++)
		add_name(g, ql->outputs[i].path.elements[0].name);
	for (unsigned i = 0; i < ql->orders; i++)
		add_name(g, ql->order[i].name);
	if (ql->where)
		add_listed(g, expr_condition_beyond(ql->where, nothing, g->c->arena));
	if (ql->update)
		add_listed(g, expr_projection_beyond(
				      expr_update_touched(ql->update), nothing, g->c->arena));
	return g->table ? add_statement_keys(g, ql, full_scan) : 0;
}

static int add_statements(
	struct gathering *g, enum partiql_operation operation, struct policy_context *context)
{
	static const str actions[] = {
		[PARTIQL_SELECT] = STR_INIT("PartiQLSelect"),
		[PARTIQL_INSERT] = STR_INIT("PartiQLInsert"),
		[PARTIQL_UPDATE] = STR_INIT("PartiQLUpdate"),
		[PARTIQL_DELETE] = STR_INIT("PartiQLDelete"),
		[PARTIQL_EXISTS] = STR_INIT("PartiQLSelect"),
	};
	struct partiql_request q;
	bool full_scan = false;

	TRY(partiql_request_read(g->c, operation, &q));
	for (unsigned i = 0; i < q.count; i++) {
		const struct partiql_input *in = &q.statements[i];
		struct fault
			ignored; /* of a statement that will be refused, here or in its place */
		struct partiql *ql = arena_new(g->c->arena, struct partiql);

		if (in->rule.p || partiql_parse(g->c->arena, &ignored, in->text, in->parameters,
					  in->parameter_count, ql) < 0)
			continue;
		if (!str_eq(actions[ql->kind], g->action) || !is_ours(g, ql->table))
			continue;
		if (add_statement(g, ql, &full_scan) < 0)
			g->c->fault = (struct fault){.kind = NULL};
	}
	policy_context_add(context, STR("dynamodb:ReturnValues"), g->returns);
	if (str_eq(g->action, STR("PartiQLSelect")))
		policy_context_add(context, STR("dynamodb:FullTableScan"),
			full_scan ? STR("true") : STR("false"));
	return 0;
}

/* ---- all of them ---- */

static int gather(struct gathering *g, str operation, struct policy_context *context)
{
	static const struct {
		str name;
		enum item_operation operation;
	} singles[] = {
		{STR_INIT("PutItem"), OPERATION_PUT},
		{STR_INIT("GetItem"), OPERATION_GET},
		{STR_INIT("DeleteItem"), OPERATION_DELETE},
		{STR_INIT("UpdateItem"), OPERATION_UPDATE},
		{STR_INIT("Query"), OPERATION_QUERY},
		{STR_INIT("Scan"), OPERATION_SCAN},
		{STR_INIT("SearchVectors"), OPERATION_SEARCH},
	};
	static const struct {
		str name;
		enum partiql_operation operation;
	} statements[] = {
		{STR_INIT("ExecuteStatement"), PARTIQL_ONE},
		{STR_INIT("BatchExecuteStatement"), PARTIQL_BATCH},
		{STR_INIT("ExecuteTransaction"), PARTIQL_TRANSACTION},
	};
	struct json_value *body;

	for (size_t i = 0; i < ARRAY_SIZE(singles); i++)
		if (str_eq(operation, singles[i].name))
			return add_single(g, singles[i].operation, context);
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
		if (str_eq(operation, statements[i].name))
			return add_statements(g, statements[i].operation, context);
	if (json_parse(g->c->arena, g->c->body, REQUEST_DEPTH_MAX, &body, NULL) < 0)
		return dynamodb_unreadable(g->c, ERR_SYNTAX);
	policy_context_add(context, STR("dynamodb:ReturnConsumedCapacity"),
		json_text(member(body, STR("ReturnConsumedCapacity"))));
	if (str_starts(operation, STR("Batch")))
		return add_batch(g, body, str_eq(operation, STR("BatchWriteItem")));
	policy_context_add(context, STR("dynamodb:EnclosingOperation"), operation);
	return add_transaction(g, body);
}

int condition_keys_add(struct call *c, str action, str arn, struct policy_context *context)
{
	struct gathering *g cleanup(gathering_done) = arena_new(c->arena, struct gathering);
	ptrdiff_t slash = str_find(arn, '/'), colon = str_find(action, ':');

	if (!(c->row->flags & ROW_RAW_BODY) || slash < 0)
		return 0;
	g->c = c;
	g->action = str_from(action, (size_t)(colon + 1));
	g->name = str_from(arn, (size_t)slash + 1);
	slash = str_find(g->name, '/'); /* of an index */
	if (slash >= 0)
		g->name = str_sub(g->name, 0, (size_t)slash);
	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, g->name, &g->table)))
		g->table = NULL;
	TRY(gather(g, model_str(c->service->model, c->operation->name), context));
	if (g->over)
		return ERR_TOO_LARGE;
	policy_context_add(context, STR("dynamodb:Select"), g->select);
	if (g->leading_count)
		policy_context_add_list(
			context, STR("dynamodb:LeadingKeys"), g->leading, g->leading_count);
	if (g->name_count)
		policy_context_add_list(
			context, STR("dynamodb:Attributes"), g->names, g->name_count);
	return 0;
}
