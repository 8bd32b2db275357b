/* CORS answered by the gateway: see cors.h. */
#include "aws/cors.h"

static bool has_scheme(str origin, str *ret_rest)
{
	static const str schemes[] = {STR_INIT("https://"), STR_INIT("http://")};

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (str_eq_nocase(str_sub(origin, 0, schemes[i].n), schemes[i])) {
			*ret_rest = str_from(origin, schemes[i].n);
			return true;
		}
	return false;
}

bool cors_origin_is_valid(str origin)
{
	str rest = STR_NULL;

	if (str_eq(origin, STR("*")))
		return true;
	ptrdiff_t colon = str_find_str(origin, STR("://"));
	if (colon <= 0)
		return false;
	for (size_t i = 0; i < origin.n; i++)
		if ((unsigned char)origin.p[i] <= ' ' || (unsigned char)origin.p[i] >= 0x7f)
			return false;
	if (has_scheme(origin, &rest) && str_eq(rest, STR("*")))
		return true;
	/* Other schemes exist (chrome-extension://..., capacitor://...). */
	rest = str_from(origin, (size_t)colon + 3);
	return rest.n && str_find(rest, '/') < 0 && str_find(rest, '*') < 0;
}

bool cors_is_preflight(str method, str origin, str request_method)
{
	return str_eq(method, STR("OPTIONS")) && origin.n && request_method.n;
}

bool cors_owns_header(str name)
{
	return str_eq_nocase(str_sub(name, 0, 15), STR("access-control-"));
}

/* 2: by "*", 1: by name or scheme, 0: not allowed. */
static int allowed(const struct cors *cors, str origin)
{
	int found = 0;
	str rest, pattern_rest;

	for (size_t i = 0; i < cors->origin_count; i++) {
		str pattern = cors->origins[i];

		if (str_eq(pattern, STR("*")))
			return 2;
		if (str_eq_nocase(pattern, origin))
			found = 1;
		else if (has_scheme(pattern, &pattern_rest) && str_eq(pattern_rest, STR("*")) &&
			 has_scheme(origin, &rest) &&
			 str_eq_nocase(str_sub(origin, 0, origin.n - rest.n),
				 str_sub(pattern, 0, pattern.n - 1)))
			found = 1;
	}
	return found;
}

size_t cors_headers(const struct cors *cors, struct arena *arena, str origin, bool preflight,
	struct http_header ret_headers[CORS_HEADERS_MAX])
{
	size_t n = 0;
	int how = origin.n ? allowed(cors, origin) : 0;

	if (!how)
		return 0;
#define ADD(name_, value_) \
	ret_headers[n++] = (struct http_header){.name = STR(name_), .value = (value_)}
	ADD("access-control-allow-origin", how == 2 ? STR("*") : origin);
	if (how != 2)
		ADD("vary", STR("origin"));
	if (cors->credentials)
		ADD("access-control-allow-credentials", STR("true"));
	if (cors->expose.n)
		ADD("access-control-expose-headers", cors->expose);
	if (preflight && cors->methods.n)
		ADD("access-control-allow-methods", cors->methods);
	if (preflight && cors->headers.n)
		ADD("access-control-allow-headers", cors->headers);
	if (preflight && cors->max_age != CORS_NO_AGE)
		ADD("access-control-max-age",
			arena_printf(arena, "%lld", (long long)cors->max_age));
#undef ADD
	return n;
}
