/*
 * Policy documents: the grammar and its checks (policy.h).
 */
#include "aws/policy_internal.h"
#include "base/check.h"
#include "base/json.h"

#include <stdarg.h>
#include <stdio.h>

enum { POLICY_DEPTH_MAX = 8 };

struct parser {
	struct arena *arena;
	enum policy_kind kind;
	unsigned statement; /* the one being read, from 1; 0: none */
	str message;
};

/* IAM's words, then what and where; returns ERR_FAULT. */
static int printf_like(2, 3) refuse(struct parser *p, const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	n = MIN(MAX(n, 0), (int)sizeof(text) - 1);
	p->message = p->statement
			     ? arena_printf(p->arena, "%.*s (statement %u)", n, text, p->statement)
			     : arena_printf(p->arena, "%.*s", n, text);
	return ERR_FAULT;
}

static int syntax(struct parser *p, const char *what, str name)
{
	return refuse(p, "Syntax errors in policy. %s '%.*s'", what, (int)MIN(name.n, (size_t)128),
		name.p ? name.p : "");
}

/* A string, or an array of strings. Numbers and booleans count as their text in conditions. */
static int read_strings(struct parser *p, const struct json_value *v, bool scalars, str element,
	str **ret_items, uint32_t *ret_count)
{
	uint32_t count = v->kind == JSON_ARRAY ? v->count : 1;
	str *items;

	if (count > POLICY_VALUES_MAX)
		return syntax(p, "Too many values of", element);
	items = arena_new_array(p->arena, str, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct json_value *at = v->kind == JSON_ARRAY ? &v->items[i] : v;

		if (at->kind == JSON_STRING || (scalars && at->kind == JSON_NUMBER))
			items[i] = at->text;
		else if (scalars && at->kind == JSON_BOOL)
			items[i] = at->boolean ? STR("true") : STR("false");
		else
			return syntax(p, "A value of the wrong type in", element);
	}
	*ret_items = items;
	*ret_count = count;
	return 0;
}

static int read_list(struct parser *p, const struct json_value *v, str element, bool negated,
	struct policy_list *list)
{
	if (list->present)
		return syntax(p, "Two elements exclude each other:", element);
	list->present = true;
	list->negated = negated;
	return read_strings(p, v, false, element, &list->items, &list->count);
}

static int check_actions(struct parser *p, const struct policy_list *actions)
{
	for (uint32_t i = 0; i < actions->count; i++) {
		str action = actions->items[i];
		ptrdiff_t colon = str_find(action, ':');

		if (str_eq(action, STR("*")))
			continue;
		if (colon <= 0 || (size_t)colon + 1 == action.n)
			return refuse(p,
				"Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, "
				"ec2, etc.: '%.*s'",
				(int)MIN(action.n, (size_t)128), action.p);
		for (size_t k = 0; k < action.n; k++) {
			unsigned char c = (unsigned char)action.p[k];

			if (c <= ' ' || c >= 0x7f || (c == '*' && k < (size_t)colon))
				return refuse(p, "Action '%.*s' is not valid",
					(int)MIN(action.n, (size_t)128), action.p);
		}
	}
	return 0;
}

static int check_resources(struct parser *p, const struct policy_list *resources)
{
	for (uint32_t i = 0; i < resources->count; i++) {
		str rest = resources->items[i], part;
		unsigned parts = 0;

		if (str_eq(rest, STR("*")))
			continue;
		while (parts < 6 && str_split(&rest, ':', &part))
			parts++;
		if (parts < 6 || !(str_starts(resources->items[i], STR("arn:")) ||
					 str_starts(resources->items[i], STR("arn*"))))
			return refuse(p, "Resource %.*s must be in ARN format or \"*\".",
				(int)MIN(resources->items[i].n, (size_t)256),
				resources->items[i].p);
	}
	return 0;
}

/* ---- principals ---- */

static int add_principal(
	struct parser *p, struct policy_statement *s, enum policy_principal_kind kind, str value)
{
	if (kind == POLICY_PRINCIPAL_AWS && str_eq(value, STR("*")))
		kind = POLICY_PRINCIPAL_ANY;
	if (kind == POLICY_PRINCIPAL_AWS && !account_is_valid(value) &&
		!str_starts(value, STR("arn:")) && !str_starts(value, STR("AIDA")) &&
		!str_starts(value, STR("AROA")))
		return refuse(p, "Invalid principal in policy: \"AWS\":\"%.*s\"",
			(int)MIN(value.n, (size_t)128), value.p);
	if (value.n == 0)
		return refuse(p, "Invalid principal in policy: it is empty");
	s->principals[s->principal_count++] = (struct policy_principal){kind, value};
	return 0;
}

static int read_principal(
	struct parser *p, const struct json_value *v, str element, struct policy_statement *s)
{
	static const struct {
		str name;
		enum policy_principal_kind kind;
	} kinds[] = {
		{STR_INIT("AWS"), POLICY_PRINCIPAL_AWS},
		{STR_INIT("Service"), POLICY_PRINCIPAL_SERVICE},
		{STR_INIT("Federated"), POLICY_PRINCIPAL_FEDERATED},
		{STR_INIT("CanonicalUser"), POLICY_PRINCIPAL_CANONICAL},
	};
	uint32_t total = 1;

	if (p->kind == POLICY_IDENTITY)
		return refuse(p, "Policy document should not specify a principal.");
	if (s->has_principal)
		return syntax(p, "Two elements exclude each other:", element);
	s->has_principal = true;
	s->not_principal = str_eq(element, STR("NotPrincipal"));
	if (v->kind == JSON_OBJECT)
		for (uint32_t i = 0; i < v->count; i++)
			total += v->members[i].value.kind == JSON_ARRAY ? v->members[i].value.count
									: 1;
	if (total > POLICY_VALUES_MAX)
		return syntax(p, "Too many values of", element);
	s->principals = arena_new_array(p->arena, struct policy_principal, total);
	if (v->kind == JSON_STRING && str_eq(v->text, STR("*")))
		return add_principal(p, s, POLICY_PRINCIPAL_ANY, v->text);
	if (v->kind != JSON_OBJECT || v->count == 0)
		return refuse(p, "Invalid principal in policy.");
	for (uint32_t i = 0; i < v->count; i++) {
		uint32_t count;
		size_t k = 0;
		str *values;

		while (k < ARRAY_SIZE(kinds) && !str_eq(kinds[k].name, v->members[i].key))
			k++;
		if (k == ARRAY_SIZE(kinds))
			return refuse(p, "Invalid principal in policy: \"%.*s\"",
				(int)MIN(v->members[i].key.n, (size_t)128), v->members[i].key.p);
		TRY(read_strings(p, &v->members[i].value, false, element, &values, &count));
		for (uint32_t n = 0; n < count; n++)
			TRY(add_principal(p, s, kinds[k].kind, values[n]));
	}
	return 0;
}

/* ---- conditions ---- */

static bool parse_operator(str name, struct policy_condition *c)
{
	static const struct {
		str name;
		enum policy_type type;
		enum policy_test test;
		bool negated;
	} operators[] = {
#define POLICY_OPERATOR(name_, type_, test_, negated_) \
	{STR_INIT(name_), POLICY_##type_, POLICY_##test_, negated_},
#include "aws/policy_operators.def"
#undef POLICY_OPERATOR
	};
	static const struct {
		str prefix;
		enum policy_quantifier quantifier;
	} quantifiers[] = {
		{STR_INIT("ForAllValues:"), POLICY_FOR_ALL},
		{STR_INIT("ForAnyValue:"), POLICY_FOR_ANY},
	};

	for (size_t i = 0; i < ARRAY_SIZE(quantifiers); i++)
		if (name.n > quantifiers[i].prefix.n &&
			str_eq_nocase(
				str_sub(name, 0, quantifiers[i].prefix.n), quantifiers[i].prefix)) {
			c->quantifier = quantifiers[i].quantifier;
			name = str_from(name, quantifiers[i].prefix.n);
		}
	if (name.n > 8 && str_eq_nocase(str_from(name, name.n - 8), STR("IfExists"))) {
		c->if_exists = true;
		name.n -= 8;
	}
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
		if (str_eq_nocase(name, operators[i].name)) {
			c->type = operators[i].type;
			c->test = operators[i].test;
			c->negated = operators[i].negated;
			return c->type != POLICY_NULL_TEST || !c->if_exists;
		}
	return false;
}

static int read_conditions(struct parser *p, const struct json_value *v, struct policy_statement *s)
{
	uint32_t total = 0;

	if (v->kind != JSON_OBJECT)
		return syntax(p, "Not an object:", STR("Condition"));
	for (uint32_t i = 0; i < v->count; i++)
		total += v->members[i].value.kind == JSON_OBJECT ? v->members[i].value.count : 0;
	s->conditions = arena_new_array(p->arena, struct policy_condition, total);
	for (uint32_t i = 0; i < v->count; i++) {
		const struct json_value *keys = &v->members[i].value;
		struct policy_condition c = {.quantifier = POLICY_PLAIN};

		if (!parse_operator(v->members[i].key, &c))
			return refuse(p, "Invalid Condition type : %.*s",
				(int)MIN(v->members[i].key.n, (size_t)128), v->members[i].key.p);
		if (keys->kind != JSON_OBJECT)
			return syntax(p, "Not an object:", v->members[i].key);
		for (uint32_t k = 0; k < keys->count; k++) {
			c.key = keys->members[k].key;
			if (str_find(c.key, ':') <= 0)
				return refuse(p,
					"Actions/Conditions must be prefaced by a vendor, e.g., "
					"iam, sdb, ec2, etc.: '%.*s'",
					(int)MIN(c.key.n, (size_t)128), c.key.p);
			TRY(read_strings(
				p, &keys->members[k].value, true, c.key, &c.values, &c.count));
			s->conditions[s->condition_count++] = c;
		}
	}
	return 0;
}

/* ---- statements ---- */

static int read_sid(struct parser *p, const struct json_value *v, struct policy_statement *s)
{
	if (v->kind != JSON_STRING)
		return syntax(p, "A value of the wrong type in", STR("Sid"));
	s->sid = v->text;
	for (size_t i = 0; p->kind == POLICY_IDENTITY && i < s->sid.n; i++) {
		char c = s->sid.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
			return refuse(p,
				"Statement IDs (SID) must be alpha-numeric. Check that your input "
				"satisfies the regular expression [0-9A-Za-z]*");
	}
	return 0;
}

static int read_effect(struct parser *p, const struct json_value *v, struct policy_statement *s)
{
	str text = json_text(v);

	if (!str_eq(text, STR("Allow")) && !str_eq(text, STR("Deny")))
		return refuse(p, "Policy document must have Effect Allow or Deny, not '%.*s'",
			(int)MIN(text.n, (size_t)64), text.p ? text.p : "");
	s->deny = text.p[0] == 'D';
	return 0;
}

static int read_element(struct parser *p, const struct json_member *member,
	struct policy_statement *s, bool *has_effect)
{
	str name = member->key;
	const struct json_value *v = &member->value;

	if (str_eq(name, STR("Sid")))
		return read_sid(p, v, s);
	if (str_eq(name, STR("Effect"))) {
		*has_effect = true;
		return read_effect(p, v, s);
	}
	if (str_eq(name, STR("Action")) || str_eq(name, STR("NotAction")))
		return read_list(p, v, name, name.p[0] == 'N', &s->actions);
	if (str_eq(name, STR("Resource")) || str_eq(name, STR("NotResource"))) {
		if (p->kind == POLICY_TRUST)
			return refuse(p, "Has prohibited field Resource");
		return read_list(p, v, name, name.p[0] == 'N', &s->resources);
	}
	if (str_eq(name, STR("Principal")) || str_eq(name, STR("NotPrincipal")))
		return read_principal(p, v, name, s);
	if (str_eq(name, STR("Condition")))
		return read_conditions(p, v, s);
	return syntax(p, "Unknown element", name);
}

static int read_statement(struct parser *p, const struct json_value *v, struct policy_statement *s)
{
	bool has_effect = false;

	s->number = p->statement;
	if (v->kind != JSON_OBJECT)
		return syntax(p, "Not an object:", STR("Statement"));
	for (uint32_t i = 0; i < v->count; i++)
		TRY(read_element(p, &v->members[i], s, &has_effect));
	if (!has_effect)
		return refuse(p, "Missing required field Effect");
	if (!s->actions.present || s->actions.count == 0)
		return refuse(p, "Policy statement must contain actions.");
	if (p->kind != POLICY_TRUST && (!s->resources.present || s->resources.count == 0))
		return refuse(p, "Policy statement must contain resources.");
	if (p->kind != POLICY_IDENTITY && !s->has_principal)
		return refuse(p, "Missing required field Principal");
	TRY(check_actions(p, &s->actions));
	return check_resources(p, &s->resources);
}

static int read_statements(struct parser *p, const struct json_value *v, struct policy *policy)
{
	uint32_t count = v->kind == JSON_ARRAY ? v->count : 1;

	if (count > POLICY_STATEMENTS_MAX)
		return syntax(p, "Too many values of", STR("Statement"));
	if (count == 0 && p->kind != POLICY_IDENTITY)
		return refuse(p, "Syntax errors in policy. It has no statement.");
	policy->statements = arena_new_array(p->arena, struct policy_statement, count);
	policy->count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct policy_statement *s = &policy->statements[i];

		p->statement = i + 1;
		TRY(read_statement(p, v->kind == JSON_ARRAY ? &v->items[i] : v, s));
		for (uint32_t k = 0; s->sid.n && k < i; k++)
			if (str_eq(policy->statements[k].sid, s->sid))
				return refuse(p,
					"Statement IDs (SID) in a single policy must be unique.");
	}
	p->statement = 0;
	return 0;
}

static int read_document(struct parser *p, const struct json_value *v, struct policy *policy)
{
	const struct json_value *statements = NULL;

	if (v->kind != JSON_OBJECT)
		return refuse(p, "Syntax errors in policy. It is not a JSON object.");
	for (uint32_t i = 0; i < v->count; i++) {
		str name = v->members[i].key, text = json_text(&v->members[i].value);

		if (str_eq(name, STR("Version"))) {
			policy->variables = str_eq(text, STR("2012-10-17"));
			if (!policy->variables && !str_eq(text, STR("2008-10-17")))
				return refuse(p, "Policy document must be version 2012-10-17 or "
						 "greater.");
		} else if (str_eq(name, STR("Statement"))) {
			if (statements)
				return syntax(p, "Twice:", name);
			statements = &v->members[i].value;
		} else if (!str_eq(name, STR("Id"))) {
			return syntax(p, "Unknown element", name);
		}
	}
	if (!statements)
		return refuse(p, "Syntax errors in policy. It has no Statement.");
	return read_statements(p, statements, policy);
}

int policy_parse(struct arena *a, str text, enum policy_kind kind, struct policy **ret_policy,
	str *ret_message)
{
	struct parser p = {.arena = a, .kind = kind};
	struct policy *policy = arena_new(a, struct policy);
	struct json_value *v;
	size_t offset = 0;
	int rc = json_parse(a, text, POLICY_DEPTH_MAX, &v, &offset);

	if (rc < 0)
		rc = refuse(&p, "Syntax errors in policy. It is not valid JSON at byte %zu: %s",
			offset, rc_text(rc));
	else
		rc = read_document(&p, v, policy);
	if (rc < 0) {
		*ret_message = p.message;
		return ERR_FAULT;
	}
	*ret_policy = policy;
	return 0;
}
