/*
 * ExecuteStatement.
 *
 * A SELECT is planned (partiql.h) and read by the pages of Query and Scan (page.h): one key
 * condition after another, each begun where the page before has ended. NextToken holds the number
 * of the key condition and LastEvaluatedKey, and a code that only this table, statement and
 * parameters give; whoever changes one of them has another request. With the whole key it is a
 * look-up. https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ExecuteStatement.html
 */
#include "services/dynamodb/page.h"
#include "services/dynamodb/partiql_run.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/token.h"

#include "base/check.h"
#include "base/hash.h"

enum { TOKEN_VERSION = 1, TOKEN_CODE_BYTES = 16, TOKEN_BYTES_MAX = 16 * 1024 };

/* An ExecuteStatement, from its request to its answer. */
struct execution {
	struct call *c;
	struct partiql_request q;
	struct statement s;
	struct partiql_plan plan;
	struct json_writer json;
	struct buf part; /* what is given of one item */
	/* Where to begin, and where it ended; key STR_NULL: at the begin, at the end. */
	unsigned first, last;
	str first_key, last_key;
};

static void execution_done(struct execution *e)
{
	statement_done(&e->s);
}

/* ---- NextToken ---- */

/* The code of a token's content; `ret_code` has SHA256_BYTES. */
static void token_code(const struct execution *e, str content, uint8_t *ret_code)
{
	struct hmac_key key;
	struct sha256 h;

	hmac_key_init(&key, e->s.table->uuid);
	h = key.inner;
	token_digest_add(&h, content);
	partiql_input_digest(&h, e->q.statements);
	hmac_finish(&key, &h, ret_code);
}

static str put_token(struct execution *e)
{
	uint8_t code[SHA256_BYTES];
	struct buf content, text;

	buf_init(&content, e->c->arena, TOKEN_BYTES_MAX);
	buf_put_char(&content, TOKEN_VERSION);
	buf_put_varint(&content, e->last);
	buf_put(&content, e->last_key);
	check(!content.over); /* keys are far shorter */
	token_code(e, buf_str(&content), code);
	buf_put(&content, str_of(code, TOKEN_CODE_BYTES));
	buf_init(&text, e->c->arena, 2 * TOKEN_BYTES_MAX);
	base64url_put(&text, buf_str(&content));
	return buf_str(&text);
}

/* 1, or 0 when the token is none of ours for this request. */
static int take_token(struct execution *e)
{
	uint8_t *bytes = arena_alloc(e->c->arena, base64_bytes_max(e->q.token.n)),
		code[SHA256_BYTES];
	uint64_t number;
	uint8_t version;
	str content;
	size_t n;

	if (base64url_decode(e->q.token, bytes, &n) < 0 || n <= TOKEN_CODE_BYTES)
		return 0;
	content = str_of(bytes, n - TOKEN_CODE_BYTES);
	token_code(e, content, code);
	if (!str_eq_secret(
		    str_of(bytes + content.n, TOKEN_CODE_BYTES), str_of(code, TOKEN_CODE_BYTES)))
		return 0;
	/* A table's id is no secret: the content is looked at like that of a stranger. */
	if (!str_take_u8(&content, &version) || version != TOKEN_VERSION ||
		!str_take_varint(&content, &number) || number >= MAX(e->plan.count, 1u) ||
		!item_is_valid(content))
		return 0;
	e->first = (unsigned)number;
	e->first_key = content;
	return 1;
}

static int wrong_token(struct execution *e)
{
	return call_fault(e->c, DYNAMODB_FAULT(VALIDATION), "NextToken does not match request");
}

/* ---- SELECT ---- */

static void give(void *arg, str item)
{
	struct execution *e = arg;

	buf_reset(&e->part);
	partiql_project(&e->s.ql, item, &e->part);
	item_write_json(&e->json, buf_str(&e->part));
}

/* The attributes that the statement gives, for what an index has to hold. */
static const struct expr_projection *asked_for(struct execution *e)
{
	const struct partiql *ql = &e->s.ql;
	str *names;

	if (ql->output_count == 0 || !e->s.index)
		return NULL;
	names = arena_new_array(e->c->arena, str, ql->output_count);
	for (uint32_t i = 0; i < ql->output_count; i++)
		names[i] = ql->outputs[i].path.elements[0].name;
	return expr_projection_of(e->c->arena, names, ql->output_count);
}

static int read_pages(struct execution *e)
{
	struct call *c = e->c;
	struct page_plan plan = {.table = e->s.table,
		.index = e->s.index,
		.condition = e->plan.conditions,
		.segments = 1,
		.filter = e->plan.filter,
		.projection = asked_for(e),
		.reverse = e->plan.reverse,
		.consistent = e->s.consistent,
		.limit = e->q.limit,
		.start = e->first_key};
	struct page page;
	str partition;

	if (e->plan.count > 1 && (plan.limit == 0 || plan.limit > PARTIQL_PARTITIONS_PAGE))
		plan.limit = PARTIQL_PARTITIONS_PAGE;
	TRY(page_check(&plan, c->arena, &c->fault));
	for (unsigned i = e->first; i < MAX(e->plan.count, 1u); i++) {
		if (e->plan.count)
			plan.condition = &e->plan.conditions[i];
		partition = dynamodb_of(c)->throttle ? page_partition(&plan, c->arena) : STR_NULL;
		TRY(dynamodb_admit_read(c, e->s.table, e->s.index, partition));
		TRY(page_read(dynamodb_of(c)->kv, &plan, c->arena, c->deadline_ns, give, e, &page,
			&c->fault));
		dynamodb_pay_read(
			c, e->s.table, e->s.index, partition, page.table_units, page.index_units);
		e->s.table_units += page.table_units;
		for (size_t k = 0; k < e->s.table->index_count; k++)
			e->s.index_units[k] += page.index_units[k];
		e->last = i;
		e->last_key = page.last;
		if (page.last.p)
			break;
		/* Less was read than the limit, or the page would go on. */
		plan.limit -= page.scanned;
		plan.start = STR_NULL;
	}
	return 0;
}

static int run_select(struct execution *e)
{
	str item;

	TRY(partiql_plan(&e->s.ql, statement_keys(&e->s), &e->plan));
	if (e->q.token.p && !take_token(e))
		return wrong_token(e);
	if (!e->plan.key.p || e->s.index)
		return read_pages(e);
	if (e->q.token.p)
		return wrong_token(e);
	if (TRY(statement_read(e->c, &e->s, &e->plan, &item)))
		item_write_json(&e->json, item);
	return 0;
}

static int run_write(struct execution *e)
{
	str item;

	if (e->q.token.p)
		return wrong_token(e);
	TRY(statement_write(e->c, &e->s, &item));
	if (item.p)
		item_write_json(&e->json, item);
	return 0;
}

int dynamodb_execute_statement(struct call *c)
{
	struct execution e cleanup(execution_done) = {
		.c = c, .first_key = STR_NULL, .last_key = STR_NULL};
	struct json_writer *json = &e.json;

	TRY(partiql_request_read(c, PARTIQL_ONE, &e.q));
	TRY(statement_parse_alone(c, e.q.statements, &e.s));
	TRY(statement_find(c, &e.s));
	buf_init(&e.part, c->arena, ITEM_ENCODED_MAX);
	json_writer_init(json, &c->raw_out);
	json_put_object_begin(json);
	json_put_key(json, STR("Items"));
	json_put_array_begin(json);
	TRY(partiql_is_write(&e.s.ql) ? run_write(&e) : run_select(&e));
	json_put_array_end(json);
	if (e.last_key.p) {
		json_put_key_string(json, STR("NextToken"), put_token(&e));
		json_put_key(json, STR("LastEvaluatedKey"));
		item_write_json(json, e.last_key);
	}
	if (e.q.capacity != CAPACITY_NONE) {
		json_put_key(json, STR("ConsumedCapacity"));
		statement_put_capacity(json, &e.s, e.q.capacity);
	}
	json_put_object_end(json);
	return 0;
}
