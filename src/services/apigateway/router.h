/*
 * Route keys of HTTP APIs, and the tree that finds the route of a request.
 *
 * Built once per deployment in an arena, then read-only and shared. Choice, after
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html:
 *   1. a route whose whole path matches: literal segments before {parameters}, left to right
 *   2. a greedy route ({proxy+}, at the end only): the one with most segments before it
 *   3. $default
 * and within each the request's own method before ANY. Segments are compared decoded; an empty one
 * matches no parameter, and a greedy parameter takes at least one character.
 *
 * Pure; any thread. Matching visits each node of the tree at most once per pass.
 */
#ifndef SERVICES_APIGATEWAY_ROUTER_H
#define SERVICES_APIGATEWAY_ROUTER_H

#include "base/arena.h"

enum {
	ROUTE_SEGMENTS_MAX = 64, /* of a route's path: ours, AWS names none */
	ROUTE_KEY_MAX = 1024,
};

enum route_method {
	ROUTE_GET,
	ROUTE_POST,
	ROUTE_PUT,
	ROUTE_DELETE,
	ROUTE_PATCH,
	ROUTE_HEAD,
	ROUTE_OPTIONS,
	ROUTE_ANY,
	ROUTE_METHODS_
};

/* ROUTE_ANY for what is none of the seven: only ANY and $default routes take such requests. */
enum route_method route_method_of(str method);

struct route_key {
	bool is_default; /* "$default": method ROUTE_ANY, empty path */
	enum route_method method;
	str path; /* "/pets/{id}", borrowed */
};

/*
 * "GET /pets/{id}", "ANY /{proxy+}", "$default". ERR_SYNTAX: not of that form; ERR_INVALID: a
 * parameter without or with a repeated name, or a greedy one that is not last; ERR_TOO_LARGE.
 */
must_use int route_key_parse(str key, struct route_key *ret_key);
/* The key with its parameters unnamed, "GET /pets/{}": two routes of one form would clash. */
str route_key_form(struct arena *arena, const struct route_key *key);

struct router;

struct router_route {
	str key;
	uint32_t integration; /* the caller's number */
};

/* Copies the routes into the arena. ERR_* of route_key_parse(); ERR_EXISTS: two of one form. */
must_use int router_new(struct arena *arena, const struct router_route *routes, size_t n,
	struct router **ret_router);

struct router_parameter {
	str name, value; /* decoded */
	bool greedy;
};

struct router_match {
	const struct router_route *route;
	str path; /* of the route's key: "/pets/{id}"; empty for $default */
	const struct router_parameter *parameters;
	size_t parameter_count;
};

/*
 * The route of a request: 1, or 0. `path` is raw, without stage and query, beginning with '/'.
 * ERR_SYNTAX: its percent encoding is broken. Parameters are in the arena.
 */
must_use int router_find(const struct router *router, struct arena *arena, str method, str path,
	struct router_match *ret_match);

#endif
