/*
 * See bulk_line.h.
 */
#include "services/dynamodb/bulk_line.h"

#include "services/dynamodb/faults.h"
#include "services/dynamodb/item.h"
#include "services/dynamodb/request.h"

struct reading {
	struct arena *arena;
	struct fault *fault;
	struct json_reader json;
	struct attr_decoder decoder;
	struct bulk_line *line;
	str condition;
};

static int read_item(struct reading *r)
{
	struct buf item;

	buf_init(&item, r->arena, ITEM_ENCODED_MAX);
	TRY(item_read_json(&r->decoder, &r->json, &item));
	if (item.over)
		return ERR_TOO_LARGE;
	r->line->item = buf_str(&item);
	return 0;
}

static int read_member(struct reading *r, str name)
{
	if (str_eq(name, STR("Item")))
		return read_item(r);
	if (str_eq(name, STR("ConditionExpression")))
		return json_string(&r->json, &r->condition);
	if (str_eq(name, STR("ExpressionAttributeNames")))
		return expr_read_names(&r->line->expr, &r->json);
	if (str_eq(name, STR("ExpressionAttributeValues")))
		return expr_read_values(&r->line->expr, &r->decoder, &r->json);
	return validation_fault(
		r->fault, r->arena, "The record has an unknown member: %.*s", STR_ARG(name));
}

static int read_members(struct reading *r)
{
	str name;

	TRY(json_object_begin(&r->json));
	while (TRY(json_object_next(&r->json, &name)))
		TRY(read_member(r, name));
	return json_end(&r->json);
}

static int check_line(struct reading *r)
{
	struct expr *e = &r->line->expr;

	if (!r->line->item.p)
		return validation_fault(r->fault, r->arena, "The record has no member Item");
	if (r->decoder.rule.p)
		return validation_fault(r->fault, r->arena, "%.*s", STR_ARG(r->decoder.rule));
	if (item_size(r->line->item) > ITEM_SIZE_MAX)
		return validation_fault(
			r->fault, r->arena, "Item size has exceeded the maximum allowed size");
	if (!r->condition.p && (e->has_names || e->has_values))
		return validation_fault(r->fault, r->arena,
			"%s can only be specified when using expressions",
			e->has_names ? "ExpressionAttributeNames" : "ExpressionAttributeValues");
	TRY(expr_check_placeholders(e));
	if (r->condition.p)
		TRY(expr_parse_condition(e, EXPR_CONDITION, r->condition, &r->line->condition));
	return expr_check_used(e);
}

int bulk_line_read(struct arena *a, str text, struct bulk_line *line, struct fault *fault)
{
	struct reading r = {.arena = a, .fault = fault, .line = line, .condition = STR_NULL};
	int rc;

	*line = (struct bulk_line){.item = STR_NULL};
	expr_init(&line->expr, a, fault);
	attr_decoder_init(&r.decoder, a, fault);
	json_reader_init(&r.json, text, a, REQUEST_DEPTH_MAX);
	rc = read_members(&r);
	if (rc == ERR_FAULT)
		return rc;
	if (rc == ERR_TOO_LARGE)
		return validation_fault(
			fault, a, "Item size has exceeded the maximum allowed size");
	if (rc < 0)
		return serialization_fault(fault, a,
			"The record could not be read, at byte %zu: %s", json_error_offset(&r.json),
			rc_text(rc));
	return check_line(&r);
}
