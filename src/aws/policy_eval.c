/*
 * Policy evaluation (policy.h). Nothing is allocated but the expansion of variables.
 */
#include "aws/policy_internal.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/json.h"
#include "base/time.h"

#include <arpa/inet.h>

/* ---- contexts ---- */

void policy_context_add_list(struct policy_context *c, str name, const str *values, uint32_t count)
{
	check(c->count < POLICY_CONTEXT_MAX);
	c->keys[c->count++] = (struct policy_key){name, values, count};
}

void policy_context_add(struct policy_context *c, str name, str value)
{
	str *copy;

	if (!value.p)
		return;
	copy = arena_new(c->arena, str);
	*copy = value;
	policy_context_add_list(c, name, copy, 1);
}

static const struct policy_key *key_of(const struct policy_context *c, str name)
{
	for (uint32_t i = 0; c && i < c->count; i++)
		if (str_eq_nocase(c->keys[i].name, name))
			return &c->keys[i];
	return NULL;
}

static bool list_uses(const str *items, uint32_t count, str variable)
{
	for (uint32_t i = 0; i < count; i++)
		if (str_find_str(items[i], variable) >= 0)
			return true;
	return false;
}

static bool condition_uses(const struct policy_condition *c, str prefix, str variable)
{
	return (c->key.n >= prefix.n && str_eq_nocase(str_sub(c->key, 0, prefix.n), prefix)) ||
	       list_uses(c->values, c->count, variable);
}

bool policy_uses_keys(const struct policy *p, str prefix)
{
	char text[64] = "${";
	str variable = {text, 2 + prefix.n};

	check(variable.n <= sizeof text);
	memcpy(text + 2, prefix.p, prefix.n);
	for (uint32_t i = 0; p && i < p->count; i++) {
		const struct policy_statement *s = &p->statements[i];

		if (list_uses(s->resources.items, s->resources.count, variable))
			return true;
		for (uint32_t k = 0; k < s->condition_count; k++)
			if (condition_uses(&s->conditions[k], prefix, variable))
				return true;
	}
	return false;
}

/* ---- patterns ---- */

/* A pattern unit: a byte, or one of these. Values of variables are bytes, never wildcards. */
enum { UNIT_STAR = 256, UNIT_ANY = 257 };

struct pattern {
	const char *text;      /* a byte per unit, '*' and '?' wild if `wild` */
	const uint16_t *units; /* when variables were expanded; else NULL */
	size_t n;
	bool wild, nocase;
};

static unsigned unit_at(const struct pattern *p, size_t i)
{
	if (p->units)
		return p->units[i];
	if (p->wild && p->text[i] == '*')
		return UNIT_STAR;
	return p->wild && p->text[i] == '?' ? UNIT_ANY : (unsigned char)p->text[i];
}

static unsigned lower(unsigned c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static bool unit_fits(const struct pattern *p, size_t i, char c)
{
	unsigned unit = unit_at(p, i), byte = (unsigned char)c;

	return unit == UNIT_ANY || unit == byte || (p->nocase && lower(unit) == lower(byte));
}

/* Greedy with one point to come back to: the last star. At most n * s.n steps. */
static bool glob(const struct pattern *p, str s)
{
	size_t i = 0, k = 0, star = SIZE_MAX, from = 0;

	while (k < s.n) {
		if (i < p->n && unit_at(p, i) == UNIT_STAR) {
			star = i++;
			from = k;
		} else if (i < p->n && unit_fits(p, i, s.p[k])) {
			i++;
			k++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			k = ++from;
		} else {
			return false;
		}
	}
	while (i < p->n && unit_at(p, i) == UNIT_STAR)
		i++;
	return i == p->n;
}

bool policy_glob(str pattern, str s)
{
	struct pattern p = {.text = pattern.p, .n = pattern.n, .wild = true};

	return glob(&p, s);
}

/* The text of "${name}" or "${name, 'default'}" without its braces: STR_NULL when unknown. */
static str variable_value(const struct policy_context *c, str inside)
{
	ptrdiff_t comma = str_find(inside, ',');
	str name = str_trim(comma < 0 ? inside : str_sub(inside, 0, (size_t)comma)), otherwise;
	const struct policy_key *key;

	if (str_eq(name, STR("*")) || str_eq(name, STR("?")) || str_eq(name, STR("$")))
		return name;
	key = key_of(c, name);
	if (key && key->count == 1)
		return key->values[0];
	if (comma < 0)
		return STR_NULL;
	otherwise = str_trim(str_from(inside, (size_t)comma + 1));
	if (otherwise.n >= 2 && otherwise.p[0] == '\'' && otherwise.p[otherwise.n - 1] == '\'')
		return str_sub(otherwise, 1, otherwise.n - 2);
	return STR_NULL;
}

enum { PATTERN_UNITS_MAX = 16 * 1024 };

/* Expands variables into units (NULL: only counts). How many, or 0: one has no value. */
static size_t expand(
	const struct policy_context *c, const struct pattern *p, uint16_t *units, size_t room)
{
	str text = str_of(p->text, p->n);
	size_t n = 0, i = 0;

	while (i < text.n) {
		str value = STR_NULL;
		ptrdiff_t end = -1;

		if (text.p[i] == '$' && i + 1 < text.n && text.p[i + 1] == '{')
			end = str_find(str_from(text, i + 2), '}');
		if (end < 0) {
			if (units && n < room)
				units[n] = (uint16_t)unit_at(p, i);
			n++;
			i++;
			continue;
		}
		value = variable_value(c, str_sub(text, i + 2, (size_t)end));
		if (!value.p)
			return 0;
		for (size_t k = 0; k < value.n; k++, n++)
			if (units && n < room)
				units[n] = (unsigned char)value.p[k];
		i += (size_t)end + 3;
	}
	return n;
}

/* Makes a pattern of a policy's text; false when a variable has no value: then nothing matches. */
static bool make_pattern(const struct policy *policy, const struct policy_context *c, str text,
	bool wild, struct pattern *ret)
{
	struct pattern p = {.text = text.p, .n = text.n, .wild = wild};
	uint16_t *units;
	size_t n;

	if (policy->variables && c && str_find_str(text, STR("${")) >= 0) {
		n = expand(c, &p, NULL, 0);
		if (n == 0 || n > PATTERN_UNITS_MAX)
			return false;
		units = arena_alloc(c->arena, n * sizeof(*units));
		(void)expand(c, &p, units, n);
		p.units = units;
		p.n = n;
	}
	*ret = p;
	return true;
}

/* ---- conditions: one value of the request against one of the policy ---- */

static bool compare(enum policy_test test, int order)
{
	switch (test) {
	case POLICY_LESS: return order < 0;
	case POLICY_LESS_EQUAL: return order <= 0;
	case POLICY_GREATER: return order > 0;
	case POLICY_GREATER_EQUAL: return order >= 0;
	default: return order == 0;
	}
}

static bool parse_double(str text, double *ret)
{
	struct json_reader r;

	json_reader_init(&r, text, NULL, 0);
	return text.n && json_double(&r, ret) >= 0 && json_end(&r) >= 0;
}

static bool parse_date(str text, int64_t *ret_ms)
{
	return time_parse_iso(text, ret_ms) >= 0 || time_parse_epoch(text, ret_ms) >= 0;
}

static bool numbers_fit(enum policy_test test, str have, str want)
{
	double a, b;

	return parse_double(have, &a) && parse_double(want, &b) &&
	       compare(test, a < b ? -1 : a > b);
}

static bool dates_fit(enum policy_test test, str have, str want)
{
	int64_t a, b;

	return parse_date(have, &a) && parse_date(want, &b) && compare(test, a < b ? -1 : a > b);
}

/* Address bytes of text: 4 or 16, 0: not an address. */
static unsigned parse_address(str text, uint8_t bytes[16])
{
	char c[64];

	if (text.n >= sizeof(c))
		return 0;
	memcpy(c, text.p, text.n);
	c[text.n] = 0;
	if (inet_pton(AF_INET, c, bytes) == 1)
		return 4;
	return inet_pton(AF_INET6, c, bytes) == 1 ? 16 : 0;
}

static bool address_fits(str have, str want)
{
	uint8_t a[16], b[16];
	ptrdiff_t slash = str_find(want, '/');
	unsigned n = have.n ? parse_address(have, a) : 0;
	uint64_t bits = n * 8;

	if (n == 0 || parse_address(slash < 0 ? want : str_sub(want, 0, (size_t)slash), b) != n ||
		(slash >= 0 && str_to_u64(str_from(want, (size_t)slash + 1), n * 8, &bits) < 0))
		return false;
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)) == 0;
}

/* ARNs are compared part by part: a star does not reach over a colon, but in the last part. */
static bool arn_fits(const struct pattern *p, str have)
{
	size_t from = 0;

	for (unsigned part = 0; part < 6; part++) {
		size_t end = from;
		ptrdiff_t colon = str_find(have, ':');
		struct pattern piece = *p;
		str text;

		while (part < 5 && end < p->n && unit_at(p, end) != ':')
			end++;
		if (part == 5)
			end = p->n;
		if (part < 5 && (end == p->n || colon < 0))
			return false;
		text = part < 5 ? str_sub(have, 0, (size_t)colon) : have;
		if (piece.units)
			piece.units += from;
		else
			piece.text += from;
		piece.n = end - from;
		if (!glob(&piece, text))
			return false;
		from = end + 1;
		have = str_from(have, text.n + 1);
	}
	return true;
}

static bool value_fits(const struct policy *policy, const struct policy_condition *c,
	const struct policy_context *context, str have, str want)
{
	struct pattern p;

	switch (c->type) {
	case POLICY_STRING:
		if (!make_pattern(policy, context, want, c->test == POLICY_LIKE, &p))
			return false;
		p.nocase = c->test == POLICY_EQUAL_NOCASE;
		return glob(&p, have);
	case POLICY_ARN: return make_pattern(policy, context, want, true, &p) && arn_fits(&p, have);
	case POLICY_NUMERIC: return numbers_fit(c->test, have, want);
	case POLICY_DATE: return dates_fit(c->test, have, want);
	case POLICY_BOOL: return str_eq_nocase(have, want);
	case POLICY_BINARY: return str_eq(have, want);
	case POLICY_IP: return address_fits(have, want);
	case POLICY_NULL_TEST: break;
	}
	check_unreachable();
}

static bool any_fits(const struct policy *policy, const struct policy_condition *c,
	const struct policy_context *context, str have)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (value_fits(policy, c, context, have, c->values[i]))
			return true;
	return false;
}

static bool condition_holds(const struct policy *policy, const struct policy_condition *c,
	const struct policy_context *context)
{
	const struct policy_key *key = key_of(context, c->key);
	uint32_t fitting = 0;

	if (c->type == POLICY_NULL_TEST) {
		str wanted = c->count ? c->values[0] : STR("true");

		return str_eq_nocase(wanted, key ? STR("false") : STR("true"));
	}
	if (!key || key->count == 0) {
		if (c->quantifier == POLICY_FOR_ALL || c->if_exists)
			return true;
		return c->quantifier == POLICY_PLAIN && c->negated;
	}
	for (uint32_t i = 0; i < key->count; i++)
		fitting += any_fits(policy, c, context, key->values[i]) != c->negated;
	if (c->quantifier == POLICY_FOR_ALL)
		return fitting == key->count;
	/* a key with several values and no quantifier: a negated operator must hold for all */
	if (c->quantifier == POLICY_PLAIN && c->negated)
		return fitting == key->count;
	return fitting > 0;
}

/* ---- statements ---- */

static bool actions_fit(const struct policy_list *list, str action)
{
	for (uint32_t i = 0; i < list->count; i++) {
		struct pattern p = {.text = list->items[i].p,
			.n = list->items[i].n,
			.wild = true,
			.nocase = true};

		if (glob(&p, action))
			return !list->negated;
	}
	return list->negated;
}

static bool resources_fit(
	const struct policy *policy, const struct policy_list *list, const struct policy_request *r)
{
	if (!list->present) /* trust policies have none */
		return true;
	for (uint32_t i = 0; i < list->count; i++) {
		struct pattern p;

		if (make_pattern(policy, r->context, list->items[i], true, &p) &&
			glob(&p, r->resource))
			return !list->negated;
	}
	return list->negated;
}

/* "123456789012" or "arn:aws:iam::123456789012:root": everybody in the account. */
static bool names_account(str value, str account)
{
	str rest = value, part;

	if (str_eq(value, account))
		return true;
	for (unsigned i = 0; i < 4; i++)
		if (!str_split(&rest, ':', &part))
			return false;
	return str_split(&rest, ':', &part) && str_eq(part, account) && str_eq(rest, STR("root"));
}

static bool principal_fits(const struct policy_principal *p, const struct policy_request *r)
{
	const struct principal *who = r->principal;

	switch (p->kind) {
	case POLICY_PRINCIPAL_ANY: return true;
	case POLICY_PRINCIPAL_SERVICE: return r->service.n && str_eq(p->value, r->service);
	case POLICY_PRINCIPAL_AWS:
		if (!who || who->kind == PRINCIPAL_ANONYMOUS || who->kind == PRINCIPAL_SERVICE)
			return false;
		return str_eq(p->value, who->arn) ||
		       (who->role_arn.n && str_eq(p->value, who->role_arn)) ||
		       names_account(p->value, who->account);
	case POLICY_PRINCIPAL_FEDERATED:
	case POLICY_PRINCIPAL_CANONICAL: return false; /* nobody here is one yet */
	}
	check_unreachable();
}

static bool principals_fit(const struct policy_statement *s, const struct policy_request *r)
{
	if (!s->has_principal)
		return true;
	for (uint32_t i = 0; i < s->principal_count; i++)
		if (principal_fits(&s->principals[i], r))
			return !s->not_principal;
	return s->not_principal;
}

static bool statement_fits(const struct policy *policy, const struct policy_statement *s,
	const struct policy_request *r)
{
	if (!actions_fit(&s->actions, r->action) || !principals_fit(s, r) ||
		!resources_fit(policy, &s->resources, r))
		return false;
	for (uint32_t i = 0; i < s->condition_count; i++)
		if (!condition_holds(policy, &s->conditions[i], r->context))
			return false;
	return true;
}

enum policy_effect policy_evaluate(const struct policy *p, const struct policy_request *r,
	const struct policy_statement **ret_deciding)
{
	const struct policy_statement *deciding = NULL;

	for (uint32_t i = 0; i < p->count; i++) {
		const struct policy_statement *s = &p->statements[i];

		if ((deciding && !s->deny) || !statement_fits(p, s, r))
			continue;
		deciding = s;
		if (s->deny)
			break;
	}
	if (ret_deciding)
		*ret_deciding = deciding;
	return !deciding ? POLICY_NONE : deciding->deny ? POLICY_DENY : POLICY_ALLOW;
}

str policy_statement_sid(const struct policy_statement *s)
{
	return s->sid;
}

unsigned policy_statement_number(const struct policy_statement *s)
{
	return s->number;
}

/* ---- the whole decision ---- */

struct layer {
	enum policy_effect effect;
	const struct policy_statement *statement;
};

static struct layer evaluate_all(
	const struct policy *const *policies, uint32_t count, const struct policy_request *r)
{
	struct layer all = {.effect = POLICY_NONE};

	for (uint32_t i = 0; i < count && all.effect != POLICY_DENY; i++) {
		const struct policy_statement *s;
		enum policy_effect effect = policy_evaluate(policies[i], r, &s);

		if (effect > all.effect)
			all = (struct layer){effect, s};
	}
	return all;
}

/* Does the allowing statement name this very session or user (not its role or account)? */
static bool names_exactly(const struct policy_statement *s, const struct principal *who)
{
	for (uint32_t i = 0; i < s->principal_count && !s->not_principal; i++)
		if (s->principals[i].kind == POLICY_PRINCIPAL_AWS &&
			(who->kind == PRINCIPAL_SESSION || who->kind == PRINCIPAL_USER) &&
			str_eq(s->principals[i].value, who->arn))
			return true;
	return false;
}

static struct policy_decision decided(
	bool allowed, bool deny, enum policy_layer layer, const struct policy_statement *statement)
{
	return (struct policy_decision){allowed, deny, layer, statement};
}

struct policy_decision policy_authorize(
	const struct policy_request *r, const struct policy *resource_policy)
{
	const struct principal *who = r->principal;
	struct layer own = evaluate_all(who->policies, who->policy_count, r);
	struct layer boundary = evaluate_all(&who->boundary, who->boundary ? 1 : 0, r);
	struct layer session = evaluate_all(who->session_policies, who->session_policy_count, r);
	struct layer resource = evaluate_all(&resource_policy, resource_policy ? 1 : 0, r);

	if (own.effect == POLICY_DENY)
		return decided(false, true, POLICY_LAYER_IDENTITY, own.statement);
	if (resource.effect == POLICY_DENY)
		return decided(false, true, POLICY_LAYER_RESOURCE, resource.statement);
	if (boundary.effect == POLICY_DENY)
		return decided(false, true, POLICY_LAYER_BOUNDARY, boundary.statement);
	if (session.effect == POLICY_DENY)
		return decided(false, true, POLICY_LAYER_SESSION, session.statement);
	if (who->unrestricted)
		return decided(true, false, POLICY_LAYER_IDENTITY, NULL);
	if (resource.effect == POLICY_ALLOW && names_exactly(resource.statement, who))
		return decided(true, false, POLICY_LAYER_RESOURCE, resource.statement);
	if (own.effect != POLICY_ALLOW && resource.effect != POLICY_ALLOW)
		return decided(false, false, POLICY_LAYER_IDENTITY, NULL);
	if (who->boundary && boundary.effect != POLICY_ALLOW)
		return decided(false, false, POLICY_LAYER_BOUNDARY, NULL);
	if (who->session_policy_count && session.effect != POLICY_ALLOW)
		return decided(false, false, POLICY_LAYER_SESSION, NULL);
	return own.effect == POLICY_ALLOW
		       ? decided(true, false, POLICY_LAYER_IDENTITY, own.statement)
		       : decided(true, false, POLICY_LAYER_RESOURCE, resource.statement);
}

str policy_refusal(struct arena *a, const struct policy_request *r, struct policy_decision d)
{
	static const char *const layers[] = {
		[POLICY_LAYER_IDENTITY] = "identity-based policy",
		[POLICY_LAYER_BOUNDARY] = "permissions boundary",
		[POLICY_LAYER_SESSION] = "session policy",
		[POLICY_LAYER_RESOURCE] = "resource-based policy",
	};
	static const char *const articles[] = {"an", "a", "a", "a"};

	if (d.explicit_deny)
		return arena_printf(a,
			"User: %.*s is not authorized to perform: %.*s on resource: %.*s with an "
			"explicit deny "
			"in "
			"%s %s",
			STR_ARG(r->principal->arn), STR_ARG(r->action), STR_ARG(r->resource),
			articles[d.layer], layers[d.layer]);
	return arena_printf(a,
		"User: %.*s is not authorized to perform: %.*s on resource: %.*s because no %s "
		"allows the %.*s "
		"action",
		STR_ARG(r->principal->arn), STR_ARG(r->action), STR_ARG(r->resource),
		layers[d.layer], STR_ARG(r->action));
}
