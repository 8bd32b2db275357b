/*
 * Decoding of the inputs of PartiQL.
 */
#include "services/dynamodb/partiql_request.h"

#include "services/dynamodb/partiql.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/token.h"

#include "base/json.h"

/* What the operations call their members. */
static const struct operation {
	str statements, token;
	unsigned statements_max;
	size_t token_bytes_max;
	bool consistent; /* a statement has ConsistentRead */
} operations[] = {
	[PARTIQL_ONE] = {STR_INIT(""), STR_INIT("NextToken"), 1, 32768, true},
	[PARTIQL_BATCH] = {STR_INIT("Statements"), STR_INIT(""), PARTIQL_BATCH_MAX, 0, true},
	[PARTIQL_TRANSACTION] = {STR_INIT("TransactStatements"), STR_INIT("ClientRequestToken"),
		PARTIQL_TRANSACTION_MAX, 36, false},
};

struct reading {
	struct call *c;
	const struct operation *operation;
	struct partiql_request *request;
	struct json_reader json;
	str capacity, on_failure;
	bool odd; /* the model has to say what is wrong */
};

static int read_parameter(struct reading *r, struct partiql_input *in, str *ret_value)
{
	struct attr_decoder d;
	struct buf value;

	attr_decoder_init(&d, r->c->arena, &r->c->fault);
	buf_init(&value, r->c->arena, ITEM_ENCODED_MAX);
	TRY(attr_read_json(&d, &r->json, &value));
	if (value.over)
		return ERR_TOO_LARGE;
	if (!in->rule.p)
		in->rule = d.rule;
	*ret_value = buf_str(&value);
	return 0;
}

static int read_parameters(struct reading *r, struct partiql_input *in)
{
	str *parameters = NULL, *bigger, value;
	uint32_t count = 0, capacity = 0;

	TRY(json_array_begin(&r->json));
	while (TRY(json_array_next(&r->json))) {
		TRY(read_parameter(r, in, &value));
		/* More than a statement can have question marks are only counted. */
		if (count == capacity && count < PARTIQL_BYTES_MAX) {
			capacity = capacity ? capacity * 2 : 8;
			bigger = arena_new_array(r->c->arena, str, capacity);
			if (count)
				memcpy(bigger, parameters, count * sizeof *bigger);
			parameters = bigger;
		}
		if (count < capacity)
			parameters[count] = value;
		count++;
	}
	r->odd |= count == 0;
	in->parameters = parameters;
	in->parameter_count = count;
	return 0;
}

/* A member that statements have: 1 when it is one. */
static int read_of_statement(struct reading *r, struct partiql_input *in, str name)
{
	if (str_eq(name, STR("Statement")))
		TRY(json_string(&r->json, &in->text));
	else if (str_eq(name, STR("Parameters")))
		TRY(read_parameters(r, in));
	else if (r->operation->consistent && str_eq(name, STR("ConsistentRead")))
		TRY(json_bool(&r->json, &in->consistent));
	else if (str_eq(name, STR("ReturnValuesOnConditionCheckFailure")))
		TRY(json_string(&r->json, &r->on_failure));
	else
		return 0;
	return 1;
}

/* Behind the members of a statement. */
static void end_statement(struct reading *r, struct partiql_input *in)
{
	in->show_failed = str_eq(r->on_failure, STR("ALL_OLD"));
	r->odd |= in->text.n == 0 || in->text.n > PARTIQL_BYTES_MAX ||
		  (r->on_failure.p && !in->show_failed && !str_eq(r->on_failure, STR("NONE")));
	r->on_failure = STR_NULL;
}

static int read_statements(struct reading *r)
{
	struct partiql_request *q = r->request;
	struct partiql_input *in;
	str name;

	q->statements =
		arena_new_array(r->c->arena, struct partiql_input, r->operation->statements_max);
	q->count = 0;
	TRY(json_array_begin(&r->json));
	while (TRY(json_array_next(&r->json))) {
		if (q->count == r->operation->statements_max) {
			r->odd = true;
			TRY(json_skip(&r->json));
			continue;
		}
		in = &q->statements[q->count++];
		TRY(json_object_begin(&r->json));
		while (TRY(json_object_next(&r->json, &name)))
			if (TRY(json_peek(&r->json)) == JSON_NULL ||
				!TRY(read_of_statement(r, in, name)))
				TRY(json_skip(&r->json));
		end_statement(r, in);
	}
	return 0;
}

/* A member of ExecuteStatement that the others do not have. */
static int read_of_one(struct reading *r, str name)
{
	struct partiql_request *q = r->request;

	if (TRY(read_of_statement(r, q->statements, name)))
		return 0;
	if (!str_eq(name, STR("Limit")))
		return json_skip(&r->json);
	TRY(json_i64(&r->json, &q->limit));
	r->odd |= q->limit < 1 || q->limit > INT32_MAX;
	return 0;
}

static int read_body(struct reading *r)
{
	bool one = r->operation->statements_max == 1;
	str name;

	json_reader_init(&r->json, r->c->body, r->c->arena, REQUEST_DEPTH_MAX);
	TRY(json_object_begin(&r->json));
	while (TRY(json_object_next(&r->json, &name))) {
		if (TRY(json_peek(&r->json)) == JSON_NULL)
			TRY(json_skip(&r->json));
		else if (str_eq(name, STR("ReturnConsumedCapacity")))
			TRY(json_string(&r->json, &r->capacity));
		else if (name.n && str_eq(name, r->operation->token))
			TRY(json_string(&r->json, &r->request->token));
		else if (one)
			TRY(read_of_one(r, name));
		else if (str_eq(name, r->operation->statements))
			TRY(read_statements(r));
		else
			TRY(json_skip(&r->json));
	}
	if (one)
		end_statement(r, r->request->statements);
	return json_end(&r->json);
}

/* False: it is none of the words. */
static bool understand_capacity(struct reading *r)
{
	str text = r->capacity;

	r->request->capacity = str_eq(text, STR("TOTAL"))     ? CAPACITY_TOTAL
			       : str_eq(text, STR("INDEXES")) ? CAPACITY_INDEXES
							      : CAPACITY_NONE;
	return !text.p || r->request->capacity != CAPACITY_NONE || str_eq(text, STR("NONE"));
}

int partiql_request_read(
	struct call *c, enum partiql_operation operation, struct partiql_request *ret)
{
	struct reading r = {.c = c,
		.operation = &operations[operation],
		.request = ret,
		.capacity = STR_NULL,
		.on_failure = STR_NULL};
	int rc;

	*ret = (struct partiql_request){.token = STR_NULL};
	if (operation == PARTIQL_ONE) {
		ret->statements = arena_new(c->arena, struct partiql_input);
		ret->count = 1;
	}
	rc = read_body(&r);
	if (rc == ERR_FAULT)
		return rc;
	if (rc < 0)
		return dynamodb_unreadable(c, rc);
	/* The model may take it after all: a statement of many bytes in few characters. */
	if (!understand_capacity(&r) || r.odd || ret->count == 0 ||
		(ret->token.p &&
			(ret->token.n == 0 || ret->token.n > r.operation->token_bytes_max)))
		TRY(dynamodb_check_by_model(c));
	return 0;
}

void partiql_input_digest(struct sha256 *h, const struct partiql_input *in)
{
	token_digest_add(h, in->text);
	token_digest_add(h, in->show_failed ? STR("ALL_OLD") : STR_NULL);
	for (uint32_t i = 0; i < in->parameter_count; i++)
		token_digest_add(h, in->parameters[i]);
}
