/*
 * The expression language: conditions, filters, key conditions, projections, updates.
 *
 * One request, one struct expr: it holds the placeholders of ExpressionAttributeNames and -Values,
 * parses the request's expressions, and knows which placeholders they used. Everything lives in the
 * request arena. Parsing checks all that does not need an item (syntax, reserved words, functions,
 * operand types of values, overlapping paths, limits); evaluation then cannot fail for a condition.
 *
 * Messages are DynamoDB's, "Invalid ConditionExpression: Syntax error; token: ...", as
 * ValidationException. Pure; never suspends; recursion is bounded by EXPR_DEPTH_MAX.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
 */
#ifndef SERVICES_DYNAMODB_EXPR_H
#define SERVICES_DYNAMODB_EXPR_H

#include "services/dynamodb/key.h"

enum {
	EXPR_BYTES_MAX = 4096,
	EXPR_OPERATORS_MAX = 300,
	EXPR_IN_OPERANDS_MAX = 100,
	EXPR_PLACEHOLDER_BYTES_MAX = 255,
	EXPR_PLACEHOLDERS_BYTES_MAX = 2 * 1024 * 1024, /* all names and values of a request */
	EXPR_DEPTH_MAX = 100,                          /* parentheses, NOT, functions */
	EXPR_PATH_MAX = 32,                            /* elements of a document path */
};

struct expr_placeholder {
	str token; /* with its '#' or ':' */
	str name;  /* of a '#' */
	str value; /* of a ':', encoded */
	bool used;
};

struct expr {
	struct arena *arena;
	struct fault *fault;
	struct expr_placeholder *names, *values;
	uint32_t name_count, value_count;
	bool has_names, has_values; /* the parameter was given, even if empty */
	bool has_expression;        /* something was parsed */
	str rule;                   /* the first placeholder that breaks a rule: what is wrong */
};

void expr_init(struct expr *e, struct arena *arena, struct fault *fault);

/*
 * Reads the parameters from the request: {"#n":"name"} and {":v":{"S":"x"}}. Serialization faults
 * are reported at once; broken rules are kept for expr_check_placeholders().
 */
must_use int expr_read_names(struct expr *e, struct json_reader *r);
must_use int expr_read_values(struct expr *e, struct attr_decoder *d, struct json_reader *r);
/* Form of the tokens, emptiness, values that break a rule, sizes: before parsing. ERR_FAULT. */
must_use int expr_check_placeholders(struct expr *e);
/* "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a}": after parsing. */
must_use int expr_check_used(struct expr *e);

/* Which parameter a text came from: for messages and for what is allowed in it. */
enum expr_kind {
	EXPR_CONDITION,
	EXPR_FILTER,
	EXPR_KEY_CONDITION,
	EXPR_SEARCH_CONDITION,
	EXPR_PROJECTION,
	EXPR_UPDATE,
	EXPR_STATEMENT, /* of PartiQL (partiql.h): its messages name no parameter */
};

struct expr_condition; /* the tree of a condition */
struct expr_projection;
struct expr_update;

/* A document path: names and list indexes. */
struct expr_path_element {
	str name; /* STR_NULL: an index */
	uint32_t index;
};
struct expr_path {
	struct expr_path_element *elements;
	uint32_t count; /* at least 1; the first is a name */
};

/* What the path leads to in an item: 1, or 0. */
int expr_path_get(const struct expr_path *path, str item, str *ret_value);

/* ConditionExpression or FilterExpression (`kind`). */
must_use int expr_parse_condition(
	struct expr *e, enum expr_kind kind, str text, const struct expr_condition **ret_condition);
/* Does the item (STR_NULL: none) fulfil it? */
bool expr_matches(const struct expr_condition *c, str item);
/*
 * Query's rule: a filter may not name a key attribute. ERR_FAULT with "Filter Expression can only
 * contain non-primary key attributes: Primary key attribute: x".
 */
must_use int expr_check_filter_keys(
	struct expr *e, const struct expr_condition *c, const struct key_schema *s);

/*
 * KeyConditionExpression against the key schema of the table or index that is queried.
 */
must_use int expr_parse_key_condition(
	struct expr *e, str text, const struct key_schema *s, struct key_condition *ret_condition);

/* The same in two steps: what needs no schema (Query says it before it looks for the table), and
 * the rest. */
must_use int expr_parse_key_terms(
	struct expr *e, str text, const struct expr_condition **ret_parsed);
must_use int expr_match_key_condition(struct expr *e, const struct expr_condition *parsed,
	const struct key_schema *s, struct key_condition *ret_condition);

/*
 * SearchConditionExpression: equalities of top-level attributes with values, joined by AND, each
 * attribute once, in their order. ERR_FAULT: anything else.
 */
struct expr_equality {
	str name, value;
};
struct expr_equalities {
	const struct expr_equality *list;
	size_t n;
};
must_use int expr_parse_equalities(
	struct expr *e, str text, struct expr_equalities *ret_equalities);
/* A value for a partition key of one attribute: its type, not empty, within the limit of keys. */
must_use int expr_check_partition(struct expr *e, const struct key_attribute *a, str value);

must_use int expr_parse_projection(
	struct expr *e, str text, const struct expr_projection **ret_projection);
/* A projection of whole top-level attributes: key schemas, index projections, AttributesToGet. */
const struct expr_projection *expr_projection_of(
	struct arena *arena, const str *names, size_t count);
/* Is the whole attribute of that name projected? */
bool expr_projection_has(const struct expr_projection *p, str name);
/* Is the attribute of that name projected, or something in it? */
bool expr_projection_touches(const struct expr_projection *p, str name);
/*
 * The top-level attributes that a condition or projection names and `p` does not project whole:
 * "a, b" (sorted, each once), or STR_NULL.
 */
str expr_condition_beyond(
	const struct expr_condition *c, const struct expr_projection *p, struct arena *a);
str expr_projection_beyond(
	const struct expr_projection *q, const struct expr_projection *p, struct arena *a);
/* Appends the item that holds only what is projected and present. */
void expr_project(const struct expr_projection *p, str item, struct buf *out);

must_use int expr_parse_update(struct expr *e, str text, const struct expr_update **ret_update);
/* No action may touch a key attribute: "Cannot update attribute x. This attribute is part of the
 * key". */
must_use int expr_check_update_keys(
	struct expr *e, const struct expr_update *u, const struct key_schema *s);
/*
 * Appends the new item. `old` is the item as it was, or, when there is none, an item of the key
 * attributes; all operands are taken from it. ERR_FAULT: operand types, paths that do not exist,
 * number range, nesting, 400 KB.
 */
must_use int expr_apply_update(
	struct expr *e, const struct expr_update *u, str old, struct buf *out);
/* What the update touches, to project UPDATED_OLD from the old and UPDATED_NEW from the new item.
 */
const struct expr_projection *expr_update_touched(const struct expr_update *u);
/* Has it actions, all of which only take away (REMOVE, DELETE)? They make no item where none is. */
bool expr_update_only_removes(const struct expr_update *u);

#endif
