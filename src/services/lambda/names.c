/*
 * Parsing of function names: by hand, from the right, because every part on the left is optional.
 */
#include "services/lambda/names.h"

#include "aws/principal.h"
#include "services/lambda/limits.h"

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

static bool is_name(str s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_name_char(s.p[i]))
			return false;
	return true;
}

static bool is_region(str s)
{
	if (s.n < 5 || s.n > 32)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
			    s.p[i] == '-'))
			return false;
	return str_find(s, '-') > 0;
}

enum { PARTS_MAX = 9 };

int function_qualifier_kind(str q)
{
	bool digits = true;

	if (!q.p || str_eq(q, STR("$LATEST")))
		return QUALIFIER_LATEST;
	if (q.n > 128 || !is_name(q))
		return ERR_SYNTAX;
	for (size_t i = 0; i < q.n; i++)
		digits = digits && q.p[i] >= '0' && q.p[i] <= '9';
	return digits ? QUALIFIER_VERSION : QUALIFIER_ALIAS;
}

int function_name_parse(str text, struct function_name *ret_name)
{
	struct function_name name = {STR_NULL, STR_NULL, STR_NULL, STR_NULL};
	str parts[PARTS_MAX], rest = text;
	size_t n = 0, i = 0;

	while (n < PARTS_MAX && str_split(&rest, ':', &parts[n]))
		n++;
	if (n == 0 || n == PARTS_MAX || str_ends(text, STR(":")))
		return ERR_SYNTAX;
	if (n >= 3 && str_eq(parts[0], STR("arn"))) {
		if (!str_starts(parts[1], STR("aws")) || !str_eq(parts[2], STR("lambda")) || n < 7)
			return ERR_SYNTAX;
		i = 3;
	}
	if (i < n && n - i >= 3 && is_region(parts[i]) && !account_is_valid(parts[i]))
		name.region = parts[i++];
	if (i < n && n - i >= 2 && account_is_valid(parts[i]))
		name.account = parts[i++];
	/* An account may stand right before the name, but not in an ARN. */
	if (i < n && n - i >= 2 && str_eq(parts[i], STR("function")))
		i++;
	else if (name.account.p && str_eq(parts[0], STR("arn")))
		return ERR_SYNTAX;
	if (i == n || !is_name(parts[i]))
		return ERR_SYNTAX;
	name.name = parts[i++];
	if (i < n) {
		name.qualifier = parts[i++];
		TRY(function_qualifier_kind(name.qualifier));
	}
	if (i != n || name.name.n > LAMBDA_NAME_CHARS_MAX)
		return ERR_SYNTAX;
	*ret_name = name;
	return 0;
}

str function_arn(struct arena *a, str account, str region, str name, str qualifier)
{
	return ARENA_CONCAT(a, STR("arn:aws:lambda:"), region, STR(":"), account, STR(":function:"),
		name, qualifier.p ? STR(":") : STR(""), qualifier);
}

int layer_name_parse(str text, struct layer_name *ret_name)
{
	struct layer_name name = {STR_NULL, STR_NULL, text, 0};
	str parts[PARTS_MAX], rest = text;
	size_t n = 0;

	while (n < PARTS_MAX && str_split(&rest, ':', &parts[n]))
		n++;
	if (n > 1) {
		if ((n != 7 && n != 8) || !str_eq(parts[0], STR("arn")) ||
			!str_starts(parts[1], STR("aws")) || !str_eq(parts[2], STR("lambda")) ||
			!is_region(parts[3]) || !account_is_valid(parts[4]) ||
			!str_eq(parts[5], STR("layer")))
			return ERR_SYNTAX;
		name.region = parts[3];
		name.account = parts[4];
		name.name = parts[6];
		if (n == 8 && (str_to_u64(parts[7], INT64_MAX, &name.version) < 0 || !name.version))
			return ERR_SYNTAX;
	}
	if (!is_name(name.name) || name.name.n > LAMBDA_LAYER_NAME_CHARS_MAX)
		return ERR_SYNTAX;
	*ret_name = name;
	return 0;
}

str layer_arn(struct arena *a, str account, str region, str name, uint64_t version)
{
	str arn = ARENA_CONCAT(
		a, STR("arn:aws:lambda:"), region, STR(":"), account, STR(":layer:"), name);

	return version ? arena_printf(a, "%.*s:%llu", STR_ARG(arn), (unsigned long long)version)
		       : arn;
}

str role_name_of_arn(str role_arn)
{
	ptrdiff_t slash = str_find_last(role_arn, '/');

	return slash < 0 ? STR_NULL : str_from(role_arn, (size_t)slash + 1);
}

str role_account_of_arn(str role_arn)
{
	str part, rest = role_arn;

	for (int i = 0; i < 5; i++)
		if (!str_split(&rest, ':', &part))
			return STR_NULL;
	return account_is_valid(part) ? part : STR_NULL;
}
