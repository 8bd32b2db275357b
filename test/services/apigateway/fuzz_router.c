/*
 * Routes: lines of route keys, then a path. Against a plain search over all routes that knows
 * nothing of trees, the tree must choose the same one.
 */
#include "base/check.h"
#include "base/rc.h"
#include "base/uri.h"
#include "services/apigateway/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ROUTES = 12 };

/* How well a route fits: no, greedy (by the place of the rest), whole. */
struct fit {
	int kind;     /* 0 none, 1 greedy, 2 whole */
	size_t depth; /* of the greedy parameter */
	/* Per segment 'l' literal before 'p' parameter: compared from the left. */
	char form[ROUTE_SEGMENTS_MAX + 2];
};

static bool cut(str *rest, bool *more, str *segment)
{
	if (!*more)
		return false;
	ptrdiff_t slash = str_find(*rest, '/');
	*more = slash >= 0;
	*segment = slash < 0 ? *rest : str_sub(*rest, 0, (size_t)slash);
	*rest = slash < 0 ? str_from(*rest, rest->n) : str_from(*rest, (size_t)slash + 1);
	return true;
}

static struct fit fit_of(struct arena *a, const struct route_key *key, str path)
{
	str route = str_from(key->path, 1), rest = str_from(path, 1), r, p, decoded;
	bool more_r = route.n > 0, more_p = rest.n > 0;
	struct fit fit = {0};

	for (size_t depth = 0;; depth++) {
		str here = rest;
		bool was_more = more_p;

		if (!cut(&route, &more_r, &r)) {
			fit.kind = was_more ? 0 : 2;
			return fit;
		}
		if (r.n > 2 && r.p[0] == '{' && r.p[r.n - 2] == '+') {
			fit.kind = was_more && here.n ? 1 : 0;
			fit.depth = depth;
			return fit;
		}
		if (!cut(&rest, &more_p, &p))
			return fit;
		check(uri_decode(a, p, URI_PLAIN, &decoded) == 0);
		bool parameter = r.n && r.p[0] == '{';
		if (parameter ? !decoded.n : !str_eq(r, decoded))
			return fit;
		fit.form[depth] = parameter ? 'p' : 'l';
	}
}

static bool better(const struct fit *a, const struct fit *b, bool a_any, bool b_any)
{
	if (a->kind != b->kind)
		return a->kind > b->kind;
	if (a->kind == 1 && a->depth != b->depth)
		return a->depth > b->depth;
	int c = strcmp(a->form, b->form);
	return c ? c < 0 : !a_any && b_any;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	struct router_route routes[ROUTES];
	struct route_key keys[ROUTES];
	size_t count = 0;
	struct router *router;
	struct router_match match;
	str rest = str_of(data, n), line, path = STR("/"), decoded;

	arena_init(&a, SIZE_MAX);
	while (str_split(&rest, '\n', &line)) {
		path = line;
		if (count < ROUTES && rest.n && route_key_parse(line, &keys[count]) == 0)
			routes[count++] = (struct router_route){.key = line};
	}
	if (router_new(&a, routes, count, &router) < 0 || !path.n || path.p[0] != '/')
		return 0;
	int rc = router_find(router, &a, STR("GET"), path, &match);
	check(rc <= 1);
	if (rc < 0 || uri_decode(&a, path, URI_PLAIN, &decoded) < 0)
		return 0;
	int best = -1, fallback = -1;
	struct fit best_fit = {0};
	for (size_t i = 0; i < count; i++) {
		if (keys[i].is_default) {
			fallback = (int)i;
			continue;
		}
		if (keys[i].method != ROUTE_GET && keys[i].method != ROUTE_ANY)
			continue;
		struct fit fit = fit_of(&a, &keys[i], path);
		if (fit.kind && (best < 0 || better(&fit, &best_fit, keys[i].method == ROUTE_ANY,
						     keys[best].method == ROUTE_ANY))) {
			best = (int)i;
			best_fit = fit;
		}
	}
	best = best < 0 ? fallback : best;
	check(rc == (best >= 0));
	check(!rc || str_eq(match.route->key, routes[best].key));
	return 0;
}
