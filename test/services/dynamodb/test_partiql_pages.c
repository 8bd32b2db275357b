/*
 * NextToken of ExecuteStatement: following it gives every item once, in order; one that was
 * changed, or that belongs to another statement or table, is refused.
 */
#include "base/check.h"
#include "base/json.h"
#include "test/services/dynamodb/wire.h"

enum { ITEMS = 25 };

static void make_table(struct ddb *w, struct arena *a, const char *name)
{
	(void)ddb_expect(w, a, 200, "CreateTable",
		arena_printf(a,
			"{\"TableName\":\"%s\",\"AttributeDefinitions\":[{\"AttributeName\":\"pk\","
			"\"AttributeType\":\"S\"},{\"AttributeName\":\"sk\",\"AttributeType\":"
			"\"N\"}],"
			"\"KeySchema\":[{\"AttributeName\":\"pk\",\"KeyType\":\"HASH\"},{"
			"\"AttributeName\":\"sk\",\"KeyType\":\"RANGE\"}],\"BillingMode\":\"PAY_"
			"PER_"
			"REQUEST\"}",
			name));
	for (int i = 0; i < ITEMS; i++)
		(void)ddb_expect(w, a, 200, "ExecuteStatement",
			arena_printf(a,
				"{\"Statement\":\"INSERT INTO %s VALUE {'pk': '%c', 'sk': %d}\"}",
				name, 'a' + i % 3, i));
}

static str request(struct arena *a, const char *statement, int limit, str token)
{
	return arena_printf(a, "{\"Statement\":\"%s\",\"Limit\":%d%s%.*s%s}", statement, limit,
		token.p ? ",\"NextToken\":\"" : "", STR_ARG(token), token.p ? "\"" : "");
}

static str next_token(const struct json_value *answer)
{
	const struct json_value *token = json_get(answer, STR("NextToken"));

	EXPECT_INT(token != NULL, json_get(answer, STR("LastEvaluatedKey")) != NULL);
	return token ? token->text : STR_NULL;
}

/* Follows the pages: the sort keys that they gave, "1,4,7". */
static str all_pages(struct ddb *w, struct arena *a, const char *statement, int limit)
{
	str token = STR_NULL;
	struct buf out;

	buf_init(&out, a, 4096);
	for (unsigned pages = 0; pages <= 2 * ITEMS; pages++) {
		str body = ddb_expect(
			w, a, 200, "ExecuteStatement", request(a, statement, limit, token));
		const struct json_value *items;
		struct json_value *answer;

		check(json_parse(a, body, JSON_DEPTH_MAX, &answer, NULL) == 0);
		items = json_get(answer, STR("Items"));
		EXPECT(items->count <= (uint32_t)limit);
		for (uint32_t i = 0; i < items->count; i++) {
			const struct json_value *sk = json_get(&items->items[i], STR("sk"));

			if (out.n)
				buf_put_char(&out, ',');
			buf_put(&out, json_get(sk, STR("N"))->text);
		}
		token = next_token(answer);
		if (!token.p)
			return buf_str(&out);
	}
	test_fail(__FILE__, __LINE__, "the pages do not end");
	return buf_str(&out);
}

static void follow(struct ddb *w)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	make_table(w, &a, "tab");
	for (int limit = 1; limit < 12; limit += 3) {
		EXPECT_STR(all_pages(w, &a, "SELECT sk FROM tab WHERE pk = 'b'", limit),
			STR("1,4,7,10,13,16,19,22"));
		EXPECT_STR(all_pages(w, &a, "SELECT sk FROM tab WHERE pk = 'b' ORDER BY sk DESC",
				   limit),
			STR("22,19,16,13,10,7,4,1"));
		EXPECT_STR(all_pages(w, &a,
				   "SELECT sk FROM tab WHERE pk IN ['c', 'a', 'x'] AND sk > 10",
				   limit),
			STR("12,15,18,21,24,11,14,17,20,23"));
		EXPECT_STR(all_pages(w, &a,
				   "SELECT sk FROM tab WHERE pk IN ['c', 'a'] AND sk > 16 ORDER BY "
				   "pk DESC, sk DESC",
				   limit),
			STR("23,20,17,24,21,18"));
	}
}

TEST(partiql, pages_follow_next_token)
{
	ddb_run(1, follow, NULL);
}

static void refuse(struct ddb *w, struct arena *a, const char *statement, str token)
{
	str body = ddb_expect(w, a, 400, "ExecuteStatement", request(a, statement, 2, token));

	EXPECT(str_find_str(body, STR("NextToken does not match request")) >= 0);
}

static void forge(struct ddb *w)
{
	static const char statement[] = "SELECT sk FROM tab WHERE pk = 'b'";
	struct arena a cleanup(arena_done_p);
	struct json_value *answer;
	str token, body;

	arena_init(&a, SIZE_MAX);
	make_table(w, &a, "tab");
	body = ddb_expect(w, &a, 200, "ExecuteStatement", request(&a, statement, 2, STR_NULL));
	EXPECT_INT(json_parse(&a, body, JSON_DEPTH_MAX, &answer, NULL), 0);
	token = next_token(answer);
	EXPECT(token.n > 16);
	for (size_t i = 0; i < token.n; i++) {
		str forged = arena_str(&a, token);

		((char *)forged.p)[i] = forged.p[i] == 'A' ? 'B' : 'A';
		refuse(w, &a, statement, forged);
		refuse(w, &a, statement, str_sub(token, 0, i ? i : 1));
	}
	refuse(w, &a, "SELECT sk FROM tab WHERE pk = 'c'", token);
	refuse(w, &a, "SELECT sk FROM tab", token);
	/* A table that was made anew has other items. */
	(void)ddb_expect(w, &a, 200, "DeleteTable", STR("{\"TableName\":\"tab\"}"));
	make_table(w, &a, "tab");
	refuse(w, &a, statement, token);
}

TEST(partiql, forged_tokens_are_refused)
{
	ddb_run(1, forge, NULL);
}
