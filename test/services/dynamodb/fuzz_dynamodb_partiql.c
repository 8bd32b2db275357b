/*
 * PartiQL: the input is a statement with parameters of all types. Whatever parses can be planned
 * and evaluated, and gives valid items.
 */
#include "base/check.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/partiql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char parameters_json[] =
	"[{\"S\":\"x\"},{\"N\":\"2\"},{\"L\":[{\"S\":\"x\"},{\"N\":\"1\"}]},{\"SS\":[\"a\",\"b\"]},"
	"{\"B\":\"AA==\"},{\"M\":{\"pk\":{\"S\":\"1\"}}},{\"NULL\":true},{\"BOOL\":false}]";
static const char item_json[] =
	"{\"pk\":{\"S\":\"x\"},\"sk\":{\"N\":\"1\"},\"a\":{\"N\":\"5\"},\"s\":{\"S\":\"xyz\"},"
	"\"l\":{"
	"\"L\":[{\"N\":\"1\"},{\"M\":{\"k\":{\"S\":\"v\"}}}]},\"m\":{\"M\":{\"k\":{\"N\":\"9\"}}},"
	"\"ss\":{\"SS\":[\"a\",\"c\"]},\"b\":{\"B\":\"AAE=\"},\"t\":{\"BOOL\":true}}";

enum { PARAMETERS = 8 };

static const struct key_schema schema = {
	.partition = {{STR_INIT("pk"), ATTR_S}},
	.sort = {{STR_INIT("sk"), ATTR_N}},
	.partitions = 1,
	.sorts = 1,
};

static void read_parameters(struct arena *a, struct fault *fault, str *ret_parameters)
{
	struct attr_decoder d;
	struct json_reader r;
	struct buf out;

	attr_decoder_init(&d, a, fault);
	json_reader_init(&r, str_c(parameters_json), a, JSON_DEPTH_DEFAULT);
	check(json_array_begin(&r) == 0);
	for (unsigned i = 0; i < PARAMETERS; i++) {
		check(json_array_next(&r) == 1);
		buf_init(&out, a, ITEM_ENCODED_MAX);
		check(attr_read_json(&d, &r, &out) == 0);
		ret_parameters[i] = buf_str(&out);
	}
}

static int run_select(struct partiql *s, str item, struct buf *out)
{
	struct partiql_plan plan;
	struct buf low, high;

	TRY(partiql_plan(s, &schema, &plan));
	for (unsigned i = 0; i < plan.count; i++) {
		buf_init(&low, s->expr.arena, KEY_BYTES_MAX);
		buf_init(&high, s->expr.arena, KEY_BYTES_MAX);
		key_range(&plan.conditions[i], &schema, false, 1, &low, &high);
		check(low.n > 0 && high.n > 0 && !low.over && !high.over);
	}
	if (plan.filter) {
		(void)expr_matches(plan.filter, item);
		(void)expr_matches(plan.filter, STR_NULL);
	}
	partiql_project(s, item, out);
	return 0;
}

static int run_write(struct partiql *s, str item, struct buf *out)
{
	const struct expr_condition *rest = NULL, *all;
	str key = s->item;

	if (s->kind != PARTIQL_INSERT)
		TRY(partiql_key(s, &schema, &key, &rest));
	check(item_is_valid(key));
	all = partiql_condition(s, &schema, rest);
	if (all) {
		(void)expr_matches(all, item);
		(void)expr_matches(all, STR_NULL);
	}
	if (s->kind != PARTIQL_UPDATE)
		return 0;
	TRY(expr_check_update_keys(&s->expr, s->update, &schema));
	return expr_apply_update(&s->expr, s->update, item, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	struct buf item, out;
	struct fault fault = {0};
	struct attr_decoder d;
	struct json_reader r;
	struct partiql s;
	str text = str_of(data, n), parameters[PARAMETERS];
	unsigned marks = 0;
	int rc;

	if (n > PARTIQL_BYTES_MAX || !str_is_utf8(text))
		return 0;
	arena_init(&a, SIZE_MAX);
	buf_init(&item, &a, ITEM_ENCODED_MAX);
	buf_init(&out, &a, ITEM_ENCODED_MAX);
	attr_decoder_init(&d, &a, &fault);
	json_reader_init(&r, str_c(item_json), &a, JSON_DEPTH_DEFAULT);
	check(item_read_json(&d, &r, &item) == 0);
	read_parameters(&a, &fault, parameters);
	for (size_t i = 0; i < n; i++)
		marks += data[i] == '?';
	rc = partiql_parse(&a, &fault, text, parameters, MIN(marks, (unsigned)PARAMETERS), &s);
	if (rc == 0)
		rc = partiql_is_write(&s) ? run_write(&s, buf_str(&item), &out)
					  : run_select(&s, buf_str(&item), &out);
	check(rc == 0 || (rc == ERR_FAULT && fault.kind == &dynamodb_faults[DYNAMODB_VALIDATION]));
	check(rc == 0 || (fault.message.n > 0 && str_is_utf8(fault.message)));
	check(rc < 0 || out.n == 0 || item_is_valid(buf_str(&out)));
	return 0;
}
