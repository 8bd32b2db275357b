/* The routing tree: see router.h. A node per path prefix; literal children sorted for a binary
 * search, at most one parameter child, and what ends there: whole and greedy. */
#include "services/apigateway/router.h"

#include "base/rc.h"
#include "base/uri.h"

enum { NO_ROUTE = UINT32_MAX };

/* Routes by method. */
struct leaf {
	uint32_t route[ROUTE_METHODS_];
};

struct node {
	str segment; /* literal, as its parent's children are sorted */
	struct node **literals;
	uint32_t literal_count, literal_capacity;
	struct node *parameter;
	struct leaf *whole, *greedy;
};

struct route {
	struct router_route public;
	struct route_key key;
	uint32_t parameter_count;
};

struct router {
	struct route *routes;
	struct node root;
	uint32_t fallback; /* $default, or NO_ROUTE */
};

static const str method_names[ROUTE_METHODS_] = {
	[ROUTE_GET] = STR_INIT("GET"),
	[ROUTE_POST] = STR_INIT("POST"),
	[ROUTE_PUT] = STR_INIT("PUT"),
	[ROUTE_DELETE] = STR_INIT("DELETE"),
	[ROUTE_PATCH] = STR_INIT("PATCH"),
	[ROUTE_HEAD] = STR_INIT("HEAD"),
	[ROUTE_OPTIONS] = STR_INIT("OPTIONS"),
	[ROUTE_ANY] = STR_INIT("ANY"),
};

enum route_method route_method_of(str method)
{
	for (unsigned i = 0; i < ROUTE_ANY; i++)
		if (str_eq(method, method_names[i]))
			return (enum route_method)i;
	return ROUTE_ANY;
}

/* The next segment of a path whose leading '/' is gone; "a/" has two, "" none. */
static bool next_segment(str *rest, bool *more, str *ret_segment)
{
	if (!*more)
		return false;
	ptrdiff_t slash = str_find(*rest, '/');
	if (slash < 0) {
		*ret_segment = *rest;
		*rest = str_from(*rest, rest->n);
		*more = false;
	} else {
		*ret_segment = str_sub(*rest, 0, (size_t)slash);
		*rest = str_from(*rest, (size_t)slash + 1);
	}
	return true;
}

static str after_slash(str path, bool *ret_more)
{
	str rest = str_from(path, 1);

	*ret_more = rest.n > 0;
	return rest;
}

enum segment_kind { SEGMENT_LITERAL, SEGMENT_PARAMETER, SEGMENT_GREEDY, SEGMENT_BROKEN };

static enum segment_kind segment_kind_of(str segment, str *ret_name)
{
	if (segment.n >= 2 && segment.p[0] == '{' && segment.p[segment.n - 1] == '}') {
		str name = str_sub(segment, 1, segment.n - 2);
		bool greedy = name.n && name.p[name.n - 1] == '+';

		name.n -= greedy;
		*ret_name = name;
		if (!name.n || str_find(name, '{') >= 0 || str_find(name, '}') >= 0 ||
			str_find(name, '+') >= 0)
			return SEGMENT_BROKEN;
		return greedy ? SEGMENT_GREEDY : SEGMENT_PARAMETER;
	}
	return str_find(segment, '{') >= 0 || str_find(segment, '}') >= 0 ? SEGMENT_BROKEN
									  : SEGMENT_LITERAL;
}

static int path_check(str path)
{
	str names[ROUTE_SEGMENTS_MAX], segment, name;
	size_t count = 0, name_count = 0;
	bool more, greedy = false;
	str rest = after_slash(path, &more);

	while (next_segment(&rest, &more, &segment)) {
		if (greedy)
			return ERR_INVALID;
		if (++count > ROUTE_SEGMENTS_MAX)
			return ERR_TOO_LARGE;
		enum segment_kind kind = segment_kind_of(segment, &name);
		if (kind == SEGMENT_BROKEN)
			return ERR_INVALID;
		if (kind == SEGMENT_LITERAL)
			continue;
		greedy = kind == SEGMENT_GREEDY;
		for (size_t i = 0; i < name_count; i++)
			if (str_eq(names[i], name))
				return ERR_INVALID;
		names[name_count++] = name;
	}
	return 0;
}

int route_key_parse(str key, struct route_key *ret_key)
{
	if (key.n > ROUTE_KEY_MAX)
		return ERR_TOO_LARGE;
	if (str_eq(key, STR("$default"))) {
		*ret_key = (struct route_key){.is_default = true, .method = ROUTE_ANY};
		return 0;
	}
	ptrdiff_t space = str_find(key, ' ');
	if (space < 0)
		return ERR_SYNTAX;
	str method = str_sub(key, 0, (size_t)space), path = str_from(key, (size_t)space + 1);
	enum route_method m = route_method_of(method);
	if (m == ROUTE_ANY && !str_eq(method, method_names[ROUTE_ANY]))
		return ERR_SYNTAX;
	if (!path.n || path.p[0] != '/' || !str_is_utf8(path))
		return ERR_SYNTAX;
	for (size_t i = 0; i < path.n; i++)
		if ((unsigned char)path.p[i] <= ' ' || path.p[i] == 0x7f || path.p[i] == '?' ||
			path.p[i] == '#')
			return ERR_SYNTAX;
	TRY(path_check(path));
	*ret_key = (struct route_key){.method = m, .path = path};
	return 0;
}

str route_key_form(struct arena *arena, const struct route_key *key)
{
	if (key->is_default)
		return STR("$default");
	char *text = arena_bytes(arena, method_names[key->method].n + 1 + key->path.n);
	size_t n = 0;

	memcpy(text, method_names[key->method].p, method_names[key->method].n);
	n += method_names[key->method].n;
	text[n++] = ' ';
	for (size_t i = 0; i < key->path.n; i++) {
		text[n++] = key->path.p[i];
		if (key->path.p[i] != '{')
			continue;
		while (i + 1 < key->path.n && key->path.p[i + 1] != '}' &&
			key->path.p[i + 1] != '+')
			i++;
	}
	return str_of(text, n);
}

static struct node *child_literal(const struct node *node, str segment)
{
	size_t low = 0, high = node->literal_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int c = str_cmp(segment, node->literals[middle]->segment);

		if (c == 0)
			return node->literals[middle];
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static struct node *add_literal(struct arena *arena, struct node *node, str segment)
{
	struct node *child = child_literal(node, segment);

	if (child)
		return child;
	if (node->literal_count == node->literal_capacity) {
		uint32_t capacity = node->literal_capacity ? node->literal_capacity * 2 : 4;
		struct node **grown = arena_new_array(arena, struct node *, capacity);

		for (uint32_t i = 0; i < node->literal_count; i++)
			grown[i] = node->literals[i];
		node->literals = grown;
		node->literal_capacity = capacity;
	}
	child = arena_new(arena, struct node);
	child->segment = segment;
	uint32_t at = node->literal_count++;
	for (; at && str_cmp(node->literals[at - 1]->segment, segment) > 0; at--)
		node->literals[at] = node->literals[at - 1];
	node->literals[at] = child;
	return child;
}

static int leaf_add(
	struct arena *arena, struct leaf **leaf, enum route_method method, uint32_t route)
{
	if (!*leaf) {
		*leaf = arena_new(arena, struct leaf);
		for (unsigned i = 0; i < ROUTE_METHODS_; i++)
			(*leaf)->route[i] = NO_ROUTE;
	}
	if ((*leaf)->route[method] != NO_ROUTE)
		return ERR_EXISTS;
	(*leaf)->route[method] = route;
	return 0;
}

static int add_route(struct arena *arena, struct router *router, uint32_t number)
{
	struct route *route = &router->routes[number];
	struct node *node = &router->root;
	str segment, name;
	bool more;

	TRY(route_key_parse(route->public.key, &route->key));
	if (route->key.is_default) {
		if (router->fallback != NO_ROUTE)
			return ERR_EXISTS;
		router->fallback = number;
		return 0;
	}
	str rest = after_slash(route->key.path, &more);
	while (next_segment(&rest, &more, &segment)) {
		switch (segment_kind_of(segment, &name)) {
		case SEGMENT_LITERAL: node = add_literal(arena, node, segment); break;
		case SEGMENT_PARAMETER:
			route->parameter_count++;
			if (!node->parameter)
				node->parameter = arena_new(arena, struct node);
			node = node->parameter;
			break;
		case SEGMENT_GREEDY:
			route->parameter_count++;
			return leaf_add(arena, &node->greedy, route->key.method, number);
		case SEGMENT_BROKEN: return ERR_INVALID;
		}
	}
	return leaf_add(arena, &node->whole, route->key.method, number);
}

int router_new(struct arena *arena, const struct router_route *routes, size_t n,
	struct router **ret_router)
{
	struct router *router = arena_new(arena, struct router);

	router->fallback = NO_ROUTE;
	router->routes = arena_new_array(arena, struct route, n ? n : 1);
	for (size_t i = 0; i < n; i++) {
		router->routes[i].public = routes[i];
		router->routes[i].public.key = arena_str(arena, routes[i].key);
		TRY(add_route(arena, router, (uint32_t)i));
	}
	*ret_router = router;
	return 0;
}

/* ---- finding ---- */

/* The request's path in segments; what is behind the last kept one only a greedy route takes. */
struct path {
	str decoded[ROUTE_SEGMENTS_MAX + 1];
	str from[ROUTE_SEGMENTS_MAX + 1]; /* raw: this segment and all that follow */
	size_t count;
	bool cut; /* there are more */
};

static int path_split(struct arena *arena, str path, struct path *p)
{
	bool more;
	str rest = after_slash(path, &more), segment, before = rest;

	p->count = 0;
	p->cut = false;
	while (next_segment(&rest, &more, &segment)) {
		if (p->count == ARRAY_SIZE(p->decoded)) {
			p->cut = true;
			return 0;
		}
		p->from[p->count] = before;
		TRY(uri_decode(arena, segment, URI_PLAIN, &p->decoded[p->count++]));
		before = rest;
	}
	return 0;
}

static uint32_t leaf_route(const struct leaf *leaf, enum route_method method)
{
	if (!leaf)
		return NO_ROUTE;
	return leaf->route[method] != NO_ROUTE ? leaf->route[method] : leaf->route[ROUTE_ANY];
}

static uint32_t find_whole(
	const struct node *node, const struct path *path, size_t at, enum route_method method)
{
	if (at == path->count)
		return path->cut ? NO_ROUTE : leaf_route(node->whole, method);
	const struct node *literal = child_literal(node, path->decoded[at]);
	uint32_t found = literal ? find_whole(literal, path, at + 1, method) : NO_ROUTE;
	if (found == NO_ROUTE && node->parameter && path->decoded[at].n)
		found = find_whole(node->parameter, path, at + 1, method);
	return found;
}

struct greedy {
	uint32_t route;
	size_t depth;
};

static void find_greedy(const struct node *node, const struct path *path, size_t at,
	enum route_method method, struct greedy *best)
{
	if (at == path->count)
		return;
	uint32_t route = path->from[at].n ? leaf_route(node->greedy, method) : NO_ROUTE;
	if (route != NO_ROUTE && (best->route == NO_ROUTE || at > best->depth))
		*best = (struct greedy){route, at};
	const struct node *literal = child_literal(node, path->decoded[at]);
	if (literal)
		find_greedy(literal, path, at + 1, method, best);
	if (node->parameter && path->decoded[at].n)
		find_greedy(node->parameter, path, at + 1, method, best);
}

static int match_fill(const struct router *router, uint32_t number, struct arena *arena,
	const struct path *path, struct router_match *ret_match)
{
	const struct route *route = &router->routes[number];
	struct router_parameter *parameters =
		arena_new_array(arena, struct router_parameter, route->parameter_count + 1);
	size_t n = 0, at = 0;
	str segment, name;
	bool more;
	str rest = after_slash(route->key.path, &more);

	for (; next_segment(&rest, &more, &segment); at++) {
		enum segment_kind kind = segment_kind_of(segment, &name);

		if (kind == SEGMENT_PARAMETER)
			parameters[n++] = (struct router_parameter){name, path->decoded[at], false};
		if (kind != SEGMENT_GREEDY)
			continue;
		parameters[n].name = name;
		parameters[n].greedy = true;
		TRY(uri_decode(arena, path->from[at], URI_PLAIN, &parameters[n++].value));
	}
	*ret_match = (struct router_match){.route = &route->public,
		.path = route->key.path,
		.parameters = parameters,
		.parameter_count = n};
	return 1;
}

int router_find(const struct router *router, struct arena *arena, str method, str path,
	struct router_match *ret_match)
{
	enum route_method m = route_method_of(method);
	struct greedy best = {NO_ROUTE, 0};
	struct path split;

	TRY(path_split(arena, path, &split));
	uint32_t found = find_whole(&router->root, &split, 0, m);
	if (found == NO_ROUTE) {
		find_greedy(&router->root, &split, 0, m, &best);
		found = best.route;
	}
	if (found != NO_ROUTE)
		return match_fill(router, found, arena, &split, ret_match);
	if (router->fallback == NO_ROUTE)
		return 0;
	*ret_match = (struct router_match){.route = &router->routes[router->fallback].public};
	return 1;
}
