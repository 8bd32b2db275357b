/*
 * TransactWriteItems and TransactGetItems: requests and answers; transact.h does the work.
 *
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactGetItems.html
 */
#include "services/dynamodb/service.h"
#include "services/dynamodb/token.h"
#include "services/dynamodb/transact.h"

#include "aws/codec.h"
#include "base/check.h"

/* The members of TransactWriteItem and TransactGetItem. */
static const struct action_kind {
	str name;
	enum item_operation operation;
	enum item_write_kind write;
	const char *action; /* of policies */
} action_kinds[] = {
	{STR_INIT("Put"), ACTION_OF_PUT, ITEM_PUT, "dynamodb:PutItem"},
	{STR_INIT("Update"), ACTION_OF_UPDATE, ITEM_UPDATE, "dynamodb:UpdateItem"},
	{STR_INIT("Delete"), ACTION_OF_DELETE, ITEM_DELETE, "dynamodb:DeleteItem"},
	{STR_INIT("ConditionCheck"), ACTION_OF_CHECK, ITEM_CHECK, "dynamodb:ConditionCheckItem"},
	{STR_INIT("Get"), ACTION_OF_GET, ITEM_CHECK, "dynamodb:GetItem"},
};

/* A request while it is read. */
struct request {
	struct call *c;
	bool is_read;
	struct json_reader json;
	struct transaction t;
	struct item_request *requests; /* one for each action */
	const struct action_kind **kinds;
	str return_capacity, return_metrics, token;
	bool has_items, odd; /* odd: the model has to say what is wrong */
	bool not_one;        /* an element with several actions, or none */
};

static void request_done(struct request *r)
{
	transaction_done(&r->t);
}

static int invalid(struct request *r, const char *text)
{
	return call_fault(r->c, DYNAMODB_FAULT(VALIDATION), "%s", text);
}

static const struct action_kind *kind_named(const struct request *r, str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(action_kinds); i++)
		if ((action_kinds[i].operation == ACTION_OF_GET) == r->is_read &&
			str_eq(action_kinds[i].name, name))
			return &action_kinds[i];
	return NULL;
}

/* One element of TransactItems. */
static int read_element(struct request *r)
{
	struct item_request *q = &r->requests[r->t.count];
	unsigned found = 0;
	str name;

	TRY(json_object_begin(&r->json));
	while (TRY(json_object_next(&r->json, &name))) {
		const struct action_kind *kind = kind_named(r, name);

		if (!kind || TRY(json_peek(&r->json)) == JSON_NULL) {
			TRY(json_skip(&r->json));
			continue;
		}
		item_request_init(r->c, kind->operation, q);
		r->kinds[r->t.count] = kind;
		TRY(item_request_read_object(r->c, &r->json, q));
		found++;
	}
	if (r->is_read && !found) { /* Get is required by the model */
		r->odd = true;
		return 0;
	}
	if (!r->is_read && found != 1) {
		r->not_one = true;
		return 0;
	}
	r->odd |= !item_request_plausible(q);
	/* Required by the model of these alone. */
	r->odd |= q->operation == ACTION_OF_CHECK && !q->condition.p;
	r->odd |= q->operation == ACTION_OF_UPDATE && !q->update.p;
	r->t.count++;
	return 0;
}

static int read_elements(struct request *r)
{
	unsigned elements = 0;

	r->has_items = true;
	r->t.count = 0;
	TRY(json_array_begin(&r->json));
	while (TRY(json_array_next(&r->json))) {
		if (elements++ < TRANSACT_ACTIONS_MAX) {
			TRY(read_element(r));
		} else {
			r->odd = true;
			TRY(json_skip(&r->json));
		}
	}
	return 0;
}

static int read_body(struct request *r)
{
	str name;

	json_reader_init(&r->json, r->c->body, r->c->arena, REQUEST_DEPTH_MAX);
	TRY(json_object_begin(&r->json));
	while (TRY(json_object_next(&r->json, &name))) {
		if (TRY(json_peek(&r->json)) == JSON_NULL)
			TRY(json_skip(&r->json));
		else if (str_eq(name, STR("TransactItems")))
			TRY(read_elements(r));
		else if (str_eq(name, STR("ReturnConsumedCapacity")))
			TRY(json_string(&r->json, &r->return_capacity));
		else if (str_eq(name, STR("ReturnItemCollectionMetrics")) && !r->is_read)
			TRY(json_string(&r->json, &r->return_metrics));
		else if (str_eq(name, STR("ClientRequestToken")) && !r->is_read)
			TRY(json_string(&r->json, &r->token));
		else
			TRY(json_skip(&r->json));
	}
	return json_end(&r->json);
}

static bool is_one_of(str text, str a, str b, str c)
{
	return !text.p || str_eq(text, a) || str_eq(text, b) || str_eq(text, c);
}

static bool plausible(const struct request *r)
{
	return r->has_items && !r->odd && (r->t.count || r->not_one) &&
	       is_one_of(r->return_capacity, STR("NONE"), STR("TOTAL"), STR("INDEXES")) &&
	       is_one_of(r->return_metrics, STR("NONE"), STR("SIZE"), STR("SIZE")) &&
	       (!r->token.p || (r->token.n >= 1 && r->token.n <= 36));
}

/* Everything that can be said of an action without its table. */
static int check_action(struct request *r, unsigned i)
{
	struct item_request *q = &r->requests[i];
	struct transact_action *a = &r->t.actions[i];
	const struct expr_projection *projection = NULL;

	TRY(item_request_check(r->c, q));
	if (q->item.p && item_size(q->item) > ITEM_SIZE_MAX)
		return invalid(r, "Item size has exceeded the maximum allowed size");
	TRY(expr_check_placeholders(&q->expr));
	if (q->update.p)
		TRY(expr_parse_update(&q->expr, q->update, &a->write.update));
	if (q->condition.p)
		TRY(expr_parse_condition(
			&q->expr, EXPR_CONDITION, q->condition, &a->write.condition));
	if (q->projection.p)
		TRY(expr_parse_projection(&q->expr, q->projection, &projection));
	if (q->expr.has_expression) /* names and values without one are nobody's */
		TRY(expr_check_used(&q->expr));
	a->given = q->table;
	a->attributes = q->operation == ACTION_OF_PUT ? q->item : q->key;
	a->show_failed = str_eq(q->return_on_failure, STR("ALL_OLD"));
	a->projection = projection;
	a->write.kind = r->kinds[i]->write;
	a->write.expr = &q->expr;
	return 0;
}

static int request_read(struct request *r)
{
	struct call *c = r->c;
	int rc;

	r->t.c = c;
	r->t.actions = arena_new_array(c->arena, struct transact_action, TRANSACT_ACTIONS_MAX);
	r->requests = arena_new_array(c->arena, struct item_request, TRANSACT_ACTIONS_MAX);
	r->kinds = arena_new_array(c->arena, const struct action_kind *, TRANSACT_ACTIONS_MAX);
	rc = read_body(r);
	if (rc == ERR_FAULT)
		return rc;
	if (rc < 0 || !plausible(r))
		return dynamodb_unreadable(c, rc);
	if (r->not_one)
		return invalid(
			r, "TransactItems can only contain one of Check, Put, Update or Delete");
	for (unsigned i = 0; i < r->t.count; i++)
		TRY(check_action(r, i));
	r->t.capacity = str_eq(r->return_capacity, STR("TOTAL"))     ? CAPACITY_TOTAL
			: str_eq(r->return_capacity, STR("INDEXES")) ? CAPACITY_INDEXES
								     : CAPACITY_NONE;
	r->t.metrics = str_eq(r->return_metrics, STR("SIZE"));
	return 0;
}

/* Each action as the operation that it stands for. */
static int authorize(struct request *r)
{
	struct call *c = r->c;

	for (unsigned i = 0; i < r->t.count; i++) {
		str name;

		TRY(dynamodb_table_name(c, r->t.actions[i].given, &name));
		TRY(call_authorize(c, str_c(r->kinds[i]->action),
			arena_printf(c->arena, "arn:aws:dynamodb:%.*s:%.*s:table/%.*s",
				STR_ARG(c->region), STR_ARG(c->account), STR_ARG(name))));
	}
	return 0;
}

/* What was asked for, whatever its form as JSON: what a repetition must have in common. */
static void digest_request(struct request *r)
{
	struct sha256 h;

	sha256_init(&h);
	for (unsigned i = 0; i < r->t.count; i++) {
		const struct item_request *q = &r->requests[i];

		token_digest_add(&h, r->kinds[i]->name);
		token_digest_add(&h, q->table);
		token_digest_add(&h, q->item);
		token_digest_add(&h, q->key);
		token_digest_add(&h, q->condition);
		token_digest_add(&h, q->update);
		token_digest_add(&h, q->return_on_failure);
		for (uint32_t k = 0; k < q->expr.name_count; k++) {
			token_digest_add(&h, q->expr.names[k].token);
			token_digest_add(&h, q->expr.names[k].name);
		}
		for (uint32_t k = 0; k < q->expr.value_count; k++) {
			token_digest_add(&h, q->expr.values[k].token);
			token_digest_add(&h, q->expr.values[k].value);
		}
	}
	sha256_finish(&h, r->t.digest);
	r->t.token = r->token;
}

int dynamodb_transact_write(struct call *c)
{
	struct request r cleanup(request_done) = {.c = c};
	struct json_writer json;

	TRY(request_read(&r));
	TRY(authorize(&r));
	if (r.token.p)
		digest_request(&r);
	TRY(transaction_write(&r.t));
	json_writer_init(&json, &c->raw_out);
	json_put_object_begin(&json);
	transaction_put_figures(&json, &r.t, false);
	json_put_object_end(&json);
	return 0;
}

static bool is_empty(str item)
{
	struct attr_iter it = item_iter(item);
	str name, value;

	return !attr_next(&it, &name, &value);
}

/* Of a projection that finds nothing there is, other than in GetItem, no Item either. */
static void put_response(
	struct json_writer *json, struct arena *a, const struct transact_action *action)
{
	str item = action->write.old_item;
	struct buf part;

	json_put_object_begin(json);
	if (item.p) {
		if (action->projection) {
			buf_init(&part, a, ITEM_ENCODED_MAX);
			expr_project(action->projection, item, &part);
			item = buf_str(&part);
		}
		if (!is_empty(item)) {
			json_put_key(json, STR("Item"));
			item_write_json(json, item);
		}
	}
	json_put_object_end(json);
}

int dynamodb_transact_get(struct call *c)
{
	struct request r cleanup(request_done) = {.c = c, .is_read = true};
	struct json_writer json;

	TRY(request_read(&r));
	TRY(authorize(&r));
	TRY(transaction_read(&r.t));
	json_writer_init(&json, &c->raw_out);
	json_put_object_begin(&json);
	json_put_key(&json, STR("Responses"));
	json_put_array_begin(&json);
	for (unsigned i = 0; i < r.t.count; i++)
		put_response(&json, c->arena, &r.t.actions[i]);
	json_put_array_end(&json);
	transaction_put_figures(&json, &r.t, true);
	json_put_object_end(&json);
	return 0;
}
