/*
 * Decoding of the item operations' inputs: request.def tells what is where.
 */
#include "services/dynamodb/request.h"

#include "aws/codec.h"
#include "aws/validate.h"
#include "base/check.h"
#include "base/json.h"
#include "services/dynamodb/service.h"
#include "services/dynamodb/vector.h"

enum member_kind {
	MEMBER_TEXT,
	MEMBER_BOOL,
	MEMBER_COUNT,
	MEMBER_ITEM,
	MEMBER_LIST,
	MEMBER_NAMES,
	MEMBER_VALUES,
	MEMBER_CONDITIONS,
	MEMBER_UPDATES,
	MEMBER_ATTRIBUTES
};

struct member_row {
	str name;
	enum member_kind kind;
	uint16_t offset;
	uint16_t operations;
};

#define PUT           OPERATION_PUT
#define GET           OPERATION_GET
#define DELETE        OPERATION_DELETE
#define UPDATE        OPERATION_UPDATE
#define QUERY         OPERATION_QUERY
#define SCAN          OPERATION_SCAN
#define SEARCH        OPERATION_SEARCH
#define ACTION_PUT    ACTION_OF_PUT
#define ACTION_UPDATE ACTION_OF_UPDATE
#define ACTION_DELETE ACTION_OF_DELETE
#define ACTION_CHECK  ACTION_OF_CHECK
#define ACTION_GET    ACTION_OF_GET
static const struct member_row member_rows[] = {
#define MEMBER(name, kind, field, operations) \
	{STR_INIT(name), MEMBER_##kind, offsetof(struct item_request, field), operations},
#include "services/dynamodb/request.def"
#undef MEMBER
};
#undef PUT
#undef GET
#undef DELETE
#undef UPDATE
#undef QUERY
#undef SCAN
#undef SEARCH
#undef ACTION_PUT
#undef ACTION_UPDATE
#undef ACTION_DELETE
#undef ACTION_CHECK
#undef ACTION_GET

enum {
	OPERATIONS_WITH_KEY = OPERATION_GET | OPERATION_DELETE | OPERATION_UPDATE | ACTION_OF_GET |
			      ACTION_OF_DELETE | ACTION_OF_UPDATE | ACTION_OF_CHECK,
	OPERATIONS_PUTTING = OPERATION_PUT | ACTION_OF_PUT,
	ACTIONS = ACTION_OF_PUT | ACTION_OF_UPDATE | ACTION_OF_DELETE | ACTION_OF_CHECK |
		  ACTION_OF_GET
};

static const struct member_row *row_of(str name, enum item_operation operation)
{
	for (size_t i = 0; i < ARRAY_SIZE(member_rows); i++)
		if ((member_rows[i].operations & operation) && str_eq(member_rows[i].name, name))
			return &member_rows[i];
	return NULL;
}

int dynamodb_read_by_model(struct call *c, const struct value **ret_in)
{
	const struct model *m = c->service->model;
	struct value *in = value_new_shape(c->arena, m, c->operation->input);
	str message;
	int rc = codec_json_read(in, c->body, &message);

	if (rc == ERR_FAULT)
		return call_fault(c, DYNAMODB_FAULT(SERIALIZATION), "%.*s", STR_ARG(message));
	TRY(rc);
	if (validate(in, &message) == ERR_FAULT)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION), "%.*s", STR_ARG(message));
	*ret_in = in;
	return 0;
}

int dynamodb_check_by_model(struct call *c)
{
	const struct value *in;

	return dynamodb_read_by_model(c, &in);
}

struct reading {
	struct call *c;
	struct item_request *request;
	struct attr_decoder decoder;
	struct json_reader *json;
};

static int read_item(struct reading *r, str *ret_item)
{
	struct buf item;

	buf_init(&item, r->c->arena, ITEM_ENCODED_MAX);
	TRY(item_read_json(&r->decoder, r->json, &item));
	if (item.over)
		return ERR_TOO_LARGE;
	*ret_item = buf_str(&item);
	return 0;
}

static int read_list(struct reading *r, str *ret_list)
{
	struct buf list;
	size_t begin;

	buf_init(&list, r->c->arena, ITEM_ENCODED_MAX);
	begin = attr_put_begin(&list, ATTR_L);
	TRY(json_array_begin(r->json));
	while (TRY(json_array_next(r->json)))
		TRY(attr_read_json(&r->decoder, r->json, &list));
	if (list.over)
		return ERR_TOO_LARGE;
	attr_put_end(&list, begin);
	*ret_list = buf_str(&list);
	return 0;
}

static int read_member(struct reading *r, const struct member_row *row)
{
	void *field = (char *)r->request + row->offset;

	switch (row->kind) {
	case MEMBER_TEXT: return json_string(r->json, field);
	case MEMBER_BOOL: return json_bool(r->json, field);
	case MEMBER_COUNT: return json_i64(r->json, field);
	case MEMBER_ITEM: return read_item(r, field);
	case MEMBER_LIST: return read_list(r, field);
	case MEMBER_NAMES:
		r->request->names = true;
		return expr_read_names(&r->request->expr, r->json);
	case MEMBER_VALUES:
		r->request->values = true;
		return expr_read_values(&r->request->expr, &r->decoder, r->json);
	case MEMBER_CONDITIONS: return legacy_read_conditions(&r->decoder, r->json, field);
	case MEMBER_UPDATES: return legacy_read_updates(&r->decoder, r->json, field);
	case MEMBER_ATTRIBUTES: return legacy_read_names(&r->decoder, r->json, field);
	}
	check_unreachable();
}

/* The members of one object. */
static int read_object(struct reading *r)
{
	const struct member_row *row;
	str name;

	TRY(json_object_begin(r->json));
	while (TRY(json_object_next(r->json, &name))) {
		row = row_of(name, r->request->operation);
		if (!row || TRY(json_peek(r->json)) == JSON_NULL)
			TRY(json_skip(r->json));
		else
			TRY(read_member(r, row));
	}
	return 0;
}

/* Index of `text` in `words`; -1 when it is none of them; 0 when absent. */
static int word_of(str text, const str *words, size_t n)
{
	if (!text.p)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (str_eq(text, words[i]))
			return (int)i;
	return -1;
}

static bool understand_words(struct item_request *q)
{
	static const str values[] = {STR_INIT("NONE"), STR_INIT("ALL_OLD"), STR_INIT("UPDATED_OLD"),
		STR_INIT("ALL_NEW"), STR_INIT("UPDATED_NEW")};
	static const str capacities[] = {STR_INIT("NONE"), STR_INIT("TOTAL"), STR_INIT("INDEXES")};
	static const str metrics[] = {STR_INIT("NONE"), STR_INIT("SIZE")};
	static const str selects[] = {STR_INIT("ALL_ATTRIBUTES"),
		STR_INIT("ALL_PROJECTED_ATTRIBUTES"), STR_INIT("SPECIFIC_ATTRIBUTES"),
		STR_INIT("COUNT")};
	int returns = word_of(q->return_values, values, ARRAY_SIZE(values));
	int capacity = word_of(q->return_capacity, capacities, ARRAY_SIZE(capacities));

	q->returns = (enum return_values)MAX(returns, 0);
	q->capacity = (enum return_capacity)MAX(capacity, 0);
	q->metrics = str_eq(q->return_metrics, STR("SIZE"));
	return returns >= 0 && capacity >= 0 &&
	       word_of(q->return_metrics, metrics, ARRAY_SIZE(metrics)) >= 0 &&
	       word_of(q->return_on_failure, values, 2) >= 0 &&
	       word_of(q->select, selects, ARRAY_SIZE(selects)) >= 0;
}

static bool within(int64_t count, int64_t min, int64_t max)
{
	return count == COUNT_ABSENT || (count >= min && count <= max);
}

/* What only SearchVectors has. */
static bool search_plausible(const struct item_request *q)
{
	size_t n = q->vector.p ? attr_count(q->vector) : 0;

	if (q->operation != OPERATION_SEARCH)
		return true;
	return q->index.p && q->top >= 1 && q->top <= INT32_MAX && n >= 1 &&
	       n <= VECTOR_DIMENSIONS_MAX;
}

bool item_request_plausible(struct item_request *q)
{
	static const str operators[] = {STR_INIT("AND"), STR_INIT("OR")};
	bool needs_key = q->operation & OPERATIONS_WITH_KEY,
	     puts = q->operation & OPERATIONS_PUTTING;

	return q->table.n >= 1 && q->table.n <= 1024 && understand_words(q) &&
	       search_plausible(q) && (!needs_key || q->key.p) && (!puts || q->item.p) &&
	       within(q->limit, 1, INT32_MAX) && within(q->segment, 0, 999999) &&
	       within(q->segments, 1, 1000000) &&
	       word_of(q->conditional_operator, operators, 2) >= 0 &&
	       legacy_conditions_plausible(&q->expected, false) &&
	       legacy_conditions_plausible(&q->key_conditions, true) &&
	       legacy_conditions_plausible(&q->filters, true) &&
	       legacy_updates_plausible(&q->updates) && legacy_names_plausible(&q->attributes) &&
	       (!q->index.p ||
		       (q->index.n >= 3 && q->index.n <= 255 && dynamodb_is_name(q->index)));
}

/* "ConditionExpression is null": which expressions could use values, and that none is there. */
static str missing_expressions(const struct item_request *q)
{
	switch (q->operation) {
	case OPERATION_PUT:
	case OPERATION_DELETE: return STR(": ConditionExpression is null");
	case OPERATION_UPDATE: return STR(": UpdateExpression and ConditionExpression are null");
	case OPERATION_QUERY: return STR(": FilterExpression and KeyConditionExpression are null");
	case OPERATION_SCAN: return STR(": FilterExpression is null");
	case OPERATION_SEARCH: return STR(": SearchConditionExpression is null");
	default: return STR("");
	}
}

/*
 * Rules about parameters together, before attribute values and expressions are looked at. An action
 * of a transaction may give names and values and have no expression: users have seen DynamoDB take
 * that, the documentation does not say.
 */
static int check_combinations(struct call *c, const struct item_request *q)
{
	bool any_values = q->condition.p || q->update.p || q->key_condition.p || q->filter.p ||
			  q->search_condition.p;

	if (q->operation & ACTIONS)
		return 0;
	if (q->names && !any_values && !q->projection.p)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"ExpressionAttributeNames can only be specified when using expressions");
	if (q->values && !any_values)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"ExpressionAttributeValues can only be specified when using "
			"expressions%.*s",
			STR_ARG(missing_expressions(q)));
	return 0;
}

/* Names of the parameters among `all` that are given: "{a, b}". Returns how many. */
struct named_parameter {
	const char *name;
	bool given;
};

static unsigned given_names(
	struct arena *a, const struct named_parameter *all, unsigned n, str *ret_names)
{
	unsigned count = 0;
	struct buf b;

	buf_init(&b, a, 1024);
	buf_put_char(&b, '{');
	for (unsigned i = 0; i < n; i++) {
		if (!all[i].given)
			continue;
		if (count++)
			buf_put(&b, STR(", "));
		buf_put(&b, str_c(all[i].name));
	}
	buf_put_char(&b, '}');
	*ret_names = buf_str(&b);
	return count;
}

static bool any_legacy(const struct item_request *q)
{
	return q->expected.given || q->key_conditions.given || q->filters.given ||
	       q->updates.given || q->attributes.given || q->conditional_operator.p;
}

/* Expressions and what they have replaced do not go together. */
static int check_mixture(struct call *c, const struct item_request *q)
{
	const struct named_parameter old[] = {
		{"AttributesToGet", q->attributes.given},
		{"AttributeUpdates", q->updates.given},
		{q->operation == OPERATION_SCAN ? "ScanFilter" : "QueryFilter", q->filters.given},
		{"Expected", q->expected.given},
		{"ConditionalOperator", q->conditional_operator.p != NULL},
		{"KeyConditions", q->key_conditions.given},
	};
	const struct named_parameter expressions[] = {
		{"UpdateExpression", q->update.p != NULL},
		{"ProjectionExpression", q->projection.p != NULL},
		{"FilterExpression", q->filter.p != NULL},
		{"ConditionExpression", q->condition.p != NULL},
		{"KeyConditionExpression", q->key_condition.p != NULL},
	};
	str old_names, expression_names;

	if (likely(!any_legacy(q)))
		return 0;
	if (given_names(c->arena, old, ARRAY_SIZE(old), &old_names) &&
		given_names(c->arena, expressions, ARRAY_SIZE(expressions), &expression_names))
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Can not use both expression and non-expression parameters in the same "
			"request: Non-expression parameters: %.*s Expression parameters: %.*s",
			STR_ARG(old_names), STR_ARG(expression_names));
	return 0;
}

static int check_conditional_operator(struct call *c, const struct item_request *q)
{
	uint32_t elements = q->expected.count + q->filters.count;

	if (!q->conditional_operator.p)
		return 0;
	if (!q->expected.given && !q->filters.given)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"One or more parameter values were invalid: ConditionalOperator cannot be "
			"used without Filter or Expected");
	if (elements < 2)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"One or more parameter values were invalid: ConditionalOperator can only "
			"be used when Filter or Expected has two or more elements");
	return 0;
}

/* The rules of the legacy parameters, and what they say as trees. */
static int translate_legacy(struct call *c, struct item_request *q)
{
	bool any = q->conditional_operator.p && str_eq(q->conditional_operator, STR("OR"));

	if (likely(!any_legacy(q)))
		return 0;
	TRY(check_conditional_operator(c, q));
	if (q->attributes.given)
		TRY(legacy_projection(&q->expr, &q->attributes, &q->legacy.projection));
	if (q->updates.given)
		TRY(legacy_update(&q->expr, &q->updates, &q->legacy.update));
	if (q->expected.given)
		TRY(legacy_expected(&q->expr, &q->expected, any, &q->legacy.condition));
	if (q->filters.given)
		TRY(legacy_filter(&q->expr, &q->filters, any, &q->legacy.filter));
	if (q->key_conditions.given)
		TRY(legacy_key_conditions(&q->expr, &q->key_conditions, &q->legacy.key_terms));
	return 0;
}

void item_request_init(struct call *c, enum item_operation operation, struct item_request *q)
{
	*q = (struct item_request){.operation = operation,
		.forward = true,
		.limit = COUNT_ABSENT,
		.segment = COUNT_ABSENT,
		.segments = COUNT_ABSENT,
		.top = COUNT_ABSENT};
	expr_init(&q->expr, c->arena, &c->fault);
}

int item_request_read_object(struct call *c, struct json_reader *json, struct item_request *q)
{
	struct reading r = {.c = c, .request = q, .json = json};

	attr_decoder_init(&r.decoder, c->arena, &c->fault);
	TRY(read_object(&r));
	q->rule = r.decoder.rule;
	return 0;
}

int item_request_check(struct call *c, struct item_request *q)
{
	TRY(check_mixture(c, q));
	TRY(check_combinations(c, q));
	if (q->rule.p)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION), "%s%.*s",
			q->start_key.p ? "The provided starting key is invalid: " : "",
			STR_ARG(q->rule));
	if ((q->operation & (OPERATION_PUT | OPERATION_DELETE)) && q->returns > RETURN_ALL_OLD)
		return call_fault(
			c, DYNAMODB_FAULT(VALIDATION), "ReturnValues can only be ALL_OLD or NONE");
	return translate_legacy(c, q);
}

int dynamodb_unreadable(struct call *c, int rc)
{
	TRY(dynamodb_check_by_model(c));
	/* The model takes it: only a depth beyond the reader's can be left. */
	if (rc == ERR_TOO_LARGE)
		return rc;
	return rc < 0 ? call_fault(c, DYNAMODB_FAULT(SERIALIZATION),
				"The request body could not be read: %s", rc_text(rc))
		      : call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"One or more parameter values were invalid");
}

int item_request_read(struct call *c, enum item_operation operation, struct item_request *ret)
{
	struct json_reader json;
	struct item_request q;
	int rc;

	item_request_init(c, operation, &q);
	json_reader_init(&json, c->body, c->arena, REQUEST_DEPTH_MAX);
	rc = item_request_read_object(c, &json, &q);
	if (rc == 0)
		rc = json_end(&json);
	if (rc == ERR_FAULT)
		return rc;
	if (rc < 0 || !item_request_plausible(&q))
		return dynamodb_unreadable(c, rc);
	TRY(item_request_check(c, &q));
	*ret = q;
	return 0;
}

str dynamodb_peek(struct call *c, str member)
{
	struct json_reader r;
	str name, text_found = STR("");

	json_reader_init(&r, c->body, c->arena, REQUEST_DEPTH_MAX);
	if (json_object_begin(&r) < 0)
		return text_found;
	/* To the end: of equal members the last counts, here as in read_body(). */
	while (json_object_next(&r, &name) > 0) {
		bool text = str_eq(name, member) && json_peek(&r) == JSON_STRING;

		if ((text ? json_string(&r, &text_found) : json_skip(&r)) < 0)
			break;
	}
	return text_found;
}
