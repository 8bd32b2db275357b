/*
 * PartiQL: tables of statements and what they become. A line "@params" gives the parameters for
 * those behind it, "@keys" the key schema.
 */
#include "test/services/dynamodb/dynamodb_test.h"

#include "services/dynamodb/partiql_ast.h"

enum { PARAMETERS_MAX = 150 };

struct world {
	str parameters[PARAMETERS_MAX];
	uint32_t count;
	struct key_schema keys;
};

/* A JSON list of typed values. */
static void take_parameters(struct test_table *t, struct world *w)
{
	struct fault fault = {.kind = NULL};
	struct attr_decoder d;
	struct json_reader r;

	w->count = 0;
	json_reader_init(&r, t->field[1], &t->arena, JSON_DEPTH_DEFAULT);
	attr_decoder_init(&d, &t->arena, &fault);
	EXPECT_INT(json_array_begin(&r), 0);
	while (json_array_next(&r) > 0 && w->count < PARAMETERS_MAX) {
		struct buf out;

		buf_init(&out, &t->arena, ITEM_ENCODED_MAX);
		EXPECT_INT(attr_read_json(&d, &r, &out), 0);
		w->parameters[w->count++] = buf_str(&out);
	}
	EXPECT_INT(json_end(&r), 0);
}

static bool take_world(struct test_table *t, struct world *w)
{
	if (str_eq(t->field[0], STR("@params")))
		take_parameters(t, w);
	else if (str_eq(t->field[0], STR("@keys")))
		w->keys = test_schema(t->field[1]);
	else
		return false;
	t->cases--;
	return true;
}

static void put_node(struct arena *a, struct buf *out, const struct expr_node *n)
{
	switch (n->kind) {
	case NODE_PATH: buf_put(out, path_text(a, &n->path)); return;
	case NODE_VALUE: buf_put(out, test_value_text(a, n->value)); return;
	default: break;
	}
	buf_printf(out, "%s(", node_name(n->kind));
	for (uint32_t i = 0; i < n->count; i++) {
		if (i)
			buf_put(out, STR(", "));
		put_node(a, out, n->args[i]);
	}
	buf_put_char(out, ')');
}

static void put_condition(
	struct arena *a, struct buf *out, const char *what, const struct expr_condition *c)
{
	if (!c)
		return;
	buf_printf(out, " %s ", what);
	put_node(a, out, c->root);
}

static void put_actions(struct arena *a, struct buf *out, const struct expr_update *u)
{
	static const char *const names[] = {
		[ACTION_SET] = "SET",
		[ACTION_REMOVE] = "REMOVE",
		[ACTION_ADD] = "ADD",
		[ACTION_DELETE] = "DELETE",
	};

	for (const struct action *action = u->first; action; action = action->next) {
		str path = path_text(a, &action->path);

		buf_printf(out, " %s %.*s", names[action->kind], STR_ARG(path));
		if (action->operand) {
			buf_put(out, STR(" = "));
			put_node(a, out, action->operand);
		} else if (action->value.p) {
			buf_put_char(out, ' ');
			buf_put(out, test_value_text(a, action->value));
		}
	}
}

static str statement_text(struct arena *a, const struct partiql *s)
{
	static const char *const kinds[] = {
		[PARTIQL_SELECT] = "SELECT",
		[PARTIQL_INSERT] = "INSERT",
		[PARTIQL_UPDATE] = "UPDATE",
		[PARTIQL_DELETE] = "DELETE",
		[PARTIQL_EXISTS] = "EXISTS",
	};
	static const char *const returns[] = {
		[RETURN_ALL_OLD] = "ALL_OLD",
		[RETURN_UPDATED_OLD] = "UPDATED_OLD",
		[RETURN_ALL_NEW] = "ALL_NEW",
		[RETURN_UPDATED_NEW] = "UPDATED_NEW",
	};
	struct buf out;

	buf_init(&out, a, ITEM_ENCODED_MAX);
	buf_printf(&out, "%s %.*s", kinds[s->kind], STR_ARG(s->table));
	if (s->index.p)
		buf_printf(&out, "/%.*s", STR_ARG(s->index));
	for (uint32_t i = 0; i < s->output_count; i++) {
		str path = path_text(a, &s->outputs[i].path);

		buf_printf(&out, " %.*s:%.*s", STR_ARG(s->outputs[i].name), STR_ARG(path));
	}
	if (s->item.p)
		buf_printf(&out, " %.*s", STR_ARG(test_item_text(a, s->item)));
	if (s->update)
		put_actions(a, &out, s->update);
	put_condition(a, &out, "WHERE", s->where);
	for (unsigned i = 0; i < s->orders; i++)
		buf_printf(&out, " %s %.*s", s->order[i].descending ? "DESC" : "ASC",
			STR_ARG(s->order[i].name));
	if (s->returns)
		buf_printf(&out, " %s", returns[s->returns]);
	return buf_str(&out);
}

/* "!" and the message; the long beginning of syntax errors is "~". */
static str refusal(struct arena *a, int rc, const struct fault *fault)
{
	str message = fault->message,
	    prefix = STR("Statement wasn't well formed, can't be processed: ");

	EXPECT_INT(rc, ERR_FAULT);
	EXPECT(fault->kind == &dynamodb_faults[DYNAMODB_VALIDATION]);
	if (str_starts(message, prefix))
		return ARENA_CONCAT(a, STR("!~"), str_from(message, prefix.n));
	return ARENA_CONCAT(a, STR("!"), message);
}

TEST(partiql, statement_table)
{
	struct world w = {.count = 0};
	struct test_table t;

	for (test_table_open(&t, "test/services/dynamodb/partiql.txt"); test_table_next(&t);) {
		struct fault fault = {.kind = NULL};
		struct partiql s;
		str got;
		int rc;

		if (take_world(&t, &w))
			continue;
		rc = partiql_parse(&t.arena, &fault, t.field[0], w.parameters, w.count, &s);
		got = rc < 0 ? refusal(&t.arena, rc, &fault) : statement_text(&t.arena, &s);
		TABLE_EXPECT_STR(&t, got, t.field[1]);
	}
	test_table_close(&t, 150);
}

static void put_key_condition(struct arena *a, struct buf *out, const struct key_schema *keys,
	const struct key_condition *c)
{
	static const char *const operators[] = {
		[KEY_EQUAL] = "=",
		[KEY_LESS] = "<",
		[KEY_LESS_EQUAL] = "<=",
		[KEY_GREATER] = ">",
		[KEY_GREATER_EQUAL] = ">=",
		[KEY_BETWEEN] = "between",
		[KEY_BEGINS_WITH] = "begins",
	};

	buf_put_char(out, '(');
	for (unsigned i = 0; i < keys->partitions; i++)
		buf_put(out, test_value_text(a, c->partition[i]));
	for (unsigned i = 0; i < c->sorts; i++) {
		buf_printf(out, " %s ", operators[i + 1 < c->sorts ? KEY_EQUAL : c->op]);
		buf_put(out, test_value_text(a, c->sort[i]));
	}
	if (c->high.p)
		buf_put(out, test_value_text(a, c->high));
	buf_put_char(out, ')');
}

static str plan_text(struct arena *a, const struct key_schema *keys, const struct partiql_plan *p)
{
	struct buf out;

	buf_init(&out, a, ITEM_ENCODED_MAX);
	buf_put(&out, p->count ? STR("query") : STR("scan"));
	for (unsigned i = 0; i < p->count; i++)
		put_key_condition(a, &out, keys, &p->conditions[i]);
	if (p->key.p)
		buf_printf(&out, " key %.*s", STR_ARG(test_item_text(a, p->key)));
	if (p->reverse)
		buf_put(&out, STR(" reverse"));
	put_condition(a, &out, "filter", p->filter);
	return buf_str(&out);
}

static int key_text(struct test_table *t, struct world *w, struct partiql *s, str *ret_text)
{
	const struct expr_condition *rest, *all;
	struct buf out;
	str key;

	TRY(partiql_key(s, &w->keys, &key, &rest));
	all = partiql_condition(s, &w->keys, rest);
	buf_init(&out, &t->arena, ITEM_ENCODED_MAX);
	buf_printf(&out, "key %.*s", STR_ARG(test_item_text(&t->arena, key)));
	put_condition(&t->arena, &out, "if", all);
	*ret_text = buf_str(&out);
	return 0;
}

TEST(partiql, plan_table)
{
	struct world w = {.count = 0};
	struct test_table t;

	for (test_table_open(&t, "test/services/dynamodb/partiql_plan.txt"); test_table_next(&t);) {
		struct fault fault = {.kind = NULL};
		struct partiql_plan plan;
		struct partiql s;
		str got;
		int rc;

		if (take_world(&t, &w))
			continue;
		EXPECT_INT(
			partiql_parse(&t.arena, &fault, t.field[0], w.parameters, w.count, &s), 0);
		rc = partiql_is_write(&s) ? key_text(&t, &w, &s, &got)
					  : partiql_plan(&s, &w.keys, &plan);
		if (rc < 0)
			got = refusal(&t.arena, rc, &fault);
		else if (!partiql_is_write(&s))
			got = plan_text(&t.arena, &w.keys, &plan);
		TABLE_EXPECT_STR(&t, got, t.field[1]);
	}
	test_table_close(&t, 40);
}

TEST(partiql, project)
{
	struct fault fault = {.kind = NULL};
	struct arena a cleanup(arena_done_p);
	struct partiql s;
	struct buf out;
	str item;

	arena_init(&a, SIZE_MAX);
	item = test_item(&a, STR("{\"a\":{\"M\":{\"b\":{\"L\":[{\"N\":\"1\"},{\"N\":\"2\"}]}}},"
				 "\"z\":{\"S\":\"x\"}}"));
	EXPECT_INT(partiql_parse(&a, &fault, STR("SELECT z, a.b[1], a.b[7], a.b, no FROM tab"),
			   NULL, 0, &s),
		0);
	buf_init(&out, &a, ITEM_ENCODED_MAX);
	partiql_project(&s, item, &out);
	EXPECT(item_is_valid(buf_str(&out)));
	EXPECT_STR(test_item_text(&a, buf_str(&out)),
		STR("{\"b\":{\"L\":[{\"N\":\"1\"},{\"N\":\"2\"}]},\"b[1]\":{\"N\":\"2\"},\"z\":{"
		    "\"S\":\"x\"}}"));
}
