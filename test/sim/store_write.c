/*
 * Random writes, and requests that must change nothing.
 */
#include "test/sim/store.h"

#include "base/mem.h"

enum { OPS_MAX = 4, TRIES_MAX = 6, TTL_AHEAD_S = 9, REQUEST_MAX = 1 << 16 };

/* --- random operations ---------------------------------------------------------------------- */

static void give(struct model_item *item, enum model_attribute attribute, int64_t value)
{
	item->has[attribute] = true;
	item->value[attribute] = value;
}

static void any_attributes(struct model_item *item)
{
	if (any(3))
		give(item, MODEL_G, any(3));
	if (any(2))
		give(item, MODEL_L, any(5));
	if (any(4) == 0)
		give(item, MODEL_T, rt_wall() / RT_NS_S + any(TTL_AHEAD_S + 4) - 4);
	if (any(3) == 0)
		give(item, MODEL_P, 1 + any(200));
	if (any(2))
		give(item, MODEL_V, any(6));
}

static void any_condition(struct model_condition *c)
{
	c->count = any(3);
	c->any = any(2);
	c->negated = any(4) == 0;
	for (unsigned i = 0; i < c->count; i++) {
		struct model_term *t = &c->terms[i];

		t->test = any(4);
		t->attribute = t->test == MODEL_LESS    ? (any(2) ? MODEL_N : MODEL_L)
			       : t->test == MODEL_EQUAL ? (any(2) ? MODEL_N : MODEL_G)
							: any(MODEL_ATTRIBUTES);
		t->value = any(4);
	}
}

static struct model_op any_op(enum model_kind kind, unsigned key, uint64_t w)
{
	struct model_op op = {.kind = kind, .key = key};

	if (kind == MODEL_PUT || kind == MODEL_UPDATE) {
		op.item.exists = true;
		give(&op.item, MODEL_W, (int64_t)w);
		any_attributes(&op.item);
	}
	if (kind == MODEL_PUT) {
		give(&op.item, MODEL_N, any(3));
	} else if (kind == MODEL_UPDATE) {
		op.keep_l = op.item.has[MODEL_L] && any(2);
		op.add = any(3);
		for (unsigned i = MODEL_G; i < MODEL_ATTRIBUTES; i++)
			op.remove[i] = !op.item.has[i] && any(4) == 0;
	}
	if (any(3) == 0)
		any_condition(&op.condition);
	return op;
}

/* --- single items --------------------------------------------------------------------------- */

static const char *const operations[] = {
	[MODEL_PUT] = "PutItem", [MODEL_UPDATE] = "UpdateItem", [MODEL_DELETE] = "DeleteItem"};

static void put_subject(struct buf *out, const struct model_op *op)
{
	if (op->kind == MODEL_PUT) {
		buf_put(out, STR("\"Item\":"));
		model_put_item(out, op->key, &op->item);
	} else {
		buf_put(out, STR("\"Key\":"));
		model_put_key(out, op->key);
	}
}

static enum history_outcome outcome_of(enum store_told told)
{
	return told == STORE_DONE      ? HISTORY_DONE
	       : told == STORE_UNKNOWN ? HISTORY_UNKNOWN
				       : HISTORY_REFUSED;
}

/* The item under `member` of the answer: false when it is none of ours. */
static bool read_member(struct store *s, struct arena *a, str body, str member, unsigned key,
	struct model_item *ret_item)
{
	const struct json_value *v = store_parse(s, a, body);
	unsigned found = key;

	if (v && model_read(json_get(v, member), &found, ret_item) && found == key)
		return true;
	world_fail(s->w, "an answer with a strange item: %.*s", STR_ARG(body));
	return false;
}

void store_write_one(struct store *s, struct arena *a)
{
	uint64_t w = ++s->writes;
	struct history_write e = {.op = any_op(any(3), any(MODEL_KEYS), w)};
	bool old = any(2);
	struct answer answer;
	enum store_told told;
	struct buf body;

	buf_init(&body, a, REQUEST_MAX);
	buf_put(&body, STR("{\"TableName\":\"main\","));
	put_subject(&body, &e.op);
	model_put_expressions(&body, &e.op);
	buf_put(&body, old ? STR(",\"ReturnValues\":\"ALL_OLD\"}") : STR("}"));
	e.begun = rt_now();
	answer = world_dynamodb(s->w, a, operations[e.op.kind], buf_str(&body));
	e.ended = rt_now();
	told = store_told(s, operations[e.op.kind], &answer);
	e.outcome = outcome_of(told);
	e.saw = told == STORE_DONE && old &&
		read_member(s, a, answer.body, STR("Attributes"), e.op.key, &e.seen);
	history_add_write(&s->history, &e);
	if (told == STORE_CONDITION)
		history_add_miss(&s->history, &(struct history_miss){e.begun, e.ended, e.op.key,
						      e.op.condition, "its condition failed"});
}

/* INSERT, UPDATE and DELETE of PartiQL have conditions of their own. */
void store_write_statement(struct store *s, struct arena *a)
{
	static const struct model_condition there = {.count = 1,
						    .terms = {{MODEL_EXISTS, MODEL_W, 0}}},
					    absent = {.count = 1,
						    .terms = {{MODEL_NOT_EXISTS, MODEL_W, 0}}};
	uint64_t w = ++s->writes;
	struct history_write e = {.op = any_op(any(3), any(MODEL_KEYS), w)};
	struct answer answer;
	enum store_told told;
	struct buf body;

	e.op.add = 0;
	e.op.keep_l = false;
	e.op.condition = e.op.kind == MODEL_PUT      ? absent
			 : e.op.kind == MODEL_UPDATE ? there
						     : (struct model_condition){0};
	buf_init(&body, a, REQUEST_MAX);
	buf_put(&body, STR("{\"Statement\":\""));
	model_put_statement(&body, "main", &e.op);
	buf_put(&body, STR("\"}"));
	e.begun = rt_now();
	answer = world_dynamodb(s->w, a, "ExecuteStatement", buf_str(&body));
	e.ended = rt_now();
	told = store_told(s, "ExecuteStatement", &answer);
	e.outcome = outcome_of(told);
	history_add_write(&s->history, &e);
	if (told == STORE_CONDITION)
		history_add_miss(&s->history, &(struct history_miss){e.begun, e.ended, e.op.key,
						      e.op.condition, "its statement failed"});
}

/* --- several items -------------------------------------------------------------------------- */

/* Different keys. */
static unsigned any_keys(unsigned keys[OPS_MAX])
{
	unsigned n = 2 + any(OPS_MAX - 1), first = any(MODEL_KEYS);

	for (unsigned i = 0; i < n; i++)
		keys[i] = (first + i * 2) % MODEL_KEYS;
	return n;
}

static bool is_unprocessed(const struct json_value *list, unsigned key)
{
	for (uint32_t i = 0; list && i < list->count; i++) {
		const struct json_value *put =
			json_get_path(json_at(list, i), STR("PutRequest.Item"));
		const struct json_value *gone =
			json_get_path(json_at(list, i), STR("DeleteRequest.Key"));
		struct model_item item;
		unsigned found;

		if (model_read(put ? put : gone, &found, &item) && found == key)
			return true;
	}
	return false;
}

void store_write_batch(struct store *s, struct arena *a)
{
	const struct json_value *left = NULL;
	struct history_write e[OPS_MAX] = {0};
	unsigned keys[OPS_MAX], n = any_keys(keys);
	uint64_t w = ++s->writes;
	struct answer answer;
	enum store_told told;
	struct buf body;
	int64_t begun;

	buf_init(&body, a, REQUEST_MAX);
	buf_put(&body, STR("{\"RequestItems\":{\"main\":["));
	for (unsigned i = 0; i < n; i++) {
		e[i].op = any_op(any(3) ? MODEL_PUT : MODEL_DELETE, keys[i], w);
		e[i].op.condition.count = 0;
		buf_printf(&body, "%s{\"%s\":{", i ? "," : "",
			e[i].op.kind == MODEL_PUT ? "PutRequest" : "DeleteRequest");
		put_subject(&body, &e[i].op);
		buf_put(&body, STR("}}"));
	}
	buf_put(&body, STR("]}}"));
	begun = rt_now();
	answer = world_dynamodb(s->w, a, "BatchWriteItem", buf_str(&body));
	told = store_told(s, "BatchWriteItem", &answer);
	if (told == STORE_DONE)
		left = json_get_path(store_parse(s, a, answer.body), STR("UnprocessedItems.main"));
	for (unsigned i = 0; i < n; i++) {
		e[i].begun = begun;
		e[i].ended = rt_now();
		e[i].outcome = outcome_of(told);
		/* One that failed on its way may have been done. */
		if (told == STORE_DONE && is_unprocessed(left, keys[i]))
			e[i].outcome = HISTORY_UNKNOWN;
		history_add_write(&s->history, &e[i]);
	}
}

static void put_transaction(struct buf *body, const struct history_write *e, unsigned n, str token)
{
	static const char *const members[] = {[MODEL_PUT] = "Put",
		[MODEL_UPDATE] = "Update",
		[MODEL_DELETE] = "Delete",
		[MODEL_CHECK] = "ConditionCheck"};

	buf_put(body, STR("{\"TransactItems\":["));
	for (unsigned i = 0; i < n; i++) {
		buf_printf(body, "%s{\"%s\":{\"TableName\":\"main\",", i ? "," : "",
			members[e[i].op.kind]);
		put_subject(body, &e[i].op);
		model_put_expressions(body, &e[i].op);
		buf_put(body, STR("}}"));
	}
	buf_put(body, STR("]"));
	if (token.n)
		buf_printf(body, ",\"ClientRequestToken\":\"%.*s\"", STR_ARG(token));
	buf_put(body, STR("}"));
}

/* Which conditions are said to have failed; each must have failed at some moment. */
static void note_reasons(
	struct store *s, struct arena *a, str body, const struct history_write *e, unsigned n)
{
	const struct json_value *reasons =
		json_get(store_parse(s, a, body), STR("CancellationReasons"));

	if (reasons && reasons->count != n)
		world_fail(s->w, "%u reasons for %u operations", reasons->count, n);
	for (unsigned i = 0; reasons && i < n; i++) {
		str code = json_text(json_get(json_at(reasons, i), STR("Code")));

		if (str_eq(code, STR("ConditionalCheckFailed")))
			history_add_miss(&s->history,
				&(struct history_miss){e[i].begun, e[i].ended, e[i].op.key,
					e[i].op.condition, "its condition failed a transaction"});
		else if (!str_eq(code, STR("None")) && !str_eq(code, STR("TransactionConflict")))
			world_fail(s->w, "a reason of %.*s", STR_ARG(code));
	}
}

/* A token that was used cannot be used for something else. */
static mayyield void misuse_token(struct store *s, struct arena *a, str token)
{
	struct history_write e = {.op = any_op(MODEL_PUT, any(MODEL_KEYS), ++s->writes)};
	struct answer answer;
	struct buf body;

	buf_init(&body, a, REQUEST_MAX);
	e.op.condition.count = 0;
	put_transaction(&body, &e, 1, token);
	e.begun = rt_now();
	answer = world_dynamodb(s->w, a, "TransactWriteItems", buf_str(&body));
	e.ended = rt_now();
	e.outcome = HISTORY_REFUSED;
	if (answer.status && answer.status < 500 &&
		str_find_str(answer.body, STR("IdempotentParameterMismatchException")) < 0 &&
		str_find_str(answer.body, STR("TransactionConflict")) < 0)
		world_fail(
			s->w, "a token used twice: %u %.*s", answer.status, STR_ARG(answer.body));
	history_add_write(&s->history, &e);
}

void store_write_transaction(struct store *s, struct arena *a)
{
	struct history_write e[OPS_MAX] = {0};
	unsigned keys[OPS_MAX], n = any_keys(keys), again = any(3) ? 0 : 1;
	uint64_t w = ++s->writes, group = ++s->groups;
	str token = any(2) ? arena_printf(a, "token-%llu", (unsigned long long)group) : STR("");
	bool unknown = false, done = false;
	struct answer answer;
	enum store_told told;
	struct buf body;
	int64_t begun;

	for (unsigned i = 0; i < n; i++) {
		e[i].op = any_op(any(4), keys[i], w);
		if (e[i].op.kind == MODEL_CHECK && !e[i].op.condition.count)
			e[i].op.condition = (struct model_condition){
				.count = 1, .terms = {{any(2), MODEL_W, 0}}};
	}
	buf_init(&body, a, REQUEST_MAX);
	put_transaction(&body, e, n, token);
	begun = rt_now();
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		answer = world_dynamodb(s->w, a, "TransactWriteItems", buf_str(&body));
		told = store_told(s, "TransactWriteItems", &answer);
		done |= told == STORE_DONE;
		if (token.n && told == STORE_DONE && again--)
			continue; /* the same once more: nothing happens */
		if (done && told == STORE_CONDITION)
			world_fail(s->w, "a token's transaction ran again: %.*s",
				STR_ARG(answer.body));
		if (done) /* whatever the later try met */
			told = STORE_DONE;
		unknown |= told == STORE_UNKNOWN;
		/* A conflict, or nobody there, says nothing of the try before. */
		if (unknown && told == STORE_REFUSED)
			told = STORE_UNKNOWN;
		if (!token.n || told != STORE_UNKNOWN)
			break;
	}
	for (unsigned i = 0; i < n; i++) {
		e[i].begun = begun;
		e[i].ended = rt_now();
		e[i].group = group;
		e[i].outcome = outcome_of(told);
		history_add_write(&s->history, &e[i]);
	}
	if (told == STORE_CONDITION)
		note_reasons(s, a, answer.body, e, n);
	if (told == STORE_DONE && token.n && any(4) == 0)
		misuse_token(s, a, token);
}

/* --- nonsense ------------------------------------------------------------------------------- */

/* Refused, and without a trace: a version 999 would be one that nobody wrote. */
void store_send_nonsense(struct store *s, struct arena *a)
{
#define KEY  "\"TableName\":\"main\",\"Key\":{\"pk\":{\"S\":\"k0\"},\"sk\":{\"N\":\"0\"}}"
#define ITEM "\"pk\":{\"S\":\"k0\"},\"sk\":{\"N\":\"0\"},\"w\":{\"N\":\"999999\"}"
	static const struct {
		const char *operation, *body;
	} cases[] = {
		{"PutItem", "{\"TableName\":\"main\",\"Item\":{" ITEM ",\"g\":{\"N\":\"1\"}}}"},
		{"PutItem", "{\"TableName\":\"main\",\"Item\":{" ITEM ",\"l\":{\"S\":\"1\"}}}"},
		{"PutItem", "{\"TableName\":\"main\",\"Item\":{\"pk\":{\"S\":\"k0\"}}}"},
		{"PutItem", "{\"TableName\":\"main\",\"Item\":{" ITEM ",\"x\":{\"SS\":[]}}}"},
		{"PutItem", "{\"TableName\":\"nowhere\",\"Item\":{" ITEM "}}"},
		{"PutItem", "{\"TableName\":\"main\",\"Item\":{" ITEM "}"},
		{"UpdateItem", "{" KEY ",\"UpdateExpression\":\"SET w = :w, w = :w\","
			       "\"ExpressionAttributeValues\":{\":w\":{\"N\":\"999999\"}}}"},
		{"UpdateItem", "{" KEY ",\"UpdateExpression\":\"SET w = :w, g = :w\","
			       "\"ExpressionAttributeValues\":{\":w\":{\"N\":\"999999\"}}}"},
		{"UpdateItem", "{" KEY ",\"UpdateExpression\":\"SET sk = :w\","
			       "\"ExpressionAttributeValues\":{\":w\":{\"N\":\"999999\"}}}"},
		{"UpdateItem", "{" KEY ",\"UpdateExpression\":\"SET w = :w, x = nothing + :w\","
			       "\"ExpressionAttributeValues\":{\":w\":{\"N\":\"999999\"}}}"},
		{"DeleteItem", "{\"TableName\":\"main\",\"Key\":{\"pk\":{\"S\":\"k0\"}}}"},
		{"DeleteItem", "{" KEY ",\"ConditionExpression\":\"w <\"}"},
		{"BatchWriteItem",
			"{\"RequestItems\":{\"main\":[{\"PutRequest\":{\"Item\":{" ITEM "}}},"
			"{\"PutRequest\":{\"Item\":{" ITEM "}}}]}}"},
		{"TransactWriteItems",
			"{\"TransactItems\":[{\"Put\":{\"TableName\":\"main\",\"Item\":{" ITEM
			"}}},{\"Delete\":{" KEY "}}]}"},
		{"TransactWriteItems",
			"{\"TransactItems\":[{\"Put\":{\"TableName\":\"main\",\"Item\":{" ITEM
			",\"g\":{\"N\":\"1\"}}}}]}"},
		{"ExecuteStatement", "{\"Statement\":\"UPDATE \\\"main\\\" SET w=999999\"}"},
		{"Query", "{\"TableName\":\"main\",\"KeyConditionExpression\":\"sk = :s\","
			  "\"ExpressionAttributeValues\":{\":s\":{\"N\":\"1\"}}}"},
		{"Scan", "{\"TableName\":\"main\",\"Limit\":0}"},
		{"UpdateTable", "{\"TableName\":\"main\",\"GlobalSecondaryIndexUpdates\":[{"
				"\"Delete\":{\"IndexName\":\"none\"}}]}"},
	};
#undef KEY
#undef ITEM
	unsigned i = any(ARRAY_SIZE(cases));
	struct answer answer = world_dynamodb(s->w, a, cases[i].operation, str_c(cases[i].body));

	if (answer.status && answer.status < 500 && answer.status != 400)
		world_fail(s->w, "%s %s answered %u %.*s", cases[i].operation, cases[i].body,
			answer.status, STR_ARG(answer.body));
}
