/*
 * BatchExecuteStatement: up to 25 statements, all reads or all writes, each on one item and on its
 * own: what is wrong with one is in its place of the answer and hinders no other.
 *
 * The statements run one after another, so the later ones see what the earlier have written.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html
 */
#include "services/dynamodb/partiql_run.h"
#include "services/dynamodb/service.h"

#include "base/check.h"

/* A statement of the batch. */
struct member {
	struct statement s;
	bool parsed, has_table, done;
	struct fault fault; /* when it failed */
	str item;           /* when it is done; STR_NULL: none */
};

struct batch {
	struct call *c;
	struct partiql_request q;
	struct member *members;
};

static void batch_done(struct batch *b)
{
	for (unsigned i = 0; b->members && i < b->q.count; i++)
		statement_done(&b->members[i].s);
}

/* Keeps what went wrong with one statement; other errors end the whole batch. */
static int keep_fault(struct batch *b, struct member *m, int rc)
{
	if (rc != ERR_FAULT)
		return rc;
	m->fault = b->c->fault;
	b->c->fault = (struct fault){.kind = NULL};
	return 0;
}

/* Reads and writes may not be mixed; what does not parse is neither. */
static int check_kinds(struct batch *b)
{
	bool reads = false, writes = false;

	for (unsigned i = 0; i < b->q.count; i++) {
		const struct member *m = &b->members[i];

		if (!m->parsed)
			continue;
		writes |= partiql_is_write(&m->s.ql);
		reads |= !partiql_is_write(&m->s.ql);
	}
	if (reads && writes)
		return call_fault(b->c, DYNAMODB_FAULT(VALIDATION),
			"The entire batch must consist of either read statements or write "
			"statements, you cannot mix both in one batch");
	return 0;
}

static int run_read(struct batch *b, struct member *m)
{
	struct partiql_plan plan;

	TRY(partiql_plan(&m->s.ql, statement_keys(&m->s), &plan));
	if (!plan.key.p || m->s.index)
		return call_fault(b->c, DYNAMODB_FAULT(VALIDATION),
			"Select statements within BatchExecuteStatement must specify the primary "
			"key in the where clause.");
	TRY(statement_read(b->c, &m->s, &plan, &m->item));
	return 0;
}

static int run(struct batch *b, struct member *m)
{
	TRY(statement_find(b->c, &m->s));
	m->has_table = true;
	TRY(partiql_is_write(&m->s.ql) ? statement_write(b->c, &m->s, &m->item) : run_read(b, m));
	m->done = true;
	return 0;
}

/* ---- the answer ---- */

/* The code of an error in BatchStatementErrorCodeEnum, by that of the exception. */
static const char *code_of(const struct fault *f)
{
	static const struct {
		const char *exception, *code;
	} codes[] = {
		{"ConditionalCheckFailedException", "ConditionalCheckFailed"},
		{"ItemCollectionSizeLimitExceededException", "ItemCollectionSizeLimitExceeded"},
		{"RequestLimitExceeded", "RequestLimitExceeded"},
		{"ValidationException", "ValidationError"},
		{"ProvisionedThroughputExceededException", "ProvisionedThroughputExceeded"},
		{"TransactionConflictException", "TransactionConflict"},
		{"ThrottlingException", "ThrottlingError"},
		{"ResourceNotFoundException", "ResourceNotFound"},
		{"AccessDeniedException", "AccessDenied"},
		{"DuplicateItemException", "DuplicateItem"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (str_eq(str_c(codes[i].exception), str_c(f->kind->code)))
			return codes[i].code;
	return "InternalServerError";
}

static void put_error(struct json_writer *w, const struct member *m)
{
	json_put_key(w, STR("Error"));
	json_put_object_begin(w);
	json_put_key_string(w, STR("Code"), str_c(code_of(&m->fault)));
	json_put_key_string(w, STR("Message"), m->fault.message);
	if (m->s.failed_item.p) {
		json_put_key(w, STR("Item"));
		item_write_json(w, m->s.failed_item);
	}
	json_put_object_end(w);
}

static void put_member(struct json_writer *w, const struct member *m)
{
	json_put_object_begin(w);
	if (!m->done)
		put_error(w, m);
	if (m->has_table)
		json_put_key_string(w, STR("TableName"), m->s.table->name);
	if (m->item.p) {
		json_put_key(w, STR("Item"));
		item_write_json(w, m->item);
	}
	json_put_object_end(w);
}

static void render(struct batch *b)
{
	struct json_writer json;

	json_writer_init(&json, &b->c->raw_out);
	json_put_object_begin(&json);
	json_put_key(&json, STR("Responses"));
	json_put_array_begin(&json);
	for (unsigned i = 0; i < b->q.count; i++)
		put_member(&json, &b->members[i]);
	json_put_array_end(&json);
	if (b->q.capacity != CAPACITY_NONE) {
		json_put_key(&json, STR("ConsumedCapacity"));
		json_put_array_begin(&json);
		for (unsigned i = 0; i < b->q.count; i++)
			if (b->members[i].done)
				statement_put_capacity(&json, &b->members[i].s, b->q.capacity);
		json_put_array_end(&json);
	}
	json_put_object_end(&json);
}

int dynamodb_batch_execute(struct call *c)
{
	struct batch b cleanup(batch_done) = {.c = c};
	int rc;

	TRY(partiql_request_read(c, PARTIQL_BATCH, &b.q));
	b.members = arena_new_array(c->arena, struct member, b.q.count);
	for (unsigned i = 0; i < b.q.count; i++) {
		rc = statement_parse_alone(c, &b.q.statements[i], &b.members[i].s);
		b.members[i].parsed = rc >= 0;
		TRY(keep_fault(&b, &b.members[i], rc));
	}
	TRY(check_kinds(&b));
	for (unsigned i = 0; i < b.q.count; i++)
		if (b.members[i].parsed)
			TRY(keep_fault(&b, &b.members[i], run(&b, &b.members[i])));
	render(&b);
	return 0;
}
