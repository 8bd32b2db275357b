/*
 * Random reads: single items, batches, transactions, pages of the table and its indexes.
 */
#include "test/sim/store.h"

enum { REQUEST_MAX = 1 << 14, PAGES_MAX = 40 };

static bool read_item(
	struct store *s, const struct json_value *v, unsigned *ret_key, struct model_item *ret_item)
{
	if (model_read(v, ret_key, ret_item))
		return true;
	world_fail(s->w, "a strange item was read");
	return false;
}

static void note_read(
	struct store *s, int64_t begun, uint64_t group, unsigned key, const struct model_item *item)
{
	history_add_read(&s->history, &(struct history_read){.begun = begun,
					      .ended = rt_now(),
					      .group = group,
					      .key = key,
					      .item = *item});
}

void store_read_one(struct store *s, struct arena *a)
{
	unsigned key = any(MODEL_KEYS), found = key;
	bool statement = any(4) == 0;
	struct model_op op = {.kind = MODEL_CHECK, .key = key};
	int64_t begun = rt_now();
	const struct json_value *v;
	struct model_item item;
	struct answer answer;
	struct buf body;

	buf_init(&body, a, REQUEST_MAX);
	if (statement) {
		buf_put(&body, STR("{\"ConsistentRead\":true,\"Statement\":\""));
		model_put_statement(&body, "main", &op);
		buf_put(&body, STR("\"}"));
	} else {
		buf_put(&body, STR("{\"TableName\":\"main\",\"ConsistentRead\":true,\"Key\":"));
		model_put_key(&body, key);
		buf_put(&body, STR("}"));
	}
	answer =
		world_dynamodb(s->w, a, statement ? "ExecuteStatement" : "GetItem", buf_str(&body));
	if (store_told(s, "GetItem", &answer) != STORE_DONE)
		return;
	v = store_parse(s, a, answer.body);
	v = statement ? json_at(json_get(v, STR("Items")), 0) : json_get(v, STR("Item"));
	if (read_item(s, v, &found, &item)) {
		if (found != key)
			world_fail(s->w, "another item was read");
		note_read(s, begun, 0, key, &item);
	}
}

void store_read_batch(struct store *s, struct arena *a)
{
	unsigned first = any(MODEL_KEYS), n = 1 + any(4);
	bool seen[MODEL_KEYS] = {false};
	int64_t begun = rt_now();
	const struct json_value *v, *items, *left;
	struct answer answer;
	struct model_item item, nothing = {0};
	struct buf body;
	unsigned key;

	buf_init(&body, a, REQUEST_MAX);
	buf_put(&body, STR("{\"RequestItems\":{\"main\":{\"ConsistentRead\":true,\"Keys\":["));
	for (unsigned i = 0; i < n; i++) {
		buf_put(&body, i ? STR(",") : STR(""));
		model_put_key(&body, (first + i) % MODEL_KEYS);
	}
	buf_put(&body, STR("]}}}"));
	answer = world_dynamodb(s->w, a, "BatchGetItem", buf_str(&body));
	if (store_told(s, "BatchGetItem", &answer) != STORE_DONE)
		return;
	v = store_parse(s, a, answer.body);
	items = json_get_path(v, STR("Responses.main"));
	left = json_get_path(v, STR("UnprocessedKeys.main.Keys"));
	for (uint32_t i = 0; left && i < left->count; i++)
		if (read_item(s, json_at(left, i), &key, &item))
			seen[key] = true;
	for (uint32_t i = 0; items && i < items->count; i++) {
		if (!read_item(s, json_at(items, i), &key, &item))
			continue;
		if (seen[key])
			world_fail(s->w, "a batch gave an item twice");
		seen[key] = true;
		note_read(s, begun, 0, key, &item);
	}
	for (unsigned i = 0; i < n; i++)
		if (!seen[(first + i) % MODEL_KEYS])
			note_read(s, begun, 0, (first + i) % MODEL_KEYS, &nothing);
}

void store_read_transaction(struct store *s, struct arena *a)
{
	unsigned first = any(MODEL_KEYS), n = 2 + any(MODEL_KEYS - 2);
	int64_t begun = rt_now();
	const struct json_value *responses;
	struct answer answer;
	struct model_item item;
	struct buf body;
	uint64_t group;

	buf_init(&body, a, REQUEST_MAX);
	buf_put(&body, STR("{\"TransactItems\":["));
	for (unsigned i = 0; i < n; i++) {
		buf_printf(&body, "%s{\"Get\":{\"TableName\":\"main\",\"Key\":", i ? "," : "");
		model_put_key(&body, (first + i) % MODEL_KEYS);
		buf_put(&body, STR("}}"));
	}
	buf_put(&body, STR("]}"));
	answer = world_dynamodb(s->w, a, "TransactGetItems", buf_str(&body));
	if (store_told(s, "TransactGetItems", &answer) != STORE_DONE)
		return;
	responses = json_get(store_parse(s, a, answer.body), STR("Responses"));
	if (!responses || responses->count != n) {
		world_fail(s->w, "%u items asked for: %.*s", n, STR_ARG(answer.body));
		return;
	}
	group = ++s->groups;
	for (unsigned i = 0; i < n; i++) {
		unsigned key = (first + i) % MODEL_KEYS, found = key;

		if (!read_item(s, json_get(json_at(responses, i), STR("Item")), &found, &item))
			continue;
		if (found != key)
			world_fail(s->w, "a transaction gave its items in another order");
		note_read(s, begun, group, key, &item);
	}
}

/* --- pages ---------------------------------------------------------------------------------- */

static void put_page_request(struct buf *body, const char *index, const char *condition,
	int64_t value, unsigned limit, const struct json_value *after)
{
	struct json_writer w;

	buf_put(body, STR("{\"TableName\":\"main\""));
	if (limit)
		buf_printf(body, ",\"Limit\":%u", limit);
	if (index)
		buf_printf(body, ",\"IndexName\":\"%s\"", index);
	if (!index || index[2] == 'l') /* "byl" */
		buf_put(body, STR(",\"ConsistentRead\":true"));
	if (condition)
		buf_printf(body,
			",\"KeyConditionExpression\":\"%s = :v\",\"ExpressionAttributeValues\":{"
			"\":v\":{\"S\":\"%c%lld\"}}",
			condition, condition[0] == 'p' ? 'k' : 'g', (long long)value);
	if (after) {
		buf_put(body, STR(",\"ExclusiveStartKey\":"));
		json_writer_init(&w, body);
		json_put_value(&w, after);
	}
	buf_put(body, STR("}"));
}

/* The items of one page. */
static void note_page(struct store *s, const struct json_value *items, bool whole, int64_t begun,
	struct store_found *found)
{
	struct model_item item;
	unsigned key;

	for (uint32_t i = 0; items && i < items->count; i++) {
		if (!read_item(s, json_at(items, i), &key, &item))
			continue;
		found->items[key] = item;
		found->times[key]++;
		if (whole)
			note_read(s, begun, 0, key, &item);
	}
}

int store_collect(struct store *s, struct arena *a, const char *operation, const char *index,
	const char *condition, int64_t value, unsigned limit, struct store_found *ret_found)
{
	const struct json_value *after = NULL, *v;
	struct store_found found = {.begun = rt_now()};
	/* The index "dyn" has keys only. */
	bool whole = !index || index[0] != 'd';
	int pages = 0;

	do {
		int64_t begun = rt_now();
		struct answer answer;
		struct buf body;

		buf_init(&body, a, REQUEST_MAX);
		put_page_request(&body, index, condition, value, limit, after);
		answer = world_dynamodb(s->w, a, operation, buf_str(&body));
		if (store_told(s, operation, &answer) != STORE_DONE)
			return ERR_IO;
		if (!(v = store_parse(s, a, answer.body)))
			return ERR_SYNTAX;
		note_page(s, json_get(v, STR("Items")), whole, begun, &found);
		after = json_get(v, STR("LastEvaluatedKey"));
		if (++pages > PAGES_MAX) {
			world_fail(s->w, "%s has no end", operation);
			return ERR_RANGE;
		}
	} while (after);
	found.ended = rt_now();
	*ret_found = found;
	return pages;
}

/*
 * What the pages did not show was, at some moment between the first and the last, not there; what
 * they showed twice had moved (in an index whose key changes) in between.
 */
void store_read_pages(struct store *s, struct arena *a)
{
	unsigned choice = any(5), limit = any(5);
	int64_t value = any(3);
	const char *index = choice == 2 || choice == 3 ? "byg" : choice == 4 ? "byl" : NULL;
	const char *condition = choice == 1 || choice == 4 ? "pk" : choice == 2 ? "g" : NULL;
	struct store_found found;

	if (store_collect(
		    s, a, condition ? "Query" : "Scan", index, condition, value, limit, &found) < 0)
		return;
	for (unsigned key = 0; key < MODEL_KEYS; key++) {
		struct history_miss miss = {found.begun, found.ended, key,
			{.count = 1, .terms = {{MODEL_EXISTS, MODEL_W, 0}}}, "not shown"};

		if (condition && condition[0] == 'p' && key / MODEL_SORTS != value) {
			if (found.times[key])
				world_fail(s->w, "a query showed another key's item");
			continue;
		}
		if (found.times[key] && choice == 2 && found.items[key].value[MODEL_G] != value)
			world_fail(s->w, "a query of an index showed another key's item");
		if (found.times[key] > 1 && !index)
			world_fail(s->w, "an item was shown twice");
		if (found.times[key])
			continue;
		if (index)
			miss.condition.terms[miss.condition.count++] =
				(struct model_term){choice == 2 ? MODEL_EQUAL : MODEL_EXISTS,
					choice == 4 ? MODEL_L : MODEL_G, value};
		/* An item whose place in the index changes may slip past several pages. */
		if (!index || limit == 0)
			history_add_miss(&s->history, &miss);
	}
}

/* --- vectors -------------------------------------------------------------------------------- */

/* From the nearest on; the distance of a whole item's vector from 0, 1 is its value. */
static void note_hit(struct store *s, const struct json_value *hit, int64_t *last, int64_t begun,
	bool whole, struct store_found *found)
{
	const struct json_value *score = json_get(hit, STR("Score"));
	struct model_item item;
	int64_t distance = -1;
	unsigned key;

	if (!read_item(s, json_get(hit, STR("Item")), &key, &item))
		return;
	if (!score || str_to_i64(score->text, &distance) < 0 || distance < *last ||
		(whole && (!item.has[MODEL_V] || item.value[MODEL_V] != distance)))
		world_fail(s->w, "a score of %lld behind one of %lld, of an item with %lld",
			(long long)distance, (long long)*last, (long long)item.value[MODEL_V]);
	*last = distance;
	found->items[key] = item;
	if (found->times[key]++)
		world_fail(s->w, "a search found an item twice");
	if (whole)
		note_read(s, begun, 0, key, &item);
}

int store_search(
	struct store *s, struct arena *a, const char *index, int g, struct store_found *ret_found)
{
	struct store_found found = {.begun = rt_now()};
	const struct json_value *v, *hits;
	struct answer answer;
	int64_t last = 0;
	struct buf body;

	buf_init(&body, a, REQUEST_MAX);
	buf_printf(&body,
		"{\"TableName\":\"main\",\"IndexName\":\"%s\",\"SearchVector\":[{\"N\":\"0\"},"
		"{\"N\":\"1\"}],\"TopK\":100",
		index);
	if (g >= 0)
		buf_printf(&body,
			",\"SearchConditionExpression\":\"g = :g\",\"ExpressionAttributeValues\":{"
			"\":g\":{\"S\":\"g%d\"}}",
			g);
	else
		buf_put(&body, STR(",\"ProjectionExpression\":\"pk,sk,w,n,g,l,t,p,v\""));
	buf_put(&body, STR("}"));
	answer = world_dynamodb(s->w, a, "SearchVectors", buf_str(&body));
	if (store_told(s, "SearchVectors", &answer) != STORE_DONE)
		return ERR_IO;
	if (!(v = store_parse(s, a, answer.body)))
		return ERR_SYNTAX;
	hits = json_get(v, STR("SearchResults"));
	for (uint32_t i = 0; hits && i < hits->count; i++)
		note_hit(s, json_at(hits, i), &last, found.begun, g < 0, &found);
	found.ended = rt_now();
	*ret_found = found;
	return 1;
}

/* What it did not find had, at some moment of the search, no vector. */
void store_read_nearest(struct store *s, struct arena *a)
{
	struct store_found found;

	if (store_search(s, a, "vec", -1, &found) < 0)
		return;
	for (unsigned key = 0; key < MODEL_KEYS; key++)
		if (!found.times[key])
			history_add_miss(&s->history,
				&(struct history_miss){found.begun, found.ended, key,
					{.count = 1, .terms = {{MODEL_EXISTS, MODEL_V, 0}}},
					"not found by a search"});
}
