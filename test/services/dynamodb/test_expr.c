/*
 * Expressions: tables of texts and results. A line "@item", "@names" or "@values" holds for those
 * behind it.
 */
#include "test/services/dynamodb/dynamodb_test.h"

#include <stdlib.h>

struct world {
	str names, values, item;
};

/* Is the line one that changes the world? */
static bool take_world(struct test_table *t, struct world *w)
{
	if (str_eq(t->field[0], STR("@item")))
		w->item = test_item(&t->arena, t->field[1]);
	else if (str_eq(t->field[0], STR("@names")))
		w->names = t->field[1];
	else if (str_eq(t->field[0], STR("@values")))
		w->values = t->field[1];
	else
		return false;
	t->cases--;
	return true;
}

static int read_placeholders(struct expr *e, struct arena *arena, str names, str values)
{
	struct attr_decoder d;
	struct json_reader r;

	if (names.p) {
		json_reader_init(&r, names, arena, JSON_DEPTH_DEFAULT);
		TRY(expr_read_names(e, &r));
		EXPECT_INT(json_end(&r), 0);
	}
	if (values.p) {
		attr_decoder_init(&d, arena, e->fault);
		json_reader_init(&r, values, arena, JSON_DEPTH_DEFAULT);
		TRY(expr_read_values(e, &d, &r));
		EXPECT_INT(json_end(&r), 0);
	}
	return 0;
}

static void begin(struct expr *e, struct test_table *t, struct fault *fault, const struct world *w)
{
	*fault = (struct fault){.kind = NULL};
	expr_init(e, &t->arena, fault);
	EXPECT_INT(read_placeholders(e, &t->arena, w->names, w->values), 0);
	EXPECT_INT(expr_check_placeholders(e), 0);
}

/* "!" and the fault's message without `prefix`. */
static str refusal(struct test_table *t, int rc, const struct fault *fault, str prefix)
{
	str message = fault->message;

	EXPECT_INT(rc, ERR_FAULT);
	EXPECT(fault->kind == &dynamodb_faults[DYNAMODB_VALIDATION]);
	if (prefix.n && str_starts(message, prefix))
		return ARENA_CONCAT(&t->arena, STR("!"), str_from(message, prefix.n));
	return ARENA_CONCAT(&t->arena, prefix.n ? STR("!!") : STR("!"), message);
}

TEST(expr, condition_table)
{
	struct world w = {STR_NULL, STR_NULL, STR_NULL};
	struct test_table t;

	for (test_table_open(&t, "test/services/dynamodb/condition.txt"); test_table_next(&t);) {
		const struct expr_condition *c;
		struct fault fault;
		struct expr e;
		str got;
		int rc;

		if (take_world(&t, &w))
			continue;
		begin(&e, &t, &fault, &w);
		rc = expr_parse_condition(&e, EXPR_CONDITION, t.field[0], &c);
		if (rc < 0)
			got = refusal(&t, rc, &fault, STR("Invalid ConditionExpression: "));
		else
			got = expr_matches(c, w.item) ? STR("true") : STR("false");
		TABLE_EXPECT_STR(&t, got, t.field[1]);
	}
	test_table_close(&t, 210);
}

TEST(expr, projection_table)
{
	struct world w = {STR_NULL, STR_NULL, STR_NULL};
	struct test_table t;

	for (test_table_open(&t, "test/services/dynamodb/projection.txt"); test_table_next(&t);) {
		const struct expr_projection *p;
		struct fault fault;
		struct buf out;
		struct expr e;
		str got;
		int rc;

		if (take_world(&t, &w))
			continue;
		begin(&e, &t, &fault, &w);
		rc = expr_parse_projection(&e, t.field[0], &p);
		if (rc < 0) {
			got = refusal(&t, rc, &fault, STR("Invalid ProjectionExpression: "));
		} else {
			buf_init(&out, &t.arena, ITEM_ENCODED_MAX);
			expr_project(p, w.item, &out);
			EXPECT(item_is_valid(buf_str(&out)));
			got = test_item_text(&t.arena, buf_str(&out));
		}
		TABLE_EXPECT_STR(&t, got, t.field[1]);
	}
	test_table_close(&t, 38);
}

static str update(struct test_table *t, struct expr *e, const struct expr_update *u, str old)
{
	struct buf out, shown;
	int rc;

	buf_init(&out, &t->arena, ITEM_ENCODED_MAX);
	buf_init(&shown, &t->arena, ITEM_ENCODED_MAX);
	rc = expr_apply_update(e, u, old, &out);
	if (rc < 0)
		return refusal(t, rc, e->fault, STR("Invalid UpdateExpression: "));
	EXPECT(item_is_valid(buf_str(&out)));
	expr_project(expr_update_touched(u), buf_str(&out), &shown);
	EXPECT(item_is_valid(buf_str(&shown)));
	TABLE_EXPECT_STR(t, test_item_text(&t->arena, buf_str(&shown)), t->field[2]);
	return test_item_text(&t->arena, buf_str(&out));
}

TEST(expr, update_table)
{
	struct world w = {STR_NULL, STR_NULL, STR_NULL};
	struct test_table t;

	for (test_table_open(&t, "test/services/dynamodb/update.txt"); test_table_next(&t);) {
		const struct expr_update *u;
		struct fault fault;
		struct expr e;
		str got;
		int rc;

		if (take_world(&t, &w))
			continue;
		begin(&e, &t, &fault, &w);
		rc = expr_parse_update(&e, t.field[0], &u);
		got = rc < 0 ? refusal(&t, rc, &fault, STR("Invalid UpdateExpression: "))
			     : update(&t, &e, u, w.item);
		TABLE_EXPECT_STR(&t, got, t.field[1]);
	}
	test_table_close(&t, 115);
}

static str condition_text(
	struct arena *arena, const struct key_schema *s, const struct key_condition *c)
{
	static const char *const operators[] = {[KEY_EQUAL] = "=",
		[KEY_LESS] = "<",
		[KEY_LESS_EQUAL] = "<=",
		[KEY_GREATER] = ">",
		[KEY_GREATER_EQUAL] = ">=",
		[KEY_BETWEEN] = " BETWEEN ",
		[KEY_BEGINS_WITH] = " BEGINS "};
	struct buf out;

	buf_init(&out, arena, 1 << 20);
	for (unsigned i = 0; i < s->partitions; i++) {
		str value = test_value_text(arena, c->partition[i]);

		buf_printf(&out, "%s%.*s=%.*s", i ? " " : "", STR_ARG(s->partition[i].name),
			STR_ARG(value));
	}
	for (unsigned i = 0; i < c->sorts; i++) {
		str value = test_value_text(arena, c->sort[i]);
		enum key_operator op = i + 1u == c->sorts ? c->op : KEY_EQUAL;

		buf_printf(&out, " %.*s%s%.*s", STR_ARG(s->sort[i].name), operators[op],
			STR_ARG(value));
	}
	if (c->high.p) {
		str value = test_value_text(arena, c->high);

		buf_printf(&out, " AND %.*s", STR_ARG(value));
	}
	EXPECT((c->op == KEY_ALL) == (c->sorts == 0));
	EXPECT((c->op == KEY_BETWEEN) == (c->high.p != NULL));
	return buf_str(&out);
}

TEST(expr, key_condition_table)
{
	struct world w = {STR_NULL, STR_NULL, STR_NULL};
	struct test_table t;

	for (test_table_open(&t, "test/services/dynamodb/key_condition.txt");
		test_table_next(&t);) {
		struct key_schema s;
		struct key_condition c;
		struct fault fault;
		struct expr e;
		str got;
		int rc;

		if (take_world(&t, &w))
			continue;
		s = test_schema(t.field[0]);
		begin(&e, &t, &fault, &w);
		rc = expr_parse_key_condition(&e, t.field[1], &s, &c);
		got = rc < 0 ? refusal(&t, rc, &fault, STR("")) : condition_text(&t.arena, &s, &c);
		TABLE_EXPECT_STR(&t, got, t.field[2]);
	}
	test_table_close(&t, 59);
}

static int check_placeholders(struct expr *e, struct test_table *t)
{
	const struct expr_condition *c;

	TRY(read_placeholders(e, &t->arena, str_eq(t->field[0], STR("-")) ? STR_NULL : t->field[0],
		str_eq(t->field[1], STR("-")) ? STR_NULL : t->field[1]));
	TRY(expr_check_placeholders(e));
	TRY(expr_parse_condition(e, EXPR_FILTER, t->field[2], &c));
	return expr_check_used(e);
}

TEST(expr, placeholders_table)
{
	struct test_table t;

	for (test_table_open(&t, "test/services/dynamodb/placeholders.txt"); test_table_next(&t);) {
		struct fault fault = {0};
		struct expr e;
		int rc;

		expr_init(&e, &t.arena, &fault);
		rc = check_placeholders(&e, &t);
		EXPECT(rc == 0 || rc == ERR_FAULT);
		TABLE_EXPECT_STR(&t, rc < 0 ? fault.message : STR("ok"), t.field[3]);
	}
	test_table_close(&t, 24);
}

static str condition_refusal(struct arena *a, str text)
{
	const struct expr_condition *c;
	struct fault fault = {0};
	struct expr e;

	expr_init(&e, a, &fault);
	return expr_parse_condition(&e, EXPR_FILTER, text, &c) < 0 ? fault.message : STR("ok");
}

/* `n` times `part`, with `between` between. */
static str repeated(struct arena *a, unsigned n, str part, str between)
{
	struct buf out;

	buf_init(&out, a, 1 << 22);
	for (unsigned i = 0; i < n; i++) {
		if (i)
			buf_put(&out, between);
		buf_put(&out, part);
	}
	return buf_str(&out);
}

TEST(expr, limits)
{
	struct arena a;
	str text;

	arena_init(&a, 1 << 24);
	/* 4,096 bytes */
	text = ARENA_CONCAT(&a, STR("a = b"), repeated(&a, 4091, STR(" "), STR("")));
	EXPECT_STR(condition_refusal(&a, text), STR("ok"));
	text = ARENA_CONCAT(&a, text, STR(" "));
	EXPECT_STR(condition_refusal(&a, text), STR("Invalid FilterExpression: Expression size has "
						    "exceeded the maximum allowed size;"));
	/* 300 operators: each part has one, and each AND is one */
	EXPECT_STR(condition_refusal(&a, repeated(&a, 150, STR("a = b"), STR(" AND "))), STR("ok"));
	EXPECT_STR(condition_refusal(&a, repeated(&a, 151, STR("a = b"), STR(" AND "))),
		STR("Invalid FilterExpression: The expression contains too many operators; "
		    "operator "
		    "count: 301"));
	/* 100 operands of IN */
	text = ARENA_CONCAT(&a, STR("a IN ("), repeated(&a, 100, STR("b"), STR(",")), STR(")"));
	EXPECT_STR(condition_refusal(&a, text), STR("ok"));
	text = ARENA_CONCAT(&a, STR("a IN ("), repeated(&a, 101, STR("b"), STR(",")), STR(")"));
	EXPECT_STR(condition_refusal(&a, text),
		STR("Invalid FilterExpression: The IN operator is provided with too many operands; "
		    "number of operands: 101"));
	/* depth */
	text = ARENA_CONCAT(&a, repeated(&a, EXPR_DEPTH_MAX, STR("NOT "), STR("")), STR("a = b"));
	EXPECT_STR(condition_refusal(&a, text), STR("ok"));
	text = ARENA_CONCAT(&a, STR("NOT "), text);
	EXPECT_STR(condition_refusal(&a, text), STR("Invalid FilterExpression: The expression is "
						    "nested too deeply; maximum number of "
						    "levels: 100"));
	text = repeated(&a, 4096, STR("("), STR(""));
	EXPECT(str_starts(
		condition_refusal(&a, text), STR("Invalid FilterExpression: The expression is "
						 "nested too deeply")));
	text = repeated(&a, 1024, STR("f(a,"), STR(""));
	EXPECT(str_starts(
		condition_refusal(&a, text), STR("Invalid FilterExpression: The expression is "
						 "nested too deeply")));
	arena_done(&a);
}

TEST(expr, placeholder_limits)
{
	struct attr_decoder d;
	struct json_reader r;
	struct fault fault = {0};
	struct expr e;
	struct arena a;
	str json;

	arena_init(&a, 1 << 24);
	json = ARENA_CONCAT(
		&a, STR("{\"#"), repeated(&a, 254, STR("x"), STR("")), STR("\":\"n\"}"));
	expr_init(&e, &a, &fault);
	json_reader_init(&r, json, &a, 10);
	ASSERT_INT(expr_read_names(&e, &r), 0);
	EXPECT_INT(expr_check_placeholders(&e), 0);
	json = ARENA_CONCAT(
		&a, STR("{\"#"), repeated(&a, 255, STR("x"), STR("")), STR("\":\"n\"}"));
	expr_init(&e, &a, &fault);
	json_reader_init(&r, json, &a, 10);
	ASSERT_INT(expr_read_names(&e, &r), 0);
	EXPECT_INT(expr_check_placeholders(&e), ERR_FAULT);
	json = ARENA_CONCAT(&a, STR("{\":v\":{\"S\":\""),
		repeated(&a, EXPR_PLACEHOLDERS_BYTES_MAX, STR("x"), STR("")), STR("\"}}"));
	expr_init(&e, &a, &fault);
	attr_decoder_init(&d, &a, &fault);
	json_reader_init(&r, json, &a, 10);
	ASSERT_INT(expr_read_values(&e, &d, &r), 0);
	EXPECT_INT(expr_check_placeholders(&e), ERR_FAULT);
	EXPECT_STR(fault.message, STR("ExpressionAttributeValues exceeds max size"));
	arena_done(&a);
}

/* Each documented word, in either case, and nothing else. */
TEST(expr, reserved_words)
{
	static const char *const words[] = {
#define RESERVED(word) word,
#include "services/dynamodb/reserved.def"
#undef RESERVED
	};
	struct arena a;

	arena_init(&a, 1 << 24);
	EXPECT_INT(ARRAY_SIZE(words), 573);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		char lower[32] = "";
		str word = str_c(words[i]);

		for (size_t n = 0; n < word.n; n++)
			lower[n] = (char)(word.p[n] + 32);
		/* As the second element, where no keyword of the grammar can stand. */
		EXPECT(str_ends(
			condition_refusal(&a, ARENA_CONCAT(&a, STR("a."), word, STR(" = b"))),
			ARENA_CONCAT(&a, STR("reserved keyword: "), word)));
		EXPECT(str_ends(condition_refusal(
					&a, ARENA_CONCAT(&a, STR("a."), str_c(lower), STR(" = b"))),
			ARENA_CONCAT(&a, STR("reserved keyword: "), str_c(lower))));
		EXPECT_STR(condition_refusal(&a, ARENA_CONCAT(&a, STR("a."), word, STR("_ = b"))),
			STR("ok"));
	}
	arena_done(&a);
}

TEST(expr, keys_are_fixed)
{
	struct key_schema s = test_schema(STR("pk:S sk:N"));
	const struct expr_condition *c;
	const struct expr_update *u;
	struct fault fault = {0};
	struct expr e;
	struct arena a;

	arena_init(&a, 1 << 20);
	expr_init(&e, &a, &fault);
	ASSERT_INT(expr_parse_update(&e, STR("REMOVE a, b.c"), &u), 0);
	EXPECT_INT(expr_check_update_keys(&e, u, &s), 0);
	ASSERT_INT(expr_parse_update(&e, STR("REMOVE a, sk"), &u), 0);
	EXPECT_INT(expr_check_update_keys(&e, u, &s), ERR_FAULT);
	EXPECT_STR(fault.message,
		STR("One or more parameter values were invalid: Cannot update attribute sk. This "
		    "attribute is part of the key"));
	ASSERT_INT(expr_parse_update(&e, STR("REMOVE pk.a"), &u), 0);
	EXPECT_INT(expr_check_update_keys(&e, u, &s), ERR_FAULT);
	ASSERT_INT(expr_parse_condition(&e, EXPR_FILTER, STR("a = b AND c = d"), &c), 0);
	EXPECT_INT(expr_check_filter_keys(&e, c, &s), 0);
	ASSERT_INT(expr_parse_condition(
			   &e, EXPR_FILTER, STR("a = b OR NOT (c = d AND size(pk) = e)"), &c),
		0);
	EXPECT_INT(expr_check_filter_keys(&e, c, &s), ERR_FAULT);
	EXPECT_STR(fault.message,
		STR("Filter Expression can only contain non-primary key attributes: Primary key "
		    "attribute: pk"));
	arena_done(&a);
}

TEST(expr, no_item)
{
	const struct expr_condition *c;
	struct fault fault = {0};
	struct expr e;
	struct arena a;

	arena_init(&a, 1 << 20);
	expr_init(&e, &a, &fault);
	ASSERT_INT(
		expr_parse_condition(&e, EXPR_CONDITION, STR("attribute_not_exists(pk)"), &c), 0);
	EXPECT(expr_matches(c, STR_NULL));
	ASSERT_INT(expr_parse_condition(&e, EXPR_CONDITION, STR("attribute_exists(pk)"), &c), 0);
	EXPECT(!expr_matches(c, STR_NULL));
	arena_done(&a);
}

TEST(expr, projection_of_names)
{
	const str names[] = {STR("z"), STR("a"), STR("z"), STR("none"), STR("b.c")};
	struct arena a;
	struct buf out;

	arena_init(&a, 1 << 20);
	buf_init(&out, &a, 4096);
	expr_project(expr_projection_of(&a, names, ARRAY_SIZE(names)),
		test_item(&a, STR("{\"z\":{\"S\":\"1\"},\"a\":{\"L\":[]},\"b.c\":{\"S\":\"2\"},"
				  "\"b\":{\"S\":\"3\"}}")),
		&out);
	EXPECT_STR(test_item_text(&a, buf_str(&out)),
		STR("{\"a\":{\"L\":[]},\"b.c\":{\"S\":\"2\"},\"z\":{\"S\":\"1\"}}"));
	buf_reset(&out);
	expr_project(expr_projection_of(&a, NULL, 0), STR("\x01"), &out);
	EXPECT_STR(test_item_text(&a, buf_str(&out)), STR("{}"));
	arena_done(&a);
}

/* The new item may be neither too large nor nested too deeply. */
TEST(expr, update_limits)
{
	struct attr_decoder d;
	struct json_reader r;
	struct fault fault = {0};
	const struct expr_update *u;
	struct expr e;
	struct arena a;
	struct buf out;
	str old, values;

	arena_init(&a, 1 << 24);
	old = test_item(&a, ARENA_CONCAT(&a, STR("{\"a\":{\"S\":\""),
				    repeated(&a, 400 * 1024 - 3, STR("x"), STR("")), STR("\"}}")));
	EXPECT_INT(item_size(old), 400 * 1024 - 2);
	expr_init(&e, &a, &fault);
	attr_decoder_init(&d, &a, &fault);
	json_reader_init(&r, STR("{\":one\":{\"S\":\"y\"},\":two\":{\"S\":\"yy\"}}"), &a, 10);
	ASSERT_INT(expr_read_values(&e, &d, &r), 0);
	ASSERT_INT(expr_parse_update(&e, STR("SET b = :one"), &u), 0);
	buf_init(&out, &a, ITEM_ENCODED_MAX);
	EXPECT_INT(expr_apply_update(&e, u, old, &out), 0);
	EXPECT_INT(item_size(buf_str(&out)), ITEM_SIZE_MAX);
	ASSERT_INT(expr_parse_update(&e, STR("SET b = :two"), &u), 0);
	buf_reset(&out);
	EXPECT_INT(expr_apply_update(&e, u, old, &out), ERR_FAULT);
	EXPECT_STR(fault.message, STR("Item size to update has exceeded the maximum allowed size"));
	/* 31 lists around a string, put one level down and two */
	old = test_item(&a, STR("{\"m\":{\"M\":{\"m\":{\"M\":{}}}}}"));
	values = ARENA_CONCAT(&a, STR("{\":v\":"), repeated(&a, 30, STR("{\"L\":["), STR("")),
		STR("{\"S\":\"x\"}"), repeated(&a, 30, STR("]}"), STR("")), STR("}"));
	expr_init(&e, &a, &fault);
	attr_decoder_init(&d, &a, &fault);
	json_reader_init(&r, values, &a, JSON_DEPTH_DEFAULT);
	ASSERT_INT(expr_read_values(&e, &d, &r), 0);
	ASSERT_INT(expr_check_placeholders(&e), 0);
	ASSERT_INT(expr_parse_update(&e, STR("SET m.a = :v"), &u), 0);
	buf_reset(&out);
	EXPECT_INT(expr_apply_update(&e, u, old, &out), 0);
	EXPECT(item_is_valid(buf_str(&out)));
	ASSERT_INT(expr_parse_update(&e, STR("SET m.m.a = :v"), &u), 0);
	buf_reset(&out);
	EXPECT_INT(expr_apply_update(&e, u, old, &out), ERR_FAULT);
	EXPECT(str_starts(fault.message, STR("Nesting Levels have exceeded supported limits")));
	arena_done(&a);
}
