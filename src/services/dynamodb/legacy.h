/*
 * The parameters from before expressions: Expected, AttributeUpdates, KeyConditions, QueryFilter,
 * ScanFilter, ConditionalOperator, AttributesToGet. They are read from the request, checked by
 * rules of their own, and then turned into the trees of the expression language, so that there is
 * one evaluation. Pure; in the request's fiber.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LegacyConditionalParameters.html
 */
#ifndef DYNAMODB_LEGACY_H
#define DYNAMODB_LEGACY_H

#include "services/dynamodb/expr.h"

/* Of a list or map. DynamoDB has no such limit; it keeps the search for equal names cheap. */
enum { LEGACY_ELEMENTS_MAX = 2000 };

/* One element of Expected (ExpectedAttributeValue) or of a filter (Condition). */
struct legacy_condition {
	str name;
	str op; /* ComparisonOperator as given; STR_NULL: absent */
	bool has_exists, exists, has_list;
	str value; /* encoded; STR_NULL: absent */
	str *list; /* AttributeValueList, encoded */
	uint32_t list_count;
	struct legacy_condition *next;
};

struct legacy_conditions {
	bool given; /* the parameter, even if empty */
	uint32_t count;
	struct legacy_condition *first;
};

/* One element of AttributeUpdates. */
struct legacy_update {
	str name, action; /* action STR_NULL: PUT */
	str value;        /* encoded; STR_NULL: absent */
	struct legacy_update *next;
};

struct legacy_updates {
	bool given;
	uint32_t count;
	struct legacy_update *first;
};

struct legacy_names {
	bool given;
	uint32_t count;
	str *names;
};

/*
 * Reading. A value of the wrong kind is a SerializationException (ERR_FAULT); another negative rc
 * leaves the words to the model's decoder (request.h). Of equal names the last one counts.
 */
must_use int legacy_read_conditions(
	struct attr_decoder *d, struct json_reader *r, struct legacy_conditions *ret);
must_use int legacy_read_updates(
	struct attr_decoder *d, struct json_reader *r, struct legacy_updates *ret);
must_use int legacy_read_names(
	struct attr_decoder *d, struct json_reader *r, struct legacy_names *ret);

/* Do the model's constraints hold? False: the model's validator has the words. */
bool legacy_conditions_plausible(const struct legacy_conditions *c, bool operator_required);
bool legacy_updates_plausible(const struct legacy_updates *u);
bool legacy_names_plausible(const struct legacy_names *n);

/*
 * Checks the rules and makes the tree. `any`: ConditionalOperator OR. NULL when there are no
 * elements. ERR_FAULT.
 */
must_use int legacy_expected(struct expr *e, const struct legacy_conditions *c, bool any,
	const struct expr_condition **ret_condition);
must_use int legacy_filter(struct expr *e, const struct legacy_conditions *c, bool any,
	const struct expr_condition **ret_condition);
/* As above for KeyConditions: what expr_match_key_condition() takes. */
must_use int legacy_key_conditions(struct expr *e, const struct legacy_conditions *c,
	const struct expr_condition **ret_condition);
/*
 * A filter of a Query names no key attribute: "QueryFilter can only contain non-primary key
 * attributes". ERR_FAULT.
 */
must_use int legacy_check_filter_keys(
	struct expr *e, const struct legacy_conditions *c, const struct key_schema *s);
must_use int legacy_update(
	struct expr *e, const struct legacy_updates *u, const struct expr_update **ret_update);
/* ERR_FAULT: a name twice. */
must_use int legacy_projection(
	struct expr *e, const struct legacy_names *n, const struct expr_projection **ret);

#endif
