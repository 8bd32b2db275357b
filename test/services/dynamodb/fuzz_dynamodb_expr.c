/*
 * Expressions: the first byte chooses the kind, the rest is the text. Whatever parses can be
 * evaluated, and an update gives a valid item.
 */
#include "base/check.h"
#include "services/dynamodb/expr.h"
#include "services/dynamodb/faults.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char names[] = "{\"#a\":\"a\",\"#m\":\"m\",\"#l\":\"l\",\"#p\":\"pk\",\"#s\":\"sk\"}";
static const char values[] = "{\":n\":{\"N\":\"2\"},\":s\":{\"S\":\"x\"},\":l\":{\"L\":[{\"S\":"
			     "\"x\"}]},\":t\":{\"S\":\"L\"},\":ss\":{"
			     "\"SS\":[\"a\",\"b\"]},\":ns\":{\"NS\":[\"1\",\"3\"]},\":b\":{\"B\":"
			     "\"AA==\"},\":m\":{\"M\":{\"k\":{\"N\":\"1\"}}}}";
static const char item_json[] = "{\"pk\":{\"S\":\"x\"},\"sk\":{\"N\":\"1\"},\"a\":{\"N\":\"5\"},"
				"\"s\":{\"S\":\"xyz\"},\"l\":{\"L\":[{\"N\":\"1\"},{"
				"\"M\":{\"k\":{\"S\":\"v\"}}},{\"L\":[]}]},\"m\":{\"M\":{\"k\":{"
				"\"N\":\"9\"},\"l\":{\"L\":[{\"S\":\"q\"}]}}},"
				"\"ss\":{\"SS\":[\"a\",\"c\"]},\"ns\":{\"NS\":[\"1\",\"2\"]},\"b\":"
				"{\"B\":\"AAE=\"},\"t\":{\"BOOL\":true}}";

static const struct key_schema schema = {
	.partition = {{STR_INIT("pk"), ATTR_S}},
	.sort = {{STR_INIT("sk"), ATTR_N}},
	.partitions = 1,
	.sorts = 1,
};

static void prepare(struct expr *e, struct arena *a, struct fault *fault, struct buf *item)
{
	struct attr_decoder d;
	struct json_reader r;

	expr_init(e, a, fault);
	attr_decoder_init(&d, a, fault);
	json_reader_init(&r, str_c(names), a, JSON_DEPTH_DEFAULT);
	check(expr_read_names(e, &r) == 0);
	json_reader_init(&r, str_c(values), a, JSON_DEPTH_DEFAULT);
	check(expr_read_values(e, &d, &r) == 0 && expr_check_placeholders(e) == 0);
	json_reader_init(&r, str_c(item_json), a, JSON_DEPTH_DEFAULT);
	check(item_read_json(&d, &r, item) == 0 && !d.rule.p);
}

static int run_condition(struct expr *e, enum expr_kind kind, str text, str item)
{
	const struct expr_condition *c;

	TRY(expr_parse_condition(e, kind, text, &c));
	(void)expr_matches(c, item);
	(void)expr_matches(c, STR_NULL);
	return expr_check_filter_keys(e, c, &schema);
}

static int run_projection(struct expr *e, str text, str item, struct buf *out)
{
	const struct expr_projection *p;

	TRY(expr_parse_projection(e, text, &p));
	expr_project(p, item, out);
	check(item_is_valid(buf_str(out)));
	return 0;
}

static int run_update(struct expr *e, str text, str item, struct buf *out)
{
	const struct expr_update *u;
	struct buf touched;

	TRY(expr_parse_update(e, text, &u));
	TRY(expr_apply_update(e, u, item, out));
	check(item_is_valid(buf_str(out)));
	buf_init(&touched, e->arena, ITEM_ENCODED_MAX);
	expr_project(expr_update_touched(u), buf_str(out), &touched);
	check(item_is_valid(buf_str(&touched)));
	return expr_check_update_keys(e, u, &schema);
}

static int run_key_condition(struct expr *e, str text, struct buf *low, struct buf *high)
{
	struct key_condition c;

	TRY(expr_parse_key_condition(e, text, &schema, &c));
	key_range(&c, &schema, false, 1, low, high);
	check(low->n > 0 && high->n > 0 && !low->over && !high->over);
	return 0;
}

static int run_equalities(struct expr *e, str text)
{
	struct expr_equalities equalities;

	TRY(expr_parse_equalities(e, text, &equalities));
	check(equalities.n > 0);
	for (size_t i = 0; i < equalities.n; i++)
		for (size_t k = 0; k < i; k++)
			check(!str_eq(equalities.list[i].name, equalities.list[k].name));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	struct buf item, out, other;
	struct fault fault = {0};
	struct expr e;
	str text = str_from(str_of(data, n), 1);
	int rc;

	if (n == 0 || !str_is_utf8(text))
		return 0;
	arena_init(&a, SIZE_MAX);
	buf_init(&item, &a, ITEM_ENCODED_MAX);
	buf_init(&out, &a, ITEM_ENCODED_MAX);
	buf_init(&other, &a, ITEM_ENCODED_MAX);
	prepare(&e, &a, &fault, &item);
	switch (data[0] < 0xf0 ? data[0] % 5 : 5) {
	case 0: rc = run_condition(&e, EXPR_CONDITION, text, buf_str(&item)); break;
	case 1: rc = run_key_condition(&e, text, &out, &other); break;
	case 2: rc = run_projection(&e, text, buf_str(&item), &out); break;
	case 3: rc = run_condition(&e, EXPR_FILTER, text, buf_str(&item)); break;
	case 5: rc = run_equalities(&e, text); break;
	default: rc = run_update(&e, text, buf_str(&item), &out); break;
	}
	check(rc == 0 || (rc == ERR_FAULT && fault.kind == &dynamodb_faults[DYNAMODB_VALIDATION]));
	check(rc == 0 || (fault.message.n > 0 && str_is_utf8(fault.message)));
	(void)expr_check_used(&e);
	return 0;
}
