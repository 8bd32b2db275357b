/*
 * ExecuteTransaction: up to 100 statements, all reads, or all writes with EXISTS as their condition
 * checks; transact.h does the work.
 *
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ExecuteTransaction.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.multiplestatements.transactions.html
 */
#include "services/dynamodb/partiql_run.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/transact.h"

struct execution {
	struct call *c;
	struct partiql_request q;
	struct statement *statements;          /* one for each action */
	const struct expr_condition **filters; /* of reads: what else has to hold */
	struct transaction t;
	bool is_read;
};

static void execution_done(struct execution *e)
{
	transaction_done(&e->t);
	for (unsigned i = 0; e->statements && i < e->q.count; i++)
		statement_done(&e->statements[i]);
}

static int invalid(struct execution *e, const char *text)
{
	return call_fault(e->c, DYNAMODB_FAULT(VALIDATION), "%s", text);
}

static int parse(struct execution *e)
{
	bool reads = false, writes = false;

	for (unsigned i = 0; i < e->q.count; i++) {
		struct statement *s = &e->statements[i];

		TRY(statement_parse(e->c, &e->q.statements[i], s));
		reads |= s->ql.kind == PARTIQL_SELECT;
		writes |= s->ql.kind != PARTIQL_SELECT;
		if (s->ql.returns != RETURN_NONE)
			return invalid(e, "RETURNING clause is not supported in transactions.");
		if (s->ql.index.p)
			return invalid(
				e, "Reads on indices are not supported within transactions.");
	}
	if (reads && writes)
		return invalid(e, "The entire transaction must consist of either read statements "
				  "or write statements, you cannot mix both in one transaction");
	e->is_read = reads;
	return 0;
}

static int make_action(struct execution *e, unsigned i)
{
	struct transact_action *a = &e->t.actions[i];
	struct statement *s = &e->statements[i];

	a->given = s->ql.table;
	a->show_failed = s->show_failed;
	TRY(statement_make_write(e->c, s, &a->write));
	a->attributes = a->write.attributes;
	if (s->ql.kind == PARTIQL_EXISTS && !a->write.condition)
		return invalid(e, "The SELECT statement of EXISTS must specify a full primary key "
				  "and one other condition");
	if (e->is_read) {
		e->filters[i] = a->write.condition;
		a->write.condition = NULL;
	}
	return 0;
}

/* What was asked for: what a repetition with the same token must have in common. */
static void digest(struct execution *e)
{
	struct sha256 h;

	sha256_init(&h);
	for (unsigned i = 0; i < e->q.count; i++)
		partiql_input_digest(&h, &e->q.statements[i]);
	sha256_finish(&h, e->t.digest);
	e->t.token = e->q.token;
}

static int prepare(struct execution *e)
{
	struct arena *a = e->c->arena;
	unsigned count = e->q.count;

	e->statements = arena_new_array(a, struct statement, count);
	e->filters = arena_new_array(a, const struct expr_condition *, count);
	TRY(parse(e));
	for (unsigned i = 0; i < count; i++)
		TRY(statement_find(e->c, &e->statements[i]));
	e->t.actions = arena_new_array(a, struct transact_action, count);
	for (unsigned i = 0; i < count; i++)
		TRY(make_action(e, i));
	e->t.count = count;
	e->t.capacity = e->q.capacity;
	if (e->q.token.p && !e->is_read)
		digest(e);
	return 0;
}

static void put_response(struct json_writer *w, const struct execution *e, unsigned i)
{
	const struct partiql *ql = &e->statements[i].ql;
	str item = e->is_read ? e->t.actions[i].write.old_item : STR_NULL;
	struct buf part;

	json_put_object_begin(w);
	if (item.p && (!e->filters[i] || expr_matches(e->filters[i], item))) {
		buf_init(&part, e->c->arena, ITEM_ENCODED_MAX);
		partiql_project(ql, item, &part);
		json_put_key(w, STR("Item"));
		item_write_json(w, buf_str(&part));
	}
	json_put_object_end(w);
}

int dynamodb_execute_transaction(struct call *c)
{
	struct execution e cleanup(execution_done) = {.c = c, .t = {.c = c}};
	struct json_writer json;

	TRY(partiql_request_read(c, PARTIQL_TRANSACTION, &e.q));
	TRY(prepare(&e));
	TRY(e.is_read ? transaction_read(&e.t) : transaction_write(&e.t));
	json_writer_init(&json, &c->raw_out);
	json_put_object_begin(&json);
	json_put_key(&json, STR("Responses"));
	json_put_array_begin(&json);
	for (unsigned i = 0; i < e.q.count; i++)
		put_response(&json, &e, i);
	json_put_array_end(&json);
	transaction_put_figures(&json, &e.t, e.is_read);
	json_put_object_end(&json);
	return 0;
}
